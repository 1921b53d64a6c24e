//! GC cycles over time: what each began with, how long it took and what was allocated before it.
//!
//! The probes tell when a cycle starts and when its marking ends; the runtime's figures, read ten times a second, tell
//! the rest. Where cycles come quicker than that, those between two reads stay without what only the figures tell.

use super::Model;
use super::gc::{Gc, SECOND_NS};
use super::rows::{Cycle, GcSettings};
use crate::event::HeapRead;
use crate::go::memstats::HeapFigures;

/// How old a reading of the heap may be to stand for the start of a cycle: figures are read ten times a second.
pub const STALE_NS: u64 = 250_000_000;

/// What is known of the cycle to come, and of the last reading.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timeline {
    /// When the present cycle started, by its probe.
    started_ns: Option<u64>,
    /// Heap at the start of the present cycle, as the runtime notes it while it marks.
    triggered_bytes: Option<u64>,
    /// The last reading of the heap before it: when, and bytes.
    before: Option<(u64, u64)>,
    /// The reading that completed the last cycle: when, and its figures.
    completed: Option<(u64, HeapFigures)>,
}

impl Timeline {
    pub(super) fn started(&mut self, at_ns: u64) {
        self.started_ns = Some(at_ns);
    }

    /// Marking has ended at `cycle.at_ns`: what is known of how it began.
    pub(super) fn marked(&mut self, cycle: &mut Cycle) {
        let started_ns = self.started_ns.take();
        cycle.mark_ns = started_ns.and_then(|started_ns| cycle.at_ns.checked_sub(started_ns));
        let began_ns = started_ns.unwrap_or(cycle.at_ns);
        let before = self.before.take();
        let recent = before.filter(|(read_ns, _)| began_ns.saturating_sub(*read_ns) <= STALE_NS);
        let triggered = self.triggered_bytes.take();
        cycle.start_bytes = triggered.or(recent.map(|(_, bytes)| bytes));
    }

    /// Completes the cycles that were marked since the last reading.
    fn complete(&mut self, gc: &mut Gc, at_ns: u64, figures: &HeapFigures) {
        match figures.triggered_bytes {
            Some(bytes) => self.triggered_bytes = Some(bytes),
            None => self.before = Some((at_ns, figures.heap_live_bytes)),
        }
        let Some((last_ns, last)) = self.completed else {
            // What lies before the attach belongs to no cycle that is kept.
            self.completed = Some((at_ns, *figures));
            return;
        };
        if figures.gc_cycles == last.gc_cycles {
            return;
        }
        let Some(cycle) = gc.last_mut().filter(|c| c.number == figures.gc_cycles) else {
            return; // The probe's record is still to come.
        };
        self.completed = Some((at_ns, *figures));
        cycle.pause_ns = Some(figures.last_pause_ns);
        let seconds = at_ns.saturating_sub(last_ns) as f64 / SECOND_NS as f64;
        let bytes = figures
            .total_alloc_bytes
            .checked_sub(last.total_alloc_bytes);
        cycle.alloc_bytes_per_sec = bytes
            .filter(|_| seconds > 0.0)
            .map(|bytes| bytes as f64 / seconds);
        let cycles = figures.gc_cycles.wrapping_sub(last.gc_cycles);
        let forced = match figures.forced_cycles.wrapping_sub(last.forced_cycles) {
            0 => Some(false),
            n if n == cycles => Some(true),
            _ => None,
        };
        for cycle in gc.last_ones_mut(cycles) {
            cycle.forced = forced;
        }
    }
}

impl Model {
    pub(super) fn apply_heap(&mut self, read: HeapRead) {
        self.apply_figures(read);
        if let Some(bytes) = read.rss_bytes {
            self.diagnosis.whole.resident(bytes);
        }
        if let Some(figures) = &read.runtime {
            self.diagnosis.whole.figures(read.at_ns, figures);
            self.timeline.complete(&mut self.gc, read.at_ns, figures);
        }
    }

