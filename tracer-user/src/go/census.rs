//! A census of the Go heap: every span, held against the page tables, so that each resident byte of the heap's arenas
//! is counted once, as what it is.
//!
//! The runtime's accounts cannot do that: they count memory that was never written, and do not count what the kernel
//! keeps of memory that was given back (huge pages). So the spans are walked (`mheap_.allspans`), and each takes the
//! resident pages that it covers; what no span takes is idle.
//!
//! A span that was not swept since the last GC cycle still counts its dead objects as taken (`allocCount`): together
//! with what was allocated since they are what [`Census::object_bytes`] holds more than the runtime has marked.
//!
//! The target runs meanwhile. A page that changes hands is counted once all the same, under one of them.
//!
//! Source: `mspan` and `initSpan` in `runtime/mheap.go`, `stackalloc` in `stack.go`, `getempty` in `mgcwork.go`, go1.18 to
//! go1.27.

use serde::{Deserialize, Serialize};

use super::facts::{Facts, MspanFacts};
use super::memory::{Batch, Memory, Unreadable};
use super::pclntab::u64_at;
use super::size_classes::{N_CLASSES, PAGE_BYTES};
use super::variables::Variables;

/// Bytes of an arena, the unit of the heap's address space (linux/amd64).
pub const ARENA_BYTES: u64 = 64 << 20;
/// Added to an address before it is divided into arenas: `-arenaBaseOffset`.
const ARENA_BASE: u64 = 0x8000_0000_0000;
/// Arenas in 48 bits of addresses.
const N_ARENAS: u64 = 1 << 22;
/// Most arenas that are looked at: 1 TiB of heap.
const MAX_ARENAS: u64 = 1 << 14;
/// Most spans that are looked at: the smallest hold a page, so that many fill 512 GiB.
const MAX_SPANS: u64 = 1 << 26;
/// Pointers to spans that are read at once.
const POINTERS: u64 = 8192;
/// Spans lie one behind the other in chunks of 16 KiB; runs of them are read together, up to so many bytes.
const RUN_BYTES: u64 = 64 << 10;
/// And across so many bytes that hold none.
const GAP_BYTES: u64 = 512;
/// Bytes that are read with one system call.
const BATCH_BYTES: u64 = 512 << 10;
/// Tries to read the list of spans: where it grows, the runtime moves it.
const MAX_TRIES: usize = 3;
/// Bytes of a page of the kernel.
const SMALL_PAGE_BYTES: u64 = 4 << 10;
/// Pages of an arena, as words of bits.
const ARENA_WORDS: usize = (ARENA_BYTES / SMALL_PAGE_BYTES / 64) as usize;
/// `mSpanInUse`: a span of objects.
const IN_USE: u8 = 1;
/// `mSpanManual`: a span of stacks or of the GC's own.
const MANUAL: u8 = 2;

/// First addresses of the heap's arenas, ascending.
///
/// # Errors
/// When the heap's tables cannot be read: the process has ended.
pub fn arenas(
    memory: &impl Memory,
    facts: &Facts,
    vars: &Variables,
) -> Result<Vec<u64>, Unreadable> {
    let indices = retry(|| {
        let (list, len) = slice(memory, vars.mheap.wrapping_add(facts.mheap.heap_arenas))?;
        let len = usize::try_from(8 * len.min(MAX_ARENAS)).unwrap_or(0);
        memory.bytes(list, len)
    })?;
    let indices = indices.chunks_exact(8).filter_map(|word| u64_at(word, 0));
    let mut arenas: Vec<u64> = indices
        .filter(|&index| index < N_ARENAS)
        .map(|index| (index * ARENA_BYTES).wrapping_sub(ARENA_BASE))
        .collect();
    arenas.sort_unstable();
    arenas.dedup();
    Ok(arenas)
}

