//! `cargo xtask test`: all tests, those with real probes on real Go processes included.
//!
//! Everything is built as the user who runs it. The suite of `tests/` runs as root, through sudo where needed; the other
//! tests run as the user. Small ones come first. A test that cannot run says why; with `CI` set, or
//! `HEAPTOP_TEST_STRICT=1`, that is a failure instead, since that machine is known to be able.
//!
//! The suite watches real schedulers, collectors and kernels on a machine that does other things too. One of its tests
//! that fails runs again, alone, and when it passes then it is said to be unsteady, at the very end: it has to be
//! mended, but does not hide what the others found. More than [`MOST_UNSTEADY`] are a failure.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::{
    big, build,
    go::{Go, create_folder},
    progress::{self, say},
    user::{self, Privilege},
};

/// Makes a skipped test fail; read by the suite.
pub(crate) const STRICT: &str = "HEAPTOP_TEST_STRICT";

/// The test that needs root.
const SUITE: &str = "suite";

/// Most tests of the suite, or cells of the matrix, that may fail and pass when they run again: more at once have one cause,
/// which is no accident.
pub(crate) const MOST_UNSTEADY: usize = 2;

/// Variables that a test which runs through sudo keeps, by their beginning; sudo's own PATH would miss `go`.
const KEPT: [&str; 8] = [
    "CARGO", "CI", "GO", "HEAPTOP_", "INSTA_", "PATH", "RUST", "TERM",
];

/// Arguments of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Handed to every test program: a part of the names to run, `--nocapture`, ...
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// One test program that cargo built.
struct Program {
    name: String,
    kind: String,
    package: PathBuf,
    executable: PathBuf,
}

impl Program {
    /// What it is, in words.
    fn what(&self) -> String {
        match self.kind.as_str() {
            "test" => format!("the test {}", self.name),
            kind => format!("unit tests of the {kind} {}", self.name),
        }
    }
}

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<()> {
    let begin = Instant::now();
    let strict = is_set("CI") || is_set(STRICT);
    let mut skipped = Vec::new();

    let privilege = match Privilege::get("test", "run the tests with real probes") {
        Ok(privilege) => Some(privilege),
        Err(err) if strict => return Err(err),
        Err(err) => {
            skipped.push(format!("{err:#}"));
            None
        }
    };
    let go = match Go::get() {
        Ok(go) => {
            skipped.extend(go.fetch_releases("test")?);
            Some(go)
        }
        Err(err) => {
            skipped.push(format!("{err:#}"));
            None
        }
    };
    ensure!(
        !strict || skipped.is_empty(),
        "tests would be skipped, which is a failure with CI or {STRICT} set:\n{}",
        skipped.join("\n")
    );
    for why in &skipped {
        say("test", &format!("some tests cannot run: {why}"));
    }

    let mut variables = Vec::new();
    if strict {
        variables.push((STRICT.to_owned(), "1".to_owned()));
    }
    if let Some(go) = &go {
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths(
            [go.folder().to_owned()]
                .into_iter()
                .chain(env::split_paths(&path)),
        )
        .context("PATH has an entry with a colon")?;
        variables.push(("PATH".to_owned(), path.to_string_lossy().into_owned()));
        variables.push((
            "HEAPTOP_TEST_BIG".to_owned(),
            big::program("test", go)?.display().to_string(),
        ));
    }

    let programs = build_tests()?;
    let (as_root, as_user): (Vec<_>, Vec<_>) = programs
        .iter()
        .partition(|program| program.kind == "test" && program.name == SUITE);
    for program in as_user {
        run_tests(program, args, &variables)?;
    }
    run_examples_and_wire(args)?;

    let mut outcome = Ok(Vec::new());
    for program in &as_root {
        outcome = run_suite(program, args, privilege.as_ref(), &variables);
    }
    if let Some(privilege) = &privilege {
        user::give_back(privilege)?;
    }
    let unsteady = outcome?;
    ensure!(
        !as_root.is_empty(),
        "cargo built no test program named {SUITE}"
    );

    let minutes = begin.elapsed().as_secs_f64() / 60.0;
    let rest = match skipped.len() {
        0 => String::new(),
        n => format!("; not everything could run, for {n} reasons given above"),
    };
    say(
        "test",
        &format!("all tests passed in {minutes:.1} min{rest}"),
    );
    for name in &unsteady {
        say(
            "test",
            &format!("unsteady, passed when it ran again: {name}"),
        );
    }
    Ok(())
}

