//! Rows 2 to 4: the badge with what there is to know first, the line that explains it, and what the view is set to.

use super::format::{self, is_significant};
use super::layout::Layout;
use super::names;
use super::order::SortKey;
use super::screen::{Line, Panel, PanelKind, Role};
use super::table::{CYCLES_FOR_RATE, columns, label};
use super::ui_state::UiState;
use crate::model::rows::{GroupBy, SiteRow, Status};

/// A quiet Go process collects every 2 minutes (`forcegcperiod`, `runtime/proc.go`, go1.19 to go1.27).
const FORCED_GC_NS: u64 = 120_000_000_000;
/// Least change of the live heap that is called one.
const LEAST_GROWTH: f64 = 0.05 * 1024.0 * 1024.0;
const MINUTE_NS: u64 = 60_000_000_000;

/// What rows 2 and 3 say.
struct News {
    badge: &'static str,
    role: Role,
    text: String,
    right: String,
    below: String,
}

/// Column where the sentence begins: in a line for short badges, behind long ones.
fn text_column(badge: &str) -> usize {
    (1 + badge.len() + 2).max(10)
}

/// Rows 2 and 3.
pub fn panel(ui: &UiState, layout: &Layout) -> Panel {
    let width = layout.news.cells();
    let mut news = news(ui, width);
    if ui.is_paused() && !ui.has_exited() {
        news.right = match ui.behind {
            1 => "1 GC behind".to_owned(),
            behind => format!("{} GCs behind", format::counted(behind)),
        };
    }
    let right = |text: &str, role| {
        let mut line = Line::default();
        if !text.is_empty() {
            line.push(format!("{text} "), role);
        }
        line
    };
    let mut first = Line::plain(" ");
    first.push_badge(news.badge, news.role);
    first.pad_to(text_column(news.badge));
    first.push(news.text, Role::Plain);
    let right_role = if ui.is_paused() {
        Role::Warn
    } else {
        Role::Plain
    };
    let first = first.and_right(right(&news.right, right_role), width);
    let mut second = Line::default();
    second.pad_to(text_column(news.badge));
    second.push(news.below, Role::Plain);
    let mut lines = vec![first, second.fit(width - 1)];
    lines.truncate(layout.news.rows());
    Panel::new(PanelKind::News, layout.news, lines)
}

fn news(ui: &UiState, width: usize) -> News {
    let reading = &ui.reading;
    if let Status::Exited { at_ns, how } = &reading.status {
        let at = format::time_of_day(reading.target.unix_ns(*at_ns), ui.options.utc_offset_s);
        let how = how
            .as_deref()
            .map_or_else(String::new, |how| format!(", {}", names::clean(how)));
        let watched = format::duration(at_ns.saturating_sub(reading.target.attached_ns));
        return News {
            badge: "EXITED",
            role: Role::Warn,
            text: if width < 80 {
                format!("at {at}{how}")
            } else {
                format!("at {at}{how}, after {watched} of watching")
            },
            right: "frozen".to_owned(),
            below: match reading.live_growth() {
                Some(_) => grown(ui, width).text,
                None => "it ended before growth was known".to_owned(),
            },
        };
    }
    if !reading.ready {
        let name = names::shorten(&names::clean(&reading.target.name), 24);
        return News {
            badge: "ATTACHING",
            role: Role::Cool,
            text: format!("reading the heap records of {name}"),
            right: if width < 80 {
                String::new()
            } else {
                "usually under 1 s".to_owned()
            },
            below: String::new(),
        };
    }
    if reading.cycles_seen < CYCLES_FOR_RATE || reading.live_growth().is_none() {
        return collecting(ui);
    }
    grown(ui, width)
}

