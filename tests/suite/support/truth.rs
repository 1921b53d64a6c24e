//! `tests/programs/truth`: the program that allocates on command and knows what it did.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use super::go::{Kind, fixture};
use super::lines::Lines;

/// A running `truth`; ended when dropped.
#[derive(Debug)]
pub(crate) struct Truth {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines,
    told_pid: u32,
    port: u16,
}

impl Truth {
    /// Starts the fixture of a release; `None` if it cannot be built here.
    pub(crate) fn start(release: &str, kind: Kind, arguments: &[&str]) -> Option<Self> {
        let path = fixture("truth", release, kind)?;
        Some(Self::run(&path, arguments))
    }

    /// Starts a copy of it.
    pub(crate) fn run(path: &Path, arguments: &[&str]) -> Self {
        Self::spawn(Command::new(path).args(arguments))
    }

    /// Starts whatever becomes a `truth`, and waits until it is ready.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let lines = Lines::of(child.stdout.take().expect("a pipe"));
        let mut truth = Self {
            stdin: child.stdin.take(),
            child,
            lines,
            told_pid: 0,
            port: 0,
        };
        truth.read_ready();
        truth
    }

    fn read_ready(&mut self) {
        let line = self.lines.next().expect("its first line");
        let words: Vec<&str> = line.split(' ').collect();
        let ["ready", pid, port] = words[..] else {
            panic!("not the first line of truth: {line}");
        };
        self.told_pid = pid.parse().expect("a pid");
        self.port = port.parse().expect("a port");
    }

    /// Process id of the child, which is `truth` itself where nothing stands before it.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its pid as it sees it itself.
    pub(crate) fn told_pid(&self) -> u32 {
        self.told_pid
    }

    pub(crate) fn send(&mut self, command: &str) {
        let stdin = self.stdin.as_mut().expect("not ended yet");
        writeln!(stdin, "{command}").expect("it listens");
    }

    /// Gives a command and waits until it is done; what it answered behind `ok`.
    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.send(command);
        let answer = self.lines.next().expect("an answer");
        let rest = answer.strip_prefix("ok");
        let rest = rest.unwrap_or_else(|| panic!("{command}: {answer}"));
        rest.trim_start().to_owned()
    }

    pub(crate) fn ask_number(&mut self, command: &str) -> u64 {
        self.ask(command).parse().expect("a number")
    }

    /// A command after which it is ready once more, in another program.
    pub(crate) fn exec(&mut self) {
        self.send("exec");
        self.read_ready();
    }

    pub(crate) fn memory_stats(&mut self) -> serde_json::Value {
        serde_json::from_str(&self.ask("mem")).expect("JSON")
    }

    /// `GET /debug/pprof/heap`.
    pub(crate) fn pprof_heap(&self) -> Vec<u8> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it serves pprof");
        stream
            .write_all(b"GET /debug/pprof/heap HTTP/1.0\r\n\r\n")
            .expect("it takes requests");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
        let (header, body) = answer.split_at(end.expect("a header") + 4);
        assert!(header.starts_with(b"HTTP/1.0 200 "), "{header:?}");
        body.to_vec()
    }

    /// Kills it, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("own child");
        self.child.wait().expect("own child");
    }

    /// Ends it in peace: its standard input closes.
    pub(crate) fn end(&mut self) -> ExitStatus {
        drop(self.stdin.take());
        self.child.wait().expect("own child")
    }

    /// CPU time that all its threads have used, nanoseconds.
    pub(crate) fn cpu_ns(&self) -> u64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("own child");
        tasks
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok())
            .filter_map(|stat| stat.split(' ').next()?.parse::<u64>().ok())
            .sum()
    }

    /// CPU nanoseconds of one step of work: the median of some rounds. Others share the machine, so
    /// elapsed time would tell of them.
    pub(crate) fn work_ns(&mut self) -> u64 {
        const ROUNDS: usize = 5;
        let mut rounds = [0; ROUNDS];
        for round in &mut rounds {
            let before = self.cpu_ns();
            let steps = self.ask_number("work 100");
            *round = (self.cpu_ns() - before) / steps.max(1);
        }
        rounds.sort_unstable();
        rounds[ROUNDS / 2]
    }
}

impl Drop for Truth {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
