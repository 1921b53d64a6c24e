//! The verdict on the process as a whole, and the time until its memory ends.
//!
//! A limit counts the resident set (or the cgroup's usage), so the time to it never follows from the live heap alone: at
//! GOGC=100 each live byte that stays costs two at the next peak, and so does each byte of stacks, which count towards the
//! GC goal as live bytes do (since Go 1.18).

use super::resident_rate::Rates;
use super::rise::Rise;
use crate::model::Model;
use crate::model::anatomy::{self, Anatomy, LimitKind, Moment, Part, shares};
use crate::model::findings::{
    Findings, GrowingKind, GrowthPart, Interval, Kind, Leak, Limit, Missing, Remark, RssComparison,
};
use crate::model::gc::SECOND_NS;
use crate::verdict::Word;
use crate::verdict::growth::{self, Judged};

/// Least bound on growth that is stated, bytes per minute: readings of the live heap do not show less.
const LEAST_BOUND: f64 = 10.0 * 1024.0;
/// The last peak of the resident set is searched this far back: some GC cycles of most programs.
const PEAK_NS: u64 = 120 * SECOND_NS;
/// Growth of the resident set since the baseline below this, and below [`MIN_SHARE`], is not worth a word.
const MIN_BYTES: i64 = 8 << 20;
/// Of the resident set at the baseline.
const MIN_SHARE: f64 = 0.05;
/// A part with this share of the growth is what grew.
const MOST: f64 = 0.5;
/// A part that rises beside a steady heap is reported if it has this share of the growth.
const MUCH: f64 = 0.2;

/// Parts of the resident set whose rise is watched beside their growth.
#[derive(Clone, Debug, Default)]
pub(super) struct Resident {
    outside: Rise,
    stacks: Rise,
    /// Time of the last reading that was judged.
    read_ns: u64,
}

impl Resident {
    fn evaluate(&mut self, anatomy: &Anatomy) {
        if anatomy.now.at_ns == std::mem::replace(&mut self.read_ns, anatomy.now.at_ns) {
            return;
        }
        let series = |part: Part| -> Vec<(u64, u64)> {
            let value = |moment: &Moment| (moment.at_ns, moment.parts.get(part));
            anatomy.history.iter().map(value).collect()
        };
        let rss = anatomy.now.rss_bytes;
        self.outside.evaluate(&series(Part::Anon), rss);
        self.stacks.evaluate(&series(Part::Stacks), rss);
    }