/// Which pages of 4 KiB of the heap's arenas are resident.
#[derive(Clone, Debug, Default)]
pub struct ResidentPages {
    /// By first address, ascending.
    arenas: Vec<(u64, Box<[u64; ARENA_WORDS]>)>,
}

impl ResidentPages {
    /// None are, of these arenas, which ascend.
    pub fn new(arenas: &[u64]) -> Self {
        let arenas = arenas
            .iter()
            .map(|&start| (start, Box::new([0; ARENA_WORDS])));
        Self {
            arenas: arenas.collect(),
        }
    }

    /// The page at `addr` is resident. Outside of the arenas this says nothing.
    pub fn set(&mut self, addr: u64) {
        if let Some((offset, words)) = self.at(addr) {
            let page = offset / SMALL_PAGE_BYTES;
            if let Some(word) = words.get_mut(usize::try_from(page / 64).unwrap_or(usize::MAX)) {
                *word |= 1 << (page % 64);
            }
        }
    }

    /// Bytes that are resident, and were not taken.
    pub fn bytes(&self) -> u64 {
        let words = self.arenas.iter().flat_map(|(_, words)| words.iter());
        let pages: u64 = words.map(|word| u64::from(word.count_ones())).sum();
        pages * SMALL_PAGE_BYTES
    }

    /// Takes the resident pages of a range: how many bytes they are. Each page is taken once.
    fn take(&mut self, start: u64, bytes: u64) -> u64 {
        let mut taken = 0;
        let (mut at, mut rest) = (start, bytes);
        while rest > 0 {
            let Some((offset, words)) = self.at(at) else {
                break; // Of no arena.
            };
            let here = rest.min(ARENA_BYTES - offset);
            let (first, end) = (
                offset / SMALL_PAGE_BYTES,
                (offset + here) / SMALL_PAGE_BYTES,
            );
            let mut page = first;
            while page < end {
                let bit = page % 64;
                let n = (64 - bit).min(end - page);
                let mask = (u64::MAX >> (64 - n)) << bit;
                if let Some(word) = words.get_mut(usize::try_from(page / 64).unwrap_or(usize::MAX))
                {
                    taken += u64::from((*word & mask).count_ones());
                    *word &= !mask;
                }
                page += n;
            }
            at = at.wrapping_add(here);
            rest -= here;
        }
        taken * SMALL_PAGE_BYTES
    }

    /// The arena that holds an address, and the offset in it.
    fn at(&mut self, addr: u64) -> Option<(u64, &mut [u64; ARENA_WORDS])> {
        let index = self.arenas.partition_point(|&(start, _)| start <= addr);
        let (start, words) = self.arenas.get_mut(index.checked_sub(1)?)?;
        let offset = addr - *start;
        (offset < ARENA_BYTES).then_some((offset, &mut **words))
    }
}

/// What decides of a span.
struct Span {
    start: u64,
    bytes: u64,
    slot_bytes: u64,
    class: u8,
    state: u8,
    taken: u64,
}

impl Span {
    fn parse(bytes: &[u8], facts: &MspanFacts) -> Option<Self> {
        let at = |offset: u64| usize::try_from(offset).ok();
        let word = |offset: u64| u64_at(bytes, at(offset)?);
        let byte = |offset: u64| bytes.get(at(offset)?).copied();
        let low = byte(facts.alloc_count)?;
        let high = byte(facts.alloc_count.checked_add(1)?)?;
        Some(Self {
            start: word(facts.start_addr)?,
            bytes: word(facts.npages)?.checked_mul(PAGE_BYTES)?,
            slot_bytes: word(facts.elemsize)?,
            class: byte(facts.spanclass)?,
            state: byte(facts.state)?,
            taken: u64::from(u16::from_le_bytes([low, high])),
        })
    }
}

