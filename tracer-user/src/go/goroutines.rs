//! All goroutines of a process, from the runtime's own list (`allgs`): no probe, nothing is stopped.
//!
//! The list only grows, and what it points to is reused and never freed, so that a reader without a lock finds a `g` or
//! nothing. The process goes on meanwhile: a goroutine is read at one moment, each at its own. Goroutines are grouped
//! while they are read, so that a million of them take no more memory than the places that started them.
//!
//! Source: `allgs`, `allgadd`, `forEachGRace`, Go `src/runtime/proc.go`; `g`, `src/runtime/runtime2.go`, go1.18 to go1.27.

use serde::{Deserialize, Serialize};

use std::borrow::Cow;

use super::facts::Facts;
use super::memory::Memory;
use super::memstats::total_alloc;
use super::variables::Variables;

mod batches;
mod gathered;
mod parked;
mod record;
#[cfg(test)]
mod tests;

use batches::Buffer;
use gathered::Gathered;
use record::{G, g_bytes};

/// Most goroutines that are read, 16 GiB of the smallest stacks; more are [`AllGoroutines::omitted`].
pub const MAX_GOROUTINES: u64 = 1 << 23;
/// Most groups: a program has one for each `go` statement and function that it starts; large ones have hundreds.
/// Goroutines of more count in [`AllGoroutines::others`].
pub const MAX_GROUPS: usize = 4096;
/// Most goroutines that are told one by one: [`AllGoroutines::tracked`].
pub const MAX_TRACKED: usize = 1 << 16;
/// How many times as many goroutines there may be before a smaller part of them is told.
pub const ROOM: usize = 4;
/// Groups, the largest, of which the stack of the oldest goroutine is read.
pub const MAX_EXAMPLES: usize = 256;
/// Most frames of such a stack; deeper ones are cut.
pub const MAX_FRAMES: usize = 128;

/// Pointers that are read and sorted together: half a MiB of them.
const CHUNK: u64 = 1 << 16;
/// The list moves when it grows; each time a chunk of it is read again, at most so often.
const MAX_MOVES: usize = 8;

/// All goroutines at about one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllGoroutines {
    /// By creation site and start function, largest first; at most [`MAX_GROUPS`].
    pub groups: Vec<Group>,
    /// Goroutines of groups beyond the bound.
    pub others: Others,
    /// Goroutines that are not dead, those of `groups` and `others`, and the runtime's own.
    pub total: u64,
    /// Bytes of their stacks.
    pub stack_bytes: u64,
    /// Structs of ended goroutines that wait to be used again.
    pub dead: u64,
    /// Structs that could not be read, or were torn.
    pub unreadable: u64,
    /// Entries of the list beyond [`MAX_GOROUTINES`].
    pub omitted: u64,
    /// Bytes that the process has allocated since its start (`gcController.totalAlloc`): its load. `None` where it could
    /// not be read.
    pub allocated_bytes: Option<u64>,
    /// One by one, so that arrivals and departures can be told from one read to the next.
    pub tracked: Tracked,
}

/// A random part of the goroutines, the same from read to read: by their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracked {
    /// Each stands for 2^shift of them; 0 is all. Never smaller than in the read before. Where it rises there is room for
    /// [`ROOM`] times as many, so that it seldom does.
    pub shift: u32,
    /// At most [`MAX_TRACKED`], in no order.
    pub goroutines: Vec<TrackedGoroutine>,
}

/// A goroutine that is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackedGoroutine {
    /// Unique for the life of the process.
    pub goid: u64,
    /// Index into [`AllGoroutines::groups`].
    pub group: u32,
    /// Bytes of its stack, 0 where they were torn.
    pub stack_bytes: u64,
}

/// Whether a goroutine is followed when one in 2^`shift` is. Who is with one shift is with any smaller one.
pub fn is_tracked(goid: u64, shift: u32) -> bool {
    /// Fibonacci hashing: consecutive ids come at even distances, in the upper bits.
    const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
    shift == 0 || goid.wrapping_mul(SPREAD) >> (64 - shift.min(63)) == 0
}

/// Goroutines beyond the bound of groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Others {
    /// How many.
    pub count: u64,
    /// Bytes of their stacks.
    pub stack_bytes: u64,
}

