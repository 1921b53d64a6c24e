//! Growth of what is read and not sampled: a part of the resident set.
//!
//! Such readings have no sampling error, but they are autocorrelated and go by steps: least squares or Theil–Sen would
//! call every wave a slope. Increments of six blocks are nearly independent, and Student's t of them covers the truth.
//! Beside it the growth must last (each block grows, the last third at least three quarters as fast as the first), go
//! beyond the highest level before it by more than the deepest fall from that, be worth speaking of, and hold for two
//! looks in a row.

use super::MINUTE_NS;
use crate::model::findings::Interval;

/// Blocks of a window.
const N_BLOCKS: usize = 6;
/// Lengths of windows, minutes: at three minutes a block is half a minute, a few readings long.
const WINDOWS_MIN: [f64; 5] = [3.0, 6.0, 12.0, 24.0, 48.0];
/// Readings in each block below which a window says nothing.
const MIN_READINGS: usize = 2;
/// One-sided 0.05 % of Student's t with 5 degrees of freedom: windows and looks are many, and two looks must agree.
const T_GROWS: f64 = 6.869;
/// 90 % of the same lie within.
const T_90: f64 = 2.015;
/// The last third grows at least this fast, as a share of the first: less is a fill that comes to its end.
const MIN_LASTING: f64 = 0.75;
/// Growth over a window below this is the allocator's breath.
const MIN_BYTES: f64 = 4.0 * 1_048_576.0;
/// And below this share of the whole resident set nobody asks.
const MIN_SHARE: f64 = 0.01;
/// A word begins after so many looks in a row.
const ENTER: u32 = 2;
/// And ends after so many without.
const LEAVE: u32 = 4;
/// What rises does so within the shortest window, beyond all of so many minutes, which are some waves.
const RISES_BEYOND_MIN: f64 = 12.0;

/// What was seen at some looks in a row, and not yet missed at some.
#[derive(Clone, Copy, Debug, Default)]
struct Lasting {
    looks_for: u32,
    looks_against: u32,
    holds: bool,
}

impl Lasting {
    fn look(&mut self, is_seen: bool) {
        if is_seen {
            self.looks_for = self.looks_for.saturating_add(1);
            self.looks_against = 0;
        } else {
            self.looks_for = 0;
            self.looks_against = self.looks_against.saturating_add(1);
        }
        self.holds = if self.holds {
            self.looks_against < LEAVE
        } else {
            self.looks_for >= ENTER
        };
    }
}

/// Growth of one series, remembered from look to look.
#[derive(Clone, Debug, Default)]
pub(super) struct ExactGrowth {
    grows: Lasting,
    slope: Option<Interval>,
    rises: Lasting,
}

impl ExactGrowth {
    /// Judges a series of (nanoseconds, bytes), oldest first, beside a resident set of `rss_bytes`.
    pub(super) fn look(&mut self, series: &[(u64, u64)], rss_bytes: u64) {
        let slope = judge(series, rss_bytes as f64);
        self.grows.look(slope.is_some());
        self.slope = slope.or(self.slope);
        self.rises.look(rises(series, rss_bytes as f64));
    }

    /// Bytes a minute, while it grows.
    pub(super) fn bytes_per_min(&self) -> Option<Interval> {
        self.slope.filter(|_| self.grows.holds)
    }

    /// Whether it came far higher within the last minutes than it was before: that need not go on, but nobody can call it
    /// level.
    pub(super) fn rises(&self) -> bool {
        self.rises.holds
    }
}

/// What is worth speaking of beside so large a resident set.
fn least_bytes(rss_bytes: f64) -> f64 {
    MIN_BYTES.max(MIN_SHARE * rss_bytes)
}

