//! GC cycles: which one the target is in, when the values of one are final, and the moments to compare with.

use super::gc::SECOND_NS;
use super::marks::Since;
use super::rows::{Baseline, Cycle, Liveness};
use super::{MAX_BASELINES, Model};
use crate::event::HeapRead;
use crate::go::buckets::Counts;
use crate::go::memstats::HeapFigures;

impl Model {
    pub(super) fn apply_figures(&mut self, read: HeapRead) {
        self.saw(read.at_ns);
        let figures = read.runtime.or(self.heap.runtime);
        self.heap = HeapRead {
            runtime: figures,
            ..read
        };
        let Some(figures) = read.runtime else { return };
        if figures.rate_bytes != 0 {
            self.sampling_rate_bytes = figures.rate_bytes;
        }
        if let Some(old) = self.rate_bytes.replace(figures.rate_bytes)
            && old != figures.rate_bytes
            && self.liveness() != Liveness::Marks
        {
            self.rate_changed = Some((old, figures.rate_bytes, read.at_ns));
            self.generation += 1;
        }
        if let Some(cycle) = self.gc.last_mut()
            && cycle.goal_bytes.is_none()
            && cycle.at_ns < read.at_ns
        {
            cycle.goal_bytes = figures.goal_bytes;
        }
        if self.last_mark_ns >= read.at_ns {
            return; // A mark came after this read: the two do not speak of one cycle.
        }
        let liveness = self.liveness();
        match self.gc.number {
            Some(known) if figures.gc_cycles > known => {
                // A busy record of another CPU hides those behind it: a hook counts as lost when it has
                // not come by the next look either.
                if liveness != Liveness::Counters
                    && !std::mem::replace(&mut self.gc.is_behind, true)
                {
                    return;
                }
                self.gc.is_behind = false;
                self.end_of_sweep();
                let ahead = u64::from(figures.gc_cycles - known);
                if liveness != Liveness::Counters {
                    self.gc.missed += ahead;
                }
                if liveness == Liveness::FreeEvents {
                    // Births can no longer be told from those after the mark, until the buckets have been read.
                    self.gc.blind = true;
                    self.reconcile.want_all();
                }
                // Without buckets to read, those between the mark and this moment count as born before it: they are
                // new and alive, and the next cycle tells.
                self.gc.epoch += ahead;
                self.gc.begin_sweep();
                self.gc.number = Some(figures.gc_cycles);
                self.gc.began_epoch(figures.gc_cycles);
                self.gc.push(Cycle {
                    number: figures.gc_cycles,
                    at_ns: read.at_ns,
                    live_bytes: figures.live_bytes,
                    goal_bytes: figures.goal_bytes,
                    ..Cycle::default()
                });
                if let Some(cycle) = self.gc.last_mut() {
                    self.timeline.marked(cycle);
                }
                if liveness == Liveness::Counters {
                    let at_ns = self.last_gc_ns(&figures).unwrap_or(read.at_ns);
                    self.diagnosis.whole.cycle_read(at_ns, &figures);
                }
                self.settle_marks();
            }
            Some(known) if figures.gc_cycles < known => {
                // A hook that was given up came after all.
                if read.at_ns > self.last_mark_ns + SECOND_NS {
                    self.gc.number = Some(figures.gc_cycles);
                    self.reconcile.want_all();
                }
            }
            Some(_) => {
                self.gc.is_behind = false;
                // The second look that finds it swept: by then no free of it is hidden in the ring.
                if figures.swept && self.gc.seen_swept_twice() {
                    self.end_of_sweep();
                }
            }
            None => {
                self.gc.number = Some(figures.gc_cycles);
                if figures.gc_cycles > 0 {
                    self.gc.sweeping = !figures.swept;
                }
            }
        }
    }

    /// Monotonic time of the last mark termination, by the runtime's own note of it; `None` before the first.
    pub(super) fn last_gc_ns(&self, figures: &HeapFigures) -> Option<u64> {
        let unix_ns = i128::from(figures.last_gc_unix_ns);
        let since_attach = unix_ns - i128::from(self.target.attached_unix_ns);
        let at_ns = u64::try_from(i128::from(self.target.attached_ns) + since_attach).ok();
        at_ns.filter(|_| figures.gc_cycles > 0)
    }

