//! All goroutines of a process, from the runtime's own list (`allgs`): no probe, nothing is stopped.
//!
//! The list only grows, and what it points to is reused and never freed, so that a reader without a lock finds a `g` or
//! nothing. The process goes on meanwhile: a goroutine is read at one moment, each at its own. Goroutines are grouped
//! while they are read, so that a million of them take no more memory than the places that started them.
//!
//! Source: `allgs`, `allgadd`, `forEachGRace`, Go `src/runtime/proc.go`; `g`, `src/runtime/runtime2.go`, go1.19 to go1.27.

use std::collections::HashMap;

use super::facts::{Facts, GoroutineFacts};
use super::memory::Memory;
use super::variables::Variables;
use super::wait_reasons;

mod parked;
#[cfg(test)]
mod tests;

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
pub const MAX_EXAMPLES: usize = 64;
/// Most frames of such a stack; deeper ones are cut.
pub const MAX_FRAMES: usize = 128;

/// Pointers that are read and sorted together: half a MiB of them.
const CHUNK: u64 = 1 << 16;
/// Bytes that lie between two goroutines and are still read with them: copying them costs less than another range.
const MAX_GAP: u64 = 1024;
/// Most bytes of a range: neighbours are read together, and one page that is missing fails all of it.
const MAX_RANGE_BYTES: u64 = 64 << 10;
/// Most ranges of one read, those of one system call;
const MAX_RANGES: usize = 1024;
/// and most bytes of it, small enough for the caches.
const MAX_BATCH_BYTES: usize = 1 << 20;
/// Offsets of `g` beyond this are no offsets; the struct has 456 bytes in go1.27.
const MAX_G_BYTES: u64 = 4096;
/// The list moves when it grows; each time a chunk of it is read again, at most so often.
const MAX_MOVES: usize = 8;
/// Ids begin at 1 and count up, for each P by 16 at a time: 2^48 at a million a second are reached after 9 years.
const MAX_GOID: u64 = 1 << 48;
/// The runtime's own limit of a stack on 64 bits is 1 GB by default; a program may raise it.
const MAX_STACK_BYTES: u64 = 1 << 36;
/// One in so many goroutines may look wrong, torn while it was read; more, and the offsets are wrong.
const TORN_ONE_IN: u64 = 8;

/// All goroutines at about one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracked {
    /// Each stands for 2^shift of them; 0 is all. Never smaller than in the read before. Where it rises there is room for
    /// [`ROOM`] times as many, so that it seldom does.
    pub shift: u32,
    /// At most [`MAX_TRACKED`], in no order.
    pub goroutines: Vec<TrackedGoroutine>,
}

/// A goroutine that is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Others {
    /// How many.
    pub count: u64,
    /// Bytes of their stacks.
    pub stack_bytes: u64,
}

/// Goroutines that one `go` statement started with one function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// What those wait for that are parked, by frequency; see [`wait_reasons`].
    pub waits: Vec<(&'static str, u64)>,
    /// Since when the longest of them is parked at most, nanoseconds of the monotonic clock. A GC that finds a goroutine
    /// parked for the first time notes when the mark before had ended (`work.tstart`), so that it may have been parked up
    /// to one GC later. `None` where no GC has found any since it was parked, or only the first of the process.
    pub waiting_since_ns: Option<u64>,
    /// The one that is parked longest, where it could be read while it was.
    pub oldest: Option<Oldest>,
}

/// Goroutines by what they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    let total_alloc = vars
        .gc_controller
        .wrapping_add(facts.gc_controller.total_alloc);
    let facts = &facts.goroutine;
    let n_bytes = g_bytes(facts).ok_or("the layout of runtime.g is not known")?;
    let unreadable = |err| format!("the runtime's list of them: {err}");
    let len = memory.u64(allgs.len).map_err(unreadable)?;
    let read_len = len.min(MAX_GOROUTINES);
    let mut gathered = Gathered {
        omitted: len - read_len,
        shift: shift.unwrap_or(0),
        ..Gathered::default()
    };
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
        allocated_bytes: memory.u64(total_alloc).ok(),
        ..gathered.finish(memory, facts, n_bytes)
    })
}

/// Bytes of a `g` up to the last field that is read; `None` where that is no struct.
fn g_bytes(facts: &GoroutineFacts) -> Option<usize> {
    let offsets = [
        facts.stack_lo,
        facts.stack_hi,
        facts.sched_sp,
        facts.sched_pc,
        facts.sched_bp,
        facts.status,
        facts.goid,
        facts.waitsince,
        facts.waitreason,
        facts.gopc,
        facts.startpc,
    ];
    let last = offsets.into_iter().max().filter(|max| *max < MAX_G_BYTES)?;
    usize::try_from(last + 8).ok()
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

/// What is used again from read to read of a batch.
#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    ranges: Vec<(u64, usize)>,
    /// For each range, how many of the structs it holds.
    n_in_range: Vec<usize>,
}

