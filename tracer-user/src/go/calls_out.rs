//! Go functions that call into C, or map memory: the places where memory outside Go can come from.
//!
//! Found in the executable alone, so that they are functions that can do so, not functions that did. A call into C goes
//! through a stub that cgo writes into the calling package, `main._Cfunc_parse`; memory is mapped through `syscall` or
//! `golang.org/x/sys/unix`. Direct calls of these are found by their bytes. Calls through a function value are not found,
//! nor what C code or a raw system call maps.
//!
//! Source: `cmd/cgo/out.go` (`writeDefsFunc`, `_Cfunc_` and `_C2func_`), `syscall/syscall_unix.go` (`mmapper`), go1.18 to
//! go1.27.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::frame::Frame;
use super::memory::Memory;
use super::program::Program;
use super::symbol;

/// Functions that map memory for their caller. They may be inlined into each other.
const MAPPERS: [&str; 8] = [
    "syscall.Mmap",
    "syscall.mmap",
    "syscall.(*mmapper).Mmap",
    "golang.org/x/sys/unix.Mmap",
    "golang.org/x/sys/unix.MmapPtr",
    "golang.org/x/sys/unix.mmap",
    "golang.org/x/sys/unix.(*mmapper).Mmap",
    "golang.org/x/sys/unix.Mremap",
];
/// Stubs of cgo that copy to Go's heap and call no C function.
const COPIES_TO_GO: [&str; 3] = ["GoString", "GoStringN", "GoBytes"];
/// C functions that only free. A function that calls no other does not let memory grow.
const FREES: [&str; 3] = ["free", "munmap", "cfree"];
/// Code that is searched at most: 75 ms of CPU, measured, once. The largest programs known have as much.
const MAX_TEXT_BYTES: u64 = 128 << 20;
/// Code that is read at a time.
const CHUNK_BYTES: u64 = 1 << 20;
/// Calls whose caller is looked up at most.
const MAX_CALLS: usize = 4096;
/// Callers of each kind that are kept at most; the others are counted.
pub const MAX_CALLERS: usize = 16;
/// C functions that are kept of a caller at most.
const MAX_C_FUNCTIONS: usize = 4;
/// Bytes of a direct near call: opcode and a displacement from its end.
const CALL_BYTES: usize = 5;
const CALL_OPCODE: u8 = 0xe8;

/// A Go function that can take memory outside Go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// Its name, as stacks have it.
    pub function: Arc<str>,
    /// C functions that it calls, those that only free left out; empty for one that maps memory.
    pub c_functions: Vec<Arc<str>>,
}

/// Functions that can take memory outside Go, code of the program and its libraries before the standard library.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallsOut {
    /// Functions that call into C.
    pub c: Vec<Caller>,
    /// Callers that call into C beyond [`MAX_CALLERS`].
    pub c_omitted: usize,
    /// Functions that map memory.
    pub maps: Vec<Caller>,
    /// Callers that map memory beyond [`MAX_CALLERS`].
    pub maps_omitted: usize,
}

/// Way out of Go.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Way {
    /// A C function.
    C(Arc<str>),
    Map,
}

impl Way {
    fn of(symbol: &str) -> Option<Self> {
        if MAPPERS.contains(&symbol) {
            return Some(Self::Map);
        }
        if symbol::package(symbol) == "runtime/cgo" {
            return None;
        }
        let at = symbol.find("._C")?;
        let stub = &symbol[at + 1..];
        let name = stub
            .strip_prefix("_Cfunc_")
            .or_else(|| stub.strip_prefix("_C2func_"))?;
        // `C.malloc` has a stub of its own; stubs are assembly to the linker, with a suffix for their ABI.
        let name = if name.starts_with("_CMalloc") {
            "malloc"
        } else {
            name.split('.').next().unwrap_or(name)
        };
        (!COPIES_TO_GO.contains(&name)).then(|| Self::C(name.into()))
    }
}

impl CallsOut {
    /// Finds the callers in a program.
    pub fn find(program: &Program, image: &dyn Memory, live: &dyn Memory) -> Self {
        let is_way = &mut |symbol: &str| Way::of(symbol).is_some();
        let mut ways: BTreeMap<u64, Way> = BTreeMap::new();
        for named in program.functions_where(image, is_way) {
            let way = Way::of(&named.name);
            for code in &named.codes {
                ways.extend(way.clone().map(|way| (code.start, way)));
            }
        }
        if ways.is_empty() {
            return Self::default();
        }
        let mut found = Found::default();
        for (way, return_pc) in calls(program, image, &ways) {
            let frames = program.frames_at(image, live, return_pc.wrapping_add(program.bias));
            if let Some(caller) = frames.iter().find(|frame| is_caller(frame)) {
                found.add(&caller.function, &way);
            }
        }
        found.sorted()
    }
}

/// True if a frame is the code that asks for memory, and not a way out itself.
fn is_caller(frame: &Frame) -> bool {
    frame.is_named() && !symbol::is_runtime(&frame.function) && Way::of(&frame.function).is_none()
}

/// Direct calls of `ways` in the executable's Go code, with their link-time return addresses.
fn calls(program: &Program, image: &dyn Memory, ways: &BTreeMap<u64, Way>) -> Vec<(Way, u64)> {
    let Some(main) = program.modules.first() else {
        return Vec::new();
    };
    let text = main.moduledata.text;
    let start = text.start.wrapping_sub(program.bias);
    let end = start.saturating_add((text.end - text.start).min(MAX_TEXT_BYTES));
    let mut found = Vec::new();
    let mut at = start;
    while at < end && found.len() < MAX_CALLS {
        // Chunks overlap by the bytes of a call that begins in one and ends in the next.
        let len = (end - at).min(CHUNK_BYTES + CALL_BYTES as u64 - 1);
        let Ok(bytes) = image.bytes(at, usize::try_from(len).unwrap_or(0)) else {
            break;
        };
        found.extend(calls_in(&bytes, at, ways));
        at += CHUNK_BYTES;
    }
    found.truncate(MAX_CALLS);
    found
}

