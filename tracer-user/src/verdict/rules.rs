//! Whether windows speak for growth or object to it.

use super::clock::Clock;
use super::series::{Series, Spread};
use super::windows::{LOAD, N_CLOCKS, N_WINDOWS, Plan, TINY, WALL, judged, place, reading};
use super::{HISTORY, N_LEVELS};

/// Standard errors by which arrivals must outnumber departures: p = 3e-6 pays for all looks, windows and 5,000 entities.
pub(super) const Z_EXISTS: f64 = 4.5;
/// Standard errors by which it must be shown that the rate did not halve.
const Z_LASTS: f64 = 1.28;
/// Standard errors by which the first third must exceed the last to be concave.
const Z_CONCAVE: f64 = 2.0;
/// Growth in standard errors of a window that may be concave.
const Z_GROWN: f64 = 3.0;
/// Samples due in the piece that shows growth now: with 20, fewer than half come by chance in 0.5 %.
const RECENT: f64 = 20.0;
/// Share of the highest count that is still held while warming.
const NEAR_TOP: f64 = 0.95;
/// What stood at the start may have grown by more than the load did.
const FOLLOW: f64 = 1.5;
/// Arrivals below which no window can speak: 4.5² and one more.
const LEAST_ARRIVALS: f64 = 20.0;

/// A window that speaks for growth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Window {
    pub(super) level: usize,
    /// Its length, as a place in `WINDOWS`.
    pub(super) length: usize,
    /// How much more than independent samples they vary.
    pub(super) dispersion: f64,
}

/// The windows that speak: the longest of the highest level by each clock, and where the one begins that looks back
/// furthest.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Speaks {
    pub(super) wall: Option<Window>,
    pub(super) load: Option<Window>,
    pub(super) furthest: Option<usize>,
}

impl Speaks {
    fn add(&mut self, window: Window, by: usize, from: usize) {
        match by {
            WALL => self.wall = Some(window),
            _ => self.load = Some(window),
        }
        self.furthest = Some(self.furthest.map_or(from, |furthest| furthest.min(from)));
    }
}

/// What the windows of one look say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Judged {
    /// Some window speaks for growth, and no longer one objects.
    pub(super) grows: bool,
    /// Some window speaks for growth, and one objects.
    pub(super) vetoed: bool,
    /// Some window is concave at a count that is still near its highest.
    pub(super) warms: bool,
    /// Windows that speak, vetoed or not.
    pub(super) speaks: Speaks,
}

/// Judges all windows. `vetoes` are by window, the present look lowest; this look is added to them.
pub(super) fn judge(
    clock: &Clock,
    series: &Series,
    spread: &Spread,
    vetoes: &mut [u16; N_WINDOWS],
) -> Judged {
    let mut judged = Judged::default();
    let mut speaks = [[false; N_WINDOWS]; N_LEVELS];
    for (level, speaks) in speaks.iter_mut().enumerate() {
        // An older level can only speak, not object.
        if level > 0 && spread.arrived[level][spread.newest] < LEAST_ARRIVALS {
            continue;
        }
        let mut view = View::new(clock, series, spread, level);
        for (window, speaks) in speaks.iter_mut().enumerate() {
            let (mut is_concave, mut follows, mut rises) = (level == 0, false, false);
            for by in [WALL, LOAD] {
                let Some(plan) = clock.plan(level, window, by).filter(|plan| plan.valid) else {
                    is_concave = false;
                    continue;
                };
                let counts = Counts::new(&view, plan);
                if let Some(dispersion) = view.speaks(plan, &counts, by) {
                    *speaks = true;
                    let found = Window {
                        level,
                        length: window,
                        dispersion,
                    };
                    judged.speaks.add(found, by, plan.cuts[0]);
                }
                is_concave = is_concave && view.is_concave(plan, &counts, by);
                follows |= (plan.follows)
                    .is_some_and(|rise| counts.n - counts.n_then <= FOLLOW * counts.n_then * rise);
                rises = counts.grown[2] > 0.0;
            }
            if level == 0 {
                judged.warms |= is_concave && rises && counts_near_top(&mut view);
                vetoes[window] |= u16::from(is_concave || follows);
            }
        }
    }
    for speaks in speaks {
        let mut objects = false;
        for window in (0..N_WINDOWS).rev() {
            objects |= vetoes[window] != 0;
            judged.grows |= speaks[window] && !objects;
            judged.vetoed |= speaks[window] && objects;
        }
    }
    judged
}

fn counts_near_top(view: &mut View<'_>) -> bool {
    let (n, top) = (view.n(view.spread.newest), view.records().top);
    n >= NEAR_TOP * top
}

