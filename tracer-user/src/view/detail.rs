//! The stacks of one site: what each holds, and its frames with inlined ones, innermost first. A stack folds to one
//! line; frames of the runtime fold to one line of their stack.

use super::boxes::wrap;
use super::format;
use super::graph::rule;
use super::layout::Layout;
use super::moves::scroll_to;
use super::names;
use super::reading::Reading;
use super::screen::{Area, Line, Panel, PanelKind, Role};
use super::selected::{freed, growth};
use super::table::{alloc_per_second, label, short_word};
use super::ui_state::{Detail, Place, UiState};
use super::words;
use crate::go::frame::Frame;
use crate::go::symbol::is_runtime;
use crate::model::rows::{SiteRow, StackRow};

/// A line of an unfolded stack.
enum FrameLine<'a> {
    Frame(usize, &'a Frame),
    /// So many frames of the runtime in a row.
    Folded(usize),
}

fn frame_lines(stack: &StackRow, runtime_frames: bool) -> Vec<FrameLine<'_>> {
    let mut lines = Vec::new();
    let mut folded = 0;
    for (index, frame) in stack.frames.iter().enumerate() {
        if !runtime_frames && is_runtime(&frame.function) {
            folded += 1;
            continue;
        }
        if folded > 0 {
            lines.push(FrameLine::Folded(std::mem::take(&mut folded)));
        }
        lines.push(FrameLine::Frame(index, frame));
    }
    if folded > 0 {
        lines.push(FrameLine::Folded(folded));
    }
    lines
}

fn stacks<'a>(reading: &'a Reading, detail: &Detail) -> &'a [StackRow] {
    reading.stacks.get(&detail.row).map_or(&[], Vec::as_slice)
}

/// The places that the cursor can take, from the top.
pub fn places(reading: &Reading, detail: &Detail, runtime_frames: bool) -> Vec<Place> {
    let mut places = Vec::new();
    for stack in stacks(reading, detail) {
        let key = stack.id;
        places.push(Place {
            stack: key,
            frame: None,
        });
        if detail.is_unfolded(key) {
            let n = frame_lines(stack, runtime_frames).len();
            places.extend((0..n).map(|line| Place {
                stack: key,
                frame: Some(line),
            }));
        }
    }
    places
}

/// Index of a place; of its stack if the line is gone; else the first.
pub fn place_index(places: &[Place], place: Place) -> usize {
    places
        .iter()
        .position(|other| *other == place)
        .or_else(|| places.iter().position(|other| other.stack == place.stack))
        .unwrap_or(0)
}

/// Where the cursor stands, as what is on the screen now has it.
pub fn place(reading: &Reading, detail: &Detail, runtime_frames: bool) -> Place {
    let places = places(reading, detail, runtime_frames);
    places
        .get(place_index(&places, detail.place))
        .copied()
        .unwrap_or_default()
}

/// Lines of stacks and frames, `n` from the one at `first` on, in the order of [`places`].
fn tree(
    reading: &Reading,
    detail: &Detail,
    runtime_frames: bool,
    room: usize,
    (first, n): (usize, usize),
) -> Vec<Line> {
    let stacks = stacks(reading, detail);
    let parts: Vec<f64> = stacks.iter().map(|stack| stack.inuse.bytes).collect();
    let shares = format::shares(&parts);
    let mut lines = Vec::with_capacity(n);
    let mut above = 0;
    for (stack, share) in stacks.iter().zip(shares) {
        if lines.len() >= n {
            break;
        }
        let is_unfolded = detail.is_unfolded(stack.id);
        if above >= first {
            lines.push(stack_line(stack, share, is_unfolded, room));
        }
        above += 1;
        if is_unfolded {
            for line in frame_lines(stack, runtime_frames) {
                if above >= first {
                    lines.push(frame_line(&line, room));
                }
                above += 1;
            }
        }
    }
    lines.truncate(n);
    lines
}

