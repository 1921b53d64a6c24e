//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

use crate::model::rows::GroupBy;
use crate::session::Per;
use crate::view::order::{Sort, SortKey};

/// Live heap growth per call site of a running Go process.
///
/// heaptop attaches to a Go process as it is, with no pprof endpoint, no restart and no open port, and shows which call
/// sites hold its memory and which of them grow from GC to GC.
#[derive(Debug, Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  sudo heaptop 4121                      live screen of process 4121
  sudo heaptop tyk                       the one Go process named tyk
  sudo heaptop tyk | head -40            text tables instead of the screen
  sudo heaptop --json --count 1 tyk      this moment as JSON: call sites, process
  sudo heaptop --no-probes tyk           memory reads alone: no eBPF, no trap in the target
  sudo heaptop --arm tyk                 a program without a profiler: its sampler on while we look
  sudo heaptop --exact --for 30s tyk     every allocation with its type, for half a minute
  sudo heaptop --follow tyk              go on with the next tyk when this one restarts
  sudo heaptop diagnose tyk              is it a leak, whose, how long have I got: in words
  sudo heaptop snapshot tyk              a pprof heap profile, from the process's own records

Exit status: 0 done (also when the target ends), 1 could not, 2 usage, 130 and 143 by signal;
of diagnose also 3, memory or goroutines keep growing, and 4, undecided."
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
    /// Watch for some minutes, then say in words whether it leaks, where, and how long it has
    Diagnose(DiagnoseArgs),
    /// List the Go processes that run here, in containers too
    Ps(PsArgs),
    /// Try what a watch needs, say what is missing and what to do; status 0 if it would run
    Doctor(DoctorArgs),
    /// Write one pprof heap profile from the target's own records, without probes
    Snapshot(SnapshotArgs),
    /// Replay a trace that --trace wrote, one line per evaluation; for `cargo xtask replay`
    #[command(hide = true)]
    Replay(ReplayArgs),
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
    /// [default: pick from a list, on a terminal]
    #[arg(value_name = "TARGET")]
    pub target: Option<String>,
    /// Read the runtime's records alone: no eBPF and no trap in the target. What only probes can know is
    /// shown as ?
    #[arg(long, conflicts_with_all = ["exact", "arm", "per"])]
    pub no_probes: bool,
    /// Trace every allocation, with its Go type: about 1 us each, so for short looks and quiet processes. See
    /// --max-overhead and --for
    #[arg(long, conflicts_with = "arm")]
    pub exact: bool,
    /// Switch the target's own sampler on where it is off: one 8-byte write of 524288 to runtime.MemProfileRate, put
    /// back at the end. History from before it is missing
    #[arg(long)]
    pub arm: bool,
    /// Source to use instead of the one that fits: spans on a process with a sampler, for example
    #[arg(long, value_enum, value_name = "SOURCE",
        conflicts_with_all = ["exact", "no_probes", "arm"])]
    pub source: Option<SourceChoice>,
    /// Most that all probes may take of one CPU in any second, such as 0.5%, 1% or 25%; `off` for no limit. Above it
    /// they are on for a part of the time, figures are scaled, and the header says so [default: 1%]
    #[arg(long, value_name = "PERCENT", value_parser = parse_overhead, conflicts_with = "no_probes")]
    pub max_overhead: Option<f64>,
    /// End the watch after this time, such as 30s or 10m. Up to 1m, --exact needs no other budget
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// Whose calls are counted.
    #[command(flatten)]
    pub per: PerArgs,
    /// When the target ends or replaces itself, wait until it runs again (same name, same container) and go on with
    /// the new process
    #[arg(long)]
    pub follow: bool,
    /// Lines of JSON instead of tables: schemas heaptop.sites/1 and heaptop.process/1, see docs/json.md
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
    #[arg(long, value_enum, default_value_t = SortBy::Verdict)]
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
    /// Write every event of the watch to a new file, for `cargo xtask replay`
    #[arg(long, value_name = "FILE", hide = true)]
    pub trace: Option<PathBuf>,
}

