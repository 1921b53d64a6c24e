//! How many objects a sample stands for: what the runtime's own counters say was allocated, shared out.
//!
//! A span that is taken promises `free_slots` objects, but a GC cycle may take it away half used, the ring may lose a
//! record, and the governor turns the probes off for seconds. The runtime counts what it hands out by size class
//! (`memstats.heapStats`). So the samples of one class and window share what was allocated in it since the window
//! before, in proportion to what they promise. What is shared out over all windows is what was allocated.

use crate::event::{Allocated, SpanTaken};
use crate::go::alloc_counters::AllocCounters;
use crate::go::size_classes::{N_CLASSES, class_of};

/// What is counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class(usize);

impl Class {
    /// Large objects, counted in bytes: one of 50 MiB must not be taken for many of 40 KiB.
    const LARGE: Self = Self(0);

    /// Slots of 16 bytes: those of tiny objects are among them.
    const OF_TINY: Self = Self(2);

    /// The class of a span by its `spanclass`: its size class; 0 for large objects.
    fn of_span(span_class: u8) -> Self {
        Self(usize::from(span_class >> 1).min(N_CLASSES - 1))
    }
}

/// What was allocated in a class and no sample stands for yet, in objects (large ones: in bytes).
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    /// While the probes were on. Negative where samples stand for more than the counters told of so far: the runtime
    /// counts the objects of a span when it is used up.
    due: f64,
    /// While they were off.
    backlog: f64,
}

/// How a window takes over what was allocated during the last pause of the governor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pause {
    /// Part of the backlog that is this window's, 0 to 1: a turn spreads it over its windows.
    pub share: f64,
    /// This window is the last to take over of it: what is left then is another matter.
    pub is_last: bool,
    /// How much longer the pause was than the turn.
    pub off_per_on: f64,
}

impl Pause {
    /// There was none, or it lasts, or it has been taken over.
    pub const NONE: Self = Self {
        share: 0.0,
        is_last: false,
        off_per_on: 0.0,
    };
}

/// Samples take over at most so many times what a steady load would have allocated in the pause: the objects of a burst
/// that nobody saw must not be laid at the door of what came later.
const MOST_TAKEN_OVER: f64 = 2.0;
/// What is left of a backlog after a turn waits for the next: a size class may have no sample in a turn. What waits too
/// long was a burst, and is forgotten.
const KEPT_AFTER_TURN: f64 = 0.5;

/// The accounts of all classes.
#[derive(Clone, Debug)]
pub(super) struct Shares {
    last: AllocCounters,
    accounts: [Account; N_CLASSES],
    /// Objects allocated since the probes were placed, by class; those of up to 16 bytes, tiny ones among them, in that of
    /// 16.
    total_objects: [f64; N_CLASSES],
    /// Samples stand for tiny objects, not for the slots that these share.
    counts_tiny: bool,
}

/// What one sample stands for if the counters do not say otherwise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Promise {
    class: Class,
    /// Objects; 1 at least.
    objects: f64,
    /// In the unit of the class's account: objects, or for large ones bytes.
    amount: f64,
}

impl Promise {
    /// What a span promises: its free slots, or its large object.
    pub(super) fn of_span(taken: &SpanTaken) -> Self {
        Self::new(
            taken.span_class,
            taken.slot_bytes,
            f64::from(taken.free_slots),
        )
    }

    /// What an allocation promises that is followed with the chance of one in `objects`.
    pub(super) fn of_allocation(allocated: &Allocated, objects: f64) -> Self {
        Self::new(allocated.span_class, allocated.object_bytes, objects)
    }

    fn new(span_class: u8, object_bytes: u64, objects: f64) -> Self {
        let class = Class::of_span(span_class);
        let is_large = class == Class::LARGE;
        Self {
            class,
            objects,
            amount: objects * if is_large { object_bytes as f64 } else { 1.0 },
        }
    }
}

/// What a window's promises are worth, by class.
#[derive(Clone, Debug)]
pub(super) struct Worth([f64; N_CLASSES]);

impl Worth {
    /// Every promise is kept.
    const FULL: Self = Self([1.0; N_CLASSES]);

    /// Objects that a sample stands for: at least itself.
    pub(super) fn weight(&self, promise: &Promise) -> f64 {
        (self.0[promise.class.0] * promise.objects).max(1.0)
    }
}

impl Shares {
    /// Nothing is due: `counters` as the runtime has them when the probes are placed. `counts_tiny`: samples stand for tiny
    /// objects, not for the slots that several of these share.
    pub(super) fn new(counters: AllocCounters, counts_tiny: bool) -> Self {
        Self {
            last: counters,
            accounts: [Account::default(); N_CLASSES],
            total_objects: [0.0; N_CLASSES],
            counts_tiny,
        }
    }

    /// The runtime's counters as last taken.
    pub(super) fn counters(&self) -> &AllocCounters {
        &self.last
    }

    /// The runtime's counters moved on; `on` says whether the probes were on meanwhile.
    pub(super) fn allocated(&mut self, counters: AllocCounters, on: bool) {
        let new = counters.since(&self.last);
        self.last = counters;
        for (class, &objects) in new.small_allocs.iter().enumerate() {
            self.total_objects[counted_with(class)] += objects as f64;
        }
        self.total_objects[Class::OF_TINY.0] += new.tiny_allocs as f64;
        self.total_objects[Class::LARGE.0] += new.large_allocs as f64;
        let credit = |account: &mut Account, amount: f64| {
            if on {
                account.due += amount;
            } else {
                account.backlog += amount;
            }
        };
        for (account, &objects) in self.accounts.iter_mut().zip(&new.small_allocs) {
            credit(account, objects as f64);
        }
        credit(&mut self.accounts[Class::LARGE.0], new.large_bytes as f64);
        if self.counts_tiny {
            credit(&mut self.accounts[Class::OF_TINY.0], new.tiny_allocs as f64);
        }
    }

