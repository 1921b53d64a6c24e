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
use crate::event::{BucketsRead, Event, HeapRead};
use crate::go::buckets::{self, MAX_BUCKETS, MAX_FRAMES, MemRecord, NewBucket, ProfCycle};
use crate::go::memory::{Memory as _, Unreadable};
use crate::go::{memstats, specials};
use crate::model::ReadRequest;
use crate::model::samples::MAX_LIVE_SAMPLES;
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
        let mut tries = 0;
        loop {
            tries += 1;
            let from_ns = monotonic_ns();
            let before = self.prof_cycle()?;
            let new = self.walk_new()?;
            let first = self.read_records(&(0..self.known.len()).collect::<Vec<_>>())?;
            let second = self.read_records(&(0..self.known.len()).collect::<Vec<_>>())?;
            let steady = self.prof_cycle()? == before;
            if !steady && tries < MAX_FIRST_READS {
                // `new` is kept as known: the next try has to tell of all of them.
                self.known.clear();
                self.truncated_stacks = 0;
                continue;
            }
            self.drain(&mut events);
            let counts = self.known.iter().zip(first.iter().zip(&second));
            let counts = counts
                .map(|(b, (_, record))| (b.addr, record.counts(before.number())))
                .collect();
            events.push(Event::Buckets(BucketsRead {
                from_ns,
                to_ns: monotonic_ns(),
                cycle: steady.then(|| before.number()),
                swept: heap
                    .runtime
                    .is_some_and(|f| f.swept && f.prof_cycle.number() == before.number()),
                new,
                counts,
                complete: true,
                truncated_stacks: self.truncated_stacks,
            }));
            return Ok(events);
        }
    }

    /// Runs until the target ends, or nobody listens any more. Dropping it detaches the probes.
    pub async fn run(
        mut self,
        events: mpsc::Sender<Vec<Event>>,
        mut requests: mpsc::Receiver<Request>,
    ) {
        let exit = self
            .go
            .process
            .pidfd()
            .try_clone_to_owned()
            .and_then(readable);
        let ring = self
            .probes
            .as_ref()
            .map(|probes| probes.ring_fd().and_then(readable));
        let (Ok(exit), Ok(ring)) = (exit, ring.transpose()) else {
            return;
        };
        let mut timer = tokio::time::interval(DRAIN_EVERY);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        if events.send(self.live_samples()).await.is_err() {
            return;
        }
        loop {
            let mut batch = Vec::new();
            tokio::select! {
                _ = exit.readable() => {
                    self.drain_all(&mut batch);
                    batch.push(Event::Exited { at_ns: monotonic_ns(), how: None });
                    let _ = events.send(batch).await;
                    return;
                }
                () = woken(ring.as_ref()) => self.drain_all(&mut batch),
                _ = timer.tick() => self.look(&mut batch),
                request = requests.recv() => match request {
                    None => return,
                    Some(Request::HitCost(ns)) => self.budget.hit_cost_ns = ns,
                    Some(Request::Read(request)) => self.answer(request, &mut batch).await,
                },
            }
            if !self.go.process.same_program() {
                batch.push(Event::Exited {
                    at_ns: monotonic_ns(),
                    how: Some(
                        "it replaced itself by exec: start heaptop again to watch the new program"
                            .into(),
                    ),
                });
                let _ = events.send(batch).await;
                return;
            }
            if !batch.is_empty() && events.send(batch).await.is_err() {
                return;
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
        let Some(probes) = &mut self.probes else {
            return;
        };
        let counters = probes.counters();
        batch.push(Event::Kernel(counters));
        if self.budget.exceeded(&counters) {
            let links = probes.take_sampler_links();
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
        let Ok(read) = self.read(&request).await else {
            return; // The target is ending, or its memory moved; the next read is asked for in a second.
        };
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
        let mut new = Vec::new();
        let mut tries = 0;
        loop {
            tries += 1;
            for _ in 0..MAX_SWEEP_POLLS {
                if memstats::sweep_drained(&self.go.memory(), &self.go.program.vars)? {
                    break;
                }
                tokio::time::sleep(SWEEP_POLL).await;
            }
            let mut read = self.read_twice(request).await?;
            new.append(&mut read.new);
            if tries >= MAX_TRIES || (read.cycle.is_some() && read.swept && read.complete) {
                return Ok(BucketsRead { new, ..read });
            }
        }
    }

    async fn read_twice(&mut self, request: &ReadRequest) -> Result<BucketsRead, Unreadable> {
        let from_ns = monotonic_ns();
        let before = self.prof_cycle()?;
        let swept = memstats::sweep_drained(&self.go.memory(), &self.go.program.vars)?;
        let first_new = self.known.len();
        let new = self.walk_new()?;
        let mut wanted: Vec<usize> = if request.all {
            (0..self.known.len()).collect()
        } else {
            let asked: std::collections::HashSet<u64> = request.buckets.iter().copied().collect();
            (0..first_new)
                .filter(|&i| asked.contains(&self.known[i].addr))
                .chain(first_new..self.known.len())
                .collect()
        };
        wanted.sort_unstable();
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
            new,
            counts,
            truncated_stacks: self.truncated_stacks,
        })
    }

    /// Buckets that were made since the last walk; they are known from now on.
    fn walk_new(&mut self) -> Result<Vec<NewBucket>, Unreadable> {
        let head = self.known.last().map_or(0, |bucket| bucket.addr);
        let (mut new, _) = buckets::walk(&self.go.memory(), self.go.program.vars.mbuckets, head)?;
        new.truncate(MAX_BUCKETS.saturating_sub(self.known.len()));
        self.truncated_stacks += new
            .iter()
            .filter(|bucket| bucket.n_frames as usize > MAX_FRAMES)
            .count() as u64;
        self.known.extend(new.iter().cloned());
        Ok(new)
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
        let (Ok((mut samples, _)), Ok((again, _))) = (walk(), walk()) else {
            return Vec::new();
        };
        let again: std::collections::HashSet<_> = again.into_iter().collect();
        samples.retain(|sample| again.contains(sample));
        vec![Event::Specials { from_ns, samples }]
    }

    fn drain(&mut self, batch: &mut Vec<Event>) -> bool {
        self.probes
            .as_mut()
            .is_some_and(|probes| probes.drain(batch))
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
