//! One bucket of the target as the model knows it: a state machine of first read, events and later reads.
//!
//! The counters in the target and the events of the probes tell the same story at different moments:
//! `allocs++` comes before the birth's probe and `frees++` after the free's. So a counter ahead of its
//! events is in flight or lost, a counter behind its events is in flight and never a loss. A difference
//! is mended only where the kernel says that records were lost and the bucket was quiet while it was read.

use std::sync::Arc;

pub use crate::event::Lost;
use crate::go::buckets::{BucketCounts, Counts};

use super::history::Steps;

/// Whether a bucket's `base` is known to be right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Agreement {
    /// Events may have been counted on both sides of the read that set `base`: the next quiet
    /// comparison may move it, and that is settling, not repair.
    #[default]
    Tentative,
    /// A quiet comparison agreed. From here a difference needs lost records to be believed.
    Settled,
    /// Repaired, and not looked at since: what was in flight beside the loss may be taken back, which is
    /// settling.
    Repaired,
}

/// What a comparison of a read with the events came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// Equal.
    Agreed,
    /// Not yet to be judged: events in the window of the read, or in flight.
    Deferred,
    /// `base` was moved while tentative; look again.
    SettledOn,
    /// Records were lost; so many births and frees were put back.
    Repaired(u64),
}

/// One bucket.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// Address in the target: its identity.
    pub addr: u64,
    /// Bytes of one object.
    pub object_bytes: u64,
    /// Return addresses, leaf first.
    pub pcs: Arc<[u64]>,
    /// Samples counted outside of the events.
    base: Counts,
    /// Samples counted by events; of a source by marks in units of their weights, as all other counts then are.
    events: Counts,
    agreement: Agreement,
    /// Records lost when the bucket was last read and agreed.
    agreed_at_lost: Lost,
    /// When the last event came.
    last_event_ns: u64,
    /// Births after the last mark termination, valid in `mark_epoch` alone.
    born_since_mark: u64,
    mark_epoch: u64,
    /// Counts as of the last final GC cycle: births before its mark termination, frees by its sweep.
    pub settled_cycle: Counts,
    /// What the bucket held when it was first read; zero for one that was born later.
    pub at_attach: Counts,
    /// Live samples after the recent cycles.
    pub steps: Steps,
    /// Go type of its objects, where the source tells types.
    pub go_type: Option<Arc<str>>,
    /// The label of `go_type`, or of having none.
    pub type_label: u32,
    /// Index of the call site's frame in `pcs`, once its name is known.
    pub site_frame: Option<u32>,
    /// Waits for a comparison.
    pub unsettled: bool,
}

impl Bucket {
    /// A bucket without counts: those of `first` come with [`Bucket::compare`].
    pub fn new(addr: u64, object_bytes: u64, pcs: Arc<[u64]>) -> Self {
        Self {
            addr,
            object_bytes,
            pcs,
            base: Counts::default(),
            events: Counts::default(),
            agreement: Agreement::Tentative,
            agreed_at_lost: Lost::default(),
            last_event_ns: 0,
            born_since_mark: 0,
            mark_epoch: 0,
            settled_cycle: Counts::default(),
            at_attach: Counts::default(),
            steps: Steps::default(),
            go_type: None,
            type_label: 0,
            site_frame: None,
            unsettled: true,
        }
    }

    /// All samples up to now.
    pub fn total(&self) -> Counts {
        self.base + self.events
    }

    /// Counts a birth in mark epoch `epoch`.
    pub fn born(&mut self, at_ns: u64, epoch: u64) {
        self.last_event_ns = at_ns;
        self.add(1, epoch, true);
    }

    /// Adds births of `units`; `since_mark` unless they came before the mark termination that began `epoch`.
    pub fn add(&mut self, units: u64, epoch: u64, since_mark: bool) {
        self.events.allocs += units;
        self.born_since_mark = self.born_since_mark(epoch) + if since_mark { units } else { 0 };
        self.mark_epoch = epoch;
    }

    /// Takes back `units` by deaths; `since_mark` if they were added as such in `epoch`.
    pub fn take(&mut self, units: u64, epoch: u64, since_mark: bool) {
        self.events.frees += units;
        let gone = if since_mark { units } else { 0 };
        self.born_since_mark = self.born_since_mark(epoch).saturating_sub(gone);
        self.mark_epoch = epoch;
    }

    /// Counts a free.
    pub fn freed(&mut self, at_ns: u64) {
        self.events.frees += 1;
        self.last_event_ns = at_ns;
    }

