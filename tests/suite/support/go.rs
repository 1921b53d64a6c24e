//! Go toolchains and the programs of `tests/programs`, built once for each release and kind.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FlockOperation, flock};

use super::cannot_run;

/// The release for tests that need just one.
pub(crate) const A_RELEASE: &str = "1.26.6";

/// Debian's package of Go 1.19, which spares a download.
const DEBIAN_GO_1_19: &str = "/usr/lib/go-1.19/bin/go";

/// How a program is built. One named `experiment-X` is built with `GOEXPERIMENT=X`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) cgo: bool,
    pub(crate) arguments: &'static [&'static str],
}

pub(crate) const PLAIN: Kind = Kind {
    name: "plain",
    cgo: false,
    arguments: &[],
};
pub(crate) const STRIPPED: Kind = Kind {
    name: "stripped",
    cgo: false,
    arguments: &["-ldflags=-s -w"],
};
pub(crate) const PIE_STRIPPED: Kind = Kind {
    name: "pie-stripped",
    cgo: false,
    arguments: &["-buildmode=pie", "-trimpath", "-ldflags=-s -w"],
};

/// The `go` command of a release; `None` where it is not installed.
pub(crate) fn go(release: &str) -> Option<Command> {
    let command = || {
        if release.starts_with("1.19.") && Path::new(DEBIAN_GO_1_19).exists() {
            Command::new(DEBIAN_GO_1_19)
        } else {
            let mut command = Command::new("go");
            command.env("GOTOOLCHAIN", format!("go{release}"));
            command
        }
    };
    let works = command().arg("version").output().ok()?.status.success();
    works.then(command)
}

/// `tests/programs/PROGRAM`, built; `None` when that release is not here, which was said then.
///
/// The program lies in a folder of its own, so that its name is the program's.
pub(crate) fn fixture(program: &str, release: &str, kind: Kind) -> Option<PathBuf> {
    static BUILT: Mutex<Option<HashMap<String, Option<PathBuf>>>> = Mutex::new(None);
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let built = built.get_or_insert_default();
    let key = format!("go{release}-{}/{program}", kind.name);
    let path = built
        .entry(key)
        .or_insert_with_key(|key| build(program, release, kind, key));
    if path.is_none() {
        cannot_run(&format!("no Go {release} here"));
    }
    path.clone()
}

fn build(program: &str, release: &str, kind: Kind, key: &str) -> Option<PathBuf> {
    let mut go = go(release)?;
    let fixtures = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("fixtures");
    let path = fixtures.join(key);
    std::fs::create_dir_all(path.parent().expect("it has a folder")).expect("a folder to build in");
    // Another run of the suite may build the same.
    let lock = File::create(fixtures.join(".lock")).expect("a lock file");
    flock(&lock, FlockOperation::LockExclusive).expect("a lock");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/programs");
    let experiment = kind.name.strip_prefix("experiment-").unwrap_or_default();
    let status = go
        .arg("build")
        .args(kind.arguments)
        .arg("-o")
        .arg(&path)
        .arg(".")
        .current_dir(source.join(program))
        .env("CGO_ENABLED", if kind.cgo { "1" } else { "0" })
        .env("GOEXPERIMENT", experiment)
        .status()
        .expect("go runs");
    assert!(
        status.success(),
        "go {release} builds {program}, {}",
        kind.name
    );
    Some(path)
}

/// Copies a program. Not by our own hand: another test that starts a process at this very moment would hold
/// the copy open for writing, and it could not be run.
pub(crate) fn copy_program(from: &Path, to: &Path) {
    let status = Command::new("cp").arg(from).arg(to).status();
    assert!(status.expect("cp runs").success(), "room for a copy");
}
