//! What readings come to: growth, slopes, baselines, names.

use std::sync::Arc;

use super::*;
use crate::event::{Event, GoroutinesRead};
use crate::go::goroutines::{AllGoroutines, Group};
use crate::model::gc::SECOND_NS;
use crate::model::rows::Target;

const CREATED: u64 = 0x1000;
const START: u64 = 0x2000;

fn model() -> Model {
    Model::new(Target::default())
}

fn group(created_pc: u64, start_pc: u64, count: u64) -> Group {
    Group {
        created_pc,
        start_pc,
        count,
        stack_bytes: count * 2048,
        ..Group::default()
    }
}

fn read(second: u64, groups: Vec<Group>) -> Event {
    let found = AllGoroutines {
        total: groups.iter().map(|group| group.count).sum(),
        stack_bytes: groups.iter().map(|group| group.stack_bytes).sum(),
        groups,
        ..AllGoroutines::default()
    };
    Event::Goroutines(GoroutinesRead {
        at_ns: second * SECOND_NS,
        took_ns: 1,
        next_ns: (second + 5) * SECOND_NS,
        found: Ok(found),
    })
}

fn named(pc: u64, function: &str) -> (u64, Arc<Frame>) {
    let frame = Frame {
        function: function.into(),
        ..Frame::unnamed(pc)
    };
    (pc, Arc::new(frame))
}

#[test]
fn growth_and_slopes_are_those_of_the_readings() {
    let mut model = model();
    assert!(model.goroutines().is_none());
    model.apply(Event::MarkBaseline { at_ns: 0 });
    for second in (0..600u64).step_by(5) {
        let mut groups = vec![group(CREATED, START, 100 + second)];
        if second >= 290 {
            groups.push(group(CREATED, START + 16, 7));
        }
        model.apply(read(second, groups));
    }
    let all = model.goroutines().expect("known");
    assert_eq!((all.count, all.growth), (702, Some(602)));
    assert_eq!(all.stack_growth_bytes, Some(602 * 2048));
    let [leak, constant] = &all.groups[..] else {
        panic!("{all:?}");
    };
    assert_eq!((leak.count, leak.growth), (695, Some(595)));
    let slope = leak.per_min.expect("a slope");
    assert!((slope.goroutines - 60.0).abs() < 1e-6, "{slope:?}");
    assert!(
        (slope.stack_bytes - 60.0 * 2048.0).abs() < 1e-3,
        "{slope:?}"
    );
    assert_eq!((constant.count, constant.growth), (7, Some(7)));
    let slope = constant.per_min.expect("a slope");
    assert!(slope.goroutines.abs() < 1e-9, "{slope:?}");

    // From a baseline of its own, and when the group is gone.
    model.apply(Event::MarkBaseline {
        at_ns: 600 * SECOND_NS,
    });
    model.apply(read(600, vec![group(CREATED, START, 600)]));
    let all = model.goroutines().expect("known");
    let growth: Vec<_> = all
        .groups
        .iter()
        .map(|group| (group.count, group.growth))
        .collect();
    assert_eq!(growth, [(600, Some(-95)), (0, Some(-7))]);
}

#[test]
fn the_history_is_bounded_and_begins_with_the_first_reading() {
    let mut model = model();
    for second in 0..5000 {
        model.apply(read(second, vec![group(CREATED, START, second)]));
    }
    let history = model.goroutines().expect("known").history;
    assert!(history.len() <= state::MAX_HISTORY, "{}", history.len());
    assert_eq!(history.first().map(|then| then.count), Some(0));
    assert_eq!(history.last().map(|then| then.count), Some(4999));
    assert!(history.is_sorted_by_key(|then| then.at_ns));
}

#[test]
fn names_are_asked_for_and_a_wrapper_gives_way_to_what_it_calls() {
    let mut model = model();
    let mut waiting = group(CREATED, START, 3);
    waiting.waiting_since_ns = Some(2 * SECOND_NS);
    waiting.oldest = Some(Oldest {
        goid: 7,
        waiting_since_ns: None,
        pcs: vec![0x10, 0x20, 0x30],
        truncated: false,
    });
    model.apply(read(5, vec![waiting, group(0, 0x5000, 1)]));
    let wanted = model.wanted_names(100);
    assert_eq!(wanted, [0x10, 0x20, 0x30, CREATED, START + 1, 0x5001]);
    let names = [
        (0x10, "runtime.gopark"),
        (0x20, "main.(*conn).serve"),
        (0x30, "runtime.goexit"),
        (CREATED, "main.Serve"),
        (START + 1, "main.Serve.gowrap1"),
        (0x5001, "runtime.bgsweep"),
    ];
    model.apply(Event::Named(names.map(|(pc, name)| named(pc, name)).into()));
    assert!(model.wanted_names(100).is_empty());
    let all = model.goroutines().expect("known");
    let [serve, sweep] = &all.groups[..] else {
        panic!("{all:?}");
    };
    assert_eq!(&*serve.start.function, "main.(*conn).serve");
    assert_eq!(
        serve.created_by.as_ref().map(|frame| &*frame.function),
        Some("main.Serve")
    );
    assert_eq!(serve.longest_wait_ns, Some(3 * SECOND_NS));
    let oldest = serve.oldest.as_ref().expect("a stack");
    assert_eq!(
        (oldest.goid, oldest.waiting_ns, oldest.frames.len()),
        (7, None, 3)
    );
    assert!(sweep.is_runtime && sweep.created_by.is_none());
    assert_eq!(all.runtime_count, 1);

    // The name stays when none of them is parked.
    model.apply(read(10, vec![group(CREATED, START, 3)]));
    let all = model.goroutines().expect("known");
    assert_eq!(&*all.groups[0].start.function, "main.(*conn).serve");
}

#[test]
fn what_is_not_known_says_why() {
    let mut model = model();
    model.apply(read(1, vec![group(CREATED, START, 3)]));
    model.apply(Event::Goroutines(GoroutinesRead {
        at_ns: 2,
        took_ns: 1,
        next_ns: 3,
        found: Err("the list is gone".into()),
    }));
    assert!(model.goroutines().is_none());
    assert_eq!(model.goroutines_not_known(), Some("the list is gone"));
}
