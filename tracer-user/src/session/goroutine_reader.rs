//! The edge of goroutines: reads all of them from time to time, on a thread of its own, so that the ring is drained
//! meanwhile.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until};

use super::edge::Edge;
use crate::clock::{monotonic_ns, thread_cpu_ns};
use crate::event::{Event, GoroutinesRead};
use crate::go::goroutines::{self, AllGoroutines};
use crate::go::program::Program;
use crate::process::image::Image;
use crate::process::memory::LiveMemory;

/// The first reading comes so long after the first rows, which it must not hold up.
const FIRST_AFTER: Duration = Duration::from_millis(300);
/// Readings come at most so often,
const LEAST_INTERVAL: Duration = Duration::from_secs(5);
/// and at least so often;
const MOST_INTERVAL: Duration = Duration::from_secs(60);
/// in between they take 0.2 % of a core: heaptop rests so many times what a reading took of a CPU.
const REST_PER_READ: u32 = 500;
/// Expansions of return addresses that are kept: stacks are mostly the same from one reading to the next.
const MAX_EXPANDED: usize = 1 << 13;

/// Reads goroutines on a schedule.
#[derive(Debug)]
pub(super) struct GoroutineReader {
    due: Instant,
    state: State,
}

#[derive(Debug)]
enum State {
    Resting(Box<Work>),
    Reading(JoinHandle<(Box<Work>, Done)>),
    /// The thread has panicked: goroutines stay as they were.
    Gone,
}

/// What a reading needs, and what it leaves to the next.
#[derive(Debug)]
struct Work {
    program: Arc<Program>,
    image: Arc<Image>,
    live: LiveMemory,
    shift: Option<u32>,
    expanded: HashMap<u64, Vec<u64>>,
}

/// A reading that is done.
#[derive(Debug)]
struct Done {
    at_ns: u64,
    took_ns: u64,
    cpu_ns: u64,
    found: Result<AllGoroutines, String>,
}

impl GoroutineReader {
    pub(super) fn new(edge: &Edge) -> Self {
        let work = Work {
            program: edge.go.program.clone(),
            image: edge.go.image.clone(),
            live: edge.go.memory(),
            shift: None,
            expanded: HashMap::new(),
        };
        Self {
            due: Instant::now() + FIRST_AFTER,
            state: State::Resting(Box::new(work)),
        }
    }

    /// The next reading, once it is due and done. May be dropped and called again: nothing is lost.
    pub(super) async fn next(&mut self) -> Event {
        loop {
            match &mut self.state {
                State::Resting(_) => {
                    sleep_until(self.due).await;
                    let resting = std::mem::replace(&mut self.state, State::Gone);
                    if let State::Resting(mut work) = resting {
                        self.state = State::Reading(spawn_blocking(move || {
                            let done = work.read();
                            (work, done)
                        }));
                    }
                }
                State::Reading(reading) => match reading.await {
                    Ok((work, done)) => {
                        self.state = State::Resting(work);
                        return Event::Goroutines(self.told(done));
                    }
                    Err(err) => {
                        log::error!("goroutines: {err}");
                        self.state = State::Gone;
                    }
                },
                State::Gone => std::future::pending().await,
            }
        }
    }

    fn told(&mut self, done: Done) -> GoroutinesRead {
        let rest = Duration::from_nanos(done.cpu_ns).saturating_mul(REST_PER_READ);
        let rest = rest.clamp(LEAST_INTERVAL, MOST_INTERVAL);
        self.due = Instant::now() + rest;
        let rest_ns = u64::try_from(rest.as_nanos()).unwrap_or(u64::MAX);
        GoroutinesRead {
            at_ns: done.at_ns,
            took_ns: done.took_ns,
            next_ns: monotonic_ns().saturating_add(rest_ns),
            found: done.found.map_err(Into::into),
        }
    }
}

impl Work {
    fn read(&mut self) -> Done {
        let (at_ns, cpu_ns) = (monotonic_ns(), thread_cpu_ns());
        let (facts, vars) = (self.program.facts, &self.program.vars);
        let mut found = goroutines::read(&self.live, facts, vars, self.shift);
        if let Ok(found) = &mut found {
            self.shift = Some(found.tracked.shift);
            for group in &mut found.groups {
                if let Some(oldest) = &mut group.oldest {
                    oldest.pcs = self.expand(&oldest.pcs);
                }
            }
        }
        Done {
            at_ns,
            took_ns: monotonic_ns().saturating_sub(at_ns),
            cpu_ns: thread_cpu_ns().saturating_sub(cpu_ns),
            found,
        }
    }

    /// The pcs of the logical frames of a stack.
    fn expand(&mut self, return_pcs: &[u64]) -> Vec<u64> {
        let Self {
            program,
            image,
            live,
            expanded,
            ..
        } = self;
        if expanded.len() > MAX_EXPANDED {
            expanded.clear();
        }
        let mut pcs = Vec::with_capacity(2 * return_pcs.len());
        for &return_pc in return_pcs {
            let calls = expanded
                .entry(return_pc)
                .or_insert_with(|| program.expand(&**image, live, &[return_pc]));
            pcs.extend_from_slice(calls);
        }
        pcs
    }
}
