//! Every map and global of the object, and the two ways a trap ends: a record in the ring, or a count in [`LOST`].
//!
//! Names and meanings are documented once, for both sides, in [`wire::maps`] and [`wire::globals`].

use aya_ebpf::{
    Global,
    bindings::{
        BPF_NOEXIST, BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP, BPF_RB_RING_SIZE,
    },
    macros::map,
    maps::{
        Array, LruHashMap, PerCpuArray, PerCpuHashMap, ProgramArray, RingBuf,
        ring_buf::RingBufEntry,
    },
    programs::ProbeContext,
};
use tracer_ebpf::wire::{self, CountKey, KIND_GC_MARKED, N_KINDS, RecordHeader};

use crate::regs;

/// One ring for all CPUs: the order of births, GC steps and frees across CPUs is what the model lives from.
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(wire::EVENTS_BYTES, 0);

/// Per CPU, so that a target with many threads does not fight for a cache line when it has lost already.
#[map]
static LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(N_KINDS as u32, 0);

/// Per CPU for the same reason: this one is written at every trap.
#[map]
static HITS: PerCpuArray<u64> = PerCpuArray::with_max_entries(N_KINDS as u32, 0);

#[map]
static REENTRIES: PerCpuArray<u64> = PerCpuArray::with_max_entries(wire::N_CALLS as u32, 0);

#[unsafe(no_mangle)]
static PROFILE_KIND: Global<u64> = Global::new(u64::MAX);
#[unsafe(no_mangle)]
static SPECIAL_KIND_OFFSET: Global<u64> = Global::new(16);
#[unsafe(no_mangle)]
static SPECIAL_BUCKET_OFFSET: Global<u64> = Global::new(24);
#[unsafe(no_mangle)]
static JBE_FILTER: Global<u64> = Global::new(0);
#[unsafe(no_mangle)]
static SWEEPGEN: Global<u64> = Global::new(0);
#[unsafe(no_mangle)]
static LOG: Global<u64> = Global::new(0);
/// Never set: see [`never_tail_call`].
#[unsafe(no_mangle)]
static TAIL_CALLS: Global<u64> = Global::new(0);

/// Twice the keys of [`COUNTS`]: every stack that is counted should be remembered as sent, and an LRU map of the kernel
/// begins to forget before it is full. 2.5 MiB.
const STACKS_ENTRIES: u32 = 1 << 15;

/// Programs of 200 MB allocate from some thousand places in some thousand ways; each key takes 8 bytes for each CPU beside
/// its own 80, so this is 1.5 MiB with two CPUs and 9 MiB with 64.
const COUNTS_ENTRIES: u32 = 1 << 14;

/// What waits is done within the same call of `mallocgc`: as many as goroutines that may be preempted in it. Those that
/// are never done (see [`wait`]) are of goroutines that have ended, and are forgotten first.
const PENDING_ENTRIES: u32 = 1 << 12;

#[map]
static STACKS: LruHashMap<u64, u64> = LruHashMap::with_max_entries(STACKS_ENTRIES, 0);

/// Per CPU, since the target allocates on all of them at once, often from the same place.
#[map]
static COUNTS: PerCpuHashMap<CountKey, u64> = PerCpuHashMap::with_max_entries(COUNTS_ENTRIES, 0);

#[map]
static COUNTS_OVERFLOW: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

#[map]
static PENDING: LruHashMap<u64, Pending> = LruHashMap::with_max_entries(PENDING_ENTRIES, 0);

#[map]
static SIZE_CLASSES: Array<u64> = Array::with_max_entries(wire::SIZE_CLASS_ENTRIES as u32, 0);

#[map]
static GAPS: Array<u64> = Array::with_max_entries(wire::GAP_ENTRIES as u32 + 1, 0);

#[map]
static REMAINING: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

#[map]
static ENDED: Array<u64> = Array::with_max_entries(wire::ENDED_ENTRIES, 0);

