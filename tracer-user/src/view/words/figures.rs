//! Figures as they stand in sentences: units spelled out, and no estimate without its interval.

use super::super::format::{self, sentence_bytes};
use crate::model::findings::{Driver, Interval, Kind, PerCall};

const KI: f64 = 1024.0;
const MI: f64 = 1024.0 * KI;
const GI: f64 = 1024.0 * MI;
/// Seconds of 7 days: a limit further away is not near.
pub(super) const FAR_S: f64 = 7.0 * 86_400.0;

/// Three digits that count.
fn value(value: f64) -> String {
    match value.abs() {
        v if v < 9.995 => format!("{value:.2}"),
        v if v < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// A bound, or a bound of an interval around `value`: two digits of the value are enough.
fn bound(bound: f64, value: f64) -> String {
    let text = match value.abs() {
        v if v < 0.095 => format!("{bound:.3}"),
        v if v < 0.95 => format!("{bound:.2}"),
        v if v < 9.95 => format!("{bound:.1}"),
        _ => format!("{bound:.0}"),
    };
    // A bound above 0 does not read as 0.
    let reads_as_zero = text.parse().is_ok_and(|read: f64| read == 0.0);
    if reads_as_zero && bound.abs() >= 0.001 && value.abs() >= 0.095 {
        return format!("{bound:.3}");
    }
    text
}

/// `90 %: 3.6 to 3.9`, in units of `unit`.
fn bounds(interval: &Interval, unit: f64) -> String {
    let of = |end: f64| bound(end / unit, interval.value / unit);
    if interval.high.is_infinite() {
        return format!("90 %: {} or more", of(interval.low));
    }
    format!("90 %: {} to {}", of(interval.low), of(interval.high))
}

/// Unit of bytes that shows a figure of this size with digits that count, and its name.
fn unit(bytes: f64) -> (f64, &'static str) {
    match bytes.abs() {
        b if b < KI => (1.0, "B"),
        b if b < 0.1 * MI => (KI, "KiB"),
        b if b < 999.5 * MI => (MI, "MiB"),
        _ => (GI, "GiB"),
    }
}

/// Growth in bytes a minute: `+3.75 MiB/min (90 %: 3.6 to 3.9)`.
pub(super) fn bytes_per_min(rate: &Interval) -> String {
    let (unit, name) = unit(rate.value);
    format!(
        "{} ({})",
        signed(rate.value, unit, name),
        bounds(rate, unit)
    )
}

/// Growth in bytes a minute without its interval, for a part whose sum stands with one.
pub(super) fn plain_bytes_per_min(bytes: f64) -> String {
    let (unit, name) = unit(bytes);
    signed(bytes, unit, name)
}

fn signed(bytes: f64, unit: f64, name: &str) -> String {
    let sign = if bytes < 0.0 { '-' } else { '+' };
    format!("{sign}{} {name}/min", value(bytes.abs() / unit))
}

/// Growth in things a minute: `+3600 objects/min (90 %: 3500 to 3700)`.
pub(super) fn count_per_min(rate: &Interval, things: &str) -> String {
    let n = |value: f64| {
        if value.abs() < 9.95 {
            format!("{value:.1}")
        } else if value.abs() < 99_999.5 {
            format!("{value:.0}")
        } else {
            format::count(value)
        }
    };
    let sign = if rate.value < 0.0 { "" } else { "+" };
    let high = if rate.high.is_infinite() {
        "or more".to_owned()
    } else {
        format!("to {}", n(rate.high))
    };
    format!(
        "{sign}{} {things}/min (90 %: {} {high})",
        n(rate.value),
        n(rate.low)
    )
}

/// An upper bound of growth: `< 0.9 MiB/min`.
pub(super) fn below(bytes_per_min: f64) -> String {
    let (unit, name) = unit(bytes_per_min);
    let value = bytes_per_min / unit;
    format!("< {} {name}/min", bound(value, value))
}

/// What is counted beside bytes: one, many, and what its bytes are more closely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::view) struct Things(&'static str, &'static str, &'static str);

impl Things {
    const OBJECTS: Self = Self("object", "objects", "");
    /// What they hold beside their stacks is not known here.
    const GOROUTINES: Self = Self("goroutine", "goroutines", " of stacks");

    /// What a leak of a kind is counted in.
    pub(in crate::view) fn of(kind: Kind) -> Self {
        if kind == Kind::Goroutines {
            Self::GOROUTINES
        } else {
            Self::OBJECTS
        }
    }
}

/// `1.0 object, 312 B` and `90 %: 0.9 to 1.1 objects, 280 to 340 B`.
pub(in crate::view) fn per_call(call: &PerCall, things: Things) -> (String, String) {
    let PerCall { objects, bytes, .. } = call;
    let Things(one, many, of) = things;
    let (unit, name) = unit(bytes.value);
    // Bytes have no parts.
    let digits = |end: f64| match name {
        "B" => format!("{end:.0}"),
        _ => bound(end / unit, bytes.value / unit),
    };
    let count = |end: f64| bound(end, objects.value);
    let things = if count(objects.value) == "1.0" {
        one
    } else {
        many
    };
    (
        format!(
            "{} {things}, {} {name}{of}",
            count(objects.value),
            digits(bytes.value)
        ),
        format!(
            "90 %: {} to {} {many}, {} to {} {name}",
            count(objects.low),
            count(objects.high),
            digits(bytes.low),
            digits(bytes.high)
        ),
    )
}

/// `+0.22 MiB` and `90 %: 0.20 to 0.24`; of goroutines `one goroutine` and `90 %: 0.95 to 1.05`, or `3 goroutines`.
pub(in crate::view) fn each(driver: &Driver) -> Option<(String, String)> {
    if let Some(goroutines) = &driver.goroutines {
        let whole = goroutines.value.round().max(1.0);
        let amount = if whole < goroutines.low || whole > goroutines.high {
            format!("{:.2} goroutines", goroutines.value)
        } else if whole > 1.0 {
            format!("{whole:.0} goroutines")
        } else {
            "one goroutine".to_owned()
        };
        return Some((amount, bounds_of_count(goroutines)));
    }
    let bytes = driver.bytes.as_ref()?;
    let (unit, name) = unit(bytes.value);
    Some((
        format!("+{} {name}", value(bytes.value / unit)),
        bounds(bytes, unit),
    ))
}

/// Bounds of a small count.
fn bounds_of_count(count: &Interval) -> String {
    format!("90 %: {:.2} to {:.2}", count.low, count.high)
}

/// A size that is set by people, without digits that say nothing: `8 GiB`, `512 MiB`.
pub(super) fn round_bytes(bytes: u64) -> String {
    let text = sentence_bytes(bytes as f64);
    match text.split_once(' ') {
        Some((digits, unit)) if digits.contains('.') => {
            let digits = digits.trim_end_matches('0').trim_end_matches('.');
            format!("{digits} {unit}")
        }
        _ => text,
    }
}

/// Seconds as `41s`, `14m05s`, `8h58m`.
pub(super) fn seconds(seconds: f64) -> String {
    format::duration(ns(seconds))
}

/// Seconds that are only about right: `40s`, `2m20s`, `8m`, `1h20m`.
pub(super) fn about(seconds: f64) -> String {
    /// From here on minutes are precise enough.
    const LONG_S: f64 = 300.0;
    if seconds <= LONG_S {
        brief((seconds / 10.0).ceil().max(1.0) * 10.0)
    } else {
        format::coarse_duration(ns((seconds / 60.0).ceil() * 60.0))
    }
}

/// Seconds that are rounded already, without zeros: `40s`, `2m`, `2m30s`.
pub(in crate::view) fn brief(seconds: f64) -> String {
    let text = format::duration(ns(seconds));
    text.strip_suffix("00s").map_or(text.clone(), str::to_owned)
}

/// Minutes of a window: `14 min`, `2.5 min`.
pub(super) fn minutes(minutes: f64) -> String {
    if minutes < 9.95 && minutes.fract() > 0.05 && minutes.fract() < 0.95 {
        format!("{minutes:.1} min")
    } else {
        format!("{minutes:.0} min")
    }
}

/// A time with its interval: `8h58m (8h37m to 9h20m)`; from a week on `more than 7 days`.
pub(super) fn time(time: &Interval) -> String {
    if time.value >= FAR_S || !time.value.is_finite() {
        return format!("more than 7 days ({} at the soonest)", seconds(time.low));
    }
    let high = if time.high.is_finite() && time.high < FAR_S {
        format!("to {}", seconds(time.high))
    } else {
        "or later".to_owned()
    };
    format!("{} ({} {high})", seconds(time.value), seconds(time.low))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bounded just before"
)]
fn ns(seconds: f64) -> u64 {
    /// A century: whatever is longer reads the same.
    const LONGEST_S: f64 = 3.2e9;
    if seconds.is_nan() {
        return 0;
    }
    (seconds.clamp(0.0, LONGEST_S) * 1e9) as u64
}

/// A share: `97 %`.
pub(super) fn share(share: f64) -> String {
    format!("{} %", format::percent(share))
}

/// A share with its interval: `53 % (90 %: 38 to 66)`.
pub(super) fn share_interval(of: &Interval) -> String {
    let ends = (format::percent(of.low), format::percent(of.high));
    format!("{} (90 %: {} to {})", share(of.value), ends.0, ends.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(low: f64, value: f64, high: f64) -> Interval {
        Interval { value, low, high }
    }

    #[test]
    fn both_ends_of_an_interval_are_in_the_unit_of_its_value() {
        let rate = interval(3.6 * MI, 3.75 * MI, 3.9 * MI);
        assert_eq!(bytes_per_min(&rate), "+3.75 MiB/min (90 %: 3.6 to 3.9)");
        let slow = interval(-2.0 * KI, 12.0 * KI, 0.3 * MI);
        assert_eq!(bytes_per_min(&slow), "+12.0 KiB/min (90 %: -2 to 307)");
        let fast = interval(900.0 * MI, 1.2 * GI, f64::INFINITY);
        assert_eq!(bytes_per_min(&fast), "+1.20 GiB/min (90 %: 0.9 or more)");
    }

    #[test]
    fn an_interval_above_zero_does_not_read_as_if_it_held_zero() {
        let rate = interval(0.004 * MI, 3.2 * MI, 6.5 * MI);
        assert_eq!(bytes_per_min(&rate), "+3.20 MiB/min (90 %: 0.004 to 6.5)");
    }

    #[test]
    fn times_end_at_a_week() {
        assert_eq!(
            time(&interval(31_020.0, 32_280.0, 33_600.0)),
            "8h58m (8h37m to 9h20m)"
        );
        assert_eq!(
            time(&interval(60.0, 90.0, f64::INFINITY)),
            "1m30s (1m00s or later)"
        );
        assert!(time(&interval(5e5, 1e6, f64::INFINITY)).starts_with("more than 7 days"));
        assert_eq!(about(3.0), "10s");
        assert_eq!(about(131.0), "2m20s");
        assert_eq!(about(60.0), "1m");
        assert_eq!(about(301.0), "6m");
        assert_eq!(about(f64::INFINITY), "37037d");
    }

    #[test]
    fn what_people_set_reads_as_they_set_it() {
        for (bytes, text) in [
            (8 << 30, "8 GiB"),
            (512 << 20, "512 MiB"),
            (1_610_612_736, "1.5 GiB"),
            (85, "85 B"),
        ] {
            assert_eq!(round_bytes(bytes), text);
        }
    }
}
