//! Sources by mark bits, by stories: weighted births, deaths and finality in, rows out.

use proptest::prelude::*;

use super::super::estimate::UNITS_PER_OBJECT;
use super::super::gc::SECOND_NS;
use super::super::rows::{GroupBy, Query, SiteRow, Source, Target};
use super::super::samples::MAX_LIVE_SAMPLES;
use super::*;
use crate::event::{BucketsRead, Event, HeapRead, KernelCounters, ProbeEvent};
use crate::go::buckets::ProfCycle;
use crate::go::memstats::HeapFigures;

const CACHE: u64 = 1;
const PARSE: u64 = 2;
const START_NS: u64 = 100 * SECOND_NS;
const FIRST_CYCLE: u32 = 7;
const OBJECT_BYTES: u64 = 48;

fn heap(at_ns: u64, gc_cycles: u32) -> Event {
    Event::Heap(HeapRead {
        at_ns,
        runtime: Some(HeapFigures {
            gc_cycles,
            live_bytes: 1 << 20,
            goal_bytes: Some(4 << 20),
            rate_bytes: 0,
            prof_cycle: ProfCycle(gc_cycles << 1),
            swept: true,
            ..HeapFigures::default()
        }),
        rss_bytes: None,
    })
}

fn site(addr: u64, go_type: Option<&str>) -> NewBucket {
    NewBucket {
        addr,
        object_bytes: OBJECT_BYTES,
        pcs: [addr * 16].into(),
        n_frames: 1,
        go_type: go_type.map(Into::into),
    }
}

fn attached(source: Source) -> Model {
    let mut model = Model::replay([Event::attached(Target {
        source,
        attached_ns: START_NS,
        ..Target::default()
    })]);
    model.apply(heap(START_NS, FIRST_CYCLE));
    model.apply(Event::Buckets(BucketsRead {
        from_ns: START_NS,
        to_ns: START_NS,
        swept: true,
        complete: true,
        ..BucketsRead::default()
    }));
    model.apply(Event::Sites {
        at_ns: 0,
        sites: vec![site(CACHE, Some("main.Entry")), site(PARSE, None)],
    });
    let frame = |function: &str| {
        Arc::new(Frame {
            function: function.into(),
            entry: 1,
            ..Frame::unnamed(1)
        })
    };
    model.apply(Event::Named {
        at_ns: 0,
        names: vec![
            (CACHE * 16, frame("main.cache")),
            (PARSE * 16, frame("main.parse")),
        ],
    });
    model
}

fn birth(second: u64, object: u64, bucket: u64, weight: f64) -> Birth {
    Birth {
        at_ns: START_NS + second * SECOND_NS,
        object,
        bucket,
        weight,
    }
}

/// Births in the second before `second`, then the mark of the next cycle.
fn mark(model: &mut Model, second: u64) {
    let at_ns = START_NS + second * SECOND_NS;
    model.apply(Event::Probe(ProbeEvent::GcStart {
        at_ns,
        heap_bytes: None,
    }));
    model.apply(Event::Probe(ProbeEvent::GcMarked {
        at_ns,
        live_bytes: 5,
        cycle: None,
        heap_bytes: None,
    }));
}

fn marks_read(model: &mut Model, second: u64, number: u32, dead: &[u64]) {
    let at_ns = START_NS + second * SECOND_NS + 1;
    model.apply(Event::Dead {
        at_ns,
        objects: dead.to_vec(),
    });
    model.apply(Event::MarksRead { at_ns, number });
}

fn row(model: &Model, function: &str) -> Option<SiteRow> {
    let rows = model.sites(&Query::default());
    rows.into_iter().find(|row| &*row.function == function)
}

fn objects(model: &Model, function: &str) -> f64 {
    row(model, function).map_or(0.0, |row| row.inuse.objects)
}

