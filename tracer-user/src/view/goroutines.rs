//! The view of goroutines: how many there are over time, what they run and who made them, and where the one of the
//! selected group is parked that waits longest.

use super::format;
use super::graph::{readings, rule};
use super::layout::Layout;
use super::moves::scroll_to;
use super::names;
use super::screen::{Line, Panel, PanelKind, Role};
use super::table::short_word;
use super::ui_state::UiState;
use crate::go::goroutines::States;
use crate::go::symbol::is_runtime;
use crate::model::findings::{Kind, Word};
use crate::model::goroutines::{GoroutineGroup, Goroutines};

/// From this width on all columns are shown.
const WIDE: usize = 100;
/// From this width on what they wait for is never shortened.
const WIDEST: usize = 110;
/// Below this width what they wait for is shortened.
const NARROW: usize = 72;

/// How the rows of the view are shared out.
struct Rows {
    /// Of the graph; 0 where there is none.
    graph: usize,
    /// Of groups.
    list: usize,
    /// A group takes two: what runs, and who made it.
    per_group: usize,
    /// Of the stack, below its rule.
    stack: usize,
}

fn rows(layout: &Layout) -> Rows {
    let all = layout.body.rows();
    let (graph, per_group, stack) = match all {
        0..16 => (0, 1, 3),
        16..24 => (3, 2, 4),
        24..34 => (4, 2, 7),
        34..44 => (6, 2, 10),
        _ => (10, 2, 16),
    };
    // Rule, heading, what is left out, and the rule above the stack.
    Rows {
        graph,
        list: all.saturating_sub(graph + stack + 4),
        per_group,
        stack,
    }
}

impl Rows {
    fn groups(&self) -> usize {
        (self.list / self.per_group).max(1)
    }
}

/// Groups that are seen at once.
pub(super) fn page(layout: &Layout) -> usize {
    rows(layout).groups()
}

/// The groups in the order of the view: what grows first, then the largest; the runtime's own last.
fn groups(all: &Goroutines) -> Vec<&GoroutineGroup> {
    let mut groups: Vec<&GoroutineGroup> = all.groups.iter().filter(|g| g.count > 0).collect();
    groups.sort_by_key(|group| {
        (
            !grows(group),
            group.is_runtime,
            std::cmp::Reverse(group.count),
            group.id,
        )
    });
    groups
}

fn grows(group: &GoroutineGroup) -> bool {
    group
        .verdict
        .as_ref()
        .is_some_and(|verdict| verdict.word == Word::Growing)
}

/// Identities of the groups, from the top.
pub(super) fn keys(ui: &UiState) -> Vec<u64> {
    let Some(all) = &ui.reading.goroutines else {
        return Vec::new();
    };
    groups(all)
        .iter()
        .map(|group| u64::from(group.id))
        .collect()
}

/// Letter of the leak that a group belongs to.
fn letter(ui: &UiState, group: &GoroutineGroup) -> Option<char> {
    let mut leaks = ui.reading.findings.leaks.iter();
    leaks.find(|leak| leak.is_of(group)).map(|leak| leak.letter)
}

/// What most of them do: what they wait for, or that they do not.
fn doing(group: &GoroutineGroup) -> &str {
    let States {
        runnable,
        running,
        syscall,
        waiting,
        other: _,
    } = group.states;
    let most = runnable.max(running).max(syscall);
    if waiting >= most {
        return group.waits.first().map_or("?", |(reason, _)| reason);
    }
    if syscall == most {
        "syscall"
    } else if running == most {
        "running"
    } else {
        "runnable"
    }
}

/// How long the longest waits; `-` where nobody does.
fn longest(group: &GoroutineGroup) -> String {
    match group.longest_wait_ns {
        Some(ns) if ns >= 3_600_000_000_000 => format::coarse_duration(ns),
        Some(ns) => format::duration(ns),
        None if group.states.waiting == 0 => "-".to_owned(),
        None => "?".to_owned(),
    }
}

fn signed(value: Option<f64>) -> (String, Role) {
    match value {
        None => ("?".to_owned(), Role::Cool),
        Some(value) => {
            let text = format::signed_count(value);
            let role = match text.as_bytes().first() {
                Some(b'+') => Role::Leak,
                Some(b'-') => Role::Cool,
                _ => Role::Dim,
            };
            (text, role)
        }
    }
}

/// The columns before the name: heading, cells, and whether the text stands at the left.
const TITLES: [(&str, usize, bool); 8] = [
    ("A", 1, true),
    ("VERDICT", 7, true),
    ("COUNT", 6, false),
    ("SINCE", 7, false),
    ("/min", 7, false),
    ("WAITING IN", 16, true),
    ("LONGEST", 7, false),
    ("STACKS", 6, false),
];

/// Which of them are shown in `room` cells, and how wide.
fn columns(room: usize) -> impl Iterator<Item = (usize, usize)> {
    TITLES
        .into_iter()
        .enumerate()
        .filter_map(move |(index, (title, cells, _))| match title {
            "SINCE" | "STACKS" if room < WIDE => None,
            "LONGEST" if room < NARROW => None,
            "WAITING IN" if room < NARROW => Some((index, 12)),
            "WAITING IN" if room < WIDE => Some((index, 14)),
            "WAITING IN" if room >= WIDEST => Some((index, 22)),
            _ => Some((index, cells)),
        })
}

