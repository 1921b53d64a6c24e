//! How a watch begins and ends: targets that go, change or were never fit, signals, namespaces.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use heaptop::process::go_process::GoProcess;
use heaptop::process::live::LiveProcess;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::go::{A_RELEASE, PIE_STRIPPED, PLAIN, STRIPPED, copy_program, fixture};
use crate::support::heaptop::{Heaptop, heaptop, refused, site};
use crate::support::profile::Profile;
use crate::support::serial::{can_probe, turn};
use crate::support::text::Text;
use crate::support::truth::Truth;
use crate::support::{PATIENCE, cannot_run, wait_for};

/// Both ways to watch.
const WAYS: [&[&str]; 2] = [&[], &["--no-probes"]];

fn start() -> Option<Truth> {
    can_probe().then(|| Truth::start(A_RELEASE, STRIPPED, &[]))?
}

/// A copy of the program in a folder of its own.
fn copy(into: &Path) -> Option<PathBuf> {
    let copy = into.join("truth");
    copy_program(&fixture("truth", A_RELEASE, PLAIN)?, &copy);
    Some(copy)
}

#[test]
fn the_targets_end_is_the_last_line_and_no_error() {
    let _turn = turn();
    for more in WAYS {
        for by_signal in [false, true] {
            let Some(mut truth) = start() else { return };
            truth.ask("keepstacks 20");
            truth.ask("gc");
            let heaptop = Heaptop::json(truth.pid(), more);
            let first = heaptop.next_json();
            assert_eq!(first["target"]["exited"], false);
            if by_signal {
                truth.kill();
            } else {
                assert!(truth.end().success());
            }
            let ended = heaptop.ended();
            assert_eq!(ended.status.code(), Some(0), "{ended:?}");
            let last: Value =
                serde_json::from_str(ended.lines.last().expect("a last line")).expect("JSON");
            assert_eq!(last["target"]["exited"], true);
            // What was known stays: the last data is what one wants to see then.
            assert!(site(&last, "main.left").is_some() || site(&last, "main.right").is_some());
            let told = ended
                .lines
                .iter()
                .filter(|line| line.contains("\"exited\":true"));
            assert_eq!(told.count(), 1, "{:?}", ended.lines);
        }
    }
}

#[test]
fn a_target_that_ends_while_heaptop_starts_is_no_crash() {
    let _turn = turn();
    for delay_ms in [0, 5, 10, 20, 30, 45, 60, 80] {
        for more in WAYS {
            let Some(mut truth) = start() else { return };
            let heaptop = Heaptop::json(truth.pid(), more);
            std::thread::sleep(Duration::from_millis(delay_ms));
            truth.kill();
            let ended = heaptop.ended();
            match ended.status.code() {
                Some(0) => assert!(
                    ended
                        .lines
                        .last()
                        .is_some_and(|line| line.contains("\"exited\":true")),
                    "{delay_ms} ms: {ended:?}"
                ),
                Some(1) => {
                    crate::support::heaptop::refusal(&ended.stderr);
                }
                _ => panic!("{delay_ms} ms: {ended:?}"),
            }
        }
    }
}

#[test]
fn signals_end_it_with_their_status_and_without_a_trap_left() {
    let _turn = turn();
    for (signal, status) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        for more in WAYS {
            let Some(mut truth) = start() else { return };
            let text = Text::of(truth.pid());
            let heaptop = Heaptop::json(truth.pid(), more);
            heaptop.next_json();
            assert_eq!(text.trapped().len(), if more.is_empty() { 5 } else { 0 });
            heaptop.signal(signal);
            let ended = heaptop.ended();
            assert_eq!(ended.status.code(), Some(status), "{ended:?}");
            assert_eq!(ended.stderr, "");
            // At its end, not some time after it.
            assert_eq!(text.trapped(), [""; 0]);
            truth.ask("gc");
        }
    }
}

#[test]
fn a_program_that_becomes_another_one_is_not_shown_as_the_old() {
    let _turn = turn();
    for more in WAYS {
        for other_file in [false, true] {
            let folder = tempfile::tempdir().expect("a folder");
            let Some(path) = copy(folder.path()) else {
                return;
            };
            let mut truth = Truth::run(&path, &[]);
            let heaptop = Heaptop::json(truth.pid(), more);
            heaptop.next_json();
            if other_file {
                let new = folder.path().join("new");
                copy_program(&path, &new);
                fs::rename(new, &path).expect("own files");
            }
            truth.exec();
            let ended = heaptop.ended();
            assert_eq!(ended.status.code(), Some(0), "{ended:?}");
            let last = ended.lines.last().expect("a last line");
            assert!(last.contains("\"exited\":true"), "{last}");
            // It is a Go process like any other, and can be watched again.
            truth.ask("gc");
            let again = Heaptop::json(truth.pid(), more);
            assert_eq!(again.next_json()["target"]["exited"], false);
        }
    }
}

