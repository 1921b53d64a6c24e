//! The stream that a later attach to the same process would have seen.
//!
//! What an attach reads at once (buckets, live samples, figures) is carried forward from the events before it; counters
//! that begin with the attach begin anew; objects tracked from before it are unknown to it, as are their deaths. Reads
//! that come every few seconds (goroutines, anatomy) are the last ones before it.
//!
//! Facts that a stream states once, and a later attach would find again, are repeated at the attach: functions that can
//! take memory outside Go, and functions on which no probe can be placed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::event::{
    AnatomyRead, Attached, BucketsRead, CallsRead, Event, GoroutinesRead, HeapRead, KernelCounters,
    ProbeEvent,
};
use crate::go::buckets::{BucketCounts, NewBucket};
use crate::go::frame::Frame;
use crate::go::memstats::N_PAUSES;

/// Returns the events of an attach `after_ns` nanoseconds into the stream: at the first reading of the heap from then on.
/// `None` if the stream ends before.
pub fn attach_at(events: &[Event], after_ns: u64) -> Option<Vec<Event>> {
    let Some(Event::Attached(attached)) = events.first() else {
        return None;
    };
    let from_ns = attached.target.attached_ns.saturating_add(after_ns);
    let is_cut = |event: &Event| matches!(event, Event::Heap(read) if read.at_ns >= from_ns);
    let cut = events.iter().position(is_cut)?;
    let (before, after) = events.split_at(cut + 1);
    let mut past = Past::default();
    for event in before {
        past.take(event);
    }
    let at_ns = before.last().map_or(from_ns, Event::at_ns);
    let mut later = past.first_events(attached, at_ns);
    for event in after {
        past.pass(event, &mut later);
    }
    Some(later)
}

/// State of the target and of the kernel side up to the attach.
#[derive(Default)]
struct Past {
    names: BTreeMap<u64, Arc<Frame>>,
    /// Oldest first.
    buckets: Vec<NewBucket>,
    counts: HashMap<u64, BucketCounts>,
    live: BTreeMap<u64, u64>,
    heap: HeapRead,
    goroutines: Option<GoroutinesRead>,
    anatomy: Option<AnatomyRead>,
    kernel: Option<KernelCounters>,
    calls: CallsRead,
    counted: HashMap<u64, f64>,
    /// Events without a state of their own that a later attach would have again.
    repeated: Vec<Event>,
    /// Stacks of sources by mark bits that no birth has named since the attach.
    sites: HashMap<u64, NewBucket>,
    /// Objects tracked since the attach.
    tracked: HashSet<u64>,
    /// Ends of GC cycles, monotonic nanoseconds, oldest first.
    gc_ends_ns: Vec<u64>,
    truncated_stacks: u64,
    omitted: u64,
}

