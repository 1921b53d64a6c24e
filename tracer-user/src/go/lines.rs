//! Files, lines and inlined calls behind a pc: the second half of the function table.
//!
//! Source: `runtime/symtab.go` (`pcvalue`, `funcline1`), `runtime/symtabinl.go` (1.21 and later),
//! `runtime/symtab.go` (`Frames.Next`, 1.18 to 1.20), `cmd/link/internal/ld/pcln.go`.

use std::sync::Arc;

use super::facts::InlinedFacts;
use super::frame::{Frame, name_for_print};
use super::memory::Memory;
use super::pclntab::{FuncRange, Pclntab, Window, string_at, u32_at};

/// `_PCDATA_InlTreeIndex`: index of the innermost inlined call at a pc, -1 for none.
const PCDATA_INLINE_INDEX: u32 = 2;

/// `_FUNCDATA_InlTree`: the table of inlined calls.
const FUNCDATA_INLINE_TREE: u32 = 3;

/// Most frames that one pc stands for; the compiler's budget ends inlining far earlier.
const MAX_INLINED: usize = 256;

/// Most steps in a pc-value table: one per change of the value, so a function of 1 MiB of code fits.
const MAX_STEPS: usize = 1 << 18;

/// Bytes of a pc-value table that are read at once; most tables are shorter.
const PCVALUE_STEP: usize = 128;

/// How much of a pc is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expand {
    /// All logical frames, innermost first: for pcs from frame pointers.
    All,
    /// Only the innermost one: for the pcs of the runtime's own stacks, which hold one pc per logical frame.
    Innermost,
}

/// A function table joined with its module: what lines need beyond functions.
#[derive(Clone, Copy, Debug)]
pub struct Lines {
    /// The function table.
    pub pclntab: Pclntab,
    /// Run-time address of `moduledata.text`.
    pub text: u64,
    /// `moduledata.gofunc` as a table address: base of funcdata offsets.
    pub gofunc: u64,
}

/// The fields of `_func` that are used here.
struct Record {
    addr: u64,
    entry: u32,
    name_off: u32,
    pcfile: u32,
    pcln: u32,
    n_pcdata: u32,
    cu_off: u32,
    start_line: u32,
    func_id: u8,
    n_funcdata: u32,
}

/// One entry of the inline tree.
struct Inlined {
    func_id: u8,
    name_off: u32,
    start_line: u32,
    /// A text offset in the caller, at the call.
    parent_pc: u64,
    parent: Parent,
}

/// How to go on from an inlined call to its caller.
enum Parent {
    /// The caller's position is that of `parent_pc`.
    Pc,
    /// The caller is this entry of the tree (negative: the function itself), called at this position.
    Index { index: i32, file: i32, line: i32 },
}

impl Lines {
    /// The logical frames at a text offset *inside of the call instruction* (a return address minus
    /// one); empty outside of all functions or when the tables are damaged.
    pub fn frames(&self, memory: &dyn Memory, text_offset: u64, expand: Expand) -> Vec<Frame> {
        self.pclntab
            .function_at(memory, text_offset)
            .and_then(|function| self.expand(memory, function, text_offset, expand))
            .unwrap_or_default()
    }

    fn expand(
        &self,
        memory: &dyn Memory,
        function: FuncRange,
        text_offset: u64,
        expand: Expand,
    ) -> Option<Vec<Frame>> {
        let record = self.record(memory, function)?;
        let tree = self.funcdata(memory, &record, FUNCDATA_INLINE_TREE);
        let index_table = self.pcdata(memory, &record, PCDATA_INLINE_INDEX);
        let index_at = |pc: u64| match (tree, index_table) {
            (Some(_), Some(table)) => self.pc_value(memory, table, record.entry, pc).unwrap_or(-1),
            _ => -1,
        };
        let mut frames: Vec<Frame> = Vec::new();
        let mut index = index_at(text_offset);
        let (mut file, mut line) = self.position(memory, &record, text_offset);
        while let (Some(tree), Ok(at)) = (tree, u64::try_from(index)) {
            let Some(call) = self.inlined(memory, &record, tree, at) else {
                break; // Damaged: the function itself is still right.
            };
            let Some(symbol) = self.pclntab.name_at(memory, call.name_off) else {
                break;
            };
            frames.push(Frame {
                function: name_for_print(&symbol),
                symbol,
                file: Arc::clone(&file),
                line,
                start_line: call.start_line,
                entry: self.text.wrapping_add(record.entry.into()),
                inlined: true,
                func_id: call.func_id,
            });
            if expand == Expand::Innermost || frames.len() >= MAX_INLINED {
                return Some(frames);
            }
            match call.parent {
                Parent::Pc => {
                    index = index_at(call.parent_pc);
                    (file, line) = self.position(memory, &record, call.parent_pc);
                }
                Parent::Index {
                    index: parent,
                    file: file_index,
                    line: call_line,
                } => {
                    index = parent;
                    file = self.file(memory, &record, file_index);
                    line = u32::try_from(call_line).unwrap_or(0);
                }
            }
        }
        let symbol = self.pclntab.name_at(memory, record.name_off)?;
        frames.push(Frame {
            function: name_for_print(&symbol),
            symbol,
            file,
            line,
            start_line: record.start_line,
            entry: self.text.wrapping_add(record.entry.into()),
            inlined: false,
            func_id: record.func_id,
        });
        Some(frames)
    }

