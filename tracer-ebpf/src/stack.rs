//! Stacks of the target, by frame pointers: hashed at every hit, sent once.
//!
//! Every Go function with a frame keeps `rbp`, so a walk needs two words a frame: the caller's frame and the return
//! address. The kernel's own walk (`bpf_get_stack`) loses the immediate caller at most probes, and takes room that a
//! program can only have in a map; a newer kernel lets programs preempt one another on a CPU, and would tear it. So a
//! walk is done twice: the first only hashes, and the second, for stacks not seen before, writes straight into the ring.

use core::ptr::addr_of_mut;

use aya_ebpf::programs::ProbeContext;
use tracer_ebpf::wire::{KIND_STACK, MAX_STACK_PCS, StackRecord};

use crate::{maps, regs};

/// Where a walk stands.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    /// A return address; 0 behind the last.
    pub(crate) pc: u64,
    /// The frame that it returns to.
    fp: u64,
    /// A walk that begins on a thread's own stack goes on, once, to that of the goroutine, which may lie below.
    has_switched: bool,
}

/// No frame: what a walk ends with.
const END: Frame = Frame {
    pc: 0,
    fp: 0,
    has_switched: false,
};

/// The caller of a function that is probed before its prologue is done.
#[inline(always)]
pub(crate) fn of_entry(ctx: &ProbeContext) -> Frame {
    match regs::read_u64(regs::rsp(ctx)) {
        Some(pc) => Frame {
            pc,
            fp: regs::rbp(ctx),
            has_switched: false,
        },
        None => END,
    }
}

/// The caller of a function that is probed behind its prologue.
#[inline(always)]
pub(crate) fn of_body(ctx: &ProbeContext) -> Frame {
    match regs::read_pair(regs::rbp(ctx)) {
        Some([fp, pc]) => Frame {
            pc,
            fp,
            has_switched: false,
        },
        None => END,
    }
}

impl Frame {
    /// The next frame; its `pc` is 0 behind the last.
    #[inline(always)]
    fn caller(self) -> Self {
        if self.fp == 0 {
            return END;
        }
        let Some([fp, pc]) = regs::read_pair(self.fp) else {
            return END;
        };
        // Frames grow towards the caller: anything else is no frame, but for the switch of stacks.
        let switches = fp != 0 && fp <= self.fp;
        if switches && self.has_switched {
            return END;
        }
        Self {
            pc,
            fp,
            has_switched: self.has_switched || switches,
        }
    }
}

/// Makes sure that userspace knows the stack that begins with `first`, by its id; false when its record is lost.
#[inline(always)]
pub(crate) fn tell(id: u64, first: Frame) -> bool {
    if maps::is_sent(id) {
        return true;
    }
    let is_sent = send(id, first);
    if is_sent {
        maps::remember_sent(id);
    }
    is_sent
}

/// The id of the stack that begins with `first`: a hash of its return addresses, never 0.
#[inline(always)]
pub(crate) fn id(first: Frame) -> u64 {
    /// Any odd number with bits all over (that of SplitMix64).
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = FACTOR;
    let mut frame = first;
    for _ in 0..MAX_STACK_PCS {
        if frame.pc == 0 {
            break;
        }
        hash = (hash ^ frame.pc).wrapping_mul(FACTOR);
        hash ^= hash >> 32;
        frame = frame.caller();
    }
    hash.max(1)
}

/// Sends the stack; false when the ring is full.
#[inline(always)]
fn send(id: u64, first: Frame) -> bool {
    let header = maps::header(KIND_STACK);
    let Some(mut place) = maps::reserve::<StackRecord>(KIND_STACK) else {
        return false;
    };
    let record = place.as_mut_ptr();
    let mut frame = first;
    let mut n_pcs = 0;
    for i in 0..MAX_STACK_PCS {
        // SAFETY: `record` is room for a whole record, and `i` is inside of its array (checked by the verifier).
        unsafe { addr_of_mut!((*record).pcs[i]).write(frame.pc) };
        if frame.pc != 0 {
            n_pcs += 1;
            frame = frame.caller();
        }
    }
    // SAFETY: `record` is room for a whole record; with these and `pcs` every byte is written.
    unsafe {
        addr_of_mut!((*record).header).write(header);
        addr_of_mut!((*record).id).write(id);
        addr_of_mut!((*record).n_pcs).write(n_pcs);
        addr_of_mut!((*record).truncated).write(u32::from(frame.pc != 0));
    }
    place.submit(maps::wake_up(KIND_STACK));
    true
}
