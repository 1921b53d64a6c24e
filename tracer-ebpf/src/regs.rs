//! The unsafe fence: registers and memory of the target, helpers of the kernel.
//!
//! Everything that is `unsafe` in the programs is in this file, one operation a block, behind functions that take and
//! return plain numbers. Addresses of the target are only ever handed to a helper, never dereferenced.

use core::arch::asm;

use aya_ebpf::{
    helpers::{
        bpf_get_current_pid_tgid, bpf_get_prandom_u32, bpf_ktime_get_ns, bpf_probe_read_kernel,
        bpf_probe_read_user,
    },
    maps::ProgramArray,
    programs::ProbeContext,
};

use crate::maps;

/// Carry (bit 0) or zero flag (bit 6): the condition of `jbe`.
const CF_OR_ZF: u64 = 0x41;

/// RAX: first argument in Go's ABIInternal.
#[inline(always)]
pub(crate) fn rax(ctx: &ProbeContext) -> u64 {
    // SAFETY: the kernel passes a valid `pt_regs` for the whole run of the program, and the verifier checks the offset.
    unsafe { (*ctx.regs).rax }
}

/// RBX: second argument in Go's ABIInternal.
#[inline(always)]
pub(crate) fn rbx(ctx: &ProbeContext) -> u64 {
    // SAFETY: as in `rax`.
    unsafe { (*ctx.regs).rbx }
}

/// RSP: at a function's beginning it points to the return address.
#[inline(always)]
pub(crate) fn rsp(ctx: &ProbeContext) -> u64 {
    // SAFETY: as in `rax`.
    unsafe { (*ctx.regs).rsp }
}

/// RBP: the frame of the function that runs, or of its caller before the prologue.
#[inline(always)]
pub(crate) fn rbp(ctx: &ProbeContext) -> u64 {
    // SAFETY: as in `rax`.
    unsafe { (*ctx.regs).rbp }
}

/// R14: the `g` that runs, in Go's ABIInternal.
#[inline(always)]
pub(crate) fn r14(ctx: &ProbeContext) -> u64 {
    // SAFETY: as in `rax`.
    unsafe { (*ctx.regs).r14 }
}

/// Whether the probe of `kind` sits on the `jbe` of a stack check and the jump is about to be taken.
///
/// The function then calls `morestack` and comes by again: this pass does not count. Always false for a probe that is
/// placed behind the check.
#[inline(always)]
pub(crate) fn stack_check_fails(ctx: &ProbeContext, kind: u32) -> bool {
    // SAFETY: as in `rax`.
    let eflags = unsafe { (*ctx.regs).eflags };
    maps::on_jbe(kind) && eflags & CF_OR_ZF != 0
}

/// One byte of the target; `None` when its page is not there.
#[inline(always)]
pub(crate) fn read_u8(address: u64) -> Option<u8> {
    // SAFETY: the helper checks the user address itself and fails instead of faulting; to us it is only a number.
    unsafe { bpf_probe_read_user(address as *const u8) }.ok()
}

/// Two bytes of the target; `None` when a page of them is not there.
#[inline(always)]
pub(crate) fn read_u16(address: u64) -> Option<u16> {
    // SAFETY: as in `read_u8`.
    unsafe { bpf_probe_read_user(address as *const u16) }.ok()
}

/// Four bytes of the target; `None` when a page of them is not there.
#[inline(always)]
pub(crate) fn read_u32(address: u64) -> Option<u32> {
    // SAFETY: as in `read_u8`.
    unsafe { bpf_probe_read_user(address as *const u32) }.ok()
}

/// Sixteen bytes of the target, as two numbers; `None` when a page of them is not there.
#[inline(always)]
pub(crate) fn read_pair(address: u64) -> Option<[u64; 2]> {
    // SAFETY: as in `read_u8`.
    unsafe { bpf_probe_read_user(address as *const [u64; 2]) }.ok()
}

/// Eight bytes of the target; `None` when a page of them is not there.
#[inline(always)]
pub(crate) fn read_u64(address: u64) -> Option<u64> {
    // SAFETY: as in `read_u8`.
    unsafe { bpf_probe_read_user(address as *const u64) }.ok()
}

/// Four bytes of the kernel; `None` where they cannot be read.
#[inline(always)]
pub(crate) fn read_kernel_u32(address: u64) -> Option<u32> {
    // SAFETY: the helper checks the kernel address itself and fails instead of faulting; to us it is only a number.
    unsafe { bpf_probe_read_kernel(address as *const u32) }.ok()
}

/// Process id of the current task in the initial pid namespace.
#[inline(always)]
pub(crate) fn tgid() -> u64 {
    bpf_get_current_pid_tgid() >> 32
}

/// Goes on with the first program of a table; returns where there is none.
#[inline(always)]
pub(crate) fn tail_call(table: &ProgramArray, ctx: &ProbeContext) {
    // SAFETY: the kernel passes a valid context for the whole run of the program, and the verifier checks both arguments.
    unsafe { table.tail_call(ctx, 0) };
}

/// Nanoseconds of `CLOCK_MONOTONIC`.
#[inline(always)]
pub(crate) fn monotonic_ns() -> u64 {
    // SAFETY: the helper takes no argument and cannot fail.
    unsafe { bpf_ktime_get_ns() }
}

/// A random number.
#[inline(always)]
pub(crate) fn random() -> u32 {
    // SAFETY: the helper takes no argument and cannot fail.
    unsafe { bpf_get_prandom_u32() }
}

/// Reads a number in a map that only this CPU writes, but for a probe that preempts this one.
#[inline(always)]
pub(crate) fn get(place: *mut u64) -> u64 {
    // SAFETY: as in `add_one`.
    unsafe { place.read_volatile() }
}

/// Copies a value out of a map.
#[inline(always)]
pub(crate) fn copy(place: *const maps::Pending) -> maps::Pending {
    // SAFETY: as in `add_one`.
    unsafe { place.read_volatile() }
}

/// Writes a number in a map.
#[inline(always)]
pub(crate) fn set(place: *mut u64, value: u64) {
    // SAFETY: as in `add_one`.
    unsafe { place.write_volatile(value) }
}

/// Adds one to a counter in a map.
///
/// Atomic although the map is per CPU: newer kernels (6.0, sleepable uprobes) let another task's probe preempt this one
/// on the same CPU, and a plain load, add, store would then lose a count. Written as the instruction itself because
/// `core` has no read-modify-write atomics for this target; every kernel has it (the form that returns the old value
/// needs 5.12).
#[inline(always)]
pub(crate) fn add_one(counter: *mut u64) {
    // SAFETY: the pointer comes from a successful map lookup (checked by the verifier): aligned to 8, alive while the
    // program runs. Userspace reads it by system call only.
    unsafe {
        asm!(
            "lock *(u64 *)({counter} + 0) += {one}",
            counter = in(reg) counter,
            one = in(reg) 1u64,
            options(nostack, preserves_flags),
        );
    }
}
