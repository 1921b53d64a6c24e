//! Event stream of one simulated process: GC cycles as its pacer starts them, figures of the runtime, resident memory.
//!
//! Not covered: samples of allocations, and with them call sites, attribution and the history of the profile; goroutines;
//! lost records; sources other than the sampler. The first read finds no bucket, so the word of the process comes from
//! its series alone.

use heaptop::event::{AnatomyRead, Attached, BucketsRead, Event, HeapRead, ProbeEvent, Target};
use heaptop::go::buckets::ProfCycle;
use heaptop::go::memstats::HeapFigures;

use crate::heap::{BEFORE_S, Heap};
use crate::random::Random;

const MIB: f64 = 1_048_576.0;
/// The runtime starts a cycle when none has run for this long (`forcegcperiod`).
const FORCED_GC_S: f64 = 120.0;
/// Spread of the heap at which a cycle starts about the goal of GOGC=100.
const GOAL_SPREAD: f64 = 0.05;
/// Spread of the allocation of each second about the load, as of 100 requests a second.
const LOAD_SPREAD: f64 = 0.1;
/// Part of the time in which marking runs.
const MARKING: f64 = 0.02;
/// Longest and shortest marking, seconds.
const MARKING_S: (f64, f64) = (0.005, 0.5);
/// Seconds between two reads of page tables.
const ANATOMY_S: usize = 5;
/// Resident anonymous memory outside the heap, and the spread of its readings.
const OUTSIDE_MIB: (f64, f64) = (14.0, 0.05);
/// Resident memory of the executable.
const FILE_MIB: f64 = 9.0;
/// GC cycles whose ends the runtime remembers.
const MAX_GC_ENDS: usize = 256;
/// Monotonic time of the attach: later than any uptime.
const ATTACHED_NS: u64 = 100_000_000_000_000;
const ATTACHED_UNIX_NS: i64 = 1_800_000_000_000_000_000;

/// Mark termination of a cycle.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Mark {
    /// Seconds after the attach.
    at_s: f64,
    /// Seconds that marking took.
    marking_s: f64,
    /// Allocated since the attach, MiB.
    allocated_mib: f64,
    /// Live heap with the noise of this mark, MiB.
    live_mib: f64,
    /// Allocated while marking ran, MiB.
    born_marked_mib: f64,
}

/// Allocation since the attach, MiB.
struct Allocation {
    /// At each second from [`BEFORE_S`] before the attach on.
    by_second: Vec<f64>,
}

impl Allocation {
    fn draw(heap: &Heap, random: &mut Random) -> Self {
        let mut sum = 0.0;
        let mut by_second = vec![0.0];
        for second in 1..=BEFORE_S + heap.watch_s() {
            let rate = heap.alloc_at(second as f64 - BEFORE_S as f64);
            sum += rate * (1.0 + LOAD_SPREAD * random.normal()).max(0.1);
            by_second.push(sum);
        }
        let at_attach = by_second[BEFORE_S];
        for allocated in &mut by_second {
            *allocated -= at_attach;
        }
        Self { by_second }
    }

    fn at(&self, at_s: f64) -> f64 {
        crate::heap::value_at(&self.by_second, at_s)
    }

    /// Time at which `mib` are reached; `None` after the watch.
    fn time_of(&self, mib: f64) -> Option<f64> {
        let above = self.by_second.partition_point(|allocated| *allocated < mib);
        let to = *self.by_second.get(above)?;
        let below = above.checked_sub(1)?;
        let from = self.by_second[below];
        Some(below as f64 - BEFORE_S as f64 + (mib - from) / (to - from))
    }
}

