//! One line while a diagnosis is under way: how far it is, what it has, what is missing.

use std::time::Duration;

use super::super::format;
use super::super::names::cut;
use super::super::outlook;
use super::figures::{about, bytes_per_min};
use crate::model::findings::{Findings, Word};

/// `41s of 3m00s  COLLECTING  3 GC cycles; about 21 more samples, 2m20s`, in at most `room` cells.
///
/// `time` is what has passed, and the whole.
pub fn progress(
    findings: &Findings,
    cycles_seen: u64,
    time: (Duration, Duration),
    room: usize,
) -> String {
    let process = &findings.process;
    let duration =
        |time: Duration| format::duration(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    let badge = match outlook::badge(findings) {
        badge if badge.is_empty() => "COLLECTING".to_owned(),
        badge => badge,
    };
    let cycles = format::many(&format::exact_count(cycles_seen), "GC cycle");
    let what = match (process.word, &process.missing) {
        (Word::Collecting, Some(missing)) => {
            let samples = match missing.samples {
                0 => String::new(),
                n => format!("; about {} missing", format::many(&n.to_string(), "sample")),
            };
            let more = match missing.cycles {
                0 => String::new(),
                n => format!("; {} missing", format::many(&n.to_string(), "GC cycle")),
            };
            let answer = missing
                .answer_in_s
                .filter(|seconds| seconds.is_finite())
                .map_or_else(String::new, |s| format!("; answer in about {}", about(s)));
            format!("{cycles}{samples}{more}{answer}")
        }
        (Word::Growing, _) => match &process.live_bytes_per_min {
            Some(rate) => format!("{}; {cycles}", bytes_per_min(rate)),
            None => cycles,
        },
        _ => cycles,
    };
    let (elapsed, whole) = time;
    cut(
        &format!(
            "{} of {}  {badge}  {what}",
            duration(elapsed),
            duration(whole)
        ),
        room,
    )
}
