//! What is said of sites and leaks since the start of the process, and what the whole takes over from it.

use std::collections::{BTreeMap, BTreeSet};

use super::leaks::BySite;
use super::recorded::{Entity, Recorded};
use crate::model::Model;
use crate::model::findings::{HistorySays, Interval, Leak, SinceStart};
use crate::model::gc::SECOND_NS;
use crate::model::rows::{History, Liveness};
use crate::verdict::growth::Remark;
use crate::verdict::history::{Kept, Says, mean_due, since_start};
use crate::verdict::{Estimate, Word};

/// Growth below this is not named from history, bytes per minute: as the least bound of a steady heap.
const LEAST_BYTES_PER_MIN: f64 = 0.1 * 1_048_576.0;
/// Probability of a heap that does not rise above which it contradicts the history, and below which it no longer does.
const CONTRADICTED: f64 = 0.5;
/// See [`CONTRADICTED`].
const AGREES: f64 = 0.2;
/// Seconds after the attach at which findings are written although no evaluation is due: suspects come with the first rows.
const EARLY_S: [f64; 4] = [1.0, 2.0, 4.0, 8.0];
/// Births since the start below which a site is no suspect by its history.
const SUSPECT_LEAST_BIRTHS: u64 = 10;
/// Share of its births that a suspect has kept at least.
const SUSPECT_LEAST_KEPT: f64 = 0.5;

/// Counts since the start of some stacks.
#[derive(Default)]
struct Sum {
    births: u64,
    deaths: u64,
    /// Births since the last GC before the attach.
    now: u64,
    kept: Kept,
}

impl Model {
    /// History at the first reading of all buckets, where there is one.
    pub(super) fn begin_recorded(&self) -> Recorded {
        let figures = self.heap.runtime;
        let of_read = figures.and_then(|figures| self.last_gc_ns(&figures));
        let marked_ns = of_read.map(|at_ns| at_ns.max(self.last_mark_ns));
        let uptime_ns = self.target.uptime_ns(self.now_ns);
        match (marked_ns, uptime_ns) {
            (Some(marked_ns), Some(uptime_ns))
                if self.target.history == History::SinceStart
                    && self.liveness() == Liveness::FreeEvents =>
            {
                Recorded::begin(
                    self.now_ns,
                    uptime_ns as f64 / SECOND_NS as f64,
                    marked_ns.min(self.now_ns),
                    self.gc.sweeping,
                    &self.buckets,
                    &self.diagnosis.feed,
                )
            }
            _ => Recorded::default(),
        }
    }

    /// Judges the history, and writes the findings anew where that changes what is said between two evaluations.
    pub(in crate::model) fn look_recorded(&mut self, at_ns: u64) {
        let then_s = self.diagnosis.recorded.watched_s();
        let grew = self.diagnosis.recorded.growing_labels();
        self.judge_recorded(at_ns);
        let now_s = self.diagnosis.recorded.watched_s();
        let is_early = EARLY_S.iter().any(|&at_s| then_s < at_s && at_s <= now_s);
        if is_early || grew != self.diagnosis.recorded.growing_labels() {
            self.take_over();
            self.attribute_between();
            self.write_findings();
            self.generation += 1;
        }
    }

    /// Judges the history up to `at_ns`.
    pub(super) fn judge_recorded(&mut self, at_ns: u64) {
        if self.diagnosis.recorded.life().is_none() {
            return;
        }
        let mut recorded = std::mem::take(&mut self.diagnosis.recorded);
        let Self {
            diagnosis,
            buckets,
            names,
            ..
        } = self;
        diagnosis.paths.place(buckets, names);
        let load = recorded.load(&self.diagnosis.feed);
        let paths = &self.diagnosis.paths;
        recorded.look(at_ns, &self.buckets, paths, load, |idx| {
            self.unit(idx).bytes
        });
        self.diagnosis.recorded = recorded;
    }

