//! What the user has chosen to see: cursor, order, filter, what is open. Changed by inputs and by new readings, never
//! by drawing.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use super::columns::Set;
use super::commands::Mode;
use super::layout::Layout;
use super::order::{Sort, is_growing};
use super::popup::Popup;
use super::reading::{MAX_PAUSED_STACKS, Reading};
use super::tabs::Tab;
use super::typed::{Filter, LineEdit};
use crate::model::Model;
use crate::model::rows::{GroupBy, Query, RowId, SiteRow, Status};

const SECOND_NS: u64 = 1_000_000_000;
/// Rows keep their order that long after a cursor move: what is about to be opened must not run away.
const HOLD_NS: u64 = 5 * SECOND_NS;
/// Rows are sorted again at most that often.
const SORT_NS: u64 = SECOND_NS;
/// A value that changed stands out that long.
const CHANGED_NS: u64 = SECOND_NS;
/// A verdict of growth that is new stands out that long.
const NEWLY_GROWS_NS: u64 = 3 * SECOND_NS;
/// A notice stays that long.
const NOTICE_NS: u64 = 6 * SECOND_NS;
/// Losses are told for that long.
const LOSS_WINDOW_NS: u64 = 60 * SECOND_NS;

/// What is decided before the screen is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Order of the table at the start.
    pub sort: Sort,
    /// What a row is at the start.
    pub by: GroupBy,
    /// Seconds east of UTC, for times of day.
    pub utc_offset_s: i32,
}

/// What a line is typed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypedFor {
    /// The filter of the table.
    Filter,
    /// A command by its words.
    Palette,
    /// A name for the active baseline.
    BaselineName,
}

/// A line being typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed {
    /// What for.
    pub purpose: TypedFor,
    /// The line.
    pub line: LineEdit,
    /// The filter to go back to if it is dropped.
    pub before: Filter,
    /// Which of the commands found is chosen.
    pub choice: usize,
}

/// A line of the detail: a stack (`frame` is `None`) or one of its frames, by the stack's identity, so that the cursor
/// stays where it is when stacks change their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Identity of the stack.
    pub stack: u32,
    /// Line within the unfolded stack; `None` for the stack's own line.
    pub frame: Option<usize>,
}

/// The open detail of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail {
    /// Which site.
    pub row: RowId,
    /// Where the cursor stands.
    pub place: Place,
    /// Lines above the window.
    pub scroll: usize,
    /// The unfolded stacks.
    pub unfolded: HashSet<u32>,
    /// The user has folded or unfolded; until then it is the largest stack that is unfolded, whichever that is.
    pub is_touched: bool,
}

impl Detail {
    /// The detail of a site as it opens: the largest stack unfolded.
    pub fn new(row: RowId) -> Self {
        Self {
            row,
            place: Place::default(),
            scroll: 0,
            unfolded: HashSet::new(),
            is_touched: false,
        }
    }

    /// Whether a stack shows its frames.
    pub fn is_unfolded(&self, stack: u32) -> bool {
        self.unfolded.contains(&stack)
    }

    /// Folds or unfolds the stack of a line.
    pub fn toggle(&mut self, place: Place) {
        self.is_touched = true;
        if !self.unfolded.remove(&place.stack) {
            self.unfolded.insert(place.stack);
        }
        self.place = Place {
            stack: place.stack,
            frame: None,
        };
    }
}

/// Where the cursor of a list stands: on what it was put on, wherever that moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListPlace {
    /// Identity of the line; `None` stays on the first.
    pub key: Option<u64>,
    /// Lines above the window.
    pub scroll: usize,
}

impl ListPlace {
    /// Index of the cursor among the lines that have these identities.
    pub fn index(&self, keys: &[u64]) -> usize {
        self.key
            .and_then(|key| keys.iter().position(|other| *other == key))
            .unwrap_or(0)
    }
}

/// Cursors of the views that are lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// GC cycles, by their number.
    pub gc: ListPlace,
    /// Groups of goroutines, by their identity.
    pub goroutines: ListPlace,
    /// The memory has no cursor: only its window moves.
    pub memory: usize,
}