const HEADING: &str = "   IN-USE  +- SHARE OBJECTS    SINCE  OBJECT  INNERMOST";
const INNERMOST: usize = 48;

fn stack_line(stack: &StackRow, share: u32, is_unfolded: bool, room: usize) -> Line {
    let inuse = &stack.inuse;
    let (since, role) = match stack.growth {
        None => ("?".to_owned(), Role::Cool),
        Some(growth) if growth.bytes == 0.0 && growth.bytes_err == 0.0 => {
            ("0".to_owned(), Role::Dim)
        }
        Some(growth) if !format::is_significant(growth.bytes, growth.bytes_err) => {
            ("~0".to_owned(), Role::Dim)
        }
        Some(growth) => (
            format::change(growth.bytes),
            if growth.bytes > 0.0 {
                Role::Leak
            } else {
                Role::Cool
            },
        ),
    };
    let mut line = Line::plain(format!(
        " {} {:>6} {:>3}  {:>4} {:>7} ",
        if is_unfolded { '-' } else { '+' },
        format::bytes(inuse.bytes),
        format::error(inuse.bytes, inuse.bytes_err, stack.samples),
        format!("{share}%"),
        format::count(inuse.objects),
    ));
    line.push(format!("{since:>8}"), role);
    line.push(
        format!("  {:>6}  ", format::bytes(stack.object_bytes as f64)),
        Role::Plain,
    );
    line.pad_to(INNERMOST);
    if let Some(frame) = stack
        .frames
        .iter()
        .find(|frame| !is_runtime(&frame.function))
        .or(stack.frames.first())
    {
        let place = names::short_location(&frame.file, frame.line);
        let name_room = room.saturating_sub(INNERMOST + place.len() + 2);
        if !is_unfolded && name_room >= 24 {
            line.push(
                format!(
                    "{} ",
                    names::shorten(&names::clean(&frame.function), name_room)
                ),
                Role::Plain,
            );
        }
        line.push(place, Role::Dim);
    }
    line.fit(room)
}

fn frame_line(line: &FrameLine<'_>, room: usize) -> Line {
    let (index, frame) = match line {
        FrameLine::Folded(n) => {
            let frames = if *n == 1 { "frame" } else { "frames" };
            return Line::new(
                format!("       ... {n} {frames} of the runtime (x shows)"),
                Role::Dim,
            )
            .fit(room);
        }
        FrameLine::Frame(index, frame) => (*index, *frame),
    };
    let mut text = Line::new(format!("   {index:>4} "), Role::Dim);
    let left = room.saturating_sub(text.width() + 1);
    let inlined = if frame.inlined { " (inlined)" } else { "" };
    let name = names::clean(&frame.function);
    // The name gets up to two thirds, the file what is left: its end tells more than its start.
    let place_room = (left / 3).max(16).min(left);
    let name_room = left.saturating_sub(place_room + 2 + inlined.len());
    text.push(names::shorten(&name, name_room), Role::Plain);
    text.push(inlined, Role::Dim);
    let place = names::location(&frame.file, frame.line, place_room);
    text.pad_to(room.saturating_sub(place_room + 1));
    text.push(place, Role::Dim);
    text.fit(room)
}

/// Label of a line above the stacks, as wide as the longest verdict.
const LABEL: usize = 10;

/// What the site is and does, above its stacks, in exactly `rows` lines (3 at least): its name, the evidence for its
/// verdict, who calls it, what is in use, and how that has changed.
fn head(ui: &UiState, row: &SiteRow, room: usize, rows: usize) -> Vec<Line> {
    let mut name = Line::plain(" ");
    let place = names::short_location(&row.file, row.line);
    name.push_bold(
        names::shorten(
            &label(row, ui.query.by),
            room.saturating_sub(names::width(&place) + 4),
        ),
        Role::Plain,
    );
    name.push(format!("  {place}"), Role::Dim);
    let mut lines = vec![name];
    let figures = [in_use(ui, row, room), since(ui, row, room)];
    if rows < 4 {
        // A verdict says more than what is in use, which the table has too.
        let [in_use, since] = figures;
        let evidence = evidence(ui, row, room, 1);
        let first = if evidence.is_empty() {
            vec![in_use]
        } else {
            evidence
        };
        lines.extend(first);
        lines.push(since);
    } else {
        let via = via(row, room);
        let left = rows.saturating_sub(lines.len() + figures.len() + usize::from(via.is_some()));
        lines.extend(evidence(ui, row, room, left));
        lines.extend(via);
        lines.extend(figures);
    }
    lines.resize(rows, Line::default());
    lines.into_iter().map(|line| line.fit(room)).collect()
}

