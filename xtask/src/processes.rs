//! Processes that a task starts, and their end.
//!
//! Each is ended by its own pid when its owner lets go of it, also on an error; nothing is ever looked up by name.
//! Programs under test run in process groups of their own, so that Ctrl-C in a terminal reaches only the task and heaptop,
//! and the task ends them in order. Should the task be killed, they notice that their parent is gone.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::user::Privilege;

/// How long a program may take from its start to its first line.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long a program may take to end after it was asked to. The kernel takes probes out one after the other, 0.1 s each
/// on a quiet machine: `exact` has some twenty on go1.27. Killed meanwhile, heaptop would leave some in the target.
const GRACE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// A child whose standard output is read line by line.
#[derive(Debug)]
pub(crate) struct Running {
    name: &'static str,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Option<Receiver<String>>,
    ended: Option<ExitStatus>,
    sudo: Option<std::path::PathBuf>,
}

impl Running {
    /// Starts a program under test, in a process group of its own.
    pub(crate) fn start(name: &'static str, command: &mut Command) -> Result<Self> {
        command.process_group(0);
        Self::spawn(name, command, None)
    }

    /// Starts heaptop, or another tracer, as root and in our own process group.
    pub(crate) fn start_as_root(
        name: &'static str,
        privilege: &Privilege,
        command: &mut Command,
    ) -> Result<Self> {
        let sudo = match privilege {
            Privilege::Root => None,
            Privilege::Sudo(sudo) => Some(sudo.clone()),
        };
        Self::spawn(name, command.stdin(Stdio::null()), sudo)
    }

    fn spawn(
        name: &'static str,
        command: &mut Command,
        sudo: Option<std::path::PathBuf>,
    ) -> Result<Self> {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let stdout = child.stdout.take().context("a piped standard output")?;
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { return };
                if sender.send(line).is_err() {
                    return; // Nobody reads any more: the pipe closes, which ends heaptop.
                }
            }
        });
        Ok(Self {
            name,
            stdin: child.stdin.take(),
            child,
            lines: Some(lines),
            ended: None,
            sudo,
        })
    }

    /// The pid of the child itself; under sudo that is sudo.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The pid of the program itself, also where the child is sudo.
    pub(crate) fn leaf_pid(&self) -> u32 {
        let last = descendants(self.child.id(), &parents()).pop();
        last.unwrap_or(self.child.id())
    }

    /// The next line, if one comes within `limit`; `None` when it does not.
    ///
    /// # Errors
    /// The program closed its output, as it does at its end.
    pub(crate) fn line(&mut self, limit: Duration) -> Result<Option<String>> {
        let lines = self.lines.as_ref().context("its output is not read")?;
        match lines.recv_timeout(limit) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.wait(GRACE)?;
                match status {
                    Some(status) => bail!("{} ended with {status}", self.name),
                    None => bail!("{} closed its output", self.name),
                }
            }
        }
    }

    /// The next line, which must come within `limit`.
    pub(crate) fn expect_line(&mut self, limit: Duration) -> Result<String> {
        self.line(limit)?.with_context(|| {
            format!(
                "{} printed nothing within {:.0} s",
                self.name,
                limit.as_secs_f64()
            )
        })
    }

    /// Waits for the line `ready …` and returns its other words.
    pub(crate) fn ready(&mut self) -> Result<Vec<String>> {
        let line = self.expect_line(READY_WITHIN)?;
        let mut words = line.split_whitespace().map(str::to_owned);
        ensure!(
            words.next().as_deref() == Some("ready"),
            "{} said {line:?} and not that it is ready",
            self.name
        );
        Ok(words.collect())
    }

    /// Sends one command to a program that reads them from its standard input; returns its answer.
    pub(crate) fn ask(&mut self, command: &str, limit: Duration) -> Result<String> {
        let stdin = self.stdin.as_mut().context("its input is not written")?;
        writeln!(stdin, "{command}").with_context(|| format!("cannot write to {}", self.name))?;
        let answer = self.expect_line(limit)?;
        ensure!(
            answer == "ok" || answer.starts_with("ok "),
            "{} answered {command:?} with {answer:?}",
            self.name
        );
        Ok(answer)
    }

    /// The status, once it has ended, within `limit`.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        let begin = Instant::now();
        loop {
            if self.ended.is_none() {
                self.ended = self.child.try_wait()?;
            }
            if self.ended.is_some() || begin.elapsed() >= limit {
                return Ok(self.ended);
            }
            thread::sleep(POLL);
        }
    }

    /// Asks it to end and waits until it has; kills it when it does not.
    pub(crate) fn end(&mut self) -> Result<ExitStatus> {
        self.stdin = None;
        self.lines = None;
        if let Some(status) = self.wait(Duration::ZERO)? {
            return Ok(status);
        }
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            terminate(self.child.id(), self.sudo.as_deref(), signal);
            if let Some(status) = self.wait(GRACE)? {
                return Ok(status);
            }
        }
        bail!(
            "{} (pid {}) does not end: end it by hand",
            self.name,
            self.child.id()
        )
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(err) = self.end() {
            eprintln!("xtask: {err:#}");
        }
    }
}

