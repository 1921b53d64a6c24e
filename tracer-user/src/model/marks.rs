//! Sources that learn of deaths by mark bits: weighted births, deaths, and when the values of a cycle are final.
//!
//! Deaths are known only when the mark bits of a cycle were read, so neither the end of a sweep nor the next start makes
//! a cycle final: [`Event::MarksRead`](crate::event::Event::MarksRead) does. The counts of a bucket are in units of
//! [`UNITS_PER_OBJECT`], and what no count can tell, the number of samples and how uneven they are, is in [`Weighted`].

use std::collections::HashMap;
use std::sync::Arc;

use super::Model;
use super::bucket::Bucket;
use super::estimate::{Scale, UNITS_PER_OBJECT};
use super::samples::{LiveSample, is_kept};
use super::weighted::Weighted;
use crate::event::{Birth, Duty};
use crate::go::buckets::{NewBucket, UNKNOWN_STACK_PC};
use crate::go::frame::Frame;

/// Heaviest sample that is believed: 2^32 objects are more than any heap holds, and leave the sums far from overflow.
const MAX_WEIGHT: f64 = 4_294_967_296.0;
/// Most times that samples are thinned: one in 2^24 of all births is less than one that lives, in any heap.
const MAX_THINNINGS: u32 = 24;

/// What only sources by mark bits tell.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks {
    /// By index of the bucket; shorter than the buckets.
    weights: Vec<Weighted>,
    /// One in 2^`thinnings` of the births is followed, with 2^`thinnings` times its weight.
    thinnings: u32,
    /// Samples that were not followed, or not any more, for that.
    pub(super) thinned: u64,
    /// The marks of this cycle were read, and its mark termination has not been told yet.
    read: Option<u32>,
    pub(super) is_counted_exactly: bool,
    pub(super) duty: Option<Duty>,
}

/// Births after a mark termination that is not the last, by index of the bucket: units and samples of those that live.
pub(super) type Since = HashMap<u32, (u64, u64)>;

impl Marks {
    /// What is known of a bucket's samples; `None` if it never had one.
    pub(super) fn get(&self, idx: u32) -> Option<&Weighted> {
        self.weights.get(idx as usize)
    }

    pub(super) fn get_mut(&mut self, idx: u32) -> Option<&mut Weighted> {
        self.weights.get_mut(idx as usize)
    }

    fn at(&mut self, idx: u32) -> &mut Weighted {
        let i = idx as usize;
        if i >= self.weights.len() {
            self.weights.resize_with(i + 1, Weighted::default);
        }
        &mut self.weights[i]
    }

    /// How the units of a bucket are scaled.
    pub(super) fn scale(&self, idx: u32, bucket: &Bucket) -> Scale {
        Scale::weighted(
            bucket.object_bytes,
            self.get(idx).map_or(1.0, Weighted::spread),
        )
    }
}

/// A weight in units: at least one object.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped; NaN becomes the least"
)]
fn units(weight: f64) -> u64 {
    let weight = if weight > 1.0 {
        weight.min(MAX_WEIGHT)
    } else {
        1.0
    };
    (weight * UNITS_PER_OBJECT).round() as u64
}

impl Model {
    pub(super) fn apply_sites(&mut self, sites: Vec<NewBucket>) {
        for site in sites {
            if site.pcs.contains(&UNKNOWN_STACK_PC) {
                self.names
                    .insert(UNKNOWN_STACK_PC, Arc::new(Frame::unknown_stack()));
            }
            self.truncated_stacks += u64::from(site.n_frames as usize > site.pcs.len());
            self.add_bucket(site);
        }
        self.place_sites();
    }

    pub(super) fn apply_births(&mut self, births: Vec<Birth>) {
        for birth in births {
            self.saw(birth.at_ns);
            self.apply_birth(birth);
        }
    }

    fn apply_birth(&mut self, birth: Birth) {
        // Whoever was there is dead: an address holds one object.
        self.end_sample(birth.object);
        let Some(idx) = self.bucket_idx(birth.bucket) else {
            return;
        };
        while self.samples.is_full() && self.marks.thinnings < MAX_THINNINGS {
            self.thin();
        }
        if self.samples.is_full() || !is_kept(birth.object, self.marks.thinnings) {
            self.marks.thinned += 1;
            return;
        }
        let units = units(birth.weight) << self.marks.thinnings;
        let epoch = self.gc.epoch;
        // A record that waited for its weight may come behind the mark that it was before.
        let since_mark = birth.at_ns >= self.last_mark_ns;
        self.buckets[idx as usize].add(units, epoch, since_mark);
        self.marks.at(idx).born(units, epoch, since_mark);
        let born_epoch = epoch.saturating_sub(u64::from(!since_mark));
        self.samples.born(
            birth.object,
            LiveSample {
                bucket_idx: idx,
                born_epoch: u32::try_from(born_epoch).unwrap_or(u32::MAX),
                born_ns: birth.at_ns,
                units,
            },
        );
        self.diagnosis
            .born_weighted(birth.object, idx, units, birth.at_ns);
        self.touched.insert(idx);
    }