/// Walks all spans. `pages` are the resident pages of the arenas, read just before.
///
/// A heap of 2 GiB in small objects has 250 000 spans: 40 MB of memory are read in pieces of half a MiB, in about
/// 30 ms, and nothing is kept but the sums.
///
/// # Errors
/// When the list of spans cannot be read: the process has ended.
pub fn read(
    memory: &impl Memory,
    facts: &Facts,
    vars: &Variables,
    mut pages: ResidentPages,
) -> Result<Census, Unreadable> {
    let mut census = Census {
        arena_bytes: ARENA_BYTES * pages.arenas.len() as u64,
        resident_bytes: pages.bytes(),
        classes: vec![ClassCensus::default(); N_CLASSES],
        ..Census::default()
    };
    let at = vars.mheap.wrapping_add(facts.mheap.allspans);
    let mut next = 0;
    loop {
        let pointers = retry(|| {
            let (list, len) = slice(memory, at)?;
            let n = len.min(MAX_SPANS).saturating_sub(next).min(POINTERS);
            if n == 0 {
                return Ok(Vec::new());
            }
            memory.bytes(
                list.wrapping_add(8 * next),
                usize::try_from(8 * n).unwrap_or(0),
            )
        })?;
        if pointers.is_empty() {
            break;
        }
        next += POINTERS;
        let pointers = pointers.chunks_exact(8).filter_map(|word| u64_at(word, 0));
        census.count(memory, &facts.mspan, pointers, &mut pages);
    }
    census.idle_bytes = pages.bytes();
    Ok(census)
}

/// The pointer and length of a slice.
fn slice(memory: &impl Memory, addr: u64) -> Result<(u64, u64), Unreadable> {
    let header = memory.bytes(addr, 16)?;
    let unreadable = Unreadable { addr, len: 16 };
    let word = |at: usize| u64_at(&header, at).ok_or(unreadable);
    Ok((word(0)?, word(8)?))
}

/// A slice that grows is moved, and its old place unmapped: what fails is read again.
fn retry<T>(mut read: impl FnMut() -> Result<T, Unreadable>) -> Result<T, Unreadable> {
    let mut tries = 1;
    loop {
        match read() {
            Err(_) if tries < MAX_TRIES => tries += 1,
            done => return done,
        }
    }
}

/// What lies in the arenas of the Go heap. Its resident bytes sum up: objects + waste + stacks + work + idle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Census {
    /// Address space of all arenas.
    pub arena_bytes: u64,
    /// Resident bytes of the arenas, by the page tables.
    pub resident_bytes: u64,
    /// Spans of objects by size class: the index is the class, 0 holds large objects, one span each.
    pub classes: Vec<ClassCensus>,
    /// Stacks of goroutines: those in use, and free ones that are kept for new goroutines.
    pub stacks: SpanSum,
    /// Work buffers of the GC.
    pub work: SpanSum,
    /// Resident pages that no span holds: freed, and not yet given back to the kernel.
    pub idle_bytes: u64,
    /// Spans that could not be read: their pages count as idle.
    pub unread_spans: u64,
}

/// Spans of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpanSum {
    /// Spans.
    pub spans: u64,
    /// Their bytes, in whole pages.
    pub bytes: u64,
    /// Of them resident.
    pub resident_bytes: u64,
}

impl SpanSum {
    fn add(&mut self, bytes: u64, resident_bytes: u64) {
        self.spans += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        self.resident_bytes += resident_bytes;
    }
}

/// Spans of one size class.
///
/// Where pages of a span are not resident, they are taken from its free slots first: those were likelier never written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassCensus {
    /// Spans, their bytes, and what of them is resident.
    pub sum: SpanSum,
    /// Slots that are taken: live objects, and dead ones that were not swept yet.
    pub objects: u64,
    /// Bytes of those slots.
    pub object_bytes: u64,
    /// Of them resident.
    pub object_resident_bytes: u64,
}

impl ClassCensus {
    /// Resident bytes of free slots, and of what is left over behind the last slot: fragmentation.
    pub fn waste_bytes(&self) -> u64 {
        self.sum
            .resident_bytes
            .saturating_sub(self.object_resident_bytes)
    }
}

