//! `runtime.moduledata`: where the code and the data of a program, or of a plugin, lie.
//!
//! Source: `runtime/symtab.go`, go1.18 to go1.27.

use super::facts::ModuledataFacts;
use super::memory::{Memory, Slice};
use super::pclntab::{Pclntab, u64_at};
use super::static_image::StaticImage;

/// Bytes that are read of the struct: more than its size in every release.
const MAX_STRUCT_BYTES: usize = 640;

/// Most bytes of writable segments that are searched. The struct lies in their file-backed part, of
/// which a program of 184 MB has 2 MB.
const MAX_SEARCH_BYTES: u64 = 64 << 20;

/// Most modules: the program and its plugins.
const MAX_MODULES: usize = 1024;

/// A half-open range of run-time addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
}

impl Range {
    /// Whether `addr` lies in it.
    pub fn contains(self, addr: u64) -> bool {
        (self.start..self.end).contains(&addr)
    }
}

/// What of `runtime.moduledata` is needed; all run-time addresses, but link-time ones in a [`super::layout::Layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moduledata {
    /// Address of the struct itself.
    pub addr: u64,
    /// The module's `pcHeader`.
    pub pc_header: u64,
    /// `text` to `etext`: Go code.
    pub text: Range,
    /// Initialised variables without pointers.
    pub noptrdata: Range,
    /// Initialised variables with pointers.
    pub data: Range,
    /// Zero variables with pointers.
    pub bss: Range,
    /// Zero variables without pointers.
    pub noptrbss: Range,
    /// Type descriptors, and what belongs to them.
    pub types: Range,
    /// Base of funcdata offsets.
    pub gofunc: u64,
    /// The next module, 0 at the end.
    pub next: u64,
}

impl Moduledata {
    /// Reads the struct from live memory; `None` when it is unreadable or its ranges are not ranges.
    pub fn read(live: &dyn Memory, addr: u64, facts: &ModuledataFacts) -> Option<Self> {
        let end = facts.next.max(facts.gofunc).checked_add(8)?;
        let len = usize::try_from(end)
            .ok()
            .filter(|&len| len <= MAX_STRUCT_BYTES)?;
        let bytes = live.bytes(addr, len).ok()?;
        let word = |at: u64| u64_at(&bytes, usize::try_from(at).ok()?);
        let range = |start: u64, end: u64| {
            let range = Range {
                start: word(start)?,
                end: word(end)?,
            };
            (range.start <= range.end).then_some(range)
        };
        let read = Self {
            addr,
            pc_header: word(0)?,
            text: range(facts.text, facts.etext)?,
            noptrdata: range(facts.noptrdata, facts.enoptrdata)?,
            data: range(facts.data, facts.edata)?,
            bss: range(facts.bss, facts.ebss)?,
            noptrbss: range(facts.noptrbss, facts.enoptrbss)?,
            types: range(facts.types, facts.etypes)?,
            gofunc: word(facts.gofunc)?,
            next: word(facts.next)?,
        };
        (read.text.start < read.text.end).then_some(read)
    }

    /// The same with all addresses moved by `delta`. There is no next module: others move by a bias of their own.
    #[must_use]
    pub fn moved(self, delta: u64) -> Self {
        let range = |range: Range| Range {
            start: range.start.wrapping_add(delta),
            end: range.end.wrapping_add(delta),
        };
        Self {
            addr: self.addr.wrapping_add(delta),
            pc_header: self.pc_header.wrapping_add(delta),
            text: range(self.text),
            noptrdata: range(self.noptrdata),
            data: range(self.data),
            bss: range(self.bss),
            noptrbss: range(self.noptrbss),
            types: range(self.types),
            gofunc: self.gofunc.wrapping_add(delta),
            next: 0,
        }
    }

    /// Finds and reads `runtime.firstmoduledata` in the file, at link-time addresses.
    ///
    /// It is where [`Moduledata::find`] finds it. In PIEs of other linkers than Go's its words are zero in the file and
    /// in the table of relocations instead, which is searched for the two addresses then, if there are section headers.
    pub fn find_in_file(
        image: &dyn StaticImage,
        pclntab: &Pclntab,
        facts: &ModuledataFacts,
    ) -> Option<Self> {
        let words = [pclntab.addr, pclntab.funcnametab];
        let read = |memory: &dyn Memory, addr: u64| {
            let is_it = memory.u64(addr) == Ok(words[0])
                && memory.u64(addr.wrapping_add(8)) == Ok(words[1]);
            is_it.then(|| Self::read(memory, addr, facts))?
        };
        let section = image.section(".go.module").map(|section| section.addr);
        let known =
            section.or_else(|| search(image, image, 0, &words.map(u64::to_le_bytes).concat()));
        if let Some(found) = known.and_then(|addr| read(image, addr)) {
            return Some(found);
        }
        if !image.is_pie() {
            return None;
        }
        let mut candidates: Vec<u64> = section.into_iter().collect();
        for_relocations(image, |addr, value| {
            if value == words[0] && candidates.len() < MAX_MODULES {
                candidates.push(addr);
            }
        });
        candidates.into_iter().find_map(|addr| {
            let mut bytes = image.bytes(addr, MAX_STRUCT_BYTES).ok()?;
            for_relocations(image, |at, value| {
                let at = at.checked_sub(addr).and_then(|at| usize::try_from(at).ok());
                let slot = at.and_then(|at| bytes.get_mut(at..at.checked_add(8)?));
                if let Some(slot) = slot {
                    slot.copy_from_slice(&value.to_le_bytes());
                }
            });
            let relocated = Slice {
                base: addr,
                bytes: &bytes,
            };
            read(&relocated, addr)
        })
    }

