//! Examples from the screens, and the laws: widths are kept, order is kept.

use proptest::prelude::*;

use super::*;

#[test]
fn digits_are_grouped_by_thousands() {
    assert_eq!(grouped(0), "0");
    assert_eq!(grouped(7), "7");
    assert_eq!(grouped(999), "999");
    assert_eq!(grouped(202_700), "202,700");
    assert_eq!(grouped(648_214), "648,214");
    assert_eq!(grouped(1_000_000), "1,000,000");
    assert_eq!(grouped(1_234_567), "1,234,567");
}

/// Reads a figure back, so that order can be compared.
fn value_of(text: &str) -> f64 {
    let text = text.trim_start_matches(['+', '>']);
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "" | "B" => 1.0,
        "Ki" => KI,
        "Mi" => MI,
        "Gi" => MI * KI,
        "Ti" => MI * MI,
        "Pi" => MI * MI * KI,
        "Ei" => MI * MI * MI,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        unit => panic!("unit {unit}"),
    };
    digits.parse::<f64>().expect("digits") * factor
}

#[test]
fn bytes_read_as_on_the_screens() {
    let cases = [
        (0.0, "0"),
        (85.0, "85B"),
        (24.5 * KI, "24.5Ki"),
        (102.0 * KI, "102Ki"),
        (102.4 * KI, "0.1Mi"),
        (0.9 * MI, "0.9Mi"),
        (22.4 * MI, "22.4Mi"),
        (99.96 * MI, "100Mi"),
        (721.0 * MI, "721Mi"),
        (1000.0 * MI, "0.98Gi"),
        (1.9 * KI * MI, "1.90Gi"),
        (9.996 * KI * MI, "10.0Gi"),
        (f64::NAN, "?"),
    ];
    for (value, text) in cases {
        assert_eq!(bytes(value), text, "{value}");
    }
}

#[test]
fn changes_carry_their_sign() {
    assert_eq!(per_minute(1.46 * MI), "+1.46Mi");
    assert_eq!(per_minute(12.6 * MI), "+12.6Mi");
    assert_eq!(per_minute(-0.52 * MI), "-0.52Mi");
    assert_eq!(per_minute(0.0), "0");
    assert_eq!(change(20.6 * MI), "+20.6Mi");
    assert_eq!(change(-1.9 * KI * MI), "-1.90Gi");
    assert_eq!(signed_count(18_400.0), "+18.4k");
    assert_eq!(signed_count(-3.0), "-3");
    assert_eq!(sentence_change(52.8 * MI), "+52.8 MiB");
}

#[test]
fn counts_and_times_read_as_on_the_screens() {
    assert_eq!(count(310.0), "310");
    assert_eq!(count(18_400.0), "18.4k");
    assert_eq!(count(648_214.0), "648k");
    assert_eq!(count(9_010_000.0), "9.01M");
    let second = 1_000_000_000;
    assert_eq!(duration(41 * second), "41s");
    assert_eq!(duration(845 * second), "14m05s");
    assert_eq!(duration(30_240 * second), "8h24m");
    assert_eq!(duration(1_389_600 * second), "16d2h");
    assert_eq!(coarse_duration(1_080 * second), "18m");
    assert_eq!(time_of_day(1_763_694_765_000_000_000, 0), "03:12:45");
    assert_eq!(
        time_of_day(1_763_694_765_000_000_000, -4 * 3600),
        "23:12:45"
    );
}

#[test]
fn errors_say_what_a_single_sample_tells() {
    assert_eq!(error(100.0, 3.0, 1400), "3%");
    assert_eq!(error(100.0, 0.2, 100_000), "<1%");
    assert_eq!(error(100.0, 60.0, 1), ">99");
    assert_eq!(error(100.0, 0.0, 1), "0%");
    assert_eq!(error(0.0, 0.0, 0), "-");
}

#[test]
fn shares_of_a_table_sum_to_100() {
    assert_eq!(shares(&[1.0, 1.0, 1.0]), [34, 33, 33]);
    assert_eq!(shares(&[0.0, 0.0]), [0, 0]);
}

