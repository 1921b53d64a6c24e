//! The facts of a Go release out of the DWARF of a program: how the table is made, and what serves releases that the
//! table does not have.
//!
//! `cargo xtask offsets` compiles this file as well, so that both read the same fields of the same structs. DWARF 4 (up
//! to go1.24) and 5. Nothing in the file is trusted: what is damaged or missing is an error in words.
//!
//! Source: `cmd/link/internal/ld/dwarf.go`, go1.18 to go1.27: the types of all packages are in the units named `runtime`.

use std::borrow::Cow;
use std::collections::HashMap;

use gimli::{
    AttributeValue, DebuggingInformationEntry, Dwarf, DwarfSections, EndianSlice, LittleEndian,
    Operation, Unit,
};

use super::facts::{
    Facts, FuncFacts, GcControllerFacts, GoroutineFacts, HeapArenaFacts, HeapFacts, HeapStatsFacts,
    InlineMarksFacts, InlinedFacts, MAX_INLINE_MARKED_BYTES, MAX_WAIT_REASONS,
    MIN_INLINE_MARKED_BYTES, McacheFacts, MheapFacts, ModuledataFacts, MspanFacts, MstatsFacts,
    ProfCycleFacts, RecordFacts, SchedulerFacts, SpecialFacts,
};
use super::wait_reasons;

/// Units that are read: the runtime, with all types, and the package that defines ids of functions from 1.21 on.
const UNITS: [&str; 2] = ["runtime", "internal/abi"];

/// Sections that are needed for it; `.debug_line` only because units name it.
const SECTIONS: [&str; 7] = [
    ".debug_info",
    ".debug_abbrev",
    ".debug_str",
    ".debug_line_str",
    ".debug_str_offsets",
    ".debug_addr",
    ".debug_line",
];

/// Most fields of a struct and most units that are looked at: honest programs stay far below.
const MAX_FIELDS: usize = 4096;
const MAX_UNITS: usize = 1 << 20;

/// A struct of the runtime: its size and, for each field, offset and size.
#[derive(Debug, Default)]
struct Struct {
    name: String,
    size: u64,
    fields: HashMap<String, (u64, u64)>,
}

impl Struct {
    fn offset(&self, field: &str) -> Result<u64, String> {
        self.field(field).map(|(offset, _)| offset)
    }

    fn field(&self, field: &str) -> Result<(u64, u64), String> {
        let found = self.fields.get(field).copied();
        found.ok_or_else(|| format!("{} has no field {field}", self.name))
    }
}

/// Structs, constants and variables of package runtime.
#[derive(Debug, Default)]
pub struct Runtime {
    structs: HashMap<String, Struct>,
    constants: HashMap<String, u64>,
    variables: HashMap<String, u64>,
}

type Slice<'a> = EndianSlice<'a, LittleEndian>;

