//! One entity under judgement: its history, its vetoes, and the word it has.

use super::clock::Clock;
use super::evidence::Facts;
use super::flow::{Flow, Weight};
use super::rules::{Judged, judge};
use super::series::{Series, Spread};
use super::windows::N_WINDOWS;
use super::{HISTORY, Verdict, Word};

/// `growing` begins after so many looks in a row that speak for it.
const ENTER: u32 = 2;
/// `growing` ends after so many looks in a row that do not.
const LEAVE: u32 = 4;
/// Before the fourth minute and the third collection nothing but growth is told.
pub(super) const LEAST_LOOKS: u32 = 16;
/// See [`LEAST_LOOKS`].
const LEAST_CYCLES: u32 = 3;
/// Looks over which births tell of churn and silence of idleness: 8 minutes.
const RECENT_LOOKS: usize = 32;
/// Looks over which the bound of a steady entity is taken, the least one counts: 8, 24 and 48 minutes.
pub(super) const BOUND_LOOKS: [usize; 3] = [RECENT_LOOKS, 96, 192];
/// Births in [`RECENT_LOOKS`] from which it may be churn.
const CHURN_BORN: f64 = 20.0;
/// Share of them that may live.
const CHURN_LIVE: f64 = 0.05;
/// Standard errors of a bound that holds in 95 of 100 cases.
pub(super) const Z_BOUND: f64 = 1.645;
/// Where nothing was seen, up to 3 may have been missed (rule of three).
pub(super) const UNSEEN: f64 = 3.0;

/// The judgement of one entity: a call site, all under a common frame, a group of goroutines.
///
/// It may begin at any look: until then nothing happened to the entity. About 7 KiB where something happens at every
/// look for an hour, a few hundred bytes where hardly anything does.
#[derive(Clone, Debug, Default)]
pub struct Track {
    series: Series,
    /// The look that was judged last.
    last: Option<u32>,
    /// By window, newest lowest: in which of the last 16 looks it objected to growth.
    vetoes: [u16; N_WINDOWS],
    /// The same for growth that is less and less.
    warms: u16,
    grows: bool,
    looks_for: u32,
    looks_against: u32,
    /// While it grows: the look from which on windows spoke for it.
    since: Option<u32>,
    verdict: Verdict,
    /// Weights of what lives, of the youngest level.
    live_bytes: f64,
    live_objects: f64,
}

impl Track {
    /// An entity to which nothing has happened since the attach.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is said of it, as of the last look.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// The word alone.
    pub fn word(&self) -> Word {
        self.verdict.word
    }

    /// Judges it anew. To be called once after each [`Clock::look`], with what came and went since the one before; an
    /// empty flow where nothing did. A second call for the same look adds its flow to the next one's judgement.
    pub fn look(&mut self, clock: &Clock, flow: &Flow) {
        let number = clock.number();
        self.series.push(number, clock.oldest(), flow);
        let level = &flow.levels[0];
        self.live_bytes += level.standing_weight.bytes + level.arrived.bytes - level.departed.bytes;
        self.live_objects +=
            level.standing_weight.objects + level.arrived.objects - level.departed.objects;
        let passed = match self.last {
            None => {
                self.vetoes = clock.vetoes_of_none();
                None
            }
            Some(last) => Some(number.saturating_sub(last)),
        };
        if passed == Some(0) {
            return;
        }
        self.last = Some(number);
        if let Some(passed) = passed {
            self.vetoes = self.vetoes.map(|bits| bits.unbounded_shl(passed));
        } else {
            self.vetoes = self.vetoes.map(|bits| bits << 1);
        }
        self.warms = self.warms.unbounded_shl(passed.unwrap_or(1));
        let spread = self.series.spread(clock.oldest(), number);
        let judged = judge(clock, &self.series, &spread, &mut self.vetoes);
        self.hold(&judged);
        let (word, bound) = self.word_now(clock, &spread);
        self.tell(clock, &spread, word, bound, &judged);
    }

