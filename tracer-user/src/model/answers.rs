//! What the model tells of the process as a whole: target, heap, cycles, cost, losses, baselines.

use std::sync::Arc;

use super::Model;
use super::gc::SECOND_NS;
use super::rows::{
    Baseline, Cycle, EstimatedCycle, HeapNow, Liveness, Losses, Overhead, Status, Target,
};
use super::samples::LiveSamples;
use crate::event::Duty;
use crate::go::buckets::Counts;

impl Model {
    /// What is watched.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The latest moment of any event.
    pub fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// Whether the target lives.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// `MemProfileRate` as last read.
    pub fn rate_bytes(&self) -> Option<u64> {
        self.rate_bytes
    }

    /// The last change of `MemProfileRate` seen: from, to, when. Estimates across it mix two rates.
    pub fn rate_changed(&self) -> Option<(u64, u64, u64)> {
        self.rate_changed
    }

    /// Whether the budget made heaptop detach the sampler's probes.
    pub fn sampler_detached(&self) -> bool {
        self.detached
    }

    /// The process as a whole.
    pub fn heap(&self) -> HeapNow {
        let figures = self.heap.runtime;
        let last = self.gc.cycles().back();
        HeapNow {
            live_bytes: last
                .map(|cycle| cycle.live_bytes)
                .or_else(|| figures.filter(|f| f.gc_cycles > 0).map(|f| f.live_bytes)),
            goal_bytes: figures.and_then(|f| f.goal_bytes),
            gc_cycles: self.gc.number.or(figures.map(|f| f.gc_cycles)),
            rss_bytes: self.heap.rss_bytes,
        }
    }

    /// GC cycles seen, oldest first; old ones are thinned.
    pub fn cycles(&self) -> impl ExactSizeIterator<Item = &Cycle> + DoubleEndedIterator {
        self.gc.cycles().iter()
    }

    /// GC cycles seen since the attach.
    pub fn cycles_seen(&self) -> u64 {
        self.gc.seen()
    }

    /// GC cycles before the attach, oldest first, with an estimated live heap. Empty where their times do not give it, and
    /// until four cycles were seen after the attach.
    pub fn estimated_cycles(&self) -> &Arc<[EstimatedCycle]> {
        self.diagnosis.whole.estimated_cycles()
    }

    /// GC cycles whose hooks were lost.
    pub fn cycles_missed(&self) -> u64 {
        self.gc.missed
    }

    /// Seconds from the attach to the newest event.
    pub fn watched_s(&self) -> f64 {
        self.now_ns.saturating_sub(self.target.attached_ns) as f64 / SECOND_NS as f64
    }

    /// Mean time between the recent cycles.
    pub fn gc_interval_ns(&self) -> Option<u64> {
        self.gc.interval_ns()
    }

    /// What the probes cost; `None` without probes.
    pub fn overhead(&self) -> Option<Overhead> {
        if !self.target.source.has_probes() {
            return None;
        }
        let (first, last) = (self.hits.front()?, self.hits.back()?);
        let seconds = last.0.saturating_sub(first.0) as f64 / SECOND_NS as f64;
        let calls = last.1.saturating_sub(first.1) as f64;
        let others = last.2.saturating_sub(first.2) as f64;
        let others_ns = self.hit_cost_ns.map(|ns| others * ns);
        let calls_ns = self.call_cost_ns.or(self.hit_cost_ns).map(|ns| calls * ns);
        let per_sec = |amount: f64| (seconds > 0.0).then(|| amount / seconds);
        let spent_ns = others_ns
            .zip(calls_ns)
            .map(|(others, calls)| others + calls);
        Some(Overhead {
            hits_per_sec: per_sec(calls + others),
            cpu_fraction: spent_ns.and_then(|ns| per_sec(ns / SECOND_NS as f64)),
            hits: Some(last.1 + last.2),
        })
    }

    /// What is missing or was mended.
    pub fn losses(&self) -> Losses {
        Losses {
            lost: self.lost_in_kernel(),
            repaired: self.repaired,
            truncated_stacks: self.truncated_stacks,
            unnamed_pcs: self.names.unnamed,
            evicted: self.evicted + self.omitted + self.samples.evicted,
            thinned: self.marks.thinned,
        }
    }

    /// How the governor keeps the budget; `None` where it has nothing to do.
    pub fn duty(&self) -> Option<Duty> {
        self.marks.duty
    }

    /// Buckets that wait for a comparison.
    pub fn waiting_repairs(&self) -> u64 {
        if self.liveness() == Liveness::Marks {
            return 0; // There is nothing to compare with.
        }
        self.buckets
            .iter()
            .filter(|bucket| bucket.unsettled)
            .count() as u64
    }

    /// All baselines; the first is the attach. Empty until [`Model::ready`].
    pub fn baselines(&self) -> &[Baseline] {
        &self.baselines
    }

    /// The baseline that growth is counted from.
    pub fn baseline(&self) -> Option<&Baseline> {
        self.baselines.get(self.active_baseline)
    }

    /// Index of [`Model::baseline`].
    pub fn active_baseline(&self) -> usize {
        self.active_baseline
    }

    /// Whether rows exist.
    pub fn ready(&self) -> bool {
        self.ready
    }

    /// Cycles that became final since the active baseline.
    pub fn final_cycles_since_baseline(&self) -> u64 {
        self.final_cycles
            - self
                .baseline_finals
                .get(self.active_baseline)
                .copied()
                .unwrap_or(self.final_cycles)
    }

    /// Cycles that became final since the attach.
    pub fn final_cycles(&self) -> u64 {
        self.final_cycles
    }

    /// Grows whenever rows may have changed.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The live samples, object by object.
    pub fn live_samples(&self) -> &LiveSamples {
        &self.samples
    }

    /// Counts of every bucket with its address: all samples up to now.
    pub fn bucket_totals(&self) -> impl Iterator<Item = (u64, Counts)> + '_ {
        self.buckets
            .iter()
            .map(|bucket| (bucket.addr, bucket.total()))
    }
}
