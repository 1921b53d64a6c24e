//! Pace of the GC: gaps between cycles before the attach, compared with those of now.
//!
//! With GOGC a cycle starts when about as much was allocated as was live after the one before: at a constant allocation
//! rate gaps between cycles grow with the live heap.

use crate::model::Model;
use crate::model::findings::Observation;
use crate::verdict::SECOND_NS;
use crate::verdict::growth::{TIMER_GAP_S, median};

/// Gaps of which the median is taken, at each end.
const GAPS: usize = 8;
/// Gaps that are this many times longer than they were are reported.
const LONGER: f64 = 2.0;

/// Time between the ends of two GC cycles.
#[derive(Clone, Copy, Debug)]
struct Gap {
    /// Its end, seconds after the attach.
    end_s: f64,
    /// Its length; where cycles in between were not seen, divided by their number.
    length_s: f64,
}

/// Compares the first of these gaps with the last ones; `None` for too few, or if they are no longer now.
fn pace(gaps: &[Gap]) -> Option<Observation> {
    if gaps.len() < 2 * GAPS {
        return None;
    }
    let length_s = |gaps: &[Gap]| median(gaps.iter().map(|gap| gap.length_s).collect());
    let (first, last) = (&gaps[..GAPS], &gaps[gaps.len() - GAPS..]);
    let (then_s, now_s) = (length_s(first), length_s(last));
    let is_longer = then_s > 0.0 && now_s >= LONGER * then_s && now_s < TIMER_GAP_S;
    is_longer.then(|| Observation::GcPace {
        then_s,
        ago_s: last[GAPS - 1].end_s - first[GAPS / 2].end_s,
        now_s,
    })
}

impl Model {
    /// States that the GC runs less often than it did before the attach.
    pub(super) fn gc_pace(&self) -> Option<Observation> {
        let attached_ns = self.target.attached_ns;
        let seconds = |at_ns: u64| at_ns.saturating_sub(attached_ns) as f64 / SECOND_NS as f64;
        let before = self.gc_ends_s.windows(2).map(|ends| Gap {
            end_s: ends[1],
            length_s: ends[1] - ends[0],
        });
        let cycles = self.gc.cycles();
        let in_watch = cycles.iter().zip(cycles.iter().skip(1)).map(|(a, b)| Gap {
            end_s: seconds(b.at_ns),
            length_s: (seconds(b.at_ns) - seconds(a.at_ns))
                / f64::from(b.number.wrapping_sub(a.number).max(1)),
        });
        let gaps: Vec<Gap> = before.chain(in_watch).collect();
        pace(&gaps).filter(|_| self.gc_ends_s.len() > GAPS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_the_first_and_last_gaps_are_compared() {
        let mut end_s = -700.0;
        let mut gaps: Vec<Gap> = (0..100)
            .map(|i| {
                let length_s = if i < 40 { 2.0 } else { 10.0 };
                end_s += length_s;
                Gap { end_s, length_s }
            })
            .collect();
        gaps[3].length_s = 9.0;
        let expected = Observation::GcPace {
            then_s: 2.0,
            ago_s: 670.0,
            now_s: 10.0,
        };
        assert_eq!(pace(&gaps), Some(expected));
        assert_eq!(pace(&gaps[60..]), None, "it keeps its pace");
        assert_eq!(pace(&gaps[..2 * GAPS - 1]), None, "too few");
    }
}
