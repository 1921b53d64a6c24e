//! One moment of the model as plain figures: everything that a frame is made of.
//!
//! The view works on a reading and not on the model itself, so that a pause is one that is kept, rows are gathered
//! only when something changed, and tests may make any moment up.

use std::collections::HashMap;
use std::sync::Arc;

use super::countdown::{Answer, Countdown};
use crate::event::Duty;
use crate::model::Model;
use crate::model::anatomy::Anatomy;
use crate::model::calls::Calls;
use crate::model::findings::{Findings, Word};
use crate::model::goroutines::Goroutines;
use crate::model::rows::{
    Baseline, Cycle, EstimatedCycle, GcSettings, HeapNow, History, Losses, Overhead, Query, RowId,
    SiteRow, StackRow, Status, Target,
};

/// Rows whose stacks are kept for a pause, in the order of the table. Each is about 1 ms at 10 000 stacks, and a key is
/// to be answered within 50 ms.
pub const MAX_PAUSED_STACKS: usize = 40;

/// A moment of the model.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// What is watched.
    pub target: Target,
    /// The latest time seen, monotonic nanoseconds.
    pub now_ns: u64,
    /// Whether it still runs.
    pub status: Status,
    /// `MemProfileRate` as last read.
    pub rate_bytes: Option<u64>,
    /// From, to and when, if the rate changed while watched.
    pub rate_changed: Option<(u64, u64, u64)>,
    /// The sampler's probes were detached to keep the budget.
    pub sampler_detached: bool,
    /// What the governor does; `None` without one.
    pub duty: Option<Duty>,
    /// The process as a whole.
    pub heap: HeapNow,
    /// Recent cycles, oldest first.
    pub cycles: Vec<Cycle>,
    /// Cycles before the attach with an estimated live heap, oldest first; empty where that is not possible.
    pub estimated_cycles: Arc<[EstimatedCycle]>,
    /// Cycles seen since the attach.
    pub cycles_seen: u64,
    /// Mean time between cycles.
    pub gc_interval_ns: Option<u64>,
    /// Cost of the probes; `None` without probes.
    pub overhead: Option<Overhead>,
    /// What is missing or was mended.
    pub losses: Losses,
    /// Buckets known to have lost events and not yet compared.
    pub waiting_repairs: u64,
    /// All baselines; the first is the attach.
    pub baselines: Vec<Baseline>,
    /// Which one is active.
    pub active_baseline: usize,
    /// Rows exist.
    pub ready: bool,
    /// Countdown to the answer, while the process has no verdict.
    pub answer: Option<Answer>,
    countdown: Countdown,
    /// Cycles that became final since the baseline.
    pub final_cycles: u64,
    /// What the rows were asked for.
    pub query: Query,
    /// The rows, in no order.
    pub sites: Vec<SiteRow>,
    /// What the diagnosis says.
    pub findings: Arc<Findings>,
    /// How the collector is set; `None` until read.
    pub gc_settings: Option<GcSettings>,
    /// What the resident memory is; `None` until read.
    pub anatomy: Option<Arc<Anatomy>>,
    /// All goroutines; `None` until read, or where they are not known.
    pub goroutines: Option<Arc<Goroutines>>,
    /// Why they are not, as the end of a sentence.
    pub goroutines_not_known: Option<String>,
    /// Calls of the function that counts as a request; `None` where none is counted.
    pub calls: Option<Calls>,
    /// Stacks of the rows that were asked for, largest in-use first.
    pub stacks: HashMap<RowId, Vec<StackRow>>,
    /// When the rows were gathered.
    rows_at_ns: u64,
    /// The model's generation then.
    generation: u64,
}

/// What of the target's history is missing, if any is, then its notes: each a sentence without its end.
pub fn notes(target: &Target, rate_bytes: Option<u64>) -> Vec<String> {
    // When it was armed is one of the target's own.
    let history = missing_history(target, rate_bytes)
        .filter(|_| target.history != History::SinceArmed)
        .map(str::to_owned);
    let own = target.notes.iter().map(|note| super::names::clean(note));
    history.into_iter().chain(own).collect()
}

/// What of the target's history is missing; `None` where nothing is.
fn missing_history(target: &Target, rate_bytes: Option<u64>) -> Option<&'static str> {
    match target.history {
        History::SinceStart => None,
        History::SinceArmed => Some("history before heaptop armed the sampler is missing"),
        History::SinceAttach if rate_bytes == Some(0) => Some(
            "no history: this program's runtime samples nothing; in-use counts from the attach",
        ),
        History::SinceAttach => Some("no history: in-use counts from the attach"),
    }
}