/// Cycles of a process, from [`BEFORE_S`] before the attach on; one at least is before it.
fn marks(heap: &Heap, allocation: &Allocation, random: &mut Random) -> Vec<Mark> {
    let marking_s = (MARKING * heap.gap_s).clamp(MARKING_S.0, MARKING_S.1);
    let mut marks = Vec::new();
    let mut at_s = heap.gap_s * random.uniform(0.05, 0.95) - (BEFORE_S as f64).min(heap.uptime_s);
    while at_s < heap.watch_s() as f64 {
        let live = heap.live_at(at_s);
        let allocated_mib = allocation.at(at_s);
        marks.push(Mark {
            at_s,
            marking_s,
            allocated_mib,
            live_mib: (live + heap.noise_mib * random.normal()).max(0.5 * live),
            born_marked_mib: heap.alloc_at(at_s) * marking_s * random.uniform(0.5, 1.5),
        });
        let goal = live * random.uniform(1.0 - GOAL_SPREAD, 1.0 + GOAL_SPREAD);
        let due_s = allocation.time_of(allocated_mib + goal);
        at_s = due_s.map_or(f64::INFINITY, |due_s| due_s.max(at_s + 2.0 * marking_s));
        at_s = at_s.min(marks[marks.len() - 1].at_s + FORCED_GC_S);
    }
    marks
}

/// Draws the events of a watch, in order of time.
pub(crate) fn events(heap: &Heap, random: &mut Random) -> Vec<Event> {
    let allocation = Allocation::draw(heap, random);
    let all_marks = marks(heap, &allocation, random);
    let n_before = all_marks.partition_point(|mark| mark.at_s < 0.0);
    // The last one before the attach is the first.
    let (before, marks) = (&all_marks[..n_before], &all_marks[n_before - 1..]);
    let cycles_before = heap.uptime_s / heap.gap_s;
    let allocated_before_mib = heap.alloc_mib_per_s * heap.uptime_s;
    let cycle =
        |index: usize| u32::try_from(whole(cycles_before) + index as u64).unwrap_or(u32::MAX);
    let figures = |index: usize, at_s: f64| {
        let mark = &marks[index];
        let heap_mib =
            mark.live_mib + mark.born_marked_mib + allocation.at(at_s) - mark.allocated_mib;
        Event::Heap(HeapRead {
            at_ns: at_ns(at_s),
            runtime: Some(HeapFigures {
                gc_cycles: cycle(index),
                live_bytes: bytes(mark.live_mib + mark.born_marked_mib),
                goal_bytes: Some(bytes(2.0 * mark.live_mib)),
                rate_bytes: 524_288,
                prof_cycle: ProfCycle(cycle(index) << 1),
                swept: true,
                heap_live_bytes: bytes(heap_mib),
                gc_percent: Some(100),
                last_gc_unix_ns: unix_ns(mark.at_s),
                total_alloc_bytes: bytes(allocated_before_mib + allocation.at(at_s)),
                ..HeapFigures::default()
            }),
            rss_bytes: Some(bytes(rss_mib(mark))),
        })
    };
    let mut events = vec![
        Event::Attached(Box::new(Attached {
            target: Target {
                name: "simulated".to_owned(),
                go: "go1.26".to_owned(),
                attached_ns: ATTACHED_NS,
                attached_unix_ns: ATTACHED_UNIX_NS,
                started_unix_ns: ATTACHED_UNIX_NS
                    .saturating_sub_unsigned(whole(heap.uptime_s * 1e9)),
                ..Target::default()
            },
            gc_ends_unix_ns: before[before.len().saturating_sub(MAX_GC_ENDS)..]
                .iter()
                .map(|mark| unix_ns(mark.at_s))
                .collect(),
            ..Attached::default()
        })),
        figures(0, 0.0),
        Event::Buckets(BucketsRead {
            from_ns: ATTACHED_NS,
            to_ns: ATTACHED_NS + 1,
            cycle: Some(cycle(0)),
            swept: true,
            complete: true,
            ..BucketsRead::default()
        }),
    ];
    let mut next = 1;
    for second in 1..=heap.watch_s() {
        let at_s = second as f64;
        while let Some(mark) = marks.get(next)
            && mark.at_s < at_s
        {
            events.extend(hooks(mark, &marks[next - 1], cycle(next)));
            next += 1;
        }
        if second % ANATOMY_S == 0 {
            events.push(anatomy(&marks[next - 1], at_s, random));
        }
        events.push(figures(next - 1, at_s));
    }
    // Marking may begin before a read and end after it.
    events.sort_by_key(Event::at_ns);
    events
}

