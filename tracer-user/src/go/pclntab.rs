//! The function table of a Go program (`.gopclntab`): bounds and names of all functions.
//!
//! It survives every way of stripping, because the runtime itself needs it for stack growth and GC. This
//! file finds it, looks functions up by name and by pc; [`super::lines`] adds files, lines and inlining.
//!
//! Two spaces are kept apart: *table addresses* in the [`Memory`] that holds the table (link-time ones
//! for the image, run-time ones for plugins) and *text offsets* from `moduledata.text`.
//!
//! Source: `internal/abi/symtab.go`, `cmd/link/internal/ld/pcln.go`, `runtime/symtab.go`, go1.18 to go1.27.

use std::collections::HashMap;
use std::sync::Arc;

use super::facts::FuncFacts;
use super::memory::{Memory, Unreadable};
use super::static_image::{Segment, StaticImage};
use crate::refusal::Refusal;

/// `pcHeader.magic` of 1.20 to 1.27, and of 1.18 and 1.19.
const MAGICS: [u32; 2] = [0xffff_fff1, 0xffff_fff0];

/// Bytes of `pcHeader` that are read; it ends with `pclnOffset`.
const HEADER_BYTES: usize = 72;

/// Most functions: programs of 200 MB have 200 000.
const MAX_FUNCS: u64 = 1 << 24;

/// Bytes of one entry of the functab: entry offset and offset of the `_func`, u32 each.
const FUNCTAB_ENTRY: u64 = 8;

/// Longest name that is read; instantiated generics reach some kilobytes.
const MAX_NAME_BYTES: usize = 16 << 10;

/// Most bytes of segments that are searched for the magic.
const MAX_SEARCH_BYTES: u64 = 1 << 30;

/// Bytes read at once in searches.
const STEP: usize = 64 << 10;

/// Where the code of a function lies, in text offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FuncRange {
    /// Offset of the first instruction.
    pub start: u32,
    /// Offset of the next function.
    pub end: u32,
    /// Address of its `_func` in the memory that holds the table.
    pub(super) record: u64,
}

/// The parsed header of a function table. Holds no data of it: every method reads what it needs.
#[derive(Clone, Copy, Debug)]
pub struct Pclntab {
    /// Table address of the header.
    pub addr: u64,
    /// Table address of the names: the second word of `moduledata`.
    pub funcnametab: u64,
    pub(super) cutab: u64,
    pub(super) filetab: u64,
    pub(super) pctab: u64,
    functab: u64,
    n_funcs: u64,
    pub(super) facts: &'static FuncFacts,
}

impl Pclntab {
    /// Finds the table of an executable: its section, else a search for the header in the segments
    /// (externally linked PIEs up to go1.25 merge it into another section).
    ///
    /// # Errors
    ///
    /// When there is none, as in packed files.
    pub fn find(image: &dyn StaticImage, facts: &'static FuncFacts) -> Result<Self, Refusal> {
        [".gopclntab", ".data.rel.ro.gopclntab"]
            .iter()
            .filter_map(|name| image.section(name))
            .find_map(|section| Self::parse(image, section.addr, facts))
            .or_else(|| Self::search(image, facts))
            .ok_or_else(|| {
                Refusal::new(
                    "cannot read the functions of the program",
                    "its file has no readable Go function table (pclntab)",
                    "if it was packed (UPX), run the unpacked binary",
                )
            })
    }

    fn search(image: &dyn StaticImage, facts: &'static FuncFacts) -> Option<Self> {
        // The table is data; only odd linkers put it beside code.
        let (code, data): (Vec<&Segment>, Vec<&Segment>) = image
            .segments()
            .iter()
            .partition(|segment| segment.executable);
        for (base, len) in data
            .into_iter()
            .chain(code)
            .flat_map(|segment| segment.steps(8, MAX_SEARCH_BYTES))
        {
            let Ok(chunk) = image.bytes(base, len) else {
                continue;
            };
            for at in (0..len.saturating_sub(7)).step_by(8) {
                // The second half of the word: 0, 0, least instruction size 1, pointer size 8.
                let looks_right = chunk[at + 1..at + 8] == [0xff, 0xff, 0xff, 0, 0, 1, 8];
                if looks_right && let Some(found) = Self::parse(image, base + at as u64, facts) {
                    return Some(found);
                }
            }
        }
        None
    }

    /// Parses the header at a table address; `None` when it is not one.
    pub fn parse(memory: &dyn Memory, addr: u64, facts: &'static FuncFacts) -> Option<Self> {
        let mut header = [0; HEADER_BYTES];
        memory.read(addr, &mut header).ok()?;
        let word = |at: usize| u64_at(&header, at);
        if !MAGICS.contains(&u32_at(&header, 0)?) || header[4..8] != [0, 0, 1, 8] {
            return None;
        }
        let n_funcs = word(8)?;
        let offsets = [word(32)?, word(40)?, word(48)?, word(56)?, word(64)?];
        let sane = (1..MAX_FUNCS).contains(&n_funcs)
            && (64..=256).contains(&offsets[0])
            && offsets.is_sorted()
            && u32::try_from(offsets[4]).is_ok();
        if !sane {
            return None;
        }
        // The end of the functab must be readable, and no sum of the table's parts may wrap.
        let end = addr
            .checked_add(offsets[4])?
            .checked_add(n_funcs * FUNCTAB_ENTRY)?;
        memory.u32(end).ok()?;
        Some(Self {
            addr,
            funcnametab: addr + offsets[0],
            cutab: addr + offsets[1],
            filetab: addr + offsets[2],
            pctab: addr + offsets[3],
            functab: addr + offsets[4],
            n_funcs,
            facts,
        })
    }

