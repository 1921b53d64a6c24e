//! Evidence for growth in the points of one evaluation, without memory of earlier ones.

use super::{
    LoadChange, Rate, Remark,
    history::{HISTORY_S, Sample, since},
    past::Estimated,
    trend::{MINUTE_S, Noise, Point, Trend},
    withdrawal::Reported,
};
use crate::verdict::Estimate;

/// Short window, for growth that began or changed lately. The long one is everything since the last withdrawal.
const SHORT_S: f64 = 360.0;
/// Watch before a word, where the life before the attach supports the rate.
const EARLY_S: f64 = 60.0;
/// Watch before a word otherwise. A saw-tooth of 2 min was called growing in 48 % of attaches at 60 s.
pub(super) const LATE_S: f64 = 150.0;
/// Least uptime that can support a rate.
pub(super) const OLD_S: f64 = 300.0;
/// Part of the value that the rate must have brought in the life before, to be supported by it: such a rate fills the
/// heap in at most twice that life.
const SUPPORTED: f64 = 0.5;
/// Largest `p_slowing` of sure growth.
pub(super) const SURE_SLOWING: f64 = 0.25;
/// Largest `p_slowing` of likely growth.
const LIKELY_SLOWING: f64 = 0.75;
/// Least squares t value of a slope below which no trend is fitted: a cheap gate.
const QUICK_T: f64 = 2.0;
/// White noise that is always granted, in MiB of live heap.
const WHITE_MIB: f64 = 0.02;
/// Stretch of the reported interval. Leaks are not quite straight lines: without it 77 to 81 % of the 90 % intervals held
/// the truth.
pub(super) const WIDER: f64 = 1.25;
/// Range of `p_slowing` in which the rate has not changed.
const SAME_RATE: std::ops::RangeInclusive<f64> = 0.05..=0.75;
/// Points of the short window below which it gives no rate of its own.
const MIN_RATE_POINTS: usize = 6;
/// Standard error of a sum of steps, as a part of the largest step.
const STEP_ERROR: f64 = 0.68;

/// Factor by which a life before the attach that agrees raises the limits of `p_flat`.
const PAST_AGREES: f64 = 10.0;

/// Constants of one kind of series.
#[derive(Debug)]
pub(super) struct Rules {
    /// Grid of κ; see [`Noise`].
    pub(super) walks: &'static [f64],
    /// More of it for long windows; see [`Noise`].
    pub(super) fast_walks: &'static [f64],
    /// Units of the series that count as one MiB of live heap: carries the floors over.
    pub(super) mib: f64,
    /// Largest `p_flat` of sure growth.
    pub(super) sure: f64,
    /// Largest `p_flat` of likely growth, for series that have this grade.
    pub(super) likely: Option<f64>,
    /// Least growth that gives a word, for a series of this value.
    pub(super) least_growth: fn(f64) -> f64,
    /// Readings within this time are averaged.
    pub(super) slot_s: f64,
}

impl Rules {
    pub(super) fn noise(&self) -> Noise {
        Noise {
            walks: self.walks,
            fast_walks: self.fast_walks,
            white: WHITE_MIB * self.mib,
        }
    }
}

/// Strength of the evidence for growth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Grade {
    #[default]
    None,
    Likely,
    Sure,
}

/// Evidence for growth: the best of the short and the long window, with and without large objects.
#[derive(Clone, Debug, Default)]
pub(super) struct Evidence {
    pub(super) grade: Grade,
    pub(super) trend: Option<Trend>,
    pub(super) remark: Option<Remark>,
    pub(super) without_large: bool,
}

impl Evidence {
    /// The growth to report, if it is reported.
    pub(super) fn reported(&self) -> Option<Reported> {
        let trend = self.trend.as_ref()?;
        Some(Reported {
            per_min: trend.per_min.value,
            noise: trend.noise,
            without_large: self.without_large,
        })
    }
}

/// Points and facts that one evaluation rests on.
pub(super) struct Evaluation<'a> {
    pub(super) rules: &'static Rules,
    /// Points without excursions, oldest first.
    pub(super) samples: &'a [Sample],
    pub(super) now_s: f64,
    /// Uptime of the process at the attach.
    pub(super) uptime_s: Option<f64>,
    /// Points before this time belong to a growth that was withdrawn.
    pub(super) cut_s: f64,
    /// Level that a saw-tooth has not passed.
    pub(super) tooth: Option<f64>,
    /// Live heap before the attach.
    pub(super) past: Option<&'a Estimated>,
}

