//! Facts beside the growth that explain it or point to its cause.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::go::frame::Frame;
use crate::go::symbol;
use crate::model::Model;
use crate::model::anatomy::{Anatomy, Moment};
use crate::model::findings::{Kind, Observation, ProcessVerdict};
use crate::model::gc::SECOND_NS;
use crate::model::goroutines::GoroutineGroup;

/// Functions that run finalizers, and what they wait for when there is none to run.
///
/// Source: `runfinq` and `runFinalizers` in `runtime/mfinal.go`, go1.18 to go1.27.
const FINALIZER_RUNNERS: [&str; 2] = ["runtime.runfinq", "runtime.runFinalizers"];
const NO_FINALIZER: &str = "finalizer wait";
/// A finalizer that runs for this long is blocked.
const BLOCKED_NS: u64 = 30 * SECOND_NS;
/// Watches shorter than this say nothing of a GC that does not run: a quiet program collects every two minutes.
const NO_GC_NS: u64 = 150 * SECOND_NS;
/// Threads are counted over this time.
const THREADS_NS: u64 = 300 * SECOND_NS;
/// Fewer new threads than this, or fewer a minute, are no growth: pools of threads grow with the load.
const LEAST_THREADS: u64 = 10;
const LEAST_THREADS_PER_MIN: f64 = 5.0;
/// A peak is over once the resident set is below it by this factor and this many bytes.
const PEAK_FACTOR: f64 = 1.2;
const PEAK_BYTES: u64 = 16 << 20;
/// Call sites kept of a peak.
const PEAK_SITES: usize = 3;

/// What has to be remembered for observations.
#[derive(Clone, Debug, Default)]
pub(in crate::model) struct Seen {
    /// Function that the finalizer goroutine is in, and the time it was first seen there.
    blocked: Option<(Arc<str>, u64)>,
    /// At the largest resident set so far, the call sites that had grown most since the attach, with bytes.
    peak: Vec<(Arc<Frame>, f64)>,
    peak_ns: u64,
}

impl Model {
    /// Remembers which call sites make a new peak of the resident set.
    pub(in crate::model) fn see_peak(&mut self) {
        let Some(anatomy) = self.anatomy() else {
            return;
        };
        let at_ns = anatomy.peak.at_ns;
        if at_ns == self.diagnosis.seen.peak_ns || at_ns != anatomy.now.at_ns {
            return;
        }
        let mut sites: BTreeMap<u32, (f64, u32)> = BTreeMap::new();
        for (idx, bucket) in (0u32..).zip(&self.buckets) {
            let grown = bucket.settled_cycle.live() as f64 - bucket.at_attach.live() as f64;
            let bytes = grown * self.unit(idx).bytes;
            if let Some(&site) = self.diagnosis.paths.get(idx).and_then(<[u32]>::last) {
                let sum = sites.entry(site).or_insert((0.0, idx));
                sum.0 += bytes;
            }
        }
        let mut sites: Vec<(f64, u32)> = sites.into_values().filter(|of| of.0 > 0.0).collect();
        sites.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let named = |(bytes, idx): (f64, u32)| Some((self.site_frame(idx)?, bytes));
        let peak = sites
            .into_iter()
            .filter_map(named)
            .take(PEAK_SITES)
            .collect();
        self.diagnosis.seen.peak = peak;
        self.diagnosis.seen.peak_ns = at_ns;
    }

    /// Remembers the finalizer that the goroutine for them is in.
    pub(super) fn see_finalizers(&mut self) {
        let finalizer = self.finalizer().map(|(function, ..)| function);
        let now_ns = self.now_ns;
        let seen = &mut self.diagnosis.seen.blocked;
        match (finalizer, &seen) {
            (None, _) => *seen = None,
            (Some(function), Some((known, _))) if function == *known => {}
            (Some(function), _) => *seen = Some((function, now_ns)),
        }
    }

    /// The facts of the last evaluation.
    pub(super) fn observations(&self) -> Vec<Observation> {
        let of_anatomy = self.anatomy().map_or_else(Vec::new, |anatomy| {
            [threads(anatomy), self.peak_passed(anatomy)]
                .into_iter()
                .flatten()
                .collect()
        });
        let mut observations: Vec<Observation> = [self.blocked(), self.no_gc(), self.gc_pace()]
            .into_iter()
            .flatten()
            .collect();
        observations.extend(of_anatomy);
        observations
    }

