//! Real probes on real Go processes: what the events say is what the target's own records say.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use heaptop::go::buckets::Counts;
use heaptop::go::specials;
use heaptop::model::Model;
use heaptop::model::rows::{Query, SiteRow};
use heaptop::model::samples::LiveSample;
use heaptop::session::AttachSettings;
use serde_json::Value;

use crate::support::cannot_run;
use crate::support::go::{A_RELEASE, Kind, PIE_STRIPPED, PLAIN, STRIPPED};
use crate::support::heaptop::{Heaptop, site};
use crate::support::profile::{Profile, Sample};
use crate::support::serial::{can_probe, turn};
use crate::support::text::Text;
use crate::support::truth::Truth;
use crate::support::watched::{Buckets, Watched, assert_equal_at_rest};

/// Load of each release.
const SOME_SECONDS: Duration = Duration::from_secs(5);
/// Load of the long run.
const FIVE_MINUTES: Duration = Duration::from_secs(300);

/// Longest time that a difference may stay under load: some comparisons.
const MAX_IN_DOUBT: Duration = Duration::from_secs(3);

/// Most live samples that a walk gives; far above what these programs have.
const MAX_SAMPLES: usize = 1 << 20;

mod events_and_the_first_read_equal_the_buckets_under_bursts {
    use super::{PIE_STRIPPED, SOME_SECONDS, STRIPPED, under_bursts};

    fn stripped(release: &str) {
        under_bursts(release, STRIPPED, SOME_SECONDS);
    }

    crate::support::each_release!(stripped);

    #[test]
    fn go_1_27_pie() {
        under_bursts("1.27.3", PIE_STRIPPED, SOME_SECONDS);
    }
}

#[test]
fn five_minutes_of_bursts() {
    if std::env::var_os("HEAPTOP_LONG").is_none_or(|value| value != "1") {
        eprintln!("skipped: five minutes of load are for HEAPTOP_LONG=1");
        return;
    }
    under_bursts(A_RELEASE, STRIPPED, FIVE_MINUTES);
}

/// Two looks at all buckets, around one moment.
struct Window {
    known_before: HashMap<u64, Counts>,
    known_after: HashMap<u64, Counts>,
    first: HashMap<u64, Counts>,
    second: HashMap<u64, Counts>,
}

impl Window {
    /// Drain, read, read, drain.
    fn look(watched: &mut Watched, buckets: &Buckets) -> Self {
        watched.catch_up();
        let known_before = watched.totals();
        let first = buckets.totals();
        let second = buckets.totals();
        watched.catch_up();
        Self {
            known_before,
            known_after: watched.totals(),
            first,
            second,
        }
    }

    /// How far the target is ahead of the events, by bucket, where neither moved during the window.
    fn quiet(&self) -> impl Iterator<Item = (u64, Counts)> + '_ {
        self.first.iter().filter_map(|(addr, &counts)| {
            let known = *self.known_before.get(addr)?;
            let is_quiet = self.second.get(addr) == Some(&counts)
                && self.known_after.get(addr) == Some(&known);
            is_quiet.then(|| (*addr, counts - known))
        })
    }
}

