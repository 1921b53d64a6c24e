//! One run judged: what was said at each look against what is right.
//!
//! False `growing` is counted as the method counts it. What fills curved may be called growing until its half, and what
//! fills at one rate until it is full; then a word needs a while to fall, which is given. Everything else that is called
//! growing and is no leak is false, in leaking programs too. So is every look at which a leak is called flat, unless the
//! bound that is stated leaves room for it.

use super::{
    said::{GROWING, Leak, Line, Process, Site, Sites, is_growth},
    truth::{Fill, Truth},
};

/// How long `growing` may stay after a linear fill has stopped, and 2 GC gaps more.
const FALLS_WITHIN_S: f64 = 240.0;
/// The same after the half of a curved one: the four looks without a speaking window that a word needs to fall.
const CURVED_FALLS_WITHIN_S: f64 = 60.0;
/// GC gaps until a sample's death is known.
const GAPS_TO_FALL: f64 = 2.0;
/// Lines that come this close to each other are of one look: a third of the time between two.
const ONE_LOOK_S: f64 = 5.0;
/// Of the looks from the first right one on, so many must be right unless the last is: one right look by chance names nothing.
const STAYS_AT_LEAST: f64 = 0.8;
/// Times after the attach at which answers are compared, seconds.
pub(super) const TIMES_S: [u32; 4] = [60, 180, 300, 600];
const MIB: f64 = 1_048_576.0;
/// Kinds that do not end by themselves: a process that is honest must not be said to grow by them.
const WITHOUT_END: [&str; 6] = ["heap", "goroutines", "stacks", "cgo", "mmap", "?"];

/// What was said at one time, seconds since the first line.
#[derive(Clone, Debug, Default)]
pub(super) struct Look {
    pub(super) at_s: f64,
    pub(super) sites: Option<Sites>,
    pub(super) process: Option<Process>,
}

impl Look {
    /// Whether both lines of it were read.
    pub(super) fn is_whole(&self) -> bool {
        self.sites.is_some() && self.process.is_some()
    }

    /// Whether a line of it may still come, seconds since the first line.
    pub(super) fn is_open(&self, at_s: f64) -> bool {
        !self.is_whole() && at_s - self.at_s <= ONE_LOOK_S
    }
}

/// Adds a line to the looks.
pub(super) fn add(looks: &mut Vec<Look>, at_s: f64, line: Line) {
    let is_new = looks.last().is_none_or(|look| {
        let has = match line {
            Line::Sites(_) => look.sites.is_some(),
            _ => look.process.is_some(),
        };
        has || at_s - look.at_s > ONE_LOOK_S
    });
    if is_new {
        looks.push(Look {
            at_s,
            ..Look::default()
        });
    }
    if let Some(look) = looks.last_mut() {
        match line {
            Line::Sites(sites) => look.sites = Some(sites),
            Line::Process(process) => look.process = Some(process),
            Line::Other => {}
        }
    }
}

/// When something that fills had come so far, seconds since the first line; what came before that is 0.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Filled {
    pub(super) half_s: Option<f64>,
    pub(super) full_s: Option<f64>,
}

/// Part of some looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) n: usize,
    pub(super) of: usize,
}

impl Share {
    fn count(&mut self, holds: bool) {
        self.n += usize::from(holds);
        self.of += 1;
    }

    /// Both together.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            n: self.n + other.n,
            of: self.of + other.of,
        }
    }
}

/// What became of one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Outcome {
    /// When the leak was first named right (kind, site and via), where it stayed so: at the last look, or at most looks.
    pub(super) right_s: Option<f64>,
    /// Of the looks from then on, those that still named it.
    pub(super) stays: f64,
    /// Whether it was named right at each of [`TIMES_S`] that the watch reached, as what surely or probably grows.
    pub(super) right_at: [Option<bool>; TIMES_S.len()],
    /// Of the looks at which it is said to grow at a rate, those whose 90 % interval holds the true one: that of the live
    /// heap, and of the resident set.
    pub(super) live_rate: Share,
    pub(super) rss_rate: Share,
    /// Of the looks, those that call a leak flat: it stands still, or soon will.
    pub(super) flat: Share,
    /// Each look with a false `growing`: when, and what.
    pub(super) wrong: Vec<(f64, String)>,
    /// The last that was said, for the matrix.
    pub(super) said: String,
    /// The same in heaptop's words, for who looks into a miss.
    pub(super) words: String,
    /// Mean seconds from one GC cycle to the next.
    pub(super) gc_gap_s: Option<f64>,
    pub(super) looks: usize,
}

