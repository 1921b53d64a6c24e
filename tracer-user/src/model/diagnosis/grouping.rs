//! Which growing sites are one leak: those that share a caller which explains them.
//!
//! Stacks are lists of labels, one for each function on it, the call site first. Growth is net: a stack that loses counts
//! against its label. A frame that everything passes through explains nothing, so two leaks of one server stay two.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A frame explains a site if so much of its growth, at most, comes by other ways; a standard error of that is
/// granted on top.
const MOST_ELSEWHERE: f64 = 0.1;
/// The same for sites that were one leak at the last look, so that they do not part by chance.
const MOST_ELSEWHERE_BEFORE: f64 = 0.25;
/// A frame is a dispatcher if more than this share of what is allocated, apart from the growing sites, passes it.
const DISPATCHED: f64 = 0.5;
/// And stays one while more than this does.
const STILL_DISPATCHED: f64 = 0.4;
/// Births, apart from those of growing sites, that it takes to call a frame a dispatcher.
const MIN_OTHER_BIRTHS: f64 = 20.0;
/// A growing frame is a leak of its own if at least this share of its growth is at sites of no leak yet.
const MIN_UNEXPLAINED: f64 = 0.3;
/// The same while such sites are of a leak already.
const STILL_UNEXPLAINED: f64 = 0.1;
/// A site carries the growth of a frame if it has at least this share of it.
const MIN_CARRIED: f64 = 0.1;
/// And goes on to while it has this share.
const STILL_CARRIED: f64 = 0.05;
/// Most members that a growing frame gathers: a list that a person can read.
const MAX_MEMBERS: usize = 32;

/// Most growing frames that are looked into, the deepest first; those further out hold what these do.
const MAX_FRAMES: usize = 64;

/// Growth and births of one stack over the recent minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Recent {
    /// Veterans that came less those that went, in bytes.
    pub(super) bytes: f64,
    /// The same in objects.
    pub(super) objects: f64,
    /// Variance of `bytes`: the sum of the squares of each that came or went.
    pub(super) bytes_var: f64,
    /// Samples born, those that died included.
    pub(super) births: f64,
}

impl std::ops::AddAssign for Recent {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.objects += other.objects;
        self.bytes_var += other.bytes_var;
        self.births += other.births;
    }
}

/// One stack: what it did recently, and who is on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stack<'a> {
    /// Labels of its functions without those of the runtime, innermost first, each once; the first is the site.
    pub(super) labels: &'a [u32],
    /// What it did.
    pub(super) recent: Recent,
}

impl Stack<'_> {
    fn site(&self) -> Option<u32> {
        self.labels.first().copied()
    }
}

/// What grows, as the engine says, and what is known of frames.
pub(super) struct Growing<'a> {
    /// Labels of sites that grow by themselves.
    pub(super) sites: &'a BTreeSet<u32>,
    /// Labels of frames that grow with everything below them.
    pub(super) frames: &'a [u32],
    /// Whether a frame may explain a leak: no root, and none of the standard library.
    pub(super) can_explain: &'a dyn Fn(u32) -> bool,
    /// Whether two sites were one leak at the last look.
    pub(super) were_one: &'a dyn Fn(u32, u32) -> bool,
}

/// Sites that are one leak.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Group {
    /// The deepest frame that all of it passes through; of a single site the site.
    pub(super) under: u32,
    /// Its sites with what they did under this frame, the largest growth in bytes first.
    pub(super) sites: Vec<(u32, Recent)>,
}

impl Group {
    /// Growth of all its sites.
    pub(super) fn total(&self) -> Recent {
        let mut total = Recent::default();
        for (_, recent) in &self.sites {
            total += *recent;
        }
        total
    }
}

/// Frames that everything passes through, remembered from look to look.
#[derive(Clone, Debug, Default)]
pub(super) struct Dispatchers {
    labels: BTreeSet<u32>,
}

