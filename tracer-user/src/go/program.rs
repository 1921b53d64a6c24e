//! One Go program in one process: its release, its modules, the runtime's variables, and names for pcs.
//!
//! Tables and code are read from the image (the file), where no breakpoint stands and no read grows the
//! target; data is read from live memory. Nothing here keeps either: each call is given what it reads.

use std::collections::HashMap;
use std::sync::Arc;

use super::buckets::{PROF_CYCLE_WRAP, ProfCycle};
use super::buildinfo::BuildInfo;
use super::facts::Facts;
use super::frame::{Frame, name_for_print};
use super::heap_stats;
use super::layout::code_at;
use super::lines::{Expand, Lines};
use super::memory::{Memory, Unreadable};
use super::moduledata::Moduledata;
use super::pclntab::{FuncRange, Pclntab};
use super::static_image::StaticImage;
use super::variables::Variables;
use crate::refusal::Refusal;

pub use super::layout::{FactsFrom, Layout};

/// The function through which C calls Go, of package `runtime/cgo`, go1.18 to go1.27.
const CGO_ENTRY: &str = "crosscall2";

/// Functions that carry probes. They are looked up together with those of the variables' rules, in one
/// pass over the tables.
pub const PROBED_FUNCTIONS: [&str; 6] = [
    "runtime.setprofilebucket",
    "runtime.freeSpecial",
    "runtime.(*gcControllerState).startCycle",
    "runtime.(*gcControllerState).resetLive",
    "runtime.mProf_Flush",
    "runtime.mProf_FlushLocked",
];

/// Reads of the cycle counters before their disagreement counts: they move one after the other at the
/// end of a cycle, with the world stopped for some 100 µs, and a read takes about 1 µs.
const MAX_CYCLE_READS: usize = 2000;

/// Most program counters of a bucket: GODEBUG profstackdepth ends at 1024, and the runtime adds a few.
const MAX_BUCKET_PCS: u64 = 2048;

/// Where a module's tables are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tables {
    /// The executable: from the image, at link-time addresses.
    Image,
    /// A plugin: from live memory.
    Live,
}

/// The executable or a plugin.
#[derive(Clone, Copy, Debug)]
pub struct Module {
    /// Where its code and variables lie.
    pub moduledata: Moduledata,
    /// Its functions and lines.
    pub lines: Lines,
    /// Where the tables are read.
    pub tables: Tables,
}

/// Link-time bounds of a function's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// Address of the first instruction.
    pub start: u64,
    /// First address behind it, with padding.
    pub end: u64,
}

/// A name with its code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The name, as stacks have it.
    pub name: Arc<str>,
    /// Where it lies, by address: nowhere if it is inlined everywhere, several times if it is generic.
    pub codes: Vec<Code>,
}

/// A Go program in a process.
#[derive(Clone, Debug)]
pub struct Program {
    /// The release, as displayed: `go1.24.6`.
    pub version: String,
    /// Offsets and constants of that release.
    pub facts: &'static Facts,
    /// Where they come from.
    pub facts_from: FactsFrom,
    /// What the linker wrote about the program.
    pub build: BuildInfo,
    /// Run-time minus link-time address of the executable; 0 unless it is a PIE.
    pub bias: u64,
    /// The executable, then the plugins that were loaded when it was last looked.
    pub modules: Vec<Module>,
    /// Run-time addresses of the runtime's variables.
    pub vars: Variables,
    functions: Vec<(&'static str, FuncRange)>,
}

impl Program {
    /// Finds everything about the Go runtime of a process that other readers build on.
    ///
    /// * `image`: the executable that the process runs.
    /// * `live`: the memory of the process.
    /// * `bias`: start of the first mapping of the file minus [`StaticImage::first_load_vaddr`].
    ///
    /// What of it depends on the file alone can be kept for other processes: see [`Layout`].
    ///
    /// # Errors
    ///
    /// When it is no Go program, or a check against live memory fails or its release is not in the table, and its debug
    /// information does not help.
    pub fn locate(image: &dyn StaticImage, live: &dyn Memory, bias: u64) -> Result<Self, Refusal> {
        let layout = Layout::of_process(image, live, bias)?;
        Self::in_process(&layout, live, bias).or_else(|refusal| {
            // A process that has ended fails every check.
            let is_there = live.u8(layout.vars.at(bias).numgc).is_ok();
            if layout.facts_from == FactsFrom::Dwarf || !is_there {
                return Err(refusal);
            }
            let by_dwarf = Layout::by_dwarf(image, Some((live, bias)));
            let program = by_dwarf.and_then(|layout| Self::in_process(&layout, live, bias));
            program.map_err(|_| refusal)
        })
    }

