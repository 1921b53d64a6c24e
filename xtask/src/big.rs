//! `cargo xtask big`: a stripped Go program of real size, in `target/big/big`.
//!
//! Start-up is measured on it, and tests hold it to bounds. It takes a minute or more to build and is built again only when its
//! sources, the flags or the Go release change: a stamp beside it says what it came from.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use object::{Object as _, ObjectSection as _};
use sha2::{Digest as _, Sha256};

use crate::{go::Go, progress::say, user::as_user};

/// The release it is built with: its size depends on it.
const RELEASE: &str = "1.26.6";
/// As gateways are shipped; two at a time, or the compiler takes more memory than small machines have.
const FLAGS: &[&str] = &["-p=2", "-trimpath", "-ldflags=-s -w"];
/// Fewer functions than this are not what the figures are promised for.
const LEAST_FUNCTIONS: u64 = 150_000;

/// Arguments of `cargo xtask big`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Twice the size, as large as the largest gateways are (target/big/larger)
    #[arg(long)]
    larger: bool,
}

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<()> {
    let program = of_size("big", &Go::get()?, args.larger)?;
    let (functions, bytes) = facts(&program)?;
    say(
        "big",
        &format!(
            "{}: {functions} functions, {:.1} MB, stripped",
            program.display(),
            bytes as f64 / 1e6
        ),
    );
    Ok(())
}

/// The program, built if need be.
pub(crate) fn program(task: &str, go: &Go) -> Result<PathBuf> {
    of_size(task, go, false)
}

/// The program of about 190 MB, built if need be.
pub(crate) fn larger(task: &str, go: &Go) -> Result<PathBuf> {
    of_size(task, go, true)
}

fn of_size(task: &str, go: &Go, larger: bool) -> Result<PathBuf> {
    let folder = crate::target_dir().join("big");
    let program = folder.join(if larger { "larger" } else { "big" });
    let stamp_file = program.with_extension("stamp");
    let mut flags = FLAGS.to_vec();
    if larger {
        flags.push("-tags=larger");
    }
    let stamp = stamp(&flags)?;
    if program.exists() && fs::read_to_string(&stamp_file).is_ok_and(|old| old == stamp) {
        return Ok(program);
    }
    fs::remove_file(&stamp_file).ok();
    go.build(task, "big", Some(RELEASE), &flags, &program)?;
    let (functions, _) = facts(&program)?;
    ensure!(
        functions >= LEAST_FUNCTIONS,
        "{} has {functions} functions, fewer than {LEAST_FUNCTIONS}: import more in tests/programs/big",
        program.display()
    );
    let status = as_user(
        std::process::Command::new("sh")
            .args(["-c", "printf %s \"$1\" > \"$2\"", "sh", &stamp])
            .arg(&stamp_file),
    )
    .status()
    .context("cannot run sh")?;
    ensure!(status.success(), "cannot write {}", stamp_file.display());
    Ok(program)
}

/// What the program comes from.
fn stamp(flags: &[&str]) -> Result<String> {
    let source = crate::root().join("tests/programs/big");
    let mut files: Vec<PathBuf> = fs::read_dir(&source)
        .with_context(|| format!("cannot list {}", source.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        hash.update(fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?);
    }
    let digest: Vec<String> = hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(format!(
        "go{RELEASE} {} {}\n",
        flags.join(" "),
        digest.concat()
    ))
}

/// Number of functions, by the header of `.gopclntab`, and size of the file in bytes.
fn facts(program: &Path) -> Result<(u64, u64)> {
    let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    let file = object::File::parse(&*bytes).context("go build writes an ELF file")?;
    let section = file
        .section_by_name(".gopclntab")
        .context("it has no .gopclntab")?;
    let header = section.data()?;
    // Magic, two zero bytes, the instruction's quantum, the pointer's size; then the number of functions.
    let functions = header
        .get(8..16)
        .and_then(|word| Some(u64::from_le_bytes(word.try_into().ok()?)))
        .context(".gopclntab has no header")?;
    Ok((functions, bytes.len() as u64))
}
