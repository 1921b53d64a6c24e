//! What being traced costs the target: the gateway at saturation, untraced, with heaptop, and with bpftrace.
//!
//! The upstream is a process of its own, so the gateway's CPU time is the gateway's alone. It runs without leaks and without
//! fresh keys: a heap that grows would make later rounds dearer than earlier ones. Each round measures all modes once, one after
//! the other, and a ratio is taken within a round: what drifts on the machine meets all modes alike.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{
    Tools, cpu_seconds,
    stats::{Median, median},
};
use crate::{processes::Running, progress::say, user, watch::is_sites};

/// Ends the memory of an attach before the next mode: detaching takes about 0.1 s a probe.
pub(super) const SETTLE: Duration = Duration::from_millis(500);
/// The first tracing of a binary by bpftrace parses its symbols.
pub(super) const ATTACHED_WITHIN: Duration = Duration::from_secs(60);
/// heaptop's own figure of hits per second covers this long.
const HITS_WINDOW: Duration = Duration::from_secs(6);
const STATS_SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// What was measured.
pub(super) struct Cost {
    /// CPU microseconds a request, untraced.
    pub(super) untraced_us: Median,
    pub(super) requests_per_sec: Median,
    /// CPU a request with heaptop, untraced is 1.
    pub(super) heaptop: Median,
    /// The same with bpftrace counting `runtime.mallocgc`; the reason where that could not be.
    pub(super) bpftrace: Result<Median, String>,
    pub(super) hits: Hits,
}

/// What the probes take at saturation.
pub(super) struct Hits {
    pub(super) per_sec: f64,
    /// Of one CPU, by heaptop's own calibration.
    pub(super) cpu_fraction: Option<f64>,
    /// Of one CPU inside the programs, as the kernel accounts it, and their runs per second.
    pub(super) kernel: Result<(f64, f64), String>,
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Untraced,
    Heaptop,
    Bpftrace,
}

pub(super) struct Plan {
    pub(super) rounds: usize,
    pub(super) window: Duration,
    pub(super) warm_up: Duration,
}

/// Runs all rounds.
pub(super) fn measure(tools: &Tools, plan: &Plan) -> Result<Cost> {
    let gateway = Gateway::start(tools)?;
    say(
        "bench",
        &format!("warming the gateway up for {} s", plan.warm_up.as_secs()),
    );
    gateway.load(plan.warm_up)?;

    let mut modes = vec![Mode::Untraced, Mode::Heaptop];
    let absent = match user::in_path("bpftrace") {
        Some(_) => {
            modes.push(Mode::Bpftrace);
            String::new()
        }
        None => "bpftrace is not installed".to_owned(),
    };
    say(
        "bench",
        &format!(
            "CPU a request: {} rounds of {} modes, {} s each",
            plan.rounds,
            modes.len(),
            plan.window.as_secs()
        ),
    );
    let (mut untraced, mut speed, mut heaptop, mut bpftrace) = (vec![], vec![], vec![], vec![]);
    for round in 1..=plan.rounds {
        let mut base = 0.0;
        let mut line = format!("round {round} of {}:", plan.rounds);
        for &mode in &modes {
            let (cpu_us, per_sec) = one(tools, &gateway, mode, plan.window)?;
            match mode {
                Mode::Untraced => {
                    base = cpu_us;
                    untraced.push(cpu_us);
                    speed.push(per_sec);
                    write!(line, " {cpu_us:.1} µs a request at {per_sec:.0}/s")?;
                }
                Mode::Heaptop => {
                    heaptop.push(cpu_us / base);
                    write!(line, ", heaptop {:.3} x", cpu_us / base)?;
                }
                Mode::Bpftrace => {
                    bpftrace.push(cpu_us / base);
                    write!(line, ", bpftrace {:.2} x", cpu_us / base)?;
                }
            }
        }
        say("bench", &line);
    }
    Ok(Cost {
        untraced_us: median(&untraced).context("there is at least one round")?,
        requests_per_sec: median(&speed).context("there is at least one round")?,
        heaptop: median(&heaptop).context("there is at least one round")?,
        bpftrace: median(&bpftrace).ok_or(absent),
        hits: hits(tools, &gateway)?,
    })
}

