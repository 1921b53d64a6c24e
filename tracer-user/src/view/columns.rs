//! The table's columns: which ones fit, and where.

use super::order::SortKey;

/// A column of figures; the name of the site stands beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// Growth since the baseline. It stands first as long as the table is sorted by it and not by a verdict.
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

/// What decides which columns exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Set {
    /// Figures count from a baseline: absolute ones leave the column of that out.
    pub since: bool,
    /// The source knows types.
    pub types: bool,
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

impl Column {
    /// All, in the order in which they come with more width, with the width from which each is shown.
    const ALL: [(Self, usize); 11] = [
        (Self::Since, 60),
        (Self::InUse, 60),
        (Self::Error, 72),
        (Self::Growth, 60),
        (Self::Objects, 72),
        (Self::Trend, 80),
        (Self::Alloc, 144),
        (Self::Count, 156),
        (Self::Samples, 166),
        (Self::Location, 192),
        (Self::Type, 210),
    ];

    /// Cells, in a table of `table` columns.
    fn width(self, table: usize) -> usize {
        match self {
            Self::Since | Self::Growth | Self::Alloc => 8,
            Self::InUse => 6,
            Self::Error => 3,
            Self::Objects | Self::Count | Self::Samples => 7,
            Self::Trend if table >= 160 => 12,
            Self::Trend if table >= 110 => 8,
            Self::Trend => 5,
            Self::Location => 24,
            Self::Type => 16,
        }
    }

    /// The heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Since => "SINCE",
            Self::InUse => "IN-USE",
            Self::Error => "+-",
            Self::Growth => "GROW/min",
            Self::Objects => "OBJ/min",
            Self::Trend => "TREND",
            Self::Alloc => "ALLOC/s",
            Self::Count => "OBJECTS",
            Self::Samples => "SAMPLES",
            Self::Location => "FILE:LINE",
            Self::Type => "TYPE",
        }
    }

    /// What a click on the heading sorts by; a trend has no order.
    pub fn sort_key(self) -> Option<SortKey> {
        Some(match self {
            Self::Since => SortKey::Growth,
            Self::InUse => SortKey::InUse,
            Self::Error => SortKey::Error,
            Self::Growth => SortKey::Rate,
            Self::Objects => SortKey::Objects,
            Self::Trend => return None,
            Self::Alloc => SortKey::Alloc,
            Self::Count => SortKey::Count,
            Self::Samples => SortKey::Samples,
            Self::Location => SortKey::Location,
            Self::Type => SortKey::Type,
        })
    }

    /// Whether the text stands at the left of its cells.
    pub fn is_left(self) -> bool {
        matches!(self, Self::Trend | Self::Location | Self::Type)
    }
}

/// The columns that exist.
fn existing(set: Set) -> Vec<(Column, usize)> {
    Column::ALL
        .into_iter()
        .filter(|(column, _)| match column {
            Column::Since => set.since,
            Column::Type => set.types,
            _ => true,
        })
        .collect()
}

/// The columns for a table of `width` cells, left to right, the site's name among them; `at` of them are scrolled away
/// at the left. The first cell is the cursor's, the last stays blank.
pub fn place(set: Set, at: usize, width: usize) -> Vec<Placed> {
    let all = existing(set);
    let at = at.min(all.len().saturating_sub(1));
    let fitting: Vec<Column> = all
        .iter()
        .filter(|(_, from)| width >= *from)
        .map(|(column, _)| *column)
        .collect();
    let room: usize = fitting.iter().map(|column| column.width(width) + 1).sum();
    let chosen: Vec<Column> = if at == 0 {
        fitting
    } else {
        // What was scrolled away makes room for what did not fit; the name keeps its room.
        let mut left = room;
        all[at..]
            .iter()
            .map(|(column, _)| *column)
            .take_while(|column| {
                let cells = column.width(width) + 1;
                let fits = cells <= left;
                left = left.saturating_sub(cells);
                fits
            })
            .collect()
    };
    // Unscrolled, what comes with width stands behind the name: the columns before it keep their edges.
    let is_behind = |column: &Column| {
        matches!(column, Column::Location | Column::Type)
            || (at == 0 && matches!(column, Column::Alloc | Column::Count | Column::Samples))
    };
    let behind: usize = chosen
        .iter()
        .filter(|c| is_behind(c))
        .map(|c| c.width(width) + 1)
        .sum();
    let mut placed = Vec::new();
    let mut x = 1;
    for column in chosen.iter().filter(|c| !is_behind(c)) {
        placed.push(Placed {
            column: Some(*column),
            x,
            width: column.width(width),
        });
        x += column.width(width) + 1;
    }
    let name = width.saturating_sub(1 + x + behind);
    placed.push(Placed {
        column: None,
        x,
        width: name,
    });
    x += name + 1;
    for column in chosen.iter().filter(|c| is_behind(c)) {
        placed.push(Placed {
            column: Some(*column),
            x,
            width: column.width(width),
        });
        x += column.width(width) + 1;
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
