//! What the program's own profile recorded before the attach, judged with the births of this watch.
//!
//! Entities are paths (call site and outermost frame) that kept nearly all they ever allocated, and groups of them that
//! pass one frame. [`crate::verdict::history`] judges each of them once a second; [`super::since_start`] states it.

use std::collections::{BTreeMap, HashMap};

use super::feed::Feed;
use super::paths::Paths;
use crate::model::bucket::Bucket;
use crate::model::gc::SECOND_NS;
use crate::verdict::Estimate;
use crate::verdict::history::{
    Before, Judgment, Kept, Life, Look, Piece, Says, Track, groups, since_start,
};

/// Entities are judged this often.
const LOOK_NS: u64 = SECOND_NS;
/// Most births that wait for the names of their stacks; those beyond are not counted.
const MAX_WAITING: usize = 65_536;
/// Time after which entities no longer wait for names: by then all stacks that can be named are.
const PLACED_NS: u64 = 60 * SECOND_NS;

/// Counts of a bucket at the start of this watch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Base {
    /// Births up to the last GC before the attach.
    pub(super) births: u64,
    /// Births from then to the attach.
    pub(super) since_gc: u64,
    /// Deaths up to that GC.
    pub(super) deaths: u64,
}

impl Base {
    fn of(bucket: &Bucket) -> Self {
        Self {
            births: bucket.settled_cycle.allocs,
            since_gc: (bucket.total().allocs).saturating_sub(bucket.settled_cycle.allocs),
            deaths: bucket.settled_cycle.frees,
        }
    }
}

/// A path or a group of paths.
#[derive(Clone, Debug)]
pub(super) struct Entity {
    /// The frame that all of it passes; of a path its call site.
    pub(super) label: u32,
    /// Its paths, as indices of entities; a path holds itself.
    pub(super) members: Vec<usize>,
    /// Buckets of a path; empty for a group.
    buckets: Vec<u32>,
    track: Track,
    /// The last judgment.
    pub(super) judgment: Judgment,
    /// Mean growth since the start, bytes per minute.
    pub(super) rate: Option<Estimate>,
}

/// History of one target. Without records from before the attach it stays empty.
#[derive(Clone, Debug, Default)]
pub(in crate::model) struct Recorded {
    life: Option<Life>,
    begun_ns: u64,
    /// Births of the process that the feed had counted by then.
    load_before: f64,
    /// By index of the bucket.
    base: Vec<Base>,
    /// The sweep of the last GC before the attach goes on: deaths in `base` are still to be completed.
    is_swept: bool,
    /// Mark termination of the last cycle whose deaths are known.
    swept_ns: u64,
    /// Births since the start of this watch, as indices of buckets and times, that are not counted yet.
    births: Vec<(u32, u64)>,
    /// All births of the first minute, for entities that are found later.
    early: Vec<(u32, u64)>,
    /// Paths first, groups behind them.
    entities: Vec<Entity>,
    n_paths: usize,
    /// Entities that grow and of which no part grows by itself, as of the last look.
    growing: Vec<usize>,
    /// Path by call site and outermost frame.
    by_path: HashMap<(u32, u32), usize>,
    /// Groups of each path.
    groups_of: Vec<Vec<usize>>,
    /// Buckets whose path was known when the entities were made.
    n_placed: usize,
    looked_ns: u64,
    /// The series of the whole contradicts what was taken over from here.
    pub(super) is_contradicted: bool,
    /// The whole took its word over because the life before the attach agrees with its slope.
    pub(super) is_by_life: bool,
    /// Evaluations in a row at which it agreed.
    pub(super) agreed_in_a_row: u32,
}

impl Recorded {
    /// History of a process that has run for `uptime_s` at `now_ns`, whose buckets have just been read; its last GC marked at
    /// `marked_ns`, and `sweeping` is true while its deaths are not all known.
    pub(super) fn begin(
        now_ns: u64,
        uptime_s: f64,
        marked_ns: u64,
        sweeping: bool,
        buckets: &[Bucket],
        feed: &Feed,
    ) -> Self {
        let base: Vec<Base> = buckets.iter().map(Base::of).collect();
        let sum = |of: fn(&Base) -> u64| base.iter().map(of).sum::<u64>() as f64;
        let since_mark_s = seconds(now_ns.saturating_sub(marked_ns)).min(uptime_s);
        Self {
            life: Some(Life {
                uptime_s,
                recorded_s: uptime_s - since_mark_s,
                load: sum(|base| base.births),
                pieces: vec![Piece {
                    seconds: since_mark_s,
                    load: sum(|base| base.since_gc),
                }],
            }),
            begun_ns: now_ns,
            load_before: feed.load(),
            base,
            is_swept: !sweeping,
            swept_ns: marked_ns,
            looked_ns: now_ns,
            ..Self::default()
        }
    }

    /// A sample is born.
    pub(super) fn born(&mut self, idx: u32, at_ns: u64) {
        if self.life.is_some() && self.births.len() < MAX_WAITING {
            self.births.push((idx, at_ns));
        }
    }

