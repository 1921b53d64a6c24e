//! Calls of a function of the target, such as that which serves a request: counted, and nothing else.

use aya_ebpf::programs::ProbeContext;

use crate::{maps, regs};

/// One call, or one entry before `morestack`. No record: it may come 100 000 times a second.
#[inline(always)]
pub(crate) fn called(ctx: &ProbeContext, kind: u32) {
    maps::count_hit(kind);
    if regs::stack_check_fails(ctx, kind) {
        maps::count_reentry(kind);
    }
}
