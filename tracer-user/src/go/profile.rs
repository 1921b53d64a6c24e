//! A heap profile as plain data: what is read or worked out, and what the exports write.

use serde::{Deserialize, Serialize};

use std::sync::Arc;

use super::buckets::Counts;

/// Samples of one stack and size.
#[derive(Clone, Debug)]
pub struct Record {
    /// Return addresses, leaf first, expanded for inlining.
    pub pcs: Arc<[u64]>,
    /// Bytes of one object.
    pub object_bytes: u64,
    /// Samples born and freed.
    pub counts: Counts,
}

/// An executable mapping of the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappedFile {
    /// First address.
    pub start: u64,
    /// Address behind the last.
    pub end: u64,
    /// Offset of `start` in the file.
    pub offset: u64,
    /// Path in the target's view.
    pub path: String,
    /// GNU build id in hexadecimal; empty if there is none.
    pub build_id: String,
}

/// All that is in a profile beside names.
#[derive(Clone, Debug)]
pub struct HeapProfile {
    /// In the order of `runtime.MemProfile`: newest bucket first.
    pub records: Vec<Record>,
    /// `MemProfileRate`; 1 where `records` count objects and not samples, so that nobody unsamples them again.
    pub rate_bytes: u64,
    /// Unix time, nanoseconds.
    pub at_unix_ns: i64,
    /// Executable mappings by address.
    pub mappings: Vec<MappedFile>,
    /// Whether stacks that report no allocation yet bear the label of their size too.
    pub label_unused: bool,
}
