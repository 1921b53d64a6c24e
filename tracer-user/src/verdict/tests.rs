//! Laws of the verdict; that its words are those of the simulation is shown by `tests/suite/verdicts.rs`.

#![allow(
    clippy::cast_possible_truncation,
    reason = "the numbers of tests are small"
)]

use proptest::prelude::*;

use super::*;

const MIN_NS: u64 = 60 * SECOND_NS;
const SAMPLE: Weight = Weight {
    objects: 4096.0,
    bytes: (512 << 10) as f64,
};

/// A process of which each key is a track, and one more is their sum.
struct Process {
    clock: Clock,
    veterans: Veterans,
    tracks: Vec<Track>,
    sum: Track,
    load: f64,
    next_id: u64,
    gc_every_ns: u64,
    next_gc_ns: u64,
    now_ns: u64,
}

impl Process {
    fn new(keys: usize, gc_every_ns: u64) -> Self {
        Self {
            clock: Clock::new(0, Some(250.0), None),
            veterans: Veterans::default(),
            tracks: vec![Track::new(); keys],
            sum: Track::new(),
            load: 0.0,
            next_id: 0,
            gc_every_ns,
            next_gc_ns: gc_every_ns,
            now_ns: 0,
        }
    }

    /// Collections and looks up to a time, without a look at that very time.
    fn pass(&mut self, to_ns: u64) {
        loop {
            let look_ns = self.clock.next_look_ns();
            if self.next_gc_ns <= look_ns && self.next_gc_ns < to_ns {
                self.veterans.gc(self.next_gc_ns);
                self.clock.gc(self.next_gc_ns);
                self.next_gc_ns += self.gc_every_ns;
            } else if look_ns < to_ns {
                self.load += 250.0;
                self.look(look_ns);
            } else {
                break;
            }
        }
        self.now_ns = to_ns;
    }

    fn look(&mut self, at_ns: u64) {
        assert!(self.clock.look(at_ns, self.load));
        let flows = self.veterans.look(at_ns);
        let mut sum = Flow::default();
        let mut by_key = vec![Flow::default(); self.tracks.len()];
        for (key, flow) in flows {
            sum += flow;
            by_key[key as usize] += flow;
        }
        for (track, flow) in self.tracks.iter_mut().zip(&by_key) {
            track.look(&self.clock, flow);
            assert_finite(track.verdict());
        }
        self.sum.look(&self.clock, &sum);
        assert_finite(self.sum.verdict());
    }

    fn born(&mut self, key: u32) -> u64 {
        self.next_id += 1;
        self.veterans.born(self.next_id, key, SAMPLE, self.now_ns);
        self.next_id
    }
}

fn assert_finite(verdict: &Verdict) {
    let evidence = &verdict.evidence;
    let slopes = [evidence.per_min, evidence.per_load];
    let estimates = slopes
        .iter()
        .flatten()
        .flat_map(|slope| [slope.bytes, slope.objects]);
    let numbers = estimates
        .flat_map(|estimate| [estimate.low, estimate.value, estimate.high])
        .chain(evidence.steady_below_bytes_per_min)
        .chain(evidence.steady_below_objects_per_min)
        .chain([evidence.minutes]);
    for number in numbers {
        assert!(number.is_finite(), "{verdict:?}");
    }
    assert_eq!(evidence.missing.is_some(), verdict.word == Word::Collecting);
    assert_eq!(
        evidence.growing_per.is_some(),
        verdict.word == Word::Growing
    );
}

/// Fifteen samples a minute, 4 s apart, on keys in turn.
fn leak(process: &mut Process, minutes: u64, keys: u32) -> Option<u64> {
    let from = process.now_ns;
    let mut found = None;
    for i in 0..minutes * 15 {
        process.pass(from + i * 4 * SECOND_NS + 1);
        process.born(i as u32 % keys);
        if found.is_none() && process.sum.word() == Word::Growing {
            found = Some((process.now_ns - from) / SECOND_NS);
        }
    }
    found
}

