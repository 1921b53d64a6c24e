//! Everything that can change the model, as plain data that can be written to a file and read back.
//!
//! A stream of events begins with [`Event::Attached`] and is complete: a [`crate::model::Model`] built from it shows
//! what the live session showed. Time comes inside the events: `at_ns` is `CLOCK_MONOTONIC` in nanoseconds, the clock
//! of `bpf_ktime_get_ns`.

mod anatomy;
mod exit;
mod probe;
mod reads;
mod target;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use anatomy::{
    AnatomyRead, CgroupEvents, CgroupLimit, CgroupRead, KernelMemory, MachineRead, PageTables,
};
pub use exit::Exit;
pub use probe::{Allocated, ProbeEvent, Record, SpanTaken};
pub use reads::{
    BucketsRead, CallWindow, CallsRead, Duty, GoroutinesRead, HeapRead, KernelCounters, Lost,
    N_KINDS,
};
pub use target::{Attached, History, Liveness, Source, Target};

use crate::go::buckets::NewBucket;
use crate::go::frame::Frame;

/// One input of the model. [`crate::model::Model::apply`] is the only function that changes the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The attach: first event of every stream, and the only one of its kind.
    Attached(Box<Attached>),
    /// A record of the ring buffer, in the order in which the kernel reserved it.
    Probe(ProbeEvent),
    /// The kernel side's counters, cumulative since the attach.
    Kernel(KernelCounters),
    /// Buckets read from the target between two drains of the ring buffer.
    Buckets(BucketsRead),
    /// Figures of the runtime and of the process; the ring was drained after they were read.
    Heap(HeapRead),
    /// Resident memory by owner: first within a second of the attach, then every few seconds, less often where a read
    /// is slow.
    Anatomy(Box<AnatomyRead>),
    /// All goroutines, read from the target.
    Goroutines(GoroutinesRead),
    /// The live samples, as the specials of the spans list them.
    Specials {
        /// Start of the walk.
        from_ns: u64,
        /// Pairs of object address and bucket address.
        samples: Vec<(u64, u64)>,
        /// True if there were more samples than [`crate::model::samples::MAX_LIVE_SAMPLES`].
        cut: bool,
    },
    /// Names of program counters that [`crate::model::Model::wanted_names`] listed.
    Named {
        /// Time of the lookup.
        at_ns: u64,
        /// Program counter and its frame.
        names: Vec<(u64, Arc<Frame>)>,
    },
    /// Births of objects tracked by mark bits, oldest first. Never empty, and never across a
    /// [`ProbeEvent::GcMarked`].
    Births(Vec<Birth>),
    /// Stacks under which births are counted, each once and before its first birth. Only from sources whose stacks come
    /// from probes; the runtime's own buckets come with [`Event::Buckets`].
    Sites {
        /// Time of the first birth.
        at_ns: u64,
        /// The stacks, as buckets of their own numbering.
        sites: Vec<NewBucket>,
    },
    /// Tracked objects that were found dead.
    Dead {
        /// Time of the read.
        at_ns: u64,
        /// Addresses as in their [`Birth`].
        objects: Vec<u64>,
    },
    /// Every tracked object was compared with the mark bits of GC cycle `number`; those not in the preceding
    /// [`Event::Dead`] were alive after it.
    MarksRead {
        /// End of the read.
        at_ns: u64,
        /// Completed GC cycles (`memstats.numgc`).
        number: u32,
    },
    /// Objects counted in each bucket since the attach, cumulative; source `exact` alone. Buckets that did not change
    /// may be missing.
    Counted {
        /// Time of the read.
        at_ns: u64,
        /// Bucket, objects.
        objects: Vec<(u64, f64)>,
        /// False while the governor samples in time: the figures are estimates then.
        exact: bool,
    },
    /// The governor changed the share of time in which the allocation probes are on.
    Duty(Duty),
    /// Calls of the counted functions.
    Calls(CallsRead),
    /// Calls of a function that may drive the growth, in one window.
    CallWindow(CallWindow),
    /// Calibrated cost of one probe hit on this machine.
    HitCost {
        /// End of the calibration.
        at_ns: u64,
        /// Nanoseconds of CPU time per hit.
        ns: f64,
        /// The same for a counted call, whose program only adds one; `None` where this was not measured now.
        #[serde(default)]
        calls_ns: Option<f64>,
    },
    /// The sampler's two probes were detached to keep the budget; bucket reads go on.
    SamplerDetached {
        /// Time of the decision.
        at_ns: u64,
    },
    /// The user set a baseline.
    MarkBaseline {
        /// Time of the baseline.
        at_ns: u64,
    },
    /// The user switched to another baseline.
    UseBaseline {
        /// Time of the switch.
        at_ns: u64,
        /// Index into [`crate::model::Model::baselines`].
        index: usize,
    },
    /// Something happened to the watch itself that the user should know: a refusal, a repair, a restriction.
    Note {
        /// Time of it.
        at_ns: u64,
        /// One sentence.
        text: String,
    },
    /// Time passed.
    Tick {
        /// The present.
        at_ns: u64,
    },
    /// The target has ended.
    Exited {
        /// Time at which the end was noticed.
        at_ns: u64,
        /// Exit status or signal.
        #[serde(default)]
        exit: Exit,
        /// Further explanation: it became another program, or heaptop waits for its successor.
        how: Option<String>,
    },
}

impl Event {
    /// Returns the first event of a stream whose mappings are unknown.
    pub fn attached(target: Target) -> Self {
        Self::Attached(Box::new(Attached {
            target,
            ..Attached::default()
        }))
    }

    /// Returns the time of the event; of a read its end, as far as that is known.
    pub fn at_ns(&self) -> u64 {
        match self {
            Self::Attached(attached) => attached.target.attached_ns,
            Self::Probe(probe) => probe.at_ns(),
            Self::Kernel(counters) => counters.at_ns,
            Self::Buckets(read) => read.to_ns,
            Self::Heap(read) => read.at_ns,
            Self::Anatomy(read) => read.at_ns,
            Self::Goroutines(read) => read.at_ns,
            Self::Births(births) => births.last().map_or(0, |birth| birth.at_ns),
            Self::Duty(duty) => duty.at_ns,
            Self::Calls(read) => read.at_ns,
            Self::CallWindow(window) => window.to_ns,
            Self::Specials { from_ns: at_ns, .. }
            | Self::Named { at_ns, .. }
            | Self::Sites { at_ns, .. }
            | Self::Dead { at_ns, .. }
            | Self::MarksRead { at_ns, .. }
            | Self::Counted { at_ns, .. }
            | Self::HitCost { at_ns, .. }
            | Self::SamplerDetached { at_ns }
            | Self::MarkBaseline { at_ns }
            | Self::UseBaseline { at_ns, .. }
            | Self::Note { at_ns, .. }
            | Self::Tick { at_ns }
            | Self::Exited { at_ns, .. } => *at_ns,
        }
    }
}

/// The birth of an object that is tracked until its death, by a source that reads mark bits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Birth {
    /// Time of the probe hit.
    pub at_ns: u64,
    /// Address of its slot; an older object at this address is dead.
    pub object: u64,
    /// Bucket it counts under, announced by [`Event::Sites`].
    pub bucket: u64,
    /// Number of objects it stands for, at least 1.
    pub weight: f64,
}
