//! Which of a leak's candidates drives it, from the windows in which each was counted.

use std::sync::Arc;

use crate::model::calls::divide;
use crate::model::findings::{Interval, MAX_CANDIDATES};
use crate::verdict::Z_90;

/// Calls below which a rate is not known: chance alone moves 8 of them by 60 % in 90 of 100 cases.
const LEAST_CALLS: u64 = 8;
/// Calls from which on the rates of candidates are compared: a rare function gets one each few seconds, and once all have
/// these the likeliest driver is counted alone.
const FEW_CALLS: u64 = 3;
/// Counted time up to which a function with fewer calls is counted alone: a call each ten seconds gives as many in it.
const ALONE_S: f64 = 90.0;
/// Kept births in the windows of a function below which they give no bytes per call.
const LEAST_BIRTHS: u64 = 5;
/// Windows with births but without a call from which on a function is not tied to the leak, and least share of its births
/// in them. A call that began before a window makes one of them.
const IDLE_WINDOWS: u64 = 3;
const IDLE_SHARE: f64 = 0.2;
/// A function that is called at this share of the requests or more is called in proportion with them.
const RARER_THAN_REQUESTS: f64 = 0.8;
/// Rates that differ by at most this factor are one: windows of different times are compared.
const SAME_RATE: f64 = 1.3;
/// Expected calls at which a count of zero has a probability below 1 %.
const MANY_EXPECTED: f64 = 5.0;
/// Bounds of an amount for each call that is stated: its high end is at most this many times its low end.
const WIDEST: f64 = 3.0;
/// New goroutines for each call that count as one.
const ONE: std::ops::RangeInclusive<f64> = 0.9..=1.1;
/// Bounds that the interval of such a count keeps.
const ABOUT_ONE: std::ops::RangeInclusive<f64> = 0.67..=1.5;

/// Births of a leak's objects, as far as they live.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Births {
    samples: u64,
    bytes: f64,
    squares: f64,
}

impl Births {
    fn add(&mut self, bytes: f64) {
        self.samples += 1;
        self.bytes += bytes;
        self.squares += bytes * bytes;
    }
}

/// Figures of a candidate's windows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Counted {
    calls: u64,
    seconds: f64,
    /// Number of windows, and the sum of their squared calls by their seconds.
    windows: u64,
    calls2_per_sec: f64,
    /// Births in its windows, and those in windows without a call.
    births: Births,
    idle: Births,
    idle_windows: u64,
    /// Births that outlived two GC cycles, and calls in the windows that are old enough for that.
    kept: Births,
    calls_of_kept: u64,
}

impl Counted {
    /// Adds a window with so many calls, and the bytes of each birth in it. `is_judged` is true if two GC cycles have decided
    /// which of these births live.
    pub(super) fn add(
        &mut self,
        calls: u64,
        seconds: f64,
        is_judged: bool,
        births: impl ExactSizeIterator<Item = f64>,
    ) {
        self.calls += calls;
        self.seconds += seconds;
        self.windows += 1;
        self.calls2_per_sec += (calls as f64).powi(2) / seconds.max(1e-9);
        if is_judged {
            self.calls_of_kept += calls;
        }
        self.idle_windows += u64::from(calls == 0 && births.len() > 0);
        for bytes in births {
            self.births.add(bytes);
            if calls == 0 {
                self.idle.add(bytes);
            }
            if is_judged {
                self.kept.add(bytes);
            }
        }
    }

    pub(super) fn calls(&self) -> u64 {
        self.calls
    }

    fn per_sec(&self) -> f64 {
        self.calls as f64 / self.seconds.max(1e-9)
    }

    fn is_known(&self) -> bool {
        self.calls >= LEAST_CALLS
    }

    /// True if its rate will be known soon.
    pub(super) fn is_pending(&self) -> bool {
        !self.is_known() && self.seconds < ALONE_S
    }

