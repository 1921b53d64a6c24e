//! Sentences into lines: wrapped, with hanging indents, never between a figure and its unit.

use super::super::names::{cut, width};

/// Least cells for text behind an indent, however narrow the output says it is.
const LEAST_ROOM: usize = 20;

/// What stays on the line of the word before it: signs and units of a figure.
const GLUED: [&str; 8] = [
    "%", "B", "KiB", "MiB", "GiB", "KiB/min", "MiB/min", "GiB/min",
];

/// `text` in lines of at most `room` cells, the first behind `first`, the others behind `rest`.
///
/// A word that is longer than a line, which only a name can be, is broken behind a `/` or a `.`.
pub(super) fn wrap(first: &str, rest: &str, text: &str, room: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in words(text) {
        let mut word = word.as_str();
        if !is_empty && width(&line) + 1 + width(word) > room {
            lines.push(std::mem::replace(&mut line, rest.to_owned()));
            is_empty = true;
        }
        while is_empty && width(&line) + width(word) > room {
            let left = room.saturating_sub(width(&line)).max(LEAST_ROOM);
            let (start, end) = break_name(word, left);
            if end.is_empty() {
                break;
            }
            line.push_str(start);
            lines.push(std::mem::replace(&mut line, rest.to_owned()));
            word = end;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    lines.push(line);
    lines
}

/// The words of a text, each with the units that belong to it.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let unit = word.trim_end_matches([',', '.', ';', ':', ')']);
        match words.last_mut() {
            Some(before)
                if GLUED.contains(&unit) && before.ends_with(|c: char| c.is_ascii_digit()) =>
            {
                before.push(' ');
                before.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    words
}

/// A name in two, the first part of at most `room` cells.
fn break_name(name: &str, room: usize) -> (&str, &str) {
    let end = cut(name, room).len();
    let Some(start) = name.get(..end) else {
        return (name, "");
    };
    // A method stays whole where it can: `memorycache.` and `(*Cache).Set`.
    let before_method = name.get(..end + 1).and_then(|start| start.rfind(".("));
    let at = before_method
        .max(start.rfind('/'))
        .or_else(|| start.rfind('.'))
        .map_or(end, |at| at + 1);
    name.split_at(at)
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn list(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// `3 sites`, `one site`.
pub(super) fn some(count: usize, one: &str) -> String {
    if count == 1 {
        format!("one {one}")
    } else {
        format!("{count} {one}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_stays_with_its_unit() {
        let lines = wrap("", "  ", "grows by 3.75 MiB/min (90 %: 3.6 to 3.9).", 18);
        assert_eq!(
            lines,
            ["grows by", "  3.75 MiB/min", "  (90 %: 3.6 to", "  3.9)."]
        );
    }

    #[test]
    fn a_name_longer_than_a_line_is_broken_where_it_can_be_read() {
        let name = "github.com/TykTechnologies/tyk/internal/memorycache.(*BucketStorage).Create";
        let lines = wrap("  +1 MiB/min  ", "              ", name, 64);
        assert_eq!(
            lines,
            [
                "  +1 MiB/min  github.com/TykTechnologies/tyk/internal/",
                "              memorycache.(*BucketStorage).Create"
            ]
        );
        for line in wrap("", "", &"x".repeat(100), 30) {
            assert!(width(&line) <= 30, "{line}");
        }
    }
}
