//! The list to pick a Go process from: what is shown of it, and what keys do to it. As pure as the rest of the view.

use super::boxes::wrap;
use super::format::many;
use super::input::{Input, Key};
use super::processes::{heading, row};
use super::screen::{Area, Line, Panel, PanelKind, Role, ViewState};
use super::typed::LineEdit;
use crate::listed::ListedProcess;

/// Lines above the list: the title and the heading.
const TOP_LINES: u16 = 2;
/// Lines below it: a sentence on the chosen process, and the keys.
const BOTTOM_LINES: u16 = 2;
/// Lines that one step of the wheel moves.
const WHEEL_LINES: isize = 3;

/// The list, and what the user did with it.
#[derive(Clone, Debug, Default)]
pub struct Picker {
    processes: Vec<ListedProcess>,
    advice: Option<String>,
    /// The process under the cursor: it stays there when the order changes.
    at: Option<u32>,
    /// First row that is shown, of those that the filter leaves.
    top: usize,
    filter: LineEdit,
    is_typing: bool,
    /// The help stands in the place of the list.
    is_help: bool,
    size: (u16, u16),
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picked {
    /// Watch the process with this pid.
    Open(u32),
    /// End.
    Quit,
    /// Leave the terminal, stop, and come back.
    Suspend,
    /// Draw all cells again.
    Redraw,
}

impl Picker {
    /// Takes a new look over: processes in their order, and what to do where some are missing.
    pub fn update(&mut self, processes: Vec<ListedProcess>, advice: Option<String>) {
        let place = self.place();
        self.processes = processes;
        self.advice = advice;
        let shown = self.shown();
        let is_there = shown.iter().any(|process| Some(process.pid) == self.at);
        if !is_there {
            // It has ended: the cursor stays at its place.
            let at = shown.get(place.min(shown.len().saturating_sub(1)));
            self.at = at.map(|process| process.pid);
        }
        self.scroll();
    }

    /// Takes one input.
    pub fn handle(&mut self, input: Input) -> Option<Picked> {
        match input {
            Input::Resize(columns, rows) => self.size = (columns, rows),
            Input::Key(key) => return self.on_key(key),
            Input::Paste(text) if self.is_typing => {
                self.filter.insert(text.lines().next().unwrap_or_default());
                self.filtered();
            }
            Input::Paste(_) => {}
            Input::Click { y, .. } => {
                let row = y.checked_sub(TOP_LINES).map(usize::from);
                let row = row.filter(|&row| row < self.room());
                if let Some(row) = row {
                    let at = self.shown().get(self.top + row).map(|process| process.pid);
                    self.at = at.or(self.at);
                }
            }
            Input::Wheel { down } => self.go(if down { WHEEL_LINES } else { -WHEEL_LINES }),
        }
        None
    }

    fn on_key(&mut self, key: Key) -> Option<Picked> {
        let page = isize::try_from(self.room().max(1)).unwrap_or(1);
        if std::mem::take(&mut self.is_help) && matches!(key, Key::Esc | Key::Char('?') | Key::F(1))
        {
            return None;
        }
        match key {
            Key::Ctrl('c') => return Some(Picked::Quit),
            Key::Ctrl('z') => return Some(Picked::Suspend),
            Key::Ctrl('l') => return Some(Picked::Redraw),
            Key::Up => self.go(-1),
            Key::Down => self.go(1),
            Key::PageUp => self.go(-page),
            Key::PageDown => self.go(page),
            Key::Enter => {
                self.is_typing = false;
                return self.at.map(Picked::Open);
            }
            Key::Esc if self.is_typing || !self.filter.text().is_empty() => {
                self.is_typing = false;
                self.filter = LineEdit::default();
                self.filtered();
            }
            _ if self.is_typing => {
                self.filter.edit(key);
                self.filtered();
            }
            Key::Esc | Key::Char('q') => return Some(Picked::Quit),
            Key::Char('/') => self.is_typing = true,
            Key::Char('?') | Key::F(1) => self.is_help = true,
            Key::Char('k') => self.go(-1),
            Key::Char('j') => self.go(1),
            Key::Home | Key::Char('g') => self.go(isize::MIN / 2),
            Key::End | Key::Char('G') => self.go(isize::MAX / 2),
            _ => {}
        }
        None
    }

    /// Processes that the filter leaves: all words, in the name, the container, the release, or as the pid.
    fn shown(&self) -> Vec<&ListedProcess> {
        let text = self.filter.text().to_lowercase();
        let holds = |process: &&ListedProcess| {
            let all = format!(
                "{} {} {} {} {}",
                process.name.to_lowercase(),
                process.pid,
                process.container.as_deref().unwrap_or_default(),
                process.go.as_deref().unwrap_or_default(),
                process.source.word(),
            );
            text.split_whitespace().all(|word| all.contains(word))
        };
        self.processes.iter().filter(holds).collect()
    }

