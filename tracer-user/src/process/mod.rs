//! The target process: edges that do I/O and hand over values.

pub mod go_process;
pub mod image;
pub mod live;
pub mod memory;
pub mod target;