fn under_bursts(release: &str, kind: Kind, time: Duration) {
    let _turn = turn();
    if !can_probe() {
        return;
    }
    let Some(mut truth) = Truth::start(release, kind, &[]) else {
        return;
    };
    // Attached under load: the first read has to cope with it.
    truth.ask("keepstacks 50");
    truth.ask("start-churn 4");
    let buckets = Buckets::of(truth.pid());
    let mut watched = Watched::by_probes(truth.pid());

    let begun = Instant::now();
    let (mut exact, mut deferred) = (0_u64, 0_u64);
    let mut doubtful: HashMap<u64, (Counts, Instant)> = HashMap::new();
    while begun.elapsed() < time {
        watched.for_a_while(Duration::from_millis(300));
        let window = Window::look(&mut watched, &buckets);
        let mut differing = HashMap::new();
        for (addr, ahead) in window.quiet() {
            if ahead == Counts::default() {
                exact += 1;
            } else {
                differing.insert(addr, ahead);
            }
        }
        // A counter runs ahead of its probe for as long as a thread is kept from its CPU, and a first read
        // amid events waits for a quiet comparison, one a second; a difference that stays is a lie.
        deferred += differing.len() as u64;
        doubtful.retain(|addr, (ahead, _)| differing.get(addr) == Some(ahead));
        for (addr, ahead) in differing {
            let (_, since) = doubtful.entry(addr).or_insert((ahead, Instant::now()));
            assert!(
                since.elapsed() < MAX_IN_DOUBT,
                "go{release}: bucket {addr:#x} {ahead:?} for {:?}",
                since.elapsed()
            );
        }
        watched.during(|| {
            truth.ask("stop-churn");
            truth.ask("stacks 30");
            truth.ask("gc1");
            truth.ask("start-churn 4");
        });
    }
    watched.during(|| {
        truth.ask("stop-churn");
        truth.ask("gc")
    });
    let n = assert_equal_at_rest(&mut watched, &buckets);
    let losses = watched.model().losses();
    assert_eq!(
        (losses.lost, losses.repaired, losses.evicted),
        (0, 0, 0),
        "go{release}"
    );
    assert!(exact > 100, "go{release}: {exact} comparisons");
    assert!(
        watched.model().cycles_seen() > 5 && watched.model().cycles_missed() == 0,
        "go{release}: {} cycles, {} missed",
        watched.model().cycles_seen(),
        watched.model().cycles_missed()
    );
    eprintln!("go{release}: {n} buckets, {exact} comparisons exact, {deferred} in flight");

    // The live samples one by one, as the events tell them and as the spans list them.
    assert_samples_equal(&watched, &buckets, release);
    // The figures of the runtime.
    let memory = watched.during(|| truth.memory_stats());
    watched.catch_up();
    let heap = watched.model().heap();
    assert_eq!(heap.gc_cycles.map(u64::from), memory["NumGC"].as_u64());
    assert_eq!(heap.goal_bytes, memory["NextGC"].as_u64());
    watched.detach();
}

/// Asserts that births − frees of each bucket is the number of its live samples in the spans, and that the
/// model knows the very same objects.
fn assert_samples_equal(watched: &Watched, buckets: &Buckets, release: &str) {
    let program = &buckets.0.program;
    let (listed, cut) = specials::live_samples(
        &buckets.0.memory(),
        program.facts,
        program.vars.mheap,
        MAX_SAMPLES,
    )
    .expect("spans");
    assert!(!cut);
    let mut live: HashMap<u64, u64> = HashMap::new();
    for (_, bucket) in &listed {
        *live.entry(*bucket).or_default() += 1;
    }
    for (bucket, record) in buckets.read() {
        let expected = record.now().live();
        let got = live.remove(&bucket.addr).unwrap_or(0);
        assert_eq!(
            got, expected,
            "go{release}: samples of bucket {:#x}",
            bucket.addr
        );
    }
    assert!(
        live.is_empty(),
        "go{release}: samples of no bucket: {live:x?}"
    );
    let addresses: Vec<u64> = watched
        .model()
        .bucket_totals()
        .map(|(addr, _)| addr)
        .collect();
    let sample_of = |(object, sample): (u64, &LiveSample)| {
        let bucket = addresses[sample.bucket_idx as usize];
        (object, bucket, sample.born_ns)
    };
    let known: Vec<_> = watched
        .model()
        .live_samples()
        .iter()
        .map(sample_of)
        .collect();
    let listed: HashSet<(u64, u64)> = listed.into_iter().collect();
    let dead = known
        .iter()
        .filter(|(object, bucket, _)| !listed.contains(&(*object, *bucket)));
    let dead: Vec<_> = dead.collect();
    assert!(
        dead.is_empty() && known.len() == listed.len(),
        "go{release}: {} live samples known, {} listed; dead (object, bucket, birth): {dead:x?}",
        known.len(),
        listed.len()
    );
    assert!(
        known.len() > 20,
        "go{release}: {} live samples",
        known.len()
    );
}

