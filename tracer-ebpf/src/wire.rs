//! What the kernel side and userspace agree on: records, and the names of programs, maps and globals.
//!
//! Both sides compile this file, so a change of layout is a compile error here and never a misread record. Userspace
//! still reads each field from the bytes at its `offset_of!` and checks the length ([`record_len`]): bytes are never
//! transmuted into one of these types.
//!
//! Only `#[repr(C)]` structures of fixed-width integers without padding: the kernel side fills every byte it reserves,
//! and the asserts below hold the sizes. Integers are in the machine's own byte order.
//!
//! The kind of a record is also the index of its probe: there is one program per kind, and [`maps::LOST`],
//! [`maps::HITS`], [`programs::BY_KIND`] and the bits of [`globals::JBE_FILTER`] are all indexed by it.

use core::mem::{offset_of, size_of};

/// The runtime sampled an allocation: `runtime.setprofilebucket` was reached. Carried by a [`SampleRecord`].
pub const KIND_BORN: u32 = 0;
/// The sweeper frees a sampled object: `runtime.freeSpecial` was reached with the profile's special. Carried by a
/// [`SampleRecord`]. Another sample can be born at the same address only after this.
pub const KIND_FREED: u32 = 1;
/// A GC cycle begins to mark: `runtime.(*gcControllerState).startCycle` was reached. The world is stopped and the
/// sweep of the cycle before is complete, so no free of an earlier cycle comes after this. Carried by a [`GcRecord`].
pub const KIND_GC_START: u32 = 2;
/// Marking has ended: `runtime.(*gcControllerState).resetLive` was reached, world stopped. Every sample whose birth is
/// ordered before this and whose free does not follow in this cycle's sweep is live. Carried by a [`GcRecord`].
pub const KIND_GC_MARKED: u32 = 3;
/// The profile of the cycle is flushed: the first call after `call mProf_FlushLocked` in `runtime.mProf_Flush` was
/// reached. From here on the bucket counters may be read. Carried by a [`GcRecord`].
pub const KIND_FLUSHED: u32 = 4;
/// A span was taken into a P's cache: the call behind `refill` in `runtime.(*mcache).nextFree` was reached, or what does
/// the same where that is inlined. Carried by a [`SpanRecord`].
pub const KIND_SPAN: u32 = 5;
/// A large object was allocated: the call of `(*spanSet).push` in `runtime.(*mcache).allocLarge` was reached, or what does
/// the same where that is inlined. Carried by a [`SpanRecord`].
pub const KIND_LARGE: u32 = 6;
/// An allocation of any size: `runtime.mallocgc` or one of its specialised kin was reached. Counted in
/// [`maps::COUNTS`]; those of the random subset are carried by an [`AllocRecord`].
pub const KIND_ALLOC: u32 = 7;
/// A function of the target was called, such as that which serves a request. Counted in [`maps::HITS`], less those in
/// [`maps::REENTRIES`]; carried by no record.
pub const KIND_CALL: u32 = 8;
/// The same for a second function, so that two can be held against each other.
pub const KIND_OTHER_CALL: u32 = 9;
/// How many kinds have a probe; those are `0..N_PROBES`.
pub const N_PROBES: usize = 10;
/// How many functions of the target can be counted: kinds from [`KIND_CALL`] on.
pub const N_CALLS: usize = 2;
/// A stack that later records name by its id. Carried by a [`StackRecord`]; made by the probes of the kinds above.
pub const KIND_STACK: u32 = 10;
/// How many kinds there are; kinds are `0..N_KINDS`.
pub const N_KINDS: usize = 11;
const _: () = assert!(KIND_CALL as usize + N_CALLS == N_PROBES && KIND_STACK as usize == N_PROBES);

/// Words of `allocBits` in a [`SpanRecord`]: 1024 slots of 8 bytes are the most that a span of Go has.
pub const ALLOC_BITS_WORDS: usize = 16;
/// Most return addresses of a [`StackRecord`]: each costs the target about 30 ns a hit, and inlining makes more frames of
/// them. Deeper stacks are cut and marked.
pub const MAX_STACK_PCS: usize = 64;

