//! Whose code a frame is: of the main module, of the standard library, or of somebody else's module.

use super::attribution::Code;
use crate::go::frame::Frame;
use crate::go::symbol;

/// Tells the main module's frames from others, by build information or, without it, by what names and files show.
#[derive(Clone, Debug, Default)]
pub(super) struct Origin {
    /// The main module as symbols have it: the same as its path, where a package below it follows.
    module: Option<String>,
    /// The module's own package as symbols have it, with the dots of its last element written as `%2e`.
    module_package: Option<String>,
    /// Beginning of the paths of all modules of the main module's owner.
    owner: Option<String>,
}

impl Origin {
    /// `main_module` is the path that build information gives; `command-line-arguments` is none.
    pub(super) fn new(main_module: Option<&str>) -> Self {
        let module = main_module.filter(|path| !path.is_empty());
        Self {
            module: module.map(|path| format!("{path}/")),
            module_package: module.map(escaped),
            owner: module.and_then(owner),
        }
    }

    /// Whether the frame is of the program's own main module. `main` always is.
    pub(super) fn is_main_module(&self, frame: &Frame) -> bool {
        if !frame.is_named() || symbol::is_runtime(&frame.function) {
            return false;
        }
        let package = frame.package();
        if package == "main" {
            return true;
        }
        match (&self.module, &self.module_package) {
            (Some(below), Some(itself)) => package == itself || package.starts_with(below.as_str()),
            _ => !symbol::is_standard(package) && !is_of_another_module(package, &frame.file),
        }
    }

    /// The code that a frame belongs to.
    pub(super) fn code(&self, frame: &Frame) -> Code {
        let package = frame.package();
        if self.is_main_module(frame) {
            Code::Main
        } else if symbol::is_standard(package) || !frame.is_named() {
            Code::Standard
        } else if (self.owner.as_deref()).is_some_and(|owner| package.starts_with(owner)) {
            Code::Owner
        } else {
            Code::Library
        }
    }

    /// Whether the frame is of the standard library, and not of a main module whose path looks like it.
    pub(super) fn is_standard(&self, frame: &Frame) -> bool {
        !self.is_main_module(frame) && symbol::is_standard(frame.package())
    }
}

/// The beginning that the paths of an owner's modules share: `github.com/owner/`, on other hosts the host.
fn owner(path: &str) -> Option<String> {
    let mut elements = path.split('/');
    let host = elements.next().filter(|host| host.contains('.'))?;
    let is_shared = matches!(host, "github.com" | "gitlab.com" | "bitbucket.org");
    if is_shared {
        Some(format!("{host}/{}/", elements.next()?))
    } else {
        Some(format!("{host}/"))
    }
}

/// A package path as the linker writes it at the head of a symbol: dots behind the last slash become `%2e`.
///
/// Source: `cmd/internal/objabi.PathToPrefix`, go1.27; the other characters that it escapes are in no module path.
fn escaped(path: &str) -> String {
    let last_element = path.rfind('/').map_or(0, |slash| slash + 1);
    let (head, tail) = path.split_at(last_element);
    format!("{head}{}", tail.replace('.', "%2e"))
}

/// Whether the files say that a package was vendored, or came with a version.
fn is_of_another_module(package: &str, file: &str) -> bool {
    package.contains("/vendor/") || file.contains("/vendor/") || file.contains('@')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: &str, file: &str) -> Frame {
        Frame {
            function: function.into(),
            file: file.into(),
            entry: 1,
            ..Frame::unnamed(1)
        }
    }

    #[test]
    fn the_main_module_is_told_by_its_path() {
        let origin = Origin::new(Some("gopkg.in/gateway.v2"));
        let own = |function: &str| origin.is_main_module(&frame(function, "x.go"));
        assert!(own("main.run") && own("gopkg.in/gateway%2ev2.New"));
        assert!(own("gopkg.in/gateway.v2/internal/proxy.New.func1"));
        assert!(!own("gopkg.in/gateway%2ev3.New") && !own("net/http.(*conn).serve"));
        assert!(!own("runtime.main") && !own("gopkg.in/gateway.v2x/proxy.New"));
        assert!(!origin.is_main_module(&Frame::unnamed(7)));
        let short = Origin::new(Some("gateway"));
        assert!(short.is_main_module(&frame("gateway/internal/lru.New", "x.go")));
    }

    #[test]
    fn modules_of_the_same_owner_are_told_from_others() {
        let origin = Origin::new(Some("github.com/acme/gateway"));
        let code = |function: &str| origin.code(&frame(function, "x.go"));
        assert_eq!(code("github.com/acme/gateway/proxy.New"), Code::Main);
        assert_eq!(code("main.run"), Code::Main);
        assert_eq!(code("github.com/acme/limits.New"), Code::Owner);
        assert_eq!(code("github.com/other/limits.New"), Code::Library);
        assert_eq!(code("net/http.Get"), Code::Standard);
    }

    #[test]
    fn without_build_information_files_and_names_tell() {
        let origin = Origin::new(None);
        let own = |function: &str, file: &str| origin.is_main_module(&frame(function, file));
        assert!(own("main.run", "/src/main.go"));
        assert!(own("example.com/gw/proxy.New", "/src/gw/proxy/new.go"));
        assert!(!own(
            "github.com/a/b.New",
            "/go/pkg/mod/github.com/a/b@v1.2.3/b.go"
        ));
        assert!(!own(
            "github.com/a/b.New",
            "/src/gw/vendor/github.com/a/b/b.go"
        ));
        assert!(!own("net/http.Get", "/usr/local/go/src/net/http/client.go"));
        assert!(!own("vendor/golang.org/x/net/http2.New", "x.go"));
    }
}