/// Runs the tests that cargo has to run itself: the examples in the documentation, and those of tracer-ebpf.
fn run_examples_and_wire(args: &Args) -> Result<()> {
    let mut cargo = build::cargo();
    cargo
        .args(["test", "--quiet", "--workspace", "--doc", "--target-dir"])
        .arg(crate::target_dir());
    cargo.arg("--").args(&args.arguments);
    user::as_user(&mut cargo);
    progress::run("test", "examples in the documentation", &mut cargo)?;
    let mut cargo = build::cargo();
    cargo
        .args(["test", "--quiet", "--locked", "--target-dir"])
        .arg(crate::target_dir().join("ebpf-test"))
        .current_dir(crate::root().join("tracer-ebpf"));
    cargo.arg("--").args(&args.arguments);
    user::as_user(&mut cargo);
    progress::run(
        "test",
        "what both sides of the ring buffer compile",
        &mut cargo,
    )
}

/// Runs one test program as the user.
fn run_tests(program: &Program, args: &Args, variables: &[(String, String)]) -> Result<()> {
    let mut command = test_command(program, &args.arguments, None, variables)?;
    progress::run("test", &program.what(), &mut command)
}

/// Runs the suite, and what failed of it again, one by one; the names of those that passed then.
fn run_suite(
    program: &Program,
    args: &Args,
    privilege: Option<&Privilege>,
    variables: &[(String, String)],
) -> Result<Vec<String>> {
    let mut failed = Vec::new();
    let mut n_failed = None;
    let mut command = test_command(program, &args.arguments, privilege, variables)?;
    let status = progress::status_and_lines("test", &program.what(), &mut command, |line| {
        failed.extend(failed_test(line).map(str::to_owned));
        n_failed = n_failed.or(failures(line));
    })?;
    if status.success() {
        return Ok(Vec::new());
    }
    // One that ended half-way has no result, and what failed without a name cannot run again.
    ensure!(
        n_failed == Some(failed.len()) && (1..=MOST_UNSTEADY).contains(&failed.len()),
        "{} ended with {status}, {} tests failed",
        program.what(),
        n_failed.map_or_else(
            || format!("before its end {}", failed.len()),
            |n| n.to_string()
        )
    );
    for name in &failed {
        let mut alone = vec![name.clone(), "--exact".to_owned()];
        // An ignored test would not run again, and that would pass.
        let kept = ["--ignored", "--include-ignored"];
        alone.extend(
            (args.arguments.iter())
                .filter(|argument| kept.contains(&argument.as_str()))
                .cloned(),
        );
        let mut command = test_command(program, &alone, privilege, variables)?;
        let mut ran = false;
        let what = format!("{name} failed: once more");
        let status = progress::status_and_lines("test", &what, &mut command, |line| {
            ran |= line.starts_with("test result: ok. 1 passed;");
        })?;
        ensure!(status.success() && ran, "{name} failed twice: {status}");
    }
    Ok(failed)
}

/// How many tests failed, by libtest's last line.
fn failures(line: &str) -> Option<usize> {
    let counts = line.strip_prefix("test result: FAILED. ")?;
    let failed = counts
        .split("; ")
        .find_map(|count| count.strip_suffix(" failed"))?;
    failed.parse().ok()
}

/// The test that libtest says has failed in this line.
fn failed_test(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED")
}

