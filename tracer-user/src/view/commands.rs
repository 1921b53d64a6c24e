//! The one table of what can be done and by which key: the keyboard, help, palette and key line all read it, so that
//! they cannot disagree.

use super::input::Key;
use super::order::SortKey;
use super::tabs::Tab;

/// Something the user can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// End heaptop.
    Quit,
    /// Show or close the help.
    Help,
    /// Choose from all commands.
    Palette,
    /// One step back.
    Back,
    /// Freeze the view or go on.
    Pause,
    /// Make now the baseline.
    MarkBaseline,
    /// Show the diagnosis in words, or close it.
    Why,
    /// Another view.
    View(Tab),
    /// The view to the right.
    NextView,
    /// The view to the left.
    PreviousView,
    /// Choose a baseline.
    Baselines,
    /// Give the active baseline a name.
    NameBaseline,
    /// Growth since the baseline, or absolute figures.
    Since,
    /// Bytes or objects.
    Unit,
    /// Copy what is selected or open, as text.
    Copy,
    /// Save a pprof profile.
    Export,
    /// Stop heaptop as a shell does.
    Suspend,
    /// Draw everything again.
    Redraw,
    /// One line up.
    Up,
    /// One line down.
    Down,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// Half a page up.
    HalfUp,
    /// Half a page down.
    HalfDown,
    /// To the first line.
    First,
    /// To the last line.
    Last,
    /// Columns to the left.
    Left,
    /// Columns to the right.
    Right,
    /// Open the selected row; fold or unfold a stack.
    Open,
    /// Type a filter.
    Filter,
    /// Show all rows again.
    ClearFilter,
    /// Sort by a column; again: reverse.
    Sort(SortKey),
    /// Choose a column to sort by.
    SortMenu,
    /// Choose what a row is.
    GroupMenu,
    /// Count a site with what it calls.
    Cumulative,
    /// Fold or unfold the runtime's frames.
    RuntimeFrames,
    /// The site before this one, in the order of the table.
    PreviousSite,
    /// The site after this one.
    NextSite,
    /// Detail beside the table on wide screens, on or off.
    SidePanel,
}

/// Where a key works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In every view.
    Everywhere,
    /// In the table.
    Table,
    /// In a site's stacks.
    Detail,
    /// In the table and in a site's stacks.
    Sites,
}

/// What is in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The table of sites.
    Table,
    /// The stacks of a site.
    Detail,
    /// Another view than Sites.
    Other(Tab),
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// What it does.
    pub command: Command,
    /// The keys, as they arrive.
    pub keys: &'static [Key],
    /// The keys, as they are written.
    pub label: &'static str,
    /// What it does, in words.
    pub what: &'static str,
    /// Where it works.
    pub scope: Scope,
}

const fn entry(
    command: Command,
    keys: &'static [Key],
    label: &'static str,
    what: &'static str,
    scope: Scope,
) -> Entry {
    Entry {
        command,
        keys,
        label,
        what,
        scope,
    }
}

use Key::{Char, Ctrl};
use Scope::{Detail, Everywhere, Sites, Table};

