//! A stop by SIGTSTP, which Ctrl-Z sends: while heaptop is stopped nobody keeps the budget, so the probes whose cost
//! follows the load are taken out before.
//!
//! SIGSTOP cannot be caught: those probes stay then, and what they cost is not bounded until heaptop goes on.

use std::io;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, raise, sigaction};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::collector::Request;
use crate::ui::terminal;

/// Longest wait for the probes to be out: some 0.1 s each, ten at most, and several times that on a busy machine. Those
/// that are not out by then would stay.
const PATIENCE: Duration = Duration::from_secs(10);

/// Most stops for one that was asked for: who types `bg` so often wants something else.
const MAX_STOPS: usize = 64;

/// Stops as a shell expects it of Ctrl-Z: the whole group, so that what started heaptop (sudo, cargo) stops too.
///
/// # Errors
/// When the kernel refuses.
pub(super) fn ask() -> io::Result<()> {
    Ok(kill(Pid::from_raw(0), Signal::SIGTSTP)?)
}

/// Catches SIGTSTP. To be called before there are probes: one that comes while they are placed waits for [`watch`].
///
/// # Errors
/// When the signal cannot be caught.
pub(super) fn catch() -> io::Result<tokio::signal::unix::Signal> {
    signal(SignalKind::from_raw(Signal::SIGTSTP as i32))
}

/// Waits for SIGTSTP on a task of its own, until the set is dropped: has probes taken out by who reads `requests`, gives
/// the terminal back, and stops. Who has the terminal takes it again by SIGCONT.
///
/// `asked` is that of [`catch`].
pub(super) fn watch(
    mut asked: tokio::signal::unix::Signal,
    requests: mpsc::WeakSender<Request>,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while asked.recv().await.is_some() {
            // One that does not answer in time must not keep the user's shell waiting.
            let resting = tokio::time::timeout(PATIENCE, rest(&requests)).await;
            let _ = terminal::restore();
            let mut stopped = stop_by_default();
            // To take the terminal from the background would stop it once more, with the probes in.
            for _ in 0..MAX_STOPS {
                if !(terminal::has_screen() && terminal::is_in_background()) {
                    break;
                }
                stopped = stop_by_default();
            }
            if let Err(err) = stopped {
                log::warn!("cannot stop: {err}");
            }
            // Asked for again meanwhile: it was stopped.
            while let Ok(Some(())) = tokio::time::timeout(Duration::ZERO, asked.recv()).await {}
            drop(resting);
            // Where nobody could make it go on again (a group without a shell) the kernel has ignored the signal, and
            // nothing else says that the terminal may be taken.
            let _ = raise(Signal::SIGCONT);
        }
    });
    tasks
}

/// Has the probes taken out that nobody would watch, until what is returned is dropped.
async fn rest(requests: &mpsc::WeakSender<Request>) -> Option<oneshot::Sender<()>> {
    let (out, are_out) = oneshot::channel();
    let (resting, rest_ends) = oneshot::channel();
    // Without a collector there are no probes.
    let requests = requests.upgrade()?;
    requests.send(Request::Rest { out, rest_ends }).await.ok()?;
    are_out.await.ok()?;
    Some(resting)
}

/// What SIGTSTP does to a program that does not catch it; comes back when that goes on.
fn stop_by_default() -> Result<(), Errno> {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // By SIGSTOP it would stop for ever where no shell can have it go on.
    let caught = set(&default)?;
    let stopped = raise(Signal::SIGTSTP);
    set(&caught)?;
    stopped
}

#[allow(
    unsafe_code,
    reason = "the default action, or the handler that tokio had set: no new code runs in a signal"
)]
fn set(action: &SigAction) -> Result<SigAction, Errno> {
    // SAFETY: see the reason above.
    unsafe { sigaction(Signal::SIGTSTP, action) }
}
