//! The selected row, whole: name, file and line, and its figures in words. A notice takes the last line's place.

use super::format::{self, is_significant};
use super::graph::rule;
use super::layout::Layout;
use super::names;
use super::screen::{Line, Panel, PanelKind, Role};
use super::table::{alloc_per_second, label};
use super::ui_state::UiState;
use crate::event::Duty;
use crate::model::rows::{History, SiteRow, Status};

/// Notes of the attach are shown for so long.
const NOTES_NS: u64 = 60_000_000_000;
/// Each of several in its turn.
const NOTE_NS: u64 = 8_000_000_000;

/// The panel.
pub fn panel(ui: &UiState, layout: &Layout) -> Panel {
    let area = layout.selected;
    let room = area.cells().saturating_sub(2);
    let mut lines: Vec<Line> = match ui.selected() {
        Some(row) => {
            let rows = if area.height >= 4 { 3 } else { area.rows() };
            facts(ui, row, room, rows)
                .into_iter()
                .map(|line| {
                    let mut indented = Line::plain(" ");
                    indented.append(line);
                    indented
                })
                .collect()
        }
        None => Vec::new(),
    };
    if area.height >= 4 {
        lines.insert(0, rule("selected", "", area.cells()));
    }
    lines.resize(area.rows(), Line::default());
    if let (Some(notice), Some(last)) = (notice(ui, area.cells()), lines.last_mut()) {
        *last = notice.fit(area.cells());
    }
    Panel::new(PanelKind::Selected, area, lines)
}

/// Name and place, broken over lines where they do not fit, then the figures; at most `rows` lines.
fn facts(ui: &UiState, row: &SiteRow, room: usize, rows: usize) -> Vec<Line> {
    let name = label(row, ui.query.by);
    let place = names::short_location(&row.file, row.line);
    let mut lines = Vec::new();
    if rows == 1 {
        let name_room = room.saturating_sub(place.len() + 1);
        if names::width(&place) + 24 <= room {
            let mut line = Line::default();
            line.push_bold(names::shorten(&name, name_room), Role::Plain);
            line.push(format!(" {place}"), Role::Dim);
            return vec![line];
        }
        return vec![Line::plain(names::shorten(&name, room))];
    }
    // The name is never shortened as long as it can be broken.
    let mut rest = name.as_str();
    while lines.len() + 1 < rows && names::width(rest) > room {
        let start = names::cut(rest, room);
        rest = &rest[start.len()..];
        let mut line = Line::default();
        line.push_bold(start, Role::Plain);
        lines.push(line);
    }
    let mut line = Line::default();
    line.push_bold(names::shorten(rest, room), Role::Plain);
    let mut figures = figures(ui, row, room);
    if line.width() + 1 + names::width(&place) <= room {
        line.push(format!(" {place}"), Role::Dim);
    } else if !place.is_empty() {
        figures.insert(0, (place, Role::Dim));
    }
    lines.push(line);
    // Figures flow behind the name, as many as there is room for.
    let mut line = Line::default();
    if lines.len() >= rows {
        line = lines.pop().unwrap_or_default();
        line.push("  ", Role::Plain);
    }
    for (text, role) in figures {
        let gap = if line.width() == 0 { 0 } else { 2 };
        if line.width() + gap + names::width(&text) > room {
            if lines.len() + 1 >= rows {
                break;
            }
            lines.push(std::mem::take(&mut line));
        }
        if line.width() > 0 {
            line.push("  ", Role::Plain);
        }
        line.push(text, role);
    }
    lines.push(line);
    lines.truncate(rows);
    lines
}

/// How many of the samples born since the attach were freed, in words: the sharpest for a leak is `none freed`.
/// Older ones are freed too, so that it may be more than all.
pub fn freed(row: &SiteRow) -> String {
    match (row.alloc.born_samples, row.alloc.freed_samples) {
        (0, 0) => "none born".to_owned(),
        (_, 0) => "none freed".to_owned(),
        (born, freed) => format!(
            "{} of {} freed",
            format::exact_count(freed),
            format::exact_count(born)
        ),
    }
}

/// Growth in words: `+20.6Mi since attach`, `growth not known yet`.
pub fn growth(ui: &UiState, row: &SiteRow) -> (String, Role) {
    let since = ui.active_baseline_name();
    match row.growth {
        None => ("growth not known yet".to_owned(), Role::Cool),
        Some(_) if row.growth_samples == 0 => (format!("unchanged since {since}"), Role::Plain),
        Some(growth) if !is_significant(growth.bytes, growth.bytes_err) => {
            (format!("~0 since {since}"), Role::Plain)
        }
        Some(growth) => {
            let error = format::error(growth.bytes.abs(), growth.bytes_err, row.growth_samples);
            let role = if growth.bytes > 0.0 {
                Role::Leak
            } else {
                Role::Cool
            };
            (
                format!("{} since {since} (+-{error})", format::change(growth.bytes)),
                role,
            )
        }
    }
}

