//! Which objects are alive, by the bits that the garbage collector keeps of every span.
//!
//! The collector frees an object by writing nothing into it: the slot's bit in the span's mark bits stays 0, and when
//! the span is swept the mark bits become its allocation bits. Both can be read while the target runs. What says which
//! of them holds is the span's `sweepgen` beside the heap's, which is twice the number of completed cycles.
//!
//! Only objects that were born before the last mark termination may be asked for: a younger one has no bit yet, though
//! `freeindex` has moved past its slot. For them the bits are the whole answer: whoever got the slot since has none either.
//! A slot that was freed and handed out again between two cycles that were both looked at cannot pass for its old object;
//! across a cycle that was missed it can.
//!
//! Source: `mspan.sweepgen` in `runtime/mheap.go`, `(*sweepLocked).sweep` in `mgcsweep.go`, `isFree` in `mbitmap.go`,
//! `moveInlineMarks` in `mgcmark_greenteagc.go`, go1.18 to go1.27.

use std::fmt;

use super::facts::{Facts, InlineMarksFacts, MspanFacts};
use super::memory::{Batch, Memory, Unreadable};
use super::pclntab::{u32_at, u64_at};
use super::size_classes::PAGE_BYTES;
use super::variables::Variables;

/// Bytes of an arena, the unit of the heap's address space (linux/amd64).
const ARENA_BYTES: u64 = 64 << 20;
/// Added to an address before it is divided into arenas: `-arenaBaseOffset`.
const ARENA_BASE: u64 = 0x8000_0000_0000;
/// Arenas in the table: 48 bits of addresses.
const N_ARENAS: u64 = 1 << 22;
/// `mSpanInUse`: a span of objects.
const IN_USE: u8 = 1;
/// Most slots that are believed of a span; those of 8 bytes on one page are 1024.
const MAX_SLOTS: u64 = 1 << 13;
/// Readings of a span that is swept meanwhile, before its objects are left unknown: a sweep takes some microseconds.
const MAX_ROUNDS: usize = 8;

/// An object that is followed, with the identity of the span it was allocated from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Followed {
    /// Its address: of its slot, or inside of it.
    pub object: u64,
    /// First address of its span.
    pub span_start: u64,
    /// Bytes of a slot of the span.
    pub slot_bytes: u64,
    /// `mspan.spanclass`.
    pub span_class: u8,
}

/// What a check has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Completed GC cycles: the dead are those that this cycle or one before has left unmarked.
    pub gc_cycles: u32,
    /// Addresses of dead objects as they were given, in no order.
    pub dead: Vec<u64>,
    /// Objects of which nothing can be said: their span could not be read, or makes no sense.
    pub unknown: usize,
    /// Objects of which nothing can be said yet: their span was being swept in every reading.
    pub being_swept: usize,
    /// Objects whose span was not swept yet, so that its mark bits decided.
    pub by_marks: usize,
}

/// Why a check says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotChecked {
    /// A GC cycle ended while the bits were read: try again.
    Moved,
    /// The heap's own state cannot be read: the process has ended.
    Unreadable(Unreadable),
}

impl fmt::Display for NotChecked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Moved => write!(f, "a GC cycle ended while the mark bits were read"),
            Self::Unreadable(err) => write!(f, "the heap's state: {err}"),
        }
    }
}

impl std::error::Error for NotChecked {}

impl From<Unreadable> for NotChecked {
    fn from(err: Unreadable) -> Self {
        Self::Unreadable(err)
    }
}

/// The fields of an `mspan` that decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    start: u64,
    slot_bytes: u64,
    class: u8,
    state: u8,
    n_slots: u64,
    alloc_bits: u64,
    mark_bits: u64,
    sweepgen: u32,
}

