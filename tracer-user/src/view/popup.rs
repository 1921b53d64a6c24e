//! Boxes over the view: the help and menus to choose from.

use super::input::Action;
use super::order::{Sort, SortKey};
use super::ui_state::UiState;
use crate::model::rows::{GroupBy, Query};

/// The groupings with their words, in the order of the menu.
const GROUPS: [(GroupBy, &str); 4] = [
    (GroupBy::Function, "function of the call site"),
    (GroupBy::Line, "line of the call site"),
    (GroupBy::Package, "package of the call site"),
    (GroupBy::Type, "Go type, whoever allocates it"),
];

/// The groupings that have a meaning, with their words: types only where the source knows them.
pub fn groups(ui: &UiState) -> &'static [(GroupBy, &'static str)] {
    if ui.has_types() {
        &GROUPS
    } else {
        &GROUPS[..GROUPS.len() - 1]
    }
}

/// What can be saved as files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Export {
    /// The heap profile.
    Profile,
    /// The diagnosis in words.
    Diagnosis,
    /// The rows and the verdict, as `--json` prints them.
    Json,
    /// All of these.
    Everything,
}

/// What can be saved, with its words, in the order of the menu.
pub const EXPORTS: [(Export, &str); 4] = [
    (Export::Everything, "all of these, three files"),
    (Export::Profile, "the heap profile, for go tool pprof"),
    (Export::Diagnosis, "the diagnosis in words, as text"),
    (Export::Json, "all rows and the verdict, as JSON lines"),
];

/// A box that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Popup {
    /// The help, and how many of its lines are above the box.
    Help {
        /// Lines scrolled away.
        scroll: usize,
    },
    /// The diagnosis in words, and how many of its lines are above the box.
    Why {
        /// Lines scrolled away.
        scroll: usize,
    },
    /// Columns to sort by.
    Sort {
        /// Index into [`SortKey::with_meaning`].
        choice: usize,
    },
    /// What a row is.
    Group {
        /// Index into [`groups`].
        choice: usize,
    },
    /// What to save.
    Export {
        /// Index into [`EXPORTS`].
        choice: usize,
    },
    /// The baselines.
    Baselines {
        /// Index into the model's baselines.
        choice: usize,
    },
}

impl Popup {
    /// The menu of columns, at the one in use.
    pub fn sort_menu(ui: &UiState) -> Self {
        let keys = SortKey::with_meaning(ui.set());
        let at = keys.iter().position(|(key, _)| *key == ui.sort.key);
        Self::Sort {
            choice: at.unwrap_or(0),
        }
    }

    /// The menu of groupings, at the one in use.
    pub fn group_menu(ui: &UiState) -> Self {
        let at = GROUPS.iter().position(|(by, _)| *by == ui.query.by);
        Self::Group {
            choice: at.unwrap_or(0),
        }
    }

    /// The list of baselines, at the active one.
    pub fn baselines(ui: &UiState) -> Self {
        Self::Baselines {
            choice: ui.reading.active_baseline,
        }
    }

    /// Moves the choice; stays within `lines`, how much there is.
    pub fn move_by(&mut self, lines: isize, entries: usize) {
        let (Self::Help { scroll: at }
        | Self::Why { scroll: at }
        | Self::Sort { choice: at }
        | Self::Group { choice: at }
        | Self::Export { choice: at }
        | Self::Baselines { choice: at }) = self;
        *at = at
            .saturating_add_signed(lines)
            .min(entries.saturating_sub(1));
    }

    /// The chosen line; `None` for what is read only.
    pub fn choice(&self) -> Option<usize> {
        match self {
            Self::Help { .. } | Self::Why { .. } => None,
            Self::Sort { choice }
            | Self::Group { choice }
            | Self::Export { choice }
            | Self::Baselines { choice } => Some(*choice),
        }
    }
}

/// Does what the chosen line says.
pub fn choose(ui: &mut UiState, popup: &Popup) -> Option<Action> {
    match *popup {
        Popup::Help { .. } | Popup::Why { .. } => None,
        Popup::Sort { choice } => {
            let (key, _) = *SortKey::with_meaning(ui.set()).get(choice)?;
            ui.set_sort(Sort {
                key,
                reversed: false,
            });
            None
        }
        Popup::Group { choice } => {
            let (by, _) = groups(ui).get(choice)?;
            ui.ask(Query {
                by: *by,
                ..ui.query
            });
            None
        }
        Popup::Export { choice } => {
            let (export, _) = EXPORTS.get(choice)?;
            Some(Action::Export(*export))
        }
        Popup::Baselines { choice } => {
            (choice < ui.reading.baselines.len()).then_some(Action::UseBaseline(choice))
        }
    }
}
