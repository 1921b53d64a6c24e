//! One process, identified so that a reused pid is never taken for it.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;

use nix::unistd::Uid;
use procfs::FromBufRead as _;
use procfs::process::{MMPermissions, MMapPath, MemoryMap, MemoryMaps, Process};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::memory::LiveMemory;
use super::wait_status;
use crate::go::profile::MappedFile;
use crate::refusal::Refusal;

/// A process that was found, with handles that stay with it: the pidfd tells its end, the file of its
/// program stays readable when it is deleted or replaced.
#[derive(Debug)]
pub struct LiveProcess {
    pid: u32,
    name: String,
    started_ticks: u64,
    started_unix_ns: i64,
    stack_start: u64,
    pidfd: OwnedFd,
    exe: File,
    proc: Process,
}

/// A mapping of the program's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExeMapping {
    /// First address.
    pub start: u64,
    /// Address behind the last.
    pub end: u64,
    /// Offset of `start` in the file.
    pub offset: u64,
}

impl LiveProcess {
    /// Opens a process by its pid.
    ///
    /// # Errors
    /// A [`Refusal`] where there is no such process, it is a kernel thread or a zombie, or this user may
    /// not look at it.
    pub fn open(pid: u32) -> Result<Self, Refusal> {
        let what = format!("cannot look at process {pid}");
        let gone = |why: String| {
            Refusal::new(
                &what,
                why,
                "`pgrep -l NAME` or `ps -e` lists the processes that run here",
            )
        };
        let raw = i32::try_from(pid).map_err(|_| gone(format!("no pid is as large as {pid}")))?;
        let typed = Pid::from_raw(raw).ok_or_else(|| gone("0 is not a process".into()))?;
        let pidfd = pidfd_open(typed, PidfdFlags::NONBLOCK).map_err(|err| match err {
            rustix::io::Errno::SRCH => gone("there is no process with this pid".into()),
            rustix::io::Errno::INVAL | rustix::io::Errno::NOENT => {
                gone("this is a thread's id, not a process's; `ps -eLo pid,lwp` tells whose".into())
            }
            rustix::io::Errno::MFILE => Refusal::new(
                &what,
                "heaptop may open no more files",
                "raise the limit of open files: ulimit -n 1024",
            ),
            err => Refusal::new(
                &what,
                format!("pidfd_open: {err}"),
                "needs Linux 5.10 or later",
            ),
        })?;
        let proc = Process::new(raw).map_err(|err| gone(format!("/proc/{pid}: {err}")))?;
        let stat = proc
            .stat()
            .map_err(|err| gone(format!("/proc/{pid}/stat: {err}")))?;
        let exe = File::open(format!("/proc/{pid}/exe")).map_err(|err| match err.kind() {
            std::io::ErrorKind::PermissionDenied => {
                let (why, next) = if Uid::current().is_root() {
                    let why = "the kernel denies it to root too: its namespace or security module does not allow it";
                    (why.to_owned(), "run heaptop on the host, outside of this container".to_owned())
                } else {
                    let why = format!("the process belongs to another user, and this one has uid {}", Uid::current());
                    (why, format!("sudo heaptop {pid}"))
                };
                Refusal::new(format!("cannot read the program of {} (pid {pid})", stat.comm), why, next)
            }
            std::io::ErrorKind::NotFound if stat.state == 'Z' => gone(format!(
                "{} has ended and waits for its parent to notice",
                stat.comm
            )),
            _ => gone(format!(
                "{} has no program file ({err}): a kernel thread?",
                stat.comm
            )),
        })?;
        let name = exe_name(&proc).unwrap_or_else(|| stat.comm.clone());
        Ok(Self {
            pid,
            name,
            started_ticks: stat.starttime,
            started_unix_ns: started_unix_ns(stat.starttime),
            stack_start: stat.startstack,
            pidfd,
            exe,
            proc,
        })
    }

