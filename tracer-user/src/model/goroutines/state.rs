//! What readings of goroutines leave behind: groups with their recent counts, baselines, and the history.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::super::gc::SECOND_NS;
use super::super::history::WINDOW_NS;
use super::super::names::Names;
use super::follow::{Follow, Reading};
use super::{CountThen, PerMinute, outermost};
use crate::event::GoroutinesRead;
use crate::go::goroutines::{AllGoroutines, MAX_GROUPS, Oldest, Others, States};

/// Readings of the history kept: 4 for each column of a wide terminal. Above it every second one goes.
pub(super) const MAX_HISTORY: usize = 1024;
/// Readings that slopes are taken over: at one in 5 s, all of 5 minutes.
const MAX_POINTS: usize = 64;
/// Least readings for a slope, as GC cycles for that of a call site.
const MIN_POINTS: usize = 4;

/// Everything that is kept.
#[derive(Clone, Debug, Default)]
pub(in crate::model) struct GoroutineState {
    pub(super) last: Option<LastRead>,
    not_known: Option<Arc<str>>,
    /// Number of the last reading.
    pub(super) seq: u32,
    /// Groups in the order in which they were first seen: the index is their id. Bounded by [`MAX_GROUPS`].
    pub(super) known: Vec<Known>,
    by_key: HashMap<(u64, u64), u32>,
    /// All goroutines together.
    pub(super) total: Known,
    /// When the recent readings were, oldest first; the last has the number `seq`.
    reads: VecDeque<u64>,
    pub(super) history: Vec<CountThen>,
    /// As marked; `None` before the first reading, which fills them.
    pub(super) baselines: Vec<Option<Then>>,
    /// Ids of groups whose names are not all known.
    unnamed: Vec<u32>,
    pub(super) follow: Follow,
}

/// Of the last reading, what is neither a group's nor the total's.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LastRead {
    pub(super) at_ns: u64,
    pub(super) took_ns: u64,
    pub(super) next_ns: u64,
    pub(super) others: Others,
    pub(super) unreadable: u64,
    pub(super) omitted: u64,
    pub(super) shift: u32,
}

/// Count and bytes of stacks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Size {
    pub(super) count: u64,
    pub(super) stack_bytes: u64,
}

/// Sizes at a baseline.
#[derive(Clone, Debug, Default)]
pub(super) struct Then {
    pub(super) total: Size,
    /// By id; groups that came later had none.
    groups: Vec<Size>,
}

impl Then {
    pub(super) fn of(&self, id: u32) -> Size {
        self.groups.get(id as usize).copied().unwrap_or_default()
    }
}

/// A group.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) created_pc: u64,
    start_pc: u64,
    pub(super) count: u64,
    pub(super) stack_bytes: u64,
    pub(super) states: States,
    pub(super) waits: Vec<(Cow<'static, str>, u64)>,
    pub(super) waiting_since_ns: Option<u64>,
    pub(super) oldest: Option<Oldest>,
    /// Where its function calls from, seen on a parked stack; it stays when that is gone.
    pub(super) outermost_pc: Option<u64>,
    /// Sizes by number of reading, where there were any.
    points: VecDeque<(u32, Size)>,
}

impl Known {
    /// What names its function: the convention for pcs that are no return addresses is to add one.
    pub(super) fn start_key(&self) -> u64 {
        self.start_pc.wrapping_add(1)
    }

    fn push(&mut self, seq: u32, size: Size) {
        (self.count, self.stack_bytes) = (size.count, size.stack_bytes);
        self.points.push_back((seq, size));
    }

    fn forget(&mut self, seq: u32) {
        let oldest = seq.saturating_sub(u32::try_from(MAX_POINTS).unwrap_or(u32::MAX));
        while self.points.front().is_some_and(|point| point.0 <= oldest) {
            self.points.pop_front();
        }
    }

    /// Slopes with the weights of the recent readings, of which the last has the number `seq`. A reading without the
    /// group has none of it.
    pub(super) fn slope(&self, seq: u32, weights: &[f64]) -> PerMinute {
        let mut slope = PerMinute::default();
        for (number, size) in &self.points {
            let back = (seq - number.min(&seq)) as usize;
            let weight = weights.len().checked_sub(back + 1);
            let weight = weight.and_then(|at| weights.get(at)).copied();
            let weight = weight.unwrap_or(0.0);
            slope.goroutines += weight * size.count as f64;
            slope.stack_bytes += weight * size.stack_bytes as f64;
        }
        slope
    }
}

impl GoroutineState {
    /// Takes a reading of a process that had run for `uptime_ns` then.
    pub(in crate::model) fn apply(&mut self, read: GoroutinesRead, uptime_ns: Option<u64>) {
        let mut found = match read.found {
            Ok(found) => found,
            Err(why) => {
                self.not_known = Some(why);
                self.last = None;
                return;
            }
        };
        self.not_known = None;
        self.seq += 1;
        self.reads.push_back(read.at_ns);
        while self.reads.len() > MAX_POINTS
            || self
                .reads
                .front()
                .is_some_and(|at| at + WINDOW_NS < read.at_ns)
        {
            self.reads.pop_front();
        }
        let size = Size {
            count: found.total,
            stack_bytes: found.stack_bytes,
        };
        self.total.push(self.seq, size);
        self.note(CountThen {
            at_ns: read.at_ns,
            count: size.count,
            stack_bytes: size.stack_bytes,
        });
        self.last = Some(LastRead {
            at_ns: read.at_ns,
            took_ns: read.took_ns,
            next_ns: read.next_ns,
            others: found.others,
            unreadable: found.unreadable,
            omitted: found.omitted,
            shift: found.tracked.shift,
        });
        let tracked = std::mem::take(&mut found.tracked);
        let allocated_bytes = found.allocated_bytes;
        let ids = self.apply_groups(found);
        self.follow.apply(&Reading {
            at_ns: read.at_ns,
            allocated_bytes,
            uptime_ns,
            tracked: &tracked,
            ids: &ids,
        });
        let seq = self.seq;
        self.total.forget(seq);
        for known in &mut self.known {
            known.forget(seq);
        }
        let now = self.sizes();
        for baseline in &mut self.baselines {
            baseline.get_or_insert_with(|| now.clone());
        }
    }

