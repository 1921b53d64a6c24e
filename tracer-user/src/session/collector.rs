//! The edge beside the model: one task that owns the ring and the target's memory, and turns both into
//! batches of events in the order that makes them comparable (drain, read, drain).
//!
//! It decides nothing: what is read next is the model's answer ([`crate::model::Model::next_reads`]).

use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::budget::SamplerBudget;
use super::readiness::readable;
use crate::clock::monotonic_ns;
use crate::event::{BucketsRead, Event, HeapRead, Record};
use crate::go::buckets::{self, MAX_BUCKETS, MAX_FRAMES, MemRecord, NewBucket, ProfCycle};
use crate::go::memory::{Memory as _, Unreadable};
use crate::go::memstats::HeapFigures;
use crate::go::{memstats, specials};
use crate::model::ReadRequest;
use crate::model::bucket::Lost;
use crate::model::samples::MAX_LIVE_SAMPLES;
use crate::plan::Kind;
use crate::probe::Probes;
use crate::process::go_process::GoProcess;

/// The ring is drained at least so often: births and frees come without a wake-up, which would cost more
/// than they do.
const DRAIN_EVERY: Duration = Duration::from_millis(100);
/// Between the two reads of a bucket: longer than a thread of the target is usually kept from a CPU
/// between its counter and its probe.
const READ_GAP: Duration = Duration::from_millis(10);
/// The resident set is asked for so often: it walks nothing, but is a file each time.
const RSS_EVERY_NS: u64 = 1_000_000_000;
/// Tries to read all buckets within one cycle.
const MAX_FIRST_READS: usize = 5;
/// Tries of a read that must fall between a sweep and the next cycle.
const MAX_TRIES: usize = 3;
/// How long such a read waits for the end of a sweep: a heap of GiBs sweeps in some 100 ms.
const SWEEP_POLL: Duration = Duration::from_millis(2);
const MAX_SWEEP_POLLS: usize = 100;
/// Batches that may wait for the model. When it is full the collector waits, the ring fills, and the
/// kernel counts what it loses.
pub const MAX_BATCHES: usize = 64;

/// Batches of events, in order.
pub type Batches = mpsc::Receiver<Vec<Event>>;

/// What the collector is asked.
#[derive(Clone, Debug)]
pub enum Request {
    /// Read these buckets.
    Read(ReadRequest),
    /// What a hit costs: the budget counts with it.
    HitCost(f64),
}

/// Owns what a target gives.
#[derive(Debug)]
pub struct Collector {
    go: GoProcess,
    probes: Option<Probes>,
    /// Buckets known, in the order of their creation.
    known: Vec<NewBucket>,
    /// Those of `known` that the model was told of.
    n_told: usize,
    /// Buckets beyond our bound, at least.
    omitted: u64,
    truncated_stacks: u64,
    rss: Option<(u64, Option<u64>)>,
    budget: SamplerBudget,
    /// Births and frees come as events.
    samples_by_probes: bool,
}

impl Collector {
    /// A collector for an open process, with its probes if there are any.
    pub fn new(go: GoProcess, probes: Option<Probes>) -> Self {
        Self {
            samples_by_probes: probes.is_some(),
            go,
            probes,
            known: Vec::new(),
            n_told: 0,
            omitted: 0,
            truncated_stacks: 0,
            rss: None,
            budget: SamplerBudget::default(),
        }
    }