#[test]
fn a_leak_is_found_with_its_slope_and_stays_found_beyond_the_history() {
    let mut process = Process::new(1, SECOND_NS);
    let found = leak(&mut process, 200, 1).expect("found");
    assert!(found <= 240, "{found} s");
    let Verdict { word, evidence } = process.sum.verdict().clone();
    assert_eq!(word, Word::Growing);
    assert_eq!(evidence.growing_per, Some(GrowingPer::Time));
    assert_eq!((evidence.minutes, evidence.samples_died), (48.0, 0));
    let slope = evidence.per_min.expect("by the wall clock");
    assert!(
        (slope.bytes.value / (15.0 * SAMPLE.bytes) - 1.0).abs() < 0.02,
        "{slope:?}"
    );
    assert!(slope.bytes.low < slope.bytes.value && slope.bytes.value < slope.bytes.high);
    assert!((slope.objects.value / (15.0 * SAMPLE.objects) - 1.0).abs() < 0.02);
    let per_load = evidence.per_load.expect("the load went on");
    assert!((per_load.objects.value / (SAMPLE.objects * 15.0 / 1000.0) - 1.0).abs() < 0.02);
    assert!(evidence.since_ns <= (found + 15) * SECOND_NS);
}

#[test]
fn a_leak_over_three_sites_is_found_in_their_sum_as_fast_as_in_one() {
    let (mut one, mut three) = (Process::new(1, SECOND_NS), Process::new(3, SECOND_NS));
    let alone = leak(&mut one, 20, 1).expect("found");
    let in_sum = leak(&mut three, 20, 3).expect("found");
    assert_eq!(alone, in_sum);
    assert_eq!(one.tracks[0].verdict(), one.sum.verdict());
    assert_eq!(one.sum.verdict(), three.sum.verdict());
    let in_three = |track: &Track| track.verdict().evidence.since_ns / SECOND_NS;
    assert!(
        three
            .tracks
            .iter()
            .all(|track| in_three(track) > alone + 60)
    );
}

#[test]
fn what_turns_over_is_steady_for_hours_and_says_its_bound() {
    let mut process = Process::new(1, 6 * SECOND_NS);
    process.veterans.stood(0, 60, SAMPLE);
    let mut deaths = std::collections::BTreeMap::new();
    for second in 0..180 * 60 {
        process.pass(second * SECOND_NS + 1);
        if second % 3 == 0 {
            let id = process.born(0);
            deaths.insert((second + 30 + id * 7 % 60, id), id);
        }
        while let Some(death) = deaths.first_entry().filter(|death| death.key().0 <= second) {
            process.veterans.died(death.remove(), process.now_ns);
        }
        assert_ne!(process.sum.word(), Word::Growing);
    }
    let evidence = &process.sum.verdict().evidence;
    assert_eq!(process.sum.word(), Word::Steady);
    let below = evidence.steady_below_bytes_per_min.expect("a bound");
    assert!(below > 0.0 && below <= 8.0 * SAMPLE.bytes, "{below}");
}

/// A fill that slows down: its pace is that of the last minutes, however rare the collections are, and never one of the
/// hour before.
#[test]
fn what_warms_has_the_pace_of_the_last_minutes() {
    const TAU_MIN: f64 = 20.0;
    let rate = |minute: f64| 100.0 * (-minute / TAU_MIN).exp();
    for gap_s in [1, 30, 120] {
        let mut process = Process::new(1, gap_s * SECOND_NS);
        let (mut filled, mut told) = (0.0, 0);
        for second in 0..70 * 60 {
            process.pass(second * SECOND_NS + 1);
            let minute = second as f64 / 60.0;
            while filled < 100.0 * TAU_MIN * (1.0 - (-minute / TAU_MIN).exp()) {
                process.born(0);
                filled += 1.0;
            }
            let Verdict { word, evidence } = process.sum.verdict();
            assert!(evidence.pace.is_none() || *word == Word::Warming);
            if let Some(pace) = evidence.pace {
                told += 1;
                let pace = pace.bytes.value / SAMPLE.bytes;
                // What was born up to the last collection but one is judged.
                let oldest = rate(minute - 16.5 - (2 * gap_s + 15) as f64 / 60.0);
                assert!(
                    pace > 0.6 * rate(minute) && pace < 1.4 * oldest,
                    "GC every {gap_s} s, minute {minute:.1}: {pace}, of {} to {oldest}",
                    rate(minute)
                );
            }
        }
        assert!(told > 60 || gap_s == 120, "GC every {gap_s} s: {told}");
    }
}

