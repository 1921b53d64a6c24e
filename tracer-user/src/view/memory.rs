//! The view of the memory: bars and a table of what the resident set is made of, now and at its peak, the cgroup's own
//! view, and the resident set over time.

use super::format;
use super::graph::{readings, rule};
use super::layout::Layout;
use super::names::width;
use super::screen::{Line, Panel, PanelKind, Role};
use super::ui_state::UiState;
use crate::event::{CgroupLimit, CgroupRead, Exit};
use crate::model::anatomy::{Anatomy, Moment, Part};
use crate::model::rows::Status;

/// Cells of a bar's label, with a blank on either side.
const BAR_LABEL: usize = 12;
/// From this width on notes stand beside the figures.
const NOTES_FROM: usize = 96;
/// A limit, or the usage of a cgroup, that is so many times the peak leaves no room for the bars of the process.
const IN_SIGHT: f64 = 4.0;
/// What fills the segments of a bar, in turn: neighbours differ without colours.
const FILLS: [char; 4] = ['█', '▓', '▒', '░'];

/// A part with its letter, its name, and its name on a narrow screen.
fn words(part: Part) -> (char, &'static str, &'static str) {
    match part {
        Part::Live => ('a', "live heap after the last GC", "live after GC"),
        Part::Garbage => ('b', "garbage and new since that GC", "garbage, new"),
        Part::Waste => ('c', "span waste (fragmentation)", "span waste"),
        Part::Idle => ('d', "idle spans kept", "idle spans"),
        Part::Stacks => ('e', "goroutine stacks", "stacks"),
        Part::Metadata => ('f', "GC and runtime metadata", "metadata"),
        Part::Globals => ('g', "global variables", "globals"),
        Part::Anon => ('h', "non-Go anonymous (cgo, mmap)", "non-Go anon"),
        Part::File => ('i', "file-backed (binary, libs)", "file-backed"),
    }
}

/// Where the columns of the table end, by the width of the screen.
#[derive(Clone, Copy)]
struct Columns {
    is_narrow: bool,
    name: usize,
    note: bool,
}

impl Columns {
    fn of(room: usize) -> Self {
        let is_narrow = room < 78;
        Self {
            is_narrow,
            name: match room {
                0..78 => 15,
                78..100 => 29,
                _ => 32,
            },
            note: room >= NOTES_FROM,
        }
    }

    /// A row: letter, name, five figures, and a note where there is room for it whole.
    fn row(self, letter: char, name: &str, figures: [&str; 5], note: &str, room: usize) -> Line {
        let [now, share, peak, peak_share, since] = figures;
        let mut line = Line::plain(" ");
        line.push_bold(letter.to_string(), Role::Accent);
        line.push(format!(" {name:<0$}", self.name), Role::Plain);
        line.push(
            format!(" {now:>7} {share:>5} {peak:>8} {peak_share:>5} {since:>8}"),
            Role::Plain,
        );
        if self.note && line.width() + 2 + width(note) <= room {
            line.push(format!("  {note}"), Role::Dim);
        }
        line
    }
}

/// A share in percent with its sign.
fn percent(share: u32) -> String {
    format!("{share}%")
}

/// Shares of a moment's parts, which sum to 100.
fn shares(moment: &Moment) -> Vec<u32> {
    let parts: Vec<f64> = Part::ALL
        .iter()
        .map(|part| moment.parts.get(*part) as f64)
        .collect();
    format::shares(&parts)
}

fn bytes(value: u64) -> String {
    format::mega(value as f64)
}

/// A change since the baseline, or what was at the baseline where absolute figures are shown.
fn since(ui: &UiState, now: u64, before: Option<u64>) -> String {
    let Some(before) = before else {
        return "?".to_owned();
    };
    if ui.since {
        format::change(now as f64 - before as f64)
    } else {
        bytes(before)
    }
}

/// Time of day without its seconds.
fn hour(ui: &UiState, at_ns: u64) -> String {
    let time = time(ui, at_ns);
    time.get(..5).unwrap_or(&time).to_owned()
}

fn time(ui: &UiState, at_ns: u64) -> String {
    format::time_of_day(ui.reading.target.unix_ns(at_ns), ui.options.utc_offset_s)
}

