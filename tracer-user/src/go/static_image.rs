//! What the pure readers of [`crate::go`] ask of an executable file: its memory image at link-time
//! addresses, its load segments, a few sections, and the symbols of a few variables.
//!
//! The implementation over a file is [`crate::process::image::Image`].

use super::memory::Memory;

/// One `PT_LOAD` segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Link-time address of the first byte.
    pub vaddr: u64,
    /// Bytes in memory; those beyond `file_size` are zero in the image.
    pub mem_size: u64,
    /// Offset of the first byte in the file.
    pub file_offset: u64,
    /// Bytes in the file.
    pub file_size: u64,
    /// Mapped writable: data.
    pub writable: bool,
    /// Mapped executable: code.
    pub executable: bool,
}

impl Segment {
    /// Whether `vaddr` lies in the segment's memory.
    pub fn contains(&self, vaddr: u64) -> bool {
        vaddr
            .checked_sub(self.vaddr)
            .is_some_and(|offset| offset < self.mem_size)
    }
}

/// A section that is loaded into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// Link-time address.
    pub addr: u64,
    /// Bytes.
    pub size: u64,
}

/// An executable file as [`Memory`] over link-time addresses: data as at the start of the program, code
/// without breakpoints. Reading it costs the target nothing.
pub trait StaticImage: Memory {
    /// The `PT_LOAD` segments by ascending address.
    fn segments(&self) -> &[Segment];

    /// The first loaded section of that name; `None` without section headers.
    fn section(&self, name: &str) -> Option<Section>;

    /// Whether the kernel chooses the load address (`ET_DYN`).
    fn is_pie(&self) -> bool;

    /// Link-time addresses of the named variables (`STT_OBJECT`), in the order of `names`; all `None`
    /// in a stripped file.
    fn variable_symbols(&self, names: &[&str]) -> Vec<Option<u64>>;

    /// Offset in the file of a link-time address, for uprobes: `None` outside the file-backed parts.
    fn file_offset(&self, vaddr: u64) -> Option<u64> {
        self.segments().iter().find_map(|segment| {
            let offset = vaddr.checked_sub(segment.vaddr)?;
            (offset < segment.file_size).then(|| segment.file_offset.checked_add(offset))?
        })
    }

    /// Link-time address of the page where the first segment begins. The bias of a process is the
    /// start of its first mapping of the file minus this (internally linked PIEs begin at 0x400000).
    fn first_load_vaddr(&self) -> u64 {
        const PAGE: u64 = 4096;
        self.segments()
            .first()
            .map_or(0, |segment| segment.vaddr & !(PAGE - 1))
    }
}
