//! Waiting on a descriptor of the kernel's: the ring, the pidfd, the terminal.

use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers a descriptor that becomes readable, with tokio.
#[allow(
    unsafe_code,
    reason = "tokio cannot know what a type of ours does with its descriptor"
)]
pub(crate) fn readable(fd: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` names one open descriptor from its creation to its drop, and `AsyncFd` deregisters before it
    // drops it.
    let registered = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    registered.map_err(|err| err.into_parts().1)
}
