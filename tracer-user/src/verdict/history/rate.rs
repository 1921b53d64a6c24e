//! Mean growth since the start.

use super::rules::Z;
use crate::verdict::Estimate;

/// Factor by which the interval is widened both ways: a day of a load that swings by 60 % moves the mean by more than
/// chance does.
const LOAD_SWING: f64 = 1.25;
const MINUTE_S: f64 = 60.0;

/// Samples that an entity has kept since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Kept {
    /// Bytes that they stand for.
    pub bytes: f64,
    /// Sum of the squared weights.
    pub squares: f64,
}

impl Kept {
    /// Adds so many samples of one weight.
    pub fn add(&mut self, samples: f64, bytes: f64) {
        self.bytes += samples * bytes;
        self.squares += samples * bytes * bytes;
    }
}

/// Returns the mean growth per minute over `seconds`, with its 90 % interval; `None` without any.
pub fn since_start(kept: Kept, seconds: f64) -> Option<Estimate> {
    let minutes = seconds / MINUTE_S;
    if kept.bytes <= 0.0 || minutes <= 0.0 {
        return None;
    }
    let error = Z * kept.squares.sqrt();
    Some(Estimate {
        value: kept.bytes / minutes,
        low: (kept.bytes - error).max(0.0) / LOAD_SWING / minutes,
        high: (kept.bytes + error) * LOAD_SWING / minutes,
    })
}
