//! heaptop on a process, read as a script reads it: lines of `--json`, and its words when it could not.

use std::{
    fs::File,
    io::{Read as _, Seek as _},
    path::Path,
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{processes::Running, user::Privilege};

/// How long heaptop may take to its first line: a cgo binary has libraries to look into.
const FIRST_LINE_WITHIN: Duration = Duration::from_secs(30);
/// Between two lines.
pub(crate) const INTERVAL: &str = "250ms";
/// More call sites than any program under test has.
const ALL: &str = "100000";

/// A heaptop that writes JSON; ended when dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    running: Running,
    stderr: File,
}

impl Watch {
    /// Starts it on `pid` and waits for its first line.
    ///
    /// # Errors
    /// heaptop's own words, where it ended instead.
    pub(crate) fn start(
        privilege: &Privilege,
        program: &Path,
        more: &[&str],
        pid: u32,
    ) -> Result<(Self, Value)> {
        let mut watch = Self::start_without_waiting(privilege, program, more, pid)?;
        let first = watch.next(FIRST_LINE_WITHIN)?;
        Ok((watch, first))
    }

    /// Starts it on `pid`.
    pub(crate) fn start_without_waiting(
        privilege: &Privilege,
        program: &Path,
        more: &[&str],
        pid: u32,
    ) -> Result<Self> {
        let stderr = tempfile::tempfile().context("cannot make a temporary file")?;
        let mut command = privilege.command(program);
        command
            .args(["--json", "--interval", INTERVAL, "--top", ALL])
            .args(more)
            .arg(pid.to_string())
            .env("RUST_BACKTRACE", "0")
            .stderr(Stdio::from(stderr.try_clone()?));
        Ok(Self {
            running: Running::start_as_root("heaptop", privilege, &mut command)?,
            stderr,
        })
    }

    /// The pid of heaptop itself.
    pub(crate) fn pid(&self) -> u32 {
        self.running.leaf_pid()
    }

    /// The next line of call sites, which must come within `limit`.
    pub(crate) fn next(&mut self, limit: Duration) -> Result<Value> {
        loop {
            let line = match self.running.expect_line(limit) {
                Ok(line) => line,
                Err(err) => return Err(self.in_its_words(err)),
            };
            let line: Value =
                serde_json::from_str(&line).with_context(|| format!("heaptop wrote {line:?}"))?;
            if is_sites(&line) {
                return Ok(line);
            }
        }
    }

    /// Reads lines until one is as wanted, at most for `limit`; `None` where none was, with the last line read.
    pub(crate) fn until(
        &mut self,
        limit: Duration,
        mut wanted: impl FnMut(&Value) -> bool,
    ) -> Result<(Value, bool)> {
        let begin = Instant::now();
        loop {
            let line = self.next(FIRST_LINE_WITHIN)?;
            if wanted(&line) {
                return Ok((line, true));
            }
            if begin.elapsed() >= limit {
                return Ok((line, false));
            }
        }
    }

    /// Asks it to end as Ctrl-C's sister SIGTERM does; returns its status and what it wrote on standard error.
    pub(crate) fn end(mut self) -> Result<(ExitStatus, String)> {
        let status = self.running.end()?;
        Ok((status, self.words()))
    }

    /// What it wrote on standard error.
    fn words(&mut self) -> String {
        let mut words = String::new();
        if self.stderr.rewind().is_ok() {
            self.stderr.read_to_string(&mut words).ok();
        }
        words.trim().to_owned()
    }

    fn in_its_words(&mut self, err: anyhow::Error) -> anyhow::Error {
        let words = self.words();
        if words.is_empty() {
            err
        } else {
            anyhow::anyhow!("{err:#}; it says: {words}")
        }
    }
}

/// Whether a line is one of call sites; lines of other schemas come beside them.
pub(crate) fn is_sites(line: &Value) -> bool {
    line["schema"] == "heaptop.sites/1"
}

/// The row of a function in a line.
pub(crate) fn site<'a>(line: &'a Value, function: &str) -> Option<&'a Value> {
    line["sites"]
        .as_array()?
        .iter()
        .find(|site| site["function"] == function)
}

/// The number of the newest GC cycle that a line tells of.
pub(crate) fn gc_cycles(line: &Value) -> u64 {
    line["heap"]["gc_cycles"].as_u64().unwrap_or(0)
}

/// heaptop ended as SIGTERM ends it, and said nothing but that it had armed the target.
pub(crate) fn ended_well(status: ExitStatus, words: &str) -> Result<()> {
    const BY_SIGTERM: i32 = 143;
    const ARMED: &str = "heaptop: armed at ";
    let odd = words.lines().any(|line| !line.starts_with(ARMED));
    if status.code() != Some(BY_SIGTERM) || odd {
        bail!("heaptop ended with {status} and the words {words:?}");
    }
    Ok(())
}
