//! Names of functions, shortened to a room so that the part which tells one from another stays.
//!
//! The steps, each tried on the whole name before the next: as it is; type arguments as `[...]`; the middle of the
//! path; `package.Func`, where an element like `v9` keeps its neighbour; the middle of the receiver; the middle of the
//! function; and for rooms below all sense the start of what is left. Room is counted in terminal cells.

use std::collections::HashMap;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

const GAP: &str = "...";

/// Fewest letters of a receiver beside its gap, or else it says nothing.
const LEAST_RECEIVER: usize = 3;

/// Cells that `text` takes on the screen.
pub fn width(text: &str) -> usize {
    text.width()
}

/// The name with whatever could move the cursor or switch the terminal's state replaced by `?`.
///
/// Names come from the target's memory: a process may call itself what it likes.
pub fn clean(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c.is_control() || c.width().is_none() {
                '?'
            } else {
                c
            }
        })
        .collect()
}

/// The start of `text` in at most `room` cells.
pub fn cut(text: &str, room: usize) -> String {
    let mut used = 0;
    text.chars()
        .take_while(|c| {
            used += c.width().unwrap_or(0);
            used <= room
        })
        .collect()
}

/// The end of `text` in at most `room` cells.
fn cut_start(text: &str, room: usize) -> String {
    let mut used = 0;
    let kept: Vec<char> = text
        .chars()
        .rev()
        .take_while(|c| {
            used += c.width().unwrap_or(0);
            used <= room
        })
        .collect();
    kept.into_iter().rev().collect()
}

/// `text` in at most `room` cells, its middle replaced by `...`; `head` of the cells that are left go to its start.
fn without_middle(text: &str, room: usize, head: impl Fn(usize) -> usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    if room <= GAP.len() {
        return cut(text, room);
    }
    let letters = room - GAP.len();
    let start = head(letters).min(letters);
    format!(
        "{}{GAP}{}",
        cut(text, start),
        cut_start(text, letters - start)
    )
}

/// A Go function name taken apart: `path/pack.` and `(*Receiver).` and `function`.
struct Parts<'a> {
    /// Elements of the import path before the last: `["github.com", "redis", "go-redis"]`.
    path: Vec<&'a str>,
    /// The last element of the import path: `v9`.
    package: &'a str,
    /// `(*`, `(` or nothing.
    open: &'a str,
    /// The receiver's type, or nothing.
    receiver: &'a str,
    /// `).`, `.` or nothing.
    close: &'a str,
    /// The rest: function, closures, type arguments.
    function: &'a str,
}

impl<'a> Parts<'a> {
    fn of(name: &'a str) -> Self {
        // Type arguments hold paths of their own.
        let end_of_path = name.find(['[', '(']).unwrap_or(name.len());
        let slash = name[..end_of_path].rfind('/').map_or(0, |at| at + 1);
        let dot = name[slash..].find('.').map(|at| slash + at);
        // The package of `gopkg.in/yaml.v3.Unmarshal` has a dot itself.
        let dot = dot.map(|dot| {
            let next = name[dot + 1..].find('.').map(|at| dot + 1 + at);
            next.filter(|&next| slash > 0 && is_version(&name[dot + 1..next]))
                .unwrap_or(dot)
        });
        let (path, rest) = name.split_at(slash);
        let path = path
            .split('/')
            .filter(|element| !element.is_empty())
            .collect();
        let Some(dot) = dot else {
            return Self {
                path,
                package: "",
                open: "",
                receiver: "",
                close: "",
                function: rest,
            };
        };
        let (package, rest) = (&name[slash..dot], &name[dot + 1..]);
        let (open, inner) = if let Some(inner) = rest.strip_prefix("(*") {
            ("(*", inner)
        } else if let Some(inner) = rest.strip_prefix('(') {
            ("(", inner)
        } else {
            ("", rest)
        };
        let (receiver, close, function) = if open.is_empty() {
            match inner.split_once('.') {
                // `Type.Method`, but not `function.func1`: types with methods by value cannot be told from functions
                // with closures except by what follows.
                Some((receiver, function)) if !is_closure(function) => (receiver, ".", function),
                _ => ("", "", inner),
            }
        } else {
            match inner.split_once(").") {
                Some((receiver, function)) => (receiver, ").", function),
                None => ("", "", inner),
            }
        };
        Self {
            path,
            package,
            open,
            receiver,
            close,
            function,
        }
    }

