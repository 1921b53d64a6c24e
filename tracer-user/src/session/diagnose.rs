//! A watch of some minutes that ends with its diagnosis: in words, or as two lines of JSON.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use super::Session;
use super::follow::over;
use super::lines::{say, tell_notes, write};
use super::signals::Signals;
use crate::cli::DiagnoseArgs;
use crate::exit::Exit;
use crate::export::json;
use crate::model::Model;
use crate::model::findings::Findings;
use crate::model::rows::{GroupBy, Query};
use crate::view::countdown::Countdown;
use crate::view::order::{Sort, SortKey};
use crate::view::reading::Reading;
use crate::view::words::{self, Answer, Expected, Outcome};

/// Longest watch where none was asked for.
const LONGEST: Duration = Duration::from_secs(10 * 60);
/// Longest wait for the driver of a leak behind the answer: rounds of windows for each of its candidates.
const DRIVER_WAIT: Duration = Duration::from_secs(45);
/// How often the progress changes on a terminal.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// Most sites in the JSON: those that grow come first.
const MAX_SITES: usize = 1000;
/// Text wider than this is hard to read, whatever the terminal.
const WIDEST: usize = 100;
/// Text that is not for a terminal.
const USUAL: usize = 80;

/// Watches until an answer holds, the time is over, the target ends or a signal comes, then prints the diagnosis. A length
/// that was asked for is watched whole.
pub async fn run(
    mut session: Session,
    mut signals: Signals,
    args: &DiagnoseArgs,
) -> anyhow::Result<Exit> {
    tell_notes(&session);
    let begun = Instant::now();
    let longest = args.duration.unwrap_or(LONGEST);
    let deadline = Some(begun + longest);
    let mut progress = Progress::new(longest);
    let mut answer = Answer::default();
    let mut answered = None;
    let mut timer = tokio::time::interval(PROGRESS_EVERY);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let by_signal = loop {
        tokio::select! {
            biased;
            exit = signals.next() => break Some(exit),
            () = over(deadline) => break None,
            _ = timer.tick() => {
                let driver_wait = answered.map(|at: Instant| DRIVER_WAIT.saturating_sub(at.elapsed()));
                progress.show(&session, begun.elapsed(), &answer, driver_wait);
            }
            more = session.turn() => if !more { break None },
        }
        if let Some(note) = session.disarmed() {
            progress.clear();
            say(&note);
        }
        let model = session.model();
        if answer.holds(model.evaluations(), &model.findings()) && args.duration.is_none() {
            let answered = *answered.get_or_insert_with(Instant::now);
            if !is_driver_due(model) || answered.elapsed() >= DRIVER_WAIT {
                break None;
            }
        }
    };
    progress.clear();
    let findings = session.model().findings();
    let exit = by_signal.unwrap_or_else(|| exit_of(&findings));
    let text = if args.json {
        json_lines(session.model())
    } else {
        text(&session, args, exit, begun.elapsed())
    };
    // A reader that has stopped must not keep a signal waiting.
    let exit = tokio::select! {
        biased;
        exit = signals.next() => exit,
        written = tokio::task::spawn_blocking(move || write(&text)) => {
            written??;
            exit
        }
    };
    session.end().await?;
    Ok(exit)
}

/// True while functions are counted of which one may drive a leak.
fn is_driver_due(model: &Model) -> bool {
    let leaks = &model.findings().leaks;
    !model.candidates().is_empty() && leaks.iter().all(|leak| leak.driver.is_none())
}

/// The status that the findings mean.
fn exit_of(findings: &Findings) -> Exit {
    match words::outcome(findings) {
        Outcome::Flat => Exit::Done,
        Outcome::Leak => Exit::Grows,
        Outcome::Undecided => Exit::Undecided,
    }
}

/// All rows and the verdict, as `--json` prints them.
pub(super) fn json_lines(model: &Model) -> String {
    let sort = Sort {
        key: SortKey::Verdict,
        reversed: false,
    };
    let sites = json::line(model, GroupBy::Function, sort, MAX_SITES);
    let process = json::process_line(model, usize::MAX);
    format!("{sites}\n{process}\n")
}

fn text(session: &Session, args: &DiagnoseArgs, exit: Exit, watched: Duration) -> String {
    let mut reading = Reading::default();
    reading.update(session.model(), Query::default());
    let mut lines = words::diagnosis(&reading, width());
    let code = exit.code();
    lines.push(match exit {
        Exit::Grows => format!("Exit status {code}: memory or goroutines keep growing."),
        Exit::Undecided => format!("Exit status {code}: undecided."),
        Exit::Done => format!("Exit status {code}: no growth that lasts was found."),
        _ => format!(
            "Exit status {code}: ended by a signal after {}.",
            humantime::format_duration(Duration::from_secs(watched.as_secs()))
        ),
    });
    if let Some(minutes) = words::next_watch_min(&reading.findings, watched.as_secs_f64()) {
        lines.push(format!("Watch longer: {}", args.again(minutes)));
    }
    lines.join("\n") + "\n"
}

/// Columns for the text: those of the terminal, or what `COLUMNS` says.
fn width() -> usize {
    let told = std::env::var("COLUMNS")
        .ok()
        .and_then(|columns| columns.parse().ok());
    if !std::io::stdout().is_terminal() {
        return told.unwrap_or(USUAL);
    }
    let columns = crossterm::terminal::size().map_or(USUAL, |(columns, _)| columns.into());
    told.unwrap_or(columns).min(WIDEST)
}

/// One line on standard error that is written over and over; nothing where that is no terminal.
struct Progress {
    whole: Duration,
    countdown: Countdown,
    is_shown: bool,
    is_terminal: bool,
}

impl Progress {
    /// Back to the line's start, and nothing in it.
    const CLEAR: &str = "\r\x1b[K";

    fn new(whole: Duration) -> Self {
        Self {
            whole,
            countdown: Countdown::default(),
            is_shown: false,
            is_terminal: std::io::stderr().is_terminal(),
        }
    }

    /// Shows the state of the watch. `driver_wait`: time left for the search of a driver, once the answer holds.
    fn show(
        &mut self,
        session: &Session,
        elapsed: Duration,
        answer: &Answer,
        driver_wait: Option<Duration>,
    ) {
        if !self.is_terminal {
            return;
        }
        let model = session.model();
        let expected = driver_wait.map_or_else(
            || self.expected(model, elapsed, answer),
            |wait| Expected::Driver(wait.as_secs_f64()),
        );
        let columns = crossterm::terminal::size().map_or(USUAL, |(columns, _)| columns.into());
        let text = words::progress(
            &model.findings(),
            model.cycles_seen(),
            (elapsed, self.whole),
            expected,
            columns.saturating_sub(1),
        );
        let _ = write!(std::io::stderr(), "{}{text}", Self::CLEAR);
        self.is_shown = true;
    }

    /// The answer that is waited for, and its time.
    fn expected(&mut self, model: &Model, elapsed: Duration, answer: &Answer) -> Expected {
        let findings = model.findings();
        let Some(forecast) = &findings.process.forecast else {
            return Expected::Evaluation;
        };
        let to_repeat = answer.to_repeat(&findings);
        if to_repeat == Some(0) {
            return Expected::End;
        }
        let now_s = model.watched_s();
        let end_s = now_s + self.whole.saturating_sub(elapsed).as_secs_f64();
        Expected::Answer((self.countdown).at(now_s, forecast, to_repeat, Some(end_s)))
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            let _ = write!(std::io::stderr(), "{}", Self::CLEAR);
        }
    }
}