/// Too few cycles: how many there are, and when there will be enough.
fn collecting(ui: &UiState) -> News {
    let reading = &ui.reading;
    let seen = reading.cycles_seen.min(CYCLES_FOR_RATE);
    let missing = (CYCLES_FOR_RATE - seen).max(1);
    let since_last = reading
        .cycles
        .last()
        .map(|cycle| reading.now_ns.saturating_sub(cycle.at_ns));
    let (right, below) = match (reading.gc_interval_ns, since_last) {
        (Some(interval), Some(since_last)) => {
            let next = interval.saturating_sub(since_last);
            let answer = next.saturating_add(interval.saturating_mul(missing - 1));
            let soon = |ns: u64| match ns {
                0..1_000_000_000 => "any moment".to_owned(),
                ns => format!("in about {}", format::duration(ns)),
            };
            (
                format!("answer {}", soon(answer)),
                format!(
                    "{seen} of {CYCLES_FOR_RATE} GC cycles; next GC {}",
                    soon(next)
                ),
            )
        }
        _ => (
            format!(
                "answer in about {}",
                format::coarse_duration(missing * FORCED_GC_NS)
            ),
            format!("{seen} of {CYCLES_FOR_RATE} GC cycles; a quiet process collects every 2 min"),
        ),
    };
    let below = if seen >= CYCLES_FOR_RATE {
        "growth counts from this baseline; it is known after the next GC".to_owned()
    } else {
        below
    };
    News {
        badge: "COLLECTING",
        role: Role::Cool,
        text: "too early to say what grows".to_owned(),
        right,
        below,
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
fn grown(ui: &UiState, width: usize) -> News {
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
        "{} GCs in {}",
        format::exact_count(reading.final_cycles),
        format::duration(since_ns)
    );
    let minutes = since_ns as f64 / MINUTE_NS as f64;
    let right = if since_ns >= MINUTE_NS && width >= 100 {
        format::sentence_per_minute(growth / minutes)
    } else {
        String::new()
    };
    // What stands at the right needs its room, "4 GCs behind" too.
    let right_room = if ui.is_paused() { 16 } else { right.len() + 2 };
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
        (format!("{heap}; no site grew beyond its error"), cycles)
    };
    News {
        badge,
        role,
        text,
        right,
        below,
    }
}

/// Whether a heading marks what the rows are sorted by.
fn sorted_column_is_shown(ui: &UiState, layout: &Layout) -> bool {
    ui.sort.key == SortKey::Name
        || columns(ui, layout)
            .iter()
            .filter_map(|placed| placed.column)
            .any(|column| column.sort_key() == Some(ui.sort.key))
}

/// Row 4: what differs from the view's own settings at the left, the baseline at the right.
pub fn context(ui: &UiState, layout: &Layout) -> Panel {
    let width = layout.context.cells();
    let mut line = Line::plain(" ");
    if let (Some(_), Some(row)) = (&ui.detail, ui.selected()) {
        let index = ui.shown_rows().position(|other| other.id == row.id);
        let place = index.map_or_else(String::new, |index| {
            format!(", {} of {}", index + 1, ui.shown_rows().len())
        });
        let room = width.saturating_sub(46);
        line.push("Sites", Role::Dim);
        line.push(" > ", Role::Dim);
        line.push(names::shorten(&label(row, ui.query.by), room), Role::Accent);
        line.push(place, Role::Dim);
    } else {
        line.push_bold("Sites", Role::Accent);
    }
    let mut settings = Vec::new();
    match ui.query.by {
        GroupBy::Function => {}
        GroupBy::Line => settings.push("by line".to_owned()),
        GroupBy::Package => settings.push("by package".to_owned()),
        GroupBy::Type => settings.push("by type".to_owned()),
    }
    if ui.query.cumulative {
        settings.push("cumulative".to_owned());
    }
    if ui.objects {
        settings.push("objects".to_owned());
    }
    if ui.detail.is_none() && !sorted_column_is_shown(ui, layout) {
        let words = SortKey::ALL.iter().find(|(key, _)| *key == ui.sort.key);
        settings.push(format!("by {}", words.map_or("", |(_, words)| words)));
    }
    if ui.sort.reversed {
        settings.push("reversed".to_owned());
    }
    if ui.columns_at > 0 && ui.detail.is_none() {
        settings.push("h more columns".to_owned());
    }
    if !ui.filter.is_empty() && ui.detail.is_none() {
        let shown = ui.shown_rows().len();
        settings.push(format!(
            "/{} ({shown} of {})",
            names::shorten(&names::clean(ui.filter.text()), 20),
            shown + ui.hidden()
        ));
    }
    for setting in settings {
        line.push(format!("  {setting}"), Role::Plain);
    }
    let right = if ui.reading.baselines.is_empty() {
        Line::default()
    } else {
        let since = format::duration(ui.reading.since_baseline_ns());
        let name = names::shorten(&ui.active_baseline_name(), 20);
        let text = if ui.since {
            format!("since {name} {since} ")
        } else {
            format!("absolute; baseline {name} ")
        };
        Line::new(text, Role::Dim)
    };
    Panel::new(
        PanelKind::Context,
        layout.context,
        vec![line.and_right(right, width)],
    )
}
