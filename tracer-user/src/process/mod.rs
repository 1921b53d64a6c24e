//! The target process: edges that do I/O and hand over values.

pub mod image;
