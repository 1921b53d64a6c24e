//! How the cursor moves in the table, the detail and the boxes.

use super::layout::Layout;
use super::ui_state::{Detail, UiState};

impl UiState {
    /// Puts the cursor on a shown row.
    pub(super) fn select(&mut self, index: usize) {
        let page = usize::try_from(self.page()).unwrap_or(1);
        self.cursor = self.shown_id(index);
        self.scroll = scroll_to(self.scroll, index, page, self.n_shown());
        self.last_move_ns = Some(self.now_ns);
    }

    /// How many columns can be scrolled away.
    pub(super) fn most_columns_left_out(&self) -> usize {
        let width = Layout::of(self.size, self).table.cells();
        super::columns::most_left_out(self.set(), width)
    }

    /// Lines that a page holds, of what the cursor moves in.
    pub(super) fn page(&self) -> isize {
        let layout = Layout::of(self.size, self);
        let rows = if self.detail.is_some() {
            layout.detail_rows
        } else {
            layout.table_rows
        };
        isize::try_from(rows.max(1)).unwrap_or(1)
    }

    /// Moves the cursor of what is in front: box, detail or table.
    pub(super) fn move_by(&mut self, lines: isize) {
        if self.popup.is_some() {
            let entries = super::boxes::entries(self);
            if let Some(popup) = &mut self.popup {
                popup.move_by(lines, entries);
            }
        } else if self.detail.is_some() {
            let page = usize::try_from(self.page()).unwrap_or(1);
            let Some(detail) = &mut self.detail else {
                return;
            };
            let places = super::detail::places(&self.reading, detail, self.runtime_frames);
            let at = super::detail::place_index(&places, detail.place);
            let to = at
                .saturating_add_signed(lines)
                .min(places.len().saturating_sub(1));
            detail.place = places.get(to).copied().unwrap_or_default();
            detail.scroll = scroll_to(detail.scroll, to, page, places.len());
        } else if self.n_shown() > 0 {
            let to = self
                .cursor_index()
                .saturating_add_signed(lines)
                .min(self.n_shown() - 1);
            self.select(to);
        }
    }

    /// Opens the detail of the row before or after, in the order of the table.
    pub(super) fn other_site(&mut self, by: isize) {
        let Some(detail) = &self.detail else { return };
        let row = detail.row;
        let Some(index) = self.shown_rows().position(|site| site.id == row) else {
            return;
        };
        let to = index
            .saturating_add_signed(by)
            .min(self.n_shown().saturating_sub(1));
        if let Some(id) = self.shown_id(to) {
            self.detail = Some(Detail::new(id));
            self.select(to);
        }
    }
}

/// Lines above a window of `page` lines that holds line `index`, as near to `scroll` as can be.
pub(super) fn scroll_to(scroll: usize, index: usize, page: usize, len: usize) -> usize {
    let page = page.max(1);
    let scroll = scroll.min(len.saturating_sub(page));
    if index < scroll {
        index
    } else if index >= scroll + page {
        index + 1 - page
    } else {
        scroll
    }
}
