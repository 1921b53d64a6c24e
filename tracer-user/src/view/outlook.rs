//! The process's verdict and the time that is left, as rows 2 and 3 say them: badge, sentence, the line below, and the
//! limit at the right.
//!
//! The longest wording that fits is taken: half a sentence says nothing.

use super::format;
use super::limit::{add_limit, seconds};
use super::names::{self, width};
use super::screen::Role;
use super::ui_state::UiState;
use super::words;
use crate::model::anatomy::Part;
use crate::model::findings::{
    Findings, GrowsWith, Interval, Kind, Leak, Missing, ProcessVerdict, Word,
};
use crate::model::goroutines::GoroutineGroup;
use crate::model::rows::SiteRow;
use crate::verdict::{ENOUGH_SAMPLES, LEAST_CYCLES};

/// A quiet Go process collects every 2 minutes (`forcegcperiod`, `runtime/proc.go`, go1.19 to go1.27).
const QUIET_GC_S: f64 = 120.0;

/// What is said of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outlook {
    /// In reverse video.
    pub badge: String,
    /// Its colour.
    pub role: Role,
    /// Behind the badge.
    pub text: String,
    /// A badge in the line below, of what was known at the end.
    pub below_badge: String,
    /// In that line.
    pub below: String,
    /// Time that is left, at the right.
    pub right: String,
    /// Its colour.
    pub right_role: Role,
    /// Below it: which limit, and the interval.
    pub right_below: String,
}

/// Column where the sentence begins: in a line for short badges, behind long ones.
pub fn text_column(badge: &str) -> usize {
    (1 + width(badge) + 2).max(10)
}

/// What is said on a screen of `columns`; `None` while no verdict was asked for, as where nothing is judged.
pub fn outlook(ui: &UiState, columns: usize) -> Option<Outlook> {
    let findings = &ui.reading.findings;
    let process = &findings.process;
    let mut outlook = match (process.word, process.kind, findings.leaks.first()) {
        (Word::Collecting, _, _) => {
            return process
                .missing
                .map(|missing| collecting(ui, missing, columns));
        }
        (Word::Growing, Some(Kind::Heap) | None, Some(leak)) => leak_of(findings, leak, columns),
        (Word::Growing, Some(Kind::Heap) | None, None) => heap(ui, columns),
        (Word::Growing, Some(Kind::Goroutines), leak) => goroutines(ui, leak, columns),
        (Word::Growing, Some(kind), _) => other(process, kind, columns),
        (word, _, _) => no_leak(ui, word, columns),
    };
    add_limit(&mut outlook, &ui.reading, columns);
    Some(outlook)
}

/// The badge alone, for lines of text; empty while nothing is known.
pub fn badge(findings: &Findings) -> String {
    let process = &findings.process;
    match (process.word, process.kind) {
        (Word::Collecting, _) if process.missing.is_none() => String::new(),
        (Word::Growing, Some(Kind::Heap | Kind::Goroutines) | None)
            if !findings.leaks.is_empty() =>
        {
            leak_badge(findings)
        }
        (Word::Growing, Some(kind)) => kind_badge(kind).to_owned(),
        (word, _) => word.word().to_uppercase(),
    }
}

/// `LEAK A`, of two `LEAK A,B`, of more `LEAK A-D`.
fn leak_badge(findings: &Findings) -> String {
    let letters: Vec<char> = findings.leaks.iter().map(|leak| leak.letter).collect();
    match letters.as_slice() {
        [] => "LEAK".to_owned(),
        [one] => format!("LEAK {one}"),
        [one, two] => format!("LEAK {one},{two}"),
        [first, .., last] => format!("LEAK {first}-{last}"),
    }
}

/// The badge of what grows that is no leak of the Go heap.
fn kind_badge(kind: Kind) -> &'static str {
    match kind {
        Kind::Heap => "GROWING",
        Kind::Goroutines => "GOROUTINES",
        Kind::Stacks => "STACKS",
        Kind::Cgo => "CGO",
        Kind::Mmap => "MMAP",
        Kind::SpanWaste => "FRAGMENTS",
        Kind::IdleSpans => "IDLE SPANS",
        Kind::Garbage => "GARBAGE",
        Kind::Metadata => "METADATA",
        Kind::PageCache => "PAGE CACHE",
    }
}

/// The first of the texts that fits; the last where none does.
fn fitting(texts: impl IntoIterator<Item = String>, room: usize) -> String {
    let mut last = String::new();
    for text in texts {
        if width(&text) <= room {
            return text;
        }
        last = text;
    }
    last
}

/// Cells of the sentence, with `right` cells of the limit.
fn room(columns: usize, badge: &str, right: usize) -> usize {
    columns.saturating_sub(text_column(badge) + right + 2)
}

