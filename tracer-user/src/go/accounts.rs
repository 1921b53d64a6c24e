//! The runtime's own accounts of its memory: what `runtime.ReadMemStats` reports, by plain reads and without stopping
//! the world.
//!
//! They tell what the runtime asked of the kernel, not what is resident: memory never written counts as used here and
//! is not there. The parts of the resident set come from [`super::census`]; these stand beside them.
//!
//! Source: `runtime/mstats.go`, `readmemstats_m`, go1.19 to go1.27.

/// What `runtime.MemStats` holds, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    /// Bytes that the last GC cycle marked (`gcController.heapMarked`).
    pub live_bytes: u64,
    /// Marked, and allocated since (`gcController.heapLive`).
    pub heap_live_bytes: u64,
    /// `HeapInuse`: spans of objects.
    pub heap_in_use_bytes: u64,
    /// Free spans that were not given back (`HeapIdle` − `HeapReleased`).
    pub heap_free_bytes: u64,
    /// `HeapReleased`.
    pub heap_released_bytes: u64,
    /// `StackInuse`: spans of goroutine stacks, those that are cached for new goroutines included.
    pub stacks_bytes: u64,
    /// Work buffers of the GC, in spans of the heap.
    pub work_bytes: u64,
    /// `StackSys` − `StackInuse`: stacks of threads that the runtime has made itself.
    pub stacks_sys_bytes: u64,
    /// `MSpanSys`.
    pub mspan_sys_bytes: u64,
    /// `MCacheSys`.
    pub mcache_sys_bytes: u64,
    /// `BuckHashSys`: the heap, block and mutex profiles.
    pub buckhash_sys_bytes: u64,
    /// `GCSys` without work buffers: bitmaps, tables of pages and arenas.
    pub gc_misc_sys_bytes: u64,
    /// `OtherSys`.
    pub other_sys_bytes: u64,
    /// What the runtime takes for resident (`Sys` − `HeapReleased`): what GOMEMLIMIT counts.
    pub mapped_ready_bytes: u64,
}

impl Accounts {
    /// What the runtime accounts for outside of the heap's arenas, whether it is resident or not.
    pub fn metadata_bytes(&self) -> u64 {
        [
            self.stacks_sys_bytes,
            self.mspan_sys_bytes,
            self.mcache_sys_bytes,
            self.buckhash_sys_bytes,
            self.gc_misc_sys_bytes,
            self.other_sys_bytes,
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }
}
