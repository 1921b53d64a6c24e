//! Sources that follow objects by mark bits: what their records mean, as plain events for the model.
//!
//! The runtime keeps no profile here. The kernel side tells which spans are taken to allocate from ([`Kind::Spans`]) or
//! which allocations happen ([`Kind::Exact`]), with stacks by frame pointers. This module gives every birth its weight,
//! keeps the followed objects with the identity of their spans, and says which of them died. Pure: memory of the target
//! is read by the edge, through [`Lookup`] and [`Source::followed`].

pub mod due;
mod followed;
pub mod governor;
pub mod limit;
mod shares;
mod sites;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::event::{Birth, Event, ProbeEvent, Record, SpanTaken};
use crate::go::alloc_counters::AllocCounters;
use crate::go::liveness::Followed;
use crate::go::size_classes::N_CLASSES;
use followed::Objects;
pub use shares::Pause;
use shares::{Promise, Shares, counted_class};
use sites::Sites;
use tracer_ebpf::wire::CountKey;

/// Which source it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One sample for each span that is taken, and every large object.
    Spans,
    /// Every allocation is counted; a random subset, one in `rate_bytes` bytes on average, is followed.
    Exact {
        /// Mean bytes between two followed allocations.
        rate_bytes: u64,
    },
}

/// What the program's own tables say; reads memory, so the edge gives it.
pub trait Lookup {
    /// One pc for each logical frame of a stack of return addresses.
    fn expand(&self, pcs: &[u64]) -> Vec<u64>;
    /// Name of the `abi.Type` at an address.
    fn type_name(&self, go_type: u64) -> Option<Arc<str>>;
}

/// One window: what was drained at once, and what the runtime's own counters said just before.
#[derive(Debug)]
pub struct Window {
    /// Records in the order of the ring.
    pub records: Vec<Record>,
    /// Read before the drain, so that no allocation is counted whose record could not have been drained.
    pub counters: Option<AllocCounters>,
    /// What this window takes over of the allocations while the probes were off.
    pub pause: Pause,
    /// The allocation probes were on from the window before to this one.
    pub on: bool,
    /// Records of allocations that the kernel side lost so far.
    pub lost: u64,
}

/// A source by mark bits.
#[derive(Debug)]
pub struct Source {
    kind: Kind,
    sites: Sites,
    objects: Objects,
    shares: Shares,
    /// Allocation probes were off at some time: counts are estimates from then on.
    sampled_in_time: bool,
    /// Records of allocations lost up to the window before.
    lost: u64,
    /// Buckets that were told to have counted something.
    counted: BTreeMap<u64, f64>,
}

impl Source {
    /// A source that has seen nothing. `counters`: as read when the probes were placed.
    pub fn new(kind: Kind, counters: AllocCounters) -> Self {
        Self {
            kind,
            sites: Sites::default(),
            objects: Objects::default(),
            shares: Shares::new(counters, matches!(kind, Kind::Exact { .. })),
            sampled_in_time: false,
            lost: 0,
            counted: BTreeMap::new(),
        }
    }

    /// Makes events of a window.
    pub fn window(&mut self, window: Window, lookup: &dyn Lookup) -> Vec<Event> {
        self.sampled_in_time |= !window.on;
        let is_complete = matches!(self.kind, Kind::Exact { .. })
            && !self.sampled_in_time
            && window.lost == self.lost;
        self.lost = window.lost;
        if let Some(counters) = window.counters {
            self.shares.allocated(counters, window.on);
        }
        let promises: Vec<Promise> = window
            .records
            .iter()
            .filter_map(|record| self.promise(record))
            .collect();
        let worth = self.shares.share(&promises, window.pause, is_complete);
        let mut promises = promises.iter();
        let mut events = Out::default();
        for record in window.records {
            match record {
                Record::Stack { id, pcs, truncated } => {
                    self.sites.stack(id, || lookup.expand(&pcs), truncated);
                }
                Record::Event(ProbeEvent::Span(taken)) => {
                    events.dead(taken.at_ns, self.objects.span_taken(&taken));
                    // Without a next slot its record tells of the span alone.
                    if self.kind == Kind::Spans {
                        let weight = promises.next().map_or(1.0, |promise| worth.weight(promise));
                        self.born_in_span(&taken, weight, lookup, &mut events);
                    }
                }
                Record::Event(ProbeEvent::Alloc(alloc)) => {
                    let weight = promises.next().map_or(1.0, |promise| worth.weight(promise));
                    let key = (alloc.stack, alloc.object_bytes, alloc.go_type);
                    let (bucket, new) = self.sites.bucket(key, lookup);
                    events.site(alloc.at_ns, new);
                    self.objects.born(Followed {
                        object: alloc.object,
                        span_start: alloc.span_start,
                        slot_bytes: alloc.slot_bytes,
                        span_class: alloc.span_class,
                    });
                    events.born(Birth {
                        at_ns: alloc.at_ns,
                        object: alloc.object,
                        bucket,
                        weight,
                    });
                }
                Record::Event(other) => {
                    if matches!(other, ProbeEvent::GcMarked { .. }) {
                        self.objects.marked();
                    }
                    events.push(Event::Probe(other));
                }
            }
        }
        events.finish()
    }

