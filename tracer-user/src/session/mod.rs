//! One target from attach to end: the collector's task, the model, and the names, tied together.
//!
//! The model is owned by one loop, that of the caller ([`Session::turn`]); there is no lock.

pub mod budget;
pub mod collector;
pub mod lines;
mod readiness;
pub mod screen;
mod signals;

use tokio::sync::mpsc;

use crate::clock::{monotonic_ns, unix_ns};
use crate::event::Event;
use crate::export::pprof;
use crate::model::Model;
use crate::model::rows::{Query, RowId, Source, Target};
use crate::plan;
use crate::probe::{LoadSettings, Loader, Probes, calibrate};
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
    /// Diagnostics of the kernel side.
    pub log: bool,
    /// Size of the ring buffer, bytes; `None` for the default.
    pub ring_bytes: Option<u32>,
}

/// A target that is watched.
#[derive(Debug)]
pub struct Session {
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
        go.require_sampling()?;
        let probes = loader
            .map(|loader| place_probes(loader, &go, settings))
            .transpose()?;
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
                if let Some(cost) = calibrate::measure_hit_cost() {
                    let _ = cost_sender.blocking_send(cost.record_ns);
                }
            });
        }
        Ok(session)
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
    let plan = plan::plan(&go.program, &*go.image, plan::Wanted::Sampler)?;
    let ebpf = loader.finish(LoadSettings {
        special: go.program.facts.special,
        jbe_filter: plan.jbe_filter(),
        ring_bytes: settings.ring_bytes,
        log: settings.log,
        alloc: None,
    })?;
    Probes::attach(ebpf, &plan, &go.process, settings.log)
}
