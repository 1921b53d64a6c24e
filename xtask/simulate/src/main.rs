//! Verdicts of heaptop on simulated processes: `cargo xtask simulate`.
//!
//! Each watch is a stream of real events of a synthetic process (`heap`, `process`), fed to the model that a live watch
//! has (`watch`). The table counts its words, and the exit status is 1 if a bound is broken (`report`). The same seed
//! gives the same table on the same platform and toolchain: the precision of `f64::ln`, `exp` and `sin` is unspecified.

mod heap;
mod process;
mod random;
mod report;
mod share;
mod watch;

use std::io::{self, Write as _};
use std::iter;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum as _};

use heap::{Class, Kind};
use watch::Watch;

/// Threads that simulate.
const THREADS: u32 = 2;

/// Count the words of heaptop on simulated processes of known truth
#[derive(Parser)]
struct Args {
    /// Watches of heaps that do not rise, in equal numbers of each kind; every other kind gets as many as one of those
    #[arg(long, default_value_t = 3000)]
    watches: u64,
    /// Seed of all random numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Simulate this kind only; may be given several times
    #[arg(long)]
    kind: Vec<Kind>,
    /// List the watches with a false growth word first
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    run(&Args::parse()).unwrap_or_else(|err| {
        eprintln!("simulate: {err:#}");
        ExitCode::FAILURE
    })
}

fn run(args: &Args) -> Result<ExitCode> {
    let all = Kind::value_variants();
    let is_level = |kind: &&Kind| kind.class() == Class::Level;
    let levels = all.iter().filter(is_level).count() as u64;
    let per_kind = args.watches.div_ceil(levels);
    let kinds: Vec<Kind> = (all.iter().copied())
        .filter(|kind| args.kind.is_empty() || args.kind.contains(kind))
        .collect();
    let watches = simulate(&kinds, args.seed, per_kind)?;
    let mut text = String::new();
    if args.list {
        text.push_str(&report::list(&watches));
        text.push('\n');
    }
    let bounds = report::bounds(&watches);
    text.push_str(&report::table(&watches));
    text.push('\n');
    text.push_str(&report::bounds_table(&bounds));
    io::stdout()
        .write_all(text.as_bytes())
        .context("cannot print")?;
    Ok(if report::are_kept(&bounds) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Simulates `per_kind` watches of each kind, in their order.
fn simulate(kinds: &[Kind], seed: u64, per_kind: u64) -> Result<Vec<Watch>> {
    let watch_of = |place: u64| {
        let kind = kinds[usize::try_from(place / per_kind).unwrap_or(0)];
        (place, Watch::run(kind, seed, place % per_kind))
    };
    let all = kinds.len() as u64 * per_kind;
    let next = AtomicU64::new(0);
    let take = || {
        let places = iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        places
            .take_while(|place| *place < all)
            .map(watch_of)
            .collect::<Vec<_>>()
    };
    let mut watches = thread::scope(|scope| {
        let running: Vec<_> = (0..THREADS).map(|_| scope.spawn(take)).collect();
        let mut watches = Vec::new();
        for thread in running {
            let done = thread.join().ok().context("a simulation panicked")?;
            watches.extend(done);
        }
        anyhow::Ok(watches)
    })?;
    watches.sort_by_key(|(place, _)| *place);
    Ok(watches.into_iter().map(|(_, watch)| watch).collect())
}