impl Past {
    /// Takes an event from before the attach.
    fn take(&mut self, event: &Event) {
        match event {
            Event::Probe(ProbeEvent::Born { object, bucket, .. }) => {
                self.live.insert(*object, *bucket);
                let counts = self.counts.entry(*bucket).or_default();
                counts.total.allocs += 1;
                counts.born_since_mark += 1;
            }
            Event::Probe(ProbeEvent::Freed { object, bucket, .. }) => {
                self.live.remove(object);
                self.counts.entry(*bucket).or_default().total.frees += 1;
            }
            Event::Probe(ProbeEvent::GcMarked { at_ns, .. }) => {
                self.gc_ends_ns.push(*at_ns);
                for counts in self.counts.values_mut() {
                    counts.born_since_mark = 0;
                }
            }
            Event::Kernel(counters) => self.kernel = Some(*counters),
            Event::Buckets(read) => {
                self.buckets.extend(read.new.iter().cloned());
                self.counts.extend(read.counts.iter().copied());
                self.truncated_stacks = read.truncated_stacks;
                self.omitted = read.omitted;
            }
            Event::Heap(read) => {
                let runtime = read.runtime.or(self.heap.runtime);
                self.heap = HeapRead { runtime, ..*read };
            }
            Event::Anatomy(read) => {
                let known = self.anatomy.take().and_then(|known| known.calls_out);
                let mut read = AnatomyRead::clone(read);
                read.calls_out = read.calls_out.or(known);
                self.anatomy = Some(read);
            }
            Event::Goroutines(read) => self.goroutines = Some(read.clone()),
            Event::Specials { samples, .. } => {
                for (object, bucket) in samples {
                    self.live.entry(*object).or_insert(*bucket);
                }
            }
            Event::Named { names, .. } => self.names.extend(names.iter().cloned()),
            Event::Sites { sites, .. } => {
                let by_addr = sites.iter().map(|site| (site.addr, site.clone()));
                self.sites.extend(by_addr);
            }
            Event::Counted { objects, .. } => self.counted.extend(objects.iter().copied()),
            Event::Calls(read) => self.calls = read.clone(),
            Event::Duty(_) | Event::HitCost { .. } | Event::SamplerDetached { .. } => {
                let same = std::mem::discriminant(event);
                self.repeated
                    .retain(|known| std::mem::discriminant(known) != same);
                self.repeated.push(event.clone());
            }
            Event::CallWindow(window) if window.calls.is_none() => {
                let is_same = |known: &Event| matches!(known, Event::CallWindow(known) if known.function == window.function);
                self.repeated.retain(|known| !is_same(known));
                self.repeated.push(event.clone());
            }
            Event::Attached(_)
            | Event::Probe(_)
            | Event::Births(_)
            | Event::CallWindow(_)
            | Event::Dead { .. }
            | Event::MarksRead { .. }
            | Event::MarkBaseline { .. }
            | Event::UseBaseline { .. }
            | Event::Note { .. }
            | Event::Tick { .. }
            | Event::Exited { .. } => {}
        }
    }

    /// What the attach itself reads, at `at_ns`.
    fn first_events(&mut self, attached: &Attached, at_ns: u64) -> Vec<Event> {
        let mut attached = attached.clone();
        let ends = self
            .gc_ends_ns
            .iter()
            .map(|&at_ns| attached.target.unix_ns(at_ns));
        let ends: Vec<u64> = ends.filter_map(|ns| u64::try_from(ns).ok()).collect();
        attached.gc_ends_unix_ns.extend(ends);
        let known = attached.gc_ends_unix_ns.len();
        attached
            .gc_ends_unix_ns
            .drain(..known.saturating_sub(N_PAUSES as usize));
        attached.target.attached_unix_ns = attached.target.unix_ns(at_ns);
        attached.target.attached_ns = at_ns;
        let mut events = vec![Event::Attached(Box::new(attached))];
        events.extend(self.kernel.map(|_| {
            Event::Kernel(KernelCounters {
                at_ns,
                ..KernelCounters::default()
            })
        }));
        events.push(Event::Heap(HeapRead { at_ns, ..self.heap }));
        let figures = self.heap.runtime;
        events.push(Event::Buckets(BucketsRead {
            from_ns: at_ns,
            to_ns: at_ns,
            cycle: figures.map(|figures| figures.prof_cycle.number()),
            swept: figures.is_some_and(|figures| figures.swept),
            counts: (self.buckets.iter())
                .filter_map(|bucket| Some((bucket.addr, *self.counts.get(&bucket.addr)?)))
                .collect(),
            new: std::mem::take(&mut self.buckets),
            complete: true,
            omitted: self.omitted,
            truncated_stacks: self.truncated_stacks,
            ..BucketsRead::default()
        }));
        events.push(Event::Named {
            at_ns,
            names: std::mem::take(&mut self.names).into_iter().collect(),
        });
        if !self.live.is_empty() {
            events.push(Event::Specials {
                from_ns: at_ns,
                samples: std::mem::take(&mut self.live).into_iter().collect(),
                cut: false,
            });
        }
        events.append(&mut self.repeated);
        if let Some(read) = self.goroutines.take() {
            events.push(Event::Goroutines(GoroutinesRead { at_ns, ..read }));
        }
        if let Some(read) = self.anatomy.take() {
            events.push(Event::Anatomy(Box::new(AnatomyRead { at_ns, ..read })));
        }
        events
    }

