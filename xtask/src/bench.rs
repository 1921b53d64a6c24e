//! `cargo xtask bench`: what heaptop costs its target, how fast it starts, and what it takes itself.
//!
//! Prints a table of goals beside what was measured here, and writes it to `docs/benchmarks.md`, or to `target/bench.md` where it
//! is quick. Modes that are compared are
//! interleaved; figures are medians with a 95 % interval. A goal that is missed is a line in the table and no failure: on a busy
//! machine times say little, and only the reader knows how busy it is.

mod cost;
mod own;
mod sources;
mod start;
mod stats;

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::{
    big, build,
    go::Go,
    processes::{Running, stat_fields},
    progress::{self, say},
    user::{self, Privilege},
};

const MEBIBYTE: f64 = 1_048_576.0;
/// Begins the page that is committed.
const HEAD: &str = "# Benchmarks\n\nWritten by `cargo xtask bench`, run as root. Times depend on the machine; what is compared was interleaved on \
                    it.\n\n";
/// Of one CPU: what the probes may take of the target at saturation.
const HITS_GOAL: f64 = 0.001;

/// Arguments of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Fewer and shorter rounds: under four minutes once everything is built
    #[arg(long)]
    quick: bool,
    /// Measure what each source costs the target, and nothing else
    #[arg(long)]
    only_sources: bool,
    /// heaptop to measure instead of building it
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

/// What is measured, and how it is started.
struct Tools {
    privilege: Privilege,
    heaptop: PathBuf,
    gateway: PathBuf,
    truth: PathBuf,
    mixed: PathBuf,
}

impl Tools {
    fn heaptop(&self, args: &[&str]) -> Result<Running> {
        let mut command = self.privilege.command(&self.heaptop);
        Running::start_as_root("heaptop", &self.privilege, command.args(args))
    }
}

/// One line of the table.
struct Row {
    what: String,
    goal: &'static str,
    measured: String,
    met: Option<bool>,
}

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<()> {
    let begin = Instant::now();
    let privilege = Privilege::get("bench", "place probes in the measured programs")?;
    let go = Go::get()?;
    let heaptop = match &args.program {
        Some(program) => program.clone(),
        None => build::heaptop("bench")?,
    };
    let folder = crate::target_dir().join("bench");
    let (gateway, truth) = (folder.join("gateway"), folder.join("truth"));
    go.build("bench", "gateway", None, &[], &gateway)?;
    go.build("bench", "truth", None, &[], &truth)?;
    let mixed = folder.join("mixed");
    go.build("bench", "mixed", None, &[], &mixed)?;
    user::give_back(&privilege)?;
    let tools = Tools {
        privilege,
        heaptop,
        gateway,
        truth,
        mixed,
    };

    if args.only_sources {
        let table = sources::measure(&tools, &sources_plan(args.quick))?;
        return std::io::stdout()
            .write_all(table.as_bytes())
            .context("cannot print the table");
    }
    let big = if args.quick {
        big::program("bench", &go)?
    } else {
        big::larger("bench", &go)?
    };
    let model = model_speed()?;
    user::give_back(&tools.privilege)?;
    let plan = if args.quick {
        cost::Plan {
            rounds: 4,
            window: Duration::from_secs(3),
            warm_up: Duration::from_secs(8),
        }
    } else {
        cost::Plan {
            rounds: 20,
            window: Duration::from_secs(6),
            warm_up: Duration::from_secs(30),
        }
    };
    let cost = cost::measure(&tools, &plan)?;
    let start = {
        let gateway = cost::Gateway::start(&tools)?;
        gateway.load(Duration::from_secs(3))?;
        let rounds = if args.quick { 6 } else { 15 };
        start::measure(&tools, gateway.target.pid(), &big, rounds)?
    };
    let window = Duration::from_secs(if args.quick { 10 } else { 60 });
    let own = own::measure(&tools, window)?;

    let sources = sources::measure(&tools, &sources_plan(args.quick))?;

    let mut rows = target_rows(&cost);
    rows.extend(own_rows(&start, &own, model));
    let mut text = table(&rows, &cost, &plan, args.quick);
    let _ = write!(text, "\n## What each source costs the target\n{sources}");
    let mut file = crate::target_dir().join("bench.md");
    if !args.quick {
        text.insert_str(0, HEAD);
        file = crate::root().join("docs/benchmarks.md");
        fs::create_dir_all(crate::root().join("docs")).context("cannot create docs")?;
    }
    fs::write(&file, &text).with_context(|| format!("cannot write {}", file.display()))?;
    user::give_back(&tools.privilege)?;
    std::io::stdout().write_all(text.as_bytes())?;
    say(
        "bench",
        &format!(
            "done in {:.1} min; the tables are in {}",
            begin.elapsed().as_secs_f64() / 60.0,
            file.display()
        ),
    );
    Ok(())
}

