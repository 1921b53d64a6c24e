//! `cargo xtask wild`: heaptop on Go servers that nobody here wrote, each under real load.
//!
//! Debian's caddy, prometheus, etcd, nats-server and victoria-metrics, whichever are installed, and two small servers of
//! `tests/programs/wild` over real modules. Each gets load of its own kind, and heaptop by every source that fits. Rows must
//! be named, losses shown, every request answered, no trap left behind; and where a server offers its own heap profile,
//! `heaptop snapshot` must equal it, record for record.

mod http;
#[path = "../../tests/suite/support/profile.rs"]
mod profile;
mod servers;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{
    build,
    go::Go,
    progress::say,
    test,
    traps::changed_code,
    user::{self, Privilege},
    watch::{Watch, ended_well},
};
use profile::{Profile, Sample};
use servers::{Folder, From, KINDS, Server, Worker};

const WORKERS: usize = 4;
/// A server whose heap has content has something to show.
const WARM_UP: Duration = Duration::from_secs(3);
/// Top sites that must have names.
const TOP: usize = 10;
/// The row of what was counted without a stack.
const UNKNOWN: &str = "(stack unknown)";
/// In continuous integration, with the package manager at hand, fewer of Debian's servers are a failure.
const LEAST_OF_DEBIAN: usize = 3;
/// Times that a GC cycle may come between two profiles.
const TRIES: usize = 20;

/// Arguments of `cargo xtask wild`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these servers and sources (caddy, grpc, spans, ...), separated by commas
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Seconds that each source watches each server
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// heaptop to test instead of building it
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

/// Sources, with the arguments that choose them, for programs that sample by themselves.
const AT_A_RATE: &[(&str, &[&str])] = &[("sampler", &[]), ("no-probes", &["--no-probes"])];
/// The same for programs that do not.
const AT_ZERO: &[(&str, &[&str])] = &[
    ("spans", &[]),
    ("arm", &["--arm"]),
    ("exact", &["--exact", "--max-overhead", "30%"]),
];

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<()> {
    let privilege = Privilege::get("wild", "place probes in the servers")?;
    let go = Go::get()?;
    let heaptop = match &args.program {
        Some(program) => program.clone(),
        None => build::heaptop("wild")?,
    };
    let names_server = args
        .only
        .iter()
        .any(|word| KINDS.iter().any(|kind| kind.name == word));
    let (mut failed, mut n_debian, mut n_ok) = (Vec::new(), 0, 0);
    for kind in &KINDS {
        if names_server && !args.only.iter().any(|word| word == kind.name) {
            continue;
        }
        let Some(program) = kind.program(&go)? else {
            if let From::Debian(package, _) = kind.from {
                say(
                    "wild",
                    &format!("{}: skipped: package {package} is not installed", kind.name),
                );
            }
            continue;
        };
        user::give_back(&privilege)?;
        n_debian += usize::from(matches!(kind.from, From::Debian(..)));
        let started = Folder::new(kind.name).and_then(|folder| (kind.start)(&program, folder));
        let mut server = match started {
            Ok(server) => server,
            Err(err) => {
                say("wild", &format!("{}: FAILED to start: {err:#}", kind.name));
                failed.push(kind.name.to_owned());
                continue;
            }
        };
        let tried = Tried {
            privilege: &privilege,
            heaptop: &heaptop,
            args,
        };
        for (what, outcome) in tried.all(&mut server) {
            match outcome {
                Ok(words) => {
                    say("wild", &format!("{}, {what}: ok: {words}", kind.name));
                    n_ok += 1;
                }
                Err(err) => {
                    say("wild", &format!("{}, {what}: FAILED: {err:#}", kind.name));
                    failed.push(format!("{}, {what}", kind.name));
                }
            }
        }
    }
    user::give_back(&privilege)?;
    ensure!(
        failed.is_empty(),
        "{} of {} failed: {}",
        failed.len(),
        failed.len() + n_ok,
        failed.join("; ")
    );
    ensure!(
        n_debian >= LEAST_OF_DEBIAN || names_server || !test::is_set("CI"),
        "{n_debian} of Debian's servers are installed, and continuous integration wants {LEAST_OF_DEBIAN}"
    );
    say("wild", &format!("{n_ok} of {n_ok} ok"));
    Ok(())
}

