//! Rows 2 and 3: the badge with what there is to know first, and the line that explains it: the process's verdict where
//! there is one, else how the live heap has changed.

use super::countdown::{Left, rounded_s};
use super::format::{self, is_significant};
use super::layout::Layout;
use super::names;
use super::outlook::{Outlook, outlook, text_column};
use super::screen::{Line, Panel, PanelKind, Role};
use super::table::label;
use super::ui_state::UiState;
use super::words;
use crate::model::rows::{SiteRow, Status};

/// Least change of the live heap that is called one.
const LEAST_GROWTH: f64 = 0.05 * 1024.0 * 1024.0;
const MINUTE_NS: u64 = 60_000_000_000;

/// Rows 2 and 3.
pub fn panel(ui: &UiState, layout: &Layout) -> Panel {
    let width = layout.news.cells();
    let mut news = news(ui, width);
    if ui.is_paused() && !ui.has_exited() {
        news.right = match ui.behind {
            1 => "1 GC behind".to_owned(),
            behind => format!("{} GCs behind", format::counted(behind)),
        };
        news.right_role = Role::Warn;
    }
    let right = |text: &str, role| {
        let mut line = Line::default();
        if !text.is_empty() {
            line.push(format!("{text} "), role);
        }
        line
    };
    let column = text_column(&news.badge);
    let mut first = Line::plain(" ");
    first.push_badge(&news.badge, news.role);
    first.pad_to(column);
    first.push(&news.text, Role::Plain);
    let first = first.and_right(right(&news.right, news.right_role), width);
    let mut second = Line::default();
    if !news.below_badge.is_empty() {
        second.push(" ", Role::Plain);
        second.push_bold(&news.below_badge, Role::Plain);
    }
    let column = if news.below_badge.is_empty() {
        column
    } else {
        text_column(&news.below_badge)
    };
    second.pad_to(column);
    let below_right = right(&news.right_below, Role::Plain);
    let room = width.saturating_sub(column + below_right.width() + 2);
    // A name alone is shortened as names are; sentences were made to fit.
    let below = if news.below.contains(' ') {
        news.below
    } else {
        names::shorten(&news.below, room)
    };
    second.push(below, Role::Plain);
    let mut lines = vec![first, second.and_right(below_right, width)];
    lines.truncate(layout.news.rows());
    Panel::new(PanelKind::News, layout.news, lines)
}

fn news(ui: &UiState, width: usize) -> Outlook {
    let reading = &ui.reading;
    if let Status::Exited { at_ns, exit, how } = &reading.status {
        return exited(ui, *at_ns, &words::end(*exit, how.as_deref()), width);
    }
    if !reading.ready {
        let name = names::shorten(&names::clean(&reading.target.name), 24);
        return Outlook {
            badge: "ATTACHING".to_owned(),
            role: Role::Cool,
            text: format!("reading the heap records of {name}"),
            right: if width < 80 {
                String::new()
            } else {
                "usually under 1 s".to_owned()
            },
            ..Outlook::default()
        };
    }
    if let Some(outlook) = outlook(ui, width) {
        return outlook;
    }
    if reading.live_growth().is_none() {
        return before_gc(ui, width);
    }
    let mut facts = grown(ui, width);
    "COLLECTING".clone_into(&mut facts.right);
    facts.right_role = Role::Cool;
    let answer = time_to_answer(ui);
    let cells = text_column(&facts.badge) + names::width(&facts.below) + names::width(&answer);
    // Half a sentence says nothing.
    if cells + 3 <= width {
        facts.right_below = answer;
    }
    facts
}

/// Time until the answer, as `diagnose` counts it down; empty where it is unknown.
fn time_to_answer(ui: &UiState) -> String {
    let Some(answer) = &ui.reading.answer else {
        return String::new();
    };
    match (answer.left, answer.late) {
        (Left::AnyMoment, _) => "answer any moment".to_owned(),
        (Left::In(s), None) => format!("answer in {}", words::brief(rounded_s(s))),
        (Left::In(s), Some(late)) => format!(
            "answer in {}, {} later",
            words::brief(rounded_s(s)),
            words::late(late.by_s)
        ),
        (Left::AfterEnd | Left::Unknown(_), _) => String::new(),
    }
}

/// How it ended, and below what was known of it then.
fn exited(ui: &UiState, at_ns: u64, end: &str, width: usize) -> Outlook {
    let reading = &ui.reading;
    let time = |ns| format::time_of_day(reading.target.unix_ns(ns), ui.options.utc_offset_s);
    let at = time(at_ns);
    let watched = format::duration(at_ns.saturating_sub(reading.target.attached_ns));
    let badge = "EXITED".to_owned();
    let right = "frozen".to_owned();
    let room = width.saturating_sub(text_column(&badge) + right.len() + 2);
    let text = [
        format!("at {at}: {end}, after {watched} of watching"),
        format!("at {at}: {end}, watched {watched}"),
        format!("at {at}: {end}"),
        end.to_owned(),
    ]
    .into_iter()
    .find(|text| names::width(text) <= room)
    .unwrap_or_else(|| format!("at {at}"));
    let mut below_badge = String::new();
    let below = if let Some(last) = outlook(ui, width) {
        let room = width.saturating_sub(text_column(&last.badge) + 1);
        below_badge = last.badge;
        // Who calls it has no line of its own here.
        let text = last.text.trim_end_matches(" under");
        let when = reading.cycles.last().map_or_else(String::new, |cycle| {
            format!(" at the last GC ({})", time(cycle.at_ns))
        });
        match text.split_once("; ") {
            Some((grows, rest)) if names::width(text) + when.len() <= room => {
                format!("{grows}{when}; {rest}")
            }
            _ => text.to_owned(),
        }
    } else if reading.live_growth().is_some() {
        grown(ui, width).text
    } else {
        "it ended before growth was known".to_owned()
    };
    Outlook {
        badge,
        role: Role::Warn,
        text,
        right,
        below_badge,
        below,
        ..Outlook::default()
    }
}

