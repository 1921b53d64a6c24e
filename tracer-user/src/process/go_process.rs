//! A Go process with everything that was found in its binary: what every command begins with.

use std::sync::Arc;

use super::cgroup;
use super::image::Image;
use super::live::{ExeMapping, LiveProcess};
use super::memory::LiveMemory;
use crate::event::CgroupRead;
use crate::go::buckets::{self, Counts, NewBucket, ProfCycle};
use crate::go::buildinfo::BuildInfo;
use crate::go::memory::{Memory as _, Unreadable};
use crate::go::memstats::{self, HeapFigures};
use crate::go::profile::MappedFile;
use crate::go::program::Program;
use crate::go::static_image::StaticImage as _;
use crate::refusal::Refusal;
use crate::view::format;

/// Readings of the whole profile that may disagree before one is taken as it is: under load the runtime
/// samples hundreds of times a second, and a reading takes about 5 ms.
const MAX_UNSTEADY_READS: usize = 20;

/// A Go process, opened.
#[derive(Debug)]
pub struct GoProcess {
    /// The process.
    pub process: LiveProcess,
    /// Its executable's file.
    pub image: Arc<Image>,
    /// What is in it.
    pub program: Arc<Program>,
    /// Where the executable is mapped.
    pub mappings: Vec<ExeMapping>,
}

/// The profile that the runtime keeps, at one moment.
#[derive(Debug)]
pub struct RuntimeProfile {
    /// Buckets, newest first as `runtime.MemProfile` has them, with what it would report of each.
    pub records: Vec<(NewBucket, Counts)>,
    /// `MemProfileRate`.
    pub rate_bytes: u64,
    /// Two readings in a row were equal: the profile is of one moment.
    pub steady: bool,
    /// Buckets beyond our bound.
    pub omitted: u64,
}

impl GoProcess {
    /// Opens the process `pid` and finds its Go runtime.
    ///
    /// # Errors
    /// A [`Refusal`] where it cannot be looked at, is not a Go program, or is one that is not known.
    pub fn open(pid: u32) -> Result<Self, Refusal> {
        let process = LiveProcess::open(pid)?;
        let about = |mut refusal: Refusal| {
            refusal.what = format!("{} ({}, pid {pid})", refusal.what, process.name());
            refusal
        };
        let mappings = process.exe_mappings()?;
        let file = process.exe().try_clone().map_err(|err| {
            Refusal::new(
                format!("cannot read the program of process {pid}"),
                err.to_string(),
                "try again",
            )
        })?;
        let image = Image::open(file).map_err(about)?;
        let first = mappings
            .iter()
            .map(|mapping| mapping.start)
            .min()
            .unwrap_or_default();
        let bias = first.wrapping_sub(image.first_load_vaddr());
        let memory = process.memory();
        let ended = || {
            Refusal::new(
                format!("{} (pid {pid}) has ended", process.name()),
                "it ended, or its pid was reused, while its binary was read",
                "start heaptop again on the new process",
            )
        };
        // One readable word tells a lack of rights from a program that is not understood.
        if memory.u64(first).is_err() && process.is_same() {
            return Err(Refusal::new(
                format!("cannot read the memory of {} (pid {pid})", process.name()),
                "the kernel allows it only for processes of the same user (and, with yama, only to a parent), or with CAP_SYS_PTRACE",
                format!("sudo heaptop {pid}"),
            ));
        }
        let program = Program::locate(&image, &memory, bias);
        if !process.is_same() {
            return Err(ended());
        }
        let program = program.map_err(|refusal| {
            let is_go = BuildInfo::read(&image).is_ok();
            let refusal = about(refusal);
            if is_go {
                refusal.with_fact(&known_memory(&process))
            } else {
                refusal
            }
        })?;
        Ok(Self {
            process,
            image: Arc::new(image),
            program: Arc::new(program),
            mappings,
        })
    }

    /// Its memory.
    pub fn memory(&self) -> LiveMemory {
        self.process.memory()
    }

    /// Its executable mappings as Go's own profiles name them: the program, libraries, the vdso.
    pub fn mapped_files(&self) -> Vec<MappedFile> {
        let mut mapped = self.process.executable_mappings();
        for file in &mut mapped {
            let of_program = self.mappings.iter().any(|own| own.start == file.start);
            let build_id = if of_program {
                self.image.build_id()
            } else {
                self.build_id_of(&file.path)
            };
            file.build_id = hex::encode(build_id.unwrap_or_default());
        }
        mapped
    }

