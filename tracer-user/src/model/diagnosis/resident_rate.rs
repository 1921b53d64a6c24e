//! Growth of the resident set: the rate that follows from what grows, compared with the one that is measured.
//!
//! The first is the narrower, and known sooner. It is right while the GC's goal rises with what lives and nothing else moves.
//! The second holds whatever moves, and needs the peaks of some cycles. Where their intervals do not overlap, the part of the
//! resident set that explains most of the difference is named, and the measured rate is taken: unless the heap still fills
//! memory that was resident before, or the resident set falls. Both end, so that the predicted rate is kept.

use super::MINUTE_NS;
use crate::model::anatomy::{Moment, Part};
use crate::model::findings::{Interval, RssCause, RssComparison, RssOutcome};

/// Part of the difference that a cause explains at least, to be named.
const EXPLAINS: f64 = 0.5;
/// The first and the last of so many parts of a window are compared: each holds some GC cycles, so that their saw-tooth
/// averages out.
const N_STRETCHES: u64 = 3;
/// Readings in a stretch below which its mean says nothing.
const MIN_READINGS: usize = 4;

/// Rates of what counts towards a limit, bytes per minute; `None` for a kind that does not grow, or whose rate is unknown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rates {
    pub(super) heap: Option<Interval>,
    pub(super) stacks: Option<Interval>,
    pub(super) outside: Option<Interval>,
    /// Heap or stacks grow, at a rate that is unknown.
    pub(super) is_go_unknown: bool,
    /// Memory outside Go does.
    pub(super) is_outside_unknown: bool,
}

impl Rates {
    /// True if a kind grows.
    pub(super) fn grows(&self) -> bool {
        let has_rate = [self.heap, self.stacks, self.outside]
            .iter()
            .any(Option::is_some);
        has_rate || self.is_go_unknown || self.is_outside_unknown
    }

    /// Growth of the resident set, bytes per minute; `None` if nothing grows, or the factor or a rate is unknown.
    pub(super) fn resident(&self, factor: Option<f64>) -> Option<Interval> {
        if self.is_go_unknown || self.is_outside_unknown {
            return None;
        }
        let of_heap = [self.heap, self.stacks]
            .into_iter()
            .flatten()
            .reduce(Interval::plus);
        let of_heap = match of_heap {
            Some(rate) => Some(rate.times(factor?)),
            None => None,
        };
        [of_heap, self.outside]
            .into_iter()
            .flatten()
            .reduce(Interval::plus)
    }

    /// Adds a heap that has no verdict yet, by its slope so far. What it adds is part of the growth of the resident set all
    /// the same: without a slope, or where the sum may be zero, that growth is unknown.
    pub(super) fn with_open_heap(self, slope: Option<Interval>, factor: Option<f64>) -> Self {
        let open = Self {
            heap: slope,
            ..self
        };
        let is_known = slope.is_some()
            && (open.resident(factor)).is_some_and(|sum| sum.above_zero().is_some());
        if is_known {
            return open;
        }
        Self {
            is_go_unknown: true,
            ..self
        }
    }

    /// Compares the rate that follows with the measured one, over the window since `from_ns` of the readings in `history`.
    /// `None` where the measured one says nothing.
    pub(super) fn compare(
        &self,
        factor: Option<f64>,
        measured: Interval,
        history: &[Moment],
        from_ns: u64,
    ) -> Option<RssComparison> {
        let predicted = self.resident(factor);
        let outcome = match predicted {
            // An interval that holds zero and the predicted rate measures nothing.
            Some(predicted) if overlap(predicted, measured) && measured.low <= 0.0 => return None,
            Some(predicted) if overlap(predicted, measured) => RssOutcome::Agrees,
            Some(predicted) => {
                let difference = measured.value - predicted.value;
                let slopes = Slopes::over(history, from_ns);
                let explained = slopes
                    .zip(factor)
                    .map_or(RssOutcome::Differs(None), |(slopes, factor)| {
                        self.explain(factor, difference, &slopes)
                    });
                if measured.low > 0.0 {
                    explained
                } else {
                    RssOutcome::Falls(explained.cause())
                }
            }
            None if measured.low > 0.0 => RssOutcome::Differs(None),
            None => return None,
        };
        Some(RssComparison {
            predicted,
            measured,
            outcome,
        })
    }

