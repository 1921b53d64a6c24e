//! What heaptop itself takes: many stacks, one GC a second.

use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Tools, cpu_seconds};
use crate::{processes::Running, progress::say, user, watch::is_sites};

/// Different stacks with a bucket each.
pub(super) const STACKS: usize = 10_000;
/// Objects of 600 KiB that come and go each second, of which the runtime samples about 7 in 10.
const GARBAGE: usize = 300;
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// The attach and what follows it at once are not the steady state.
const SETTLE: Duration = Duration::from_secs(5);

pub(super) struct Own {
    /// Of one CPU.
    pub(super) cpu: f64,
    /// Resident set at the end, and the highest, in bytes.
    pub(super) rss_bytes: u64,
    pub(super) peak_bytes: u64,
    pub(super) hits_per_sec: f64,
    pub(super) cycles_per_sec: f64,
    pub(super) window: Duration,
}

/// Measures over one window.
pub(super) fn measure(tools: &Tools, window: Duration) -> Result<Own> {
    say(
        "bench",
        &format!(
            "heaptop's own CPU and memory: {STACKS} stacks, one GC a second, {} s",
            window.as_secs()
        ),
    );
    let mut command = Command::new(&tools.truth);
    // The collector runs when it is told to, once a second.
    command.env("GOGC", "off").stdin(Stdio::piped());
    let mut target = Running::start("the truth program", user::as_user(&mut command))?;
    target.ready()?;
    // Every object sampled while the stacks are made, so that each has its bucket.
    for command in [
        "rate 1".to_owned(),
        format!("keepstacks {STACKS} 64"),
        "rate 524288".to_owned(),
        "gc".to_owned(),
    ] {
        target.ask(&command, ANSWER_WITHIN)?;
    }
    let pid = target.pid().to_string();
    let mut heaptop = tools.heaptop(&["--json", &pid])?;
    heaptop.expect_line(ANSWER_WITHIN)?;
    let tracer = heaptop.leaf_pid();

    work(&mut target, SETTLE)?;
    let first = newest(&mut heaptop)?;
    let cpu = cpu_seconds(tracer)?;
    let begin = Instant::now();
    work(&mut target, window)?;
    let elapsed = begin.elapsed();
    let cpu = (cpu_seconds(tracer)? - cpu) / elapsed.as_secs_f64();
    let last = newest(&mut heaptop)?;
    let status = fs::read_to_string(format!("/proc/{tracer}/status")).context("heaptop is gone")?;
    let kibibytes = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse().ok()
    };
    let cycles = |line: &Value| line["heap"]["gc_cycles"].as_f64();
    let own = Own {
        cpu,
        rss_bytes: kibibytes("VmRSS:").context("a process has VmRSS")? * 1024,
        peak_bytes: kibibytes("VmHWM:").context("a process has VmHWM")? * 1024,
        hits_per_sec: last["overhead"]["hits_per_sec"]
            .as_f64()
            .context("heaptop counts its hits")?,
        cycles_per_sec: (cycles(&last).context("GC cycles are known")?
            - cycles(&first).context("GC cycles are known")?)
            / elapsed.as_secs_f64(),
        window,
    };
    heaptop.end()?;
    Ok(own)
}

/// Garbage and one GC, each second.
fn work(target: &mut Running, time: Duration) -> Result<()> {
    let begin = Instant::now();
    let mut next = begin;
    while begin.elapsed() < time {
        target.ask(&format!("stacks {GARBAGE}"), ANSWER_WITHIN)?;
        target.ask("gc1", ANSWER_WITHIN)?;
        next += Duration::from_secs(1);
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(())
}

/// The newest of the lines of call sites that have come.
fn newest(heaptop: &mut Running) -> Result<Value> {
    let parse =
        |line: String| serde_json::from_str::<Value>(&line).context("heaptop writes JSON lines");
    let mut newest = parse(heaptop.expect_line(ANSWER_WITHIN)?)?;
    loop {
        // Each of them has a line about the process behind it.
        while let Some(line) = heaptop.line(Duration::ZERO)? {
            let line = parse(line)?;
            if is_sites(&line) {
                newest = line;
            }
        }
        if is_sites(&newest) {
            return Ok(newest);
        }
        newest = parse(heaptop.expect_line(ANSWER_WITHIN)?)?;
    }
}
