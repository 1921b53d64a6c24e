//! `cargo xtask ebpf`: builds `tracer-ebpf/tracer.bpf.o`, which is checked in, or checks that it is up to date.
//!
//! The object is checked in so that a user needs stable Rust only. Two things keep it honest. `tracer.bpf.o.inputs`
//! beside it records the hash of everything it came from and of its own bytes: a unit test compares that everywhere,
//! without a BPF tool chain. And the build is reproducible: `--check` builds again and compares bytes, from any
//! directory and any cargo home, where the pinned toolchain is there.
//!
//! What makes it reproducible: `-Z trim-paths` (else DWARF, `.BTF` and `.BTF.ext` name the directory), a lock file of the
//! package's own, one pinned rustc whose LLVM bpf-linker uses, and an environment cleared of cargo's overrides.
//! `strip = "debuginfo"` does nothing with bpf-linker and binutils' objcopy refuses BPF, hence the toolchain's own
//! `rust-objcopy`, which keeps `.BTF`.

use std::{
    env,
    ffi::OsString,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

/// The rustc that the checked-in object is built with. Another one gives other bytes. When it changes, [`LINKER_FEATURES`]
/// must name the LLVM major version of the new one (`rustc -vV`).
const RUSTC_RELEASE: &str = "1.95.0";
/// The commit of that release, as `rustc -vV` prints it.
const RUSTC_COMMIT: &str = "59807616e1fa2540724bfbac14d7976d7e4a3860";

/// bpf-linker's version. 0.13 does not build with the LLVM that rustc brings.
const LINKER_VERSION: &str = "0.10.4";
/// Use rustc's own LLVM 22; the default features want a system LLVM.
const LINKER_FEATURES: &str = "rust-llvm-22";

/// `RUSTFLAGS` of the build: BTF is made from debug information.
const RUSTFLAGS: &str = "-Cdebuginfo=2 -Clink-arg=--btf";
const TARGET: &str = "bpfel-unknown-none";
/// Arguments of `cargo build` that decide the bytes.
const CARGO_ARGS: &[&str] = &[
    "--locked",
    "--release",
    "--features=programs",
    "--bin=tracer",
    "--target=bpfel-unknown-none",
    "-Zbuild-std=core",
    "-Ztrim-paths",
    "--config=profile.release.trim-paths=\"all\"",
];
/// What is done to the linked object.
const OBJCOPY_ARGS: &[&str] = &["--strip-debug"];

/// The object and its record, in the repository.
const OBJECT: &str = "tracer-ebpf/tracer.bpf.o";
const INPUTS: &str = "tracer-ebpf/tracer.bpf.o.inputs";

/// Environment variables that would change the build, by their beginning.
const FOREIGN_ENV: &[&str] = &[
    "CARGO_BUILD_",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_INCREMENTAL",
    "CARGO_PROFILE_",
    "CARGO_TARGET_",
    "CARGO_UNSTABLE_",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOCFLAGS",
];

/// Arguments of `cargo xtask ebpf`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Change nothing; fail when the object or its record is not what the sources give
    #[arg(long)]
    check: bool,
    /// Run clippy over the eBPF package instead of building the object
    #[arg(long, conflicts_with = "check")]
    lint: bool,
}

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<()> {
    let root = crate::root();
    if args.check {
        recorded_is_current(root)?;
        step("the record matches the sources, flags, toolchain and object");
    }
    let rustc = Rustc::running()?;
    if !rustc.is_pinned() {
        if args.check {
            step(&format!(
                "bytes not compared: this is {}, the object is built with {RUSTC_RELEASE} \
                 (`cargo +{RUSTC_RELEASE} xtask ebpf --check` compares them)",
                rustc.name
            ));
            return Ok(());
        }
        if !args.lint {
            bail!(
                "cannot build the eBPF object\n  why:  this is {}, and the object must be built with {RUSTC_RELEASE} \
                 ({RUSTC_COMMIT}) to be reproducible\n  next: `rustup toolchain install {RUSTC_RELEASE}`, then \
                 `cargo +{RUSTC_RELEASE} xtask ebpf`",
                rustc.name
            );
        }
    }
    if args.lint {
        return lint(root, &rustc);
    }

    let built = build(root, &rustc)?;
    let (object, inputs) = (root.join(OBJECT), root.join(INPUTS));
    if args.check {
        let recorded = read(&object)?;
        if recorded != built {
            bail!(
                "{OBJECT} is not what its sources give\n  why:  {} bytes with sha256 {} are checked in, the build gives {} \
                 bytes with sha256 {}\n  next: `cargo xtask ebpf`, look at the difference, commit both files",
                recorded.len(),
                sha256(&recorded),
                built.len(),
                sha256(&built)
            );
        }
        step(&format!("{OBJECT}: {} bytes, identical", built.len()));
        return Ok(());
    }
    fs::write(&object, &built).with_context(|| format!("cannot write {}", object.display()))?;
    fs::write(&inputs, record(root, &built)?)
        .with_context(|| format!("cannot write {}", inputs.display()))?;
    step(&format!(
        "{OBJECT}: {} bytes, sha256 {}",
        built.len(),
        sha256(&built)
    ));
    Ok(())
}

