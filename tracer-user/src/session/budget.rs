//! The sampler's budget: at `MemProfileRate` 1 two traps an allocation would ruin the target.

use std::collections::VecDeque;

use crate::event::KernelCounters;
use crate::plan::Kind;

/// Largest share of one CPU that the sampler's probes may take.
const MAX_CPU_FRACTION: f64 = 0.01;
/// The share is taken over this long.
const WINDOW_NS: u64 = 1_000_000_000;
/// What a hit costs until it is measured (design: 1.0 µs with a ring record).
const ASSUMED_HIT_NS: f64 = 1_000.0;

/// Watches what the probes take.
#[derive(Clone, Debug)]
pub(super) struct SamplerBudget {
    /// Nanoseconds a hit.
    pub(super) hit_cost_ns: f64,
    seen: VecDeque<(u64, u64)>,
    spent: bool,
}

impl Default for SamplerBudget {
    fn default() -> Self {
        Self {
            hit_cost_ns: ASSUMED_HIT_NS,
            seen: VecDeque::new(),
            spent: false,
        }
    }
}

impl SamplerBudget {
    /// Whether the probes have just been found to take more than their share; said once.
    pub(super) fn exceeded(&mut self, counters: &KernelCounters) -> bool {
        self.seen
            .push_back((counters.at_ns, sampler_hits(counters)));
        while self.seen.len() > 2 && self.seen[1].0 + WINDOW_NS <= counters.at_ns {
            self.seen.pop_front();
        }
        let (Some(first), Some(last)) = (self.seen.front(), self.seen.back()) else {
            return false;
        };
        let spent_ns = last.1.saturating_sub(first.1) as f64 * self.hit_cost_ns;
        // What a whole window may take, also if it was spent in its first tenth: at half a million hits a
        // second the target should not pay for the rest of it.
        let window_ns = last.0.saturating_sub(first.0).max(WINDOW_NS);
        let exceeded = spent_ns > MAX_CPU_FRACTION * window_ns as f64 && !self.spent;
        self.spent |= exceeded;
        exceeded
    }
}

/// Traps of all probes but those of calls, which keep a budget of their own.
fn sampler_hits(counters: &KernelCounters) -> u64 {
    counters.hits[..Kind::Call as usize].iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: &[u64]) -> Vec<bool> {
        let mut budget = SamplerBudget::default();
        let mut hits = 0;
        let looks = seconds
            .iter()
            .flat_map(|&per_second| std::iter::repeat_n(per_second / 10, 10));
        (0u64..)
            .zip(looks)
            .map(|(i, new)| {
                hits += new;
                let counters = KernelCounters {
                    at_ns: i * 100_000_000,
                    hits: std::array::from_fn(|kind| if kind == 0 { hits } else { 0 }),
                    ..KernelCounters::default()
                };
                budget.exceeded(&counters)
            })
            .collect()
    }

    #[test]
    fn ten_thousand_hits_a_second_are_the_limit_and_it_is_said_once() {
        assert!(!after(&[500, 9_000, 9_900, 700]).contains(&true));
        let said = after(&[500, 500_000, 500_000, 500_000]);
        assert_eq!(said.iter().filter(|&&said| said).count(), 1);
    }
}
