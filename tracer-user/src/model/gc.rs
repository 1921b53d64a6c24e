//! GC cycles as the model follows them: by probes where there are some, by the runtime's counter else.

use std::collections::VecDeque;

use super::rows::Cycle;

/// Nanoseconds of a second.
pub const SECOND_NS: u64 = 1_000_000_000;
/// Most cycles kept for the graph: four times the columns of a wide terminal. Older ones are thinned.
pub const MAX_CYCLES: usize = 1024;

/// Cycles of which it is known when they began: marks are read some cycles late at most, hooks come a look late.
const MAX_EPOCHS: usize = 16;

/// The cycles seen and where the present one stands.
#[derive(Clone, Debug, Default)]
pub struct Gc {
    /// Mark terminations seen: born-since-mark counts are valid within one epoch.
    pub epoch: u64,
    /// Number of the last completed cycle as the runtime counts; `None` until it was read.
    pub number: Option<u32>,
    /// The last cycle's values are not final: its sweep goes on.
    pub sweeping: bool,
    /// Cycles whose hooks never arrived.
    pub missed: u64,
    /// The hook of the last mark termination was lost, so that births before and after it are not told
    /// apart until the buckets have been read.
    pub blind: bool,
    /// The runtime was one look ahead of the hooks.
    pub is_behind: bool,
    /// The epochs that the last cycles began, by number: newest last.
    epochs: VecDeque<(u32, u64)>,
    swept_looks: u32,
    cycles: VecDeque<Cycle>,
    /// Of the cycles that leave `cycles`' newer half, every `thin`-th stays.
    seen: u64,
    recent_ns: VecDeque<u64>,
}

impl Gc {
    /// A mark termination at `at_ns` with so many live bytes. `number` is the cycle's, where the hook could read it; else it
    /// is the one behind the last. Returns the cycle, unless it was told before: then the runtime was read ahead of the
    /// hook, which was thought to be lost.
    pub fn marked(
        &mut self,
        at_ns: u64,
        live_bytes: u64,
        number: Option<u32>,
    ) -> Option<&mut Cycle> {
        self.epoch += 1;
        self.begin_sweep();
        self.blind = false;
        self.is_behind = false;
        let next = self.number.map(|last| last.wrapping_add(1));
        let number = number.or(next);
        self.began_epoch(number.unwrap_or(0));
        if let (Some(number), Some(next)) = (number, next) {
            if number < next {
                self.missed = self.missed.saturating_sub(1);
                self.correct(number, at_ns, live_bytes);
                return None;
            }
            self.missed += u64::from(number - next);
        }
        self.number = number;
        self.push(Cycle {
            number: number.unwrap_or(0),
            at_ns,
            live_bytes,
            goal_bytes: None,
            ..Cycle::default()
        });
        self.cycles.back_mut()
    }

    /// Sets what the late hook of a cycle tells. One that was given up with those behind it is not in the history.
    fn correct(&mut self, number: u32, at_ns: u64, live_bytes: u64) {
        let mut cycles = self.cycles.iter_mut().rev().take(MAX_EPOCHS);
        if let Some(cycle) = cycles.find(|cycle| cycle.number == number) {
            (cycle.at_ns, cycle.live_bytes) = (at_ns, live_bytes);
        }
    }

    /// What is born from now on is born after cycle `number`.
    pub fn began_epoch(&mut self, number: u32) {
        self.epochs.retain(|(known, _)| *known != number);
        if self.epochs.len() >= MAX_EPOCHS {
            self.epochs.pop_front();
        }
        self.epochs.push_back((number, self.epoch));
    }

    /// The epoch that a cycle began; `None` for one of long ago.
    pub fn epoch_of(&self, number: u32) -> Option<u64> {
        let mut epochs = self.epochs.iter().rev();
        epochs
            .find(|(known, _)| *known == number)
            .map(|(_, epoch)| *epoch)
    }

    /// The last cycle is being swept from now on.
    pub fn begin_sweep(&mut self) {
        self.sweeping = true;
        self.swept_looks = 0;
    }

    /// Counts a look that found the last cycle swept; whether it is the second one.
    pub fn seen_swept_twice(&mut self) -> bool {
        self.swept_looks = self.swept_looks.saturating_add(1);
        self.swept_looks >= 2
    }

    /// Adds a cycle to the history.
    pub fn push(&mut self, mut cycle: Cycle) {
        let before = self.cycles.back();
        let before = before.filter(|before| before.number.wrapping_add(1) == cycle.number);
        cycle.interval_ns = before.map(|before| cycle.at_ns.saturating_sub(before.at_ns));
        self.seen += 1;
        self.recent_ns.push_back(cycle.at_ns);
        if self.recent_ns.len() > 9 {
            self.recent_ns.pop_front();
        }
        self.cycles.push_back(cycle);
        if self.cycles.len() > MAX_CYCLES {
            // Every second cycle of the older half goes: a watch of days keeps its shape.
            let half = MAX_CYCLES / 2;
            let mut i = 0;
            self.cycles.retain(|_| {
                i += 1;
                i > half || i % 2 == 1
            });
        }
    }

    /// The last cycle, for figures that are read after it.
    pub fn last_mut(&mut self) -> Option<&mut Cycle> {
        self.cycles.back_mut()
    }

    /// Those of the last `n` cycles that are kept.
    pub fn last_ones_mut(&mut self, n: u32) -> impl Iterator<Item = &mut Cycle> {
        let last = self.cycles.back().map_or(0, |cycle| cycle.number);
        let cycles = self.cycles.iter_mut().rev();
        cycles.take_while(move |cycle| last.wrapping_sub(cycle.number) < n)
    }

    /// The cycles kept, oldest first.
    pub fn cycles(&self) -> &VecDeque<Cycle> {
        &self.cycles
    }

    /// Cycles seen since the attach.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Mean time between the recent cycles; `None` below two.
    pub fn interval_ns(&self) -> Option<u64> {
        let (first, last) = (self.recent_ns.front()?, self.recent_ns.back()?);
        let gaps = self.recent_ns.len() as u64 - 1;
        last.saturating_sub(*first).checked_div(gaps)
    }
}
