//! The live screen: keys and batches in, frames out. The terminal is given back before anything slow.

use std::time::Duration;

use crossterm::event::EventStream;
use futures_util::StreamExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;

use super::{Interest, Session};
use crate::cli::WatchArgs;
use crate::clock::{local_offset_s, monotonic_ns, unix_ns};
use crate::cmd::files;
use crate::event::Event;
use crate::exit::Exit;
use crate::ui::{ScreenOptions, Terminal, input};
use crate::view::input::{Action, handle};
use crate::view::order::Sort;
use crate::view::{Options, UiState, view};

/// Frames without keys: more would move faster than it can be read.
const FRAME_EVERY: Duration = Duration::from_millis(250);

/// Shows the screen until the user quits or a signal comes.
pub async fn run(mut session: Session, args: &WatchArgs) -> anyhow::Result<Exit> {
    let mut options = ScreenOptions::from_env();
    if args.no_mouse {
        options = options.without_mouse();
    }
    if args.ascii {
        options = options.ascii();
    }
    if args.high_contrast {
        options = options.high_contrast();
    }
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut ui = UiState::new(Options {
        sort: Sort::from(args.sort),
        utc_offset_s: local_offset_s(),
    });
    // The answer comes in by what will be the keyboard's: it is waited for before that is read.
    let mut terminal = Terminal::enter(options.ask_background())?;
    let mut inputs = EventStream::new();
    let mut reader = input::Reader::default();
    let mut timer = tokio::time::interval(FRAME_EVERY);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut live = true;
    let exit = loop {
        tokio::select! {
            biased;
            _ = interrupt.recv() => break Exit::Interrupted,
            _ = terminate.recv() => break Exit::Terminated,
            _ = hangup.recv() => break Exit::Terminated,
            event = inputs.next() => {
                // The terminal is gone: there is nobody to show anything to.
                let Some(Ok(event)) = event else { break Exit::Terminated };
                let Some(event) = reader.read(event) else { continue };
                if let Some(action) = handle(&mut ui, event, session.model())
                    && let Some(exit) = act(action, &mut session, &mut ui, &mut terminal)?
                {
                    break exit;
                }
                draw(&mut session, &mut ui, &mut terminal)?;
            }
            _ = timer.tick() => {
                if !live {
                    // Nothing else brings the time of day, and notices end by it.
                    session.apply(vec![Event::Tick { at_ns: monotonic_ns() }]);
                }
                draw(&mut session, &mut ui, &mut terminal)?;
            }
            more = session.turn(), if live => live = more,
        }
    };
    terminal.leave()?;
    session.end().await;
    Ok(exit)
}

fn draw(session: &mut Session, ui: &mut UiState, terminal: &mut Terminal) -> anyhow::Result<()> {
    // What is on the screen gets its names first; cumulative rows count every frame.
    let interest = match ui.wants_stacks() {
        _ if ui.wants_all_frames() => Interest::All,
        Some((query, row)) => Interest::Row(query, row),
        None => Interest::Sites,
    };
    session.name(interest);
    let size = terminal.size()?;
    terminal.draw(&view(session.model(), ui, size))?;
    Ok(())
}

/// Does what a key asks of the session; `Some` to end.
fn act(
    action: Action,
    session: &mut Session,
    ui: &mut UiState,
    terminal: &mut Terminal,
) -> anyhow::Result<Option<Exit>> {
    match action {
        Action::Quit => return Ok(Some(Exit::Done)),
        Action::Export => ui.notify(match export(session) {
            Ok(name) => format!("wrote {name}"),
            Err(err) => format!("nothing saved: {}", err.to_string().replace('\n', "; ")),
        }),
        Action::MarkBaseline => {
            session.apply(vec![Event::MarkBaseline {
                at_ns: monotonic_ns(),
            }]);
        }
        Action::UseBaseline(index) => session.apply(vec![Event::UseBaseline(index)]),
        Action::Suspend => terminal.suspend()?,
        Action::Redraw => terminal.redraw()?,
        Action::Copy(text) => terminal.copy(&text)?,
    }
    Ok(None)
}

fn export(session: &mut Session) -> anyhow::Result<String> {
    let bytes = session.pprof()?;
    let target = session.model().target();
    let name = files::profile_name(&target.name, target.pid, unix_ns());
    Ok(files::create_new(&name, &bytes)?.display().to_string())
}
