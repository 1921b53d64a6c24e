//! Which GC cycle's marks are to be read, and whether they can be by now.
//!
//! A cycle shows in two places: its hook comes through the ring, while the world is stopped and before its marks are in
//! force; and the runtime counts it, once they are. Either may be seen first, and the hook may be lost.

/// How long the hook of a cycle that is over is waited for, before it counts as lost: a thread of the target that loses
/// its processor amid a record, to others or to the quota of its cgroup, gets it back within some tenths of a second.
const HOOK_WITHIN_NS: u64 = 1_000_000_000;
/// Readings of one cycle's marks that may leave objects undecided: then it is told with these alive.
const MAX_UNDECIDED: u32 = 4;

/// What came of a try to read the marks, or is to come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Try {
    /// Those of the last cycle are read, and may be told.
    Done,
    /// A cycle ends, or ended meanwhile: what was found is of no one cycle.
    Again,
    /// At the next look.
    Later,
}

/// The marks that are due.
#[derive(Clone, Copy, Debug, Default)]
pub struct MarksDue {
    /// The cycle whose marks were read last.
    read: Option<u32>,
    /// The last cycle whose hook came.
    hooked: u32,
    /// A cycle has ended since, or some marks of the last could not be read.
    is_due: bool,
    /// Readings of the last cycle's marks that left some object undecided.
    undecided: u32,
    /// Since when a cycle is over whose hook has not come.
    hookless_ns: Option<u64>,
}

impl MarksDue {
    /// Nothing is due of this cycle or an earlier one.
    pub fn after(cycle: Option<u32>) -> Self {
        Self {
            read: cycle,
            ..Self::default()
        }
    }

    /// Whether marks are to be read.
    pub fn is_due(&self) -> bool {
        self.is_due
    }

    /// The runtime has counted so many cycles.
    pub fn counted(&mut self, cycle: u32) {
        self.is_due |= self.read != Some(cycle);
    }

    /// The hook of a cycle came, with its number where the probe could read it.
    pub fn hooked(&mut self, cycle: Option<u32>) {
        self.is_due = true;
        // One without a number may be that of a cycle whose marks are not in force yet: it ends no wait.
        self.hooked = self.hooked.max(cycle.unwrap_or(0));
    }

    /// Why the marks of `cycle`, the last that is in force, are not to be read at `now_ns`; `None` if they are.
    pub fn hindered(&mut self, cycle: u32, now_ns: u64) -> Option<Try> {
        if cycle < self.hooked {
            // The next one's are not in force yet: what was born since those of this cycle would pass for dead.
            return Some(Try::Again);
        }
        if cycle == self.hooked {
            self.hookless_ns = None;
            return None;
        }
        // A busy record of another CPU hides the hook, and births that have to be held against these marks.
        let since_ns = *self.hookless_ns.get_or_insert(now_ns);
        (now_ns < since_ns.saturating_add(HOOK_WITHIN_NS)).then_some(Try::Later)
    }

    /// The marks of `cycle` were read, and left so many objects undecided, whose spans were being swept.
    pub fn read(&mut self, cycle: u32, undecided: usize) -> Try {
        if self.read.replace(cycle) != Some(cycle) {
            self.undecided = 0;
        }
        if undecided > 0 && self.undecided < MAX_UNDECIDED {
            self.undecided += 1;
            return Try::Later;
        }
        self.is_due = false;
        self.hookless_ns = None;
        Try::Done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_due_once_for_each_cycle() {
        let mut due = MarksDue::after(Some(7));
        due.counted(7);
        assert!(!due.is_due());
        due.hooked(Some(8));
        assert!(due.is_due());
        assert_eq!(due.hindered(8, 0), None);
        assert_eq!(due.read(8, 0), Try::Done);
        assert!(!due.is_due());
        due.counted(8);
        assert!(!due.is_due());
        due.counted(9);
        assert!(due.is_due(), "its hook is still to come");
    }

    #[test]
    fn marks_of_a_cycle_whose_successor_stops_the_world_are_not_read() {
        let mut due = MarksDue::after(Some(7));
        due.hooked(Some(8));
        assert_eq!(due.hindered(7, 0), Some(Try::Again));
        assert_eq!(due.hindered(8, 0), None);
    }

    #[test]
    fn a_hook_is_waited_for_until_it_counts_as_lost() {
        let mut due = MarksDue::after(Some(7));
        due.counted(8);
        assert_eq!(due.hindered(8, 5), Some(Try::Later));
        assert_eq!(due.hindered(8, 4 + HOOK_WITHIN_NS), Some(Try::Later));
        assert_eq!(due.hindered(8, 5 + HOOK_WITHIN_NS), None);
        assert_eq!(due.read(8, 0), Try::Done);
        due.counted(9);
        let later = 6 + HOOK_WITHIN_NS;
        assert_eq!(due.hindered(9, later), Some(Try::Later), "waited for anew");
        due.hooked(Some(9));
        assert_eq!(due.hindered(9, later), None);
    }

    /// Rows of a heap that is collected many times a second are not held up for ever.
    #[test]
    fn cycles_that_come_meanwhile_do_not_prolong_the_wait() {
        let mut due = MarksDue::after(Some(7));
        for (cycle, at_ns) in (8..).zip((0..HOOK_WITHIN_NS).step_by(100_000_000)) {
            assert_eq!(due.hindered(cycle, at_ns), Some(Try::Later));
        }
        assert_eq!(due.hindered(18, HOOK_WITHIN_NS), None);
    }

    /// A probe that cannot read the number tells that a cycle ended, and the runtime's count which one.
    #[test]
    fn a_hook_without_a_number_makes_marks_due() {
        let mut due = MarksDue::after(Some(7));
        due.hooked(None);
        assert!(due.is_due());
        assert_eq!(due.hindered(7, 0), Some(Try::Later));
        assert_eq!(due.hindered(8, 0), Some(Try::Later));
        assert_eq!(due.hindered(8, HOOK_WITHIN_NS), None);
    }

    #[test]
    fn objects_that_stay_undecided_hold_a_cycle_up_for_some_looks() {
        let mut due = MarksDue::after(None);
        due.hooked(Some(8));
        for _ in 0..MAX_UNDECIDED {
            assert_eq!(due.read(8, 3), Try::Later);
            assert!(due.is_due());
        }
        assert_eq!(due.read(8, 3), Try::Done);
        assert!(!due.is_due());
        due.hooked(Some(9));
        assert_eq!(due.read(9, 3), Try::Later, "another cycle");
        assert_eq!(due.read(9, 0), Try::Done);
    }
}
