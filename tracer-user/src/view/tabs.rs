//! Row 4: the views as tabs, what differs from the view's own settings, and the baseline at the right.

use super::format;
use super::layout::Layout;
use super::names;
use super::order::SortKey;
use super::screen::{Line, Panel, PanelKind, Role};
use super::table::{columns, label};
use super::ui_state::UiState;
use crate::model::rows::GroupBy;

/// A view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Tab {
    /// The table of sites, and the stacks of one.
    #[default]
    Sites,
    /// GC cycles.
    Gc,
    /// Goroutines by what they run and who made them.
    Goroutines,
    /// What the resident memory is.
    Memory,
}

impl Tab {
    /// All, from left to right.
    pub const ALL: [Self; 4] = [Self::Sites, Self::Gc, Self::Goroutines, Self::Memory];

    /// The key. The numbers between belong to views that are to come.
    pub fn key(self) -> char {
        match self {
            Self::Sites => '1',
            Self::Gc => '3',
            Self::Goroutines => '4',
            Self::Memory => '5',
        }
    }

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sites => "Sites",
            Self::Gc => "GC",
            Self::Goroutines => "Goroutines",
            Self::Memory => "Memory",
        }
    }

    /// The one `by` places to the right, around the ends.
    #[must_use]
    pub fn step(self, by: isize) -> Self {
        let n = Self::ALL.len();
        let at = Self::ALL.iter().position(|tab| *tab == self).unwrap_or(0);
        let at = (at + n).saturating_add_signed(by) % n;
        Self::ALL.get(at).copied().unwrap_or_default()
    }
}

/// How tabs are written where there is less room.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Words {
    All,
    ActiveOnly,
}

/// The tabs from the first cell on, each with its cells.
fn tabs(active: Tab, words: Words) -> (Line, Vec<(Tab, std::ops::Range<usize>)>) {
    let mut line = Line::plain(" ");
    let mut cells = Vec::new();
    for (index, tab) in Tab::ALL.into_iter().enumerate() {
        if index > 0 {
            line.push("  ", Role::Plain);
        }
        let start = line.width();
        if tab == active {
            line.push_bold(format!("{} {}", tab.key(), tab.name()), Role::Accent);
        } else if words == Words::All {
            line.push(tab.key().to_string(), Role::Accent);
            line.push(format!(" {}", tab.name()), Role::Dim);
        } else {
            line.push(tab.key().to_string(), Role::Accent);
        }
        cells.push((tab, start..line.width()));
    }
    (line, cells)
}

/// Whether a heading marks what the rows are sorted by.
fn sorted_column_is_shown(ui: &UiState, layout: &Layout) -> bool {
    ui.sort.key == SortKey::Name
        || columns(ui, layout)
            .iter()
            .filter_map(|placed| placed.column)
            .any(|column| column.marks(ui.sort.key))
}

/// The site whose stacks are open, and its place in the table.
fn path(ui: &UiState, width: usize) -> Option<Line> {
    let (Some(_), Some(row)) = (&ui.detail, ui.selected()) else {
        return None;
    };
    let index = ui.shown_rows().position(|other| other.id == row.id);
    let place = index.map_or_else(String::new, |index| {
        format!(", {} of {}", index + 1, ui.shown_rows().len())
    });
    let mut line = Line::new(" Sites > ", Role::Dim);
    let room = width.saturating_sub(46);
    line.push(names::shorten(&label(row, ui.query.by), room), Role::Accent);
    line.push(place, Role::Dim);
    Some(line)
}

/// What differs from the view's own settings.
fn settings(ui: &UiState, layout: &Layout) -> Line {
    let is_table = ui.detail.is_none();
    let mut settings = Vec::new();
    match ui.query.by {
        GroupBy::Function => {}
        GroupBy::Line => settings.push("by line".to_owned()),
        GroupBy::Package => settings.push("by package".to_owned()),
        GroupBy::Type => settings.push("by type".to_owned()),
    }
    if ui.query.cumulative {
        settings.push("cumulative".to_owned());
    }
    if ui.objects {
        settings.push("objects".to_owned());
    }
    if is_table && !sorted_column_is_shown(ui, layout) {
        let words = SortKey::ALL.iter().find(|(key, _)| *key == ui.sort.key);
        settings.push(format!("by {}", words.map_or("", |(_, words)| words)));
    }
    if ui.sort.reversed {
        settings.push("reversed".to_owned());
    }
    if ui.columns_at > 0 && is_table {
        settings.push("h more columns".to_owned());
    }
    if !ui.filter.is_empty() && is_table {
        let shown = ui.shown_rows().len();
        settings.push(format!(
            "/{} ({shown} of {})",
            names::shorten(&names::clean(ui.filter.text()), 20),
            shown + ui.hidden()
        ));
    }
    let mut line = Line::default();
    for setting in settings {
        line.push(format!("  {setting}"), Role::Plain);
    }
    line
}

fn baseline(ui: &UiState) -> Line {
    if ui.reading.baselines.is_empty() {
        return Line::default();
    }
    let since = format::duration(ui.reading.since_baseline_ns());
    let name = names::shorten(&ui.active_baseline_name(), 20);
    let text = if ui.since {
        format!("since {name} {since} ")
    } else {
        format!("absolute; baseline {name} ")
    };
    Line::new(text, Role::Dim)
}

/// The line's parts: at the left, at the right, and where the tabs stand.
fn parts(ui: &UiState, layout: &Layout) -> (Line, Line, Vec<(Tab, std::ops::Range<usize>)>) {
    let width = layout.context.cells();
    let right = baseline(ui);
    let settings = if ui.tab == Tab::Sites {
        settings(ui, layout)
    } else {
        Line::default()
    };
    if ui.tab == Tab::Sites
        && let Some(mut line) = path(ui, width)
    {
        line.append(settings);
        return (line, right, Vec::new());
    }
    let whole = tabs(ui.tab, Words::All);
    let fits = whole.0.width() + settings.width() + right.width() < width;
    let (mut line, cells) = if fits {
        whole
    } else {
        tabs(ui.tab, Words::ActiveOnly)
    };
    line.append(settings);
    (line, right, cells)
}

/// The row.
pub fn panel(ui: &UiState, layout: &Layout) -> Panel {
    let width = layout.context.cells();
    let (line, right, _) = parts(ui, layout);
    Panel::new(
        PanelKind::Context,
        layout.context,
        vec![line.and_right(right, width)],
    )
}

/// The tab at a column of the row.
pub fn at(ui: &UiState, layout: &Layout, x: u16) -> Option<Tab> {
    let (_, _, cells) = parts(ui, layout);
    let x = usize::from(x);
    cells
        .into_iter()
        .find(|(_, range)| range.contains(&x))
        .map(|(tab, _)| tab)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tabs_go_around_in_both_directions() {
        assert_eq!(Tab::Sites.step(-1), Tab::Memory);
        assert_eq!(Tab::Memory.step(1), Tab::Sites);
        assert_eq!(Tab::Gc.step(1), Tab::Goroutines);
    }
}
