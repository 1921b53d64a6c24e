//! The view of GC cycles: the heap over the last of them, a row for each, and what they cost together.

use super::format::{self, mega};
use super::graph::{LABEL, Layers, axis, layers, rule};
use super::layout::Layout;
use super::moves::scroll_to;
use super::names::width;
use super::screen::{Line, Panel, PanelKind, Role};
use super::ui_state::UiState;
use crate::model::rows::Cycle;

/// The runtime collects after 2 minutes without a cycle (`forcegcperiod`, `runtime/proc.go`, go1.18 to go1.27); its
/// look for that comes about every 10 ms.
const TIMER_NS: u64 = 119_900_000_000;
/// A cycle that began below this share of the goal was not begun for it.
const OF_GOAL: f64 = 0.8;
/// Cells of the graph for each cycle, about.
const CELLS_PER_CYCLE: usize = 8;

/// A column of the table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Number,
    Ago,
    Live,
    Change,
    Goal,
    Start,
    Freed,
    Mark,
    Pause,
    Every,
    Alloc,
    Kind,
}

/// Columns from left to right: heading, cells, and the width of the screen from which each is shown.
const COLUMNS: [(Column, &str, usize, usize); 12] = [
    (Column::Number, "CYCLE", 7, 60),
    (Column::Ago, "AGO", 6, 60),
    (Column::Live, "LIVE", 6, 60),
    (Column::Change, "CHANGE", 7, 60),
    (Column::Goal, "GOAL", 6, 60),
    (Column::Start, "START", 6, 80),
    (Column::Freed, "FREED", 6, 100),
    (Column::Mark, "MARK", 6, 80),
    (Column::Pause, "PAUSE", 6, 60),
    (Column::Every, "EVERY", 6, 100),
    (Column::Alloc, "ALLOC/s", 7, 60),
    (Column::Kind, "KIND", 6, 60),
];

/// How the rows of the view are shared out.
struct Rows {
    /// Of the graph, without its axis; 0 where there is none.
    graph: usize,
    has_axis: bool,
    table: usize,
}

fn rows(layout: &Layout) -> Rows {
    let all = layout.body.rows();
    let (graph, has_axis) = match all {
        0..16 => (0, false),
        16..26 => (5, true),
        26..40 => (9, true),
        _ => (15, true),
    };
    // The rule, the heading and the sum.
    let others = usize::from(graph > 0) + graph + usize::from(has_axis) + 2;
    Rows {
        graph,
        has_axis,
        table: all.saturating_sub(others),
    }
}

/// Rows of cycles that are seen at once.
pub(super) fn page(layout: &Layout) -> usize {
    rows(layout).table
}

/// Numbers of the cycles, the newest first.
pub(super) fn keys(ui: &UiState) -> Vec<u64> {
    let cycles = ui.reading.cycles.iter().rev();
    cycles.map(|cycle| u64::from(cycle.number)).collect()
}

/// A short time: `0.29ms`, `4.1ms`, `141ms`, `1.4s`, `2m00s`.
fn short(ns: u64) -> String {
    let ms = ns as f64 / 1e6;
    if ms < 0.995 {
        format!("{ms:.2}ms")
    } else if ms < 9.95 {
        format!("{ms:.1}ms")
    } else if ms < 999.5 {
        format!("{ms:.0}ms")
    } else if ms < 9_950.0 {
        format!("{:.1}s", ms / 1e3)
    } else {
        format::duration(ns)
    }
}

/// The same in a sentence: `0.29 ms`.
fn short_sentence(ns: u64) -> String {
    let text = short(ns);
    match text.strip_suffix("ms") {
        Some(digits) => format!("{digits} ms"),
        None => text,
    }
}

/// Why a cycle began: `?` where that was not seen.
fn kind(cycle: &Cycle, before: Option<&Cycle>) -> (&'static str, Role) {
    let goal = before.and_then(|before| before.goal_bytes);
    let is_early = goal
        .zip(cycle.start_bytes)
        .is_some_and(|(goal, start)| (start as f64) < OF_GOAL * goal as f64);
    match cycle.forced {
        None => ("?", Role::Cool),
        Some(true) => ("forced", Role::Warn),
        Some(false) if is_early && cycle.interval_ns.is_some_and(|ns| ns >= TIMER_NS) => {
            ("timer", Role::Dim)
        }
        Some(false) => ("goal", Role::Plain),
    }
}