/// What the buckets count and what the live samples say is one story.
fn check_sums(model: &Model) {
    for (idx, bucket) in (0u32..).zip(&model.buckets) {
        let of_bucket = |sample: &&LiveSample| sample.bucket_idx == idx;
        let samples: Vec<LiveSample> = model
            .samples
            .iter()
            .map(|(_, sample)| sample)
            .filter(of_bucket)
            .copied()
            .collect();
        let units: u64 = samples.iter().map(|sample| sample.units).sum();
        assert_eq!(bucket.total().live(), units, "bucket {idx}");
        let weighted = model.marks.get(idx).cloned().unwrap_or_default();
        assert_eq!(weighted.live(), samples.len() as u64);
        let epoch = model.gc.epoch;
        let since = samples
            .iter()
            .filter(|sample| u64::from(sample.born_epoch) == epoch)
            .map(|sample| sample.units)
            .sum::<u64>();
        assert_eq!(bucket.born_since_mark(epoch), since, "bucket {idx}");
        let squares: f64 = samples
            .iter()
            .map(|sample| (sample.units as f64 / UNITS_PER_OBJECT).powi(2))
            .sum();
        let weights = units as f64 / UNITS_PER_OBJECT;
        if weights > 0.0 {
            assert!((weighted.spread() - (squares / weights).max(1.0)).abs() < 1e-6);
        }
    }
}

#[test]
fn the_model_is_ready_at_the_attach_with_nothing_in_use_and_a_baseline() {
    let mut model = attached(Source::Spans);
    assert!(model.ready());
    assert_eq!(model.baselines().len(), 1);
    assert!(model.sites(&Query::default()).is_empty());
    assert!(model.next_reads().is_none());
    model.apply(Event::Tick {
        at_ns: START_NS + 100 * SECOND_NS,
    });
    assert!(model.next_reads().is_none(), "there are no buckets to read");
    assert_eq!(
        model.rate_bytes(),
        Some(0),
        "and no estimate rests on the rate"
    );
}

#[test]
fn a_cycle_is_final_when_its_marks_were_read_and_births_after_its_mark_do_not_count() {
    let mut model = attached(Source::Spans);
    model.apply(Event::Births(vec![
        birth(1, 0x100, CACHE, 10.0),
        birth(1, 0x200, CACHE, 20.5),
        birth(1, 0x300, PARSE, 100.0),
    ]));
    mark(&mut model, 2);
    model.apply(Event::Births(vec![birth(3, 0x400, CACHE, 7.0)]));
    model.apply(heap(START_NS + 3 * SECOND_NS, FIRST_CYCLE + 1));
    model.apply(heap(START_NS + 4 * SECOND_NS, FIRST_CYCLE + 1));
    assert!(
        objects(&model, "main.cache").abs() < 1e-9,
        "swept, but nobody knows yet what died"
    );
    marks_read(&mut model, 4, FIRST_CYCLE + 1, &[0x300]);
    let cache = row(&model, "main.cache").unwrap();
    assert!((cache.inuse.objects - 30.5).abs() < 1e-9, "{cache:?}");
    assert!((cache.inuse.bytes - 30.5 * OBJECT_BYTES as f64).abs() < 1e-6);
    assert_eq!(cache.samples, 2);
    assert!((cache.growth.unwrap().objects - 30.5).abs() < 1e-9);
    assert!(objects(&model, "main.parse").abs() < 1e-9);
    mark(&mut model, 5);
    marks_read(&mut model, 6, FIRST_CYCLE + 2, &[]);
    assert!(
        (objects(&model, "main.cache") - 37.5).abs() < 1e-9,
        "those born after the mark of the cycle before"
    );
    check_sums(&model);
}

#[test]
fn the_error_is_that_of_the_weights() {
    let mut model = attached(Source::Spans);
    model.apply(Event::Births(vec![
        birth(1, 0x100, CACHE, 10.0),
        birth(1, 0x200, CACHE, 30.0),
    ]));
    mark(&mut model, 2);
    marks_read(&mut model, 3, FIRST_CYCLE + 1, &[]);
    let variance = (100.0 - 10.0) + (900.0 - 30.0);
    let inuse = row(&model, "main.cache").unwrap().inuse;
    assert!(
        (inuse.objects_err.powi(2) - variance).abs() < 1e-6,
        "{inuse:?}"
    );
}

