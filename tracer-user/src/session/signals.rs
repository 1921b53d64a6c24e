//! The signals that end a watch, and how.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Exit;

/// Caught from its making on: none of these ends heaptop by itself any more, so that the terminal is given
/// back and the probes are taken out.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    quit: Signal,
}

impl Signals {
    /// Catches them.
    ///
    /// # Errors
    /// Where the kernel does not allow it, or no tokio runtime runs.
    pub fn catch() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// How the next one ends heaptop.
    pub async fn next(&mut self) -> Exit {
        tokio::select! {
            _ = self.interrupt.recv() => Exit::Interrupted,
            _ = self.terminate.recv() => Exit::Terminated,
            _ = self.hangup.recv() => Exit::Terminated,
            _ = self.quit.recv() => Exit::Terminated,
        }
    }
}
