//! The runtime's own counters of allocations and frees, by size class: exact, whatever a probe loses.
//!
//! They are written without a lock, by each P when it takes a new span of a class or gives its cache up: the objects that
//! a P has allocated from spans that it still holds are not in them yet. So they run behind by at most a span for each
//! class and P, and never ahead. Large objects count at once.
//!
//! Source: `consistentHeapStats` and `(*mcache).refill`, `runtime/mstats.go` and `mcache.go`, go1.19 to go1.27.

use super::facts::{Facts, HeapStatsFacts};
use super::heap_stats::Deltas;
use super::memory::{Memory, Unreadable};
use super::pclntab::u64_at;
use super::size_classes::{CLASS_BYTES, N_CLASSES};
use super::variables::Variables;

/// Objects and bytes since the start of the program, or between two readings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllocCounters {
    /// Slots handed out, by size class. A slot that tiny objects share counts once.
    pub small_allocs: [u64; N_CLASSES],
    /// Tiny objects (below 16 bytes, without pointers) that were put into a slot that others had opened.
    pub tiny_allocs: u64,
    /// Large objects.
    pub large_allocs: u64,
    /// Their bytes, in whole pages.
    pub large_bytes: u64,
    /// Slots that the sweeper took back, by size class.
    pub small_frees: [u64; N_CLASSES],
    /// Large objects that the sweeper took back.
    pub large_frees: u64,
    /// Their bytes.
    pub large_freed_bytes: u64,
}

impl Default for AllocCounters {
    fn default() -> Self {
        Self {
            small_allocs: [0; N_CLASSES],
            tiny_allocs: 0,
            large_allocs: 0,
            large_bytes: 0,
            small_frees: [0; N_CLASSES],
            large_frees: 0,
            large_freed_bytes: 0,
        }
    }
}

/// Most objects that a program can allocate between two readings that are microseconds apart, or, where heaptop lost its
/// CPU in between, milliseconds. A torn reading is off by the whole history.
const MOST_BETWEEN_READINGS: u64 = 100_000;

impl AllocCounters {
    /// Reads them, with one read of some 3.5 KB.
    ///
    /// A reading while the runtime folds its deltas into each other (when a cycle ends, or `runtime.ReadMemStats` is
    /// called, for about 1 µs) is torn: counters may be too small or too large once, and are right in the next reading.
    pub fn read(memory: &impl Memory, facts: &Facts, vars: &Variables) -> Result<Self, Unreadable> {
        let deltas = Deltas::read(memory, facts, vars)?;
        let mut sum = Self::default();
        for delta in deltas.iter() {
            sum.add(delta, &facts.heap_stats).ok_or(deltas.at)?;
        }
        Ok(sum)
    }

    /// Adds one `heapStatsDelta`. Single deltas may be negative; only their sum means something.
    fn add(&mut self, delta: &[u8], fields: &HeapStatsFacts) -> Option<()> {
        let word = |at: u64| u64_at(delta, usize::try_from(at).ok()?);
        let class = |array: u64, class: usize| word(array.checked_add(8 * class as u64)?);
        let add = |into: &mut u64, value: Option<u64>| {
            *into = into.wrapping_add(value?);
            Some(())
        };
        add(&mut self.tiny_allocs, word(fields.tiny_alloc_count))?;
        add(&mut self.large_allocs, word(fields.large_alloc_count))?;
        add(&mut self.large_bytes, word(fields.large_alloc))?;
        add(&mut self.large_frees, word(fields.large_free_count))?;
        add(&mut self.large_freed_bytes, word(fields.large_free))?;
        for i in 0..N_CLASSES {
            add(
                &mut self.small_allocs[i],
                class(fields.small_alloc_count, i),
            )?;
            add(&mut self.small_frees[i], class(fields.small_free_count, i))?;
        }
        Some(())
    }

    /// Reads them so that no torn reading is taken for a true one: two readings, one right behind the other, of which
    /// neither is behind `last` or the other, and which differ by little. `None` where that fails: the next look tells.
    pub fn read_after(
        last: &Self,
        memory: &impl Memory,
        facts: &Facts,
        vars: &Variables,
    ) -> Option<Self> {
        let first = Self::read(memory, facts, vars).ok()?;
        let second = Self::read(memory, facts, vars).ok()?;
        let is_steady = first.is_not_before(last)
            && second.is_not_before(&first)
            && second.objects().wrapping_sub(first.objects()) <= MOST_BETWEEN_READINGS;
        is_steady.then_some(second)
    }

