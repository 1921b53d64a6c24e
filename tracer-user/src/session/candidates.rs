//! Counts calls of the functions that may drive a growth: one at a time, in short windows.
//!
//! The probe shares its part of the limit with that of requests: [`crate::probe::fuse`] removes both where they cost more.
//! A function is skipped while its mean rate exceeds what requests leave of the limit.

use std::sync::Arc;

use super::edge::Edge;
use crate::clock::monotonic_ns;
use crate::event::{CallWindow, Event};
use crate::model::gc::SECOND_NS;
use crate::plan::calls::{CallsPlan, candidates};
use crate::plan::{Kind, ProbePoint};
use crate::probe::detach::{self, Detaching};
use crate::probe::fuse::Cut;
use crate::probe::leftovers::Noted;
use crate::source::limit::{Group, SecondLimit};

/// Mean length of a window. A function that is called every few seconds is seen in one of two.
const WINDOW_NS: u64 = 2 * SECOND_NS;
/// Half of the range of lengths. Windows of one length come round in step with work that is done every few seconds: a
/// function that ran every 4 s was seen in 10 of 11.
const WINDOW_SPREAD_NS: u64 = SECOND_NS / 2;
/// Limit on the share of its part of the limit that a function may use together with requests: above, the next peak of
/// either would remove both probes.
const MOST_USED: f64 = 0.8;
/// Share of its part of the limit that a function may use at any number of requests: drivers are rare.
const LEAST_LEFT: f64 = 0.1;
/// Time between a removal because of the cost and the next probe: by then the cost of the last second has left the limit.
const PAUSE_NS: u64 = SECOND_NS + SECOND_NS / 10;
/// Time after which a probe that could not be placed is tried again.
const RETRY_NS: u64 = 10 * SECOND_NS;

/// Calls that give a rate to within 41 %, with a probability of 90 %.
const ENOUGH_CALLS: u64 = 16;
/// Weight of the time for which a function with so many calls was counted.
const KNOWN_WEIGHT: u64 = 8;
/// Functions that are remembered: all that several leaks with changing stacks propose in an hour. Beyond, those that are not
/// wanted now are forgotten, and begin anew when they are wanted again.
const MAX_KNOWN: usize = 256;

/// A function to count.
#[derive(Clone, Debug)]
struct Candidate {
    function: Arc<str>,
    /// `None` if no probe can be placed on it.
    points: Option<Vec<ProbePoint>>,
    counted_ns: u64,
    calls: u64,
}

impl Candidate {
    fn per_sec(&self) -> f64 {
        self.calls as f64 * SECOND_NS as f64 / self.counted_ns.max(1) as f64
    }
}

/// Functions to count, and the counts of each.
#[derive(Clone, Debug, Default)]
struct Rota {
    candidates: Vec<Candidate>,
    /// Names of those that are wanted now.
    wanted: Vec<Arc<str>>,
}

impl Rota {
    /// Returns the function to count next, of those that cost at most `most_per_sec` calls a second, as far as that is known:
    /// the one that was counted for the shortest time. The time of a function with enough calls counts more: its rate is known,
    /// while one that is called every few seconds needs the time.
    fn next(&self, most_per_sec: f64) -> Option<usize> {
        let is_due = |(_, candidate): &(usize, &Candidate)| {
            self.wanted.contains(&candidate.function)
                && candidate.points.is_some()
                && candidate.per_sec() <= most_per_sec
        };
        let due = self.candidates.iter().enumerate().filter(is_due);
        due.min_by_key(|(_, candidate)| {
            let is_known = candidate.calls >= ENOUGH_CALLS;
            (candidate.counted_ns).saturating_mul(if is_known { KNOWN_WEIGHT } else { 1 })
        })
        .map(|(at, _)| at)
    }

    /// Forgets functions beyond [`MAX_KNOWN`]. Their indices change.
    fn forget(&mut self) {
        if self.candidates.len() > MAX_KNOWN {
            let wanted = &self.wanted;
            (self.candidates).retain(|candidate| wanted.contains(&candidate.function));
        }
    }

    /// Returns the wanted functions on which no probe can be placed.
    fn uncountable(&self) -> impl Iterator<Item = Arc<str>> {
        let is_uncountable = |candidate: &&Candidate| {
            candidate.points.is_none() && self.wanted.contains(&candidate.function)
        };
        let uncountable = self.candidates.iter().filter(is_uncountable);
        uncountable.map(|candidate| Arc::clone(&candidate.function))
    }
}

/// A window that is open.
#[derive(Clone, Copy, Debug)]
struct Open {
    /// Index of the function.
    at: usize,
    from_ns: u64,
    /// The kernel's counter then.
    calls: u64,
}

impl Open {
    /// Time of its end: its length follows the last digits of the clock, which no work is in step with.
    fn ends_ns(&self) -> u64 {
        let part = self.from_ns % 1_000;
        self.from_ns + WINDOW_NS - WINDOW_SPREAD_NS + 2 * WINDOW_SPREAD_NS * part / 1_000
    }
}

