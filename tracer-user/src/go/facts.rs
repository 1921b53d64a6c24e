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

impl Facts {
    /// The facts of go1.`minor` without experiments, or `None` for a release that nobody has measured.
    pub fn of_minor(minor: u16) -> Option<&'static Self> {
        table::ALL.iter().find(|facts| facts.minor == minor)
    }

    /// The minor numbers that the table holds, ascending.
    pub fn known_minors() -> impl Iterator<Item = u16> {
        table::ALL.iter().map(|facts| facts.minor)
    }

    /// These facts for as long as heaptop runs, so that tables may refer to them. Equal ones share a place: what is
    /// never given back is some 600 bytes for each distinct build that is met.
    pub fn kept(self) -> &'static Self {
        static KEPT: Mutex<Vec<&'static Facts>> = Mutex::new(Vec::new());
        if let Some(known) = table::ALL.iter().find(|known| **known == self) {
            return known;
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
