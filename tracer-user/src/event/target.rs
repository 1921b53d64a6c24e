//! The first event of a stream: the target, and how heaptop watches it.

use serde::{Deserialize, Serialize};

use crate::go::profile::MappedFile;

/// Everything known once the attach has succeeded. Nothing in it changes later.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Attached {
    /// The target and the source of its samples.
    pub target: Target,
    /// Executable mappings, for profiles; empty where they are unknown.
    pub mappings: Vec<MappedFile>,
    /// Ends of the last GC cycles before the attach, at most 256, oldest first, Unix nanoseconds; empty if unknown.
    #[serde(default)]
    pub gc_ends_unix_ns: Vec<u64>,
}

/// The watched process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Process id in heaptop's own pid namespace; `None` for a stream that does not name its process.
    pub pid: Option<u32>,
    /// Base name of the executable.
    pub name: String,
    /// Go version as the binary states it: `go1.26.8`.
    pub go: String,
    /// Start of the process, Unix nanoseconds; 0 if unknown.
    pub started_unix_ns: i64,
    /// Time of the attach, monotonic nanoseconds.
    pub attached_ns: u64,
    /// Time of the attach, Unix nanoseconds.
    pub attached_unix_ns: i64,
    /// Path of the main module, from build information.
    pub main_module: Option<String>,
    /// Source of allocation samples.
    pub source: Source,
    /// Start of the period whose allocations are known.
    pub history: History,
    /// Restrictions found at the attach, one sentence each: `no BPF rights: reads memory alone`.
    pub notes: Vec<String>,
}

impl Target {
    /// Returns the Unix time, in nanoseconds, of a monotonic time.
    pub fn unix_ns(&self, at_ns: u64) -> i64 {
        let since = i128::from(at_ns) - i128::from(self.attached_ns);
        i64::try_from(i128::from(self.attached_unix_ns) + since).unwrap_or(i64::MAX)
    }

    /// True if the source has the records that the runtime kept since the start of the process.
    pub fn has_records(&self) -> bool {
        self.history == History::SinceStart && !self.source.is_by_marks()
    }

    /// Returns the process id as text, `?` where it is unknown.
    pub fn pid_text(&self) -> String {
        self.pid
            .map_or_else(|| "?".to_owned(), |pid| pid.to_string())
    }

    /// Returns the time since the start of the process, in nanoseconds; `None` where its start is unknown.
    pub fn uptime_ns(&self, at_ns: u64) -> Option<u64> {
        let since = self.unix_ns(at_ns).checked_sub(self.started_unix_ns)?;
        u64::try_from(since)
            .ok()
            .filter(|_| self.started_unix_ns > 0)
    }
}

/// Start of the period whose allocations are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum History {
    /// The start of the process: the runtime has kept records all along.
    #[default]
    SinceStart,
    /// The attach: no record exists of what was allocated before.
    SinceAttach,
    /// The moment when heaptop armed the sampler, stated in [`Target::notes`].
    SinceArmed,
}

/// Source of allocation samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// Probes on the runtime's own sampler, reconciled with its buckets.
    #[default]
    Sampler,
    /// Memory reads of the runtime's buckets alone.
    Buckets,
    /// Probes on spans that the allocator takes; the runtime's sampler is not used.
    Spans,
    /// Probes on every allocation.
    Exact,
}

/// Method by which a source learns of deaths. It also decides when values after a GC cycle are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// One event for each freed sample: final when sweeping has drained.
    FreeEvents,
    /// Mark bits of the target, compared with the tracked objects after each cycle: final when they were read.
    Marks,
    /// The runtime's counters alone: final when they were read after the sweep.
    Counters,
}

impl Source {
    /// Returns the name shown on the screen and in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Sampler => "sampler",
            Self::Buckets => "buckets",
            Self::Spans => "spans",
            Self::Exact => "exact",
        }
    }

    /// Returns the method by which deaths are found.
    pub fn liveness(self) -> Liveness {
        match self {
            Self::Sampler => Liveness::FreeEvents,
            Self::Buckets => Liveness::Counters,
            Self::Spans | Self::Exact => Liveness::Marks,
        }
    }

    /// True if probes run in the target: they cost CPU, and their records can be lost.
    pub fn has_probes(self) -> bool {
        self.liveness() != Liveness::Counters
    }

    /// True if objects are tracked by mark bits, each sample with its own weight.
    pub fn is_by_marks(self) -> bool {
        self.liveness() == Liveness::Marks
    }

    /// True if the Go types of objects are known.
    pub fn has_types(self) -> bool {
        self == Self::Exact
    }
}