#[test]
fn a_rate_that_changes_is_noticed() {
    let _turn = turn();
    for more in WAYS {
        let Some(mut truth) = start() else { return };
        let heaptop = Heaptop::json(truth.pid(), more);
        assert_eq!(heaptop.next_json()["rate_bytes"], 524_288);
        truth.ask("rate 65536");
        heaptop.until("the new rate", |_| (), |line| line["rate_bytes"] == 65_536);
    }
}

#[test]
fn a_program_that_samples_nothing_is_refused_where_its_records_are_needed() {
    let Some(path) = fixture("noprof", A_RELEASE, STRIPPED) else {
        return;
    };
    let mut noprof = Command::new(path)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    let lines = crate::support::lines::Lines::of(noprof.stdout.take().expect("a pipe"));
    assert!(lines.next().is_some_and(|line| line.starts_with("ready ")));
    let pid = noprof.id().to_string();
    // What rests on the runtime's records alone; a watch by probes does not.
    for arguments in [
        &["--no-probes", &*pid][..],
        &["--json", "--source", "sampler", &pid],
        &["snapshot", &pid],
    ] {
        let refused = refused(&heaptop(arguments));
        assert!(
            refused.what.contains("noprof") && refused.what.contains(&pid),
            "{refused:?}"
        );
        assert!(refused.why.contains("MemProfileRate is 0"), "{refused:?}");
        assert!(refused.next.contains("net/http/pprof"), "{refused:?}");
    }
    noprof.kill().expect("own child");
    noprof.wait().expect("own child");
}

#[test]
fn a_reused_pid_is_another_process() {
    const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";
    const TRIES: usize = 50;
    let mut first = Command::new("sleep").arg("60").spawn().expect("sleep runs");
    let pid = first.id();
    let process = LiveProcess::open(pid).expect("own child");
    assert!(process.is_same());
    first.kill().expect("own child");
    wait_for("its end", PATIENCE, || (!process.is_same()).then_some(()));
    first.wait().expect("own child");
    assert!(!process.is_same());
    for _ in 0..TRIES {
        // Only a hint to the kernel, which takes the next free pid: other processes start too.
        if fs::write(LAST_PID, (pid - 1).to_string()).is_err() {
            cannot_run("a pid cannot be chosen here");
            return;
        }
        let mut next = Command::new("sleep").arg("60").spawn().expect("sleep runs");
        let is_reused = next.id() == pid;
        let is_same = process.is_same();
        next.kill().expect("own child");
        next.wait().expect("own child");
        if is_reused {
            assert!(!is_same);
            return;
        }
    }
    cannot_run("others took the pid each time");
}

#[test]
fn a_deleted_program_is_watched_and_named_like_any_other() {
    let _turn = turn();
    if !can_probe() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let Some(path) = copy(folder.path()) else {
        return;
    };
    let mut truth = Truth::run(&path, &["-rate", "1"]);
    fs::remove_file(&path).expect("own file");
    truth.ask("keep 10 4096");
    truth.ask("gc");
    let heaptop = Heaptop::json(truth.pid(), &[]);
    let line = heaptop.next_json();
    assert_eq!(line["target"]["name"], "truth");
    let site = site(&line, "main.keepBytes").expect("a row");
    assert_eq!(site["inuse_objects"], 10);
    assert_eq!(Text::of(truth.pid()).trapped().len(), 5);
    // In a profile it has the name that Go itself gives it, and more: its build id, which Go cannot read.
    let file = folder.path().join("heap.pb.gz");
    let pid = truth.pid().to_string();
    let written =
        crate::support::heaptop::heaptop(&["snapshot", &pid, "-o", file.to_str().expect("text")]);
    assert!(written.status.success(), "{written:?}");
    let mut ours = Profile::read(&fs::read(file).expect("a profile")).mappings;
    assert_eq!(std::mem::take(&mut ours[0].build_id).len(), 40);
    assert_eq!(ours, Profile::read(&truth.pprof_heap()).mappings);
}

/// The one child of a process, in our own pid namespace.
fn child_of(pid: u32) -> u32 {
    wait_for("a child", PATIENCE, || {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    })
}

#[test]
fn a_target_in_namespaces_of_its_own_is_watched_by_its_outer_pid() {
    let _turn = turn();
    if !can_probe() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let Some(path) = fixture("truth", A_RELEASE, PIE_STRIPPED) else {
        return;
    };
    let unshare = |then: &[&str]| {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--pid", "--fork", "--kill-child"])
            .args(then);
        command
    };
    if !unshare(&["true"])
        .status()
        .is_ok_and(|status| status.success())
    {
        cannot_run("no namespaces here");
        return;
    }
    // Its file exists in its own mount namespace alone.
    let script =
        "mount -t tmpfs none \"$1\" && cp \"$2\" \"$1/truth\" && exec \"$1/truth\" -rate 1";
    let (at, path) = (folder.path().to_str(), path.to_str());
    let arguments = [
        "sh",
        "-c",
        script,
        "sh",
        at.expect("text"),
        path.expect("text"),
    ];
    let mut truth = Truth::spawn(&mut unshare(&arguments));
    assert!(!folder.path().join("truth").exists());
    let pid = child_of(truth.pid());
    assert_eq!(truth.told_pid(), 1);
    truth.ask("keep 10 4096");
    truth.ask("gc");
    for more in WAYS {
        let heaptop = Heaptop::json(pid, more);
        let line = heaptop.next_json();
        assert_eq!(line["target"]["pid"], pid);
        let site = site(&line, "main.keepBytes").expect("a row");
        assert_eq!(site["inuse_objects"], 10);
        if more.is_empty() {
            assert_eq!(Text::of(pid).trapped().len(), 5);
        }
        heaptop.signal(Signal::SIGTERM);
        assert_eq!(heaptop.ended().status.code(), Some(143));
    }
}

