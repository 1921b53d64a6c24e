//! Table of all kinds, and the bounds that they must keep.

use std::fmt::Write as _;

use heaptop::verdict::Word;

use crate::heap::{Class, Kind};
use crate::share::Share;
use crate::watch::Watch;

/// Minutes of the watch at which words are counted.
const TIMES_MIN: [f64; 3] = [3.0, 5.0, 10.0];
/// Longest median withdrawal beyond two GC gaps, seconds.
const WITHDRAWN_S: f64 = 180.0;
/// GC gaps that a withdrawal may take beyond [`WITHDRAWN_S`].
const WITHDRAWN_GAPS: f64 = 2.0;
/// Longest withdrawal of all, seconds.
const LATEST_WITHDRAWN_S: f64 = 480.0;

/// Bound on one figure.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    name: &'static str,
    measured: String,
    wanted: String,
    is_kept: bool,
}

/// Watches of one row of the table.
struct Row<'a> {
    kind: Kind,
    gaps: &'static str,
    watches: Vec<&'a Watch>,
}

/// Returns the table of all watches, in the order of kinds.
pub(crate) fn table(watches: &[Watch]) -> String {
    let mut text = String::from(
        "| kind | GC gaps | watches | false `growing` | false `probably growing` | growth word at 3 min | at 5 min | at 10 min | \
         `growing` at 3 min | at 5 min | at 10 min | word held | rate covered | withdrawn after, median (longest) |\n\
         | --- | --- | ---: | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in rows(watches) {
        let _ = writeln!(text, "{}", line(&row));
    }
    text
}

/// Returns a line for each watch with a false growth word: what was drawn, and its word at each evaluation.
pub(crate) fn list(watches: &[Watch]) -> String {
    let is_false = |watch: &&Watch| {
        let has_end = watch.truth.rises_until_s.is_finite();
        has_end
            && [Word::Growing, Word::ProbablyGrowing]
                .map(|word| watch.is_false(word))
                .contains(&true)
    };
    let mut text = String::new();
    for watch in watches.iter().filter(is_false) {
        let _ = writeln!(text, "{watch}");
    }
    text
}

fn rows(watches: &[Watch]) -> Vec<Row<'_>> {
    let mut kinds: Vec<Kind> = watches.iter().map(|watch| watch.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let mut rows = Vec::new();
    for kind in kinds {
        let of_kind: Vec<&Watch> = watches.iter().filter(|watch| watch.kind == kind).collect();
        if kind.class() != Class::Leak {
            rows.push(Row {
                kind,
                gaps: match kind {
                    Kind::SawTooth => "1–24 s",
                    Kind::AliasedTooth => "2.4–60 s",
                    _ => "1–60 s",
                },
                watches: of_kind,
            });
            continue;
        }
        let (short, long) = of_kind
            .into_iter()
            .partition(|watch| watch.has_short_gaps());
        for (gaps, watches) in [("1–20 s", short), ("20–60 s", long)] {
            rows.push(Row {
                kind,
                gaps,
                watches,
            });
        }
    }
    rows
}

fn line(row: &Row) -> String {
    let watches = &row.watches;
    let is_leak = row.kind.class() == Class::Leak;
    let false_words = |word| {
        let has_end = !is_leak || row.kind == Kind::LeakStops;
        let share = || Share::of(watches, |watch| watch.is_false(word));
        if has_end {
            counted(share())
        } else {
            "-".to_owned()
        }
    };
    let mut cells = vec![
        row.kind.name(),
        row.gaps.to_owned(),
        watches.len().to_string(),
        false_words(Word::Growing),
        false_words(Word::ProbablyGrowing),
    ];
    for is_part in [Word::is_growth, |word| word == Word::Growing] {
        let at = |minutes: f64| {
            let share = Share::of(watches, |watch| is_part(watch.word_at(60.0 * minutes)));
            share.to_string()
        };
        cells.extend(TIMES_MIN.map(at));
    }
    let is_endless = is_leak && row.kind != Kind::LeakStops;
    let held = Share::sum(
        watches
            .iter()
            .filter(|_| is_endless)
            .map(|watch| watch.held()),
    );
    let covered = Share::sum(watches.iter().map(|watch| watch.covered()));
    cells.extend([held.to_string(), covered.to_string()]);
    cells.push(withdrawn(watches, Watch::withdrawn_after_s).map_or_else(
        || "-".to_owned(),
        |(median, longest)| format!("{median:.0} s ({longest:.0} s)"),
    ));
    format!("| {} |", cells.join(" | "))
}

/// A share with the count in front: false words are few.
fn counted(share: Share) -> String {
    format!("{}: {share}", share.part)
}

/// Median and longest of some withdrawal times; `None` of nothing.
fn withdrawn(watches: &[&Watch], time: impl Fn(&Watch) -> Option<f64>) -> Option<(f64, f64)> {
    let mut times: Vec<f64> = watches.iter().filter_map(|watch| time(watch)).collect();
    times.sort_unstable_by(f64::total_cmp);
    Some((*times.get(times.len() / 2)?, *times.last()?))
}