struct Tried<'a> {
    privilege: &'a Privilege,
    heaptop: &'a Path,
    args: &'a Args,
}

impl Tried<'_> {
    /// Every source that fits, and the snapshot.
    fn all(&self, server: &mut Server) -> Vec<(&'static str, Result<String>)> {
        let pid = server.running.pid();
        let load = Load::start(&server.worker);
        thread::sleep(WARM_UP);
        // What heaptop takes by itself says whether the runtime samples.
        let told =
            Watch::start(self.privilege, self.heaptop, &[], pid).and_then(|(watch, line)| {
                watch.end()?;
                Ok(line["source"].as_str().unwrap_or_default().to_owned())
            });
        let sources = match told {
            Ok(told) if told == "sampler" => AT_A_RATE,
            Ok(_) => AT_ZERO,
            Err(err) => return vec![("attaching", Err(err))],
        };
        let names_source = |word: &String| {
            AT_A_RATE
                .iter()
                .chain(AT_ZERO)
                .any(|(name, _)| name == word)
        };
        let asked = |name: &str| {
            !self.args.only.iter().any(names_source)
                || self.args.only.iter().any(|word| word == name)
        };
        let mut outcomes = Vec::new();
        for &(name, arguments) in sources.iter().filter(|(name, _)| asked(name)) {
            let outcome = self.source(server, &load, arguments);
            outcomes.push((name, outcome));
        }
        let failures = load.end();
        if let Err(err) = failures {
            outcomes.push(("the load", Err(err)));
        }
        if let Some((address, path)) = &server.pprof
            && sources == AT_A_RATE
        {
            let outcome = self.snapshot(pid, address, path);
            outcomes.push(("snapshot", outcome));
        }
        outcomes
    }

    /// Watches for a while.
    fn source(&self, server: &mut Server, load: &Load, arguments: &[&str]) -> Result<String> {
        let pid = server.running.pid();
        let before = load.answered();
        let (mut heaptop, mut line) = Watch::start(self.privilege, self.heaptop, arguments, pid)?;
        let begin = Instant::now();
        let mut shares = Vec::new();
        while begin.elapsed() < Duration::from_secs(self.args.seconds) {
            line = heaptop.next(Duration::from_secs(10))?;
            shares.extend(line["overhead"]["cpu_fraction"].as_f64());
        }
        let share = shares.iter().sum::<f64>() / shares.len().max(1) as f64;
        let (status, words) = heaptop.end()?;
        ended_well(status, &words)?;
        let answered = load.answered() - before;
        ensure!(answered > 0, "it answered no request meanwhile");
        if let Some(err) = load.first_failure() {
            bail!("a request failed: {err}");
        }
        ensure!(
            server.running.wait(Duration::ZERO)?.is_none(),
            "the server has ended"
        );
        let traps = changed_code(pid)?;
        ensure!(traps.is_empty(), "traps are left at {traps:#x?}");
        Ok(format!(
            "{}, {:.2} % of a CPU in the mean; {answered} requests",
            judged(&line)?,
            share * 100.0
        ))
    }

    /// The profile that heaptop reads against the server's own.
    fn snapshot(&self, pid: u32, address: &str, path: &str) -> Result<String> {
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        let file = folder.path().join("heap.pb.gz");
        let own = || -> Result<Profile> {
            let body = http::Client::new(address).get(path)?;
            Ok(Profile::read(&body))
        };
        // Its first profile makes stacks of its own.
        own()?;
        // A small heap has a GC cycle with every second profile that is asked of it. The last profile of a try is thus the
        // first of the next: of two for each try, the cycle may fall into the same one forever.
        let mut last = own()?;
        for _ in 0..TRIES {
            let mut command: Command = self.privilege.command(self.heaptop);
            let status = command
                .args(["snapshot", &pid.to_string(), "-o"])
                .arg(&file)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .context("cannot run heaptop")?;
            ensure!(status.success(), "heaptop snapshot ended with {status}");
            let ours = Profile::read(&fs::read(&file)?);
            let before = std::mem::replace(&mut last, own()?);
            let after = &last;
            if !grew_by_nothing(&before.samples, &after.samples) {
                continue; // A cycle came meanwhile.
            }
            ensure!(
                (before.samples.len()..=after.samples.len()).contains(&ours.samples.len()),
                "heaptop has {} records, the server {} before that and {} after it",
                ours.samples.len(),
                before.samples.len(),
                after.samples.len()
            );
            let n_new = after.samples.len() - ours.samples.len();
            let differing: Vec<_> = ours
                .samples
                .iter()
                .zip(&after.samples[n_new..])
                .filter(|(ours, own)| ours != own)
                .collect();
            if let Some((ours, own)) = differing.first() {
                bail!(
                    "{} of {} records differ; the first is {ours:?}, its own {own:?}",
                    differing.len(),
                    after.samples.len()
                );
            }
            ensure!(
                ours.header == after.header,
                "the header is {:?}, its own {:?}",
                ours.header,
                after.header
            );
            // Go cannot read its own build id where the file is not at hand to it.
            let mappings = |profile: &Profile| -> Vec<_> {
                let mappings = profile.mappings.iter();
                mappings
                    .map(|map| (map.start, map.limit, map.offset, map.file.clone()))
                    .collect()
            };
            ensure!(
                mappings(&ours) == mappings(after),
                "the mappings are {:?}, its own {:?}",
                ours.mappings,
                after.mappings
            );
            return Ok(format!("{} records equal its own", ours.samples.len()));
        }
        bail!("a GC cycle came each of {TRIES} times")
    }
}