    /// Passes on an event from after the attach, as far as that attach would have seen it.
    fn pass(&mut self, event: &Event, later: &mut Vec<Event>) {
        match event {
            Event::Births(births) => {
                let mut unknown = Vec::new();
                for birth in births {
                    self.tracked.insert(birth.object);
                    unknown.extend(self.sites.remove(&birth.bucket));
                }
                if !unknown.is_empty() {
                    later.push(Event::Sites {
                        at_ns: event.at_ns(),
                        sites: unknown,
                    });
                }
                later.push(event.clone());
            }
            Event::Dead { at_ns, objects } => {
                let objects = objects.iter().filter(|object| self.tracked.remove(object));
                let objects: Vec<u64> = objects.copied().collect();
                if !objects.is_empty() {
                    later.push(Event::Dead {
                        at_ns: *at_ns,
                        objects,
                    });
                }
            }
            Event::Counted {
                at_ns,
                objects,
                exact,
            } => {
                let since = |&(bucket, n): &(u64, f64)| {
                    let before = self.counted.get(&bucket).copied().unwrap_or(0.0);
                    (n > before).then_some((bucket, n - before))
                };
                let objects: Vec<(u64, f64)> = objects.iter().filter_map(since).collect();
                let named: Vec<NewBucket> = objects
                    .iter()
                    .filter_map(|(bucket, _)| self.sites.remove(bucket))
                    .collect();
                if !named.is_empty() {
                    later.push(Event::Sites {
                        at_ns: *at_ns,
                        sites: named,
                    });
                }
                later.push(Event::Counted {
                    at_ns: *at_ns,
                    objects,
                    exact: *exact,
                });
            }
            Event::Kernel(counters) => later.push(Event::Kernel(since(counters, self.kernel))),
            Event::Calls(read) => later.push(Event::Calls(self.calls_since(read))),
            other => later.push(other.clone()),
        }
    }

    fn calls_since(&self, read: &CallsRead) -> CallsRead {
        let before = &self.calls;
        let calls_before = |function: &Arc<str>| {
            let mut known = before.functions.iter();
            known
                .find(|(name, _)| name == function)
                .map_or(0, |(_, calls)| *calls)
        };
        CallsRead {
            functions: (read.functions.iter())
                .map(|(name, calls)| (name.clone(), calls.saturating_sub(calls_before(name))))
                .collect(),
            counted_ns: read.counted_ns.saturating_sub(before.counted_ns),
            all_ns: read.all_ns.saturating_sub(before.all_ns),
            ..read.clone()
        }
    }
}

