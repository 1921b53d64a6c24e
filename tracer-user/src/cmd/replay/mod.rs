//! `heaptop replay`: the verdicts of a trace, evaluation by evaluation.

mod attaches;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use crate::cli::ReplayArgs;
use crate::event::Event;
use crate::exit::Exit;
use crate::export::json;
use crate::model::Model;
use crate::model::findings::{Interval, Leak};
use crate::model::rows::{GroupBy, Query};
use crate::refusal::Refusal;
use crate::session::lines;
use crate::trace;
use crate::view::order::{Sort, SortKey};
use crate::view::reading::Reading;
use crate::view::words;

/// Call sites in a line of JSON, as the default of `--top`.
const TOP: usize = 50;
/// GC cycles in a line of JSON: all that were since the last evaluation, in most programs.
const RECENT_CYCLES: usize = 32;
/// Columns of the text.
const WIDTH: usize = 100;
const MIB: f64 = 1_048_576.0;

/// Runs the command.
///
/// # Errors
/// If the trace cannot be read or ends before the attach.
pub fn run(args: &ReplayArgs) -> anyhow::Result<Exit> {
    if let Some(every) = args.attach_every {
        let mut counts = attaches::Counts::new(attaches::Truth {
            mib_per_min: args.true_rate,
            sites: args.true_site.clone(),
            via: args.true_via.clone(),
        });
        for file in &args.files {
            counts.add(&read(file, args)?, every);
        }
        lines::write(&counts.table())?;
        return Ok(Exit::Done);
    }
    let [file] = &args.files[..] else {
        return Err(Refusal::new(
            "cannot replay several traces at once",
            "each has its own evaluations",
            "name one, or add --attach-every 40s to count their words together",
        )
        .into());
    };
    let events = read(file, args)?;
    let until_ns = end_ns(&events, args.duration);
    let mut model = Model::default();
    let mut evaluations = 0;
    for event in events {
        if event.at_ns() > until_ns {
            break;
        }
        model.apply(event);
        if model.evaluations() == evaluations || args.diagnose {
            continue;
        }
        evaluations = model.evaluations();
        let text = if args.json {
            json_lines(&model)
        } else {
            evaluation(&model)
        };
        if !lines::write(&text)? {
            return Ok(Exit::Done);
        }
    }
    if args.diagnose {
        let mut reading = Reading::default();
        reading.update(&model, Query::default());
        lines::write(&(words::diagnosis(&reading, WIDTH).join("\n") + "\n"))?;
    }
    Ok(Exit::Done)
}

/// Reads the events of a trace from the attach on that is asked for.
fn read(file: &Path, args: &ReplayArgs) -> anyhow::Result<Vec<Event>> {
    let mut trace = trace::read(file)?;
    for remark in &trace.remarks {
        lines::say(remark);
    }
    if let (Some(Event::Attached(attached)), Some(uptime)) = (trace.events.first_mut(), args.uptime)
    {
        let target = &mut attached.target;
        let uptime_ns = i64::try_from(uptime.as_nanos()).unwrap_or(i64::MAX);
        target.started_unix_ns = target.attached_unix_ns.saturating_sub(uptime_ns);
    }
    let Some(attach_at) = args.attach_at else {
        return Ok(trace.events);
    };
    let events = trace::attach_at(&trace.events, nanoseconds(attach_at)).ok_or_else(|| {
        Refusal::new(
            format!(
                "cannot attach {} into {}",
                humantime::format_duration(attach_at),
                file.display()
            ),
            "the trace ends before",
            "choose an earlier time",
        )
    })?;
    Ok(events)
}

fn end_ns(events: &[Event], duration: Option<Duration>) -> u64 {
    let attached_ns = events.first().map_or(0, Event::at_ns);
    duration.map_or(u64::MAX, |duration| {
        attached_ns.saturating_add(nanoseconds(duration))
    })
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn json_lines(model: &Model) -> String {
    let sort = Sort {
        key: SortKey::Verdict,
        reversed: false,
    };
    let sites = json::line(model, GroupBy::Function, sort, TOP);
    let process = json::process_line(model, RECENT_CYCLES);
    format!("{sites}\n{process}\n")
}

/// One evaluation: seconds since the attach, word, rates, limit, leaks.
fn evaluation(model: &Model) -> String {
    let findings = model.findings();
    let process = &findings.process;
    let watched_ns = model.now_ns().saturating_sub(model.target().attached_ns);
    let mut line = format!(
        "{:>5.0} s {:<16}",
        watched_ns as f64 / 1e9,
        process.word.word()
    );
    let _ = match process.kind {
        Some(kind) => write!(line, " {:<10}", kind.word()),
        None => write!(line, " {:<10}", "-"),
    };
    let _ = write!(line, " live {}", rate(process.live_bytes_per_min));
    let _ = write!(line, " rss {}", rate(process.rss_bytes_per_min));
    if let Some(compared) = process.rss_comparison {
        let _ = write!(
            line,
            " measured {} {}",
            rate(Some(compared.measured)),
            compared.outcome.word()
        );
        if let Some(cause) = compared.outcome.cause() {
            let _ = write!(line, " ({})", cause.word());
        }
    }
    if let Some(bound) = process.steady_below_bytes_per_min {
        let _ = write!(line, " < {:.2}", bound / MIB);
    }
    if let Some(in_s) = findings.limit.and_then(|limit| limit.in_s) {
        let _ = write!(
            line,
            " limit {:.0} s ({:.0} to {:.0})",
            in_s.value, in_s.low, in_s.high
        );
    }
    if let Some(remark) = &process.remark {
        let _ = write!(line, " ({remark:?})");
    }
    for leak in &findings.leaks {
        line.push_str(&leak_words(leak));
    }
    line.push('\n');
    line
}

fn rate(rate: Option<Interval>) -> String {
    rate.map_or_else(
        || "?".to_owned(),
        |rate| {
            let [value, low, high] = [rate.value, rate.low, rate.high].map(|bytes| bytes / MIB);
            format!("{value:+.2} ({low:.2} to {high:.2})")
        },
    )
}

fn leak_words(leak: &Leak) -> String {
    let via = leak.via.as_ref().map_or("-", |via| &via.function);
    let mut words = format!("; {} {} {}", leak.letter, leak.kind.word(), leak.function());
    if let Some(share) = leak.share_bytes {
        let _ = write!(words, " {:.0} %", share.value * 100.0);
    }
    let _ = write!(words, " via {via}");
    words
}
