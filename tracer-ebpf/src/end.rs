//! The end of the target: its exit code, and a choice of the OOM killer.
//!
//! Raw tracepoints need neither tracefs nor CO-RE: userspace finds the offsets in the kernel's own type information. Both
//! programs run for every process of the machine, so the first thing they do is to compare process ids.

use aya_ebpf::programs::RawTracePointContext;
use tracer_ebpf::wire::{END_SEEN, ENDED_EXIT, ENDED_OOM};

use crate::{maps, regs};

/// A thread exits. In an `exit_group` and after a fatal signal every thread of the process carries the same code, so the
/// last one that is written is the code of the process.
#[inline(always)]
pub(crate) fn exited(ctx: &RawTracePointContext) {
    if regs::tgid() != maps::target_tgid() {
        return;
    }
    let task: u64 = ctx.arg(0);
    if let Some(code) = regs::read_kernel_u32(task.wrapping_add(maps::task_exit_code())) {
        maps::set_ended(ENDED_EXIT, END_SEEN | u64::from(code));
    }
}

/// The OOM killer has chosen a process: `mark_victim(struct task_struct *, uid_t)`, or `mark_victim(int pid)` before
/// Linux 6.9.
#[inline(always)]
pub(crate) fn oom_victim(ctx: &RawTracePointContext) {
    let victim: u64 = ctx.arg(0);
    let tgid = if victim > u64::from(u32::MAX) {
        regs::read_kernel_u32(victim.wrapping_add(maps::task_tgid())).map(u64::from)
    } else {
        Some(victim)
    };
    if tgid == Some(maps::target_tgid()) {
        maps::set_ended(ENDED_OOM, END_SEEN);
    }
}
