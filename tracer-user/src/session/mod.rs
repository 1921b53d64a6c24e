//! One target from attach to end: the collector's task, the model, and the names, tied together.
//!
//! The model is owned by one loop, that of the caller ([`Session::turn`]); there is no lock.

pub mod budget;
pub mod collector;
pub mod lines;
mod readiness;
pub mod screen;
pub mod signals;

use tokio::sync::mpsc;

use crate::clock::{local_time, monotonic_ns, unix_ns};
use crate::event::Event;
use crate::export::pprof;
use crate::model::Model;
use crate::model::rows::{Query, RowId, Source, Target};
use crate::plan;
use crate::probe::{LoadSettings, Loader, Probes, calibrate};
use crate::process::arm::{self, Armed, ArmedBy};
use crate::process::go_process::GoProcess;
use crate::refusal::Refusal;
use crate::symbolize::Symbolizer;
use collector::{Batches, Collector, MAX_BATCHES, Request};

/// Most names that are looked up in one go: 2 µs each, so a look takes at most 10 ms.
const MAX_NAMES: usize = 4096;
/// Requests that may wait; the model asks once a second.
const MAX_REQUESTS: usize = 8;

/// How to attach.
#[derive(Clone, Copy, Debug, Default)]
pub struct AttachSettings {
    /// Read the buckets alone.
    pub no_probes: bool,
    /// Switch the target's sampler on: see [`Armed`].
    pub arm: bool,
    /// Diagnostics of the kernel side.
    pub log: bool,
    /// Size of the ring buffer, bytes; `None` for the default.
    pub ring_bytes: Option<u32>,
}

/// A target that is watched.
#[derive(Debug)]
pub struct Session {
    /// First, so that it is dropped first: before a detach, and whatever ends the session.
    armed: Option<Armed>,
    /// Who else has armed the target.
    armed_by: Option<ArmedBy>,
    model: Model,
    symbolizer: Symbolizer,
    mappings: Vec<pprof::MappedFile>,
    batches: Batches,
    requests: mpsc::Sender<Request>,
    hit_cost: mpsc::Receiver<f64>,
    collector: tokio::task::JoinHandle<std::io::Result<()>>,
    /// What all names were known for, and the model's generation then: a look through all stacks every frame would
    /// cost more than the frame.
    named: Option<(Interest, u64)>,
}

/// What a detail or an export wants names for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Call sites alone.
    Sites,
    /// The stacks of one row.
    Row(Query, RowId),
    /// Every frame of every stack.
    All,
}