impl WatchArgs {
    /// The source asked for by any of the options that mean one; `None` for the one that fits.
    pub fn wanted_source(&self) -> Option<SourceChoice> {
        if self.exact {
            Some(SourceChoice::Exact)
        } else if self.no_probes {
            Some(SourceChoice::Buckets)
        } else if self.arm {
            Some(SourceChoice::Sampler)
        } else {
            self.source
        }
    }

    /// What is asked for and the source asked for cannot know.
    ///
    /// # Errors
    /// A usage error of clap, to be printed and ended with.
    pub fn check(&self) -> Result<(), clap::Error> {
        if self.by == RowBy::Type && self.wanted_source() != Some(SourceChoice::Exact) {
            return Err(Cli::command().error(
                ErrorKind::MissingRequiredArgument,
                "--by type needs --exact: no other source knows the types of objects",
            ));
        }
        self.per.check(self.wanted_source())
    }
}

/// Whose calls are counted: for every command that watches.
#[derive(Clone, Debug, Default, Args)]
pub struct PerArgs {
    /// Count calls of this function, and report growth per call. Give its full name or any unique suffix of it, such as
    /// proxy.(*Handler).ServeHTTP. Calls that the compiler has inlined are not seen. A call costs
    /// about 1 us; above 0.1% of a CPU they are counted in short windows, unless --max-overhead is off. While something
    /// grows, functions on its stacks are counted beside it. `off` counts none
    /// [default: the requests of net/http or gRPC, where the program serves any]
    #[arg(long, value_name = "FUNCTION")]
    pub per: Option<String>,
}

impl PerArgs {
    /// What is asked for.
    pub fn wanted(&self) -> Per {
        match self.per.as_deref() {
            None => Per::Request,
            Some("off") => Per::Nothing,
            Some(function) => Per::Function(function.to_owned()),
        }
    }

    /// Whether it goes with the source asked for.
    ///
    /// # Errors
    /// The usage error, where that source places no probe.
    pub fn check(&self, source: Option<SourceChoice>) -> Result<(), clap::Error> {
        if self.per.is_some() && source == Some(SourceChoice::Buckets) {
            return Err(Cli::command().error(
                ErrorKind::ArgumentConflict,
                "--per needs a probe: --source buckets places none",
            ));
        }
        Ok(())
    }
}

/// Arguments of `diagnose`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Ends as soon as a verdict has held for two evaluations, 15 s apart: growth, or a steady heap with a bound on growth \
below 0.25 MiB/min. A leak of 2 MiB/min takes 3 to 5 minutes; one of 0.5 MiB/min takes about 10. While standard error is a \
terminal, one line there counts down to the answer: a time that becomes later says why. Elsewhere there is no progress.

Examples:
  sudo heaptop diagnose tyk                          until a verdict holds, at most 10 minutes
  sudo heaptop diagnose --for 15m tyk > ticket.txt   something to attach to a ticket
  sudo heaptop diagnose --json tyk | jq -r 'select(.schema == \"heaptop.process/1\").verdict.text'

Exit status: 0 no growth that lasts was found, 1 could not run, 2 usage, 3 memory or goroutines keep growing, 4 growth is \
probable, or nothing is decided yet, 130 and 143 by signal. The findings so far are printed in each case, also when the \
target ends.")]
pub struct DiagnoseArgs {
    /// A pid, the name of a Go process, a container id (6 digits or more), or CONTAINER:PID with a pid as
    /// seen inside
    #[arg(value_name = "TARGET")]
    pub target: String,
    /// Watch for this time, such as 3m or 1h [default: until a verdict holds, at most 10m]. Ctrl-C ends the watch
    /// earlier, with the findings so far
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// Whose calls are counted.
    #[command(flatten)]
    pub per: PerArgs,
    /// Read the runtime's records alone: no eBPF and no trap in the target
    #[arg(long, conflicts_with_all = ["arm", "per"])]
    pub no_probes: bool,
    /// Switch the target's own sampler on where it is off: one 8-byte write, put back at the end
    #[arg(long)]
    pub arm: bool,
    /// Source to use instead of the one that fits
    #[arg(long, value_enum, value_name = "SOURCE", conflicts_with_all = ["no_probes", "arm"])]
    pub source: Option<SourceChoice>,
    /// Most that all probes may take of one CPU in any second, such as 0.5%, 1% or 25%; `off` for no limit
    /// [default: 1%]
    #[arg(long, value_name = "PERCENT", value_parser = parse_overhead, conflicts_with = "no_probes")]
    pub max_overhead: Option<f64>,
    /// Two JSON objects instead of words, one a line: schemas heaptop.sites/1 and heaptop.process/1
    #[arg(long)]
    pub json: bool,
    /// Write heaptop's own diagnostics, the kernel side's included, to a file
    #[arg(long, value_name = "FILE")]
    pub debug_log: Option<PathBuf>,
}