    /// Row of the cursor among those shown.
    fn place(&self) -> usize {
        let at = |process: &&ListedProcess| Some(process.pid) == self.at;
        self.shown().iter().position(at).unwrap_or(0)
    }

    fn go(&mut self, lines: isize) {
        let shown = self.shown();
        let last = shown.len().saturating_sub(1);
        let place = self.place().saturating_add_signed(lines).min(last);
        self.at = shown.get(place).map(|process| process.pid);
        self.scroll();
    }

    fn filtered(&mut self) {
        self.at = self.shown().first().map(|process| process.pid);
        self.top = 0;
    }

    /// Rows of the list.
    fn room(&self) -> usize {
        usize::from(self.size.1.saturating_sub(TOP_LINES + BOTTOM_LINES))
    }

    /// Moves the list so that the cursor is in it.
    fn scroll(&mut self) {
        let (place, room) = (self.place(), self.room().max(1));
        let first = (place + 1).saturating_sub(room);
        let most = self.shown().len().saturating_sub(room);
        self.top = self.top.clamp(first.min(place), place).min(most.max(first));
    }

    /// The frame for a terminal of `size` (columns, rows).
    pub fn view(&mut self, size: (u16, u16)) -> ViewState {
        self.size = size;
        self.scroll();
        let (width, height) = size;
        let columns = usize::from(width);
        let shown = self.shown();
        let mut title = Line::plain(" ");
        title.push_bold("heaptop", Role::Accent);
        let n_all = many(&self.processes.len().to_string(), "Go process");
        let n_all = n_all.replace("processs", "processes");
        title.push(format!("  {n_all}: pick one to watch"), Role::Plain);
        let mut panels = vec![Panel::new(
            PanelKind::Header,
            Area::new(0, 0, width, height.min(TOP_LINES)),
            vec![title, Line::new(heading(columns), Role::Dim)],
        )];
        let room = self.room();
        let rows = shown.iter().skip(self.top).take(room);
        let mut lines: Vec<Line> = rows
            .map(|process| {
                let role = if process.source.why().is_some() {
                    Role::Dim
                } else {
                    Role::Plain
                };
                Line::new(row(process, columns), role)
            })
            .collect();
        if self.is_help {
            lines = help(columns);
            lines.truncate(room);
        }
        let cursor =
            (!lines.is_empty() && !self.is_help).then(|| self.place().saturating_sub(self.top));
        if lines.is_empty() && room > 0 {
            lines.push(Line::new(self.empty(), Role::Warn));
        }
        let list_rows = u16::try_from(room).unwrap_or(u16::MAX);
        let mut list = Panel::new(
            PanelKind::Table,
            Area::new(0, TOP_LINES, width, list_rows),
            lines,
        );
        list.cursor = cursor;
        panels.push(list);
        let below = height
            .saturating_sub(BOTTOM_LINES)
            .max(TOP_LINES.min(height));
        let (keys, caret) = self.keys(height.saturating_sub(1));
        panels.push(Panel::new(
            PanelKind::Keys,
            Area::new(0, below, width, height - below),
            vec![Line::new(self.sentence(), Role::Warn), keys],
        ));
        for panel in &mut panels {
            panel.lines = panel
                .lines
                .drain(..)
                .map(|line| line.fit(columns))
                .collect();
        }
        ViewState {
            size,
            panels,
            caret: caret.filter(|&(x, _)| x < width),
        }
    }

    /// What stands in a list without rows.
    fn empty(&self) -> String {
        if self.processes.is_empty() {
            let advice = self.advice.as_deref();
            return format!(" {}", advice.unwrap_or("looking for Go processes"));
        }
        format!(
            " none matches {:?} ({} hidden). Esc clears the filter",
            self.filter.text(),
            self.processes.len()
        )
    }

    /// Why the chosen process cannot be watched, or what is missing in the list.
    fn sentence(&self) -> String {
        let at = self
            .processes
            .iter()
            .find(|process| Some(process.pid) == self.at);
        let why = at.and_then(|process| process.source.why());
        let advice = self
            .advice
            .as_deref()
            .filter(|_| !self.processes.is_empty());
        why.or(advice).map_or_else(String::new, |text| {
            format!(" {}", super::names::clean(text))
        })
    }

