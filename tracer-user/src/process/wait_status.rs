//! The wait status of a process that is no child of heaptop.
//!
//! Linux 6.15 keeps it in the pidfd after the parent has collected it. Older kernels show it in `/proc/PID/stat` until then.

use std::os::fd::AsFd;

use procfs::process::Process;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};

/// First kernel, major and minor, whose pidfd reports the exit status.
const PIDFD_EXIT_SINCE: (u32, u32) = (6, 15);
/// `PIDFD_INFO_EXIT`: asks for the exit status, and is set in the answer if the process was collected.
const INFO_EXIT: u64 = 1 << 3;
/// `PIDFD_GET_INFO`.
const GET_INFO: Opcode = opcode::read_write::<PidfdInfo>(0xff, 11);

/// `struct pidfd_info` in its first version, of `include/uapi/linux/pidfd.h`; later ones are longer.
#[repr(C)]
#[derive(Debug, Default)]
struct PidfdInfo {
    mask: u64,
    cgroup_id: u64,
    /// Process ids and credentials.
    ids: [u32; 11],
    exit_code: i32,
}

const _: () = assert!(size_of::<PidfdInfo>() == 64);

/// True if `of_ended` finds the status of a process that its parent has collected, by the kernel's release.
pub fn outlives_process() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    version_of(&release).is_some_and(|version| version >= PIDFD_EXIT_SINCE)
}

/// Major and minor number of a kernel's release: `6.1.0-28-amd64` is 6.1.
pub(crate) fn version_of(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Returns the wait status of an ended process; `None` before its end, and where the kernel no longer has it.
pub(super) fn of_ended(pidfd: impl AsFd, proc: &Process) -> Option<u32> {
    // The parent may collect it between the first two.
    let pidfd = pidfd.as_fd();
    of_collected(pidfd)
        .or_else(|| of_zombie(proc))
        .or_else(|| of_collected(pidfd))
}

/// The status of a process that its parent has not collected yet. `proc` is the folder of this very process, whatever its
/// pid means by now.
fn of_zombie(proc: &Process) -> Option<u32> {
    let stat = proc.stat().ok()?;
    if !matches!(stat.state, 'Z' | 'X') {
        return None;
    }
    stat.exit_code.map(i32::cast_unsigned)
}

/// The status of a process that its parent has collected.
#[allow(
    unsafe_code,
    reason = "no crate wraps this call; the type of its argument is ours to name"
)]
fn of_collected(pidfd: impl AsFd) -> Option<u32> {
    let mut info = PidfdInfo {
        mask: INFO_EXIT,
        ..PidfdInfo::default()
    };
    // SAFETY: the opcode holds the size of `PidfdInfo`, and the kernel writes no more than that; any bits are a valid value.
    let answer = unsafe { ioctl(pidfd, Updater::<GET_INFO, PidfdInfo>::new(&mut info)) };
    answer.ok()?;
    (info.mask & INFO_EXIT != 0).then_some(info.exit_code.cast_unsigned())
}
