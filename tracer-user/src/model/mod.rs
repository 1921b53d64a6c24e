//! The model: everything heaptop knows of one target, changed by events alone.
//!
//! Pure: it reads no clock, no memory and no file. What it wants read next it answers with
//! ([`Model::next_reads`], [`Model::wanted_names`]); what was read comes back as an [`Event`].
//!
//! *After GC* has one meaning: live after cycle N = samples born before N's mark termination and not
//! freed by its sweep. That is final when the sweep has drained, at the latest when cycle N+1 starts.

mod answers;
pub mod bucket;
pub mod estimate;
pub mod gc;
pub mod history;
mod names;
mod query;
mod reconcile;
pub mod rows;
pub mod samples;

use std::collections::{HashMap, VecDeque};

use crate::event::{BucketsRead, Event, HeapRead, KernelCounters, ProbeEvent};
use crate::go::buckets::{Counts, MAX_BUCKETS, NewBucket, PROF_CYCLE_WRAP};
use bucket::{Bucket, Compared};
use gc::{Gc, SECOND_NS};
use history::{Axis, Steps};
use names::Names;
pub use reconcile::ReadRequest;
use reconcile::Reconcile;
use rows::{Baseline, Cycle, Status, Target};
use samples::{LiveSample, LiveSamples};

/// Most baselines kept: more than one remembers the meaning of.
pub const MAX_BASELINES: usize = 9;
/// Hits per second are taken over this long.
const HITS_WINDOW_NS: u64 = 5 * SECOND_NS;

/// Everything known of one target.
#[derive(Clone, Debug, Default)]
pub struct Model {
    target: Target,
    now_ns: u64,
    status: Status,
    buckets: Vec<Bucket>,
    by_addr: HashMap<u64, u32>,
    /// Buckets with events since their last final cycle, each once.
    touched: Touched,
    names: Names,
    /// Buckets whose call site is not known yet.
    unsited: Vec<u32>,
    samples: LiveSamples,
    gc: Gc,
    axis: Axis,
    last_mark_ns: u64,
    /// Cycles whose values are final, since the attach.
    final_cycles: u64,
    /// The cycle whose values were made final last, as the runtime counts.
    final_number: Option<u32>,
    ready: bool,
    reconcile: Reconcile,
    kernel: KernelCounters,
    hits: VecDeque<(u64, u64)>,
    hit_cost_ns: Option<f64>,
    heap: HeapRead,
    rate_bytes: Option<u64>,
    /// The last rate that was not 0: what samples were taken at.
    sampling_rate_bytes: u64,
    rate_changed: Option<(u64, u64, u64)>,
    detached: bool,
    repaired: u64,
    truncated_stacks: u64,
    evicted: u64,
    omitted: u64,
    baselines: Vec<Baseline>,
    /// Counts of each bucket by baseline, as of the last final cycle then; shorter than `buckets`.
    baseline_counts: Vec<Vec<Counts>>,
    baseline_finals: Vec<u64>,
    active_baseline: usize,
    /// No cycle was final yet when these baselines were marked: they wait for the first that is.
    provisional_baselines: usize,
    is_provisional: bool,
    generation: u64,
}

/// Indices of buckets, each at most once.
#[derive(Clone, Debug, Default)]
struct Touched {
    list: Vec<u32>,
    is_in: Vec<bool>,
}

impl Touched {
    fn insert(&mut self, idx: u32) {
        let i = idx as usize;
        if i >= self.is_in.len() {
            self.is_in.resize(i + 1, false);
        }
        if !std::mem::replace(&mut self.is_in[i], true) {
            self.list.push(idx);
        }
    }

    fn take(&mut self) -> Vec<u32> {
        for &idx in &self.list {
            self.is_in[idx as usize] = false;
        }
        std::mem::take(&mut self.list)
    }
}

impl Model {
    /// A model of `target` that knows nothing yet.
    pub fn new(target: Target) -> Self {
        Self {
            now_ns: target.attached_ns,
            target,
            ..Self::default()
        }
    }

