//! The program under test, run as a user runs it.

use std::process::{Child, Command, ExitStatus, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::lines::Lines;

/// The program that cargo has built for this very suite.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_heaptop");

/// Runs it to its end.
pub(crate) fn heaptop(arguments: &[&str]) -> Output {
    Command::new(PROGRAM)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("heaptop runs")
}

/// The schema of lines about call sites, which most tests look at.
pub(crate) const SITES: &str = "heaptop.sites/1";

/// The schema of lines about the process as a whole.
pub(crate) const PROCESS: &str = "heaptop.process/1";

/// Whether a line of JSON is of a schema; it stands first in each.
pub(crate) fn is_of(line: &str, schema: &str) -> bool {
    line.starts_with(&format!("{{\"schema\":\"{schema}\""))
}

/// The lines of a schema in an output.
pub(crate) fn lines_of<'a>(stdout: &'a [u8], schema: &str) -> Vec<&'a str> {
    let text = std::str::from_utf8(stdout).expect("text");
    text.lines().filter(|line| is_of(line, schema)).collect()
}

/// The one line about call sites in an output.
#[track_caller]
pub(crate) fn only_sites<T: serde::de::DeserializeOwned>(stdout: &[u8]) -> T {
    let lines = lines_of(stdout, SITES);
    let [line] = lines[..] else {
        panic!("not one line: {lines:?}");
    };
    serde_json::from_str(line).unwrap_or_else(|err| panic!("{err}: {line}"))
}

/// The three lines of a refusal, without their marks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) what: String,
    pub(crate) why: String,
    pub(crate) next: String,
}

/// Asserts that heaptop could not, and said so in three lines and nowhere else.
#[track_caller]
pub(crate) fn refused(output: &Output) -> Refused {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    refusal(&String::from_utf8_lossy(&output.stderr))
}

/// The three lines of a refusal.
#[track_caller]
pub(crate) fn refusal(stderr: &str) -> Refused {
    let lines: Vec<&str> = stderr.lines().collect();
    let [what, why, next] = lines[..] else {
        panic!("not three lines: {stderr}");
    };
    let part = |line: &str, mark: &str| {
        let text = line.strip_prefix(mark);
        let text = text.unwrap_or_else(|| panic!("no {mark:?} in {stderr}"));
        assert!(!text.is_empty() && !text.ends_with('.'), "{stderr}");
        text.to_owned()
    };
    Refused {
        what: part(what, "heaptop: "),
        why: part(why, "  why:  "),
        next: part(next, "  next: "),
    }
}

/// A running heaptop; killed when dropped.
#[derive(Debug)]
pub(crate) struct Heaptop {
    child: Child,
    lines: Lines,
    stderr: Lines,
}

/// How a heaptop ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// Lines of standard output that nobody had read, those about call sites alone if they are JSON.
    pub(crate) lines: Vec<String>,
    pub(crate) stderr: String,
}

impl Heaptop {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::spawn(Command::new(PROGRAM).args(arguments))
    }

    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("heaptop starts");
        Self {
            lines: Lines::of(child.stdout.take().expect("a pipe")),
            stderr: Lines::of(child.stderr.take().expect("a pipe")),
            child,
        }
    }

    /// JSON of `pid`, five times a second.
    pub(crate) fn json(pid: u32, more: &[&str]) -> Self {
        let pid = pid.to_string();
        let mut arguments = vec!["--json", "--interval", "200ms", &pid];
        arguments.extend(more);
        Self::start(&arguments)
    }

    /// The next line, whatever it is.
    #[track_caller]
    pub(crate) fn next_line(&self) -> String {
        let line = self.lines.next();
        line.unwrap_or_else(|| panic!("no more lines: {:?}", self.stderr.rest()))
    }

    /// The next line about call sites.
    #[track_caller]
    pub(crate) fn next_json(&self) -> Value {
        let line = loop {
            let Some(line) = self.lines.next() else {
                panic!("no more lines: {:?}", self.stderr.rest());
            };
            if is_of(&line, SITES) {
                break line;
            }
        };
        serde_json::from_str(&line).unwrap_or_else(|err| panic!("{err}: {line}"))
    }

    /// Reads lines until one is as wanted; gives each to `each`, and returns the last.
    #[track_caller]
    pub(crate) fn until(
        &self,
        what: &str,
        mut each: impl FnMut(&Value),
        mut wanted: impl FnMut(&Value) -> bool,
    ) -> Value {
        const MAX_LINES: usize = 300;
        let mut last = Value::Null;
        for _ in 0..MAX_LINES {
            last = self.next_json();
            each(&last);
            if wanted(&last) {
                return last;
            }
        }
        panic!("no line with {what}; the last: {last}");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        kill(pid, signal).expect("own child");
    }

    /// Waits for its end; its last line of a schema.
    #[track_caller]
    pub(crate) fn last_of(self, schema: &str) -> Value {
        let lines = self.lines.rest();
        let last = lines.iter().rfind(|line| is_of(line, schema));
        let last = last.unwrap_or_else(|| panic!("no line: {:?}", self.stderr.rest()));
        serde_json::from_str(last).unwrap_or_else(|err| panic!("{err}: {last}"))
    }

    /// Waits for its end.
    pub(crate) fn ended(mut self) -> Ended {
        let mut lines = self.lines.rest();
        lines.retain(|line| !line.starts_with('{') || is_of(line, SITES));
        let stderr = self.stderr.rest().join("\n");
        Ended {
            status: self.child.wait().expect("own child"),
            lines,
            stderr,
        }
    }
}

impl Drop for Heaptop {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The row of a function in a line of JSON.
pub(crate) fn site<'a>(line: &'a Value, function: &str) -> Option<&'a Value> {
    let sites = line["sites"].as_array().expect("sites");
    sites.iter().find(|site| site["function"] == function)
}
