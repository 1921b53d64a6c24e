//! Growth seen in three marks, where marks are rare.

use super::{Rate, history::Sample, trend::MINUTE_S};
use crate::verdict::Estimate;

/// Least gap between marks.
const MIN_GAP_S: f64 = 40.0;
/// Largest ratio of the rates of both steps.
const MAX_RATIO: f64 = 1.4;
/// Least rise over both steps, relative to the value before.
const MIN_RISE: f64 = 0.25;
/// Least rise over both steps, in MiB of live heap.
const MIN_RISE_MIB: f64 = 8.0;
/// Half width of the interval, as a part of the rate.
const ERROR: f64 = 0.25;

/// Rate of the last three marks, if both steps between them rise, alike, and by much.
pub(super) fn rate(samples: &[Sample], mib: f64) -> Option<Rate> {
    let [.., a, b, c] = samples else {
        return None;
    };
    let step = |from: &Sample, to: &Sample| (to.value - from.value) / (to.at_s - from.at_s);
    let (first, second) = (step(a, b), step(b, c));
    let rise = c.value - a.value;
    let is_rare = (b.at_s - a.at_s).min(c.at_s - b.at_s) >= MIN_GAP_S;
    let is_alike = first.min(second) > 0.0 && first.max(second) <= MAX_RATIO * first.min(second);
    let is_much = rise >= (MIN_RISE * a.value).max(MIN_RISE_MIB * mib);
    let minutes = (c.at_s - a.at_s) / MINUTE_S;
    let per_min = rise / minutes;
    (is_rare && is_alike && is_much).then_some(Rate {
        per_min: Estimate {
            value: per_min,
            low: per_min * (1.0 - ERROR),
            high: per_min * (1.0 + ERROR),
        },
        p_flat: None,
        p_slowing: None,
        from_s: a.at_s,
    })
}