impl Span {
    fn parse(bytes: &[u8], facts: &MspanFacts) -> Option<Self> {
        let at = |offset: u64| usize::try_from(offset).ok();
        let word = |offset: u64| u64_at(bytes, at(offset)?);
        let byte = |offset: u64| bytes.get(at(offset)?).copied();
        // Little-endian: the low bytes come first.
        let index = |offset: u64| {
            let from = at(offset)?;
            let bytes = bytes.get(from..from.checked_add(at(facts.index_size)?)?)?;
            let mut word = [0; 8];
            word.get_mut(..bytes.len())?.copy_from_slice(bytes);
            Some(u64::from_le_bytes(word))
        };
        Some(Self {
            start: word(facts.start_addr)?,
            slot_bytes: word(facts.elemsize)?,
            class: byte(facts.spanclass)?,
            state: byte(facts.state)?,
            n_slots: index(facts.nelems)?,
            alloc_bits: word(facts.alloc_bits)?,
            mark_bits: word(facts.gcmark_bits)?,
            sweepgen: u32_at(bytes, at(facts.sweepgen)?)?,
        })
    }

    /// Whether it is the span that an object was allocated from.
    fn is_of(&self, followed: &Followed) -> bool {
        self.state == IN_USE
            && self.start == followed.span_start
            && self.slot_bytes == followed.slot_bytes
            && self.class == followed.span_class
    }

    /// Whether it is being swept: its bits are about to change places, or have, and nothing says which.
    fn is_being_swept(&self, heap: u32) -> bool {
        self.sweepgen.wrapping_sub(heap).cast_signed() == -1
    }

    /// Which bits hold, with `heap` the heap's `sweepgen`; `None` for a state that does not exist.
    fn rule(&self, heap: u32) -> Option<Rule> {
        match self.sweepgen.wrapping_sub(heap).cast_signed() {
            // Swept, or swept and then cached by a P.
            0 | 3 => Some(Rule::Allocated),
            // To be swept, or cached by a P and to be swept.
            -2 | 1 => Some(Rule::Marked),
            _ => None,
        }
    }

    /// Where the inline mark bits lie, if it has any.
    fn inline_marks(&self, facts: Option<&InlineMarksFacts>) -> Option<(u64, usize)> {
        let facts = facts.filter(|facts| {
            (facts.min_slot_bytes..=facts.max_slot_bytes).contains(&self.slot_bytes)
                && self.class > 1
        })?;
        let bits = self.start.wrapping_add(PAGE_BYTES).wrapping_sub(facts.size);
        let len = usize::try_from(facts.marks_size.min(PAGE_BYTES)).ok()?;
        Some((bits.wrapping_add(facts.marks), len))
    }

    /// Where its allocation or mark bits lie: the runtime gives out whole words of them.
    fn bits(&self, rule: Rule) -> (u64, usize) {
        let addr = match rule {
            Rule::Allocated => self.alloc_bits,
            Rule::Marked => self.mark_bits,
        };
        let words = self.n_slots.min(MAX_SLOTS).div_ceil(64);
        (addr, usize::try_from(8 * words).unwrap_or(0))
    }
}

/// Which bits hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Slots with an allocation bit.
    Allocated,
    /// Slots with a mark bit.
    Marked,
}

/// Followed objects that claim the same span.
struct Group<'f> {
    members: &'f [Followed],
    /// Address of the `mspan` that holds the span's first page now.
    mspan: u64,
}

/// Says which of `followed` are dead.
///
/// Objects of one span are decided together: one entry of the heap's page table, the `mspan` before and after its bits, and
/// the bits, by vectored reads: some microseconds for a span. A sweep that runs meanwhile is noticed for each span; a GC
/// cycle that ends meanwhile makes all of it void.
///
/// # Errors
///
/// [`NotChecked::Moved`] when the caller should try again at once.
pub fn check(
    memory: &impl Memory,
    facts: &Facts,
    vars: &Variables,
    followed: &[Followed],
) -> Result<Checked, NotChecked> {
    let sweepgen_at = vars.mheap.wrapping_add(facts.mheap.sweepgen);
    let heap = memory.u32(sweepgen_at)?;
    let mut sorted = followed.to_vec();
    sorted.sort_unstable_by_key(|followed| (followed.span_start, followed.object));
    let mut checked = Checked {
        gc_cycles: heap / 2,
        ..Checked::default()
    };
    let mut groups = find_spans(memory, facts, vars, &sorted, &mut checked)?;
    for _ in 0..MAX_ROUNDS {
        if groups.is_empty() {
            break;
        }
        groups = decide(memory, facts, heap, groups, &mut checked);
    }
    checked.being_swept = groups
        .iter()
        .map(|group| group.members.len())
        .sum::<usize>();
    if memory.u32(sweepgen_at)? == heap {
        Ok(checked)
    } else {
        Err(NotChecked::Moved)
    }
}

