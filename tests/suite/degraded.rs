//! Degraded settings: `heaptop doctor` and the watch agree on whether it runs and on which source, in each of them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::support::cannot_run;
use crate::support::go::{A_RELEASE, STRIPPED, copy_program, fixture};
use crate::support::heaptop::{PROGRAM, SITES, lines_of};
use crate::support::lines::Lines;
use crate::support::serial::{can_probe, turn};
use crate::support::truth::Truth;

/// A way to run a command with less than root has on a whole machine: the words before it.
struct Setting {
    name: &'static str,
    words: &'static [&'static str],
}

/// Runs a script in a mount namespace of its own, then the command.
const IN_NAMESPACE: [&str; 4] = ["unshare", "--mount", "sh", "-ec"];

const SETTINGS: [Setting; 15] = [
    Setting {
        name: "nothing missing",
        words: &["env"],
    },
    Setting {
        name: "no /sys",
        words: &["mount -t tmpfs none /sys; exec \"$@\""],
    },
    Setting {
        name: "no kernel type information",
        words: &["mount -t tmpfs none /sys/kernel/btf; exec \"$@\""],
    },
    Setting {
        name: "no tracefs and no debugfs",
        words: &[
            "for d in tracing debug; do [ ! -d /sys/kernel/$d ] || mount -t tmpfs none /sys/kernel/$d; done; exec \"$@\"",
        ],
    },
    Setting {
        name: "no cgroup file system",
        words: &["[ ! -d /sys/fs/cgroup ] || mount -t tmpfs none /sys/fs/cgroup; exec \"$@\""],
    },
    Setting {
        name: "a read-only /run",
        words: &["mount -t tmpfs -o ro none /run; exec \"$@\""],
    },
    Setting {
        name: "a /proc that hides processes, as another user",
        words: &[
            "mount -t proc -o hidepid=2 proc /proc; exec setpriv --reuid=65534 --regid=65534 --clear-groups \"$@\"",
        ],
    },
    Setting {
        name: "no CAP_SYS_ADMIN",
        words: &["setpriv", "--bounding-set", "-sys_admin"],
    },
    Setting {
        name: "no capability for probes",
        words: &["setpriv", "--bounding-set", "-sys_admin,-bpf,-perfmon"],
    },
    Setting {
        name: "no CAP_SYS_PTRACE",
        words: &["setpriv", "--bounding-set", "-sys_ptrace"],
    },
    Setting {
        name: "neither CAP_SYS_ADMIN nor CAP_SYS_PTRACE",
        words: &["setpriv", "--bounding-set", "-sys_admin,-sys_ptrace"],
    },
    Setting {
        name: "another user",
        words: &[
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
        ],
    },
    Setting {
        name: "a user namespace",
        words: &["unshare", "--user", "--map-root-user"],
    },
    Setting {
        name: "no locked memory",
        words: &["prlimit", "--memlock=0"],
    },
    Setting {
        name: "few open files",
        words: &["prlimit", "--nofile=64:64"],
    },
];

impl Setting {
    fn run(&self, program: &Path, arguments: &[&str]) -> Output {
        let mut words: Vec<&str> = Vec::new();
        if let [script] = self.words
            && script.contains(' ')
        {
            words.extend(IN_NAMESPACE);
            words.extend([*script, "sh"]);
        } else {
            words.extend(self.words);
        }
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg(program).args(arguments);
        command.current_dir("/").stdin(Stdio::null());
        command.output().expect("it runs")
    }
}

/// A Go program whose sampler is off.
struct Unsampled(Child);

impl Unsampled {
    fn start() -> Option<Self> {
        let path = fixture("noprof", A_RELEASE, STRIPPED)?;
        let mut command = Command::new(path);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let lines = Lines::of(child.stdout.take().expect("a pipe"));
        assert!(lines.next().is_some_and(|line| line.starts_with("ready ")));
        Some(Self(child))
    }
}

impl Drop for Unsampled {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The source that `doctor` announces; `None` where it says that a watch would not run.
fn announced(output: &Output) -> Option<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last()?;
    let source = last.split_once(" would run, source ")?.1;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    Some(source.to_owned())
}

/// The source of a watch; `None` where it was refused.
fn watched(output: &Output) -> Option<String> {
    let lines = lines_of(&output.stdout, SITES);
    let line: Value = serde_json::from_str(lines.first()?).expect("JSON");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    Some(line["source"].as_str().expect("a word").to_owned())
}

fn world_readable(folder: &Path) -> PathBuf {
    let program = folder.join("heaptop");
    copy_program(Path::new(PROGRAM), &program);
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder, open).expect("own folder");
    program
}

#[test]
fn doctor_announces_what_the_watch_does_in_every_degraded_setting() {
    let _turn = turn();
    if !can_probe() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let program = world_readable(folder.path());
    let (Some(mut truth), Some(unsampled)) =
        (Truth::start(A_RELEASE, STRIPPED, &[]), Unsampled::start())
    else {
        return;
    };
    truth.ask("keepstacks 20");
    truth.ask("gc");
    let mut outcomes = Vec::new();
    for setting in &SETTINGS {
        if setting.run(&program, &["--version"]).status.code() != Some(0) {
            cannot_run(&format!("cannot make the setting: {}", setting.name));
            continue;
        }
        for (sampled, pid) in [(true, truth.pid()), (false, unsampled.0.id())] {
            let pid = pid.to_string();
            let doctor = setting.run(&program, &["doctor", &pid]);
            let watch = setting.run(&program, &["--json", "--count", "1", &pid]);
            let (announced, watched) = (announced(&doctor), watched(&watch));
            assert_eq!(
                (announced.as_deref(), doctor.status.code()),
                (watched.as_deref(), watch.status.code()),
                "{}, sampled: {sampled}\n{}\n{}",
                setting.name,
                String::from_utf8_lossy(&doctor.stdout),
                String::from_utf8_lossy(&watch.stderr)
            );
            outcomes.push((setting.name, sampled, watched));
        }
    }
    eprintln!("{outcomes:#?}");
    let outcome = |name: &str, sampled: bool| {
        let found = outcomes
            .iter()
            .find(|outcome| (outcome.0, outcome.1) == (name, sampled));
        found.and_then(|outcome| outcome.2.as_deref())
    };
    assert_eq!(outcome("nothing missing", true), Some("sampler"));
    assert_eq!(outcome("nothing missing", false), Some("spans"));
    // Without probes, what can be read is shown.
    for name in ["no /sys", "no CAP_SYS_ADMIN"] {
        if outcomes.iter().any(|outcome| outcome.0 == name) {
            assert_eq!(outcome(name, true), Some("buckets"), "{name}");
            assert_eq!(outcome(name, false), None, "{name}");
        }
    }
}