mod an_exact_amount_is_shown_exactly {
    fn with_probes(release: &str) {
        super::exact_amount(release, &[]);
    }

    fn without_probes(release: &str) {
        super::exact_amount(release, &["--no-probes"]);
    }

    mod by_probes {
        crate::support::each_release!(super::with_probes);
    }

    mod by_reads_alone {
        crate::support::each_release!(super::without_probes);
    }
}

/// Objects in use at `main.keepBytes`, which are told without any error.
fn kept(line: &Value) -> i64 {
    let Some(site) = site(line, "main.keepBytes") else {
        return 0;
    };
    let objects = site["inuse_objects"].as_i64().expect("a whole number");
    assert_eq!(site["inuse_bytes"], objects * 512, "{site}");
    assert_eq!(site["inuse_bytes_err"], 0, "{site}");
    assert_eq!(site["inuse_objects_err"], 0, "{site}");
    assert_eq!(site["samples"], objects, "{site}");
    objects
}

fn exact_amount(release: &str, more: &[&str]) {
    let _turn = turn();
    if more.is_empty() && !can_probe() {
        return;
    }
    // Every allocation is a sample.
    let Some(mut truth) = Truth::start(release, STRIPPED, &["-rate", "1"]) else {
        return;
    };
    truth.ask("gc");
    let heaptop = Heaptop::json(truth.pid(), more);
    assert_eq!(kept(&heaptop.next_json()), 0);

    let step = |truth: &mut Truth, command: &str, before: i64, after: i64| {
        truth.ask(command);
        truth.ask("gc");
        let is_allowed = |line: &Value| {
            let kept = kept(line);
            assert!(
                kept == before || kept == after,
                "go{release} {command}: {kept}"
            );
        };
        heaptop.until(command, is_allowed, |line| kept(line) == after)
    };
    step(&mut truth, "keep 1000 512", 0, 1000);
    let line = step(&mut truth, "drop 400", 1000, 600);

    assert_eq!(line["rate_bytes"], 1);
    let keep = site(&line, "main.keepBytes").expect("a row");
    assert_eq!(keep["growth_objects"], 600);
    assert_eq!(keep["growth_bytes"], 600 * 512);
    assert_eq!(keep["alloc_objects"], 1000);
    assert_eq!(keep["alloc_bytes"], 1000 * 512);
    assert!(
        keep["file"]
            .as_str()
            .is_some_and(|file| file.ends_with("keep.go")),
        "{keep}"
    );
    let memory = truth.memory_stats();
    assert_eq!(line["heap"]["gc_cycles"], memory["NumGC"]);
    assert_eq!(line["heap"]["goal_bytes"], memory["NextGC"]);
    if more.is_empty() {
        assert_eq!(line["source"], "sampler");
        assert_eq!(line["losses"]["lost"], 0);
        assert_eq!(line["losses"]["repaired"], 0);
    } else {
        assert_eq!(line["source"], "buckets");
        assert_eq!(Text::of(truth.pid()).trapped(), [""; 0]);
    }
}

#[test]
fn live_bytes_are_those_that_the_collector_marked() {
    let _turn = turn();
    if !can_probe() {
        return;
    }
    for more in [&[][..], &["--no-probes"]] {
        let Some(mut truth) = Truth::start(A_RELEASE, STRIPPED, &[]) else {
            return;
        };
        let heaptop = Heaptop::json(truth.pid(), more);
        heaptop.next_json();
        truth.ask("keep 100 1048576");
        truth.ask("gc");
        let memory = truth.memory_stats();
        let line = heaptop.until(
            "the last cycle",
            |_| (),
            |line| line["heap"]["gc_cycles"] == memory["NumGC"],
        );
        let marked = line["heap"]["live_bytes"].as_u64().expect("known");
        let in_use = memory["HeapAlloc"].as_u64().expect("a number");
        assert!(
            marked >= 100 << 20 && marked <= in_use,
            "{marked} of {in_use}"
        );
        assert!(in_use - marked < 2 << 20, "{marked} of {in_use}");
        // Pages that nobody has written to yet are not resident.
        assert!(line["heap"]["rss_bytes"].as_u64() > Some(1 << 20), "{line}");
    }
}

