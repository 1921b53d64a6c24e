//! One file per command.

mod begin;
pub mod diagnose;
pub mod doctor;
pub mod files;
pub mod patience;
pub mod pick;
pub mod ps;
pub mod replay;
pub mod snapshot;
pub mod stdout;
pub mod watch;