    /// True if none of many expected calls came: a loop that never returns is on the stacks, and is called once.
    pub(super) fn is_too_rare(&self, expected_per_sec: f64) -> bool {
        self.calls == 0 && expected_per_sec * self.seconds >= MANY_EXPECTED
    }

    /// True if it is called in proportion with requests, as far as their rate is known.
    fn follows_requests(&self, requests_per_sec: Option<f64>) -> bool {
        requests_per_sec.is_some_and(|of| self.per_sec() >= RARER_THAN_REQUESTS * of)
    }

    fn is_comparable(&self) -> bool {
        self.calls >= FEW_CALLS
    }

    /// True if births come without calls: it is a loop, or its calls on these stacks are inlined.
    fn is_idle(&self) -> bool {
        self.idle_windows >= IDLE_WINDOWS && self.idle.bytes > IDLE_SHARE * self.births.bytes
    }

    /// Variance of the calls of its windows by that of chance, at least 1: load comes in waves.
    fn dispersion(&self) -> f64 {
        let calls = self.calls as f64;
        let free = self.windows.saturating_sub(1) as f64;
        if free == 0.0 || calls == 0.0 {
            return 1.0;
        }
        ((self.calls2_per_sec / self.per_sec() - calls) / free).max(1.0)
    }

    /// Adds the windows of a function with the same rate.
    fn pool(&mut self, other: &Self) {
        self.calls += other.calls;
        self.seconds += other.seconds;
        self.windows += other.windows;
        self.calls2_per_sec += other.calls2_per_sec;
    }

    /// Calls a second with the error of a count. `all_s` is the time that they stand for: calls counted in it have no error.
    pub(super) fn rate(&self, all_s: f64) -> Interval {
        let unseen = (1.0 - self.seconds / all_s.max(self.seconds)).max(0.0);
        let variance = self.calls as f64 * unseen * self.dispersion();
        let error = Z_90 * variance.sqrt() / self.seconds.max(1e-9);
        not_negative(self.per_sec(), error)
    }

    /// Kept bytes for each call in the same windows; `None` for too few.
    fn kept_per_call(&self) -> Option<Interval> {
        let calls = self.calls_of_kept as f64;
        if self.calls_of_kept < LEAST_CALLS || self.kept.samples < LEAST_BIRTHS {
            return None;
        }
        let error = Z_90 * self.kept.squares.sqrt() / calls;
        Some(not_negative(self.kept.bytes / calls, error))
    }
}

/// A figure that is not negative, with its error.
fn not_negative(value: f64, error: f64) -> Interval {
    Interval {
        value,
        low: (value - error).max(0.0),
        high: value + error,
    }
}

/// Answer for one leak, by index of its candidates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Choice {
    /// Functions worth counting, at most [`MAX_CANDIDATES`]; functions whose rate is not known come first.
    pub(super) wanted: Vec<usize>,
    /// The driver.
    pub(super) driver: Option<usize>,
}

