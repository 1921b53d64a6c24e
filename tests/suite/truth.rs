//! `heaptop snapshot` against `/debug/pprof/heap` of the same process: record for record.
//!
//! The one moment that makes it exact: what `runtime.MemProfile` reports changes only when a GC cycle is
//! flushed. So the program collects, and then its own profile is taken twice with heaptop's in between.
//! Where no cycle came meanwhile, the second differs from the first at most by new stacks that report
//! nothing yet, at its front, and heaptop's lies between the two. A cycle that came is seen, and all three
//! are taken again.

use base64::Engine as _;

use crate::support::go::{Kind, PIE_STRIPPED, PLAIN, STRIPPED};
use crate::support::heaptop::heaptop;
use crate::support::profile::{Profile, Sample};
use crate::support::serial;
use crate::support::truth::Truth;
use crate::support::watched::Buckets;

/// Rounds in which a GC cycle may come at the wrong moment.
const TRIES: usize = 20;

mod snapshot_equals_the_programs_own_profile {
    use super::{PIE_STRIPPED, PLAIN, STRIPPED, snapshot_equals};
    use crate::support::each_release;

    fn plain_and_stripped(release: &str) {
        for kind in [PLAIN, STRIPPED] {
            snapshot_equals(release, kind);
        }
    }

    each_release!(plain_and_stripped);

    #[test]
    fn go_1_19_pie() {
        snapshot_equals("1.19.8", PIE_STRIPPED);
    }

    #[test]
    fn go_1_25_pie() {
        snapshot_equals("1.25.5", PIE_STRIPPED);
    }

    #[test]
    fn go_1_27_pie() {
        snapshot_equals("1.27.3", PIE_STRIPPED);
    }
}

/// A `truth` with many kinds of stacks in its profile, at rest.
fn a_full_profile(release: &str, kind: Kind) -> Option<Truth> {
    let mut truth = Truth::start(release, kind, &["-rate", "20000"])?;
    truth.ask("keep 300 4096");
    truth.ask("keepptr 5000");
    truth.ask("drop 100");
    truth.ask("stacks 60 30000");
    truth.ask("keepstacks 40 30000");
    truth.ask("churn 300 4");
    // Its own writer has stacks too: now they exist.
    truth.pprof_heap();
    Some(truth)
}

fn snapshot_equals(release: &str, kind: Kind) {
    let _turn = serial::turn();
    let Some(mut truth) = a_full_profile(release, kind) else {
        return;
    };
    let name = format!("go{release} {}", kind.name);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("heap.pb.gz");
    for _ in 0..TRIES {
        truth.ask("gc");
        let before = Profile::read(&truth.pprof_heap());
        let output = heaptop(&[
            "snapshot",
            &truth.pid().to_string(),
            "-o",
            file.to_str().expect("text"),
        ]);
        assert!(output.status.success(), "{name}: {output:?}");
        let after = Profile::read(&truth.pprof_heap());
        if !grew_by_nothing(&before.samples, &after.samples) {
            continue;
        }
        let ours = Profile::read(&std::fs::read(&file).expect("the file is written"));
        assert_eq!(ours.header, after.header, "{name}");
        assert_eq!(ours.mappings, after.mappings, "{name}");
        assert!(before.time_nanos <= ours.time_nanos && ours.time_nanos <= after.time_nanos);
        assert_between(&name, &before.samples, &ours.samples, &after.samples);
        assert!(ours.samples.len() > 100, "{name}: {}", ours.samples.len());
        let inlined = |sample: &Sample| sample.locations.iter().any(|at| at.lines.len() > 1);
        assert!(ours.samples.iter().any(inlined), "{name}: inlined frames");
        return;
    }
    panic!("{name}: a GC cycle came each time");
}

/// Whether `after` is `before` with new stacks at its front that report nothing.
fn grew_by_nothing(before: &[Sample], after: &[Sample]) -> bool {
    let Some(n_new) = after.len().checked_sub(before.len()) else {
        return false;
    };
    let (new, old) = after.split_at(n_new);
    old == before
        && new
            .iter()
            .all(|sample| sample.values.iter().all(|&v| v == 0))
}

fn assert_between(name: &str, before: &[Sample], ours: &[Sample], after: &[Sample]) {
    assert!(
        ours.len() >= before.len() && ours.len() <= after.len(),
        "{name}"
    );
    let same_part = &after[after.len() - ours.len()..];
    for (i, (ours, theirs)) in ours.iter().zip(same_part).enumerate() {
        assert_eq!(ours, theirs, "{name}: record {i}");
    }
}

/// One record of a profile with `debug=1`: live objects and bytes, all objects and bytes, and the stack.
type RawRecord = (u64, u64, u64, u64, Vec<u64>);

fn raw_records(text: &str) -> Vec<RawRecord> {
    let record = |line: &str| {
        let (counts, stack) = line.split_once(" @ ")?;
        let mut counts = counts
            .split(|c: char| !c.is_ascii_digit())
            .filter(|digits| !digits.is_empty())
            .map(|digits| digits.parse::<u64>());
        let mut count = || counts.next()?.ok();
        let (live, live_bytes, all, all_bytes) = (count()?, count()?, count()?, count()?);
        let stack = stack.split_whitespace();
        let stack = stack.map(|pc| u64::from_str_radix(pc.trim_start_matches("0x"), 16));
        Some((
            live,
            live_bytes,
            all,
            all_bytes,
            stack.collect::<Result<_, _>>().ok()?,
        ))
    };
    let mut records: Vec<RawRecord> = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.starts_with("heap profile:"))
        .filter_map(record)
        .collect();
    records.sort_unstable();
    records
}

mod raw_counts_equal_the_programs_own {
    crate::support::each_release!(super::raw_counts_equal);
}

fn raw_counts_equal(release: &str) {
    let _turn = serial::turn();
    let Some(mut truth) = a_full_profile(release, STRIPPED) else {
        return;
    };
    let buckets = Buckets::of(truth.pid());
    for _ in 0..TRIES {
        truth.ask("gc");
        let mut own = || {
            let text = base64::engine::general_purpose::STANDARD.decode(truth.ask("heap1"));
            let text = String::from_utf8(text.expect("base64")).expect("text");
            let mut records = raw_records(&text);
            records.retain(|record| record.2 > 0);
            records
        };
        let before = own();
        let profile = buckets.0.profile().expect("a profile");
        let after = own();
        if before != after {
            continue;
        }
        assert!(profile.steady);
        let mut ours: Vec<RawRecord> = profile
            .records
            .iter()
            .map(|(bucket, counts)| {
                let (live, size) = (counts.live(), bucket.object_bytes);
                let stack = bucket.pcs.to_vec();
                (
                    live,
                    live * size,
                    counts.allocs,
                    counts.allocs * size,
                    stack,
                )
            })
            .filter(|record| record.2 > 0)
            .collect();
        ours.sort_unstable();
        assert_eq!(ours, before, "go{release}");
        assert!(ours.len() > 100, "go{release}: {}", ours.len());
        return;
    }
    panic!("go{release}: a GC cycle came each time");
}
