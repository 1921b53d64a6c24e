//! Steps of the garbage collector, one record each.
//!
//! They give the event order that "live after cycle N" is defined by: birth, mark end, free, next cycle's start.

use aya_ebpf::programs::ProbeContext;
use tracer_ebpf::wire::{GcRecord, KIND_GC_MARKED};

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
    maps::send(
        kind,
        GcRecord {
            header: maps::header(kind),
            live_bytes,
            cycle,
        },
    );
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
