//! Words of one series over time: when they begin, how long they hold, when they are withdrawn.

use super::{
    Judged, Remark,
    evidence::{Evaluation, Evidence, Grade, LATE_S, Rules, SURE_SLOWING},
    excursions::{Excursions, READINGS_AFTER, READINGS_AFTER_WHILE_GROWING},
    forecast::{ANSWER_BOUND_MIB, Forecast, Limits, Line},
    history::{History, Sample},
    past::Past,
    rare, teeth,
    trend::{MIN_POINTS, Point, Trend},
    withdrawal::{self, Reported},
};
use crate::verdict::Word;

/// Evaluations in a row that weak evidence takes.
const IN_A_ROW: u32 = 2;
/// Time before a withdrawal from which points still count for the next word.
const KEPT_S: f64 = 45.0;
/// Points up to which the one before the attach counts: it is less exact, and 7 MiB too high on one real program.
const MAX_POINTS_WITH_BEFORE: usize = 5;
/// Gap between points, of which one among the first [`BEFORE_GAPS`] must be as long for the one before to count.
const BEFORE_GAP_S: f64 = 10.0;
/// See [`BEFORE_GAP_S`].
const BEFORE_GAPS: usize = 2;
/// Time without an evaluation that finds growth, after which it is withdrawn.
const UNSUPPORTED_S: f64 = 240.0;
/// Minutes that the window of a steady series spans.
const STEADY_MINUTES: f64 = 2.4;
/// Bound of a steady series: this part of its value per minute, or [`STEADY_MIB`].
const STEADY: f64 = 0.005;
/// Least bound of a steady series, in MiB of live heap per minute.
const STEADY_MIB: f64 = 0.1;
/// Least fall over the window, relative to the value and in MiB of live heap, that leaves growth unbounded: a fall hides what
/// grows beneath it.
const FALLING: f64 = 0.05;
/// See [`FALLING`].
const FALLING_MIB: f64 = 0.5;
/// Points of a series that warms up.
const WARMING_POINTS: usize = 8;
/// Minutes of a series that warms up.
const WARMING_MINUTES: f64 = 2.5;
/// Least `p_slowing` of a series that warms up.
const WARMING_SLOWING: f64 = 0.999;
/// Largest `p_flat` of a series that warms up.
const WARMING_FLAT: f64 = 0.01;
/// Least growth of a series that warms up, relative to its value.
const WARMING: f64 = 0.05;
/// Least growth of a series that warms up, in MiB of live heap.
const WARMING_MIB: f64 = 0.5;
/// Newest points whose median gap is the pace of those to come.
const GAP_POINTS: usize = 6;
/// Part of the usual gap after which a point is overdue. Gaps of one real program wandered between half and twice their median.
const OVERDUE: f64 = 2.0;
/// Largest `p_flat` at which a word taken over from elsewhere is kept.
const TAKEN_OVER_FLAT: f64 = 0.5;

/// One series under judgement.
#[derive(Clone, Debug)]
pub(super) struct Judge {
    rules: &'static Rules,
    history: History,
    uptime_s: Option<f64>,
    /// The last point before the attach; see [`MAX_POINTS_WITH_BEFORE`].
    before: Option<Sample>,
    past: Past,
    word: Word,
    reported: Option<Reported>,
    /// True while the word comes from elsewhere and the series has not earned it.
    is_taken_over: bool,
    stopped_at_s: Option<f64>,
    /// Time of the last evaluation that found growth.
    supported_at_s: f64,
    /// Points before this time belong to a growth that was withdrawn.
    cut_s: f64,
    likely_in_a_row: u32,
    against_in_a_row: u32,
    warming_in_a_row: u32,
}

impl Judge {
    pub(super) fn new(rules: &'static Rules, uptime_s: Option<f64>) -> Self {
        Self {
            rules,
            history: History::new(rules.slot_s),
            uptime_s,
            before: None,
            past: Past::default(),
            word: Word::Collecting,
            reported: None,
            is_taken_over: false,
            stopped_at_s: None,
            supported_at_s: f64::NEG_INFINITY,
            cut_s: f64::NEG_INFINITY,
            likely_in_a_row: 0,
            against_in_a_row: 0,
            warming_in_a_row: 0,
        }
    }

