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
    let fields = &facts.gc_controller;
    let limit = memory.u64(controller.wrapping_add(fields.memory_limit))?;
    let percent_goal = memory.u64(controller.wrapping_add(fields.gc_percent_heap_goal))?;
    let goal = percent_goal.min(limit);
    Ok(HeapFigures {
        // Before `swept`: between mark termination and its end, which moves numgc, `sweep.active.state` still speaks of
        // the cycle before.
        gc_cycles: memory.u32(vars.numgc)?,
        live_bytes: memory.u64(controller.wrapping_add(fields.heap_marked))?,
        goal_bytes: (goal < NO_LIMIT).then_some(goal),
        rate_bytes: memory.u64(vars.mem_profile_rate)?,
        prof_cycle: ProfCycle(memory.u32(vars.mprof_cycle)?),
        swept: sweep_drained(memory, vars)?,
    })
}

/// Whether all spans of the last cycle are swept: no free of it is still to come.
///
/// Where the variable was not found this is never said: the next cycle's start says it then.
pub fn sweep_drained(memory: &impl Memory, vars: &Variables) -> Result<bool, Unreadable> {
    vars.sweep_state
        .map_or(Ok(false), |state| Ok(memory.u32(state)? == SWEEP_DRAINED))
}
