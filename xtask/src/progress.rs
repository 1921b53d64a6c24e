//! Says what is going on: one line when something begins that takes over a second, one when it ends.

use std::{
    process::{Command, ExitStatus},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// A step that prints nothing itself is said to go on this often.
const STILL: Duration = Duration::from_secs(20);

/// One line on standard error: `task: what`.
pub(crate) fn say(task: &str, what: &str) {
    eprintln!("{task}: {what}");
}

/// Runs a command to its end with its output shown; fails when it does.
pub(crate) fn run(task: &str, what: &str, command: &mut Command) -> Result<()> {
    let status = status(task, what, command)?;
    if !status.success() {
        bail!("{what}: {} ended with {status}", name(command));
    }
    Ok(())
}

/// Runs a command to its end with its output shown.
pub(crate) fn status(task: &str, what: &str, command: &mut Command) -> Result<ExitStatus> {
    say(task, what);
    let begin = Instant::now();
    let (ended, end) = mpsc::channel::<()>();
    let status = thread::scope(|scope| {
        scope.spawn(move || {
            while end.recv_timeout(STILL) == Err(mpsc::RecvTimeoutError::Timeout) {
                say(
                    task,
                    &format!("{what}: {:.0} s so far", begin.elapsed().as_secs_f64()),
                );
            }
        });
        let status = command
            .status()
            .with_context(|| format!("{what}: cannot run {}", name(command)));
        drop(ended);
        status
    })?;
    let seconds = begin.elapsed().as_secs_f64();
    if status.success() && seconds >= 1.0 {
        say(task, &format!("{what}: done in {seconds:.1} s"));
    }
    Ok(status)
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}
