//! What each source costs the target, beside bpftrace, on two programs.
//!
//! The gateway at saturation tells what a user would notice; an allocation microbenchmark, about a million a second and
//! nothing else, tells what one allocation costs. Each runs twice: as it is, for the sampler, and with a runtime that samples
//! nothing (`GODEBUG=memprofilerate=0`), for all other sources. As in [`super::cost`] the modes of a round follow one another,
//! and ratios are taken within it.

use std::{fmt::Write as _, thread, time::Duration};

use anyhow::{Context, Result, bail};

use super::{
    Tools,
    cost::{ATTACHED_WITHIN, Gateway, NO_CALLS, SETTLE, bpftrace},
    cpu_seconds,
    stats::{Median, median},
};
use crate::{mixed::Mixed, processes::Running, progress::say, user};

/// Allocations a second that the microbenchmark makes where it can.
const PACE: u32 = 1_000_000;
const MEM_PROFILE_RATE: &str = "524288";

/// How a target is traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Untraced,
    Sampler,
    Armed,
    Spans,
    SpansBudget,
    Exact,
    BpftraceCount,
    BpftraceStack,
}

/// In the order of the table.
const MODES: [Mode; 8] = [
    Mode::Untraced,
    Mode::Sampler,
    Mode::Armed,
    Mode::Spans,
    Mode::SpansBudget,
    Mode::Exact,
    Mode::BpftraceCount,
    Mode::BpftraceStack,
];

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Untraced => "untraced",
            Self::Sampler => "`sampler`",
            Self::Armed => "`--arm`",
            Self::Spans => "`spans`, governor off",
            Self::SpansBudget => "`spans`, at 1 %",
            Self::Exact => "`--exact`, governor off",
            Self::BpftraceCount => "bpftrace, `@ = count()` at `mallocgc`",
            Self::BpftraceStack => "bpftrace, `@[ustack] = count()` at `mallocgc`",
        }
    }

    /// What is to be reached, untraced is 1.
    fn goal(self) -> Option<f64> {
        match self {
            Self::Sampler => Some(1.01),
            Self::Spans => Some(1.06),
            Self::SpansBudget => Some(1.02),
            _ => None,
        }
    }

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Armed => &["--arm"],
            Self::Spans => &["--source", "spans", "--max-overhead", "off"],
            Self::SpansBudget => &["--source", "spans", "--max-overhead", "1%"],
            Self::Exact => &["--exact", "--max-overhead", "off"],
            _ => &[],
        }
    }
}

pub(super) struct Plan {
    pub(super) rounds: usize,
    pub(super) window: Duration,
}

/// Something that works for a while and knows how much it did.
enum Target {
    Gateway(Gateway),
    Micro(Mixed),
}

impl Target {
    fn pid(&self) -> u32 {
        match self {
            Self::Gateway(gateway) => gateway.target.pid(),
            Self::Micro(mixed) => mixed.pid(),
        }
    }

    /// Requests or allocations made in that time.
    fn work(&mut self, window: Duration) -> Result<f64> {
        match self {
            Self::Gateway(gateway) => Ok(gateway.load(window)?.0),
            Self::Micro(mixed) => {
                let made = mixed.ask_number(&format!("pace {PACE} {}", window.as_millis()))?;
                Ok(made as f64)
            }
        }
    }
}

/// What one mode took.
#[derive(Default)]
struct Values {
    /// CPU seconds a request or allocation.
    each: Vec<f64>,
    /// The same against the untraced of the same round.
    ratio: Vec<f64>,
    /// Why there are none, or fewer.
    why: Option<String>,
}

/// Runs all rounds on both programs; returns the table.
pub(super) fn measure(tools: &Tools, plan: &Plan) -> Result<String> {
    let mut text = String::new();
    for is_micro in [false, true] {
        let (at_a_rate, at_zero) = if is_micro {
            let start = |arguments: &[&str]| Mixed::start(&tools.mixed, arguments);
            (
                Target::Micro(start(&["-rate", MEM_PROFILE_RATE])?),
                Target::Micro(start(&[])?),
            )
        } else {
            let zero = [("GODEBUG", "memprofilerate=0")];
            (
                Target::Gateway(Gateway::start(tools)?),
                Target::Gateway(Gateway::start_with(tools, &zero)?),
            )
        };
        text.push_str(&one_program(tools, plan, is_micro, at_a_rate, at_zero)?);
    }
    Ok(text)
}

