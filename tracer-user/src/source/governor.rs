//! Turns of the probes of allocations: on until their cost in one second is used up, then off for the rest of it.
//!
//! Pure: [`super::limit`] decides when the probes are removed, this module when they are attached again and how the
//! allocations of the pause are shared out. Removing probes takes the kernel 0.1 s.

use super::{Pause, nanoseconds};
use crate::event::Duty;
use crate::model::gc::SECOND_NS;

/// Longest turn: one without a pause is followed by the next.
const ON_NS: u64 = SECOND_NS;
/// Shortest turn that is planned with: shorter ones consist of the delay of the removal.
pub const SHORTEST_ON_NS: u64 = SECOND_NS / 125;
/// Shortest time off that is worth a removal.
const SHORTEST_OFF_NS: u64 = SECOND_NS / 5;
/// Turns begin at least this far apart: by then the second in which the cost of the last one counts is over.
const RENEWAL_NS: u64 = SECOND_NS + SECOND_NS / 10;
/// Longest time off: beyond it a sample stands for too much, and a change of load is seen too late.
pub const LONGEST_OFF_NS: u64 = 60 * SECOND_NS;
/// What a hit with its stack costs until it is measured.
pub const ASSUMED_HIT_NS: f64 = 2_000.0;
/// The budget of these sources, where the user gives none: a share of one CPU.
pub const DEFAULT_MAX_CPU_FRACTION: f64 = 0.01;

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Turn {
    /// Go on as it is.
    Same,
    /// Remove the probes.
    Off,
    /// Attach them again.
    On,
}

/// Keeps a budget.
#[derive(Clone, Debug)]
pub struct Governor {
    max_cpu_fraction: f64,
    hit_cost_ns: f64,
    phase: Phase,
    /// Cost of the turn before, as a share of one CPU while on.
    wanted: Option<f64>,
    on_ns: u64,
    off_ns: u64,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    On {
        since_ns: u64,
        hits: u64,
    },
    /// Since the turn before began, with so many traps then.
    Off {
        since_ns: u64,
        hits: u64,
        not_before_ns: u64,
    },
}

impl Governor {
    /// Probes are on from `at_ns`, with `hits` traps so far.
    pub fn new(max_cpu_fraction: f64, at_ns: u64, hits: u64) -> Self {
        Self {
            max_cpu_fraction,
            hit_cost_ns: ASSUMED_HIT_NS,
            phase: Phase::On {
                since_ns: at_ns,
                hits,
            },
            wanted: None,
            on_ns: 0,
            off_ns: 0,
        }
    }

    /// A hit was measured to cost so much.
    pub fn hit_costs(&mut self, ns: f64) {
        self.hit_cost_ns = ns;
    }

    /// Whether the probes are on.
    pub fn is_on(&self) -> bool {
        matches!(self.phase, Phase::On { .. })
    }

    /// The probes could not be placed again: they are tried again after a while, and count as off until then.
    pub fn not_placed(&mut self, at_ns: u64, hits: u64) {
        self.on_ns = 0;
        self.off_ns = self.off_ns.max(SHORTEST_OFF_NS);
        self.phase = Phase::Off {
            since_ns: at_ns,
            hits,
            not_before_ns: at_ns.saturating_add(SHORTEST_OFF_NS),
        };
    }

    /// What the traps from `before` to `hits` have taken of a CPU.
    fn spent_ns(&self, before: u64, hits: u64) -> f64 {
        hits.saturating_sub(before) as f64 * self.hit_cost_ns
    }

    /// How long after the first of these traps their mean is within the budget.
    fn paid_after(&self, before: u64, hits: u64) -> u64 {
        nanoseconds(self.spent_ns(before, hits) / self.max_cpu_fraction)
    }

    /// Takes the hits of the allocation probes so far, `hits`, at `at_ns`.
    pub fn look(&mut self, at_ns: u64, hits: u64) -> Turn {
        match self.phase {
            Phase::Off {
                since_ns,
                hits: before,
                not_before_ns,
            } => {
                let paid_ns = self
                    .paid_after(before, hits)
                    .clamp(RENEWAL_NS, LONGEST_OFF_NS);
                if at_ns < since_ns.saturating_add(paid_ns).max(not_before_ns) {
                    return Turn::Same;
                }
                self.off_ns = at_ns.saturating_sub(since_ns).saturating_sub(self.on_ns);
                self.phase = Phase::On {
                    since_ns: at_ns,
                    hits,
                };
                Turn::On
            }
            Phase::On {
                since_ns,
                hits: before,
            } => {
                let on_ns = at_ns.saturating_sub(since_ns);
                if on_ns >= ON_NS {
                    // Within the limit: a new turn begins without a pause.
                    self.wanted = Some(self.spent_ns(before, hits) / on_ns as f64);
                    self.on_ns = on_ns;
                    self.off_ns = 0;
                    self.phase = Phase::On {
                        since_ns: at_ns,
                        hits,
                    };
                }
                Turn::Same
            }
        }
    }

