//! What the sources for programs without a profiler must have told in a guest. Counts alone: under emulation times say
//! nothing, and a few MiB are too little for each site to be estimated.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{mixed::Site, watch::site};

/// As `init.sh` runs them.
pub(super) const ALL: [&str; 3] = ["spans", "arm", "exact"];

/// Counts are told as whole numbers, and every allocation is counted.
const EXACT: f64 = 0.5;
/// All sites together must be told within this part of the truth. At the runtime's own rate a few dozen samples are all
/// there is, so there it is wider.
const TOLERANCE: f64 = 0.25;
const TOLERANCE_OF_ARM: f64 = 0.75;

/// What a guest printed of one source; empty where it printed nothing, or more than once.
pub(super) struct Facts {
    pub(super) fill: String,
    pub(super) status: String,
    pub(super) row: String,
    pub(super) truth: String,
    pub(super) rate: String,
    pub(super) check: String,
    pub(super) exit: String,
}

/// A summary, or everything that is wrong.
pub(super) fn verdict(source: &str, facts: &Facts) -> Result<String, Vec<String>> {
    let mut faults = Vec::new();
    let expected = [
        ("the program did not allocate", &facts.fill, "ok"),
        ("heaptop did not end by SIGTERM", &facts.status, "143"),
        ("MemProfileRate is not as it was", &facts.rate, "ok 0"),
        ("the program did not end as told", &facts.exit, "7"),
    ];
    for (what, value, wanted) in expected {
        if value != wanted {
            faults.push(format!("{what}: {value:?}"));
        }
    }
    if !facts.check.starts_with("ok ") {
        faults.push(format!("the program's data: {:?}", facts.check));
    }
    let row: Value = serde_json::from_str(&facts.row).unwrap_or_default();
    let truth: BTreeMap<String, Site> = facts
        .truth
        .strip_prefix("ok ")
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    if truth.is_empty() || row["sites"].as_array().is_none() {
        faults.push("there is no row, or no truth to compare it with".to_owned());
        return Err(faults);
    }
    let told = |function: &str, what: &str| site(&row, function).and_then(|row| row[what].as_f64());
    let live: u64 = truth.values().map(|site| site.live_bytes).sum();
    let told_live: f64 = truth
        .keys()
        .filter_map(|function| told(function, "inuse_bytes"))
        .sum();
    let part = told_live / live as f64;
    let tolerance = if source == "arm" {
        TOLERANCE_OF_ARM
    } else {
        TOLERANCE
    };
    if (part - 1.0).abs() > tolerance {
        faults.push(format!(
            "{told_live:.0} bytes are told to be in use, in truth {live}"
        ));
    }
    let mut words = format!("{:.0} % of {live} bytes", part * 100.0);
    if source == "exact" {
        let mut counted_in_all = 0.0;
        for (function, site) in &truth {
            let counted = told(function, "alloc_objects").unwrap_or(0.0);
            counted_in_all += counted;
            if (counted - site.alloc_objects as f64).abs() > EXACT {
                faults.push(format!(
                    "{function} allocated {} objects, and {counted} are counted",
                    site.alloc_objects
                ));
            }
        }
        let all: u64 = truth.values().map(|site| site.alloc_objects).sum();
        if (counted_in_all - all as f64).abs() > EXACT {
            faults.push(format!(
                "{all} objects were allocated, and {counted_in_all} are counted"
            ));
        }
        words = format!("{all} allocations counted, {words}");
    }
    if faults.is_empty() {
        Ok(words)
    } else {
        Err(faults)
    }
}

/// What a guest prints when all is well.
#[cfg(test)]
pub(super) fn good(source: &str) -> String {
    format!(
        "VM: {source}_fill=ok\r\nVM: {source}_status=143\r\nVM: {source}_rate=ok 0\r\nVM: {source}_check=ok 9\r\n\
         VM: {source}_exit=7\r\nVM: {source}_row={{\"sites\":[{{\"function\":\"main.a\",\"inuse_bytes\":4096,\
         \"alloc_objects\":64}}]}}\r\nVM: {source}_truth=ok {{\"main.a\":{{\"policy\":\"keeps\",\"tiny\":false,\
         \"live_objects\":64,\"live_bytes\":4096,\"alloc_objects\":64,\"alloc_bytes\":4096}}}}\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        let all = good("exact");
        let value = |name: &str| -> String {
            let begin = format!("VM: exact_{name}=");
            let line = all.lines().find_map(|line| line.strip_prefix(&*begin));
            line.unwrap_or_default().to_owned()
        };
        Facts {
            fill: value("fill"),
            status: value("status"),
            row: value("row"),
            truth: value("truth"),
            rate: value("rate"),
            check: value("check"),
            exit: value("exit"),
        }
    }

    #[test]
    fn allocations_that_are_not_counted_are_a_fault_of_exact_alone() {
        let mut facts = facts();
        assert!(verdict("exact", &facts).is_ok());
        facts.row = facts
            .row
            .replace("\"alloc_objects\":64", "\"alloc_objects\":58");
        // Of the site, and of all.
        assert_eq!(verdict("exact", &facts).unwrap_err().len(), 2);
        assert!(verdict("spans", &facts).is_ok());
    }

    #[test]
    fn a_rate_that_was_left_is_a_fault() {
        let facts = Facts {
            rate: "ok 524288".to_owned(),
            ..facts()
        };
        assert!(verdict("arm", &facts).unwrap_err()[0].contains("524288"));
    }

    #[test]
    fn half_of_what_lives_is_not_enough() {
        let mut facts = facts();
        facts.row = facts.row.replace("4096", "2048");
        assert_eq!(verdict("spans", &facts).unwrap_err().len(), 1);
    }
}
