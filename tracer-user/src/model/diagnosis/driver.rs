//! Driver of a leak: the function with whose calls it grows.
//!
//! Candidates are the frames that the leak's stacks share. Each is counted in short windows. The leak's births in these windows
//! say if it is tied to the growth: a loop that has run for hours has births without calls. Of the frames that are tied, the
//! rarest drives the others, as all are on the same stacks. Of several with its rate the innermost of the main module is
//! named, else the innermost. A function that is inlined on these stacks is no candidate. For a function that is called as
//! often as requests the growth is stated per request instead. [`choice`] decides; candidates and births are found here.

mod choice;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::attribution::Code;
use crate::go::frame::Frame;
use crate::model::Model;
use crate::model::calls::divide;
use crate::model::findings::{Driver, Interval, Kind, Leak, MAX_CANDIDATES};
use crate::model::gc::SECOND_NS;
use crate::model::rows::{GroupBy, Liveness};
use choice::{
    Candidate, Counted, PerGoroutine, bytes_per_call, choose, once_per_goroutine, per_min,
};

/// Least share of a leak's births that pass a candidate. The rest may come from a second path.
const LEAST_SHARE: f64 = 0.8;

/// A birth of a leak's object that lives.
#[derive(Clone, Copy, Debug)]
struct Birth {
    at_ns: u64,
    idx: u32,
    bytes: f64,
}

impl Model {
    /// Names the drivers of leaks, and chooses the functions to count next.
    pub(super) fn find_drivers(&mut self, leaks: &mut [Leak]) {
        let can_count = self.target.source.has_probes() && self.liveness() != Liveness::Counters;
        let growing = leaks.iter_mut().filter(|leak| {
            can_count && leak.word.is_growth() && matches!(leak.kind, Kind::Heap | Kind::Goroutines)
        });
        let mut wanted: Vec<Arc<str>> = Vec::new();
        let mut likeliest: Vec<Arc<str>> = Vec::new();
        for leak in growing {
            let candidates = self.candidates_of(leak);
            let (choice, driver) = if leak.kind == Kind::Goroutines {
                self.drives_goroutines(leak, &candidates)
            } else {
                self.drives_heap(leak, &candidates)
            };
            leak.driver = driver;
            if let [at] = choice[..] {
                let is_pending =
                    (candidates[at].counted).is_some_and(|counted| counted.is_pending());
                likeliest.extend(is_pending.then(|| Arc::clone(&candidates[at].function)));
            }
            for at in choice {
                let function = &candidates[at].function;
                if wanted.len() < MAX_CANDIDATES && !wanted.contains(function) {
                    wanted.push(Arc::clone(function));
                }
            }
        }
        // What lacks a few calls is counted alone: in turns with the candidates of other leaks it took minutes.
        self.candidates.wanted = if likeliest.is_empty() {
            wanted
        } else {
            likeliest
        };
    }

    fn drives_heap(&self, leak: &Leak, candidates: &[Candidate]) -> (Vec<usize>, Option<Driver>) {
        let choice = choose(candidates, self.requests_per_sec());
        let driver = choice.driver.and_then(|at| {
            let counted = candidates[at].counted?;
            let rate = counted.rate(self.stands_for_s(leak));
            Some(Driver {
                function: Arc::clone(&candidates[at].function),
                bytes: bytes_per_call(&counted, leak.evidence.bytes_per_min, rate),
                goroutines: None,
                calls: counted.calls(),
            })
        });
        (choice.wanted, driver.filter(|of| of.bytes.is_some()))
    }

    fn drives_goroutines(
        &self,
        leak: &Leak,
        candidates: &[Candidate],
    ) -> (Vec<usize>, Option<Driver>) {
        // Several groups that grow as one have one driver: each call leaves a goroutine of each.
        let leading = (leak.sites.iter()).find_map(|site| site.evidence.objects_per_min);
        let leading = leading.or(leak.evidence.objects_per_min);
        let found = leading.and_then(|per_min| {
            let (requests_per_sec, all_s) = (self.requests_per_sec(), self.stands_for_s(leak));
            once_per_goroutine(candidates, requests_per_sec, per_min, all_s)
        });
        if let Some(PerGoroutine { at, calls_per_sec }) = found {
            let candidate = &candidates[at];
            let all_per_call =
                |rate: Option<Interval>| rate.and_then(|rate| divide(rate, per_min(calls_per_sec)));
            let driver = Driver {
                function: Arc::clone(&candidate.function),
                bytes: all_per_call(leak.evidence.bytes_per_min),
                goroutines: all_per_call(leak.evidence.objects_per_min),
                calls: candidate.counted.map_or(0, |counted| counted.calls()),
            };
            return (vec![at], Some(driver));
        }
        let counted = |at: &usize| candidates[*at].counted.as_ref();
        let per_sec = leading.map_or(0.0, |rate| rate.value / 60.0);
        let countable = (0..candidates.len()).filter(|at| counted(at).is_some());
        let (too_rare, others): (Vec<usize>, Vec<usize>) = countable
            .partition(|at| counted(at).is_some_and(|counted| counted.is_too_rare(per_sec)));
        // Where no function was called, the calls come in batches.
        let is_called = |at: &usize| counted(at).is_some_and(|counted| counted.calls() > 0);
        let mut wanted = others;
        if !wanted.iter().any(is_called) {
            wanted.extend(too_rare);
        }
        wanted.truncate(MAX_CANDIDATES);
        (wanted, None)
    }

