//! The Go processes of a machine as a table: for `heaptop ps`, and for the list to pick one from.

use super::format;
use super::names::{clean, cut, width};
use crate::listed::ListedProcess;

/// Digits of a container id that are shown, as container runtimes do.
const CONTAINER_DIGITS: usize = 12;
/// Least cells for a name.
const LEAST_NAME: usize = 12;
/// Columns of figures behind the name: title, cells, whether it stands to the right.
const COLUMNS: [(&str, usize, bool); 6] = [
    ("CONTAINER", CONTAINER_DIGITS, false),
    ("GO", 9, false),
    ("SYMBOLS", 8, false),
    ("RATE", 6, true),
    ("RSS", 6, true),
    ("SOURCE", 7, false),
];
/// Cells of a pid: the kernel's largest is 4194304.
const PID_WIDTH: usize = 7;

/// Cells of a name in a table of `room` cells.
fn name_width(room: usize) -> usize {
    let others: usize = COLUMNS.iter().map(|(_, width, _)| width + 1).sum();
    room.saturating_sub(PID_WIDTH + 1 + others).max(LEAST_NAME)
}

/// The heading of the table, in `room` cells.
pub fn heading(room: usize) -> String {
    let name_width = name_width(room);
    let mut line = format!("{:>PID_WIDTH$} {:name_width$}", "PID", "NAME");
    for (title, width, to_right) in COLUMNS {
        push(&mut line, title, width, to_right);
    }
    line.trim_end().to_owned()
}

/// A row of the table, in `room` cells.
pub fn row(process: &ListedProcess, room: usize) -> String {
    let mut line = format!("{:>PID_WIDTH$}", process.pid);
    push(&mut line, &clean(&process.name), name_width(room), false);
    let go = process.go.as_deref().unwrap_or("?");
    let rate = match process.sample_rate_bytes {
        Some(0) => "off".to_owned(),
        Some(rate) => format::bytes(rate as f64),
        None => "?".to_owned(),
    };
    let symbols = match process.stripped {
        Some(true) => "stripped",
        Some(false) => "yes",
        None => "?",
    };
    let rss = process.rss_bytes;
    let rss = rss.map_or_else(|| "?".to_owned(), |rss| format::bytes(rss as f64));
    let texts = [
        process.container.as_deref().unwrap_or("-"),
        go.strip_prefix("go").unwrap_or(go),
        symbols,
        &rate,
        &rss,
        process.source.word(),
    ];
    for (text, (_, width, to_right)) in texts.into_iter().zip(COLUMNS) {
        push(&mut line, &clean(text), width, to_right);
    }
    line.trim_end().to_owned()
}

fn push(line: &mut String, text: &str, cells: usize, to_right: bool) {
    let text = cut(text, cells);
    let blanks = " ".repeat(cells - width(&text));
    let (before, behind) = if to_right {
        (&*blanks, "")
    } else {
        ("", &*blanks)
    };
    line.push(' ');
    line.push_str(before);
    line.push_str(&text);
    line.push_str(behind);
}

/// Largest first; equal ones by pid.
pub fn sort(processes: &mut [ListedProcess]) {
    processes.sort_by_key(|process| (std::cmp::Reverse(process.rss_bytes), process.pid));
}

/// The table with its heading, and below it why some cannot be watched, a sentence for each reason.
pub fn table(processes: &[ListedProcess], room: usize) -> String {
    let mut lines = vec![heading(room)];
    lines.extend(processes.iter().map(|process| row(process, room)));
    let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
    for process in processes {
        let Some(why) = process.source.why() else {
            continue;
        };
        let pid = process.pid.to_string();
        match reasons.iter_mut().find(|(known, _)| *known == why) {
            Some((_, pids)) => pids.push(pid),
            None => reasons.push((why, vec![pid])),
        }
    }
    for (why, pids) in reasons {
        let more = pids.len().saturating_sub(MAX_PIDS);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        let shown = &pids[..pids.len().min(MAX_PIDS)];
        lines.push(format!(
            "none for {}{more}: {}",
            shown.join(", "),
            clean(why)
        ));
    }
    lines.join("\n") + "\n"
}

/// Most pids that one reason is given for.
const MAX_PIDS: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listed::Offer;

    fn process(pid: u32, name: &str) -> ListedProcess {
        ListedProcess {
            pid,
            name: name.into(),
            container: Some("4f".repeat(32)),
            go: Some("go1.26.6".into()),
            stripped: Some(true),
            sample_rate_bytes: Some(524_288),
            source: Offer::Sampler,
            rss_bytes: Some(1 << 30),
        }
    }

    #[test]
    fn every_row_fits_80_columns() {
        let mut unknown = process(
            7,
            "a\x1b[31mname-that-is-much-longer-than-any-column-should-be",
        );
        unknown.go = None;
        unknown.stripped = None;
        unknown.sample_rate_bytes = None;
        unknown.source = Offer::Nothing("why not".into());
        let mut processes = vec![process(4_194_304, "tyk"), unknown, process(8, "名前")];
        processes[0].sample_rate_bytes = Some(0);
        let table = table(&processes, 80);
        assert!(table.lines().all(|line| width(line) <= 80), "{table}");
        assert!(!table.contains('\x1b'), "{table}");
        let expected = "
    PID NAME                     CONTAINER    GO        SYMBOLS    RATE    RSS SOURCE
4194304 tyk                      4f4f4f4f4f4f 1.26.6    stripped    off 1.00Gi sampler
";
        let first = table.lines().take(2).collect::<Vec<_>>().join("\n");
        let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeeze(&first), squeeze(expected));
        assert!(table.ends_with("none for 7: why not\n"), "{table}");
    }

    #[test]
    fn the_largest_stand_first() {
        let mut processes = vec![process(3, "c"), process(2, "b"), process(1, "a")];
        processes[0].rss_bytes = None;
        processes[1].rss_bytes = Some(5);
        sort(&mut processes);
        let pids: Vec<u32> = processes.iter().map(|process| process.pid).collect();
        assert_eq!(pids, [1, 2, 3]);
    }
}
