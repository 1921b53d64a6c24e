//! How a look cuts time: eleven windows that end now, each by two clocks and for three levels. All of it is common to
//! the entities of a process, so it is worked out once a look.

use super::clock::{Clock, Look};
use super::{LOOKS_PER_MIN, N_LEVELS};

/// Lengths of the windows in looks: 2, 2.5, 3, 4, 6, 8, 12, 16, 24, 32, 48 minutes. Short ones find what is fast, long
/// ones what is slow or irregular.
pub(super) const WINDOWS: [usize; N_WINDOWS] = [8, 10, 12, 16, 24, 32, 48, 64, 96, 128, 192];
/// Number of windows.
pub(super) const N_WINDOWS: usize = 11;
/// The clock on the wall.
pub(super) const WALL: usize = 0;
/// The clock that goes on with the load.
pub(super) const LOAD: usize = 1;
/// Number of clocks.
pub(super) const N_CLOCKS: usize = 2;

/// Departures are believed to be up to a quarter more than seen: changes of load that are not seen.
const MARGIN: f64 = 1.25;
/// Above this a rise of load is no longer believed to be what fills the heap.
const MAX_RATIO: f64 = 4.0;
/// The drift of load within a window is reckoned from its first to its last third, of which the whole has 1.5 times.
const THIRDS_TO_WINDOW: f64 = 1.5;
/// Looks from which a window may mistake a drift of the load: 6 minutes.
const DRIFT_FROM: usize = 24;
/// Longest window that is held against a rising load: 24 minutes.
const FOLLOWS_TO: usize = 96;
/// What floating point may have lost of a cut that should be on a look.
pub(super) const TINY: f64 = 1e-9;

/// A window at a level by a clock, as of the present look. Places are among [`Clock::looks`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Plan {
    /// Whether there is enough: it began after the first look that counts, and each third has a collection and births
    /// that were judged.
    pub(super) valid: bool,
    /// Where its thirds begin and end.
    pub(super) cuts: [usize; 4],
    /// By how much the flow of each third must be scaled for having judged more or fewer births than a third of all.
    pub(super) even: [f64; 3],
    /// Width by this clock, in looks or load.
    pub(super) width: f64,
    /// Departures count this many times: the load now against the quietest when they may have been born, and a margin.
    pub(super) rho: f64,
    /// What share of what lived at the start an unseen rise of load may have added; `None`: too short for one.
    pub(super) drift: Option<f64>,
    /// What share a rise of load that goes on has added; `None`: it does not rise, or is not held against this window.
    pub(super) follows: Option<f64>,
}

impl Plan {
    /// The plan of a level, window and clock.
    pub(super) fn of(plans: &[Self], level: usize, window: usize, clock: usize) -> &Self {
        &plans[(level * N_WINDOWS + window) * N_CLOCKS + clock]
    }
}

/// All plans of the present look, for [`Plan::of`].
pub(super) fn plans(clock: &Clock) -> Vec<Plan> {
    let mut plans = Vec::with_capacity(N_LEVELS * N_WINDOWS * N_CLOCKS);
    for level in 0..N_LEVELS {
        for window in 0..N_WINDOWS {
            for by in [WALL, LOAD] {
                plans.push(plan(clock, level, window, by));
            }
        }
    }
    plans
}

/// Time since the oldest look, by a clock.
pub(super) fn reading(clock: &Clock, by: usize, at: usize) -> f64 {
    match by {
        WALL => at as f64,
        _ => clock.looks()[at].load - clock.looks()[0].load,
    }
}

/// The last look at which the clock read no more than `reading`; the oldest where none did.
pub(super) fn place(clock: &Clock, by: usize, reading: f64) -> usize {
    let newest = clock.looks().len() - 1;
    let upto = reading + TINY;
    if by == WALL {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast from f64 saturates, and less than 0 is the oldest"
        )]
        let at = upto.floor().max(0.0) as usize;
        return at.min(newest);
    }
    let from = clock.looks()[0].load;
    let beyond = clock
        .looks()
        .partition_point(|look| look.load - from <= upto);
    beyond.saturating_sub(1)
}

