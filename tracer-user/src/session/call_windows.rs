//! Times at which calls are counted: always where that is cheap, else in short windows.
//!
//! It receives how many calls were counted and answers when the probes are removed and attached. The time after the
//! attach is a window too: how often the function is called is not known before. [`crate::source::limit`] ends a window
//! as soon as it costs too much, [`CallWindows::cut`]; at 35 000 calls a second that is after some 20 ms.

use crate::model::gc::SECOND_NS;
use crate::source::governor::Turn;
use crate::source::limit::{Group, SecondLimit};
use crate::source::nanoseconds;

/// Windows end for good below this share of the limit: at the limit itself they would come and go.
const BACK_FRACTION: f64 = 0.8;
/// Longest window, and the first check of the cost.
const WINDOW_NS: u64 = 2 * SECOND_NS;
/// There is one window in this time: three in each evaluation.
const PERIOD_NS: u64 = 5 * SECOND_NS;
/// Time over which the cost is averaged while calls are always counted.
const JUDGED_NS: u64 = 10 * SECOND_NS;
/// Windows after the attach that follow each other at [`SHORTEST_OFF_NS`]: the rate is known within 15 s.
const FIRST_WINDOWS: u64 = 8;
/// Shortest time between two windows: by then the second in which the cost of the last one counts is over.
const SHORTEST_OFF_NS: u64 = SECOND_NS + SECOND_NS / 10;
/// Longest time between two windows, however much the last one cost.
const LONGEST_OFF_NS: u64 = 600 * SECOND_NS;
/// Time after which a probe that could not be attached is tried again.
const RETRY_NS: u64 = 10 * SECOND_NS;
/// The program's part of the cost of a hit, as the kernel measures it (`bpf_stats` on 6.18: 52 to 55 ns, with its own
/// clock; a whole hit was 850 to 900).
const PROGRAM_NS: f64 = 50.0;

