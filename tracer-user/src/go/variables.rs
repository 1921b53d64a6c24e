//! The runtime's variables in a process: by the symbol table where there is one, else by the operands of
//! the functions that use them. Either way they must lie where variables of their kind lie.
//!
//! The rules hold for every build of the releases in [`super::facts`]: executables and PIEs, cgo, external linking,
//! PGO. Builds with `-gcflags=all=-N -l` break some of them, but have symbols unless stripped on purpose.

use super::facts::{Facts, HeapFacts, ProfCycleFacts};
use super::moduledata::Moduledata;
use super::operands::rip_operand;
use super::static_image::StaticImage;

/// Addresses of the runtime's variables: run-time ones, but link-time ones in a [`super::layout::Layout`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Variables {
    /// `mbuckets`: pointer to the newest bucket of the heap profile.
    pub mbuckets: u64,
    /// `MemProfileRate`: i64, average bytes between two samples; 0 is off.
    pub mem_profile_rate: u64,
    /// `mProfCycle` (`mProf` in 1.18): see [`super::buckets::ProfCycle::read`].
    pub mprof_cycle: u64,
    /// `mheap_`.
    pub mheap: u64,
    /// `gcController`.
    pub gc_controller: u64,
    /// `memstats`.
    pub memstats: u64,
    /// `memstats.numgc`: u32, completed cycles.
    pub numgc: u64,
    /// `firstmoduledata`.
    pub firstmoduledata: u64,
    /// `sweep.active.state`: u32, 0x80000000 once all spans are swept. `None` where its rule failed:
    /// then the end of a sweep is only known from the start of the next cycle.
    pub sweep_state: Option<u64>,
    /// `allp`: slice of pointers to every `p`. Only looked for in 1.18, whose counters of allocations need it.
    pub allp: Option<u64>,
    /// The list of all goroutines. `None` where its rules failed: then goroutines are not known.
    pub allgs: Option<AllGs>,
}

/// `allgs`, as the runtime publishes it for readers that take no lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllGs {
    /// `allglen`: u64, how many there are; read before the pointer.
    pub len: u64,
    /// `allgptr`: pointer to an array of pointers to `g`.
    pub ptr: u64,
}

impl Variables {
    /// These addresses in a process: `bias` is run-time minus link-time address.
    #[must_use]
    pub fn at(&self, bias: u64) -> Self {
        let moved = |addr: u64| addr.wrapping_add(bias);
        Self {
            mbuckets: moved(self.mbuckets),
            mem_profile_rate: moved(self.mem_profile_rate),
            mprof_cycle: moved(self.mprof_cycle),
            mheap: moved(self.mheap),
            gc_controller: moved(self.gc_controller),
            memstats: moved(self.memstats),
            numgc: moved(self.numgc),
            firstmoduledata: moved(self.firstmoduledata),
            sweep_state: self.sweep_state.map(moved),
            allp: self.allp.map(moved),
            allgs: self.allgs.map(|allgs| AllGs {
                len: moved(allgs.len),
                ptr: moved(allgs.ptr),
            }),
        }
    }
}

/// Where a variable must lie.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// A variable that begins as zero.
    Bss,
    /// Any variable: go1.19 initialises `MemProfileRate` by code, later releases in the file.
    Any,
}

/// How to find one variable: the `k`-th RIP-relative operand of `function`, minus `behind`.
struct Rule {
    symbol: &'static str,
    function: &'static str,
    k: usize,
    /// What of the variable the operand points to.
    behind: fn(&Facts) -> u64,
    place: Place,
}

const START: fn(&Facts) -> u64 = |_| 0;