    /// Its pid in heaptop's own pid namespace.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Base name of its executable.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Unix time of its start, nanoseconds, with the kernel's resolution of a clock tick.
    pub fn started_unix_ns(&self) -> i64 {
        self.started_unix_ns
    }

    /// The file of its program.
    pub fn exe(&self) -> &File {
        &self.exe
    }

    /// Becomes readable when the process ends.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Its memory. Check [`LiveProcess::is_same`] after a read that matters.
    pub fn memory(&self) -> LiveMemory {
        LiveMemory::new(self.pid)
    }

    /// Whether the pid still means the process that was opened, and it has not ended.
    pub fn is_same(&self) -> bool {
        // Start times are told by clock ticks: within one of them a pid can be reused unseen.
        if self.has_ended() {
            return false;
        }
        // /proc is opened anew: the handle in `proc` would go on to name the old process.
        Process::new(self.pid.cast_signed())
            .and_then(|proc| proc.stat())
            .is_ok_and(|stat| {
                stat.starttime == self.started_ticks && !matches!(stat.state, 'Z' | 'X')
            })
    }

    /// Whether the pidfd tells of its end.
    fn has_ended(&self) -> bool {
        let at_once = Timespec::default();
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        poll(&mut fds, Some(&at_once)).is_ok_and(|n_ready| n_ready > 0)
    }

    /// Returns its wait status after its end: as `wait` would give it to its parent. `None` before, and where the kernel does
    /// not have it any more.
    pub fn wait_status(&self) -> Option<u32> {
        wait_status::of_ended(&self.pidfd, &self.proc)
    }

    /// Its pid in the initial pid namespace, which kernel programs see; `None` if heaptop runs in another one.
    pub fn initial_pid(&self) -> Option<u32> {
        /// `PROC_PID_INIT_INO` of `include/linux/proc_ns.h`.
        const INITIAL_NAMESPACE: u64 = 0xefff_fffc;
        let namespace = std::fs::metadata("/proc/self/ns/pid").ok()?.ino();
        (namespace == INITIAL_NAMESPACE).then_some(self.pid)
    }

    /// Whether the process still runs the program that was opened: not after an `exec`, be it of the same
    /// file, which a program does that renews itself.
    pub fn same_program(&self) -> bool {
        let (Ok(now), Ok(then)) = (
            std::fs::metadata(format!("/proc/{}/exe", self.pid)),
            self.exe.metadata(),
        ) else {
            return true; // Not to be told; the pidfd tells the end.
        };
        // Every exec lays the stack anew, at an address of its own.
        let stack_start = self.proc.stat().map_or(0, |stat| stat.startstack);
        let is_same_stack = stack_start == 0 || stack_start == self.stack_start;
        is_same_stack && now.ino() == then.ino() && now.dev() == then.dev()
    }

    /// Resident set size, bytes.
    pub fn rss_bytes(&self) -> Option<u64> {
        Some(self.proc.statm().ok()?.resident * procfs::page_size())
    }

    /// Whether an address of 8 bytes lies in private memory that the process itself may write.
    pub fn is_writable(&self, addr: u64) -> bool {
        let needed = MMPermissions::READ | MMPermissions::WRITE | MMPermissions::PRIVATE;
        self.maps().unwrap_or_default().iter().any(|map| {
            let (start, end) = map.address;
            start <= addr && addr < end && map.perms.contains(needed)
        })
    }

    /// All mappings. A path is any bytes but zero; those that are no UTF-8 are replaced, not refused.
    fn maps(&self) -> procfs::ProcResult<Vec<MemoryMap>> {
        let bytes = std::fs::read(format!("/proc/{}/maps", self.pid))?;
        let text = String::from_utf8_lossy(&bytes);
        Ok(MemoryMaps::from_buf_read(text.as_bytes())?.0)
    }