/// Calls are counted in the first 2 s, and at this load in 2 s of each minute from then on: a round is about as long.
pub(super) const NO_CALLS: &str = "--per=off";

/// CPU microseconds a request in one mode, and requests per second.
fn one(tools: &Tools, gateway: &Gateway, mode: Mode, window: Duration) -> Result<(f64, f64)> {
    let pid = gateway.target.pid().to_string();
    let mut tracer = match mode {
        Mode::Untraced => None,
        Mode::Heaptop => {
            let mut heaptop = tools.heaptop(&["--json", NO_CALLS, &pid])?;
            heaptop.expect_line(ATTACHED_WITHIN)?;
            Some(heaptop)
        }
        Mode::Bpftrace => Some(bpftrace(tools, &tools.gateway, &pid, "@ = count();")?),
    };
    let before = cpu_seconds(gateway.target.pid())?;
    let (requests, seconds) = gateway.load(window)?;
    let cpu = cpu_seconds(gateway.target.pid())? - before;
    if let Some(tracer) = &mut tracer {
        tracer.end()?;
        thread::sleep(SETTLE);
    }
    Ok((cpu * 1e6 / requests, requests / seconds))
}

/// A bpftrace that runs `action` at each call of `runtime.mallocgc` in a process, once it is attached.
pub(super) fn bpftrace(tools: &Tools, program: &Path, pid: &str, action: &str) -> Result<Running> {
    let probe = format!(
        "uprobe:{}:runtime.mallocgc {{ {action} }} interval:ms:200 {{ printf(\"up\\n\"); }}",
        program.display()
    );
    let mut command = tools.privilege.command("bpftrace");
    command.args(["-B", "line", "-p", pid, "-e", &probe]);
    let mut bpftrace =
        Running::start_as_root("bpftrace", &tools.privilege, command.stderr(Stdio::null()))?;
    // "Attaching 2 probes..." comes first.
    while bpftrace.expect_line(ATTACHED_WITHIN)? != "up" {}
    Ok(bpftrace)
}

/// Hits per second and what they take, over one more window with the kernel's own accounting on.
fn hits(tools: &Tools, gateway: &Gateway) -> Result<Hits> {
    say("bench", "hits and their cost");
    let pid = gateway.target.pid().to_string();
    let switch = StatsSwitch::on();
    let mut heaptop = tools.heaptop(&["--json", "--interval=500ms", NO_CALLS, &pid])?;
    heaptop.expect_line(ATTACHED_WITHIN)?;
    let tracer = heaptop.leaf_pid();
    let before = program_stats(tracer);
    let begin = Instant::now();
    gateway.load(HITS_WINDOW)?;
    let seconds = begin.elapsed().as_secs_f64();
    let after = program_stats(tracer);
    let mut last = Value::Null;
    while let Ok(Some(line)) = heaptop.line(Duration::ZERO) {
        let line = serde_json::from_str(&line).context("heaptop writes JSON lines")?;
        if is_sites(&line) {
            last = line;
        }
    }
    heaptop.end()?;
    drop(heaptop);
    let kernel = match (switch, before, after) {
        (Err(why), _, _) => Err(why),
        (Ok(_), Ok(before), Ok(after)) => Ok((
            after.0.saturating_sub(before.0) as f64 / 1e9 / seconds,
            after.1.saturating_sub(before.1) as f64 / seconds,
        )),
        (Ok(_), Err(err), _) | (Ok(_), _, Err(err)) => Err(format!("{err:#}")),
    };
    Ok(Hits {
        per_sec: last["overhead"]["hits_per_sec"]
            .as_f64()
            .context("heaptop counts its hits")?,
        cpu_fraction: last["overhead"]["cpu_fraction"].as_f64(),
        kernel,
    })
}

