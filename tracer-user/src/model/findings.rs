//! What the diagnosis comes to, as plain figures: verdicts with their evidence, leaks, and the time that is left.
//!
//! Sentences are made of these by the view. All growth is judged after GC, intervals hold the truth in 90 of 100 cases,
//! and what is not known is `None`.

use std::sync::Arc;

pub use super::anatomy::LimitKind;
use super::rows::RowId;
use crate::go::frame::Frame;
pub use crate::verdict::Word;

/// A figure with the interval that holds the truth in 90 of 100 cases.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Interval {
    /// The best guess.
    pub value: f64,
    /// 5 of 100 lie below.
    pub low: f64,
    /// 5 of 100 lie above; may be infinite for a time that may never come.
    pub high: f64,
}

/// What growth follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrowsWith {
    /// The clock: so much a minute, whatever the load.
    Time,
    /// The load: so much for each request, or each byte allocated.
    Load,
}

/// What is still needed for a verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Missing {
    /// Samples that outlived two cycles, of about 25.
    pub samples: u64,
    /// GC cycles.
    pub cycles: u32,
    /// Seconds until an answer at the present pace; `None` where there is no pace yet.
    pub answer_in_s: Option<f64>,
}

/// Growth for each call of a function that is counted.
#[derive(Clone, Debug, PartialEq)]
pub struct PerCall {
    /// The function, as counted.
    pub function: Arc<str>,
    /// Objects for each call.
    pub objects: Interval,
    /// Bytes for each call.
    pub bytes: Interval,
}

/// The numbers that a verdict rests on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Growth in bytes a minute; `None` unless growing by the wall clock.
    pub bytes_per_min: Option<Interval>,
    /// Growth in objects a minute; `None` unless growing by the wall clock.
    pub objects_per_min: Option<Interval>,
    /// Samples that were born within the window and outlived two GC cycles.
    pub born: u64,
    /// Samples like these that died within the window.
    pub died: u64,
    /// GC cycles within the window.
    pub cycles: u32,
    /// Length of the window, minutes.
    pub minutes: f64,
    /// What growth follows, where that can be told.
    pub grows_with: Option<GrowsWith>,
    /// Upper bound of growth of what is steady, bytes a minute.
    pub steady_below_bytes_per_min: Option<f64>,
    /// What is missing, while collecting.
    pub missing: Option<Missing>,
    /// Growth for each call, where calls are counted.
    pub per_call: Option<PerCall>,
    /// It seems to grow, but up to so many bytes from before the attach, which no sample tells of, may have gone away
    /// meanwhile: it may only have taken their place.
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

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Objects of the Go heap.
    Heap,
    /// Goroutines that never end.
    Goroutines,
    /// Stacks of goroutines whose number does not grow.
    Stacks,
    /// Memory that C code allocates.
    Cgo,
    /// Anonymous mappings that are not the C heap's.
    Mmap,
    /// Free slots in spans that other objects keep: fragmentation.
    SpanWaste,
    /// Spans that the runtime keeps for later: its answer to a peak, or to GOGC.
    IdleSpans,
    /// Garbage between two cycles: GOGC lets the heap grow.
    Garbage,
    /// Metadata of the runtime.
    Metadata,
    /// Files in memory, which the kernel takes back before it kills.
    PageCache,
}

impl Kind {
    /// The word in JSON.
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

/// One site of a leak.
#[derive(Clone, Debug, PartialEq)]
pub struct LeakSite {
    /// Its row among the call sites by function; `None` for goroutines.
    pub row: Option<RowId>,
    /// The frame of the site: of its largest stack. For goroutines the function that creates them.
    pub frame: Arc<Frame>,
    /// Its own numbers.
    pub evidence: Evidence,
}

/// One leak: sites that grow under one caller.
#[derive(Clone, Debug, PartialEq)]
pub struct Leak {
    /// `A` for the largest.
    pub letter: char,
    /// What grows.
    pub kind: Kind,
    /// The deepest frame that all of it passes through; of a single site the site itself.
    pub under: Arc<Frame>,
    /// The innermost frame of the main module outside of the package of the largest site.
    pub via: Option<Arc<Frame>>,
    /// Its sites, largest growth first.
    pub sites: Vec<LeakSite>,
    /// The test on the sum of all sites.
    pub evidence: Evidence,
    /// Share of the growth of all that grows, in bytes, 0 to 1.
    pub share_bytes: Option<f64>,
    /// Share in objects.
    pub share_objects: Option<f64>,
    /// Letters of leaks of another kind that grow in step: goroutines and the objects that they hold.
    pub in_step: Vec<char>,
}

/// A part of the growth of the resident set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GrowthPart {
    /// What grew.
    pub kind: Kind,
    /// Bytes since the baseline.
    pub bytes: f64,
    /// Share of the growth, 0 to 1.
    pub share: f64,
}

/// The verdict on the process as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProcessVerdict {
    /// The word.
    pub word: Word,
    /// What grows, where something does.
    pub kind: Option<Kind>,
    /// Growth of the live heap after GC, bytes a minute: the sum of what grows.
    pub live_bytes_per_min: Option<Interval>,
    /// Growth of the resident set that follows from it, or that was seen, bytes a minute.
    pub rss_bytes_per_min: Option<Interval>,
    /// Factor from live heap to resident set: 1 + GOGC/100, or 1 where GOMEMLIMIT holds it.
    pub rss_factor: Option<f64>,
    /// What the resident set grew by since the baseline, largest first; empty if it did not.
    pub parts: Vec<GrowthPart>,
    /// What rose within the last minutes beside a level heap: it is not known whether that goes on.
    pub rising: Option<Kind>,
    /// What is missing, while collecting.
    pub missing: Option<Missing>,
    /// Upper bound of growth, bytes a minute; always known while steady.
    pub steady_below_bytes_per_min: Option<f64>,
    /// It seems to grow, but so many bytes from before the attach, which no sample tells of, went away meanwhile.
    pub unseen_bytes: Option<f64>,
}

/// One part in so many of a limit is little to be left: a burst of a second may use it up.
const CLOSE_PART: u64 = 10;

/// The bound that is reached first, and when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// Which.
    pub kind: LimitKind,
    /// Bytes.
    pub bytes: u64,
    /// Bytes that may still come before it is met.
    pub room_bytes: u64,
    /// Something grows that is counted against it.
    pub grows: bool,
    /// Seconds until it is reached at the present load; `None` if nothing grows that is counted against it, and where
    /// something does ([`Self::grows`]) whose pace is not known.
    pub in_s: Option<Interval>,
}

impl Limit {
    /// Whether little is left of it, however slowly that is used up.
    pub fn is_close(&self) -> bool {
        self.room_bytes <= self.bytes / CLOSE_PART
    }
}

/// Everything the diagnosis says now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// The process as a whole.
    pub process: ProcessVerdict,
    /// Leaks, the largest first.
    pub leaks: Vec<Leak>,
    /// The nearest limit; `None` where none is known.
    pub limit: Option<Limit>,
    /// Leaks beyond the letters of the alphabet.
    pub omitted: u64,
    /// Stacks that are judged by none or by their call site alone, beyond our bound.
    pub unjudged_stacks: u64,
    /// Samples that found no room, so that neither their birth nor their death was judged.
    pub dropped_samples: u64,
}
