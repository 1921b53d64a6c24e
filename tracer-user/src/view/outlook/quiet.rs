//! Verdicts on a process that does not grow.

use super::{LIMIT_CELLS, Outlook, fitting, percent, room, text_column};
use crate::model::anatomy::Part;
use crate::model::findings::Word;
use crate::view::format;
use crate::view::names::width;
use crate::view::screen::Role;
use crate::view::ui_state::UiState;
use crate::view::words::kind_words;

/// Changes of the live heap up to this share of it, or [`FLAT_BYTES`], read as flat.
const FLAT_SHARE: f64 = 0.01;
/// See [`FLAT_SHARE`]: spans and pages move by as much.
const FLAT_BYTES: f64 = 512.0 * 1024.0;

/// True if the live heap is where it was at the baseline.
fn is_flat(growth: f64, live_bytes: Option<u64>) -> bool {
    let live = live_bytes.unwrap_or(0) as f64;
    growth.abs() <= FLAT_BYTES.max(FLAT_SHARE * live)
}

/// Steady, warming, churn, idle.
pub(super) fn no_leak(ui: &UiState, word: Word, columns: usize) -> Outlook {
    let reading = &ui.reading;
    let badge = word.word().to_uppercase();
    let room = room(columns, &badge, LIMIT_CELLS);
    let span = format::duration(reading.since_baseline_ns());
    let growth = reading.live_growth();
    let change = growth.map(|growth| format!("{} in {span}", format::sentence_change(growth)));
    let is_flat = growth.is_none_or(|growth| is_flat(growth, reading.heap.live_bytes));
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
        (Some(kind), _, change) => (
            match change.filter(|_| !is_flat) {
                Some(change) => format!("live heap {change}; rising: {}", kind_words(kind)),
                None => format!("live heap flat; rising: {}", kind_words(kind)),
            },
            "whether that goes on is not known yet".to_owned(),
        ),
        (_, Word::Warming, Some(change)) => (
            format!("live heap {change}"),
            "it grows more slowly than before".to_owned(),
        ),
        (_, Word::Warming, None) => (
            "live heap rises".to_owned(),
            "it grows more slowly than before".to_owned(),
        ),
        (_, Word::Idle, _) => (
            "nothing was born and nothing died for 8 min".to_owned(),
            String::new(),
        ),
        (_, Word::Churn, _) => (
            "much is allocated, nothing is kept".to_owned(),
            bound.clone().unwrap_or_default(),
        ),
        // The slope is steady, but the heap is not where it was.
        (_, _, Some(change)) if !is_flat => (
            format!("live heap {change}"),
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
    let head = [" (", " in "].map(|gap| text.split(gap).next().unwrap_or_default());
    let head = head.into_iter().min_by_key(|head| width(head));
    let head = head.unwrap_or_default().to_owned();
    let shorter = match rising.map(kind_words) {
        // In a narrow frame the kind that rises matters more than the heap.
        Some(kind) => {
            let state = head.split(';').next().unwrap_or_default();
            let rising = format!("rising: {kind}");
            vec![format!("{state}; {rising}"), rising]
        }
        None => vec![head],
    };
    let text = fitting(std::iter::once(text).chain(shorter), room);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heap_that_grew_by_megabytes_is_not_flat() {
        const MIB: f64 = 1_048_576.0;
        let live = Some(140 << 20);
        assert!(is_flat(0.3 * MIB, live) && is_flat(-1.3 * MIB, live));
        assert!(!is_flat(9.7 * MIB, live) && !is_flat(-9.7 * MIB, live));
        assert!(!is_flat(9.7 * MIB, None));
    }
}
