//! The process's verdict and the time that is left, as rows 2 and 3 say them: badge, sentence, the line below, and the
//! limit at the right.
//!
//! The longest wording that fits is taken: half a sentence says nothing.

mod grows;
mod quiet;

use super::format;
use super::limit::add_limit;
use super::names::width;
use super::screen::Role;
use super::ui_state::UiState;
use crate::model::findings::{Findings, Kind, Word};

/// What is said of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outlook {
    /// In reverse video.
    pub badge: String,
    /// Its colour.
    pub role: Role,
    /// Behind the badge.
    pub text: String,
    /// A badge in the line below, of what was known at the end.
    pub below_badge: String,
    /// In that line.
    pub below: String,
    /// Time that is left, at the right.
    pub right: String,
    /// Its colour.
    pub right_role: Role,
    /// Below it: which limit, and the interval.
    pub right_below: String,
}

/// Column where the sentence begins: in a line for short badges, behind long ones.
pub fn text_column(badge: &str) -> usize {
    (1 + width(badge) + 2).max(10)
}

/// The verdict on a screen of `columns`; `None` before there is one.
pub fn outlook(ui: &UiState, columns: usize) -> Option<Outlook> {
    let findings = &ui.reading.findings;
    let process = &findings.process;
    let of_kind = process.kind.unwrap_or(Kind::Heap);
    let leak = findings.leaks.iter().find(|leak| leak.kind == of_kind);
    let mut outlook = match (process.word, process.kind, leak) {
        (Word::Collecting, _, _) => return None,
        (Word::Growing | Word::ProbablyGrowing, Some(Kind::Heap) | None, Some(leak)) => {
            grows::leak_of(findings, leak, columns)
        }
        (Word::Growing | Word::ProbablyGrowing, Some(Kind::Heap) | None, None) => {
            grows::heap(ui, columns)
        }
        (Word::Growing | Word::ProbablyGrowing, Some(Kind::Goroutines), leak) => {
            grows::goroutines(ui, leak, columns)
        }
        (Word::Growing | Word::ProbablyGrowing, Some(kind), _) => {
            grows::other(findings, kind, columns)
        }
        (word, _, _) => quiet::no_leak(ui, word, columns),
    };
    if process.word == Word::ProbablyGrowing {
        outlook.role = Role::Warn;
    }
    add_limit(&mut outlook, &ui.reading, columns);
    Some(outlook)
}

/// The badge alone, for lines of text; empty before the first evaluation. A question mark follows growth that is probable:
/// `LEAK A?`.
pub fn badge(findings: &Findings) -> String {
    let process = &findings.process;
    let is_growth = process.word.is_growth();
    match process.kind {
        _ if process.word == Word::Collecting && process.missing.is_none() => String::new(),
        Some(kind) if is_growth => growth_badge(findings, kind),
        None if is_growth => growth_badge(findings, Kind::Heap),
        _ => process.word.word().to_uppercase(),
    }
}

/// `LEAK A` with the letters of all leaks, or the kind that grows where it is not Go's.
fn growth_badge(findings: &Findings, kind: Kind) -> String {
    let mut badge = match kind {
        Kind::Heap | Kind::Goroutines if !findings.leaks.is_empty() => leak_badge(findings),
        kind => kind_badge(kind).to_owned(),
    };
    if findings.process.word == Word::ProbablyGrowing {
        badge.push('?');
    }
    badge
}

/// `LEAK A`, of two `LEAK A,B`, of more `LEAK A-D`.
fn leak_badge(findings: &Findings) -> String {
    let mut letters: Vec<char> = findings.leaks.iter().map(|leak| leak.letter).collect();
    letters.sort_unstable();
    letters.dedup();
    match letters.as_slice() {
        [] => "LEAK".to_owned(),
        [one] => format!("LEAK {one}"),
        [one, two] => format!("LEAK {one},{two}"),
        [first, .., last] => format!("LEAK {first}-{last}"),
    }
}

/// The badge of what grows that is no leak of the Go heap.
fn kind_badge(kind: Kind) -> &'static str {
    match kind {
        Kind::Heap => "GROWING",
        Kind::Goroutines => "GOROUTINES",
        Kind::Stacks => "STACKS",
        Kind::Cgo => "CGO",
        Kind::Mmap => "MMAP",
        Kind::SpanWaste => "FRAGMENTS",
        Kind::IdleSpans => "IDLE SPANS",
        Kind::Garbage => "GARBAGE",
        Kind::Metadata => "METADATA",
        Kind::PageCache => "PAGE CACHE",
    }
}

/// The first of the texts that fits; the last where none does.
fn fitting(texts: impl IntoIterator<Item = String>, room: usize) -> String {
    let mut last = String::new();
    for text in texts {
        if width(&text) <= room {
            return text;
        }
        last = text;
    }
    last
}

/// Cells of the sentence, with `right` cells of the limit.
fn room(columns: usize, badge: &str, right: usize) -> usize {
    columns.saturating_sub(text_column(badge) + right + 2)
}

/// Widest text of a limit in row 2: `limit in 8h58m`.
const LIMIT_CELLS: usize = 15;

fn percent(share: f64) -> String {
    format!("{} %", format::percent(share))
}
