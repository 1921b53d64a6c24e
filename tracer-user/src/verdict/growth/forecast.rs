//! Time of the next answer, extrapolated from one evaluation.
//!
//! An answer is sure growth, or a steady series whose bound on growth is low. The slope and the scatter are taken to stay as they
//! are while points go on arriving at their present pace. So a forecast rests on a few facts, and where a later one is worse,
//! [`Forecast::delay_since`] finds the fact that changed.

use super::evidence::Rules;
use super::student;
use super::trend::{MAX_BLOCKS, MIN_POINTS, MINUTE_S, Trend};
use crate::verdict::{LOOK_NS, SECOND_NS};

/// Seconds between two evaluations.
pub const LOOK_S: f64 = (LOOK_NS / SECOND_NS) as f64;
/// Evaluations ahead beyond which nothing is said: an hour.
const MAX_LOOKS: u32 = 240;
/// Points with which a series is expected to decide, before its scatter is known.
const USUAL_POINTS: usize = 5;
/// Gaps that became longer by less than this part do not explain a delay: it would read as `9s apart, 9s before`.
const LEAST_CHANGE: f64 = 0.1;
/// Probabilities below this are not told apart.
const LEAST_P: f64 = 1e-6;
/// Standard error of [`Line::bend`] relative to that of the slope: evenly spaced points with white noise.
const BEND_ERROR: f64 = 3.9;
/// Bound of a steady series that is an answer, in MiB of live heap per minute.
pub const ANSWER_BOUND_MIB: f64 = 0.25;

/// Facts of one evaluation from which the time of the answer follows. Times are seconds after the attach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// Time of the evaluation.
    pub(super) now_s: f64,
    /// Time of the newest point.
    pub(super) newest_s: f64,
    /// Points that count now.
    pub(super) points: usize,
    /// Seconds between points; `None` while unknown.
    pub(super) gap_s: Option<f64>,
    /// Value of the newest point.
    pub(super) value: f64,
    /// Earliest time of a word on growth.
    pub(super) earliest_s: f64,
    /// Straight line through the points; `None` while they are too few.
    pub(super) line: Option<Line>,
    /// True if the load explains the growth.
    pub(super) follows_load: bool,
    /// Value that a saw-tooth must pass before growth is sure.
    pub(super) tooth: Option<f64>,
}

/// Straight line through the points of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Line {
    per_min: f64,
    /// Standard error of the slope times minutes and the root of the number of points: independent of both for white noise.
    scatter: f64,
    /// The same by the probability of no growth, whose distribution has heavier tails than its interval shows.
    scatter_of_growth: f64,
    minutes: f64,
    points: usize,
    /// Slope late in the window less half of that early in it; half of the slope for a straight line.
    bend: f64,
    /// Factor by which the life before the attach makes growth likelier.
    support: f64,
    /// Largest probability of no growth at which growth is sure.
    sure: f64,
    /// Least growth over the window.
    least: f64,
    /// Largest probability that sure growth slows down.
    slowing: f64,
    /// Least minutes of a steady series.
    steady_minutes: f64,
    /// Bound of a steady series.
    steady: f64,
    /// Least fall over the window that hides what grows beneath it.
    least_fall: f64,
}

/// Limits of words on a series.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// See [`Line::support`].
    pub(super) support: f64,
    /// Largest `p_slowing` of sure growth.
    pub(super) slowing: f64,
    /// Least minutes of a steady series.
    pub(super) steady_minutes: f64,
    /// Bound of a steady series.
    pub(super) steady: f64,
    /// See [`Line::least_fall`].
    pub(super) least_fall: f64,
}

/// Event that the answer waits for where its time cannot be estimated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Awaits {
    /// More points, for a first slope.
    Points {
        /// Number of them.
        missing: usize,
    },
    /// A load that no longer explains the growth.
    Load,
    /// The end of a fall: it hides what grows beneath it.
    FallEnd,
    /// A value above that of the saw-tooth.
    AboveTooth {
        /// Value in question.
        level: f64,
    },
    /// A slope that stands out from the scatter.
    Evidence,
}

