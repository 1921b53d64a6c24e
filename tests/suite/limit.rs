//! `--max-overhead` holds in every second, from the first hit on.

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use flate2::read::GzDecoder;
use heaptop::event::{Event, KernelCounters};
use heaptop::source::limit::Group;

use crate::support::go::{A_RELEASE, STRIPPED, fixture};
use crate::support::heaptop::heaptop;
use crate::support::lines::Lines;
use crate::support::serial::{can_probe, turn};

/// A second may be this much above the limit: a thread that checks may be late on a loaded machine.
const LATE: f64 = 1.25;

struct Busy {
    child: Child,
    _lines: Lines,
}

impl Drop for Busy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that does what `command` says, for half a minute or until it is dropped.
fn busy(program: &str, command: &str) -> Option<Busy> {
    use std::io::Write as _;
    let path = fixture(program, A_RELEASE, STRIPPED)?;
    let mut child = Command::new(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let lines = Lines::of(child.stdout.take().expect("a pipe"));
    assert!(lines.next().is_some_and(|line| line.starts_with("ready ")));
    let mut stdin = child.stdin.take().expect("a pipe");
    writeln!(stdin, "{command}").expect("it listens");
    child.stdin = Some(stdin);
    Some(Busy {
        child,
        _lines: lines,
    })
}

/// Counters of the kernel and the costs of a hit, of calls and of others, from a trace.
fn read(trace: &Path) -> (Vec<KernelCounters>, f64, f64) {
    let file = std::fs::File::open(trace).expect("the trace");
    let mut text = String::new();
    GzDecoder::new(file)
        .read_to_string(&mut text)
        .expect("whole");
    let (mut counters, mut cost, mut calls_cost) = (Vec::new(), None, None);
    for line in text.lines().skip(1) {
        match serde_json::from_str(line).expect("an event") {
            Event::Kernel(read) => counters.push(read),
            Event::HitCost { ns, calls_ns, .. } => {
                cost = Some(ns);
                calls_cost = calls_ns.or(calls_cost);
            }
            _ => {}
        }
    }
    (
        counters,
        cost.expect("measured"),
        calls_cost.expect("measured"),
    )
}

/// Largest share of one CPU in any second.
fn peak(counters: &[KernelCounters], cost: f64, calls_cost: f64) -> f64 {
    let spent = |read: &KernelCounters| {
        let calls = Group::Calls.hits(&read.hits);
        let others = read.hits.iter().sum::<u64>() - calls;
        calls as f64 * calls_cost + others as f64 * cost
    };
    let mut peak = 0.0_f64;
    for (i, last) in counters.iter().enumerate() {
        // Readings come ten times a second or later: from the first one within the second, so that no more than a second
        // is counted. The attach was just before the first of all.
        let since_ns = last.at_ns.saturating_sub(1_000_000_000);
        let before = counters[..i].iter().find(|read| read.at_ns >= since_ns);
        let is_first = counters[0].at_ns > since_ns;
        let before = before.filter(|_| !is_first).map_or(0.0, spent);
        peak = peak.max((spent(last) - before) / 1e9);
    }
    peak
}

#[test]
fn the_probes_stay_below_their_limit_in_every_second_of_a_busy_process() {
    let _turn = turn();
    if !can_probe() {
        return;
    }
    let calls = ["--per", "main.work"];
    for (program, command, limit, arguments) in [
        ("calls", "steady 50000 30000", 0.01, &calls[..]),
        (
            "calls",
            "steady 50000 30000",
            0.002,
            &["--per", "main.work", "--max-overhead", "0.2%"],
        ),
        ("truth", "start-churn 4", 0.01, &["--source", "spans"]),
        (
            "truth",
            "start-churn 1",
            0.03,
            &["--exact", "--max-overhead", "3%"],
        ),
    ] {
        let Some(busy) = busy(program, command) else {
            return;
        };
        let folder = tempfile::tempdir().expect("a folder");
        let trace = folder.path().join("trace.gz");
        let pid = busy.child.id().to_string();
        let mut all = vec![
            "--json",
            "--for",
            "9s",
            "--trace",
            trace.to_str().expect("text"),
            &pid,
        ];
        all.extend(arguments);
        let output = heaptop(&all);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        let (counters, cost, calls_cost) = read(&trace);
        let peak = peak(&counters, cost, calls_cost);
        let last = counters.last().expect("counters");
        let hits = Group::Calls.hits(&last.hits) + Group::Allocations.hits(&last.hits);
        eprintln!(
            "{command} {arguments:?}: {:.2} % of a CPU in the worst second, {hits} hits",
            peak * 100.0
        );
        assert!(peak <= limit * LATE, "{command} {arguments:?}: {peak}");
        assert!(hits > 100, "{arguments:?}: {last:?}");
    }
}