fn row(model: &Model, function: &str) -> Option<SiteRow> {
    let mut rows = model.sites(&Query::default()).into_iter();
    rows.find(|row| &*row.function == function)
}

#[test]
fn at_rate_1_the_budget_detaches_the_probes_and_values_stay_right() {
    let _turn = turn();
    if !can_probe() {
        return;
    }
    let Some(mut truth) = Truth::start(A_RELEASE, STRIPPED, &["-rate", "1"]) else {
        return;
    };
    let text = Text::of(truth.pid());
    let buckets = Buckets::of(truth.pid());
    let mut watched = Watched::by_probes(truth.pid());
    assert_eq!(text.trapped().len(), 5);
    watched.during(|| truth.ask("start-churn 4"));
    watched.until("the probes' detach", Model::sampler_detached);
    // The two that a sample meets are gone, those of the collector stay.
    let sampler = ["runtime.setprofilebucket", "runtime.freeSpecial"];
    let gone = |trapped: &[&str]| sampler.iter().all(|name| !trapped.contains(name));
    watched.during(|| {
        crate::support::wait_for("clean code", crate::support::PATIENCE, || {
            gone(&text.trapped()).then_some(())
        });
    });
    assert_eq!(text.trapped().len(), 3);
    watched.during(|| {
        truth.ask("stop-churn");
        truth.ask("keep 1000 512");
        truth.ask("gc")
    });
    let in_use = |model: &Model| row(model, "main.keepBytes").map(|row| row.inuse);
    watched.until("1000 objects", |model| {
        in_use(model).is_some_and(|inuse| inuse.objects.to_bits() == 1000_f64.to_bits())
    });
    watched.during(|| {
        truth.ask("drop 400");
        truth.ask("gc")
    });
    watched.until("600 objects", |model| {
        in_use(model).is_some_and(|inuse| inuse.objects.to_bits() == 600_f64.to_bits())
    });
    let last = in_use(watched.model()).expect("a row");
    assert_eq!(last.bytes.to_bits(), (600.0 * 512.0_f64).to_bits());
    assert_eq!(last.objects_err.to_bits(), 0_f64.to_bits());
    // Reads alone go on about once a second, the last of them may be one read behind.
    watched.until("every bucket as the target has it", |model| {
        let known: HashMap<u64, Counts> = model.bucket_totals().collect();
        known == buckets.totals()
    });
    watched.detach();
    assert_eq!(text.trapped(), [""; 0]);
}

#[test]
fn at_rate_4096_the_probes_stay_within_their_share() {
    let _turn = turn();
    if !can_probe() {
        return;
    }
    let Some(mut truth) = Truth::start(A_RELEASE, STRIPPED, &["-rate", "4096"]) else {
        return;
    };
    truth.ask("start-churn 4");
    let heaptop = Heaptop::json(truth.pid(), &[]);
    let share = |line: &Value| line["overhead"]["cpu_fraction"].as_f64();
    let mut most = 0.0_f64;
    let mut lines = 0;
    heaptop.until(
        "a share that stays below 1 % of a CPU",
        |line| most = most.max(share(line).unwrap_or(0.0)),
        |line| {
            // The share is one of the last five seconds.
            lines += 1;
            lines > 50 && share(line).is_some_and(|share| share <= 0.01)
        },
    );
    eprintln!("most: {most:.3} of a CPU");
    truth.ask("stop-churn");
    truth.ask("keep 1000 8192");
    truth.ask("gc");
    heaptop.until(
        "about 1000 objects",
        |_| (),
        |line| {
            site(line, "main.keepBytes").is_some_and(|site| {
                let objects = site["inuse_objects"].as_f64().unwrap_or(0.0);
                let error = site["inuse_objects_err"].as_f64().unwrap_or(0.0);
                error > 0.0 && (objects - 1000.0).abs() < 6.0 * error
            })
        },
    );
}

