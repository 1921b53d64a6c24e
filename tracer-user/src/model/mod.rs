//! The model: everything heaptop knows of one target, changed by events alone.
//!
//! Pure: it reads no clock, no memory and no file. What it wants read next it answers with
//! ([`Model::next_reads`], [`Model::wanted_names`]); what was read comes back as an [`Event`].
//!
//! *After GC* has one meaning: live after cycle N = samples born before N's mark termination and not
//! freed by its sweep. That is final when the sweep has drained, at the latest when cycle N+1 starts; for a source by
//! mark bits when those of N were read.

pub mod anatomy;
mod answers;
pub mod bucket;
pub mod calls;
mod candidates;
mod cycles;
mod diagnosis;
pub mod estimate;
pub mod findings;
pub mod gc;
pub mod goroutines;
pub mod history;
mod marks;
mod names;
mod query;
mod reads;
mod reconcile;
mod resident;
mod row;
pub mod rows;
pub mod samples;
mod stated;
pub mod timeline;
mod weighted;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::event::{Attached, Event, HeapRead, KernelCounters, ProbeEvent};
use crate::go::buckets::{Counts, MAX_BUCKETS};
use crate::go::profile::MappedFile;
use crate::source::limit::Group;
use bucket::Bucket;
use calls::CallHistory;
use candidates::Candidates;
use diagnosis::Diagnosis;
use findings::Findings;
use gc::{Gc, SECOND_NS};
use goroutines::state::GoroutineState;
use history::Axis;
use marks::Marks;
use names::Names;
pub use reconcile::ReadRequest;
use reconcile::Reconcile;
use resident::Resident;
use rows::{Baseline, Liveness, Note, Status, Target};
use samples::{LiveSample, LiveSamples};
use timeline::Timeline;

/// Most baselines kept: more than one remembers the meaning of.
pub const MAX_BASELINES: usize = 9;
/// Most notes kept; a watch that has more shows the latest.
pub const MAX_NOTES: usize = 256;
/// Hits per second are taken over this long.
const HITS_WINDOW_NS: u64 = 5 * SECOND_NS;

/// Everything known of one target.
#[derive(Clone, Debug, Default)]
pub struct Model {
    target: Target,
    mappings: Vec<MappedFile>,
    /// Ends of the last GC cycles before the attach, seconds after it (all negative), oldest first.
    gc_ends_s: Vec<f64>,
    notes: VecDeque<Note>,
    notes_dropped: u64,
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
    marks: Marks,
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
    /// Times, hits of counted calls and hits of all other probes.
    hits: VecDeque<(u64, u64, u64)>,
    hit_cost_ns: Option<f64>,
    call_cost_ns: Option<f64>,
    calls: CallHistory,
    candidates: Candidates,
    heap: HeapRead,
    resident: Resident,
    goroutines: Box<GoroutineState>,
    timeline: Timeline,
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
    /// Boxed: it is large, and a session that holds it is moved about.
    diagnosis: Box<Diagnosis>,
    findings: Arc<Findings>,
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
    /// Builds a model from a stream of events.
    pub fn replay(events: impl IntoIterator<Item = Event>) -> Self {
        let mut model = Self::default();
        for event in events {
            model.apply(event);
        }
        model
    }

