//! Loading the embedded object: on a thread of its own, since the kernel's type information takes 20 ms
//! to parse while the target's binary can be read at the same time.

use std::sync::mpsc;
use std::thread::JoinHandle;

use aya::maps::{Array, MapError};
use aya::{Ebpf, EbpfLoader};
use tracer_ebpf::wire::{self, globals, maps};

use super::task_layout::TaskLayout;
use crate::go::facts::{Facts, SpecialFacts};
use crate::process::rights::PROBES_NEED;
use crate::refusal::Refusal;

/// The programs, as built by `cargo xtask ebpf` and checked in beside their source.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../tracer-ebpf/tracer.bpf.o");

/// What the programs need to know of the target before they are loaded.
#[derive(Clone, Copy, Debug)]
pub struct LoadSettings {
    /// Where a special has its kind and its bucket.
    pub special: SpecialFacts,
    /// Bit `1 << kind` for each probe on a `jbe`.
    pub jbe_filter: u64,
    /// Run-time address of `runtime.mheap_.sweepgen`; 0 leaves the records of GC cycles without their numbers.
    pub sweepgen: u64,
    /// Run-time address of `runtime.gcController.heapLive`; 0 leaves the records of GC cycles without the heap's size.
    pub heap_live: u64,
    /// What the programs need to see the target's end; `None` if they are not to be attached.
    pub end: Option<EndSettings>,
    /// Size of the ring buffer, bytes: a power of two of at least a page; `None` for the default.
    pub ring_bytes: Option<u32>,
    /// Whether the programs write diagnostics of rare events.
    pub log: bool,
    /// What the programs of the sources `spans` and `exact` need; `None` for the sampler.
    pub alloc: Option<AllocSettings>,
}

/// What the programs of raw tracepoints need to know.
#[derive(Clone, Copy, Debug)]
pub struct EndSettings {
    /// Process id of the target in the initial pid namespace.
    pub tgid: u32,
    /// Layout of the kernel's `task_struct`.
    pub task: TaskLayout,
}

impl EndSettings {
    /// The globals of the object, by name.
    fn globals(&self) -> [(&'static str, u64); 3] {
        [
            (globals::TARGET_TGID, self.tgid.into()),
            (globals::TASK_EXIT_CODE, self.task.exit_code),
            (globals::TASK_TGID, self.task.tgid),
        ]
    }
}

/// What the programs of `spans` and `exact` need to know.
#[derive(Clone, Copy, Debug)]
pub struct AllocSettings {
    /// Where the runtime keeps what its allocator does next.
    pub layout: AllocLayout,
    /// Source `exact`: allocations are counted and followed, spans come without stacks.
    pub exact: bool,
    /// Mean bytes between two allocations that `exact` follows: 0 for none, 1 for each.
    pub rate_bytes: u64,
    /// Bytes of a slot by size class, ascending; class 0, of large objects, has 0.
    pub class_bytes: &'static [u64],
    /// Run-time bounds of `runtime.mallocgc` where the plan names it: see [`crate::plan::ProbePlan::mallocgc`].
    pub mallocgc: Option<(u64, u64)>,
}

/// Offsets in bytes of the runtime's fields that the programs read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocLayout {
    /// `g.m`.
    pub g_m: u64,
    /// `m.p`.
    pub m_p: u64,
    /// `p.mcache`.
    pub p_mcache: u64,
    /// `mcache.tiny`.
    pub mcache_tiny: u64,
    /// `mcache.tinyoffset`.
    pub mcache_tinyoffset: u64,
    /// `mcache.alloc`.
    pub mcache_alloc: u64,
    /// `mspan.startAddr`.
    pub span_start: u64,
    /// `mspan.freeindex`.
    pub span_freeindex: u64,
    /// `mspan.nelems`.
    pub span_nelems: u64,
    /// Bytes of `mspan.freeindex` and `mspan.nelems`: 2 or 8.
    pub span_index_bytes: u64,
    /// `mspan.allocCache`.
    pub span_alloc_cache: u64,
    /// `mspan.allocBits`.
    pub span_alloc_bits: u64,
    /// `mspan.allocCount`.
    pub span_alloc_count: u64,
    /// `mspan.spanclass`.
    pub span_spanclass: u64,
    /// `mspan.elemsize`.
    pub span_elemsize: u64,
    /// 1 where objects with pointers of more than 512 bytes have a malloc header (go1.22 and later), else 0.
    pub has_headers: u64,
}