    /// Changes the model: the only way to do so.
    pub fn apply(&mut self, event: Event) {
        match event {
            Event::Probe(probe) => self.apply_probe(probe),
            Event::Kernel(counters) => self.apply_kernel(counters),
            Event::Buckets(read) => self.apply_buckets(read),
            Event::Heap(read) => self.apply_heap(read),
            Event::Specials {
                from_ns,
                samples,
                cut,
            } => {
                self.saw(from_ns);
                self.evicted += u64::from(cut);
                for (object, bucket) in samples {
                    if let Some(&idx) = self.by_addr.get(&bucket) {
                        self.samples.found(object, idx);
                    }
                }
            }
            Event::Named(names) => {
                for (pc, frame) in names {
                    self.names.insert(pc, frame);
                }
                self.place_sites();
            }
            Event::Births(_)
            | Event::Sites(_)
            | Event::Dead { .. }
            | Event::MarksRead { .. }
            | Event::Counted { .. }
            | Event::Duty(_) => {}
            Event::HitCost { ns } => self.hit_cost_ns = Some(ns),
            Event::SamplerDetached { at_ns } => {
                self.saw(at_ns);
                self.detached = true;
                self.reconcile.want_all();
            }
            Event::MarkBaseline { at_ns } => {
                self.saw(at_ns);
                self.mark_baseline(at_ns);
            }
            Event::UseBaseline(i) => {
                if i < self.baselines.len() {
                    self.active_baseline = i;
                    self.generation += 1;
                }
            }
            Event::Tick { at_ns } => self.saw(at_ns),
            Event::Exited { at_ns, how } => {
                self.saw(at_ns);
                self.status = Status::Exited { at_ns, how };
            }
        }
    }

    fn saw(&mut self, at_ns: u64) {
        self.now_ns = self.now_ns.max(at_ns);
    }

    fn apply_probe(&mut self, probe: ProbeEvent) {
        self.saw(probe.at_ns());
        let epoch = self.gc.epoch;
        match probe {
            ProbeEvent::Born {
                at_ns,
                object,
                bucket,
            } => {
                let Some(idx) = self.bucket_idx(bucket) else {
                    return;
                };
                self.buckets[idx as usize].born(at_ns, epoch);
                self.note_event(idx);
                let born_epoch = u32::try_from(epoch).unwrap_or(u32::MAX);
                self.samples.born(
                    object,
                    LiveSample {
                        bucket_idx: idx,
                        born_epoch,
                        born_ns: at_ns,
                    },
                );
            }
            ProbeEvent::Freed {
                at_ns,
                object,
                bucket,
            } => {
                let Some(idx) = self.bucket_idx(bucket) else {
                    return;
                };
                self.buckets[idx as usize].freed(at_ns);
                self.note_event(idx);
                self.samples.freed(object);
            }
            // All sweeping of the cycle before is done: no free of it is still to come.
            ProbeEvent::GcStart { .. } => self.end_of_sweep(),
            ProbeEvent::GcMarked { at_ns, live_bytes } => {
                // A lost start: the sweep before this mark has ended all the same.
                self.end_of_sweep();
                self.last_mark_ns = at_ns;
                self.gc.marked(at_ns, live_bytes);
            }
            ProbeEvent::Flushed { .. } => self.reconcile.flushed(),
            // What they mean is a source's work: it makes births of them.
            ProbeEvent::Span(_) | ProbeEvent::Alloc(_) => {}
        }
    }

    /// The index of a bucket, which is made if an event names it first; `None` beyond the bound.
    fn bucket_idx(&mut self, addr: u64) -> Option<u32> {
        if let Some(&idx) = self.by_addr.get(&addr) {
            return Some(idx);
        }
        if self.buckets.len() >= MAX_BUCKETS {
            self.evicted += 1;
            return None;
        }
        Some(self.push_bucket(Bucket::new(addr, 0, [].into())))
    }

    fn push_bucket(&mut self, bucket: Bucket) -> u32 {
        let idx = u32::try_from(self.buckets.len()).unwrap_or(u32::MAX);
        self.by_addr.insert(bucket.addr, idx);
        self.buckets.push(bucket);
        idx
    }

    fn note_event(&mut self, idx: u32) {
        self.buckets[idx as usize].unsettled = true;
        self.touched.insert(idx);
    }

