//! The order of the table's rows: a total one for every column.

use std::cmp::Ordering;

use super::columns::Set;
use super::format::is_significant;
use crate::model::findings::Word;
use crate::model::rows::SiteRow;

/// What rows are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SortKey {
    /// What grows first, the largest leak before the others, then in-use (the default). Rows that are not judged go by
    /// their growth since the baseline.
    #[default]
    Verdict,
    /// Growth since the baseline; in-use until growth is known.
    Growth,
    /// Bytes per minute.
    Rate,
    /// Objects per minute.
    Objects,
    /// In-use bytes.
    InUse,
    /// Allocated bytes per second.
    Alloc,
    /// Name of the function.
    Name,
    /// Standard error of in-use.
    Error,
    /// In-use objects.
    Count,
    /// Live samples.
    Samples,
    /// Share of what was born since the start that lives.
    Kept,
    /// File and line.
    Location,
    /// Go type.
    Type,
    /// Name of the caller.
    Via,
}

impl SortKey {
    /// All keys with their words, in the order of the menu.
    pub const ALL: [(Self, &'static str); 14] = [
        (Self::Verdict, "verdict"),
        (Self::Growth, "growth since the baseline"),
        (Self::InUse, "in-use bytes"),
        (Self::Rate, "growth per minute, bytes"),
        (Self::Objects, "growth per minute, objects"),
        (Self::Alloc, "allocated per second"),
        (Self::Count, "in-use objects"),
        (Self::Samples, "samples"),
        (Self::Kept, "share kept since the start"),
        (Self::Error, "standard error"),
        (Self::Name, "name"),
        (Self::Via, "caller"),
        (Self::Location, "file and line"),
        (Self::Type, "Go type"),
    ];

    /// The keys whose columns exist.
    pub fn with_meaning(set: Set) -> Vec<(Self, &'static str)> {
        let has_meaning = |key| match key {
            Self::Type => set.types,
            Self::Kept => set.kept,
            _ => true,
        };
        let all = Self::ALL.into_iter();
        all.filter(|(key, _)| has_meaning(*key)).collect()
    }
}

/// What rows are sorted by, and in which direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sort {
    /// The column.
    pub key: SortKey,
    /// Against the column's own direction, which is largest first for figures and a to z for names.
    pub reversed: bool,
}

impl Sort {
    /// Compares two rows, by objects instead of bytes where `objects` are shown.
    ///
    /// Ties fall to in-use, then to the name, then to the identity, so that the order is total.
    pub fn compare(self, a: &SiteRow, b: &SiteRow, objects: bool) -> Ordering {
        let by_key = match (self.value(a, objects), self.value(b, objects)) {
            // What is not known comes last in either direction.
            (None, None) => Ordering::Equal,
            (None, Some(_)) => return Ordering::Greater,
            (Some(_), None) => return Ordering::Less,
            (Some(a), Some(b)) => b.total_cmp(&a),
        };
        let by_key = match self.key {
            SortKey::Verdict => rank(a)
                .cmp(&rank(b))
                .then_with(|| growing(b).total_cmp(&growing(a)))
                .then_with(|| unjudged(b, objects).total_cmp(&unjudged(a, objects))),
            SortKey::Via => via(a).cmp(&via(b)),
            SortKey::Name => a.function.cmp(&b.function),
            SortKey::Location => (&a.file, a.line).cmp(&(&b.file, b.line)),
            SortKey::Type => a.go_type.cmp(&b.go_type),
            _ => by_key,
        };
        let by_key = if self.reversed {
            by_key.reverse()
        } else {
            by_key
        };
        let in_use = |row: &SiteRow| {
            if objects && self.key == SortKey::Verdict {
                row.inuse.objects
            } else {
                row.inuse.bytes
            }
        };
        by_key
            .then_with(|| in_use(b).total_cmp(&in_use(a)))
            .then_with(|| b.inuse.bytes.total_cmp(&a.inuse.bytes))
            .then_with(|| a.function.cmp(&b.function))
            .then_with(|| a.id.cmp(&b.id))
    }

    fn value(self, row: &SiteRow, objects: bool) -> Option<f64> {
        match self.key {
            SortKey::Growth if objects => row
                .growth
                .map(|growth| told(growth.objects, growth.objects_err)),
            SortKey::Growth => row
                .growth
                .map(|growth| told(growth.bytes, growth.bytes_err)),
            SortKey::Rate => row
                .rate
                .map(|rate| told(rate.bytes_per_min, rate.bytes_per_min_err)),
            SortKey::Objects => row
                .rate
                .map(|rate| told(rate.objects_per_min, rate.objects_per_min_err)),
            SortKey::InUse if objects => Some(row.inuse.objects),
            SortKey::InUse => Some(row.inuse.bytes),
            SortKey::Alloc => row.alloc.bytes_per_sec,
            SortKey::Error => Some(row.inuse.bytes_err / row.inuse.bytes.max(1.0)),
            SortKey::Count => Some(row.inuse.objects),
            SortKey::Samples => Some(row.samples as f64),
            SortKey::Kept => row.kept,
            SortKey::Verdict | SortKey::Name | SortKey::Location | SortKey::Type | SortKey::Via => {
                Some(0.0)
            }
        }
    }
}

/// What cannot be told from zero counts as zero, or noise would shuffle the rows that stand still.
fn told(value: f64, err: f64) -> f64 {
    if is_significant(value, err) {
        value
    } else {
        0.0
    }
}

/// Whether a row grows, by its verdict.
pub fn is_growing(row: &SiteRow) -> bool {
    row.verdict
        .as_ref()
        .is_some_and(|verdict| verdict.word == Word::Growing)
}

/// Growing leaks by their letters, of which `A` is the largest; what grows in no leak; then all others.
fn rank(row: &SiteRow) -> (bool, char) {
    if is_growing(row) {
        (false, row.leak.unwrap_or(char::MAX))
    } else {
        (true, char::MAX)
    }
}

/// Bytes a minute of what grows; nothing for others, whose order is that of in-use.
fn growing(row: &SiteRow) -> f64 {
    row.verdict
        .as_ref()
        .filter(|verdict| verdict.word == Word::Growing)
        .and_then(|verdict| verdict.evidence.bytes_per_min)
        .map_or(0.0, |rate| rate.value)
}

/// Growth since the baseline of a row that is not judged, which no judged row stands beside.
fn unjudged(row: &SiteRow, objects: bool) -> f64 {
    match (&row.verdict, row.growth) {
        (None, Some(growth)) if objects => told(growth.objects, growth.objects_err),
        (None, Some(growth)) => told(growth.bytes, growth.bytes_err),
        _ => 0.0,
    }
}

/// A caller's name; rows without one come last.
fn via(row: &SiteRow) -> (bool, Option<&str>) {
    let name = row.via.as_ref().map(|frame| &*frame.function);
    (name.is_none(), name)
}
