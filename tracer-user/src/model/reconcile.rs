//! Which buckets the model wants to see next. Reading them is the edge's work.

use super::gc::SECOND_NS;

/// Reads are at least this far apart: 16 000 buckets read twice take 20 ms, and small heaps flush 50
/// times a second.
const MIN_GAP_NS: u64 = SECOND_NS;
/// Without a flush the comparison comes by itself: a full ring loses GC hooks too.
const TIMER_NS: u64 = 5 * SECOND_NS;
/// Every read looks at one in so many of the quiet buckets as well.
const ROTATION: usize = 16;

/// Buckets to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadRequest {
    /// Every bucket of the target; `buckets` is empty then.
    pub all: bool,
    /// Addresses of those wanted, without order.
    pub buckets: Vec<u64>,
}

/// When reads are due, and whose turn it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Reconcile {
    asked_ns: u64,
    flushed: bool,
    next: usize,
    full: bool,
}

impl Reconcile {
    /// The runtime has flushed its profile: its memory may be read now.
    pub(super) fn flushed(&mut self) {
        self.flushed = true;
    }

    /// Something is missing that only a full read mends.
    pub(super) fn want_all(&mut self) {
        self.full = true;
    }

    /// Returns true if a read is due at `now_ns`. `is_awaited` tells whether something waits for one. It may look at every
    /// bucket, so it is called last.
    pub(super) fn due(&mut self, now_ns: u64, is_awaited: impl FnOnce() -> bool) -> bool {
        let since = now_ns.saturating_sub(self.asked_ns);
        let due =
            since >= MIN_GAP_NS && (self.flushed || self.full || since >= TIMER_NS || is_awaited());
        if due {
            self.asked_ns = now_ns;
            self.flushed = false;
        }
        due
    }

    /// Whether everything is to be read, until it was.
    pub(super) fn wants_all(&self) -> bool {
        self.full
    }

    /// Everything has been read.
    pub(super) fn has_all(&mut self) {
        self.full = false;
    }

    /// The slice of `n` buckets whose turn it is, as a range of indices.
    pub(super) fn turn(&mut self, n: usize) -> std::ops::Range<usize> {
        let from = if self.next >= n { 0 } else { self.next };
        let to = (from + n.div_ceil(ROTATION)).min(n);
        self.next = to;
        from..to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flushes_are_coalesced_and_every_bucket_has_its_turn() {
        let mut reconcile = Reconcile::default();
        let mut reads = 0;
        for ms in 0..10_000u64 {
            reconcile.flushed();
            reads += u32::from(reconcile.due(SECOND_NS + ms * 1_000_000, || false));
        }
        assert_eq!(reads, 10);
        let mut seen = vec![0; 50];
        for _ in 0..2 * ROTATION {
            for i in reconcile.turn(50) {
                seen[i] += 1;
            }
        }
        assert!(seen.iter().all(|&n| n >= 1), "{seen:?}");
    }
}