    /// The program that a file's layout describes, in one process of it: a handful of reads, which hold the layout
    /// against the process.
    ///
    /// # Errors
    ///
    /// When a check against live memory fails.
    pub fn in_process(layout: &Layout, live: &dyn Memory, bias: u64) -> Result<Self, Refusal> {
        let failed = |why: String| layout.failed(why);
        let facts = layout.facts;
        let addr = layout.moduledata.addr.wrapping_add(bias);
        let moduledata = Moduledata::read(live, addr, &facts.moduledata)
            .filter(|live| live.text == layout.moduledata.moved(bias).text)
            .ok_or_else(|| {
                failed(format!(
                    "the process has no moduledata at {addr:#x}, with load bias {bias:#x}"
                ))
            })?;
        let vars = layout.vars.at(bias);
        check_cycles(live, &vars, facts).map_err(failed)?;
        check_buckets(live, &vars).map_err(failed)?;
        heap_stats::check(live, facts, &vars).map_err(failed)?;
        let main = Module {
            moduledata,
            lines: Lines {
                pclntab: layout.pclntab,
                text: moduledata.text.start,
                gofunc: moduledata.gofunc.wrapping_sub(bias),
            },
            tables: Tables::Image,
        };
        let mut program = Self {
            version: layout.build.version.clone(),
            facts,
            facts_from: layout.facts_from,
            build: layout.build.clone(),
            bias,
            modules: vec![main],
            vars,
            functions: layout.functions.clone(),
        };
        program.refresh_modules(live);
        Ok(program)
    }

    /// Looks for plugins that were loaded since. Cheap: one read where there are none.
    pub fn refresh_modules(&mut self, live: &dyn Memory) {
        let Some(&main) = self.modules.first() else {
            return;
        };
        let facts = &self.facts.moduledata;
        let Some(first) = Moduledata::read(live, main.moduledata.addr, facts) else {
            return; // The process is ending; what is known stays true.
        };
        let plugins = first.chain(live, facts).into_iter().skip(1);
        let plugins = plugins.filter_map(|moduledata| {
            let pclntab = Pclntab::parse(live, moduledata.pc_header, &self.facts.func)?;
            Some(Module {
                moduledata,
                lines: Lines {
                    pclntab,
                    text: moduledata.text.start,
                    gofunc: moduledata.gofunc,
                },
                tables: Tables::Live,
            })
        });
        self.modules = std::iter::once(main).chain(plugins).collect();
    }

    /// Turns the return addresses of a *frame-pointer walk* into those that the runtime would store in a bucket: one
    /// for each logical frame, leaf first, inlined calls expanded and wrappers left out, so that
    /// [`Program::innermost_at`] names each. Addresses outside of Go code stay as they are.
    pub fn expand(&self, image: &dyn Memory, live: &dyn Memory, return_pcs: &[u64]) -> Vec<u64> {
        let mut expanded = Vec::with_capacity(2 * return_pcs.len());
        for &return_pc in return_pcs {
            let calls = self.table_at(image, live, return_pc);
            let calls = calls.and_then(|(module, memory, text_offset)| {
                let calls = module.lines.calls(memory, text_offset)?;
                let text = module.moduledata.text.start;
                Some(
                    calls
                        .into_iter()
                        .map(move |call| text.wrapping_add(call).wrapping_add(1)),
                )
            });
            match calls {
                Some(calls) => expanded.extend(calls),
                None => expanded.push(return_pc),
            }
        }
        expanded
    }

    /// All logical frames behind a return address from a *frame-pointer walk*, innermost first.
    ///
    /// Empty when the address is not in Go code.
    pub fn frames_at(&self, image: &dyn Memory, live: &dyn Memory, return_pc: u64) -> Vec<Frame> {
        self.frames(image, live, return_pc, Expand::All)
    }

