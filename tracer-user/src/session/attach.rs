//! From a pid to everything that a session runs on: which source fits, its probes, what the user has to know of it.

use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

use super::calls::CallsReader;
use super::collector::Collector;
use super::edge::Edge;
use super::marks_reader::MarksReader;
use crate::cli::SourceChoice;
use crate::clock::{local_time, monotonic_ns, unix_ns};
use crate::go::alloc_counters::AllocCounters;
use crate::go::memstats::HeapFigures;
use crate::go::profile::MappedFile;
use crate::go::size_classes::CLASS_BYTES;
use crate::listed::Offer;
use crate::model::rows::{History, Source, Target};
use crate::plan::calls::CallsPlan;
use crate::plan::{self, ProbePlan, Wanted};
use crate::probe::leftovers::Noted;
use crate::probe::{
    AllocLayout, AllocSettings, EndSettings, LoadSettings, Loader, Probes, TaskLayout,
};
use crate::process::arm::{self, Armed, ArmedBy};
use crate::process::go_process::GoProcess;
use crate::process::wait_status;
use crate::refusal::Refusal;
use crate::source;
use crate::source::governor::{ASSUMED_HIT_NS, DEFAULT_MAX_CPU_FRACTION, least_cpu_fraction};
use crate::symbolize::Symbolizer;

/// `exact` follows so many objects of the live heap: a site with a twentieth of it has 800 samples, an error of 4 %.
const FOLLOWED_OBJECTS: u64 = 16_384;
/// Densest and thinnest that `exact` samples, bytes: below, a record would come with most allocations; above is the
/// runtime's own rate.
const MIN_RATE_BYTES: u64 = 4 << 10;
const MAX_RATE_BYTES: u64 = 512 << 10;
/// Ring of the sources that trap for many allocations: a record of a span takes 216 bytes, and 10 000 a second come.
const ALLOC_RING_BYTES: u32 = 4 << 20;
/// How long allocations are counted before `exact` is begun.
const RATE_LOOK: Duration = Duration::from_millis(200);

/// How to attach.
#[derive(Clone, Debug, Default)]
pub struct AttachSettings {
    /// The source to use; `None` for the one that fits.
    pub source: Option<SourceChoice>,
    /// Switch the target's sampler on: see [`Armed`].
    pub arm: bool,
    /// Most that probes of allocations may take, as a share of one CPU; `None` for the default.
    pub max_cpu_fraction: Option<f64>,
    /// The watch ends by itself within a minute: `exact` needs no other bound then.
    pub is_short: bool,
    /// Whose calls are counted.
    pub per: Per,
    /// File to write a copy of every event to.
    pub trace: Option<PathBuf>,
    /// Diagnostics of the kernel side.
    pub log: bool,
    /// Size of the ring buffer, bytes; `None` for the default.
    pub ring_bytes: Option<u32>,
}

impl AttachSettings {
    /// Returns the settings for the next process of a followed target: a trace holds one process.
    #[must_use]
    pub fn without_trace(&self) -> Self {
        Self {
            trace: None,
            ..self.clone()
        }
    }
}

/// Whose calls are counted, so that growth can be told for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Per {
    /// Of the function that serves requests, where one is known.
    #[default]
    Request,
    /// Of this function, by its name or the end of it.
    Function(String),
    /// Nobody's.
    Nothing,
}

/// What an attach gives.
pub(super) struct Attached {
    pub(super) collector: Collector,
    pub(super) target: Target,
    pub(super) symbolizer: Symbolizer,
    pub(super) mappings: Vec<MappedFile>,
    /// Ends of the last GC cycles, oldest first, Unix nanoseconds; empty if unknown.
    pub(super) gc_ends_unix_ns: Vec<u64>,
    pub(super) armed: Option<Armed>,
    pub(super) armed_by: Option<ArmedBy>,
    pub(super) noted: Option<Noted>,
}

