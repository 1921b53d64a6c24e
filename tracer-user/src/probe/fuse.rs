//! Removes probes as soon as they cost more than their limit, on a thread of its own: nothing that heaptop does
//! meanwhile, such as reading a large heap, delays it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use aya::maps::{MapData, PerCpuArray};
use aya::programs::uprobe::UProbeLink;
use tokio::sync::Notify;
use tracer_ebpf::wire::{N_KINDS, N_PROBES};

use super::detach::{self, Detaching};
use crate::clock::monotonic_ns;
use crate::plan::Kind;
use crate::source::limit::{Answer, Group, SecondLimit};

/// Longest wait while no probe is attached; attaching one ends it.
const NO_LINKS: Duration = Duration::from_secs(3600);

/// A group of probes was removed because of its cost.
#[derive(Clone, Debug)]
pub struct Cut {
    /// Time of the removal.
    pub at_ns: u64,
    /// Hits by kind at that time.
    pub hits: [u64; N_KINDS],
    /// The kernel's part of the removal, which takes 0.1 s. The probes fire no more.
    pub detaching: Detaching,
}

/// Links of all attached probes, and the thread that keeps their limits.
pub(super) struct Fuse {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    hits: PerCpuArray<MapData, u64>,
    state: Mutex<State>,
    /// Links were added, or the thread is to end.
    changed: Condvar,
    was_cut: Arc<Notify>,
}

struct State {
    /// By kind.
    links: [Vec<UProbeLink>; N_PROBES],
    limits: [SecondLimit; Group::ALL.len()],
    cuts: [Option<Cut>; Group::ALL.len()],
    ends: bool,
}

impl Fuse {
    /// Holds no links yet. All probes together may take `max_cpu_fraction` of one CPU.
    pub(super) fn new(hits: PerCpuArray<MapData, u64>, max_cpu_fraction: f64) -> Self {
        let state = State {
            links: [const { Vec::new() }; N_PROBES],
            limits: Group::ALL.map(|group| SecondLimit::new(group, max_cpu_fraction)),
            cuts: [const { None }; Group::ALL.len()],
            ends: false,
        };
        let shared = Arc::new(Shared {
            hits,
            state: Mutex::new(state),
            changed: Condvar::new(),
            was_cut: Arc::new(Notify::new()),
        });
        let thread = max_cpu_fraction.is_finite().then(|| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.watch())
        });
        Self { shared, thread }
    }

    /// Prepares to attach probes of these kinds: forgets earlier cuts of their groups.
    pub(super) fn begin(&self, kinds: &[Kind]) {
        let hits = self.shared.hits();
        let mut state = self.shared.lock();
        for (i, group) in Group::ALL.iter().enumerate() {
            if kinds.iter().any(|kind| group.kinds().contains(kind)) {
                state.cuts[i] = None;
                state.limits[i].attached(monotonic_ns(), group.hits(&hits));
            }
        }
    }

    /// True if the group of `kind` was cut since [`Fuse::begin`].
    pub(super) fn is_cut(&self, kind: Kind) -> bool {
        self.shared.lock().is_cut(kind)
    }

    /// Takes a link in; removes it where its group was cut since [`Fuse::begin`].
    pub(super) fn add(&self, kind: Kind, link: UProbeLink) {
        let mut state = self.shared.lock();
        if state.is_cut(kind) {
            drop(state);
            detach::remove(vec![link]);
            return;
        }
        state.links[kind as usize].push(link);
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Takes out the links of these kinds.
    pub(super) fn take(&self, kinds: &[Kind]) -> Vec<UProbeLink> {
        self.shared.lock().take(kinds)
    }

    /// Number of links of a kind.
    pub(super) fn n_links(&self, kind: Kind) -> usize {
        self.shared.lock().links[kind as usize].len()
    }

    /// The cut of a group since it was last attached, if any.
    pub(super) fn cut(&self, group: Group) -> Option<Cut> {
        self.shared.lock().cuts[group as usize].clone()
    }

    /// Takes the measured cost of a hit.
    pub(super) fn hit_costs(&self, group: Group, ns: f64) {
        self.shared.lock().limits[group as usize].hit_costs(ns);
    }

    /// Notified after each cut.
    pub(super) fn was_cut(&self) -> Arc<Notify> {
        Arc::clone(&self.shared.was_cut)
    }

    /// Hits by kind, summed over the CPUs.
    pub(super) fn hits(&self) -> [u64; N_KINDS] {
        self.shared.hits()
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        self.shared.lock().ends = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic in it was reported by the hook.
            let _ = thread.join();
        }
        let links = std::mem::take(&mut self.shared.lock().links);
        detach::remove(links.into_iter().flatten().collect()).wait();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hits(&self) -> [u64; N_KINDS] {
        let mut sums = [0; N_KINDS];
        for (kind, sum) in (0u32..).zip(&mut sums) {
            *sum = self.hits_of(kind);
        }
        sums
    }

    fn hits_of(&self, kind: u32) -> u64 {
        let values = self.hits.get(&kind, 0);
        values.map_or(0, |values| values.iter().sum())
    }

    /// Checks the limits until the end.
    fn watch(&self) {
        let mut state = self.lock();
        while !state.ends {
            // Without links, until some are added.
            let next = self
                .check(&mut state)
                .map_or(NO_LINKS, Duration::from_nanos);
            let waited = self.changed.wait_timeout(state, next);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Checks every group that has links. Returns the time until the next check, in nanoseconds; `None` without links.
    fn check(&self, state: &mut State) -> Option<u64> {
        let mut next_ns = None;
        for (i, group) in Group::ALL.iter().enumerate() {
            let is_attached = |kind: &Kind| !state.links[*kind as usize].is_empty();
            if !group.kinds().iter().any(is_attached) {
                continue;
            }
            let mut hits = [0; N_KINDS];
            for &kind in group.kinds() {
                hits[kind as usize] = self.hits_of(kind as u32);
            }
            let at_ns = monotonic_ns();
            match state.limits[i].check(at_ns, group.hits(&hits)) {
                Answer::Stay { check_in_ns } => {
                    next_ns = Some(next_ns.map_or(check_in_ns, |next: u64| next.min(check_in_ns)));
                }
                Answer::Remove => {
                    let links = state.take(group.kinds());
                    let detaching = detach::remove(links);
                    state.cuts[i] = Some(Cut {
                        at_ns,
                        hits,
                        detaching,
                    });
                    self.was_cut.notify_one();
                }
            }
        }
        next_ns
    }
}

impl State {
    fn is_cut(&self, kind: Kind) -> bool {
        let cuts = Group::ALL.iter().zip(&self.cuts);
        cuts.filter(|(_, cut)| cut.is_some())
            .any(|(group, _)| group.kinds().contains(&kind))
    }

    fn take(&mut self, kinds: &[Kind]) -> Vec<UProbeLink> {
        let take = |&kind: &Kind| std::mem::take(&mut self.links[kind as usize]);
        kinds.iter().flat_map(take).collect()
    }
}