/// A bar: segments in the order of their letters, on a scale of `top` bytes for `cells` cells. A segment below half a
/// cell is in the table alone.
fn bar(label: &str, segments: &[(char, u64)], top: f64, cells: usize) -> Line {
    let mut line = Line::new(format!(" {label:<0$}", BAR_LABEL - 1), Role::Dim);
    let mut sum = 0.0;
    let mut drawn = 0;
    for (index, (letter, bytes)) in segments.iter().enumerate() {
        sum += *bytes as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of the bar"
        )]
        let end = ((sum / top * cells as f64).round() as usize).min(cells);
        let n = end.saturating_sub(drawn);
        if n == 0 {
            continue;
        }
        let role = match letter {
            'a' | 'A' => Role::Accent,
            'b' => Role::Garbage,
            _ => Role::Plain,
        };
        line.push_bold(letter.to_string(), role);
        let fill = FILLS[index % FILLS.len()];
        line.push(fill.to_string().repeat(n - 1), role);
        drawn = end;
    }
    line
}

fn segments(moment: &Moment) -> Vec<(char, u64)> {
    Part::ALL
        .iter()
        .map(|part| (words(*part).0, moment.parts.get(*part)))
        .collect()
}

/// The limit that the cgroup runs into first: its name, itself, and what counts against it.
fn cgroup_limit(cgroup: &CgroupRead) -> Option<(&'static str, u64, u64)> {
    let named = |name| move |limit: CgroupLimit| (name, limit.limit_bytes, limit.usage_bytes);
    let max = cgroup.max.map(named("memory.max"));
    max.or(cgroup.high.map(named("memory.high")))
}

/// Rule and bars: now, at the peak, the cgroup.
fn bars(ui: &UiState, anatomy: &Anatomy, room: usize) -> Vec<Line> {
    let cells = room.saturating_sub(BAR_LABEL + 1);
    let own = [
        anatomy.now.parts.sum(),
        anatomy.peak.parts.sum(),
        anatomy.peak.rss_bytes,
    ];
    let own = own.into_iter().max().unwrap_or(0) as f64;
    // One that holds a whole machine would leave nothing of the process to be seen.
    let cgroup = anatomy
        .cgroup
        .filter(|cgroup| cgroup.usage_bytes as f64 <= own * IN_SIGHT);
    let most = own.max(cgroup.map_or(0.0, |cgroup| cgroup.usage_bytes as f64));
    let limit = cgroup.as_ref().and_then(cgroup_limit);
    let limit =
        limit.filter(|(_, limit, _)| (*limit as f64) >= most && *limit as f64 <= most * IN_SIGHT);
    let (top, what) = match limit {
        Some((name, limit, _)) => (limit as f64, format!("{} = {name}", bytes(limit))),
        None => (most, format::mega(most)),
    };
    let top = top.max(1.0);
    let peak = format!("peak {}", hour(ui, anatomy.peak.at_ns));
    let mut lines = vec![
        rule(
            "where the resident memory is",
            &format!("bars: 0 .. {what}"),
            room,
        ),
        bar("now", &segments(&anatomy.now), top, cells),
        bar(&peak, &segments(&anatomy.peak), top, cells),
    ];
    if let Some(cgroup) = &cgroup {
        let parts: Vec<(char, u64)> = cgroup_parts(cgroup)
            .into_iter()
            .map(|(letter, _, _, bytes)| (letter, bytes))
            .collect();
        lines.push(bar("cgroup", &parts, top, cells));
    }
    lines
}

/// What a part's figure alone does not say.
fn note(anatomy: &Anatomy, part: Part) -> String {
    match part {
        Part::Waste => {
            let class = anatomy
                .classes
                .first()
                .filter(|class| class.waste_bytes > 0);
            class.map_or_else(String::new, |class| match class.slot_bytes {
                0 => "large objects".to_owned(),
                slot => format!("most: {}", format::rate(slot)),
            })
        }
        Part::Stacks => match (anatomy.now.goroutines, anatomy.peak.goroutines) {
            (Some(now), Some(peak)) => {
                format!("{}, peak {}", format::counted(now), format::counted(peak))
            }
            (Some(now), None) => format!("of {}", format::counted(now)),
            _ => String::new(),
        },
        _ => String::new(),
    }
}

