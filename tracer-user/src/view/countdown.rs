//! Countdown to the answer of a watch: a promise that only time shortens, unless it says why it is later.
//!
//! Estimates change at each evaluation. The promise follows an earlier one only if two in succession agree, and a later one
//! only by more than the figure is rounded by, together with the fact that delays it. It does no I/O and reads no clock.

use crate::model::findings::{Awaits, Delay, Forecast};
use crate::verdict::growth::LOOK_S;

/// Time for which the reason of a delay is shown, in seconds: enough to read a line twice.
const REASON_S: f64 = 20.0;
/// Evaluations that come a little late still count as those of their time.
const SAME_TIME_S: f64 = 1.0;

/// Countdown to the answer; one per watch.
#[derive(Clone, Debug, Default)]
pub struct Countdown {
    promise: Option<Promise>,
    /// Estimate of the newest evaluation, and of the one before.
    newest: Option<Estimate>,
    before: Option<Estimate>,
    delay: Option<Shown<Late>>,
}

/// Time of the answer as it is shown, with the facts of the evaluation that it comes from.
#[derive(Clone, Copy, Debug)]
struct Promise {
    at_s: f64,
    facts: Forecast,
}

/// Estimate of one evaluation.
#[derive(Clone, Copy, Debug)]
struct Estimate {
    made_s: f64,
    at_s: Option<f64>,
}

/// A fact that is shown for some seconds.
#[derive(Clone, Copy, Debug)]
struct Shown<T> {
    what: T,
    until_s: f64,
}

/// State of a countdown at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer {
    /// Time that is left.
    pub left: Left,
    /// Delay against an earlier promise, for some seconds after it became known.
    pub late: Option<Late>,
}

/// Time until the answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Left {
    /// Seconds, above 0.
    In(f64),
    /// The promised time has passed, and the next evaluation is due.
    AnyMoment,
    /// No answer is expected before the watch ends.
    AfterEnd,
    /// No estimate: what the answer waits for.
    Unknown(Awaits),
}

/// Delay of the answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Late {
    /// Seconds after the time that was promised.
    pub by_s: f64,
    /// Fact that changed.
    pub why: Delay,
}

impl Countdown {
    /// Takes the forecast of the last evaluation and returns the state at `now_s`, seconds after the attach.
    ///
    /// * `to_repeat`: evaluations that have to repeat an answer that was given, if there is one.
    /// * `end_s`: end of the watch, if it has one.
    pub fn at(
        &mut self,
        now_s: f64,
        forecast: &Forecast,
        to_repeat: Option<u32>,
        end_s: Option<f64>,
    ) -> Answer {
        let confirmed_s = to_repeat.map(|n| forecast.made_s() + f64::from(n) * LOOK_S);
        let estimate_s = confirmed_s.or_else(|| self.estimate(forecast));
        let Some(estimate_s) = estimate_s else {
            self.delay = None;
            return Answer {
                left: Left::Unknown(forecast.awaits()),
                late: None,
            };
        };
        // Beyond the end, no figure is shown that would have to be kept.
        let at_s = end_s.map_or(estimate_s, |end_s| estimate_s.min(end_s + LOOK_S));
        self.follow(now_s, at_s, *forecast, confirmed_s.is_some());
        let promised_s = self.promise.map_or(at_s, |promise| promise.at_s);
        let left = if end_s.is_some_and(|end_s| promised_s > end_s) {
            Left::AfterEnd
        } else if promised_s > now_s {
            Left::In(promised_s - now_s)
        } else {
            Left::AnyMoment
        };
        let delay = self.delay.filter(|delay| now_s < delay.until_s);
        Answer {
            left,
            late: delay.map(|delay| delay.what),
        }
    }

    /// Returns the time by the newest evaluation or the one before, whichever is later: a lucky one promises nothing.
    fn estimate(&mut self, forecast: &Forecast) -> Option<f64> {
        let made_s = forecast.made_s();
        if self.newest.is_none_or(|newest| newest.made_s < made_s) {
            self.before = self.newest.replace(Estimate {
                made_s,
                at_s: forecast.at_s(),
            });
        }
        let at_s = self.newest?.at_s?;
        let before_s = self.before.and_then(|before| before.at_s);
        // An estimate whose time has passed says no more than that it was wrong.
        let before_s = before_s.filter(|before_s| *before_s > made_s + LOOK_S);
        let promised_s = self.promise.map_or(f64::INFINITY, |promise| promise.at_s);
        Some(before_s.map_or(at_s, |before_s| at_s.max(before_s.min(promised_s))))
    }

    /// Moves the promise to `at_s`, where that differs by more than is shown.
    fn follow(&mut self, now_s: f64, at_s: f64, facts: Forecast, is_confirmed: bool) {
        let promise = Promise { at_s, facts };
        let Some(promised) = self.promise else {
            self.promise = Some(promise);
            return;
        };
        let by_s = at_s - promised.at_s;
        let step_s = step_s(at_s - now_s);
        if by_s > step_s + SAME_TIME_S {
            let why = if is_confirmed {
                Delay::Confirmation
            } else {
                facts.delay_since(&promised.facts)
            };
            self.delay = Some(Shown {
                what: Late { by_s, why },
                until_s: now_s + REASON_S,
            });
            self.promise = Some(promise);
        } else if by_s < -step_s {
            self.delay = None;
            self.promise = Some(promise);
        }
    }
}

