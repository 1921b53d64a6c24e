//! Text tables or JSON lines at an interval, for pipes and scripts.

use std::io::{ErrorKind, Write as _};

use tokio::time::{Instant, MissedTickBehavior};

use super::Session;
use super::follow::{Follow, Next, next, over};
use super::signals::Signals;
use crate::cli::WatchArgs;
use crate::clock::local_offset_s;
use crate::exit::Exit;
use crate::export::json;
use crate::refusal::Refusal;
use crate::view::order::Sort;
use crate::view::{TextOptions, text_block};

/// Prints until the count is reached, the target ends, a signal comes, or nobody reads any more.
pub async fn run(
    mut session: Session,
    mut signals: Signals,
    mut follow: Option<Follow>,
    args: &WatchArgs,
) -> anyhow::Result<Exit> {
    tell_notes(&session);
    let deadline = args.duration.map(|duration| Instant::now() + duration);
    let mut timer = tokio::time::interval(args.interval);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut blocks = 0;
    let exit = 'blocks: loop {
        let ended = tokio::select! {
            biased;
            exit = signals.next() => break exit,
            () = over(deadline) => break Exit::Done,
            _ = timer.tick() => false,
            more = session.turn() => {
                if more {
                    continue;
                }
                true
            }
        };
        if let Some(by) = session.disarmed() {
            let pid = by.pid;
            say(&format!(
                "heaptop {pid} has disarmed the target: no more samples come"
            ));
        }
        blocks += 1;
        let text = block(&session, args, blocks == 1);
        // A reader that has stopped must not keep a signal waiting.
        let written = tokio::select! {
            biased;
            exit = signals.next() => break exit,
            written = tokio::task::spawn_blocking(move || write(&text)) => written??,
        };
        let is_enough = args.count.is_some_and(|count| blocks >= count);
        if !written || is_enough || (ended && follow.is_none()) {
            break Exit::Done;
        }
        if ended {
            if let Some(follow) = &follow {
                say(&format!("EXITED  {}", follow.words()));
            }
            session = loop {
                let next = tokio::select! {
                    biased;
                    exit = signals.next() => break 'blocks exit,
                    () = over(deadline) => break 'blocks Exit::Done,
                    next = next(&mut follow) => next,
                };
                if let Next::Session(next) = next {
                    break *next;
                }
                if let Some(follow) = &follow {
                    say(&follow.words());
                }
            };
            tell_notes(&session);
            timer.reset_immediately();
        }
    };
    session.end().await?;
    Ok(exit)
}

pub(super) fn tell_notes(session: &Session) {
    for note in &session.model().target().notes {
        say(note);
    }
}

/// One block of text or JSON.
fn block(session: &Session, args: &WatchArgs, is_first: bool) -> String {
    if args.json {
        return json::line(
            session.model(),
            args.by.into(),
            Sort::from(args.sort),
            args.top,
        ) + "\n";
    }
    let columns = std::env::var("COLUMNS").ok();
    let options = TextOptions {
        width: columns.and_then(|columns| columns.parse().ok()),
        wide: args.wide,
        top: args.top,
        by: args.by.into(),
        sort: Sort::from(args.sort),
        is_first,
        utc_offset_s: local_offset_s(),
    };
    text_block(session.model(), &options) + "\n"
}

/// Writes a block; `false` if nobody reads it.
pub(super) fn write(text: &str) -> anyhow::Result<bool> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match written {
        Ok(()) => Ok(true),
        Err(err) if err.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(err) => Err(Refusal::new(
            "cannot write to standard output",
            err.to_string(),
            "make room, or send the output elsewhere",
        )
        .into()),
    }
}

/// Says something beside the blocks, where they are not in the way.
pub(super) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "heaptop: {text}");
}
