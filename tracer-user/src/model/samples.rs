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
}

/// Live samples by object address.
#[derive(Clone, Debug, Default)]
pub struct LiveSamples {
    by_object: HashMap<u64, LiveSample>,
    /// Samples that found no room.
    pub evicted: u64,
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
                },
            );
        }
    }

    /// A sample is freed; what is known of it.
    pub fn freed(&mut self, object: u64) -> Option<LiveSample> {
        self.by_object.remove(&object)
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