/// An allocation that is to be followed, and whose address its span will tell.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Pending {
    /// Id of its stack.
    pub(crate) stack: u64,
    /// Address of its type; 0 for none.
    pub(crate) go_type: u64,
    /// As in [`CountKey`].
    pub(crate) object_bytes: u64,
    /// What its span must have: another one is for another allocation.
    pub(crate) span_class: u64,
}

/// Globals, each with the name that userspace knows and the function that reads it.
macro_rules! globals {
    ($($(#[$doc:meta])* $name:ident, $function:ident, $default:expr;)*) => {$(
        #[unsafe(no_mangle)]
        static $name: Global<u64> = Global::new($default);
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $function() -> u64 {
            $name.load()
        }
    )*};
}

globals! {
    /// Run-time address of `runtime.gcController.heapLive`; 0 if unknown.
    HEAP_LIVE, heap_live, 0;
    /// Process id of the target in the initial pid namespace; 0 if unknown, which no thread that exits has.
    TARGET_TGID, target_tgid, 0;
    /// Offset of `task_struct.exit_code`.
    TASK_EXIT_CODE, task_exit_code, 0;
    /// Offset of `task_struct.tgid`.
    TASK_TGID, task_tgid, 0;
    /// Which source runs.
    SOURCE, source, wire::SOURCE_SPANS;
    /// Mean bytes between two followed allocations.
    RATE_BYTES, rate_bytes, 0;
    /// Not 0: the end of marking wakes the reader.
    WAKE_ON_MARK, wake_on_mark, 0;
    /// Not 0: there are malloc headers.
    HEADERS, headers, 1;
    /// Run-time address of `mallocgc` where hits from inside of it do not count.
    MALLOCGC_START, mallocgc_start, 0;
    /// Its end.
    MALLOCGC_END, mallocgc_end, 0;
    /// Offset of `g.m`.
    G_M, g_m, 48;
    /// Offset of `m.p`.
    M_P, m_p, 208;
    /// Offset of `p.mcache`.
    P_MCACHE, p_mcache, 56;
    /// Offset of `mcache.tiny`.
    MCACHE_TINY, mcache_tiny, 24;
    /// Offset of `mcache.tinyoffset`.
    MCACHE_TINYOFFSET, mcache_tinyoffset, 32;
    /// Offset of `mcache.alloc`.
    MCACHE_ALLOC, mcache_alloc, 48;
    /// Offset of `mspan.startAddr`.
    SPAN_START, span_start, 24;
    /// Offset of `mspan.freeindex`.
    SPAN_FREEINDEX, span_freeindex, 48;
    /// Offset of `mspan.nelems`.
    SPAN_NELEMS, span_nelems, 50;
    /// Bytes of these two.
    SPAN_INDEX_BYTES, span_index_bytes, 2;
    /// Offset of `mspan.allocCache`.
    SPAN_ALLOCCACHE, span_alloccache, 56;
    /// Offset of `mspan.allocBits`.
    SPAN_ALLOCBITS, span_allocbits, 64;
    /// Offset of `mspan.allocCount`.
    SPAN_ALLOCCOUNT, span_alloccount, 96;
    /// Offset of `mspan.spanclass`.
    SPAN_SPANCLASS, span_spanclass, 98;
    /// Offset of `mspan.elemsize`.
    SPAN_ELEMSIZE, span_elemsize, 104;
}

/// How many bytes after each full quarter of the ring still wake the reader. Wide enough that records which CPUs
/// reserve at the same moment cannot jump over it (12 samples), narrow enough that a busy reader is woken a dozen times
/// per quarter and not per record: a wake-up costs more than a record does.
const WAKE_WINDOW_BYTES: u64 = 12 * (size_of::<wire::SampleRecord>() as u64 + 8);

/// `special.kind` of the profile's special.
#[inline(always)]
pub(crate) fn profile_kind() -> u64 {
    PROFILE_KIND.load()
}

/// Run-time address of `runtime.mheap_.sweepgen`; 0 where it is not known.
#[inline(always)]
pub(crate) fn sweepgen() -> u64 {
    SWEEPGEN.load()
}

/// Offset in bytes of `special.kind`.
#[inline(always)]
pub(crate) fn special_kind_offset() -> u64 {
    SPECIAL_KIND_OFFSET.load()
}

/// Offset in bytes of `specialprofile.b`.
#[inline(always)]
pub(crate) fn special_bucket_offset() -> u64 {
    SPECIAL_BUCKET_OFFSET.load()
}

/// Whether the probe of `kind` sits on a `jbe`.
#[inline(always)]
pub(crate) fn on_jbe(kind: u32) -> bool {
    JBE_FILTER.load() & (1 << kind) != 0
}

/// Whether rare events are to be logged.
#[inline(always)]
pub(crate) fn log_enabled() -> bool {
    LOG.load() != 0
}

/// Counts a trap. First thing in every program.
#[inline(always)]
pub(crate) fn count_hit(kind: u32) {
    count(&HITS, kind);
}

/// Nothing is ever put into it.
#[map]
static NO_PROGRAMS: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// The instruction of a tail call, which is never run.
///
/// A kernel of 6.13 or later gives programs of this type with 64 bytes of stack or more one stack for each CPU, since no
/// probe on the kernel interrupts itself. Probes on user code can be preempted: where they are, two threads of the target
/// use one stack, records tell of the wrong allocation, and a pointer that was spilled becomes the other thread's number,
/// which kills the thread in the kernel (seen on 7.2). A program with a tail call keeps to the stack of its thread, on
/// every kernel.
///
/// Source: `check_max_stack_depth`, `bpf_enable_priv_stack`, `kernel/bpf/verifier.c`; `bpf_prog_run_array_uprobe`,
/// `include/linux/bpf.h`.
#[inline(always)]
pub(crate) fn never_tail_call(ctx: &ProbeContext) {
    if TAIL_CALLS.load() != 0 {
        regs::tail_call(&NO_PROGRAMS, ctx);
    }
}

/// Counts a record that will not be delivered.
#[inline(always)]
pub(crate) fn count_lost(kind: u32) {
    count(&LOST, kind);
}

/// Counts a trap of a counted function that comes by again.
#[inline(always)]
pub(crate) fn count_reentry(kind: u32) {
    count(&REENTRIES, kind - wire::KIND_CALL);
}

#[inline(always)]
fn count(counters: &PerCpuArray<u64>, kind: u32) {
    // `None` cannot be: kind is a constant below N_KINDS. The verifier wants the question asked.
    if let Some(counter) = counters.get_ptr_mut(kind) {
        regs::add_one(counter);
    }
}

/// Header of a record that is about to be sent.
#[inline(always)]
pub(crate) fn header(kind: u32) -> RecordHeader {
    RecordHeader {
        at_ns: regs::monotonic_ns(),
        kind,
        reserved: 0,
    }
}

/// Counts an object under a key that the map has; false when it has not.
#[inline(always)]
pub(crate) fn count_known(key: &CountKey) -> bool {
    let counter = COUNTS.get_ptr_mut(key);
    if let Some(counter) = counter {
        regs::add_one(counter);
    }
    counter.is_some()
}

/// Counts the first object of a key, whose stack was sent. False when there is no room.
#[inline(always)]
pub(crate) fn count_new(key: &CountKey) -> bool {
    // If it cannot be inserted, another CPU may have done it meanwhile.
    COUNTS.insert(key, 1, u64::from(BPF_NOEXIST)).is_ok() || count_known(key)
}

/// Counts an object whose stack userspace cannot know.
#[inline(always)]
pub(crate) fn count_overflow() {
    if let Some(counter) = COUNTS_OVERFLOW.get_ptr_mut(0) {
        regs::add_one(counter);
    }
}

/// Whether the stack of this id was sent.
#[inline(always)]
pub(crate) fn is_sent(stack: u64) -> bool {
    STACKS.get_ptr(stack).is_some()
}

/// Remembers that the stack of this id was sent. A map that is full forgets the one not used for longest.
#[inline(always)]
pub(crate) fn remember_sent(stack: u64) {
    let _ = STACKS.insert(stack, 0, 0);
}

/// The class of a size, and the bytes of its slots; `None` for a size that has none.
#[inline(always)]
pub(crate) fn size_class(size_bytes: u64) -> Option<(u64, u64)> {
    let entry = *SIZE_CLASSES.get(wire::size_class_index(size_bytes) as u32)?;
    Some((entry >> 32, entry & u64::from(u32::MAX)))
}

/// Entry of the table of gaps.
#[inline(always)]
pub(crate) fn gap(index: u32) -> u64 {
    GAPS.get(index).copied().unwrap_or(0)
}

/// Where this CPU counts the bytes until the next sample.
#[inline(always)]
pub(crate) fn remaining() -> Option<*mut u64> {
    REMAINING.get_ptr_mut(0)
}

/// Writes an entry of [`ENDED`].
#[inline(always)]
pub(crate) fn set_ended(index: u32, value: u64) {
    if let Some(place) = ENDED.get_ptr_mut(index) {
        regs::set(place, value);
    }
}

/// Lets an allocation of the goroutine `g` wait for its span.
///
/// One that waits already is lost: it found a slot without a span of its own, since somebody else filled the mcache
/// meanwhile, or its span was taken where no probe is.
#[inline(always)]
pub(crate) fn wait(g: u64, pending: &Pending) {
    if PENDING.get_ptr(g).is_some() {
        count_lost(wire::KIND_ALLOC);
    }
    if PENDING.insert(g, pending, 0).is_err() {
        count_lost(wire::KIND_ALLOC);
    }
}

/// What waits for the span that the goroutine `g` has just got; it waits no longer. Where it waits for a span of
/// another class, it is one that got its slot without one (see [`wait`]), and is lost.
#[inline(always)]
pub(crate) fn awaited(g: u64, span_class: u64) -> Option<Pending> {
    let place = PENDING.get_ptr(g)?;
    let pending = regs::copy(place);
    // Only the entry's own goroutine inserts and removes it, and that is here now.
    let _ = PENDING.remove(g);
    if pending.span_class == span_class {
        Some(pending)
    } else {
        count_lost(wire::KIND_ALLOC);
        None
    }
}

/// Room for a record, which the caller fills and submits; `None` when the ring is full, which is counted as a loss.
#[inline(always)]
pub(crate) fn reserve<T: 'static>(kind: u32) -> Option<RingBufEntry<T>> {
    let place = EVENTS.reserve::<T>(0);
    if place.is_none() {
        count_lost(kind);
    }
    place
}

