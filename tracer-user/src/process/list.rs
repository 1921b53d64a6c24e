//! All Go processes that this user may look at, quickly: across mount and pid namespaces, without a probe.
//!
//! What depends on a program's file alone is looked up once for each file and kept. A process then costs a few small
//! files of /proc and a few reads of its memory: about 0.1 ms.

use std::collections::HashMap;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use procfs::process::Process;

use super::image::Image;
use super::live;
use super::memory::LiveMemory;
use super::rights::{CAP_SYS_PTRACE, Rights};
use super::target::container_of;
use crate::go::buildinfo::BuildInfo;
use crate::go::memory::Memory as _;
use crate::go::program::{Layout, Program};
use crate::go::static_image::StaticImage as _;
use crate::listed::{ListedProcess, Offer};
use crate::refusal::Refusal;

/// Most files that are remembered: a machine that runs more programs at once looks at some of them again.
const MAX_FILES: usize = 4096;
/// Most threads: the work is small files and page faults, which more would only queue up for.
const MAX_THREADS: usize = 8;

/// What makes a file the same as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct FileKey {
    dev: u64,
    ino: u64,
    size: u64,
    mtime: (i64, i64),
}

/// What a file tells of a Go program.
#[derive(Debug)]
struct GoFile {
    version: Option<String>,
    stripped: bool,
    is_pie: bool,
    first_load_vaddr: u64,
    layout: Result<Layout, Refusal>,
}

/// A file, looked at by the first who needs it; `None` where it is no Go program.
type Slot = Arc<OnceLock<Option<GoFile>>>;

/// Lists Go processes, again and again.
#[derive(Debug, Default)]
pub struct Lister {
    files: Mutex<HashMap<FileKey, Slot>>,
}

/// What a look has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Go processes, largest first.
    pub processes: Vec<ListedProcess>,
    /// Processes with a program, of any language.
    pub n_seen: usize,
    /// Processes whose program this user may not look at: some may be Go.
    pub n_hidden: usize,
}

impl Listing {
    /// The next step where Go processes may be hidden, or none was found.
    pub fn advice(&self) -> Option<String> {
        let hidden = match self.n_hidden {
            0 => String::new(),
            1 => "1 process of another user cannot be looked at: sudo heaptop ps".to_owned(),
            n => format!("{n} processes of other users cannot be looked at: sudo heaptop ps"),
        };
        match (self.processes.is_empty(), self.n_hidden) {
            (true, 0) => Some(format!(
                "no Go process found among {} processes: start one; one in a container is seen from the host",
                self.n_seen
            )),
            (true, _) => Some(format!("no Go process found; {hidden}")),
            (false, 0) => None,
            (false, _) => Some(hidden),
        }
    }
}

impl Lister {
    /// Looks at all processes; heaptop itself is never one. They come in no order.
    pub fn list(&self) -> Listing {
        let own = std::process::id();
        let pids: Vec<u32> = std::fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|&pid| pid != own)
            .collect();
        let rights = Rights::own();
        let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
        let chunk = pids.len().div_ceil(n_threads.min(MAX_THREADS)).max(1);
        let listing = std::thread::scope(|scope| {
            let threads: Vec<_> = pids
                .chunks(chunk)
                .map(|pids| scope.spawn(move || self.look_at_all(pids, rights)))
                .collect();
            let mut all = Listing::default();
            for part in threads.into_iter().filter_map(|thread| thread.join().ok()) {
                all.processes.extend(part.processes);
                all.n_seen += part.n_seen;
                all.n_hidden += part.n_hidden;
            }
            all
        });
        let mut files = self.files();
        if files.len() > MAX_FILES {
            files.clear();
        }
        drop(files);
        listing
    }

    fn look_at_all(&self, pids: &[u32], rights: Rights) -> Listing {
        let mut part = Listing::default();
        for &pid in pids {
            match self.look_at(pid, rights) {
                Look::NoProgram => {}
                // What is hidden from root too is so for a reason that no next step of ours changes.
                Look::Hidden => part.n_hidden += usize::from(!rights.has(CAP_SYS_PTRACE)),
                Look::NotGo => part.n_seen += 1,
                Look::Go(process) => {
                    part.n_seen += 1;
                    part.processes.push(*process);
                }
            }
        }
        part
    }

    fn look_at(&self, pid: u32, rights: Rights) -> Look {
        let exe = format!("/proc/{pid}/exe");
        // The link leads to the very file, whatever its path means in our mount namespace.
        let meta = match std::fs::metadata(&exe) {
            Ok(meta) => meta,
            Err(err) if err.kind() == ErrorKind::PermissionDenied => return Look::Hidden,
            Err(_) => return Look::NoProgram,
        };
        let key = FileKey {
            dev: meta.dev(),
            ino: meta.ino(),
            size: meta.size(),
            mtime: (meta.mtime(), meta.mtime_nsec()),
        };
        let slot = self.files().entry(key).or_default().clone();
        let Some(file) = slot.get_or_init(|| read_file(&exe)) else {
            return Look::NotGo;
        };
        match Process::new(pid.cast_signed()) {
            Ok(proc) => Look::Go(Box::new(listed(&proc, file, rights))),
            Err(_) => Look::NoProgram,
        }
    }

    fn files(&self) -> std::sync::MutexGuard<'_, HashMap<FileKey, Slot>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is seen of one pid.