fn push_cell(line: &mut Line, index: usize, cells: usize, text: &str, role: Role) {
    line.push_cell(&names::cut(text, cells), cells, TITLES[index].2, role);
}

fn row(ui: &UiState, group: &GoroutineGroup, is_cursor: bool, room: usize) -> Line {
    let mut line = Line::plain(if is_cursor { ">" } else { " " });
    let plain = |text: String| (text, Role::Plain);
    for (index, cells) in columns(room) {
        let (text, role) = match TITLES[index].0 {
            "A" => (
                letter(ui, group).map_or_else(String::new, |letter| letter.to_string()),
                Role::Leak,
            ),
            "VERDICT" => match &group.verdict {
                Some(verdict) => {
                    let (word, role) = short_word(verdict.word);
                    (word.to_owned(), role)
                }
                None if group.is_runtime => ("runtime".to_owned(), Role::Dim),
                None => ("-".to_owned(), Role::Dim),
            },
            "COUNT" => plain(format::counted(group.count)),
            "SINCE" => signed(group.growth.map(|growth| growth as f64)),
            "/min" => signed(group.per_min.map(|slope| slope.goroutines)),
            "WAITING IN" => plain(doing(group).to_owned()),
            "LONGEST" => plain(longest(group)),
            _ => plain(format::bytes(group.stack_bytes as f64)),
        };
        push_cell(&mut line, index, cells, &text, role);
    }
    let left = room.saturating_sub(line.width() + 1);
    let role = if group.is_runtime {
        Role::Dim
    } else {
        Role::Plain
    };
    let name = names::clean(&group.start.function);
    line.push(names::shorten(&name, left), role);
    line
}

/// Who made them, below the name of what they run.
fn made_by(group: &GoroutineGroup, column: usize, room: usize) -> Line {
    let mut line = Line::default();
    line.pad_to(column + 2);
    let left = room.saturating_sub(line.width() + 4);
    let maker = group.created_by.as_ref().map_or_else(
        || "the runtime".to_owned(),
        |frame| names::shorten(&names::clean(&frame.function), left),
    );
    line.push(format!("by {maker}"), Role::Dim);
    line
}

fn graph(ui: &UiState, all: &Goroutines, room: usize, rows: usize) -> Vec<Line> {
    readings(
        &all.history,
        |then| (then.at_ns, then.count as f64),
        ui.reading.until_ns(),
        (room, rows),
        format::count,
    )
}

/// How long a read takes, and when the next one comes.
fn reads(ui: &UiState, all: &Goroutines) -> String {
    let took = match all.took_ns {
        ns if ns < 995_000_000 => format!("{} ms", ns.div_ceil(1_000_000)),
        ns => format!("{:.1} s", ns as f64 / 1e9),
    };
    let next = all.next_ns.saturating_sub(ui.reading.until_ns());
    if ui.has_exited() || next < 2_000_000_000 {
        format!("all read in {took}")
    } else {
        format!("all read in {took}, next in {}", format::duration(next))
    }
}

/// The stack of the one that waits longest in a group, innermost first, and who made it.
fn stack(ui: &UiState, group: &GoroutineGroup, room: usize, rows: usize) -> Vec<Line> {
    let stacks = format::sentence_bytes(group.stack_bytes as f64);
    let count = format::exact_count(group.count);
    let mut lines = Vec::new();
    let frame_line = |label: &str, function: &str, file: &str, at: u32| {
        let mut line = Line::new(label, Role::Dim);
        let left = room.saturating_sub(line.width() + 1);
        let place_room = (left / 3).max(16).min(left);
        let name_room = left.saturating_sub(place_room + 2);
        line.push(
            names::shorten(&names::clean(function), name_room),
            Role::Plain,
        );
        line.pad_to(room.saturating_sub(place_room + 1));
        line.push(names::location(file, at, place_room), Role::Dim);
        line
    };
    let title = if let Some(oldest) = &group.oldest {
        // Where it is parked the runtime's frames say what `WAITING IN` says.
        let own = oldest.frames.iter().enumerate();
        let own: Vec<_> = own
            .skip_while(|(_, frame)| is_runtime(&frame.function))
            .filter(|(_, frame)| &*frame.function != "runtime.goexit")
            .collect();
        for (index, frame) in own.iter().take(rows.saturating_sub(1)) {
            let label = format!("   {index:>3} ");
            lines.push(frame_line(&label, &frame.function, &frame.file, frame.line));
        }
        if own.len() > lines.len()
            && let Some(last) = lines.last_mut()
        {
            let more = own.len() - (rows.saturating_sub(1)).min(own.len()) + 1;
            let cut = if oldest.truncated { " at least" } else { "" };
            *last = Line::new(format!("       ... {more} more frames{cut}"), Role::Dim);
        }
        match oldest.waiting_ns.map(format::duration) {
            Some(wait) if room < NARROW => format!("oldest: parked {wait}"),
            Some(wait) => format!("the oldest of the selected: parked {wait}"),
            None => "one of the selected".to_owned(),
        }
    } else {
        lines.push(Line::new(
            "   none of them is parked, or none was read",
            Role::Dim,
        ));
        "the selected".to_owned()
    };
    if let Some(maker) = &group.created_by {
        lines.push(frame_line(
            "   created by ",
            &maker.function,
            &maker.file,
            maker.line,
        ));
    }
    lines.truncate(rows);
    let mut all = vec![rule(
        &title,
        &format!("{count} with {stacks} of stacks"),
        room,
    )];
    all.extend(lines);
    if let Some(in_step) = in_step(ui, group).filter(|_| all.len() <= rows) {
        all.push(Line::plain(format!(" heap sites in step: {in_step}")));
    }
    all
}