fn since(counters: &KernelCounters, before: Option<KernelCounters>) -> KernelCounters {
    let Some(before) = before else {
        return *counters;
    };
    let mut since = *counters;
    for (now, then) in since.hits.iter_mut().zip(before.hits) {
        *now = now.saturating_sub(then);
    }
    for (now, then) in since.lost.iter_mut().zip(before.lost) {
        *now = now.saturating_sub(then);
    }
    since.undecodable = since.undecodable.saturating_sub(before.undecodable);
    since
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Birth, CallWindow, Target};
    use crate::go::buckets::Counts;
    use crate::go::calls_out::CallsOut;
    use crate::go::memstats::HeapFigures;

    const SECOND_NS: u64 = 1_000_000_000;

    fn heap(at_s: u64) -> Event {
        Event::Heap(HeapRead {
            at_ns: at_s * SECOND_NS,
            runtime: Some(HeapFigures {
                swept: true,
                ..HeapFigures::default()
            }),
            rss_bytes: Some(at_s),
        })
    }

    fn attached() -> Event {
        Event::attached(Target {
            attached_ns: SECOND_NS,
            attached_unix_ns: 100,
            ..Target::default()
        })
    }

    fn born(at_s: u64, object: u64) -> Event {
        Event::Probe(ProbeEvent::Born {
            at_ns: at_s * SECOND_NS,
            object,
            bucket: 7,
        })
    }

    #[test]
    fn counts_and_live_samples_are_carried_to_a_later_attach() {
        let bucket = NewBucket {
            addr: 7,
            object_bytes: 64,
            pcs: [1, 2].into(),
            n_frames: 2,
            go_type: None,
        };
        let counts = BucketCounts {
            total: Counts {
                allocs: 10,
                frees: 4,
            },
            born_since_mark: 2,
        };
        let events = [
            attached(),
            heap(1),
            Event::Buckets(BucketsRead {
                new: vec![bucket.clone()],
                counts: vec![(7, counts)],
                complete: true,
                ..BucketsRead::default()
            }),
            born(2, 0x10),
            born(3, 0x20),
            Event::Probe(ProbeEvent::GcMarked {
                at_ns: 4 * SECOND_NS,
                live_bytes: 1,
                cycle: None,
                heap_bytes: None,
            }),
            Event::Probe(ProbeEvent::Freed {
                at_ns: 5 * SECOND_NS,
                object: 0x10,
                bucket: 7,
            }),
            born(6, 0x30),
            heap(7),
            born(8, 0x40),
        ];
        assert_eq!(
            attach_at(&events, 7 * SECOND_NS),
            None,
            "the stream has ended"
        );
        let later = attach_at(&events, 5 * SECOND_NS).unwrap();
        let Event::Attached(attached) = &later[0] else {
            panic!("{later:?}");
        };
        assert_eq!(attached.target.attached_ns, 7 * SECOND_NS);
        assert_eq!(attached.target.attached_unix_ns, 100 + 6_000_000_000);
        let read = later.iter().find_map(|event| match event {
            Event::Buckets(read) => Some(read),
            _ => None,
        });
        let expected = BucketCounts {
            total: Counts {
                allocs: 13,
                frees: 5,
            },
            born_since_mark: 1,
        };
        assert_eq!(
            read.map(|read| (read.new.clone(), read.counts.clone())),
            Some((vec![bucket], vec![(7, expected)]))
        );
        assert!(later.contains(&Event::Specials {
            from_ns: 7 * SECOND_NS,
            samples: vec![(0x20, 7), (0x30, 7)],
            cut: false
        }));
        assert_eq!(later.last(), Some(&born(8, 0x40)));
    }

    #[test]
    fn repeats_facts_that_a_stream_states_once() {
        let anatomy = |at_s: u64, calls_out: Option<CallsOut>| {
            Event::Anatomy(Box::new(AnatomyRead {
                at_ns: at_s * SECOND_NS,
                calls_out,
                ..AnatomyRead::default()
            }))
        };
        let window = |at_s: u64, function: &str, calls| {
            Event::CallWindow(CallWindow {
                function: function.into(),
                from_ns: at_s * SECOND_NS,
                to_ns: at_s * SECOND_NS,
                calls,
            })
        };
        let calls_out = CallsOut {
            maps_omitted: 3,
            ..CallsOut::default()
        };
        let events = [
            attached(),
            heap(1),
            anatomy(2, None),
            window(2, "main.a", None),
            window(3, "main.b", Some(5)),
            anatomy(3, Some(calls_out.clone())),
            window(4, "main.a", None),
            anatomy(5, None),
            heap(7),
            heap(8),
        ];
        let later = attach_at(&events, 5 * SECOND_NS).unwrap();
        assert!(later.contains(&anatomy(7, Some(calls_out))), "{later:?}");
        let windows: Vec<&Event> = (later.iter())
            .filter(|event| matches!(event, Event::CallWindow(_)))
            .collect();
        assert_eq!(windows, [&window(4, "main.a", None)]);
    }

    #[test]
    fn deaths_of_objects_from_before_a_later_attach_are_unknown_to_it() {
        let birth = |object| Birth {
            at_ns: 2 * SECOND_NS,
            object,
            bucket: 7,
            weight: 1.0,
        };
        let site = NewBucket {
            addr: 7,
            object_bytes: 64,
            pcs: [1].into(),
            n_frames: 1,
            go_type: None,
        };
        let dead = |objects: &[u64]| Event::Dead {
            at_ns: 9 * SECOND_NS,
            objects: objects.to_vec(),
        };
        let sites = Event::Sites {
            at_ns: 2 * SECOND_NS,
            sites: vec![site],
        };
        let events = [
            attached(),
            heap(1),
            sites.clone(),
            Event::Births(vec![birth(0x10)]),
            heap(7),
            Event::Births(vec![birth(0x20)]),
            dead(&[0x10, 0x20]),
        ];
        let later = attach_at(&events, SECOND_NS).unwrap();
        let expected = [sites, Event::Births(vec![birth(0x20)]), dead(&[0x20])];
        assert!(later.ends_with(&expected), "{later:?}");
    }
}
