//! The stack of one parked goroutine, by its frame pointers.

use super::super::facts::GoroutineFacts;
use super::super::memory::Memory;
use super::record::{G, State};
use super::{MAX_FRAMES, Oldest};

/// Most bytes of a stack that are read, from its top: parked goroutines are a few frames deep.
const MAX_READ_BYTES: u64 = 64 << 10;

/// Reads the stack of the goroutine `goid` whose `g` lies at `at`; `None` where it is not parked any more, or was woken
/// meanwhile: then what was read may be of two moments.
pub(super) fn read(
    memory: &(impl Memory + ?Sized),
    facts: &GoroutineFacts,
    n_bytes: usize,
    at: u64,
    goid: u64,
) -> Option<Oldest> {
    let look = || {
        let g = G::parse(&memory.bytes(at, n_bytes).ok()?, facts)?;
        let is_it = g.goid == goid && State::of(g.status) == Some(State::Waiting);
        is_it.then_some(g)
    };
    let g = look()?;
    g.stack_bytes()?;
    if g.sp < g.stack_lo || g.sp >= g.stack_hi {
        return None;
    }
    let len = (g.stack_hi - g.sp).min(MAX_READ_BYTES);
    let stack = memory.bytes(g.sp, usize::try_from(len).ok()?).ok()?;
    let after = look()?;
    // Who was woken and parked again has another reason, moment or place; or the same, and then the same frames.
    let is_same = |a: &G, b: &G| (a.sp, a.pc, a.bp, a.stack_hi) == (b.sp, b.pc, b.bp, b.stack_hi);
    if !is_same(&g, &after) {
        return None;
    }
    let (pcs, truncated) = walk(&stack, &g);
    Some(Oldest {
        goid,
        waiting_since_ns: after.waiting_since_ns,
        pcs,
        truncated,
    })
}

/// Return addresses from the place where it is parked outwards, and whether there are more.
fn walk(stack: &[u8], g: &G) -> (Vec<u64>, bool) {
    let word = |at: u64| {
        let from = usize::try_from(at.checked_sub(g.sp)?).ok()?;
        let word = stack.get(from..from.checked_add(8)?)?;
        Some(u64::from_le_bytes(word.try_into().ok()?))
    };
    let mut pcs = vec![g.pc];
    let mut bp = g.bp;
    loop {
        if !bp.is_multiple_of(8) || bp < g.sp || bp >= g.stack_hi {
            return (pcs, false); // 0 below the first frame.
        }
        let frame = word(bp).zip(bp.checked_add(8).and_then(word));
        let Some((caller_bp, return_pc)) = frame else {
            return (pcs, true);
        };
        if return_pc == 0 {
            return (pcs, false);
        }
        if pcs.len() >= MAX_FRAMES {
            return (pcs, true);
        }
        pcs.push(return_pc);
        // Frames lie above each other, so that this ends.
        if caller_bp <= bp {
            return (pcs, false);
        }
        bp = caller_bp;
    }
}
