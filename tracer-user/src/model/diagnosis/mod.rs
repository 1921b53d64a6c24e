//! What the model says of growth: verdicts on call sites and on the process, leaks, and the time that is left.
//!
//! [`feed`] makes arrivals and departures of births and deaths, [`tracks`] judges sites and frames by the engine of
//! [`crate::verdict`], [`grouping`] and [`letters`] make leaks of what grows, [`leaks`] writes it all down. All of it
//! happens at looks, every 15 s of the events' own time, so that a recording replays to the same words.

mod attribution;
mod driver;
mod earlier;
mod explain;
mod feed;
mod found;
mod goroutines;
mod grouping;
mod leaks;
mod letters;
mod live_series;
mod observations;
mod origin;
mod others;
mod pace;
mod partition;
mod paths;
mod process;
mod recorded;
mod resident_rate;
mod retained;
mod rise;
mod since_start;
mod suspects;
mod tracks;
mod unseen;
mod via;
mod whole;

use std::collections::HashMap;

use super::estimate::Scale;
use super::findings::{Verdict, Word};
use super::rows::{GroupBy, History, Liveness, Query, SiteRow};
use super::stated::stated;
use super::{Model, each_once};
use crate::go::buckets::Counts;
use crate::verdict::growth::Past;
use crate::verdict::{Clock, Flow, LOOK_NS, SECOND_NS, Weight};
use attribution::{Hold, LARGE_BYTES};
use explain::Explained;
use feed::Feed;
use grouping::Dispatchers;
use letters::Letters;
use observations::Seen;
use partition::Entity;
use paths::Paths;
use recorded::Recorded;
use retained::Retained;
use tracks::Tracks;
use unseen::Unseen;
use via::Separation;
use whole::Whole;

/// The first rows are shown within this time of the attach.
const FIRST_ROWS_NS: u64 = SECOND_NS / 2;
/// Nanoseconds of a minute.
const MINUTE_NS: f64 = 60e9;

/// [`super::findings::Evidence::survivors`] and [`super::findings::Evidence::oldest_cycles`].
type Survived = (Option<(u64, u64)>, Option<u32>);

/// What the diagnosis remembers from look to look.
#[derive(Clone, Debug, Default)]
pub(super) struct Diagnosis {
    /// Looks and cycles; `None` until the model is ready.
    clock: Option<Clock>,
    pub(super) feed: Feed,
    /// The process as a whole.
    pub(super) whole: Whole,
    /// History from before the attach.
    pub(super) recorded: Recorded,
    retained: Retained,
    explained: Explained,
    hold: Hold,
    pub(super) seen: Seen,
    tracks: Tracks,
    /// Where nothing is known from before the attach.
    unseen: Option<Unseen>,
    paths: Paths,
    dispatchers: Dispatchers,
    separation: Separation,
    letters: Letters,
    resident: process::Resident,
    /// The letter of each label that is a site of a leak, or what a leak is under.
    letter_of: HashMap<u32, char>,
    /// Of each site of a leak, as the leak has it.
    survivors: HashMap<u32, Survived>,
    /// Samples that stood at the attach have been told.
    has_stood: bool,
}

impl Diagnosis {
    /// True if growth that passes this function in two places is one: it is neither of the standard library nor a dispatcher.
    fn can_join(&self, label: u32) -> bool {
        self.paths.can_explain(label) && !self.dispatchers.contains(label)
    }

    /// Stacks whose frames want names.
    pub(super) fn waiting(&self) -> &[u32] {
        self.tracks.waiting()
    }

    /// A sample is born at a bucket: its stack will be judged, so that its frames need names by the next look.
    pub(super) fn born(&mut self, object: u64, idx: u32, at_ns: u64) {
        self.feed.born(object, idx, at_ns);
        self.recorded.born(idx, at_ns);
        self.tracks.want(idx);
    }

