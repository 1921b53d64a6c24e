//! From what the model counts to what is judged: each stack's samples as arrivals and departures of veterans.
//!
//! * Sampler: object by object, by the events of its probes; those that the specials listed at the attach, and those
//!   that only the bucket's counter knows, stood there before. A free whose object nobody knows is one of the latter, or
//!   that of a lost birth, which is left out on both sides. A lost free that the reconcile puts back has no object: it
//!   departs at all levels, or what it freed would count as alive for ever. Where its address is used again later, it is
//!   known which it was: it departs no second time. Where that comes first, it departs then and not by the reconcile.
//! * Mark bits: object by object, weighted. Samples that are thinned out leave without a death. Under the governor the
//!   number of births falls with the share of time that probes are on, and so does the load, which is counted in the
//!   same births: to the engine a pause is a quiet time and its end a rise of the load. No cycle is final in a pause, so
//!   nobody becomes a veteran in it, and what is judged stands still.
//! * Counters alone: which of the objects died is not known, so all count as veterans of the first level from birth on.
//!   In a steady state as many die as are born whatever their lives, so the test holds, but what lives for seconds is as
//!   much noise to it as what lives for minutes: leaks below a quarter of what the same stack turns over are not found.
//!   Levels of age say nothing then.

use std::collections::HashMap;

use crate::go::buckets::Counts;
use crate::verdict::{Flow, Survivors, Veterans, Weight};

use super::super::estimate::UNITS_PER_OBJECT;

/// Most repaired frees of one reading that are told one by one; more than a ring can lose between two.
const MAX_REPAIRED: u64 = 100_000;

/// What has been fed for one stack.
#[derive(Clone, Debug, Default)]
pub(in crate::model) struct Fed {
    /// Samples from before the attach that nothing but a counter knows.
    stood: u64,
    /// Counters as of the last cycle that was fed.
    counts: Counts,
    /// Lost frees that departed by number, whose objects are still followed.
    repaired: u64,
    /// Lost frees that departed when their address was used again, which the reconcile is still to put back.
    reused: u64,
    /// What counters told since the last look.
    counted: Flow,
}

/// Samples on their way to become veterans, and the load that they came with.
#[derive(Clone, Debug, Default)]
pub(in crate::model) struct Feed {
    veterans: Veterans,
    /// By index of the bucket; shorter than the buckets.
    stacks: Vec<Fed>,
    /// Buckets with something in `counted`.
    counted: Vec<u32>,
    /// Births since the attach.
    load: f64,
}

/// One sample, as it is counted: its weight in bytes and objects is that of its bucket, which may not be known yet.
const ONE: Weight = Weight {
    objects: 1.0,
    bytes: 1.0,
};

impl Feed {
    fn at(&mut self, idx: u32) -> &mut Fed {
        let i = idx as usize;
        if i >= self.stacks.len() {
            self.stacks.resize_with(i + 1, Fed::default);
        }
        &mut self.stacks[i]
    }

    /// Births since the attach, in samples.
    pub(super) fn load(&self) -> f64 {
        self.load
    }

    /// What became of the veterans of this watch, by bucket; none where a source knows no single objects.
    pub(super) fn survivors(&self) -> HashMap<u32, Survivors> {
        self.veterans.survivors()
    }

    /// Samples that found no room.
    pub(super) fn dropped(&self) -> u64 {
        self.veterans.dropped()
    }

    /// A sample is born.
    pub(super) fn born(&mut self, object: u64, idx: u32, at_ns: u64) {
        self.load += 1.0;
        if let Some(before) = self.veterans.key(object) {
            let fed = self.at(before);
            if fed.repaired > 0 {
                fed.repaired -= 1;
                self.veterans.died_already(object);
            } else {
                fed.reused += 1;
            }
        }
        self.veterans.born(object, idx, ONE, at_ns);
    }

    /// A weighted sample is born.
    pub(super) fn born_weighted(&mut self, object: u64, idx: u32, units: u64, at_ns: u64) {
        self.load += 1.0;
        let objects = units as f64 / UNITS_PER_OBJECT;
        let weight = Weight {
            objects,
            bytes: objects,
        };
        self.veterans.born(object, idx, weight, at_ns);
    }

    /// A sample that lived at the attach.
    pub(in crate::model) fn found(&mut self, object: u64, idx: u32) {
        self.veterans.found(object, idx, ONE);
    }

    /// A sample is dead.
    pub(in crate::model) fn died(&mut self, object: u64, idx: u32, at_ns: u64) {
        if !self.veterans.died(object, at_ns) {
            let fed = self.at(idx);
            if fed.stood > 0 {
                fed.stood -= 1;
                self.veterans.died_before(idx, ONE, at_ns);
            }
        }
    }

    /// A sample is not followed any more, though it may live.
    pub(in crate::model) fn forget(&mut self, object: u64) {
        self.veterans.forget(object);
    }

