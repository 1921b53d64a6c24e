//! Steps of the garbage collector, one record each.
//!
//! They give the event order that "live after cycle N" is defined by: birth, mark end, free, next cycle's start.

use aya_ebpf::programs::ProbeContext;
use tracer_ebpf::wire::{GcRecord, HEAP_UNKNOWN, KIND_FLUSHED, KIND_GC_MARKED};

use crate::{maps, regs};

/// One step; `kind` is a constant at every call, so each program keeps only its own branch.
#[inline(always)]
pub(crate) fn step(ctx: &ProbeContext, kind: u32) {
    maps::count_hit(kind);
    if regs::stack_check_fails(ctx, kind) {
        return;
    }
    // `(*gcControllerState).resetLive(bytesMarked uint64)`: RAX = receiver, RBX = bytesMarked.
    let (live_bytes, cycle) = if kind == KIND_GC_MARKED {
        (regs::rbx(ctx), ending_cycle())
    } else {
        (0, 0)
    };
    let heap_bytes = if kind == KIND_FLUSHED {
        HEAP_UNKNOWN
    } else {
        heap_bytes()
    };
    maps::send(
        kind,
        GcRecord {
            header: maps::header(kind),
            live_bytes,
            cycle,
            heap_bytes,
        },
    );
}

/// Returns `gcController.heapLive`, or [`HEAP_UNKNOWN`] where it cannot be read. Nothing allocates meanwhile: the world is
/// stopped at both hooks.
#[inline(always)]
fn heap_bytes() -> u64 {
    match maps::heap_live() {
        0 => HEAP_UNKNOWN,
        address => regs::read_u64(address).unwrap_or(HEAP_UNKNOWN),
    }
}

/// Number of the cycle that ends: `gcSweep`, which comes behind the hook with the world still stopped, counts it. 0 where
/// it cannot be read.
#[inline(always)]
fn ending_cycle() -> u64 {
    match maps::sweepgen() {
        0 => 0,
        address => regs::read_u32(address).map_or(0, |sweepgen| u64::from(sweepgen / 2) + 1),
    }
}