#[test]
fn one_to_which_nothing_happens_is_idle() {
    let mut process = Process::new(1, SECOND_NS);
    process.veterans.stood(0, 1000, SAMPLE);
    process.pass(4 * MIN_NS);
    let missing = process.sum.verdict().evidence.missing.expect("collecting");
    assert_eq!((missing.samples, missing.cycles), (25, 0));
    process.pass(4 * MIN_NS + 1);
    assert_eq!(process.sum.word(), Word::Idle);
    assert_eq!(process.sum.verdict().evidence.samples_now, 1000);
    assert_eq!(Track::new().word(), Word::Collecting);
}

#[test]
fn what_is_found_late_to_have_stood_there_is_no_growth() {
    let mut process = Process::new(1, SECOND_NS);
    process.pass(5 * MIN_NS);
    for id in 0..500 {
        process.veterans.found(u64::MAX - id, 0, SAMPLE);
        process.pass((5 * 60 + id / 10) * SECOND_NS);
    }
    for minute in 6..20 {
        process.pass(minute * MIN_NS);
        assert_eq!(process.sum.word(), Word::Idle);
    }
    assert_eq!(process.sum.verdict().evidence.samples_now, 500);
}

#[test]
fn collecting_says_how_long_it_takes() {
    let mut process = Process::new(1, SECOND_NS);
    leak(&mut process, 1, 1);
    let missing = process.sum.verdict().evidence.missing.expect("collecting");
    assert!((10..=20).contains(&missing.samples), "{missing:?}");
    let seconds = missing.seconds.expect("foreseen");
    assert!((90..=150).contains(&seconds), "{missing:?}");
}

#[test]
fn a_gap_in_looks_gives_no_word() {
    let mut process = Process::new(1, SECOND_NS);
    process.veterans.stood(0, 1000, SAMPLE);
    process.pass(3 * MIN_NS);
    for hours in [1, 30, 3_000_000] {
        let then_ns = process.clock.last_look_ns() + hours * 60 * MIN_NS;
        process.veterans.gc(then_ns);
        process.clock.gc(then_ns);
        process.look(then_ns);
        assert_eq!(process.sum.word(), Word::Collecting);
        assert_eq!(process.clock.last_look_ns(), then_ns);
    }
    process.next_gc_ns = process.clock.last_look_ns() + 1;
    process.pass(process.clock.last_look_ns() + 9 * MIN_NS);
    assert_eq!(process.sum.word(), Word::Idle);
}

#[test]
fn a_track_that_begins_late_says_the_same() {
    // A load that rises, and so objects to growth.
    let mut clock = Clock::new(0, None, None);
    let mut early = Track::new();
    let mut late: Option<Track> = None;
    let mut load = 0.0;
    for k in 1..=HISTORY as u64 + 40 {
        for second in 1..=15 {
            clock.gc((k - 1) * LOOK_NS + second * SECOND_NS);
        }
        load += 100.0 * 1.03_f64.powi(k as i32 % 60);
        clock.look(k * LOOK_NS, load);
        let mut flow = Flow::default();
        if k >= 52 && k % 3 != 0 {
            for level in &mut flow.levels {
                (0..k % 7).for_each(|_| level.arrived.add(SAMPLE));
            }
        }
        early.look(&clock, &flow);
        if k == 52 {
            late = Some(Track::new());
        }
        if let Some(late) = &mut late {
            late.look(&clock, &flow);
            assert_eq!((k, early.word()), (k, late.word()));
        }
    }
    assert_eq!(early.word(), Word::Growing);
}

#[test]
fn many_light_births_and_few_heavy_deaths_are_no_growth() {
    let heavy = Weight {
        objects: 100.0,
        bytes: 1e6,
    };
    let light = Weight {
        objects: 10.0,
        bytes: 1e5,
    };
    let word = |gone: Weight| {
        let mut clock = Clock::new(0, Some(100.0), None);
        let mut track = Track::new();
        for k in 1..=40 {
            (1..=15).for_each(|s| clock.gc((k - 1) * LOOK_NS + s * SECOND_NS));
            clock.look(k * LOOK_NS, 100.0 * k as f64);
            let mut flow = Flow::default();
            (0..8).for_each(|_| flow.levels[0].arrived.add(light));
            flow.levels[0].departed.add(gone);
            flow.levels[0].stand(if k == 1 { 1000 } else { 0 }, heavy);
            track.look(&clock, &flow);
        }
        track.word()
    };
    assert_eq!(word(light), Word::Growing);
    assert_ne!(word(heavy), Word::Growing);
}

