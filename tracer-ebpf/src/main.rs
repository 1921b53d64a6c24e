//! The eBPF programs: one thin entry point per hook.
//!
//! Data flows one way: registers and memory of the target ([`regs`], [`stack`], [`mspan`]) → record ([`sampler`], [`gc`],
//! [`spans`], [`exact`], [`calls`], [`end`]) → ring buffer and counters ([`maps`]). No program does more than a bounded piece of work, and
//! the only state is of the programs' own: which stacks were sent, and what waits for its span. What a record means is
//! decided in userspace.
//!
//! Least kernel 5.10: ring buffer (5.8), `bpf_probe_read_user` (5.5). Nothing newer may be used; `cargo xtask vm` loads
//! and runs the object on 5.10.
//!
//! Programs may be preempted, by one another too, and by themselves for another thread of the target: nothing may be kept in
//! a place of their CPU's while they run, their own stack included ([`maps::never_tail_call`]).
//!
//! Never add a return probe here: the kernel rewrites the return address, Go's stack copier finds it and the target
//! crashes (iovisor/bcc issue 1320, golang/go issue 22008).
#![no_std]
#![no_main]
// Only for the one instruction in `regs::add_one`; the build for this target needs unstable flags anyway.
#![feature(asm_experimental_arch)]
#![allow(
    missing_docs,
    clippy::needless_pass_by_value,
    reason = "`#[uprobe]` and its kin wrap each function in an undocumented one and pass the context by value"
)]

mod calls;
mod end;
mod exact;
mod gc;
mod maps;
mod mspan;
mod regs;
mod sampler;
mod spans;
mod stack;

use aya_ebpf::{
    macros::{raw_tracepoint, uprobe},
    programs::{ProbeContext, RawTracePointContext},
};
use tracer_ebpf::wire;

/// On `runtime.setprofilebucket(p, b)`: a sampled object is born.
#[uprobe]
fn born(ctx: ProbeContext) -> u32 {
    sampler::born(&ctx);
    done(&ctx)
}

/// On `runtime.freeSpecial(s, p, size)`: a sampled object is freed, or some other special of an object is.
#[uprobe]
fn freed(ctx: ProbeContext) -> u32 {
    sampler::freed(&ctx);
    done(&ctx)
}

/// On `runtime.(*gcControllerState).startCycle`: marking begins.
#[uprobe]
fn gc_start(ctx: ProbeContext) -> u32 {
    gc::step(&ctx, wire::KIND_GC_START);
    done(&ctx)
}

/// On `runtime.(*gcControllerState).resetLive(bytesMarked)`: marking has ended.
#[uprobe]
fn gc_marked(ctx: ProbeContext) -> u32 {
    gc::step(&ctx, wire::KIND_GC_MARKED);
    done(&ctx)
}

/// In `runtime.mProf_Flush`, on the first call after `mProf_FlushLocked`: bucket counters may be read.
#[uprobe]
fn flushed(ctx: ProbeContext) -> u32 {
    gc::step(&ctx, wire::KIND_FLUSHED);
    done(&ctx)
}

/// In `runtime.(*mcache).nextFree`, on the call of `nextFreeIndex` behind `refill`: a P has taken a span.
#[uprobe]
fn span(ctx: ProbeContext) -> u32 {
    spans::taken(&ctx);
    done(&ctx)
}

/// In `runtime.(*mcache).allocLarge`, on the call of `(*spanSet).push`: a large object has its span.
#[uprobe]
fn large(ctx: ProbeContext) -> u32 {
    spans::large(&ctx);
    done(&ctx)
}

/// Behind the call of `(*mheap).alloc` in the same, on its nil check, where that of `push` is inlined.
#[uprobe]
fn large_result(ctx: ProbeContext) -> u32 {
    spans::large_result(&ctx);
    done(&ctx)
}

/// On `runtime.mallocgc(size, typ, needzero)` and its kin: an allocation.
#[uprobe]
fn alloc(ctx: ProbeContext) -> u32 {
    exact::allocated(&ctx);
    done(&ctx)
}

/// On a function of the target itself: it is called.
#[uprobe]
fn call(ctx: ProbeContext) -> u32 {
    calls::called(&ctx, wire::KIND_CALL);
    done(&ctx)
}

/// On a second one.
#[uprobe]
fn other_call(ctx: ProbeContext) -> u32 {
    calls::called(&ctx, wire::KIND_OTHER_CALL);
    done(&ctx)
}

/// On the raw tracepoint `sched_process_exit`: a thread of the machine exits.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
fn process_exit(ctx: RawTracePointContext) -> i32 {
    end::exited(&ctx);
    0
}

/// On the raw tracepoint `mark_victim`: the OOM killer has chosen a process.
#[raw_tracepoint(tracepoint = "mark_victim")]
fn oom_victim(ctx: RawTracePointContext) -> i32 {
    end::oom_victim(&ctx);
    0
}

/// What every program returns: 0 tells perf not to write a sample of its own.
const DONE: u32 = 0;

/// Ends a program, which so has a tail call and with it the kernel stack of its own thread: see [`maps::never_tail_call`].
#[inline(always)]
fn done(ctx: &ProbeContext) -> u32 {
    maps::never_tail_call(ctx);
    DONE
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier refuses a program that could get here (an endless loop), so a panic cannot be loaded, let alone run.
    loop {}
}

/// Read by the kernel at load: `bpf_probe_read_user` is for GPL-compatible programs.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
