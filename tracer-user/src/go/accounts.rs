//! The runtime's own accounts of its memory: what `runtime.ReadMemStats` reports, by plain reads and without stopping
//! the world.
//!
//! They tell what the runtime asked of the kernel, not what is resident: memory never written counts as used here and
//! is not there. The parts of the resident set come from [`super::census`]; these stand beside them.
//!
//! Source: `runtime/mstats.go`, `readmemstats_m`, go1.18 to go1.27.

use serde::{Deserialize, Serialize};

use super::facts::{Facts, HeapFacts};
use super::heap_stats::Deltas;
use super::memory::{Memory, Unreadable};
use super::memstats::read_words;
use super::variables::Variables;

/// What `runtime.MemStats` holds, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Reads them, with three system calls.
    ///
    /// # Errors
    /// When the runtime's variables cannot be read: the process has ended.
    pub fn read(memory: &impl Memory, facts: &Facts, vars: &Variables) -> Result<Self, Unreadable> {
        let (fields, stats) = (&facts.gc_controller, &facts.mstats);
        let controller = |offset: u64| vars.gc_controller.wrapping_add(offset);
        let mstats = |offset: u64| vars.memstats.wrapping_add(offset);
        let words = read_words(
            memory,
            &[
                controller(fields.heap_marked),
                controller(fields.heap_live),
                mstats(stats.stacks_sys),
                mstats(stats.mspan_sys),
                mstats(stats.mcache_sys),
                mstats(stats.buckhash_sys),
                mstats(stats.gc_misc_sys),
                mstats(stats.other_sys),
            ],
        )?;
        let [
            live,
            heap_live,
            stacks,
            mspan,
            mcache,
            buckhash,
            gc_misc,
            other,
        ] = words;
        let [in_stacks, in_work, in_bits] = deltas(memory, facts, vars)?;
        // Where the runtime keeps no sum of what is mapped and ready, it is that of its parts.
        let (in_use, free, released, ready) = match fields.heap {
            HeapFacts::InController {
                heap_in_use,
                heap_free,
                heap_released,
                mapped_ready,
                ..
            } => {
                let offsets = [heap_in_use, heap_free, heap_released, mapped_ready];
                let [in_use, free, released, ready] = read_words(memory, &offsets.map(controller))?;
                (in_use, free, released, Some(ready))
            }
            HeapFacts::InMstats {
                heap_sys,
                heap_in_use,
                heap_released,
                ..
            } => {
                let offsets = [heap_sys, heap_in_use, heap_released];
                let [sys, in_use, released] = read_words(memory, &offsets.map(mstats))?;
                let free = sys.saturating_sub(in_use).saturating_sub(released);
                (in_use, free, released, None)
            }
        };
        let mut accounts = Self {
            live_bytes: live,
            heap_live_bytes: heap_live,
            heap_in_use_bytes: in_use,
            heap_free_bytes: free,
            heap_released_bytes: released,
            stacks_bytes: in_stacks,
            work_bytes: in_work.saturating_add(in_bits),
            stacks_sys_bytes: stacks,
            mspan_sys_bytes: mspan,
            mcache_sys_bytes: mcache,
            buckhash_sys_bytes: buckhash,
            gc_misc_sys_bytes: gc_misc,
            other_sys_bytes: other,
            mapped_ready_bytes: 0,
        };
        accounts.mapped_ready_bytes = ready.unwrap_or_else(|| accounts.ready_bytes());
        Ok(accounts)
    }

    /// `Sys` − `HeapReleased` by its parts.
    fn ready_bytes(&self) -> u64 {
        [
            self.heap_in_use_bytes,
            self.heap_free_bytes,
            self.stacks_bytes,
            self.work_bytes,
        ]
        .into_iter()
        .fold(self.metadata_bytes(), u64::saturating_add)
    }

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

/// `inStacks`, `inWorkBufs` and `inPtrScalarBits`: each the sum of three deltas, which may be negative; a torn reading
/// that is negative as a whole counts as 0.
fn deltas(memory: &impl Memory, facts: &Facts, vars: &Variables) -> Result<[u64; 3], Unreadable> {
    let fields = &facts.heap_stats;
    let deltas = Deltas::read(memory, facts, vars)?;
    let sum = |field: u64| deltas.sum(field);
    Ok([
        sum(fields.in_stacks).unwrap_or(0),
        sum(fields.in_work_bufs).unwrap_or(0),
        fields.in_ptr_scalar_bits.and_then(sum).unwrap_or(0),
    ])
}