#[test]
fn an_address_that_is_born_again_ends_who_was_there() {
    let mut model = attached(Source::Spans);
    model.apply(Event::Births(vec![birth(1, 0x100, CACHE, 10.0)]));
    mark(&mut model, 2);
    model.apply(Event::Births(vec![birth(3, 0x100, PARSE, 5.0)]));
    marks_read(&mut model, 4, FIRST_CYCLE + 1, &[]);
    assert!(objects(&model, "main.cache").abs() < 1e-9);
    assert!(
        objects(&model, "main.parse").abs() < 1e-9,
        "born after the mark"
    );
    assert_eq!(model.live_samples().len(), 1);
    mark(&mut model, 5);
    marks_read(&mut model, 6, FIRST_CYCLE + 2, &[]);
    assert!((objects(&model, "main.parse") - 5.0).abs() < 1e-9);
    check_sums(&model);
}

#[test]
fn a_death_of_something_unknown_or_older_changes_nothing() {
    let mut model = attached(Source::Spans);
    model.apply(Event::Dead {
        at_ns: START_NS,
        objects: vec![0x100],
    });
    model.apply(Event::Births(vec![birth(5, 0x100, CACHE, 4.0)]));
    model.apply(Event::Dead {
        at_ns: START_NS + 4 * SECOND_NS,
        objects: vec![0x100, 0x900],
    });
    assert_eq!(
        model.live_samples().len(),
        1,
        "born after the memory was read"
    );
    check_sums(&model);
}

#[test]
fn marks_read_late_speak_of_their_own_cycle() {
    let mut model = attached(Source::Spans);
    model.apply(Event::Births(vec![birth(1, 0x100, CACHE, 10.0)]));
    mark(&mut model, 2);
    model.apply(Event::Births(vec![birth(3, 0x200, CACHE, 3.0)]));
    mark(&mut model, 4);
    model.apply(Event::Births(vec![birth(5, 0x300, CACHE, 2.0)]));
    marks_read(&mut model, 5, FIRST_CYCLE + 1, &[]);
    let cache = row(&model, "main.cache").unwrap();
    assert!((cache.inuse.objects - 10.0).abs() < 1e-9);
    assert_eq!(cache.samples, 1);
    marks_read(&mut model, 6, FIRST_CYCLE + 2, &[0x200]);
    assert!((objects(&model, "main.cache") - 10.0).abs() < 1e-9);
    assert_eq!(model.final_cycles(), 2);
    marks_read(&mut model, 7, FIRST_CYCLE + 1, &[]);
    assert_eq!(model.final_cycles(), 2, "an older one is final already");
}

#[test]
fn marks_read_before_their_hook_wait_for_it() {
    let mut model = attached(Source::Spans);
    model.apply(Event::Births(vec![birth(1, 0x100, CACHE, 10.0)]));
    marks_read(&mut model, 3, FIRST_CYCLE + 1, &[]);
    assert_eq!(model.final_cycles(), 0);
    mark(&mut model, 2);
    assert_eq!(model.final_cycles(), 1);
    assert!((objects(&model, "main.cache") - 10.0).abs() < 1e-9);
}

#[test]
fn a_lost_hook_blinds_nobody() {
    let mut model = attached(Source::Spans);
    model.apply(Event::Births(vec![birth(1, 0x100, CACHE, 10.0)]));
    marks_read(&mut model, 3, FIRST_CYCLE + 2, &[]);
    model.apply(heap(START_NS + 3 * SECOND_NS, FIRST_CYCLE + 2));
    assert_eq!(model.final_cycles(), 0, "it may still be in the ring");
    model.apply(heap(START_NS + 4 * SECOND_NS, FIRST_CYCLE + 2));
    assert_eq!(model.cycles_missed(), 2);
    assert_eq!(model.final_cycles(), 1);
    assert!((objects(&model, "main.cache") - 10.0).abs() < 1e-9);
    model.apply(Event::Births(vec![birth(5, 0x200, CACHE, 1.0)]));
    mark(&mut model, 6);
    marks_read(&mut model, 7, FIRST_CYCLE + 3, &[0x100]);
    assert!((objects(&model, "main.cache") - 1.0).abs() < 1e-9);
    assert!(model.next_reads().is_none());
    model.apply(Event::Kernel(KernelCounters {
        at_ns: START_NS + 8 * SECOND_NS,
        lost: [9; crate::event::N_KINDS],
        ..KernelCounters::default()
    }));
    assert_eq!(
        (model.losses().lost > 0, model.waiting_repairs()),
        (true, 0)
    );
}

