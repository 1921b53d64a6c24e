//! What a verdict rests on, as numbers.

use super::clock::Clock;
use super::estimate::{Estimate, Slope};
use super::flow::Weight;
use super::rules::{Speaks, Window, Z_EXISTS};
use super::series::{Series, Spread};
use super::track::{BOUND_LOOKS, LEAST_LOOKS, UNSEEN, Z_BOUND, steady_limit};
use super::windows::{LOAD, N_WINDOWS, Plan, TINY, WALL, WINDOWS, judged, minutes};
use super::{AGES_NS, SECOND_NS, Word};

/// Samples by which arrivals must exceed departures before growth can be told, about.
pub const ENOUGH_SAMPLES: u32 = 25;
const ENOUGH: f64 = ENOUGH_SAMPLES as f64;
/// The 90 % interval of an early slope is this much wider: of many windows the luckiest speaks first.
const EARLY: f64 = 1.25;
/// The load fits clearly better when the squared deviations differ by this, three standard errors of a load that has
/// nothing to do with it.
const CLEARLY: f64 = 9.0;
/// Share of arrivals that departs, above which what turns over covers what stays.
const COVERED: f64 = 0.25;
/// Collections before the first window can speak: two for the first veteran, then one in each third.
pub const LEAST_CYCLES: u32 = 4;
/// Looks before growth can be told: the shortest window from the first look on, and one more.
const LEAST_GROWING_LOOKS: u32 = 10;
/// What warms is told by its pace over one of these windows, of 4 to 16 minutes: long enough for some samples, or where GC
/// cycles are rare for some of these, short enough not to hold what was before it slowed down.
const PACE_WINDOWS: [usize; 5] = [3, 4, 5, 6, 7];
/// Answers further ahead than an hour are not foreseen.
const FORESEEN_MIN: f64 = 60.0;

/// What growth keeps step with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GrowingPer {
    /// With time: by the wall clock it is seen, and the load explains it no better.
    Time,
    /// With the load: only by the load clock it is seen, or that one fits clearly better.
    Load,
}

/// What an answer still needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Samples: more must arrive than depart, by this many, before growth could be told. 0: samples are not what is
    /// missing.
    pub samples: u32,
    /// GC cycles.
    pub cycles: u32,
    /// About how long until there is an answer, in seconds, if all goes on like this. `None`: not foreseeable.
    pub seconds: Option<u64>,
}

/// The numbers behind a word, all finite. What a word has no use for is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Slope per minute, at the present load: `growing` alone, and only if the wall clock speaks.
    pub per_min: Option<Slope>,
    /// Slope per unit of load, in the unit that [`super::Clock::look`] is told: `growing` alone.
    pub per_load: Option<Slope>,
    /// Growth of the last 4 to 16 minutes, a minute, where there was any; for [`Word::Warming`], whose next minutes are
    /// likely to bring less.
    pub pace: Option<Slope>,
    /// Bytes that arrived less those that departed within `minutes`: `growing` alone, by whichever clock it is seen.
    pub net_bytes: Option<f64>,
    /// What the growth keeps step with: `growing` alone.
    pub growing_per: Option<GrowingPer>,
    /// Samples that became veterans within `minutes`.
    pub samples_born: u32,
    /// Veterans that died within `minutes`.
    pub samples_died: u32,
    /// GC cycles within `minutes`.
    pub cycles: u32,
    /// Length of the window that speaks, in minutes; of the longest that is judged where none does.
    pub minutes: f64,
    /// The age in seconds from which samples count at the level that speaks: 15, 600 or 1800.
    pub age_seconds: u32,
    /// Veterans of the youngest level that live now, in samples, with those from before the attach.
    pub samples_now: u32,
    /// Growth in bytes per minute is below this (95 %): `steady`, and `churn` where what is kept is steady.
    pub steady_below_bytes_per_min: Option<f64>,
    /// Growth in objects per minute is below this (95 %): likewise.
    pub steady_below_objects_per_min: Option<f64>,
    /// What an answer needs: `collecting`, and `churn` where it is not known yet whether what is kept is steady.
    pub missing: Option<Missing>,
    /// When this word began, monotonic nanoseconds.
    pub since_ns: u64,
}

