//! What was live after the recent GC cycles, thinned to slots of time, and the slopes over them.
//!
//! All buckets share one axis of slots; a bucket keeps a point only where its value changed, so that
//! ten thousand idle buckets cost nothing.

use std::collections::VecDeque;

use super::gc::SECOND_NS;

/// Slopes look back this far (design: growth per minute over the last 5 minutes).
pub const WINDOW_NS: u64 = 5 * 60 * SECOND_NS;
/// Most slots kept: 5 minutes in slots of 8 s are 38, and 64 allow slots of 1 s in the first minute,
/// when few cycles have to do.
const MAX_SLOTS: usize = 64;

/// The time axis: slots in which at least one cycle became final.
#[derive(Clone, Debug)]
pub struct Axis {
    /// Width of a slot.
    slot_ns: u64,
    /// Slots with a cycle, ascending: slot number and when its last cycle ended.
    slots: VecDeque<(u32, u64)>,
}

impl Default for Axis {
    fn default() -> Self {
        Self {
            slot_ns: SECOND_NS,
            slots: VecDeque::new(),
        }
    }
}

impl Axis {
    /// Begins at the attach, with values of no cycle of its own: a cycle that ends within the same second must not
    /// take their slot, or the growth up to it would be in no trend and no slope.
    pub fn begin(&mut self, at_ns: u64) {
        self.slots
            .push_back((self.slot_at(at_ns).saturating_sub(1), at_ns));
    }

    /// Takes a final cycle that ended at `at_ns`; says whether slots became wider, so that every
    /// [`Steps`] must be thinned by [`Steps::halve`].
    pub fn push(&mut self, at_ns: u64) -> bool {
        // A cycle may have ended between the first probe and the attach, which is told later.
        let at_ns = at_ns.max(self.slots.back().map_or(0, |last| last.1));
        let slot = self.slot_at(at_ns);
        match self.slots.back_mut() {
            Some(last) if last.0 >= slot => last.1 = at_ns,
            _ => self.slots.push_back((slot, at_ns)),
        }
        // One slot before the window stays: it holds the value with which the window begins.
        while self.slots.len() > 2 && self.slots[1].1 + WINDOW_NS < at_ns {
            self.slots.pop_front();
        }
        let widen = self.slots.len() > MAX_SLOTS;
        if widen {
            self.slot_ns *= 2;
            let mut thinned: VecDeque<(u32, u64)> = VecDeque::new();
            for &(slot, at_ns) in &self.slots {
                match thinned.back_mut() {
                    Some(last) if last.0 == slot / 2 => last.1 = at_ns,
                    _ => thinned.push_back((slot / 2, at_ns)),
                }
            }
            self.slots = thinned;
        }
        widen
    }

    fn slot_at(&self, at_ns: u64) -> u32 {
        u32::try_from(at_ns / self.slot_ns).unwrap_or(u32::MAX)
    }

    /// The newest slot's number, where values are written.
    pub fn newest(&self) -> u32 {
        self.slots.back().map_or(0, |slot| slot.0)
    }

    /// The oldest slot's number.
    pub fn oldest(&self) -> u32 {
        self.slots.front().map_or(0, |slot| slot.0)
    }

    /// Number of slots with a cycle.
    pub fn n_slots(&self) -> usize {
        self.slots.len()
    }

    /// Minutes from the oldest to the newest slot.
    pub fn minutes(&self) -> f64 {
        match (self.slots.front(), self.slots.back()) {
            (Some(first), Some(last)) => (last.1 - first.1) as f64 / (60 * SECOND_NS) as f64,
            _ => 0.0,
        }
    }

    /// Weights w such that Σ w·value is the least-squares slope per minute over the slots; empty where
    /// there is no slope. The slope is linear in the values, so the slopes of buckets add up.
    pub fn slope_weights(&self) -> Vec<f64> {
        let minutes: Vec<f64> = self
            .slots
            .iter()
            .map(|slot| slot.1 as f64 / (60 * SECOND_NS) as f64)
            .collect();
        let mean = minutes.iter().sum::<f64>() / minutes.len().max(1) as f64;
        let spread: f64 = minutes.iter().map(|m| (m - mean).powi(2)).sum();
        if spread <= 0.0 {
            return Vec::new();
        }
        minutes.iter().map(|m| (m - mean) / spread).collect()
    }

    /// `n` slot positions, evenly spaced in time from the oldest to the newest, as indices.
    pub fn spaced(&self, n: usize) -> Vec<usize> {
        let (Some(first), Some(last)) = (self.slots.front(), self.slots.back()) else {
            return Vec::new();
        };
        if self.slots.len() < 2 || n < 2 {
            return Vec::new();
        }
        (0..n as u64)
            .map(|i| {
                // Multiplied first: the last position is the newest slot, not a nanosecond before it.
                let at = first.1 + (last.1 - first.1) * i / (n as u64 - 1);
                self.slots
                    .partition_point(|slot| slot.1 <= at)
                    .saturating_sub(1)
            })
            .collect()
    }

    /// Calls `with` for each slot with its index and the value that `steps` had then.
    pub fn values(&self, steps: &Steps, mut with: impl FnMut(usize, f64)) {
        let mut points = steps.points.iter().peekable();
        let mut value = steps.before;
        for (i, slot) in self.slots.iter().enumerate() {
            while let Some(point) = points.next_if(|point| point.slot <= slot.0) {
                value = point.live;
            }
            with(i, f64::from(value));
        }
    }
}

/// A value that changed in a slot.
#[derive(Clone, Copy, Debug)]
struct Point {
    slot: u32,
    /// The live count after the slot's last cycle. A float of half the size: above 2^24 the last digits go, which no slope
    /// can show, and no heap is too large for it.
    live: f32,
    /// Births and deaths of samples up to then, modulo 2^32.
    turnover: u32,
}

