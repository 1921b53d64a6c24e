//! The live screen: keys and batches in, frames out. The terminal is given back before anything slow.

use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior};

use super::diagnose::json_lines;
use super::follow::{Follow, Next, next, over};
use super::signals::Signals;
use super::{Interest, Session, stop};
use crate::cli::WatchArgs;
use crate::clock::{local_offset_s, monotonic_ns, unix_ns};
use crate::cmd::files;
use crate::event::Event;
use crate::exit::Exit;
use crate::model::Model;
use crate::model::rows::{Query, Status};
use crate::ui::{Keyboard, ScreenOptions, Terminal, terminal};
use crate::view::input::{Action, handle};
use crate::view::order::Sort;
use crate::view::popup::Export;
use crate::view::reading::Reading;
use crate::view::{Options, UiState, view, words};

/// Columns of the diagnosis in a file.
const DIAGNOSIS_WIDTH: usize = 80;
/// Frames without keys: more would move faster than it can be read.
const FRAME_EVERY: Duration = Duration::from_millis(250);

/// Shows the screen until the user quits or a signal comes.
pub async fn run(
    mut session: Session,
    signals: Signals,
    follow: Option<Follow>,
    args: &WatchArgs,
) -> anyhow::Result<Exit> {
    let options = options(args);
    let deadline = args.duration.map(|duration| Instant::now() + duration);
    let mut ui = UiState::new(Options {
        sort: Sort::from(args.sort),
        by: args.by.into(),
        utc_offset_s: local_offset_s(),
    });
    // The answer comes in by what will be the keyboard's: it is waited for before that is read.
    let mut terminal = Terminal::enter(options.ask_background())?;
    let shown = show(
        &mut session,
        &mut ui,
        &mut terminal,
        signals,
        (follow, deadline),
    )
    .await;
    let left = terminal.leave();
    session.end().await?;
    match shown.and_then(|exit| left.map(|()| exit).map_err(Into::into)) {
        // Its window was closed: there is nothing to give back, and nobody to tell.
        Err(err) if is_gone(&err) => Ok(Exit::Terminated),
        other => other,
    }
}

/// The screen as the command line and the environment ask for it.
pub fn options(args: &WatchArgs) -> ScreenOptions {
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
    options
}

/// Whether an error says that there is no terminal any more.
fn is_gone(err: &anyhow::Error) -> bool {
    err.downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::raw_os_error)
        .is_some_and(|code| code == Errno::EIO as i32 || code == Errno::EPIPE as i32)
}

async fn show(
    session: &mut Session,
    ui: &mut UiState,
    terminal: &mut Terminal,
    mut signals: Signals,
    (mut follow, deadline): (Option<Follow>, Option<Instant>),
) -> anyhow::Result<Exit> {
    let mut keyboard = Keyboard::open()?;
    let mut timer = tokio::time::interval(FRAME_EVERY);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut continued = signal(SignalKind::from_raw(Signal::SIGCONT as i32))?;
    let mut live = true;
    loop {
        tokio::select! {
            biased;
            exit = signals.next() => return Ok(exit),
            _ = continued.recv() => {
                // What ran meanwhile may have left anything on the screen, and a shell sets its own modes.
                terminal.resume()?;
                draw(session, ui, terminal)?;
            }
            () = over(deadline) => return Ok(Exit::Done),
            input = keyboard.next(), if terminal::is_taken() => {
                // The terminal is gone: there is nobody to show anything to.
                let Ok(Some(input)) = input else { return Ok(Exit::Terminated) };
                if let Some(action) = handle(ui, input, session.model())
                    && let Some(exit) = act(action, session, ui, terminal)?
                {
                    return Ok(exit);
                }
                draw(session, ui, terminal)?;
            }
            _ = timer.tick() => {
                if !live {
                    // Nothing else brings the time of day, and notices end by it.
                    session.apply(vec![Event::Tick { at_ns: monotonic_ns() }]);
                }
                draw(session, ui, terminal)?;
            }
            more = session.turn(), if live => {
                live = more;
                if !live && *session.model().status() == Status::Live {
                    // The collector has ended by itself: why, is told by the end of the session.
                    return Ok(Exit::CouldNot);
                }
                if let (false, Some(follow)) = (live, &follow) {
                    waits(session, follow);
                }
            }
            next = next(&mut follow), if !live => {
                let Next::Session(next) = next else {
                    if let Some(follow) = &follow {
                        waits(session, follow);
                    }
                    continue;
                };
                // The old collector has ended, and detaches on a thread of its own.
                *session = *next;
                *ui = ui.anew();
                let target = session.model().target();
                ui.notify(format!("{} started again, pid {}", target.name, target.pid_text()));
                live = true;
            }
        }
    }
}

/// Adds to the end of the target that its successor is waited for.
fn waits(session: &mut Session, follow: &Follow) {
    if let Status::Exited { at_ns, exit, .. } = *session.model().status() {
        let how = Some(follow.words());
        session.apply(vec![Event::Exited { at_ns, exit, how }]);
    }
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
        Action::Export(wanted) => ui.notify(match export(session, wanted) {
            Ok(names) => format!("wrote {names}"),
            Err(err) => format!("nothing saved: {}", err.to_string().replace('\n', "; ")),
        }),
        Action::MarkBaseline => {
            session.apply(vec![Event::MarkBaseline {
                at_ns: monotonic_ns(),
            }]);
        }
        Action::UseBaseline(index) => session.apply(vec![Event::UseBaseline {
            at_ns: monotonic_ns(),
            index,
        }]),
        // The rest is done by who catches it: see `stop`.
        Action::Suspend => {
            terminal.give_back()?;
            stop::ask()?;
        }
        Action::Redraw => terminal.redraw()?,
        Action::Copy(text) => terminal.copy(&text)?,
    }
    Ok(None)
}

/// Writes what is wanted to new files in the present folder. Returns their names.
fn export(session: &mut Session, wanted: Export) -> anyhow::Result<String> {
    let at_unix_ns = unix_ns();
    let mut names = Vec::new();
    for (kind, ending) in [
        (Export::Profile, files::PROFILE),
        (Export::Diagnosis, ".txt"),
        (Export::Json, ".json"),
    ] {
        if wanted != kind && wanted != Export::Everything {
            continue;
        }
        let bytes = match kind {
            Export::Diagnosis => diagnosis(session.model()).into_bytes(),
            Export::Json => json_lines(session.model()).into_bytes(),
            Export::Profile | Export::Everything => session.pprof()?,
        };
        let target = session.model().target();
        let name = files::name(&target.name, &target.pid_text(), at_unix_ns, ending);
        let path = files::create_new(&name, ending, &bytes)?;
        let name = path.display().to_string();
        // Names that differ in their ending alone are too long for one row.
        names.push(if names.is_empty() {
            name
        } else {
            ending.into()
        });
    }
    Ok(names.join(", "))
}

/// The diagnosis in words.
fn diagnosis(model: &Model) -> String {
    let mut reading = Reading::default();
    reading.update(model, Query::default());
    words::diagnosis(&reading, DIAGNOSIS_WIDTH).join("\n") + "\n"
}