/// The state of the view. Made once, then changed by [`UiState::refresh`] and [`super::input::handle`] alone.
#[derive(Clone, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch with a key of its own"
)]
pub struct UiState {
    pub(super) options: Options,
    pub(super) size: (u16, u16),
    /// What is shown; the moment of the pause while paused.
    pub(super) reading: Reading,
    /// Now, also while paused.
    pub(super) now_ns: u64,
    /// `cycles_seen` at the pause.
    paused: Option<u64>,
    /// Cycles that the paused view does not show.
    pub(super) behind: u64,
    /// Indices into the reading's rows: filtered and in order.
    shown: Vec<usize>,
    pub(super) cursor: Option<RowId>,
    pub(super) scroll: usize,
    pub(super) sort: Sort,
    pub(super) last_move_ns: Option<u64>,
    last_sort_ns: u64,
    /// The order on the screen is not that of the values: it will be when it has waited long enough.
    is_unsorted: bool,
    pub(super) filter: Filter,
    pub(super) typed: Option<Typed>,
    pub(super) earlier_filters: Vec<String>,
    pub(super) query: Query,
    /// Growth since the baseline is shown, and the graph begins there.
    pub(super) since: bool,
    /// Objects instead of bytes.
    pub(super) objects: bool,
    /// Runtime frames are shown in stacks.
    pub(super) runtime_frames: bool,
    /// Columns scrolled away at the left.
    pub(super) columns_at: usize,
    /// Detail beside the table where there is room.
    pub(super) side_panel: bool,
    /// The view in front.
    pub(super) tab: Tab,
    /// Cursors of the views that are lists.
    pub(super) lists: Lists,
    pub(super) detail: Option<Detail>,
    pub(super) popup: Option<Popup>,
    notice: Option<(String, u64)>,
    changed: HashMap<RowId, u64>,
    /// Rows that grow, with the moment since when, or 0 for those that were found growing.
    growing: HashMap<RowId, u64>,
    /// Lost records by the time they were noticed, oldest first.
    losses: VecDeque<(u64, u64)>,
    /// Names that the user gave, by the moment that was marked: indices shift when the oldest goes.
    baseline_names: BTreeMap<u64, String>,
}

