//! Evidence that a growth which was reported has stopped.

use super::{
    history::{Sample, since},
    trend::{MINUTE_S, Noise, Point, Trend},
};

/// Shortest window that may contradict growth.
const RECENT_S: f64 = 90.0;
/// Points that the window holds where marks are rare.
const RECENT_POINTS: usize = 5;
/// Longest window that may contradict growth.
const LONGEST_S: f64 = 300.0;
/// Longer windows, for growth that is slow beside its noise.
const LONGER_S: [f64; 3] = [180.0, 300.0, 480.0];
/// Widest interval of a slope, relative to the reported one, that can contradict it.
const TELLING_WIDTH: f64 = 2.0;
/// Points that the window holds in any case.
const MIN_POINTS: usize = 4;
/// Part of the reported slope that must still be there.
const HALF: f64 = 0.5;
/// Probability of more than that part, at and below which growth is contradicted.
const P_GOES_ON: f64 = 0.05;
/// Standard deviations by which two steps must miss half of what is due.
const Z_MISSED: f64 = 3.0 * std::f64::consts::SQRT_2;
/// Least standard deviation of a step, in MiB of live heap.
const STEP_NOISE_MIB: f64 = 0.5;
/// Least standard deviation of a step, relative to the value.
const STEP_NOISE: f64 = 0.01;

/// Window in which a drop is sought.
const DROP_S: f64 = 300.0;
/// Points that must lie low.
const LOW_POINTS: usize = 3;
/// Time that must lie low.
const LOW_S: f64 = 10.0;
/// Quantile of the window that stands for the level before the drop.
const TOP: f64 = 0.9;
/// Least drop, relative to that level.
const DROP: f64 = 0.2;
/// Least drop, in standard deviations of the noise.
const DROP_NOISES: f64 = 6.0;
/// Least drop, in MiB of live heap.
const DROP_MIB: f64 = 1.0;

/// Growth as it was last reported.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Reported {
    /// Slope.
    pub(super) per_min: f64,
    /// Standard deviation of the white noise.
    pub(super) noise: f64,
    /// True if it was found without large objects.
    pub(super) without_large: bool,
}

/// True if the newest points contradict the reported growth. `points` are all that are known, oldest first.
pub(super) fn is_contradicted(
    points: &[Point],
    now_s: f64,
    reported: Reported,
    noise: Noise,
    mib: f64,
    is_supported: bool,
) -> bool {
    let p_goes_on = if is_supported { 0.01 } else { P_GOES_ON };
    misses_steps(points, reported, mib)
        || has_flattened(points, now_s, reported.per_min, noise, p_goes_on)
}

/// True if the last two steps brought less than half of what was due: for rare marks.
fn misses_steps(points: &[Point], reported: Reported, mib: f64) -> bool {
    let [.., from, _, to] = points else {
        return false;
    };
    let due = reported.per_min * (to.at_s - from.at_s) / MINUTE_S;
    let noise = (reported.noise)
        .max(STEP_NOISE_MIB * mib)
        .max(STEP_NOISE * to.value);
    HALF * due - (to.value - from.value) > Z_MISSED * noise
}

/// True if a recent slope is hardly more than half of the reported one.
fn has_flattened(points: &[Point], now_s: f64, per_min: f64, noise: Noise, p_goes_on: f64) -> bool {
    let n = points.len();
    let index_at = |at_s: f64| points.partition_point(|point| point.at_s < at_s);
    let shortest = index_at(now_s - RECENT_S).min(n.saturating_sub(RECENT_POINTS));
    let shortest = (shortest.max(index_at(now_s - LONGEST_S))).min(n.saturating_sub(MIN_POINTS));
    let longer = LONGER_S.map(|length_s| index_at(now_s - length_s));
    let is_flat = |trend: Trend| {
        let width = trend.per_min.high - trend.per_min.low;
        1.0 - trend.p_below(HALF * per_min) <= p_goes_on && width <= TELLING_WIDTH * per_min
    };
    let longer = longer.into_iter().filter(|&from| from < shortest);
    std::iter::once(shortest)
        .chain(longer)
        .any(|from| Trend::fit(&points[from..], noise).is_some_and(is_flat))
}

/// True if the series fell far below its recent level: growth is withdrawn at once.
pub(super) fn has_dropped(samples: &[Sample], now_s: f64, noise: f64, mib: f64) -> bool {
    let recent = &samples[samples.partition_point(|sample| sample.at_s <= now_s - DROP_S)..];
    let (Some(newest), Some(first_low)) = (recent.last(), recent.len().checked_sub(LOW_POINTS))
    else {
        return false;
    };
    let top = quantile(recent.iter().map(|sample| sample.value).collect(), TOP);
    let low = since(recent, newest.at_s - LOW_S).iter();
    let highest_low = (low.chain(&recent[first_low..]))
        .map(|sample| sample.value)
        .fold(f64::NEG_INFINITY, f64::max);
    recent.len() >= RECENT_POINTS
        && top - highest_low > (DROP * top).max(DROP_NOISES * noise).max(DROP_MIB * mib)
}

/// Quantile of some values, by linear interpolation; 0 of nothing.
fn quantile(mut values: Vec<f64>, q: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let place = q * values.len().saturating_sub(1) as f64;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in the list"
    )]
    let below = place as usize;
    let value = |i: usize| values.get(i).or(values.last()).copied().unwrap_or_default();
    value(below) + (value(below + 1) - value(below)) * place.fract()
}
