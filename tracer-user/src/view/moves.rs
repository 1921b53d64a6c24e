//! How the cursor moves in the table, the detail and the boxes.

use super::commands::Mode;
use super::layout::Layout;
use super::tabs::Tab;
use super::ui_state::{Detail, ListPlace, UiState};

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
        let rows = match self.mode() {
            Mode::Detail => layout.detail_rows,
            Mode::Table => layout.table_rows,
            Mode::Other(tab) => super::others::page(&layout, tab),
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
        } else if let Mode::Other(tab) = self.mode() {
            self.move_in_view(tab, lines);
        } else if self.mode() == Mode::Detail {
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

    /// Moves the cursor of a list, or the window of what has no cursor.
    fn move_in_view(&mut self, tab: Tab, lines: isize) {
        let page = usize::try_from(self.page()).unwrap_or(1);
        let keys = super::others::keys(self, tab);
        let step = |place: ListPlace| {
            let to = place
                .index(&keys)
                .saturating_add_signed(lines)
                .min(keys.len().saturating_sub(1));
            ListPlace {
                // On the first line the cursor stays there, whatever comes: what is new is seen.
                key: (to > 0).then(|| keys.get(to).copied()).flatten(),
                scroll: scroll_to(place.scroll, to, page, keys.len()),
            }
        };
        match tab {
            Tab::Sites => {}
            Tab::Gc => self.lists.gc = step(self.lists.gc),
            Tab::Goroutines => self.lists.goroutines = step(self.lists.goroutines),
            Tab::Memory => {
                let most = keys.len().saturating_sub(page);
                self.lists.memory = self.lists.memory.saturating_add_signed(lines).min(most);
            }
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
