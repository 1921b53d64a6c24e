//! Findings of the diagnosis as plain figures: verdicts with their evidence, leaks, suspects, and the time to the limit.
//!
//! The view makes sentences of them. All growth is after GC; intervals hold the truth in 90 of 100 cases; unknown is
//! `None`.

use std::sync::Arc;

pub use super::anatomy::LimitKind;
use super::goroutines::GoroutineGroup;
use super::rows::RowId;
use crate::go::calls_out::CallsOut;
use crate::go::frame::Frame;
use crate::verdict::Estimate;
pub use crate::verdict::Word;
pub use crate::verdict::growth::{Awaits, Delay, Forecast};

/// A figure with its 90 % interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Interval {
    /// Best estimate.
    pub value: f64,
    /// Exceeded in 95 of 100 cases.
    pub low: f64,
    /// Exceeded in 5 of 100 cases; infinite for a time that may never come.
    pub high: f64,
}

impl Interval {
    /// Returns the interval if all of it is above zero: growth is stated only with such a rate.
    pub fn above_zero(self) -> Option<Self> {
        (self.low > 0.0).then_some(self)
    }

    /// The sum of two figures that are independent: errors add by their squares.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let value = self.value + other.value;
        Self {
            value,
            low: value - (self.value - self.low).hypot(other.value - other.low),
            high: value + (self.high - self.value).hypot(other.high - other.value),
        }
    }

    /// The figure times a factor without error, which is not negative.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self {
            value: factor * self.value,
            low: factor * self.low,
            high: factor * self.high,
        }
    }
}

impl From<Estimate> for Interval {
    fn from(estimate: Estimate) -> Self {
        let Estimate { value, low, high } = estimate;
        Self { value, low, high }
    }
}

/// Quantity that growth is proportional to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrowsWith {
    /// Time: the same amount per minute at any load.
    Time,
    /// Load: the same amount for each request, or each byte allocated.
    Load,
}

/// Evidence that is still missing for a verdict on a call site.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Missing {
    /// Samples that outlived two cycles, of about 25.
    pub samples: u64,
    /// GC cycles.
    pub cycles: u32,
    /// Seconds until a verdict at the present pace; `None` while there is no pace.
    pub answer_in_s: Option<f64>,
}

/// Growth for each call of a counted function.
#[derive(Clone, Debug, PartialEq)]
pub struct PerCall {
    /// The function.
    pub function: Arc<str>,
    /// Objects per call.
    pub objects: Interval,
    /// Bytes per call.
    pub bytes: Interval,
}

/// Candidates for the driver of growth that are counted at a time: each gets a window of 2 s in turn.
pub const MAX_CANDIDATES: usize = 6;

/// Function with whose calls a leak grows, rarer than requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Driver {
    /// The function.
    pub function: Arc<str>,
    /// Bytes per call; of goroutines those of their stacks, `None` if unknown.
    pub bytes: Option<Interval>,
    /// New goroutines per call: about one of each group, usually near a whole number. `None` for a leak of the heap.
    pub goroutines: Option<Interval>,
    /// Calls that were counted.
    pub calls: u64,
}

/// Numbers behind a verdict.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Growth in bytes per minute; `None` unless growing by the clock, or if the interval includes zero.
    pub bytes_per_min: Option<Interval>,
    /// Growth in objects per minute; `None` likewise.
    pub objects_per_min: Option<Interval>,
    /// Samples born within the window that outlived two GC cycles.
    pub born: u64,
    /// Such samples that died within the window.
    pub died: u64,
    /// GC cycles within the window.
    pub cycles: u32,
    /// Length of the window in minutes.
    pub minutes: f64,
    /// Quantity that the growth is proportional to, if it can be told.
    pub grows_with: Option<GrowsWith>,
    /// Upper bound of growth of what is steady, bytes per minute.
    pub steady_below_bytes_per_min: Option<f64>,
    /// Missing evidence, while collecting.
    pub missing: Option<Missing>,
    /// Growth per call, where calls are counted.
    pub per_call: Option<PerCall>,
    /// Bytes from before the attach that no sample accounts for: so many may have been freed meanwhile, so that the growth
    /// seen may have only replaced them.
    pub unseen_bytes: Option<f64>,
    /// Samples born in this watch that live, and all that were born and judged: "41 of 41 live".
    pub survivors: Option<(u64, u64)>,
    /// GC cycles that the oldest sample of this watch has outlived.
    pub oldest_cycles: Option<u32>,
}

