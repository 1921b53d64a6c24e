//! Facts that need no verdict: sizes with their change, and the call sites that grew most.

use super::super::format::{self, sentence_bytes, sentence_change};
use super::super::names::{clean, short_location};
use super::super::reading::Reading;
use super::figures::{bytes_per_min, share_interval};
use super::prose::{list, wrap};
use crate::model::findings::{HistorySays, Leak, SinceStart, Suspect};
use crate::model::gc::SECOND_NS;

/// Suspects listed in a text: what a person looks at.
const MAX_SUSPECTS: usize = 3;

/// Sizes and their change since the baseline: `In 1m20s: RSS 312 MiB (+12 MiB), live heap after GC 140 MiB (+5.1 MiB) and
/// 812 goroutines (+3).` `None` before anything was read.
pub(in crate::view) fn sizes(reading: &Reading) -> Option<String> {
    let parts = size_parts(reading);
    if parts.is_empty() {
        return None;
    }
    let sizes = list(&parts);
    Some(match reading.since_baseline_ns() {
        0 => format!("Now: {sizes}."),
        span_ns => format!("In {}: {sizes}.", format::duration(span_ns)),
    })
}

/// The same as separate parts, resident set first.
pub(in crate::view) fn size_parts(reading: &Reading) -> Vec<String> {
    let with = |change: Option<f64>| {
        change.map_or_else(String::new, |bytes| {
            format!(" ({})", sentence_change(bytes))
        })
    };
    let mut parts = Vec::new();
    if let Some(rss) = reading.heap.rss_bytes {
        let then = reading.anatomy.as_ref().and_then(|a| a.baseline.as_ref());
        let change = then.map(|then| rss as f64 - then.rss_bytes as f64);
        parts.push(format!(
            "RSS {}{}",
            sentence_bytes(rss as f64),
            with(change)
        ));
    }
    if let Some(live) = reading.heap.live_bytes {
        let change = with(reading.live_growth());
        parts.push(format!(
            "live heap after GC {}{change}",
            sentence_bytes(live as f64)
        ));
    }
    if let Some(goroutines) = &reading.goroutines {
        let change = (goroutines.growth).map_or_else(String::new, |n| format!(" ({n:+})"));
        let count = format::grouped(goroutines.count);
        let s = if goroutines.count == 1 { "" } else { "s" };
        parts.push(format!("{count} goroutine{s}{change}"));
    }
    parts
}

/// A suspect in one line: `+3.2 MiB, 53 % (90 %: 38 to 66) of the growth, in f called by g; 41 samples, none of 41 freed`.
pub(in crate::view) fn suspect_line(suspect: &Suspect) -> String {
    let via = (suspect.via.as_ref())
        .filter(|via| via.function != suspect.frame.function)
        .map_or_else(String::new, |via| {
            format!(" called by {}", clean(&via.function))
        });
    format!(
        "{} in {}{via}; {}",
        amount(suspect),
        clean(&suspect.frame.function),
        samples(suspect)
    )
}

/// Block of the likeliest call sites that are in no leak, indented below a heading; empty where there is none.
pub(super) fn suspects(reading: &Reading, room: usize) -> Vec<String> {
    let findings = &reading.findings;
    let is_known = |suspect: &&Suspect| {
        let sites = findings.leaks.iter().flat_map(Leak::all_sites);
        sites.into_iter().any(|site| site.row == Some(suspect.row))
    };
    let suspects = findings
        .suspects
        .iter()
        .filter(|suspect| !is_known(suspect));
    let mut lines = Vec::new();
    for suspect in suspects.take(MAX_SUSPECTS) {
        let line = format!("{}; {}", amount(suspect), samples(suspect));
        lines.extend(wrap("  ", "    ", &line, room));
        let place = |function: &str, file: &str, line| {
            format!("{} {}", clean(function), short_location(file, line))
        };
        let frame = &suspect.frame;
        let at = place(&frame.function, &frame.file, frame.line);
        lines.extend(wrap("    ", "    ", at.trim_end(), room));
        if let Some(since) = &suspect.since_start {
            lines.extend(wrap("    ", "    ", &since_start(since), room));
        }
        if let Some(via) = (suspect.via.as_ref()).filter(|via| via.function != frame.function) {
            let at = place(&via.function, &via.file, via.line);
            lines.extend(wrap("    via ", "        ", at.trim_end(), room));
        }
    }
    if !lines.is_empty() {
        let heading = if findings.leaks.is_empty() {
            "Most growth in this watch:"
        } else {
            "Other growth in this watch:"
        };
        lines.insert(0, heading.to_owned());
    }
    lines
}

