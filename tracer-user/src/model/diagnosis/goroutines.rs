//! Goroutines whose number grows, as leaks, and the leaks of the heap that grow in step with them.

use std::sync::Arc;

use super::leaks::BySite;
use super::letters::Identity;
use super::others::nameless;
use super::process::known_rate;
use crate::go::frame::Frame;
use crate::model::Model;
use crate::model::findings::{Evidence, Interval, Kind, Leak, LeakSite};
use crate::model::goroutines::{GoroutineGroup, Growth, Pace, in_step};
use crate::verdict::Word;

/// Set in identities of goroutines: labels of sites are below.
const GOROUTINES: u64 = 1 << 40;
/// Groups of different creators are one leak if their rates differ by at most this factor: a connection has a goroutine
/// at each end.
const SAME_RATE: f64 = 1.15;
/// Of the growth of all goroutines, the share of the group that leads where none is known to grow by itself.
const LEADING_SHARE: f64 = 0.5;

/// Groups of goroutines that grow as one.
pub(super) struct GrowingGroups {
    pub(super) identity: Identity,
    /// Largest growth first.
    groups: Vec<GoroutineGroup>,
    evidence: Evidence,
}

impl GrowingGroups {
    fn of(group: GoroutineGroup, evidence: Evidence) -> Self {
        let id = GOROUTINES + u64::from(group.id);
        Self {
            identity: Identity {
                under: id,
                sites: [id].into(),
            },
            groups: vec![group],
            evidence,
        }
    }

    fn per_min(&self) -> f64 {
        self.evidence.objects_per_min.map_or(0.0, |rate| rate.value)
    }

    /// True if another group grows with these: started by the same function, or at the same rate.
    fn takes(&self, other: &Self) -> bool {
        let creator = |groups: &Self| {
            let group = groups.groups.first()?;
            Some(group.created_by.as_ref()?.function.clone())
        };
        let is_same_creator = creator(self).is_some() && creator(self) == creator(other);
        let (a, b) = (self.per_min(), other.per_min());
        is_same_creator || b > 0.0 && a.max(b) <= SAME_RATE * a.min(b)
    }

    fn add(&mut self, other: Self) {
        self.identity.sites.extend(other.identity.sites);
        self.groups.extend(other.groups);
        let both = |a: Option<Interval>, b: Option<Interval>| match (a, b) {
            (Some(a), Some(b)) => Some(a.plus(b)),
            (a, b) => a.or(b),
        };
        let (own, of) = (&mut self.evidence, other.evidence);
        own.objects_per_min = both(own.objects_per_min, of.objects_per_min);
        own.bytes_per_min = both(own.bytes_per_min, of.bytes_per_min);
        own.born += of.born;
        own.died += of.died;
    }
}

/// Growth since the baseline, which the user may just have set.
fn grown(group: &GoroutineGroup) -> i64 {
    group.growth.unwrap_or(0).max(0)
}

fn total_grown(groups: &[GoroutineGroup]) -> i64 {
    groups.iter().map(grown).sum()
}

/// Bytes of stack that a goroutine of these groups has, on average.
fn mean_stack(groups: &[GoroutineGroup]) -> Option<f64> {
    let (bytes, count) = groups.iter().fold((0, 0), |(bytes, count), group| {
        (bytes + group.stack_bytes, count + group.count)
    });
    (count > 0).then(|| bytes as f64 / count as f64)
}

/// Rate of what the evidence is of; `None` where it is not known to grow.
fn pace(evidence: &Evidence) -> Option<Pace> {
    // What once grew by the clock is still said to, when only that of the load sees it.
    let with_load = || evidence.grows_with.map(|_| Pace::WithLoad);
    evidence
        .objects_per_min
        .map(Pace::PerMin)
        .or_else(with_load)
}

impl Model {
    /// The groups that grow, gathered to leaks, largest growth first.
    pub(super) fn growing_goroutines(&self) -> Vec<GrowingGroups> {
        let Some(all) = self.goroutines() else {
            return Vec::new();
        };
        let mut growing: Vec<GrowingGroups> = Vec::new();
        for group in &all.groups {
            let verdict = group.verdict.as_ref();
            if let Some(verdict) = verdict.filter(|verdict| verdict.word == Word::Growing) {
                let evidence = self.with_calls(verdict.evidence.clone());
                growing.push(GrowingGroups::of(group.clone(), evidence));
            }
        }
        if growing.is_empty() {
            growing.extend(self.leading_group(&all.groups));
        }
        growing.sort_by(|a, b| b.per_min().total_cmp(&a.per_min()));
        let mut leaks: Vec<GrowingGroups> = Vec::new();
        for group in growing {
            match leaks.iter_mut().find(|leak| leak.takes(&group)) {
                Some(leak) => leak.add(group),
                None => leaks.push(group),
            }
        }
        for leak in &mut leaks {
            if leak.evidence.objects_per_min.is_none() {
                let of_whole = self.share_of_whole(&leak.groups, &all.groups);
                leak.evidence.objects_per_min = of_whole;
                leak.evidence.bytes_per_min =
                    of_whole.and_then(|rate| Some(rate.times(mean_stack(&leak.groups)?)));
            }
        }
        leaks.sort_by(|a, b| b.per_min().total_cmp(&a.per_min()));
        leaks
    }