impl Session {
    /// Attaches to the process `pid`; when it returns, the model is ready and its rows have names.
    ///
    /// # Errors
    /// A [`Refusal`] where the target is not one, samples nothing, or probes cannot be placed.
    #[allow(
        clippy::unused_async,
        reason = "it spawns on the runtime that awaits it"
    )]
    pub async fn attach(pid: u32, settings: AttachSettings) -> Result<Self, Refusal> {
        let loader = (!settings.no_probes).then(Loader::start);
        let go = GoProcess::open(pid)?;
        if settings.arm {
            let rate_bytes = go.figures()?.rate_bytes;
            arm::refuse_where_on(pid, rate_bytes).map_err(|(why, next)| {
                let what = format!("will not arm {} (pid {pid})", go.process.name());
                Refusal::new(what, why, next)
            })?;
        } else {
            go.require_sampling()?;
        }
        let probes = loader
            .map(|loader| place_probes(loader, &go, settings))
            .transpose()?;
        // Behind the probes: none of its samples goes unseen. From here on every way out puts the old rate back.
        let armed = settings.arm.then(|| Armed::arm(&go)).transpose()?;
        let armed_by = if armed.is_some() {
            None
        } else {
            arm::armed_by(pid)
        };
        let target = Target {
            pid,
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
            source: if settings.no_probes {
                Source::Buckets
            } else {
                Source::Sampler
            },
        };
        let symbolizer = Symbolizer::new(&go);
        let mappings = go.mapped_files();
        let name = go.process.name().to_owned();
        let mut collector = Collector::new(go, probes);
        let first = collector.first_events().map_err(|err| {
            Refusal::new(
                format!("cannot read the profile of {name} (pid {pid})"),
                err.to_string(),
                "the process may have ended; else report this with its Go version",
            )
        })?;
        let (event_sender, batches) = mpsc::channel(MAX_BATCHES);
        let (requests, request_receiver) = mpsc::channel(MAX_REQUESTS);
        let (cost_sender, hit_cost) = mpsc::channel(1);
        let mut session = Self {
            armed,
            armed_by,
            model: Model::new(target),
            symbolizer,
            mappings,
            batches,
            requests,
            hit_cost,
            collector: tokio::spawn(async { Ok(()) }),
            named: None,
        };
        session.apply(first);
        session.collector = tokio::spawn(collector.run(event_sender, request_receiver));
        if !settings.no_probes {
            // After the first rows: it loads once more, and its detach takes 0.1 s.
            tokio::task::spawn_blocking(move || {
                if let Some(ns) = calibrate::measure_hit_cost_ns() {
                    let _ = cost_sender.blocking_send(ns);
                }
            });
        }
        Ok(session)
    }

    /// What a user has to know of this watch, a sentence each.
    pub fn notes(&self) -> Vec<String> {
        let armed = self.armed.as_ref().map(|armed| {
            let at = local_time(armed.at_unix_ns());
            format!("armed at {at}: what was allocated before is not in the figures")
        });
        let armed_by = self.armed_by.map(|by| by.to_string());
        armed.into_iter().chain(armed_by).collect()
    }

    /// The other heaptop that had armed the target when this session began, where it has disarmed it since.
    pub fn disarmed(&mut self) -> Option<ArmedBy> {
        let off = self.model.rate_bytes() == Some(0);
        if off { self.armed_by.take() } else { None }
    }

    /// What is known.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Waits for the next batch of events and applies it. `false` when none will come any more: the
    /// target has ended.
    pub async fn turn(&mut self) -> bool {
        tokio::select! {
            batch = self.batches.recv() => match batch {
                Some(batch) => self.apply(batch),
                None => return false,
            },
            Some(ns) = self.hit_cost.recv() => {
                self.model.apply(Event::HitCost { ns });
                let _ = self.requests.try_send(Request::HitCost(ns));
            }
        }
        if let Some(reads) = self.model.next_reads() {
            // A full queue means that the last one is still being answered; the model asks again.
            let _ = self.requests.try_send(Request::Read(reads));
        }
        true
    }

    /// Applies events, then gives the model the names that its call sites need.
    pub fn apply(&mut self, events: Vec<Event>) {
        for event in events {
            self.model.apply(event);
        }
        // Each round names one frame of each stack, and few stacks begin with more runtime frames.
        loop {
            let wanted = self.model.wanted_names(MAX_NAMES);
            if wanted.is_empty() {
                return;
            }
            self.model
                .apply(Event::Named(self.symbolizer.names(&wanted)));
        }
    }

    /// Looks up the names that `interest` needs beyond those of call sites; at most 4096 a call, `true`
    /// if there are more.
    pub fn name(&mut self, interest: Interest) -> bool {
        if self.named == Some((interest, self.model.generation())) {
            return false;
        }
        let wanted = match &interest {
            Interest::Sites => return false,
            Interest::Row(query, row) => self.model.wanted_frames(Some((query, *row)), MAX_NAMES),
            Interest::All => self.model.wanted_frames(None, MAX_NAMES),
        };
        if wanted.is_empty() {
            self.named = Some((interest, self.model.generation()));
            return false;
        }
        let more = wanted.len() == MAX_NAMES;
        self.model
            .apply(Event::Named(self.symbolizer.names(&wanted)));
        more
    }

    /// The heap profile of this moment, as the rows show it, compressed.
    pub fn pprof(&mut self) -> std::io::Result<Vec<u8>> {
        while self.name(Interest::All) {}
        let profile = self.model.heap_profile(self.mappings.clone());
        let mut names = self.model.names_by_pc();
        let mut wanted = pprof::wanted_names(&profile.records);
        wanted.retain(|pc| !names.contains_key(pc));
        names.extend(self.symbolizer.names(&wanted));
        pprof::encode(&profile, &names)
    }

    /// Ends the collector and waits until its probes are detached: about 0.1 s each. Restore the terminal
    /// and print first.
    ///
    /// # Errors
    /// When the collector had ended by itself while the target lived on.
    pub async fn end(self) -> Result<(), Refusal> {
        // A detach takes its time, and whoever ends heaptop may not wait for it.
        drop(self.armed);
        drop(self.requests);
        drop(self.batches);
        let why = match self.collector.await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(err)) => err.to_string(),
            Err(err) => err.to_string(),
        };
        Err(Refusal::new(
            "the watch ended early",
            why,
            "start heaptop again; if it stays, report it",
        ))
    }
}

fn place_probes(
    loader: Loader,
    go: &GoProcess,
    settings: AttachSettings,
) -> Result<Probes, Refusal> {
    let plan = plan::plan(&go.program, &*go.image)?;
    let jbe_filter = plan
        .points
        .iter()
        .filter(|p| p.jbe_filter)
        .map(|p| 1u64 << (p.kind as u64))
        .sum();
    let ebpf = loader.finish(LoadSettings {
        special: go.program.facts.special,
        jbe_filter,
        ring_bytes: settings.ring_bytes,
        log: settings.log,
    })?;
    Probes::attach(ebpf, &plan, &go.process, settings.log)
}
