//! `heaptop doctor`: what would work and what is missing.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use super::stdout;
use crate::cli::DoctorArgs;
use crate::doctor::{Check, Report, State, examine};
use crate::exit::Exit;

/// Runs the command.
pub fn run(args: &DoctorArgs) -> anyhow::Result<Exit> {
    let report = examine(args.target.as_deref());
    let text = if args.json {
        let lines: Result<Vec<String>, _> =
            report.checks.iter().map(serde_json::to_string).collect();
        lines?.join("\n") + "\n"
    } else {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colours = std::io::stdout().is_terminal() && !no_color;
        text(&report, args.target.as_deref(), colours)
    };
    stdout::write(text.as_bytes())?;
    Ok(if report.would_run() {
        Exit::Done
    } else {
        Exit::CouldNot
    })
}

/// Cells of the states and of the names of checks.
const STATE_WIDTH: usize = 8;
const CHECK_WIDTH: usize = 12;

fn text(report: &Report, target: Option<&str>, colours: bool) -> String {
    let mut text = String::new();
    for check in &report.checks {
        text += &lines_of(check, colours);
    }
    text += "\n";
    text += &verdict(report, target);
    text + "\n"
}

fn lines_of(check: &Check, colours: bool) -> String {
    let word = format!("{:STATE_WIDTH$}", check.state.word());
    // The word says it as well: colour is for finding it.
    let word = match check.state {
        _ if !colours => word,
        State::Ok => word,
        State::Degraded => format!("\x1b[33m{word}\x1b[0m"),
        State::Missing => format!("\x1b[1;31m{word}\x1b[0m"),
    };
    let clean = |text: &str| crate::view::names::clean(text);
    let mut text = format!(
        "{word} {:CHECK_WIDTH$} {}\n",
        check.check,
        clean(&check.detail)
    );
    if let Some(next) = &check.next {
        let blank = " ".repeat(STATE_WIDTH + 1 + CHECK_WIDTH + 1);
        // A string takes all that is written to it.
        let _ = writeln!(text, "{blank}next: {}", clean(next));
    }
    text
}

fn verdict(report: &Report, target: Option<&str>) -> String {
    let missing: Vec<&str> = report
        .checks
        .iter()
        .filter(|check| check.state == State::Missing)
        .map(|check| check.check)
        .collect();
    let command = format!("heaptop {}", target.unwrap_or("TARGET"));
    match (&report.source, missing.is_empty()) {
        (_, false) => format!("{command} would not run: missing {}", missing.join(", ")),
        (Some(source), true) => format!("{command} would run, source {}", source.word()),
        (None, true) => {
            format!("{command} would run; `heaptop doctor TARGET` looks at one process")
        }
    }
}