    /// GOGC and GOMEMLIMIT as last read; `None` where they are not known.
    pub fn gc_settings(&self) -> Option<GcSettings> {
        let figures = self.heap.runtime?;
        Some(GcSettings {
            gogc: figures.gc_percent,
            memory_limit_bytes: figures.memory_limit_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, ProbeEvent};
    use crate::model::rows::{Source, Target};

    const MS: u64 = 1_000_000;

    fn figures(gc_cycles: u32) -> HeapFigures {
        HeapFigures {
            gc_cycles,
            live_bytes: 100,
            last_pause_ns: 7 * u64::from(gc_cycles),
            total_alloc_bytes: 1000 * u64::from(gc_cycles),
            heap_live_bytes: 190,
            gc_percent: Some(100),
            ..HeapFigures::default()
        }
    }

    fn read(model: &mut Model, at_ns: u64, figures: HeapFigures) {
        model.apply(Event::Heap(HeapRead {
            at_ns,
            runtime: Some(figures),
            rss_bytes: None,
        }));
    }

    fn cycle(model: &mut Model, start_ns: u64, end_ns: u64) {
        model.apply(Event::Probe(ProbeEvent::GcStart {
            at_ns: start_ns,
            heap_bytes: None,
        }));
        model.apply(Event::Probe(ProbeEvent::GcMarked {
            at_ns: end_ns,
            live_bytes: 100,
            cycle: None,
            heap_bytes: None,
        }));
    }

    fn watched(source: Source) -> Model {
        let mut model = Model::replay([Event::attached(Target {
            source,
            ..Target::default()
        })]);
        read(&mut model, 1000 * MS, figures(4));
        model
    }

    #[test]
    fn a_cycle_is_told_by_its_probes_and_the_figures() {
        let mut model = watched(Source::Spans);
        cycle(&mut model, 1050 * MS, 1060 * MS);
        let forced = HeapFigures {
            forced_cycles: 1,
            ..figures(5)
        };
        read(&mut model, 1100 * MS, forced);
        cycle(&mut model, 3050 * MS, 3052 * MS);
        read(
            &mut model,
            3100 * MS,
            HeapFigures {
                forced_cycles: 1,
                ..figures(6)
            },
        );
        let cycles: Vec<Cycle> = model.cycles().copied().collect();
        let [first, second] = cycles[..] else {
            panic!("{cycles:?}");
        };
        assert_eq!((first.number, second.number), (5, 6));
        assert_eq!(
            (first.mark_ns, second.mark_ns),
            (Some(10 * MS), Some(2 * MS))
        );
        assert_eq!((first.pause_ns, second.pause_ns), (Some(35), Some(42)));
        assert_eq!((first.forced, second.forced), (Some(true), Some(false)));
        assert_eq!(
            (first.interval_ns, second.interval_ns),
            (None, Some(1992 * MS))
        );
        // The second began two seconds after the last look at the heap.
        assert_eq!((first.start_bytes, second.start_bytes), (Some(190), None));
        assert_eq!(second.alloc_bytes_per_sec, Some(500.0));
    }

    #[test]
    fn what_the_runtime_notes_while_it_marks_is_the_start() {
        let mut model = watched(Source::Spans);
        model.apply(Event::Probe(ProbeEvent::GcStart {
            at_ns: 1900 * MS,
            heap_bytes: None,
        }));
        let marking = HeapFigures {
            triggered_bytes: Some(195),
            heap_live_bytes: 230,
            ..figures(4)
        };
        read(&mut model, 2000 * MS, marking);
        let at_ns = 2050 * MS;
        model.apply(Event::Probe(ProbeEvent::GcMarked {
            at_ns,
            live_bytes: 100,
            cycle: None,
            heap_bytes: None,
        }));
        assert_eq!(model.cycles().last().and_then(|c| c.start_bytes), Some(195));
    }

    #[test]
    fn without_probes_the_figures_alone_tell() {
        let mut model = watched(Source::Buckets);
        read(&mut model, 1100 * MS, figures(5));
        let last = model.cycles().last().copied().expect("a cycle");
        assert_eq!((last.mark_ns, last.start_bytes), (None, Some(190)));
        assert_eq!((last.pause_ns, last.forced), (Some(35), Some(false)));
        // Two at once: no interval, and one of them was forced.
        let forced = HeapFigures {
            forced_cycles: 1,
            ..figures(7)
        };
        read(&mut model, 1200 * MS, forced);
        let last = model.cycles().last().copied().expect("a cycle");
        assert_eq!(
            (last.number, last.interval_ns, last.forced),
            (7, None, None)
        );
        let settings = model.gc_settings().expect("known");
        assert_eq!(
            (settings.gogc, settings.memory_limit_bytes),
            (Some(100), None)
        );
    }
}
