//! The live heap at each mark termination, as the growth test takes it.
//!
//! Objects allocated while marking runs are born marked, so that the marked bytes hold all of them, dead or alive. Counting
//! none of them lowers the noise by half. The probes read the heap at both ends of marking; where they could not, the
//! cumulative allocation between the reads of the figures around them stands in, and where neither is known, the mark is
//! dropped: a series holds one kind of values.

use std::collections::VecDeque;

use crate::verdict::growth::Mark;

/// Reads of the figures that are kept: ten a second, and marking of a large heap takes some seconds.
const MAX_READS: usize = 256;
/// Marks that wait for the read behind them: cycles come at most some dozen times a second, reads ten times.
const MAX_WAITING: usize = 64;
/// Longest gap to a read over which allocation is interpolated.
const MAX_GAP_NS: u64 = 1_000_000_000;

/// Makes marks of GC hooks and of reads of the runtime's figures.
#[derive(Clone, Debug, Default)]
pub(super) struct LiveSeries {
    attached_ns: u64,
    /// Time and cumulative allocation, oldest first.
    reads: VecDeque<(u64, u64)>,
    started: Option<Start>,
    waiting: VecDeque<Waiting>,
}

/// Start of marking.
#[derive(Clone, Copy, Debug)]
struct Start {
    at_ns: u64,
    heap_bytes: Option<u64>,
}

/// A mark whose cumulative allocation is not known yet.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    at_ns: u64,
    marked_bytes: u64,
    started: Option<Start>,
    heap_bytes: Option<u64>,
}

impl LiveSeries {
    /// A series whose times count from the attach.
    pub(super) fn new(attached_ns: u64) -> Self {
        Self {
            attached_ns,
            ..Self::default()
        }
    }

    /// Marking starts. `heap_bytes`: heap then, where the probe could read it.
    pub(super) fn started(&mut self, at_ns: u64, heap_bytes: Option<u64>) {
        self.started = Some(Start { at_ns, heap_bytes });
    }

    /// Marking has ended. `heap_bytes`: heap then, not yet reset to what was marked.
    pub(super) fn marked(&mut self, at_ns: u64, marked_bytes: u64, heap_bytes: Option<u64>) {
        if self.waiting.len() == MAX_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(Waiting {
            at_ns,
            marked_bytes,
            started: self.started.take(),
            heap_bytes,
        });
    }

    /// The figures were read. Returns the marks that are complete with it, oldest first.
    pub(super) fn read(&mut self, at_ns: u64, allocated_bytes: u64) -> Vec<Mark> {
        if self.reads.len() == MAX_READS {
            self.reads.pop_front();
        }
        self.reads.push_back((at_ns, allocated_bytes));
        let mut marks = Vec::new();
        while let Some(waiting) = self.waiting.front()
            && waiting.at_ns <= at_ns
        {
            marks.extend(self.complete(waiting));
            self.waiting.pop_front();
        }
        marks
    }

    fn complete(&self, waiting: &Waiting) -> Option<Mark> {
        let start = waiting.started?;
        let allocated = self.allocated_at(waiting.at_ns);
        let by_probes = start
            .heap_bytes
            .zip(waiting.heap_bytes)
            .and_then(|(from, to)| to.checked_sub(from))
            .map(|bytes| bytes as f64);
        let by_reads = || Some(allocated? - self.allocated_at(start.at_ns)?);
        let since_attach = waiting.at_ns.checked_sub(self.attached_ns)?;
        Some(Mark {
            at_s: since_attach as f64 / 1e9,
            marked_bytes: waiting.marked_bytes as f64,
            born_marked_bytes: by_probes.or_else(by_reads)?,
            allocated_bytes: allocated,
            large_bytes: None,
        })
    }

    /// Cumulative allocation at a time, between two reads in proportion.
    fn allocated_at(&self, at_ns: u64) -> Option<f64> {
        let after = self.reads.partition_point(|&(read_ns, _)| read_ns < at_ns);
        let &(to_ns, to) = self.reads.get(after)?;
        let Some(&(from_ns, from)) = after.checked_sub(1).and_then(|i| self.reads.get(i)) else {
            return (to_ns.saturating_sub(at_ns) <= MAX_GAP_NS).then_some(to as f64);
        };
        if to_ns - from_ns > 2 * MAX_GAP_NS {
            return None;
        }
        let part = (at_ns - from_ns) as f64 / (to_ns - from_ns).max(1) as f64;
        Some(from as f64 + (to as f64 - from as f64) * part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;
    const MIB: u64 = 1 << 20;

    #[test]
    fn what_is_born_marked_comes_from_the_probes() {
        let mut series = LiveSeries::new(0);
        series.read(SECOND_NS, 100 * MIB);
        series.started(2 * SECOND_NS, Some(61 * MIB));
        series.marked(2 * SECOND_NS + 1, 33 * MIB, Some(64 * MIB));
        let marks = series.read(3 * SECOND_NS, 120 * MIB);
        let [mark] = marks[..] else {
            panic!("{marks:?}");
        };
        assert!(
            (mark.live_bytes() - 30.0 * MIB as f64).abs() < 1.0,
            "{mark:?}"
        );
        let allocated = mark.allocated_bytes.unwrap() / MIB as f64;
        assert!((allocated - 110.0).abs() < 0.01, "{mark:?}");
    }

    #[test]
    fn and_else_from_the_reads_around_marking() {
        let mut series = LiveSeries::new(0);
        series.read(SECOND_NS, 100 * MIB);
        series.started(SECOND_NS + SECOND_NS / 2, None);
        series.marked(SECOND_NS + SECOND_NS * 7 / 10, 33 * MIB, Some(64 * MIB));
        let marks = series.read(2 * SECOND_NS, 110 * MIB);
        let live = marks[0].live_bytes() / MIB as f64;
        assert!((live - 31.0).abs() < 0.01, "{live}");
    }

    #[test]
    fn a_mark_without_its_start_is_dropped() {
        let mut series = LiveSeries::new(0);
        series.read(SECOND_NS, 100 * MIB);
        series.marked(SECOND_NS + 5, 33 * MIB, Some(64 * MIB));
        assert_eq!(series.read(2 * SECOND_NS, 110 * MIB), []);
    }
}