    /// All executable mappings by address, without build ids: anonymous ones have no name and are left out.
    pub fn executable_mappings(&self) -> Vec<MappedFile> {
        let maps = self.maps().unwrap_or_default();
        let executable = maps
            .into_iter()
            .filter(|map| map.perms.contains(MMPermissions::EXECUTE));
        executable
            .filter_map(|map| {
                let path = match map.pathname {
                    MMapPath::Path(path) => path.to_string_lossy().into_owned(),
                    MMapPath::Vdso => "[vdso]".into(),
                    MMapPath::Vsyscall => "[vsyscall]".into(),
                    _ => return None,
                };
                let path = path.strip_suffix(" (deleted)").unwrap_or(&path).to_owned();
                let (start, end) = map.address;
                Some(MappedFile {
                    start,
                    end,
                    offset: map.offset,
                    path,
                    build_id: String::new(),
                })
            })
            .collect()
    }

    /// The mappings of the program's own file, by address. Matched by device and inode: the path of a
    /// deleted file changes, and other namespaces have other paths.
    pub fn exe_mappings(&self) -> Result<Vec<ExeMapping>, Refusal> {
        let refuse = |why: String| {
            Refusal::new(
                format!(
                    "cannot see the mappings of {} (pid {})",
                    self.name, self.pid
                ),
                why,
                format!("sudo heaptop {}", self.pid),
            )
        };
        let inode = self
            .exe
            .metadata()
            .map_err(|err| refuse(err.to_string()))?
            .ino();
        let maps = self.maps().map_err(|err| refuse(err.to_string()))?;
        // The device in maps is that of the mount below an overlay, so the inode alone is compared, and
        // the path with it where the kernel gives one.
        let own_path = std::fs::read_link(format!("/proc/{}/exe", self.pid)).ok();
        let of_exe = maps.into_iter().filter(|map| {
            map.inode == inode
                || matches!(&map.pathname, MMapPath::Path(path) if Some(path) == own_path.as_ref())
        });
        let mappings: Vec<ExeMapping> = of_exe
            .map(|map| ExeMapping {
                start: map.address.0,
                end: map.address.1,
                offset: map.offset,
            })
            .collect();
        if mappings.is_empty() {
            return Err(refuse(
                "its program file is not mapped: a packed (UPX) program?".into(),
            ));
        }
        Ok(mappings)
    }
}

/// Base name of a process's executable, without the mark of a deleted file.
pub(super) fn exe_name(proc: &Process) -> Option<String> {
    let exe = proc.exe().ok()?;
    let name = exe.file_name()?.to_string_lossy().into_owned();
    Some(name.strip_suffix(" (deleted)").unwrap_or(&name).to_owned())
}

/// Address of the first mapping of a process's program.
pub(super) fn exe_start(proc: &Process) -> Option<u64> {
    let inode = std::fs::metadata(format!("/proc/{}/exe", proc.pid))
        .ok()?
        .ino();
    // An overlay has inodes of its own.
    let path = std::fs::read_link(format!("/proc/{}/exe", proc.pid)).ok()?;
    let path = path.to_string_lossy();
    let bytes = std::fs::read(format!("/proc/{}/maps", proc.pid)).ok()?;
    // The program is mapped below its libraries, and often as the very first: the rest needs no parsing.
    let text = String::from_utf8_lossy(&bytes);
    text.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let range = words.next()?;
        let found: u64 = words.nth(3)?.parse().ok()?;
        let (start, _) = range.split_once('-')?;
        (found == inode || line.ends_with(&*path)).then(|| u64::from_str_radix(start, 16).ok())?
    })
}

/// Unix time, nanoseconds, of a start time in clock ticks since boot.
pub(super) fn started_unix_ns(ticks: u64) -> i64 {
    let boot_ns = i128::from(procfs::boot_time_secs().unwrap_or(0)) * 1_000_000_000;
    let since_boot_ns =
        i128::from(ticks) * 1_000_000_000 / i128::from(procfs::ticks_per_second().max(1));
    i64::try_from(boot_ns + since_boot_ns).unwrap_or(0)
}
