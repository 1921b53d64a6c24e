//! Growth of whole series of a process: its live heap, goroutines, stacks, memory outside Go.
//!
//! Knows nothing of Go, samples or call sites: readings with a time come in, a word with a rate and its evidence comes
//! out. [`HeapGrowth`] judges the live heap after each GC, [`SeriesGrowth`] the exact series beside it.
//!
//! Readings of bursts are left out first (`excursions`). A window of the rest is fitted with a line whose slope is a
//! probability distribution (`trend`). Growth is the probability of a slope at or below zero, with limits on its
//! deceleration, on the load (`load`) and on saw-teeth (`teeth`); `evidence` puts these together for one evaluation, and
//! `judge` gives words that hold over time until `withdrawal` contradicts them; `forecast` estimates when an answer comes.

mod evidence;
mod excursions;
mod forecast;
mod heap;
mod history;
mod judge;
mod load;
mod past;
mod peaks;
mod rare;
mod series;
mod student;
mod teeth;
mod trend;
mod withdrawal;

pub use forecast::{ANSWER_BOUND_MIB, Awaits, Delay, Forecast, LOOK_S};
pub use heap::{HeapGrowth, Mark};
pub use load::LoadChange;
pub use past::{EstimatedLive, Past, TIMER_GAP_S};
pub use peaks::ResidentPeaks;
pub use series::{SeriesGrowth, SeriesKind};
pub use teeth::median;

use super::{Estimate, Word};
use trend::Trend;

/// Judgement of a series at one evaluation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judged {
    /// `growing`, `probably growing`, `warming`, `steady` or `collecting`.
    pub word: Word,
    /// Rate of the whole series, growing or not. `None` while the points are too few.
    pub rate: Option<Rate>,
    /// Growth per minute that is not exceeded with 95 % probability, over the longest window: the bound of `steady`.
    pub bound_per_min: Option<f64>,
    /// Rate of the part in large objects with its 90 % interval; `None` where that part is unknown or did not change, and while
    /// the points are too few.
    pub large_per_min: Option<Estimate>,
    /// Reason for a lower word than the rate alone would give.
    pub remark: Option<Remark>,
    /// Time of the answer, as far as it can be estimated; `None` before the first evaluation.
    pub forecast: Option<Forecast>,
}

/// Rate of a series with its evidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Rate per minute with its 90 % interval.
    pub per_min: Estimate,
    /// Probability that the series does not rise. `None` for three rare marks, to which no line was fitted.
    pub p_flat: Option<f64>,
    /// Probability that the rate at the end of the window is at most half of that at its start.
    pub p_slowing: Option<f64>,
    /// Start of the window, seconds after the attach; negative before it.
    pub from_s: f64,
}

impl Rate {
    fn of(trend: &Trend, from_s: f64) -> Self {
        Self {
            from_s,
            per_min: trend.per_min,
            p_flat: Some(trend.p_flat),
            p_slowing: Some(trend.p_slowing),
        }
    }
}

/// Reason for a lower word than the rate alone would give.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Remark {
    /// The watch is too short for a word.
    TooEarly {
        /// Seconds until it is long enough.
        in_s: f64,
    },
    /// More points are needed for a rate.
    MissingMarks {
        /// Number of them.
        missing: usize,
    },
    /// The load rose as well, and explains the growth.
    FollowsLoad(LoadChange),
    /// The series fell twice from about its present height, so it may fall again.
    SawTooth {
        /// Value above which this no longer counts.
        level: f64,
    },
    /// Growth was reported and has stopped.
    Stopped {
        /// Time of the evaluation that withdrew it.
        at_s: f64,
    },
}

#[cfg(test)]
mod tests;
