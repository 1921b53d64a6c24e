//! What is said of a process that grows: the leak, or what grows beside the live heap.

use super::{LIMIT_CELLS, Outlook, fitting, growth_badge, percent, room, text_column};
use crate::model::findings::{Findings, GrowsWith, Interval, Kind, Leak, ProcessVerdict};
use crate::model::goroutines::GoroutineGroup;
use crate::model::rows::SiteRow;
use crate::view::names::{self, width};
use crate::view::screen::Role;
use crate::view::ui_state::UiState;
use crate::view::{format, words};

/// `3 sites`.
fn sites(leak: &Leak) -> String {
    format::many(&leak.sites.len().max(1).to_string(), "site")
}

/// ` (90 %: 1.9..2.0)`, in the unit of the value before it.
fn bounds(rate: Interval) -> String {
    let text = |value: f64| {
        let text = format::sentence_per_minute(value);
        text.trim_start_matches('+')
            .split(' ')
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let unit = |value: f64| {
        let text = format::sentence_per_minute(value);
        text.split(' ').nth(1).map(str::to_owned)
    };
    if unit(rate.low) == unit(rate.high) && unit(rate.low) == unit(rate.value) {
        format!(" (90 %: {}..{})", text(rate.low), text(rate.high))
    } else {
        String::new()
    }
}

/// A leak of the heap: how fast, how much of it this is, under whom.
pub(super) fn leak_of(findings: &Findings, leak: &Leak, columns: usize) -> Outlook {
    let badge = growth_badge(findings, Kind::Heap);
    let room = room(columns, &badge, LIMIT_CELLS);
    let rate = findings
        .process
        .live_bytes_per_min
        .or(leak.evidence.bytes_per_min);
    let share = match (
        leak.share_bytes.map(|share| share.value),
        leak.share_objects,
    ) {
        // By few bytes and many objects, it is the objects that tell.
        (Some(bytes), Some(objects)) if objects > bytes => {
            Some(format!("{} of the objects", percent(objects)))
        }
        (Some(bytes), _) => Some(percent(bytes)),
        (None, objects) => objects.map(|objects| format!("{} of the objects", percent(objects))),
    };
    let under = names::clean(leak.function());
    let is_itself = leak.sites.len() <= 1;
    let from = match (&share, is_itself) {
        _ if leak.under.is_none() => "most likely".to_owned(),
        (Some(share), true) => format!("{share} from"),
        (Some(share), false) => format!("{share} from {} under", sites(leak)),
        (None, true) => "from".to_owned(),
        (None, false) => format!("from {} under", sites(leak)),
    };
    let (grows, grows_wide, grows_brief) = if let Some(rate) = rate {
        let per_minute = format::sentence_per_minute(rate.value);
        (
            format!("live heap {per_minute}"),
            format!("live heap {per_minute}{}", bounds(rate)),
            per_minute,
        )
    } else {
        let text = "live heap grows".to_owned();
        (text.clone(), text, "grows".to_owned())
    };
    // On a wide screen the frame stands in row 2, and row 3 tells how it grows.
    let least_name = width(&under).min(32);
    for grows in [&grows_wide, &grows] {
        let head = format!("{grows}; {from} ");
        if columns >= 100 && width(&head) + least_name <= room {
            let name = names::shorten(&under, room - width(&head));
            return Outlook {
                text: format!("{head}{name}"),
                below: how_it_grows(leak, columns),
                badge,
                role: Role::Leak,
                ..Outlook::default()
            };
        }
    }
    let brief_from = if leak.under.is_none() {
        "no site is certain".to_owned()
    } else if is_itself {
        "1 site".to_owned()
    } else {
        format!("{} in step", sites(leak))
    };
    Outlook {
        text: fitting(
            [
                format!("{grows_wide}; {from}"),
                format!("{grows}; {from}"),
                format!("{grows_brief}, {brief_from}"),
                grows_brief,
            ],
            room,
        ),
        below: under,
        badge,
        role: Role::Leak,
        ..Outlook::default()
    }
}

/// The live heap grows, and no site shows it by itself yet.
pub(super) fn heap(ui: &UiState, columns: usize) -> Outlook {
    let badge = growth_badge(&ui.reading.findings, Kind::Heap);
    let room = room(columns, &badge, LIMIT_CELLS);
    let rate = ui.reading.findings.process.live_bytes_per_min;
    let grows = rate.map_or_else(
        || "live heap grows".to_owned(),
        |rate| format!("live heap {}", format::sentence_per_minute(rate.value)),
    );
    let grows_wide = format!("{grows}{}", rate.map_or_else(String::new, bounds));
    let change_of = |row: &SiteRow| {
        row.growth
            .filter(|growth| format::is_significant(growth.bytes, growth.bytes_err))
            .map_or(0.0, |growth| growth.bytes)
    };
    let most = ui
        .reading
        .sites
        .iter()
        .max_by(|a, b| change_of(a).total_cmp(&change_of(b)).then(b.id.cmp(&a.id)))
        .filter(|row| change_of(row) > 0.0);
    let below = most.map_or_else(String::new, |row| {
        let change = format::sentence_change(change_of(row));
        let head = format!("most {change} in ");
        let left = columns.saturating_sub(text_column(&badge) + 28 + width(&head));
        format!(
            "{head}{}",
            names::shorten(&names::clean(&row.function), left)
        )
    });
    Outlook {
        text: fitting(
            [
                format!("{grows_wide}; no site by itself is sure yet"),
                format!("{grows}; no site by itself is sure yet"),
                grows_wide,
                grows,
            ],
            room,
        ),
        below,
        badge,
        role: Role::Leak,
        ..Outlook::default()
    }
}

/// Per call or per minute, what it follows, and how many of its samples live.
fn how_it_grows(leak: &Leak, columns: usize) -> String {
    let evidence = &leak.evidence;
    // The limit's interval stands at the right.
    let room = columns.saturating_sub(10 + 32);
    let per = evidence.per_call.as_ref().map(|per| {
        let (amount, interval) = words::per_call(per, words::Things::of(leak.kind));
        let function = names::shorten(&names::clean(&per.function), 32);
        fitting(
            [
                format!("{amount} ({interval}) for each call of {function}"),
                format!("{amount} for each call of {function}"),
            ],
            room,
        )
    });
    let driven = leak.driver.as_ref().and_then(|driver| {
        let (amount, interval) = words::each(driver)?;
        let function = names::shorten(&names::clean(&driver.function), 32);
        Some(fitting(
            [
                format!("{amount} ({interval}) for each call of {function}"),
                format!("{amount} for each call of {function}"),
            ],
            room,
        ))
    });
    let per = driven.or(per);
    // A steady rate by the clock says little while the load is steady too.
    let with = (evidence.grows_with == Some(GrowsWith::Load))
        .then(|| "keeps step with the load (allocations)".to_owned());
    let alive = evidence.survivors.map(|(alive, born)| {
        format!(
            "{} of {} new samples live",
            format::exact_count(alive),
            format::exact_count(born)
        )
    });
    let other = Some(format!("or {}", words::OTHER_READING));
    let mut text = String::new();
    for part in [per, with, alive, other].into_iter().flatten() {
        let gap = if text.is_empty() { "" } else { "; " };
        if width(&text) + gap.len() + width(&part) <= room {
            text.push_str(gap);
            text.push_str(&part);
        }
    }
    text
}

/// Goroutines that never end, what they wait for, and what their stacks take.
pub(super) fn goroutines(ui: &UiState, leak: Option<&Leak>, columns: usize) -> Outlook {
    let findings = &ui.reading.findings;
    let badge = growth_badge(findings, Kind::Goroutines);
    let room = room(columns, &badge, LIMIT_CELLS);
    let rate = leak
        .and_then(|leak| leak.evidence.objects_per_min)
        .map(|rate| format!("{}/min", format::signed_count(rate.value)));
    let maker = leak.map(|leak| names::clean(leak.function()));
    let group = leak.and_then(|leak| group_of(ui, leak));
    let mut texts = Vec::new();
    let grow = rate
        .as_ref()
        .map_or_else(|| "grow".to_owned(), String::clone);
    if let Some(group) = group {
        let count = format::counted(group.count);
        let wait = group.longest_wait_ns.map_or_else(String::new, |ns| {
            format!(" for up to {}", format::duration(ns))
        });
        if let Some((reason, _)) = group.waits.first() {
            texts.push(format!(
                "{count} goroutines wait in \"{reason}\"{wait}, {grow}"
            ));
            texts.push(format!("{count} wait in \"{reason}\", {grow}"));
        }
        texts.push(format!("{count} goroutines, {grow}"));
    }
    texts.push(format!("goroutines {grow}"));
    // Row 3 says who makes them where nothing is known of what they take.
    let taken = parts(&findings.process, columns);
    let below = match maker {
        Some(maker) if taken.is_empty() || columns < 100 => {
            let head = "made by ";
            let left = columns.saturating_sub(text_column(&badge) + 26 + head.len());
            format!("{head}{}", names::shorten(&maker, left))
        }
        Some(maker) => {
            let left = columns.saturating_sub(text_column(&badge) + 36 + width(&taken));
            if left >= 24 {
                format!("made by {}; {taken}", names::shorten(&maker, left))
            } else {
                taken
            }
        }
        None => taken,
    };
    Outlook {
        text: fitting(texts, room),
        below,
        badge,
        role: Role::Leak,
        ..Outlook::default()
    }
}

/// The largest group of goroutines that the first site of a leak makes.
fn group_of<'a>(ui: &'a UiState, leak: &Leak) -> Option<&'a GoroutineGroup> {
    let maker = leak
        .sites
        .first()
        .map(|site| &site.frame)
        .or(leak.under.as_ref())?;
    let all = ui.reading.goroutines.as_ref()?;
    all.groups
        .iter()
        .filter(|group| {
            let created_by = group.created_by.as_ref();
            created_by.is_some_and(|frame| frame.function == maker.function)
        })
        .max_by_key(|group| group.count)
}