/// What the profile recorded: `Since the start (8h10m): 1,204 samples born, 11 freed, +7.5 MiB/min (90 %: 5.9 to 9.6) on
/// average. It goes on at that pace: 13 born now, 13 due.`
pub(super) fn since_start(since: &SinceStart) -> String {
    let (age, says) = (length(since.seconds), says(since));
    let rate = (since.bytes_per_min.as_ref()).map_or_else(String::new, |rate| {
        format!(", {} on average", bytes_per_min(rate))
    });
    format!(
        "Since the start ({age}): {} samples born, {} freed{rate}.{says}",
        format::grouped(since.born),
        format::grouped(since.freed)
    )
}

/// The verdict of the history, with a space before it; empty where it says nothing.
fn says(since: &SinceStart) -> String {
    let counts = format!(
        "{} born now, {:.0} due",
        format::grouped(since.born_now),
        since.due_now
    );
    match since.says {
        HistorySays::Growing => format!(" It goes on at that pace: {counts}."),
        HistorySays::Filled => {
            format!(" It has filled: it grows at less than a quarter of that pace ({counts}).")
        }
        HistorySays::Undecided { answer_in_s } => {
            let answer = answer_in_s.map_or_else(String::new, |seconds| {
                format!("; answer in about {}", length(seconds))
            });
            format!(" Births so far decide nothing: {counts}{answer}.")
        }
        HistorySays::Burst { began_at_most_s } => {
            let began = began_at_most_s.map_or_else(String::new, |seconds| {
                format!(": it began at most {} ago", length(seconds))
            });
            format!(" It grows faster than since the start{began}.")
        }
        HistorySays::Nothing => String::new(),
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a time, at least 0; a cast from f64 saturates"
)]
fn length(seconds: f64) -> String {
    format::duration((seconds.max(0.0) * SECOND_NS as f64) as u64)
}

/// `+3.2 MiB, 53 % (90 %: 38 to 66) of the growth`; without growth in this watch the mean rate since the start.
fn amount(suspect: &Suspect) -> String {
    let recorded = suspect.since_start.as_ref().and_then(|s| s.bytes_per_min);
    if let (0, Some(rate)) = (suspect.samples, recorded) {
        return format!("{} since the start", bytes_per_min(&rate));
    }
    let share = (suspect.share.as_ref()).map_or_else(String::new, |share| {
        format!(", {} of the growth", share_interval(share))
    });
    format!("{}{share}", sentence_change(suspect.bytes))
}

/// `41 samples, none of 41 freed`.
fn samples(suspect: &Suspect) -> String {
    let freed = match suspect.freed {
        0 => "none".to_owned(),
        n => format::grouped(n),
    };
    let s = if suspect.samples == 1 { "" } else { "s" };
    format!(
        "{} net sample{s}, {freed} of {} freed",
        format::grouped(suspect.samples),
        format::grouped(suspect.born)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn since(says: HistorySays) -> SinceStart {
        SinceStart {
            seconds: 29_400.0,
            born: 1204,
            freed: 11,
            bytes_per_min: None,
            born_now: 9,
            due_now: 8.6,
            says,
        }
    }

    #[test]
    fn history_is_counts_since_the_start_with_what_follows_from_them() {
        let counts = "Since the start (8h10m): 1,204 samples born, 11 freed.";
        assert_eq!(since_start(&since(HistorySays::Nothing)), counts);
        let grows = since_start(&since(HistorySays::Growing));
        assert_eq!(
            grows,
            format!("{counts} It goes on at that pace: 9 born now, 9 due.")
        );
        let undecided = HistorySays::Undecided {
            answer_in_s: Some(30.0),
        };
        let undecided = since_start(&since(undecided));
        assert!(undecided.ends_with("answer in about 30s."), "{undecided}");
    }
}
