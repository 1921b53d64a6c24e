use super::*;

const HTTP: &str = "net/http.serverHandler.ServeHTTP";
const GRPC: &str = "google.golang.org/grpc.(*Server).handleStream";

/// Reads once a second for `seconds`; calls of `per_sec` a second, which depends on the second; counted in the seconds that
/// `is_on` names. Gives the history and the true number of calls.
fn read(
    seconds: u64,
    per_sec: impl Fn(u64) -> [u64; 2],
    is_on: impl Fn(u64) -> bool,
) -> (CallHistory, [u64; 2]) {
    let mut history = CallHistory::default();
    let (mut counted, mut all) = ([0; 2], [0; 2]);
    let mut counted_ns = 0;
    for second in 0..seconds {
        let calls = per_sec(second);
        for i in 0..2 {
            all[i] += calls[i];
            if is_on(second) {
                counted[i] += calls[i];
            }
        }
        counted_ns += u64::from(is_on(second)) * SECOND_NS;
        history.apply(CallsRead {
            at_ns: (1000 + second + 1) * SECOND_NS,
            functions: vec![(HTTP.into(), counted[0]), (GRPC.into(), counted[1])],
            counted_ns,
            all_ns: (second + 1) * SECOND_NS,
            is_on: is_on(second + 1),
            is_windowed: counted_ns <= second * SECOND_NS,
        });
    }
    (history, all)
}

fn close(a: f64, b: f64, share: f64) -> bool {
    (a - b).abs() <= share * b.abs()
}

/// Two seconds in sixty.
fn windows(second: u64) -> bool {
    second % 60 < 2
}

#[test]
fn what_is_counted_all_the_time_has_no_error() {
    let (history, all) = read(100, |_| [300, 7], |_| true);
    let calls = history.now().expect("counted");
    assert_eq!((&*calls.function, calls.total), (HTTP, all[0] as f64));
    assert_eq!((calls.per_sec, calls.counted_fraction), (Some(300.0), 1.0));
    let mean = calls.mean_per_sec.expect("30 000 calls");
    assert!(close(mean.low, 300.0, 1e-9) && close(mean.high, 300.0, 1e-9));
    assert_eq!(calls.looks.len(), 7);
    assert!(!calls.is_windowed && calls.is_counting);
}

#[test]
fn the_busier_function_is_the_one() {
    let (history, all) = read(100, |_| [1, 50], |_| true);
    let calls = history.now().expect("counted");
    assert_eq!((&*calls.function, calls.total), (GRPC, all[1] as f64));
    let (idle, _) = read(100, |_| [0, 0], |_| true);
    let calls = idle.now().expect("counted");
    assert_eq!((&*calls.function, calls.mean_per_sec), (HTTP, None));
}

#[test]
fn windows_estimate_what_they_do_not_see_and_say_how_well() {
    // Rates that wander by a fifth.
    let noise = |second: u64| (second / 60).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54;
    let rate = |second: u64| [4_000 + noise(second), 0];
    let (history, all) = read(1800, rate, windows);
    let calls = history.now().expect("counted");
    assert!(calls.is_windowed && close(calls.counted_fraction, 2.0 / 60.0, 1e-9));
    assert!(close(calls.total, all[0] as f64, 0.03), "{calls:?}");
    let mean = calls.mean_per_sec.expect("30 windows");
    let truth = all[0] as f64 / 1800.0;
    assert!(mean.low < truth && truth < mean.high, "{mean:?} of {truth}");
    assert!(mean.high - mean.low < 0.1 * truth, "{mean:?}");
}

#[test]
fn of_one_window_nobody_knows_how_well_it_stands_for_the_rest() {
    let (history, _) = read(50, |_| [4_000, 0], windows);
    let calls = history.now().expect("counted");
    assert_eq!((calls.mean_per_sec, calls.per_sec), (None, Some(4_000.0)));
    // The gap behind it is taken as the window was.
    assert!(close(calls.total, 200_000.0, 1e-9), "{calls:?}");
}

#[test]
fn a_rate_is_that_of_the_time_asked_for() {
    let rate = |second: u64| [if second < 600 { 100 } else { 500 }, 0];
    let (history, _) = read(1200, rate, |_| true);
    let between = |from: u64, to: u64| {
        let rate = history.rate(0, (1000 + from) * SECOND_NS, (1000 + to) * SECOND_NS);
        rate.map(|rate| rate.value)
    };
    assert_eq!(between(0, 600), Some(100.0));
    assert_eq!(between(600, 1200), Some(500.0));
    assert_eq!(between(300, 900), Some(300.0));
    assert_eq!(between(2000, 3000), None);
}

#[test]
fn a_change_from_windows_to_all_weighs_time_and_not_calls_counted() {
    // Ten minutes of few calls, all counted, then as long with many, counted in windows.
    let rate = |second: u64| [if second < 600 { 100 } else { 5_000 }, 0];
    let (history, all) = read(1200, rate, |second| second < 600 || windows(second));
    let mean = history.rate(0, 0, u64::MAX).expect("enough");
    assert!(close(mean.value, all[0] as f64 / 1200.0, 0.03), "{mean:?}");
}

#[test]
fn an_hour_is_kept() {
    let (history, _) = read(5000, |_| [1, 0], |_| true);
    assert_eq!(history.looks.len(), MAX_LOOKS);
    assert!(history.recent.len() < 20);
}

#[test]
fn growth_is_divided_with_the_errors_of_both() {
    let interval = |value: f64, err: f64| Interval {
        value,
        low: value - err,
        high: value + err,
    };
    // 18 000 objects a minute and 300 calls a second.
    let exact = interval(300.0, 0.0);
    let found = per_call(
        HTTP.into(),
        interval(18_000.0, 1_800.0),
        interval(5_616_000.0, 561_600.0),
        exact,
    );
    let found = found.expect("calls");
    assert_eq!((found.objects.value, found.bytes.value), (1.0, 312.0));
    assert!(close(found.objects.low, 0.9, 1e-9) && close(found.objects.high, 1.1, 1e-9));
    // Errors of 6 % and 8 % are 10 % together.
    let both = divide(interval(100.0, 6.0), interval(50.0, 4.0)).expect("calls");
    assert!(
        close(both.low, 1.8, 1e-9) && close(both.high, 2.2, 1e-9),
        "{both:?}"
    );
    assert_eq!(divide(interval(100.0, 6.0), interval(50.0, 60.0)), None);
    assert_eq!(divide(interval(100.0, 6.0), interval(0.0, 0.0)), None);
    let falling = divide(interval(-10.0, 20.0), exact).expect("calls");
    assert!(falling.low < 0.0 && falling.high > 0.0);
}
