//! Verdicts of the engine as the findings tell them.

use super::findings::{Evidence, GrowsWith, Interval, Missing, Verdict};
use crate::verdict::{self, Estimate, GrowingPer};

/// A verdict of the engine in the words of the findings.
pub(super) fn stated(verdict: &verdict::Verdict) -> Verdict {
    Verdict {
        word: verdict.word,
        // Of a site that throws all away, what little it keeps is not what is said.
        evidence: match verdict.word {
            verdict::Word::Churn => Evidence {
                missing: None,
                steady_below_bytes_per_min: None,
                ..evidence(&verdict.evidence)
            },
            _ => evidence(&verdict.evidence),
        },
    }
}

/// A slope of what is known to grow by the number of its samples; `None` where some of them are so large that their bytes
/// alone would allow for a fall.
pub(super) fn growth(estimate: Estimate) -> Option<Interval> {
    Interval::from(estimate).above_zero()
}

pub(super) fn missing(of: verdict::Missing) -> Missing {
    Missing {
        samples: u64::from(of.samples),
        cycles: of.cycles,
        answer_in_s: of.seconds.map(|seconds| seconds as f64),
    }
}

pub(super) fn evidence(of: &verdict::Evidence) -> Evidence {
    Evidence {
        bytes_per_min: of.per_min.and_then(|slope| growth(slope.bytes)),
        objects_per_min: of.per_min.and_then(|slope| growth(slope.objects)),
        born: u64::from(of.samples_born),
        died: u64::from(of.samples_died),
        cycles: of.cycles,
        minutes: of.minutes,
        grows_with: of.growing_per.map(|per| match per {
            GrowingPer::Time => GrowsWith::Time,
            GrowingPer::Load => GrowsWith::Load,
        }),
        steady_below_bytes_per_min: of.steady_below_bytes_per_min,
        missing: of.missing.map(missing),
        per_call: None,
        unseen_bytes: None,
        survivors: None,
        oldest_cycles: None,
    }
}
