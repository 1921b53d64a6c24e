//! Calls of a function of the target, such as that which serves a request: how many, how sure, and what grows with each.
//!
//! Few calls are counted one by one; many in short windows, and what lies between is estimated from its neighbours. A
//! look is 15 s, as for verdicts, and an hour of looks is kept.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Model;
use super::findings::{Interval, PerCall};
use super::gc::SECOND_NS;
use crate::event::CallsRead;
use crate::verdict::Z_90;

/// Length of a look: as for verdicts, which are divided by these rates.
pub const LOOK_NS: u64 = 15 * SECOND_NS;
/// Looks that are kept: an hour, as of verdicts.
pub const MAX_LOOKS: usize = 240;
/// Candidates that are counted at once.
pub const MAX_FUNCTIONS: usize = tracer_ebpf::wire::N_CALLS;
/// Counted time that the present rate is taken over.
const NOW_NS: u64 = 10 * SECOND_NS;
/// Longest time that the present rate is taken over, where calls are counted in windows.
const LONGEST_NOW_NS: u64 = 60 * SECOND_NS;
/// A gap is closed when so much was counted behind it: half of a window.
const BEHIND_GAP_NS: u64 = SECOND_NS;
/// Fewer calls are no rate to divide by: chance alone moves 30 of them by a third in 90 of 100 cases.
const MIN_CALLS: u64 = 30;
/// [`Z_90`] with so many degrees of freedom (Student), from 1.
const T_90: [f64; 4] = [6.314, 2.920, 2.353, 2.132];

/// What is known of calls now.
#[derive(Clone, Debug, PartialEq)]
pub struct Calls {
    /// The function.
    pub function: Arc<str>,
    /// Calls a second over the last ten counted seconds, at most the last minute; `None` before one second or 30 calls.
    pub per_sec: Option<f64>,
    /// Calls a second over the whole history, of an hour at most; `None` where calls or windows are too few.
    pub mean_per_sec: Option<Interval>,
    /// Calls since they were first counted; an estimate unless [`Calls::counted_fraction`] is 1.
    pub total: f64,
    /// Share of that time in which they were counted, 0 to 1.
    pub counted_fraction: f64,
    /// They are too many to count each: they are counted in windows.
    pub is_windowed: bool,
    /// They are counted at this very moment.
    pub is_counting: bool,
    /// Looks, oldest first: the moment of their end, and calls a second where any were counted.
    pub looks: Vec<(u64, Option<f64>)>,
}

/// Growth for each call: divides growth by calls, errors of both combined. Both are for the same time.
///
/// `None` where the calls may be none at all.
pub fn divide(growth: Interval, calls: Interval) -> Option<Interval> {
    if !(calls.low > 0.0 && calls.value.is_finite()) {
        return None;
    }
    let value = growth.value / calls.value;
    // Errors of the two are independent: one is drawn by the sampler, the other by the clock.
    let side = |growth_err: f64, calls_err: f64| {
        (growth_err / calls.value).hypot(value * calls_err / calls.value)
    };
    Some(Interval {
        value,
        low: value - side(growth.value - growth.low, calls.high - calls.value),
        high: value + side(growth.high - growth.value, calls.value - calls.low),
    })
}

/// Growth a minute, divided by calls a second; `None` where calls may be none at all.
pub fn per_call(
    function: Arc<str>,
    objects_per_min: Interval,
    bytes_per_min: Interval,
    calls_per_sec: Interval,
) -> Option<PerCall> {
    let calls_per_min = calls_per_sec.times(60.0);
    Some(PerCall {
        function,
        objects: divide(objects_per_min, calls_per_min)?,
        bytes: divide(bytes_per_min, calls_per_min)?,
    })
}

impl Model {
    /// Calls of the function that counts as a request; `None` where none is counted.
    pub fn calls(&self) -> Option<Calls> {
        self.calls.now()
    }

    /// Calls a second between two moments, to the nearest look; `None` where calls or windows are too few.
    pub fn calls_per_sec(&self, from_ns: u64, to_ns: u64) -> Option<Interval> {
        self.calls.rate(self.calls.busiest()?, from_ns, to_ns)
    }

    /// Growth between two moments divided by the calls between them; `None` where these are not known well enough.
    pub fn growth_per_call(
        &self,
        objects_per_min: Interval,
        bytes_per_min: Interval,
        from_ns: u64,
        to_ns: u64,
    ) -> Option<PerCall> {
        let function = self.calls.functions.get(self.calls.busiest()?)?;
        let rate = self.calls_per_sec(from_ns, to_ns)?;
        per_call(Arc::clone(function), objects_per_min, bytes_per_min, rate)
    }
}

