//! heaptop: live heap growth per call site of a running Go process.
//!
//! Data flows one way: probe → decode → model → view → render or export. The modules in reading order:
//!
//! Pure, without I/O: [`event`] is all that the model can learn; [`go`] reads Go binaries and runtimes; [`plan`] says
//! where probes go; [`decode`] turns records into events; [`model`] owns what is known; [`verdict`] says what grows;
//! [`view`] makes rows and words of it; [`export`] writes profiles and lines.
//!
//! Edges, which do the I/O: [`process`] is the target, [`probe`] the kernel side, [`symbolize`] the names, [`ui`] the
//! terminal; [`session`] runs them for one target, [`doctor`] tries what they need, [`cmd`] holds one file per command.

#![deny(unsafe_code)]

pub mod cli;
pub mod clock;
pub mod cmd;
pub mod decode;
pub mod doctor;
pub mod event;
pub mod exit;
pub mod export;
pub mod go;
pub mod listed;
pub mod model;
pub mod plan;
pub mod probe;
pub mod process;
mod readiness;
pub mod refusal;
pub mod session;
pub mod source;
pub mod symbolize;
pub mod trace;
pub mod ui;
pub mod verdict;
pub mod view;

/// Runs what the command line asks for.
///
/// # Errors
/// What could not be done, as a [`refusal::Refusal`] where there is a next step.
pub fn run(cli: cli::Cli) -> anyhow::Result<exit::Exit> {
    process::rights::raise_files()?;
    // Whatever is asked for: what a killed heaptop has left armed does not wait.
    process::arm::restore_leftovers();
    probe::leftovers::heal();
    match cli.command {
        Some(cli::Command::Snapshot(args)) => cmd::snapshot::run(&args),
        Some(cli::Command::Ps(args)) => cmd::ps::run(&args),
        Some(cli::Command::Doctor(args)) => cmd::doctor::run(&args),
        Some(cli::Command::Diagnose(args)) => cmd::diagnose::run(&args),
        Some(cli::Command::Replay(args)) => cmd::replay::run(&args),
        Some(cli::Command::Watch(args)) => cmd::watch::run(&args),
        None => cmd::watch::run(&cli.watch),
    }
}
