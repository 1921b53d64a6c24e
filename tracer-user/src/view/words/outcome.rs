//! Outcome of a diagnosis, when it ends by itself, and the length of the next one.

use crate::model::findings::{Findings, GrowingKind, Kind, Leak, Word};
use crate::verdict::growth::ANSWER_BOUND_MIB;

/// Outcome of a diagnosis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing grows, up to the stated bound.
    Flat,
    /// A call site, goroutines, C memory or mappings keep growing.
    Leak,
    /// Growth is probable, or nothing is decided yet.
    Undecided,
}

/// Returns the outcome of the findings.
///
/// Growth of what the runtime bounds by itself (spans kept for later, garbage between cycles, stacks of goroutines whose
/// number does not grow) or what the kernel reclaims (file pages) is no leak.
pub fn outcome(findings: &Findings) -> Outcome {
    let process = &findings.process;
    let lasts = |kind| matches!(kind, Kind::Heap | Kind::Goroutines | Kind::Cgo | Kind::Mmap);
    let leaks = |leak: &Leak| leak.word == Word::Growing && lasts(leak.kind);
    let grows = |of: &GrowingKind| of.word == Word::Growing && lasts(of.kind);
    match process.word {
        _ if findings.leaks.iter().any(leaks) => Outcome::Leak,
        Word::Growing if process.kind.is_none_or(lasts) => Outcome::Leak,
        Word::Growing if process.kinds.iter().any(grows) => Outcome::Leak,
        Word::Collecting | Word::ProbablyGrowing => Outcome::Undecided,
        _ => Outcome::Flat,
    }
}

/// Bound on growth below which a steady heap is an answer, bytes per minute.
const STEADY_BELOW: f64 = ANSWER_BOUND_MIB * 1024.0 * 1024.0;
/// Evaluations that an answer has to hold for.
const HOLDS: u32 = 2;

/// Follows the evaluations of a diagnosis until its answer holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answer {
    evaluations: u32,
    outcome: Option<Outcome>,
    held: u32,
}

impl Answer {
    /// Takes the findings of evaluation number `evaluations`; true once the same answer was given at two in succession: growth,
    /// or a steady heap with a bound below 0.25 MiB/min.
    pub fn holds(&mut self, evaluations: u32, findings: &Findings) -> bool {
        if evaluations != std::mem::replace(&mut self.evaluations, evaluations) {
            let answer = answer(findings);
            self.held = match answer {
                Some(_) if answer == self.outcome => self.held + 1,
                Some(_) => 1,
                None => 0,
            };
            self.outcome = answer;
        }
        self.held >= HOLDS
    }

    /// Returns the number of evaluations that still have to repeat the answer of `findings`; `None` while there is none.
    pub fn to_repeat(&self, findings: &Findings) -> Option<u32> {
        let answer = answer(findings)?;
        Some(if self.outcome == Some(answer) {
            HOLDS.saturating_sub(self.held)
        } else {
            HOLDS
        })
    }
}

/// Returns the outcome that ends a diagnosis early; `None` while more evidence may change it.
fn answer(findings: &Findings) -> Option<Outcome> {
    let process = &findings.process;
    let bound = process.steady_below_bytes_per_min;
    match outcome(findings) {
        Outcome::Leak => Some(Outcome::Leak),
        Outcome::Flat
            if process.word != Word::Warming
                && process.rising.is_none()
                && bound.is_some_and(|bound| bound < STEADY_BELOW) =>
        {
            Some(Outcome::Flat)
        }
        _ => None,
    }
}

/// Length of the next watch in whole minutes, where this one of `watched_s` seconds was too short; `None` where it was
/// not. A new watch starts from nothing, so it takes twice the time of this one.
pub fn next_watch_min(findings: &Findings, watched_s: f64) -> Option<u64> {
    /// A quiet process collects every two minutes, and a rate needs some cycles.
    const SHORTEST_MIN: f64 = 10.0;
    /// Longer watches belong on the screen.
    const LONGEST_MIN: f64 = 120.0;
    if outcome(findings) != Outcome::Undecided {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within 10 and 120"
    )]
    let minutes = (2.0 * watched_s / 60.0)
        .ceil()
        .clamp(SHORTEST_MIN, LONGEST_MIN) as u64;
    Some(minutes)
}