/// Heap leaks that grow in step with a group: their letters and first sites.
fn in_step(ui: &UiState, group: &GoroutineGroup) -> Option<String> {
    let letter = letter(ui, group)?;
    let leaks = &ui.reading.findings.leaks;
    let own = leaks.iter().find(|leak| leak.letter == letter)?;
    let found: Vec<String> = leaks
        .iter()
        .filter(|leak| leak.kind == Kind::Heap)
        .filter(|leak| own.in_step.contains(&leak.letter) || leak.in_step.contains(&letter))
        .filter_map(|leak| {
            let site = leak.sites.first()?;
            let name = names::shorten(&names::clean(&site.frame.function), 36);
            let rate = site
                .evidence
                .bytes_per_min
                .map_or_else(String::new, |rate| {
                    format!(" {}", format::sentence_per_minute(rate.value))
                });
            Some(format!("{} {name}{rate}", leak.letter))
        })
        .collect();
    (!found.is_empty()).then(|| found.join(", "))
}

/// What stands there while goroutines are not known.
fn unknown(ui: &UiState, layout: &Layout) -> Vec<Line> {
    let text = match &ui.reading.goroutines_not_known {
        Some(why) => format!("goroutines: not known. {}", names::clean(why)),
        None => "goroutines are not read yet".to_owned(),
    };
    let mut lines = vec![Line::default()];
    lines.extend(
        super::boxes::wrap(&text, layout.body.cells().saturating_sub(4))
            .into_iter()
            .map(|line| Line::plain(format!("  {line}"))),
    );
    lines
}

/// The view.
pub(super) fn panel(ui: &UiState, layout: &Layout) -> Panel {
    let area = layout.body;
    let room = area.cells();
    let Some(all) = &ui.reading.goroutines else {
        return Panel::new(PanelKind::View, area, unknown(ui, layout));
    };
    let rows = rows(layout);
    let mut lines = vec![rule(
        &format!("goroutines {}", format::grouped(all.count)),
        &reads(ui, all),
        room,
    )];
    if rows.graph > 0 {
        lines.extend(graph(ui, all, room, rows.graph));
        lines.resize(1 + rows.graph, Line::default());
    }
    let mut heading = Line::plain(" ");
    for (index, cells) in columns(room) {
        push_cell(&mut heading, index, cells, TITLES[index].0, Role::Dim);
    }
    let name_column = heading.width();
    let title = if rows.per_group > 1 {
        "START / CREATED BY"
    } else {
        "START"
    };
    heading.push(title, Role::Dim);
    lines.push(heading);
    let above = lines.len();
    let groups = groups(all);
    let keys: Vec<u64> = groups.iter().map(|group| u64::from(group.id)).collect();
    let at = ui.lists.goroutines.index(&keys);
    let page = rows.groups();
    let first = scroll_to(ui.lists.goroutines.scroll, at, page, groups.len());
    for (index, group) in groups.iter().enumerate().skip(first).take(page) {
        lines.push(row(ui, group, index == at, room));
        if rows.per_group > 1 {
            lines.push(made_by(group, name_column, room));
        }
    }
    lines.resize(above + rows.list, Line::default());
    lines.push(left_out(all, &groups, first, page));
    if let Some(group) = groups.get(at) {
        lines.extend(stack(ui, group, room, rows.stack));
    }
    lines.truncate(area.rows());
    let cursor = (!groups.is_empty()).then(|| above + (at - first) * rows.per_group);
    Panel {
        kind: PanelKind::View,
        area,
        cursor: cursor.filter(|cursor| *cursor < lines.len()),
        lines: lines.into_iter().map(|line| line.fit(room)).collect(),
    }
}

/// What the list has no room for, with its sum.
fn left_out(all: &Goroutines, groups: &[&GoroutineGroup], first: usize, page: usize) -> Line {
    let shown: u64 = groups
        .iter()
        .skip(first)
        .take(page)
        .fold(0, |sum, group| sum.saturating_add(group.count));
    let more = groups
        .len()
        .saturating_sub(page.min(groups.len() - first.min(groups.len())));
    let count = all.count.saturating_sub(shown);
    if more == 0 && all.others.count == 0 {
        return Line::default();
    }
    let groups = format::many(&more.to_string(), "more group");
    Line::new(
        format!("           {:>6} ... in {groups}", format::counted(count)),
        Role::Dim,
    )
}
