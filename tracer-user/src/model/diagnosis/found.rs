//! Causes of growth before they have letters: calls that explain the growth of the whole, call sites that grow by
//! themselves, and what grows by its history.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::attribution::{Cause, Code, Net};
use super::explain::Explained;
use super::grouping::{self, Growing, Recent, Stack, births_by_label};
use super::letters::Identity;
use super::recorded;
use crate::go::frame::Frame;
use crate::model::Model;
use crate::verdict::Word;

/// Call sites listed as the likeliest where no call explains the growth.
const LIKELIEST_SITES: usize = 3;
/// A cause says more than a site that only grows. It comes first unless that holds this many times its share: a helper with
/// 5 % of the growth came before the leak.
const CAUSE_WEIGHT: f64 = 3.0;
/// Largest share in bytes of a growth that is listed with a larger one of the same caller: what a constructor builds is
/// allocated in many places.
const HELD_SHARE: f64 = 0.25;
/// The same in objects: a leak of many small ones stands for itself.
const HELD_SHARE_OF_OBJECTS: f64 = 1.0;
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
    /// Call sites that grow beside it: without own code, or less and with the same caller.
    pub(super) held: Vec<(u32, Net)>,
    /// Net change of its small objects.
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

    /// Sites that grow under a function without a cause, with their part in what was explained.
    fn of_sites(
        under: Option<u32>,
        sites: Vec<(u32, Net)>,
        explained: &Explained,
        word: Word,
    ) -> Self {
        let (mut small, mut large) = (Net::default(), Net::default());
        for (site, _) in &sites {
            small += explained.small_net(*site);
            large += explained.rising_large_net(*site);
        }
        Self {
            under,
            cause: None,
            sites,
            held: Vec::new(),
            small,
            large,
            word,
        }
    }

    /// True if this and another cause are one: they lie under the same function, or one is the `via` of the other.
    ///
    /// * `can_join`: false for a function that says nothing, as helpers of the standard library and dispatchers.
    fn is_one_with(&self, cause: &Cause, can_join: impl Fn(u32) -> bool) -> bool {
        let Some(own) = &self.cause else { return false };
        let is_same_via = own.via == cause.via && own.via.is_some_and(&can_join);
        (own.under == cause.under && (is_same_via || can_join(own.under)))
            || (cause.via == Some(own.under) && can_join(own.under))
            || (own.via == Some(cause.under) && can_join(cause.under))
    }

    /// Adds a cause that is one with this; the outer function names both.
    fn absorb(&mut self, cause: &Cause) {
        for &(site, net) in &cause.sites {
            self.add_site(site, net);
        }
        self.small += cause.net;
        if (self.cause.as_ref()).is_some_and(|own| own.via == Some(cause.under)) {
            self.under = Some(cause.under);
            self.cause = Some(cause.clone());
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
        self.add_site(site, net);
    }

    fn add_site(&mut self, site: u32, net: Net) {
        match self.sites.iter_mut().find(|(own, _)| *own == site) {
            Some((_, of)) => *of += net,
            None => self.sites.push((site, net)),
        }
        self.sites
            .sort_by(|a, b| b.1.bytes.total_cmp(&a.1.bytes).then(a.0.cmp(&b.0)));
    }

    /// Net change of all its objects.
    pub(super) fn net(&self) -> Net {
        let mut net = self.small;
        net += self.large;
        net
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
            for cause in causes {
                let is_one = |found: &&mut Found| {
                    found.is_one_with(cause, |label| diagnosis.can_join(label))
                };
                match found.iter_mut().find(is_one) {
                    Some(found) => found.absorb(cause),
                    None => found.push(Found::of_cause(cause, word)),
                }
            }
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
            let Some(&(first, _)) = sites.first() else {
                continue;
            };
            let is_own = sites.iter().any(|(site, _)| self.has_own_code(*site));
            match found.first_mut().filter(|first| first.cause.is_some()) {
                Some(leading) if !is_own => leading.held.extend(sites),
                _ => {
                    let under = if sites.len() == 1 { first } else { group.under };
                    found.push(Found::of_sites(
                        Some(under),
                        sites,
                        explained,
                        Word::Growing,
                    ));
                }
            }
        }
        self.add_recorded(&mut found, &by_history, &nets);
        if found.is_empty() && word.is_growth() {
            found.push(self.likeliest(nets, word));
        }
        let total = explained.grown_net();
        let rank = |found: &Found| {
            let of = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
            let net = found.net();
            let share = of(net.bytes, total.bytes).max(of(net.objects, total.objects));
            let weight = found.cause.as_ref().map_or(1.0, |_| CAUSE_WEIGHT);
            weight * share
        };
        found.sort_by(|a, b| {
            let by_rank = rank(b).total_cmp(&rank(a));
            by_rank.then(a.under.cmp(&b.under))
        });
        self.hold_minor(found)
    }

    /// All growth, where no cause of it was found: with the sites that hold most of it.
    ///
    /// * `nets`: net change of all sites; those of large objects count only if nothing else grew or they rise.
    fn likeliest(&self, nets: BTreeMap<u32, Net>, word: Word) -> Found {
        let explained = &self.diagnosis.explained;
        let rises = |site: &u32| explained.grown_net_of(*site).bytes > 0.0;
        let does_any = nets.keys().any(rises);
        let mut sites: Vec<(u32, Net)> = if does_any {
            let grown = nets.into_keys().filter(rises);
            let net = |site| (site, explained.grown_net_of(site));
            grown.map(net).collect()
        } else {
            nets.into_iter().collect()
        };
        sites.sort_by(|a, b| b.1.bytes.total_cmp(&a.1.bytes).then(a.0.cmp(&b.0)));
        sites.truncate(LIKELIEST_SITES);
        Found {
            small: explained.small.net,
            large: explained.rising_large(),
            ..Found::of_sites(None, sites, explained, word)
        }
    }

    /// Lists small growths with a larger one that has the same caller, unless that says nothing, as a dispatcher.
    fn hold_minor(&self, found: Vec<Found>) -> Vec<Found> {
        let mut kept: Vec<(Found, Option<u32>)> = Vec::new();
        for minor in found {
            let via = self.via_of_found(&minor);
            let via = via.and_then(|via| self.names.function(&via));
            let via = via.filter(|&via| self.diagnosis.can_join(via));
            let is_minor = |larger: &Found| {
                let (own, of) = (minor.net(), larger.net());
                own.bytes > 0.0
                    && own.bytes <= HELD_SHARE * of.bytes
                    && own.objects <= HELD_SHARE_OF_OBJECTS * of.objects
                    && minor.word == larger.word
            };
            let larger = kept
                .iter_mut()
                .find(|(larger, of)| via.is_some() && *of == via && is_minor(larger));
            match larger {
                Some((larger, _)) => {
                    for (site, net) in minor.sites.into_iter().chain(minor.held) {
                        if !larger.holds(site) {
                            larger.held.push((site, net));
                        }
                    }
                }
                None => kept.push((minor, via)),
            }
        }
        kept.into_iter().map(|(found, _)| found).collect()
    }

    /// Caller to name with what was found.
    pub(super) fn via_of_found(&self, found: &Found) -> Option<Arc<Frame>> {
        let &(first, _) = found.sites.first()?;
        let largest = *self.diagnosis.explained.largest.get(&first)?;
        // The stack of its first site may be another one.
        let is_on = |label: u32| {
            let path = self.diagnosis.paths.get(largest);
            path.is_some_and(|path| path.contains(&label))
        };
        let other = (found.under).filter(|&under| !is_on(under));
        let other = other.and_then(|under| {
            let ends_in = |site: u32| found.sites.iter().any(|(of, _)| *of == site);
            self.stack_through(under, ends_in)
        });
        let idx = other.map_or(largest, |(idx, _)| idx);
        let frame = |label: u32| self.frame_on(idx, label);
        // The frame that all of it passes through may be the caller itself, of sites in libraries.
        let own = found.under.filter(|under| {
            self.diagnosis.paths.code(*under) == Code::Main && !found.holds(*under)
        });
        if let Some(own) = own {
            return frame(own);
        }
        (found.cause.as_ref())
            .and_then(|cause| cause.via.and_then(frame))
            .or_else(|| self.via(idx, found.under.unwrap_or(first)))
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
            let under = can_explain.then_some(entity.label);
            let explained = &self.diagnosis.explained;
            found.push(Found::of_sites(under, sites, explained, Word::Growing));
        }
    }

    /// Adds the call sites whose large objects grow: to the cause that they lie under, else as leaks of their own where they
    /// hold a good part of the growth.
    fn add_large(&self, found: &mut Vec<Found>, word: Word) {
        let explained = &self.diagnosis.explained;
        if !explained.large_rises {
            return;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(under: u32, via: Option<u32>, bytes: f64) -> Cause {
        let net = Net {
            bytes,
            ..Net::default()
        };
        Cause {
            callee: 1,
            caller: 2,
            under,
            kept: 1.0,
            caller_kept: 0.5,
            via,
            net,
            sites: vec![(1, net)],
        }
    }

    #[test]
    fn causes_under_one_function_are_one() {
        let of_handler = cause(3, Some(7), 60.0);
        let mut found = Found::of_cause(&of_handler, Word::Growing);
        let of_other_handler = cause(3, Some(8), 40.0);
        assert!(found.is_one_with(&of_other_handler, |_| true));
        let is_helper = !found.is_one_with(&of_other_handler, |label| label != 3);
        assert!(is_helper, "both call it, and it says nothing");
        found.absorb(&of_other_handler);
        assert_eq!((found.under, found.small.bytes), (Some(3), 100.0));
        assert_eq!(found.sites.len(), 1);
        let unrelated = cause(4, Some(7), 60.0);
        assert!(
            !found.is_one_with(&unrelated, |_| true),
            "the same caller alone"
        );
    }

    #[test]
    fn the_outer_of_two_functions_names_both() {
        let (inner, outer) = (cause(4, Some(3), 60.0), cause(3, Some(7), 40.0));
        for (first, second) in [(&inner, &outer), (&outer, &inner)] {
            let mut found = Found::of_cause(first, Word::Growing);
            assert!(found.is_one_with(second, |_| true));
            assert!(!found.is_one_with(second, |_| false), "a dispatcher");
            found.absorb(second);
            assert_eq!((found.under, found.small.bytes), (Some(3), 100.0));
            assert_eq!(found.cause.unwrap().via, Some(7));
        }
    }
}