impl Census {
    /// Counts the spans at these addresses.
    fn count(
        &mut self,
        memory: &impl Memory,
        facts: &MspanFacts,
        pointers: impl Iterator<Item = u64>,
        pages: &mut ResidentPages,
    ) {
        let size = facts.size.min(RUN_BYTES);
        // Address, length, and the spans of each run by their offset.
        let mut runs: Vec<(u64, u64)> = Vec::new();
        let mut spans: Vec<(usize, u64)> = Vec::new();
        let mut bytes = 0;
        for pointer in pointers {
            let fits = runs.last().and_then(|&(start, len)| {
                let offset = pointer.checked_sub(start)?;
                let is_near = offset >= len && offset - len <= GAP_BYTES;
                (is_near && offset + size <= RUN_BYTES).then_some((offset, len))
            });
            if let (Some((offset, len)), Some(run)) = (fits, runs.last_mut()) {
                run.1 = offset + size;
                bytes += run.1 - len;
                spans.push((runs.len() - 1, offset));
                continue;
            }
            if bytes >= BATCH_BYTES {
                self.count_runs(memory, facts, &runs, &spans, pages);
                runs.clear();
                spans.clear();
                bytes = 0;
            }
            runs.push((pointer, size));
            spans.push((runs.len() - 1, 0));
            bytes += size;
        }
        self.count_runs(memory, facts, &runs, &spans, pages);
    }

    fn count_runs(
        &mut self,
        memory: &impl Memory,
        facts: &MspanFacts,
        runs: &[(u64, u64)],
        spans: &[(usize, u64)],
        pages: &mut ResidentPages,
    ) {
        let ranges: Vec<(u64, usize)> = runs
            .iter()
            .map(|&(addr, len)| (addr, usize::try_from(len).unwrap_or(0)))
            .collect();
        let read = Batch::read(memory, &ranges);
        for &(run, offset) in spans {
            let bytes = usize::try_from(offset)
                .ok()
                .and_then(|offset| read.get(run)?.get(offset..));
            match bytes.and_then(|bytes| Span::parse(bytes, facts)) {
                Some(span) => self.add(&span, pages),
                None => self.unread_spans += 1,
            }
        }
    }

    fn add(&mut self, span: &Span, pages: &mut ResidentPages) {
        let sum = match span.state {
            IN_USE => {
                let Some(class) = self.classes.get_mut(usize::from(span.class >> 1)) else {
                    self.unread_spans += 1;
                    return;
                };
                let objects = span.taken.saturating_mul(span.slot_bytes).min(span.bytes);
                class.objects += span.taken;
                class.object_bytes += objects;
                let resident = pages.take(span.start, span.bytes);
                class.object_resident_bytes += objects.min(resident);
                class.sum.add(span.bytes, resident);
                return;
            }
            // The allocator of stacks notes the size of a stack; nobody else does for spans of this kind.
            MANUAL if span.slot_bytes != 0 => &mut self.stacks,
            MANUAL => &mut self.work,
            _ => return, // Dead: the struct waits for another span.
        };
        sum.add(span.bytes, pages.take(span.start, span.bytes));
    }

    /// Resident bytes of taken slots.
    pub fn object_resident_bytes(&self) -> u64 {
        self.classes.iter().map(|c| c.object_resident_bytes).sum()
    }

    /// Bytes of taken slots, resident or not.
    pub fn object_bytes(&self) -> u64 {
        self.classes.iter().map(|c| c.object_bytes).sum()
    }

    /// Resident bytes of free slots and tails.
    pub fn waste_bytes(&self) -> u64 {
        self.classes.iter().map(ClassCensus::waste_bytes).sum()
    }
}

#[cfg(test)]
#[path = "census_tests.rs"]
mod tests;
