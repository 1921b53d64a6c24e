//! Spans that a P takes to allocate from, and large objects: sampled for source `spans`, told for `exact`.

use core::ptr::addr_of_mut;

use aya_ebpf::{maps::ring_buf::RingBufEntry, programs::ProbeContext};
use tracer_ebpf::wire::{
    ALLOC_BITS_WORDS, AllocRecord, KIND_ALLOC, KIND_LARGE, KIND_SPAN, RecordHeader, SOURCE_SPANS,
    SpanRecord,
};

use crate::{maps, mspan, regs, stack};

/// In `(*mcache).nextFree`, on the call of `nextFreeIndex` behind `refill`, or on the nil check of what `cacheSpan` has
/// returned: RAX = the new span.
#[inline(always)]
pub(crate) fn taken(ctx: &ProbeContext) {
    maps::count_hit(KIND_SPAN);
    tell(ctx, KIND_SPAN, regs::rax(ctx));
}

/// In `(*mcache).allocLarge`, on the call of `(*spanSet).push`: RBX = the span.
#[inline(always)]
pub(crate) fn large(ctx: &ProbeContext) {
    maps::count_hit(KIND_LARGE);
    tell_large(ctx, regs::rbx(ctx));
}

/// On the nil check of what `(*mheap).alloc` has returned: RAX = the span.
#[inline(always)]
pub(crate) fn large_result(ctx: &ProbeContext) {
    maps::count_hit(KIND_LARGE);
    tell_large(ctx, regs::rax(ctx));
}

/// Tells a span of one large object. A profile may have inlined what does the same with spans of small ones.
#[inline(always)]
fn tell_large(ctx: &ProbeContext, address: u64) {
    if mspan::class(address).is_none_or(mspan::is_large) {
        tell(ctx, KIND_LARGE, address);
    }
}

#[inline(always)]
fn tell(ctx: &ProbeContext, kind: u32, address: u64) {
    if send(ctx, kind, address).is_none() {
        // A page of the span is not there.
        maps::count_lost(kind);
    }
}

/// Sends the span; `None` when it cannot be read.
#[inline(always)]
fn send(ctx: &ProbeContext, kind: u32, address: u64) -> Option<()> {
    let span = mspan::read(address)?;
    let span_class = mspan::class(address)?;
    let n_taken = mspan::alloc_count(address)?;
    // A large object takes its span whole; the allocator counts it, and moves `freeindex`, only behind the probe.
    let object = if kind == KIND_LARGE {
        span.start
    } else {
        span.next_free(address).unwrap_or(0)
    };
    let takes_stack = maps::source() == SOURCE_SPANS;
    let stack = if takes_stack {
        let caller = stack::of_body(ctx);
        let id = stack::id(caller);
        if stack::tell(id, caller) { id } else { 0 }
    } else {
        0
    };
    let header = maps::header(kind);
    // Counted by `reserve` when there is no room.
    if let Some(place) = maps::reserve::<SpanRecord>(kind) {
        fill(
            place, kind, &span, span_class, n_taken, stack, object, header,
        );
    }
    // Behind the span's own record, which says that its free slots hold nothing.
    if !takes_stack {
        complete(ctx, &span, span_class, object);
    }
    Some(())
}

/// Fills and submits the record of a span.
#[inline(always)]
#[allow(
    clippy::too_many_arguments,
    reason = "the parts of a record that has no room on the stack"
)]
fn fill(
    mut place: RingBufEntry<SpanRecord>,
    kind: u32,
    span: &mspan::Span,
    span_class: u64,
    n_taken: u64,
    stack: u64,
    object: u64,
    header: RecordHeader,
) {
    let record = place.as_mut_ptr();
    // Bits that nobody has set yet may lie in a page that is not there: without objects there are none. Else a slot that
    // may hold one must not be told to be free.
    let unread = if n_taken == 0 { 0 } else { u64::MAX };
    for i in 0..ALLOC_BITS_WORDS {
        let is_used = kind != KIND_LARGE && (i as u64) * 64 < span.n_slots;
        let word = if is_used {
            regs::read_u64(span.alloc_bits.wrapping_add(i as u64 * 8)).unwrap_or(unread)
        } else {
            0
        };
        // SAFETY: `record` is room for a whole record, and `i` is inside of its array (checked by the verifier).
        unsafe { addr_of_mut!((*record).alloc_bits[i]).write(word) };
    }
    // SAFETY: `record` is room for a whole record; with these and `alloc_bits` every byte is written.
    unsafe {
        addr_of_mut!((*record).header).write(header);
        addr_of_mut!((*record).stack).write(stack);
        addr_of_mut!((*record).object).write(object);
        addr_of_mut!((*record).start).write(span.start);
        addr_of_mut!((*record).slot_bytes).write(span.slot_bytes);
        addr_of_mut!((*record).n_slots).write(span.n_slots as u32);
        addr_of_mut!((*record).free_slots).write(span.n_slots.wrapping_sub(n_taken) as u32);
        addr_of_mut!((*record).free_index).write(span.free_index as u32);
        addr_of_mut!((*record).span_class).write(span_class as u32);
    }
    place.submit(maps::wake_up(kind));
}

/// Sends the followed allocation that has waited for this span.
#[inline(always)]
fn complete(ctx: &ProbeContext, span: &mspan::Span, span_class: u64, object: u64) {
    let Some(pending) = maps::awaited(regs::r14(ctx), span_class) else {
        return;
    };
    if object == 0 {
        return maps::count_lost(KIND_ALLOC);
    }
    maps::send(
        KIND_ALLOC,
        AllocRecord {
            header: maps::header(KIND_ALLOC),
            stack: pending.stack,
            object,
            object_bytes: pending.object_bytes,
            go_type: pending.go_type,
            span_start: span.start,
            slot_bytes: span.slot_bytes as u32,
            span_class: span_class as u32,
        },
    );
}
