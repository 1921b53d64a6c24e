//! Excursions: readings far off those before and those after them, as a burst of requests makes.
//!
//! Two bursts that double a heap for some seconds hide a leak of a tenth of it a minute from a fit that takes them for
//! noise. They are found much as by Hampel's identifier: by their distance from the medians around, in units of the
//! median absolute deviation. A reading between both medians, as on a slope or a step, is none. Both directions count,
//! so that what is left out favours no slope.

use super::{history::Sample, teeth::median};

/// Readings within this time before and after are compared. An excursion lasts at most half as long.
const REACH_S: f64 = 90.0;
/// Readings needed before and after: the end of a series is no excursion until it is over. Without as many before, what
/// lies above those after is one: a series may begin within a burst.
const LEAST_BESIDE: usize = 3;
/// Distance of an excursion, in standard deviations.
const FAR: f64 = 3.0;
/// Distance of the readings that lead to it and back, in standard deviations.
const OFF: f64 = 1.0;
/// Standard deviation of normal noise, in median absolute deviations.
const DEVIATION_PER_MAD: f64 = 1.4826;
/// Least distance, relative to the value.
const LEAST: f64 = 0.05;
/// Least distance, in MiB of live heap.
const LEAST_MIB: f64 = 1.0;

/// The samples, oldest first, without excursions.
pub(super) fn without(samples: &[Sample], mib: f64) -> Vec<Sample> {
    let distances = distances(samples, mib);
    let mut left = Vec::with_capacity(samples.len());
    let mut at = 0;
    for run in distances.chunk_by(|a, b| (*a > OFF) == (*b > OFF)) {
        if run.iter().all(|distance| *distance <= FAR) {
            left.extend_from_slice(&samples[at..at + run.len()]);
        }
        at += run.len();
    }
    left
}

/// Distance of each sample from those before and after it, in standard deviations; 0 between both.
fn distances(samples: &[Sample], mib: f64) -> Vec<f64> {
    let (mut from, mut to) = (0, 0);
    let distance = |(at, sample): (usize, &Sample)| {
        while samples[from].at_s < sample.at_s - REACH_S {
            from += 1;
        }
        while (samples.get(to)).is_some_and(|later| later.at_s <= sample.at_s + REACH_S) {
            to += 1;
        }
        distance(sample.value, &samples[from..at], &samples[at + 1..to], mib)
    };
    samples.iter().enumerate().map(distance).collect()
}

fn distance(value: f64, before: &[Sample], after: &[Sample], mib: f64) -> f64 {
    if after.len() < LEAST_BESIDE {
        return 0.0;
    }
    let middle = |side: &[Sample]| median(side.iter().map(|sample| sample.value).collect());
    let late = middle(after);
    let is_first = before.len() < LEAST_BESIDE;
    let early = if is_first { late } else { middle(before) };
    let above = value - early.max(late);
    let below = early.min(late) - value;
    // A low start may be that of growth.
    let distance = if is_first { above } else { above.max(below) };
    // Most readings end here.
    if distance <= (LEAST * value.abs()).max(LEAST_MIB * mib) {
        return 0.0;
    }
    let before = if is_first { &[] } else { before };
    let deviations = [(before, early), (after, late)]
        .into_iter()
        .flat_map(|(side, middle)| side.iter().map(move |of| (of.value - middle).abs()));
    distance / (DEVIATION_PER_MAD * median(deviations.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values every 5 s that are left.
    fn left(value: impl Fn(f64) -> f64) -> Vec<f64> {
        let sample = |i: u32| Sample {
            at_s: 5.0 * f64::from(i),
            value: value(5.0 * f64::from(i)),
            weight: 1.0,
            ..Sample::default()
        };
        let samples: Vec<Sample> = (0..60).map(sample).collect();
        without(&samples, 1.0).iter().map(|of| of.at_s).collect()
    }

    fn small(at_s: f64) -> f64 {
        (7.0 * at_s).sin()
    }

    #[test]
    fn a_burst_is_left_out_with_its_flanks() {
        let burst = |at_s: f64| match at_s {
            100.0..120.0 => 60.0,
            120.0..130.0 => 15.0,
            _ => 0.0,
        };
        let times = left(|at_s| 30.0 + at_s / 12.0 + small(at_s) + burst(at_s));
        assert_eq!(times.len(), 60 - 6, "{times:?}");
        assert!(!times.iter().any(|at_s| (100.0..130.0).contains(at_s)));
    }

    #[test]
    fn slopes_steps_noise_and_the_newest_readings_stay() {
        assert_eq!(left(|at_s| 30.0 + at_s).len(), 60);
        assert_eq!(left(|at_s| 30.0 + small(at_s)).len(), 60);
        let step = |at_s: f64| if at_s < 150.0 { 30.0 } else { 60.0 };
        assert_eq!(left(|at_s| step(at_s) + small(at_s)).len(), 60);
        let newest = |at_s: f64| if at_s < 285.0 { 30.0 } else { 60.0 };
        assert_eq!(left(|at_s| newest(at_s) + small(at_s)).len(), 60);
    }
}