#[test]
fn a_birth_told_after_the_mark_that_it_was_before_counts_as_born_before() {
    let mut model = attached(Source::Spans);
    mark(&mut model, 2);
    model.apply(Event::Births(vec![birth(1, 0x100, CACHE, 10.0)]));
    marks_read(&mut model, 3, FIRST_CYCLE + 1, &[]);
    assert!((objects(&model, "main.cache") - 10.0).abs() < 1e-9);
    check_sums(&model);
}

/// A hook whose record was hidden until the cycle had been given up: it must not pass for the next one's, nor what was
/// born before it for younger than the cycle.
#[test]
fn a_hook_that_comes_late_is_that_of_its_own_cycle() {
    let mut model = attached(Source::Spans);
    let number = FIRST_CYCLE + 1;
    for second in [3, 4] {
        model.apply(heap(START_NS + second * SECOND_NS, number));
    }
    assert_eq!(model.cycles_missed(), 1, "two looks without it");
    model.apply(Event::Births(vec![birth(1, 0x100, CACHE, 10.0)]));
    let at_ns = START_NS + 2 * SECOND_NS;
    model.apply(Event::Probe(ProbeEvent::GcMarked {
        at_ns,
        live_bytes: 5,
        cycle: Some(number),
        heap_bytes: None,
    }));
    model.apply(Event::Births(vec![birth(3, 0x200, CACHE, 100.0)]));
    assert_eq!(model.cycles_missed(), 0);
    assert_eq!(model.heap().gc_cycles, Some(number));
    // The marks are read late: another cycle has ended.
    model.apply(Event::Probe(ProbeEvent::GcMarked {
        at_ns: at_ns + 2 * SECOND_NS,
        live_bytes: 5,
        cycle: Some(number + 1),
        heap_bytes: None,
    }));
    marks_read(&mut model, 5, number, &[]);
    assert!((objects(&model, "main.cache") - 10.0).abs() < 1e-9);
    marks_read(&mut model, 6, number + 1, &[]);
    assert!((objects(&model, "main.cache") - 110.0).abs() < 1e-9);
    check_sums(&model);
}

#[test]
fn growth_has_a_slope_and_churn_has_none() {
    let mut model = attached(Source::Spans);
    let mut number = FIRST_CYCLE;
    for second in 1..=60 {
        let churn: Vec<u64> = (0..5).map(|n| 0x1000 * second + n).collect();
        let mut births: Vec<Birth> = churn
            .iter()
            .map(|&object| birth(second, object, PARSE, 50.0))
            .collect();
        births.push(birth(second, 0x1000 * second + 100, CACHE, 20.0));
        model.apply(Event::Births(births));
        model.apply(Event::Probe(ProbeEvent::GcMarked {
            at_ns: START_NS + second * SECOND_NS + 5,
            live_bytes: 5,
            cycle: None,
            heap_bytes: None,
        }));
        number += 1;
        marks_read(&mut model, second, number, &[]);
        let at_ns = START_NS + second * SECOND_NS + 6;
        model.apply(Event::Dead {
            at_ns,
            objects: churn,
        });
        model.apply(Event::MarksRead { at_ns, number });
    }
    let cache = row(&model, "main.cache").unwrap().rate.unwrap();
    assert!(
        (cache.objects_per_min - 60.0 * 20.0).abs() < 30.0,
        "{cache:?}"
    );
    let parse = row(&model, "main.parse").unwrap().rate.unwrap();
    assert!(parse.objects_per_min.abs() < 100.0, "{parse:?}");
}

