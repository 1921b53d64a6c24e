//! `heaptop.process/1`: the process as a whole: its verdict, leaks, limit, what its memory is, goroutines and GC.

use serde::Serialize;

use super::evidence::{PerCall, ends, growing_per};
use super::{Place, Target, timestamp, watched_seconds};
use crate::model::Model;
use crate::model::anatomy::{self, Moment, Part};
use crate::model::findings::{self, Findings, Kind, RssCause, RssOutcome, Word};
use crate::model::goroutines::{GoroutineGroup, Goroutines};
use crate::model::rows::{Cycle, Exit, Status};
use crate::view::words;

/// Most groups of goroutines in a line, the largest and those that grow; the others are counted.
const MAX_GROUPS: usize = 50;
/// GOGC=off as `debug.SetGCPercent` has it.
const GOGC_OFF: i64 = -1;

#[derive(Serialize)]
struct Line<'a> {
    schema: &'static str,
    at: String,
    watched_seconds: f64,
    target: Option<Target<'a>>,
    exit: Option<Exit>,
    verdict: Verdict,
    leaks: Vec<Leak<'a>>,
    leaks_omitted: u64,
    suspects: Vec<Suspect<'a>>,
    observations: Vec<String>,
    limit: Option<Limit>,
    seconds_to_limit: Option<f64>,
    seconds_to_limit_low: Option<f64>,
    seconds_to_limit_high: Option<f64>,
    anatomy: Option<Anatomy>,
    goroutines: Option<AllGoroutines<'a>>,
    gc: Gc,
    calls: Option<Calls>,
}

#[derive(Serialize)]
struct Verdict {
    word: &'static str,
    kind: Option<&'static str>,
    text: String,
    live_bytes_per_min: Option<f64>,
    live_bytes_per_min_low: Option<f64>,
    live_bytes_per_min_high: Option<f64>,
    rss_bytes_per_min: Option<f64>,
    rss_bytes_per_min_low: Option<f64>,
    rss_bytes_per_min_high: Option<f64>,
    rss_factor: Option<f64>,
    rss_predicted_bytes_per_min: Option<f64>,
    rss_measured_bytes_per_min: Option<f64>,
    rss_measured_bytes_per_min_low: Option<f64>,
    rss_measured_bytes_per_min_high: Option<f64>,
    rss_comparison: Option<&'static str>,
    rss_cause: Option<&'static str>,
    growing: Vec<GrowingKind>,
    by_chance: Option<f64>,
    growth_parts: Vec<GrowthPart>,
    steady_below_bytes_per_min: Option<f64>,
    missing_samples: Option<u64>,
    missing_cycles: Option<u32>,
    seconds_to_answer: Option<f64>,
}

/// A kind that grows.
#[derive(Serialize)]
struct GrowingKind {
    kind: &'static str,
    word: &'static str,
    per_min: Option<f64>,
    per_min_low: Option<f64>,
    per_min_high: Option<f64>,
}

#[derive(Serialize)]
struct Suspect<'a> {
    function: &'a str,
    via: Option<&'a str>,
    bytes: i64,
    share_low: Option<f64>,
    share_high: Option<f64>,
    samples: u64,
    born: u64,
    freed: u64,
    history: Option<History>,
}

/// What the profile recorded since the start of the process.
#[derive(Serialize)]
struct History {
    seconds: f64,
    born: u64,
    freed: u64,
    bytes_per_min: Option<f64>,
    bytes_per_min_low: Option<f64>,
    bytes_per_min_high: Option<f64>,
    says: &'static str,
}

#[derive(Serialize)]
struct GrowthPart {
    kind: &'static str,
    bytes: i64,
    share: f64,
}

#[derive(Serialize)]
struct Leak<'a> {
    letter: char,
    kind: &'static str,
    word: &'static str,
    under: Option<Place<'a>>,
    via: Option<Place<'a>>,
    sites: Vec<&'a str>,
    share_bytes: Option<f64>,
    share_bytes_low: Option<f64>,
    share_bytes_high: Option<f64>,
    share_objects: Option<f64>,
    bytes_per_min: Option<f64>,
    bytes_per_min_low: Option<f64>,
    bytes_per_min_high: Option<f64>,
    objects_per_min: Option<f64>,
    objects_per_min_low: Option<f64>,
    objects_per_min_high: Option<f64>,
    growing_per: Option<&'static str>,
    per_call: Option<PerCall<'a>>,
    driver: Option<Driver<'a>>,
    history: Option<History>,
    in_step: &'a [char],
    text: String,
}

/// The function that drives a leak.
#[derive(Serialize)]
struct Driver<'a> {
    function: &'a str,
    bytes_per_call: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    goroutines_per_call: Option<f64>,
    calls: u64,
}

#[derive(Serialize)]
struct Limit {
    kind: &'static str,
    bytes: u64,
}

