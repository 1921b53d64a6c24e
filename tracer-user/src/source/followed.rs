//! The objects that are followed, by address.

use std::collections::BTreeMap;

use crate::event::SpanTaken;
use crate::go::liveness::Followed;
use crate::model::samples::is_kept;

/// Followed objects. Bounded by the model's bound on live samples: what that thins out is forgotten here too.
#[derive(Clone, Debug, Default)]
pub(super) struct Objects {
    by_address: BTreeMap<u64, Object>,
    /// Mark terminations seen.
    epoch: u64,
    /// One in 2^`level` of the objects is followed: the model's bound on live samples holds here too.
    level: u32,
}

#[derive(Clone, Copy, Debug)]
struct Object {
    followed: Followed,
    born_epoch: u64,
}

impl Objects {
    /// An object is born; an older one at its address is dead (the model knows: it has the same rule).
    pub(super) fn born(&mut self, followed: Followed) {
        let born_epoch = self.epoch;
        let object = Object {
            followed,
            born_epoch,
        };
        if is_kept(followed.object, self.level) {
            self.by_address.insert(followed.object, object);
        } else {
            self.by_address.remove(&followed.object);
        }
    }

    /// Marking has ended: all that was born before can be looked for in the mark bits.
    pub(super) fn marked(&mut self) {
        self.epoch += 1;
    }

    /// An object is dead.
    pub(super) fn dead(&mut self, object: u64) {
        self.by_address.remove(&object);
    }

    /// Follows one in 2^`level` of the objects from now on.
    pub(super) fn thin(&mut self, level: u32) {
        self.level = self.level.max(level);
        self.by_address.retain(|object, _| is_kept(*object, level));
    }

    pub(super) fn len(&self) -> usize {
        self.by_address.len()
    }

    /// Those that were born before the last mark termination. A younger one may not have been handed out yet, and its
    /// slot would pass for free.
    pub(super) fn born_before_mark(&self) -> Vec<Followed> {
        self.by_address
            .values()
            .filter(|object| object.born_epoch < self.epoch)
            .map(|object| object.followed)
            .collect()
    }

    /// A span is taken: followed objects in its memory that are of another span, or whose slot was free, are dead.
    /// Returns them; they are no longer followed.
    ///
    /// Between two checks of the mark bits a slot may be freed and handed out again, and would look alive. It cannot be
    /// handed out without its span being taken.
    pub(super) fn span_taken(&mut self, taken: &SpanTaken) -> Vec<u64> {
        let bytes = taken.slot_bytes.saturating_mul(taken.n_slots.into());
        let end = taken.start.saturating_add(bytes);
        if end <= taken.start {
            return Vec::new();
        }
        let dead: Vec<u64> = self
            .by_address
            .range(taken.start..end)
            .filter(|(_, object)| !lives_in(&object.followed, taken))
            .map(|(object, _)| *object)
            .collect();
        for object in &dead {
            self.by_address.remove(object);
        }
        dead
    }
}

/// Whether a followed object can be the one in its slot of a span that is being taken.
fn lives_in(followed: &Followed, taken: &SpanTaken) -> bool {
    let same = followed.span_start == taken.start
        && followed.slot_bytes == taken.slot_bytes
        && followed.span_class == taken.span_class;
    let Some(slot) = (followed.object - taken.start).checked_div(taken.slot_bytes) else {
        return false;
    };
    let word = usize::try_from(slot / 64)
        .ok()
        .and_then(|word| taken.alloc_bits.get(word));
    let marked = word.is_none_or(|word| word >> (slot % 64) & 1 == 1);
    same && (slot < u64::from(taken.free_index) || marked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn followed(slot: u64) -> Followed {
        Followed {
            object: 0x1000 + 64 * slot,
            span_start: 0x1000,
            slot_bytes: 64,
            span_class: 12,
        }
    }

    fn taken(bits: u64, free_index: u32) -> SpanTaken {
        let mut alloc_bits = [0; tracer_ebpf::wire::ALLOC_BITS_WORDS];
        alloc_bits[0] = bits;
        SpanTaken {
            at_ns: 1,
            stack: 7,
            object: 0x1000 + 64 * u64::from(free_index),
            start: 0x1000,
            slot_bytes: 64,
            n_slots: 128,
            free_slots: 3,
            free_index,
            span_class: 12,
            alloc_bits,
        }
    }

    #[test]
    fn a_slot_that_was_free_when_its_span_was_taken_held_nothing() {
        let mut objects = Objects::default();
        for slot in [0, 1, 2, 3] {
            objects.born(followed(slot));
        }
        assert_eq!(objects.span_taken(&taken(0b0110, 1)), [0x1000 + 64 * 3]);
        assert_eq!(
            objects.len(),
            3,
            "below the free index everything is allocated"
        );
    }

    #[test]
    fn only_what_was_born_before_the_mark_is_checked() {
        let mut objects = Objects::default();
        objects.born(followed(0));
        assert!(objects.born_before_mark().is_empty());
        objects.marked();
        objects.born(followed(1));
        assert_eq!(objects.born_before_mark(), [followed(0)]);
    }

    #[test]
    fn memory_that_became_another_span_holds_none_of_the_old_objects() {
        let mut objects = Objects::default();
        objects.born(followed(0));
        objects.born(followed(130)); // Beyond the end of the span that is taken.
        let mut other = taken(u64::MAX, 64);
        other.span_class = 13;
        assert_eq!(objects.span_taken(&other), [0x1000]);
        assert_eq!(objects.len(), 1);
    }
}