    /// The one frame behind a pc of a *bucket*: the runtime has expanded inlined calls before it stored
    /// the stack, with one pc for each logical frame.
    ///
    /// `None` when the address is not in Go code.
    pub fn innermost_at(
        &self,
        image: &dyn Memory,
        live: &dyn Memory,
        return_pc: u64,
    ) -> Option<Frame> {
        self.frames(image, live, return_pc, Expand::Innermost)
            .into_iter()
            .next()
    }

    fn frames(
        &self,
        image: &dyn Memory,
        live: &dyn Memory,
        return_pc: u64,
        expand: Expand,
    ) -> Vec<Frame> {
        let found = self.table_at(image, live, return_pc);
        let frames = found
            .map(|(module, memory, text_offset)| module.lines.frames(memory, text_offset, expand));
        frames.unwrap_or_default()
    }

    /// The module that a return address belongs to, where its tables are read, and the text offset of the call.
    ///
    /// The one place that turns return addresses into addresses of calls: the instruction at a return
    /// address may belong to another line, or to another function when the call never returns. The
    /// runtime keeps to the same convention for the few pcs that are no return addresses: it adds one.
    fn table_at<'m>(
        &self,
        image: &'m dyn Memory,
        live: &'m dyn Memory,
        return_pc: u64,
    ) -> Option<(&Module, &'m dyn Memory, u64)> {
        let call_pc = return_pc.wrapping_sub(1);
        let module = self.module_at(call_pc)?;
        let memory = match module.tables {
            Tables::Image => image,
            Tables::Live => live,
        };
        Some((module, memory, call_pc - module.moduledata.text.start))
    }

    /// The module whose Go code holds a run-time address.
    pub fn module_at(&self, pc: u64) -> Option<&Module> {
        self.modules
            .iter()
            .find(|module| module.moduledata.text.contains(pc))
    }

    /// Run-time address of `runtime.mheap_.sweepgen`: twice the number of GC cycles whose marks are complete.
    pub fn sweepgen(&self) -> u64 {
        self.vars.mheap.wrapping_add(self.facts.mheap.sweepgen)
    }

    /// Returns the run-time address of `runtime.gcController.heapLive`, a u64 in every release.
    pub fn heap_live(&self) -> u64 {
        let offset = self.facts.gc_controller.heap_live;
        self.vars.gc_controller.wrapping_add(offset)
    }

    /// Link-time bounds of one of the [`PROBED_FUNCTIONS`]; `None` when the executable does not have it.
    pub fn function(&self, name: &str) -> Option<Code> {
        let (_, range) = self.functions.iter().find(|(known, _)| *known == name)?;
        Some(self.code_of(*range))
    }

    /// Link-time bounds of any functions of the executable, by full name, in the order of `names`.
    ///
    /// A missing name costs a pass over all names: some 10 ms with 200 000 functions.
    pub fn functions(&self, image: &dyn Memory, names: &[&str]) -> Vec<Option<Code>> {
        let Some(main) = self.modules.first() else {
            return vec![None; names.len()];
        };
        let found = main.lines.pclntab.functions(image, names);
        let codes = found
            .into_iter()
            .map(|range| range.map(|range| self.code_of(range)));
        codes.collect()
    }

    /// Names and link-time bounds of all functions of the executable whose full name begins with one of
    /// `prefixes`, by address.
    ///
    /// Costs a pass over all names and functions: some 10 ms with 200 000 of them.
    pub fn functions_with_prefix(
        &self,
        image: &dyn Memory,
        prefixes: &[&str],
    ) -> Vec<(Arc<str>, Code)> {
        let Some(main) = self.modules.first() else {
            return Vec::new();
        };
        let found = main.lines.pclntab.functions_with_prefix(image, prefixes);
        let codes = found
            .into_iter()
            .map(|(name, range)| (name, self.code_of(range)));
        codes.collect()
    }

