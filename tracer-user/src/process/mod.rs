//! The target process: edges that do I/O and hand over values.

pub mod arm;
pub mod follow;
pub mod go_process;
pub(crate) mod identity;
pub mod image;
pub mod list;
pub mod live;
pub mod memory;
pub mod rights;
pub mod run_dir;
pub mod target;
