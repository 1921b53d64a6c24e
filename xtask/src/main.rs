//! The project's tasks: `cargo xtask --help`.

mod ebpf;
mod offsets;
mod vm;

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's tasks")]
enum Task {
    /// Build the eBPF object that is checked in, or check that it is what its sources give
    Ebpf(ebpf::Args),
    /// Run heaptop in virtual machines, one per kernel
    Vm(vm::Args),
    /// Write the table of Go's struct offsets from the DWARF of real toolchains
    Offsets(offsets::Args),
}

fn main() -> ExitCode {
    let done = match Task::parse() {
        Task::Ebpf(args) => ebpf::run(&args),
        Task::Vm(args) => vm::run(&args),
        Task::Offsets(args) => offsets::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("xtask: {err:#}");
            ExitCode::FAILURE
        }
    }
}

/// The repository, as it was when this program was compiled.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is a folder of the repository")
}

/// Where build products go: `CARGO_TARGET_DIR`, else `target` in the repository.
pub(crate) fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}