/// Entries of [`maps::ENDED`].
pub const ENDED_ENTRIES: u32 = 2;
/// Index in [`maps::ENDED`] of the target's exit code: [`END_SEEN`] and, in the lower half, `task_struct.exit_code`, laid out
/// as a wait status: the signal in the lower 7 bits, the status in the second byte.
pub const ENDED_EXIT: u32 = 0;
/// Index in [`maps::ENDED`] of the OOM killer's choice: [`END_SEEN`] once it has chosen the target.
pub const ENDED_OOM: u32 = 1;
/// Bit of an entry of [`maps::ENDED`] that was written.
pub const END_SEEN: u64 = 1 << 32;

/// Value of [`globals::SOURCE`]: spans and large objects come with the stack of their allocation.
pub const SOURCE_SPANS: u64 = 1;
/// Value of [`globals::SOURCE`]: spans and large objects come without a stack, and complete the allocations that
/// [`KIND_ALLOC`] could not predict.
pub const SOURCE_EXACT: u64 = 2;

/// Entries of [`maps::SIZE_CLASSES`] for sizes up to [`SMALL_SIZE_MAX`], in steps of 8 bytes; those behind are in steps of
/// 128. As `SizeToSizeClass8` and `SizeToSizeClass128` of Go (`internal/runtime/gc/sizeclasses.go`).
pub const SIZE_CLASS_FINE: usize = 128;
/// Entries of [`maps::SIZE_CLASSES`]: the last is that of 32768 bytes.
pub const SIZE_CLASS_ENTRIES: usize = SIZE_CLASS_FINE + 249;
/// Largest size in the part of the table with steps of 8 bytes.
pub const SMALL_SIZE_MAX: u64 = 1024 - 8;

/// Entries of [`maps::GAPS`] that a draw picks from; one more follows.
pub const GAP_ENTRIES: usize = 1024;

/// Index in [`maps::SIZE_CLASSES`] of a size in bytes, 1 to 32768.
#[inline(always)]
pub const fn size_class_index(size_bytes: u64) -> u64 {
    if size_bytes <= SMALL_SIZE_MAX {
        size_bytes.div_ceil(8)
    } else {
        SIZE_CLASS_FINE as u64 + size_bytes.saturating_sub(1024).div_ceil(128)
    }
}

/// Entry of [`maps::SIZE_CLASSES`]: the class, and the bytes of its slots.
#[inline(always)]
pub const fn size_class_entry(class: u8, slot_bytes: u64) -> u64 {
    (class as u64) << 32 | slot_bytes
}

/// What every record begins with.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// `bpf_ktime_get_ns` when the probe ran: nanoseconds of `CLOCK_MONOTONIC` (stands still during suspend).
    ///
    /// Taken before the place in the ring is reserved, so two records from two CPUs can be in the ring in the other
    /// order, by the length of a probe (about 1 µs). Records of one CPU are almost always in order; newer kernels let
    /// one task's probe preempt another's, so do not rely on it.
    pub at_ns: u64,
    /// One of the `KIND_` constants; tells the type and the length of the record.
    pub kind: u32,
    /// Always 0: fills the header to a multiple of 8 bytes. What was lost is told by the map [`maps::LOST`].
    pub reserved: u32,
}

/// A sampled object was born or freed. Fixed size: the runtime has already interned the stack in its bucket.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleRecord {
    /// Time, and [`KIND_BORN`] or [`KIND_FREED`].
    pub header: RecordHeader,
    /// Address of the object in the target; the same in birth and free (with the malloc header of Go 1.22 and later it
    /// is slot + 8 in both).
    pub object: u64,
    /// Address of the `runtime.bucket` in the target. Buckets are never freed and never move.
    pub bucket: u64,
}

