//! One leak: where it is, its sites, and what speaks for it.

use std::sync::Arc;

use super::super::format;
use super::super::names::{clean, short_location, width};
use super::super::reading::Reading;
use super::figures::{Things, bytes_per_min, count_per_min, each, plain_bytes_per_min, share};
use super::process::kind_words;
use super::prose::{list, some, wrap};
use super::sites::{OTHER_READING, follows, place, seen, survivors};
use crate::go::frame::Frame;
use crate::model::findings::{Driver, Kind, Leak, LeakSite};
use crate::model::goroutines::{GoroutineGroup, Goroutines};

/// Most sites of a leak that are listed; the others are counted.
const MAX_SITES: usize = 8;
/// Shares in bytes and in objects that differ by more than this are both told: a leak of small objects must not drown.
const SHARES_DIFFER: f64 = 0.1;

/// A leak in one line: its share, place and growth, and who calls it.
pub(in crate::view) fn leak_line(leak: &Leak) -> String {
    let mut line = first_sentence(leak);
    let of_others = |via: &&Arc<Frame>| &*via.function != leak.function();
    if let Some(via) = leak.via.as_ref().filter(of_others) {
        line.push_str(", called by ");
        line.push_str(&clean(&via.function));
    }
    let others = other_creators(leak).len();
    if others > 0 {
        line.push_str(", and at the same rate by ");
        line.push_str(&some(others, "other function"));
    }
    line
}

/// Functions that create goroutines of the leak beside the one that it is named by.
fn other_creators(leak: &Leak) -> Vec<String> {
    let mut others: Vec<String> = Vec::new();
    if leak.kind == Kind::Goroutines {
        for site in &leak.sites {
            let name = clean(&site.frame.function);
            if &*site.frame.function != leak.function() && !others.contains(&name) {
                others.push(name);
            }
        }
    }
    others
}

fn first_sentence(leak: &Leak) -> String {
    if leak.frame().is_none() {
        return format!("Leak {}: {}{}", leak.letter, head(leak), rate(leak));
    }
    format!(
        "Leak {}: {} {} {}{}",
        leak.letter,
        head(leak),
        relation(leak),
        leak.frame().map_or_else(String::new, |frame| place(frame)),
        rate(leak)
    )
}

/// A leak in one text: its share, place, growth and evidence.
pub fn leak(leak: &Leak) -> String {
    if leak.frame().is_none() {
        return format!("{}.", first_sentence(leak));
    }
    let mut sentences = vec![format!("{}.", first_sentence(leak))];
    if let Some(via) = &leak.via {
        sentences.push(format!("Called by {}.", place(via)));
    }
    sentences.extend(evidence(leak));
    if leak.kind == Kind::Heap {
        sentences.push(format!("It may also be {OTHER_READING}."));
    }
    sentences.join(" ")
}

/// How its place stands to what grows.
fn relation(leak: &Leak) -> &'static str {
    if leak.kind == Kind::Goroutines {
        "by"
    } else if leak.under.is_none() {
        "first"
    } else if is_single(leak) {
        "in"
    } else {
        "under"
    }
}

/// Whether its place is that of its only site.
fn is_single(leak: &Leak) -> bool {
    leak.sites.len() == 1 && is_itself(&leak.sites[0], leak)
}

/// A leak as a block of lines.
pub(super) fn block(leak: &Leak, reading: &Reading, room: usize) -> Vec<String> {
    if leak.frame().is_none() {
        return wrap("", "  ", &format!("{}.", first_sentence(leak)), room);
    }
    let mut lines = wrap(
        "",
        "  ",
        &format!("Leak {}: {} {}", leak.letter, head(leak), relation(leak)),
        room,
    );
    lines.extend(wrap("    ", "    ", &clean(leak.function()), room));
    let at = leak
        .frame()
        .map_or_else(String::new, |frame| short_location(&frame.file, frame.line));
    if !at.is_empty() {
        lines.extend(wrap("    ", "    ", &at, room));
    }
    if let Some(via) = leak
        .via
        .as_ref()
        .filter(|via| &*via.function != leak.function())
    {
        lines.extend(wrap("    via ", "        ", &place(via), room));
    }
    lines.extend(sites(leak, room));
    if is_single(leak) || leak.kind == Kind::Goroutines {
        let rate = rate(leak);
        if !rate.is_empty() {
            lines.extend(wrap("    ", "    ", rate.trim_start_matches(", "), room));
        }
    }
    let parked = reading
        .goroutines
        .as_ref()
        .and_then(|all| parked(leak, all));
    for sentence in parked.into_iter().chain(evidence(leak)) {
        lines.extend(wrap("  ", "    ", &sentence, room));
    }
    lines
}

/// What leaked goroutines do: `648,000 of them, most wait in "chan receive", the longest for 3h00m; stacks 1.24 GiB.`
fn parked(leak: &Leak, all: &Goroutines) -> Option<String> {
    let made_here = |group: &&GoroutineGroup| {
        let maker = group.created_by.as_ref().unwrap_or(&group.start);
        leak.under
            .as_ref()
            .is_some_and(|under| (&maker.function, maker.line) == (&under.function, under.line))
    };
    let group = all
        .groups
        .iter()
        .filter(made_here)
        .max_by_key(|group| group.growth)
        .filter(|_| leak.kind == Kind::Goroutines)?;
    let wait = group.waits.first().map_or_else(String::new, |(reason, _)| {
        format!(", most wait in \"{reason}\"")
    });
    let longest = group.longest_wait_ns.map_or_else(String::new, |ns| {
        format!(", the longest for {}", format::duration(ns))
    });
    Some(format!(
        "{} of them run {}{wait}{longest}; stacks {}.",
        format::grouped(group.count),
        clean(&group.start.function),
        format::sentence_bytes(group.stack_bytes as f64)
    ))
}