impl AllocLayout {
    /// As these facts have them.
    pub fn of(facts: &Facts) -> Self {
        let (mspan, scheduler, mcache) = (&facts.mspan, &facts.scheduler, &facts.mcache);
        Self {
            g_m: scheduler.g_m,
            m_p: scheduler.m_p,
            p_mcache: scheduler.p_mcache,
            mcache_tiny: mcache.tiny,
            mcache_tinyoffset: mcache.tinyoffset,
            mcache_alloc: mcache.alloc,
            span_start: mspan.start_addr,
            span_freeindex: mspan.freeindex,
            span_nelems: mspan.nelems,
            span_index_bytes: mspan.index_size,
            span_alloc_cache: mspan.alloc_cache,
            span_alloc_bits: mspan.alloc_bits,
            span_alloc_count: mspan.alloc_count,
            span_spanclass: mspan.spanclass,
            span_elemsize: mspan.elemsize,
            has_headers: u64::from(facts.has_malloc_headers),
        }
    }
}

impl AllocSettings {
    /// The globals of the object, by name.
    fn globals(&self) -> [(&'static str, u64); 21] {
        let layout = &self.layout;
        let source = if self.exact {
            wire::SOURCE_EXACT
        } else {
            wire::SOURCE_SPANS
        };
        let (mallocgc_start, mallocgc_end) = self.mallocgc.unwrap_or_default();
        [
            (globals::SOURCE, source),
            (globals::RATE_BYTES, self.rate_bytes),
            // Mark bits are read then, and must be before the slots are used again.
            (globals::WAKE_ON_MARK, 1),
            (globals::HEADERS, layout.has_headers),
            (globals::MALLOCGC_START, mallocgc_start),
            (globals::MALLOCGC_END, mallocgc_end),
            (globals::G_M, layout.g_m),
            (globals::M_P, layout.m_p),
            (globals::P_MCACHE, layout.p_mcache),
            (globals::MCACHE_TINY, layout.mcache_tiny),
            (globals::MCACHE_TINYOFFSET, layout.mcache_tinyoffset),
            (globals::MCACHE_ALLOC, layout.mcache_alloc),
            (globals::SPAN_START, layout.span_start),
            (globals::SPAN_FREEINDEX, layout.span_freeindex),
            (globals::SPAN_NELEMS, layout.span_nelems),
            (globals::SPAN_INDEX_BYTES, layout.span_index_bytes),
            (globals::SPAN_ALLOCCACHE, layout.span_alloc_cache),
            (globals::SPAN_ALLOCBITS, layout.span_alloc_bits),
            (globals::SPAN_ALLOCCOUNT, layout.span_alloc_count),
            (globals::SPAN_SPANCLASS, layout.span_spanclass),
            (globals::SPAN_ELEMSIZE, layout.span_elemsize),
        ]
    }
}

/// A load that is under way.
#[derive(Debug)]
pub struct Loader {
    settings: mpsc::SyncSender<LoadSettings>,
    thread: JoinHandle<Result<Ebpf, aya::EbpfError>>,
}

impl Loader {
    /// Begins with what does not depend on the target.
    pub fn start() -> Self {
        let (settings, wanted) = mpsc::sync_channel::<LoadSettings>(1);
        let thread = std::thread::spawn(move || {
            // These outlive the loader, which borrows from them.
            let (alloc_globals, end_globals);
            let mut loader = EbpfLoader::new();
            let Ok(settings) = wanted.recv() else {
                // Whoever started us was refused; nothing is loaded and nobody looks at this.
                return Err(aya::EbpfError::NoBTF);
            };
            let profile_kind = u64::from(settings.special.profile_kind);
            let log = u64::from(settings.log);
            // Off in the kernel too: a log call that nobody reads would still cost the target.
            let log_level = if settings.log { u8::MAX } else { 0 };
            loader
                .override_global(globals::PROFILE_KIND, &profile_kind, true)
                .override_global(globals::SPECIAL_KIND_OFFSET, &settings.special.kind, true)
                .override_global(
                    globals::SPECIAL_BUCKET_OFFSET,
                    &settings.special.bucket,
                    true,
                )
                .override_global(globals::JBE_FILTER, &settings.jbe_filter, true)
                .override_global(globals::SWEEPGEN, &settings.sweepgen, true)
                .override_global(globals::HEAP_LIVE, &settings.heap_live, true)
                .override_global(globals::LOG, &log, true)
                .override_global(aya_log::LEVEL, &log_level, true);
            if let Some(end) = &settings.end {
                end_globals = end.globals();
                for (name, value) in &end_globals {
                    loader.override_global(name, value, true);
                }
            }
            if let Some(bytes) = settings.ring_bytes {
                loader.map_max_entries(maps::EVENTS, bytes);
            }
            if let Some(alloc) = &settings.alloc {
                alloc_globals = alloc.globals();
                for (name, value) in &alloc_globals {
                    loader.override_global(name, value, true);
                }
            } else {
                shrink(&mut loader, &[maps::STACKS]);
            }
            let exact = settings.alloc.filter(|alloc| alloc.exact);
            if exact.is_none() {
                shrink(&mut loader, &EXACT_MAPS);
            }
            let mut ebpf = loader.load(OBJECT)?;
            if let Some(alloc) = exact {
                fill(&mut ebpf, &alloc)?;
            }
            Ok(ebpf)
        });
        Self { settings, thread }
    }