    pub(super) fn set_past(&mut self, past: Past) {
        self.past = past;
    }

    /// Sets the last point before the attach. It counts while points are few and far between.
    pub(super) fn set_before(&mut self, before: Option<Sample>) {
        self.before = before;
    }

    pub(super) fn history(&self) -> &History {
        &self.history
    }

    pub(super) fn history_mut(&mut self) -> &mut History {
        &mut self.history
    }
    pub(super) fn word(&self) -> Word {
        self.word
    }

    /// Raises `probably growing` to `growing`, because other evidence agrees.
    pub(super) fn raise(&mut self) {
        if self.word == Word::ProbablyGrowing {
            self.word = Word::Growing;
        }
    }

    /// Takes over `growing` at a rate that was found elsewhere. It holds until the series itself
    /// contradicts it, or is no longer found there.
    pub(super) fn take_over(&mut self, per_min: f64, now_s: f64) {
        if self.is_taken_over {
            self.supported_at_s = now_s;
        }
        if self.grows() || !per_min.is_finite() {
            return;
        }
        self.is_taken_over = true;
        self.begin(Word::Growing, now_s);
        self.reported = Some(Reported {
            per_min,
            noise: self.rules.mib,
            without_large: false,
        });
    }

    /// Gives back a word that was taken over, unless the series has earned it since.
    pub(super) fn give_back(&mut self) {
        if self.is_taken_over {
            self.end();
        }
    }

    pub(super) fn is_taken_over(&self) -> bool {
        self.is_taken_over
    }

    fn grows(&self) -> bool {
        self.word.is_growth()
    }

    fn begin(&mut self, word: Word, now_s: f64) {
        self.word = word;
        self.supported_at_s = now_s;
        self.against_in_a_row = 0;
    }

    fn end(&mut self) {
        self.word = Word::Collecting;
        self.reported = None;
        self.is_taken_over = false;
        self.against_in_a_row = 0;
        self.likely_in_a_row = 0;
    }

    /// All points that count now, oldest first.
    fn samples(&self) -> Vec<Sample> {
        let after = self.history.samples();
        let before = self.before.iter().copied();
        let with_before: Vec<Sample> = before.chain(after.clone()).collect();
        let gaps = with_before.windows(2).take(BEFORE_GAPS);
        let is_rare = gaps
            .map(|pair| pair[1].at_s - pair[0].at_s)
            .any(|gap| gap >= BEFORE_GAP_S);
        if with_before.len() <= MAX_POINTS_WITH_BEFORE && is_rare {
            with_before
        } else {
            after.collect()
        }
    }

    /// Judges the series as of `now_s`.
    pub(super) fn evaluate(&mut self, now_s: f64) -> Judged {
        let all = self.samples();
        let past = self.past.estimate(&all);
        let excursions = Excursions::of(&all, self.rules.mib);
        let samples = excursions.without(READINGS_AFTER);
        let evaluation = Evaluation {
            rules: self.rules,
            samples: &samples,
            now_s,
            uptime_s: self.uptime_s,
            cut_s: self.cut_s,
            tooth: teeth::level_to_pass(&samples, past.as_ref(), self.rules.mib),
            past: past.as_ref(),
        };
        if samples.len() < MIN_POINTS {
            return self.evaluate_rare(&evaluation);
        }
        let evidence = evaluation.evidence();
        let whole = evaluation.trend();
        if self.grows() {
            let settled = excursions.without(READINGS_AFTER_WHILE_GROWING);
            self.hold(&evaluation, &settled, &evidence, whole.as_ref());
        } else {
            self.advance(&evaluation, &evidence, whole.as_ref());
        }
        let stopped = (self.stopped_at_s).map(|at_s| Remark::Stopped { at_s });
        Judged {
            word: self.word,
            rate: evaluation.rate(),
            bound_per_min: (whole.as_ref())
                .filter(|trend| !is_falling(&evaluation, trend))
                .map(|trend| trend.per_min.high),
            large_per_min: evaluation.large_rate(),
            remark: evidence.remark.or(stopped.filter(|_| !self.grows())),
            forecast: Some(self.forecast(&evaluation, &evidence, whole.as_ref())),
        }
    }

