//! One line of JSON per look: the contract for scripts, schema `heaptop.sites/1`.
//!
//! Unknown is `null`, never 0. `alloc_*` count from the attach, `growth_*` from the baseline, in-use and
//! growth are those after the last final GC cycle; `_err` is one standard error.

use jiff::Timestamp;
use serde::Serialize;

use crate::model::Model;
use crate::model::rows::{GroupBy, Query, Rate, SiteRow, Status};
use crate::view::order::Sort;

#[derive(Serialize)]
struct Line<'a> {
    schema: &'static str,
    at: String,
    source: &'static str,
    rate_bytes: Option<u64>,
    target: Target<'a>,
    heap: Heap,
    overhead: Overhead,
    losses: Losses,
    sites: Vec<Site<'a>>,
    sites_omitted: usize,
}

#[derive(Serialize)]
struct Target<'a> {
    pid: u32,
    name: &'a str,
    go: &'a str,
    started_at: String,
    exited: bool,
    notes: &'a [String],
}

#[derive(Serialize)]
struct Heap {
    live_bytes: Option<u64>,
    goal_bytes: Option<u64>,
    gc_cycles: Option<u32>,
    rss_bytes: Option<u64>,
}

#[derive(Serialize)]
struct Overhead {
    hits_per_sec: Option<f64>,
    cpu_fraction: Option<f64>,
    // The governor's; null where there is none.
    on_fraction: Option<f64>,
    max_cpu_fraction: Option<f64>,
}

#[derive(Serialize)]
struct Losses {
    lost: Option<u64>,
    repaired: Option<u64>,
    truncated_stacks: u64,
    unnamed_pcs: u64,
}

#[derive(Serialize)]
struct Site<'a> {
    function: &'a str,
    file: Option<&'a str>,
    line: Option<u32>,
    inuse_bytes: i64,
    inuse_bytes_err: i64,
    inuse_objects: i64,
    inuse_objects_err: i64,
    samples: u64,
    growth_bytes: Option<i64>,
    growth_objects: Option<i64>,
    growth_bytes_per_min: Option<f64>,
    growth_bytes_per_min_err: Option<f64>,
    growth_objects_per_min: Option<f64>,
    alloc_bytes: Option<i64>,
    alloc_objects: Option<i64>,
    alloc_bytes_per_sec: Option<f64>,
    // Diagnosis fills these; until it exists nothing is known of them.
    verdict: Option<&'a str>,
    evidence: Option<()>,
    via: Option<()>,
    leak: Option<&'a str>,
    r#type: Option<&'a str>,
}

/// The line of this moment, without a line end.
///
/// * `by`: what a site is; the name of a package or a type stands for that of its function.
/// * `top`: most sites in it; the others are counted in `sites_omitted`.
pub fn line(model: &Model, by: GroupBy, sort: Sort, top: usize) -> String {
    let mut rows = model.sites(&Query {
        by,
        cumulative: false,
    });
    rows.sort_by(|a, b| sort.compare(a, b, false));
    let sites_omitted = rows.len().saturating_sub(top);
    let target = model.target();
    let heap = model.heap();
    let losses = model.losses();
    let overhead = model.overhead();
    let by_probes = overhead.is_some();
    let duty = model.duty();
    let line = Line {
        schema: "heaptop.sites/1",
        at: timestamp(target.unix_ns(model.now_ns())),
        source: target.source.word(),
        rate_bytes: model.rate_bytes(),
        target: Target {
            pid: target.pid,
            name: &target.name,
            go: &target.go,
            started_at: timestamp(target.started_unix_ns),
            exited: *model.status() != Status::Live,
            notes: &target.notes,
        },
        heap: Heap {
            live_bytes: heap.live_bytes,
            goal_bytes: heap.goal_bytes,
            gc_cycles: heap.gc_cycles,
            rss_bytes: heap.rss_bytes,
        },
        overhead: Overhead {
            hits_per_sec: overhead.and_then(|o| o.hits_per_sec),
            cpu_fraction: overhead.and_then(|o| o.cpu_fraction),
            on_fraction: duty.map(|duty| duty.on_fraction),
            max_cpu_fraction: duty.map(|duty| duty.max_cpu_fraction),
        },
        losses: Losses {
            lost: by_probes.then_some(losses.lost),
            repaired: by_probes.then_some(losses.repaired),
            truncated_stacks: losses.truncated_stacks,
            unnamed_pcs: losses.unnamed_pcs,
        },
        sites: rows.iter().take(top).map(site).collect(),
        sites_omitted,
    };
    // Plain structs of numbers and strings: serde_json has nothing to fail on.
    serde_json::to_string(&line).unwrap_or_default()
}

fn site(row: &SiteRow) -> Site<'_> {
    let rate = |field: fn(&Rate) -> f64| row.rate.as_ref().map(field);
    let known = |file: &str| !file.is_empty() && file != "?";
    Site {
        function: &row.function,
        file: known(&row.file).then_some(&row.file),
        line: (row.line > 0).then_some(row.line),
        inuse_bytes: whole(row.inuse.bytes),
        inuse_bytes_err: whole(row.inuse.bytes_err),
        inuse_objects: whole(row.inuse.objects),
        inuse_objects_err: whole(row.inuse.objects_err),
        samples: row.samples,
        growth_bytes: row.growth.map(|growth| whole(growth.bytes)),
        growth_objects: row.growth.map(|growth| whole(growth.objects)),
        growth_bytes_per_min: rate(|rate| rate.bytes_per_min),
        growth_bytes_per_min_err: rate(|rate| rate.bytes_per_min_err),
        growth_objects_per_min: rate(|rate| rate.objects_per_min),
        alloc_bytes: row.alloc.total.map(|total| whole(total.bytes)),
        alloc_objects: row.alloc.total.map(|total| whole(total.objects)),
        alloc_bytes_per_sec: row.alloc.bytes_per_sec,
        verdict: None,
        evidence: None,
        via: None,
        leak: None,
        r#type: row.go_type.as_deref(),
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
