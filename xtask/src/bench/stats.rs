//! Medians with their 95 % intervals.

use std::fmt;

/// A median and where the true one lies with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Median {
    pub(super) value: f64,
    pub(super) low: f64,
    pub(super) high: f64,
    /// Values it comes from. Below 6 the interval is the whole range and has less than 95 %.
    pub(super) n: usize,
}

/// The median by order statistics: no assumption about the distribution, and no random numbers.
///
/// The k-th smallest and k-th largest of n values enclose the median with probability 1 − 2·P(X < k), X binomial with n and ½;
/// k is the largest that still gives 95 %.
pub(super) fn median(values: &[f64]) -> Option<Median> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    let middle = n.checked_sub(1)? / 2;
    let value = f64::midpoint(sorted[middle], sorted[n / 2]);
    let mut outside = 0.0;
    let mut probability = 0.5f64.powi(i32::try_from(n).ok()?);
    let mut k = 0;
    while k < middle {
        outside += probability; // P(X <= k)
        if 2.0 * outside > 0.05 {
            break;
        }
        k += 1;
        probability *= (n - k + 1) as f64 / k as f64;
    }
    let skipped = k.saturating_sub(1);
    Some(Median {
        value,
        low: sorted[skipped],
        high: sorted[n - 1 - skipped],
        n,
    })
}

impl Median {
    /// The same in another unit.
    pub(super) fn times(self, factor: f64) -> Self {
        Self {
            value: self.value * factor,
            low: self.low * factor,
            high: self.high * factor,
            n: self.n,
        }
    }
}

/// `1.006 (0.981 to 1.034)`; the precision counts digits after the point.
impl fmt::Display for Median {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(3);
        write!(
            f,
            "{:.digits$} ({:.digits$} to {:.digits$})",
            self.value, self.low, self.high
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(n: u32) -> Median {
        let values: Vec<f64> = (1..=n).rev().map(f64::from).collect();
        median(&values).unwrap()
    }

    /// The ranks are those of published tables of this interval.
    #[test]
    fn ranks_of_the_interval() {
        assert_eq!((of(6).low, of(6).high), (1.0, 6.0));
        assert_eq!((of(9).low, of(9).high), (2.0, 8.0));
        assert_eq!((of(15).low, of(15).high), (4.0, 12.0));
        assert_eq!((of(20).low, of(20).high), (6.0, 15.0));
    }

    #[test]
    fn few_values_give_their_range_and_none_give_nothing() {
        assert_eq!((of(1).low, of(1).high), (1.0, 1.0));
        assert_eq!((of(3).value, of(3).low, of(3).high), (2.0, 1.0, 3.0));
        assert_eq!(format!("{:.1}", of(4)), "2.5 (1.0 to 4.0)");
        assert_eq!(median(&[]), None);
        assert_eq!(format!("{:.1}", of(6)), "3.5 (1.0 to 6.0)");
    }
}