/// The sites with their growth, in two columns.
fn sites(leak: &Leak, room: usize) -> Vec<String> {
    if is_single(leak) || leak.kind == Kind::Goroutines {
        return Vec::new();
    }
    let shown = &leak.sites[..leak.sites.len().min(MAX_SITES)];
    let rates: Vec<String> = shown
        .iter()
        .map(|site| {
            let rate = site.evidence.bytes_per_min.as_ref();
            let by_share = || site.share.map_or("?".to_owned(), |of| share(of.value));
            rate.map_or_else(by_share, |rate| plain_bytes_per_min(rate.value))
        })
        .collect();
    let cells = rates.iter().map(|rate| width(rate)).max().unwrap_or(0);
    let mut lines = Vec::new();
    for (site, rate) in shown.iter().zip(rates) {
        let name = if is_itself(site, leak) {
            "the function itself".to_owned()
        } else {
            clean(&site.frame.function)
        };
        let at = short_location(&site.frame.file, site.frame.line);
        let first = format!("    {rate:<cells$}  ");
        let rest = " ".repeat(cells + 6);
        lines.extend(wrap(&first, &rest, &format!("{name} {at}"), room));
    }
    let more = leak.sites.len().saturating_sub(MAX_SITES);
    if more > 0 {
        lines.push(format!("    ... and {more} more"));
    }
    lines
}

fn is_itself(site: &LeakSite, leak: &Leak) -> bool {
    &*site.frame.function == leak.function()
}

/// `97 % of the growth, 3 sites`.
fn head(leak: &Leak) -> String {
    let sites = match leak.kind {
        Kind::Goroutines => "goroutines that do not end, created".to_owned(),
        Kind::Heap if leak.under.is_none() => {
            format!("{},", some(leak.sites.len().max(1), "likely site"))
        }
        Kind::Heap => some(leak.sites.len().max(1), "site"),
        kind => return kind_words(kind).to_owned(),
    };
    let Some(bytes) = leak.share_bytes.map(|share| share.value) else {
        return sites;
    };
    let of = match leak.share_objects {
        Some(objects) if (objects - bytes).abs() > SHARES_DIFFER => format!(
            "{} of the growth in bytes, {} in objects",
            share(bytes),
            share(objects)
        ),
        _ => format!("{} of the growth", share(bytes)),
    };
    format!("{of}, {sites}")
}

/// `, +3.75 MiB/min (90 %: 3.6 to 3.9)`.
fn rate(leak: &Leak) -> String {
    let evidence = &leak.evidence;
    match (
        leak.kind,
        &evidence.bytes_per_min,
        &evidence.objects_per_min,
    ) {
        (Kind::Goroutines, _, Some(rate)) => format!(", {}", count_per_min(rate, "goroutines")),
        (_, Some(rate), _) => format!(", {}", bytes_per_min(rate)),
        _ => ", rate not known for now".to_owned(),
    }
}

/// The sentences that speak for a leak.
fn evidence(leak: &Leak) -> Vec<String> {
    let evidence = &leak.evidence;
    let mut sentences = Vec::new();
    let held = leak.held.iter().map(|site| clean(&site.frame.function));
    let held = names(held.collect());
    if !held.is_empty() {
        sentences.push(format!("Grows beside it, probably part of it: {held}."));
    }
    // The driver says more than the load that it may seem to follow.
    let follows = || follows(evidence, Things::of(leak.kind));
    let follows = || leak.driver.as_ref().and_then(driven).or_else(follows);
    if leak.kind == Kind::Goroutines {
        let others = names(other_creators(leak));
        if !others.is_empty() {
            sentences.push(format!("At the same rate: those of {others}."));
        }
        sentences.extend(follows());
    } else {
        match survivors(evidence) {
            Some(alive) => sentences.push(alive),
            None => sentences.push(format!("Seen: {}.", seen(evidence))),
        }
        sentences.extend(follows());
        sentences.extend(leak.since_start.as_ref().map(super::facts::since_start));
    }
    // Goroutines and what they hold have one letter.
    let others = leak.in_step.iter().filter(|letter| **letter != leak.letter);
    let letters: Vec<String> = others.map(char::to_string).collect();
    if !letters.is_empty() {
        let leaks = if letters.len() == 1 { "leak" } else { "leaks" };
        sentences.push(format!("Grows in step with {leaks} {}.", list(&letters)));
    } else if !leak.in_step.is_empty() {
        sentences.push("Its goroutines and its heap are one leak.".to_owned());
    }
    sentences
}

/// Names in one list, at most [`MAX_SITES`]; the others are counted.
fn names(mut names: Vec<String>) -> String {
    let more = names.len().saturating_sub(MAX_SITES);
    if more > 0 {
        names.truncate(MAX_SITES);
        names.push(some(more, "other"));
    }
    list(&names)
}

/// The driver: `+0.22 MiB for each call of tlsmanager.UpdateConfigs (90 %: 0.20 to 0.24; 43 calls counted).`
pub(super) fn driven(driver: &Driver) -> Option<String> {
    let (amount, interval) = each(driver)?;
    let mut letters = amount.chars();
    let first = letters.next()?.to_ascii_uppercase();
    Some(format!(
        "{first}{} for each call of {} ({interval}; {} calls counted).",
        letters.as_str(),
        clean(&driver.function),
        format::grouped(driver.calls)
    ))
}
