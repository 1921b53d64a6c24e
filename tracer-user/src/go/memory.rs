//! Reading a byte-addressed space: the memory of a live process, or the image that lies in its file.
//!
//! Everything in [`crate::go`] reads through [`Memory`], so that it can be tested on plain bytes and
//! never learns whether it reads a file or a process.

use std::fmt;

/// A range that could not be read, whole: `len` bytes from `addr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// First address asked for.
    pub addr: u64,
    /// Bytes asked for.
    pub len: usize,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes at {:#x} cannot be read", self.len, self.addr)
    }
}

impl std::error::Error for Unreadable {}

/// Most bytes that [`Memory::bytes`] and [`Memory::c_string`] allocate for one read: lengths come from
/// the target and may be garbage. The longest honest read is a whole function of generated code.
pub const MAX_READ_BYTES: usize = 4 << 20;

/// A little-endian, byte-addressed space. Reads are whole or fail; nothing is ever written.
pub trait Memory {
    /// Fills `buf` from `addr`, or fails without a promise about the contents of `buf`.
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), Unreadable>;

    /// Reads many ranges (address, length), one after the other in the order given, into `buf`, which holds them in that
    /// order without gaps. Says of each whether it was read whole; what could not be leaves any bytes in its part.
    ///
    /// Live memory reads a thousand of them with one system call, so this is the way to read many small things.
    fn read_many(&self, ranges: &[(u64, usize)], buf: &mut [u8]) -> Vec<bool> {
        let mut rest = buf;
        let mut whole = Vec::with_capacity(ranges.len());
        for &(addr, len) in ranges {
            let Some((part, behind)) = std::mem::take(&mut rest).split_at_mut_checked(len) else {
                break; // The caller gave too small a buffer.
            };
            rest = behind;
            whole.push(self.read(addr, part).is_ok());
        }
        whole.resize(ranges.len(), false);
        whole
    }

    /// `len` bytes from `addr`; fails above [`MAX_READ_BYTES`].
    fn bytes(&self, addr: u64, len: usize) -> Result<Vec<u8>, Unreadable> {
        if len > MAX_READ_BYTES {
            return Err(Unreadable { addr, len });
        }
        let mut buf = vec![0; len];
        self.read(addr, &mut buf)?;
        Ok(buf)
    }

    /// The byte at `addr`.
    fn u8(&self, addr: u64) -> Result<u8, Unreadable> {
        let mut buf = [0; 1];
        self.read(addr, &mut buf)?;
        Ok(buf[0])
    }

    /// The little-endian u16 at `addr`.
    fn u16(&self, addr: u64) -> Result<u16, Unreadable> {
        let mut buf = [0; 2];
        self.read(addr, &mut buf)?;
        Ok(u16::from_le_bytes(buf))
    }

    /// The little-endian u32 at `addr`.
    fn u32(&self, addr: u64) -> Result<u32, Unreadable> {
        let mut buf = [0; 4];
        self.read(addr, &mut buf)?;
        Ok(u32::from_le_bytes(buf))
    }

    /// The little-endian u64 at `addr`.
    fn u64(&self, addr: u64) -> Result<u64, Unreadable> {
        let mut buf = [0; 8];
        self.read(addr, &mut buf)?;
        Ok(u64::from_le_bytes(buf))
    }

    /// The bytes from `addr` up to the first zero byte, at most `max` of them.
    fn c_string(&self, addr: u64, max: usize) -> Result<Vec<u8>, Unreadable> {
        const STEP: usize = 64; // Most names are shorter; the read may end at the end of the space.
        let mut out = Vec::new();
        while out.len() < max.min(MAX_READ_BYTES) {
            let at = addr.wrapping_add(out.len() as u64);
            let mut step = STEP;
            let chunk = loop {
                match self.bytes(at, step) {
                    Ok(chunk) => break chunk,
                    Err(err) if step == 1 => return Err(err),
                    Err(_) => step /= 2,
                }
            };
            if let Some(end) = chunk.iter().position(|&b| b == 0) {
                out.extend_from_slice(&chunk[..end]);
                return Ok(out);
            }
            out.extend_from_slice(&chunk);
        }
        Err(Unreadable { addr, len: max })
    }
}

impl<M: Memory + ?Sized> Memory for &M {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), Unreadable> {
        (**self).read(addr, buf)
    }

    fn read_many(&self, ranges: &[(u64, usize)], buf: &mut [u8]) -> Vec<bool> {
        (**self).read_many(ranges, buf)
    }
}

/// Many ranges, read together by [`Memory::read_many`].
#[derive(Debug)]
pub struct Batch {
    /// Where the bytes of each begin and end.
    places: Vec<(usize, usize)>,
    whole: Vec<bool>,
    bytes: Vec<u8>,
}

impl Batch {
    /// Reads the ranges (address, length) in their order. The caller bounds their number and lengths.
    pub fn read(memory: &(impl Memory + ?Sized), ranges: &[(u64, usize)]) -> Self {
        let mut end = 0;
        let places: Vec<(usize, usize)> = ranges
            .iter()
            .map(|&(_, len)| {
                let start = end;
                end += len;
                (start, end)
            })
            .collect();
        let mut bytes = vec![0; end];
        let whole = memory.read_many(ranges, &mut bytes);
        Self {
            places,
            whole,
            bytes,
        }
    }

    /// The bytes of a range, by its index; `None` where it could not be read.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let (start, end) = *self.places.get(index)?;
        self.whole.get(index).filter(|whole| **whole)?;
        self.bytes.get(start..end)
    }

    /// The little-endian u64 that a range begins with.
    pub fn u64(&self, index: usize) -> Option<u64> {
        let bytes = self.get(index)?.get(..8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }
}

/// A slice that starts at an address: for tests and for blocks that were read before.
#[derive(Clone, Debug)]
pub struct Slice<'a> {
    /// Address of the first byte.
    pub base: u64,
    /// The bytes.
    pub bytes: &'a [u8],
}

impl Memory for Slice<'_> {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), Unreadable> {
        let unreadable = Unreadable {
            addr,
            len: buf.len(),
        };
        let start = addr
            .checked_sub(self.base)
            .and_then(|o| usize::try_from(o).ok())
            .ok_or(unreadable)?;
        let end = start.checked_add(buf.len()).ok_or(unreadable)?;
        buf.copy_from_slice(self.bytes.get(start..end).ok_or(unreadable)?);
        Ok(())
    }
}