    /// The same, weighted.
    pub(super) fn born_weighted(&mut self, object: u64, idx: u32, units: u64, at_ns: u64) {
        self.feed.born_weighted(object, idx, units, at_ns);
        self.tracks.want(idx);
    }

    /// The values of a cycle that ended at `at_ns` are final: so many bytes live, and what samples stand for.
    pub(super) fn gc(&mut self, at_ns: u64, live: Option<(u64, f64)>) {
        self.feed.gc(at_ns);
        if let (Some(unseen), Some((live_bytes, sampled_bytes))) = (&mut self.unseen, live) {
            unseen.cycle(live_bytes as f64, sampled_bytes);
        }
        if let Some(clock) = &mut self.clock {
            clock.gc(at_ns);
        }
    }

    /// Number of evaluations since the attach.
    pub(super) fn evaluations(&self) -> u32 {
        self.clock.as_ref().map_or(0, Clock::number)
    }

    /// Whether a look is due at `at_ns`.
    pub(super) fn is_due(&self, at_ns: u64) -> bool {
        self.clock
            .as_ref()
            .is_some_and(|clock| clock.next_look_ns() <= at_ns)
    }

    /// True if the history is to be judged at `at_ns`.
    pub(super) fn is_recorded_due(&self, at_ns: u64) -> bool {
        self.clock.is_some() && self.recorded.is_due(at_ns)
    }

    /// The word on a label, as a call site or with all below it.
    pub(super) fn verdict(&self, label: u32, is_frame: bool) -> Verdict {
        let entity = if is_frame {
            Entity::frame(label)
        } else {
            Entity::site(label)
        };
        let mut verdict = self.tracks.verdict(entity).map(stated).unwrap_or_default();
        verdict.evidence.unseen_bytes = self.tracks.replaced(entity);
        if let Some((survivors, oldest)) = self.survivors.get(&label).filter(|_| !is_frame) {
            verdict.evidence.survivors = *survivors;
            verdict.evidence.oldest_cycles = *oldest;
        }
        verdict
    }

    /// The letter of the leak that a label belongs to.
    pub(super) fn letter(&self, label: u32) -> Option<char> {
        self.letter_of.get(&label).copied()
    }

    /// Recent growth of a bucket in bytes, by which its row chooses its stack.
    pub(super) fn recent_bytes(&self, idx: u32) -> f64 {
        self.tracks.recent(idx).bytes
    }
}

impl Model {
    /// Begins to judge: from now on looks are due.
    pub(super) fn begin_diagnosis(&mut self, at_ns: u64) {
        let counters = self.liveness() == Liveness::Counters;
        let recorded = self.begin_recorded();
        let feed = std::mem::take(&mut self.diagnosis.feed);
        let before_ns = (self.heap.runtime).and_then(|figures| self.last_gc_ns(&figures));
        // The series of the whole go on where the source of samples changes.
        let whole = match &self.diagnosis.clock {
            Some(_) => std::mem::take(&mut self.diagnosis.whole),
            None => Whole::new(at_ns, self.past()),
        };
        *self.diagnosis = Diagnosis {
            whole,
            recorded,
            retained: Retained::new(before_ns),
            clock: Some(Clock::new(at_ns, self.load_before(), None)),
            paths: Paths::new(self.target.main_module.as_deref()),
            unseen: (self.target.history != History::SinceStart)
                .then(|| Unseen::new(self.target.source)),
            // What the probes told until they went away has no deaths any more.
            feed: if counters { Feed::default() } else { feed },
            ..Diagnosis::default()
        };
        if counters {
            for (idx, bucket) in (0u32..).zip(&self.buckets) {
                let feed = &mut self.diagnosis.feed;
                feed.counts_from(idx, bucket.settled_cycle);
                feed.stood(idx, bucket.settled_cycle.live());
            }
            self.diagnosis.has_stood = true;
        }
    }

