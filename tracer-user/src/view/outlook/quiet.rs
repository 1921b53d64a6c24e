//! What is said of a process that does not grow, or of which nothing can be said yet.

use super::{LIMIT_CELLS, Outlook, fitting, percent, room, text_column};
use crate::model::anatomy::Part;
use crate::model::findings::{Missing, Word};
use crate::verdict::{ENOUGH_SAMPLES, LEAST_CYCLES};
use crate::view::format;
use crate::view::limit::seconds;
use crate::view::names::width;
use crate::view::screen::Role;
use crate::view::ui_state::UiState;
use crate::view::words::kind_words;

/// A quiet Go process collects every 2 minutes (`forcegcperiod`, `runtime/proc.go`, go1.18 to go1.27).
const QUIET_GC_S: f64 = 120.0;

/// Too early for a verdict: what is missing, and when it will be there.
pub(super) fn collecting(ui: &UiState, missing: Missing, columns: usize) -> Outlook {
    let reading = &ui.reading;
    let have_cycles = LEAST_CYCLES.saturating_sub(missing.cycles);
    let have_samples = u64::from(ENOUGH_SAMPLES).saturating_sub(missing.samples);
    let cycles = format!("{have_cycles} of {LEAST_CYCLES} GC cycles");
    let samples = format!("{have_samples} of about {ENOUGH_SAMPLES} samples");
    let since_last = reading
        .cycles
        .last()
        .map(|cycle| reading.until_ns().saturating_sub(cycle.at_ns));
    let next = reading
        .gc_interval_ns
        .zip(since_last)
        .map(|(interval, since)| interval.saturating_sub(since));
    let what = match (missing.cycles, missing.samples) {
        (0, 0) => "enough GC cycles and samples; a verdict takes about 3 min".to_owned(),
        (0, _) => samples,
        (_, 0) => cycles.clone(),
        _ => format!("{cycles}, {samples}"),
    };
    let next = match next {
        Some(ns) if ns >= 1_000_000_000 => {
            format!("next GC in about {}", format::duration(ns))
        }
        Some(_) => "next GC any moment".to_owned(),
        None => "a quiet process collects every 2 min".to_owned(),
    };
    let badge = "COLLECTING".to_owned();
    let space = columns.saturating_sub(text_column(&badge) + 1);
    let texts = ["too early to say what grows", "too early to say"];
    let right = match missing.answer_in_s {
        Some(s) if s < 1.0 => "answer any moment".to_owned(),
        Some(s) if s.is_finite() => format!("answer in about {}", seconds(s)),
        None if missing.cycles > 0 && reading.gc_interval_ns.is_none() => {
            format!(
                "answer in about {}",
                seconds(f64::from(missing.cycles) * QUIET_GC_S)
            )
        }
        _ => String::new(),
    };
    Outlook {
        text: fitting(
            texts.map(str::to_owned),
            space.saturating_sub(width(&right) + 1),
        ),
        below: fitting(
            [
                format!("{what}; {next}"),
                if missing.cycles > 0 {
                    format!("{cycles}; {next}")
                } else {
                    what.clone()
                },
                what,
            ],
            space,
        ),
        badge,
        role: Role::Cool,
        right,
        ..Outlook::default()
    }
}

/// Steady, warming, churn, idle.
pub(super) fn no_leak(ui: &UiState, word: Word, columns: usize) -> Outlook {
    let reading = &ui.reading;
    let badge = word.word().to_uppercase();
    let room = room(columns, &badge, LIMIT_CELLS);
    let span = format::duration(reading.since_baseline_ns());
    let change = reading
        .live_growth()
        .map(|growth| format!("{} in {span}", format::sentence_change(growth)));
    let bound = reading
        .findings
        .process
        .steady_below_bytes_per_min
        .map(|bytes| {
            let text = format::sentence_per_minute(bytes);
            format!("growth below {}", text.trim_start_matches('+'))
        });
    let rising = reading.findings.process.rising;
    let (text, below) = match (rising, word, change) {
        (Some(kind), ..) => (
            format!("live heap flat; rising: {}", kind_words(kind)),
            "whether that goes on is not known yet".to_owned(),
        ),
        (_, Word::Warming, Some(change)) => (
            format!("live heap {change}"),
            "each step is smaller than the one before".to_owned(),
        ),
        (_, Word::Warming, None) => (
            "live heap rises".to_owned(),
            "each step is smaller than the one before".to_owned(),
        ),
        (_, Word::Idle, _) => (
            "nothing was born and nothing died for 8 min".to_owned(),
            String::new(),
        ),
        (_, Word::Churn, _) => (
            "much is allocated, nothing is kept".to_owned(),
            bound.clone().unwrap_or_default(),
        ),
        (_, _, Some(change)) => (
            format!("live heap flat ({change})"),
            bound.clone().unwrap_or_default(),
        ),
        (_, _, None) => (
            "live heap flat".to_owned(),
            bound.clone().unwrap_or_default(),
        ),
    };
    // Where both fit in one line, the line below is free for the peak.
    let both = format!("{text}, {below}");
    let (text, mut below) = if !below.is_empty() && width(&both) <= room {
        (both, String::new())
    } else {
        (text, below)
    };
    let head = text.split(" (").next().unwrap_or_default().to_owned();
    let text = fitting([text, head], room);
    if let Some(peak) = peak(ui) {
        let space = columns.saturating_sub(text_column(&badge) + 1);
        let gap = if below.is_empty() { "" } else { "; " };
        let with = peak.into_iter().map(|peak| format!("{below}{gap}{peak}"));
        let before = below.clone();
        below = fitting(with.chain([before]), space);
    }
    Outlook {
        text,
        below,
        badge,
        role: if word == Word::Warming || rising.is_some() {
            Role::Warn
        } else {
            Role::Dim
        },
        ..Outlook::default()
    }
}

/// A peak that is over, longest wording first: when, how much, and what it was made of.
fn peak(ui: &UiState) -> Option<[String; 2]> {
    /// A peak below this share of what is resident now above it is none.
    const ABOVE: f64 = 1.2;
    let anatomy = ui.reading.anatomy.as_ref()?;
    let (now, peak) = (&anatomy.now, &anatomy.peak);
    if (peak.rss_bytes as f64) < ABOVE * now.rss_bytes as f64 {
        return None;
    }
    let at = format::time_of_day(
        ui.reading.target.unix_ns(peak.at_ns),
        ui.options.utc_offset_s,
    );
    let rss = format::sentence_bytes(peak.rss_bytes as f64);
    let mut parts: Vec<(Part, u64)> = Part::ALL
        .iter()
        .map(|part| (*part, peak.parts.get(*part)))
        .collect();
    parts.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let sum = peak.parts.sum().max(1) as f64;
    let most: Vec<String> = parts
        .iter()
        .take(2)
        .map(|(part, bytes)| format!("{} {}", percent(*bytes as f64 / sum), part_words(*part)))
        .collect();
    let brief = format!("peak {rss} at {at}");
    Some([format!("{brief}: {}", most.join(", ")), brief])
}

/// A part of the resident set, in words that are short.
fn part_words(part: Part) -> &'static str {
    match part {
        Part::Live => "live heap",
        Part::Garbage => "garbage",
        Part::Waste => "span waste",
        Part::Idle => "idle spans",
        Part::Stacks => "stacks",
        Part::Metadata => "metadata",
        Part::Globals => "globals",
        Part::Anon => "non-Go memory",
        Part::File => "files",
    }
}