    /// Number of functions.
    pub fn n_funcs(&self) -> u64 {
        self.n_funcs
    }

    /// Looks several functions up by their full, distinct names, in the order of `names`; `None` where there is
    /// no such function (never linked in, or inlined everywhere).
    ///
    /// The names of the runtime come early in the tables, so this is quick when all exist; a name that does
    /// not exist costs a pass over all names, one that is only inlined a pass over all functions.
    pub fn functions(&self, memory: &dyn Memory, names: &[&str]) -> Vec<Option<FuncRange>> {
        let mut found = vec![None; names.len()];
        let name_offsets = self.name_offsets(memory, names);
        let mut missing: HashMap<u32, usize> = name_offsets
            .iter()
            .enumerate()
            .filter_map(|(index, offset)| Some(((*offset)?, index)))
            .collect();
        let mut entries = Window::new(memory, STEP);
        let mut records = Window::new(memory, STEP);
        for index in 0..self.n_funcs {
            if missing.is_empty() {
                break;
            }
            let Some(range) = self.range(index, &mut entries) else {
                break;
            };
            let name = records.get(range.record.wrapping_add(4), 4);
            let Some(name) = name.and_then(|bytes| u32_at(bytes, 0)) else {
                continue;
            };
            if let Some(wanted) = missing.remove(&name) {
                found[wanted] = Some(range);
            }
        }
        found
    }

    /// All functions whose full name begins with one of `prefixes`, by address.
    ///
    /// A pass over all names, and one over all functions: some 10 ms with 200 000 of them.
    pub fn functions_with_prefix(
        &self,
        memory: &dyn Memory,
        prefixes: &[&str],
    ) -> Vec<(Arc<str>, FuncRange)> {
        let mut names: HashMap<u32, Arc<str>> = HashMap::new();
        self.each_name(memory, |offset, name| {
            let is_wanted = prefixes
                .iter()
                .any(|prefix| name.starts_with(prefix.as_bytes()));
            if is_wanted && let Some(offset) = offset {
                names.insert(offset, String::from_utf8_lossy(name).into());
            }
            true
        });
        let mut found = Vec::new();
        let mut entries = Window::new(memory, STEP);
        let mut records = Window::new(memory, STEP);
        for index in 0..self.n_funcs {
            // The linker gives each name its own function, or none where it is inlined everywhere.
            if names.is_empty() {
                break;
            }
            let Some(range) = self.range(index, &mut entries) else {
                break;
            };
            let name = records.get(range.record.wrapping_add(4), 4);
            let name = name.and_then(|bytes| names.remove(&u32_at(bytes, 0)?));
            found.extend(name.map(|name| (name, range)));
        }
        found
    }

    /// All names of which `is_wanted` holds, in the order of the table, each with its functions by address: none where it
    /// is inlined everywhere.
    ///
    /// A pass over all names, and one over all functions: some 10 ms with 200 000 of them.
    pub fn functions_where(
        &self,
        memory: &dyn Memory,
        is_wanted: &mut dyn FnMut(&str) -> bool,
    ) -> Vec<(Arc<str>, Vec<FuncRange>)> {
        let mut found: Vec<(Arc<str>, Vec<FuncRange>)> = Vec::new();
        let mut by_offset: HashMap<u32, usize> = HashMap::new();
        self.each_name(memory, |offset, name| {
            if let (Some(offset), Ok(name)) = (offset, std::str::from_utf8(name))
                && is_wanted(name)
            {
                by_offset.insert(offset, found.len());
                found.push((name.into(), Vec::new()));
            }
            true
        });
        if found.is_empty() {
            return found;
        }
        let mut entries = Window::new(memory, STEP);
        let mut records = Window::new(memory, STEP);
        for index in 0..self.n_funcs {
            let Some(range) = self.range(index, &mut entries) else {
                break;
            };
            let name = records.get(range.record.wrapping_add(4), 4);
            let name = name.and_then(|bytes| by_offset.get(&u32_at(bytes, 0)?));
            if let Some((_, ranges)) = name.and_then(|&at| found.get_mut(at)) {
                ranges.push(range);
            }
        }
        found
    }

    /// Offsets of names in the table of names.
    fn name_offsets(&self, memory: &dyn Memory, names: &[&str]) -> Vec<Option<u32>> {
        let mut found = vec![None; names.len()];
        let mut missing: HashMap<&[u8], usize> = names
            .iter()
            .enumerate()
            .map(|(index, name)| (name.as_bytes(), index))
            .collect();
        self.each_name(memory, |offset, name| {
            if let Some(wanted) = missing.remove(name) {
                found[wanted] = offset;
            }
            !missing.is_empty()
        });
        found
    }

