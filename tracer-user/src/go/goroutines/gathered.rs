//! Goroutines as they are read one after the other: gathered in groups, so that memory is bounded by these.

use std::collections::HashMap;

use super::record::{G, State};
use super::{
    AllGoroutines, Group, MAX_EXAMPLES, MAX_GROUPS, MAX_TRACKED, Others, Tracked, TrackedGoroutine,
    UNKNOWN_REASON, is_tracked, parked,
};
use crate::go::facts::GoroutineFacts;
use crate::go::memory::Memory;
use crate::go::wait_reasons;

/// Ids begin at 1 and count up, for each P by 16 at a time: 2^48 at a million a second are reached after 9 years.
const MAX_GOID: u64 = 1 << 48;
/// One in so many goroutines may look wrong, torn while it was read; more, and the offsets are wrong.
const TORN_ONE_IN: u64 = 8;

/// The best example of a group so far.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    at: u64,
    goid: u64,
    waiting_since_ns: Option<u64>,
}

impl Candidate {
    /// Smaller is older: by what the runtime knows, then by id.
    fn age(&self) -> (u64, u64) {
        (self.waiting_since_ns.unwrap_or(u64::MAX), self.goid)
    }
}

/// A group while goroutines are read.
#[derive(Debug, Default)]
struct Gathering {
    group: Group,
    /// Count by number of `waitreason`.
    waits: Vec<(u8, u64)>,
    candidate: Option<Candidate>,
}

/// What was read so far.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    groups: Vec<Gathering>,
    by_key: HashMap<(u64, u64), u32>,
    /// The group of the goroutine before: a leak lies in a row.
    last: Option<((u64, u64), u32)>,
    others: Others,
    total: u64,
    stack_bytes: u64,
    dead: u64,
    pub(super) unreadable: u64,
    omitted: u64,
    pub(super) n_read: u64,
    /// Read, and not what a `g` looks like.
    pub(super) n_odd: u64,
    pub(super) shift: u32,
    tracked: Vec<TrackedGoroutine>,
}

impl Gathered {
    /// Nothing yet of a list that has `omitted` more than are read; one in 2^`shift` goroutines is told by itself.
    pub(super) fn new(omitted: u64, shift: u32) -> Self {
        Self {
            omitted,
            shift,
            ..Self::default()
        }
    }

    /// Follows a smaller part where there are more.
    pub(super) fn track_at_most(&mut self, max: usize) {
        while self.tracked.len() > max && self.shift < 63 {
            self.shift += 1;
            let shift = self.shift;
            self.tracked.retain(|kept| is_tracked(kept.goid, shift));
        }
    }

    pub(super) fn is_implausible(&self) -> bool {
        self.n_odd * TORN_ONE_IN > self.n_read
    }

    pub(super) fn add(&mut self, at: u64, g: Option<G>) {
        let Some(g) = g else {
            self.unreadable += 1;
            return;
        };
        self.n_read += 1;
        let state = State::of(g.status).filter(|state| {
            *state == State::Dead || (g.goid > 0 && g.goid < MAX_GOID && g.start_pc != 0)
        });
        let state = match state {
            None => {
                self.n_odd += 1;
                self.unreadable += 1;
                return;
            }
            Some(State::Dead) => {
                self.dead += 1;
                return;
            }
            Some(state) => state,
        };
        let stack_bytes = g.stack_bytes();
        self.n_odd += u64::from(stack_bytes.is_none());
        let stack_bytes = stack_bytes.unwrap_or(0);
        self.total += 1;
        self.stack_bytes += stack_bytes;
        let Some(idx) = self.group((g.created_pc, g.start_pc)) else {
            self.others.count += 1;
            self.others.stack_bytes += stack_bytes;
            return;
        };
        if is_tracked(g.goid, self.shift) {
            self.tracked.push(TrackedGoroutine {
                goid: g.goid,
                group: idx,
                stack_bytes,
            });
            self.track_at_most(MAX_TRACKED);
        }
        if let Some(gathering) = self.groups.get_mut(idx as usize) {
            gathering.add(at, &g, state, stack_bytes);
        }
    }

