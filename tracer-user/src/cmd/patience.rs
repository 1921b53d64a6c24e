//! A word on standard error when something takes longer than it usually does.

use std::io::IsTerminal as _;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Nothing is said before: most attaches are done by then.
const QUIET: Duration = Duration::from_millis(300);

/// Says `text` if it is not dropped soon. Says nothing where standard error is no terminal.
pub struct Patience {
    _until: Option<Sender<()>>,
}

impl Patience {
    /// Begins to wait.
    pub fn new(text: String) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self { _until: None };
        }
        let (until, done) = channel::<()>();
        std::thread::spawn(move || {
            if done.recv_timeout(QUIET) == Err(RecvTimeoutError::Timeout) {
                eprintln!("{text}");
            }
        });
        Self {
            _until: Some(until),
        }
    }
}
