//! The edge of calls: probes that only count, placed and taken out as their budget wants it.

use std::sync::Arc;

use tracer_ebpf::wire::N_CALLS;

use super::call_windows::CallWindows;
use super::edge::Edge;
use crate::clock::monotonic_ns;
use crate::event::{CallsRead, Event};
use crate::model::gc::SECOND_NS;
use crate::plan::Kind;
use crate::plan::calls::CallsPlan;
use crate::probe::detach::{self, Detaching};
use crate::probe::fuse::Cut;
use crate::refusal::Refusal;
use crate::source::governor::Turn;
use crate::source::limit::Group;

/// The kinds of calls, in the order of their counters.
const KINDS: [Kind; N_CALLS] = [Kind::Call, Kind::OtherCall];
/// The model is told so often; the budget is looked at with each drain.
const TELL_EVERY_NS: u64 = SECOND_NS;

/// Counts calls.
#[derive(Debug)]
pub(super) struct CallsReader {
    plan: CallsPlan,
    windows: CallWindows,
    /// Links on their way out are waited for before probes are placed again.
    detaching: Option<Detaching>,
    began_ns: u64,
    told_ns: u64,
    /// When the present window began, and the kernel's counters then.
    window: Option<(u64, [u64; N_CALLS])>,
    /// In the windows before.
    counted_ns: u64,
    counted: [u64; N_CALLS],
}

impl CallsReader {
    /// Attaches the probes of `plan`; `None` where it has none. All probes of the watch together may take
    /// `max_cpu_fraction` of one CPU.
    ///
    /// # Errors
    /// As `Probes::attach`.
    pub(super) fn begin(
        edge: &mut Edge,
        plan: CallsPlan,
        max_cpu_fraction: f64,
    ) -> Result<Option<Self>, Refusal> {
        if plan.is_empty() || edge.probes().is_none() {
            return Ok(None);
        }
        edge.attach_points(&plan.points)?;
        let (now, calls) = read(edge, None);
        Ok(Some(Self {
            plan,
            windows: CallWindows::new(max_cpu_fraction, now, calls.iter().sum()),
            detaching: None,
            began_ns: now,
            told_ns: 0,
            window: Some((now, calls)),
            counted_ns: 0,
            counted: [0; N_CALLS],
        }))
    }

    /// Takes the cost of a trap as measured on this machine.
    pub(super) fn trap_costs(&mut self, edge: &Edge, ns: f64) {
        let hit_ns = self.windows.trap_costs(ns);
        if let Some(probes) = edge.probes() {
            probes.hit_costs(Group::Calls, hit_ns);
        }
    }

    /// One look: the budget, and what was counted where the model has not heard of it for a while.
    pub(super) fn look(&mut self, edge: &mut Edge, batch: &mut Vec<Event>) {
        let is_detaching = |detaching: &Detaching| !detaching.is_done();
        if self.detaching.as_ref().is_some_and(is_detaching) {
            self.tell(monotonic_ns(), None, batch);
            return;
        }
        self.detaching = None;
        if self.window.is_some() && self.take_cut(edge) {
            self.tell(monotonic_ns(), None, batch);
            return;
        }
        let (now, calls) = read(edge, None);
        match self.windows.look(now, calls.iter().sum()) {
            Turn::Same => {}
            Turn::Off => self.take_out(edge, (now, calls)),
            Turn::On => match edge.attach_points(&self.plan.points) {
                Ok(()) => {
                    self.window = Some(read(edge, None));
                    self.told_ns = 0;
                }
                Err(err) => {
                    // The target is ending, or replaced itself, which the loop notices; else it is tried again.
                    log::warn!("{err}");
                    self.windows.not_placed(now, calls.iter().sum());
                }
            },
        }
        self.tell(now, Some(calls), batch);
    }

    /// Takes the probes out before their time: nobody will keep the budget. What is still on its way out then.
    pub(super) fn rest(&mut self, edge: &mut Edge) -> Option<Detaching> {
        self.take_cut(edge);
        let (now, calls) = read(edge, None);
        if self.windows.rest(now) {
            self.take_out(edge, (now, calls));
        }
        self.detaching.clone()
    }

    /// Closes the window where the probes were removed because of their cost; `false` where they were not.
    fn take_cut(&mut self, edge: &Edge) -> bool {
        let cut = edge.probes().and_then(|probes| probes.cut(Group::Calls));
        let (Some(cut), true) = (cut, self.window.is_some()) else {
            return false;
        };
        let (_, calls) = read(edge, Some(&cut));
        self.close_window(cut.at_ns, calls);
        self.windows.cut(cut.at_ns);
        self.detaching = Some(cut.detaching);
        self.told_ns = 0;
        true
    }

    fn take_out(&mut self, edge: &mut Edge, (now, calls): (u64, [u64; N_CALLS])) {
        self.close_window(now, calls);
        let links = edge.probes().map(|probes| probes.take_links(&KINDS));
        self.detaching = Some(detach::remove(links.unwrap_or_default()));
        self.told_ns = 0;
    }

    /// What was counted in all.
    pub(super) fn last(&self, edge: &Edge) -> Event {
        let (now, calls) = read(edge, None);
        Event::Calls(self.read_at(now, Some(calls)))
    }

    fn close_window(&mut self, now: u64, calls: [u64; N_CALLS]) {
        let (counted_ns, counted) = self.counted_at(now, Some(calls));
        self.counted_ns = counted_ns;
        self.counted = counted;
        self.window = None;
    }

    fn tell(&mut self, now: u64, calls: Option<[u64; N_CALLS]>, batch: &mut Vec<Event>) {
        if now < self.told_ns.saturating_add(TELL_EVERY_NS) {
            return;
        }
        self.told_ns = now;
        // One that still waits for its reader is in this one.
        batch.retain(|event| !matches!(event, Event::Calls(_)));
        batch.push(Event::Calls(self.read_at(now, calls)));
    }

    fn read_at(&self, now: u64, calls: Option<[u64; N_CALLS]>) -> CallsRead {
        let (counted_ns, counted) = self.counted_at(now, calls);
        let functions = self.plan.functions.iter().map(|(kind, function)| {
            let at = KINDS.iter().position(|known| known == kind);
            (Arc::clone(function), at.map_or(0, |at| counted[at]))
        });
        CallsRead {
            at_ns: now,
            functions: functions.collect(),
            counted_ns,
            all_ns: now.saturating_sub(self.began_ns),
            is_on: self.windows.is_on(),
            is_windowed: self.windows.is_windowed(),
        }
    }

    /// Time in which calls were counted, and how many.
    fn counted_at(&self, now: u64, calls: Option<[u64; N_CALLS]>) -> (u64, [u64; N_CALLS]) {
        let (Some((since_ns, before)), Some(calls)) = (self.window, calls) else {
            return (self.counted_ns, self.counted);
        };
        let in_window = |i: usize| calls[i].saturating_sub(before[i]);
        (
            self.counted_ns + now.saturating_sub(since_ns),
            std::array::from_fn(|i| self.counted[i] + in_window(i)),
        )
    }
}

/// The kernel's counters up to `cut` or now, and the time of now.
fn read(edge: &Edge, cut: Option<&Cut>) -> (u64, [u64; N_CALLS]) {
    let calls = edge.probes().map(|probes| probes.calls_of(cut));
    (monotonic_ns(), calls.unwrap_or_default())
}
