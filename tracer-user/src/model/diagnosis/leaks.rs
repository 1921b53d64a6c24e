//! Leaks: what grows, gathered, named and ranked, as the findings have it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::grouping::{self, Group, Growing, Recent, Stack, births_by_label};
use super::letters::{Identity, MAX_LETTERS};
use super::process::plus;
use super::{Entity, MINUTE_NS};
use crate::go::frame::Frame;
use crate::model::Model;
use crate::model::findings::{Evidence, Findings, Interval, Kind, Leak, LeakSite};
use crate::model::rows::RowId;
use crate::model::stated::{evidence, stated};
use crate::verdict::{Survivors, Word};

/// Of all sites: growth by label, the sum over those that grow, the stack that grew most, and who survived.
pub(super) struct BySite {
    recent: BTreeMap<u32, Recent>,
    largest: HashMap<u32, (u32, f64)>,
    survivors: HashMap<u32, Survivors>,
}

impl BySite {
    fn of(stacks: &[(u32, Stack<'_>)]) -> Self {
        let mut sites = Self {
            recent: BTreeMap::new(),
            largest: HashMap::new(),
            survivors: HashMap::new(),
        };
        for (idx, stack) in stacks {
            let Some(&site) = stack.labels.first() else {
                continue;
            };
            *sites.recent.entry(site).or_default() += stack.recent;
            let bytes = stack.recent.bytes;
            let largest = sites.largest.entry(site).or_insert((*idx, bytes));
            if bytes > largest.1 {
                *largest = (*idx, bytes);
            }
        }
        sites
    }

    /// Adds what became of the samples of each bucket to its site.
    fn count(&mut self, survivors: HashMap<u32, Survivors>, site: impl Fn(u32) -> Option<u32>) {
        for (idx, of) in survivors {
            let Some(label) = site(idx) else { continue };
            let sum = self.survivors.entry(label).or_default();
            sum.live += of.live;
            sum.died += of.died;
            sum.oldest_cycles = sum.oldest_cycles.max(of.oldest_cycles);
        }
    }

    /// The stack of a site that grew most lately.
    pub(super) fn largest(&self, site: u32) -> Option<u32> {
        self.largest.get(&site).map(|(idx, _)| *idx)
    }

    /// "41 of 41 live", and for how many cycles.
    fn with_survivors(&self, mut evidence: Evidence, site: u32) -> Evidence {
        if let Some(of) = self.survivors.get(&site) {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a count that was scaled down, never below 0"
            )]
            let judged = of.live + of.died.round() as u64;
            evidence.survivors = (judged > 0).then_some((of.live, judged));
            evidence.oldest_cycles = of.oldest_cycles;
        }
        evidence
    }

    /// Growth of all sites that grew, by chance or not.
    fn total(&self, of: impl Fn(&Recent) -> f64) -> f64 {
        self.recent.values().map(|r| of(r).max(0.0)).sum()
    }
}