impl Runtime {
    /// Reads the debug information of a program.
    ///
    /// * `section`: the contents of a section, such as `.debug_info`, uncompressed; empty where there is none.
    ///
    /// # Errors
    ///
    /// What is damaged or missing.
    pub fn read<'a>(section: impl Fn(&str) -> Cow<'a, [u8]>) -> Result<Self, String> {
        let sections = DwarfSections::load(|id| {
            let is_needed = SECTIONS.contains(&id.name());
            let bytes = is_needed.then(|| section(id.name()));
            Ok::<_, gimli::Error>(bytes.unwrap_or_default())
        });
        let sections = sections.map_err(damaged)?;
        let dwarf = sections.borrow(|section| EndianSlice::new(section, LittleEndian));
        let mut runtime = Self::default();
        let mut headers = dwarf.units();
        let mut n_units = 0;
        while let Some(header) = headers.next().map_err(damaged)? {
            n_units += 1;
            if n_units > MAX_UNITS {
                return Err("it has too many units".into());
            }
            // A unit of another compiler may be of a form that is not known here.
            let Ok(unit) = dwarf.unit(header) else {
                continue;
            };
            let name = unit.name.map(|name| name.to_string_lossy());
            if name.is_some_and(|name| UNITS.contains(&&*name)) {
                runtime.add(&dwarf, &unit).map_err(damaged)?;
            }
        }
        Ok(runtime)
    }

    /// Link-time address of a variable of the runtime, by full name.
    pub fn variable(&self, name: &str) -> Option<u64> {
        self.variables.get(name).copied()
    }

    fn add(&mut self, dwarf: &Dwarf<Slice<'_>>, unit: &Unit<Slice<'_>>) -> gimli::Result<()> {
        let mut tree = unit.entries_tree(None)?;
        let mut children = tree.root()?.children();
        while let Some(node) = children.next()? {
            let entry = node.entry();
            let tag = entry.tag();
            let is_wanted = matches!(
                tag,
                gimli::DW_TAG_constant | gimli::DW_TAG_variable | gimli::DW_TAG_structure_type
            );
            let name = if is_wanted {
                name_of(dwarf, unit, entry)?
            } else {
                None
            };
            let Some(name) = name.filter(|name| {
                name.starts_with("runtime.") || name.starts_with("internal/abi.FuncID")
            }) else {
                continue;
            };
            if tag == gimli::DW_TAG_constant {
                let value = entry.attr_value(gimli::DW_AT_const_value)?;
                // Go writes constants as signed numbers.
                let value = value.and_then(|value| value.sdata_value());
                if let Some(value) = value.and_then(|value| u64::try_from(value).ok()) {
                    self.constants.insert(name, value);
                }
            } else if tag == gimli::DW_TAG_variable {
                if let Some(addr) = address(dwarf, unit, entry)? {
                    self.variables.insert(name, addr);
                }
            } else {
                let size = unsigned(entry, gimli::DW_AT_byte_size)?.unwrap_or(0);
                let mut fields = HashMap::new();
                let mut members = node.children();
                while let Some(member) = members.next()? {
                    let member = member.entry();
                    let offset = unsigned(member, gimli::DW_AT_data_member_location)?;
                    if fields.len() < MAX_FIELDS
                        && let (Some(field), Some(offset)) = (name_of(dwarf, unit, member)?, offset)
                    {
                        fields.insert(field, (offset, type_size(unit, member)?));
                    }
                }
                let found = Struct {
                    name: name.clone(),
                    size,
                    fields,
                };
                self.structs.insert(name, found);
            }
        }
        Ok(())
    }

    fn of(&self, name: &str) -> Result<&Struct, String> {
        let found = self.structs.get(&format!("runtime.{name}"));
        found.ok_or_else(|| format!("no struct runtime.{name}"))
    }

    /// The first of these constants that exists.
    fn constant(&self, names: &[&str]) -> Result<u64, String> {
        let mut found = names.iter().filter_map(|name| self.constants.get(*name));
        let found = found.next().copied();
        found.ok_or_else(|| format!("no constant {}", names.join(" or ")))
    }

    /// The facts of go1.`minor`, built as this program is.
    ///
    /// # Errors
    ///
    /// The struct, field or constant that is missing: the release has renamed it.
    pub fn facts(&self, minor: u16) -> Result<Facts, String> {
        let controller = self.of("gcControllerState")?;
        let mstats = self.of("mstats")?;
        let mcache = self.of("mcache")?;
        let mheap = self.of("mheap")?;
        let heap_arena = self.of("heapArena")?;
        let special = self.of("special")?;
        let (special_offset, special_offset_size) = special.field("offset")?;
        let profile_kind = self.constant(&["runtime._KindSpecialProfile"])?;
        let stats = self.of("heapStatsDelta")?;
        Ok(Facts {
            minor,
            moduledata: self.moduledata()?,
            func: self.func()?,
            record: RecordFacts {
                cycle_size: self.of("memRecordCycle")?.size,
            },
            prof_cycle: self.prof_cycle()?,
            special: SpecialFacts {
                offset: special_offset,
                offset_size: special_offset_size,
                kind: special.offset("kind")?,
                profile_kind: byte("_KindSpecialProfile", profile_kind)?,
                bucket: self.of("specialprofile")?.offset("b")?,
            },
            mspan: self.mspan()?,
            mheap: MheapFacts {
                sweepgen: mheap.offset("sweepgen")?,
                allspans: mheap.offset("allspans")?,
                arenas: mheap.offset("arenas")?,
                heap_arenas: mheap
                    .offset("heapArenas")
                    .or_else(|_| mheap.offset("allArenas"))?,
            },
            gc_controller: GcControllerFacts {
                gc_percent: controller.offset("gcPercent")?,
                heap_live: controller.offset("heapLive")?,
                heap_marked: controller.offset("heapMarked")?,
                heap: Self::heap(controller, mstats)?,
            },
            mstats: MstatsFacts {
                buckhash_sys: mstats.offset("buckhash_sys")?,
                stacks_sys: mstats.offset("stacks_sys")?,
                mspan_sys: mstats.offset("mspan_sys")?,
                mcache_sys: mstats.offset("mcache_sys")?,
                gc_misc_sys: mstats.offset("gcMiscSys")?,
                other_sys: mstats.offset("other_sys")?,
                last_gc_unix: mstats.offset("last_gc_unix")?,
                pause_total_ns: mstats.offset("pause_total_ns")?,
                pause_ns: mstats.offset("pause_ns")?,
                numgc: mstats.offset("numgc")?,
                numforcedgc: mstats.offset("numforcedgc")?,
                heap_stats: sum(
                    mstats.offset("heapStats")?,
                    self.of("consistentHeapStats")?.offset("stats")?,
                )?,
            },
            heap_stats: HeapStatsFacts {
                size: stats.size,
                in_heap: stats.offset("inHeap")?,
                in_stacks: stats.offset("inStacks")?,
                in_work_bufs: stats.offset("inWorkBufs")?,
                in_ptr_scalar_bits: stats.offset("inPtrScalarBits").ok(),
                tiny_alloc_count: stats.offset("tinyAllocCount")?,
                large_alloc: stats.offset("largeAlloc")?,
                large_alloc_count: stats.offset("largeAllocCount")?,
                small_alloc_count: stats.offset("smallAllocCount")?,
                large_free: stats.offset("largeFree")?,
                large_free_count: stats.offset("largeFreeCount")?,
                small_free_count: stats.offset("smallFreeCount")?,
            },
            heap_arena: HeapArenaFacts {
                spans: heap_arena.offset("spans")?,
                size: heap_arena.size,
            },
            scheduler: SchedulerFacts {
                g_m: self.of("g")?.offset("m")?,
                m_p: self.of("m")?.offset("p")?,
                p_mcache: self.of("p")?.offset("mcache")?,
            },
            mcache: McacheFacts {
                alloc: mcache.offset("alloc")?,
                tiny: mcache.offset("tiny")?,
                tinyoffset: mcache.offset("tinyoffset")?,
            },
            goroutine: self.goroutine()?,
            sweep_state: sum(
                self.of("sweepdata")?.offset("active")?,
                self.of("activeSweep")?.offset("state")?,
            )?,
            has_malloc_headers: self.constants.contains_key("runtime.mallocHeaderSize"),
            inline_marks: self.inline_marks(),
        })
    }

    fn heap(controller: &Struct, mstats: &Struct) -> Result<HeapFacts, String> {
        if controller.fields.contains_key("heapGoal") {
            return Ok(HeapFacts::InMstats {
                heap_goal: controller.offset("heapGoal")?,
                heap_sys: mstats.offset("heap_sys")?,
                heap_in_use: mstats.offset("heap_inuse")?,
                heap_released: mstats.offset("heap_released")?,
            });
        }
        Ok(HeapFacts::InController {
            memory_limit: controller.offset("memoryLimit")?,
            gc_percent_heap_goal: controller.offset("gcPercentHeapGoal")?,
            triggered: controller.offset("triggered")?,
            heap_in_use: controller.offset("heapInUse")?,
            heap_released: controller.offset("heapReleased")?,
            heap_free: controller.offset("heapFree")?,
            total_alloc: controller.offset("totalAlloc")?,
            total_free: controller.offset("totalFree")?,
            mapped_ready: controller.offset("mappedReady")?,
        })
    }

    fn prof_cycle(&self) -> Result<ProfCycleFacts, String> {
        let is_there = |name: &str| self.variables.contains_key(name);
        match (is_there("runtime.mProfCycle"), is_there("runtime.mProf")) {
            (true, false) => Ok(ProfCycleFacts::InOne),
            (false, true) => Ok(ProfCycleFacts::Apart),
            _ => Err("no variable runtime.mProfCycle or runtime.mProf".into()),
        }
    }

    fn moduledata(&self) -> Result<ModuledataFacts, String> {
        let moduledata = self.of("moduledata")?;
        let field = |name: &str| moduledata.offset(name);
        Ok(ModuledataFacts {
            text: field("text")?,
            etext: field("etext")?,
            noptrdata: field("noptrdata")?,
            enoptrdata: field("enoptrdata")?,
            data: field("data")?,
            edata: field("edata")?,
            bss: field("bss")?,
            ebss: field("ebss")?,
            noptrbss: field("noptrbss")?,
            enoptrbss: field("enoptrbss")?,
            gofunc: field("gofunc")?,
            types: field("types")?,
            etypes: field("etypes")?,
            next: field("next")?,
        })
    }

    fn mspan(&self) -> Result<MspanFacts, String> {
        let mspan = self.of("mspan")?;
        let field = |name: &str| mspan.offset(name);
        let (nelems, index_size) = mspan.field("nelems")?;
        if mspan.field("freeindex")?.1 != index_size {
            return Err("runtime.mspan has freeindex and nelems of different sizes".into());
        }
        Ok(MspanFacts {
            start_addr: field("startAddr")?,
            npages: field("npages")?,
            state: field("state")?,
            elemsize: field("elemsize")?,
            specials: field("specials")?,
            freeindex: field("freeindex")?,
            nelems,
            index_size,
            alloc_cache: field("allocCache")?,
            alloc_bits: field("allocBits")?,
            gcmark_bits: field("gcmarkBits")?,
            sweepgen: field("sweepgen")?,
            alloc_count: field("allocCount")?,
            spanclass: field("spanclass")?,
            size: mspan.size,
        })
    }

    fn goroutine(&self) -> Result<GoroutineFacts, String> {
        let g = self.of("g")?;
        let (stack, sched) = (g.offset("stack")?, g.offset("sched")?);
        let in_stack = |name: &str| sum(stack, self.of("stack")?.offset(name)?);
        let in_sched = |name: &str| sum(sched, self.of("gobuf")?.offset(name)?);
        let mut wait_reasons = [0; MAX_WAIT_REASONS];
        for (known, (constant, _)) in (0u8..).zip(wait_reasons::KNOWN) {
            // Releases differ in which they have; the rest keeps no words.
            let value = self.constant(&[&format!("runtime.{constant}")]);
            let value = value.ok().and_then(|value| usize::try_from(value).ok());
            if let Some(place) = value.and_then(|value| wait_reasons.get_mut(value)) {
                *place = known;
            }
        }
        Ok(GoroutineFacts {
            stack_lo: in_stack("lo")?,
            stack_hi: in_stack("hi")?,
            sched_sp: in_sched("sp")?,
            sched_pc: in_sched("pc")?,
            sched_bp: in_sched("bp")?,
            status: g.offset("atomicstatus")?,
            goid: g.offset("goid")?,
            waitsince: g.offset("waitsince")?,
            waitreason: g.offset("waitreason")?,
            gopc: g.offset("gopc")?,
            startpc: g.offset("startpc")?,
            wait_reasons,
        })
    }

    fn func(&self) -> Result<FuncFacts, String> {
        let func = self.of("_func")?;
        let call = self.of("inlinedCall")?;
        let wrapper = ["internal/abi.FuncIDWrapper", "runtime.funcID_wrapper"];
        let inlined = if call.fields.contains_key("parent") {
            InlinedFacts::ByIndex {
                parent: call.offset("parent")?,
                file: call.offset("file")?,
                line: call.offset("line")?,
                name_off: call.offset("func_")?,
                parent_pc: call.offset("parentPc")?,
            }
        } else {
            InlinedFacts::ByPc {
                name_off: call.offset("nameOff")?,
                parent_pc: call.offset("parentPc")?,
                start_line: call.offset("startLine")?,
            }
        };
        Ok(FuncFacts {
            size: func.size,
            start_line: func.offset("startLine").ok(),
            func_id: func.offset("funcID")?,
            nfuncdata: func.offset("nfuncdata")?,
            wrapper_id: byte("FuncIDWrapper", self.constant(&wrapper)?)?,
            inlined_call_size: call.size,
            inlined,
        })
    }

    /// A build without Green Tea GC has the struct without fields, or not at all.
    fn inline_marks(&self) -> Option<InlineMarksFacts> {
        let bits = self.of("spanInlineMarkBits").ok()?;
        let (marks, marks_size) = bits.field("marks").ok()?;
        Some(InlineMarksFacts {
            size: bits.size,
            marks,
            marks_size,
            min_slot_bytes: MIN_INLINE_MARKED_BYTES,
            max_slot_bytes: MAX_INLINE_MARKED_BYTES,
        })
    }
}