    /// Finds `runtime.firstmoduledata` of a running program; its run-time address.
    ///
    /// It begins with the addresses of the pcHeader and of the table of function names, which no other data does. Up
    /// to go1.25 the image's writable segments are searched for these two words: the Go linker writes
    /// them into the file of a PIE as well. Other linkers leave them to the loader; then live memory is
    /// searched. From go1.26 on it has a section of its own.
    pub fn find(
        image: &dyn StaticImage,
        live: &dyn Memory,
        bias: u64,
        pclntab: &Pclntab,
    ) -> Option<u64> {
        let words = |bias: u64| {
            let header = pclntab.addr.wrapping_add(bias);
            let names = pclntab.funcnametab.wrapping_add(bias);
            [header.to_le_bytes(), names.to_le_bytes()].concat()
        };
        let (in_file, in_memory) = (words(0), words(bias));
        let is_live = |&addr: &u64| {
            live.bytes(addr, in_memory.len())
                .is_ok_and(|bytes| bytes == in_memory)
        };
        let section = image
            .section(".go.module")
            .map(|section| section.addr.wrapping_add(bias))
            .filter(is_live);
        section
            .or_else(|| {
                let found = search(image, image, 0, &in_file)?;
                Some(found.wrapping_add(bias)).filter(is_live)
            })
            .or_else(|| search(image, live, bias, &in_memory))
    }

    /// This module and all that follow it in the runtime's list.
    pub fn chain(self, live: &dyn Memory, facts: &ModuledataFacts) -> Vec<Self> {
        let mut modules = vec![self];
        let mut next = self.next;
        while next != 0 && modules.len() < MAX_MODULES {
            let Some(module) = Self::read(live, next, facts) else {
                break; // A module that is being linked in; the next look finds it whole.
            };
            modules.push(module);
            next = module.next;
        }
        modules
    }

    /// Whether `addr` lies among the initialised variables.
    pub fn is_data(&self, addr: u64) -> bool {
        self.data.contains(addr) || self.noptrdata.contains(addr)
    }

    /// Whether `addr` lies among the variables that begin as zero.
    pub fn is_bss(&self, addr: u64) -> bool {
        self.bss.contains(addr) || self.noptrbss.contains(addr)
    }
}

/// Calls `each` with address and value of every word that the loader fills with an address of the program itself.
fn for_relocations(image: &dyn StaticImage, mut each: impl FnMut(u64, u64)) {
    /// `Elf64_Rela`: offset, info, addend.
    const ENTRY_BYTES: usize = 24;
    const R_X86_64_RELATIVE: u64 = 8;
    const STEP: u64 = 2048 * ENTRY_BYTES as u64;
    let sections = [".rela.dyn", ".rela"];
    let sections = sections.into_iter().filter_map(|name| image.section(name));
    for section in sections {
        let size = section.size.min(MAX_SEARCH_BYTES);
        let mut offset = 0;
        while offset < size {
            let len = usize::try_from((size - offset).min(STEP)).unwrap_or(0);
            let Ok(chunk) = image.bytes(section.addr.wrapping_add(offset), len) else {
                break;
            };
            for entry in chunk.chunks_exact(ENTRY_BYTES) {
                let word = |at: usize| u64_at(entry, at).unwrap_or(0);
                if word(8) == R_X86_64_RELATIVE {
                    each(word(0), word(16));
                }
            }
            offset += STEP;
        }
    }
}

/// Searches the file-backed part of the writable segments of `memory`, which holds the image at
/// `bias`, for an aligned `pattern` of two words. Gives the address in `memory`.
fn search(image: &dyn StaticImage, memory: &dyn Memory, bias: u64, pattern: &[u8]) -> Option<u64> {
    let writable = image.segments().iter().filter(|segment| segment.writable);
    for (base, len) in writable.flat_map(|segment| segment.steps(8, MAX_SEARCH_BYTES)) {
        let base = base.wrapping_add(bias);
        let Ok(chunk) = memory.bytes(base, len) else {
            continue;
        };
        let hit = chunk
            .windows(pattern.len())
            .step_by(8)
            .position(|window| window == pattern);
        if let Some(hit) = hit {
            return Some(base.wrapping_add(8 * hit as u64));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::go::facts::Facts;

    const BASE: u64 = 0x50_0000;

    fn facts() -> &'static ModuledataFacts {
        &Facts::of_minor(24).expect("a known release").moduledata
    }

    /// A module of which only what is read is set.
    fn module(next: u64) -> Vec<u8> {
        let mut bytes = vec![0; MAX_STRUCT_BYTES];
        let mut set = |at: u64, value: u64| {
            let at = usize::try_from(at).expect("small");
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        };
        let facts = facts();
        set(0, 0x48_0000);
        set(facts.text, 0x40_1000);
        set(facts.etext, 0x47_0000);
        set(facts.noptrdata, 0x50_0000);
        set(facts.enoptrdata, 0x50_1000);
        set(facts.next, next);
        bytes
    }

    #[test]
    fn a_list_of_modules_ends_at_zero_or_at_the_bound() {
        let chain = |next| {
            let bytes = module(next);
            let live = Slice {
                base: BASE,
                bytes: &bytes,
            };
            let first = Moduledata::read(&live, BASE, facts()).expect("a module");
            assert!(first.is_data(0x50_0fff) && !first.is_data(0x50_1000) && !first.is_bss(0));
            first.chain(&live, facts()).len()
        };
        assert_eq!(chain(0), 1);
        assert_eq!(chain(0x1234), 1, "unreadable");
        assert_eq!(chain(BASE), MAX_MODULES, "a circle");
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
            let live = Slice { base: BASE, bytes: &bytes };
            if let Some(module) = Moduledata::read(&live, BASE, facts()) {
                let _ = module.chain(&live, facts());
            }
        }
    }
}