    fn born_in_span(
        &mut self,
        taken: &SpanTaken,
        weight: f64,
        lookup: &dyn Lookup,
        events: &mut Out,
    ) {
        let key = (taken.stack, taken.slot_bytes, 0);
        let (bucket, new) = self.sites.bucket(key, lookup);
        events.site(taken.at_ns, new);
        self.objects.born(Followed {
            object: taken.object,
            span_start: taken.start,
            slot_bytes: taken.slot_bytes,
            span_class: taken.span_class,
        });
        events.born(Birth {
            at_ns: taken.at_ns,
            object: taken.object,
            bucket,
            weight,
        });
    }

    /// What a record promises before it is held against the runtime's counters.
    fn promise(&self, record: &Record) -> Option<Promise> {
        match (self.kind, record) {
            (Kind::Spans, Record::Event(ProbeEvent::Span(taken))) => Some(Promise::of_span(taken)),
            (Kind::Exact { .. }, Record::Event(ProbeEvent::Alloc(alloc))) => Some(
                Promise::of_allocation(alloc, self.inverse_chance(alloc.object_bytes)),
            ),
            _ => None,
        }
    }

    /// Objects that one followed allocation of this size stands for: the gaps between two are exponential in bytes.
    fn inverse_chance(&self, object_bytes: u64) -> f64 {
        match self.kind {
            Kind::Exact { rate_bytes } if rate_bytes > 1 => {
                -1.0 / f64::exp_m1(-(object_bytes as f64) / rate_bytes as f64)
            }
            _ => 1.0,
        }
    }

    /// The runtime's allocation counters as last taken.
    pub fn counters(&self) -> &AllocCounters {
        self.shares.counters()
    }

    /// The followed objects that were born before the last mark termination, in no order: what a check reads.
    pub fn followed(&self) -> Vec<Followed> {
        self.objects.born_before_mark()
    }

    /// How many objects are followed.
    pub fn n_followed(&self) -> usize {
        self.objects.len()
    }

    /// Objects that a check of [`Source::followed`] found dead are followed no longer.
    pub fn dead(&mut self, at_ns: u64, objects: Vec<u64>) -> Event {
        for object in &objects {
            self.objects.dead(*object);
        }
        Event::Dead { at_ns, objects }
    }

    /// Follows from now on one in 2^`level` of the objects, those that the model keeps.
    pub fn thin(&mut self, level: u32) {
        self.objects.thin(level);
    }

    /// Takes the kernel's counters of allocations: cumulative since the probes were placed.
    pub fn counted(
        &mut self,
        at_ns: u64,
        counts: &[(CountKey, u64)],
        overflow: u64,
        lookup: &dyn Lookup,
    ) -> Vec<Event> {
        let exact = !self.sampled_in_time && overflow == 0;
        let mut by_class = [0.0; N_CLASSES];
        for (key, n) in counts {
            by_class[counted_class(key.object_bytes)] += *n as f64;
        }
        let factors = if exact {
            [1.0; N_CLASSES]
        } else {
            self.shares.per_counted(&by_class)
        };
        let mut sites = Vec::new();
        // What was told before and has moved to another bucket, as its stack came, is 0 now.
        let mut counted: BTreeMap<u64, f64> = self.counted.keys().map(|&b| (b, 0.0)).collect();
        let unknown = ((sites::UNKNOWN_STACK, 0, 0), overflow);
        let keyed = counts
            .iter()
            .map(|(key, n)| ((key.stack, key.object_bytes, key.go_type), *n));
        for (key, n) in keyed.chain((overflow > 0).then_some(unknown)) {
            let (bucket, new) = self.sites.bucket(key, lookup);
            sites.extend(new);
            *counted.entry(bucket).or_default() += n as f64 * factors[counted_class(key.1)];
        }
        let objects = counted.iter().map(|(&bucket, &n)| (bucket, n)).collect();
        self.counted = counted;
        let mut events = Vec::new();
        if !sites.is_empty() {
            events.push(Event::Sites { at_ns, sites });
        }
        events.push(Event::Counted {
            at_ns,
            objects,
            exact,
        });
        events
    }
}

/// Events in order, neighbours of one kind gathered.
#[derive(Default)]
struct Out {
    events: Vec<Event>,
}

impl Out {
    fn push(&mut self, event: Event) {
        self.events.push(event);
    }

    fn site(&mut self, at_ns: u64, new: Option<crate::go::buckets::NewBucket>) {
        let Some(new) = new else { return };
        // A site may be told before births that were gathered earlier: nothing names it yet.
        match self.events.last_mut() {
            Some(Event::Sites { sites, .. }) => sites.push(new),
            _ => self.events.push(Event::Sites {
                at_ns,
                sites: vec![new],
            }),
        }
    }

    fn born(&mut self, birth: Birth) {
        match self.events.last_mut() {
            Some(Event::Births(births)) => births.push(birth),
            _ => self.events.push(Event::Births(vec![birth])),
        }
    }

    fn dead(&mut self, at_ns: u64, dead: Vec<u64>) {
        if dead.is_empty() {
            return;
        }
        match self.events.last_mut() {
            Some(Event::Dead { objects, .. }) => objects.extend(dead),
            _ => self.events.push(Event::Dead {
                at_ns,
                objects: dead,
            }),
        }
    }

    fn finish(self) -> Vec<Event> {
        self.events
    }
}

/// Whole nanoseconds of a time that is never negative; saturates.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "never negative, and saturates"
)]
pub(crate) fn nanoseconds(ns: f64) -> u64 {
    ns as u64
}

#[cfg(test)]
mod tests;