/// A running copy of the program whose bytes were changed.
fn changed(folder: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Option<Truth> {
    let (path, changed) = (folder.join("truth"), folder.join("changed"));
    let mut bytes = fs::read(fixture("truth", A_RELEASE, PLAIN)?).expect("the fixture");
    change(&mut bytes);
    fs::write(&changed, bytes).expect("own folder");
    fs::set_permissions(
        &changed,
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .expect("own file");
    copy_program(&changed, &path);
    Some(Truth::run(&path, &[]))
}

fn replace_all(bytes: &mut [u8], old: &[u8], new: &[u8]) {
    assert_eq!(old.len(), new.len());
    let mut n = 0;
    for at in 0..bytes.len() - old.len() {
        if bytes[at..].starts_with(old) {
            bytes[at..at + old.len()].copy_from_slice(new);
            n += 1;
        }
    }
    assert!(n > 0, "nothing to replace");
}

#[test]
fn an_unknown_release_is_refused_with_the_memory_of_the_process() {
    for unknown in ["go1.17.6", "go1.16.6"] {
        let folder = tempfile::tempdir().expect("a folder");
        let change = |bytes: &mut Vec<u8>| replace_all(bytes, b"go1.26.6", unknown.as_bytes());
        let Some(truth) = changed(folder.path(), change) else {
            return;
        };
        for command in ["watch", "snapshot"] {
            let refused = refused(&heaptop(&[command, &truth.pid().to_string()]));
            let said = format!("{} {}", refused.what, refused.why);
            for part in [
                unknown,
                "truth",
                "Go 1.18 to 1.27",
                "resident memory is",
                "cgroup",
            ] {
                assert!(said.contains(part), "{part}: {refused:?}");
            }
            assert!(refused.next.contains("update heaptop"), "{refused:?}");
        }
        let listed = heaptop(&["ps", "--json"]);
        let text = String::from_utf8_lossy(&listed.stdout);
        let mut lines = text.lines().map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            line
        });
        let line = lines.find(|line| line["pid"] == truth.pid());
        let line = line.expect("listed in spite of its release");
        let why = line["why"].as_str().unwrap_or_default();
        assert!(why.contains(unknown), "{line}");
        assert!(line["rss_bytes"].as_u64() > Some(1 << 20), "{line}");
    }
}

#[test]
fn a_program_without_section_headers_is_read_by_its_segments() {
    let _turn = turn();
    let folder = tempfile::tempdir().expect("a folder");
    let without_sections = |bytes: &mut Vec<u8>| {
        bytes[0x28..0x30].fill(0); // e_shoff
        bytes[0x3c..0x40].fill(0); // e_shnum, e_shstrndx
    };
    let Some(mut truth) = changed(folder.path(), without_sections) else {
        return;
    };
    truth.ask("keepstacks 20");
    truth.ask("gc");
    let go = GoProcess::open(truth.pid()).expect("a Go process");
    assert_eq!(go.program.version, format!("go{A_RELEASE}"));
    if can_probe() {
        let heaptop = Heaptop::json(truth.pid(), &[]);
        let line = heaptop.next_json();
        assert!(
            line["sites"]
                .as_array()
                .is_some_and(|sites| !sites.is_empty()),
            "{line}"
        );
    }
}

#[test]
fn a_stopped_target_is_watched_as_it_is() {
    let _turn = turn();
    for more in WAYS {
        let Some(mut truth) = start() else { return };
        truth.ask("keepstacks 20");
        truth.ask("gc");
        let pid = nix::unistd::Pid::from_raw(truth.pid().cast_signed());
        nix::sys::signal::kill(pid, Signal::SIGSTOP).expect("own child");
        let heaptop = Heaptop::json(truth.pid(), more);
        let line = heaptop.next_json();
        assert_eq!(line["target"]["exited"], false);
        assert!(
            line["sites"]
                .as_array()
                .is_some_and(|sites| !sites.is_empty()),
            "{line}"
        );
        heaptop.signal(Signal::SIGTERM);
        assert_eq!(heaptop.ended().status.code(), Some(143));
        nix::sys::signal::kill(pid, Signal::SIGCONT).expect("own child");
        truth.ask("gc");
        assert!(truth.end().signal().is_none());
    }
}