/// Highest count up to each look together with the deepest fall below it, and the highest of all.
struct Records {
    beyond: [f64; HISTORY + 1],
    top: f64,
}

/// Sums over the looks after `from`, for arrivals and for departures: squared counts by what was judged or swept, and
/// looks in which any was.
#[derive(Clone, Copy, Debug)]
struct Scatter {
    from: usize,
    squares: [f64; 2],
    looks: [f64; 2],
}

impl Scatter {
    fn new(newest: usize) -> Self {
        Self {
            from: newest,
            squares: [0.0; 2],
            looks: [0.0; 2],
        }
    }
}

/// The history of one level at one look.
struct View<'a> {
    clock: &'a Clock,
    series: &'a Series,
    spread: &'a Spread,
    level: usize,
    /// Worked out when first asked for.
    records: Option<Records>,
    is_uneven: Option<bool>,
    /// By clock, as far back as was asked for.
    scatter: [Option<Scatter>; N_CLOCKS],
}

/// What happened in a window.
struct Counts {
    /// Arrivals and departures.
    arrived: f64,
    departed: f64,
    /// By third, scaled: growth, and its variance.
    grown: [f64; 3],
    variance: [f64; 3],
    /// How many there are, and were when it began.
    n: f64,
    n_then: f64,
}

impl Counts {
    fn new(view: &View<'_>, plan: &Plan) -> Self {
        let (spread, level, newest) = (view.spread, view.level, view.spread.newest);
        let from = plan.cuts[0];
        let n = plan.cuts.map(|at| spread.n(level, at));
        let flow = plan.cuts.map(|at| spread.flow(level, at));
        Self {
            arrived: spread.arrived[level][newest] - spread.arrived[level][from],
            departed: spread.departed[level][newest] - spread.departed[level][from],
            grown: [0, 1, 2].map(|j| (n[j + 1] - n[j]) * plan.even[j]),
            variance: [0, 1, 2].map(|j| (flow[j + 1] - flow[j]) * (plan.even[j] * plan.even[j])),
            n: spread.n(level, newest),
            n_then: n[0],
        }
    }

    /// How many standard errors more arrived than departed, with departures counted `rho` times.
    fn exists(&self, rho: f64, dispersion: f64) -> f64 {
        (self.arrived - rho * self.departed)
            / (dispersion * (self.arrived + rho * rho * self.departed) + TINY).sqrt()
    }

    /// How many standard errors the last third is above half of the first.
    fn lasts(&self, dispersion: f64) -> f64 {
        let [v1, _, v3] = self.variance.map(|v| v * dispersion);
        (self.grown[2] - self.grown[0] / 2.0) / (v3 + v1 / 4.0 + TINY).sqrt()
    }
}

impl<'a> View<'a> {
    fn new(clock: &'a Clock, series: &'a Series, spread: &'a Spread, level: usize) -> Self {
        Self {
            clock,
            series,
            spread,
            level,
            records: None,
            is_uneven: None,
            scatter: [None; N_CLOCKS],
        }
    }

    fn n(&self, at: usize) -> f64 {
        self.spread.n(self.level, at)
    }

    /// Whether a window speaks for growth; its dispersion then. What costs most comes last.
    fn speaks(&mut self, plan: &Plan, counts: &Counts, by: usize) -> Option<f64> {
        let grows = counts.exists(plan.rho, 1.0) >= Z_EXISTS
            && counts.grown.iter().all(|&grown| grown > 0.0)
            && counts.lasts(1.0) >= Z_LASTS;
        let is_drift = |drift: f64| counts.n - counts.n_then <= FOLLOW * counts.n_then * drift;
        if !grows
            || plan.drift.is_some_and(is_drift)
            || counts.n <= self.records().beyond[plan.cuts[1]]
            || !self.grows_now(plan, counts, by)
        {
            return None;
        }
        let dispersion = self.dispersion(plan.cuts[0], by);
        let stays = counts.exists(plan.rho, dispersion) >= Z_EXISTS
            && counts.lasts(dispersion) >= Z_LASTS
            && self.exists_by_weight(plan, dispersion);
        stays.then_some(dispersion)
    }

