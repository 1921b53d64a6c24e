//! Every allocation: counted by stack, type and size; some are followed.
//!
//! What is followed is drawn by its bytes, as the runtime's own sampler does: an exponential gap of bytes to the next
//! one, so that an object of `n` bytes is followed with probability `1 - exp(-n / rate)`. Its address is not known
//! yet, and no probe can wait for it (a return probe would crash the target), but the allocator's own state says which
//! slot is next. Where that needs a new span, the object waits for the probe in [`crate::spans`].
//!
//! That address can be wrong while the collector marks: between its entry and its slot `mallocgc` may assist, park, and
//! go on with another P, or find that others have taken slots from its own. The slot told is then another object's, or
//! nobody's: where it is free at the end of marking, the followed object counts as dead too early. And where an object
//! that was to wait has found a slot after all, it is counted as lost when its goroutine waits again or takes a span of
//! another class, but is taken for the next object of the goroutine that needs a span of the same class. All of this
//! takes an assist just in a followed allocation; it makes live heap somewhat too small, never what was allocated,
//! which is counted without any address.

use aya_ebpf::programs::ProbeContext;
use tracer_ebpf::wire::{AllocRecord, CountKey, GAP_ENTRIES, KIND_ALLOC};

use crate::maps::Pending;
use crate::{maps, mspan, regs, stack};

/// Objects below this, without pointers, share slots.
const TINY_BYTES: u64 = 16;
/// `tinySpanClass`: class 2, without pointers.
const TINY_SPAN_CLASS: u64 = 5;
/// Objects with pointers above this have a malloc header.
const HEAP_BITS_IN_SPAN_BYTES: u64 = 512;
const HEADER_BYTES: u64 = 8;
/// `maxSmallSize`.
const SMALL_BYTES: u64 = 32768;
/// `pageSize`.
const PAGE_BYTES: u64 = 8192;
/// Offset of `abi.Type.PtrBytes`, Go 1.18 to 1.27.
const PTR_BYTES_OFFSET: u64 = 8;

/// What an allocation takes.
#[derive(Clone, Copy)]
struct Place {
    /// As in [`CountKey`].
    object_bytes: u64,
    /// Size class; 0 for large objects.
    class: u64,
    /// Shares a slot.
    is_tiny: bool,
}

/// `mallocgc(size, typ, …)` and its kin: RAX = size, RBX = type.
#[inline(always)]
pub(crate) fn allocated(ctx: &ProbeContext) {
    maps::count_hit(KIND_ALLOC);
    if regs::stack_check_fails(ctx, KIND_ALLOC) {
        return;
    }
    let (size, go_type) = (regs::rax(ctx), regs::rbx(ctx));
    if size == 0 {
        return; // Nothing is allocated.
    }
    let caller = stack::of_entry(ctx);
    if caller.pc >= maps::mallocgc_start() && caller.pc < maps::mallocgc_end() {
        return; // Counted in `mallocgc`.
    }
    let place = place(size, go_type);
    let stack = stack::id(caller);
    let key = CountKey {
        stack,
        go_type,
        object_bytes: place.object_bytes,
    };
    // A key is there only if its stack was sent: the usual hit asks one map.
    let is_known = maps::count_known(&key) || {
        let is_told = stack::tell(stack, caller);
        if !(is_told && maps::count_new(&key)) {
            maps::count_overflow();
        }
        is_told
    };
    if is_drawn(place.object_bytes) {
        let is_followed = is_known && follow(ctx, size, go_type, stack, place).is_some();
        if !is_followed {
            maps::count_lost(KIND_ALLOC);
        }
    }
}

/// Whether the type at this address has no pointers. One that cannot be read counts as such.
#[inline(always)]
fn has_pointers(go_type: u64) -> bool {
    go_type != 0
        && regs::read_u64(go_type.wrapping_add(PTR_BYTES_OFFSET)).is_some_and(|bytes| bytes != 0)
}

