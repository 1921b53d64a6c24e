//! What a click means: rows are selected, and opened by a second click; headings sort.

use super::commands::Command;
use super::layout::Layout;
use super::order::SortKey;
use super::table;
use super::tabs::Tab;
use super::ui_state::UiState;

/// Moves the cursor, and returns the command that the click stands for.
pub fn click(ui: &mut UiState, x: u16, y: u16) -> Option<Command> {
    let layout = Layout::of(ui.size(), ui);
    if ui.typed.is_some() {
        return None;
    }
    if ui.popup.is_some() {
        // Boxes are left by a click anywhere, as by Esc.
        return Some(Command::Back);
    }
    if layout.context.contains(x, y) {
        return super::tabs::at(ui, &layout, x).map(Command::View);
    }
    if ui.tab != Tab::Sites {
        return None;
    }
    if ui.detail.is_some() {
        return click_detail(ui, &layout, x, y);
    }
    if !layout.table.contains(x, y) {
        return None;
    }
    let line = usize::from(y - layout.table.y);
    if line == 0 {
        let x = usize::from(x);
        let placed = table::columns(ui, &layout)
            .into_iter()
            .find(|placed| x >= placed.x && x < placed.x + placed.width.max(1))?;
        return match placed.column {
            Some(column) => column.sort_key().map(Command::Sort),
            None => Some(Command::Sort(SortKey::Name)),
        };
    }
    let index = table::first_row(ui, &layout) + line - 1;
    if line > layout.table_rows || index >= ui.shown_rows().len() {
        return None;
    }
    let again = index == ui.cursor_index();
    ui.select(index);
    again.then_some(Command::Open)
}

fn click_detail(ui: &mut UiState, layout: &Layout, x: u16, y: u16) -> Option<Command> {
    let first_line = layout.body.y + u16::try_from(layout.above_stacks()).unwrap_or(0);
    if !layout.body.contains(x, y) || y < first_line {
        return None;
    }
    let detail = ui.detail.as_mut()?;
    let places = super::detail::places(&ui.reading, detail, ui.runtime_frames);
    let at = super::detail::place_index(&places, detail.place);
    let first = super::moves::scroll_to(detail.scroll, at, layout.detail_rows, places.len());
    let index = first + usize::from(y - first_line);
    let place = *places.get(index)?;
    detail.scroll = first;
    detail.place = place;
    (index == at && place.frame.is_none()).then_some(Command::Open)
}
