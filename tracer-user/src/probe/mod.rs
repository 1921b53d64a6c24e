//! The kernel side from userspace: load the object, attach by a plan, drain the ring, detach.
//!
//! Nothing here decides where a probe sits: that is [`crate::plan`], which is pure. A detach costs the
//! kernel about 0.1 s per probe, so it never happens on the path of a key or of the screen.

mod attach;
pub mod calibrate;
pub mod detach;
pub mod fuse;
pub mod leftovers;
mod load;
mod task_layout;

pub use attach::{Counts, Probes, SeenEnd};
pub use load::{AllocLayout, AllocSettings, EndSettings, LoadSettings, Loader};
pub use task_layout::TaskLayout;