/// A step of the garbage collector.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GcRecord {
    /// Time, and one of [`KIND_GC_START`], [`KIND_GC_MARKED`] and [`KIND_FLUSHED`].
    pub header: RecordHeader,
    /// Bytes marked in this cycle, the `bytesMarked` argument of `resetLive`: the live heap. [`KIND_GC_MARKED`] only; 0 in
    /// the others.
    pub live_bytes: u64,
    /// Number of the cycle that ends, as `runtime.mheap_.sweepgen` counts it: two for each, the one that ends not yet
    /// among them. [`KIND_GC_MARKED`] only; 0 in the others, and where it could not be read.
    pub cycle: u64,
    /// `gcController.heapLive`: bytes marked by the last cycle plus those allocated since. At [`KIND_GC_MARKED`] it is not
    /// reset yet, so it still counts the garbage. [`HEAP_UNKNOWN`] in [`KIND_FLUSHED`], and where it could not be read.
    pub heap_bytes: u64,
}

/// Value of [`GcRecord::heap_bytes`] where the heap was not read.
pub const HEAP_UNKNOWN: u64 = u64::MAX;

/// A span that a P takes to allocate from, or a large object. Everything as it is when the probe runs: before the first
/// allocation from the span.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanRecord {
    /// Time, and [`KIND_SPAN`] or [`KIND_LARGE`].
    pub header: RecordHeader,
    /// Id of the stack of the allocation, as in a [`StackRecord`] before it; 0 where stacks are not taken
    /// ([`SOURCE_EXACT`]), and where the stack's own record was lost.
    pub stack: u64,
    /// Address of the slot that is handed out next.
    pub object: u64,
    /// First address of the span.
    pub start: u64,
    /// Bytes of one slot.
    pub slot_bytes: u64,
    /// Slots of the span.
    pub n_slots: u32,
    /// Slots that are free.
    pub free_slots: u32,
    /// `mspan.freeindex`: slots below it are allocated.
    pub free_index: u32,
    /// `mspan.spanclass`.
    pub span_class: u32,
    /// `allocBits`, beginning with slot 0; words beyond the last slot are 0.
    pub alloc_bits: [u64; ALLOC_BITS_WORDS],
}

/// An allocation of the random subset that source `exact` follows.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocRecord {
    /// Time, and [`KIND_ALLOC`].
    pub header: RecordHeader,
    /// Id of its stack.
    pub stack: u64,
    /// Address that the allocator hands out for it, as predicted when it was entered: of its slot, before a malloc
    /// header; of a tiny object its own, inside of the slot that it shares.
    pub object: u64,
    /// Bytes it counts with, as [`CountKey::object_bytes`].
    pub object_bytes: u64,
    /// Address of its `abi.Type`; 0 for bytes without a type.
    pub go_type: u64,
    /// First address of its span.
    pub span_start: u64,
    /// Bytes of a slot of its span.
    pub slot_bytes: u32,
    /// `mspan.spanclass` of its span.
    pub span_class: u32,
}

/// A stack, sent before the first record that names it. Only the first `n_pcs` addresses are set; the others are 0.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackRecord {
    /// Time, and [`KIND_STACK`].
    pub header: RecordHeader,
    /// A hash of the addresses, never 0.
    pub id: u64,
    /// How many addresses follow.
    pub n_pcs: u32,
    /// 1 when the stack was deeper than [`MAX_STACK_PCS`].
    pub truncated: u32,
    /// Return addresses, leaf first, as a walk along the frame pointers finds them.
    pub pcs: [u64; MAX_STACK_PCS],
}

/// What allocations are counted by in [`maps::COUNTS`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CountKey {
    /// Id of the stack.
    pub stack: u64,
    /// Address of the `abi.Type`; 0 for none.
    pub go_type: u64,
    /// Bytes of the slot, malloc header included; of a large object its pages; of a tiny one (below 16 bytes, without
    /// pointers) the bytes asked for, since several share a slot.
    pub object_bytes: u64,
}

const _: () = assert!(size_of::<SpanRecord>() == 16 + 4 * 8 + 4 * 4 + 8 * ALLOC_BITS_WORDS);
const _: () = assert!(size_of::<AllocRecord>() == 64);
const _: () = assert!(size_of::<StackRecord>() == 32 + 8 * MAX_STACK_PCS);
const _: () = assert!(size_of::<CountKey>() == 24);
const _: () = assert!(size_of::<RecordHeader>() == 16);
const _: () =
    assert!(offset_of!(RecordHeader, kind) == 8 && offset_of!(RecordHeader, reserved) == 12);
