//! One file per command.

pub mod files;
pub mod snapshot;
pub mod watch;