#[test]
fn samples_without_room_are_dropped_from_both_sides() {
    let mut veterans = Veterans::with_max(2);
    for id in 0..5 {
        veterans.born(id, 7, SAMPLE, id);
    }
    assert_eq!((veterans.len(), veterans.dropped()), (2, 3));
    assert!(veterans.died(1, 10));
    assert!(!veterans.died(4, 11));
    veterans.gc(20);
    veterans.gc(21);
    let flows = veterans.look(LOOK_NS * 2);
    assert_eq!(flows.len(), 1);
    let (key, flow) = flows[0];
    assert_eq!((key, flow.born), (7, 2));
    assert_eq!(flow.levels[0].arrived.samples, 1);
    assert_eq!(flow.levels[0].departed, Side::default());
}

#[test]
fn one_no_longer_followed_leaves_without_a_death() {
    let mut veterans = Veterans::default();
    veterans.found(1, 0, SAMPLE);
    veterans.found(1, 0, SAMPLE);
    veterans.found(2, 0, SAMPLE);
    veterans.forget(1);
    veterans.died(2, 5);
    let flow = veterans.look(10)[0].1;
    for level in flow.levels {
        assert_eq!((level.standing, level.departed.samples), (1, 1));
        assert_eq!(level.arrived, Side::default());
    }
    assert!(veterans.is_empty());
}

/// A life: key, birth, and how much later the sweep that shows its death ends. In quarters of a second.
type Life = (u32, u64, u64);

const TICK_NS: u64 = SECOND_NS / 4;

/// The definition, sample by sample: arrivals and departures of a level by key, per look.
fn defined(
    lives: &[Life],
    gcs: &[u64],
    level: usize,
    keys: u32,
    looks: u64,
) -> Vec<Vec<(u32, u32)>> {
    let mut counts = vec![vec![(0, 0); keys as usize]; looks as usize + 1];
    for &(key, born, lived) in lives {
        let (born, died) = (born * TICK_NS, (born + lived) * TICK_NS);
        let outlived = gcs.iter().map(|gc| gc * TICK_NS).filter(|&gc| gc >= born);
        let Some(second) = outlived.into_iter().nth(1) else {
            continue;
        };
        let vet = second.max(born + AGES_NS[level]);
        if died > vet {
            for (when, arrives) in [(vet, true), (died, false)] {
                if let Some(look) = counts.get_mut(when.div_ceil(LOOK_NS) as usize) {
                    let count = &mut look[key as usize];
                    if arrives { count.0 += 1 } else { count.1 += 1 }
                }
            }
        }
    }
    counts
}

/// What happens, by time: within one time births and deaths of different samples in the order given, then collections,
/// then the look.
fn events(lives: &[Life], gcs: &[u64], looks: u64, turned: bool) -> Vec<(u64, u8, usize)> {
    let mut events = Vec::new();
    for (i, &(_, born, lived)) in lives.iter().enumerate() {
        events.push((born * TICK_NS, 0, i));
        events.push(((born + lived) * TICK_NS, 1, i));
    }
    events.extend(gcs.iter().map(|&gc| (gc * TICK_NS, 2, 0)));
    events.extend((1..=looks).map(|look| (look * LOOK_NS, 3, 0)));
    if turned {
        events.reverse();
        // Stable, and a birth may come behind a collection of the same time.
        events.sort_by_key(|&(at, kind, _)| (at, [1, 0, 0, 2][usize::from(kind)]));
    } else {
        events.sort_by_key(|&(at, kind, _)| (at, kind));
    }
    events
}