impl<'a> Evaluation<'a> {
    /// The newest value.
    pub(super) fn value(&self) -> f64 {
        self.samples.last().map_or(0.0, |sample| sample.value)
    }

    /// True while the series is within the range of a saw-tooth.
    pub(super) fn is_in_tooth(&self) -> bool {
        self.tooth.is_some_and(|level| self.value() < level)
    }

    fn window(&self, length_s: f64) -> &'a [Sample] {
        since(self.samples, self.cut_s.max(self.now_s - length_s))
    }

    /// Everything since the last withdrawal, at most [`HISTORY_S`].
    pub(super) fn whole(&self) -> &'a [Sample] {
        self.window(HISTORY_S)
    }

    fn fit(&self, points: &[Point]) -> Option<Trend> {
        Trend::fit(points, self.rules.noise())
    }

    /// Straight line through [`Self::whole`].
    pub(super) fn trend(&self) -> Option<Trend> {
        self.fit(&points(self.whole()))
    }

    /// Change of the load over a window.
    pub(super) fn explained_by_load(window: &[Sample]) -> Option<LoadChange> {
        LoadChange::over(window).filter(LoadChange::explains_growth)
    }

    /// Best evidence for growth.
    pub(super) fn evidence(&self) -> Evidence {
        let mut best = Evidence::default();
        let (short, long) = (self.window(SHORT_S), self.whole());
        let windows = [Some(short), (long.len() > short.len()).then_some(long)];
        for window in windows.into_iter().flatten() {
            for without_large in [false, true] {
                let Some(found) = self.grade(window, without_large) else {
                    continue;
                };
                if found.grade > best.grade || best.trend.is_none() {
                    best = found;
                }
            }
        }
        best
    }

    fn grade(&self, window: &[Sample], without_large: bool) -> Option<Evidence> {
        let points = if without_large {
            large_range(window).filter(|range| *range > 0.0)?;
            points_without_large(window)
        } else {
            points(window)
        };
        if quick_t(&points, self.rules.noise().white)? < QUICK_T {
            return None;
        }
        let trend = self.fit(&points)?;
        let (grade, remark) = self.limited(self.strength(&trend), &trend, window);
        Some(Evidence {
            grade,
            trend: Some(trend),
            remark,
            without_large,
        })
    }

    /// Grade of a trend by its figures alone.
    fn strength(&self, trend: &Trend) -> Grade {
        let (flat, slowing) = (trend.p_flat / self.support(trend), trend.p_slowing);
        if trend.per_min.low * trend.minutes < (self.rules.least_growth)(self.value()) {
            Grade::None
        } else if flat <= self.rules.sure && slowing <= SURE_SLOWING {
            Grade::Sure
        } else if self.rules.likely.is_some_and(|likely| flat <= likely)
            && slowing <= LIKELY_SLOWING
        {
            Grade::Likely
        } else {
            Grade::None
        }
    }

    /// Factor by which the life before the attach makes growth likelier.
    pub(super) fn support(&self, trend: &Trend) -> f64 {
        let agrees = match (self.past, self.uptime_s) {
            (Some(past), Some(uptime_s)) => {
                past.agrees(trend.per_min.value, uptime_s, self.rules.noise())
            }
            _ => false,
        };
        if agrees { PAST_AGREES } else { 1.0 }
    }

    /// Grade that is left after the earliest time, the load and saw-teeth, with the first of them that lowered it.
    fn limited(&self, grade: Grade, trend: &Trend, window: &[Sample]) -> (Grade, Option<Remark>) {
        if grade == Grade::None {
            return (Grade::None, None);
        }
        let start_s = window.first().map_or(0.0, |first| first.at_s.max(0.0));
        let earliest_s = self.earliest_s(trend);
        if self.now_s - start_s < earliest_s {
            let in_s = start_s + earliest_s - self.now_s;
            return (Grade::None, Some(Remark::TooEarly { in_s }));
        }
        if let Some(change) = Self::explained_by_load(window) {
            return (Grade::None, Some(Remark::FollowsLoad(change)));
        }
        match self.tooth {
            Some(level) if grade == Grade::Sure && self.is_in_tooth() => {
                (Grade::Likely, Some(Remark::SawTooth { level }))
            }
            _ => (grade, None),
        }
    }

    /// Seconds of watching before a word on this trend.
    pub(super) fn earliest_s(&self, trend: &Trend) -> f64 {
        if self.is_supported(trend) {
            EARLY_S
        } else {
            LATE_S
        }
    }

    /// True if the value is what this rate brings in half of the life before: growth since the start, no saw-tooth.
    fn is_supported(&self, trend: &Trend) -> bool {
        self.uptime_s.is_some_and(|uptime_s| {
            let life = (uptime_s + self.now_s) / MINUTE_S;
            uptime_s >= OLD_S && self.value() >= SUPPORTED * trend.per_min.value * life
        })
    }

    /// Rate of the whole series: over everything since the last withdrawal, or over the short window if the rate changed.
    pub(super) fn rate(&self) -> Option<Rate> {
        let (short, long) = (self.window(SHORT_S), self.whole());
        let rate = self.rate_over(long)?;
        let is_same = rate.p_slowing.is_none_or(|p| SAME_RATE.contains(&p));
        if is_same || short.len() < MIN_RATE_POINTS || short.len() == long.len() {
            return Some(rate);
        }
        self.rate_over(short)
    }

    /// Large objects change by steps, which look like a random walk. Where they changed, the slope of the rest plus their
    /// mean change is often the narrower estimate.
    fn rate_over(&self, window: &[Sample]) -> Option<Rate> {
        let trend = self.fit(&points(window))?;
        let mut rate = Rate::of(&trend, window.first()?.at_s);
        if let Some(stepwise) = self.stepwise_rate(window)
            && width(&stepwise.per_min) < width(&rate.per_min)
        {
            rate.per_min = stepwise.per_min;
            rate.p_slowing = stepwise.p_slowing;
        }
        rate.per_min = rate.per_min.widened(WIDER);
        Some(rate)
    }

    /// Rate of the part in large objects: over everything since the last withdrawal, or over the short window where its low
    /// end is higher.
    pub(super) fn large_rate(&self) -> Option<Estimate> {
        let rate = |window: &[Sample]| {
            large_range(window).filter(|range| *range > 0.0)?;
            let points: Vec<Point> = window.iter().filter_map(Sample::point_of_large).collect();
            Some(self.fit(&points)?.per_min.widened(WIDER))
        };
        let rates = [self.whole(), self.window(SHORT_S)]
            .into_iter()
            .filter_map(rate);
        rates.max_by(|a, b| a.low.total_cmp(&b.low))
    }

    fn stepwise_rate(&self, window: &[Sample]) -> Option<Rate> {
        large_range(window).filter(|range| *range > 0.0)?;
        let rest = self.fit(&points_without_large(window))?;
        let large: Vec<f64> = window.iter().filter_map(|sample| sample.large).collect();
        let change = large.last()? - large.first()?;
        let steps = large.windows(2).map(|pair| (pair[1] - pair[0]).abs());
        let largest = steps.fold(0.0, f64::max);
        let value = rest.per_min.value + change / rest.minutes;
        let half = (0.5 * width(&rest.per_min)).hypot(STEP_ERROR * largest / rest.minutes);
        Some(Rate {
            per_min: Estimate {
                value,
                low: value - half,
                high: value + half,
            },
            ..Rate::of(&rest, window.first()?.at_s)
        })
    }
}

