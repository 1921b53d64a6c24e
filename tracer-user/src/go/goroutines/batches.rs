//! Many structs of one size in few reads: neighbours are read together.

use crate::go::memory::Memory;

/// Bytes that lie between two goroutines and are still read with them: copying them costs less than another range.
const MAX_GAP: u64 = 1024;
/// Most bytes of a range: neighbours are read together, and one page that is missing fails all of it.
const MAX_RANGE_BYTES: u64 = 64 << 10;
/// Most ranges of one read, those of one system call;
const MAX_RANGES: usize = 1024;
/// and most bytes of it, small enough for the caches.
const MAX_BATCH_BYTES: usize = 1 << 20;

/// What is used again from read to read of a batch.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    ranges: Vec<(u64, usize)>,
    /// For each range, how many of the structs it holds.
    n_in_range: Vec<usize>,
}

impl Buffer {
    /// Calls `with` for each struct with its first bytes, or `None` where it cannot be read.
    ///
    /// * `sorted`: their addresses, ascending.
    pub(super) fn read_all(
        &mut self,
        memory: &(impl Memory + ?Sized),
        sorted: &[u64],
        n_bytes: usize,
        mut with: impl FnMut(u64, Option<&[u8]>),
    ) {
        let mut rest = sorted;
        while !rest.is_empty() {
            let (batch, behind) = rest.split_at(self.plan(rest, n_bytes));
            rest = behind;
            let alone = self.read_batch(memory, batch, n_bytes, &mut with);
            // A range that fails may fail for one of many.
            for part in alone.chunks(MAX_RANGES) {
                self.ranges.clear();
                self.ranges.extend(part.iter().map(|&at| (at, n_bytes)));
                self.bytes.resize(part.len() * n_bytes, 0);
                let whole = memory.read_many(&self.ranges, &mut self.bytes);
                let structs = self.bytes.chunks_exact(n_bytes);
                for ((&at, bytes), whole) in part.iter().zip(structs).zip(whole) {
                    with(at, whole.then_some(bytes));
                }
            }
        }
    }

    /// Fills `ranges` with those of the next batch; how many structs are in it, at least one.
    fn plan(&mut self, sorted: &[u64], n_bytes: usize) -> usize {
        self.ranges.clear();
        self.n_in_range.clear();
        let mut n_planned = 0;
        let mut total = 0;
        for &at in sorted {
            if let (Some((start, len)), Some(n)) =
                (self.ranges.last_mut(), self.n_in_range.last_mut())
            {
                let end = start.saturating_add(*len as u64);
                let new_len = at.wrapping_sub(*start).saturating_add(n_bytes as u64);
                if at <= end.saturating_add(MAX_GAP) && new_len <= MAX_RANGE_BYTES {
                    // Of structs that overlap, as only garbage does, the longer end counts.
                    let new_len = usize::try_from(new_len).unwrap_or(*len).max(*len);
                    total += new_len - *len;
                    *len = new_len;
                    *n += 1;
                    n_planned += 1;
                    continue;
                }
            }
            if self.ranges.len() >= MAX_RANGES || total >= MAX_BATCH_BYTES {
                break;
            }
            self.ranges.push((at, n_bytes));
            self.n_in_range.push(1);
            total += n_bytes;
            n_planned += 1;
        }
        self.bytes.resize(total, 0);
        n_planned
    }

    /// Reads the ranges of [`Buffer::plan`]; gives back the structs of those that could not be read.
    fn read_batch(
        &mut self,
        memory: &(impl Memory + ?Sized),
        batch: &[u64],
        n_bytes: usize,
        with: &mut impl FnMut(u64, Option<&[u8]>),
    ) -> Vec<u64> {
        let whole = memory.read_many(&self.ranges, &mut self.bytes);
        let (mut alone, mut batch, mut place) = (Vec::new(), batch, 0);
        for ((&(start, len), &n), whole) in self.ranges.iter().zip(&self.n_in_range).zip(whole) {
            let (of_range, behind) = batch.split_at(n.min(batch.len()));
            batch = behind;
            let bytes = self.bytes.get(place..place + len).filter(|_| whole);
            place += len;
            match bytes {
                None if of_range.len() > 1 => alone.extend_from_slice(of_range),
                None => of_range.iter().for_each(|&at| with(at, None)),
                Some(bytes) => {
                    for &at in of_range {
                        let first = usize::try_from(at.wrapping_sub(start)).unwrap_or(usize::MAX);
                        let last = first.saturating_add(n_bytes);
                        with(at, bytes.get(first..last));
                    }
                }
            }
        }
        alone
    }
}
