//! From samples to estimates: unsampling as Go's pprof does it, and what it may be wrong by.

use super::rows::Estimate;

/// How the samples of one bucket are scaled: by its object size and the sampling rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// Chance that one object of this size is sampled, `0 < p ≤ 1`.
    pub chance: f64,
    /// Bytes of one object.
    pub object_bytes: f64,
}

impl Scale {
    /// The scale of objects of `object_bytes` at a mean of one sample in `rate_bytes`.
    ///
    /// Source: `scaleHeapSample`, Go `src/runtime/pprof/protomem.go`: no scaling at a rate of 1 or less.
    pub fn new(object_bytes: u64, rate_bytes: u64) -> Self {
        let chance = if rate_bytes <= 1 || object_bytes == 0 {
            1.0
        } else {
            -f64::exp_m1(-(object_bytes as f64) / rate_bytes as f64)
        };
        Self {
            chance,
            object_bytes: object_bytes as f64,
        }
    }

    /// Objects that one sample stands for.
    pub fn weight(&self) -> f64 {
        1.0 / self.chance
    }

    /// Variance of an estimate of objects that rests on `samples`.
    ///
    /// Each object is in the sample with the chance p on its own, so that k samples estimate k/p objects
    /// with a variance of k (1−p) / p².
    pub fn variance(&self, samples: f64) -> f64 {
        samples * (1.0 - self.chance) / (self.chance * self.chance)
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
    /// Adds `samples` (negative for a loss), whose variance rests on `drawn` samples.
    pub fn add(&mut self, scale: Scale, samples: f64, drawn: f64) {
        let objects = samples * scale.weight();
        let variance = scale.variance(drawn);
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
        sum.add(Scale::new(64, 524_288), 10.0, 10.0);
        let estimate = sum.estimate();
        assert!((estimate.objects - 81_925.0).abs() < 1.0, "{estimate:?}");
        assert!((estimate.bytes / estimate.objects - 64.0).abs() < 1e-9);
        // The relative error of k rare samples is 1/√k.
        assert!((estimate.bytes_err / estimate.bytes - 1.0 / 10f64.sqrt()).abs() < 1e-3);
    }

    #[test]
    fn counts_at_rate_one_and_of_huge_objects_are_exact() {
        for scale in [
            Scale::new(64, 1),
            Scale::new(0, 524_288),
            Scale::new(1 << 30, 524_288),
        ] {
            assert!((scale.weight() - 1.0).abs() < 1e-12);
            assert!(scale.variance(5.0).abs() < 1e-9);
        }
    }
}