/// Run time in nanoseconds and runs of all BPF programs that a process holds.
fn program_stats(pid: u32) -> Result<(u64, u64)> {
    let mut sums = (0, 0);
    let folder = format!("/proc/{pid}/fdinfo");
    let mut programs = 0;
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {folder}"))? {
        let Ok(text) = fs::read_to_string(entry?.path()) else {
            continue; // Closed meanwhile.
        };
        let field = |name: &str| -> Option<u64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().parse().ok()
        };
        if let (Some(ns), Some(runs)) = (field("run_time_ns:"), field("run_cnt:")) {
            programs += 1;
            sums.0 += ns;
            sums.1 += runs;
        }
    }
    ensure!(programs > 0, "process {pid} holds no BPF program");
    Ok(sums)
}

/// The kernel's accounting of BPF programs: put back as it was when let go.
struct StatsSwitch {
    before: String,
}

impl StatsSwitch {
    fn on() -> Result<Self, String> {
        let before =
            fs::read_to_string(STATS_SWITCH).map_err(|err| format!("{STATS_SWITCH}: {err}"))?;
        fs::write(STATS_SWITCH, "1")
            .map_err(|err| format!("{STATS_SWITCH} cannot be set: {err}"))?;
        Ok(Self { before })
    }
}

impl Drop for StatsSwitch {
    fn drop(&mut self) {
        if let Err(err) = fs::write(STATS_SWITCH, self.before.trim()) {
            eprintln!(
                "xtask: {STATS_SWITCH} cannot be put back to {}: {err}",
                self.before.trim()
            );
        }
    }
}

/// A gateway with its upstream.
pub(super) struct Gateway {
    pub(super) target: Running,
    address: String,
    program: std::path::PathBuf,
    /// Ended with it.
    _upstream: Running,
}

impl Gateway {
    pub(super) fn start(tools: &Tools) -> Result<Self> {
        Self::start_with(tools, &[])
    }

    /// The same with environment variables for the gateway.
    pub(super) fn start_with(tools: &Tools, variables: &[(&str, &str)]) -> Result<Self> {
        let mut upstream =
            Running::start("the upstream", &mut command(&tools.gateway, &["upstream"]))?;
        let words = upstream.ready()?;
        let upstream_address = words.get(1).context("the upstream names its address")?;
        let mut target = Running::start(
            "the gateway",
            command(
                &tools.gateway,
                &["--leak=none", "--upstream", upstream_address],
            )
            .envs(variables.iter().copied()),
        )?;
        let words = target.ready()?;
        Ok(Self {
            address: words
                .get(1)
                .context("the gateway names its address")?
                .clone(),
            target,
            program: tools.gateway.clone(),
            _upstream: upstream,
        })
    }

    /// A closed loop of requests for that long; returns how many were answered, and the seconds.
    pub(super) fn load(&self, window: Duration) -> Result<(f64, f64)> {
        let window_arg = format!("{}ms", window.as_millis());
        let mut load = Running::start(
            "the load",
            &mut command(
                &self.program,
                &[
                    "load",
                    "--saturate",
                    "--fresh-keys=0",
                    "--for",
                    &window_arg,
                    "--target",
                    &self.address,
                ],
            ),
        )?;
        load.ready()?;
        let errors = load.expect_line(window + ATTACHED_WITHIN)?;
        let summary = load.expect_line(ATTACHED_WITHIN)?;
        load.end()?;
        ensure!(
            errors.starts_with("errors 0 "),
            "the load met errors: {errors}"
        );
        let words: Vec<&str> = summary.split_whitespace().collect();
        let ["requests", requests, "seconds", seconds] = words.as_slice() else {
            anyhow::bail!("the load says {summary:?}");
        };
        Ok((requests.parse()?, seconds.parse()?))
    }
}

fn command(program: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    user::as_user(&mut command);
    command
}