impl Buffer {
    /// Calls `with` for each struct with its first bytes, or `None` where it cannot be read.
    ///
    /// * `sorted`: their addresses, ascending.
    fn read_all(
        &mut self,
        memory: &(impl Memory + ?Sized),
        sorted: &[u64],
        n_bytes: usize,
        mut with: impl FnMut(u64, Option<&[u8]>),
    ) {
        let mut rest = sorted;
        while !rest.is_empty() {
            let (batch, behind) = rest.split_at(self.plan(rest, n_bytes));
            rest = behind;
            let alone = self.read_batch(memory, batch, n_bytes, &mut with);
            // A range that fails may fail for one of many.
            for part in alone.chunks(MAX_RANGES) {
                self.ranges.clear();
                self.ranges.extend(part.iter().map(|&at| (at, n_bytes)));
                self.bytes.resize(part.len() * n_bytes, 0);
                let whole = memory.read_many(&self.ranges, &mut self.bytes);
                let structs = self.bytes.chunks_exact(n_bytes);
                for ((&at, bytes), whole) in part.iter().zip(structs).zip(whole) {
                    with(at, whole.then_some(bytes));
                }
            }
        }
    }

    /// Fills `ranges` with those of the next batch; how many structs are in it, at least one.
    fn plan(&mut self, sorted: &[u64], n_bytes: usize) -> usize {
        self.ranges.clear();
        self.n_in_range.clear();
        let mut n_planned = 0;
        let mut total = 0;
        for &at in sorted {
            if let (Some((start, len)), Some(n)) =
                (self.ranges.last_mut(), self.n_in_range.last_mut())
            {
                let end = start.saturating_add(*len as u64);
                let new_len = at.wrapping_sub(*start).saturating_add(n_bytes as u64);
                if at <= end.saturating_add(MAX_GAP) && new_len <= MAX_RANGE_BYTES {
                    // Of structs that overlap, as only garbage does, the longer end counts.
                    let new_len = usize::try_from(new_len).unwrap_or(*len).max(*len);
                    total += new_len - *len;
                    *len = new_len;
                    *n += 1;
                    n_planned += 1;
                    continue;
                }
            }
            if self.ranges.len() >= MAX_RANGES || total >= MAX_BATCH_BYTES {
                break;
            }
            self.ranges.push((at, n_bytes));
            self.n_in_range.push(1);
            total += n_bytes;
            n_planned += 1;
        }
        self.bytes.resize(total, 0);
        n_planned
    }

    /// Reads the ranges of [`Buffer::plan`]; gives back the structs of those that could not be read.
    fn read_batch(
        &mut self,
        memory: &(impl Memory + ?Sized),
        batch: &[u64],
        n_bytes: usize,
        with: &mut impl FnMut(u64, Option<&[u8]>),
    ) -> Vec<u64> {
        let whole = memory.read_many(&self.ranges, &mut self.bytes);
        let (mut alone, mut batch, mut place) = (Vec::new(), batch, 0);
        for ((&(start, len), &n), whole) in self.ranges.iter().zip(&self.n_in_range).zip(whole) {
            let (of_range, behind) = batch.split_at(n.min(batch.len()));
            batch = behind;
            let bytes = self.bytes.get(place..place + len).filter(|_| whole);
            place += len;
            match bytes {
                None if of_range.len() > 1 => alone.extend_from_slice(of_range),
                None => of_range.iter().for_each(|&at| with(at, None)),
                Some(bytes) => {
                    for &at in of_range {
                        let first = usize::try_from(at.wrapping_sub(start)).unwrap_or(usize::MAX);
                        let last = first.saturating_add(n_bytes);
                        with(at, bytes.get(first..last));
                    }
                }
            }
        }
        alone
    }
}

/// What a goroutine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Runnable,
    Running,
    Syscall,
    Waiting,
    Other,
    Dead,
}

impl State {
    /// Source: `_Gidle` and those behind it, Go `src/runtime/runtime2.go`: the same numbers in all releases.
    fn of(status: u32) -> Option<Self> {
        const SCAN: u32 = 0x1000;
        Some(match status & !SCAN {
            0 | 6 | 11 => Self::Dead,
            1 => Self::Runnable,
            2 => Self::Running,
            3 => Self::Syscall,
            4 | 10 => Self::Waiting, // 10: found leaked by the GC, go1.26 and later.
            8 | 9 => Self::Other,
            _ => return None,
        })
    }
}