    /// Loads with these settings.
    ///
    /// # Errors
    /// A [`Refusal`] with the kernel's words and what they usually mean.
    pub fn finish(self, settings: LoadSettings) -> Result<Ebpf, Refusal> {
        // The thread waits for just this; it cannot have gone.
        let _ = self.settings.send(settings);
        let loaded = self.thread.join().map_err(|_| {
            Refusal::new(
                "cannot load the eBPF programs",
                "the loader panicked",
                "without probes: heaptop --no-probes TARGET",
            )
        })?;
        loaded.map_err(|err| refuse_load(&err))
    }
}

/// Loads the programs for no target: to measure them.
pub(super) fn load_unbound() -> Result<Ebpf, aya::EbpfError> {
    let mut loader = EbpfLoader::new();
    loader.override_global(aya_log::LEVEL, &0u8, true);
    shrink(&mut loader, &EXACT_MAPS);
    shrink(&mut loader, &[maps::STACKS]);
    loader.load(OBJECT)
}

/// Maps of some MiB that source `exact` alone has a use for.
const EXACT_MAPS: [&str; 2] = [maps::COUNTS, maps::PENDING];

/// Takes the memory of maps that no program of the source uses.
fn shrink(loader: &mut EbpfLoader<'_>, names: &[&'static str]) {
    for name in names {
        loader.map_max_entries(name, 1);
    }
}

/// Fills the tables that the programs of `exact` read.
fn fill(ebpf: &mut Ebpf, alloc: &AllocSettings) -> Result<(), MapError> {
    set_all(ebpf, maps::SIZE_CLASSES, &size_classes(alloc.class_bytes))?;
    set_all(ebpf, maps::GAPS, &gaps(alloc.rate_bytes))
}

