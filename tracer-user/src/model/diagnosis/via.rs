//! The caller to name with a call site: the innermost frame of the program's own code that decides about the allocation.

use std::sync::Arc;

use super::attribution::Code;
use super::grouping::Dispatchers;
use super::paths::Paths;
use crate::go::frame::Frame;
use crate::model::Model;

/// Returns the caller of the frame at `from` on a path, outermost first, if one says more than the frame itself.
///
/// In this order: the innermost frame of the main module in another package that is no dispatcher, which would be on
/// every stack; one in the same package; a dispatcher in another package. Where no frame of the main module calls it, the
/// innermost frame of any other module that is no dispatcher tells the callers of a shared helper apart.
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
        .or_else(|| {
            let is_library = |label: &u32| {
                let code = paths.code(*label);
                code > Code::Standard && code < Code::Main
            };
            callers()
                .filter(is_library)
                .find(|label| !dispatchers.contains(*label))
        })
}

impl Model {
    /// The caller to name with the frame of `label` on the stack of a bucket.
    pub(super) fn via(&self, idx: u32, label: u32) -> Option<Arc<Frame>> {
        let paths = &self.diagnosis.paths;
        let path = paths.get(idx)?;
        let from = path.iter().position(|&on_path| on_path == label)?;
        let caller = via(path, from, paths, &self.diagnosis.dispatchers)?;
        self.frame_on(idx, caller)
    }
}