impl Reading {
    /// Takes over what is cheap, and the rows where they can have changed: when the model says so, with another
    /// query, and once a second for allocation rates. Returns whether the rows are new.
    pub fn update(&mut self, model: &Model, query: Query) -> bool {
        let is_other =
            (self.generation, self.ready, self.query) != (model.generation(), model.ready(), query);
        if self.target.attached_ns != model.target().attached_ns {
            self.countdown = Countdown::default();
        }
        self.target = model.target().clone();
        self.now_ns = model.now_ns();
        self.status = model.status().clone();
        self.rate_bytes = model.rate_bytes();
        self.rate_changed = model.rate_changed();
        self.sampler_detached = model.sampler_detached();
        self.duty = model.duty();
        self.heap = model.heap();
        self.cycles.clear();
        self.cycles.extend(model.cycles());
        self.estimated_cycles = model.estimated_cycles().clone();
        self.cycles_seen = model.cycles_seen();
        self.gc_interval_ns = model.gc_interval_ns();
        self.overhead = model.overhead();
        self.losses = model.losses();
        self.waiting_repairs = model.waiting_repairs();
        self.baselines = model.baselines().to_vec();
        self.active_baseline = model.active_baseline();
        self.ready = model.ready();
        self.final_cycles = model.final_cycles_since_baseline();
        self.query = query;
        self.findings = model.findings();
        let forecast = self.findings.process.forecast;
        let forecast = forecast.filter(|_| self.findings.process.word == Word::Collecting);
        let watched_s = model.watched_s();
        self.answer = forecast.map(|of| self.countdown.at(watched_s, &of, None, None));
        self.gc_settings = model.gc_settings();
        let is_same = match (&self.anatomy, model.anatomy()) {
            (Some(old), Some(new)) => old.reads == new.reads && old.baseline == new.baseline,
            (old, new) => old.is_none() && new.is_none(),
        };
        if !is_same {
            self.anatomy = model.anatomy().cloned().map(Arc::new);
        }
        // Nothing is allocated after the end: rows stay as they were.
        let old = self.status == Status::Live
            && self.now_ns.saturating_sub(self.rows_at_ns) >= 1_000_000_000;
        let is_new = is_other || old;
        if is_new {
            self.generation = model.generation();
            self.rows_at_ns = self.now_ns;
            self.calls = model.calls();
            self.goroutines = model.goroutines().map(Arc::new);
            self.goroutines_not_known = model.goroutines_not_known().map(str::to_owned);
            self.sites = if self.ready {
                model.sites(&query)
            } else {
                Vec::new()
            };
        }
        if is_other {
            // They hold nothing that changes by time alone, and there may be ten thousand.
            self.stacks.clear();
        }
        is_new
    }

    /// Adds the stacks of a row, unless they are there.
    pub fn add_stacks(&mut self, model: &Model, row: RowId) {
        self.stacks
            .entry(row)
            .or_insert_with(|| model.stacks(&self.query, row));
    }

    /// The active baseline.
    pub fn baseline(&self) -> Option<&Baseline> {
        self.baselines.get(self.active_baseline)
    }

    /// The last moment that figures are about: now, or the target's end.
    pub fn until_ns(&self) -> u64 {
        match self.status {
            Status::Live => self.now_ns,
            Status::Exited { at_ns, .. } => at_ns,
        }
    }

    /// Nanoseconds since the process started.
    pub fn uptime_ns(&self) -> u64 {
        let unix = self.target.unix_ns(self.until_ns());
        u64::try_from(unix.saturating_sub(self.target.started_unix_ns)).unwrap_or(0)
    }

    /// Nanoseconds since the active baseline.
    pub fn since_baseline_ns(&self) -> u64 {
        self.baseline()
            .map_or(0, |baseline| self.until_ns().saturating_sub(baseline.at_ns))
    }

    /// Growth of the live heap since the baseline, bytes; `None` until a cycle was seen since.
    pub fn live_growth(&self) -> Option<f64> {
        let before = self.baseline()?.live_bytes?;
        let now = self.heap.live_bytes?;
        (self.final_cycles > 0).then_some(now as f64 - before as f64)
    }

    /// Whether probes tell of losses and costs; bucket reads alone cannot know.
    pub fn has_probes(&self) -> bool {
        self.target.source.has_probes()
    }

    /// Whether the sampler's rate says anything of the figures: other sources have weights of their own.
    pub fn is_sampled(&self) -> bool {
        !self.target.source.is_by_marks()
    }

    /// The share of time that the probes are on, where it is not all of it.
    pub fn on_part_of_time(&self) -> Option<Duty> {
        self.duty.filter(|duty| duty.on_fraction < 1.0)
    }

    /// What of the target's history is missing; `None` where nothing is.
    pub fn missing_history(&self) -> Option<&'static str> {
        missing_history(&self.target, self.rate_bytes)
    }

    /// What is known of the attach that impairs figures, each a sentence: history that is missing, then the target's
    /// own notes.
    pub fn notes(&self) -> Vec<String> {
        notes(&self.target, self.rate_bytes)
    }

    /// The name of a baseline in a sentence: `attach` or its time of day.
    pub fn baseline_name(&self, baseline: &Baseline, utc_offset_s: i32) -> String {
        if baseline.is_attach {
            "attach".to_owned()
        } else {
            super::format::time_of_day(self.target.unix_ns(baseline.at_ns), utc_offset_s)
        }
    }

    /// A row by its identity.
    pub fn site(&self, row: RowId) -> Option<&SiteRow> {
        self.sites.iter().find(|site| site.id == row)
    }
}
