//! One call site, and the evidence that sites, leaks and the process share.

use super::super::format;
use super::super::names::{clean, short_location};
use super::figures::{Things, below, bytes_per_min, count_per_min, minutes, per_call, share};
use super::leaks::driven;
use super::prose::{list, some};
use crate::go::frame::Frame;
use crate::model::findings::{Evidence, Findings, GrowsWith, Kind, Leak, Missing, Verdict, Word};
use crate::model::rows::SiteRow;

/// Functions whose calls are requests: of net/http, and of gRPC.
const REQUEST_FUNCTIONS: [&str; 3] = [
    "net/http.serverHandler.ServeHTTP",
    "google.golang.org/grpc.(*Server).handleStream",
    "google.golang.org/grpc.(*Server).processUnaryRPC",
];

/// What a growth also may be: until it stops, nothing in the data differs.
pub(in crate::view) const OTHER_READING: &str = "a cache that has not yet reached its bound";

/// The evidence for a site's verdict as sentences, the verdict first. Empty for rows that are not judged.
pub fn site(row: &SiteRow, findings: &Findings) -> Vec<String> {
    let Some(verdict) = &row.verdict else {
        return Vec::new();
    };
    // Goroutines and a part of the heap may be one leak.
    let of_letter = || (findings.leaks.iter()).filter(|leak| Some(leak.letter) == row.leak);
    let holds = |leak: &&Leak| leak.all_sites().any(|site| site.row == Some(row.id));
    let is_heap = |leak: &&Leak| leak.kind == Kind::Heap;
    let leak = (of_letter().find(holds))
        .or_else(|| of_letter().find(is_heap))
        .or_else(|| of_letter().next());
    let mut sentences = judged(verdict, leak.and_then(driven_leak));
    if let Some(via) = &row.via {
        sentences.push(format!("Called by {}.", place(via)));
    }
    if let Some(leak) = leak {
        let rate = |evidence: &Evidence| evidence.bytes_per_min.map(|rate| rate.value);
        let own = rate(&verdict.evidence).zip(rate(&leak.evidence));
        let part = match own {
            Some((own, all)) if leak.sites.len() > 1 && own > 0.0 && own < all => {
                format!("{} of leak {}", share(own / all), leak.letter)
            }
            _ => format!("Part of leak {}", leak.letter),
        };
        sentences.push(match leak.sites.len() {
            0 | 1 => format!("It is leak {}.", leak.letter),
            n => format!(
                "{part}, {} under {}.",
                some(n, "site"),
                leak.frame().map_or_else(String::new, |frame| place(frame))
            ),
        });
    }
    sentences
}

/// The driver of a site's leak, named with the leak where that is more than the site.
fn driven_leak(leak: &Leak) -> Option<String> {
    let driven = driven(leak.driver.as_ref()?)?;
    let is_whole = leak.kind == Kind::Heap && leak.sites.len() == 1;
    Some(if is_whole {
        driven
    } else {
        format!("Leak {} as a whole: {driven}", leak.letter)
    })
}

/// A verdict and its evidence as sentences; `driven` is that of its leak.
fn judged(verdict: &Verdict, driven: Option<String>) -> Vec<String> {
    let evidence = &verdict.evidence;
    match verdict.word {
        Word::Growing | Word::ProbablyGrowing => growing(evidence, driven),
        Word::PartOfLeak => vec![format!("grows as a part of its leak ({}).", seen(evidence))],
        Word::Warming => vec![
            format!(
                "warming: grows more slowly than before ({}).",
                seen(evidence)
            ),
            "Most likely on the way to a bound; near it the word may change between warming and growing."
                .to_owned(),
        ],
        Word::Steady => match evidence.steady_below_bytes_per_min {
            Some(bound) => vec![
                format!("steady, {} ({}).", below(bound), seen(evidence)),
                "A slower leak would not show yet.".to_owned(),
            ],
            None => vec![format!("steady ({}); its bound is not known.", seen(evidence))],
        },
        Word::Churn => vec![format!(
            "churn: allocates much, and hardly any of it stays ({}).",
            seen(evidence)
        )],
        Word::Idle => vec![format!(
            "idle: nothing was born and nothing died in {}.",
            minutes(evidence.minutes)
        )],
        Word::Collecting => match evidence.unseen_bytes {
            Some(bytes) => vec![format!(
                "collecting: it seems to grow, but up to {} from before the attach, which this source cannot see, may have \
                 gone away meanwhile: it may only have taken their place. The longer the watch, the less is unseen.",
                format::sentence_bytes(bytes)
            )],
            None => vec![format!(
                "collecting: {}, which does not decide yet whether it grows{}.",
                seen(evidence),
                missing(evidence.missing.as_ref())
            )],
        },
    }
}

