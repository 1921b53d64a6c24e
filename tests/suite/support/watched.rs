//! heaptop inside of the test's own process: a session whose model can be looked at.

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use heaptop::clock::monotonic_ns;
use heaptop::event::Event;
use heaptop::go::buckets::{self, Counts, MemRecord, NewBucket};
use heaptop::model::Model;
use heaptop::process::go_process::GoProcess;
use heaptop::refusal::Refusal;
use heaptop::session::{AttachSettings, Session};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use super::PATIENCE;

/// A target that this process watches. Detaches when dropped.
#[derive(Debug)]
pub(crate) struct Watched {
    runtime: Runtime,
    session: Option<Session>,
}

impl Watched {
    pub(crate) fn attach(pid: u32, settings: &AttachSettings) -> Result<Self, Refusal> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let session = runtime.block_on(Session::attach(pid, settings))?;
        Ok(Self {
            runtime,
            session: Some(session),
        })
    }

    /// With probes and no other wish.
    pub(crate) fn by_probes(pid: u32) -> Self {
        let watched = Self::attach(pid, &AttachSettings::default());
        watched.unwrap_or_else(|refusal| panic!("{refusal}"))
    }

    pub(crate) fn model(&self) -> &Model {
        self.session.as_ref().expect("attached").model()
    }

    /// Follows the target while `work` is done on another thread.
    pub(crate) fn during<T: Send>(&mut self, work: impl FnOnce() -> T + Send) -> T {
        let session = self.session.as_mut().expect("attached");
        thread::scope(|scope| {
            let (done, mut ended) = oneshot::channel::<()>();
            let worker = scope.spawn(move || {
                // Dropped when the work is done, also by a panic.
                let _done = done;
                work()
            });
            self.runtime.block_on(async {
                loop {
                    tokio::select! {
                        _ = &mut ended => return,
                        more = session.turn() => assert!(more, "the target has ended"),
                    }
                }
            });
            worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Follows the target until the model is as wanted.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, wanted: impl FnMut(&Model) -> bool) {
        self.within(PATIENCE, what, wanted);
    }

    /// The same, with more patience.
    #[track_caller]
    pub(crate) fn within(
        &mut self,
        patience: Duration,
        what: &str,
        mut wanted: impl FnMut(&Model) -> bool,
    ) {
        let session = self.session.as_mut().expect("attached");
        let reached = self.runtime.block_on(async {
            tokio::time::timeout(patience, async {
                while !wanted(session.model()) {
                    assert!(session.turn().await, "the target has ended before {what}");
                }
            })
            .await
        });
        assert!(reached.is_ok(), "waited {patience:?} for {what}");
    }

    /// Follows the target for a while: for load that has no end of its own.
    pub(crate) fn for_a_while(&mut self, time: Duration) {
        self.during(|| thread::sleep(time));
    }

    /// Follows until every record made so far is in the model.
    pub(crate) fn catch_up(&mut self) {
        let now_ns = monotonic_ns();
        self.until("the present", |model| model.now_ns() > now_ns);
    }

    /// Follows until every record is in the model and every bucket has been compared.
    pub(crate) fn settle(&mut self) {
        self.catch_up();
        self.until("all buckets compared", |model| model.waiting_repairs() == 0);
    }

    pub(crate) fn totals(&self) -> HashMap<u64, Counts> {
        self.model().bucket_totals().collect()
    }

    /// From now on growth counts from here.
    pub(crate) fn mark_baseline(&mut self) {
        let session = self.session.as_mut().expect("attached");
        let at_ns = monotonic_ns();
        session.apply(vec![Event::MarkBaseline { at_ns }]);
    }

    /// The profile of this moment, as the rows show it.
    pub(crate) fn pprof(&mut self) -> Vec<u8> {
        let session = self.session.as_mut().expect("attached");
        session.pprof().expect("memory to write to")
    }

    /// Detaches, and waits until that is done.
    pub(crate) fn detach(mut self) {
        let session = self.session.take().expect("attached");
        self.runtime
            .block_on(session.end())
            .expect("the collector ran to the end");
    }
}

/// The target's buckets, read by ourselves.
#[derive(Debug)]
pub(crate) struct Buckets(pub(crate) GoProcess);

impl Buckets {
    pub(crate) fn of(pid: u32) -> Self {
        Self(GoProcess::open(pid).expect("a Go process"))
    }

    /// Every bucket with its counters as they are in memory.
    pub(crate) fn read(&self) -> Vec<(NewBucket, MemRecord)> {
        let memory = self.0.memory();
        let (found, omitted) =
            buckets::walk(&memory, self.0.program.vars.mbuckets, 0).expect("a list of buckets");
        assert_eq!(omitted, 0);
        let records = buckets::read_records(&memory, self.0.program.facts.record, &found);
        found.into_iter().zip(records.expect("counters")).collect()
    }

    /// All samples up to now, by address of the bucket.
    pub(crate) fn totals(&self) -> HashMap<u64, Counts> {
        let read = self.read();
        read.iter()
            .map(|(bucket, record)| (bucket.addr, record.now()))
            .collect()
    }
}

/// Follows until the target rests; then what the events say must be what its buckets say, each one.
/// Returns the number of buckets.
#[track_caller]
pub(crate) fn assert_equal_at_rest(watched: &mut Watched, buckets: &Buckets) -> usize {
    const TRIES: usize = 10;
    for _ in 0..TRIES {
        watched.settle();
        let first = buckets.totals();
        watched.settle();
        if buckets.totals() != first {
            continue; // It took a sample meanwhile.
        }
        let known = watched.totals();
        let wrong: Vec<_> = first
            .iter()
            .filter(|(addr, counts)| known.get(addr) != Some(counts))
            .map(|(addr, counts)| (addr, counts, known.get(addr)))
            .collect();
        assert!(
            wrong.is_empty(),
            "address, in the target, known: {wrong:x?}"
        );
        assert_eq!(known.len(), first.len());
        return first.len();
    }
    panic!("the target never rested");
}
