//! The caller to name with a call site: the innermost frame of the program's own code that decides about the allocation.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use super::attribution::Code;
use super::grouping::Dispatchers;
use super::paths::Paths;
use crate::go::frame::Frame;
use crate::model::Model;

/// Part of what the best caller keeps that a caller keeps at least to be as good: shares of a few samples differ by chance.
const AS_MUCH: f64 = 0.8;
/// Results of searches that are kept until the next evaluation: more than the rows of any screen.
const MAX_FOUND: usize = 1 << 16;

/// Returns the caller of the frame at `from` on a path, outermost first, if one says more than the frame itself.
///
/// In this order: the innermost frame of the main module in another package that is no dispatcher, which would be on
/// every stack; one in the same package; a dispatcher in another package. `None` where no frame of the main module calls it:
/// then [`Separation`] has the answer.
pub(super) fn via(
    path: &[u32],
    from: usize,
    paths: &Paths,
    dispatchers: &Dispatchers,
) -> Option<u32> {
    let function = |label: u32| paths.frame(label).map(|frame| &*frame.function);
    let package = |label: u32| paths.frame(label).map(|frame| frame.package());
    let own = package(*path.get(from)?)?;
    let callers = || path[..from].iter().rev().copied();
    let is_main = |label: &u32| paths.code(*label) == Code::Main;
    let is_own_package = |label: &u32| package(*label) == Some(own);
    let is_root = |label: &u32| function(*label) == Some("main.main");
    let main = |is_wanted: &dyn Fn(&u32) -> bool| callers().filter(is_main).find(|l| is_wanted(l));
    main(&|label| !is_own_package(label) && !dispatchers.contains(*label))
        .or_else(|| main(&|label| is_own_package(label) && !is_root(label)))
        .or_else(|| main(&|label| !is_own_package(label)))
}

/// Samples born and freed.
type Turnover = (u64, u64);

/// Turnover of the stacks as of the last evaluation, and the callers found from it.
///
/// Rows ask once a second, and a search reads all stacks with the frame of a row. The snapshot makes a result depend on
/// the evaluation alone, not on the time of the first query, so that results can be kept until the next one.
#[derive(Clone, Debug, Default)]
pub(super) struct Separation {
    /// By index of the bucket; `None` if its path was unknown at the evaluation.
    turnover: Vec<Option<Turnover>>,
    /// Buckets by label on their paths; built at the first search, which many programs never make.
    users: OnceCell<HashMap<u32, Vec<u32>>>,
    /// Result by bucket and label, at most [`MAX_FOUND`].
    found: RefCell<HashMap<(u32, u32), Option<u32>>>,
}

impl Separation {
    fn users(&self, label: u32, paths: &Paths) -> &[u32] {
        let by_label = self.users.get_or_init(|| {
            let mut by_label: HashMap<u32, Vec<u32>> = HashMap::new();
            for (idx, turnover) in (0u32..).zip(&self.turnover) {
                let path = turnover.and_then(|_| paths.get(idx));
                for &label in path.unwrap_or_default() {
                    by_label.entry(label).or_default().push(idx);
                }
            }
            by_label
        });
        by_label.get(&label).map_or(&[], Vec::as_slice)
    }

    /// Returns the frame of a library above `from` on the path of a bucket that separates its growth from other users of
    /// the frame at `from`.
    fn caller(&self, idx: u32, from: usize, paths: &Paths) -> Option<u32> {
        let path = paths.get(idx)?;
        let label = *path.get(from)?;
        if let Some(known) = self.found.borrow().get(&(idx, label)) {
            return *known;
        }
        let is_library = |label: &u32| {
            let code = paths.code(*label);
            code > Code::Standard && code < Code::Main
        };
        let callers = path[..from].iter().rev().copied().filter(is_library);
        let users = self.users(label, paths).iter().filter_map(|&user| {
            let path = paths.get(user)?;
            let end = path.iter().position(|&on_path| on_path == label)?;
            Some((&path[..end], (*self.turnover.get(user as usize)?)?))
        });
        let caller = separating(callers, users);
        let mut found = self.found.borrow_mut();
        if found.len() >= MAX_FOUND {
            found.clear();
        }
        found.insert((idx, label), caller);
        caller
    }
}

/// Returns the frame among `callers`, innermost first, that separates the growth of a call site from its other users:
/// the innermost one below which the site keeps nearly as much as below any of them. A user is a path down to the call
/// site, outermost first, with its turnover.
///
/// A helper is called for what stays and for what is freed at once. Callers that it shares with the latter explain
/// nothing; where no caller separates, the innermost one is still better than the helper alone.
fn separating<'a>(
    callers: impl Iterator<Item = u32>,
    users: impl Iterator<Item = (&'a [u32], Turnover)>,
) -> Option<u32> {
    let mut through: Vec<(u32, Turnover)> = callers.map(|caller| (caller, (0, 0))).collect();
    if through.len() > 1 {
        for (path, (born, freed)) in users {
            for (_, sum) in (through.iter_mut()).filter(|(caller, _)| path.contains(caller)) {
                *sum = (sum.0 + born, sum.1 + freed);
            }
        }
    }
    let kept = |&(_, (born, freed)): &(u32, Turnover)| {
        if born == 0 {
            return 0.0;
        }
        born.saturating_sub(freed) as f64 / born as f64
    };
    let most = through.iter().map(kept).fold(0.0, f64::max);
    through
        .iter()
        .find(|caller| kept(caller) >= AS_MUCH * most)
        .map(|&(caller, _)| caller)
}

impl Model {
    /// Takes the turnover of all stacks for the searches until the next evaluation.
    pub(super) fn note_turnover(&mut self) {
        let turnover = (0u32..).zip(&self.buckets).map(|(idx, bucket)| {
            self.diagnosis.paths.get(idx)?;
            Some(self.turnover(idx, bucket))
        });
        self.diagnosis.separation = Separation {
            turnover: turnover.collect(),
            ..Separation::default()
        };
    }

    /// The caller to name with the frame of `label` on the stack of a bucket.
    pub(super) fn via(&self, idx: u32, label: u32) -> Option<Arc<Frame>> {
        let diagnosis = &self.diagnosis;
        let paths = &diagnosis.paths;
        let path = paths.get(idx)?;
        let from = path.iter().position(|&on_path| on_path == label)?;
        let caller = via(path, from, paths, &diagnosis.dispatchers)
            .or_else(|| diagnosis.separation.caller(idx, from, paths))?;
        self.frame_on(idx, caller)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COPY_WRAPPER: u32 = 1;
    const LEAK: u32 = 2;
    const OTHER: u32 = 3;
    const SERVE: u32 = 4;

    #[test]
    fn names_the_caller_that_keeps_what_a_shared_helper_makes() {
        let leak = [SERVE, LEAK, COPY_WRAPPER];
        let other = [SERVE, OTHER, COPY_WRAPPER];
        let users = [(&leak[..2], (100, 3)), (&other[..2], (900, 900))];
        let callers = leak[..2].iter().rev().copied();
        assert_eq!(separating(callers, users.into_iter()), Some(LEAK));
    }

    #[test]
    fn names_the_innermost_caller_where_none_separates() {
        let path = [SERVE, LEAK];
        let users = || [(&path[..], (100, 1)), (&path[..], (400, 400))].into_iter();
        let callers = || path.iter().rev().copied();
        assert_eq!(separating(callers(), users()), Some(LEAK));
        assert_eq!(
            separating(callers(), std::iter::empty()),
            Some(LEAK),
            "no samples"
        );
        assert_eq!(separating(std::iter::empty(), users()), None);
    }
}
