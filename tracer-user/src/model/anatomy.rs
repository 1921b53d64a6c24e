//! What the resident set is made of: now, at its peak, at the baselines and over time.
//!
//! Every resident byte is in one part, and the parts sum up to what was found by the page tables; what the kernel's own
//! figure is off from that stands beside them ([`Moment::unexplained_bytes`]).

use crate::event::CgroupRead;
use crate::go::accounts::Accounts;
use crate::go::calls_out::CallsOut;

/// Number of parts.
pub const N_PARTS: usize = 9;

/// A part of the resident set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// Objects that the last GC cycle marked.
    Live,
    /// Objects that died since, were not swept yet, or were allocated since that cycle.
    Garbage,
    /// Free slots and tails of spans that hold objects: fragmentation.
    Waste,
    /// Free pages of the heap that were not given back to the kernel.
    Idle,
    /// Stacks of goroutines, free ones that are kept included.
    Stacks,
    /// The runtime's own: spans, bitmaps, tables, profiles, work buffers of the GC.
    Metadata,
    /// Global variables of the executable.
    Globals,
    /// Anonymous memory that is not Go's: C's `malloc`, `mmap`, stacks of threads.
    Anon,
    /// Pages of files and shared memory: the program's text, libraries, files that are mapped, tmpfs.
    File,
}

impl Part {
    /// All of them, in the order of the bar.
    pub const ALL: [Self; N_PARTS] = [
        Self::Live,
        Self::Garbage,
        Self::Waste,
        Self::Idle,
        Self::Stacks,
        Self::Metadata,
        Self::Globals,
        Self::Anon,
        Self::File,
    ];
}

/// Resident bytes by [`Part`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts([u64; N_PARTS]);

impl Parts {
    /// Resident bytes of one part.
    pub fn get(&self, part: Part) -> u64 {
        self.0[part as usize]
    }

    /// Their sum.
    pub fn sum(&self) -> u64 {
        self.0
            .iter()
            .fold(0, |sum, &bytes| sum.saturating_add(bytes))
    }

    /// Made up, in the order of [`Part::ALL`].
    #[cfg(test)]
    pub(crate) fn of(bytes: [u64; N_PARTS]) -> Self {
        Self(bytes)
    }

    pub(super) fn set(&mut self, part: Part, bytes: u64) {
        self.0[part as usize] = bytes;
    }
}

/// The resident set at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moment {
    /// When it was read.
    pub at_ns: u64,
    /// The kernel's figure (`VmRSS`).
    pub rss_bytes: u64,
    /// What it is made of.
    pub parts: Parts,
    /// Bytes that the last GC cycle marked, resident or not.
    pub live_bytes: u64,
    /// Address space of goroutine stacks, resident or not (`StackInuse`).
    pub stack_in_use_bytes: u64,
    /// Goroutines; `None` where they were not counted.
    pub goroutines: Option<u64>,
    /// Threads of the process; `None` where they were not counted.
    pub threads: Option<u64>,
    /// Usage of the cgroup.
    pub cgroup_usage_bytes: Option<u64>,
    /// Page cache of the cgroup.
    pub cgroup_file_bytes: Option<u64>,
}

impl Moment {
    /// What the kernel counts more than the parts hold; negative where it counts less.
    pub fn unexplained_bytes(&self) -> i64 {
        self.rss_bytes.cast_signed() - self.parts.sum().cast_signed()
    }
}

/// Fragmentation of one size class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassWaste {
    /// Bytes of a slot; 0 for large objects, which have a span each.
    pub slot_bytes: u64,
    /// Spans.
    pub spans: u64,
    /// Their resident bytes.
    pub resident_bytes: u64,
    /// Of them in free slots and tails.
    pub waste_bytes: u64,
    /// Slots that are taken.
    pub objects: u64,
}

/// A limit that the memory of the process runs into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Whose.
    pub kind: LimitKind,
    /// The limit.
    pub bytes: u64,
    /// What counts against it now.
    pub used_bytes: u64,
    /// Of `used_bytes`, page cache that gives way before the limit hurts; 0 where there is none, or it is unknown.
    pub reclaimable_bytes: u64,
}

impl Limit {
    /// What is left, with page cache given up.
    pub fn room_bytes(&self) -> u64 {
        let used = self.used_bytes.saturating_sub(self.reclaimable_bytes);
        self.bytes.saturating_sub(used)
    }
}

/// Whose limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitKind {
    /// `memory.max` of the cgroup or one above it (v1: `memory.limit_in_bytes`): processes are killed.
    MemoryMax,
    /// `memory.high`: processes are slowed down.
    MemoryHigh,
    /// GOMEMLIMIT: the GC runs more and more.
    GoMemLimit,
    /// The machine's memory.
    Machine,
}

impl LimitKind {
    /// The word for it on the screen and in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::MemoryMax => "memory.max",
            Self::MemoryHigh => "memory.high",
            Self::GoMemLimit => "GOMEMLIMIT",
            Self::Machine => "machine",
        }
    }
}

