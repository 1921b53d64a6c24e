//! Text tables or JSON lines at an interval, for pipes and scripts.

use std::io::Write as _;

use tokio::time::{Instant, MissedTickBehavior};

use super::Session;
use super::follow::{Follow, Next, next, over};
use super::signals::Signals;
use crate::cli::WatchArgs;
use crate::clock::local_offset_s;
use crate::cmd::stdout;
use crate::exit::Exit;
use crate::export::json;
use crate::view::order::Sort;
use crate::view::{TextOptions, text_block};

/// GC cycles in each line of JSON about the process: at 20 a second, one line misses none of a second.
const RECENT_CYCLES: usize = 32;

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
    let mut cost_told = false;
    let exit = 'blocks: loop {
        // The last block is that of the time asked for, however long ago the one before it was.
        let (ended, is_over) = tokio::select! {
            biased;
            exit = signals.next() => break exit,
            () = over(deadline) => (false, true),
            _ = timer.tick() => (false, false),
            more = session.turn() => {
                if more {
                    continue;
                }
                (true, false)
            }
        };
        if let Some(note) = session.disarmed() {
            say(&note);
        }
        blocks += 1;
        let cost_known = session.model().overhead();
        let cost_known = cost_known.is_some_and(|overhead| overhead.cpu_fraction.is_some());
        let is_first_cost = cost_known && !std::mem::replace(&mut cost_told, cost_known);
        let text = block(&session, args, (blocks == 1, is_first_cost));
        // A reader that has stopped must not keep a signal waiting.
        let written = tokio::select! {
            biased;
            exit = signals.next() => break exit,
            written = tokio::task::spawn_blocking(move || write(&text)) => written??,
        };
        let is_enough = args.count.is_some_and(|count| blocks >= count);
        if !written || is_enough || is_over || (ended && follow.is_none()) {
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

/// One block of text or JSON: whether it is the first one, and the first that knows what the probes cost.
fn block(session: &Session, args: &WatchArgs, (is_first, is_first_cost): (bool, bool)) -> String {
    if args.json {
        let model = session.model();
        let sites = json::line(model, args.by.into(), Sort::from(args.sort), args.top);
        let process = json::process_line(model, RECENT_CYCLES);
        return format!("{sites}\n{process}\n");
    }
    let columns = std::env::var("COLUMNS").ok();
    let options = TextOptions {
        width: columns.and_then(|columns| columns.parse().ok()),
        wide: args.wide,
        top: args.top,
        by: args.by.into(),
        sort: Sort::from(args.sort),
        is_first,
        is_first_cost,
        utc_offset_s: local_offset_s(),
    };
    text_block(session.model(), &options) + "\n"
}

/// Writes a block; `false` if nobody reads it.
pub(crate) fn write(text: &str) -> anyhow::Result<bool> {
    Ok(stdout::write(text.as_bytes())?)
}

/// Says something beside the blocks, where they are not in the way.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "heaptop: {text}");
}
