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
    let rate_bytes = looked.as_ref().and_then(|looked| looked.rate_bytes);
    let may_probe = machine.probes.as_ref().map(|_| ());
    let may_probe = may_probe.map_err(|(why, _)| why.as_str());
    let offer = rate_bytes.map(|rate_bytes| Offer::of(rate_bytes, may_probe));
    checks.push(match (&machine.probes, &offer) {
        (Ok(text), _) => Check::ok("probes", text),
        (Err((why, next)), Some(Offer::Nothing(_))) => Check::missing("probes", why, next),
        (Err((why, next)), _) => Check::degraded(
            "probes",
            format!("{why}; a program whose sampler is on is watched by reads alone"),
            next,
        ),
    });
    checks.extend(looked.map(|looked| looked.checks).unwrap_or_default());
    let source = offer.filter(|offer| offer.why().is_none());
    Report { checks, source }
}
