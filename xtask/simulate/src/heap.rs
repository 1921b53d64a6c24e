//! Live heaps of simulated processes, second by second, and what is true about their growth.

use std::f64::consts::TAU;

use clap::ValueEnum;

use crate::random::Random;

/// Seconds before the attach that a heap covers: the runtime forces a GC every 2 min, so the last one is within.
pub(crate) const BEFORE_S: usize = 180;
/// Length of a watch.
const WATCH_S: usize = 600;
/// Length of a watch of [`Kind::LeakStops`]: 8 min more than the latest withdrawal that is allowed.
const LONG_WATCH_S: usize = 900;
/// Second at which [`Kind::LeakStops`] stops.
const STOP_S: f64 = 300.0;
/// Least live heap, MiB.
const LEAST_MIB: f64 = 2.0;
/// Second whose heap sets the allocation rate of a leaking process, so that its GC gaps in the first 5 minutes have the
/// drawn mean.
const PACE_S: f64 = 150.0;
const DAY_S: f64 = 86_400.0;
/// GC cycles in the period of a saw-tooth from which on the marks show its shape.
const CYCLES_IN_TOOTH: f64 = 2.5;
/// Rate of the leak beside bursts, MiB per minute.
const BURSTS_LEAK: f64 = 5.0;
/// Load of a burst, relative to the load around it.
const BURST_LOAD: f64 = 3.0;
/// Least growth that heaptop reports, as a part of the heap: less is no rise.
const LEAST_GROWTH: f64 = 0.01;
/// The same in MiB.
const LEAST_GROWTH_MIB: f64 = 0.25;
/// Time constants in which a cache that fills ever slower reaches 95 % of its bound.
const CURVE: f64 = 3.0;

/// Kind of a simulated process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Kind {
    /// Constant heap with white noise
    Flat,
    /// Cache that fills and is flushed, with periods of 6 to 60 s (the earliest word comes after 60 s) and at least 2.5 GC
    /// cycles in each
    SawTooth,
    /// Noise with a correlation time of 5 to 60 s and a deviation of 0.5 to 3 % of the heap
    Correlated,
    /// Steps of 10 to 50 % up, and back 20 to 200 s later
    StepsBack,
    /// Bursts of requests, 30 to 150 s apart: for 2 to 20 s, and as long to go back, the heap is 1.3 to 2.5 times as large
    Bursts,
    /// Cache that reaches its bound, or 95 % of it, between 2 min before and 3 min after the attach
    Cache,
    /// Wave of a day, with the load, at hours in which the heap rises by at most 1 % in the watch
    DayNight,
    /// Load that changes once by a factor of 1.3 to 3, up or down, at once or in up to 5 min
    LoadChange,
    /// Cache that fills and is flushed, with periods of 6 to 60 s and fewer GC cycles in each: the marks show slower waves
    AliasedTooth,
    /// Random walk of 0.3 to 2 % of the heap in a minute
    RandomWalk,
    /// Noise with a correlation time of 2 to 30 min and a deviation of 1 to 6 % of the heap
    Wander,
    /// Wave of a day, with the load, at hours in which the heap rises by more than 1 % in the watch
    Morning,
    /// Cache that fills and is flushed, with periods of 1 to 15 min
    LongTooth,
    /// Leak of 0.5 MiB/min
    Leak05,
    /// Leak of 2 MiB/min
    Leak2,
    /// Leak of 5 MiB/min
    Leak5,
    /// Leak of 20 MiB/min
    Leak20,
    /// Leak of 2 to 10 MiB/min in equal steps, 10 to 60 s apart
    LeakSteps,
    /// Leak of 5 MiB/min beside bursts of requests
    LeakBursts,
    /// Leak of 2 to 20 MiB/min that stops after 5 min
    LeakStops,
}

/// Promise that a kind is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// The heap does not rise: never `growing`.
    Level,
    /// The heap moves for minutes: `growing` in at most 1 % of watches.
    Moving,
    /// The heap truly rises for minutes, and will fall: reported without a bound.
    Rising,
    /// The heap grows without bound, or until it stops.
    Leak,
}

