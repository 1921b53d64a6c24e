//! heaptop: parse, run, print the error, exit.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use heaptop::cli::Cli;

fn main() -> ExitCode {
    match heaptop::run(Cli::parse()) {
        Ok(exit) => exit.into(),
        Err(err) => {
            // The terminal may be what is gone: then there is nobody to tell, and that is no panic.
            let _ = writeln!(std::io::stderr(), "heaptop: {err:#}");
            heaptop::exit::Exit::CouldNot.into()
        }
    }
}
