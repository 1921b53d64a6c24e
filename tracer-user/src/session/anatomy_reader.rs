//! Reads where the target's memory lies, on a thread of its own: a read of a large heap takes some 100 ms, and the ring
//! is not to wait for it.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::clock::thread_cpu_ns;
use crate::event::AnatomyRead;
use crate::process::anatomy::AnatomyReader;
use crate::process::go_process::GoProcess;

/// Between two reads, at least.
const EVERY: Duration = Duration::from_secs(5);
/// And at most: a heap of 100 GiB costs more than its share then.
const MAX_REST: Duration = Duration::from_secs(120);
/// After a read the thread rests so many times what that took of a CPU: reads take 0.2 % of it.
const REST_PER_READ: u32 = 500;
/// Reads that may wait for the collector.
const MAX_WAITING: usize = 1;

/// Number of the read that brings the functions which can take memory outside Go.
const CALLS_OUT_READ: u64 = 2;

/// The thread that reads. It ends when this is dropped, behind the read it is at.
#[derive(Debug)]
pub(super) struct AnatomyReads {
    reads: mpsc::Receiver<Box<AnatomyRead>>,
    _stop: Sender<()>,
}

impl AnatomyReads {
    /// Starts to read; the first is made at once.
    pub(super) fn start(go: &GoProcess) -> Self {
        let reader = AnatomyReader::new(go);
        let (send, reads) = mpsc::channel(MAX_WAITING);
        let (stop, stopped) = channel::<()>();
        let run = move || {
            let mut n_reads = 0;
            let mut calls_out = None;
            loop {
                // The first screen waits for the first read. This search runs once, even if the read fails, so that it adds
                // no rest.
                if n_reads + 1 == CALLS_OUT_READ {
                    calls_out.get_or_insert_with(|| reader.calls_out());
                }
                let begin = thread_cpu_ns();
                match reader.read() {
                    Ok(mut read) => {
                        n_reads += 1;
                        read.calls_out = calls_out.take();
                        if send.blocking_send(Box::new(read)).is_err() {
                            return;
                        }
                    }
                    // The target is ending; the collector notices.
                    Err(err) => log::debug!("anatomy: {err}"),
                }
                let cpu = Duration::from_nanos(thread_cpu_ns().saturating_sub(begin));
                let rest = cpu.saturating_mul(REST_PER_READ).clamp(EVERY, MAX_REST);
                if stopped.recv_timeout(rest) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("anatomy".into());
        if let Err(err) = thread.spawn(run) {
            log::warn!("no thread for the anatomy: {err}");
        }
        Self { reads, _stop: stop }
    }

    /// The next read; never, if there is none to come.
    pub(super) async fn next(&mut self) -> Box<AnatomyRead> {
        match self.reads.recv().await {
            Some(read) => read,
            None => std::future::pending().await,
        }
    }
}