#[test]
fn a_sparkline_within_its_noise_is_flat() {
    assert_eq!(sparkline(&[1.0, 2.0, 2.9], 1.0, 5), [0, 0, 0, 0, 0]);
    assert_eq!(sparkline(&[2.0, 0.0, 2.9], 1.0, 3), [0, 0, 0]);
    assert_eq!(sparkline(&[0.0, 7.0, 14.0], 1.0, 3), [0, 4, 7]);
    assert!(sparkline(&[1.0], 0.0, 5).is_empty());
}

#[test]
fn a_change_that_is_significant_is_seen_in_the_sparkline() {
    assert_eq!(sparkline(&[1.0, 2.0, 3.0], 1.0, 3), [0, 4, 7]);
    assert_eq!(sparkline(&[3.0, 2.0, 1.0], 1.0, 3), [7, 4, 0]);
}

#[test]
fn the_sampling_rate_and_the_cost_are_short() {
    assert_eq!(rate(524_288), "512Ki");
    assert_eq!(rate(1), "1B");
    assert_eq!(cpu_percent(0.0004), "0.04");
    assert_eq!(cpu_percent(0.000_05), "0.005");
    assert_eq!(cpu_percent(0.013), "1.3");
}

/// Figures of every size, because uniform ones are nearly all huge.
fn any_size() -> impl Strategy<Value = f64> {
    prop_oneof![
        (0.0f64..65.0).prop_map(f64::exp2),
        0.0f64..2e6,
        Just(0.0),
        any::<f64>()
    ]
}

proptest! {
    #[test]
    fn widths_are_never_exceeded(value in any_size(), err in any_size(), n in 0u64..5) {
        prop_assert!(bytes(value).len() <= BYTES_WIDTH, "{}", bytes(value));
        prop_assert!(change(value).len() <= CHANGE_WIDTH);
        prop_assert!(per_minute(value).len() <= CHANGE_WIDTH, "{}", per_minute(value));
        prop_assert!(per_minute(-value).len() <= CHANGE_WIDTH);
        prop_assert!(count(value).len() < COUNT_WIDTH);
        prop_assert!(signed_count(-value).len() <= COUNT_WIDTH);
        prop_assert!(error(value, err, n).len() <= ERROR_WIDTH, "{}", error(value, err, n));
    }

    #[test]
    fn durations_fit_in_7_cells(seconds in 0u64..9_999_999 * 86_400) {
        prop_assert!(duration(seconds.saturating_mul(1_000_000_000)).len() <= 8);
    }

    #[test]
    fn larger_never_reads_as_smaller(a in any_size(), b in any_size()) {
        let (a, b) = (a.abs().min(b.abs()), a.abs().max(b.abs()));
        prop_assume!(a.is_finite() && b.is_finite());
        prop_assert!(value_of(&bytes(a)) <= value_of(&bytes(b)));
        prop_assert!(value_of(&count(a)) <= value_of(&count(b)));
        prop_assert!(value_of(&per_minute(a)) <= value_of(&per_minute(b)), "{} {}", per_minute(a), per_minute(b));
    }

    #[test]
    fn neighbours_keep_their_order(a in any_size()) {
        let a = a.abs();
        prop_assume!(a.is_finite());
        let b = a * 1.001;
        prop_assert!(value_of(&bytes(a)) <= value_of(&bytes(b)));
        prop_assert!(value_of(&count(a)) <= value_of(&count(b)));
        prop_assert!(value_of(&per_minute(a)) <= value_of(&per_minute(b)));
    }

    #[test]
    fn shares_always_sum(parts in prop::collection::vec(0.0f64..1e12, 1..40)) {
        prop_assume!(parts.iter().sum::<f64>() > 0.0);
        prop_assert_eq!(shares(&parts).iter().sum::<u32>(), 100);
    }

    #[test]
    fn a_sparkline_has_its_width(values in prop::collection::vec(any::<f64>(), 0..60), err in any_size(), width in 0usize..20) {
        let steps = sparkline(&values, err, width);
        prop_assert!(steps.is_empty() || steps.len() == width);
        prop_assert!(steps.iter().all(|&step| step <= 7));
    }
}