    /// Judges fewer points than a line takes.
    fn evaluate_rare(&mut self, evaluation: &Evaluation) -> Judged {
        let rate = rare::rate(evaluation.samples, self.rules.mib);
        if let Some(rate) = &rate {
            if !self.grows() {
                self.begin(Word::ProbablyGrowing, evaluation.now_s);
            }
            self.reported = Some(Reported {
                per_min: rate.per_min.value,
                noise: self.rules.mib,
                without_large: false,
            });
        }
        let missing = MIN_POINTS - evaluation.samples.len();
        Judged {
            word: self.word,
            rate,
            bound_per_min: None,
            large_per_min: None,
            remark: (!self.grows()).then_some(Remark::MissingMarks { missing }),
            forecast: Some(self.forecast(evaluation, &Evidence::default(), None)),
        }
    }

    /// Facts from which the time of the answer follows. `whole` is `None` while the points are too few for a line.
    fn forecast(
        &self,
        evaluation: &Evaluation,
        evidence: &Evidence,
        whole: Option<&Trend>,
    ) -> Forecast {
        let samples = evaluation.whole();
        let value = evaluation.value();
        let trend = whole.map(|whole| {
            // Large objects, or a long window, may hide what the evidence shows.
            let best = evidence.trend.as_ref();
            best.filter(|best| best.per_min.value > 0.0 && best.p_flat < whole.p_flat)
                .unwrap_or(whole)
        });
        let line = trend.map(|trend| {
            let limits = Limits {
                support: evaluation.support(trend),
                slowing: SURE_SLOWING,
                steady_minutes: STEADY_MINUTES,
                steady: steady_bound(value, self.rules).min(ANSWER_BOUND_MIB * self.rules.mib),
                least_fall: least_fall(value, self.rules),
            };
            Line::of(trend, value, self.rules, limits)
        });
        let start_s = (samples.first()).map_or(0.0, |first| first.at_s.max(0.0));
        let earliest_s = trend.map_or(LATE_S, |trend| evaluation.earliest_s(trend));
        let past_s = self.past.gc_times_s.last().copied();
        let newest_s = samples.last().map(|newest| newest.at_s).or(past_s);
        Forecast {
            now_s: evaluation.now_s,
            newest_s: newest_s.unwrap_or(0.0),
            points: samples.len(),
            gap_s: newest_s.and_then(|at_s| self.gap_s(samples, evaluation.now_s - at_s)),
            value,
            earliest_s: start_s + earliest_s,
            line,
            follows_load: matches!(evidence.remark, Some(Remark::FollowsLoad(_))),
            tooth: evaluation.tooth.filter(|_| evaluation.is_in_tooth()),
        }
    }

    /// Seconds between the newest points, or between the last GC cycles before the attach. Where the next one is overdue, the time
    /// since the newest, `since_s`.
    fn gap_s(&self, samples: &[Sample], since_s: f64) -> Option<f64> {
        let newest = &samples[samples.len().saturating_sub(GAP_POINTS)..];
        let own = newest.windows(2).map(|pair| pair[1].at_s - pair[0].at_s);
        let past = self.past.gc_times_s.windows(2).rev().take(GAP_POINTS);
        let past = past.map(|pair| pair[1] - pair[0]);
        let gaps: Vec<f64> = if newest.len() > 1 {
            own.collect()
        } else {
            past.collect()
        };
        if gaps.is_empty() {
            return None;
        }
        let usual_s = teeth::median(gaps);
        Some(if since_s > OVERDUE * usual_s {
            since_s
        } else {
            usual_s
        })
    }

