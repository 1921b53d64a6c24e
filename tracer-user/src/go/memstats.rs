//! The runtime's own figures: GC cycles, live heap, goal, sampling rate, by plain memory reads.
//!
//! Source: `src/runtime/mstats.go`, `mgcpacer.go`, `mgcsweep.go`, go1.19 to go1.27.

use super::buckets::ProfCycle;
use super::facts::Facts;
use super::memory::{Memory, Unreadable};
use super::variables::Variables;

/// `sweepDrainedMask`: `sweep.active.state` holds just this when nothing is left to sweep.
const SWEEP_DRAINED: u32 = 0x8000_0000;
/// `math.MaxInt64`: GOMEMLIMIT is off.
const NO_LIMIT: u64 = i64::MAX as u64;

/// `memoryLimitHeapGoalHeadroomPercent`: what the pacer keeps free below GOMEMLIMIT.
const LIMIT_HEADROOM_PERCENT: u64 = 3;
/// `memoryLimitMinHeapGoalHeadroom`.
const LIMIT_MIN_HEADROOM: u64 = 1 << 20;

/// The heap as the runtime accounts for it, at one moment (fields are read one after the other).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
}

/// Reads the figures.
pub fn read(
    memory: &impl Memory,
    facts: &Facts,
    vars: &Variables,
) -> Result<HeapFigures, Unreadable> {
    let controller = vars.gc_controller;
    let heap_marked = facts.gc_controller.heap_marked;
    Ok(HeapFigures {
        // Before `swept`: between mark termination and its end, which moves numgc, `sweep.active.state` still speaks of
        // the cycle before.
        gc_cycles: memory.u32(vars.numgc)?,
        live_bytes: memory.u64(controller.wrapping_add(heap_marked))?,
        goal_bytes: goal(memory, facts, controller)?,
        rate_bytes: memory.u64(vars.mem_profile_rate)?,
        prof_cycle: ProfCycle(memory.u32(vars.mprof_cycle)?),
        swept: sweep_drained(memory, vars)?,
    })
}

/// Heap size at which the next cycle is due: by GOGC or by GOMEMLIMIT, whichever comes first.
///
/// Source: `(*gcControllerState).memoryLimitHeapGoal`, go1.21 to go1.27 (1.19 keeps 1 MiB free, not 3 %).
fn goal(memory: &impl Memory, facts: &Facts, controller: u64) -> Result<Option<u64>, Unreadable> {
    let fields = &facts.gc_controller;
    let field = |offset: u64| memory.u64(controller.wrapping_add(offset));
    let by_percent = field(fields.gc_percent_heap_goal)?;
    let limit = field(fields.memory_limit)?;
    if limit >= NO_LIMIT {
        return Ok((by_percent < NO_LIMIT).then_some(by_percent));
    }
    let marked = field(fields.heap_marked)?;
    let ready = field(fields.mapped_ready)?;
    let allocated = field(fields.total_alloc)?.saturating_sub(field(fields.total_free)?);
    let beside_heap = ready
        .saturating_sub(field(fields.heap_free)?)
        .saturating_sub(allocated);
    let taken = beside_heap.saturating_add(ready.saturating_sub(limit));
    let room = limit.saturating_sub(taken);
    let headroom = (room / 100 * LIMIT_HEADROOM_PERCENT).max(LIMIT_MIN_HEADROOM);
    let by_limit = room.saturating_sub(headroom).max(headroom).max(marked);
    Ok(Some(by_percent.min(if room == 0 {
        marked
    } else {
        by_limit
    })))
}

/// Whether all spans of the last cycle are swept: no free of it is still to come.
///
/// Where the variable was not found this is never said: the next cycle's start says it then.
pub fn sweep_drained(memory: &impl Memory, vars: &Variables) -> Result<bool, Unreadable> {
    vars.sweep_state
        .map_or(Ok(false), |state| Ok(memory.u32(state)? == SWEEP_DRAINED))
}