/// One hash over everything the object's bytes depend on, as lower-case hex: sources, manifest and lock file of
/// `tracer-ebpf`, flags, and the versions of compiler and linker (those that are pinned here, not those that run).
///
/// Reads the tree under `root` and nothing else.
pub(crate) fn inputs_hash(root: &Path) -> Result<String> {
    Ok(sha256(inputs(root)?.as_bytes()))
}

/// The lines that are hashed, one input each, in a fixed order.
fn inputs(root: &Path) -> Result<String> {
    let package = root.join("tracer-ebpf");
    let mut files = vec!["Cargo.lock".to_owned(), "Cargo.toml".to_owned()];
    rust_files(&package, "src", &mut files)?;
    files.sort();

    let mut lines = String::new();
    writeln!(lines, "rustc {RUSTC_RELEASE} {RUSTC_COMMIT}")?;
    writeln!(lines, "bpf-linker {LINKER_VERSION} {LINKER_FEATURES}")?;
    writeln!(lines, "rustflags {RUSTFLAGS}")?;
    writeln!(lines, "cargo build {}", CARGO_ARGS.join(" "))?;
    writeln!(lines, "rust-objcopy {}", OBJCOPY_ARGS.join(" "))?;
    for file in files {
        writeln!(lines, "{} {file}", sha256(&read(&package.join(&file))?))?;
    }
    Ok(lines)
}

/// Adds every `.rs` file under `package/folder`, as paths relative to `package` with forward slashes.
fn rust_files(package: &Path, folder: &str, files: &mut Vec<String>) -> Result<()> {
    let path = package.join(folder);
    for entry in fs::read_dir(&path).with_context(|| format!("cannot list {}", path.display()))? {
        let entry = entry?;
        let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            rust_files(package, &name, files)?;
        } else if Path::new(&name).extension().is_some_and(|ext| ext == "rs") {
            files.push(name);
        }
    }
    Ok(())
}

/// The text of `tracer.bpf.o.inputs` for this object.
fn record(root: &Path, object: &[u8]) -> Result<String> {
    Ok(format!(
        "# What tracer.bpf.o was built from. Written by `cargo xtask ebpf`; a test of xtask compares it.\n\
         {}inputs {}\nobject {}\n",
        inputs(root)?,
        inputs_hash(root)?,
        sha256(object)
    ))
}

/// Fails when the record differs from what the tree gives, and names the lines that do.
fn recorded_is_current(root: &Path) -> Result<()> {
    let object = read(&root.join(OBJECT))?;
    let recorded = String::from_utf8(read(&root.join(INPUTS))?)
        .with_context(|| format!("{INPUTS} is not text"))?;
    let current = record(root, &object)?;
    if recorded == current {
        return Ok(());
    }
    let differing: Vec<String> = current
        .lines()
        .filter(|line| !recorded.lines().any(|other| other == *line))
        .map(|line| format!("now      {line}"))
        .chain(
            recorded
                .lines()
                .filter(|line| !current.lines().any(|other| other == *line))
                .map(|line| format!("recorded {line}")),
        )
        .collect();
    bail!(
        "{OBJECT} is out of date\n  why:  {INPUTS} differs from the tree:\n        {}\n  next: `cargo xtask ebpf`, and \
         commit both files with the change",
        differing.join("\n        ")
    )
}

/// Builds and strips; returns the object's bytes.
fn build(root: &Path, rustc: &Rustc) -> Result<Vec<u8>> {
    let path = with_linker()?;
    rustc.needs("lib/rustlib/src/rust/library/core/src/lib.rs", "rust-src")?;
    let objcopy = format!("lib/rustlib/{}/bin/rust-objcopy", rustc.host);
    rustc.needs(&objcopy, "llvm-tools")?;

    step("building tracer-ebpf");
    let target_dir = crate::target_dir().join("ebpf");
    let mut cargo = cargo(root, &path, "build");
    cargo
        .args(CARGO_ARGS)
        .arg("--target-dir")
        .arg(&target_dir)
        .env("RUSTFLAGS", RUSTFLAGS);
    finish(&mut cargo)?;

    step("dropping debug sections, keeping .BTF");
    let linked = target_dir.join(TARGET).join("release/tracer");
    let stripped = target_dir.join("tracer.bpf.o");
    finish(
        Command::new(rustc.sysroot.join(objcopy))
            .args(OBJCOPY_ARGS)
            .args([&linked, &stripped])
            .env("LD_LIBRARY_PATH", rustc.sysroot.join("lib")),
    )?;
    read(&stripped)
}