#[derive(Serialize)]
struct Resident {
    at: String,
    rss_bytes: u64,
    live_bytes: u64,
    garbage_bytes: u64,
    waste_bytes: u64,
    idle_bytes: u64,
    stack_bytes: u64,
    metadata_bytes: u64,
    globals_bytes: u64,
    anon_bytes: u64,
    file_bytes: u64,
    unexplained_bytes: i64,
}

#[derive(Serialize)]
struct Anatomy {
    #[serde(flatten)]
    now: Resident,
    peak: Resident,
    cgroup: Option<Cgroup>,
    swap_bytes: u64,
}

#[derive(Serialize)]
#[allow(
    clippy::struct_field_names,
    reason = "units are part of the names of fields in the contract"
)]
struct Cgroup {
    usage_bytes: u64,
    page_cache_bytes: Option<u64>,
    kernel_bytes: Option<u64>,
    anon_bytes: Option<u64>,
    limit_bytes: Option<u64>,
}

#[derive(Serialize)]
struct AllGoroutines<'a> {
    count: u64,
    growth: Option<i64>,
    stack_bytes: u64,
    groups: Vec<Group<'a>>,
    groups_omitted: usize,
}

#[derive(Serialize)]
struct Group<'a> {
    created_by: Option<Place<'a>>,
    start: Place<'a>,
    count: u64,
    growth: Option<i64>,
    verdict: Option<&'static str>,
    wait_reason: Option<&'a str>,
    longest_wait_s: Option<f64>,
    stack_bytes: u64,
    leak: Option<char>,
}

#[derive(Serialize)]
struct Gc {
    gogc: Option<i64>,
    gomemlimit_bytes: Option<u64>,
    cycles_seen: u64,
    cycles: Vec<GcCycle>,
    estimated_before_attach: Vec<EstimatedGcCycle>,
}

#[derive(Serialize)]
struct EstimatedGcCycle {
    at: String,
    live_bytes: u64,
}

#[derive(Serialize)]
struct GcCycle {
    number: u32,
    at: String,
    live_bytes: u64,
    goal_bytes: Option<u64>,
    start_bytes: Option<u64>,
    mark_ms: Option<f64>,
    pause_ms: Option<f64>,
    forced: Option<bool>,
    alloc_bytes_per_sec: Option<f64>,
}

#[derive(Serialize)]
struct Calls {
    function: String,
    per_sec: Option<f64>,
    total: f64,
    counted_fraction: f64,
    is_windowed: bool,
}

/// The line of this moment, without a line end.
///
/// `n_cycles`: the latest GC cycles in it, at most.
pub fn process_line(model: &Model, n_cycles: usize) -> String {
    let findings = model.findings();
    let goroutines = model.goroutines();
    let [in_s, in_s_low, in_s_high] = ends(
        findings
            .limit
            .as_ref()
            .and_then(|limit| limit.in_s.as_ref()),
    );
    let line = Line {
        schema: "heaptop.process/1",
        at: at(model, model.now_ns()),
        watched_seconds: watched_seconds(model),
        target: Target::of(model),
        exit: match *model.status() {
            Status::Exited { exit, .. } => Some(exit),
            Status::Live => None,
        },
        verdict: verdict(&findings),
        leaks: findings.leaks.iter().map(leak).collect(),
        leaks_omitted: findings.omitted,
        suspects: findings.suspects.iter().map(suspect).collect(),
        observations: words::observations(&findings, model.now_ns()),
        limit: findings.limit.as_ref().map(|limit| Limit {
            kind: limit.kind.word(),
            bytes: limit.bytes,
        }),
        seconds_to_limit: in_s,
        seconds_to_limit_low: in_s_low,
        seconds_to_limit_high: in_s_high,
        anatomy: model.anatomy().map(|anatomy| resident(model, anatomy)),
        goroutines: goroutines.as_ref().map(|all| groups(all, &findings)),
        gc: gc(model, n_cycles),
        calls: model.calls().map(|calls| Calls {
            function: calls.function.to_string(),
            per_sec: calls.per_sec,
            total: calls.total,
            counted_fraction: calls.counted_fraction,
            is_windowed: calls.is_windowed,
        }),
    };
    // Plain structs of numbers and strings: serde_json has nothing to fail on.
    serde_json::to_string(&line).unwrap_or_default()
}

fn at(model: &Model, at_ns: u64) -> String {
    timestamp(model.target().unix_ns(at_ns))
}