impl Kind {
    /// Returns the name of the command line.
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    pub(crate) fn class(self) -> Class {
        match self {
            Self::Flat
            | Self::SawTooth
            | Self::Correlated
            | Self::StepsBack
            | Self::Bursts
            | Self::Cache
            | Self::DayNight => Class::Level,
            Self::LoadChange | Self::AliasedTooth | Self::RandomWalk | Self::Wander => {
                Class::Moving
            }
            Self::Morning | Self::LongTooth => Class::Rising,
            Self::Leak05
            | Self::Leak2
            | Self::Leak5
            | Self::Leak20
            | Self::LeakSteps
            | Self::LeakBursts
            | Self::LeakStops => Class::Leak,
        }
    }

    /// Rate of a straight leak, MiB per minute.
    pub(crate) fn straight_rate(self) -> Option<f64> {
        match self {
            Self::Leak05 => Some(0.5),
            Self::Leak2 => Some(2.0),
            Self::Leak5 => Some(5.0),
            Self::Leak20 => Some(20.0),
            _ => None,
        }
    }
}

/// What is true about the growth of a heap; times in seconds after the attach.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Truth {
    /// Rate of a straight leak, MiB per minute.
    pub(crate) mib_per_min: Option<f64>,
    /// The heap truly rises until this time. Leaks that do not stop have infinity.
    pub(crate) rises_until_s: f64,
}

/// Live heap and load of one process.
#[derive(Clone, Debug)]
pub(crate) struct Heap {
    /// Live heap in MiB at each second from [`BEFORE_S`] before the attach on, without the noise of single marks.
    live_mib: Vec<f64>,
    /// Allocation rate relative to the mean, at the same seconds.
    load: Vec<f64>,
    /// Standard deviation of the noise of single marks, MiB.
    pub(crate) noise_mib: f64,
    /// Mean time between marks, seconds.
    pub(crate) gap_s: f64,
    /// Mean allocation rate, MiB per second.
    pub(crate) alloc_mib_per_s: f64,
    pub(crate) uptime_s: f64,
    pub(crate) truth: Truth,
}

impl Heap {
    /// Draws a process of this kind.
    pub(crate) fn draw(kind: Kind, random: &mut Random) -> Self {
        let base = random.log_uniform(5.0, 400.0);
        let gap_s = match kind {
            Kind::SawTooth => random.log_uniform(1.0, 60.0 / CYCLES_IN_TOOTH),
            Kind::AliasedTooth => random.log_uniform(6.0 / CYCLES_IN_TOOTH, 60.0),
            _ => random.log_uniform(1.0, 60.0),
        };
        let uptime_s = random.pick(&[180.0, 1_200.0, 20_000.0]);
        let noise_mib = if kind.class() == Class::Leak {
            random.pick(&[0.1, 0.4, 0.7])
        } else {
            random.pick(&[0.1, 0.7, 0.01 * base, 0.025 * base])
        };
        let length = if kind == Kind::LeakStops {
            LONG_WATCH_S
        } else {
            WATCH_S
        };
        let seconds = Seconds(BEFORE_S + length + 1);
        let Path { live, load, truth } = Path::draw(kind, base, gap_s, seconds, random);
        let live_mib: Vec<f64> = live.into_iter().map(|mib| mib.max(LEAST_MIB)).collect();
        let mut heap = Self {
            live_mib,
            load,
            noise_mib,
            gap_s,
            alloc_mib_per_s: base / gap_s,
            uptime_s,
            truth,
        };
        if kind.class() == Class::Leak {
            heap.alloc_mib_per_s = heap.live_at(PACE_S) / gap_s;
        }
        heap
    }

    /// Length of the watch in seconds.
    pub(crate) fn watch_s(&self) -> usize {
        self.live_mib.len() - BEFORE_S - 1
    }

    /// Live heap in MiB, `at_s` seconds after the attach.
    pub(crate) fn live_at(&self, at_s: f64) -> f64 {
        value_at(&self.live_mib, at_s)
    }

    /// Allocation rate in MiB per second.
    pub(crate) fn alloc_at(&self, at_s: f64) -> f64 {
        self.alloc_mib_per_s * value_at(&self.load, at_s)
    }
}

/// Least growth in MiB that heaptop reports of a heap.
fn least_growth(live_mib: f64) -> f64 {
    (LEAST_GROWTH * live_mib).max(LEAST_GROWTH_MIB)
}

