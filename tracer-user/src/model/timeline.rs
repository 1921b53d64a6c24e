//! GC cycles over time: what each began with, how long it took and what was allocated before it.

/// How old a reading of the heap may be to stand for the start of a cycle: figures are read ten times a second.
pub const STALE_NS: u64 = 250_000_000;