fn verdict(findings: &Findings) -> Verdict {
    let process = &findings.process;
    let live = ends(process.live_bytes_per_min.as_ref());
    let rss = ends(process.rss_bytes_per_min.as_ref());
    let compared = process.rss_comparison.as_ref();
    let measured = ends(compared.map(|compared| &compared.measured));
    let outcome = compared.map(|compared| compared.outcome);
    let missing = process.missing.as_ref();
    let limit = words::limit(findings).map_or_else(String::new, |limit| format!(" {limit}"));
    Verdict {
        word: process.word.word(),
        kind: process.kind.map(Kind::word),
        text: words::process(findings) + &limit,
        live_bytes_per_min: live[0],
        live_bytes_per_min_low: live[1],
        live_bytes_per_min_high: live[2],
        rss_bytes_per_min: rss[0],
        rss_bytes_per_min_low: rss[1],
        rss_bytes_per_min_high: rss[2],
        rss_factor: process.rss_factor,
        rss_predicted_bytes_per_min: compared
            .and_then(|compared| compared.predicted)
            .map(|predicted| predicted.value),
        rss_measured_bytes_per_min: measured[0],
        rss_measured_bytes_per_min_low: measured[1],
        rss_measured_bytes_per_min_high: measured[2],
        rss_comparison: outcome.map(RssOutcome::word),
        rss_cause: outcome.and_then(RssOutcome::cause).map(RssCause::word),
        growing: process.kinds.iter().map(growing_kind).collect(),
        by_chance: process.by_chance,
        growth_parts: process
            .parts
            .iter()
            .map(|part| GrowthPart {
                kind: part.kind.word(),
                bytes: super::whole(part.bytes),
                share: part.share,
            })
            .collect(),
        steady_below_bytes_per_min: process.steady_below_bytes_per_min,
        missing_samples: missing.map(|missing| missing.samples),
        missing_cycles: missing.map(|missing| missing.cycles),
        seconds_to_answer: missing.and_then(|missing| missing.answer_in_s),
    }
}

fn leak(leak: &findings::Leak) -> Leak<'_> {
    let evidence = &leak.evidence;
    let bytes = ends(evidence.bytes_per_min.as_ref());
    let objects = ends(evidence.objects_per_min.as_ref());
    let share = ends(leak.share_bytes.as_ref());
    Leak {
        letter: leak.letter,
        kind: leak.kind.word(),
        word: leak.word.word(),
        under: leak.under.as_deref().map(Place::of),
        via: leak.via.as_deref().map(Place::of),
        sites: leak
            .sites
            .iter()
            .map(|site| &*site.frame.function)
            .collect(),
        share_bytes: share[0],
        share_bytes_low: share[1],
        share_bytes_high: share[2],
        share_objects: leak.share_objects,
        bytes_per_min: bytes[0],
        bytes_per_min_low: bytes[1],
        bytes_per_min_high: bytes[2],
        objects_per_min: objects[0],
        objects_per_min_low: objects[1],
        objects_per_min_high: objects[2],
        growing_per: growing_per(evidence.grows_with),
        per_call: evidence.per_call.as_ref().map(PerCall::of),
        driver: leak.driver.as_ref().map(driver),
        history: leak.since_start.as_ref().map(history),
        in_step: &leak.in_step,
        text: words::leak(leak),
    }
}

fn driver(driver: &findings::Driver) -> Driver<'_> {
    let [bytes_per_call, low, high] = ends(driver.bytes.as_ref());
    Driver {
        function: &driver.function,
        bytes_per_call,
        low,
        high,
        goroutines_per_call: driver.goroutines.map(|each| each.value),
        calls: driver.calls,
    }
}

fn growing_kind(grows: &findings::GrowingKind) -> GrowingKind {
    let [per_min, per_min_low, per_min_high] = ends(grows.per_min.as_ref());
    GrowingKind {
        kind: grows.kind.word(),
        word: grows.word.word(),
        per_min,
        per_min_low,
        per_min_high,
    }
}

fn suspect(suspect: &findings::Suspect) -> Suspect<'_> {
    let [_, share_low, share_high] = ends(suspect.share.as_ref());
    Suspect {
        function: &suspect.frame.function,
        via: suspect.via.as_ref().map(|via| &*via.function),
        bytes: super::whole(suspect.bytes),
        share_low,
        share_high,
        samples: suspect.samples,
        born: suspect.born,
        freed: suspect.freed,
        history: suspect.since_start.as_ref().map(history),
    }
}

fn history(since: &findings::SinceStart) -> History {
    let [bytes_per_min, bytes_per_min_low, bytes_per_min_high] = ends(since.bytes_per_min.as_ref());
    History {
        seconds: since.seconds,
        born: since.born,
        freed: since.freed,
        bytes_per_min,
        bytes_per_min_low,
        bytes_per_min_high,
        says: since.says.word(),
    }
}