/// The live count of one bucket over the recent slots, as steps.
#[derive(Clone, Debug, Default)]
pub struct Steps {
    points: VecDeque<Point>,
    /// Value and turnover before the first point.
    before: f32,
    before_turnover: u32,
}

impl Steps {
    /// Begins with a value that holds from before the first slot on.
    pub fn begin(live: u64, turnover: u64) -> Self {
        Self {
            points: VecDeque::new(),
            before: short(live),
            before_turnover: wrap(turnover),
        }
    }

    /// Writes the value of the newest slot of `axis`.
    pub fn push(&mut self, axis: &Axis, live: u64, turnover: u64) {
        let slot = axis.newest();
        let point = Point {
            slot,
            live: short(live),
            turnover: wrap(turnover),
        };
        match self.points.back_mut() {
            Some(last) if last.slot == slot => *last = point,
            _ => self.points.push_back(point),
        }
        while self
            .points
            .front()
            .is_some_and(|first| first.slot < axis.oldest())
        {
            if let Some(first) = self.points.pop_front() {
                (self.before, self.before_turnover) = (first.live, first.turnover);
            }
        }
    }

    /// Follows [`Axis::push`] to slots of double width: the last value in a slot stays.
    pub fn halve(&mut self) {
        let mut wider: VecDeque<Point> = VecDeque::with_capacity(self.points.len().div_ceil(2));
        for point in &self.points {
            let point = Point {
                slot: point.slot / 2,
                ..*point
            };
            match wider.back_mut() {
                Some(last) if last.slot == point.slot => *last = point,
                _ => wider.push_back(point),
            }
        }
        self.points = wider;
    }

    /// Whether the value never changed within the slots of `axis`.
    pub fn flat(&self, axis: &Axis) -> bool {
        self.points
            .back()
            .is_none_or(|last| last.slot <= axis.oldest())
    }

    /// The live count with which the slots of `axis` begin, and births and deaths of samples since then.
    pub fn window(&self, axis: &Axis) -> (f64, u32) {
        let first = self
            .points
            .iter()
            .take_while(|point| point.slot <= axis.oldest())
            .last();
        let (live, turnover) = first.map_or((self.before, self.before_turnover), |p| {
            (p.live, p.turnover)
        });
        let now = self
            .points
            .back()
            .map_or(self.before_turnover, |p| p.turnover);
        (f64::from(live), now.wrapping_sub(turnover))
    }
}

#[allow(clippy::cast_possible_truncation, reason = "digits beyond the 24th")]
fn short(value: u64) -> f32 {
    value as f32
}

fn wrap(value: u64) -> u32 {
    u32::try_from(value & u64::from(u32::MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slope(axis: &Axis, steps: &Steps) -> f64 {
        let weights = axis.slope_weights();
        let mut slope = 0.0;
        axis.values(steps, |i, value| slope += weights[i] * value);
        slope
    }

    #[test]
    fn a_straight_line_has_its_slope_through_all_widths_of_slots() {
        let (mut axis, mut steps) = (Axis::default(), Steps::begin(100, 0));
        for second in 0..900u64 {
            if axis.push(second * SECOND_NS) {
                steps.halve();
            }
            steps.push(&axis, 100 + second, second);
            if second > 10 {
                assert!(
                    (slope(&axis, &steps) - 60.0).abs() < 4.0,
                    "second {second}: {}",
                    slope(&axis, &steps)
                );
            }
            assert!(axis.n_slots() <= MAX_SLOTS && steps.points.len() <= MAX_SLOTS + 1);
        }
        assert!(
            axis.minutes() > 4.8 && axis.minutes() < 5.3,
            "{}",
            axis.minutes()
        );
        let (_, turnover) = steps.window(&axis);
        assert!((280..=320).contains(&turnover), "{turnover}");
    }

    #[test]
    fn a_cycle_that_ended_before_the_attach_ends_with_it() {
        let mut axis = Axis::default();
        axis.begin(1_000_000_007);
        axis.push(1_000_000_003);
        assert_eq!(axis.spaced(2).len(), 2);
        assert!(axis.minutes().abs() < f64::EPSILON);
    }

    #[test]
    fn the_newest_cycle_and_the_attach_are_both_in_a_trend() {
        let mut axis = Axis::default();
        axis.begin(1_000_000_007);
        let steps = Steps::begin(5, 0);
        axis.push(1_000_000_009);
        let mut after = steps.clone();
        after.push(&axis, 9, 4);
        axis.push(7_000_000_001);
        after.push(&axis, 11, 6);
        assert_eq!(axis.spaced(12).first(), Some(&0));
        assert_eq!(axis.spaced(12).last(), Some(&2));
        let (first, turnover) = after.window(&axis);
        assert!((first - 5.0).abs() < 1e-9);
        assert_eq!(turnover, 6);
    }

    proptest! {
        #[test]
        fn steps_and_a_full_list_of_values_agree(values in prop::collection::vec((1u64..40, 0u64..5), 2..120)) {
            let (mut axis, mut steps) = (Axis::default(), Steps::begin(3, 0));
            let (mut now, mut all) = (0, Vec::new());
            let mut last = 3;
            for (seconds, value) in values {
                now += seconds * SECOND_NS;
                if axis.push(now) { steps.halve(); }
                if value != last { steps.push(&axis, value, 0); last = value; }
                all.push((now, value));
            }
            axis.values(&steps, |i, value| {
                let at = axis.slots[i].1;
                let expected = all.iter().rev().find(|(t, _)| *t <= at).unwrap().1;
                assert!((value - expected as f64).abs() < 1e-9, "slot {i}");
            });
        }
    }
}
