//! One anatomy read of a process: page tables, spans, the runtime's accounts, cgroup and machine, one behind the other.

use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use super::go_process::GoProcess;
use super::memory::LiveMemory;
use super::resident::{Pagemap, Zeros, kernel_memory};
use super::{cgroup, limits};
use crate::clock::{monotonic_ns, thread_cpu_ns};
use crate::event::{AnatomyRead, KernelMemory};
use crate::go::accounts::Accounts;
use crate::go::census;
use crate::go::memory::Unreadable;
use crate::go::program::Program;

/// What a read needs of the target.
#[derive(Clone, Debug)]
pub struct AnatomyReader {
    pid: u32,
    program_inode: u64,
    program: Arc<Program>,
    memory: LiveMemory,
    zeros: Zeros,
}

impl AnatomyReader {
    /// For an open process. Whoever reads checks that the pid still means it.
    pub fn new(go: &GoProcess) -> Self {
        Self {
            pid: go.process.pid(),
            program_inode: go.process.exe().metadata().map_or(0, |file| file.ino()),
            program: Arc::clone(&go.program),
            memory: go.memory(),
            zeros: Zeros::find(),
        }
    }

    /// Reads. Blocks for some milliseconds, and for each GiB of heap some 10 ms more.
    ///
    /// # Errors
    /// When the process has ended or may not be looked at.
    pub fn read(&self) -> std::io::Result<AnatomyRead> {
        let (at_ns, begin) = (monotonic_ns(), thread_cpu_ns());
        let (facts, vars) = (self.program.facts, &self.program.vars);
        let before = kernel_memory(self.pid)?;
        let arenas = census::arenas(&self.memory, facts, vars).map_err(ended)?;
        let mut pagemap = Pagemap::open(self.pid, self.zeros)?;
        let pages = pagemap.arenas(&arenas)?;
        let ranges: Vec<(u64, u64)> = pages.ranges().collect();
        let accounts = Accounts::read(&self.memory, facts, vars).map_err(ended)?;
        let census = census::read(&self.memory, facts, vars, pages).map_err(ended)?;
        let maps = std::fs::read(format!("/proc/{}/maps", self.pid))?;
        let maps = String::from_utf8_lossy(&maps);
        let pages = pagemap.outside(&maps, &ranges, self.program_inode)?;
        let kernel = mean(&before, &kernel_memory(self.pid)?);
        Ok(AnatomyRead {
            at_ns,
            kernel,
            pages,
            census,
            accounts,
            cgroup: cgroup::read(self.pid),
            machine: limits::machine(),
            took_ns: monotonic_ns().saturating_sub(at_ns),
            cpu_ns: thread_cpu_ns().saturating_sub(begin),
        })
    }
}

/// The kernel's figures in the middle of a read, of a process that grows or shrinks meanwhile.
fn mean(before: &KernelMemory, after: &KernelMemory) -> KernelMemory {
    let mean = u64::midpoint;
    KernelMemory {
        rss_bytes: mean(before.rss_bytes, after.rss_bytes),
        anon_bytes: mean(before.anon_bytes, after.anon_bytes),
        file_bytes: mean(before.file_bytes, after.file_bytes),
        shmem_bytes: mean(before.shmem_bytes, after.shmem_bytes),
        swap_bytes: mean(before.swap_bytes, after.swap_bytes),
        peak_rss_bytes: after.peak_rss_bytes,
    }
}

fn ended(err: Unreadable) -> std::io::Error {
    std::io::Error::other(err)
}