    /// The import path with `kept` elements before the package, and its dot.
    fn package(&self, kept: usize) -> String {
        let skipped = self.path.len() - kept.min(self.path.len());
        let mut text = self.path[skipped..].join("/");
        if !text.is_empty() {
            text.push('/');
        }
        text.push_str(self.package);
        if !self.package.is_empty() {
            text.push('.');
        }
        text
    }

    /// Elements that the package needs before it to be understood.
    fn least_path(&self) -> usize {
        usize::from(is_version(self.package)).min(self.path.len())
    }

    fn symbol(&self) -> String {
        format!(
            "{}{}{}{}",
            self.open, self.receiver, self.close, self.function
        )
    }
}

/// Whether what follows a dot is the compiler's name for a closure: `func1`, `1`, `gowrap2`, `init.0`.
fn is_closure(name: &str) -> bool {
    let first = name.split('.').next().unwrap_or(name);
    let word = first.trim_end_matches(|c: char| c.is_ascii_digit());
    word.is_empty()
        || (word.len() < first.len() && matches!(word, "func" | "gowrap" | "deferwrap" | "init"))
}

fn is_version(element: &str) -> bool {
    element
        .strip_prefix('v')
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
}

/// Type arguments as `[...]`, whatever stands in the outermost brackets.
fn without_type_arguments(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    let mut depth = 0usize;
    for c in name.chars() {
        match c {
            '[' => {
                if depth == 0 {
                    text.push_str("[...]");
                }
                depth += 1;
            }
            ']' if depth > 0 => depth -= 1,
            _ if depth > 0 => {}
            _ => text.push(c),
        }
    }
    text
}

/// One name in at most `room` cells, with at least `elements` elements of its path where it is shortened.
fn shorten_keeping(name: &str, room: usize, elements: usize) -> String {
    if width(name) <= room {
        return name.to_owned();
    }
    let bare = without_type_arguments(name);
    if width(&bare) <= room {
        return bare;
    }
    let parts = Parts::of(&bare);
    let kept = parts.least_path().max(elements);
    let symbol = parts.symbol();
    if parts.path.len() > kept + 1 {
        let text = format!("{}/{GAP}/{}{symbol}", parts.path[0], parts.package(kept));
        if width(&text) <= room {
            return text;
        }
    }
    let package = parts.package(kept);
    let text = format!("{package}{symbol}");
    if width(&text) <= room {
        return text;
    }
    if !parts.receiver.is_empty() {
        let others = width(&text) - width(parts.receiver);
        // A function too long for any receiver is shortened too, so the receiver gets its least.
        let letters = room.saturating_sub(others + GAP.len()).max(LEAST_RECEIVER);
        let receiver = without_middle(parts.receiver, letters + GAP.len(), |n| (2 * n).div_ceil(3));
        let text = format!(
            "{package}{}{receiver}{}{}",
            parts.open, parts.close, parts.function
        );
        if width(&text) <= room {
            return text;
        }
        let before = format!("{package}{}{receiver}{}", parts.open, parts.close);
        if let Some(text) = shorten_function(&before, parts.function, room) {
            return text;
        }
    } else if let Some(text) = shorten_function(&package, parts.function, room) {
        return text;
    }
    without_middle(&symbol, room, |n| n.div_ceil(2))
}

fn shorten_function(before: &str, function: &str, room: usize) -> Option<String> {
    let left = room.checked_sub(width(before))?;
    (left > GAP.len() + 1).then(|| {
        format!(
            "{before}{}",
            without_middle(function, left, |n| n.div_ceil(2))
        )
    })
}

/// One name in at most `room` cells.
pub fn shorten(name: &str, room: usize) -> String {
    shorten_keeping(name, room, 0)
}