    /// Mean number of samples a look from the start of the process to the attach, where all were counted.
    fn load_before(&self) -> Option<f64> {
        let target = &self.target;
        if !target.has_records() {
            return None;
        }
        let uptime_ns = target
            .attached_unix_ns
            .checked_sub(target.started_unix_ns)?;
        let looks = uptime_ns as f64 / LOOK_NS as f64;
        let samples: u64 = self.buckets.iter().map(|b| b.at_attach.allocs).sum();
        (target.started_unix_ns > 0 && looks > 0.0).then(|| samples as f64 / looks)
    }

    /// Facts of the process from before the attach.
    fn past(&self) -> Past {
        let figures = self.heap.runtime;
        let seconds = |ns: u64| ns as f64 / SECOND_NS as f64;
        let attached_ns = self.target.attached_ns;
        let last_gc = figures.and_then(|figures| self.last_gc_ns(&figures));
        let mut gc_times_s = self.gc_ends_s.clone();
        if gc_times_s.is_empty() {
            gc_times_s.extend(last_gc.map(|at_ns| -seconds(attached_ns.saturating_sub(at_ns))));
        }
        Past {
            uptime_s: self.target.uptime_ns(attached_ns).map(seconds),
            gc_times_s,
            gc_cycles: figures.map(|figures| figures.gc_cycles),
            marked_bytes: figures.map(|figures| figures.live_bytes as f64),
        }
    }

    /// The values of the cycle that ended at `at_ns` are final: notes what is retained then.
    pub(super) fn retain(&mut self, at_ns: u64) {
        let large = (self.buckets.iter())
            .filter(|bucket| bucket.object_bytes >= LARGE_BYTES)
            .map(|bucket| {
                Scale::sampled(bucket.object_bytes, self.sampling_rate_bytes).bytes_per_count()
                    * bucket.settled_cycle.live() as f64
            })
            .sum();
        let diagnosis = &mut *self.diagnosis;
        if self.target.source.liveness() != Liveness::Marks {
            diagnosis.whole.large(at_ns, large);
        }
        diagnosis.retained.mark(at_ns, &self.samples);
    }

    /// A look: everything is judged anew.
    pub(super) fn look(&mut self, at_ns: u64) {
        self.tell_what_stood();
        let weights = self.weights();
        let Self {
            diagnosis,
            buckets,
            names,
            ..
        } = self;
        let diagnosis = &mut **diagnosis;
        let Some(clock) = &mut diagnosis.clock else {
            return;
        };
        if !clock.look(at_ns, diagnosis.feed.load()) {
            return;
        }
        // Those all of whose names were known already.
        diagnosis.paths.place(buckets, names);
        diagnosis.tracks.place(&diagnosis.paths);
        let flows: Vec<(u32, Flow)> = diagnosis
            .feed
            .look(clock.last_look_ns())
            .into_iter()
            .map(|(idx, flow)| (idx, feed::weighed(flow, weights(idx, buckets))))
            .collect();
        diagnosis.tracks.look(clock, &flows);
        if let Some(unseen) = &mut diagnosis.unseen {
            unseen.look(flows.iter().map(|(_, flow)| flow));
            diagnosis.tracks.hold(unseen);
        }
        self.judge_resident();
        self.judge_recorded(at_ns);
        self.judge_whole(at_ns);
        self.see_finalizers();
        self.find_leaks();
        self.generation += 1;
    }

    /// For a source without history: bytes marked by the cycle that ended at `at_ns`, and those that its live samples
    /// stand for.
    pub(super) fn live_and_sampled(&self, at_ns: u64) -> Option<(u64, f64)> {
        self.diagnosis.unseen.as_ref()?;
        let cycle = self.gc.cycles().iter().rev().find(|c| c.at_ns == at_ns)?;
        let is_weighted = self.liveness() == Liveness::Marks;
        let sampled = (0u32..).zip(&self.buckets).map(|(idx, bucket)| {
            let scale = if is_weighted {
                self.marks.scale(idx, bucket)
            } else {
                Scale::sampled(bucket.object_bytes, self.sampling_rate_bytes)
            };
            bucket.settled_cycle.live() as f64 * scale.bytes_per_count()
        });
        Some((cycle.live_bytes, sampled.sum()))
    }