    /// The deaths of the cycle that ended at `at_ns` are known.
    pub(in crate::model) fn swept(&mut self, at_ns: u64, buckets: &[Bucket]) {
        if self.life.is_none() {
            return;
        }
        if std::mem::replace(&mut self.is_swept, true) {
            self.swept_ns = at_ns;
            return;
        }
        // That was the cycle from before the attach.
        for (base, bucket) in self.base.iter_mut().zip(buckets) {
            base.deaths = bucket.settled_cycle.frees;
        }
        self.n_placed = 0;
    }

    /// True if entities are to be judged at `at_ns`.
    pub(super) fn is_due(&self, at_ns: u64) -> bool {
        self.life.is_some() && at_ns >= self.looked_ns.saturating_add(LOOK_NS)
    }

    /// Facts of the process from before the attach; `None` without records of it.
    pub(super) fn life(&self) -> Option<&Life> {
        self.life.as_ref()
    }

    /// Seconds since the start of this watch at the last look.
    pub(super) fn watched_s(&self) -> f64 {
        seconds(self.looked_ns.saturating_sub(self.begun_ns))
    }

    /// Counts of a bucket at the start of this watch.
    pub(super) fn base(&self, idx: u32) -> Base {
        self.base.get(idx as usize).copied().unwrap_or_default()
    }

    /// Births of the process since the attach.
    pub(super) fn load(&self, feed: &Feed) -> f64 {
        (feed.load() - self.load_before).max(0.0)
    }

    /// Judges all entities. `bytes` gives the bytes that a sample of a bucket stands for.
    pub(super) fn look(
        &mut self,
        at_ns: u64,
        buckets: &[Bucket],
        paths: &Paths,
        load: f64,
        bytes: impl Fn(u32) -> f64,
    ) {
        let Some(life) = self.life.clone() else {
            return;
        };
        self.looked_ns = at_ns;
        let is_early = at_ns < self.begun_ns.saturating_add(PLACED_NS);
        let n_placed = self.base.len() - paths.unnamed_below(self.base.len());
        if n_placed != self.n_placed && (is_early || self.n_placed == 0) {
            self.n_placed = n_placed;
            self.find_entities(&life, paths, bytes);
            let early = self.early.clone();
            for &(idx, born_ns) in &early {
                self.count(idx, born_ns, paths);
            }
        }
        for (idx, born_ns) in std::mem::take(&mut self.births) {
            let is_counted = self.count(idx, born_ns, paths);
            if is_early && self.early.len() < MAX_WAITING {
                self.early.push((idx, born_ns));
            } else if !is_early {
                self.early = Vec::new();
                if !is_counted {
                    self.births.push((idx, born_ns));
                }
            }
        }
        let look = Look {
            at_s: seconds(at_ns.saturating_sub(self.begun_ns)),
            load,
            swept_s: seconds(self.swept_ns) - seconds(self.begun_ns),
            ..Look::default()
        };
        let judged: Vec<(f64, f64)> = self.entities[..self.n_paths]
            .iter()
            .map(|entity| self.judged(entity, buckets))
            .collect();
        for entity in &mut self.entities {
            if !entity.track.is_fit() {
                continue;
            }
            let (births, deaths) = (entity.members.iter()).fold((0.0, 0.0), |sum, &member| {
                (sum.0 + judged[member].0, sum.1 + judged[member].1)
            });
            let look = Look {
                births,
                deaths,
                ..look
            };
            entity.judgment = entity.track.look(&life, look);
        }
        self.growing = self.least_growing();
    }

    /// Births of a path from the last GC before the attach to the last mark whose sweep is done, and deaths in that time.
    fn judged(&self, entity: &Entity, buckets: &[Bucket]) -> (f64, f64) {
        let of = |sum: (u64, u64), &idx: &u32| {
            let base = self.base(idx);
            let Some(bucket) = buckets.get(idx as usize) else {
                return sum;
            };
            let settled = bucket.settled_cycle;
            (
                sum.0 + settled.allocs.saturating_sub(base.births),
                sum.1 + settled.frees.saturating_sub(base.deaths),
            )
        };
        let (births, deaths) = entity.buckets.iter().fold((0, 0), of);
        (births as f64, deaths as f64)
    }