/// Counts calls of candidates.
#[derive(Debug)]
pub(super) struct CandidateReader {
    /// Kind of its probes, which no other function uses; `None` before one is free.
    kind: Option<Kind>,
    /// The filter that the programs were loaded with.
    jbe_filter: u64,
    /// Where probes are noted for the next heaptop.
    noted: Option<Noted>,
    max_cpu_fraction: f64,
    hit_ns: f64,
    rota: Rota,
    open: Option<Open>,
    detaching: Option<Detaching>,
    /// No window opens before.
    not_before_ns: u64,
}

impl CandidateReader {
    /// Counts beside the functions of `plan`. All probes of the watch together may take `max_cpu_fraction` of one CPU.
    pub(super) fn new(plan: &CallsPlan, max_cpu_fraction: f64, noted: Option<Noted>) -> Self {
        Self {
            kind: plan.spare(),
            jbe_filter: plan.jbe_filter(),
            noted,
            max_cpu_fraction: SecondLimit::steady_cpu_fraction(Group::Calls, max_cpu_fraction),
            hit_ns: Group::Calls.assumed_hit_ns(),
            rota: Rota::default(),
            open: None,
            detaching: None,
            not_before_ns: 0,
        }
    }

    /// Takes the measured cost of a hit.
    pub(super) fn hit_costs(&mut self, ns: f64) {
        self.hit_ns = ns;
    }

    /// True before a kind of probes is free.
    pub(super) fn lacks_kind(&self) -> bool {
        self.kind.is_none()
    }

    /// Counts by probes of `kind` from now on, once those that had it are removed.
    pub(super) fn take_over(&mut self, kind: Kind, detaching: Detaching) {
        self.kind = Some(kind);
        self.detaching = Some(detaching);
    }

    /// Sets the functions to count. Those that cannot be counted are reported at once, each time: the model may have
    /// dropped the last report.
    pub(super) fn want(&mut self, edge: &Edge, functions: Vec<Arc<str>>, batch: &mut Vec<Event>) {
        let is_known =
            |name: &Arc<str>| (self.rota.candidates.iter()).any(|known| known.function == *name);
        let new: Vec<Arc<str>> = (functions.iter())
            .filter(|&name| !is_known(name))
            .cloned()
            .collect();
        self.rota.wanted = functions;
        if let Some(kind) = self.kind.filter(|_| !new.is_empty()) {
            self.find_points(edge, kind, new);
        }
        let now = monotonic_ns();
        let uncounted = self.rota.uncountable();
        let uncounted = uncounted.map(|function| CallWindow::uncounted(function, now));
        batch.extend(uncounted.map(Event::CallWindow));
    }

    fn find_points(&mut self, edge: &Edge, kind: Kind, new: Vec<Arc<str>>) {
        let go = &edge.go;
        let found = candidates(&go.program, &*go.image, &new, (kind, self.jbe_filter));
        for (function, points) in new.into_iter().zip(found) {
            self.rota.candidates.push(Candidate {
                function,
                points,
                counted_ns: 0,
                calls: 0,
            });
        }
    }

    /// Closes the window if the probes were removed because of their cost. True if they were.
    pub(super) fn take_cut(&mut self, edge: &Edge, batch: &mut Vec<Event>) -> bool {
        let Some(probes) = edge.probes().filter(|_| self.open.is_some()) else {
            return false;
        };
        if let Some(cut) = probes.cut(Group::Calls) {
            self.close(edge, Some(&cut), cut.at_ns, batch);
            self.detaching = Some(cut.detaching);
            self.not_before_ns = cut.at_ns + PAUSE_NS;
            return true;
        }
        // Removed while the other probes were attached, which resets the record of the cut: the time is unknown.
        if self.kind.is_none_or(|kind| probes.n_links(kind) == 0) {
            self.open = None;
        }
        false
    }

    /// Opens and closes windows. `requests_per_sec` are counted at present.
    pub(super) fn look(&mut self, edge: &mut Edge, requests_per_sec: f64, batch: &mut Vec<Event>) {
        let now = monotonic_ns();
        let limit_per_sec = self.max_cpu_fraction * SECOND_NS as f64 / self.hit_ns;
        let left_per_sec = MOST_USED * limit_per_sec - requests_per_sec;
        let most_per_sec = left_per_sec.max(LEAST_LEFT * limit_per_sec);
        if let Some(open) = self.open {
            let is_wanted = (self.rota.wanted).contains(&self.rota.candidates[open.at].function);
            if is_wanted && now < open.ends_ns() {
                return;
            }
            self.close(edge, None, now, batch);
            if self.rota.next(most_per_sec) == Some(open.at) {
                self.open = Some(self.opened(edge, open.at));
                return;
            }
            self.take_out(edge);
        }
        if self.detaching.as_ref().is_some_and(|of| !of.is_done()) || now < self.not_before_ns {
            return;
        }
        self.detaching = None;
        self.rota.forget();
        let Some(at) = self.rota.next(most_per_sec) else {
            return;
        };
        let candidate = &self.rota.candidates[at];
        let (function, Some(points)) = (&candidate.function, &candidate.points) else {
            return;
        };
        let noted = (self.noted.as_ref()).map_or(Ok(()), |noted| {
            noted.note_candidate(&edge.go, points.iter())
        });
        if let Err(err) = noted {
            log::warn!("cannot note the probes of {function}: {err}");
            self.not_before_ns = now + RETRY_NS;
            return;
        }
        let before = self.opened(edge, at);
        match edge.attach_points(points) {
            Ok(()) => {
                let after = self.opened(edge, at);
                let is_cut = edge
                    .probes()
                    .is_some_and(|probes| probes.cut(Group::Calls).is_some());
                // All calls of probes that were cut while they were placed come before the end of the attach.
                self.open = Some(if is_cut { before } else { after });
            }
            Err(err) => {
                log::warn!("{err}");
                self.not_before_ns = now + RETRY_NS;
            }
        }
    }