    /// Calls `look` with each name and its offset, in the order of the table, until it says false. An offset
    /// is `None` where the table is larger than honest ones.
    fn each_name(&self, memory: &dyn Memory, mut look: impl FnMut(Option<u32>, &[u8]) -> bool) {
        let size = self.cutab - self.funcnametab;
        // The start of a name whose end lies in the next chunk.
        let mut carried: Vec<u8> = Vec::new();
        let mut offset = 0;
        while offset < size {
            let len = usize::try_from(size - offset).unwrap_or(STEP).min(STEP);
            let Ok(chunk) = memory.bytes(self.funcnametab + offset, len) else {
                break;
            };
            let mut start = 0;
            while let Some(end) = chunk[start..].iter().position(|&byte| byte == 0) {
                let tail = &chunk[start..start + end];
                let begins = u32::try_from(offset + start as u64 - carried.len() as u64).ok();
                let goes_on = if carried.is_empty() {
                    look(begins, tail)
                } else {
                    carried.extend_from_slice(tail);
                    look(begins, &carried)
                };
                if !goes_on {
                    return;
                }
                carried.clear();
                start += end + 1;
            }
            // A name longer than any honest one must not make this grow without end.
            if carried.len() < MAX_NAME_BYTES {
                carried.extend_from_slice(&chunk[start..]);
            }
            offset += len as u64;
        }
    }

    /// The function whose code holds a text offset: binary search.
    ///
    /// `None` before the first function and from the end of the last one on.
    pub fn function_at(&self, memory: &dyn Memory, text_offset: u64) -> Option<FuncRange> {
        let target = u32::try_from(text_offset).ok()?;
        let entry = |index: u64| memory.u32(self.functab + index * FUNCTAB_ENTRY).ok();
        if target < entry(0)? || target >= entry(self.n_funcs)? {
            return None;
        }
        // Invariant: entry(low) <= target < entry(high).
        let (mut low, mut high) = (0, self.n_funcs);
        while high - low > 1 {
            let middle = low.midpoint(high);
            if entry(middle)? <= target {
                low = middle;
            } else {
                high = middle;
            }
        }
        self.range(low, &mut Window::new(memory, 16))
    }

    /// Entry `index` of the functab, `index < n_funcs`.
    fn range(&self, index: u64, entries: &mut Window<'_>) -> Option<FuncRange> {
        let bytes = entries.get(self.functab + index * FUNCTAB_ENTRY, 12)?;
        let start = u32_at(bytes, 0)?;
        let record = u32_at(bytes, 4)?;
        let end = u32_at(bytes, 8)?;
        (start <= end).then_some(FuncRange {
            start,
            end,
            record: self.functab.wrapping_add(record.into()),
        })
    }

    /// Full name of a function.
    pub fn name(&self, memory: &dyn Memory, function: FuncRange) -> Option<Arc<str>> {
        let offset = memory.u32(function.record.wrapping_add(4)).ok()?;
        self.name_at(memory, offset)
    }

    pub(super) fn name_at(&self, memory: &dyn Memory, offset: u32) -> Option<Arc<str>> {
        string_at(memory, self.funcnametab.wrapping_add(offset.into()))
    }
}

/// A string of the tables; not empty.
pub(super) fn string_at(memory: &dyn Memory, addr: u64) -> Option<Arc<str>> {
    let bytes = memory.c_string(addr, MAX_NAME_BYTES).ok()?;
    (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into())
}

/// The little-endian u32 at an index.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// The little-endian u64 at an index.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

/// A moving window over memory: turns many small ascending reads into few larger ones.
pub(super) struct Window<'m> {
    memory: &'m dyn Memory,
    step: usize,
    start: u64,
    bytes: Vec<u8>,
}

impl<'m> Window<'m> {
    /// Reads `step` bytes at a time.
    pub(super) fn new(memory: &'m dyn Memory, step: usize) -> Self {
        Self {
            memory,
            step,
            start: 0,
            bytes: Vec::new(),
        }
    }

    /// The `len` bytes at `addr`; `len` is at most the step.
    pub(super) fn get(&mut self, addr: u64, len: usize) -> Option<&[u8]> {
        let held = |start: u64, bytes: &[u8]| {
            let offset = usize::try_from(addr.checked_sub(start)?).ok()?;
            (offset.checked_add(len)? <= bytes.len()).then_some(offset)
        };
        if held(self.start, &self.bytes).is_none() {
            self.refill(addr).ok()?;
        }
        let offset = held(self.start, &self.bytes)?;
        self.bytes.get(offset..offset + len)
    }

    fn refill(&mut self, addr: u64) -> Result<(), Unreadable> {
        let mut step = self.step;
        // The space may end within the step.
        self.bytes = loop {
            match self.memory.bytes(addr, step) {
                Ok(bytes) => break bytes,
                Err(err) if step <= 1 => return Err(err),
                Err(_) => step /= 2,
            }
        };
        self.start = addr;
        Ok(())
    }
}

#[cfg(test)]
#[path = "pclntab_tests.rs"]
mod tests;
