//! Goroutines whose number grows, as leaks, and the leaks of the heap that grow in step with them.

use std::sync::Arc;

use super::attribution::Code;
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
/// Groups of different creators are one leak if the rates of single groups differ by at most this factor: a connection has
/// goroutines at each end.
const SAME_RATE: f64 = 1.15;
/// Of the growth of all goroutines, the share of the group that leads where none is known to grow by itself.
const LEADING_SHARE: f64 = 0.5;

/// Groups of goroutines that grow as one.
pub(super) struct GrowingGroups {
    pub(super) identity: Identity,
    /// The leading one first, see [`Self::lead`].
    groups: Vec<GoroutineGroup>,
    /// Growth of all of them.
    evidence: Evidence,
    /// Growth of the largest of them, goroutines per minute; 0 if it has no rate.
    largest_per_min: f64,
}

impl GrowingGroups {
    fn of(group: GoroutineGroup, evidence: Evidence) -> Self {
        let id = identity(&group);
        Self {
            identity: Identity {
                under: id,
                sites: [id].into(),
            },
            groups: vec![group],
            largest_per_min: evidence.objects_per_min.map_or(0.0, |rate| rate.value),
            evidence,
        }
    }

    fn per_min(&self) -> f64 {
        self.evidence.objects_per_min.map_or(0.0, |rate| rate.value)
    }

    /// True if another group grows with these: started by the same function, or at the same rate.
    fn takes(&self, other: &Self) -> bool {
        let creator = |group: &GoroutineGroup| Some(group.created_by.as_ref()?.function.clone());
        let of_other = other.groups.first().and_then(creator);
        let is_same_creator =
            of_other.is_some() && self.groups.iter().any(|group| creator(group) == of_other);
        let (a, b) = (self.largest_per_min, other.largest_per_min);
        is_same_creator || b > 0.0 && a.max(b) <= SAME_RATE * a.min(b)
    }