/// Value of a path at a time, between two seconds in proportion.
pub(crate) fn value_at(path: &[f64], at_s: f64) -> f64 {
    let place = (at_s + BEFORE_S as f64).clamp(0.0, (path.len() - 1) as f64);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in the path"
    )]
    let below = place as usize;
    let above = (below + 1).min(path.len() - 1);
    path[below] + (path[above] - path[below]) * place.fract()
}

/// Number of seconds of a path.
#[derive(Clone, Copy)]
struct Seconds(usize);

impl Seconds {
    /// Returns a value for each second, of the time after the attach.
    fn map(self, value: impl FnMut(f64) -> f64) -> Vec<f64> {
        (0..self.0)
            .map(|second| second as f64 - BEFORE_S as f64)
            .map(value)
            .collect()
    }

    fn end_s(self) -> f64 {
        (self.0 - BEFORE_S) as f64
    }
}

/// Heap, load and truth of a kind.
struct Path {
    live: Vec<f64>,
    load: Vec<f64>,
    truth: Truth,
}

impl Path {
    fn draw(kind: Kind, base: f64, gap_s: f64, seconds: Seconds, random: &mut Random) -> Self {
        match kind {
            Kind::Flat => Self::level(seconds.map(|_| base)),
            Kind::SawTooth => {
                let shortest_s = (CYCLES_IN_TOOTH * gap_s).max(6.0);
                Self::saw_tooth(base, (shortest_s, 60.0), seconds, random)
            }
            Kind::AliasedTooth => {
                let longest_s = (CYCLES_IN_TOOTH * gap_s).min(60.0);
                Self::saw_tooth(base, (6.0, longest_s), seconds, random)
            }
            Kind::LongTooth => Self::saw_tooth(base, (60.0, 900.0), seconds, random),
            Kind::Correlated => {
                let deviation = base * random.uniform(0.005, 0.03);
                let time_s = random.log_uniform(5.0, 60.0);
                Self::level(correlated(base, deviation, time_s, seconds, random))
            }
            Kind::Wander => {
                let deviation = base * random.uniform(0.01, 0.06);
                let time_s = random.log_uniform(120.0, 1_800.0);
                Self::level(correlated(base, deviation, time_s, seconds, random))
            }
            Kind::RandomWalk => {
                let step = base * random.uniform(0.003, 0.02) / 60.0_f64.sqrt();
                let mut live = base;
                Self::level(seconds.map(|_| {
                    live += step * random.normal();
                    live
                }))
            }
            Kind::StepsBack => Self::level(steps_back(base, seconds, random)),
            Kind::Bursts => Self::bursts(base, 0.0, seconds, random),
            Kind::LeakBursts => Self::bursts(base, BURSTS_LEAK, seconds, random),
            Kind::Cache => Self::cache(base, seconds, random),
            Kind::DayNight | Kind::Morning => Self::day(kind, base, seconds, random),
            Kind::LoadChange => Self::load_change(base, seconds, random),
            Kind::Leak05 | Kind::Leak2 | Kind::Leak5 | Kind::Leak20 => {
                let rate = kind.straight_rate().unwrap_or_default();
                Self {
                    truth: Truth {
                        mib_per_min: Some(rate),
                        rises_until_s: f64::INFINITY,
                    },
                    ..Self::level(seconds.map(|at_s| base + rate * at_s / 60.0))
                }
            }
            Kind::LeakSteps => {
                let rate = random.log_uniform(2.0, 10.0);
                let interval_s = random.uniform(10.0, 60.0);
                let phase = random.uniform(0.0, 1.0);
                let risen =
                    |at_s: f64| rate * interval_s / 60.0 * (at_s / interval_s + phase).floor();
                Self {
                    truth: Truth {
                        mib_per_min: None,
                        rises_until_s: f64::INFINITY,
                    },
                    ..Self::level(seconds.map(|at_s| base + risen(at_s)))
                }
            }
            Kind::LeakStops => {
                let rate = random.log_uniform(2.0, 20.0);
                Self {
                    truth: Truth {
                        mib_per_min: None,
                        rises_until_s: STOP_S,
                    },
                    ..Self::level(seconds.map(|at_s| base + rate * at_s.min(STOP_S) / 60.0))
                }
            }
        }
    }

