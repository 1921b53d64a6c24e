//! `cargo xtask torture`: everything that heaptop does to a process, at the worst moments, over and over.
//!
//! The target is `tests/programs/mixed` in a storm: a thousand goroutines grow their stacks and check what they hold, a
//! collection every few milliseconds, churn beside it. heaptop attaches by one source after another, is ended, killed by
//! SIGKILL at random moments, and started twice at once. All the while the target must answer, make progress and find its
//! own data whole; in the end its code must be as its file has it and its `MemProfileRate` as it was.

use std::{
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::ExitStatus,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};

use crate::{
    build,
    go::{Go, RELEASES},
    mixed::{self, Mixed},
    processes::pid,
    progress::say,
    traps::changed_code,
    user::{self, Privilege},
    watch::Watch,
};

const GOROUTINES: u32 = 1000;
const COLLECT_EVERY_MS: u32 = 5;
/// Collections also come by themselves, and early.
const GOGC: &str = "10";
/// How long traps may stay behind a heaptop that was killed: the kernel takes them away one by one.
const CLEAN_WITHIN: Duration = Duration::from_secs(10);
/// A release has the target for so long, or for its part of the whole.
const LEAST_PER_RELEASE: Duration = Duration::from_secs(15);

/// Arguments of `cargo xtask torture`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long, in all: 60s, 10m
    #[arg(long = "for", value_name = "TIME", default_value = "10m", value_parser = parse_time)]
    time: Duration,
    /// What is random
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only these sources: sampler, no-probes, arm, spans, exact
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// heaptop to test instead of building it
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

pub(crate) fn parse_time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not like 60s or 10m");
    let (digits, unit) = text.split_at(text.len().saturating_sub(1));
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    match unit {
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number * 60)),
        _ => Err(wrong()),
    }
}

/// Ways to attach, with what the target must be for them.
const WAYS: &[(&str, &[&str])] = &[
    ("arm", &["--arm"]),
    ("spans", &["--max-overhead", "off"]),
    ("exact", &["--exact", "--max-overhead", "off"]),
    // The governor attaches and detaches by itself.
    ("spans", &[]),
    ("exact", &["--exact", "--max-overhead", "10%"]),
];
const WAYS_AT_A_RATE: &[(&str, &[&str])] = &[("sampler", &[]), ("no-probes", &["--no-probes"])];

/// A generator that is the same everywhere: xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }
}

/// What was done.
#[derive(Default)]
struct Done {
    attached: u32,
    killed: u32,
    early: u32,
    at_once: u32,
    refused: u32,
    rounds: u64,
}

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<()> {
    let privilege = Privilege::get("torture", "place probes in the programs under test")?;
    let go = Go::get()?;
    let program = match &args.program {
        Some(program) => program.clone(),
        None => build::heaptop("torture")?,
    };
    // One release a turn, each fourth turn with a program that samples by itself; the first is not always the same.
    let turns = usize::try_from(args.time.as_secs() / LEAST_PER_RELEASE.as_secs())?
        .clamp(1, 2 * RELEASES.len());
    let per_turn = args.time / u32::try_from(turns)?;
    let mut random = Random(args.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let first = random.below(RELEASES.len() as u64);
    // Stripped and position independent: the hardest to read.
    let how = mixed::BUILDS
        .iter()
        .find(|build| build.name == "pie-stripped")
        .context("there is such a build")?;
    for turn in 0..turns {
        let release = RELEASES[(usize::try_from(first)? + turn * 3) % RELEASES.len()];
        let fixture = mixed::built("torture", &go, release, how)?;
        user::give_back(&privilege)?;
        let fits = |ways: &'static [(&'static str, &'static [&'static str])]| -> Vec<_> {
            let asked =
                |name: &str| args.only.is_empty() || args.only.iter().any(|only| only == name);
            ways.iter().filter(|(name, _)| asked(name)).collect()
        };
        let (at_zero, at_a_rate) = (fits(WAYS), fits(WAYS_AT_A_RATE));
        ensure!(
            !at_zero.is_empty() || !at_a_rate.is_empty(),
            "--only names no source"
        );
        let samples = at_zero.is_empty() || (turn % 4 == 3 && !at_a_rate.is_empty());
        let ways = if samples { at_a_rate } else { at_zero };
        let done = one_target(
            &privilege,
            &program,
            &fixture,
            &ways,
            samples,
            per_turn,
            &mut random,
        )
        .with_context(|| format!("go{release}, --seed {}, turn {}", args.seed, turn + 1))?;
        say(
            "torture",
            &format!(
                "go{release}: {} times attached, {} at once with another, {} killed, {} of them while attaching, {} refused; \
                 {} rounds of the target, all of them right",
                done.attached, done.at_once, done.killed, done.early, done.refused, done.rounds
            ),
        );
    }
    say("torture", "the target has survived everything");
    Ok(())
}

