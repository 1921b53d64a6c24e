//! Helpers: Go programs to watch, heaptop to watch them with, and profiles to compare.

pub(crate) mod go;
pub(crate) mod heaptop;
pub(crate) mod lines;
pub(crate) mod ordered_json;
pub(crate) mod profile;
pub(crate) mod serial;
pub(crate) mod text;
pub(crate) mod truth;
pub(crate) mod watched;

use std::time::{Duration, Instant};

use ::heaptop::plan::ProbePlan;
use ::heaptop::probe::LoadSettings;
use ::heaptop::process::go_process::GoProcess;

/// Longest wait for any one thing. Tests wait for words and states; this ends those that never come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Says why a test cannot run here. Where the machine is known to be able, that is a failure.
pub(crate) fn cannot_run(why: &str) {
    let strict = std::env::var_os("HEAPTOP_TEST_STRICT").is_some_and(|value| value == "1");
    assert!(!strict, "cannot run, and HEAPTOP_TEST_STRICT is set: {why}");
    eprintln!("skipped: {why}");
}

/// Settings to load the probes of the sampler with.
pub(crate) fn sampler_settings(go: &GoProcess, plan: &ProbePlan) -> LoadSettings {
    LoadSettings {
        special: go.program.facts.special,
        jbe_filter: plan.jbe_filter(),
        sweepgen: go.program.sweepgen(),
        heap_live: go.program.heap_live(),
        end: None,
        ring_bytes: None,
        log: false,
        alloc: None,
    }
}

/// Looks every few milliseconds until `found` gives something; panics after `patience`.
pub(crate) fn wait_for<T>(
    what: &str,
    patience: Duration,
    mut found: impl FnMut() -> Option<T>,
) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(begun.elapsed() < patience, "waited {patience:?} for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One test for each release of Go that heaptop knows.
macro_rules! each_release {
    ($check:path) => {
        $crate::support::each_release! { $check;
            go_1_18 "1.18.10", go_1_19 "1.19.8", go_1_20 "1.20.14", go_1_21 "1.21.13", go_1_22 "1.22.10", go_1_23 "1.23.9",
            go_1_24 "1.24.11", go_1_25 "1.25.5", go_1_26 "1.26.6", go_1_27 "1.27.3",
        }
    };
    ($check:path; $($name:ident $release:literal,)*) => {
        $(
            #[test]
            fn $name() {
                $check($release);
            }
        )*
    };
}
pub(crate) use each_release;