    /// Gives the word of the history to the whole, or takes it back.
    pub(super) fn take_over(&mut self) {
        let now_ns = self.now_ns;
        let diagnosis = &mut *self.diagnosis;
        let heap = &diagnosis.whole.judged().heap;
        let p_flat = heap.rate.and_then(|rate| rate.p_flat);
        let recorded = &mut diagnosis.recorded;
        recorded.is_contradicted = match p_flat {
            Some(p_flat) if recorded.is_contradicted => p_flat > AGREES,
            Some(p_flat) => p_flat > CONTRADICTED,
            None => recorded.is_contradicted,
        };
        let is_vetoed = matches!(
            heap.remark,
            Some(Remark::FollowsLoad(_) | Remark::SawTooth { .. })
        );
        let rate = recorded
            .growing_rate()
            .filter(|rate| rate.value >= LEAST_BYTES_PER_MIN && !recorded.is_contradicted);
        recorded.is_by_life &= diagnosis.whole.is_taken_over() && !recorded.is_contradicted;
        match (heap.word, rate) {
            (_, None) if recorded.is_by_life => {}
            (_, None) => diagnosis.whole.give_back(),
            (Word::Growing, Some(rate)) => diagnosis.whole.take_over(rate, now_ns),
            (Word::Collecting, Some(rate)) if !is_vetoed => {
                diagnosis.whole.take_over(rate, now_ns);
            }
            (Word::ProbablyGrowing, Some(_)) if !is_vetoed => diagnosis.whole.raise(),
            _ => {}
        }
    }

    /// The entities that grow by their history, unless the whole contradicts them.
    pub(super) fn growing_since_start(&self) -> Vec<&Entity> {
        let recorded = &self.diagnosis.recorded;
        if recorded.is_contradicted {
            return Vec::new();
        }
        let is_much = |entity: &&Entity| {
            entity
                .rate
                .is_some_and(|rate| rate.value >= LEAST_BYTES_PER_MIN)
        };
        recorded.growing().filter(is_much).collect()
    }

    /// Call sites of an entity, largest first by what they kept since the start.
    pub(super) fn sites_of(&self, entity: &Entity) -> Vec<u32> {
        let recorded = &self.diagnosis.recorded;
        let mut sites: BTreeMap<u32, f64> = BTreeMap::new();
        for idx in recorded.buckets(entity) {
            if let Some(&site) = self.diagnosis.paths.get(idx).and_then(<[u32]>::last) {
                let base = recorded.base(idx);
                let kept = base.births.saturating_sub(base.deaths) as f64;
                *sites.entry(site).or_default() += kept * self.unit(idx).bytes;
            }
        }
        let mut sites: Vec<(u32, f64)> = sites.into_iter().collect();
        sites.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        sites.into_iter().map(|(site, _)| site).collect()
    }

    /// Figures since the start of each call site.
    pub(super) fn sites_since_start(&self) -> BTreeMap<u32, SinceStart> {
        self.sum_since_start(|path| path.last().copied())
    }

    /// Figures since the start of the stacks to which `key` gives a key.
    fn sum_since_start<K: Ord>(
        &self,
        key: impl Fn(&[u32]) -> Option<K>,
    ) -> BTreeMap<K, SinceStart> {
        let recorded = &self.diagnosis.recorded;
        let Some(life) = recorded.life() else {
            return BTreeMap::new();
        };
        let mut sums: BTreeMap<K, Sum> = BTreeMap::new();
        for (idx, bucket) in (0u32..).zip(&self.buckets) {
            let Some(key) = self.diagnosis.paths.get(idx).and_then(&key) else {
                continue;
            };
            let (base, sum) = (recorded.base(idx), sums.entry(key).or_default());
            sum.births += base.births;
            sum.deaths += base.deaths;
            sum.now += bucket.total().allocs.saturating_sub(base.births);
            let kept = base.births.saturating_sub(base.deaths) as f64;
            sum.kept.add(kept, self.unit(idx).bytes);
        }
        let load = recorded.load(&self.diagnosis.feed);
        let stated = |(key, sum): (K, Sum)| {
            let since = SinceStart {
                seconds: life.recorded_s,
                born: sum.births,
                freed: sum.deaths,
                bytes_per_min: since_start(sum.kept, life.uptime_s).map(Interval::from),
                born_now: sum.now,
                due_now: mean_due(life, sum.births as f64, recorded.watched_s(), load),
                says: HistorySays::Nothing,
            };
            (key, since)
        };
        let mut all: BTreeMap<K, SinceStart> = sums.into_iter().map(stated).collect();
        // The largest entity with these stacks speaks for them; growth before all.
        let mut spoken: BTreeMap<K, (bool, f64)> = BTreeMap::new();
        for entity in recorded.entities() {
            let mut keys = recorded.buckets(entity).map(|idx| {
                let path = self.diagnosis.paths.get(idx);
                path.and_then(&key)
            });
            let Some(Some(first)) = keys.next() else {
                continue;
            };
            if keys.any(|key| key.as_ref() != Some(&first)) {
                continue;
            }
            let grows = entity.judgment.says == Says::Growing;
            let rank = (grows, entity.rate.map_or(0.0, |rate| rate.value));
            let is_first = spoken.get(&first).is_none_or(|of| (of.0, of.1) < rank);
            if let (Some(since), true) = (all.get_mut(&first), is_first) {
                since.says = said(entity.judgment.says);
                spoken.insert(first, rank);
            }
        }
        all
    }

