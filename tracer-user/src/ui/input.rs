//! Events of the terminal as inputs of the view.

use crossterm::event::{
    Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};

use crate::view::input::{Input, Key};

/// Characters of the longest answer that is dropped: `11;rgba:ffff/ffff/ffff/ffff` and its two ends.
const MAX_ANSWER_CHARS: u8 = 40;

/// Reads events. It has a memory of its own for the terminal's late answers, which arrive as keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reader {
    /// Characters that may still belong to an answer.
    answer_left: u8,
}

impl Reader {
    /// What an event means to the view; `None` for what means nothing.
    ///
    /// A terminal that is far away may tell its background (`ESC ] 11 ; rgb: … ESC \`) after nobody waits for it: as
    /// keys that would sort, mark and export. `Alt-]` has no meaning here and begins such an answer.
    pub fn read(&mut self, event: Event) -> Option<Input> {
        let input = read(event)?;
        let Input::Key(key) = input else {
            return Some(input);
        };
        if key == Key::Alt(']') {
            self.answer_left = MAX_ANSWER_CHARS;
            return None;
        }
        if self.answer_left == 0 {
            return Some(input);
        }
        self.answer_left -= 1;
        match key {
            Key::Alt('\\') | Key::Ctrl('g') => {
                self.answer_left = 0;
                None
            }
            Key::Char(c) if c.is_ascii_hexdigit() || ";:/rgba".contains(c) => None,
            // That was typed.
            _ => {
                self.answer_left = 0;
                Some(input)
            }
        }
    }
}

/// What an event means on its own; `None` for releases, focus, and keys that have no name here.
fn read(event: Event) -> Option<Input> {
    match event {
        Event::Key(key) => read_key(key).map(Input::Key),
        Event::Paste(text) => Some(Input::Paste(text)),
        Event::Mouse(mouse) => read_mouse(mouse),
        Event::Resize(columns, rows) => Some(Input::Resize(columns, rows)),
        Event::FocusGained | Event::FocusLost => None,
    }
}

fn read_key(event: KeyEvent) -> Option<Key> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    let control = event.modifiers.contains(KeyModifiers::CONTROL);
    let alt = event.modifiers.contains(KeyModifiers::ALT);
    Some(match event.code {
        // Control with a letter has no case: terminals cannot tell.
        KeyCode::Char(c) if control && !alt => Key::Ctrl(c.to_ascii_lowercase()),
        KeyCode::Char(c) if alt && !control => Key::Alt(c),
        // AltGr arrives as both on some terminals, with the character that it makes.
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Esc,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Delete => Key::Delete,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::F(n) => Key::F(n),
        _ => return None,
    })
}

fn read_mouse(event: MouseEvent) -> Option<Input> {
    match event.kind {
        MouseEventKind::Down(MouseButton::Left) => Some(Input::Click {
            x: event.column,
            y: event.row,
        }),
        MouseEventKind::ScrollDown => Some(Input::Wheel { down: true }),
        MouseEventKind::ScrollUp => Some(Input::Wheel { down: false }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(code: KeyCode, modifiers: KeyModifiers) -> Option<Input> {
        read(Event::Key(KeyEvent::new(code, modifiers)))
    }

    #[test]
    fn keys_keep_their_modifiers() {
        assert_eq!(
            key(KeyCode::Char('C'), KeyModifiers::CONTROL),
            Some(Input::Key(Key::Ctrl('c')))
        );
        assert_eq!(
            key(KeyCode::Char('G'), KeyModifiers::SHIFT),
            Some(Input::Key(Key::Char('G')))
        );
        assert_eq!(
            key(KeyCode::Char('b'), KeyModifiers::ALT),
            Some(Input::Key(Key::Alt('b')))
        );
        assert_eq!(key(KeyCode::CapsLock, KeyModifiers::NONE), None);
    }

    #[test]
    fn a_late_answer_of_the_terminal_is_no_keys() {
        let mut reader = Reader::default();
        let mut typed = |code, modifiers| reader.read(Event::Key(KeyEvent::new(code, modifiers)));
        for end in ['\\', 'g'] {
            assert_eq!(typed(KeyCode::Char(']'), KeyModifiers::ALT), None);
            for c in "11;rgb:1e1e/bbbb/ffff".chars() {
                assert_eq!(typed(KeyCode::Char(c), KeyModifiers::NONE), None);
            }
            let modifiers = if end == 'g' {
                KeyModifiers::CONTROL
            } else {
                KeyModifiers::ALT
            };
            assert_eq!(typed(KeyCode::Char(end), modifiers), None);
            let key = typed(KeyCode::Char('r'), KeyModifiers::NONE);
            assert_eq!(key, Some(Input::Key(Key::Char('r'))));
        }
        // A user who types Alt-] does not lose the next command.
        assert_eq!(typed(KeyCode::Char(']'), KeyModifiers::ALT), None);
        let key = typed(KeyCode::Char('q'), KeyModifiers::NONE);
        assert_eq!(key, Some(Input::Key(Key::Char('q'))));
    }

    #[test]
    fn a_release_is_no_key() {
        let mut event = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE);
        event.kind = KeyEventKind::Release;
        assert_eq!(read(Event::Key(event)), None);
    }
}
