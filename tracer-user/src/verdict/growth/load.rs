//! Growth that only follows the load.

use super::history::Sample;

/// Intervals below which no load is compared.
const MIN_INTERVALS: usize = 4;
/// Intervals from which thirds are compared; halves below.
const MIN_INTERVALS_FOR_THIRDS: usize = 6;
/// Standard errors by which the load must have risen: 95 %, one-sided.
const Z_RISEN: f64 = 1.645;
/// Largest rise of the heap, relative to that of the load, that the load explains.
const EXPLAINED: f64 = 1.5;

/// Change of load and of the series over a window, as ratios of its last third to its first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoadChange {
    /// Ratio of the allocation rates.
    pub load: f64,
    /// Relative standard error of that ratio.
    pub error: f64,
    /// Ratio of the series' means.
    pub value: f64,
}

impl LoadChange {
    /// Compares both ends of a window. `None` where too few intervals have a known allocation.
    ///
    /// Both ratios are of means over the same intervals. With the series' values at the marks instead, the veto failed in
    /// 5 % of simulated load ramps.
    pub(super) fn over(samples: &[Sample]) -> Option<Self> {
        let known: Vec<(f64, f64, f64)> = (samples.iter())
            .filter_map(|sample| Some((sample.at_s, sample.value, sample.allocated?)))
            .collect();
        let intervals: Vec<Interval> = (known.windows(2))
            .map(|pair| Interval::between(pair[0], pair[1]))
            .collect();
        let n = intervals.len();
        let start_s = samples.first()?.at_s;
        let end_s = samples.last()?.at_s;
        if n < MIN_INTERVALS {
            return None;
        }
        let parts = if n < MIN_INTERVALS_FOR_THIRDS {
            2.0
        } else {
            3.0
        };
        let third_s = (end_s - start_s) / parts;
        let early = Means::of(intervals.iter().filter(|i| i.middle_s < start_s + third_s))?;
        let late = Means::of(intervals.iter().filter(|i| i.middle_s >= end_s - third_s))?;
        let change = Self {
            load: late.rate / early.rate,
            error: relative_noise(&intervals) * (1.0 / early.n + 1.0 / late.n).sqrt(),
            value: late.value / early.value,
        };
        let is_known = early.rate > 0.0 && change.value.is_finite() && change.error.is_finite();
        is_known.then_some(change)
    }

    /// True if the load rose, and the series by no more than the load explains.
    pub fn explains_growth(&self) -> bool {
        self.load * (-Z_RISEN * self.error).exp() > 1.0
            && self.value - 1.0 <= EXPLAINED * (self.load * self.error.exp() - 1.0)
    }
}

/// Time between two marks.
struct Interval {
    middle_s: f64,
    seconds: f64,
    /// Allocation per second.
    rate: f64,
    value: f64,
}

impl Interval {
    fn between((t0, y0, s0): (f64, f64, f64), (t1, y1, s1): (f64, f64, f64)) -> Self {
        Self {
            middle_s: t0.midpoint(t1),
            seconds: t1 - t0,
            rate: (s1 - s0) / (t1 - t0),
            value: y0.midpoint(y1),
        }
    }
}

/// Time-weighted means over some intervals.
struct Means {
    n: f64,
    rate: f64,
    value: f64,
}

impl Means {
    fn of<'a>(intervals: impl Iterator<Item = &'a Interval>) -> Option<Self> {
        let (mut n, mut seconds, mut allocated, mut value) = (0.0, 0.0, 0.0, 0.0);
        for interval in intervals {
            n += 1.0;
            seconds += interval.seconds;
            allocated += interval.rate * interval.seconds;
            value += interval.value * interval.seconds;
        }
        (n > 0.0).then(|| Self {
            n,
            rate: allocated / seconds,
            value: value / seconds,
        })
    }
}

/// Standard deviation of the allocation rate about its own straight line, relative to its mean.
fn relative_noise(intervals: &[Interval]) -> f64 {
    let n = intervals.len() as f64;
    let mean = |figure: fn(&Interval) -> f64| intervals.iter().map(figure).sum::<f64>() / n;
    let (mean_s, mean_rate) = (mean(|i| i.middle_s), mean(|i| i.rate));
    let (mut tt, mut tr, mut rr) = (0.0, 0.0, 0.0);
    for interval in intervals {
        let (t, r) = (interval.middle_s - mean_s, interval.rate - mean_rate);
        tt += t * t;
        tr += t * r;
        rr += r * r;
    }
    let squares = (rr - tr * tr / tt).max(0.0);
    (squares / (n - 2.0)).sqrt() / mean_rate
}