impl Model {
    /// Gathers what grows into leaks and writes the findings.
    pub(super) fn find_leaks(&mut self) {
        let diagnosis = &self.diagnosis;
        let tracks = &diagnosis.tracks;
        let sites: BTreeSet<u32> = tracks.growing_sites().collect();
        let mut frames: Vec<u32> = tracks.growing_frames().collect();
        let stacks = if sites.is_empty() && frames.is_empty() {
            Vec::new() // Nothing is to be gathered.
        } else {
            tracks.stacks()
        };
        let mut by_site = BySite::of(&stacks);
        if !stacks.is_empty() {
            by_site.count(diagnosis.feed.survivors(), |idx| tracks.site(idx));
        }
        let plain: Vec<Stack<'_>> = stacks.iter().map(|(_, stack)| *stack).collect();
        let mut dispatchers = diagnosis.dispatchers.clone();
        dispatchers.look(&plain, &sites);
        // The deepest first: the fewest births pass it.
        let births = births_by_label(plain.iter());
        let births = |frame: u32| births.get(frame as usize).copied().unwrap_or(0.0);
        frames.sort_by(|&a, &b| births(a).total_cmp(&births(b)).then(a.cmp(&b)));
        let growing = Growing {
            sites: &sites,
            frames: &frames,
            can_explain: &|label| tracks.can_explain(label),
            were_one: &|a, b| diagnosis.letters.were_one(u64::from(a), u64::from(b)),
        };
        let mut groups = grouping::group(&plain, &growing, &dispatchers);
        let total = (
            by_site.total(|recent| recent.bytes),
            by_site.total(|recent| recent.objects),
        );
        groups.sort_by(|a, b| {
            rank(b, total)
                .total_cmp(&rank(a, total))
                .then(a.under.cmp(&b.under))
        });
        let growing_goroutines = self.growing_goroutines();
        let identities: Vec<Identity> = groups
            .iter()
            .map(identity)
            .chain(growing_goroutines.iter().map(|leak| leak.identity.clone()))
            .collect();
        let mut letters = diagnosis.letters.clone();
        let mut given = letters.give(&identities).into_iter();
        let omitted = identities.len().saturating_sub(MAX_LETTERS) as u64;
        let mut leaks = Vec::new();
        let mut letter_of = HashMap::new();
        let mut survivors = HashMap::new();
        for (group, letter) in groups.iter().zip(&mut given) {
            let Some(letter) = letter else { continue };
            if let Some(leak) = self.leak(group, letter, &by_site, total) {
                letter_of.insert(group.under, letter);
                letter_of.extend(group.sites.iter().map(|(site, _)| (*site, letter)));
                survivors.extend(leak.sites.iter().filter_map(|site| {
                    let of = &site.evidence;
                    Some((site.row?.0, (of.survivors, of.oldest_cycles)))
                }));
                leaks.push(leak);
            }
        }
        let mut of_goroutines = Vec::new();
        for (growing, letter) in growing_goroutines.into_iter().zip(given) {
            let Some(letter) = letter else { continue };
            of_goroutines.push(self.goroutine_leak(growing, letter, &mut leaks, &by_site));
        }
        place(&mut leaks, of_goroutines);
        let mut findings = Findings {
            leaks,
            omitted,
            unjudged_stacks: self.diagnosis.tracks.refused,
            dropped_samples: self.diagnosis.feed.dropped(),
            ..Findings::default()
        };
        self.judge_process(&mut findings);
        self.findings = Arc::new(findings);
        self.diagnosis.dispatchers = dispatchers;
        self.diagnosis.letters = letters;
        self.diagnosis.letter_of = letter_of;
        self.diagnosis.survivors = survivors;
    }

    fn leak(
        &self,
        group: &Group,
        letter: char,
        by_site: &BySite,
        (bytes, objects): (f64, f64),
    ) -> Option<Leak> {
        let tracks = &self.diagnosis.tracks;
        let site = |&(label, _): &(u32, Recent)| {
            let idx = by_site.largest.get(&label)?.0;
            let verdict = tracks.verdict(Entity::site(label)).map(stated);
            Some(LeakSite {
                row: Some(RowId(label)),
                frame: self.site_frame(idx)?,
                evidence: self.with_calls(
                    by_site.with_survivors(verdict.unwrap_or_default().evidence, label),
                ),
            })
        };
        let mut sites: Vec<(f64, LeakSite)> = group
            .sites
            .iter()
            .filter_map(|of| Some((grouping::kib(&of.1), site(of)?)))
            .collect();
        // Those of equal growth by their names: numbers of labels depend on which was named first.
        sites.sort_by(|(a, a_site), (b, b_site)| {
            let by_name = || a_site.frame.function.cmp(&b_site.frame.function);
            b.total_cmp(a).then_with(by_name)
        });
        let sites: Vec<LeakSite> = sites.into_iter().map(|(_, site)| site).collect();
        let (largest, _) = by_site.largest.get(&group.sites.first()?.0)?;
        let under = match group.sites.as_slice() {
            [_] => sites.first()?.frame.clone(),
            _ => self.frame_on(*largest, group.under)?,
        };
        let total = group.total();
        let share = |part: f64, whole: f64| (whole > 0.0).then(|| (part / whole).clamp(0.0, 1.0));
        Some(Leak {
            letter,
            kind: Kind::Heap,
            under,
            via: self.via(*largest as usize, self.site_index(*largest)?),
            evidence: self.with_calls(self.evidence_of(group, &sites)),
            sites,
            share_bytes: share(total.bytes, bytes),
            share_objects: share(total.objects, objects),
            in_step: Vec::new(),
        })
    }

