//! What `y` copies, to be pasted into a ticket: the facts of the selected row, the diagnosis, or a view as text.

use std::fmt::Write as _;

use super::format;
use super::layout::Layout;
use super::names;
use super::selected::{freed, growth};
use super::table::{alloc_per_second, label};
use super::tabs::Tab;
use super::ui_state::UiState;
use super::words;

/// Columns of a text that is copied: what a ticket shows without breaking lines.
const COPIED_COLUMNS: usize = 80;

/// The facts of the selected row as text; `None` if there is no row.
pub fn row_facts(ui: &UiState) -> Option<String> {
    let row = ui.selected()?;
    let reading = &ui.reading;
    let target = &reading.target;
    let mut text = label(row, ui.query.by);
    let place = names::location(&row.file, row.line, usize::MAX);
    let rate = row.rate.map_or_else(String::new, |rate| {
        format!(
            ", {}/min (+-{}), {} objects/min",
            format::per_minute(rate.bytes_per_min),
            format::per_minute(rate.bytes_per_min_err).trim_start_matches('+'),
            format::signed_count(rate.objects_per_min)
        )
    });
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "\n  {place}\n  in-use {} (+-{}), {}, {}, after the last GC\n  {}{rate}\n  allocated {}/s, {}\n  \
         {}, pid {}, {}, at {}, watched {}, {} GC cycles\n",
        format::bytes(row.inuse.bytes),
        format::error(row.inuse.bytes, row.inuse.bytes_err, row.samples),
        format::many(&format::count(row.inuse.objects), "object"),
        format::many(&format::exact_count(row.samples), "sample"),
        growth(ui, row).0,
        alloc_per_second(row, false),
        freed(row),
        names::clean(&target.name),
        target.pid_text(),
        names::clean(&target.go),
        format::time_of_day(target.unix_ns(reading.until_ns()), ui.options.utc_offset_s),
        format::duration(reading.until_ns().saturating_sub(target.attached_ns)),
        format::counted(reading.cycles_seen),
    );
    if let Some(stacks) = reading.stacks.get(&row.id).filter(|_| ui.detail.is_some()) {
        for stack in stacks.iter().take(1) {
            text.push_str("  largest stack:\n");
            for frame in &stack.frames {
                let place = names::location(&frame.file, frame.line, usize::MAX);
                let _ = writeln!(text, "    {} {place}", names::clean(&frame.function));
            }
        }
    }
    Some(text)
}

/// The diagnosis in words.
pub fn diagnosis(ui: &UiState) -> String {
    words::diagnosis(&ui.reading, COPIED_COLUMNS).join("\n") + "\n"
}

/// What a view shows now, line by line.
pub fn view_text(ui: &UiState, tab: Tab) -> Option<String> {
    let layout = Layout::of(ui.size(), ui);
    let panel = super::others::panel(ui, &layout, tab);
    let mut text = String::new();
    for line in &panel.lines {
        text.push_str(line.text().trim_end());
        text.push('\n');
    }
    (!text.trim().is_empty()).then_some(text)
}
