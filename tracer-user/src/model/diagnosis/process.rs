//! The verdict on the process as a whole, and when its memory ends.
//!
//! What a limit counts is the resident set (or the cgroup's usage), so time is never reckoned by the live heap alone: at
//! GOGC=100 each live byte that stays costs two at the next peak. What grows beside the heap is judged by readings.

use super::exact::ExactGrowth;
use crate::model::Model;
use crate::model::anatomy::{self, Anatomy, LimitKind, Moment, Part, shares};
use crate::model::findings::{Findings, GrowthPart, Interval, Kind, Limit};
use crate::model::gc::SECOND_NS;
use crate::model::stated::{growth, missing, stated};
use crate::verdict::{self, Word};

/// The last peak of the resident set is searched this far back: some GC cycles of most programs.
const PEAK_NS: u64 = 120 * SECOND_NS;
/// Growth of the resident set since the baseline below this, and below [`MIN_SHARE`], is not worth a word.
const MIN_BYTES: i64 = 8 << 20;
/// Of the resident set at the baseline.
const MIN_SHARE: f64 = 0.05;
/// A part that is this much of the growth is what grows.
const MOST: f64 = 0.5;
/// A part that rises by itself has to be this much of the growth to be told.
const MUCH: f64 = 0.2;

/// Parts of the resident set that are judged by their readings.
#[derive(Clone, Debug, Default)]
pub(super) struct Resident {
    outside: ExactGrowth,
    stacks: ExactGrowth,
    /// When the last reading was that has been judged.
    read_ns: u64,
}

impl Resident {
    fn look(&mut self, anatomy: &Anatomy) {
        if anatomy.now.at_ns == std::mem::replace(&mut self.read_ns, anatomy.now.at_ns) {
            return;
        }
        let series = |part: Part| -> Vec<(u64, u64)> {
            let value = |moment: &Moment| (moment.at_ns, moment.parts.get(part));
            anatomy.history.iter().map(value).collect()
        };
        let rss = anatomy.now.rss_bytes;
        self.outside.look(&series(Part::Anon), rss);
        self.stacks.look(&series(Part::Stacks), rss);
    }

    /// What is not level beside the heap, though nothing says that it goes on, and is a good part of the growth.
    fn rising(&self, parts: &[GrowthPart], has_c: bool) -> Option<Kind> {
        let of = [(Part::Anon, &self.outside), (Part::Stacks, &self.stacks)];
        let rises = |grown: &&GrowthPart| {
            grown.share >= MUCH
                && of
                    .iter()
                    .any(|(part, growth)| kind(*part, has_c) == grown.kind && growth.rises())
        };
        // The largest is the first.
        parts.iter().find(rises).map(|grown| grown.kind)
    }
}

/// The word on what a process keeps that throws most away: a server always does, and that says nothing of what it keeps.
fn kept(of: &verdict::Evidence) -> Word {
    if of.missing.is_none() {
        Word::Steady
    } else {
        Word::Collecting
    }
}

/// What a part is called where it grows. Without a C library in the process, what is not Go's can only be mapped.
fn kind(part: Part, has_c: bool) -> Kind {
    match part {
        Part::Live => Kind::Heap,
        Part::Garbage => Kind::Garbage,
        Part::Waste => Kind::SpanWaste,
        Part::Idle => Kind::IdleSpans,
        Part::Stacks => Kind::Stacks,
        Part::Metadata | Part::Globals => Kind::Metadata,
        Part::Anon if has_c => Kind::Cgo,
        Part::Anon => Kind::Mmap,
        Part::File => Kind::PageCache,
    }
}

/// How many bytes of the resident set a byte of the live heap costs at the next peak.
fn rss_factor(gogc: Option<u32>, is_limited: bool) -> Option<f64> {
    match gogc {
        _ if is_limited => Some(1.0),
        Some(percent) => Some(1.0 + f64::from(percent) / 100.0),
        None => None,
    }
}

impl Model {
    /// Judges the parts of the resident set beside the live heap.
    pub(super) fn judge_resident(&mut self) {
        let mut resident = std::mem::take(&mut self.diagnosis.resident);
        if let Some(anatomy) = self.anatomy() {
            resident.look(anatomy);
        }
        self.diagnosis.resident = resident;
    }