/// Seconds by which the time that is left is rounded up: estimates are no better.
fn step_s(left_s: f64) -> f64 {
    match left_s {
        s if s <= 60.0 => 20.0,
        s if s <= 300.0 => 30.0,
        _ => 60.0,
    }
}

/// Rounds a time that is left up to what is shown. It never rises while the time falls.
pub fn rounded_s(left_s: f64) -> f64 {
    let step_s = step_s(left_s);
    (left_s / step_s).ceil().max(1.0) * step_s
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Forecast of a leak with GC cycles so far apart, made at `now_s`.
    fn leak(now_s: f64, gap_s: f64) -> Forecast {
        Forecast::of_line(now_s, gap_s, 2.0, 2.0)
    }

    #[test]
    fn time_alone_counts_down_and_other_facts_are_named() {
        let mut countdown = Countdown::default();
        let first = leak(120.0, 5.0);
        let at = |countdown: &mut Countdown, now_s, forecast| {
            countdown.at(now_s, &forecast, None, Some(3600.0))
        };
        let promised_s = first.at_s().expect("an estimate");
        for now_s in [120.0, 127.5, 134.0] {
            let answer = at(&mut countdown, now_s, first);
            assert_eq!(answer.left, Left::In(promised_s - now_s));
            assert_eq!(answer.late, None);
        }
        let slower = leak(135.0, 20.0);
        let by_s = slower.at_s().expect("an estimate") - promised_s;
        let answer = at(&mut countdown, 135.0, slower);
        let why = Delay::Gaps {
            before_s: 5.0,
            now_s: 20.0,
        };
        assert_eq!(answer.late, Some(Late { by_s, why }));
        let until_s = 135.0 + REASON_S;
        assert!(at(&mut countdown, until_s - 1.0, slower).late.is_some());
        let after = at(&mut countdown, until_s, slower);
        assert_eq!(
            after.late, None,
            "the reason is gone, the new promise stays"
        );
        assert_eq!(after.left, Left::In(promised_s + by_s - until_s));
    }

    #[test]
    fn one_lucky_evaluation_shortens_nothing() {
        let mut countdown = Countdown::default();
        let left = |countdown: &mut Countdown, forecast: Forecast| match countdown
            .at(forecast.made_s(), &forecast, None, None)
            .left
        {
            Left::In(left_s) => forecast.made_s() + left_s,
            left => panic!("{left:?}"),
        };
        let slow = left(&mut countdown, leak(120.0, 20.0));
        let lucky = leak(135.0, 5.0);
        assert!(lucky.at_s().is_some_and(|at_s| at_s + 60.0 < slow));
        let after = left(&mut countdown, lucky);
        assert!((after - slow).abs() < 1e-6, "{after} {slow}");
        let again = left(&mut countdown, leak(150.0, 5.0));
        assert!(again < slow, "two agree: {again}");
    }

    #[test]
    fn an_answer_that_was_given_is_due_at_the_next_evaluation() {
        let mut countdown = Countdown::default();
        let forecast = leak(120.0, 5.0);
        countdown.at(120.0, &forecast, None, None);
        let forecast = leak(135.0, 5.0);
        let answer = countdown.at(138.0, &forecast, Some(1), None);
        assert_eq!(answer.left, Left::In(12.0));
        let answer = countdown.at(151.0, &forecast, Some(1), None);
        assert_eq!(answer.left, Left::AnyMoment);
    }

    #[test]
    fn beyond_the_end_there_is_no_figure() {
        let mut countdown = Countdown::default();
        let forecast = leak(120.0, 5.0);
        let answer = countdown.at(120.0, &forecast, None, Some(150.0));
        assert_eq!(answer.left, Left::AfterEnd);
    }

    proptest! {
        #[test]
        fn the_answer_never_moves_later_without_a_reason(
            facts in prop::collection::vec(
                (1.0_f64..60.0, -2.0_f64..8.0, 0.05_f64..6.0, prop::bool::weighted(0.1)),
                1..40,
            ),
            end_s in prop::option::of(100.0_f64..900.0),
        ) {
            let mut countdown = Countdown::default();
            let (mut promised_s, mut figure_s) = (f64::INFINITY, f64::INFINITY);
            for (look, (gap_s, mib_per_min, scatter, is_answer)) in (2_u32..).zip(facts) {
                let made_s = f64::from(look) * LOOK_S;
                let forecast = Forecast::of_line(made_s, gap_s, mib_per_min, scatter);
                for second in 0..15 {
                    let now_s = made_s + f64::from(second);
                    let answer = countdown.at(now_s, &forecast, is_answer.then_some(1), end_s);
                    if let Some(late) = answer.late {
                        prop_assert!(late.by_s > 0.0);
                    }
                    let (at_s, shown_s) = match answer.left {
                        Left::In(left_s) => {
                            prop_assert!(left_s > 0.0);
                            (now_s + left_s, rounded_s(left_s))
                        }
                        Left::AnyMoment => (now_s.min(promised_s), 0.0),
                        Left::AfterEnd => (end_s.expect("an end"), f64::INFINITY),
                        Left::Unknown(_) => continue,
                    };
                    let is_later = at_s > promised_s + 1e-6 || shown_s > figure_s;
                    prop_assert!(
                        !is_later || answer.late.is_some(),
                        "at {now_s}: {promised_s} became {at_s}, {figure_s} {shown_s}"
                    );
                    (promised_s, figure_s) = (at_s, shown_s);
                }
            }
        }
    }
}
