//! Probes on one process, and what comes from them.

use std::num::NonZeroU32;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use aya::Ebpf;
use aya::maps::{MapData, PerCpuArray, RingBuf};
use aya::programs::UProbe;
use aya::programs::uprobe::{UProbeAttachLocation, UProbeLink, UProbeScope};
use aya_log::EbpfLogger;
use tracer_ebpf::wire::{KIND_BORN, KIND_FREED, N_KINDS, maps, programs};

use super::load::chain;
use crate::clock::monotonic_ns;
use crate::decode;
use crate::event::{Event, KernelCounters};
use crate::plan::ProbePlan;
use crate::process::live::LiveProcess;
use crate::refusal::Refusal;

/// Most records of one batch: a full ring of the default size. What is left is drained with the next.
const MAX_BATCH: usize = 1 << 15;

/// Attached probes. Dropping them detaches, which takes the kernel about 0.1 s for each.
pub struct Probes {
    ring: RingBuf<MapData>,
    hits: PerCpuArray<MapData, u64>,
    lost: PerCpuArray<MapData, u64>,
    undecodable: u64,
    logger: Option<EbpfLogger<&'static dyn log::Log>>,
    links: [Option<UProbeLink>; N_KINDS],
    /// Programs and the other maps live as long as this.
    _ebpf: Ebpf,
}

impl std::fmt::Debug for Probes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Probes")
            .field("links", &self.links)
            .finish_non_exhaustive()
    }
}

impl Probes {
    /// Attaches every probe of `plan` to the process `pid`; all or none.
    ///
    /// `process` is the one that `plan` was made for: its own file is probed, whatever its pid means by
    /// now, and it is looked at again once the probes sit.
    pub fn attach(
        mut ebpf: Ebpf,
        plan: &ProbePlan,
        process: &LiveProcess,
        log: bool,
    ) -> Result<Self, Refusal> {
        let pid = process.pid();
        let refuse = |why: String| {
            if !process.is_same() {
                let what = format!("process {pid} has ended");
                let next = "start heaptop again on the new process";
                return Refusal::new(what, "it ended while the probes were placed", next);
            }
            let next = if why.contains("ermi") || why.contains("EACCES") || why.contains("EPERM") {
                format!("sudo heaptop {pid}, or without probes: heaptop --no-probes {pid}")
            } else {
                format!("without probes: heaptop --no-probes {pid}")
            };
            Refusal::new(format!("cannot place probes in process {pid}"), why, next)
        };
        let logger = if log {
            let logger = EbpfLogger::init(&mut ebpf).map_err(|err| refuse(chain(&err)))?;
            Some(logger)
        } else {
            None
        };
        let mut take = |name: &str| {
            ebpf.take_map(name)
                .ok_or_else(|| refuse(format!("the object has no map {name}")))
        };
        let ring = take(maps::EVENTS)?;
        let hits = take(maps::HITS)?;
        let lost = take(maps::LOST)?;
        let ring = RingBuf::try_from(ring).map_err(|err| refuse(chain(&err)))?;
        let hits = PerCpuArray::try_from(hits).map_err(|err| refuse(chain(&err)))?;
        let lost = PerCpuArray::try_from(lost).map_err(|err| refuse(chain(&err)))?;

        let scope = UProbeScope::OneProcess(
            NonZeroU32::new(pid).ok_or_else(|| refuse("0 is not a process".into()))?,
        );
        // The very file that was read: a path could mean another by now, and would not reach one that was
        // deleted or lies in another mount namespace.
        let file = format!("/proc/self/fd/{}", process.exe().as_raw_fd());
        let mut links = [const { None }; N_KINDS];
        for point in &plan.points {
            let kind = point.kind as usize;
            let name = programs::BY_KIND[kind];
            let program: &mut UProbe = ebpf
                .program_mut(name)
                .ok_or_else(|| refuse(format!("the object has no program {name}")))?
                .try_into()
                .map_err(|err: aya::programs::ProgramError| refuse(chain(&err)))?;
            program.load().map_err(|err| refuse(chain(&err)))?;
            let at = UProbeAttachLocation::AbsoluteOffset(point.file_offset);
            let link = program
                .attach(at, &file, scope)
                .and_then(|id| program.take_link(id))
                .map_err(|err| refuse(format!("{}: {}", point.function, chain(&err))))?;
            links[kind] = Some(link);
        }
        if !(process.is_same() && process.same_program()) {
            return Err(refuse(
                "it ended, or became another program, meanwhile".into(),
            ));
        }
        Ok(Self {
            ring,
            hits,
            lost,
            undecodable: 0,
            logger,
            links,
            _ebpf: ebpf,
        })
    }

    /// Takes what the ring holds, in the order of the kernel's reservations, at most one batch; `true`
    /// if there may be more.
    pub fn drain(&mut self, into: &mut Vec<Event>) -> bool {
        let mut n = 0;
        while n < MAX_BATCH {
            let Some(item) = self.ring.next() else { break };
            match decode::record(&item) {
                Ok(event) => into.push(Event::Probe(event)),
                Err(err) => {
                    self.undecodable += 1;
                    log::warn!("{err}");
                }
            }
            n += 1;
        }
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
        n == MAX_BATCH
    }

    /// The kernel's counters, summed over the CPUs.
    pub fn counters(&self) -> KernelCounters {
        let sums = |map: &PerCpuArray<MapData, u64>| {
            let mut sums = [0u64; N_KINDS];
            for (kind, sum) in (0u32..).zip(&mut sums) {
                if let Ok(values) = map.get(&kind, 0) {
                    *sum = values.iter().sum();
                }
            }
            sums
        };
        KernelCounters {
            at_ns: monotonic_ns(),
            hits: sums(&self.hits),
            lost: sums(&self.lost),
            undecodable: self.undecodable,
        }
    }

    /// Takes out the links of the sampler's two probes, for the caller to drop off the screen's path.
    pub fn take_sampler_links(&mut self) -> Vec<UProbeLink> {
        [KIND_BORN, KIND_FREED]
            .iter()
            .filter_map(|&kind| self.links[kind as usize].take())
            .collect()
    }

    /// The ring, to wait on.
    pub fn ring_fd(&self) -> std::io::Result<OwnedFd> {
        self.ring.as_fd().try_clone_to_owned()
    }
}