    /// A path at constant load that does not rise after the attach.
    fn level(live: Vec<f64>) -> Self {
        Self {
            load: vec![1.0; live.len()],
            live,
            truth: Truth::default(),
        }
    }

    /// A cache that fills in a line and is flushed, again and again.
    fn saw_tooth(
        base: f64,
        (shortest_s, longest_s): (f64, f64),
        seconds: Seconds,
        random: &mut Random,
    ) -> Self {
        let height = base * random.uniform(0.1, 0.6);
        let period_s = random.log_uniform(shortest_s, longest_s);
        let phase = random.uniform(0.0, 1.0);
        let tooth = |at_s: f64| base + height * (at_s / period_s + phase).rem_euclid(1.0);
        Self::level(seconds.map(tooth))
    }

    /// Part of the wave of a day: [`Kind::Morning`], or all other hours.
    fn day(kind: Kind, base: f64, seconds: Seconds, random: &mut Random) -> Self {
        loop {
            let swing = random.uniform(0.2, 0.6);
            let phase = random.uniform(0.0, 1.0);
            let load = seconds.map(|at_s| 1.0 + swing * (TAU * (at_s / DAY_S + phase)).sin());
            let rises = load[load.len() - 1] > (1.0 + LEAST_GROWTH) * load[BEFORE_S];
            if rises == (kind == Kind::Morning) {
                return Self {
                    live: load.iter().map(|load| base * load).collect(),
                    load,
                    truth: Truth::default(),
                };
            }
        }
    }

    /// A leak of `rate` MiB/min, or none, beside bursts of requests.
    fn bursts(base: f64, rate: f64, seconds: Seconds, random: &mut Random) -> Self {
        let mut bursts = Vec::new();
        let mut at_s = -(BEFORE_S as f64);
        while at_s < seconds.end_s() {
            let from_s = at_s + random.log_uniform(30.0, 150.0);
            let lasts_s = random.log_uniform(2.0, 20.0);
            bursts.push((from_s, lasts_s, base * random.uniform(0.3, 1.5)));
            at_s = from_s + 2.0 * lasts_s;
        }
        // How much of a burst is left, and its height.
        let burst = |at_s: f64| {
            let lasts = |&&(from_s, lasts_s, _): &&(f64, f64, f64)| {
                from_s <= at_s && at_s < from_s + 2.0 * lasts_s
            };
            let part = |&(from_s, lasts_s, height): &(f64, f64, f64)| {
                ((2.0 - (at_s - from_s) / lasts_s).min(1.0), height)
            };
            bursts.iter().find(lasts).map_or((0.0, 0.0), part)
        };
        Self {
            live: seconds.map(|at_s| {
                let (part, height) = burst(at_s);
                base + rate * at_s / 60.0 + part * height
            }),
            load: seconds.map(|at_s| 1.0 + (BURST_LOAD - 1.0) * burst(at_s).0),
            truth: Truth {
                mib_per_min: None,
                rises_until_s: if rate > 0.0 { f64::INFINITY } else { 0.0 },
            },
        }
    }

    /// A cache that fills in a line, or ever slower, until it is full.
    fn cache(base: f64, seconds: Seconds, random: &mut Random) -> Self {
        let full = base * random.uniform(0.1, 0.5);
        let full_s = random.uniform(-120.0, 180.0);
        let takes_s = random.log_uniform(30.0, 600.0);
        let is_linear = random.coin();
        // The rise since the attach is still reported for a while when less than its least is left.
        let end = 0.5 * least_growth(base + full);
        let filled = |at_s: f64| {
            let part = 1.0 + (at_s - full_s) / takes_s;
            if is_linear {
                part.clamp(0.0, 1.0)
            } else {
                1.0 - (-CURVE * part.max(0.0)).exp()
            }
        };
        Self {
            truth: Truth {
                mib_per_min: None,
                rises_until_s: if is_linear {
                    full_s
                } else {
                    full_s + takes_s * ((full / end).ln() / CURVE - 1.0)
                },
            },
            ..Self::level(seconds.map(|at_s| base + full * filled(at_s)))
        }
    }

