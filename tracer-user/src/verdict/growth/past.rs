//! Life before the attach, as far as the runtime remembers it: the times of its last GC cycles, and their number.
//!
//! With GOGC a cycle starts when about as much was allocated as was live after the one before. At a constant allocation
//! rate the live heap is therefore proportional to the gap that follows it; on five of six real programs it was so within
//! 13 %. A load that changed shifts these estimates, so they may lower or raise the certainty of a word, never give one.

use super::{
    history::Sample,
    teeth::{self, Fall, median},
    trend::{MINUTE_S, Noise, Point, Trend},
};

/// GC gaps below which nothing is estimated.
const MIN_GAPS: usize = 12;
/// Gaps from this length on are made by the runtime's own timer (`forcegcperiod`, 2 minutes), not by allocation.
pub const TIMER_GAP_S: f64 = 115.0;
/// Time from the start of the process that no curve shows: a program that fills its tables allocates faster than later, so
/// that a heap of 46 MiB was estimated at 5.
const FILLING_S: f64 = 60.0;
/// Most points of a curve: the runtime keeps the times of 256 cycles.
const MAX_CURVE_POINTS: usize = 256;
/// Points on either side of a point of the curve, at least: the median of five ignores two gaps that are no pace.
const MIN_BESIDE: usize = 2;
/// Largest factor between the end of the curve and the first measured values. Beyond it the load changed at the attach, or
/// the gaps do not follow the live heap.
const CONTINUES: f64 = 1.5;
/// Gaps after the attach that give the ratio of live heap to GC gap.
pub(super) const OWN_GAPS: usize = 10;
/// Gaps after the attach below which there is no ratio.
const MIN_OWN_GAPS: usize = 3;
/// Part of the life that counts as start-up: a heap that fills then is no growth.
const START_UP: f64 = 1.0 / 3.0;
/// Largest probability that the heap did not rise before the attach, for growth that began there.
const PAST_FLAT: f64 = 0.01;
/// Range of the rate before the attach, relative to that after it.
const SAME_RATE: std::ops::RangeInclusive<f64> = 0.33..=3.0;
/// Largest expected ratio of an average cycle to one at the attach that tells growth from a constant heap.
const TELLING: f64 = 0.9;

/// Facts from before the attach.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Past {
    /// Uptime of the process at the attach, in seconds.
    pub uptime_s: Option<f64>,
    /// Times of the last GC cycles, in seconds after the attach (all negative), oldest first.
    pub gc_times_s: Vec<f64>,
    /// Number of GC cycles since the start of the process.
    pub gc_cycles: Option<u32>,
    /// Bytes marked by the last of these cycles.
    pub marked_bytes: Option<f64>,
}

/// Live heap after one GC cycle before the attach, estimated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EstimatedLive {
    /// Seconds after the attach; negative.
    pub at_s: f64,
    /// Bytes that the cycle marked.
    pub marked_bytes: f64,
}

/// Live heap before the attach, estimated once enough is known after it.
#[derive(Clone, Debug, Default)]
pub(super) struct Estimated {
    /// Live heap at each GC cycle before the attach.
    points: Vec<Point>,
    /// Leading points without a pace: those of [`FILLING_S`], and up to the last gap that the runtime's timer ended.
    unpaced_points: usize,
    /// Value at the attach.
    value: f64,
    /// The first values after the attach.
    first: f64,
    /// Allocation of an average cycle since the start, relative to one at the attach.
    cycle_ratio: Option<f64>,
    /// Points of the running median in which falls are sought.
    median_points: usize,
}

impl Past {
    /// Estimates the live heap before the attach from the samples after it.
    pub(super) fn estimate(&self, samples: &[Sample]) -> Option<Estimated> {
        let after = samples.partition_point(|sample| sample.at_s < 0.0);
        let own = &samples[after..samples.len().min(after + OWN_GAPS + 1)];
        if own.len() <= MIN_OWN_GAPS || self.gc_times_s.len() <= MIN_GAPS {
            return None;
        }
        let gaps = || {
            own.windows(2)
                .map(|pair| (pair[1].at_s - pair[0].at_s) / pair[1].weight)
        };
        let factor = median(
            (own.windows(2).zip(gaps()))
                .map(|(pair, gap)| pair[1].value / gap)
                .collect(),
        );
        let points = self.gc_times_s.windows(2).map(|pair| Point {
            at_s: pair[0],
            value: (pair[1] - pair[0]) * factor,
            weight: 1.0,
        });
        Some(Estimated {
            points: points.collect(),
            unpaced_points: self.unpaced_gaps(),
            value: median(own.iter().map(|sample| sample.value).collect()),
            first: median(
                (own.iter().take(MIN_OWN_GAPS))
                    .map(|sample| sample.value)
                    .collect(),
            ),
            cycle_ratio: self.cycle_ratio(own),
            median_points: teeth::past_median_points(median(gaps().collect())),
        })
    }

