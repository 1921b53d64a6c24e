//! The table as text, for output that is not a terminal: one block at a time, no colours, no padding at the end.

use std::fmt::Write as _;

use super::columns::Column;
use super::format;
use super::names::{self, width};
use super::order::{Sort, SortKey};
use super::outlook::badge;
use super::reading::{Reading, notes};
use super::selected::rate_to_zero;
use super::table::{CYCLES_FOR_RATE, CellOptions, cell, label};
use super::words;
use crate::model::Model;
use crate::model::rows::{GroupBy, Query, SiteRow, Status};

/// How a block is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextOptions {
    /// Columns; 80 if not known.
    pub width: Option<usize>,
    /// Whole names with file and line, however wide.
    pub wide: bool,
    /// Most rows.
    pub top: usize,
    /// What a row is.
    pub by: GroupBy,
    /// Order of the rows.
    pub sort: Sort,
    /// It is the first block: what was found at the attach is told in it, and not again.
    pub is_first: bool,
    /// It is the first block that knows what the probes cost: it tells, and others do not.
    pub is_first_cost: bool,
    /// Seconds east of UTC, for the time of day.
    pub utc_offset_s: i32,
}

impl Default for TextOptions {
    fn default() -> Self {
        Self {
            width: None,
            wide: false,
            top: 50,
            by: GroupBy::default(),
            sort: Sort::default(),
            is_first: false,
            is_first_cost: false,
            utc_offset_s: 0,
        }
    }
}

/// Columns before the name, with their cells.
const COLUMNS: [(Column, usize); 7] = [
    (Column::Leak, 1),
    (Column::Verdict, 7),
    (Column::Since, 8),
    (Column::InUse, 6),
    (Column::Error, 3),
    (Column::Growth, 8),
    (Column::Objects, 7),
];

/// Those of a block: growth since the baseline only where the rows go by it.
fn columns(opts: &TextOptions) -> impl Iterator<Item = (Column, usize)> + use<> {
    let by_since = opts.sort.key == SortKey::Growth;
    COLUMNS
        .into_iter()
        .filter(move |(column, _)| by_since || *column != Column::Since)
}

/// A text in the cells of its column.
fn in_cells(column: Column, cells: usize, text: &str) -> String {
    let blank = " ".repeat(cells.saturating_sub(width(text)));
    if column.is_left() {
        format!("{text}{blank}")
    } else {
        format!("{blank}{text}")
    }
}

/// Most leaks that are told above the rows, the largest: more would push these out of sight. They are told at all since one
/// by goroutines has no row of its own.
const MAX_LEAKS: usize = 8;

/// Suspects above the rows.
const MAX_SUSPECTS: usize = 3;

/// Least cells for a name, however narrow the output says it is.
const LEAST_NAME: usize = 24;

/// One block: a line about the process, the heading, rows, and the sum of what is left out. Ends with a newline.
pub fn text_block(model: &Model, opts: &TextOptions) -> String {
    let mut text = process_line(model, opts);
    text.push('\n');
    for note in told_once(model, opts) {
        for part in ["note: ", &note, "\n"] {
            text.push_str(part);
        }
    }
    if !model.ready() {
        return text;
    }
    let mut reading = Reading::default();
    let query = Query {
        by: opts.by,
        cumulative: false,
    };
    reading.update(model, query);
    let findings = reading.findings.clone();
    for leak in findings.leaks.iter().take(MAX_LEAKS) {
        text.push_str(&words::leak_line(leak));
        text.push('\n');
    }
    let left_out = findings.leaks.len().saturating_sub(MAX_LEAKS);
    if left_out > 0 {
        let _ = writeln!(text, "... and {left_out} more leaks");
    }
    if findings.leaks.is_empty() {
        text.push_str(&facts(&reading));
    }
    let mut rows = reading.sites;
    rows.sort_by(|a, b| opts.sort.compare(a, b, false));
    let figures: usize = columns(opts).map(|(_, width)| width + 1).sum();
    let room = opts
        .width
        .unwrap_or(80)
        .saturating_sub(figures)
        .max(LEAST_NAME);
    let heading: Vec<String> = columns(opts)
        .map(|(column, width)| in_cells(column, width, column.title()))
        .collect();
    text.push_str(&heading.join(" "));
    text.push_str(if opts.wide {
        " SITE FILE:LINE\n"
    } else {
        " SITE\n"
    });
    let n_rows = rows.len().min(opts.top);
    let (shown, left_out) = rows.split_at(n_rows);
    let labels: Vec<String> = shown.iter().map(|row| label(row, query.by)).collect();
    let names = if opts.wide {
        labels
    } else {
        names::shorten_all(&labels, room)
    };
    for (row, name) in shown.iter().zip(&names) {
        text.push_str(&figures_of(row, model, opts));
        text.push_str(name);
        if opts.wide {
            let place = names::location(&row.file, row.line, usize::MAX);
            text.push(' ');
            text.push_str(&place);
        }
        text.push('\n');
    }
    if !left_out.is_empty() {
        text.push_str(&sum_of(left_out, opts));
    }
    text
}