proptest! {
    #[test]
    fn veterans_are_those_of_the_definition_in_any_order_of_one_time(
        lives in prop::collection::vec((0_u32..3, 0_u64..1500, 1_u64..9000), 1..60),
        mut gcs in prop::collection::vec(0_u64..9000, 0..60),
        turned: bool,
    ) {
        gcs.sort_unstable();
        gcs.dedup();
        let looks = 160;
        let mut veterans = Veterans::default();
        let mut found = vec![vec![vec![(0, 0); 3]; looks as usize + 1]; N_LEVELS];
        for (at_ns, kind, i) in events(&lives, &gcs, looks, turned) {
            match kind {
                0 => veterans.born(i as u64, lives[i].0, SAMPLE, at_ns),
                1 => drop(veterans.died(i as u64, at_ns)),
                2 => veterans.gc(at_ns),
                _ => {
                    for (key, flow) in veterans.look(at_ns) {
                        for (level, flow) in flow.levels.iter().enumerate() {
                            let count = (flow.arrived.samples, flow.departed.samples);
                            found[level][(at_ns / LOOK_NS) as usize][key as usize] = count;
                        }
                    }
                }
            }
        }
        for (level, found) in found.iter().enumerate() {
            prop_assert_eq!(found, &defined(&lives, &gcs, level, 3, looks));
        }
    }

    #[test]
    fn the_flow_under_a_frame_is_that_of_its_buckets(
        lives in prop::collection::vec((0_u32..4, 0_u64..1500, 1_u64..3000), 1..60),
    ) {
        let gcs: Vec<u64> = (1..400).map(|i| i * 8).collect();
        let (mut apart, mut together) = (Veterans::default(), Veterans::default());
        for (at_ns, kind, i) in events(&lives, &gcs, 60, false) {
            let key = lives.get(i).map_or(0, |life| life.0);
            let weight = Weight { objects: f64::from(key + 1), bytes: f64::from(key * 8) };
            for (veterans, key) in [(&mut apart, key), (&mut together, 0)] {
                match kind {
                    0 => veterans.born(i as u64, key, weight, at_ns),
                    1 => drop(veterans.died(i as u64, at_ns)),
                    2 => veterans.gc(at_ns),
                    _ => {}
                }
            }
            if kind == 3 {
                let mut sum = Flow::default();
                apart.look(at_ns).into_iter().for_each(|(_, flow)| sum += flow);
                let one = together.look(at_ns).pop().map_or(Flow::default(), |(_, flow)| flow);
                prop_assert_eq!(sum, one);
            }
        }
    }

    #[test]
    fn any_events_in_any_order_give_a_word_with_finite_numbers(
        ops in prop::collection::vec((0_u8..9, 0_u64..40, 0_u32..3, any::<f64>(), 0_u64..4000), 1..300),
        before in any::<Option<f64>>(),
        gap in any::<Option<f64>>(),
    ) {
        let mut clock = Clock::new(1000, before, gap);
        let mut veterans = Veterans::with_max(30);
        let mut tracks = vec![Track::new(); 3];
        for (kind, id, key, number, seconds) in ops {
            let at_ns = seconds * SECOND_NS;
            let weight = Weight { objects: number, bytes: number * 1e3 };
            match kind {
                0 | 1 => veterans.born(id, key, weight, at_ns),
                2 => drop(veterans.died(id, at_ns)),
                3 => veterans.found(id, key, weight),
                4 => veterans.forget(id),
                5 => veterans.died_before(key, weight, at_ns),
                6 => veterans.stood(key, seconds, weight),
                7 => {
                    veterans.gc(at_ns);
                    clock.gc(at_ns);
                }
                _ => {
                    let at_ns = clock.next_look_ns().max(at_ns);
                    clock.look(at_ns, number);
                    for (key, flow) in veterans.look(at_ns) {
                        tracks[key as usize].look(&clock, &flow);
                    }
                }
            }
        }
        let none = Flow::default();
        for track in &mut tracks {
            track.look(&clock, &none);
            assert_finite(track.verdict());
        }
    }

    #[test]
    fn any_flows_give_a_word_with_finite_numbers(
        flows in prop::collection::vec((any::<[u32; 3]>(), any::<f64>(), 0.0_f64..1e4, 0_u64..4), 1..200),
    ) {
        let mut clock = Clock::new(0, None, None);
        let mut track = Track::new();
        let mut load = 0.0;
        for ([arrived, departed, born], weight, more, gcs) in flows {
            let at_ns = clock.next_look_ns();
            (0..gcs).for_each(|i| clock.gc(at_ns - i));
            load += more;
            clock.look(at_ns, load);
            let mut flow = Flow { born, ..Flow::default() };
            for (i, level) in flow.levels.iter_mut().enumerate() {
                level.arrived = Side { samples: arrived >> (8 * i + 8), bytes: weight, bytes_sq: weight, objects: weight, objects_sq: 1.0 };
                level.departed.samples = departed >> (9 * i + 10);
                level.standing = i64::from(born);
            }
            track.look(&clock, &flow);
            assert_finite(track.verdict());
        }
    }
}