const _: () = assert!(size_of::<SampleRecord>() == 32);
const _: () =
    assert!(offset_of!(SampleRecord, object) == 16 && offset_of!(SampleRecord, bucket) == 24);
const _: () = assert!(size_of::<GcRecord>() == 40);
const _: () = assert!(offset_of!(GcRecord, live_bytes) == 16 && offset_of!(GcRecord, cycle) == 24);
const _: () = assert!(offset_of!(GcRecord, heap_bytes) == 32);

/// Length in bytes of a record of this kind, header included; `None` for a kind that does not exist, or has no record.
///
/// The ring buffer hands out exactly as many bytes as were reserved, so any other length is a decode error.
pub const fn record_len(kind: u32) -> Option<usize> {
    match kind {
        KIND_BORN | KIND_FREED => Some(size_of::<SampleRecord>()),
        KIND_GC_START | KIND_GC_MARKED | KIND_FLUSHED => Some(size_of::<GcRecord>()),
        KIND_SPAN | KIND_LARGE => Some(size_of::<SpanRecord>()),
        KIND_ALLOC => Some(size_of::<AllocRecord>()),
        KIND_STACK => Some(size_of::<StackRecord>()),
        _ => None,
    }
}

/// Default size of [`maps::EVENTS`] in bytes: 26 214 samples. At 500 to 1000 samples per second, what a program that
/// allocates 250 MB/s makes, that is half a minute without a reader; userspace may ask for another size.
pub const EVENTS_BYTES: u32 = 1 << 20;

/// Names of the programs, of type uprobe but for the last two.
///
/// Where each uprobe is attached is found by userspace (`plan`): behind the stack check, never on a function's first
/// instruction and never as a return probe.
pub mod programs {
    use super::N_PROBES;

    /// [`KIND_BORN`](super::KIND_BORN). Expects RAX = object, RBX = bucket (`setprofilebucket`, Go 1.18 to 1.27).
    pub const BORN: &str = "born";
    /// [`KIND_FREED`](super::KIND_FREED). Expects RAX = special, RBX = object (`freeSpecial`, Go 1.18 to 1.27).
    pub const FREED: &str = "freed";
    /// [`KIND_GC_START`](super::KIND_GC_START). Reads no register.
    pub const GC_START: &str = "gc_start";
    /// [`KIND_GC_MARKED`](super::KIND_GC_MARKED). Expects RBX = bytes marked (`resetLive`, Go 1.18 to 1.27).
    pub const GC_MARKED: &str = "gc_marked";
    /// [`KIND_FLUSHED`](super::KIND_FLUSHED). Reads no register.
    pub const FLUSHED: &str = "flushed";

    /// [`KIND_SPAN`](super::KIND_SPAN). Expects RAX = span (`nextFree`, on the call behind that of `refill`; or on the nil
    /// check behind the call of `cacheSpan`).
    pub const SPAN: &str = "span";
    /// [`KIND_LARGE`](super::KIND_LARGE). Expects RBX = span (`allocLarge`, on the call of `(*spanSet).push`).
    pub const LARGE: &str = "large";
    /// [`KIND_LARGE`](super::KIND_LARGE) too. Expects RAX = span (on the nil check behind the call of `(*mheap).alloc`).
    pub const LARGE_RESULT: &str = "large_result";
    /// [`KIND_ALLOC`](super::KIND_ALLOC). Expects RAX = size, RBX = type (`mallocgc` and its specialised kin).
    pub const ALLOC: &str = "alloc";
    /// [`KIND_CALL`](super::KIND_CALL). Reads no register but the flags.
    pub const CALL: &str = "call";
    /// [`KIND_OTHER_CALL`](super::KIND_OTHER_CALL). Reads no register but the flags.
    pub const OTHER_CALL: &str = "other_call";

    /// Raw tracepoint [`PROCESS_EXIT_TRACEPOINT`]: the target's exit code.
    pub const PROCESS_EXIT: &str = "process_exit";
    /// `TP_PROTO(struct task_struct *, …)`, called by the thread that exits.
    pub const PROCESS_EXIT_TRACEPOINT: &str = "sched_process_exit";
    /// Raw tracepoint [`OOM_VICTIM_TRACEPOINT`]: the OOM killer chooses the target.
    pub const OOM_VICTIM: &str = "oom_victim";
    /// `TP_PROTO(struct task_struct *, uid_t)`; `TP_PROTO(int pid)` before Linux 6.9.
    pub const OOM_VICTIM_TRACEPOINT: &str = "mark_victim";

