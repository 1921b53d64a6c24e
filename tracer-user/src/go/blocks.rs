//! Memory read in large aligned blocks that are kept for the length of one pass.
//!
//! The runtime bump-allocates buckets, specials and spans, so that neighbours share blocks: one system
//! call of 64 KiB replaces hundreds of small ones (16 397 buckets with their stacks: 5 ms instead of 62).

use std::cell::RefCell;
use std::collections::HashMap;

use super::memory::{Memory, Unreadable};

/// Bytes of one block: 64 KiB was the fastest of 4, 64 and 256 KiB on go1.26.
const BLOCK_BYTES: u64 = 64 << 10;
/// Bytes of a page: what is tried where a block reaches into unmapped memory.
const PAGE_BYTES: u64 = 4 << 10;
/// Most blocks kept: 16 MiB, more than the 10 000 buckets of the memory budget take.
const MAX_BLOCKS: usize = 256;

/// A cache of blocks over another memory, for one pass: what it has read once it never reads again.
pub struct Blocks<M> {
    inner: M,
    cached: RefCell<HashMap<u64, Option<Box<[u8]>>>>,
}

impl<M: Memory> Blocks<M> {
    /// An empty cache over `inner`.
    pub fn new(inner: M) -> Self {
        Self {
            inner,
            cached: RefCell::new(HashMap::new()),
        }
    }

    /// Copies what the block or page at `start` holds from `addr` on; how many bytes, or `None` if the
    /// block cannot be read.
    fn copy_from_block(&self, start: u64, size: u64, addr: u64, out: &mut [u8]) -> Option<usize> {
        let mut cached = self.cached.borrow_mut();
        if cached.len() >= MAX_BLOCKS && !cached.contains_key(&start) {
            cached.clear();
        }
        let block = cached.entry(start).or_insert_with(|| {
            let mut block = vec![0; usize::try_from(size).ok()?].into_boxed_slice();
            self.inner.read(start, &mut block).ok().map(|()| block)
        });
        let block = block.as_deref()?;
        let from = usize::try_from(addr - start).ok()?;
        let available = block.get(from..)?;
        let n = available.len().min(out.len());
        out[..n].copy_from_slice(&available[..n]);
        Some(n)
    }
}

impl<M: Memory> Memory for Blocks<M> {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), Unreadable> {
        let unreadable = Unreadable {
            addr,
            len: buf.len(),
        };
        let mut done = 0;
        while done < buf.len() {
            let at = addr.checked_add(done as u64).ok_or(unreadable)?;
            let rest = &mut buf[done..];
            let n = self
                .copy_from_block(at & !(BLOCK_BYTES - 1), BLOCK_BYTES, at, rest)
                // A block may reach beyond the mapping that its first part lies in.
                .or_else(|| self.copy_page(at & !(PAGE_BYTES - 1), at, rest))
                .ok_or(unreadable)?;
            done += n;
        }
        Ok(())
    }
}

impl<M: Memory> Blocks<M> {
    fn copy_page(&self, start: u64, addr: u64, out: &mut [u8]) -> Option<usize> {
        let n = usize::try_from(PAGE_BYTES - (addr - start))
            .ok()?
            .min(out.len());
        self.inner.read(addr, &mut out[..n]).ok().map(|()| n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::go::memory::Slice;

    #[test]
    fn reads_across_blocks_and_up_to_the_end_of_a_mapping() {
        let bytes: Vec<u8> = (0..200_000u32).map(|i| i.to_le_bytes()[0]).collect();
        let memory = Blocks::new(Slice {
            base: 0x1_0000,
            bytes: &bytes,
        });
        for (addr, len) in [
            (0x1_0000, 8),
            (0x1_fffc, 8),
            (0x1_0000 + 199_992, 8),
            (0x1_0000, 200_000),
        ] {
            let at = usize::try_from(addr - 0x1_0000).unwrap();
            assert_eq!(memory.bytes(addr, len).unwrap(), &bytes[at..at + len]);
        }
        assert!(memory.bytes(0x1_0000 + 199_993, 8).is_err());
        assert!(memory.bytes(u64::MAX - 3, 8).is_err());
    }
}
