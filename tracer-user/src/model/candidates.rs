//! Functions that may drive a growth: those to count, and the windows in which each was counted.
//!
//! [`super::diagnosis`] proposes and judges them. A few functions are kept, each with its last half hour.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::Model;
use super::gc::SECOND_NS;
use crate::event::CallWindow;

/// Functions whose windows are kept: several leaks with all their candidates.
const MAX_FUNCTIONS: usize = 64;
/// Windows of a function that are kept: half an hour of one that is counted all the time.
const MAX_WINDOWS: usize = 900;
/// Age from which on a window says nothing of the present.
const MAX_AGE_NS: u64 = 1800 * SECOND_NS;

/// A window in which a function was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from_ns: u64,
    pub(super) to_ns: u64,
    pub(super) calls: u64,
}

/// Windows of one function, oldest first; `None` if it cannot be counted.
type Windows = Option<VecDeque<Window>>;

/// Windows by function.
#[derive(Clone, Debug, Default)]
pub(super) struct Candidates {
    by_function: HashMap<Arc<str>, Windows>,
    /// Functions to count, see [`Model::candidates`].
    pub(super) wanted: Vec<Arc<str>>,
}

impl Candidates {
    /// Takes a window.
    pub(super) fn apply(&mut self, window: CallWindow) {
        let CallWindow {
            function,
            from_ns,
            to_ns,
            calls,
        } = window;
        if self.by_function.len() >= MAX_FUNCTIONS && !self.by_function.contains_key(&function) {
            self.by_function
                .retain(|known, _| self.wanted.contains(known));
        }
        let windows = self.by_function.entry(function).or_default();
        let Some(calls) = calls else {
            *windows = None;
            return;
        };
        let windows = windows.get_or_insert_default();
        windows.push_back(Window {
            from_ns,
            to_ns,
            calls,
        });
        while windows.len() > MAX_WINDOWS
            || windows
                .front()
                .is_some_and(|window| window.to_ns.saturating_add(MAX_AGE_NS) < to_ns)
        {
            windows.pop_front();
        }
    }

    /// The windows of a function; empty before the first one, `None` if it cannot be counted.
    pub(super) fn windows(&self, function: &str) -> Option<impl Iterator<Item = &Window> + Clone> {
        let known = self.by_function.get(function);
        match known {
            Some(None) => None,
            known => Some(known.into_iter().flatten().flatten()),
        }
    }
}

impl Model {
    /// Functions whose calls are to be counted in short windows, since one of them may drive the growth; at most
    /// [`super::findings::MAX_CANDIDATES`]. Empty while nothing grows.
    pub fn candidates(&self) -> &[Arc<str>] {
        &self.candidates.wanted
    }
}