/// The fields of a `g`.
#[derive(Clone, Copy, Debug)]
struct G {
    status: u32,
    goid: u64,
    stack_lo: u64,
    stack_hi: u64,
    sp: u64,
    pc: u64,
    bp: u64,
    waiting_since_ns: Option<u64>,
    wait_reason: u8,
    created_pc: u64,
    start_pc: u64,
}

impl G {
    fn parse(bytes: &[u8], facts: &GoroutineFacts) -> Option<Self> {
        let u64_at = |offset: u64| {
            let at = usize::try_from(offset).ok()?;
            let word = bytes.get(at..at.checked_add(8)?)?;
            Some(u64::from_le_bytes(word.try_into().ok()?))
        };
        let low_half = |word: u64| u32::try_from(word & u64::from(u32::MAX)).ok();
        let [wait_reason, ..] = u64_at(facts.waitreason)?.to_le_bytes();
        let since = u64_at(facts.waitsince)?;
        Some(Self {
            status: low_half(u64_at(facts.status)?)?,
            goid: u64_at(facts.goid)?,
            stack_lo: u64_at(facts.stack_lo)?,
            stack_hi: u64_at(facts.stack_hi)?,
            sp: u64_at(facts.sched_sp)?,
            pc: u64_at(facts.sched_pc)?,
            bp: u64_at(facts.sched_bp)?,
            waiting_since_ns: (since != 0 && i64::try_from(since).is_ok()).then_some(since),
            wait_reason,
            created_pc: u64_at(facts.gopc)?,
            start_pc: u64_at(facts.startpc)?,
        })
    }

    /// `None` where the bounds are torn or make no sense.
    fn stack_bytes(&self) -> Option<u64> {
        let size = self.stack_hi.checked_sub(self.stack_lo)?;
        (size > 0 && size <= MAX_STACK_BYTES && self.stack_lo != 0).then_some(size)
    }
}

/// The best example of a group so far.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    at: u64,
    goid: u64,
    waiting_since_ns: Option<u64>,
}

impl Candidate {
    /// Smaller is older: by what the runtime knows, then by id.
    fn age(&self) -> (u64, u64) {
        (self.waiting_since_ns.unwrap_or(u64::MAX), self.goid)
    }
}

/// A group while goroutines are read.
#[derive(Debug, Default)]
struct Gathering {
    group: Group,
    /// Count by number of `waitreason`.
    waits: Vec<(u8, u64)>,
    candidate: Option<Candidate>,
}

/// What was read so far.
#[derive(Debug, Default)]
struct Gathered {
    groups: Vec<Gathering>,
    by_key: HashMap<(u64, u64), u32>,
    /// The group of the goroutine before: a leak lies in a row.
    last: Option<((u64, u64), u32)>,
    others: Others,
    total: u64,
    stack_bytes: u64,
    dead: u64,
    unreadable: u64,
    omitted: u64,
    n_read: u64,
    /// Read, and not what a `g` looks like.
    n_odd: u64,
    shift: u32,
    tracked: Vec<TrackedGoroutine>,
}

impl Gathered {
    /// Follows a smaller part where there are more.
    fn track_at_most(&mut self, max: usize) {
        while self.tracked.len() > max && self.shift < 63 {
            self.shift += 1;
            let shift = self.shift;
            self.tracked.retain(|kept| is_tracked(kept.goid, shift));
        }
    }

    fn is_implausible(&self) -> bool {
        self.n_odd * TORN_ONE_IN > self.n_read
    }

    fn add(&mut self, at: u64, g: Option<G>) {
        let Some(g) = g else {
            self.unreadable += 1;
            return;
        };
        self.n_read += 1;
        let state = State::of(g.status).filter(|state| {
            *state == State::Dead || (g.goid > 0 && g.goid < MAX_GOID && g.start_pc != 0)
        });
        let state = match state {
            None => {
                self.n_odd += 1;
                self.unreadable += 1;
                return;
            }
            Some(State::Dead) => {
                self.dead += 1;
                return;
            }
            Some(state) => state,
        };
        let stack_bytes = g.stack_bytes();
        self.n_odd += u64::from(stack_bytes.is_none());
        let stack_bytes = stack_bytes.unwrap_or(0);
        self.total += 1;
        self.stack_bytes += stack_bytes;
        let Some(idx) = self.group((g.created_pc, g.start_pc)) else {
            self.others.count += 1;
            self.others.stack_bytes += stack_bytes;
            return;
        };
        if is_tracked(g.goid, self.shift) {
            self.tracked.push(TrackedGoroutine {
                goid: g.goid,
                group: idx,
                stack_bytes,
            });
            self.track_at_most(MAX_TRACKED);
        }
        if let Some(gathering) = self.groups.get_mut(idx as usize) {
            gathering.add(at, &g, state, stack_bytes);
        }
    }

