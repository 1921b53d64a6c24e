//! The one form of an error that a user sees: what failed, why, and the next step.

use std::fmt;

/// Something heaptop will not or cannot do, in words for the user.
///
/// Sentences start in lower case and have no full stop; numbers and paths are spelled out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What failed, such as `cannot attach to ./server (pid 4121)`.
    pub what: String,
    /// What was found that makes it impossible.
    pub why: String,
    /// What the user can do about it.
    pub next: String,
    /// The kernel denied it to this user: something that needs less might still work.
    pub lacks_rights: bool,
    /// The kernel places no probes here, for want of rights or otherwise: reading alone might still work.
    pub lacks_probes: bool,
}

impl Refusal {
    /// Makes a refusal from its three sentences.
    pub fn new(what: impl Into<String>, why: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            what: printable(what.into()),
            why: printable(why.into()),
            next: printable(next.into()),
            lacks_rights: false,
            lacks_probes: false,
        }
    }

    /// Adds a fact about the target that is known in spite of it.
    #[must_use]
    pub fn with_fact(mut self, fact: &str) -> Self {
        self.why = format!("{}; {}", self.why, printable(fact.to_owned()));
        self
    }

    /// Says that the kernel denied it to this user, if `lacks` holds.
    #[must_use]
    pub fn lacking_rights(mut self, lacks: bool) -> Self {
        self.lacks_rights = lacks;
        self
    }

    /// Says that the kernel places no probes here.
    #[must_use]
    pub fn lacking_probes(mut self) -> Self {
        self.lacks_probes = true;
        self
    }
}

/// Names come from other processes: none of them may move the user's cursor.
fn printable(text: String) -> String {
    if text.chars().any(char::is_control) {
        text.replace(char::is_control, "?")
    } else {
        text
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}\n  why:  {}\n  next: {}",
            self.what, self.why, self.next
        )
    }
}

impl std::error::Error for Refusal {}