/// A verdict with its numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// The word.
    pub word: Word,
    /// The numbers.
    pub evidence: Evidence,
}

/// Kind of memory, or goroutines, that grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Objects of the Go heap.
    Heap,
    /// Goroutines.
    Goroutines,
    /// Stacks of goroutines whose number does not grow.
    Stacks,
    /// Memory that C code allocates.
    Cgo,
    /// Anonymous mappings that are not the C heap's.
    Mmap,
    /// Free slots in spans that other objects keep: fragmentation.
    SpanWaste,
    /// Spans that the runtime keeps after a peak, or because of GOGC.
    IdleSpans,
    /// Garbage between two cycles, which GOGC allows.
    Garbage,
    /// Metadata of the runtime.
    Metadata,
    /// Files in memory, which the kernel reclaims before it kills.
    PageCache,
}

impl Kind {
    /// Returns the name in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Heap => "heap",
            Self::Goroutines => "goroutines",
            Self::Stacks => "stacks",
            Self::Cgo => "cgo",
            Self::Mmap => "mmap",
            Self::SpanWaste => "fragmentation",
            Self::IdleSpans => "idle_spans",
            Self::Garbage => "garbage",
            Self::Metadata => "metadata",
            Self::PageCache => "page_cache",
        }
    }
}

/// A call site with growth.
#[derive(Clone, Debug, PartialEq)]
pub struct LeakSite {
    /// Its row among the call sites by function; `None` for goroutines.
    pub row: Option<RowId>,
    /// Frame of the site in its largest stack. For goroutines the function that creates them.
    pub frame: Arc<Frame>,
    /// Its own numbers.
    pub evidence: Evidence,
    /// Its share of the growth of the heap in bytes, 0 to 1; `None` while it cannot be told from 0.
    pub share: Option<Interval>,
}

/// Shares of their allocations that a function and its caller keep, 0 to 1: where they differ, the function retains.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// The function: that which the leak is under, or one that leads to it.
    pub callee: Arc<Frame>,
    /// Of what it allocates.
    pub share: f64,
    /// The frame that calls it.
    pub caller: Arc<Frame>,
    /// Of what that caller allocates.
    pub caller_share: f64,
}

/// What the program's own profile recorded of a site since the process started.
#[derive(Clone, Debug, PartialEq)]
pub struct SinceStart {
    /// Seconds since the start, at the last GC before the attach.
    pub seconds: f64,
    /// Samples born since then.
    pub born: u64,
    /// Of them freed.
    pub freed: u64,
    /// Mean growth since the start, bytes per minute.
    pub bytes_per_min: Option<Interval>,
    /// Samples born in this watch and since the last GC but one before it.
    pub born_now: u64,
    /// Samples due in that time by the mean since the start.
    pub due_now: f64,
    /// Verdict from history alone.
    pub says: HistorySays,
}

/// Verdict of the history of a site.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HistorySays {
    /// It kept nearly all it ever allocated, and goes on at its mean pace.
    Growing,
    /// It kept nearly all, and now grows at less than a quarter of its mean pace.
    Filled,
    /// It kept nearly all; births so far decide nothing.
    Undecided {
        /// Seconds until they will, about.
        answer_in_s: Option<f64>,
    },
    /// It kept nearly all, and now grows at more than twice its mean pace: it began lately.
    Burst {
        /// Upper bound of the age of that growth, seconds.
        began_at_most_s: Option<f64>,
    },
    /// It frees what it allocates, or its history says nothing.
    Nothing,
}

impl HistorySays {
    /// Returns the name in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Growing => "growing",
            Self::Filled => "filled",
            Self::Undecided { .. } => "undecided",
            Self::Burst { .. } => "burst",
            Self::Nothing => "nothing",
        }
    }
}