/// See [`ExactGrowth::rises`].
fn rises(series: &[(u64, u64)], rss_bytes: f64) -> bool {
    let [minutes, ..] = WINDOWS_MIN;
    series.last().is_some_and(|&(last, bytes)| {
        let begin = last as f64 - minutes * MINUTE_NS;
        let oldest = last as f64 - RISES_BEYOND_MIN * MINUTE_NS;
        let recent = series.partition_point(|&(ns, _)| (ns as f64) < oldest);
        value_at(series, begin).is_some_and(|then| bytes as f64 - then >= least_bytes(rss_bytes))
            && is_record(&series[recent..], begin + minutes * MINUTE_NS / 3.0)
    })
}

/// The slope of the longest window that speaks; a longer one whose growth comes to an end silences those within.
fn judge(series: &[(u64, u64)], rss_bytes: f64) -> Option<Interval> {
    let (first, last) = (series.first()?.0, series.last()?.0);
    let known_min = last.saturating_sub(first) as f64 / MINUTE_NS;
    let mut slope = None;
    for minutes in WINDOWS_MIN.into_iter().filter(|&m| m <= known_min) {
        let Some(increments) = increments(series, last, minutes) else {
            continue;
        };
        if is_ending(&increments) {
            slope = None;
        } else if let Some(found) = grows(&increments, minutes, rss_bytes)
            && is_record(series, last as f64 - minutes * MINUTE_NS * 2.0 / 3.0)
        {
            slope = Some(found);
        }
    }
    slope
}

/// What each of six blocks up to `last` added. `None` where one has too few readings: between two the value is only
/// drawn as a line, and blocks on one line agree with each other whatever happened.
fn increments(series: &[(u64, u64)], last: u64, minutes: f64) -> Option<[f64; N_BLOCKS]> {
    let mut increments = [0.0; N_BLOCKS];
    let mut before = value_at(series, last as f64 - minutes * MINUTE_NS)?;
    for (i, increment) in increments.iter_mut().enumerate() {
        let back = (N_BLOCKS - 1 - i) as f64 * minutes * MINUTE_NS / N_BLOCKS as f64;
        let until = last as f64 - back;
        let from = until - minutes * MINUTE_NS / N_BLOCKS as f64;
        let until_index = |at_ns: f64| series.partition_point(|&(ns, _)| ns as f64 <= at_ns);
        if until_index(until).saturating_sub(until_index(from)) < MIN_READINGS {
            return None;
        }
        let now = value_at(series, until)?;
        *increment = now - before;
        before = now;
    }
    Some(increments)
}

/// The value at a moment, between readings in proportion.
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

/// Whether the last value lies above all up to a moment by more than any fall up to it.
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

fn thirds(increments: &[f64; N_BLOCKS]) -> (f64, f64) {
    (increments[0] + increments[1], increments[4] + increments[5])
}

/// Whether most of it came early.
fn is_ending(increments: &[f64; N_BLOCKS]) -> bool {
    let (first, last) = thirds(increments);
    first > MIN_BYTES && last < MIN_LASTING * first
}

