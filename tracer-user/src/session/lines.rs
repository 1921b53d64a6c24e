//! Text tables or JSON lines at an interval, for pipes and scripts.

use std::io::{ErrorKind, Write as _};

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;

use super::Session;
use crate::cli::WatchArgs;
use crate::clock::local_offset_s;
use crate::exit::Exit;
use crate::export::json;
use crate::view::order::Sort;
use crate::view::{TextOptions, text_block};

/// Prints until the count is reached, the target ends, a signal comes, or nobody reads any more.
pub async fn run(mut session: Session, args: &WatchArgs) -> anyhow::Result<Exit> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut timer = tokio::time::interval(args.interval);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut blocks = 0;
    let exit = loop {
        tokio::select! {
            biased;
            _ = interrupt.recv() => break Exit::Interrupted,
            _ = terminate.recv() => break Exit::Terminated,
            _ = hangup.recv() => break Exit::Terminated,
            _ = timer.tick() => {
                blocks += 1;
                if !print(&session, args)? || args.count.is_some_and(|count| blocks >= count) {
                    break Exit::Done;
                }
            }
            more = session.turn() => if !more {
                print(&session, args)?;
                break Exit::Done;
            },
        }
    };
    session.end().await;
    Ok(exit)
}

/// Prints one block; `false` if nobody reads it.
fn print(session: &Session, args: &WatchArgs) -> std::io::Result<bool> {
    let text = if args.json {
        json::line(session.model(), Sort::from(args.sort), args.top) + "\n"
    } else {
        let options = TextOptions {
            width: std::env::var("COLUMNS")
                .ok()
                .and_then(|columns| columns.parse().ok()),
            wide: args.wide,
            top: args.top,
            sort: Sort::from(args.sort),
            utc_offset_s: local_offset_s(),
        };
        text_block(session.model(), &options) + "\n"
    };
    let mut stdout = std::io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(err) if err.kind() == ErrorKind::BrokenPipe => Ok(false),
        result => result.map(|()| true),
    }
}
