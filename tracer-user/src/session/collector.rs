//! The edge beside the model: one task that owns the ring and the target's memory, and turns both into
//! batches of events in the order that makes them comparable (drain, read, drain).
//!
//! It decides nothing: what is read next is the model's answer ([`crate::model::Model::next_reads`]), or follows from a
//! GC cycle that ended.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use super::anatomy_reader::AnatomyReads;
use super::bucket_reader::{BucketReader, live_samples};
use super::calls::CallsReader;
use super::edge::Edge;
use super::end_reader::EndReader;
use super::goroutine_reader::GoroutineReader;
use super::marks_reader::MarksReader;
use crate::clock::monotonic_ns;
use crate::event::{CallWindow, Event, Exit};
use crate::go::memory::Unreadable;
use crate::model::ReadRequest;
use crate::probe::Probes;
use crate::probe::calibrate::HitCost;
use crate::readiness::readable;
use crate::source::limit::Group;

/// The ring is drained at least so often: births and frees come without a wake-up, which would cost more
/// than they do.
const DRAIN_EVERY: Duration = Duration::from_millis(100);
/// How often probes on their way out are looked at by who waits for them.
const REST_LOOK: Duration = Duration::from_millis(10);
/// Batches that may wait for the model. When it is full the collector waits, the ring fills, and the
/// kernel counts what it loses.
pub const MAX_BATCHES: usize = 64;

/// Batches of events, in order.
pub type Batches = mpsc::Receiver<Vec<Event>>;

/// What the collector is asked.
#[derive(Debug)]
pub enum Request {
    /// Read these buckets.
    Read(ReadRequest),
    /// What a hit costs: the budget counts with it.
    HitCost(HitCost),
    /// Count calls of these functions, which may drive the growth; none to stop.
    Count(Vec<Arc<str>>),
    /// Follow one in 2^n of the objects.
    Thin(u32),
    /// Take out the probes whose cost follows the load, say so when they are out, and do nothing until the other side is
    /// dropped: heaptop is about to be stopped, and nobody keeps the budget then.
    Rest {
        /// They are out.
        out: oneshot::Sender<()>,
        /// Ends, without a value, when heaptop goes on.
        rest_ends: oneshot::Receiver<()>,
    },
}

/// How a source reads its target.
#[derive(Debug)]
pub(super) enum Reader {
    /// The runtime's own profile.
    Buckets { reader: BucketReader },
    /// Mark bits.
    Marks(Box<MarksReader>),
}

/// Owns what a target gives.
#[derive(Debug)]
pub(super) struct Collector {
    edge: Edge,
    reader: Reader,
    /// Beside any source.
    calls: Option<CallsReader>,
}

impl Collector {
    /// A collector for the source that reads from the runtime's own profile.
    pub(super) fn of_buckets(edge: Edge, calls: Option<CallsReader>) -> Self {
        let reader = Reader::Buckets {
            reader: BucketReader::new(edge.probes().is_some()),
        };
        Self {
            edge,
            reader,
            calls,
        }
    }

    /// A collector for a source by mark bits.
    pub(super) fn of_marks(edge: Edge, reader: MarksReader, calls: Option<CallsReader>) -> Self {
        let reader = Reader::Marks(Box::new(reader));
        Self {
            edge,
            reader,
            calls,
        }
    }

    /// The first events: everything that the rows of the first screen are made of.
    pub(super) fn first_events(&mut self) -> Result<Vec<Event>, Unreadable> {
        let mut events = match &mut self.reader {
            Reader::Buckets { reader, .. } => reader.first_events(&mut self.edge)?,
            Reader::Marks(reader) => reader.first_events(&mut self.edge),
        };
        self.count_calls(&mut events);
        Ok(events)
    }

    fn count_calls(&mut self, batch: &mut Vec<Event>) {
        if let Some(calls) = &mut self.calls {
            calls.look(&mut self.edge, batch);
        }
    }