/// Returns all bounds for which there are watches.
pub(crate) fn bounds(watches: &[Watch]) -> Vec<Bound> {
    let of = |is_in: &dyn Fn(&Watch) -> bool| -> Vec<&Watch> {
        watches.iter().filter(|watch| is_in(watch)).collect()
    };
    let is_fast = |watch: &Watch| watch.truth.mib_per_min.is_some_and(|rate| rate >= 2.0);
    let short = of(&|watch| is_fast(watch) && watch.has_short_gaps());
    let long = of(&|watch| is_fast(watch) && !watch.has_short_gaps());
    let slow = of(&|watch| watch.kind == Kind::Leak05);
    let straight = of(&|watch| watch.truth.mib_per_min.is_some());
    let growing_at = |watches: &[&Watch], minutes: f64| {
        Share::of(watches, |watch| {
            watch.word_at(60.0 * minutes) == Word::Growing
        })
    };
    let word_at = |watches: &[&Watch], minutes: f64| {
        Share::of(watches, |watch| watch.word_at(60.0 * minutes).is_growth())
    };
    let false_of = |class| {
        let of_class = of(&|watch| watch.kind.class() == class);
        Share::of(&of_class, |watch| watch.is_false(Word::Growing))
    };
    let shares = [
        (
            "false `growing` where the heap does not rise",
            at_most(false_of(Class::Level), 0.0),
        ),
        (
            "false `growing` where the heap moves for minutes",
            at_most(false_of(Class::Moving), 0.01),
        ),
        (
            "straight leaks of 2 MiB/min and more, GC gaps up to 20 s: growth word at 3 min",
            at_least(word_at(&short, 3.0), 0.95),
        ),
        (
            "the same: `growing` at 3 min",
            at_least(growing_at(&short, 3.0), 0.6),
        ),
        (
            "the same: `growing` at 5 min",
            at_least(growing_at(&short, 5.0), 0.95),
        ),
        (
            "GC gaps of 20 to 60 s: growth word at 3 min",
            at_least(word_at(&long, 3.0), 0.55),
        ),
        (
            "the same: growth word at 5 min",
            at_least(word_at(&long, 5.0), 0.95),
        ),
        (
            "leaks of 0.5 MiB/min: `growing` at 10 min",
            at_least(growing_at(&slow, 10.0), 0.55),
        ),
        (
            "the same: growth word at 10 min",
            at_least(word_at(&slow, 10.0), 0.9),
        ),
        (
            "straight leaks: evaluations with the word, from its first on",
            at_least(Share::sum(straight.iter().map(|watch| watch.held())), 0.98),
        ),
        (
            "straight leaks: rate within its 90 % interval",
            at_least(
                Share::sum(straight.iter().map(|watch| watch.covered())),
                0.85,
            ),
        ),
    ];
    let mut bounds: Vec<Bound> = shares
        .into_iter()
        .filter_map(|(name, bound)| Some(Bound { name, ..bound? }))
        .collect();
    let stopped = of(&|watch| watch.kind == Kind::LeakStops);
    let beyond_gaps = |watch: &Watch| {
        let after_s = watch.withdrawn_after_s()?;
        Some(after_s - WITHDRAWN_GAPS * watch.gap_s)
    };
    if let Some((median, _)) = withdrawn(&stopped, beyond_gaps) {
        bounds.push(seconds(
            "leaks that stop: withdrawn after, less 2 GC gaps, median",
            median,
            WITHDRAWN_S,
        ));
    }
    if let Some((_, longest)) = withdrawn(&stopped, Watch::withdrawn_after_s) {
        bounds.push(seconds(
            "leaks that stop: withdrawn after, longest",
            longest,
            LATEST_WITHDRAWN_S,
        ));
    }
    bounds
}

fn at_most(share: Share, limit: f64) -> Option<Bound> {
    let value = share.value()?;
    Some(Bound {
        name: "",
        measured: format!("{} of {}: {share} %", share.part, share.all),
        wanted: if limit > 0.0 {
            format!("at most {:.0} %", 100.0 * limit)
        } else {
            "none".to_owned()
        },
        is_kept: value <= limit,
    })
}

fn at_least(share: Share, limit: f64) -> Option<Bound> {
    let value = share.value()?;
    Some(Bound {
        name: "",
        measured: format!("{share} %"),
        wanted: format!("at least {:.0} %", 100.0 * limit),
        is_kept: value >= limit,
    })
}

fn seconds(name: &'static str, value: f64, limit: f64) -> Bound {
    Bound {
        name,
        measured: format!("{value:.0} s"),
        wanted: format!("at most {limit:.0} s"),
        is_kept: value <= limit,
    }
}

/// True if all bounds are kept.
pub(crate) fn are_kept(bounds: &[Bound]) -> bool {
    bounds.iter().all(|bound| bound.is_kept)
}

/// Returns the bounds as a table.
pub(crate) fn bounds_table(bounds: &[Bound]) -> String {
    let mut text =
        String::from("| figure | measured | bound | kept |\n| --- | --- | --- | --- |\n");
    for bound in bounds {
        let Bound {
            name,
            measured,
            wanted,
            is_kept,
        } = bound;
        let kept = if *is_kept { "yes" } else { "no" };
        let _ = writeln!(text, "| {name} | {measured} | {wanted} | {kept} |");
    }
    text
}
