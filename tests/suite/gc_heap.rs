//! Heap sizes in GC records: equal to the figures that the runtime prints with `GODEBUG=gctrace=1`.

use std::collections::HashMap;
use std::fs::{self, File};
use std::process::Command;

use heaptop::event::{ProbeEvent, Record};
use heaptop::plan::{Wanted, plan};
use heaptop::probe::{Loader, Probes};
use heaptop::process::go_process::GoProcess;

use crate::support::go::{PLAIN, fixture};
use crate::support::serial::{can_probe, turn};
use crate::support::truth::Truth;
use crate::support::{PATIENCE, sampler_settings, wait_for};

const MIB: u64 = 1 << 20;
/// Cycles to compare: each with garbage of two goroutines.
const CYCLES: usize = 10;

/// Heap sizes of one cycle: at the start of marking, at its end, and what was marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sizes {
    started: u64,
    ended: u64,
    marked: u64,
}

/// Sizes by number of the cycle, in MiB as `gctrace` rounds them: `gc 7 @0.1s 1%: …, 26->33->30 MB, …`.
fn traced(text: &str) -> HashMap<u32, Sizes> {
    let parse = |line: &str| {
        let (number, rest) = line.strip_prefix("gc ")?.split_once(' ')?;
        let sizes = rest.split(", ").find(|part| part.contains("->"))?;
        let mut sizes = sizes.strip_suffix(" MB")?.split("->");
        let mut size = || sizes.next()?.parse().ok();
        let sizes = Sizes {
            started: size()?,
            ended: size()?,
            marked: size()?,
        };
        Some((number.parse().ok()?, sizes))
    };
    text.lines().filter_map(parse).collect()
}

/// Adds the cycles of these records, in bytes.
fn gather(records: Vec<Record>, started: &mut Option<u64>, cycles: &mut Vec<(u32, Sizes)>) {
    for record in records {
        match record {
            Record::Event(ProbeEvent::GcStart { heap_bytes, .. }) => *started = heap_bytes,
            Record::Event(ProbeEvent::GcMarked {
                live_bytes: marked,
                cycle: Some(number),
                heap_bytes: Some(ended),
                ..
            }) => {
                if let Some(started) = started.take() {
                    let sizes = Sizes {
                        started,
                        ended,
                        marked,
                    };
                    cycles.push((number, sizes));
                }
            }
            _ => {}
        }
    }
}

fn equals_gctrace(release: &str) {
    let _turn = turn();
    if !can_probe() {
        return;
    }
    let Some(path) = fixture("truth", release, PLAIN) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("gctrace");
    let stderr = File::create(&log).expect("a file");
    let mut truth = Truth::spawn(
        Command::new(path)
            .env("GODEBUG", "gctrace=1")
            .stderr(stderr),
    );
    truth.ask("keep 40000 1024");
    let go = GoProcess::open(truth.pid()).expect("a Go process");
    let plan = plan(&go.program, &*go.image, Wanted::Sampler).expect("places for probes");
    let settings = sampler_settings(&go, &plan);
    let ebpf = Loader::start().finish(settings).expect("programs");
    let mut probes =
        Probes::attach(ebpf, &plan, &go.process, f64::INFINITY, false).expect("probes");
    truth.ask("start-churn 2");
    let (mut started, mut cycles) = (None, Vec::new());
    wait_for("cycles", PATIENCE, || {
        let mut records = Vec::new();
        while probes.drain(&mut records) {}
        gather(records, &mut started, &mut cycles);
        (cycles.len() > CYCLES).then_some(())
    });
    truth.ask("stop-churn");
    truth.ask("gc");
    let traced = traced(&fs::read_to_string(log).expect("a log"));
    assert!(cycles.iter().any(|(_, sizes)| sizes.ended > sizes.started));
    for (number, sizes) in cycles {
        let told = traced.get(&number).expect("a line for each cycle");
        let mib = |bytes: u64| bytes / MIB;
        assert_eq!(
            (told.ended, told.marked),
            (mib(sizes.ended), mib(sizes.marked)),
            "cycle {number}: {sizes:?}, {told:?}"
        );
        // The runtime takes this figure for the trace before it stops the world: it may miss what was allocated meanwhile.
        assert!(
            (told.started..=told.started + 1).contains(&mib(sizes.started)),
            "cycle {number}: {sizes:?}, {told:?}"
        );
    }
}

crate::support::each_release!(equals_gctrace);