/// What the evidence is drawn from.
pub(super) struct Facts<'a> {
    pub(super) clock: &'a Clock,
    pub(super) series: &'a Series,
    pub(super) spread: &'a Spread,
    /// Mean weight of a sample that lives, where any does or did.
    pub(super) weight: Option<Weight>,
    /// Upper bound of the growth in samples per minute.
    pub(super) bound: f64,
}

impl Facts<'_> {
    /// Arrivals and departures of a level after a look.
    fn flow(&self, level: usize, from: usize) -> (f64, f64) {
        let since = |counts: &[f64]| counts[self.spread.newest] - counts[from];
        (
            since(&self.spread.arrived[level]),
            since(&self.spread.departed[level]),
        )
    }

    /// The counts of a window.
    fn counts(&self, level: usize, from: usize) -> Evidence {
        let (arrived, departed) = self.flow(level, from);
        let looks = self.clock.looks();
        Evidence {
            samples_born: count(arrived),
            samples_died: count(departed),
            cycles: self.clock.now().cycles - looks[from].cycles,
            minutes: minutes((self.spread.newest - from) as f64),
            age_seconds: u32::try_from(AGES_NS[level] / SECOND_NS).unwrap_or(u32::MAX),
            samples_now: count(self.spread.n(0, self.spread.newest)),
            ..Evidence::default()
        }
    }

    /// Where the longest window of the youngest level that is judged begins.
    fn longest(&self) -> usize {
        let first = self.clock.first(0).min(self.spread.newest);
        let longest = self.spread.newest.saturating_sub(WINDOWS[N_WINDOWS - 1]);
        first.max(longest)
    }

    /// The evidence for a word other than `growing`.
    pub(super) fn for_word(&self, word: Word) -> Evidence {
        let mut evidence = self.counts(0, self.longest());
        match word {
            Word::Steady => evidence = self.with_bound(evidence),
            // Of what is thrown away nothing is missing: both speak of what is kept.
            Word::Churn => {
                if self.bound <= steady_limit(self.spread.n(0, self.spread.newest)) {
                    evidence = self.with_bound(evidence);
                } else {
                    evidence.missing = Some(self.missing());
                }
            }
            Word::Collecting => evidence.missing = Some(self.missing()),
            Word::Warming => evidence.pace = self.pace(),
            _ => {}
        }
        evidence
    }

    /// Growth of the last minutes, over the shortest window in which it can be told.
    fn pace(&self) -> Option<Slope> {
        let plan_of = |length: usize| {
            let plan = self.clock.plan(0, length, WALL)?;
            plan.valid.then_some((length, plan))
        };
        let (length, plan) = PACE_WINDOWS.into_iter().find_map(plan_of)?;
        let window = Window {
            level: 0,
            length,
            dispersion: 1.0,
        };
        let (judged, _) = self.judged_since(0, plan.cuts[0]);
        let pace = self.slope(window, plan, minutes(judged))?;
        (pace.bytes.value > 0.0).then_some(pace)
    }

    fn with_bound(&self, mut evidence: Evidence) -> Evidence {
        // Less than the rule of three allows in the longest window is never known.
        let bound = self
            .bound
            .max(UNSEEN / minutes(WINDOWS[N_WINDOWS - 1] as f64));
        let below = |weight: f64| Some(bound * weight).filter(|below| below.is_finite());
        // Where nothing lives, what came lately tells what one would weigh.
        let weight = self.weight.or_else(|| self.weight_of_arrivals());
        evidence.steady_below_bytes_per_min = weight.and_then(|weight| below(weight.bytes));
        evidence.steady_below_objects_per_min = weight.and_then(|weight| below(weight.objects));
        evidence
    }

    /// Mean weight of what became a veteran within the hour.
    fn weight_of_arrivals(&self) -> Option<Weight> {
        let (arrived, _) = self.flow(0, 0);
        let (came, _) = (self.series).weights(0, self.clock.number_of(0));
        (arrived >= 1.0).then(|| Weight {
            objects: came.objects / arrived,
            bytes: came.bytes / arrived,
        })
    }

    /// The evidence for `growing` by the windows that speak. `None` where none does.
    ///
    /// * `since`: the look since which windows spoke, looking back from where they did.
    /// * `before`: what growth kept step with at the last look.
    pub(super) fn for_growing(
        &self,
        speaks: Speaks,
        since: u32,
        before: Option<GrowingPer>,
    ) -> Option<Evidence> {
        let by = if speaks.wall.is_some() { WALL } else { LOAD };
        let window = speaks.wall.or(speaks.load)?;
        let plan = self.clock.plan(window.level, window.length, by)?;
        let from = plan.cuts[0];
        let mut evidence = self.counts(window.level, from);
        let (born, born_load) = self.judged_since(window.level, from);
        let slope = |span: f64| self.slope(window, plan, span);
        if speaks.wall.is_some() {
            evidence.per_min = slope(minutes(born));
        }
        evidence.per_load = slope(born_load);
        let (came, went) = (self.series).weights(window.level, self.clock.number_of(from));
        evidence.net_bytes = Some(came.bytes - went.bytes).filter(|net| net.is_finite());
        evidence.growing_per = Some(self.growing_per(window, by, since, before));
        Some(evidence)
    }

    /// Births that were judged after a look, by the clock on the wall in looks and by load.
    fn judged_since(&self, level: usize, from: usize) -> (f64, f64) {
        let (now, then) = (self.clock.now(), &self.clock.looks()[from]);
        (
            judged(now, level, WALL).0 - judged(then, level, WALL).0,
            judged(now, level, LOAD).0 - judged(then, level, LOAD).0,
        )
    }

    /// Growth by weight over a span of either clock. `None` where that did not advance.
    fn slope(&self, window: Window, plan: &Plan, span: f64) -> Option<Slope> {
        if span <= 0.0 {
            return None;
        }
        let from = plan.cuts[0];
        let (arrived, departed) = self.flow(window.level, from);
        let (came, went) = (self.series).weights(window.level, self.clock.number_of(from));
        let spread = window.dispersion * (arrived + plan.rho * plan.rho * departed);
        let is_early = arrived - departed < 2.0 * ENOUGH
            || arrived - plan.rho * departed < Z_EXISTS * (2.0 * spread).sqrt();
        let wider = if is_early { EARLY } else { 1.0 };
        let of = |net: f64, squares: f64| {
            Estimate::new(
                net / span,
                window.dispersion * squares / (span * span),
                wider,
            )
        };
        Some(Slope {
            bytes: of(came.bytes - went.bytes, came.bytes_sq + went.bytes_sq)?,
            objects: of(
                came.objects - went.objects,
                came.objects_sq + went.objects_sq,
            )?,
        })
    }

    /// What growth keeps step with: by which clock the growth of each look since it began lies nearer to its share, in
    /// squared deviations of what chance would do. The load where that is clear, time where it is not even so; in between
    /// what was said before, and at first the clock whose window speaks, time where both do.
    fn growing_per(
        &self,
        window: Window,
        by: usize,
        since: u32,
        before: Option<GrowingPer>,
    ) -> GrowingPer {
        let since = since.saturating_sub(self.clock.oldest()) as usize;
        let begin = |level: usize| since.max(self.clock.first(level)).min(self.spread.newest);
        // The youngest level knows most, unless turnover covers what stays.
        let stays = |level: usize| {
            let (arrived, departed) = self.flow(level, begin(level));
            departed <= COVERED * arrived
        };
        let level = (0..window.level)
            .find(|&level| stays(level))
            .unwrap_or(window.level);
        let from = begin(level);
        let (arrived, departed) = self.flow(level, from);
        let all = self.judged_since(level, from);
        let chance = window.dispersion * (arrived + departed);
        let looks = self.clock.looks();
        let share = |at: usize, by: usize, all: f64| {
            (judged(&looks[at], level, by).0 - judged(&looks[at - 1], level, by).0) / all.max(TINY)
        };
        let mut better = 0.0;
        for at in from + 1..=self.spread.newest {
            let net = self.spread.n(level, at) - self.spread.n(level, at - 1);
            let (wall, load) = (share(at, WALL, all.0), share(at, LOAD, all.1));
            let off = |share: f64| (net - (arrived - departed) * share).powi(2);
            let variance = chance * f64::midpoint(wall, load);
            if variance > 0.0 {
                better += (off(wall) - off(load)) / variance;
            }
        }
        if better >= CLEARLY {
            GrowingPer::Load
        } else if by == WALL && better < 0.0 {
            GrowingPer::Time
        } else if by == WALL {
            before.unwrap_or(GrowingPer::Time)
        } else {
            before.unwrap_or(GrowingPer::Load)
        }
    }

    /// What an answer still needs.
    fn missing(&self) -> Missing {
        let from = self.longest();
        let (arrived, departed) = self.flow(0, from);
        let net = arrived - departed;
        let past = minutes((self.spread.newest - from).max(1) as f64);
        let missing = (ENOUGH - net).max(0.0);
        let cycles = LEAST_CYCLES.saturating_sub(self.clock.now().cycles);
        let gap_min = self
            .clock
            .gap_ns()
            .map(|gap_ns| gap_ns / (60 * SECOND_NS) as f64);
        let until_cycles = match (cycles, gap_min) {
            (0, _) => Some(0.0),
            (_, Some(gap_min)) => Some(f64::from(cycles) * gap_min),
            (_, None) => None,
        };
        let until = |looks: u32| minutes(f64::from(looks.saturating_sub(self.clock.number())));
        let until_growing = (net > 0.0 && missing > 0.0)
            .then(|| (missing * past / net).max(until(LEAST_GROWING_LOOKS)));
        let until_steady = self
            .minutes_until_steady(net / past, (arrived + departed) / past)
            .map(|minutes| minutes.max(until(LEAST_LOOKS)));
        let sooner = [until_growing, until_steady]
            .into_iter()
            .flatten()
            .reduce(f64::min);
        let seconds = until_cycles.zip(sooner).and_then(|(cycles, sooner)| {
            let minutes = cycles.max(sooner);
            (minutes <= FORESEEN_MIN).then(|| u64::from(count((minutes * 60.0).ceil())))
        });
        Missing {
            samples: count(missing.ceil()),
            cycles,
            seconds,
        }
    }

    /// How long until the bound of growth will be low enough if arrivals and departures go on at these rates a minute;
    /// growth that may be chance is taken as none.
    fn minutes_until_steady(&self, net: f64, flow: f64) -> Option<f64> {
        let n = self.spread.n(0, self.spread.newest).max(0.0);
        let past = minutes(self.spread.newest as f64);
        let noise = (flow / past.max(1.0)).sqrt();
        let net = if net.abs() > Z_BOUND * noise {
            net
        } else {
            0.0
        };
        let limit = steady_limit(n);
        (0_u32..60).map(f64::from).find(|ahead| {
            BOUND_LOOKS.iter().any(|&looks| {
                let window = minutes(looks as f64).min(past + ahead);
                let noise = (flow * window).min(2.0 * n).sqrt();
                net * window + Z_BOUND * noise + UNSEEN <= limit * window
            })
        })
    }
}

/// A count of samples, rounded and never below 0.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from f64 saturates"
)]
fn count(samples: f64) -> u32 {
    samples.max(0.0).round() as u32
}
