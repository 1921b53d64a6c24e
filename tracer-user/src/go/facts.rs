//! The one table and type of what differs between Go releases: offsets of struct fields and values of
//! constants of the runtime, linux/amd64.
//!
//! The numbers are generated from the DWARF of real toolchains by `cargo xtask offsets` into
//! `facts/table.rs`; no other file asks which release it has before it.

#[rustfmt::skip]
#[allow(clippy::wildcard_imports, reason = "the table is generated and names every type of this file")]
mod table;

/// Offsets and constants of one minor series of Go. Offsets are bytes from the start of the struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The minor number: 24 for go1.24.
    pub minor: u16,
    /// `runtime.moduledata`.
    pub moduledata: ModuledataFacts,
    /// `runtime._func` and the inline tree.
    pub func: FuncFacts,
    /// `runtime.memRecord` behind a bucket.
    pub record: RecordFacts,
    /// `runtime.special` and `specialprofile`.
    pub special: SpecialFacts,
    /// `runtime.mspan`.
    pub mspan: MspanFacts,
    /// `runtime.mheap`.
    pub mheap: MheapFacts,
    /// `runtime.gcControllerState`.
    pub gc_controller: GcControllerFacts,
    /// `runtime.mstats`.
    pub mstats: MstatsFacts,
}

/// `runtime.moduledata`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModuledataFacts {
    /// `text`: run-time address of the first instruction.
    pub text: u64,
    /// `etext`.
    pub etext: u64,
    /// `noptrdata`, `enoptrdata`.
    pub noptrdata: u64,
    /// `enoptrdata`.
    pub enoptrdata: u64,
    /// `data`.
    pub data: u64,
    /// `edata`.
    pub edata: u64,
    /// `bss`.
    pub bss: u64,
    /// `ebss`.
    pub ebss: u64,
    /// `noptrbss`.
    pub noptrbss: u64,
    /// `enoptrbss`.
    pub enoptrbss: u64,
    /// `gofunc`: base of funcdata offsets.
    pub gofunc: u64,
    /// `next`: the next module (a plugin), 0 at the end.
    pub next: u64,
}

/// `runtime._func` and `runtime.inlinedCall`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FuncFacts {
    /// Size of the fixed part; pcdata offsets (u32 each) follow, then funcdata offsets.
    pub size: u64,
    /// `startLine` (1.20 and later).
    pub start_line: Option<u64>,
    /// `funcID`, u8.
    pub func_id: u64,
    /// `nfuncdata`, u8.
    pub nfuncdata: u64,
    /// Size of one `runtime.inlinedCall`.
    pub inlined_call_size: u64,
    /// Offsets inside of `inlinedCall`.
    pub inlined: InlinedFacts,
}

/// `runtime.inlinedCall`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InlinedFacts {
    /// 1.20 and later: name offset, parent pc (offset from the entry), start line.
    ByPc {
        /// `nameOff`, i32.
        name_off: u64,
        /// `parentPc`, i32.
        parent_pc: u64,
        /// `startLine`, i32.
        start_line: u64,
    },
    /// 1.19: each node holds its parent's index and the position of the call.
    ByIndex {
        /// `parent`, i16; -1 for the function itself.
        parent: u64,
        /// `file`, i32, an index as in the pcfile table.
        file: u64,
        /// `line`, i32.
        line: u64,
        /// `func_`, i32, a name offset.
        name_off: u64,
        /// `parentPc`, i32.
        parent_pc: u64,
    },
}

/// `runtime.memRecord`: one `active` and three `future` cycles of `cycle_size` bytes each, which begin
/// behind the stack of the bucket. Each cycle holds `allocs` at 0 and `frees` at 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordFacts {
    /// Size of `memRecordCycle`: 32 up to 1.26, 16 from 1.27 (no byte counters).
    pub cycle_size: u64,
}

impl RecordFacts {
    /// Whether the runtime takes the size of an object from its bucket and so knows it before the first
    /// allocation is reported; else from byte counters.
    pub fn sizes_by_bucket(self) -> bool {
        self.cycle_size == 16
    }
}

/// `runtime.special` and `runtime.specialprofile`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpecialFacts {
    /// `special.offset`: the object's offset in its span.
    pub offset: u64,
    /// Bytes of `special.offset`: 2 or 8.
    pub offset_size: u64,
    /// `special.kind`, u8.
    pub kind: u64,
    /// The value of `kind` that marks a sample of the heap profile.
    pub profile_kind: u8,
    /// `specialprofile.b`: address of the bucket.
    pub bucket: u64,
}

/// `runtime.mspan`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MspanFacts {
    /// `startAddr`.
    pub start_addr: u64,
    /// `npages`, of 8 KiB.
    pub npages: u64,
    /// `state`, u8: 1 in use.
    pub state: u64,
    /// `elemsize`.
    pub elemsize: u64,
    /// `specials`: head of the list, ordered by offset.
    pub specials: u64,
    /// Size of the struct: what one read fetches.
    pub size: u64,
}

/// `runtime.mheap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MheapFacts {
    /// `sweepgen`, u32: twice the number of completed cycles.
    pub sweepgen: u64,
    /// `allspans`: pointer, length, capacity.
    pub allspans: u64,
}

/// `runtime.gcControllerState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GcControllerFacts {
    /// `gcPercent`, i32: GOGC.
    pub gc_percent: u64,
    /// `memoryLimit`, i64: GOMEMLIMIT.
    pub memory_limit: u64,
    /// `gcPercentHeapGoal`.
    pub gc_percent_heap_goal: u64,
    /// `heapLive`: marked by the last cycle + allocated since.
    pub heap_live: u64,
    /// `heapMarked`: bytes that the last cycle marked.
    pub heap_marked: u64,
    /// `heapFree`: bytes of free spans that were not given back.
    pub heap_free: u64,
    /// `totalAlloc`: bytes of all objects ever allocated.
    pub total_alloc: u64,
    /// `totalFree`: bytes of all objects ever freed.
    pub total_free: u64,
    /// `mappedReady`: the operand rule of `gcController` finds this field.
    pub mapped_ready: u64,
}

/// `runtime.mstats` (the variable `memstats`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MstatsFacts {
    /// `buckhash_sys`: the operand rule of `memstats` finds this field.
    pub buckhash_sys: u64,
    /// `numgc`, u32: completed cycles.
    pub numgc: u64,
}

impl Facts {
    /// The facts of go1.`minor`, or `None` for a release that nobody has measured.
    pub fn of_minor(minor: u16) -> Option<&'static Self> {
        table::ALL.iter().find(|facts| facts.minor == minor)
    }

    /// The minor numbers that the table holds, ascending.
    pub fn known_minors() -> impl Iterator<Item = u16> {
        table::ALL.iter().map(|facts| facts.minor)
    }
}