    /// What one count of a bucket stands for.
    fn weights(&self) -> impl Fn(u32, &[super::bucket::Bucket]) -> Weight + use<> {
        let is_weighted = self.liveness() == Liveness::Marks;
        let rate_bytes = self.sampling_rate_bytes;
        move |idx, buckets| {
            let object_bytes = buckets.get(idx as usize).map_or(0, |b| b.object_bytes);
            let scale = if is_weighted {
                Scale::counted(object_bytes)
            } else {
                Scale::sampled(object_bytes, rate_bytes)
            };
            Weight {
                objects: scale.objects_per_count(),
                bytes: scale.bytes_per_count(),
            }
        }
    }

    /// Before the first look: the samples from before the attach of which only the number is known.
    fn tell_what_stood(&mut self) {
        if self.liveness() != Liveness::FreeEvents
            || std::mem::replace(&mut self.diagnosis.has_stood, true)
        {
            return;
        }
        let mut known: HashMap<u32, u64> = HashMap::new();
        for (_, sample) in self.samples.iter() {
            *known.entry(sample.bucket_idx).or_default() += 1;
        }
        for (idx, bucket) in (0u32..).zip(&self.buckets) {
            let followed = known.get(&idx).copied().unwrap_or(0);
            let live = bucket.total().live();
            self.diagnosis
                .feed
                .stood(idx, live.saturating_sub(followed));
        }
    }

    /// Counters of a bucket after a final cycle, for a source that knows nothing else.
    pub(super) fn tell_counts(&mut self, idx: u32, counts: Counts) {
        if self.liveness() == Liveness::Counters {
            self.diagnosis.feed.counted(idx, counts);
        }
    }

    /// Gives tracks to the stacks that are named by now.
    pub(super) fn place_tracks(&mut self) {
        let diagnosis = &mut *self.diagnosis;
        if !diagnosis.waiting().is_empty() {
            diagnosis.paths.place(&self.buckets, &self.names);
            diagnosis.tracks.place(&diagnosis.paths);
        }
    }

    /// Fills in what is said of a row; `idx` is the bucket that stands for it.
    pub(super) fn diagnose(&self, row: &mut SiteRow, query: Query, idx: usize) {
        if query.by != GroupBy::Function || !self.ready {
            return;
        }
        let label = row.id.0;
        let mut verdict = self.diagnosis.verdict(label, query.cumulative);
        verdict.evidence = self.with_calls(verdict.evidence);
        row.leak = self.diagnosis.letter(label);
        if row.leak.is_some() && verdict.word.is_quiet() {
            verdict.word = Word::PartOfLeak;
        }
        row.verdict = Some(verdict);
        row.via = u32::try_from(idx).ok().and_then(|idx| self.via(idx, label));
    }
}

impl Model {
    /// Program counters without a name on stacks that are to be judged, at most `max`, each once.
    pub(super) fn wanted_by_diagnosis(&self, max: usize) -> Vec<u64> {
        let diagnosis = &self.diagnosis;
        // All stacks tell what a frame keeps; the first rows come before that.
        let is_early = self.now_ns < self.target.attached_ns.saturating_add(FIRST_ROWS_NS);
        let unnamed = if is_early {
            &[][..]
        } else {
            diagnosis.paths.unnamed()
        };
        // Those with a path have all their names, and only wait for the next look.
        let wanted = (diagnosis.waiting().iter().chain(unnamed))
            .filter(|&&idx| diagnosis.paths.get(idx).is_none())
            .filter_map(|&idx| self.buckets.get(idx as usize))
            .flat_map(|bucket| bucket.pcs.iter().copied())
            .filter(|&pc| self.names.get(pc).is_none())
            .take(8 * max);
        each_once(wanted, max)
    }
}

#[cfg(test)]
mod tests;
