//! Decoded records of the ring buffer.

use serde::{Deserialize, Serialize};

/// A record that reports what the target did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeEvent {
    /// A sampled object was born.
    Born {
        /// Time of the probe hit.
        at_ns: u64,
        /// Address of the object.
        object: u64,
        /// Address of its bucket.
        bucket: u64,
    },
    /// The sweeper freed a sampled object.
    Freed {
        /// Time of the probe hit.
        at_ns: u64,
        /// Address of the object.
        object: u64,
        /// Address of its bucket.
        bucket: u64,
    },
    /// A GC cycle starts: all sweeping of the previous one is done.
    GcStart {
        /// Time of the probe hit.
        at_ns: u64,
        /// `gcController.heapLive` when marking starts, the first figure of a `gctrace` line; `None` where the probe could
        /// not read it.
        #[serde(default)]
        heap_bytes: Option<u64>,
    },
    /// Mark termination.
    GcMarked {
        /// Time of the probe hit.
        at_ns: u64,
        /// Bytes marked: the live heap.
        live_bytes: u64,
        /// Number of the cycle that ends; `None` where the probe could not read it.
        cycle: Option<u32>,
        /// `gcController.heapLive` when marking ends, garbage included: the second figure of a `gctrace` line. What it gained
        /// since the start was allocated while marking ran. `None` where the probe could not read it.
        #[serde(default)]
        heap_bytes: Option<u64>,
    },
    /// The runtime has flushed its profile: the cycle is complete in the buckets.
    Flushed {
        /// Time of the probe hit.
        at_ns: u64,
    },
    /// A P took a span to allocate from (source `spans`, and `exact` to learn of reused slots), or a large object was
    /// allocated.
    Span(SpanTaken),
    /// An allocation of the random subset that `exact` tracks.
    Alloc(Allocated),
}

/// A tracked allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocated {
    /// Time of the probe hit.
    pub at_ns: u64,
    /// Id of its stack.
    pub stack: u64,
    /// Address of the slot that the allocator is about to return.
    pub object: u64,
    /// Bytes of its slot, or of a large object; for tiny objects (below 16 bytes, without pointers) the requested size,
    /// since several share a slot.
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

/// A span when a P takes it, before the first allocation from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpanTaken {
    /// Time of the probe hit.
    pub at_ns: u64,
    /// Id of the stack of the allocation that needed the span; 0 where no stack was taken.
    pub stack: u64,
    /// Address of the next free slot: the object that `stack` allocates.
    pub object: u64,
    /// First address of the span.
    pub start: u64,
    /// Bytes of one slot (`elemsize`); of the whole object for a large one.
    pub slot_bytes: u64,
    /// Slots of the span.
    pub n_slots: u32,
    /// Free slots: objects that will come from the span unless a GC cycle takes it away first.
    pub free_slots: u32,
    /// `mspan.freeindex`: slots below are allocated, whatever their bit says.
    pub free_index: u32,
    /// `mspan.spanclass`: size class × 2, plus 1 without pointers. Class 0 is large.
    pub span_class: u8,
    /// First [`tracer_ebpf::wire::ALLOC_BITS_WORDS`] × 64 bits of `allocBits`: a slot at or above `free_index` is free
    /// if its bit is 0.
    pub alloc_bits: [u64; tracer_ebpf::wire::ALLOC_BITS_WORDS],
}

impl ProbeEvent {
    /// Returns the time of the probe hit.
    pub fn at_ns(&self) -> u64 {
        match *self {
            Self::Born { at_ns, .. }
            | Self::Freed { at_ns, .. }
            | Self::GcStart { at_ns, .. }
            | Self::GcMarked { at_ns, .. }
            | Self::Flushed { at_ns }
            | Self::Alloc(Allocated { at_ns, .. })
            | Self::Span(SpanTaken { at_ns, .. }) => at_ns,
        }
    }
}

/// A record of the ring buffer: an event, or the stack that later events refer to by its id.
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
        /// True if the stack was deeper than the kernel side walks.
        truncated: bool,
    },
}
