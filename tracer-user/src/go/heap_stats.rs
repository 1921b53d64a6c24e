//! `memstats.heapStats`: what the runtime counts without a lock. Each P writes to one of three deltas in turn; what they tell
//! is their sum, and a single one may be negative.
//!
//! Source: `consistentHeapStats`, `runtime/mstats.go`, go1.18 to go1.27.

use super::facts::{Facts, HeapFacts};
use super::memory::{Memory, Unreadable};
use super::pclntab::u64_at;
use super::variables::Variables;

/// `consistentHeapStats.stats`.
const N_DELTAS: usize = 3;
/// Most bytes of one delta that are believed; the largest has 1176.
const MAX_DELTA_BYTES: u64 = 4 << 10;

/// Readings of the heap's counters before their disagreement counts: both move while a P takes spans, and a read takes a
/// few µs.
const MAX_CHECKS: usize = 2000;

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
    pub fn read(
        memory: &(impl Memory + ?Sized),
        facts: &Facts,
        vars: &Variables,
    ) -> Result<Self, Unreadable> {
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

    /// The sum of a field, which is negative only in a torn reading: `None` then.
    pub fn sum(&self, field: u64) -> Option<u64> {
        let at = usize::try_from(field).ok()?;
        let mut words = self.iter().map(|delta| u64_at(delta, at));
        let sum = words.try_fold(0_u64, |sum, word| Some(sum.wrapping_add(word?)));
        sum.filter(|sum| sum.cast_signed() >= 0)
    }

    /// Each delta.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks_exact(self.size)
    }
}

/// Compares the sum of `inHeap` with the bytes of spans in use where `mstats` has both (1.18): the size of a delta moved
/// between its patch releases.
///
/// # Errors
/// The two numbers, where they never agree.
pub(super) fn check(live: &dyn Memory, facts: &Facts, vars: &Variables) -> Result<(), String> {
    let HeapFacts::InMstats { heap_in_use, .. } = facts.gc_controller.heap else {
        return Ok(());
    };
    let unreadable = |err: Unreadable| format!("the counters of its heap: {err}");
    let mut last = (0, None);
    for _ in 0..MAX_CHECKS {
        let in_use = live.u64(vars.memstats.wrapping_add(heap_in_use));
        let deltas = Deltas::read(live, facts, vars).map_err(unreadable)?;
        last = (
            in_use.map_err(unreadable)?,
            deltas.sum(facts.heap_stats.in_heap),
        );
        if last.1 == Some(last.0) {
            return Ok(());
        }
    }
    let (in_use, sum) = last;
    Err(format!(
        "its counters of the heap disagree: heap_inuse {in_use}, the sum of heapStats.inHeap {sum:?}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::go::memory::Slice;

    #[test]
    fn deltas_of_another_size_than_the_facts_have_fail_the_check() {
        const BASE: u64 = 0x4000;
        let built = Facts::of_release(18, Some(10)).expect("a known series");
        let HeapFacts::InMstats { heap_in_use, .. } = built.gc_controller.heap else {
            panic!("1.18 has it there");
        };
        let mut bytes = vec![0; 16 << 10];
        let mut put = |at: u64, value: u64| {
            let at = usize::try_from(at).expect("small");
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        };
        put(heap_in_use, 1000);
        for (delta, in_heap) in [(0, 1500_u64), (1, 500_u64.wrapping_neg())] {
            let at = built.mstats.heap_stats + delta * built.heap_stats.size;
            put(at + built.heap_stats.in_heap, in_heap);
        }
        let memory = Slice {
            base: BASE,
            bytes: &bytes,
        };
        let vars = Variables {
            memstats: BASE,
            ..Variables::default()
        };
        assert_eq!(check(&memory, built, &vars), Ok(()));
        let older = Facts::of_release(18, Some(2)).expect("a known series");
        let why = check(&memory, older, &vars).expect_err("its deltas are longer");
        assert!(why.contains("heap_inuse 1000"), "{why}");
    }
}