/// Fact that makes the answer later than an earlier forecast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Delay {
    /// Points are further apart.
    Gaps {
        /// Seconds between them in the earlier forecast.
        before_s: f64,
        /// Seconds between them now.
        now_s: f64,
    },
    /// The slope is nearer to the bound of a steady series, whether from above or from below.
    Slope {
        /// Per minute, in the earlier forecast.
        before: f64,
        /// Per minute, now.
        now: f64,
    },
    /// The points scatter more about their line.
    Scatter,
    /// The growth is slower at the end of the window than at its start.
    Slowing,
    /// Points of a withdrawn growth no longer count, so that a new window began.
    NewWindow,
    /// The first points do not decide.
    FirstPoints {
        /// Number of them.
        points: usize,
    },
    /// An answer was given, and has to hold at the next evaluation.
    Confirmation,
    /// The last evaluation did not decide, though the facts are those of the earlier forecast.
    NotDecided,
}

impl Line {
    pub(super) fn of(trend: &Trend, value: f64, rules: &Rules, limits: Limits) -> Self {
        let df = degrees(trend.points, 2);
        let half_width = 0.5 * (trend.per_min.high - trend.per_min.low);
        let error = half_width / student::quantile(0.95, df);
        let slowing = trend.p_slowing.clamp(LEAST_P, 1.0 - LEAST_P);
        let bend_df = degrees(trend.points, 3);
        let per_min = trend.per_min.value;
        let t = student::quantile(1.0 - trend.p_flat.max(LEAST_P), df);
        let error_of_growth = if t > 0.0 { per_min / t } else { error };
        let scatter = |error: f64| error * trend.minutes * (trend.points as f64).sqrt();
        Self {
            per_min,
            scatter: scatter(error),
            scatter_of_growth: scatter(error_of_growth),
            minutes: trend.minutes,
            points: trend.points,
            bend: BEND_ERROR * error * student::quantile(1.0 - slowing, bend_df),
            support: limits.support,
            sure: rules.sure,
            least: (rules.least_growth)(value),
            slowing: limits.slowing,
            steady_minutes: limits.steady_minutes,
            steady: limits.steady,
            least_fall: limits.least_fall,
        }
    }

    /// Standard error of the slope after so many minutes and points.
    fn error(&self, minutes: f64, points: usize) -> f64 {
        error(self.scatter, minutes, points)
    }

    /// True if growth is expected to be sure by then.
    fn is_sure(&self, minutes: f64, points: usize) -> bool {
        let error_now = self.error(minutes, points);
        let (df, bend_df) = (degrees(points, 2), degrees(points, 3));
        let low = self.per_min - student::quantile(0.95, df) * error_now;
        let t = self.per_min / error(self.scatter_of_growth, minutes, points);
        // What comes is taken to be straight.
        let straight = 0.5 * self.per_min;
        let bend = straight + (self.bend - straight) * (self.minutes / minutes).powi(2);
        student::cdf(-t, df) <= self.sure * self.support
            && student::cdf(-bend / (BEND_ERROR * error_now), bend_df) <= self.slowing
            && low * minutes >= self.least
    }

    /// True if the series is expected to be called steady by then.
    fn is_steady(&self, minutes: f64, points: usize) -> bool {
        let half_width = student::quantile(0.95, degrees(points, 2)) * self.error(minutes, points);
        minutes >= self.steady_minutes && self.per_min + half_width <= self.steady
    }

    /// True if it falls by more than it wanders.
    fn falls(&self) -> bool {
        let half_width = student::quantile(0.95, degrees(self.points, 2))
            * self.error(self.minutes, self.points);
        self.per_min + half_width < 0.0 && -self.per_min * self.minutes >= self.least_fall
    }
}

impl Forecast {
    /// Time of the evaluation.
    pub fn made_s(&self) -> f64 {
        self.now_s
    }