fn table(ui: &UiState, anatomy: &Anatomy, room: usize, is_short: bool) -> Vec<Line> {
    let columns = Columns::of(room);
    let since_title = if ui.since { "SINCE" } else { "AT BASE" };
    let mut heading = columns.row(
        ' ',
        "PART",
        ["NOW", "SHARE", "AT PEAK", "SHARE", since_title],
        "NOTE",
        room,
    );
    for span in &mut heading.spans {
        span.role = Role::Dim;
    }
    let (now, peak) = (&anatomy.now, &anatomy.peak);
    let (now_shares, peak_shares) = (shares(now), shares(peak));
    let before = |part: Part| anatomy.baseline.map(|moment| moment.parts.get(part));
    let mut lines = vec![heading];
    for (index, part) in Part::ALL.into_iter().enumerate() {
        let (letter, long, short) = words(part);
        let name = if columns.is_narrow { short } else { long };
        let figures = [
            bytes(now.parts.get(part)),
            percent(now_shares[index]),
            bytes(peak.parts.get(part)),
            percent(peak_shares[index]),
            since(ui, now.parts.get(part), before(part)),
        ];
        let figures = figures.each_ref().map(String::as_str);
        lines.push(columns.row(letter, name, figures, &note(anatomy, part), room));
    }
    if !is_short {
        let sum = [
            bytes(now.parts.sum()),
            "100%".to_owned(),
            bytes(peak.parts.sum()),
            "100%".to_owned(),
            since(
                ui,
                now.parts.sum(),
                anatomy.baseline.map(|moment| moment.parts.sum()),
            ),
        ];
        lines.push(columns.row(' ', "sum", sum.each_ref().map(String::as_str), "", room));
    }
    let rss = [
        bytes(now.rss_bytes),
        String::new(),
        bytes(peak.rss_bytes),
        String::new(),
        since(
            ui,
            now.rss_bytes,
            anatomy.baseline.map(|moment| moment.rss_bytes),
        ),
    ];
    let off = |moment: &Moment| format::change(moment.unexplained_bytes() as f64);
    let name = if columns.is_narrow {
        "RSS by kernel"
    } else {
        "RSS as the kernel counts it"
    };
    let unexplained = [
        format!("not explained: {}, {}", off(now), off(peak)),
        format!("off {}", off(now)),
    ];
    let used = columns.row(' ', name, rss.each_ref().map(String::as_str), "", room);
    let unexplained = unexplained
        .into_iter()
        .find(|text| used.width() + 2 + width(text) <= room)
        .unwrap_or_default();
    lines.push(columns.row(
        ' ',
        name,
        rss.each_ref().map(String::as_str),
        &unexplained,
        room,
    ));
    if anatomy.swap_bytes > 0 {
        lines.push(Line::new(
            format!(
                "   {} in swap, in none of the parts",
                bytes(anatomy.swap_bytes)
            ),
            Role::Warn,
        ));
    }
    lines
}

/// What the table's notes say, in a line, where they have no room beside the figures.
fn notes(anatomy: &Anatomy, room: usize) -> Option<Line> {
    let off = |moment: &Moment| format::change(moment.unexplained_bytes() as f64);
    let waste = note(anatomy, Part::Waste);
    let stacks = note(anatomy, Part::Stacks);
    let mut text = format!(
        "   not explained {}, at the peak {}",
        off(&anatomy.now),
        off(&anatomy.peak)
    );
    for (label, note) in [("waste", waste), ("goroutines", stacks)] {
        let part = format!("; {label} {note}");
        if !note.is_empty() && width(&text) + width(&part) < room {
            text.push_str(&part);
        }
    }
    (width(&text) < room).then(|| Line::new(text, Role::Dim))
}

/// What the cgroup's usage is made of: letter, name, note, bytes. What is in none of its figures is `other`.
fn cgroup_parts(cgroup: &CgroupRead) -> Vec<(char, &'static str, &'static str, u64)> {
    let known = [
        (
            'A',
            "anonymous",
            "the RSS above without file-backed pages",
            cgroup.anon_bytes,
        ),
        (
            'P',
            "page cache",
            "the kernel takes it back before it kills",
            cgroup.file_bytes,
        ),
        ('K', "kernel", "sockets, page tables", cgroup.kernel_bytes),
    ];
    let mut parts: Vec<_> = known
        .into_iter()
        .filter_map(|(letter, name, note, bytes)| Some((letter, name, note, bytes?)))
        .collect();
    let sum = parts
        .iter()
        .fold(0u64, |sum, part| sum.saturating_add(part.3));
    let other = cgroup.usage_bytes.saturating_sub(sum);
    if other > 0 || parts.is_empty() {
        parts.push(('O', "other", "", other));
    }
    parts
}

