//! The programs of the corpus: found in the tree, and built with a profile reader and without.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::truth::Truth;
use crate::{
    go::{Go, create_folder},
    progress::{self, say},
    user,
};

/// Modules below `tests/programs`, and how the names of their programs begin.
const MODULES: [(&str, &str); 3] = [
    ("corpus", ""),
    ("corpus/modern", "modern/"),
    ("cases", CASES),
];
/// Of a module without honest memory beside the question: each program is one fault that heaptop had.
const CASES: &str = "cases/";

/// One program.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// `bucketcache`, `modern/ticker`, `cases/threads`.
    pub(super) name: String,
    pub(super) truth: Truth,
}

/// Whether a program reads its own profile, which decides who has the runtime's samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variant {
    /// It links no profile reader: the runtime takes no samples.
    Plain,
    /// It links `net/http/pprof`.
    Pprof,
}

impl Variant {
    fn folder(self) -> PathBuf {
        crate::target_dir().join("corpus").join(match self {
            Self::Plain => "plain",
            Self::Pprof => "pprof",
        })
    }
}

impl Program {
    /// Whether it is one fault that heaptop had: it has one load, at which its rates hold.
    pub(super) fn is_case(&self) -> bool {
        self.name.starts_with(CASES)
    }

    /// Where it was built.
    pub(super) fn path(&self, variant: Variant) -> PathBuf {
        variant.folder().join(&self.name)
    }
}

/// All of them, by name, with what is right for Go `1.minor`.
pub(super) fn all(minor: u32) -> Result<Vec<Program>> {
    let mut programs = Vec::new();
    for (module, prefix) in MODULES {
        let folder = crate::root().join("tests/programs").join(module);
        let entries =
            fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path().join("main.go");
            if !path.exists() {
                continue;
            }
            let name = path
                .parent()
                .and_then(Path::file_name)
                .map(|name| format!("{prefix}{}", name.to_string_lossy()));
            if let (Some(name), Some(truth)) = (name, Truth::read(&path, minor)?) {
                programs.push(Program { name, truth });
            }
        }
    }
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(programs)
}

/// Builds these programs in both variants; leaves out those that need a C compiler where there is none.
pub(super) fn build(go: &Go, programs: &mut Vec<Program>) -> Result<()> {
    let has_cc = ["gcc", "cc", "clang"]
        .iter()
        .any(|name| user::in_path(name).is_some());
    if !has_cc {
        programs.retain(|program| !program.truth.cgo);
        say(
            "corpus",
            "there is no C compiler: programs with cgo are left out",
        );
    }
    for variant in [Variant::Plain, Variant::Pprof] {
        for (module, prefix) in MODULES {
            for cgo in [false, true] {
                let wanted: Vec<String> = programs
                    .iter()
                    .filter(|program| program.truth.cgo == cgo)
                    .filter_map(|program| match prefix {
                        "" => Some(program.name.as_str()).filter(|name| !name.contains('/')),
                        prefix => program.name.strip_prefix(prefix),
                    })
                    .map(|name| format!("./{name}"))
                    .collect();
                if wanted.is_empty() {
                    continue;
                }
                // With a slash at its end `go build -o` takes a folder, also for a single program.
                let folder = variant.folder().join(prefix).join("");
                create_folder(&folder)?;
                let mut command = go.command(None);
                command
                    .args(["build", "-o"])
                    .arg(&folder)
                    .args([
                        "-tags",
                        if variant == Variant::Pprof {
                            "pprof"
                        } else {
                            ""
                        },
                    ])
                    .args(&wanted)
                    .current_dir(crate::root().join("tests/programs").join(module))
                    .env("CGO_ENABLED", if cgo { "1" } else { "0" });
                let what = format!(
                    "building {} programs of {module}, {variant:?}",
                    wanted.len()
                );
                progress::run("corpus", &what, &mut command)?;
            }
        }
    }
    Ok(())
}
