//! What the user does, as plain values, and what it changes: the view's state, and what the session has to do.

use super::commands::{self, Command};
use super::copy::{diagnosis, row_facts, view_text};
use super::mouse;
use super::order::{Sort, SortKey};
use super::popup::{self, Export, Popup};
use super::tabs::Tab;
use super::typed::{Filter, LineEdit, remember};
use super::ui_state::{Detail, Typed, TypedFor, UiState};
use crate::model::Model;

use Command as C;

/// A key, with the modifiers that make another key of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// A character, capitals included.
    Char(char),
    /// Control and a small letter.
    Ctrl(char),
    /// Alt and a character.
    Alt(char),
    /// Return.
    Enter,
    /// Escape.
    Esc,
    /// Backspace.
    Backspace,
    /// Delete.
    Delete,
    /// Tabulator.
    Tab,
    /// Shift and tabulator.
    BackTab,
    /// Arrow.
    Up,
    /// Arrow.
    Down,
    /// Arrow.
    Left,
    /// Arrow.
    Right,
    /// Home.
    Home,
    /// End.
    End,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// A function key.
    F(u8),
}

/// Something that came from the terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A key was pressed.
    Key(Key),
    /// Text was pasted: belongs to a typed line, and is nothing else (no command is run by it).
    Paste(String),
    /// The left button was pressed on a cell.
    Click {
        /// Column, from 0.
        x: u16,
        /// Row, from 0.
        y: u16,
    },
    /// The wheel was turned by one step.
    Wheel {
        /// Towards the user.
        down: bool,
    },
    /// The terminal has another size, columns and rows.
    Resize(u16, u16),
}

/// What the session has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// End with status 0.
    Quit,
    /// Write files, then report their names by [`UiState::notify`].
    Export(Export),
    /// Tell the model to mark now as a baseline and to use it.
    MarkBaseline,
    /// Tell the model to compare with that one of its baselines.
    UseBaseline(usize),
    /// Leave the terminal, stop, and come back.
    Suspend,
    /// Draw all cells again.
    Redraw,
    /// Put text into the terminal's clipboard.
    Copy(String),
}

/// Lines that one step of the wheel moves.
const WHEEL_LINES: isize = 3;

/// Takes one input: changes the state, and returns what is left for the session to do.
pub fn handle(ui: &mut UiState, input: Input, model: &Model) -> Option<Action> {
    let size = match input {
        Input::Resize(columns, rows) => (columns, rows),
        _ => ui.size(),
    };
    ui.refresh(model, size);
    let action = match input {
        Input::Resize(..) => None,
        Input::Key(key) => on_key(ui, key, model),
        Input::Paste(text) => {
            if let Some(typed) = &mut ui.typed {
                typed.line.insert(text.lines().next().unwrap_or_default());
                follow_typed(ui);
            }
            None
        }
        Input::Click { x, y } => match mouse::click(ui, x, y) {
            Some(command) => run(ui, command, model),
            None => None,
        },
        Input::Wheel { down } => {
            ui.move_by(if down { WHEEL_LINES } else { -WHEEL_LINES });
            None
        }
    };
    // What the input asks for may need other rows or stacks: they are on the next frame, not on the one after.
    ui.refresh(model, size);
    action
}

fn on_key(ui: &mut UiState, key: Key, model: &Model) -> Option<Action> {
    // These three work while a line is typed as well: they are not letters of it.
    match key {
        Key::Ctrl('c') => return run(ui, Command::Quit, model),
        Key::Ctrl('z') => return run(ui, Command::Suspend, model),
        Key::Ctrl('l') => return run(ui, Command::Redraw, model),
        _ => {}
    }
    if ui.typed.is_some() {
        return on_typed_key(ui, key, model);
    }
    if key == Key::Enter
        && let Some(popup) = ui.popup.take()
    {
        return popup::choose(ui, &popup);
    }
    let command = commands::of_key(key, ui.mode())?;
    let stays = matches!(command, C::Help | C::Why | C::Back) || is_move(command);
    // The diagnosis is copied while it is read.
    let copies = command == C::Copy && matches!(ui.popup, Some(Popup::Why { .. }));
    if !stays && !copies {
        // Another command than one of the box has done with the box.
        ui.popup = None;
    }
    run(ui, command, model)
}

