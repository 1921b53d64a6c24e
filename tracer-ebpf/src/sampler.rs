//! The runtime's own samples: births from `setprofilebucket`, deaths from `freeSpecial`.
//!
//! The runtime has already captured and interned the stack (in its bucket), so a record is three numbers. Both
//! functions run on g0; the registers are those of Go's ABIInternal, the same from Go 1.18 to 1.27.

use aya_ebpf::programs::ProbeContext;
use aya_log_ebpf::warn;
use tracer_ebpf::wire::{KIND_BORN, KIND_FREED, SampleRecord};

use crate::{maps, regs};

/// `setprofilebucket(p unsafe.Pointer, b *bucket)`: RAX = object, RBX = bucket.
#[inline(always)]
pub(crate) fn born(ctx: &ProbeContext) {
    maps::count_hit(KIND_BORN);
    if regs::stack_check_fails(ctx, KIND_BORN) {
        return;
    }
    let (object, bucket) = (regs::rax(ctx), regs::rbx(ctx));
    maps::send(
        KIND_BORN,
        SampleRecord {
            header: maps::header(KIND_BORN),
            object,
            bucket,
        },
    );
}

/// `freeSpecial(s *special, p unsafe.Pointer, size uintptr)`: RAX = special, RBX = object.
///
/// Reached for finalizers, cleanups and weak handles too: only the profile's special is ours. A special that cannot be
/// read counts as a lost free; it may have been one of the others, but a loss too many is found at the next comparison
/// with the buckets, and one too few is not looked for.
#[inline(always)]
pub(crate) fn freed(ctx: &ProbeContext) {
    maps::count_hit(KIND_FREED);
    if regs::stack_check_fails(ctx, KIND_FREED) {
        return;
    }
    let (special, object) = (regs::rax(ctx), regs::rbx(ctx));
    let Some(kind) = regs::read_u8(special.wrapping_add(maps::special_kind_offset())) else {
        return unreadable(ctx, special);
    };
    if u64::from(kind) != maps::profile_kind() {
        return;
    }
    let Some(bucket) = regs::read_u64(special.wrapping_add(maps::special_bucket_offset())) else {
        return unreadable(ctx, special);
    };
    maps::send(
        KIND_FREED,
        SampleRecord {
            header: maps::header(KIND_FREED),
            object,
            bucket,
        },
    );
}

/// Out of line: the log macro is long, and the path is rare.
#[inline(never)]
fn unreadable(ctx: &ProbeContext, special: u64) {
    maps::count_lost(KIND_FREED);
    if maps::log_enabled() {
        warn!(ctx, "freeSpecial: cannot read the special at {:x}", special);
    }
}