/// Chooses among candidates, innermost first. Functions of the main module come before those of libraries.
pub(super) fn choose(candidates: &[Candidate], requests_per_sec: Option<f64>) -> Choice {
    let is_in = |counted: &Counted| {
        let is_as_frequent = counted.is_known() && counted.follows_requests(requests_per_sec);
        !is_as_frequent && !counted.is_idle()
    };
    let left: Vec<(usize, &Counted)> = (candidates.iter().enumerate())
        .filter_map(|(at, candidate)| Some((at, candidate.counted.as_ref()?)))
        .filter(|(_, counted)| is_in(counted))
        .collect();
    let rarest = (left.iter())
        .filter(|(_, counted)| counted.is_comparable())
        .map(|(_, counted)| counted.rate(f64::INFINITY))
        .min_by(|a, b| a.value.total_cmp(&b.value));
    let is_rare = |counted: &Counted| {
        let low = counted.rate(f64::INFINITY).low;
        rarest.is_none_or(|rarest| !counted.is_comparable() || low <= SAME_RATE * rarest.high)
    };
    let rare = left.iter().filter(|(_, counted)| is_rare(counted));
    let mut rare: Vec<usize> = rare.map(|(at, _)| *at).collect();
    rare.sort_by_key(|&at| !candidates[at].is_main);
    let of = |at: &&usize| candidates[**at].counted.as_ref();
    let is_comparable = |at: &usize| of(&at).is_some_and(Counted::is_comparable);
    let is_complete = rare.iter().all(is_comparable);
    let is_driver = |at: &&usize| {
        let is_rarest = |counted: &Counted| {
            rarest.is_some_and(|rarest| counted.per_sec() <= SAME_RATE * rarest.value)
        };
        of(at).is_some_and(is_rarest)
    };
    let driver = rare.iter().find(is_driver).filter(|_| is_complete);
    if let Some(driver) = driver {
        return Choice {
            wanted: vec![*driver],
            driver: of(&driver)
                .is_some_and(Counted::is_known)
                .then_some(*driver),
        };
    }
    let mut wanted = rare;
    wanted.sort_by_key(is_comparable);
    wanted.truncate(MAX_CANDIDATES);
    Choice {
        wanted,
        driver: None,
    }
}

/// Bytes for each call: the rate of the leak by that of the calls, if what was kept in the windows agrees.
pub(super) fn bytes_per_call(
    counted: &Counted,
    bytes_per_min: Option<Interval>,
    calls_per_sec: Interval,
) -> Option<Interval> {
    let kept = counted.kept_per_call()?;
    let by_rate = bytes_per_min.and_then(|rate| divide(rate, per_min(calls_per_sec)));
    let stated = match by_rate {
        Some(by_rate) if by_rate.low > kept.high || by_rate.high < kept.low => return None,
        Some(by_rate) => by_rate,
        None => kept,
    };
    (stated.low > 0.0 && stated.high <= WIDEST * stated.low).then_some(stated)
}

/// New goroutines for each call, if they are one.
fn one_goroutine(goroutines_per_min: Interval, calls_per_sec: Interval) -> Option<Interval> {
    let each = divide(goroutines_per_min, per_min(calls_per_sec))?;
    let is_one = ONE.contains(&each.value)
        && *ABOUT_ONE.start() <= each.low
        && each.high <= *ABOUT_ONE.end();
    is_one.then_some(each)
}

/// Driver of a leak of goroutines.
pub(super) struct PerGoroutine {
    /// Index of the candidate.
    pub(super) at: usize,
    /// Calls a second.
    pub(super) calls_per_sec: Interval,
}

/// Finds the innermost function that is called once for each goroutine: births of goroutines are not known. Functions of one
/// rate share their windows, so that waves of the load do not change the name. `all_s` is as for [`Counted::rate`].
pub(super) fn once_per_goroutine(
    candidates: &[Candidate],
    requests_per_sec: Option<f64>,
    goroutines_per_min: Interval,
    all_s: f64,
) -> Option<PerGoroutine> {
    let counted = || candidates.iter().filter_map(|of| of.counted.as_ref());
    (0..).zip(candidates).find_map(|(at, candidate)| {
        let own = candidate.counted.filter(Counted::is_known)?;
        let is_same = |of: &&Counted| {
            let (a, b) = (of.per_sec(), own.per_sec());
            of.is_known() && a.max(b) <= SAME_RATE * a.min(b)
        };
        let mut pooled = Counted::default();
        counted().filter(is_same).for_each(|same| pooled.pool(same));
        let calls_per_sec = pooled.rate(all_s);
        one_goroutine(goroutines_per_min, calls_per_sec)?;
        (!pooled.follows_requests(requests_per_sec)).then_some(PerGoroutine { at, calls_per_sec })
    })
}

/// A rate per second as one per minute.
pub(super) fn per_min(per_sec: Interval) -> Interval {
    per_sec.times(60.0)
}

