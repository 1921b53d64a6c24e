//! One anatomy read of a process: page tables, spans, the runtime's accounts, cgroup and machine, one behind the other.

use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use super::go_process::GoProcess;
use super::image::Image;
use super::memory::LiveMemory;
use super::resident::{Pagemap, Zeros, kernel_memory};
use super::{cgroup, limits};
use crate::clock::{monotonic_ns, thread_cpu_ns};
use crate::event::{AnatomyRead, KernelMemory};
use crate::go::accounts::Accounts;
use crate::go::calls_out::CallsOut;
use crate::go::census;
use crate::go::memory::Unreadable;
use crate::go::program::Program;

/// What a read needs of the target.
#[derive(Clone, Debug)]
pub struct AnatomyReader {
    pid: u32,
    program_inode: u64,
    program: Arc<Program>,
    image: Arc<Image>,
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
            image: Arc::clone(&go.image),
            memory: go.memory(),
            zeros: Zeros::find(),
        }
    }

    /// Finds the functions that can take memory outside Go. Blocks for some 10 ms, for the largest programs 100 ms.
    pub fn calls_out(&self) -> CallsOut {
        CallsOut::find(&self.program, &*self.image, &self.memory)
    }

    /// Reads. Blocks for some milliseconds, and for each GiB of heap some 10 ms more.
    ///
    /// # Errors
    /// When the process has ended or may not be looked at.
    pub fn read(&self) -> std::io::Result<AnatomyRead> {
        let (at_ns, begin) = (monotonic_ns(), thread_cpu_ns());
        let (facts, vars) = (self.program.facts, &self.program.vars);
        let arenas = census::arenas(&self.memory, facts, vars).map_err(ended)?;
        let maps = std::fs::read(format!("/proc/{}/maps", self.pid))?;
        let maps = String::from_utf8_lossy(&maps);
        let mut pagemap = Pagemap::open(self.pid, self.zeros)?;
        let outside = pagemap.outside(&maps, &arenas, self.program_inode)?;
        // The heap moves fastest: the kernel's figure is taken around the look at its pages.
        let before = kernel_memory(self.pid)?;
        let pages = pagemap.arenas(&arenas)?;
        let found = outside.globals_bytes + outside.other_anon_bytes + pages.bytes();
        let kernel = nearest(&before, &kernel_memory(self.pid)?, found);
        let accounts = Accounts::read(&self.memory, facts, vars).map_err(ended)?;
        let census = census::read(&self.memory, facts, vars, pages).map_err(ended)?;
        Ok(AnatomyRead {
            at_ns,
            kernel,
            pages: outside,
            census,
            accounts,
            cgroup: cgroup::read(self.pid),
            machine: limits::machine(),
            calls_out: None,
            took_ns: monotonic_ns().saturating_sub(at_ns),
            cpu_ns: thread_cpu_ns().saturating_sub(begin),
        })
    }
}

/// The kernel's figures at the moment of a look that fits it best: of a process that grows or shrinks meanwhile they ran
/// from `before` to `after`, through `anon_bytes` if that lies between. Of one that rests both are the same.
fn nearest(before: &KernelMemory, after: &KernelMemory, anon_bytes: u64) -> KernelMemory {
    let (from, to) = (before.anon_bytes, after.anon_bytes);
    let anon = anon_bytes.clamp(from.min(to), from.max(to));
    let part = anon.abs_diff(from);
    let whole = to.abs_diff(from);
    let between = |from: u64, to: u64| {
        let moved = u128::from(to.abs_diff(from)) * u128::from(part);
        let moved = moved.checked_div(u128::from(whole)).unwrap_or(0);
        let moved = u64::try_from(moved).unwrap_or(0);
        if to < from {
            from - moved
        } else {
            from + moved
        }
    };
    let file_bytes = between(before.file_bytes, after.file_bytes);
    let shmem_bytes = between(before.shmem_bytes, after.shmem_bytes);
    KernelMemory {
        rss_bytes: anon.saturating_add(file_bytes).saturating_add(shmem_bytes),
        anon_bytes: anon,
        file_bytes,
        shmem_bytes,
        swap_bytes: between(before.swap_bytes, after.swap_bytes),
        peak_rss_bytes: after.peak_rss_bytes,
        threads: after.threads,
    }
}

fn ended(err: Unreadable) -> std::io::Error {
    std::io::Error::other(err)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kernel(anon_bytes: u64, file_bytes: u64) -> KernelMemory {
        KernelMemory {
            rss_bytes: anon_bytes.saturating_add(file_bytes),
            anon_bytes,
            file_bytes,
            ..KernelMemory::default()
        }
    }

    #[test]
    fn the_moment_lies_between_the_two_looks() {
        let (before, after) = (kernel(100, 10), kernel(200, 30));
        assert_eq!(nearest(&before, &after, 150), kernel(150, 20));
        assert_eq!(nearest(&after, &before, 150), kernel(150, 20));
        assert_eq!(nearest(&before, &after, 90), before);
        assert_eq!(nearest(&before, &after, 250), after);
        assert_eq!(nearest(&before, &before, 250), before);
    }

    proptest! {
        #[test]
        fn any_figures_never_panic(before in any::<[u64; 2]>(), after in any::<[u64; 2]>(), found in any::<u64>()) {
            let found = nearest(&kernel(before[0], before[1]), &kernel(after[0], after[1]), found);
            prop_assert!(found.file_bytes >= before[1].min(after[1]));
        }
    }
}
