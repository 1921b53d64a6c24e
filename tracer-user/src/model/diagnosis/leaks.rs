//! Leaks: the causes of growth, named and ranked, as the findings hold them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::attribution::{Net, share};
use super::found::Found;
use super::grouping::{Recent, Stack};
use super::letters::{Identity, MAX_LETTERS};
use super::{Entity, MINUTE_NS};
use crate::go::frame::Frame;
use crate::go::symbol;
use crate::model::Model;
use crate::model::findings::{Evidence, Findings, Interval, Kept, Kind, Leak, LeakSite};
use crate::model::rows::RowId;
use crate::model::stated::{evidence, stated};
use crate::verdict::{Survivors, Word, Z_90};

/// Growth of the call sites over the recent minutes, and the fate of their samples.
pub(super) struct BySite {
    recent: BTreeMap<u32, Recent>,
    /// Bucket with the largest growth of each site.
    largest: BTreeMap<u32, (u32, f64)>,
    survivors: HashMap<u32, Survivors>,
}

impl BySite {
    fn of(stacks: &[(u32, Stack<'_>)]) -> Self {
        let mut sites = Self {
            recent: BTreeMap::new(),
            largest: BTreeMap::new(),
            survivors: HashMap::new(),
        };
        for (idx, stack) in stacks {
            let Some(&site) = stack.labels.first() else {
                continue;
            };
            *sites.recent.entry(site).or_default() += stack.recent;
            sites.offer(site, *idx, stack.recent.bytes);
        }
        sites
    }

    fn offer(&mut self, site: u32, idx: u32, bytes: f64) {
        let largest = self.largest.entry(site).or_insert((idx, bytes));
        if bytes > largest.1 {
            *largest = (idx, bytes);
        }
    }

    /// Adds the fate of each bucket's samples to its site.
    fn count(&mut self, survivors: HashMap<u32, Survivors>, site: impl Fn(u32) -> Option<u32>) {
        for (idx, of) in survivors {
            let Some(label) = site(idx) else { continue };
            let sum = self.survivors.entry(label).or_default();
            sum.live += of.live;
            sum.died += of.died;
            sum.oldest_cycles = sum.oldest_cycles.max(of.oldest_cycles);
        }
    }

    /// The bucket of a site that grew most lately.
    pub(super) fn largest(&self, site: u32) -> Option<u32> {
        self.largest.get(&site).map(|(idx, _)| *idx)
    }

    /// Adds "41 of 41 live", and for how many cycles.
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
}

impl Model {
    /// Gathers what grows into leaks and writes the findings.
    pub(super) fn find_leaks(&mut self) {
        let mut dispatchers = std::mem::take(&mut self.diagnosis.dispatchers);
        let growing_sites: BTreeSet<u32> = self.diagnosis.tracks.growing_sites().collect();
        dispatchers.look(&plain(&self.diagnosis.tracks.stacks()), &growing_sites);
        self.diagnosis.dispatchers = dispatchers;
        self.write_findings();
    }

    /// Writes the findings as of the last evaluation and of what the history says since.
    pub(super) fn write_findings(&mut self) {
        self.note_turnover();
        let growing_sites: BTreeSet<u32> = self.diagnosis.tracks.growing_sites().collect();
        let diagnosis = &self.diagnosis;
        let tracks = &diagnosis.tracks;
        let stacks = tracks.stacks();
        let mut by_site = BySite::of(&stacks);
        by_site.count(diagnosis.feed.survivors(), |idx| tracks.site(idx));
        for (&site, &idx) in &diagnosis.explained.largest {
            by_site.offer(site, idx, f64::MIN);
        }
        let plain = plain(&stacks);
        let found = self.found(&plain, &growing_sites);
        let growing_goroutines = self.growing_goroutines();
        let growing_others = self.growing_others(!growing_goroutines.is_empty());
        let identities: Vec<Identity> = found
            .iter()
            .map(Found::identity)
            .chain(growing_goroutines.iter().map(|leak| leak.identity.clone()))
            .chain(growing_others.iter().map(|leak| leak.identity.clone()))
            .collect();
        let mut letters = self.diagnosis.letters.clone();
        let mut given = letters.give(&identities).into_iter();
        let omitted = identities.len().saturating_sub(MAX_LETTERS) as u64;
        let mut leaks = Vec::new();
        let mut survivors = HashMap::new();
        for (found, letter) in found.iter().zip(&mut given) {
            let Some(letter) = letter else { continue };
            if let Some(leak) = self.leak(found, letters.reported(letter), &by_site) {
                survivors.extend(leak.sites.iter().filter_map(|site| {
                    let of = &site.evidence;
                    Some((site.row?.0, (of.survivors, of.oldest_cycles)))
                }));
                leaks.push(leak);
            }
        }
        let mut of_goroutines = Vec::new();
        for (growing, letter) in growing_goroutines.into_iter().zip(&mut given) {
            let Some(letter) = letter else { continue };
            let reported = letters.reported(letter);
            let is_taken = |leak: &Leak| leak.letter == reported;
            let own = if of_goroutines.iter().any(is_taken) {
                letter
            } else {
                reported
            };
            let found = self.goroutine_leak(growing, own, &mut leaks, &by_site);
            if let Some((leak, certain)) = found {
                if !certain.is_empty() {
                    letters.join(letter, leak.letter);
                }
                for of_heap in certain {
                    letters.join(of_heap, leak.letter);
                }
                of_goroutines.push(leak);
            }
        }
        give_overhead(&mut leaks, &mut of_goroutines);
        let mut letter_of = HashMap::new();
        for leak in leaks.iter().chain(&of_goroutines) {
            let rows = leak.sites.iter().chain(&leak.held);
            letter_of.extend(rows.filter_map(|site| Some((site.row?.0, leak.letter))));
            let under = leak
                .under
                .as_ref()
                .and_then(|under| self.names.function(under));
            letter_of.extend(under.map(|label| (label, leak.letter)));
        }
        place(&mut leaks, of_goroutines);
        self.state_leaks(&mut leaks);
        let others = growing_others.into_iter().zip(given);
        leaks.extend(others.filter_map(|(other, letter)| Some(other.leak(letter?))));
        let mut findings = Findings {
            leaks,
            suspects: self.suspects(&by_site),
            observations: self.observations(),
            omitted,
            unjudged_stacks: self.diagnosis.tracks.refused,
            dropped_samples: self.diagnosis.feed.dropped(),
            ..Findings::default()
        };
        self.judge_process(&mut findings);
        // Amounts per call divide the rates that the process was judged with.
        self.find_drivers(&mut findings.leaks);
        self.findings = Arc::new(findings);
        self.diagnosis.letters = letters;
        self.diagnosis.letter_of = letter_of;
        self.diagnosis.survivors = survivors;
    }

    fn leak(&self, found: &Found, letter: char, by_site: &BySite) -> Option<Leak> {
        let tracks = &self.diagnosis.tracks;
        let explained = &self.diagnosis.explained;
        let (net, total) = (found.net(), explained.grown_net());
        let site = |&(label, _): &(u32, Net)| {
            let verdict = tracks.verdict(Entity::site(label)).map(stated);
            Some(LeakSite {
                row: Some(RowId(label)),
                frame: self.site_frame(by_site.largest(label)?)?,
                evidence: self.with_calls(
                    by_site.with_survivors(verdict.unwrap_or_default().evidence, label),
                ),
                share: share_of(explained.grown_net_of(label), total),
            })
        };
        let sites: Vec<LeakSite> = found.sites.iter().filter_map(site).collect();
        let held = found.held.iter().filter_map(site).collect();
        let &(first, _) = found.sites.first()?;
        let largest = by_site.largest(first)?;
        let frame = |label: u32| self.frame_on(largest, label);
        let cause = found.cause.as_ref();
        let kept = cause.and_then(|cause| {
            Some(Kept {
                callee: frame(cause.callee)?,
                share: cause.kept,
                caller: frame(cause.caller)?,
                caller_share: cause.caller_kept,
            })
        });
        Some(Leak {
            letter,
            kind: Kind::Heap,
            word: found.word,
            under: found.under.and_then(frame),
            kept,
            via: self.via_of_found(found),
            evidence: self.with_calls(self.evidence_of(found, &sites)),
            sites,
            held,
            since_start: None,
            share_bytes: share_of(net, total),
            share_objects: (total.objects > 0.0)
                .then(|| (net.objects / total.objects).clamp(0.0, 1.0)),
            in_step: Vec::new(),
            driver: None,
        })
    }

    /// Numbers of a leak as a whole: its share of the rate of the whole, which is exact; else those of its sites.
    fn evidence_of(&self, found: &Found, sites: &[LeakSite]) -> Evidence {
        let mut sum = self.sum_of(found, sites);
        let explained = &self.diagnosis.explained;
        let whole = self.diagnosis.whole.judged().heap.rate;
        let own = found.net();
        let share = share(own, explained.grown_net());
        if let (Some(whole), Some(share)) = (whole, share)
            && whole.per_min.value > 0.0
            && share.value > 0.0
        {
            let rate = &whole.per_min;
            let value = share.value * rate.value;
            let error = |low: f64, high: f64, of: f64| (high - low) / 2.0 / of;
            let relative = error(share.low, share.high, share.value)
                .hypot(error(rate.low, rate.high, rate.value));
            let interval = |value: f64, relative: f64| Interval {
                value,
                low: value * (1.0 - relative),
                high: value * (1.0 + relative),
            };
            let of_whole = interval(value, relative).above_zero();
            sum.bytes_per_min = of_whole.or(sum.bytes_per_min);
            let minutes = explained.span_s / 60.0;
            let noise = Z_90 * own.squares.sqrt() / own.bytes;
            if minutes > 0.0 && own.objects > 0.0 {
                let of_samples = interval(own.objects / minutes, noise).above_zero();
                sum.objects_per_min = of_samples.or(sum.objects_per_min);
            }
        }
        sum
    }

    /// The test on all sites of a leak together.
    fn sum_of(&self, found: &Found, sites: &[LeakSite]) -> Evidence {
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
            sum.missing = None;
            sum
        };
        match (sites, found.under) {
            ([only], _) => only.evidence.clone(),
            (_, None) => sum(),
            (_, Some(under)) => tracks
                .verdict(Entity::frame(under))
                .filter(|verdict| {
                    verdict.word == Word::Growing && !self.diagnosis.dispatchers.contains(under)
                })
                .map_or_else(sum, |verdict| evidence(&verdict.evidence)),
        }
    }

    /// Adds growth for each call, where calls are counted.
    pub(super) fn with_calls(&self, mut evidence: Evidence) -> Evidence {
        let window_ns = (evidence.minutes * MINUTE_NS).clamp(0.0, self.now_ns as f64);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to what has passed"
        )]
        let from_ns = self.now_ns - window_ns as u64;
        if let (Some(objects), Some(bytes)) = (evidence.objects_per_min, evidence.bytes_per_min) {
            let per_call = self.growth_per_call(objects, bytes, from_ns, self.now_ns);
            evidence.per_call = per_call.filter(|per_call| {
                per_call.objects.above_zero().is_some() && per_call.bytes.above_zero().is_some()
            });
        }
        evidence
    }

    fn site_index(&self, idx: u32) -> Option<usize> {
        self.buckets
            .get(idx as usize)?
            .site_frame
            .map(|i| i as usize)
    }

    pub(super) fn site_frame(&self, idx: u32) -> Option<Arc<Frame>> {
        let pc = self
            .buckets
            .get(idx as usize)?
            .pcs
            .get(self.site_index(idx)?)?;
        self.names.get(*pc).map(|named| named.frame.clone())
    }

    /// The frame with a label on the stack of a bucket; where it is not on that one, as it was seen first.
    pub(super) fn frame_on(&self, idx: u32, label: u32) -> Option<Arc<Frame>> {
        let pcs = &self.buckets.get(idx as usize)?.pcs;
        pcs.iter()
            .filter_map(|&pc| self.names.get(pc))
            .find(|named| named.label(crate::model::rows::GroupBy::Function) == label)
            .map(|named| &named.frame)
            .or_else(|| self.diagnosis.paths.frame(label))
            .cloned()
    }
}

