//! The caller to name with a call site: the innermost frame of the program's own code that decides about the allocation.

use std::sync::Arc;

use super::attribution::Code;
use super::grouping::Dispatchers;
use super::paths::Paths;
use crate::go::frame::Frame;
use crate::model::Model;

/// Part of what the best caller keeps that a caller keeps at least to be as good: shares of a few samples differ by chance.
const AS_MUCH: f64 = 0.8;

/// Returns the caller of the frame at `from` on a path, outermost first, if one says more than the frame itself.
///
/// In this order: the innermost frame of the main module in another package that is no dispatcher, which would be on
/// every stack; one in the same package; a dispatcher in another package. `None` where no frame of the main module calls it:
/// then [`separating`] has the answer.
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

/// A stack of a call site.
struct User<'a> {
    /// Its labels down to the call site, outermost first.
    path: &'a [u32],
    /// Samples born and freed.
    turnover: (u64, u64),
}

/// Returns the frame among `callers`, innermost first, that separates the growth of a call site from its other users:
/// the innermost one below which the site keeps nearly as much as below any of them.
///
/// A helper is called for what stays and for what is freed at once. Callers that it shares with the latter explain
/// nothing; where no caller separates, the innermost one is still better than the helper alone.
fn separating(callers: impl Iterator<Item = u32>, users: &[User<'_>]) -> Option<u32> {
    let kept = |caller: u32| {
        let through = users.iter().filter(|user| user.path.contains(&caller));
        let (born, freed) = through.fold((0, 0), |(born, freed), user| {
            (born + user.turnover.0, freed + user.turnover.1)
        });
        if born == 0 {
            return 0.0;
        }
        born.saturating_sub(freed) as f64 / born as f64
    };
    let kept: Vec<(u32, f64)> = callers.map(|caller| (caller, kept(caller))).collect();
    let most = kept.iter().map(|(_, share)| *share).fold(0.0, f64::max);
    kept.into_iter()
        .find(|(_, share)| *share >= AS_MUCH * most)
        .map(|(caller, _)| caller)
}

impl Model {
    /// The caller to name with the frame of `label` on the stack of a bucket.
    pub(super) fn via(&self, idx: u32, label: u32) -> Option<Arc<Frame>> {
        let paths = &self.diagnosis.paths;
        let path = paths.get(idx)?;
        let from = path.iter().position(|&on_path| on_path == label)?;
        let caller = via(path, from, paths, &self.diagnosis.dispatchers)
            .or_else(|| self.separating_caller(path, from))?;
        self.frame_on(idx, caller)
    }

    /// The frame of a library above `from` on a path that separates its growth from other users of that frame.
    fn separating_caller(&self, path: &[u32], from: usize) -> Option<u32> {
        let paths = &self.diagnosis.paths;
        let is_library = |label: &u32| {
            let code = paths.code(*label);
            code > Code::Standard && code < Code::Main
        };
        let callers = path[..from].iter().rev().copied().filter(is_library);
        let label = *path.get(from)?;
        let users: Vec<User<'_>> = (0u32..)
            .zip(&self.buckets)
            .filter_map(|(idx, bucket)| {
                let path = paths.get(idx)?;
                let end = path.iter().position(|&on_path| on_path == label)?;
                Some(User {
                    path: &path[..end],
                    turnover: self.turnover(idx, bucket),
                })
            })
            .collect();
        separating(callers, &users)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COPY_WRAPPER: u32 = 1;
    const LEAK: u32 = 2;
    const OTHER: u32 = 3;
    const SERVE: u32 = 4;

    fn user(path: &[u32], turnover: (u64, u64)) -> User<'_> {
        User { path, turnover }
    }

    #[test]
    fn names_the_caller_that_keeps_what_a_shared_helper_makes() {
        let leak = [SERVE, LEAK, COPY_WRAPPER];
        let other = [SERVE, OTHER, COPY_WRAPPER];
        let users = [user(&leak, (100, 3)), user(&other, (900, 900))];
        let callers = leak.iter().rev().copied();
        assert_eq!(separating(callers, &users), Some(LEAK));
    }

    #[test]
    fn names_the_innermost_caller_where_none_separates() {
        let path = [SERVE, LEAK];
        let users = [user(&path, (100, 1)), user(&path, (400, 400))];
        let callers = || path.iter().rev().copied();
        assert_eq!(separating(callers(), &users), Some(LEAK));
        assert_eq!(separating(callers(), &[]), Some(LEAK), "no samples");
        assert_eq!(separating(std::iter::empty(), &users), None);
    }
}
