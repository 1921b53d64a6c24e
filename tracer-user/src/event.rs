//! Everything that can change the model, as plain data.
//!
//! Time comes inside the events: `at_ns` is `CLOCK_MONOTONIC` in nanoseconds, the clock of
//! `bpf_ktime_get_ns`. A recording of these events replays to the same screens.

mod anatomy;

use std::sync::Arc;

pub use anatomy::{
    AnatomyRead, CgroupEvents, CgroupLimit, CgroupRead, KernelMemory, MachineRead, PageTables,
};

use crate::go::buckets::{BucketCounts, NewBucket};
use crate::go::frame::Frame;
use crate::go::goroutines::AllGoroutines;
use crate::go::memstats::HeapFigures;
use crate::model::bucket::Lost;

/// Number of probes of the sampler: one for each kind of record.
pub const N_KINDS: usize = tracer_ebpf::wire::N_KINDS;

/// What the model learns from outside. [`crate::model::Model::apply`] is the only way to change it.
#[derive(Clone, Debug)]
pub enum Event {
    /// A record of the ring buffer, in the order in which the kernel reserved it.
    Probe(ProbeEvent),
    /// The kernel side's own counters, cumulative since the attach.
    Kernel(KernelCounters),
    /// Buckets as read from the target between two drains of the ring buffer.
    Buckets(BucketsRead),
    /// Figures of the runtime and of the process; the ring was drained after they were read.
    Heap(HeapRead),
    /// Where the resident memory of the process lies: the first one within a second of the attach, then every few
    /// seconds, rarer where a read is long.
    Anatomy(Box<AnatomyRead>),
    /// All goroutines, as read from the target.
    Goroutines(GoroutinesRead),
    /// The live samples as the specials of the spans list them: (object, bucket).
    Specials {
        /// When the walk began.
        from_ns: u64,
        /// Pairs of object address and bucket address.
        samples: Vec<(u64, u64)>,
        /// Whether there were more than our bound.
        cut: bool,
    },
    /// Names for program counters asked for by [`crate::model::Model::wanted_names`].
    Named(Vec<(u64, Arc<Frame>)>),
    /// Objects that a source by mark bits follows were born: see [`Birth`]. In the order of their births, between the
    /// [`ProbeEvent::GcMarked`] that they fall between.
    Births(Vec<Birth>),
    /// Stacks that births are counted under, each once, before the first birth that names it. For sources whose stacks
    /// come from the probes; the runtime's own buckets come with [`Event::Buckets`].
    Sites(Vec<NewBucket>),
    /// Followed objects that were found dead.
    Dead {
        /// When the memory was read.
        at_ns: u64,
        /// Addresses as given in their [`Birth`].
        objects: Vec<u64>,
    },
    /// Every followed object was held against the mark bits of GC cycle `number`: what is left was alive after it.
    /// Comes behind the [`Event::Dead`] of that check.
    MarksRead {
        /// When the reading ended.
        at_ns: u64,
        /// Completed GC cycles (`memstats.numgc`).
        number: u32,
    },
    /// How many objects every bucket has counted since the attach: source `exact` alone. Cumulative; buckets that did
    /// not change may be left out.
    Counted {
        /// When the counters were read.
        at_ns: u64,
        /// Bucket, objects.
        objects: Vec<(u64, f64)>,
        /// False while the governor samples in time: then the figures are estimates.
        exact: bool,
    },
    /// What the governor does: the share of time that the allocation probes are on.
    Duty(Duty),
    /// How often the functions that [`CallsRead`] names have been called.
    Calls(CallsRead),
    /// What one probe hit costs on this machine, in nanoseconds, as calibrated.
    HitCost {
        /// Nanoseconds of CPU time for each hit.
        ns: f64,
    },
    /// The sampler's two probes were detached to keep the budget; block reads go on.
    SamplerDetached {
        /// When.
        at_ns: u64,
    },
    /// The user marks this moment as a baseline.
    MarkBaseline {
        /// When.
        at_ns: u64,
    },
    /// The user compares with another baseline, an index into [`crate::model::Model::baselines`].
    UseBaseline(usize),
    /// Time goes on.
    Tick {
        /// Now.
        at_ns: u64,
    },
    /// The target has ended.
    Exited {
        /// When it was noticed.
        at_ns: u64,
        /// How, in words (`signal 15 (SIGTERM)`), where it could be learnt.
        how: Option<String>,
    },
}

