//! Who is judged: every call site and every frame above one, each with the sum of what its stacks do.

use std::collections::HashMap;

use crate::verdict::{Clock, Flow, Track, Verdict, Word};

use super::grouping::{Recent, Stack};
use super::partition::{Entity, Partition};
use super::paths::Paths;
use super::unseen::Unseen;

/// Most tracks: sites and frames that differ in their stacks. A track takes 8 KiB at most and a few hundred bytes as a
/// rule, so that all of them stay below 24 MiB; a gateway has some hundred. Stacks that would need more are judged by
/// none, and counted.
pub(super) const MAX_TRACKS: usize = 3072;
/// Once there are so many, new stacks count for their call site alone: sites come before frames.
pub(super) const MAX_WITH_FRAMES: usize = 1536;
/// Where nothing happens, one look in so many is enough: in a large program that is nearly everywhere.
const IDLE_TURNS: u32 = 8;
/// What a stack did counts for less by a factor of e after so many looks, 15 min: growth of the time in which a verdict
/// on a slow leak is found.
const RECENT_LOOKS: f64 = 60.0;

/// Where a stack stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Nothing happened there.
    #[default]
    Quiet,
    /// Its frames have no names yet.
    Waits,
    /// Its entities have tracks.
    Placed,
    /// Its site alone has one.
    SiteOnly,
    /// There was no room.
    Refused,
}

/// One stack.
#[derive(Clone, Debug, Default)]
struct StackState {
    place: Place,
    /// Labels of its functions outside the runtime, innermost first, each once; the first is the site.
    labels: Box<[u32]>,
    /// What it did before it was placed.
    pending: Option<Box<Flow>>,
    recent: Recent,
    /// The look that `recent` is of.
    look: u32,
}

/// Sites and frames under judgement.
#[derive(Clone, Debug, Default)]
pub(super) struct Tracks {
    /// By index of the bucket; shorter than the buckets.
    stacks: Vec<StackState>,
    /// Stacks that wait for names.
    waiting: Vec<u32>,
    partition: Partition,
    by_class: Vec<Track>,
    /// Classes whose growth may be replacement of what nobody saw: what is said instead, and how many bytes went unseen.
    held: HashMap<u32, (Verdict, f64)>,
    looks: u32,
    /// Stacks without room.
    pub(super) refused: u64,
}

impl Tracks {
    fn at(&mut self, idx: u32) -> &mut StackState {
        let i = idx as usize;
        if i >= self.stacks.len() {
            self.stacks.resize_with(i + 1, StackState::default);
        }
        &mut self.stacks[i]
    }

    /// The stack of this bucket will be judged: its frames need names.
    pub(super) fn want(&mut self, idx: u32) {
        let stack = self.at(idx);
        if stack.place == Place::Quiet {
            stack.place = Place::Waits;
            self.waiting.push(idx);
        }
    }

    /// Stacks that wait for names.
    pub(super) fn waiting(&self) -> &[u32] {
        &self.waiting
    }

    /// Gives tracks to the stacks whose names are known by now.
    pub(super) fn place(&mut self, paths: &Paths) {
        let waiting = std::mem::take(&mut self.waiting);
        for idx in waiting {
            let Some(path) = paths.get(idx) else {
                self.waiting.push(idx);
                continue;
            };
            let labels: Box<[u32]> = path.iter().rev().copied().collect();
            let place = if self.admit(entities(&labels), MAX_WITH_FRAMES) {
                Place::Placed
            } else {
                self.refused += 1;
                if self.admit(entities(&labels).take(1), MAX_TRACKS) {
                    Place::SiteOnly
                } else {
                    Place::Refused
                }
            };
            let stack = self.at(idx);
            stack.place = place;
            stack.labels = labels;
        }
    }

    fn admit(&mut self, entities: impl Iterator<Item = Entity>, max: usize) -> bool {
        let entities: Vec<Entity> = entities.collect();
        let Some(change) = self.partition.admit(&entities, max) else {
            return false;
        };
        for (of, _) in change.copies {
            let copy = self.by_class[of as usize].clone();
            self.by_class.push(copy);
        }
        if change.fresh.is_some() {
            self.by_class.push(Track::new());
        }
        true
    }

    /// A look: what each stack did since the last one, weighed.
    pub(super) fn look(&mut self, clock: &Clock, flows: &[(u32, Flow)]) {
        self.looks += 1;
        for (idx, flow) in flows {
            let look = self.looks;
            let stack = self.at(*idx);
            stack.remember(flow, look);
            match stack.place {
                Place::Placed | Place::SiteOnly if stack.pending.is_none() => {}
                Place::Refused => {}
                _ => **stack.pending.get_or_insert_default() += *flow,
            }
            self.want(*idx);
        }
        let mut sums = vec![Flow::default(); self.by_class.len()];
        let mut seen = vec![u32::MAX; self.by_class.len()];
        let mut add = |stack: &StackState, partition: &Partition, stamp: u32, flow: &Flow| {
            for entity in stack.entities() {
                let Some(class) = partition.class(entity) else {
                    continue;
                };
                let class = class as usize;
                if std::mem::replace(&mut seen[class], stamp) != stamp {
                    sums[class] += *flow;
                }
            }
        };
        let mut stamp = 0;
        for (idx, flow) in flows {
            let stack = &self.stacks[*idx as usize];
            if stack.is_placed() && stack.pending.is_none() {
                add(stack, &self.partition, stamp, flow);
                stamp += 1;
            }
        }
        for stack in &mut self.stacks {
            if !stack.is_placed() {
                continue;
            }
            if let Some(flow) = stack.pending.take() {
                add(stack, &self.partition, stamp, &flow);
                stamp += 1;
            }
        }
        for ((track, flow), turn) in self.by_class.iter_mut().zip(&sums).zip(0u32..) {
            let is_idle = track.word() == Word::Idle && *flow == Flow::default();
            if !is_idle || turn % IDLE_TURNS == self.looks % IDLE_TURNS {
                track.look(clock, flow);
            }
        }
    }

