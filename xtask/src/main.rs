//! The project's tasks: `cargo xtask --help`.

mod offsets;

use std::{path::Path, process::ExitCode};

use clap::Parser;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's tasks")]
enum Task {
    /// Write the table of Go's struct offsets from the DWARF of real toolchains
    Offsets(offsets::Args),
}

fn main() -> ExitCode {
    let done = match Task::parse() {
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