/// All that is known of what the resident set is made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Anatomy {
    /// At the last read.
    pub now: Moment,
    /// Of all reads since the attach the one with the largest resident set.
    pub peak: Moment,
    /// At the active baseline, or the first read behind it.
    pub baseline: Option<Moment>,
    /// Since the attach, oldest first; thinned where it grew long, so that steps differ.
    pub history: Vec<Moment>,
    /// Fragmentation by size class, the most wasteful first; classes without spans are left out.
    pub classes: Vec<ClassWaste>,
    /// The runtime's own accounts.
    pub accounts: Accounts,
    /// The largest resident set since the process started, by the kernel (`VmHWM`).
    pub process_peak_rss_bytes: u64,
    /// Bytes in swap.
    pub swap_bytes: u64,
    /// C code may allocate in the process: see [`crate::event::PageTables::has_c`].
    pub has_c: bool,
    /// The cgroup; `None` where it has no memory controller.
    pub cgroup: Option<CgroupRead>,
    /// Limits that are set, the one with least room first.
    pub limits: Vec<Limit>,
    /// Anatomy reads so far.
    pub reads: u64,
    /// Functions of the program that can take memory outside Go; `None` until they were looked for.
    pub calls_out: Option<CallsOut>,
    /// CPU time of the last read, nanoseconds.
    pub read_cpu_ns: u64,
}

/// A part's share of a change of the resident set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Which part.
    pub part: Part,
    /// By how much it grew; all shares have the sign of the whole change.
    pub bytes: i64,
    /// Percent of what moved in that direction; they sum up to 100.
    pub percent: u32,
}

/// What the change of the resident set from `from` to `to` is made of, largest first.
///
/// Only the parts that moved the way the whole did are in it: where 100 MiB of idle spans came and 20 MiB of live heap
/// went, the growth of 80 MiB is idle spans, all of it. Percents are rounded by the largest remainder and sum up to 100.
/// Empty where the sum of the parts is the same.
pub fn shares(from: &Parts, to: &Parts) -> Vec<Share> {
    let change = |part: Part| {
        to.get(part)
            .cast_signed()
            .wrapping_sub(from.get(part).cast_signed())
    };
    let whole = to
        .sum()
        .cast_signed()
        .wrapping_sub(from.sum().cast_signed());
    let mut moved: Vec<(Part, i64)> = Part::ALL
        .into_iter()
        .map(|part| (part, change(part)))
        .filter(|(_, bytes)| bytes.signum() == whole.signum() && whole != 0)
        .collect();
    moved.sort_by_key(|&(part, bytes)| (std::cmp::Reverse(bytes.unsigned_abs()), part));
    let sum: u128 = moved
        .iter()
        .map(|(_, bytes)| u128::from(bytes.unsigned_abs()))
        .sum();
    let hundredfold = |bytes: i64| u128::from(bytes.unsigned_abs()) * 100;
    let mut shares: Vec<Share> = moved
        .iter()
        .map(|&(part, bytes)| Share {
            part,
            bytes,
            percent: u32::try_from(hundredfold(bytes).checked_div(sum).unwrap_or(0)).unwrap_or(0),
        })
        .collect();
    let mut by_remainder: Vec<usize> = (0..shares.len()).collect();
    by_remainder.sort_by_key(|&i| {
        let remainder = hundredfold(moved[i].1).checked_rem(sum).unwrap_or(0);
        (std::cmp::Reverse(remainder), i)
    });
    let given: u32 = shares.iter().map(|share| share.percent).sum();
    let missing = 100_u32.saturating_sub(given) as usize;
    for i in by_remainder.into_iter().take(missing) {
        shares[i].percent += 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(bytes: [u64; N_PARTS]) -> Parts {
        Parts(bytes)
    }

    #[test]
    fn growth_is_told_by_what_grew() {
        let from = parts([100, 10, 0, 0, 0, 5, 0, 0, 0]);
        let to = parts([90, 10, 7, 82, 11, 5, 0, 0, 0]);
        let found: Vec<_> = shares(&from, &to)
            .into_iter()
            .map(|share| (share.part, share.bytes, share.percent))
            .collect();
        let expected = [
            (Part::Idle, 82, 82),
            (Part::Stacks, 11, 11),
            (Part::Waste, 7, 7),
        ];
        assert_eq!(found, expected);
        assert_eq!(
            shares(&to, &from).first().map(|share| share.bytes),
            Some(-82)
        );
        assert!(shares(&to, &to).is_empty());
    }

    proptest! {
        #[test]
        fn percents_sum_up_to_100(
            from in prop::array::uniform9(0_u64..1 << 45),
            to in prop::array::uniform9(0_u64..1 << 45),
        ) {
            let found = shares(&parts(from), &parts(to));
            let sum: u32 = found.iter().map(|share| share.percent).sum();
            let moved = parts(from).sum() != parts(to).sum();
            prop_assert_eq!(sum, if moved { 100 } else { 0 });
        }

        #[test]
        fn any_parts_never_panic(
            from in prop::array::uniform9(any::<u64>()),
            to in prop::array::uniform9(any::<u64>()),
        ) {
            let _ = shares(&parts(from), &parts(to));
        }
    }
}
