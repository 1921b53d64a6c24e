//! One line while a diagnosis is under way: elapsed time, evidence so far, time until the answer.

use std::time::Duration;

use super::super::countdown::{Answer, Late, Left, rounded_s};
use super::super::format;
use super::super::names::{cut, width};
use super::super::outlook;
use super::figures::{brief, bytes_per_min, plain_bytes_per_min};
use crate::model::findings::{Awaits, Delay, Findings};
use crate::view::format::sentence_bytes;

/// Event that a diagnosis waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Expected {
    /// The first evaluation.
    Evaluation,
    /// An answer that holds.
    Answer(Answer),
    /// The function that drives the leak, for so many seconds at most.
    Driver(f64),
    /// The end of the time that was asked for.
    End,
}

/// `41s of 10m00s  COLLECTING  answer in about 1m30s; live heap +1.20 MiB/min (90 %: -0.3 to 2.7); 3 GC cycles`, in at most
/// `room` cells.
///
/// `time` is the elapsed time, and the longest. The reason of a delay takes the place of what does not fit beside it.
pub fn progress(
    findings: &Findings,
    cycles_seen: u64,
    time: (Duration, Duration),
    expected: Expected,
    room: usize,
) -> String {
    let duration =
        |time: Duration| format::duration(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    let time = format!("{} of {}", duration(time.0), duration(time.1));
    let badge = match outlook::badge(findings) {
        badge if badge.is_empty() => "COLLECTING".to_owned(),
        badge => badge,
    };
    let cycles = format::many(&format::exact_count(cycles_seen), "GC cycle");
    let rate = findings.process.live_bytes_per_min.as_ref();
    let rate = rate.map(|rate| format!("live heap {}", bytes_per_min(rate)));
    let (long, short) = (words(expected, false), words(expected, true));
    let join = |parts: &[&str]| {
        let parts: Vec<&str> = (parts.iter().copied())
            .filter(|part| !part.is_empty())
            .collect();
        parts.join("; ")
    };
    let all = join(&[&long, rate.as_deref().unwrap_or_default(), &cycles]);
    let lines = [
        format!("{time}  {badge}  {all}"),
        format!("{time}  {badge}  {}", join(&[&long, &cycles])),
        format!("{time}  {badge}  {long}"),
        format!("{time}  {long}"),
        format!("{time}  {badge}  {short}"),
        format!("{time}  {short}"),
    ];
    let mut last = String::new();
    for line in lines {
        if width(line.trim_end()) <= room {
            return line.trim_end().to_owned();
        }
        last = line;
    }
    cut(&last, room)
}

/// The clause on what is waited for; empty for the end of the watch.
fn words(expected: Expected, is_short: bool) -> String {
    match expected {
        Expected::Evaluation => "waits for the first evaluation".to_owned(),
        Expected::Answer(answer) => answer_words(&answer, is_short),
        Expected::Driver(seconds) => format!(
            "counts calls to find the driver, {} at most",
            brief(rounded_s(seconds))
        ),
        Expected::End => String::new(),
    }
}

fn answer_words(answer: &Answer, is_short: bool) -> String {
    let text = match answer.left {
        Left::In(seconds) if is_short => format!("answer in {}", brief(rounded_s(seconds))),
        Left::In(seconds) => format!("answer in about {}", brief(rounded_s(seconds))),
        Left::AnyMoment => "answer any moment".to_owned(),
        Left::AfterEnd if is_short => "no answer before the end".to_owned(),
        Left::AfterEnd => "no answer expected before the end".to_owned(),
        Left::Unknown(awaits) => awaits_words(awaits),
    };
    let Some(Late { by_s, why }) = answer.late else {
        return text;
    };
    let by = match answer.left {
        Left::AfterEnd => String::new(),
        _ if is_short => format!(", {} later", late(by_s)),
        _ => format!(", {} later than said", late(by_s)),
    };
    format!("{text}{by}: {}", delay_words(why, is_short))
}

/// A delay in tens of seconds.
pub(in crate::view) fn late(by_s: f64) -> String {
    brief((by_s / 10.0).round().max(1.0) * 10.0)
}

fn awaits_words(awaits: Awaits) -> String {
    match awaits {
        Awaits::Points { missing } => {
            let cycles = format::many(&missing.to_string(), "more GC cycle");
            format!("waits for {cycles}")
        }
        Awaits::Load => "waits for a constant load".to_owned(),
        Awaits::FallEnd => "waits for the live heap to stop falling".to_owned(),
        Awaits::AboveTooth { level } => {
            format!("waits for a live heap above {}", sentence_bytes(level))
        }
        Awaits::Evidence => "waits for growth or its absence to show".to_owned(),
    }
}

/// The fact that delays the answer.
fn delay_words(why: Delay, is_short: bool) -> String {
    let time = |seconds: f64| brief(seconds.round().max(1.0));
    match why {
        Delay::Gaps { before_s, now_s } if is_short => {
            format!("GCs {} apart, {} before", time(now_s), time(before_s))
        }
        Delay::Gaps { before_s, now_s } => format!(
            "GC cycles are {} apart now, {} before",
            time(now_s),
            time(before_s)
        ),
        Delay::Slope { now, .. } if now <= 0.0 => "the live heap no longer rises".to_owned(),
        Delay::Slope { before, now } if now > before => {
            "the live heap rises more than before".to_owned()
        }
        Delay::Slope { .. } if is_short => "the growth slowed down".to_owned(),
        Delay::Slope { before, now } => format!(
            "the growth slowed down, {} now, {} before",
            plain_bytes_per_min(now),
            plain_bytes_per_min(before)
        ),
        Delay::Scatter => "the live heap scatters more".to_owned(),
        Delay::Slowing => "the growth is slower lately".to_owned(),
        Delay::NewWindow => "earlier growth has stopped".to_owned(),
        Delay::FirstPoints { points } => {
            format!("{points} GC cycles do not decide yet")
        }
        Delay::Confirmation => "the next evaluation has to confirm it".to_owned(),
        Delay::NotDecided => "the last evaluation did not decide".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::findings::{Interval, ProcessVerdict};

    const MIB: f64 = 1_048_576.0;

    fn line(answer: Answer, room: usize) -> String {
        let rate = Interval {
            value: 1.2 * MIB,
            low: -0.3 * MIB,
            high: 2.7 * MIB,
        };
        let findings = Findings {
            process: ProcessVerdict {
                live_bytes_per_min: Some(rate),
                ..ProcessVerdict::default()
            },
            ..Findings::default()
        };
        let time = (Duration::from_secs(161), Duration::from_secs(600));
        progress(&findings, 9, time, Expected::Answer(answer), room)
    }

    const LATE: Answer = Answer {
        left: Left::In(82.0),
        late: Some(Late {
            by_s: 40.0,
            why: Delay::Gaps {
                before_s: 9.2,
                now_s: 20.4,
            },
        }),
    };

    #[test]
    fn time_to_the_answer_stands_first() {
        let answer = Answer { late: None, ..LATE };
        assert_eq!(
            line(answer, 100),
            "2m41s of 10m00s  COLLECTING  answer in about 1m30s; 9 GC cycles"
        );
        assert_eq!(
            line(answer, 120),
            "2m41s of 10m00s  COLLECTING  answer in about 1m30s; live heap +1.20 MiB/min (90 %: -0.3 to 2.7); \
             9 GC cycles"
        );
    }

    #[test]
    fn the_reason_of_a_delay_fits_on_a_narrow_terminal() {
        assert_eq!(
            line(LATE, 119),
            "2m41s of 10m00s  COLLECTING  answer in about 1m30s, 40s later than said: GC cycles are 20s apart \
             now, 9s before"
        );
        assert_eq!(
            line(LATE, 110),
            "2m41s of 10m00s  answer in about 1m30s, 40s later than said: GC cycles are 20s apart now, 9s before"
        );
        assert_eq!(
            line(LATE, 79),
            "2m41s of 10m00s  answer in 1m30s, 40s later: GCs 20s apart, 9s before"
        );
    }

    #[test]
    fn without_an_estimate_it_says_what_it_waits_for() {
        let waits = |awaits| {
            let left = Left::Unknown(awaits);
            line(Answer { left, late: None }, 79)
        };
        assert_eq!(
            waits(Awaits::Points { missing: 2 }),
            "2m41s of 10m00s  COLLECTING  waits for 2 more GC cycles; 9 GC cycles"
        );
        assert!(waits(Awaits::Load).contains("waits for a constant load"));
    }

    #[test]
    fn the_growth_that_slowed_down_is_stated_with_its_rates() {
        let why = Delay::Slope {
            before: 4.0 * MIB,
            now: 1.0 * MIB,
        };
        let answer = Answer {
            left: Left::AfterEnd,
            late: Some(Late { by_s: 300.0, why }),
        };
        assert_eq!(
            line(answer, 140),
            "2m41s of 10m00s  COLLECTING  no answer expected before the end: the growth slowed down, +1.00 MiB/min now, \
             +4.00 MiB/min before; 9 GC cycles"
        );
    }
}