    pub(super) fn apply_dead(&mut self, at_ns: u64, objects: &[u64]) {
        self.saw(at_ns);
        for &object in objects {
            // One born since the memory was read is another.
            let older = |sample: &LiveSample| sample.born_ns <= at_ns;
            if self.samples.get(object).is_some_and(older) {
                self.end_sample(object);
            }
        }
    }

    /// The sample at an address, if there is one, is dead.
    fn end_sample(&mut self, object: u64) {
        let Some(sample) = self.samples.freed(object) else {
            return;
        };
        let (idx, epoch) = (sample.bucket_idx, self.gc.epoch);
        let since_mark = u64::from(sample.born_epoch) == epoch;
        self.buckets[idx as usize].take(sample.units, epoch, since_mark);
        self.marks.at(idx).died(sample.units, epoch, since_mark);
        self.diagnosis.feed.died(object, idx, self.now_ns);
        self.touched.insert(idx);
    }

    /// Takes half of the samples out and lets the others stand for twice as much: what is expected of any sum of them
    /// stays the same.
    fn thin(&mut self) {
        self.marks.thinnings += 1;
        let (thinnings, epoch) = (self.marks.thinnings, self.gc.epoch);
        let Self {
            samples,
            buckets,
            marks,
            touched,
            diagnosis,
            ..
        } = self;
        samples.retain(|object, sample| {
            let (idx, units) = (sample.bucket_idx, sample.units);
            let since_mark = u64::from(sample.born_epoch) == epoch;
            let bucket = &mut buckets[idx as usize];
            touched.insert(idx);
            if is_kept(object, thinnings) {
                bucket.add(units, epoch, since_mark);
                marks.at(idx).doubled(units);
                sample.units *= 2;
                true
            } else {
                bucket.take(units, epoch, since_mark);
                marks.at(idx).gone(units, epoch, since_mark);
                marks.thinned += 1;
                diagnosis.feed.forget(object);
                false
            }
        });
    }

    pub(super) fn apply_marks_read(&mut self, at_ns: u64, number: u32) {
        self.saw(at_ns);
        self.marks.read = Some(number);
        self.settle_marks();
    }

    /// Makes the cycle whose marks were read final, as soon as its mark termination is known.
    pub(super) fn settle_marks(&mut self) {
        let Some(number) = self.marks.read.filter(|_| self.ready) else {
            return;
        };
        let known = *self.gc.number.get_or_insert(number);
        if number > known {
            return; // Its hook is still in the ring, or was lost: the next figures of the heap tell.
        }
        self.marks.read = None;
        let cycle = self.gc.cycles().iter().rev().find(|c| c.number == number);
        let (Some(at_ns), false) = (
            cycle.map(|cycle| cycle.at_ns),
            self.final_number.is_some_and(|last| last >= number),
        ) else {
            return; // It was over before the attach, or is final already.
        };
        // The next mark may have come while the bits of this one were read.
        let late = (number < known).then(|| {
            let one_each = self.gc.epoch.saturating_sub(u64::from(known - number));
            self.born_since(self.gc.epoch_of(number).unwrap_or(one_each))
        });
        if late.is_none() {
            self.gc.sweeping = false;
        }
        self.settle(at_ns, Some(number), late.as_ref());
    }

    /// What was born in this epoch and later ones.
    fn born_since(&self, first: u64) -> Since {
        let mut since = Since::new();
        for (_, sample) in self.samples.iter() {
            if u64::from(sample.born_epoch) >= first {
                let (units, samples) = since.entry(sample.bucket_idx).or_default();
                *units += sample.units;
                *samples += 1;
            }
        }
        since
    }

    pub(super) fn apply_counted(&mut self, at_ns: u64, objects: Vec<(u64, f64)>, exact: bool) {
        self.saw(at_ns);
        self.marks.is_counted_exactly = exact;
        for (bucket, objects) in objects {
            let Some(idx) = self.bucket_idx(bucket) else {
                continue;
            };
            if objects.is_finite() {
                self.marks.at(idx).counted = Some(objects);
            }
        }
    }

    /// How often samples were thinned, because there were more than [`MAX_LIVE_SAMPLES`]: the source need not follow
    /// objects that are not [`is_kept`] at this level.
    ///
    /// [`MAX_LIVE_SAMPLES`]: super::samples::MAX_LIVE_SAMPLES
    pub fn thinning(&self) -> u32 {
        self.marks.thinnings
    }
}

#[cfg(test)]
#[path = "marks_tests.rs"]
mod tests;
