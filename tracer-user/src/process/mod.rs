//! The target process: edges that do I/O and hand over values.

pub mod anatomy;
pub mod arm;
pub mod cgroup;
pub mod follow;
pub mod go_process;
pub(crate) mod identity;
pub mod image;
pub mod limits;
pub mod list;
pub mod live;
pub mod memory;
mod proc_text;
pub mod resident;
pub mod rights;
pub mod run_dir;
pub mod target;
pub mod wait_status;