    /// Removes the probe, as the budget will not be kept for a while. Returns the removal if it is not done.
    pub(super) fn rest(&mut self, edge: &Edge, batch: &mut Vec<Event>) -> Option<Detaching> {
        if !self.take_cut(edge, batch) && self.open.is_some() {
            self.close(edge, None, monotonic_ns(), batch);
            self.take_out(edge);
        }
        self.detaching.clone()
    }

    fn opened(&self, edge: &Edge, at: usize) -> Open {
        Open {
            at,
            from_ns: monotonic_ns(),
            calls: self.calls(edge, None),
        }
    }

    fn take_out(&mut self, edge: &Edge) {
        let links = edge.probes().zip(self.kind);
        let links = links.map(|(probes, kind)| probes.take_links(&[kind]));
        let links = links.unwrap_or_default();
        self.detaching = Some(detach::remove(links));
    }

    fn close(&mut self, edge: &Edge, cut: Option<&Cut>, to_ns: u64, batch: &mut Vec<Event>) {
        let Some(open) = self.open.take() else {
            return;
        };
        let calls = self.calls(edge, cut).saturating_sub(open.calls);
        let candidate = &mut self.rota.candidates[open.at];
        candidate.counted_ns += to_ns.saturating_sub(open.from_ns);
        candidate.calls += calls;
        batch.push(Event::CallWindow(CallWindow {
            function: Arc::clone(&candidate.function),
            from_ns: open.from_ns,
            to_ns: to_ns.max(open.from_ns),
            calls: Some(calls),
        }));
    }

    /// The kernel's counter, up to `cut` or now.
    fn calls(&self, edge: &Edge, cut: Option<&Cut>) -> u64 {
        let calls = edge.probes().map(|probes| probes.calls_of(cut));
        calls.map_or(0, |[call, other]| match self.kind {
            Some(Kind::Call) => call,
            _ => other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(function: &str, counted_ns: u64, calls: u64) -> Candidate {
        Candidate {
            function: function.into(),
            points: Some(Vec::new()),
            counted_ns,
            calls,
        }
    }

    #[test]
    fn windows_differ_in_length() {
        let length_ns = |from_ns: u64| {
            let open = Open {
                at: 0,
                from_ns,
                calls: 0,
            };
            open.ends_ns() - from_ns
        };
        assert_eq!(length_ns(5 * SECOND_NS), WINDOW_NS - WINDOW_SPREAD_NS);
        assert_eq!(length_ns(5 * SECOND_NS + 500), WINDOW_NS);
        assert!(length_ns(999) < WINDOW_NS + WINDOW_SPREAD_NS);
    }

    #[test]
    fn counts_what_was_counted_least_and_nothing_above_the_limit() {
        let mut rota = Rota {
            candidates: vec![
                candidate("reload", 2 * SECOND_NS, 8),
                candidate("route", 20_000_000, 1_000),
                candidate("check", 0, 0),
                candidate("other", 0, 0),
            ],
            wanted: ["reload", "route", "check"].map(Arc::from).to_vec(),
        };
        let next = |rota: &Rota| rota.next(500.0);
        assert_eq!(next(&rota), Some(2));
        rota.candidates[2] = candidate("check", 4 * SECOND_NS, 160);
        assert_eq!(next(&rota), Some(0), "50,000 a second are too many");
        assert_eq!(rota.next(3.0), None, "requests leave nothing");
        rota.candidates[0].counted_ns = 31 * SECOND_NS;
        assert_eq!(next(&rota), Some(0), "its few calls take time");
        rota.candidates[0].calls = ENOUGH_CALLS;
        assert_eq!(next(&rota), Some(2));
        rota.candidates[0].points = None;
        assert_eq!(next(&rota), Some(2));
        rota.candidates[3].points = None;
        let uncountable: Vec<Arc<str>> = rota.uncountable().collect();
        assert_eq!(uncountable, ["reload".into()], "no other is wanted");
        let known = (0..MAX_KNOWN).map(|i| candidate(&i.to_string(), 0, 0));
        rota.candidates.extend(known);
        rota.forget();
        assert_eq!(rota.candidates.len(), 3, "those that are wanted");
    }
}