    /// Build id of another file, in the target's own view of the file system.
    fn build_id_of(&self, path: &str) -> Option<Vec<u8>> {
        let file = std::fs::File::open(format!("/proc/{}/root{path}", self.process.pid())).ok()?;
        // Only regular files: opening a device or a pipe of the target's choice could block.
        file.metadata().ok()?.is_file().then_some(())?;
        Image::open(file).ok()?.build_id()
    }

    /// The runtime's figures.
    pub fn figures(&self) -> Result<HeapFigures, Refusal> {
        memstats::read(&self.memory(), self.program.facts, &self.program.vars)
            .map_err(|err| self.unreadable(err))
    }

    /// Ends of the last GC cycles, oldest first, Unix nanoseconds.
    pub fn gc_ends(&self) -> Result<Vec<u64>, Unreadable> {
        memstats::gc_ends(&self.memory(), self.program.facts, &self.program.vars)
    }

    /// Refuses a program whose runtime samples nothing.
    pub fn require_sampling(&self) -> Result<(), Refusal> {
        if self.figures()?.rate_bytes != 0 {
            return Ok(());
        }
        Err(Refusal::new(
            format!(
                "{} (pid {}) samples no allocations",
                self.process.name(),
                self.process.pid()
            ),
            "its runtime.MemProfileRate is 0, as in programs that link no heap profile",
            format!(
                "heaptop --arm {} switches sampling on while it looks; or link net/http/pprof (`import _ \"net/http/pprof\"`, no port needed)",
                self.process.pid()
            ),
        ))
    }

    /// What `runtime.MemProfile` would report now, read without stopping the target: repeated until two
    /// readings agree.
    pub fn profile(&self) -> Result<RuntimeProfile, Refusal> {
        let memory = self.memory();
        let vars = &self.program.vars;
        let unreadable = |err| self.unreadable(err);
        let mut last: Option<(ProfCycle, Vec<buckets::MemRecord>)> = None;
        let mut tries = 0;
        loop {
            tries += 1;
            let cycle = ProfCycle::read(&memory, self.program.facts, vars).map_err(unreadable)?;
            let (found, omitted) = buckets::walk(&memory, vars.mbuckets, 0).map_err(unreadable)?;
            let records = buckets::read_records(&memory, self.program.facts.record, &found)
                .map_err(unreadable)?;
            let steady = last
                .as_ref()
                .is_some_and(|last| last.0 == cycle && last.1 == records);
            if steady || tries >= MAX_UNSTEADY_READS {
                let reported = reported(&records, cycle);
                let mut records: Vec<(NewBucket, Counts)> =
                    found.into_iter().zip(reported).collect();
                records.reverse();
                let rate_bytes = memory.u64(vars.mem_profile_rate).map_err(unreadable)?;
                return Ok(RuntimeProfile {
                    records,
                    rate_bytes,
                    steady,
                    omitted,
                });
            }
            last = Some((cycle, records));
        }
    }

    /// What to say where its memory cannot be read.
    pub fn unreadable(&self, err: Unreadable) -> Refusal {
        let (name, pid) = (self.process.name(), self.process.pid());
        if self.process.is_same() {
            let what = format!("cannot read the profile of {name} (pid {pid})");
            Refusal::new(
                what,
                err.to_string(),
                "try again; if it stays, report it with the Go version",
            )
        } else {
            Refusal::new(
                format!("{name} (pid {pid}) has ended"),
                "it ended while it was read",
                "start it again",
            )
        }
    }
}

/// The process's memory as the kernel accounts for it: known whatever its Go release is.
fn known_memory(process: &LiveProcess) -> String {
    let bytes = |bytes: u64| format::sentence_bytes(bytes as f64);
    let resident = process.rss_bytes().map_or_else(
        || "its resident memory is not known".to_owned(),
        |rss| format!("its resident memory is {}", bytes(rss)),
    );
    let limit = match cgroup::read(process.pid()) {
        None => "its cgroup's limit is not known".to_owned(),
        Some(CgroupRead { max: None, .. }) => "its cgroup sets no limit".to_owned(),
        Some(CgroupRead { max: Some(max), .. }) => format!(
            "its cgroup is limited to {}, {} of it in use",
            bytes(max.limit_bytes),
            bytes(max.usage_bytes)
        ),
    };
    format!("{resident}, {limit}")
}

/// What `runtime.MemProfile` makes of the records: before the first cycle it folds in everything.
///
/// Source: `runtime.memProfileInternal`, go1.18 to go1.27.
fn reported(records: &[buckets::MemRecord], cycle: ProfCycle) -> Vec<Counts> {
    let reported: Vec<Counts> = records
        .iter()
        .map(|record| record.reported(cycle))
        .collect();
    if reported.iter().all(|counts| *counts == Counts::default()) {
        return records.iter().map(buckets::MemRecord::now).collect();
    }
    reported
}
