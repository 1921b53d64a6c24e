//! The edge of calls: probes that only count, placed and taken out as their budget wants it. Requests are counted here,
//! functions that may drive a growth in [`super::candidates`].

use std::sync::Arc;

use tracer_ebpf::wire::N_CALLS;

use super::call_windows::CallWindows;
use super::candidates::CandidateReader;
use super::edge::Edge;
use crate::clock::monotonic_ns;
use crate::event::{CallsRead, Event};
use crate::model::gc::SECOND_NS;
use crate::plan::calls::CallsPlan;
use crate::plan::{Kind, ProbePoint};
use crate::probe::detach::{self, Detaching};
use crate::probe::fuse::Cut;
use crate::probe::leftovers::Noted;
use crate::refusal::Refusal;
use crate::source::governor::Turn;
use crate::source::limit::Group;

/// The kinds of calls, in the order of their counters.
const KINDS: [Kind; N_CALLS] = [Kind::Call, Kind::OtherCall];
/// The model is told so often; the budget is looked at with each drain.
const TELL_EVERY_NS: u64 = SECOND_NS;
/// Longest time over which the present rate of requests is taken, as [`CallWindows`] does.
const RECENT_NS: u64 = 10 * SECOND_NS;

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
    recent: RecentRate,
    candidates: CandidateReader,
}

/// Rate of requests over the last 5 to 10 s in which they were counted.
#[derive(Clone, Copy, Debug, Default)]
struct RecentRate {
    /// Counted time and hits at two earlier times, the older first.
    marks: [(u64, u64); 2],
}

impl RecentRate {
    /// Takes all counted time and all hits, and returns the rate.
    fn per_sec(&mut self, counted_ns: u64, hits: u64) -> f64 {
        let [_, newer] = self.marks;
        if counted_ns.saturating_sub(newer.0) >= RECENT_NS / 2 {
            self.marks = [newer, (counted_ns, hits)];
        }
        let [(since_ns, before), _] = self.marks;
        let recent_ns = counted_ns.saturating_sub(since_ns).max(1);
        hits.saturating_sub(before) as f64 * SECOND_NS as f64 / recent_ns as f64
    }
}

impl CallsReader {
    /// Attaches the probes of `plan`; `None` without probes. All probes of the watch together may take
    /// `max_cpu_fraction` of one CPU.
    ///
    /// # Errors
    /// As `Probes::attach`.
    pub(super) fn begin(
        edge: &mut Edge,
        plan: CallsPlan,
        max_cpu_fraction: f64,
        noted: Option<Noted>,
    ) -> Result<Option<Self>, Refusal> {
        if edge.probes().is_none() {
            return Ok(None);
        }
        edge.attach_points(&plan.points)?;
        let (now, calls) = read(edge, None);
        Ok(Some(Self {
            candidates: CandidateReader::new(&plan, max_cpu_fraction, noted),
            windows: CallWindows::new(max_cpu_fraction, now, hits(&plan, &calls)),
            plan,
            detaching: None,
            began_ns: now,
            told_ns: 0,
            window: Some((now, calls)),
            counted_ns: 0,
            counted: [0; N_CALLS],
            recent: RecentRate::default(),
        }))
    }

    /// Takes the cost of a trap as measured on this machine.
    pub(super) fn trap_costs(&mut self, edge: &Edge, ns: f64) {
        let hit_ns = self.windows.trap_costs(ns);
        if let Some(probes) = edge.probes() {
            probes.hit_costs(Group::Calls, hit_ns);
        }
        self.candidates.hit_costs(hit_ns);
    }

    /// Counts calls of these functions too, one at a time.
    pub(super) fn want(&mut self, edge: &Edge, functions: Vec<Arc<str>>, batch: &mut Vec<Event>) {
        if !functions.is_empty() && self.candidates.lacks_kind() {
            self.give_up_quieter(edge);
        }
        self.candidates.want(edge, functions, batch);
    }

    /// Where both kinds of probes count requests, leaves that with fewer calls to candidates: the model reports the other.
    fn give_up_quieter(&mut self, edge: &Edge) {
        let (now, calls) = read(edge, None);
        if self.window.is_some() {
            self.close_window(now, calls);
            self.window = Some((now, calls));
        }
        let kind = quieter(self.counted);
        let links = edge.probes().map(|probes| probes.take_links(&[kind]));
        let detaching = detach::remove(links.unwrap_or_default());
        self.plan.give_up(kind);
        self.recent = RecentRate::default();
        self.candidates.take_over(kind, detaching);
    }

    /// Keeps the budget, and reports the counts if the last report is old.
    pub(super) fn look(&mut self, edge: &mut Edge, batch: &mut Vec<Event>) {
        // Attaching resets the record of a cut: candidates and requests both take it before.
        let is_cut = self.candidates.take_cut(edge, batch);
        if !self.plan.is_empty() {
            self.look_at_requests(edge, batch);
        }
        // A window of requests uses the whole limit.
        let is_full = self.windows.is_windowed() && self.window.is_some();
        if is_cut || is_full {
            return;
        }
        let requests_per_sec = self.requests_per_sec(edge);
        self.candidates.look(edge, requests_per_sec, batch);
        self.take_lost(edge);
    }

