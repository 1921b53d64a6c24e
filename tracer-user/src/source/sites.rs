//! Stacks by their ids, and the buckets that allocations are counted under.

use std::collections::HashMap;
use std::sync::Arc;

use super::Lookup;
use crate::go::buckets::{MAX_BUCKETS, NewBucket};

/// What a bucket is: stack id, bytes of an object, address of its type.
type Key = (u64, u64, u64);

/// Stands for the stack of what is counted without one: it was lost, or beyond our bound.
pub(super) const UNKNOWN_STACK_PC: u64 = 0;

/// Stacks and buckets seen so far; at most [`MAX_BUCKETS`] of each.
#[derive(Debug, Default)]
pub(super) struct Sites {
    stacks: HashMap<u64, Arc<[u64]>>,
    buckets: HashMap<Key, u64>,
    truncated: u64,
}

impl Sites {
    /// Takes a stack, expanded; one that is known already changes nothing.
    pub(super) fn stack(&mut self, id: u64, expand: impl FnOnce() -> Vec<u64>, truncated: bool) {
        if self.stacks.contains_key(&id) {
            return;
        }
        if self.stacks.len() >= MAX_BUCKETS {
            self.truncated += 1;
            return;
        }
        self.truncated += u64::from(truncated);
        self.stacks.insert(id, expand().into());
    }

    /// The bucket of a stack, size and type; with what the model has to be told if it is new.
    pub(super) fn bucket(&mut self, key: Key, lookup: &dyn Lookup) -> (u64, Option<NewBucket>) {
        let (stack, object_bytes, go_type) = key;
        let known = self.stacks.contains_key(&stack);
        // Without a stack all of one size are one bucket: their number stays right.
        let key = if known { key } else { (0, object_bytes, 0) };
        if let Some(&bucket) = self.buckets.get(&key) {
            return (bucket, None);
        }
        let bucket = self.buckets.len() as u64 + 1;
        if self.buckets.len() >= MAX_BUCKETS {
            // The model refuses buckets beyond its bound and counts what it refuses.
            return (bucket, None);
        }
        self.buckets.insert(key, bucket);
        let pcs = match self.stacks.get(&key.0) {
            Some(pcs) if !pcs.is_empty() => Arc::clone(pcs),
            _ => [UNKNOWN_STACK_PC].into(),
        };
        let new = NewBucket {
            addr: bucket,
            object_bytes,
            n_frames: u32::try_from(pcs.len()).unwrap_or(u32::MAX),
            pcs,
            go_type: (known && go_type != 0)
                .then(|| lookup.type_name(go_type))
                .flatten(),
        };
        (bucket, Some(new))
    }

    /// Stacks that were cut, by the kernel side or by our bound.
    pub(super) fn truncated(&self) -> u64 {
        self.truncated
    }
}
