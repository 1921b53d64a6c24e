//! The views beside Sites: what is drawn, how many of its lines a page holds, and what its cursor can stand on.

use super::layout::Layout;
use super::screen::{Panel, PanelKind};
use super::tabs::Tab;
use super::ui_state::UiState;
use super::{cycles, goroutines, memory};

/// The view of a tab.
pub(super) fn panel(ui: &UiState, layout: &Layout, tab: Tab) -> Panel {
    match tab {
        Tab::Sites => Panel::new(PanelKind::View, layout.body, Vec::new()),
        Tab::Gc => cycles::panel(ui, layout),
        Tab::Goroutines => goroutines::panel(ui, layout),
        Tab::Memory => memory::panel(ui, layout),
    }
}

/// Lines of a list that are seen at once.
pub(super) fn page(layout: &Layout, tab: Tab) -> usize {
    match tab {
        Tab::Sites => layout.table_rows,
        Tab::Gc => cycles::page(layout),
        Tab::Goroutines => goroutines::page(layout),
        Tab::Memory => layout.body.rows(),
    }
}

/// Identities of the lines of a view, from the top.
pub(super) fn keys(ui: &UiState, tab: Tab) -> Vec<u64> {
    match tab {
        Tab::Sites => Vec::new(),
        Tab::Gc => cycles::keys(ui),
        Tab::Goroutines => goroutines::keys(ui),
        Tab::Memory => {
            let n = memory::n_lines(ui, &Layout::of(ui.size(), ui));
            (0..n as u64).collect()
        }
    }
}