fn one_target(
    privilege: &Privilege,
    program: &Path,
    fixture: &Path,
    ways: &[&(&'static str, &'static [&'static str])],
    samples: bool,
    time: Duration,
    random: &mut Random,
) -> Result<Done> {
    let begin = Instant::now();
    let arguments: &[&str] = if samples { &["-rate", "65536"] } else { &[] };
    let mut mixed = Mixed::start_with(fixture, arguments, &[("GOGC", GOGC)])?;
    let rate = mixed.ask_number("rate")?;
    mixed.ask("fill 16")?;
    mixed.ask("start-churn 2")?;
    mixed.ask(&format!("start-storm {GOROUTINES} {COLLECT_EVERY_MS}"))?;
    let mut done = Done::default();
    let mut rounds = 0;
    while begin.elapsed() < time {
        let way = ways[usize::try_from(random.below(ways.len() as u64))?];
        torment(privilege, program, &mixed, way, random, &mut done)
            .with_context(|| format!("{} {}", way.0, way.1.join(" ")))?;
        // Alive, whole, and getting on.
        let now = mixed.ask_number("storm")?;
        ensure!(
            now > rounds,
            "the target has made no progress since the last look, at {now} rounds"
        );
        rounds = now;
    }
    // The next heaptop puts back what a killed one left behind: the rate, and a trap that it was just taking out.
    put_back(privilege, program)?;
    let left = Instant::now();
    loop {
        let traps = changed_code(mixed.pid())?;
        if traps.is_empty() {
            break;
        }
        ensure!(
            left.elapsed() < CLEAN_WITHIN,
            "traps are left in the target at {traps:#x?}"
        );
        thread::sleep(Duration::from_millis(100));
    }
    let rate_now = mixed.ask_number("rate")?;
    ensure!(
        rate_now == rate,
        "MemProfileRate was {rate} and is {rate_now}"
    );
    done.rounds = mixed.ask_number("stop-storm")?;
    mixed.ask("stop-churn")?;
    mixed.ask("gc")?;
    mixed.ask("check")?;
    mixed.exit()?;
    Ok(done)
}

/// Any command of heaptop puts back what a killed one has left.
fn put_back(privilege: &Privilege, program: &Path) -> Result<()> {
    let status = privilege
        .command(program)
        .arg("ps")
        .stdout(Stdio::null())
        .status()
        .context("cannot run heaptop ps")?;
    ensure!(status.success(), "heaptop ps ended with {status}");
    Ok(())
}

/// One attach, and what befalls it.
fn torment(
    privilege: &Privilege,
    program: &Path,
    mixed: &Mixed,
    way: &(&'static str, &'static [&'static str]),
    random: &mut Random,
    done: &mut Done,
) -> Result<()> {
    let begin =
        |arguments| Watch::start_without_waiting(privilege, program, arguments, mixed.pid());
    let mut one = begin(way.1)?;
    done.attached += 1;
    let mut other = None;
    if random.below(3) == 0 {
        other = Some(begin(way.1)?);
        done.at_once += 1;
    }
    match random.below(4) {
        // Anywhere between its start and its first line.
        0 => {
            thread::sleep(Duration::from_millis(random.below(400)));
            kill_now(privilege, &one)?;
            done.killed += 1;
            done.early += 1;
        }
        fate => {
            let is_refused = match one.next(Duration::from_secs(30)) {
                Ok(_) => {
                    thread::sleep(Duration::from_millis(random.below(1500)));
                    false
                }
                // Two at once may be told apart by a refusal, in heaptop's three lines; anything else is a fault.
                Err(err) if other.is_some() && format!("{err:#}").contains("next:") => {
                    done.refused += 1;
                    true
                }
                Err(err) => return Err(err),
            };
            if fate == 1 && !is_refused {
                kill_now(privilege, &one)?;
                done.killed += 1;
            } else {
                let (status, words) = one.end()?;
                ended(status, &words)?;
            }
        }
    }
    if let Some(other) = other {
        thread::sleep(Duration::from_millis(random.below(500)));
        let (status, words) = other.end()?;
        ended(status, &words)?;
    }
    Ok(())
}

/// By our signal, or, beside another heaptop, by a refusal.
fn ended(status: ExitStatus, words: &str) -> Result<()> {
    // Before its handlers stood, the signal itself ended it. Any other one is a crash.
    let ours = [Signal::SIGTERM, Signal::SIGKILL].map(|signal| Some(signal as i32));
    match status.code() {
        Some(143 | 0) => Ok(()),
        None if ours.contains(&status.signal()) => Ok(()),
        Some(1) if words.contains("next:") => Ok(()),
        _ => bail!("heaptop ended with {status}: {words}"),
    }
}

fn kill_now(privilege: &Privilege, watch: &Watch) -> Result<()> {
    match privilege {
        Privilege::Root => kill(pid(watch.pid()), Signal::SIGKILL).context("it runs"),
        Privilege::Sudo(_) => {
            let status = privilege
                .command("kill")
                .args(["-s", "KILL", &watch.pid().to_string()])
                .status()
                .context("cannot run kill")?;
            ensure!(status.success(), "kill ended with {status}");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_signals_may_end_heaptop() {
        let by_signal = |signal: Signal| ended(ExitStatus::from_raw(signal as i32), "");
        assert!(by_signal(Signal::SIGTERM).is_ok());
        assert!(by_signal(Signal::SIGKILL).is_ok());
        assert!(by_signal(Signal::SIGSEGV).is_err());
        assert!(by_signal(Signal::SIGABRT).is_err());
    }

    #[test]
    fn times_are_seconds_or_minutes() {
        assert_eq!(parse_time("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(parse_time("10m"), Ok(Duration::from_secs(600)));
        for wrong in ["", "60", "s", "1h"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn random_numbers_are_below_their_bound_and_differ() {
        let mut random = Random(1);
        let numbers: Vec<u64> = (0..100).map(|_| random.below(10)).collect();
        assert!(numbers.iter().all(|n| *n < 10));
        assert!((0..10).all(|n| numbers.contains(&n)));
    }
}
