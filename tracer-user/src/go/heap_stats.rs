//! `memstats.heapStats`: what the runtime counts without a lock. Each P writes to one of three deltas in turn; what they tell
//! is their sum, and a single one may be negative.
//!
//! Source: `consistentHeapStats`, `runtime/mstats.go`, go1.19 to go1.27.

use super::facts::Facts;
use super::memory::{Memory, Unreadable};
use super::variables::Variables;

/// `consistentHeapStats.stats`.
const N_DELTAS: usize = 3;
/// Most bytes of one delta that are believed; the largest has 1176.
const MAX_DELTA_BYTES: u64 = 4 << 10;

/// The bytes of all deltas, one behind the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deltas {
    bytes: Vec<u8>,
    size: usize,
    /// Where they were read.
    pub(super) at: Unreadable,
}

impl Deltas {
    /// Reads them, with one read of some 3.5 KB.
    ///
    /// # Errors
    /// When they cannot be read, or the layout makes no sense.
    pub fn read(memory: &impl Memory, facts: &Facts, vars: &Variables) -> Result<Self, Unreadable> {
        let addr = vars.memstats.wrapping_add(facts.mstats.heap_stats);
        let at = Unreadable { addr, len: 0 };
        let size = facts.heap_stats.size;
        if !(8..=MAX_DELTA_BYTES).contains(&size) {
            return Err(at);
        }
        let size = usize::try_from(size).map_err(|_| at)?;
        let bytes = memory.bytes(addr, size * N_DELTAS)?;
        Ok(Self { bytes, size, at })
    }

    /// Each delta.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks_exact(self.size)
    }
}
