//! `--follow`: which process is the same service as one that has ended.
//!
//! A process that replaced itself by exec keeps its pid. Otherwise it is the youngest that did not run beside the old
//! one when the watch began, and that TARGET means as well; for a TARGET that is a pid, one of the same name in the
//! same container or pod.

use std::collections::HashSet;

use procfs::process::Process;

use super::live::{self, LiveProcess};
use super::target::{Belongs, means};

/// What is waited for.
#[derive(Clone, Debug)]
pub struct Follower {
    target: String,
    name: String,
    belongs: Belongs,
    pid: u32,
    started_ticks: u64,
    stack_start: u64,
    /// Pid and start time of those that ran beside it when the watch began: none of them is the next one.
    beside: HashSet<(u32, u64)>,
}

impl Follower {
    /// To follow what TARGET means, at present `pid`; `None` where that has ended already.
    pub fn of(target: &str, pid: u32) -> Option<Self> {
        let process = LiveProcess::open(pid).ok()?;
        let proc = Process::new(pid.cast_signed()).ok()?;
        let stat = proc.stat().ok()?;
        let mut follower = Self {
            target: target.to_owned(),
            name: process.name().to_owned(),
            belongs: Belongs::of(&proc),
            pid,
            started_ticks: stat.starttime,
            stack_start: stat.startstack,
            beside: HashSet::new(),
        };
        let beside = procfs::process::all_processes().ok()?;
        follower.beside = beside
            .filter_map(Result::ok)
            .filter(|proc| proc.pid.unsigned_abs() != pid && follower.means(proc))
            .filter_map(|proc| Some((proc.pid.unsigned_abs(), proc.stat().ok()?.starttime)))
            .collect();
        Some(follower)
    }

    /// What a user calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Looks once; the pid of the process that goes on for the old one. Costs some microseconds for each process.
    pub fn next(&self) -> Option<u32> {
        let own = std::process::id();
        let younger = |proc: Process| {
            let stat = proc.stat().ok()?;
            let is_same =
                proc.pid.unsigned_abs() == self.pid && stat.starttime == self.started_ticks;
            let is_next = if is_same {
                stat.startstack != self.stack_start
            } else {
                !self
                    .beside
                    .contains(&(proc.pid.unsigned_abs(), stat.starttime))
                    && self.means(&proc)
            };
            let is_alive = !matches!(stat.state, 'Z' | 'X') && proc.pid.unsigned_abs() != own;
            (is_next && is_alive).then_some((stat.starttime, proc.pid.unsigned_abs()))
        };
        procfs::process::all_processes()
            .ok()?
            .filter_map(|proc| younger(proc.ok()?))
            .max()
            .map(|(_, pid)| pid)
    }

    fn means(&self, proc: &Process) -> bool {
        if self.target.parse::<u32>().is_err() {
            return means(&self.target, proc);
        }
        live::exe_name(proc).as_deref() == Some(&*self.name)
            && self.belongs.shares(&Belongs::of(proc))
    }
}