    fn keys(&self, y: u16) -> (Line, Option<(u16, u16)>) {
        if self.is_typing {
            let line = Line::new(" /", Role::Accent).with(self.filter.text(), Role::Plain);
            let x = 2 + super::names::width(&self.filter.before());
            return (line, u16::try_from(x).ok().map(|x| (x, y)));
        }
        let mut line = Line::plain(" ");
        for (key, what) in [
            ("Enter", "watch"),
            ("j k", "move"),
            ("/", "filter"),
            ("?", "help"),
            ("q", "quit"),
        ] {
            line.push(key, Role::Accent);
            line.push(format!(" {what}  "), Role::Plain);
        }
        let text = self.filter.text();
        if !text.is_empty() {
            line.push(
                format!("/{text} ({} shown)", self.shown().len()),
                Role::Cool,
            );
        }
        (line, None)
    }
}

/// What the list is and what keys do, in the place of the list.
fn help(columns: usize) -> Vec<Line> {
    let mut lines: Vec<Line> = wrap(
        "Every Go process that this user may look at. Those that cannot be watched are dim, and why stands below. \
         Watching changes nothing in a process.",
        columns.saturating_sub(4),
    )
    .into_iter()
    .map(|text| Line::plain(format!("  {text}")))
    .collect();
    lines.push(Line::default());
    for (keys, what) in [
        ("Enter", "watch the process under the cursor"),
        ("j k arrows g G PgUp PgDn", "move"),
        (
            "/",
            "filter by name, pid, container, release; Esc clears it",
        ),
        ("? F1 Esc", "close this"),
        ("Ctrl-L  Ctrl-Z", "draw again; suspend"),
        ("q Esc Ctrl-C", "quit"),
    ] {
        let mut line = Line::new(format!("  {keys:<26}"), Role::Accent);
        line.push(what, Role::Plain);
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listed::Offer;

    fn processes(names: &[&str]) -> Vec<ListedProcess> {
        let process = |(pid, name): (u32, &&str)| ListedProcess {
            pid,
            name: (*name).into(),
            source: Offer::Sampler,
            ..ListedProcess::default()
        };
        (1u32..).zip(names).map(process).collect()
    }

    fn picker(names: &[&str]) -> Picker {
        let mut picker = Picker::default();
        picker.update(processes(names), None);
        picker.view((80, 8));
        picker
    }

    fn text(view: &ViewState) -> String {
        let panels = view.panels.iter();
        let lines = panels.flat_map(|panel| panel.lines.iter().map(Line::text));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_question_mark_explains_the_list() {
        let mut picker = picker(&["gateway"]);
        assert_eq!(picker.handle(Input::Key(Key::Char('?'))), None);
        let help = text(&picker.view((80, 24)));
        assert!(
            help.contains("watch the process under the cursor"),
            "{help}"
        );
        assert_eq!(picker.handle(Input::Key(Key::Esc)), None);
        assert!(text(&picker.view((80, 24))).contains("gateway"));
        // Another key than those that close it does what it does.
        picker.handle(Input::Key(Key::Char('?')));
        assert_eq!(
            picker.handle(Input::Key(Key::Char('q'))),
            Some(Picked::Quit)
        );
    }

    #[test]
    fn the_cursor_stays_with_its_process() {
        let mut picker = picker(&["a", "b", "c"]);
        picker.handle(Input::Key(Key::Char('j')));
        let mut other = processes(&["a", "b", "c"]);
        other.reverse();
        picker.update(other.clone(), None);
        assert_eq!(picker.handle(Input::Key(Key::Enter)), Some(Picked::Open(2)));
        // Its process has ended: the one in its place.
        other.remove(1);
        picker.update(other, None);
        assert_eq!(picker.handle(Input::Key(Key::Enter)), Some(Picked::Open(1)));
        picker.update(Vec::new(), Some("no Go process found".into()));
        assert_eq!(picker.handle(Input::Key(Key::Enter)), None);
        assert!(text(&picker.view((80, 8))).contains("no Go process found"));
    }

    #[test]
    fn a_filter_leaves_what_it_says_and_esc_clears_it() {
        let mut picker = picker(&["gateway", "tyk", "etcd"]);
        for key in "/tyk".chars() {
            assert_eq!(picker.handle(Input::Key(Key::Char(key))), None);
        }
        let view = picker.view((80, 8));
        assert!(!text(&view).contains("etcd"), "{}", text(&view));
        assert_eq!(view.caret, Some((5, 7)));
        picker.handle(Input::Key(Key::Esc));
        assert!(text(&picker.view((80, 8))).contains("etcd"));
        assert_eq!(picker.handle(Input::Key(Key::Esc)), Some(Picked::Quit));
    }

    #[test]
    fn every_size_is_drawn_with_the_cursor_in_it() {
        let names: Vec<String> = (0..300).map(|n| format!("process-{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut picker = picker(&names);
        for key in [Key::End, Key::PageUp, Key::Home, Key::PageDown, Key::Up] {
            picker.handle(Input::Key(key));
            for width in [0, 1, 5, 40, 80, 300] {
                for height in [0, 1, 2, 3, 4, 5, 24, 400] {
                    let view = picker.view((width, height));
                    for panel in &view.panels {
                        let rows = usize::from(panel.area.height);
                        assert!(
                            panel.cursor.is_none_or(|at| at < rows.max(1)),
                            "{width}x{height}"
                        );
                        let bottom = panel.area.y.saturating_add(panel.area.height);
                        assert!(
                            bottom <= height.max(2),
                            "{width}x{height}: {:?}",
                            panel.area
                        );
                    }
                }
            }
        }
    }
}
