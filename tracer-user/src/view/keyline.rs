//! The last row: keys that work now, or the line being typed.

use super::layout::Layout;
use super::names::{cut, width};
use super::popup::Popup;
use super::screen::{Line, Panel, PanelKind, Role};
use super::tabs::Tab;
use super::ui_state::{TypedFor, UiState};

/// A key and its word; the larger the number, the earlier it goes where there is no room.
type Hint = (&'static str, &'static str, u8);

const TABLE: &[Hint] = &[
    ("Enter", "stacks", 0),
    ("D", "why", 0),
    ("b", "baseline", 3),
    ("d", "since", 6),
    ("u", "bytes/objects", 6),
    ("h l", "columns", 7),
    ("/", "filter", 1),
    ("s", "sort", 1),
    ("f", "group", 8),
    ("y", "copy", 5),
    ("e", "export", 2),
    ("Space", "pause", 4),
    ("?", "help", 0),
    ("q", "quit", 0),
];

const DETAIL: &[Hint] = &[
    ("Enter", "fold", 0),
    ("< >", "other site", 2),
    ("D", "why", 1),
    ("x", "runtime frames", 3),
    ("b", "baseline", 6),
    ("y", "copy", 5),
    ("e", "export", 4),
    ("Space", "pause", 7),
    ("?", "help", 1),
    ("Esc", "back", 0),
];

const OTHER: &[Hint] = &[
    ("j k", "move", 3),
    ("D", "why", 0),
    ("b", "baseline", 4),
    ("d", "since/absolute", 6),
    ("y", "copy", 3),
    ("e", "export", 2),
    ("Space", "pause", 3),
    ("Tab", "next view", 1),
    ("?", "help", 0),
    ("q", "quit", 0),
];

const MENU: &[Hint] = &[
    ("Enter", "choose", 0),
    ("j k", "move", 1),
    ("Esc", "back", 0),
];
const PALETTE: &[Hint] = &[
    ("Enter", "do it", 0),
    ("Up Down", "choose", 1),
    ("Esc", "back", 0),
];

/// The panel, and where the terminal's cursor stands in it.
pub fn panel(ui: &UiState, layout: &Layout) -> (Panel, Option<(u16, u16)>) {
    let area = layout.keys;
    let room = area.cells();
    if let Some(typed) = &ui.typed {
        let sign = match typed.purpose {
            TypedFor::Filter => " /",
            TypedFor::Palette => " :",
            TypedFor::BaselineName => " name of the baseline: ",
        };
        let mut line = Line::new(sign, Role::Accent);
        // Of a line longer than the screen the part before the cursor is seen.
        let left = room.saturating_sub(line.width() + 2);
        let (before, text) = (typed.line.before(), typed.line.text());
        let mut skipped = 0;
        for c in before.chars() {
            if width(&before[skipped..]) <= left {
                break;
            }
            skipped += c.len_utf8();
        }
        line.push(cut(&text[skipped..], left), Role::Plain);
        let caret = width(sign) + width(&before[skipped..]);
        let caret = (
            u16::try_from(caret)
                .unwrap_or(0)
                .min(area.width.saturating_sub(1)),
            area.y,
        );
        let hints = match typed.purpose {
            TypedFor::Palette => PALETTE,
            TypedFor::Filter => &[("Enter", "keep", 0), ("Esc", "drop", 0)],
            TypedFor::BaselineName => &[("Enter", "rename", 0), ("Esc", "drop", 0)],
        };
        let hints = fit(hints, room, ui.is_paused());
        if line.width() + hints.width() + 3 < room {
            line = line.and_right(hints, room - 1);
        }
        return (Panel::new(PanelKind::Keys, area, vec![line]), Some(caret));
    }
    let line = match &ui.popup {
        Some(Popup::Help { .. }) => Line::plain(" ? or Esc closes this   F1 is ? too"),
        Some(Popup::Why { .. }) => {
            let line = Line::plain(" D or Esc closes this   y copies it   j k PgDn move");
            match ui.notice() {
                // The line that tells it else is behind the box.
                Some(notice) => {
                    let mut told = Line::plain(" ");
                    told.push_bold(notice, Role::Accent);
                    told
                }
                None => line,
            }
        }
        Some(_) => fit(MENU, room, ui.is_paused()),
        None if ui.tab != Tab::Sites => match ui.notice() {
            Some(notice) => {
                let mut told = Line::plain(" ");
                told.push_bold(notice, Role::Accent);
                told
            }
            None => fit(OTHER, room, ui.is_paused()),
        },
        None if ui.has_exited() && ui.detail.is_none() => {
            let long =
                " All views stay as they were; e saves them, the process keeps nothing.  ?  q";
            if width(long) < room {
                Line::plain(long)
            } else {
                fit(TABLE, room, ui.is_paused())
            }
        }
        None if ui.detail.is_some() => fit(DETAIL, room, ui.is_paused()),
        None => fit(TABLE, room, ui.is_paused()),
    };
    (
        Panel::new(PanelKind::Keys, area, vec![line.fit(room)]),
        None,
    )
}

/// As many hints as there is room for, in their order; help and quit lose their words first.
fn fit(hints: &[Hint], room: usize, is_paused: bool) -> Line {
    let mut least = hints.iter().map(|hint| hint.2).max().unwrap_or(0);
    loop {
        for is_short in [false, true] {
            let mut line = Line::plain(" ");
            for (key, word, _) in hints.iter().filter(|hint| hint.2 <= least) {
                if line.width() > 1 {
                    line.push("  ", Role::Plain);
                }
                line.push(*key, Role::Accent);
                if !(is_short && matches!(*key, "?" | "q")) {
                    let word = if is_paused && *word == "pause" {
                        "go on"
                    } else {
                        word
                    };
                    line.push(format!(" {word}"), Role::Plain);
                }
            }
            if line.width() < room || least == 0 {
                return line;
            }
        }
        least -= 1;
    }
}
