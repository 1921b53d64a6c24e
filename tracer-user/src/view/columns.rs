//! The table's columns: which ones fit, and where.
//!
//! The leak's letter and the verdict stand at the left and are never scrolled away, as the name of the site is not.

use super::order::SortKey;

/// A column of figures or words; the name of the site stands beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// Letter of the leak.
    Leak,
    /// How it behaves, in a word.
    Verdict,
    /// Growth since the baseline. It stands first while the table is sorted by it.
    Since,
    /// In-use after the last final GC cycle.
    InUse,
    /// One standard error of in-use.
    Error,
    /// Bytes per minute.
    Growth,
    /// Objects per minute.
    Objects,
    /// Sparkline of in-use.
    Trend,
    /// Share of what was born since the start that lives.
    Kept,
    /// Who calls it.
    Via,
    /// Allocated per second.
    Alloc,
    /// In-use objects.
    Count,
    /// Live samples.
    Samples,
    /// File and line.
    Location,
    /// Go type of the largest stack's objects.
    Type,
}

/// What decides which columns exist, and in which order they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Set {
    /// Figures count from a baseline: absolute ones leave the column of that out.
    pub since: bool,
    /// The source knows types.
    pub types: bool,
    /// The source has records since the start of the process.
    pub kept: bool,
    /// What the rows are sorted by.
    pub sort: SortKey,
}

impl Set {
    /// Rows are sorted by growth since the baseline: then it comes first, and others wait for more width.
    fn leads_with_since(self) -> bool {
        self.since && self.sort == SortKey::Growth
    }
}

/// A column with its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Which one; `None` is the name of the site.
    pub column: Option<Column>,
    /// First cell.
    pub x: usize,
    /// Cells.
    pub width: usize,
}

/// Columns before all others, whatever the width.
const FIRST: [Column; 2] = [Column::Leak, Column::Verdict];

/// From this width on callers stand beside the sites, and share their room.
const VIA_FROM: usize = 110;
/// Least and most cells of a caller.
const VIA_WIDTH: (usize, usize) = (24, 48);
/// Fewest cells of a text that was scrolled into sight on a narrow screen.
const LEAST_TEXT: usize = 15;

impl Column {
    /// Those that can be scrolled, in the order in which they come with more width, with the width from which each is
    /// shown.
    const SCROLLED: [(Self, usize); 13] = [
        (Self::InUse, 60),
        (Self::Error, 72),
        (Self::Growth, 60),
        (Self::Objects, 72),
        (Self::Trend, 80),
        (Self::Kept, 100),
        (Self::Via, VIA_FROM),
        (Self::Since, 132),
        (Self::Alloc, 144),
        (Self::Count, 156),
        (Self::Samples, 166),
        (Self::Location, 192),
        (Self::Type, 210),
    ];

    /// The same while growth since the baseline leads.
    const SCROLLED_BY_SINCE: [(Self, usize); 13] = [
        (Self::Since, 60),
        (Self::InUse, 60),
        (Self::Error, 72),
        (Self::Growth, 72),
        (Self::Objects, 80),
        (Self::Trend, 80),
        (Self::Kept, 100),
        (Self::Via, VIA_FROM),
        (Self::Alloc, 144),
        (Self::Count, 156),
        (Self::Samples, 166),
        (Self::Location, 192),
        (Self::Type, 210),
    ];

    /// Cells, in a table of `table` columns. Of a caller the least: it shares the room that is left.
    fn width(self, table: usize) -> usize {
        match self {
            Self::Leak => 1,
            Self::Since | Self::Growth | Self::Alloc => 8,
            Self::InUse => 6,
            Self::Error => 3,
            Self::Kept => 4,
            Self::Verdict | Self::Objects | Self::Count | Self::Samples => 7,
            Self::Trend if table >= 160 => 12,
            Self::Trend if table >= VIA_FROM => 8,
            Self::Trend => 5,
            Self::Via => VIA_WIDTH.0,
            Self::Location => 24,
            Self::Type => 16,
        }
    }

