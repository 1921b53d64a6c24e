//! The diagnosis in words: what `heaptop diagnose` prints, what the screen opens behind a verdict, and what is pasted
//! into a ticket.
//!
//! Sentences are short, and no estimate stands without its interval, which holds the truth in 90 of 100 cases. A growth
//! is always worded with its other reading, since nothing in the data tells a leak from a cache that still fills; what
//! is flat is said with its bound, since a leak may be slower than that.
//!
//! In reading order: [`process()`] is the verdict on the whole, [`limit`] the time that is left, [`leak`] and [`site`]
//! the evidence; [`diagnosis`] puts them together with what was ruled out and what is not known.

mod end;
mod facts;
mod figures;
mod leaks;
mod looked_at;
mod observations;
mod outcome;
mod process;
mod progress;
mod prose;
mod sites;
mod trust;

use jiff::Timestamp;

use super::format;
use super::names::clean;
use super::reading::Reading;
use crate::model::rows::Status;

pub use end::end;
pub(in crate::view) use facts::{size_parts, sizes, suspect_line};
pub(in crate::view) use figures::{Things, brief, each, per_call};
pub use leaks::leak;
pub(in crate::view) use leaks::leak_line;
pub use observations::observations;
pub use outcome::{Answer, Outcome, next_watch_min, outcome};
pub(in crate::view) use process::{heap_is_in, kind_words, may_grow};
pub use process::{limit, process};
pub(in crate::view) use progress::late;
pub use progress::{Expected, progress};
pub(in crate::view) use sites::OTHER_READING;
pub use sites::site;

use prose::wrap;

/// Narrowest text: below, names would be broken into pieces.
const LEAST_WIDTH: usize = 40;

/// The whole diagnosis of a moment, in lines of at most `width` cells; longer only where a name cannot be broken.
///
/// In this order: the target and the length of the watch; sizes with their change; the verdict with the time until the
/// limit; each leak with its sites and evidence, or the call sites that grew most; observations; parts that are flat;
/// unknowns; losses and cost.
pub fn diagnosis(reading: &Reading, width: usize) -> Vec<String> {
    let width = width.max(LEAST_WIDTH);
    let findings = &reading.findings;
    let mut lines = heading(reading, width);
    lines.extend(
        sizes(reading)
            .iter()
            .flat_map(|sizes| wrap("", "  ", sizes, width)),
    );
    lines.push(String::new());
    let mut verdict = process(findings);
    if let Some(limit) = limit(findings) {
        verdict.push(' ');
        verdict.push_str(&limit);
    }
    lines.extend(wrap("", "", &verdict, width));
    for found in &findings.leaks {
        lines.push(String::new());
        lines.extend(leaks::block(found, reading, width));
    }
    let suspects = facts::suspects(reading, width);
    if !suspects.is_empty() {
        lines.push(String::new());
        lines.extend(suspects);
    }
    lines.push(String::new());
    for sentence in observations(findings, reading.until_ns()) {
        lines.extend(wrap("", "  ", &sentence, width));
    }
    let looked_at = [
        looked_at::witnesses(reading),
        looked_at::not_the_cause(reading),
    ];
    let trust = trust::sentences(reading);
    for sentence in looked_at.into_iter().flatten().chain(trust) {
        lines.extend(wrap("", "  ", &sentence, width));
    }
    lines
}

/// What was watched, how long, until when, and how.
fn heading(reading: &Reading, width: usize) -> Vec<String> {
    let target = &reading.target;
    let until_ns = reading.until_ns();
    // Some traces do not state the process.
    let up = match target.started_unix_ns {
        0 => "?".to_owned(),
        _ => format::coarse_duration(reading.uptime_ns()),
    };
    let what = format!(
        "heaptop {} diagnose: {}, pid {}, {}, up {up}",
        env!("CARGO_PKG_VERSION"),
        clean(&target.name),
        target.pid_text(),
        clean(&target.go),
    );
    let at = Timestamp::from_nanosecond(i128::from(target.unix_ns(until_ns)))
        .map_or_else(|_| "?".to_owned(), |at| format!("{at:.0}"));
    let how = format!(
        "watched {} to {at}, {}, source {}",
        format::duration(until_ns.saturating_sub(target.attached_ns)),
        format::many(&format::exact_count(reading.cycles_seen), "GC cycle"),
        source(reading),
    );
    let mut lines = wrap("", "  ", &what, width);
    lines.extend(wrap("", "  ", &how, width));
    if let Status::Exited { exit, how, .. } = &reading.status {
        let end = end(*exit, how.as_deref());
        let exited = format!("The process has exited: {end}. What follows is what was seen of it.");
        lines.extend(wrap("", "  ", &exited, width));
    }
    lines
}

/// Where samples come from: `sampler 1/512 KiB`, `spans on 77 % of the time`.
fn source(reading: &Reading) -> String {
    let word = reading.target.source.word();
    match reading.rate_bytes {
        Some(rate) if reading.is_sampled() && rate > 0 => {
            format!("{word} 1/{}", format::sentence_rate(rate))
        }
        _ => match reading.on_part_of_time() {
            Some(duty) => format!("{word} on {} of the time", figures::share(duty.on_fraction)),
            None => word.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests;
