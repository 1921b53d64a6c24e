//! heaptop itself, as cargo builds it.

use std::{env, path::PathBuf, process::Command};

use anyhow::Result;

use crate::{progress, user};

/// The cargo that runs this task.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(crate::root());
    cargo
}

/// Builds heaptop as it is released; returns the program.
pub(crate) fn heaptop(task: &str) -> Result<PathBuf> {
    let mut cargo = cargo();
    cargo
        .args(["build", "--quiet", "--release", "--package=heaptop"])
        .args(["--bin=heaptop", "--target-dir"])
        .arg(crate::target_dir());
    user::as_user(&mut cargo);
    progress::run(
        task,
        "building heaptop (the first time takes minutes)",
        &mut cargo,
    )?;
    Ok(crate::target_dir().join("release/heaptop"))
}
