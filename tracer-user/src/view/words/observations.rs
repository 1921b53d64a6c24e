//! Facts beside the growth that explain it or point to its cause.

use std::fmt::Write as _;
use std::sync::Arc;

use super::super::format::{self, sentence_bytes, sentence_change};
use super::super::names::clean;
use super::prose::list;
use crate::go::frame::Frame;
use crate::model::findings::{Findings, Observation};

/// One to two sentences for each observation; `until_ns` is the last moment of the watch, monotonic nanoseconds.
pub fn observations(findings: &Findings, until_ns: u64) -> Vec<String> {
    let sentence = |observation| sentence(observation, until_ns);
    findings.observations.iter().map(sentence).collect()
}

fn sentence(observation: &Observation, until_ns: u64) -> String {
    match observation {
        Observation::FinalizersBlocked {
            function,
            wait_reason,
            waiting_ns,
        } => {
            let time =
                waiting_ns.map_or_else(String::new, |ns| format!(" for {}", format::duration(ns)));
            format!(
                "The finalizer goroutine is blocked in {} ({}){time}: no object with a finalizer is freed until it returns.",
                clean(function),
                clean(wait_reason)
            )
        }
        Observation::NoGc { since_start } => {
            let since = if *since_start {
                "the process started"
            } else {
                "the attach"
            };
            format!(
                "No GC has run since {since}: garbage stays, and finalizers wait for a GC before they free C memory."
            )
        }
        Observation::Threads { count, per_min } => format!(
            "{} threads, {per_min:+.0} per minute: each has a stack and runtime memory of its own. Threads are made for \
             goroutines that block in system calls or in C.",
            format::grouped(*count)
        ),
        Observation::PeakPassed {
            at_ns,
            rss_bytes,
            goroutines,
            sites,
        } => peak(until_ns, (*at_ns, *rss_bytes), *goroutines, sites),
    }
}

fn peak(
    until_ns: u64,
    (at_ns, rss_bytes): (u64, u64),
    goroutines: Option<i64>,
    sites: &[(Arc<Frame>, f64)],
) -> String {
    let ago = format::duration(until_ns.saturating_sub(at_ns));
    let with = goroutines.filter(|&n| n > 0).map_or_else(String::new, |n| {
        format!(
            " with {} goroutines more",
            format::grouped(n.unsigned_abs())
        )
    });
    let mut text = format!(
        "A peak has passed: RSS {} {ago} ago{with}.",
        sentence_bytes(rss_bytes as f64)
    );
    let grown: Vec<String> = (sites.iter())
        .map(|(frame, bytes)| format!("{} {}", clean(&frame.function), sentence_change(*bytes)))
        .collect();
    if !grown.is_empty() {
        let _ = write!(text, " Most growth up to it: {}.", list(&grown));
    }
    text
}