    /// Explains a measured rate that is `difference` above the predicted one, or below it.
    fn explain(&self, factor: f64, difference: f64, slopes: &Slopes) -> RssOutcome {
        let known = |rate: Option<Interval>| rate.map_or(0.0, |rate| rate.value);
        let share = |bytes: f64| bytes / difference;
        let idle = slopes.of(Part::Idle);
        // Garbage and idle spans fill the heap up to the goal of the GC, which counts what lives and the used part of stacks
        // (`lastStackScan`, go1.19 and later).
        let excess = slopes.of(Part::Garbage) + idle - (factor - 1.0) * slopes.of(Part::Live);
        let stacks = slopes.of(Part::Stacks);
        let by_stacks = excess.clamp(0.0, ((factor - 1.0) * stacks).max(0.0));
        let causes = [
            (RssCause::Heap, excess - by_stacks),
            (
                RssCause::Stacks,
                stacks + by_stacks - factor * known(self.stacks),
            ),
            (
                RssCause::Outside,
                slopes.of(Part::Anon) - known(self.outside),
            ),
            (RssCause::SpanWaste, slopes.of(Part::Waste)),
            (RssCause::Files, slopes.of(Part::File)),
        ];
        let most = causes
            .into_iter()
            .max_by(|(_, a), (_, b)| share(*a).total_cmp(&share(*b)))
            .filter(|(_, bytes)| share(*bytes) >= EXPLAINS)
            .map(|(cause, _)| cause);
        if most == Some(RssCause::Heap) && difference < 0.0 && share(idle) >= EXPLAINS {
            RssOutcome::Lags
        } else {
            RssOutcome::Differs(most)
        }
    }
}

fn overlap(a: Interval, b: Interval) -> bool {
    a.low <= b.high && b.low <= a.high
}

/// Slopes of the parts of the resident set over a window.
struct Slopes<'a> {
    first: &'a [Moment],
    last: &'a [Moment],
}

impl<'a> Slopes<'a> {
    /// Slopes since `from_ns`; `None` while there are too few readings.
    fn over(history: &'a [Moment], from_ns: u64) -> Option<Self> {
        let window = &history[history.partition_point(|moment| moment.at_ns < from_ns)..];
        let (from_ns, to_ns) = (window.first()?.at_ns, window.last()?.at_ns);
        let stretch_ns = (to_ns - from_ns) / N_STRETCHES;
        let first_end = window.partition_point(|moment| moment.at_ns <= from_ns + stretch_ns);
        let last_start = window.partition_point(|moment| moment.at_ns < to_ns - stretch_ns);
        let (first, last) = (&window[..first_end], &window[last_start..]);
        (stretch_ns > 0 && first.len().min(last.len()) >= MIN_READINGS)
            .then_some(Self { first, last })
    }

    /// Bytes per minute.
    fn of(&self, part: Part) -> f64 {
        let change =
            |value: &dyn Fn(&Moment) -> f64| mean(self.last, value) - mean(self.first, value);
        let bytes = change(&|moment| moment.parts.get(part) as f64);
        let start_ns = self.first.first().map_or(0, |moment| moment.at_ns);
        bytes / change(&|moment| (moment.at_ns - start_ns) as f64 / MINUTE_NS)
    }
}

