//! The project's tasks: `cargo xtask --help`.

mod attaches;
mod bench;
mod big;
mod build;
mod ci;
mod corpus;
mod demo;
mod ebpf;
mod gateway;
mod go;
mod licences;
mod matrix;
mod mixed;
mod nightly;
mod offsets;
mod processes;
mod progress;
mod simulate;
mod test;
mod torture;
mod trace;
mod traps;
mod user;
mod vm;
mod watch;
mod wild;

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's tasks")]
enum Task {
    /// Show heaptop on a gateway that leaks: builds both, makes load, opens the screen
    Demo(demo::Args),
    /// Run all tests, also those with real probes on real Go processes
    Test(test::Args),
    /// Measure what heaptop costs and how fast it is
    Bench(bench::Args),
    /// Run everything that decides whether a change is good
    Ci(ci::Args),
    /// Run the checks that take too long for `ci`
    Nightly(ci::Args),
    /// Build a stripped Go program of real size
    Big(big::Args),
    /// Build the eBPF object that is checked in, or check that it is what its sources give
    Ebpf(ebpf::Args),
    /// Run heaptop in virtual machines, one per kernel
    Vm(vm::Args),
    /// Compare what heaptop says with the truth, for every Go release, build and source
    Matrix(matrix::Args),
    /// Attach, detach, arm, kill: whatever heaptop may do to a process, at the worst moments
    Torture(torture::Args),
    /// Run heaptop on servers that nobody here wrote, under load
    Wild(wild::Args),
    /// Ask heaptop of many small programs whether they leak, and compare with what is true
    Corpus(corpus::Args),
    /// Record the demo gateway with each of its leaks, and count the verdicts over many attaches
    Attaches(attaches::Args),
    /// Count the verdicts of heaptop on simulated processes of known truth
    Simulate(simulate::Args),
    /// Watch a process and write every event to a file
    Trace(trace::TraceArgs),
    /// Print the verdicts of a trace, evaluation by evaluation
    Replay(trace::ReplayArgs),
    /// Write the table of Go's struct offsets from the DWARF of real toolchains
    Offsets(offsets::Args),
}

fn main() -> ExitCode {
    let done = match Task::parse() {
        Task::Demo(args) => demo::run(&args),
        Task::Test(args) => test::run(&args).map(succeeded),
        Task::Bench(args) => bench::run(&args).map(succeeded),
        Task::Ci(args) => ci::run(&args).map(succeeded),
        Task::Nightly(args) => nightly::run(&args).map(succeeded),
        Task::Big(args) => big::run(&args).map(succeeded),
        Task::Ebpf(args) => ebpf::run(&args).map(succeeded),
        Task::Vm(args) => vm::run(&args).map(succeeded),
        Task::Matrix(args) => matrix::run(&args).map(succeeded),
        Task::Torture(args) => torture::run(&args).map(succeeded),
        Task::Wild(args) => wild::run(&args).map(succeeded),
        Task::Corpus(args) => corpus::run(&args),
        Task::Attaches(args) => attaches::run(&args).map(succeeded),
        Task::Simulate(args) => simulate::run(&args),
        Task::Trace(args) => trace::trace(&args),
        Task::Replay(args) => trace::replay(&args),
        Task::Offsets(args) => offsets::run(&args).map(succeeded),
    };
    done.unwrap_or_else(|err| {
        eprintln!("xtask: {err:#}");
        ExitCode::FAILURE
    })
}

fn succeeded((): ()) -> ExitCode {
    ExitCode::SUCCESS
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

/// Days since 1970: what continuous integration cannot do every time it does on one of them.
pub(crate) fn today() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() / 86_400)
}
