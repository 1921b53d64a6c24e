//! Constants of the rule, and the parts of it that need no births of this watch.

use super::{Before, Life};
use crate::verdict::wilson;

/// Uptime below which nothing is said: until then every table and cache fills.
pub(super) const LEAST_UPTIME_S: f64 = 30.0 * 60.0;
/// Births below which nothing is said.
const LEAST_BIRTHS: f64 = 25.0;
/// Least kept share, as the lower bound of its interval. Without it there were 200 times the false words.
const LEAST_KEPT: f64 = 0.95;
/// Births of a member of a group: fewer may all be alive because they are young.
const MEMBER_LEAST_BIRTHS: f64 = 10.0;
/// Largest share of its births that a member of a group has freed.
const MEMBER_MOST_FREED: f64 = 0.05;
/// Standard errors of a one-sided 95 % bound.
pub(super) const Z: f64 = 1.645;
/// Pace, relative to the mean, that births are tested against.
pub(super) const SLOW_PACE: f64 = 0.25;
/// Part of the mean by the wall clock that is due at least, when the load is low: a load that was once dominated by
/// something else lowers what is due by 2 at most.
pub(super) const WALL: f64 = 0.5;
/// Log likelihood ratio of births at which growth goes on: ln 300, so that a pace of a quarter crosses it once in 300.
pub(super) const GOES_ON: f64 = 5.703_782_474_656_2;
/// Part of [`GOES_ON`] that births before the attach may give: they are not resolved in time.
pub(super) const MOST_BEFORE: f64 = 0.8;
/// Log likelihood ratio of deaths against births at which nothing replaces what is there: ln 150.
pub(super) const NOT_REPLACED: f64 = 5.010_635_294_096_256;
/// Log likelihood ratio of births at which growth has ended: ln 100.
pub(super) const FILLED: f64 = -4.605_170_185_988_091;
/// Births that fall into one bin of this part of the mean gap count once.
pub(super) const CLUMP: f64 = 0.1;
/// Ratio of births to those due above which the history is no witness of them.
pub(super) const BURST: f64 = 2.0;
/// Births above that ratio that are allowed by chance.
pub(super) const BURST_LEAST: f64 = 5.0;
/// Births due in the recent time, and the least that were born in it.
pub(super) const RECENT_DUE: f64 = 6.0;
/// Least births due in the first part of the watch, and the part of them that was born at least.
pub(super) const FIRST_DUE: f64 = 3.0;
/// See [`FIRST_DUE`].
pub(super) const FIRST_BORN: f64 = 0.3;
/// Part of what is due in the watch that is its first part.
pub(super) const FIRST_PART: f64 = 1.0 / 3.0;
/// Ratio of the load to its mean above which connections since a quiet time look like growth.
pub(super) const MOST_LOAD: f64 = 1.5;
/// Uptime from which on the load no longer counts: what follows it would have died once.
pub(super) const DAYS_S: f64 = 36.0 * 3600.0;
/// Sum of missing births at which growth has stopped: eight mean gaps without one.
pub(super) const STOPPED: f64 = 6.0;

/// True if the entity kept nearly all it allocated for so long that its history says something.
pub(super) fn is_fit(life: &Life, before: &Before) -> bool {
    life.uptime_s >= LEAST_UPTIME_S
        && before.births >= LEAST_BIRTHS
        && wilson((before.judged - before.deaths).max(0.0), before.judged, Z).0 >= LEAST_KEPT
}

/// True if an entity counts towards a group.
pub(super) fn is_member(before: &Before) -> bool {
    before.births >= MEMBER_LEAST_BIRTHS && before.deaths <= MEMBER_MOST_FREED * before.judged
}

/// Kept share of the births before the watch.
pub(super) fn kept(before: &Before) -> f64 {
    1.0 - (before.deaths / before.judged.max(1.0)).min(1.0)
}

/// Probability that an event is a death, where so much is kept as before; see [`NOT_REPLACED`].
pub(super) fn death_share(kept: f64) -> f64 {
    ((1.0 - kept) / (2.0 - kept)).clamp(0.05, 0.45)
}