/// The birth of an object that is followed to its death, by a source that reads mark bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Birth {
    /// When the probe ran.
    pub at_ns: u64,
    /// Address of its slot; an older object at this address is dead.
    pub object: u64,
    /// The bucket it counts under, named by [`Event::Sites`] before.
    pub bucket: u64,
    /// How many objects it stands for, at least 1.
    pub weight: f64,
}

/// Calls of functions of the target, such as that which serves a request; each figure only grows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallsRead {
    /// When.
    pub at_ns: u64,
    /// The functions, and how often each was called while its calls were counted: one, or the candidates of which
    /// the model takes the one that is called most. Always the same ones, in the same order.
    pub functions: Vec<(Arc<str>, u64)>,
    /// Nanoseconds in which calls were counted, so far.
    pub counted_ns: u64,
    /// Nanoseconds since the first was.
    pub all_ns: u64,
    /// Calls are counted at present.
    pub is_on: bool,
    /// They are too many to count each: they are counted for a short window at a time.
    pub is_windowed: bool,
}

/// How the governor keeps the budget.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Duty {
    /// When this began to hold.
    pub at_ns: u64,
    /// Share of time that the allocation probes are on, 0 to 1; 1 is always.
    pub on_fraction: f64,
    /// Share of one CPU that they would take if they were always on.
    pub wanted_cpu_fraction: f64,
    /// Share of one CPU that is allowed.
    pub max_cpu_fraction: f64,
}

/// A decoded record of the ring buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeEvent {
    /// A sampled object was born.
    Born {
        /// When the probe ran.
        at_ns: u64,
        /// Address of the object.
        object: u64,
        /// Address of its bucket.
        bucket: u64,
    },
    /// A sampled object was freed by the sweeper.
    Freed {
        /// When the probe ran.
        at_ns: u64,
        /// Address of the object.
        object: u64,
        /// Address of its bucket.
        bucket: u64,
    },
    /// A GC cycle starts: all sweeping of the one before is done.
    GcStart {
        /// When the probe ran.
        at_ns: u64,
    },
    /// Mark termination.
    GcMarked {
        /// When the probe ran.
        at_ns: u64,
        /// Bytes marked: the live heap.
        live_bytes: u64,
        /// Number of the cycle that ends with it; `None` where the probe could not read it.
        cycle: Option<u32>,
    },
    /// The runtime has flushed its profile: the cycle is complete in the buckets.
    Flushed {
        /// When the probe ran.
        at_ns: u64,
    },
    /// A span was put into a P's cache to allocate from (source `spans`, and `exact` for what it tells of reuse), or a
    /// large object was allocated.
    Span(SpanTaken),
    /// An allocation of the random subset that `exact` follows.
    Alloc(Allocated),
}

/// An allocation that is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocated {
    /// When the probe ran.
    pub at_ns: u64,
    /// Id of its stack.
    pub stack: u64,
    /// Address of the slot that the allocator is about to hand out.
    pub object: u64,
    /// Bytes it counts with: of the slot, or of a large object; for tiny ones (below 16 bytes, without pointers) those
    /// asked for, since several share a slot.
    pub object_bytes: u64,
    /// Address of its `abi.Type`; 0 for none (bytes without a type).
    pub go_type: u64,
    /// First address of its span.
    pub span_start: u64,
    /// Bytes of a slot of its span.
    pub slot_bytes: u64,
    /// `mspan.spanclass` of its span.
    pub span_class: u8,
}