/// Births that have been judged, and deaths that have been seen, up to a look, by a clock.
pub(super) fn judged(look: &Look, level: usize, by: usize) -> (f64, f64) {
    match by {
        WALL => (look.known[level], look.swept),
        _ => (look.known_load[level], look.swept_load),
    }
}

fn plan(clock: &Clock, level: usize, window: usize, by: usize) -> Plan {
    let looks = clock.looks();
    let newest = looks.len() - 1;
    let now = reading(clock, by, newest);
    let width = match by {
        WALL => WINDOWS[window] as f64,
        // By the mean load since the attach: that of the last hour would be another by day than by night.
        _ => clock.now().load / f64::from(clock.number().max(1)) * WINDOWS[window] as f64,
    };
    let at = [3.0, 2.0, 1.0, 0.0].map(|left| now - width * left / 3.0);
    let cuts = at.map(|x| place(clock, by, x));
    let known = cuts.map(|cut| judged(&looks[cut], level, by).0);
    let steps = [0, 1, 2].map(|j| known[j + 1] - known[j]);
    let with_gc = (0..3).all(|j| looks[cuts[j + 1]].cycles > looks[cuts[j]].cycles);
    let valid = at[0] >= 0.0
        && cuts[0] >= clock.first(level)
        && newest - cuts[0] >= 4
        && with_gc
        && steps.iter().all(|&step| step > 0.0);
    if !valid {
        return Plan::default();
    }
    let load = |from: usize, to: usize| looks[to].load - looks[from].load;
    let ratio = ratio(
        &looks[cuts[0]],
        clock.now(),
        newest - cuts[0],
        level,
        window,
    );
    let thirds = [0, 1, 2].map(|j| {
        let seen = load(cuts[j], cuts[j + 1]).max(1.0);
        (seen, (cuts[j + 1] - cuts[j]).max(1) as f64)
    });
    let [(l1, t1), (l2, t2), (l3, t3)] = thirds;
    let noise = (1.0 / l1 + 1.0 / l3).sqrt();
    let unseen = THIRDS_TO_WINDOW * (l3 / t3 / l1 * t1 * noise.exp() - 1.0);
    let rise = THIRDS_TO_WINDOW * (l3 / t3 / l1 * t1 * (-noise).exp() - 1.0);
    let rising = l3 / t3 / l2 * t2 * (-noise).exp() > 1.0;
    let is_followed = by == WALL && WINDOWS[window] <= FOLLOWS_TO && rising && rise > 0.0;
    let has_load = load(cuts[0], newest) > 0.0;
    Plan {
        valid,
        cuts,
        even: steps.map(|step| (width / 3.0 / step.max(TINY)).clamp(1.0 / 3.0, 3.0)),
        width,
        rho: MARGIN * ratio,
        drift: (WINDOWS[window] >= DRIFT_FROM && has_load).then_some(unseen),
        follows: is_followed.then_some(rise),
    }
}

/// Load in the window, or while those it judges were born, against the quietest before it; within 1 and 4.
fn ratio(from: &Look, now: &Look, looks: usize, level: usize, window: usize) -> f64 {
    let in_window = (now.load - from.load) / looks.max(1) as f64;
    let born = now.known_load[level] - from.known_load[level];
    let in_births = born / (now.known[level] - from.known[level]).max(1.0);
    let load = in_window.max(in_births);
    let low = from.low[window];
    if load > low * MAX_RATIO {
        MAX_RATIO
    } else if load > low {
        load / low
    } else {
        1.0
    }
}

/// Minutes that so many looks last.
pub(super) fn minutes(looks: f64) -> f64 {
    looks / LOOKS_PER_MIN
}
