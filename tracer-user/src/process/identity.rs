//! Who is who in a note that outlives a heaptop: the process that it is about, and the heaptop that made it.

use std::os::unix::fs::MetadataExt as _;

use procfs::process::Process;
use serde::{Deserialize, Serialize};

/// Which memory an address belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) pid: u32,
    pub(crate) started_ticks: u64,
    /// Every exec lays the stack anew.
    stack_start: u64,
    exe_dev: u64,
    exe_ino: u64,
    boot_id: String,
    /// Inode of the pid namespace in which the pids of the note have a meaning.
    pid_namespace: u64,
}

impl Identity {
    /// Whether it was noted since the machine started.
    pub(crate) fn is_of_this_boot(&self) -> bool {
        boot_id().as_deref() == Some(&*self.boot_id)
    }

    /// Whether its pid means here what it meant then.
    pub(crate) fn is_of_this_namespace(&self) -> bool {
        Some(self.pid_namespace) == pid_namespace()
    }

    /// Of the process that `pid` means now; `None` if there is none, or it may not be looked at.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let stat = Process::new(pid.cast_signed()).ok()?.stat().ok()?;
        let exe = std::fs::metadata(format!("/proc/{pid}/exe")).ok()?;
        Some(Self {
            pid,
            started_ticks: stat.starttime,
            stack_start: stat.startstack,
            exe_dev: exe.dev(),
            exe_ino: exe.ino(),
            boot_id: boot_id()?,
            pid_namespace: pid_namespace()?,
        })
    }
}

/// A heaptop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Heaptop {
    pub(crate) pid: u32,
    started_ticks: u64,
}

impl Heaptop {
    /// This one.
    pub(crate) fn this() -> Self {
        let pid = std::process::id();
        Self {
            pid,
            started_ticks: started_ticks(pid).unwrap_or_default(),
        }
    }

    /// Whether it is this one.
    pub(crate) fn is_this(self) -> bool {
        self == Self::this()
    }

    /// Whether it runs.
    pub(crate) fn is_alive(self) -> bool {
        started_ticks(self.pid) == Some(self.started_ticks)
    }
}

/// Start time of a process that has not ended, clock ticks since boot.
fn started_ticks(pid: u32) -> Option<u64> {
    let stat = Process::new(pid.cast_signed()).ok()?.stat().ok()?;
    (!matches!(stat.state, 'Z' | 'X')).then_some(stat.starttime)
}

fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

fn pid_namespace() -> Option<u64> {
    Some(std::fs::metadata("/proc/self/ns/pid").ok()?.ino())
}