fn plain<'a>(stacks: &[(u32, Stack<'a>)]) -> Vec<Stack<'a>> {
    stacks.iter().map(|(_, stack)| *stack).collect()
}

/// The share of a net change in all of it, between 0 and 1.
pub(super) fn share_of(part: Net, all: Net) -> Option<Interval> {
    let share = share(part, all)?;
    let clamped = |share: f64| share.clamp(0.0, 1.0);
    Some(Interval {
        value: clamped(share.value),
        low: clamped(share.low),
        high: clamped(share.high),
    })
}

/// Adds the numbers of another site of the same leak.
fn add(sum: &mut Evidence, other: &Evidence) {
    let both = |a: Option<Interval>, b: Option<Interval>| match (a, b) {
        (Some(a), Some(b)) => Some(a.plus(b)),
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
    sum.oldest_cycles = sum.oldest_cycles.max(other.oldest_cycles);
}

/// Gives the memory that the runtime itself allocates for goroutines and threads to the leak of goroutines: it is no leak of
/// its own.
fn give_overhead(leaks: &mut Vec<Leak>, of_goroutines: &mut [Leak]) {
    let Some(first) = of_goroutines.first_mut() else {
        return;
    };
    let is_runtime = |site: &LeakSite| symbol::is_runtime(&site.frame.function);
    leaks.retain_mut(|leak| {
        let is_overhead = leak.sites.iter().all(is_runtime);
        if is_overhead {
            first.held.append(&mut leak.sites);
        }
        !is_overhead
    });
}

/// Puts leaks of goroutines before those of the heap with the same letter, which they hold or which come from the same
/// call. Others come last: what they cost is small.
fn place(leaks: &mut Vec<Leak>, of_goroutines: Vec<Leak>) {
    for leak in of_goroutines {
        let linked = leaks.iter().position(|other| other.letter == leak.letter);
        leaks.insert(linked.unwrap_or(leaks.len()), leak);
    }
}
