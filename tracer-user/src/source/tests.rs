use std::sync::Arc;

use super::*;
use crate::event::Allocated;

struct NoTables;

impl Lookup for NoTables {
    fn expand(&self, pcs: &[u64]) -> Vec<u64> {
        pcs.to_vec()
    }

    fn type_name(&self, go_type: u64) -> Option<Arc<str>> {
        (go_type == 0x77).then(|| "main.T".into())
    }
}

const START: u64 = 0x1000;

fn stack(id: u64) -> Record {
    Record::Stack {
        id,
        pcs: vec![id + 0x40_0000],
        truncated: false,
    }
}

fn span(at_ns: u64, stack: u64, first_free: u32, bits: u64) -> Record {
    let mut alloc_bits = [0; tracer_ebpf::wire::ALLOC_BITS_WORDS];
    alloc_bits[0] = bits;
    Record::Event(ProbeEvent::Span(SpanTaken {
        at_ns,
        stack,
        object: START + 256 * u64::from(first_free),
        start: START,
        slot_bytes: 256,
        n_slots: 32,
        free_slots: 32 - first_free,
        free_index: 0,
        span_class: 36,
        alloc_bits,
    }))
}

fn counters(objects: u64) -> AllocCounters {
    let mut counters = AllocCounters::default();
    counters.small_allocs[18] = objects;
    counters
}

fn window(records: Vec<Record>, allocated: u64) -> Window {
    Window {
        records,
        counters: Some(counters(allocated)),
        pause: Pause::NONE,
        on: true,
        lost: 0,
    }
}

fn births(events: &[Event]) -> Vec<Birth> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Births(births) => Some(births.clone()),
            _ => None,
        })
        .flatten()
        .collect()
}

#[test]
fn births_share_what_the_runtime_counted_and_stand_between_their_gc_steps() {
    let mut source = Source::new(Kind::Spans, counters(100));
    let marked = Record::Event(ProbeEvent::GcMarked {
        at_ns: 15,
        live_bytes: 0,
        cycle: None,
        heap_bytes: None,
    });
    let records = vec![stack(7), span(10, 7, 0, 0), marked, span(20, 7, 16, 0xffff)];
    let events = source.window(window(records, 100 + 96), &NoTables);
    let births = births(&events);
    // 96 objects for promises of 32 and 16.
    assert_eq!(
        births.iter().map(|b| b.weight).collect::<Vec<_>>(),
        [64.0, 32.0]
    );
    assert_eq!(births[0].bucket, births[1].bucket);
    let kinds: Vec<&str> = events
        .iter()
        .map(|event| match event {
            Event::Sites { .. } => "sites",
            Event::Births(_) => "births",
            Event::Probe(_) => "probe",
            Event::Dead { .. } => "dead",
            _ => "other",
        })
        .collect();
    assert_eq!(kinds, ["sites", "births", "probe", "births"], "{events:?}");
    assert_eq!(source.n_followed(), 2);
}

#[test]
fn a_slot_that_is_handed_out_again_was_dead_though_no_check_saw_it() {
    let mut source = Source::new(Kind::Spans, counters(0));
    source.window(window(vec![stack(7), span(10, 7, 3, 0b111)], 32), &NoTables);
    let events = source.window(window(vec![span(30, 7, 1, 0b001)], 64), &NoTables);
    assert!(
        events.iter().any(
            |event| matches!(event, Event::Dead { objects, .. } if objects == &[START + 256 * 3])
        ),
        "{events:?}"
    );
    assert_eq!(source.n_followed(), 1);
}

#[test]
fn a_stack_that_was_lost_counts_under_one_unknown_site() {
    let mut source = Source::new(Kind::Spans, counters(0));
    let events = source.window(
        window(vec![span(10, 9, 0, 0), span(11, 8, 0, 0)], 64),
        &NoTables,
    );
    let sites: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Sites { sites, .. } => Some(sites),
            _ => None,
        })
        .flatten()
        .collect();
    assert_eq!(sites.len(), 1);
    assert_eq!(*sites[0].pcs, [crate::go::buckets::UNKNOWN_STACK_PC]);
    assert_eq!(births(&events).len(), 2);
}

fn alloc(object_bytes: u64) -> Record {
    Record::Event(ProbeEvent::Alloc(Allocated {
        at_ns: 10,
        stack: 7,
        object: START,
        object_bytes,
        go_type: 0x77,
        span_start: START,
        slot_bytes: object_bytes,
        span_class: 36,
    }))
}

#[test]
fn exact_births_stand_for_the_inverse_of_their_chance_and_counts_for_themselves() {
    let kind = Kind::Exact { rate_bytes: 4096 };
    let mut source = Source::new(kind, counters(0));
    let events = source.window(window(vec![stack(7), alloc(256)], 1000), &NoTables);
    let weight = births(&events)[0].weight;
    assert!(
        (weight - 1.0 / (1.0 - f64::exp(-1.0 / 16.0))).abs() < 1e-9,
        "{weight}"
    );
    let key = CountKey {
        stack: 7,
        go_type: 0x77,
        object_bytes: 256,
    };
    let events = source.counted(20, &[(key, 900)], 0, &NoTables);
    let [
        Event::Counted {
            objects,
            exact: true,
            ..
        },
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!(objects[..], [(births_bucket(&mut source), 900.0)]);
}

fn births_bucket(source: &mut Source) -> u64 {
    births(&source.window(window(vec![alloc(256)], 1000), &NoTables))[0].bucket
}

#[test]
fn counts_become_estimates_once_the_probes_were_off() {
    let mut source = Source::new(Kind::Exact { rate_bytes: 1 }, counters(0));
    source.window(
        Window {
            on: false,
            ..window(Vec::new(), 1000)
        },
        &NoTables,
    );
    let key = CountKey {
        stack: 7,
        go_type: 0,
        object_bytes: 256,
    };
    let events = source.counted(20, &[(key, 250)], 0, &NoTables);
    assert!(
        matches!(events.last(), Some(Event::Counted { objects, exact: false, .. }) if (objects[0].1 - 1000.0).abs() < 1e-9),
        "{events:?}"
    );
}

#[test]
fn what_was_allocated_in_pauses_is_shared_out_by_the_turns_behind_them() {
    let mut source = Source::new(Kind::Spans, counters(0));
    let (mut allocated, mut shared) = (0, 0.0);
    source.window(window(vec![stack(7)], 0), &NoTables);
    for _turn in 0..20 {
        // Nine windows of a pause, then one with a sample, at a steady 32 objects a window.
        for _ in 0..9 {
            allocated += 32;
            let paused = Window {
                on: false,
                ..window(Vec::new(), allocated)
            };
            source.window(paused, &NoTables);
        }
        allocated += 32;
        let turn = Window {
            pause: Pause {
                share: 1.0,
                is_last: true,
                off_per_on: 9.0,
            },
            ..window(vec![span(10, 7, 0, 0)], allocated)
        };
        let events = source.window(turn, &NoTables);
        shared += births(&events)
            .iter()
            .map(|birth| birth.weight)
            .sum::<f64>();
    }
    let missing = (allocated as f64 - shared) / allocated as f64;
    assert!(missing.abs() < 0.02, "{shared} of {allocated}");
}