    /// Ends the turn: the probes were removed at `at_ns`, after `hits`, because of their cost.
    pub fn cut(&mut self, at_ns: u64, hits: u64) {
        if let Phase::On {
            since_ns,
            hits: before,
        } = self.phase
        {
            self.on_ns = at_ns.saturating_sub(since_ns);
            self.wanted = Some(self.spent_ns(before, hits) / self.on_ns.max(1) as f64);
            self.phase = Phase::Off {
                since_ns,
                hits: before,
                not_before_ns: at_ns.saturating_add(SHORTEST_OFF_NS),
            };
        }
    }

    /// Ends a turn before its time, whatever it has cost: nobody will be there to look. [`Turn::Same`] where the probes
    /// are off already. The next look that the budget allows begins another turn.
    pub fn rest(&mut self, at_ns: u64) -> Turn {
        let Phase::On { since_ns, hits } = self.phase else {
            return Turn::Same;
        };
        self.on_ns = at_ns.saturating_sub(since_ns);
        self.phase = Phase::Off {
            since_ns,
            hits,
            not_before_ns: at_ns,
        };
        Turn::Off
    }

    /// Part of the allocations of the last pause that the window from `from_ns` to `at_ns` takes over: they are spread
    /// over the turn. `ends`: it is the turn's last window.
    pub fn pause(&self, from_ns: u64, at_ns: u64, ends: bool) -> Pause {
        let Phase::On { since_ns, .. } = self.phase else {
            return Pause::NONE;
        };
        let turn_ns = self.on_ns.clamp(SHORTEST_ON_NS, ON_NS);
        let ends_ns = since_ns + turn_ns;
        if self.off_ns == 0 || from_ns >= ends_ns {
            return Pause::NONE;
        }
        let is_last = ends || at_ns >= ends_ns;
        let share = if is_last {
            1.0
        } else {
            at_ns.saturating_sub(from_ns) as f64 / ends_ns.saturating_sub(from_ns).max(1) as f64
        };
        Pause {
            share,
            is_last,
            off_per_on: self.off_ns as f64 / turn_ns as f64,
        }
    }

    /// Whether all that was allocated up to `at_ns` has been told: not in a pause, and not while a turn takes it over.
    pub fn has_told_all(&self, at_ns: u64) -> bool {
        match self.phase {
            Phase::Off { .. } => false,
            Phase::On { since_ns, .. } => {
                self.off_ns == 0 || at_ns >= since_ns + self.on_ns.clamp(SHORTEST_ON_NS, ON_NS)
            }
        }
    }

    /// What is shown of it.
    pub fn duty(&self, at_ns: u64) -> Duty {
        let on = self.on_ns as f64;
        let on_fraction = if self.off_ns == 0 {
            1.0
        } else {
            on / (on + self.off_ns as f64)
        };
        Duty {
            at_ns,
            on_fraction,
            wanted_cpu_fraction: self.wanted.unwrap_or(0.0),
            max_cpu_fraction: self.max_cpu_fraction,
        }
    }
}

/// Share of one CPU that the shortest turn takes of its second, at so many allocations a second; above the limit, the
/// limit cannot be kept.
pub fn least_cpu_fraction(allocations_per_sec: f64) -> f64 {
    allocations_per_sec * ASSUMED_EXACT_HIT_NS / SECOND_NS as f64 * SHORTEST_ON_NS as f64
        / SECOND_NS as f64
}

