//! The live samples one by one: which object, from which bucket, born when. Bounded.

use std::collections::HashMap;

/// Most live samples kept: at 512 KiB a sample that is a heap of 64 GiB. Beyond it the counts stay
/// right, and only what is told object by object is incomplete, which is counted.
pub const MAX_LIVE_SAMPLES: usize = 1 << 17;

/// A sampled object that lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveSample {
    /// Index of its bucket in the model.
    pub bucket_idx: u32,
    /// GC cycles that heaptop had seen when it was born; 0 also for those that were there before.
    pub born_epoch: u32,
    /// When it was born, monotonic nanoseconds; 0 if it was there before the attach.
    pub born_ns: u64,
    /// What it counts in its bucket: 1 for a sample of the runtime's, else its weight in
    /// [`super::estimate::UNITS_PER_OBJECT`].
    pub units: u64,
}

/// Live samples by object address.
#[derive(Clone, Debug, Default)]
pub struct LiveSamples {
    by_object: HashMap<u64, LiveSample>,
    /// Samples that found no room.
    pub evicted: u64,
}

/// Whether the sample of an object is one of those that are left after samples were thinned `level` times: each time
/// halves them, by chance as far as the target can know. It is the address that decides, so that those who follow objects
/// elsewhere come to the same result, and a death is never that of a sample which was not counted.
///
/// Source of the mixing: `SplitMix64`, Steele, Lea and Flood 2014.
pub fn is_kept(object: u64, level: u32) -> bool {
    let mut hash = object.wrapping_add(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^= hash >> 31;
    hash.trailing_zeros() >= level
}

impl LiveSamples {
    /// A sample is born. An older one at the same address is dead, its free was lost.
    pub fn born(&mut self, object: u64, sample: LiveSample) {
        if self.by_object.len() >= MAX_LIVE_SAMPLES && !self.by_object.contains_key(&object) {
            self.evicted += 1;
            return;
        }
        self.by_object.insert(object, sample);
    }

    /// A sample that a walk found: kept unless an event told of a newer one.
    pub fn found(&mut self, object: u64, bucket_idx: u32) {
        if !self.by_object.contains_key(&object) {
            self.born(
                object,
                LiveSample {
                    bucket_idx,
                    born_epoch: 0,
                    born_ns: 0,
                    units: 1,
                },
            );
        }
    }

    /// A sample is freed; what is known of it.
    pub fn freed(&mut self, object: u64) -> Option<LiveSample> {
        self.by_object.remove(&object)
    }

    /// What is known of the live sample at an address.
    pub fn get(&self, object: u64) -> Option<&LiveSample> {
        self.by_object.get(&object)
    }

    /// Whether there is room for no other.
    pub fn is_full(&self) -> bool {
        self.by_object.len() >= MAX_LIVE_SAMPLES
    }

    /// Changes each sample, or takes it out where `keep` says `false`.
    pub fn retain(&mut self, mut keep: impl FnMut(u64, &mut LiveSample) -> bool) {
        self.by_object
            .retain(|&object, sample| keep(object, sample));
    }

    /// Number of live samples known.
    pub fn len(&self) -> usize {
        self.by_object.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.by_object.is_empty()
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &LiveSample)> {
        self.by_object
            .iter()
            .map(|(&object, sample)| (object, sample))
    }
}