/// A span at the moment when a P takes it to allocate from, before the first allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanTaken {
    /// When the probe ran.
    pub at_ns: u64,
    /// Id of the stack of the allocation that needed the span; 0 where none was taken.
    pub stack: u64,
    /// Address of the slot that is handed out next: the object that `stack` allocates.
    pub object: u64,
    /// First address of the span.
    pub start: u64,
    /// Bytes of one slot (`elemsize`); of the whole object for a large one.
    pub slot_bytes: u64,
    /// Slots of the span.
    pub n_slots: u32,
    /// Slots that were free: the objects that will come from it if no GC cycle takes it away first.
    pub free_slots: u32,
    /// `mspan.freeindex`: slots below are allocated, whatever their bit says.
    pub free_index: u32,
    /// `mspan.spanclass`: size class × 2, plus 1 without pointers. Class 0 is large.
    pub span_class: u8,
    /// The first [`tracer_ebpf::wire::ALLOC_BITS_WORDS`] × 64 bits of `allocBits`: a slot at or above `free_index`
    /// whose bit is 0 was free.
    pub alloc_bits: [u64; tracer_ebpf::wire::ALLOC_BITS_WORDS],
}

/// A record of the ring: an event, or the stack that later events name by its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Something happened.
    Event(ProbeEvent),
    /// Return addresses of a stack, leaf first, by frame pointers: not expanded for inlining.
    Stack {
        /// Hash of the addresses.
        id: u64,
        /// Return addresses.
        pcs: Vec<u64>,
        /// The stack was deeper than what the kernel side follows.
        truncated: bool,
    },
}

impl ProbeEvent {
    /// When the probe ran.
    pub fn at_ns(&self) -> u64 {
        match *self {
            Self::Born { at_ns, .. }
            | Self::Freed { at_ns, .. }
            | Self::GcStart { at_ns }
            | Self::GcMarked { at_ns, .. }
            | Self::Flushed { at_ns }
            | Self::Alloc(Allocated { at_ns, .. })
            | Self::Span(SpanTaken { at_ns, .. }) => at_ns,
        }
    }
}

/// Counters of the kernel side, summed over the CPUs; each only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelCounters {
    /// When they were read.
    pub at_ns: u64,
    /// Traps by probe, also those whose record was filtered away.
    pub hits: [u64; N_KINDS],
    /// Records that found the ring full, by kind.
    pub lost: [u64; N_KINDS],
    /// Records that userspace could not decode.
    pub undecodable: u64,
}

/// One reading of buckets. A bucket's counters are in it only if two reads agreed.
#[derive(Clone, Debug, Default)]
pub struct BucketsRead {
    /// Before the first byte was read; the ring was drained just before.
    pub from_ns: u64,
    /// After the last byte was read; the ring was drained after it, and those events come first.
    pub to_ns: u64,
    /// `mProfCycle >> 1` during the whole read: completed GC cycles. `None` if it moved meanwhile.
    pub cycle: Option<u32>,
    /// Whether sweeping of `cycle` had drained before the read.
    pub swept: bool,
    /// Buckets seen for the first time, oldest first.
    pub new: Vec<NewBucket>,
    /// Counters by bucket address.
    pub counts: Vec<(u64, BucketCounts)>,
    /// Whether `counts` holds every bucket of the target.
    pub complete: bool,
    /// Records lost in the kernel, counted before `from_ns`.
    pub lost_before: Lost,
    /// Buckets of the target beyond our bound, at least.
    pub omitted: u64,
    /// Buckets whose stack was cut short by our bound, in all readings.
    pub truncated_stacks: u64,
}

/// Figures of the whole process, read together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HeapRead {
    /// When.
    pub at_ns: u64,
    /// From the runtime's variables; `None` where they could not be read.
    pub runtime: Option<HeapFigures>,
    /// Resident set size; `None` where unknown.
    pub rss_bytes: Option<u64>,
}

/// One reading of all goroutines. Stacks in it are expanded for inlined calls: one pc for each logical frame.
#[derive(Clone, Debug)]
pub struct GoroutinesRead {
    /// When it began.
    pub at_ns: u64,
    /// How long it took.
    pub took_ns: u64,
    /// When the next one is due.
    pub next_ns: u64,
    /// What was found, or why goroutines are not known, as the end of a sentence.
    pub found: Result<AllGoroutines, Arc<str>>,
}

impl KernelCounters {
    /// Records lost of the kinds that move a bucket. One that could not be decoded may have been either.
    pub fn lost_samples(&self) -> Lost {
        Lost {
            born: self.lost[tracer_ebpf::wire::KIND_BORN as usize] + self.undecodable,
            freed: self.lost[tracer_ebpf::wire::KIND_FREED as usize] + self.undecodable,
        }
    }
}