fn cell(ui: &UiState, cycle: &Cycle, before: Option<&Cycle>, column: Column) -> (String, Role) {
    let known = |text: Option<String>| match text {
        Some(text) => (text, Role::Plain),
        None => ("?".to_owned(), Role::Cool),
    };
    match column {
        Column::Number => (format!("#{}", cycle.number), Role::Plain),
        Column::Ago => {
            let ago = ui.reading.until_ns().saturating_sub(cycle.at_ns);
            (format::duration(ago), Role::Plain)
        }
        Column::Live => (mega(cycle.live_bytes as f64), Role::Accent),
        Column::Change => match before {
            // The cycle between was not seen, or is not kept any more.
            None => ("-".to_owned(), Role::Dim),
            Some(before) => {
                let change = cycle.live_bytes as f64 - before.live_bytes as f64;
                (format::change(change), Role::Plain)
            }
        },
        Column::Goal => known(cycle.goal_bytes.map(|bytes| mega(bytes as f64))),
        Column::Start => known(cycle.start_bytes.map(|bytes| mega(bytes as f64))),
        Column::Freed => known(
            cycle
                .start_bytes
                .map(|start| mega(start.saturating_sub(cycle.live_bytes) as f64)),
        ),
        Column::Mark if !ui.reading.has_probes() => ("-".to_owned(), Role::Dim),
        Column::Mark => known(cycle.mark_ns.map(short)),
        Column::Pause => known(cycle.pause_ns.map(short)),
        Column::Every => known(cycle.interval_ns.map(short)),
        Column::Alloc => known(cycle.alloc_bytes_per_sec.map(mega)),
        Column::Kind => {
            let (word, role) = kind(cycle, before);
            (word.to_owned(), role)
        }
    }
}

fn columns(room: usize) -> impl Iterator<Item = (Column, &'static str, usize)> {
    COLUMNS
        .into_iter()
        .filter(move |(_, _, _, from)| room >= *from)
        .map(|(column, title, cells, _)| (column, title, cells))
}

fn push_cell(line: &mut Line, column: Column, cells: usize, text: &str, role: Role) {
    let is_left = matches!(column, Column::Number | Column::Kind);
    line.push_cell(text, cells, is_left, role);
}

/// The heap as it was at `n` moments: live since the last mark, and all of it, which rises to where the next cycle
/// began (to the goal, where that was not seen).
fn heap_over_time(cycles: &[Cycle], from_ns: u64, to_ns: u64, n: usize) -> Vec<Layers> {
    let span = u128::from(to_ns.saturating_sub(from_ns));
    let mut at = 0;
    (0..n as u128)
        .map(|step| {
            let ns = u128::from(from_ns) + span * (step + 1) / n.max(1) as u128;
            while cycles
                .get(at + 1)
                .is_some_and(|next| u128::from(next.at_ns) <= ns)
            {
                at += 1;
            }
            let cycle = cycles
                .get(at)
                .filter(|cycle| u128::from(cycle.at_ns) <= ns)?;
            let live = cycle.live_bytes as f64;
            let next = cycles.get(at + 1);
            let full = next
                .and_then(|next| next.start_bytes)
                .or(cycle.goal_bytes)
                .map_or(live, |bytes| (bytes as f64).max(live));
            // Of the cycle that runs nobody knows when it is full: as long as the one before took.
            let took = match next {
                Some(next) => next.at_ns.saturating_sub(cycle.at_ns),
                None => cycle.interval_ns.unwrap_or(0),
            };
            let since = ns - u128::from(cycle.at_ns);
            let share = if took == 0 {
                0.0
            } else {
                (since as f64 / took as f64).min(1.0)
            };
            Some((live, live + (full - live) * share))
        })
        .collect()
}

fn graph(ui: &UiState, room: usize, rows: &Rows) -> Vec<Line> {
    let all = &ui.reading.cycles;
    let cells = room.saturating_sub(LABEL + 1);
    let n = (cells / CELLS_PER_CYCLE).max(2).min(all.len());
    let shown = &all[all.len() - n..];
    let Some(first) = shown.first() else {
        return Vec::new();
    };
    let to_ns = ui.reading.until_ns();
    let values = heap_over_time(shown, first.at_ns, to_ns, cells * 2);
    let (mut lines, top) = layers(&values, rows.graph);
    for (row, line) in lines.iter_mut().enumerate() {
        let label = match row {
            0 => mega(top),
            row if row + 1 == rows.graph => "0".to_owned(),
            _ => String::new(),
        };
        let dots = std::mem::replace(line, Line::new(format!("{label:>7} "), Role::Dim));
        line.append(dots);
    }
    if rows.has_axis {
        let note = format!(
            "{n} of {} shown",
            format::many(
                &format::exact_count(ui.reading.cycles_seen.max(n as u64)),
                "cycle"
            )
        );
        lines.push(axis(to_ns.saturating_sub(first.at_ns), Some(&note), cells));
    }
    lines
}

