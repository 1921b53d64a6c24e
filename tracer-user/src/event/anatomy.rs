//! What one anatomy read found: where the resident memory of the target lies, by its page tables and by its runtime,
//! and what its cgroup and the machine say. Plain data; [`crate::model::anatomy`] makes parts of it.

use serde::{Deserialize, Serialize};

use crate::go::accounts::Accounts;
use crate::go::calls_out::CallsOut;
use crate::go::census::Census;

/// One reading of where the target's memory is, a few times a minute.
///
/// Its pieces are read one after the other within [`AnatomyRead::took_ns`], while the target runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AnatomyRead {
    /// When it began.
    pub at_ns: u64,
    /// How long it took, wall clock.
    pub took_ns: u64,
    /// What it cost heaptop, nanoseconds of CPU.
    pub cpu_ns: u64,
    /// What the kernel counts for the process.
    pub kernel: KernelMemory,
    /// What its page tables say of the memory that is not Go's heap.
    pub pages: PageTables,
    /// The spans of the Go heap, held against the page tables.
    pub census: Census,
    /// The runtime's own accounts.
    pub accounts: Accounts,
    /// Its memory cgroup; `None` where there is none, or it cannot be read.
    pub cgroup: Option<CgroupRead>,
    /// The machine; `None` where it cannot be read.
    pub machine: Option<MachineRead>,
    /// Functions that can take memory outside Go; in one read, the second, since they do not change.
    #[serde(default)]
    pub calls_out: Option<CallsOut>,
}

/// `/proc/PID/status`: resident memory as the kernel counts it. `rss_bytes` is the sum of the three kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelMemory {
    /// `VmRSS`.
    pub rss_bytes: u64,
    /// `RssAnon`.
    pub anon_bytes: u64,
    /// `RssFile`.
    pub file_bytes: u64,
    /// `RssShmem`: shared anonymous memory, memfd, tmpfs.
    pub shmem_bytes: u64,
    /// `VmSwap`: anonymous memory that lies in swap and is in no part.
    pub swap_bytes: u64,
    /// `VmHWM`: the largest resident set since the process started.
    pub peak_rss_bytes: u64,
    /// `Threads`; `None` where it is unknown.
    #[serde(default)]
    pub threads: Option<u64>,
}

/// Resident anonymous memory outside of the Go heap's arenas, by the page tables (`/proc/PID/pagemap`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageTables {
    /// Global variables of the executable (`.data`, `.bss`, relocated tables).
    pub globals_bytes: u64,
    /// All other private anonymous memory: what the runtime keeps beside the heap, memory of C (`malloc`), of
    /// `mmap`, stacks of threads.
    pub other_anon_bytes: u64,
    /// Of `other_anon_bytes`, what is surely not the runtime's: the heap that C has by `brk`, the first thread's stack,
    /// variables of libraries.
    pub foreign_bytes: u64,
    /// A C library is in the process, or a heap by `brk`: memory that is not Go's may be C's.
    pub has_c: bool,
    /// Address space that was not looked at, since it is too much: what is resident there is counted by the kernel
    /// alone.
    pub skipped_bytes: u64,
}

/// A memory cgroup, v2 or v1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupRead {
    /// `memory.current`: what counts against the limit, page cache included.
    pub usage_bytes: u64,
    /// Anonymous memory; `None` where `memory.stat` does not say.
    pub anon_bytes: Option<u64>,
    /// Page cache, tmpfs included.
    pub file_bytes: Option<u64>,
    /// Of `file_bytes`, what gives way when memory is short (`inactive_file` and `active_file`: not tmpfs).
    pub reclaimable_bytes: Option<u64>,
    /// Kernel memory: slabs, page tables, sockets.
    pub kernel_bytes: Option<u64>,
    /// `memory.max` that has least room left, of this cgroup and those above it; `None` where none is set.
    pub max: Option<CgroupLimit>,
    /// `memory.high` that has least room left; v2 alone.
    pub high: Option<CgroupLimit>,
    /// `memory.events` of this cgroup; `None` where they cannot be read.
    pub events: Option<CgroupEvents>,
}

/// A limit of a cgroup, with what counts against it: the cgroup may be one above that of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupLimit {
    /// The limit.
    pub limit_bytes: u64,
    /// Usage of the cgroup that has it.
    pub usage_bytes: u64,
}

/// `memory.events`: counters since the cgroup was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupEvents {
    /// Times that usage was about to go over `memory.max`.
    pub max: u64,
    /// Times that processes were throttled for going over `memory.high`.
    pub high: u64,
    /// Times that the limit was hit and nothing could be reclaimed.
    pub oom: u64,
    /// Processes killed for it.
    pub oom_kill: u64,
}

/// `/proc/meminfo`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineRead {
    /// `MemTotal`.
    pub total_bytes: u64,
    /// `MemAvailable`: what can be had without swapping.
    pub available_bytes: u64,
}
