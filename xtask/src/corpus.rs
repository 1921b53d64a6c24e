//! `cargo xtask corpus`: what heaptop says of programs of which is known whether they leak, and where.
//!
//! The programs are `tests/programs/corpus` and `cases`; the head of each states the right answer ([`truth`]). Each run is one
//! program with a seed and a load, watched by one source for some minutes; then every look is judged ([`judge`]). Many run at
//! the same time: each needs little of a CPU. On standard output comes the page that `docs/corpus.md` is ([`table`]), on
//! standard error what goes on; what heaptop wrote is kept in `target/corpus/runs`.
//!
//! Seeds and loads come in two halves: constants of the method may be tuned on one, and what is reported comes from the
//! other.

mod judge;
mod programs;
mod recordings;
mod running;
mod said;
mod table;
mod truth;
mod verdict;

use std::{
    env,
    io::Write as _,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use crate::{
    build,
    go::Go,
    progress::say,
    torture,
    user::{self, Privilege},
};
use judge::Outcome;
use programs::{Program, Variant};
use running::Bench;

/// Seeds and loads that belong together; the later ones are at least load 1 and show a leak in the short watch.
struct Half {
    seeds: [u64; 4],
    loads: [f64; 4],
}

/// Constants of the method may be tuned on these.
const TUNE: Half = Half {
    seeds: [1, 3, 5, 7],
    loads: [0.6, 0.8, 1.0, 1.6],
};
/// What is reported comes from these.
const REPORT: Half = Half {
    seeds: [2, 4, 6, 8],
    loads: [0.5, 0.7, 1.2, 2.0],
};
/// Runs of each program with `--quick`: the last of a half.
const QUICK_RUNS: usize = 2;
/// Twice five minutes and their beginnings fit into the twelve that continuous integration has.
const QUICK_FOR: Duration = Duration::from_secs(300);
/// Three times what a leak at load 0.5 needs.
const FULL_FOR: Duration = Duration::from_secs(900);
/// At once, unless told otherwise: about 100 MiB and 2 % of a CPU each, heaptop's included.
const JOBS: usize = 44;
/// All cases, for `--only`.
const ALL_CASES: &str = "cases";
/// The load of a case: that of the rates at its head.
const CASE_LOAD: f64 = 1.0;
/// Load from which on a leak is one of 7.5 MiB/min.
const TIMED_FROM_LOAD: f64 = 1.0;

/// Arguments of `cargo xtask corpus`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Each program twice, five minutes each, sources in turn: about twelve minutes
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// Each program with every source and four seeds and loads, each case with every source that fits, fifteen minutes each:
    /// hours
    #[arg(long)]
    full: bool,
    /// Only these programs (bucketcache, modern/ticker, cases/threads), cases, and sources (sampler, arm, spans), separated
    /// by commas
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The half of the seeds and loads: `tune` to try constants on, `report` for figures
    #[arg(long, default_value = "report", value_parser = ["tune", "report"])]
    seeds: String,
    /// How long each run is watched: 90s, 15m
    #[arg(long = "for", value_name = "TIME", value_parser = torture::parse_time)]
    watched: Option<Duration>,
    /// Time that each program runs before heaptop attaches: 20m
    #[arg(long, value_name = "TIME", value_parser = torture::parse_time, default_value = "5s")]
    after: Duration,
    /// Runs at the same time
    #[arg(long, default_value_t = JOBS)]
    jobs: usize,
    /// heaptop to test instead of building it
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

/// Where samples come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// The runtime's own samples.
    Sampler,
    /// The same, switched on by heaptop.
    Arm,
    /// Exhausted spans and large objects.
    Spans,
}

const SOURCES: [Source; 3] = [Source::Sampler, Source::Arm, Source::Spans];

impl Source {
    fn name(self) -> &'static str {
        match self {
            Self::Sampler => "sampler",
            Self::Arm => "arm",
            Self::Spans => "spans",
        }
    }

    fn variant(self) -> Variant {
        match self {
            Self::Sampler => Variant::Pprof,
            Self::Arm | Self::Spans => Variant::Plain,
        }
    }

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Arm => &["--arm"],
            Self::Sampler | Self::Spans => &[],
        }
    }

    /// What `--json` must call it.
    fn told_as(self) -> &'static [&'static str] {
        match self {
            Self::Sampler => &["sampler"],
            Self::Arm => &["sampler", "armed"],
            Self::Spans => &["spans"],
        }
    }
}

