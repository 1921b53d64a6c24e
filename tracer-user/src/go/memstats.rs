//! The runtime's own figures: GC cycles, live heap, goal, sampling rate, by plain memory reads.
//!
//! Source: `src/runtime/mstats.go`, `mgcpacer.go`, `mgcsweep.go`, go1.18 to go1.27.

use serde::{Deserialize, Serialize};

use super::alloc_counters::AllocCounters;
use super::buckets::ProfCycle;
use super::facts::{Facts, HeapFacts};
use super::memory::{Batch, Memory, Unreadable};
use super::pclntab::u64_at;
use super::variables::Variables;

/// `sweepDrainedMask`: `sweep.active.state` holds just this when nothing is left to sweep.
const SWEEP_DRAINED: u32 = 0x8000_0000;
/// `math.MaxInt64`: GOMEMLIMIT is off.
const NO_LIMIT: u64 = i64::MAX as u64;

/// `len(memstats.pause_ns)`.
pub const N_PAUSES: u32 = 256;

/// `memoryLimitHeapGoalHeadroomPercent`: what the pacer keeps free below GOMEMLIMIT.
const LIMIT_HEADROOM_PERCENT: u64 = 3;
/// `memoryLimitMinHeapGoalHeadroom`.
const LIMIT_MIN_HEADROOM: u64 = 1 << 20;

/// The heap as the runtime accounts for it, at one moment (fields are read one after the other).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeapFigures {
    /// Completed GC cycles (`memstats.numgc`).
    pub gc_cycles: u32,
    /// Bytes that the last cycle marked (`gcController.heapMarked`).
    pub live_bytes: u64,
    /// Heap size at which the next cycle is due; `None` if there is none (GOGC=off, no limit).
    pub goal_bytes: Option<u64>,
    /// `MemProfileRate`, bytes; 0 is off.
    pub rate_bytes: u64,
    /// The profile's cycle.
    pub prof_cycle: ProfCycle,
    /// Whether all spans of the last cycle are swept.
    pub swept: bool,
    /// Marked by the last cycle, and allocated since (`gcController.heapLive`).
    pub heap_live_bytes: u64,
    /// `gcController.triggered`: heap when the cycle that marks now began; `None` while none marks, and in 1.18.
    pub triggered_bytes: Option<u64>,
    /// GOGC (`gcController.gcPercent`), percent; `None` is off.
    pub gc_percent: Option<u32>,
    /// GOMEMLIMIT (`gcController.memoryLimit`); `None` is off.
    pub memory_limit_bytes: Option<u64>,
    /// Cycles that the program asked for (`memstats.numforcedgc`).
    pub forced_cycles: u32,
    /// World stopped for all cycles since the start, nanoseconds (`memstats.pause_total_ns`).
    pub pause_total_ns: u64,
    /// World stopped for cycle [`HeapFigures::gc_cycles`], nanoseconds; 0 before the first.
    pub last_pause_ns: u64,
    /// End of that cycle, nanoseconds since 1970; 0 before the first.
    pub last_gc_unix_ns: u64,
    /// Bytes of all objects ever allocated: see [`total_alloc`].
    pub total_alloc_bytes: u64,
}

/// Reads the figures: about five system calls.
pub fn read(
    memory: &impl Memory,
    facts: &Facts,
    vars: &Variables,
) -> Result<HeapFigures, Unreadable> {
    let (fields, stats) = (&facts.gc_controller, &facts.mstats);
    // Before `swept`: between mark termination and its end, which moves numgc, `sweep.active.state` still speaks of
    // the cycle before.
    let gc_cycles = memory.u32(vars.numgc)?;
    let last_pause = u64::from(gc_cycles.wrapping_add(N_PAUSES - 1) % N_PAUSES);
    let addrs = [
        vars.memstats.wrapping_add(stats.pause_ns + 8 * last_pause),
        vars.memstats.wrapping_add(stats.pause_total_ns),
        vars.memstats.wrapping_add(stats.last_gc_unix),
        vars.memstats.wrapping_add(stats.numforcedgc),
        vars.gc_controller.wrapping_add(fields.gc_percent),
        vars.gc_controller.wrapping_add(fields.heap_live),
        vars.gc_controller.wrapping_add(fields.heap_marked),
        vars.mem_profile_rate,
    ];
    let words = read_words(memory, &addrs)?;
    let [
        pause,
        pause_total,
        last_gc_unix,
        forced,
        gc_percent,
        live,
        marked,
        rate,
    ] = words;
    let pacer = Pacer::read(memory, facts, vars)?;
    Ok(HeapFigures {
        gc_cycles,
        live_bytes: marked,
        goal_bytes: pacer.goal,
        rate_bytes: rate,
        prof_cycle: ProfCycle::read(memory, facts, vars)?,
        swept: sweep_drained(memory, vars)?,
        heap_live_bytes: live,
        triggered_bytes: pacer.triggered,
        // An i32, negative when off.
        gc_percent: u32::try_from(low_half(gc_percent).cast_signed()).ok(),
        memory_limit_bytes: pacer.memory_limit,
        forced_cycles: low_half(forced),
        pause_total_ns: pause_total,
        last_pause_ns: if gc_cycles == 0 { 0 } else { pause },
        last_gc_unix_ns: last_gc_unix,
        total_alloc_bytes: pacer.total_alloc,
    })
}