    /// The program of each kind, indexed by kind; [`LARGE_RESULT`] beside it.
    pub const BY_KIND: [&str; N_PROBES] = [
        BORN, FREED, GC_START, GC_MARKED, FLUSHED, SPAN, LARGE, ALLOC, CALL, OTHER_CALL,
    ];
}

/// Names of the maps.
pub mod maps {
    /// Ring buffer of the records. Its size must be a power of two of at least one page; default
    /// [`EVENTS_BYTES`](super::EVENTS_BYTES). Records are submitted without a wake-up, which would cost the target more
    /// than the record does: the reader drains on a timer (100 ms), and a ring that fills by another quarter wakes it. A record takes 8
    /// bytes more than its length.
    pub const EVENTS: &str = "EVENTS";
    /// Per-CPU array of `u64`, indexed by kind: records that did not reach the ring since the load. Sum over the CPUs.
    ///
    /// Counts a full ring, and for [`KIND_FREED`](super::KIND_FREED) also a special that could not be read.
    pub const LOST: &str = "LOST";
    /// Per-CPU array of `u64`, indexed by kind: traps taken since the load. Sum over the CPUs.
    ///
    /// Every trap counts, also one that makes no record (a taken `jbe`, a special of another kind): it is what the
    /// target pays for. Records delivered + records lost is therefore at most this.
    pub const HITS: &str = "HITS";
    /// Per-CPU array of `u64`, indexed by kind less [`KIND_CALL`](super::KIND_CALL): traps of these on a `jbe` that was
    /// about to be taken. The function comes by again, so that they are no calls. Sum over the CPUs.
    pub const REENTRIES: &str = "REENTRIES";
    /// LRU hash of `u64` → `u64`: stack ids that were sent. One that is forgotten is sent again, which costs the ring room
    /// and nothing else.
    pub const STACKS: &str = "STACKS";
    /// Per-CPU hash of [`CountKey`](super::CountKey) → `u64`: objects allocated. The stack of each key was sent before.
    /// What finds the map full, or the ring when its stack is to be sent, counts in [`COUNTS_OVERFLOW`].
    pub const COUNTS: &str = "COUNTS";
    /// Per-CPU array of one `u64`: objects that are not in [`COUNTS`]: their stack is not known, their number is.
    pub const COUNTS_OVERFLOW: &str = "COUNTS_OVERFLOW";
    /// LRU hash of `u64` (address of the `g`) → what is to be followed and waits for its span. The programs' own.
    pub const PENDING: &str = "PENDING";
    /// Array of `u64`, [`SIZE_CLASS_ENTRIES`](super::SIZE_CLASS_ENTRIES) long, set by userspace before the attach: at
    /// [`size_class_index`](super::size_class_index) the [`size_class_entry`](super::size_class_entry).
    pub const SIZE_CLASSES: &str = "SIZE_CLASSES";
    /// Array of `u64`, [`GAP_ENTRIES`](super::GAP_ENTRIES) + 1 long, set by userspace before the attach: bytes between two
    /// samples of a Poisson process, in two parts that are added. Entry `k` below `GAP_ENTRIES` is
    /// `-ln(1 - (k + ½) / 2 / GAP_ENTRIES) × RATE_BYTES` (below `ln 2`), the last is `ln 2 × RATE_BYTES`, taken as often as a coin
    /// shows heads in a row.
    pub const GAPS: &str = "GAPS";
    /// Array of `u64`, [`ENDED_ENTRIES`](super::ENDED_ENTRIES) long: what the raw tracepoints saw of the target's end; 0 is
    /// nothing yet.
    pub const ENDED: &str = "ENDED";
    /// Per-CPU array of one `u64`: bytes until the next sample, plus 1; 0 before the first draw. The programs' own.
    pub const REMAINING: &str = "REMAINING";
}