/// Puts `record` into the ring, or counts it as lost when the ring is full.
#[inline(always)]
pub(crate) fn send<T: 'static>(kind: u32, record: T) {
    if let Some(mut place) = reserve::<T>(kind) {
        // Records have no padding (asserted in `wire`), so this initialises every reserved byte.
        place.write(record);
        place.submit(wake_up(kind));
    }
}

/// Whether this record wakes the reader: only those do that fill another quarter of the ring, and the end of marking
/// where mark bits are to be read. The reader comes by itself ten times a second, and the target pays for each wake-up:
/// 22 µs at a flush, 50 times a second in a small heap, would be the whole budget of 0.1 % of a core.
#[inline(always)]
pub(crate) fn wake_up(kind: u32) -> u64 {
    let wake = (kind == KIND_GC_MARKED && wake_on_mark() != 0) || {
        let quarter = EVENTS.query(u64::from(BPF_RB_RING_SIZE)) / 4;
        // Bytes not yet consumed, this record included.
        let filled = EVENTS.query(u64::from(BPF_RB_AVAIL_DATA));
        (1..4).any(|n| filled.wrapping_sub(n * quarter) < WAKE_WINDOW_BYTES)
    };
    u64::from(if wake {
        BPF_RB_FORCE_WAKEUP
    } else {
        BPF_RB_NO_WAKEUP
    })
}