/// Returns the ends of the last GC cycles, at most 256, oldest first, nanoseconds since 1970.
///
/// `memstats.pause_end` follows `memstats.pause_ns` in all releases. Empty where its newest entry is not the end of the last
/// cycle (`memstats.last_gc_unix`), which is the same number: then the layout is another, or a cycle has just ended.
///
/// # Errors
/// If the runtime's variables cannot be read, as after the end of the process.
pub fn gc_ends(
    memory: &impl Memory,
    facts: &Facts,
    vars: &Variables,
) -> Result<Vec<u64>, Unreadable> {
    let stats = &facts.mstats;
    let gc_cycles = memory.u32(vars.numgc)?;
    let ring = stats.pause_ns + 8 * u64::from(N_PAUSES);
    let bytes = memory.bytes(vars.memstats.wrapping_add(ring), 8 * N_PAUSES as usize)?;
    let last_gc_unix = memory.u64(vars.memstats.wrapping_add(stats.last_gc_unix))?;
    let words = bytes.chunks_exact(8);
    let mut ends: Vec<u64> = words.filter_map(|word| u64_at(word, 0)).collect();
    // The next cycle overwrites the oldest entry.
    ends.rotate_left((gc_cycles % N_PAUSES) as usize);
    ends.drain(..N_PAUSES.saturating_sub(gc_cycles) as usize);
    let is_sound = ends.is_sorted() && ends.last() == Some(&last_gc_unix);
    Ok(if is_sound { ends } else { Vec::new() })
}

/// Returns the bytes of all objects ever allocated.
///
/// From 1.19 on it is `gcController.totalAlloc`, which runs behind by the objects that the Ps have taken from spans that
/// they still hold. In 1.18 it is the sum of the counters by size class.
///
/// # Errors
/// If the runtime's variables cannot be read, as after the end of the process.
pub fn total_alloc(
    memory: &(impl Memory + ?Sized),
    facts: &Facts,
    vars: &Variables,
) -> Result<u64, Unreadable> {
    match facts.gc_controller.heap {
        HeapFacts::InController { total_alloc, .. } => {
            memory.u64(vars.gc_controller.wrapping_add(total_alloc))
        }
        HeapFacts::InMstats { .. } => {
            AllocCounters::read_steady(memory, facts, vars).map(|counters| counters.bytes())
        }
    }
}

/// The words at these addresses, with one system call, in their order.
pub(super) fn read_words<const N: usize>(
    memory: &impl Memory,
    addrs: &[u64; N],
) -> Result<[u64; N], Unreadable> {
    let read = Batch::read(memory, &addrs.map(|addr| (addr, 8)));
    let mut words = [0; N];
    for (index, word) in words.iter_mut().enumerate() {
        *word = read.u64(index).ok_or(Unreadable {
            addr: addrs[index],
            len: 8,
        })?;
    }
    Ok(words)
}

/// The u32 that a word begins with.
fn low_half(word: u64) -> u32 {
    u32::try_from(word & u64::from(u32::MAX)).unwrap_or(0)
}

/// The pacer's settings and goal, with the counter that it reads them by.
struct Pacer {
    /// Heap size at which the next cycle is due: by GOGC or by GOMEMLIMIT, whichever comes first.
    goal: Option<u64>,
    memory_limit: Option<u64>,
    triggered: Option<u64>,
    total_alloc: u64,
}

impl Pacer {
    /// Source: `(*gcControllerState).memoryLimitHeapGoal`, go1.21 to go1.27 (1.19 and 1.20 keep 1 MiB free, not 3 %).
    fn read(memory: &impl Memory, facts: &Facts, vars: &Variables) -> Result<Self, Unreadable> {
        let fields = &facts.gc_controller;
        let controller = |offset: u64| vars.gc_controller.wrapping_add(offset);
        let offsets = match fields.heap {
            HeapFacts::InController {
                memory_limit,
                gc_percent_heap_goal,
                triggered,
                total_alloc,
                total_free,
                heap_free,
                mapped_ready,
                ..
            } => [
                gc_percent_heap_goal,
                memory_limit,
                triggered,
                fields.heap_marked,
                mapped_ready,
                total_alloc,
                total_free,
                heap_free,
            ],
            HeapFacts::InMstats { heap_goal, .. } => {
                let goal = memory.u64(controller(heap_goal))?;
                return Ok(Self {
                    goal: (goal < NO_LIMIT).then_some(goal),
                    memory_limit: None,
                    triggered: None,
                    total_alloc: self::total_alloc(memory, facts, vars)?,
                });
            }
        };
        let [
            by_percent,
            limit,
            triggered,
            marked,
            ready,
            total_alloc,
            total_free,
            heap_free,
        ] = read_words(memory, &offsets.map(controller))?;
        let pacer = |goal| Self {
            goal,
            memory_limit: (limit < NO_LIMIT).then_some(limit),
            triggered: (triggered != u64::MAX).then_some(triggered),
            total_alloc,
        };
        if limit >= NO_LIMIT {
            return Ok(pacer((by_percent < NO_LIMIT).then_some(by_percent)));
        }
        let allocated = total_alloc.saturating_sub(total_free);
        let beside_heap = ready.saturating_sub(heap_free).saturating_sub(allocated);
        let taken = beside_heap.saturating_add(ready.saturating_sub(limit));
        let room = limit.saturating_sub(taken);
        let headroom = (room / 100 * LIMIT_HEADROOM_PERCENT).max(LIMIT_MIN_HEADROOM);
        let by_limit = room.saturating_sub(headroom).max(headroom).max(marked);
        Ok(pacer(Some(by_percent.min(if room == 0 {
            marked
        } else {
            by_limit
        }))))
    }
}

/// Whether all spans of the last cycle are swept: no free of it is still to come.
///
/// Where the variable was not found this is never said: the next cycle's start says it then.
pub fn sweep_drained(memory: &impl Memory, vars: &Variables) -> Result<bool, Unreadable> {
    vars.sweep_state
        .map_or(Ok(false), |state| Ok(memory.u32(state)? == SWEEP_DRAINED))
}
