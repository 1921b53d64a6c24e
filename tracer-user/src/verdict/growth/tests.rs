//! Known answers: series with fixed noise, whose slopes, words and times come from the method's reference in Python.

use super::{HeapGrowth, Judged, Mark, Past, SeriesGrowth, SeriesKind};
use crate::verdict::Word;

const MIB: f64 = 1_048_576.0;
/// Noise, repeated where a series is longer.
const NOISE: [f64; 12] = [
    0.4, -0.9, 0.3, 0.8, -0.5, 0.1, -0.7, 0.9, -0.2, 0.6, -0.8, 0.2,
];
/// First and last evaluation, and the time between two.
const FIRST_S: u32 = 30;
const LAST_S: u32 = 300;
const EVERY_S: u32 = 15;

fn noise(i: usize) -> f64 {
    NOISE[i % NOISE.len()]
}

fn every(step_s: u32, to_s: u32) -> impl Iterator<Item = f64> {
    (0..=to_s / step_s).map(move |i| f64::from(i * step_s))
}

/// Marks of a heap in MiB, with constant allocation.
fn marks(times: impl Iterator<Item = f64>, mib: impl Fn(usize, f64) -> f64) -> Vec<Mark> {
    let mark = |(i, at_s): (usize, f64)| Mark {
        at_s,
        marked_bytes: mib(i, at_s) * MIB,
        allocated_bytes: Some(100.0 * MIB * at_s),
        ..Mark::default()
    };
    times.enumerate().map(mark).collect()
}

fn judged(marks: &[Mark], at_s: f64) -> Judged {
    let mut heap = HeapGrowth::new(Past::default());
    for mark in marks {
        heap.push_mark(*mark);
    }
    heap.evaluate(at_s)
}

/// Slope with its interval, in MiB per minute.
fn slope(marks: &[Mark]) -> [f64; 3] {
    let at_s = marks.last().map_or(0.0, |mark| mark.at_s);
    let rate = judged(marks, at_s).rate.expect("a rate").per_min;
    [rate.value, rate.low, rate.high].map(|bytes| bytes / MIB)
}

/// Factor by which the interval of a rate is wider than that of its slope: models of noise miss some of it.
const WIDER: f64 = 1.25;

/// Compares a slope with the reference's, whose interval is that of the slope alone.
fn assert_slope(found: [f64; 3], expected: [f64; 3]) {
    let [value, low, high] = expected;
    let expected = [
        value,
        value - WIDER * (value - low),
        value + WIDER * (high - value),
    ];
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 0.003, "{found} for {expected}");
    }
}

/// Words of a watch, evaluation by evaluation.
fn words(marks: &[Mark], past: Past) -> Vec<(u32, Word)> {
    let mut heap = HeapGrowth::new(past);
    let mut marks = marks.iter().peekable();
    (FIRST_S..=LAST_S)
        .step_by(EVERY_S as usize)
        .map(|now_s| {
            while let Some(mark) = marks.next_if(|mark| mark.at_s <= f64::from(now_s)) {
                heap.push_mark(*mark);
            }
            (now_s, heap.evaluate(f64::from(now_s)).word)
        })
        .collect()
}

fn first(words: &[(u32, Word)], wanted: Word) -> Option<u32> {
    let mut words = words.iter();
    words
        .find(|(_, word)| *word == wanted)
        .map(|(now_s, _)| *now_s)
}

#[test]
fn slopes_have_the_interval_of_the_reference() {
    let slope = |mib: &dyn Fn(usize, f64) -> f64| slope(&marks(every(15, 165), mib));
    let slow = slope(&|i, t| 30.0 + 2.5 * t / 60.0 + noise(i));
    assert_slope(slow, [2.485, 1.956, 3.010]);
    let flat = slope(&|i, _| 30.0 + noise(i));
    assert_slope(flat, [-0.015, -0.544, 0.510]);
    let fast = slope(&|i, t| 30.0 + 8.0 * t / 60.0 + noise(i));
    assert_slope(fast, [7.985, 7.456, 8.510]);
    let walk = slope(&|i, _| 30.0 + (0..=i).map(noise).sum::<f64>());
    assert_slope(walk, [0.095, -0.250, 0.424]);
}

