//! Whether what heaptop said is good enough.

use super::{Done, table};

/// So many of all leaks are to be named right.
pub(super) const NAMED_RIGHT_PERCENT: usize = 95;
/// Median time from the attach to the first right verdict, at a growth of 7.5 MiB/min or more.
const MEDIAN_AT_MOST_S: f64 = 210.0;
/// The same where collections are rare.
const MEDIAN_AT_MOST_GAPS: f64 = 5.0;
/// `--quick` has few runs: more misses than a heaptop with the right share has in 99 of 100 tries are a failure.
const QUICK_CHANCE: f64 = 0.99;

/// Of the runs of `--quick`, all at once on two CPUs, so many may call something growing for a while that is no leak:
/// what a stalled machine does to a load is in no simulation. It is listed all the same; `--full` allows none.
const QUICK_FALSE_RUNS: usize = 1;
/// For the same reason its median may be three looks later.
const QUICK_LATER_S: f64 = 45.0;

/// Whether it is good enough.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) median_at_most_s: f64,
    pub(super) faults: Vec<String>,
}

/// Judges all runs together.
pub(super) fn verdict(done: &[Done], failed: &[(String, String)], is_full: bool) -> Verdict {
    let mut faults = Vec::new();
    let leaks: Vec<&Done> = done
        .iter()
        .filter(|one| one.run.program.truth.leaks())
        .collect();
    let missed = leaks
        .iter()
        .filter(|one| one.outcome.right_s.is_none())
        .count();
    let may_miss = if is_full {
        leaks.len() * (100 - NAMED_RIGHT_PERCENT) / 100
    } else {
        chance_misses(leaks.len())
    };
    if missed > may_miss {
        faults.push(format!(
            "{missed} of {} leaks were not named right; {may_miss} may be",
            leaks.len()
        ));
    }
    let wrong: usize = done.iter().map(Done::wrong_looks).sum();
    let wrong_runs = done.iter().filter(|one| one.wrong_looks() > 0).count();
    if wrong_runs > if is_full { 0 } else { QUICK_FALSE_RUNS } {
        faults.push(format!(
            "{wrong} looks of {wrong_runs} runs called something growing that is no leak"
        ));
    }
    let fast: Vec<&&Done> = leaks.iter().filter(|one| one.run.is_timed()).collect();
    let times: Vec<f64> = fast.iter().map(|one| one.right_s()).collect();
    let gaps: Vec<f64> = fast.iter().filter_map(|one| one.outcome.gc_gap_s).collect();
    let typical_gap_s = table::quantile(&gaps, 50).unwrap_or(0.0);
    let later_s = if is_full { 0.0 } else { QUICK_LATER_S };
    let median_at_most_s = MEDIAN_AT_MOST_S.max(MEDIAN_AT_MOST_GAPS * typical_gap_s) + later_s;
    if let Some(median_s) = table::quantile(&times, 50)
        && median_s > median_at_most_s
    {
        faults.push(format!(
            "the median leak was named after {median_s:.0} s; aim: {median_at_most_s:.0} s"
        ));
    }
    if !failed.is_empty() {
        faults.push(format!("{} runs failed", failed.len()));
    }
    Verdict {
        median_at_most_s,
        faults,
    }
}

/// How many of `n` leaks a heaptop that names [`NAMED_RIGHT_PERCENT`] of them misses at most, in [`QUICK_CHANCE`] of all tries.
fn chance_misses(n: usize) -> usize {
    let right = NAMED_RIGHT_PERCENT as f64 / 100.0;
    let miss = 1.0 - right;
    let mut term = right.powf(n as f64);
    let mut sum = term;
    let mut k = 0;
    while sum < QUICK_CHANCE && k < n {
        term *= (n - k) as f64 / (k + 1) as f64 * miss / right;
        sum += term;
        k += 1;
    }
    k
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_runs_may_miss_more_by_chance() {
        assert_eq!(chance_misses(0), 0);
        assert_eq!(chance_misses(1), 1);
        assert_eq!(chance_misses(44), 6);
        assert_eq!(chance_misses(1000), 67);
    }
}
