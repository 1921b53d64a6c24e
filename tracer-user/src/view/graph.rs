//! Live heap after each GC, as an area of braille dots: the range is stated at both ends.

use super::boxes::wrap;
use super::earlier::Earlier;
use super::format;
use super::layout::Layout;
use super::names::width;
use super::screen::{Line, Panel, PanelKind, Role};
use super::ui_state::UiState;
use crate::model::anatomy::{Anatomy, Moment, Part};
use crate::model::rows::{Cycle, SiteRow};

/// Cells of the labels at the left, with a blank on either side.
pub(super) const LABEL: usize = 8;

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

/// Readings as `n` values evenly spread over a time. What falls between two moments is made one by `of_two`, the older
/// first; where nothing does, the value before stands. `history` is of moments and values, oldest first.
pub(super) fn over_time(
    history: impl Iterator<Item = (u64, f64)>,
    (from_ns, to_ns): (u64, u64),
    n: usize,
    of_two: impl Fn(f64, f64) -> f64,
) -> Vec<Option<f64>> {
    let span = u128::from(to_ns.saturating_sub(from_ns));
    let mut history = history.peekable();
    let mut last = None;
    (0..n as u128)
        .map(|step| {
            let at = u128::from(from_ns) + span * (step + 1) / n as u128;
            let mut shown: Option<f64> = None;
            while let Some((_, value)) = history.next_if(|(at_ns, _)| u128::from(*at_ns) <= at) {
                shown = Some(shown.map_or(value, |shown| of_two(shown, value)));
                last = Some(value);
            }
            shown.or(last)
        })
        .collect()
}

/// An area of `rows` lines with the ends of its range at the left, as `ends` writes them: the upper, then the lower.
fn labelled(
    values: &[Option<f64>],
    range: Option<(f64, f64)>,
    rows: usize,
    ends: impl Fn(f64, f64) -> (String, String),
) -> Vec<Line> {
    let texts = area(values, range, rows);
    let ends = range.map(|(low, high)| ends(low, high));
    let labelled = |(row, text): (usize, String)| {
        let label = match &ends {
            Some((upper, _)) if row == 0 => upper,
            Some((_, lower)) if row + 1 == rows => lower,
            _ => "",
        };
        Line::new(format!("{label:>7} "), Role::Dim).with(text, Role::Accent)
    };
    texts.into_iter().enumerate().map(labelled).collect()
}

/// Readings from the first to `until_ns` as an area of `rows` lines, its range at the left as `figure` writes it.
pub(super) fn readings<T>(
    history: &[T],
    moment: impl Fn(&T) -> (u64, f64),
    until_ns: u64,
    (room, rows): (usize, usize),
    figure: impl Fn(f64) -> String,
) -> Vec<Line> {
    let cells = room.saturating_sub(LABEL + 1);
    let Some(first) = history.first().filter(|_| history.len() >= 2) else {
        let mut lines = vec![Line::new("  one read so far", Role::Dim)];
        lines.resize(rows, Line::default());
        return lines;
    };
    let from_ns = moment(first).0;
    // The most between two moments: no peak is lost.
    let values = over_time(
        history.iter().map(moment),
        (from_ns, until_ns),
        cells * 2,
        f64::max,
    );
    let range = range_of(&values);
    labelled(&values, range, rows, |low, high| {
        (figure(high), figure(low))
    })
}

/// The least and the largest of the values that are known; `None` without any.
fn range_of(values: &[Option<f64>]) -> Option<(f64, f64)> {
    let known = values.iter().flatten().copied();
    known
        .filter(|value| value.is_finite())
        .fold(None, |range, value| {
            let (low, high) = range.unwrap_or((value, value));
            Some((value.min(low), value.max(high)))
        })
}

/// An area under `values`, which are oldest first, `None` where nothing is known; two values stand beside each other
/// in a cell. `range` holds all of them. Returns `rows` texts from the top.
fn area(values: &[Option<f64>], range: Option<(f64, f64)>, rows: usize) -> Vec<String> {
    let (low, high) = range.unwrap_or_default();
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
    (0..rows)
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
        .collect()
}