    fn apply_kernel(&mut self, counters: KernelCounters) {
        self.saw(counters.at_ns);
        let lost_before = self.lost_in_kernel();
        self.kernel = counters;
        if self.lost_in_kernel() > lost_before {
            // Nobody knows whose records they were: all of them wait for a comparison.
            for bucket in &mut self.buckets {
                bucket.unsettled = true;
            }
        }
        self.hits
            .push_back((counters.at_ns, counters.hits.iter().sum()));
        while self.hits.len() > 2 && self.hits[1].0 + HITS_WINDOW_NS < counters.at_ns {
            self.hits.pop_front();
        }
    }

    fn apply_heap(&mut self, read: HeapRead) {
        self.saw(read.at_ns);
        let figures = read.runtime.or(self.heap.runtime);
        self.heap = HeapRead {
            runtime: figures,
            ..read
        };
        let Some(figures) = read.runtime else { return };
        if figures.rate_bytes != 0 {
            self.sampling_rate_bytes = figures.rate_bytes;
        }
        if let Some(old) = self.rate_bytes.replace(figures.rate_bytes)
            && old != figures.rate_bytes
        {
            self.rate_changed = Some((old, figures.rate_bytes, read.at_ns));
            self.generation += 1;
        }
        if let Some(cycle) = self.gc.last_mut()
            && cycle.goal_bytes.is_none()
            && cycle.at_ns < read.at_ns
        {
            cycle.goal_bytes = figures.goal_bytes;
        }
        if self.last_mark_ns >= read.at_ns {
            return; // A mark came after this read: the two do not speak of one cycle.
        }
        match self.gc.number {
            Some(known) if figures.gc_cycles > known => {
                // A busy record of another CPU hides those behind it: a hook counts as lost when it has
                // not come by the next look either.
                if self.has_probes() && !std::mem::replace(&mut self.gc.is_behind, true) {
                    return;
                }
                self.gc.is_behind = false;
                self.end_of_sweep();
                if self.has_probes() {
                    // Births can no longer be told from those after the mark.
                    self.gc.missed += u64::from(figures.gc_cycles - known);
                    self.gc.blind = true;
                    self.reconcile.want_all();
                }
                self.gc.epoch += 1;
                self.gc.begin_sweep();
                self.gc.number = Some(figures.gc_cycles);
                self.gc.push(Cycle {
                    number: figures.gc_cycles,
                    at_ns: read.at_ns,
                    live_bytes: figures.live_bytes,
                    goal_bytes: figures.goal_bytes,
                });
            }
            Some(known) if figures.gc_cycles < known => {
                // A hook that was given up came after all.
                if read.at_ns > self.last_mark_ns + SECOND_NS {
                    self.gc.number = Some(figures.gc_cycles);
                    self.reconcile.want_all();
                }
            }
            Some(_) => {
                self.gc.is_behind = false;
                // The second look that finds it swept: by then no free of it is hidden in the ring.
                if figures.swept && self.gc.seen_swept_twice() {
                    self.end_of_sweep();
                }
            }
            None => {
                self.gc.number = Some(figures.gc_cycles);
                if figures.gc_cycles > 0 {
                    self.gc.sweeping = !figures.swept;
                }
            }
        }
    }

    /// Whether births and frees come as events; else the counters are taken as they are read.
    fn has_probes(&self) -> bool {
        self.target.source == rows::Source::Sampler && !self.detached
    }