    /// Makes the entities of all buckets whose frames have names.
    fn find_entities(&mut self, life: &Life, paths: &Paths, bytes: impl Fn(u32) -> f64) {
        let mut found: BTreeMap<(u32, u32), Vec<u32>> = BTreeMap::new();
        for idx in (0u32..).take(self.base.len()) {
            let Some(path) = paths.get(idx) else { continue };
            if let (Some(&root), Some(&site)) = (path.first(), path.last()) {
                found.entry((site, root)).or_default().push(idx);
            }
        }
        self.entities.clear();
        self.growing.clear();
        self.by_path.clear();
        let mut labels: Vec<Vec<u32>> = Vec::new();
        let mut kept: Vec<(Before, Kept)> = Vec::new();
        for (key, buckets) in found {
            let (before, of_path) = self.before(&buckets, &bytes);
            if !before.is_keeper() {
                continue;
            }
            let i = self.entities.len();
            self.by_path.insert(key, i);
            labels.push(shared(&buckets, paths));
            self.entities.push(Entity {
                label: key.0,
                members: vec![i],
                buckets,
                track: Track::new(life, before.clone()),
                judgment: Judgment::default(),
                rate: since_start(of_path, life.uptime_s),
            });
            kept.push((before, of_path));
        }
        self.n_paths = self.entities.len();
        self.groups_of = vec![Vec::new(); self.n_paths];
        for group in groups(labels.iter().map(Vec::as_slice)) {
            let mut before = Before {
                in_pieces: vec![0.0],
                ..Before::default()
            };
            let mut sum = Kept::default();
            for &member in &group.members {
                let (of, kept) = &kept[member];
                before.births += of.births;
                before.judged += of.judged;
                before.deaths += of.deaths;
                before.in_pieces[0] += of.in_pieces[0];
                sum.bytes += kept.bytes;
                sum.squares += kept.squares;
                self.groups_of[member].push(self.entities.len());
            }
            self.entities.push(Entity {
                label: group.label,
                members: group.members,
                buckets: Vec::new(),
                track: Track::new(life, before),
                judgment: Judgment::default(),
                rate: since_start(sum, life.uptime_s),
            });
        }
    }

    /// Counts of some buckets from before the attach, and what they kept.
    fn before(&self, buckets: &[u32], bytes: impl Fn(u32) -> f64) -> (Before, Kept) {
        let (mut sum, mut kept) = (Base::default(), Kept::default());
        for &idx in buckets {
            let base = self.base(idx);
            sum.births += base.births;
            sum.since_gc += base.since_gc;
            sum.deaths += base.deaths;
            kept.add(base.births.saturating_sub(base.deaths) as f64, bytes(idx));
        }
        let before = Before {
            births: sum.births as f64,
            in_pieces: vec![sum.since_gc as f64],
            deaths: sum.deaths as f64,
            judged: sum.births as f64,
        };
        (before, kept)
    }

    /// Counts a birth towards its path and the groups of it. False while the path has no name.
    fn count(&mut self, idx: u32, born_ns: u64, paths: &Paths) -> bool {
        let Some(path) = paths.get(idx) else {
            return false;
        };
        let key = path.last().copied().zip(path.first().copied());
        let Some(&of) = key.and_then(|key| self.by_path.get(&key)) else {
            return true;
        };
        let at_s = seconds(born_ns.saturating_sub(self.begun_ns));
        let entity = &mut self.entities[of];
        entity.track.born(at_s);
        if idx as usize >= self.base.len() && !entity.buckets.contains(&idx) {
            entity.buckets.push(idx);
        }
        for &group in &self.groups_of[of] {
            self.entities[group].track.born(at_s);
        }
        true
    }

    /// All entities: paths first.
    pub(super) fn entities(&self) -> &[Entity] {
        &self.entities
    }

    /// Buckets of the paths of an entity.
    pub(super) fn buckets<'a>(&'a self, entity: &'a Entity) -> impl Iterator<Item = u32> + 'a {
        let members = entity.members.iter();
        members.flat_map(|&member| self.entities[member].buckets.iter().copied())
    }

    /// The entities that grow and of which no part grows by itself.
    pub(super) fn growing(&self) -> impl Iterator<Item = &Entity> {
        self.growing.iter().map(|&i| &self.entities[i])
    }

    fn least_growing(&self) -> Vec<usize> {
        let grows = |&i: &usize| self.entities[i].judgment.says == Says::Growing;
        let all: Vec<usize> = (0..self.entities.len()).filter(grows).collect();
        let is_part = |part: usize, of: usize| {
            let (part, of) = (&self.entities[part].members, &self.entities[of].members);
            part.len() < of.len() && part.iter().all(|member| of.binary_search(member).is_ok())
        };
        let is_least = |&of: &usize| !all.iter().any(|&part| is_part(part, of));
        all.iter().copied().filter(is_least).collect()
    }

    /// Mean growth since the start of all that grows, bytes per minute.
    pub(super) fn growing_rate(&self) -> Option<Estimate> {
        let mut members: Vec<usize> = (self.growing())
            .flat_map(|entity| entity.members.iter().copied())
            .collect();
        members.sort_unstable();
        members.dedup();
        let rates = members
            .iter()
            .filter_map(|&member| self.entities[member].rate);
        rates.reduce(|a, b| Estimate {
            value: a.value + b.value,
            low: a.low + b.low,
            high: a.high + b.high,
        })
    }
}

/// Labels that the stacks of all of these buckets pass, outermost first; the site is last.
fn shared(buckets: &[u32], paths: &Paths) -> Vec<u32> {
    let mut all = buckets.iter().filter_map(|&idx| paths.get(idx));
    let mut shared = all.next().unwrap_or_default().to_vec();
    for path in all {
        shared.retain(|label| path.contains(label));
    }
    shared
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / SECOND_NS as f64
}