    /// A load that changes once, and a heap that follows it, in part and some late.
    fn load_change(base: f64, seconds: Seconds, random: &mut Random) -> Self {
        let factor = random.log_uniform(1.3, 3.0);
        let factor = if random.coin() { factor } else { 1.0 / factor };
        let from_s = random.uniform(-60.0, 500.0);
        let takes_s = if random.coin() {
            1.0
        } else {
            random.uniform(30.0, 300.0)
        };
        let follows = base * random.uniform(0.3, 1.0);
        let late_s = if random.coin() {
            1.0
        } else {
            random.uniform(10.0, 60.0)
        };
        let load =
            seconds.map(|at_s| 1.0 + (factor - 1.0) * ((at_s - from_s) / takes_s).clamp(0.0, 1.0));
        let mut followed = 0.0;
        let live = load.iter().map(|load| {
            followed += (load - 1.0 - followed) / late_s;
            base + follows * followed
        });
        Self {
            live: live.collect(),
            load,
            truth: Truth::default(),
        }
    }
}

/// Autoregressive noise of first order about `base`.
fn correlated(
    base: f64,
    deviation: f64,
    time_s: f64,
    seconds: Seconds,
    random: &mut Random,
) -> Vec<f64> {
    let kept = (-1.0 / time_s).exp();
    let fresh = deviation * (1.0 - kept * kept).sqrt();
    let mut from_base = deviation * random.normal();
    seconds.map(|_| {
        from_base = kept * from_base + fresh * random.normal();
        base + from_base
    })
}

/// Steps up, each followed by its step down.
fn steps_back(base: f64, seconds: Seconds, random: &mut Random) -> Vec<f64> {
    let mut steps = Vec::new();
    let mut at_s = -(BEFORE_S as f64);
    while at_s < seconds.end_s() {
        let up_s = at_s + random.log_uniform(20.0, 400.0);
        let down_s = up_s + random.log_uniform(20.0, 200.0);
        steps.push((up_s, down_s, base * random.uniform(0.1, 0.5)));
        at_s = down_s;
    }
    seconds.map(|at_s| {
        let up = (steps.iter()).find(|(up_s, down_s, _)| *up_s <= at_s && at_s < *down_s);
        base + up.map_or(0.0, |(_, _, height)| *height)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(kind: Kind) -> impl Iterator<Item = Heap> {
        (0..50).map(move |number| Heap::draw(kind, &mut Random::new(3, 0, number)))
    }

    #[test]
    fn straight_leaks_rise_by_their_rate_beside_enough_allocation() {
        for heap in drawn(Kind::Leak20) {
            let risen = heap.live_at(60.0) - heap.live_at(0.0);
            assert!((risen - 20.0).abs() < 1e-9, "{risen}");
            assert!(heap.alloc_at(0.0) * 60.0 > 20.0);
        }
    }

    #[test]
    fn caches_are_full_when_the_truth_says_so() {
        for heap in drawn(Kind::Cache) {
            let left = heap.live_at(600.0) - heap.live_at(heap.truth.rises_until_s.max(0.0));
            assert!(left <= 1.01 * least_growth(heap.live_at(600.0)), "{left}");
        }
    }

    #[test]
    fn steps_come_back() {
        for heap in drawn(Kind::StepsBack) {
            let lowest = heap.live_mib.iter().copied().fold(f64::INFINITY, f64::min);
            let at_base = heap.live_mib.iter().filter(|mib| **mib <= lowest).count();
            assert!(at_base > 20, "{at_base}");
        }
    }

    #[test]
    fn bursts_end() {
        for heap in drawn(Kind::Bursts) {
            let lowest = heap.live_mib.iter().copied().fold(f64::INFINITY, f64::min);
            let n_base = heap.live_mib.iter().filter(|mib| **mib <= lowest).count();
            assert!(
                (100..heap.live_mib.len() - 10).contains(&n_base),
                "{n_base}"
            );
        }
    }

    #[test]
    fn all_kinds_have_a_watch_of_positive_heap() {
        for &kind in Kind::value_variants() {
            for heap in drawn(kind) {
                assert!(heap.watch_s() >= WATCH_S);
                assert!(
                    heap.live_mib.iter().all(|mib| *mib >= LEAST_MIB),
                    "{kind:?}"
                );
            }
        }
    }
}