/// Names that stand under each other, each in at most `room` cells; different names never end up equal as long as
/// the room holds a number that tells them apart.
///
/// Where shortening makes two equal, each gets elements of its path back; where that does not help (functions whose
/// difference lies in their middle), a number in the order of the whole names.
pub fn shorten_all<S: AsRef<str>>(names: &[S], room: usize) -> Vec<String> {
    let mut short: Vec<String> = names
        .iter()
        .map(|name| shorten(name.as_ref(), room))
        .collect();
    for elements in 1..=2 {
        for index in equal_ones(names, &short) {
            short[index] = shorten_keeping(names[index].as_ref(), room, elements);
        }
    }
    // A number may make a new pair equal, though hardly ever: a few rounds settle it.
    for round in 0..4 {
        let mut equal = equal_ones(names, &short);
        if equal.is_empty() {
            break;
        }
        equal.sort_by(|&a, &b| names[a].as_ref().cmp(names[b].as_ref()));
        equal.dedup_by(|a, b| names[*a].as_ref() == names[*b].as_ref());
        let mut numbers: HashMap<String, usize> = HashMap::new();
        let old = short.clone();
        for index in equal {
            let number = numbers.entry(old[index].clone()).or_insert(0);
            *number += 1;
            let suffix = format!("~{}{}", "~".repeat(round), number);
            let text = format!(
                "{}{suffix}",
                cut(&old[index], room.saturating_sub(suffix.len()))
            );
            for (other, name) in names.iter().enumerate() {
                if name.as_ref() == names[index].as_ref() {
                    short[other] = cut(&text, room);
                }
            }
        }
    }
    short
}

/// Indices whose short name is also that of a different name.
fn equal_ones<S: AsRef<str>>(names: &[S], short: &[String]) -> Vec<usize> {
    let mut by_short: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, text) in short.iter().enumerate() {
        by_short.entry(text).or_default().push(index);
    }
    let mut equal: Vec<usize> = by_short
        .into_values()
        .filter(|group| {
            group
                .iter()
                .any(|&index| names[index].as_ref() != names[group[0]].as_ref())
        })
        .flatten()
        .collect();
    equal.sort_unstable();
    equal
}

/// A Go type in at most `room` cells: whole; without packages, `map[string]*Schema`; then its middle.
pub fn short_type(go_type: &str, room: usize) -> String {
    if width(go_type) <= room {
        return go_type.to_owned();
    }
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '/' | '-' | '.');
    let mut text = String::new();
    let mut rest = go_type;
    while let Some(first) = rest.chars().next() {
        let end = if is_name(first) {
            rest.find(|c| !is_name(c)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (word, behind) = rest.split_at(end);
        text.push_str(word.rsplit('.').next().unwrap_or(word));
        rest = behind;
    }
    without_middle(&text, room, |letters| letters / 2)
}

/// The last element of a path: `cache.go` of `…/memorycache/cache.go`.
pub fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Whether a file is one that the runtime or the model could not tell.
fn is_unknown(file: &str) -> bool {
    matches!(file, "" | "?")
}

/// `cache.go:30`, or nothing where the file is not known.
pub fn short_location(file: &str, line: u32) -> String {
    if is_unknown(file) {
        String::new()
    } else if line == 0 {
        clean(base_name(file))
    } else {
        format!("{}:{line}", clean(base_name(file)))
    }
}

/// A file and line in at most `room` cells: whole, then with as much of the end of its path as fits.
pub fn location(file: &str, line: u32, room: usize) -> String {
    if is_unknown(file) {
        return cut("-", room);
    }
    let whole = if line == 0 {
        clean(file)
    } else {
        format!("{}:{line}", clean(file))
    };
    if width(&whole) <= room {
        return whole;
    }
    let mut starts: Vec<usize> = whole.match_indices('/').map(|(at, _)| at + 1).collect();
    starts.retain(|&at| width(&whole[at..]) <= room);
    match starts.first() {
        Some(&at) => whole[at..].to_owned(),
        None => cut_start(&whole, room),
    }
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