/// Names of the globals, set by userspace before the load. Types are given; each is read-only to the programs.
pub mod globals {
    /// `u64`: value of `special.kind` of the profile's special: 2 (Go 1.18–1.22), 3 (1.23–1.24), 4 (1.25–1.27). Default
    /// `u64::MAX`, which no special has: without it `freed` makes no record.
    pub const PROFILE_KIND: &str = "PROFILE_KIND";
    /// `u64`: offset in bytes of `special.kind`, one byte wide: 10 (Go 1.18–1.23) or 16 (1.24–1.27). Default 16.
    pub const SPECIAL_KIND_OFFSET: &str = "SPECIAL_KIND_OFFSET";
    /// `u64`: offset in bytes of `specialprofile.b`: 16 (Go 1.18–1.23) or 24 (1.24–1.27). Default 24.
    pub const SPECIAL_BUCKET_OFFSET: &str = "SPECIAL_BUCKET_OFFSET";
    /// `u64`: bit `1 << kind` says that this kind's probe sits on the `jbe` of a stack check (Go 1.19 has no
    /// `push %rbp` behind it). Such a probe fires again after `morestack`; only the pass whose jump is not taken
    /// (carry and zero flag clear) counts. Default 0.
    pub const JBE_FILTER: &str = "JBE_FILTER";
    /// `u64`: not 0 = diagnostics of rare events by aya-log. Default 0. aya-log's own level, `AYA_LOG_LEVEL`, applies
    /// beside it and defaults to everything.
    pub const LOG: &str = "LOG";
    /// `u64`: run-time address of `runtime.mheap_.sweepgen`, four bytes wide. Default 0, where cycles come without number.
    pub const SWEEPGEN: &str = "SWEEPGEN";
    /// `u64`: run-time address of `runtime.gcController.heapLive`, eight bytes wide. Default 0: records of GC cycles carry
    /// [`HEAP_UNKNOWN`](super::HEAP_UNKNOWN).
    pub const HEAP_LIVE: &str = "HEAP_LIVE";
    /// `u64`: [`SOURCE_SPANS`](super::SOURCE_SPANS) or [`SOURCE_EXACT`](super::SOURCE_EXACT); what the programs of spans and
    /// large objects do. Default [`SOURCE_SPANS`](super::SOURCE_SPANS).
    pub const SOURCE: &str = "SOURCE";
    /// `u64`: mean bytes between two allocations that are followed. 0 follows none, 1 each. Default 0.
    pub const RATE_BYTES: &str = "RATE_BYTES";
    /// `u64`: not 0 = a record of [`KIND_GC_MARKED`](super::KIND_GC_MARKED) wakes the reader at once, so that it reads mark
    /// bits before their slots are used again. Default 0.
    pub const WAKE_ON_MARK: &str = "WAKE_ON_MARK";
    /// `u64`: not 0 = objects with pointers and of more than 512 bytes have a malloc header of 8 bytes before them, and
    /// what is larger than 32760 bytes is large (Go 1.22 and later). Default 1.
    pub const HEADERS: &str = "HEADERS";
    /// `u64`: run-time address of `runtime.mallocgc` where it is probed beside functions that it calls itself: hits of those
    /// from inside of it do not count. 0 where no allocation hits two probes. Default 0.
    pub const MALLOCGC_START: &str = "MALLOCGC_START";
    /// `u64`: first address behind it. Default 0.
    pub const MALLOCGC_END: &str = "MALLOCGC_END";

    /// `u64`: process id of the target in the initial pid namespace. Default 0: no end is seen.
    pub const TARGET_TGID: &str = "TARGET_TGID";
    /// `u64`: offset in bytes of `task_struct.exit_code`, four bytes wide.
    pub const TASK_EXIT_CODE: &str = "TASK_EXIT_CODE";
    /// `u64`: offset in bytes of `task_struct.tgid`, four bytes wide.
    pub const TASK_TGID: &str = "TASK_TGID";

