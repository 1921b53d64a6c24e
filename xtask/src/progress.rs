//! Says what is going on: one line when something begins that takes over a second, one when it ends.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    process::{Command, ExitStatus, Stdio},
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

/// Runs a command to its end; returns what it writes on its standard output, and fails when it does.
pub(crate) fn output(task: &str, what: &str, command: &mut Command) -> Result<String> {
    let output = watched(task, what, || {
        command
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("{what}: cannot run {}", name(command)))
    })?;
    if !output.status.success() {
        bail!("{what}: {} ended with {}", name(command), output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("{what}: it printed no text"))
}

/// Runs a command to its end with its output shown.
pub(crate) fn status(task: &str, what: &str, command: &mut Command) -> Result<ExitStatus> {
    watched(task, what, || {
        command
            .status()
            .with_context(|| format!("{what}: cannot run {}", name(command)))
    })
}

/// Runs a command to its end; its standard output is shown as it comes, and each line given to `look`.
pub(crate) fn status_and_lines(
    task: &str,
    what: &str,
    command: &mut Command,
    mut look: impl FnMut(&str),
) -> Result<ExitStatus> {
    watched(task, what, || {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{what}: cannot run {}", name(command)))?;
        let stdout = child.stdout.take().context("a piped standard output")?;
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.with_context(|| format!("{what}: cannot read what it prints"))?;
            let line = String::from_utf8_lossy(&line);
            writeln!(io::stdout(), "{line}").context("cannot print")?;
            look(&line);
        }
        child
            .wait()
            .with_context(|| format!("{what}: cannot wait for {}", name(command)))
    })
}

/// Says that a step begins, that it still goes on, and how long it took.
fn watched<T>(task: &str, what: &str, step: impl FnOnce() -> Result<T>) -> Result<T> {
    say(task, what);
    let begin = Instant::now();
    let (ended, end) = mpsc::channel::<()>();
    let done = thread::scope(|scope| {
        scope.spawn(move || {
            while end.recv_timeout(STILL) == Err(mpsc::RecvTimeoutError::Timeout) {
                say(
                    task,
                    &format!("{what}: {:.0} s so far", begin.elapsed().as_secs_f64()),
                );
            }
        });
        let done = step();
        drop(ended);
        done
    })?;
    let seconds = begin.elapsed().as_secs_f64();
    if seconds >= 1.0 {
        say(task, &format!("{what}: {seconds:.1} s"));
    }
    Ok(done)
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}
