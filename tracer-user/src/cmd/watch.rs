//! `heaptop TARGET`: the live screen, or text and JSON where standard output is no terminal.

use std::fs::OpenOptions;
use std::io::IsTerminal as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap::error::ErrorKind;

use crate::cli::WatchArgs;
use crate::exit::Exit;
use crate::probe;
use crate::process::rights::raise_memlock;
use crate::process::target;
use crate::session::follow::Follow;
use crate::session::signals::Signals;
use crate::session::{AttachSettings, Session, lines, screen};

use super::patience::Patience;
use super::pick::{self, Choice};

/// A watch that ends within this time may trace every allocation without a budget.
const SHORT_LOOK: Duration = Duration::from_secs(60);

/// Runs the command.
pub fn run(args: &WatchArgs) -> anyhow::Result<Exit> {
    args.check().unwrap_or_else(|usage| usage.exit());
    if let Some(path) = &args.debug_log {
        log_to(path)?;
    }
    // A picker draws on one, and reads keys from the other.
    let can_pick = std::io::stdout().is_terminal() && std::io::stdin().is_terminal() && !args.json;
    if args.target.is_none() && !can_pick {
        usage_without_target();
    }
    let given = args.target.as_deref().map(target::resolve).transpose()?;
    if !args.no_probes {
        // Before Linux 5.11 the maps count against it. Where it cannot be raised, loading them tells.
        let _ = raise_memlock();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let exit = runtime.block_on(async {
        // Before anything is written into the target: a signal must not end heaptop by itself from then on.
        let mut signals = Signals::catch()?;
        let pid = match given {
            Some(pid) => pid,
            None => match pick::run(screen::options(args), &mut signals).await? {
                Choice::Pid(pid) => pid,
                Choice::Exit(exit) => return Ok(exit),
            },
        };
        watch(pid, signals, args).await
    });
    probe::detach::finish();
    // A write that nobody reads may still wait on a thread of its own.
    runtime.shutdown_background();
    exit
}

async fn watch(pid: u32, signals: Signals, args: &WatchArgs) -> anyhow::Result<Exit> {
    let settings = AttachSettings {
        source: if args.arm { None } else { args.wanted_source() },
        arm: args.arm,
        max_cpu_fraction: args.max_overhead,
        is_short: args.duration.is_some_and(|duration| duration <= SHORT_LOOK),
        per: args.per.wanted(),
        log: args.debug_log.is_some(),
        ring_bytes: args.ring_bytes,
    };
    let by_pid = pid.to_string();
    let target = args.target.as_deref().unwrap_or(&by_pid);
    let patience = Patience::new(format!(
        "ATTACHING  reading the tables of {target} (pid {pid}), usually under 1 s"
    ));
    // Before the attach: what replaces the process while it lasts is not to be missed.
    let follow = args
        .follow
        .then(|| Follow::of(target, pid, settings.clone()));
    let session = Session::attach(pid, &settings).await?;
    drop(patience);
    let follow = follow.flatten();
    if args.json || !std::io::stdout().is_terminal() {
        lines::run(session, signals, follow, args).await
    } else {
        screen::run(session, signals, follow, args).await
    }
}

/// Says what a target is, as clap would, and ends with status 2.
fn usage_without_target() -> ! {
    crate::cli::Cli::command()
        .error(
            ErrorKind::MissingRequiredArgument,
            "no TARGET given, and no terminal to pick one on\n\nhint: heaptop ps lists the Go processes here",
        )
        .exit()
}

/// Sends heaptop's own diagnostics to a file: the screen has no room for them.
fn log_to(path: &Path) -> anyhow::Result<()> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("cannot write the log {}", path.display()))?;
    env_logger::Builder::new()
        .filter_level(log::LevelFilter::Debug)
        .target(env_logger::Target::Pipe(Box::new(file)))
        .init();
    Ok(())
}
