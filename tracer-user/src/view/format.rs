//! Figures as text, by the rules of the screen: fixed widths, the same unit words everywhere, never an empty number.
//!
//! Bytes are 6 cells at most, changes and rates per minute 8, counts 7, errors 3. What is not finite is `?`. All of
//! these are monotonic: a larger figure never reads as a smaller one.

const KI: f64 = 1024.0;
const MI: f64 = 1024.0 * KI;

/// Below this many standard errors a figure cannot be told from zero (95 %).
pub const SIGNIFICANT_ERRORS: f64 = 2.0;

/// Widest text of [`bytes`].
pub const BYTES_WIDTH: usize = 6;
/// Widest text of [`change`] and [`per_minute`].
pub const CHANGE_WIDTH: usize = 8;
/// Widest text of [`count`], and of [`signed_count`].
pub const COUNT_WIDTH: usize = 7;
/// Widest text of [`error`].
pub const ERROR_WIDTH: usize = 3;

/// Three digits with the point where it belongs: `decimals` places below 10, one less below 100, none from there on.
/// Below 10, `decimals` may be 1 (bytes in Ki and Mi) or 2 (Gi and up, rates).
fn three(value: f64, decimals: usize) -> String {
    // The limits are those of the rounded text: 9.996 must not become `10.00`.
    if decimals >= 2 && value < 9.995 {
        format!("{value:.2}")
    } else if value < 99.95 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

/// Bytes in 6 cells: `0`, `85B`, `24.5Ki`, `0.9Mi`, `22.4Mi`, `721Mi`, `1.90Gi`.
///
/// Ki only where the value is below 0.1 Mi, as one sample is 0.5 MiB. Negative values count as 0.
pub fn bytes(value: f64) -> String {
    if !value.is_finite() {
        return "?".to_owned();
    }
    if value < 0.5 {
        return "0".to_owned();
    }
    if value < 999.5 {
        return format!("{value:.0}B");
    }
    if value < 0.1 * MI {
        return format!("{}Ki", three(value / KI, 1));
    }
    let mega = value / MI;
    if mega < 999.5 {
        return format!("{}Mi", three(mega, 1));
    }
    let mut scaled = mega / KI;
    for unit in ["Gi", "Ti", "Pi"] {
        if scaled < 999.5 {
            return format!("{}{unit}", three(scaled, 2));
        }
        scaled /= KI;
    }
    if scaled < 999.5 {
        format!("{}Ei", three(scaled, 2))
    } else {
        ">999Ei".to_owned()
    }
}

/// Bytes in Mi of up to four digits in 6 cells, so that small steps of large figures show: `1950Mi`, `22.4Mi`.
pub fn mega(value: f64) -> String {
    if (99.95 * MI..9_999.5 * MI).contains(&value) {
        format!("{:.0}Mi", value / MI)
    } else {
        bytes(value)
    }
}

/// A change of bytes with its sign in 8 cells: `+20.6Mi`, `-1.90Gi`, `0`.
pub fn change(value: f64) -> String {
    let text = bytes(value.abs());
    match text.as_str() {
        "0" | "?" => text,
        _ => format!("{}{text}", sign(value)),
    }
}

/// Bytes per minute in 8 cells, always Mi: `+1.46Mi`, `+12.6Mi`, `-1234Mi`. Ki only where Mi would read as nothing,
/// Gi only where Mi does not fit.
pub fn per_minute(value: f64) -> String {
    if !value.is_finite() {
        return "?".to_owned();
    }
    let mega = value.abs() / MI;
    if !(0.005..9_999.5).contains(&mega) {
        return change(value);
    }
    format!("{}{}Mi", sign(value), three(mega, 2))
}

fn sign(value: f64) -> char {
    if value < 0.0 { '-' } else { '+' }
}

/// A count: `310`, `18.4k`, `9.01M`. Negative values count as 0.
pub fn count(value: f64) -> String {
    if !value.is_finite() {
        return "?".to_owned();
    }
    if value < 999.5 {
        return format!("{:.0}", value.max(0.0));
    }
    let kilo = value / 1e3;
    if kilo < 999.5 {
        return format!("{}k", three(kilo, 1));
    }
    let mut scaled = kilo / 1e3;
    for unit in ['M', 'G', 'T', 'P'] {
        if scaled < 999.5 {
            return format!("{}{unit}", three(scaled, 2));
        }
        scaled /= 1e3;
    }
    ">999P".to_owned()
}

/// A counted number, as [`count`].
pub fn counted(value: u64) -> String {
    count(value as f64)
}

/// A counted number in a sentence: all its digits up to 99999, as there is room for them.
pub fn exact_count(value: u64) -> String {
    if value < 100_000 {
        value.to_string()
    } else {
        counted(value)
    }
}

/// A counted number with its thousands apart: `202,700`.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of something: `1 sample`, `2 samples`.
pub fn many(count: &str, one: &str) -> String {
    let s = if count == "1" { "" } else { "s" };
    format!("{count} {one}{s}")
}

/// A change of a count with its sign: `+18.4k`, `-3`, `0`.
pub fn signed_count(value: f64) -> String {
    let text = count(value.abs());
    match text.as_str() {
        "0" | "?" => text,
        _ => format!("{}{text}", sign(value)),
    }
}

/// One standard error as a share of its value in 3 cells: `3%`, `<1%`, `>99` (a single sample tells no more), `-`
/// where the value is nothing.
pub fn error(value: f64, standard_error: f64, samples: u64) -> String {
    if !value.is_finite() || !standard_error.is_finite() {
        return "?".to_owned();
    }
    if value <= 0.0 {
        return "-".to_owned();
    }
    let share = standard_error / value * 100.0;
    if share <= 0.0 {
        // A sampler at rate 1 has no error: every object is a sample.
        "0%".to_owned()
    } else if samples <= 1 || share >= 99.5 {
        ">99".to_owned()
    } else if share < 0.5 {
        "<1%".to_owned()
    } else {
        format!("{share:.0}%")
    }
}

/// Whether a figure stands far enough from zero to be told from it.
pub fn is_significant(value: f64, standard_error: f64) -> bool {
    value != 0.0 && value.abs() >= SIGNIFICANT_ERRORS * standard_error
}

/// A time in whole seconds: `41s`, `14m05s`, `8h24m`, `16d2h`.
pub fn duration(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    if seconds < 60 {
        format!("{seconds}s")
    } else if seconds < 3_600 {
        format!("{}m{:02}s", seconds / 60, seconds % 60)
    } else {
        long_duration(seconds)
    }
}

/// A time for which seconds say nothing: `41s`, `14m`, `8h24m`, `16d2h`.
pub fn coarse_duration(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    if seconds < 60 {
        format!("{seconds}s")
    } else if seconds < 3_600 {
        format!("{}m", seconds / 60)
    } else {
        long_duration(seconds)
    }
}

fn long_duration(seconds: u64) -> String {
    let (hours, days) = (seconds / 3_600, seconds / 86_400);
    if hours < 24 {
        format!("{hours}h{:02}m", seconds / 60 % 60)
    } else if days < 1_000 {
        format!("{days}d{}h", hours % 24)
    } else {
        format!("{days}d")
    }
}

/// The time of day, `03:12:45`, of a Unix time in nanoseconds, `utc_offset_s` seconds east of UTC.
pub fn time_of_day(unix_ns: i64, utc_offset_s: i32) -> String {
    let seconds = unix_ns.div_euclid(1_000_000_000) + i64::from(utc_offset_s);
    let of_day = seconds.rem_euclid(86_400);
    format!(
        "{:02}:{:02}:{:02}",
        of_day / 3_600,
        of_day / 60 % 60,
        of_day % 60
    )
}

/// A share of one CPU with two digits that count: `0.005`, `0.04`, `0.52`, `1.3`, `77`.
pub fn cpu_percent(fraction: f64) -> String {
    let percent = fraction * 100.0;
    if !percent.is_finite() {
        "?".to_owned()
    } else if percent < 0.0005 {
        "0".to_owned()
    } else if percent < 0.0095 {
        format!("{percent:.3}")
    } else if percent < 0.995 {
        format!("{percent:.2}")
    } else if percent < 9.95 {
        format!("{percent:.1}")
    } else {
        format!("{percent:.0}")
    }
}

/// A share in percent without its sign: `77`, below one with a digit behind the point, and `100` only where it is whole.
pub fn percent(fraction: f64) -> String {
    let percent = fraction * 100.0;
    if !percent.is_finite() {
        "?".to_owned()
    } else if (99.5..100.0).contains(&percent) {
        "99".to_owned()
    } else if percent > 0.0 && percent < 0.95 {
        format!("{percent:.1}")
    } else {
        format!("{percent:.0}")
    }
}

/// A sampling rate, which is a round number of bytes: `512Ki`, `4Ki`, `1B`.
pub fn rate(bytes: u64) -> String {
    for (unit, size) in [("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)] {
        if bytes >= size && bytes.is_multiple_of(size) {
            return format!("{}{unit}", bytes / size);
        }
    }
    format!("{bytes}B")
}

/// A sampling rate in a sentence: `512 KiB`, `1 B`.
pub fn sentence_rate(bytes: u64) -> String {
    let text = rate(bytes);
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text[digits.len()..].trim_end_matches('B');
    format!("{digits} {unit}B")
}

/// Bytes per minute in a sentence: `+1.46 MiB/min`.
pub fn sentence_per_minute(value: f64) -> String {
    let text = per_minute(value);
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text[digits.len()..].trim_end_matches('B');
    if digits.is_empty() || digits == "0" {
        text
    } else {
        format!("{digits} {unit}B/min")
    }
}

/// Bytes in a sentence, with the unit spelled out: `52.8 MiB`, `1.90 GiB`, `85 B`.
pub fn sentence_bytes(value: f64) -> String {
    let text = bytes(value);
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    match &text[digits.len()..] {
        "" if text == "0" => "0 B".to_owned(),
        "" => text,
        "B" => format!("{digits} B"),
        unit => format!("{digits} {unit}B"),
    }
}

/// A change of bytes in a sentence: `+52.8 MiB`.
pub fn sentence_change(value: f64) -> String {
    let text = sentence_bytes(value.abs());
    if text == "0 B" || text == "?" {
        text
    } else {
        format!("{}{text}", sign(value))
    }
}

/// Whole percentages of `parts` that sum to 100, by the largest remainder. All 0 if there is nothing to share.
pub fn shares(parts: &[f64]) -> Vec<u32> {
    let clean: Vec<f64> = parts
        .iter()
        .map(|&part| if part.is_finite() { part.max(0.0) } else { 0.0 })
        .collect();
    let sum: f64 = clean.iter().sum();
    if !(sum.is_finite() && sum > 0.0) {
        return vec![0; parts.len()];
    }
    let exact: Vec<f64> = clean.iter().map(|part| part / sum * 100.0).collect();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "each is within 0..=100"
    )]
    let mut whole: Vec<u32> = exact.iter().map(|share| share.floor() as u32).collect();
    let mut by_remainder: Vec<usize> = (0..exact.len()).collect();
    by_remainder.sort_by(|&a, &b| exact[b].fract().total_cmp(&exact[a].fract()));
    let missing = 100u32.saturating_sub(whole.iter().sum());
    for &index in by_remainder.iter().take(missing as usize) {
        whole[index] += 1;
    }
    whole
}

/// Steps of a sparkline, each `0..=7`, scaled to the row's own range; flat while the range stays within three
/// standard errors, because noise scaled up looks like growth. A change from the first value to the last that stands
/// beside it as significant is never flat.
///
/// `standard_error` is that of this change; `values` are oldest first and are spread over `width` steps. Empty if there are fewer than two.
pub fn sparkline(values: &[f64], standard_error: f64, width: usize) -> Vec<u8> {
    if values.len() < 2 || width == 0 || values.iter().any(|value| !value.is_finite()) {
        return Vec::new();
    }
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let range = high - low;
    let change = values[values.len() - 1] - values[0];
    let flat =
        range <= 0.0 || (range <= 3.0 * standard_error && !is_significant(change, standard_error));
    (0..width)
        .map(|step| {
            // The first and the last value are always among those shown.
            let index = if width == 1 {
                values.len() - 1
            } else {
                (step * (values.len() - 1) + (width - 1) / 2) / (width - 1)
            };
            if flat {
                return 0;
            }
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of a range times 7"
            )]
            let level = ((values[index] - low) / range * 7.0).round() as u8;
            level.min(7)
        })
        .collect()
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