/// What an allocation of `size` bytes takes. Reads the type only where that depends on it.
#[inline(always)]
fn place(size: u64, go_type: u64) -> Place {
    let has_headers = maps::headers() != 0;
    let most_small = if has_headers {
        SMALL_BYTES - HEADER_BYTES
    } else {
        SMALL_BYTES
    };
    if size > most_small {
        return Place {
            object_bytes: size.wrapping_add(PAGE_BYTES - 1) & !(PAGE_BYTES - 1),
            class: 0,
            is_tiny: false,
        };
    }
    let may_be_tiny = size < TINY_BYTES;
    let may_have_header = has_headers && size > HEAP_BITS_IN_SPAN_BYTES;
    let mut slot = size;
    if may_be_tiny || may_have_header {
        let has_pointers = has_pointers(go_type);
        if may_be_tiny && !has_pointers {
            return Place {
                object_bytes: size,
                class: TINY_SPAN_CLASS >> 1,
                is_tiny: true,
            };
        }
        if may_have_header && has_pointers {
            slot += HEADER_BYTES;
        }
    }
    let (class, slot_bytes) = maps::size_class(slot).unwrap_or((0, size));
    Place {
        object_bytes: slot_bytes,
        class,
        is_tiny: false,
    }
}

/// Whether an object of these bytes is to be followed.
#[inline(always)]
fn is_drawn(bytes: u64) -> bool {
    match maps::rate_bytes() {
        0 => false,
        1 => true,
        _ => {
            let Some(place) = maps::remaining() else {
                return false;
            };
            let mut remaining = regs::get(place);
            if remaining == 0 {
                remaining = draw();
            }
            let is_drawn = bytes >= remaining;
            // A probe that preempts this one between reading and writing is counted twice or not at all: of a random
            // number, that is no harm.
            regs::set(place, if is_drawn { draw() } else { remaining - bytes });
            is_drawn
        }
    }
}

/// Bytes to the next sample, plus 1: exponentially distributed, as the table of gaps says.
#[inline(always)]
fn draw() -> u64 {
    const INDEX_BITS: u32 = GAP_ENTRIES.trailing_zeros();
    let random = regs::random();
    let index = random & (GAP_ENTRIES as u32 - 1);
    // How often a coin shows heads in a row, at most as often as there are bits left.
    let heads = ((random >> INDEX_BITS) | 1 << (u32::BITS - INDEX_BITS)).trailing_zeros();
    maps::gap(index) + maps::gap(GAP_ENTRIES as u32) * u64::from(heads) + 1
}

/// Sends a followed allocation, or lets it wait for its span. `None` when the allocator's state cannot be read.
#[inline(always)]
fn follow(ctx: &ProbeContext, size: u64, go_type: u64, stack: u64, place: Place) -> Option<()> {
    let g = regs::r14(ctx);
    let noscan = u64::from(place.is_tiny || !has_pointers(go_type));
    let span_class = place.class << 1 | noscan;
    let pending = Pending {
        stack,
        go_type,
        object_bytes: place.object_bytes,
        span_class,
    };
    let send = |object: u64, span_start: u64, slot_bytes: u64| {
        maps::send(
            KIND_ALLOC,
            AllocRecord {
                header: maps::header(KIND_ALLOC),
                stack,
                object,
                object_bytes: place.object_bytes,
                go_type,
                span_start,
                slot_bytes: slot_bytes as u32,
                span_class: span_class as u32,
            },
        );
    };
    if place.class == 0 {
        maps::wait(g, &pending);
        return Some(());
    }
    let m = regs::read_u64(g.wrapping_add(maps::g_m()))?;
    let p = regs::read_u64(m.wrapping_add(maps::m_p()))?;
    // A thread without a P allocates only before the program's start.
    let mcache = regs::read_u64(p.wrapping_add(maps::p_mcache()))?;
    if place.is_tiny {
        let block = regs::read_u64(mcache.wrapping_add(maps::mcache_tiny()))?;
        let used = regs::read_u64(mcache.wrapping_add(maps::mcache_tinyoffset()))?;
        let offset = aligned(used, size);
        if block != 0 && offset + size <= TINY_BYTES {
            // A span of this class is one page.
            send(block + offset, block & !(PAGE_BYTES - 1), TINY_BYTES);
            return Some(());
        }
    }
    let span_address = mcache
        .wrapping_add(maps::mcache_alloc())
        .wrapping_add(span_class * 8);
    let address = regs::read_u64(span_address)?;
    let span = mspan::read(address)?;
    match span.next_free(address) {
        Some(object) => send(object, span.start, span.slot_bytes),
        None => maps::wait(g, &pending),
    }
    Some(())
}

/// Where a tiny object of `size` bytes begins in a block of which `used` bytes are taken.
#[inline(always)]
fn aligned(used: u64, size: u64) -> u64 {
    let align = if size.is_multiple_of(8) {
        8
    } else if size.is_multiple_of(4) {
        4
    } else if size.is_multiple_of(2) {
        2
    } else {
        1
    };
    used.wrapping_add(align - 1) & !(align - 1)
}
