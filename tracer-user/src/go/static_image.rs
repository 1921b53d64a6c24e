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
    /// Steps over the file-backed part, for searches: address and length of each, beginning at multiples
    /// of `align` (at most 64), up to `most` bytes in all. Each step overlaps the one before it by
    /// `align` bytes, so that twice that much is never cut apart.
    pub(super) fn steps(self, align: u64, most: u64) -> impl Iterator<Item = (u64, usize)> {
        const STEP: u64 = 64 << 10;
        let end = self.vaddr.saturating_add(self.file_size.min(most));
        let mut next = self.vaddr.checked_next_multiple_of(align).unwrap_or(end);
        std::iter::from_fn(move || {
            let left = end.checked_sub(next).filter(|&left| left > align)?;
            let at = next;
            let len = left.min(STEP);
            next = if left > STEP { at + len - align } else { end };
            Some((at, usize::try_from(len).ok()?))
        })
    }

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

    /// The bytes of a section of debug information, such as `.debug_info`, uncompressed: up to tens of megabytes. `None`
    /// where there is none, or not in a form that can be read.
    fn debug_section(&self, _name: &str) -> Option<Vec<u8>> {
        None
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_cover_a_segment_with_overlap() {
        let segment = |vaddr, file_size| Segment {
            vaddr,
            mem_size: file_size,
            file_offset: 0,
            file_size,
            writable: true,
            executable: false,
        };
        let steps = |vaddr, size| segment(vaddr, size).steps(16, u64::MAX).collect::<Vec<_>>();
        assert_eq!(steps(0x1008, 0x100), [(0x1010, 0xf8)]);
        assert_eq!(steps(0x1000, 0x10010), [(0x1000, 0x10000), (0x10ff0, 0x20)]);
        assert_eq!(steps(0x1000, 0), []);
        assert_eq!(steps(u64::MAX - 2, 100), []);
    }
}

/// An image of one writable segment, for tests.
#[cfg(test)]
pub(crate) mod fake {
    use super::{Section, Segment, StaticImage};
    use crate::go::memory::{Memory, Slice, Unreadable};

    pub(crate) struct Flat {
        pub(crate) bytes: Vec<u8>,
        pub(crate) sections: Vec<(&'static str, Section)>,
        segments: [Segment; 1],
    }

    impl Flat {
        pub(crate) fn new(base: u64, bytes: Vec<u8>) -> Self {
            let size = bytes.len() as u64;
            let segment = Segment {
                vaddr: base,
                mem_size: size,
                file_offset: 0x40,
                file_size: size,
                writable: true,
                executable: true,
            };
            Self {
                bytes,
                sections: Vec::new(),
                segments: [segment],
            }
        }
    }

    impl Memory for Flat {
        fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), Unreadable> {
            let base = self.segments[0].vaddr;
            let bytes = &self.bytes;
            Slice { base, bytes }.read(addr, buf)
        }
    }

    impl StaticImage for Flat {
        fn segments(&self) -> &[Segment] {
            &self.segments
        }

        fn section(&self, name: &str) -> Option<Section> {
            let found = self.sections.iter().find(|(known, _)| *known == name)?;
            Some(found.1)
        }

        fn is_pie(&self) -> bool {
            false
        }

        fn variable_symbols(&self, names: &[&str]) -> Vec<Option<u64>> {
            vec![None; names.len()]
        }
    }
}
