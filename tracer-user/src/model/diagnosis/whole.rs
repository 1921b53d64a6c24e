//! Growth of the process as a whole: its live heap, goroutines, stacks and memory outside Go, each as one series.
//!
//! These series are exact, so that their growth is known long before single call sites have samples enough.

use std::sync::Arc;

use super::earlier::Earlier;
use super::live_series::LiveSeries;
use crate::go::memstats::HeapFigures;
use crate::model::gc::SECOND_NS;
use crate::model::rows::EstimatedCycle;
use crate::verdict::Estimate;
use crate::verdict::growth::{
    HeapGrowth, Judged, Mark, Past, ResidentPeaks, SeriesGrowth, SeriesKind,
};

/// Evaluations begin this long after the attach: earlier ones have too few readings for a word.
const FIRST_NS: u64 = 30 * SECOND_NS;

/// The series, and what the last evaluation found in each.
#[derive(Clone, Debug, Default)]
pub(in crate::model) struct Whole {
    attached_ns: u64,
    live: LiveSeries,
    heap: HeapGrowth,
    earlier: Earlier,
    goroutines: Option<SeriesGrowth>,
    stacks: Option<SeriesGrowth>,
    outside: Option<SeriesGrowth>,
    resident: ResidentPeaks,
    uptime_s: Option<f64>,
    /// Cumulative allocation as last read: the load of series that are read without it.
    allocated_bytes: Option<f64>,
    judged: WholeJudged,
}

/// Findings of one evaluation; default values before the first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct WholeJudged {
    /// Live heap after GC, bytes.
    pub(super) heap: Judged,
    /// Goroutines, by number.
    pub(super) goroutines: Judged,
    /// Their stacks, bytes.
    pub(super) stacks: Judged,
    /// Resident memory outside Go, bytes.
    pub(super) outside: Judged,
}

impl Whole {
    /// The series of a process to which heaptop attached at `attached_ns`.
    pub(super) fn new(attached_ns: u64, past: Past) -> Self {
        Self {
            attached_ns,
            live: LiveSeries::new(attached_ns),
            uptime_s: past.uptime_s,
            heap: HeapGrowth::new(past),
            ..Self::default()
        }
    }

    /// Marking starts; `heap_bytes` where the probe could read the heap.
    pub(in crate::model) fn started(&mut self, at_ns: u64, heap_bytes: Option<u64>) {
        self.live.started(at_ns, heap_bytes);
    }

    /// Marking has ended.
    pub(in crate::model) fn marked(
        &mut self,
        at_ns: u64,
        marked_bytes: u64,
        heap_bytes: Option<u64>,
    ) {
        self.live.marked(at_ns, marked_bytes, heap_bytes);
        self.resident.push_mark(self.seconds(at_ns));
    }

    /// The runtime's figures were read.
    pub(in crate::model) fn figures(&mut self, at_ns: u64, figures: &HeapFigures) {
        self.allocated_bytes = Some(figures.total_alloc_bytes as f64);
        for mark in self.live.read(at_ns, figures.total_alloc_bytes) {
            self.heap.push_mark(mark);
            self.earlier.marked(&self.heap, figures);
        }
    }

    /// A cycle was found by the runtime's figures alone: what was born while it was marked is not known of any cycle then.
    pub(in crate::model) fn cycle_read(&mut self, at_ns: u64, figures: &HeapFigures) {
        self.resident.push_mark(self.seconds(at_ns));
        self.heap.push_mark(Mark {
            at_s: self.seconds(at_ns),
            marked_bytes: figures.live_bytes as f64,
            born_marked_bytes: 0.0,
            allocated_bytes: Some(figures.total_alloc_bytes as f64),
            large_bytes: None,
        });
        self.earlier.marked(&self.heap, figures);
    }

    /// Cycles before the attach, estimated; empty where that is not possible.
    pub(in crate::model) fn estimated_cycles(&self) -> &Arc<[EstimatedCycle]> {
        self.earlier.cycles()
    }

    /// Bytes in large objects that survived the mark at `at_ns`.
    pub(super) fn large(&mut self, at_ns: u64, bytes: f64) {
        self.heap.set_large(self.seconds(at_ns), bytes);
    }

    /// All goroutines were read.
    pub(in crate::model) fn goroutines(&mut self, at_ns: u64, count: u64, stack_bytes: u64) {
        let seconds = self.seconds(at_ns);
        let (uptime_s, allocated) = (self.uptime_s, self.allocated_bytes);
        let push = |series: &mut Option<SeriesGrowth>, kind, value: u64| {
            series
                .get_or_insert_with(|| SeriesGrowth::new(kind, uptime_s))
                .push(seconds, value as f64, allocated);
        };
        push(&mut self.goroutines, SeriesKind::Goroutines, count);
        push(&mut self.stacks, SeriesKind::Stacks, stack_bytes);
    }

    /// Resident memory outside Go was read.
    pub(in crate::model) fn outside(&mut self, at_ns: u64, bytes: u64) {
        let seconds = self.seconds(at_ns);
        let uptime_s = self.uptime_s;
        self.outside
            .get_or_insert_with(|| SeriesGrowth::new(SeriesKind::OutsideGo, uptime_s))
            .push(seconds, bytes as f64, self.allocated_bytes);
    }

    /// The resident set was read.
    pub(in crate::model) fn resident(&mut self, bytes: u64) {
        self.resident.push(bytes as f64);
    }

    /// Measured slope of the resident set since `from_s` seconds after the attach, bytes per minute; `None` while it
    /// cannot be told from the saw-tooth of the GC.
    pub(super) fn resident_per_min(&self, from_s: f64) -> Option<Estimate> {
        self.resident.per_min(from_s)
    }

    /// Judges all series.
    pub(super) fn evaluate(&mut self, now_ns: u64) {
        if now_ns < self.attached_ns.saturating_add(FIRST_NS) {
            return;
        }
        let seconds = self.seconds(now_ns);
        let judge = |series: &mut Option<SeriesGrowth>| {
            series
                .as_mut()
                .map_or_else(Judged::default, |series| series.evaluate(seconds))
        };
        self.judged = WholeJudged {
            heap: self.heap.evaluate(seconds),
            goroutines: judge(&mut self.goroutines),
            stacks: judge(&mut self.stacks),
            outside: judge(&mut self.outside),
        };
    }

    /// Raises `probably growing` to `growing`: the life of the process before the attach agrees.
    pub(super) fn raise(&mut self) {
        self.heap.raise();
        self.judged.heap.word = self.heap.word();
    }

    /// Takes over `growing` at a rate that the history gives, in bytes per minute.
    pub(super) fn take_over(&mut self, rate: Estimate, now_ns: u64) {
        self.heap.take_over(rate.value, self.seconds(now_ns));
        self.judged.heap.word = self.heap.word();
    }

    /// Gives back what was taken over.
    pub(super) fn give_back(&mut self) {
        if self.heap.is_taken_over() {
            self.heap.give_back();
            self.judged.heap.word = self.heap.word();
        }
    }

    /// True while the word on the live heap comes from the history alone.
    pub(super) fn is_taken_over(&self) -> bool {
        self.heap.is_taken_over()
    }

    /// Findings of the last evaluation.
    pub(super) fn judged(&self) -> &WholeJudged {
        &self.judged
    }

    /// Seconds after the attach; 0 before it.
    fn seconds(&self, at_ns: u64) -> f64 {
        at_ns.saturating_sub(self.attached_ns) as f64 / SECOND_NS as f64
    }
}
