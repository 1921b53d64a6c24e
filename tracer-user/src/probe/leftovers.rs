//! Breakpoints that a killed heaptop has left: noted before probes are placed, taken out by the next heaptop.
//!
//! The kernel takes probes out when heaptop is killed. But where the kill falls into the very moment in which a thread of
//! heaptop takes one out itself, it gives up and leaves the breakpoint, which then traps for nobody. Whoever places a probe
//! there once more and takes it out, heals it.

use std::io;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aya::programs::UProbe;
use aya::programs::uprobe::{UProbeAttachLocation, UProbeScope};
use serde::{Deserialize, Serialize};
use tracer_ebpf::wire::programs;

use super::load::load_unbound;
use crate::go::memory::Memory as _;
use crate::plan::ProbePoint;
use crate::process::go_process::GoProcess;
use crate::process::identity::{Heaptop, Identity};
use crate::process::memory::LiveMemory;
use crate::process::run_dir::RunDir;

/// How the names of notes end.
const ENDING: &str = ".probes";
/// `int3`: what the kernel writes over the first byte of a probed instruction.
const BREAKPOINT: u8 = 0xcc;
/// The kernel is given so long to clean up behind a heaptop that was just killed.
const GRACE: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(50);

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    target: Identity,
    by: Heaptop,
    points: Vec<Point>,
}

/// Where a probe sits.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Point {
    file_offset: u64,
    /// Run-time address.
    address: u64,
}

/// A note on disk. Dropping the last clone removes it: to be kept until the probes are out.
#[derive(Clone, Debug)]
pub struct Noted(Arc<Mutex<OnDisk>>);

#[derive(Debug)]
struct OnDisk {
    dir: RunDir,
    file: String,
    note: Note,
}

impl Point {
    fn of(point: &ProbePoint, bias: u64) -> Self {
        Self {
            file_offset: point.file_offset,
            address: point.vaddr.wrapping_add(bias),
        }
    }
}

impl Noted {
    /// Notes where probes will sit. `None` where no note can be made: the watch goes on, and only a kill in
    /// the wrong moment would leave something behind.
    pub fn make<'a>(go: &GoProcess, points: impl Iterator<Item = &'a ProbePoint>) -> Option<Self> {
        let by = Heaptop::this();
        let note = Note {
            target: Identity::of(go.process.pid())?,
            by,
            points: points
                .map(|point| Point::of(point, go.program.bias))
                .collect(),
        };
        let dir = RunDir::make().ok()?;
        let file = format!("{}-{}{ENDING}", note.target.pid, by.pid);
        let on_disk = OnDisk { dir, file, note };
        on_disk.write().ok()?;
        Some(Self(Arc::new(Mutex::new(on_disk))))
    }

    /// Adds points, before probes are placed there.
    pub fn add<'a>(&self, go: &GoProcess, points: impl Iterator<Item = &'a ProbePoint>) {
        let mut on_disk = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = points.map(|point| Point::of(point, go.program.bias));
        on_disk.note.points.extend(new);
        if let Err(err) = on_disk.write() {
            log::warn!("probes are not noted: {err}");
        }
    }
}

impl OnDisk {
    fn write(&self) -> io::Result<()> {
        let note = serde_json::to_vec(&self.note)?;
        let _ = self.dir.remove(&self.file);
        self.dir.write_new(&self.file, &note)
    }
}

impl Drop for OnDisk {
    fn drop(&mut self) {
        let _ = self.dir.remove(&self.file);
    }
}

/// Takes out what heaptops that were killed have left in processes that still run.
pub fn heal() {
    for dir in RunDir::existing() {
        for name in dir.names(ENDING) {
            if heal_one(&dir, &name).is_some_and(|is_clean| is_clean) {
                let _ = dir.remove(&name);
            }
        }
    }
}

/// Whether nothing is left of one note; `None` where that is another heaptop's to say.
fn heal_one(dir: &RunDir, name: &str) -> Option<bool> {
    let note: Note = serde_json::from_slice(&dir.read(name).ok()?).ok()?;
    if !note.target.is_of_this_boot() {
        return Some(true);
    }
    if !note.target.is_of_this_namespace() || note.by.is_alive() {
        return None;
    }
    if Identity::of(note.target.pid).as_ref() != Some(&note.target) {
        return Some(true); // It has ended, or became another program: the text is another.
    }
    let memory = LiveMemory::new(note.target.pid);
    let left = || -> Vec<Point> {
        let is_left = |point: &&Point| memory.u8(point.address) == Ok(BREAKPOINT);
        note.points.iter().filter(is_left).copied().collect()
    };
    let begin = Instant::now();
    while !left().is_empty() && begin.elapsed() < GRACE {
        std::thread::sleep(POLL);
    }
    let points = left();
    if points.is_empty() {
        return Some(true);
    }
    if let Err(err) = place_and_take_out(note.target.pid, &points) {
        log::warn!("breakpoints left in {}: {err}", note.target.pid);
    }
    Some(left().is_empty())
}

/// Places a probe at each point and takes it out again.
fn place_and_take_out(pid: u32, points: &[Point]) -> anyhow::Result<()> {
    let mut ebpf = load_unbound()?;
    let program: &mut UProbe = ebpf
        .program_mut(programs::FLUSHED)
        .ok_or_else(|| anyhow::anyhow!("the object has no program to place"))?
        .try_into()?;
    program.load()?;
    let scope = UProbeScope::OneProcess(
        NonZeroU32::new(pid).ok_or_else(|| anyhow::anyhow!("0 is not a process"))?,
    );
    for point in points {
        let at = UProbeAttachLocation::AbsoluteOffset(point.file_offset);
        let link = program.attach(at, format!("/proc/{pid}/exe"), scope)?;
        program.detach(link)?;
    }
    Ok(())
}
