//! What the file of a Go program alone tells: its release, and where its tables, variables and functions lie.

use std::borrow::Cow;

use super::buildinfo::BuildInfo;
use super::dwarf::Runtime;
use super::facts::Facts;
use super::memory::Memory;
use super::moduledata::Moduledata;
use super::pclntab::{FuncRange, Pclntab};
use super::program::{Code, PROBED_FUNCTIONS};
use super::static_image::StaticImage;
use super::variables::{self, Source, Variables};
use crate::refusal::Refusal;

/// Where the facts of a program's release come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactsFrom {
    /// The table of releases that were measured.
    Table,
    /// The program's own debug information: its release is newer than the table, or the table's facts failed a check.
    Dwarf,
}

/// Everything about a Go program that is the same in all processes that run its file: all addresses are link-time ones.
///
/// For a quick look at many processes: make it once for each file ([`Layout::of_file`], some milliseconds, no process
/// needed) and keep it; then, for each process, `layout.vars.at(bias)` gives the run-time addresses of the runtime's
/// variables, of which a single read tells, for example, the sampling rate (`mem_profile_rate`, u64). Nothing has been
/// held against the process then; [`super::program::Program::in_process`] does that with a handful of reads, and gives
/// all that a session needs. `bias` is the start of the first mapping of the file minus
/// [`StaticImage::first_load_vaddr`].
#[derive(Clone, Debug)]
pub struct Layout {
    /// Offsets and constants of its release.
    pub facts: &'static Facts,
    /// Where they come from.
    pub facts_from: FactsFrom,
    /// What the linker wrote about the program.
    pub build: BuildInfo,
    /// The executable's own module, without the plugins behind it.
    pub moduledata: Moduledata,
    /// Its function table.
    pub pclntab: Pclntab,
    /// The runtime's variables.
    pub vars: Variables,
    pub(super) functions: Vec<(&'static str, FuncRange)>,
}

impl Layout {
    /// Reads the file of a program: the headers of tables, a few functions and a search through its writable
    /// data; with 200 000 functions that is some milliseconds.
    ///
    /// # Errors
    ///
    /// When it is no Go program, its release is not known, or something of the runtime cannot be found. An externally
    /// linked PIE of Go 1.25 or older without section headers is refused here and not by [`Layout::of_process`].
    pub fn of_file(image: &dyn StaticImage) -> Result<Self, Refusal> {
        Self::find(image, None)
    }

    /// As [`Layout::of_file`], with the memory of a process at `bias` for what the file leaves to the loader.
    ///
    /// # Errors
    ///
    /// As [`Layout::of_file`].
    pub fn of_process(
        image: &dyn StaticImage,
        live: &dyn Memory,
        bias: u64,
    ) -> Result<Self, Refusal> {
        Self::find(image, Some((live, bias)))
    }

    /// As [`Layout::of_process`], by the program's debug information, whatever the table has of its release: for when a
    /// check of the table's facts fails. Reads all of that information: with 60 MiB of it, about a second.
    ///
    /// # Errors
    ///
    /// As [`Layout::of_file`], and when there is no debug information.
    pub fn by_dwarf(
        image: &dyn StaticImage,
        live: Option<(&dyn Memory, u64)>,
    ) -> Result<Self, Refusal> {
        let build = BuildInfo::read(image)?;
        let runtime = read_dwarf(image);
        let facts = runtime.and_then(|runtime| Ok((runtime.facts(build.minor)?, runtime)));
        let (facts, runtime) = facts.map_err(|why| unknown_release(&build, &why))?;
        let facts = facts.with_experiments(&build.experiments).kept();
        Self::with_facts(image, live, build, facts, Some(&runtime))
    }

    fn find(image: &dyn StaticImage, live: Option<(&dyn Memory, u64)>) -> Result<Self, Refusal> {
        let build = BuildInfo::read(image)?;
        match Facts::of_release(build.minor, build.patch) {
            Some(facts) => {
                let facts = facts.with_experiments(&build.experiments).kept();
                Self::with_facts(image, live, build, facts, None)
                    .or_else(|refusal| Self::by_dwarf(image, live).map_err(|_| refusal))
            }
            None if build.minor > newest_minor() => Self::by_dwarf(image, live),
            None => Err(unknown_release(&build, "")),
        }
    }

