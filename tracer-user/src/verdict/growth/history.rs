//! Points of a series, thinned and bounded.

use std::collections::VecDeque;

use super::trend::Point;

/// Time that is remembered, and length of the longest window. A leak that an hour does not show is below 1 % an hour.
pub(super) const HISTORY_S: f64 = 3600.0;
/// Largest magnitude of a time or value; anything beyond is not a reading of a process, and its square must stay finite.
const LARGEST: f64 = 1e18;

/// One reading, or the mean of those that share a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sample {
    /// Seconds after the attach; negative before it.
    pub(super) at_s: f64,
    /// Value in the series' unit.
    pub(super) value: f64,
    /// Part of the value that changes by large steps, where known.
    pub(super) large: Option<f64>,
    /// Cumulative allocation, where known: the load.
    pub(super) allocated: Option<f64>,
    /// Number of readings behind it.
    pub(super) weight: f64,
}

impl Sample {
    pub(super) fn point(&self) -> Point {
        Point {
            at_s: self.at_s,
            value: self.value,
            weight: self.weight,
        }
    }

    /// The part in large objects, where it is known.
    pub(super) fn point_of_large(&self) -> Option<Point> {
        Some(Point {
            value: self.large?,
            ..self.point()
        })
    }

    /// The point without large objects, where these are known.
    pub(super) fn point_without_large(&self) -> Option<Point> {
        let large = self.large?;
        Some(Point {
            value: self.value - large,
            ..self.point()
        })
    }

    /// True if all figures are those of a process.
    fn is_sane(&self) -> bool {
        let is_sane = |figure: f64| figure.abs() <= LARGEST;
        is_sane(self.at_s)
            && is_sane(self.value)
            && self.large.is_none_or(is_sane)
            && self.allocated.is_none_or(is_sane)
    }

    /// Makes this the mean of both. Large objects are those of the later one that knows them.
    fn absorb(&mut self, later: &Self) {
        self.weight += later.weight;
        let part = later.weight / self.weight;
        let toward = |from: f64, to: f64| from + (to - from) * part;
        self.at_s = toward(self.at_s, later.at_s);
        self.value = toward(self.value, later.value);
        self.large = later.large.or(self.large);
        self.allocated = match (self.allocated, later.allocated) {
            (Some(from), Some(to)) => Some(toward(from, to)),
            (from, to) => from.or(to),
        };
    }
}

/// The last hour of a series, oldest first. Readings that share a slot of time are one sample.
#[derive(Clone, Debug)]
pub(super) struct History {
    slot_s: f64,
    /// Start of the newest sample's slot.
    slot_start_s: f64,
    /// Time of the newest reading.
    newest_s: f64,
    samples: VecDeque<Sample>,
}

impl History {
    pub(super) fn new(slot_s: f64) -> Self {
        Self {
            slot_s,
            slot_start_s: f64::NEG_INFINITY,
            newest_s: f64::NEG_INFINITY,
            samples: VecDeque::new(),
        }
    }

    /// Adds a reading. One that is not later than the newest, or not finite, is dropped.
    pub(super) fn push(&mut self, sample: Sample) {
        if !sample.is_sane() || sample.at_s <= self.newest_s {
            return;
        }
        self.newest_s = sample.at_s;
        match self.samples.back_mut() {
            Some(last) if sample.at_s < self.slot_start_s + self.slot_s => last.absorb(&sample),
            _ => {
                self.slot_start_s = sample.at_s;
                self.samples.push_back(sample);
            }
        }
        while (self.samples.front()).is_some_and(|oldest| oldest.at_s < self.newest_s - HISTORY_S) {
            self.samples.pop_front();
        }
    }

    /// Sets the large objects of the newest sample that is not later than `at_s`.
    pub(super) fn set_large(&mut self, at_s: f64, large: f64) {
        let after = self.samples.partition_point(|sample| sample.at_s <= at_s);
        let sample = after.checked_sub(1).and_then(|i| self.samples.get_mut(i));
        if let Some(sample) = sample.filter(|_| large.abs() <= LARGEST) {
            sample.large = Some(large);
        }
    }

    /// All samples, oldest first.
    pub(super) fn samples(&self) -> impl Iterator<Item = Sample> + Clone {
        self.samples.iter().copied()
    }
}

/// Samples that are not older than `from_s`.
pub(super) fn since(samples: &[Sample], from_s: f64) -> &[Sample] {
    &samples[samples.partition_point(|sample| sample.at_s < from_s)..]
}
