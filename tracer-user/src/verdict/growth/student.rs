//! Student's t distribution for an integer number of degrees of freedom.

use std::f64::consts::FRAC_2_PI;

/// Probability that a Student t variable with `df` ≥ 1 degrees of freedom is at most `t`.
///
/// The finite sums 26.7.3 and 26.7.4 of Abramowitz and Stegun, which need no gamma function.
pub(super) fn cdf(t: f64, df: usize) -> f64 {
    let n = df as f64;
    let cos2 = n / (n + t * t);
    let sin = t / (n + t * t).sqrt();
    let inside = if df.is_multiple_of(2) {
        sin * series(1.0, 2, df, cos2)
    } else {
        let cos = cos2.sqrt();
        let sum = if df == 1 {
            0.0
        } else {
            series(cos, 3, df, cos2)
        };
        FRAC_2_PI * ((t / n.sqrt()).atan() + sin * sum)
    };
    0.5 + 0.5 * inside
}

/// Value that a Student t variable with `df` ≥ 1 degrees of freedom does not exceed with this probability, by bisection.
pub(super) fn quantile(probability: f64, df: usize) -> f64 {
    /// Beyond this, one degree of freedom leaves a probability of 1e-7.
    const RANGE: f64 = 4e6;
    /// Halvings of the range: an error below 1e-6.
    const STEPS: u32 = 44;
    let (mut low, mut high) = (-RANGE, RANGE);
    for _ in 0..STEPS {
        let middle = low.midpoint(high);
        if cdf(middle, df) < probability {
            low = middle;
        } else {
            high = middle;
        }
    }
    low.midpoint(high)
}

/// Sum of `first` and its successors, each `cos2 * (k - 1) / k` times the one before, for every second `k` below `df` - 1.
fn series(first: f64, from: usize, df: usize, cos2: f64) -> f64 {
    let (mut term, mut sum) = (first, first);
    for k in (from..df.saturating_sub(1)).step_by(2) {
        term *= cos2 * (k - 1) as f64 / k as f64;
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_tabulated_quantiles() {
        // 95 % quantiles for 1, 2, 5, 10 and 28 degrees of freedom.
        for (df, t) in [
            (1, 6.313_752),
            (2, 2.919_986),
            (5, 2.015_048),
            (10, 1.812_461),
            (28, 1.701_131),
        ] {
            assert!((cdf(t, df) - 0.95).abs() < 1e-6, "{df}");
            assert!((cdf(-t, df) - 0.05).abs() < 1e-6, "{df}");
        }
    }
}