    /// The index of a group, which is made where there is room for it.
    fn group(&mut self, key: (u64, u64)) -> Option<u32> {
        if let Some((_, idx)) = self.last.filter(|(last, _)| *last == key) {
            return Some(idx);
        }
        let idx = match self.by_key.get(&key) {
            Some(&idx) => idx,
            None if self.groups.len() >= MAX_GROUPS => return None,
            None => {
                let idx = u32::try_from(self.groups.len()).ok()?;
                let (created_pc, start_pc) = key;
                self.groups.push(Gathering {
                    group: Group {
                        created_pc,
                        start_pc,
                        ..Group::default()
                    },
                    ..Gathering::default()
                });
                self.by_key.insert(key, idx);
                idx
            }
        };
        self.last = Some((key, idx));
        Some(idx)
    }

    pub(super) fn finish(
        self,
        memory: &(impl Memory + ?Sized),
        facts: &GoroutineFacts,
        n_bytes: usize,
    ) -> AllGoroutines {
        let mut order: Vec<usize> = (0..self.groups.len()).collect();
        let size = |idx: usize| {
            let group = &self.groups[idx].group;
            (group.count, group.stack_bytes)
        };
        order.sort_by_key(|&idx| std::cmp::Reverse(size(idx)));
        let mut places = vec![0; order.len()];
        for (place, &idx) in (0u32..).zip(&order) {
            places[idx] = place;
        }
        let mut tracked = self.tracked;
        for goroutine in &mut tracked {
            goroutine.group = places.get(goroutine.group as usize).copied().unwrap_or(0);
        }
        let mut gathered: Vec<Option<Gathering>> = self.groups.into_iter().map(Some).collect();
        let in_order = order.iter().filter_map(|&idx| gathered[idx].take());
        let groups = in_order.enumerate().map(|(place, gathering)| {
            let candidate = gathering.candidate;
            let mut group = gathering.finish(facts);
            if place < MAX_EXAMPLES {
                group.oldest = candidate.and_then(|candidate| {
                    parked::read(memory, facts, n_bytes, candidate.at, candidate.goid)
                });
            }
            group
        });
        AllGoroutines {
            groups: groups.collect(),
            others: self.others,
            total: self.total,
            stack_bytes: self.stack_bytes,
            dead: self.dead,
            unreadable: self.unreadable,
            omitted: self.omitted,
            allocated_bytes: None,
            tracked: Tracked {
                shift: self.shift,
                goroutines: tracked,
            },
        }
    }
}

impl Gathering {
    fn add(&mut self, at: u64, g: &G, state: State, stack_bytes: u64) {
        let group = &mut self.group;
        group.count += 1;
        group.stack_bytes += stack_bytes;
        let states = &mut group.states;
        match state {
            State::Runnable => states.runnable += 1,
            State::Running => states.running += 1,
            State::Syscall => states.syscall += 1,
            State::Other | State::Dead => states.other += 1,
            State::Waiting => {
                states.waiting += 1;
                let known = self.waits.iter_mut().find(|wait| wait.0 == g.wait_reason);
                match known {
                    Some(wait) => wait.1 += 1,
                    None => self.waits.push((g.wait_reason, 1)),
                }
                let new = Candidate {
                    at,
                    goid: g.goid,
                    waiting_since_ns: g.waiting_since_ns,
                };
                if self.candidate.is_none_or(|old| new.age() < old.age()) {
                    self.candidate = Some(new);
                }
            }
        }
    }

    fn finish(self, facts: &GoroutineFacts) -> Group {
        let mut group = self.group;
        group.waiting_since_ns = self
            .candidate
            .and_then(|candidate| candidate.waiting_since_ns);
        let mut waits: Vec<(&'static str, u64)> = Vec::new();
        for (reason, count) in self.waits {
            let words = words(facts, reason);
            match waits.iter_mut().find(|wait| wait.0 == words) {
                Some(wait) => wait.1 += count,
                None => waits.push((words, count)),
            }
        }
        waits.sort_by_key(|&(words, count)| (std::cmp::Reverse(count), words));
        group.waits = waits
            .into_iter()
            .map(|(words, n)| (words.into(), n))
            .collect();
        group
    }
}

/// The runtime's words for a value of `waitreason`.
fn words(facts: &GoroutineFacts, reason: u8) -> &'static str {
    let known = facts.wait_reasons.get(usize::from(reason)).copied();
    let words = wait_reasons::KNOWN.get(usize::from(known.unwrap_or(0)));
    let words = words.map(|(_, words)| *words);
    words
        .filter(|words| !words.is_empty())
        .unwrap_or(UNKNOWN_REASON)
}
