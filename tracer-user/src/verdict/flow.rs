//! What came and went at one entity between two looks, by level, in samples and by weight. Flows add up, so the flow
//! under a common frame is the sum of those of its buckets.

use std::ops::AddAssign;

use super::N_LEVELS;

/// What one sample stands for, as estimated from how it was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Weight {
    /// Objects, at least 0.
    pub objects: f64,
    /// Bytes, at least 0.
    pub bytes: f64,
}

/// Samples that went one way, and the sums of their weights that a slope and its error need.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Side {
    /// Number of samples.
    pub samples: u32,
    /// Sum of their bytes.
    pub bytes: f64,
    /// Sum of their squared bytes.
    pub bytes_sq: f64,
    /// Sum of their objects.
    pub objects: f64,
    /// Sum of their squared objects.
    pub objects_sq: f64,
}

impl Weight {
    /// The weight, or 0 in place of what is none: not finite, or less than nothing.
    pub(super) fn sane(self) -> Self {
        let sane = |x: f64| {
            if x.is_finite() {
                x.clamp(0.0, MAX_WEIGHT)
            } else {
                0.0
            }
        };
        Self {
            objects: sane(self.objects),
            bytes: sane(self.bytes),
        }
    }
}

/// More than any sample stands for: a pebibyte. Sums of its square still fit an `f32`.
const MAX_WEIGHT: f64 = (1_u64 << 50) as f64;

impl Side {
    /// Adds one sample.
    pub fn add(&mut self, weight: Weight) {
        self.samples = self.samples.saturating_add(1);
        self.bytes += weight.bytes;
        self.bytes_sq += weight.bytes * weight.bytes;
        self.objects += weight.objects;
        self.objects_sq += weight.objects * weight.objects;
    }

    /// Variance of `bytes` as an estimate, in bytes², where all samples are of objects of one size. One that stands for w
    /// objects was drawn with the chance 1/w, which makes Σ(w² − w) objects²: large objects, all of which are drawn, add
    /// nothing, however much they weigh.
    pub fn sampling_variance(&self) -> f64 {
        if self.objects_sq > 0.0 {
            self.bytes_sq * (1.0 - self.objects / self.objects_sq).max(0.0)
        } else {
            0.0
        }
    }
}

impl AddAssign for Side {
    fn add_assign(&mut self, other: Self) {
        self.samples = self.samples.saturating_add(other.samples);
        self.bytes += other.bytes;
        self.bytes_sq += other.bytes_sq;
        self.objects += other.objects;
        self.objects_sq += other.objects_sq;
    }
}

/// The flow at one level.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LevelFlow {
    /// Veterans that stood there already (from before the attach), or less than 0, that are no longer followed without
    /// having died. They change how many there are and are neither arrivals nor departures.
    pub standing: i64,
    /// Weight of those, in all.
    pub standing_weight: Weight,
    /// Samples that became veterans.
    pub arrived: Side,
    /// Veterans that died.
    pub departed: Side,
}

impl LevelFlow {
    /// Changes by `samples` of a mean `weight` how many stand here.
    pub fn stand(&mut self, samples: i64, weight: Weight) {
        self.standing = self.standing.saturating_add(samples);
        self.standing_weight.objects += weight.objects * samples as f64;
        self.standing_weight.bytes += weight.bytes * samples as f64;
    }
}

impl AddAssign for LevelFlow {
    fn add_assign(&mut self, other: Self) {
        self.standing = self.standing.saturating_add(other.standing);
        self.standing_weight.objects += other.standing_weight.objects;
        self.standing_weight.bytes += other.standing_weight.bytes;
        self.arrived += other.arrived;
        self.departed += other.departed;
    }
}

/// What came and went at one entity since the look before.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Flow {
    /// Samples born, veterans or not.
    pub born: u32,
    /// By level, youngest first.
    pub levels: [LevelFlow; N_LEVELS],
}

impl AddAssign for Flow {
    fn add_assign(&mut self, other: Self) {
        self.born = self.born.saturating_add(other.born);
        for (level, other) in self.levels.iter_mut().zip(other.levels) {
            *level += other;
        }
    }
}

impl Flow {
    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