/// Clippy over library and programs; their target and panic handler keep them out of the workspace's run.
fn lint(root: &Path, rustc: &Rustc) -> Result<()> {
    rustc.needs("lib/rustlib/src/rust/library/core/src/lib.rs", "rust-src")?;
    let mut clippy = cargo(root, &env::var_os("PATH").unwrap_or_default(), "clippy");
    clippy
        .args(CARGO_ARGS)
        .arg("--lib")
        .arg("--target-dir")
        .arg(crate::target_dir().join("ebpf"))
        .args(["--", "-D", "warnings"])
        .env("RUSTFLAGS", RUSTFLAGS);
    finish(&mut clippy)
}

/// A cargo command inside `tracer-ebpf`, free of what the environment would change about the bytes.
fn cargo(root: &Path, path: &OsString, subcommand: &str) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.arg(subcommand).current_dir(root.join("tracer-ebpf"));
    for (name, _) in env::vars_os() {
        if FOREIGN_ENV
            .iter()
            .any(|begin| name.to_string_lossy().starts_with(begin))
        {
            cargo.env_remove(name);
        }
    }
    // Stable rustc takes `-Z` flags, and the programs one unstable feature, with this.
    cargo.env("RUSTC_BOOTSTRAP", "1").env("PATH", path);
    cargo
}

/// `PATH` with the pinned bpf-linker first; installs it under the target directory when it is not there.
fn with_linker() -> Result<OsString> {
    let home = crate::target_dir().join(format!("bpf-linker-{LINKER_VERSION}-{LINKER_FEATURES}"));
    let bin = home.join("bin");
    if !bin.join("bpf-linker").exists() {
        step(&format!(
            "installing bpf-linker {LINKER_VERSION} (once, about two minutes)"
        ));
        finish(
            Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
                .args([
                    "install",
                    "--quiet",
                    "--locked",
                    "bpf-linker",
                    "--version",
                    LINKER_VERSION,
                ])
                .args([
                    "--no-default-features",
                    "--features",
                    LINKER_FEATURES,
                    "--root",
                ])
                .arg(&home)
                .env("CARGO_TARGET_DIR", home.join("build"))
                .env_remove("RUSTFLAGS"),
        )?;
        // 600 MB that nothing needs again.
        fs::remove_dir_all(home.join("build")).ok();
    }
    let old = env::var_os("PATH").unwrap_or_default();
    env::join_paths([bin].into_iter().chain(env::split_paths(&old)))
        .context("PATH has an entry with a colon")
}

/// The rustc that runs, as it says itself.
struct Rustc {
    /// First line of `rustc -vV`.
    name: String,
    commit: String,
    host: String,
    sysroot: PathBuf,
}

impl Rustc {
    fn running() -> Result<Rustc> {
        let verbose = output(Command::new("rustc").arg("-vV"))?;
        let field = |name: &str| {
            verbose
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .map(|value| value.trim().to_owned())
                .with_context(|| format!("`rustc -vV` prints no line `{name}`"))
        };
        Ok(Rustc {
            name: verbose.lines().next().unwrap_or_default().to_owned(),
            commit: field("commit-hash:")?,
            host: field("host:")?,
            sysroot: output(Command::new("rustc").args(["--print", "sysroot"]))?
                .trim()
                .into(),
        })
    }

    fn is_pinned(&self) -> bool {
        self.commit == RUSTC_COMMIT
    }

    /// Sees to it that `file` of the toolchain is there, by its rustup component.
    fn needs(&self, file: &str, component: &str) -> Result<()> {
        if self.sysroot.join(file).exists() {
            return Ok(());
        }
        let missing = |why: String| {
            format!(
                "the toolchain at {} has no {component}\n  why:  {why}\n  next: install {component} of {} by the means \
                 that installed the toolchain, or use rustup",
                self.sysroot.display(),
                self.name
            )
        };
        step(&format!("rustup component add {component}"));
        let status = match Command::new("rustup")
            .args(["component", "add", component])
            .status()
        {
            Ok(status) => status,
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                bail!(missing("rustup is not in PATH to add it".to_owned()))
            }
            Err(err) => return Err(err).context("cannot run rustup"),
        };
        if !status.success() || !self.sysroot.join(file).exists() {
            bail!(missing(format!(
                "`rustup component add {component}` did not bring {file}"
            )));
        }
        Ok(())
    }
}