    /// The index of a group, which is made where there is room for it.
    fn group(&mut self, key: (u64, u64)) -> Option<u32> {
        if let Some((_, idx)) = self.last.filter(|(last, _)| *last == key) {
            return Some(idx);
        }
        let idx = match self.by_key.get(&key) {
            Some(&idx) => idx,
            None if self.groups.len() >= MAX_GROUPS => return None,
            None => {
                let idx = u32::try_from(self.groups.len()).ok()?;
                let (created_pc, start_pc) = key;
                self.groups.push(Gathering {
                    group: Group {
                        created_pc,
                        start_pc,
                        ..Group::default()
                    },
                    ..Gathering::default()
                });
                self.by_key.insert(key, idx);
                idx
            }
        };
        self.last = Some((key, idx));
        Some(idx)
    }

    fn finish(
        self,
        memory: &(impl Memory + ?Sized),
        facts: &GoroutineFacts,
        n_bytes: usize,
    ) -> AllGoroutines {
        let mut order: Vec<usize> = (0..self.groups.len()).collect();
        let size = |idx: usize| {
            let group = &self.groups[idx].group;
            (group.count, group.stack_bytes)
        };
        order.sort_by_key(|&idx| std::cmp::Reverse(size(idx)));
        let mut places = vec![0; order.len()];
        for (place, &idx) in (0u32..).zip(&order) {
            places[idx] = place;
        }
        let mut tracked = self.tracked;
        for goroutine in &mut tracked {
            goroutine.group = places.get(goroutine.group as usize).copied().unwrap_or(0);
        }
        let mut gathered: Vec<Option<Gathering>> = self.groups.into_iter().map(Some).collect();
        let in_order = order.iter().filter_map(|&idx| gathered[idx].take());
        let groups = in_order.enumerate().map(|(place, gathering)| {
            let candidate = gathering.candidate;
            let mut group = gathering.finish(facts);
            if place < MAX_EXAMPLES {
                group.oldest = candidate.and_then(|candidate| {
                    parked::read(memory, facts, n_bytes, candidate.at, candidate.goid)
                });
            }
            group
        });
        AllGoroutines {
            groups: groups.collect(),
            others: self.others,
            total: self.total,
            stack_bytes: self.stack_bytes,
            dead: self.dead,
            unreadable: self.unreadable,
            omitted: self.omitted,
            allocated_bytes: None,
            tracked: Tracked {
                shift: self.shift,
                goroutines: tracked,
            },
        }
    }
}

impl Gathering {
    fn add(&mut self, at: u64, g: &G, state: State, stack_bytes: u64) {
        let group = &mut self.group;
        group.count += 1;
        group.stack_bytes += stack_bytes;
        let states = &mut group.states;
        match state {
            State::Runnable => states.runnable += 1,
            State::Running => states.running += 1,
            State::Syscall => states.syscall += 1,
            State::Other | State::Dead => states.other += 1,
            State::Waiting => {
                states.waiting += 1;
                let known = self.waits.iter_mut().find(|wait| wait.0 == g.wait_reason);
                match known {
                    Some(wait) => wait.1 += 1,
                    None => self.waits.push((g.wait_reason, 1)),
                }
                let new = Candidate {
                    at,
                    goid: g.goid,
                    waiting_since_ns: g.waiting_since_ns,
                };
                if self.candidate.is_none_or(|old| new.age() < old.age()) {
                    self.candidate = Some(new);
                }
            }
        }
    }

    fn finish(self, facts: &GoroutineFacts) -> Group {
        let mut group = self.group;
        group.waiting_since_ns = self
            .candidate
            .and_then(|candidate| candidate.waiting_since_ns);
        let mut waits: Vec<(&'static str, u64)> = Vec::new();
        for (reason, count) in self.waits {
            let words = words(facts, reason);
            match waits.iter_mut().find(|wait| wait.0 == words) {
                Some(wait) => wait.1 += count,
                None => waits.push((words, count)),
            }
        }
        waits.sort_by_key(|&(words, count)| (std::cmp::Reverse(count), words));
        group.waits = waits;
        group
    }
}

/// The runtime's words for a value of `waitreason`.
fn words(facts: &GoroutineFacts, reason: u8) -> &'static str {
    let known = facts.wait_reasons.get(usize::from(reason)).copied();
    let words = wait_reasons::KNOWN.get(usize::from(known.unwrap_or(0)));
    let words = words.map(|(_, words)| *words);
    words
        .filter(|words| !words.is_empty())
        .unwrap_or(UNKNOWN_REASON)
}

/// Stands for a reason that heaptop has no words for.
pub const UNKNOWN_REASON: &str = "(unknown reason)";