    /// The verdict on the process as a whole.
    pub(super) fn judge_process(&self, findings: &mut Findings) {
        let judged = self.diagnosis.tracks.whole();
        let whole = stated(judged);
        let is_leak = !findings.leaks.is_empty() || whole.word == Word::Growing;
        let process = &mut findings.process;
        process.word = match whole.word {
            Word::Churn => kept(&judged.evidence),
            word => word,
        };
        if is_leak {
            process.word = Word::Growing;
            process.kind = Some(Kind::Heap);
            let heap = findings.leaks.iter().filter(|leak| leak.kind == Kind::Heap);
            let slopes: Vec<Option<Interval>> =
                heap.map(|leak| leak.evidence.bytes_per_min).collect();
            let sum = slopes.iter().copied().flatten().reduce(plus);
            // A leak that only keeps step with the load has no slope of its own: then that of all is the better one.
            let of_all = whole.evidence.bytes_per_min.filter(|all| {
                let is_more = sum.is_none_or(|sum| all.value > sum.value);
                slopes.is_empty() || slopes.contains(&None) && is_more
            });
            process.live_bytes_per_min = of_all.or(sum);
        } else {
            if process.word == Word::Warming {
                process.live_bytes_per_min = judged.evidence.pace.map(|pace| growth(pace.bytes));
            }
            // Both are told of churn too: they are on what is kept.
            process.missing = judged.evidence.missing.map(missing);
            process.steady_below_bytes_per_min = judged.evidence.steady_below_bytes_per_min;
            process.unseen_bytes = self.diagnosis.tracks.whole_replaced();
        }
        if findings
            .leaks
            .first()
            .is_some_and(|leak| leak.kind == Kind::Goroutines)
        {
            process.kind = Some(Kind::Goroutines);
        }
        let Some(anatomy) = self.anatomy() else {
            return;
        };
        process.parts = parts(anatomy);
        let outside = self.diagnosis.resident.outside.bytes_per_min();
        let stacks = self.diagnosis.resident.stacks.bytes_per_min();
        // Of goroutines alone the heap need not grow.
        let heap_grows = whole.word == Word::Growing
            || findings.leaks.iter().any(|leak| leak.kind == Kind::Heap);
        // What the heap adds to the resident set; `None` where it grows at a pace that is not known.
        let of_heap = if heap_grows {
            let live = findings.process.live_bytes_per_min;
            live.and_then(|live| Some(times(live, self.factor_without_limits()?).value))
        } else {
            Some(0.0)
        };
        let is_more = |slope: Option<Interval>| {
            slope
                .zip(of_heap)
                .is_some_and(|(slope, of_heap)| slope.value > of_heap)
        };
        let (is_outside, stacks_lead) = (is_more(outside), is_more(stacks));
        let process = &mut findings.process;
        if is_outside {
            process.word = Word::Growing;
            process.kind = Some(kind(Part::Anon, anatomy.has_c));
        } else if stacks_lead && process.kind != Some(Kind::Goroutines) {
            process.word = Word::Growing;
            process.kind = Some(Kind::Stacks);
        } else if process.word != Word::Growing {
            process.kind = grown_kind(anatomy, &process.parts);
            // Where the heap is level, all of the process need not be.
            if matches!(process.word, Word::Steady | Word::Idle) {
                let resident = &self.diagnosis.resident;
                process.rising = resident.rising(&process.parts, anatomy.has_c);
                process.kind = process.rising.or(process.kind);
            }
        }
        // What warms still grows, at most at its last pace.
        let warms = whole.word == Word::Warming && findings.process.live_bytes_per_min.is_some();
        self.reckon(findings, anatomy, heap_grows || warms, (outside, stacks));
    }

    /// The factor from live heap to resident set by GOGC; 1 where that is off and GOMEMLIMIT starts the cycles.
    fn factor_without_limits(&self) -> Option<f64> {
        let settings = self.gc_settings()?;
        rss_factor(
            settings.gogc,
            settings.gogc.is_none() && settings.memory_limit_bytes.is_some(),
        )
    }