fn step(what: &str) {
    eprintln!("ebpf: {what}");
}

/// Runs a command with its output shown; says how long it took.
fn finish(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let begin = Instant::now();
    let status = command
        .status()
        .with_context(|| format!("cannot run {program}"))?;
    if !status.success() {
        bail!("{program} ended with {status}");
    }
    eprintln!("      {:.1} s", begin.elapsed().as_secs_f64());
    Ok(())
}

fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        bail!(
            "{program} ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("{program} printed something that is not text"))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn sha256(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

#[cfg(test)]
mod tests {
    use object::{Object, ObjectSection, ObjectSymbol};
    use tracer_ebpf::wire::{globals, maps, programs};

    use super::*;

    #[test]
    fn the_checked_in_object_is_recorded_with_its_inputs() {
        recorded_is_current(crate::root()).unwrap();
    }

    #[test]
    fn inputs_hash_is_the_one_recorded() {
        let recorded = fs::read_to_string(crate::root().join(INPUTS)).unwrap();
        let line = format!("inputs {}", inputs_hash(crate::root()).unwrap());
        assert!(
            recorded.lines().any(|recorded| recorded == line),
            "no line `{line}` in {INPUTS}"
        );
    }

    fn all_programs() -> impl Iterator<Item = &'static str> {
        programs::BY_KIND
            .into_iter()
            .chain([programs::LARGE_RESULT])
    }

    /// Without one a kernel that preempts may give two threads one stack: `maps::never_tail_call` of the programs.
    #[test]
    fn each_program_has_a_tail_call() {
        const TAIL_CALL: [u8; 8] = [0x85, 0, 0, 0, 12, 0, 0, 0];
        let bytes = fs::read(crate::root().join(OBJECT)).unwrap();
        let object = object::File::parse(&*bytes).unwrap();
        let code = object.section_by_name("uprobe").unwrap();
        for name in all_programs() {
            let symbol = object.symbols().find(|symbol| symbol.name() == Ok(name));
            let symbol = symbol.unwrap_or_else(|| panic!("no symbol {name}"));
            let from = usize::try_from(symbol.address()).unwrap();
            let len = usize::try_from(symbol.size()).unwrap();
            let instructions = code.data().unwrap()[from..from + len].chunks_exact(8);
            assert!(
                instructions.into_iter().any(|one| one == TAIL_CALL),
                "{name}"
            );
        }
    }

    /// The names are strings to userspace: this is what keeps them from going their own way.
    #[test]
    fn the_object_has_every_name_that_wire_promises() {
        let bytes = fs::read(crate::root().join(OBJECT)).unwrap();
        let object = object::File::parse(&*bytes).unwrap();
        let section_of = |name: &str| {
            let symbol = object.symbols().find(|symbol| symbol.name() == Ok(name));
            let index = symbol
                .unwrap_or_else(|| panic!("no symbol {name}"))
                .section_index()
                .unwrap();
            object
                .section_by_index(index)
                .unwrap()
                .name()
                .unwrap()
                .to_owned()
        };
        for name in all_programs() {
            assert_eq!(section_of(name), "uprobe", "{name}");
        }
        for name in [maps::EVENTS, maps::LOST, maps::HITS] {
            assert_eq!(section_of(name), "maps", "{name}");
        }
        for name in [
            globals::PROFILE_KIND,
            globals::SPECIAL_KIND_OFFSET,
            globals::SPECIAL_BUCKET_OFFSET,
            globals::JBE_FILTER,
            globals::LOG,
        ] {
            assert_eq!(section_of(name), ".rodata", "{name}");
        }
        assert_eq!(
            object.section_by_name("license").unwrap().data().unwrap(),
            b"Dual MIT/GPL\0"
        );
        assert!(object.section_by_name(".BTF").is_some());
    }

    #[test]
    fn the_object_names_no_path_of_a_machine() {
        let bytes = fs::read(crate::root().join(OBJECT)).unwrap();
        for path in ["/home/", "/root/", "/Users/", "/tmp/", ".cargo"] {
            let found = bytes
                .windows(path.len())
                .any(|window| window == path.as_bytes());
            assert!(!found, "{OBJECT} contains {path}");
        }
    }
}
