//! Which samples have proved to live long.
//!
//! A sample becomes a veteran of a level when it has lived that level's age and outlived two collections. Both grow with
//! the time since its birth, so the samples that wait for a level become its veterans in the order of their births: a
//! queue for each level, of which only the head is looked at. Those that die while they wait leave it at once.

use std::collections::HashMap;

use super::flow::{Flow, Weight};
use super::{AGES_NS, CYCLES, N_LEVELS};

/// Most samples followed, about 80 bytes each: as many as the model knows one by one. Beyond it a sample is dropped from
/// both sides, its birth and its death, and counted.
pub const MAX_SAMPLES: usize = 1 << 17;

/// A veteran of all levels.
const ALL_LEVELS: u32 = 3;
const _: () = assert!(ALL_LEVELS as usize == N_LEVELS);
/// No sample, in links.
const NONE: u32 = u32::MAX;

/// A sample that lives.
#[derive(Clone, Copy, Debug)]
struct Sample {
    born_ns: u64,
    /// Collections that had ended before it was born.
    cycles: u32,
    key: u32,
    objects: f32,
    bytes: f32,
    prev: u32,
    next: u32,
    /// Levels of which it is a veteran; with all of them it is in no queue.
    levels: u32,
}

/// What became of the veterans of one key that were born in this watch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Survivors {
    /// Those that live.
    pub live: u64,
    /// Those that died. Where samples are thinned out it shrinks as the living do, so that the share of the two stays.
    pub died: f64,
    /// Collections that the oldest of the living has outlived.
    pub oldest_cycles: Option<u32>,
}

/// The samples that wait for one level, by their place in the slab.
#[derive(Clone, Copy, Debug)]
struct Queue {
    head: u32,
    tail: u32,
}

/// Follows samples from birth to death and says, for each key, which became veterans and which of those died.
///
/// Events come in the order of time; those of one time in any order. One that is late counts as if it came now.
#[derive(Clone, Debug)]
pub struct Veterans {
    slab: Vec<Sample>,
    free: Vec<u32>,
    by_id: HashMap<u64, u32>,
    queues: [Queue; N_LEVELS],
    /// Collections ended, and when the last one did.
    cycles: u32,
    last_gc_ns: Option<u64>,
    now_ns: u64,
    flows: HashMap<u32, Flow>,
    /// Without `oldest_cycles`.
    survivors: HashMap<u32, Survivors>,
    max: usize,
    dropped: u64,
}

impl Default for Veterans {
    fn default() -> Self {
        Self::with_max(MAX_SAMPLES)
    }
}

impl Veterans {
    /// Follows at most `max` samples.
    pub(super) fn with_max(max: usize) -> Self {
        Self {
            slab: Vec::new(),
            free: Vec::new(),
            by_id: HashMap::new(),
            queues: [Queue {
                head: NONE,
                tail: NONE,
            }; N_LEVELS],
            cycles: 0,
            last_gc_ns: None,
            now_ns: 0,
            flows: HashMap::new(),
            survivors: HashMap::new(),
            max,
            dropped: 0,
        }
    }

    /// Samples that stood at the attach, of which only the number and their mean weight are known. Their deaths are
    /// [`Self::died_before`].
    pub fn stood(&mut self, key: u32, samples: u64, weight: Weight) {
        let samples = i64::try_from(samples).unwrap_or(i64::MAX);
        for level in &mut self.flow(key).levels {
            level.stand(samples, weight.sane());
        }
    }

    /// A sample from before the attach died, one of those told by number ([`Self::stood`]).
    pub fn died_before(&mut self, key: u32, weight: Weight, at_ns: u64) {
        self.pass(at_ns);
        for level in &mut self.flow(key).levels {
            level.departed.add(weight.sane());
        }
    }

    /// A sample from before the attach, or one whose birth was not seen: a veteran of all levels at once, and not an
    /// arrival. Nothing if a sample of this id lives already.
    pub fn found(&mut self, id: u64, key: u32, weight: Weight) {
        if self.by_id.contains_key(&id) {
            return;
        }
        let sample = Sample {
            levels: ALL_LEVELS,
            ..Sample::new(key, weight, 0, 0)
        };
        if self.insert(id, sample).is_some() {
            for level in &mut self.flow(key).levels {
                level.stand(1, sample.weight());
            }
        }
    }