fn one_program(
    tools: &Tools,
    plan: &Plan,
    is_micro: bool,
    mut at_a_rate: Target,
    mut at_zero: Target,
) -> Result<String> {
    let program = if is_micro {
        "microbenchmark"
    } else {
        "gateway"
    };
    let has_bpftrace = user::in_path("bpftrace").is_some();
    say(
        "bench",
        &format!(
            "sources on the {program}: {} rounds of {} modes, {} s each",
            plan.rounds,
            MODES.len() + 1,
            plan.window.as_secs()
        ),
    );
    for target in [&mut at_a_rate, &mut at_zero] {
        target.work(plan.window)?;
    }
    let mut values: Vec<Values> = MODES.iter().map(|_| Values::default()).collect();
    for round in 1..=plan.rounds {
        let base_at_a_rate = once(tools, &mut at_a_rate, Mode::Untraced, plan.window)?;
        let mut base = base_at_a_rate;
        let mut line = format!("{program}, round {round} of {}:", plan.rounds);
        for (&mode, values) in MODES.iter().zip(&mut values) {
            let target = if mode == Mode::Sampler {
                &mut at_a_rate
            } else {
                &mut at_zero
            };
            if matches!(mode, Mode::BpftraceCount | Mode::BpftraceStack) && !has_bpftrace {
                values.why = Some("bpftrace is not installed".to_owned());
                continue;
            }
            match once(tools, target, mode, plan.window) {
                Ok(each) => {
                    if mode == Mode::Untraced {
                        base = each;
                    }
                    let own_base = if mode == Mode::Sampler {
                        base_at_a_rate
                    } else {
                        base
                    };
                    values.each.push(each);
                    values.ratio.push(each / own_base);
                    write!(line, " {:.3}", each / own_base)?;
                }
                Err(err) if mode == Mode::Untraced => return Err(err),
                Err(err) => {
                    values.why = Some(format!("{err:#}").lines().next().unwrap_or("").to_owned());
                    line.push_str(" ?");
                }
            }
        }
        say("bench", &line);
    }
    table(is_micro, plan, &values)
}

/// CPU seconds a request or allocation in one mode.
fn once(tools: &Tools, target: &mut Target, mode: Mode, window: Duration) -> Result<f64> {
    let pid = target.pid().to_string();
    let program = match target {
        Target::Gateway(_) => &tools.gateway,
        Target::Micro(_) => &tools.mixed,
    };
    let mut tracer: Option<Running> = match mode {
        Mode::Untraced => None,
        Mode::BpftraceCount => Some(bpftrace(tools, program, &pid, "@ = count();")?),
        Mode::BpftraceStack => Some(bpftrace(tools, program, &pid, "@[ustack] = count();")?),
        _ => {
            let mut arguments = vec!["--json", NO_CALLS];
            arguments.extend(mode.arguments());
            arguments.push(&pid);
            let mut heaptop = tools.heaptop(&arguments)?;
            heaptop.expect_line(ATTACHED_WITHIN)?;
            Some(heaptop)
        }
    };
    if mode == Mode::SpansBudget {
        // The governor has to see the load before it holds the budget.
        target.work(window)?;
    }
    let before = cpu_seconds(target.pid())?;
    let units = target.work(window)?;
    let cpu = cpu_seconds(target.pid())? - before;
    if let Some(tracer) = &mut tracer {
        // One that has ended meanwhile has traced nothing.
        if let Some(status) = tracer.wait(Duration::ZERO)? {
            bail!("it ended with {status} meanwhile");
        }
        tracer.end()?;
        thread::sleep(SETTLE);
    }
    Ok(cpu / units)
}

fn table(is_micro: bool, plan: &Plan, values: &[Values]) -> Result<String> {
    let untraced = median(&values[0].each).context("there is at least one round")?;
    let mut text = if is_micro {
        format!(
            "\n### Allocation microbenchmark, {} M allocations a second\n\n| source | CPU an allocation | more than untraced | goal | |\n\
             | --- | --- | --- | --- | --- |\n",
            PACE / 1_000_000
        )
    } else {
        "\n### Gateway at saturation\n\n| source | CPU a request | : untraced | goal | |\n| --- | --- | --- | --- | --- |\n"
            .to_owned()
    };
    let (unit, factor, digits) = if is_micro {
        ("ns", 1e9, 0)
    } else {
        ("µs", 1e6, 1)
    };
    for (mode, values) in MODES.iter().zip(values) {
        let (Some(each), Some(ratio)) = (median(&values.each), median(&values.ratio)) else {
            let why = values.why.as_deref().unwrap_or("no round");
            writeln!(text, "| {} | not measured: {why} | | | |", mode.name())?;
            continue;
        };
        // A ratio says little of a program that does nothing but allocate.
        let against = if is_micro {
            format!("{:+.0} ns", (each.value - untraced.value) * 1e9)
        } else {
            format!("{ratio:.3}")
        };
        let goal = mode.goal().filter(|_| !is_micro);
        writeln!(
            text,
            "| {} | {:.digits$} {unit} | {against} | {} | {} |",
            mode.name(),
            each.times(factor),
            goal.map_or(String::new(), |goal| format!("≤ {goal}")),
            goal.map_or("", |goal| met(ratio, goal))
        )?;
    }
    if is_micro {
        let more = |mode: Mode| -> Option<f64> {
            let at = MODES.iter().position(|known| *known == mode)?;
            Some(median(&values[at].each)?.value - untraced.value)
        };
        if let (Some(exact), Some(peer)) = (more(Mode::Exact), more(Mode::BpftraceStack)) {
            let part = exact / peer;
            writeln!(
                text,
                "\nAn allocation under `--exact` costs {part:.2} of what bpftrace takes for its stack; the goal is ≤ 0.25: {}.",
                if part <= 0.25 { "met" } else { "**missed**" }
            )?;
        }
    }
    writeln!(
        text,
        "\n{} interleaved rounds of {} s.",
        plan.rounds,
        plan.window.as_secs()
    )?;
    Ok(text)
}

/// Only an interval that lies wholly on one side decides, and only where it has 95 %.
fn met(ratio: Median, goal: f64) -> &'static str {
    const LEAST: usize = 6;
    if ratio.n < LEAST {
        "not decided"
    } else if ratio.high <= goal {
        "met"
    } else if ratio.low > goal {
        "**missed**"
    } else {
        "not decided"
    }
}
