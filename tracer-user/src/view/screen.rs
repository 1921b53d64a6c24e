//! What the view hands to the terminal: panels of finished lines, each piece of text with its role.
//!
//! Roles say what a text means; which colour or attribute that is, is the theme's business. Glyphs are the Unicode
//! ones (box, block, braille); the terminal side replaces them where the locale has none.

use super::names::{cut, width};

/// What a piece of text means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Role {
    /// The terminal's own text colour.
    #[default]
    Plain,
    /// Growth, losses.
    Leak,
    /// Something to look at: budget, pause.
    Warn,
    /// Shrinking, or not known yet.
    Cool,
    /// Keys, the sorted heading, live bytes in graphs.
    Accent,
    /// Garbage in graphs.
    Garbage,
    /// Labels, rules, what does not matter now.
    Dim,
}

/// A piece of text of one role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The text, without control characters.
    pub text: String,
    /// What it means.
    pub role: Role,
    /// Stands out: a value that has just changed, a counter that should be 0.
    pub bold: bool,
    /// In reverse video: a badge.
    pub badge: bool,
}

/// One row of cells, left to right; what is behind the last span is blank.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The pieces in order.
    pub spans: Vec<Span>,
}

impl Line {
    /// A line of one role.
    pub fn new(text: impl Into<String>, role: Role) -> Self {
        Self::default().with(text, role)
    }

    /// A line of plain text.
    pub fn plain(text: impl Into<String>) -> Self {
        Self::new(text, Role::Plain)
    }

    /// Adds text of a role.
    #[must_use]
    pub fn with(mut self, text: impl Into<String>, role: Role) -> Self {
        self.push(text, role);
        self
    }

    /// Adds text of a role.
    pub fn push(&mut self, text: impl Into<String>, role: Role) {
        self.push_span(Span {
            text: text.into(),
            role,
            ..Span::default()
        });
    }

    /// Adds bold text of a role.
    pub fn push_bold(&mut self, text: impl Into<String>, role: Role) {
        self.push_span(Span {
            text: text.into(),
            role,
            bold: true,
            badge: false,
        });
    }

    /// Adds a badge.
    pub fn push_badge(&mut self, text: impl Into<String>, role: Role) {
        self.push_span(Span {
            text: text.into(),
            role,
            bold: true,
            badge: true,
        });
    }

    fn push_span(&mut self, span: Span) {
        if !span.text.is_empty() {
            self.spans.push(span);
        }
    }

    /// Adds a character to the last span if that has the same role: lines of many cells stay short lists.
    pub(super) fn push_joined(&mut self, c: char, role: Role) {
        match self.spans.last_mut() {
            Some(last) if last.role == role && !last.bold && !last.badge => last.text.push(c),
            _ => self.push(c, role),
        }
    }

    /// Adds blanks up to a column; nothing if the line is there already.
    pub fn pad_to(&mut self, column: usize) {
        let missing = column.saturating_sub(self.width());
        self.push(" ".repeat(missing), Role::Plain);
    }

    /// Adds a cell of a table: text at the left or the right of so many cells, and a blank behind them.
    pub fn push_cell(&mut self, text: &str, cells: usize, is_left: bool, role: Role) {
        let blank = " ".repeat(cells.saturating_sub(width(text)));
        if is_left {
            self.push(text, role);
            self.push(blank, Role::Plain);
        } else {
            self.push(blank, Role::Plain);
            self.push(text, role);
        }
        self.push(" ", Role::Plain);
    }

    /// Adds all spans of another line.
    pub fn append(&mut self, other: Self) {
        self.spans.extend(other.spans);
    }

    /// Cells taken.
    pub fn width(&self) -> usize {
        self.spans.iter().map(|span| width(&span.text)).sum()
    }

    /// The text without roles.
    pub fn text(&self) -> String {
        self.spans.iter().map(|span| span.text.as_str()).collect()
    }

    /// The line in at most `room` cells.
    #[must_use]
    pub fn fit(mut self, room: usize) -> Self {
        let mut used = 0;
        for span in &mut self.spans {
            let left = room - used;
            if width(&span.text) > left {
                span.text = cut(&span.text, left);
            }
            used += width(&span.text);
        }
        self.spans.retain(|span| !span.text.is_empty());
        self
    }

    /// This line with `right` at the end of `room` cells; where both do not fit, this one is cut.
    #[must_use]
    pub fn and_right(self, right: Self, room: usize) -> Self {
        let right = right.fit(room);
        let at = room - right.width();
        let mut line = self.fit(at.saturating_sub(usize::from(at < room)));
        line.pad_to(at);
        line.append(right);
        line
    }
}

/// A rectangle of cells, from the top left corner of the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Area {
    /// First column.
    pub x: u16,
    /// First row.
    pub y: u16,
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

impl Area {
    /// Makes an area.
    pub const fn new(x: u16, y: u16, width: u16, height: u16) -> Self {
        Self {
            x,
            y,
            width,
            height,
        }
    }

    /// Columns, for text.
    pub fn cells(self) -> usize {
        usize::from(self.width)
    }

    /// Rows, for lists.
    pub fn rows(self) -> usize {
        usize::from(self.height)
    }

    /// Whether a cell lies within.
    pub fn contains(self, x: u16, y: u16) -> bool {
        x >= self.x && y >= self.y && x - self.x < self.width && y - self.y < self.height
    }
}

/// What a panel shows; each has its drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PanelKind {
    /// Row 1 (and 2 where there is room): process, source, cost, losses, state.
    Header,
    /// The badge and its sentence, and the line below.
    News,
    /// Settings of the view, and the baseline.
    Context,
    /// Live heap after GC.
    Graph,
    /// Figures of the process beside the graph.
    Process,
    /// The table of sites.
    Table,
    /// Stacks of one site.
    Detail,
    /// A view beside Sites.
    View,
    /// The selected row, whole; or a notice.
    Selected,
    /// Keys that work now, or a line being typed.
    Keys,
    /// A box over the others.
    Box,
    /// The one sentence of a terminal that is too small.
    TooSmall,
}

/// A rectangle with its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panel {
    /// What it shows.
    pub kind: PanelKind,
    /// Where.
    pub area: Area,
    /// From the top; at most `area.height`.
    pub lines: Vec<Line>,
    /// The line that is drawn as the cursor, an index into `lines`.
    pub cursor: Option<usize>,
}

impl Panel {
    /// A panel without a cursor.
    pub fn new(kind: PanelKind, area: Area, lines: Vec<Line>) -> Self {
        Self {
            kind,
            area,
            lines,
            cursor: None,
        }
    }
}

/// Everything that is on the screen: drawn in order, later panels over earlier ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ViewState {
    /// The size it was made for, columns and rows.
    pub size: (u16, u16),
    /// The panels.
    pub panels: Vec<Panel>,
    /// Where the terminal's own cursor stands while a line is typed.
    pub caret: Option<(u16, u16)>,
}

impl ViewState {
    /// The panel of a kind, if it is on the screen.
    pub fn panel(&self, kind: PanelKind) -> Option<&Panel> {
        self.panels.iter().find(|panel| panel.kind == kind)
    }
}
