//! Attribution: which calls hold the growth of the whole live heap.
//!
//! The growth is the net change of *veterans* (samples that outlived two GC cycles) since a baseline, as signed weights
//! by stack. A stack is a path of labels, outermost function first, without the runtime's. From the root the *chain*
//! follows the child that holds most of the growth. Its innermost step at which the share of kept objects rises is the
//! *retention edge*: the callee keeps what it allocates, its caller does not. Where the chain splits before such a step,
//! as at a dispatcher with two leaks below it, the calls out of the program's own code are searched.
//!
//! Pure: the caller gathers the stacks and says whose code a label is.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;

use crate::verdict::Z_90;

/// A child continues the chain while it holds at least this share of the growth.
const CHAIN_SHARE: f64 = 0.8;
/// An edge is a step at which the kept share rises by this factor.
const EDGE_FACTOR: f64 = 3.0;
/// Least kept share of the callee of an edge; below, nearly all of what it allocates dies.
const EDGE_LEAST_KEPT: f64 = 0.03;
/// Least births of the callee of an edge, so that its kept share means something.
const EDGE_LEAST_BIRTHS: f64 = 20.0;
/// A call out of the program's own code is a cause if the callee keeps this share of what it allocates for that caller.
const CALL_LEAST_KEPT: f64 = 0.8;
/// And keeps more than its caller by this factor.
const CALL_FACTOR: f64 = 1.5;
/// Least net samples behind a cause.
const LEAST_SAMPLES: f64 = 4.0;
/// A frame of the program that is a site with more than this share of the growth is a site, not a caller.
const SITE_SHARE: f64 = 0.2;
/// Causes are searched until what is left of the growth is below this share.
const LEAST_REST: f64 = 0.15;
/// Limit on listed causes.
const MAX_CAUSES: usize = 6;
/// Deepest search for edges below chains that split.
const MAX_SPLITS: usize = 8;
/// Evaluations in a row after which another cause replaces the one that was named first: a minute.
const HELD_FOR: u32 = 4;
/// A share is stated only if the growth exceeds this many of its standard errors.
const Z_KNOWN: f64 = 2.0;

/// Net change of the veterans of a stack: births count positive, deaths of the baseline's veterans negative.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Net {
    /// Sum of the signed weights, bytes.
    pub(super) bytes: f64,
    /// Sum of the squared weights.
    pub(super) squares: f64,
    /// Births less deaths, samples.
    pub(super) samples: f64,
    /// Objects that these samples stand for, signed.
    pub(super) objects: f64,
}

impl AddAssign for Net {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.squares += other.squares;
        self.samples += other.samples;
        self.objects += other.objects;
    }
}

/// One stack with growth or history.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path<'a> {
    /// Labels, outermost first, each once; the last is the call site.
    pub(super) labels: &'a [u32],
    /// Net change since the baseline; objects of [`LARGE_BYTES`] and more are left out by the caller.
    pub(super) net: Net,
    /// Samples born and freed in the period whose records are known.
    pub(super) born: f64,
    /// See `born`.
    pub(super) freed: f64,
}

/// Objects of at least this size change the live heap by steps: it is judged with and without them, and they are attributed
/// apart. One doubled map outweighs all else.
pub(super) const LARGE_BYTES: u64 = 1 << 20;

/// Code that a label belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Code {
    /// The standard library.
    Standard,
    /// A module of another owner.
    Library,
    /// Another module of the main module's owner.
    Owner,
    /// The main module.
    Main,
}

/// A share with its 90 % interval; not clamped to 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Share {
    pub(super) value: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

/// Returns the share of `part` in `all`; `None` while `all` is within two standard errors of zero.
///
/// Linearized bootstrap of Poisson counts: each weight w contributes (w · (inside − share))² to the variance.
pub(super) fn share(part: Net, all: Net) -> Option<Share> {
    if all.bytes <= Z_KNOWN * all.squares.sqrt() {
        return None;
    }
    let value = part.bytes / all.bytes;
    let outside = (all.squares - part.squares).max(0.0);
    let variance = (1.0 - value).powi(2) * part.squares + value.powi(2) * outside;
    let error = Z_90 * variance.sqrt() / all.bytes;
    Some(Share {
        value,
        low: value - error,
        high: value + error,
    })
}

