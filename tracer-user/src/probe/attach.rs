//! Probes on one process, and what comes from them.

use std::mem::offset_of;
use std::num::NonZeroU32;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::sync::Arc;

use aya::Ebpf;
use aya::maps::{Array, MapData, PerCpuArray, PerCpuHashMap, RingBuf};
use aya::programs::uprobe::{UProbeAttachLocation, UProbeLink, UProbeScope};
use aya::programs::{RawTracePoint, UProbe};
use aya::sys::{Stats, enable_stats};
use aya_log::EbpfLogger;
use tokio::sync::Notify;
use tracer_ebpf::wire::{
    CountKey, END_SEEN, ENDED_EXIT, ENDED_OOM, KIND_CALL, N_CALLS, N_KINDS, maps, programs,
};

use super::calibrate::mean_run_ns;
use super::detach;
use super::fuse::{Cut, Fuse};
use super::load::chain;
use crate::clock::monotonic_ns;
use crate::decode;
use crate::event::{KernelCounters, Record};
use crate::plan::{Kind, ProbePlan, ProbePoint};
use crate::process::live::LiveProcess;
use crate::refusal::Refusal;
use crate::source::limit::Group;

/// Most records of one batch: a full ring of the default size. What is left is drained with the next.
const MAX_BATCH: usize = 1 << 15;

/// Attached probes. Dropping them detaches, which takes the kernel about 0.1 s for each.
pub struct Probes {
    ring: RingBuf<MapData>,
    lost: PerCpuArray<MapData, u64>,
    counts: PerCpuHashMap<MapData, CountWords, u64>,
    overflow: PerCpuArray<MapData, u64>,
    reentries: PerCpuArray<MapData, u64>,
    undecodable: u64,
    logger: Option<EbpfLogger<&'static dyn log::Log>>,
    /// Links of the probes, cut above the budget.
    fuse: Fuse,
    /// Written by the raw tracepoints that [`Probes::watch_end`] has attached.
    ended: Array<MapData, u64>,
    /// True if the raw tracepoint of the OOM killer is attached.
    sees_oom: bool,
    /// While it is there the kernel measures how long programs run.
    timing: Option<OwnedFd>,
    /// Programs and the other maps live as long as this.
    ebpf: Ebpf,
}

/// A [`CountKey`] as it lies in the map: `stack`, `go_type`, `object_bytes`.
type CountWords = [u64; 3];

const _: () = assert!(
    size_of::<CountKey>() == size_of::<CountWords>()
        && offset_of!(CountKey, stack) == 0
        && offset_of!(CountKey, go_type) == 8
        && offset_of!(CountKey, object_bytes) == 16
);

/// What source `exact` has counted since the load, summed over the CPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Objects by stack, type and size, in no order.
    pub objects: Vec<(CountKey, u64)>,
    /// Objects that found no room in the kernel's map.
    pub overflow: u64,
}

/// The target's end as the raw tracepoints saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeenEnd {
    /// Its wait status; `None` if it has not ended, or nothing is attached that would see it.
    pub wait_status: Option<u32>,
    /// True if the OOM killer has chosen it; `None` if nothing is attached that would see it.
    pub is_oom_victim: Option<bool>,
}

impl std::fmt::Debug for Probes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Probes").finish_non_exhaustive()
    }
}

impl Probes {
    /// Attaches every probe of `plan` to the process `pid`; all or none.
    ///
    /// `process` is the one that `plan` was made for: its own file is probed, whatever its pid means by
    /// now, and it is looked at again once the probes sit. All probes together may take `max_cpu_fraction` of one CPU: a
    /// group that takes more is removed, see [`Probes::cut`].
    pub fn attach(
        mut ebpf: Ebpf,
        plan: &ProbePlan,
        process: &LiveProcess,
        max_cpu_fraction: f64,
        log: bool,
    ) -> Result<Self, Refusal> {
        let refuse = |why: String| refuse(process, why);
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
        let counts = take(maps::COUNTS)?;
        let overflow = take(maps::COUNTS_OVERFLOW)?;
        let reentries = take(maps::REENTRIES)?;
        let ended = take(maps::ENDED)?;
        let ended = Array::try_from(ended).map_err(|err| refuse(chain(&err)))?;
        let ring = RingBuf::try_from(ring).map_err(|err| refuse(chain(&err)))?;
        let hits = PerCpuArray::try_from(hits).map_err(|err| refuse(chain(&err)))?;
        let lost = PerCpuArray::try_from(lost).map_err(|err| refuse(chain(&err)))?;

        let counts = PerCpuHashMap::try_from(counts).map_err(|err| refuse(chain(&err)))?;
        let overflow = PerCpuArray::try_from(overflow).map_err(|err| refuse(chain(&err)))?;
        let reentries = PerCpuArray::try_from(reentries).map_err(|err| refuse(chain(&err)))?;
        let mut probes = Self {
            ring,
            lost,
            counts,
            overflow,
            reentries,
            undecodable: 0,
            logger,
            fuse: Fuse::new(hits, max_cpu_fraction),
            ended,
            sees_oom: false,
            timing: None,
            ebpf,
        };
        probes.attach_points(&plan.points, process)?;
        Ok(probes)
    }

