//! Growth of other series of a process: goroutines, their stacks, memory outside Go.

use super::{Judged, evidence::Rules, history::Sample, judge::Judge};

/// Bytes in a MiB.
const MIB: f64 = 1_048_576.0;
/// Grid of κ for exact counts: they have hardly any white noise, so what wanders is a walk.
const WALKS: &[f64] = &[0.001, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0];
/// Largest `p_flat` of `growing`. At 3·10⁻⁴, as for the heap, connections of 5 and 30 min gave the word in 1 and 2 % of
/// simulated watches.
const SURE: f64 = 1e-5;
/// Readings within this time are averaged.
const SLOT_S: f64 = 5.0;
/// Least growth of a goroutine count, in square roots of it: independent connections wander by as much.
const COUNT_NOISES: f64 = 2.0;

static GOROUTINES: Rules = Rules {
    walks: WALKS,
    fast_walks: &[],
    mib: 25.0,
    sure: SURE,
    likely: None,
    least_growth: |count| (COUNT_NOISES * count.max(0.0).sqrt()).max(6.0),
    slot_s: SLOT_S,
};

static STACKS: Rules = Rules {
    walks: WALKS,
    fast_walks: &[],
    mib: MIB,
    sure: SURE,
    likely: None,
    least_growth: |bytes| (0.01 * bytes).max(0.25 * MIB),
    slot_s: SLOT_S,
};

static OUTSIDE_GO: Rules = Rules {
    walks: WALKS,
    fast_walks: &[],
    mib: 8.0 * MIB,
    sure: SURE,
    likely: None,
    least_growth: |bytes| (0.01 * bytes).max(2.0 * MIB),
    slot_s: SLOT_S,
};

/// Kind of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SeriesKind {
    /// Number of live goroutines, read every 5 s.
    Goroutines,
    /// Bytes of their stacks, read every 5 s.
    Stacks,
    /// Resident bytes outside Go's own ranges, read every second.
    OutsideGo,
}

/// Judge of a series that is read exactly and often.
#[derive(Clone, Debug)]
pub struct SeriesGrowth {
    judge: Judge,
}

impl SeriesGrowth {
    /// A series at the attach. `uptime_s`: of the process, in seconds.
    pub fn new(kind: SeriesKind, uptime_s: Option<f64>) -> Self {
        let rules = match kind {
            SeriesKind::Goroutines => &GOROUTINES,
            SeriesKind::Stacks => &STACKS,
            SeriesKind::OutsideGo => &OUTSIDE_GO,
        };
        Self {
            judge: Judge::new(rules, uptime_s),
        }
    }

    /// Adds a reading, `at_s` seconds after the attach. `allocated_bytes`: cumulative allocation of the process, the load.
    pub fn push(&mut self, at_s: f64, value: f64, allocated_bytes: Option<f64>) {
        self.judge.history_mut().push(Sample {
            at_s,
            value,
            large: None,
            allocated: allocated_bytes,
            weight: 1.0,
        });
    }

    /// Judges the series, every 15 s from 30 s after the attach on. Rates are in the series' unit per minute.
    pub fn evaluate(&mut self, now_s: f64) -> Judged {
        self.judge.evaluate(now_s)
    }
}