/// `46 % of memory.max; no oom, no max event`.
///
/// The events are as of the last read, so after the end they prove no absence: what happened then is known by `exit` alone.
fn usage_note(cgroup: &CgroupRead, exit: Option<Exit>) -> String {
    let of_limit = cgroup_limit(cgroup).map_or_else(
        || "no limit is set".to_owned(),
        |(name, limit, usage)| {
            let share = usage as f64 / limit.max(1) as f64;
            format!("{} % of {name}", format::percent(share))
        },
    );
    let events = cgroup.events.map(|events| {
        let told: Vec<String> = [
            (events.oom_kill, "killed"),
            (events.oom, "oom"),
            (events.max, "max"),
            (events.high, "high"),
        ]
        .into_iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, what)| format!("{} {what}", format::counted(n)))
        .collect();
        if told.is_empty() {
            String::new()
        } else {
            format!("events: {}", told.join(", "))
        }
    });
    let without_events = || match exit.map(|exit| exit.oom_kill) {
        Some(Some(true)) => "",
        Some(None) => "oom ?",
        Some(Some(false)) => "no oom",
        None => "no oom, no max event",
    };
    let events = events.map(|events| match &*events {
        "" => without_events().to_owned(),
        _ => events,
    });
    let killed = exit.is_some_and(|exit| exit.oom_kill == Some(true));
    let killed = killed.then(|| "out of memory: killed".to_owned());
    let notes = [killed, events].into_iter().flatten();
    notes
        .filter(|note| !note.is_empty())
        .fold(of_limit, |text, note| format!("{text}; {note}"))
}

/// Whether the anonymous memory of the cgroup is about that of this process.
fn is_one_process(cgroup: &CgroupRead, now: &Moment) -> bool {
    /// More than this beside the process, as a share, is another's.
    const BESIDE: f64 = 0.15;
    let own = now.rss_bytes.saturating_sub(now.parts.get(Part::File)) as f64;
    cgroup
        .anon_bytes
        .is_some_and(|anon| (anon as f64 - own).abs() <= BESIDE * own)
}

fn cgroup_table(cgroup: &CgroupRead, now: &Moment, room: usize, exit: Option<Exit>) -> Vec<Line> {
    let columns = Columns::of(room);
    let parts = cgroup_parts(cgroup);
    let sizes: Vec<f64> = parts.iter().map(|part| part.3 as f64).collect();
    let shares = format::shares(&sizes);
    let row = |letter: char, name: &str, now: &str, share: &str, note: &str| {
        let mut line = Line::plain(" ");
        line.push_bold(letter.to_string(), Role::Accent);
        line.push(
            format!(" {name:<0$} {now:>7} {share:>5}", columns.name),
            Role::Plain,
        );
        if line.width() + 2 + width(note) <= room {
            line.push(format!("  {note}"), Role::Dim);
        }
        line
    };
    let mut heading = row(' ', "CGROUP", "NOW", "SHARE", "");
    for span in &mut heading.spans {
        span.role = Role::Dim;
    }
    let mut lines = vec![heading];
    for ((letter, name, note, size), share) in parts.into_iter().zip(shares) {
        let note = if letter == 'A' && !is_one_process(cgroup, now) {
            "of all processes of the cgroup"
        } else {
            note
        };
        lines.push(row(letter, name, &bytes(size), &percent(share), note));
    }
    let usage = bytes(cgroup.usage_bytes);
    lines.push(row(' ', "usage", &usage, "100%", &usage_note(cgroup, exit)));
    lines
}

/// The cgroup in a line, where there is no room for its table.
fn cgroup_line(cgroup: &CgroupRead, room: usize) -> Line {
    let mut text = format!("   cgroup {}", bytes(cgroup.usage_bytes));
    if let Some((_, limit, _)) = cgroup_limit(cgroup) {
        text.push_str(" of ");
        text.push_str(&bytes(limit));
    }
    for (index, (_, name, _, size)) in cgroup_parts(cgroup).into_iter().enumerate() {
        let gap = if index == 0 { ": " } else { ", " };
        let part = format!("{gap}{name} {}", bytes(size));
        if width(&text) + width(&part) <= room {
            text.push_str(&part);
        }
    }
    Line::plain(text)
}

