//! The edge of the sources that follow objects by mark bits: drains, the runtime's allocation counters, checks of the
//! mark bits after each GC, and the governor's turns.

use std::sync::Arc;

use super::edge::Edge;
use crate::clock::{monotonic_ns, thread_cpu_ns};
use crate::event::{BucketsRead, Event, ProbeEvent};
use crate::go::alloc_counters::AllocCounters;
use crate::go::liveness::{self, Checked, NotChecked};
use crate::go::memory::{Memory as _, Unreadable};
use crate::plan::{Kind, ProbePlan};
use crate::probe::detach::{self, Detaching};
use crate::probe::fuse::Cut;
use crate::source::due::{MarksDue, Try};
use crate::source::governor::{Governor, Turn};
use crate::source::limit::Group;
use crate::source::{self, Lookup, Source, Window};

/// Tries to read the marks within one GC cycle. A heap that is collected faster than it can be read is read again at
/// the next look.
const MAX_CHECKS: usize = 3;
/// After a check heaptop rests so many times what it took of a CPU: with a cycle every few ms not each is checked.
const REST_PER_CHECK: u64 = 4;
/// Yet rows are never older than this, and what a check takes.
const LONGEST_REST_NS: u64 = 500_000_000;
/// The kernel's counters of allocations are read so often: each of up to 16 384 is a system call.
const COUNTS_EVERY_NS: u64 = 1_000_000_000;

/// The kernel measures programs for so long: it costs each run of any program on the machine some 50 ns meanwhile.
const TIMED_NS: u64 = 1_000_000_000;
/// And for so long at most, where the target is quiet.
const MOST_TIMED_NS: u64 = 10_000_000_000;
/// Traps that a mean is taken from, at least.
const MIN_TIMED_HITS: f64 = 50.0;

/// Follows objects.
#[derive(Debug)]
pub(super) struct MarksReader {
    source: Source,
    plan: ProbePlan,
    governor: Governor,
    due: MarksDue,
    /// That marks were read, while it cannot be told yet.
    unsettled: Option<Event>,
    rest_until_ns: u64,
    /// When the window before was closed.
    window_ns: u64,
    counted_ns: u64,
    counts_allocations: bool,
    was_on: bool,
    /// Links on their way out are waited for before probes are placed again.
    detaching: Option<Detaching>,
    thinned: u32,
    /// The cost of a trap, while the programs are timed.
    trap_ns: Option<f64>,
    timed_until_ns: u64,
    timing_ends_ns: u64,
}

impl MarksReader {
    /// Begins to follow what is allocated from now on.
    ///
    /// # Errors
    /// When the runtime's allocation counters cannot be read.
    pub(super) fn new(
        edge: &Edge,
        kind: source::Kind,
        plan: ProbePlan,
        max_cpu_fraction: f64,
    ) -> Result<Self, Unreadable> {
        let at_ns = monotonic_ns();
        let program = &edge.go.program;
        let counters = AllocCounters::read(&edge.go.memory(), program.facts, &program.vars)?;
        let counters = counters_after(edge, &counters).unwrap_or(counters);
        Ok(Self {
            source: Source::new(kind, counters),
            plan,
            governor: Governor::new(max_cpu_fraction, at_ns, 0),
            due: MarksDue::default(),
            unsettled: None,
            rest_until_ns: 0,
            window_ns: at_ns,
            counted_ns: 0,
            counts_allocations: matches!(kind, source::Kind::Exact { .. }),
            was_on: true,
            detaching: None,
            thinned: 0,
            trap_ns: None,
            timed_until_ns: 0,
            timing_ends_ns: 0,
        })
    }

    /// What a trap was measured to cost on this machine, without its program; what ours take beside it, with their
    /// stacks, is measured on the target itself.
    pub(super) fn trap_costs(&mut self, edge: &mut Edge, ns: f64) {
        self.trap_ns = Some(ns);
        self.timed_until_ns = monotonic_ns().saturating_add(TIMED_NS);
        self.timing_ends_ns = monotonic_ns().saturating_add(MOST_TIMED_NS);
        if let Some(probes) = edge.probes_mut() {
            probes.time_programs(true);
        }
    }

    /// Ends the measurement of the programs once it has lasted long enough.
    fn finish_timing(&mut self, edge: &mut Edge, batch: &mut Vec<Event>) {
        let now = monotonic_ns();
        let Some(trap_ns) = self.trap_ns else { return };
        if now < self.timed_until_ns {
            return;
        }
        let Some(probes) = edge.probes_mut() else {
            return;
        };
        let hits = probes.counters().hits;
        let timed: Vec<(f64, f64)> = Group::Allocations
            .kinds()
            .iter()
            .filter_map(|&kind| Some((hits[kind as usize] as f64, probes.program_ns(kind)?)))
            .collect();
        let n_hits: f64 = timed.iter().map(|(hits, _)| hits).sum();
        if n_hits < MIN_TIMED_HITS && now < self.timing_ends_ns {
            self.timed_until_ns = now.saturating_add(TIMED_NS);
            return;
        }
        probes.time_programs(false);
        self.trap_ns = None;
        if n_hits <= 0.0 {
            return; // A quiet target, or a kernel that does not measure: what was assumed stays.
        }
        let program_ns = timed.iter().map(|(hits, ns)| hits * ns).sum::<f64>() / n_hits;
        let ns = trap_ns + program_ns;
        self.governor.hit_costs(ns);
        probes.hit_costs(Group::Allocations, ns);
        batch.push(Event::HitCost {
            at_ns: now,
            ns,
            calls_ns: None,
        });
    }