fn sources_plan(quick: bool) -> sources::Plan {
    if quick {
        sources::Plan {
            rounds: 1,
            window: Duration::from_secs(2),
        }
    } else {
        sources::Plan {
            rounds: 8,
            window: Duration::from_secs(4),
        }
    }
}

/// What the target pays.
fn target_rows(cost: &cost::Cost) -> Vec<Row> {
    let hits = &cost.hits;
    vec![
        Row {
            what: "hits × calibrated cost, `sampler` without calls, gateway at saturation".into(),
            goal: "≤ 0.1 % of a core",
            measured: hits.cpu_fraction.map_or_else(
                || format!("{:.0} hits/s; cost not calibrated", hits.per_sec),
                |share| {
                    format!(
                        "{:.4} % of a core: {:.0} hits/s × {:.2} µs",
                        share * 100.0,
                        hits.per_sec,
                        share / hits.per_sec.max(f64::MIN_POSITIVE) * 1e6
                    )
                },
            ),
            met: hits.cpu_fraction.map(|share| share <= HITS_GOAL),
        },
        Row {
            what: "the same inside the programs alone, by the kernel's `bpf_stats`".into(),
            goal: "≤ 0.1 % of a core",
            measured: match &hits.kernel {
                Ok((share, runs)) => format!(
                    "{:.4} % of a core: {runs:.0} runs/s × {:.2} µs",
                    share * 100.0,
                    share / runs.max(f64::MIN_POSITIVE) * 1e6
                ),
                Err(why) => format!("not read: {why}"),
            },
            // Wall time with cold caches and interrupts, without the trap: more or less than the calibrated figure.
            met: hits
                .kernel
                .as_ref()
                .ok()
                .map(|(share, _)| *share <= HITS_GOAL),
        },
        Row {
            what: "target's CPU per request, `sampler` : untraced".into(),
            goal: "≤ 1.01",
            measured: format!("{:.3}", cost.heaptop),
            // Only an interval that lies wholly on one side decides.
            met: match (cost.heaptop.low <= 1.01, cost.heaptop.high <= 1.01) {
                (_, true) => Some(true),
                (false, _) => Some(false),
                _ => None,
            },
        },
        Row {
            what: "the same, `bpftrace` counting `runtime.mallocgc` : untraced".into(),
            goal: "peer",
            measured: match &cost.bpftrace {
                Ok(ratio) => format!("{ratio:.2}"),
                Err(why) => format!("not measured: {why}"),
            },
            met: None,
        },
    ]
}

