//! The rules of the house that the compiler does not check.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders and files that see bytes and plain values only.
const PURE: [&str; 11] = [
    "go",
    "plan",
    "decode.rs",
    "model",
    "source",
    "verdict",
    "view",
    "export",
    "event.rs",
    "event",
    "listed.rs",
];

/// What I/O, clocks, threads and the screen look like.
const FORBIDDEN: [&str; 12] = [
    "std::fs",
    "std::net",
    "std::thread",
    "std::process",
    "std::io::stdout",
    "Instant::now",
    "SystemTime",
    "monotonic_ns(",
    "tokio",
    "aya::",
    "ratatui",
    "crossterm",
];

fn sources(at: &Path, into: &mut Vec<PathBuf>) {
    if at.is_dir() {
        for entry in fs::read_dir(at).expect("a folder of sources") {
            sources(&entry.expect("an entry").path(), into);
        }
    } else if at.extension().is_some_and(|extension| extension == "rs") {
        into.push(at.to_owned());
    }
}

/// The code of a file: without comments, and without the tests that end it.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
        .map(|(i, line)| (i + 1, line.split("//").next().unwrap_or_default()))
}

#[test]
fn pure_modules_do_no_io() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    for pure in PURE {
        let before = files.len();
        sources(&src.join(pure), &mut files);
        assert!(files.len() > before, "no sources in {pure}");
    }
    let mut found = Vec::new();
    for file in &files {
        let is_tests = file
            .file_stem()
            .is_some_and(|stem| stem.to_string_lossy().ends_with("tests"));
        if is_tests {
            continue;
        }
        let text = fs::read_to_string(file).expect("text");
        for (line, code) in code(&text) {
            for word in FORBIDDEN.iter().filter(|word| code.contains(**word)) {
                let file = file.strip_prefix(&src).unwrap_or(file).display();
                found.push(format!("{file}:{line}: {word}"));
            }
        }
    }
    assert!(found.is_empty(), "in pure modules:\n{}", found.join("\n"));
}

#[test]
fn the_check_for_io_sees_it() {
    let text = "//! std::fs is for others\nuse std::fs::File; // here\n#[cfg(test)]\nuse tokio;\n";
    let hits: Vec<usize> = code(text)
        .filter(|(_, code)| FORBIDDEN.iter().any(|word| code.contains(word)))
        .map(|(line, _)| line)
        .collect();
    assert_eq!(hits, [2]);
}