    /// The heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Leak => "A",
            Self::Verdict => "VERDICT",
            Self::Since => "SINCE",
            Self::InUse => "IN-USE",
            Self::Error => "+-",
            Self::Growth => "GROW/min",
            Self::Objects => "OBJ/min",
            Self::Trend => "TREND",
            Self::Via => "VIA",
            Self::Alloc => "ALLOC/s",
            Self::Count => "OBJECTS",
            Self::Samples => "SAMPLES",
            Self::Kept => "KEPT",
            Self::Location => "FILE:LINE",
            Self::Type => "TYPE",
        }
    }

    /// What a click on the heading sorts by; a trend has no order.
    pub fn sort_key(self) -> Option<SortKey> {
        Some(match self {
            Self::Leak | Self::Verdict => SortKey::Verdict,
            Self::Since => SortKey::Growth,
            Self::InUse => SortKey::InUse,
            Self::Error => SortKey::Error,
            Self::Growth => SortKey::Rate,
            Self::Objects => SortKey::Objects,
            Self::Trend => return None,
            Self::Via => SortKey::Via,
            Self::Alloc => SortKey::Alloc,
            Self::Count => SortKey::Count,
            Self::Samples => SortKey::Samples,
            Self::Kept => SortKey::Kept,
            Self::Location => SortKey::Location,
            Self::Type => SortKey::Type,
        })
    }

    /// Whether its heading is marked while the rows are sorted by `key`: a letter has no room for marks.
    pub fn marks(self, key: SortKey) -> bool {
        self != Self::Leak && self.sort_key() == Some(key)
    }

    /// Whether the text stands at the left of its cells.
    pub fn is_left(self) -> bool {
        matches!(self, Self::Leak | Self::Verdict | Self::Trend) || self.is_text()
    }

    /// Whether it may be shortened.
    fn is_text(self) -> bool {
        matches!(self, Self::Via | Self::Location | Self::Type)
    }
}

/// The columns that exist and can be scrolled.
fn existing(set: Set) -> Vec<(Column, usize)> {
    let all = if set.leads_with_since() {
        Column::SCROLLED_BY_SINCE
    } else {
        Column::SCROLLED
    };
    all.into_iter()
        .filter(|(column, _)| match column {
            Column::Since => set.since,
            Column::Type => set.types,
            Column::Kept => set.kept,
            _ => true,
        })
        .collect()
}

/// Those that are shown with their cells, when `at` of them are scrolled away at the left.
fn chosen(all: &[(Column, usize)], at: usize, width: usize) -> Vec<(Column, usize)> {
    let fitting = all
        .iter()
        .filter(|(_, from)| width >= *from)
        .map(|(column, _)| (*column, column.width(width)));
    if at == 0 {
        return fitting.collect();
    }
    // What was scrolled away makes room for what did not fit; the name keeps its room.
    let mut left: usize = fitting.map(|(_, cells)| cells + 1).sum();
    all[at..]
        .iter()
        .map_while(|(column, _)| {
            let cells = column.width(width);
            let cells = if column.is_text() && left > LEAST_TEXT {
                cells.min(left - 1)
            } else {
                cells
            };
            let fits = cells < left;
            left = left.saturating_sub(cells + 1);
            fits.then_some((*column, cells))
        })
        .collect()
}

/// The columns for a table of `width` cells, left to right, the site's name among them; `at` of them are scrolled away
/// at the left. The first cell is the cursor's, the last stays blank.
pub fn place(set: Set, at: usize, width: usize) -> Vec<Placed> {
    let all = existing(set);
    let at = at.min(all.len().saturating_sub(1));
    let chosen = chosen(&all, at, width);
    // Unscrolled, what comes with width stands behind the name: the columns before it keep their edges.
    let is_behind = |column: Column| {
        column.is_text()
            || (at == 0
                && (matches!(column, Column::Alloc | Column::Count | Column::Samples)
                    || (column == Column::Since && !set.leads_with_since())))
    };
    let before = FIRST
        .into_iter()
        .map(|column| (column, column.width(width)))
        .chain(chosen.iter().copied().filter(|(c, _)| !is_behind(*c)));
    let mut placed = Vec::new();
    let mut x = 1;
    for (column, cells) in before {
        placed.push(Placed {
            column: Some(column),
            x,
            width: cells,
        });
        x += cells + 1;
    }
    let behind: Vec<(Column, usize)> = chosen.into_iter().filter(|(c, _)| is_behind(*c)).collect();
    let taken: usize = behind.iter().map(|(_, cells)| cells + 1).sum();
    let mut name = width.saturating_sub(1 + x + taken);
    // Site and caller share their room evenly, within what a caller may take.
    let via = if at == 0 && behind.iter().any(|(column, _)| *column == Column::Via) {
        let both = name + VIA_WIDTH.0;
        let via = (both / 2).clamp(VIA_WIDTH.0, VIA_WIDTH.1);
        name = both.saturating_sub(via);
        via
    } else {
        0
    };
    placed.push(Placed {
        column: None,
        x,
        width: name,
    });
    x += name + 1;
    for (column, cells) in behind {
        let cells = if column == Column::Via && via > 0 {
            via
        } else {
            cells
        };
        placed.push(Placed {
            column: Some(column),
            x,
            width: cells,
        });
        x += cells + 1;
    }
    placed
}

/// How far columns can be scrolled to the left before the last one is in sight.
pub fn most_left_out(set: Set, width: usize) -> usize {
    let all = existing(set);
    let last = all.last().map(|(column, _)| *column);
    (0..all.len())
        .find(|&at| {
            place(set, at, width)
                .iter()
                .any(|placed| placed.column == last)
        })
        .unwrap_or(0)
}