/// One program, once.
#[derive(Clone, Debug)]
struct Run {
    program: Arc<Program>,
    source: Source,
    seed: u64,
    load: f64,
}

impl Run {
    fn name(&self) -> String {
        let (program, source) = (&self.program.name, self.source.name());
        format!("{program} {source} seed {} load {}", self.seed, self.load)
    }

    /// Whether its leak grows by 7.5 MiB/min or more, which the time to a verdict is asked of.
    fn is_timed(&self) -> bool {
        self.load >= TIMED_FROM_LOAD && !self.program.is_case()
    }
}

/// A run with what became of it.
#[derive(Debug)]
struct Done {
    run: Run,
    outcome: Outcome,
}

impl Done {
    /// Seconds to the first right verdict; later than all others where there was none.
    fn right_s(&self) -> f64 {
        self.outcome.right_s.unwrap_or(f64::INFINITY)
    }

    fn wrong_looks(&self) -> usize {
        let mut times: Vec<u64> = self
            .outcome
            .wrong
            .iter()
            .map(|(at_s, _)| at_s.to_bits())
            .collect();
        times.dedup();
        times.len()
    }
}

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    ensure!(
        args.quick || args.full || !args.only.is_empty(),
        "what is to be run?\n  next: `cargo xtask corpus --quick` takes twelve minutes, `--full` hours, `--only lru,spans` few"
    );
    let begin = Instant::now();
    let privilege = Privilege::get("corpus", "place probes in the programs under test")?;
    let go = Go::get()?;
    let mut programs = programs::all(go.minor()?)?;
    let is_source = |word: &str| SOURCES.iter().any(|source| source.name() == word);
    let is_meant = |program: &Program, word: &str| {
        program.name == word || (word == ALL_CASES && program.is_case())
    };
    for word in &args.only {
        let known = is_source(word) || programs.iter().any(|program| is_meant(program, word));
        ensure!(
            known,
            "--only {word}: no program of tests/programs/corpus or cases, and no source"
        );
    }
    if args.only.iter().any(|word| !is_source(word)) {
        programs.retain(|program| args.only.iter().any(|word| is_meant(program, word)));
    } else if !args.full {
        programs.retain(|program| !program.is_case());
    }
    programs::build(&go, &mut programs)?;
    let heaptop = match &args.program {
        Some(program) => program.clone(),
        None => build::heaptop("corpus")?,
    };
    user::give_back(&privilege)?;
    let half = if args.seeds == "tune" { &TUNE } else { &REPORT };
    let (faults, programs): (Vec<_>, Vec<_>) = programs.into_iter().partition(Program::is_case);
    let mut runs = if args.full {
        full(programs, half)
    } else {
        quick(programs, half)
    };
    runs.extend(cases(faults));
    if args.only.iter().any(|word| is_source(word)) {
        runs.retain(|run| args.only.iter().any(|word| word == run.source.name()));
    }
    let watched = match args.watched {
        Some(watched) => watched,
        None if args.full => FULL_FOR,
        None => QUICK_FOR,
    };
    let n_runs = runs.len();
    say(
        "corpus",
        &format!(
            "{n_runs} runs of {:.1} min, {} at once: about {:.0} min",
            watched.as_secs_f64() / 60.0,
            args.jobs.min(n_runs),
            (args.after + watched + Duration::from_secs(20)).as_secs_f64() / 60.0
                * n_runs.div_ceil(args.jobs.max(1)) as f64
        ),
    );
    let bench = Bench {
        privilege: &privilege,
        heaptop: &heaptop,
        watched,
        after: args.after,
        starting: Mutex::new(()),
        ending: Mutex::new(()),
    };
    let (done, failed) = bench.all(runs, args.jobs);
    let verdict = verdict::verdict(&done, &failed, args.full);
    let how = format!(
        "{n_runs} watches of {:.1} min, begun {:.1} min into the life of each program, half `{}` of the seeds and loads, Go 1.{}, \
         {} at once, by `cargo xtask {}`. Rows are what is true, columns what heaptop said of the process at the end of the watch.",
        watched.as_secs_f64() / 60.0,
        args.after.as_secs_f64() / 60.0,
        args.seeds,
        go.minor()?,
        args.jobs.min(n_runs),
        env::args().skip(1).collect::<Vec<_>>().join(" "),
    );
    let mut page = table::page(&done, &failed, &how, &verdict);
    if args.full {
        page += &recordings::section(&heaptop)?;
    }
    std::io::stdout().write_all(page.as_bytes()).ok(); // Whoever closed it has the lines of progress.
    say(
        "corpus",
        &format!("{:.1} min", begin.elapsed().as_secs_f64() / 60.0),
    );
    for fault in &verdict.faults {
        say("corpus", &format!("FAILED: {fault}"));
    }
    Ok(if verdict.faults.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Every program with the last seeds and loads of the half, by another source each time; leaks and honest ones in turn, so
/// that each source sees two thirds of either.
fn quick(programs: Vec<Program>, half: &Half) -> Vec<Run> {
    let (leaks, honest): (Vec<_>, Vec<_>) = programs.into_iter().partition(|one| one.truth.leaks());
    let programs: Vec<Arc<Program>> = leaks.into_iter().chain(honest).map(Arc::new).collect();
    let mut runs = Vec::new();
    for n in 0..QUICK_RUNS {
        for (place, program) in programs.iter().enumerate() {
            let pair = half.seeds.len() - QUICK_RUNS + n;
            runs.push(Run {
                program: Arc::clone(program),
                source: SOURCES[(place + n) % SOURCES.len()],
                // No two programs of one run have the same seed, or all would breathe together.
                seed: half.seeds[pair] + 10 * place as u64,
                load: half.loads[pair],
            });
        }
    }
    runs
}

/// Every case by every source that fits, at its one load.
fn cases(programs: Vec<Program>) -> Vec<Run> {
    let of = |(place, program): (usize, Program)| {
        let program = Arc::new(program);
        let sources = SOURCES.into_iter().filter(|source| {
            let fit = &program.truth.sources;
            fit.is_empty() || fit.iter().any(|name| name == source.name())
        });
        let run = |source| Run {
            program: Arc::clone(&program),
            source,
            seed: place as u64,
            load: CASE_LOAD,
        };
        sources.map(run).collect::<Vec<Run>>()
    };
    programs.into_iter().enumerate().flat_map(of).collect()
}

/// Every program by every source with every seed and load of the half.
fn full(programs: Vec<Program>, half: &Half) -> Vec<Run> {
    let programs: Vec<Arc<Program>> = programs.into_iter().map(Arc::new).collect();
    let mut runs = Vec::new();
    for (seed, load) in half.seeds.into_iter().zip(half.loads) {
        for source in SOURCES {
            for (place, program) in programs.iter().enumerate() {
                runs.push(Run {
                    program: Arc::clone(program),
                    source,
                    seed: seed + 10 * place as u64,
                    load,
                });
            }
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_runs_each_program_by_two_sources_and_each_source_on_half_of_them() {
        let programs = || -> Vec<Program> {
            let all = programs::all(26).unwrap().into_iter();
            all.filter(|program| !program.is_case()).collect()
        };
        let n = programs().len();
        let runs = quick(programs(), &REPORT);
        assert_eq!(runs.len(), 2 * n);
        for run in &runs {
            let same = runs
                .iter()
                .filter(|other| other.program.name == run.program.name);
            let other = same.filter(|other| other.source != run.source && other.seed != run.seed);
            assert_eq!(other.count(), 1, "{}", run.name());
            assert!(run.is_timed());
        }
        for source in SOURCES {
            for leaks in [false, true] {
                let of = runs.iter().filter(|run| run.program.truth.leaks() == leaks);
                let (all, by) = of.fold((0, 0), |(all, by), run| {
                    (all + 1, by + usize::from(run.source == source))
                });
                assert!(4 * by >= all, "{source:?}: {by} of {all}");
            }
        }
        assert_eq!(full(programs(), &REPORT).len(), 12 * n);
        assert!(TUNE.seeds.iter().all(|seed| !REPORT.seeds.contains(seed)));
    }

    #[test]
    fn a_case_runs_by_each_source_that_fits() {
        let all = programs::all(26).unwrap().into_iter();
        let runs = cases(all.filter(Program::is_case).collect());
        let sources = |name: &str| -> Vec<Source> {
            let of = runs.iter().filter(|run| run.program.name == name);
            of.map(|run| run.source).collect()
        };
        assert_eq!(sources("cases/threads"), SOURCES);
        assert_eq!(sources("cases/cfinalizers"), [Source::Arm, Source::Spans]);
        assert!(runs.iter().all(|run| !run.is_timed()));
    }
}
