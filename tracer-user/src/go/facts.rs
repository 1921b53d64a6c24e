//! The one table and type of what differs between Go releases: offsets of struct fields and values of
//! constants of the runtime, linux/amd64.
//!
//! The numbers are generated from the DWARF of real toolchains by `cargo xtask offsets` into
//! `facts/table.rs`; no other file asks which release it has before it.

mod fields;
#[rustfmt::skip]
#[allow(
    clippy::wildcard_imports,
    clippy::enum_glob_use,
    clippy::unreadable_literal,
    reason = "the table is generated"
)]
mod table;

use std::sync::{Mutex, PoisonError};

pub use fields::*;

/// One entry of the table.
struct Entry {
    /// First patch release that the facts hold for; the next entry of the same series ends them.
    since_patch: u16,
    facts: Facts,
}

impl Facts {
    /// The facts of the latest patch releases of go1.`minor`, without experiments; `None` for a series that is not in the
    /// table.
    pub fn of_minor(minor: u16) -> Option<&'static Self> {
        Self::of_release(minor, Some(u16::MAX))
    }

    /// The facts of go1.`minor`.`patch`, without experiments; `None` for a series that is not in the table.
    ///
    /// * `patch`: `None` for `1.N` itself and its release candidates.
    pub fn of_release(minor: u16, patch: Option<u16>) -> Option<&'static Self> {
        let patch = patch.unwrap_or(0);
        let mut entries = table::ALL.iter().rev();
        let found = entries.find(|entry| entry.facts.minor == minor && entry.since_patch <= patch);
        found.map(|entry| &entry.facts)
    }

    /// The minor numbers that the table holds, ascending.
    pub fn known_minors() -> impl Iterator<Item = u16> {
        let first = table::ALL.iter().filter(|entry| entry.since_patch == 0);
        first.map(|entry| entry.facts.minor)
    }

    /// These facts for as long as heaptop runs, so that tables may refer to them. Equal ones share a place: what is
    /// never given back is some 600 bytes for each distinct build that is met.
    pub fn kept(self) -> &'static Self {
        static KEPT: Mutex<Vec<&'static Facts>> = Mutex::new(Vec::new());
        if let Some(entry) = table::ALL.iter().find(|entry| entry.facts == self) {
            return &entry.facts;
        }
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.iter().find(|known| ***known == self) {
            return known;
        }
        let new: &'static Self = Box::leak(Box::new(self));
        kept.push(new);
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_release_has_the_layout_that_it_was_built_with() {
        let size = |patch| {
            let facts = Facts::of_release(18, patch).expect("a known series");
            facts.heap_stats.size
        };
        assert_eq!((size(None), size(Some(3))), (1184, 1184));
        assert_eq!((size(Some(4)), size(Some(10))), (1176, 1176));
        assert_eq!(Facts::of_release(18, Some(10)), Facts::of_minor(18));
        assert_eq!(Facts::of_release(27, None), Facts::of_minor(27));
    }

    #[test]
    fn a_series_outside_of_the_table_has_no_facts() {
        assert_eq!(Facts::of_release(17, Some(13)), None);
        assert_eq!(Facts::of_minor(28), None);
    }

    /// Messages name the first and the last.
    #[test]
    fn known_series_have_no_gap() {
        assert!(Facts::known_minors().eq(18..=27));
    }
}
