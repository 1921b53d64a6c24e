//! The terminal's input: waits for bytes and hands over what they mean, and tells of another size.
//!
//! The descriptor may be shared with a shell, so that it stays as it is: blocking. It is read only when there is
//! something to read.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::event::PollFlags;
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::keys::Parser;
use crate::readiness::{is_ready, readable};
use crate::view::input::Input;

/// Bytes of one read: more than a hand types, less than a paste, which comes in pieces.
const READ_BYTES: usize = 1024;

/// The keyboard and the mouse.
#[derive(Debug)]
pub struct Keyboard {
    terminal: AsyncFd<OwnedFd>,
    resized: Signal,
    parser: Parser,
    inputs: VecDeque<Input>,
}

impl Keyboard {
    /// The terminal's input: standard input, or where that is something else the controlling terminal.
    ///
    /// # Errors
    /// Where there is none, or outside of a tokio runtime.
    pub fn open() -> io::Result<Self> {
        let stdin = io::stdin();
        let terminal = if stdin.is_terminal() {
            stdin.as_fd().try_clone_to_owned()?
        } else {
            File::open("/dev/tty")?.into()
        };
        Ok(Self {
            terminal: readable(terminal)?,
            resized: signal(SignalKind::window_change())?,
            parser: Parser::default(),
            inputs: VecDeque::new(),
        })
    }

    /// The next input; `None` when the terminal is gone. Nothing is lost where this is dropped before it is done.
    ///
    /// # Errors
    /// When the terminal cannot be read.
    pub async fn next(&mut self) -> io::Result<Option<Input>> {
        loop {
            if let Some(input) = self.inputs.pop_front() {
                return Ok(Some(input));
            }
            let patience = self.parser.patience();
            let unfinished = async {
                match patience {
                    Some(patience) => tokio::time::sleep(patience).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = self.resized.recv() => {
                    let (columns, rows) = crossterm::terminal::size()?;
                    return Ok(Some(Input::Resize(columns, rows)));
                }
                ready = self.terminal.readable() => {
                    let mut ready = ready?;
                    if !is_ready(ready.get_inner(), PollFlags::IN)? {
                        // A blocking read of nothing would never come back.
                        ready.clear_ready();
                        continue;
                    }
                    let mut bytes = [0; READ_BYTES];
                    let n = match rustix::io::read(ready.get_inner(), &mut bytes) {
                        Ok(0) => return Ok(None),
                        Ok(n) => n,
                        Err(Errno::INTR | Errno::AGAIN) => continue,
                        Err(err) => return Err(err.into()),
                    };
                    let mut inputs = Vec::new();
                    self.parser.read(&bytes[..n], &mut inputs);
                    self.inputs.extend(inputs);
                }
                () = unfinished => self.inputs.extend(self.parser.give_up()),
            }
        }
    }
}
