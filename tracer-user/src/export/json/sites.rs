//! `heaptop.sites/1`: the call sites of a moment, each with its verdict.

use serde::Serialize;

use super::evidence::Evidence;
use super::{Place, Target, timestamp, watched_seconds, whole};
use crate::model::Model;
use crate::model::findings::Findings;
use crate::model::rows::{GroupBy, Query, Rate, SiteRow};
use crate::view::order::Sort;
use crate::view::words;

#[derive(Serialize)]
struct Line<'a> {
    schema: &'static str,
    at: String,
    watched_seconds: f64,
    source: &'static str,
    rate_bytes: Option<u64>,
    target: Option<Target<'a>>,
    heap: Heap,
    overhead: Overhead,
    losses: Losses,
    sites: Vec<Site<'a>>,
    sites_omitted: usize,
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
    kept_share: Option<f64>,
    growth_bytes: Option<i64>,
    growth_objects: Option<i64>,
    growth_bytes_per_min: Option<f64>,
    growth_bytes_per_min_err: Option<f64>,
    growth_objects_per_min: Option<f64>,
    alloc_bytes: Option<i64>,
    alloc_objects: Option<i64>,
    alloc_bytes_per_sec: Option<f64>,
    // Null for groupings that are not judged.
    verdict: Option<&'static str>,
    evidence: Option<Evidence<'a>>,
    via: Option<Place<'a>>,
    leak: Option<char>,
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
    let findings = model.findings();
    let line = Line {
        schema: "heaptop.sites/1",
        at: timestamp(target.unix_ns(model.now_ns())),
        watched_seconds: watched_seconds(model),
        source: target.source.word(),
        rate_bytes: model.rate_bytes(),
        target: Target::of(model),
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
        sites: rows
            .iter()
            .take(top)
            .map(|row| site(row, &findings))
            .collect(),
        sites_omitted,
    };
    // Plain structs of numbers and strings: serde_json has nothing to fail on.
    serde_json::to_string(&line).unwrap_or_default()
}

fn site<'a>(row: &'a SiteRow, findings: &Findings) -> Site<'a> {
    let rate = |field: fn(&Rate) -> f64| row.rate.as_ref().map(field);
    let place = Place::new(&row.function, &row.file, row.line);
    Site {
        function: place.function,
        file: place.file,
        line: place.line,
        inuse_bytes: whole(row.inuse.bytes),
        inuse_bytes_err: whole(row.inuse.bytes_err),
        inuse_objects: whole(row.inuse.objects),
        inuse_objects_err: whole(row.inuse.objects_err),
        samples: row.samples,
        kept_share: row.kept,
        growth_bytes: row.growth.map(|growth| whole(growth.bytes)),
        growth_objects: row.growth.map(|growth| whole(growth.objects)),
        growth_bytes_per_min: rate(|rate| rate.bytes_per_min),
        growth_bytes_per_min_err: rate(|rate| rate.bytes_per_min_err),
        growth_objects_per_min: rate(|rate| rate.objects_per_min),
        alloc_bytes: row.alloc.total.map(|total| whole(total.bytes)),
        alloc_objects: row.alloc.total.map(|total| whole(total.objects)),
        alloc_bytes_per_sec: row.alloc.bytes_per_sec,
        verdict: row.verdict.as_ref().map(|verdict| verdict.word.word()),
        evidence: row.verdict.as_ref().map(|verdict| {
            let text = words::site(row, findings).join(" ");
            Evidence::of(&verdict.evidence, text)
        }),
        via: row.via.as_deref().map(Place::of),
        leak: row.leak,
        r#type: row.go_type.as_deref(),
    }
}