    /// The slope of the resident set, and when it meets the nearest limit.
    fn reckon(
        &self,
        findings: &mut Findings,
        anatomy: &Anatomy,
        heap_grows: bool,
        (outside, stacks): (Option<Interval>, Option<Interval>),
    ) {
        let settings = self.gc_settings();
        let go_limit = settings.and_then(|s| s.memory_limit_bytes);
        let gogc = settings.and_then(|s| s.gogc);
        let live = findings.process.live_bytes_per_min;
        let warms = findings.process.word == Word::Warming;
        let grows = findings.process.word == Word::Growing || warms && heap_grows;
        // All that counts against a limit: where the pace of a part is not known, that of the whole is not.
        let slope = |factor: Option<f64>, outside: Option<Interval>| -> Option<Interval> {
            let heap = if heap_grows {
                Some(times(live?, factor?))
            } else {
                None
            };
            let parts = [heap, outside, stacks].into_iter().flatten();
            parts.reduce(plus).filter(|_| grows)
        };
        let factor = self.factor_without_limits();
        findings.process.rss_factor = factor;
        findings.process.rss_bytes_per_min = slope(factor, outside);
        let mut nearest: Option<(Limit, bool)> = None;
        for limit in &anatomy.limits {
            let is_limited = limit.kind == LimitKind::GoMemLimit
                || go_limit.is_some_and(|go_limit| go_limit <= limit.bytes);
            // GOMEMLIMIT counts what is Go's.
            let is_go = limit.kind == LimitKind::GoMemLimit;
            let outside = outside.filter(|_| !is_go);
            let room = room(limit, anatomy, is_limited);
            let pace = slope(rss_factor(gogc, is_limited), outside);
            // What leads is what is outside of Go: all the rest may stand still.
            let only_outside =
                !heap_grows && stacks.is_none() && outside_leads(findings.process.kind);
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "bytes, at least 0; a cast from f64 saturates"
            )]
            let room_bytes = room as u64;
            let found = Limit {
                kind: limit.kind,
                bytes: limit.bytes,
                room_bytes,
                grows: grows && !(is_go && only_outside),
                in_s: pace
                    .map(|pace| time(room, pace))
                    .map(|in_s| if warms { or_later(in_s) } else { in_s }),
            };
            // Without growth, or where its pace is not known, the one with least room, which comes first.
            let sooner = |(old, _): &(Limit, bool)| match (found.in_s, old.in_s) {
                (Some(new), Some(old)) => new.value < old.value,
                // Nothing that grows counts against the other.
                (Some(_), None) => !old.grows,
                _ => false,
            };
            if nearest.as_ref().is_none_or(sooner) {
                nearest = Some((found, is_limited));
            }
        }
        if let Some((_, is_limited)) = nearest {
            let factor = rss_factor(gogc, is_limited);
            findings.process.rss_factor = factor;
            findings.process.rss_bytes_per_min = slope(factor, outside);
        }
        findings.limit = nearest.map(|(limit, _)| limit);
    }
}

/// Whether what grows is not Go's.
fn outside_leads(kind: Option<Kind>) -> bool {
    matches!(kind, Some(Kind::Cgo | Kind::Mmap))
}

/// Bytes that may still come before a limit is met.
///
/// Where GOMEMLIMIT holds, garbage and idle spans give way, and what is left is room for live objects. Else it is the
/// limit less the last peak: now the resident set may be between two.
fn room(limit: &anatomy::Limit, anatomy: &Anatomy, is_limited: bool) -> f64 {
    let now = &anatomy.now;
    let room = limit.room_bytes() as f64;
    if is_limited {
        let gives_way = now.parts.get(Part::Garbage) + now.parts.get(Part::Idle);
        return room + gives_way as f64;
    }
    let recent = |moment: &&Moment| moment.at_ns.saturating_add(PEAK_NS) >= now.at_ns;
    let peak = anatomy
        .history
        .iter()
        .filter(recent)
        .map(|m| m.rss_bytes)
        .max();
    let above = peak.unwrap_or(0).saturating_sub(now.rss_bytes);
    (room - above as f64).max(0.0)
}

/// Seconds until room is used up: sooner if the slope is steeper, never if it may be flat.
fn time(room: f64, per_min: Interval) -> Interval {
    let seconds = |slope: f64| {
        if slope > 0.0 {
            60.0 * room / slope
        } else {
            f64::INFINITY
        }
    };
    Interval {
        value: seconds(per_min.value),
        low: seconds(per_min.high),
        high: seconds(per_min.low),
    }
}

/// A time that may come later, or never: what warms slows down.
fn or_later(in_s: Interval) -> Interval {
    Interval {
        high: f64::INFINITY,
        ..in_s
    }
}

/// What the resident set grew by since the baseline; empty where that is little.
fn parts(anatomy: &Anatomy) -> Vec<GrowthPart> {
    let Some(baseline) = &anatomy.baseline else {
        return Vec::new();
    };
    let grown = anatomy.now.parts.sum().cast_signed() - baseline.parts.sum().cast_signed();
    if grown < MIN_BYTES || (grown as f64) < MIN_SHARE * baseline.rss_bytes as f64 {
        return Vec::new();
    }
    let shares = shares(&baseline.parts, &anatomy.now.parts);
    let sum: f64 = shares.iter().map(|share| share.bytes as f64).sum();
    let mut parts: Vec<GrowthPart> = Vec::new();
    for share in &shares {
        let (kind, bytes) = (kind(share.part, anatomy.has_c), share.bytes as f64);
        // Metadata and globals are one kind.
        match parts.iter_mut().find(|part| part.kind == kind) {
            Some(part) => {
                part.bytes += bytes;
                part.share += bytes / sum;
            }
            None => parts.push(GrowthPart {
                kind,
                bytes,
                share: bytes / sum,
            }),
        }
    }
    parts.sort_by(|a, b| b.bytes.total_cmp(&a.bytes));
    parts
}

