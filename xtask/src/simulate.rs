//! `cargo xtask simulate`: builds and runs the package `simulate`.
//!
//! The simulation is a package of its own because it links heaptop: no other task waits for heaptop to compile first.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::{build, user};

/// Arguments of `cargo xtask simulate`.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// Options of the simulation; --help lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Runs the task. The exit status is that of the simulation: 1 if a bound is broken.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let mut cargo = build::cargo();
    cargo
        .args(["run", "--quiet", "--release", "--package=simulate"])
        .arg("--target-dir")
        .arg(crate::target_dir())
        .arg("--")
        .args(&args.arguments);
    user::as_user(&mut cargo);
    let status = cargo.status().context("cannot run cargo")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
