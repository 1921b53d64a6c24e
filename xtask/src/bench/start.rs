//! From the start of heaptop to its first rows with names.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use serde_json::Value;

use super::{
    Tools,
    stats::{Median, median},
};
use crate::{processes::Running, progress::say, user};

const FIRST_LINE_WITHIN: Duration = Duration::from_secs(30);
/// The big program keeps 1.3 MB a second: after this a few samples.
const SAMPLES_AFTER: Duration = Duration::from_secs(5);

/// Seconds to the first line.
pub(super) struct Start {
    /// The gateway's binary, small.
    pub(super) small: Median,
    /// The stripped one of real size, its file in the cache.
    pub(super) warm: Median,
    /// The same with what is not mapped of it dropped from the cache.
    pub(super) dropped: Median,
    /// Size of that file.
    pub(super) bytes: u64,
}

/// Measures `rounds` starts of each kind, interleaved.
pub(super) fn measure(tools: &Tools, small_pid: u32, big: &Path, rounds: usize) -> Result<Start> {
    say(
        "bench",
        &format!("start to first rows: {rounds} rounds of three starts"),
    );
    let mut command = Command::new(big);
    // It ends when its standard input does.
    command.stdin(Stdio::piped());
    let mut target = Running::start("the program of real size", user::as_user(&mut command))?;
    target.ready()?;
    thread::sleep(SAMPLES_AFTER);
    let (mut small, mut warm, mut dropped) = (vec![], vec![], vec![]);
    for _ in 0..rounds {
        small.push(one(tools, small_pid)?);
        warm.push(one(tools, target.pid())?);
        let file = File::open(big).with_context(|| format!("cannot open {}", big.display()))?;
        posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)
            .context("cannot drop a file from the cache")?;
        dropped.push(one(tools, target.pid())?);
    }
    Ok(Start {
        small: median(&small).context("there is at least one round")?,
        warm: median(&warm).context("there is at least one round")?,
        dropped: median(&dropped).context("there is at least one round")?,
        bytes: fs::metadata(big)?.len(),
    })
}

/// Seconds of one start.
fn one(tools: &Tools, pid: u32) -> Result<f64> {
    let begin = Instant::now();
    let mut heaptop = tools.heaptop(&["--json", "--count=1", &pid.to_string()])?;
    let line = heaptop.expect_line(FIRST_LINE_WITHIN)?;
    let seconds = begin.elapsed().as_secs_f64();
    heaptop.end()?;
    let line: Value = serde_json::from_str(&line).context("heaptop writes JSON lines")?;
    let sites = line["sites"].as_array().context("a line has sites")?;
    ensure!(!sites.is_empty(), "the first line has no row yet");
    ensure!(
        sites.iter().all(|site| site["function"]
            .as_str()
            .is_some_and(|name| !name.starts_with("0x"))),
        "the first line has rows without a name"
    );
    Ok(seconds)
}
