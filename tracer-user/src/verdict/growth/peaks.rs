//! Slope of the resident set as it is measured, beside the rate that follows from what grows.
//!
//! The resident set of a Go program moves with its GC: it rises towards the goal of a cycle and may fall behind it. So one
//! point is the highest reading between two marks, which depends on the goal and not on the phase of the cycle.

use super::{
    evidence::WIDER,
    history::{History, Sample, since},
    trend::{Noise, Point, Trend},
};
use crate::verdict::Estimate;

/// Least time that one peak covers. The resident set is read once a second, so that cycles in quick succession share a
/// peak: each peak has several readings, and does not depend on the phase of the cycle in which one of them is made.
const LEAST_GAP_S: f64 = 5.0;
/// Peaks below which there is no slope. Four give an interval, but the first of them lies before the goal that the growth
/// has raised, and decides among so few.
const MIN_PEAKS: usize = 6;
/// Least time from the first to the last peak. Below, page faults of code that runs for the first time and one span that is
/// kept or not weigh as much as a leak.
const MIN_SPAN_S: f64 = 75.0;
/// Noise of a resident set: a part that wanders, and white noise of 0.1 MiB, by which the kernel's counters of several
/// threads are behind.
const NOISE: Noise = Noise {
    walks: &[0.0, 0.001, 0.01, 0.1, 1.0, 10.0],
    fast_walks: &[],
    white: 0.1 * 1_048_576.0,
};

/// Peaks of the resident set, and their slope.
#[derive(Clone, Debug)]
pub struct ResidentPeaks {
    history: History,
    gap: Option<Gap>,
}

/// The time since the mark that ended the last peak.
#[derive(Clone, Copy, Debug)]
struct Gap {
    from_s: f64,
    highest: Option<f64>,
}

impl Default for ResidentPeaks {
    fn default() -> Self {
        Self {
            // Peaks are at least as far apart as this.
            history: History::new(LEAST_GAP_S / 2.0),
            gap: None,
        }
    }
}

impl ResidentPeaks {
    /// Adds a reading of the resident set.
    pub fn push(&mut self, bytes: f64) {
        // What is read before the first mark belongs to a gap of unknown length.
        if let Some(gap) = &mut self.gap {
            gap.highest = Some(gap.highest.map_or(bytes, |highest| highest.max(bytes)));
        }
    }

    /// Notes a mark termination, which ends a peak.
    pub fn push_mark(&mut self, at_s: f64) {
        if let Some(gap) = self.gap
            && at_s < gap.from_s + LEAST_GAP_S
        {
            return;
        }
        let ended = self.gap.replace(Gap {
            from_s: at_s,
            highest: None,
        });
        if let Some(gap) = ended
            && let Some(value) = gap.highest
        {
            self.history.push(Sample {
                at_s: f64::midpoint(gap.from_s, at_s),
                value,
                weight: 1.0,
                ..Sample::default()
            });
        }
    }

    /// Slope per minute of the peaks since `from_s`; `None` while they are too few, or the time is too short.
    pub fn per_min(&self, from_s: f64) -> Option<Estimate> {
        let samples: Vec<Sample> = self.history.samples().collect();
        let points: Vec<Point> = since(&samples, from_s).iter().map(Sample::point).collect();
        let span_s = points.last()?.at_s - points.first()?.at_s;
        if points.len() < MIN_PEAKS || span_s < MIN_SPAN_S {
            return None;
        }
        Some(Trend::fit(&points, NOISE)?.per_min.widened(WIDER))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: f64 = 1_048_576.0;

    /// A resident set of `mib` at each second, with a mark every `gap_s`, for so many seconds.
    fn peaks(seconds: u32, gap_s: u32, mib: impl Fn(f64) -> f64) -> ResidentPeaks {
        let mut peaks = ResidentPeaks::default();
        for second in 0..seconds {
            let at_s = f64::from(second);
            peaks.push(mib(at_s) * MIB);
            if second % gap_s == 0 {
                peaks.push_mark(at_s);
            }
        }
        peaks
    }

    fn slope(peaks: &ResidentPeaks, from_s: f64) -> Option<[f64; 3]> {
        let Estimate { value, low, high } = peaks.per_min(from_s)?;
        Some([value, low, high].map(|bytes| bytes / MIB))
    }

    /// A resident set that grows by 6 MiB a minute under a saw-tooth of 20 MiB.
    fn tooth(gap_s: f64) -> impl Fn(f64) -> f64 {
        move |at_s| 100.0 + 0.1 * at_s + 20.0 * (at_s / gap_s).fract()
    }

    #[test]
    fn measures_the_slope_under_a_saw_tooth() {
        for gap_s in [1, 3, 10, 17, 30] {
            let [value, low, high] =
                slope(&peaks(300, gap_s, tooth(f64::from(gap_s))), 0.0).expect("a slope");
            assert!((value - 6.0).abs() < 0.5, "{gap_s}: {value}");
            assert!(low <= 6.0 && 6.0 <= high, "{gap_s}: {low} to {high}");
        }
    }

    #[test]
    fn measures_over_the_window_alone() {
        let mib = |at_s: f64| 100.0 + 0.1 * (at_s - 300.0).max(0.0);
        let [value, ..] = slope(&peaks(600, 10, mib), 300.0).expect("a slope");
        assert!((value - 6.0).abs() < 0.5, "{value}");
    }

    #[test]
    fn measures_nothing_while_the_saw_tooth_decides() {
        assert_eq!(slope(&peaks(70, 5, tooth(5.0)), 0.0), None, "too short");
        let rare = peaks(300, 60, tooth(60.0));
        assert_eq!(slope(&rare, 0.0), None, "four peaks");
        let mut no_gc = ResidentPeaks::default();
        for second in 0..600_u32 {
            no_gc.push(f64::from(second));
        }
        assert_eq!(slope(&no_gc, 0.0), None, "no peak without a GC");
    }
}