/// The resident set over the watch, in `rows` lines below a rule.
fn graph(ui: &UiState, anatomy: &Anatomy, room: usize, rows: usize) -> Vec<Line> {
    let peak = format!(
        "peak {} at {}",
        bytes(anatomy.peak.rss_bytes),
        time(ui, anatomy.peak.at_ns)
    );
    let mut lines = vec![rule("RSS over the watch", &peak, room)];
    lines.extend(readings(
        &anatomy.history,
        |moment| (moment.at_ns, moment.rss_bytes as f64),
        ui.reading.until_ns(),
        (room, rows),
        format::mega,
    ));
    lines
}

/// Everything that the view has to say, for so many rows.
fn lines(ui: &UiState, layout: &Layout) -> Vec<Line> {
    let room = layout.body.cells();
    let rows = layout.body.rows();
    let Some(anatomy) = &ui.reading.anatomy else {
        return vec![
            Line::default(),
            Line::plain(
                "  what the memory is made of is not known yet: it is read within a second of the attach",
            ),
        ];
    };
    let is_short = rows < 16;
    let mut lines = if is_short {
        Vec::new()
    } else {
        bars(ui, anatomy, room)
    };
    let has_blanks = rows >= 34;
    if has_blanks {
        lines.push(Line::default());
    }
    lines.extend(table(ui, anatomy, room, is_short));
    if has_blanks {
        lines.push(Line::default());
    }
    // The cgroup as a table where that leaves a graph too.
    if let Some(cgroup) = &anatomy.cgroup {
        let exit = match ui.reading.status {
            Status::Exited { exit, .. } => Some(exit),
            Status::Live => None,
        };
        let whole = cgroup_table(cgroup, &anatomy.now, room, exit);
        if lines.len() + whole.len() + 3 <= rows {
            lines.extend(whole);
        } else {
            lines.push(cgroup_line(cgroup, room));
        }
    }
    if room < NOTES_FROM && !is_short && lines.len() < rows {
        lines.extend(notes(anatomy, room));
    }
    let left = rows.saturating_sub(lines.len());
    if left >= 3 {
        let most = if rows >= 34 { 16 } else { 6 };
        if has_blanks && left > 4 {
            lines.push(Line::default());
        }
        let left = rows.saturating_sub(lines.len());
        lines.extend(graph(ui, anatomy, room, (left - 1).min(most)));
    }
    lines
}

/// Lines that can be scrolled.
pub(super) fn n_lines(ui: &UiState, layout: &Layout) -> usize {
    lines(ui, layout).len()
}

/// The view.
pub(super) fn panel(ui: &UiState, layout: &Layout) -> Panel {
    let area = layout.body;
    let all = lines(ui, layout);
    let first = ui.lists.memory.min(all.len().saturating_sub(area.rows()));
    let lines = all
        .into_iter()
        .skip(first)
        .take(area.rows())
        .map(|line| line.fit(area.cells()))
        .collect();
    Panel::new(PanelKind::View, area, lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::CgroupEvents;

    #[test]
    fn usage_note_claims_no_absence_of_an_oom_kill_after_one() {
        let limit = CgroupLimit {
            limit_bytes: 100,
            usage_bytes: 46,
        };
        let mut cgroup = CgroupRead {
            usage_bytes: 46,
            max: Some(limit),
            events: Some(CgroupEvents::default()),
            ..CgroupRead::default()
        };
        let note = |cgroup: &CgroupRead, exit| usage_note(cgroup, exit);
        let killed = |is_oom| Some(Exit::of_wait_status(Some(9), is_oom));
        for (exit, expected) in [
            (None, "46 % of memory.max; no oom, no max event"),
            (
                killed(Some(true)),
                "46 % of memory.max; out of memory: killed",
            ),
            (killed(Some(false)), "46 % of memory.max; no oom"),
            (killed(None), "46 % of memory.max; oom ?"),
        ] {
            assert_eq!(note(&cgroup, exit), expected);
        }
        cgroup.events = Some(CgroupEvents {
            max: 2,
            ..CgroupEvents::default()
        });
        assert_eq!(
            note(&cgroup, killed(Some(true))),
            "46 % of memory.max; out of memory: killed; events: 2 max"
        );
    }
}