/// Every command, in the order of help and palette.
#[rustfmt::skip] // A table reads by its columns.
pub const ENTRIES: &[Entry] = &[
    entry(Command::Down, &[Char('j'), Key::Down], "j Down", "one line down", Everywhere),
    entry(Command::Up, &[Char('k'), Key::Up], "k Up", "one line up", Everywhere),
    entry(Command::PageDown, &[Key::PageDown], "PgDn", "a page down", Everywhere),
    entry(Command::PageUp, &[Key::PageUp], "PgUp", "a page up", Everywhere),
    entry(Command::HalfDown, &[Ctrl('d')], "Ctrl-D", "half a page down", Everywhere),
    entry(Command::HalfUp, &[Ctrl('u')], "Ctrl-U", "half a page up", Everywhere),
    entry(Command::First, &[Char('g'), Key::Home], "g Home", "to the first", Everywhere),
    entry(Command::Last, &[Char('G'), Key::End], "G End", "to the last", Everywhere),
    entry(Command::Left, &[Char('h'), Key::Left], "h Left", "columns to the left", Table),
    entry(Command::Right, &[Char('l'), Key::Right], "l Right", "columns that do not fit", Table),
    entry(Command::Open, &[Key::Enter], "Enter", "open a site; fold a stack", Sites),
    entry(Command::Back, &[Key::Esc], "Esc", "one step back", Everywhere),
    entry(Command::Why, &[Char('D')], "D", "why: the diagnosis in words", Everywhere),
    entry(Command::View(Tab::Sites), &[Char('1')], "1", "view of sites", Everywhere),
    entry(Command::View(Tab::Gc), &[Char('3')], "3", "view of GC cycles", Everywhere),
    entry(Command::View(Tab::Goroutines), &[Char('4')], "4", "view of goroutines", Everywhere),
    entry(Command::View(Tab::Memory), &[Char('5')], "5", "view of the memory", Everywhere),
    entry(Command::NextView, &[Key::Tab], "Tab", "the next view", Everywhere),
    entry(Command::PreviousView, &[Key::BackTab], "Shift-Tab", "the view before", Everywhere),
    entry(Command::PreviousSite, &[Char('<')], "<", "the site before", Detail),
    entry(Command::NextSite, &[Char('>')], ">", "the next site", Detail),
    entry(Command::Sort(SortKey::Verdict), &[Char('v')], "v", "sort by verdict", Table),
    entry(Command::Sort(SortKey::Growth), &[Char('w')], "w", "sort by growth since", Table),
    entry(Command::Sort(SortKey::InUse), &[Char('i')], "i", "sort by in-use", Table),
    entry(Command::Sort(SortKey::Rate), &[Char('r')], "r", "sort by growth/min", Table),
    entry(Command::Sort(SortKey::Objects), &[Char('o')], "o", "sort by objects/min", Table),
    entry(Command::Sort(SortKey::Alloc), &[Char('a')], "a", "sort by alloc/s", Table),
    entry(Command::SortMenu, &[Char('s')], "s", "sort by any column", Table),
    entry(Command::Since, &[Char('d')], "d", "since / absolute", Everywhere),
    entry(Command::Unit, &[Char('u')], "u", "bytes / objects", Sites),
    entry(Command::Cumulative, &[Char('c')], "c", "flat / cumulative", Table),
    entry(Command::GroupMenu, &[Char('f')], "f", "group rows by ...", Table),
    entry(Command::RuntimeFrames, &[Char('x')], "x", "runtime frames in stacks", Sites),
    entry(Command::SidePanel, &[], "", "stacks beside the table, from 200x50", Table),
    entry(Command::Filter, &[Char('/')], "/", "type a filter, !word excludes", Table),
    entry(Command::ClearFilter, &[], "", "clear the filter", Table),
    entry(Command::MarkBaseline, &[Char('b')], "b", "mark a baseline", Everywhere),
    entry(Command::Baselines, &[Char('B')], "B", "list of baselines", Everywhere),
    entry(Command::NameBaseline, &[], "", "rename the active baseline", Everywhere),
    entry(Command::Pause, &[Char(' ')], "Space", "pause the view", Everywhere),
    entry(Command::Copy, &[Char('y')], "y", "copy the facts as text", Everywhere),
    entry(Command::Export, &[Char('e')], "e", "export a pprof profile", Everywhere),
    entry(Command::Palette, &[Char(':')], ":", "every action", Everywhere),
    entry(Command::Help, &[Char('?'), Key::F(1)], "? F1", "this help", Everywhere),
    entry(Command::Suspend, &[Ctrl('z')], "Ctrl-Z", "suspend", Everywhere),
    entry(Command::Redraw, &[Ctrl('l')], "Ctrl-L", "draw again", Everywhere),
    entry(Command::Quit, &[Char('q'), Ctrl('c')], "q Ctrl-C", "quit", Everywhere),
];

/// What a key does with that in front.
pub fn of_key(key: Key, mode: Mode) -> Option<Command> {
    ENTRIES
        .iter()
        .find(|entry| works(entry, mode) && entry.keys.contains(&key))
        .map(|entry| entry.command)
}

/// Whether an entry works with that in front.
pub fn works(entry: &Entry, mode: Mode) -> bool {
    match entry.scope {
        Everywhere => true,
        Table => mode == Mode::Table,
        Detail => mode == Mode::Detail,
        Sites => matches!(mode, Mode::Table | Mode::Detail),
    }
}

/// Entries whose words or keys hold all words of `text`, for the palette.
pub fn search(text: &str, mode: Mode) -> Vec<&'static Entry> {
    let text = text.to_lowercase();
    ENTRIES
        .iter()
        .filter(|entry| works(entry, mode))
        .filter(|entry| {
            text.split_whitespace()
                .all(|word| entry.what.contains(word))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_has_two_meanings() {
        let mut seen = Vec::new();
        for entry in ENTRIES {
            for key in entry.keys {
                assert!(!seen.contains(key), "{key:?}");
                seen.push(*key);
            }
        }
    }

    #[test]
    fn keys_of_views_to_come_stay_free() {
        let modes = [Mode::Table, Mode::Detail, Mode::Other(Tab::Gc)];
        for key in "26mnN,.".chars().map(Char) {
            for mode in modes {
                assert_eq!(of_key(key, mode), None, "{key:?}");
            }
        }
    }
}
