//! Lines of JSON, the contract for scripts: `heaptop.sites/1` and `heaptop.process/1`, as `docs/json.md` describes them.
//!
//! Unknown is `null`, never 0; so is what is infinite. Bytes are whole, rates are not. `alloc_*` count from the attach,
//! `growth_*` from the baseline, in-use and growth are those after the last final GC cycle; `_err` is one standard
//! error, `_low` and `_high` hold the truth in 90 of 100 cases.

mod evidence;
mod process;
mod sites;

use jiff::Timestamp;
use serde::Serialize;

use crate::go::frame::Frame;
use crate::model::Model;
use crate::model::rows::Status;

pub use process::process_line;
pub use sites::line;

/// What is watched.
#[derive(Serialize)]
struct Target<'a> {
    pid: u32,
    name: &'a str,
    go: &'a str,
    started_at: String,
    exited: bool,
    notes: &'a [String],
}

impl<'a> Target<'a> {
    /// `None` for a stream that does not name its process.
    fn of(model: &'a Model) -> Option<Self> {
        let target = model.target();
        Some(Self {
            pid: target.pid?,
            name: &target.name,
            go: &target.go,
            started_at: timestamp(target.started_unix_ns),
            exited: *model.status() != Status::Live,
            notes: &target.notes,
        })
    }
}

/// Seconds from the attach to the latest event.
fn watched_seconds(model: &Model) -> f64 {
    let attached_ns = model.target().attached_ns;
    model.now_ns().saturating_sub(attached_ns) as f64 / 1e9
}

/// A function and where in it.
#[derive(Serialize)]
struct Place<'a> {
    function: &'a str,
    file: Option<&'a str>,
    line: Option<u32>,
}

impl<'a> Place<'a> {
    fn new(function: &'a str, file: &'a str, line: u32) -> Self {
        Self {
            function,
            file: (!matches!(file, "" | "?")).then_some(file),
            line: (line > 0).then_some(line),
        }
    }

    fn of(frame: &'a Frame) -> Self {
        Self::new(&frame.function, &frame.file, frame.line)
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "rounded, and far below 2^63"
)]
fn whole(value: f64) -> i64 {
    value.round() as i64
}

/// RFC 3339 in UTC with milliseconds.
fn timestamp(unix_ns: i64) -> String {
    Timestamp::from_nanosecond(i128::from(unix_ns))
        .map_or_else(|_| String::new(), |at| format!("{at:.3}"))
}