/// Sizes with their change, and the call sites that grew most: for blocks without a leak.
fn facts(reading: &Reading) -> String {
    let mut text = String::new();
    if let Some(sizes) = words::sizes(reading) {
        let _ = writeln!(text, "{sizes}");
    }
    let suspects = &reading.findings.suspects;
    for suspect in suspects.iter().take(MAX_SUSPECTS) {
        let _ = writeln!(text, "Suspect: {}", words::suspect_line(suspect));
    }
    text
}

/// What is told in one block and not again: the source and what was found at the attach, then the cost of the probes.
fn told_once(model: &Model, opts: &TextOptions) -> Vec<String> {
    let mut told = Vec::new();
    if opts.is_first {
        let target = model.target();
        let rate = model.rate_bytes().filter(|_| !target.source.is_by_marks());
        let rate = rate.map_or_else(String::new, |rate| {
            format!(", a sample per {}", format::sentence_rate(rate))
        });
        told.push(format!("source {}{rate}", target.source.word()));
        told.extend(notes(target, model.rate_bytes()));
    }
    let cost = model.overhead().and_then(|overhead| overhead.cpu_fraction);
    if let Some(fraction) = cost.filter(|_| opts.is_first_cost) {
        told.push(format!(
            "probes take {} % of a CPU",
            format::cpu_percent(fraction)
        ));
    }
    told
}

fn process_line(model: &Model, opts: &TextOptions) -> String {
    let target = model.target();
    let heap = model.heap();
    let bytes = |value: Option<u64>| {
        value.map_or_else(|| "?".to_owned(), |value| format::bytes(value as f64))
    };
    let at_ns = match model.status() {
        Status::Live => model.now_ns(),
        Status::Exited { at_ns, .. } => *at_ns,
    };
    let losses = model.losses();
    let (lost, fixed) = if target.source.has_probes() {
        (losses.lost.to_string(), losses.repaired.to_string())
    } else {
        ("-".to_owned(), "-".to_owned())
    };
    let verdict = match badge(&model.findings()) {
        badge if badge.is_empty() => badge,
        badge => format!(" {badge}"),
    };
    let mut line = format!(
        "{} {} {}{verdict} live {} goal {} rss {} lost {lost} fixed {fixed}",
        format::time_of_day(target.unix_ns(at_ns), opts.utc_offset_s),
        names::clean(&target.name),
        target.pid_text(),
        bytes(heap.live_bytes),
        bytes(heap.goal_bytes),
        bytes(heap.rss_bytes),
    );
    if model.sampler_detached() {
        line.push_str(" budget: probes detached");
    }
    if let Some(duty) = model.duty().filter(|duty| duty.on_fraction < 1.0) {
        line.push_str(" budget: on ");
        line.push_str(&format::percent(duty.on_fraction));
        line.push_str(" % of the time");
    }
    if let Some((from, to, _)) = model.rate_changed() {
        if to == 0 {
            line.push(' ');
            line.push_str(&rate_to_zero(from));
        } else {
            let (from, to) = (format::rate(from), format::rate(to));
            for part in [" rate was ", &from, ", is ", &to, ": estimates mix both"] {
                line.push_str(part);
            }
        }
    }
    if let Status::Exited { exit, how, .. } = model.status() {
        line.push_str(" exited: ");
        line.push_str(&words::end(*exit, how.as_deref()));
    }
    line
}

fn figures_of(row: &SiteRow, model: &Model, opts: &TextOptions) -> String {
    let rates_known = model.cycles_seen() >= CYCLES_FOR_RATE;
    let mut text = String::new();
    for (column, cells) in columns(opts) {
        let options = CellOptions {
            objects: false,
            rates_known,
            width: cells,
        };
        let figure = match column {
            // A script that splits at blanks finds as many fields in each line.
            Column::Leak if row.leak.is_none() => "-".to_owned(),
            _ => cell(row, column, options).0,
        };
        text.push_str(&in_cells(column, cells, &figure));
        text.push(' ');
    }
    text
}

/// The last line: what `--top` left out, in the columns of those it did not.
fn sum_of(rows: &[SiteRow], opts: &TextOptions) -> String {
    let in_use: f64 = rows.iter().map(|row| row.inuse.bytes).sum();
    let mut text = String::new();
    for (column, cells) in columns(opts) {
        let figure = match column {
            Column::Verdict => "other".to_owned(),
            Column::InUse => format::bytes(in_use),
            _ => "-".to_owned(),
        };
        text.push_str(&in_cells(column, cells, &figure));
        text.push(' ');
    }
    let sites = if rows.len() == 1 { "site" } else { "sites" };
    let _ = writeln!(text, "{} more {sites} (--top {})", rows.len(), opts.top);
    text
}
