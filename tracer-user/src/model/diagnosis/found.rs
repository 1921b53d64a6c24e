//! Causes of growth before they have letters: calls that explain the growth of the whole, call sites that grow by
//! themselves, and what grows by its history.

use std::collections::{BTreeMap, BTreeSet};

use super::attribution::{Cause, Code, Net};
use super::grouping::{self, Growing, Recent, Stack, births_by_label};
use super::letters::Identity;
use super::recorded;
use crate::model::Model;
use crate::verdict::Word;

/// Call sites listed as the likeliest where no call explains the growth.
const LIKELIEST_SITES: usize = 3;
/// A cause says more than a site that only grows. It comes first unless that holds this many times its share: a helper with
/// 5 % of the growth came before the leak.
const CAUSE_WEIGHT: f64 = 3.0;
/// A large object's site explains growth if it holds this share of it.
const LARGE_SHARE: f64 = 0.2;

/// A cause of growth before it has a letter.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// `None` where no call stands out.
    pub(super) under: Option<u32>,
    /// The call that explains it, where one was found.
    pub(super) cause: Option<Cause>,
    /// Its call sites with their net change in this watch, largest first.
    pub(super) sites: Vec<(u32, Net)>,
    /// Call sites without own code that grow beside it.
    pub(super) held: Vec<(u32, Net)>,
    /// Net change of its small objects: what shares are of.
    pub(super) small: Net,
    /// Net change of its large ones.
    pub(super) large: Net,
    pub(super) word: Word,
}

impl Found {
    fn of_cause(cause: &Cause, word: Word) -> Self {
        Self {
            under: Some(cause.under),
            sites: cause.sites.clone(),
            small: cause.net,
            large: Net::default(),
            held: Vec::new(),
            cause: Some(cause.clone()),
            word,
        }
    }

    pub(super) fn holds(&self, site: u32) -> bool {
        self.sites
            .iter()
            .chain(&self.held)
            .any(|(own, _)| *own == site)
    }

    /// Adds large objects of a site that is one of its own, or becomes one.
    fn add_large(&mut self, site: u32, net: Net) {
        self.large += net;
        match self.sites.iter_mut().find(|(own, _)| *own == site) {
            Some((_, of)) => *of += net,
            None => self.sites.push((site, net)),
        }
        self.sites
            .sort_by(|a, b| b.1.bytes.total_cmp(&a.1.bytes).then(a.0.cmp(&b.0)));
    }

    pub(super) fn identity(&self) -> Identity {
        let sites: BTreeSet<u64> = self
            .sites
            .iter()
            .map(|(site, _)| u64::from(*site))
            .collect();
        let first = sites.first().copied().unwrap_or_default();
        Identity {
            under: self.under.map_or(first, u64::from),
            sites,
        }
    }
}