/// Growth of the resident set that is not the live heap.
pub(super) fn other(findings: &Findings, kind: Kind, columns: usize) -> Outlook {
    let process = &findings.process;
    let badge = growth_badge(findings, kind);
    let room = room(columns, &badge, LIMIT_CELLS);
    let (whole, brief) = match process.rss_bytes_per_min {
        Some(rate) => {
            let rate = format::sentence_per_minute(rate.value);
            (format!("RSS {rate}"), rate)
        }
        None => ("RSS grows".to_owned(), "grows".to_owned()),
    };
    let (wholly, briefly) = if process.heap.is_quiet() && !words::heap_is_in(process) {
        ("the live heap does not grow", "not the live heap")
    } else {
        ("not the live heap alone", "not the heap alone")
    };
    Outlook {
        text: fitting(
            [
                format!("{whole}, {wholly}"),
                format!("{brief}, {briefly}"),
                brief,
            ],
            room,
        ),
        below: parts(process, columns),
        badge,
        // The kernel takes page cache back before it kills.
        role: if kind == Kind::PageCache {
            Role::Warn
        } else {
            Role::Leak
        },
        ..Outlook::default()
    }
}

/// `of the growth 82 % is idle spans kept (GOGC), 11 % goroutine stacks`, as many parts as fit beside the limit.
fn parts(process: &ProcessVerdict, columns: usize) -> String {
    let room = columns.saturating_sub(12 + 24);
    let mut text = String::new();
    for part in &process.parts {
        let words = words::kind_words(part.kind);
        let next = if text.is_empty() {
            format!("{} of the growth: {words}", percent(part.share))
        } else {
            format!(", {} {words}", percent(part.share))
        };
        if width(&text) + width(&next) > room {
            break;
        }
        text.push_str(&next);
    }
    text
}