/// A candidate of a leak.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) function: Arc<str>,
    /// True if it is of the main module.
    pub(super) is_main: bool,
    /// `None` if it cannot be counted.
    pub(super) counted: Option<Counted>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls in a time, each with a birth of 200 kB.
    fn counted(calls: u64, seconds: f64) -> Counted {
        let births = Births {
            samples: calls,
            bytes: 2e5 * calls as f64,
            squares: 4e10 * calls as f64,
        };
        Counted {
            calls,
            seconds,
            windows: 1,
            calls2_per_sec: (calls as f64).powi(2) / seconds,
            births,
            idle: Births::default(),
            idle_windows: 0,
            kept: births,
            calls_of_kept: calls,
        }
    }

    /// Births without a call.
    fn idle(samples: u64, seconds: f64) -> Counted {
        let births = counted(samples, seconds).births;
        Counted {
            seconds,
            births,
            idle: births,
            idle_windows: samples,
            ..Counted::default()
        }
    }

    fn of_main(counted: Option<Counted>) -> Candidate {
        Candidate {
            function: "main.f".into(),
            is_main: true,
            counted,
        }
    }

    fn choose(candidates: &[Option<Counted>], requests_per_sec: Option<f64>) -> Choice {
        let candidates: Vec<Candidate> = candidates.iter().copied().map(of_main).collect();
        super::choose(&candidates, requests_per_sec)
    }

    fn driver(candidates: &[Option<Counted>], requests_per_sec: Option<f64>) -> Option<usize> {
        choose(candidates, requests_per_sec).driver
    }

    const REQUESTS: Option<f64> = Some(300.0);

    #[test]
    fn names_the_rarest_function_that_is_called_at_all() {
        let route = Some(counted(800, 4.0));
        let reload = Some(counted(16, 4.0));
        let check = Some(counted(160, 4.0));
        let watch = Some(idle(6, 4.0));
        assert_eq!(driver(&[route, reload, check, watch], REQUESTS), Some(1));
        assert_eq!(driver(&[route, None, check, watch], REQUESTS), Some(2));
    }

    #[test]
    fn names_the_innermost_of_functions_that_call_each_other_once() {
        let (build, reload) = (Some(counted(18, 4.0)), Some(counted(16, 4.0)));
        assert_eq!(driver(&[build, reload], REQUESTS), Some(0));
        let mut candidates = [build, reload].map(of_main);
        candidates[0].is_main = false;
        let choice = super::choose(&candidates, REQUESTS);
        assert_eq!(choice.driver, Some(1), "libraries come last");
    }

    #[test]
    fn waits_for_a_function_with_few_calls_and_keeps_counting_it() {
        let check = Some(counted(160, 4.0));
        for few in [counted(FEW_CALLS - 1, 4.0), idle(IDLE_WINDOWS - 1, 4.0)] {
            let choice = choose(&[check, Some(few)], REQUESTS);
            assert_eq!(choice.driver, None, "{few:?}");
            assert!(choice.wanted.contains(&1), "{choice:?}");
        }
        let rare = [Some(counted(4, 12.0)), Some(counted(3, 12.0))];
        let likeliest = Choice {
            wanted: vec![1],
            driver: None,
        };
        assert_eq!(choose(&rare, REQUESTS), likeliest, "8 calls are needed");
        let nothing_yet = choose(&[Some(Counted::default()); 9], None);
        assert_eq!(nothing_yet.wanted, [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_function_with_few_calls_is_pending_for_a_while() {
        assert!(counted(LEAST_CALLS - 1, 30.0).is_pending());
        assert!(!counted(LEAST_CALLS, 30.0).is_pending(), "it is known");
        assert!(!counted(LEAST_CALLS - 1, ALONE_S).is_pending(), "too rare");
    }

    #[test]
    fn names_nothing_before_all_frames_are_counted() {
        let uncounted = Some(Counted::default());
        let mut candidates = vec![Some(counted(40, 10.0)); MAX_CANDIDATES];
        candidates.extend([uncounted, uncounted]);
        let choice = choose(&candidates, None);
        assert_eq!(choice.driver, None);
        assert_eq!(choice.wanted, [6, 7, 0, 1, 2, 3]);
        candidates.truncate(MAX_CANDIDATES);
        candidates.extend([Some(counted(10, 10.0)), Some(counted(20, 10.0))]);
        assert_eq!(driver(&candidates, None), Some(6));
    }

    #[test]
    fn names_nothing_that_is_called_in_proportion_with_requests() {
        let handler = Some(counted(1_190, 4.0));
        let choice = choose(&[handler], REQUESTS);
        assert_eq!(choice, Choice::default());
        assert_eq!(driver(&[handler], None), Some(0));
    }

    #[test]
    fn stops_counting_what_is_called_more_often() {
        let candidates = [
            Some(counted(800, 4.0)),
            Some(counted(FEW_CALLS - 1, 4.0)),
            Some(counted(40, 4.0)),
        ];
        assert_eq!(choose(&candidates, REQUESTS).wanted, [1, 2]);
    }

    #[test]
    fn a_loop_that_is_never_called_again_starts_no_goroutines() {
        assert!(counted(0, 20.0).is_too_rare(0.25));
        assert!(!counted(0, 10.0).is_too_rare(0.25), "too short");
        assert!(!counted(1, 20.0).is_too_rare(0.25));
    }

    fn interval(low: f64, value: f64, high: f64) -> Interval {
        Interval { value, low, high }
    }

    #[test]
    fn bytes_for_each_call_need_births_that_agree() {
        let counted = counted(40, 10.0);
        let calls = counted.rate(20.0);
        let near = bytes_per_call(&counted, Some(interval(45e6, 48e6, 51e6)), calls).unwrap();
        assert!((near.value - 2e5).abs() < 1.0, "{near:?}");
        assert!(near.low > 1.5e5 && near.high < 2.5e5, "{near:?}");
        let other = Some(interval(9e6, 10e6, 11e6));
        assert_eq!(bytes_per_call(&counted, other, calls), None);
        let by_births = bytes_per_call(&counted, None, calls).unwrap();
        assert!((by_births.value - 2e5).abs() < 1.0, "{by_births:?}");
        let mut few = counted;
        few.kept.samples = LEAST_BIRTHS - 1;
        assert_eq!(bytes_per_call(&few, None, calls), None);
        let wide = Some(interval(1e7, 48e6, 86e6));
        assert_eq!(bytes_per_call(&counted, wide, calls), None);
    }

    #[test]
    fn waves_widen_the_error_of_a_rate() {
        let even = Counted {
            windows: 2,
            calls2_per_sec: 2.0 * 100.0 * 100.0 / 2.0,
            ..counted(200, 4.0)
        };
        let waves = Counted {
            calls2_per_sec: 50.0 * 50.0 / 2.0 + 150.0 * 150.0 / 2.0,
            ..even
        };
        let width = |of: Counted| {
            let rate = of.rate(f64::INFINITY);
            rate.high - rate.low
        };
        assert!((width(even) - 2.0 * Z_90 * 200_f64.sqrt() / 4.0).abs() < 1e-9);
        assert!(width(waves) > 5.0 * width(even));
    }

    #[test]
    fn one_goroutine_for_each_call_is_nearly_one() {
        let calls = counted(500, 5.0).rate(10.0);
        let rate = |each: f64| interval(5_700.0 * each, 6_000.0 * each, 6_300.0 * each);
        assert!(one_goroutine(rate(1.0), calls).is_some());
        assert_eq!(one_goroutine(rate(0.5), calls), None);
        assert_eq!(one_goroutine(rate(2.0), calls), None);
        let few = counted(8, 0.08).rate(10.0);
        assert_eq!(one_goroutine(rate(1.0), few), None, "8 calls are too few");
    }
}