/// What was counted in one look.
#[derive(Clone, Copy, Debug, Default)]
struct Look {
    from_ns: u64,
    until_ns: u64,
    calls: [u64; MAX_FUNCTIONS],
    counted_ns: u64,
}

/// A window and the gap behind it, which it stands for.
#[derive(Clone, Copy, Debug)]
struct Cell {
    calls: u64,
    counted_ns: u64,
    all_ns: u64,
}

impl Cell {
    fn per_ns(&self) -> f64 {
        self.calls as f64 / self.counted_ns as f64
    }

    /// Share of it that is estimated.
    fn unseen(&self) -> f64 {
        1.0 - (self.counted_ns as f64 / self.all_ns.max(1) as f64).min(1.0)
    }
}

/// What was not counted between two windows, until it can be told from both of them.
#[derive(Clone, Copy, Debug, Default)]
struct Gap {
    ns: u64,
    /// Counted behind it.
    counted_ns: u64,
    calls: [u64; MAX_FUNCTIONS],
}

/// What has been read so far.
#[derive(Clone, Debug, Default)]
pub(super) struct CallHistory {
    functions: Vec<Arc<str>>,
    last: CallsRead,
    looks: VecDeque<Look>,
    /// Time, counted time and calls of the last reads.
    recent: VecDeque<(u64, u64, [u64; MAX_FUNCTIONS])>,
    gap: Gap,
    /// Calls a nanosecond before the gap.
    before_gap: [f64; MAX_FUNCTIONS],
    /// Calls in closed gaps.
    uncounted: [f64; MAX_FUNCTIONS],
}

impl CallHistory {
    /// Takes a reading in.
    pub(super) fn apply(&mut self, read: CallsRead) {
        if self.functions.is_empty() {
            self.functions = read
                .functions
                .iter()
                .take(MAX_FUNCTIONS)
                .map(|(function, _)| Arc::clone(function))
                .collect();
            self.last.at_ns = read.at_ns.saturating_sub(read.all_ns);
        }
        let before = cumulative(&self.last);
        let now = cumulative(&read);
        let calls = std::array::from_fn(|i| now[i].saturating_sub(before[i]));
        let counted_ns = read.counted_ns.saturating_sub(self.last.counted_ns);
        let all_ns = read.all_ns.saturating_sub(self.last.all_ns);
        self.add_to_look(read.at_ns, calls, counted_ns);
        self.add_to_gap(calls, counted_ns, all_ns, read.is_on);
        if counted_ns > 0 || self.recent.is_empty() {
            self.recent.push_back((read.at_ns, read.counted_ns, now));
            let is_old = |(at_ns, counted_ns, _): &(u64, u64, _)| {
                counted_ns + NOW_NS <= read.counted_ns || at_ns + LONGEST_NOW_NS <= read.at_ns
            };
            while self.recent.len() > 2 && is_old(&self.recent[1]) {
                self.recent.pop_front();
            }
        }
        self.last = read;
    }

    fn add_to_look(&mut self, at_ns: u64, calls: [u64; MAX_FUNCTIONS], counted_ns: u64) {
        let from_ns = self.last.at_ns;
        let is_full = |look: &Look| look.until_ns.saturating_sub(look.from_ns) >= LOOK_NS;
        if self.looks.back().is_none_or(is_full) {
            if self.looks.len() == MAX_LOOKS {
                self.looks.pop_front();
            }
            self.looks.push_back(Look {
                from_ns,
                ..Look::default()
            });
        }
        if let Some(look) = self.looks.back_mut() {
            look.until_ns = at_ns;
            look.counted_ns += counted_ns;
            for (sum, calls) in look.calls.iter_mut().zip(calls) {
                *sum += calls;
            }
        }
    }

    fn add_to_gap(
        &mut self,
        calls: [u64; MAX_FUNCTIONS],
        counted_ns: u64,
        all_ns: u64,
        is_on: bool,
    ) {
        let gap = &mut self.gap;
        gap.ns += all_ns.saturating_sub(counted_ns);
        gap.counted_ns += counted_ns;
        for (sum, calls) in gap.calls.iter_mut().zip(calls) {
            *sum += calls;
        }
        let is_over = gap.counted_ns >= BEHIND_GAP_NS || (gap.counted_ns > 0 && !is_on);
        if !is_over {
            return;
        }
        let gap = std::mem::take(gap);
        for (i, before) in self.before_gap.iter_mut().enumerate() {
            let after = gap.calls[i] as f64 / gap.counted_ns as f64;
            self.uncounted[i] += gap.ns as f64 * before.midpoint(after);
            *before = after;
        }
    }

    /// The function that is called most of those that are counted.
    fn busiest(&self) -> Option<usize> {
        let calls = cumulative(&self.last);
        // The first of equals: where nothing was called yet that is the one which is looked for first.
        (0..self.functions.len()).rev().max_by_key(|&i| calls[i])
    }

