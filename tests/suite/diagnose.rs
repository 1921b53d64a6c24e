//! `heaptop diagnose`: what it says, and the status it says it with.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::go::{A_RELEASE, STRIPPED};
use crate::support::heaptop::{Heaptop, SITES, heaptop, lines_of, only_sites};
use crate::support::serial::{can_probe, turn};
use crate::support::truth::Truth;

fn start() -> Option<Truth> {
    let mut truth = Truth::start(A_RELEASE, STRIPPED, &[])?;
    truth.ask("keepstacks 50");
    truth.ask("gc");
    Some(truth)
}

#[test]
fn a_quiet_process_is_undecided() {
    let _turn = turn();
    let Some(truth) = start() else { return };
    let pid = truth.pid().to_string();
    let mut ways = vec![&["--no-probes"][..]];
    if can_probe() {
        ways.extend([&[][..], &["--source", "spans"]]);
    }
    for way in ways {
        let arguments = [&["diagnose", "--for", "2s"], way, &[&pid]].concat();
        let output = heaptop(&arguments);
        assert_eq!(output.status.code(), Some(4), "{way:?}: {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{way:?}");
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(text.starts_with("heaptop "), "{text}");
        for wanted in [&*format!("pid {pid}"), "COLLECTING", "Exit status 4"] {
            assert!(text.contains(wanted), "no {wanted}: {text}");
        }
        // The next watch, as a command that can be run.
        let again = text
            .lines()
            .find_map(|line| line.strip_prefix("Watch longer: heaptop diagnose --for "));
        let again = again.unwrap_or_else(|| panic!("no advice: {text}"));
        assert!(
            again.ends_with(&[way, &[&pid]].concat().join(" ")),
            "{text}"
        );
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        assert!(!text.contains('\x1b'), "{text}");
    }
}

#[test]
fn a_signal_ends_it_with_what_is_known() {
    let _turn = turn();
    for (signal, status) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let Some(mut truth) = start() else { return };
        let pid = truth.pid().to_string();
        let diagnose = Heaptop::start(&["diagnose", "--no-probes", "--for", "1h", &pid]);
        // It catches signals from before the attach on.
        std::thread::sleep(Duration::from_secs(1));
        diagnose.signal(signal);
        let ended = diagnose.ended();
        assert_eq!(ended.status.code(), Some(status), "{ended:?}");
        assert!(
            ended
                .lines
                .iter()
                .any(|line| line.starts_with("COLLECTING")),
            "{ended:?}"
        );
        let last = format!("Exit status {status}: ended by a signal after");
        assert!(
            ended.lines.iter().any(|line| line.starts_with(&last)),
            "{ended:?}"
        );
        assert_eq!(ended.stderr, "");
        truth.ask("gc");
    }
}

#[test]
fn the_end_of_the_target_is_told_and_no_error() {
    let _turn = turn();
    let Some(mut truth) = start() else { return };
    let pid = truth.pid().to_string();
    let diagnose = Heaptop::start(&["diagnose", "--no-probes", "--for", "1h", &pid]);
    std::thread::sleep(Duration::from_secs(1));
    truth.kill();
    let ended = diagnose.ended();
    assert_eq!(ended.status.code(), Some(4), "{ended:?}");
    assert!(
        ended.lines.iter().any(|line| line.contains("has exited")),
        "{ended:?}"
    );
}

#[test]
fn json_is_one_line_of_each_schema() {
    let _turn = turn();
    let Some(truth) = start() else { return };
    let pid = truth.pid().to_string();
    let output = heaptop(&["diagnose", "--json", "--no-probes", "--for", "1500ms", &pid]);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let sites: Value = only_sites(&output.stdout);
    assert_eq!(sites["target"]["exited"], false);
    let process = lines_of(&output.stdout, "heaptop.process/1");
    assert_eq!(process.len(), 1);
    let process: Value = serde_json::from_str(process[0]).expect("JSON");
    assert_eq!(process["verdict"]["word"], "collecting");
    assert!(
        output
            .stdout
            .starts_with(format!("{{\"schema\":\"{SITES}\"").as_bytes())
    );
}

#[test]
fn a_leak_is_named_with_status_3() {
    // Takes no turn: it is minutes long, and nothing in it is a matter of a moment.
    if !can_probe() {
        return;
    }
    let Some(mut truth) = start() else { return };
    let pid = truth.pid().to_string();
    let diagnose = Heaptop::start(&["diagnose", "--for", "240s", &pid]);
    // 60 MiB a minute in main.keepBytes, a GC every two seconds: a verdict after 150 s at the soonest.
    for round in 0..600 {
        truth.ask("keep 4 100000");
        if round % 5 == 0 {
            truth.ask("gc1");
        }
        std::thread::sleep(Duration::from_millis(400));
    }
    let ended = diagnose.ended();
    assert_eq!(ended.status.code(), Some(3), "{ended:?}");
    let text = ended.lines.join("\n");
    for wanted in [
        "LEAK, or a cache that has not yet reached its bound.",
        "main.keepBytes",
        "MiB/min (90 %: ",
        "Exit status 3",
    ] {
        assert!(text.contains(wanted), "no {wanted}: {text}");
    }
}
