//! The one table of exit statuses, for all commands.

use std::process::ExitCode;

/// How heaptop ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did what it was asked for; the target's end is part of that.
    Done,
    /// It could not; what, why and the next step were printed.
    CouldNot,
    /// The command line was wrong (clap prints and exits with this number itself).
    Usage,
    /// `diagnose`: memory or goroutines keep growing.
    Grows,
    /// `diagnose`: growth is probable, or nothing is decided yet.
    Undecided,
    /// Ended by SIGINT.
    Interrupted,
    /// Ended by SIGTERM.
    Terminated,
}

impl Exit {
    /// The status of the process.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::CouldNot => 1,
            Self::Usage => 2,
            Self::Grows => 3,
            Self::Undecided => 4,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
