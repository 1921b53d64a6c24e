//! `cargo xtask attaches`: how soon heaptop names the leaks of the demo gateway, counted over many attaches.
//!
//! One watch says little about the next. So the gateway runs with each of its leaks at once, heaptop records the event stream
//! of each, and the recordings are replayed as if heaptop had attached every half minute. `docs/attaches.md` has the counts.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use crate::{
    build,
    gateway::{self, Gateway},
    processes::Running,
    progress::say,
    torture::parse_time,
    trace,
    user::{self, Privilege},
};

/// Time from one attach to the next.
const EVERY: &str = "30s";
/// Age of a gateway at the first attach.
const AGE: Duration = Duration::from_secs(60);
/// Time that a recording may take beyond its length, to attach and to detach.
const GRACE: Duration = Duration::from_secs(60);

/// One gateway, and what is true of it.
struct Life {
    name: &'static str,
    leak: &'static str,
    requests_per_sec: &'static str,
    /// Ends of the functions that are right to name first, and of their callers; none where nothing leaks.
    sites: &'static [&'static str],
    via: &'static [&'static str],
    group: Group,
}

/// Lives whose attaches are counted together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    /// Growth of 2 to 5 MiB/min with GC gaps of 15 s at most, in the median.
    Frequent,
    /// GC gaps of 20 to 60 s.
    Rare,
    Honest,
}

const GROUPS: [(Group, &str); 3] = [
    (
        Group::Frequent,
        "Leaks of 2 to 5 MiB/min, GC gaps of 8 to 15 s in the median",
    ),
    (
        Group::Rare,
        "Leaks of 5 to 30 MiB/min, GC gaps of 20 to 60 s in the median",
    ),
    (Group::Honest, "Nothing leaks"),
];

const METERS: &str = "createMeasures,Int64Counter,Float64Histogram";
const METERS_VIA: &str = "telemetry.HTTPHandler";
const BUCKETS: &str =
    "(*BucketStorage).Create,(*Limiter).ForwardMessage,(*Cache).Set,(*List).insertValue";
/// A request passes one of two limiters.
const BUCKETS_VIA: &str = "(*guard).wrap.func5,(*guard).wrap.func9,(*Limiter).ForwardMessage";

const LIVES: [Life; 7] = [
    Life {
        name: "meters",
        leak: "meters",
        requests_per_sec: "150",
        sites: &[METERS],
        via: &[METERS_VIA],
        group: Group::Frequent,
    },
    Life {
        name: "buckets",
        leak: "buckets",
        requests_per_sec: "200",
        sites: &[BUCKETS],
        via: &[BUCKETS_VIA],
        group: Group::Frequent,
    },
    Life {
        name: "both",
        leak: "meters,buckets",
        requests_per_sec: "130",
        sites: &[METERS, BUCKETS],
        via: &[METERS_VIA, BUCKETS_VIA],
        group: Group::Frequent,
    },
    Life {
        name: "goroutines",
        leak: "goroutines",
        requests_per_sec: "130",
        sites: &["(*Engine).Price"],
        via: &["priceOrders.func7"],
        group: Group::Frequent,
    },
    Life {
        name: "configs",
        leak: "configs",
        requests_per_sec: "60",
        sites: &["routes.(*Table).apply,mux.newRouteRegexp,regexp.onePassCopy"],
        via: &["routes.(*Table).reload,routes.(*Table).createRouters"],
        group: Group::Rare,
    },
    Life {
        name: "context",
        leak: "context",
        requests_per_sec: "100",
        sites: &["context.Set,(*Request).WithContext,textproto.readMIMEHeader,(*guard).wrap.func9"],
        // All that belongs to a request is kept, whatever made it.
        via: &["Remember.func8,(*guard).wrap.func9,rewriteOrders.func6"],
        group: Group::Rare,
    },
    Life {
        name: "none",
        leak: "none",
        requests_per_sec: "150",
        sites: &[],
        via: &[],
        group: Group::Honest,
    },
];

