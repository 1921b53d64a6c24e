//! When calls are counted: always where that is cheap, else in short windows.
//!
//! It is told what was counted so far and answers when the probes go off and on. The first seconds are a window too:
//! nobody knows before how often the function is called.

use crate::model::gc::SECOND_NS;
use crate::source::governor::Turn;

/// Most that the probes of calls may take of one CPU.
const MAX_CPU_FRACTION: f64 = 0.001;
/// Windows end for good below this share of it: at the edge itself they would come and go.
const BACK_FRACTION: f64 = 0.8;
/// Length of a window, and of the first look.
const WINDOW_NS: u64 = 2 * SECOND_NS;
/// There is one window in this time.
const PERIOD_NS: u64 = 60 * SECOND_NS;
/// The share is judged over this long while calls are counted always.
const JUDGED_NS: u64 = 10 * SECOND_NS;
/// Longest time between two windows, however much the last one took.
const LONGEST_OFF_NS: u64 = 600 * SECOND_NS;
/// A probe that could not be placed is tried again so much later.
const RETRY_NS: u64 = 10 * SECOND_NS;
/// What a hit costs until it is measured: a trap, and a program that adds one.
const ASSUMED_HIT_NS: f64 = 1_000.0;
/// The program's part of that, as the kernel measures it (`bpf_stats` on 6.18: 52 to 55 ns, with its own clock; a whole hit
/// was 850 to 900).
const PROGRAM_NS: f64 = 50.0;

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Since when, and with how many hits then.
    On { since_ns: u64, hits: u64 },
    /// Since when, what the window had been begun with, and when the next one begins at the earliest.
    Off {
        since_ns: u64,
        hits: u64,
        until_ns: u64,
    },
}

/// Decides when calls are counted.
#[derive(Clone, Debug)]
pub(super) struct CallWindows {
    max_cpu_fraction: f64,
    hit_cost_ns: f64,
    phase: Phase,
    is_windowed: bool,
    /// How long hits are watched before they are judged.
    judged_ns: u64,
    /// When the present period of a window began, and the number of windows.
    period_ns: u64,
    n_windows: u64,
}

impl CallWindows {
    /// The probes are on from `at_ns`, with so many hits before; without a budget they stay.
    pub(super) fn new(has_budget: bool, at_ns: u64, hits: u64) -> Self {
        Self {
            max_cpu_fraction: if has_budget {
                MAX_CPU_FRACTION
            } else {
                f64::INFINITY
            },
            hit_cost_ns: ASSUMED_HIT_NS,
            phase: Phase::On {
                since_ns: at_ns,
                hits,
            },
            is_windowed: false,
            judged_ns: WINDOW_NS,
            period_ns: at_ns,
            n_windows: 0,
        }
    }

    /// A trap was measured to cost so much, without a program.
    pub(super) fn trap_costs(&mut self, ns: f64) {
        self.hit_cost_ns = ns + PROGRAM_NS;
    }

    pub(super) fn is_on(&self) -> bool {
        matches!(self.phase, Phase::On { .. })
    }

    pub(super) fn is_windowed(&self) -> bool {
        self.is_windowed
    }

    /// The probes could not be placed.
    pub(super) fn not_placed(&mut self, at_ns: u64, hits: u64) {
        self.phase = Phase::Off {
            since_ns: at_ns,
            hits,
            until_ns: at_ns.saturating_add(RETRY_NS),
        };
    }

    /// Looks at the hits so far.
    pub(super) fn look(&mut self, at_ns: u64, hits: u64) -> Turn {
        match self.phase {
            Phase::On {
                since_ns,
                hits: before,
            } => {
                let spent_ns = self.spent_ns(before, hits);
                let on_ns = at_ns.saturating_sub(since_ns);
                // What a whole period may take is not to be taken in one burst.
                let is_spent = spent_ns > self.max_cpu_fraction * PERIOD_NS as f64;
                if on_ns < self.judged_ns && !is_spent {
                    return Turn::Same;
                }
                let fraction = spent_ns / on_ns.max(1) as f64;
                let may = if self.is_windowed { BACK_FRACTION } else { 1.0 };
                if fraction <= may * self.max_cpu_fraction && !is_spent {
                    self.is_windowed = false;
                    self.judged_ns = JUDGED_NS;
                    self.phase = Phase::On {
                        since_ns: at_ns,
                        hits,
                    };
                    return Turn::Same;
                }
                self.is_windowed = true;
                self.judged_ns = WINDOW_NS;
                self.phase = Phase::Off {
                    since_ns,
                    hits: before,
                    until_ns: self.next_window(at_ns),
                };
                Turn::Off
            }
            Phase::Off {
                since_ns,
                hits: before,
                until_ns,
            } => {
                // Probes on their way out go on to trap, which is paid for as well.
                let paid_ns = nanoseconds(self.spent_ns(before, hits) / self.max_cpu_fraction);
                let paid_ns = since_ns.saturating_add(paid_ns.min(LONGEST_OFF_NS));
                if at_ns < until_ns.max(paid_ns) {
                    return Turn::Same;
                }
                self.phase = Phase::On {
                    since_ns: at_ns,
                    hits,
                };
                Turn::On
            }
        }
    }