    /// Births since the mark termination that began `epoch`.
    pub fn born_since_mark(&self, epoch: u64) -> u64 {
        if self.mark_epoch == epoch {
            self.born_since_mark
        } else {
            0
        }
    }

    /// Counts as of the mark termination that began `epoch`, once its sweep is done.
    pub fn after_gc(&self, epoch: u64) -> Counts {
        self.without(self.born_since_mark(epoch))
    }

    /// Counts without so many births.
    pub fn without(&self, born: u64) -> Counts {
        let total = self.total();
        Counts {
            allocs: total.allocs.saturating_sub(born),
            frees: total.frees,
        }
    }

    /// Takes the target's counters as they are: for reads without probes.
    pub fn overwrite(&mut self, read: BucketCounts, epoch: u64) {
        self.base = read.total;
        self.events = Counts::default();
        self.set_born_since_mark(read, epoch);
        self.agreement = Agreement::Settled;
    }

    /// Sets the base of a bucket that is read for the first time: what its events do not explain.
    /// `epoch` is given where the read is of this very mark epoch; else births since the mark are those of
    /// the events.
    pub fn first_read(&mut self, read: BucketCounts, epoch: Option<u64>, lost_before: Lost) {
        self.base = read.total - self.events;
        if let Some(epoch) = epoch {
            self.set_born_since_mark(read, epoch);
        }
        self.agreed_at_lost = lost_before;
    }

    fn set_born_since_mark(&mut self, read: BucketCounts, epoch: u64) {
        self.born_since_mark = read.born_since_mark;
        self.mark_epoch = epoch;
    }

    /// Holds a read against the events.
    ///
    /// * `from_ns`: when the window of the read began. A bucket with an event since then says nothing,
    ///   not even where it seems to agree: a lost birth and one that came after the read cancel.
    /// * `lost_before`, `lost`: the kernel's loss counts from before the read and from after it.
    /// * `epoch`: given where the read is of this very mark epoch.
    pub fn compare(
        &mut self,
        read: BucketCounts,
        from_ns: u64,
        (lost_before, lost): (Lost, Lost),
        epoch: Option<u64>,
    ) -> Compared {
        if self.last_event_ns >= from_ns {
            return Compared::Deferred;
        }
        let total = self.total();
        let missing = Counts {
            allocs: ahead(read.total.allocs, total.allocs),
            frees: ahead(read.total.frees, total.frees),
        };
        let compared = if read.total == total {
            // What was lost while it was read is not in the read, and is still to be found.
            self.agreed_at_lost = lost_before;
            Compared::Agreed
        } else if self.agreement == Agreement::Settled {
            let believed = Counts {
                allocs: if lost.born > self.agreed_at_lost.born {
                    missing.allocs
                } else {
                    0
                },
                frees: if lost.freed > self.agreed_at_lost.freed {
                    missing.frees
                } else {
                    0
                },
            };
            if believed == Counts::default() {
                return Compared::Deferred;
            }
            self.base = self.base + believed;
            Compared::Repaired(believed.allocs + believed.frees)
        } else {
            self.base = read.total - self.events;
            Compared::SettledOn
        };
        self.agreement = match compared {
            Compared::Agreed => Agreement::Settled,
            Compared::Repaired(_) => Agreement::Repaired,
            _ => self.agreement,
        };
        if let Some(epoch) = epoch {
            self.set_born_since_mark(read, epoch);
        }
        compared
    }
}

