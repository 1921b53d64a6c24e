//! From counts to estimates: unsampling as Go's pprof does it, or weights as a source gave them, and what they may be
//! wrong by.

use super::rows::Estimate;

/// Counts of weighted births are kept in so many units for each object, so that they are whole numbers: a weight is
/// rounded by 1/128 of an object at most, and a bucket has room for 2^58 objects.
pub const UNITS_PER_OBJECT: f64 = 64.0;

/// What the counts of one bucket stand for. A count is a sample of the runtime's sampler, or a unit of a weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// Objects that one count stands for.
    objects_per_count: f64,
    /// Variance of an estimate of objects, for each count that it rests on.
    variance_per_count: f64,
    /// Bytes of one object.
    object_bytes: f64,
}

impl Scale {
    /// The scale of samples of `object_bytes` at a mean of one in `rate_bytes`.
    ///
    /// Each object is in the sample with the chance p on its own, so that k samples estimate k/p objects with a variance
    /// of k (1−p) / p².
    ///
    /// Source: `scaleHeapSample`, Go `src/runtime/pprof/protomem.go`: no scaling at a rate of 1 or less.
    pub fn sampled(object_bytes: u64, rate_bytes: u64) -> Self {
        let chance = if rate_bytes <= 1 || object_bytes == 0 {
            1.0
        } else {
            -f64::exp_m1(-(object_bytes as f64) / rate_bytes as f64)
        };
        Self {
            objects_per_count: 1.0 / chance,
            variance_per_count: (1.0 - chance) / (chance * chance),
            object_bytes: object_bytes as f64,
        }
    }

    /// The scale of units of weighted samples whose weights w have the mean w²/w of `spread`, at least 1.
    ///
    /// An object of weight w is in the sample with the chance 1/w, so that the sum of weights has a variance of
    /// Σ(w² − w) over the samples: spread − 1 for each object.
    pub fn weighted(object_bytes: u64, spread: f64) -> Self {
        Self {
            objects_per_count: 1.0 / UNITS_PER_OBJECT,
            variance_per_count: (spread - 1.0).max(0.0) / UNITS_PER_OBJECT,
            object_bytes: object_bytes as f64,
        }
    }

    /// The scale of whole objects that were counted one by one.
    pub fn counted(object_bytes: u64) -> Self {
        Self {
            objects_per_count: 1.0,
            variance_per_count: 0.0,
            object_bytes: object_bytes as f64,
        }
    }

    /// Objects that one count stands for.
    pub fn objects_per_count(&self) -> f64 {
        self.objects_per_count
    }

    /// Bytes that one count stands for.
    pub fn bytes_per_count(&self) -> f64 {
        self.objects_per_count * self.object_bytes
    }
}

/// Sums estimates of buckets whose samples were drawn independently.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    bytes: f64,
    bytes_var: f64,
    objects: f64,
    objects_var: f64,
}

impl Sum {
    /// Adds `count` (negative for a loss), whose variance rests on a count of `drawn`.
    pub fn add(&mut self, scale: Scale, count: f64, drawn: f64) {
        let objects = count * scale.objects_per_count;
        let variance = drawn * scale.variance_per_count;
        self.objects += objects;
        self.objects_var += variance;
        self.bytes += objects * scale.object_bytes;
        self.bytes_var += variance * scale.object_bytes * scale.object_bytes;
    }

    /// The sum with its standard errors.
    pub fn estimate(&self) -> Estimate {
        Estimate {
            bytes: self.bytes,
            bytes_err: self.bytes_var.sqrt(),
            objects: self.objects,
            objects_err: self.objects_var.sqrt(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsamples_as_pprof_does() {
        // 10 samples of 64 bytes at 512 KiB: 1/(1−exp(−64/524288)) = 8192.5 objects each.
        let mut sum = Sum::default();
        sum.add(Scale::sampled(64, 524_288), 10.0, 10.0);
        let estimate = sum.estimate();
        assert!((estimate.objects - 81_925.0).abs() < 1.0, "{estimate:?}");
        assert!((estimate.bytes / estimate.objects - 64.0).abs() < 1e-9);
        // The relative error of k rare samples is 1/√k.
        assert!((estimate.bytes_err / estimate.bytes - 1.0 / 10f64.sqrt()).abs() < 1e-3);
    }

    #[test]
    fn counts_at_rate_one_and_of_huge_objects_are_exact() {
        for scale in [
            Scale::sampled(64, 1),
            Scale::sampled(0, 524_288),
            Scale::sampled(1 << 30, 524_288),
            Scale::counted(64),
        ] {
            assert!((scale.objects_per_count - 1.0).abs() < 1e-12);
            assert!(scale.variance_per_count.abs() < 1e-9);
        }
    }

    #[test]
    fn a_weighted_sample_varies_as_one_that_was_drawn_with_the_chance_of_its_weight() {
        // 10 samples that stand for 100 objects each: Σ(w² − w) = 10 · 9900.
        let mut sum = Sum::default();
        let units = 10.0 * 100.0 * UNITS_PER_OBJECT;
        sum.add(Scale::weighted(16, 100.0), units, units);
        let estimate = sum.estimate();
        assert!((estimate.objects - 1000.0).abs() < 1e-9, "{estimate:?}");
        assert!((estimate.objects_err.powi(2) - 99_000.0).abs() < 1e-6);
        let mut certain = Sum::default();
        certain.add(Scale::weighted(16, 1.0), UNITS_PER_OBJECT, UNITS_PER_OBJECT);
        assert!(certain.estimate().bytes_err.abs() < 1e-12);
    }
}
