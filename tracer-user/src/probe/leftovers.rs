//! Breakpoints that a killed heaptop left: probes are noted before they are placed, and the next heaptop removes the rest.
//!
//! The kernel removes probes when heaptop is killed. If the kill comes while a thread of heaptop removes one, the removal is
//! abandoned and the breakpoint stays: a trap without a probe. Placing a probe there once more and removing it restores the
//! code.

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

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Note {
    target: Identity,
    by: Heaptop,
    points: Vec<Point>,
}

/// Where a probe sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Number of points of the plan, which come first.
    n_planned: usize,
    /// Points of the candidate that was noted last.
    candidate: Vec<Point>,
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
        let on_disk = OnDisk {
            dir,
            file,
            n_planned: note.points.len(),
            note,
            candidate: Vec::new(),
        };
        on_disk.write(&on_disk.note).ok()?;
        Some(Self(Arc::new(Mutex::new(on_disk))))
    }

    /// Notes the points of a candidate, before its probes are placed. The points of the candidate before it are kept:
    /// its probes may still be in.
    ///
    /// # Errors
    /// If the note cannot be written. The probes must not be placed then.
    pub fn note_candidate<'a>(
        &self,
        go: &GoProcess,
        points: impl Iterator<Item = &'a ProbePoint>,
    ) -> io::Result<()> {
        let points = points.map(|point| Point::of(point, go.program.bias));
        let mut on_disk = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        on_disk.note_candidate(points.collect())
    }
}

impl OnDisk {
    fn note_candidate(&mut self, points: Vec<Point>) -> io::Result<()> {
        let noted = &self.note.points;
        if points.iter().any(|point| !noted.contains(point)) {
            let planned = noted.iter().take(self.n_planned);
            let all = planned.chain(&self.candidate).chain(&points);
            let note = Note {
                points: all.copied().collect(),
                ..self.note.clone()
            };
            self.write(&note)?;
            self.note = note;
        }
        self.candidate = points;
        Ok(())
    }

    fn write(&self, note: &Note) -> io::Result<()> {
        self.dir.replace(&self.file, &serde_json::to_vec(note)?)
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
    let text = dir.read(name).ok()?;
    let note: Note = serde_json::from_slice(&text)
        .inspect_err(|err| {
            let path = dir.path().join(name);
            log::warn!(
                "cannot read {}, which lists probes of a killed heaptop: {err}",
                path.display()
            );
        })
        .ok()?;
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::plan::calls::MAX_POINTS;
    use crate::process::run_dir::MAX_FILE_BYTES;

    /// More points than any plan has.
    const MAX_PLANNED: usize = 512;

    /// Points of one function, with the longest addresses.
    fn points(function: u64, n: usize) -> Vec<Point> {
        let address = |i: u64| u64::MAX - 1_000 * function - i;
        let at = (0..).map(|i| Point {
            file_offset: address(i),
            address: address(i),
        });
        at.take(n).collect()
    }

    fn noted(folder: &std::path::Path, planned: Vec<Point>) -> OnDisk {
        let own = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(folder, own).expect("a folder");
        let on_disk = OnDisk {
            dir: RunDir::open(folder).expect("a folder of its own"),
            file: format!("1-2{ENDING}"),
            n_planned: planned.len(),
            note: Note {
                target: Identity::of(std::process::id()).expect("this process"),
                by: Heaptop::this(),
                points: planned,
            },
            candidate: Vec::new(),
        };
        on_disk.write(&on_disk.note).expect("a new file");
        on_disk
    }

    fn on_disk(of: &OnDisk) -> Vec<Point> {
        let text = of.dir.read(&of.file).expect("the note");
        let note: Note = serde_json::from_slice(&text).expect("a whole note");
        note.points
    }

    #[test]
    fn a_note_keeps_the_plan_and_the_last_two_candidates() {
        let folder = tempfile::tempdir().expect("a folder");
        let planned = points(0, 3);
        let mut note = noted(folder.path(), planned.clone());
        for function in 1..=20 {
            note.note_candidate(points(function, 2)).expect("a note");
        }
        let last = [planned.clone(), points(19, 2), points(20, 2)].concat();
        assert_eq!(on_disk(&note), last);
        // Known already: the one after it still follows the one that was attached.
        note.note_candidate(points(19, 2)).expect("a note");
        assert_eq!(on_disk(&note), last);
        note.note_candidate(points(1, 2)).expect("a note");
        assert_eq!(
            on_disk(&note),
            [planned, points(19, 2), points(1, 2)].concat()
        );
    }

    #[test]
    fn the_longest_note_is_read_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut note = noted(folder.path(), points(0, MAX_PLANNED));
        for function in 1..=3 {
            note.note_candidate(points(function, MAX_POINTS))
                .expect("a note");
        }
        let text = note.dir.read(&note.file).expect("the note");
        assert!((text.len() as u64) < MAX_FILE_BYTES, "{}", text.len());
        assert_eq!(on_disk(&note).len(), MAX_PLANNED + 2 * MAX_POINTS);
    }

    #[test]
    fn a_note_that_cannot_be_written_leaves_the_old_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut note = noted(folder.path(), points(0, 1));
        let blocked = folder.path().join(format!("{}.new", note.file));
        std::fs::create_dir(&blocked).expect("a folder");
        assert!(note.note_candidate(points(1, 1)).is_err());
        assert_eq!(on_disk(&note), points(0, 1));
        std::fs::remove_dir(&blocked).expect("a folder");
        note.note_candidate(points(1, 1)).expect("a note");
        assert_eq!(on_disk(&note), [points(0, 1), points(1, 1)].concat());
    }
}