/// The span of an object that is alive now; `None` where no span of objects holds it.
///
/// # Errors
///
/// When the heap's own tables cannot be read.
pub fn follow(
    memory: &impl Memory,
    facts: &Facts,
    vars: &Variables,
    object: u64,
) -> Result<Option<Followed>, Unreadable> {
    let table = memory.u64(vars.mheap.wrapping_add(facts.mheap.arenas))?;
    let Some(entry) = arena_entry(table, object) else {
        return Ok(None);
    };
    let arena = memory.u64(entry)?;
    if arena == 0 {
        return Ok(None);
    }
    let mspan = memory.u64(page_entry(arena, facts, object))?;
    if mspan == 0 {
        return Ok(None);
    }
    let (addr, len) = span_range(mspan, &facts.mspan);
    let span = Span::parse(&memory.bytes(addr, len)?, &facts.mspan);
    Ok(span
        .filter(|span| span.state == IN_USE && span.start <= object)
        .map(|span| Followed {
            object,
            span_start: span.start,
            slot_bytes: span.slot_bytes,
            span_class: span.class,
        }))
}

/// Where the pointer to the arena of an address lies.
fn arena_entry(table: u64, addr: u64) -> Option<u64> {
    let index = addr.wrapping_add(ARENA_BASE) / ARENA_BYTES;
    (index < N_ARENAS).then(|| table.wrapping_add(8 * index))
}

/// Where the pointer to the span of the page of an address lies.
fn page_entry(arena: u64, facts: &Facts, addr: u64) -> u64 {
    let page = addr.wrapping_add(ARENA_BASE) % ARENA_BYTES / PAGE_BYTES;
    arena
        .wrapping_add(facts.heap_arena.spans)
        .wrapping_add(8 * page)
}

/// What is read of an `mspan`.
fn span_range(mspan: u64, facts: &MspanFacts) -> (u64, usize) {
    const LARGEST: u64 = 1024;
    (mspan, usize::try_from(facts.size.min(LARGEST)).unwrap_or(0))
}

/// Groups objects, sorted by span, and finds the span that holds each group's first page now. Those that have none are
/// dead: the runtime gives back pages, never arenas.
fn find_spans<'f>(
    memory: &impl Memory,
    facts: &Facts,
    vars: &Variables,
    sorted: &'f [Followed],
    checked: &mut Checked,
) -> Result<Vec<Group<'f>>, Unreadable> {
    let table = memory.u64(vars.mheap.wrapping_add(facts.mheap.arenas))?;
    let claims: Vec<&[Followed]> = sorted
        .chunk_by(|a, b| a.span_start == b.span_start)
        .collect();
    let start = |members: &[Followed]| members.first().map_or(0, |first| first.span_start);
    // In the order of addresses, so equal ones are neighbours.
    let mut arenas: Vec<(u64, usize)> = claims
        .iter()
        .filter_map(|members| Some((arena_entry(table, start(members))?, 8)))
        .collect();
    arenas.dedup();
    let found = Batch::read(memory, &arenas);
    let pages: Vec<Option<(u64, usize)>> = claims
        .iter()
        .map(|members| {
            let entry = arena_entry(table, start(members))?;
            let index = arenas.binary_search(&(entry, 8)).ok()?;
            let arena = found.u64(index).filter(|&arena| arena != 0)?;
            Some((page_entry(arena, facts, start(members)), 8))
        })
        .collect();
    let ranges: Vec<(u64, usize)> = pages.iter().flatten().copied().collect();
    let found = Batch::read(memory, &ranges);
    let mut next = 0;
    let mut groups = Vec::with_capacity(claims.len());
    for (members, page) in claims.into_iter().zip(pages) {
        let mspan = page.and_then(|_| {
            next += 1;
            found.u64(next - 1)
        });
        match mspan {
            None => checked.unknown += members.len(),
            Some(0) => checked.dead.extend(members.iter().map(|one| one.object)),
            Some(mspan) => groups.push(Group { members, mspan }),
        }
    }
    Ok(groups)
}

