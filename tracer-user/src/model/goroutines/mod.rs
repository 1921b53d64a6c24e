//! Goroutines by who started them and what they run: how many, how many more than before, and what they wait for.
//!
//! They come as whole readings, some seconds apart ([`crate::event::GoroutinesRead`]). What they are now is the last
//! reading; growth and slopes come from those before.

mod follow;
mod in_step;
pub(super) mod state;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use super::Model;
use super::findings::Verdict;
use super::names::Names;
use crate::go::frame::Frame;
use crate::go::goroutines::{Oldest, Others, States};
pub use in_step::{Growth, Pace, in_step};
use state::{GoroutineState, Known};

/// All goroutines of the last reading, and how they got there.
#[derive(Clone, Debug, Default)]
pub struct Goroutines {
    /// When the last reading began.
    pub at_ns: u64,
    /// How long it took.
    pub took_ns: u64,
    /// When the next one is due; it may be late.
    pub next_ns: u64,
    /// All of them, the runtime's own included.
    pub count: u64,
    /// Those that the runtime keeps for itself, which `runtime.NumGoroutine` leaves out: as far as names are known.
    pub runtime_count: u64,
    /// Bytes of their stacks.
    pub stack_bytes: u64,
    /// Change of `count` since the baseline; `None` without a reading then.
    pub growth: Option<i64>,
    /// Change of `stack_bytes` since the baseline.
    pub stack_growth_bytes: Option<i64>,
    /// Slopes over the last 5 minutes; `None` below 4 readings.
    pub per_min: Option<PerMinute>,
    /// Largest first; those that are gone since the baseline come last, with a count of 0.
    pub groups: Vec<GoroutineGroup>,
    /// Goroutines of groups beyond our bounds.
    pub others: Others,
    /// Structs that could not be read or were torn, in the last reading.
    pub unreadable: u64,
    /// Entries of the runtime's list beyond our bound.
    pub omitted: u64,
    /// How many goroutines each that is followed stands for, in verdicts; 1 is all of them.
    pub one_in: u64,
    /// How many there were, oldest first, at most 1024 readings; old ones are thinned.
    pub history: Vec<CountThen>,
}

/// How many goroutines there were at a reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountThen {
    /// When.
    pub at_ns: u64,
    /// How many.
    pub count: u64,
    /// Bytes of their stacks.
    pub stack_bytes: u64,
}

/// Least-squares slopes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PerMinute {
    /// Goroutines a minute.
    pub goroutines: f64,
    /// Bytes of stacks a minute.
    pub stack_bytes: f64,
}

/// Goroutines that one `go` statement started with one function.
#[derive(Clone, Debug)]
pub struct GoroutineGroup {
    /// Stable for the life of the model.
    pub id: u32,
    /// The function with the `go` statement, its file and line; `None` for those that the runtime starts by itself.
    pub created_by: Option<Arc<Frame>>,
    /// The function that they run, as a traceback names it: not the wrapper that the compiler makes of `go f(x)`, once one
    /// of them was seen parked.
    pub start: Arc<Frame>,
    /// The runtime's own: [`Goroutines::runtime_count`].
    pub is_runtime: bool,
    /// How many.
    pub count: u64,
    /// Change since the baseline; `None` without a reading then.
    pub growth: Option<i64>,
    /// Slopes over the last 5 minutes; `None` below 4 readings.
    pub per_min: Option<PerMinute>,
    /// What they do.
    pub states: States,
    /// What the parked ones wait for, in the runtime's words, with counts, most frequent first.
    pub waits: Vec<(Cow<'static, str>, u64)>,
    /// How long the longest of them is parked, at most, and less by one GC at most: the runtime notes the GC before the one
    /// that first finds it so. `None` where no GC has. What heaptop saw parked in two readings may have run in between, and
    /// says nothing.
    pub longest_wait_ns: Option<u64>,
    /// Bytes of their stacks.
    pub stack_bytes: u64,
    /// Change since the baseline.
    pub stack_growth_bytes: Option<i64>,
    /// The one that is parked longest, with its stack; `None` where none is, or the group is not among the largest.
    pub oldest: Option<ParkedStack>,
    /// Whether they grow, by arrivals and departures of goroutines that live for 15 s and longer: its samples are
    /// goroutines, or one in [`Goroutines::one_in`], its cycles are readings. `None` for those of the runtime, and beyond
    /// our bound.
    pub verdict: Option<Verdict>,
}

/// The stack of a parked goroutine.
#[derive(Clone, Debug, Default)]
pub struct ParkedStack {
    /// Id of the goroutine.
    pub goid: u64,
    /// How long it is parked, at most, as [`GoroutineGroup::longest_wait_ns`]; `None` where no GC has found it so.
    pub waiting_ns: Option<u64>,
    /// Leaf first, inlined calls expanded; the runtime's frames, where it is parked, come first.
    pub frames: Vec<Arc<Frame>>,
    /// There are more frames.
    pub truncated: bool,
}

/// Functions that call the one that a goroutine starts with.
const OUTERMOST: [&str; 2] = ["runtime.goexit", "runtime.goexit0"];

/// Functions that the runtime runs goroutines of the program with.
///
/// Source: `isSystemGoroutine`, Go `src/runtime/traceback.go`, go1.18 to go1.27.
const OF_THE_PROGRAM: [&str; 3] = [
    "runtime.main",
    "runtime.handleAsyncEvent",
    "runtime.corostart",
];

impl Model {
    /// All goroutines, as last read; `None` before the first reading, and where they are not known
    /// ([`Model::goroutines_not_known`]).
    pub fn goroutines(&self) -> Option<Goroutines> {
        self.goroutines.tell(&self.names, self.active_baseline)
    }

