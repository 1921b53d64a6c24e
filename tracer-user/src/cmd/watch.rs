//! `heaptop TARGET`: the live screen, or text and JSON where standard output is no terminal.

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::CommandFactory as _;
use clap::error::ErrorKind;

use crate::cli::WatchArgs;
use crate::exit::Exit;
use crate::process::target;
use crate::session::follow::Follow;
use crate::session::signals::Signals;
use crate::session::{AttachSettings, lines, screen};
use crate::ui::terminal;

use super::begin;
use super::pick::{self, Choice};

/// A watch that ends within this time may trace every allocation without a budget.
const SHORT_LOOK: Duration = Duration::from_secs(60);

/// Runs the command.
pub fn run(args: &WatchArgs) -> anyhow::Result<Exit> {
    args.check().unwrap_or_else(|usage| usage.exit());
    if let Some(path) = &args.debug_log {
        begin::log_to(path)?;
    }
    // A picker draws on one, and reads keys from the other.
    let can_pick = std::io::stdout().is_terminal() && std::io::stdin().is_terminal() && !args.json;
    if args.target.is_none() && !can_pick {
        usage_without_target();
    }
    let given = args.target.as_deref().map(target::resolve).transpose()?;
    begin::block_on(!args.no_probes, async {
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
    })
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
        trace: args.trace.clone(),
    };
    let by_pid = pid.to_string();
    let target = args.target.as_deref().unwrap_or(&by_pid);
    // Before the attach: what replaces the process while it lasts is not to be missed.
    let follow = args
        .follow
        .then(|| Follow::of(target, pid, settings.without_trace()));
    let on_screen = !args.json && std::io::stdout().is_terminal();
    if on_screen {
        // In the background the screen would stop heaptop as soon as its probes are in.
        terminal::wait_for_foreground();
    }
    let session = begin::attach(pid, target, &settings).await?;
    let follow = follow.flatten();
    if on_screen {
        screen::run(session, signals, follow, args).await
    } else {
        lines::run(session, signals, follow, args).await
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
