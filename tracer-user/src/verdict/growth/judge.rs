//! Words of one series over time: when they begin, how long they hold, when they are withdrawn.

use super::{
    Judged, Remark,
    evidence::{Evaluation, Evidence, Grade, Rules},
    excursions::{Excursions, READINGS_AFTER, READINGS_AFTER_WHILE_GROWING},
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
            remark: evidence.remark.or(stopped.filter(|_| !self.grows())),
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
            remark: (!self.grows()).then_some(Remark::MissingMarks { missing }),
        }
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
        let steady = (STEADY * evaluation.value()).max(STEADY_MIB * self.rules.mib);
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

/// True if the series falls by more than it wanders.
fn is_falling(evaluation: &Evaluation, trend: &Trend) -> bool {
    let least = (FALLING * evaluation.value()).max(FALLING_MIB * evaluation.rules.mib);
    trend.per_min.high < 0.0 && -trend.per_min.value * trend.minutes >= least
}