    /// So many frees were lost, of objects that nobody can tell.
    pub(in crate::model) fn repaired(&mut self, idx: u32, frees: u64, at_ns: u64) {
        let fed = self.at(idx);
        let known = fed.reused.min(frees);
        fed.reused -= known;
        let frees = (frees - known).min(MAX_REPAIRED);
        fed.repaired = fed.repaired.saturating_add(frees);
        for _ in 0..frees {
            self.veterans.died_before(idx, ONE, at_ns);
        }
    }

    /// So many samples stood at the attach that no walk has listed.
    pub(super) fn stood(&mut self, idx: u32, samples: u64) {
        if samples > 0 {
            self.at(idx).stood = samples;
            self.veterans.stood(idx, samples, ONE);
        }
    }

    /// The counters of a bucket from which on differences are told.
    pub(super) fn counts_from(&mut self, idx: u32, counts: Counts) {
        self.at(idx).counts = counts;
    }

    /// The counters of a bucket after a cycle.
    pub(super) fn counted(&mut self, idx: u32, counts: Counts) {
        let fed = self.at(idx);
        let allocs = counts.allocs.saturating_sub(fed.counts.allocs);
        let frees = counts.frees.saturating_sub(fed.counts.frees);
        fed.counts = counts;
        if allocs == 0 && frees == 0 {
            return;
        }
        let is_first = fed.counted.is_empty();
        let [first, ..] = &mut fed.counted.levels;
        add_many(&mut first.arrived, allocs);
        add_many(&mut first.departed, frees);
        fed.counted.born = fed.counted.born.saturating_add(short(allocs));
        self.load += allocs as f64;
        if is_first {
            self.counted.push(idx);
        }
    }

    /// A cycle's values are final: it ended at `at_ns`.
    pub(super) fn gc(&mut self, at_ns: u64) {
        self.veterans.gc(at_ns);
    }

    /// What came and went since the last look, by bucket.
    pub(super) fn look(&mut self, at_ns: u64) -> Vec<(u32, Flow)> {
        let mut flows = self.veterans.look(at_ns);
        for idx in std::mem::take(&mut self.counted) {
            flows.push((idx, std::mem::take(&mut self.at(idx).counted)));
        }
        flows
    }
}

fn short(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Adds so many samples of weight 1.
fn add_many(side: &mut crate::verdict::Side, n: u64) {
    side.samples = side.samples.saturating_add(short(n));
    for sum in [
        &mut side.bytes,
        &mut side.bytes_sq,
        &mut side.objects,
        &mut side.objects_sq,
    ] {
        *sum += n as f64;
    }
}

/// A flow of counted samples in bytes and objects, where each count stands for `weight`.
pub(super) fn weighed(mut flow: Flow, weight: Weight) -> Flow {
    for level in &mut flow.levels {
        level.standing_weight.objects *= weight.objects;
        level.standing_weight.bytes *= weight.bytes;
        for side in [&mut level.arrived, &mut level.departed] {
            side.objects *= weight.objects;
            side.objects_sq *= weight.objects * weight.objects;
            side.bytes *= weight.bytes;
            side.bytes_sq *= weight.bytes * weight.bytes;
        }
    }
    flow
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    /// Ten samples live, the free of one is lost; what departs, and what stands more than was, at the youngest level.
    fn departed(after: impl Fn(&mut Feed)) -> (u32, i64) {
        let mut feed = Feed::default();
        for object in 0..10 {
            feed.born(0x1000 + object, 1, SECOND_NS);
        }
        for cycle in 1..=3 {
            feed.gc((1 + 10 * cycle) * SECOND_NS);
        }
        feed.look(60 * SECOND_NS);
        after(&mut feed);
        let flows = feed.look(90 * SECOND_NS);
        let of: Vec<&Flow> = flows
            .iter()
            .filter(|(idx, _)| *idx == 1)
            .map(|(_, flow)| flow)
            .collect();
        let levels = of.iter().map(|flow| &flow.levels[0]);
        levels.fold((0, 0), |(departed, standing), level| {
            (departed + level.departed.samples, standing + level.standing)
        })
    }

    #[test]
    fn a_lost_free_departs_once() {
        let at_ns = 70 * SECOND_NS;
        let repaired = |feed: &mut Feed| feed.repaired(1, 1, at_ns);
        let reused = |feed: &mut Feed| feed.born(0x1003, 2, at_ns);
        assert_eq!(departed(repaired), (1, 0));
        assert_eq!(departed(reused), (1, 0));
        let repaired_first = |feed: &mut Feed| {
            repaired(feed);
            reused(feed);
        };
        assert_eq!(departed(repaired_first), (1, 0));
        let reused_first = |feed: &mut Feed| {
            reused(feed);
            repaired(feed);
        };
        assert_eq!(departed(reused_first), (1, 0));
        let twice = |feed: &mut Feed| {
            repaired_first(feed);
            repaired(feed);
        };
        assert_eq!(departed(twice), (2, 0), "another one");
    }
}
