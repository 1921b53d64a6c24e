//! One watch: the events of a process, fed to the model of heaptop, and its word at each evaluation.

use std::fmt;

use heaptop::model::Model;
use heaptop::model::findings::Interval;
use heaptop::verdict::Word;

use crate::heap::{Heap, Kind, Truth};
use crate::process;
use crate::random::Random;

/// Seconds between two evaluations of the model.
const EVALUATION_S: f64 = 15.0;
const MIB: f64 = 1_048_576.0;
/// Time after the end of a rise up to which a word may begin, beside [`LAG_GAPS`]: the end is not to be seen sooner.
const LAG_S: f64 = 60.0;
/// GC gaps after the end of a rise up to which a word may begin.
const LAG_GAPS: f64 = 2.0;
/// GC gaps up to this are short, seconds.
const SHORT_GAP_S: f64 = 20.0;

/// Words of one watch, and what was true.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    pub(crate) kind: Kind,
    number: u64,
    base_mib: f64,
    noise_mib: f64,
    pub(crate) gap_s: f64,
    pub(crate) truth: Truth,
    pub(crate) evaluations: Vec<Evaluation>,
}

/// Findings of one evaluation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evaluation {
    /// Seconds after the attach.
    pub(crate) at_s: f64,
    pub(crate) word: Word,
    /// Rate of the live heap with its 90 % interval, MiB per minute.
    pub(crate) rate: Option<(f64, f64)>,
}

impl Watch {
    /// Simulates watch `number` of a kind.
    pub(crate) fn run(kind: Kind, seed: u64, number: u64) -> Self {
        let mut random = Random::new(seed, kind as u64, number);
        let heap = Heap::draw(kind, &mut random);
        let mut model = Model::default();
        let mut evaluations = Vec::new();
        let mut number_seen = 0;
        for event in process::events(&heap, &mut random) {
            model.apply(event);
            if model.evaluations() == number_seen {
                continue;
            }
            number_seen = model.evaluations();
            let process = &model.findings().process;
            evaluations.push(Evaluation {
                at_s: f64::from(number_seen) * EVALUATION_S,
                word: process.word,
                rate: process.live_bytes_per_min.map(mib),
            });
        }
        Self {
            kind,
            number,
            base_mib: heap.live_at(0.0),
            noise_mib: heap.noise_mib,
            gap_s: heap.gap_s,
            truth: heap.truth,
            evaluations,
        }
    }

    /// True if GC cycles are at most 20 s apart.
    pub(crate) fn has_short_gaps(&self) -> bool {
        self.gap_s <= SHORT_GAP_S
    }

    /// True if `word` began while the heap did not rise. A word that began while it rose, or soon after, is held until it
    /// is withdrawn: that is no false one.
    pub(crate) fn is_false(&self, word: Word) -> bool {
        let rises_until_s = self.truth.rises_until_s;
        let until_s = if rises_until_s > 0.0 {
            rises_until_s + LAG_S + LAG_GAPS * self.gap_s
        } else {
            0.0
        };
        let mut grew = false;
        self.evaluations.iter().any(|evaluation| {
            let grows = evaluation.word.is_growth();
            let rises = evaluation.at_s <= until_s;
            grew = grows && (grew || rises);
            evaluation.word == word && !grew
        })
    }

    /// Word at the last evaluation up to `at_s`.
    pub(crate) fn word_at(&self, at_s: f64) -> Word {
        let until = self.evaluations.iter().take_while(|e| e.at_s <= at_s);
        until
            .last()
            .map_or(Word::default(), |evaluation| evaluation.word)
    }

    /// Evaluations from the first growth word on: those with a growth word, and all.
    pub(crate) fn held(&self) -> (u32, u32) {
        let grows = |evaluation: &&Evaluation| evaluation.word.is_growth();
        let after = self.evaluations.iter().skip_while(|e| !grows(e));
        (count(after.clone().filter(grows)), count(after))
    }

    /// Evaluations with a growth word and a rate: those whose interval holds the true rate, and all.
    pub(crate) fn covered(&self) -> (u32, u32) {
        let Some(rate) = self.truth.mib_per_min else {
            return (0, 0);
        };
        let rates = (self.evaluations.iter())
            .filter(|evaluation| evaluation.word.is_growth())
            .filter_map(|evaluation| evaluation.rate);
        let covered = rates
            .clone()
            .filter(|(low, high)| *low <= rate && rate <= *high);
        (count(covered), count(rates))
    }

