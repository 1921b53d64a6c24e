//! Excursions: readings far off those before and those after them, as a burst of requests makes.
//!
//! Two bursts that double a heap for some seconds hide a leak of a tenth of it a minute from a fit that takes them for
//! noise. They are found much as by Hampel's identifier: by their distance from the medians around, in units of the
//! median absolute deviation. A reading between both medians, as on a slope or a step, is none. Both directions count,
//! so that what is left out favours no slope.

use super::{history::Sample, teeth::median, trend::MIN_POINTS};

/// Readings within this time before and after are compared. An excursion lasts at most half as long.
const REACH_S: f64 = 90.0;
/// Readings needed before. Without as many, what lies above those after is one: a series may begin within a burst.
const LEAST_BEFORE: usize = 3;
/// Readings after an excursion that show that it is over.
pub(super) const OVER: usize = 3;
/// The same for what may contradict growth: a way back is no fall.
pub(super) const BACK: usize = 1;
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

/// The samples, oldest first, without excursions that at least `after` samples follow; all of them where few would be left.
pub(super) fn without(samples: &[Sample], after: usize, mib: f64) -> Vec<Sample> {
    let distances = distances(samples, after, mib);
    let mut left = Vec::with_capacity(samples.len());
    let mut at = 0;
    for run in distances.chunk_by(|a, b| (*a > OFF) == (*b > OFF)) {
        if run.iter().all(|distance| *distance <= FAR) {
            left.extend_from_slice(&samples[at..at + run.len()]);
        }
        at += run.len();
    }
    if left.len() < MIN_POINTS {
        samples.to_vec()
    } else {
        left
    }
}

/// Distance of each sample from those before and after it, in standard deviations; 0 between both.
fn distances(samples: &[Sample], after: usize, mib: f64) -> Vec<f64> {
    let (mut from, mut to) = (0, 0);
    let distance = |(at, sample): (usize, &Sample)| {
        while samples[from].at_s < sample.at_s - REACH_S {
            from += 1;
        }
        while (samples.get(to)).is_some_and(|later| later.at_s <= sample.at_s + REACH_S) {
            to += 1;
        }
        if to - at <= after {
            return 0.0;
        }
        distance(sample.value, &samples[from..at], &samples[at + 1..to], mib)
    };
    samples.iter().enumerate().map(distance).collect()
}

fn distance(value: f64, before: &[Sample], after: &[Sample], mib: f64) -> f64 {
    let middle = |side: &[Sample]| median(side.iter().map(|sample| sample.value).collect());
    let late = middle(after);
    let is_first = before.len() < LEAST_BEFORE;
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

    /// Times of the readings that are left, of one every 5 s.
    fn left(n: u32, after: usize, value: impl Fn(f64) -> f64) -> Vec<f64> {
        let sample = |i: u32| Sample {
            at_s: 5.0 * f64::from(i),
            value: value(5.0 * f64::from(i)),
            weight: 1.0,
            ..Sample::default()
        };
        let samples: Vec<Sample> = (0..n).map(sample).collect();
        let left = without(&samples, after, 1.0);
        left.iter().map(|sample| sample.at_s).collect()
    }

    fn small(at_s: f64) -> f64 {
        (7.0 * at_s).sin()
    }

    /// A leak with a burst from 100 s on, and its flank.
    fn burst(at_s: f64) -> f64 {
        let burst = match at_s {
            100.0..120.0 => 60.0,
            120.0..130.0 => 15.0,
            _ => 0.0,
        };
        30.0 + at_s / 12.0 + small(at_s) + burst
    }

    #[test]
    fn a_burst_is_left_out_with_its_flank() {
        let times = left(60, OVER, burst);
        assert_eq!(times.len(), 60 - 6, "{times:?}");
        assert!(!times.iter().any(|at_s| (100.0..130.0).contains(at_s)));
    }

    #[test]
    fn a_burst_is_over_after_some_readings_and_no_fall_after_one() {
        assert_eq!(left(23, OVER, burst).len(), 23);
        assert_eq!(left(27, BACK, burst).len(), 27 - 6);
        assert_eq!(left(29, OVER, burst).len(), 29 - 6);
    }

    #[test]
    fn a_series_that_begins_in_a_burst_loses_its_start_and_no_low_one() {
        let start = |of: f64| move |at_s: f64| small(at_s) + if at_s < 15.0 { of } else { 50.0 };
        assert_eq!(left(20, OVER, start(90.0)).len(), 17);
        assert_eq!(left(20, OVER, start(10.0)).len(), 20);
        assert_eq!(left(6, OVER, start(90.0)).len(), 6, "too few would be left");
    }

    #[test]
    fn slopes_steps_noise_and_the_newest_readings_stay() {
        let n_left = |value: &dyn Fn(f64) -> f64| left(60, OVER, value).len();
        assert_eq!(n_left(&|at_s| 30.0 + at_s), 60);
        assert_eq!(n_left(&|at_s| 30.0 + small(at_s)), 60);
        let step =
            |from_s: f64| move |at_s: f64| small(at_s) + if at_s < from_s { 30.0 } else { 60.0 };
        assert_eq!(n_left(&step(150.0)), 60);
        assert_eq!(n_left(&step(285.0)), 60);
    }
}
