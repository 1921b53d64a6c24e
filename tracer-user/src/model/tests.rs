//! The model by stories: events in, rows out.

use super::rows::{Query, Source, Target};
use super::*;
use crate::event::{BucketsRead, HeapRead};
use crate::go::buckets::{BucketCounts, NewBucket, ProfCycle};
use crate::go::frame::Frame;
use crate::go::memstats::HeapFigures;
use proptest::prelude::*;
use std::sync::Arc;

const LEAK: u64 = 0x1000;
const CHURN: u64 = 0x2000;
const START_NS: u64 = 100 * SECOND_NS;

fn frame(function: &str) -> Arc<Frame> {
    Arc::new(Frame {
        function: function.into(),
        entry: 1,
        ..Frame::unnamed(1)
    })
}

fn figures(gc_cycles: u32, swept: bool) -> HeapRead {
    let runtime = HeapFigures {
        gc_cycles,
        live_bytes: 1 << 20,
        goal_bytes: Some(4 << 20),
        rate_bytes: 1,
        prof_cycle: ProfCycle(gc_cycles << 1),
        swept,
        ..HeapFigures::default()
    };
    HeapRead {
        at_ns: START_NS,
        runtime: Some(runtime),
        rss_bytes: Some(8 << 20),
    }
}

fn counts(allocs: u64, frees: u64, born_since_mark: u64) -> BucketCounts {
    BucketCounts {
        total: Counts { allocs, frees },
        born_since_mark,
    }
}

fn first_read(counts: Vec<(u64, BucketCounts)>, cycle: u32, swept: bool) -> Event {
    let new = |&(addr, _): &(u64, BucketCounts)| NewBucket {
        addr,
        object_bytes: 100,
        pcs: [addr + 1, addr + 2].into(),
        n_frames: 2,
        go_type: None,
    };
    Event::Buckets(BucketsRead {
        from_ns: START_NS,
        to_ns: START_NS + 1,
        cycle: Some(cycle),
        swept,
        new: counts.iter().map(new).collect(),
        counts,
        complete: true,
        ..BucketsRead::default()
    })
}

fn names() -> Event {
    Event::Named {
        at_ns: 0,
        names: vec![
            (LEAK + 1, frame("runtime.mallocgc")),
            (LEAK + 2, frame("main.leak")),
            (CHURN + 1, frame("main.churn")),
            (CHURN + 2, frame("main.main")),
        ],
    }
}

fn attached(source: Source) -> Model {
    let mut model = Model::replay([Event::attached(Target {
        source,
        attached_ns: START_NS,
        ..Target::default()
    })]);
    model.apply(Event::Heap(figures(7, true)));
    model.apply(first_read(
        vec![(LEAK, counts(10, 2, 1)), (CHURN, counts(50, 50, 0))],
        7,
        true,
    ));
    model.apply(names());
    model
}

/// Two looks which say that the last cycle is swept.
fn swept(model: &mut Model, at_ns: u64) {
    let number = model.heap().gc_cycles.unwrap();
    for look in 1..=2 {
        model.apply(Event::Heap(HeapRead {
            at_ns: at_ns + look,
            ..figures(number, true)
        }));
    }
}

fn probe(model: &mut Model, event: ProbeEvent) {
    model.apply(Event::Probe(event));
}

fn inuse(model: &Model, function: &str) -> f64 {
    let rows = model.sites(&Query::default());
    rows.iter()
        .find(|row| &*row.function == function)
        .map_or(0.0, |row| row.inuse.bytes)
}

/// One GC cycle at `second` with births before its mark, births after it, and frees in its sweep.
fn cycle(model: &mut Model, second: u64, bucket: u64, before: u64, after: u64, frees: u64) {
    let at_ns = START_NS + second * SECOND_NS;
    for i in 0..before {
        probe(
            model,
            ProbeEvent::Born {
                at_ns,
                object: (bucket << 32) | (second * 1000 + i),
                bucket,
            },
        );
    }
    probe(
        model,
        ProbeEvent::GcStart {
            at_ns,
            heap_bytes: None,
        },
    );
    probe(
        model,
        ProbeEvent::GcMarked {
            at_ns,
            live_bytes: 5,
            cycle: None,
            heap_bytes: None,
        },
    );
    for i in 0..after {
        probe(
            model,
            ProbeEvent::Born {
                at_ns,
                object: (bucket << 32) | (second * 1000 + 500 + i),
                bucket,
            },
        );
    }
    for i in 0..frees {
        probe(
            model,
            ProbeEvent::Freed {
                at_ns,
                object: (bucket << 32) | (second * 1000 + i),
                bucket,
            },
        );
    }
}

