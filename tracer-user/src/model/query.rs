//! What the view and the exports ask of the model: rows, stacks and their figures.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::go::buckets::Counts;
use crate::go::frame::Frame;
use crate::go::profile::{HeapProfile, Record};

use super::bucket::Bucket;
use super::estimate::UNITS_PER_OBJECT;
use super::gc::SECOND_NS;
use super::row::{Row, whole};
use super::rows::{GroupBy, Liveness, Query, RowId, SiteRow, StackRow, Status};
use super::{Model, each_once};

impl Model {
    /// Returns the rows of `query`, by label. Buckets whose names are still looked up are not in them.
    pub fn sites(&self, query: &Query) -> Vec<SiteRow> {
        let window = self.window();
        let mut rows: BTreeMap<u32, Row> = BTreeMap::new();
        for (idx, bucket) in self.buckets.iter().enumerate() {
            for (label, frame) in self.labels(bucket, *query) {
                rows.entry(label)
                    .or_default()
                    .add(self, &window, idx, bucket, frame);
            }
        }
        let until_ns = match self.status {
            Status::Live => self.now_ns,
            Status::Exited { at_ns, .. } => at_ns,
        };
        let seconds = until_ns.saturating_sub(self.target.attached_ns) as f64 / SECOND_NS as f64;
        rows.into_iter()
            .filter_map(|(label, row)| row.finish(self, RowId(label), *query, &window, seconds))
            .collect()
    }

    /// The stacks of one row, largest in-use first.
    pub fn stacks(&self, query: &Query, row: RowId) -> Vec<StackRow> {
        let window = self.window();
        let mut stacks: Vec<StackRow> = self
            .buckets
            .iter()
            .enumerate()
            .filter(|(_, bucket)| {
                self.labels(bucket, *query)
                    .iter()
                    .any(|(label, _)| *label == row.0)
            })
            .map(|(idx, bucket)| {
                let mut sums = Row::default();
                sums.add_counts(self, &window, idx, bucket);
                StackRow {
                    id: u32::try_from(idx).unwrap_or(u32::MAX),
                    frames: bucket.pcs.iter().map(|&pc| self.frame(pc)).collect(),
                    object_bytes: bucket.object_bytes,
                    inuse: sums.inuse.estimate(),
                    samples: sums.samples,
                    growth: window.growth_known.then(|| sums.growth.estimate()),
                }
            })
            .collect();
        stacks.sort_by(|a, b| {
            b.inuse
                .bytes
                .total_cmp(&a.inuse.bytes)
                .then_with(|| b.samples.cmp(&a.samples))
        });
        stacks
    }

    /// Program counters without a name on the stacks of a row (of all stacks if `row` is `None`), at
    /// most `max`, each once: what a detail, cumulative rows or an export want to show.
    pub fn wanted_frames(&self, row: Option<(&Query, RowId)>, max: usize) -> Vec<u64> {
        let wanted = self
            .buckets
            .iter()
            .filter(|bucket| {
                row.is_none_or(|(query, id)| {
                    self.labels(bucket, *query)
                        .iter()
                        .any(|(label, _)| *label == id.0)
                })
            })
            .flat_map(|bucket| bucket.pcs.iter().copied())
            .filter(|&pc| self.names.get(pc).is_none())
            .take(8 * max);
        each_once(wanted, max)
    }

    /// The profile of this moment as the rows show it: counts after the last final GC cycle.
    pub fn heap_profile(&self) -> HeapProfile {
        let is_weighted = self.liveness() == Liveness::Marks;
        let record = |(idx, bucket): (u32, &Bucket)| Record {
            pcs: bucket.pcs.clone(),
            object_bytes: bucket.object_bytes,
            counts: if is_weighted {
                self.counted_objects(idx, bucket)
            } else {
                bucket.settled_cycle
            },
        };
        HeapProfile {
            // Newest first, as the runtime has them.
            records: (0u32..)
                .zip(&self.buckets)
                .filter(|(_, b)| !b.pcs.is_empty())
                .map(record)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .collect(),
            rate_bytes: if is_weighted {
                1
            } else {
                self.sampling_rate_bytes
            },
            at_unix_ns: self.target.unix_ns(self.now_ns),
            mappings: self.mappings.clone(),
            // Those without an allocation have not been made by the program yet, as far as rows know.
            label_unused: false,
        }
    }

    /// Whole objects for a profile: allocated since the attach, and of those all but what is in use.
    fn counted_objects(&self, idx: u32, bucket: &Bucket) -> Counts {
        let weighted = self.marks.get(idx);
        let objects = |units: u64| whole(units as f64 / UNITS_PER_OBJECT);
        let inuse = objects(bucket.settled_cycle.live());
        let thinned = weighted.map_or(0, |w| w.thinned_units);
        let born = objects(bucket.total().allocs.saturating_sub(thinned));
        let allocs = weighted.and_then(|w| w.counted).map_or(born, whole);
        Counts {
            allocs: allocs.max(inuse),
            frees: allocs.saturating_sub(inuse),
        }
    }

    /// All names known, by return address.
    pub fn names_by_pc(&self) -> HashMap<u64, Arc<Frame>> {
        self.names.all().collect()
    }

    /// The frame at a return address: its name, or the address while it has none.
    fn frame(&self, pc: u64) -> Arc<Frame> {
        self.names
            .get(pc)
            .map_or_else(|| Arc::new(Frame::unnamed(pc)), |named| named.frame.clone())
    }

    /// The labels under which a bucket counts, each once, with the frame that gives it.
    fn labels<'a>(&'a self, bucket: &'a Bucket, query: Query) -> Vec<(u32, &'a Arc<Frame>)> {
        let Some(site) = bucket.site_frame else {
            return Vec::new();
        };
        let site = site as usize;
        let named = |pc: &u64| self.names.get(*pc);
        if query.by == GroupBy::Type {
            let named = bucket.pcs.get(site).and_then(named);
            return named
                .map(|n| (bucket.type_label, &n.frame))
                .into_iter()
                .collect();
        }
        if !query.cumulative {
            let named = bucket.pcs.get(site).and_then(named);
            return named
                .map(|n| (n.label(query.by), &n.frame))
                .into_iter()
                .collect();
        }
        let mut labels: Vec<(u32, &Arc<Frame>)> = Vec::new();
        for (i, pc) in bucket.pcs.iter().enumerate().skip(site) {
            let Some(named) = named(pc) else { continue };
            let label = named.label(query.by);
            if (i == site || !named.runtime) && labels.iter().all(|(known, _)| *known != label) {
                labels.push((label, &named.frame));
            }
        }
        labels
    }
}
