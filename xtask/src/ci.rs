//! `cargo xtask ci`: what decides whether a change is good, step by step, stopping at the first that fails.
//!
//! Cheap steps come first. The README's two commands are among the steps, as a user types them.

use std::{
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, ensure};

use crate::{build, licences, progress, user};

/// Arguments of `cargo xtask ci` and `cargo xtask nightly`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only the steps whose name contains one of these, separated by commas
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

/// A check by its name.
pub(crate) type Step = (&'static str, fn() -> Result<()>);

const STEPS: &[Step] = &[
    ("format", || cargo(&["fmt", "--all", "--check"])),
    ("format of tracer-ebpf", || {
        finish(
            build::cargo()
                .args(["fmt", "--check"])
                .current_dir(crate::root().join("tracer-ebpf")),
        )
    }),
    ("lints", || {
        cargo(&[
            "clippy",
            "--quiet",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ])
    }),
    ("lints of tracer-ebpf", || xtask(&["ebpf", "--lint"])),
    ("licences", licences),
    ("the eBPF object", || xtask(&["ebpf", "--check"])),
    ("documentation", || {
        finish(
            build::cargo()
                .args([
                    "doc",
                    "--quiet",
                    "--no-deps",
                    "--workspace",
                    "--document-private-items",
                ])
                .env("RUSTDOCFLAGS", "-D warnings"),
        )
    }),
    ("offsets of Go's structs", || xtask(&["offsets", "--check"])),
    ("tests", || xtask(&["test"])),
    ("demo", || {
        // No terminal, as in a pipe: the text table until growth is shown.
        let output = xtask_command(&["demo"])?
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run xtask")?
            .wait_with_output()?;
        print_end(&output.stdout);
        ensure!(
            output.status.success(),
            "the demo ended with {}",
            output.status
        );
        Ok(())
    }),
    ("bench", || xtask(&["bench", "--quick"])),
    // The whole of it takes most of an hour: a part each day.
    ("releases, builds and sources", || {
        xtask(&["matrix", "--part", "today/17"])
    }),
    ("torture", || {
        let seed = crate::today().to_string();
        xtask(&["torture", "--for", "60s", "--seed", &seed])
    }),
    ("verdicts on programs of known truth", || {
        xtask(&["corpus", "--quick"])
    }),
    ("servers in the wild", || xtask(&["wild"])),
    ("kernels", || {
        // The oldest and a newer one each day.
        let kernels = KERNELS[usize::try_from(crate::today())? % KERNELS.len()];
        progress::say("ci", &format!("kernels of today: {kernels}"));
        xtask(&["vm", "--kernel", kernels])
    }),
];

/// Kernels of one day.
const KERNELS: [&str; 3] = ["5.10,7.2", "5.10,6.1", "5.10,6.12"];

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<()> {
    run_steps("ci", STEPS, args)
}

/// Runs the steps of a task that `args` name, one after the other, up to the first that fails.
pub(crate) fn run_steps(task: &str, all: &[Step], args: &Args) -> Result<()> {
    let begin = Instant::now();
    let wanted =
        |name: &str| args.only.is_empty() || args.only.iter().any(|only| name.contains(only));
    let steps: Vec<_> = all.iter().filter(|(name, _)| wanted(name)).collect();
    let mut times = Vec::new();
    for (number, (name, step)) in steps.iter().enumerate() {
        progress::say(task, &format!("{} of {}: {name}", number + 1, steps.len()));
        let step_begin = Instant::now();
        step().with_context(|| format!("{task}: {name} failed"))?;
        let seconds = step_begin.elapsed().as_secs_f64();
        progress::say(task, &format!("{name}: passed in {seconds:.0} s"));
        times.push(format!("  {seconds:>5.0} s  {name}"));
    }
    progress::say(
        task,
        &format!(
            "all {} steps passed in {:.1} min\n{}",
            steps.len(),
            begin.elapsed().as_secs_f64() / 60.0,
            times.join("\n")
        ),
    );
    Ok(())
}

/// A cargo command of the workspace, as the user.
fn cargo(args: &[&str]) -> Result<()> {
    finish(build::cargo().args(args))
}

/// Another task, in a process of its own, as the README has it typed.
pub(crate) fn xtask(args: &[&str]) -> Result<()> {
    finish(&mut xtask_command(args)?)
}

pub(crate) fn xtask_command(args: &[&str]) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("this program has a path")?);
    command
        .args(args)
        .current_dir(crate::root())
        .stdin(Stdio::null());
    Ok(command)
}

pub(crate) fn finish(command: &mut Command) -> Result<()> {
    let is_cargo = command.get_program() == build::cargo().get_program();
    if is_cargo {
        user::as_user(command);
    }
    let status = command.status().context("cannot run it")?;
    ensure!(status.success(), "it ended with {status}");
    Ok(())
}

/// The last table of the demo.
fn print_end(stdout: &[u8]) {
    const LINES: usize = 15;
    let text = String::from_utf8_lossy(stdout);
    let lines: Vec<&str> = text.lines().collect();
    for line in &lines[lines.len().saturating_sub(LINES)..] {
        eprintln!("    {line}");
    }
}

fn licences() -> Result<()> {
    let n_packages = licences::check()?;
    progress::say(
        "ci",
        &format!("licences of {n_packages} packages are allowed"),
    );
    if user::in_path("cargo-deny").is_none() {
        let absent = "advisories were not looked up: cargo-deny is not installed";
        progress::say("ci", absent);
        return Ok(());
    }
    // Offline, from the database that the last `cargo deny fetch` left.
    cargo(&["deny", "--offline", "check"])
}
