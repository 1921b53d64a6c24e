//! Boxes over the view: help, menus, palette.

use super::commands::{Command, ENTRIES, Entry, Mode, search, works};
use super::format;
use super::graph::rule;
use super::layout::Layout;
use super::moves::scroll_to;
use super::names::{self, width};
use super::order::SortKey;
use super::popup::{EXPORTS, Popup, groups};
use super::screen::{Area, Line, Panel, PanelKind, Role};
use super::tabs::Tab;
use super::ui_state::{TypedFor, UiState};
use super::words::diagnosis;

/// Cells of a box's sides.
const SIDES: usize = 4;

/// How many lines the open box can scroll or choose from.
pub fn entries(ui: &UiState) -> usize {
    match &ui.popup {
        None => 0,
        Some(Popup::Help { .. }) => {
            let area = help_area(ui);
            let rows = area.rows().saturating_sub(2);
            help(ui, area.cells().saturating_sub(SIDES))
                .len()
                .saturating_sub(rows)
                + 1
        }
        Some(Popup::Why { .. }) => {
            let area = why_area(ui);
            let rows = area.rows().saturating_sub(2);
            let room = area.cells().saturating_sub(SIDES);
            diagnosis(&ui.reading, room).len().saturating_sub(rows) + 1
        }
        Some(Popup::Sort { .. }) => SortKey::with_meaning(ui.set()).len(),
        Some(Popup::Group { .. }) => groups(ui).len(),
        Some(Popup::Export { .. }) => EXPORTS.len(),
        Some(Popup::Baselines { .. }) => ui.reading.baselines.len(),
    }
}

/// The box that is open, if one is.
pub fn panel(ui: &UiState, layout: &Layout) -> Option<Panel> {
    if let Some(typed) = ui
        .typed
        .as_ref()
        .filter(|typed| typed.purpose == TypedFor::Palette)
    {
        let found = search(&typed.line.text(), ui.mode());
        let lines: Vec<Line> = found.iter().map(|entry| palette_line(entry)).collect();
        let lines = if lines.is_empty() {
            vec![Line::plain("no action has these words")]
        } else {
            lines
        };
        return Some(menu(ui, layout, "actions", lines, typed.choice));
    }
    let popup = ui.popup.as_ref()?;
    match popup {
        Popup::Help { scroll } => {
            let area = help_area(ui);
            let title = match ui.mode() {
                Mode::Detail => "help: stacks".to_owned(),
                Mode::Table => "help: Sites".to_owned(),
                Mode::Other(tab) => format!("help: {}", tab.name()),
            };
            let lines = help(ui, area.cells().saturating_sub(SIDES));
            Some(scrolled(area, &title, lines, *scroll))
        }
        Popup::Why { scroll } => {
            let area = why_area(ui);
            let room = area.cells().saturating_sub(SIDES);
            let lines = diagnosis(&ui.reading, room);
            let lines = lines.iter().map(|line| Line::plain(names::clean(line)));
            Some(scrolled(area, "diagnosis", lines.collect(), *scroll))
        }
        Popup::Sort { choice } => {
            let lines = SortKey::with_meaning(ui.set())
                .iter()
                .map(|(_, words)| Line::plain(*words))
                .collect();
            Some(menu(ui, layout, "sort by", lines, *choice))
        }
        Popup::Group { choice } => {
            let lines = groups(ui)
                .iter()
                .map(|(_, words)| Line::plain(*words))
                .collect();
            Some(menu(ui, layout, "one row is one", lines, *choice))
        }
        Popup::Export { choice } => {
            let lines = EXPORTS.iter().map(|(_, words)| Line::plain(*words));
            Some(menu(ui, layout, "save", lines.collect(), *choice))
        }
        Popup::Baselines { choice } => {
            let lines = (0..ui.reading.baselines.len())
                .map(|index| baseline_line(ui, index))
                .collect();
            Some(menu(ui, layout, "growth since", lines, *choice))
        }
    }
}