    /// The first events: everything that the rows of the first screen are made of.
    pub fn first_events(&mut self) -> Result<Vec<Event>, Unreadable> {
        let mut events = Vec::new();
        self.drain(&mut events);
        let heap = self.read_heap();
        self.drain(&mut events);
        events.extend(
            self.probes
                .as_ref()
                .map(|probes| Event::Kernel(probes.counters())),
        );
        events.push(Event::Heap(heap));
        let lost_before = self.lost();
        let from_ns = monotonic_ns();
        self.walk_new()?;
        let all: Vec<usize> = (0..self.known.len()).collect();
        let mut tries = 0;
        let (cycle, records) = loop {
            tries += 1;
            let before = self.prof_cycle()?;
            let first = self.read_records(&all)?;
            let second = self.read_records(&all)?;
            // A flush moves counts without moving the cycle: only two equal readings are not torn.
            let steady = self.prof_cycle()? == before;
            if (steady && first == second) || tries >= MAX_FIRST_READS {
                break (steady.then(|| before.number()), second);
            }
        };
        self.drain(&mut events);
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

    /// Runs until the target ends, or nobody listens any more. Dropping it detaches the probes.
    ///
    /// # Errors
    /// When the target cannot be waited for; nothing was collected then.
    pub async fn run(
        mut self,
        events: mpsc::Sender<Vec<Event>>,
        mut requests: mpsc::Receiver<Request>,
    ) -> std::io::Result<()> {
        let exit = readable(self.go.process.pidfd().try_clone_to_owned()?)?;
        let ring = self
            .probes
            .as_ref()
            .map(|probes| probes.ring_fd().and_then(readable));
        let ring = ring.transpose()?;
        let mut timer = tokio::time::interval(DRAIN_EVERY);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut samples = Some(self.live_samples());
        loop {
            let mut batch = samples.take().unwrap_or_default();
            tokio::select! {
                _ = exit.readable() => {
                    self.drain_all(&mut batch);
                    batch.push(Event::Exited { at_ns: monotonic_ns(), how: None });
                    let _ = events.send(batch).await;
                    return Ok(());
                }
                () = woken(ring.as_ref()) => self.drain_all(&mut batch),
                _ = timer.tick() => self.look(&mut batch),
                request = requests.recv() => match request {
                    None => return Ok(()),
                    Some(Request::HitCost(ns)) => self.budget.hit_cost_ns = ns,
                    Some(Request::Read(request)) => self.answer(request, &mut batch).await,
                },
            }
            if !self.go.process.same_program() {
                // What was read may be of the new program, at the addresses of the old one.
                batch.retain(|event| matches!(event, Event::Probe(_) | Event::Kernel(_)));
                batch.push(Event::Exited {
                    at_ns: monotonic_ns(),
                    how: Some(
                        "it replaced itself by exec: start heaptop again to watch the new program"
                            .into(),
                    ),
                });
                let _ = events.send(batch).await;
                return Ok(());
            }
            while !batch.is_empty() {
                tokio::select! {
                    permit = events.reserve() => match permit {
                        Ok(permit) => permit.send(std::mem::take(&mut batch)),
                        Err(_) => return Ok(()),
                    },
                    // Nobody takes what was collected: the ring fills and loses, which is counted. What the
                    // target pays is still watched.
                    _ = timer.tick() => self.keep_budget(&mut batch),
                }
            }
        }
    }

    /// The regular look: ring, figures, counters, budget.
    fn look(&mut self, batch: &mut Vec<Event>) {
        self.drain_all(batch);
        let heap = self.read_heap();
        // What was freed before the figures were read is in the ring now.
        self.drain_all(batch);
        batch.push(Event::Heap(heap));
        self.keep_budget(batch);
    }

    /// Reads the kernel's counters, and detaches the sampler's probes if they take too much.
    fn keep_budget(&mut self, batch: &mut Vec<Event>) {
        let Some(probes) = &mut self.probes else {
            return;
        };
        let counters = probes.counters();
        batch.retain(|event| !matches!(event, Event::Kernel(_)));
        batch.push(Event::Kernel(counters));
        if self.budget.exceeded(&counters) {
            let links = probes.take_links(&[Kind::Born, Kind::Freed]);
            if !links.is_empty() {
                // A detach blocks for 0.1 s: on a thread of its own, while the ring is drained here.
                tokio::task::spawn_blocking(move || drop(links));
                self.samples_by_probes = false;
                batch.push(Event::SamplerDetached {
                    at_ns: counters.at_ns,
                });
            }
        }
    }

    /// Reads what the model asked for, between two drains.
    async fn answer(&mut self, request: ReadRequest, batch: &mut Vec<Event>) {
        self.drain_all(batch);
        let lost_before = self.lost();
        let mut read = match self.read(&request).await {
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
        let heap = self.read_heap();
        self.drain_all(batch);
        if let Some(probes) = &self.probes {
            batch.push(Event::Kernel(probes.counters()));
        }
        batch.push(Event::Heap(heap));
        batch.push(Event::Buckets(read));
    }

    /// Reads; where no events come, so that values after GC rest on the reads alone, tries for one that
    /// falls between the end of a sweep and the next cycle.
    async fn read(&mut self, request: &ReadRequest) -> Result<BucketsRead, Unreadable> {
        if self.samples_by_probes {
            return self.read_twice(request).await;
        }
        let mut tries = 0;
        loop {
            tries += 1;
            for _ in 0..MAX_SWEEP_POLLS {
                if memstats::sweep_drained(&self.go.memory(), &self.go.program.vars)? {
                    break;
                }
                tokio::time::sleep(SWEEP_POLL).await;
            }
            let read = self.read_twice(request).await?;
            if tries >= MAX_TRIES || (read.cycle.is_some() && read.swept && read.complete) {
                return Ok(read);
            }
        }
    }

    /// One reading of counters, without the buckets that are new in it.
    async fn read_twice(&mut self, request: &ReadRequest) -> Result<BucketsRead, Unreadable> {
        let from_ns = monotonic_ns();
        let before = self.prof_cycle()?;
        let swept = memstats::sweep_drained(&self.go.memory(), &self.go.program.vars)?;
        self.walk_new()?;
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
        let first = self.read_records(&wanted)?;
        if self.samples_by_probes {
            tokio::time::sleep(READ_GAP).await;
        }
        let second = self.read_records(&wanted)?;
        let steady = self.prof_cycle()? == before;
        let number = before.number();
        // Two equal reads: a flush that moves counts from one cycle to another was not in between.
        let by_probes = self.samples_by_probes;
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
    fn walk_new(&mut self) -> Result<(), Unreadable> {
        if self.known.len() >= MAX_BUCKETS {
            return Ok(()); // Full: what comes is only counted by events.
        }
        let head = self.known.last().map_or(0, |bucket| bucket.addr);
        let (mut new, omitted) =
            buckets::walk(&self.go.memory(), self.go.program.vars.mbuckets, head)?;
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

    fn lost(&self) -> Lost {
        self.probes
            .as_ref()
            .map_or_else(Lost::default, |probes| probes.counters().lost_samples())
    }

    fn read_records(&self, wanted: &[usize]) -> Result<Vec<MemRecord>, Unreadable> {
        let buckets = wanted.iter().map(|&i| &self.known[i]);
        buckets::read_records(&self.go.memory(), self.go.program.facts.record, buckets)
    }

    fn prof_cycle(&self) -> Result<ProfCycle, Unreadable> {
        self.go
            .memory()
            .u32(self.go.program.vars.mprof_cycle)
            .map(ProfCycle)
    }

    fn read_heap(&mut self) -> HeapRead {
        let at_ns = monotonic_ns();
        let runtime = memstats::read(
            &self.go.memory(),
            self.go.program.facts,
            &self.go.program.vars,
        )
        .ok();
        let rss = self
            .rss
            .filter(|(read_ns, _)| at_ns - read_ns < RSS_EVERY_NS);
        let (_, rss_bytes) = *self
            .rss
            .insert(rss.unwrap_or_else(|| (at_ns, self.go.process.rss_bytes())));
        HeapRead {
            at_ns,
            runtime,
            rss_bytes,
        }
    }

    /// The samples that were alive at the attach, one by one. Comes after the first rows: it looks at
    /// every span.
    ///
    /// Two walks have to agree: sweepers give a special to another span while its list is followed, and what
    /// is found behind it then is an object that never was. One born between the walks comes as an event.
    fn live_samples(&self) -> Vec<Event> {
        let from_ns = monotonic_ns();
        let vars = &self.go.program.vars;
        let walk = || {
            let (memory, facts) = (self.go.memory(), self.go.program.facts);
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

    fn drain(&mut self, batch: &mut Vec<Event>) -> bool {
        let Some(probes) = &mut self.probes else {
            return false;
        };
        let mut records = Vec::new();
        let may_be_more = probes.drain(&mut records);
        batch.extend(records.into_iter().filter_map(|record| match record {
            Record::Event(event) => Some(Event::Probe(event)),
            Record::Stack { .. } => None,
        }));
        may_be_more
    }

    /// Drains until the ring was seen empty, at most a few batches: a target that fills it faster than it
    /// is drained must not hold us here.
    fn drain_all(&mut self, batch: &mut Vec<Event>) {
        const MAX_ROUNDS: usize = 4;
        let _ = (0..MAX_ROUNDS).all(|_| self.drain(batch));
    }
}

/// Waits for a wake-up of the ring; for ever without one.
async fn woken(ring: Option<&AsyncFd<OwnedFd>>) {
    match ring {
        Some(ring) => {
            if let Ok(mut ready) = ring.readable().await {
                ready.clear_ready();
            }
        }
        None => std::future::pending().await,
    }
}