/// A fact beside the growth that explains it or points to its cause.
#[derive(Clone, Debug, PartialEq)]
pub enum Observation {
    /// The goroutine that runs finalizers is blocked in one of them: no object with a finalizer is freed meanwhile.
    FinalizersBlocked {
        /// The finalizer: innermost frame outside the runtime.
        function: Arc<str>,
        /// What it waits for, in the runtime's words.
        wait_reason: Arc<str>,
        /// Time for which it has been blocked, nanoseconds; `None` if unknown.
        waiting_ns: Option<u64>,
    },
    /// No GC has run, so that finalizers wait for one as well.
    NoGc {
        /// True if none has run since the process started; false for this watch.
        since_start: bool,
    },
    /// The GC runs less often than it did before the attach.
    GcPace {
        /// Median seconds between two cycles then.
        then_s: f64,
        /// Seconds from then to the last cycle.
        ago_s: f64,
        /// Median seconds between the last cycles.
        now_s: f64,
    },
    /// Memory outside Go grows, or rose lately; with the functions of the program that can take it.
    OutsideGo {
        /// Kind of that memory: C code or mappings.
        kind: Kind,
        /// Functions that call into C, and those that map memory.
        calls_out: CallsOut,
    },
    /// The number of threads grows. The runtime allocates memory of its own for each.
    Threads {
        /// Threads now.
        count: u64,
        /// Threads per minute.
        per_min: f64,
    },
    /// The resident set had a peak that has passed.
    PeakPassed {
        /// Time of the peak, monotonic nanoseconds.
        at_ns: u64,
        /// Resident set then, bytes.
        rss_bytes: u64,
        /// Goroutines more than at the baseline then; `None` if unknown.
        goroutines: Option<i64>,
        /// Call sites that grew most up to the peak, with bytes.
        sites: Vec<(Arc<Frame>, f64)>,
    },
}

/// One leak: growth of one kind with one cause.
#[derive(Clone, Debug, PartialEq)]
pub struct Leak {
    /// `A` for the largest; a leak keeps its letter.
    pub letter: char,
    /// Kind of what grows.
    pub kind: Kind,
    /// `growing` or `probably growing`.
    pub word: Word,
    /// Deepest frame that all of it passes through; of a single site the site itself. `None` while no frame stands out:
    /// `sites` are the likeliest then, in order.
    pub under: Option<Arc<Frame>>,
    /// Evidence that `under` retains what it allocates, where that was found.
    pub kept: Option<Kept>,
    /// Innermost frame of the program's own code that leads to it.
    pub via: Option<Arc<Frame>>,
    /// Its call sites, largest growth first; of goroutines the functions that start them, the one that names the leak first.
    pub sites: Vec<LeakSite>,
    /// Call sites that grow beside it and are likely part of it: with no frame of the program's own code on their stacks, or
    /// less and with the same caller.
    pub held: Vec<LeakSite>,
    /// Numbers of the leak as a whole.
    pub evidence: Evidence,
    /// What the profile recorded since the process started, where the source has history.
    pub since_start: Option<SinceStart>,
    /// Share of the growth of the heap in bytes, 0 to 1.
    pub share_bytes: Option<Interval>,
    /// Share in objects.
    pub share_objects: Option<f64>,
    /// Letters of the entries of other kinds that are one leak with it, as goroutines and the objects that they hold are: its
    /// own letter.
    pub in_step: Vec<char>,
    /// Function that drives it, if one is known.
    pub driver: Option<Driver>,
}

impl Leak {
    /// Returns the frame to show for the leak: the one that it is under, else its likeliest site.
    pub fn frame(&self) -> Option<&Arc<Frame>> {
        let likeliest = || self.sites.first().map(|site| &site.frame);
        self.under.as_ref().or_else(likeliest)
    }

    /// True for the leak of goroutines that this group belongs to: started at one of its places, and rising.
    pub fn is_of(&self, group: &GoroutineGroup) -> bool {
        let maker = group.created_by.as_ref().unwrap_or(&group.start);
        let is_maker = |site: &LeakSite| {
            (&maker.function, maker.line) == (&site.frame.function, site.frame.line)
        };
        let is_growing = (group.verdict.as_ref()).is_some_and(|of| of.word == Word::Growing);
        self.kind == Kind::Goroutines
            && (is_growing || group.growth.is_some_and(|growth| growth > 0))
            && self.sites.iter().any(is_maker)
    }

    /// Returns its call sites and those that grow beside it.
    pub fn all_sites(&self) -> impl Iterator<Item = &LeakSite> {
        self.sites.iter().chain(&self.held)
    }