    /// Seconds between points; `None` while unknown.
    pub fn gap_s(&self) -> Option<f64> {
        self.gap_s
    }

    /// Time at which the answer has been given twice in succession; `None` if that cannot be estimated.
    pub fn at_s(&self) -> Option<f64> {
        // A GC that is late may come at any moment.
        let gap_s = self.gap_s?.max(1.0);
        let mut next_s = (self.newest_s + gap_s).max(self.now_s);
        let (mut newest_s, mut more) = (self.newest_s, 0);
        for look in 1..=MAX_LOOKS {
            let at_s = self.now_s + f64::from(look) * LOOK_S;
            while next_s <= at_s {
                (newest_s, more) = (next_s, more + 1);
                next_s += gap_s * self.relative_value(next_s);
            }
            if self.decides(at_s, newest_s, more) {
                return Some(at_s + LOOK_S);
            }
        }
        None
    }

    /// Value at `at_s` relative to the newest: with GOGC, GC gaps are proportional to the live heap.
    fn relative_value(&self, at_s: f64) -> f64 {
        let per_min = self.line.map_or(0.0, |line| line.per_min.max(0.0));
        let rise = per_min * (at_s - self.now_s) / MINUTE_S;
        if self.value > 0.0 {
            1.0 + rise / self.value
        } else {
            1.0
        }
    }

    fn decides(&self, at_s: f64, newest_s: f64, more: usize) -> bool {
        let Some(line) = &self.line else {
            return self.points + more >= USUAL_POINTS && at_s >= self.earliest_s;
        };
        let minutes = line.minutes + (newest_s - self.newest_s) / MINUTE_S;
        let points = line.points + more;
        let is_above_tooth =
            (self.tooth).is_none_or(|level| self.value * self.relative_value(at_s) >= level);
        let may_grow = !self.follows_load && is_above_tooth && at_s >= self.earliest_s;
        may_grow && line.is_sure(minutes, points)
            || !line.falls() && line.is_steady(minutes, points)
    }

    /// Returns the event that the answer waits for.
    pub fn awaits(&self) -> Awaits {
        match (&self.line, self.tooth) {
            (None, _) => Awaits::Points {
                missing: MIN_POINTS.saturating_sub(self.points).max(1),
            },
            _ if self.follows_load => Awaits::Load,
            (Some(line), _) if line.falls() => Awaits::FallEnd,
            (_, Some(level)) => Awaits::AboveTooth { level },
            _ => Awaits::Evidence,
        }
    }

    /// Returns the fact that makes the answer later than `earlier` forecast it: the one without whose change the answer would
    /// come soonest, else the one that alone would have delayed the earlier forecast most.
    pub fn delay_since(&self, earlier: &Self) -> Delay {
        if self.line.is_none() || earlier.line.is_none() {
            return self.delay_of_points(earlier);
        }
        let changes = || {
            let all = Change::ALL.into_iter();
            all.filter_map(|change| Some((change, change.delay(earlier, self)?)))
        };
        let at_s = |of: Self| of.at_s().unwrap_or(f64::INFINITY);
        let without =
            |(change, delay): (Change, Delay)| (at_s(change.apply(*self, earlier)), delay);
        let soonest = (changes().map(without)).min_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((_, delay)) = soonest.filter(|soonest| soonest.0 < at_s(*self)) {
            return delay;
        }
        let with = |(change, delay): (Change, Delay)| (at_s(change.apply(*earlier, self)), delay);
        let latest = (changes().map(with)).max_by(|a, b| a.0.total_cmp(&b.0));
        latest
            .filter(|latest| latest.0 > at_s(*earlier))
            .map_or(Delay::NotDecided, |(_, delay)| delay)
    }

    /// Reason of a delay while one of the forecasts has no line.
    fn delay_of_points(&self, earlier: &Self) -> Delay {
        match (self.line, earlier.line) {
            (None, Some(_)) => Delay::NewWindow,
            (Some(_), None) => Delay::FirstPoints {
                points: self.points,
            },
            _ => self.gap_delay(earlier).unwrap_or(Delay::NotDecided),
        }
    }