    /// Seconds from the end of the growth until no growth word is left; `None` if there was none at the end of the growth,
    /// infinity if it stays to the end of the watch.
    pub(crate) fn withdrawn_after_s(&self) -> Option<f64> {
        let stop_s = self.truth.rises_until_s;
        if !(0.0..f64::INFINITY).contains(&stop_s) || !self.word_at(stop_s).is_growth() {
            return None;
        }
        let withdrawn = (self.evaluations.iter())
            .find(|evaluation| evaluation.at_s > stop_s && !evaluation.word.is_growth());
        Some(withdrawn.map_or(f64::INFINITY, |evaluation| evaluation.at_s - stop_s))
    }
}

/// What was drawn, and a letter for each evaluation: `g`rowing, `p`robably growing, `w`arming, `s`teady, `-` for none.
impl fmt::Display for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self
            .evaluations
            .iter()
            .map(|evaluation| match evaluation.word {
                Word::Growing => 'g',
                Word::ProbablyGrowing => 'p',
                Word::Warming => 'w',
                Word::Steady => 's',
                _ => '-',
            });
        write!(
            f,
            "{} {}: {:.1} MiB, noise {:.2} MiB, a GC every {:.1} s, rises until {:.0} s: {}",
            self.kind.name(),
            self.number,
            self.base_mib,
            self.noise_mib,
            self.gap_s,
            self.truth.rises_until_s,
            words.collect::<String>()
        )
    }
}

fn mib(rate: Interval) -> (f64, f64) {
    (rate.low / MIB, rate.high / MIB)
}

fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A watch with one evaluation for each letter: `g`rowing, `p`robably growing, `-` neither.
    fn watch(words: &str, truth: Truth) -> Watch {
        let evaluations = words.chars().zip(1..).map(|(letter, number)| Evaluation {
            at_s: f64::from(number) * EVALUATION_S,
            word: match letter {
                'g' => Word::Growing,
                'p' => Word::ProbablyGrowing,
                _ => Word::Collecting,
            },
            rate: Some((1.0, 3.0)),
        });
        Watch {
            kind: Kind::Flat,
            number: 0,
            base_mib: 30.0,
            noise_mib: 0.7,
            gap_s: 5.0,
            truth,
            evaluations: evaluations.collect(),
        }
    }

    fn rises_until(rises_until_s: f64) -> Truth {
        Truth {
            mib_per_min: Some(2.0),
            rises_until_s,
        }
    }

    #[test]
    fn a_word_that_began_with_the_growth_is_not_false_while_it_is_held() {
        let truth = rises_until(5.0); // And 70 s more, up to the fifth evaluation.
        assert!(!watch("-ggggggg--", truth).is_false(Word::Growing));
        assert!(!watch("----ggg---", truth).is_false(Word::Growing));
        assert!(watch("-----g----", truth).is_false(Word::Growing));
        assert!(watch("-gg----g--", truth).is_false(Word::Growing));
        assert!(!watch("-----p----", truth).is_false(Word::Growing));
        assert!(watch("-----pp---", truth).is_false(Word::ProbablyGrowing));
        assert!(watch("g---------", rises_until(0.0)).is_false(Word::Growing));
    }

    #[test]
    fn the_word_at_a_time_is_that_of_the_last_evaluation() {
        let watch = watch("-pg", Truth::default());
        assert_eq!(watch.word_at(14.0), Word::Collecting);
        assert_eq!(watch.word_at(30.0), Word::ProbablyGrowing);
        assert_eq!(watch.word_at(600.0), Word::Growing);
    }

    #[test]
    fn evaluations_count_as_held_from_the_first_growth_word_on() {
        assert_eq!(watch("--pg-g", Truth::default()).held(), (3, 4));
        assert_eq!(watch("------", Truth::default()).held(), (0, 0));
    }

    #[test]
    fn coverage_counts_evaluations_with_a_growth_word() {
        assert_eq!(watch("-gg", rises_until(f64::INFINITY)).covered(), (2, 2));
        let other = Truth {
            mib_per_min: Some(4.0),
            ..Truth::default()
        };
        assert_eq!(watch("-gg", other).covered(), (0, 2));
    }

    #[test]
    fn withdrawal_is_measured_from_the_end_of_the_growth() {
        assert_eq!(
            watch("-gggg-", rises_until(40.0)).withdrawn_after_s(),
            Some(50.0)
        );
        assert_eq!(
            watch("-ggggg", rises_until(40.0)).withdrawn_after_s(),
            Some(f64::INFINITY)
        );
        assert_eq!(watch("--gggg", rises_until(40.0)).withdrawn_after_s(), None);
        assert_eq!(
            watch("-ggg--", rises_until(f64::INFINITY)).withdrawn_after_s(),
            None
        );
    }
}