    fn with_facts(
        image: &dyn StaticImage,
        live: Option<(&dyn Memory, u64)>,
        build: BuildInfo,
        facts: &'static Facts,
        runtime: Option<&Runtime>,
    ) -> Result<Self, Refusal> {
        let failed = |why: String| failed_check(&build, why);
        let pclntab = Pclntab::find(image, &facts.func)?;
        let in_process = || {
            let (live, bias) = live?;
            let addr = Moduledata::find(image, live, bias, &pclntab)?;
            let found = Moduledata::read(live, addr, &facts.moduledata)?;
            Some(found.moved(bias.wrapping_neg()))
        };
        let moduledata = Moduledata::find_in_file(image, &pclntab, &facts.moduledata)
            .or_else(in_process)
            .ok_or_else(|| {
                failed(format!(
                    "no moduledata points to the function table at {:#x}",
                    pclntab.addr
                ))
            })?;
        let text = moduledata.text.start;
        let is_code = |addr: u64| {
            let mut segments = image.segments().iter();
            segments.any(|segment| segment.executable && segment.contains(addr))
        };
        if !is_code(text) {
            return Err(failed(format!(
                "moduledata names {text:#x} as the start of the code, which is not in an executable segment"
            )));
        }
        let mut names: Vec<&'static str> = variables::functions(facts)
            .chain(PROBED_FUNCTIONS)
            .collect();
        names.sort_unstable();
        names.dedup();
        let functions: Vec<_> = names
            .iter()
            .zip(pclntab.functions(image, &names))
            .filter_map(|(name, found)| Some((*name, found?)))
            .collect();
        let code = |name: &str| {
            let (_, range) = functions.iter().find(|(known, _)| *known == name)?;
            let code = code_at(text, *range);
            Some((code.start, code.end))
        };
        let vars = variables::find(&Source {
            image,
            facts,
            module: &moduledata,
            known: &|name| runtime?.variable(name),
            code: &code,
        })
        .map_err(failed)?;
        Ok(Self {
            facts,
            facts_from: match runtime {
                Some(_) => FactsFrom::Dwarf,
                None => FactsFrom::Table,
            },
            build,
            moduledata,
            pclntab,
            vars,
            functions,
        })
    }

    /// Link-time bounds of one of the [`PROBED_FUNCTIONS`]; `None` when the executable does not have it.
    pub fn function(&self, name: &str) -> Option<Code> {
        let (_, range) = self.functions.iter().find(|(known, _)| *known == name)?;
        Some(code_at(self.moduledata.text.start, *range))
    }

    /// A refusal of this program because of what a check found.
    pub(super) fn failed(&self, why: String) -> Refusal {
        failed_check(&self.build, why)
    }
}

/// Addresses of a function, with `text` those of `moduledata.text`.
pub(super) fn code_at(text: u64, range: FuncRange) -> Code {
    Code {
        start: text.wrapping_add(range.start.into()),
        end: text.wrapping_add(range.end.into()),
    }
}

/// The structs of the runtime as the program's debug information has them.
fn read_dwarf(image: &dyn StaticImage) -> Result<Runtime, String> {
    let section = |name: &str| -> Cow<'static, [u8]> {
        let bytes = image.debug_section(name);
        bytes.unwrap_or_default().into()
    };
    if section(".debug_abbrev").is_empty() {
        return Err("the program has no debug information (DWARF) to read its structs from".into());
    }
    Runtime::read(section)
}

/// A refusal of a release that the table does not have; `dwarf`: why the program's debug information does not serve.
fn unknown_release(build: &BuildInfo, dwarf: &str) -> Refusal {
    let (why, next) = if build.minor > newest_minor() {
        (
            format!("this heaptop reads {}, and {dwarf}", known_series()),
            "update heaptop to a version that reads this release of Go",
        )
    } else {
        (
            format!("this heaptop reads {}", known_series()),
            "update heaptop, in case a later version reads this release of Go; `heaptop ps` shows the memory of the process meanwhile",
        )
    };
    Refusal::new(
        format!("cannot read the runtime of {}", build.version),
        why,
        next,
    )
}

fn newest_minor() -> u16 {
    Facts::known_minors().max().unwrap_or(0)
}

/// The series of Go that the table has: `Go 1.18 to 1.27`.
fn known_series() -> String {
    let oldest = Facts::known_minors().min().unwrap_or(0);
    format!("Go 1.{oldest} to 1.{}", newest_minor())
}

fn failed_check(build: &BuildInfo, why: String) -> Refusal {
    let experiments = if build.experiments.is_empty() {
        String::new()
    } else {
        format!(" with experiments {}", build.experiments.join(", "))
    };
    Refusal::new(
        format!("cannot read the runtime of {}{experiments}", build.version),
        why,
        "update heaptop; if it still refuses, report this with the output of `go version -m` for the program",
    )
}