    fn gap_delay(&self, earlier: &Self) -> Option<Delay> {
        let (before_s, now_s) = (earlier.gap_s?, self.gap_s?);
        (now_s > (1.0 + LEAST_CHANGE) * before_s).then_some(Delay::Gaps { before_s, now_s })
    }
}

/// Fact that may differ between two forecasts.
#[derive(Clone, Copy, Debug)]
enum Change {
    Gaps,
    Slope,
    Scatter,
    Slowing,
    Window,
}

impl Change {
    const ALL: [Self; 5] = [
        Self::Gaps,
        Self::Slope,
        Self::Scatter,
        Self::Slowing,
        Self::Window,
    ];

    /// Returns `to` with this fact of `from`.
    fn apply(self, to: Forecast, from: &Forecast) -> Forecast {
        let (Some(line), Some(other)) = (to.line, from.line) else {
            return to;
        };
        let with = |line: Line| Forecast {
            line: Some(line),
            ..to
        };
        match self {
            Self::Gaps => Forecast {
                gap_s: from.gap_s,
                ..to
            },
            Self::Slope => with(Line {
                per_min: other.per_min,
                ..line
            }),
            Self::Scatter => with(Line {
                scatter: other.scatter,
                scatter_of_growth: other.scatter_of_growth,
                ..line
            }),
            // A bend relative to the slope: a change of the slope alone is none of the bend.
            Self::Slowing => with(Line {
                bend: other.bend * line.per_min / other.per_min,
                ..line
            }),
            Self::Window => Forecast {
                earliest_s: from.earliest_s,
                ..to
            },
        }
    }

    /// The delay that this change can mean; `None` if the fact did not get worse.
    fn delay(self, before: &Forecast, now: &Forecast) -> Option<Delay> {
        let (was, is) = (before.line?, now.line?);
        match self {
            Self::Gaps => now.gap_delay(before),
            Self::Slope => Some(Delay::Slope {
                before: was.per_min,
                now: is.per_min,
            }),
            Self::Scatter => (is.scatter > was.scatter
                || is.scatter_of_growth > was.scatter_of_growth)
                .then_some(Delay::Scatter),
            Self::Slowing => (is.bend * was.per_min < was.bend * is.per_min
                && was.per_min > 0.0
                && is.per_min > 0.0)
                .then_some(Delay::Slowing),
            Self::Window => (is.minutes < was.minutes).then_some(Delay::NewWindow),
        }
    }
}

/// Standard error of a slope after so many minutes and points; see [`Line::scatter`].
fn error(scatter: f64, minutes: f64, points: usize) -> f64 {
    scatter / (minutes * (points as f64).sqrt())
}

/// Degrees of freedom that a fit to so many points has beside its `columns`.
fn degrees(points: usize, columns: usize) -> usize {
    points.min(MAX_BLOCKS).saturating_sub(columns).max(1)
}