fn width(estimate: &Estimate) -> f64 {
    estimate.high - estimate.low
}

fn points(samples: &[Sample]) -> Vec<Point> {
    samples.iter().map(Sample::point).collect()
}

fn points_without_large(samples: &[Sample]) -> Vec<Point> {
    (samples.iter())
        .filter_map(Sample::point_without_large)
        .collect()
}

/// Difference between the most and the least bytes in large objects; `None` where they are unknown.
fn large_range(samples: &[Sample]) -> Option<f64> {
    let known = || samples.iter().filter_map(|sample| sample.large);
    let range = known().reduce(f64::max)? - known().reduce(f64::min)?;
    Some(range)
}

/// Ordinary least squares t value of the slope; `None` of fewer than two points.
fn quick_t(points: &[Point], white: f64) -> Option<f64> {
    let n = points.len() as f64;
    let mean = |figure: fn(&Point) -> f64| points.iter().map(figure).sum::<f64>() / n;
    let (mean_s, mean_value) = (mean(|point| point.at_s), mean(|point| point.value));
    let (mut tt, mut ty, mut yy) = (0.0, 0.0, 0.0);
    for point in points {
        let (t, y) = (point.at_s - mean_s, point.value - mean_value);
        tt += t * t;
        ty += t * y;
        yy += y * y;
    }
    let squares = (yy - ty * ty / tt).max(0.0) + white * white * n;
    (points.len() > 1).then(|| ty / tt / (squares / (n - 2.0).max(1.0) / tt).sqrt())
}
