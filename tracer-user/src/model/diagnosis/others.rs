//! Entries for kinds that grow without a call site: memory outside Go, and stacks of goroutines whose number does not grow.

use super::letters::Identity;
use super::process::{kind, known_rate};
use crate::model::Model;
use crate::model::anatomy::Part;
use crate::model::findings::{Evidence, Interval, Kind, Leak};
use crate::verdict::Word;
use crate::verdict::growth::Judged;

/// Set in identities of kinds: labels of sites and ids of goroutines are below.
const KINDS: u64 = 1 << 41;

/// A kind of memory that grows.
pub(super) struct GrowingOther {
    pub(super) identity: Identity,
    kind: Kind,
    per_min: Option<Interval>,
}

impl GrowingOther {
    fn of(part: Part, kind: Kind, judged: &Judged) -> Option<Self> {
        (judged.word == Word::Growing).then(|| {
            let id = KINDS + part as u64;
            Self {
                identity: Identity {
                    under: id,
                    sites: [id].into(),
                },
                kind,
                per_min: known_rate(judged),
            }
        })
    }

    /// Returns the entry, which has no frame.
    pub(super) fn leak(self, letter: char) -> Leak {
        Leak {
            evidence: Evidence {
                bytes_per_min: self.per_min,
                ..Evidence::default()
            },
            ..nameless(self.kind, letter)
        }
    }
}

/// A leak of which only the kind is known.
pub(super) fn nameless(kind: Kind, letter: char) -> Leak {
    Leak {
        letter,
        kind,
        word: Word::Growing,
        under: None,
        kept: None,
        via: None,
        sites: Vec::new(),
        held: Vec::new(),
        evidence: Evidence::default(),
        since_start: None,
        share_bytes: None,
        share_objects: None,
        in_step: Vec::new(),
        driver: None,
    }
}

impl Model {
    /// Returns the kinds beside heap and goroutines that grow.
    pub(super) fn growing_others(&self, has_goroutines: bool) -> Vec<GrowingOther> {
        let judged = self.diagnosis.whole.judged();
        let has_c = self.anatomy().is_some_and(|anatomy| anatomy.has_c);
        let outside = GrowingOther::of(Part::Anon, kind(Part::Anon, has_c), &judged.outside);
        // Stacks of goroutines that leak belong to that leak.
        let is_known = has_goroutines || judged.goroutines.word == Word::Growing;
        let stacks = GrowingOther::of(Part::Stacks, Kind::Stacks, &judged.stacks);
        outside
            .into_iter()
            .chain(stacks.filter(|_| !is_known))
            .collect()
    }
}
