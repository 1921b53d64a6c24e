//! Net change of retained samples since an earlier mark of the watch, by stack.
//!
//! A sample is a *veteran* at a mark if it was born before the mark before and neither of the two sweeps freed it: what is
//! younger may still be garbage. Where marks are rare, one is enough for a sample that is some seconds old. The baseline is
//! the veterans at the second mark (of rare marks: the first). The list of live samples at the attach is none: half of it is
//! garbage.
//!
//! What filled early in the watch is no part of the growth that goes on. So is, where the source has no history, what only
//! replaces objects from before the attach, whose deaths are unseen. A later baseline leaves both out; it is used as soon as
//! enough samples came since.

use crate::model::samples::LiveSamples;
use crate::verdict::{SECOND_NS, Weight};

use super::attribution::Net;

/// Gap between marks from which on one mark proves that a sample is retained.
const RARE_NS: u64 = 30 * SECOND_NS;
/// Age at a rare mark that makes a veteran.
const RARE_AGE_NS: u64 = 5 * SECOND_NS;

/// Net samples since the later baseline from which on it is used: shares of a third are then known to a half.
const ENOUGH_SAMPLES: u64 = 20;

/// A mark whose sweep is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    at_ns: u64,
    /// Samples born up to here that live are veterans at this mark.
    veterans_ns: u64,
}

/// Veterans of one stack, in units of their samples: whole numbers, whose sum does not depend on their order.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Held {
    samples: u64,
    units: u128,
    squares: u128,
}

impl Held {
    fn add(&mut self, units: u64) {
        let units = u128::from(units);
        self.samples += 1;
        self.units += units;
        self.squares = self.squares.saturating_add(units * units);
    }

    fn net(self, unit: Weight) -> Net {
        Net {
            bytes: self.units as f64 * unit.bytes,
            squares: self.squares as f64 * unit.bytes * unit.bytes,
            samples: self.samples as f64,
            objects: self.units as f64 * unit.objects,
        }
    }
}

/// The baselines, and the last complete mark.
#[derive(Clone, Debug, Default)]
pub(super) struct Retained {
    /// Time of the last mark before the attach, if it is known.
    before_ns: Option<u64>,
    last: Option<Mark>,
    first: Option<Baseline>,
    /// A quarter to a half of the way from the first to now.
    later: Option<Baseline>,
    /// Becomes the later one once as much time has passed since as it was behind the first.
    next: Option<Baseline>,
    /// True while the later baseline is used.
    is_later: bool,
}

#[derive(Clone, Debug)]
struct Baseline {
    mark: Mark,
    /// By index of the bucket; shorter than the buckets.
    held: Vec<Held>,
}

impl Baseline {
    fn new(mark: Mark, samples: &LiveSamples) -> Self {
        let mut held: Vec<Held> = Vec::new();
        for (_, sample) in samples.iter() {
            if sample.born_ns <= mark.veterans_ns {
                at(&mut held, sample.bucket_idx).add(sample.units);
            }
        }
        Self { mark, held }
    }
}

impl Retained {
    /// Starts with the time of the last mark before the attach, if it is known.
    pub(super) fn new(before_ns: Option<u64>) -> Self {
        Self {
            before_ns,
            ..Self::default()
        }
    }

    /// Drops the baselines: the next complete mark sets another one.
    pub(super) fn restart(&mut self) {
        *self = Self {
            before_ns: self.before_ns,
            last: self.last,
            ..Self::default()
        };
    }

    /// Chooses the baseline: the later one if enough samples came since.
    pub(super) fn choose(&mut self, samples: &LiveSamples) {
        let (Some(later), Some(last)) = (&self.later, self.last) else {
            self.is_later = false;
            return;
        };
        let (mut born, mut left) = (0_u64, 0_u64);
        for (_, sample) in samples.iter() {
            if sample.born_ns <= later.mark.veterans_ns {
                left += 1;
            } else if sample.born_ns <= last.veterans_ns {
                born += 1;
            }
        }
        let then: u64 = later.held.iter().map(|held| held.samples).sum();
        let gone = then.saturating_sub(left);
        self.is_later = born.saturating_sub(gone) >= ENOUGH_SAMPLES;
    }

    fn baseline(&self) -> Option<&Baseline> {
        let later = self.later.as_ref().filter(|_| self.is_later);
        later.or(self.first.as_ref())
    }

    /// Takes a mark whose sweep is complete.
    pub(super) fn mark(&mut self, at_ns: u64, samples: &LiveSamples) {
        let before = self.last.map(|mark| mark.at_ns).or(self.before_ns);
        let is_rare = before.is_some_and(|before| at_ns.saturating_sub(before) >= RARE_NS);
        let veterans_ns = if is_rare {
            at_ns.saturating_sub(RARE_AGE_NS)
        } else {
            // The first mark of the watch proves nothing of samples born in it.
            self.last.map_or(0, |mark| mark.at_ns)
        };
        let mark = Mark { at_ns, veterans_ns };
        let is_first = self.last.replace(mark).is_none();
        let Some(first) = &self.first else {
            if is_rare || !is_first {
                self.first = Some(Baseline::new(mark, samples));
            }
            return;
        };
        let since_first = |of: &Mark| of.at_ns.saturating_sub(first.mark.at_ns);
        let is_due = (self.next.as_ref())
            .is_none_or(|next| since_first(&mark) >= 2 * since_first(&next.mark));
        if is_due {
            self.later = self.next.replace(Baseline::new(mark, samples));
        }
    }

