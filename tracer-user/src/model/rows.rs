//! What the model answers with: plain figures for the view and the exports.

use std::sync::Arc;

use super::findings::Verdict;
pub use crate::event::{Exit, History, Liveness, Source, Target};
use crate::go::frame::Frame;

/// Estimated bytes and objects, each with one standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// Estimated bytes.
    pub bytes: f64,
    /// One standard error of `bytes`.
    pub bytes_err: f64,
    /// Estimated objects.
    pub objects: f64,
    /// One standard error of `objects`.
    pub objects_err: f64,
}

/// A slope per minute over the recent GC cycles, with one standard error each.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rate {
    /// Bytes per minute.
    pub bytes_per_min: f64,
    /// One standard error.
    pub bytes_per_min_err: f64,
    /// Objects per minute.
    pub objects_per_min: f64,
    /// One standard error.
    pub objects_per_min_err: f64,
}

/// What was allocated since the attach.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Allocated {
    /// Bytes and objects; `None` until the source has counted ([`Source::Exact`] alone).
    pub total: Option<Estimate>,
    /// Mean bytes per second since the attach.
    pub bytes_per_sec: Option<f64>,
    /// Every allocation was counted: `total` is no estimate, its errors are 0.
    pub is_exact: bool,
    /// Samples that were freed since the attach.
    pub freed_samples: u64,
    /// Samples that were born since the attach.
    pub born_samples: u64,
}

/// How buckets are gathered into rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum GroupBy {
    /// The function of the call site (the default).
    #[default]
    Function,
    /// Function, file and line of the call site.
    Line,
    /// The package of the call site.
    Package,
    /// The Go type of the objects, whoever allocates them; for [`Source::Exact`].
    Type,
}

/// What rows are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Query {
    /// How buckets are gathered.
    pub by: GroupBy,
    /// Count a bucket for every frame outside the runtime on its stack, not for its call site alone.
    pub cumulative: bool,
}

/// Identity of a row within one [`Query`]: stable for the life of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowId(pub u32);

/// One row of the table: a call site, or what [`GroupBy`] makes of it.
#[derive(Clone, Debug)]
pub struct SiteRow {
    /// Identity within the query.
    pub id: RowId,
    /// Full function name, or the package for [`GroupBy::Package`], or the type for [`GroupBy::Type`]; `0x…` while
    /// it has no name.
    pub function: Arc<str>,
    /// Go type of the largest stack's objects; `None` where the source does not know, or the memory has no type.
    pub go_type: Option<Arc<str>>,
    /// File of the largest stack's site frame; empty if unknown.
    pub file: Arc<str>,
    /// Line of the largest stack's site frame; 0 if unknown.
    pub line: u32,
    /// In-use after the last final GC cycle.
    pub inuse: Estimate,
    /// Live samples behind `inuse`.
    pub samples: u64,
    /// Change of in-use since the baseline; `None` until a GC cycle was final since then.
    pub growth: Option<Estimate>,
    /// Samples behind `growth`: births and deaths since the baseline that it rests on.
    pub growth_samples: u64,
    /// Slope over the last minutes; `None` below 4 cycles or 8 samples.
    pub rate: Option<Rate>,
    /// Allocated since the attach.
    pub alloc: Allocated,
    /// Share of the samples born since the process started that live after the last final GC cycle; `None` for fewer than
    /// 10, or where the source has no records from before the attach.
    pub kept: Option<f64>,
    /// In-use bytes after the recent cycles, oldest first, evenly spaced; empty below 2 cycles.
    pub trend: Vec<f64>,
    /// One standard error of the change over `trend`: what lives through all of it does not move it.
    pub trend_err: f64,
    /// How it behaves; `None` for groupings that are not judged.
    pub verdict: Option<Verdict>,
    /// Who calls it: the innermost frame of the main module outside of the site's own package.
    pub via: Option<Arc<Frame>>,
    /// The letter of the leak that it is a site of.
    pub leak: Option<char>,
}

/// One distinct stack of a row.
#[derive(Clone, Debug)]
pub struct StackRow {
    /// Identity of the stack, stable for the life of the model.
    pub id: u32,
    /// Frames leaf first, inlined ones included; unnamed ones hold `0x…` as function.
    pub frames: Vec<Arc<Frame>>,
    /// Bytes of one object of this bucket.
    pub object_bytes: u64,
    /// In-use after the last final GC cycle.
    pub inuse: Estimate,
    /// Live samples behind it.
    pub samples: u64,
    /// Change since the baseline.
    pub growth: Option<Estimate>,
}

