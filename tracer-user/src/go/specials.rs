//! The live samples of the heap profile: the profile specials of all spans.
//!
//! Σ per bucket equals births − frees of that bucket, in every release tested. The lists are changed by
//! sweepers while they are read; a node that vanishes meanwhile ends its list early, which the caller
//! sees as samples that the free events had removed anyway.
//!
//! Source: `src/runtime/mheap.go` (`addspecial`, `freeSpecial`), go1.19 to go1.27.

use super::blocks::Blocks;
use super::facts::Facts;
use super::memory::{Memory, Unreadable};

/// Most spans that are walked: 4 Mi spans are at least 32 GiB of heap.
const MAX_SPANS: u64 = 4 << 20;
/// Most specials of one span: no span has more than 8192 / 8 objects, each with a few specials.
const MAX_SPECIALS_PER_SPAN: usize = 65_536;
/// `mSpanInUse`.
const SPAN_IN_USE: u8 = 1;

/// Every live sample as (object address, bucket address), at most `max`; and whether that bound was hit.
pub fn live_samples(
    memory: &impl Memory,
    facts: &Facts,
    mheap: u64,
    max: usize,
) -> Result<(Vec<(u64, u64)>, bool), Unreadable> {
    let memory = Blocks::new(memory);
    let spans = memory.u64(mheap.wrapping_add(facts.mheap.allspans))?;
    let n_spans = memory
        .u64(mheap.wrapping_add(facts.mheap.allspans + 8))?
        .min(MAX_SPANS);
    let mut found = Vec::new();
    for i in 0..n_spans {
        let span = memory.u64(spans.wrapping_add(8 * i))?;
        if memory.u8(span.wrapping_add(facts.mspan.state))? != SPAN_IN_USE {
            continue;
        }
        let start = memory.u64(span.wrapping_add(facts.mspan.start_addr))?;
        let mut special = memory.u64(span.wrapping_add(facts.mspan.specials))?;
        let mut steps = 0;
        while special != 0 && steps < MAX_SPECIALS_PER_SPAN {
            steps += 1;
            let Ok(kind) = memory.u8(special.wrapping_add(facts.special.kind)) else {
                break;
            };
            if kind == facts.special.profile_kind {
                let offset = match facts.special.offset_size {
                    2 => u64::from(memory.u16(special.wrapping_add(facts.special.offset))?),
                    _ => memory.u64(special.wrapping_add(facts.special.offset))?,
                };
                if found.len() >= max {
                    return Ok((found, true));
                }
                found.push((
                    start.wrapping_add(offset),
                    memory.u64(special.wrapping_add(facts.special.bucket))?,
                ));
            }
            let Ok(next) = memory.u64(special) else { break };
            special = next;
        }
    }
    Ok((found, false))
}