const MBUCKETS: Rule = Rule {
    symbol: "runtime.mbuckets",
    function: "runtime.mProf_FlushLocked",
    k: 0,
    behind: START,
    place: Place::Bss,
};
/// 1.18: the first operand is mProf.
const MBUCKETS_BEHIND_MPROF: Rule = Rule { k: 1, ..MBUCKETS };
const MEM_PROFILE_RATE: Rule = Rule {
    symbol: "runtime.MemProfileRate",
    function: "runtime.profilealloc",
    k: 1, // The first is mcache0.
    behind: START,
    place: Place::Any,
};
const MPROF_CYCLE: Rule = Rule {
    symbol: "runtime.mProfCycle",
    function: "runtime.mProf_Free",
    k: 0,
    behind: START,
    place: Place::Bss,
};
const MPROF: Rule = Rule {
    symbol: "runtime.mProf",
    function: "runtime.mProf_FlushLocked",
    k: 0,
    behind: START,
    place: Place::Bss,
};
const MHEAP: Rule = Rule {
    symbol: "runtime.mheap_",
    function: "runtime.allocmcache.func1",
    k: 0,
    behind: START,
    place: Place::Bss,
};
const GC_CONTROLLER: Rule = Rule {
    symbol: "runtime.gcController",
    function: "runtime.sysAlloc",
    k: 0,
    behind: |facts| match facts.gc_controller.heap {
        HeapFacts::InController { mapped_ready, .. } => mapped_ready,
        HeapFacts::InMstats { .. } => 0,
    },
    place: Place::Bss,
};
/// 1.18: `sysAlloc` does not touch `gcController`.
const GC_CONTROLLER_BY_HEAP_LIVE: Rule = Rule {
    symbol: "runtime.gcController",
    function: "runtime.traceHeapAlloc",
    k: 0,
    behind: |facts| facts.gc_controller.heap_live,
    place: Place::Bss,
};
const MEMSTATS: Rule = Rule {
    symbol: "runtime.memstats",
    function: "runtime.newBucket",
    k: 0,
    behind: |facts| facts.mstats.buckhash_sys,
    place: Place::Bss,
};
/// Finds `memstats` a second time.
const NUMGC: Rule = Rule {
    symbol: "runtime.memstats",
    function: "runtime.(*gcCPULimiterState).accumulate",
    k: 0,
    behind: |facts| facts.mstats.numgc,
    place: Place::Bss,
};
/// Finds `memstats` a second time in 1.18, which has no `gcCPULimiterState`.
const HEAP_SYS: Rule = Rule {
    symbol: "runtime.memstats",
    function: "runtime.(*mheap).sysAlloc",
    k: 0,
    behind: |facts| match facts.gc_controller.heap {
        HeapFacts::InController { .. } => 0,
        HeapFacts::InMstats { heap_sys, .. } => heap_sys,
    },
    place: Place::Bss,
};
/// Finds a field inside of `sweep`.
const SWEEP_STATE: Rule = Rule {
    symbol: "runtime.sweep",
    function: "runtime.(*mheap).alloc.func1",
    k: 0,
    behind: START, // Of the field.
    place: Place::Bss,
};

const ALLGLEN: Rule = Rule {
    symbol: "runtime.allglen",
    function: "runtime.forEachGRace",
    k: 0,
    behind: START,
    place: Place::Bss,
};
const ALLGPTR: Rule = Rule {
    symbol: "runtime.allgptr",
    function: "runtime.forEachGRace",
    k: 1,
    behind: START,
    place: Place::Bss,
};

/// 1.18: see [`Variables::allp`].
const ALLP: Rule = Rule {
    symbol: "runtime.allp",
    function: "runtime.preemptall",
    k: 0,
    behind: START,
    place: Place::Bss,
};

/// The rules that hold for a release.
struct Rules {
    mbuckets: &'static Rule,
    mprof_cycle: &'static Rule,
    gc_controller: &'static Rule,
    /// Finds `memstats` a second time.
    memstats_again: &'static Rule,
    allp: Option<&'static Rule>,
}

impl Rules {
    fn of(facts: &Facts) -> Self {
        let (mbuckets, mprof_cycle) = match facts.prof_cycle {
            ProfCycleFacts::InOne => (&MBUCKETS, &MPROF_CYCLE),
            ProfCycleFacts::Apart => (&MBUCKETS_BEHIND_MPROF, &MPROF),
        };
        let (gc_controller, memstats_again, allp) = match facts.gc_controller.heap {
            HeapFacts::InController { .. } => (&GC_CONTROLLER, &NUMGC, None),
            HeapFacts::InMstats { .. } => (&GC_CONTROLLER_BY_HEAP_LIVE, &HEAP_SYS, Some(&ALLP)),
        };
        Self {
            mbuckets,
            mprof_cycle,
            gc_controller,
            memstats_again,
            allp,
        }
    }

    fn all(&self) -> impl Iterator<Item = &'static Rule> + use<> {
        let of_every_release: [&'static Rule; 6] = [
            &MEM_PROFILE_RATE,
            &MHEAP,
            &MEMSTATS,
            &SWEEP_STATE,
            &ALLGLEN,
            &ALLGPTR,
        ];
        let of_this = [
            self.mbuckets,
            self.mprof_cycle,
            self.gc_controller,
            self.memstats_again,
        ];
        of_every_release.into_iter().chain(of_this).chain(self.allp)
    }
}

