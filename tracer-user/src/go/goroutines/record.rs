//! One goroutine as its `g` has it.

use crate::go::facts::GoroutineFacts;
use crate::go::pclntab::u64_at;

/// Offsets of `g` beyond this are no offsets; the struct has 456 bytes in go1.27.
const MAX_G_BYTES: u64 = 4096;
/// The runtime's own limit of a stack on 64 bits is 1 GB by default; a program may raise it.
const MAX_STACK_BYTES: u64 = 1 << 36;

/// Bytes of a `g` up to the last field that is read; `None` where that is no struct.
pub(super) fn g_bytes(facts: &GoroutineFacts) -> Option<usize> {
    let offsets = [
        facts.stack_lo,
        facts.stack_hi,
        facts.sched_sp,
        facts.sched_pc,
        facts.sched_bp,
        facts.status,
        facts.goid,
        facts.waitsince,
        facts.waitreason,
        facts.gopc,
        facts.startpc,
    ];
    let last = offsets.into_iter().max().filter(|max| *max < MAX_G_BYTES)?;
    usize::try_from(last + 8).ok()
}

/// What a goroutine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Runnable,
    Running,
    Syscall,
    Waiting,
    Other,
    Dead,
}

impl State {
    /// Source: `_Gidle` and those behind it, Go `src/runtime/runtime2.go`: the same numbers in all releases.
    pub(super) fn of(status: u32) -> Option<Self> {
        const SCAN: u32 = 0x1000;
        Some(match status & !SCAN {
            0 | 6 | 11 => Self::Dead,
            1 => Self::Runnable,
            2 => Self::Running,
            3 => Self::Syscall,
            4 | 10 => Self::Waiting, // 10: found leaked by the GC, go1.26 and later.
            8 | 9 => Self::Other,
            _ => return None,
        })
    }
}

/// The fields of a `g`.
#[derive(Clone, Copy, Debug)]
pub(super) struct G {
    pub(super) status: u32,
    pub(super) goid: u64,
    pub(super) stack_lo: u64,
    pub(super) stack_hi: u64,
    pub(super) sp: u64,
    pub(super) pc: u64,
    pub(super) bp: u64,
    pub(super) waiting_since_ns: Option<u64>,
    pub(super) wait_reason: u8,
    pub(super) created_pc: u64,
    pub(super) start_pc: u64,
}

impl G {
    pub(super) fn parse(bytes: &[u8], facts: &GoroutineFacts) -> Option<Self> {
        let word = |offset: u64| u64_at(bytes, usize::try_from(offset).ok()?);
        let low_half = |word: u64| u32::try_from(word & u64::from(u32::MAX)).ok();
        let [wait_reason, ..] = word(facts.waitreason)?.to_le_bytes();
        let since = word(facts.waitsince)?;
        Some(Self {
            status: low_half(word(facts.status)?)?,
            goid: word(facts.goid)?,
            stack_lo: word(facts.stack_lo)?,
            stack_hi: word(facts.stack_hi)?,
            sp: word(facts.sched_sp)?,
            pc: word(facts.sched_pc)?,
            bp: word(facts.sched_bp)?,
            waiting_since_ns: (since != 0 && i64::try_from(since).is_ok()).then_some(since),
            wait_reason,
            created_pc: word(facts.gopc)?,
            start_pc: word(facts.startpc)?,
        })
    }

    /// `None` where the bounds are torn or make no sense.
    pub(super) fn stack_bytes(&self) -> Option<u64> {
        let size = self.stack_hi.checked_sub(self.stack_lo)?;
        (size > 0 && size <= MAX_STACK_BYTES && self.stack_lo != 0).then_some(size)
    }
}