    /// Requests a second, or calls of the function of `--per`.
    fn requests_per_sec(&self) -> Option<f64> {
        let calls = self.calls()?;
        calls.mean_per_sec.map(|rate| rate.value).or(calls.per_sec)
    }

    /// Seconds whose growth a leak states.
    fn stands_for_s(&self, leak: &Leak) -> f64 {
        let watched_ns = self.now_ns.saturating_sub(self.target.attached_ns);
        (60.0 * leak.evidence.minutes).max(watched_ns as f64 / SECOND_NS as f64)
    }

    /// Functions that the leak's stacks share, innermost first, with what was counted of them. A function that is inlined
    /// on one of these stacks is none: its probe counts other calls.
    fn candidates_of(&self, leak: &Leak) -> Vec<Candidate> {
        let (births, path, stacks) = if leak.kind == Kind::Goroutines {
            let (path, stacks) = self.path_to(leak);
            (Vec::new(), path, stacks)
        } else {
            let births = self.births_of(leak);
            let stacks = births.iter().map(|birth| birth.idx).collect();
            let path = self.shared_path(&births);
            (births, path, stacks)
        };
        let inlined = self.inlined_on(stacks);
        let paths = &self.diagnosis.paths;
        let mut functions: Vec<(Arc<str>, bool)> = Vec::new();
        for label in path {
            let can_drive = paths.can_explain(label)
                && !inlined.contains(&label)
                && (paths.code(label) == Code::Main || !self.diagnosis.dispatchers.contains(label));
            if let Some(frame) = paths.frame(label).filter(|_| can_drive) {
                functions.push((Arc::clone(&frame.function), paths.code(label) == Code::Main));
            }
        }
        let is_inlined = |frame: &Frame| {
            let label = self.names.function(frame);
            label.is_some_and(|label| inlined.contains(&label))
        };
        let under = leak.under.as_ref().filter(|under| !is_inlined(under));
        if let Some(under) = under.filter(|_| functions.is_empty()) {
            let is_main = paths.origin().is_main_module(under);
            functions.push((Arc::clone(&under.function), is_main));
        }
        let counted = |(function, is_main): (Arc<str>, bool)| Candidate {
            counted: self.counted(&function, &births),
            function,
            is_main,
        };
        functions.into_iter().map(counted).collect()
    }

    /// Births of a heap leak's objects in this watch that live, oldest first.
    fn births_of(&self, leak: &Leak) -> Vec<Birth> {
        let under = leak.under.as_ref();
        let under = under.and_then(|under| self.names.function(under));
        let paths = &self.diagnosis.paths;
        let is_of = |idx: u32| {
            let path = paths.get(idx).unwrap_or_default();
            let is_site = |site: u32| {
                leak.sites
                    .iter()
                    .any(|of| of.row.is_some_and(|row| row.0 == site))
            };
            path.last().is_some_and(|&site| is_site(site))
                && under.is_none_or(|under| path.contains(&under))
        };
        let is_of: Vec<bool> = (0u32..)
            .zip(&self.buckets)
            .map(|(idx, _)| is_of(idx))
            .collect();
        let mut births: Vec<Birth> = (self.samples.iter())
            .map(|(_, sample)| sample)
            .filter(|sample| {
                sample.born_ns > 0 && is_of.get(sample.bucket_idx as usize) == Some(&true)
            })
            .map(|sample| Birth {
                at_ns: sample.born_ns,
                idx: sample.bucket_idx,
                bytes: sample.units as f64 * self.unit(sample.bucket_idx).bytes,
            })
            .collect();
        // Sums must not depend on the order of a hash map.
        births.sort_by(|a, b| {
            let by_time = a.at_ns.cmp(&b.at_ns).then(a.idx.cmp(&b.idx));
            by_time.then(a.bytes.total_cmp(&b.bytes))
        });
        births
    }

