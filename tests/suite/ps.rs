//! `heaptop ps`: every Go process of the machine, quickly.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use heaptop::listed::Offer;
use heaptop::process::list::Lister;
use serde_json::Value;

use crate::support::go::{A_RELEASE, PIE_STRIPPED, PLAIN, STRIPPED, fixture};
use crate::support::heaptop::heaptop;
use crate::support::serial::{can_probe, turn};
use crate::support::truth::Truth;

/// Processes that end with the test.
struct Crowd(Vec<Child>);

impl Crowd {
    /// So many copies of a program that says `ready`, all of them ready.
    fn of(program: &std::path::Path, n: usize) -> Self {
        let start = || {
            let mut command = Command::new(program);
            // Small, as hundreds of them run at once.
            command.env("GOMAXPROCS", "1").env("GOGC", "off");
            let child = command.stdin(Stdio::piped()).stdout(Stdio::piped());
            child.spawn().expect("it starts")
        };
        let mut crowd = Self((0..n).map(|_| start()).collect());
        for child in &mut crowd.0 {
            let lines = crate::support::lines::Lines::of(child.stdout.take().expect("a pipe"));
            assert!(lines.next().is_some_and(|line| line.starts_with("ready ")));
        }
        crowd
    }

    fn pids(&self) -> Vec<u32> {
        self.0.iter().map(Child::id).collect()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
        }
        for child in &mut self.0 {
            let _ = child.wait();
        }
    }
}

fn line_of(text: &str, pid: u32) -> Option<Value> {
    let lines = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    lines.into_iter().find(|line: &Value| line["pid"] == pid)
}

#[test]
fn every_kind_of_build_is_listed_with_what_fits_it() {
    if !can_probe() {
        return;
    }
    for kind in [PLAIN, STRIPPED, PIE_STRIPPED] {
        let Some(truth) = Truth::start(A_RELEASE, kind, &["-rate", "65536"]) else {
            return;
        };
        let noprof = fixture("noprof", A_RELEASE, kind).expect("built as the other was");
        let crowd = Crowd::of(&noprof, 1);
        let output = heaptop(&["ps", "--json"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let text = String::from_utf8_lossy(&output.stdout);
        let line = line_of(&text, truth.pid()).expect("listed");
        let keys: Vec<&str> = line
            .as_object()
            .expect("an object")
            .keys()
            .map(String::as_str)
            .collect();
        let mut expected = [
            "pid",
            "name",
            "container",
            "go",
            "stripped",
            "sample_rate_bytes",
            "source",
            "why",
            "rss_bytes",
        ];
        expected.sort_unstable();
        assert_eq!(keys, expected);
        assert_eq!(line["name"], "truth");
        assert_eq!(line["go"], format!("go{A_RELEASE}"));
        assert_eq!(line["stripped"], kind.name != "plain");
        assert_eq!(line["sample_rate_bytes"], 65_536);
        assert_eq!(line["source"], "sampler");
        assert!(line["why"].is_null(), "{line}");
        assert!(line["rss_bytes"].as_u64() > Some(1 << 20), "{line}");
        let line = line_of(&text, crowd.pids()[0]).expect("listed");
        assert_eq!(
            (&line["sample_rate_bytes"], &line["source"]),
            (&0.into(), &"spans".into())
        );
        // heaptop is no Go program, nor is this suite.
        assert!(line_of(&text, std::process::id()).is_none());
    }
}

#[test]
fn the_table_fits_80_columns() {
    if !can_probe() {
        return;
    }
    let Some(truth) = Truth::start(A_RELEASE, STRIPPED, &[]) else {
        return;
    };
    let output = heaptop(&["ps"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    let rows: Vec<&str> = text
        .lines()
        .take_while(|line| !line.starts_with("none for "))
        .collect();
    assert!(rows.iter().all(|row| row.chars().count() <= 80), "{text}");
    assert!(rows[0].trim_start().starts_with("PID NAME"), "{text}");
    let pid = truth.pid().to_string();
    let row = rows.iter().find(|row| row.trim_start().starts_with(&pid));
    assert!(row.is_some_and(|row| row.ends_with("sampler")), "{text}");
}

#[test]
fn two_hundred_processes_are_listed_at_once() {
    const N: usize = 200;
    let _turn = turn();
    if !can_probe() {
        return;
    }
    // It waits for commands, and does nothing until one comes.
    let Some(truth) = fixture("truth", A_RELEASE, STRIPPED) else {
        return;
    };
    let crowd = Crowd::of(&truth, N);
    let begun = Instant::now();
    let listing = Lister::default().list();
    let took = begun.elapsed();
    for pid in crowd.pids() {
        let found = listing.processes.iter().find(|process| process.pid == pid);
        assert!(
            found.is_some_and(|found| found.source == Offer::Sampler),
            "{found:?}"
        );
    }
    let output = heaptop(&["ps", "--json"]);
    let rss: Vec<Option<u64>> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["rss_bytes"].as_u64())
        .collect();
    assert!(rss.len() >= N, "{output:?}");
    assert!(rss.is_sorted_by(|a, b| a >= b), "{rss:?}");
    // They take 20 ms; the bound is for a machine with other work.
    assert!(took < Duration::from_secs(1), "{took:?}");
}