/// The evidence in at most `rows` lines, behind its word; whole sentences only. None where the row is not judged.
fn evidence(ui: &UiState, row: &SiteRow, room: usize, rows: usize) -> Vec<Line> {
    let Some(verdict) = &row.verdict else {
        return Vec::new();
    };
    let (word, role) = short_word(verdict.word);
    let mut sentences = words::site(row, &ui.reading.findings);
    // The word stands before them, and the caller has a line of its own.
    sentences.retain(|sentence| !sentence.starts_with("Called by "));
    if let Some(first) = sentences.first_mut() {
        // In full or in capitals first: `collect` begins `collecting`.
        let stripped = [verdict.word.word(), word]
            .iter()
            .find_map(|before| first.strip_prefix(before));
        if let Some(rest) = stripped {
            *first = rest.trim_start_matches([':', ',', ' ']).to_owned();
        }
    }
    let space = room.saturating_sub(LABEL + 1);
    let texts = loop {
        let texts = wrap(&names::clean(&sentences.join(" ")), space);
        if texts.len() <= rows || sentences.len() <= 1 {
            break texts;
        }
        sentences.pop();
    };
    let is_cut = texts.len() > rows;
    let mut lines = Vec::new();
    for (index, mut text) in texts.into_iter().take(rows).enumerate() {
        if is_cut && index + 1 == rows {
            text = format!("{}...", names::cut(&text, space.saturating_sub(3)));
        }
        let mut line = Line::plain(" ");
        if lines.is_empty() {
            line.push_bold(word, role);
        }
        line.pad_to(LABEL);
        line.push(text, Role::Plain);
        lines.push(line);
    }
    lines
}

/// Who calls it, with file and line.
fn via(row: &SiteRow, room: usize) -> Option<Line> {
    let frame = row.via.as_ref()?;
    let mut line = Line::plain(" via");
    line.pad_to(LABEL);
    let left = room.saturating_sub(LABEL + 1);
    let place = names::location(&frame.file, frame.line, left / 3);
    let name_room = left.saturating_sub(names::width(&place) + 2);
    line.push(
        names::shorten(&names::clean(&frame.function), name_room),
        Role::Plain,
    );
    line.push(format!("  {place}"), Role::Dim);
    Some(line)
}

fn in_use(ui: &UiState, row: &SiteRow, room: usize) -> Line {
    let total: f64 = ui.reading.sites.iter().map(|site| site.inuse.bytes).sum();
    let mut parts = vec![
        (
            format!(
                "{} (+-{})",
                format::sentence_bytes(row.inuse.bytes),
                format::error(row.inuse.bytes, row.inuse.bytes_err, row.samples)
            ),
            Role::Plain,
        ),
        (
            format::many(&format::count(row.inuse.objects), "object"),
            Role::Plain,
        ),
        (
            format::many(&format::exact_count(row.samples), "sample"),
            Role::Plain,
        ),
    ];
    if total > 0.0 && !ui.query.cumulative {
        let share = row.inuse.bytes / total * 100.0;
        parts.push((format!("{share:.0} % of all in use"), Role::Plain));
    }
    listed(" in-use", parts, room)
}

