//! The table of sites: heading, rows, and the sum of what is left out. The cells' texts are shared with the text
//! output.

use super::columns::{Column, Placed, place};
use super::format;
use super::layout::Layout;
use super::moves::scroll_to;
use super::names::{self, width};
use super::order::SortKey;
use super::screen::{Line, Panel, PanelKind, Role};
use super::ui_state::UiState;
use crate::model::findings::Word;
use crate::model::rows::{GroupBy, SiteRow};

/// GC cycles before the slope of a row is known.
pub const CYCLES_FOR_RATE: u64 = 4;

/// Steps of a sparkline, lowest first.
const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What a figure's text needs to know beside the row.
#[derive(Clone, Copy, Debug)]
pub struct CellOptions {
    /// Objects instead of bytes.
    pub objects: bool,
    /// Slopes can be known: enough cycles were seen.
    pub rates_known: bool,
    /// Cells of the column.
    pub width: usize,
}

/// A change with its error as text: `?` not known, `0` counted, `~0` not to be told from zero.
fn told(
    value: Option<(f64, f64)>,
    nothing_happened: bool,
    text: fn(f64) -> String,
) -> (String, Role) {
    let Some((value, err)) = value else {
        return ("?".to_owned(), Role::Cool);
    };
    if nothing_happened {
        ("0".to_owned(), Role::Dim)
    } else if !format::is_significant(value, err) {
        ("~0".to_owned(), Role::Dim)
    } else if value > 0.0 {
        (text(value), Role::Leak)
    } else {
        (text(value), Role::Cool)
    }
}

/// The text of a cell and what it means.
pub fn cell(row: &SiteRow, column: Column, options: CellOptions) -> (String, Role) {
    let idle = row.alloc.born_samples == 0
        && row.alloc.freed_samples == 0
        && row.alloc.total.is_none_or(|total| total.objects <= 0.0);
    // Nothing born and nothing freed is counted, and needs no slope.
    let rate = |pick: fn(&crate::model::rows::Rate) -> (f64, f64)| match &row.rate {
        None if idle && options.rates_known => Some((0.0, 0.0)),
        rate => rate.as_ref().map(pick),
    };
    match column {
        Column::Leak => match row.leak {
            Some(letter) => (letter.to_string(), Role::Leak),
            None => (String::new(), Role::Plain),
        },
        Column::Verdict => verdict(row),
        Column::Via => match &row.via {
            Some(frame) => (
                names::shorten(&names::clean(&frame.function), options.width),
                Role::Plain,
            ),
            None => ("-".to_owned(), Role::Dim),
        },
        Column::Since => {
            let growth = row.growth.map(|growth| {
                if options.objects {
                    (growth.objects, growth.objects_err)
                } else {
                    (growth.bytes, growth.bytes_err)
                }
            });
            let text = if options.objects {
                format::signed_count
            } else {
                format::change
            };
            told(growth, row.growth_samples == 0, text)
        }
        Column::InUse if options.objects => (format::count(row.inuse.objects), Role::Plain),
        Column::InUse => (format::bytes(row.inuse.bytes), Role::Plain),
        Column::Error if options.objects => {
            let text = format::error(row.inuse.objects, row.inuse.objects_err, row.samples);
            (text, Role::Dim)
        }
        Column::Error => {
            let text = format::error(row.inuse.bytes, row.inuse.bytes_err, row.samples);
            (text, Role::Dim)
        }
        Column::Growth => told(
            rate(|rate| (rate.bytes_per_min, rate.bytes_per_min_err)),
            idle,
            format::per_minute,
        ),
        Column::Objects => told(
            rate(|rate| (rate.objects_per_min, rate.objects_per_min_err)),
            idle,
            format::signed_count,
        ),
        Column::Trend => trend(row, options),
        Column::Alloc => (alloc_per_second(row, options.objects), Role::Plain),
        Column::Count => (format::count(row.inuse.objects), Role::Plain),
        Column::Samples => (format::counted(row.samples), Role::Plain),
        Column::Kept => match row.kept {
            Some(share) => (format!("{}%", format::percent(share)), Role::Plain),
            None => ("?".to_owned(), Role::Dim),
        },
        Column::Location => (
            names::location(&row.file, row.line, options.width),
            Role::Plain,
        ),
        Column::Type => match &row.go_type {
            Some(go_type) => (
                names::short_type(&names::clean(go_type), options.width),
                Role::Plain,
            ),
            None => ("-".to_owned(), Role::Dim),
        },
    }
}

