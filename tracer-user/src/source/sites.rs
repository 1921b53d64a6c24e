//! Stacks by their ids, and the buckets that allocations are counted under.

use std::collections::HashMap;
use std::sync::Arc;

use super::Lookup;
use crate::go::buckets::{MAX_BUCKETS, NewBucket, UNKNOWN_STACK_PC};

/// What a bucket is: stack id, bytes of an object, address of its type.
type Key = (u64, u64, u64);

/// Id of no stack.
pub(super) const UNKNOWN_STACK: u64 = 0;

/// Stacks and buckets seen so far; at most [`MAX_BUCKETS`] of each.
#[derive(Debug, Default)]
pub(super) struct Sites {
    stacks: HashMap<u64, Stack>,
    buckets: HashMap<Key, u64>,
}

#[derive(Clone, Debug)]
struct Stack {
    pcs: Arc<[u64]>,
    /// It was deeper than what the kernel side follows.
    is_cut: bool,
}

impl Sites {
    /// Takes a stack, expanded; one that is known already changes nothing.
    pub(super) fn stack(&mut self, id: u64, expand: impl FnOnce() -> Vec<u64>, is_cut: bool) {
        if self.stacks.contains_key(&id) {
            return;
        }
        if self.stacks.len() >= MAX_BUCKETS {
            return; // What is counted under it has no stack, and says so.
        }
        let stack = Stack {
            pcs: expand().into(),
            is_cut,
        };
        self.stacks.insert(id, stack);
    }

    /// The bucket of a stack, size and type; with what the model has to be told if it is new.
    pub(super) fn bucket(&mut self, key: Key, lookup: &dyn Lookup) -> (u64, Option<NewBucket>) {
        let (stack, object_bytes, go_type) = key;
        let known = self.stacks.contains_key(&stack);
        // Without a stack all of one size are one bucket: their number stays right.
        let key = if known {
            key
        } else {
            (UNKNOWN_STACK, object_bytes, 0)
        };
        if let Some(&bucket) = self.buckets.get(&key) {
            return (bucket, None);
        }
        let bucket = self.buckets.len() as u64 + 1;
        if self.buckets.len() >= MAX_BUCKETS {
            // The model refuses buckets beyond its bound and counts what it refuses.
            return (bucket, None);
        }
        self.buckets.insert(key, bucket);
        let (pcs, is_cut) = match self.stacks.get(&key.0) {
            Some(stack) if !stack.pcs.is_empty() => (Arc::clone(&stack.pcs), stack.is_cut),
            _ => ([UNKNOWN_STACK_PC].into(), false),
        };
        let new = NewBucket {
            addr: bucket,
            object_bytes,
            // More than there are where the stack was cut: the model counts it.
            n_frames: u32::try_from(pcs.len())
                .unwrap_or(u32::MAX)
                .saturating_add(u32::from(is_cut)),
            pcs,
            go_type: (known && go_type != 0)
                .then(|| lookup.type_name(go_type))
                .flatten(),
        };
        (bucket, Some(new))
    }
}
