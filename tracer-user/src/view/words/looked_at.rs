//! What was looked at beside the leaks: what did not grow, and what else did meanwhile.

use super::super::format::{self, sentence_bytes};
use super::super::reading::Reading;
use super::prose::list;
use super::sites::calls_of;
use crate::model::anatomy::{Moment, Part};
use crate::model::calls::Calls;
use crate::model::findings::{Kind, Word};

/// Parts that are often held for the cause of a growth.
const SUSPECTS: [(Part, &str); 4] = [
    (Part::Waste, "span waste"),
    (Part::Idle, "idle spans"),
    (Part::Stacks, "stacks"),
    (Part::Anon, "non-Go memory"),
];
/// A part is flat if it moved by less than this, or by less than this share of itself.
const FLAT_BYTES: f64 = 1024.0 * 1024.0;
const FLAT_SHARE: f64 = 0.05;
/// Below this many looks at calls there is no earlier and later.
const MIN_LOOKS: usize = 4;

/// What is flat while something grows: `Not the cause: span waste 61 MiB, stacks 12 MiB and non-Go memory 21 MiB are
/// flat.` `None` where nothing grows, or nothing was looked at.
pub(super) fn not_the_cause(reading: &Reading) -> Option<String> {
    if reading.findings.process.word != Word::Growing {
        return None;
    }
    let anatomy = reading.anatomy.as_ref()?;
    let then = anatomy.baseline.as_ref()?;
    let flat: Vec<String> = SUSPECTS
        .iter()
        .filter(|(part, _)| is_flat(then, &anatomy.now, *part))
        .map(|(part, name)| {
            let bytes = anatomy.now.parts.get(*part) as f64;
            format!("{name} {}", sentence_bytes(bytes))
        })
        .collect();
    if then.at_ns >= anatomy.now.at_ns || flat.is_empty() {
        return None;
    }
    let are = if flat.len() == 1 { "is" } else { "are" };
    Some(format!("Not the cause: {} {are} flat.", list(&flat)))
}

fn is_flat(then: &Moment, now: &Moment, part: Part) -> bool {
    let (then, now) = (then.parts.get(part) as f64, now.parts.get(part) as f64);
    (now - then).abs() <= FLAT_BYTES.max(FLAT_SHARE * then)
}

/// Goroutines and calls beside a leak of the heap: connections that follow the load look like one to any test of the heap
/// alone.
pub(super) fn witnesses(reading: &Reading) -> Option<String> {
    let leaks = &reading.findings.leaks;
    if !leaks.iter().any(|leak| leak.kind == Kind::Heap) {
        return None;
    }
    let mut seen = Vec::new();
    if let Some(goroutines) = &reading.goroutines {
        let growth = goroutines
            .growth
            .map_or_else(String::new, |growth| format!(", {growth:+} in this watch"));
        seen.push(format!(
            "{} goroutines{growth}",
            format::grouped(goroutines.count)
        ));
    }
    seen.extend(reading.calls.as_ref().and_then(requests));
    if seen.is_empty() {
        return None;
    }
    Some(format!(
        "Witnesses: {}. Where these rise as the heap does, it may be the load that rises.",
        seen.join("; ")
    ))
}

/// `300 requests/s, +1 % from the first half of the watch to the second`.
fn requests(calls: &Calls) -> Option<String> {
    let now = calls.per_sec?;
    let looks: Vec<f64> = calls.looks.iter().filter_map(|&(_, rate)| rate).collect();
    let mean = |looks: &[f64]| looks.iter().sum::<f64>() / looks.len() as f64;
    let (before, after) = looks.split_at(looks.len() / 2);
    let change = if looks.len() >= MIN_LOOKS && mean(before) > 0.0 {
        let percent = (mean(after) / mean(before) - 1.0) * 100.0;
        format!(", {percent:+.0} % from the first half of the watch to the second")
    } else {
        String::new()
    };
    let (_, many) = calls_of(&calls.function);
    let rate = if now < 9.95 {
        format!("{now:.1}")
    } else {
        format::count(now)
    };
    Some(format!("{rate} {many}/s{change}"))
}