/// One test program with its arguments; as root where a privilege is given, else as the user.
fn test_command(
    program: &Program,
    arguments: &[String],
    privilege: Option<&Privilege>,
    variables: &[(String, String)],
) -> Result<Command> {
    let mut command = match privilege {
        None => {
            let mut command = Command::new(&program.executable);
            user::as_user(&mut command);
            command.envs(variables.iter().map(|(name, value)| (name, value)));
            command
        }
        Some(privilege) => {
            let mut all: Vec<_> = env::vars()
                .filter(|(name, _)| KEPT.iter().any(|begin| name.starts_with(begin)))
                .collect();
            if !matches!((privilege, user::behind_sudo()), (Privilege::Root, None)) {
                // What root builds must not lie about in the user's own caches.
                for (name, folder) in [("GOCACHE", "cache"), ("GOPATH", "path")] {
                    let folder = crate::target_dir().join("go-as-root").join(folder);
                    create_folder(&folder)?;
                    all.push((name.to_owned(), folder.display().to_string()));
                }
                all.push((
                    "GOFLAGS".to_owned(),
                    "-buildvcs=false -modcacherw".to_owned(),
                ));
            }
            all.extend(variables.iter().cloned());
            privilege.command_with_env(&program.executable, &all)
        }
    };
    command
        .args(arguments)
        .current_dir(&program.package)
        .stdin(Stdio::null());
    Ok(command)
}

/// Builds every test program of the workspace as the user.
fn build_tests() -> Result<Vec<Program>> {
    #[derive(Deserialize)]
    struct Message {
        reason: String,
        manifest_path: Option<PathBuf>,
        target: Option<Target>,
        executable: Option<PathBuf>,
        profile: Option<Profile>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
        kind: Vec<String>,
    }
    #[derive(Deserialize)]
    struct Profile {
        test: bool,
    }

    say("test", "building the tests");
    let begin = Instant::now();
    let mut cargo = build::cargo();
    cargo
        .args(["test", "--no-run", "--workspace"])
        .args(["--message-format=json-render-diagnostics", "--target-dir"])
        .arg(crate::target_dir())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    user::as_user(&mut cargo);
    let mut cargo = cargo.spawn().context("cannot run cargo")?;
    let stdout = cargo.stdout.take().context("a piped standard output")?;
    let mut programs = Vec::new();
    for line in BufReader::new(stdout).lines() {
        let message: Message =
            serde_json::from_str(&line?).context("cargo writes one JSON object a line")?;
        if message.reason != "compiler-artifact" || !message.profile.is_some_and(|p| p.test) {
            continue;
        }
        if let (Some(executable), Some(target), Some(manifest)) =
            (message.executable, message.target, message.manifest_path)
        {
            programs.push(Program {
                name: target.name,
                kind: target.kind.join(", "),
                package: manifest
                    .parent()
                    .context("a manifest lies in a folder")?
                    .to_owned(),
                executable,
            });
        }
    }
    let status = cargo.wait()?;
    if !status.success() {
        bail!("cargo could not build the tests: {status}");
    }
    say(
        "test",
        &format!(
            "building the tests: done in {:.1} s",
            begin.elapsed().as_secs_f64()
        ),
    );
    // The suite's scratch folder, which cargo would make.
    fs::create_dir_all(crate::target_dir().join("tmp")).context("cannot create target/tmp")?;
    Ok(programs)
}

/// Whether a switch in the environment is on.
pub(crate) fn is_set(name: &str) -> bool {
    env::var(name).is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"))
}

#[cfg(test)]
mod tests {
    use super::{failed_test, failures};

    #[test]
    fn the_name_of_a_failed_test_is_found() {
        assert_eq!(
            failed_test("test pty::a_key ... FAILED"),
            Some("pty::a_key")
        );
        for line in [
            "test pty::a_key ... ok",
            "test result: FAILED. 1 passed; 1 failed",
            "test pty::a_key has been running for over 60 seconds",
            "",
        ] {
            assert_eq!(failed_test(line), None, "{line}");
        }
        let end =
            "test result: FAILED. 255 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out";
        assert_eq!(failures(end), Some(2));
        assert_eq!(failures("test result: ok. 1 passed; 0 failed"), None);
    }
}