    /// Whether at least half of what is due came in the last piece of the window, at the youngest level too.
    fn grows_now(&self, plan: &Plan, counts: &Counts, by: usize) -> bool {
        let (spread, newest) = (self.spread, self.spread.newest);
        let slope = (counts.arrived - counts.departed).max(TINY) / plan.width.max(TINY);
        let piece = (RECENT / slope)
            .min(plan.width / 3.0)
            .max(plan.width / 12.0);
        let now = reading(self.clock, by, newest);
        let from = place(self.clock, by, now - piece);
        let due = 0.5 * slope * (now - reading(self.clock, by, from));
        if self.n(newest) - self.n(from) < due {
            return false;
        }
        let young = spread.n(0, newest) - spread.n(0, from);
        let noise = if self.level > 0 {
            (spread.flow(0, newest) - spread.flow(0, from)).sqrt()
        } else {
            0.0
        };
        young + noise >= due
    }

    fn is_concave(&mut self, plan: &Plan, counts: &Counts, by: usize) -> bool {
        let [g1, g2, g3] = counts.grown;
        let grown =
            (counts.arrived - counts.departed) / (counts.arrived + counts.departed + TINY).sqrt();
        let falls = |dispersion: f64| {
            let [v1, _, v3] = counts.variance.map(|v| v * dispersion);
            (g1 - g3) / (v1 + v3 + TINY).sqrt() >= Z_CONCAVE
        };
        grown >= Z_GROWN
            && g3 < 0.8 * g1
            && g3 < 0.85 * g2
            && falls(1.0)
            && falls(self.dispersion(plan.cuts[0], by))
    }

    /// How much more than independent samples arrivals or departures vary since a look, at least 1: Pearson's χ² by its
    /// degrees of freedom, lowered by its own error.
    fn dispersion(&mut self, from: usize, by: usize) -> f64 {
        let (spread, level) = (self.spread, self.level);
        let counts = [&spread.arrived[level], &spread.departed[level]];
        let exposures = |at: usize| judged(&self.clock.looks()[at], level, by);
        // Windows come from short to long, so what was summed for the one before is a part of this one.
        let mut scatter = self.scatter[by]
            .filter(|scatter| scatter.from >= from)
            .unwrap_or(Scatter::new(spread.newest));
        let mut now = exposures(scatter.from);
        for at in (from + 1..=scatter.from).rev() {
            let before = exposures(at - 1);
            let exposure = [now.0 - before.0, now.1 - before.1];
            for side in 0..2 {
                if exposure[side] > 0.0 {
                    let count = counts[side][at] - counts[side][at - 1];
                    scatter.squares[side] += count * count / exposure[side].max(TINY);
                    scatter.looks[side] += 1.0;
                }
            }
            now = before;
        }
        scatter.from = from;
        self.scatter[by] = Some(scatter);
        let (end, begin) = (exposures(spread.newest), exposures(from));
        let exposure = [end.0 - begin.0, end.1 - begin.1];
        [0, 1]
            .map(|side| {
                let count = counts[side][spread.newest] - counts[side][from];
                let freedom = (scatter.looks[side] - 1.0).max(1.0);
                let rate = count.max(TINY) / exposure[side].max(TINY);
                (scatter.squares[side] / rate - count) / freedom / (1.0 + (2.0 / freedom).sqrt())
            })
            .into_iter()
            .fold(1.0, f64::max)
    }

    /// Where samples stand for different amounts, growth must exist by these too, in bytes or in objects: few heavy ones
    /// that die and many light ones that are born are no growth.
    fn exists_by_weight(&mut self, plan: &Plan, dispersion: f64) -> bool {
        let (series, level) = (self.series, self.level);
        if !*(self.is_uneven).get_or_insert_with(|| series.is_uneven(level)) {
            return true;
        }
        let (came, went) = series.weights(level, self.clock.number_of(plan.cuts[0]));
        let exists = |came: f64, went: f64, came_sq: f64, went_sq: f64| {
            let variance = dispersion * (came_sq + plan.rho * plan.rho * went_sq);
            came - plan.rho * went >= Z_EXISTS * variance.sqrt()
        };
        exists(came.bytes, went.bytes, came.bytes_sq, went.bytes_sq)
            || exists(came.objects, went.objects, came.objects_sq, went.objects_sq)
    }

    fn records(&mut self) -> &Records {
        let (clock, spread, level) = (self.clock, self.spread, self.level);
        self.records.get_or_insert_with(|| {
            let (mut top, mut fall) = (0.0_f64, 0.0_f64);
            let mut beyond = [0.0; HISTORY + 1];
            let first = clock.first(level);
            for (at, beyond) in beyond.iter_mut().enumerate().take(spread.newest + 1) {
                if at >= first {
                    let n = spread.n(level, at);
                    top = top.max(n);
                    fall = fall.max(top - n);
                }
                *beyond = top + fall;
            }
            Records { beyond, top }
        })
    }
}