    /// Puts the group first that names the leak: of those started by the program's own code, else of all, the oldest known.
    /// Their rates are equal but for noise, so that the largest would change.
    fn lead(&mut self, is_own: impl Fn(&Frame) -> bool) {
        let is_own = |group: &GoroutineGroup| {
            let creator = group.created_by.as_ref();
            creator.is_some_and(|creator| is_own(creator))
        };
        self.groups.sort_by_key(|group| (!is_own(group), group.id));
        if let Some(first) = self.groups.first() {
            self.identity.under = identity(first);
        }
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

/// Gathers groups to leaks.
///
/// * `is_own`: true for a function of the main module.
fn gather(mut growing: Vec<GrowingGroups>, is_own: impl Fn(&Frame) -> bool) -> Vec<GrowingGroups> {
    growing.sort_by(|a, b| b.per_min().total_cmp(&a.per_min()));
    let mut leaks: Vec<GrowingGroups> = Vec::new();
    for group in growing {
        match leaks.iter_mut().find(|leak| leak.takes(&group)) {
            Some(leak) => leak.add(group),
            None => leaks.push(group),
        }
    }
    for leak in &mut leaks {
        leak.lead(&is_own);
    }
    leaks
}

fn identity(group: &GoroutineGroup) -> u64 {
    GOROUTINES + u64::from(group.id)
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
        let origin = self.diagnosis.paths.origin();
        let mut leaks = gather(growing, |creator| origin.is_main_module(creator));
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

    /// The leak of some groups, and the letters of leaks of the heap that are one leak with it for certain.
    ///
    /// Leaks of the heap that grow in step with it share its letter; so does growth of the heap that no frame explains, or
    /// that comes from the function which starts the goroutines. Only the last is certain, and what was certain once.
    pub(super) fn goroutine_leak(
        &self,
        growing: GrowingGroups,
        letter: char,
        heap: &mut [Leak],
        by_site: &BySite,
    ) -> Option<(Leak, Vec<char>)> {
        let GrowingGroups {
            groups, evidence, ..
        } = growing;
        let first = groups.first()?;
        let under = first.created_by.as_ref().unwrap_or(&first.start).clone();
        let (mut linked, mut certain): (Vec<&mut Leak>, Vec<char>) = (Vec::new(), Vec::new());
        // Each event leaves a goroutine of each group.
        let of_group = first.verdict.as_ref().map(|verdict| &verdict.evidence);
        let one = of_group.filter(|of| of.objects_per_min.is_some());
        let one = one.unwrap_or(&evidence);
        if let Some(pace) = pace(one) {
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
            // What is linked to a larger leak of goroutines would make both one.
            for leak in heap.iter_mut().filter(|leak| leak.in_step.is_empty()) {
                let is_certain = leak.letter == letter
                    || leak.function() == &*under.function
                    || self.leads_to(&under, leak, one);
                certain.extend(is_certain.then_some(leak.letter));
                if is_certain || leak.under.is_none() || self.is_in_step(&goroutines, leak, by_site)
                {
                    linked.push(leak);
                }
            }
        }
        // The letter that was given first: the others vanish.
        let letters = linked.iter().map(|leak| leak.letter).chain([letter]);
        let letter = letters.min().unwrap_or(letter);
        let in_step: Vec<char> = linked.first().map(|_| letter).into_iter().collect();
        for leak in linked {
            leak.letter = letter;
            leak.in_step.clone_from(&in_step);
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
        let leak = Leak {
            via: self.via_of(first, &under),
            sites: groups.iter().map(site).collect(),
            under: Some(under),
            evidence,
            in_step,
            ..nameless(Kind::Goroutines, letter)
        };
        Some((leak, certain))
    }

    /// True if the program's own function that starts the goroutines is on the way to a leak of the heap, and not on the way
    /// to most of what the process allocates. A leak with fewer objects than goroutines is another one.
    fn leads_to(&self, creator: &Frame, leak: &Leak, goroutines: &Evidence) -> bool {
        let diagnosis = &self.diagnosis;
        let Some(label) = self.names.function(creator) else {
            return false;
        };
        let leads = || {
            let site = leak.sites.first()?.row?.0;
            let path = diagnosis
                .paths
                .get(*diagnosis.explained.largest.get(&site)?)?;
            Some(path.contains(&label))
        };
        diagnosis.paths.code(label) == Code::Main
            && diagnosis.can_join(label)
            && (leak
                .evidence
                .objects_per_min
                .zip(goroutines.objects_per_min))
            .is_none_or(|(objects, goroutines)| objects.value >= goroutines.value)
            && leads() == Some(true)
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

    /// Caller to name with a group: the innermost frame of the main module outside the package that starts it, on the stack of
    /// the goroutine that waits longest; else the caller of the function that starts them.
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
            .or_else(|| {
                let label = self.names.function(under)?;
                let (idx, _) = self.stack_through(label, |_| true)?;
                self.via(idx, label)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::go::goroutines::States;

    fn growing(id: u32, creator: &str, per_min: f64) -> GrowingGroups {
        let frame = Frame {
            function: creator.into(),
            ..Frame::unnamed(1)
        };
        let frame = Arc::new(frame);
        let group = GoroutineGroup {
            id,
            created_by: Some(Arc::clone(&frame)),
            start: frame,
            is_runtime: false,
            count: 100,
            growth: Some(80),
            per_min: None,
            states: States::default(),
            waits: Vec::new(),
            longest_wait_ns: None,
            stack_bytes: 204_800,
            stack_growth_bytes: None,
            oldest: None,
            verdict: None,
        };
        let rate = Interval {
            value: per_min,
            low: 0.8 * per_min,
            high: 1.2 * per_min,
        };
        let evidence = Evidence {
            objects_per_min: Some(rate),
            ..Evidence::default()
        };
        GrowingGroups::of(group, evidence)
    }

    #[test]
    fn groups_of_one_rate_are_one_leak_named_by_the_programs_own_code() {
        let of_reload = |noise: f64| {
            vec![
                growing(4, "net/http.(*Server).Serve", 15.0 + noise),
                growing(5, "net/http.(*Transport).dialConn", 15.0),
                growing(6, "net/http.(*Transport).dialConn", 15.0),
                growing(7, "main.(*Table).apply", 15.0 - noise),
                growing(8, "main.watch", 60.0),
            ]
        };
        for noise in [-0.9, 0.0, 0.9] {
            let leaks = gather(of_reload(noise), |creator| {
                creator.function.starts_with("main.")
            });
            let ids = |leak: &GrowingGroups| -> Vec<u32> {
                leak.groups.iter().map(|group| group.id).collect()
            };
            let all: Vec<Vec<u32>> = leaks.iter().map(ids).collect();
            assert_eq!(all, [vec![8], vec![7, 4, 5, 6]]);
            let reload = &leaks[1];
            assert_eq!(reload.identity.under, GOROUTINES + 7);
            assert!((reload.per_min() - 60.0).abs() < 1.0);
        }
    }
}