    /// Applies one event: the only way to change the model.
    pub fn apply(&mut self, event: Event) {
        match event {
            Event::Attached(attached) => self.apply_attached(*attached),
            Event::Probe(probe) => self.apply_probe(probe),
            Event::Kernel(counters) => self.apply_kernel(counters),
            Event::Buckets(read) => self.apply_buckets(read),
            Event::Heap(read) => self.apply_heap(read),
            Event::Anatomy(read) => self.apply_anatomy(&read),
            Event::Goroutines(read) => {
                self.saw(read.at_ns);
                if let Ok(all) = &read.found {
                    let whole = &mut self.diagnosis.whole;
                    whole.goroutines(read.at_ns, all.total, all.stack_bytes);
                }
                let uptime_ns = self.target.uptime_ns(read.at_ns);
                self.goroutines.apply(read, uptime_ns);
                self.goroutines.named(&self.names);
            }
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
                        self.diagnosis.feed.found(object, idx);
                    }
                }
            }
            Event::Named { at_ns, names } => {
                self.saw(at_ns);
                for (pc, frame) in names {
                    self.names.insert(pc, frame);
                }
                self.place_sites();
                self.place_tracks();
                self.goroutines.named(&self.names);
            }
            Event::Sites { at_ns, sites } => {
                self.saw(at_ns);
                self.apply_sites(sites);
            }
            Event::Births(births) => self.apply_births(births),
            Event::Dead { at_ns, objects } => self.apply_dead(at_ns, &objects),
            Event::MarksRead { at_ns, number } => self.apply_marks_read(at_ns, number),
            Event::Counted {
                at_ns,
                objects,
                exact,
            } => self.apply_counted(at_ns, objects, exact),
            Event::Duty(duty) => {
                self.saw(duty.at_ns);
                self.marks.duty = Some(duty);
            }
            Event::Calls(read) => {
                self.saw(read.at_ns);
                self.calls.apply(read);
            }
            Event::CallWindow(window) => {
                self.saw(window.to_ns);
                self.candidates.apply(window);
            }
            Event::HitCost {
                at_ns,
                ns,
                calls_ns,
            } => {
                self.saw(at_ns);
                self.hit_cost_ns = Some(ns);
                self.call_cost_ns = calls_ns.or(self.call_cost_ns);
            }
            Event::SamplerDetached { at_ns } => {
                self.saw(at_ns);
                self.detached = true;
                self.reconcile.want_all();
                if self.ready {
                    self.begin_diagnosis(at_ns);
                }
            }
            Event::MarkBaseline { at_ns } => {
                self.saw(at_ns);
                self.mark_baseline(at_ns);
            }
            Event::UseBaseline { at_ns, index } => {
                self.saw(at_ns);
                self.use_baseline(index);
            }
            Event::Note { at_ns, text } => {
                self.saw(at_ns);
                self.note(at_ns, text);
            }
            Event::Tick { at_ns } => self.saw(at_ns),
            Event::Exited { at_ns, exit, how } => {
                self.saw(at_ns);
                self.status = Status::Exited { at_ns, exit, how };
            }
        }
    }

    /// Number of evaluations since the attach, those that fell into a gap of the events included.
    pub fn evaluations(&self) -> u32 {
        self.diagnosis.evaluations()
    }

    /// What the diagnosis says now; shared, so that asking at each frame costs nothing.
    pub fn findings(&self) -> Arc<Findings> {
        self.findings.clone()
    }

    fn apply_attached(&mut self, attached: Attached) {
        let Attached {
            target,
            mappings,
            gc_ends_unix_ns,
        } = attached;
        self.now_ns = target.attached_ns;
        self.target = target;
        self.mappings = mappings;
        self.gc_ends_s = gc_ends_s(&gc_ends_unix_ns, self.target.attached_unix_ns);
    }

    fn use_baseline(&mut self, index: usize) {
        if index < self.baselines.len() {
            self.active_baseline = index;
            self.resident.use_baseline(index);
            self.generation += 1;
        }
    }

    fn note(&mut self, at_ns: u64, text: String) {
        if self.notes.len() == MAX_NOTES {
            self.notes.pop_front();
            self.notes_dropped += 1;
        }
        self.notes.push_back(Note { at_ns, text });
        self.generation += 1;
    }

    /// Time has come to `at_ns`: a look that is due comes before whatever happens then.
    fn saw(&mut self, at_ns: u64) {
        self.now_ns = self.now_ns.max(at_ns);
        if self.diagnosis.is_due(at_ns) {
            self.look(at_ns);
        } else if self.diagnosis.is_recorded_due(at_ns) {
            self.look_recorded(at_ns);
        }
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
                        units: 1,
                    },
                );
                self.diagnosis.born(object, idx, at_ns);
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
                self.diagnosis.feed.died(object, idx, at_ns);
            }
            // All sweeping of the cycle before is done: no free of it is still to come.
            ProbeEvent::GcStart { at_ns, heap_bytes } => {
                self.end_of_sweep();
                self.timeline.started(at_ns);
                self.diagnosis.whole.started(at_ns, heap_bytes);
            }
            ProbeEvent::GcMarked {
                at_ns,
                live_bytes,
                cycle,
                heap_bytes,
            } => {
                // A lost start: the sweep before this mark has ended all the same.
                self.end_of_sweep();
                self.diagnosis.whole.marked(at_ns, live_bytes, heap_bytes);
                self.last_mark_ns = at_ns;
                if let Some(cycle) = self.gc.marked(at_ns, live_bytes, cycle) {
                    self.timeline.marked(cycle);
                }
                self.settle_marks();
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
        let calls = Group::Calls.hits(&counters.hits);
        let others = counters.hits.iter().sum::<u64>() - calls;
        self.hits.push_back((counters.at_ns, calls, others));
        while self.hits.len() > 2 && self.hits[1].0 + HITS_WINDOW_NS < counters.at_ns {
            self.hits.pop_front();
        }
    }

    /// How deaths are learnt now: with its probes detached, the sampler is read like counters.
    fn liveness(&self) -> Liveness {
        match self.target.source.liveness() {
            Liveness::FreeEvents if self.detached => Liveness::Counters,
            liveness => liveness,
        }
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
        let wanted = self
            .unsited
            .iter()
            .filter_map(|&idx| self.names.site(&self.buckets[idx as usize].pcs).err())
            .chain(self.goroutines.wanted_names(&self.names));
        let mut wanted = each_once(wanted, max);
        if wanted.is_empty() {
            wanted = self.wanted_by_diagnosis(max);
        }
        wanted
    }

    fn lost_in_kernel(&self) -> u64 {
        self.kernel.lost.iter().sum::<u64>() + self.kernel.undecodable
    }
}

/// Unix times before the attach as seconds after it.
fn gc_ends_s(unix_ns: &[u64], attached_unix_ns: i64) -> Vec<f64> {
    let seconds =
        |&ns: &u64| (i128::from(ns) - i128::from(attached_unix_ns)) as f64 / SECOND_NS as f64;
    unix_ns
        .iter()
        .map(seconds)
        .filter(|&at_s| at_s < 0.0)
        .collect()
}

/// Program counters, each once and at most `max` of them.
fn each_once(pcs: impl Iterator<Item = u64>, max: usize) -> Vec<u64> {
    let mut pcs: Vec<u64> = pcs.collect();
    pcs.sort_unstable();
    pcs.dedup();
    pcs.truncate(max);
    pcs
}

#[cfg(test)]
mod tests;
