//! Estimates with their error, never a number that is not finite.

/// A figure with its 90 % interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// Best guess.
    pub value: f64,
    /// Lower end of the 90 % interval.
    pub low: f64,
    /// Upper end of the 90 % interval.
    pub high: f64,
}

/// 90 % of a normal distribution are within this many standard errors.
pub const Z_90: f64 = 1.645;

/// Wilson interval of the share of `k` in `n`, `z` standard errors to each side, within 0 to 1.
pub fn wilson(k: f64, n: f64, z: f64) -> (f64, f64) {
    let n = n.max(1e-9);
    let (p, z2) = (k / n, z * z);
    let spread = z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    let end = |spread: f64| ((p + z2 / (2.0 * n) + spread) / (1.0 + z2 / n)).clamp(0.0, 1.0);
    (end(-spread), end(spread))
}

impl Estimate {
    /// A value with its variance; `wider` stretches the interval. `None` where a number is not finite.
    pub(super) fn new(value: f64, variance: f64, wider: f64) -> Option<Self> {
        let half = Z_90 * wider * variance.max(0.0).sqrt();
        (value.is_finite() && half.is_finite()).then_some(Self {
            value,
            low: value - half,
            high: value + half,
        })
    }

    /// Stretches the interval to `factor` times its width.
    pub(super) fn widened(self, factor: f64) -> Self {
        let Self { value, low, high } = self;
        Self {
            value,
            low: value - factor * (value - low),
            high: value + factor * (high - value),
        }
    }
}

/// How fast an entity grows, per minute or per unit of load.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Slope {
    /// Bytes.
    pub bytes: Estimate,
    /// Objects.
    pub objects: Estimate,
}
