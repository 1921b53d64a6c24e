//! `cargo xtask trace` and `cargo xtask replay`: the event stream of a watch, in a file and back.
//!
//! Both build heaptop and run its hidden options: a trace holds whatever the model of that heaptop was given, so that its
//! verdicts can be worked on without waiting for a process.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::{build, progress::say, user::Privilege};

/// Arguments of `cargo xtask trace`.
#[derive(clap::Args)]
pub(crate) struct TraceArgs {
    /// The process to watch
    pid: u32,
    /// File to write; it must not exist
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// How long to watch [default: until the process ends, or Ctrl-C]
    #[arg(long = "for", value_name = "TIME")]
    duration: Option<String>,
    /// More arguments for heaptop, such as --source spans
    #[arg(last = true)]
    more: Vec<String>,
}

/// Arguments of `cargo xtask replay`.
#[derive(clap::Args)]
pub(crate) struct ReplayArgs {
    /// FILE and options of `heaptop replay`; --help lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    arguments: Vec<String>,
}

/// Watches a process and writes its trace.
pub(crate) fn trace(args: &TraceArgs) -> Result<ExitCode> {
    let privilege = Privilege::get("trace", "place probes in the process")?;
    let heaptop = build::heaptop("trace")?;
    let mut command = privilege.command(&heaptop);
    command
        .arg("--trace")
        .arg(&args.output)
        .args(["--interval", "10s", "--top", "8"]);
    if let Some(duration) = &args.duration {
        command.args(["--for", duration]);
    }
    command.args(&args.more).arg(args.pid.to_string());
    let status = command
        .stdin(Stdio::null())
        .status()
        .context("cannot run heaptop")?;
    if status.success() {
        say("trace", &format!("{} is written", args.output.display()));
    }
    Ok(code(status))
}

/// Replays a trace.
pub(crate) fn replay(args: &ReplayArgs) -> Result<ExitCode> {
    let heaptop = build::heaptop("replay")?;
    let status = Command::new(heaptop)
        .arg("replay")
        .args(&args.arguments)
        .status()
        .context("cannot run heaptop")?;
    Ok(code(status))
}

/// Counts the words of many attaches to some recordings together: a table of markdown and a line, as heaptop prints them.
///
/// * `every`: time from one attach to the next.
/// * `mib_per_min`: true growth of the live heap, where it is constant.
/// * `right`: ends of the functions that are right to name, and of their callers, by commas; empty where nothing leaks.
pub(crate) fn counts(
    heaptop: &Path,
    files: &[PathBuf],
    every: &str,
    mib_per_min: Option<&str>,
    right: [&str; 2],
) -> Result<String> {
    let mut command = Command::new(heaptop);
    command.arg("replay").args(files);
    command.args(["--attach-every", every]);
    if let Some(rate) = mib_per_min {
        command.args(["--true-rate", rate]);
    }
    let [sites, via] = right;
    if !sites.is_empty() {
        command.args(["--true-site", sites, "--true-via", via]);
    }
    let output = command.output().context("cannot run heaptop replay")?;
    ensure!(
        output.status.success(),
        "heaptop replay {files:?}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let table = String::from_utf8(output.stdout).context("heaptop replay wrote no UTF-8")?;
    // A table of markdown ends at an empty line.
    Ok(table.replacen("\nfirst growth", "\n\nfirst growth", 1))
}

/// heaptop's own exit status.
fn code(status: std::process::ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}