/// A call that explains growth.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cause {
    /// The callee: it keeps what it allocates.
    pub(super) callee: u32,
    /// Its caller on these stacks.
    pub(super) caller: u32,
    /// The deepest frame below it that all of the growth passes, or the callee itself.
    pub(super) under: u32,
    /// Kept share of what the callee allocates, 0 to 1.
    pub(super) kept: f64,
    /// Kept share of what the caller allocates.
    pub(super) caller_kept: f64,
    /// Innermost frame of the program's own code that leads to it.
    pub(super) via: Option<u32>,
    /// Net change below it.
    pub(super) net: Net,
    /// Call sites below it that grew, largest first.
    pub(super) sites: Vec<(u32, Net)>,
}

/// Causes of a growth, and what they were found in.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Attribution {
    /// Net change of all stacks.
    pub(super) net: Net,
    /// Call sites that grew, largest first.
    pub(super) sites: Vec<(u32, Net)>,
    /// Frames from the root that all of the growth passes.
    pub(super) chain: Vec<u32>,
    /// Calls that explain it, largest first.
    pub(super) causes: Vec<Cause>,
}

impl Attribution {
    /// Net change of a call site; of one that lost, 0.
    pub(super) fn net_of(&self, site: u32) -> Net {
        let mut sites = self.sites.iter();
        sites
            .find(|(of, _)| *of == site)
            .map_or_else(Net::default, |(_, net)| *net)
    }
}

/// What is known of labels.
#[derive(Clone, Copy)]
pub(super) struct Labels<'a> {
    /// The code that a label belongs to.
    pub(super) of: &'a dyn Fn(u32) -> Code,
    /// True for a frame that most of what the process allocates passes.
    pub(super) is_dispatcher: &'a dyn Fn(u32) -> bool,
}

/// Attributes the growth of `paths`. `turnover` is filled when a search first needs it; attributions of the same stacks
/// by other net changes share it.
pub(super) fn attribute(
    paths: &[Path<'_>],
    code: Labels<'_>,
    turnover: &OnceCell<Turnover>,
    hold: &mut Hold,
) -> Attribution {
    let facts = Facts::of(paths, code, turnover);
    let all: Vec<usize> = (0..paths.len())
        .filter(|&i| paths[i].net.samples != 0.0 || paths[i].net.bytes != 0.0)
        .collect();
    let net = facts.net(&all);
    let (chain, _) = facts.chain(&all, 0);
    let mut attribution = Attribution {
        net,
        sites: facts.sites(&all),
        causes: Vec::new(),
        chain,
    };
    if net.bytes <= 0.0 || net.samples < LEAST_SAMPLES {
        return attribution;
    }
    attribution.causes = facts.causes(&all, &attribution.chain);
    hold.keep(&facts, &all, &mut attribution);
    attribution
}

/// Memory of the first cause: names that change from evaluation to evaluation are no names.
#[derive(Clone, Debug, Default)]
pub(super) struct Hold {
    /// Callee of the cause that is held.
    held: Option<u32>,
    /// Another one, and the evaluations in a row that found it.
    next: Option<(u32, u32)>,
}

impl Hold {
    /// Keeps the held cause first while it still explains the growth. A cause further in replaces it after some
    /// evaluations in a row, as does any once the held one explains nothing; one further out never does.
    fn keep(&mut self, facts: &Facts<'_>, all: &[usize], found: &mut Attribution) {
        let position = |label: u32| found.chain.iter().position(|&on_chain| on_chain == label);
        let first = found.causes.first().map(|cause| cause.callee);
        let (Some(held), Some(first)) = (self.held, first) else {
            self.held = self.held.or(first);
            self.next = None;
            return;
        };
        let is_outward = match (position(held), position(first)) {
            (Some(held), Some(first)) => first < held,
            (Some(_), None) => true,
            _ => false,
        };
        if first == held {
            self.next = None;
            return;
        }
        let times = match self.next {
            Some((next, times)) if next == first => times + 1,
            _ => 1,
        };
        let known = found.causes.iter().position(|cause| cause.callee == held);
        if !is_outward && times >= HELD_FOR {
            (self.held, self.next) = (Some(first), None);
            return;
        }
        self.next = (!is_outward).then_some((first, times));
        match (known, position(held)) {
            (Some(at), _) => found.causes[..=at].rotate_right(1),
            (None, Some(at)) if at > 0 => {
                let inside = facts.through(all, &found.chain[..=at]);
                let cause = facts.cause(&found.chain[..=at], &found.chain, &inside);
                found.causes = vec![cause];
            }
            _ => {}
        }
    }
}

/// Births and frees.
#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    born: f64,
    freed: f64,
}

