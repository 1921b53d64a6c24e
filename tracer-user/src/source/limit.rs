//! Limit on the cost of probes that holds in every second, not only on average.
//!
//! Pure: it receives how often probes have fired, and answers whether they may stay and when to ask again. Removing a
//! probe stops its traps within a millisecond (Linux 6.18), although the kernel needs 0.1 s to finish, so a check in
//! time is enough.

use std::collections::VecDeque;

use super::nanoseconds;
use crate::model::gc::SECOND_NS;
use crate::plan::Kind;

/// Length of the window in which the limit holds.
const WINDOW_NS: u64 = SECOND_NS;
/// Resolution of the history of hits: the window counts up to this much of the time before it.
const SLOT_NS: u64 = SECOND_NS / 50;
/// Longest time between two checks while probes are attached.
const LONGEST_CHECK_NS: u64 = SECOND_NS / 10;
/// Shortest time between two checks: the resolution of a sleep.
const SHORTEST_CHECK_NS: u64 = SECOND_NS / 1_000;
/// Checks that a newly attached group of probes gets at the shortest distance: its rate is not known yet.
const CHECKS_OF_NEW: u32 = 10;
/// Checks are so close that a group whose load rises to this many times its present rate is still caught in time.
const RISE: f64 = 4.0;
/// Probes are removed at this share of the limit: what fires between two checks must fit into the rest.
const REMOVE_AT: f64 = 0.9;

/// Probes that are attached and removed together, and share one part of the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Births and deaths of the runtime's own samples.
    Sampler,
    /// Allocations and spans.
    Allocations,
    /// Counted functions.
    Calls,
}

impl Group {
    /// All groups, in the order of their index.
    pub const ALL: [Self; 3] = [Self::Sampler, Self::Allocations, Self::Calls];

    /// Kinds of its probes.
    pub fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Sampler => &[Kind::Born, Kind::Freed],
            Self::Allocations => &[Kind::Span, Kind::Large, Kind::Alloc],
            Self::Calls => &[Kind::Call, Kind::OtherCall],
        }
    }

    /// Part of the limit that is its own. A watch has either the sampler's probes or those of allocations. Those of the
    /// GC, a few hits for each cycle, use what is left.
    pub const fn share(self) -> f64 {
        match self {
            Self::Sampler | Self::Allocations => 0.88,
            Self::Calls => 0.1,
        }
    }

    /// Hits of its probes.
    pub fn hits(self, by_kind: &[u64]) -> u64 {
        let hits = |&kind: &Kind| by_kind.get(kind as usize).copied().unwrap_or_default();
        self.kinds().iter().map(hits).sum()
    }

    /// Cost of a hit in nanoseconds until it is measured: high, so that the limit holds meanwhile. One of an allocation, with
    /// its stack, was measured at 1600 to 3600 on virtual machines.
    pub fn assumed_hit_ns(self) -> f64 {
        match self {
            Self::Sampler | Self::Calls => 1_500.0,
            Self::Allocations => 4_000.0,
        }
    }
}

/// Part of the limit that is always used, however late removals are.
const LEAST_USED: f64 = 0.5;
/// Part of the lateness of earlier removals that is still expected after one that was in time.
const LATE_KEPT: f64 = 0.5;

/// Answer to a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The probes may stay; check again after this many nanoseconds.
    Stay {
        /// Time until the next check.
        check_in_ns: u64,
    },
    /// Remove the probes now.
    Remove,
}

/// Limit of one [`Group`] of probes.
#[derive(Clone, Debug)]
pub struct SecondLimit {
    /// Share of one CPU; infinite for no limit.
    max_cpu_fraction: f64,
    hit_ns: f64,
    /// Times and cumulative hits, ascending. The first is at the start of the window or before it.
    history: VecDeque<(u64, u64)>,
    n_new: u32,
    /// Hits at the removal, and how much more than allowed they had cost.
    removed: Option<(u64, f64)>,
    /// Cost beyond what was allowed when probes were last removed: the checking thread may be late on a loaded machine.
    late_ns: f64,
}

