//! What the view and the exports ask of the model: rows, stacks and their figures.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use crate::export::pprof::{HeapProfile, MappedFile, Record};
use crate::go::frame::Frame;

use super::Model;
use super::bucket::Bucket;
use super::estimate::{Scale, Sum};
use super::gc::SECOND_NS;
use super::rows::{Allocated, Query, Rate, RowId, SiteRow, StackRow, Status};

/// Values of a trend: as many as the widest sparkline has cells.
const TREND_VALUES: usize = 12;
/// A slope is given from so many final cycles on (design: null below 4 cycles or 8 samples).
const MIN_CYCLES: u64 = 4;
/// And from so many samples on, alive or born and freed within the window.
const MIN_SAMPLES: u64 = 8;
/// The variance of a least-squares slope over a random walk is 6/5 of that of its end points' slope.
const SLOPE_VARIANCE: f64 = 1.2;

/// What is the same for all buckets while rows are made.
struct Window {
    rate_bytes: u64,
    weights: Vec<f64>,
    trend_slots: Vec<usize>,
    minutes: f64,
    growth_known: bool,
    slope_known: bool,
}

/// Sums over the buckets of one row.
#[derive(Default)]
struct Row {
    inuse: Sum,
    samples: u64,
    growth: Sum,
    growth_samples: u64,
    slope: Sum,
    window_samples: u64,
    allocated: Sum,
    born: u64,
    freed: u64,
    trend: Vec<f64>,
    /// What changed from the first to the last value of the trend.
    change: Sum,
    /// In-use of the largest stack and its site frame.
    largest: Option<(f64, Arc<Frame>)>,
}

impl Model {
    /// The rows of `query`, in no order. Buckets whose names are still looked up are not in them.
    pub fn sites(&self, query: &Query) -> Vec<SiteRow> {
        let window = self.window();
        let mut rows: HashMap<u32, Row> = HashMap::new();
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
            .filter_map(|(label, row)| row.finish(RowId(label), *query, &window, seconds))
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
        let mut wanted: Vec<u64> = self
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
            .take(8 * max)
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted.truncate(max);
        wanted
    }

