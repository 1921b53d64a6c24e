//! `cargo xtask trace` and `cargo xtask replay`: the event stream of a watch, in a file and back.
//!
//! Both build heaptop and run its hidden options: a trace holds whatever the model of that heaptop was given, so that its
//! verdicts can be worked on without waiting for a process.

use std::{
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, Result};

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

/// heaptop's own exit status.
fn code(status: std::process::ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}
