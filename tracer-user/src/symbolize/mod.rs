//! Names of program counters of one process: Go code from its own tables, the rest by blazesym.

use std::sync::Arc;

use blazesym::Pid;
use blazesym::symbolize::source::{Process, Source};
use blazesym::symbolize::{Input, Symbolized};

use crate::go::frame::Frame;
use crate::go::program::Program;
use crate::process::go_process::GoProcess;
use crate::process::image::Image;
use crate::process::memory::LiveMemory;

/// Names for one process. Results are kept by the model, not here.
#[derive(Debug)]
pub struct Symbolizer {
    pid: u32,
    program: Arc<Program>,
    image: Arc<Image>,
    live: LiveMemory,
    /// Made when the first address outside of Go code comes: most programs have none.
    other: Option<blazesym::symbolize::Symbolizer>,
}

impl Symbolizer {
    /// Names for the code of `process`.
    pub fn new(process: &GoProcess) -> Self {
        Self {
            pid: process.process.pid(),
            program: process.program.clone(),
            image: process.image.clone(),
            live: process.memory(),
            other: None,
        }
    }

    /// The frame of each return address of a bucket, in their order. The runtime has expanded inlined
    /// calls already, one address a frame. An address without a name gets [`Frame::unnamed`].
    ///
    /// Where one is in no Go code that is known, plugins that were loaded since are looked for, once for all of them.
    pub fn names(&mut self, pcs: &[u64]) -> Vec<(u64, Arc<Frame>)> {
        let is_known = |pc: &u64| self.program.module_at(pc.wrapping_sub(1)).is_some();
        if !pcs.iter().all(is_known) {
            Arc::make_mut(&mut self.program).refresh_modules(&self.live);
        }
        pcs.iter()
            .map(|&pc| (pc, Arc::new(self.name(pc))))
            .collect()
    }

    fn name(&mut self, pc: u64) -> Frame {
        self.program
            .innermost_at(&*self.image, &self.live, pc)
            .or_else(|| self.name_of_other(pc))
            .unwrap_or_else(|| Frame::unnamed(pc))
    }

    /// cgo and libc.
    fn name_of_other(&mut self, pc: u64) -> Option<Frame> {
        let call = pc.checked_sub(1)?;
        let other = self
            .other
            .get_or_insert_with(blazesym::symbolize::Symbolizer::new);
        let source = Source::Process(Process::new(Pid::from(self.pid)));
        match other.symbolize_single(&source, Input::AbsAddr(call)).ok()? {
            Symbolized::Sym(sym) => {
                let function: Arc<str> = sym.name.as_ref().into();
                let code = sym.code_info.as_deref();
                Some(Frame {
                    symbol: Arc::clone(&function),
                    function,
                    file: code.map_or_else(
                        || "?".into(),
                        |code| code.to_path().to_string_lossy().into(),
                    ),
                    line: code.and_then(|code| code.line).unwrap_or(0),
                    entry: sym.addr,
                    ..Frame::unnamed(pc)
                })
            }
            Symbolized::Unknown(_) => None,
        }
    }
}
