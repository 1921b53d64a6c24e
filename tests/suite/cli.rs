//! The command line: what it takes, what it prints, and how it ends.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::cannot_run;
use crate::support::go::{A_RELEASE, STRIPPED, copy_program};
use crate::support::heaptop::{Heaptop, PROGRAM, SITES, heaptop, lines_of, only_sites, refused};
use crate::support::ordered_json::Json;
use crate::support::profile::Profile;
use crate::support::serial::{can_probe, turn};
use crate::support::truth::Truth;

fn start() -> Option<Truth> {
    Truth::start(A_RELEASE, STRIPPED, &[])
}

#[test]
fn wrong_arguments_end_with_status_2() {
    for arguments in [
        &[][..],
        &["--no-such-option", "1"],
        &["--interval", "soon", "1"],
        &["--interval", "1ms", "1"],
        &["--count", "0", "1"],
        &["--sort", "colour", "1"],
        &["--ring-bytes", "5000", "1"],
        &["--ring-bytes", "2048", "1"],
        &["1", "2"],
        &["snapshot"],
        &["snapshot", "--json", "1"],
        &["diagnose"],
        &["diagnose", "--for", "0s", "1"],
        &["diagnose", "--arm", "--no-probes", "1"],
        &["diagnose", "--source", "spans", "--arm", "1"],
        &["watch"],
    ] {
        let output = heaptop(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}

/// Help as it is on a terminal of 100 columns.
fn help(arguments: &[&str]) -> String {
    let output = Command::new(PROGRAM)
        .args(arguments)
        .env("COLUMNS", "100")
        .output()
        .expect("heaptop runs");
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn help_is_as_it_was_read_last() {
    insta::assert_snapshot!("help", help(&["--help"]));
    insta::assert_snapshot!("help_snapshot", help(&["snapshot", "--help"]));
    insta::assert_snapshot!("help_diagnose", help(&["diagnose", "--help"]));
}

#[test]
fn the_version_is_that_of_the_package() {
    assert_eq!(
        help(&["--version"]),
        format!("heaptop {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn what_is_no_target_is_refused_in_three_lines() {
    // A pid beyond the kernel's largest.
    let nobody = "4194305";
    for arguments in [
        &[nobody][..],
        &["snapshot", nobody],
        &["diagnose", nobody],
        &["--json", "--no-probes", nobody],
    ] {
        let refused = refused(&heaptop(arguments));
        assert!(refused.what.contains(nobody), "{refused:?}");
        assert!(refused.next.contains("ps -e"), "{refused:?}");
    }
    for name in [
        "no-such-program-runs-here",
        "0123456789ab",
        "0123456789ab:1",
        "",
    ] {
        let refused = refused(&heaptop(&["--json", name]));
        assert!(refused.what.contains(name), "{refused:?}");
    }
    let own_thread_or_zero = refused(&heaptop(&["0"]));
    assert!(
        own_thread_or_zero.why.contains('0'),
        "{own_thread_or_zero:?}"
    );
}

/// A shell's limit is raised as far as it may be, and what is too few even then is said as what it is.
#[test]
fn few_open_files_are_raised_or_told() {
    let under = |limit: &str| {
        let command = format!("ulimit {limit} && exec '{PROGRAM}' ps");
        let output = Command::new("bash").args(["-c", &command]).output();
        output.expect("bash runs")
    };
    let raised = under("-S -n 8");
    assert!(raised.status.success(), "{raised:?}");
    let refused = under("-n 8");
    if refused.status.success() {
        return; // Who may lift any limit has lifted this one.
    }
    let why = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1));
    assert!(why.contains("8 files open, and needs"), "{why}");
}

#[test]
fn what_is_no_go_program_is_refused() {
    let mut sleep = Command::new("sleep").arg("60").spawn().expect("sleep runs");
    // Until it is `sleep` it is this very suite.
    crate::support::wait_for("sleep", crate::support::PATIENCE, || {
        let comm = fs::read_to_string(format!("/proc/{}/comm", sleep.id())).ok()?;
        (comm == "sleep\n").then_some(())
    });
    let pid = sleep.id().to_string();
    for arguments in [&[&*pid][..], &["snapshot", &pid]] {
        let refused = refused(&heaptop(arguments));
        assert!(
            refused.what.contains("sleep") && refused.what.contains(&pid),
            "{refused:?}"
        );
        assert!(
            refused.why.contains("no Go build information"),
            "{refused:?}"
        );
    }
    // Nor does its name mean it.
    refused(&heaptop(&["sleep"]));
    sleep.kill().expect("own child");
    sleep.wait().expect("own child");
}

#[test]
fn a_name_means_the_one_go_process_that_has_it() {
    let _turn = turn();
    let folder = tempfile::tempdir().expect("a folder");
    let Some(fixture) = crate::support::go::fixture("truth", A_RELEASE, STRIPPED) else {
        return;
    };
    // A name that no other run of this suite uses; longer than the 15 bytes of a comm.
    let name = format!("truth-by-its-name-{}", std::process::id());
    let path = folder.path().join(&name);
    copy_program(&fixture, &path);
    let first = Truth::run(&path, &[]);
    let json = |target: &str| heaptop(&["--json", "--no-probes", "--count", "1", target]);
    let output = json(&name);
    assert!(output.status.success(), "{output:?}");
    let line: Json = only_sites(&output.stdout);
    assert_eq!(
        line.get("target").get("pid"),
        &Json::Number(f64::from(first.pid()))
    );
    assert_eq!(line.get("target").get("name"), &Json::Text(name.clone()));

    let second = Truth::run(&path, &[]);
    let refused = refused(&json(&name));
    assert!(refused.what.starts_with("2 processes"), "{refused:?}");
    for pid in [first.pid(), second.pid()] {
        assert!(refused.why.contains(&pid.to_string()), "{refused:?}");
    }
    let next = ["heaptop ", &first.pid().to_string()].concat();
    let other = ["heaptop ", &second.pid().to_string()].concat();
    assert!(
        refused.next.contains(&next) || refused.next.contains(&other),
        "{refused:?}"
    );
}

#[test]
fn a_process_named_like_a_command_is_reached_by_watch() {
    let refused = refused(&heaptop(&["watch", "--json", "snapshot"]));
    assert!(refused.what.contains("snapshot"), "{refused:?}");
}

/// The keys of schema heaptop.sites/1, in their order.
const LINE: [&str; 10] = [
    "schema",
    "at",
    "watched_seconds",
    "source",
    "rate_bytes",
    "target",
    "heap",
    "overhead",
    "losses",
    "sites",
];
const SITE: [&str; 22] = [
    "function",
    "file",
    "line",
    "inuse_bytes",
    "inuse_bytes_err",
    "inuse_objects",
    "inuse_objects_err",
    "samples",
    "kept_share",
    "growth_bytes",
    "growth_objects",
    "growth_bytes_per_min",
    "growth_bytes_per_min_err",
    "growth_objects_per_min",
    "alloc_bytes",
    "alloc_objects",
    "alloc_bytes_per_sec",
    "verdict",
    "evidence",
    "via",
    "leak",
    "type",
];

#[test]
fn json_has_exactly_the_keys_of_its_schema_and_null_for_what_is_unknown() {
    let _turn = turn();
    let Some(mut truth) = start() else { return };
    truth.ask("keepstacks 100");
    truth.ask("gc");
    let pid = truth.pid().to_string();
    let output = heaptop(&["--json", "--no-probes", "--count", "1", "--top", "1", &pid]);
    assert!(output.status.success(), "{output:?}");
    let line: Json = only_sites(&output.stdout);

    assert_eq!(line.keys(), [&LINE[..], &["sites_omitted"]].concat());
    assert_eq!(
        line.get("target").keys(),
        ["pid", "name", "go", "started_at", "exited", "notes"]
    );
    assert_eq!(
        line.get("heap").keys(),
        ["live_bytes", "goal_bytes", "gc_cycles", "rss_bytes"]
    );
    assert_eq!(
        line.get("overhead").keys(),
        [
            "hits_per_sec",
            "cpu_fraction",
            "on_fraction",
            "max_cpu_fraction"
        ]
    );
    assert_eq!(
        line.get("losses").keys(),
        ["lost", "repaired", "truncated_stacks", "unnamed_pcs"]
    );
    let sites = line.get("sites").items();
    assert_eq!(sites.len(), 1);
    assert_eq!(sites[0].keys(), SITE);

    assert_eq!(line.get("schema"), &Json::Text("heaptop.sites/1".into()));
    assert_eq!(line.get("source"), &Json::Text("buckets".into()));
    assert_eq!(line.get("rate_bytes"), &Json::Number(524_288.0));
    assert_eq!(
        line.get("target").get("go"),
        &Json::Text(format!("go{A_RELEASE}"))
    );
    for moment in [line.get("at"), line.get("target").get("started_at")] {
        let Json::Text(moment) = moment else {
            panic!("{moment:?}")
        };
        assert!(moment.len() == 24 && moment.ends_with('Z'), "{moment}");
        assert!(moment.parse::<jiff::Timestamp>().is_ok(), "{moment}");
    }
    // Without probes there is nothing that could be counted.
    for (group, keys) in [
        ("overhead", &["hits_per_sec", "cpu_fraction"][..]),
        ("losses", &["lost", "repaired"]),
    ] {
        for key in keys {
            assert_eq!(line.get(group).get(key), &Json::Null, "{key}");
        }
    }
    // Nor is a slope of one point, nor a leak. It is too early for any other word.
    assert_eq!(sites[0].get("verdict"), &Json::Text("collecting".into()));
    assert!(matches!(
        sites[0].get("evidence").get("text"),
        Json::Text(text) if text.starts_with("collecting: ") && text.contains("does not decide yet")
    ));
    for key in [
        "growth_bytes_per_min",
        "growth_bytes_per_min_err",
        "growth_objects_per_min",
        "leak",
    ] {
        assert_eq!(sites[0].get(key), &Json::Null, "{key}");
    }
}

#[test]
fn interval_count_and_sort_are_obeyed() {
    let _turn = turn();
    let Some(mut truth) = start() else { return };
    truth.ask("keepstacks 50");
    truth.ask("keep 50 1048576");
    truth.ask("gc");
    let pid = truth.pid().to_string();
    let begun = std::time::Instant::now();
    let output = heaptop(&[
        "--json",
        "--no-probes",
        "--count",
        "4",
        "--interval",
        "300ms",
        "--sort",
        "inuse",
        &pid,
    ]);
    let took = begun.elapsed();
    assert!(output.status.success(), "{output:?}");
    let lines: Vec<Json> = lines_of(&output.stdout, SITES)
        .into_iter()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 4);
    // The first comes at once, three intervals lie between the others.
    assert!(took.as_millis() >= 900, "{took:?}");
    let in_use: Vec<f64> = lines[3]
        .get("sites")
        .items()
        .iter()
        .map(|site| match site.get("inuse_bytes") {
            Json::Number(bytes) => *bytes,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(
        in_use.len() > 1 && in_use.is_sorted_by(|a, b| a >= b),
        "{in_use:?}"
    );
}

#[test]
fn text_goes_to_a_pipe_in_blocks() {
    let _turn = turn();
    let Some(mut truth) = start() else { return };
    truth.ask("keep 50 1048576");
    truth.ask("gc");
    let pid = truth.pid().to_string();
    let output = heaptop(&["--no-probes", "--count", "2", "--interval", "100ms", &pid]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(text.matches("main.keepBytes").count(), 2, "{text}");
    assert!(text.contains(&pid) && text.contains("truth"), "{text}");
    assert!(!text.contains('\x1b'), "{text}");
}

#[test]
fn nobody_who_reads_is_no_error() {
    let _turn = turn();
    let Some(mut truth) = start() else { return };
    truth.ask("keepstacks 100");
    truth.ask("gc");
    let pid = truth.pid().to_string();
    for arguments in [
        &["--json", "--no-probes", "--interval", "100ms", &pid][..],
        &["--no-probes", "--interval", "100ms", &pid],
    ] {
        let mut child = Command::new(PROGRAM)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("heaptop starts");
        let mut first = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        stdout.read_line(&mut first).expect("a line");
        assert!(!first.is_empty());
        drop(stdout);
        let output = child.wait_with_output().expect("own child");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}

#[test]
fn a_profile_goes_to_standard_output_or_to_a_new_file() {
    let _turn = turn();
    let Some(mut truth) = start() else { return };
    truth.ask("keepstacks 20");
    truth.ask("gc");
    let pid = truth.pid().to_string();
    let output = heaptop(&["snapshot", &pid, "-o", "-"]);
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let piped = Profile::read(&output.stdout);
    assert!(!piped.samples.is_empty());

    // The name that it chooses itself is never one that exists.
    let folder = tempfile::tempdir().expect("a folder");
    for n in 1..=3 {
        let output = Command::new(PROGRAM)
            .args(["snapshot", &pid])
            .current_dir(folder.path())
            .output()
            .expect("heaptop runs");
        assert!(output.status.success(), "{output:?}");
        let files = files_in(folder.path());
        assert_eq!(files.len(), n, "{files:?}");
        let says = String::from_utf8_lossy(&output.stderr).into_owned();
        let named = files.iter().filter(|file| says.contains(file.as_str()));
        assert!(named.count() >= 1, "{says}");
        for file in files {
            assert!(file.starts_with(&format!("heaptop-truth-{pid}-")), "{file}");
            assert!(file.ends_with(".pb.gz"), "{file}");
            let profile = Profile::read(&fs::read(folder.path().join(file)).expect("a file"));
            assert_eq!(profile.samples, piped.samples);
        }
    }
}

fn files_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}

#[test]
fn a_file_is_replaced_by_a_whole_profile_only() {
    let _turn = turn();
    let Some(mut truth) = start() else { return };
    truth.ask("keepstacks 500");
    truth.ask("gc");
    let pid = truth.pid().to_string();
    let full = refused(&heaptop(&["snapshot", &pid, "-o", "/dev/full"]));
    assert!(full.what.contains("/dev/full"), "{full:?}");
    assert!(full.next.contains("-o FILE"), "{full:?}");
    let nowhere = refused(&heaptop(&[
        "snapshot",
        &pid,
        "-o",
        "/no-such-folder/heap.pb.gz",
    ]));
    assert!(
        nowhere.what.contains("/no-such-folder/heap.pb.gz"),
        "{nowhere:?}"
    );

    // A disk of one page, which the old file has taken.
    let folder = tempfile::tempdir().expect("a folder");
    let script =
        "mount -t tmpfs -o size=4k none \"$1\" && cd \"$1\" && echo old > heap.pb.gz || exit 9
        \"$2\" snapshot \"$3\" -o heap.pb.gz; echo status $?; cat heap.pb.gz; ls -A";
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(folder.path())
        .args([PROGRAM, &pid])
        .output();
    match output {
        Ok(output) if output.status.success() => {
            let stdout = String::from_utf8_lossy(&output.stdout);
            assert_eq!(stdout, "status 1\nold\nheap.pb.gz\n", "{output:?}");
            let stderr = String::from_utf8_lossy(&output.stderr);
            let refused = crate::support::heaptop::refusal(&stderr);
            assert!(refused.next.contains("make room"), "{refused:?}");
        }
        other => cannot_run(&format!("no tiny disk: {other:?}")),
    }

    let file = folder.path().join("heap.pb.gz");
    fs::write(&file, "old").expect("own folder");
    let output = heaptop(&["snapshot", &pid, "-o", file.to_str().expect("text")]);
    assert!(output.status.success(), "{output:?}");
    assert!(
        Profile::read(&fs::read(&file).expect("a file"))
            .samples
            .len()
            > 100
    );
    assert_eq!(files_in(folder.path()), ["heap.pb.gz"]);
}

#[test]
fn a_user_without_privileges_is_told_what_to_do() {
    let _turn = turn();
    let Some(truth) = start() else { return };
    // A copy where anyone may run it.
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("heaptop");
    copy_program(Path::new(PROGRAM), &program);
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(folder.path(), open).expect("own folder");
    let pid = truth.pid().to_string();
    let as_nobody = |arguments: &[&str]| {
        Command::new("setpriv")
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(&program)
            .args(arguments)
            .current_dir("/")
            .output()
    };
    if !as_nobody(&["--version"]).is_ok_and(|output| output.status.success()) {
        cannot_run("cannot become another user");
        return;
    }
    for arguments in [&[&*pid][..], &["snapshot", &pid], &["--no-probes", &pid]] {
        let output = as_nobody(arguments).expect("it ran before");
        let refused = refused(&output);
        assert!(
            refused.next.contains("sudo heaptop"),
            "{arguments:?}: {refused:?}"
        );
    }
}

#[test]
fn an_own_target_of_a_user_without_privileges_can_be_read_but_not_probed() {
    let _turn = turn();
    let folder = tempfile::tempdir().expect("a folder");
    let Some(fixture) = crate::support::go::fixture("truth", A_RELEASE, STRIPPED) else {
        return;
    };
    let (program, path) = (folder.path().join("heaptop"), folder.path().join("truth"));
    copy_program(Path::new(PROGRAM), &program);
    copy_program(&fixture, &path);
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(folder.path(), open).expect("own folder");
    let nobody = |program: &Path| {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(program)
            .current_dir("/");
        command
    };
    if !nobody(&program)
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
    {
        cannot_run("cannot become another user");
        return;
    }
    let mut truth = Truth::spawn(&mut nobody(&path));
    truth.ask("keepstacks 20");
    truth.ask("gc");
    let pid = truth.pid().to_string();
    let output = nobody(&program)
        .args(["--json", "--no-probes", "--count", "1", &pid])
        .output()
        .expect("it ran before");
    assert!(output.status.success(), "{output:?}");
    let output = nobody(&program)
        .args(["--json", "--count", "1", &pid])
        .output()
        .expect("it ran before");
    // Without a word about it, that would be half a truth.
    assert!(output.status.success(), "{output:?}");
    let line: Json = only_sites(&output.stdout);
    assert_eq!(line.get("source"), &Json::Text("buckets".into()));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("as with --no-probes"), "{said}");
}

#[test]
fn nothing_comes_to_standard_error_while_all_is_well() {
    let _turn = turn();
    let Some(truth) = start() else { return };
    let heaptop = Heaptop::json(truth.pid(), &["--no-probes", "--count", "2"]);
    let ended = heaptop.ended();
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!((ended.lines.len(), ended.stderr.as_str()), (2, ""));
}

/// Standard output on a full file system.
fn into_full(arguments: &[&str]) -> Output {
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .expect("a device");
    Command::new(PROGRAM)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(full)
        .output()
        .expect("heaptop runs")
}

#[test]
fn every_command_says_why_its_output_was_not_written_and_what_next() {
    let _turn = turn();
    if !can_probe() {
        return;
    }
    let Some(truth) = start() else { return };
    let pid = truth.pid().to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("trace.gz");
    let trace = trace.to_str().expect("text");
    assert!(
        heaptop(&["--json", "--count", "1", "--trace", trace, &pid])
            .status
            .success()
    );
    for arguments in [
        &["snapshot", &pid, "-o", "-"][..],
        &["--count", "1", &pid],
        &["--json", "--count", "1", &pid],
        &["diagnose", "--for", "1s", &pid],
        &["diagnose", "--json", "--for", "1s", &pid],
        &["doctor", &pid],
        &["doctor", "--json"],
        &["ps"],
        &["ps", "--json"],
        &["replay", "--diagnose", trace],
    ] {
        let refused = refused(&into_full(arguments));
        assert_eq!(
            refused.what, "cannot write to standard output",
            "{arguments:?}"
        );
        assert!(
            refused.why.contains("No space left"),
            "{arguments:?}: {refused:?}"
        );
        assert!(
            refused.next.contains("make room"),
            "{arguments:?}: {refused:?}"
        );
    }
    let no_folder = "/no/such/folder/file";
    for option in ["--trace", "--debug-log"] {
        let refused = refused(&heaptop(&[
            "--json", "--count", "1", option, no_folder, &pid,
        ]));
        assert!(refused.what.contains(no_folder), "{refused:?}");
        assert!(refused.next.contains("a folder"), "{refused:?}");
    }
}