/// Whether `after` is `before` with new stacks at its front that report nothing.
fn grew_by_nothing(before: &[Sample], after: &[Sample]) -> bool {
    let Some(n_new) = after.len().checked_sub(before.len()) else {
        return false;
    };
    let (new, old) = after.split_at(n_new);
    old == before
        && new
            .iter()
            .all(|sample| sample.values.iter().all(|&value| value == 0))
}

/// What a line of heaptop's must be; a summary.
fn judged(line: &Value) -> Result<String> {
    let sites = line["sites"].as_array().context("a line has sites")?;
    ensure!(!sites.is_empty(), "it has no row");
    for site in sites.iter().take(TOP) {
        let name = site["function"].as_str().unwrap_or_default();
        if name == UNKNOWN {
            continue;
        }
        ensure!(
            !name.is_empty() && !name.starts_with("0x"),
            "a row has no name: {site}"
        );
        ensure!(
            site["file"].as_str().is_some_and(|file| !file.is_empty()),
            "a row has no file: {site}"
        );
    }
    // Where there are no probes nothing is sent that could be lost.
    let lost = &line["losses"]["lost"];
    ensure!(
        lost.is_u64() || line["source"] == "buckets",
        "losses.lost is {lost}"
    );
    Ok(format!(
        "{} rows, {} after {} cycles, {lost} lost, {} unnamed pcs",
        sites.len(),
        sites[0]["function"].as_str().unwrap_or_default(),
        line["heap"]["gc_cycles"],
        line["losses"]["unnamed_pcs"]
    ))
}

/// Requests from several workers until it is ended.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    failed: Arc<Mutex<Option<String>>>,
    workers: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(worker: &Worker) -> Self {
        let mut load = Self {
            stop: Arc::default(),
            answered: Arc::default(),
            failed: Arc::default(),
            workers: Vec::new(),
        };
        for number in 0..WORKERS {
            let worker = Arc::clone(worker);
            let (stop, answered, failed) = (
                Arc::clone(&load.stop),
                Arc::clone(&load.answered),
                Arc::clone(&load.failed),
            );
            load.workers.push(thread::spawn(move || {
                let work = || -> Result<()> {
                    let mut request = worker(number)?;
                    while !stop.load(Ordering::Relaxed) {
                        request()?;
                        answered.fetch_add(1, Ordering::Relaxed);
                        // Real load, and not all of the machine.
                        thread::sleep(Duration::from_millis(1));
                    }
                    Ok(())
                };
                if let Err(err) = work() {
                    let mut failed = failed
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner);
                    failed.get_or_insert(format!("{err:#}"));
                }
            }));
        }
        load
    }

    fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    fn first_failure(&self) -> Option<String> {
        let failed = self.failed.lock();
        failed
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    fn end(mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        for worker in self.workers.drain(..) {
            worker
                .join()
                .map_err(|_| anyhow::anyhow!("a worker of the load panicked"))?;
        }
        match self.first_failure() {
            Some(failure) => bail!("a request failed: {failure}"),
            None => Ok(()),
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
