//! Letters of leaks: `A` for the largest when they were first seen, and the same letter for the same leak ever after.

use std::collections::{BTreeMap, BTreeSet};

/// Letters there are.
pub(super) const MAX_LETTERS: usize = 26;

/// What a leak is recognised by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    /// The frame it lies under.
    pub(super) under: u64,
    /// Its sites.
    pub(super) sites: BTreeSet<u64>,
}

/// Letters that were given, with what they were given to.
#[derive(Clone, Debug, Default)]
pub(super) struct Letters {
    given: BTreeMap<char, Identity>,
    /// Earlier letter under which a leak is reported, since it is one with the leak of that letter.
    joined: BTreeMap<char, char>,
}

impl Letters {
    /// A letter for each leak, the largest first, each letter once; `None` beyond the alphabet.
    pub(super) fn give(&mut self, leaks: &[Identity]) -> Vec<Option<char>> {
        let mut letters: Vec<Option<char>> = vec![None; leaks.len()];
        let mut free: BTreeSet<char> = self.given.keys().copied().collect();
        // Under the same frame it is the same leak; after that, whoever has most of its sites.
        for (letter, leak) in letters.iter_mut().zip(leaks) {
            *letter = free
                .iter()
                .copied()
                .find(|letter| self.given[letter].under == leak.under);
            letter.inspect(|letter| {
                free.remove(letter);
            });
        }
        for (letter, leak) in letters.iter_mut().zip(leaks) {
            if letter.is_none() {
                let shared = |l: &char| self.given[l].sites.intersection(&leak.sites).count();
                *letter = free
                    .iter()
                    .copied()
                    .filter(|letter| shared(letter) > 0)
                    .max_by(|a, b| shared(a).cmp(&shared(b)).then(b.cmp(a)));
                letter.inspect(|letter| {
                    free.remove(letter);
                });
            }
        }
        for (letter, leak) in letters.iter_mut().zip(leaks) {
            if letter.is_none() {
                *letter = self.next(&mut free);
                // It may have been that of a leak that is gone.
                letter.inspect(|new| {
                    self.joined.retain(|given, to| given != new && to != new);
                });
            }
            if let Some(letter) = *letter {
                self.given.insert(letter, leak.clone());
            }
        }
        letters
    }

    /// The letter under which the leak of a given letter is reported.
    pub(super) fn reported(&self, given: char) -> char {
        self.joined.get(&given).copied().unwrap_or(given)
    }

    /// Reports a leak under the letter of another one from now on.
    pub(super) fn join(&mut self, given: char, reported: char) {
        if given != reported {
            self.joined.insert(given, reported);
        }
    }

    /// A letter that was never given; once all were, one whose leak is gone.
    fn next(&self, free: &mut BTreeSet<char>) -> Option<char> {
        let never = ('A'..='Z').find(|letter| !self.given.contains_key(letter));
        never.or_else(|| free.pop_first())
    }

    /// Whether two sites were one leak when letters were given last.
    pub(super) fn were_one(&self, a: u64, b: u64) -> bool {
        self.given
            .values()
            .any(|leak| leak.sites.contains(&a) && leak.sites.contains(&b))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn leak(under: u64, sites: &[u64]) -> Identity {
        Identity {
            under,
            sites: sites.iter().copied().collect(),
        }
    }

    #[test]
    fn a_leak_keeps_its_letter_as_it_grows_and_comes_back() {
        let mut letters = Letters::default();
        let (one, two) = (leak(1, &[1]), leak(2, &[2, 3]));
        assert_eq!(
            letters.give(&[one.clone(), two.clone()]),
            [Some('A'), Some('B')]
        );
        // The second becomes the larger one, the first gains a site and with it another frame.
        let wider = leak(9, &[1, 4]);
        assert_eq!(letters.give(&[two.clone(), wider]), [Some('B'), Some('A')]);
        assert_eq!(letters.give(&[leak(7, &[7])]), [Some('C')]);
        assert_eq!(letters.give(&[two]), [Some('B')]);
        assert!(letters.were_one(2, 3) && letters.were_one(1, 4) && !letters.were_one(1, 2));
    }

    #[test]
    fn a_leak_that_is_one_with_another_keeps_its_letter() {
        let mut letters = Letters::default();
        letters.give(&[leak(1, &[1]), leak(2, &[2])]);
        assert_eq!(letters.reported('B'), 'B');
        letters.join('B', 'A');
        letters.give(&[leak(2, &[2])]);
        assert_eq!((letters.reported('B'), letters.reported('A')), ('A', 'A'));
    }

    proptest! {
        #[test]
        fn letters_are_unique(rounds in prop::collection::vec(
            prop::collection::vec((0u64..40, prop::collection::btree_set(0u64..40, 1..4)), 0..40), 1..8)
        ) {
            let mut letters = Letters::default();
            for round in rounds {
                let leaks: Vec<Identity> =
                    round.into_iter().map(|(under, sites)| Identity { under, sites }).collect();
                let given = letters.give(&leaks);
                let unique: BTreeSet<char> = given.iter().copied().flatten().collect();
                prop_assert_eq!(unique.len(), given.iter().flatten().count());
                prop_assert_eq!(unique.len(), leaks.len().min(MAX_LETTERS));
            }
        }
    }
}
