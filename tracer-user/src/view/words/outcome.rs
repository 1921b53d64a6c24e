//! What a diagnosis comes to, and how long to look next time.

use crate::model::findings::{Findings, Kind, Word};

/// What the findings come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing grows that will not stop, as far as was seen.
    Flat,
    /// Something grows that will not stop by itself: a site, goroutines, C memory or mappings.
    Leak,
    /// Too few samples to say.
    TooEarly,
}

/// What the findings come to.
///
/// Growth of what the runtime bounds by itself (spans kept for later, garbage between cycles, stacks of goroutines
/// that do not become more) or what the kernel takes back (file pages) is no leak.
pub fn outcome(findings: &Findings) -> Outcome {
    let process = &findings.process;
    let lasts = process
        .kind
        .is_none_or(|kind| matches!(kind, Kind::Heap | Kind::Goroutines | Kind::Cgo | Kind::Mmap));
    match process.word {
        _ if !findings.leaks.is_empty() => Outcome::Leak,
        Word::Growing if lasts => Outcome::Leak,
        Word::Collecting => Outcome::TooEarly,
        _ => Outcome::Flat,
    }
}

/// How long the next look should last, in whole minutes, where this one of `watched_s` seconds was too short; `None`
/// where it was not. A new look begins anew, so it takes what this one did and what is missing, and a quarter more.
pub fn next_look(findings: &Findings, watched_s: f64) -> Option<u64> {
    /// Where there is no pace yet: a quiet process collects every two minutes, and four cycles are needed.
    const WITHOUT_PACE_S: f64 = 10.0 * 60.0;
    /// Longest that is advised; whoever needs more leaves heaptop on the screen.
    const LONGEST_MIN: f64 = 120.0;
    if outcome(findings) != Outcome::TooEarly {
        return None;
    }
    let missing = findings.process.missing.as_ref();
    let more_s = missing
        .and_then(|missing| missing.answer_in_s)
        .filter(|seconds| seconds.is_finite())
        .unwrap_or(WITHOUT_PACE_S);
    let minutes = ((watched_s + more_s) * 1.25 / 60.0).ceil();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within 1 and 120"
    )]
    let minutes = minutes.clamp(1.0, LONGEST_MIN) as u64;
    Some(minutes)
}