fn palette_line(entry: &Entry) -> Line {
    let mut line = Line::default();
    line.push(format!("{:<9}", entry.label), Role::Accent);
    line.push(entry.what, Role::Plain);
    line
}

fn baseline_line(ui: &UiState, index: usize) -> Line {
    let Some(baseline) = ui.reading.baselines.get(index) else {
        return Line::default();
    };
    let live = baseline
        .live_bytes
        .map_or_else(|| "?".to_owned(), |live| format::bytes(live as f64));
    let ago = format::duration(ui.reading.until_ns().saturating_sub(baseline.at_ns));
    let active = if index == ui.reading.active_baseline {
        "*"
    } else {
        " "
    };
    let name = names::shorten(&ui.baseline_name(index), 20);
    let time = format::time_of_day(
        ui.reading.target.unix_ns(baseline.at_ns),
        ui.options.utc_offset_s,
    );
    Line::plain(format!(
        "{active} {name:<20} {time}  {ago:>7} ago  live {live:>6}"
    ))
}

/// A box at the lower left, as high as it must be, at most down to the keys.
fn menu(ui: &UiState, layout: &Layout, title: &str, lines: Vec<Line>, choice: usize) -> Panel {
    let widest = lines
        .iter()
        .map(Line::width)
        .max()
        .unwrap_or(0)
        .max(width(title) + 2)
        .max(24);
    let top = layout.context.y + layout.context.height;
    let most = layout.keys.y.saturating_sub(top).saturating_sub(2);
    let rows = u16::try_from(lines.len())
        .unwrap_or(u16::MAX)
        .min(most)
        .max(1);
    let cells = u16::try_from(widest + SIDES + 2)
        .unwrap_or(u16::MAX)
        .min(ui.size().0);
    let area = Area::new(0, layout.keys.y.saturating_sub(rows + 2), cells, rows + 2);
    let choice = choice.min(lines.len().saturating_sub(1));
    let first = scroll_to(0, choice, usize::from(rows), lines.len());
    let shown: Vec<Line> = lines
        .into_iter()
        .enumerate()
        .skip(first)
        .take(usize::from(rows))
        .map(|(index, line)| {
            let mut marked = Line::plain(if index == choice { "> " } else { "  " });
            marked.append(line);
            marked
        })
        .collect();
    framed(area, title, "", shown, Some(choice - first))
}

/// A box of text, from its line `scroll` on.
fn scrolled(area: Area, title: &str, lines: Vec<Line>, scroll: usize) -> Panel {
    let rows = area.rows().saturating_sub(2);
    let first = scroll.min(lines.len().saturating_sub(rows));
    let more = lines.len().saturating_sub(first + rows);
    let right = if more > 0 {
        format!("{more} more lines, j k")
    } else {
        String::new()
    };
    let lines = lines.into_iter().skip(first).take(rows).collect();
    framed(area, title, &right, lines, None)
}

fn framed(
    area: Area,
    title: &str,
    right: &str,
    content: Vec<Line>,
    cursor: Option<usize>,
) -> Panel {
    let room = area.cells().saturating_sub(SIDES);
    let edge = |left: &str, title: &str, note: &str, right: &str| {
        let mut line = Line::new(left, Role::Dim);
        line.append(rule(title, note, area.cells().saturating_sub(2)));
        line.push(right, Role::Dim);
        line
    };
    let mut lines = vec![edge("┌", title, right, "┐")];
    let rows = area.rows().saturating_sub(2);
    let mut content = content;
    content.resize(rows, Line::default());
    for inner in content {
        let mut line = Line::new("│ ", Role::Dim);
        line.append(inner.fit(room));
        line.pad_to(area.cells().saturating_sub(1));
        line.push("│", Role::Dim);
        lines.push(line);
    }
    lines.push(edge("└", "", "", "┘"));
    Panel {
        kind: PanelKind::Box,
        area,
        lines,
        cursor: cursor.map(|index| index + 1),
    }
}

