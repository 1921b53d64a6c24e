//! The runtime's own counters of allocations and frees, by size class: exact, whatever a probe loses.
//!
//! They are written without a lock, by each P when it takes a new span of a class or gives its cache up: the objects that
//! a P has allocated from spans that it still holds are not in them yet. So they run behind by at most a span for each
//! class and P, and never ahead. Large objects count at once.
//!
//! Go 1.18 counts all free slots of a span when a P takes it, and subtracts those left over when the P gives it up. Here
//! the slots that are still free in the spans of all Ps are subtracted, so that its counters do not run ahead either.
//!
//! Source: `consistentHeapStats` and `(*mcache).refill`, `runtime/mstats.go` and `mcache.go`, go1.18 to go1.27.

use super::facts::{Facts, HeapStatsFacts};
use super::heap_stats::Deltas;
use super::memory::{Batch, Memory, Unreadable};
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

/// Span classes: each size class with and without pointers.
const N_SPAN_CLASSES: usize = 2 * N_CLASSES;
/// Largest number of Ps that is believed: GOMAXPROCS is one for each CPU, of which Linux supports 8192.
const MAX_PS: u64 = 8192;
/// Readings of which two in a row may be torn before the last is taken as it is.
const MAX_UNSTEADY_READS: usize = 4;

impl AllocCounters {
    /// Reads them, with one read of some 3.5 KB.
    ///
    /// A reading while the runtime folds its deltas into each other (when a cycle ends, or `runtime.ReadMemStats` is
    /// called, for about 1 µs) is torn: counters may be too small or too large once, and are right in the next reading.
    pub fn read(
        memory: &(impl Memory + ?Sized),
        facts: &Facts,
        vars: &Variables,
    ) -> Result<Self, Unreadable> {
        let deltas = Deltas::read(memory, facts, vars)?;
        let mut sum = Self::default();
        for delta in deltas.iter() {
            sum.add(delta, &facts.heap_stats).ok_or(deltas.at)?;
        }
        // After the counters: a span that is taken in between makes them too small for a moment, never too large.
        if let Some(allp) = vars.allp {
            sum.subtract_free_slots(memory, facts, allp)?;
        }
        Ok(sum)
    }

    /// Subtracts the free slots of the spans that the Ps allocate from.
    fn subtract_free_slots(
        &mut self,
        memory: &(impl Memory + ?Sized),
        facts: &Facts,
        allp: u64,
    ) -> Result<(), Unreadable> {
        let n_ps = memory.u64(allp.wrapping_add(8))?.min(MAX_PS);
        let array = memory.u64(allp)?;
        let words = |ranges: &[(u64, usize)]| {
            let batch = Batch::read(memory, ranges);
            let words: Vec<Option<u64>> = (0..ranges.len()).map(|at| batch.u64(at)).collect();
            words
        };
        let ps: Vec<_> = (0..n_ps)
            .map(|at| (array.wrapping_add(8 * at), 8))
            .collect();
        let caches: Vec<_> = words(&ps)
            .into_iter()
            .flatten()
            .map(|p| (p.wrapping_add(facts.scheduler.p_mcache), 8))
            .collect();
        // A P that is not in use has no cache.
        let spans: Vec<_> = words(&caches)
            .into_iter()
            .flatten()
            .filter(|&cache| cache != 0)
            .map(|cache| (cache.wrapping_add(facts.mcache.alloc), 8 * N_SPAN_CLASSES))
            .collect();
        let spans = Batch::read(memory, &spans);
        for at in 0..caches.len() {
            let Some(of_cache) = spans.get(at) else {
                continue;
            };
            let span_size = usize::try_from(facts.mspan.size).unwrap_or(0);
            let ranges: Vec<_> = (0..N_SPAN_CLASSES)
                .filter_map(|class| Some((u64_at(of_cache, 8 * class)?, span_size)))
                .collect();
            let read = Batch::read(memory, &ranges);
            for class in 0..ranges.len() {
                let free = read.get(class).and_then(|span| free_slots(span, facts));
                let counted = &mut self.small_allocs[class / 2];
                *counted = counted.wrapping_sub(free.unwrap_or(0));
            }
        }
        Ok(())
    }

    /// Reads them until two readings, one right behind the other, agree that time went forward; the last one where none
    /// do.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn read_steady(
        memory: &(impl Memory + ?Sized),
        facts: &Facts,
        vars: &Variables,
    ) -> Result<Self, Unreadable> {
        let mut last = Self::read(memory, facts, vars)?;
        for _ in 0..MAX_UNSTEADY_READS {
            let next = Self::read(memory, facts, vars)?;
            if next.follows(&last) {
                return Ok(next);
            }
            last = next;
        }
        Ok(last)
    }

    /// True if these may have been read some microseconds after `before`, neither being torn.
    fn follows(&self, before: &Self) -> bool {
        self.is_not_before(before)
            && self.objects().wrapping_sub(before.objects()) <= MOST_BETWEEN_READINGS
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
        (first.is_not_before(last) && second.follows(&first)).then_some(second)
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

/// Slots of a span, given its bytes, that were not allocated yet; 0 for `emptymspan`.
fn free_slots(span: &[u8], facts: &Facts) -> Option<u64> {
    let fields = &facts.mspan;
    let at = usize::try_from(fields.alloc_count).ok()?;
    let allocated = u16::from_le_bytes(span.get(at..at + 2)?.try_into().ok()?);
    let slots = u64_at(span, usize::try_from(fields.nelems).ok()?)?;
    slots.checked_sub(allocated.into())
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

    #[test]
    fn slots_that_a_p_has_taken_and_not_used_do_not_count_in_1_18() {
        const CLASS: usize = 6;
        let facts = Facts::of_minor(18).expect("a known series");
        let at = |offset: u64| usize::try_from(offset).expect("small");
        let (allp, array, p, cache, span) = (0x1000, 0x1100, 0x1200, 0x1400, 0x2000);
        let mut bytes = vec![0_u8; 0x8000];
        let mut put = |addr: usize, value: u64| {
            bytes[addr..addr + 8].copy_from_slice(&value.to_le_bytes());
        };
        // 64 slots were counted when the span was taken, of which 5 are allocated.
        let counters = 0x4000;
        let stats = counters + at(facts.mstats.heap_stats);
        put(
            stats + at(facts.heap_stats.small_alloc_count) + 8 * CLASS,
            164,
        );
        put(allp, BASE + array as u64);
        put(allp + 8, 2);
        put(array, BASE + p as u64);
        // The second P has no cache.
        put(array + 8, BASE + p as u64 + 8);
        put(p + at(facts.scheduler.p_mcache), BASE + cache as u64);
        put(
            cache + at(facts.mcache.alloc) + 8 * (2 * CLASS + 1),
            BASE + span as u64,
        );
        put(span + at(facts.mspan.nelems), 64);
        put(span + at(facts.mspan.alloc_count), 5);
        let memory = Slice {
            base: BASE,
            bytes: &bytes,
        };
        let vars = Variables {
            memstats: BASE + counters as u64,
            allp: Some(BASE + allp as u64),
            ..Variables::default()
        };
        let read = AllocCounters::read_steady(&memory, facts, &vars).expect("readable");
        assert_eq!(read.small_allocs[CLASS], 105);
        assert_eq!(read.objects(), 105);
    }
}
