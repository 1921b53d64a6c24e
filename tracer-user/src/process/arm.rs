//! `--arm`: switches on the heap sampler of a program whose runtime samples nothing, and off again.
//!
//! The one thing that heaptop ever writes into a target: 8 bytes, `runtime.MemProfileRate`, from 0 to 524288. What was
//! there is put back when the [`Armed`] guard is dropped, so also on errors, signals that are caught, and panics.
//! Before the write a note is made in a [`RunDir`]; where heaptop was killed, the next one finds the note and puts the
//! value back ([`restore_leftovers`]).
//!
//! The address means nothing in another program. `/proc/PID/mem` stays with the memory that it was opened for: after
//! an exec, an exit, or when the pid is reused it reads and writes nothing. A note is followed only if pid, start
//! time, boot, pid namespace, program file and the place of the stack (new with each exec) are all those of then.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;

use serde::{Deserialize, Serialize};

use super::go_process::GoProcess;
use super::identity::{Heaptop, Identity};
use super::run_dir::RunDir;
use crate::clock::{local_time, unix_ns};
use crate::refusal::Refusal;

/// `MemProfileRate` as it is in every program that links a profile reader.
pub const ARMED_RATE_BYTES: u64 = 524_288;
const _: () = assert!(
    ARMED_RATE_BYTES == (ARMED_RATE_BYTES >> 16 & 0xff) << 16,
    "one byte differs from 0"
);
/// How the names of notes end.
const ENDING: &str = ".armed";

/// What is noted before the write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    target: Identity,
    name: String,
    address: u64,
    old_value: u64,
    new_value: u64,
    at_unix_ns: i64,
    by: Heaptop,
}

/// A sampler that heaptop has switched on. Dropping it puts the old rate back.
#[derive(Debug)]
pub struct Armed {
    memory: File,
    note: Note,
    file: String,
    dir: RunDir,
}

/// Another heaptop that has armed a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArmedBy {
    /// Pid of that heaptop.
    pub pid: u32,
    /// Unix time of the write, nanoseconds.
    pub since_unix_ns: i64,
}

impl std::fmt::Display for ArmedBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let since = local_time(self.since_unix_ns);
        write!(
            f,
            "armed by heaptop {} since {since}: its samples stop when that heaptop ends",
            self.pid
        )
    }
}

impl Armed {
    /// Switches the sampler of a process on. To be called when its probes sit, so that no sample is missed.
    ///
    /// # Errors
    /// Where the sampler is on, the note cannot be made, or the memory not be written. Nothing was written then.
    pub fn arm(go: &GoProcess) -> Result<Self, Refusal> {
        let (pid, name) = (go.process.pid(), go.process.name());
        let what = format!("cannot arm {name} (pid {pid})");
        let refuse = |why: String, next: String| Refusal::new(&what, why, next);
        let again = || "try again; `heaptop doctor` says what may be missing".to_owned();
        let address = go.program.vars.mem_profile_rate;
        let memory = open_memory(pid).map_err(|err| {
            let why = format!("its memory may not be written: {err}");
            refuse(why, format!("sudo heaptop --arm {pid}"))
        })?;
        let ended = || {
            refuse(
                "it ended, or became another program, meanwhile".into(),
                "start heaptop again on the new process".into(),
            )
        };
        // After the open: what is checked now is what `memory` belongs to, since neither an exec nor a new process can
        // undo what it did to the place of the stack or the start time.
        let target = Identity::of(pid).ok_or_else(ended)?;
        if !(go.process.is_same() && go.process.same_program()) {
            return Err(ended());
        }
        if !address.is_multiple_of(8) || !go.process.is_writable(address) {
            return Err(refuse(
                format!("MemProfileRate at {address:#x} is not a variable that may be written"),
                "report this with the output of `go version -m` for the program".into(),
            ));
        }
        let dir = RunDir::make()?;
        let Some(_lock) = dir.lock() else {
            return Err(refuse(
                format!(
                    "another heaptop has locked {} for a second",
                    dir.path().display()
                ),
                again(),
            ));
        };
        let old_value = read_value(&memory, address).ok_or_else(ended)?;
        refuse_where_on(pid, old_value).map_err(|(why, next)| refuse(why, next))?;
        // What makes the write safe: see `write_value`.
        debug_assert_eq!(old_value, 0);
        let note = Note {
            name: name.to_owned(),
            address,
            old_value,
            new_value: ARMED_RATE_BYTES,
            at_unix_ns: unix_ns(),
            by: Heaptop::this(),
            target,
        };
        let file = format!("{pid}-{}{ENDING}", note.target.started_ticks);
        let bytes = serde_json::to_vec(&note).map_err(|err| refuse(err.to_string(), again()))?;
        // A note that is there is of a heaptop that was killed and whose value could not be put back, or is 0 by now.
        let _ = dir.remove(&file);
        dir.write_new(&file, &bytes).map_err(|err| {
            let path = dir.path().join(&file);
            refuse(
                format!(
                    "cannot note what is to be put back in {}: {err}",
                    path.display()
                ),
                "make room, or name another folder: HEAPTOP_RUN_DIR=DIR heaptop --arm ...".into(),
            )
        })?;
        // From here on the drop removes the note, and puts back what was written.
        let armed = Self {
            memory,
            note,
            file,
            dir,
        };
        if write_value(&armed.memory, address, ARMED_RATE_BYTES) {
            Ok(armed)
        } else {
            Err(ended())
        }
    }

