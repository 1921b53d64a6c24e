//! `heaptop ps`: the Go processes that run here.

use std::io::Write as _;

use serde::Serialize;

use super::stdout;
use crate::cli::PsArgs;
use crate::exit::Exit;
use crate::listed::ListedProcess;
use crate::process::list::Lister;
use crate::view::processes::{sort, table};

/// Columns where nobody says how many there are.
const DEFAULT_COLUMNS: usize = 80;

/// A process as one line of JSON; what is not known is `null`.
#[derive(Serialize)]
struct Line<'a> {
    pid: u32,
    name: &'a str,
    container: Option<&'a str>,
    go: Option<&'a str>,
    stripped: Option<bool>,
    sample_rate_bytes: Option<u64>,
    source: &'static str,
    /// Reason for the source `none`.
    why: Option<&'a str>,
    rss_bytes: Option<u64>,
}

/// Runs the command.
pub fn run(args: &PsArgs) -> anyhow::Result<Exit> {
    let mut listing = Lister::default().list();
    sort(&mut listing.processes);
    let text = if args.json {
        let lines: Result<Vec<String>, _> = listing.processes.iter().map(json).collect();
        lines?.concat()
    } else if listing.processes.is_empty() {
        String::new()
    } else {
        table(&listing.processes, columns())
    };
    if let Some(advice) = listing.advice().filter(|_| !args.json) {
        let _ = writeln!(std::io::stderr(), "heaptop: {advice}");
    }
    stdout::write(text.as_bytes())?;
    Ok(Exit::Done)
}

fn json(process: &ListedProcess) -> serde_json::Result<String> {
    let line = Line {
        pid: process.pid,
        name: &process.name,
        container: process.container.as_deref(),
        go: process.go.as_deref(),
        stripped: process.stripped,
        sample_rate_bytes: process.sample_rate_bytes,
        source: process.source.word(),
        why: process.source.why(),
        rss_bytes: process.rss_bytes,
    };
    Ok(serde_json::to_string(&line)? + "\n")
}

/// Columns of the terminal, or as the environment says.
fn columns() -> usize {
    let of_terminal = || {
        let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
        Some(usize::from(size.ws_col)).filter(|&columns| columns > 0)
    };
    let of_variable = || std::env::var("COLUMNS").ok()?.parse().ok();
    of_terminal()
        .or_else(of_variable)
        .unwrap_or(DEFAULT_COLUMNS)
}