impl UiState {
    /// The state at the start.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            sort: options.sort,
            query: Query {
                by: options.by,
                cumulative: false,
            },
            since: true,
            side_panel: true,
            ..Self::default()
        }
    }

    /// Columns and rows of the terminal as last told.
    pub fn size(&self) -> (u16, u16) {
        self.size
    }

    /// What is in front.
    pub(super) fn mode(&self) -> Mode {
        match (self.tab, &self.detail) {
            (Tab::Sites, Some(_)) => Mode::Detail,
            (Tab::Sites, None) => Mode::Table,
            (tab, _) => Mode::Other(tab),
        }
    }

    /// Goes to a view. An open site stays open behind it.
    pub(super) fn show_tab(&mut self, tab: Tab) {
        self.tab = tab;
    }

    /// Whether the source knows the types of objects.
    pub(super) fn has_types(&self) -> bool {
        self.reading.target.source.has_types()
    }

    /// Which columns exist.
    pub(super) fn set(&self) -> Set {
        Set {
            since: self.since,
            types: self.has_types(),
            kept: self.reading.target.has_records(),
            sort: self.sort.key,
        }
    }

    /// Whether the view is frozen.
    pub fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// The state for another process in the place of this one: with its order, its rows and its filter.
    #[must_use]
    pub fn anew(&self) -> Self {
        let options = Options {
            sort: self.sort,
            by: self.query.by,
            ..self.options
        };
        let mut anew = Self::new(options);
        anew.set_filter(self.filter.clone());
        anew.earlier_filters.clone_from(&self.earlier_filters);
        anew.tab = self.tab;
        anew.now_ns = self.now_ns;
        anew
    }

    /// Tells the user something, for some seconds, in the place of the selected row's second line.
    pub fn notify(&mut self, text: impl Into<String>) {
        self.notice = Some((
            super::names::clean(&text.into()),
            self.now_ns.saturating_add(NOTICE_NS),
        ));
    }

    /// The notice to show now.
    pub(super) fn notice(&self) -> Option<&str> {
        self.notice
            .as_ref()
            .filter(|(_, until_ns)| self.now_ns < *until_ns)
            .map(|(text, _)| text.as_str())
    }

    /// Takes over what the model knows now. To be called before each frame; cheap while nothing changed.
    pub fn refresh(&mut self, model: &Model, size: (u16, u16)) {
        self.size = size;
        self.now_ns = model.now_ns();
        if let Some(at) = self.paused {
            self.behind = model.cycles_seen().saturating_sub(at);
            if model.status() != &Status::Live {
                // The end of the target is told in a paused view too.
                self.reading.status = model.status().clone();
            }
        } else {
            let inuse: HashMap<RowId, f64> = self
                .reading
                .sites
                .iter()
                .map(|s| (s.id, s.inuse.bytes))
                .collect();
            let query_before = self.reading.query;
            let before = self.on_screen();
            let cycles_before = self.reading.cycles_seen;
            if self.reading.update(model, self.query) {
                if cycles_before != self.reading.cycles_seen && query_before == self.query {
                    self.note_changes(&inuse);
                }
                let is_first = query_before != self.query || cycles_before == 0;
                self.note_growing(is_first);
                self.note_losses();
                let force = query_before != self.query;
                self.reorder(&before, force);
            }
        }
        if self.paused.is_none() && self.is_unsorted && !self.order_must_wait() {
            self.reorder_now();
        }
        if let Some(row) = self.stacks_needed() {
            if self.paused.is_none() {
                self.reading.add_stacks(model, row);
            }
            self.unfold_largest();
        }
    }

    /// The state for a reading that was made up, as tests do.
    #[must_use]
    pub fn with_reading(mut self, reading: Reading, size: (u16, u16)) -> Self {
        self.size = size;
        self.now_ns = reading.now_ns;
        let is_first = self.reading.sites.is_empty();
        self.reading = reading;
        self.note_growing(is_first);
        self.note_losses();
        self.reorder(&OnScreen::default(), true);
        self
    }

    /// The same on a terminal of another size.
    #[must_use]
    pub fn with_size(mut self, size: (u16, u16)) -> Self {
        self.size = size;
        self
    }

    fn note_changes(&mut self, before: &HashMap<RowId, f64>) {
        let now = self.now_ns;
        self.changed
            .retain(|_, at| now.saturating_sub(*at) < CHANGED_NS);
        for site in &self.reading.sites {
            let changed = before
                .get(&site.id)
                .is_some_and(|bytes| (site.inuse.bytes - bytes).abs() > site.inuse.bytes_err);
            if changed {
                self.changed.insert(site.id, now);
            }
        }
    }

    /// Whether a row's in-use has just changed by more than its error.
    pub(super) fn has_changed(&self, row: RowId) -> bool {
        self.changed
            .get(&row)
            .is_some_and(|at| self.now_ns.saturating_sub(*at) < CHANGED_NS)
    }

    /// Notes since when rows grow; of the first rows of a query nothing is news.
    fn note_growing(&mut self, is_first: bool) {
        let since = if is_first { 0 } else { self.now_ns };
        let before = std::mem::take(&mut self.growing);
        self.growing = self
            .reading
            .sites
            .iter()
            .filter(|site| is_growing(site))
            .map(|site| (site.id, before.get(&site.id).copied().unwrap_or(since)))
            .collect();
    }

    /// Whether a row was found to grow just now.
    pub(super) fn grows_newly(&self, row: RowId) -> bool {
        self.growing.get(&row).is_some_and(|at| {
            *at > 0 && self.now_ns.saturating_sub(*at) < NEWLY_GROWS_NS && !self.has_exited()
        })
    }

    fn note_losses(&mut self) {
        let lost = self.reading.losses.lost;
        if self.losses.back().map_or(0, |(_, lost)| *lost) != lost || self.losses.is_empty() {
            self.losses.push_back((self.now_ns, lost));
        }
        // One entry from before the window stays: what was lost within it is the difference.
        while self.losses.len() > 1 && self.now_ns.saturating_sub(self.losses[1].0) > LOSS_WINDOW_NS
        {
            self.losses.pop_front();
        }
    }

    /// Records lost in the last minute.
    pub(super) fn recently_lost(&self) -> u64 {
        match (self.losses.front(), self.losses.back()) {
            (Some((at, before)), Some((_, now))) => {
                let from = if self.losses.len() == 1
                    && self.now_ns.saturating_sub(*at) <= LOSS_WINDOW_NS
                {
                    // All that was ever lost came at once.
                    0
                } else {
                    *before
                };
                now.saturating_sub(from)
            }
            _ => 0,
        }
    }

    fn on_screen(&self) -> OnScreen {
        OnScreen {
            order: self.shown_rows().map(|row| row.id).collect(),
            cursor: self.cursor_index(),
        }
    }

    /// Brings `shown` up to date: in the order of the values, or in the one on the screen while that is held.
    fn reorder(&mut self, before: &OnScreen, force: bool) {
        let sites = &self.reading.sites;
        let (sort, objects) = (self.sort, self.objects);
        let mut wanted: Vec<usize> = (0..sites.len())
            .filter(|&i| self.filter.matches(&sites[i]))
            .collect();
        wanted.sort_by(|&a, &b| sort.compare(&sites[a], &sites[b], objects));
        if force || !self.order_must_wait() || before.order.is_empty() {
            self.last_sort_ns = self.now_ns;
            self.is_unsorted = false;
            self.shown = wanted;
        } else {
            let old: HashMap<RowId, usize> = before
                .order
                .iter()
                .enumerate()
                .map(|(at, id)| (*id, at))
                .collect();
            let mut held = wanted.clone();
            // New rows come behind the others, in their own order: the sort is stable.
            held.sort_by_key(|&i| old.get(&sites[i].id).copied().unwrap_or(usize::MAX));
            self.is_unsorted = held != wanted;
            self.shown = held;
        }
        if let Some(cursor) = self.cursor {
            let sites = &self.reading.sites;
            let index = self.shown.iter().position(|&i| sites[i].id == cursor);
            if let Some(index) = index {
                // The cursor keeps its site and its row of the screen.
                self.scroll = index.saturating_sub(before.cursor.saturating_sub(self.scroll));
            } else {
                let index = before.cursor.min(self.shown.len().saturating_sub(1));
                self.cursor = self.shown.get(index).map(|&i| sites[i].id);
            }
        }
    }

    /// Rows may not change places now.
    fn order_must_wait(&self) -> bool {
        self.is_held() || self.now_ns.saturating_sub(self.last_sort_ns) < SORT_NS
    }

    /// The cursor was moved just now: the row that it is about to open must not run away.
    fn is_held(&self) -> bool {
        self.last_move_ns
            .is_some_and(|at| self.now_ns.saturating_sub(at) < HOLD_NS)
    }

    /// The order on the screen is not that of the values, because the user looks at a row.
    pub(super) fn order_is_held(&self) -> bool {
        self.is_unsorted && self.is_held()
    }

    pub(super) fn reorder_now(&mut self) {
        let before = self.on_screen();
        self.reorder(&before, true);
    }

    /// The rows that pass the filter, in the order of the screen.
    pub(super) fn shown_rows(&self) -> impl ExactSizeIterator<Item = &SiteRow> {
        self.shown.iter().map(|&index| &self.reading.sites[index])
    }

    /// How many rows pass the filter.
    pub(super) fn n_shown(&self) -> usize {
        self.shown.len()
    }

    pub(super) fn shown_id(&self, index: usize) -> Option<RowId> {
        self.shown_rows().nth(index).map(|row| row.id)
    }

    /// How many rows the filter hides.
    pub(super) fn hidden(&self) -> usize {
        self.reading.sites.len() - self.shown.len()
    }

    /// Index of the cursor among the shown rows. Until the user moves it, it is the first.
    pub(super) fn cursor_index(&self) -> usize {
        let Some(cursor) = self.cursor else { return 0 };
        self.shown_rows()
            .position(|row| row.id == cursor)
            .unwrap_or(0)
    }

    /// The row under the cursor; in the detail, that of the detail.
    pub(super) fn selected(&self) -> Option<&SiteRow> {
        match &self.detail {
            Some(detail) => self.reading.site(detail.row),
            None => self.shown_rows().nth(self.cursor_index()),
        }
    }

    /// Identity of [`UiState::selected`].
    pub(super) fn selected_id(&self) -> Option<RowId> {
        self.selected().map(|row| row.id)
    }

    /// Filters the rows from now on.
    pub(super) fn set_filter(&mut self, filter: Filter) {
        self.filter = filter;
        self.reorder_now();
    }

    /// Sorts the rows from now on.
    pub(super) fn set_sort(&mut self, sort: Sort) {
        self.sort = sort;
        self.reorder_now();
    }

    /// Asks for other rows; not while paused, as those of the frozen moment are not kept.
    pub(super) fn ask(&mut self, query: Query) {
        if self.is_paused() {
            self.notify("paused: rows can be grouped otherwise after Space");
            return;
        }
        self.query = query;
        self.cursor = None;
        self.scroll = 0;
    }

    /// Freezes the view, with the stacks of the rows that may be looked into, or goes on.
    pub(super) fn toggle_pause(&mut self, model: &Model) {
        if self.paused.take().is_some() {
            self.behind = 0;
            return;
        }
        self.paused = Some(self.reading.cycles_seen);
        let rows: Vec<RowId> = self
            .shown_rows()
            .take(MAX_PAUSED_STACKS)
            .map(|row| row.id)
            .collect();
        for row in rows {
            self.reading.add_stacks(model, row);
        }
    }

    /// Whether the target has ended.
    pub(super) fn has_exited(&self) -> bool {
        self.reading.status != Status::Live
    }

    /// Names the active baseline; an empty name gives it its time back.
    pub(super) fn name_baseline(&mut self, name: &str) {
        let Some(baseline) = self.reading.baseline() else {
            return;
        };
        if name.is_empty() {
            self.baseline_names.remove(&baseline.at_ns);
        } else {
            self.baseline_names
                .insert(baseline.at_ns, super::names::clean(name));
        }
    }

    /// The name of a baseline: the user's, else `attach` or its time of day.
    pub(super) fn baseline_name(&self, index: usize) -> String {
        let Some(baseline) = self.reading.baselines.get(index) else {
            return "attach".to_owned();
        };
        self.baseline_names
            .get(&baseline.at_ns)
            .cloned()
            .unwrap_or_else(|| {
                self.reading
                    .baseline_name(baseline, self.options.utc_offset_s)
            })
    }

    /// The name of the active baseline.
    pub(super) fn active_baseline_name(&self) -> String {
        self.baseline_name(self.reading.active_baseline)
    }

    /// The row whose stacks are on the screen, if any: their frames are the names wanted next.
    pub fn wants_stacks(&self) -> Option<(Query, RowId)> {
        self.stacks_needed().map(|row| (self.reading.query, row))
    }

    /// Whether rows count every frame of their stacks: then all names are wanted.
    pub fn wants_all_frames(&self) -> bool {
        self.query.cumulative
    }

    /// The row whose stacks are on the screen.
    fn stacks_needed(&self) -> Option<RowId> {
        match &self.detail {
            _ if self.tab != Tab::Sites => None,
            Some(detail) => Some(detail.row),
            None if Layout::of(self.size, self).side.is_some() => self.selected_id(),
            None => None,
        }
    }

    fn unfold_largest(&mut self) {
        let Some(detail) = &mut self.detail else {
            return;
        };
        if detail.is_touched {
            return;
        }
        let Some(stacks) = self.reading.stacks.get(&detail.row) else {
            return;
        };
        let Some(largest) = stacks.first().map(|stack| stack.id) else {
            return;
        };
        if !detail.unfolded.contains(&largest) {
            detail.unfolded = HashSet::from([largest]);
            detail.place = Place {
                stack: largest,
                frame: None,
            };
        }
    }
}

/// The order of the rows before it is worked out anew.
#[derive(Default)]
struct OnScreen {
    order: Vec<RowId>,
    /// Index of the cursor.
    cursor: usize,
}
