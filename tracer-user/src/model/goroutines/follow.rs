//! Verdicts on groups of goroutines, by the engine of call sites ([`crate::verdict`]): an id that is new in a reading has
//! arrived, one that is gone has departed.
//!
//! A reading is to goroutines what a collection is to objects: it shows who is gone, so that a goroutine must be seen in
//! two readings to count. When they were born is known to within a reading; they are spread over it in the order of
//! their ids, or else they would come in heaps that look like bursts. The load is what the process allocates. How many
//! goroutines it starts would be no measure of it: where most of them leak, they would be their own load.

use std::collections::BTreeMap;

use super::super::findings::{Verdict, Word};
use super::super::stated::stated;
use crate::go::goroutines::{Tracked, TrackedGoroutine};
use crate::verdict::{Clock, Flow, LOOK_NS, Track, Veterans, Weight};

/// Most groups that are judged, up to 7 KiB each; those that were seen first. Programs with more have them from plugins.
const MAX_TRACKS: usize = 1024;
/// When one in more goroutines is followed, verdicts begin anew; what had been said holds for so many looks at most,
/// twice what the engine needs.
const HELD_LOOKS: u32 = 20;
/// Bytes that count as one of the load, whose noise is reckoned as that of a count: allocators take spans of 8 KiB and
/// more, and the runtime's counter moves with them.
const LOAD_BYTES: f64 = (32 << 10) as f64;
/// A group to which none has come for so many looks (4 minutes) does not grow now. By the load alone it might, as long as
/// there is no load.
const QUIET_LOOKS: u32 = 16;

/// Who lived at the last reading, and what is said of their groups.
#[derive(Clone, Debug, Default)]
pub(super) struct Follow {
    clock: Option<Clock>,
    veterans: Veterans,
    /// By id of goroutine: the number of the last reading that had it. At most [`Tracked`]'s bound.
    alive: BTreeMap<u64, u32>,
    /// By id of group.
    tracks: BTreeMap<u32, Judged>,
    held: BTreeMap<u32, Verdict>,
    held_looks: u32,
    reading: u32,
    shift: u32,
    /// Of the last reading.
    last_ns: u64,
    last_load: f64,
    /// Load at the first.
    first_load: f64,
}

/// What is said of one group.
#[derive(Clone, Debug, Default)]
struct Judged {
    track: Track,
    /// Looks since one came.
    quiet_looks: u32,
}

impl Judged {
    fn look(&mut self, clock: &Clock, flow: &Flow) {
        self.quiet_looks = if flow.born > 0 {
            0
        } else {
            self.quiet_looks.saturating_add(1)
        };
        self.track.look(clock, flow);
    }

    fn verdict(&self) -> Verdict {
        let verdict = stated(self.track.verdict());
        if verdict.word == Word::Growing && self.quiet_looks >= QUIET_LOOKS {
            return Verdict {
                word: Word::Idle,
                ..Verdict::default()
            };
        }
        verdict
    }
}

/// What of a reading is followed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading<'a> {
    pub(super) at_ns: u64,
    /// What the process has allocated since its start; `None` where that is not known.
    pub(super) allocated_bytes: Option<u64>,
    /// How long the process had run then.
    pub(super) uptime_ns: Option<u64>,
    pub(super) tracked: &'a Tracked,
    /// Ids of the groups by their index in the reading; `None` for those beyond our bound.
    pub(super) ids: &'a [Option<u32>],
}

impl Reading<'_> {
    fn key(&self, goroutine: &TrackedGoroutine) -> Option<u32> {
        *self.ids.get(goroutine.group as usize)?
    }

    /// Cumulative. Where it is not known, time is taken for it: a load that never changes.
    fn load(&self) -> f64 {
        match self.allocated_bytes {
            Some(bytes) => bytes as f64 / LOAD_BYTES,
            None => self.at_ns as f64 / LOOK_NS as f64,
        }
    }

    fn weight(&self, goroutine: &TrackedGoroutine) -> Weight {
        let stands_for = (1_u64 << self.tracked.shift.min(63)) as f64;
        Weight {
            objects: stands_for,
            bytes: goroutine.stack_bytes as f64 * stands_for,
        }
    }
}

