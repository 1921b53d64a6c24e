//! Driver of a leak: the function with whose calls it grows.
//!
//! Candidates are the frames that the leak's stacks share. Each is counted in short windows. The leak's births in these windows
//! say if it is tied to the growth: a loop that has run for hours has births without calls. Of the frames that are tied, the
//! rarest drives the others, as all are on the same stacks. Of several with its rate the innermost of the main module is
//! named, else the innermost. A function that is inlined on these stacks is no candidate. For a function that is called as often as requests the growth is stated per request instead.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::attribution::Code;
use crate::go::frame::Frame;
use crate::model::Model;
use crate::model::calls::divide;
use crate::model::findings::{Driver, Interval, Kind, Leak, MAX_CANDIDATES};
use crate::model::gc::SECOND_NS;
use crate::model::rows::{GroupBy, Liveness};

/// Least share of a leak's births that pass a candidate. The rest may come from a second path.
const LEAST_SHARE: f64 = 0.8;
/// Calls below which a rate is not known: chance alone moves 8 of them by 60 % in 90 of 100 cases.
const LEAST_CALLS: u64 = 8;
/// Calls from which on the rates of candidates are compared: a rare function gets one each few seconds, and once all have
/// these the likeliest driver is counted alone.
const FEW_CALLS: u64 = 3;
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
/// Bounds of an amount for each call that is stated: its high end is at most this many times its low end.
const WIDEST: f64 = 3.0;
/// New goroutines for each call that count as one.
const ONE: std::ops::RangeInclusive<f64> = 0.9..=1.1;
/// Bounds that the interval of such a count keeps.
const ABOUT_ONE: std::ops::RangeInclusive<f64> = 0.67..=1.5;
/// Standard errors of a two-sided 90 % interval.
const Z_90: f64 = 1.645;

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
struct Counted {
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
    fn per_sec(&self) -> f64 {
        self.calls as f64 / self.seconds.max(1e-9)
    }

    fn is_known(&self) -> bool {
        self.calls >= LEAST_CALLS
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
    fn rate(&self, all_s: f64) -> Interval {
        let unseen = (1.0 - self.seconds / all_s.max(self.seconds)).max(0.0);
        let variance = self.calls as f64 * unseen * self.dispersion();
        let error = Z_90 * variance.sqrt() / self.seconds.max(1e-9);
        let value = self.per_sec();
        Interval {
            value,
            low: (value - error).max(0.0),
            high: value + error,
        }
    }

    /// Kept bytes for each call in the same windows; `None` for too few.
    fn kept_per_call(&self) -> Option<Interval> {
        let calls = self.calls_of_kept as f64;
        if self.calls_of_kept < LEAST_CALLS || self.kept.samples < LEAST_BIRTHS {
            return None;
        }
        let (value, error) = (
            self.kept.bytes / calls,
            Z_90 * self.kept.squares.sqrt() / calls,
        );
        Some(Interval {
            value,
            low: (value - error).max(0.0),
            high: value + error,
        })
    }
}

/// Answer for one leak, by index of its candidates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Choice {
    /// Those that are worth counting, at most [`MAX_CANDIDATES`]: first those whose rate is not known.
    wanted: Vec<usize>,
    /// The driver.
    driver: Option<usize>,
}