impl Kept {
    fn share(self) -> f64 {
        if self.born > 0.0 {
            (1.0 - self.freed / self.born).clamp(0.0, 1.0)
        } else {
            0.0
        }
    }

    fn add(&mut self, path: &Path<'_>) {
        self.born += path.born;
        self.freed += path.freed;
    }
}

/// Births and frees by label and by call, whatever the net changes are.
#[derive(Debug)]
pub(super) struct Turnover {
    by_label: BTreeMap<u32, Kept>,
    by_call: BTreeMap<(u32, u32), Kept>,
}

impl Turnover {
    fn of(paths: &[Path<'_>]) -> Self {
        let mut by_label: BTreeMap<u32, Kept> = BTreeMap::new();
        let mut by_call: BTreeMap<(u32, u32), Kept> = BTreeMap::new();
        for path in paths {
            for &label in path.labels {
                by_label.entry(label).or_default().add(path);
            }
            for call in path.labels.windows(2) {
                by_call.entry((call[0], call[1])).or_default().add(path);
            }
        }
        Self { by_label, by_call }
    }
}

/// The stacks with what searches know of them.
struct Facts<'a> {
    paths: &'a [Path<'a>],
    code: Labels<'a>,
    turnover: &'a OnceCell<Turnover>,
    /// Least origin that counts as the program's own: the main module, unless no growing stack holds a frame of it.
    own: Code,
}