#[test]
fn counted_allocations_are_exact_until_they_are_sampled_in_time() {
    let mut model = attached(Source::Exact);
    model.apply(Event::Births(vec![birth(1, 0x100, CACHE, 10.0)]));
    let cache = row(&model, "main.cache").unwrap();
    assert_eq!(cache.alloc.total, None, "nothing was counted yet");
    let counted = |exact| Event::Counted {
        at_ns: START_NS + 2 * SECOND_NS,
        objects: vec![(CACHE, 1234.0), (PARSE, 9.0)],
        exact,
    };
    model.apply(counted(true));
    let cache = row(&model, "main.cache").unwrap();
    let total = cache.alloc.total.unwrap();
    assert!((total.objects - 1234.0).abs() < 1e-9);
    assert!((total.bytes - 1234.0 * OBJECT_BYTES as f64).abs() < 1e-6);
    assert!(total.bytes_err.abs() < 1e-9);
    assert!(cache.alloc.is_exact);
    assert!(
        row(&model, "main.parse").is_some(),
        "what was counted has a row, sampled or not"
    );
    model.apply(counted(false));
    let cache = row(&model, "main.cache").unwrap();
    assert!(!cache.alloc.is_exact && cache.alloc.total.unwrap().objects_err > 0.0);
}

#[test]
fn rows_by_type_gather_whoever_allocates_it() {
    let mut model = attached(Source::Exact);
    model.apply(Event::Sites {
        at_ns: 0,
        sites: vec![
            NewBucket {
                pcs: [PARSE * 16].into(),
                ..site(3, Some("main.Entry"))
            },
            NewBucket {
                pcs: [UNKNOWN_STACK_PC].into(),
                ..site(4, None)
            },
        ],
    });
    model.apply(Event::Births(vec![
        birth(1, 0x100, CACHE, 10.0),
        birth(1, 0x200, PARSE, 1.0),
        birth(1, 0x300, 3, 5.0),
        birth(1, 0x400, 4, 2.0),
    ]));
    mark(&mut model, 2);
    marks_read(&mut model, 3, FIRST_CYCLE + 1, &[]);
    let by_type = Query {
        by: GroupBy::Type,
        cumulative: false,
    };
    let mut rows: Vec<(String, f64)> = model
        .sites(&by_type)
        .iter()
        .map(|row| (row.function.to_string(), row.inuse.objects))
        .collect();
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(rows[0].0 == "(no type)" && (rows[0].1 - 3.0).abs() < 1e-9);
    assert!(rows[1].0 == "main.Entry" && (rows[1].1 - 15.0).abs() < 1e-9);
    assert!(
        (objects(&model, "(stack unknown)") - 2.0).abs() < 1e-9,
        "what has no stack is in a row too"
    );
    let cache = row(&model, "main.cache").unwrap();
    assert_eq!(cache.go_type.as_deref(), Some("main.Entry"));
    let id = model
        .sites(&by_type)
        .iter()
        .find(|row| row.go_type.is_some())
        .unwrap()
        .id;
    assert_eq!(model.stacks(&by_type, id).len(), 2);
}

#[test]
fn a_profile_holds_whole_objects_that_nobody_unsamples_again() {
    let mut model = attached(Source::Spans);
    model.apply(Event::Births(vec![
        birth(1, 0x100, CACHE, 10.0),
        birth(1, 0x200, CACHE, 4.0),
    ]));
    mark(&mut model, 2);
    marks_read(&mut model, 3, FIRST_CYCLE + 1, &[0x200]);
    let profile = model.heap_profile();
    assert_eq!(profile.rate_bytes, 1);
    let record = profile.records.last().unwrap();
    assert_eq!((record.counts.allocs, record.counts.live()), (14, 10));
}