/// How soon heaptop is there, and what it takes itself.
fn own_rows(start: &start::Start, own: &own::Own, events_per_sec: f64) -> Vec<Row> {
    let megabytes = start.bytes / 1_000_000;
    vec![
        Row {
            what: "start to first named rows, the gateway's binary".into(),
            goal: "≤ 100 ms",
            measured: format!("{:.0} ms", start.small.times(1e3)),
            met: Some(start.small.value <= 0.1),
        },
        Row {
            what: format!("the same, stripped binary of {megabytes} MB, file cache warm"),
            goal: "≤ 100 ms",
            measured: format!("{:.0} ms", start.warm.times(1e3)),
            met: Some(start.warm.value <= 0.1),
        },
        Row {
            what: "the same, file cache dropped (what the target has not mapped)".into(),
            goal: "≤ 200 ms",
            measured: format!("{:.0} ms", start.dropped.times(1e3)),
            met: Some(start.dropped.value <= 0.2),
        },
        Row {
            what: format!(
                "heaptop's own memory, {} stacks, {:.1} k samples seen (the goal is for 1 M)",
                own::STACKS,
                own.hits_per_sec * own.window.as_secs_f64() / 1e3
            ),
            goal: "≤ 64 MiB RSS",
            measured: format!(
                "{:.1} MiB, at most {:.1} MiB",
                own.rss_bytes as f64 / MEBIBYTE,
                own.peak_bytes as f64 / MEBIBYTE
            ),
            met: Some(own.peak_bytes <= 64 << 20),
        },
        Row {
            what: format!(
                "heaptop's own CPU, {} stacks, {:.1} GC/s, {:.0} hits/s, {} s",
                own::STACKS,
                own.cycles_per_sec,
                own.hits_per_sec,
                own.window.as_secs()
            ),
            goal: "≤ 2 % of a core",
            measured: format!("{:.2} % of a core", own.cpu * 100.0),
            met: Some(own.cpu <= 0.02),
        },
        Row {
            what: "records of the ring decoded and applied to the model, one core".into(),
            goal: "≥ 1 M/s",
            measured: format!("{:.2} M/s", events_per_sec / 1e6),
            met: Some(events_per_sec >= 1e6),
        },
    ]
}

fn table(rows: &[Row], cost: &cost::Cost, plan: &cost::Plan, quick: bool) -> String {
    let mut text = String::from("| what | goal | measured | |\n| --- | --- | --- | --- |\n");
    for row in rows {
        let verdict = match row.met {
            Some(true) => "met",
            Some(false) => "**missed**",
            None if row.goal.starts_with('≤') => "not decided",
            None => "",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {verdict} |",
            row.what, row.goal, row.measured
        );
    }
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let _ = writeln!(
        text,
        "\nMedians with 95 % intervals by order statistics; {} interleaved rounds of {} s{}. Untraced: {:.1} µs of CPU a \
         request at {:.0} requests/s. Linux {}, {} CPUs, load average at the end {}.",
        plan.rounds,
        plan.window.as_secs(),
        if quick {
            " (`--quick`: wide intervals)"
        } else {
            ""
        },
        cost.untraced_us,
        cost.requests_per_sec,
        kernel.trim(),
        std::thread::available_parallelism().map_or(0, usize::from),
        load.split(' ').next().unwrap_or_default(),
    );
    text
}

/// Events per second from bytes to the model, by the benchmark beside the model.
fn model_speed() -> Result<f64> {
    const UNIT: &str = " events/s";
    let mut cargo = build::cargo();
    cargo
        .args(["bench", "--quiet", "--package=heaptop", "--bench=model"])
        .arg("--target-dir")
        .arg(crate::target_dir())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    user::as_user(&mut cargo);
    let said = progress::output(
        "bench",
        "ring to model: building and running its benchmark",
        &mut cargo,
    )?;
    let line = said
        .lines()
        .rev()
        .find_map(|line| line.strip_suffix(UNIT))
        .with_context(|| format!("the benchmark printed no line that ends with{UNIT}"))?;
    let number = line.rsplit(' ').next().unwrap_or_default();
    let speed: f64 = number
        .parse()
        .with_context(|| format!("{number:?} is no number"))?;
    ensure!(speed > 0.0, "the benchmark measured nothing");
    Ok(speed)
}

/// CPU seconds, user and system, that a process and its ended threads have taken. Counted in ticks of 10 ms.
fn cpu_seconds(pid: u32) -> Result<f64> {
    let fields = stat_fields(pid)?;
    let ticks = |index: usize| -> Option<f64> { fields.get(index)?.parse().ok() };
    let (user, system) = ticks(11)
        .zip(ticks(12))
        .context("/proc/PID/stat has utime and stime")?;
    let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?
        .context("the system knows its ticks")?;
    Ok((user + system) / per_second as f64)
}
