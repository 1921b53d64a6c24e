//! The types of [`super`]: which offsets and constants of the runtime are known.
//!
//! `cargo xtask offsets` compiles this file as well, to write the table, so that it depends on nothing.

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
    /// The number of the profile's cycle.
    pub prof_cycle: ProfCycleFacts,
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
    /// `runtime.heapStatsDelta`, of which `mstats` holds three.
    pub heap_stats: HeapStatsFacts,
    /// `runtime.heapArena`.
    pub heap_arena: HeapArenaFacts,
    /// `runtime.g`, `m`, `p` and `mcache`: from the running goroutine to the spans it allocates from.
    pub scheduler: SchedulerFacts,
    /// `runtime.mcache`.
    pub mcache: McacheFacts,
    /// `runtime.g`, of which there is one for each goroutine.
    pub goroutine: GoroutineFacts,
    /// `sweep.active.state`: offset in the variable `sweep`.
    pub sweep_state: u64,
    /// Objects with pointers above 512 bytes begin with a header of 8 bytes, which hides their type from the slot's
    /// start: what the allocator hands out is the slot's address plus 8 (1.22 and later).
    pub has_malloc_headers: bool,
    /// Mark bits inside of small spans (Green Tea GC), where the release and its experiments have them.
    pub inline_marks: Option<InlineMarksFacts>,
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
    /// `types`: first address of the type descriptors.
    pub types: u64,
    /// `etypes`.
    pub etypes: u64,
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
    /// The value of `funcID` that marks a wrapper made by the compiler, which the runtime leaves out of stacks.
    pub wrapper_id: u8,
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
    /// 1.18 and 1.19: each node holds its parent's index and the position of the call.
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
    /// `freeindex`: slots below it are allocated; `index_size` bytes.
    pub freeindex: u64,
    /// `nelems`: slots; `index_size` bytes.
    pub nelems: u64,
    /// Bytes of `freeindex` and `nelems`: 8 up to 1.21, 2 from 1.22.
    pub index_size: u64,
    /// `allocCache`, u64: complement of `allocBits` from `freeindex` on.
    pub alloc_cache: u64,
    /// `allocBits`: pointer to one bit for each slot.
    pub alloc_bits: u64,
    /// `gcmarkBits`: pointer to one bit for each slot.
    pub gcmark_bits: u64,
    /// `sweepgen`, u32, relative to `mheap.sweepgen`.
    pub sweepgen: u64,
    /// `allocCount`, u16: slots in use when it was last swept or taken.
    pub alloc_count: u64,
    /// `spanclass`, u8: size class × 2, plus 1 without pointers.
    pub spanclass: u64,
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
    /// `arenas[0]`: pointer to the table of arenas.
    pub arenas: u64,
    /// `heapArenas` (`allArenas` up to 1.24): indices into that table of the arenas in use, u64 each: pointer, length,
    /// capacity.
    pub heap_arenas: u64,
}

/// `runtime.gcControllerState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GcControllerFacts {
    /// `gcPercent`, i32: GOGC.
    pub gc_percent: u64,
    /// `heapLive`: marked by the last cycle + allocated since.
    pub heap_live: u64,
    /// `heapMarked`: bytes that the last cycle marked.
    pub heap_marked: u64,
    /// The accounts of the heap and the goal of the next cycle.
    pub heap: HeapFacts,
}