    /// The profile of this moment as the rows show it: counts after the last final GC cycle.
    pub fn heap_profile(&self, mappings: Vec<MappedFile>) -> HeapProfile {
        let record = |bucket: &Bucket| Record {
            pcs: bucket.pcs.clone(),
            object_bytes: bucket.object_bytes,
            counts: bucket.settled_cycle,
        };
        HeapProfile {
            // Newest first, as the runtime has them.
            records: self
                .buckets
                .iter()
                .rev()
                .filter(|b| !b.pcs.is_empty())
                .map(record)
                .collect(),
            rate_bytes: self.sampling_rate_bytes,
            at_unix_ns: self.target.unix_ns(self.now_ns),
            mappings,
            // Those without an allocation have not been made by the program yet, as far as rows know.
            label_unused: false,
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

    fn window(&self) -> Window {
        let weights = self.axis.slope_weights();
        Window {
            rate_bytes: self.sampling_rate_bytes,
            slope_known: !weights.is_empty() && self.final_cycles >= MIN_CYCLES,
            weights,
            trend_slots: self.axis.spaced(TREND_VALUES),
            minutes: self.axis.minutes(),
            growth_known: self.final_cycles_since_baseline() > 0,
        }
    }
}

impl Row {
    fn add(
        &mut self,
        model: &Model,
        window: &Window,
        idx: usize,
        bucket: &Bucket,
        frame: &Arc<Frame>,
    ) {
        let before = self.inuse.estimate().bytes;
        self.add_counts(model, window, idx, bucket);
        let inuse = self.inuse.estimate().bytes - before;
        if self
            .largest
            .as_ref()
            .is_none_or(|(largest, _)| inuse.total_cmp(largest) == Ordering::Greater)
        {
            self.largest = Some((inuse, frame.clone()));
        }
    }

    fn add_counts(&mut self, model: &Model, window: &Window, idx: usize, bucket: &Bucket) {
        let scale = Scale::new(bucket.object_bytes, window.rate_bytes);
        let now = bucket.settled_cycle;
        let live = now.live();
        self.inuse.add(scale, live as f64, live as f64);
        self.samples += live;

        let then = model
            .baseline_counts
            .get(model.active_baseline)
            .and_then(|counts| counts.get(idx))
            .copied()
            .unwrap_or_default();
        // Objects that live through are in both values and cancel; only those born or freed since then
        // make the difference uncertain, and never more than both values hold.
        let turnover = now.allocs.abs_diff(then.allocs) + now.frees.abs_diff(then.frees);
        let drawn = turnover.min(live + then.live());
        self.growth
            .add(scale, live as f64 - then.live() as f64, drawn as f64);
        self.growth_samples += drawn;

        let total = bucket.total();
        let born = total.allocs.saturating_sub(bucket.at_attach.allocs);
        self.allocated.add(scale, born as f64, born as f64);
        self.born += born;
        self.freed += total.frees.saturating_sub(bucket.at_attach.frees);
        self.add_history(model, window, bucket, scale, live);
    }

    fn add_history(
        &mut self,
        model: &Model,
        window: &Window,
        bucket: &Bucket,
        scale: Scale,
        live: u64,
    ) {
        let bytes_per_sample = scale.weight() * scale.object_bytes;
        self.trend.resize(window.trend_slots.len(), 0.0);
        if bucket.steps.flat(&model.axis) {
            for value in &mut self.trend {
                *value += live as f64 * bytes_per_sample;
            }
            self.window_samples += live;
            return;
        }
        let mut slope = 0.0;
        let mut values = Vec::with_capacity(model.axis.n_slots());
        model.axis.values(&bucket.steps, |i, value| {
            slope += window.weights.get(i).copied().unwrap_or(0.0) * f64::from(value);
            values.push(value);
        });
        for (value, &slot) in self.trend.iter_mut().zip(&window.trend_slots) {
            *value += f64::from(values.get(slot).copied().unwrap_or(0)) * bytes_per_sample;
        }
        let (first, turnover) = bucket.steps.window(&model.axis);
        let drawn = u64::from(turnover).min(live + u64::from(first));
        self.window_samples += live.max(u64::from(turnover));
        let minutes = window.minutes.max(f64::MIN_POSITIVE);
        self.change
            .add(scale, live as f64 - f64::from(first), drawn as f64);
        // Either the samples of one slot live on to the next, or those above the least that ever lived are new in each:
        // what comes and goes within the window must not pass for growth because nothing of it is left at its ends.
        let walk = SLOPE_VARIANCE * drawn as f64 / (minutes * minutes);
        let least = values.iter().copied().min().unwrap_or(0);
        let scatter: f64 = window
            .weights
            .iter()
            .zip(&values)
            .map(|(weight, value)| weight * weight * f64::from(value - least))
            .sum();
        self.slope.add(scale, slope, walk.max(scatter));
    }

    fn finish(self, id: RowId, query: Query, window: &Window, seconds: f64) -> Option<SiteRow> {
        let (_, frame) = self.largest?;
        if self.samples == 0 && self.born == 0 && self.growth_samples == 0 {
            return None; // Nothing lives and nothing happened since the attach.
        }
        let slope = self.slope.estimate();
        let allocated = self.allocated.estimate();
        let function = match query.by {
            super::rows::GroupBy::Package => crate::go::symbol::package(&frame.function).into(),
            _ => frame.function.clone(),
        };
        Some(SiteRow {
            id,
            function,
            file: frame.file.clone(),
            line: frame.line,
            inuse: self.inuse.estimate(),
            samples: self.samples,
            growth: window.growth_known.then(|| self.growth.estimate()),
            growth_samples: self.growth_samples,
            rate: (window.slope_known && self.window_samples >= MIN_SAMPLES).then_some(Rate {
                bytes_per_min: slope.bytes,
                bytes_per_min_err: slope.bytes_err,
                objects_per_min: slope.objects,
                objects_per_min_err: slope.objects_err,
            }),
            alloc: Allocated {
                bytes: allocated.bytes,
                objects: allocated.objects,
                bytes_per_sec: if seconds > 0.0 {
                    allocated.bytes / seconds
                } else {
                    0.0
                },
                freed_samples: self.freed,
                born_samples: self.born,
            },
            trend: self.trend,
            trend_err: self.change.estimate().bytes_err,
        })
    }
}
