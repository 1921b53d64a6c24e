//! What is common to all entities of a process: when looks were, which collections ended, how much load there was.

use std::collections::VecDeque;

use super::windows::{N_WINDOWS, Plan, WINDOWS, plans};
use super::{AGES_NS, CYCLES, HISTORY, LOOK_NS, N_LEVELS};

/// Collections whose ends are remembered between two looks; only the last two are asked for.
const ENDS: usize = 2;
/// The quietest load is searched this many hours back: loads have the period of a day, and what was born in its night
/// may die in its noon.
const QUIET_HOURS: usize = 24;
/// Looks in an hour.
const HOUR: u32 = 240;

/// One look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Load since the attach.
    pub(super) load: f64,
    /// Collections ended since the attach.
    pub(super) cycles: u32,
    /// By level: births up to here have been judged, as looks since the attach.
    pub(super) known: [f64; N_LEVELS],
    /// The same as load since the attach.
    pub(super) known_load: [f64; N_LEVELS],
    /// Deaths up to here have been seen, as looks since the attach.
    pub(super) swept: f64,
    /// The same as load since the attach.
    pub(super) swept_load: f64,
    /// By window: the quietest mean load per look over that long before this look, or before the attach.
    pub(super) low: [f64; N_WINDOWS],
}

/// Looks, collections and load of a process.
#[derive(Clone, Debug)]
pub struct Clock {
    attached_ns: u64,
    /// Looks from the one at the attach on, at most [`HISTORY`] + 1 of them, the newest last.
    looks: VecDeque<Look>,
    /// Number of the newest; that of the attach is 0.
    number: u32,
    /// The last look that was missed, 0 for none.
    missed: u32,
    /// Ends of the last collections, the newest last.
    ends_ns: VecDeque<u64>,
    first_end_ns: Option<u64>,
    cycles: u32,
    gap_before_ns: Option<f64>,
    /// By window: quietest mean of each of the last hours, the present one last.
    quiet: VecDeque<[f64; N_WINDOWS]>,
    plans: Vec<Plan>,
    /// By window, newest lowest: in which of the last 16 looks an entity without any sample followed the load.
    follows: [u16; N_WINDOWS],
}

impl Clock {
    /// A process to which heaptop attached at `attached_ns`.
    ///
    /// * `load_before`: mean load per [`LOOK_NS`] from its start to the attach, in the unit of [`Self::look`].
    /// * `gap_before_ns`: mean time between its collections before the attach.
    ///
    /// What is not known is `None`, and then found out by watching: verdicts on what turns over come a little later.
    pub fn new(attached_ns: u64, load_before: Option<f64>, gap_before_ns: Option<f64>) -> Self {
        let sane = |x: &f64| x.is_finite() && *x >= 0.0;
        let load_before = load_before.filter(sane);
        let low = [load_before.unwrap_or(f64::INFINITY); N_WINDOWS];
        let begin = Look {
            load: 0.0,
            cycles: 0,
            known: [0.0; N_LEVELS],
            known_load: [0.0; N_LEVELS],
            swept: 0.0,
            swept_load: 0.0,
            low,
        };
        Self {
            attached_ns,
            looks: VecDeque::from([begin]),
            number: 0,
            missed: 0,
            ends_ns: VecDeque::new(),
            first_end_ns: None,
            cycles: 0,
            gap_before_ns: gap_before_ns.filter(sane),
            quiet: VecDeque::from([low]),
            plans: Vec::new(),
            follows: [0; N_WINDOWS],
        }
    }

    /// When the next look is due; looks are at multiples of [`LOOK_NS`] from the attach.
    pub fn next_look_ns(&self) -> u64 {
        self.time_of(u64::from(self.number) + 1)
    }

    /// When the last look was.
    pub fn last_look_ns(&self) -> u64 {
        self.time_of(u64::from(self.number))
    }

    fn time_of(&self, number: u64) -> u64 {
        self.attached_ns
            .saturating_add(number.saturating_mul(LOOK_NS))
    }

    /// A collection ended, with its sweep as far as its deaths are known. Those from before the attach do not count.
    pub fn gc(&mut self, at_ns: u64) {
        if at_ns <= self.attached_ns {
            return;
        }
        let at_ns = at_ns.max(self.ends_ns.back().copied().unwrap_or(0));
        self.first_end_ns.get_or_insert(at_ns);
        self.cycles = self.cycles.saturating_add(1);
        if self.ends_ns.len() == ENDS {
            self.ends_ns.pop_front();
        }
        self.ends_ns.push_back(at_ns);
    }

    /// A look, of which all that came before it is known: the one due last up to `at_ns`. `load` is cumulative since the
    /// attach, in samples (or requests): its own noise is reckoned as that of a count. Looks that were missed have the
    /// load in equal parts. Returns `false` where none is due.
    pub fn look(&mut self, at_ns: u64, load: f64) -> bool {
        let due = at_ns.saturating_sub(self.attached_ns) / LOOK_NS;
        let due = u32::try_from(due).unwrap_or(u32::MAX);
        if due <= self.number {
            return false;
        }
        let before = self.now().load;
        let load = if load.is_finite() {
            load.max(before)
        } else {
            before
        };
        let missed = due - self.number;
        if missed > 1 {
            self.missed = due - 1;
        }
        // After a gap as long as the history, only its end is remembered.
        let filled = missed.min(HOUR + 1);
        self.number = due - filled;
        for i in 1..=filled {
            self.number += 1;
            let part = f64::from(missed - filled + i) / f64::from(missed);
            self.push(before + (load - before) * part);
        }
        self.plans = plans(self);
        for (bits, window) in self.follows.iter_mut().zip(0..) {
            let follows = Plan::of(&self.plans, 0, window, 0).follows.is_some();
            *bits = bits.unbounded_shl(filled) | u16::from(follows);
        }
        true
    }