/// GOGC and GOMEMLIMIT as they are set now.
fn settings(ui: &UiState) -> String {
    let Some(settings) = ui.reading.gc_settings else {
        return "GOGC ?, GOMEMLIMIT ?".to_owned();
    };
    let gogc = settings
        .gogc
        .map_or_else(|| "off".to_owned(), |percent| percent.to_string());
    let limit = settings
        .memory_limit_bytes
        .map_or_else(|| "off".to_owned(), super::limit::limit_bytes);
    format!("GOGC {gogc}, GOMEMLIMIT {limit}")
}

/// What the cycles that are kept cost together.
fn sum(cycles: &[Cycle], seen: u64, room: usize) -> String {
    let mut pauses: Vec<u64> = cycles.iter().filter_map(|cycle| cycle.pause_ns).collect();
    pauses.sort_unstable();
    let head = format::many(&format::exact_count(seen), "cycle");
    let longest = pauses.last().copied();
    let median = pauses.get(pauses.len() / 2).copied();
    let pauses = median.zip(longest).map(|(median, longest)| {
        format!(
            "pauses {} median, {} longest",
            short_sentence(median),
            short_sentence(longest)
        )
    });
    let marked = cycles
        .iter()
        .filter_map(|cycle| cycle.mark_ns.zip(cycle.interval_ns));
    let (mark, interval) = marked.fold((0.0, 0.0), |(mark, interval), (m, i)| {
        (mark + m as f64, interval + i as f64)
    });
    let marking = (interval > 0.0)
        .then(|| format!("marking {} % of the time", format::percent(mark / interval)));
    let mut text = format!(" {head}");
    for (index, part) in [pauses, marking].into_iter().flatten().enumerate() {
        let gap = if index == 0 { ": " } else { "; " };
        if width(&text) + gap.len() + width(&part) < room {
            text.push_str(gap);
            text.push_str(&part);
        }
    }
    text
}

/// The view.
pub(super) fn panel(ui: &UiState, layout: &Layout) -> Panel {
    let area = layout.body;
    let room = area.cells();
    let rows = rows(layout);
    let cycles = &ui.reading.cycles;
    let mut lines = Vec::new();
    if rows.graph > 0 {
        lines.push(rule(
            "heap: live, then garbage up to the goal",
            &settings(ui),
            room,
        ));
        lines.extend(graph(ui, room, &rows));
        lines.resize(1 + rows.graph + usize::from(rows.has_axis), Line::default());
    }
    let mut heading = Line::plain(" ");
    for (column, title, cells) in columns(room) {
        push_cell(&mut heading, column, cells, title, Role::Dim);
    }
    lines.push(heading.fit(room));
    let above = lines.len();
    let keys = keys(ui);
    let at = ui.lists.gc.index(&keys);
    let first = scroll_to(ui.lists.gc.scroll, at, rows.table, keys.len());
    let newest_first = (0..cycles.len()).rev();
    for index in newest_first.skip(first).take(rows.table) {
        let cycle = &cycles[index];
        let before = index
            .checked_sub(1)
            .and_then(|before| cycles.get(before))
            .filter(|before| before.number.wrapping_add(1) == cycle.number);
        let mut line = Line::plain(if cycles.len() - 1 - index == at {
            ">"
        } else {
            " "
        });
        for (column, _, cells) in columns(room) {
            let (text, role) = cell(ui, cycle, before, column);
            push_cell(&mut line, column, cells, &text, role);
        }
        lines.push(line.fit(room));
    }
    if cycles.is_empty() {
        lines.push(Line::plain(
            "  no GC cycle was seen yet; a quiet process collects every 2 min",
        ));
    }
    lines.resize(above + rows.table, Line::default());
    lines.push(Line::plain(sum(cycles, ui.reading.cycles_seen, room)));
    lines.truncate(area.rows());
    let cursor = (!cycles.is_empty()).then(|| above + at - first);
    Panel {
        kind: PanelKind::View,
        area,
        cursor: cursor.filter(|cursor| *cursor < lines.len()),
        lines,
    }
}
