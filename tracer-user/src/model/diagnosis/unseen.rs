//! What lives from before the attach where the source keeps no history: nobody has a sample of it, so nobody sees it die.
//!
//! A full cache that renews itself then looks like growth: what comes is seen, what goes is not. But the runtime tells the
//! live heap as a whole, so that the part of it which no sample explains is known after each cycle. That part shrinks by
//! just what went unseen, and grows by what a source leaves untold of what came. Growth that is not clearly more than what
//! may have gone may be nothing but replacement.

use std::collections::VecDeque;

use super::MINUTE_NS;
use crate::model::rows::Source;
use crate::verdict::{Evidence, Flow, LOOK_NS, Verdict, Word};

/// Looks that are remembered: the 60 minutes that verdicts look back, and the 30 that the oldest level lags behind.
const MAX_LOOKS: usize = 360;
/// A site's growth has to be so many times what went unseen: the same margin as for what is seen to die.
const MARGIN: f64 = 1.25;
/// And so many standard errors of the comparison beyond it.
const ERRORS: f64 = 2.0;
/// What `spans` leaves untold of the growth of the live heap, as a share of what it tells: it hides as much of what went.
/// Measured on programs of the corpus against the runtime's own records, 3 to 7 %; other sources are unbiased.
const UNTOLD_BY_SPANS: f64 = 0.07;

/// The live heap after a cycle.
#[derive(Clone, Copy, Debug)]
struct Live {
    /// Bytes that no sample explains.
    rest: f64,
    /// Bytes that samples stand for.
    sampled: f64,
}

/// One look.
#[derive(Clone, Copy, Debug)]
struct Look {
    live: Live,
    /// Variance of what came and went by samples, as an estimate of bytes, cumulative.
    variance: f64,
}

/// The live heap that no sample explains, look by look.
#[derive(Clone, Debug, Default)]
pub(super) struct Unseen {
    latest: Option<Live>,
    variance: f64,
    looks: VecDeque<Option<Look>>,
    /// See [`UNTOLD_BY_SPANS`].
    untold: f64,
}

impl Unseen {
    pub(super) fn new(source: Source) -> Self {
        Self {
            untold: if source == Source::Spans {
                UNTOLD_BY_SPANS
            } else {
                0.0
            },
            ..Self::default()
        }
    }

    /// After a final cycle: bytes that the runtime marked, and bytes that live samples stand for.
    pub(super) fn cycle(&mut self, live_bytes: f64, sampled_bytes: f64) {
        self.latest = Some(Live {
            rest: live_bytes - sampled_bytes,
            sampled: sampled_bytes,
        });
    }

