//! `--follow` and `--for`: how a watch goes on, and how long.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::go::{A_RELEASE, STRIPPED, copy_program, fixture};
use crate::support::heaptop::{Heaptop, heaptop};
use crate::support::serial::{can_probe, turn};
use crate::support::truth::Truth;

/// A program under a name that no other test uses.
struct Service {
    _folder: TempDir,
    path: PathBuf,
    name: String,
}

impl Service {
    fn new(test: &str) -> Option<Self> {
        if !can_probe() {
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let name = format!("{test}-{}", std::process::id());
        let path = folder.path().join(&name);
        copy_program(&fixture("truth", A_RELEASE, STRIPPED)?, &path);
        Some(Self {
            _folder: folder,
            path,
            name,
        })
    }

    fn start(&self) -> Truth {
        Truth::run(&self.path, &[])
    }
}

fn follow(target: &str, more: &[&str]) -> Heaptop {
    let arguments = [&["--json", "--interval", "100ms", "--follow", target], more].concat();
    let heaptop = Heaptop::start(&arguments);
    assert_eq!(heaptop.next_json()["target"]["exited"], false);
    heaptop
}

fn until_exited(heaptop: &Heaptop) {
    heaptop.until("its end", |_| (), |line| line["target"]["exited"] == true);
}

#[test]
fn a_restarted_service_is_followed_by_its_name_and_by_its_pid() {
    let _turn = turn();
    for (more, by_pid) in [
        (&[][..], false),
        (&["--no-probes"], false),
        (&["--no-probes"], true),
    ] {
        let Some(service) = Service::new("followed") else {
            return;
        };
        let mut old = service.start();
        let pid = old.pid().to_string();
        let heaptop = follow(if by_pid { &pid } else { &service.name }, more);
        old.kill();
        until_exited(&heaptop);
        let mut new = service.start();
        let is_new = |line: &Value| line["target"]["pid"] == new.pid();
        let line = heaptop.until("the new process", |_| (), is_new);
        assert_eq!(line["target"]["exited"], false);
        // And the next one.
        new.kill();
        until_exited(&heaptop);
        let third = service.start();
        heaptop.until(
            "the third",
            |_| (),
            |line| line["target"]["pid"] == third.pid(),
        );
        heaptop.signal(Signal::SIGTERM);
        let ended = heaptop.ended();
        assert_eq!(ended.status.code(), Some(143), "{ended:?}");
        let words = format!("EXITED  waiting for {} to start again", service.name);
        assert_eq!(ended.stderr.matches(&words).count(), 2, "{ended:?}");
    }
}

#[test]
fn one_that_replaces_itself_is_followed() {
    let _turn = turn();
    for more in [&[][..], &["--no-probes"]] {
        let Some(service) = Service::new("renewed") else {
            return;
        };
        let mut truth = service.start();
        let heaptop = follow(&service.name, more);
        truth.exec();
        until_exited(&heaptop);
        let line = heaptop.until("it again", |_| (), |line| line["target"]["exited"] == false);
        assert_eq!(line["target"]["pid"], truth.pid());
        truth.ask("gc");
    }
}

#[test]
fn another_of_the_same_name_that_ran_before_is_not_its_next() {
    let Some(service) = Service::new("sibling") else {
        return;
    };
    let mut watched = service.start();
    let _sibling = service.start();
    let heaptop = follow(&watched.pid().to_string(), &["--no-probes", "--for", "4s"]);
    watched.kill();
    until_exited(&heaptop);
    let ended = heaptop.ended();
    assert_eq!(
        (ended.status.code(), ended.lines.len()),
        (Some(0), 0),
        "{ended:?}"
    );
}

#[test]
fn a_signal_ends_the_wait() {
    let Some(service) = Service::new("waited-for") else {
        return;
    };
    let mut truth = service.start();
    let heaptop = follow(&service.name, &["--no-probes"]);
    truth.kill();
    until_exited(&heaptop);
    heaptop.signal(Signal::SIGINT);
    assert_eq!(heaptop.ended().status.code(), Some(130));
}

#[test]
fn a_watch_ends_after_its_time() {
    let Some(service) = Service::new("for-a-while") else {
        return;
    };
    let truth = service.start();
    let pid = truth.pid().to_string();
    for json in [&["--json"][..], &[]] {
        let begun = Instant::now();
        let arguments = [
            &["--no-probes", "--for", "700ms", "--interval", "200ms", &pid],
            json,
        ]
        .concat();
        let output = heaptop(&arguments);
        let took = begun.elapsed();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(!output.stdout.is_empty());
        assert!(
            took > Duration::from_millis(700) && took < Duration::from_secs(10),
            "{took:?}"
        );
    }
}
