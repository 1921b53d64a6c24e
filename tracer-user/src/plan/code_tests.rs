//! Prologues of every shape, as toolchains write them.

use proptest::prelude::*;

use super::*;

/// Bytes from hex digits with blanks.
fn code(hex: &str) -> Vec<u8> {
    let bytes = hex.split_whitespace();
    bytes
        .map(|byte| u8::from_str_radix(byte, 16).expect("hex digits"))
        .collect()
}

#[test]
fn every_prologue_has_its_probe() {
    use Instruction::{Jbe, PushRbp};
    let shapes = [
        ("small, near", "49 3b 66 10 76 40 55 48 89 e5", (6, PushRbp)),
        (
            "small, far",
            "49 3b 66 10 0f 86 00 01 00 00 55 48 89 e5",
            (10, PushRbp),
        ),
        (
            "large, near",
            "4c 8d 64 24 a8 4d 3b 66 10 76 40 55 48",
            (11, PushRbp),
        ),
        (
            "large, far",
            "4c 8d 64 24 a8 4d 3b 66 10 0f 86 00 01 00 00 55 48",
            (15, PushRbp),
        ),
        (
            "larger, near",
            "4c 8d a4 24 00 ff ff ff 4d 3b 66 10 76 40 55 48",
            (14, PushRbp),
        ),
        (
            "larger, far",
            "4c 8d a4 24 00 ff ff ff 4d 3b 66 10 0f 86 00 01 00 00 55",
            (18, PushRbp),
        ),
        (
            "system stack",
            "49 3b 66 18 76 40 55 48 89 e5",
            (6, PushRbp),
        ),
        ("no check", "55 48 89 e5 48 83 ec 10", (0, PushRbp)),
        (
            "1.19: sub rsp instead of push",
            "49 3b 66 10 0f 86 00 01 00 00 48 83 ec 40 48 89 6c 24 38",
            (4, Jbe),
        ),
        (
            "1.19, large",
            "4c 8d a4 24 00 ff ff ff 4d 3b 66 10 0f 86 00 01 00 00 48",
            (12, Jbe),
        ),
        (
            "huge",
            "49 89 e4 49 81 ec d8 18 01 00 0f 82 96 00 00 00 4d 3b 66 10 0f 86 8c 00 00 00 55",
            (26, PushRbp),
        ),
        (
            "huge, near",
            "49 89 e4 49 81 ec d8 18 01 00 72 40 4d 3b 66 10 76 3a 55 48 89 e5",
            (18, PushRbp),
        ),
        (
            "1.19, huge",
            "49 89 e4 49 81 ec d8 18 01 00 0f 82 9f 00 00 00 4d 3b 66 10 0f 86 95 00 00 00 48",
            (20, Jbe),
        ),
    ];
    for (name, bytes, expected) in shapes {
        assert_eq!(entry_point(&code(bytes)), Some(expected), "{name}");
    }
}

#[test]
fn other_code_gets_no_probe() {
    for bytes in [
        "",
        "48 89 e5",
        "49 3b 66 10",
        "49 3b 66 10 74 40 55",
        "cc cc cc cc",
    ] {
        assert_eq!(entry_point(&code(bytes)), None, "{bytes}");
    }
}

#[test]
fn the_flush_is_done_at_the_call_behind_it() {
    // nop; call 0x2000; mov rax,rbx; call [rip+0]; call 0x3000, all at 0x1000.
    let bytes = code("90 e8 fa 0f 00 00 48 89 d8 ff 15 00 00 00 00 e8 ec 1f 00 00 c3");
    assert_eq!(call_after(&bytes, 0x1000, 0x2000), Some(0x100f));
    assert_eq!(call_after(&bytes, 0x1000, 0x3000), None);
    assert_eq!(call_after(&bytes, 0x1000, 0x4000), None);
}

#[test]
fn a_result_is_checked_behind_its_call() {
    // At 0x1000: call 0x2000, then...
    let call = "e8 fb 0f 00 00";
    let shapes = [
        ("at once", "48 85 c0 0f 84 f0 02 00 00", Some(0x1008)),
        ("near, the other way", "48 85 c0 75 10", Some(0x1008)),
        (
            "stored first",
            "48 89 44 24 28 48 85 c0 74 10",
            Some(0x100d),
        ),
        ("a nop first", "66 90 48 85 c0 74 10", Some(0x100a)),
        ("another register is checked", "48 85 db 74 10", None),
        ("the low half is checked", "85 c0 74 10", None),
        ("another jump", "48 85 c0 7e 10", None),
        ("the result is replaced", "48 89 d8 48 85 c0 74 10", None),
        (
            "something is called first",
            "e8 00 00 00 00 48 85 c0 74 10",
            None,
        ),
        ("no check", "c3", None),
        ("the end", "48 85 c0", None),
    ];
    for (name, behind, expected) in shapes {
        let bytes = code(&format!("{call} {behind}"));
        let expected: Vec<u64> = expected.into_iter().collect();
        assert_eq!(nil_checks(&bytes, 0x1000, 0x2000), expected, "{name}");
        assert_eq!(nil_checks(&bytes, 0x1000, 0x3000), [0; 0], "{name}");
    }
}

proptest! {
    #[test]
    fn any_code_never_panics(
        bytes in prop::collection::vec(any::<u8>(), 0..100),
        start in any::<u64>(),
        callee in any::<u64>(),
    ) {
        if let Some((offset, _)) = entry_point(&bytes) {
            prop_assert!(offset < bytes.len());
        }
        let _ = call_after(&bytes, start, callee);
        let _ = nil_checks(&bytes, start, callee);
    }
}