    /// Takes the probes out until the next look: nobody will be there to judge them. `false` where they are out already.
    pub(super) fn rest(&mut self, at_ns: u64) -> bool {
        let Phase::On { since_ns, hits } = self.phase else {
            return false;
        };
        self.phase = Phase::Off {
            since_ns,
            hits,
            until_ns: at_ns,
        };
        true
    }

    /// The next window begins somewhere in the next period, spread evenly over the many: work that comes every minute
    /// must not fall into all of them, or into none.
    fn next_window(&mut self, at_ns: u64) -> u64 {
        const GOLDEN: f64 = 0.618_033_988_749_895;
        while self.period_ns <= at_ns {
            self.period_ns += PERIOD_NS;
        }
        self.n_windows += 1;
        let offset = (self.n_windows as f64 * GOLDEN).fract();
        self.period_ns + nanoseconds(offset * (PERIOD_NS - WINDOW_NS) as f64)
    }

    fn spent_ns(&self, before: u64, hits: u64) -> f64 {
        hits.saturating_sub(before) as f64 * self.hit_cost_ns
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "never negative, and saturates"
)]
fn nanoseconds(ns: f64) -> u64 {
    ns as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks ten times a second for `seconds`, with so many calls a second; gives the hits taken, the share of time that
    /// the probes were on, and the seconds in which a window began.
    fn run(
        windows: &mut CallWindows,
        from: u64,
        seconds: u64,
        per_sec: u64,
    ) -> (u64, f64, Vec<u64>) {
        let (mut hits, mut on, mut begun) = (0, 0_u64, Vec::new());
        for i in 1..=seconds * 10 {
            if windows.is_on() {
                hits += per_sec / 10;
                on += 1;
            }
            let turn = windows.look(from * SECOND_NS + i * SECOND_NS / 10, hits);
            if turn == Turn::On {
                begun.push(i / 10);
            }
        }
        (hits, on as f64 / (seconds * 10) as f64, begun)
    }

    #[test]
    fn few_calls_are_counted_always() {
        let mut windows = CallWindows::new(true, 0, 0);
        let (hits, on, _) = run(&mut windows, 0, 600, 900);
        assert_eq!((hits, windows.is_windowed()), (540_000, false));
        assert!((on - 1.0).abs() < 1e-9);
    }

    #[test]
    fn without_a_budget_all_are() {
        let mut windows = CallWindows::new(false, 0, 0);
        let (_, on, _) = run(&mut windows, 0, 60, 1_000_000);
        assert!((on - 1.0).abs() < 1e-9 && !windows.is_windowed());
    }

    #[test]
    fn many_are_counted_two_seconds_in_sixty_at_moments_of_no_pattern() {
        let mut windows = CallWindows::new(true, 0, 0);
        let (hits, on, begun) = run(&mut windows, 0, 3600, 20_000);
        assert!(windows.is_windowed());
        assert!((0.03..0.036).contains(&on), "{on}");
        assert!(hits as f64 * 1e-6 < 0.001 * 3700.0, "{hits}");
        assert!((55..=60).contains(&begun.len()), "{begun:?}");
        let early = begun.iter().filter(|&&second| second % 60 < 29).count();
        assert!((25..=34).contains(&early), "{begun:?}");
    }

    #[test]
    fn however_many_the_share_is_kept() {
        for per_sec in [50_000, 400_000, 2_000_000] {
            let mut windows = CallWindows::new(true, 0, 0);
            let (hits, _, begun) = run(&mut windows, 0, 3600, per_sec);
            assert!(hits as f64 * 1e-6 < 0.0013 * 3600.0, "{per_sec}: {hits}");
            assert!(begun.len() > 10, "{per_sec}: {begun:?}");
        }
    }

    #[test]
    fn after_a_rest_calls_are_counted_again() {
        let mut windows = CallWindows::new(true, 0, 0);
        assert!(windows.rest(SECOND_NS) && !windows.is_on() && !windows.rest(SECOND_NS));
        assert_eq!(windows.look(30 * SECOND_NS, 100), Turn::On);
        assert!(!windows.is_windowed());
    }

    #[test]
    fn a_load_that_falls_is_counted_always_again_and_one_that_rises_is_not() {
        let mut windows = CallWindows::new(true, 0, 0);
        run(&mut windows, 0, 300, 5_000);
        assert!(windows.is_windowed());
        let (_, on, _) = run(&mut windows, 300, 300, 500);
        assert!(on > 0.5 && !windows.is_windowed(), "{on}");
        run(&mut windows, 600, 300, 5_000);
        assert!(windows.is_windowed());
    }
}
