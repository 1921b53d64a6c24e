//! heaptop: parse, run, print the error, exit.

use std::process::ExitCode;

use clap::Parser as _;
use heaptop::cli::Cli;

fn main() -> ExitCode {
    match heaptop::run(Cli::parse()) {
        Ok(exit) => exit.into(),
        Err(err) => {
            eprintln!("heaptop: {err:#}");
            heaptop::exit::Exit::CouldNot.into()
        }
    }
}
