//! Excursions: readings far off those before and those after them, as a burst of requests makes.
//!
//! Two bursts that double the live heap for some seconds can hide a leak: the fit takes them for noise. Excursions are
//! found much as by Hampel's identifier: by their distance from the medians around, in units of the median absolute
//! deviation. A reading between both medians, as on a slope or a step, is not an excursion. Both directions count, so that
//! what is left out favours no slope.

use super::{
    history::{Sample, since},
    teeth::median,
    trend::MIN_POINTS,
};

/// Readings within this time before and after are compared. An excursion has fewer readings than either side of it: where
/// a burst makes GC cycles much more frequent, it stays.
const REACH_S: f64 = 90.0;
/// Readings required before an excursion. A series may begin within one: its first readings are compared with those after.
const READINGS_BEFORE: usize = 3;
/// Readings required after an excursion to treat it as ended.
pub(super) const READINGS_AFTER: usize = 3;
/// The same for the test that withdraws growth: the return from a burst must not count as a fall.
pub(super) const READINGS_AFTER_WHILE_GROWING: usize = 1;
/// Least distance of an excursion, in standard deviations.
const MIN_PEAK_DEVIATIONS: f64 = 3.0;
/// Least distance of the readings that lead to it and back, in standard deviations.
const MIN_FLANK_DEVIATIONS: f64 = 1.0;
/// Standard deviation of normal noise, in median absolute deviations.
const DEVIATION_PER_MAD: f64 = 1.4826;
/// Least distance, relative to the value.
const MIN_SHARE: f64 = 0.05;
/// Least distance, in MiB of live heap.
const MIN_MIB: f64 = 1.0;

/// Samples, oldest first, with how far each lies from the others.
pub(super) struct Excursions<'a> {
    samples: &'a [Sample],
    distances: Vec<Distance>,
}

/// Distance of a sample from those before and those after it.
struct Distance {
    /// In standard deviations; 0 between both sides, and where too few are known.
    deviations: f64,
    /// Later samples that it was compared with.
    n_later: usize,
}

impl<'a> Excursions<'a> {
    /// Measures the distances. `mib`: units of the series that count as one MiB of live heap.
    pub(super) fn of(samples: &'a [Sample], mib: f64) -> Self {
        let places = 0..samples.len();
        Self {
            samples,
            distances: places.map(|at| Distance::of(samples, at, mib)).collect(),
        }
    }

    /// The samples without excursions that at least `after` samples follow; all of them where few would be left.
    pub(super) fn without(&self, after: usize) -> Vec<Sample> {
        let deviations = |distance: &Distance| {
            if distance.n_later >= after {
                distance.deviations
            } else {
                0.0
            }
        };
        let is_off = |distance: &Distance| deviations(distance) > MIN_FLANK_DEVIATIONS;
        let is_far = |distance: &Distance| deviations(distance) > MIN_PEAK_DEVIATIONS;
        let mut left = Vec::with_capacity(self.samples.len());
        let mut at = 0;
        for run in self.distances.chunk_by(|a, b| is_off(a) == is_off(b)) {
            if !run.iter().any(is_far) {
                left.extend_from_slice(&self.samples[at..at + run.len()]);
            }
            at += run.len();
        }
        if left.len() < MIN_POINTS {
            self.samples.to_vec()
        } else {
            left
        }
    }
}

impl Distance {
    fn of(samples: &[Sample], at: usize, mib: f64) -> Self {
        let sample = &samples[at];
        let before = since(&samples[..at], sample.at_s - REACH_S);
        let later = &samples[at + 1..];
        let later = &later[..later.partition_point(|of| of.at_s <= sample.at_s + REACH_S)];
        let is_first = at < READINGS_BEFORE;
        let deviations = if is_first && later.len() >= READINGS_AFTER {
            // A low start is kept: growth may begin there.
            let middle = middle(later);
            in_deviations(sample, sample.value - middle, &[(later, middle)], mib)
        } else if !is_first && before.len() >= READINGS_BEFORE && !later.is_empty() {
            let (early, late) = (middle(before), middle(later));
            let above = sample.value - early.max(late);
            let below = early.min(late) - sample.value;
            let sides = [(before, early), (later, late)];
            in_deviations(sample, above.max(below), &sides, mib)
        } else {
            0.0
        };
        Self {
            deviations,
            n_later: later.len(),
        }
    }
}

fn middle(samples: &[Sample]) -> f64 {
    median(samples.iter().map(|sample| sample.value).collect())
}

/// A distance in standard deviations of samples about the middle of their side; 0 of a small one.
fn in_deviations(sample: &Sample, distance: f64, sides: &[(&[Sample], f64)], mib: f64) -> f64 {
    // Most readings end here.
    if distance <= (MIN_SHARE * sample.value.abs()).max(MIN_MIB * mib) {
        return 0.0;
    }
    let around = sides
        .iter()
        .flat_map(|(side, middle)| side.iter().map(move |of| (of.value - middle).abs()));
    distance / (DEVIATION_PER_MAD * median(around.collect()))
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
        let left = Excursions::of(&samples, 1.0).without(after);
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
        let times = left(60, READINGS_AFTER, burst);
        assert_eq!(times.len(), 60 - 6, "{times:?}");
        assert!(!times.iter().any(|at_s| (100.0..130.0).contains(at_s)));
    }

    #[test]
    fn a_burst_is_over_after_some_readings_and_no_fall_after_one() {
        assert_eq!(left(23, READINGS_AFTER, burst).len(), 23);
        assert_eq!(left(27, READINGS_AFTER_WHILE_GROWING, burst).len(), 27 - 6);
        assert_eq!(left(29, READINGS_AFTER, burst).len(), 29 - 6);
    }

    #[test]
    fn a_series_that_begins_in_a_burst_loses_its_start_and_no_low_one() {
        let start = |of: f64| move |at_s: f64| small(at_s) + if at_s < 15.0 { of } else { 50.0 };
        assert_eq!(left(20, READINGS_AFTER, start(90.0)).len(), 17);
        assert_eq!(left(20, READINGS_AFTER, start(10.0)).len(), 20);
        assert_eq!(
            left(6, READINGS_AFTER, start(90.0)).len(),
            6,
            "too few would be left"
        );
    }

    #[test]
    fn nothing_is_left_out_of_rare_readings() {
        let rare = |i: u32| Sample {
            at_s: 60.0 * f64::from(i),
            value: if i.is_multiple_of(7) { 60.0 } else { 30.0 },
            weight: 1.0,
            ..Sample::default()
        };
        let samples: Vec<Sample> = (0..20).map(rare).collect();
        for after in [READINGS_AFTER, READINGS_AFTER_WHILE_GROWING] {
            assert_eq!(Excursions::of(&samples, 1.0).without(after).len(), 20);
        }
    }

    #[test]
    fn slopes_steps_noise_and_the_newest_readings_stay() {
        let n_left = |value: &dyn Fn(f64) -> f64| left(60, READINGS_AFTER, value).len();
        assert_eq!(n_left(&|at_s| 30.0 + at_s), 60);
        assert_eq!(n_left(&|at_s| 30.0 + small(at_s)), 60);
        let step =
            |from_s: f64| move |at_s: f64| small(at_s) + if at_s < from_s { 30.0 } else { 60.0 };
        assert_eq!(n_left(&step(150.0)), 60);
        assert_eq!(n_left(&step(285.0)), 60);
    }
}
