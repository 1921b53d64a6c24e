//! Rise of what is read and not sampled, a part of the resident set, beside growth that is known to go on.
//!
//! Such readings go by steps and waves. A part rises if it came, within the last minutes, far higher than it was before: by
//! more than the deepest fall from its highest level of the time before, and for two evaluations in a row.

use super::MINUTE_NS;

/// Minutes within which the rise came.
const WITHIN_MIN: f64 = 3.0;
/// Growth below this is the allocator's breath.
const MIN_BYTES: f64 = 4.0 * 1_048_576.0;
/// Growth below this share of the resident set is not worth a word.
const MIN_SHARE: f64 = 0.01;
/// Evaluations in a row after which a rise is reported.
const ENTER: u32 = 2;
/// Evaluations in a row without, after which it no longer is.
const LEAVE: u32 = 4;
/// Minutes whose levels a rise exceeds: some waves.
const BEYOND_MIN: f64 = 12.0;

/// Rise of one series, remembered from evaluation to evaluation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rise {
    seen: u32,
    missed: u32,
    holds: bool,
}

impl Rise {
    /// Judges a series of (nanoseconds, bytes), oldest first, beside a resident set of `rss_bytes`.
    pub(super) fn evaluate(&mut self, series: &[(u64, u64)], rss_bytes: u64) {
        if rises(series, rss_bytes as f64) {
            self.seen = self.seen.saturating_add(1);
            self.missed = 0;
        } else {
            self.seen = 0;
            self.missed = self.missed.saturating_add(1);
        }
        self.holds = if self.holds {
            self.missed < LEAVE
        } else {
            self.seen >= ENTER
        };
    }

    /// True while it rises; it need not go on.
    pub(super) fn rises(&self) -> bool {
        self.holds
    }
}

fn rises(series: &[(u64, u64)], rss_bytes: f64) -> bool {
    let Some(&(last, bytes)) = series.last() else {
        return false;
    };
    let begin = last as f64 - WITHIN_MIN * MINUTE_NS;
    let oldest = last as f64 - BEYOND_MIN * MINUTE_NS;
    let recent = series.partition_point(|&(ns, _)| (ns as f64) < oldest);
    let threshold = MIN_BYTES.max(MIN_SHARE * rss_bytes);
    value_at(series, begin).is_some_and(|then| bytes as f64 - then >= threshold)
        && is_record(&series[recent..], begin + WITHIN_MIN * MINUTE_NS / 3.0)
}

/// The value at a time, between two readings in proportion.
fn value_at(series: &[(u64, u64)], at_ns: f64) -> Option<f64> {
    let after = series.partition_point(|&(ns, _)| (ns as f64) < at_ns);
    let Some(&(to_ns, to)) = series.get(after) else {
        return series.last().map(|&(_, bytes)| bytes as f64);
    };
    let Some(&(from_ns, from)) = after.checked_sub(1).and_then(|i| series.get(i)) else {
        return Some(to as f64);
    };
    let span = (to_ns - from_ns).max(1) as f64;
    Some(from as f64 + (to as f64 - from as f64) * (at_ns - from_ns as f64) / span)
}

/// True if the last value exceeds all up to a time by more than any fall up to it.
fn is_record(series: &[(u64, u64)], until_ns: f64) -> bool {
    let (mut top, mut fall) = (0, 0);
    for &(_, bytes) in series.iter().take_while(|&&(ns, _)| ns as f64 <= until_ns) {
        top = top.max(bytes);
        fall = fall.max(top - bytes);
    }
    series
        .last()
        .is_some_and(|&(_, bytes)| bytes > top.saturating_add(fall))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: f64 = 1_048_576.0;
    const RSS: u64 = 200 << 20;

    /// Rise after so many minutes of readings each 5 s.
    fn after(minutes: u64, mib: impl Fn(f64) -> f64) -> bool {
        let mut rise = Rise::default();
        let mut series = Vec::new();
        for i in 0..minutes * 12 {
            let at_min = i as f64 / 12.0;
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a test's bytes"
            )]
            let bytes = (mib(at_min).max(0.0) * MIB) as u64;
            series.push((i * 5_000_000_000, bytes));
            if i % 3 == 2 {
                rise.evaluate(&series, RSS);
            }
        }
        rise.rises()
    }

    #[test]
    fn reports_a_rise_until_it_has_stopped() {
        assert!(after(5, |t| 8.0 * t + 12.0 * t.min(2.5)));
        let stopped = |minutes| after(minutes, |t| 8.0 * t.min(5.0));
        assert!(stopped(6), "not yet steady");
        assert!(!stopped(10), "for five minutes");
    }

    #[test]
    fn reports_a_rise_after_a_fall() {
        let mib = |t: f64| 100.0 - 80.0 * t.min(1.0) + 10.0 * t + 6.0 * (t * 1.3).sin();
        assert!(after(30, mib));
    }

    #[test]
    fn reports_neither_waves_nor_trifles() {
        let ever = |mib: &dyn Fn(f64) -> f64| (20..30).any(|minutes| after(minutes, mib));
        assert!(!ever(&|t| 100.0 - 20.0 * (t / 0.8).sin()), "a wave");
        assert!(!ever(&|t| 50.0 + 0.5 * t), "a trifle");
        assert!(!ever(&|_| 50.0), "nothing");
    }

    proptest! {
        #[test]
        fn judges_any_series(mut times in prop::collection::vec((any::<u64>(), any::<u64>()), 0..60)) {
            times.sort_unstable();
            Rise::default().evaluate(&times, 0);
        }
    }
}