#[test]
fn rows_stand_at_once_and_without_what_was_born_after_the_last_mark() {
    let model = attached(Source::Sampler);
    assert!(
        (inuse(&model, "main.leak") - 700.0).abs() < 1e-6,
        "10 − 2 freed − 1 born since"
    );
    let rows = model.sites(&Query::default());
    assert!(
        rows.iter()
            .all(|row| row.growth.is_none() && row.rate.is_none()),
        "no cycle was seen yet"
    );
    assert!(
        rows.iter().all(|row| &*row.function != "main.churn"),
        "holds nothing, did nothing"
    );
}

#[test]
fn a_cycle_counts_when_its_sweep_is_done_and_not_before() {
    let mut model = attached(Source::Sampler);
    cycle(&mut model, 1, LEAK, 3, 2, 1);
    assert!(
        (inuse(&model, "main.leak") - 700.0).abs() < 1e-6,
        "provisional values are not shown"
    );
    swept(&mut model, START_NS + 2 * SECOND_NS);
    assert!(
        (inuse(&model, "main.leak") - 1000.0).abs() < 1e-6,
        "8 + 3 born − 1 freed"
    );
    let row = &model.sites(&Query::default())[0];
    assert!((row.growth.unwrap().objects - 3.0).abs() < 1e-6);
    cycle(&mut model, 3, CHURN, 0, 0, 0);
    probe(
        &mut model,
        ProbeEvent::GcStart {
            at_ns: START_NS + 4 * SECOND_NS,
            heap_bytes: None,
        },
    );
    assert!(
        (inuse(&model, "main.leak") - 1200.0).abs() < 1e-6,
        "those born after the mark of the cycle before"
    );
}

#[test]
fn a_leak_has_a_slope_and_churn_has_none() {
    let mut model = attached(Source::Sampler);
    for second in 1..=60 {
        cycle(&mut model, second, LEAK, 2, 0, 0);
        cycle(&mut model, second, CHURN, 5, 0, 5);
    }
    swept(&mut model, START_NS + 61 * SECOND_NS);
    let rows = model.sites(&Query::default());
    let rate = |name: &str| {
        rows.iter()
            .find(|row| &*row.function == name)
            .unwrap()
            .rate
            .unwrap()
    };
    assert!(
        (rate("main.leak").objects_per_min - 120.0).abs() < 2.0,
        "{:?}",
        rate("main.leak")
    );
    assert!(
        rate("main.churn").objects_per_min.abs() < 2.0,
        "{:?}",
        rate("main.churn")
    );
    assert_eq!(model.live_samples().len(), 120);
}

#[test]
fn a_baseline_moves_growth_and_not_in_use() {
    let mut model = attached(Source::Sampler);
    cycle(&mut model, 1, LEAK, 4, 0, 0);
    swept(&mut model, START_NS + SECOND_NS);
    model.apply(Event::MarkBaseline {
        at_ns: START_NS + 2 * SECOND_NS,
    });
    let growth = |model: &Model| {
        model.sites(&Query::default())[0]
            .growth
            .map(|g| format!("{:.0}", g.objects))
    };
    assert_eq!(growth(&model), None, "no cycle since the new baseline");
    cycle(&mut model, 3, LEAK, 2, 0, 0);
    swept(&mut model, START_NS + 3 * SECOND_NS);
    assert_eq!(growth(&model), Some("2".into()));
    model.apply(Event::UseBaseline { at_ns: 0, index: 0 });
    assert_eq!(
        growth(&model),
        Some("7".into()),
        "8 live at the attach were 7 after its GC"
    );
    assert!((inuse(&model, "main.leak") - 1400.0).abs() < 1e-6);
}

#[test]
fn after_a_loss_every_bucket_waits_for_a_comparison() {
    let mut model = attached(Source::Sampler);
    let at_ns = START_NS + SECOND_NS;
    let compared = |at_ns| {
        Event::Buckets(BucketsRead {
            from_ns: at_ns,
            to_ns: at_ns + 1,
            counts: vec![(LEAK, counts(10, 2, 1)), (CHURN, counts(50, 50, 0))],
            ..BucketsRead::default()
        })
    };
    model.apply(compared(at_ns));
    assert_eq!(model.waiting_repairs(), 0);
    // All records of both were lost: no event tells which buckets they were of.
    model.apply(Event::Kernel(KernelCounters {
        at_ns,
        lost: std::array::from_fn(|kind| u64::from(kind == 0)),
        ..KernelCounters::default()
    }));
    assert_eq!(model.waiting_repairs(), 2);
    let reads = model.next_reads().unwrap();
    assert_eq!(reads.buckets.len(), 2);
    model.apply(compared(at_ns + SECOND_NS));
    assert_eq!(model.waiting_repairs(), 0);
}