    fn apply_buckets(&mut self, read: BucketsRead) {
        self.saw(read.to_ns);
        self.truncated_stacks = read.truncated_stacks;
        self.omitted = self.omitted.max(read.omitted);
        let mut first_reads: Vec<u32> = Vec::new();
        for new in read.new {
            if let Some(idx) = self.add_bucket(new) {
                first_reads.push(idx);
            }
        }
        first_reads.sort_unstable();
        let of_this_cycle = read.cycle.is_some()
            && read.cycle == self.gc.number.map(|number| number % PROF_CYCLE_WRAP)
            && self.last_mark_ns < read.from_ns;
        let epoch = of_this_cycle.then_some(self.gc.epoch);
        let lost = (read.lost_before, self.kernel.lost_samples());
        let has_probes = self.has_probes();
        let first = !self.ready && read.complete;
        // Before the first cycle nothing was ever collected: all that was allocated is in use.
        let no_cycle_yet = self.gc.number == Some(0);
        for (addr, mut counts) in read.counts {
            let Some(&idx) = self.by_addr.get(&addr) else {
                continue;
            };
            if no_cycle_yet {
                counts.born_since_mark = 0;
            }
            let bucket = &mut self.buckets[idx as usize];
            if !has_probes {
                bucket.overwrite(counts, self.gc.epoch);
            } else if first_reads.binary_search(&idx).is_ok() {
                bucket.first_read(counts, epoch.or(first.then_some(self.gc.epoch)), lost.0);
            } else {
                match bucket.compare(counts, read.from_ns, lost, epoch) {
                    Compared::Agreed => {
                        bucket.unsettled = false;
                        if epoch.is_some() {
                            self.touched.insert(idx);
                        }
                        continue;
                    }
                    Compared::Deferred => continue,
                    Compared::SettledOn => {
                        let bucket = &self.buckets[idx as usize];
                        if bucket.total().allocs < bucket.at_attach.allocs {
                            // The first read was torn: what it had too much was never allocated.
                            self.buckets[idx as usize].at_attach = bucket.total();
                        }
                    }
                    Compared::Repaired(records) => self.repaired += records,
                }
                if !self.gc.sweeping && of_this_cycle {
                    self.restate(idx);
                }
            }
            if first {
                self.buckets[idx as usize].at_attach = self.buckets[idx as usize].total();
            }
            self.touched.insert(idx);
        }
        if read.complete {
            self.reconcile.has_all();
            self.gc.blind &= !of_this_cycle;
        }
        if first {
            self.first_light(read.swept);
        } else if !self.has_probes() && of_this_cycle && read.swept && read.complete {
            self.gc.sweeping = true;
            self.finish_cycle();
        }
        self.generation += 1;
    }

    /// Adds a bucket, or completes one that an event named first. `None` for one that is known.
    fn add_bucket(&mut self, new: NewBucket) -> Option<u32> {
        let idx = self.bucket_idx(new.addr)?;
        let bucket = &mut self.buckets[idx as usize];
        if !bucket.pcs.is_empty() || bucket.object_bytes != 0 {
            return None;
        }
        bucket.pcs = new.pcs;
        bucket.object_bytes = new.object_bytes;
        self.unsited.push(idx);
        Some(idx)
    }

    /// The first reading of everything: rows exist, and the baseline is now.
    fn first_light(&mut self, swept: bool) {
        self.ready = true;
        self.gc.sweeping |= !swept;
        for bucket in &mut self.buckets {
            bucket.settled_cycle = bucket.after_gc(self.gc.epoch);
            let Counts { allocs, frees } = bucket.settled_cycle;
            bucket.steps = Steps::begin(bucket.settled_cycle.live(), allocs.wrapping_add(frees));
        }
        self.is_provisional = self.gc.sweeping || self.gc.number == Some(0);
        self.mark_baseline(self.target.attached_ns);
        self.axis.begin(self.now_ns);
        self.final_number = self.gc.number.filter(|_| !self.gc.sweeping);
    }

    /// Sweeping has ended: what the probes counted for the last cycle is final.
    fn end_of_sweep(&mut self) {
        if self.has_probes() && !self.gc.blind {
            self.finish_cycle();
        }
    }

    /// Makes the values of the last cycle final.
    fn finish_cycle(&mut self) {
        if !self.ready || !std::mem::take(&mut self.gc.sweeping) {
            return;
        }
        if !self.has_probes() && self.final_number == self.gc.number {
            return; // Read again, still the same cycle.
        }
        let at_ns = self
            .gc
            .cycles()
            .back()
            .map_or(self.now_ns, |cycle| cycle.at_ns);
        if self.axis.push(at_ns) {
            for bucket in &mut self.buckets {
                bucket.steps.halve();
            }
        }
        let epoch = self.gc.epoch;
        for idx in self.touched.take() {
            self.restate(idx);
            if self.buckets[idx as usize].born_since_mark(epoch) > 0 {
                self.touched.insert(idx); // They count with the next cycle, events or not.
            }
        }
        self.final_cycles += 1;
        self.final_number = self.gc.number;
        if std::mem::take(&mut self.is_provisional) {
            for i in 0..std::mem::take(&mut self.provisional_baselines) {
                self.baseline_counts[i] = self.settled_counts();
                self.baselines[i].gc_cycles = self.gc.number;
                self.baselines[i].live_bytes = self.heap().live_bytes;
                self.baseline_finals[i] = self.final_cycles;
            }
        }
        self.generation += 1;
    }

