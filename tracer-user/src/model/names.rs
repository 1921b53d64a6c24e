//! Names of program counters, and the labels that rows are gathered under. Names arrive as events.

use std::collections::HashMap;
use std::sync::Arc;

use crate::go::frame::Frame;
use crate::go::symbol;

use super::rows::GroupBy;

/// Stands in rows for memory without a type: bytes of strings and buffers, and the runtime's own.
pub(super) const NO_TYPE: &str = "(no type)";

/// A frame with the labels under which it counts.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) frame: Arc<Frame>,
    pub(super) runtime: bool,
    function: u32,
    line: u32,
    package: u32,
}

impl Named {
    /// The label's number under a grouping; equal labels of one grouping have equal numbers.
    pub(super) fn label(&self, by: GroupBy) -> u32 {
        match by {
            // The type is the bucket's, not a frame's.
            GroupBy::Function | GroupBy::Type => self.function,
            GroupBy::Line => self.line,
            GroupBy::Package => self.package,
        }
    }
}

/// All names known so far. Bounded by the frames of [`crate::go::buckets::MAX_BUCKETS`] stacks.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    by_pc: HashMap<u64, Named>,
    labels: HashMap<Arc<str>, u32>,
    pub(super) unnamed: u64,
}

impl Names {
    pub(super) fn get(&self, pc: u64) -> Option<&Named> {
        self.by_pc.get(&pc)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (u64, Arc<Frame>)> + '_ {
        self.by_pc
            .iter()
            .map(|(&pc, named)| (pc, named.frame.clone()))
    }

    pub(super) fn insert(&mut self, pc: u64, frame: Arc<Frame>) {
        if self.by_pc.contains_key(&pc) {
            return;
        }
        self.unnamed += u64::from(!frame.is_named());
        let function = self.label(frame.function.clone());
        let line = self.label(format!("{}\0{}:{}", frame.function, frame.file, frame.line).into());
        let package = self.label(frame.package().into());
        let runtime = symbol::is_runtime(&frame.function);
        self.by_pc.insert(
            pc,
            Named {
                frame,
                runtime,
                function,
                line,
                package,
            },
        );
    }

    fn label(&mut self, label: Arc<str>) -> u32 {
        let next = u32::try_from(self.labels.len()).unwrap_or(u32::MAX);
        *self.labels.entry(label).or_insert(next)
    }

    /// The label of a frame's function; `None` for one that is on no stack.
    pub(super) fn function(&self, frame: &Frame) -> Option<u32> {
        self.labels.get(&frame.function).copied()
    }

    /// The label of a Go type, or of memory without one.
    pub(super) fn type_label(&mut self, go_type: Option<&Arc<str>>) -> u32 {
        self.label(go_type.cloned().unwrap_or_else(|| NO_TYPE.into()))
    }

    /// The index of a stack's call site: the innermost frame outside the runtime; on a stack of runtime
    /// frames alone, the innermost that does more than hand out memory. `Err` is the first frame whose
    /// name has to be known first. An empty stack has no call site.
    pub(super) fn site(&self, pcs: &[u64]) -> Result<Option<u32>, u64> {
        let mut innermost_runtime = None;
        for (i, &pc) in (0u32..).zip(pcs) {
            let named = self.get(pc).ok_or(pc)?;
            if !named.runtime {
                return Ok(Some(i));
            }
            if innermost_runtime.is_none() && !symbol::is_allocator(&named.frame.function) {
                innermost_runtime = Some(i);
            }
        }
        Ok(innermost_runtime.or((!pcs.is_empty()).then_some(0)))
    }
}