/// Attaches to the process `pid`.
pub(super) fn attach(pid: u32, settings: &AttachSettings) -> Result<Attached, Refusal> {
    let no_probes = settings.source == Some(SourceChoice::Buckets);
    let loader = (!no_probes).then(Loader::start);
    let task_layout = (!no_probes).then(|| std::thread::spawn(TaskLayout::of_this_kernel));
    let go = GoProcess::open(pid)?;
    let mut source = choose(&go, settings)?;
    let mut notes = Vec::new();
    let max_cpu_fraction = max_cpu_fraction(&go, source, settings, &mut notes)?;
    // Once: the rate follows the size of the heap, and both sides must know the same.
    let kind = kind(&go, source);
    let placed = match loader {
        Some(loader) => {
            let loader = (loader, task_layout);
            match place(loader, &go, kind, max_cpu_fraction, settings) {
                Ok(placed) => Some(placed),
                Err(refusal) => {
                    notes.push(fall_back(&go, settings, refusal)?);
                    source = Source::Buckets;
                    None
                }
            }
        }
        None => None,
    };
    let (probes, plan, counted, note) = match placed {
        Some(placed) => {
            let Placed {
                probes,
                plan,
                calls,
                noted,
            } = placed;
            notes.extend(plan.notes.iter().cloned());
            (Some(probes), Some(plan), calls, noted)
        }
        None => (None, None, CallsPlan::default(), None),
    };
    // Behind the probes: none of its samples goes unseen. From here on every way out puts the old rate back.
    let armed = settings.arm.then(|| Armed::arm(&go)).transpose()?;
    let armed_by = if armed.is_none() {
        arm::armed_by(pid)
    } else {
        None
    };
    let history = history(armed.as_ref(), armed_by.as_ref(), source, &mut notes);
    let target = Target {
        pid: Some(pid),
        name: go.process.name().to_owned(),
        go: go.program.version.clone(),
        started_unix_ns: go.process.started_unix_ns(),
        attached_ns: monotonic_ns(),
        attached_unix_ns: unix_ns(),
        main_module: go
            .program
            .build
            .main_module
            .as_ref()
            .map(|module| module.path.clone()),
        source,
        history,
        notes,
    };
    let symbolizer = Symbolizer::new(&go);
    let mappings = go.mapped_files();
    let gc_ends_unix_ns = go.gc_ends().unwrap_or_else(|err| {
        log::warn!("the times of earlier GC cycles are unknown: {err}");
        Vec::new()
    });
    let mut edge = Edge::new(go, probes);
    let counts_calls = settings.per != Per::Nothing;
    let begin = || CallsReader::begin(&mut edge, counted, max_cpu_fraction, note.clone());
    let calls = match counts_calls.then(begin).transpose() {
        Ok(calls) => calls.flatten(),
        Err(refusal) if settings.per == Per::Request => {
            log::warn!("no calls are counted: {refusal}");
            None
        }
        Err(refusal) => return Err(refusal),
    };
    let collector = match (kind, plan) {
        (Some(kind), Some(plan)) => {
            let reader = MarksReader::new(&edge, kind, plan, max_cpu_fraction);
            let reader = reader.map_err(|err| unreadable(&target, &err.to_string()))?;
            Collector::of_marks(edge, reader, calls)
        }
        _ => Collector::of_buckets(edge, calls),
    };
    Ok(Attached {
        collector,
        target,
        symbolizer,
        mappings,
        gc_ends_unix_ns,
        armed,
        armed_by,
        noted: note,
    })
}

/// Returns how far back the records of the source reach; notes say why, where that is not the start of the process.
fn history(
    armed: Option<&Armed>,
    armed_by: Option<&ArmedBy>,
    source: Source,
    notes: &mut Vec<String>,
) -> History {
    match (armed, armed_by) {
        (Some(armed), _) => {
            notes.push(format!(
                "armed at {}: what was allocated before is not in the figures",
                local_time(armed.at_unix_ns())
            ));
            History::SinceArmed
        }
        (None, Some(by)) => {
            notes.push(by.to_string());
            History::SinceArmed
        }
        (None, None) if source.is_by_marks() => History::SinceAttach,
        (None, None) => History::SinceStart,
    }
}

