//! What a verdict rests on, as numbers.

use super::Word;
use super::clock::Clock;
use super::estimate::Slope;
use super::series::Spread;
use super::track::Track;

/// What growth keeps step with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GrowingPer {
    /// With time: by the wall clock it is seen, and the load explains it no better.
    Time,
    /// With the load: only by the load clock it is seen, or that one fits clearly better.
    Load,
}

/// What an answer still needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Samples: more must arrive than depart, by this many, before growth could be told. 0: samples are not what is
    /// missing.
    pub samples: u32,
    /// GC cycles.
    pub cycles: u32,
    /// About how long until there is an answer, in seconds, if all goes on like this. `None`: not foreseeable.
    pub seconds: Option<u64>,
}

/// The numbers behind a word, all finite. What a word has no use for is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Slope per minute, at the present load: `growing` alone, and only if the wall clock speaks.
    pub per_min: Option<Slope>,
    /// Slope per unit of load, in the unit that [`super::Clock::look`] is told: `growing` alone.
    pub per_load: Option<Slope>,
    /// What the growth keeps step with: `growing` alone.
    pub growing_per: Option<GrowingPer>,
    /// Samples that became veterans within `minutes`.
    pub samples_born: u32,
    /// Veterans that died within `minutes`.
    pub samples_died: u32,
    /// GC cycles within `minutes`.
    pub cycles: u32,
    /// Length of the window that speaks, in minutes; of the longest that is judged where none does.
    pub minutes: f64,
    /// The age in seconds from which samples count at the level that speaks: 15, 600 or 1800.
    pub age_seconds: u32,
    /// Veterans of the youngest level that live now, in samples, with those from before the attach.
    pub samples_now: u32,
    /// Growth in bytes per minute is below this (95 %): `steady` alone.
    pub steady_below_bytes_per_min: Option<f64>,
    /// Growth in objects per minute is below this (95 %): `steady` alone.
    pub steady_below_objects_per_min: Option<f64>,
    /// What an answer needs: `collecting` alone.
    pub missing: Option<Missing>,
    /// When this word began, monotonic nanoseconds.
    pub since_ns: u64,
}

/// The evidence for a word, without `since_ns`; `bound` is that of the growth, in samples per minute.
pub(super) fn of(
    track: &Track,
    clock: &Clock,
    spread: &Spread,
    word: Word,
    bound: f64,
) -> Evidence {
    let _ = (track, clock, spread, word, bound);
    Evidence::default()
}