fn grows(increments: &[f64; N_BLOCKS], minutes: f64, rss_bytes: f64) -> Option<Interval> {
    let (first, last) = thirds(increments);
    let sum: f64 = increments.iter().sum();
    let n = N_BLOCKS as f64;
    let mean = sum / n;
    let squares: f64 = increments.iter().map(|x| (x - mean).powi(2)).sum();
    let error = (squares / (n - 1.0) / n).sqrt();
    let speaks = increments.iter().all(|&x| x > 0.0)
        && last >= MIN_LASTING * first
        && mean >= T_GROWS * error
        && sum >= least_bytes(rss_bytes);
    let per_min = |bytes: f64| bytes * n / minutes;
    speaks.then(|| Interval {
        value: per_min(mean),
        low: per_min(mean - T_90 * error),
        high: per_min(mean + T_90 * error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: f64 = 1_048_576.0;
    const RSS: u64 = 200 << 20;

    /// Readings each 5 s, and whether it grew at any look.
    fn ever(minutes: u64, mib: impl Fn(f64) -> f64) -> (bool, ExactGrowth) {
        let mut growth = ExactGrowth::default();
        let mut ever = false;
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
                growth.look(&series, RSS);
                ever |= growth.bytes_per_min().is_some();
            }
        }
        (ever, growth)
    }

    #[test]
    fn a_line_grows_at_its_slope() {
        let (ever, growth) = ever(5, |t| 50.0 + 7.5 * t);
        assert!(ever);
        let slope = growth.bytes_per_min().unwrap();
        assert!((slope.value / MIB - 7.5).abs() < 0.2, "{slope:?}");
    }

    #[test]
    fn readings_far_apart_say_nothing_of_short_windows() {
        let ever = |minutes: u64| {
            let mut growth = ExactGrowth::default();
            let mut series = Vec::new();
            (0..=minutes).any(|minute| {
                series.push((minute * 60_000_000_000, (50 + 10 * minute) << 20));
                growth.look(&series, RSS);
                growth.bytes_per_min().is_some()
            })
        };
        assert!(!ever(11), "windows of 3 and 6 min have a reading a block");
        assert!(ever(14), "that of 12 min has two");
    }

    #[test]
    fn a_line_in_blocks_of_a_mebibyte_grows_too() {
        let (ever, _) = ever(8, |t| 50.0 + (7.5 * t).floor());
        assert!(ever);
    }

    #[test]
    fn steps_waves_and_fills_do_not() {
        assert!(
            !ever(30, |t| if t < 5.0 { 50.0 } else { 300.0 }).0,
            "a step"
        );
        assert!(!ever(60, |t| 100.0 - 20.0 * (t / 0.8).sin()).0, "a wave");
        assert!(
            !ever(60, |t| 100.0 + 20.0 * (t / 4.0).cos()).0,
            "a long wave"
        );
        assert!(!ever(30, |t| 100.0 * (1.0 - (-t / 2.0).exp())).0, "a fill");
        assert!(
            !ever(30, |t| 20.0 + 10.0 * (t / 5.0).floor()).0,
            "steps far apart"
        );
        assert!(!ever(30, |_| 50.0).0, "nothing");
        assert!(!ever(30, |t| 50.0 + 0.05 * t).0, "a trifle");
    }

    /// Half of what it grew came in the first third: too uneven for a slope, and not level either.
    #[test]
    fn what_slows_down_rises_until_it_is_level() {
        let (ever, growth) = ever(5, |t| 8.0 * t + 12.0 * t.min(2.5));
        assert!(!ever && growth.rises());
        let stood = |minutes| self::ever(minutes, |t| 8.0 * t.min(5.0)).1.rises();
        assert!(stood(6), "not yet level");
        assert!(!stood(10), "for five minutes");
    }

    #[test]
    fn what_fell_at_first_rises_later() {
        let (_, growth) = ever(30, |t| {
            let fallen = 100.0 - 80.0 * t.min(1.0);
            fallen + 10.0 * t + 6.0 * (t * 1.3).sin()
        });
        assert!(growth.rises());
    }

    #[test]
    fn waves_and_trifles_do_not_rise() {
        let rises = |mib: &dyn Fn(f64) -> f64| (20..30).any(|minutes| ever(minutes, mib).1.rises());
        assert!(!rises(&|t| 100.0 - 20.0 * (t / 0.8).sin()), "a wave");
        assert!(!rises(&|t| 50.0 + 0.5 * t), "a trifle");
        assert!(!rises(&|_| 50.0), "nothing");
    }

    #[test]
    fn it_ends_soon_after_growth_does() {
        let (ever, growth) = ever(16, |t| 50.0 + 10.0 * t.min(10.0));
        assert!(ever && growth.bytes_per_min().is_none());
    }

    proptest! {
        #[test]
        fn any_series_is_judged(mut times in prop::collection::vec((any::<u64>(), any::<u64>()), 0..60)) {
            times.sort_unstable();
            let mut growth = ExactGrowth::default();
            growth.look(&times, 0);
        }
    }
}