#[cfg(test)]
impl Forecast {
    /// A forecast for tests: a line through the points of `minutes`, in MiB of live heap.
    ///
    /// * `gap_s`: seconds between points.
    /// * `mib_per_min`, `scatter_mib`: slope, and scatter of the points about it.
    pub(crate) fn of_line(now_s: f64, gap_s: f64, mib_per_min: f64, scatter_mib: f64) -> Self {
        const MIB: f64 = 1_048_576.0;
        let minutes = now_s / MINUTE_S;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "times of a test are small and positive"
        )]
        let points = (now_s / gap_s) as usize;
        // Of evenly spaced points.
        let scatter = 12.0_f64.sqrt() * scatter_mib * MIB;
        let line = Line {
            per_min: mib_per_min * MIB,
            scatter,
            scatter_of_growth: scatter,
            minutes,
            points,
            bend: 0.5 * mib_per_min * MIB,
            support: 1.0,
            sure: 1e-4,
            least: 0.25 * MIB,
            slowing: 0.25,
            steady_minutes: 2.4,
            steady: 0.1 * MIB,
            least_fall: 5.0 * MIB,
        };
        Self {
            now_s,
            newest_s: now_s,
            points,
            gap_s: Some(gap_s),
            value: 100.0 * MIB,
            earliest_s: 150.0,
            line: (points >= MIN_POINTS).then_some(line),
            follows_load: false,
            tooth: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_s(forecast: Forecast) -> Option<f64> {
        Some(forecast.at_s()? - forecast.made_s())
    }

    #[test]
    fn growth_is_expected_when_its_probability_is_low_enough() {
        let clear = Forecast::of_line(120.0, 5.0, 10.0, 0.5);
        assert_eq!(
            clear.at_s(),
            Some(165.0),
            "the earliest time and one repetition"
        );
        let unclear = Forecast::of_line(120.0, 5.0, 2.0, 2.0);
        let later = in_s(unclear).expect("an estimate");
        assert!((60.0..600.0).contains(&later), "{later}");
        let more_noise = in_s(Forecast::of_line(120.0, 5.0, 2.0, 4.0)).expect("an estimate");
        assert!(more_noise > later, "{more_noise}");
    }

    #[test]
    fn a_steady_heap_is_expected_once_its_bound_is_low() {
        let flat = Forecast::of_line(60.0, 2.0, 0.0, 0.02);
        assert_eq!(flat.at_s(), Some(165.0), "2.4 minutes, on an evaluation");
        let noisy = in_s(Forecast::of_line(60.0, 2.0, 0.0, 1.0)).expect("an estimate");
        assert!(noisy > 105.0, "{noisy}");
    }

    #[test]
    fn nothing_is_expected_of_a_falling_heap_or_without_points() {
        let falling = Forecast::of_line(120.0, 5.0, -10.0, 0.5);
        assert_eq!(
            (falling.at_s(), falling.awaits()),
            (None, Awaits::FallEnd),
            "it hides what grows"
        );
        let nothing = Forecast {
            gap_s: None,
            ..Forecast::of_line(30.0, 20.0, 0.0, 0.0)
        };
        assert_eq!(nothing.at_s(), None);
        assert_eq!(nothing.awaits(), Awaits::Points { missing: 3 });
        let loaded = Forecast {
            follows_load: true,
            ..Forecast::of_line(120.0, 5.0, 10.0, 0.5)
        };
        assert_eq!((loaded.at_s(), loaded.awaits()), (None, Awaits::Load));
    }

    #[test]
    fn a_delay_is_due_to_the_fact_that_changed() {
        let before = Forecast::of_line(120.0, 5.0, 2.0, 2.0);
        let now = |gap_s, mib_per_min, scatter| {
            Forecast::of_line(135.0, gap_s, mib_per_min, scatter).delay_since(&before)
        };
        assert_eq!(
            now(20.0, 2.0, 2.0),
            Delay::Gaps {
                before_s: 5.0,
                now_s: 20.0
            }
        );
        assert!(matches!(now(5.0, 1.0, 2.0), Delay::Slope { before, now } if now < before));
        assert_eq!(now(5.0, 2.0, 4.0), Delay::Scatter);
        assert_eq!(now(5.0, 2.0, 2.0), Delay::NotDecided);
        let few = Forecast::of_line(60.0, 20.0, 2.0, 2.0);
        assert_eq!(
            Forecast::of_line(80.0, 20.0, 2.0, 2.0).delay_since(&few),
            Delay::FirstPoints { points: 4 }
        );
    }

    #[test]
    fn quantiles_are_those_of_tables() {
        for (probability, df, t) in [(0.95, 2, 2.920), (0.95, 30, 1.697), (0.9999, 10, 5.694)] {
            let quantile = student::quantile(probability, df);
            assert!((quantile - t).abs() < 1e-3, "{quantile}");
        }
    }
}
