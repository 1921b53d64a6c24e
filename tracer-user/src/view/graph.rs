//! Live heap after each GC, as an area of braille dots: the range is stated at both ends.

use super::boxes::wrap;
use super::format;
use super::layout::Layout;
use super::names::width;
use super::screen::{Line, Panel, PanelKind, Role};
use super::ui_state::UiState;
use crate::model::rows::{Cycle, SiteRow};

/// Cells of the labels at the left, with a blank on either side.
const LABEL: usize = 8;

/// Dots of a braille cell from the bottom up, left and right column. Source: Unicode 1.1, U+2800 to U+28FF.
const LEFT_DOTS: [u32; 4] = [0x40, 0x04, 0x02, 0x01];
const RIGHT_DOTS: [u32; 4] = [0x80, 0x20, 0x10, 0x08];

/// A rule over the whole width with words at both ends.
pub fn rule(left: &str, right: &str, room: usize) -> Line {
    let mut line = Line::new("─", Role::Dim);
    if !left.is_empty() {
        line.push(format!(" {left} "), Role::Plain);
    }
    let right = if right.is_empty() {
        "─".to_owned()
    } else {
        format!(" {right} ─")
    };
    let fill = room.saturating_sub(line.width() + width(&right));
    line.push("─".repeat(fill), Role::Dim);
    line.push(right, Role::Dim);
    line.fit(room)
}

/// An area under `values`, which are oldest first, `None` where nothing is known; two values stand beside each other
/// in a cell. Returns `rows` texts from the top, and the range shown.
pub fn area(values: &[Option<f64>], rows: usize) -> (Vec<String>, Option<(f64, f64)>) {
    let known = || {
        values
            .iter()
            .flatten()
            .copied()
            .filter(|value| value.is_finite())
    };
    let low = known().fold(f64::INFINITY, f64::min);
    let high = known().fold(f64::NEG_INFINITY, f64::max);
    let dots_high = rows * 4;
    let dots = |value: Option<f64>| -> usize {
        match value {
            Some(value) if value.is_finite() && low < high => {
                let share = (value - low) / (high - low);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a share of the graph's height"
                )]
                let dots = (share * (dots_high - 1) as f64).round() as usize + 1;
                dots.min(dots_high)
            }
            // A level line stands in the middle: it is neither at its least nor at its most.
            Some(value) if value.is_finite() => dots_high / 2,
            _ => 0,
        }
    };
    let heights: Vec<usize> = values.iter().map(|value| dots(*value)).collect();
    let texts = (0..rows)
        .map(|row| {
            let below = (rows - 1 - row) * 4;
            heights
                .chunks(2)
                .map(|pair| {
                    let mut bits = 0;
                    for dot in 0..4 {
                        if pair[0] > below + dot {
                            bits |= LEFT_DOTS[dot];
                        }
                        if pair.get(1).is_some_and(|height| *height > below + dot) {
                            bits |= RIGHT_DOTS[dot];
                        }
                    }
                    char::from_u32(0x2800 + bits).unwrap_or(' ')
                })
                .collect()
        })
        .collect();
    (texts, (low <= high).then_some((low, high)))
}

/// What was live at `n` moments evenly spread over the time from `from_ns` to `to_ns`: a step at each cycle.
fn over_time(cycles: &[Cycle], from_ns: u64, to_ns: u64, n: usize) -> Vec<Option<f64>> {
    let span = u128::from(to_ns.saturating_sub(from_ns));
    let mut values = Vec::with_capacity(n);
    let mut next = 0;
    let mut value = None;
    for step in 0..n as u128 {
        let at = u128::from(from_ns) + span * (step + 1) / n as u128;
        while next < cycles.len() && u128::from(cycles[next].at_ns) <= at {
            value = Some(cycles[next].live_bytes as f64);
            next += 1;
        }
        values.push(value);
    }
    values
}

/// The cycles to show: those since the baseline, or all where that gives no graph.
fn shown(ui: &UiState) -> &[Cycle] {
    let all = &ui.reading.cycles;
    let Some(baseline) = ui.reading.baseline().filter(|_| ui.since) else {
        return all;
    };
    let first = all.partition_point(|cycle| cycle.at_ns < baseline.at_ns);
    if all.len() - first >= 2 {
        &all[first..]
    } else {
        all
    }
}

/// The graph with its rule, or until there are two cycles what can be said instead.
pub fn panel(ui: &UiState, layout: &Layout) -> Panel {
    let area_of = layout.graph;
    let room = area_of.cells();
    let reading = &ui.reading;
    let live_text = reading
        .heap
        .live_bytes
        .map_or_else(|| "?".to_owned(), |live| format::bytes(live as f64));
    let goal = reading
        .heap
        .goal_bytes
        .map_or_else(|| "?".to_owned(), |goal| format::bytes(goal as f64));
    let gcs = match reading.cycles_seen {
        1 => "1 GC".to_owned(),
        n => format!("{} GCs", format::counted(n)),
    };
    let every = reading
        .gc_interval_ns
        .map_or_else(String::new, |ns| format!(", one in {}", interval(ns)));
    let mut lines = vec![rule(
        &format!("live after GC {live_text}"),
        &format!("goal {goal}, {gcs}{every}"),
        room,
    )];
    let rows = area_of.rows().saturating_sub(1);
    let cycles = shown(ui);
    if cycles.len() < 2 {
        lines.extend(words(ui));
    } else if let (Some(first), true) = (cycles.first(), rows > 0) {
        let has_axis = rows >= 8;
        let rows = rows - usize::from(has_axis);
        let cells = room.saturating_sub(LABEL + 1);
        let values = over_time(cycles, first.at_ns, reading.until_ns(), cells * 2);
        let (texts, range) = area(&values, rows);
        for (row, dots) in texts.into_iter().enumerate() {
            let label = match range {
                // Where both ends read the same, the upper one says by how much it is above.
                Some((low, high))
                    if row == 0 && format::bytes(low) == format::bytes(high) && low < high =>
                {
                    format::change(high - low)
                }
                Some((_, high)) if row == 0 => format::bytes(high),
                Some((low, _)) if row + 1 == rows => format::bytes(low),
                _ => String::new(),
            };
            let mut line = Line::new(format!("{label:>7} "), Role::Dim);
            line.push(dots, Role::Accent);
            lines.push(line);
        }
        if has_axis {
            lines.push(axis(reading.until_ns().saturating_sub(first.at_ns), cells));
        }
    }
    lines.truncate(area_of.rows());
    Panel::new(PanelKind::Graph, area_of, lines)
}