/// The word of a row: capitals for what grows, `-` where rows are not judged.
fn verdict(row: &SiteRow) -> (String, Role) {
    let Some(verdict) = &row.verdict else {
        return ("-".to_owned(), Role::Dim);
    };
    let (text, role) = short_word(verdict.word);
    (text.to_owned(), role)
}

/// A verdict in 7 cells, and what it means.
pub fn short_word(word: Word) -> (&'static str, Role) {
    match word {
        Word::Collecting => ("collect", Role::Cool),
        Word::Steady => ("steady", Role::Plain),
        Word::Warming => ("warming", Role::Warn),
        Word::Growing => ("GROWING", Role::Leak),
        Word::ProbablyGrowing => ("grows?", Role::Warn),
        Word::PartOfLeak => ("part of", Role::Leak),
        Word::Churn => ("churn", Role::Plain),
        Word::Idle => ("idle", Role::Dim),
    }
}

fn trend(row: &SiteRow, options: CellOptions) -> (String, Role) {
    let width = options.width;
    let steps = format::sparkline(&row.trend, row.trend_err, width);
    if steps.is_empty() {
        return (format!("{:>width$}", "?"), Role::Cool);
    }
    let text: String = steps
        .iter()
        .map(|&step| STEPS[usize::from(step.min(7))])
        .collect();
    let rises = steps.first() < steps.last();
    (text, if rises { Role::Leak } else { Role::Dim })
}

/// Allocated per second, as text; `?` until the source has counted.
pub fn alloc_per_second(row: &SiteRow, objects: bool) -> String {
    let (Some(total), Some(bytes_per_sec)) = (row.alloc.total, row.alloc.bytes_per_sec) else {
        return "?".to_owned();
    };
    if objects {
        let each = total.bytes / total.objects.max(1.0);
        format::count(bytes_per_sec / each.max(1.0))
    } else {
        format::bytes(bytes_per_sec)
    }
}

/// The whole name of a row: its function, and the line where rows are lines.
pub fn label(row: &SiteRow, by: GroupBy) -> String {
    let name = names::clean(&row.function);
    if by == GroupBy::Line && row.line > 0 {
        format!("{name}:{}", row.line)
    } else {
        name
    }
}

/// How much a cell stands out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stress {
    None,
    /// It has just changed.
    Bold,
    /// It is news.
    Badge,
}

fn put(line: &mut Line, placed: Placed, text: &str, role: Role, (is_left, stress): (bool, Stress)) {
    let text = names::cut(text, placed.width);
    let blank = if is_left {
        0
    } else {
        placed.width - width(&text)
    };
    line.pad_to(placed.x + blank);
    match stress {
        Stress::None => line.push(text, role),
        Stress::Bold => line.push_bold(text, role),
        Stress::Badge => line.push_badge(text, role),
    }
}

/// The columns of the table on the screen.
pub fn columns(ui: &UiState, layout: &Layout) -> Vec<Placed> {
    place(ui.set(), ui.columns_at, layout.table.cells())
}

fn heading(ui: &UiState, columns: &[Placed]) -> Line {
    let mut line = Line::default();
    let (open, close) = if ui.order_is_held() {
        ("(", ")")
    } else {
        ("[", "]")
    };
    for placed in columns {
        let (title, is_left, sorts) = match placed.column {
            Some(column) => (column.title(), column.is_left(), column.marks(ui.sort.key)),
            None => ("SITE", true, ui.sort.key == SortKey::Name),
        };
        if !sorts {
            put(
                &mut line,
                *placed,
                title,
                Role::Dim,
                (is_left, Stress::None),
            );
            continue;
        }
        line.pad_to(placed.x - 1);
        let text = if is_left {
            title.to_owned()
        } else {
            format!("{title:>0$}", placed.width)
        };
        // Against the column's own direction: a sign in the bracket's place keeps the edges.
        let close = if ui.sort.reversed { "^" } else { close };
        line.push_bold(format!("{open}{text}{close}"), Role::Accent);
    }
    line
}

/// Index of the first row on the screen.
pub fn first_row(ui: &UiState, layout: &Layout) -> usize {
    scroll_to(
        ui.scroll,
        ui.cursor_index(),
        layout.table_rows,
        ui.shown_rows().len(),
    )
}