/// Widest text of a limit in row 2: `limit in 8h58m`.
const LIMIT_CELLS: usize = 15;

fn collecting(ui: &UiState, missing: Missing, columns: usize) -> Outlook {
    let reading = &ui.reading;
    let have_cycles = LEAST_CYCLES.saturating_sub(missing.cycles);
    let have_samples = u64::from(ENOUGH_SAMPLES).saturating_sub(missing.samples);
    let cycles = format!("{have_cycles} of {LEAST_CYCLES} GC cycles");
    let samples = format!("{have_samples} of about {ENOUGH_SAMPLES} samples");
    let since_last = reading
        .cycles
        .last()
        .map(|cycle| reading.until_ns().saturating_sub(cycle.at_ns));
    let next = reading
        .gc_interval_ns
        .zip(since_last)
        .map(|(interval, since)| interval.saturating_sub(since));
    let what = match (missing.cycles, missing.samples) {
        (0, 0) => "enough GC cycles and samples; a verdict takes about 3 min".to_owned(),
        (0, _) => samples,
        (_, 0) => cycles.clone(),
        _ => format!("{cycles}, {samples}"),
    };
    let next = match next {
        Some(ns) if ns >= 1_000_000_000 => {
            format!("next GC in about {}", format::duration(ns))
        }
        Some(_) => "next GC any moment".to_owned(),
        None => "a quiet process collects every 2 min".to_owned(),
    };
    let badge = "COLLECTING".to_owned();
    let space = columns.saturating_sub(text_column(&badge) + 1);
    let texts = ["too early to say what grows", "too early to say"];
    let right = match missing.answer_in_s {
        Some(s) if s < 1.0 => "answer any moment".to_owned(),
        Some(s) if s.is_finite() => format!("answer in about {}", seconds(s)),
        None if missing.cycles > 0 && reading.gc_interval_ns.is_none() => {
            format!(
                "answer in about {}",
                seconds(f64::from(missing.cycles) * QUIET_GC_S)
            )
        }
        _ => String::new(),
    };
    Outlook {
        text: fitting(
            texts.map(str::to_owned),
            space.saturating_sub(width(&right) + 1),
        ),
        below: fitting(
            [
                format!("{what}; {next}"),
                if missing.cycles > 0 {
                    format!("{cycles}; {next}")
                } else {
                    what.clone()
                },
                what,
            ],
            space,
        ),
        badge,
        role: Role::Cool,
        right,
        ..Outlook::default()
    }
}

/// `3 sites`.
fn sites(leak: &Leak) -> String {
    format::many(&leak.sites.len().max(1).to_string(), "site")
}