/// Cost of a counted call in nanoseconds, by that of a trap without a program.
pub(super) fn hit_ns(trap_ns: f64) -> f64 {
    trap_ns + PROGRAM_NS
}

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
    /// The probes are on from `at_ns`, with so many hits before. All probes of the watch together may take
    /// `max_cpu_fraction` of one CPU; if that is infinite, calls are always counted.
    pub(super) fn new(max_cpu_fraction: f64, at_ns: u64, hits: u64) -> Self {
        Self {
            max_cpu_fraction: SecondLimit::steady_cpu_fraction(Group::Calls, max_cpu_fraction),
            hit_cost_ns: Group::Calls.assumed_hit_ns(),
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

    /// Takes the measured cost of a trap without a program. Returns the cost of a hit.
    pub(super) fn trap_costs(&mut self, ns: f64) -> f64 {
        self.hit_cost_ns = hit_ns(ns);
        self.hit_cost_ns
    }

    /// Ends the window: the probes were removed at `at_ns` because of their cost.
    pub(super) fn cut(&mut self, at_ns: u64) {
        if let Phase::On { since_ns, hits } = self.phase {
            self.close(since_ns, hits, at_ns);
        }
    }

    fn close(&mut self, since_ns: u64, hits: u64, at_ns: u64) {
        self.is_windowed = true;
        self.judged_ns = WINDOW_NS;
        self.phase = Phase::Off {
            since_ns,
            hits,
            until_ns: self.next_window(at_ns).max(at_ns + SHORTEST_OFF_NS),
        };
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
                let on_ns = at_ns.saturating_sub(since_ns);
                if on_ns < self.judged_ns {
                    return Turn::Same;
                }
                let fraction = self.spent_ns(before, hits) / on_ns.max(1) as f64;
                let may = if self.is_windowed { BACK_FRACTION } else { 1.0 };
                if fraction <= may * self.max_cpu_fraction {
                    self.is_windowed = false;
                    self.judged_ns = JUDGED_NS;
                    self.phase = Phase::On {
                        since_ns: at_ns,
                        hits,
                    };
                    return Turn::Same;
                }
                self.close(since_ns, before, at_ns);
                Turn::Off
            }
            Phase::Off {
                since_ns,
                hits: before,
                until_ns,
            } => {
                // A window that cost more than a second may is followed by a longer pause.
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
        if self.n_windows <= FIRST_WINDOWS {
            return at_ns.saturating_add(SHORTEST_OFF_NS);
        }
        let offset = (self.n_windows as f64 * GOLDEN).fract();
        self.period_ns + nanoseconds(offset * PERIOD_NS as f64)
    }

    fn spent_ns(&self, before: u64, hits: u64) -> f64 {
        hits.saturating_sub(before) as f64 * self.hit_cost_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks ten times a second for `seconds`, with so many calls a second at 1 us each, and cuts a window when it has spent
    /// 0.9 ms of CPU within a second; returns the hits, the share of time that the probes were on, and the seconds in which
    /// a window began.
    fn run(
        windows: &mut CallWindows,
        from: u64,
        seconds: u64,
        per_sec: u64,
    ) -> (u64, f64, Vec<u64>) {
        windows.trap_costs(1_000.0 - PROGRAM_NS);
        let (mut hits, mut on, mut begun, mut in_window) = (0, 0_u64, Vec::new(), 0);
        for ms in 1..=seconds * 1_000 {
            let at_ns = from * SECOND_NS + ms * 1_000_000;
            if windows.is_on() {
                let new = per_sec * ms / 1_000 - per_sec * (ms - 1) / 1_000;
                hits += new;
                in_window += new;
                on += 1;
                if per_sec > 900 && in_window >= 900 {
                    windows.cut(at_ns);
                }
            }
            if ms % 100 == 0 && windows.look(at_ns, hits) == Turn::On {
                begun.push(ms / 1_000);
                in_window = 0;
            }
        }
        (hits, on as f64 / (seconds * 1_000) as f64, begun)
    }

    #[test]
    fn few_calls_are_counted_always() {
        let mut windows = CallWindows::new(0.01, 0, 0);
        let (hits, on, _) = run(&mut windows, 0, 600, 800);
        assert_eq!((hits, windows.is_windowed()), (480_000, false));
        assert!((on - 1.0).abs() < 1e-9);
    }

    #[test]
    fn without_a_limit_all_are() {
        let mut windows = CallWindows::new(f64::INFINITY, 0, 0);
        windows.look(60 * SECOND_NS, 60_000_000);
        assert!(windows.is_on() && !windows.is_windowed());
    }

    #[test]
    fn many_are_counted_once_in_five_seconds_at_moments_of_no_pattern() {
        let mut windows = CallWindows::new(0.01, 0, 0);
        let (hits, on, begun) = run(&mut windows, 0, 3600, 20_000);
        assert!(windows.is_windowed());
        assert!((0.006..0.012).contains(&on), "{on}");
        assert!(hits as f64 * 1e-6 < 0.0003 * 3600.0, "{hits}");
        assert!((600..=725).contains(&begun.len()), "{}", begun.len());
        for remainder in 0..5 {
            let n = begun
                .iter()
                .filter(|&&second| second % 5 == remainder)
                .count();
            assert!(n > begun.len() / 10, "{remainder}: {n}");
        }
    }

    #[test]
    fn windows_are_more_than_a_second_apart() {
        let mut windows = CallWindows::new(0.01, 0, 0);
        let mut last = 0;
        for i in 1..10_000 {
            let at_ns = i * SECOND_NS / 100;
            if windows.is_on() {
                windows.cut(at_ns);
                last = at_ns;
            }
            if windows.look(at_ns, 0) == Turn::On {
                assert!(at_ns > last + SECOND_NS, "{at_ns} after {last}");
            }
        }
    }

    #[test]
    fn after_a_rest_calls_are_counted_again() {
        let mut windows = CallWindows::new(0.01, 0, 0);
        assert!(windows.rest(SECOND_NS) && !windows.is_on() && !windows.rest(SECOND_NS));
        assert_eq!(windows.look(30 * SECOND_NS, 100), Turn::On);
        assert!(!windows.is_windowed());
    }

    #[test]
    fn a_load_that_falls_is_counted_always_again_and_one_that_rises_is_not() {
        let mut windows = CallWindows::new(0.01, 0, 0);
        run(&mut windows, 0, 300, 5_000);
        assert!(windows.is_windowed());
        let (_, on, _) = run(&mut windows, 300, 300, 500);
        assert!(on > 0.5 && !windows.is_windowed(), "{on}");
        run(&mut windows, 600, 300, 5_000);
        assert!(windows.is_windowed());
    }
}