fn set_all(ebpf: &mut Ebpf, name: &str, values: &[u64]) -> Result<(), MapError> {
    let map = ebpf.map_mut(name).ok_or(MapError::ElementNotFound)?;
    let mut map = Array::<_, u64>::try_from(map)?;
    (0u32..)
        .zip(values)
        .try_for_each(|(i, value)| map.set(i, value, 0))
}

/// [`maps::SIZE_CLASSES`], from the bytes of a slot by class.
fn size_classes(class_bytes: &[u64]) -> Vec<u64> {
    let largest = |entry: usize| {
        if entry < wire::SIZE_CLASS_FINE {
            entry as u64 * 8
        } else {
            1024 + (entry - wire::SIZE_CLASS_FINE) as u64 * 128
        }
    };
    (0..wire::SIZE_CLASS_ENTRIES)
        .map(|entry| {
            let size = largest(entry).max(1);
            let class = class_bytes.partition_point(|&bytes| bytes < size);
            match (u8::try_from(class), class_bytes.get(class)) {
                (Ok(number), Some(&bytes)) => wire::size_class_entry(number, bytes),
                _ => 0,
            }
        })
        .collect()
}

/// [`maps::GAPS`].
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "rates are far below 2^52"
)]
fn gaps(rate_bytes: u64) -> Vec<u64> {
    let rate = rate_bytes as f64;
    let entry = |k: usize| {
        let quantile = (k as f64 + 0.5) / wire::GAP_ENTRIES as f64;
        (-(-quantile / 2.0).ln_1p() * rate) as u64
    };
    let heads = (std::f64::consts::LN_2 * rate).round() as u64;
    (0..wire::GAP_ENTRIES)
        .map(entry)
        .chain(std::iter::once(heads))
        .collect()
}

fn refuse_load(err: &aya::EbpfError) -> Refusal {
    let why = chain(err);
    let denied = why.contains("Operation not permitted");
    let next = if denied {
        format!("needs {PROBES_NEED}: run with sudo, or without probes: heaptop --no-probes TARGET")
    } else {
        "needs Linux 5.10 or later with CONFIG_BPF_SYSCALL; without probes: heaptop --no-probes TARGET".into()
    };
    Refusal::new("cannot load the eBPF programs", why, next)
        .lacking_rights(denied)
        .lacking_probes()
}

/// An error with all its causes in one line.
pub(super) fn chain(err: &dyn std::error::Error) -> String {
    let mut text = err.to_string();
    let mut source = err.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    // The verifier's log follows the reason line by line; the reason is what helps here.
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_have_the_mean_and_the_median_of_an_exponential_distribution() {
        let rate = 1 << 20;
        let table = gaps(rate);
        assert_eq!(table.len(), wire::GAP_ENTRIES + 1);
        let (heads, parts) = table.split_last().expect("not empty");
        let mean_part = parts.iter().sum::<u64>() as f64 / parts.len() as f64;
        // Heads in a row: 1 on average.
        let mean = (mean_part + *heads as f64) / rate as f64;
        assert!((mean - 1.0).abs() < 0.001, "{mean}");
        // Without heads, half of the time, a gap is below ln 2.
        assert!(parts.iter().all(|part| part < heads));
        assert!(parts.is_sorted());
    }

    #[test]
    fn sizes_get_the_smallest_slot_that_holds_them() {
        let table = size_classes(&[0, 8, 16, 24, 1024, 1152, 32768]);
        let slot = |size: u64| {
            let entry = table[usize::try_from(wire::size_class_index(size)).expect("small")];
            (entry >> 32, entry & 0xffff_ffff)
        };
        for (size, expected) in [
            (1, (1, 8)),
            (8, (1, 8)),
            (9, (2, 16)),
            (24, (3, 24)),
            (25, (4, 1024)),
            (1020, (4, 1024)),
            (1025, (5, 1152)),
            (1153, (6, 32768)),
            (32768, (6, 32768)),
        ] {
            assert_eq!(slot(size), expected, "{size}");
        }
    }
}
