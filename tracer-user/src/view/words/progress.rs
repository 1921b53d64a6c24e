//! One line while a diagnosis is under way: how far it is, what it has, what is missing.

use std::fmt::Write as _;
use std::time::Duration;

use super::super::format;
use super::super::names::cut;
use super::super::outlook;
use super::figures::{about, bytes_per_min};
use crate::model::findings::Findings;

/// `41s of 10m00s  COLLECTING  live heap +1.20 MiB/min (90 %: -0.3 to 2.7); 3 GC cycles`, in at most `room` cells.
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
    let rate = process.live_bytes_per_min.as_ref();
    let mut what = rate.map_or_else(String::new, |rate| {
        format!("live heap {}; ", bytes_per_min(rate))
    });
    what.push_str(&cycles);
    if let Some(missing) = process.missing {
        if missing.cycles > 0 {
            let more = format::many(&missing.cycles.to_string(), "GC cycle");
            let _ = write!(what, "; {more} missing");
        }
        let first = missing
            .answer_in_s
            .filter(|s| s.is_finite() && rate.is_none());
        if let Some(s) = first {
            let _ = write!(what, "; first rate in about {}", about(s));
        }
    }
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