/// The source for a process: what was asked for where it works, else what fits.
fn choose(go: &GoProcess, settings: &AttachSettings) -> Result<Source, Refusal> {
    let pid = go.process.pid();
    let rate_bytes = go.figures()?.rate_bytes;
    if settings.arm {
        arm::refuse_where_on(pid, rate_bytes).map_err(|(why, next)| {
            let what = format!("will not arm {} (pid {pid})", go.process.name());
            Refusal::new(what, why, next)
        })?;
        return Ok(Source::Sampler);
    }
    Ok(match settings.source {
        None => match Offer::of(rate_bytes, Ok(())) {
            Offer::Spans => Source::Spans,
            _ => Source::Sampler,
        },
        Some(SourceChoice::Spans) => Source::Spans,
        Some(SourceChoice::Exact) => Source::Exact,
        Some(SourceChoice::Sampler) => {
            go.require_sampling()?;
            Source::Sampler
        }
        Some(SourceChoice::Buckets) => {
            go.require_sampling()?;
            Source::Buckets
        }
    })
}

/// The budget of the allocation probes; refuses `exact` where even its shortest turns would break it.
fn max_cpu_fraction(
    go: &GoProcess,
    source: Source,
    settings: &AttachSettings,
    notes: &mut Vec<String>,
) -> Result<f64, Refusal> {
    match settings.max_cpu_fraction {
        // A look of a bounded time is what the user accepts instead of a bounded share.
        None if settings.is_short && source == Source::Exact => {
            let cpus = allocations_per_sec(go)? * ASSUMED_HIT_NS / 1e9;
            if cpus > DEFAULT_MAX_CPU_FRACTION {
                notes.push(format!(
                    "no budget for so short a look: tracing every allocation takes about {:.0} % of a CPU",
                    cpus * 100.0
                ));
            }
            return Ok(f64::INFINITY);
        }
        Some(max) if max.is_infinite() => return Ok(max),
        _ => {}
    }
    let max = settings
        .max_cpu_fraction
        .unwrap_or(DEFAULT_MAX_CPU_FRACTION);
    if source != Source::Exact {
        return Ok(max);
    }
    let per_sec = allocations_per_sec(go)?;
    let least = least_cpu_fraction(per_sec);
    if least <= max {
        return Ok(max);
    }
    let (name, pid) = (go.process.name(), go.process.pid());
    let percent = (least * 100.0).ceil();
    Err(Refusal::new(
        format!("exact would take too much of {name} (pid {pid})"),
        format!(
            "it allocates {per_sec:.0} times a second: at 1 us each, even 8 ms of each second take {:.1} % of a CPU, and {:.1} % are allowed",
            least * 100.0,
            max * 100.0
        ),
        format!(
            "allow it (heaptop --exact --max-overhead {percent}% {pid}), or look for a short time (heaptop --exact --for 10s {pid})"
        ),
    ))
}

/// Allocations per second, by the runtime's own counters.
fn allocations_per_sec(go: &GoProcess) -> Result<f64, Refusal> {
    let read = || {
        let program = &go.program;
        AllocCounters::read(&go.memory(), program.facts, &program.vars)
            .map_err(|err| go.unreadable(err))
    };
    let (begin, before) = (std::time::Instant::now(), read()?);
    std::thread::sleep(RATE_LOOK);
    let new = read()?.since(&before);
    Ok(new.objects() as f64 / begin.elapsed().as_secs_f64())
}

/// Probes that sit, and what they were placed by.
struct Placed {
    probes: Probes,
    plan: ProbePlan,
    /// To be placed yet.
    calls: CallsPlan,
    noted: Option<Noted>,
}

