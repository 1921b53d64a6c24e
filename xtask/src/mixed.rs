//! `tests/programs/mixed`, in every build that heaptop has to serve.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::{
    go::{Go, RELEASES, create_folder},
    processes::Running,
    progress, user,
};

const ANSWER_WITHIN: Duration = Duration::from_secs(180);
/// PGO was a preview before this minor release.
const PGO_SINCE: u32 = 21;

/// How the program is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Build {
    /// As in the table, and in the name of the folder.
    pub(crate) name: &'static str,
    arguments: &'static [&'static str],
    cgo: bool,
    pgo: bool,
    experiment: Option<&'static str>,
    /// Minor releases it is made with; all where empty.
    only: &'static [u32],
}

const fn build(name: &'static str, arguments: &'static [&'static str]) -> Build {
    Build {
        name,
        arguments,
        cgo: false,
        pgo: false,
        experiment: None,
        only: &[],
    }
}

const fn experiment(name: &'static str, only: &'static [u32]) -> Build {
    Build {
        experiment: Some(name),
        only,
        ..build(name, &[])
    }
}

/// Every build, the plain one first.
pub(crate) const BUILDS: &[Build] = &[
    build("plain", &[]),
    build("stripped", &["-ldflags=-s -w"]),
    build("trimpath", &["-trimpath"]),
    build("pie", &["-buildmode=pie"]),
    build(
        "pie-stripped",
        &["-buildmode=pie", "-trimpath", "-ldflags=-s -w"],
    ),
    Build {
        cgo: true,
        ..build("cgo-internal", &["-ldflags=-linkmode=internal"])
    },
    Build {
        cgo: true,
        ..build("cgo-external", &["-ldflags=-linkmode=external"])
    },
    Build {
        pgo: true,
        ..build("pgo", &[])
    },
    experiment("noallocheaders", &[22]),
    experiment("noswissmap", &[24, 25]),
    experiment("greenteagc", &[25]),
    experiment("nogreenteagc", &[26]),
    experiment("sizespecializedmalloc", &[26]),
    experiment("nosizespecializedmalloc", &[27]),
];

/// The minor number of one of [`RELEASES`].
pub(crate) fn minor(release: &str) -> u32 {
    let minor = release.split('.').nth(1).and_then(|n| n.parse().ok());
    minor.unwrap_or(0)
}

impl Build {
    /// Whether this release has such a build; the reason where it has not.
    pub(crate) fn fits(&self, release: &str) -> Result<(), &'static str> {
        if !self.only.is_empty() && !self.only.contains(&minor(release)) {
            return Err("");
        }
        if self.pgo && minor(release) < PGO_SINCE {
            return Err("no PGO yet");
        }
        Ok(())
    }
}

/// Every release with every build it has.
pub(crate) fn all() -> Vec<(&'static str, &'static Build)> {
    let pairs = RELEASES
        .iter()
        .flat_map(|release| BUILDS.iter().map(move |build| (*release, build)));
    pairs
        .filter(|(release, build)| build.fits(release).is_ok())
        .collect()
}

/// Builds it, into a folder of its own below `target/mixed`; cheap where Go finds that nothing has changed.
pub(crate) fn built(task: &str, go: &Go, release: &str, how: &Build) -> Result<PathBuf> {
    let folder = crate::target_dir().join("mixed");
    let profile = folder.join(format!("go{release}-{}.pprof", how.name));
    if how.pgo && !profile.exists() {
        let profiled = folder.join(format!("go{release}-profiled/mixed"));
        compile(task, go, release, how, &["-tags=cpuprofile"], &profiled)?;
        profile_of(&profiled, &profile)?;
    }
    let with_profile = format!("-pgo={}", profile.display());
    let more: &[&str] = if how.pgo { &[&with_profile] } else { &[] };
    let out = folder.join(format!("go{release}-{}/mixed", how.name));
    compile(task, go, release, how, more, &out)?;
    Ok(out)
}

fn compile(
    task: &str,
    go: &Go,
    release: &str,
    how: &Build,
    more: &[&str],
    out: &Path,
) -> Result<()> {
    create_folder(out.parent().context("a program lies in a folder")?)?;
    let mut command = go.command(Some(release));
    command
        .arg("build")
        .args(how.arguments)
        .args(more)
        .arg("-o")
        .arg(out)
        .arg(".")
        .current_dir(crate::root().join("tests/programs/mixed"))
        .env("CGO_ENABLED", if how.cgo { "1" } else { "0" });
    if let Some(experiment) = how.experiment {
        command.env("GOEXPERIMENT", experiment);
    }
    progress::run(
        task,
        &format!("building mixed with Go {release}, {}", how.name),
        &mut command,
    )
}

/// A CPU profile of filling and collecting: what allocates is hot in it, the runtime's own functions too.
fn profile_of(program: &Path, profile: &Path) -> Result<()> {
    let unfinished = profile.with_extension("unfinished");
    let mut command = std::process::Command::new(program);
    command.env("CPUPROFILE", &unfinished).stdin(Stdio::piped());
    let mut running = Running::start("mixed", user::as_user(&mut command))?;
    running.ready()?;
    for command in ["fill 512", "release", "gc", "pace 2000000 2000", "exit 0"] {
        running.ask(command, ANSWER_WITHIN)?;
    }
    running.wait(ANSWER_WITHIN)?;
    std::fs::rename(&unfinished, profile).context("the profile was not written")
}

/// What the program knows of one of its call sites.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(crate) struct Site {
    pub(crate) policy: String,
    /// Its objects share blocks of 16 bytes.
    pub(crate) tiny: bool,
    pub(crate) live_objects: u64,
    pub(crate) live_bytes: u64,
    /// Since the mark.
    pub(crate) alloc_objects: u64,
    #[allow(
        dead_code,
        reason = "the whole answer, for who reads it in a debug line"
    )]
    pub(crate) alloc_bytes: u64,
}

/// A running `mixed`; ended when dropped.
#[derive(Debug)]
pub(crate) struct Mixed(Running);

impl Mixed {
    /// Starts it and waits until it is ready.
    pub(crate) fn start(program: &Path, arguments: &[&str]) -> Result<Self> {
        Self::start_with(program, arguments, &[])
    }

    /// The same with environment variables.
    pub(crate) fn start_with(
        program: &Path,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<Self> {
        let mut command = std::process::Command::new(program);
        command
            .args(arguments)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped());
        let mut running = Running::start("mixed", user::as_user(&mut command))?;
        running.ready()?;
        Ok(Self(running))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// What it answers behind `ok`.
    pub(crate) fn ask(&mut self, command: &str) -> Result<String> {
        let answer = self.0.ask(command, ANSWER_WITHIN)?;
        Ok(answer.trim_start_matches("ok").trim().to_owned())
    }

    pub(crate) fn ask_number(&mut self, command: &str) -> Result<u64> {
        let answer = self.ask(command)?;
        let number = answer.parse();
        number.with_context(|| format!("mixed answered {command:?} with {answer:?}"))
    }

    /// The truth, by function.
    pub(crate) fn truth(&mut self) -> Result<BTreeMap<String, Site>> {
        serde_json::from_str(&self.ask("truth")?).context("the truth is JSON")
    }

    /// Has it end as told; fails where it does not.
    pub(crate) fn exit(mut self) -> Result<()> {
        const STATUS: i32 = 7;
        self.ask(&format!("exit {STATUS}"))?;
        let status = self.0.wait(ANSWER_WITHIN)?;
        anyhow::ensure!(
            status.is_some_and(|status| status.code() == Some(STATUS)),
            "mixed ended with {status:?} and not as told"
        );
        Ok(())
    }
}