    /// The test on all sites of a leak together.
    fn evidence_of(&self, group: &Group, sites: &[LeakSite]) -> Evidence {
        let tracks = &self.diagnosis.tracks;
        let sum = || {
            let mut sum = sites
                .first()
                .map(|s| s.evidence.clone())
                .unwrap_or_default();
            sum.survivors = None;
            for site in sites.iter().skip(1) {
                add(&mut sum, &site.evidence);
            }
            sum
        };
        match sites {
            [only] => only.evidence.clone(),
            _ => tracks
                .verdict(Entity::frame(group.under))
                .filter(|verdict| {
                    verdict.word == Word::Growing
                        && !self.diagnosis.dispatchers.contains(group.under)
                })
                .map_or_else(sum, |verdict| evidence(&verdict.evidence)),
        }
    }

    /// Growth for each call, where calls are counted.
    pub(super) fn with_calls(&self, mut evidence: Evidence) -> Evidence {
        let window_ns = (evidence.minutes * MINUTE_NS).clamp(0.0, self.now_ns as f64);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to what has passed"
        )]
        let from_ns = self.now_ns - window_ns as u64;
        if let (Some(objects), Some(bytes)) = (evidence.objects_per_min, evidence.bytes_per_min) {
            evidence.per_call = self.growth_per_call(objects, bytes, from_ns, self.now_ns);
        }
        evidence
    }

    fn site_index(&self, idx: u32) -> Option<usize> {
        self.buckets
            .get(idx as usize)?
            .site_frame
            .map(|i| i as usize)
    }

    fn site_frame(&self, idx: u32) -> Option<Arc<Frame>> {
        let pc = self
            .buckets
            .get(idx as usize)?
            .pcs
            .get(self.site_index(idx)?)?;
        self.names.get(*pc).map(|named| named.frame.clone())
    }

    /// The frame with a label on the stack of a bucket; where it is not on that one, as it was seen first.
    fn frame_on(&self, idx: u32, label: u32) -> Option<Arc<Frame>> {
        let pcs = &self.buckets.get(idx as usize)?.pcs;
        pcs.iter()
            .filter_map(|&pc| self.names.get(pc))
            .find(|named| named.label(crate::model::rows::GroupBy::Function) == label)
            .map(|named| &named.frame)
            .or_else(|| self.diagnosis.tracks.frame(label))
            .cloned()
    }
}

/// Adds the numbers of another site of the same leak.
fn add(sum: &mut Evidence, other: &Evidence) {
    let both = |a: Option<Interval>, b: Option<Interval>| match (a, b) {
        (Some(a), Some(b)) => Some(plus(a, b)),
        (a, b) => a.or(b),
    };
    sum.bytes_per_min = both(sum.bytes_per_min, other.bytes_per_min);
    sum.objects_per_min = both(sum.objects_per_min, other.objects_per_min);
    sum.born += other.born;
    sum.died += other.died;
    sum.cycles = sum.cycles.max(other.cycles);
    sum.minutes = sum.minutes.max(other.minutes);
    sum.grows_with = sum
        .grows_with
        .filter(|with| other.grows_with == Some(*with));
    // What grows has enough of all.
    sum.missing = None;
    sum.oldest_cycles = sum.oldest_cycles.max(other.oldest_cycles);
}

/// What leaks are ranked by: the larger of their shares in bytes and in objects.
fn rank(group: &Group, (bytes, objects): (f64, f64)) -> f64 {
    let total = group.total();
    let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
    share(total.bytes, bytes).max(share(total.objects, objects))
}

/// Goroutines that grow in step with a leak of the heap come before it: they hold it, or come from the same call. Others
/// come last, since what they cost is small.
fn place(leaks: &mut Vec<Leak>, of_goroutines: Vec<Leak>) {
    for leak in of_goroutines {
        let linked = leaks
            .iter()
            .position(|other| leak.in_step.contains(&other.letter));
        leaks.insert(linked.unwrap_or(leaks.len()), leak);
    }
}

fn identity(group: &Group) -> Identity {
    Identity {
        under: u64::from(group.under),
        sites: group
            .sites
            .iter()
            .map(|(site, _)| u64::from(*site))
            .collect(),
    }
}