    /// The functions that can take memory outside Go, where `process` reports that such memory grows.
    pub(super) fn outside_go(&self, process: &ProcessVerdict) -> Option<Observation> {
        let is_outside = |kind: &Kind| matches!(kind, Kind::Cgo | Kind::Mmap);
        let growing = process.kinds.iter().map(|grows| grows.kind);
        let kind = growing.chain(process.kind).find(is_outside)?;
        let calls_out = self.anatomy()?.calls_out.clone()?;
        Some(Observation::OutsideGo { kind, calls_out })
    }

    /// The finalizer that runs, what its goroutine waits for, and for how long it has.
    fn finalizer(&self) -> Option<(Arc<str>, Arc<str>, Option<u64>)> {
        let all = self.goroutines()?;
        let runs = |group: &&GoroutineGroup| {
            let is_runner = FINALIZER_RUNNERS.contains(&&*group.start.function);
            is_runner && group.waits.iter().any(|(reason, _)| reason != NO_FINALIZER)
        };
        let group = all.groups.iter().find(runs)?;
        let frames = &group.oldest.as_ref()?.frames;
        let finalizer = frames
            .iter()
            .find(|frame| frame.is_named() && !symbol::is_runtime(&frame.function))?;
        let (reason, _) = group
            .waits
            .iter()
            .find(|(reason, _)| reason != NO_FINALIZER)?;
        Some((
            finalizer.function.clone(),
            (**reason).into(),
            group.longest_wait_ns,
        ))
    }

    fn blocked(&self) -> Option<Observation> {
        let (function, wait_reason, waiting_ns) = self.finalizer()?;
        let seen_ns = match &self.diagnosis.seen.blocked {
            Some((known, since_ns)) if *known == function => self.now_ns.saturating_sub(*since_ns),
            _ => 0,
        };
        let waiting_ns = waiting_ns.unwrap_or(seen_ns);
        (waiting_ns >= BLOCKED_NS).then_some(Observation::FinalizersBlocked {
            function,
            wait_reason,
            waiting_ns: Some(waiting_ns),
        })
    }

    fn no_gc(&self) -> Option<Observation> {
        let watched_ns = self.now_ns.saturating_sub(self.target.attached_ns);
        let since_start = self.heap.runtime?.gc_cycles == 0;
        let none = self.gc.seen() == 0 && (since_start || watched_ns >= NO_GC_NS);
        none.then_some(Observation::NoGc { since_start })
    }

    fn peak_passed(&self, anatomy: &Anatomy) -> Option<Observation> {
        let (peak, now) = (&anatomy.peak, &anatomy.now);
        let is_over = peak.rss_bytes as f64 >= PEAK_FACTOR * now.rss_bytes as f64
            && peak.rss_bytes >= now.rss_bytes.saturating_add(PEAK_BYTES);
        let count = |moment: &Moment| moment.goroutines.map(u64::cast_signed);
        let then = anatomy.baseline.as_ref().and_then(count);
        is_over.then(|| Observation::PeakPassed {
            at_ns: peak.at_ns,
            rss_bytes: peak.rss_bytes,
            goroutines: count(peak).zip(then).map(|(peak, then)| peak - then),
            sites: self.diagnosis.seen.peak.clone(),
        })
    }
}

/// Growth of the number of threads.
fn threads(anatomy: &Anatomy) -> Option<Observation> {
    let now = &anatomy.now;
    let count = now.threads?;
    let recent = |moment: &&Moment| moment.at_ns.saturating_add(THREADS_NS) >= now.at_ns;
    let then = anatomy.history.iter().find(recent)?;
    let minutes = now.at_ns.saturating_sub(then.at_ns) as f64 / (60.0 * SECOND_NS as f64);
    let more = count.checked_sub(then.threads?)?;
    let per_min = more as f64 / minutes;
    let grows = minutes >= 0.5 && more >= LEAST_THREADS && per_min >= LEAST_THREADS_PER_MIN;
    grows.then_some(Observation::Threads { count, per_min })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_grow_by_many_a_minute() {
        let grown = |to: u64| {
            let moment = |at_s: u64, threads: u64| Moment {
                at_ns: at_s * SECOND_NS,
                threads: Some(threads),
                ..Moment::default()
            };
            let history: Vec<Moment> = (0..=60).map(|i| moment(5 * i, 64 + to * i / 60)).collect();
            threads(&Anatomy {
                now: history[60],
                history,
                ..Anatomy::default()
            })
        };
        assert_eq!(grown(9), None);
        let Some(Observation::Threads { count, per_min }) = grown(450) else {
            panic!("no growth");
        };
        assert_eq!(count, 514);
        assert!((per_min - 90.0).abs() < 0.1, "{per_min}");
    }
}