    /// Attaches the probes of these kinds once more, after [`Probes::take_links`]; all or none of them.
    ///
    /// # Errors
    /// As [`Probes::attach`]; what was attached before stays.
    pub fn attach_more(
        &mut self,
        plan: &ProbePlan,
        kinds: &[Kind],
        process: &LiveProcess,
    ) -> Result<(), Refusal> {
        let points = &plan.points;
        self.place(
            points.iter().filter(|point| kinds.contains(&point.kind)),
            process,
        )
    }

    /// Attaches probes at these points too; all or none of them.
    ///
    /// # Errors
    /// As [`Probes::attach`]; what was attached before stays.
    pub fn attach_points(
        &mut self,
        points: &[ProbePoint],
        process: &LiveProcess,
    ) -> Result<(), Refusal> {
        self.place(points.iter(), process)
    }

    fn place<'a>(
        &mut self,
        points: impl Iterator<Item = &'a ProbePoint>,
        process: &LiveProcess,
    ) -> Result<(), Refusal> {
        let refuse = |why: String| refuse(process, why);
        let scope = UProbeScope::OneProcess(
            NonZeroU32::new(process.pid()).ok_or_else(|| refuse("0 is not a process".into()))?,
        );
        // The very file that was read: a path could mean another by now, and would not reach one that was
        // deleted or lies in another mount namespace.
        let file = format!("/proc/self/fd/{}", process.exe().as_raw_fd());
        let points: Vec<&ProbePoint> = points.collect();
        let kinds: Vec<Kind> = points.iter().map(|point| point.kind).collect();
        self.fuse.begin(&kinds);
        let placed = self.place_in(&file, scope, &points).and_then(|()| {
            if process.is_same() && process.same_program() {
                Ok(())
            } else {
                Err("it ended, or became another program, meanwhile".into())
            }
        });
        placed.map_err(|why| {
            detach::remove(self.fuse.take(&kinds));
            refuse(why)
        })
    }

    /// Places the probes one by one, each under its limit as soon as it can fire.
    fn place_in(
        &mut self,
        file: &str,
        scope: UProbeScope,
        points: &[&ProbePoint],
    ) -> Result<(), String> {
        for point in points {
            if self.fuse.is_cut(point.kind) {
                continue; // Its group costs too much already.
            }
            let program = self.program(point.program())?;
            if program.fd().is_err() {
                program.load().map_err(|err| chain(&err))?;
            }
            let at = UProbeAttachLocation::AbsoluteOffset(point.file_offset);
            let link = program
                .attach(at, file, scope)
                .and_then(|id| program.take_link(id))
                .map_err(|err| format!("{}: {}", point.function, chain(&err)))?;
            self.fuse.add(point.kind, link);
        }
        Ok(())
    }

    /// Attaches the raw tracepoints that see the target's end, if it was loaded with
    /// [`EndSettings`](super::EndSettings): the choice of the OOM killer, and with `needs_wait_status` the exit of threads. A
    /// kernel that refuses them leaves the cause of the end unknown, and nothing else.
    pub fn watch_end(&mut self, needs_wait_status: bool) {
        let mut attach = |name: &str, tracepoint: &str| {
            let program = self.ebpf.program_mut(name);
            let program: &mut RawTracePoint = program
                .ok_or_else(|| format!("the object has no program {name}"))?
                .try_into()
                .map_err(|err: aya::programs::ProgramError| chain(&err))?;
            let attached = program.load().and_then(|()| program.attach(tracepoint));
            attached.map_err(|err| format!("{tracepoint}: {}", chain(&err)))
        };
        match attach(programs::OOM_VICTIM, programs::OOM_VICTIM_TRACEPOINT) {
            Ok(_) => self.sees_oom = true,
            Err(err) => log::info!("OOM kills are not seen: {err}"),
        }
        if needs_wait_status
            && let Err(err) = attach(programs::PROCESS_EXIT, programs::PROCESS_EXIT_TRACEPOINT)
        {
            log::info!("exits are not seen: {err}");
        }
    }

    /// Reads what the raw tracepoints have seen.
    pub fn end(&self) -> SeenEnd {
        let entry = |index: u32| self.ended.get(&index, 0).unwrap_or(0);
        let (exit, oom) = (entry(ENDED_EXIT), entry(ENDED_OOM));
        SeenEnd {
            wait_status: (exit & END_SEEN != 0)
                .then(|| u32::try_from(exit & u64::from(u32::MAX)).unwrap_or(0)),
            is_oom_victim: self.sees_oom.then_some(oom & END_SEEN != 0),
        }
    }

    fn program(&mut self, name: &str) -> Result<&mut UProbe, String> {
        self.ebpf
            .program_mut(name)
            .ok_or_else(|| format!("the object has no program {name}"))?
            .try_into()
            .map_err(|err: aya::programs::ProgramError| chain(&err))
    }

    /// Takes what the ring holds, in the order of the kernel's reservations, at most one batch; `true`
    /// if there may be more.
    pub fn drain(&mut self, into: &mut Vec<Record>) -> bool {
        let mut n = 0;
        while n < MAX_BATCH {
            let Some(item) = self.ring.next() else { break };
            match decode::record(&item) {
                Ok(record) => into.push(record),
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
            hits: self.fuse.hits(),
            lost: sums(&self.lost),
            undecodable: self.undecodable,
        }
    }

    /// Calls of the functions of [`Kind::Call`] and [`Kind::OtherCall`] since the load, summed over the CPUs.
    pub fn calls(&self) -> [u64; N_CALLS] {
        self.calls_of(None)
    }

    /// Calls up to `cut`; up to now without one.
    pub fn calls_of(&self, cut: Option<&Cut>) -> [u64; N_CALLS] {
        let sum = |map: &PerCpuArray<MapData, u64>, index: u32| {
            map.get(&index, 0)
                .map_or(0, |values| values.iter().sum::<u64>())
        };
        let mut calls = [0; N_CALLS];
        for (index, calls) in (0u32..).zip(&mut calls) {
            // Those that come by again first: between the two readings a call may come too many, but never none.
            let reentries = sum(&self.reentries, index);
            let kind = (KIND_CALL + index) as usize;
            let hits = cut.map_or_else(|| self.fuse.hits()[kind], |cut| cut.hits[kind]);
            *calls = hits.saturating_sub(reentries);
        }
        calls
    }

    /// What source `exact` has counted. Two system calls for each key: some 10 ms when the map is full.
    pub fn counts(&self) -> Counts {
        let objects = self.counts.iter().filter_map(|entry| {
            let ([stack, go_type, object_bytes], objects) = entry.ok()?;
            let key = CountKey {
                stack,
                go_type,
                object_bytes,
            };
            Some((key, objects.iter().sum()))
        });
        Counts {
            objects: objects.collect(),
            overflow: self
                .overflow
                .get(&0, 0)
                .map_or(0, |values| values.iter().sum()),
        }
    }

    /// Takes out the links of these kinds, for the caller to [`detach::remove`] off the screen's path: the kernel needs about
    /// 0.1 s.
    pub fn take_links(&self, kinds: &[Kind]) -> Vec<UProbeLink> {
        self.fuse.take(kinds)
    }

    /// Number of attached probes of a kind.
    pub fn n_links(&self, kind: Kind) -> usize {
        self.fuse.n_links(kind)
    }

    /// The removal of a group because of its cost, since it was last attached.
    pub fn cut(&self, group: Group) -> Option<Cut> {
        self.fuse.cut(group)
    }

    /// Notified after each cut.
    pub fn was_cut(&self) -> Arc<Notify> {
        self.fuse.was_cut()
    }

    /// Sets the measured cost of a hit of a group.
    pub fn hit_costs(&self, group: Group, ns: f64) {
        self.fuse.hit_costs(group, ns);
    }

    /// Lets the kernel measure how long programs run, or no longer. It measures all programs of the machine, at some 50 ns
    /// a run, so not for ever. Kernels that cannot leave [`Probes::program_ns`] empty.
    pub fn time_programs(&mut self, on: bool) {
        self.timing = if on {
            enable_stats(Stats::RunTime).ok()
        } else {
            None
        };
    }

    /// Nanoseconds that the program of a kind takes for a run, on average, on the target itself; without the trap that
    /// leads to it. `None` before it has run under [`Probes::time_programs`].
    pub fn program_ns(&self, kind: Kind) -> Option<f64> {
        let mean_ns = |name: &str| mean_run_ns(&self.ebpf.program(name)?.info().ok()?);
        mean_ns(programs::BY_KIND[kind as usize]).or_else(|| match kind {
            Kind::Large => mean_ns(programs::LARGE_RESULT),
            _ => None,
        })
    }

    /// The ring, to wait on.
    pub fn ring_fd(&self) -> std::io::Result<OwnedFd> {
        self.ring.as_fd().try_clone_to_owned()
    }
}

fn refuse(process: &LiveProcess, why: String) -> Refusal {
    let pid = process.pid();
    if !process.is_same() {
        let what = format!("process {pid} has ended");
        let next = "start heaptop again on the new process";
        return Refusal::new(what, "it ended while the probes were placed", next);
    }
    let what = format!("cannot place probes in process {pid}");
    if !process.same_program() {
        let next = "start heaptop again on the new program";
        return Refusal::new(what, "it became another program meanwhile", next);
    }
    let denied = ["ermi", "EACCES", "EPERM"]
        .iter()
        .any(|word| why.contains(word));
    let next = if denied {
        format!("sudo heaptop {pid}, or without probes: heaptop --no-probes {pid}")
    } else {
        format!("without probes: heaptop --no-probes {pid}")
    };
    Refusal::new(what, why, next)
        .lacking_rights(denied)
        .lacking_probes()
}