fn figures(ui: &UiState, row: &SiteRow, room: usize) -> Vec<(String, Role)> {
    let (mut growth, role) = growth(ui, row);
    if room < 100
        && let Some(at) = growth.find(" (+-")
    {
        // The table has the error of in-use; this one is for wider screens.
        growth.truncate(at);
    }
    let mut figures = vec![
        (
            format::many(&format::count(row.inuse.objects), "object"),
            Role::Plain,
        ),
        (
            format::many(&format::exact_count(row.samples), "sample"),
            Role::Plain,
        ),
        (growth, role),
        (
            format!("alloc {}/s, {}", alloc_per_second(row, false), freed(row)),
            Role::Plain,
        ),
    ];
    if let Some(go_type) = &row.go_type {
        figures.push((format!("type {}", names::clean(go_type)), Role::Plain));
    }
    figures
}

/// What it means that nothing is sampled from some moment on.
pub fn rate_to_zero(from: u64) -> String {
    format!("MemProfileRate went from {from} to 0: nothing is sampled any more")
}

/// What the governor does, in words. A sum over a share of time is surer by the root of that share.
fn budget(duty: Duty, source: &str, room: usize) -> String {
    let cpu = |fraction| {
        let percent = format::cpu_percent(fraction);
        percent.strip_suffix(".0").unwrap_or(&percent).to_owned()
    };
    let text = format!(
        "{source} needs {} % cpu, {} % allowed: on {} % of the time",
        cpu(duty.wanted_cpu_fraction),
        cpu(duty.max_cpu_fraction),
        format::percent(duty.on_fraction),
    );
    if room < 80 || duty.on_fraction <= 0.0 {
        return text;
    }
    let wider = duty.on_fraction.sqrt().recip() - 1.0;
    format!("{text}, +- up {} %", format::percent(wider))
}

/// Notes of the attach take turns in the first minute; the help has them for ever.
fn note_of_the_moment(ui: &UiState, room: usize) -> Option<String> {
    let mut notes = ui.reading.notes();
    if let (Some(first), History::SinceAttach) = (notes.first_mut(), ui.reading.target.history)
        && names::width(first) > room
    {
        "no history: in-use counts from the attach".clone_into(first);
    }
    let since_ns = ui.now_ns.saturating_sub(ui.reading.target.attached_ns);
    if notes.is_empty() || since_ns >= NOTES_NS {
        return None;
    }
    let turn = usize::try_from(since_ns / NOTE_NS).unwrap_or(0) % notes.len();
    let note = notes.swap_remove(turn);
    if names::width(&note) <= room {
        return Some(note);
    }
    Some(format!("{}...", names::cut(&note, room.saturating_sub(3))))
}

/// What the user must hear now: the answer to a key, else what impairs the figures.
fn notice(ui: &UiState, room: usize) -> Option<Line> {
    if let Some(text) = ui.notice() {
        let mut line = Line::plain(" ");
        line.push_bold(text, Role::Accent);
        return Some(line);
    }
    let reading = &ui.reading;
    let (badge, role, text) = if ui.recently_lost() > 0 {
        let waiting = match reading.waiting_repairs {
            0 => "all compared".to_owned(),
            n => format!("{} wait for next GC", format::counted(n)),
        };
        let mut text = format!(
            "{} lost in 60 s: ring buffer full",
            format::counted(ui.recently_lost())
        );
        if !reading.is_sampled() {
            text.push_str("; in-use rests on fewer samples");
        } else if room >= 80 {
            let repaired = format::counted(reading.losses.repaired);
            text = format!("{text}. {repaired} repaired, {waiting}");
        }
        ("LOSSES", Role::Leak, text)
    } else if reading.sampler_detached && reading.status == Status::Live {
        let text = "probes detached: above 1 % of a CPU; block reads go on";
        ("BUDGET", Role::Warn, text.to_owned())
    } else if let Some(duty) = reading
        .on_part_of_time()
        .filter(|_| reading.status == Status::Live)
    {
        (
            "BUDGET",
            Role::Warn,
            budget(duty, reading.target.source.word(), room),
        )
    } else if let Some((from, to, at_ns)) = reading.rate_changed {
        let text = if to == 0 {
            rate_to_zero(from)
        } else {
            let at = format::time_of_day(reading.target.unix_ns(at_ns), ui.options.utc_offset_s);
            format!(
                "MemProfileRate changed at {at}: {} to {}",
                format::rate(from),
                format::rate(to)
            )
        };
        ("RATE", Role::Warn, text)
    } else if let Some(note) = note_of_the_moment(ui, room.saturating_sub(2)) {
        let mut line = Line::plain(" ");
        line.push(note, Role::Warn);
        return Some(line);
    } else {
        return None;
    };
    let mut line = Line::plain(" ");
    line.push_badge(badge, role);
    line.pad_to(10);
    line.push(text, Role::Plain);
    Some(line)
}
