//! `heaptop doctor`: what would work here, found out by trying, and the next step where something is missing.
//!
//! [`machine`] looks at the kernel and at what this user may do, [`target`] at one process. The order is that of an
//! attach, so the first thing that is missing is usually the reason for the others.

pub mod machine;
pub mod target;

use serde::Serialize;

use crate::listed::Offer;
use crate::refusal::Refusal;

/// How one thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// heaptop works, with less than it could have.
    Degraded,
    /// heaptop does not work without it.
    Missing,
}

impl State {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Missing => "missing",
        }
    }
}

/// One thing that was tried; as JSON, one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at, one word.
    pub check: &'static str,
    /// How it is.
    pub state: State,
    /// What was found, one sentence.
    pub detail: String,
    /// What the user can do about it; `None` where nothing is to be done.
    pub next: Option<String>,
}

impl Check {
    /// Nothing to be done.
    pub fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self {
            check,
            state: State::Ok,
            detail: detail.into(),
            next: None,
        }
    }

    /// Less than could be.
    pub fn degraded(
        check: &'static str,
        detail: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self {
            check,
            state: State::Degraded,
            detail: detail.into(),
            next: Some(next.into()),
        }
    }

    /// What nothing works without.
    pub fn missing(
        check: &'static str,
        detail: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self {
            state: State::Missing,
            ..Self::degraded(check, detail, next)
        }
    }

    /// What a refusal says.
    pub fn refused(check: &'static str, refusal: &Refusal) -> Self {
        Self::missing(
            check,
            format!("{}: {}", refusal.what, refusal.why),
            &refusal.next,
        )
    }
}

/// All that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// In the order of an attach.
    pub checks: Vec<Check>,
    /// What a watch of the target would use; `None` without a target, or where it would not run.
    pub source: Option<Offer>,
}

impl Report {
    /// Whether `heaptop TARGET` would run; without a target, whether it would on one that is like most.
    pub fn would_run(&self) -> bool {
        self.checks
            .iter()
            .all(|check| check.state != State::Missing)
    }
}

/// Tries everything; `target` as on the command line.
pub fn examine(target: Option<&str>) -> Report {
    let machine = machine::examine();
    let mut checks = machine.checks;
    let looked = target.map(target::examine);
    let offer = looked.as_ref().and_then(|looked| looked.rate_bytes);
    let probes = match machine.probes {
        Ok(text) => Check::ok("probes", text),
        // The sampler's records can be read without probes; nothing else can.
        Err((why, next)) if offer == Some(0) => Check::missing("probes", why, next),
        Err((why, next)) => Check::degraded(
            "probes",
            format!("{why}; a program whose sampler is on is watched by reads alone"),
            next,
        ),
    };
    let may_probe = probes.state == State::Ok;
    checks.push(probes);
    let mut source = None;
    if let Some(looked) = looked {
        checks.extend(looked.checks);
        source = looked.rate_bytes.map(|rate| match (rate, may_probe) {
            (0, _) => Offer::Spans,
            (_, true) => Offer::Sampler,
            (_, false) => Offer::Buckets,
        });
    }
    Report { checks, source }
}
