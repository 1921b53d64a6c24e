//! What goes to the terminal, on a thread of its own: a terminal that does not read (a stalled connection) keeps that
//! thread waiting and nobody else. Signals are heard meanwhile, batches are applied, and what is not drawn is drawn later.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::termios::{FlowArg, FlushArg, tcflow, tcflush};
use rustix::event::PollFlags;

use crate::readiness::is_ready;

/// How often a terminal that is waited for is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Bytes of one write: so many at most are written behind what was given up.
const CHUNK_BYTES: usize = 256;

/// Pieces that are handed over and not yet written. Of the process, as the terminal is: who gives it back in a panic
/// has no [`Output`].
static UNWRITTEN: AtomicUsize = AtomicUsize::new(0);

/// What is still to be written is not worth it any more: the terminal was given back without it.
static IS_GIVEN_UP: AtomicBool = AtomicBool::new(false);

/// Whether something is still on its way to the terminal.
pub(super) fn is_writing() -> bool {
    UNWRITTEN.load(Ordering::Acquire) > 0
}

/// Waits until all is written, no longer than `patience`; whether it is.
pub(super) fn is_written(patience: Duration) -> bool {
    wait(patience, || !is_writing())
}

/// Waits until all is written and the terminal takes more, no longer than `patience`; whether it does.
pub(super) fn settles(patience: Duration) -> bool {
    wait(patience, || {
        // One that is gone says so by the write.
        !is_writing() && is_ready(io::stdout(), PollFlags::OUT).unwrap_or(false)
    })
}

fn wait(patience: Duration, is_so: impl Fn() -> bool) -> bool {
    until(patience, || is_so().then_some(())).is_some()
}

/// Looks every few milliseconds until there is something, no longer than `patience`.
pub(super) fn until<T>(patience: Duration, look: impl Fn() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    loop {
        let found = look();
        if found.is_some() || begun.elapsed() >= patience {
            return found;
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// The terminal was taken again: what is handed over from now on is written.
pub(super) fn begin() {
    IS_GIVEN_UP.store(false, Ordering::Release);
}

/// Drops what is on its way to a terminal that does not take it, until [`begin`], and writes `bytes` in its place, if they
/// are taken within `patience`.
pub(super) fn write_instead(bytes: &[u8], patience: Duration) -> io::Result<()> {
    IS_GIVEN_UP.store(true, Ordering::Release);
    // Another description of the same terminal: whoever shares ours expects it to wait.
    let terminal = OpenOptions::new()
        .write(true)
        .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY)
        .open("/proc/self/fd/1");
    let Ok(terminal) = terminal else {
        return Ok(()); // Somebody else's: there is no other way to it.
    };
    // The thread has its turn first: it holds the terminal until what it is writing is taken, or dropped.
    let written = until(patience, || {
        // A flush alone wakes nobody who waits for room in a pty, to start again does.
        let dropped = tcflush(&terminal, FlushArg::TCOFLUSH)
            .and_then(|()| tcflow(&terminal, FlowArg::TCOOFF))
            .and_then(|()| tcflow(&terminal, FlowArg::TCOON));
        let written = dropped.map_err(io::Error::from);
        match written.and_then(|()| (&terminal).write_all(bytes)) {
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => None,
            other => Some(other),
        }
    });
    // Nobody reads: there is nobody to tell either.
    written.unwrap_or(Ok(()))
}

/// Collects what is written; a flush hands it to the thread.
#[derive(Debug)]
pub(super) struct Output {
    piece: Vec<u8>,
    /// Never many: nothing is drawn while one waits, and keys that copy come from the terminal that does not read.
    pieces: mpsc::Sender<Vec<u8>>,
    /// Why the last write failed, until it is told.
    failed: Arc<Mutex<Option<io::Error>>>,
}

impl Output {
    /// Over standard output. Its thread ends when it is dropped, or with the process.
    ///
    /// # Errors
    /// Without a descriptor or a thread left.
    pub(super) fn start() -> io::Result<Self> {
        // Not through `Stdout`: who waits in a write would hold its lock, and no other could give the terminal back.
        let mut terminal = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let (pieces, handed_over) = mpsc::channel::<Vec<u8>>();
        let failed = Arc::new(Mutex::new(None));
        let told = Arc::clone(&failed);
        let write = move || {
            for piece in handed_over {
                if let Err(err) = write_unless_given_up(&mut terminal, &piece) {
                    *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(err);
                }
                UNWRITTEN.fetch_sub(1, Ordering::Release);
            }
        };
        thread::Builder::new()
            .name("terminal".into())
            .spawn(write)?;
        Ok(Self {
            piece: Vec::new(),
            pieces,
            failed,
        })
    }
}

fn write_unless_given_up(terminal: &mut File, piece: &[u8]) -> io::Result<()> {
    for bytes in piece.chunks(CHUNK_BYTES) {
        if IS_GIVEN_UP.load(Ordering::Acquire) {
            break;
        }
        terminal.write_all(bytes)?;
    }
    Ok(())
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    /// Hands over what was collected; an error is that of an earlier piece.
    fn flush(&mut self) -> io::Result<()> {
        let failed = self.failed.lock();
        if let Some(err) = failed.unwrap_or_else(PoisonError::into_inner).take() {
            return Err(err);
        }
        if self.piece.is_empty() {
            return Ok(());
        }
        UNWRITTEN.fetch_add(1, Ordering::AcqRel);
        let sent = self.pieces.send(std::mem::take(&mut self.piece));
        sent.map_err(|_| {
            UNWRITTEN.fetch_sub(1, Ordering::AcqRel);
            io::ErrorKind::BrokenPipe.into()
        })
    }
}