    /// A sample is born. One that lives under the same id is dead: its death was lost.
    pub fn born(&mut self, id: u64, key: u32, weight: Weight, at_ns: u64) {
        self.died(id, at_ns);
        let at_ns = self.pass(at_ns);
        // A collection that ends at the very moment of the birth is outlived.
        let cycles = self.cycles - u32::from(self.last_gc_ns == Some(at_ns));
        let sample = Sample::new(key, weight, at_ns, cycles);
        if let Some(at) = self.insert(id, sample) {
            self.enqueue(0, at);
            let flow = self.flow(key);
            flow.born = flow.born.saturating_add(1);
        }
    }

    /// A sample died; whether it was followed.
    pub fn died(&mut self, id: u64, at_ns: u64) -> bool {
        self.pass(at_ns);
        let Some(sample) = self.remove(id) else {
            return false;
        };
        let weight = sample.weight();
        for level in &mut self.flow(sample.key).levels[..sample.levels as usize] {
            level.departed.add(weight);
        }
        if sample.is_judged() {
            let survivors = self.survivors.entry(sample.key).or_default();
            survivors.live = survivors.live.saturating_sub(1);
            survivors.died += 1.0;
        }
        true
    }

    /// The key of a sample that is followed.
    pub fn key(&self, id: u64) -> Option<u32> {
        let at = *self.by_id.get(&id)?;
        self.slab.get(at as usize).map(|sample| sample.key)
    }

    /// A sample is dead whose death was told by number before ([`Self::died_before`]): it departs no second time, and
    /// at levels that it had not reached it had nothing to depart from.
    pub fn died_already(&mut self, id: u64) {
        let Some(sample) = self.remove(id) else {
            return;
        };
        for level in &mut self.flow(sample.key).levels[sample.levels as usize..] {
            level.stand(1, sample.weight());
        }
        if sample.is_judged() {
            let survivors = self.survivors.entry(sample.key).or_default();
            survivors.live = survivors.live.saturating_sub(1);
            survivors.died += 1.0;
        }
    }

    /// A sample is no longer followed, though it may live: it was thinned out. It leaves the count, without a death.
    pub fn forget(&mut self, id: u64) {
        if let Some(sample) = self.remove(id) {
            for level in &mut self.flow(sample.key).levels[..sample.levels as usize] {
                level.stand(-1, sample.weight());
            }
            if sample.is_judged() {
                let survivors = self.survivors.entry(sample.key).or_default();
                let left = survivors.live.saturating_sub(1);
                survivors.died *= left as f64 / survivors.live.max(1) as f64;
                survivors.live = left;
            }
        }
    }

    /// What became of the veterans that were born in this watch, by key.
    pub fn survivors(&self) -> HashMap<u32, Survivors> {
        let mut survivors = self.survivors.clone();
        for &at in self.by_id.values() {
            let sample = &self.slab[at as usize];
            if sample.is_judged()
                && let Some(of) = survivors.get_mut(&sample.key)
            {
                let outlived = self.cycles.saturating_sub(sample.cycles);
                of.oldest_cycles = of.oldest_cycles.max(Some(outlived));
            }
        }
        survivors
    }

    /// A collection ended; the deaths that its sweep showed were told before.
    pub fn gc(&mut self, at_ns: u64) {
        let at_ns = self.pass(at_ns);
        self.cycles = self.cycles.saturating_add(1);
        self.last_gc_ns = Some(at_ns);
    }

    /// A look: what came and went since the one before, for every key at which anything did, by key.
    pub fn look(&mut self, at_ns: u64) -> Vec<(u32, Flow)> {
        let at_ns = self.pass(at_ns);
        self.promote(|vet_ns| vet_ns <= at_ns);
        let mut flows: Vec<(u32, Flow)> = self.flows.drain().collect();
        flows.sort_unstable_by_key(|&(key, _)| key);
        flows
    }