/// Judges a run at this load.
pub(super) fn judge(truth: &Truth, load: f64, looks: &[Look], filled: Filled) -> Outcome {
    let gc_gap_s = gc_gap_s(looks);
    let mut outcome = Outcome {
        gc_gap_s,
        looks: looks.len(),
        said: "nothing".to_owned(),
        ..Outcome::default()
    };
    let (mut n_right, mut n_since) = (0_u32, 0_u32);
    let mut is_right_now = false;
    for look in looks {
        if truth.leaks() {
            for (time_s, is_right) in TIMES_S.iter().zip(&mut outcome.right_at) {
                if look.at_s >= f64::from(*time_s) - ONE_LOOK_S {
                    is_right.get_or_insert_with(|| is_right_at(truth, look, true));
                }
            }
            count_rates(truth, load, look, &mut outcome);
            let is_right = is_right_at(truth, look, truth.may_be_probable);
            is_right_now = is_right;
            if is_right && outcome.right_s.is_none() {
                outcome.right_s = Some(look.at_s);
            }
            if outcome.right_s.is_some() {
                n_since += 1;
                n_right += u32::from(is_right);
            }
        }
        for wrong in wrong(truth, look, filled, gc_gap_s.unwrap_or(0.0)) {
            outcome.wrong.push((look.at_s, wrong));
        }
    }
    if n_since > 0 {
        outcome.stays = f64::from(n_right) / f64::from(n_since);
        if !is_right_now && outcome.stays < STAYS_AT_LEAST {
            outcome.right_s = None;
        }
    }
    if let Some(last) = looks.last() {
        outcome.said = said(last);
        outcome.words = words(last);
    }
    outcome
}

/// Mean seconds from one GC cycle to the next.
fn gc_gap_s(looks: &[Look]) -> Option<f64> {
    let mut cycles = looks
        .iter()
        .filter_map(|look| Some((look.at_s, look.sites.as_ref()?.heap.gc_cycles?)));
    let (from_s, from) = cycles.next()?;
    let (to_s, to) = cycles.next_back()?;
    let n = u32::try_from(to.checked_sub(from)?)
        .ok()
        .filter(|n| *n > 0)?;
    Some((to_s - from_s) / f64::from(n))
}

/// The word of the process; where it has none, whether a site grows.
fn said(look: &Look) -> String {
    let word = look.process.as_ref().map(Process::word);
    match word {
        Some(word) if word != "?" => word,
        _ if !growing(look).is_empty() => format!("{GROWING} ?"),
        _ => "?".to_owned(),
    }
}

fn words(look: &Look) -> String {
    let text = look.process.as_ref().and_then(|process| {
        let leak = process.leaks.as_ref().and_then(|leaks| leaks.first());
        let text = process.verdict.as_ref()?.text.clone()?;
        Some(match leak {
            Some(leak) => format!("{text}; A: {}", leak_words(leak)),
            None => text,
        })
    });
    let site = || {
        let site = *growing(look).first()?;
        let text = site.evidence.as_ref().and_then(|e| e.text.as_deref());
        Some(format!("{}: {}", site.function, text.unwrap_or(GROWING)))
    };
    text.or_else(site).unwrap_or_default()
}

fn leak_words(leak: &Leak) -> String {
    let name = |frame: Option<&super::said::Frame>| {
        frame.map_or_else(|| "-".to_owned(), |frame| frame.function.clone())
    };
    let sites: Vec<&str> = leak.sites.iter().map(super::said::Name::function).collect();
    format!(
        "{} under {} via {} at {}",
        leak.kind.as_deref().unwrap_or("?"),
        name(leak.under.as_ref()),
        name(leak.via.as_ref()),
        sites.join(", ")
    )
}

fn growing(look: &Look) -> Vec<&Site> {
    look.sites.as_ref().map_or_else(Vec::new, Sites::growing)
}