    /// Hysteresis: growth is on after some looks in a row, off after some without, or at once by a veto.
    fn hold(&mut self, judged: &Judged) {
        self.warms |= u16::from(judged.warms);
        if judged.grows {
            self.looks_for = self.looks_for.saturating_add(1);
            self.looks_against = 0;
        } else {
            self.looks_for = 0;
            self.looks_against = self.looks_against.saturating_add(1);
        }
        let vetoed = judged.vetoed && !judged.grows;
        let holds = if self.grows {
            self.looks_against < LEAVE
        } else {
            self.looks_for >= ENTER
        };
        self.grows = holds && !vetoed;
    }

    /// The word, and the upper bound of growth in samples per minute.
    fn word_now(&self, clock: &Clock, spread: &Spread) -> (Word, f64) {
        let newest = spread.newest;
        let then = newest.saturating_sub(RECENT_LOOKS);
        let n = spread.n(0, newest);
        // What was not watched was not quiet.
        let watched = clock.watched();
        let bound = BOUND_LOOKS
            .into_iter()
            .filter(|&looks| looks <= watched || watched >= newest)
            .map(|looks| bound(spread, looks))
            .fold(f64::INFINITY, f64::min);
        let since = |counts: &[f64]| counts[newest] - counts[then];
        let (born, died) = (since(&spread.born), since(&spread.departed[0]));
        let is_old = clock.number() >= LEAST_LOOKS
            && clock.now().cycles >= LEAST_CYCLES
            && (watched >= RECENT_LOOKS || watched >= newest);
        let word = if self.grows {
            Word::Growing
        } else if self.warms != 0 {
            Word::Warming
        } else if !is_old {
            Word::Collecting
        } else if born + died < 1.0 {
            Word::Idle
        } else if born >= CHURN_BORN && n <= CHURN_LIVE * born {
            Word::Churn
        } else if bound <= steady_limit(n) {
            Word::Steady
        } else {
            Word::Collecting
        };
        (word, bound)
    }

    fn tell(&mut self, clock: &Clock, spread: &Spread, word: Word, bound: f64, judged: &Judged) {
        let weight = self.live_weight(spread);
        let spoke = (judged.speaks.furthest).map(|from| clock.number_of(from));
        self.since = match word {
            Word::Growing => [self.since, spoke].into_iter().flatten().min(),
            _ => None,
        };
        let facts = Facts {
            clock,
            series: &self.series,
            spread,
            weight,
            bound,
        };
        let before = &self.verdict.evidence;
        let mut evidence = match word {
            Word::Growing => facts
                .for_growing(judged.speaks, self.since.unwrap_or(0), before.growing_per)
                // No window speaks at this look, so what spoke last holds.
                .unwrap_or_else(|| before.clone()),
            _ => facts.for_word(word),
        };
        evidence.since_ns = if self.verdict.word == word && before.since_ns > 0 {
            before.since_ns
        } else {
            clock.last_look_ns()
        };
        self.verdict = Verdict { word, evidence };
    }

    /// Mean weight of the samples that live, as of the youngest level.
    fn live_weight(&self, spread: &Spread) -> Option<Weight> {
        let n = spread.n(0, spread.newest);
        (n >= 1.0).then(|| {
            Weight {
                objects: self.live_objects / n,
                bytes: self.live_bytes / n,
            }
            .sane()
        })
    }
}

/// Below so many samples a minute it is steady: 0.25 % of what lives, at least 2 and at most 8.
pub(super) fn steady_limit(n: f64) -> f64 {
    (0.0025 * n).clamp(2.0, 8.0)
}

/// The upper bound of the growth in samples per minute over the last so many looks.
fn bound(spread: &Spread, looks: usize) -> f64 {
    let newest = spread.newest;
    // The first half minute still shows what was there before.
    let from = newest.saturating_sub(looks).max(2).min(newest);
    let net = spread.n(0, newest) - spread.n(0, from);
    let flow = spread.flow(0, newest) - spread.flow(0, from);
    // At most all of then and now is exchanged.
    let noise = flow
        .min(spread.n(0, newest) + spread.n(0, from))
        .max(0.0)
        .sqrt();
    let minutes = ((newest - from) as f64 / super::LOOKS_PER_MIN).max(1.0 / super::LOOKS_PER_MIN);
    (net + Z_BOUND * noise + UNSEEN) / minutes
}

const _: () = assert!(BOUND_LOOKS[2] <= HISTORY);