fn growing(evidence: &Evidence, driven: Option<String>) -> Vec<String> {
    let bytes = evidence.bytes_per_min.as_ref().map(bytes_per_min);
    let objects = (evidence.objects_per_min.as_ref()).map(|rate| count_per_min(rate, "objects"));
    let rate = match (bytes, objects) {
        (None, None) => "at a rate that is not known for now".to_owned(),
        (Some(rate), None) | (None, Some(rate)) => format!("{rate}, in a straight line or faster"),
        (Some(bytes), Some(objects)) => {
            format!("{bytes} and {objects}, in a straight line or faster")
        }
    };
    let mut sentences = vec![format!(
        "GROWING {rate} ({}): a leak, or {OTHER_READING}.",
        seen(evidence)
    )];
    sentences.extend(survivors(evidence));
    sentences.extend(driven.or_else(|| follows(evidence, Things::of(Kind::Heap))));
    sentences
}

/// What the evidence rests on: `41 samples born and none freed, 26 GC cycles, 14 min`.
pub(super) fn seen(evidence: &Evidence) -> String {
    let freed = match evidence.died {
        0 => "none".to_owned(),
        n => n.to_string(),
    };
    let samples = if evidence.born == 1 {
        "sample"
    } else {
        "samples"
    };
    let cycles = if evidence.cycles == 1 { "" } else { "s" };
    format!(
        "{} {samples} born and {freed} freed in {} GC cycle{cycles}, {}",
        evidence.born,
        evidence.cycles,
        minutes(evidence.minutes)
    )
}

/// How many of the samples of this watch live: the sharpest sign of what is never freed.
pub(super) fn survivors(evidence: &Evidence) -> Option<String> {
    let (alive, born) = evidence.survivors.filter(|&(_, born)| born > 0)?;
    let are = if born == 1 { "is" } else { "are" };
    let samples = if born == 1 { "sample" } else { "samples" };
    let oldest = match evidence.oldest_cycles {
        Some(1) => ", the oldest for one GC".to_owned(),
        Some(n) if n > 1 => format!(", the oldest for {n} GCs"),
        _ => String::new(),
    };
    Some(format!(
        "{alive} of {born} judged {samples} {are} alive{oldest}."
    ))
}

/// What the growth follows, time or load, and how much it is for each call.
pub(super) fn follows(evidence: &Evidence, things: Things) -> Option<String> {
    // A steady rate by the clock says little: where the load is steady too, growth by it looks the same.
    let with_load = "Keeps step with the load (allocations) better than with the clock";
    let Some(call) = &evidence.per_call else {
        let is_load = evidence.grows_with == Some(GrowsWith::Load);
        return is_load.then(|| format!("{with_load}."));
    };
    let (one, _) = calls_of(&call.function);
    let (amount, interval) = per_call(call, things);
    Some(match evidence.grows_with {
        Some(GrowsWith::Load) => format!("{with_load}; {amount} per {one} ({interval})."),
        _ => format!(
            "{amount} per {one} ({interval}), if it follows them: so far it may as well follow the clock."
        ),
    })
}

/// What a call of a counted function is, once and many times.
pub(super) fn calls_of(function: &str) -> (String, String) {
    if REQUEST_FUNCTIONS.contains(&function) {
        ("request".to_owned(), "requests".to_owned())
    } else {
        let function = clean(function);
        (
            format!("call of {function}"),
            format!("calls of {function}"),
        )
    }
}

/// Evidence that a site still needs: `; it needs about 21 more samples and 2 more GC cycles`. Without a time: samples come
/// by chance.
fn missing(missing: Option<&Missing>) -> String {
    let Some(missing) = missing else {
        return String::new();
    };
    let mut parts = Vec::new();
    let s = |n: u64| if n == 1 { "" } else { "s" };
    if missing.samples > 0 {
        let n = missing.samples;
        parts.push(format!("about {n} more sample{}", s(n)));
    }
    if missing.cycles > 0 {
        let n = missing.cycles;
        parts.push(format!("{n} more GC cycle{}", s(n.into())));
    }
    if parts.is_empty() {
        String::new()
    } else {
        format!("; it needs {}", list(&parts))
    }
}

/// A function with its place: `gateway.(*Limiter).Forward session_manager.go:268`.
pub(super) fn place(frame: &Frame) -> String {
    let function = clean(&frame.function);
    let place = short_location(&frame.file, frame.line);
    if place.is_empty() {
        function
    } else {
        format!("{function} {place}")
    }
}
