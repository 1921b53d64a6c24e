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
