//! `cargo xtask demo`: heaptop on a gateway that leaks, from nothing to the screen.
//!
//! Builds heaptop and `tests/programs/gateway`, starts the gateway, drives load at it from a second process, and opens
//! heaptop on it. In a terminal that is the live screen, until the user quits. Without one it is the text table, until it
//! shows that a leak grows: then the demo has shown what it is for and ends with status 0. Continuous integration runs that.

mod table;

use std::{
    io::{IsTerminal as _, Write as _},
    process::{Child, Command, ExitCode},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::{
    build,
    gateway::{self, Gateway},
    processes::{Running, pid, terminate},
    progress::say,
    user::{self, Privilege},
};
use table::Table;

/// How long growth may take to show: a sampled site needs 8 samples and 4 GC cycles.
const GROWTH_WITHIN: Duration = Duration::from_secs(120);
/// How long the screen of another kind may take to close after it was asked to.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);

/// Packages whose sites grow, by the leak that makes them.
const LEAKS: [(&str, &[&str]); 5] = [
    (
        "meters",
        &["go.opentelemetry.io/", "gateway/internal/telemetry."],
    ),
    (
        "buckets",
        &[
            "gateway/internal/memorycache.",
            "gateway/internal/ratelimit.",
            "gateway/internal/session.",
        ],
    ),
    ("goroutines", &["gateway/internal/script."]),
    (
        "configs",
        &[
            "github.com/gorilla/mux.",
            "gateway/internal/routes.",
            "regexp",
        ],
    ),
    (
        "context",
        &[
            "github.com/gorilla/context.",
            "gateway/internal/visit.",
            "net/http.",
            "net/textproto.",
        ],
    ),
];

/// Arguments of `cargo xtask demo`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Bugs that the gateway has, separated by commas: meters, buckets, goroutines, configs, context; or none
    #[arg(long, default_value = "meters,buckets", value_parser = parse_leaks)]
    leak: String,
    /// Mean requests per second, in waves
    #[arg(long, default_value_t = 300.0)]
    rate: f64,
}

fn parse_leaks(text: &str) -> Result<String, String> {
    let known = |name: &str| name == "none" || LEAKS.iter().any(|(leak, _)| *leak == name);
    match text.split(',').find(|name| !known(name)) {
        None => Ok(text.to_owned()),
        Some(name) => {
            let known: Vec<&str> = LEAKS.iter().map(|(leak, _)| *leak).collect();
            Err(format!("{name:?} is not one of {}, none", known.join(", ")))
        }
    }
}

/// Why the demo ended.
enum End {
    /// heaptop or the growth that was waited for.
    Done,
    Signal(i32),
}

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let privilege = Privilege::get("demo", "place probes in the gateway")?;
    let heaptop = build::heaptop("demo")?;
    let program = gateway::build("demo")?;
    user::give_back(&privilege)?;

    // From here on there are processes to end.
    let signals = Signals::watch()?;
    let rate = args.rate.to_string();
    let mut gateway = Gateway::start(&program, &args.leak, &rate)?;
    let target_pid = gateway.target.pid().to_string();
    say(
        "demo",
        &format!(
            "the gateway is pid {target_pid}, leaks {}, and gets {rate} requests a second",
            args.leak
        ),
    );

    let mut command = privilege.command(&heaptop);
    let end = if std::io::stdout().is_terminal() {
        command.arg(&target_pid);
        screen(&privilege, &mut command, &signals)?
    } else {
        command.args(["--wide", "--top=12", "--interval=1s", &target_pid]);
        text(&privilege, &mut command, &args.leak, &signals)?
    };
    gateway.load.end()?;
    gateway.target.end()?;
    Ok(match end {
        End::Done => ExitCode::SUCCESS,
        End::Signal(signal) => ExitCode::from(u8::try_from(128 + signal).unwrap_or(1)),
    })
}

/// The live screen: heaptop has the terminal, and its end is ours.
fn screen(privilege: &Privilege, command: &mut Command, signals: &Signals) -> Result<End> {
    say("demo", "opening heaptop; q ends it and the gateway");
    let mut screen = Screen {
        child: command.spawn().context("cannot start heaptop")?,
        privilege,
        has_ended: false,
    };
    loop {
        if let Some(code) = screen.poll()? {
            // Ctrl-C before the screen was open went to both of us.
            return match (code, signals.seen()) {
                (0, _) => Ok(End::Done),
                (_, Some(signal)) => Ok(End::Signal(signal)),
                (130, None) => Ok(End::Signal(SIGINT)),
                (code, None) => bail!("heaptop ended with status {code}"),
            };
        }
        if let Some(signal) = signals.seen() {
            screen.close()?;
            return Ok(End::Signal(signal));
        }
        thread::sleep(POLL);
    }
}