#[test]
fn a_ring_that_is_too_small_loses_counts_and_is_repaired() {
    let _turn = turn();
    if !can_probe() {
        return;
    }
    for release in ["1.19.8", A_RELEASE] {
        let Some(mut truth) = Truth::start(release, STRIPPED, &["-rate", "4096"]) else {
            return;
        };
        truth.ask("stacks 64 8192");
        let buckets = Buckets::of(truth.pid());
        let settings = AttachSettings {
            ring_bytes: Some(4096),
            ..AttachSettings::default()
        };
        let mut watched = Watched::attach(truth.pid(), &settings).expect("it attaches");
        watched.settle();
        // Bursts of births and of frees, each larger than the ring, few enough for the budget.
        for round in 0..4 {
            watched.during(|| {
                truth.ask("keepstacks 512 8192");
                truth.ask("keep 500 8192");
            });
            watched.settle();
            watched.during(|| {
                truth.ask("drop 450");
                truth.ask("gc");
            });
            watched.settle();
            assert!(
                !watched.model().sampler_detached(),
                "go{release}: round {round}"
            );
        }
        watched.during(|| truth.ask("gc"));
        let n = assert_equal_at_rest(&mut watched, &buckets);
        let losses = watched.model().losses();
        // How many depends on how often the ring is drained meanwhile; a burst alone is five rings full.
        assert!(losses.lost > 50, "go{release}: {losses:?}");
        assert!(losses.repaired > 0, "go{release}: {losses:?}");
        // What reads put back, and nothing else: births and frees are less than twice the records made.
        assert!(losses.repaired <= losses.lost, "go{release}: {losses:?}");
        eprintln!("go{release}: {n} buckets, {losses:?}");
        // Also the rows are right again after a cycle that the reads have seen.
        watched.during(|| truth.ask("gc"));
        watched.settle();
        let own = Profile::read(&truth.pprof_heap());
        let own: i64 = own
            .samples
            .iter()
            .filter(|sample| {
                let lines = sample.locations.first().map(|at| &at.lines[..]);
                lines.is_some_and(|lines| lines[0].function == "main.keepBytes")
            })
            .map(|sample| sample.values[2])
            .sum();
        watched.until("the program's own estimate", |model| {
            row(model, "main.keepBytes")
                .is_some_and(|row| (row.inuse.objects - own as f64).abs() < 4.0)
        });
        watched.detach();
    }
}

#[test]
fn ten_rounds_of_attach_and_detach_under_load_change_nothing() {
    let _turn = turn();
    if !can_probe() {
        return;
    }
    for kind in [PLAIN, PIE_STRIPPED] {
        let Some(mut truth) = Truth::start(A_RELEASE, kind, &[]) else {
            return;
        };
        let before_ns = truth.work_ns();
        let text = Text::of(truth.pid());
        truth.ask("start-churn 2");
        for _ in 0..10 {
            let mut watched = Watched::by_probes(truth.pid());
            assert_eq!(text.trapped().len(), 5);
            watched.for_a_while(Duration::from_millis(50));
            watched.detach();
            assert_eq!(text.trapped(), [""; 0]);
        }
        truth.ask("stop-churn");
        truth.ask("gc");
        assert_full_speed(&mut truth, before_ns);
    }
}

/// Asserts that a step of work takes what it took. A neighbour on the machine slows it down for a while, what
/// heaptop left behind would for ever.
fn assert_full_speed(truth: &mut Truth, before_ns: u64) {
    const AGAIN_AFTER: Duration = Duration::from_millis(500);
    const PATIENCE: Duration = Duration::from_secs(60);
    let mut rounds = Vec::new();
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        rounds.push(truth.work_ns());
        if rounds.last() < Some(&(before_ns * 5 / 4)) {
            return;
        }
        std::thread::sleep(AGAIN_AFTER);
    }
    panic!("{before_ns} ns before, {rounds:?} ns after");
}

