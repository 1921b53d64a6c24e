//! What is shown, worked out from the model and from what the user asked to see: plain lines with roles.
//!
//! Pure: no terminal, no clock, no I/O. In reading order: [`reading`] is one moment of the model; [`ui_state`] is what
//! the user chose; [`input`] changes it by keys, which [`commands`] lists once; [`layout`] places the panels that
//! [`header`], [`news`], [`graph`], [`table`], [`selected`], [`detail`], [`boxes`] and [`keyline`] fill; [`screen`] is
//! what comes out. [`mod@format`] and [`names`] turn figures and names into text of known width; [`text`] is the same
//! table for pipes, and [`words`] is the diagnosis in sentences.
//!
//! The order of calls for each frame is [`view`]; for each key [`input::handle`], then [`view`].

pub mod boxes;
pub mod columns;
pub mod commands;
pub mod copy;
pub mod countdown;
mod cycles;
pub mod detail;
mod earlier;
pub mod format;
mod goroutines;
pub mod graph;
pub mod header;
pub mod input;
pub mod keyline;
pub mod layout;
mod limit;
mod memory;
pub mod mouse;
mod moves;
pub mod names;
pub mod news;
pub mod order;
mod others;
pub mod outlook;
pub mod picker;
pub mod popup;
pub mod processes;
pub mod reading;
pub mod screen;
pub mod selected;
pub mod table;
pub mod tabs;
pub mod text;
pub mod typed;
pub mod ui_state;
pub mod words;

pub use screen::ViewState;
pub use text::{TextOptions, text_block};
pub use ui_state::{Options, UiState};

use crate::model::Model;
use layout::{Layout, MIN_HEIGHT, MIN_WIDTH};
use screen::{Area, Line, Panel, PanelKind};
use tabs::Tab;

/// The frame for a terminal of `size` (columns, rows), with what the model knows now.
///
/// `ui` takes over the model's figures first ([`UiState::refresh`]); what is shown then depends on `ui` alone.
pub fn view(model: &Model, ui: &mut UiState, size: (u16, u16)) -> ViewState {
    ui.refresh(model, size);
    frame(ui)
}

/// The frame of a state as it is. Never panics, for whatever size and reading.
pub fn frame(ui: &UiState) -> ViewState {
    let size = ui.size();
    if !Layout::fits(size) {
        return too_small(size);
    }
    let layout = Layout::of(size, ui);
    let mut panels = vec![header::panel(ui, &layout), news::panel(ui, &layout)];
    if layout.context.height > 0 {
        panels.push(tabs::panel(ui, &layout));
    }
    if ui.tab != Tab::Sites {
        panels.push(others::panel(ui, &layout, ui.tab));
    } else if let Some(detail) = detail::panel(ui, &layout) {
        panels.push(detail);
    } else {
        if layout.graph.height > 0 {
            panels.push(graph::panel(ui, &layout));
        }
        panels.extend(graph::process(ui, &layout));
        panels.push(table::panel(ui, &layout));
        panels.extend(detail::side_panel(ui, &layout));
        panels.push(selected::panel(ui, &layout));
    }
    panels.extend(boxes::panel(ui, &layout));
    let (keys, caret) = keyline::panel(ui, &layout);
    panels.push(keys);
    for panel in &mut panels {
        // Sentences may be longer than the narrowest screen; figures are made to fit.
        let room = panel.area.cells();
        panel.lines = panel.lines.drain(..).map(|line| line.fit(room)).collect();
    }
    ViewState {
        size,
        panels,
        caret,
    }
}

fn too_small(size: (u16, u16)) -> ViewState {
    let (width, height) = size;
    let text = format!("heaptop needs {MIN_WIDTH}x{MIN_HEIGHT}, this is {width}x{height}");
    let lines = boxes::wrap(&text, usize::from(width));
    let rows = u16::try_from(lines.len()).unwrap_or(u16::MAX).min(height);
    let area = Area::new(0, (height - rows) / 2, width, rows);
    let lines = lines
        .into_iter()
        .take(usize::from(rows))
        .map(|line| Line::plain(line).fit(usize::from(width)))
        .collect();
    ViewState {
        size,
        panels: vec![Panel::new(PanelKind::TooSmall, area, lines)],
        caret: None,
    }
}

#[cfg(test)]
mod tests;