    /// The first events: nothing is followed yet, and that is all of it.
    pub(super) fn first_events(&mut self, edge: &mut Edge) -> Vec<Event> {
        let mut events = Vec::new();
        let heap = edge.read_heap();
        events.extend(edge.probes().map(|probes| Event::Kernel(probes.counters())));
        events.push(Event::Heap(heap));
        let now = monotonic_ns();
        self.due = MarksDue::after(heap.runtime.map(|figures| figures.gc_cycles));
        events.push(Event::Buckets(BucketsRead {
            from_ns: now,
            to_ns: now,
            cycle: heap.runtime.map(|figures| figures.prof_cycle.number()),
            swept: true,
            complete: true,
            ..BucketsRead::default()
        }));
        events.push(Event::Duty(self.governor.duty(now)));
        events
    }

    /// One look: a window of records, the marks if a cycle has ended, counters, the governor.
    pub(super) fn look(&mut self, edge: &mut Edge, batch: &mut Vec<Event>) {
        self.window(edge, batch);
        let heap = edge.read_heap();
        if let Some(figures) = heap.runtime {
            self.due.counted(figures.gc_cycles);
        }
        if self.due.is_due() && monotonic_ns() >= self.rest_until_ns {
            self.check(edge, batch);
        }
        self.settle(batch);
        batch.push(Event::Heap(heap));
        if self.counts_allocations && monotonic_ns() >= self.counted_ns + COUNTS_EVERY_NS {
            self.count(edge, batch);
        }
        self.finish_timing(edge, batch);
        self.govern(edge, batch);
    }

    /// Closes a window: what was drained becomes births and deaths.
    pub(super) fn window(&mut self, edge: &mut Edge, batch: &mut Vec<Event>) {
        let counters = counters_after(edge, self.source.counters());
        let mut records = Vec::new();
        edge.drain_all_records(&mut records);
        let now = monotonic_ns();
        let window = Window {
            records,
            counters,
            pause: self.governor.pause(self.window_ns, now, self.is_cut(edge)),
            on: self.was_on && self.governor.is_on(),
            // Spans share out what the runtime counts anyway.
            lost: edge
                .probes()
                .filter(|_| self.counts_allocations)
                .map_or(0, |probes| probes.counters().lost[Kind::Alloc as usize]),
        };
        self.was_on = self.governor.is_on();
        self.window_ns = now;
        let events = self.source.window(window, &Tables(edge));
        for event in &events {
            if let Event::Probe(ProbeEvent::GcMarked { cycle, .. }) = event {
                self.due.hooked(*cycle);
            }
        }
        batch.extend(events);
    }

    /// Holds every followed object against the marks of the last cycle.
    fn check(&mut self, edge: &mut Edge, batch: &mut Vec<Event>) {
        let begin = thread_cpu_ns();
        for _ in 0..MAX_CHECKS {
            match self.check_once(edge, batch) {
                Ok(Try::Done | Try::Later) => break,
                Ok(Try::Again) => {}
                // The target is ending, or a cycle ended meanwhile.
                Err(err) => log::debug!("mark bits: {err}"),
            }
        }
        let spent_ns = thread_cpu_ns().saturating_sub(begin);
        log::debug!("marks read in {spent_ns} ns of CPU");
        let rest_ns = spent_ns.saturating_mul(REST_PER_CHECK).min(LONGEST_REST_NS);
        self.rest_until_ns = monotonic_ns().saturating_add(rest_ns);
    }

    /// One try.
    fn check_once(&mut self, edge: &mut Edge, batch: &mut Vec<Event>) -> Result<Try, NotChecked> {
        let cycle = gc_cycles(edge)?;
        // Behind the look at the cycle: whatever was born before its marks were complete is followed now.
        self.window(edge, batch);
        if let Some(hindered) = self.due.hindered(cycle, monotonic_ns()) {
            return Ok(hindered);
        }
        let program = &edge.go.program;
        let followed = self.source.followed();
        let checked = liveness::check(&edge.go.memory(), program.facts, &program.vars, &followed)?;
        if checked.gc_cycles != cycle {
            return Ok(Try::Again);
        }
        log::debug!(
            "marks of cycle {cycle}: {} followed, {} dead, {} unknown, {} being swept",
            followed.len(),
            checked.dead.len(),
            checked.unknown,
            checked.being_swept
        );
        let now = monotonic_ns();
        let Checked {
            dead, being_swept, ..
        } = checked;
        batch.push(self.source.dead(now, dead));
        let came = self.due.read(cycle, being_swept);
        if came == Try::Done {
            self.unsettled = Some(Event::MarksRead {
                at_ns: now,
                number: cycle,
            });
            self.settle(batch);
        }
        Ok(came)
    }