    /// True if C code is linked: the program has Go's package `runtime/cgo`. The build setting `CGO_ENABLED` only says that
    /// it could have been.
    pub fn has_cgo(&self, image: &dyn Memory) -> bool {
        let is_entry = &mut |symbol: &str| symbol == CGO_ENTRY;
        self.modules.first().is_some_and(|main| {
            let found = main.lines.pclntab.functions_where(image, is_entry);
            found.iter().any(|(_, ranges)| !ranges.is_empty())
        })
    }

    /// The functions of the executable with a symbol of which `is_wanted` holds, by the names that stacks have; wrappers
    /// that the compiler made are left out. The instances of a generic function have one name.
    ///
    /// Costs a pass over all names and functions: some 10 ms with 200 000 of them.
    pub fn functions_where(
        &self,
        image: &dyn Memory,
        is_wanted: &mut dyn FnMut(&str) -> bool,
    ) -> Vec<Named> {
        let Some(main) = self.modules.first() else {
            return Vec::new();
        };
        let mut all: Vec<Named> = Vec::new();
        let mut by_name: HashMap<Arc<str>, usize> = HashMap::new();
        for (symbol, ranges) in main.lines.pclntab.functions_where(image, is_wanted) {
            let name = name_for_print(&symbol);
            let is_code = |range: &FuncRange| !main.lines.is_wrapper(image, *range);
            let had_code = !ranges.is_empty();
            let codes: Vec<Code> = ranges
                .into_iter()
                .filter(is_code)
                .map(|range| self.code_of(range))
                .collect();
            if had_code && codes.is_empty() {
                continue;
            }
            let at = *by_name.entry(name).or_insert_with_key(|name| {
                all.push(Named {
                    name: Arc::clone(name),
                    codes: Vec::new(),
                });
                all.len() - 1
            });
            all[at].codes.extend(codes);
        }
        all
    }

    fn code_of(&self, range: FuncRange) -> Code {
        let text = self
            .modules
            .first()
            .map_or(0, |main| main.moduledata.text.start);
        code_at(text.wrapping_sub(self.bias), range)
    }
}

/// The three counters of GC cycles must agree: proof that `mheap_`, `memstats`, `mProfCycle` and the
/// offsets in them are right.
fn check_cycles(live: &dyn Memory, vars: &Variables, facts: &Facts) -> Result<(), String> {
    let unreadable = |err: Unreadable| format!("the counters of GC cycles: {err}");
    let mut last = (0, 0, 0);
    for _ in 0..MAX_CYCLE_READS {
        let sweepgen_at = vars.mheap.wrapping_add(facts.mheap.sweepgen);
        let sweepgen = live.u32(sweepgen_at).map_err(unreadable)?;
        let numgc = live.u32(vars.numgc).map_err(unreadable)?;
        let profile = ProfCycle::read(live, facts, vars)
            .map_err(unreadable)?
            .number();
        let agree = sweepgen.is_multiple_of(2)
            && sweepgen / 2 == numgc & (u32::MAX >> 1)
            && profile == numgc % PROF_CYCLE_WRAP;
        if agree {
            return Ok(());
        }
        last = (sweepgen, numgc, profile);
    }
    let (sweepgen, numgc, profile) = last;
    Err(format!(
        "its counters of GC cycles disagree: sweepgen {sweepgen} (twice the cycles), numgc {numgc}, heap profile {profile}"
    ))
}

/// `mbuckets` must be empty or hold a bucket of the heap profile.
fn check_buckets(live: &dyn Memory, vars: &Variables) -> Result<(), String> {
    const TYP: u64 = 16;
    const NSTK: u64 = 40;
    const MEM_PROFILE: u64 = 1;
    let head = live
        .u64(vars.mbuckets)
        .map_err(|err| format!("the list of profile buckets: {err}"))?;
    if head == 0 {
        return Ok(());
    }
    let field = |at: u64| live.u64(head.wrapping_add(at)).ok();
    let is_bucket =
        field(TYP) == Some(MEM_PROFILE) && field(NSTK).is_some_and(|n_pcs| n_pcs <= MAX_BUCKET_PCS);
    if is_bucket {
        Ok(())
    } else {
        Err(format!(
            "mbuckets at {:#x} points to {head:#x}, which is no bucket of the heap profile",
            vars.mbuckets
        ))
    }
}