    /// Shares out what is due among the samples of a window.
    ///
    /// * `pause`: how what was allocated while the probes were off is taken over.
    /// * `complete`: each promise is exact, and nothing was missed.
    pub(super) fn share(&mut self, promises: &[Promise], pause: Pause, complete: bool) -> Worth {
        if complete {
            for account in &mut self.accounts {
                *account = Account::default();
            }
            return Worth::FULL;
        }
        let mut totals = [0.0; N_CLASSES];
        for promise in promises {
            totals[promise.class.0] += promise.amount;
        }
        let mut worth = Worth::FULL;
        for ((worth, account), total) in worth.0.iter_mut().zip(&mut self.accounts).zip(totals) {
            if total > 0.0 {
                let most = MOST_TAKEN_OVER * pause.off_per_on * total;
                let taken_over = (account.backlog * pause.share.clamp(0.0, 1.0)).min(most);
                account.backlog -= taken_over;
                account.due += taken_over;
                *worth = (account.due / total).max(0.0);
            }
        }
        if pause.is_last {
            for account in &mut self.accounts {
                account.backlog *= KEPT_AFTER_TURN;
            }
        }
        for promise in promises {
            let objects = worth.weight(promise);
            self.accounts[promise.class.0].due -= objects * promise.amount / promise.objects;
        }
        worth
    }

    /// Objects that the runtime has handed out since the probes were placed, for each of `counted`, at least 1: by size
    /// class, since what is slowed down while it is counted should not speak for what is not.
    pub(super) fn per_counted(&self, counted: &[f64; N_CLASSES]) -> [f64; N_CLASSES] {
        std::array::from_fn(|class| {
            if counted[class] > 0.0 {
                (self.total_objects[class] / counted[class]).max(1.0)
            } else {
                1.0
            }
        })
    }
}

/// The class under which objects of a slot size are held against the runtime's counters: of those up to 16 bytes it cannot
/// be told which are tiny.
pub(super) fn counted_class(object_bytes: u64) -> usize {
    counted_with(class_of(object_bytes))
}

fn counted_with(class: usize) -> usize {
    if class == 1 { Class::OF_TINY.0 } else { class }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counters(objects: u64) -> AllocCounters {
        let mut counters = AllocCounters::default();
        counters.small_allocs[5] = objects;
        counters
    }

    fn promises(amounts: &[u32]) -> Vec<Promise> {
        amounts
            .iter()
            .map(|&objects| Promise::new(5 << 1, 48, objects.into()))
            .collect()
    }

    proptest! {
        #[test]
        fn all_that_was_allocated_is_shared_out_but_for_the_spans_in_use(
            windows in prop::collection::vec(prop::collection::vec(1u32..128, 0..6), 1..60),
        ) {
            let mut shares = Shares::new(counters(0), false);
            let (mut allocated, mut shared) = (0u64, 0.0);
            for amounts in windows {
                // The runtime counts what the spans held; every sample is an allocation itself.
                allocated += amounts.iter().map(|&n| u64::from(n)).sum::<u64>();
                shares.allocated(counters(allocated), true);
                let promises = promises(&amounts);
                let worth = shares.share(&promises, Pause::NONE, false);
                shared += promises.iter().map(|promise| worth.weight(promise)).sum::<f64>();
            }
            let account = shares.accounts[5];
            prop_assert!((shared + account.due - allocated as f64).abs() < 1e-6);
        }
    }

    #[test]
    fn a_span_counted_late_is_made_good_by_the_next() {
        let mut shares = Shares::new(counters(0), false);
        let sample = promises(&[128]);
        assert!((shares.share(&sample, Pause::NONE, false).weight(&sample[0]) - 1.0).abs() < 1e-9);
        shares.allocated(counters(128), true);
        assert!(
            (shares.share(&sample, Pause::NONE, false).weight(&sample[0]) - 127.0).abs() < 1e-9
        );
    }

    #[test]
    fn what_was_allocated_while_off_is_spread_over_a_turn() {
        let mut shares = Shares::new(counters(0), false);
        shares.allocated(counters(1000), false);
        let sample = promises(&[10]);
        let share = |share: f64| Pause {
            share,
            is_last: share >= 1.0,
            off_per_on: 50.0,
        };
        assert!(
            (shares.share(&sample, share(0.25), false).weight(&sample[0]) - 250.0).abs() < 1e-9
        );
        assert!((shares.share(&sample, share(1.0), false).weight(&sample[0]) - 750.0).abs() < 1e-9);
    }

    #[test]
    fn a_burst_that_nobody_saw_is_not_laid_at_the_door_of_what_comes_later() {
        let mut shares = Shares::new(counters(0), false);
        shares.allocated(counters(1_000_000), false);
        let sample = promises(&[10]);
        let pause = Pause {
            share: 1.0,
            is_last: true,
            off_per_on: 30.0,
        };
        assert!(shares.share(&sample, pause, false).weight(&sample[0]) <= 2.0 * 30.0 * 10.0);
        for _ in 0..20 {
            shares.share(&[], pause, false);
        }
        assert!(shares.share(&sample, pause, false).weight(&sample[0]) < 2.0);
    }
}
