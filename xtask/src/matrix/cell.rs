//! One cell: one program, one source, and what they disagree about.

use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::{
    mixed::{Mixed, Site},
    traps::changed_code,
    user::Privilege,
    watch::{Watch, ended_well, gc_cycles, site},
};

/// Where samples come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The runtime's own samples, by probes.
    Sampler,
    /// The same by memory reads alone.
    Buckets,
    /// The runtime's own samples, switched on by heaptop.
    Arm,
    /// Exhausted spans and large objects.
    Spans,
    /// Every allocation.
    Exact,
}

/// All of them.
pub(super) const SOURCES: [Source; 5] = [
    Source::Sampler,
    Source::Buckets,
    Source::Arm,
    Source::Spans,
    Source::Exact,
];

/// The rate of a program that samples by itself: often enough for sites of 5 % to be estimated within a few per cent.
const RATE: u64 = 65536;
/// What is allocated in each of the two fills, MiB.
const FILL_MIB: u32 = 192;
/// Every allocation is a trap: less of it, and a few minutes less.
const EXACT_FILL_MIB: u32 = 128;
const QUICK_FILL_MIB: u32 = 64;
/// A site is judged when it holds at least this part of the live heap.
const JUDGED_FROM: f64 = 0.05;
/// An estimate may be off by this part of the truth.
const TOLERANCE: f64 = 0.10;
const QUICK_TOLERANCE: f64 = 0.20;
/// A few samples of the runtime tell less than that: then the error decides that so few have, this many of it.
const ERRORS: f64 = 4.0;
/// What `--arm` makes of the rate, bytes.
const ARMED_RATE: u64 = 524_288;
/// GOGC that lets no cycle begin by itself below 4 GiB of heap. It is not `off`: go1.18 then takes its goal for -1, every
/// allocation during a cycle assists it, and one that ends the marking may make a `runtime.sudog` to wait at.
const NO_CYCLES: &str = "100000";
/// Between two GC cycles where the program starts them itself.
const GC_EVERY: Duration = Duration::from_millis(100);
/// Samples that a site may show of what it holds nothing of: a GC cycle that begins in one of its allocations starts
/// goroutines there and makes places to wait at (`runtime.sudog`), which live on. The runtime's own profile has them too.
const RUNTIMES_OWN: u64 = 3;
/// How long heaptop may take from a GC cycle's end to rows of it.
const ROWS_WITHIN: Duration = Duration::from_secs(8);
/// How long traps may stay behind heaptop's end.
const CLEAN_WITHIN: Duration = Duration::from_secs(2);

impl Source {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sampler => "sampler",
            Self::Buckets => "no-probes",
            Self::Arm => "arm",
            Self::Spans => "spans",
            Self::Exact => "exact",
        }
    }

    /// Arguments of heaptop. The governor is off: it is tested where it is the question.
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Sampler => &[],
            Self::Buckets => &["--no-probes"],
            Self::Arm => &["--arm"],
            Self::Spans => &["--max-overhead", "off"],
            Self::Exact => &["--exact", "--max-overhead", "off"],
        }
    }

    /// What `--json` must call it.
    fn told_as(self) -> &'static [&'static str] {
        match self {
            Self::Sampler => &["sampler"],
            Self::Buckets => &["buckets"],
            Self::Arm => &["sampler", "armed"],
            Self::Spans => &["spans"],
            Self::Exact => &["exact"],
        }
    }

    fn runs_at_rate(self) -> bool {
        matches!(self, Self::Sampler | Self::Buckets)
    }

    /// Mean bytes between two samples where the few samples come from the runtime, at a rate that is not heaptop's to
    /// choose.
    fn runtime_rate(self) -> Option<u64> {
        match self {
            Self::Sampler | Self::Buckets => Some(RATE),
            Self::Arm => Some(ARMED_RATE),
            Self::Spans | Self::Exact => None,
        }
    }

    /// The standard error to expect of a site's live bytes, from the truth: of `n` samples, each of a rate's bytes, the
    /// square root. heaptop's own is made of the samples that came, and too small where those are too few. 0 for sources
    /// that have no such excuse.
    fn expected_error(self, live_bytes: u64) -> f64 {
        let rate = self.runtime_rate().unwrap_or(0);
        (live_bytes as f64 * rate as f64).sqrt()
    }
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    /// The largest deviation of a judged site, as a part of the truth, and what it is of.
    pub(super) worst: Option<(f64, String)>,
    /// Sites that were judged.
    pub(super) judged: usize,
    /// What is wrong, in words.
    pub(super) faults: Vec<String>,
    pub(super) lost: u64,
    pub(super) seconds: f64,
}