    /// The rate of all goroutines by the share of some groups in their growth. A group may be known to grow by the load
    /// alone, while the number of all has a rate.
    fn share_of_whole(
        &self,
        groups: &[GoroutineGroup],
        all: &[GoroutineGroup],
    ) -> Option<Interval> {
        let rate = known_rate(&self.diagnosis.whole.judged().goroutines)?;
        let share = total_grown(groups) as f64 / total_grown(all) as f64;
        (share > 0.0).then(|| rate.times(share))
    }

    /// The group that leads the growth of the number of all goroutines, where that is known and of no group yet.
    fn leading_group(&self, groups: &[GoroutineGroup]) -> Option<GrowingGroups> {
        let judged = &self.diagnosis.whole.judged().goroutines;
        if judged.word != Word::Growing {
            return None;
        }
        let total = total_grown(groups);
        let group = groups
            .iter()
            .filter(|group| !group.is_runtime)
            .max_by_key(|group| grown(group))?;
        if grown(group) == 0 || (grown(group) as f64) < LEADING_SHARE * total as f64 {
            return None;
        }
        Some(GrowingGroups::of(group.clone(), Evidence::default()))
    }

    /// The leak of some groups. Leaks of the heap that grow in step with it take its letter, as they are one leak; so does
    /// growth of the heap that no frame explains, or that lies under the function which starts them.
    pub(super) fn goroutine_leak(
        &self,
        growing: GrowingGroups,
        letter: char,
        heap: &mut [Leak],
        by_site: &BySite,
    ) -> Option<Leak> {
        let GrowingGroups {
            groups, evidence, ..
        } = growing;
        let first = groups.first()?;
        let under = first.created_by.as_ref().unwrap_or(&first.start).clone();
        let mut in_step_with = Vec::new();
        if let Some(pace) = pace(&evidence) {
            let functions: Vec<&str> = groups
                .iter()
                .flat_map(|group| [Some(&group.start), group.created_by.as_ref()])
                .flatten()
                .map(|frame| &*frame.function)
                .collect();
            let goroutines = Growth {
                pace,
                functions: &functions,
            };
            for leak in heap.iter_mut().filter(|leak| {
                leak.under.is_none()
                    || leak.function() == &*under.function
                    || self.is_in_step(&goroutines, leak, by_site)
            }) {
                leak.letter = letter;
                leak.in_step = vec![letter];
                in_step_with.push(letter);
            }
        }
        let site = |group: &GoroutineGroup| LeakSite {
            row: None,
            frame: group.created_by.as_ref().unwrap_or(&group.start).clone(),
            evidence: group
                .verdict
                .as_ref()
                .map(|verdict| verdict.evidence.clone())
                .unwrap_or_default(),
            share: None,
        };
        Some(Leak {
            via: self.via_of(first, &under),
            sites: groups.iter().map(site).collect(),
            under: Some(under),
            evidence,
            in_step: {
                in_step_with.dedup();
                in_step_with
            },
            ..nameless(Kind::Goroutines, letter)
        })
    }

    fn is_in_step(&self, goroutines: &Growth<'_>, leak: &Leak, by_site: &BySite) -> bool {
        leak.sites.iter().any(|site| {
            let Some(pace) = pace(&site.evidence) else {
                return false;
            };
            let largest = site.row.and_then(|row| by_site.largest(row.0));
            let frames = largest.map_or_else(Vec::new, |idx| self.diagnosis.paths.frames(idx));
            // All handlers of a server come through functions of its libraries: without a ratio these say nothing.
            let has_ratio = matches!((goroutines.pace, pace), (Pace::PerMin(_), Pace::PerMin(_)));
            let functions: Vec<&str> = frames
                .iter()
                .filter(|frame| has_ratio || self.diagnosis.paths.origin().is_main_module(frame))
                .map(|frame| &*frame.function)
                .collect();
            let site = Growth {
                pace,
                functions: &functions,
            };
            in_step(goroutines, &site)
        })
    }

    /// Of the goroutine that waits longest, the innermost frame of the main module outside the package that starts it.
    fn via_of(&self, group: &GoroutineGroup, under: &Frame) -> Option<Arc<Frame>> {
        let own = under.package();
        let frames = group
            .oldest
            .as_ref()
            .map_or(&[][..], |oldest| &oldest.frames);
        frames
            .iter()
            .find(|frame| {
                self.diagnosis.paths.origin().is_main_module(frame) && frame.package() != own
            })
            .cloned()
    }
}