impl Dispatchers {
    /// Finds the frames through which most of what is allocated passes, apart from the growing sites' own.
    pub(super) fn look(&mut self, stacks: &[Stack<'_>], growing: &BTreeSet<u32>) {
        let mut total = 0.0;
        let others = stacks.iter().filter(|stack| {
            let grows = stack.site().is_some_and(|site| growing.contains(&site));
            total += if grows { 0.0 } else { stack.recent.births };
            !grows
        });
        let births = births_by_label(others);
        if total < MIN_OTHER_BIRTHS {
            return; // What was known still holds.
        }
        let is_dispatcher = |&(label, &births): &(u32, &f64)| {
            let share = births / total;
            let was = self.labels.contains(&label);
            share > if was { STILL_DISPATCHED } else { DISPATCHED }
        };
        self.labels = (0u32..)
            .zip(&births)
            .filter(is_dispatcher)
            .map(|(label, _)| label)
            .collect();
    }

    /// Whether a frame explains nothing.
    pub(super) fn contains(&self, label: u32) -> bool {
        self.labels.contains(&label)
    }
}

/// Births that pass each label; labels are dense numbers.
pub(super) fn births_by_label<'a>(stacks: impl Iterator<Item = &'a Stack<'a>>) -> Vec<f64> {
    let mut births: Vec<f64> = Vec::new();
    for stack in stacks {
        for &label in stack.labels {
            let i = label as usize;
            if i >= births.len() {
                births.resize(i + 1, 0.0);
            }
            births[i] += stack.recent.births;
        }
    }
    births
}

/// How the growth of one site is spread over the frames above it.
#[derive(Default)]
struct Spread {
    total: Recent,
    /// By label: what passes through it, and its distance from the site, weighted by births.
    by_label: HashMap<u32, (Recent, Depth)>,
}

#[derive(Clone, Copy, Default)]
struct Depth {
    weighted: f64,
    weight: f64,
    /// It was the innermost frame that can explain, on every stack.
    is_innermost: bool,
}

