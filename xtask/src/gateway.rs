//! The demo gateway under load: `tests/programs/gateway`.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Result, bail};

use crate::{go::Go, processes::Running, user};

/// A gateway and the load on it. The load ends first.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) load: Running,
    pub(crate) target: Running,
}

/// Builds the gateway for a task.
pub(crate) fn build(task: &'static str) -> Result<PathBuf> {
    let program = crate::target_dir().join("demo/gateway");
    Go::get()?.build(task, "gateway", None, &[], &program)?;
    Ok(program)
}

impl Gateway {
    /// Starts a gateway with `leaks`, separated by commas, and a mean load of `rate` requests a second.
    pub(crate) fn start(program: &Path, leaks: &str, rate: &str) -> Result<Self> {
        let command = |args: &[&str]| {
            let mut command = Command::new(program);
            command.args(args).stdin(Stdio::null());
            user::as_user(&mut command);
            command
        };
        let mut target = Running::start("the gateway", &mut command(&["--leak", leaks]))?;
        let words = target.ready()?;
        let [_, address] = words.as_slice() else {
            bail!("the gateway says {words:?} and not its pid and address");
        };
        let arguments = ["load", "--target", address, "--rate", rate, "--for", "0"];
        let mut load = Running::start("the load", &mut command(&arguments))?;
        load.ready()?;
        Ok(Self { load, target })
    }
}
