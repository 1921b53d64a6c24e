//! Row 1 (and 2 where there is room): what is watched, what it costs, what was lost, and the state in a word.

use super::format;
use super::layout::Layout;
use super::names;
use super::screen::{Line, Panel, PanelKind, Role};
use super::ui_state::UiState;
use crate::model::rows::Status;

/// The word for the state, and what it means.
fn state(ui: &UiState) -> (&'static str, Role) {
    if ui.reading.status != Status::Live {
        ("EXITED", Role::Warn)
    } else if ui.is_paused() {
        ("PAUSED", Role::Warn)
    } else {
        ("LIVE", Role::Accent)
    }
}

fn with_state(mut line: Line, ui: &UiState) -> Line {
    let (word, role) = state(ui);
    line.push(" ".repeat(1 + 6 - word.len()), Role::Plain);
    line.push_bold(word, role);
    line.push(" ", Role::Plain);
    line
}

/// The header.
pub fn panel(ui: &UiState, layout: &Layout) -> Panel {
    let width = layout.header.cells();
    let lines = if layout.header.height >= 2 {
        long(ui, width)
    } else {
        vec![short(ui, width)]
    };
    Panel::new(PanelKind::Header, layout.header, lines)
}

/// Share of a CPU: `?` until calibrated, `-` without probes.
fn cost(ui: &UiState) -> String {
    if !ui.reading.has_probes() {
        return "-".to_owned();
    }
    ui.reading
        .overhead
        .and_then(|overhead| overhead.cpu_fraction)
        .map_or_else(|| "?".to_owned(), format::cpu_percent)
}

/// How much is sampled: the rate of the sampler, or the share of time that other probes are on; empty where that is all.
fn rate(ui: &UiState) -> String {
    let reading = &ui.reading;
    if reading.is_sampled() {
        return reading.rate_bytes.map_or_else(
            || "? ".to_owned(),
            |rate| format!("{} ", format::rate(rate)),
        );
    }
    reading.on_part_of_time().map_or_else(String::new, |duty| {
        format!("{}%on ", format::percent(duty.on_fraction))
    })
}

/// A counter of what went wrong: bold as soon as it is not 0.
fn push_counter(line: &mut Line, label: &str, value: u64, ui: &UiState) {
    if !ui.reading.has_probes() {
        line.push(format!("{label} -"), Role::Plain);
    } else if value == 0 {
        line.push(format!("{label} 0"), Role::Plain);
    } else {
        line.push_bold(format!("{label} {}", format::counted(value)), Role::Leak);
    }
}

fn short(ui: &UiState, width: usize) -> Line {
    let reading = &ui.reading;
    // What goes, step by step, until the line fits: `fixed 0` only if it is 0, or a repair would be hidden.
    for step in 0..=4 {
        let mut right = Line::default();
        if step < 2 {
            right.push(format!("{} ", reading.target.source.word()), Role::Plain);
        }
        right.push(format!("{}{}%cpu ", rate(ui), cost(ui)), Role::Plain);
        push_counter(&mut right, "lost", reading.losses.lost, ui);
        if step < 1 || reading.losses.repaired > 0 {
            right.push(" ", Role::Plain);
            push_counter(&mut right, "fixed", reading.losses.repaired, ui);
        }
        let right = with_state(right, ui);
        let go = if step < 3 {
            format!(" {}", names::clean(&reading.target.go))
        } else {
            String::new()
        };
        let pid = format!(
            " {}{go} up {}",
            reading.target.pid_text(),
            format::coarse_duration(reading.uptime_ns())
        );
        let left_room = width.saturating_sub(right.width() + 1);
        let name_room = left_room.saturating_sub(1 + names::width(&pid));
        let whole = names::clean(&reading.target.name);
        if names::width(&whole) <= name_room || step == 4 {
            let mut left = Line::plain(" ");
            left.push_bold(names::shorten(&whole, name_room), Role::Plain);
            left.push(pid, Role::Plain);
            return left.and_right(right, width);
        }
    }
    Line::default()
}

fn long(ui: &UiState, width: usize) -> Vec<Line> {
    let reading = &ui.reading;
    let mut first = Line::plain(" ");
    first.push_bold(
        names::shorten(&names::clean(&reading.target.name), width / 3),
        Role::Plain,
    );
    first.push(
        format!(
            "  pid {}  {}  up {}",
            reading.target.pid_text(),
            names::clean(&reading.target.go),
            format::coarse_duration(reading.uptime_ns())
        ),
        Role::Plain,
    );
    if let Some(rss) = reading.heap.rss_bytes {
        first.push(
            format!("  RSS {}", format::sentence_bytes(rss as f64)),
            Role::Plain,
        );
    }
    let first = first.and_right(with_state(Line::default(), ui), width);

    let mut second = Line::plain(format!(" {}", reading.target.source.word()));
    if !reading.is_sampled() {
        if let Some(duty) = reading.on_part_of_time() {
            let share = format::percent(duty.on_fraction);
            second.push(format!(", on {share} % of the time"), Role::Warn);
        }
    } else if let Some(rate) = reading.rate_bytes {
        second.push(
            format!(", one per {}", format::sentence_rate(rate)),
            Role::Plain,
        );
    }
    if let Some(overhead) = reading.overhead {
        let hits = overhead
            .hits_per_sec
            .map_or_else(|| "?".to_owned(), format::count);
        second.push(
            format!("  {hits} hits/s = {} % of a CPU  ", cost(ui)),
            Role::Plain,
        );
    } else if reading.has_probes() {
        second.push(format!("  {} % of a CPU  ", cost(ui)), Role::Plain);
    } else {
        second.push(
            "  no probes: births and deaths between reads are not seen",
            Role::Plain,
        );
    }
    if reading.has_probes() {
        push_counter(&mut second, "lost", reading.losses.lost, ui);
        second.push("  ", Role::Plain);
        push_counter(&mut second, "repaired", reading.losses.repaired, ui);
    }
    for (label, value) in [
        ("stacks cut", reading.losses.truncated_stacks),
        ("without name", reading.losses.unnamed_pcs),
        ("not kept", reading.losses.evicted),
        ("thinned", reading.losses.thinned),
    ] {
        if value > 0 {
            second.push(format!("  {label} {}", format::counted(value)), Role::Warn);
        }
    }
    let clock = format::time_of_day(
        reading.target.unix_ns(reading.until_ns()),
        ui.options.utc_offset_s,
    );
    let clock = Line::plain(format!("{clock} "));
    vec![first, second.and_right(clock, width)]
}
