//! What goes to the terminal, on a thread of its own: a terminal that does not read (a stalled connection) keeps that
//! thread waiting and nobody else. Signals are heard meanwhile, batches are applied, and what is not drawn is drawn later.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How often a terminal that is waited for is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Pieces that are handed over and not yet written. Of the process, as the terminal is: who gives it back in a panic
/// has no [`Output`].
static UNWRITTEN: AtomicUsize = AtomicUsize::new(0);

/// Whether something is still on its way to the terminal.
pub(super) fn is_writing() -> bool {
    UNWRITTEN.load(Ordering::Acquire) > 0
}

/// Waits until all is written and the terminal takes more, no longer than `patience`; whether it does.
pub(super) fn settles(patience: Duration) -> bool {
    let begun = Instant::now();
    loop {
        if !is_writing() && takes_more() {
            return true;
        }
        if begun.elapsed() >= patience {
            return false;
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Whether a few bytes would be written at once. A terminal that is gone says so by the write.
fn takes_more() -> bool {
    const AT_ONCE: Timespec = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let stdout = io::stdout();
    let mut fds = [PollFd::new(&stdout, PollFlags::OUT)];
    poll(&mut fds, Some(&AT_ONCE)).is_ok_and(|n| n > 0)
}

/// Collects what is written; a flush hands it to the thread.
#[derive(Debug)]
pub(super) struct Output {
    piece: Vec<u8>,
    pieces: mpsc::Sender<Vec<u8>>,
    /// Why the last write failed, until it is told.
    failed: Arc<Mutex<Option<io::Error>>>,
}

impl Output {
    /// Over standard output. Its thread ends with it.
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
                if let Err(err) = terminal.write_all(&piece) {
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