    /// Returns the name of that frame's function; empty where there is none.
    pub fn function(&self) -> &str {
        self.frame().map_or("", |frame| &frame.function)
    }
}

/// A call site that may hold growth, before it is certain.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspect {
    /// Its row among the call sites by function.
    pub row: RowId,
    /// Frame of the site in its largest stack.
    pub frame: Arc<Frame>,
    /// Innermost frame of the program's own code that leads to it.
    pub via: Option<Arc<Frame>>,
    /// Net growth in this watch, bytes.
    pub bytes: f64,
    /// Share of the growth of the heap, 0 to 1; `None` while it cannot be told from 0.
    pub share: Option<Interval>,
    /// Net samples behind `bytes`.
    pub samples: u64,
    /// Samples born since the records began.
    pub born: u64,
    /// Samples freed since then.
    pub freed: u64,
    /// What the profile recorded since the process started, where the source has history.
    pub since_start: Option<SinceStart>,
}

/// A part of the growth of the resident set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GrowthPart {
    /// Kind of memory.
    pub kind: Kind,
    /// Bytes since the baseline.
    pub bytes: f64,
    /// Share of the growth, 0 to 1.
    pub share: f64,
}

/// A kind that grows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GrowingKind {
    /// The kind.
    pub kind: Kind,
    /// `growing` or `probably growing`.
    pub word: Word,
    /// Rate per minute: bytes, or the number of goroutines.
    pub per_min: Option<Interval>,
    /// Growth of the resident set that it causes, bytes per minute.
    pub rss_per_min: Option<Interval>,
}

/// Reason why a verdict is weaker than the rate alone would make it, or was withdrawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Remark {
    /// The watch is too short.
    TooEarly {
        /// Seconds until it is long enough.
        in_s: f64,
    },
    /// Too few GC cycles for a rate.
    TooFewCycles {
        /// Cycles that are missing.
        missing: u32,
    },
    /// The load rose as well, and explains the growth.
    FollowsLoad {
        /// Ratio of the load at the end of the window to that at its start.
        load: f64,
    },
    /// The heap has fallen twice from about its present size.
    SawTooth {
        /// Live heap above which that no longer counts, bytes.
        level_bytes: f64,
    },
    /// Growth was reported and has stopped.
    Stopped {
        /// Time of the withdrawal, monotonic nanoseconds.
        at_ns: u64,
    },
}

/// Part of the resident set that makes its measured rate differ from the one that follows from what grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RssCause {
    /// Garbage and idle spans, up to the goal of the GC.
    Heap,
    /// Goroutine stacks.
    Stacks,
    /// Memory outside Go.
    Outside,
    /// Free slots in spans: fragmentation.
    SpanWaste,
    /// Pages of files.
    Files,
}

impl RssCause {
    /// Returns the name in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Heap => "heap",
            Self::Stacks => "stacks",
            Self::Outside => "outside_go",
            Self::SpanWaste => "fragmentation",
            Self::Files => "files",
        }
    }
}

/// Result of comparing the measured rate of the resident set with the one that follows from what grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RssOutcome {
    /// Their intervals overlap.
    Agrees,
    /// The measured one is lower, because the heap fills memory that was resident before. That ends, so that the other one
    /// counts.
    Lags,
    /// The measured one is lower and may be zero or less, although something grows. That ends, so that the other one counts;
    /// with the cause of most of the difference, if it is known.
    Falls(Option<RssCause>),
    /// They differ, so that the measured one counts; with the cause of most of the difference, if it is known.
    Differs(Option<RssCause>),
}

impl RssOutcome {
    /// Returns the name in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Lags => "lags",
            Self::Falls(_) => "falls",
            Self::Differs(_) => "differs",
        }
    }

    /// Returns the cause of most of a difference, if it is known.
    pub fn cause(self) -> Option<RssCause> {
        match self {
            Self::Agrees => None,
            Self::Lags => Some(RssCause::Heap),
            Self::Falls(cause) | Self::Differs(cause) => cause,
        }
    }
}

/// Measured rate of the resident set beside the one that follows from what grows, bytes per minute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RssComparison {
    /// Rate that follows; `None` where the factor from live heap to resident set is unknown.
    pub predicted: Option<Interval>,
    /// Slope of the peaks between GC cycles.
    pub measured: Interval,
    /// Result.
    pub outcome: RssOutcome,
}

