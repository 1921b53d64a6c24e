//! Facts beside the growth that explain it or point to its cause.

use std::fmt::Write as _;
use std::sync::Arc;

use super::super::format::{self, sentence_bytes, sentence_change};
use super::super::names::clean;
use super::figures::seconds;
use super::prose::list;
use crate::go::calls_out::{Caller, CallsOut};
use crate::go::frame::Frame;
use crate::model::findings::{Findings, Kind, Observation};

/// Functions that can take memory outside Go that are named at most; the others are counted.
const MAX_NAMED_CALLERS: usize = 3;

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
        Observation::GcPace {
            then_s,
            ago_s,
            now_s,
        } => format!(
            "A GC cycle ran every {} {} ago, and every {} now: the live heap is larger, or the program allocates less.",
            gap(*then_s),
            seconds(*ago_s),
            gap(*now_s)
        ),
        Observation::OutsideGo { kind, calls_out } => outside_go(*kind, calls_out),
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

/// Seconds between two GC cycles: `30 ms`, `0.4 s`, `12 s`.
fn gap(seconds: f64) -> String {
    if seconds < 0.095 {
        return format!("{:.0} ms", 1e3 * seconds);
    }
    let decimals = usize::from(seconds < 9.95);
    format!("{seconds:.decimals$} s")
}

/// Functions that can take memory outside Go, and what to try.
fn outside_go(kind: Kind, calls_out: &CallsOut) -> String {
    let CallsOut {
        c,
        c_omitted,
        maps,
        maps_omitted,
    } = calls_out;
    let mut text = String::from("Memory outside Go is not sampled.");
    let mut subject = "The program";
    if kind == Kind::Cgo && !c.is_empty() {
        let _ = write!(text, " {subject} can call C in {}.", callers(c, *c_omitted));
        subject = "It";
    }
    if !maps.is_empty() {
        let maps = callers(maps, *maps_omitted);
        let _ = write!(text, " {subject} can map memory in {maps}.");
    }
    if maps.is_empty() && (c.is_empty() || kind == Kind::Mmap) {
        text.push_str(
            " No Go function of the program is known to map memory: libraries may, and raw system calls.",
        );
    }
    let first = if kind == Kind::Cgo { c } else { maps };
    if let Some(caller) = first.first() {
        let function = clean(&caller.function);
        let _ = write!(
            text,
            " Next: --per {function} counts its calls, to compare with the growth."
        );
        // Generic functions and escaped paths have another name as symbols.
        if kind == Kind::Cgo && !function.contains(['[', '%', '"', '\'']) {
            let _ = write!(
                text,
                " Stacks that call it: bpftrace -e 'uprobe:/proc/PID/exe:\"{function}\" {{ @[ustack] = count(); }}'."
            );
        }
    }
    text.push_str(match kind {
        Kind::Cgo => {
            " If C frees all that it allocates, its allocator may keep it: try MALLOC_ARENA_MAX=2, or jemalloc."
        }
        _ => " Stacks that map memory: perf trace -p PID -e mmap,munmap --call-graph fp.",
    });
    text
}

/// `main.parse (C.parse), db.Open (C.open, C.malloc) and 3 more`.
fn callers(callers: &[Caller], omitted: usize) -> String {
    let mut names: Vec<String> = callers
        .iter()
        .take(MAX_NAMED_CALLERS)
        .map(|caller| {
            let functions: Vec<String> = (caller.c_functions.iter())
                .map(|name| format!("C.{}", clean(name)))
                .collect();
            let function = clean(&caller.function);
            if functions.is_empty() {
                function
            } else {
                format!("{function} ({})", functions.join(", "))
            }
        })
        .collect();
    let more = callers.len().saturating_sub(MAX_NAMED_CALLERS) + omitted;
    if more > 0 {
        names.push(format!("{more} more"));
    }
    list(&names)
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