fn resident(model: &Model, anatomy: &anatomy::Anatomy) -> Anatomy {
    Anatomy {
        now: moment(model, &anatomy.now),
        peak: moment(model, &anatomy.peak),
        cgroup: anatomy.cgroup.as_ref().map(|cgroup| Cgroup {
            usage_bytes: cgroup.usage_bytes,
            page_cache_bytes: cgroup.file_bytes,
            kernel_bytes: cgroup.kernel_bytes,
            anon_bytes: cgroup.anon_bytes,
            limit_bytes: cgroup.max.map(|max| max.limit_bytes),
        }),
        swap_bytes: anatomy.swap_bytes,
    }
}

fn moment(model: &Model, moment: &Moment) -> Resident {
    let part = |part| moment.parts.get(part);
    Resident {
        at: at(model, moment.at_ns),
        rss_bytes: moment.rss_bytes,
        live_bytes: part(Part::Live),
        garbage_bytes: part(Part::Garbage),
        waste_bytes: part(Part::Waste),
        idle_bytes: part(Part::Idle),
        stack_bytes: part(Part::Stacks),
        metadata_bytes: part(Part::Metadata),
        globals_bytes: part(Part::Globals),
        anon_bytes: part(Part::Anon),
        file_bytes: part(Part::File),
        unexplained_bytes: moment.unexplained_bytes(),
    }
}

fn groups<'a>(all: &'a Goroutines, findings: &Findings) -> AllGoroutines<'a> {
    // Largest first as they come; one that grows is told however small it is still.
    let mut told: Vec<&GoroutineGroup> = all.groups.iter().collect();
    told.sort_by_key(|group| !grows(group));
    let groups_omitted = told.len().saturating_sub(MAX_GROUPS);
    told.truncate(MAX_GROUPS);
    AllGoroutines {
        count: all.count,
        growth: all.growth,
        stack_bytes: all.stack_bytes,
        groups: told.into_iter().map(|one| group(one, findings)).collect(),
        groups_omitted,
    }
}

fn grows(group: &GoroutineGroup) -> bool {
    let verdict = group.verdict.as_ref();
    verdict.is_some_and(|verdict| verdict.word == Word::Growing)
}

fn group<'a>(group: &'a GoroutineGroup, findings: &Findings) -> Group<'a> {
    let leak = findings.leaks.iter().find(|leak| leak.is_of(group));
    let own = group.verdict.as_ref().map(|verdict| verdict.word);
    let word = match (own, leak) {
        // The number of all goroutines grows, and this group leads it.
        (None | Some(Word::Collecting), Some(leak)) => Some(leak.word),
        (Some(own), Some(_)) if own.is_quiet() => Some(Word::PartOfLeak),
        (own, _) => own,
    };
    Group {
        created_by: group.created_by.as_deref().map(Place::of),
        start: Place::of(&group.start),
        count: group.count,
        growth: group.growth,
        verdict: word.map(Word::word),
        wait_reason: group.waits.first().map(|(reason, _)| &**reason),
        longest_wait_s: group.longest_wait_ns.map(|ns| ns as f64 / 1e9),
        stack_bytes: group.stack_bytes,
        leak: leak.map(|leak| leak.letter),
    }
}

fn gc(model: &Model, n_cycles: usize) -> Gc {
    let settings = model.gc_settings();
    let cycles = model.cycles();
    let skipped = cycles.len().saturating_sub(n_cycles);
    Gc {
        gogc: settings.map(|settings| settings.gogc.map_or(GOGC_OFF, i64::from)),
        gomemlimit_bytes: settings.and_then(|settings| settings.memory_limit_bytes),
        cycles_seen: model.cycles_seen(),
        cycles: cycles
            .skip(skipped)
            .map(|cycle| gc_cycle(model, cycle))
            .collect(),
        estimated_before_attach: estimated_gc_cycles(model, n_cycles),
    }
}

/// At most `n_cycles` of the cycles before the attach, evenly chosen.
fn estimated_gc_cycles(model: &Model, n_cycles: usize) -> Vec<EstimatedGcCycle> {
    let cycles = model.estimated_cycles();
    let step = cycles.len().div_ceil(n_cycles.max(1)).max(1);
    let attached_unix_ns = model.target().attached_unix_ns;
    (cycles.iter().step_by(step))
        .map(|cycle| EstimatedGcCycle {
            at: timestamp(attached_unix_ns.saturating_sub_unsigned(cycle.before_attach_ns)),
            live_bytes: cycle.live_bytes,
        })
        .collect()
}

fn gc_cycle(model: &Model, cycle: &Cycle) -> GcCycle {
    let ms = |ns: u64| ns as f64 / 1e6;
    GcCycle {
        number: cycle.number,
        at: at(model, cycle.at_ns),
        live_bytes: cycle.live_bytes,
        goal_bytes: cycle.goal_bytes,
        start_bytes: cycle.start_bytes,
        mark_ms: cycle.mark_ns.map(ms),
        pause_ms: cycle.pause_ns.map(ms),
        forced: cycle.forced,
        alloc_bytes_per_sec: cycle.alloc_bytes_per_sec,
    }
}
