//! Many attaches to recorded traces: how soon each names the growth, and whether it keeps to it.

use std::fmt::Write as _;
use std::time::Duration;

use super::nanoseconds;
use crate::event::Event;
use crate::model::Model;
use crate::model::findings::Findings;
use crate::trace;
use crate::verdict::{Word, wilson};

/// Times after the attach at which the words are compared, seconds.
const TIMES_S: [u64; 6] = [60, 120, 180, 300, 480, 600];
/// Quantile of the normal distribution for 95 % intervals.
const Z_95: f64 = 1.96;
const MIB: f64 = 1_048_576.0;

/// Known truth about the program.
#[derive(Clone, Debug, Default)]
pub(super) struct Truth {
    /// Growth of its live heap, MiB per minute.
    pub(super) mib_per_min: Option<f64>,
    /// Functions that are right to name first, each the end of a full name.
    pub(super) sites: Vec<String>,
    /// The same for `via`.
    pub(super) via: Vec<String>,
}

/// Counts over all attaches at one time.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    attaches: u32,
    growing: u32,
    any: u32,
    steady: u32,
    site: u32,
    via: u32,
}

/// Counts over all evaluations.
#[derive(Clone, Copy, Debug, Default)]
struct Evaluations {
    after_first: u32,
    kept: u32,
    rates: u32,
    covered: u32,
}

/// Counts of all attaches so far.
#[derive(Debug)]
pub(super) struct Counts {
    truth: Truth,
    at: [Count; TIMES_S.len()],
    evaluations: Evaluations,
    /// Seconds from each attach to its first word of growth.
    first_growth_s: Vec<f64>,
}

impl Counts {
    pub(super) fn new(truth: Truth) -> Self {
        Self {
            truth,
            at: [Count::default(); TIMES_S.len()],
            evaluations: Evaluations::default(),
            first_growth_s: Vec::new(),
        }
    }

    /// Attaches to a trace at its start and every `every` from there on.
    pub(super) fn add(&mut self, events: &[Event], every: Duration) {
        let mut after = Duration::ZERO;
        while let Some(later) = trace::attach_at(events, nanoseconds(after)) {
            let first = self.watch(later);
            self.first_growth_s.push(first.unwrap_or(f64::INFINITY));
            after += every;
        }
    }

    /// One watch; returns the seconds until the first word of growth.
    fn watch(&mut self, events: Vec<Event>) -> Option<f64> {
        let Self {
            truth,
            at: counts,
            evaluations,
            ..
        } = self;
        let attached_ns = events.first().map_or(0, Event::at_ns);
        let ends_s = events.last().map_or(0, |event| {
            event.at_ns().saturating_sub(attached_ns) / 1_000_000_000
        });
        let mut model = Model::default();
        let (mut number, mut first) = (0, None);
        let mut due = TIMES_S
            .iter()
            .zip(counts)
            .filter(|(at_s, _)| **at_s <= ends_s)
            .peekable();
        for event in events {
            model.apply(event);
            if model.evaluations() == number {
                continue;
            }
            number = model.evaluations();
            let at_s = f64::from(number) * 15.0;
            let findings = model.findings();
            let word = findings.process.word;
            let is_growth = word.is_growth();
            if is_growth {
                first.get_or_insert(at_s);
            }
            if first.is_some() {
                evaluations.after_first += 1;
                evaluations.kept += u32::from(is_growth);
            }
            if let (Some(rate), Some(true_rate), true) = (
                findings.process.live_bytes_per_min,
                truth.mib_per_min,
                is_growth,
            ) {
                evaluations.rates += 1;
                let is_covered = rate.low <= true_rate * MIB && true_rate * MIB <= rate.high;
                evaluations.covered += u32::from(is_covered);
            }
            while let Some((_, count)) = due.next_if(|(due_s, _)| at_s >= **due_s as f64) {
                note(count, &findings, truth);
            }
        }
        first
    }

    /// The counts as a table of markdown.
    pub(super) fn table(mut self) -> String {
        let mut text = String::from(
            "| at | attaches | growing | any growth | steady | right site | right via |\n| ---: | ---: | --- | --- | --- | --- | --- |\n",
        );
        for (at_s, count) in TIMES_S.iter().zip(&self.at) {
            if count.attaches == 0 {
                continue;
            }
            let of = |n: u32| share(n, count.attaches);
            let _ = writeln!(
                text,
                "| {at_s} s | {} | {} | {} | {} | {} | {} |",
                count.attaches,
                of(count.growing),
                of(count.any),
                of(count.steady),
                of(count.site),
                of(count.via)
            );
        }
        self.first_growth_s.sort_by(f64::total_cmp);
        let median = self
            .first_growth_s
            .get(self.first_growth_s.len() / 2)
            .copied();
        let _ = writeln!(
            text,
            "first growth word after {:.0} s (median of {}); kept in {}; rate covered in {}",
            median.unwrap_or(f64::INFINITY),
            self.first_growth_s.len(),
            share(self.evaluations.kept, self.evaluations.after_first),
            share(self.evaluations.covered, self.evaluations.rates),
        );
        text
    }
}

fn note(count: &mut Count, findings: &Findings, truth: &Truth) {
    let word = findings.process.word;
    count.attaches += 1;
    count.growing += u32::from(word == Word::Growing);
    count.any += u32::from(word.is_growth());
    count.steady += u32::from(word == Word::Steady);
    let ends = |names: &[String], function: &str| {
        names.iter().any(|name| function.ends_with(name.as_str()))
    };
    if let Some(leak) = findings.leaks.first() {
        let mut functions = leak.sites.iter().map(|site| &*site.frame.function);
        let is_right = functions
            .next()
            .is_some_and(|site| ends(&truth.sites, site))
            || ends(&truth.sites, leak.function());
        count.site += u32::from(is_right);
        count.via += u32::from(
            leak.via
                .as_ref()
                .is_some_and(|via| ends(&truth.via, &via.function)),
        );
    }
}

/// A share with its 95 % interval (Wilson).
fn share(part: u32, all: u32) -> String {
    if all == 0 {
        return "-".to_owned();
    }
    let (k, n) = (f64::from(part), f64::from(all));
    let (low, high) = wilson(k, n, Z_95);
    format!("{:.2} ({low:.2}–{high:.2})", k / n)
}
