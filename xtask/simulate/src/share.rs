//! Shares of counts, with their intervals.

use std::fmt;

use heaptop::verdict::wilson;

/// Quantile of the normal distribution for 95 % intervals.
const Z_95: f64 = 1.96;

/// Part of a number of watches or evaluations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) part: u32,
    pub(crate) all: u32,
}

impl Share {
    /// Counts the watches for which `is_part` holds.
    pub(crate) fn of<T>(items: &[T], is_part: impl Fn(&T) -> bool) -> Self {
        Self::sum(items.iter().map(|item| (u32::from(is_part(item)), 1)))
    }

    /// Adds up parts and wholes.
    pub(crate) fn sum(counts: impl IntoIterator<Item = (u32, u32)>) -> Self {
        let add = |sum: Self, (part, all): (u32, u32)| Self {
            part: sum.part + part,
            all: sum.all + all,
        };
        counts.into_iter().fold(Self::default(), add)
    }

    /// The share, 0 to 1; `None` of nothing.
    pub(crate) fn value(self) -> Option<f64> {
        (self.all > 0).then(|| f64::from(self.part) / f64::from(self.all))
    }

    /// Wilson interval of the share, 95 %.
    fn interval(self) -> Option<(f64, f64)> {
        (self.all > 0).then(|| wilson(f64::from(self.part), f64::from(self.all), Z_95))
    }
}

/// As per cent with the interval: `97.5 (95.7–98.6)`.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(value), Some((low, high))) = (self.value(), self.interval()) else {
            return f.pad("-");
        };
        let [value, low, high] = [value, low, high].map(|share| share * 100.0);
        f.pad(&format!("{value:.1} ({low:.1}–{high:.1})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_of_a_share_is_that_of_wilson() {
        let share = |part, all| Share { part, all }.to_string();
        assert_eq!(share(0, 3000), "0.0 (0.0–0.1)");
        assert_eq!(share(5, 10), "50.0 (23.7–76.3)");
        assert_eq!(share(0, 0), "-");
    }
}
