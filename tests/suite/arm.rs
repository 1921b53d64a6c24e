//! `--arm`: the sampler of a program without one is switched on, and off again whatever happens.

use std::fs::read_dir;
use std::io::Write as _;
use std::process::{Child, ChildStdin, Command, Output, Stdio};

use heaptop::process::go_process::GoProcess;
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::go::{A_RELEASE, STRIPPED, fixture};
use crate::support::heaptop::{Heaptop, PROGRAM, refused, site};
use crate::support::lines::Lines;
use crate::support::serial::{can_probe, turn};
use crate::support::truth::Truth;
use crate::support::{PATIENCE, wait_for};

const ARMED: u64 = 524_288;

/// A running `noprof`, and the folder where heaptops note what they have armed.
struct Scene {
    child: Child,
    stdin: ChildStdin,
    lines: Lines,
    notes: TempDir,
}

impl Scene {
    fn new() -> Option<Self> {
        if !can_probe() {
            return None;
        }
        let mut child = Command::new(fixture("noprof", A_RELEASE, STRIPPED)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let scene = Self {
            stdin: child.stdin.take().expect("a pipe"),
            lines: Lines::of(child.stdout.take().expect("a pipe")),
            child,
            notes: tempfile::tempdir().expect("a folder"),
        };
        scene.ready();
        Some(scene)
    }

    fn ready(&self) {
        let line = self.lines.next().expect("its first line");
        assert!(line.starts_with("ready "), "{line}");
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `MemProfileRate`, read by heaptop's own library.
    fn rate(&self) -> u64 {
        let go = GoProcess::open(self.pid()).expect("a Go process");
        go.figures().expect("readable").rate_bytes
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        let notes = self.notes.path().join("private");
        command.args(arguments).env("HEAPTOP_RUN_DIR", notes);
        command
    }

    /// A heaptop that tells about it in JSON, armed or not, when its first line is out.
    fn watch(&self, more: &[&str]) -> (Heaptop, Value) {
        let pid = self.pid().to_string();
        let arguments = [&["--json", "--interval", "200ms", &pid], more].concat();
        let heaptop = Heaptop::spawn(&mut self.command(&arguments));
        let first = heaptop.next_json();
        (heaptop, first)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        command.stdin(Stdio::null()).output().expect("heaptop runs")
    }

    fn n_notes(&self) -> usize {
        let notes = read_dir(self.notes.path().join("private"));
        let notes = notes.into_iter().flatten().flatten();
        let is_of_arm = |name: std::ffi::OsString| name.to_string_lossy().ends_with(".armed");
        notes.filter(|note| is_of_arm(note.file_name())).count()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn rows_appear_and_the_rate_is_back_at_the_end() {
    let _turn = turn();
    let Some(scene) = Scene::new() else { return };
    assert_eq!(scene.rate(), 0);
    let (heaptop, first) = scene.watch(&["--arm"]);
    assert_eq!(first["source"], "sampler");
    assert_eq!((scene.rate(), scene.n_notes()), (ARMED, 1));
    let is_seen = |line: &Value| {
        site(line, "main.leak").is_some_and(|site| site["samples"].as_u64() > Some(2))
    };
    let line = heaptop.until("samples of main.leak", |_| (), is_seen);
    assert_eq!(line["rate_bytes"], ARMED);
    heaptop.signal(Signal::SIGINT);
    let ended = heaptop.ended();
    assert_eq!(ended.status.code(), Some(130), "{ended:?}");
    assert_eq!((scene.rate(), scene.n_notes()), (0, 0));
    let said: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("heaptop: armed at "), "{said:?}");
}

#[test]
fn sigterm_and_a_count_put_it_back() {
    let _turn = turn();
    let Some(scene) = Scene::new() else { return };
    let (heaptop, _) = scene.watch(&["--arm"]);
    assert_eq!(scene.rate(), ARMED);
    heaptop.signal(Signal::SIGTERM);
    assert_eq!(heaptop.ended().status.code(), Some(143));
    assert_eq!((scene.rate(), scene.n_notes()), (0, 0));
    let (heaptop, _) = scene.watch(&["--arm", "--count", "2"]);
    assert_eq!(heaptop.ended().status.code(), Some(0));
    assert_eq!((scene.rate(), scene.n_notes()), (0, 0));
}

#[test]
fn a_signal_while_it_starts_leaves_nothing_armed() {
    let _turn = turn();
    let Some(scene) = Scene::new() else { return };
    let pid = scene.pid().to_string();
    for delay_ms in [1, 10, 20, 30, 40, 50, 60, 80, 120] {
        let mut command = scene.command(&["--json", "--arm", &pid]);
        let heaptop = Heaptop::spawn(&mut command);
        std::thread::sleep(std::time::Duration::from_millis(delay_ms));
        heaptop.signal(Signal::SIGTERM);
        heaptop.ended();
        assert_eq!((scene.rate(), scene.n_notes()), (0, 0), "{delay_ms} ms");
    }
}

#[test]
fn the_next_heaptop_puts_back_what_a_killed_one_left() {
    let _turn = turn();
    let Some(scene) = Scene::new() else { return };
    let (heaptop, _) = scene.watch(&["--arm"]);
    heaptop.signal(Signal::SIGKILL);
    heaptop.ended();
    assert_eq!((scene.rate(), scene.n_notes()), (ARMED, 1));
    let output = scene.run(&["ps"]);
    assert_eq!((scene.rate(), scene.n_notes()), (0, 0));
    let said = String::from_utf8_lossy(&output.stderr);
    let pid = scene.pid();
    let words = format!("heaptop: put MemProfileRate of noprof (pid {pid}) back to 0");
    assert!(said.starts_with(&words), "{said}");
    // Once is enough.
    assert!(scene.run(&["ps"]).stderr.is_empty());
}

#[test]
fn a_second_heaptop_knows_who_has_armed_it_and_when_that_ends() {
    let _turn = turn();
    let Some(scene) = Scene::new() else { return };
    let (first, _) = scene.watch(&["--arm"]);
    let (second, line) = scene.watch(&[]);
    assert_eq!(line["rate_bytes"], ARMED);
    let pid = scene.pid().to_string();
    let third = refused(&scene.run(&["--json", "--arm", &pid]));
    assert!(third.why.contains("it is armed by heaptop "), "{third:?}");
    // Neither the second nor the third may undo what the first did.
    assert_eq!((scene.rate(), scene.n_notes()), (ARMED, 1));
    first.signal(Signal::SIGTERM);
    first.ended();
    assert_eq!((scene.rate(), scene.n_notes()), (0, 0));
    second.until("no rate", |_| (), |line| line["rate_bytes"] == 0);
    second.next_json();
    second.signal(Signal::SIGTERM);
    let ended = second.ended();
    assert!(
        ended.stderr.contains("its samples stop when that"),
        "{ended:?}"
    );
    assert!(
        ended.stderr.contains("has disarmed the target"),
        "{ended:?}"
    );
}

#[test]
fn a_sampler_that_is_on_is_left_alone() {
    let _turn = turn();
    let Some(scene) = Scene::new() else { return };
    let Some(truth) = Truth::start(A_RELEASE, STRIPPED, &["-rate", "4096"]) else {
        return;
    };
    let pid = truth.pid().to_string();
    let refused = refused(&scene.run(&["--json", "--arm", &pid]));
    assert!(refused.what.contains(&format!("truth (pid {pid})")));
    assert!(
        refused.why.contains("MemProfileRate is 4096"),
        "{refused:?}"
    );
    assert!(refused.next.contains("without --arm"), "{refused:?}");
    let go = GoProcess::open(truth.pid()).expect("a Go process");
    assert_eq!(go.figures().expect("readable").rate_bytes, 4096);
    assert_eq!(scene.n_notes(), 0);
}

#[test]
fn nothing_is_written_into_what_the_target_becomes() {
    let _turn = turn();
    for is_killed_first in [false, true] {
        let Some(mut scene) = Scene::new() else {
            return;
        };
        let (heaptop, _) = scene.watch(&["--arm"]);
        if is_killed_first {
            heaptop.signal(Signal::SIGKILL);
        }
        writeln!(scene.stdin, "exec").expect("it listens");
        scene.ready();
        let ended = heaptop.ended();
        if is_killed_first {
            assert_eq!(scene.n_notes(), 1);
            assert!(scene.run(&["ps"]).stderr.is_empty());
        } else {
            assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        }
        assert_eq!((scene.rate(), scene.n_notes()), (0, 0));
    }
}

#[test]
fn a_target_that_ends_while_armed_leaves_no_note() {
    let _turn = turn();
    for is_killed_first in [false, true] {
        let Some(mut scene) = Scene::new() else {
            return;
        };
        let (heaptop, _) = scene.watch(&["--arm"]);
        if is_killed_first {
            heaptop.signal(Signal::SIGKILL);
        }
        scene.child.kill().expect("own child");
        scene.child.wait().expect("own child");
        let ended = heaptop.ended();
        if is_killed_first {
            let said = String::from_utf8(scene.run(&["ps"]).stderr).expect("text");
            assert!(!said.contains("MemProfileRate"), "{said}");
        } else {
            assert_eq!(ended.status.code(), Some(0), "{ended:?}");
            let last = ended.lines.last().expect("a last line");
            assert!(last.contains("\"exited\":true"), "{last}");
        }
        wait_for("the note's end", PATIENCE, || {
            (scene.n_notes() == 0).then_some(())
        });
    }
}