#[test]
fn a_walk_with_large_steps_beside_little_noise_seldom_grows() {
    let mut state = 1_u64;
    let mut step = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    };
    let grows = (0..400).filter(|_| {
        let mut mib = 60.0;
        let walk: Vec<f64> = (0..=36)
            .map(|_| {
                mib += 2.0 * step();
                mib
            })
            .collect();
        judged(&marks(every(10, 360), |i, _| walk[i]), 360.0).word == Word::Growing
    });
    // 3 in 10,000 are meant to.
    assert_eq!(grows.count(), 0);
}

#[test]
fn four_rare_marks_in_a_line_are_a_rate_of_five_percent() {
    let heap = [10.0, 22.9, 38.6, 57.8];
    let marks = marks([0.0, 40.0, 90.0, 150.0].into_iter(), |i, _| heap[i]);
    assert_slope(slope(&marks), [19.092, 18.137, 20.046]);
}

#[test]
fn three_rare_marks_are_a_rate_only_in_a_line() {
    let times = || [0.0, 60.0, 130.0].into_iter();
    let line = [10.0, 29.0, 51.0];
    let found = judged(&marks(times(), |i, _| line[i]), 135.0);
    assert_eq!(found.word, Word::ProbablyGrowing);
    let value = found.rate.expect("a rate").per_min.value / MIB;
    assert!((value - 18.923).abs() < 0.003, "{value}");
    let bent = [10.0, 29.0, 36.0];
    let found = judged(&marks(times(), |i, _| bent[i]), 135.0);
    assert_eq!((found.word, found.rate), (Word::Collecting, None));
}

#[test]
fn a_leak_is_probable_and_then_sure_and_stays() {
    let heap = marks(every(12, 288), |i, t| 40.0 + 2.6 * t / 60.0 + noise(i));
    let past = Past {
        uptime_s: Some(1200.0),
        ..Past::default()
    };
    let words = words(&heap, past);
    assert_eq!(first(&words, Word::ProbablyGrowing), Some(135), "{words:?}");
    assert_eq!(first(&words, Word::Growing), Some(195), "{words:?}");
    let is_growth = |(_, word): &(u32, Word)| word.is_growth();
    let since = words.iter().skip_while(|word| !is_growth(word));
    assert!(since.clone().all(is_growth), "{words:?}");
}

#[test]
fn bursts_do_not_hide_a_leak() {
    let burst = |t: f64| if t % 70.0 < 12.0 { 60.0 } else { 0.0 };
    let leak = |i: usize, t: f64| 30.0 + 8.0 * t / 60.0 + noise(i);
    let of =
        |mib: &dyn Fn(usize, f64) -> f64| words(&marks(every(5, LAST_S), mib), Past::default());
    let found = of(&|i, t| leak(i, t) + burst(t));
    assert!(
        first(&found, Word::Growing).is_some_and(|at_s| at_s <= 240),
        "{found:?}"
    );
    let steady = of(&|i, t| 30.0 + noise(i) + burst(t));
    assert!(
        steady.iter().all(|(_, word)| !word.is_growth()),
        "{steady:?}"
    );
}

#[test]
fn growth_is_reported_with_an_interval_above_zero() {
    for (slope, spread) in [(2.6, 1.0), (1.2, 0.5), (10.0, 4.0), (0.6, 0.2)] {
        let heap = marks(every(12, 288), |i, t| {
            40.0 + slope * t / 60.0 + spread * noise(i)
        });
        let mut judge = HeapGrowth::new(Past::default());
        let mut marks = heap.iter().peekable();
        let mut reported = 0;
        for now_s in (FIRST_S..=LAST_S).step_by(EVERY_S as usize) {
            while let Some(mark) = marks.next_if(|mark| mark.at_s <= f64::from(now_s)) {
                judge.push_mark(*mark);
            }
            let found = judge.evaluate(f64::from(now_s));
            if found.word.is_growth() {
                reported += 1;
                let rate = found.rate.expect("a rate").per_min;
                assert!(rate.low > 0.0, "{slope} at {now_s}: {rate:?}");
            }
        }
        assert!(reported > 0, "{slope}");
    }
}

