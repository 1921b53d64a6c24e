//! The memory of a live process, read from outside: no stop, no lock, nothing written.

use std::io::IoSliceMut;

use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use crate::go::memory::{Memory, Unreadable};

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
}