/// What an allocation costs under `exact`, before anything was measured (design: 1 µs a hit).
const ASSUMED_EXACT_HIT_NS: f64 = 1_000.0;

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `seconds` in looks of 100 ms at so many hits a second while on, and cuts a turn when it has spent 8 ms of CPU;
    /// returns the hits and the share of time on.
    fn run(governor: &mut Governor, seconds: u64, per_sec: u64) -> (u64, f64) {
        const LEFT_NS: u64 = 8_000_000;
        let (mut hits, mut on_ms, mut in_turn) = (0, 0, 0);
        for ms in 1..=seconds * 1_000 {
            let at_ns = ms * 1_000_000;
            if governor.is_on() {
                hits += per_sec / 1_000;
                in_turn += per_sec / 1_000;
                on_ms += 1;
            }
            if governor.is_on() && per_sec > 8_000 && in_turn * 1_000 >= LEFT_NS {
                governor.cut(at_ns, hits);
            }
            if ms % 100 == 0 && governor.look(at_ns, hits) == Turn::On {
                in_turn = 0;
            }
        }
        (hits, f64::from(on_ms) / (seconds * 1_000) as f64)
    }

    #[test]
    fn turns_begin_a_second_apart_and_cheap_probes_stay() {
        for per_sec in [20_000, 100_000, 1_000_000] {
            let mut governor = Governor::new(0.01, 0, 0);
            governor.hit_costs(1_000.0);
            let (hits, on) = run(&mut governor, 600, per_sec);
            let share = hits as f64 * 1_000.0 / (600.0 * SECOND_NS as f64);
            assert!((0.006..0.01).contains(&share), "{per_sec}/s took {share}");
            let duty = governor.duty(0);
            assert!((duty.on_fraction - on).abs() < 0.02, "{on}: {duty:?}");
            let wanted = per_sec as f64 * 1e-6;
            assert!(
                (duty.wanted_cpu_fraction / wanted - 1.0).abs() < 0.1,
                "{duty:?}"
            );
        }
        let mut governor = Governor::new(0.01, 0, 0);
        governor.hit_costs(1_000.0);
        assert_eq!(run(&mut governor, 60, 5_000).0, 300_000);
        assert!((governor.duty(0).on_fraction - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_turn_that_overran_its_limit_is_paid_for() {
        let mut governor = Governor::new(0.01, 0, 0);
        governor.hit_costs(1_000.0);
        governor.cut(SECOND_NS / 10, 50_000);
        assert_eq!(governor.look(4 * SECOND_NS, 50_000), Turn::Same);
        assert_eq!(governor.look(5 * SECOND_NS, 50_000), Turn::On);
    }

    #[test]
    fn the_pause_is_shared_out_over_the_turn() {
        let mut governor = Governor::new(0.01, 0, 0);
        governor.cut(SECOND_NS, 100_000);
        assert_eq!(governor.look(90 * SECOND_NS, 100_000), Turn::On);
        let mut backlog = 1.0;
        for i in 900..910u64 {
            let pause = governor.pause(i * SECOND_NS / 10, (i + 1) * SECOND_NS / 10, false);
            assert!(pause.off_per_on > 5.0 && pause.is_last == (i == 909));
            backlog -= backlog * pause.share;
            assert!(i > 904 || backlog > 0.4);
        }
        assert!(backlog.abs() < 1e-9);
        // Later windows have nothing to take over, and a pause takes over nothing.
        let later = governor.pause(91 * SECOND_NS, 92 * SECOND_NS, false);
        assert_eq!(later, Pause::NONE);
    }

    #[test]
    fn the_last_window_of_a_turn_that_is_cut_early_takes_over_the_rest() {
        let mut governor = Governor::new(0.01, 0, 0);
        governor.cut(SECOND_NS, 10_000);
        assert_eq!(governor.look(2 * SECOND_NS, 10_000), Turn::On);
        let pause = governor.pause(2 * SECOND_NS, 2 * SECOND_NS + 50_000_000, true);
        assert!(pause.is_last && (pause.share - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_rest_ends_the_turn_and_the_next_look_begins_another_that_takes_it_over() {
        let mut governor = Governor::new(1.0, 0, 0);
        assert_eq!(governor.rest(SECOND_NS), Turn::Off);
        assert!(!governor.is_on() && !governor.has_told_all(SECOND_NS));
        assert_eq!(governor.rest(2 * SECOND_NS), Turn::Same);
        assert_eq!(governor.look(31 * SECOND_NS, 100), Turn::On);
        let pause = governor.pause(31 * SECOND_NS, 32 * SECOND_NS, false);
        assert!(pause.is_last && (pause.off_per_on - 30.0).abs() < 1e-9);
    }

    #[test]
    fn a_million_allocations_a_second_fit_one_percent_only_at_the_edge() {
        assert!(least_cpu_fraction(1_000_000.0) < DEFAULT_MAX_CPU_FRACTION);
        assert!(least_cpu_fraction(2_000_000.0) > DEFAULT_MAX_CPU_FRACTION);
    }
}
