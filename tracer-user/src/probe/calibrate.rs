//! What one probe hit costs on this machine: our own program on a function of our own.
//!
//! A hit is a trap and the run of a program. The trap costs the same wherever it is; programs of allocations walk stacks as
//! deep as the target has them, so their run is measured there: [`super::Probes::program_ns`].

use std::num::NonZeroU32;

use aya::Ebpf;
use aya::programs::uprobe::{UProbeAttachLocation, UProbeScope};
use aya::programs::{ProgramError, ProgramInfo, UProbe};
use aya::sys::{Stats, enable_stats};
use procfs::process::{MMapPath, Process};
use tracer_ebpf::wire::programs;

use crate::clock::thread_cpu_ns;

use super::load::{chain, load_unbound};

/// Hits of one round: at 1 µs a hit a round takes 2 ms.
const HITS: u32 = 2_000;
/// Rounds; the median counts, since the machine is shared.
const ROUNDS: usize = 5;

/// A function with the very instruction that probes of Go functions sit on.
#[unsafe(naked)]
#[allow(
    unsafe_code,
    reason = "the probe needs a function whose bytes are known"
)]
extern "C" fn called() {
    core::arch::naked_asm!("push rbp", "mov rbp, rsp", "pop rbp", "ret");
}

/// Nanoseconds of CPU time for each hit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HitCost {
    /// A trap with a program that sends one record.
    pub record_ns: f64,
    /// The trap alone: add the run of the program.
    pub trap_ns: f64,
}

/// Loads the programs once more, on their own, and measures what a hit of them costs.
pub fn measure_hit_cost() -> Option<HitCost> {
    trial().ok()
}

/// The same, and what stood in the way: whether programs load, maps are made and probes fire on this machine.
///
/// # Errors
/// The kernel's words.
pub fn trial() -> Result<HitCost, String> {
    let mut ebpf =
        load_unbound().map_err(|err| format!("programs do not load: {}", chain(&err)))?;
    hit_cost(&mut ebpf)
}

/// Measured with the program of a flush, which sends a record like any other. Takes about 0.2 s, most of it for the
/// detach; the target is not touched.
fn hit_cost(ebpf: &mut Ebpf) -> Result<HitCost, String> {
    let program = ebpf
        .program_mut(programs::FLUSHED)
        .ok_or("the object has no program to try")?;
    let program: &mut UProbe = program
        .try_into()
        .map_err(|err: ProgramError| chain(&err))?;
    program
        .load()
        .map_err(|err| format!("the kernel does not take a program: {}", chain(&err)))?;
    let offset =
        file_offset(called as *const () as u64).ok_or("no function of our own to try on")?;
    let own = NonZeroU32::new(std::process::id()).ok_or("no pid of our own")?;
    let bare = round_ns();
    let link = program
        .attach(
            UProbeAttachLocation::AbsoluteOffset(offset),
            "/proc/self/exe",
            UProbeScope::OneProcess(own),
        )
        .map_err(|err| format!("a probe cannot be placed: {}", chain(&err)))?;
    let record_ns = (round_ns() - bare).max(0.0);
    // Apart from the measurement above: it costs time itself.
    let program_ns = enable_stats(Stats::RunTime).ok().and_then(|_on| {
        round_ns();
        mean_run_ns(&program.info().ok()?)
    });
    let _ = program.detach(link);
    Ok(HitCost {
        record_ns,
        trap_ns: (record_ns - program_ns.unwrap_or(0.0)).max(0.0),
    })
}

/// Nanoseconds of a run, on average over those that the kernel has measured; `None` without any.
pub(super) fn mean_run_ns(info: &ProgramInfo) -> Option<f64> {
    let n_runs = info.run_count();
    (n_runs > 0).then(|| info.run_time().as_secs_f64() * 1e9 / n_runs as f64)
}

/// Median nanoseconds per call.
fn round_ns() -> f64 {
    let mut rounds = [0.0; ROUNDS];
    for round in &mut rounds {
        let start = thread_cpu_ns();
        for _ in 0..HITS {
            std::hint::black_box(called as extern "C" fn())();
        }
        *round = (thread_cpu_ns() - start) as f64 / f64::from(HITS);
    }
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

/// Offset in our own file of an address of our own text.
fn file_offset(addr: u64) -> Option<u64> {
    let maps = Process::myself().ok()?.maps().ok()?;
    maps.into_iter()
        .find(|map| {
            (map.address.0..map.address.1).contains(&addr)
                && matches!(map.pathname, MMapPath::Path(_))
        })
        .map(|map| addr - map.address.0 + map.offset)
}