/// Compares the rates that are stated with the true ones, and what is called flat with a leak.
fn count_rates(truth: &Truth, load: f64, look: &Look, outcome: &mut Outcome) {
    let Some(process) = &look.process else {
        return;
    };
    let Some(verdict) = &process.verdict else {
        return;
    };
    let live = truth.live_mib_per_min.map(|mib| mib * load * MIB);
    let rss = truth.rss_mib_per_min.map(|mib| mib * load * MIB);
    let is_within = |rate: f64, low: Option<f64>, high: Option<f64>| {
        low.is_some_and(|low| low <= rate) && high.is_none_or(|high| rate <= high)
    };
    let (low, high) = (
        verdict.live_bytes_per_min_low,
        verdict.live_bytes_per_min_high,
    );
    if process.grows_by(true).is_some() {
        if let (Some(rate), Some(_)) = (live, low) {
            outcome.live_rate.count(is_within(rate, low, high));
        }
        let (low, high) = (
            verdict.rss_bytes_per_min_low,
            verdict.rss_bytes_per_min_high,
        );
        if let (Some(rate), Some(_)) = (rss, low) {
            outcome.rss_rate.count(is_within(rate, low, high));
        }
    }
    let has_room = |rate: f64| high.is_some_and(|high| rate <= high);
    outcome
        .flat
        .count(process.is_flat() && !live.is_some_and(has_room));
}

/// Whether this look gives the whole answer: the leak, what grows beside it, and what else must be said. With `probably`,
/// what only probably grows counts too.
fn is_right_at(truth: &Truth, look: &Look, probably: bool) -> bool {
    let process = look.process.as_ref();
    let is_listed = |kind: &String| {
        let leaks = process.and_then(|process| process.leaks.as_ref());
        leaks.is_some_and(|leaks| leaks.iter().any(|leak| leak.kind.as_ref() == Some(kind)))
    };
    let is_said = |words: &String| process.is_some_and(|process| process.says(words));
    named(truth, look, probably)
        && truth.with.iter().all(is_listed)
        && truth.says.iter().all(is_said)
}

/// Whether this look names the leak first, with the right kind, site and via.
fn named(truth: &Truth, look: &Look, probably: bool) -> bool {
    let is_right = |kind: &str| truth.kinds.iter().any(|right| right == kind);
    let Some(process) = &look.process else {
        // A heaptop that says nothing of the process: the fastest of its sites.
        let first = growing(look).first().copied();
        return is_right("heap")
            && first.is_some_and(|site| {
                let via = site.via.as_ref().map(|via| via.function.as_str());
                site_is_right(truth, &site.function, via)
            });
    };
    let grows_by = process.grows_by(probably);
    if !grows_by.is_some_and(is_right) {
        return false;
    }
    let leak = process.leaks.as_ref().and_then(|leaks| leaks.first());
    let kind = leak
        .and_then(|leak| leak.kind.as_deref())
        .or(grows_by)
        .unwrap_or_default();
    match (kind, leak) {
        _ if !is_right(kind) => false,
        ("heap", Some(leak)) => leak_is_right(truth, leak),
        ("heap", None) => false,
        ("goroutines", _) => goroutines_are_right(truth, process, probably),
        _ => true,
    }
}

fn site_is_right(truth: &Truth, function: &str, via: Option<&str>) -> bool {
    let mut sites = truth.sites.iter();
    sites.any(|(site, right)| site.fits(function) && right.fits(via))
}

fn leak_is_right(truth: &Truth, leak: &Leak) -> bool {
    let via = leak.via.as_ref().map(|via| via.function.as_str());
    let has_site = leak
        .sites
        .iter()
        .any(|site| site_is_right(truth, site.function(), via));
    // One site is its own frame.
    let has_frame = truth.under.is_empty()
        || leak.sites.len() < 2
        || leak
            .under
            .as_ref()
            .is_some_and(|under| truth.under.iter().any(|one| one.fits(&under.function)));
    has_site && has_frame
}

fn goroutines_are_right(truth: &Truth, process: &Process, probably: bool) -> bool {
    let groups = process.goroutines.iter().flat_map(|all| &all.groups);
    let mut growing = groups.filter(|group| is_growth(group.verdict.as_deref(), probably));
    growing.any(|group| {
        let (Some(by), Some(start)) = (&group.created_by, &group.start) else {
            return false;
        };
        let (by, start) = (by.function(), start.function());
        truth.goroutines.iter().any(|(right_by, right_start)| {
            // `go x.f()` starts at a wrapper that is named for where it stands.
            let is_wrapper = start
                .strip_prefix(by)
                .is_some_and(|rest| rest.starts_with(".gowrap") || rest.starts_with(".func"));
            right_by.fits(by) && (right_start.fits(start) || is_wrapper)
        })
    })
}