    /// Text offsets of the calls that a text offset *inside of a call instruction* stands for, one for each logical
    /// frame, innermost first: at each, [`Expand::Innermost`] gives that frame. Wrappers are left out, as the runtime
    /// does, so that nothing may be left.
    ///
    /// `None` outside of all functions or when the tables are damaged.
    ///
    /// Source: `tracebackPCs` in `runtime/traceback.go` (`gentraceback` up to 1.20), go1.18 to go1.27.
    pub fn calls(&self, memory: &dyn Memory, text_offset: u64) -> Option<Vec<u64>> {
        let function = self.pclntab.function_at(memory, text_offset)?;
        let record = self.record(memory, function)?;
        let wrapper = self.pclntab.facts.wrapper_id;
        let tree = self.funcdata(memory, &record, FUNCDATA_INLINE_TREE);
        let table = self.pcdata(memory, &record, PCDATA_INLINE_INDEX);
        let mut pc = text_offset;
        let mut calls = Vec::new();
        if let (Some(tree), Some(table)) = (tree, table) {
            for _ in 0..MAX_INLINED {
                let index = self.pc_value(memory, table, record.entry, pc);
                let Some(index) = index.and_then(|index| u64::try_from(index).ok()) else {
                    break;
                };
                let Some(call) = self.inlined(memory, &record, tree, index) else {
                    break; // Damaged: the function itself is still right.
                };
                if call.func_id != wrapper {
                    calls.push(pc);
                }
                pc = call.parent_pc;
            }
        }
        if record.func_id != wrapper {
            calls.push(pc);
        }
        Some(calls)
    }

    /// Whether the compiler made the function to call another one, which has the code of the source.
    pub fn is_wrapper(&self, memory: &dyn Memory, function: FuncRange) -> bool {
        self.record(memory, function)
            .is_some_and(|record| record.func_id == self.pclntab.facts.wrapper_id)
    }

    fn record(&self, memory: &dyn Memory, function: FuncRange) -> Option<Record> {
        let facts = self.pclntab.facts;
        let mut buf = [0; 64];
        let bytes = buf.get_mut(..usize::try_from(facts.size).ok()?)?;
        memory.read(function.record, bytes).ok()?;
        let byte = |at: u64| bytes.get(usize::try_from(at).ok()?).copied();
        let start_line = facts
            .start_line
            .and_then(|at| u32_at(bytes, usize::try_from(at).ok()?));
        Some(Record {
            addr: function.record,
            entry: function.start,
            name_off: u32_at(bytes, 4)?,
            pcfile: u32_at(bytes, 20)?,
            pcln: u32_at(bytes, 24)?,
            n_pcdata: u32_at(bytes, 28)?,
            cu_off: u32_at(bytes, 32)?,
            start_line: start_line.unwrap_or(0),
            func_id: byte(facts.func_id)?,
            n_funcdata: byte(facts.nfuncdata)?.into(),
        })
    }

    /// Offset in the pctab of a pcdata table.
    fn pcdata(&self, memory: &dyn Memory, record: &Record, table: u32) -> Option<u32> {
        if table >= record.n_pcdata {
            return None;
        }
        let at = self.pclntab.facts.size + 4 * u64::from(table);
        memory.u32(record.addr.wrapping_add(at)).ok()
    }

