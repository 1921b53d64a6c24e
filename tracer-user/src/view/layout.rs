//! Which panel stands where, by the size of the terminal and what is open.
//!
//! Rows 1 to 4, the heading and the last three rows keep their places in all states. With less height go, in this
//! order: the graph, the second line of the selected row, row 3, row 4; with more come the second row of the header,
//! a taller graph and the whole facts of the selected row.

use super::screen::Area;
use super::ui_state::UiState;

/// Least columns.
pub const MIN_WIDTH: u16 = 60;
/// Least rows.
pub const MIN_HEIGHT: u16 = 15;

/// Columns that the table keeps where the detail stands beside it.
const TABLE_BESIDE_DETAIL: u16 = 120;
/// Columns of the process's figures beside the graph.
const PROCESS_WIDTH: u16 = 41;

/// Areas of the panels; those of no height are not shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Process, source, cost, losses, state.
    pub header: Area,
    /// Badge and sentence.
    pub news: Area,
    /// Settings and baseline.
    pub context: Area,
    /// The graph with its rule.
    pub graph: Area,
    /// Figures beside the graph.
    pub process: Option<Area>,
    /// The table: heading, rows, and the sum of what is left out.
    pub table: Area,
    /// Rows of sites that fit in the table.
    pub table_rows: usize,
    /// All between the tabs and the keys: the open detail, and the views that are not Sites.
    pub body: Area,
    /// Lines of the detail that say what the site is and does.
    pub detail_head: usize,
    /// Lines of stacks and frames that fit in the detail.
    pub detail_rows: usize,
    /// Detail of the selected row beside the table.
    pub side: Option<Area>,
    /// The selected row, or a notice.
    pub selected: Area,
    /// Keys.
    pub keys: Area,
}

/// Lines above the stacks in the detail beside the name: rule, heading.
const DETAIL_RULES: usize = 2;

impl Layout {
    /// Lines of the detail above its stacks.
    pub fn above_stacks(&self) -> usize {
        self.detail_head + DETAIL_RULES
    }

    /// Whether anything but the sentence about the size fits.
    pub fn fits(size: (u16, u16)) -> bool {
        size.0 >= MIN_WIDTH && size.1 >= MIN_HEIGHT
    }

    /// The layout for a size.
    pub fn of(size: (u16, u16), ui: &UiState) -> Self {
        let (width, height) = size;
        if !Self::fits(size) {
            return Self::default();
        }
        let is_tall = height >= 32;
        let header_rows = if is_tall && width >= 100 { 2 } else { 1 };
        let news_rows = if height >= 17 { 2 } else { 1 };
        let context_rows = u16::from(height >= 16);
        let graph_rows = match height {
            0..24 => 0,
            24..28 => 4,
            28..32 => 6,
            32..50 => 10,
            _ => 14,
        };
        let selected_rows = match height {
            0..18 => 1,
            18..32 => 2,
            _ => 4,
        };
        let mut y = 0;
        let mut take = |rows: u16| {
            let area = Area::new(0, y, width, rows);
            y += rows;
            area
        };
        let header = take(header_rows);
        let news = take(news_rows);
        let context = take(context_rows);
        let mut graph = take(graph_rows);
        let top = graph.y + graph.height;
        let bottom = height - 1 - selected_rows;
        let mut table = Area::new(0, top, width, bottom - top);
        let selected = Area::new(0, bottom, width, selected_rows);
        let keys = Area::new(0, height - 1, width, 1);
        let body = Area::new(
            0,
            context.y + context.height,
            width,
            height - 1 - context.y - context.height,
        );
        let beside = (width >= 200 && height >= 50 && ui.side_panel).then(|| {
            table.width = TABLE_BESIDE_DETAIL;
            Area::new(
                TABLE_BESIDE_DETAIL,
                top,
                width - TABLE_BESIDE_DETAIL,
                bottom - top,
            )
        });
        let detail_head = match height {
            0..18 => 3,
            18..28 => 6,
            _ => 7,
        };
        let process = (width >= 110 && is_tall).then(|| {
            graph.width = width - PROCESS_WIDTH;
            Area::new(graph.width, graph.y, PROCESS_WIDTH, graph.height)
        });
        Self {
            header,
            news,
            context,
            graph,
            process,
            table,
            // Heading and sum.
            table_rows: table.rows() - 2,
            body,
            detail_head,
            detail_rows: body
                .rows()
                .saturating_sub(detail_head + DETAIL_RULES)
                .max(1),
            side: beside,
            selected,
            keys,
        }
    }
}
