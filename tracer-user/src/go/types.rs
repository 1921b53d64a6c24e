//! Names of Go types, from the addresses of their descriptors (`abi.Type`) that the allocator is given.
//!
//! Descriptors of a program lie in its module's read-only data and name themselves by an offset there. Those that
//! reflection makes at run time lie on the heap; their names are not looked for.
//!
//! Source: `internal/abi/type.go` (`runtime/type.go` up to 1.20), `resolveNameOff`, go1.18 to go1.27.

use std::sync::Arc;

use super::memory::Memory;
use super::moduledata::Range;
use super::pclntab::{u32_at, u64_at};
use super::program::{Program, Tables};

/// Bytes of `abi.Type`, with which every descriptor begins.
const TYPE_BYTES: usize = 48;
/// `Size_`: bytes of a value.
const SIZE: usize = 0;
/// `TFlag`, u8.
const TFLAG: usize = 20;
/// `Kind_`, u8.
const KIND: usize = 23;
/// `Str`, i32: offset of the name from `moduledata.types`.
const STR: usize = 40;

/// `TFlagExtraStar`: the name is that of the pointer to the type, with which it shares its bytes.
const EXTRA_STAR: u8 = 1 << 1;
/// `KindMask`: bits above it are flags (up to 1.25).
const KIND_MASK: u8 = (1 << 5) - 1;
/// Number of kinds, `reflect.UnsafePointer` the last.
const N_KINDS: u8 = 27;

/// Longest name that is shown; longer ones (of struct types without a name) are cut.
const MAX_NAME_BYTES: u64 = 512;

/// A Go type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoType {
    /// Its name as `%T` prints it: `*main.node`, `[]uint8`, `map[string]int`; packages by their last element. Cut at
    /// 512 bytes, then it ends with `…`.
    pub name: Arc<str>,
    /// Bytes of a value: for the elements of a slice, of one of them.
    pub size_bytes: u64,
    /// `reflect.Kind`.
    pub kind: u8,
}

impl Program {
    /// The type whose descriptor lies at a run-time address; `None` where no module has one there, as for types that
    /// reflection made, and for what is no descriptor.
    ///
    /// Two or three reads, from the file where it can be.
    pub fn type_at(&self, image: &dyn Memory, live: &dyn Memory, addr: u64) -> Option<GoType> {
        let module = self
            .modules
            .iter()
            .find(|module| module.moduledata.types.contains(addr))?;
        let types = module.moduledata.types;
        match module.tables {
            Tables::Live => read(live, addr, types),
            Tables::Image => {
                let moved = |addr: u64| addr.wrapping_sub(self.bias);
                let in_file = Range {
                    start: moved(types.start),
                    end: moved(types.end),
                };
                read(image, moved(addr), in_file)
            }
        }
    }
}

/// Reads a descriptor at an address of `memory`, with `types` the module's range there.
fn read(memory: &dyn Memory, addr: u64, types: Range) -> Option<GoType> {
    let mut bytes = [0; TYPE_BYTES];
    memory.read(addr, &mut bytes).ok()?;
    let kind = bytes[KIND] & KIND_MASK;
    let offset = u32_at(&bytes, STR)?.cast_signed();
    if kind == 0 || kind >= N_KINDS || offset <= 0 {
        return None;
    }
    let name_at = types.start.checked_add(u64::try_from(offset).ok()?)?;
    if !types.contains(name_at) {
        return None;
    }
    let name = name(memory, name_at)?;
    let shown = if bytes[TFLAG] & EXTRA_STAR == 0 {
        &name
    } else {
        name.strip_prefix('*')?
    };
    Some(GoType {
        name: shown.into(),
        size_bytes: u64_at(&bytes, SIZE)?,
        kind,
    })
}

/// A name: flags, its length as a varint, its bytes.
fn name(memory: &dyn Memory, addr: u64) -> Option<String> {
    let mut len = 0_u64;
    let mut at = addr.checked_add(1)?;
    // Names of four bytes of length would be longer than any program's.
    for shift in [0, 7, 14, 21] {
        let byte = memory.u8(at).ok()?;
        at = at.checked_add(1)?;
        len |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            let shown = len.min(MAX_NAME_BYTES);
            let bytes = memory.bytes(at, usize::try_from(shown).ok()?).ok()?;
            let mut name = String::from_utf8_lossy(&bytes).into_owned();
            if shown < len {
                // The cut may have split a character.
                name.truncate(name.trim_end_matches(char::REPLACEMENT_CHARACTER).len());
                name.push('…');
            }
            return (len > 0).then_some(name);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::go::memory::Slice;

    const BASE: u64 = 0x49_0000;

    fn types(bytes: &[u8]) -> Range {
        Range {
            start: BASE,
            end: BASE + bytes.len() as u64,
        }
    }

    /// A descriptor at offset 0 and its name behind it.
    fn module(flags: u8, name: &str) -> Vec<u8> {
        let mut bytes = vec![0; TYPE_BYTES];
        bytes[SIZE] = 24;
        bytes[TFLAG] = flags;
        bytes[KIND] = 25 + 32; // A struct, with a flag of old releases.
        bytes[STR] = u8::try_from(TYPE_BYTES).expect("small");
        bytes.push(1);
        bytes.push(u8::try_from(name.len() & 0x7f).expect("small") | 0x80);
        bytes.push(u8::try_from(name.len() >> 7).expect("small"));
        bytes.extend(name.as_bytes());
        bytes
    }

    fn read_one(bytes: &[u8]) -> Option<GoType> {
        read(&Slice { base: BASE, bytes }, BASE, types(bytes))
    }

    #[test]
    fn names_lose_the_star_they_share_and_end_somewhere() {
        let node = read_one(&module(EXTRA_STAR, "*main.node")).expect("a type");
        assert_eq!(
            (&*node.name, node.size_bytes, node.kind),
            ("main.node", 24, 25)
        );
        let pointer = read_one(&module(0, "*main.node")).expect("a type");
        assert_eq!(&*pointer.name, "*main.node");
        let long = read_one(&module(0, &"é".repeat(300))).expect("a type");
        assert_eq!(long.name.chars().count(), 257);
        let long = read_one(&module(0, &format!("x{}", "é".repeat(300)))).expect("a type");
        assert!(long.name.ends_with("é…"));
        assert_eq!(read_one(&module(0, "")), None);
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            name_at in any::<i32>(),
            at in 0..200_u64,
        ) {
            let mut bytes = bytes;
            if let Some(slot) = bytes.get_mut(STR..STR + 4) {
                slot.copy_from_slice(&(name_at % 300).to_le_bytes());
            }
            let memory = Slice { base: BASE, bytes: &bytes };
            let _ = read(&memory, BASE + at, types(&bytes));
            let _ = read_one(&bytes);
        }
    }
}