impl Follow {
    /// Takes a reading.
    pub(super) fn apply(&mut self, reading: &Reading<'_>) {
        if self.clock.is_none() || reading.tracked.shift != self.shift {
            self.begin(reading);
            return;
        }
        self.reading = self.reading.wrapping_add(1);
        let mut new = Vec::new();
        for goroutine in &reading.tracked.goroutines {
            match self.alive.get_mut(&goroutine.goid) {
                Some(seen) => *seen = self.reading,
                None => new.push(goroutine),
            }
        }
        new.sort_unstable_by_key(|goroutine| goroutine.goid);
        let (from, span) = (self.last_ns, reading.at_ns.saturating_sub(self.last_ns));
        let n = 2 * new.len() as u64 + 1;
        for (i, goroutine) in (0u64..).zip(&new) {
            // Two steps each, so that the first and the last keep away from both readings.
            let part = u128::from(span) * u128::from(2 * i + 1) / u128::from(n);
            let at_ns = from.saturating_add(u64::try_from(part).unwrap_or(span));
            self.look_before(at_ns, reading);
            self.alive.insert(goroutine.goid, self.reading);
            if let Some(key) = reading.key(goroutine) {
                let weight = reading.weight(goroutine);
                self.veterans.born(goroutine.goid, key, weight, at_ns);
            }
        }
        self.look_before(reading.at_ns, reading);
        let Self {
            alive,
            veterans,
            reading: number,
            ..
        } = self;
        alive.retain(|&goid, seen| {
            let is_alive = seen == number;
            if !is_alive {
                veterans.died(goid, reading.at_ns);
            }
            is_alive
        });
        self.veterans.gc(reading.at_ns);
        if let Some(clock) = &mut self.clock {
            clock.gc(reading.at_ns);
        }
        (self.last_ns, self.last_load) = (reading.at_ns, reading.load().max(self.last_load));
    }

    /// The first reading, or the first with another part of the goroutines: those who live are older than it.
    fn begin(&mut self, reading: &Reading<'_>) {
        let looks = |ns: u64| (ns >= LOOK_NS).then(|| ns as f64 / LOOK_NS as f64);
        let uptime = reading.uptime_ns.and_then(looks);
        let allocated = reading
            .allocated_bytes
            .map(|bytes| bytes as f64 / LOAD_BYTES);
        let load_before = uptime.zip(allocated).map(|(looks, load)| load / looks);
        let held = std::mem::take(&mut self.tracks).into_iter();
        let held = held.map(|(id, track)| (id, track.verdict()));
        let held = held.filter(|(_, verdict)| verdict.word != Word::Collecting);
        *self = Self {
            clock: Some(Clock::new(reading.at_ns, load_before, None)),
            held: held.collect(),
            held_looks: HELD_LOOKS,
            shift: reading.tracked.shift,
            last_ns: reading.at_ns,
            first_load: reading.load(),
            last_load: reading.load(),
            ..Self::default()
        };
        for goroutine in &reading.tracked.goroutines {
            self.alive.insert(goroutine.goid, self.reading);
            if let Some(key) = reading.key(goroutine) {
                let weight = reading.weight(goroutine);
                self.veterans.found(goroutine.goid, key, weight);
            }
        }
    }

    /// The looks that are due before a moment between the last reading and this one.
    fn look_before(&mut self, at_ns: u64, reading: &Reading<'_>) {
        let Some(clock) = &mut self.clock else { return };
        while clock.next_look_ns() < at_ns {
            let look_ns = clock.next_look_ns();
            let span = reading.at_ns.saturating_sub(self.last_ns).max(1) as f64;
            let part = look_ns.saturating_sub(self.last_ns) as f64 / span;
            let new = (reading.load() - self.last_load).max(0.0) * part.clamp(0.0, 1.0);
            if !clock.look(look_ns, self.last_load - self.first_load + new) {
                return;
            }
            let mut flows: BTreeMap<u32, Flow> = self.veterans.look(look_ns).into_iter().collect();
            for (id, track) in &mut self.tracks {
                track.look(clock, &flows.remove(id).unwrap_or_default());
            }
            for (id, flow) in flows {
                if self.tracks.len() < MAX_TRACKS {
                    let mut track = Judged::default();
                    track.look(clock, &flow);
                    self.tracks.insert(id, track);
                }
            }
            self.held_looks = self.held_looks.saturating_sub(1);
            if self.held_looks == 0 {
                self.held.clear();
            }
        }
    }

    /// What is said of a group; `None` for those beyond the bound.
    pub(super) fn verdict(&self, id: u32) -> Option<Verdict> {
        let now = self.tracks.get(&id).map(Judged::verdict);
        let is_told = |verdict: &Verdict| verdict.word != Word::Collecting;
        let held = || self.held.get(&id).cloned();
        match now {
            Some(verdict) if is_told(&verdict) => Some(verdict),
            None if self.tracks.len() >= MAX_TRACKS => None,
            now => held().or(now).or_else(|| Some(Verdict::default())),
        }
    }
}
