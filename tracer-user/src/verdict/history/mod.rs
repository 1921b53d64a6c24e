//! Verdicts from history: what a profile that was recorded since the start of the process says of each path at once.
//!
//! Pure, and without knowledge of buckets or names. A path that kept nearly all it ever allocated, and is born at its mean
//! pace *now*, has grown in a line since the start. The history replaces most of a watch: what is left to measure is that
//! births go on. That is a sequential likelihood ratio of two paces, the mean since the start against a quarter of it, and
//! takes about nine births.
//!
//! [`Life`] holds facts of the process, [`Before`] those of one entity from before the attach. A [`Track`] judges one
//! entity from then on: births come with [`Track::born`], and [`Track::look`] gives the judgment, each second or less
//! often. An entity is a path (call site and outermost frame), or a group of paths: all that pass one frame. [`groups()`]
//! finds those. Only keepers count towards a group, chosen by their counts from before the watch alone, so that the test of
//! their births stays valid.
//!
//! The constants were found by simulation of allocation behaviours: leaks, tables, caches that fill or are full, entries
//! that expire, sessions, batches.

mod groups;
mod rate;
mod rules;
mod track;

pub use groups::{Group, groups};
pub use rate::{Kept, since_start};
pub use track::mean_due;
pub use track::{Judgment, Look, Track};

/// Facts of the process from before the attach, for all of its entities.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Life {
    /// Uptime at the attach, seconds.
    pub uptime_s: f64,
    /// Uptime up to which [`Before::births`] counts, seconds: that of the GC with which the first piece begins.
    pub recorded_s: f64,
    /// Load up to then: births of the whole process, in samples.
    pub load: f64,
    /// Time from then to the attach, oldest first: between the last GC cycles, as far as their births are kept apart.
    pub pieces: Vec<Piece>,
}

/// A time before the attach with births of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Piece {
    /// Its length in seconds.
    pub seconds: f64,
    /// Births of the whole process in it, in samples.
    pub load: f64,
}

/// Counts of one entity from before the attach.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Before {
    /// Samples born up to the first piece.
    pub births: f64,
    /// Births in each piece of [`Life::pieces`].
    pub in_pieces: Vec<f64>,
    /// Deaths of samples up to the last GC before the attach whose sweep is known.
    pub deaths: f64,
    /// Births that these deaths are of: all but those of the last piece.
    pub judged: f64,
}

impl Before {
    /// True if the entity kept nearly all of its births, so that it may be a member of a group.
    pub fn is_keeper(&self) -> bool {
        rules::is_member(self)
    }
}

/// Verdict of the history of an entity.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Says {
    /// It kept nearly all it ever allocated, and goes on at its mean pace.
    Growing,
    /// It kept nearly all, and now grows at less than a quarter of its mean pace.
    Filled,
    /// It kept nearly all; births so far decide nothing.
    Undecided {
        /// Seconds until they will, about. `None` if no number of births will, as when the load has risen.
        answer_in_s: Option<f64>,
    },
    /// It kept nearly all, and now grows at more than twice its mean pace: it began lately.
    Burst {
        /// Upper bound of the age of that growth, seconds.
        began_at_most_s: f64,
    },
    /// It frees what it allocates, has too few births, or the process is too young.
    #[default]
    Nothing,
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