impl Cell {
    pub(super) fn is_ok(&self) -> bool {
        self.faults.is_empty()
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((worst, function)) = &self.worst {
            let worst = worst * 100.0;
            write!(f, "worst {worst:.1} % ({function}) of {}", self.judged)?;
        } else {
            write!(f, "nothing was judged")?;
        }
        if self.lost > 0 {
            write!(f, ", {} lost", self.lost)?;
        }
        write!(f, ", {:.0} s", self.seconds)?;
        for fault in &self.faults {
            write!(f, "; {fault}")?;
        }
        Ok(())
    }
}

/// How cells are measured.
pub(super) struct Measure<'a> {
    pub(super) privilege: &'a Privilege,
    pub(super) heaptop: &'a Path,
    pub(super) quick: bool,
}

impl Measure<'_> {
    /// One run.
    pub(super) fn cell(&self, fixture: &Path, source: Source) -> Cell {
        let begin = Instant::now();
        let mut cell = Cell::default();
        if let Err(err) = self.run(fixture, source, &mut cell) {
            cell.faults.push(format!("{err:#}"));
        }
        cell.seconds = begin.elapsed().as_secs_f64();
        cell
    }

    fn run(&self, fixture: &Path, source: Source, cell: &mut Cell) -> Result<()> {
        let rate = RATE.to_string();
        let at_rate = ["-rate", &rate];
        let arguments: &[&str] = if source.runs_at_rate() { &at_rate } else { &[] };
        // A cycle that begins inside of an allocation makes objects of its own there, which count for its site.
        let collects = source == Source::Exact;
        let variables: &[(&str, &str)] = if collects {
            &[("GOGC", NO_CYCLES)]
        } else {
            &[]
        };
        let mut mixed = Mixed::start_with(fixture, arguments, variables)?;
        let rate = mixed.ask_number("rate")?;
        let clean = changed_code(mixed.pid())?;
        ensure!(clean.is_empty(), "its code differs before anything began");
        mixed.ask("start-churn 2")?;
        if collects {
            mixed.ask(&format!("start-gc {}", GC_EVERY.as_millis()))?;
        }
        let (mut heaptop, first) = Watch::start(
            self.privilege,
            self.heaptop,
            source.arguments(),
            mixed.pid(),
        )?;
        let told = first["source"].as_str().unwrap_or_default();
        if !source.told_as().contains(&told) {
            cell.faults.push(format!("its source is {told:?}"));
        }
        mixed.ask("mark")?;
        let mib = match (self.quick, source) {
            (true, _) => QUICK_FILL_MIB,
            (false, Source::Exact) => EXACT_FILL_MIB,
            (false, _) => FILL_MIB,
        };
        mixed.ask(&format!("fill {mib}"))?;
        mixed.ask("gc1")?;
        mixed.ask(&format!("fill {mib}"))?;
        one_cycle(&mut mixed, &mut heaptop)?;
        mixed.ask("drop 50")?;
        mixed.ask("release")?;
        mixed.ask("stop-churn")?;
        if collects {
            mixed.ask("stop-gc")?;
        }
        one_cycle(&mut mixed, &mut heaptop)?;
        let mut line = one_cycle(&mut mixed, &mut heaptop)?;
        let truth = mixed.truth()?;
        // Rows tell of a cycle before every mark bit has been read: on a busy machine that takes a while.
        let begin = Instant::now();
        let before = cell.faults.clone();
        loop {
            self.judge(source, &line, &truth, cell);
            if cell.faults == before || begin.elapsed() >= ROWS_WITHIN {
                break;
            }
            cell.faults.clone_from(&before);
            (cell.worst, cell.judged) = (None, 0);
            line = heaptop.next(ROWS_WITHIN)?;
        }

        let (status, words) = heaptop.end()?;
        if let Err(err) = ended_well(status, &words) {
            cell.faults.push(format!("{err:#}"));
        }
        let begin = Instant::now();
        let mut traps = changed_code(mixed.pid())?;
        while !traps.is_empty() && begin.elapsed() < CLEAN_WITHIN {
            std::thread::sleep(Duration::from_millis(100));
            traps = changed_code(mixed.pid())?;
        }
        if !traps.is_empty() {
            cell.faults
                .push(format!("traps are left at {traps:#x?} after heaptop's end"));
        }
        let rate_now = mixed.ask_number("rate")?;
        if rate_now != rate {
            cell.faults
                .push(format!("MemProfileRate was {rate} and is {rate_now}"));
        }
        // It must have survived all that, and work on.
        mixed.ask("fill 8")?;
        mixed.ask("gc")?;
        mixed.ask("check")?;
        mixed.exit()
    }

    fn judge(&self, source: Source, line: &Value, truth: &BTreeMap<String, Site>, cell: &mut Cell) {
        cell.lost = line["losses"]["lost"].as_u64().unwrap_or(0);
        let heap: u64 = truth.values().map(|site| site.live_bytes).sum();
        for (function, true_site) in truth {
            let row = site(line, function);
            let told = |name: &str| row.and_then(|row| row[name].as_f64());
            // A site of which nothing lives may have no row at all.
            let objects = told("inuse_objects").unwrap_or(0.0);
            let samples = row.and_then(|row| row["samples"].as_u64()).unwrap_or(0);
            let of_the_runtime = if source == Source::Exact {
                0
            } else {
                RUNTIMES_OWN
            };
            if true_site.live_objects == 0 && samples > of_the_runtime {
                cell.faults.push(format!(
                    "{function} holds nothing, and is listed with {objects} objects by {samples} samples"
                ));
            }
            if source == Source::Exact {
                let told = row.and_then(|row| row["alloc_objects"].as_u64());
                if told.unwrap_or(0) != true_site.alloc_objects {
                    cell.faults.push(format!(
                        "{function} allocated {} objects, and {told:?} are counted",
                        true_site.alloc_objects
                    ));
                }
            }
            if (true_site.live_bytes as f64) < JUDGED_FROM * heap as f64 {
                continue;
            }
            cell.judged += 1;
            let expected = source.expected_error(true_site.live_bytes);
            let objects = true_site.live_objects as f64;
            let object_bytes = true_site.live_bytes as f64 / objects.max(1.0);
            let truths = [
                ("inuse_bytes", true_site.live_bytes, expected, false),
                (
                    "inuse_objects",
                    true_site.live_objects,
                    expected / object_bytes,
                    true_site.tiny,
                ),
            ];
            for (name, truth, expected, is_no_truth) in truths {
                if is_no_truth {
                    continue;
                }
                let Some(value) = told(name) else {
                    cell.faults.push(format!("{function} has no {name}"));
                    continue;
                };
                let off = (value - truth as f64).abs();
                let deviation = off / truth as f64;
                if cell
                    .worst
                    .as_ref()
                    .is_none_or(|(worst, _)| deviation > *worst)
                {
                    cell.worst = Some((deviation, format!("{name} of {function}")));
                }
                let tolerance = if self.quick {
                    QUICK_TOLERANCE
                } else {
                    TOLERANCE
                };
                let err = told(&format!("{name}_err")).unwrap_or(0.0);
                let excused = source.runtime_rate().is_some() && off <= ERRORS * err.max(expected);
                if deviation > tolerance && !excused {
                    cell.faults.push(format!(
                        "{name} of {function} is {value:.0}, in truth {truth}: {:+.1} %",
                        (value / truth as f64 - 1.0) * 100.0
                    ));
                }
            }
        }
    }
}

/// One GC cycle, and the rows that know of it.
fn one_cycle(mixed: &mut Mixed, heaptop: &mut Watch) -> Result<Value> {
    let cycle = mixed.ask_number("gc1")?;
    let (line, seen) = heaptop.until(ROWS_WITHIN, |line| gc_cycles(line) >= cycle)?;
    ensure!(
        seen,
        "GC cycle {cycle} is over, and the rows after {} s tell of {}",
        ROWS_WITHIN.as_secs(),
        gc_cycles(&line)
    );
    Ok(line)
}