/// Chooses among candidates, innermost first. Functions of the main module come before those of libraries.
fn choose(candidates: &[Candidate], requests_per_sec: Option<f64>) -> Choice {
    let is_in = |counted: &Counted| {
        let is_as_frequent = counted.is_known()
            && requests_per_sec.is_some_and(|of| counted.per_sec() >= RARER_THAN_REQUESTS * of);
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
fn bytes_per_call(
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

fn per_min(per_sec: Interval) -> Interval {
    Interval {
        value: 60.0 * per_sec.value,
        low: 60.0 * per_sec.low,
        high: 60.0 * per_sec.high,
    }
}

/// A candidate of a leak.
#[derive(Clone, Debug)]
struct Candidate {
    function: Arc<str>,
    /// True if it is of the main module.
    is_main: bool,
    /// `None` if it cannot be counted.
    counted: Option<Counted>,
}

/// A birth of a leak's object that lives.
#[derive(Clone, Copy, Debug)]
struct Birth {
    at_ns: u64,
    idx: u32,
    bytes: f64,
}

impl Model {
    /// Names the drivers of leaks, and chooses the functions to count next.
    pub(super) fn find_drivers(&mut self, leaks: &mut [Leak]) {
        let can_count = self.target.source.has_probes() && self.liveness() != Liveness::Counters;
        let growing = leaks.iter_mut().filter(|leak| {
            can_count && leak.word.is_growth() && matches!(leak.kind, Kind::Heap | Kind::Goroutines)
        });
        let mut wanted: Vec<Arc<str>> = Vec::new();
        for leak in growing {
            let candidates = self.candidates_of(leak);
            let (choice, driver) = if leak.kind == Kind::Goroutines {
                self.drives_goroutines(leak, &candidates)
            } else {
                self.drives_heap(leak, &candidates)
            };
            leak.driver = driver;
            for at in choice {
                let function = &candidates[at].function;
                if wanted.len() < MAX_CANDIDATES && !wanted.contains(function) {
                    wanted.push(Arc::clone(function));
                }
            }
        }
        self.candidates.wanted = wanted;
    }

    fn drives_heap(&self, leak: &Leak, candidates: &[Candidate]) -> (Vec<usize>, Option<Driver>) {
        let choice = choose(candidates, self.requests_per_sec());
        let driver = choice.driver.and_then(|at| {
            let counted = candidates[at].counted?;
            let rate = counted.rate(self.stands_for_s(leak));
            Some(Driver {
                function: Arc::clone(&candidates[at].function),
                bytes: bytes_per_call(&counted, leak.evidence.bytes_per_min, rate),
                goroutines: None,
                calls: counted.calls,
            })
        });
        (choice.wanted, driver.filter(|of| of.bytes.is_some()))
    }

    /// Names the innermost function that is called once for each goroutine: births of goroutines are not known. Functions of
    /// one rate share their windows, so that waves of the load do not change the name.
    fn drives_goroutines(
        &self,
        leak: &Leak,
        candidates: &[Candidate],
    ) -> (Vec<usize>, Option<Driver>) {
        let requests_per_sec = self.requests_per_sec();
        let driver = candidates.iter().enumerate().find_map(|(at, candidate)| {
            let own = candidate.counted.filter(Counted::is_known)?;
            let is_same = |of: &&Counted| {
                let (a, b) = (of.per_sec(), own.per_sec());
                of.is_known() && a.max(b) <= SAME_RATE * a.min(b)
            };
            let mut counted = Counted::default();
            for same in candidates
                .iter()
                .filter_map(|of| of.counted.as_ref())
                .filter(is_same)
            {
                counted.pool(same);
            }
            let is_request =
                requests_per_sec.is_some_and(|of| counted.per_sec() >= RARER_THAN_REQUESTS * of);
            let rate = counted.rate(self.stands_for_s(leak));
            let each = one_goroutine(leak.evidence.objects_per_min?, rate)?;
            let driver = Driver {
                function: Arc::clone(&candidate.function),
                bytes: leak
                    .evidence
                    .bytes_per_min
                    .and_then(|of| divide(of, per_min(rate))),
                goroutines: Some(each),
                calls: own.calls,
            };
            (!is_request).then_some((at, driver))
        });
        if let Some((at, driver)) = driver {
            return (vec![at], Some(driver));
        }
        let is_countable = |at: &usize| candidates[*at].counted.is_some();
        let wanted = (0..candidates.len()).filter(is_countable);
        (wanted.take(MAX_CANDIDATES).collect(), None)
    }

    /// Requests a second, or calls of the function of `--per`.
    fn requests_per_sec(&self) -> Option<f64> {
        let calls = self.calls()?;
        calls.mean_per_sec.map(|rate| rate.value).or(calls.per_sec)
    }

    /// Seconds whose growth a leak states.
    fn stands_for_s(&self, leak: &Leak) -> f64 {
        let watched_ns = self.now_ns.saturating_sub(self.target.attached_ns);
        (60.0 * leak.evidence.minutes).max(watched_ns as f64 / SECOND_NS as f64)
    }

    /// Functions that the leak's stacks share, innermost first, with what was counted of them. A function that is inlined
    /// on one of these stacks is none: its probe counts other calls.
    fn candidates_of(&self, leak: &Leak) -> Vec<Candidate> {
        let births = self.births_of(leak);
        let (path, inlined) = if leak.kind == Kind::Goroutines {
            (self.path_to(leak), self.inlined_on(self.stacks_to(leak)))
        } else {
            let stacks = births.iter().map(|birth| birth.idx);
            (self.shared_path(&births), self.inlined_on(stacks.collect()))
        };
        let paths = &self.diagnosis.paths;
        let mut functions: Vec<(Arc<str>, bool)> = Vec::new();
        for label in path {
            let can_drive = paths.can_explain(label)
                && !inlined.contains(&label)
                && (paths.code(label) == Code::Main || !self.diagnosis.dispatchers.contains(label));
            if let Some(frame) = paths.frame(label).filter(|_| can_drive) {
                functions.push((Arc::clone(&frame.function), paths.code(label) == Code::Main));
            }
        }
        let is_inlined = |frame: &Frame| {
            let label = self.names.function(frame);
            label.is_some_and(|label| inlined.contains(&label))
        };
        let under = leak.under.as_ref().filter(|under| !is_inlined(under));
        if let Some(under) = under.filter(|_| functions.is_empty()) {
            let is_main = paths.origin().is_main_module(under);
            functions.push((Arc::clone(&under.function), is_main));
        }
        let counted = |(function, is_main): (Arc<str>, bool)| Candidate {
            counted: self.counted(&function, &births),
            function,
            is_main,
        };
        functions.into_iter().map(counted).collect()
    }

    /// Births of a heap leak's objects in this watch that live, oldest first.
    fn births_of(&self, leak: &Leak) -> Vec<Birth> {
        if leak.kind == Kind::Goroutines {
            return Vec::new();
        }
        let under = leak.under.as_ref();
        let under = under.and_then(|under| self.names.function(under));
        let paths = &self.diagnosis.paths;
        let is_of = |idx: u32| {
            let path = paths.get(idx).unwrap_or_default();
            let is_site = |site: u32| {
                leak.sites
                    .iter()
                    .any(|of| of.row.is_some_and(|row| row.0 == site))
            };
            path.last().is_some_and(|&site| is_site(site))
                && under.is_none_or(|under| path.contains(&under))
        };
        let is_of: Vec<bool> = (0u32..)
            .zip(&self.buckets)
            .map(|(idx, _)| is_of(idx))
            .collect();
        let mut births: Vec<Birth> = (self.samples.iter())
            .map(|(_, sample)| sample)
            .filter(|sample| {
                sample.born_ns > 0 && is_of.get(sample.bucket_idx as usize) == Some(&true)
            })
            .map(|sample| Birth {
                at_ns: sample.born_ns,
                idx: sample.bucket_idx,
                bytes: sample.units as f64 * self.unit(sample.bucket_idx).bytes,
            })
            .collect();
        // Sums must not depend on the order of a hash map.
        births.sort_by(|a, b| {
            let by_time = a.at_ns.cmp(&b.at_ns).then(a.idx.cmp(&b.idx));
            by_time.then(a.bytes.total_cmp(&b.bytes))
        });
        births
    }

    /// Labels of the stack with most of these births that nearly all of them pass, innermost first.
    fn shared_path(&self, births: &[Birth]) -> Vec<u32> {
        let mut by_bucket: BTreeMap<u32, f64> = BTreeMap::new();
        for birth in births {
            *by_bucket.entry(birth.idx).or_default() += birth.bytes;
        }
        let paths = &self.diagnosis.paths;
        let mut by_label: BTreeMap<u32, f64> = BTreeMap::new();
        for (&idx, bytes) in &by_bucket {
            for &label in paths.get(idx).unwrap_or_default() {
                *by_label.entry(label).or_default() += bytes;
            }
        }
        let total: f64 = by_bucket.values().sum();
        let most = by_bucket.iter().max_by(|a, b| a.1.total_cmp(b.1));
        let path = most
            .and_then(|(&idx, _)| paths.get(idx))
            .unwrap_or_default();
        let is_shared = |label: &u32| {
            by_label
                .get(label)
                .is_some_and(|of| *of >= LEAST_SHARE * total)
        };
        path.iter().rev().copied().filter(is_shared).collect()
    }

    /// Labels from the function that starts a leak's goroutines outwards, on the stack with most births of those that
    /// pass it.
    fn path_to(&self, leak: &Leak) -> Vec<u32> {
        let passing = self.passing(leak);
        let most = passing.max_by_key(|(idx, _)| self.buckets[*idx as usize].total().allocs);
        most.map_or_else(Vec::new, |(_, path)| path.iter().rev().copied().collect())
    }

    /// Stacks that pass the function that starts a leak's goroutines.
    fn stacks_to(&self, leak: &Leak) -> BTreeSet<u32> {
        self.passing(leak).map(|(idx, _)| idx).collect()
    }

    /// Stacks that pass the function that a leak is under, and the path of each to it, outermost first.
    fn passing(&self, leak: &Leak) -> impl Iterator<Item = (u32, &[u32])> {
        let under = leak.under.as_ref();
        let under = under.and_then(|under| self.names.function(under));
        let paths = &self.diagnosis.paths;
        (0u32..).zip(&self.buckets).filter_map(move |(idx, _)| {
            let path = paths.get(idx)?;
            let at = path.iter().position(|&label| Some(label) == under)?;
            Some((idx, &path[..=at]))
        })
    }

    /// Labels of the functions that are inlined on one of these stacks.
    fn inlined_on(&self, stacks: BTreeSet<u32>) -> BTreeSet<u32> {
        let buckets = (stacks.into_iter()).filter_map(|idx| self.buckets.get(idx as usize));
        let named =
            buckets.flat_map(|bucket| bucket.pcs.iter().filter_map(|&pc| self.names.get(pc)));
        named
            .filter(|named| named.frame.inlined)
            .map(|named| named.label(GroupBy::Function))
            .collect()
    }

    /// Figures of a function's windows; `None` if it cannot be counted.
    fn counted(&self, function: &str, births: &[Birth]) -> Option<Counted> {
        let judged_ns = self.diagnosis.retained.judged_ns();
        let mut counted = Counted::default();
        for window in self.candidates.windows(function)? {
            let length_ns = window.to_ns.saturating_sub(window.from_ns);
            let seconds = length_ns as f64 / SECOND_NS as f64;
            counted.calls += window.calls;
            counted.seconds += seconds;
            counted.windows += 1;
            counted.calls2_per_sec += (window.calls as f64).powi(2) / seconds.max(1e-9);
            let is_judged = window.to_ns <= judged_ns;
            if is_judged {
                counted.calls_of_kept += window.calls;
            }
            let before = |at_ns: u64| births.partition_point(|birth| birth.at_ns < at_ns);
            let range = before(window.from_ns)..before(window.to_ns);
            let in_window = births.get(range).unwrap_or_default();
            counted.idle_windows += u64::from(window.calls == 0 && !in_window.is_empty());
            for birth in in_window {
                counted.births.add(birth.bytes);
                if window.calls == 0 {
                    counted.idle.add(birth.bytes);
                }
                if is_judged {
                    counted.kept.add(birth.bytes);
                }
            }
        }
        Some(counted)
    }
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