    /// Labels of the stack with most of these births that nearly all of them pass, innermost first.
    fn shared_path(&self, births: &[Birth]) -> Vec<u32> {
        let mut by_bucket: BTreeMap<u32, f64> = BTreeMap::new();
        for birth in births {
            *by_bucket.entry(birth.idx).or_default() += birth.bytes;
        }
        let paths = &self.diagnosis.paths;
        let mut by_label: BTreeMap<u32, f64> = BTreeMap::new();
        for (&idx, bytes) in &by_bucket {
            for &label in paths.get(idx).unwrap_or_default() {
                *by_label.entry(label).or_default() += bytes;
            }
        }
        let total: f64 = by_bucket.values().sum();
        let most = by_bucket.iter().max_by(|a, b| a.1.total_cmp(b.1));
        let path = most
            .and_then(|(&idx, _)| paths.get(idx))
            .unwrap_or_default();
        let is_shared = |label: &u32| {
            by_label
                .get(label)
                .is_some_and(|of| *of >= LEAST_SHARE * total)
        };
        path.iter().rev().copied().filter(is_shared).collect()
    }

    /// Labels of the stack with most births through the function that starts a leak's goroutines, from that function
    /// outwards; and all stacks through it.
    fn path_to(&self, leak: &Leak) -> (Vec<u32>, BTreeSet<u32>) {
        let under = leak.under.as_ref();
        let Some(under) = under.and_then(|under| self.names.function(under)) else {
            return (Vec::new(), BTreeSet::new());
        };
        let most = self.stack_through(under, |_| true);
        let path = most.map_or(&[][..], |(idx, at)| {
            let path = self.diagnosis.paths.get(idx).unwrap_or_default();
            path.get(..=at).unwrap_or_default()
        });
        let stacks = self.stacks_through(under).map(|(idx, _)| idx);
        (path.iter().rev().copied().collect(), stacks.collect())
    }

    /// Buckets whose stack passes a function, with its position on their path.
    fn stacks_through(&self, label: u32) -> impl Iterator<Item = (u32, usize)> {
        (0u32..).zip(&self.buckets).filter_map(move |(idx, _)| {
            let path = self.diagnosis.paths.get(idx)?;
            let at = path.iter().position(|&on_path| on_path == label)?;
            Some((idx, at))
        })
    }

    /// Bucket with most births whose stack passes a function and ends in a wanted call site, with the position of the function
    /// on its path.
    pub(super) fn stack_through(
        &self,
        label: u32,
        is_wanted: impl Fn(u32) -> bool,
    ) -> Option<(u32, usize)> {
        let ends_in = |&(idx, _): &(u32, usize)| {
            let site = self.diagnosis.paths.get(idx).and_then(<[u32]>::last);
            site.is_some_and(|&site| is_wanted(site))
        };
        let allocs = |(idx, _): &(u32, usize)| self.buckets[*idx as usize].total().allocs;
        self.stacks_through(label)
            .filter(ends_in)
            .max_by_key(allocs)
    }

    /// Labels of the functions that are inlined on one of these stacks.
    fn inlined_on(&self, stacks: BTreeSet<u32>) -> BTreeSet<u32> {
        let buckets = (stacks.into_iter()).filter_map(|idx| self.buckets.get(idx as usize));
        let named =
            buckets.flat_map(|bucket| bucket.pcs.iter().filter_map(|&pc| self.names.get(pc)));
        named
            .filter(|named| named.frame.inlined)
            .map(|named| named.label(GroupBy::Function))
            .collect()
    }

    /// Figures of a function's windows; `None` if it cannot be counted.
    fn counted(&self, function: &str, births: &[Birth]) -> Option<Counted> {
        let judged_ns = self.diagnosis.retained.judged_ns();
        let mut counted = Counted::default();
        for window in self.candidates.windows(function)? {
            let length_ns = window.to_ns.saturating_sub(window.from_ns);
            let before = |at_ns: u64| births.partition_point(|birth| birth.at_ns < at_ns);
            let range = before(window.from_ns)..before(window.to_ns);
            let in_window = births.get(range).unwrap_or_default();
            counted.add(
                window.calls,
                length_ns as f64 / SECOND_NS as f64,
                window.to_ns <= judged_ns,
                in_window.iter().map(|birth| birth.bytes),
            );
        }
        Some(counted)
    }
}