fn is_move(command: Command) -> bool {
    matches!(
        command,
        C::Up | C::Down | C::PageUp | C::PageDown | C::HalfUp | C::HalfDown | C::First | C::Last
    )
}

fn on_typed_key(ui: &mut UiState, key: Key, model: &Model) -> Option<Action> {
    let mode = ui.mode();
    let typed = ui.typed.as_mut()?;
    match (key, typed.purpose) {
        (Key::Enter, purpose) => {
            let text = typed.line.text();
            let choice = typed.choice;
            ui.typed = None;
            match purpose {
                TypedFor::Filter => remember(&mut ui.earlier_filters, text.trim()),
                TypedFor::BaselineName => ui.name_baseline(text.trim()),
                TypedFor::Palette => {
                    let found = commands::search(&text, mode);
                    if let Some(entry) = found.get(choice.min(found.len().saturating_sub(1))) {
                        return run(ui, entry.command, model);
                    }
                }
            }
        }
        (Key::Esc, purpose) => {
            let before = typed.before.clone();
            ui.typed = None;
            if purpose == TypedFor::Filter {
                ui.set_filter(before);
            }
        }
        // The palette's list stands above the line, so that Up and Down choose from it.
        (Key::Up, TypedFor::Palette) => typed.choice = typed.choice.saturating_sub(1),
        (Key::Down, TypedFor::Palette) => {
            let found = commands::search(&typed.line.text(), mode).len();
            typed.choice = (typed.choice + 1).min(found.saturating_sub(1));
        }
        (Key::Up, TypedFor::Filter) => typed.line.recall(&ui.earlier_filters, true),
        (Key::Down, TypedFor::Filter) => typed.line.recall(&ui.earlier_filters, false),
        _ => {
            typed.line.edit(key);
            typed.choice = 0;
        }
    }
    follow_typed(ui);
    None
}

/// Filters as the line is typed, so that the rows that are left are seen before Enter.
fn follow_typed(ui: &mut UiState) {
    if let Some(Typed {
        purpose: TypedFor::Filter,
        line,
        ..
    }) = &ui.typed
    {
        let filter = Filter::new(&line.text());
        if filter != ui.filter {
            ui.set_filter(filter);
        }
    }
}