impl Model {
    /// The causes of growth, the largest first: calls that explain the growth of the whole, then call sites that grow by
    /// themselves.
    pub(super) fn found(&self, stacks: &[Stack<'_>], growing_sites: &BTreeSet<u32>) -> Vec<Found> {
        let diagnosis = &self.diagnosis;
        let explained = &diagnosis.explained;
        let word = diagnosis.whole.judged().heap.word;
        let by_history = self.growing_since_start();
        let is_by_history = diagnosis.whole.is_taken_over() && !diagnosis.recorded.is_by_life;
        let since_start: BTreeSet<u32> = (by_history.iter())
            .flat_map(|entity| self.sites_of(entity))
            .collect();
        let mut found: Vec<Found> = Vec::new();
        if word.is_growth() {
            // Where the history alone says that the heap grows, a few samples of this watch name no other cause.
            let is_known = |cause: &&Cause| {
                !is_by_history
                    || cause
                        .sites
                        .iter()
                        .any(|(site, _)| since_start.contains(site))
            };
            let causes = explained.small.causes.iter().filter(is_known);
            // What is certain of the history is the entity, which `add_recorded` finds again.
            let word = if is_by_history {
                Word::ProbablyGrowing
            } else {
                word
            };
            found.extend(causes.map(|cause| Found::of_cause(cause, word)));
            if !is_by_history {
                self.add_large(&mut found, word);
            }
        }
        let nets = self.net_by_site();
        let net_of = |site: u32| nets.get(&site).copied().unwrap_or_default();
        for group in self.grown_groups(stacks, growing_sites) {
            let known = found.iter_mut().find(|found| {
                found.under == Some(group.under)
                    || group.sites.iter().all(|(site, _)| found.holds(*site))
            });
            if let Some(known) = known {
                known.word = Word::Growing;
                continue;
            }
            let left = |(site, _): &&(u32, Recent)| !found.iter().any(|found| found.holds(*site));
            let sites: Vec<(u32, Net)> = (group.sites.iter().filter(left))
                .map(|(site, _)| (*site, net_of(*site)))
                .collect();
            let mut small = Net::default();
            for (site, _) in &sites {
                small += explained.small_net(*site);
            }
            let Some(&(first, _)) = sites.first() else {
                continue;
            };
            let is_own = sites.iter().any(|(site, _)| self.has_own_code(*site));
            match found.first_mut().filter(|first| first.cause.is_some()) {
                Some(leading) if !is_own => leading.held.extend(sites),
                _ => found.push(Found {
                    under: Some(if sites.len() == 1 { first } else { group.under }),
                    cause: None,
                    sites,
                    held: Vec::new(),
                    small,
                    large: Net::default(),
                    word: Word::Growing,
                }),
            }
        }
        self.add_recorded(&mut found, &by_history, &nets);
        if found.is_empty() && word.is_growth() {
            let mut sites: Vec<(u32, Net)> = nets.into_iter().collect();
            sites.sort_by(|a, b| b.1.bytes.total_cmp(&a.1.bytes).then(a.0.cmp(&b.0)));
            sites.truncate(LIKELIEST_SITES);
            found.push(Found {
                under: None,
                cause: None,
                sites,
                held: Vec::new(),
                small: explained.small.net,
                large: explained.large.net,
                word,
            });
        }
        let total = explained.total();
        let rank = |found: &Found| {
            let of = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
            let bytes = found.small.bytes + found.large.bytes;
            let share = of(bytes, total.bytes).max(of(found.small.objects, total.objects));
            let weight = found.cause.as_ref().map_or(1.0, |_| CAUSE_WEIGHT);
            weight * share
        };
        found.sort_by(|a, b| {
            let by_rank = rank(b).total_cmp(&rank(a));
            by_rank.then(a.under.cmp(&b.under))
        });
        found
    }

    /// Adds what grows by its history: to a leak that holds a site of it, else as a leak of its own.
    fn add_recorded(
        &self,
        found: &mut Vec<Found>,
        by_history: &[&recorded::Entity],
        nets: &BTreeMap<u32, Net>,
    ) {
        for entity in by_history {
            let sites = self.sites_of(entity);
            let is_same = |found: &&mut Found| {
                found.under == Some(entity.label)
                    || sites.first().is_some_and(|first| found.holds(*first))
            };
            if let Some(known) = found.iter_mut().find(is_same) {
                known.word = Word::Growing;
                continue;
            }
            let can_explain = self.diagnosis.paths.can_explain(entity.label) || sites.len() == 1;
            let sites = sites.into_iter().take(LIKELIEST_SITES);
            let sites: Vec<(u32, Net)> = sites
                .map(|site| (site, nets.get(&site).copied().unwrap_or_default()))
                .collect();
            let mut small = Net::default();
            for (site, _) in &sites {
                small += self.diagnosis.explained.small_net(*site);
            }
            found.push(Found {
                under: can_explain.then_some(entity.label),
                cause: None,
                sites,
                held: Vec::new(),
                small,
                large: Net::default(),
                word: Word::Growing,
            });
        }
    }

    /// Adds the call sites whose large objects grow: to the cause that they lie under, else as leaks of their own where they
    /// hold a good part of the growth.
    fn add_large(&self, found: &mut Vec<Found>, word: Word) {
        let explained = &self.diagnosis.explained;
        let least = LARGE_SHARE * explained.total().bytes;
        for &(site, net) in &explained.large.sites {
            let path = (explained.largest.get(&site))
                .and_then(|&idx| self.diagnosis.paths.get(idx))
                .unwrap_or_default();
            let is_below = |found: &&mut Found| {
                found.holds(site) || found.under.is_some_and(|under| path.contains(&under))
            };
            if let Some(known) = found.iter_mut().find(is_below) {
                known.add_large(site, net);
            } else if net.bytes > 0.0 && net.bytes >= least {
                found.push(Found {
                    under: Some(site),
                    cause: None,
                    sites: vec![(site, net)],
                    held: Vec::new(),
                    small: Net::default(),
                    large: net,
                    word,
                });
            }
        }
    }

    /// True if a frame of the main module or its owner leads to the site, on the stack where it grew most.
    fn has_own_code(&self, site: u32) -> bool {
        let diagnosis = &self.diagnosis;
        let path = (diagnosis.explained.largest.get(&site))
            .and_then(|&idx| diagnosis.paths.get(idx))
            .unwrap_or_default();
        path.iter()
            .any(|&label| diagnosis.paths.code(label) >= Code::Owner)
    }

    /// Sites and frames that grow by themselves, gathered under their common frames.
    fn grown_groups(&self, stacks: &[Stack<'_>], sites: &BTreeSet<u32>) -> Vec<grouping::Group> {
        let diagnosis = &self.diagnosis;
        let paths = &diagnosis.paths;
        let frames = diagnosis
            .tracks
            .growing_frames(|label| paths.can_explain(label));
        let mut frames: Vec<u32> = frames.collect();
        if sites.is_empty() && frames.is_empty() {
            return Vec::new();
        }
        // The deepest first: the fewest births pass it.
        let births = births_by_label(stacks.iter());
        let births = |frame: u32| births.get(frame as usize).copied().unwrap_or(0.0);
        frames.sort_by(|&a, &b| births(a).total_cmp(&births(b)).then(a.cmp(&b)));
        let growing = Growing {
            sites,
            frames: &frames,
            can_explain: &|label| paths.can_explain(label),
            were_one: &|a, b| diagnosis.letters.were_one(u64::from(a), u64::from(b)),
        };
        let mut groups = grouping::group(stacks, &growing, &diagnosis.dispatchers);
        groups.sort_by(|a, b| {
            let bytes = grouping::kib(&b.total()).total_cmp(&grouping::kib(&a.total()));
            bytes.then(a.under.cmp(&b.under))
        });
        groups
    }
}