fn interval(ns: u64) -> String {
    if ns < 1_000_000_000 {
        format!("{}ms", ns / 1_000_000)
    } else {
        format::duration(ns)
    }
}

fn axis(span_ns: u64, cells: usize) -> Line {
    let start = format!("-{}", format::coarse_duration(span_ns));
    let middle = format!("-{}", format::coarse_duration(span_ns / 2));
    let mut line = Line::default();
    line.pad_to(LABEL);
    line.push(start, Role::Dim);
    line.pad_to(LABEL + cells / 2);
    line.push(middle, Role::Dim);
    line.and_right(Line::new("now", Role::Dim), LABEL + cells)
}

/// What the figures mean while there is nothing to draw.
fn words(ui: &UiState) -> Vec<Line> {
    let reading = &ui.reading;
    if !reading.ready {
        return Vec::new();
    }
    let uptime = format::coarse_duration(reading.uptime_ns());
    let minutes = reading.uptime_ns() as f64 / 6e10;
    if let Some(missing) = reading.missing_history() {
        return without_history(missing, ui.size().0);
    }
    let average = match reading.heap.live_bytes {
        Some(live) if minutes >= 1.0 => {
            format!(
                "{uptime} ago: {}/min on average, at most. ",
                format::sentence_bytes(live as f64 / minutes)
            )
        }
        _ => format!("{uptime} ago. "),
    };
    [
        "  In-use below is complete: the process kept its own records since its start,".to_owned(),
        format!("  {average}Growth needs GCs seen from now on;"),
        "  meanwhile e saves a pprof profile of this moment.".to_owned(),
    ]
    .into_iter()
    .map(Line::plain)
    .collect()
}

/// The same where in-use is not whole: what lives from before is in no row.
fn without_history(missing: &str, columns: u16) -> Vec<Line> {
    // Beside the graph there may be figures of the process.
    let room = usize::from(columns).saturating_sub(4).min(76);
    let mut text =
        format!("{missing}. What lives from before is in no row. Growth needs GCs from now on.");
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let mut lines = wrap(&text, room);
    lines.push("e saves a pprof profile of this moment.".to_owned());
    lines
        .into_iter()
        .map(|line| Line::plain(format!("  {line}")))
        .collect()
}

/// Figures of the process beside the graph.
pub fn process(ui: &UiState, layout: &Layout) -> Option<Panel> {
    let area = layout.process?;
    let reading = &ui.reading;
    let heap = &reading.heap;
    let text = |bytes: Option<u64>| {
        bytes.map_or_else(|| "?".to_owned(), |bytes| format::bytes(bytes as f64))
    };
    let growth = match (reading.live_growth(), reading.ready) {
        (Some(growth), _) => format::change(growth),
        (None, _) => "?".to_owned(),
    };
    let row = |label: &str, now: String, since: &str| {
        let mut line = Line::new("│ ", Role::Dim);
        line.push(format!("{label:<18}"), Role::Plain);
        line.push(format!("{now:>8}{since:>10}"), Role::Plain);
        line
    };
    let mut heading = Line::new("│ ", Role::Dim);
    heading.push(format!("{:<18}{:>8}{:>10}", "", "now", "since"), Role::Dim);
    let cycles = heap
        .gc_cycles
        .map_or_else(|| "?".to_owned(), |n| format::counted(u64::from(n)));
    let cycles_since = if reading.ready {
        format!("+{}", format::counted(reading.final_cycles))
    } else {
        "?".into()
    };
    let interval_text = reading
        .gc_interval_ns
        .map_or_else(|| "?".to_owned(), interval);
    let sum = |pick: fn(&SiteRow) -> f64| -> f64 { reading.sites.iter().map(pick).sum() };
    // Sites rest on samples of their own, so that their variances add up. The sum may well be above what was marked:
    // its error says so.
    let (in_use, error) = if reading.query.cumulative || !reading.ready {
        ("?".to_owned(), String::new())
    } else {
        let bytes = sum(|site| site.inuse.bytes);
        let err = sum(|site| site.inuse.bytes_err.powi(2)).sqrt();
        let samples = reading
            .sites
            .iter()
            .fold(0, |n: u64, site| n.saturating_add(site.samples));
        (
            format::bytes(bytes),
            format!("+-{}", format::error(bytes, err, samples)),
        )
    };
    let mut lines = vec![
        {
            let mut line = Line::new("┬", Role::Dim);
            line.append(rule("process", "", area.cells() - 1));
            line
        },
        heading,
        row("live after GC", text(heap.live_bytes), &growth),
        row("  sum of sites", in_use, &error),
        row("goal of next GC", text(heap.goal_bytes), ""),
        row("RSS", text(heap.rss_bytes), ""),
        row("GC cycles", cycles, &cycles_since),
        row("  one in", interval_text, ""),
    ];
    lines.resize(area.rows(), Line::new("│", Role::Dim));
    Some(Panel::new(PanelKind::Process, area, lines))
}