enum Look {
    /// A kernel thread, a zombie, or it has ended.
    NoProgram,
    Hidden,
    NotGo,
    Go(Box<ListedProcess>),
}

/// `None` where the file is no Go program, or cannot be read.
fn read_file(exe: &str) -> Option<GoFile> {
    let image = Image::open(File::open(exe).ok()?).ok()?;
    let build = BuildInfo::read(&image).ok()?;
    Some(GoFile {
        version: Some(build.version).filter(|version| !version.is_empty()),
        stripped: !image.has_symbols(),
        is_pie: image.is_pie(),
        first_load_vaddr: image.first_load_vaddr(),
        layout: Layout::of_file(&image),
    })
}

fn listed(proc: &Process, file: &GoFile, rights: Rights) -> ListedProcess {
    let pid = proc.pid.unsigned_abs();
    let name = live::exe_name(proc).or_else(|| Some(proc.stat().ok()?.comm));
    let rate = rate_of(proc, file);
    let source = match &rate {
        Ok(rate) => Offer::of(*rate, rights.probes()),
        Err(why) => Offer::Nothing(why.clone()),
    };
    ListedProcess {
        pid,
        name: name.unwrap_or_default(),
        container: container_of(proc),
        go: file.version.clone(),
        stripped: Some(file.stripped),
        sample_rate_bytes: rate.ok(),
        source,
        rss_bytes: proc
            .statm()
            .ok()
            .map(|statm| statm.resident * procfs::page_size()),
    }
}

/// `MemProfileRate`, or why it is not known.
fn rate_of(proc: &Process, file: &GoFile) -> Result<u64, String> {
    let memory = LiveMemory::new(proc.pid.unsigned_abs());
    // Only what the kernel loads anywhere has to be looked for: /proc/PID/maps is the largest of the files read.
    let bias = if file.is_pie {
        let start = live::exe_start(proc).ok_or("its mappings may not be seen")?;
        start.wrapping_sub(file.first_load_vaddr)
    } else {
        0
    };
    if memory.u8(file.first_load_vaddr.wrapping_add(bias)).is_err() {
        return Err("its memory may not be read by this user; sudo heaptop can".into());
    }
    let program = match &file.layout {
        Ok(layout) => Program::in_process(layout, &memory, bias),
        // Some files leave to the loader what is needed: then each process is looked at by itself.
        Err(refusal) if file.is_pie => {
            let image = File::open(format!("/proc/{}/exe", proc.pid))
                .ok()
                .and_then(|file| Image::open(file).ok());
            image.map_or_else(
                || Err(refusal.clone()),
                |image| Program::locate(&image, &memory, bias),
            )
        }
        Err(refusal) => Err(refusal.clone()),
    };
    let program = program.map_err(|refusal| format!("{}: {}", refusal.what, refusal.why))?;
    memory
        .u64(program.vars.mem_profile_rate)
        .map_err(|err| err.to_string())
}
