//! Waiting on a descriptor of the kernel's: the ring, the pidfd, the terminal.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Whether what `events` stands for could be done at once: no wait is needed, or the other side is gone.
pub(crate) fn is_ready(fd: impl AsFd, events: PollFlags) -> std::io::Result<bool> {
    const AT_ONCE: Timespec = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut fds = [PollFd::new(&fd, events)];
    match poll(&mut fds, Some(&AT_ONCE)) {
        Ok(n) => Ok(n > 0),
        Err(Errno::INTR) => Ok(false),
        Err(err) => Err(err.into()),
    }
}

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