    /// `u64`: offset in bytes of `g.m`. Default 48.
    pub const G_M: &str = "G_M";
    /// `u64`: offset in bytes of `m.p`. Default 208, as all that follow of Go 1.26.
    pub const M_P: &str = "M_P";
    /// `u64`: offset in bytes of `p.mcache`.
    pub const P_MCACHE: &str = "P_MCACHE";
    /// `u64`: offset in bytes of `mcache.tiny`.
    pub const MCACHE_TINY: &str = "MCACHE_TINY";
    /// `u64`: offset in bytes of `mcache.tinyoffset`.
    pub const MCACHE_TINYOFFSET: &str = "MCACHE_TINYOFFSET";
    /// `u64`: offset in bytes of `mcache.alloc`, spans by span class.
    pub const MCACHE_ALLOC: &str = "MCACHE_ALLOC";
    /// `u64`: offset in bytes of `mspan.startAddr`.
    pub const SPAN_START: &str = "SPAN_START";
    /// `u64`: offset in bytes of `mspan.freeindex`.
    pub const SPAN_FREEINDEX: &str = "SPAN_FREEINDEX";
    /// `u64`: offset in bytes of `mspan.nelems`.
    pub const SPAN_NELEMS: &str = "SPAN_NELEMS";
    /// `u64`: bytes of `mspan.freeindex` and of `mspan.nelems`: 8 (Go 1.18–1.21) or 2. Default 2.
    pub const SPAN_INDEX_BYTES: &str = "SPAN_INDEX_BYTES";
    /// `u64`: offset in bytes of `mspan.allocCache`.
    pub const SPAN_ALLOCCACHE: &str = "SPAN_ALLOCCACHE";
    /// `u64`: offset in bytes of `mspan.allocBits`.
    pub const SPAN_ALLOCBITS: &str = "SPAN_ALLOCBITS";
    /// `u64`: offset in bytes of `mspan.allocCount`, two bytes wide.
    pub const SPAN_ALLOCCOUNT: &str = "SPAN_ALLOCCOUNT";
    /// `u64`: offset in bytes of `mspan.spanclass`, one byte wide.
    pub const SPAN_SPANCLASS: &str = "SPAN_SPANCLASS";
    /// `u64`: offset in bytes of `mspan.elemsize`.
    pub const SPAN_ELEMSIZE: &str = "SPAN_ELEMSIZE";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_but_calls_has_a_length_and_no_other_value_has_one() {
        for kind in 0..N_KINDS {
            let kind = u32::try_from(kind).unwrap();
            let is_counted = kind == KIND_CALL || kind == KIND_OTHER_CALL;
            assert_eq!(record_len(kind).is_none(), is_counted, "kind {kind}");
        }
        assert_eq!(record_len(u32::try_from(N_KINDS).unwrap()), None);
        assert_eq!(record_len(u32::MAX), None);
    }

    #[test]
    fn programs_are_indexed_by_kind() {
        assert_eq!(programs::BY_KIND[KIND_BORN as usize], programs::BORN);
        assert_eq!(programs::BY_KIND[KIND_FREED as usize], programs::FREED);
        assert_eq!(
            programs::BY_KIND[KIND_GC_START as usize],
            programs::GC_START
        );
        assert_eq!(
            programs::BY_KIND[KIND_GC_MARKED as usize],
            programs::GC_MARKED
        );
        assert_eq!(programs::BY_KIND[KIND_FLUSHED as usize], programs::FLUSHED);
        assert_eq!(programs::BY_KIND[KIND_SPAN as usize], programs::SPAN);
        assert_eq!(programs::BY_KIND[KIND_LARGE as usize], programs::LARGE);
        assert_eq!(programs::BY_KIND[KIND_ALLOC as usize], programs::ALLOC);
        assert_eq!(programs::BY_KIND[KIND_CALL as usize], programs::CALL);
        assert_eq!(
            programs::BY_KIND[KIND_OTHER_CALL as usize],
            programs::OTHER_CALL
        );
    }

    #[test]
    fn sizes_are_found_where_go_looks() {
        for (size, index) in [
            (1, 1),
            (8, 1),
            (9, 2),
            (1016, 127),
            (1017, 128),
            (1024, 128),
            (1025, 129),
            (1152, 129),
            (32768, SIZE_CLASS_ENTRIES as u64 - 1),
        ] {
            assert_eq!(size_class_index(size), index, "{size}");
        }
    }
}
