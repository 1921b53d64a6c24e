//! Random numbers of one watch, the same on the same platform and toolchain.

use std::f64::consts::TAU;

/// Generator of one watch.
pub(crate) struct Random(fastrand::Rng);

impl Random {
    /// Returns the generator of watch `number` of the kind with index `kind`.
    pub(crate) fn new(seed: u64, kind: u64, number: u64) -> Self {
        // Two seeds in a row give unrelated streams only once each part is spread over all bits.
        let mixed = [kind, number].iter().fold(seed, |mixed, part| {
            fastrand::Rng::with_seed(mixed ^ part.wrapping_mul(0x9e37_79b9_7f4a_7c15)).u64(..)
        });
        Self(fastrand::Rng::with_seed(mixed))
    }

    /// Returns a number from `low` to `high`.
    pub(crate) fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.0.f64()
    }

    /// Returns a number from `low` to `high` whose logarithm is uniform.
    pub(crate) fn log_uniform(&mut self, low: f64, high: f64) -> f64 {
        self.uniform(low.ln(), high.ln()).exp()
    }

    /// Returns a standard normal number, by the method of Box and Muller.
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.0.f64()).ln()).sqrt();
        radius * (TAU * self.0.f64()).cos()
    }

    /// Returns one of `values`.
    pub(crate) fn pick(&mut self, values: &[f64]) -> f64 {
        values[self.0.usize(..values.len())]
    }

    /// Returns true in half of the calls.
    pub(crate) fn coin(&mut self) -> bool {
        self.0.bool()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_for_one_seed_and_differs_between_watches() {
        let first = |seed, kind, number| Random::new(seed, kind, number).uniform(0.0, 1.0);
        let one = first(7, 1, 1).to_bits();
        assert_eq!(one, first(7, 1, 1).to_bits());
        for (seed, kind, number) in [(8, 1, 1), (7, 2, 1), (7, 1, 2)] {
            assert_ne!(one, first(seed, kind, number).to_bits());
        }
    }

    #[test]
    fn normal_numbers_have_mean_zero_and_deviation_one() {
        let mut random = Random::new(1, 0, 0);
        let values: Vec<f64> = (0..20_000).map(|_| random.normal()).collect();
        let mean = values.iter().sum::<f64>() / 20_000.0;
        let variance = values.iter().map(|value| value * value).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03, "{mean}");
        assert!((variance - 1.0).abs() < 0.05, "{variance}");
    }
}
