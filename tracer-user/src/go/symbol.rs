//! Function names as Go's linker writes them: package, and whether it belongs to the runtime.
//!
//! Source: `cmd/internal/objabi.PathToPrefix` (dots behind the last slash of a path are `%2e`), go1.27.

/// The import path of a function's package: `github.com/a/b` of `github.com/a/b.(*T).F[...]`.
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