impl SecondLimit {
    /// The limit of `group`, where all probes together may take `max_cpu_fraction` of one CPU.
    pub fn new(group: Group, max_cpu_fraction: f64) -> Self {
        Self {
            max_cpu_fraction: max_cpu_fraction * group.share(),
            hit_ns: group.assumed_hit_ns(),
            history: VecDeque::new(),
            n_new: CHECKS_OF_NEW,
            removed: None,
            late_ns: 0.0,
        }
    }

    /// Largest share of one CPU at which the probes of `group` stay attached.
    pub fn steady_cpu_fraction(group: Group, max_cpu_fraction: f64) -> f64 {
        REMOVE_AT * group.share() * max_cpu_fraction
    }

    /// Takes the measured cost of a hit.
    pub fn hit_costs(&mut self, ns: f64) {
        self.hit_ns = ns;
    }

    /// Announces that probes were attached: `hits` so far, at `at_ns`.
    pub fn attached(&mut self, at_ns: u64, hits: u64) {
        self.n_new = CHECKS_OF_NEW;
        if let Some((before, over_ns)) = self.removed.take() {
            let late_ns = over_ns + hits.saturating_sub(before) as f64 * self.hit_ns;
            self.late_ns = late_ns.max(LATE_KEPT * self.late_ns);
        }
        self.note(at_ns, hits);
    }

    /// Checks the cumulative `hits` at `at_ns` against the limit.
    pub fn check(&mut self, at_ns: u64, hits: u64) -> Answer {
        self.note(at_ns, hits);
        if self.max_cpu_fraction.is_infinite() {
            let check_in_ns = LONGEST_CHECK_NS;
            return Answer::Stay { check_in_ns };
        }
        let whole_ns = self.max_cpu_fraction * WINDOW_NS as f64;
        let allowed_ns = (REMOVE_AT * whole_ns - self.late_ns).max(LEAST_USED * whole_ns);
        let left_ns = allowed_ns - self.spent_ns(hits);
        if left_ns <= 0.0 {
            self.removed = Some((hits, -left_ns));
            return Answer::Remove;
        }
        if self.n_new > 0 {
            self.n_new -= 1;
            let check_in_ns = SHORTEST_CHECK_NS;
            return Answer::Stay { check_in_ns };
        }
        // Where the rate is low, a rise to ten times the limit is assumed.
        let rate = (RISE * self.recent_cpu_fraction()).max(10.0 * self.max_cpu_fraction);
        let check_in_ns = nanoseconds(left_ns / rate);
        Answer::Stay {
            check_in_ns: check_in_ns.clamp(SHORTEST_CHECK_NS, LONGEST_CHECK_NS),
        }
    }

    /// CPU time of the hits in the last second, nanoseconds.
    fn spent_ns(&self, hits: u64) -> f64 {
        let before = self.history.front().map_or(hits, |&(_, before)| before);
        hits.saturating_sub(before) as f64 * self.hit_ns
    }

    /// Share of one CPU since the last entry of the history but one.
    fn recent_cpu_fraction(&self) -> f64 {
        let mut newest = self.history.iter().rev();
        let (Some(last), Some(before)) = (newest.next(), newest.next()) else {
            return 0.0;
        };
        let hits = last.1.saturating_sub(before.1) as f64;
        hits * self.hit_ns / last.0.saturating_sub(before.0).max(1) as f64
    }

    fn note(&mut self, at_ns: u64, hits: u64) {
        // Entries that are close to each other are merged, the older of them moved forward: but for the first two, whose
        // difference is the whole rate.
        let n = self.history.len();
        let is_close = n >= 3
            && self
                .history
                .get(n - 2)
                .is_some_and(|&(before_ns, _)| at_ns < before_ns + SLOT_NS);
        if is_close {
            self.history.pop_back();
        }
        self.history.push_back((at_ns, hits));
        while self
            .history
            .get(1)
            .is_some_and(|&(next_ns, _)| next_ns.saturating_add(WINDOW_NS) <= at_ns)
        {
            self.history.pop_front();
        }
    }
}

#[cfg(test)]
#[path = "limit_tests.rs"]
mod tests;