    /// Keeps, strengthens or withdraws a growth that is reported.
    ///
    /// Only `settled`, the samples without excursions that have just ended, can contradict it.
    fn hold(
        &mut self,
        evaluation: &Evaluation,
        settled: &[Sample],
        evidence: &Evidence,
        whole: Option<&Trend>,
    ) {
        let Some(reported) = self.reported else {
            return;
        };
        let (now_s, mib) = (evaluation.now_s, self.rules.mib);
        if self.is_contradicted(
            settled,
            now_s,
            reported,
            whole,
            evidence.grade > Grade::None,
        ) {
            self.against_in_a_row += 1;
        } else {
            self.against_in_a_row = 0;
        }
        if evidence.grade > Grade::None {
            self.supported_at_s = now_s;
        }
        if self.against_in_a_row >= IN_A_ROW
            || now_s - self.supported_at_s > UNSUPPORTED_S
            || withdrawal::has_dropped(settled, now_s, reported.noise, mib)
        {
            self.end();
            self.stopped_at_s = Some(now_s);
            self.cut_s = now_s - KEPT_S;
        } else if self.against_in_a_row == 0 && evidence.grade > Grade::None {
            if evidence.grade == Grade::Sure {
                self.word = Word::Growing;
                self.is_taken_over = false;
            }
            // What was taken over stays as it was, until the series has earned it.
            if !self.is_taken_over {
                self.reported = evidence.reported().or(self.reported);
            }
        }
    }

    fn is_contradicted(
        &self,
        samples: &[Sample],
        now_s: f64,
        reported: Reported,
        whole: Option<&Trend>,
        is_supported: bool,
    ) -> bool {
        if self.is_taken_over {
            return whole.is_some_and(|trend| trend.p_flat > TAKEN_OVER_FLAT);
        }
        let points: Vec<Point> = if reported.without_large {
            (samples.iter())
                .filter_map(Sample::point_without_large)
                .collect()
        } else {
            samples.iter().map(Sample::point).collect()
        };
        let noise = self.rules.noise();
        withdrawal::is_contradicted(
            &points,
            now_s,
            reported,
            noise,
            self.rules.mib,
            is_supported,
        )
    }

    /// Finds the word of a series whose growth is not reported.
    fn advance(&mut self, evaluation: &Evaluation, evidence: &Evidence, whole: Option<&Trend>) {
        self.likely_in_a_row = match evidence.grade {
            Grade::None => 0,
            _ => self.likely_in_a_row + 1,
        };
        let word = match evidence.grade {
            Grade::Sure => Word::Growing,
            _ if self.likely_in_a_row >= IN_A_ROW => Word::ProbablyGrowing,
            _ => {
                self.word = self.quiet_word(evaluation, whole);
                return;
            }
        };
        self.reported = evidence.reported();
        self.stopped_at_s = None;
        self.begin(word, evaluation.now_s);
    }

    fn quiet_word(&mut self, evaluation: &Evaluation, whole: Option<&Trend>) -> Word {
        let is_warming = whole.is_some_and(|trend| self.is_warming(evaluation, trend));
        self.warming_in_a_row = if is_warming {
            self.warming_in_a_row + 1
        } else {
            0
        };
        let steady = steady_bound(evaluation.value(), self.rules);
        let is_steady = |trend: &Trend| {
            trend.minutes >= STEADY_MINUTES
                && trend.per_min.high <= steady
                && !is_falling(evaluation, trend)
        };
        if self.warming_in_a_row >= IN_A_ROW {
            Word::Warming
        } else if whole.is_some_and(is_steady) {
            Word::Steady
        } else {
            Word::Collecting
        }
    }

    /// True if a curve that ends fits better than a straight line.
    fn is_warming(&self, evaluation: &Evaluation, trend: &Trend) -> bool {
        let least = (WARMING * evaluation.value()).max(WARMING_MIB * self.rules.mib);
        trend.points >= WARMING_POINTS
            && trend.minutes >= WARMING_MINUTES
            && trend.p_slowing >= WARMING_SLOWING
            && trend.p_flat <= WARMING_FLAT
            && trend.per_min.value * trend.minutes >= least
            && !evaluation.is_in_tooth()
            && Evaluation::explained_by_load(evaluation.whole()).is_none()
    }
}

/// Bound on growth below which a series of this value is steady.
fn steady_bound(value: f64, rules: &Rules) -> f64 {
    (STEADY * value).max(STEADY_MIB * rules.mib)
}

/// Least fall over the window that leaves the growth of a series of this value unbounded.
fn least_fall(value: f64, rules: &Rules) -> f64 {
    (FALLING * value).max(FALLING_MIB * rules.mib)
}

/// True if the series falls by more than it wanders.
fn is_falling(evaluation: &Evaluation, trend: &Trend) -> bool {
    let least = least_fall(evaluation.value(), evaluation.rules);
    trend.per_min.high < 0.0 && -trend.per_min.value * trend.minutes >= least
}