    /// Unix time of the write, nanoseconds: samples begin here.
    pub fn at_unix_ns(&self) -> i64 {
        self.note.at_unix_ns
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        if put_back(&self.memory, &self.note) {
            let _ = self.dir.remove(&self.file);
        } else {
            say(&format!(
                "could not put MemProfileRate of {} (pid {}) back to {}; the next heaptop tries again",
                self.note.name, self.note.target.pid, self.note.old_value
            ));
        }
    }
}

/// Refuses a process whose sampler is on already; gives why and the next step.
///
/// # Errors
/// Where it is.
pub fn refuse_where_on(pid: u32, rate_bytes: u64) -> Result<(), (String, String)> {
    match armed_by(pid) {
        Some(by) => Err((
            format!("it is {by}"),
            format!("heaptop {pid} watches it too, as long as it is armed"),
        )),
        None if rate_bytes == 0 => Ok(()),
        None => Err((
            format!("its sampler is on already: MemProfileRate is {rate_bytes}"),
            format!("heaptop {pid}, without --arm"),
        )),
    }
}

/// The other heaptop that has armed this process, if there is one.
pub fn armed_by(pid: u32) -> Option<ArmedBy> {
    let target = Identity::of(pid)?;
    notes()
        .find(|note| note.target == target && note.by.is_alive() && !note.by.is_this())
        .map(|note| ArmedBy {
            pid: note.by.pid,
            since_unix_ns: note.at_unix_ns,
        })
}

/// Puts back what heaptops that were killed have left armed, and says so on standard error. To be called at the
/// start of every command; costs a look into a folder.
pub fn restore_leftovers() {
    for dir in RunDir::existing() {
        let names = dir.names(ENDING);
        if names.is_empty() {
            continue;
        }
        // Between the look at a note and the write, its target must not be armed anew.
        let Some(_lock) = dir.lock() else { continue };
        for name in names {
            restore(&dir, &name);
        }
    }
}

fn restore(dir: &RunDir, name: &str) {
    let Some(note) = read_note(dir, name) else {
        return;
    };
    let same_place = note.target.is_of_this_boot();
    if same_place && !note.target.is_of_this_namespace() {
        return; // Its pids mean other processes here.
    }
    if same_place && note.by.is_alive() {
        return;
    }
    let pid = note.target.pid;
    let memory = if same_place {
        open_memory(pid)
    } else {
        Err(std::io::ErrorKind::NotFound.into())
    };
    // After the open, so that it is the memory of what is looked at.
    if Identity::of(pid).as_ref() != Some(&note.target) {
        let _ = dir.remove(name);
        return;
    }
    let Ok(memory) = memory else { return };
    let was_ours = read_value(&memory, note.address) == Some(note.new_value);
    if put_back(&memory, &note) {
        let _ = dir.remove(name);
        if was_ours {
            say(&format!(
                "put MemProfileRate of {} (pid {pid}) back to {}: heaptop {}, which had armed it, was killed",
                note.name, note.old_value, note.by.pid
            ));
        }
    }
}

/// Whether nothing of ours is left in the memory: the old value is back, the program has set another one itself, or
/// the memory is gone.
fn put_back(memory: &File, note: &Note) -> bool {
    match read_value(memory, note.address) {
        Some(value) if value == note.new_value => write_value(memory, note.address, note.old_value),
        _ => true,
    }
}

fn notes() -> impl Iterator<Item = Note> {
    RunDir::existing().flat_map(|dir| {
        let names = dir.names(ENDING);
        names
            .into_iter()
            .filter_map(move |name| read_note(&dir, &name))
    })
}

fn read_note(dir: &RunDir, name: &str) -> Option<Note> {
    let note: Note = serde_json::from_slice(&dir.read(name).ok()?).ok()?;
    // No heaptop notes others: see `write_value`.
    let is_ours = note.old_value == 0 && note.new_value == ARMED_RATE_BYTES;
    is_ours.then_some(note)
}

fn open_memory(pid: u32) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(format!("/proc/{pid}/mem"))
}

fn read_value(memory: &File, address: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    memory.read_exact_at(&mut bytes, address).ok()?;
    Some(u64::from_le_bytes(bytes))
}

/// Writes the armed rate over a 0, or a 0 over it.
///
/// Nothing guarantees that the kernel copies 8 bytes at once. No thread sees a half all the same, since these two values
/// differ in one byte only.
fn write_value(memory: &File, address: u64, value: u64) -> bool {
    assert!(value == 0 || value == ARMED_RATE_BYTES);
    memory
        .write_at(&value.to_le_bytes(), address)
        .is_ok_and(|n| n == 8)
}

/// Says something on standard error, if there is one.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "heaptop: {text}");
}
