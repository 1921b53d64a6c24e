//! The edge of the sources that live from the runtime's own profile: reads buckets and specials, between two drains of
//! the ring, so that what was read can be compared with the events.

use std::time::Duration;

use super::edge::Edge;
use crate::clock::monotonic_ns;
use crate::event::{BucketsRead, Event};
use crate::go::buckets::{self, MAX_BUCKETS, MAX_FRAMES, MemRecord, NewBucket, ProfCycle};
use crate::go::memory::Unreadable;
use crate::go::memstats::HeapFigures;
use crate::go::{memstats, specials};
use crate::model::ReadRequest;
use crate::model::bucket::Lost;
use crate::model::samples::MAX_LIVE_SAMPLES;

/// Between the two reads of a bucket: longer than a thread of the target is usually kept from a CPU
/// between its counter and its probe.
const READ_GAP: Duration = Duration::from_millis(10);
/// Tries to read all buckets within one cycle.
const MAX_FIRST_READS: usize = 5;
/// Tries of a read that must fall between a sweep and the next cycle.
const MAX_TRIES: usize = 3;
/// How long such a read waits for the end of a sweep: a heap of GiBs sweeps in some 100 ms.
const SWEEP_POLL: Duration = Duration::from_millis(2);
const MAX_SWEEP_POLLS: usize = 100;

/// Reads the runtime's profile.
#[derive(Debug)]
pub(super) struct BucketReader {
    /// Buckets known, in the order of their creation.
    known: Vec<NewBucket>,
    /// Those of `known` that the model was told of.
    n_told: usize,
    /// Buckets beyond our bound, at least.
    omitted: u64,
    truncated_stacks: u64,
    /// Births and frees come as events.
    pub(super) by_probes: bool,
}

impl BucketReader {
    /// Has read nothing yet.
    pub(super) fn new(by_probes: bool) -> Self {
        Self {
            known: Vec::new(),
            n_told: 0,
            omitted: 0,
            truncated_stacks: 0,
            by_probes,
        }
    }

    /// The first events: everything that the rows of the first screen are made of.
    pub(super) fn first_events(&mut self, edge: &mut Edge) -> Result<Vec<Event>, Unreadable> {
        let mut events = Vec::new();
        edge.drain(&mut events);
        let heap = edge.read_heap();
        edge.drain(&mut events);
        events.extend(edge.probes().map(|probes| Event::Kernel(probes.counters())));
        events.push(Event::Heap(heap));
        let lost_before = lost(edge);
        let from_ns = monotonic_ns();
        self.walk_new(edge)?;
        let all: Vec<usize> = (0..self.known.len()).collect();
        let mut tries = 0;
        let (cycle, records) = loop {
            tries += 1;
            let before = prof_cycle(edge)?;
            let first = self.read_records(edge, &all)?;
            let second = self.read_records(edge, &all)?;
            // A flush moves counts without moving the cycle: only two equal readings are not torn.
            let steady = prof_cycle(edge)? == before;
            if (steady && first == second) || tries >= MAX_FIRST_READS {
                break (steady.then(|| before.number()), second);
            }
        };
        edge.drain(&mut events);
        let number = cycle.unwrap_or(0);
        let counts = self.known.iter().zip(&records);
        let counts = counts
            .map(|(b, record)| (b.addr, record.counts(number)))
            .collect();
        let is_swept = |f: HeapFigures| f.swept && Some(f.prof_cycle.number()) == cycle;
        events.push(Event::Buckets(BucketsRead {
            from_ns,
            to_ns: monotonic_ns(),
            cycle,
            swept: heap.runtime.is_some_and(is_swept),
            new: self.tell_new(),
            counts,
            complete: true,
            lost_before,
            omitted: self.omitted,
            truncated_stacks: self.truncated_stacks,
        }));
        Ok(events)
    }

    /// Reads what the model asked for, between two drains.
    pub(super) async fn answer(
        &mut self,
        edge: &mut Edge,
        request: ReadRequest,
        batch: &mut Vec<Event>,
    ) {
        edge.drain_all(batch);
        let lost_before = lost(edge);
        let mut read = match self.read(edge, &request).await {
            Ok(read) => read,
            Err(err) => {
                // The target is ending, or its memory moved; the model asks again in a second.
                log::warn!("buckets: {err}");
                return;
            }
        };
        read.new = self.tell_new();
        read.lost_before = lost_before;
        // After the buckets: its cycle is theirs, or they are not of the present one.
        let heap = edge.read_heap();
        edge.drain_all(batch);
        if let Some(probes) = edge.probes() {
            batch.push(Event::Kernel(probes.counters()));
        }
        batch.push(Event::Heap(heap));
        batch.push(Event::Buckets(read));
    }

    /// Reads; where no events come, so that values after GC rest on the reads alone, tries for one that
    /// falls between the end of a sweep and the next cycle.
    async fn read(
        &mut self,
        edge: &Edge,
        request: &ReadRequest,
    ) -> Result<BucketsRead, Unreadable> {
        if self.by_probes {
            return self.read_twice(edge, request).await;
        }
        let mut tries = 0;
        loop {
            tries += 1;
            for _ in 0..MAX_SWEEP_POLLS {
                if memstats::sweep_drained(&edge.go.memory(), &edge.go.program.vars)? {
                    break;
                }
                tokio::time::sleep(SWEEP_POLL).await;
            }
            let read = self.read_twice(edge, request).await?;
            if tries >= MAX_TRIES || (read.cycle.is_some() && read.swept && read.complete) {
                return Ok(read);
            }
        }
    }

