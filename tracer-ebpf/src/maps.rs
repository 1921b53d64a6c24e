//! Every map and global of the object, and the two ways a trap ends: a record in the ring, or a count in [`LOST`].
//!
//! Names and meanings are documented once, for both sides, in [`wire::maps`] and [`wire::globals`].

use aya_ebpf::{
    Global,
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP, BPF_RB_RING_SIZE},
    macros::map,
    maps::{PerCpuArray, RingBuf},
};
use tracer_ebpf::wire::{self, N_KINDS, RecordHeader};

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

#[unsafe(no_mangle)]
static PROFILE_KIND: Global<u64> = Global::new(u64::MAX);
#[unsafe(no_mangle)]
static SPECIAL_KIND_OFFSET: Global<u64> = Global::new(16);
#[unsafe(no_mangle)]
static SPECIAL_BUCKET_OFFSET: Global<u64> = Global::new(24);
#[unsafe(no_mangle)]
static JBE_FILTER: Global<u64> = Global::new(0);
#[unsafe(no_mangle)]
static LOG: Global<u64> = Global::new(0);

/// How many bytes after each full quarter of the ring still wake the reader. Wide enough that records which CPUs
/// reserve at the same moment cannot jump over it (12 samples), narrow enough that a busy reader is woken a dozen times
/// per quarter and not per record: a wake-up costs more than a record does.
const WAKE_WINDOW_BYTES: u64 = 12 * (size_of::<wire::SampleRecord>() as u64 + 8);

/// `special.kind` of the profile's special.
#[inline(always)]
pub(crate) fn profile_kind() -> u64 {
    PROFILE_KIND.load()
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

/// Counts a record that will not be delivered.
#[inline(always)]
pub(crate) fn count_lost(kind: u32) {
    count(&LOST, kind);
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
        lost: lost_here(),
    }
}

/// Records of all kinds lost on this CPU, modulo 2^32.
#[inline(always)]
fn lost_here() -> u32 {
    let mut sum = 0u64;
    // Unrolled: N_KINDS is a small constant.
    for kind in 0..N_KINDS as u32 {
        sum = sum.wrapping_add(LOST.get(kind).copied().unwrap_or(0));
    }
    sum as u32
}

/// Puts `record` into the ring, or counts it as lost when the ring is full.
#[inline(always)]
pub(crate) fn send<T: 'static>(kind: u32, record: T) {
    match EVENTS.reserve::<T>(0) {
        Some(mut place) => {
            // Records have no padding (asserted in `wire`), so this initialises every reserved byte.
            place.write(record);
            place.submit(wake_up());
        }
        None => count_lost(kind),
    }
}

/// Whether this record wakes the reader: only those do that fill another quarter of the ring. The reader comes by itself
/// ten times a second, and the target pays for each wake-up: 22 µs at a flush, 50 times a second in a small heap, would be
/// the whole budget of 0.1 % of a core.
#[inline(always)]
fn wake_up() -> u64 {
    let wake = {
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