/// heaptop with the terminal.
struct Screen<'a> {
    child: Child,
    privilege: &'a Privilege,
    has_ended: bool,
}

impl Screen<'_> {
    /// Its status once it has ended, 128 and the signal's number where one ended it.
    ///
    /// When it stops itself (Ctrl-Z), so do we: the shell waits for us, not for it.
    fn poll(&mut self) -> Result<Option<i32>> {
        let child = pid(self.child.id());
        let status = waitpid(child, Some(WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED))
            .context("cannot wait for heaptop")?;
        let code = match status {
            WaitStatus::Exited(_, code) => code,
            WaitStatus::Signaled(_, signal, _) => 128 + signal as i32,
            WaitStatus::Stopped(..) => {
                kill(Pid::this(), Signal::SIGSTOP).context("cannot stop")?;
                // Continued by the shell, which continues the whole group; this is for a shell that does not.
                kill(child, Signal::SIGCONT).ok();
                return Ok(None);
            }
            _ => return Ok(None),
        };
        self.has_ended = true;
        Ok(Some(code))
    }

    /// Asks it to restore the terminal and end; kills it when it does not.
    fn close(&mut self) -> Result<()> {
        let sudo = match self.privilege {
            Privilege::Root => None,
            Privilege::Sudo(sudo) => Some(sudo.as_path()),
        };
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            if self.has_ended {
                return Ok(());
            }
            terminate(self.child.id(), sudo, signal);
            let begin = Instant::now();
            while !self.has_ended && begin.elapsed() < CLOSE_WITHIN {
                self.poll()?;
                thread::sleep(POLL);
            }
        }
        Ok(())
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        self.close().ok();
    }
}

/// The text table, until it shows growth where growth was asked for.
fn text(
    privilege: &Privilege,
    command: &mut Command,
    leak: &str,
    signals: &Signals,
) -> Result<End> {
    let packages: Vec<&str> = LEAKS
        .iter()
        .filter(|(name, _)| leak.split(',').any(|leak| leak == *name))
        .flat_map(|(_, packages)| packages.iter().copied())
        .collect();
    say(
        "demo",
        &format!(
            "opening heaptop; standard output is no terminal: text until growth is shown, at most {} s",
            GROWTH_WITHIN.as_secs()
        ),
    );
    let mut heaptop = Running::start_as_root("heaptop", privilege, command)?;
    let begin = Instant::now();
    let mut table = Table::default();
    let mut stdout = std::io::stdout();
    let mut shown = None;
    while begin.elapsed() < GROWTH_WITHIN {
        if let Some(signal) = signals.seen() {
            return Ok(End::Signal(signal));
        }
        // Once growth is shown its block is printed to the end: no line for a moment.
        let Some(line) = heaptop.line(POLL)? else {
            if shown.is_some() {
                break;
            }
            continue;
        };
        if writeln!(stdout, "{line}").is_err() {
            return Ok(End::Done); // Nobody reads any more.
        }
        let grows = table.row(&line).filter(|row| {
            row.growth_per_min > 0.0 && packages.iter().any(|package| row.site.starts_with(package))
        });
        if let (None, Some(row)) = (&shown, grows) {
            shown = Some(format!(
                "growth is shown after {:.0} s: {} grows by {:.2} MiB a minute",
                begin.elapsed().as_secs_f64(),
                row.site,
                row.growth_per_min
            ));
        }
    }
    heaptop.end()?;
    match shown {
        Some(sentence) => say("demo", &sentence),
        None if packages.is_empty() => say("demo", "this gateway has no leak: nothing to wait for"),
        None => bail!(
            "no growth was shown within {} s\n  why:  no site of {} had a growth per minute above its error\n  next: look at \
             the tables above; on a busy machine try `--rate 600`",
            GROWTH_WITHIN.as_secs(),
            packages.join(", ")
        ),
    }
    Ok(End::Done)
}

/// Signals that end the demo, remembered.
struct Signals(Arc<AtomicUsize>);

impl Signals {
    fn watch() -> Result<Self> {
        let seen = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let number = usize::try_from(signal).context("signals have positive numbers")?;
            signal_hook::flag::register_usize(signal, Arc::clone(&seen), number)
                .with_context(|| format!("cannot watch for signal {signal}"))?;
        }
        Ok(Self(seen))
    }

    fn seen(&self) -> Option<i32> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            signal => i32::try_from(signal).ok(),
        }
    }
}