#[test]
fn a_killed_heaptop_leaves_clean_code_within_two_seconds() {
    let _turn = turn();
    if !can_probe() {
        return;
    }
    for kind in [PLAIN, PIE_STRIPPED] {
        let Some(mut truth) = Truth::start(A_RELEASE, kind, &[]) else {
            return;
        };
        let before_ns = truth.work_ns();
        let text = Text::of(truth.pid());
        truth.ask("start-churn 2");
        let heaptop = Heaptop::json(truth.pid(), &[]);
        heaptop.next_json();
        assert_eq!(text.trapped().len(), 5);
        heaptop.signal(nix::sys::signal::Signal::SIGKILL);
        let killed = Instant::now();
        crate::support::wait_for("clean code", Duration::from_secs(2), || {
            text.trapped().is_empty().then_some(())
        });
        eprintln!("clean after {:?}", killed.elapsed());
        truth.ask("stop-churn");
        assert_full_speed(&mut truth, before_ns);
        truth.ask("gc");
        assert!(truth.end().success());
    }
}

#[test]
fn the_mark_of_a_baseline_is_where_growth_begins() {
    let _turn = turn();
    let Some(mut truth) = Truth::start(A_RELEASE, STRIPPED, &["-rate", "1"]) else {
        return;
    };
    if !can_probe() {
        cannot_run("no probes");
        return;
    }
    truth.ask("keep 100 512");
    truth.ask("gc");
    let mut watched = Watched::by_probes(truth.pid());
    watched.during(|| {
        truth.ask("keep 200 512");
        truth.ask("gc")
    });
    let growth = |model: &Model| {
        row(model, "main.keepBytes")?
            .growth
            .map(|growth| growth.objects)
    };
    watched.until("growth of 200", |model| growth(model) == Some(200.0));
    watched.mark_baseline();
    watched.during(|| {
        truth.ask("drop 50");
        truth.ask("gc")
    });
    watched.until("growth of -50", |model| growth(model) == Some(-50.0));
}

#[test]
fn the_profile_of_a_watch_is_the_programs_own() {
    let _turn = turn();
    if !can_probe() {
        return;
    }
    for release in ["1.24.11", A_RELEASE] {
        let Some(mut truth) = Truth::start(release, STRIPPED, &["-rate", "100000"]) else {
            return;
        };
        truth.ask("keepstacks 50");
        truth.pprof_heap();
        let mut watched = Watched::by_probes(truth.pid());
        watched.during(|| {
            truth.ask("churn 300 4");
            truth.ask("keepstacks 60");
            truth.ask("gc");
        });
        // Stacks of which nothing was published are not told alike, and the order is that of the news.
        let told = |profile: Profile| {
            let mut samples = profile.samples;
            samples.retain(|sample| sample.values[0] > 0);
            samples.sort_by_cached_key(|sample| format!("{sample:?}"));
            (profile.header, samples)
        };
        let mut tries = 0;
        loop {
            watched.settle();
            let before = told(Profile::read(&watched.during(|| truth.pprof_heap())));
            let ours = told(Profile::read(&watched.pprof()));
            if ours == before {
                assert!(ours.1.len() > 50, "go{release}: {}", ours.1.len());
                break;
            }
            // A cycle came between the two.
            tries += 1;
            assert!(
                tries < 5,
                "go{release}: {:?}",
                first_difference(&ours.1, &before.1)
            );
            watched.during(|| truth.ask("gc"));
        }
        watched.detach();
    }
}

fn first_difference<'a>(
    ours: &'a [Sample],
    theirs: &'a [Sample],
) -> Option<(&'a Sample, &'a Sample)> {
    ours.iter()
        .zip(theirs)
        .find(|(ours, theirs)| ours != theirs)
}