    fn look_at_requests(&mut self, edge: &mut Edge, batch: &mut Vec<Event>) {
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
        let hits = hits(&self.plan, &calls);
        match self.windows.look(now, hits) {
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
                    self.windows.not_placed(now, hits);
                }
            },
        }
        self.tell(now, Some(calls), batch);
    }

    /// Removes the probes early, as the budget will not be kept for a while. Returns the removals that are not done.
    pub(super) fn rest(&mut self, edge: &mut Edge, batch: &mut Vec<Event>) -> Vec<Detaching> {
        let candidates = self.candidates.rest(edge, batch);
        self.take_cut(edge);
        let (now, calls) = read(edge, None);
        if self.windows.rest(now) {
            self.take_out(edge, (now, calls));
        }
        self.detaching.iter().cloned().chain(candidates).collect()
    }

    /// Requests a second at present while all of them are counted, else 0: they cost nothing then.
    fn requests_per_sec(&mut self, edge: &Edge) -> f64 {
        if self.window.is_none() || self.windows.is_windowed() {
            return 0.0;
        }
        let (now, calls) = read(edge, None);
        let (counted_ns, counted) = self.counted_at(now, Some(calls));
        self.recent.per_sec(counted_ns, hits(&self.plan, &counted))
    }

    /// Closes the window if its probes were cut while that of a candidate was placed, which resets the record of the cut.
    fn take_lost(&mut self, edge: &Edge) {
        let Some(probes) = edge.probes().filter(|_| self.window.is_some()) else {
            return;
        };
        let is_lost = |point: &ProbePoint| probes.n_links(point.kind) == 0;
        if self.plan.points.iter().any(is_lost) && probes.cut(Group::Calls).is_none() {
            let (now, calls) = read(edge, None);
            self.close_window(now, calls);
            self.windows.cut(now);
        }
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
        let mut kinds = KINDS.to_vec();
        kinds.retain(|kind| self.plan.uses(*kind));
        let links = edge.probes().map(|probes| probes.take_links(&kinds));
        self.detaching = Some(detach::remove(links.unwrap_or_default()));
        self.told_ns = 0;
    }

    /// All counts up to now; `None` if no requests are counted.
    pub(super) fn last(&self, edge: &Edge) -> Option<Event> {
        let (now, calls) = read(edge, None);
        let counted = || Event::Calls(self.read_at(now, Some(calls)));
        (!self.plan.is_empty()).then(counted)
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
        // A kind that was given up has the calls of candidates.
        let in_window = |i: usize| {
            let is_own = self.plan.uses(KINDS[i]);
            calls[i].saturating_sub(before[i]) * u64::from(is_own)
        };
        (
            self.counted_ns + now.saturating_sub(since_ns),
            std::array::from_fn(|i| self.counted[i] + in_window(i)),
        )
    }
}

/// The kind with fewer calls: of equals the last, as the model reports the first.
fn quieter([call, other]: [u64; N_CALLS]) -> Kind {
    if call < other {
        Kind::Call
    } else {
        Kind::OtherCall
    }
}

/// Hits of the functions of `plan`.
fn hits(plan: &CallsPlan, calls: &[u64; N_CALLS]) -> u64 {
    let calls = KINDS.iter().zip(calls);
    calls
        .filter(|(kind, _)| plan.uses(**kind))
        .map(|(_, calls)| calls)
        .sum()
}

/// The kernel's counters up to `cut` or now, and the time of now.
fn read(edge: &Edge, cut: Option<&Cut>) -> (u64, [u64; N_CALLS]) {
    let calls = edge.probes().map(|probes| probes.calls_of(cut));
    (monotonic_ns(), calls.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_up_the_kind_that_the_model_does_not_report() {
        assert_eq!(quieter([0, 0]), Kind::OtherCall);
        assert_eq!(quieter([7, 7]), Kind::OtherCall);
        assert_eq!(quieter([9, 2]), Kind::OtherCall);
        assert_eq!(quieter([2, 9]), Kind::Call);
    }

    #[test]
    fn the_rate_of_requests_is_that_of_the_last_seconds() {
        let mut recent = RecentRate::default();
        let mut hits = 0;
        let mut rate = 0.0;
        for second in 1..=100 {
            hits += 10;
            rate = recent.per_sec(second * SECOND_NS, hits);
        }
        assert!((rate - 10.0).abs() < 1e-9, "{rate}");
        for second in 101..=110 {
            hits += 900;
            rate = recent.per_sec(second * SECOND_NS, hits);
        }
        assert!((rate - 900.0).abs() < 1e-9, "{rate}");
    }
}
