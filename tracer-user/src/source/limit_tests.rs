use super::*;

/// Fires `per_ms(ms)` hits each millisecond, checked exactly when the limit asks; attaches again as the governor does, 1.1 s
/// after the last time and at least 0.2 s after a removal. Returns the running sum of hits by millisecond.
fn run(limit: &mut SecondLimit, ms: u64, per_ms: impl Fn(u64) -> u64) -> Vec<u64> {
    let (mut hits, mut sums) = (0, Vec::new());
    let (mut began, mut on_again) = (0, 0);
    let mut check_at = 0;
    let mut on = false;
    for at in 0..ms {
        let at_ns = at * 1_000_000;
        if !on && at >= on_again {
            on = true;
            began = at;
            limit.attached(at_ns, hits);
            check_at = at;
        }
        if on {
            hits += per_ms(at);
            if at >= check_at {
                match limit.check(at_ns + 1_000_000, hits) {
                    Answer::Stay { check_in_ns } => check_at = at + check_in_ns.div_ceil(1_000_000),
                    Answer::Remove => {
                        on = false;
                        on_again = (began + 1_100).max(at + 200);
                    }
                }
            }
        }
        sums.push(hits);
    }
    sums
}

/// Largest share of a CPU in any second.
fn peak(sums: &[u64], hit_ns: f64) -> f64 {
    let in_second = |at: usize| sums[at] - at.checked_sub(1_000).map_or(0, |from| sums[from]);
    let most = (0..sums.len()).map(in_second).max().unwrap_or_default();
    most as f64 * hit_ns / SECOND_NS as f64
}

fn limit(group: Group) -> SecondLimit {
    let mut limit = SecondLimit::new(group, 0.01);
    limit.hit_costs(1_000.0);
    limit
}

#[test]
fn holds_in_every_second_from_the_first_hit_at_any_constant_rate() {
    for group in Group::ALL {
        for per_ms in [1, 5, 8, 9, 10, 35, 100, 700] {
            let sums = run(&mut limit(group), 10_000, |_| per_ms);
            let peak = peak(&sums, 1_000.0);
            // One check too late: a millisecond of the load.
            let late = per_ms as f64 * 2e-6;
            assert!(
                peak <= 0.01 * group.share() + late,
                "{group:?} {per_ms}/ms: {peak}"
            );
        }
    }
}

#[test]
fn keeps_probes_that_cost_less_than_the_limit() {
    let sums = run(&mut limit(Group::Allocations), 20_000, |_| 7);
    assert_eq!(sums.last(), Some(&140_000));
}

#[test]
fn holds_when_a_quiet_load_becomes_ten_times_the_limit() {
    let rise = |at: u64| if at < 5_037 { 1 } else { 88 };
    let sums = run(&mut limit(Group::Allocations), 10_000, rise);
    assert!(peak(&sums, 1_000.0) <= 0.01, "{}", peak(&sums, 1_000.0));
}

#[test]
fn all_groups_of_a_watch_together_stay_below_the_limit() {
    for first in [Group::Sampler, Group::Allocations] {
        assert!(first.share() + Group::Calls.share() < 1.0);
    }
}

#[test]
fn without_a_limit_probes_always_stay() {
    let mut limit = SecondLimit::new(Group::Calls, f64::INFINITY);
    let sums = run(&mut limit, 1_000, |_| 1_000);
    assert_eq!(sums.last(), Some(&1_000_000));
}

#[test]
fn checks_are_rare_while_little_is_spent_and_each_millisecond_after_an_attach() {
    let mut limit = limit(Group::Allocations);
    limit.attached(0, 0);
    let Answer::Stay { check_in_ns } = limit.check(1_000_000, 0) else {
        panic!("nothing was spent");
    };
    assert_eq!(check_in_ns, SHORTEST_CHECK_NS);
    for ms in 2..20 {
        limit.check(ms * 1_000_000, 0);
    }
    let Answer::Stay { check_in_ns } = limit.check(3 * SECOND_NS, 300) else {
        panic!("little was spent");
    };
    assert!(check_in_ns > 80_000_000, "{check_in_ns}");
}

#[test]
fn removals_that_come_late_are_expected_to_come_late_again() {
    // Each removal takes 15 ms to take effect, at 170 ms of CPU a second.
    let mut limit = limit(Group::Allocations);
    let (mut hits, mut spent) = (0, Vec::new());
    for turn in 0..5 {
        let begin = turn * 2_000;
        limit.attached(begin * 1_000_000, hits);
        let before = hits;
        for ms in 1..200 {
            hits += 170;
            if limit.check((begin + ms) * 1_000_000, hits) == Answer::Remove {
                hits += 15 * 170;
                break;
            }
        }
        spent.push((hits - before) as f64 * 1e-6);
    }
    assert!(spent[0] > 0.01, "{spent:?}");
    assert!(spent[1..].iter().all(|&spent| spent < 0.0095), "{spent:?}");
}
