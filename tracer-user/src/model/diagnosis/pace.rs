//! How often the GC ran before the attach, and how often it runs now.
//!
//! With GOGC a cycle starts when about as much was allocated as was live after the one before: at a constant allocation
//! rate gaps between cycles grow with the live heap.

use crate::model::Model;
use crate::model::findings::Observation;
use crate::verdict::SECOND_NS;

/// Gaps of which the median is taken, at each end.
const GAPS: usize = 8;
/// Gaps that are this many times longer than they were are reported.
const LONGER: f64 = 2.0;
/// Gaps from this length on are made by the runtime's own timer (`forcegcperiod`), not by allocation.
const FORCED_S: f64 = 115.0;

/// Compares the first gaps between these times with the last ones; `None` for too few, or if they are no longer now.
fn pace(ends_s: &[f64]) -> Option<Observation> {
    if ends_s.len() <= 2 * GAPS {
        return None;
    }
    let median = |ends: &[f64]| {
        let mut gaps: Vec<f64> = ends.windows(2).map(|pair| pair[1] - pair[0]).collect();
        gaps.sort_by(f64::total_cmp);
        f64::midpoint(gaps[(gaps.len() - 1) / 2], gaps[gaps.len() / 2])
    };
    let (first, last) = (&ends_s[..=GAPS], &ends_s[ends_s.len() - 1 - GAPS..]);
    let (then_s, now_s) = (median(first), median(last));
    let is_longer = then_s > 0.0 && now_s >= LONGER * then_s && now_s < FORCED_S;
    is_longer.then(|| Observation::GcPace {
        then_s,
        ago_s: last[GAPS] - first[GAPS / 2],
        now_s,
    })
}

impl Model {
    /// States that the GC runs less often than it did before the attach.
    pub(super) fn gc_pace(&self) -> Option<Observation> {
        let attached_ns = self.target.attached_ns;
        let in_watch = self
            .gc
            .cycles()
            .iter()
            .map(|cycle| cycle.at_ns.saturating_sub(attached_ns) as f64 / SECOND_NS as f64);
        let before = &self.gc_ends_s;
        let ends_s: Vec<f64> = before.iter().copied().chain(in_watch).collect();
        pace(&ends_s).filter(|_| before.len() > GAPS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_the_first_and_last_gaps_are_compared() {
        let mut ends_s = vec![0.0];
        for i in 0..100 {
            let gap = if i < 40 { 2.0 } else { 10.0 };
            ends_s.push(ends_s[i] + gap);
        }
        ends_s[3] += 0.5;
        let expected = Observation::GcPace {
            then_s: 2.0,
            ago_s: 672.0,
            now_s: 10.0,
        };
        assert_eq!(pace(&ends_s), Some(expected));
        assert_eq!(pace(&ends_s[60..]), None, "it keeps its pace");
        assert_eq!(pace(&ends_s[..2 * GAPS]), None, "too few");
    }
}
