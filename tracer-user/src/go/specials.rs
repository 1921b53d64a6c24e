//! The live samples of the heap profile: the profile specials of all spans.
//!
//! Σ per bucket equals births − frees of that bucket, in every release tested. The lists are changed by
//! sweepers while they are read; a node that vanishes meanwhile ends its list early, which the caller
//! sees as samples that the free events had removed anyway.
//!
//! Source: `src/runtime/mheap.go` (`addspecial`, `freeSpecial`), go1.18 to go1.27.

use super::blocks::Blocks;
use super::facts::Facts;
use super::memory::{Memory, Unreadable};

/// Most spans that are walked: 4 Mi spans are at least 32 GiB of heap.
const MAX_SPANS: u64 = 4 << 20;
/// Most specials that are followed in all: a list that bites its tail must not hold us. An honest heap has
/// few beside the samples.
const MAX_SPECIALS: usize = 4 << 20;
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
    let mut steps = 0;
    for i in 0..n_spans {
        let span = memory.u64(spans.wrapping_add(8 * i))?;
        // A span or special that is given back meanwhile ends its own list, not the walk.
        let Ok(mut special) = first_special(&memory, facts, span) else {
            continue;
        };
        while special != 0 {
            steps += 1;
            if steps > MAX_SPECIALS || found.len() >= max {
                return Ok((found, true));
            }
            let Ok((sample, next)) = read_special(&memory, facts, span, special) else {
                break;
            };
            found.extend(sample);
            special = next;
        }
    }
    Ok((found, false))
}

/// The first special of a span in use; 0 for others.
fn first_special(memory: &impl Memory, facts: &Facts, span: u64) -> Result<u64, Unreadable> {
    if memory.u8(span.wrapping_add(facts.mspan.state))? != SPAN_IN_USE {
        return Ok(0);
    }
    memory.u64(span.wrapping_add(facts.mspan.specials))
}

/// The sample of a special, if it is one of the heap profile, and the next special of its span.
fn read_special(
    memory: &impl Memory,
    facts: &Facts,
    span: u64,
    special: u64,
) -> Result<(Option<(u64, u64)>, u64), Unreadable> {
    let fields = &facts.special;
    let next = memory.u64(special)?;
    if memory.u8(special.wrapping_add(fields.kind))? != fields.profile_kind {
        return Ok((None, next));
    }
    let start = memory.u64(span.wrapping_add(facts.mspan.start_addr))?;
    let offset = match fields.offset_size {
        2 => u64::from(memory.u16(special.wrapping_add(fields.offset))?),
        _ => memory.u64(special.wrapping_add(fields.offset))?,
    };
    let bucket = memory.u64(special.wrapping_add(fields.bucket))?;
    Ok((Some((start.wrapping_add(offset), bucket)), next))
}