/// Loads and places the probes of a source.
fn place(
    (loader, task_layout): (Loader, Option<JoinHandle<Option<TaskLayout>>>),
    go: &GoProcess,
    kind: Option<source::Kind>,
    max_cpu_fraction: f64,
    settings: &AttachSettings,
) -> Result<Placed, Refusal> {
    let wanted = match kind {
        Some(source::Kind::Spans) => Wanted::Spans,
        Some(source::Kind::Exact { .. }) => Wanted::Exact,
        None => Wanted::Sampler,
    };
    let plan = plan::plan(&go.program, &*go.image, wanted)?;
    let calls = match &settings.per {
        Per::Nothing => CallsPlan::default(),
        Per::Request => plan::calls::plan(&go.program, &*go.image, None)?,
        Per::Function(function) => plan::calls::plan(&go.program, &*go.image, Some(function))?,
    };
    let bias = go.program.bias;
    let alloc = kind.map(|kind| AllocSettings {
        layout: AllocLayout::of(go.program.facts),
        exact: matches!(kind, source::Kind::Exact { .. }),
        rate_bytes: match kind {
            source::Kind::Exact { rate_bytes } => rate_bytes,
            source::Kind::Spans => 0,
        },
        class_bytes: &CLASS_BYTES,
        mallocgc: plan
            .mallocgc
            .map(|code| (code.start.wrapping_add(bias), code.end.wrapping_add(bias))),
    });
    let end = || {
        let task = task_layout?.join().ok().flatten()?;
        let tgid = go.process.initial_pid()?;
        Some(EndSettings { tgid, task })
    };
    let end = end();
    let ebpf = loader.finish(LoadSettings {
        special: go.program.facts.special,
        jbe_filter: plan.jbe_filter() | calls.jbe_filter(),
        sweepgen: go.program.sweepgen(),
        heap_live: go.program.heap_live(),
        end,
        ring_bytes: settings
            .ring_bytes
            .or(alloc.is_some().then_some(ALLOC_RING_BYTES)),
        log: settings.log,
        alloc,
    })?;
    let noted = Noted::make(go, plan.points.iter().chain(&calls.points));
    let mut probes = Probes::attach(ebpf, &plan, &go.process, max_cpu_fraction, settings.log)?;
    if end.is_some() {
        probes.watch_end(!wait_status::outlives_process());
    }
    Ok(Placed {
        probes,
        plan,
        calls,
        noted,
    })
}

/// Goes on without probes where none can be placed but the runtime's records can be read, unless the user asked for
/// something that needs probes. Returns the note for the user.
fn fall_back(
    go: &GoProcess,
    settings: &AttachSettings,
    refusal: Refusal,
) -> Result<String, Refusal> {
    let asked_for_probes =
        settings.arm || settings.source.is_some() || matches!(settings.per, Per::Function(_));
    if !refusal.lacks_probes {
        return Err(refusal);
    }
    let pid = go.process.pid();
    let next = if refusal.lacks_rights {
        format!("sudo heaptop {pid}")
    } else {
        refusal.next.clone()
    };
    match Offer::of(go.figures()?.rate_bytes, Err(&refusal.why)) {
        Offer::Buckets if !asked_for_probes => {}
        Offer::Nothing(why) if !asked_for_probes => {
            let next = if refusal.lacks_rights {
                next
            } else {
                format!(
                    "run heaptop on the host, outside of a container; heaptop doctor {pid} checks this machine"
                )
            };
            return Err(Refusal {
                why,
                next,
                ..refusal
            });
        }
        _ => return Err(Refusal { next, ..refusal }),
    }
    go.require_sampling()?;
    let reason = if refusal.lacks_rights {
        "no rights for probes"
    } else {
        "no probes on this machine"
    };
    Ok(format!(
        "{reason} ({}): the runtime's records alone are read, as with --no-probes",
        refusal.why
    ))
}

/// The kind of a source by mark bits.
fn kind(go: &GoProcess, source: Source) -> Option<source::Kind> {
    match source {
        Source::Spans => Some(source::Kind::Spans),
        Source::Exact => Some(source::Kind::Exact {
            rate_bytes: exact_rate_bytes(go.figures().ok()),
        }),
        Source::Sampler | Source::Buckets => None,
    }
}

/// Mean bytes between two objects that `exact` follows: by the size of the heap.
fn exact_rate_bytes(figures: Option<HeapFigures>) -> u64 {
    let live = figures.map_or(0, |figures| figures.live_bytes);
    (live / FOLLOWED_OBJECTS).clamp(MIN_RATE_BYTES, MAX_RATE_BYTES)
}

pub(super) fn unreadable(target: &Target, why: &str) -> Refusal {
    Refusal::new(
        format!(
            "cannot read the memory of {} (pid {})",
            target.name,
            target.pid_text()
        ),
        why,
        "the process may have ended; else report this with its Go version",
    )
}
