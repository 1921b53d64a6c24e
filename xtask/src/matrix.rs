//! `cargo xtask matrix`: what heaptop says against the truth, for every release, build and source.
//!
//! One cell is one run: `tests/programs/mixed` in that build, heaptop attached by that source, known amounts allocated at
//! some twenty call sites by several goroutines, some kept, some dropped at random, some all dropped, over several GC
//! cycles; then every row is compared with what the program knows ([`cell`]). What was found goes to
//! `target/matrix/cells.json`, and from there into the table `docs/matrix.md`, which is committed.

mod cell;
mod table;

use std::{collections::BTreeMap, path::PathBuf, time::Instant};

use anyhow::{Result, bail, ensure};

use crate::{
    build,
    go::Go,
    mixed,
    progress::say,
    user::{self, Privilege},
};
use cell::{Measure, SOURCES, Source};
use table::Found;

/// Arguments of `cargo xtask matrix`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only cells with each of these: releases (go1.26), builds (pie), sources (spans), separated by commas
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The N-th of M parts of all releases and builds; `today/M`: another one each day
    #[arg(long, value_name = "N/M", value_parser = parse_part)]
    part: Option<Part>,
    /// A third of the memory, and twice the tolerance
    #[arg(long)]
    quick: bool,
    /// Run nothing: write docs/matrix.md from what the last runs have found
    #[arg(long)]
    table: bool,
    /// heaptop to test instead of building it
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    /// From 0.
    index: usize,
    of: usize,
}

fn parse_part(text: &str) -> Result<Part, String> {
    let wrong = || format!("{text:?} is not like 2/10 or today/10");
    let (index, of) = text.split_once('/').ok_or_else(wrong)?;
    let of: usize = of.parse().map_err(|_| wrong())?;
    if of == 0 {
        return Err(wrong());
    }
    let index = match index {
        "today" => usize::try_from(crate::today()).map_err(|_| wrong())? % of,
        number => {
            number
                .parse::<usize>()
                .ok()
                .filter(|number| (1..=of).contains(number))
                .ok_or_else(wrong)?
                - 1
        }
    };
    Ok(Part { index, of })
}

/// Whether a word of `--only` speaks of this cell.
fn names(word: &str, release: &str, build: &str, source: Source) -> bool {
    let version = format!("go{release}");
    word == build
        || word == source.name()
        || word == version
        || version.starts_with(&format!("{word}."))
}

/// Of each kind of word that `--only` has, one must fit.
fn wanted(only: &[String], release: &str, build: &str, source: Source) -> bool {
    let kind = |word: &str| {
        if word.starts_with("go") {
            0
        } else if SOURCES.iter().any(|source| source.name() == word) {
            1
        } else {
            2
        }
    };
    (0..3).all(|n| {
        let mut words = only.iter().filter(|word| kind(word) == n).peekable();
        words.peek().is_none() || words.any(|word| names(word, release, build, source))
    })
}

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<()> {
    if args.table {
        return table::write(&table::load()?);
    }
    for word in &args.only {
        let known = mixed::all().iter().any(|(release, build)| {
            SOURCES
                .iter()
                .any(|source| names(word, release, build.name, *source))
        });
        ensure!(known, "--only {word}: no release, build or source");
    }
    let begin = Instant::now();
    let privilege = Privilege::get("matrix", "place probes in the programs under test")?;
    let go = Go::get()?;
    let program = match &args.program {
        Some(program) => program.clone(),
        None => build::heaptop("matrix")?,
    };
    let measure = Measure {
        privilege: &privilege,
        heaptop: &program,
        quick: args.quick,
    };
    let mut pairs = mixed::all();
    if let Some(part) = args.part {
        pairs = pairs
            .into_iter()
            .enumerate()
            .filter(|(n, _)| n % part.of == part.index)
            .map(|(_, pair)| pair)
            .collect();
        say(
            "matrix",
            &format!(
                "part {} of {}: {}",
                part.index + 1,
                part.of,
                pairs
                    .iter()
                    .map(|(release, build)| format!("go{release} {}", build.name))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        );
    }
    let mut found = table::load().unwrap_or_default();
    let mut failed = BTreeMap::new();
    let mut n_ok = 0;
    for (release, how) in pairs {
        let sources: Vec<Source> = SOURCES
            .iter()
            .copied()
            .filter(|source| wanted(&args.only, release, how.name, *source))
            .collect();
        if sources.is_empty() {
            continue;
        }
        let fixture = match mixed::built("matrix", &go, release, how) {
            Ok(fixture) => fixture,
            Err(err) => {
                failed.insert(format!("go{release} {}", how.name), format!("{err:#}"));
                continue;
            }
        };
        for source in sources {
            let key = format!("go{release} {} {}", how.name, source.name());
            let cell = measure.cell(&fixture, source);
            say("matrix", &format!("{key}: {cell}"));
            if cell.is_ok() {
                n_ok += 1;
            } else {
                failed.insert(key.clone(), cell.to_string());
            }
            found.insert(key, Found::new(&cell));
            table::save(&found)?;
        }
    }
    user::give_back(&privilege)?;
    let minutes = begin.elapsed().as_secs_f64() / 60.0;
    if args.only.is_empty() && args.part.is_none() && !args.quick {
        table::write(&found)?;
    }
    if !failed.is_empty() {
        for (key, why) in &failed {
            say("matrix", &format!("FAILED {key}: {why}"));
        }
        bail!("{} of {} cells failed", failed.len(), failed.len() + n_ok);
    }
    say("matrix", &format!("{n_ok} cells in {minutes:.1} min: ok"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_everything_once() {
        let parts: Vec<Part> = (1..=3)
            .map(|n| parse_part(&format!("{n}/3")).unwrap())
            .collect();
        assert_eq!(parts[2], Part { index: 2, of: 3 });
        assert!(parse_part("today/7").unwrap().index < 7);
        for wrong in ["0/3", "4/3", "1", "1/0", "x/2"] {
            assert!(parse_part(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_asks_for_one_of_each_kind() {
        let only: Vec<String> = ["go1.26", "pie", "spans", "exact"]
            .map(str::to_owned)
            .to_vec();
        assert!(wanted(&only, "1.26.6", "pie", Source::Spans));
        assert!(wanted(&only, "1.26.6", "pie", Source::Exact));
        assert!(!wanted(&only, "1.26.6", "pie", Source::Arm));
        assert!(!wanted(&only, "1.26.6", "pie-stripped", Source::Spans));
        assert!(!wanted(&only, "1.27.3", "pie", Source::Spans));
        assert!(wanted(&[], "1.27.3", "pie", Source::Spans));
    }
}
