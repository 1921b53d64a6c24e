//! What every source reads of a target: its ring, the runtime's figures, its size. The open process and its probes live
//! here.

use crate::clock::monotonic_ns;
use crate::event::{Event, HeapRead, Record};
use crate::go::memstats;
use crate::plan::{Kind, ProbePlan, ProbePoint};
use crate::probe::Probes;
use crate::process::go_process::GoProcess;
use crate::refusal::Refusal;

/// The resident set is asked for so often: it walks nothing, but is a file each time.
const RSS_EVERY_NS: u64 = 1_000_000_000;
/// Rounds of one drain: a target that fills the ring faster than it is drained must not hold us there.
const MAX_ROUNDS: usize = 4;

/// An open target.
#[derive(Debug)]
pub(super) struct Edge {
    pub(super) go: GoProcess,
    probes: Option<Probes>,
    rss: Option<(u64, Option<u64>)>,
}

impl Edge {
    pub(super) fn new(go: GoProcess, probes: Option<Probes>) -> Self {
        Self {
            go,
            probes,
            rss: None,
        }
    }

    pub(super) fn probes(&self) -> Option<&Probes> {
        self.probes.as_ref()
    }

    pub(super) fn probes_mut(&mut self) -> Option<&mut Probes> {
        self.probes.as_mut()
    }

    /// Places probes of these kinds again.
    ///
    /// # Errors
    /// As [`Probes::attach`].
    pub(super) fn attach_more(&mut self, plan: &ProbePlan, kinds: &[Kind]) -> Result<(), Refusal> {
        match &mut self.probes {
            Some(probes) => probes.attach_more(plan, kinds, &self.go.process),
            None => Ok(()),
        }
    }

    /// Places probes at these points.
    ///
    /// # Errors
    /// As [`Probes::attach`].
    pub(super) fn attach_points(&mut self, points: &[ProbePoint]) -> Result<(), Refusal> {
        match &mut self.probes {
            Some(probes) => probes.attach_points(points, &self.go.process),
            None => Ok(()),
        }
    }

    /// The records of one drain, in order; `true` if there may be more.
    pub(super) fn drain_records(&mut self, into: &mut Vec<Record>) -> bool {
        self.probes
            .as_mut()
            .is_some_and(|probes| probes.drain(into))
    }

    /// Drains until the ring was seen empty, at most a few batches.
    pub(super) fn drain_all_records(&mut self, into: &mut Vec<Record>) {
        let _ = (0..MAX_ROUNDS).all(|_| self.drain_records(into));
    }

    /// One drain as events, for sources whose records are events.
    pub(super) fn drain(&mut self, batch: &mut Vec<Event>) -> bool {
        let mut records = Vec::new();
        let more = self.drain_records(&mut records);
        batch.extend(records.iter().filter_map(event));
        more
    }

    /// [`Edge::drain_all_records`] as events.
    pub(super) fn drain_all(&mut self, batch: &mut Vec<Event>) {
        let mut records = Vec::new();
        self.drain_all_records(&mut records);
        batch.extend(records.iter().filter_map(event));
    }

    /// The runtime's figures and the size of the process.
    pub(super) fn read_heap(&mut self) -> HeapRead {
        let at_ns = monotonic_ns();
        let program = &self.go.program;
        let runtime = memstats::read(&self.go.memory(), program.facts, &program.vars).ok();
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
}

fn event(record: &Record) -> Option<Event> {
    match record {
        Record::Event(event) => Some(Event::Probe(*event)),
        Record::Stack { .. } => None, // No program of these sources sends one.
    }
}