    /// A look; `flows` are what came and went in it, each of objects of one size.
    pub(super) fn look<'a>(&mut self, flows: impl Iterator<Item = &'a Flow>) {
        self.variance += flows
            .map(|flow| {
                let [level, ..] = &flow.levels;
                level.arrived.sampling_variance() + level.departed.sampling_variance()
            })
            .sum::<f64>();
        let variance = self.variance;
        self.looks
            .push_back(self.latest.map(|live| Look { live, variance }));
        if self.looks.len() > MAX_LOOKS {
            self.looks.pop_front();
        }
    }

    /// The verdict in the place of one on growth that may be replacement, and how many bytes may have gone unseen
    /// meanwhile, at most.
    pub(super) fn instead(&self, verdict: &Verdict) -> Option<(Verdict, f64)> {
        let evidence = &verdict.evidence;
        if verdict.word != Word::Growing {
            return None;
        }
        let (lost, error) = self.lost(evidence)?;
        let perhaps = MARGIN * lost + ERRORS * error;
        // Not by the slope: what only keeps step with the load has none by the minute.
        if evidence.net_bytes.is_none_or(|grown| grown > perhaps) {
            return None;
        }
        let held = Verdict {
            word: Word::Collecting,
            evidence: Evidence {
                per_min: None,
                per_load: None,
                net_bytes: None,
                growing_per: None,
                ..evidence.clone()
            },
        };
        Some((held, perhaps))
    }

    /// Bytes that may have gone unseen within the window of `evidence`, at least 0, and one standard error.
    fn lost(&self, evidence: &Evidence) -> Option<(f64, f64)> {
        let newest = (*self.looks.back()?)?;
        let age_min = f64::from(evidence.age_seconds) / 60.0;
        let back_ns = (evidence.minutes + age_min) * MINUTE_NS;
        let back = (back_ns / LOOK_NS as f64).clamp(0.0, MAX_LOOKS as f64);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped"
        )]
        let first = self.looks.len().saturating_sub(1 + back.ceil() as usize);
        let (at, oldest) = (first..)
            .zip(self.looks.range(first..))
            .find_map(|(at, look)| Some((at, (*look)?)))?;
        let fell = oldest.live.rest - newest.live.rest;
        let grown = (newest.live.sampled - oldest.live.sampled).max(0.0);
        let hidden = fell + self.untold * grown;
        // What is hidden is that of all looks, in which veterans became such; the growth is that of the window alone.
        let looks_min = (self.looks.len() - 1 - at) as f64 * LOOK_NS as f64 / MINUTE_NS;
        let share = (evidence.minutes / looks_min).min(1.0);
        // No more went than there was.
        let there = oldest.live.rest.max(0.0);
        let lost = fell.max(hidden * share).clamp(0.0, there);
        Some((lost, (newest.variance - oldest.variance).max(0.0).sqrt()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{Estimate, Slope, Weight};

    const MIB: f64 = 1_048_576.0;

    fn growing(mib_per_min: f64) -> Verdict {
        let estimate = |value: f64| Estimate {
            value,
            low: 0.9 * value,
            high: 1.1 * value,
        };
        Verdict {
            word: Word::Growing,
            evidence: Evidence {
                per_min: Some(Slope {
                    bytes: estimate(mib_per_min * MIB),
                    objects: estimate(1.0),
                }),
                net_bytes: Some(4.0 * mib_per_min * MIB),
                minutes: 4.0,
                ..Evidence::default()
            },
        }
    }

    /// Growth that only the clock of the load sees.
    fn growing_by_load(mib_per_min: f64) -> Verdict {
        let mut verdict = growing(mib_per_min);
        verdict.evidence.per_load = verdict.evidence.per_min.take();
        verdict
    }

    /// A heap of which 100 MiB are older than the watch, after so many minutes: what samples tell of it grows by `told`
    /// MiB/min, and all of it by `grows`.
    fn watched(source: Source, minutes: u32, grows: f64, told: f64) -> Unseen {
        let mut unseen = Unseen::new(source);
        for look in 0..=4 * minutes {
            let minutes = f64::from(look) / 4.0;
            unseen.cycle((100.0 + grows * minutes) * MIB, told * minutes * MIB);
            unseen.look(std::iter::empty());
        }
        unseen
    }

    /// Ten minutes of a heap whose old part goes, all of the rest being told.
    fn heap(grows_mib_per_min: f64, old_goes_mib_per_min: f64) -> Unseen {
        let grows = grows_mib_per_min - old_goes_mib_per_min;
        watched(Source::Exact, 10, grows, grows_mib_per_min)
    }

    #[test]
    fn a_full_cache_that_renews_itself_does_not_grow() {
        let (held, lost) = heap(3.0, 3.0).instead(&growing(3.0)).expect("replacement");
        assert_eq!(held.word, Word::Collecting);
        assert!((lost / MIB - MARGIN * 12.0).abs() < 1e-6, "{lost}");
        assert_eq!(held.evidence.per_min, None);
    }

    #[test]
    fn a_leak_grows_beside_it() {
        let unseen = heap(10.5, 3.0);
        assert!(unseen.instead(&growing(7.5)).is_none(), "the leak");
        assert!(unseen.instead(&growing(3.0)).is_some(), "the cache");
        assert!(
            unseen.instead(&growing_by_load(7.5)).is_none(),
            "that of the load"
        );
        assert!(unseen.instead(&growing_by_load(3.0)).is_some());
    }

    #[test]
    fn nothing_is_held_where_nothing_went() {
        assert!(heap(7.5, 0.0).instead(&growing(0.1)).is_none());
        assert!(heap(7.5, 0.0).instead(&growing_by_load(0.1)).is_none());
        assert!(Unseen::default().instead(&growing(0.1)).is_none());
    }

    /// What goes of a cache of 0.4 MiB/min is hidden by what samples do not tell of a leak of 9 MiB/min.
    #[test]
    fn a_small_cache_that_renews_itself_is_held_beside_a_leak_of_which_some_is_untold() {
        for untold in [0.05, 0.07] {
            let unseen = watched(Source::Spans, 70, 9.0, (1.0 - untold) * 9.0 + 0.4);
            for (minutes, age_seconds) in [(4.0, 15), (24.0, 15), (16.0, 600), (24.0, 1800)] {
                let of = |mib_per_min: f64| {
                    let mut verdict = growing(mib_per_min);
                    verdict.evidence.minutes = minutes;
                    verdict.evidence.age_seconds = age_seconds;
                    verdict.evidence.net_bytes = Some(minutes * mib_per_min * MIB);
                    unseen.instead(&verdict)
                };
                assert!(of(0.4).is_some(), "the cache at {minutes}, {age_seconds}");
                assert!(of(9.0).is_none(), "the leak at {minutes}, {age_seconds}");
            }
        }
    }

    /// A window of 2 minutes of what has lived for 30 is held against what may be untold of 2 minutes.
    #[test]
    fn what_is_untold_is_that_of_the_window() {
        let unseen = watched(Source::Spans, 40, 7.5, 7.5);
        let mut old = growing(7.5);
        old.evidence.minutes = 2.0;
        old.evidence.age_seconds = 30 * 60;
        old.evidence.net_bytes = Some(2.0 * 7.5 * MIB);
        assert!(unseen.instead(&old).is_none());
    }

    #[test]
    fn no_more_went_than_was_there() {
        let mut unseen = Unseen::new(Source::Spans);
        for look in 0..40 {
            let told = 50.0 * f64::from(look) / 4.0;
            unseen.cycle((2.0 + told) * MIB, told * MIB);
            unseen.look(std::iter::empty());
        }
        assert!(unseen.instead(&growing(1.0)).is_none(), "4 MiB of it");
        assert!(unseen.instead(&growing(0.5)).is_some(), "2 MiB of it");
    }

    /// An array that grows by copies is worth more than all samples beside it, and in the sample for certain.
    #[test]
    fn large_objects_make_the_comparison_no_rougher() {
        let flow_of = |objects: f64, object_bytes: f64| {
            let mut flow = Flow::default();
            let [level, ..] = &mut flow.levels;
            level.arrived.add(Weight {
                objects,
                bytes: objects * object_bytes,
            });
            flow
        };
        let error = |flow: &Flow| {
            let mut unseen = heap(7.5, 0.0);
            unseen.look(std::iter::once(flow));
            unseen.variance.sqrt() / MIB
        };
        assert!(error(&flow_of(1.0, 16.0 * MIB)) < 1e-9);
        let small = error(&flow_of(8192.0, 64.0));
        assert!((small - 0.5).abs() < 1e-3, "{small}");
    }

    #[test]
    fn a_small_growth_is_held_where_the_comparison_is_too_rough_for_it() {
        let mut rough = heap(7.5, 0.0);
        for (look, n) in rough.looks.iter_mut().flatten().zip(0..) {
            // One standard error of 2 MiB over the 4 minutes.
            look.variance = f64::from(n) / 16.0 * (2.0 * MIB).powi(2);
        }
        assert!(rough.instead(&growing(0.3)).is_some(), "1.2 MiB of it");
        assert!(rough.instead(&growing(7.5)).is_none(), "30 MiB of it");
    }
}
