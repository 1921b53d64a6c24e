//! Tests with real probes or real load run one at a time, or they would measure each other.

use std::sync::{Mutex, MutexGuard, PoisonError};

static TURN: Mutex<()> = Mutex::new(());

/// Waits for its turn; the turn ends when the guard is dropped.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    // A test that failed has no hold on the others.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether probes can be placed here; says why not.
pub(crate) fn can_probe() -> bool {
    let may = nix::unistd::Uid::effective().is_root();
    if !may {
        super::cannot_run("probes need root");
    }
    may
}
