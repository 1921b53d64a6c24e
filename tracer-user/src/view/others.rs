//! The views beside Sites: what is drawn, how many of its lines a page holds, and what its cursor can stand on.

use super::layout::Layout;
use super::screen::{Panel, PanelKind};
use super::tabs::Tab;
use super::ui_state::UiState;

/// The view of a tab.
pub(super) fn panel(ui: &UiState, layout: &Layout, tab: Tab) -> Panel {
    let _ = (ui, tab);
    Panel::new(PanelKind::View, layout.body, Vec::new())
}

/// Lines of a list that are seen at once.
pub(super) fn page(ui: &UiState, layout: &Layout, tab: Tab) -> usize {
    let _ = (ui, tab, layout);
    1
}

/// Identities of the lines of a view, from the top.
pub(super) fn keys(ui: &UiState, tab: Tab) -> Vec<u64> {
    let _ = (ui, tab);
    Vec::new()
}