impl Spread {
    /// Of the sites that are `wanted`.
    fn of(
        stacks: &[Stack<'_>],
        growing: &Growing<'_>,
        wanted: impl Fn(u32) -> bool,
    ) -> BTreeMap<u32, Self> {
        let mut spreads: BTreeMap<u32, Self> = BTreeMap::new();
        for stack in stacks {
            let Some(site) = stack.site().filter(|&site| wanted(site)) else {
                continue;
            };
            spreads
                .entry(site)
                .or_default()
                .add(stack, growing.can_explain);
        }
        spreads
    }

    fn add(&mut self, stack: &Stack<'_>, can_explain: &dyn Fn(u32) -> bool) {
        self.total += stack.recent;
        let weight = stack.recent.bytes.abs() + f64::MIN_POSITIVE;
        let innermost = stack.labels.iter().position(|&label| can_explain(label));
        for (i, &label) in stack.labels.iter().enumerate() {
            let (recent, depth) = self.by_label.entry(label).or_insert((
                Recent::default(),
                Depth {
                    is_innermost: true,
                    ..Depth::default()
                },
            ));
            *recent += stack.recent;
            depth.weighted += weight * i as f64;
            depth.weight += weight;
            depth.is_innermost &= innermost == Some(i);
        }
    }

    /// Whether all growth passes a frame, as far as can be told.
    fn is_explained_by(&self, label: u32, most_elsewhere: f64) -> bool {
        let Some((through, _)) = self.by_label.get(&label) else {
            return false;
        };
        let elsewhere = self.total.bytes - through.bytes;
        let error = (self.total.bytes_var - through.bytes_var).max(0.0).sqrt();
        self.total.bytes > 0.0 && elsewhere <= most_elsewhere * self.total.bytes + error
    }

    fn depth(&self, label: u32) -> f64 {
        self.by_label
            .get(&label)
            .map_or(f64::INFINITY, |(_, depth)| depth.weighted / depth.weight)
    }

    fn is_innermost(&self, label: u32) -> bool {
        self.by_label
            .get(&label)
            .is_some_and(|(_, depth)| depth.is_innermost)
    }
}

/// Gathers what grows into leaks, in no order.
pub(super) fn group(
    stacks: &[Stack<'_>],
    growing: &Growing<'_>,
    dispatchers: &Dispatchers,
) -> Vec<Group> {
    let spreads = Spread::of(stacks, growing, |site| growing.sites.contains(&site));
    let mut left: BTreeSet<u32> = growing
        .sites
        .iter()
        .copied()
        .filter(|site| spreads.contains_key(site))
        .collect();
    let mut groups = Vec::new();
    while let Some((frame, sites)) = widest(&left, &spreads, growing, dispatchers) {
        for site in &sites {
            left.remove(site);
        }
        groups.push(gathered(frame, &sites, &spreads));
    }
    for site in left {
        groups.push(Group {
            under: site,
            sites: vec![(site, spreads[&site].total)],
        });
    }
    for &frame in growing.frames.iter().take(MAX_FRAMES) {
        if (growing.can_explain)(frame) && !dispatchers.contains(frame) {
            carry(frame, stacks, growing, &mut groups);
        }
    }
    groups
}

/// The frame that explains most of the sites that are left, at least two, and of several the deepest.
fn widest(
    left: &BTreeSet<u32>,
    spreads: &BTreeMap<u32, Spread>,
    growing: &Growing<'_>,
    dispatchers: &Dispatchers,
) -> Option<(u32, Vec<u32>)> {
    let mut by_frame: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for &site in left {
        let spread = &spreads[&site];
        let before = left
            .iter()
            .any(|&other| other != site && (growing.were_one)(site, other));
        let most_elsewhere = if before {
            MOST_ELSEWHERE_BEFORE
        } else {
            MOST_ELSEWHERE
        };
        for &label in spread.by_label.keys() {
            // Within one function's own body even a dispatcher explains what it does itself.
            let is_allowed = (growing.can_explain)(label)
                && (!dispatchers.contains(label) || spread.is_innermost(label));
            if is_allowed && spread.is_explained_by(label, most_elsewhere) {
                by_frame.entry(label).or_default().push(site);
            }
        }
    }
    let depth = |label: u32, sites: &[u32]| -> f64 {
        sites.iter().map(|site| spreads[site].depth(label)).sum()
    };
    by_frame
        .into_iter()
        .filter(|(_, sites)| sites.len() > 1)
        .min_by(|(a, a_sites), (b, b_sites)| {
            b_sites
                .len()
                .cmp(&a_sites.len())
                .then_with(|| depth(*a, a_sites).total_cmp(&depth(*b, b_sites)))
        })
}

fn gathered(under: u32, sites: &[u32], spreads: &BTreeMap<u32, Spread>) -> Group {
    let mut sites: Vec<(u32, Recent)> = sites
        .iter()
        .map(|&site| (site, spreads[&site].total))
        .collect();
    largest_first(&mut sites);
    Group { under, sites }
}

/// Growth in whole KiB: sums of the same samples in another order differ in their last bits, which decide nothing.
pub(super) fn kib(recent: &Recent) -> f64 {
    (recent.bytes / 1024.0).round()
}

fn largest_first(sites: &mut [(u32, Recent)]) {
    sites.sort_by(|a, b| kib(&b.1).total_cmp(&kib(&a.1)).then(a.0.cmp(&b.0)));
}

/// A growing frame whose growth is at sites that do not grow by themselves yet: it makes a leak of those, or adds them to
/// the leak that it holds already.
fn carry(frame: u32, stacks: &[Stack<'_>], growing: &Growing<'_>, groups: &mut Vec<Group>) {
    let below: Vec<Stack<'_>> = stacks
        .iter()
        .filter(|stack| stack.labels.contains(&frame))
        .copied()
        .collect();
    let mut totals: BTreeMap<u32, Recent> = BTreeMap::new();
    for stack in &below {
        if let Some(site) = stack.site() {
            *totals.entry(site).or_default() += stack.recent;
        }
    }
    let total: f64 = totals.values().map(|recent| recent.bytes).sum();
    let is_in = |site: &u32| {
        groups
            .iter()
            .position(|group| group.sites.iter().any(|(member, _)| member == site))
    };
    let mut large: Vec<(u32, Recent)> = totals
        .iter()
        .map(|(&site, &recent)| (site, recent))
        .filter(|(_, recent)| recent.bytes > 0.0 && recent.bytes >= STILL_CARRIED * total)
        .collect();
    largest_first(&mut large);
    let were_one = |site: u32| {
        let mut others = large.iter().filter(|(other, _)| *other != site);
        others.any(|(other, _)| (growing.were_one)(site, *other))
    };
    let mut new: Vec<(u32, Recent)> = large
        .iter()
        .filter(|(site, recent)| {
            is_in(site).is_none() && (recent.bytes >= MIN_CARRIED * total || were_one(*site))
        })
        .copied()
        .collect();
    new.truncate(MAX_MEMBERS);
    let unexplained: f64 = new.iter().map(|(_, recent)| recent.bytes).sum();
    let least = if new.iter().any(|(site, _)| were_one(*site)) {
        STILL_UNEXPLAINED
    } else {
        MIN_UNEXPLAINED
    };
    if total <= 0.0 || unexplained < least * total {
        return;
    }
    // A leak all of which passes this frame is the same leak.
    let holds = |group: &Group| {
        group.sites.iter().all(|(site, recent)| {
            totals
                .get(site)
                .is_some_and(|below| below.bytes >= (1.0 - MOST_ELSEWHERE_BEFORE) * recent.bytes)
        })
    };
    let held: Vec<usize> = (0..groups.len()).filter(|&i| holds(&groups[i])).collect();
    let mut sites = new;
    for i in held.into_iter().rev() {
        sites.extend(groups.remove(i).sites);
    }
    largest_first(&mut sites);
    let spreads = Spread::of(&below, growing, |site| {
        sites.iter().any(|(member, _)| *member == site)
    });
    let explains = |label: &u32| {
        (growing.can_explain)(*label)
            && sites
                .iter()
                .filter_map(|(site, _)| spreads.get(site))
                .all(|spread| spread.is_explained_by(*label, MOST_ELSEWHERE))
    };
    let depth = |label: u32| -> f64 { spreads.values().map(|spread| spread.depth(label)).sum() };
    let deepest = sites
        .first()
        .into_iter()
        .filter_map(|(site, _)| spreads.get(site))
        .flat_map(|spread| spread.by_label.keys().copied())
        .filter(explains)
        .min_by(|&a, &b| depth(a).total_cmp(&depth(b)).then(a.cmp(&b)));
    let under = match sites.as_slice() {
        [(site, _)] => *site,
        _ => deepest.unwrap_or(frame),
    };
    groups.push(Group { under, sites });
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: f64 = 1_048_576.0;

    /// A stack whose veterans are `n` more than before, of half a MiB each, after `births`.
    fn stack(labels: &[u32], n: f64, births: f64) -> Stack<'_> {
        Stack {
            labels,
            recent: Recent {
                bytes: n * MIB / 2.0,
                objects: n * 1000.0,
                bytes_var: n.abs() * (MIB / 2.0).powi(2),
                births,
            },
        }
    }

    fn groups(stacks: &[Stack<'_>], sites: &[u32], frames: &[u32]) -> Vec<(u32, Vec<u32>)> {
        let sites: BTreeSet<u32> = sites.iter().copied().collect();
        let growing = Growing {
            sites: &sites,
            frames,
            can_explain: &|label| label < 900,
            were_one: &|_, _| false,
        };
        let mut dispatchers = Dispatchers::default();
        dispatchers.look(stacks, &sites);
        let mut groups: Vec<(u32, Vec<u32>)> = group(stacks, &growing, &dispatchers)
            .into_iter()
            .map(|group| {
                let mut sites: Vec<u32> = group.sites.iter().map(|(site, _)| *site).collect();
                sites.sort_unstable();
                (group.under, sites)
            })
            .collect();
        groups.sort();
        groups
    }

    /// 900 and above are the standard library's; 100 serves all requests.
    const SERVE: u32 = 100;
    const CONN: u32 = 900;
    const MAKE: u32 = 10;
    const LIMIT: u32 = 20;

    fn gateway() -> Vec<Stack<'static>> {
        vec![
            // Two instruments by one handler that is made for each request.
            stack(&[1, MAKE, 11, SERVE, CONN], 40.0, 40.0),
            stack(&[2, MAKE, 11, SERVE, CONN], 30.0, 30.0),
            // A cache, its storage and who uses them.
            stack(&[3, 4, LIMIT, SERVE, CONN], 30.0, 30.0),
            stack(&[4, LIMIT, SERVE, CONN], 20.0, 20.0),
            stack(&[LIMIT, SERVE, CONN], 25.0, 25.0),
            // Churn: some below each, most elsewhere.
            stack(&[5, MAKE, 11, SERVE, CONN], 0.0, 100.0),
            stack(&[6, SERVE, CONN], 1.0, 300.0),
            stack(&[901, CONN], -1.0, 200.0),
        ]
    }

    #[test]
    fn sites_under_one_caller_are_one_leak_and_two_leaks_of_one_server_are_two() {
        assert_eq!(
            groups(&gateway(), &[1, 2, 3, 4, LIMIT], &[]),
            [(MAKE, vec![1, 2]), (LIMIT, vec![3, 4, LIMIT])]
        );
    }

    #[test]
    fn one_site_is_its_own_leak_also_with_two_callers() {
        let stacks = [
            stack(&[1, 30, SERVE], 20.0, 20.0),
            stack(&[1, 31, SERVE], 20.0, 20.0),
            stack(&[2, 30, SERVE], 0.0, 200.0),
        ];
        assert_eq!(groups(&stacks, &[1], &[]), [(1, vec![1])]);
        let both = [
            stacks[0],
            stacks[1],
            stack(&[3, 30, SERVE], 20.0, 20.0),
            stacks[2],
        ];
        assert_eq!(groups(&both, &[1, 3], &[]), [(1, vec![1]), (3, vec![3])]);
    }

    #[test]
    fn what_one_function_does_itself_is_one_leak_even_if_it_serves_everything() {
        let stacks = [
            stack(&[SERVE, CONN], 20.0, 20.0),
            stack(&[902, SERVE, CONN], 20.0, 20.0),
            stack(&[7, SERVE, CONN], 0.0, 500.0),
        ];
        assert_eq!(
            groups(&stacks, &[SERVE, 902], &[]),
            [(SERVE, vec![SERVE, 902])]
        );
    }

    #[test]
    fn a_frame_that_grows_names_the_sites_that_carry_it() {
        let mut stacks = gateway();
        stacks.push(stack(&[8, 50, SERVE, CONN], 6.0, 6.0));
        stacks.push(stack(&[9, 50, SERVE, CONN], 7.0, 7.0));
        stacks.push(stack(&[12, 51, 50, SERVE, CONN], 8.0, 8.0));
        assert_eq!(
            groups(&stacks, &[1, 2], &[50, SERVE]),
            [(MAKE, vec![1, 2]), (50, vec![8, 9, 12])]
        );
        // It takes in a site that grows already, and says nothing new once all do.
        assert_eq!(groups(&stacks, &[8], &[50]), [(50, vec![8, 9, 12])]);
        assert_eq!(groups(&stacks, &[8, 9, 12], &[50]), [(50, vec![8, 9, 12])]);
    }

    #[test]
    fn a_stack_that_loses_by_chance_does_not_part_a_site_from_its_caller() {
        let stacks = [
            stack(&[1, MAKE, SERVE], 25.0, 25.0),
            stack(&[1, 33, SERVE], 3.0, 400.0),
            stack(&[2, MAKE, SERVE], 25.0, 25.0),
            stack(&[6, SERVE], 0.0, 400.0),
        ];
        assert_eq!(groups(&stacks, &[1, 2], &[]), [(MAKE, vec![1, 2])]);
    }

    #[test]
    fn dispatchers_do_not_flicker() {
        let sites = BTreeSet::new();
        let mut dispatchers = Dispatchers::default();
        for (share, expected) in [(45.0, false), (55.0, true), (45.0, true), (35.0, false)] {
            let stacks = [
                stack(&[1, SERVE], 0.0, share),
                stack(&[2, 60], 0.0, 100.0 - share),
            ];
            dispatchers.look(&stacks, &sites);
            assert_eq!(dispatchers.contains(SERVE), expected, "{share}");
        }
    }
}
