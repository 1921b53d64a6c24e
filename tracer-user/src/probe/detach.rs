//! Taking probes out, beside what goes on: 0.1 s each, in the kernel.
//!
//! A process that ends while one of its threads takes a probe out leaves the breakpoint in the target: the kernel gives
//! up when that thread is killed with the others. So every such thread is known here, and waited for before the end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Those under way. The one thing that belongs to the process and not to a session: it is the process that must not end.
static UNDER_WAY: Mutex<Vec<JoinHandle<()>>> = Mutex::new(Vec::new());

/// Work that takes probes out.
#[derive(Clone, Debug)]
pub struct Detaching(Arc<AtomicBool>);

impl Detaching {
    /// Whether it is done.
    pub fn is_done(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Does `work`, which takes probes out, on a thread of its own.
pub fn in_background(work: impl FnOnce() + Send + 'static) -> Detaching {
    let done = Arc::new(AtomicBool::new(false));
    let detaching = Detaching(Arc::clone(&done));
    let thread = std::thread::spawn(move || {
        work();
        done.store(true, Ordering::Release);
    });
    let mut under_way = UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner);
    under_way.retain(|thread| !thread.is_finished());
    under_way.push(thread);
    detaching
}

/// Waits until all that is under way is done. To be called before the process ends.
pub fn finish() {
    loop {
        let mut under_way = UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(thread) = under_way.pop() else {
            return;
        };
        drop(under_way);
        // A panic in it was told by the hook; there is nothing more to wait for.
        let _ = thread.join();
    }
}