/// From row 4 down to the keys, as wide as sentences are read well. A screen without a row to spare gives all of it.
fn why_area(ui: &UiState) -> Area {
    let (columns, rows) = ui.size();
    let layout = Layout::of(ui.size(), ui);
    let top = layout.news.y + layout.news.height;
    Area::new(0, top, columns.min(120), rows.saturating_sub(1 + top))
}

/// From row 4 down to the keys.
fn help_area(ui: &UiState) -> Area {
    let (columns, rows) = ui.size();
    let layout = Layout::of(ui.size(), ui);
    let top = layout.news.y + layout.news.height;
    Area::new(
        0,
        top,
        columns.min(100),
        rows.saturating_sub(1 + top).min(30),
    )
}

/// The lines of the help in `room` cells: what the words mean, then the keys that work here.
fn help(ui: &UiState, room: usize) -> Vec<Line> {
    let texts: &[&str] = match ui.mode() {
        Mode::Detail => &[
            "Each stack is one way to the site, innermost frame first; sums are the site's.",
            "SHARE of the site's in-use   OBJECT bytes of one   SINCE the baseline",
        ],
        Mode::Table => &[
            "One row is one call site: the innermost frame outside the Go runtime.",
            "GROWING a leak, or a cache not yet at its bound; one letter is one leak",
            "warming each step smaller    churn much allocated, nothing kept",
            "steady flat   idle nothing happens   collect too few samples yet",
            "+- one standard error   ~0 not to be told from zero   ? not known yet",
        ],
        Mode::Other(Tab::Gc) => &[
            "One row is one GC cycle. LIVE is what it marked, GOAL the heap at which the next one is due, START the heap when it began.",
            "PAUSES stop the world twice in a cycle. KIND forced: by runtime.GC, or as none came for 2 minutes.",
        ],
        Mode::Other(Tab::Goroutines) => &[
            "One row is what goroutines run and who made them. WAITING IN is what most of them wait for, LONGEST for how long.",
            "GROWING as for sites: a leak, or a pool not yet at its bound.",
        ],
        Mode::Other(_) => &[
            "The parts sum to the resident set; the difference to what the kernel counts stands below.",
            "AT PEAK is the largest resident set of this watch. SINCE counts from the baseline.",
        ],
    };
    let mut lines: Vec<Line> = texts
        .iter()
        .flat_map(|text| wrap(text, room))
        .map(Line::plain)
        .collect();
    lines.push(Line::default());
    let mode = ui.mode();
    let column = |rows: &[HelpRow]| -> Vec<Line> {
        rows.iter()
            .filter(|row| row.applies(mode))
            .map(HelpRow::line)
            .collect()
    };
    let (mut left, right) = (column(HELP_LEFT), column(HELP_RIGHT));
    if room >= 74 {
        let n = left.len().max(right.len());
        left.resize(n, Line::default());
        for (index, mut line) in left.into_iter().enumerate() {
            line = line.fit(room / 2 - 1);
            if let Some(other) = right.get(index) {
                line.pad_to(room / 2);
                line.append(other.clone());
            }
            lines.push(line);
        }
    } else {
        lines.extend(left);
        lines.extend(right);
    }
    let units = "Ki Mi Gi as in Kubernetes (1 Mi = 1,048,576 B); k M are thousands, millions.";
    lines.extend(wrap(units, room).into_iter().map(Line::plain));
    for note in ui.reading.notes() {
        lines.extend(
            wrap(&format!("Note: {note}."), room)
                .into_iter()
                .map(|line| Line::new(line, Role::Warn)),
        );
    }
    lines
}

/// One line of the help: keys that belong together.
struct HelpRow {
    title: &'static str,
    keys: &'static str,
    words: &'static str,
    /// What the keys do, as the table of commands has it.
    commands: &'static [Command],
}

const fn row(
    title: &'static str,
    keys: &'static str,
    words: &'static str,
    commands: &'static [Command],
) -> HelpRow {
    HelpRow {
        title,
        keys,
        words,
        commands,
    }
}

