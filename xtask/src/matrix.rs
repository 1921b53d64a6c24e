//! `cargo xtask matrix`: what heaptop says against the truth, for every release, build and source.
//!
//! One cell is one run: `tests/programs/mixed` in that build, heaptop attached by that source, known amounts allocated at
//! some twenty call sites by several goroutines, some kept, some dropped at random, some all dropped, over several GC
//! cycles; then every row is compared with what the program knows ([`cell`]). What was found goes to
//! `target/matrix/cells.json`, and from there into the table `docs/matrix.md`, which is committed.
//!
//! A run is one draw of schedules and samples. A cell that fails runs again at the end, and when it passes then it is said to
//! be unsteady: a cause to look into. More than [`MOST_UNSTEADY`] are a failure, as is one that fails twice.

mod cell;
mod table;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use crate::{
    build,
    go::Go,
    mixed,
    progress::say,
    test::MOST_UNSTEADY,
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
    let mut cells = Cells::new(measure);
    for (release, how) in pairs {
        let sources: Vec<Source> = SOURCES
            .iter()
            .copied()
            .filter(|source| wanted(&args.only, release, how.name, *source))
            .collect();
        if sources.is_empty() {
            continue;
        }
        match mixed::built("matrix", &go, release, how) {
            Ok(fixture) => {
                for source in sources {
                    let key = format!("go{release} {} {}", how.name, source.name());
                    cells.measure(key, &fixture, source)?;
                }
            }
            Err(err) => cells.not_built(format!("go{release} {}", how.name), &err),
        }
    }
    cells.measure_again()?;
    user::give_back(&privilege)?;
    if args.only.is_empty() && args.part.is_none() && !args.quick {
        table::write(&cells.found)?;
    }
    cells.end(begin.elapsed())
}

/// The cells of a run.
struct Cells<'a> {
    measure: Measure<'a>,
    /// What this run and those before have found, by cell.
    found: BTreeMap<String, Found>,
    failed: BTreeMap<String, Failed>,
    unsteady: Vec<String>,
    n_ok: usize,
}

/// A cell that is not as it should be.
struct Failed {
    why: String,
    /// How it is measured again; `None` where it could not be built.
    again: Option<(PathBuf, Source)>,
}

impl<'a> Cells<'a> {
    fn new(measure: Measure<'a>) -> Self {
        Self {
            measure,
            found: table::load().unwrap_or_default(),
            failed: BTreeMap::new(),
            unsteady: Vec::new(),
            n_ok: 0,
        }
    }

    fn measure(&mut self, key: String, fixture: &Path, source: Source) -> Result<()> {
        let cell = self.measure.cell(fixture, source);
        say("matrix", &format!("{key}: {cell}"));
        self.found.insert(key.clone(), Found::new(&cell));
        table::save(&self.found)?;
        if cell.is_ok() {
            self.n_ok += 1;
        } else {
            let why = cell.to_string();
            let again = Some((fixture.to_owned(), source));
            self.failed.insert(key, Failed { why, again });
        }
        Ok(())
    }

    fn not_built(&mut self, key: String, err: &anyhow::Error) {
        let why = format!("{err:#}");
        self.failed.insert(key, Failed { why, again: None });
    }

    /// Measures once more what has failed, where that is little.
    fn measure_again(&mut self) -> Result<()> {
        if self.failed.len() > MOST_UNSTEADY {
            return Ok(());
        }
        for (key, failed) in std::mem::take(&mut self.failed) {
            let Some((fixture, source)) = &failed.again else {
                self.failed.insert(key, failed);
                continue;
            };
            say("matrix", &format!("{key}: once more"));
            self.measure(key.clone(), fixture, *source)?;
            if !self.failed.contains_key(&key) {
                self.unsteady.push(format!("{key}: {}", failed.why));
            }
        }
        Ok(())
    }

    fn end(self, took: Duration) -> Result<()> {
        for cell in &self.unsteady {
            say(
                "matrix",
                &format!("UNSTEADY, it passed when it ran again: {cell}"),
            );
        }
        for (key, Failed { why, .. }) in &self.failed {
            say("matrix", &format!("FAILED {key}: {why}"));
        }
        let (n_ok, n_failed) = (self.n_ok, self.failed.len());
        ensure!(
            n_failed == 0,
            "{n_failed} of {} cells failed",
            n_failed + n_ok
        );
        let minutes = took.as_secs_f64() / 60.0;
        say("matrix", &format!("{n_ok} cells in {minutes:.1} min: ok"));
        Ok(())
    }
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
