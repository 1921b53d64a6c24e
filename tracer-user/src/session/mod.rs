//! One target from attach to end: the collector's task, the model, and the names, tied together.
//!
//! The model is owned by one loop, that of the caller ([`Session::turn`]); there is no lock.

mod anatomy_reader;
mod attach;
mod bucket_reader;
mod call_windows;
mod calls;
mod candidates;
pub mod collector;
pub mod diagnose;
mod edge;
mod end_reader;
pub mod follow;
mod goroutine_reader;
pub mod lines;
mod marks_reader;
pub mod screen;
pub mod signals;
mod stop;

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::clock::monotonic_ns;
use crate::event::{Attached, Event};
use crate::export::pprof;
use crate::model::Model;
use crate::model::rows::{Query, RowId};
use crate::probe::calibrate::{self, HitCost};
use crate::probe::detach;
use crate::probe::leftovers::Noted;
use crate::process::arm::{Armed, ArmedBy};
use crate::refusal::Refusal;
use crate::symbolize::Symbolizer;
use crate::trace::TraceWriter;
pub use attach::{AttachSettings, Per};
use collector::{Batches, MAX_BATCHES, Request};

/// Most names that are looked up in one go: 2 µs each, so a look takes at most 10 ms.
const MAX_NAMES: usize = 4096;
/// Requests that may wait; the model asks once a second.
const MAX_REQUESTS: usize = 8;

/// A target that is watched.
#[derive(Debug)]
pub struct Session {
    /// First, so that it is dropped first: before a detach, and whatever ends the session.
    armed: Option<Armed>,
    /// Who else has armed the target.
    armed_by: Option<ArmedBy>,
    /// Where probes sit, for whoever comes after a kill.
    noted: Option<Noted>,
    /// Boxed: it is large, and a session moves through many futures.
    model: Box<Model>,
    symbolizer: Symbolizer,
    /// Copy of every event, where a trace was asked for.
    trace: Option<TraceWriter>,
    batches: Batches,
    requests: mpsc::Sender<Request>,
    hit_cost: mpsc::Receiver<HitCost>,
    collector: tokio::task::JoinHandle<std::io::Result<()>>,
    /// Has probes taken out before a stop by Ctrl-Z; ended with the session.
    stops: tokio::task::JoinSet<()>,
    /// What all names were known for, and the model's generation then: a look through all stacks every frame would
    /// cost more than the frame.
    named: Option<(Interest, u64)>,
    /// How far the collector was told to thin what it follows.
    thinned: u32,
    /// Functions that the collector was asked to count.
    candidates: Vec<Arc<str>>,
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
    pub async fn attach(pid: u32, settings: &AttachSettings) -> Result<Self, Refusal> {
        let stop_asked = stop::catch();
        let mut attached = attach::attach(pid, settings)?;
        let (event_sender, batches) = mpsc::channel(MAX_BATCHES);
        let (requests, request_receiver) = mpsc::channel(MAX_REQUESTS);
        let (cost_sender, hit_cost) = mpsc::channel(1);
        let first = attached.collector.first_events();
        let first = first.map_err(|err| attach::unreadable(&attached.target, &err.to_string()))?;
        let has_probes = attached.target.source.has_probes();
        let mut session = Self {
            armed: attached.armed,
            armed_by: attached.armed_by,
            noted: attached.noted,
            model: Box::default(),
            symbolizer: attached.symbolizer,
            trace: settings
                .trace
                .as_deref()
                .map(TraceWriter::create)
                .transpose()?,
            batches,
            requests,
            hit_cost,
            collector: tokio::spawn(async { Ok(()) }),
            stops: tokio::task::JoinSet::new(),
            named: None,
            thinned: 0,
            candidates: Vec::new(),
        };
        session.apply(vec![Event::Attached(Box::new(Attached {
            target: attached.target,
            mappings: attached.mappings,
            gc_ends_unix_ns: attached.gc_ends_unix_ns,
        }))]);
        session.apply(first);
        session.collector = tokio::spawn(attached.collector.run(event_sender, request_receiver));
        let requests = session.requests.downgrade();
        match stop_asked {
            Ok(asked) => session.stops = stop::watch(asked, requests),
            Err(err) => log::warn!("a stop will not take probes out: {err}"),
        }
        if has_probes {
            // After the first rows: it loads once more, and its detach takes 0.1 s.
            detach::in_background(move || {
                if let Some(cost) = calibrate::measure_hit_cost() {
                    let _ = cost_sender.blocking_send(cost);
                }
            });
        }
        Ok(session)
    }

    /// Returns a note, once, if the heaptop that had armed the target before this attach has disarmed it.
    pub fn disarmed(&mut self) -> Option<String> {
        if self.model.rate_bytes() != Some(0) {
            return None;
        }
        let by = self.armed_by.take()?;
        let text = format!(
            "heaptop {} has disarmed the target: no more samples come",
            by.pid
        );
        self.take(Event::Note {
            at_ns: monotonic_ns(),
            text: text.clone(),
        });
        Some(text)
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
            Some(cost) = self.hit_cost.recv() => {
                self.take(Event::HitCost {
                    at_ns: monotonic_ns(),
                    ns: cost.record_ns,
                    calls_ns: Some(call_windows::hit_ns(cost.trap_ns)),
                });
                let _ = self.requests.try_send(Request::HitCost(cost));
            }
        }
        let thinnings = self.model.thinning();
        if thinnings > self.thinned && self.requests.try_send(Request::Thin(thinnings)).is_ok() {
            self.thinned = thinnings;
        }
        let candidates = self.model.candidates();
        if candidates != self.candidates {
            let asked = self.requests.try_send(Request::Count(candidates.to_vec()));
            if asked.is_ok() {
                self.candidates = candidates.to_vec();
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
            self.take(event);
        }
        // Each round names one frame of each stack, and few stacks begin with more runtime frames.
        loop {
            let wanted = self.model.wanted_names(MAX_NAMES);
            if wanted.is_empty() {
                return;
            }
            self.look_up(&wanted);
        }
    }

    /// Applies one event and writes it to the trace: no event reaches the model by another way.
    fn take(&mut self, event: Event) {
        if let Some(trace) = &mut self.trace {
            trace.write(&event);
        }
        self.model.apply(event);
    }

    fn look_up(&mut self, pcs: &[u64]) {
        let names = self.symbolizer.names(pcs);
        self.take(Event::Named {
            at_ns: monotonic_ns(),
            names,
        });
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
        self.look_up(&wanted);
        more
    }

    /// The heap profile of this moment, as the rows show it, compressed.
    pub fn pprof(&mut self) -> std::io::Result<Vec<u8>> {
        while self.name(Interest::All) {}
        let profile = self.model.heap_profile();
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
        // A stop would come in the middle of the detach: until the end SIGTSTP does nothing now.
        drop(self.stops);
        // A detach takes its time, and whoever ends heaptop may not wait for it.
        drop(self.armed);
        drop(self.requests);
        drop(self.batches);
        let collected = self.collector.await;
        // Only now every probe is out.
        detach::finish();
        drop(self.noted);
        let why = match collected {
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
