//! Function tables: a small one made by hand, and damaged ones.

use proptest::prelude::*;

use super::*;
use crate::go::facts::Facts;
use crate::go::lines::{Expand, Lines};
use crate::go::static_image::fake::Flat;

const BASE: u64 = 0x40_0000;

fn facts(minor: u16) -> &'static FuncFacts {
    &Facts::of_minor(minor).expect("a known release").func
}

/// A table of two functions, `runtime.a` at 0..0x40 (with `main.inlined` inlined at 0x10..0x20) and
/// `main.b` at 0x40..0x80, as go1.22 lays it out. The inline tree stands behind, at the returned offset.
fn table() -> (Vec<u8>, u64) {
    let names = b"runtime.a\0main.b\0main.inlined\0";
    let files = b"/src/a.go\0/src/b.go\0";
    // pc-value tables behind a first byte which stands for "none".
    // file: 0 throughout; line: 10 up to 0x10, 30 up to 0x20, then 12; index: -1, 0, -1.
    let zigzag = |delta: i8| {
        u8::try_from(if delta < 0 {
            -2 * i16::from(delta) - 1
        } else {
            2 * i16::from(delta)
        })
    };
    let value = |steps: &[(i8, u8)]| {
        let mut out = Vec::new();
        for &(delta, pcs) in steps {
            out.push(zigzag(delta).expect("a small delta"));
            out.push(pcs);
        }
        out.push(0);
        out
    };
    let mut pctab = vec![0];
    let mut add = |bytes: Vec<u8>| {
        let at = u32::try_from(pctab.len()).expect("small");
        pctab.extend(bytes);
        at
    };
    let file = add(value(&[(1, 0x40)]));
    let line = add(value(&[(11, 0x10), (20, 0x10), (-18, 0x20)]));
    let index = add(value(&[(0, 0x10), (1, 0x10), (-1, 0x20)]));
    let mut funcs: Vec<u8> = Vec::new();
    let functab_bytes = 2 * 8 + 4 + 4; // padded to eight
    let mut functab: Vec<u8> = Vec::new();
    for (entry, name_off) in [(0_u32, 0_u32), (0x40, 10)] {
        functab.extend(entry.to_le_bytes());
        functab.extend(
            u32::try_from(functab_bytes + funcs.len())
                .expect("small")
                .to_le_bytes(),
        );
        for word in [entry, name_off, 0, 0, 0, file, line, 3, 0, 7] {
            funcs.extend(word.to_le_bytes());
        }
        funcs.extend([0, 0, 0, 4]); // id, flag, pad, nfuncdata
        for word in [0, 0, index, u32::MAX, u32::MAX, u32::MAX, 0] {
            funcs.extend(word.to_le_bytes());
        }
    }
    functab.extend(0x80_u32.to_le_bytes());
    functab.resize(functab_bytes, 0);
    let mut out = vec![0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8];
    let cutab: Vec<u8> = [0_u32, 10].iter().flat_map(|w| w.to_le_bytes()).collect();
    let mut at = 72_u64;
    let mut offsets = Vec::new();
    for part in [&names[..], &cutab, files, &pctab] {
        offsets.push(at);
        at += part.len() as u64;
    }
    offsets.push(at);
    for word in [2, 2, 0].into_iter().chain(offsets) {
        out.extend(word.to_le_bytes());
    }
    for part in [&names[..], &cutab, files, &pctab, &functab, &funcs] {
        out.extend(part);
    }
    let tree = out.len() as u64;
    for word in [0_u32, 17, 0x8, 29] {
        out.extend(word.to_le_bytes());
    }
    (out, tree)
}

fn lines_of(image: &Flat, tree: u64) -> Option<Lines> {
    Some(Lines {
        pclntab: Pclntab::parse(image, BASE, facts(22))?,
        text: 0x1000,
        gofunc: BASE + tree,
    })
}

#[test]
fn functions_are_found_by_name_and_by_pc() {
    let (bytes, _) = table();
    let image = Flat::new(BASE, bytes);
    let table = Pclntab::find(&image, facts(22)).expect("a table, found by its magic");
    let found = table.functions(
        &image,
        &["main.b", "main.none", "runtime.a", "main.inlined"],
    );
    let ranges: Vec<_> = found.iter().map(|f| f.map(|f| (f.start, f.end))).collect();
    assert_eq!(ranges, [Some((0x40, 0x80)), None, Some((0, 0x40)), None]);
    let at = |pc| {
        Some(
            table
                .name(&image, table.function_at(&image, pc)?)?
                .to_string(),
        )
    };
    assert_eq!(at(0).as_deref(), Some("runtime.a"));
    assert_eq!(at(0x3f).as_deref(), Some("runtime.a"));
    assert_eq!(at(0x40).as_deref(), Some("main.b"));
    assert_eq!(at(0x80), None);
    assert_eq!(at(u64::MAX), None);
}

#[test]
fn inlined_calls_become_frames_with_the_line_of_the_call() {
    let (bytes, tree) = table();
    let image = Flat::new(BASE, bytes);
    let lines = lines_of(&image, tree).expect("a table");
    let show = |pc, expand| -> Vec<String> {
        let frames = lines.frames(&image, pc, expand);
        frames
            .iter()
            .map(|f| format!("{} {}:{} {}", f.function, f.file, f.line, f.start_line))
            .collect()
    };
    assert_eq!(show(0x4, Expand::All), ["runtime.a /src/a.go:10 7"]);
    assert_eq!(
        show(0x14, Expand::All),
        ["main.inlined /src/a.go:30 29", "runtime.a /src/a.go:10 7"]
    );
    assert_eq!(
        show(0x14, Expand::Innermost),
        ["main.inlined /src/a.go:30 29"]
    );
    assert_eq!(show(0x24, Expand::All), ["runtime.a /src/a.go:12 7"]);
}

#[test]
fn a_file_without_a_table_is_refused() {
    let err = Pclntab::find(&Flat::new(BASE, vec![0xff; 4096]), facts(22)).expect_err("none");
    assert!(err.next.contains("UPX"), "{err}");
}

proptest! {
    #[test]
    fn damaged_tables_never_panic(
        changes in prop::collection::vec((0_usize..400, any::<u8>()), 0..20),
        len in 0_usize..500,
        pcs in prop::collection::vec(any::<u16>(), 4),
        minor in prop::sample::select(vec![19_u16, 22, 27]),
    ) {
        let (mut bytes, tree) = table();
        for (at, byte) in changes {
            if let Some(slot) = bytes.get_mut(at) {
                *slot = byte;
            }
        }
        bytes.truncate(len);
        let image = Flat::new(BASE, bytes);
        let Some(pclntab) = Pclntab::parse(&image, BASE, facts(minor)) else { return Ok(()); };
        let lines = Lines { pclntab, text: 0x1000, gofunc: BASE + tree };
        let _ = pclntab.functions(&image, &["main.b", "main.none"]);
        for pc in pcs {
            let frames = lines.frames(&image, u64::from(pc), Expand::All);
            prop_assert!(frames.len() <= MAX_FRAMES);
        }
    }
}

/// Inlined frames and the function itself.
const MAX_FRAMES: usize = 257;