    /// Sets a bucket's value after the last final cycle from its counts.
    fn restate(&mut self, idx: u32) {
        let epoch = self.gc.epoch;
        let bucket = &mut self.buckets[idx as usize];
        bucket.settled_cycle = bucket.after_gc(epoch);
        let Counts { allocs, frees } = bucket.settled_cycle;
        bucket.steps.push(
            &self.axis,
            bucket.settled_cycle.live(),
            allocs.wrapping_add(frees),
        );
    }

    fn settled_counts(&self) -> Vec<Counts> {
        self.buckets
            .iter()
            .map(|bucket| bucket.settled_cycle)
            .collect()
    }

    fn mark_baseline(&mut self, at_ns: u64) {
        if self.baselines.len() >= MAX_BASELINES {
            // The attach stays; of the others the oldest goes.
            self.baselines.remove(1);
            self.baseline_counts.remove(1);
            self.baseline_finals.remove(1);
        }
        let heap = self.heap();
        self.baselines.push(Baseline {
            at_ns,
            is_attach: self.baselines.is_empty(),
            live_bytes: heap.live_bytes,
            gc_cycles: heap.gc_cycles,
        });
        self.baseline_counts.push(self.settled_counts());
        self.baseline_finals.push(self.final_cycles);
        self.active_baseline = self.baselines.len() - 1;
        if self.is_provisional {
            self.provisional_baselines = self.baselines.len();
        }
        self.generation += 1;
    }

    /// Finds the call sites of new buckets, as far as names are known.
    fn place_sites(&mut self) {
        let Self {
            buckets,
            names,
            unsited,
            ..
        } = self;
        unsited.retain(|&idx| {
            let bucket = &mut buckets[idx as usize];
            match names.site(&bucket.pcs) {
                Ok(site) => {
                    bucket.site_frame = site;
                    false
                }
                Err(_) => true,
            }
        });
        self.generation += 1;
    }

    /// Program counters whose names the model needs to find call sites, at most `max`, each once. Ask
    /// again after [`Event::Named`]: a runtime frame sends it one frame further.
    pub fn wanted_names(&self, max: usize) -> Vec<u64> {
        let mut wanted: Vec<u64> = self
            .unsited
            .iter()
            .filter_map(|&idx| self.names.site(&self.buckets[idx as usize].pcs).err())
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted.truncate(max);
        wanted
    }

    /// What is to be read from the target's buckets now, if anything.
    pub fn next_reads(&mut self) -> Option<ReadRequest> {
        if !self.ready || self.status != Status::Live {
            return None;
        }
        if !self.has_probes() {
            return self.reconcile.due(self.now_ns, true).then(|| ReadRequest {
                all: true,
                buckets: Vec::new(),
            });
        }
        let unsettled = self.buckets.iter().any(|bucket| bucket.unsettled);
        if !self.reconcile.due(self.now_ns, unsettled) {
            return None;
        }
        if self.reconcile.wants_all() {
            return Some(ReadRequest {
                all: true,
                buckets: Vec::new(),
            });
        }
        let turn = self.reconcile.turn(self.buckets.len());
        let wanted = |(i, bucket): &(usize, &Bucket)| bucket.unsettled || turn.contains(i);
        let buckets = self
            .buckets
            .iter()
            .enumerate()
            .filter(wanted)
            .map(|(_, bucket)| bucket.addr)
            .collect();
        Some(ReadRequest {
            all: false,
            buckets,
        })
    }

    fn lost_in_kernel(&self) -> u64 {
        self.kernel.lost.iter().sum::<u64>() + self.kernel.undecodable
    }
}

#[cfg(test)]
mod tests;
