//! Live heap before the attach, estimated from the times of the GC cycles then.
//!
//! Each cycle that is seen must have the pace of GOGC alone. With another pace the gap between two cycles says nothing about
//! the live heap: where GOMEMLIMIT ends it sooner, where the program asks for cycles, and below the runtime's smallest heap.

use std::sync::Arc;

use crate::go::memstats::HeapFigures;
use crate::model::gc::SECOND_NS;
use crate::model::row::whole;
use crate::model::rows::EstimatedCycle;
use crate::verdict::growth::{HeapGrowth, median};

/// Room up to the goal, relative to live heap x GOGC / 100. GOGC adds stacks and globals to the live heap, so that less room
/// is another pace; where they are much of it, the gaps follow them too. Source: `(*gcControllerState).commit`, go1.18 to
/// go1.27.
const GOGC_PACE: std::ops::RangeInclusive<f64> = 0.95..=1.25;
/// Largest part of all cycles since the start that the program asked for: the curve's medians ignore as many.
const MAX_FORCED: f64 = 0.05;
/// Most cycles whose pace counts: a GC every 50 ms has hundreds of them before the estimate is final.
const MAX_PACES: usize = 64;

/// The estimate, made anew after each mark until it is final.
#[derive(Clone, Debug, Default)]
pub(super) struct Earlier {
    /// Pace of each cycle since the attach, see [`GOGC_PACE`].
    paces: Vec<f64>,
    /// Cycles that the program had asked for at the first mark.
    first_forced: Option<u32>,
    cycles: Arc<[EstimatedCycle]>,
    is_final: bool,
}

impl Earlier {
    /// Cycles before the attach, oldest first; empty where they cannot be estimated.
    pub(super) fn cycles(&self) -> &Arc<[EstimatedCycle]> {
        &self.cycles
    }

    /// A mark was added to the series of the heap; `figures` were read after it.
    pub(super) fn marked(&mut self, heap: &HeapGrowth, figures: &HeapFigures) {
        if self.is_final {
            return;
        }
        if self.paces.len() < MAX_PACES {
            self.paces.push(pace(figures));
        }
        let first_forced = *self.first_forced.get_or_insert(figures.forced_cycles);
        let forced = f64::from(figures.forced_cycles) / f64::from(figures.gc_cycles.max(1));
        let is_paced = GOGC_PACE.contains(&median(self.paces.clone()))
            && figures.forced_cycles == first_forced
            && forced <= MAX_FORCED;
        let estimated = heap.before_attach().filter(|_| is_paced);
        self.cycles = (estimated.unwrap_or_default().into_iter())
            .map(|live| EstimatedCycle {
                before_attach_ns: whole(-live.at_s * SECOND_NS as f64),
                live_bytes: whole(live.marked_bytes),
            })
            .collect();
        self.is_final = heap.is_past_settled();
    }
}

/// Room up to the goal, relative to that of GOGC for the live heap alone; 0 without a goal by GOGC.
fn pace(figures: &HeapFigures) -> f64 {
    let by_gogc = |percent: u32| figures.live_bytes as f64 * f64::from(percent) / 100.0;
    let room = (figures.goal_bytes).map(|goal| goal as f64 - figures.live_bytes as f64);
    match (figures.gc_percent.map(by_gogc), room) {
        (Some(by_gogc), Some(room)) if by_gogc > 0.0 => room / by_gogc,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::growth::{Mark, Past};

    const MIB: u64 = 1 << 20;

    fn figures() -> HeapFigures {
        HeapFigures {
            gc_cycles: 100,
            live_bytes: 100 * MIB,
            goal_bytes: Some(205 * MIB),
            gc_percent: Some(100),
            ..HeapFigures::default()
        }
    }

    /// Estimate after `n` marks, 10 s apart as those before the attach; `change` alters the figures read after each.
    fn estimated(n: u32, change: impl Fn(u32, &mut HeapFigures)) -> Earlier {
        let mut heap = HeapGrowth::new(Past {
            gc_times_s: (1..=40).rev().map(|n| -10.0 * f64::from(n)).collect(),
            ..Past::default()
        });
        let mut earlier = Earlier::default();
        for index in 0..n {
            heap.push_mark(Mark {
                at_s: 10.0 * f64::from(index),
                marked_bytes: 100.0 * MIB as f64,
                born_marked_bytes: 2.0 * MIB as f64,
                ..Mark::default()
            });
            let mut figures = figures();
            change(index, &mut figures);
            earlier.marked(&heap, &figures);
        }
        earlier
    }

    #[test]
    fn constant_gaps_are_a_constant_heap_in_marked_bytes() {
        assert!(estimated(3, |_, _| {}).cycles().is_empty(), "too early");
        let earlier = estimated(4, |_, _| {});
        let cycles = earlier.cycles();
        assert_eq!(cycles.len(), 35);
        assert_eq!(cycles[0].before_attach_ns, 380 * SECOND_NS);
        let is_constant = |cycle: &EstimatedCycle| cycle.live_bytes.abs_diff(100 * MIB) < MIB;
        assert!(cycles.iter().all(is_constant), "{cycles:?}");
    }

    #[test]
    fn another_pace_than_that_of_gogc_estimates_nothing() {
        let limited = |_: u32, figures: &mut HeapFigures| figures.goal_bytes = Some(190 * MIB);
        assert!(estimated(8, limited).cycles().is_empty());
        let smallest_heap =
            |_: u32, figures: &mut HeapFigures| figures.goal_bytes = Some(300 * MIB);
        assert!(estimated(8, smallest_heap).cycles().is_empty());
        let is_off = |_: u32, figures: &mut HeapFigures| figures.gc_percent = None;
        assert!(estimated(8, is_off).cycles().is_empty());
        let forced = |index: u32, figures: &mut HeapFigures| figures.forced_cycles = index;
        assert!(estimated(8, forced).cycles().is_empty());
        let were_forced = |_: u32, figures: &mut HeapFigures| figures.forced_cycles = 50;
        assert!(estimated(8, were_forced).cycles().is_empty());
        // One goal that was read before the pacer had set it is no pace.
        let one = |index: u32, figures: &mut HeapFigures| {
            if index == 3 {
                figures.goal_bytes = Some(20 * MIB);
            }
        };
        assert!(!estimated(8, one).cycles().is_empty());
    }

    #[test]
    fn a_final_estimate_stays_when_the_limit_is_reached_later() {
        let late = |index: u32, figures: &mut HeapFigures| {
            if index > 10 {
                figures.goal_bytes = Some(110 * MIB);
            }
        };
        assert!(!estimated(60, late).cycles().is_empty());
    }
}