    fn push(&mut self, load: f64) {
        let now = f64::from(self.number);
        let in_looks = |ns: u64| ns.saturating_sub(self.attached_ns) as f64 / LOOK_NS as f64;
        let last_but_one = match self.ends_ns.len() {
            ENDS => self.ends_ns.front().map_or(0.0, |&ns| in_looks(ns)),
            _ => 0.0,
        };
        let swept = self.ends_ns.back().map_or(0.0, |&ns| in_looks(ns)).min(now);
        let known = AGES_NS.map(|age_ns| {
            let of_age = now - age_ns as f64 / LOOK_NS as f64;
            of_age.min(last_but_one).max(0.0)
        });
        if self.looks.len() > HISTORY {
            self.looks.pop_front();
        }
        self.looks.push_back(Look {
            load,
            cycles: self.cycles,
            known,
            known_load: [0.0; N_LEVELS],
            swept,
            swept_load: 0.0,
            low: [0.0; N_WINDOWS],
        });
        let known_load = known.map(|at| self.load_at(at));
        let swept_load = self.load_at(swept);
        let low = self.quietest(load);
        if let Some(look) = self.looks.back_mut() {
            (look.known_load, look.swept_load, look.low) = (known_load, swept_load, low);
        }
    }

    /// Load since the attach at a time in looks, between looks in proportion; that of the oldest look known for what
    /// was before it.
    fn load_at(&self, at: f64) -> f64 {
        let x = (at - f64::from(self.oldest())).max(0.0);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not below 0, and no more than the number of looks"
        )]
        let i = (x as usize).min(self.looks.len() - 1);
        let from = self.looks[i].load;
        let to = self.looks.get(i + 1).map_or(from, |look| look.load);
        (to - from) * (x - i as f64) + from
    }

    /// The quietest mean loads up to now, with the present look.
    fn quietest(&mut self, load: f64) -> [f64; N_WINDOWS] {
        if self.number.is_multiple_of(HOUR) {
            if self.quiet.len() == QUIET_HOURS {
                self.quiet.pop_front();
            }
            self.quiet.push_back([f64::INFINITY; N_WINDOWS]);
        }
        let newest = self.looks.len() - 1;
        if let Some(quiet) = self.quiet.back_mut() {
            for (low, looks) in quiet.iter_mut().zip(WINDOWS) {
                let looks = looks.max(16);
                if newest >= looks {
                    let mean = (load - self.looks[newest - looks].load) / looks as f64;
                    *low = low.min(mean);
                }
            }
        }
        let mut low = [f64::INFINITY; N_WINDOWS];
        for hour in &self.quiet {
            for (low, &quiet) in low.iter_mut().zip(hour) {
                *low = low.min(quiet);
            }
        }
        low
    }

    /// The looks that are remembered, the oldest first; never empty.
    pub(super) fn looks(&self) -> &VecDeque<Look> {
        &self.looks
    }

    /// The last look.
    pub(super) fn now(&self) -> &Look {
        &self.looks[self.looks.len() - 1]
    }

    /// Number of the last look.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Looks in a row that were not missed, up to the last; at most all that are remembered.
    pub(super) fn watched(&self) -> usize {
        let since = self.number - self.missed;
        (since as usize).min(self.looks.len() - 1)
    }

    /// Number of the oldest look that is remembered.
    pub(super) fn oldest(&self) -> u32 {
        let before = u32::try_from(self.looks.len() - 1).unwrap_or(u32::MAX);
        self.number.saturating_sub(before)
    }

    /// Number of the look at a place among [`Self::looks`].
    pub(super) fn number_of(&self, place: usize) -> u32 {
        let since = u32::try_from(place).unwrap_or(u32::MAX);
        self.oldest().saturating_add(since)
    }

    /// The first look from which counts of this level mean something: until then the first samples have not come of age,
    /// and deaths from before the attach are still being shown. As a place among [`Self::looks`].
    pub(super) fn first(&self, level: usize) -> usize {
        let gap_ns = self.gap_ns().unwrap_or(0.0);
        let first = (gap_ns.max(AGES_NS[level] as f64) / LOOK_NS as f64).ceil();
        let first = first - f64::from(self.oldest());
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast from f64 saturates"
        )]
        let first = first.max(0.0) as usize;
        first
    }

    /// Mean time between collections: as known from before the attach, else as seen since.
    pub(super) fn gap_ns(&self) -> Option<f64> {
        let seen = || {
            let span = self.ends_ns.back()?.checked_sub(self.first_end_ns?)?;
            (self.cycles > 1).then(|| span as f64 / f64::from(self.cycles - 1))
        };
        self.gap_before_ns.or_else(seen)
    }

    /// How a window of a level is cut now, by either clock.
    pub(super) fn plan(&self, level: usize, window: usize, clock: usize) -> Option<&Plan> {
        (!self.plans.is_empty()).then(|| Plan::of(&self.plans, level, window, clock))
    }

    /// The vetoes that an entity without samples had before the present look.
    pub(super) fn vetoes_of_none(&self) -> [u16; N_WINDOWS] {
        self.follows.map(|bits| bits >> 1)
    }
}

const _: () = assert!(ENDS == CYCLES as usize && HOUR as usize == HISTORY);
