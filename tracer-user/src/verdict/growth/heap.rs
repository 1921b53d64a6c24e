//! Growth of the live heap.

use super::{
    Judged,
    evidence::Rules,
    history::Sample,
    judge::Judge,
    past::{EstimatedLive, OWN_GAPS, Past},
    teeth::median,
};
use crate::verdict::Word;

/// Bytes in a MiB.
const MIB: f64 = 1_048_576.0;
/// Marks that give the bytes born during marking before the attach.
const FIRST_MARKS: usize = 3;

/// Constants for the live heap after GC.
static HEAP: Rules = Rules {
    walks: &[0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0],
    fast_walks: &[10.0],
    mib: MIB,
    // 40 evaluations of one watch: 3e-3 and 3e-2 gave a word in 7 to 26 % of watches of an honest heap that wanders. With
    // 3e-4 as `sure`, 2 of 6000 simulated heaps that do not rise were called growing (docs/simulation.md).
    sure: 1e-4,
    likely: Some(3e-3),
    least_growth: |bytes| (0.01 * bytes).max(0.25 * MIB),
    // A GC every 50 ms makes 72,000 marks an hour; their means say as much.
    slot_s: 1.0,
};

/// Mark termination of one GC cycle.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mark {
    /// Seconds after the attach.
    pub at_s: f64,
    /// Bytes that were marked.
    pub marked_bytes: f64,
    /// Bytes that were allocated while marking ran. They are born marked, so `marked_bytes` holds all of them, dead or
    /// alive; counting none of them lowers the noise by half.
    pub born_marked_bytes: f64,
    /// Cumulative allocation of the process: the load.
    pub allocated_bytes: Option<f64>,
    /// Bytes in large objects that survived, where already known; see [`HeapGrowth::set_large`].
    pub large_bytes: Option<f64>,
}

impl Mark {
    /// Live heap after GC.
    pub fn live_bytes(&self) -> f64 {
        self.marked_bytes - self.born_marked_bytes
    }
}

/// Judge of the live heap of a process.
#[derive(Clone, Debug)]
pub struct HeapGrowth {
    judge: Judge,
    past: Past,
    /// Bytes born during the first marks after the attach.
    born_marked: Vec<f64>,
    /// Large objects at the first mark.
    first_large: Option<f64>,
}

impl Default for HeapGrowth {
    fn default() -> Self {
        Self::new(Past::default())
    }
}

impl HeapGrowth {
    /// A heap at the attach.
    pub fn new(past: Past) -> Self {
        let mut judge = Judge::new(&HEAP, past.uptime_s);
        judge.set_past(past.clone());
        Self {
            judge,
            past,
            born_marked: Vec::new(),
            first_large: None,
        }
    }

    /// Adds a mark. One that is not later than the newest is dropped.
    pub fn push_mark(&mut self, mark: Mark) {
        if self.born_marked.len() < FIRST_MARKS {
            self.born_marked.push(mark.born_marked_bytes);
            self.first_large = self.first_large.or(mark.large_bytes);
            self.judge.set_before(self.before());
        }
        self.judge.history_mut().push(Sample {
            at_s: mark.at_s,
            value: mark.live_bytes(),
            large: mark.large_bytes,
            allocated: mark.allocated_bytes,
            weight: 1.0,
        });
    }

    /// Sets the bytes in large objects that survived the mark at `at_s`, known once its sweep is complete.
    pub fn set_large(&mut self, at_s: f64, bytes: f64) {
        self.judge.history_mut().set_large(at_s, bytes);
    }

    /// Estimates the live heap before the attach from the times of the GC cycles then, oldest first; `None` where these do
    /// not give it. Once [`HeapGrowth::is_past_settled`], later marks add nothing.
    ///
    /// Holds at a constant allocation rate with the pace of GOGC alone, which the caller has to check.
    pub fn before_attach(&self) -> Option<Vec<EstimatedLive>> {
        let samples: Vec<Sample> = self.judge.history().samples().collect();
        let estimated = self.past.estimate(&samples)?;
        let born = median(self.born_marked.clone());
        let marked = 1.0 + born / estimated.first();
        let curve = estimated.curve()?.into_iter().map(|point| EstimatedLive {
            at_s: point.at_s,
            marked_bytes: point.value * marked,
        });
        Some(curve.collect())
    }

    /// True once the marks after the attach suffice for a final [`HeapGrowth::before_attach`].
    pub fn is_past_settled(&self) -> bool {
        self.judge.history().samples().count() > OWN_GAPS
    }

    /// Judges the heap, every 15 s from 30 s after the attach on.
    pub fn evaluate(&mut self, now_s: f64) -> Judged {
        self.judge.evaluate(now_s)
    }

    /// The word of the last evaluation, or one that was raised or taken over since.
    pub fn word(&self) -> Word {
        self.judge.word()
    }

    /// Raises `probably growing` to `growing`: the life before the attach agrees.
    pub fn raise(&mut self) {
        self.judge.raise();
    }

    /// Takes over `growing` from the history of the profile. It holds while the heap's own slope is likelier up than down.
    pub fn take_over(&mut self, bytes_per_min: f64, now_s: f64) {
        self.judge.take_over(bytes_per_min, now_s);
    }

    /// True while the word comes from the history alone.
    pub fn is_taken_over(&self) -> bool {
        self.judge.is_taken_over()
    }

    /// Gives back a word that was taken over, when the history withdraws it.
    pub fn give_back(&mut self) {
        self.judge.give_back();
    }

    /// The last mark before the attach, as far as it is known.
    fn before(&self) -> Option<Sample> {
        let marked = self.past.marked_bytes?;
        Some(Sample {
            at_s: *self.past.gc_times_s.last()?,
            value: marked - median(self.born_marked.clone()),
            large: self.first_large,
            allocated: None,
            weight: 1.0,
        })
    }
}