    fn now(&self) -> Option<Calls> {
        let i = self.busiest()?;
        let last = &self.last;
        let (first_read, last_read) = (self.recent.front()?, self.recent.back()?);
        let recent_ns = last_read.1.saturating_sub(first_read.1);
        let recent = last_read.2[i].saturating_sub(first_read.2[i]);
        let in_gap = self.gap.ns as f64 * self.before_gap[i];
        let per_sec = |look: &Look| {
            (look.counted_ns > 0).then(|| per_second(look.calls[i] as f64, look.counted_ns))
        };
        Some(Calls {
            function: Arc::clone(&self.functions[i]),
            per_sec: (recent_ns >= SECOND_NS || (recent_ns > 0 && recent >= MIN_CALLS))
                .then(|| per_second(recent as f64, recent_ns)),
            mean_per_sec: self.rate(i, 0, u64::MAX),
            total: cumulative(last)[i] as f64 + self.uncounted[i] + in_gap,
            counted_fraction: if last.all_ns == 0 {
                1.0
            } else {
                (last.counted_ns as f64 / last.all_ns as f64).min(1.0)
            },
            is_windowed: last.is_windowed,
            is_counting: last.is_on,
            looks: self
                .looks
                .iter()
                .map(|look| (look.until_ns, per_sec(look)))
                .collect(),
        })
    }

    /// Calls a second over the looks whose middle lies between two moments.
    ///
    /// A window stands for itself and the gap behind it; how far it may be off for the gap is told by how much windows
    /// differ from those before them, so that a rise over the whole time is no error.
    fn rate(&self, i: usize, from_ns: u64, to_ns: u64) -> Option<Interval> {
        let cells = self.cells(i, from_ns, to_ns);
        let counted: u64 = cells.iter().map(|cell| cell.calls).sum();
        let all_ns: f64 = cells.iter().map(|cell| cell.all_ns as f64).sum();
        if counted < MIN_CALLS || all_ns <= 0.0 {
            return None;
        }
        let mean = cells
            .iter()
            .map(|cell| cell.all_ns as f64 * cell.per_ns())
            .sum::<f64>()
            / all_ns;
        let unseen_ns2: f64 = cells
            .iter()
            .map(|cell| (cell.all_ns as f64).powi(2) * cell.unseen())
            .sum();
        let second = SECOND_NS as f64;
        let interval = |err: f64| Interval {
            value: mean * second,
            low: (mean - err) * second,
            high: (mean + err) * second,
        };
        // Less than a thousandth that was not counted is the moment between two readings.
        if unseen_ns2.sqrt() < 0.001 * all_ns {
            return Some(interval(0.0));
        }
        let pairs = cells.windows(2);
        let n_pairs = pairs.len();
        if n_pairs == 0 {
            return None;
        }
        let variance = pairs
            .map(|pair| (pair[1].per_ns() - pair[0].per_ns()).powi(2) / 2.0)
            .sum::<f64>()
            / n_pairs as f64;
        Some(interval(
            student(n_pairs) * (variance * unseen_ns2).sqrt() / all_ns,
        ))
    }

    fn cells(&self, i: usize, from_ns: u64, to_ns: u64) -> Vec<Cell> {
        let mut cells: Vec<Cell> = Vec::new();
        let mut before_ns = 0;
        for look in &self.looks {
            if !(from_ns..=to_ns).contains(&look.from_ns.midpoint(look.until_ns)) {
                continue;
            }
            let all_ns = look.until_ns.saturating_sub(look.from_ns);
            if look.counted_ns > 0 {
                cells.push(Cell {
                    calls: look.calls[i],
                    counted_ns: look.counted_ns,
                    all_ns: all_ns + std::mem::take(&mut before_ns),
                });
            } else if let Some(cell) = cells.last_mut() {
                cell.all_ns += all_ns;
            } else {
                before_ns += all_ns;
            }
        }
        cells
    }
}

/// How many standard errors hold 90 of 100 values, with an error that was estimated from so many differences.
fn student(degrees: usize) -> f64 {
    let listed = degrees.checked_sub(1).and_then(|at| T_90.get(at));
    // Within 1 % from five degrees of freedom on, for those that are not listed.
    listed
        .copied()
        .unwrap_or_else(|| Z_90 * (1.0 + 1.0 / degrees as f64))
}

fn per_second(calls: f64, ns: u64) -> f64 {
    calls * SECOND_NS as f64 / ns as f64
}

/// Calls by function.
fn cumulative(read: &CallsRead) -> [u64; MAX_FUNCTIONS] {
    std::array::from_fn(|i| read.functions.get(i).map_or(0, |(_, calls)| *calls))
}

#[cfg(test)]
#[path = "calls_tests.rs"]
mod tests;