impl DiagnoseArgs {
    /// The source asked for by any of the options that mean one; `None` for the one that fits.
    pub fn wanted_source(&self) -> Option<SourceChoice> {
        if self.no_probes {
            Some(SourceChoice::Buckets)
        } else {
            self.source
        }
    }

    /// The command line of a longer look of `minutes`.
    pub fn again(&self, minutes: u64) -> String {
        let mut command = format!("heaptop diagnose --for {minutes}m");
        for (is_set, option) in [(self.no_probes, "--no-probes"), (self.arm, "--arm")] {
            if is_set {
                command.push(' ');
                command.push_str(option);
            }
        }
        if let Some(source) = self.source.and_then(|source| source.to_possible_value()) {
            command.push_str(" --source ");
            command.push_str(source.get_name());
        }
        if let Some(function) = &self.per.per {
            // Its name has brackets and stars, which a shell would take for its own.
            for part in [" --per '", function, "'"] {
                command.push_str(part);
            }
        }
        command.push(' ');
        command.push_str(&self.target);
        command
    }
}

/// Arguments of `doctor`.
#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// The process that is to be watched, as for `heaptop TARGET`; without it the machine alone is looked at
    #[arg(value_name = "TARGET")]
    pub target: Option<String>,
    /// One JSON object a line for each check: check, state (ok, degraded, missing), detail, next
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `ps`.
#[derive(Clone, Debug, Args)]
pub struct PsArgs {
    /// One JSON object a line for each process; what is not known is null
    #[arg(long)]
    pub json: bool,
}

/// `--source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SourceChoice {
    /// The runtime's own heap sampler (the default where it is on)
    Sampler,
    /// Spans as they are taken to allocate from (the default where the sampler is off)
    Spans,
    /// Every allocation: as --exact
    Exact,
    /// The runtime's records alone: as --no-probes
    Buckets,
}

/// Arguments of `replay`.
#[derive(Clone, Debug, Args)]
pub struct ReplayArgs {
    /// Trace to replay; with --attach-every several, counted together
    #[arg(value_name = "FILE", required = true, num_args = 1..)]
    pub files: Vec<PathBuf>,
    /// Attach this long after the start of the trace, such as 40s
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub attach_at: Option<Duration>,
    /// Attach again and again, this long apart, and count the words instead of printing each
    #[arg(long, value_name = "TIME", value_parser = parse_duration, conflicts_with_all = ["attach_at", "json"])]
    pub attach_every: Option<Duration>,
    /// True growth of the live heap in MiB per minute, to count how often the rate's interval holds it
    #[arg(long, value_name = "MIB", requires = "attach_every")]
    pub true_rate: Option<f64>,
    /// Ends of function names that are right to name first
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        requires = "attach_every"
    )]
    pub true_site: Vec<String>,
    /// Ends of function names that are right as `via`
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        requires = "attach_every"
    )]
    pub true_via: Vec<String>,
    /// End this long after the attach
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// Uptime of the process at the start of the trace, where the trace does not state it
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub uptime: Option<Duration>,
    /// The lines of JSON that `heaptop --json` would have printed at each evaluation
    #[arg(long)]
    pub json: bool,
    /// The text that `heaptop diagnose` would have printed at the end
    #[arg(long, conflicts_with = "json")]
    pub diagnose: bool,
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
    /// What grows first, by leaks, then in-use bytes
    Verdict,
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
            SortBy::Verdict => SortKey::Verdict,
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