/// The table.
pub fn panel(ui: &UiState, layout: &Layout) -> Panel {
    let columns = columns(ui, layout);
    let mut lines = vec![heading(ui, &columns)];
    let first = first_row(ui, layout);
    let rows: Vec<&SiteRow> = ui
        .shown_rows()
        .skip(first)
        .take(layout.table_rows)
        .collect();
    let room = columns
        .iter()
        .find(|placed| placed.column.is_none())
        .map_or(0, |placed| placed.width);
    let labels: Vec<String> = rows.iter().map(|row| label(row, ui.query.by)).collect();
    let names = names::shorten_all(&labels, room);
    let at_cursor = ui.cursor_index().checked_sub(first);
    let rates_known = ui.reading.cycles_seen >= CYCLES_FOR_RATE;
    for (index, (row, name)) in rows.iter().zip(&names).enumerate() {
        let is_cursor = at_cursor == Some(index);
        let mut line = Line::plain(if is_cursor { ">" } else { "" });
        let idle = row.growth.is_some() && row.growth_samples == 0;
        for placed in &columns {
            let Some(column) = placed.column else {
                put(
                    &mut line,
                    *placed,
                    name,
                    if idle { Role::Dim } else { Role::Plain },
                    (true, Stress::None),
                );
                continue;
            };
            let options = CellOptions {
                objects: ui.objects,
                rates_known,
                width: placed.width,
            };
            let (text, role) = cell(row, column, options);
            let stress = match column {
                Column::InUse if ui.has_changed(row.id) => Stress::Bold,
                Column::Verdict if ui.grows_newly(row.id) => Stress::Badge,
                _ => Stress::None,
            };
            put(&mut line, *placed, &text, role, (column.is_left(), stress));
        }
        lines.push(line);
    }
    let cursor = at_cursor
        .filter(|index| *index < rows.len())
        .map(|index| index + 1);
    if rows.is_empty() {
        lines.resize(1 + layout.table_rows / 2, Line::default());
        lines.push(empty(ui, layout));
    } else {
        lines.resize(1 + layout.table_rows, Line::default());
        lines.push(left_out(ui, &columns, first, rows.len()));
    }
    lines.truncate(layout.table.rows());
    Panel {
        kind: PanelKind::Table,
        area: layout.table,
        lines,
        cursor,
    }
}

/// Why there is no row, and what to do.
fn empty(ui: &UiState, layout: &Layout) -> Line {
    let text = if !ui.reading.ready {
        String::new()
    } else if ui.hidden() > 0 {
        format!(
            "no site matches \"{}\" ({} hidden). Esc clears the filter",
            names::shorten(
                &names::clean(ui.filter.text()),
                layout.table.cells().saturating_sub(56)
            ),
            ui.hidden()
        )
    } else if !ui.reading.is_sampled() {
        "nothing allocated since the attach is in use after a GC".to_owned()
    } else {
        match ui.reading.rate_bytes {
            Some(0) => "nothing is sampled: MemProfileRate is 0".to_owned(),
            rate => {
                let rate = rate.map_or_else(|| "512Ki".to_owned(), format::rate);
                format!("no sample is in use; they come one per {rate} allocated")
            }
        }
    };
    let blank = layout.table.cells().saturating_sub(width(&text)) / 2;
    let mut line = Line::default();
    line.pad_to(blank.max(1));
    line.push(text, Role::Plain);
    line
}

/// The sum of the rows that the table has no room for, above and below.
fn left_out(ui: &UiState, columns: &[Placed], first: usize, n_rows: usize) -> Line {
    let left_out = ui.shown_rows().len() - n_rows;
    let mut line = Line::default();
    if left_out == 0 {
        return line;
    }
    let outside = |index: usize| index < first || index >= first + n_rows;
    let pick = |row: &SiteRow| {
        if ui.objects {
            row.inuse.objects
        } else {
            row.inuse.bytes
        }
    };
    let sum: f64 = ui
        .shown_rows()
        .enumerate()
        .filter(|(index, _)| outside(*index))
        .map(|(_, row)| pick(row))
        .sum();
    let text = if ui.objects {
        format::count(sum)
    } else {
        format::bytes(sum)
    };
    let more = format!(
        "... and {left_out} more {}",
        if left_out == 1 { "site" } else { "sites" }
    );
    match columns
        .iter()
        .find(|placed| placed.column == Some(Column::InUse))
    {
        // What a cumulative row counts is in others too: a sum would count it twice.
        Some(placed) if !ui.query.cumulative => {
            put(
                &mut line,
                *placed,
                &text,
                Role::Plain,
                (false, Stress::None),
            );
            line.push(format!("     {more}"), Role::Dim);
        }
        _ => line.push(format!(" {more}"), Role::Dim),
    }
    line
}