/// Two figures of a moment that stand on each other: the lower one, and both; `None` where nothing is known.
pub(super) type Layers = Option<(f64, f64)>;

/// Areas from 0 on that stand on each other: the lower one solid, the other dotted. Returns `rows` lines from the top,
/// and the figure at the top.
pub(super) fn layers(values: &[Layers], rows: usize) -> (Vec<Line>, f64) {
    let top = values
        .iter()
        .flatten()
        .map(|(_, upper)| *upper)
        .filter(|upper| upper.is_finite())
        .fold(0.0, f64::max);
    let dots_high = rows * 4;
    let dots = |value: f64| -> usize {
        if top <= 0.0 || !value.is_finite() {
            return 0;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of the graph's height"
        )]
        let dots = (value.max(0.0) / top * dots_high as f64).round() as usize;
        dots.min(dots_high)
    };
    let heights: Vec<(usize, usize)> = values
        .iter()
        .map(|value| value.map_or((0, 0), |(lower, upper)| (dots(lower), dots(upper))))
        .collect();
    let lines = (0..rows)
        .map(|row| {
            let below = (rows - 1 - row) * 4;
            let mut line = Line::default();
            for pair in heights.chunks(2) {
                let mut bits = 0;
                let mut is_solid = false;
                for (side, (lower, upper)) in pair.iter().enumerate() {
                    let column = if side == 0 { LEFT_DOTS } else { RIGHT_DOTS };
                    for (dot, bit) in column.into_iter().enumerate() {
                        let height = below + dot;
                        if *lower > height {
                            bits |= bit;
                            is_solid = true;
                        } else if *upper > height && (height + side).is_multiple_of(2) {
                            // Every second dot: told from the solid area without colours too.
                            bits |= bit;
                        }
                    }
                }
                let role = if is_solid {
                    Role::Accent
                } else {
                    Role::Garbage
                };
                line.push_joined(char::from_u32(0x2800 + bits).unwrap_or(' '), role);
            }
            line
        })
        .collect();
    (lines, top)
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
    let left = format!("live after GC {live_text}");
    let goal = format!("goal {goal}");
    let right = format!("{goal}, {gcs}{every}");
    let rows = area_of.rows().saturating_sub(1);
    let cycles = shown(ui);
    let cells = room.saturating_sub(LABEL + 1);
    let earlier = cycles
        .first()
        .filter(|_| cycles.len() >= 2)
        .and_then(|first| Earlier::of(reading, first, cells));
    let mut lines = vec![match &earlier {
        Some(earlier) => earlier.rule(&left, [&right, &format!("{goal}{every}"), &goal], room),
        None => rule(&left, &right, room),
    }];
    if cycles.len() < 2 {
        lines.extend(words(ui));
    } else if let (Some(first), true) = (cycles.first(), rows > 0) {
        let has_axis = rows >= 8;
        let rows = rows - usize::from(has_axis);
        let before = earlier.as_ref().map_or(0, Earlier::cells);
        let history = cycles.iter().map(|c| (c.at_ns, c.live_bytes as f64));
        // A step at each cycle.
        let measured = over_time(
            history,
            (first.at_ns, reading.until_ns()),
            cells.saturating_sub(before) * 2,
            |_, last| last,
        );
        let estimated = earlier.as_ref().map_or_else(Vec::new, Earlier::values);
        let values = [&estimated[..], &measured].concat();
        let range = range_of(&values).map(|(low, high)| match &earlier {
            Some(_) => (low.min(high * Earlier::LOWEST), high),
            None => (low, high),
        });
        // An end of the range that is only estimated.
        let about = |end: f64| {
            let is_in = |values: &[Option<f64>]| values.contains(&Some(end));
            if is_in(&estimated) && !is_in(&measured) {
                "~"
            } else {
                ""
            }
        };
        let graph = labelled(&values, range, rows, |low, high| {
            let upper = format::bytes(high);
            // Where both ends read the same, the upper one says by how much it is above.
            let upper = if format::bytes(low) == upper && low < high {
                format::change(high - low)
            } else {
                upper
            };
            (
                about(high).to_owned() + &upper,
                about(low).to_owned() + &format::bytes(low),
            )
        });
        let axis = || match &earlier {
            Some(earlier) => earlier.axis(cells),
            None => axis(reading.until_ns().saturating_sub(first.at_ns), None, cells),
        };
        lines.extend(graph.into_iter().map(|line| match &earlier {
            Some(earlier) => earlier.divide(line),
            None => line,
        }));
        lines.extend(has_axis.then(axis));
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

/// A moment on an axis, `ns` before now.
pub(super) fn ago(ns: u64) -> String {
    if ns < 600_000_000_000 {
        format!("-{}", format::duration(ns))
    } else {
        format!("-{}", format::coarse_duration(ns))
    }
}

/// The axis below a graph of `cells`: how long ago it begins, half of that (or a note), now.
pub(super) fn axis(span_ns: u64, note: Option<&str>, cells: usize) -> Line {
    let middle = note.map_or_else(|| ago(span_ns / 2), str::to_owned);
    let mut line = Line::default();
    line.pad_to(LABEL);
    line.push(ago(span_ns), Role::Dim);
    let shift = if note.is_some() {
        width(&middle) / 2
    } else {
        0
    };
    line.pad_to((LABEL + cells / 2).saturating_sub(shift));
    line.push(format!(" {middle}").trim_start(), Role::Dim);
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
    let mut top = Line::new("┬", Role::Dim);
    top.append(rule("process", "", area.cells() - 1));
    let mut lines = vec![
        top,
        heading,
        row("live after GC", text(heap.live_bytes), &growth),
    ];
    if let Some(anatomy) = &reading.anatomy {
        lines.extend(resident(anatomy, &row));
    } else {
        lines.push(row("  sum of sites", in_use, &error));
        lines.push(row("goal of next GC", text(heap.goal_bytes), ""));
        lines.push(row("RSS", text(heap.rss_bytes), ""));
    }
    if let Some(goroutines) = &reading.goroutines {
        let since = goroutines.growth.map_or_else(
            || "?".to_owned(),
            |growth| format::signed_count(growth as f64),
        );
        lines.push(row("goroutines", format::counted(goroutines.count), &since));
    }
    lines.push(row("GC cycles", cycles, &cycles_since));
    lines.push(row("  one in", interval_text, ""));
    lines.truncate(area.rows());
    lines.resize(area.rows(), Line::new("│", Role::Dim));
    Some(Panel::new(PanelKind::Process, area, lines))
}

/// What is resident beside the live heap, and the cgroup, with the change since the baseline.
fn resident(anatomy: &Anatomy, row: &dyn Fn(&str, String, &str) -> Line) -> Vec<Line> {
    let since = |pick: &dyn Fn(&Moment) -> u64| {
        let Some(before) = &anatomy.baseline else {
            return "?".to_owned();
        };
        format::change(pick(&anatomy.now) as f64 - pick(before) as f64)
    };
    let line = |label: &str, pick: &dyn Fn(&Moment) -> u64| {
        row(
            label,
            format::bytes(pick(&anatomy.now) as f64),
            &since(pick),
        )
    };
    let named = [Part::Live, Part::Garbage, Part::Waste];
    let other = |moment: &Moment| {
        let named = named.iter().fold(0u64, |sum, part| {
            sum.saturating_add(moment.parts.get(*part))
        });
        moment.rss_bytes.saturating_sub(named)
    };
    let mut lines = vec![
        line("garbage + new", &|m| m.parts.get(Part::Garbage)),
        line("spans, waste", &|m| m.parts.get(Part::Waste)),
        line("other", &other),
        line("RSS", &|m| m.rss_bytes),
    ];
    if let Some(cgroup) = &anatomy.cgroup {
        let label = cgroup.max.map_or_else(
            || "cgroup".to_owned(),
            |max| format!("cgroup of {}", format::bytes(max.limit_bytes as f64)),
        );
        lines.push(row(
            &label,
            format::bytes(cgroup.usage_bytes as f64),
            &since(&|m| m.cgroup_usage_bytes.unwrap_or(0)),
        ));
    }
    lines
}