/// Fields that account for the heap's memory and set the goal of the next cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeapFacts {
    /// 1.19 and later: all of them in `gcControllerState`.
    InController {
        /// `memoryLimit`, i64: GOMEMLIMIT.
        memory_limit: u64,
        /// `gcPercentHeapGoal`.
        gc_percent_heap_goal: u64,
        /// `triggered`: heap when the present cycle began, all ones while none marks.
        triggered: u64,
        /// `heapInUse`: bytes of spans of objects.
        heap_in_use: u64,
        /// `heapReleased`: bytes of free spans that were given back to the kernel.
        heap_released: u64,
        /// `heapFree`: bytes of free spans that were not given back.
        heap_free: u64,
        /// `totalAlloc`: bytes of all objects ever allocated.
        total_alloc: u64,
        /// `totalFree`: bytes of all objects ever freed.
        total_free: u64,
        /// `mappedReady`: the operand rule of `gcController` finds this field.
        mapped_ready: u64,
    },
    /// 1.18: the goal in `gcControllerState`, the rest in `mstats`. There is no GOMEMLIMIT, and what was allocated is
    /// only counted by size class: a span's slots when a P takes it, less those left over when the P gives it up.
    InMstats {
        /// `gcControllerState.heapGoal`: all ones when GOGC is off.
        heap_goal: u64,
        /// `mstats.heap_sys`: bytes of all spans of objects and of free spans.
        heap_sys: u64,
        /// `mstats.heap_inuse`.
        heap_in_use: u64,
        /// `mstats.heap_released`.
        heap_released: u64,
    },
}

/// Form of the profile's cycle number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProfCycleFacts {
    /// 1.19 and later: the u32 `mProfCycle`, twice the number, plus 1 once the cycle is flushed.
    InOne,
    /// 1.18: `mProf`, the number as u32 and then `flushed` as a bool.
    Apart,
}

/// `runtime.mstats` (the variable `memstats`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MstatsFacts {
    /// `buckhash_sys`: the operand rule of `memstats` finds this field.
    pub buckhash_sys: u64,
    /// `stacks_sys`.
    pub stacks_sys: u64,
    /// `mspan_sys`.
    pub mspan_sys: u64,
    /// `mcache_sys`.
    pub mcache_sys: u64,
    /// `gcMiscSys`.
    pub gc_misc_sys: u64,
    /// `other_sys`.
    pub other_sys: u64,
    /// `last_gc_unix`: end of the last cycle, nanoseconds since 1970.
    pub last_gc_unix: u64,
    /// `pause_total_ns`.
    pub pause_total_ns: u64,
    /// `pause_ns`: the pauses of the last 256 cycles, u64 each; that of cycle n at (n + 255) % 256.
    pub pause_ns: u64,
    /// `numgc`, u32: completed cycles.
    pub numgc: u64,
    /// `numforcedgc`, u32: of them those that the program asked for.
    pub numforcedgc: u64,
    /// `heapStats.stats`: three `heapStatsDelta` one behind the other.
    pub heap_stats: u64,
}

/// `runtime.heapStatsDelta`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeapStatsFacts {
    /// Size of the struct.
    pub size: u64,
    /// `inHeap`: bytes of spans of objects.
    pub in_heap: u64,
    /// `inStacks`: bytes of spans of stacks.
    pub in_stacks: u64,
    /// `inWorkBufs`: bytes of spans that the GC works with.
    pub in_work_bufs: u64,
    /// `inPtrScalarBits` (up to 1.24): bytes of spans of unrolled programs for the GC.
    pub in_ptr_scalar_bits: Option<u64>,
    /// `tinyAllocCount`: objects that went into a slot with others.
    pub tiny_alloc_count: u64,
    /// `largeAlloc`: bytes of large objects.
    pub large_alloc: u64,
    /// `largeAllocCount`.
    pub large_alloc_count: u64,
    /// `smallAllocCount`: slots handed out, by size class, u64 each.
    pub small_alloc_count: u64,
    /// `largeFree`: bytes.
    pub large_free: u64,
    /// `largeFreeCount`.
    pub large_free_count: u64,
    /// `smallFreeCount`, by size class.
    pub small_free_count: u64,
}

/// `runtime.heapArena`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeapArenaFacts {
    /// `spans`: one pointer to an `mspan` for each page.
    pub spans: u64,
    /// Size of the struct: up to 1.21 it holds the bitmap of pointers.
    pub size: u64,
}