/// Records of the probes at both ends of marking. `last` is the cycle before.
fn hooks(mark: &Mark, last: &Mark, cycle: u32) -> [Event; 2] {
    let end_mib = last.live_mib + last.born_marked_mib + mark.allocated_mib - last.allocated_mib;
    let end_mib = end_mib.max(mark.born_marked_mib);
    [
        Event::Probe(ProbeEvent::GcStart {
            at_ns: at_ns(mark.at_s - mark.marking_s),
            heap_bytes: Some(bytes(end_mib - mark.born_marked_mib)),
        }),
        Event::Probe(ProbeEvent::GcMarked {
            at_ns: at_ns(mark.at_s),
            live_bytes: bytes(mark.live_mib + mark.born_marked_mib),
            cycle: Some(cycle),
            heap_bytes: Some(bytes(end_mib)),
        }),
    ]
}

/// Resident memory: the heap has touched its goal.
fn anatomy(mark: &Mark, at_s: f64, random: &mut Random) -> Event {
    let (outside_mib, spread_mib) = OUTSIDE_MIB;
    let outside_mib = outside_mib + spread_mib * random.normal();
    let heap_mib = 2.0 * mark.live_mib;
    let mut read = AnatomyRead {
        at_ns: at_ns(at_s),
        took_ns: 1,
        ..AnatomyRead::default()
    };
    read.kernel.rss_bytes = bytes(heap_mib + outside_mib + FILE_MIB);
    read.kernel.anon_bytes = bytes(heap_mib + outside_mib);
    read.kernel.file_bytes = bytes(FILE_MIB);
    read.kernel.peak_rss_bytes = read.kernel.rss_bytes;
    read.pages.other_anon_bytes = bytes(outside_mib);
    read.census.resident_bytes = bytes(heap_mib);
    read.census.idle_bytes = bytes(heap_mib);
    read.accounts.live_bytes = bytes(mark.live_mib);
    Event::Anatomy(Box::new(read))
}

/// Resident set: heap, memory outside it, executable.
fn rss_mib(mark: &Mark) -> f64 {
    2.0 * mark.live_mib + OUTSIDE_MIB.0 + FILE_MIB
}

fn bytes(mib: f64) -> u64 {
    whole(mib * MIB)
}

fn at_ns(at_s: f64) -> u64 {
    whole(ATTACHED_NS as f64 + at_s * 1e9)
}

fn unix_ns(at_s: f64) -> u64 {
    whole(ATTACHED_UNIX_NS as f64 + at_s * 1e9)
}

/// Rounds down; negative numbers to 0.
fn whole(number: f64) -> u64 {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast from f64 saturates"
    )]
    let whole = number as u64;
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heap::Kind;

    fn drawn(kind: Kind, number: u64) -> (Heap, Vec<Event>) {
        let mut random = Random::new(5, 0, number);
        let heap = Heap::draw(kind, &mut random);
        let events = events(&heap, &mut random);
        (heap, events)
    }

    #[test]
    fn events_come_in_order_of_time() {
        for number in 0..20 {
            let (_, events) = drawn(Kind::Leak20, number);
            let times: Vec<u64> = events.iter().map(Event::at_ns).collect();
            assert!(times.is_sorted());
        }
    }

    #[test]
    fn cycles_are_as_far_apart_as_drawn() {
        for number in 0..20 {
            let (heap, events) = drawn(Kind::Flat, number);
            let is_mark =
                |event: &&Event| matches!(event, Event::Probe(ProbeEvent::GcMarked { .. }));
            let marks = events.iter().filter(is_mark).count();
            let expected = heap.watch_s() as f64 / heap.gap_s;
            assert!(
                (marks as f64 - expected).abs() < 0.15 * expected + 2.0,
                "{marks} {expected}"
            );
        }
    }
}
