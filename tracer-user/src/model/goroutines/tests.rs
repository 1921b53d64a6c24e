//! What readings come to: growth, slopes, baselines, names.

use std::sync::Arc;

use super::*;
use crate::event::{Event, GoroutinesRead};
use crate::go::goroutines::{AllGoroutines, Group, Tracked, TrackedGoroutine, is_tracked};
use crate::model::findings::Word;
use crate::model::gc::SECOND_NS;
use crate::model::rows::Target;

const CREATED: u64 = 0x1000;
const START: u64 = 0x2000;

fn model() -> Model {
    Model::replay([Event::attached(Target::default())])
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
    model.apply(Event::Named {
        at_ns: 0,
        names: names.map(|(pc, name)| named(pc, name)).into(),
    });
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

/// A process of made-up goroutines that is read every 5 s and a little.
struct Simulated {
    model: Model,
    now_ns: u64,
    next_goid: u64,
    shift: u32,
    allocated_bytes: u64,
    /// How much it allocates, for one of its usual load.
    load: u64,
    /// Id, group, when it ends.
    alive: Vec<(u64, u32, u64)>,
    random: u64,
}

impl Simulated {
    fn new() -> Self {
        let target = Target {
            attached_ns: 1_000 * SECOND_NS,
            attached_unix_ns: 1_000 * 1_000_000_000,
            started_unix_ns: 1,
            ..Target::default()
        };
        Self {
            model: Model::replay([Event::attached(target)]),
            now_ns: 1_000 * SECOND_NS,
            next_goid: 1,
            shift: 0,
            allocated_bytes: 0,
            load: 1,
            alive: Vec::new(),
            random: 7,
        }
    }

    /// Evenly between 0 and 1.
    fn random(&mut self) -> f64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn start(&mut self, group: u32, at_ns: u64, life_ns: u64) {
        let goid = self.next_goid;
        self.next_goid += 1;
        self.alive
            .push((goid, group, at_ns.saturating_add(life_ns)));
    }

    fn read(&mut self) {
        let now_ns = self.now_ns;
        self.alive.retain(|alive| alive.2 > now_ns);
        let n_groups = 1 + self.alive.iter().map(|alive| alive.1).max().unwrap_or(0);
        let count = |id: u32| self.alive.iter().filter(|alive| alive.1 == id).count() as u64;
        let groups = (0..n_groups).map(|id| group(CREATED, START + 16 * u64::from(id), count(id)));
        let tracked = self
            .alive
            .iter()
            .filter(|alive| is_tracked(alive.0, self.shift));
        let goroutines = tracked.map(|&(goid, group, _)| TrackedGoroutine {
            goid,
            group,
            stack_bytes: 2048,
        });
        let found = AllGoroutines {
            total: self.alive.len() as u64,
            stack_bytes: self.alive.len() as u64 * 2048,
            allocated_bytes: Some(self.allocated_bytes),
            tracked: Tracked {
                shift: self.shift,
                goroutines: goroutines.collect(),
            },
            groups: groups.collect(),
            ..AllGoroutines::default()
        };
        self.model.apply(Event::Goroutines(GoroutinesRead {
            at_ns: now_ns,
            took_ns: 1,
            next_ns: now_ns + 5 * SECOND_NS,
            found: Ok(found),
        }));
    }

    /// The words on the groups after each reading for so long.
    ///
    /// * `arrivals`: group, how many a minute, mean life in seconds; for ever where that is infinite.
    fn run(&mut self, minutes: u64, arrivals: &[(u32, f64, f64)]) -> Vec<Vec<Word>> {
        const STEP_NS: u64 = 5_013_000_000;
        let end_ns = self.now_ns + minutes * 60 * SECOND_NS;
        let mut words = Vec::new();
        while self.now_ns < end_ns {
            self.now_ns += STEP_NS;
            self.allocated_bytes += self.load * (10 << 20);
            let mut born = Vec::new();
            for &(group, per_min, life_s) in arrivals {
                let mean = per_min / 60.0 * STEP_NS as f64 / SECOND_NS as f64;
                // As many as a Poisson process has in the step.
                let mut left = -self.random().ln() / mean;
                while left < 1.0 {
                    let life_s = -self.random().ln() * life_s;
                    let at_ns = self.now_ns - whole((1.0 - left) * STEP_NS as f64);
                    born.push((at_ns, group, whole(life_s * SECOND_NS as f64)));
                    left -= self.random().ln() / mean;
                }
            }
            born.sort_unstable();
            for (at_ns, group, life_ns) in born {
                self.start(group, at_ns, life_ns);
            }
            self.read();
            let all = self.model.goroutines().expect("known");
            let mut groups = all.groups;
            groups.sort_by_key(|group| group.id);
            let word = |group: &GoroutineGroup| {
                group
                    .verdict
                    .as_ref()
                    .map_or(Word::Collecting, |verdict| verdict.word)
            };
            words.push(groups.iter().map(word).collect());
        }
        words
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive, and a cast saturates"
)]
fn whole(ns: f64) -> u64 {
    ns as u64
}

const FOREVER: f64 = f64::INFINITY;

/// Minutes after which a group was called growing first, and the share of the readings since then that did.
fn growing(words: &[Vec<Word>], group: usize) -> Option<(f64, f64)> {
    let is_growing = |words: &Vec<Word>| words.get(group) == Some(&Word::Growing);
    let first = words.iter().position(is_growing)?;
    let held = words[first..]
        .iter()
        .filter(|words| is_growing(words))
        .count();
    Some((
        first as f64 * 5.013 / 60.0,
        held as f64 / (words.len() - first) as f64,
    ))
}

#[test]
fn a_leak_grows_and_what_turns_over_or_rests_beside_it_does_not() {
    let mut simulated = Simulated::new();
    for _ in 0..200 {
        simulated.start(0, 0, u64::MAX);
    }
    for _ in 0..100 {
        // Connections of a minute's life, as many as there always are.
        let life = -simulated.random().ln() * 60.0 * SECOND_NS as f64;
        simulated.start(1, simulated.now_ns, whole(life));
    }
    simulated.read();
    let words = simulated.run(40, &[(1, 100.0, 60.0), (2, 30.0, FOREVER), (3, 600.0, 2.0)]);
    let (first, held) = growing(&words, 2).expect("the leak is found");
    assert!(first < 3.5 && held > 0.95, "after {first} min, {held}");
    for honest in [0, 1, 3] {
        assert_eq!(growing(&words, honest), None, "{honest}");
    }
    let last = words.last().expect("words");
    assert_eq!(last[0], Word::Idle, "{last:?}");
    assert!(
        [Word::Steady, Word::Collecting].contains(&last[1]),
        "{last:?}"
    );
    let all = simulated.model.goroutines().expect("known");
    let leak = all
        .groups
        .iter()
        .find(|group| group.id == 2)
        .expect("it is there");
    let evidence = leak.verdict.clone().expect("a verdict").evidence;
    let objects = evidence.objects_per_min.expect("a slope");
    assert!(objects.low < 30.0 && 30.0 < objects.high, "{objects:?}");
    let bytes = evidence.bytes_per_min.expect("with them");
    assert!(
        (bytes.value - objects.value * 2048.0).abs() < 1.0,
        "{bytes:?}"
    );
}

#[test]
fn a_leak_stays_one_when_a_smaller_part_is_followed() {
    let mut simulated = Simulated::new();
    simulated.read();
    let before = simulated.run(8, &[(0, 600.0, FOREVER)]);
    assert!(growing(&before, 0).is_some_and(|(_, held)| held > 0.95));
    simulated.shift = 2;
    let after = simulated.run(12, &[(0, 600.0, FOREVER)]);
    let (first, held) = growing(&after, 0).expect("it is still one");
    assert!(first < 0.1 && held > 0.97, "{first} {held}");
    let all = simulated.model.goroutines().expect("known");
    assert_eq!(all.one_in, 4);
    let verdict = all.groups[0].verdict.as_ref().expect("a verdict");
    let objects = verdict.evidence.objects_per_min.expect("a slope");
    assert!(objects.low < 600.0 && 600.0 < objects.high, "{objects:?}");
}

#[test]
fn a_leak_that_ends_is_no_leak_any_more() {
    let mut simulated = Simulated::new();
    simulated.read();
    let words = simulated.run(10, &[(0, 60.0, FOREVER)]);
    assert!(growing(&words, 0).is_some());
    let words = simulated.run(10, &[]);
    let since = words.iter().rposition(|words| words[0] == Word::Growing);
    assert!(
        since.is_none_or(|last| last as f64 * 5.013 < 240.0),
        "{since:?}"
    );
}

#[test]
fn connections_that_come_with_the_load_are_no_leak() {
    let mut simulated = Simulated::new();
    simulated.allocated_bytes = 200 * (10 << 20);
    for _ in 0..300 {
        let life = -simulated.random().ln() * 180.0 * SECOND_NS as f64;
        simulated.start(0, simulated.now_ns, whole(life));
    }
    simulated.read();
    let mut words = simulated.run(15, &[(0, 100.0, 180.0)]);
    simulated.load = 3;
    words.extend(simulated.run(30, &[(0, 300.0, 180.0)]));
    assert_eq!(growing(&words, 0), None);
}
