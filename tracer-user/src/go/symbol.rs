//! Function names as Go's linker writes them: package, and whether it belongs to the runtime.
//!
//! Source: `cmd/internal/objabi.PathToPrefix` (dots behind the last slash of a path are `%2e`), go1.27.

use std::borrow::Cow;

/// Decodes the `%xx` escapes of import paths in a symbol: `gopkg.in/yaml.v3.Node` of `gopkg.in/yaml%2ev3.Node`.
///
/// Every other `%` stays, as do escapes of control characters, and all of them where the result is no UTF-8.
pub fn decoded(symbol: &str) -> Cow<'_, str> {
    if !symbol.contains('%') {
        return Cow::Borrowed(symbol);
    }
    let bytes = symbol.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = (byte == b'%').then(|| escaped_byte(bytes.get(at + 1..at + 3)?));
        if let Some(escaped) = escaped.flatten() {
            decoded.push(escaped);
            at += 3;
        } else {
            decoded.push(byte);
            at += 1;
        }
    }
    String::from_utf8(decoded).map_or(Cow::Borrowed(symbol), Cow::Owned)
}

/// The byte of two hexadecimal digits, unless it is a control character.
fn escaped_byte(digits: &[u8]) -> Option<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let [high, low] = *digits else { return None };
    let byte = u8::try_from(digit(high)? * 16 + digit(low)?).ok()?;
    (!byte.is_ascii_control()).then_some(byte)
}

/// The import path of a function's package, escaped as in symbols: `github.com/a/b` of `github.com/a/b.(*T).F[...]`.
pub fn package(function: &str) -> &str {
    let plain = function.split('[').next().unwrap_or(function);
    let last_element = plain.rfind('/').map_or(0, |slash| slash + 1);
    plain[last_element..]
        .find('.')
        .map_or(plain, |dot| &plain[..last_element + dot])
}

/// Whether a function belongs to the runtime, whose frames are folded away: packages `runtime`,
/// `internal/runtime/…` and `runtime/internal/…`.
pub fn is_runtime(function: &str) -> bool {
    let package = package(function);
    package == "runtime"
        || package.starts_with("internal/runtime/")
        || package.starts_with("runtime/internal/")
}

/// True for a package of the standard library: the first element of its path has no dot, unlike that of modules with a
/// host name.
pub fn is_standard(package: &str) -> bool {
    let first = package.split('/').next().unwrap_or(package);
    package != "main" && !first.contains(['.', '%']) || package.starts_with("vendor/")
}

/// Whether a runtime function only hands out memory: on a stack of runtime frames alone, the call site is
/// the innermost one that is none of these.
pub fn is_allocator(function: &str) -> bool {
    let Some(name) = function.strip_prefix("runtime.") else {
        return false;
    };
    name.starts_with("mallocgc")
        || matches!(name, "newobject" | "newarray" | "makeslice" | "growslice")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_import_paths_are_decoded() {
        for (symbol, expected) in [
            (
                "gopkg.in/yaml%2ev3.(*Decoder).Decode",
                "gopkg.in/yaml.v3.(*Decoder).Decode",
            ),
            (
                "a.b/c%2Ed.F[go.shape.*e/f%2eg.T]",
                "a.b/c.d.F[go.shape.*e/f.g.T]",
            ),
            ("example.com/caf%c3%a9.F", "example.com/caf\u{e9}.F"),
            ("a%25b%22.F", "a%b\".F"),
            ("%2e", "."),
        ] {
            assert_eq!(decoded(symbol), expected);
        }
    }

    #[test]
    fn what_is_no_escape_stays() {
        for symbol in [
            "main.main",
            "",
            "%",
            "a%2",
            "a%zz.F",
            "a%+1.F",
            "a%0ab.F",
            "a%1b[2J",
            "a%ff.F",
            "%c3.F",
            "\u{e9}%",
        ] {
            assert_eq!(decoded(symbol), symbol);
        }
    }

    proptest::proptest! {
        #[test]
        fn decoding_any_text_is_total(symbol in "[%0-9a-f./\\PC]{0,40}") {
            proptest::prop_assert!(decoded(&symbol).len() <= symbol.len());
        }
    }

    #[test]
    fn packages_of_all_shapes_of_names() {
        for (function, expected) in [
            ("main.main.func1", "main"),
            ("github.com/a/b.(*T).F", "github.com/a/b"),
            ("gopkg.in/yaml%2ev3.Unmarshal", "gopkg.in/yaml%2ev3"),
            (
                "slices.SortFunc[go.shape.[]github.com/x/y.T,go.shape.string]",
                "slices",
            ),
            ("runtime.mallocgc", "runtime"),
            ("type:.eq.main.T", "type:"),
            ("0x401000", "0x401000"),
            ("", ""),
        ] {
            assert_eq!(package(function), expected);
        }
        assert!(
            is_runtime("internal/runtime/maps.(*Map).grow") && is_runtime("runtime/internal/sys.F")
        );
        assert!(
            !is_runtime("runtime/debug.Stack")
                && !is_runtime("runtimex.F")
                && !is_runtime("main.runtime.F")
        );
        assert!(is_allocator("runtime.mallocgcTiny") && !is_allocator("runtime.malg"));
    }
}
