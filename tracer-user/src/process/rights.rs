//! What this user may do, as the kernel says of heaptop itself.

use procfs::process::Process;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::refusal::Refusal;

/// `CAP_SYS_PTRACE`: read the memory of processes of other users.
pub const CAP_SYS_PTRACE: u8 = 19;
/// `CAP_SYS_ADMIN`: place probes. `CAP_BPF` and `CAP_PERFMON` load the programs, but a perf-event uprobe is denied with
/// `EACCES` without this one, Linux 5.10 to 7.2.
pub const CAP_SYS_ADMIN: u8 = 21;
/// What a user must have to place probes, in words: whoever says it takes it from here.
pub const PROBES_NEED: &str = "CAP_SYS_ADMIN";

/// The type of uprobe events: a probe cannot be placed without reading it.
const UPROBE_TYPE: &str = "/sys/bus/event_source/devices/uprobe/type";

/// The effective capabilities of heaptop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights(u64);

impl Rights {
    /// As the kernel tells; none where it does not.
    pub fn own() -> Self {
        let status = Process::myself().and_then(|own| own.status());
        Self(status.map_or(0, |status| status.capeff))
    }

    /// Whether a capability is effective.
    pub fn has(self, capability: u8) -> bool {
        self.0 >> capability & 1 == 1
    }

    /// Reason why no probes can be placed, as far as that is known without a trial.
    ///
    /// # Errors
    /// The reason.
    pub fn probes(self) -> Result<(), &'static str> {
        if !self.may_probe() {
            Err("this user may place none; sudo heaptop may")
        } else if !std::path::Path::new(UPROBE_TYPE).exists() {
            Err("/sys does not show the kernel's uprobes; heaptop on the host sees them")
        } else {
            Ok(())
        }
    }

    /// Whether probes may be placed, as far as capabilities go: a namespace or a security module may still deny it.
    pub fn may_probe(self) -> bool {
        self.has(CAP_SYS_ADMIN)
    }
}

/// Open files that any watch needs: its own, and programs, maps and probes of a target with a few dozen places for them.
const WANTED_FILES: u64 = 256;
/// Those of a plain watch, some 45, and a few to spare.
const LEAST_FILES: u64 = 64;

/// Allows heaptop as many open files as it needs, if it may.
///
/// # Errors
/// Where it may have too few.
pub fn raise_files() -> Result<(), Refusal> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= WANTED_FILES) {
        return Ok(());
    }
    let wanted = |maximum: Option<u64>| Rlimit {
        current: Some(maximum.map_or(WANTED_FILES, |maximum| maximum.min(WANTED_FILES))),
        maximum,
    };
    // Beyond the hard limit with CAP_SYS_RESOURCE alone.
    let raised = setrlimit(
        Resource::Nofile,
        wanted(maximum.map(|maximum| maximum.max(WANTED_FILES))),
    );
    if raised.is_err() {
        let _ = setrlimit(Resource::Nofile, wanted(maximum));
    }
    match getrlimit(Resource::Nofile).current {
        Some(n) if n < LEAST_FILES => Err(Refusal::new(
            "cannot begin",
            format!("heaptop may have {n} files open, and needs {LEAST_FILES}"),
            format!("ulimit -n {WANTED_FILES}, as a user who may"),
        )),
        _ => Ok(()),
    }
}

/// Lifts the limit of locked memory, which the maps of programs count against before Linux 5.11; returns what holds
/// now, `None` for no limit.
pub fn raise_memlock() -> Option<u64> {
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    // Without CAP_SYS_RESOURCE as far as one may.
    if setrlimit(Resource::Memlock, unlimited).is_err() {
        let maximum = getrlimit(Resource::Memlock).maximum;
        let current = maximum;
        let _ = setrlimit(Resource::Memlock, Rlimit { current, maximum });
    }
    getrlimit(Resource::Memlock).current
}
