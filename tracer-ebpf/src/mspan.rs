//! What a span of the target says: its shape, and the slot that it hands out next.

use crate::{maps, regs};
use tracer_ebpf::wire::ALLOC_BITS_WORDS;

/// Bits of a word of `allocBits` and `allocCache`.
const WORD_BITS: u64 = 64;

/// Shape and state of a span.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    /// First address.
    pub(crate) start: u64,
    /// Bytes of a slot.
    pub(crate) slot_bytes: u64,
    /// Slots.
    pub(crate) n_slots: u64,
    /// `freeindex`.
    pub(crate) free_index: u64,
    /// Address of `allocBits`.
    pub(crate) alloc_bits: u64,
}

/// Reads the span at `address`; `None` when a page of it is not there.
#[inline(always)]
pub(crate) fn read(address: u64) -> Option<Span> {
    let word = |offset: u64| regs::read_u64(address.wrapping_add(offset));
    let index = |offset: u64| {
        let at = address.wrapping_add(offset);
        if maps::span_index_bytes() == 2 {
            regs::read_u16(at).map(u64::from)
        } else {
            regs::read_u64(at)
        }
    };
    Some(Span {
        start: word(maps::span_start())?,
        slot_bytes: word(maps::span_elemsize())?,
        n_slots: index(maps::span_nelems())?,
        free_index: index(maps::span_freeindex())?,
        alloc_bits: word(maps::span_allocbits())?,
    })
}

/// `mspan.spanclass` of the span at `address`.
#[inline(always)]
pub(crate) fn class(address: u64) -> Option<u64> {
    regs::read_u8(address.wrapping_add(maps::span_spanclass())).map(u64::from)
}

/// Whether spans of this class hold one large object each: size class 0, with pointers (0) or without (1).
#[inline(always)]
pub(crate) fn is_large(span_class: u64) -> bool {
    span_class >> 1 == 0
}

/// Objects in the span at `address`.
#[inline(always)]
pub(crate) fn alloc_count(address: u64) -> Option<u64> {
    regs::read_u16(address.wrapping_add(maps::span_alloccount())).map(u64::from)
}

impl Span {
    /// Address of the slot that the span at `address` hands out next; `None` when it is full, or cannot be read.
    ///
    /// As `nextFreeFast` and `(*mspan).nextFreeIndex` do, Go 1.18 to 1.27.
    #[inline(always)]
    pub(crate) fn next_free(&self, address: u64) -> Option<u64> {
        let mut index = self.free_index;
        let mut free = regs::read_u64(address.wrapping_add(maps::span_alloccache()))?;
        // The cache, then what is left of the bits.
        for _ in 0..=ALLOC_BITS_WORDS {
            if index >= self.n_slots {
                return None;
            }
            if free != 0 {
                let slot = index + u64::from(free.trailing_zeros());
                return (slot < self.n_slots)
                    .then_some(self.start.wrapping_add(slot.wrapping_mul(self.slot_bytes)));
            }
            index = (index + WORD_BITS) & !(WORD_BITS - 1);
            if index >= self.n_slots {
                return None;
            }
            // A page that is not there is one that nobody has set a bit in yet.
            free = !regs::read_u64(self.alloc_bits.wrapping_add(index / 8)).unwrap_or(0);
        }
        None
    }
}
