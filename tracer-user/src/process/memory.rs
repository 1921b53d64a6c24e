//! The memory of a live process, read from outside: no stop, no lock, nothing written.

use std::io::IoSliceMut;

use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use crate::go::memory::{Memory, Unreadable};

/// Most ranges of one system call: `UIO_MAXIOV` of the kernel.
const MAX_RANGES: usize = 1024;

/// Memory of the process `pid` at run-time addresses. Whoever holds it checks by pidfd that the pid still
/// means the same process.
#[derive(Clone, Copy, Debug)]
pub struct LiveMemory {
    pid: Pid,
}

impl LiveMemory {
    /// Memory of `pid`. Nothing is read yet.
    pub fn new(pid: u32) -> Self {
        // A pid of the kernel fits i32; 0 stands for none and fails at the first read.
        Self {
            pid: Pid::from_raw(i32::try_from(pid).unwrap_or(0)),
        }
    }
}

impl Memory for LiveMemory {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), Unreadable> {
        let len = buf.len();
        let unreadable = Unreadable { addr, len };
        let base = usize::try_from(addr).map_err(|_| unreadable)?;
        // The kernel ends a read at the first page that is not mapped and reports what it copied.
        let copied = process_vm_readv(
            self.pid,
            &mut [IoSliceMut::new(buf)],
            &[RemoteIoVec { base, len }],
        );
        if copied == Ok(len) {
            Ok(())
        } else {
            Err(unreadable)
        }
    }
    fn read_many(&self, ranges: &[(u64, usize)], buf: &mut [u8]) -> Vec<bool> {
        let mut whole = vec![false; ranges.len()];
        let mut rest = buf;
        let mut next = 0;
        while next < ranges.len() {
            let batch = &ranges[next..ranges.len().min(next + MAX_RANGES)];
            let remote: Vec<RemoteIoVec> = batch
                .iter()
                .map(|&(addr, len)| RemoteIoVec {
                    base: usize::try_from(addr).unwrap_or(usize::MAX),
                    len,
                })
                .collect();
            let wanted: usize = batch.iter().map(|&(_, len)| len).sum();
            let room = wanted.min(rest.len());
            let copied =
                process_vm_readv(self.pid, &mut [IoSliceMut::new(&mut rest[..room])], &remote);
            // The kernel stops at the first range that it cannot read whole, or says so if that is the very first.
            let mut copied = match copied {
                Ok(copied) => copied,
                Err(Errno::EFAULT) => 0,
                Err(_) => return whole, // The process has ended, or may not be read.
            };
            let mut done = 0;
            let mut n_read = 0;
            while let Some(&(_, len)) = batch.get(n_read).filter(|(_, len)| *len <= copied) {
                whole[next + n_read] = true;
                copied -= len;
                done += len;
                n_read += 1;
            }
            // The one that failed is left out, and the rest begins behind it.
            let failed = batch.get(n_read).map_or(0, |&(_, len)| len);
            let skipped = (done + failed).min(rest.len());
            rest = &mut rest[skipped..];
            next += (n_read + 1).min(batch.len());
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::go::memory::Batch;

    #[test]
    fn many_ranges_are_read_around_those_that_cannot_be() {
        const UNMAPPED: u64 = 8;
        let words: Vec<u64> = (0..5000).collect();
        let memory = LiveMemory::new(std::process::id());
        let is_bad = |i: usize| i == 0 || i == 1023 || i == 1024 || i.is_multiple_of(777);
        let ranges: Vec<(u64, usize)> = words
            .iter()
            .enumerate()
            .map(|(i, word)| match (is_bad(i), i % 3) {
                (true, _) => (UNMAPPED, 24),
                (false, 0) => (0, 0),
                (false, _) => (std::ptr::from_ref(word).addr() as u64, 8),
            })
            .collect();
        let batch = Batch::read(&memory, &ranges);
        for (i, word) in words.iter().enumerate() {
            match (is_bad(i), i % 3) {
                (true, _) => assert_eq!(batch.get(i), None, "{i}"),
                (false, 0) => assert_eq!(batch.get(i), Some(&[][..]), "{i}"),
                (false, _) => assert_eq!(batch.u64(i), Some(*word), "{i}"),
            }
        }
        let nobody = Batch::read(&LiveMemory::new(u32::MAX), &ranges);
        assert!((0..ranges.len()).all(|i| nobody.get(i).is_none()));
    }
}
