//! What was found, kept between runs, and the page that shows it.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf, process::Command};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::cell::{Cell, SOURCES};
use crate::{go::RELEASES, mixed::BUILDS, progress::say};

/// One cell as it is kept, by `goRELEASE BUILD SOURCE`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Found {
    /// Largest deviation of a judged site, as a part of the truth.
    worst: Option<f64>,
    faults: Vec<String>,
    /// Day of the run, since 1970.
    day: u64,
}

impl Found {
    pub(super) fn new(cell: &Cell) -> Self {
        Self {
            worst: cell.worst.as_ref().map(|(worst, _)| *worst),
            faults: cell.faults.clone(),
            day: crate::today(),
        }
    }
}

fn file() -> PathBuf {
    crate::target_dir().join("matrix/cells.json")
}

/// What earlier runs have found.
pub(super) fn load() -> Result<BTreeMap<String, Found>> {
    let file = file();
    let text = fs::read_to_string(&file)
        .with_context(|| format!("cannot read {}: run `cargo xtask matrix`", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is damaged", file.display()))
}

pub(super) fn save(found: &BTreeMap<String, Found>) -> Result<()> {
    let file = file();
    crate::go::create_folder(file.parent().context("it has a folder")?)?;
    let text = serde_json::to_string_pretty(found)?;
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// Writes `docs/matrix.md`.
pub(super) fn write(found: &BTreeMap<String, Found>) -> Result<()> {
    let docs = crate::root().join("docs");
    fs::create_dir_all(&docs).context("cannot create docs")?;
    let page = docs.join("matrix.md");
    fs::write(&page, text(found)).with_context(|| format!("cannot write {}", page.display()))?;
    say("matrix", &format!("wrote {}", page.display()));
    Ok(())
}

fn text(found: &BTreeMap<String, Found>) -> String {
    let mut text = String::from(
        "# Releases, builds and sources\n\nWritten by `cargo xtask matrix`. Each cell is a run of `tests/programs/mixed` in that build: \
         about twenty call sites with objects of 8 bytes to 48 KiB, with and without pointers, some of them kept, dropped \
         at random or all dropped, over several GC cycles. It is **ok** when each site of at least 5 % of the live heap \
         is told within 10 % of the truth in bytes and objects (`sampler`, `no-probes` and `arm`, whose rate is the \
         runtime's, within 10 % or 4 of their own standard errors), sites that hold nothing are told as such two cycles \
         later (but for at most three samples: a cycle that begins in an allocation makes objects of its own there), `exact` has counted every allocation, no trap is left and the program works on. The figure is the largest \
         deviation among those sites. An empty cell was not run; – has no such build.\n\n",
    );
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let (first, last) = (
        found.values().map(|cell| cell.day).min(),
        found.values().map(|cell| cell.day).max(),
    );
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "Measured {}, Linux {}, {} CPUs.",
        span_of(first, last),
        kernel.trim(),
        std::thread::available_parallelism().map_or(0, usize::from)
    );
    let mut faults = String::new();
    for source in SOURCES {
        let _ = writeln!(text, "\n## {}\n", source.name());
        let versions: Vec<_> = RELEASES
            .iter()
            .map(|release| format!("{release} |"))
            .collect();
        let _ = writeln!(text, "| build | {}", versions.join(" "));
        let _ = writeln!(text, "| --- |{}", " --- |".repeat(RELEASES.len()));
        for build in BUILDS {
            let _ = write!(text, "| {} |", build.name);
            for release in RELEASES {
                if build.fits(release).is_err() {
                    text.push_str(" – |");
                    continue;
                }
                let key = format!("go{release} {} {}", build.name, source.name());
                let Some(cell) = found.get(&key) else {
                    text.push_str("  |");
                    continue;
                };
                let worst = cell
                    .worst
                    .map_or_else(String::new, |worst| format!(" {:.1} %", worst * 100.0));
                if cell.faults.is_empty() {
                    let _ = write!(text, " ok{worst} |");
                } else {
                    let _ = write!(text, " **not**{worst} |");
                    let _ = writeln!(faults, "- {key}: {}", cell.faults.join("; "));
                }
            }
            text.push('\n');
        }
    }
    if !faults.is_empty() {
        let _ = write!(text, "\n## What is not\n\n{faults}");
    }
    text
}

fn span_of(first: Option<u64>, last: Option<u64>) -> String {
    let date = |day: Option<u64>| {
        let seconds = format!("@{}", day.unwrap_or(0) * 86_400);
        let output = Command::new("date")
            .args(["--utc", "--date", &seconds, "+%F"])
            .output();
        output.map_or_else(
            |_| String::new(),
            |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        )
    };
    if first == last {
        format!("on {}", date(first))
    } else {
        format!("from {} to {}", date(first), date(last))
    }
}