    /// Table address of a funcdata.
    fn funcdata(&self, memory: &dyn Memory, record: &Record, index: u32) -> Option<u64> {
        if index >= record.n_funcdata {
            return None;
        }
        let at = self.pclntab.facts.size + 4 * (u64::from(record.n_pcdata) + u64::from(index));
        let offset = memory.u32(record.addr.wrapping_add(at)).ok()?;
        (offset != u32::MAX).then(|| self.gofunc.wrapping_add(offset.into()))
    }

    fn inlined(
        &self,
        memory: &dyn Memory,
        record: &Record,
        tree: u64,
        index: u64,
    ) -> Option<Inlined> {
        let facts = self.pclntab.facts;
        let mut buf = [0; 32];
        let bytes = buf.get_mut(..usize::try_from(facts.inlined_call_size).ok()?)?;
        let addr = tree.wrapping_add(index.wrapping_mul(facts.inlined_call_size));
        memory.read(addr, bytes).ok()?;
        let word = |at: u64| u32_at(bytes, usize::try_from(at).ok()?);
        let signed = |at: u64| word(at).map(u32::cast_signed);
        let text_offset = |at: u64| {
            let from_entry = u64::try_from(signed(at)?).ok()?;
            from_entry.checked_add(record.entry.into())
        };
        // The id stands first, up to 1.19 behind the i16 of the parent.
        Some(match facts.inlined {
            InlinedFacts::ByPc {
                name_off,
                parent_pc,
                start_line,
            } => Inlined {
                func_id: bytes[0],
                name_off: word(name_off)?,
                start_line: word(start_line)?,
                parent_pc: text_offset(parent_pc)?,
                parent: Parent::Pc,
            },
            InlinedFacts::ByIndex {
                parent,
                file,
                line,
                name_off,
                parent_pc,
            } => {
                let parent = usize::try_from(parent).ok()?;
                let parent = bytes.get(parent..parent + 2)?;
                Inlined {
                    func_id: bytes[2],
                    name_off: word(name_off)?,
                    start_line: 0,
                    parent_pc: text_offset(parent_pc)?,
                    parent: Parent::Index {
                        index: i16::from_le_bytes(parent.try_into().ok()?).into(),
                        file: signed(file)?,
                        line: signed(line)?,
                    },
                }
            }
        })
    }

    /// File and line at a text offset of the function.
    fn position(&self, memory: &dyn Memory, record: &Record, pc: u64) -> (Arc<str>, u32) {
        let value = |table| self.pc_value(memory, table, record.entry, pc);
        let file = self.file(memory, record, value(record.pcfile).unwrap_or(-1));
        let line = value(record.pcln).and_then(|line| u32::try_from(line).ok());
        (file, line.unwrap_or(0))
    }

    /// The file with an index in the function's compilation unit.
    fn file(&self, memory: &dyn Memory, record: &Record, index: i32) -> Arc<str> {
        let find = || {
            let index = u64::from(u32::try_from(index).ok()?);
            let at = 4 * (u64::from(record.cu_off) + index);
            let offset = memory.u32(self.pclntab.cutab.wrapping_add(at)).ok()?;
            // All ones mark a file that the linker has dropped.
            (offset != u32::MAX)
                .then(|| string_at(memory, self.pclntab.filetab.wrapping_add(offset.into())))?
        };
        find().unwrap_or_else(|| "?".into())
    }

    /// The value of a pc-value table at a text offset; `None` when it has none there.
    fn pc_value(&self, memory: &dyn Memory, table: u32, entry: u32, target: u64) -> Option<i32> {
        if table == 0 {
            return None; // The function has no such table.
        }
        let mut window = Window::new(memory, PCVALUE_STEP);
        let mut at = self.pclntab.pctab.wrapping_add(table.into());
        let mut value = -1_i32;
        let mut pc = u64::from(entry);
        for step in 0..MAX_STEPS {
            let delta = varint(&mut window, &mut at)?;
            if delta == 0 && step > 0 {
                return None;
            }
            // Zig-zag: the lowest bit is the sign.
            let signed = (delta >> 1).cast_signed() ^ -(delta & 1).cast_signed();
            value = value.wrapping_add(signed);
            pc = pc.wrapping_add(varint(&mut window, &mut at)?.into());
            if target < pc {
                return Some(value);
            }
        }
        None
    }
}

fn varint(window: &mut Window<'_>, at: &mut u64) -> Option<u32> {
    let mut value = 0_u32;
    for shift in (0..32).step_by(7) {
        let byte = window.get(*at, 1)?[0];
        *at = at.wrapping_add(1);
        value |= u32::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
