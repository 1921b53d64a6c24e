//! Entities that are to be judged, gathered into classes of those that have the very same stacks.
//!
//! A call site counts a stack where it is the site, a frame counts it wherever it is on it. Most frames have the same
//! stacks as the next: a chain of callers, a site with its only caller. One track serves them all, and where a new stack
//! tells two apart, the track is copied: until then both had the same history.

use std::collections::BTreeMap;

/// Something that is judged: a label as a call site, or as a frame with all below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Entity(u32);

impl Entity {
    /// The call site of a label.
    pub(super) fn site(label: u32) -> Self {
        Self(label.saturating_mul(2))
    }

    /// The frame of a label, with everything below it.
    pub(super) fn frame(label: u32) -> Self {
        Self(label.saturating_mul(2).saturating_add(1))
    }

    /// The label.
    pub(super) fn label(self) -> u32 {
        self.0 / 2
    }

    /// Whether it is a call site.
    pub(super) fn is_site(self) -> bool {
        self.0.is_multiple_of(2)
    }
}

/// No class.
const NONE: u32 = u32::MAX;

/// What a new stack did to the classes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// A class that was parted: its number, and the number of the part that is new.
    pub(super) copies: Vec<(u32, u32)>,
    /// A class without a history.
    pub(super) fresh: Option<u32>,
}

/// Classes of entities.
#[derive(Clone, Debug, Default)]
pub(super) struct Partition {
    /// By entity.
    class_of: Vec<u32>,
    /// By class.
    members: Vec<Vec<Entity>>,
}

impl Partition {
    /// Takes in a stack with these entities, each once. `None` if that would make more than `max` classes.
    pub(super) fn admit(&mut self, entities: &[Entity], max: usize) -> Option<Change> {
        let mut by_class: BTreeMap<u32, Vec<Entity>> = BTreeMap::new();
        let mut new = Vec::new();
        for &entity in entities {
            match self.class(entity) {
                Some(class) => by_class.entry(class).or_default().push(entity),
                None => new.push(entity),
            }
        }
        by_class.retain(|&class, part| part.len() < self.members[class as usize].len());
        let n_more = by_class.len() + usize::from(!new.is_empty());
        if self.members.len() + n_more > max {
            return None;
        }
        let mut change = Change::default();
        for (class, part) in by_class {
            self.members[class as usize].retain(|entity| !part.contains(entity));
            change.copies.push((class, self.push(part)));
        }
        if !new.is_empty() {
            change.fresh = Some(self.push(new));
        }
        Some(change)
    }

    fn push(&mut self, members: Vec<Entity>) -> u32 {
        let class = u32::try_from(self.members.len()).unwrap_or(NONE);
        for entity in &members {
            let i = entity.0 as usize;
            if i >= self.class_of.len() {
                self.class_of.resize(i + 1, NONE);
            }
            self.class_of[i] = class;
        }
        self.members.push(members);
        class
    }

    /// The class of an entity; `None` for one that no stack has.
    pub(super) fn class(&self, entity: Entity) -> Option<u32> {
        self.class_of
            .get(entity.0 as usize)
            .copied()
            .filter(|&class| class != NONE)
    }

    /// The entities of a class.
    pub(super) fn members(&self, class: usize) -> &[Entity] {
        self.members.get(class).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entities(labels: &[u32]) -> Vec<Entity> {
        let site = labels.first().map(|&label| Entity::site(label));
        site.into_iter()
            .chain(labels.iter().map(|&label| Entity::frame(label)))
            .collect()
    }

    #[test]
    fn a_chain_is_one_class_until_a_stack_parts_it() {
        let mut partition = Partition::default();
        let first = partition.admit(&entities(&[1, 2, 3]), 10);
        assert_eq!(first.and_then(|change| change.fresh), Some(0));
        let second = partition.admit(&entities(&[4, 3]), 10).unwrap_or_default();
        assert_eq!((second.copies, second.fresh), (vec![(0, 1)], Some(2)));
        assert_eq!(partition.class(Entity::frame(3)), Some(1));
        assert_eq!(
            partition.class(Entity::site(1)),
            partition.class(Entity::frame(2))
        );
        assert_eq!(partition.class(Entity::frame(4)), Some(2));
        assert_eq!(
            partition.admit(&entities(&[1, 9]), 4),
            None,
            "one would have to be parted, one is new"
        );
        assert_eq!(partition.class(Entity::frame(9)), None);
    }

    proptest! {
        #[test]
        fn entities_of_one_class_are_on_the_same_stacks_and_others_are_not(
            stacks in prop::collection::vec(prop::collection::btree_set(0u32..12, 1..6), 1..12)
        ) {
            let stacks: Vec<Vec<Entity>> = stacks
                .into_iter()
                .map(|labels| entities(&labels.into_iter().collect::<Vec<_>>()))
                .collect();
            let mut partition = Partition::default();
            for stack in &stacks {
                partition.admit(stack, usize::MAX);
            }
            let of = |entity: Entity| stacks.iter().map(|s| s.contains(&entity)).collect::<Vec<_>>();
            for a in stacks.iter().flatten() {
                for b in stacks.iter().flatten() {
                    prop_assert_eq!(partition.class(*a) == partition.class(*b), of(*a) == of(*b));
                }
            }
        }
    }
}