/// What has grown where no verdict says that it goes on: most of the resident set's growth, or the page cache of a
/// cgroup whose usage grew while the resident set did not.
fn grown_kind(anatomy: &Anatomy, parts: &[GrowthPart]) -> Option<Kind> {
    let first = parts.first().filter(|part| part.share >= MOST);
    if let Some(part) = first {
        return (part.kind != Kind::Heap).then_some(part.kind);
    }
    let then = anatomy.baseline.as_ref()?;
    let grown = |now: Option<u64>, then: Option<u64>| {
        Some(now?.cast_signed().wrapping_sub(then?.cast_signed()))
    };
    let usage = grown(anatomy.now.cgroup_usage_bytes, then.cgroup_usage_bytes)?;
    let file = grown(anatomy.now.cgroup_file_bytes, then.cgroup_file_bytes)?;
    let is_cache = parts.is_empty() && usage >= MIN_BYTES && file as f64 >= MOST * usage as f64;
    is_cache.then_some(Kind::PageCache)
}

/// The sum of two slopes: errors add by their squares.
pub(super) fn plus(a: Interval, b: Interval) -> Interval {
    let value = a.value + b.value;
    Interval {
        value,
        low: value - (a.value - a.low).hypot(b.value - b.low),
        high: value + (a.high - a.value).hypot(b.high - b.value),
    }
}

fn times(interval: Interval, factor: f64) -> Interval {
    Interval {
        value: factor * interval.value,
        low: factor * interval.low,
        high: factor * interval.high,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::anatomy::Parts;

    const MIB: u64 = 1 << 20;

    fn slope(mib: f64, error: f64) -> Interval {
        let per_min = |mib: f64| mib * MIB as f64;
        Interval {
            value: per_min(mib),
            low: per_min(mib - error),
            high: per_min(mib + error),
        }
    }

    fn moment(at_s: u64, rss_mib: u64) -> Moment {
        Moment {
            at_ns: at_s * SECOND_NS,
            rss_bytes: rss_mib * MIB,
            ..Moment::default()
        }
    }

    #[test]
    fn time_is_room_by_slope_and_never_where_it_may_be_flat() {
        let in_s = time(60.0 * MIB as f64, slope(2.0, 1.0));
        assert!((in_s.value - 1800.0).abs() < 1e-6);
        assert!((in_s.low - 1200.0).abs() < 1e-6 && (in_s.high - 3600.0).abs() < 1e-6);
        assert!(time(1.0, slope(1.0, 2.0)).high.is_infinite());
    }

    #[test]
    fn room_is_left_of_the_last_peak_and_under_gomemlimit_of_what_does_not_give_way() {
        let limit = anatomy::Limit {
            kind: LimitKind::MemoryMax,
            bytes: 1000 * MIB,
            used_bytes: 500 * MIB,
            reclaimable_bytes: 100 * MIB,
        };
        let mut parts = Parts::default();
        parts.set(Part::Garbage, 150 * MIB);
        parts.set(Part::Idle, 50 * MIB);
        let anatomy = Anatomy {
            now: Moment {
                parts,
                ..moment(600, 400)
            },
            history: vec![moment(60, 900), moment(550, 450), moment(600, 400)],
            ..Anatomy::default()
        };
        let mib = |room: f64| room / MIB as f64;
        assert!((mib(room(&limit, &anatomy, false)) - 550.0).abs() < 1e-6);
        assert!((mib(room(&limit, &anatomy, true)) - 800.0).abs() < 1e-6);
        assert_eq!(rss_factor(Some(100), false), Some(2.0));
        assert_eq!(rss_factor(None, true), Some(1.0));
        assert_eq!(rss_factor(None, false), None, "never collected");
    }

    #[test]
    fn slopes_of_sites_add_with_their_errors() {
        let sum = plus(slope(3.0, 0.3), slope(4.0, 0.4));
        let mib = |bytes: f64| bytes / MIB as f64;
        assert!((mib(sum.low) - 6.5).abs() < 1e-9 && (mib(sum.high) - 7.5).abs() < 1e-9);
    }
}