/// What this look calls growing and is not, or no longer.
fn wrong(truth: &Truth, look: &Look, filled: Filled, gc_gap_s: f64) -> Vec<String> {
    let (mut wrong, mut fills) = (Vec::new(), false);
    for site in growing(look) {
        let function = site.function.as_str();
        let is_leak = truth.sites.iter().any(|(site, _)| site.fits(function))
            || truth.also.iter().any(|site| site.fits(function))
            || truth
                .goroutines
                .iter()
                .any(|(by, start)| by.fits(function) || start.fits(function));
        let fill = truth.fills.iter().find(|(site, _)| site.fits(function));
        if is_leak {
            continue;
        }
        if let Some((_, how)) = fill
            && look.at_s <= fill_ends_s(*how, filled, gc_gap_s)
        {
            fills = true;
            continue;
        }
        wrong.push(function.to_owned());
    }
    let grows_by = look
        .process
        .as_ref()
        .and_then(|process| process.grows_by(false));
    if let Some(kind) = grows_by
        && !truth.leaks()
        && !fills
        && WITHOUT_END.contains(&kind)
        && !truth.may.iter().any(|may| may == kind)
    {
        wrong.push(format!("the process, by {kind}"));
    }
    wrong
}

/// Until when what fills may be called growing.
fn fill_ends_s(how: Fill, filled: Filled, gc_gap_s: f64) -> f64 {
    let (from_s, grace_s) = match how {
        Fill::Curved => (filled.half_s, CURVED_FALLS_WITHIN_S),
        Fill::Linear => (filled.full_s, FALLS_WITHIN_S),
    };
    from_s.map_or(f64::INFINITY, |from_s| {
        from_s + grace_s + GAPS_TO_FALL * gc_gap_s
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth(head: &str) -> Truth {
        Truth::for_tests(head)
    }

    fn looks(lines: &[(f64, &str)]) -> Vec<Look> {
        let mut looks = Vec::new();
        for (at_s, line) in lines {
            add(&mut looks, *at_s, serde_json::from_str(line).unwrap());
        }
        looks
    }

    fn sites(cycle: u64, growing: &[&str]) -> String {
        let rows: Vec<String> = growing
            .iter()
            .map(|name| format!(r#"{{"function":"{name}","verdict":"growing"}}"#))
            .collect();
        format!(
            r#"{{"schema":"heaptop.sites/1","source":"spans","heap":{{"gc_cycles":{cycle}}},"sites":[{}]}}"#,
            rows.join(",")
        )
    }

    fn process(kind: &str, site: &str, via: &str) -> String {
        format!(
            r#"{{"schema":"heaptop.process/1","verdict":{{"word":"growing","kind":"{kind}","text":"it grows"}},
            "leaks":[{{"kind":"{kind}","under":{{"function":"{site}"}},"via":{{"function":"{via}"}},"sites":["{site}"]}}],
            "goroutines":{{"groups":[{{"created_by":"main.ask","start":"main.ask.gowrap1","verdict":"growing"}}]}}}}"#
        )
    }

    #[test]
    fn a_leak_is_named_by_kind_site_and_via() {
        let truth = truth("// answer: heap\n// site: a.Set via main.f\n// also: sync.*\n");
        let (early, late) = (sites(3, &[]), sites(9, &["a.Set", "sync.x", "main.g"]));
        let (wrong_via, right) = (
            process("heap", "a.Set", "main.g"),
            process("heap", "a.Set", "main.f"),
        );
        let looks = looks(&[
            (0.0, &early),
            (0.1, r#"{"schema":"heaptop.process/1"}"#),
            (15.0, &early),
            (15.1, &wrong_via),
            (30.0, &late),
            (30.1, &right),
            (45.0, &late),
            (45.1, &process("cgo", "a.Set", "main.f")),
        ]);
        assert_eq!(looks.len(), 4);
        let outcome = judge(&truth, 1.0, &looks, Filled::default());
        // Right once, and wrong at the last look: a miss.
        assert_eq!(outcome.right_s, None);
        let at_last = judge(&truth, 1.0, &looks[..3], Filled::default());
        assert_eq!(at_last.right_s, Some(30.0));
        assert!((outcome.stays - 0.5).abs() < 1e-9);
        assert_eq!(outcome.gc_gap_s, Some(7.5));
        assert_eq!(outcome.said, "growing cgo");
        let main_g = "main.g".to_owned();
        assert_eq!(outcome.wrong, [(30.0, main_g.clone()), (45.0, main_g)]);
    }

    #[test]
    fn goroutines_are_named_by_their_group() {
        let goroutines =
            truth("// answer: goroutines\n// goroutines: main.ask start main.(*t).wait\n");
        let line = process("goroutines", "main.ask", "main.x");
        let outcome = judge(&goroutines, 1.0, &looks(&[(0.0, &line)]), Filled::default());
        assert_eq!(outcome.right_s, Some(0.0));
        let other =
            truth("// answer: goroutines\n// goroutines: main.other start main.(*t).wait\n");
        let outcome = judge(&other, 1.0, &looks(&[(0.0, &line)]), Filled::default());
        assert_eq!(outcome.right_s, None);
    }

    #[test]
    fn a_fill_may_grow_for_a_while_and_an_honest_site_never() {
        let linear = truth("// answer: none\n// fill: main.add linear\n");
        let filled = Filled {
            half_s: Some(40.0),
            full_s: Some(80.0),
        };
        let line = sites(1, &["main.add"]);
        let all = looks(&[
            (0.0, &sites(0, &[])),
            (60.0, &line),
            (300.0, &line),
            (441.0, &line),
        ]);
        let mut judged = judge(&linear, 1.0, &all, filled);
        // One cycle in 441 s: two gaps more than four minutes.
        assert_eq!(judged.wrong, []);
        let quick = looks(&[
            (0.0, &sites(0, &[])),
            (60.0, &line),
            (300.0, &sites(99, &["main.add"])),
            (441.0, &sites(99, &["main.add"])),
        ]);
        judged = judge(&linear, 1.0, &quick, filled);
        assert_eq!(judged.wrong.len(), 1);
        assert!((judged.wrong[0].0 - 441.0).abs() < 1e-9);

        let curved = truth("// answer: none\n// fill: main.add curved\n");
        let judged = judge(&curved, 1.0, &quick, filled);
        assert_eq!(judged.wrong.len(), 2);

        let honest = truth("// answer: none\n// may: stacks\n");
        let line = process("stacks", "main.f", "main.g");
        assert_eq!(
            judge(&honest, 1.0, &looks(&[(0.0, &line)]), filled).wrong,
            []
        );
        let line = process("mmap", "main.f", "main.g");
        assert_eq!(
            judge(&honest, 1.0, &looks(&[(0.0, &line)]), filled)
                .wrong
                .len(),
            1
        );
        let line = process("idle_spans", "main.f", "main.g");
        assert_eq!(
            judge(&honest, 1.0, &looks(&[(0.0, &line)]), filled).wrong,
            []
        );
    }

    #[test]
    fn a_leak_has_its_rate_and_all_that_belongs_to_its_answer() {
        let truth = truth(
            "// answer: heap\n// site: main.f via any\n// with: mmap\n// says: 2 mappings\n// rate: 4\n",
        );
        let line = |word: &str, low: f64, high: f64, kind: &str, says: &str| {
            format!(
                r#"{{"schema":"heaptop.process/1","verdict":{{"word":"{word}","kind":"heap","text":"it grows",
                "live_bytes_per_min_low":{},"live_bytes_per_min_high":{}}},"observations":["{says}"],
                "leaks":[{{"kind":"heap","under":null,"via":null,"sites":["main.f"]}},{{"kind":"{kind}"}}]}}"#,
                low * MIB,
                high * MIB
            )
        };
        let all = looks(&[
            (0.0, &line("collecting", -9.0, 9.0, "mmap", "")),
            (
                60.0,
                &line("probably_growing", 7.0, 9.0, "mmap", "has 2 mappings"),
            ),
            (120.0, &line("growing", 7.0, 9.0, "mmap", "")),
            (180.0, &line("growing", 5.0, 9.0, "cgo", "has 2 mappings")),
            (240.0, &line("growing", 7.0, 9.0, "mmap", "has 2 mappings")),
            (300.0, &line("steady", -1.0, 9.0, "mmap", "")),
            (360.0, &line("steady", -1.0, 1.0, "mmap", "")),
        ]);
        let outcome = judge(&truth, 2.0, &all, Filled::default());
        assert_eq!(
            outcome.right_at,
            [Some(true), Some(false), Some(false), None]
        );
        assert_eq!(outcome.live_rate, Share { n: 4, of: 4 });
        assert_eq!(outcome.flat, Share { n: 1, of: 7 });
        // Right at the look of 240 s alone, and not at the last.
        assert_eq!(outcome.right_s, None);
        let outcome = judge(&truth, 1.0, &all[..5], Filled::default());
        assert_eq!(outcome.right_s, Some(240.0));
        assert_eq!(outcome.live_rate, Share { n: 0, of: 4 });
    }
}
