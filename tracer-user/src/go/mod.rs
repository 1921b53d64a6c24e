//! What heaptop knows about Go: pure readers over [`memory::Memory`] and byte slices.
//!
//! In reading order: [`buildinfo`] tells the release, [`facts`] holds what differs between releases,
//! [`pclntab`] names functions and lines, [`operands`] and [`variables`] find the runtime's variables in
//! stripped binaries, [`layout`] ties these together for a file and [`program`]
//! for one process, [`types`] names what is allocated; [`buckets`], [`specials`],
//! [`memstats`], [`accounts`], [`alloc_counters`], [`census`], [`liveness`] and [`goroutines`] read the live runtime.
//!
//! Nothing in here does I/O or guesses: what is unknown is refused with what was found.

pub mod accounts;
pub mod alloc_counters;
pub mod blocks;
pub mod buckets;
pub mod buildinfo;
pub mod calls_out;
pub mod census;
pub mod dwarf;
pub mod facts;
pub mod frame;
pub mod goroutines;
pub mod heap_stats;
pub mod layout;
pub mod lines;
pub mod liveness;
pub mod memory;
pub mod memstats;
pub mod moduledata;
pub mod operands;
pub mod pclntab;
pub mod profile;
pub mod program;
pub mod size_classes;
pub mod specials;
pub mod static_image;
pub mod symbol;
pub mod types;
pub mod variables;
pub mod wait_reasons;
