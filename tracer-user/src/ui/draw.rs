//! Puts the panels of a view into a buffer of cells.
//!
//! Every panel is finished lines, so one way of drawing serves all; what a panel is only decides whether it covers
//! what lies below. What does not fit into the buffer is left out: the terminal may have shrunk since the view was made.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::glyphs::Glyphs;
use super::theme::Theme;
use crate::view::screen::{Area, Line, Panel, PanelKind, Role, ViewState};

/// How things look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Colours.
    pub theme: Theme,
    /// Characters.
    pub glyphs: Glyphs,
}

/// Draws a view into a buffer, whose cells are blank.
pub fn draw(view: &ViewState, look: Look, buffer: &mut Buffer) {
    for panel in &view.panels {
        draw_panel(panel, look, buffer);
    }
}

fn draw_panel(panel: &Panel, look: Look, buffer: &mut Buffer) {
    let area = rect(panel.area).intersection(buffer.area);
    if panel.kind == PanelKind::Box {
        for y in area.top()..area.bottom() {
            for x in area.left()..area.right() {
                buffer[(x, y)].reset();
            }
        }
    }
    for (y, (index, line)) in (area.top()..area.bottom()).zip(panel.lines.iter().enumerate()) {
        let row = Rect::new(area.x, y, area.width, 1);
        draw_line(line, row, look, buffer);
        if panel.cursor == Some(index) {
            // A box keeps its sides: the cursor is within.
            let inset = u16::from(panel.kind == PanelKind::Box).min(row.width / 2);
            let row = Rect::new(row.x + inset, row.y, row.width - 2 * inset, 1);
            buffer.set_style(row, look.theme.cursor());
        }
    }
}

fn draw_line(line: &Line, row: Rect, look: Look, buffer: &mut Buffer) {
    let mut x = row.x;
    for span in &line.spans {
        let left = row.right().saturating_sub(x);
        if left == 0 {
            break;
        }
        let text = if span.role == Role::Garbage {
            look.glyphs.dotted(&span.text)
        } else {
            look.glyphs.text(&span.text)
        };
        let (end, _) = buffer.set_stringn(x, row.y, text, usize::from(left), look.theme.span(span));
        x = end;
    }
}

fn rect(area: Area) -> Rect {
    Rect::new(area.x, area.y, area.width, area.height)
}