fn percent(share: f64) -> String {
    format!("{} %", format::percent(share))
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
fn leak_of(findings: &Findings, leak: &Leak, columns: usize) -> Outlook {
    let badge = leak_badge(findings);
    let room = room(columns, &badge, LIMIT_CELLS);
    let rate = findings
        .process
        .live_bytes_per_min
        .or(leak.evidence.bytes_per_min);
    let share = match (leak.share_bytes, leak.share_objects) {
        // By few bytes and many objects, it is the objects that tell.
        (Some(bytes), Some(objects)) if objects > bytes => {
            Some(format!("{} of the objects", percent(objects)))
        }
        (Some(bytes), _) => Some(percent(bytes)),
        (None, objects) => objects.map(|objects| format!("{} of the objects", percent(objects))),
    };
    let under = names::clean(&leak.under.function);
    let is_itself = leak.sites.len() <= 1;
    let from = match (&share, is_itself) {
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
        let text = "live heap grows with the load".to_owned();
        (text.clone(), text, "grows with the load".to_owned())
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
    let brief_from = if is_itself {
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
fn heap(ui: &UiState, columns: usize) -> Outlook {
    let badge = kind_badge(Kind::Heap).to_owned();
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
fn goroutines(ui: &UiState, leak: Option<&Leak>, columns: usize) -> Outlook {
    let findings = &ui.reading.findings;
    let badge = if findings.leaks.is_empty() {
        kind_badge(Kind::Goroutines).to_owned()
    } else {
        leak_badge(findings)
    };
    let room = room(columns, &badge, LIMIT_CELLS);
    let rate = leak
        .and_then(|leak| leak.evidence.objects_per_min)
        .map(|rate| format!("{}/min", format::signed_count(rate.value)));
    let maker = leak.map(|leak| names::clean(&leak.under.function));
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
    let maker = &leak.sites.first().map_or(&leak.under, |site| &site.frame);
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
fn other(process: &ProcessVerdict, kind: Kind, columns: usize) -> Outlook {
    let badge = kind_badge(kind).to_owned();
    let room = room(columns, &badge, LIMIT_CELLS);
    let (whole, brief) = match process.rss_bytes_per_min {
        Some(rate) => {
            let rate = format::sentence_per_minute(rate.value);
            (format!("RSS {rate}"), rate)
        }
        None => ("RSS grows".to_owned(), "grows".to_owned()),
    };
    let (wholly, briefly) = if words::heap_is_in(process) {
        ("not the live heap alone", "not the heap alone")
    } else {
        ("the live heap does not grow", "not the live heap")
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

/// Steady, warming, churn, idle.
fn no_leak(ui: &UiState, word: Word, columns: usize) -> Outlook {
    let reading = &ui.reading;
    let badge = word.word().to_uppercase();
    let room = room(columns, &badge, LIMIT_CELLS);
    let span = format::duration(reading.since_baseline_ns());
    let change = reading
        .live_growth()
        .map(|growth| format!("{} in {span}", format::sentence_change(growth)));
    let bound = reading
        .findings
        .process
        .steady_below_bytes_per_min
        .map(|bytes| {
            let text = format::sentence_per_minute(bytes);
            format!("growth below {}", text.trim_start_matches('+'))
        });
    let (text, below) = match (word, change) {
        (Word::Warming, Some(change)) => (
            format!("live heap {change}"),
            "each step is smaller than the one before".to_owned(),
        ),
        (Word::Warming, None) => (
            "live heap rises".to_owned(),
            "each step is smaller than the one before".to_owned(),
        ),
        (Word::Idle, _) => (
            "nothing was born and nothing died for 8 min".to_owned(),
            String::new(),
        ),
        (Word::Churn, _) => (
            "much is allocated, nothing is kept".to_owned(),
            bound.clone().unwrap_or_default(),
        ),
        (_, Some(change)) => (
            format!("live heap flat ({change})"),
            bound.clone().unwrap_or_default(),
        ),
        (_, None) => (
            "live heap flat".to_owned(),
            bound.clone().unwrap_or_default(),
        ),
    };
    // Where both fit in one line, the line below is free for the peak.
    let both = format!("{text}, {below}");
    let (text, mut below) = if !below.is_empty() && width(&both) <= room {
        (both, String::new())
    } else {
        (text, below)
    };
    let head = text.split(" (").next().unwrap_or_default().to_owned();
    let text = fitting([text, head], room);
    if let Some(peak) = peak(ui) {
        let space = columns.saturating_sub(text_column(&badge) + 1);
        let gap = if below.is_empty() { "" } else { "; " };
        let with = peak.into_iter().map(|peak| format!("{below}{gap}{peak}"));
        let before = below.clone();
        below = fitting(with.chain([before]), space);
    }
    Outlook {
        text,
        below,
        badge,
        role: if word == Word::Warming {
            Role::Warn
        } else {
            Role::Dim
        },
        ..Outlook::default()
    }
}

/// A peak that is over, longest wording first: when, how much, and what it was made of.
fn peak(ui: &UiState) -> Option<[String; 2]> {
    /// A peak below this share of what is resident now above it is none.
    const ABOVE: f64 = 1.2;
    let anatomy = ui.reading.anatomy.as_ref()?;
    let (now, peak) = (&anatomy.now, &anatomy.peak);
    if (peak.rss_bytes as f64) < ABOVE * now.rss_bytes as f64 {
        return None;
    }
    let at = format::time_of_day(
        ui.reading.target.unix_ns(peak.at_ns),
        ui.options.utc_offset_s,
    );
    let rss = format::sentence_bytes(peak.rss_bytes as f64);
    let mut parts: Vec<(Part, u64)> = Part::ALL
        .iter()
        .map(|part| (*part, peak.parts.get(*part)))
        .collect();
    parts.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let sum = peak.parts.sum().max(1) as f64;
    let most: Vec<String> = parts
        .iter()
        .take(2)
        .map(|(part, bytes)| format!("{} {}", percent(*bytes as f64 / sum), part_words(*part)))
        .collect();
    let brief = format!("peak {rss} at {at}");
    Some([format!("{brief}: {}", most.join(", ")), brief])
}

/// A part of the resident set, in words that are short.
fn part_words(part: Part) -> &'static str {
    match part {
        Part::Live => "live heap",
        Part::Garbage => "garbage",
        Part::Waste => "span waste",
        Part::Idle => "idle spans",
        Part::Stacks => "stacks",
        Part::Metadata => "metadata",
        Part::Globals => "globals",
        Part::Anon => "non-Go memory",
        Part::File => "files",
    }
}