    /// The kind that rose lately and is a good part of the growth, though it is not known to go on.
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

/// Returns the kind of a part. Without a C library in the process, what is not Go's can only be mapped.
pub(super) fn kind(part: Part, has_c: bool) -> Kind {
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

/// Bytes of the resident set that a byte of the live heap costs at the next peak.
fn rss_factor(gogc: Option<u32>, is_limited: bool) -> Option<f64> {
    match gogc {
        _ if is_limited => Some(1.0),
        Some(percent) => Some(1.0 + f64::from(percent) / 100.0),
        None => None,
    }
}

/// Measured rate of the resident set, of a process that grows.
#[derive(Clone, Copy, Debug)]
struct Measured {
    /// Bytes per minute.
    per_min: Interval,
    /// Start of the window.
    from_ns: u64,
}

impl Model {
    /// Judges the parts of the resident set beside the live heap.
    pub(super) fn judge_resident(&mut self) {
        let mut resident = std::mem::take(&mut self.diagnosis.resident);
        if let Some(anatomy) = self.anatomy() {
            resident.evaluate(anatomy);
        }
        self.diagnosis.resident = resident;
    }

    /// The verdict on the process as a whole.
    pub(super) fn judge_process(&self, findings: &mut Findings) {
        let judged = self.diagnosis.whole.judged().clone();
        let has_c = self.anatomy().is_some_and(|anatomy| anatomy.has_c);
        let heap = self.judge_heap(&judged.heap, findings);
        let leaks_goroutines = |leak: &Leak| leak.kind == Kind::Goroutines;
        let has_goroutines =
            findings.leaks.iter().any(leaks_goroutines) || grows(&judged.goroutines);
        let factor = self.factor_without_limits();
        let rates = self.rates(&heap, has_goroutines, &findings.leaks, factor);
        let of_kind = |kind, word, per_min: Option<Interval>, rates: Rates| GrowingKind {
            kind,
            word,
            per_min,
            rss_per_min: rates.resident(factor),
        };
        let mut kinds = Vec::new();
        if heap.word.is_growth() {
            let rates = Rates {
                heap: rates.heap,
                ..Rates::default()
            };
            kinds.push(of_kind(Kind::Heap, heap.word, heap.per_min, rates));
        }
        let of_stacks = Rates {
            stacks: rates.stacks,
            ..Rates::default()
        };
        if has_goroutines {
            let per_min = known_rate(&judged.goroutines);
            kinds.push(of_kind(Kind::Goroutines, Word::Growing, per_min, of_stacks));
        } else if grows(&judged.stacks) {
            kinds.push(of_kind(
                Kind::Stacks,
                Word::Growing,
                rates.stacks,
                of_stacks,
            ));
        }
        if grows(&judged.outside) {
            let rates = Rates {
                outside: rates.outside,
                ..Rates::default()
            };
            let kind = kind(Part::Anon, has_c);
            kinds.push(of_kind(kind, Word::Growing, rates.outside, rates));
        }
        kinds.sort_by(|a, b| {
            let by_word = (b.word == Word::Growing).cmp(&(a.word == Word::Growing));
            let cost = |of: &GrowingKind| of.rss_per_min.map_or(0.0, |rate| rate.value);
            by_word.then(cost(b).total_cmp(&cost(a)))
        });
        let process = &mut findings.process;
        process.heap = heap.word;
        process.kind = kinds.first().map(|first| first.kind);
        // Goroutines hold what grows with them.
        if has_goroutines && process.kind == Some(Kind::Heap) && holds_heap(&findings.leaks) {
            process.kind = Some(Kind::Goroutines);
        }
        if process.kind == Some(Kind::Goroutines) {
            // The largest growth comes first.
            (findings.leaks).sort_by_key(|leak| leak.kind != Kind::Goroutines);
        }
        process.word = kinds.first().map_or(heap.word, |first| first.word);
        process.kinds = kinds;
        let growing = rates
            .resident(factor)
            .filter(|_| findings.process.word.is_growth());
        findings.process.rss_factor = factor;
        self.say_quiet(findings);
        let outside_go = self.outside_go(&findings.process);
        findings.observations.extend(outside_go);
        let since_s = [
            (heap.word.is_growth(), &judged.heap),
            (grows(&judged.stacks), &judged.stacks),
            (grows(&judged.outside), &judged.outside),
        ]
        .into_iter()
        .filter(|(grows, _)| *grows)
        .filter_map(|(_, judged)| judged.rate.map(|rate| rate.from_s))
        .fold(0.0, f64::max);
        let measured = (findings.process.word.is_growth())
            .then(|| self.measured_resident(since_s))
            .flatten();
        let compared = measured.and_then(|measured| self.compare_resident(rates, factor, measured));
        findings.process.rss_comparison = compared;
        findings.process.rss_bytes_per_min =
            compared.map_or(growing, |compared| Some(compared.per_min()));
        if let Some(anatomy) = self.anatomy() {
            self.reckon(findings, anatomy, rates, measured);
        }
    }

    /// Rates of what grows: of the live heap, as judged, and of stacks and memory outside Go.
    fn rates(
        &self,
        heap: &GrowingKind,
        has_goroutines: bool,
        leaks: &[Leak],
        factor: Option<f64>,
    ) -> Rates {
        let judged = self.diagnosis.whole.judged();
        let rate = |judged: &Judged| known_rate(judged).filter(|_| grows(judged));
        let of_heap = heap.per_min.filter(|_| heap.word.is_growth());
        // The number of goroutines shows growth sooner than their stacks do.
        let stacks = rate(&judged.stacks).or_else(|| stacks_of_goroutines(leaks));
        let grows_by_stacks = has_goroutines || grows(&judged.stacks);
        let outside = rate(&judged.outside);
        let rates = Rates {
            heap: of_heap,
            stacks,
            outside,
            is_go_unknown: heap.word.is_growth() && of_heap.is_none()
                || grows_by_stacks && stacks.is_none(),
            is_outside_unknown: grows(&judged.outside) && outside.is_none(),
        };
        if heap.word == Word::Collecting && self.has_collected() {
            return rates.with_open_heap(heap.per_min, factor);
        }
        rates
    }

    /// True if a GC cycle has run since the start of the process.
    fn has_collected(&self) -> bool {
        self.heap().gc_cycles.is_some_and(|cycles| cycles > 0)
    }

    /// The measured rate of the resident set over the window since `since_s` seconds after the attach.
    fn measured_resident(&self, since_s: f64) -> Option<Measured> {
        Some(Measured {
            per_min: self.diagnosis.whole.resident_per_min(since_s)?.into(),
            from_ns: self.target.attached_ns.saturating_add(seconds(since_s)),
        })
    }

    /// Compares the rate of the resident set that follows from `rates` with the measured one.
    fn compare_resident(
        &self,
        rates: Rates,
        factor: Option<f64>,
        measured: Measured,
    ) -> Option<RssComparison> {
        // Without an anatomy a difference has no known cause.
        let history = self.anatomy().map_or(&[][..], |anatomy| &anatomy.history);
        rates.compare(factor, measured.per_min, history, measured.from_ns)
    }

    /// Word and rate of the live heap; both of the whole, whatever the leaks that have names add up to.
    fn judge_heap(&self, judged: &Judged, findings: &mut Findings) -> GrowingKind {
        let process = &mut findings.process;
        let own = judged.rate.map(|rate| Interval::from(rate.per_min));
        let whole = self.rate_since_start().map(Interval::from).or(own);
        let known = whole.and_then(Interval::above_zero);
        if let Some(whole) = known.filter(|_| judged.word.is_growth()) {
            // Leaks are parts of the whole, whose rate is exact.
            fit(&mut findings.leaks, whole.value);
        }
        let of_heap = || (findings.leaks.iter()).filter(|leak| leak.kind == Kind::Heap);
        let named = of_heap()
            .filter_map(|leak| leak.evidence.bytes_per_min)
            .reduce(Interval::plus);
        process.by_chance = judged.rate.and_then(|rate| rate.p_flat);
        process.remark = judged.remark.map(|remark| self.remark(remark));
        process.steady_below_bytes_per_min =
            judged.bound_per_min.map(|bound| bound.max(LEAST_BOUND));
        process.forecast = judged.forecast;
        process.missing = (judged.word == Word::Collecting).then(|| Self::missing(judged));
        // A site may be known to grow before the whole is: by its samples, under the noise of the heap. Where the whole is
        // known to grow by less, the rest falls.
        let is_named = of_heap().any(|leak| leak.word == Word::Growing);
        let contradicts = judged.word == Word::Steady
            && judged
                .bound_per_min
                .zip(named)
                .is_some_and(|(bound, named)| bound < named.low);
        let by_name = is_named && !contradicts;
        process.live_bytes_per_min = match (whole, named) {
            // The slope of the whole may not show it yet; it is no less than what has a name.
            (Some(whole), Some(named)) if by_name && !judged.word.is_growth() => {
                Some(at_least(whole, named))
            }
            (whole, named) => whole.or(named),
        };
        let word = if by_name { Word::Growing } else { judged.word };
        if word.is_growth() {
            // The word may hold while the slope of the whole says nothing. What has a name grows all the same.
            let rate = process.live_bytes_per_min.and_then(Interval::above_zero);
            process.live_bytes_per_min = rate.or(named);
        }
        GrowingKind {
            kind: Kind::Heap,
            word,
            per_min: process.live_bytes_per_min,
            rss_per_min: None,
        }
    }

    /// Evidence that a verdict on the live heap still needs, and the time that the answer takes.
    fn missing(judged: &Judged) -> Missing {
        let cycles = match judged.remark {
            Some(growth::Remark::MissingMarks { missing }) => missing,
            _ => 0,
        };
        let forecast = judged.forecast.as_ref();
        Missing {
            samples: 0,
            cycles: u32::try_from(cycles).unwrap_or(u32::MAX),
            answer_in_s: forecast.and_then(|of| Some(of.at_s()? - of.made_s())),
        }
    }

    fn remark(&self, remark: growth::Remark) -> Remark {
        match remark {
            growth::Remark::TooEarly { in_s } => Remark::TooEarly { in_s },
            growth::Remark::MissingMarks { missing } => Remark::TooFewCycles {
                missing: u32::try_from(missing).unwrap_or(u32::MAX),
            },
            growth::Remark::FollowsLoad(change) => Remark::FollowsLoad { load: change.load },
            growth::Remark::SawTooth { level } => Remark::SawTooth { level_bytes: level },
            growth::Remark::Stopped { at_s } => Remark::Stopped {
                at_ns: self.target.attached_ns + seconds(at_s),
            },
        }
    }

    /// What the resident set grew by where nothing is known to go on growing.
    fn say_quiet(&self, findings: &mut Findings) {
        let Some(anatomy) = self.anatomy() else {
            return;
        };
        let process = &mut findings.process;
        process.parts = parts(anatomy);
        if process.word.is_growth() {
            return;
        }
        process.kind = grown_kind(anatomy, &process.parts);
        // Beside a steady heap something else may rise.
        if process.word == Word::Steady {
            let resident = &self.diagnosis.resident;
            process.rising = resident.rising(&process.parts, anatomy.has_c);
            process.kind = process.rising.or(process.kind);
        }
    }

    /// The factor from live heap to resident set by GOGC; 1 where that is off and GOMEMLIMIT starts the cycles.
    fn factor_without_limits(&self) -> Option<f64> {
        let settings = self.gc_settings()?;
        rss_factor(
            settings.gogc,
            settings.gogc.is_none() && settings.memory_limit_bytes.is_some(),
        )
    }

    /// The slope of the resident set, and the time until it meets the nearest limit.
    fn reckon(
        &self,
        findings: &mut Findings,
        anatomy: &Anatomy,
        rates: Rates,
        measured: Option<Measured>,
    ) {
        let settings = self.gc_settings();
        let go_limit = settings.and_then(|s| s.memory_limit_bytes);
        let gogc = settings.and_then(|s| s.gogc);
        let word = findings.process.word;
        let warms = word == Word::Warming;
        // What warms still grows, at most at its last rate.
        let rates = if warms {
            Rates {
                heap: findings.process.live_bytes_per_min,
                ..rates
            }
        } else {
            rates
        };
        let grows = word.is_growth() || warms;
        let mut nearest: Option<(Limit, bool)> = None;
        for limit in &anatomy.limits {
            let is_limited = limit.kind == LimitKind::GoMemLimit
                || go_limit.is_some_and(|go_limit| go_limit <= limit.bytes);
            // GOMEMLIMIT counts what is Go's.
            let counted = if limit.kind == LimitKind::GoMemLimit {
                Rates {
                    outside: None,
                    is_outside_unknown: false,
                    ..rates
                }
            } else {
                rates
            };
            let room = room(limit, anatomy, is_limited);
            let factor = rss_factor(gogc, is_limited);
            let pace = counted.resident(factor).filter(|_| grows);
            // Where GOMEMLIMIT holds, room is that of live objects, which the resident set does not show.
            let compared = measured
                .filter(|_| !is_limited)
                .and_then(|measured| self.compare_resident(counted, factor, measured));
            let pace = compared.map_or(pace, |compared| Some(compared.pace()));
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
                grows: grows && counted.grows(),
                in_s: pace
                    .map(|pace| time(room, pace))
                    .map(|in_s| if warms { or_later(in_s) } else { in_s }),
            };
            // Without growth, or where its rate is not known, the one with least room, which comes first.
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
            let compared =
                measured.and_then(|measured| self.compare_resident(rates, factor, measured));
            findings.process.rss_comparison = compared;
            findings.process.rss_bytes_per_min = match compared {
                Some(compared) => Some(compared.per_min()),
                None => rates.resident(factor).filter(|_| grows),
            };
        }
        findings.limit = nearest.map(|(limit, _)| limit);
    }
}

/// Lowers the rates of the heap's leaks where they add up to more than the whole, whose rate is known better.
fn fit(leaks: &mut [Leak], whole: f64) {
    let of_heap = |leak: &&mut Leak| leak.kind == Kind::Heap;
    let rates = |leak: &Leak| leak.evidence.bytes_per_min.map_or(0.0, |rate| rate.value);
    let sum: f64 = leaks
        .iter_mut()
        .filter(of_heap)
        .map(|leak| rates(leak))
        .sum();
    if sum <= whole || whole <= 0.0 {
        return;
    }
    for leak in leaks.iter_mut().filter(of_heap) {
        let scaled = leak
            .evidence
            .bytes_per_min
            .map(|rate| rate.times(whole / sum));
        leak.evidence.bytes_per_min = scaled;
    }
}

/// Bytes of stacks that growing goroutines add per minute; `None` if that is unknown of one of their leaks.
fn stacks_of_goroutines(leaks: &[Leak]) -> Option<Interval> {
    let of_goroutines = leaks.iter().filter(|leak| leak.kind == Kind::Goroutines);
    let rates: Option<Vec<Interval>> = of_goroutines
        .map(|leak| leak.evidence.bytes_per_min)
        .collect();
    rates?.into_iter().reduce(Interval::plus)
}

/// True if goroutines and a part of the heap are one leak, or if the only growth of the heap that has a name is what the
/// runtime allocates for them.
fn holds_heap(leaks: &[Leak]) -> bool {
    let of_kind = |kind| leaks.iter().filter(move |leak: &&Leak| leak.kind == kind);
    let is_overhead = of_kind(Kind::Heap).next().is_none();
    of_kind(Kind::Goroutines).any(|leak| {
        is_overhead && !leak.held.is_empty()
            || of_kind(Kind::Heap).any(|heap| heap.letter == leak.letter)
    })
}

/// A rate that is known to be at least another one.
fn at_least(rate: Interval, least: Interval) -> Interval {
    Interval {
        value: rate.value.max(least.value),
        low: rate.low.max(least.low),
        high: rate.high.max(least.high),
    }
}

/// True if a series is said to grow.
fn grows(judged: &Judged) -> bool {
    judged.word == Word::Growing
}

/// The rate of a series that is said to grow.
pub(super) fn known_rate(judged: &Judged) -> Option<Interval> {
    Interval::from(judged.rate?.per_min).above_zero()
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from f64 saturates"
)]
fn seconds(seconds: f64) -> u64 {
    (seconds * SECOND_NS as f64) as u64
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

#[cfg(test)]
mod tests {
    use super::super::others::nameless;
    use super::*;
    use crate::go::frame::Frame;
    use crate::model::anatomy::Parts;
    use crate::model::findings::{Evidence, LeakSite};

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
    fn time_to_a_limit_is_finite_while_rss_falls() {
        let rates = Rates {
            heap: Some(slope(2.0, 0.5)),
            ..Rates::default()
        };
        let compared = rates.compare(Some(2.0), slope(-2.0, 0.5), &[], 0);
        let pace = compared.expect("a comparison").pace();
        let in_s = time(60.0 * MIB as f64, pace);
        assert!((in_s.value - 900.0).abs() < 1e-6, "{in_s:?}");
        assert!((in_s.low - 720.0).abs() < 1e-6, "{in_s:?}");
        assert!(in_s.high.is_infinite(), "{in_s:?}");
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
    fn the_whole_grows_by_no_less_than_what_has_a_name() {
        let rate = at_least(slope(3.0, 5.0), slope(2.0, 0.5));
        let mib = |bytes: f64| bytes / MIB as f64;
        assert!((mib(rate.value) - 3.0).abs() < 1e-9, "{rate:?}");
        assert!(
            (mib(rate.low) - 1.5).abs() < 1e-9,
            "no zero in it: {rate:?}"
        );
        let negative = at_least(slope(-9.0, 2.0), slope(2.0, 0.5));
        assert_eq!(negative, slope(2.0, 0.5));
    }

    #[test]
    fn goroutines_lead_where_only_their_overhead_is_named() {
        let site = LeakSite {
            row: None,
            frame: Frame::unnamed(1).into(),
            evidence: Evidence::default(),
            share: None,
        };
        let leak = |kind, letter, held: &[LeakSite]| Leak {
            held: held.to_vec(),
            ..nameless(kind, letter)
        };
        let goroutines = leak(Kind::Goroutines, 'A', &[site]);
        assert!(holds_heap(std::slice::from_ref(&goroutines)));
        assert!(!holds_heap(&[leak(Kind::Goroutines, 'A', &[])]));
        assert!(!holds_heap(&[goroutines, leak(Kind::Heap, 'B', &[])]));
    }

    #[test]
    fn stacks_grow_with_goroutines_whose_rate_is_known() {
        let leak = |kind, bytes_per_min| Leak {
            evidence: Evidence {
                bytes_per_min,
                ..Evidence::default()
            },
            ..nameless(kind, 'A')
        };
        let (known, unknown) = (Some(slope(2.0, 0.3)), None);
        let heap = leak(Kind::Heap, Some(slope(9.0, 1.0)));
        let of = |leaks: &[Leak]| stacks_of_goroutines(leaks);
        assert_eq!(of(std::slice::from_ref(&heap)), None);
        assert_eq!(of(&[leak(Kind::Goroutines, known), heap]), known);
        let both = [
            leak(Kind::Goroutines, known),
            leak(Kind::Goroutines, unknown),
        ];
        assert_eq!(of(&both), None);
    }

    #[test]
    fn slopes_of_sites_add_with_their_errors() {
        let sum = slope(3.0, 0.3).plus(slope(4.0, 0.4));
        let mib = |bytes: f64| bytes / MIB as f64;
        assert!((mib(sum.low) - 6.5).abs() < 1e-9 && (mib(sum.high) - 7.5).abs() < 1e-9);
    }
}