impl HelpRow {
    fn applies(&self, mode: Mode) -> bool {
        ENTRIES
            .iter()
            .any(|entry| works(entry, mode) && self.commands.contains(&entry.command))
    }

    fn line(&self) -> Line {
        let mut line = Line::new(format!("{:<7}", self.title), Role::Dim);
        line.push(format!("{} ", self.keys), Role::Accent);
        line.push(self.words, Role::Plain);
        line
    }
}

use Command as C;

#[rustfmt::skip] // A table reads by its columns.
const HELP_LEFT: &[HelpRow] = &[
    row("MOVE", "j k arrows g G Home End", "", &[C::Up, C::Down, C::First, C::Last]),
    row("", "PgUp PgDn", "page  Ctrl-U Ctrl-D half", &[C::PageUp, C::PageDown, C::HalfUp, C::HalfDown]),
    row("", "h l", "columns that do not fit", &[C::Left, C::Right]),
    row("OPEN", "Enter", "stacks; fold   Esc back", &[C::Open, C::Back]),
    row("", "< >", "other site", &[C::PreviousSite, C::NextSite]),
    row("WHY", "D", "the evidence in words", &[C::Why]),
    row("VIEWS", "1 3 4 5 Tab Shift-Tab", "", &[C::View(Tab::Sites), C::View(Tab::Gc),
        C::View(Tab::Goroutines), C::View(Tab::Memory), C::NextView, C::PreviousView]),
    row("FILTER", "/", "type, Enter keep, !no", &[C::Filter]),
    row("TIME", "b", "baseline   B list of them", &[C::MarkBaseline, C::Baselines]),
    row("", "Space", "pause, go on", &[C::Pause]),
    row("KEEP", "y", "copy   e export pprof", &[C::Copy, C::Export]),
    row("MORE", ":", "every action and its key", &[C::Palette]),
];

#[rustfmt::skip] // A table reads by its columns.
const HELP_RIGHT: &[HelpRow] = &[
    row("SORT", "v", "verdict       i in-use", &[C::Sort(SortKey::Verdict), C::Sort(SortKey::InUse)]),
    row("", "r", "growth/min  o objects/min", &[C::Sort(SortKey::Rate), C::Sort(SortKey::Objects)]),
    row("", "w", "growth since  a alloc/s", &[C::Sort(SortKey::Growth), C::Sort(SortKey::Alloc)]),
    row("", "s", "all columns", &[C::SortMenu]),
    row("", "a letter again", "reverses", &[C::Sort(SortKey::Growth)]),
    row("SHOW", "d", "absolute  u objects", &[C::Since, C::Unit]),
    row("", "c", "flat / cumulative", &[C::Cumulative]),
    row("", "f", "group rows by ...", &[C::GroupMenu]),
    row("", "x", "runtime frames in stacks", &[C::RuntimeFrames]),
    row("SCREEN", "? F1 help  Ctrl-L draw again", "", &[C::Help, C::Redraw]),
    row("QUIT", "q Ctrl-C  Ctrl-Z suspend", "", &[C::Quit, C::Suspend]),
];

/// Breaks a text into lines of at most `room` cells, between words.
pub(super) fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut();
        match last {
            Some(line) if line.is_empty() || width(line) + 1 + width(word) <= room => {
                if !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_command_that_has_a_key() {
        for entry in ENTRIES.iter().filter(|entry| !entry.keys.is_empty()) {
            let row = HELP_LEFT
                .iter()
                .chain(HELP_RIGHT)
                .find(|row| row.commands.contains(&entry.command));
            let text = row
                .map(|row| format!("{} {}", row.keys, row.words))
                .unwrap_or_default();
            let first = entry.label.split(' ').next().unwrap_or_default();
            assert!(
                text.split([' ', ',']).any(|word| word == first),
                "{first}: {text}"
            );
        }
    }
}