#[test]
fn too_many_samples_are_thinned_and_sums_stay_right() {
    let mut model = attached(Source::Spans);
    let n = 2 * MAX_LIVE_SAMPLES as u64 + MAX_LIVE_SAMPLES as u64 / 2;
    for first in (0..n).step_by(1000) {
        let births = (first..first + 1000).map(|i| {
            birth(
                1,
                0x1000 + 64 * i,
                if i % 4 == 0 { PARSE } else { CACHE },
                8.0,
            )
        });
        model.apply(Event::Births(births.collect()));
    }
    let born = n.div_ceil(1000) * 1000;
    mark(&mut model, 2);
    marks_read(&mut model, 3, FIRST_CYCLE + 1, &[]);
    check_sums(&model);
    assert!(model.live_samples().len() <= MAX_LIVE_SAMPLES);
    assert!(model.losses().thinned > 0 && model.losses().evicted == 0);
    for (function, share) in [("main.cache", 0.75), ("main.parse", 0.25)] {
        let row = row(&model, function).unwrap();
        let expected = born as f64 * share * 8.0;
        let off = (row.inuse.objects - expected) / row.inuse.objects_err;
        assert!(off.abs() < 4.0, "{function}: {off} errors, {:?}", row.inuse);
        let alloc = row.alloc.total.unwrap();
        let off = (alloc.objects - expected) / row.inuse.objects_err;
        assert!(off.abs() < 4.0, "{function}: allocated {off} errors");
        assert_eq!(row.alloc.freed_samples, 0, "given up is not freed");
    }
    assert_eq!(model.thinning(), 2);
    assert!(model.samples.iter().all(|(object, _)| is_kept(object, 2)));
}

#[test]
fn weights_that_make_no_sense_count_as_one_object_or_the_most() {
    for (weight, expected) in [(f64::NAN, 64), (-3.0, 64), (0.2, 64), (1.5, 96)] {
        assert_eq!(units(weight), expected);
    }
    assert_eq!(units(f64::INFINITY), 64 << 32);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn buckets_and_live_samples_agree_on_any_order_of_events(
        steps in prop::collection::vec((0u8..10, 0u64..12, 1u64..4, 0.5f64..90.0), 0..120)
    ) {
        let mut model = attached(Source::Exact);
        let (mut second, mut number) = (1, FIRST_CYCLE);
        for (what, object, bucket, weight) in steps {
            second += u64::from(what % 2 == 0);
            let at_ns = START_NS + second * SECOND_NS;
            match what {
                0..=3 => model.apply(Event::Births(vec![birth(second, object, bucket, weight)])),
                4 => model.apply(Event::Births(vec![birth(second.saturating_sub(2), object, bucket, weight)])),
                5 => model.apply(Event::Dead { at_ns, objects: vec![object, object + 1] }),
                6 => { mark(&mut model, second); number += 1; }
                7 => model.apply(Event::MarksRead { at_ns, number: number - u32::from(object == 0) }),
                8 => { number += u32::from(object > 9); model.apply(heap(at_ns, number)); }
                _ if object < 6 => model.thin(),
                _ => model.apply(Event::MarkBaseline { at_ns }),
            }
            check_sums(&model);
            let flat: f64 = model.sites(&Query::default()).iter().map(|row| row.inuse.objects).sum();
            let by_type = Query { by: GroupBy::Type, cumulative: false };
            let types: f64 = model.sites(&by_type).iter().map(|row| row.inuse.objects).sum();
            prop_assert!((flat - types).abs() < 1e-6);
            for row in model.sites(&Query::default()) {
                prop_assert!(row.inuse.objects >= 0.0 && row.inuse.objects_err >= 0.0);
                prop_assert!((row.samples == 0) == (row.inuse.objects == 0.0), "{row:?}");
            }
        }
    }

    #[test]
    fn thinning_expects_what_it_took_from(seed in any::<u64>(), weights in prop::collection::vec(1.0f64..50.0, 200..400)) {
        let mut model = attached(Source::Spans);
        let births = weights.iter().enumerate().map(|(i, weight)| birth(1, seed.wrapping_add(64 * i as u64), CACHE, *weight));
        model.apply(Event::Births(births.collect()));
        let units = |model: &Model| model.buckets[0].total().live() as f64;
        let before = units(&model);
        model.thin();
        // Each is doubled or gone by the toss of a coin: the variance is the sum of the squares.
        let spread: f64 = weights.iter().map(|w| (w * UNITS_PER_OBJECT).powi(2)).sum::<f64>().sqrt();
        prop_assert!((units(&model) - before).abs() < 6.0 * spread);
        check_sums(&model);
    }
}
