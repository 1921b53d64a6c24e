//! Stories of programs whose profile goes back to their start.

use super::*;
use crate::model::findings::HistorySays;

const UPTIME_S: i64 = 8 * 3600;
/// Births of the leak a minute, now and since the start.
const PER_MIN: f64 = 30.0;
const SITE: &str = "gateway.remember";

const fn counts(allocs: u64, frees: u64) -> Counts {
    Counts { allocs, frees }
}

/// Beside one site that kept what it allocated a program with much garbage, up 8 hours.
fn program(behaviour: Behaviour, before: Counts) -> World {
    World::after(
        UPTIME_S,
        Source::Sampler,
        vec![
            (vec![SITE, "gateway.handle", "main.main"], behaviour),
            (
                vec!["gateway.render", "gateway.handle", "main.main"],
                churns(300.0),
            ),
            (
                vec!["gateway.load", "gateway.setup", "main.main"],
                churns(0.0),
            ),
        ],
        &[before, counts(144_000, 144_000), counts(900, 0)],
    )
}

/// A site that kept all it allocated, at its present pace since the start.
fn leaking() -> World {
    program(leaks(PER_MIN), counts(14_400, 0))
}

/// Seconds until the process grows; at most `seconds`.
fn grows_after(world: &mut World, seconds: u64) -> Option<u64> {
    (1..=seconds).find(|_| {
        world.run(1);
        world.findings().process.word == Word::Growing
    })
}

fn says(world: &World) -> Option<HistorySays> {
    let findings = world.findings();
    let suspect = (findings.suspects.iter()).find(|suspect| &*suspect.frame.function == SITE);
    suspect.and_then(|suspect| Some(suspect.since_start.as_ref()?.says))
}

#[test]
fn names_a_leak_of_hours_within_half_a_minute() {
    let mut world = leaking();
    let after_s = grows_after(&mut world, 60).expect("no growth");
    assert!((5..=30).contains(&after_s), "{after_s} s");
    let findings = world.findings();
    let leak = findings.leaks.first().expect("a leak");
    assert_eq!(leak.function(), SITE);
    assert_eq!(leak.word, Word::Growing);
    let since = leak.since_start.as_ref().expect("history");
    assert_eq!(since.says, HistorySays::Growing);
    assert_eq!((since.born, since.freed), (14_400, 0));
    let rate = findings.process.live_bytes_per_min.expect("a rate");
    let true_rate = PER_MIN * SAMPLE_BYTES as f64;
    assert!(
        0.0 < rate.low && rate.low <= true_rate && true_rate <= rate.high,
        "{rate:?}"
    );
}

#[test]
fn keeps_the_word_while_growth_goes_on() {
    let mut world = leaking();
    grows_after(&mut world, 60).expect("no growth");
    for _ in 0..600 {
        world.run(1);
        assert_eq!(
            world.findings().process.word,
            Word::Growing,
            "{}",
            world.second
        );
    }
}

#[test]
fn suspects_it_in_the_first_seconds() {
    let mut world = leaking();
    world.run(3);
    let findings = world.findings();
    let first = findings.suspects.first().expect("a suspect");
    assert_eq!(&*first.frame.function, SITE);
    assert_eq!(
        first.since_start.as_ref().map(|since| since.born),
        Some(14_400)
    );
}

#[test]
fn takes_the_word_back_when_growth_stops() {
    let mut world = program(
        Behaviour {
            until_s: 60,
            ..leaks(PER_MIN)
        },
        counts(14_400, 0),
    );
    grows_after(&mut world, 60).expect("no growth");
    world.run(60);
    let stopped = (0..480).find(|_| {
        world.run(1);
        world.findings().process.word != Word::Growing
    });
    assert!(stopped.is_some());
}

#[test]
fn a_cache_that_filled_is_not_named() {
    let mut world = program(leaks(0.0), counts(14_400, 0));
    assert_eq!(grows_after(&mut world, 180), None);
    assert!(world.findings().leaks.is_empty());
    assert_eq!(says(&world), None, "no suspect either");
}

#[test]
fn a_full_cache_that_replaces_its_entries_is_not_named() {
    let replaced = Behaviour {
        per_min: PER_MIN,
        lives_s: 5,
        until_s: ALWAYS,
    };
    let mut world = program(replaced, counts(14_400, 0));
    assert_eq!(grows_after(&mut world, 180), None);
}

#[test]
fn what_frees_most_of_its_births_is_not_named() {
    let mut world = program(churns(PER_MIN), counts(14_400, 14_300));
    assert_eq!(grows_after(&mut world, 180), None);
}

#[test]
fn without_records_from_the_start_it_takes_the_watch() {
    let mut world = program(leaks(PER_MIN), counts(0, 0));
    assert_eq!(grows_after(&mut world, 40), None);
    assert_eq!(says(&world), None);
}
