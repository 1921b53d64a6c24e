//! Sums over the buckets of one row, and the row that they make.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::go::frame::Frame;
use crate::go::symbol::decoded;

use super::Model;
use super::bucket::Bucket;
use super::estimate::{Scale, Sum};
use super::names::NO_TYPE;
use super::rows::{Allocated, Estimate, GroupBy, Liveness, Query, Rate, RowId, SiteRow, Source};
use super::weighted::Weighted;

/// Values of a trend: as many as the widest sparkline has cells.
const TREND_VALUES: usize = 12;
/// A slope is given from so many final cycles on (design: null below 4 cycles or 8 samples).
const MIN_CYCLES: u64 = 4;
/// And from so many samples on, alive or born and freed within the window.
const MIN_SAMPLES: u64 = 8;
/// A share of what was born since the start is given from so many samples on.
const MIN_BORN: u64 = 10;
/// The variance of a least-squares slope over a random walk is 6/5 of that of its end points' slope.
const SLOPE_VARIANCE: f64 = 1.2;

/// What is the same for all buckets while rows are made.
pub(super) struct Window {
    rate_bytes: u64,
    /// Samples have weights of their own.
    is_weighted: bool,
    weights: Vec<f64>,
    trend_slots: Vec<usize>,
    minutes: f64,
    pub(super) growth_known: bool,
    slope_known: bool,
}

/// Sums over the buckets of one row.
#[derive(Default)]
pub(super) struct Row {
    pub(super) inuse: Sum,
    pub(super) samples: u64,
    pub(super) growth: Sum,
    growth_samples: u64,
    slope: Sum,
    window_samples: u64,
    allocated: Sum,
    /// Something is in `allocated`.
    has_allocated: bool,
    born: u64,
    freed: u64,
    /// Samples born since the process started, up to the last final cycle.
    born_since_start: u64,
    trend: Vec<f64>,
    /// What changed from the first to the last value of the trend.
    change: Sum,
    /// In-use of the largest stack, its site frame and its type.
    largest: Option<(f64, Arc<Frame>, Option<Arc<str>>)>,
    /// The bucket that grew most lately, of those that did not grow the largest: what the diagnosis speaks of.
    stands_for: Option<((f64, f64), usize)>,
}

impl Model {
    /// What rows are made with now.
    pub(super) fn window(&self) -> Window {
        let weights = self.axis.slope_weights();
        Window {
            rate_bytes: self.sampling_rate_bytes,
            is_weighted: self.liveness() == Liveness::Marks,
            slope_known: !weights.is_empty() && self.final_cycles >= MIN_CYCLES,
            weights,
            trend_slots: self.axis.spaced(TREND_VALUES),
            minutes: self.axis.minutes(),
            growth_known: self.final_cycles_since_baseline() > 0,
        }
    }
}

impl Row {
    pub(super) fn add(
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
            .is_none_or(|(largest, ..)| inuse.total_cmp(largest) == Ordering::Greater)
        {
            self.largest = Some((inuse, frame.clone(), bucket.go_type.clone()));
        }
        let grew = model.diagnosis.recent_bytes(index(idx)).max(0.0);
        let by = (grew, inuse);
        if self.stands_for.is_none_or(|(most, _)| by > most) {
            self.stands_for = Some((by, idx));
        }
    }

    pub(super) fn add_counts(
        &mut self,
        model: &Model,
        window: &Window,
        idx: usize,
        bucket: &Bucket,
    ) {
        let weighted = model.marks.get(index(idx));
        let scale = if window.is_weighted {
            model.marks.scale(index(idx), bucket)
        } else {
            Scale::sampled(bucket.object_bytes, window.rate_bytes)
        };
        let now = bucket.settled_cycle;
        let live = now.live();
        self.inuse.add(scale, live as f64, live as f64);
        self.samples += weighted.map_or(live, |w| w.settled);
        self.born_since_start += now.allocs;

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
        self.growth_samples += weighted.map_or(drawn, |w| {
            whole((drawn as f64 / w.units_per_sample()).ceil())
        });

        self.add_allocated(model, scale, bucket, weighted);
        self.add_history(model, window, bucket, scale, weighted);
    }