    /// Whether no counter of allocations is less than it was in `before`.
    fn is_not_before(&self, before: &Self) -> bool {
        let small = self.small_allocs.iter().zip(&before.small_allocs);
        small.into_iter().all(|(now, before)| now >= before)
            && self.tiny_allocs >= before.tiny_allocs
            && self.large_allocs >= before.large_allocs
            && self.large_bytes >= before.large_bytes
    }

    /// What was counted after `before` was read. A counter that went back, as in a torn reading, gives 0.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let classes = |now: &[u64; N_CLASSES], before: &[u64; N_CLASSES]| {
            std::array::from_fn(|i| grown(now[i], before[i]))
        };
        Self {
            small_allocs: classes(&self.small_allocs, &before.small_allocs),
            tiny_allocs: grown(self.tiny_allocs, before.tiny_allocs),
            large_allocs: grown(self.large_allocs, before.large_allocs),
            large_bytes: grown(self.large_bytes, before.large_bytes),
            small_frees: classes(&self.small_frees, &before.small_frees),
            large_frees: grown(self.large_frees, before.large_frees),
            large_freed_bytes: grown(self.large_freed_bytes, before.large_freed_bytes),
        }
    }

    /// Objects: those in slots of their own, tiny ones that share a slot, and large ones. What an allocation probe hits.
    pub fn objects(&self) -> u64 {
        let small = self.small_allocs.iter().copied().fold(0, u64::wrapping_add);
        small
            .wrapping_add(self.tiny_allocs)
            .wrapping_add(self.large_allocs)
    }

    /// Bytes of all slots and large objects allocated (`MemStats.TotalAlloc`).
    pub fn bytes(&self) -> u64 {
        let small = self.small_allocs.iter().zip(CLASS_BYTES);
        small.fold(self.large_bytes, |sum, (&slots, bytes)| {
            sum.wrapping_add(slots.wrapping_mul(bytes))
        })
    }
}

/// By how much a counter grew; readings are unsigned, and a torn one may be "negative".
fn grown(now: u64, before: u64) -> u64 {
    let difference = now.wrapping_sub(before);
    if difference.cast_signed() < 0 {
        0
    } else {
        difference
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::go::memory::Slice;

    const BASE: u64 = 0x5a_0000;

    fn read(bytes: &[u8], facts: &Facts) -> Result<AllocCounters, Unreadable> {
        let memory = Slice { base: BASE, bytes };
        let vars = Variables {
            memstats: BASE,
            ..Variables::default()
        };
        AllocCounters::read(&memory, facts, &vars)
    }

    #[test]
    fn the_three_deltas_are_summed_and_compared() {
        let facts = Facts::of_minor(26).expect("a known release");
        let fields = &facts.heap_stats;
        let mut bytes = vec![0; usize::try_from(3 * fields.size).expect("small")];
        let mut set = |delta: u64, at: u64, value: u64| {
            let at = usize::try_from(delta * fields.size + at).expect("small");
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        };
        set(0, fields.small_alloc_count + 8 * 5, 10);
        set(2, fields.small_alloc_count + 8 * 5, 7);
        set(1, fields.tiny_alloc_count, 3);
        set(1, fields.large_alloc, 40_960);
        set(1, fields.large_alloc_count, 1);
        set(0, fields.small_free_count + 8 * 5, 5);
        set(1, fields.small_free_count + 8 * 5, 2_u64.wrapping_neg());
        let counters = read(&bytes, facts).expect("whole");
        assert_eq!(counters.small_allocs[5], 17);
        assert_eq!(counters.small_frees[5], 3);
        assert_eq!(
            (counters.objects(), counters.bytes()),
            (21, 17 * 48 + 40_960)
        );

        let mut before = counters.clone();
        before.small_allocs[5] -= 4;
        before.tiny_allocs += 1;
        let grown = counters.since(&before);
        assert_eq!((grown.small_allocs[5], grown.objects()), (4, 4));
    }

    proptest! {
        #[test]
        fn any_bytes_and_sizes_never_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..4000),
            size in any::<u64>(),
        ) {
            let mut facts = *Facts::of_minor(26).expect("a known release");
            let _ = read(&bytes, &facts);
            facts.heap_stats.size = size % 5000;
            let _ = read(&bytes, &facts);
        }
    }
}