/// One completed GC cycle.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cycle {
    /// Number of the cycle as the runtime counts it (`numgc`).
    pub number: u32,
    /// Mark termination, monotonic nanoseconds (of the read that noticed it, without probes).
    pub at_ns: u64,
    /// Bytes marked.
    pub live_bytes: u64,
    /// Heap size at which the next cycle is due; `None` until read.
    pub goal_bytes: Option<u64>,
    /// Heap (live and garbage) when the cycle began; `None` where nobody looked in time. Without probes, and in quick
    /// cycles, it is what was last read before, at most [`super::timeline::STALE_NS`] old: the heap was no smaller.
    pub start_bytes: Option<u64>,
    /// How long the world was stopped for it, both pauses together, as the runtime counts; `None` until read.
    pub pause_ns: Option<u64>,
    /// From the start of marking to mark termination; `None` without probes.
    pub mark_ns: Option<u64>,
    /// From the mark termination before to this one; `None` for the first, and where cycles between were missed.
    pub interval_ns: Option<u64>,
    /// Whether the program asked for it (`runtime.GC`, `debug.FreeOSMemory`); `None` where cycles that came between two
    /// looks differ, or until read.
    pub forced: Option<bool>,
    /// Bytes allocated per second since the cycle before, by the runtime's own counter; `None` for the first.
    pub alloc_bytes_per_sec: Option<f64>,
}

/// A GC cycle before the attach, its live heap estimated from the time between the cycles then and now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EstimatedCycle {
    /// Nanoseconds from the cycle to the attach.
    pub before_attach_ns: u64,
    /// Bytes marked, estimated: within about 10 % where the program allocated at the rate of now, 30 % where it had to wait for CPU.
    pub live_bytes: u64,
}

/// How the target's GC is set now. Unknown is the `None` around it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GcSettings {
    /// GOGC, percent; `None` is off.
    pub gogc: Option<u32>,
    /// GOMEMLIMIT, bytes; `None` is off.
    pub memory_limit_bytes: Option<u64>,
}

/// The process as a whole, now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HeapNow {
    /// Live heap after the last cycle, as the runtime marked it; `None` before the first cycle.
    pub live_bytes: Option<u64>,
    /// Heap size at which the next cycle is due.
    pub goal_bytes: Option<u64>,
    /// Completed cycles since the process started.
    pub gc_cycles: Option<u32>,
    /// Resident set size.
    pub rss_bytes: Option<u64>,
}

/// What is missing or had to be mended; each only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Records that never arrived: ring full in the kernel, or not decodable.
    pub lost: u64,
    /// Births and frees that the reconcile put back.
    pub repaired: u64,
    /// Buckets whose stack is cut short.
    pub truncated_stacks: u64,
    /// Program counters that were looked up and have no name.
    pub unnamed_pcs: u64,
    /// Live samples, buckets or rows beyond our bounds.
    pub evicted: u64,
    /// Samples given up to others that stand for them since: sums stay right, errors grow.
    pub thinned: u64,
}

/// What the probes cost the target.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Overhead {
    /// Probe hits per second over the last seconds; `None` at the first look.
    pub hits_per_sec: Option<f64>,
    /// Share of one CPU: hits × calibrated cost; `None` until calibrated.
    pub cpu_fraction: Option<f64>,
    /// Probe hits since the attach; `None` at the first look.
    pub hits: Option<u64>,
}

/// A moment to compare with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Baseline {
    /// When it was marked.
    pub at_ns: u64,
    /// Whether it is the attach itself.
    pub is_attach: bool,
    /// Live heap then; `None` if no cycle was known.
    pub live_bytes: Option<u64>,
    /// GC cycles completed then.
    pub gc_cycles: Option<u32>,
}

/// Something that happened to the watch itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Time of it, monotonic nanoseconds.
    pub at_ns: u64,
    /// One sentence.
    pub text: String,
}

/// How the target stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Status {
    /// It runs.
    #[default]
    Live,
    /// It has ended.
    Exited {
        /// When that was noticed, monotonic nanoseconds.
        at_ns: u64,
        /// Exit status or signal.
        exit: Exit,
        /// Further explanation.
        how: Option<String>,
    },
}
