//! Causes of the target's end: exit status, signal, OOM kill.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use heaptop::plan::{Wanted, plan};
use heaptop::probe::{EndSettings, Loader, Probes, SeenEnd, TaskLayout};
use heaptop::process::cgroup::{self, Version};
use heaptop::process::go_process::GoProcess;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::support::go::{A_RELEASE, PLAIN, STRIPPED, fixture};
use crate::support::heaptop::{Heaptop, PROCESS};
use crate::support::serial::{can_probe, turn};
use crate::support::truth::Truth;
use crate::support::{PATIENCE, cannot_run, sampler_settings, wait_for};

/// Less than what the program allocates in the tests of OOM kills.
const LIMIT_BYTES: u64 = 64 << 20;
/// Both ways to watch.
const WAYS: [&[&str]; 2] = [&[], &["--no-probes"]];

/// A `truth` that keeps its last words to itself.
fn start() -> Option<Truth> {
    let path = fixture("truth", A_RELEASE, STRIPPED)?;
    can_probe().then(|| Truth::spawn(Command::new(path).stderr(Stdio::null())))
}

fn signal(truth: &Truth, signal: Signal) {
    kill(Pid::from_raw(truth.pid().cast_signed()), signal).expect("own child");
}

fn status(status: i32) -> Value {
    json!({"status": status, "signal": null, "oom_kill": false})
}

fn signalled(signal: Signal, oom_kill: bool) -> Value {
    json!({"status": null, "signal": signal as i32, "oom_kill": oom_kill})
}

/// Watches the end that `end` brings about, in each way.
fn ends_with(expected: &Value, end: impl Fn(&mut Truth)) {
    let _turn = turn();
    for more in WAYS {
        let Some(mut truth) = start() else { return };
        let heaptop = Heaptop::json(truth.pid(), more);
        heaptop.next_json();
        end(&mut truth);
        let last = heaptop.last_of(PROCESS);
        assert_eq!(last["target"]["exited"], true, "{more:?}");
        assert_eq!(&last["exit"], expected, "{more:?}");
    }
}

#[test]
fn reports_an_exit_status() {
    ends_with(&status(3), |truth| {
        truth.ask("exit 3");
        assert_eq!(truth.end().code(), Some(3));
    });
}

#[test]
fn reports_the_exit_status_of_a_zombie() {
    ends_with(&status(3), |truth| {
        truth.ask("exit 3");
    });
}

#[test]
fn reports_the_status_of_a_panic() {
    ends_with(&status(2), |truth| {
        truth.send("panic");
        assert_eq!(truth.end().code(), Some(2));
    });
}

#[test]
fn reports_a_signal() {
    ends_with(&signalled(Signal::SIGTERM, false), |truth| {
        signal(truth, Signal::SIGTERM);
        truth.end();
    });
}

#[test]
fn reports_a_kill_by_hand_as_no_oom_kill() {
    ends_with(&signalled(Signal::SIGKILL, false), Truth::kill);
}

#[test]
fn names_the_cause_in_text() {
    let _turn = turn();
    let Some(mut truth) = start() else { return };
    let pid = truth.pid().to_string();
    let heaptop = Heaptop::start(&["--interval", "200ms", "--no-probes", &pid]);
    heaptop.next_line();
    truth.ask("exit 3");
    truth.end();
    let lines = heaptop.ended().lines;
    let told = lines
        .iter()
        .filter(|line| line.ends_with(" exited: exit status 3"));
    assert_eq!(told.count(), 1, "{lines:?}");
}

/// A memory cgroup below that of this process, with a limit; removed when dropped.
struct Limited {
    dir: PathBuf,
}

impl Limited {
    fn new(limit_bytes: u64) -> Option<Self> {
        let place = cgroup::place_of(std::process::id())?;
        let dir = place
            .dir
            .join(format!("heaptop-test-{}", std::process::id()));
        let limit = match place.version {
            Version::V1 => "memory.limit_in_bytes",
            Version::V2 => "memory.max",
        };
        fs::create_dir(&dir).ok()?;
        let limited = Self { dir };
        fs::write(limited.dir.join(limit), limit_bytes.to_string()).ok()?;
        Some(limited)
    }

    fn add(&self, pid: u32) {
        fs::write(self.dir.join("cgroup.procs"), pid.to_string()).expect("an own cgroup");
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        // The last process leaves it only when the kernel has torn it down.
        for _ in 0..100 {
            if fs::remove_dir(&self.dir).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn reports_an_oom_kill_in_a_cgroup() {
    let _turn = turn();
    for more in WAYS {
        let Some(limited) = Limited::new(LIMIT_BYTES) else {
            cannot_run("no memory cgroup can be made here");
            return;
        };
        let Some(mut truth) = start() else { return };
        limited.add(truth.pid());
        let heaptop = Heaptop::json(truth.pid(), more);
        heaptop.next_json();
        truth.send("keepptr 2000000");
        let last = heaptop.last_of(PROCESS);
        assert_eq!(last["exit"], signalled(Signal::SIGKILL, true), "{more:?}");
        truth.kill();
    }
}

/// Cause of a process's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Exit,
    Kill,
    Oom,
}

/// Kernels before 6.15 forget the status with the process: there the tracepoints are all there is.
#[test]
fn tracepoints_see_the_wait_status_and_the_oom_kill() {
    let _turn = turn();
    if !can_probe() {
        return;
    }
    let Some(path) = fixture("truth", A_RELEASE, PLAIN) else {
        return;
    };
    let Some(task) = TaskLayout::of_this_kernel() else {
        cannot_run("the kernel has no type information");
        return;
    };
    for end in [End::Exit, End::Kill, End::Oom] {
        let mut truth = Truth::run(&path, &[]);
        let go = GoProcess::open(truth.pid()).expect("a Go process");
        let Some(tgid) = go.process.initial_pid() else {
            cannot_run("this is not the initial pid namespace");
            return;
        };
        let plan = plan(&go.program, &*go.image, Wanted::Sampler).expect("places for probes");
        let mut settings = sampler_settings(&go, &plan);
        settings.end = Some(EndSettings { tgid, task });
        let ebpf = Loader::start().finish(settings).expect("programs");
        let mut probes =
            Probes::attach(ebpf, &plan, &go.process, f64::INFINITY, false).expect("probes");
        probes.watch_end(true);
        let alive = SeenEnd {
            wait_status: None,
            is_oom_victim: Some(false),
        };
        assert_eq!(probes.end(), alive);
        // Ends of others do not count.
        assert!(Command::new("true").status().expect("true runs").success());
        assert_eq!(probes.end(), alive);
        let expected = match end {
            End::Exit => {
                truth.ask("exit 3");
                truth.end();
                3 << 8
            }
            End::Kill => {
                truth.kill();
                9
            }
            End::Oom => {
                let Some(limited) = Limited::new(LIMIT_BYTES) else {
                    cannot_run("no memory cgroup can be made here");
                    return;
                };
                limited.add(truth.pid());
                truth.send("keepptr 2000000");
                truth.end();
                9
            }
        };
        wait_for("the end", PATIENCE, || probes.end().wait_status);
        let seen = SeenEnd {
            wait_status: Some(expected),
            is_oom_victim: Some(end == End::Oom),
        };
        assert_eq!(probes.end(), seen, "{end:?}");
    }
}