/// The functions whose code the rules read in a program of this release.
pub fn functions(facts: &Facts) -> impl Iterator<Item = &'static str> {
    Rules::of(facts).all().map(|rule| rule.function)
}

/// Most bytes of a function's code that are looked at; the largest of the rules has 700.
const MAX_CODE_BYTES: usize = 16 << 10;

/// What the rules look at.
pub(super) struct Source<'a> {
    pub(super) image: &'a dyn StaticImage,
    pub(super) facts: &'static Facts,
    /// The executable's module, at link-time addresses.
    pub(super) module: &'a Moduledata,
    /// Link-time addresses of variables from elsewhere than the symbol table, by full name.
    pub(super) known: &'a dyn Fn(&str) -> Option<u64>,
    /// Link-time bounds of a function's code.
    pub(super) code: &'a dyn Fn(&str) -> Option<(u64, u64)>,
}

/// Finds all variables: link-time addresses.
///
/// # Errors
///
/// The name of a variable that cannot be found, with the reason.
pub(super) fn find(source: &Source<'_>) -> Result<Variables, String> {
    let rules = Rules::of(source.facts);
    let names: Vec<&str> = rules.all().map(|rule| rule.symbol).collect();
    let symbols = source.image.variable_symbols(&names);
    let symbol = |rule: &Rule| {
        let at = names.iter().position(|known| *known == rule.symbol)?;
        let symbol = symbols.get(at).copied()?;
        symbol.or_else(|| (source.known)(rule.symbol))
    };
    let addr = |rule: &Rule| {
        let (found, by) = match symbol(rule) {
            Some(addr) => (addr, "its symbol".to_owned()),
            None => (
                operand(source, rule)?,
                format!("operand {} of {}", rule.k, rule.function),
            ),
        };
        if is_in_place(source.module, rule.place, found) {
            Ok(found)
        } else {
            Err(format!(
                "{} was found at {found:#x} by {by}, outside of the program's variables",
                rule.symbol
            ))
        }
    };
    let memstats = addr(&MEMSTATS)?;
    let again = addr(rules.memstats_again)?;
    if again != memstats {
        return Err(format!(
            "two rules disagree where runtime.memstats lies: {memstats:#x} and {again:#x}"
        ));
    }
    let sweep_state = match symbol(&SWEEP_STATE) {
        Some(sweep) => sweep.checked_add(source.facts.sweep_state),
        None => operand(source, &SWEEP_STATE).ok(),
    };
    let sweep_state =
        sweep_state.filter(|&state| is_in_place(source.module, SWEEP_STATE.place, state));
    let allgs = match (addr(&ALLGLEN), addr(&ALLGPTR)) {
        (Ok(len), Ok(ptr)) => Some(AllGs { len, ptr }),
        _ => None,
    };
    Ok(Variables {
        mbuckets: addr(rules.mbuckets)?,
        mem_profile_rate: addr(&MEM_PROFILE_RATE)?,
        mprof_cycle: addr(rules.mprof_cycle)?,
        mheap: addr(&MHEAP)?,
        gc_controller: addr(rules.gc_controller)?,
        memstats,
        numgc: memstats.wrapping_add(source.facts.mstats.numgc),
        firstmoduledata: source.module.addr,
        sweep_state,
        allp: rules.allp.map(addr).transpose()?,
        allgs,
    })
}

fn is_in_place(module: &Moduledata, place: Place, addr: u64) -> bool {
    match place {
        Place::Any => module.is_data(addr) || module.is_bss(addr),
        Place::Bss => module.is_bss(addr),
    }
}

/// The address that a rule gives.
fn operand(source: &Source<'_>, rule: &Rule) -> Result<u64, String> {
    let (start, end) = (source.code)(rule.function).ok_or_else(|| {
        format!(
            "{} cannot be found: the program has no function {}",
            rule.symbol, rule.function
        )
    })?;
    let len = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX);
    let code = source.image.bytes(start, len.min(MAX_CODE_BYTES));
    let code = code.map_err(|err| format!("the code of {}: {err}", rule.function))?;
    let found = rip_operand(&code, start, rule.k).ok_or_else(|| {
        format!(
            "{} cannot be found: {} has no operand {}",
            rule.symbol, rule.function, rule.k
        )
    })?;
    Ok(found.wrapping_sub((rule.behind)(source.facts)))
}