/// `runtime.g`, `m` and `p`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchedulerFacts {
    /// `g.m`.
    pub g_m: u64,
    /// `m.p`.
    pub m_p: u64,
    /// `p.mcache`.
    pub p_mcache: u64,
}

/// `runtime.mcache`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct McacheFacts {
    /// `alloc`: pointers to the spans in use, by span class, 136 of them.
    pub alloc: u64,
    /// `tiny`: the slot that tiny objects are put into, 0 for none.
    pub tiny: u64,
    /// `tinyoffset`: bytes of it in use.
    pub tinyoffset: u64,
}

/// Values of `waitReason` that are looked at: releases up to 1.27 have 47.
pub const MAX_WAIT_REASONS: usize = 64;

/// `runtime.g`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoroutineFacts {
    /// `stack.lo`: lowest address of the stack.
    pub stack_lo: u64,
    /// `stack.hi`: address behind the stack.
    pub stack_hi: u64,
    /// `sched.sp`, of a goroutine that does not run.
    pub sched_sp: u64,
    /// `sched.pc`: where it goes on; a return address where it is parked.
    pub sched_pc: u64,
    /// `sched.bp`: its frame pointer.
    pub sched_bp: u64,
    /// `atomicstatus`, u32.
    pub status: u64,
    /// `goid`: unique for the life of the process; 0 for a `g` that never ran.
    pub goid: u64,
    /// `waitsince`, i64: `nanotime` of the end of the mark before the one that first found it parked; 0 where none has.
    pub waitsince: u64,
    /// `waitreason`, u8.
    pub waitreason: u64,
    /// `gopc`: return address of the `go` statement.
    pub gopc: u64,
    /// `startpc`: entry of the function that it runs.
    pub startpc: u64,
    /// By value of `waitreason`: the index of its words in `wait_reasons::KNOWN`; 0 for none.
    pub wait_reasons: [u8; MAX_WAIT_REASONS],
}

/// `runtime.spanInlineMarkBits`, the last bytes of the first page of a span with small slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InlineMarksFacts {
    /// Size of the struct.
    pub size: u64,
    /// `marks`: one bit for each slot; up to `class`, the last byte.
    pub marks: u64,
    /// Bytes of `marks`.
    pub marks_size: u64,
    /// Spans with smaller slots have none.
    pub min_slot_bytes: u64,
    /// Spans with larger slots have none.
    pub max_slot_bytes: u64,
}

/// `spanInlineMarkBits` of every release that has it (1.25 as an experiment, 1.26 and 1.27).
const GREEN_TEA: InlineMarksFacts = InlineMarksFacts {
    size: 128,
    marks: 64,
    marks_size: 63,
    min_slot_bytes: MIN_INLINE_MARKED_BYTES,
    max_slot_bytes: MAX_INLINE_MARKED_BYTES,
};

/// `gcUsesSpanInlineMarkBits`: slots of at least this,
pub const MIN_INLINE_MARKED_BYTES: u64 = 16;

/// and at most this (`heapBitsInSpan`).
pub const MAX_INLINE_MARKED_BYTES: u64 = 512;

/// `heapArena.spans` of 1.22 with `noallocheaders`: behind the bitmap that this release else dropped.
const SPANS_WITHOUT_ALLOC_HEADERS: u64 = 1_064_960;

impl Facts {
    /// The facts of a build with these `GOEXPERIMENT`s, `no…` for those switched off. Others move nothing that is here.
    #[must_use]
    pub fn with_experiments(mut self, experiments: &[String]) -> Self {
        for experiment in experiments {
            match experiment.as_str() {
                "greenteagc" => self.inline_marks = Some(GREEN_TEA),
                "nogreenteagc" => self.inline_marks = None,
                "noallocheaders" => {
                    self.has_malloc_headers = false;
                    self.heap_arena.spans = SPANS_WITHOUT_ALLOC_HEADERS;
                }
                _ => {}
            }
        }
        self
    }
}