    /// What was allocated since the attach: as counted, where the source counts; else as sampled.
    fn add_allocated(
        &mut self,
        model: &Model,
        scale: Scale,
        bucket: &Bucket,
        weighted: Option<&Weighted>,
    ) {
        let total = bucket.total();
        let thinned = weighted.map_or(0, |w| w.thinned_units);
        let born = total
            .allocs
            .saturating_sub(bucket.at_attach.allocs)
            .saturating_sub(thinned);
        match weighted.and_then(|w| w.counted) {
            Some(objects) => {
                let counted = Scale::counted(bucket.object_bytes);
                self.allocated.add(counted, objects, 0.0);
                if !model.marks.is_counted_exactly {
                    // Counted in a part of the time: no surer than the samples of the same time.
                    self.allocated.add(scale, 0.0, born as f64);
                }
                self.has_allocated = true;
            }
            None if model.target.source == Source::Exact => {}
            None => {
                self.allocated.add(scale, born as f64, born as f64);
                self.has_allocated = true;
            }
        }
        self.born += weighted.map_or(born, |w| w.born);
        self.freed += weighted.map_or(total.frees.saturating_sub(bucket.at_attach.frees), |w| {
            w.died
        });
    }

    fn add_history(
        &mut self,
        model: &Model,
        window: &Window,
        bucket: &Bucket,
        scale: Scale,
        weighted: Option<&Weighted>,
    ) {
        let live = bucket.settled_cycle.live() as f64;
        let samples = weighted.map_or(bucket.settled_cycle.live(), |w| w.settled);
        let bytes_per_count = scale.bytes_per_count();
        self.trend.resize(window.trend_slots.len(), 0.0);
        if bucket.steps.flat(&model.axis) {
            for value in &mut self.trend {
                *value += live * bytes_per_count;
            }
            self.window_samples += samples;
            return;
        }
        let mut slope = 0.0;
        let mut values = Vec::with_capacity(model.axis.n_slots());
        model.axis.values(&bucket.steps, |i, value| {
            slope += window.weights.get(i).copied().unwrap_or(0.0) * value;
            values.push(value);
        });
        for (value, &slot) in self.trend.iter_mut().zip(&window.trend_slots) {
            *value += values.get(slot).copied().unwrap_or(0.0) * bytes_per_count;
        }
        let (first, turnover) = bucket.steps.window(&model.axis);
        let drawn = f64::from(turnover) * weighted.map_or(1.0, Weighted::units_per_sample);
        let drawn = drawn.min(live + first);
        self.window_samples += samples.max(u64::from(turnover));
        let minutes = window.minutes.max(f64::MIN_POSITIVE);
        self.change.add(scale, live - first, drawn);
        // Either the samples of one slot live on to the next, or those above the least that ever lived are new in each:
        // what comes and goes within the window must not pass for growth because nothing of it is left at its ends.
        let walk = SLOPE_VARIANCE * drawn / (minutes * minutes);
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let scatter: f64 = window
            .weights
            .iter()
            .zip(&values)
            .map(|(weight, value)| weight * weight * (value - least))
            .sum();
        self.slope.add(scale, slope, walk.max(scatter));
    }

    pub(super) fn finish(
        self,
        model: &Model,
        id: RowId,
        query: Query,
        window: &Window,
        seconds: f64,
    ) -> Option<SiteRow> {
        let (_, frame, go_type) = self.largest?;
        let total = self.allocated.estimate();
        if self.samples == 0
            && self.born == 0
            && self.growth_samples == 0
            && (!window.is_weighted || total.objects <= 0.0)
        {
            return None; // Nothing lives and nothing happened since the attach.
        }
        let slope = self.slope.estimate();
        let function = match query.by {
            GroupBy::Package => decoded(frame.package()).into(),
            GroupBy::Type => go_type.clone().unwrap_or_else(|| NO_TYPE.into()),
            GroupBy::Function | GroupBy::Line => frame.function.clone(),
        };
        let kept = (model.target.has_records() && self.born_since_start >= MIN_BORN)
            .then(|| self.samples as f64 / self.born_since_start as f64);
        let mut row = SiteRow {
            id,
            function,
            go_type,
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
                total: self.has_allocated.then_some(total),
                bytes_per_sec: self.has_allocated.then(|| per_second(&total, seconds)),
                is_exact: self.has_allocated && model.marks.is_counted_exactly,
                freed_samples: self.freed,
                born_samples: self.born,
            },
            kept,
            trend: self.trend,
            trend_err: self.change.estimate().bytes_err,
            verdict: None,
            via: None,
            leak: None,
        };
        if let Some((_, idx)) = self.stands_for {
            model.diagnose(&mut row, query, idx);
        }
        Some(row)
    }
}

fn per_second(total: &Estimate, seconds: f64) -> f64 {
    if seconds > 0.0 {
        total.bytes / seconds
    } else {
        0.0
    }
}

/// The index of a bucket as events have it; there are at most [`crate::go::buckets::MAX_BUCKETS`].
pub(super) fn index(idx: usize) -> u32 {
    u32::try_from(idx).unwrap_or(u32::MAX)
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count that is not negative, far below 2^63; rounded"
)]
pub(super) fn whole(value: f64) -> u64 {
    value.round() as u64
}