/// Signals a child of ours.
///
/// Behind sudo the signal goes to what sudo runs: an ordinary user may not signal sudo, and sudo does not pass on what
/// comes from its own process group.
pub(crate) fn terminate(child: u32, sudo: Option<&std::path::Path>, signal: Signal) {
    let Some(sudo) = sudo else {
        // It may have ended meanwhile.
        kill(pid(child), signal).ok();
        return;
    };
    let processes = parents();
    for process in descendants(child, &processes) {
        let is_last = !processes.iter().any(|(_, parent)| *parent == process);
        if is_last {
            Command::new(sudo)
                .args([
                    "-n",
                    "--",
                    "kill",
                    "-s",
                    signal.as_str().trim_start_matches("SIG"),
                ])
                .arg(process.to_string())
                .stdin(Stdio::null())
                .status()
                .ok();
        }
    }
}

pub(crate) fn pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap_or(i32::MAX))
}

/// Pid and parent of every process.
fn parents() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            Some((pid, stat_fields(pid).ok()?.get(1)?.parse().ok()?))
        })
        .collect()
}

/// Children of `root`, their children, and so on; without itself.
fn descendants(root: u32, processes: &[(u32, u32)]) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        let children = processes
            .iter()
            .filter(|(pid, of)| *of == parent && !found.contains(pid))
            .map(|(pid, _)| *pid)
            .collect::<Vec<_>>();
        found.extend(children);
        next += 1;
    }
    found.split_off(1)
}

/// The fields of `/proc/PID/stat` from the third on: state, ppid, … (the second, the name, may hold anything).
pub(crate) fn stat_fields(pid: u32) -> Result<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
        .with_context(|| format!("process {pid} has ended"))?;
    let (_, fields) = stat
        .rsplit_once(')')
        .context("/proc/PID/stat has a name in parentheses")?;
    Ok(fields.split_whitespace().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descendants_are_found_over_generations_and_no_others() {
        let processes = [(10, 1), (11, 10), (12, 11), (13, 1), (14, 13)];
        assert_eq!(descendants(10, &processes), [11, 12]);
        assert_eq!(descendants(12, &processes), [0u32; 0]);
    }

    #[test]
    fn a_child_is_ended_when_it_is_let_go() {
        let child = Running::start("sleep", Command::new("sleep").arg("600")).unwrap();
        let pid = child.pid();
        drop(child);
        assert!(stat_fields(pid).is_err());
    }

    #[test]
    fn a_program_that_ends_early_is_an_error_and_not_a_wait() {
        let mut child = Running::start("false", &mut Command::new("false")).unwrap();
        let err = child.ready().unwrap_err();
        assert!(err.to_string().contains("exit status: 1"), "{err:#}");
    }
}