    /// Sweeping has ended: what the probes counted for the last cycle is final.
    pub(super) fn end_of_sweep(&mut self) {
        if self.liveness() == Liveness::FreeEvents && !self.gc.blind {
            self.finish_cycle();
        }
    }

    /// Makes the values of the last cycle final.
    pub(super) fn finish_cycle(&mut self) {
        if !self.ready || !std::mem::take(&mut self.gc.sweeping) {
            return;
        }
        if self.liveness() == Liveness::Counters && self.final_number == self.gc.number {
            return; // Read again, still the same cycle.
        }
        let at_ns = self
            .gc
            .cycles()
            .back()
            .map_or(self.now_ns, |cycle| cycle.at_ns);
        self.settle(at_ns, self.gc.number, None);
    }

    /// Makes the values of cycle `number` final, which ended at `at_ns`. `late` holds what was born since, if it is not
    /// the last cycle.
    pub(super) fn settle(&mut self, at_ns: u64, number: Option<u32>, late: Option<&Since>) {
        if self.axis.push(at_ns) {
            for bucket in &mut self.buckets {
                bucket.steps.halve();
            }
        }
        for idx in self.touched.take() {
            if self.restate(idx, late) > 0 {
                self.touched.insert(idx); // They count with the next cycle, events or not.
            }
            self.tell_counts(idx, self.buckets[idx as usize].settled_cycle);
        }
        let live = self.live_and_sampled(at_ns);
        self.diagnosis.gc(at_ns, live);
        self.diagnosis.recorded.swept(at_ns, &self.buckets);
        self.retain(at_ns);
        self.final_cycles += 1;
        self.final_number = number;
        if std::mem::take(&mut self.is_provisional) {
            for i in 0..std::mem::take(&mut self.provisional_baselines) {
                self.baseline_counts[i] = self.settled_counts();
                self.baselines[i].gc_cycles = self.gc.number;
                self.baselines[i].live_bytes = self.heap().live_bytes;
                self.baseline_finals[i] = self.final_cycles;
            }
        }
        self.generation += 1;
    }

    /// Sets a bucket's value after the last final cycle from its counts. Returns what was born since and is not in it.
    pub(super) fn restate(&mut self, idx: u32, late: Option<&Since>) -> u64 {
        let epoch = self.gc.epoch;
        let bucket = &mut self.buckets[idx as usize];
        let weighted = self.marks.get_mut(idx);
        let (since, samples_since) = match late {
            Some(late) => late.get(&idx).copied().unwrap_or_default(),
            None => (
                bucket.born_since_mark(epoch),
                weighted.as_ref().map_or(0, |w| w.since_mark(epoch)),
            ),
        };
        bucket.settled_cycle = bucket.without(since);
        let Counts { allocs, frees } = bucket.settled_cycle;
        let turnover = match weighted {
            Some(weighted) => {
                weighted.settled = weighted.live().saturating_sub(samples_since);
                weighted.turns
            }
            None => allocs.wrapping_add(frees),
        };
        bucket
            .steps
            .push(&self.axis, bucket.settled_cycle.live(), turnover);
        since
    }

    fn settled_counts(&self) -> Vec<Counts> {
        self.buckets
            .iter()
            .map(|bucket| bucket.settled_cycle)
            .collect()
    }

    pub(super) fn mark_baseline(&mut self, at_ns: u64) {
        if self.baselines.len() >= MAX_BASELINES {
            // The attach stays; of the others the oldest goes.
            self.baselines.remove(1);
            self.baseline_counts.remove(1);
            self.baseline_finals.remove(1);
            self.resident.forget_baseline(1);
            self.goroutines.forget_baseline(1);
        }
        self.resident.mark_baseline();
        let heap = self.heap();
        self.baselines.push(Baseline {
            at_ns,
            is_attach: self.baselines.is_empty(),
            live_bytes: heap.live_bytes,
            gc_cycles: heap.gc_cycles,
        });
        self.baseline_counts.push(self.settled_counts());
        self.baseline_finals.push(self.final_cycles);
        self.goroutines.mark_baseline();
        self.active_baseline = self.baselines.len() - 1;
        if self.is_provisional {
            self.provisional_baselines = self.baselines.len();
        }
        self.generation += 1;
    }
}
