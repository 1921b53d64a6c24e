//! heaptop: live heap growth per call site of a running Go process.
//!
//! Data flows one way: probe → decode → model → view → render or export. The modules in reading order:
//!
//! Pure, without I/O: [`go`] reads Go binaries and runtimes.

pub mod go;
pub mod plan;
pub mod process;
pub mod refusal;
