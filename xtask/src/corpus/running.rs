//! Runs side by side: a program, heaptop on it, and what both say until the watch is over.

use std::{
    collections::VecDeque,
    fs::File,
    io::{Read as _, Seek as _, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{
    Done, Run,
    judge::{self, Filled, Look, Outcome, judge},
    said::Line,
};
use crate::{
    go::create_folder,
    processes::Running,
    progress::say,
    user::{self, Privilege},
};

/// How often heaptop is asked; its own looks are as far apart.
const INTERVAL: &str = "15s";
/// More call sites than any of the programs has.
const TOP: &str = "1000";
/// Between two starts: heaptop reads a whole binary at its own.
const APART: Duration = Duration::from_millis(300);
/// A busy machine has heaptop's first line wait.
const FIRST_LINE_WITHIN: Duration = Duration::from_secs(90);
/// What a program may outlive the watch by, should this task be stopped in between.
const SPARE: Duration = Duration::from_secs(120);
/// The last look may come so late; then its second line is waited for, which a busy machine may set apart.
const LAST_LOOK: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(500);

/// How runs are made.
pub(super) struct Bench<'a> {
    pub(super) privilege: &'a Privilege,
    pub(super) heaptop: &'a Path,
    pub(super) watched: Duration,
    /// Time that a program runs before heaptop attaches.
    pub(super) after: Duration,
    /// Whoever holds it may start something.
    pub(super) starting: Mutex<()>,
    /// Whoever holds it may end a heaptop: the kernel takes probes away one after the other, and slowly.
    pub(super) ending: Mutex<()>,
}

impl Bench<'_> {
    /// All runs, so many at once; those that failed come with the reason.
    pub(super) fn all(&self, runs: Vec<Run>, jobs: usize) -> (Vec<Done>, Vec<(String, String)>) {
        let queue = Mutex::new(VecDeque::from(runs));
        let (done, failed) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
        let next = || lock(&queue).pop_front();
        thread::scope(|scope| {
            for _ in 0..jobs.max(1) {
                scope.spawn(|| {
                    while let Some(run) = next() {
                        let name = run.name();
                        match self.one(&run) {
                            Ok(outcome) => {
                                let done_now = Done { run, outcome };
                                say("corpus", &format!("{name}: {}", told(&done_now)));
                                lock(&done).push(done_now);
                            }
                            Err(err) => {
                                say("corpus", &format!("{name}: FAILED: {err:#}"));
                                lock(&failed).push((name, format!("{err:#}")));
                            }
                        }
                    }
                });
            }
        });
        let mut done = done.into_inner().unwrap_or_default();
        done.sort_by_key(|one: &Done| (one.run.name(), one.run.seed));
        (done, failed.into_inner().unwrap_or_default())
    }

    fn one(&self, run: &Run) -> Result<Outcome> {
        let (seed, load) = (run.seed.to_string(), run.load.to_string());
        let most = format!(
            "{}s",
            (self.after + self.watched + FIRST_LINE_WITHIN + SPARE).as_secs()
        );
        let mut command = Command::new(run.program.path(run.source.variant()));
        command
            .args(["--seed", &seed, "--load", &load, "--for", &most])
            .envs(
                run.program
                    .truth
                    .env
                    .iter()
                    .map(|(name, value)| (name, value)),
            )
            .stdin(Stdio::null());
        user::as_user(&mut command);
        let gate = lock(&self.starting);
        let mut program = Running::start("the program", &mut command)?;
        thread::sleep(APART);
        drop(gate);
        program.ready()?;
        thread::sleep(self.after);

        let mut stderr = tempfile::tempfile().context("cannot make a temporary file")?;
        let mut command = self.privilege.command(self.heaptop);
        command
            .args(["--json", "--interval", INTERVAL, "--top", TOP])
            .args(run.source.arguments())
            .arg(program.pid().to_string())
            .env("RUST_BACKTRACE", "0")
            .stderr(Stdio::from(stderr.try_clone()?));
        let gate = lock(&self.starting);
        let mut heaptop = Running::start_as_root("heaptop", self.privilege, &mut command)?;
        thread::sleep(APART);
        drop(gate);
        let watched = self.watch(run, &mut program, &mut heaptop);
        let gate = lock(&self.ending);
        heaptop.end()?;
        drop(gate);
        program.end()?;
        watched.with_context(|| {
            let mut words = String::new();
            if stderr.rewind().is_ok() {
                stderr.read_to_string(&mut words).ok();
            }
            format!("heaptop says {:?}", words.trim())
        })
    }

    /// Reads what both say until the watch is over.
    fn watch(&self, run: &Run, program: &mut Running, heaptop: &mut Running) -> Result<Outcome> {
        let folder = crate::target_dir().join("corpus/runs");
        create_folder(&folder)?;
        let name = run.name().replace(['/', ' '], "-");
        let mut kept = File::create(folder.join(format!("{name}.jsonl")))?;
        let mut first = None;
        let mut filled = Filled::default();
        let mut looks: Vec<Look> = Vec::new();
        let begin = Instant::now();
        loop {
            let line = heaptop.line(POLL)?;
            let at_s = first.map_or(0.0, |first: Instant| first.elapsed().as_secs_f64());
            while let Some(word) = program.line(Duration::ZERO)? {
                match word.as_str() {
                    "half" => filled.half_s = Some(at_s),
                    "full" => filled.full_s = Some(at_s),
                    _ => {}
                }
            }
            let Some(line) = line else {
                ensure!(
                    first.is_some() || begin.elapsed() < FIRST_LINE_WITHIN,
                    "it printed nothing within {} s",
                    FIRST_LINE_WITHIN.as_secs()
                );
                let is_over =
                    first.is_some_and(|first| first.elapsed() >= self.watched + LAST_LOOK);
                if is_over && !looks.last().is_some_and(|look| look.is_open(at_s)) {
                    break;
                }
                continue;
            };
            writeln!(kept, "{line}").context("cannot keep what it wrote")?;
            first.get_or_insert_with(Instant::now);
            let line: Line =
                serde_json::from_str(&line).with_context(|| format!("heaptop wrote {line:?}"))?;
            if let Line::Sites(sites) = &line {
                let told = sites.source.as_str();
                ensure!(
                    run.source.told_as().contains(&told),
                    "its source is {told:?}"
                );
            }
            judge::add(&mut looks, at_s, line);
            let is_whole = looks.last().is_some_and(Look::is_whole);
            if at_s >= self.watched.as_secs_f64() && is_whole {
                break;
            }
        }
        Ok(judge(&run.program.truth, run.load, &looks, filled))
    }
}

/// A lock that another thread's panic does not take away.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A run in one line.
fn told(done: &Done) -> String {
    let outcome = &done.outcome;
    let text = match (done.run.program.truth.leaks(), outcome.right_s) {
        (true, Some(right_s)) => format!("named right after {:.1} min", right_s / 60.0),
        (true, None) => format!("MISSED: said {}: {}", outcome.said, outcome.words),
        (false, _) => format!("honest, said {}", outcome.said),
    };
    match outcome.wrong.first() {
        Some((at_s, what)) => format!(
            "{text}; FALSE growing in {} looks, first {what} at {at_s:.0} s",
            done.wrong_looks()
        ),
        None => text,
    }
}