    /// After a look: growth that what went unseen may explain is not told.
    pub(super) fn hold(&mut self, unseen: &Unseen) {
        let instead = |track: &Track| unseen.instead(track.verdict());
        self.held = (0u32..)
            .zip(&self.by_class)
            .filter_map(|(class, track)| Some((class, instead(track)?)))
            .collect();
    }

    /// Bytes that went unseen while an entity grew, where they may explain it.
    pub(super) fn replaced(&self, entity: Entity) -> Option<f64> {
        let class = self.partition.class(entity)?;
        self.held.get(&class).map(|(_, bytes)| *bytes)
    }

    /// What is said of an entity; `None` for one that has no track.
    pub(super) fn verdict(&self, entity: Entity) -> Option<&Verdict> {
        let class = self.partition.class(entity)?;
        let held = self.held.get(&class).map(|(verdict, _)| verdict);
        held.or_else(|| self.by_class.get(class as usize).map(Track::verdict))
    }

    /// Labels of call sites that grow.
    pub(super) fn growing_sites(&self) -> impl Iterator<Item = u32> + '_ {
        let members = self.growing().flatten();
        members.filter(|entity| entity.is_site()).map(|e| e.label())
    }

    /// Labels of frames that grow and that `can_explain` a leak, one of those that have the same stacks.
    pub(super) fn growing_frames<'a>(
        &'a self,
        can_explain: impl Fn(u32) -> bool + 'a,
    ) -> impl Iterator<Item = u32> + 'a {
        self.growing().filter_map(move |members| {
            let mut frames = members.iter().filter(|entity| !entity.is_site());
            frames
                .find(|entity| can_explain(entity.label()))
                .map(|entity| entity.label())
        })
    }

    fn growing(&self) -> impl Iterator<Item = &[Entity]> + '_ {
        self.by_class
            .iter()
            .zip(0u32..)
            .filter(|(track, class)| {
                track.word() == Word::Growing && !self.held.contains_key(class)
            })
            .map(|(_, class)| self.partition.members(class as usize))
    }

    /// All stacks that have tracks, with what they did recently.
    pub(super) fn stacks(&self) -> Vec<(u32, Stack<'_>)> {
        (0u32..)
            .zip(&self.stacks)
            .filter(|(_, stack)| stack.is_placed() && stack.look > 0)
            .map(|(idx, stack)| {
                let labels = &*stack.labels;
                let recent = stack.recent_at(self.looks);
                (idx, Stack { labels, recent })
            })
            .collect()
    }

    /// What the stack of a bucket did recently.
    pub(super) fn recent(&self, idx: u32) -> Recent {
        self.stacks
            .get(idx as usize)
            .map_or(Recent::default(), |stack| stack.recent_at(self.looks))
    }

    /// The label of a bucket's site, if it has a track.
    pub(super) fn site(&self, idx: u32) -> Option<u32> {
        self.stacks.get(idx as usize)?.labels.first().copied()
    }
}

/// The site and the frames of a stack.
fn entities(labels: &[u32]) -> impl Iterator<Item = Entity> + '_ {
    let site = labels.first().map(|&label| Entity::site(label));
    site.into_iter()
        .chain(labels.iter().map(|&label| Entity::frame(label)))
}

impl StackState {
    fn is_placed(&self) -> bool {
        matches!(self.place, Place::Placed | Place::SiteOnly)
    }

    /// What has tracks for it.
    fn entities(&self) -> impl Iterator<Item = Entity> + '_ {
        let n = match self.place {
            Place::Placed => usize::MAX,
            Place::SiteOnly => 1,
            _ => 0,
        };
        entities(&self.labels).take(n)
    }

    fn remember(&mut self, flow: &Flow, look: u32) {
        self.recent = self.recent_at(look);
        self.look = look;
        let [level, ..] = &flow.levels;
        self.recent += Recent {
            bytes: level.arrived.bytes - level.departed.bytes,
            objects: level.arrived.objects - level.departed.objects,
            bytes_var: level.arrived.bytes_sq + level.departed.bytes_sq,
            births: f64::from(flow.born),
        };
    }

    fn recent_at(&self, look: u32) -> Recent {
        let fade = (-f64::from(look.saturating_sub(self.look)) / RECENT_LOOKS).exp();
        Recent {
            bytes: self.recent.bytes * fade,
            objects: self.recent.objects * fade,
            bytes_var: self.recent.bytes_var * fade,
            births: self.recent.births * fade,
        }
    }
}