/// How far a counter is ahead of what is known; 0 if it is behind.
fn ahead(counter: u64, known: u64) -> u64 {
    // Counts wrap around zero while a base is tentative, so the sign is that of the difference.
    let difference = counter.wrapping_sub(known);
    if difference >> 63 == 0 { difference } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(allocs: u64, frees: u64) -> BucketCounts {
        BucketCounts {
            total: Counts { allocs, frees },
            born_since_mark: 0,
        }
    }

    const NONE: Lost = Lost { born: 0, freed: 0 };

    fn lost(records: u64) -> Lost {
        Lost {
            born: records,
            freed: records,
        }
    }

    fn bucket_with_base(allocs: u64, frees: u64) -> Bucket {
        let mut bucket = Bucket::new(1, 64, [1].into());
        bucket.first_read(read(allocs, frees), Some(0), NONE);
        assert_eq!(
            bucket.compare(read(allocs, frees), 5, (NONE, lost(0)), Some(0)),
            Compared::Agreed
        );
        bucket
    }

    #[test]
    fn events_and_counters_that_agree_stay_settled() {
        let mut bucket = bucket_with_base(10, 4);
        bucket.born(20, 0);
        bucket.freed(21);
        assert_eq!(
            bucket.compare(read(11, 5), 30, (NONE, lost(0)), Some(0)),
            Compared::Agreed
        );
        assert_eq!(
            bucket.total(),
            Counts {
                allocs: 11,
                frees: 5
            }
        );
    }

    #[test]
    fn a_difference_without_lost_records_is_in_flight() {
        let mut bucket = bucket_with_base(10, 4);
        assert_eq!(
            bucket.compare(read(11, 4), 30, (NONE, lost(0)), Some(0)),
            Compared::Deferred,
            "the birth's event is still to come"
        );
        bucket.born(40, 0);
        bucket.freed(41);
        assert_eq!(
            bucket.compare(read(11, 4), 50, (NONE, lost(0)), Some(0)),
            Compared::Deferred,
            "the free's counter is still to come"
        );
        assert_eq!(
            bucket.total(),
            Counts {
                allocs: 11,
                frees: 5
            }
        );
    }

    #[test]
    fn a_loss_is_repaired_once_and_only_where_the_bucket_was_quiet() {
        let mut bucket = bucket_with_base(10, 4);
        bucket.born(100, 0);
        assert_eq!(
            bucket.compare(read(14, 6), 90, (NONE, lost(3)), Some(0)),
            Compared::Deferred,
            "an event in the window"
        );
        assert_eq!(
            bucket.compare(read(14, 6), 110, (NONE, lost(3)), Some(0)),
            Compared::Repaired(5)
        );
        assert_eq!(
            bucket.total(),
            Counts {
                allocs: 14,
                frees: 6
            }
        );
        assert_eq!(
            bucket.compare(read(14, 6), 120, (NONE, lost(3)), Some(0)),
            Compared::Agreed
        );
    }

    #[test]
    fn a_tentative_base_moves_without_being_counted_as_repair() {
        let mut bucket = Bucket::new(1, 64, [1].into());
        bucket.first_read(read(10, 0), Some(0), NONE); // read while a birth was in flight: its event comes now
        bucket.born(7, 0);
        assert_eq!(
            bucket.compare(read(10, 0), 20, (NONE, lost(0)), Some(0)),
            Compared::SettledOn
        );
        assert_eq!(
            bucket.total(),
            Counts {
                allocs: 10,
                frees: 0
            }
        );
        assert_eq!(
            bucket.compare(read(10, 0), 30, (NONE, lost(0)), Some(0)),
            Compared::Agreed
        );
    }

    #[test]
    fn births_after_the_mark_do_not_count_as_live_after_it() {
        let mut bucket = bucket_with_base(10, 4);
        bucket.born(20, 1);
        bucket.born(21, 2);
        assert_eq!(
            bucket.after_gc(2),
            Counts {
                allocs: 11,
                frees: 4
            }
        );
        assert_eq!(
            bucket.after_gc(3),
            Counts {
                allocs: 12,
                frees: 4
            }
        );
    }

    #[test]
    fn a_birth_lost_while_the_bucket_was_read_is_found_by_the_next_read() {
        let mut bucket = bucket_with_base(10, 4);
        let agreed = bucket.compare(read(10, 4), 20, (NONE, lost(1)), Some(0));
        assert_eq!(agreed, Compared::Agreed);
        let repaired = bucket.compare(read(11, 4), 30, (lost(1), lost(1)), Some(0));
        assert_eq!(repaired, Compared::Repaired(1));
    }

    #[test]
    fn a_lost_birth_and_a_later_one_do_not_pass_for_agreement() {
        let mut bucket = bucket_with_base(10, 4);
        bucket.born(25, 0); // after the counters were read, in the window
        let compared = bucket.compare(read(11, 4), 20, (lost(1), lost(1)), Some(0));
        assert_eq!(compared, Compared::Deferred);
        let repaired = bucket.compare(read(12, 4), 30, (lost(1), lost(1)), Some(0));
        assert_eq!(repaired, Compared::Repaired(1));
    }

    #[test]
    fn lost_frees_do_not_license_repairs_of_births() {
        let mut bucket = bucket_with_base(10, 4);
        let freed = Lost { born: 0, freed: 9 };
        let compared = bucket.compare(read(11, 4), 20, (freed, freed), Some(0));
        assert_eq!(compared, Compared::Deferred);
    }
}
