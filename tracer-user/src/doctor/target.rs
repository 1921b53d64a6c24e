//! One process: whether it can be read, is understood, and what a watch of it would use.

use super::Check;
use crate::go::buildinfo::BuildInfo;
use crate::plan::{self, Wanted};
use crate::process::arm;
use crate::process::go_process::GoProcess;
use crate::process::image::Image;
use crate::process::live::LiveProcess;
use crate::process::target;
use crate::refusal::Refusal;

/// What was found of a process.
#[derive(Debug, Default)]
pub struct Looked {
    /// In the order of an attach; ends with what is missing.
    pub checks: Vec<Check>,
    /// `MemProfileRate`, if it came to that.
    pub rate_bytes: Option<u64>,
}

/// Looks at what TARGET means.
pub fn examine(target: &str) -> Looked {
    let mut looked = Looked::default();
    if let Err((check, refusal)) = look(target, &mut looked) {
        looked.checks.push(Check::refused(check, &refusal));
    }
    looked
}

fn look(target: &str, looked: &mut Looked) -> Result<(), (&'static str, Refusal)> {
    let pid = target::resolve(target).map_err(|refusal| ("target", refusal))?;
    let process = LiveProcess::open(pid).map_err(|refusal| ("target", refusal))?;
    let name = process.name().to_owned();
    let checks = &mut looked.checks;
    checks.push(Check::ok("target", format!("{name} (pid {pid})")));

    let build = build_info(&process).map_err(|refusal| ("go", refusal))?;
    let go = GoProcess::open(pid);
    let has_cgo = go.as_ref().is_ok_and(|go| go.program.has_cgo(&*go.image));
    let text = format!("built with {}", of_build(&build, has_cgo));
    checks.push(Check::ok("go", text));

    let go = go.map_err(|refusal| {
        let check = if refusal.what.contains("memory") {
            "memory"
        } else {
            "runtime"
        };
        (check, refusal)
    })?;
    checks.push(Check::ok("memory", "can be read"));
    let names = if go.image.has_symbols() {
        ""
    } else {
        "; stripped, which Go's own tables make up for"
    };
    checks.push(Check::ok(
        "runtime",
        format!("its tables and variables are found and agree with each other{names}"),
    ));

    let figures = go.figures().map_err(|refusal| ("runtime", refusal))?;
    looked.rate_bytes = Some(figures.rate_bytes);
    checks.push(sampler(pid, figures.rate_bytes));

    let wanted = if figures.rate_bytes == 0 {
        Wanted::Spans
    } else {
        Wanted::Sampler
    };
    checks.push(planned(&go, wanted));
    let exact = planned(&go, Wanted::Exact);
    if exact.state != super::State::Ok {
        // Not what a watch uses by itself.
        checks.push(Check::degraded("exact", exact.detail, "leave out --exact"));
    }
    Ok(())
}

fn build_info(process: &LiveProcess) -> Result<BuildInfo, Refusal> {
    let file = process
        .exe()
        .try_clone()
        .map_err(|err| Refusal::new("cannot read the program", err.to_string(), "try again"))?;
    BuildInfo::read(&Image::open(file)?)
}

/// `go1.26.6, experiments greenteagc, cgo`.
fn of_build(build: &BuildInfo, has_cgo: bool) -> String {
    let mut words = vec![build.version.clone()];
    if !build.experiments.is_empty() {
        words.push(format!("experiments {}", build.experiments.join(" ")));
    }
    if build.setting("-pgo").is_some() {
        words.push("a profile (PGO)".into());
    }
    if has_cgo {
        words.push("cgo".into());
    }
    if let Some(mode) = build.setting("-buildmode").filter(|mode| *mode != "exe") {
        words.push(mode.to_owned());
    }
    words.join(", ")
}

fn sampler(pid: u32, rate_bytes: u64) -> Check {
    if let Some(by) = arm::armed_by(pid) {
        return Check::degraded(
            "sampler",
            by.to_string(),
            "none, if that heaptop is meant to go on",
        );
    }
    match rate_bytes {
        0 => Check::degraded(
            "sampler",
            "off (MemProfileRate is 0): no history, in-use counts from the attach",
            format!(
                "none: spans are watched; or heaptop --arm {pid}, which switches it on while it looks"
            ),
        ),
        rate => Check::ok("sampler", format!("one sample per {rate} bytes")),
    }
}

/// Whether all probes of a source have their place.
fn planned(go: &GoProcess, wanted: Wanted) -> Check {
    match plan::plan(&go.program, &*go.image, wanted) {
        Ok(plan) if plan.notes.is_empty() => Check::ok(
            "places",
            format!("all {} probes have their places", plan.points.len()),
        ),
        Ok(plan) => Check::degraded("places", plan.notes.join("; "), "none: the rest is watched"),
        Err(refusal) => Check::refused("places", &refusal),
    }
}