#[test]
fn a_quiet_heap_is_steady_with_a_bound() {
    let heap = marks(every(12, 288), |i, _| 40.0 + noise(i) / 10.0);
    let words = words(&heap, Past::default());
    assert_eq!(first(&words, Word::Steady), Some(150), "{words:?}");
    assert!(words[..8].iter().all(|(_, word)| *word == Word::Collecting));
    let bound = judged(&heap, 300.0).bound_per_min.expect("a bound");
    assert!(bound < 0.2 * MIB, "{bound}");
}

#[test]
fn a_fall_leaves_growth_unbounded() {
    // A cache is dropped in the first two minutes, and 1 MiB/min leaks beneath.
    let dropped = |t: f64| 60.0 * (1.0 - t / 120.0).max(0.0);
    let heap = marks(every(12, 180), |i, t| {
        40.0 + dropped(t) + t / 60.0 + noise(i) / 10.0
    });
    let found = judged(&heap, 180.0);
    assert_eq!((found.word, found.bound_per_min), (Word::Collecting, None));
}

#[test]
fn a_straight_line_never_warms_up_though_gaps_grow_with_the_heap() {
    let (mut times, mut at_s) = (Vec::new(), 0.0);
    while at_s < 300.0 {
        times.push(at_s);
        at_s += 5.0 + at_s / 20.0;
    }
    let heap = marks(times.into_iter(), |i, t| {
        30.0 + 5.0 * t / 60.0 + noise(i) / 4.0
    });
    let words = words(&heap, Past::default());
    assert_eq!(first(&words, Word::Warming), None, "{words:?}");
    assert!(first(&words, Word::Growing).is_some(), "{words:?}");
}

#[test]
fn replacement_by_larger_values_is_growth_in_bytes() {
    // A map that doubles by steps: births equal deaths all the time.
    let heap = marks(every(5, 300), |i, t| 6.0 + 40.0 * t / 60.0 + noise(i));
    assert!(first(&words(&heap, Past::default()), Word::Growing).is_some_and(|at| at <= 150));
}

#[test]
fn growth_that_stops_is_withdrawn() {
    let heap = marks(every(15, 900), |i, t| {
        30.0 + 2.5 * t.min(300.0) / 60.0 + noise(i) / 4.0
    });
    let mut judge = HeapGrowth::new(Past::default());
    let mut marks = heap.iter().peekable();
    let (mut reported_s, mut withdrawn_s) = (None, None);
    for now_s in (30..=900_u32).step_by(15) {
        while let Some(mark) = marks.next_if(|mark| mark.at_s <= f64::from(now_s)) {
            judge.push_mark(*mark);
        }
        let word = judge.evaluate(f64::from(now_s)).word;
        let grows = word.is_growth();
        if grows {
            reported_s = reported_s.or(Some(now_s));
        } else if reported_s.is_some() {
            withdrawn_s = withdrawn_s.or(Some(now_s));
        }
    }
    let withdrawn_s = withdrawn_s.expect("withdrawn");
    assert!((300..=300 + 480).contains(&withdrawn_s), "{withdrawn_s}");
}

/// First evaluation that finds growth in a series with a value every 5 s.
fn series(kind: SeriesKind, value: impl Fn(usize, f64) -> f64) -> Option<u32> {
    let mut series = SeriesGrowth::new(kind, Some(1200.0));
    let mut values = every(5, LAST_S).enumerate().peekable();
    (FIRST_S..=LAST_S).step_by(EVERY_S as usize).find(|now_s| {
        while let Some((i, t)) = values.next_if(|(_, t)| *t <= f64::from(*now_s)) {
            series.push(t, value(i, t), Some(100.0 * MIB * t));
        }
        series.evaluate(f64::from(*now_s)).word == Word::Growing
    })
}