/// Goroutines that one `go` statement started with one function.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Return address of the `go` statement (`gopc`); 0 for those that the runtime starts by itself.
    pub created_pc: u64,
    /// Entry of the function that they run (`startpc`).
    pub start_pc: u64,
    /// How many.
    pub count: u64,
    /// Bytes of their stacks.
    pub stack_bytes: u64,
    /// What they do.
    pub states: States,
    /// What those wait for that are parked, by frequency; see [`super::wait_reasons`].
    pub waits: Vec<(Cow<'static, str>, u64)>,
    /// Since when the longest of them is parked at most, nanoseconds of the monotonic clock. A GC that finds a goroutine
    /// parked for the first time notes when the mark before had ended (`work.tstart`), so that it may have been parked up
    /// to one GC later. `None` where no GC has found any since it was parked, or only the first of the process.
    pub waiting_since_ns: Option<u64>,
    /// The one that is parked longest, where it could be read while it was.
    pub oldest: Option<Oldest>,
}

/// Goroutines by what they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct States {
    /// Ready, and waiting for a P.
    pub runnable: u64,
    /// On a CPU.
    pub running: u64,
    /// In a system call, or in C.
    pub syscall: u64,
    /// Parked.
    pub waiting: u64,
    /// In between: its stack is moved, or it was preempted for a scan.
    pub other: u64,
}

/// A parked goroutine as an example for its group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Oldest {
    /// Its id.
    pub goid: u64,
    /// As [`Group::waiting_since_ns`], its own.
    pub waiting_since_ns: Option<u64>,
    /// Return addresses of its stack, leaf first, by frame pointers: not expanded for inlining.
    pub pcs: Vec<u64>,
    /// The stack is deeper than [`MAX_FRAMES`].
    pub truncated: bool,
}

/// Reads all goroutines. Total: whatever is in memory, it ends with a result, within its bounds.
///
/// * `shift`: of [`Tracked`] in the last read; `None` at first.
///
/// A hundred thousand goroutines take about 30 ms.
///
/// # Errors
///
/// Why they are not known, as the end of a sentence.
pub fn read(
    memory: &(impl Memory + ?Sized),
    facts: &Facts,
    vars: &Variables,
    shift: Option<u32>,
) -> Result<AllGoroutines, String> {
    let allgs = vars
        .allgs
        .ok_or("the runtime's list of them (allgs) is not found in this build")?;
    let (all_facts, facts) = (facts, &facts.goroutine);
    let n_bytes = g_bytes(facts).ok_or("the layout of runtime.g is not known")?;
    let unreadable = |err| format!("the runtime's list of them: {err}");
    let len = memory.u64(allgs.len).map_err(unreadable)?;
    let read_len = len.min(MAX_GOROUTINES);
    let mut gathered = Gathered::new(len - read_len, shift.unwrap_or(0));
    let mut buffer = Buffer::default();
    let mut from = 0;
    while from < read_len {
        let n = (read_len - from).min(CHUNK);
        let mut pointers = pointers(memory, allgs.ptr, from, n).map_err(unreadable)?;
        let n_listed = pointers.len();
        // A g is a heap object of 8-byte words.
        pointers.retain(|&at| at != 0 && at.is_multiple_of(8));
        pointers.sort_unstable();
        pointers.dedup();
        gathered.unreadable += (n_listed - pointers.len()) as u64;
        buffer.read_all(memory, &pointers, n_bytes, |at, bytes| {
            gathered.add(at, bytes.and_then(|bytes| G::parse(bytes, facts)));
        });
        if gathered.is_implausible() {
            return Err(format!(
                "of {} that were read, {} make no sense: this build lays them out otherwise",
                gathered.n_read, gathered.n_odd
            ));
        }
        from += n;
    }
    if read_len > 0 && gathered.n_read == 0 {
        return Err("none of them could be read".into());
    }
    if shift != Some(gathered.shift) {
        gathered.track_at_most(MAX_TRACKED / ROOM);
    }
    Ok(AllGoroutines {
        allocated_bytes: total_alloc(memory, all_facts, vars).ok(),
        ..gathered.finish(memory, facts, n_bytes)
    })
}

/// Entries `from..from + n` of the list.
fn pointers(
    memory: &(impl Memory + ?Sized),
    allgptr: u64,
    from: u64,
    n: u64,
) -> Result<Vec<u64>, super::memory::Unreadable> {
    let len = usize::try_from(n * 8).unwrap_or(usize::MAX);
    let mut base = memory.u64(allgptr)?;
    let mut moves = 0;
    loop {
        let bytes = memory.bytes(base.wrapping_add(from * 8), len);
        let now = memory.u64(allgptr)?;
        moves += 1;
        // The array that was left by a growing list may be used for anything.
        if now != base && moves < MAX_MOVES {
            base = now;
            continue;
        }
        let words = bytes?;
        let words = words
            .chunks_exact(8)
            .filter_map(|word| word.try_into().ok());
        return Ok(words.map(u64::from_le_bytes).collect());
    }
}

/// Stands for a reason that heaptop has no words for.
pub const UNKNOWN_REASON: &str = "(unknown reason)";