impl<'a> Facts<'a> {
    fn of(paths: &'a [Path<'a>], code: Labels<'a>, turnover: &'a OnceCell<Turnover>) -> Self {
        let mut own = Code::Library;
        for path in paths {
            if path.net.samples > 0.0 {
                let most = path.labels.iter().map(|&label| (code.of)(label)).max();
                own = own.max(most.unwrap_or(own));
            }
        }
        Self {
            paths,
            code,
            turnover,
            own,
        }
    }

    fn turnover(&self) -> &Turnover {
        self.turnover.get_or_init(|| Turnover::of(self.paths))
    }

    fn is_own(&self, label: u32) -> bool {
        (self.code.of)(label) >= self.own
    }

    fn kept(&self, label: u32) -> Kept {
        let turnover = self.turnover();
        turnover.by_label.get(&label).copied().unwrap_or_default()
    }

    fn net(&self, stacks: &[usize]) -> Net {
        let mut net = Net::default();
        for &i in stacks {
            net += self.paths[i].net;
        }
        net
    }

    fn sites(&self, stacks: &[usize]) -> Vec<(u32, Net)> {
        let mut sites: BTreeMap<u32, Net> = BTreeMap::new();
        for &i in stacks {
            if let Some(&site) = self.paths[i].labels.last() {
                *sites.entry(site).or_default() += self.paths[i].net;
            }
        }
        let mut sites: Vec<(u32, Net)> = sites
            .into_iter()
            .filter(|(_, net)| net.bytes > 0.0)
            .collect();
        sites.sort_by(|a, b| b.1.bytes.total_cmp(&a.1.bytes).then(a.0.cmp(&b.0)));
        sites
    }

    /// The frames from `depth` on that most of the growth of `stacks` passes, and the stacks that reach their end.
    fn chain(&self, stacks: &[usize], depth: usize) -> (Vec<u32>, Vec<usize>) {
        let (mut chain, mut left) = (Vec::new(), stacks.to_vec());
        loop {
            let children = self.children(&left, depth + chain.len());
            let total = self.net(&left).bytes;
            let most = children
                .into_iter()
                .map(|(label, stacks)| (self.net(&stacks).bytes, label, stacks))
                .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
            match most {
                Some((bytes, label, stacks)) if total > 0.0 && bytes >= CHAIN_SHARE * total => {
                    chain.push(label);
                    left = stacks;
                }
                _ => return (chain, left),
            }
        }
    }

    fn children(&self, stacks: &[usize], depth: usize) -> BTreeMap<u32, Vec<usize>> {
        let mut children: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for &i in stacks {
            if let Some(&label) = self.paths[i].labels.get(depth) {
                children.entry(label).or_default().push(i);
            }
        }
        children
    }

    /// The innermost step of a chain at which the kept share rises.
    fn edge(&self, chain: &[u32]) -> Option<usize> {
        (1..chain.len()).rev().find(|&at| {
            let (outer, inner) = (self.kept(chain[at - 1]), self.kept(chain[at]));
            let resolution = 0.5 / outer.born.max(1.0);
            inner.born >= EDGE_LEAST_BIRTHS
                && inner.share() >= EDGE_LEAST_KEPT
                && inner.share() >= EDGE_FACTOR * outer.share().max(resolution)
        })
    }

    fn causes(&self, all: &[usize], chain: &[u32]) -> Vec<Cause> {
        if let Some(at) = self.edge(chain) {
            let inside = self.through(all, &chain[..=at]);
            return vec![self.cause(&chain[..=at], chain, &inside)];
        }
        let total = self.net(all).bytes;
        let mut left = all.to_vec();
        let mut causes = Vec::new();
        while causes.len() < MAX_CAUSES && self.net(&left).bytes > LEAST_REST * total {
            let Some((cause, inside)) = self.call(&left).or_else(|| self.split_edge(&left)) else {
                break;
            };
            left.retain(|i| !inside.contains(i));
            causes.push(cause);
        }
        causes.sort_by(|a, b| {
            let bytes = b.net.bytes.total_cmp(&a.net.bytes);
            bytes.then(a.under.cmp(&b.under))
        });
        causes
    }

    /// The stacks that begin with `prefix`.
    fn through(&self, stacks: &[usize], prefix: &[u32]) -> BTreeSet<usize> {
        let inside = |i: &usize| self.paths[*i].labels.starts_with(prefix);
        stacks.iter().copied().filter(inside).collect()
    }

    /// The call out of the program's own code that holds most of the growth of `stacks` and keeps what it allocates: of those
    /// that hold nearly the same, the innermost.
    fn call(&self, stacks: &[usize]) -> Option<(Cause, BTreeSet<usize>)> {
        let all = self.net(stacks);
        let mut calls: BTreeMap<(u32, u32), Vec<usize>> = BTreeMap::new();
        for &i in stacks {
            for call in self.paths[i].labels.windows(2) {
                if self.is_own(call[0]) {
                    calls.entry((call[0], call[1])).or_default().push(i);
                }
            }
        }
        let explains = |(call, stacks): &((u32, u32), Vec<usize>)| {
            let net = self.net(stacks);
            let kept = self
                .turnover()
                .by_call
                .get(call)
                .copied()
                .unwrap_or_default()
                .share();
            net.samples >= LEAST_SAMPLES
                && share(net, all).is_some_and(|share| share.low > 0.0)
                && kept >= CALL_LEAST_KEPT
                && kept >= CALL_FACTOR * self.kept(call.0).share()
        };
        let explaining: Vec<((u32, u32), Vec<usize>)> =
            calls.into_iter().filter(explains).collect();
        let bytes = |call: &((u32, u32), Vec<usize>)| self.net(&call.1).bytes;
        let most = explaining
            .iter()
            .max_by(|a, b| bytes(a).total_cmp(&bytes(b)))?;
        let depth = |((_, callee), stacks): &((u32, u32), Vec<usize>)| {
            let first = stacks.first().map_or(&[][..], |&i| self.paths[i].labels);
            first.iter().position(|label| label == callee)
        };
        let is_within = |call: &&((u32, u32), Vec<usize>)| {
            bytes(call) >= CHAIN_SHARE * bytes(most)
                && call.1.iter().all(|i| most.1.binary_search(i).is_ok())
        };
        let &((outer, inner), ref stacks) = explaining
            .iter()
            .filter(is_within)
            .max_by(|a, b| depth(a).cmp(&depth(b)).then(b.0.cmp(&a.0)))?;
        let inside: BTreeSet<usize> = stacks.iter().copied().collect();
        let cause = Cause {
            callee: inner,
            caller: outer,
            under: self.deepest(stacks, inner),
            kept: self
                .turnover()
                .by_call
                .get(&(outer, inner))
                .copied()?
                .share(),
            caller_kept: self.kept(outer).share(),
            via: self.own_caller(stacks, inner).or(Some(outer)),
            net: self.net(stacks),
            sites: self.sites(stacks),
        };
        Some((cause, inside))
    }

    /// The largest edge in a subtree below a split that the program's own code leads to.
    fn split_edge(&self, stacks: &[usize]) -> Option<(Cause, BTreeSet<usize>)> {
        let all = self.net(stacks);
        let mut best: Option<(Cause, BTreeSet<usize>)> = None;
        let mut open = vec![(Vec::new(), stacks.to_vec(), 0)];
        while let Some((prefix, stacks, splits)) = open.pop() {
            let (more, end) = self.chain(&stacks, prefix.len());
            let chain: Vec<u32> = prefix.iter().chain(&more).copied().collect();
            let edge = self.edge(&chain).filter(|&at| {
                at >= prefix.len() && chain[..=at].iter().any(|&label| self.is_own(label))
            });
            if let Some(at) = edge {
                let inside = self.through(&stacks, &chain[..=at]);
                let cause = self.cause(&chain[..=at], &chain, &inside);
                if best
                    .as_ref()
                    .is_none_or(|(best, _)| cause.net.bytes > best.net.bytes)
                {
                    best = Some((cause, inside));
                }
                continue;
            }
            if splits == MAX_SPLITS {
                continue;
            }
            for (label, stacks) in self.children(&end, chain.len()) {
                let net = self.net(&stacks);
                let is_part = share(net, all).is_some_and(|share| share.low > 0.0);
                if net.samples >= LEAST_SAMPLES && is_part {
                    let prefix = chain.iter().copied().chain([label]).collect();
                    open.push((prefix, stacks, splits + 1));
                }
            }
        }
        best
    }

    /// The cause at the end of `upto`, a part of `chain`.
    fn cause(&self, upto: &[u32], chain: &[u32], inside: &BTreeSet<usize>) -> Cause {
        let stacks: Vec<usize> = inside.iter().copied().collect();
        let at = upto.len() - 1;
        let (inner, outer) = (upto[at], upto[at - 1]);
        let sites = self.sites(&stacks);
        let net = self.net(&stacks);
        let under = self.deepest(&stacks, inner);
        Cause {
            callee: inner,
            caller: outer,
            under,
            kept: self.kept(inner).share(),
            caller_kept: self.kept(outer).share(),
            via: self.via(chain, at, under, &sites, net),
            net,
            sites,
        }
    }

    /// The deepest frame that all growing stacks share, from `callee` on.
    fn deepest(&self, stacks: &[usize], callee: u32) -> u32 {
        let below = |i: usize| {
            let labels = self.paths[i].labels;
            let from = labels.iter().position(|&label| label == callee);
            &labels[from.unwrap_or(labels.len())..]
        };
        let mut growing = stacks.iter().filter(|&&i| self.paths[i].net.bytes > 0.0);
        let Some(&first) = growing.next() else {
            return callee;
        };
        let first = below(first);
        let common = growing.fold(first.len(), |common, &i| {
            let same = first.iter().zip(below(i)).take_while(|(a, b)| a == b);
            common.min(same.count())
        });
        common
            .checked_sub(1)
            .and_then(|last| first.get(last).copied())
            .unwrap_or(callee)
    }

    /// The innermost own frame between `callee` and the deepest frame that all growing stacks share, which it is not.
    fn own_caller(&self, stacks: &[usize], callee: u32) -> Option<u32> {
        let under = self.deepest(stacks, callee);
        let labels = self.paths[*stacks.first()?].labels;
        let at = |label: u32| labels.iter().position(|&on_path| on_path == label);
        let between = &labels[at(callee)?..at(under)?];
        let mut own = between.iter().rev().copied();
        own.find(|&label| self.is_own(label))
    }

    /// The frame of the program's own code to name with the callee at `at` and `under` below it: between them where the
    /// callee is its own, else the one that leads to it and is no dispatcher.
    fn via(
        &self,
        chain: &[u32],
        at: usize,
        under: u32,
        sites: &[(u32, Net)],
        net: Net,
    ) -> Option<u32> {
        let is_site = |label: u32| {
            let site = sites.iter().find(|(site, _)| *site == label);
            site.is_some_and(|(_, of)| of.bytes > SITE_SHARE * net.bytes)
        };
        let main = |label: &u32| (self.code.of)(*label) == Code::Main;
        if main(&chain[at]) {
            let below = chain[at..].iter().rev().copied().filter(main);
            let mut callers = below.filter(|&label| label != under);
            if let Some(own) = callers.find(|&label| !is_site(label)) {
                return Some(own);
            }
        }
        let mut above = chain[..at].iter().rev().copied();
        above
            .find(|&label| {
                (self.code.of)(label) >= Code::Owner && !(self.code.is_dispatcher)(label)
            })
            .or_else(|| chain[..at].last().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: f64 = 1_048_576.0;

    /// `grown` net samples of half a MiB each.
    fn path(labels: &[u32], grown: f64, born: f64, freed: f64) -> Path<'_> {
        let weight = MIB / 2.0;
        Path {
            labels,
            net: Net {
                bytes: grown * weight,
                squares: grown.abs() * weight * weight,
                samples: grown,
                objects: grown,
            },
            born,
            freed,
        }
    }

    /// Below 100 the main module, below 200 a library, the standard library from there on.
    fn code(label: u32) -> Code {
        match label {
            0..100 => Code::Main,
            100..200 => Code::Library,
            _ => Code::Standard,
        }
    }

    fn attributed(paths: &[Path<'_>]) -> Attribution {
        let labels = Labels {
            of: &code,
            is_dispatcher: &|label| label == SERVE,
        };
        attribute(paths, labels, &OnceCell::new(), &mut Hold::default())
    }

    fn net(samples: f64) -> Net {
        path(&[], samples, 0.0, 0.0).net
    }

    const CONN: u32 = 200;
    const READ: u32 = 201;
    const SERVE: u32 = 1;
    const HANDLER: u32 = 2;
    const AUTH: u32 = 3;
    const LIMIT: u32 = 4;
    const CREATE: u32 = 5;
    const NEW: u32 = 100;
    const COUNTER: u32 = 101;
    const HISTOGRAM: u32 = 102;
    const SET: u32 = 103;

    #[test]
    fn gives_a_share_with_its_interval() {
        let mut all = net(10.0);
        all += net(2.0);
        all += net(-2.0);
        let of = share(net(10.0), all).unwrap();
        assert!((of.value - 1.0).abs() < 1e-9, "{of:?}");
        assert!((of.low - 0.671).abs() < 0.001, "{of:?}");
        let mut even = net(2.0);
        even += net(-2.0);
        assert_eq!(share(net(2.0), even), None);
    }

    #[test]
    fn names_the_step_at_which_objects_are_kept() {
        let paths = [
            path(&[CONN, SERVE, HANDLER, NEW, COUNTER], 10.0, 60.0, 2.0),
            path(&[CONN, SERVE, HANDLER, NEW, HISTOGRAM], 5.0, 30.0, 0.0),
            path(&[CONN, SERVE, HANDLER, NEW], 0.0, 500.0, 500.0),
            path(&[CONN, SERVE, HANDLER], 0.0, 3000.0, 2998.0),
            path(&[CONN, SERVE], 1.0, 6000.0, 5980.0),
        ];
        let found = attributed(&paths);
        let [cause] = &found.causes[..] else {
            panic!("{found:?}");
        };
        assert_eq!((cause.under, cause.caller), (NEW, HANDLER));
        assert_eq!(cause.via, Some(HANDLER));
        let sites: Vec<u32> = cause.sites.iter().map(|(site, _)| *site).collect();
        assert_eq!(sites, [COUNTER, HISTOGRAM]);
        assert!(cause.kept > 0.1 && cause.caller_kept < 0.03, "{cause:?}");
    }

    #[test]
    fn names_the_call_that_keeps_where_no_caller_holds_most() {
        let paths = [
            path(&[CONN, READ], 22.0, 400.0, 200.0),
            path(&[CONN, SERVE, AUTH, SET], 17.0, 100.0, 13.0),
            path(&[CONN, SERVE, AUTH], 0.0, 700.0, 690.0),
            path(&[CONN, SERVE], 10.0, 900.0, 800.0),
        ];
        let found = attributed(&paths);
        assert_eq!(found.chain, [CONN]);
        let cause = &found.causes[0];
        assert_eq!((cause.under, cause.via), (SET, Some(AUTH)));
    }

    #[test]
    fn names_two_leaks_below_one_dispatcher() {
        let paths = [
            path(&[CONN, SERVE, HANDLER, NEW, COUNTER], 8.0, 40.0, 2.0),
            path(&[CONN, SERVE, HANDLER, NEW, HISTOGRAM], 5.0, 20.0, 0.0),
            path(&[CONN, SERVE, HANDLER, NEW], 0.0, 500.0, 500.0),
            path(&[CONN, SERVE, HANDLER], 0.0, 3000.0, 3000.0),
            path(&[CONN, SERVE, LIMIT, CREATE], 10.0, 60.0, 0.0),
            path(&[CONN, SERVE, LIMIT], 0.0, 500.0, 500.0),
            path(&[CONN, SERVE], 0.0, 9000.0, 9000.0),
        ];
        let found = attributed(&paths);
        let named: Vec<(u32, u32)> = found
            .causes
            .iter()
            .map(|cause| (cause.under, cause.caller))
            .collect();
        assert_eq!(named, [(NEW, HANDLER), (CREATE, LIMIT)]);
    }

    #[test]
    fn names_a_library_caller_where_the_program_is_not_on_the_stack() {
        const SERVER: u32 = 110;
        const HANDLE: u32 = 111;
        const LOCK: u32 = 112;
        const COPY: u32 = 113;
        let paths = [
            path(&[SERVER, HANDLE, COPY], 12.0, 40.0, 0.0),
            path(&[SERVER, HANDLE, LOCK], 8.0, 30.0, 0.0),
            path(&[SERVER, COPY], 0.0, 400.0, 400.0),
            path(&[SERVER], 0.0, 900.0, 900.0),
        ];
        let found = attributed(&paths);
        let cause = &found.causes[0];
        assert_eq!((cause.under, cause.via), (HANDLE, Some(SERVER)));
    }

    #[test]
    fn names_nothing_for_a_heap_that_shrinks_or_by_three_samples() {
        for grown in [-20.0, 3.0] {
            let paths = [path(&[CONN, SERVE, HANDLER, SET], grown, 60.0, 0.0)];
            assert_eq!(attributed(&paths).causes, []);
        }
    }
}