impl RssComparison {
    /// Returns the rate that counts.
    pub fn per_min(&self) -> Interval {
        match (self.outcome, self.predicted) {
            (RssOutcome::Agrees | RssOutcome::Lags | RssOutcome::Falls(_), Some(predicted)) => {
                predicted
            }
            _ => self.measured,
        }
    }

    /// Returns the rate for a time to a limit: where the two differ its interval holds both.
    pub fn pace(&self) -> Interval {
        let per_min = self.per_min();
        match (self.outcome, self.predicted) {
            (RssOutcome::Agrees, _) | (_, None) => per_min,
            (_, Some(predicted)) => Interval {
                value: per_min.value,
                low: predicted.low.min(self.measured.low),
                high: predicted.high.max(self.measured.high),
            },
        }
    }
}

/// The verdict on the process as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProcessVerdict {
    /// The word.
    pub word: Word,
    /// Kind that grows most, or that the resident set grew by beside a steady heap.
    pub kind: Option<Kind>,
    /// Every kind that grows, largest growth of the resident set first.
    pub kinds: Vec<GrowingKind>,
    /// Rate of the live heap after GC, bytes per minute, growing or not; `None` while it is unknown, or if it grows and the
    /// interval includes zero.
    pub live_bytes_per_min: Option<Interval>,
    /// Probability of at least this rate in a heap that does not grow, 0 to 1.
    pub by_chance: Option<f64>,
    /// Reason for a weaker word.
    pub remark: Option<Remark>,
    /// Growth of the resident set, bytes per minute: what follows from what grows, or what is measured; see
    /// `rss_comparison`.
    pub rss_bytes_per_min: Option<Interval>,
    /// Measured growth of the resident set beside that which follows; `None` while it cannot be measured, or nothing grows.
    pub rss_comparison: Option<RssComparison>,
    /// Factor from live heap to resident set: 1 + GOGC/100, or 1 where GOMEMLIMIT holds it.
    pub rss_factor: Option<f64>,
    /// Parts of the growth of the resident set since the baseline, largest first; empty if it did not grow.
    pub parts: Vec<GrowthPart>,
    /// Word on the live heap alone.
    pub heap: Word,
    /// Kind that rose within the last minutes beside a steady heap; it is unknown whether that goes on.
    pub rising: Option<Kind>,
    /// Missing evidence, while collecting.
    pub missing: Option<Missing>,
    /// Upper bound of growth of the live heap, bytes per minute.
    pub steady_below_bytes_per_min: Option<f64>,
    /// Time of the answer on the live heap, as the last evaluation estimates it; `None` before the first one.
    pub forecast: Option<Forecast>,
}

/// Part of a limit that counts as little: a burst of a second may use it up.
const CLOSE_PART: u64 = 10;

/// The limit that is reached first, and the time until then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// Kind of limit.
    pub kind: LimitKind,
    /// Bytes.
    pub bytes: u64,
    /// Bytes left.
    pub room_bytes: u64,
    /// True if something grows that counts against it.
    pub grows: bool,
    /// Seconds until it is reached at the present load; `None` if nothing grows that counts against it, or its rate is not
    /// known.
    pub in_s: Option<Interval>,
}

impl Limit {
    /// True if little of it is left, however slowly that is used up.
    pub fn is_close(&self) -> bool {
        self.room_bytes <= self.bytes / CLOSE_PART
    }
}

/// Everything that the last evaluation found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// The process as a whole.
    pub process: ProcessVerdict,
    /// Leaks, the largest first.
    pub leaks: Vec<Leak>,
    /// Call sites that may hold growth, likeliest first; those of leaks included.
    pub suspects: Vec<Suspect>,
    /// Facts that explain the growth or point to its cause.
    pub observations: Vec<Observation>,
    /// The nearest limit; `None` where none is known.
    pub limit: Option<Limit>,
    /// Leaks beyond the letters of the alphabet.
    pub omitted: u64,
    /// Stacks beyond our bound: judged by their call site alone, or not at all.
    pub unjudged_stacks: u64,
    /// Samples beyond our bound, whose birth and death were not judged.
    pub dropped_samples: u64,
}
