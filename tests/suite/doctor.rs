//! `heaptop doctor`: its verdict is that of the watch it speaks of.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::cannot_run;
use crate::support::go::{A_RELEASE, STRIPPED, copy_program, go};
use crate::support::heaptop::{PROGRAM, heaptop, only_sites};
use crate::support::lines::Lines;
use crate::support::serial::{can_probe, turn};
use crate::support::truth::Truth;

fn checks(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    let line =
        |line: &str| serde_json::from_str(line).unwrap_or_else(|err| panic!("{err}: {line}"));
    text.lines().map(line).collect()
}

fn state<'a>(checks: &'a [Value], name: &str) -> &'a str {
    let check = checks.iter().find(|check| check["check"] == name);
    let check = check.unwrap_or_else(|| panic!("no {name}: {checks:?}"));
    check["state"].as_str().expect("a word")
}

#[test]
fn all_is_well_for_root_and_a_go_program() {
    let _turn = turn();
    if !can_probe() {
        return;
    }
    let Some(truth) = Truth::start(A_RELEASE, STRIPPED, &[]) else {
        return;
    };
    let pid = truth.pid().to_string();
    let output = heaptop(&["doctor", "--json", &pid]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let checks = checks(&output);
    for name in [
        "kernel",
        "privileges",
        "probes",
        "target",
        "go",
        "memory",
        "runtime",
        "sampler",
        "places",
    ] {
        assert_eq!(state(&checks, name), "ok", "{checks:?}");
    }
    for check in &checks {
        let keys: Vec<&String> = check.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["check", "detail", "next", "state"]);
        assert_eq!(check["next"].is_null(), check["state"] == "ok", "{check}");
    }
    let output = heaptop(&["doctor", &pid]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.ends_with(&format!("heaptop {pid} would run, source sampler\n")),
        "{text}"
    );
    assert!(!text.contains('\x1b'), "{text}");
}

#[test]
fn what_is_no_go_program_would_not_run() {
    let mut sleep = Command::new("sleep").arg("60").spawn().expect("sleep runs");
    let pid = sleep.id().to_string();
    for target in [&*pid, "no-such-program-runs-here"] {
        let output = heaptop(&["doctor", "--json", target]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let checks = checks(&output);
        let last = checks.last().expect("checks");
        assert_eq!(last["state"], "missing", "{checks:?}");
        assert!(last["next"].is_string(), "{checks:?}");
    }
    sleep.kill().expect("own child");
    sleep.wait().expect("own child");
}

#[test]
fn without_rights_for_probes_the_verdict_is_that_of_the_watch() {
    let _turn = turn();
    if !can_probe() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("heaptop");
    copy_program(Path::new(PROGRAM), &program);
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).expect("own folder");
    let Some(mut truth) = Truth::start(A_RELEASE, STRIPPED, &[]) else {
        return;
    };
    truth.ask("keepstacks 20");
    truth.ask("gc");
    let pid = truth.pid().to_string();
    // Root without the right to probe reads on; nobody may not even look at what belongs to root.
    let readers = ["--bounding-set", "-sys_admin,-bpf,-perfmon"];
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    for (who, status) in [(&readers[..], 0), (&nobody[..], 1)] {
        let run = |arguments: &[&str]| {
            let mut command = Command::new("setpriv");
            command.args(who).arg(&program).args(arguments);
            command.current_dir("/").output().expect("setpriv runs")
        };
        if run(&["--version"]).status.code() != Some(0) {
            cannot_run("cannot give up rights");
            return;
        }
        let output = run(&["doctor", "--json", &pid]);
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        let checks = checks(&output);
        assert_eq!(state(&checks, "probes"), "degraded", "{checks:?}");
        assert_eq!(state(&checks, "privileges"), "degraded", "{checks:?}");
        let watch = run(&["--json", "--count", "1", &pid]);
        assert_eq!(watch.status.code(), Some(status), "{watch:?}");
        if status == 0 {
            let line: Value = only_sites(&watch.stdout);
            assert_eq!(line["source"], "buckets");
            let said = String::from_utf8_lossy(&watch.stderr);
            assert!(said.contains("--no-probes"), "{said}");
        }
    }
}

#[test]
fn cgo_is_said_of_programs_that_link_c_and_of_no_others() {
    const PURE: &str =
        "package main\nimport \"fmt\"\nfunc main() { fmt.Println(\"ready\"); fmt.Scanln() }\n";
    const REAL: &str = "package main\n// static int twice(int x) { return 2*x; }\nimport \"C\"\nimport \"fmt\"\nfunc main() { fmt.Println(\"ready\", C.twice(2)); fmt.Scanln() }\n";
    // The resolver is Go's own, but the package os/user is C's.
    const USER: &str = "package main\nimport (\"fmt\"; \"net\"; \"os/user\")\nfunc main() { u, _ := user.Current(); fmt.Println(\"ready\", u, net.IPv4len); fmt.Scanln() }\n";
    for (name, source, cgo_enabled, arguments, expected) in [
        ("pure", PURE, "0", &[][..], false),
        ("pure-cgo-enabled", PURE, "1", &[], false),
        ("real", REAL, "1", &[], true),
        ("real-stripped", REAL, "1", &["-ldflags=-s -w"], true),
        ("netgo", USER, "1", &["-tags=netgo"], true),
        (
            "netgo-osusergo",
            USER,
            "1",
            &["-tags=netgo,osusergo"],
            false,
        ),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("main.go");
        std::fs::write(&path, source).expect("own folder");
        let Some(mut go) = go(A_RELEASE) else { return };
        let built = go
            .args(["build", "-o", name])
            .args(arguments)
            .arg(&path)
            .current_dir(folder.path())
            .env("CGO_ENABLED", cgo_enabled)
            .env("GOFLAGS", "")
            .output()
            .expect("go runs");
        if !built.status.success() {
            cannot_run(&format!(
                "{name}: {}",
                String::from_utf8_lossy(&built.stderr)
            ));
            continue;
        }
        let mut program = Command::new(folder.path().join(name))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let lines = Lines::of(program.stdout.take().expect("a pipe"));
        assert!(lines.next().is_some_and(|line| line.starts_with("ready")));
        let output = heaptop(&["doctor", "--json", &program.id().to_string()]);
        let checks = checks(&output);
        let go = checks
            .iter()
            .find(|check| check["check"] == "go")
            .expect("a check");
        let detail = go["detail"].as_str().expect("text");
        assert_eq!(detail.ends_with(", cgo"), expected, "{name}: {detail}");
        program.kill().expect("own child");
        program.wait().expect("own child");
    }
}