fn since(ui: &UiState, row: &SiteRow, room: usize) -> Line {
    let (growth, role) = growth(ui, row);
    // The line's label says what is not known.
    let growth = growth.trim_start_matches("growth ").to_owned();
    let parts = vec![
        (growth, role),
        (
            format!("alloc {}/s", alloc_per_second(row, false)),
            Role::Plain,
        ),
        (freed(row), Role::Plain),
    ];
    listed(" growth", parts, room)
}

/// A line with as many of the parts as there is room for: half a sentence says nothing.
fn listed(label: &str, parts: Vec<(String, Role)>, room: usize) -> Line {
    let mut line = Line::plain(label);
    line.pad_to(LABEL);
    for (index, (text, role)) in parts.into_iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        if line.width() + comma.len() + names::width(&text) >= room {
            break;
        }
        line.push(comma, Role::Plain);
        line.push(text, role);
    }
    line
}

/// The open detail.
pub fn panel(ui: &UiState, layout: &Layout) -> Option<Panel> {
    let detail = ui.detail.as_ref()?;
    let rows = (layout.detail_head, layout.detail_rows);
    Some(draw(ui, detail, layout.body, rows, true))
}

/// The detail of the selected row beside the table, its largest stack unfolded.
pub fn side_panel(ui: &UiState, layout: &Layout) -> Option<Panel> {
    let area = layout.side?;
    let row = ui.selected_id()?;
    let mut detail = Detail::new(row);
    let largest = ui
        .reading
        .stacks
        .get(&row)
        .and_then(|stacks| stacks.first());
    detail.unfolded = largest.map(|stack| stack.id).into_iter().collect();
    let rows = area.rows().saturating_sub(layout.above_stacks());
    let rows = (layout.detail_head, rows);
    Some(draw(ui, &detail, area, rows, false))
}

fn draw(
    ui: &UiState,
    detail: &Detail,
    area: Area,
    (head_rows, rows): (usize, usize),
    has_cursor: bool,
) -> Panel {
    // Beside the table a rule parts the two, and takes a cell.
    let room = area.cells() - usize::from(!has_cursor);
    let mut lines = match ui.reading.site(detail.row) {
        Some(row) => head(ui, row, room, head_rows),
        None => vec![Line::plain(
            " this site holds nothing any more. Esc goes back",
        )],
    };
    lines.resize(head_rows, Line::default());
    let n = stacks(&ui.reading, detail).len();
    let fold = if ui.runtime_frames {
        "x runtime frames: shown"
    } else {
        "x runtime frames: folded"
    };
    let stacks_word = if n == 1 {
        "1 stack".to_owned()
    } else {
        format!("{n} stacks")
    };
    lines.push(rule(&stacks_word, fold, room));
    lines.push(Line::new(HEADING, Role::Dim).fit(room));
    let places = places(&ui.reading, detail, ui.runtime_frames);
    let at = place_index(&places, detail.place);
    let first = scroll_to(detail.scroll, at, rows, places.len());
    if n == 0 {
        let text = if ui.is_paused() {
            " paused: the stacks of this row were not kept; Space goes on"
        } else {
            " no stack holds anything now"
        };
        lines.push(Line::plain(text).fit(room));
    }
    let mut cursor = None;
    let tree = tree(&ui.reading, detail, ui.runtime_frames, room, (first, rows));
    for (index, line) in tree.into_iter().enumerate() {
        if has_cursor && first + index == at {
            cursor = Some(lines.len());
        }
        lines.push(line);
    }
    if let Some(line) = cursor.and_then(|at: usize| lines.get_mut(at))
        && let Some(span) = line.spans.first_mut()
        && span.text.starts_with(' ')
    {
        span.text.replace_range(..1, ">");
    }
    lines.truncate(area.rows());
    if !has_cursor {
        for line in &mut lines {
            let inner = std::mem::replace(line, Line::new("│", Role::Dim));
            line.append(inner);
        }
        lines.resize(area.rows(), Line::new("│", Role::Dim));
    }
    Panel {
        kind: PanelKind::Detail,
        area,
        lines,
        cursor,
    }
}