    /// Samples that found no room, since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Samples followed now.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether none is followed.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    fn flow(&mut self, key: u32) -> &mut Flow {
        self.flows.entry(key).or_default()
    }

    /// Time goes on to `at_ns`: who became a veteran before is one. Returns the time, which never goes back.
    fn pass(&mut self, at_ns: u64) -> u64 {
        if at_ns > self.now_ns {
            self.promote(|vet_ns| vet_ns < at_ns);
            self.now_ns = at_ns;
        }
        self.now_ns
    }

    /// Makes veterans of those at the heads of the queues whose time `has_come`.
    fn promote(&mut self, has_come: impl Fn(u64) -> bool) {
        for (level, levels) in (0..N_LEVELS).zip(1..) {
            while self.queues[level].head != NONE {
                let at = self.queues[level].head;
                let sample = self.slab[at as usize];
                let outlived = self.cycles.saturating_sub(sample.cycles);
                if outlived < CYCLES {
                    break;
                }
                let of_age_ns = sample.born_ns.saturating_add(AGES_NS[level]);
                // The last collection it had to outlive is either the last one or was before an earlier call.
                let cycles_ns = if outlived == CYCLES {
                    self.last_gc_ns.unwrap_or(0)
                } else {
                    0
                };
                if !has_come(of_age_ns.max(cycles_ns)) {
                    break;
                }
                self.dequeue(level, at);
                self.slab[at as usize].levels = levels;
                self.flow(sample.key).levels[level]
                    .arrived
                    .add(sample.weight());
                if level == 0 {
                    self.survivors.entry(sample.key).or_default().live += 1;
                }
                if level + 1 < N_LEVELS {
                    self.enqueue(level + 1, at);
                }
            }
        }
    }

    fn insert(&mut self, id: u64, sample: Sample) -> Option<u32> {
        if self.by_id.len() >= self.max {
            self.dropped += 1;
            return None;
        }
        let at = if let Some(at) = self.free.pop() {
            self.slab[at as usize] = sample;
            at
        } else {
            let at = u32::try_from(self.slab.len()).ok()?;
            self.slab.push(sample);
            at
        };
        self.by_id.insert(id, at);
        Some(at)
    }

    fn remove(&mut self, id: u64) -> Option<Sample> {
        let at = self.by_id.remove(&id)?;
        let sample = self.slab[at as usize];
        if sample.levels < ALL_LEVELS {
            self.dequeue(sample.levels as usize, at);
        }
        self.free.push(at);
        Some(sample)
    }

    fn enqueue(&mut self, level: usize, at: u32) {
        let tail = self.queues[level].tail;
        self.slab[at as usize].prev = tail;
        self.slab[at as usize].next = NONE;
        match tail {
            NONE => self.queues[level].head = at,
            _ => self.slab[tail as usize].next = at,
        }
        self.queues[level].tail = at;
    }

    fn dequeue(&mut self, level: usize, at: u32) {
        let Sample { prev, next, .. } = self.slab[at as usize];
        match prev {
            NONE => self.queues[level].head = next,
            _ => self.slab[prev as usize].next = next,
        }
        match next {
            NONE => self.queues[level].tail = prev,
            _ => self.slab[next as usize].prev = prev,
        }
    }
}

impl Sample {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a weight is an estimate, and seven digits of it are more than a sample knows"
    )]
    fn new(key: u32, weight: Weight, born_ns: u64, cycles: u32) -> Self {
        let weight = weight.sane();
        Self {
            born_ns,
            cycles,
            key,
            objects: weight.objects as f32,
            bytes: weight.bytes as f32,
            prev: NONE,
            next: NONE,
            levels: 0,
        }
    }

    /// Whether it is a veteran that was born in this watch: one from before has no time of birth.
    fn is_judged(&self) -> bool {
        self.levels > 0 && self.born_ns > 0
    }

    fn weight(&self) -> Weight {
        Weight {
            objects: f64::from(self.objects),
            bytes: f64::from(self.bytes),
        }
    }
}
