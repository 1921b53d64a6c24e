//! Reads of the target's memory and of the kernel side's counters.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use crate::go::buckets::{BucketCounts, NewBucket};
use crate::go::goroutines::AllGoroutines;
use crate::go::memstats::HeapFigures;

/// Kinds of records, each with a probe of its own.
pub const N_KINDS: usize = tracer_ebpf::wire::N_KINDS;

/// Counters of the kernel side, summed over the CPUs; each only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelCounters {
    /// Time of the read.
    pub at_ns: u64,
    /// Traps by probe, including those whose record was filtered out.
    pub hits: [u64; N_KINDS],
    /// Records that found the ring full, by kind.
    pub lost: [u64; N_KINDS],
    /// Records that userspace could not decode.
    pub undecodable: u64,
}

impl KernelCounters {
    /// Returns the lost records of the kinds that move a bucket. An undecodable record may have been either.
    pub fn lost_samples(&self) -> Lost {
        Lost {
            born: self.lost[tracer_ebpf::wire::KIND_BORN as usize] + self.undecodable,
            freed: self.lost[tracer_ebpf::wire::KIND_FREED as usize] + self.undecodable,
        }
    }
}

/// Records lost in the kernel, of the two kinds that move a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// Births.
    pub born: u64,
    /// Frees.
    pub freed: u64,
}

/// One read of buckets. It holds a bucket's counters only if two reads of them agreed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BucketsRead {
    /// Time before the first byte was read; the ring was drained just before.
    pub from_ns: u64,
    /// Time after the last byte was read; the ring was drained after it, and those events come first.
    pub to_ns: u64,
    /// `mProfCycle >> 1` during the whole read: completed GC cycles. `None` if it moved meanwhile.
    pub cycle: Option<u32>,
    /// True if sweeping of `cycle` had drained before the read.
    pub swept: bool,
    /// Buckets seen for the first time, oldest first.
    pub new: Vec<NewBucket>,
    /// Counters by bucket address.
    pub counts: Vec<(u64, BucketCounts)>,
    /// True if `counts` holds every bucket of the target.
    pub complete: bool,
    /// Records lost in the kernel, counted before `from_ns`.
    pub lost_before: Lost,
    /// Buckets of the target beyond our bound, a lower limit.
    pub omitted: u64,
    /// Buckets whose stack was cut by our bound, in all reads.
    pub truncated_stacks: u64,
}

/// Figures of the whole process, read together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeapRead {
    /// Time of the read.
    pub at_ns: u64,
    /// From the runtime's variables; `None` where they could not be read.
    pub runtime: Option<HeapFigures>,
    /// Resident set size; `None` where unknown.
    pub rss_bytes: Option<u64>,
}

/// One read of all goroutines. Its stacks are expanded for inlined calls: one pc for each logical frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GoroutinesRead {
    /// Start of the read.
    pub at_ns: u64,
    /// Duration of the read.
    pub took_ns: u64,
    /// Time of the next read.
    pub next_ns: u64,
    /// The goroutines, or the reason why they are unknown, worded as the end of a sentence.
    pub found: Result<AllGoroutines, Arc<str>>,
}

/// Calls of functions of the target, such as the one that serves a request; each figure only grows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CallsRead {
    /// Time of the read.
    pub at_ns: u64,
    /// The functions, each with its calls while calls were counted: one function, or the candidates of which the model
    /// takes the most called. Always the same ones, in the same order.
    pub functions: Vec<(Arc<str>, u64)>,
    /// Nanoseconds in which calls were counted.
    pub counted_ns: u64,
    /// Nanoseconds since counting began.
    pub all_ns: u64,
    /// True if calls are counted at present.
    pub is_on: bool,
    /// True if the calls are too many to count each: they are counted in short windows.
    pub is_windowed: bool,
}

/// One window in which calls of a candidate for the driver of a growth were counted, see
/// [`crate::model::Model::candidates`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallWindow {
    /// The function.
    pub function: Arc<str>,
    /// Start of the window.
    pub from_ns: u64,
    /// End of the window, or the time at which it was found that there cannot be one.
    pub to_ns: u64,
    /// Calls in it; `None` if no probe can be placed on the function, or `--per off` counts none.
    pub calls: Option<u64>,
}

impl CallWindow {
    /// Report that no calls of `function` can be counted.
    pub fn uncounted(function: Arc<str>, at_ns: u64) -> Self {
        Self {
            function,
            from_ns: at_ns,
            to_ns: at_ns,
            calls: None,
        }
    }
}

/// The governor's present decision.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Duty {
    /// Time of the decision.
    pub at_ns: u64,
    /// Share of time in which the allocation probes are on, 0 to 1.
    pub on_fraction: f64,
    /// Share of one CPU that they would cost if they were always on.
    pub wanted_cpu_fraction: f64,
    /// Share of one CPU that is allowed; infinite, in JSON null, without a limit.
    #[serde(deserialize_with = "null_is_infinite")]
    pub max_cpu_fraction: f64,
}

fn null_is_infinite<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::INFINITY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duty_without_a_limit_comes_back_from_a_trace() {
        let duty = Duty {
            at_ns: 7,
            on_fraction: 1.0,
            wanted_cpu_fraction: 0.5,
            max_cpu_fraction: f64::INFINITY,
        };
        let line = serde_json::to_string(&duty).expect("JSON");
        assert_eq!(serde_json::from_str::<Duty>(&line).expect("a duty"), duty);
    }
}