    /// Why goroutines are not known, as the end of a sentence; `None` while they are, or nothing was read yet.
    pub fn goroutines_not_known(&self) -> Option<&str> {
        self.goroutines.not_known()
    }
}

impl GoroutineState {
    /// How many there were at the last reading; `None` before the first.
    pub(super) fn latest_count(&self) -> Option<u64> {
        self.last.as_ref().map(|_| self.total.count)
    }

    fn tell(&self, names: &Names, baseline: usize) -> Option<Goroutines> {
        let read = self.last.as_ref()?;
        let then = self.baselines.get(baseline).and_then(Option::as_ref);
        let weights = self.slope_weights();
        let per_min = |known: &Known| {
            weights
                .as_ref()
                .map(|weights| known.slope(self.seq, weights))
        };
        let mut groups: Vec<GoroutineGroup> = Vec::new();
        for (id, known) in (0u32..).zip(&self.known) {
            let at_baseline = then.map(|then| then.of(id));
            if known.count == 0 && at_baseline.is_none_or(|then| then.count == 0) {
                continue;
            }
            let start = start(names, known);
            let is_runtime = start.function.starts_with("runtime.")
                && !OF_THE_PROGRAM.contains(&&*start.function);
            let wait = |since: Option<u64>| Some(read.at_ns.saturating_sub(since?));
            let oldest = known.oldest.as_ref().map(|oldest| ParkedStack {
                goid: oldest.goid,
                waiting_ns: wait(oldest.waiting_since_ns),
                frames: oldest.pcs.iter().map(|&pc| frame(names, pc)).collect(),
                truncated: oldest.truncated,
            });
            groups.push(GoroutineGroup {
                id,
                created_by: (known.created_pc != 0).then(|| frame(names, known.created_pc)),
                start,
                is_runtime,
                count: known.count,
                growth: at_baseline.map(|then| change(known.count, then.count)),
                per_min: per_min(known),
                states: known.states,
                waits: known.waits.clone(),
                longest_wait_ns: wait(known.waiting_since_ns),
                stack_bytes: known.stack_bytes,
                stack_growth_bytes: at_baseline
                    .map(|then| change(known.stack_bytes, then.stack_bytes)),
                oldest,
                verdict: self.verdict(id, known).filter(|_| !is_runtime),
            });
        }
        groups.sort_by_key(|group| {
            (
                std::cmp::Reverse((group.count, group.stack_bytes)),
                group.id,
            )
        });
        let runtimes = groups.iter().filter(|group| group.is_runtime);
        Some(Goroutines {
            at_ns: read.at_ns,
            took_ns: read.took_ns,
            next_ns: read.next_ns,
            count: self.total.count,
            runtime_count: runtimes.map(|group| group.count).sum(),
            stack_bytes: self.total.stack_bytes,
            growth: then.map(|then| change(self.total.count, then.total.count)),
            stack_growth_bytes: then
                .map(|then| change(self.total.stack_bytes, then.total.stack_bytes)),
            per_min: per_min(&self.total),
            groups,
            others: read.others,
            unreadable: read.unreadable,
            omitted: read.omitted,
            one_in: 1 << read.shift.min(63),
            history: self.history.clone(),
        })
    }
}

impl GoroutineState {
    /// The verdict on a group. Stacks grow after a goroutine has begun: its bytes are those of the present mean stack.
    fn verdict(&self, id: u32, known: &Known) -> Option<Verdict> {
        let mut verdict = self.follow.verdict(id)?;
        let evidence = &mut verdict.evidence;
        if known.count > 0 {
            let stack_bytes = known.stack_bytes as f64 / known.count as f64;
            let objects = evidence.objects_per_min;
            evidence.bytes_per_min = objects.map(|objects| objects.times(stack_bytes));
        }
        Some(verdict)
    }
}

fn change(now: u64, then: u64) -> i64 {
    i64::try_from(i128::from(now) - i128::from(then)).unwrap_or_default()
}

fn frame(names: &Names, pc: u64) -> Arc<Frame> {
    let known = names.get(pc).map(|named| named.frame.clone());
    known.unwrap_or_else(|| Arc::new(Frame::unnamed(pc)))
}

/// The function that a group runs: the outermost of a parked stack, where its own is a wrapper.
fn start(names: &Names, known: &Known) -> Arc<Frame> {
    let entry = frame(names, known.start_key());
    match known.outermost_pc.and_then(|pc| names.get(pc)) {
        Some(outermost) if outermost.frame.function != entry.function => outermost.frame.clone(),
        _ => entry,
    }
}

/// The pc of a stack's outermost function below those that all goroutines begin with.
fn outermost(names: &Names, oldest: &Oldest) -> Option<u64> {
    let (&last, rest) = oldest.pcs.split_last()?;
    let is_whole = !oldest.truncated && OUTERMOST.contains(&&*names.get(last)?.frame.function);
    let pc = rest.last().filter(|_| is_whole).copied();
    pc.filter(|pc| names.get(*pc).is_some_and(|named| !named.runtime))
}