/// Direct calls of `ways` in `code`, which lies at `start`. Bytes that only look like a call meet one of the addresses in
/// one of 2^32 cases.
fn calls_in(code: &[u8], start: u64, ways: &BTreeMap<u64, Way>) -> Vec<(Way, u64)> {
    let instructions = code.windows(CALL_BYTES).zip(start + CALL_BYTES as u64..);
    instructions
        .filter_map(|(bytes, return_pc)| {
            let [CALL_OPCODE, displacement @ ..] = bytes else {
                return None;
            };
            let displacement = i32::from_le_bytes(displacement.try_into().ok()?);
            let way = ways.get(&return_pc.wrapping_add_signed(displacement.into()))?;
            Some((way.clone(), return_pc))
        })
        .collect()
}

/// Callers by name, each with the C functions that it calls.
#[derive(Debug, Default)]
struct Found {
    c: BTreeMap<Arc<str>, Vec<Arc<str>>>,
    maps: BTreeMap<Arc<str>, Vec<Arc<str>>>,
}

impl Found {
    fn add(&mut self, function: &Arc<str>, way: &Way) {
        match way {
            Way::C(name) if FREES.contains(&&**name) => {}
            Way::C(name) => {
                let names = self.c.entry(Arc::clone(function)).or_default();
                if !names.contains(name) && names.len() < MAX_C_FUNCTIONS {
                    names.push(Arc::clone(name));
                }
            }
            Way::Map => {
                self.maps.entry(Arc::clone(function)).or_default();
            }
        }
    }

    fn sorted(self) -> CallsOut {
        let sorted = |found: BTreeMap<Arc<str>, Vec<Arc<str>>>| {
            let mut callers: Vec<Caller> = found
                .into_iter()
                .map(|(function, c_functions)| Caller {
                    function,
                    c_functions,
                })
                .collect();
            callers.sort_by_key(|caller| symbol::is_standard(symbol::package(&caller.function)));
            let omitted = callers.len().saturating_sub(MAX_CALLERS);
            callers.truncate(MAX_CALLERS);
            (callers, omitted)
        };
        let ((c, c_omitted), (maps, maps_omitted)) = (sorted(self.c), sorted(self.maps));
        CallsOut {
            c,
            c_omitted,
            maps,
            maps_omitted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_stubs_of_cgo_and_mappers() {
        let c = |name: &str| Some(Way::C(name.into()));
        for (symbol, way) in [
            ("main._Cfunc_parse", c("parse")),
            ("main._Cfunc_parse.abi0", c("parse")),
            ("github.com/a/b%2ev3._C2func_open", c("open")),
            ("main._Cfunc__CMalloc", c("malloc")),
            ("main._Cfunc_CString", c("CString")),
            ("main._Cfunc_GoString", None),
            ("runtime/cgo._Cfunc_x", None),
            ("main.(*T)._Cfunction", None),
            ("syscall.(*mmapper).Mmap", Some(Way::Map)),
            ("syscall.(*mmapper).Munmap", None),
            ("runtime.mmap", None),
            ("main.main", None),
        ] {
            assert_eq!(Way::of(symbol), way, "{symbol}");
        }
    }

    #[test]
    fn finds_direct_calls_by_their_bytes() {
        let ways = BTreeMap::from([(0x1000, Way::Map), (0x3000, Way::C("parse".into()))]);
        let mut code = vec![0x90; 64];
        let mut call = |at: u16, target: i32| {
            let displacement = target - (0x2000 + i32::from(at) + 5);
            let at = usize::from(at);
            code[at] = CALL_OPCODE;
            code[at + 1..at + 5].copy_from_slice(&displacement.to_le_bytes());
        };
        call(3, 0x1000);
        call(20, 0x3000);
        call(40, 0x3001);
        call(59, 0x1000);
        let found = calls_in(&code, 0x2000, &ways);
        let expected = [
            (Way::Map, 0x2008),
            (Way::C("parse".into()), 0x2019),
            (Way::Map, 0x2040),
        ];
        assert_eq!(found, expected);
        assert!(calls_in(&code[..4], 0x2000, &ways).is_empty(), "cut short");
    }

    #[test]
    fn lists_the_programs_own_callers_first_and_none_that_only_frees() {
        let mut found = Found::default();
        let c = |name: &str| Way::C(name.into());
        found.add(&"net.cgoLookup".into(), &c("getaddrinfo"));
        found.add(&"main.parse.func1".into(), &c("free"));
        found.add(&"main.parse".into(), &c("parse"));
        found.add(&"main.parse".into(), &c("parse"));
        found.add(&"main.parse".into(), &c("free"));
        found.add(&"main.parse".into(), &c("malloc"));
        found.add(&"go.etcd.io/bbolt.mmap".into(), &Way::Map);
        for i in 0..MAX_CALLERS {
            found.add(&format!("main.map{i:02}").into(), &Way::Map);
        }
        let found = found.sorted();
        let names = |callers: &[Caller]| -> Vec<String> {
            let name =
                |caller: &Caller| format!("{} {}", caller.function, caller.c_functions.join("+"));
            callers.iter().map(name).collect()
        };
        assert_eq!(
            names(&found.c),
            ["main.parse parse+malloc", "net.cgoLookup getaddrinfo"]
        );
        assert_eq!((found.maps.len(), found.maps_omitted), (MAX_CALLERS, 1));
        assert_eq!(&*found.maps[0].function, "go.etcd.io/bbolt.mmap");
    }
}
