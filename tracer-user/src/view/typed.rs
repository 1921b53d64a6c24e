//! A line being typed, edited as in a shell, and the filter that it makes.

use super::input::Key;
use crate::model::rows::SiteRow;

/// Longest line; more than any screen shows.
const MAX_CHARS: usize = 256;

/// Most earlier lines that are kept.
const MAX_EARLIER: usize = 50;

/// A line with a place in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineEdit {
    chars: Vec<char>,
    /// Characters before the place.
    at: usize,
    /// Which earlier line is shown, counted from the latest.
    earlier: Option<usize>,
}

impl LineEdit {
    /// A line with its place at the end.
    pub fn new(text: &str) -> Self {
        let chars: Vec<char> = text.chars().take(MAX_CHARS).collect();
        Self {
            at: chars.len(),
            chars,
            earlier: None,
        }
    }

    /// The text.
    pub fn text(&self) -> String {
        self.chars.iter().collect()
    }

    /// The text before the place.
    pub fn before(&self) -> String {
        self.chars[..self.at].iter().collect()
    }

    /// Inserts text at the place; control characters are left out.
    pub fn insert(&mut self, text: &str) {
        for c in text.chars().filter(|c| !c.is_control()) {
            if self.chars.len() < MAX_CHARS {
                self.chars.insert(self.at, c);
                self.at += 1;
            }
        }
    }

    /// Shows the line before (`older`) or after the one shown, of `earlier` lines, oldest first.
    pub fn recall(&mut self, earlier: &[String], older: bool) {
        let shown = match (self.earlier, older) {
            (None, true) => Some(0),
            (Some(n), true) => Some((n + 1).min(earlier.len().saturating_sub(1))),
            (None | Some(0), false) => None,
            (Some(n), false) => Some(n - 1),
        };
        let text = shown
            .and_then(|n| earlier.len().checked_sub(n + 1))
            .and_then(|index| earlier.get(index));
        if text.is_none() && older {
            return;
        }
        *self = Self::new(text.map_or("", String::as_str));
        self.earlier = shown;
    }

    /// Edits the line by a key; keys that do not edit change nothing.
    pub fn edit(&mut self, key: Key) {
        match key {
            Key::Char(c) => self.insert(c.encode_utf8(&mut [0; 4])),
            Key::Backspace | Key::Ctrl('h') if self.at > 0 => {
                self.at -= 1;
                self.chars.remove(self.at);
            }
            Key::Delete | Key::Ctrl('d') if self.at < self.chars.len() => {
                self.chars.remove(self.at);
            }
            Key::Left | Key::Ctrl('b') => self.at = self.at.saturating_sub(1),
            Key::Right | Key::Ctrl('f') => self.at = (self.at + 1).min(self.chars.len()),
            Key::Home | Key::Ctrl('a') => self.at = 0,
            Key::End | Key::Ctrl('e') => self.at = self.chars.len(),
            Key::Alt('b') => self.at = self.word_start(),
            Key::Alt('f') => self.at = self.word_end(),
            Key::Ctrl('u') => {
                self.chars.drain(..self.at);
                self.at = 0;
            }
            Key::Ctrl('k') => self.chars.truncate(self.at),
            Key::Ctrl('w') => {
                let start = self.word_start();
                self.chars.drain(start..self.at);
                self.at = start;
            }
            Key::Alt('d') => {
                let end = self.word_end();
                self.chars.drain(self.at..end);
            }
            _ => {}
        }
    }

    fn word_start(&self) -> usize {
        let blanks = self.chars[..self.at]
            .iter()
            .rev()
            .take_while(|c| **c == ' ')
            .count();
        let end = self.at - blanks;
        end - self.chars[..end]
            .iter()
            .rev()
            .take_while(|c| **c != ' ')
            .count()
    }

    fn word_end(&self) -> usize {
        let blanks = self.chars[self.at..]
            .iter()
            .take_while(|c| **c == ' ')
            .count();
        let start = self.at + blanks;
        start
            + self.chars[start..]
                .iter()
                .take_while(|c| **c != ' ')
                .count()
    }
}

/// Keeps a line for later, without doubles.
pub fn remember(earlier: &mut Vec<String>, line: &str) {
    if line.is_empty() {
        return;
    }
    earlier.retain(|other| other != line);
    earlier.push(line.to_owned());
    if earlier.len() > MAX_EARLIER {
        earlier.remove(0);
    }
}

/// What rows must hold to be shown: all words, none of the `!words`; in the function or the file.
///
/// Small letters match capitals too; a word with a capital is taken as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    text: String,
}

impl Filter {
    /// The filter of a typed line.
    pub fn new(text: &str) -> Self {
        Self {
            text: text.trim().to_owned(),
        }
    }

    /// The line as typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it lets everything through.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Whether a row is shown.
    pub fn matches(&self, row: &SiteRow) -> bool {
        self.text
            .split_whitespace()
            .all(|word| match word.strip_prefix('!') {
                // A `!` alone is a word being typed, not yet one that excludes.
                Some("") => true,
                Some(word) => !holds(row, word),
                None => holds(row, word),
            })
    }
}

fn holds(row: &SiteRow, word: &str) -> bool {
    if word.chars().any(char::is_uppercase) {
        row.function.contains(word) || row.file.contains(word)
    } else {
        row.function.to_lowercase().contains(word) || row.file.to_lowercase().contains(word)
    }
}
