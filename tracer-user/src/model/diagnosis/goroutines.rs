//! Goroutines that never end, as leaks, and the leaks of the heap that grow in step with them.

use std::sync::Arc;

use super::leaks::BySite;
use super::letters::Identity;
use crate::go::frame::Frame;
use crate::go::symbol;
use crate::model::Model;
use crate::model::findings::{Evidence, Kind, Leak, LeakSite};
use crate::model::goroutines::{GoroutineGroup, Growth, Pace, in_step};
use crate::verdict::Word;

/// Set in identities of goroutines: labels of sites are below.
const GOROUTINES: u64 = 1 << 40;

/// A group of goroutines that grows.
pub(super) struct GrowingGroup {
    pub(super) identity: Identity,
    group: GoroutineGroup,
    evidence: Evidence,
}

/// How fast what the evidence is of grows; `None` where it is not known to grow.
fn pace(evidence: &Evidence) -> Option<Pace> {
    // What once grew by the clock is still said to, when only that of the load sees it.
    let with_load = || evidence.grows_with.map(|_| Pace::WithLoad);
    evidence
        .objects_per_min
        .map(Pace::PerMin)
        .or_else(with_load)
}

impl Model {
    /// The groups that grow, those that grow most first.
    pub(super) fn growing_goroutines(&self) -> Vec<GrowingGroup> {
        let groups = self.goroutines().map_or_else(Vec::new, |all| all.groups);
        let grows = |group: &GoroutineGroup| {
            let verdict = group.verdict.as_ref();
            verdict.is_some_and(|verdict| verdict.word == Word::Growing)
        };
        let growing_group = |group: GoroutineGroup| {
            let id = GOROUTINES + u64::from(group.id);
            let evidence = group.verdict.as_ref().map(|v| v.evidence.clone());
            GrowingGroup {
                identity: Identity {
                    under: id,
                    sites: [id].into(),
                },
                evidence: self.with_calls(evidence.unwrap_or_default()),
                group,
            }
        };
        let mut growing: Vec<GrowingGroup> = groups
            .into_iter()
            .filter(grows)
            .map(growing_group)
            .collect();
        let per_min = |growing: &GrowingGroup| {
            growing
                .evidence
                .objects_per_min
                .map_or(0.0, |objects| objects.value)
        };
        growing.sort_by(|a, b| per_min(b).total_cmp(&per_min(a)));
        growing
    }

    /// The leak of a group, linked with those of the heap that grow in step.
    pub(super) fn goroutine_leak(
        &self,
        growing: GrowingGroup,
        letter: char,
        heap: &mut [Leak],
        by_site: &BySite,
    ) -> Leak {
        let GrowingGroup {
            group, evidence, ..
        } = growing;
        let under = group.created_by.as_ref().unwrap_or(&group.start).clone();
        let mut linked = Vec::new();
        if let Some(pace) = pace(&evidence) {
            let functions: Vec<&str> = [Some(&group.start), group.created_by.as_ref()]
                .into_iter()
                .flatten()
                .map(|frame| &*frame.function)
                .collect();
            let goroutines = Growth {
                pace,
                functions: &functions,
            };
            for leak in heap
                .iter_mut()
                .filter(|leak| self.is_in_step(&goroutines, leak, by_site))
            {
                leak.in_step.push(letter);
                linked.push(leak.letter);
            }
        }
        Leak {
            letter,
            kind: Kind::Goroutines,
            via: self.via_of(&group, &under),
            sites: vec![LeakSite {
                row: None,
                frame: under.clone(),
                evidence: evidence.clone(),
            }],
            under,
            evidence,
            share_bytes: None,
            share_objects: None,
            in_step: linked,
        }
    }

    fn is_in_step(&self, goroutines: &Growth<'_>, leak: &Leak, by_site: &BySite) -> bool {
        leak.sites.iter().any(|site| {
            let Some(pace) = pace(&site.evidence) else {
                return false;
            };
            let largest = site.row.and_then(|row| by_site.largest(row.0));
            let frames = largest.map_or_else(Vec::new, |idx| self.diagnosis.tracks.frames(idx));
            // All handlers of a server come through functions of its libraries: without a ratio these say nothing.
            let has_ratio = matches!((goroutines.pace, pace), (Pace::PerMin(_), Pace::PerMin(_)));
            let functions: Vec<&str> = frames
                .iter()
                .filter(|frame| has_ratio || self.diagnosis.origin.is_main_module(frame))
                .map(|frame| &*frame.function)
                .collect();
            let site = Growth {
                pace,
                functions: &functions,
            };
            in_step(goroutines, &site)
        })
    }

    /// Of the goroutine that waits longest, the innermost frame of the main module outside of the package that starts it.
    fn via_of(&self, group: &GoroutineGroup, under: &Frame) -> Option<Arc<Frame>> {
        let own = symbol::package(&under.function);
        let frames = group
            .oldest
            .as_ref()
            .map_or(&[][..], |oldest| &oldest.frames);
        frames
            .iter()
            .find(|frame| {
                self.diagnosis.origin.is_main_module(frame)
                    && symbol::package(&frame.function) != own
            })
            .cloned()
    }
}
