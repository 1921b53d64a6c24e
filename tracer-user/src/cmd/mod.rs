//! One file per command.

pub mod files;
pub mod patience;
pub mod ps;
pub mod snapshot;
pub mod watch;