    /// Leading gaps without a pace; see [`Estimated::unpaced_points`].
    fn unpaced_gaps(&self) -> usize {
        let filled_s = self.uptime_s.map(|uptime_s| FILLING_S - uptime_s);
        let mut gaps = self.gc_times_s.windows(2);
        let has_no_pace = |gap: &[f64]| {
            gap[1] - gap[0] >= TIMER_GAP_S || filled_s.is_some_and(|filled_s| gap[0] < filled_s)
        };
        gaps.rposition(has_no_pace).map_or(0, |index| index + 1)
    }

    /// Allocation of an average cycle since the start of the process, relative to one at the attach.
    fn cycle_ratio(&self, own: &[Sample]) -> Option<f64> {
        let (first, last) = (own.first()?, own.last()?);
        let cycles: f64 = own.iter().skip(1).map(|sample| sample.weight).sum();
        let now = (last.allocated? - first.allocated?) / cycles;
        let since_start = first.allocated? / (f64::from(self.gc_cycles?) + 1.0);
        Some(since_start / now)
    }
}

impl Estimated {
    /// The first values after the attach.
    pub(super) fn first(&self) -> f64 {
        self.first
    }

    /// Live heap over the time before the attach, as running medians, oldest first.
    ///
    /// Begins after the first minute of the process and after the last gap that the runtime's timer ended. `None` for too few
    /// gaps, or where the measured values do not continue it.
    pub(super) fn curve(&self) -> Option<Vec<Point>> {
        let paced = &self.points[self.unpaced_points..];
        let paced = &paced[paced.len().saturating_sub(MAX_CURVE_POINTS)..];
        if paced.len() < MIN_GAPS {
            return None;
        }
        let curve: Vec<Point> = (MIN_BESIDE..paced.len() - MIN_BESIDE)
            .map(|index| {
                let beside = (self.median_points / 2)
                    .min(index)
                    .min(paced.len() - 1 - index);
                let around = &paced[index - beside..=index + beside];
                Point {
                    value: median(around.iter().map(|point| point.value).collect()),
                    ..paced[index]
                }
            })
            .collect();
        let ratio = curve.last()?.value / self.first;
        (1.0 / CONTINUES..=CONTINUES)
            .contains(&ratio)
            .then_some(curve)
    }

    /// Falls before the attach.
    pub(super) fn falls(&self, least: f64) -> Vec<Fall> {
        let values: Vec<f64> = self.points.iter().map(|point| point.value).collect();
        teeth::past_falls(&values, self.median_points, least)
    }

    /// True if the heap grew at about this rate since the start of the process.
    ///
    /// Two figures must say so. The GC gaps became longer alike, which a falling load would do as well. And an average
    /// cycle allocated less than one does now, whatever the load was, as also after a heap that filled at start-up.
    pub(super) fn agrees(&self, per_min: f64, uptime_s: f64, noise: Noise) -> bool {
        self.cycles_agree(per_min, uptime_s) && self.gaps_agree(per_min, uptime_s, noise)
    }

    /// True if an average cycle is as much smaller than one at the attach as at least half of this growth makes it.
    pub(super) fn cycles_agree(&self, per_min: f64, uptime_s: f64) -> bool {
        // In a line from `start` to 1, the mean over GC cycles is logarithmic: small heaps have more of them.
        let start = (1.0 - per_min * uptime_s / MINUTE_S / self.value).max(0.05);
        let expected = (1.0 - start) / -start.ln();
        expected <= TELLING
            && self
                .cycle_ratio
                .is_some_and(|ratio| ratio <= f64::midpoint(1.0, expected))
    }

    pub(super) fn gaps_agree(&self, per_min: f64, uptime_s: f64, noise: Noise) -> bool {
        let from_s = -uptime_s * (1.0 - START_UP);
        let recent = &self.points[self.points.partition_point(|point| point.at_s < from_s)..];
        Trend::fit(recent, noise).is_some_and(|past| {
            past.p_flat <= PAST_FLAT && SAME_RATE.contains(&(past.per_min.value / per_min))
        })
    }
}
