//! Offsets in the kernel's `task_struct`, from its own type information (BTF).
//!
//! aya reads BTF too, but gives no access to the members of a structure; crates that do are under the LGPL. Only what these
//! two fields need is parsed here. Any bytes give offsets or nothing.
//!
//! Source: `Documentation/bpf/btf.rst`, Linux 5.10 to 7.2.

/// Type information of the running kernel.
const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// First two bytes of BTF, in the machine's byte order.
const MAGIC: u16 = 0xeb9f;
/// Bytes of an entry before what is particular to its kind, and of a member of a structure.
const ENTRY_BYTES: usize = 12;
/// Deepest nesting of anonymous structures: the kernel has two levels where it shuffles fields.
const MAX_DEPTH: u32 = 8;

const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;

/// Offsets in bytes of fields of `task_struct`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskLayout {
    /// `exit_code`, four bytes wide.
    pub exit_code: u64,
    /// `tgid`, four bytes wide.
    pub tgid: u64,
}

impl TaskLayout {
    /// Reads the layout of the running kernel; `None` where it has no readable BTF. Takes some 10 ms: the file has about
    /// 6 MiB.
    pub fn of_this_kernel() -> Option<Self> {
        Self::parse(&std::fs::read(VMLINUX).ok()?)
    }

    /// Finds the fields in BTF.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let btf = Btf::parse(bytes)?;
        let task = btf.find_struct("task_struct")?;
        let offset = |name| Some(u64::from(btf.member_bits(task, name, 0)? / 8));
        Some(Self {
            exit_code: offset("exit_code")?,
            tgid: offset("tgid")?,
        })
    }
}

/// The two sections, and the position of each type in the first; type ids count from 1.
struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    positions: Vec<usize>,
}

/// The common head of a type.
#[derive(Clone, Copy)]
struct Entry {
    at: usize,
    name: u32,
    kind: u32,
    n_members: usize,
    /// Member offsets hold the width of a bit field in their upper byte.
    has_bit_fields: bool,
}

impl<'a> Btf<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let magic = bytes.get(..2)?.try_into().ok()?;
        if u16::from_ne_bytes(magic) != MAGIC {
            return None;
        }
        let header_bytes = usize_at(bytes, 4)?;
        let section = |at: usize| {
            let start = header_bytes.checked_add(usize_at(bytes, at)?)?;
            let end = start.checked_add(usize_at(bytes, at + 4)?)?;
            bytes.get(start..end)
        };
        let mut btf = Self {
            types: section(8)?,
            strings: section(16)?,
            positions: Vec::new(),
        };
        let mut at = 0;
        while at < btf.types.len() {
            btf.positions.push(at);
            at += ENTRY_BYTES + btf.entry(at)?.extra_bytes()?;
        }
        Some(btf)
    }

    fn entry(&self, at: usize) -> Option<Entry> {
        let info = u32_at(self.types, at + 4)?;
        Some(Entry {
            at,
            name: u32_at(self.types, at)?,
            kind: info >> 24 & 0x1f,
            n_members: usize::try_from(info & 0xffff).ok()?,
            has_bit_fields: info >> 31 == 1,
        })
    }

    /// True if the string at this offset is `name`.
    fn is_named(&self, offset: u32, name: &str) -> bool {
        let found = usize::try_from(offset)
            .ok()
            .and_then(|at| self.strings.get(at..));
        found.is_some_and(|found| {
            found.starts_with(name.as_bytes()) && found.get(name.len()) == Some(&0)
        })
    }

    fn find_struct(&self, name: &str) -> Option<Entry> {
        let entries = self.positions.iter().filter_map(|&at| self.entry(at));
        entries
            .filter(|entry| entry.kind == KIND_STRUCT)
            .find(|entry| self.is_named(entry.name, name))
    }

    /// Offset in bits of a member of a structure, those of its anonymous members included.
    fn member_bits(&self, of: Entry, name: &str, depth: u32) -> Option<u32> {
        if depth > MAX_DEPTH || !matches!(of.kind, KIND_STRUCT | KIND_UNION) {
            return None;
        }
        (0..of.n_members).find_map(|n| {
            let at = of.at + ENTRY_BYTES * (n + 1);
            let (member, id) = (u32_at(self.types, at)?, usize_at(self.types, at + 4)?);
            let offset = u32_at(self.types, at + 8)?;
            let bits = if of.has_bit_fields {
                offset & 0x00ff_ffff
            } else {
                offset
            };
            if self.is_named(member, name) {
                return Some(bits);
            }
            if !self.is_named(member, "") {
                return None;
            }
            let inner = self.entry(*self.positions.get(id.checked_sub(1)?)?)?;
            bits.checked_add(self.member_bits(inner, name, depth + 1)?)
        })
    }
}

impl Entry {
    /// Bytes behind the head; `None` for a kind that is not known.
    fn extra_bytes(self) -> Option<usize> {
        Some(match self.kind {
            // Integer, variable, declaration tag.
            1 | 14 | 17 => 4,
            // Pointer, forward declaration, typedef, volatile, const, restrict, function, float, type tag.
            2 | 7..=12 | 16 | 18 => 0,
            // Array.
            3 => 12,
            // Structure, union, data section, 64-bit enumeration.
            KIND_STRUCT | KIND_UNION | 15 | 19 => 12 * self.n_members,
            // Enumeration, function prototype.
            6 | 13 => 8 * self.n_members,
            _ => return None,
        })
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

fn usize_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32_at(bytes, at)?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// BTF of `int` and of a `task_struct` whose fields are in an anonymous structure at byte 16.
    fn sample() -> Vec<u8> {
        let strings = b"\0int\0task_struct\0exit_code\0tgid\0state\0";
        let name = |name: &str| {
            let with_zero = format!("{name}\0");
            let at = strings
                .windows(with_zero.len())
                .position(|window| window == with_zero.as_bytes());
            u32::try_from(at.expect("a name")).expect("small")
        };
        let structure = |n: u32| KIND_STRUCT << 24 | n;
        let types: Vec<u32> = [
            vec![name("int"), 1 << 24, 4, 32],
            vec![
                0,
                structure(2),
                8,
                name("exit_code"),
                1,
                0,
                name("tgid"),
                1,
                32,
            ],
            vec![
                name("task_struct"),
                structure(2) | 1 << 31,
                24,
                name("state"),
                1,
                32 << 24,
                0,
                2,
                16 * 8,
            ],
        ]
        .concat();
        let types_len = u32::try_from(types.len() * 4).expect("small");
        let strings_len = u32::try_from(strings.len()).expect("small");
        let mut bytes = MAGIC.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        for word in [24, 0, types_len, types_len, strings_len] {
            bytes.extend(u32::to_ne_bytes(word));
        }
        bytes.extend(types.iter().flat_map(|word| word.to_ne_bytes()));
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn finds_fields_of_anonymous_members() {
        let layout = TaskLayout {
            exit_code: 16,
            tgid: 20,
        };
        assert_eq!(TaskLayout::parse(&sample()), Some(layout));
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(at in 0..120usize, byte in any::<u8>(), len in 0..130usize) {
            let mut bytes = sample();
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            bytes.truncate(len);
            let _ = TaskLayout::parse(&bytes);
        }
    }
}
