//! Readings of the runtime's buckets: the first, those that are held against the events, and what is wanted next.

use super::bucket::{Bucket, Compared};
use super::history::Steps;
use super::rows::{Liveness, Status};
use super::{Model, ReadRequest};
use crate::event::BucketsRead;
use crate::go::buckets::{Counts, NewBucket, PROF_CYCLE_WRAP};

impl Model {
    pub(super) fn apply_buckets(&mut self, read: BucketsRead) {
        self.saw(read.to_ns);
        self.truncated_stacks = self.truncated_stacks.max(read.truncated_stacks);
        self.omitted = self.omitted.max(read.omitted);
        let mut first_reads: Vec<u32> = Vec::new();
        for new in read.new {
            if let Some(idx) = self.add_bucket(new) {
                first_reads.push(idx);
            }
        }
        if !first_reads.is_empty() {
            self.place_sites(); // Their names may all be known.
        }
        first_reads.sort_unstable();
        let of_this_cycle = read.cycle.is_some()
            && read.cycle == self.gc.number.map(|number| number % PROF_CYCLE_WRAP)
            && self.last_mark_ns < read.from_ns;
        let epoch = of_this_cycle.then_some(self.gc.epoch);
        let lost = (read.lost_before, self.kernel.lost_samples());
        let liveness = self.liveness();
        let first = !self.ready && read.complete;
        // Before the first cycle nothing was ever collected: all that was allocated is in use.
        let no_cycle_yet = self.gc.number == Some(0);
        let counts = match liveness {
            Liveness::Marks => Vec::new(), // The runtime's own records are not this source's.
            Liveness::FreeEvents | Liveness::Counters => read.counts,
        };
        for (addr, mut counts) in counts {
            let Some(&idx) = self.by_addr.get(&addr) else {
                continue;
            };
            if no_cycle_yet {
                counts.born_since_mark = 0;
            }
            let bucket = &mut self.buckets[idx as usize];
            let frees = bucket.total().frees;
            if liveness == Liveness::Counters {
                bucket.overwrite(counts, self.gc.epoch);
            } else if first_reads.binary_search(&idx).is_ok() {
                bucket.first_read(counts, epoch.or(first.then_some(self.gc.epoch)), lost.0);
            } else {
                match bucket.compare(counts, read.from_ns, lost, epoch) {
                    Compared::Agreed => {
                        bucket.unsettled = false;
                        if epoch.is_some() {
                            self.touched.insert(idx);
                        }
                        continue;
                    }
                    Compared::Deferred => continue,
                    Compared::SettledOn => {
                        let bucket = &self.buckets[idx as usize];
                        if bucket.total().allocs < bucket.at_attach.allocs {
                            // The first read was torn: what it had too much was never allocated.
                            self.buckets[idx as usize].at_attach = bucket.total();
                        }
                    }
                    Compared::Repaired(records) => {
                        self.repaired += records;
                        let frees = bucket.total().frees.wrapping_sub(frees);
                        self.diagnosis.feed.repaired(idx, frees, read.to_ns);
                    }
                }
                if !self.gc.sweeping && of_this_cycle {
                    self.restate(idx, None);
                }
            }
            if first {
                self.buckets[idx as usize].at_attach = self.buckets[idx as usize].total();
            }
            self.touched.insert(idx);
        }
        if read.complete {
            self.reconcile.has_all();
            self.gc.blind &= !of_this_cycle;
        }
        if first {
            self.first_light(read.swept);
        } else if liveness == Liveness::Counters && of_this_cycle && read.swept && read.complete {
            self.gc.sweeping = true;
            self.finish_cycle();
        }
        self.generation += 1;
    }

    /// Adds a bucket, or completes one that an event named first. `None` for one that is known.
    pub(super) fn add_bucket(&mut self, new: NewBucket) -> Option<u32> {
        let idx = self.bucket_idx(new.addr)?;
        let bucket = &mut self.buckets[idx as usize];
        if !bucket.pcs.is_empty() || bucket.object_bytes != 0 {
            return None;
        }
        bucket.pcs = new.pcs;
        bucket.object_bytes = new.object_bytes;
        if self.target.source.has_types() {
            bucket.type_label = self.names.type_label(new.go_type.as_ref());
            bucket.go_type = new.go_type;
        }
        self.unsited.push(idx);
        Some(idx)
    }

    /// The first reading of everything: rows exist, and the baseline is now.
    fn first_light(&mut self, swept: bool) {
        self.ready = true;
        self.gc.sweeping |= !swept;
        for bucket in &mut self.buckets {
            bucket.settled_cycle = bucket.after_gc(self.gc.epoch);
            let Counts { allocs, frees } = bucket.settled_cycle;
            bucket.steps = Steps::begin(bucket.settled_cycle.live(), allocs.wrapping_add(frees));
        }
        // Nothing was followed before the attach: that is known, and no cycle changes it.
        self.is_provisional =
            self.liveness() != Liveness::Marks && (self.gc.sweeping || self.gc.number == Some(0));
        self.mark_baseline(self.target.attached_ns);
        self.axis.begin(self.now_ns);
        self.final_number = self.gc.number.filter(|_| !self.gc.sweeping);
        self.begin_diagnosis(self.target.attached_ns);
    }

    /// What is to be read from the target's buckets now, if anything.
    pub fn next_reads(&mut self) -> Option<ReadRequest> {
        if !self.ready || self.status != Status::Live {
            return None;
        }
        match self.liveness() {
            Liveness::Marks => return None,
            Liveness::Counters => {
                return self
                    .reconcile
                    .due(self.now_ns, || true)
                    .then(|| ReadRequest {
                        all: true,
                        buckets: Vec::new(),
                    });
            }
            Liveness::FreeEvents => {}
        }
        let is_unsettled = || self.buckets.iter().any(|bucket| bucket.unsettled);
        if !self.reconcile.due(self.now_ns, is_unsettled) {
            return None;
        }
        if self.reconcile.wants_all() {
            return Some(ReadRequest {
                all: true,
                buckets: Vec::new(),
            });
        }
        let turn = self.reconcile.turn(self.buckets.len());
        let wanted = |(i, bucket): &(usize, &Bucket)| bucket.unsettled || turn.contains(i);
        let buckets = self
            .buckets
            .iter()
            .enumerate()
            .filter(wanted)
            .map(|(_, bucket)| bucket.addr)
            .collect();
        Some(ReadRequest {
            all: false,
            buckets,
        })
    }
}