/// Sizes before the first GC since the baseline: growth of the live heap is known after it.
fn before_gc(ui: &UiState, width: usize) -> Outlook {
    let reading = &ui.reading;
    let settings = reading.gc_settings;
    let since_last = reading
        .cycles
        .last()
        .map(|cycle| reading.now_ns.saturating_sub(cycle.at_ns));
    let next = match (reading.gc_interval_ns, since_last) {
        (Some(interval), Some(since_last)) => match interval.saturating_sub(since_last) {
            0..1_000_000_000 => "due any moment".to_owned(),
            ns => format!("due in about {}", format::duration(ns)),
        },
        _ if settings.is_some_and(|settings| settings.gogc.is_none()) => "GOGC is off".to_owned(),
        _ => "due within 2 min".to_owned(),
    };
    let badge = match reading.cycles_seen {
        0 => "NO GC YET",
        _ => "NO GC SINCE",
    }
    .to_owned();
    let right = "COLLECTING".to_owned();
    let room = width.saturating_sub(text_column(&badge) + right.len() + 3);
    let parts = words::size_parts(reading);
    let text = (1..=parts.len())
        .rev()
        .map(|n| parts[..n].join(", "))
        .find(|text| names::width(text) <= room);
    Outlook {
        badge,
        role: Role::Cool,
        text: text.unwrap_or_else(|| "reading sizes".to_owned()),
        below: format!("growth is known after the next GC, {next}"),
        right,
        right_role: Role::Cool,
        ..Outlook::default()
    }
}

/// The site that grew most, if any did beyond its error.
fn grew_most(ui: &UiState) -> Option<(&SiteRow, f64, f64)> {
    ui.reading
        .sites
        .iter()
        .filter_map(|site| {
            site.growth
                .map(|growth| (site, growth.bytes, growth.bytes_err))
        })
        .filter(|(_, bytes, err)| *bytes > 0.0 && is_significant(*bytes, *err))
        .max_by(|a, b| a.1.total_cmp(&b.1).then_with(|| b.0.id.cmp(&a.0.id)))
}

/// How much the live heap grew, and where most.
fn grown(ui: &UiState, width: usize) -> Outlook {
    let reading = &ui.reading;
    let growth = reading.live_growth().unwrap_or(0.0);
    let since_ns = reading.since_baseline_ns();
    let (badge, role) = if growth >= LEAST_GROWTH {
        ("GREW", Role::Leak)
    } else if growth <= -LEAST_GROWTH {
        ("SHRANK", Role::Cool)
    } else {
        ("FLAT", Role::Dim)
    };
    let change = format::sentence_change(growth);
    let whole = format!("live heap {change} since {}", ui.active_baseline_name());
    let brief = if width < 72 {
        format!("live {change}")
    } else {
        format!("live heap {change}")
    };
    let cycles = format!(
        "{} in {}",
        format::many(&format::exact_count(reading.final_cycles), "GC"),
        format::duration(since_ns)
    );
    let minutes = since_ns as f64 / MINUTE_NS as f64;
    let right = if since_ns >= MINUTE_NS && width >= 100 {
        format::sentence_per_minute(growth / minutes)
    } else {
        String::new()
    };
    // "COLLECTING" and "4 GCs behind" need room at the right.
    let right_room = if ui.is_paused() {
        16
    } else {
        right.len().max(12) + 2
    };
    let room = width.saturating_sub(right_room);
    let (text, below) = if let Some((site, bytes, err)) = grew_most(ui) {
        let name = label(site, ui.query.by);
        let left = |heap: &str| room.saturating_sub(text_column(badge) + names::width(heap) + 10);
        // Row 4 names the baseline too; nothing else names the site before the table does.
        let function = name.rsplit('/').next().unwrap_or_default();
        let heap = if names::shorten(&name, left(&whole)).ends_with(function) {
            whole
        } else {
            brief
        };
        let left = left(&heap);
        let error = format::error(bytes, err, site.growth_samples);
        let rate = site
            .rate
            .filter(|rate| is_significant(rate.bytes_per_min, rate.bytes_per_min_err))
            .map_or_else(String::new, |rate| {
                format!(", {}", format::sentence_per_minute(rate.bytes_per_min))
            });
        (
            format!("{heap}, most in {}", names::shorten(&name, left)),
            format!(
                "{} (+-{error}){rate} from that site; {cycles}",
                format::sentence_change(bytes)
            ),
        )
    } else {
        let heap = if width < 72 { brief } else { whole };
        let text = format!("{heap}; no site grew beyond its error");
        let room = room.saturating_sub(text_column(badge));
        if names::width(&text) <= room {
            (text, cycles)
        } else {
            (heap, format!("no site grew beyond its error; {cycles}"))
        }
    };
    Outlook {
        badge: badge.to_owned(),
        role,
        text,
        right,
        below,
        ..Outlook::default()
    }
}