#[test]
fn lost_hooks_are_noticed_by_the_number_of_cycles() {
    let mut model = attached(Source::Sampler);
    let mut read = figures(9, true);
    read.at_ns += 5 * SECOND_NS;
    model.apply(Event::Heap(read));
    assert_eq!(model.cycles_missed(), 0, "they may still be in the ring");
    read.at_ns += SECOND_NS / 10;
    model.apply(Event::Heap(read));
    assert_eq!(model.cycles_missed(), 2);
    model.apply(Event::Tick {
        at_ns: START_NS + 6 * SECOND_NS,
    });
    assert!(model.next_reads().unwrap().all);
}

#[test]
fn reads_alone_give_the_same_values_as_probes() {
    let mut model = attached(Source::Buckets);
    assert!((inuse(&model, "main.leak") - 700.0).abs() < 1e-6);
    let mut heap = figures(8, true);
    heap.at_ns += SECOND_NS;
    model.apply(Event::Heap(heap));
    let at = START_NS + SECOND_NS;
    model.apply(Event::Buckets(BucketsRead {
        from_ns: at,
        to_ns: at,
        cycle: Some(8),
        swept: true,
        counts: vec![(LEAK, counts(15, 3, 2)), (CHURN, counts(60, 60, 0))],
        complete: true,
        ..BucketsRead::default()
    }));
    assert!((inuse(&model, "main.leak") - 1000.0).abs() < 1e-6);
    assert!(model.overhead().is_none());
}

#[test]
fn a_process_that_never_collected_shows_all_it_allocated() {
    let mut model = Model::replay([Event::attached(Target {
        attached_ns: START_NS,
        ..Target::default()
    })]);
    model.apply(Event::Heap(figures(0, true)));
    model.apply(first_read(vec![(LEAK, counts(4, 0, 4))], 0, true));
    model.apply(names());
    assert!((inuse(&model, "main.leak") - 400.0).abs() < 1e-6);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn nothing_panics_and_rows_add_up_on_any_order_of_events(
        steps in prop::collection::vec((0u8..12, 0u64..4, 0u64..6), 0..200)
    ) {
        let mut model = attached(Source::Sampler);
        let mut at_ns = START_NS;
        for (what, bucket, object) in steps {
            at_ns += SECOND_NS / 3;
            let bucket = LEAK * (bucket + 1);
            match what {
                0..=2 => probe(&mut model, ProbeEvent::Born { at_ns, object, bucket }),
                3 | 4 => probe(&mut model, ProbeEvent::Freed { at_ns, object, bucket }),
                5 => probe(&mut model, ProbeEvent::GcStart { at_ns, heap_bytes: None }),
                6 => probe(&mut model, ProbeEvent::GcMarked { at_ns, live_bytes: object , cycle: None, heap_bytes: None }),
                7 => probe(&mut model, ProbeEvent::Flushed { at_ns }),
                8 => swept(&mut model, at_ns),
                9 => model.apply(Event::MarkBaseline { at_ns }),
                10 => model.apply(Event::Kernel(KernelCounters { at_ns, lost: [object; crate::event::N_KINDS], ..KernelCounters::default() })),
                _ => {
                    let read = model.next_reads().unwrap_or_default();
                    let counts = read.buckets.iter().map(|&addr| (addr, counts(object, 0, 0))).collect();
                    model.apply(Event::Buckets(BucketsRead { from_ns: at_ns, to_ns: at_ns, counts, ..BucketsRead::default() }));
                }
            }
            let flat: f64 = model.sites(&Query::default()).iter().map(|row| row.inuse.bytes).sum();
            let by_stack: f64 = model
                .sites(&Query::default())
                .iter()
                .flat_map(|row| model.stacks(&Query::default(), row.id))
                .map(|stack| stack.inuse.bytes)
                .sum();
            prop_assert!((flat - by_stack).abs() < 1e-3);
            let cumulative = Query { cumulative: true, ..Query::default() };
            let most = model.sites(&cumulative).iter().map(|row| row.inuse.bytes).fold(0.0, f64::max);
            prop_assert!(most <= flat + 1e-3);
        }
    }
}
