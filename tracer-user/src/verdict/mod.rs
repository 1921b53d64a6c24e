//! Verdicts: whether what is live at a call site grows, as a word with its evidence.
//!
//! Pure, and without knowledge of Go, buckets or names: samples with weights are born and die, collections end, looks
//! come every 15 s. [`Veterans`] turns samples into arrivals and departures of those that have proved to live long,
//! [`Clock`] keeps what is common to the process (looks, collections, load), and a [`Track`] judges one entity: a call
//! site, all that is under one common frame, a group of goroutines.
//!
//! The idea: in a steady state, whatever the lifetimes, as many veterans arrive as depart. Growth is more arriving than
//! departing, in each third of a window, at a rate that does not fall, beyond the highest count seen before, and beyond
//! what a rise of the load explains. The constants were found by simulation of allocation behaviours, and recorded
//! streams of that simulation are replayed by the tests: the words are the same look by look.
//!
//! In the order of events: the deaths that a sweep shows come before the [`Veterans::gc`] of that sweep, and all that
//! happened up to a look comes before the look. A look is [`Clock::look`], [`Veterans::look`], then [`Track::look`] of
//! every track with the sum of its flows (an empty one where nothing happened).

mod clock;
mod estimate;
mod evidence;
mod flow;
pub mod growth;
pub mod history;
mod rules;
mod series;
mod track;
mod veterans;
mod windows;

pub use clock::Clock;
pub use estimate::{Estimate, Slope, Z_90, wilson};
pub use evidence::{ENOUGH_SAMPLES, Evidence, GrowingPer, LEAST_CYCLES, Missing};
pub use flow::{Flow, LevelFlow, Side, Weight};
pub use track::Track;
pub use veterans::{MAX_SAMPLES, Survivors, Veterans};

/// Time between two looks: half the shortest third of a window would be too coarse, and shorter ones cost more.
pub const LOOK_NS: u64 = 15 * SECOND_NS;
/// A second.
pub(crate) const SECOND_NS: u64 = 1_000_000_000;
/// Looks in a minute.
const LOOKS_PER_MIN: f64 = 4.0;
/// Levels of veterans.
pub const N_LEVELS: usize = 3;
/// Ages in nanoseconds that make a veteran of each level, beside having outlived [`CYCLES`] collections: 15 s finds a
/// leak within minutes, 10 and 30 min find the leak below a turnover that has died by then.
pub const AGES_NS: [u64; N_LEVELS] = [15 * SECOND_NS, 600 * SECOND_NS, 1800 * SECOND_NS];
/// Collections that a veteran has outlived: the first may have begun before it was born.
pub const CYCLES: u32 = 2;
/// Looks that are remembered: 60 minutes. The longest window is 48, and a fall before it hides what is small.
pub const HISTORY: usize = 240;

/// What is said of an entity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Word {
    /// Not yet known; the evidence says what is missing.
    #[default]
    Collecting,
    /// Growth, if any, is below a bound that the evidence names.
    Steady,
    /// It grows, less and less.
    Warming,
    /// It grows, and by what is seen will go on: a leak, or a cache that has not yet reached its bound.
    Growing,
    /// It very likely grows, but not as surely as [`Self::Growing`] wants.
    ProbablyGrowing,
    /// Part of a leak that grows as a whole. Never a word of this engine: the model gives it to rows whose own word would
    /// contradict that of their leak.
    PartOfLeak,
    /// Much is born, and hardly any of it lives.
    Churn,
    /// Nothing was born and nothing died for 8 minutes.
    Idle,
}

impl Word {
    /// The word in text and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Collecting => "collecting",
            Self::Steady => "steady",
            Self::Warming => "warming",
            Self::Growing => "growing",
            Self::ProbablyGrowing => "probably_growing",
            Self::PartOfLeak => "part_of_leak",
            Self::Churn => "churn",
            Self::Idle => "idle",
        }
    }

    /// True for growth that goes on, certain or probable.
    pub fn is_growth(self) -> bool {
        matches!(self, Self::Growing | Self::ProbablyGrowing)
    }

    /// True for what is known not to grow, up to its bound.
    pub fn is_quiet(self) -> bool {
        matches!(self, Self::Steady | Self::Churn | Self::Idle)
    }
}

/// What is said of an entity, and why.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// The word.
    pub word: Word,
    /// What it rests on.
    pub evidence: Evidence,
}

#[cfg(test)]
mod tests;