#[test]
fn goroutines_and_memory_outside_go_grow_at_the_times_of_the_reference() {
    let goroutines = SeriesKind::Goroutines;
    let many = series(goroutines, |i, t| 6100.0 + 5.0 * t + 10.0 * noise(i));
    assert_eq!(many, Some(60));
    let few = series(goroutines, |i, t| 100.0 + t / 2.0 + 10.0 * noise(i));
    assert_eq!(few, Some(165));
    let none = series(goroutines, |i, _| 100.0 + 10.0 * noise(i));
    assert_eq!(none, None);
    let outside = series(SeriesKind::OutsideGo, |i, t| {
        (40.0 + 5.0 * t / 60.0 + noise(i)) * MIB
    });
    assert_eq!(outside, Some(150));
}

/// Past of a process whose heap was `mib` large, with gaps of a second for each 10 MiB: `n` gaps.
fn past(n: usize, mib: impl Fn(f64) -> f64) -> Past {
    let mut at_s = 0.0;
    let mut times: Vec<f64> = (0..=n)
        .map(|_| {
            at_s -= mib(at_s) / 10.0;
            at_s
        })
        .collect();
    times.reverse();
    Past {
        gc_times_s: times,
        ..Past::default()
    }
}

/// Estimate at the attach to a heap of 100 MiB and more, with the pace of [`past`].
fn estimated(past: Past) -> Option<Vec<(f64, f64)>> {
    let mut heap = HeapGrowth::new(past);
    for mark in marks(every(10, 40), |_, _| 100.0) {
        heap.push_mark(mark);
    }
    let before = heap.before_attach()?.into_iter();
    Some(
        before
            .map(|live| (live.at_s, live.marked_bytes / MIB))
            .collect(),
    )
}

#[test]
fn live_heap_before_the_attach_follows_the_gaps() {
    let line = |at_s: f64| 100.0 + at_s / 10.0;
    let found = estimated(past(100, line)).expect("an estimate");
    assert_eq!(found.len(), 96, "two at each end lack neighbours");
    for (at_s, mib) in &found {
        assert!((mib / line(*at_s) - 1.0).abs() < 0.02, "{at_s}: {mib}");
    }
    assert!(found.is_sorted_by(|a, b| a.0 < b.0));
}

#[test]
fn two_gaps_that_are_no_pace_leave_the_estimate_as_it_is() {
    let mut odd = past(40, |_| 100.0);
    // A cycle that the program asked for ends a gap early.
    odd.gc_times_s[20] -= 9.0;
    let found = estimated(odd).expect("an estimate");
    assert!(found.iter().all(|(_, mib)| (mib - 100.0).abs() < 1.0));
}

#[test]
fn nothing_is_estimated_from_few_gaps_the_timer_or_another_load() {
    assert_eq!(estimated(past(11, |_| 100.0)), None);
    let found = estimated(past(12, |_| 100.0)).expect("an estimate");
    assert_eq!(found.len(), 8);
    // Twice the load before the attach halved the gaps.
    assert_eq!(estimated(past(40, |_| 50.0)), None);
    let quiet = |at_s| if at_s < -300.0 { 1200.0 } else { 100.0 };
    let found = estimated(past(60, quiet)).expect("an estimate");
    assert!(found.iter().all(|(_, mib)| (mib - 100.0).abs() < 1.0));
    assert_eq!(estimated(past(40, |_| 1200.0)), None);
    // A program that fills its tables in its first minute has short gaps then.
    let filling = |at_s| if at_s < -300.0 { 8.0 } else { 100.0 };
    let young = Past {
        uptime_s: Some(340.0),
        ..past(60, filling)
    };
    let found = estimated(young).expect("an estimate");
    assert!(found.iter().all(|(_, mib)| (mib - 100.0).abs() < 1.0));
}