    /// Tells that the marks of a cycle were read, once nothing that was born before it is still to come: what was
    /// allocated in a pause is told in the turn behind it, and until then in-use would fall and then jump.
    fn settle(&mut self, batch: &mut Vec<Event>) {
        if self.governor.has_told_all(monotonic_ns()) {
            batch.extend(self.unsettled.take());
        }
    }

    /// Reads the kernel's counters of allocations.
    fn count(&mut self, edge: &mut Edge, batch: &mut Vec<Event>) {
        let Some(probes) = edge.probes() else { return };
        let counts = probes.counts();
        // Behind the counts: whatever stack they name is in the ring by now.
        self.window(edge, batch);
        let now = monotonic_ns();
        self.counted_ns = now;
        batch.extend(
            self.source
                .counted(now, &counts.objects, counts.overflow, &Tables(edge)),
        );
    }

    /// True if the allocation probes were removed because of their cost, and this turn is not closed yet.
    fn is_cut(&self, edge: &Edge) -> bool {
        self.governor.is_on() && cut(edge).is_some()
    }

    /// Reads the kernel's counters, and turns the allocation probes off or on as the budget wants it.
    pub(super) fn govern(&mut self, edge: &mut Edge, batch: &mut Vec<Event>) {
        let Some(probes) = edge.probes() else { return };
        let counters = probes.counters();
        batch.retain(|event| !matches!(event, Event::Kernel(_)));
        batch.push(Event::Kernel(counters));
        if self
            .detaching
            .as_ref()
            .is_some_and(|detaching| !detaching.is_done())
        {
            return; // Turns are counted from when the probes are really out.
        }
        self.detaching = None;
        if self.governor.is_on()
            && let Some(cut) = cut(edge)
        {
            self.governor
                .cut(cut.at_ns, Group::Allocations.hits(&cut.hits));
            self.detaching = Some(cut.detaching);
            // No more is known for now.
            batch.extend(self.unsettled.take());
            batch.push(Event::Duty(self.governor.duty(cut.at_ns)));
            return;
        }
        let turn = self
            .governor
            .look(counters.at_ns, Group::Allocations.hits(&counters.hits));
        match turn {
            Turn::Same => return,
            Turn::Off => self.take_out(edge, batch),
            Turn::On => {
                if let Err(err) = edge.attach_more(&self.plan, Group::Allocations.kinds()) {
                    // The target is ending, or replaced itself, which the loop notices; else it is tried again.
                    log::warn!("{err}");
                    self.governor
                        .not_placed(counters.at_ns, Group::Allocations.hits(&counters.hits));
                }
            }
        }
        batch.push(Event::Duty(self.governor.duty(counters.at_ns)));
    }

    /// Takes the allocation probes out before their time: nobody will keep the budget. What is still on its way out then.
    pub(super) fn rest(&mut self, edge: &mut Edge, batch: &mut Vec<Event>) -> Option<Detaching> {
        if self.governor.rest(monotonic_ns()) == Turn::Off {
            self.take_out(edge, batch);
        }
        self.detaching.clone()
    }

    fn take_out(&mut self, edge: &mut Edge, batch: &mut Vec<Event>) {
        // What was told is all there is for now.
        batch.extend(self.unsettled.take());
        let links = edge
            .probes()
            .map(|probes| probes.take_links(Group::Allocations.kinds()));
        self.detaching = Some(detach::remove(links.unwrap_or_default()));
    }

    /// The model keeps one in 2^`level` of the followed objects: so does the source.
    pub(super) fn thin(&mut self, level: u32) {
        if level <= self.thinned {
            return;
        }
        self.thinned = level;
        self.source.thin(level);
    }
}

/// Removal of the allocation probes because of their cost, since they were last attached.
fn cut(edge: &Edge) -> Option<Cut> {
    edge.probes()?.cut(Group::Allocations)
}

/// GC cycles whose marks are complete.
fn gc_cycles(edge: &Edge) -> Result<u32, Unreadable> {
    Ok(edge.go.memory().u32(edge.go.program.sweepgen())? / 2)
}

/// The runtime's allocation counters, not torn; `None` where the next look has to tell.
fn counters_after(edge: &Edge, last: &AllocCounters) -> Option<AllocCounters> {
    let program = &edge.go.program;
    AllocCounters::read_after(last, &edge.go.memory(), program.facts, &program.vars)
}

/// The target's own tables.
struct Tables<'a>(&'a Edge);

impl Lookup for Tables<'_> {
    fn expand(&self, pcs: &[u64]) -> Vec<u64> {
        let go = &self.0.go;
        go.program.expand(&*go.image, &go.memory(), pcs)
    }

    fn type_name(&self, go_type: u64) -> Option<Arc<str>> {
        let go = &self.0.go;
        let found = go.program.type_at(&*go.image, &go.memory(), go_type)?;
        Some(found.name)
    }
}
