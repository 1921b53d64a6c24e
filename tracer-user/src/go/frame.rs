//! One line of a stack, in the words that the runtime itself would use.

use serde::{Deserialize, Serialize};

use std::borrow::Cow;
use std::sync::Arc;

use super::symbol::{self, decoded};

/// A function on a stack, with the position of the call (or of the allocation) in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Frame {
    /// Name as shown: that of `runtime.Frame.Function`, with type arguments of generics as `[...]` and the escapes of
    /// import paths decoded: `main.(*cache[...]).put`, `gopkg.in/yaml.v3.Unmarshal`.
    pub function: Arc<str>,
    /// Full name of the symbol, as profiles of Go 1.21 and later name the function:
    /// `main.(*cache[go.shape.int]).put`, `gopkg.in/yaml%2ev3.Unmarshal`. The same `Arc` as `function` where they agree.
    pub symbol: Arc<str>,
    /// Source file as the compiler wrote it: absolute, or beginning with a module path after
    /// `-trimpath`; `?` when not known.
    pub file: Arc<str>,
    /// Line in `file`, from 1; 0 when not known.
    pub line: u32,
    /// Line of the function's `func` keyword; 0 when not known (1.18 and 1.19 do not record it).
    pub start_line: u32,
    /// Run-time address of the function whose code holds the pc: for an inlined frame that of the function it was
    /// inlined into.
    pub entry: u64,
    /// The frame was inlined into the next one of the stack.
    pub inlined: bool,
    /// `runtime.funcID` of the function; its numbers differ between releases.
    pub func_id: u8,
}

impl Frame {
    /// The frame of a return address whose function is not known: its address for a name.
    pub fn unnamed(pc: u64) -> Self {
        let name: Arc<str> = format!("{pc:#x}").into();
        Self {
            function: Arc::clone(&name),
            symbol: name,
            file: "?".into(),
            line: 0,
            start_line: 0,
            entry: 0,
            inlined: false,
            func_id: 0,
        }
    }

    /// The one frame of a stack that is not known: what was allocated under it is counted all the same.
    pub fn unknown_stack() -> Self {
        let name: Arc<str> = "(stack unknown)".into();
        Self {
            function: Arc::clone(&name),
            symbol: name,
            entry: u64::MAX, // No function begins there, and 0 would be a frame without a name.
            ..Self::unnamed(0)
        }
    }

    /// Import path of the function's package, escaped as in symbols: only there is its end certain.
    pub fn package(&self) -> &str {
        let is_escaped = self.symbol.contains('%');
        symbol::package(if is_escaped {
            &self.symbol
        } else {
            &self.function
        })
    }

    /// Whether the function is known.
    pub fn is_named(&self) -> bool {
        self.entry != 0
    }
}

/// Returns the name to show for a symbol: as the runtime prints it, where all from the first `[` to the last `]` becomes
/// `[...]`, with the escapes of import paths decoded. All names are made here.
///
/// Source: `runtime/symtab.go`, `funcNameForPrint`, go1.21 to go1.27; the linker of older releases writes names
/// that way into the table.
pub fn name_for_print(symbol: &Arc<str>) -> Arc<str> {
    let short = match (symbol.find('['), symbol.rfind(']')) {
        (Some(open), Some(close)) if open < close => {
            Cow::Owned(format!("{}[...]{}", &symbol[..open], &symbol[close + 1..]))
        }
        _ => Cow::Borrowed(&**symbol),
    };
    let name = decoded(&short);
    if *name == **symbol {
        Arc::clone(symbol)
    } else {
        name.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_arguments_are_shortened_as_the_runtime_does() {
        let print = |name: &str| name_for_print(&name.into()).to_string();
        assert_eq!(
            print("main.(*cache[go.shape.int,go.shape.[]uint8]).put"),
            "main.(*cache[...]).put"
        );
        assert_eq!(print("main.f[...]"), "main.f[...]");
        assert_eq!(print("main.f.func1"), "main.f.func1");
        assert_eq!(print("odd]["), "odd][");
        assert_eq!(
            print("gopkg.in/yaml%2ev3.F[a%2eb.T]"),
            "gopkg.in/yaml.v3.F[...]"
        );
    }
}
