//! Cause of the target's end: its wait status, and whether the OOM killer chose it.

use super::edge::Edge;
use crate::event::Exit;
use crate::probe::Probes;
use crate::process::cgroup::{self, Place};
use crate::process::live::LiveProcess;

/// State before the end, to compare with the state after it.
#[derive(Debug)]
pub(super) struct EndReader {
    /// The target's memory cgroup, and the OOM kills that it had counted.
    oom_kills: Option<(Place, u64)>,
}

impl EndReader {
    /// Reads the present state; call it while the process lives.
    pub(super) fn new(process: &LiveProcess) -> Self {
        let read = || {
            let place = cgroup::place_of(process.pid())?;
            let oom_kills = cgroup::oom_kills(&place)?;
            Some((place, oom_kills))
        };
        Self { oom_kills: read() }
    }

    /// Returns the cause of the end, once the pidfd has reported it.
    pub(super) fn exit(&self, edge: &Edge) -> Exit {
        let seen = edge.probes().map(Probes::end).unwrap_or_default();
        let wait_status = edge.go.process.wait_status().or(seen.wait_status);
        let in_cgroup = self.oom_kills.as_ref().and_then(|(place, before)| {
            // A cgroup that was removed with its last process counts no more.
            Some(cgroup::oom_kills(place)? > *before)
        });
        // Older kernels name the chosen thread, which may be another one of the process: then only the cgroup knows.
        let is_oom_victim = match (seen.is_oom_victim, in_cgroup) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), _) | (_, Some(false)) => Some(false),
            (None, None) => None,
        };
        Exit::of_wait_status(wait_status, is_oom_victim)
    }
}
