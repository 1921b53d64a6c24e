//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::model::rows::GroupBy;
use crate::view::order::{Sort, SortKey};

/// Live heap growth per call site of a running Go process.
///
/// heaptop attaches to a Go process as it is, with no pprof endpoint, no restart and no open port, and shows which call
/// sites hold its memory and which of them grow from GC to GC.
#[derive(Debug, Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:
  sudo heaptop 4121                      live screen of process 4121
  sudo heaptop tyk                       the one Go process named tyk
  sudo heaptop tyk | head -40            text tables instead of the screen
  sudo heaptop --json --count 1 tyk      one line of JSON
  sudo heaptop --no-probes tyk           memory reads alone: no eBPF, no trap in the target
  sudo heaptop snapshot tyk              a pprof heap profile, from the process's own records

Exit status: 0 done (also when the target ends), 1 could not, 2 usage, 130 and 143 by signal."
)]
pub struct Cli {
    /// What to do; without a command, TARGET is watched.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to watch.
    #[command(flatten)]
    pub watch: WatchArgs,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch TARGET: the long form of `heaptop TARGET`, also for a process named like a command
    Watch(WatchArgs),
    /// Write one pprof heap profile from the target's own records, without probes
    Snapshot(SnapshotArgs),
}

/// Arguments of `watch`.
#[derive(Clone, Debug, Args)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub struct WatchArgs {
    /// A pid, the name of a Go process, a container id (6 digits or more), or CONTAINER:PID with a pid as
    /// seen inside
    #[arg(required = true, value_name = "TARGET")]
    pub target: Option<String>,
    /// Read the runtime's records alone: no eBPF and no trap in the target. What only probes can know is
    /// shown as ?
    #[arg(long)]
    pub no_probes: bool,
    /// One JSON object a line instead of tables (schema heaptop.sites/1)
    #[arg(long)]
    pub json: bool,
    /// Time between two blocks of text or JSON
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_interval)]
    pub interval: Duration,
    /// End after so many blocks
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Most call sites in a block
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub top: usize,
    /// Order of the call sites
    #[arg(long, value_enum, default_value_t = SortBy::Growth)]
    pub sort: SortBy,
    /// What one row is; by type needs --exact
    #[arg(long, value_enum, default_value_t = RowBy::Function)]
    pub by: RowBy,
    /// Text with whole names and file:line, however wide that is
    #[arg(long)]
    pub wide: bool,
    /// Draw with ASCII characters alone
    #[arg(long)]
    pub ascii: bool,
    /// Default text, bold and reverse video alone
    #[arg(long)]
    pub high_contrast: bool,
    /// Leave the mouse to the terminal
    #[arg(long)]
    pub no_mouse: bool,
    /// Write heaptop's own diagnostics, the kernel side's included, to a file
    #[arg(long, value_name = "FILE")]
    pub debug_log: Option<PathBuf>,
    /// Size of the ring buffer in bytes, a power of two of at least 4096
    #[arg(long, value_name = "BYTES", hide = true, value_parser = parse_ring_bytes)]
    pub ring_bytes: Option<u32>,
}

/// Arguments of `snapshot`.
#[derive(Clone, Debug, Args)]
pub struct SnapshotArgs {
    /// A pid, the name of a Go process, a container id, or CONTAINER:PID
    #[arg(value_name = "TARGET")]
    pub target: String,
    /// File to write, or - for standard output; replaced only when the new profile is whole
    /// [default: heaptop-NAME-PID-TIME.pb.gz]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `--sort`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SortBy {
    /// Growth since the baseline
    Growth,
    /// Growth per minute in bytes
    Rate,
    /// Growth per minute in objects
    Objects,
    /// In-use bytes
    Inuse,
    /// Bytes allocated per second
    Alloc,
    /// Name
    Name,
}

/// `--by`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RowBy {
    /// The function of the call site
    Function,
    /// The line of the call site
    Line,
    /// The package of the call site
    Package,
    /// The Go type of the objects, whoever allocates them
    Type,
}

impl From<RowBy> for GroupBy {
    fn from(by: RowBy) -> Self {
        match by {
            RowBy::Function => Self::Function,
            RowBy::Line => Self::Line,
            RowBy::Package => Self::Package,
            RowBy::Type => Self::Type,
        }
    }
}

impl From<SortBy> for Sort {
    fn from(by: SortBy) -> Self {
        let key = match by {
            SortBy::Growth => SortKey::Growth,
            SortBy::Rate => SortKey::Rate,
            SortBy::Objects => SortKey::Objects,
            SortBy::Inuse => SortKey::InUse,
            SortBy::Alloc => SortKey::Alloc,
            SortBy::Name => SortKey::Name,
        };
        Self {
            key,
            reversed: false,
        }
    }
}

/// Shortest interval: below it the lines say nothing new.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text)
        .map_err(|err| format!("{err}; write it as 500ms, 1s or 2m"))?;
    if interval < MIN_INTERVAL {
        return Err("at least 100ms".into());
    }
    Ok(interval)
}

fn parse_ring_bytes(text: &str) -> Result<u32, String> {
    let bytes: u32 = text.parse().map_err(|err| format!("{err}"))?;
    if bytes >= 4096 && bytes.is_power_of_two() {
        Ok(bytes)
    } else {
        Err("a power of two of at least 4096".into())
    }
}