/// Arguments of `cargo xtask attaches`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Length of each recording: 17m
    #[arg(long = "for", value_name = "TIME", default_value = "17m", value_parser = parse_time)]
    duration: Duration,
    /// Count the recordings of the last run again
    #[arg(long)]
    again: bool,
}

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<()> {
    let folder = crate::target_dir().join("attaches");
    let heaptop = if args.again {
        build::heaptop("attaches")?
    } else {
        record(args, &folder)?
    };
    let page = page(&heaptop, &folder, args.duration)?;
    let path = crate::root().join("docs/attaches.md");
    fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
    say("attaches", &format!("{} is written", path.display()));
    Ok(())
}

/// File of a recording.
fn file(folder: &Path, life: &Life) -> PathBuf {
    folder.join(format!("{}.trace", life.name))
}

/// Runs all gateways at once and records them. Returns the heaptop that did.
fn record(args: &Args, folder: &Path) -> Result<PathBuf> {
    let privilege = Privilege::get("attaches", "place probes in the gateways")?;
    let heaptop = build::heaptop("attaches")?;
    let program = gateway::build("attaches")?;
    user::give_back(&privilege)?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;

    let start = |life: &Life| Gateway::start(&program, life.leak, life.requests_per_sec);
    let gateways: Vec<Gateway> = LIVES.iter().map(start).collect::<Result<_>>()?;
    say(
        "attaches",
        &format!("{} gateways run; waiting {} s", LIVES.len(), AGE.as_secs()),
    );
    std::thread::sleep(AGE);

    let length = format!("{}s", args.duration.as_secs());
    let mut recorders = Vec::new();
    for (life, gateway) in LIVES.iter().zip(&gateways) {
        let file = file(folder, life);
        if file.exists() {
            fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        }
        let mut command = privilege.command(&heaptop);
        command
            .arg("--trace")
            .arg(&file)
            .args(["--interval", "1m", "--top", "1", "--for", &length])
            .arg(gateway.target.pid().to_string());
        recorders.push(Running::start_as_root("heaptop", &privilege, &mut command)?);
    }
    say("attaches", &format!("recording for {length}"));
    for (life, recorder) in LIVES.iter().zip(&mut recorders) {
        let status = recorder.wait(args.duration + GRACE)?;
        let status = status.with_context(|| format!("heaptop on {} does not end", life.name))?;
        ensure!(
            status.success(),
            "heaptop on {} ended with {status}",
            life.name
        );
    }
    Ok(heaptop)
}

/// The page with the counts of all groups and lives.
fn page(heaptop: &Path, folder: &Path, duration: Duration) -> Result<String> {
    let minutes = duration.as_secs_f64() / 60.0;
    let mut page = format!(
        "# Attaches to the demo gateway\n\n\
         The gateway of `cargo xtask demo` with each of its leaks, recorded for {minutes:.0} min from the second minute of its life \
         on, all at\nonce, by `cargo xtask attaches`. Each recording is replayed from its start and from every {EVERY} on; shares \
         with their 95 %\ninterval. Attaches to one recording overlap, so that they are not independent. The load comes in waves \
         of 40 s.\n"
    );
    for (group, title) in GROUPS {
        let lives = || LIVES.iter().filter(move |life| life.group == group);
        let count = lives().count();
        writeln!(page, "\n## {title}\n").ok();
        if count > 1 {
            let all: Vec<&Life> = lives().collect();
            writeln!(page, "All of them:\n\n{}", table(heaptop, folder, &all)?).ok();
        }
        for life in lives() {
            let title = format!(
                "`--leak {}` at {} requests/s",
                life.leak, life.requests_per_sec
            );
            writeln!(page, "{title}:\n\n{}", table(heaptop, folder, &[life])?).ok();
        }
    }
    Ok(page.trim_end().to_owned() + "\n")
}

/// Counts of some lives together.
fn table(heaptop: &Path, folder: &Path, lives: &[&Life]) -> Result<String> {
    let files: Vec<PathBuf> = lives.iter().map(|life| file(folder, life)).collect();
    let sites: Vec<&str> = lives.iter().flat_map(|life| life.sites).copied().collect();
    let via: Vec<&str> = lives.iter().flat_map(|life| life.via).copied().collect();
    trace::counts(
        heaptop,
        &files,
        EVERY,
        None,
        [&sites.join(","), &via.join(",")],
    )
}
