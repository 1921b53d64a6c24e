//! What was ruled out, what is not known, and what the figures are worth.

use super::super::format;
use super::super::reading::Reading;
use super::outcome::{Outcome, outcome};
use crate::model::findings::Kind;
use crate::model::rows::{History, Source};

/// A cost below this is said as a bound: it is not nothing.
const LEAST_CPU: f64 = 1e-5;

/// The closing sentences, each to be wrapped by itself.
pub(super) fn sentences(reading: &Reading) -> Vec<String> {
    let mut sentences = Vec::new();
    sentences.push(format!("Not known: {}.", unknown(reading).join("; ")));
    sentences.push(format!("Trust: {}.", trust(reading).join("; ")));
    sentences
}

/// What heaptop cannot say of this process, in the order of what it would change.
fn unknown(reading: &Reading) -> Vec<String> {
    let findings = &reading.findings;
    let mut unknown = Vec::new();
    let has_heap_leak = findings.leaks.iter().any(|leak| leak.kind == Kind::Heap);
    if has_heap_leak {
        unknown.push("who holds these objects (heaptop sees births and deaths only)".to_owned());
    }
    let unseen = match reading.target.history {
        History::SinceStart => None,
        History::SinceAttach => {
            Some("what lived before the attach: this source sees what is allocated from then on")
        }
        History::SinceArmed => Some("what was allocated before the sampler was switched on"),
    };
    unknown.extend(unseen.map(str::to_owned));
    if reading.target.source == Source::Buckets {
        unknown.push(
            "births and deaths between two reads, and how long objects live (no probes)".to_owned(),
        );
    }
    if findings.limit.is_none() {
        unknown.push("the memory limit".to_owned());
    }
    if outcome(findings) != Outcome::Leak {
        unknown.push("what a longer watch would show".to_owned());
    }
    for (n, what) in [
        (findings.unjudged_stacks, "stack"),
        (findings.dropped_samples, "sample"),
        (findings.omitted, "leak"),
    ] {
        if n > 0 {
            let many = format::many(&format::grouped(n), what);
            unknown.push(format!("{many} beyond what heaptop follows"));
        }
    }
    if unknown.is_empty() {
        unknown.push("what happens at another load".to_owned());
    }
    unknown
}

/// Losses and cost, and what impaired the figures.
fn trust(reading: &Reading) -> Vec<String> {
    let losses = &reading.losses;
    let mut trust = Vec::new();
    if reading.has_probes() {
        let of = reading.overhead.and_then(|overhead| overhead.hits);
        let of = of.map_or_else(String::new, |hits| {
            format!(" of {}", format::grouped(hits.max(losses.lost)))
        });
        let repaired = if losses.lost > 0 && reading.is_sampled() {
            format!(", {} repaired", format::grouped(losses.repaired))
        } else {
            String::new()
        };
        trust.push(format!(
            "{}{of} events lost{repaired}",
            format::grouped(losses.lost)
        ));
        trust.push(
            match reading.overhead.and_then(|overhead| overhead.cpu_fraction) {
                Some(fraction) if fraction < LEAST_CPU => "less than 0.001 % of a CPU".to_owned(),
                Some(fraction) => format!("{} % of a CPU", format::cpu_percent(fraction)),
                None => "cost not measured yet".to_owned(),
            },
        );
    } else {
        trust.push("no probes, so no event to lose and no cost to the process".to_owned());
    }
    for (n, what) in [
        (losses.truncated_stacks, "stack cut short"),
        (losses.unnamed_pcs, "address without a name"),
        (losses.evicted, "sample beyond what heaptop keeps"),
        (losses.thinned, "sample thinned"),
    ] {
        if n > 0 {
            let (one, rest) = what.split_once(' ').unwrap_or((what, ""));
            let es = if one.ends_with('s') { "es" } else { "s" };
            let s = if n == 1 { "" } else { es };
            trust.push(format!("{} {one}{s} {rest}", format::grouped(n)));
        }
    }
    if reading.sampler_detached {
        trust.push("probes detached to keep the budget".to_owned());
    }
    if let Some(duty) = reading.on_part_of_time() {
        trust.push(format!(
            "probes on for {} % of the time to keep the budget",
            format::percent(duty.on_fraction)
        ));
    }
    trust.extend(windowed_calls(reading));
    if let Some((from, to, _)) = reading.rate_changed {
        trust.push(format!(
            "MemProfileRate changed from {from} to {to} meanwhile"
        ));
    }
    trust.extend(
        reading
            .target
            .notes
            .iter()
            .map(|note| super::super::names::clean(note)),
    );
    trust
}

/// `calls of net/http.serverHandler.ServeHTTP counted in windows, 3 % of the time`; `None` where each is counted.
fn windowed_calls(reading: &Reading) -> Option<String> {
    let calls = reading.calls.as_ref().filter(|calls| calls.is_windowed)?;
    Some(format!(
        "calls of {} counted in windows, {} % of the time",
        super::super::names::clean(&calls.function),
        format::percent(calls.counted_fraction)
    ))
}