    /// Fills in what the profile recorded of each leak of the heap.
    pub(super) fn state_leaks(&self, leaks: &mut [Leak]) {
        let growing: BTreeSet<u32> = (self.growing_since_start().iter())
            .flat_map(|entity| self.sites_of(entity))
            .collect();
        for leak in leaks.iter_mut().filter(|leak| !leak.sites.is_empty()) {
            let under = (leak.under.as_ref()).and_then(|frame| self.names.function(frame));
            let sites: Vec<u32> = leak.sites.iter().filter_map(|s| Some(s.row?.0)).collect();
            if sites.is_empty() {
                continue;
            }
            let is_of = |path: &[u32]| {
                let is_site = path.last().is_some_and(|site| sites.contains(site));
                (is_site && under.is_none_or(|under| path.contains(&under))).then_some(())
            };
            let since = self.sum_since_start(is_of).remove(&());
            let since = since.filter(|since| since.born > 0);
            let own = &mut leak.evidence.bytes_per_min;
            if let Some(since) = &since
                && sites.iter().all(|site| growing.contains(site))
                && own.is_none()
            {
                *own = since.bytes_per_min.and_then(Interval::above_zero);
            }
            leak.since_start = since;
        }
    }

    /// Attributes growth between two evaluations, which leaves what is held as it is.
    fn attribute_between(&mut self) {
        let hold = self.diagnosis.hold.clone();
        self.attribute_growth();
        self.diagnosis.hold = hold;
    }

    /// The rate that the whole took over from the history, while its own says nothing.
    pub(super) fn rate_since_start(&self) -> Option<Estimate> {
        let heap = &self.diagnosis.whole;
        let own = heap.judged().heap.rate.map(|rate| rate.per_min);
        let is_known = own.is_some_and(|own| own.low > 0.0);
        (heap.is_taken_over() && !self.diagnosis.recorded.is_by_life && !is_known)
            .then(|| self.diagnosis.recorded.growing_rate())
            .flatten()
    }
}

impl Recorded {
    /// Labels of what grows.
    fn growing_labels(&self) -> Vec<u32> {
        self.growing().map(|entity| entity.label).collect()
    }
}

/// Call sites that the history suspects, likeliest first: what they kept, as far as births go on.
pub(super) fn suspected(sites: &BTreeMap<u32, SinceStart>, by_site: &BySite) -> Vec<u32> {
    let score = |(&site, since): (&u32, &SinceStart)| {
        let kept = 1.0 - since.freed as f64 / since.born.max(1) as f64;
        let goes_on = ((since.born_now as f64 + 0.5) / (since.due_now + 0.5)).min(1.0);
        let rate = since.bytes_per_min?.value * goes_on;
        let is_suspect = since.born >= SUSPECT_LEAST_BIRTHS
            && kept >= SUSPECT_LEAST_KEPT
            && since.says != HistorySays::Filled
            && rate >= LEAST_BYTES_PER_MIN;
        (is_suspect && by_site.largest(site).is_some()).then_some((site, rate))
    };
    let mut suspects: Vec<(u32, f64)> = sites.iter().filter_map(score).collect();
    suspects.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    suspects.into_iter().map(|(site, _)| site).collect()
}

fn said(says: Says) -> HistorySays {
    match says {
        Says::Growing => HistorySays::Growing,
        Says::Filled => HistorySays::Filled,
        Says::Undecided { answer_in_s } => HistorySays::Undecided { answer_in_s },
        Says::Burst { began_at_most_s } => HistorySays::Burst {
            began_at_most_s: Some(began_at_most_s),
        },
        Says::Nothing => HistorySays::Nothing,
    }
}