/// Decides groups by their spans' bits. Gives back those whose span is being swept, or changed while it was read.
fn decide<'f>(
    memory: &impl Memory,
    facts: &Facts,
    heap: u32,
    groups: Vec<Group<'f>>,
    checked: &mut Checked,
) -> Vec<Group<'f>> {
    let ranges: Vec<(u64, usize)> = groups
        .iter()
        .map(|group| span_range(group.mspan, &facts.mspan))
        .collect();
    let before = Batch::read(memory, &ranges);
    // Groups whose span is still theirs, with the rule that holds; what is read for them: inline marks, bits, the span
    // again. Sweeping copies the inline marks into the mark bits before it clears them, so they are read first.
    let mut open: Vec<(Group<'f>, Span, Rule)> = Vec::new();
    let mut changed = Vec::new();
    let mut ranges = Vec::new();
    for (index, group) in groups.into_iter().enumerate() {
        let span = before.get(index);
        let Some(span) = span.and_then(|bytes| Span::parse(bytes, &facts.mspan)) else {
            checked.unknown += group.members.len();
            continue;
        };
        if !group.members.iter().any(|one| span.is_of(one)) {
            checked
                .dead
                .extend(group.members.iter().map(|one| one.object));
            continue;
        }
        if span.is_being_swept(heap) {
            changed.push(group);
            continue;
        }
        let Some(rule) = span.rule(heap).filter(|_| span.n_slots <= MAX_SLOTS) else {
            checked.unknown += group.members.len();
            continue;
        };
        ranges.push(inline_range(&span, rule, facts));
        ranges.push(span.bits(rule));
        ranges.push(span_range(group.mspan, &facts.mspan));
        open.push((group, span, rule));
    }
    let read = Batch::read(memory, &ranges);
    for (index, (group, before, rule)) in open.into_iter().enumerate() {
        let again = read.get(3 * index + 2);
        let again = again.and_then(|bytes| Span::parse(bytes, &facts.mspan));
        let parts = (read.get(3 * index), read.get(3 * index + 1), again);
        let (Some(inline), Some(bits), Some(span)) = parts else {
            checked.unknown += group.members.len();
            continue;
        };
        // Allocating changes nothing of it but `freeindex`; sweeping does.
        if span != before {
            changed.push(group);
            continue;
        }
        for one in group.members {
            match is_alive(one, &span, bits, inline) {
                Some(false) => checked.dead.push(one.object),
                Some(true) => {}
                None => checked.unknown += 1,
            }
            checked.by_marks += usize::from(rule == Rule::Marked);
        }
    }
    changed
}

/// The inline mark bits where they decide; else nothing, which is always read.
fn inline_range(span: &Span, rule: Rule, facts: &Facts) -> (u64, usize) {
    let marks = span.inline_marks(facts.inline_marks.as_ref());
    let marks = marks.filter(|_| rule == Rule::Marked);
    marks.unwrap_or((span.start, 0))
}

/// Whether an object is alive; `None` where its slot is none of the span's.
fn is_alive(followed: &Followed, span: &Span, bits: &[u8], inline: &[u8]) -> Option<bool> {
    if !span.is_of(followed) {
        return Some(false);
    }
    let offset = followed.object.checked_sub(span.start)?;
    let slot = offset.checked_div(span.slot_bytes)?;
    if slot >= span.n_slots {
        return None;
    }
    let index = usize::try_from(slot / 8).ok()?;
    let is_set = |bits: &[u8]| {
        bits.get(index)
            .is_some_and(|byte| byte >> (slot % 8) & 1 == 1)
    };
    Some(is_set(bits) || is_set(inline))
}

#[cfg(test)]
#[path = "liveness_tests.rs"]
mod tests;