    /// One reading of counters, without the buckets that are new in it.
    async fn read_twice(
        &mut self,
        edge: &Edge,
        request: &ReadRequest,
    ) -> Result<BucketsRead, Unreadable> {
        let from_ns = monotonic_ns();
        let before = prof_cycle(edge)?;
        let swept = memstats::sweep_drained(&edge.go.memory(), &edge.go.program.vars)?;
        self.walk_new(edge)?;
        let first_new = self.n_told;
        let wanted: Vec<usize> = if request.all {
            (0..self.known.len()).collect()
        } else {
            let asked: std::collections::HashSet<u64> = request.buckets.iter().copied().collect();
            (0..first_new)
                .filter(|&i| asked.contains(&self.known[i].addr))
                .chain(first_new..self.known.len())
                .collect()
        };
        let first = self.read_records(edge, &wanted)?;
        if self.by_probes {
            tokio::time::sleep(READ_GAP).await;
        }
        let second = self.read_records(edge, &wanted)?;
        let steady = prof_cycle(edge)? == before;
        let number = before.number();
        // Two equal reads: a flush that moves counts from one cycle to another was not in between.
        let by_probes = self.by_probes;
        let agree = |a: &MemRecord, b: &MemRecord| {
            if by_probes {
                a == b
            } else {
                a.agrees_after_gc(b, number)
            }
        };
        let agreed = wanted
            .iter()
            .zip(first.iter().zip(&second))
            .filter(|(_, (a, b))| agree(a, b));
        let counts: Vec<_> = agreed
            .map(|(&i, (_, record))| (self.known[i].addr, record.counts(number)))
            .collect();
        Ok(BucketsRead {
            from_ns,
            to_ns: monotonic_ns(),
            cycle: steady.then_some(number),
            swept,
            complete: request.all && counts.len() == self.known.len(),
            counts,
            omitted: self.omitted,
            truncated_stacks: self.truncated_stacks,
            ..BucketsRead::default()
        })
    }

    /// Finds the buckets that were made since the last walk; they are known from now on.
    fn walk_new(&mut self, edge: &Edge) -> Result<(), Unreadable> {
        if self.known.len() >= MAX_BUCKETS {
            return Ok(()); // Full: what comes is only counted by events.
        }
        let head = self.known.last().map_or(0, |bucket| bucket.addr);
        let (mut new, omitted) =
            buckets::walk(&edge.go.memory(), edge.go.program.vars.mbuckets, head)?;
        let room = MAX_BUCKETS - self.known.len();
        self.omitted += omitted + new.len().saturating_sub(room) as u64;
        new.truncate(room);
        let is_cut = |bucket: &&NewBucket| bucket.n_frames as usize > MAX_FRAMES;
        self.truncated_stacks += new.iter().filter(is_cut).count() as u64;
        self.known.append(&mut new);
        Ok(())
    }

    /// The buckets that the model has not been told of. A reading that fails tells nothing and loses none.
    fn tell_new(&mut self) -> Vec<NewBucket> {
        let new = self.known[self.n_told..].to_vec();
        self.n_told = self.known.len();
        new
    }

    fn read_records(&self, edge: &Edge, wanted: &[usize]) -> Result<Vec<MemRecord>, Unreadable> {
        let buckets = wanted.iter().map(|&i| &self.known[i]);
        buckets::read_records(&edge.go.memory(), edge.go.program.facts.record, buckets)
    }
}

/// Records of samples lost so far.
fn lost(edge: &Edge) -> Lost {
    edge.probes()
        .map_or_else(Lost::default, |probes| probes.counters().lost_samples())
}

fn prof_cycle(edge: &Edge) -> Result<ProfCycle, Unreadable> {
    let program = &edge.go.program;
    ProfCycle::read(&edge.go.memory(), program.facts, &program.vars)
}

/// The samples that were alive at the attach, one by one. Comes after the first rows: it looks at
/// every span.
///
/// Two walks have to agree: sweepers give a special to another span while its list is followed, and what
/// is found behind it then is an object that never was. One born between the walks comes as an event.
pub(super) fn live_samples(edge: &Edge) -> Vec<Event> {
    let from_ns = monotonic_ns();
    let vars = &edge.go.program.vars;
    let walk = || {
        let (memory, facts) = (edge.go.memory(), edge.go.program.facts);
        specials::live_samples(&memory, facts, vars.mheap, MAX_LIVE_SAMPLES)
    };
    let (Ok((mut samples, cut)), Ok((again, _))) = (walk(), walk()) else {
        return Vec::new();
    };
    let again: std::collections::HashSet<_> = again.into_iter().collect();
    samples.retain(|sample| again.contains(sample));
    vec![Event::Specials {
        from_ns,
        samples,
        cut,
    }]
}
