//! Paths: the stacks of all buckets as labels of their functions, as far as their frames have names.

use std::sync::Arc;

use crate::go::frame::Frame;
use crate::go::symbol;
use crate::model::bucket::Bucket;
use crate::model::names::Names;
use crate::model::rows::GroupBy;

use super::attribution::Code;
use super::origin::Origin;

/// A function on some path.
#[derive(Clone, Debug)]
struct Label {
    frame: Arc<Frame>,
    code: Code,
    can_explain: bool,
}

/// Paths by bucket, and what is known of their labels.
#[derive(Clone, Debug, Default)]
pub(super) struct Paths {
    /// By index of the bucket; `None` while a frame has no name.
    by_bucket: Vec<Option<Box<[u32]>>>,
    /// Buckets with a path to find.
    unnamed: Vec<u32>,
    labels: Vec<Option<Label>>,
    origin: Origin,
}

impl Paths {
    /// Paths of a program whose main module is `main_module`, where build information names it.
    pub(super) fn new(main_module: Option<&str>) -> Self {
        Self {
            origin: Origin::new(main_module),
            ..Self::default()
        }
    }

    /// Finds the paths whose frames have names by now.
    pub(super) fn place(&mut self, buckets: &[Bucket], names: &Names) {
        for idx in self.by_bucket.len()..buckets.len() {
            self.by_bucket.push(None);
            self.unnamed.push(u32::try_from(idx).unwrap_or(u32::MAX));
        }
        let unnamed = std::mem::take(&mut self.unnamed);
        for idx in unnamed {
            let path = buckets
                .get(idx as usize)
                .and_then(|bucket| self.path_of(bucket, names));
            if path.is_none() {
                self.unnamed.push(idx);
            }
            self.by_bucket[idx as usize] = path;
        }
    }

    /// The labels of a stack without those of the runtime, outermost first, each once; the call site is last. Of a function
    /// that recurs, its outermost frame counts: recursion through middleware would end every chain of callers early.
    fn path_of(&mut self, bucket: &Bucket, names: &Names) -> Option<Box<[u32]>> {
        let site = bucket.site_frame? as usize;
        let label_of = |pc: u64| names.get(pc).map(|named| named.label(GroupBy::Function));
        let site_label = label_of(*bucket.pcs.get(site)?)?;
        let mut path: Vec<u32> = Vec::new();
        for (i, &pc) in bucket.pcs.iter().enumerate().skip(site).rev() {
            let entry = names.get(pc)?;
            let label = entry.label(GroupBy::Function);
            let is_site = i == site;
            if !is_site && (entry.runtime || label == site_label) || path.contains(&label) {
                continue;
            }
            path.push(label);
            self.know(label, &entry.frame);
        }
        Some(path.into())
    }

    fn know(&mut self, label: u32, frame: &Arc<Frame>) {
        let i = label as usize;
        if i >= self.labels.len() {
            self.labels.resize(i + 1, None);
        }
        let origin = &self.origin;
        self.labels[i].get_or_insert_with(|| Label {
            frame: frame.clone(),
            code: origin.code(frame),
            can_explain: can_explain(frame, origin),
        });
    }

    /// Buckets whose stacks have frames without a name.
    pub(super) fn unnamed(&self) -> &[u32] {
        &self.unnamed
    }

    /// Buckets of an index below `n` whose stacks have frames without a name.
    pub(super) fn unnamed_below(&self, n: usize) -> usize {
        let known = n.saturating_sub(self.by_bucket.len());
        known
            + self
                .unnamed
                .iter()
                .filter(|&&idx| (idx as usize) < n)
                .count()
    }

    /// The path of a bucket; `None` while a name is missing.
    pub(super) fn get(&self, idx: u32) -> Option<&[u32]> {
        self.by_bucket.get(idx as usize)?.as_deref()
    }

    /// The frames of a bucket's path, outermost first; empty while a name is missing.
    pub(super) fn frames(&self, idx: u32) -> Vec<Arc<Frame>> {
        let path = self.get(idx).unwrap_or_default();
        let frames = path.iter().filter_map(|&label| self.frame(label));
        frames.cloned().collect()
    }

    /// A frame with this label.
    pub(super) fn frame(&self, label: u32) -> Option<&Arc<Frame>> {
        self.label(label).map(|label| &label.frame)
    }

    /// The code that a label belongs to.
    pub(super) fn code(&self, label: u32) -> Code {
        self.label(label).map_or(Code::Standard, |label| label.code)
    }

    /// True if a leak below this frame says something: it is no root of the program, and not of the standard library,
    /// which does what it is asked for.
    pub(super) fn can_explain(&self, label: u32) -> bool {
        self.label(label).is_some_and(|label| label.can_explain)
    }

    /// The classification of frames.
    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    fn label(&self, label: u32) -> Option<&Label> {
        self.labels.get(label as usize).and_then(Option::as_ref)
    }
}

fn can_explain(frame: &Frame, origin: &Origin) -> bool {
    let function = &*frame.function;
    frame.is_named()
        && frame.entry != u64::MAX
        && !symbol::is_runtime(function)
        && function != "main.main"
        && !origin.is_standard(frame)
}
