//! Saw-teeth: a heap that fell from its peak twice may do so again.

use super::{history::Sample, past::Estimated};

/// Points of the running median in which falls are sought.
const MEDIAN_POINTS: usize = 5;
/// Most points of the running median before the attach.
const MAX_PAST_MEDIAN_POINTS: f64 = 15.0;
/// Time that the running median before the attach spans, within its bounds: GC gaps wander more than live heaps.
const PAST_MEDIAN_S: f64 = 120.0;
/// Part of its peak by which the live heap must have fallen.
const FALL: f64 = 0.2;
/// The same before the attach.
const PAST_FALL: f64 = 0.25;
/// Least fall, in standard deviations of the noise.
const FALL_NOISES: f64 = 2.5;
/// Standard deviation of white noise, relative to the median of its absolute differences.
const NOISE_PER_DIFFERENCE: f64 = 1.05;
/// Least fall, in MiB of live heap.
const FALL_MIB: f64 = 0.5;
/// Peaks of one saw-tooth lie above this part of the largest.
const SAME_PEAK: f64 = 0.8;
/// Falls of one saw-tooth are deeper than this part of the deepest.
const SAME_DEPTH: f64 = 0.5;
/// Falls that make a saw-tooth.
const MIN_FALLS: usize = 2;
/// The series has outgrown its saw-tooth above a peak by this part of its depth.
const ABOVE_PEAK: f64 = 0.25;
/// Points after the attach below which no fall is sought.
const MIN_POINTS: usize = 7;

/// A fall of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fall {
    pub(super) peak: f64,
    pub(super) depth: f64,
}

/// A level that a saw-tooth has not passed; `None` where the series has no saw-tooth.
///
/// Falls before the attach are estimates that are off by the change of load, which is why a saw-tooth never silences.
pub(super) fn level_to_pass(samples: &[Sample], past: Option<&Estimated>, mib: f64) -> Option<f64> {
    let after = samples.partition_point(|sample| sample.at_s < 0.0);
    let samples = &samples[after..];
    if samples.len() < MIN_POINTS {
        return None;
    }
    let least = FALL_MIB * mib;
    let values: Vec<f64> = samples.iter().map(|sample| sample.value).collect();
    let mut found = past.map(|past| past.falls(least)).unwrap_or_default();
    found.extend(falls(&values, FALL, MEDIAN_POINTS, least));
    let highest = found.iter().map(|fall| fall.peak).fold(0.0, f64::max);
    let deepest = found.iter().map(|fall| fall.depth).fold(0.0, f64::max);
    found.retain(|fall| fall.peak > SAME_PEAK * highest && fall.depth > SAME_DEPTH * deepest);
    let levels = found.iter().map(|fall| fall.peak + ABOVE_PEAK * fall.depth);
    (found.len() >= MIN_FALLS).then(|| levels.fold(0.0, f64::max))
}

/// Falls among values from before the attach.
pub(super) fn past_falls(values: &[f64], median_points: usize, least: f64) -> Vec<Fall> {
    falls(values, PAST_FALL, median_points, least)
}

/// Points of the running median before the attach, for marks this far apart.
pub(super) fn past_median_points(gap_s: f64) -> usize {
    let points = PAST_MEDIAN_S / gap_s;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to its bounds"
    )]
    let points = points.clamp(MEDIAN_POINTS as f64, MAX_PAST_MEDIAN_POINTS) as usize;
    points
}

/// Falls of the running median of `points` values, each deeper than `part` of its peak, the noise, and `least`.
pub(super) fn falls(values: &[f64], part: f64, points: usize, least: f64) -> Vec<Fall> {
    if values.len() < 2 * points {
        return Vec::new();
    }
    let steps = values.windows(2).map(|pair| (pair[1] - pair[0]).abs());
    let noise = NOISE_PER_DIFFERENCE * median(steps.collect());
    let mut falls = Vec::new();
    let mut peak = f64::NEG_INFINITY;
    let mut bottom = None;
    for window in values.windows(points) {
        let now = median(window.to_vec());
        match bottom {
            None => {
                peak = peak.max(now);
                let deep = (part * peak).max(FALL_NOISES * noise).max(least);
                if peak - now > deep {
                    bottom = Some(now);
                }
            }
            Some(low) if now <= low => bottom = Some(now),
            Some(low) => {
                falls.push(Fall {
                    peak,
                    depth: peak - low,
                });
                (peak, bottom) = (now, None);
            }
        }
    }
    falls.extend(bottom.map(|low| Fall {
        peak,
        depth: peak - low,
    }));
    falls
}

/// Median; 0 of nothing.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.len() % 2, values.get(middle)) {
        (_, None) => 0.0,
        (0, Some(upper)) => values[middle - 1].midpoint(*upper),
        (_, Some(value)) => *value,
    }
}