fn mean(moments: &[Moment], value: &dyn Fn(&Moment) -> f64) -> f64 {
    moments.iter().map(value).sum::<f64>() / moments.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::gc::SECOND_NS;

    const MIB: f64 = 1_048_576.0;

    fn rate(mib: f64) -> Interval {
        Interval {
            value: mib * MIB,
            low: (mib - 0.5) * MIB,
            high: (mib + 0.5) * MIB,
        }
    }

    /// Readings every 5 s for 5 minutes, in which parts grow by so many MiB a minute.
    fn history(growth: &[(Part, f64)]) -> Vec<Moment> {
        let moment = |i: u64| {
            let mut moment = Moment {
                at_ns: 5 * i * SECOND_NS,
                ..Moment::default()
            };
            for &(part, mib) in growth {
                #[allow(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a test's bytes"
                )]
                let bytes = ((100.0 + mib * i as f64 / 12.0) * MIB) as u64;
                moment.parts.set(part, bytes);
            }
            moment
        };
        (0..60).map(moment).collect()
    }

    fn outcome(rates: Rates, measured: f64, growth: &[(Part, f64)]) -> RssOutcome {
        rates
            .compare(Some(2.0), rate(measured), &history(growth), 0)
            .expect("a comparison")
            .outcome
    }

    #[test]
    fn takes_the_measured_rate_where_stacks_grow_beside_the_heap() {
        let heap = Rates {
            heap: Some(rate(1.2)),
            ..Rates::default()
        };
        let growth = [(Part::Live, 1.2), (Part::Idle, 3.5), (Part::Stacks, 2.3)];
        assert_eq!(
            outcome(heap, 7.0, &growth),
            RssOutcome::Differs(Some(RssCause::Stacks))
        );
        let both = Rates {
            stacks: Some(rate(2.3)),
            ..heap
        };
        assert_eq!(outcome(both, 7.0, &growth), RssOutcome::Agrees);
    }

    #[test]
    fn takes_the_measured_rate_where_stacks_are_partly_used() {
        let stacks = Rates {
            heap: Some(rate(0.2)),
            stacks: Some(rate(4.6)),
            ..Rates::default()
        };
        let growth = [(Part::Live, 0.2), (Part::Garbage, 2.0), (Part::Stacks, 4.2)];
        assert_eq!(
            outcome(stacks, 6.4, &growth),
            RssOutcome::Differs(Some(RssCause::Stacks))
        );
    }

    #[test]
    fn keeps_the_predicted_rate_while_the_heap_fills_what_was_resident() {
        let heap = Rates {
            heap: Some(rate(10.0)),
            ..Rates::default()
        };
        let growth = [
            (Part::Live, 10.0),
            (Part::Garbage, 8.0),
            (Part::Idle, -14.0),
        ];
        assert_eq!(outcome(heap, 4.0, &growth), RssOutcome::Lags);
        let less_garbage = [(Part::Live, 10.0), (Part::Garbage, -6.0)];
        assert_eq!(
            outcome(heap, 4.0, &less_garbage),
            RssOutcome::Differs(Some(RssCause::Heap)),
            "no memory is filled again"
        );
    }

    #[test]
    fn names_other_parts_and_none_that_explains_little() {
        let heap = Rates {
            heap: Some(rate(2.0)),
            ..Rates::default()
        };
        let beside = |part, mib| [(Part::Live, 2.0), (Part::Garbage, 2.0), (part, mib)];
        for (part, cause) in [
            (Part::Anon, RssCause::Outside),
            (Part::Waste, RssCause::SpanWaste),
            (Part::File, RssCause::Files),
        ] {
            let found = outcome(heap, 9.0, &beside(part, 5.0));
            assert_eq!(found, RssOutcome::Differs(Some(cause)));
        }
        let found = outcome(heap, 9.0, &beside(Part::Waste, 1.0));
        assert_eq!(found, RssOutcome::Differs(None));
    }

    #[test]
    fn a_measured_rate_that_may_be_zero_confirms_nothing() {
        let heap = Rates {
            heap: Some(rate(0.4)),
            ..Rates::default()
        };
        let compared = |measured| heap.compare(Some(2.0), rate(measured), &[], 0);
        assert_eq!(compared(0.3), None);
        let found = compared(0.9).map(|compared| compared.outcome);
        assert_eq!(found, Some(RssOutcome::Agrees));
        let found = compared(-2.0).map(|compared| compared.outcome);
        assert_eq!(found, Some(RssOutcome::Falls(None)));
    }

    #[test]
    fn a_heap_without_a_verdict_is_part_of_the_growth() {
        let goroutines = Rates {
            stacks: Some(rate(2.0)),
            ..Rates::default()
        };
        let resident = |slope| {
            let rates = goroutines.with_open_heap(slope, Some(2.0));
            assert!(rates.grows());
            rates.resident(Some(2.0)).map(|sum| sum.value / MIB)
        };
        assert_eq!(resident(None), None, "too few cycles for a slope");
        assert_eq!(resident(Some(rate(1.0))), Some(6.0));
        assert_eq!(resident(Some(rate(-1.9))), None, "it may be zero");
    }

    #[test]
    fn keeps_the_predicted_rate_while_rss_falls() {
        let heap = Rates {
            heap: Some(rate(2.0)),
            ..Rates::default()
        };
        let live = [(Part::Live, 2.0), (Part::Garbage, 2.0)];
        for (part, cause) in [(Part::File, RssCause::Files), (Part::Idle, RssCause::Heap)] {
            let growth = [&live[..], &[(part, -6.0)]].concat();
            let found = heap
                .compare(Some(2.0), rate(-2.0), &history(&growth), 0)
                .expect("a comparison");
            assert_eq!(found.outcome, RssOutcome::Falls(Some(cause)));
            assert_eq!(Some(found.per_min()), found.predicted);
            let pace = found.pace();
            assert!((pace.value - 4.0 * MIB).abs() < 1.0, "{pace:?}");
            assert!(pace.low <= -2.0 * MIB, "it may take longer: {pace:?}");
        }
    }

    #[test]
    fn measures_what_no_factor_predicts() {
        let heap = Rates {
            heap: Some(rate(2.0)),
            ..Rates::default()
        };
        let of = |measured| heap.compare(None, rate(measured), &[], 0);
        let found = of(3.0).expect("a comparison");
        assert_eq!(
            (found.predicted, found.outcome),
            (None, RssOutcome::Differs(None))
        );
        assert_eq!(of(0.1), None, "it may be flat");
    }
}
