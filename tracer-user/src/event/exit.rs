//! The end of the target, as a wait status reports it.

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

/// Signal bits of a wait status; the next one reports a core dump.
const SIGNAL_MASK: u32 = 0x7f;
/// First bit of the exit status in a wait status.
const STATUS_SHIFT: u32 = 8;

/// Cause of a process's end. `None` is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit status, 0 to 255, of a process that exited by itself.
    pub status: Option<i32>,
    /// Number of the signal that killed it.
    pub signal: Option<i32>,
    /// True if the OOM killer sent that signal.
    pub oom_kill: Option<bool>,
}

impl Exit {
    /// Decodes a wait status. `is_oom_victim`: the OOM killer chose the process, if that is known.
    pub fn of_wait_status(wait_status: Option<u32>, is_oom_victim: Option<bool>) -> Self {
        let Some(wait_status) = wait_status else {
            return Self::default();
        };
        let byte = |bits: u32| Some(i32::from(bits.to_le_bytes()[0]));
        match wait_status & SIGNAL_MASK {
            0 => Self {
                status: byte(wait_status >> STATUS_SHIFT),
                signal: None,
                oom_kill: Some(false),
            },
            signal => Self {
                status: None,
                signal: byte(signal),
                // The OOM killer sends no other signal.
                oom_kill: if signal == Signal::SIGKILL as u32 {
                    is_oom_victim
                } else {
                    Some(false)
                },
            },
        }
    }

    /// True if neither an exit status nor a signal is known.
    pub fn is_unknown(self) -> bool {
        self.status.is_none() && self.signal.is_none()
    }

    /// Name of the signal: `SIGKILL`, or `signal 40` for one without a name.
    pub fn signal_name(self) -> Option<String> {
        let signal = self.signal?;
        Some(Signal::try_from(signal).map_or_else(
            |_| format!("signal {signal}"),
            |signal| signal.as_str().to_owned(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_wait_statuses() {
        let exit = |status, signal, oom_kill| Exit {
            status,
            signal,
            oom_kill,
        };
        for (wait_status, is_oom_victim, expected) in [
            (Some(0), None, exit(Some(0), None, Some(false))),
            (Some(3 << 8), Some(true), exit(Some(3), None, Some(false))),
            (Some(255 << 8), None, exit(Some(255), None, Some(false))),
            (Some(15), None, exit(None, Some(15), Some(false))),
            // With a core dump.
            (Some(0x80 | 6), None, exit(None, Some(6), Some(false))),
            (Some(9), Some(true), exit(None, Some(9), Some(true))),
            (Some(9), Some(false), exit(None, Some(9), Some(false))),
            (Some(9), None, exit(None, Some(9), None)),
            (None, Some(true), Exit::default()),
        ] {
            let decoded = Exit::of_wait_status(wait_status, is_oom_victim);
            assert_eq!(decoded, expected, "{wait_status:?}");
        }
    }

    #[test]
    fn names_signals() {
        let name = |signal| {
            let exit = Exit {
                signal,
                ..Exit::default()
            };
            exit.signal_name()
        };
        assert_eq!(name(Some(9)).as_deref(), Some("SIGKILL"));
        assert_eq!(name(Some(40)).as_deref(), Some("signal 40"));
        assert_eq!(name(None), None);
    }
}