    /// Runs until the target ends, or nobody listens any more. Dropping it detaches the probes.
    ///
    /// # Errors
    /// When the target cannot be waited for; nothing was collected then.
    pub(super) async fn run(
        mut self,
        events: mpsc::Sender<Vec<Event>>,
        mut requests: mpsc::Receiver<Request>,
    ) -> std::io::Result<()> {
        let exit = readable(self.edge.go.process.pidfd().try_clone_to_owned()?)?;
        let ring = self
            .edge
            .probes()
            .map(|probes| probes.ring_fd().and_then(readable));
        let ring = ring.transpose()?;
        let was_cut = self.edge.probes().map(Probes::was_cut);
        let mut timer = tokio::time::interval(DRAIN_EVERY);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut end = EndReader::new(&self.edge.go.process);
        let mut anatomy = AnatomyReads::start(&self.edge.go);
        let mut samples = self.live_samples();
        let mut goroutines = GoroutineReader::new(&self.edge);
        loop {
            let mut batch = std::mem::take(&mut samples);
            tokio::select! {
                _ = exit.readable() => {
                    self.drain(&mut batch);
                    batch.extend(self.calls.as_ref().and_then(|calls| calls.last(&self.edge)));
                    batch.push(Event::Exited { at_ns: monotonic_ns(), exit: end.exit(&self.edge), how: None });
                    let _ = events.send(batch).await;
                    return Ok(());
                }
                () = woken(ring.as_ref()) => self.woken(&mut batch),
                // At once, so that what was counted until then is not mixed with what comes later.
                () = cut(was_cut.as_deref()) => {
                    self.look(&mut batch);
                    self.count_calls(&mut batch);
                }
                _ = timer.tick() => {
                    self.look(&mut batch);
                    self.count_calls(&mut batch);
                }
                // What was read of a process that ended meanwhile is nothing, or another's.
                read = goroutines.next() => if self.edge.go.process.is_same() {
                    batch.push(read);
                },
                read = anatomy.next() => if self.edge.go.process.is_same() {
                    // As often as this is often enough: kills in the same cgroup are rare.
                    end = EndReader::new(&self.edge.go.process);
                    batch.push(Event::Anatomy(read));
                },
                request = requests.recv() => match request {
                    None => return Ok(()),
                    Some(request) => self.answer(request, &mut batch).await,
                },
            }
            if !self.edge.go.process.same_program() {
                // What was read may be of the new program, at the addresses of the old one.
                batch.retain(|event| !is_memory_read(event));
                batch.push(Event::Exited {
                    at_ns: monotonic_ns(),
                    exit: Exit::default(),
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
                    _ = timer.tick() => {
                        self.keep_budget(&mut batch);
                        self.count_calls(&mut batch);
                    }
                }
            }
        }
    }

    /// The samples that were alive at the attach.
    fn live_samples(&self) -> Vec<Event> {
        match self.reader {
            Reader::Buckets { .. } => live_samples(&self.edge),
            Reader::Marks(_) => Vec::new(),
        }
    }

    /// What is left in the ring.
    fn drain(&mut self, batch: &mut Vec<Event>) {
        match &mut self.reader {
            Reader::Buckets { .. } => self.edge.drain_all(batch),
            Reader::Marks(reader) => reader.window(&mut self.edge, batch),
        }
    }

    /// The kernel side asks to be looked at: the ring fills, or marks wait to be read.
    fn woken(&mut self, batch: &mut Vec<Event>) {
        match &mut self.reader {
            Reader::Buckets { .. } => self.edge.drain_all(batch),
            Reader::Marks(reader) => reader.look(&mut self.edge, batch),
        }
    }

    /// The regular look: ring, figures, counters, budget.
    fn look(&mut self, batch: &mut Vec<Event>) {
        match &mut self.reader {
            Reader::Marks(reader) => reader.look(&mut self.edge, batch),
            Reader::Buckets { .. } => {
                self.edge.drain_all(batch);
                let heap = self.edge.read_heap();
                // What was freed before the figures were read is in the ring now.
                self.edge.drain_all(batch);
                batch.push(Event::Heap(heap));
                self.keep_budget(batch);
            }
        }
    }

    async fn answer(&mut self, request: Request, batch: &mut Vec<Event>) {
        if let (Request::HitCost(cost), Some(calls)) = (&request, &mut self.calls) {
            calls.trap_costs(&self.edge, cost.trap_ns);
        }
        match (request, &mut self.reader) {
            (Request::Count(functions), _) => {
                if let Some(calls) = &mut self.calls {
                    calls.want(&self.edge, functions, batch);
                } else {
                    let at_ns = monotonic_ns();
                    let uncounted = |function| CallWindow::uncounted(function, at_ns);
                    batch.extend(functions.into_iter().map(uncounted).map(Event::CallWindow));
                }
            }
            (Request::Rest { out, rest_ends }, _) => {
                self.rest(batch).await;
                // Whoever asked may have given up waiting, and then nothing is waited for.
                if out.send(()).is_ok() {
                    let _ = rest_ends.await;
                }
            }
            (Request::Read(request), Reader::Buckets { reader, .. }) => {
                reader.answer(&mut self.edge, request, batch).await;
            }
            (Request::HitCost(cost), Reader::Buckets { .. }) => {
                if let Some(probes) = self.edge.probes() {
                    probes.hit_costs(Group::Sampler, cost.record_ns);
                }
            }
            (Request::HitCost(cost), Reader::Marks(reader)) => {
                reader.trap_costs(&mut self.edge, cost.trap_ns);
            }
            (Request::Thin(level), Reader::Marks(reader)) => reader.thin(level),
            // The model asks nobody else for these.
            (Request::Read(_), Reader::Marks(_)) | (Request::Thin(_), Reader::Buckets { .. }) => {}
        }
    }

    /// Waits until the probes of allocations and calls are out. Those of the sampler and of the GC stay: they cannot take
    /// more than they do.
    async fn rest(&mut self, batch: &mut Vec<Event>) {
        let allocations = match &mut self.reader {
            Reader::Marks(reader) => reader.rest(&mut self.edge, batch),
            Reader::Buckets { .. } => None,
        };
        let calls = self.calls.as_mut();
        let calls = calls.map(|calls| calls.rest(&mut self.edge, batch));
        let calls = calls.into_iter().flatten();
        for detaching in allocations.into_iter().chain(calls) {
            while !detaching.is_done() {
                tokio::time::sleep(REST_LOOK).await;
            }
        }
    }

    /// Reads the kernel's counters, and detaches probes that take too much.
    fn keep_budget(&mut self, batch: &mut Vec<Event>) {
        let reader = match &mut self.reader {
            Reader::Marks(reader) => return reader.govern(&mut self.edge, batch),
            Reader::Buckets { reader } => reader,
        };
        let Some(probes) = self.edge.probes() else {
            return;
        };
        let counters = probes.counters();
        batch.retain(|event| !matches!(event, Event::Kernel(_)));
        batch.push(Event::Kernel(counters));
        if reader.by_probes && probes.cut(Group::Sampler).is_some() {
            reader.by_probes = false;
            batch.push(Event::SamplerDetached {
                at_ns: counters.at_ns,
            });
        }
    }
}

/// Whether an event tells what was found in the target's memory.
fn is_memory_read(event: &Event) -> bool {
    matches!(
        event,
        Event::Heap(_)
            | Event::Anatomy(_)
            | Event::Buckets(_)
            | Event::Goroutines(_)
            | Event::Specials { .. }
            | Event::Dead { .. }
            | Event::MarksRead { .. }
    )
}

/// Waits until probes were removed because of their cost; for ever without probes.
async fn cut(was_cut: Option<&Notify>) {
    match was_cut {
        Some(was_cut) => was_cut.notified().await,
        None => std::future::pending().await,
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