fn run(ui: &mut UiState, command: Command, model: &Model) -> Option<Action> {
    match command {
        Command::Quit => return Some(Action::Quit),
        Command::Suspend => return Some(Action::Suspend),
        Command::Redraw => return Some(Action::Redraw),
        // A live process goes on, and its profile is what other tools take. Of one that has exited this is the last chance.
        Command::Export if ui.has_exited() => ui.popup = Some(Popup::Export { choice: 0 }),
        Command::Export => return Some(Action::Export(Export::Profile)),
        Command::MarkBaseline => return mark_baseline(ui),
        Command::Copy => return copy(ui),
        Command::Help => {
            ui.popup = match ui.popup {
                Some(Popup::Help { .. }) => None,
                _ => Some(Popup::Help { scroll: 0 }),
            };
        }
        Command::Why => {
            ui.popup = match ui.popup {
                Some(Popup::Why { .. }) => None,
                _ => Some(Popup::Why { scroll: 0 }),
            };
        }
        Command::View(tab) => ui.show_tab(tab),
        Command::NextView => ui.show_tab(ui.tab.step(1)),
        Command::PreviousView => ui.show_tab(ui.tab.step(-1)),
        Command::Palette => ui.type_line(TypedFor::Palette, ""),
        Command::Filter => {
            let text = ui.filter.text().to_owned();
            ui.type_line(TypedFor::Filter, &text);
        }
        Command::NameBaseline => ui.type_line(TypedFor::BaselineName, ""),
        Command::ClearFilter => ui.set_filter(Filter::default()),
        Command::Back => back(ui),
        Command::Pause => ui.toggle_pause(model),
        Command::Baselines => ui.popup = Some(Popup::baselines(ui)),
        Command::SortMenu => ui.popup = Some(Popup::sort_menu(ui)),
        Command::GroupMenu => ui.popup = Some(Popup::group_menu(ui)),
        Command::Since => ui.since = !ui.since,
        Command::Unit => {
            ui.objects = !ui.objects;
            ui.reorder_now();
        }
        Command::RuntimeFrames => ui.runtime_frames = !ui.runtime_frames,
        Command::SidePanel => ui.side_panel = !ui.side_panel,
        Command::Cumulative => ui.ask(crate::model::rows::Query {
            cumulative: !ui.query.cumulative,
            ..ui.query
        }),
        Command::Sort(key) => sort_by(ui, key),
        Command::Open => open(ui),
        Command::PreviousSite => ui.other_site(-1),
        Command::NextSite => ui.other_site(1),
        Command::Left => ui.columns_at = ui.columns_at.saturating_sub(1),
        Command::Right => ui.columns_at = (ui.columns_at + 1).min(ui.most_columns_left_out()),
        Command::Up => ui.move_by(-1),
        Command::Down => ui.move_by(1),
        Command::PageUp => ui.move_by(-ui.page()),
        Command::PageDown => ui.move_by(ui.page()),
        Command::HalfUp => ui.move_by(-(ui.page() / 2).max(1)),
        Command::HalfDown => ui.move_by((ui.page() / 2).max(1)),
        Command::First => ui.move_by(isize::MIN / 2),
        Command::Last => ui.move_by(isize::MAX / 2),
    }
    None
}

fn back(ui: &mut UiState) {
    if ui.popup.take().is_some() {
        return;
    }
    if ui.tab != Tab::Sites {
        ui.show_tab(Tab::Sites);
        return;
    }
    if ui.detail.take().is_some() {
        return;
    }
    if !ui.filter.is_empty() {
        ui.set_filter(Filter::default());
    }
}

fn open(ui: &mut UiState) {
    if let Some(detail) = &mut ui.detail {
        let place = super::detail::place(&ui.reading, detail, ui.runtime_frames);
        detail.toggle(place);
    } else if let Some(row) = ui.selected_id() {
        ui.detail = Some(Detail::new(row));
    }
}

/// Another column sorts in its own direction, the same one again the other way round.
pub(super) fn sort_by(ui: &mut UiState, key: SortKey) {
    ui.set_sort(Sort {
        key,
        reversed: ui.sort.key == key && !ui.sort.reversed,
    });
}

fn mark_baseline(ui: &mut UiState) -> Option<Action> {
    if ui.has_exited() {
        ui.notify("the process has ended: no new baseline");
        return None;
    }
    if ui.is_paused() {
        // A baseline is marked now, and what is on the screen is not now.
        ui.notify("paused: Space goes on, then b marks a baseline");
        return None;
    }
    ui.notify("baseline marked; growth is known after the next GC. B lists all");
    Some(Action::MarkBaseline)
}

fn copy(ui: &mut UiState) -> Option<Action> {
    let (what, text) = match (&ui.popup, ui.tab) {
        (Some(Popup::Why { .. }), _) => ("the diagnosis", Some(diagnosis(ui))),
        (_, Tab::Sites) => ("the facts of the row", row_facts(ui)),
        (_, tab) => ("the view", view_text(ui, tab)),
    };
    let text = text?;
    ui.notify(format!("copied {what} (where the terminal allows OSC 52)"));
    Some(Action::Copy(text))
}

impl UiState {
    fn type_line(&mut self, purpose: TypedFor, text: &str) {
        self.popup = None;
        self.typed = Some(Typed {
            purpose,
            line: LineEdit::new(text),
            before: self.filter.clone(),
            choice: 0,
        });
    }
}