fn damaged(err: gimli::Error) -> String {
    format!("its debug information (DWARF) cannot be read: {err}")
}

fn byte(name: &str, value: u64) -> Result<u8, String> {
    u8::try_from(value).map_err(|_| format!("{name} is {value}, more than a byte"))
}

fn sum(a: u64, b: u64) -> Result<u64, String> {
    let sum = a.checked_add(b);
    sum.ok_or_else(|| format!("offsets {a} and {b} are no offsets"))
}

fn name_of(
    dwarf: &Dwarf<Slice<'_>>,
    unit: &Unit<Slice<'_>>,
    entry: &DebuggingInformationEntry<'_, '_, Slice<'_>>,
) -> gimli::Result<Option<String>> {
    let Some(value) = entry.attr_value(gimli::DW_AT_name)? else {
        return Ok(None);
    };
    let name = dwarf.attr_string(unit, value)?;
    Ok(Some(name.to_string_lossy().into_owned()))
}

/// Where a variable of the package lies: its location is that one address.
fn address(
    dwarf: &Dwarf<Slice<'_>>,
    unit: &Unit<Slice<'_>>,
    entry: &DebuggingInformationEntry<'_, '_, Slice<'_>>,
) -> gimli::Result<Option<u64>> {
    let Some(AttributeValue::Exprloc(location)) = entry.attr_value(gimli::DW_AT_location)? else {
        return Ok(None);
    };
    Ok(match location.operations(unit.encoding()).next()? {
        Some(Operation::Address { address }) => Some(address),
        Some(Operation::AddressIndex { index }) => Some(dwarf.address(unit, index)?),
        _ => None,
    })
}

fn unsigned(
    entry: &DebuggingInformationEntry<'_, '_, Slice<'_>>,
    attribute: gimli::DwAt,
) -> gimli::Result<Option<u64>> {
    let value = entry.attr_value(attribute)?;
    Ok(value.and_then(|value| value.udata_value()))
}

/// Size of the type of a field; 0 where that is not a plain one.
fn type_size(
    unit: &Unit<Slice<'_>>,
    entry: &DebuggingInformationEntry<'_, '_, Slice<'_>>,
) -> gimli::Result<u64> {
    let mut at = entry.attr_value(gimli::DW_AT_type)?;
    // Named types are typedefs of others.
    for _ in 0..8 {
        let offset = match at {
            Some(AttributeValue::UnitRef(offset)) => offset,
            Some(AttributeValue::DebugInfoRef(offset)) => {
                let Some(offset) = offset.to_unit_offset(&unit.header) else {
                    return Ok(0);
                };
                offset
            }
            _ => return Ok(0),
        };
        let target = unit.entry(offset)?;
        if let Some(size) = unsigned(&target, gimli::DW_AT_byte_size)? {
            return Ok(size);
        }
        at = target.attr_value(gimli::DW_AT_type)?;
    }
    Ok(0)
}