    /// Time up to which births have been judged: those that live are veterans. 0 before the first mark.
    pub(super) fn judged_ns(&self) -> u64 {
        self.last.map_or(0, |mark| mark.veterans_ns)
    }

    /// Times of the two marks between which [`Self::net`] is the change; `None` until there are two.
    pub(super) fn span_ns(&self) -> Option<(u64, u64)> {
        let from = self.baseline()?.mark.at_ns;
        let to = self.last?.at_ns;
        (to > from).then_some((from, to))
    }

    /// Net change by index of the bucket; empty until there is a mark after the baseline.
    ///
    /// * `unit`: bytes and objects that a unit of a bucket's samples stands for.
    pub(super) fn net(&self, samples: &LiveSamples, unit: impl Fn(u32) -> Weight) -> Vec<Net> {
        let (Some(baseline), Some(last), Some(_)) = (self.baseline(), self.last, self.span_ns())
        else {
            return Vec::new();
        };
        let (mut born, mut left): (Vec<Held>, Vec<Held>) = (Vec::new(), Vec::new());
        for (_, sample) in samples.iter() {
            if sample.born_ns <= baseline.mark.veterans_ns {
                at(&mut left, sample.bucket_idx).add(sample.units);
            } else if sample.born_ns <= last.veterans_ns {
                at(&mut born, sample.bucket_idx).add(sample.units);
            }
        }
        let n = born.len().max(baseline.held.len());
        (0u32..)
            .zip(0..n)
            .map(|(idx, i)| {
                let of = |held: &[Held]| held.get(i).copied().unwrap_or_default();
                let (then, now) = (of(&baseline.held), of(&left));
                let gone = Held {
                    samples: then.samples.saturating_sub(now.samples),
                    units: then.units.saturating_sub(now.units),
                    squares: then.squares.saturating_sub(now.squares),
                };
                let unit = unit(idx);
                let (born, gone) = (of(&born).net(unit), gone.net(unit));
                Net {
                    bytes: born.bytes - gone.bytes,
                    squares: born.squares + gone.squares,
                    samples: born.samples - gone.samples,
                    objects: born.objects - gone.objects,
                }
            })
            .collect()
    }
}

fn at<T: Clone + Default>(of: &mut Vec<T>, idx: u32) -> &mut T {
    let i = idx as usize;
    if i >= of.len() {
        of.resize(i + 1, T::default());
    }
    &mut of[i]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::samples::LiveSample;

    fn born(samples: &mut LiveSamples, object: u64, bucket_idx: u32, at_s: u64) {
        let sample = LiveSample {
            bucket_idx,
            born_epoch: 0,
            born_ns: at_s * SECOND_NS,
            units: 1,
        };
        samples.born(object, sample);
    }

    /// Net samples of the first two buckets.
    #[allow(clippy::cast_possible_truncation, reason = "a few samples")]
    fn net(retained: &Retained, samples: &LiveSamples) -> [i32; 2] {
        let unit = Weight {
            objects: 1.0,
            bytes: 100.0,
        };
        let net = retained.net(samples, |_| unit);
        [0, 1].map(|i| net.get(i).map_or(0, |net: &Net| net.samples as i32))
    }

    #[test]
    fn counts_what_outlived_two_marks_against_the_baseline() {
        let mut samples = LiveSamples::default();
        let mut retained = Retained::new(None);
        born(&mut samples, 1, 0, 0);
        born(&mut samples, 2, 0, 0);
        retained.mark(10 * SECOND_NS, &samples);
        born(&mut samples, 3, 1, 12);
        retained.mark(20 * SECOND_NS, &samples);
        assert_eq!(retained.span_ns(), None);
        samples.freed(1);
        born(&mut samples, 4, 1, 22);
        retained.mark(30 * SECOND_NS, &samples);
        assert_eq!(net(&retained, &samples), [-1, 1], "4 is too young");
        retained.mark(40 * SECOND_NS, &samples);
        assert_eq!(net(&retained, &samples), [-1, 2]);
        assert_eq!(retained.span_ns(), Some((20 * SECOND_NS, 40 * SECOND_NS)));
    }

    #[test]
    fn what_filled_early_is_left_out_once_enough_came_later() {
        let mut samples = LiveSamples::default();
        let mut retained = Retained::new(None);
        let mut object = 0;
        let mut births = |samples: &mut LiveSamples, n: u64, bucket: u32, at_s: u64| {
            for _ in 0..n {
                object += 1;
                born(samples, object, bucket, at_s);
            }
        };
        for cycle in 1..=16 {
            // Bucket 0 fills until the fourth cycle, bucket 1 leaks.
            births(
                &mut samples,
                if cycle <= 4 { 20 } else { 0 },
                0,
                10 * cycle - 5,
            );
            births(&mut samples, 4, 1, 10 * cycle - 4);
            retained.mark(10 * cycle * SECOND_NS, &samples);
            retained.choose(&samples);
            if cycle == 5 {
                assert!(net(&retained, &samples)[0] > 0, "too early to leave it out");
            }
        }
        assert_eq!(net(&retained, &samples)[0], 0);
        assert!(net(&retained, &samples)[1] >= 24);
    }

    #[test]
    fn one_rare_mark_is_proof() {
        let mut samples = LiveSamples::default();
        let mut retained = Retained::new(Some(0));
        born(&mut samples, 1, 0, 0);
        retained.mark(40 * SECOND_NS, &samples);
        born(&mut samples, 2, 0, 50);
        born(&mut samples, 3, 0, 97);
        retained.mark(100 * SECOND_NS, &samples);
        assert_eq!(net(&retained, &samples), [1, 0], "3 is too young");
    }
}
