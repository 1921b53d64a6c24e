//! Taking probes out, beside what goes on: 0.1 s each, in the kernel.
//!
//! A process that ends while one of its threads takes a probe out leaves the breakpoint in the target: the kernel gives
//! up when that thread is killed with the others. So every such thread is known here, and waited for before the end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Those under way. The one thing that belongs to the process and not to a session: it is the process that must not end.
static UNDER_WAY: Mutex<Vec<JoinHandle<()>>> = Mutex::new(Vec::new());

/// Time between two checks of a removal, which takes 0.1 s.
const POLL: Duration = Duration::from_millis(2);

/// Removal of probes that is under way: the number that is left.
#[derive(Clone, Debug)]
pub struct Detaching(Arc<AtomicUsize>);

impl Detaching {
    /// True once all are removed.
    pub fn is_done(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }

    /// Blocks until all are removed.
    pub fn wait(&self) {
        while !self.is_done() {
            std::thread::sleep(POLL);
        }
    }
}

/// Removes probes, each on a thread of its own: it fires no more within a millisecond, but the kernel needs 0.1 s. One
/// after the other the last would go on to fire until then. The last link is the first to go.
pub fn remove<L: Send + 'static>(links: Vec<L>) -> Detaching {
    let left = Arc::new(AtomicUsize::new(links.len()));
    for link in links.into_iter().rev() {
        let left = Arc::clone(&left);
        spawn(move || {
            drop(link);
            left.fetch_sub(1, Ordering::Release);
        });
    }
    Detaching(left)
}

/// Does `work`, which removes probes, on a thread of its own.
pub fn in_background(work: impl FnOnce() + Send + 'static) {
    spawn(work);
}

fn spawn(work: impl FnOnce() + Send + 'static) {
    let work = Arc::new(Mutex::new(Some(work)));
    let own = Arc::clone(&work);
    let Ok(thread) = std::thread::Builder::new().spawn(move || run_once(&own)) else {
        // No thread can be made (`pids.max`): the probes go all the same, one after the other.
        run_once(&work);
        return;
    };
    let mut under_way = UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner);
    under_way.retain(|thread| !thread.is_finished());
    under_way.push(thread);
}

fn run_once<F: FnOnce()>(work: &Mutex<Option<F>>) {
    let work = work.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(work) = work {
        work();
    }
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
