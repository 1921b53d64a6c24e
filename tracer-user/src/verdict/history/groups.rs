//! Groups of paths: all keepers that pass one frame.

use std::collections::BTreeMap;

/// Most groups: a frame that adds no path of its own makes none, so that real programs have a few hundred.
const MAX_GROUPS: usize = 4096;

/// Paths that share a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The label: the deepest that exactly these paths pass.
    pub label: u32,
    /// Indices of the paths, ascending.
    pub members: Vec<usize>,
}

/// Returns the groups of at least two of `paths`, whose labels are outermost first. Of labels that the same paths pass, the
/// deepest stands for all.
pub fn groups<'a>(paths: impl Iterator<Item = &'a [u32]>) -> Vec<Group> {
    let mut by_label: BTreeMap<u32, (usize, Vec<usize>)> = BTreeMap::new();
    for (i, labels) in paths.enumerate() {
        for (depth, &label) in labels.iter().enumerate() {
            let (deepest, members) = by_label.entry(label).or_default();
            *deepest = (*deepest).max(depth);
            if members.last() != Some(&i) {
                members.push(i);
            }
        }
    }
    let mut by_members: BTreeMap<Vec<usize>, (usize, u32)> = BTreeMap::new();
    for (label, (depth, members)) in by_label {
        if members.len() < 2 {
            continue;
        }
        let found = by_members.entry(members).or_insert((depth, label));
        if depth > found.0 {
            *found = (depth, label);
        }
    }
    let groups = by_members.into_iter().take(MAX_GROUPS);
    groups
        .map(|(members, (_, label))| Group { label, members })
        .collect()
}