    /// Gives each group its id; `None` beyond the bound.
    fn apply_groups(&mut self, found: AllGoroutines) -> Vec<Option<u32>> {
        for known in &mut self.known {
            *known = Known {
                created_pc: known.created_pc,
                start_pc: known.start_pc,
                outermost_pc: known.outermost_pc,
                points: std::mem::take(&mut known.points),
                ..Known::default()
            };
        }
        self.unnamed.clear();
        let mut ids = Vec::with_capacity(found.groups.len());
        for group in found.groups {
            let key = (group.created_pc, group.start_pc);
            let id = self.id(key);
            ids.push(id);
            let Some(id) = id else {
                // Beyond the bound, over all readings: they count with the others.
                if let Some(last) = &mut self.last {
                    last.others.count += group.count;
                    last.others.stack_bytes += group.stack_bytes;
                }
                continue;
            };
            let known = &mut self.known[id as usize];
            known.push(
                self.seq,
                Size {
                    count: group.count,
                    stack_bytes: group.stack_bytes,
                },
            );
            known.states = group.states;
            known.waits = group.waits;
            known.waiting_since_ns = group.waiting_since_ns;
            known.oldest = group.oldest;
            self.unnamed.push(id);
        }
        ids
    }

    fn id(&mut self, key: (u64, u64)) -> Option<u32> {
        if let Some(&id) = self.by_key.get(&key) {
            return Some(id);
        }
        if self.known.len() >= MAX_GROUPS {
            return None;
        }
        let id = u32::try_from(self.known.len()).ok()?;
        self.by_key.insert(key, id);
        self.known.push(Known {
            created_pc: key.0,
            start_pc: key.1,
            ..Known::default()
        });
        Some(id)
    }

    fn note(&mut self, then: CountThen) {
        if self.history.len() >= MAX_HISTORY {
            // Every second of the older half: what is recent stays fine.
            let mut place = 0;
            self.history.retain(|_| {
                place += 1;
                place > MAX_HISTORY / 2 || place % 2 == 1
            });
        }
        self.history.push(then);
    }

    fn sizes(&self) -> Then {
        let size = |known: &Known| Size {
            count: known.count,
            stack_bytes: known.stack_bytes,
        };
        Then {
            total: size(&self.total),
            groups: self.known.iter().map(size).collect(),
        }
    }

    /// Compares with the last reading from now on, or with the first where there is none yet.
    pub(in crate::model) fn mark_baseline(&mut self) {
        let now = self.last.is_some().then(|| self.sizes());
        self.baselines.push(now);
    }

    /// Follows the list of baselines, which lost this one.
    pub(in crate::model) fn forget_baseline(&mut self, at: usize) {
        if at < self.baselines.len() {
            self.baselines.remove(at);
        }
    }

    /// Why goroutines are not known.
    pub(in crate::model) fn not_known(&self) -> Option<&str> {
        self.not_known.as_deref()
    }

    /// Weights for the recent readings, oldest first, of a least-squares slope per minute.
    pub(super) fn slope_weights(&self) -> Option<Vec<f64>> {
        let first = *self.reads.front()?;
        let minutes = |at: u64| (at - first.min(at)) as f64 / (60 * SECOND_NS) as f64;
        let n = self.reads.len();
        let mean = self.reads.iter().map(|&at| minutes(at)).sum::<f64>() / n as f64;
        let spread: f64 = self
            .reads
            .iter()
            .map(|&at| (minutes(at) - mean).powi(2))
            .sum();
        let weights = self.reads.iter().map(|&at| (minutes(at) - mean) / spread);
        (n >= MIN_POINTS && spread > 0.0).then(|| weights.collect())
    }

    /// The pcs that groups need names for: where they were created, what they run, and the parked stacks.
    pub(in crate::model) fn wanted_names(&self, names: &Names) -> Vec<u64> {
        let mut wanted = Vec::new();
        for &id in &self.unnamed {
            let known = &self.known[id as usize];
            let pcs = known
                .oldest
                .iter()
                .flat_map(|oldest| oldest.pcs.iter().copied());
            let places = [known.created_pc, known.start_key()];
            wanted.extend(places.into_iter().chain(pcs).filter(|&pc| pc != 0));
        }
        wanted.retain(|&pc| names.get(pc).is_none());
        wanted
    }

    /// Follows new names.
    pub(in crate::model) fn named(&mut self, names: &Names) {
        if !self.wanted_names(names).is_empty() {
            return;
        }
        for id in std::mem::take(&mut self.unnamed) {
            let known = &mut self.known[id as usize];
            let pc = known
                .oldest
                .as_ref()
                .and_then(|oldest| outermost(names, oldest));
            known.outermost_pc = pc.or(known.outermost_pc);
        }
    }
}