/// Longest time: beyond it a clock of the machine may not count, and nobody waits.
const MAX_DURATION: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// A length of time longer than nothing.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|err| format!("{err}; write it as 30s, 10m or 1h"))?;
    if duration.is_zero() {
        return Err("longer than nothing".into());
    }
    if duration > MAX_DURATION {
        return Err("at most 10 years".into());
    }
    Ok(duration)
}

/// Percent of one CPU, with or without its sign, as a share: `25%` is 0.25. `off` is infinity.
fn parse_overhead(text: &str) -> Result<f64, String> {
    if text == "off" {
        return Ok(f64::INFINITY);
    }
    let number = text.strip_suffix('%').unwrap_or(text).trim_end();
    match number.parse::<f64>() {
        Ok(percent) if percent.is_finite() && percent > 0.0 => Ok(percent / 100.0),
        _ => Err("percent of one CPU, above 0: 1%, 0.5 or 25%; or off".into()),
    }
}

fn parse_ring_bytes(text: &str) -> Result<u32, String> {
    let bytes: u32 = text.parse().map_err(|err| format!("{err}"))?;
    if bytes >= 4096 && bytes.is_power_of_two() {
        Ok(bytes)
    } else {
        Err("a power of two of at least 4096".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(arguments: &[&str]) -> Option<WatchArgs> {
        let all = std::iter::once("heaptop").chain(arguments.iter().copied());
        Cli::try_parse_from(all).ok().map(|cli| cli.watch)
    }

    #[test]
    fn percents_are_shares_of_one_cpu() {
        for (text, share) in [("1%", 0.01), ("0.5", 0.005), ("25%", 0.25), ("100 %", 1.0)] {
            let args = watch(&["--max-overhead", text, "1"]).expect(text);
            assert_eq!(args.max_overhead, Some(share), "{text}");
        }
        let off = watch(&["--max-overhead", "off", "1"]).and_then(|args| args.max_overhead);
        assert_eq!(off, Some(f64::INFINITY));
        for text in ["0", "-1", "", "%", "nan", "inf", "much"] {
            assert!(watch(&["--max-overhead", text, "1"]).is_none(), "{text}");
        }
    }

    #[test]
    fn types_are_asked_of_the_source_that_knows_them() {
        let check = |arguments: &[&str]| watch(arguments).map(|args| args.check().is_ok());
        assert_eq!(check(&["--by", "type", "1"]), Some(false));
        assert_eq!(check(&["--by", "type", "--arm", "1"]), Some(false));
        assert_eq!(check(&["--by", "type", "--exact", "1"]), Some(true));
        assert_eq!(check(&["--by=type", "--source=exact", "1"]), Some(true));
        assert_eq!(check(&["--by", "package", "1"]), Some(true));
        assert_eq!(check(&["--per=f", "--source=buckets", "1"]), Some(false));
        assert_eq!(check(&["--per=f", "--source=spans", "1"]), Some(true));
    }

    #[test]
    fn requests_are_counted_unless_something_else_is_asked_for() {
        let per = |arguments: &[&str]| watch(arguments).map(|args| args.per.wanted());
        assert_eq!(per(&["1"]), Some(Per::Request));
        assert_eq!(per(&["--per", "off", "1"]), Some(Per::Nothing));
        let function = Per::Function("main.serve".into());
        assert_eq!(per(&["--per=main.serve", "1"]), Some(function));
    }

    #[test]
    fn ways_that_exclude_each_other_are_refused() {
        for pair in [
            ["--arm", "--exact"],
            ["--arm", "--no-probes"],
            ["--exact", "--no-probes"],
            ["--source=spans", "--arm"],
            ["--source=spans", "--exact"],
            ["--max-overhead=1%", "--no-probes"],
            ["--per=main.serve", "--no-probes"],
            ["--for=0s", "--exact"],
        ] {
            assert!(watch(&[pair[0], pair[1], "1"]).is_none(), "{pair:?}");
        }
        let args = watch(&["--arm", "--follow", "--for", "90s", "tyk"]).expect("all fit");
        assert!(args.arm && args.follow);
        assert_eq!(args.duration, Some(Duration::from_secs(90)));
        assert_eq!(args.wanted_source(), Some(SourceChoice::Sampler));
    }
}
