//! A census of the Go heap: every span, held against the page tables, so that each resident byte of the heap's arenas
//! is counted once, as what it is.

/// What lies in the arenas of the Go heap. Its resident bytes sum up: objects + waste + stacks + work + idle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Address space of all arenas.
    pub arena_bytes: u64,
    /// Resident bytes of the arenas, by the page tables.
    pub resident_bytes: u64,
    /// Spans of objects by size class: the index is the class, 0 holds large objects, one span each.
    pub classes: Vec<ClassCensus>,
    /// Stacks of goroutines: those in use, and free ones that are kept for new goroutines.
    pub stacks: SpanSum,
    /// Work buffers of the GC.
    pub work: SpanSum,
    /// Resident pages that no span holds: freed, and not yet given back to the kernel.
    pub idle_bytes: u64,
    /// Spans that could not be read: their pages count as idle.
    pub unread_spans: u64,
}

/// Spans of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanSum {
    /// Spans.
    pub spans: u64,
    /// Their bytes, in whole pages.
    pub bytes: u64,
    /// Of them resident.
    pub resident_bytes: u64,
}

/// Spans of one size class.
///
/// Where pages of a span are not resident, they are taken from its free slots first: those were likelier never written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassCensus {
    /// Spans, their bytes, and what of them is resident.
    pub sum: SpanSum,
    /// Slots that are taken: live objects, and dead ones that were not swept yet.
    pub objects: u64,
    /// Bytes of those slots.
    pub object_bytes: u64,
    /// Of them resident.
    pub object_resident_bytes: u64,
}

impl ClassCensus {
    /// Resident bytes of free slots, and of what is left over behind the last slot: fragmentation.
    pub fn waste_bytes(&self) -> u64 {
        self.sum
            .resident_bytes
            .saturating_sub(self.object_resident_bytes)
    }
}

impl Census {
    /// Resident bytes of taken slots.
    pub fn object_resident_bytes(&self) -> u64 {
        self.classes.iter().map(|c| c.object_resident_bytes).sum()
    }

    /// Bytes of taken slots, resident or not.
    pub fn object_bytes(&self) -> u64 {
        self.classes.iter().map(|c| c.object_bytes).sum()
    }

    /// Resident bytes of free slots and tails.
    pub fn waste_bytes(&self) -> u64 {
        self.classes.iter().map(ClassCensus::waste_bytes).sum()
    }
}
