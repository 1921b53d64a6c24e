//! The verdict on the process as a whole, and the time that is left.

use super::super::format::sentence_bytes;
use super::figures::{FAR_S, about, below, bytes_per_min, count_per_min, round_bytes, share, time};
use super::prose::list;
use super::sites::OTHER_READING;
use crate::model::findings::{
    Findings, GrowthPart, Kind, LimitKind, ProcessVerdict, Remark, RssCause, RssOutcome, Word,
};

/// Parts of the growth below this share are not worth a word.
const LEAST_SHARE: f64 = 0.05;

/// The verdict on the process in one to four sentences, its word first and in capitals.
pub fn process(findings: &Findings) -> String {
    let process = &findings.process;
    match process.word {
        Word::Growing | Word::ProbablyGrowing => {
            // Other remarks are of a series that is not what the word rests on.
            let remark = match process.remark {
                Some(Remark::FollowsLoad { .. } | Remark::SawTooth { .. }) => remark(process),
                _ => String::new(),
            };
            growing(findings) + &chance(process) + &others(process) + &remark
        }
        Word::Warming => format!(
            "WARMING. The live heap grows more slowly than before: most likely on the way to a bound. Near it the word may \
             change between warming and growing.{}",
            grew_beside(process)
        ),
        Word::Steady | Word::Churn | Word::Idle | Word::PartOfLeak => {
            flat(process) + &rises_beside(process) + &grew_beside(process) + &remark(process)
        }
        Word::Collecting => undecided(process) + &grew_beside(process),
    }
}

/// No verdict yet: the rate so far, and what is missing.
fn undecided(process: &ProcessVerdict) -> String {
    let rate = process.live_bytes_per_min.as_ref();
    let so_far = rate.map_or_else(String::new, |rate| {
        format!(" Live heap after GC {} so far.", bytes_per_min(rate))
    });
    let why = match process.remark {
        None => match (&process.missing, rate) {
            (_, Some(rate)) if rate.high < 0.0 => {
                " It falls: growth can only be judged after that.".to_owned()
            }
            (None, _) => " Nothing was evaluated yet.".to_owned(),
            (_, None) => " The GC cycles so far give no rate.".to_owned(),
            _ => " That does not stand out from how this heap varies.".to_owned(),
        },
        Some(_) => remark(process),
    };
    let bound = process
        .steady_below_bytes_per_min
        .map_or_else(String::new, |bound| {
            format!(" If it grows, then by {}.", below(bound))
        });
    format!("COLLECTING.{so_far}{why}{bound}")
}

/// The reason why the word is weaker than the rate alone.
fn remark(process: &ProcessVerdict) -> String {
    let Some(remark) = process.remark else {
        return String::new();
    };
    match remark {
        Remark::TooEarly { in_s } => {
            format!(
                " The watch is too short for a verdict: {} more.",
                about(in_s)
            )
        }
        Remark::TooFewCycles { missing } => {
            let gap_s = process.forecast.and_then(|forecast| forecast.gap_s());
            let time = gap_s.map_or_else(String::new, |gap_s| {
                let in_s = gap_s * f64::from(missing);
                format!(", about {} at the present pace", about(in_s))
            });
            format!(
                " A rate needs {} more GC cycle{}{time}.",
                missing,
                if missing == 1 { "" } else { "s" }
            )
        }
        Remark::FollowsLoad { load } => format!(
            " The load rose to {load:.1} times what it was, and explains the growth so far: to separate the two, watch \
             at a constant load."
        ),
        Remark::SawTooth { level_bytes } => format!(
            " The live heap fell twice from about its present size: only growth above {} counts.",
            sentence_bytes(level_bytes)
        ),
        Remark::Stopped { .. } => " Growth was reported before and has stopped.".to_owned(),
    }
}

/// How likely a heap that does not grow shows as much.
fn chance(process: &ProcessVerdict) -> String {
    if process.word != Word::ProbablyGrowing {
        return String::new();
    }
    let (Some(p), Some(Kind::Heap) | None) = (process.by_chance, process.kind) else {
        return String::new();
    };
    format!(
        " By chance, a heap that does not grow shows as much in {} of 1000 cases.",
        if p < 0.001 {
            "less than 1".to_owned()
        } else {
            format!("{:.0}", 1000.0 * p)
        }
    )
}

/// The kinds that grow beside the first, each with its rate.
fn others(process: &ProcessVerdict) -> String {
    let others: Vec<String> = process
        .kinds
        .iter()
        .filter(|grows| Some(grows.kind) != process.kind && !is_said(process, grows.kind))
        .map(|grows| {
            let rate = match (&grows.per_min, grows.kind) {
                (None, _) => String::new(),
                (Some(rate), Kind::Goroutines) => format!(" {}", count_per_min(rate, "goroutines")),
                (Some(rate), _) => format!(" {}", bytes_per_min(rate)),
            };
            format!("{}{rate}", kind_words(grows.kind))
        })
        .collect();
    if others.is_empty() {
        return String::new();
    }
    format!(" Also growing: {}.", list(&others))
}

/// True for a kind whose rate stands in the first sentences already.
fn is_said(process: &ProcessVerdict, kind: Kind) -> bool {
    kind == Kind::Heap && process.kind != Some(Kind::Heap) && process.live_bytes_per_min.is_some()
}

/// What is not level beside the live heap.
fn rises_beside(process: &ProcessVerdict) -> String {
    process.rising.map_or_else(String::new, |kind| {
        format!(
            " But {} rose within the last minutes: whether that goes on is not known yet.",
            kind_words(kind)
        )
    })
}

/// What the resident set grew by beside the live heap, where that is most of its growth and no slope goes on.
fn grew_beside(process: &ProcessVerdict) -> String {
    match process.kind {
        None | Some(Kind::Heap) => String::new(),
        Some(Kind::PageCache) => {
            " The cgroup's usage grew by file pages, which the kernel takes back before it kills."
                .to_owned()
        }
        Some(kind) => {
            let parts = parts(&process.parts);
            let parts = if parts.is_empty() {
                format!(": it is {}", kind_words(kind))
            } else {
                parts
            };
            let live = if process.heap.is_quiet() && !heap_is_in(process) {
                ", the live heap did not"
            } else {
                ""
            };
            format!(" RSS grew since the attach{live}{parts}.")
        }
    }
}

fn flat(process: &ProcessVerdict) -> String {
    let word = process.word.word().to_uppercase();
    let how = match process.word {
        Word::Churn => "Much is allocated and nothing is kept",
        Word::Idle => "Nothing is born and nothing dies",
        _ => "The live heap after GC is flat",
    };
    match process.steady_below_bytes_per_min {
        Some(bound) => format!(
            "{word}. {how}; it grows by {}, if at all. A slower leak would not show yet.",
            below(bound)
        ),
        None => format!("{word}. {how}."),
    }
}

fn growing(findings: &Findings) -> String {
    let process = &findings.process;
    match process.kind {
        Some(Kind::Heap) | None if findings.leaks.is_empty() => {
            heap(process) + &compared(process) + " No single call site stands out yet."
        }
        Some(Kind::Heap) | None => heap(process) + &compared(process),
        Some(Kind::Goroutines) => goroutines(findings) + &compared(process),
        Some(Kind::Cgo) => {
            outside(process, "memory that C code allocates, or maps") + &compared(process)
        }
        Some(Kind::Mmap) => {
            outside(process, "memory that is mapped past the Go heap (mmap)") + &compared(process)
        }
        Some(kind) => not_heap(process, kind) + &compared(process),
    }
}

/// The measured rate of the resident set beside the one that follows from what grows, and why they differ.
fn compared(process: &ProcessVerdict) -> String {
    let Some(compared) = &process.rss_comparison else {
        return String::new();
    };
    let measured = bytes_per_min(&compared.measured);
    let Some(predicted) = &compared.predicted else {
        return " That rate is measured.".to_owned();
    };
    match compared.outcome {
        RssOutcome::Agrees => format!(" Measured growth of RSS agrees: {measured}."),
        RssOutcome::Lags => format!(
            " RSS lags behind, measured {measured}: the heap still fills memory that was resident before."
        ),
        RssOutcome::Falls(cause) => {
            let because = rss_because(cause, false, process.rss_factor);
            let (verb, what) = if compared.measured.value > 0.0 {
                ("may stand still", "that")
            } else {
                ("falls", "a fall")
            };
            format!(
                " RSS {verb} for now, measured {measured}{because}. The rate that follows from what grows counts, since {what} \
                 ends."
            )
        }
        RssOutcome::Differs(cause) => {
            let is_more = compared.measured.value > predicted.value;
            let because = rss_because(cause, is_more, process.rss_factor);
            format!(
                " That rate is measured: {} than the {} that follows from what grows{because}.",
                if is_more { "more" } else { "less" },
                bytes_per_min(predicted)
            )
        }
    }
}

/// Clause for the cause of a measured rate that is above the predicted one (`is_more`), or below it.
fn rss_because(cause: Option<RssCause>, is_more: bool, factor: Option<f64>) -> &'static str {
    match (cause, is_more) {
        (Some(RssCause::Heap), true) if factor == Some(1.0) => {
            ", because GOMEMLIMIT is not reached yet and garbage grows as well"
        }
        (Some(RssCause::Heap), true) => {
            ", because garbage and idle spans grow by more than GOGC explains"
        }
        (Some(RssCause::Stacks), true) => ", because goroutine stacks grow as well",
        (Some(RssCause::Outside), true) => ", because memory outside Go grows as well",
        (Some(RssCause::SpanWaste), true) => ", because fragmentation grows as well",
        (Some(RssCause::Files), true) => ", because more pages of files are resident",
        (Some(RssCause::Stacks), false) => {
            ", because part of the new stacks is unused, and neither resident nor counted by the GC"
        }
        (Some(RssCause::Outside), false) => {
            ", because memory outside Go no longer grows at that rate"
        }
        (Some(RssCause::SpanWaste), false) => ", because fragmentation shrinks",
        (Some(RssCause::Files), false) => ", because fewer pages of files are resident",
        (Some(RssCause::Heap), false) => {
            ", because garbage and idle spans grow by less than GOGC allows"
        }
        (None, _) => "; the cause is unknown",
    }
}

/// True if the rate of the resident set is the measured one.
fn is_rss_measured(process: &ProcessVerdict) -> bool {
    let compared = process.rss_comparison.as_ref();
    compared.is_some_and(|compared| matches!(compared.outcome, RssOutcome::Differs(_)))
}

/// True if the resident set falls although something grows.
fn is_rss_falling(process: &ProcessVerdict) -> bool {
    let compared = process.rss_comparison.as_ref();
    compared.is_some_and(|compared| matches!(compared.outcome, RssOutcome::Falls(_)))
}

/// Verb for the rate of the resident set: `grows`, or `follows at` while it falls.
fn rss_verb(process: &ProcessVerdict) -> &'static str {
    if is_rss_falling(process) {
        "follows at"
    } else {
        "grows"
    }
}

/// `LEAK`, or `PROBABLY A LEAK`.
fn leak(process: &ProcessVerdict) -> &'static str {
    match process.word {
        Word::ProbablyGrowing => "PROBABLY A LEAK",
        _ => "LEAK",
    }
}

fn heap(process: &ProcessVerdict) -> String {
    let leak = leak(process);
    let other = match process.remark {
        Some(Remark::FollowsLoad { .. }) => "growth with the load",
        _ => OTHER_READING,
    };
    let Some(live) = &process.live_bytes_per_min else {
        return format!(
            "{leak}, or {other}. The live heap after GC grows; its rate is not known for now.{}",
            rss_by(process, "")
        );
    };
    let mut text = format!(
        "{leak}, or {other}. Live heap after GC {}.",
        bytes_per_min(live)
    );
    // GOGC explains what follows from the heap, and no more.
    let is_heap_alone = process.kinds.iter().all(|grows| grows.kind == Kind::Heap);
    if let Some(rss) = &process.rss_bytes_per_min {
        let why = (process.rss_factor)
            .filter(|_| is_heap_alone && !is_rss_measured(process))
            .map_or_else(String::new, because);
        text.push_str(if is_rss_measured(process) {
            " RSS grows by "
        } else if is_heap_alone || is_rss_falling(process) {
            " RSS follows at "
        } else {
            " RSS grows by all that grows, "
        });
        text.push_str(&bytes_per_min(rss));
        text.push_str(&why);
        text.push('.');
    }
    text
}

/// Why the resident set grows by so many times what the live heap does.
fn because(factor: f64) -> String {
    let gogc = (factor - 1.0) * 100.0;
    if gogc < 0.5 {
        return ", because GOMEMLIMIT lets the heap grow no further than what lives".to_owned();
    }
    let times = if (factor - 2.0).abs() < 0.005 {
        "twice".to_owned()
    } else {
        let digits = format!("{factor:.2}");
        let digits = digits.trim_end_matches('0').trim_end_matches('.');
        format!("{digits} times")
    };
    format!(", because GOGC={gogc:.0} lets the heap grow to {times} what lives")
}

fn goroutines(findings: &Findings) -> String {
    let leak = findings
        .leaks
        .iter()
        .find(|leak| leak.kind == Kind::Goroutines);
    let rate = leak.and_then(|leak| leak.evidence.objects_per_min.as_ref());
    let grow = rate.map_or_else(
        || "The number of goroutines keeps growing".to_owned(),
        |rate| format!("{} that do not end", count_per_min(rate, "goroutines")),
    );
    let process = &findings.process;
    let mut text = format!("LEAK, or load that still rises. {grow}.");
    match &process.live_bytes_per_min {
        Some(live) if grows(process, Kind::Heap) => {
            text.push_str(" Live heap after GC ");
            text.push_str(&bytes_per_min(live));
            text.push('.');
            text.push_str(&rss_by(process, ""));
        }
        _ => text.push_str(&rss_by(process, " with what they hold")),
    }
    text
}

/// Growth outside of the Go heap that will not stop.
fn outside(process: &ProcessVerdict, what: &str) -> String {
    let parts = parts(&process.parts);
    let live = match &process.live_bytes_per_min {
        Some(live) if grows(process, Kind::Heap) => {
            format!(", of it the live heap {}", bytes_per_min(live))
        }
        _ if process.heap.is_quiet() => ", the live heap does not".to_owned(),
        _ => String::new(),
    };
    format!(
        "LEAK outside of the Go heap, or a bound not yet reached: {what}. RSS {}{}{live}{parts}.",
        rss_verb(process),
        rate_of(process),
    )
}

/// True if a kind is one of those that grow.
fn grows(process: &ProcessVerdict, kind: Kind) -> bool {
    process.kinds.iter().any(|grows| grows.kind == kind)
}

/// Growth of the resident set that the live heap does not explain.
fn not_heap(process: &ProcessVerdict, kind: Kind) -> String {
    let parts = parts(&process.parts);
    let parts = if parts.is_empty() {
        format!(": it is {}", kind_words(kind))
    } else {
        parts
    };
    let (what, live) = if heap_is_in(process) {
        ("NOT THE HEAP ALONE", "")
    } else if process.heap.is_quiet() {
        ("NOT THE HEAP", ", the live heap does not")
    } else {
        ("NOT THE HEAP ALONE, as far as is known", "")
    };
    format!(
        "{what}. RSS {}{}{live}{parts}.",
        rss_verb(process),
        rate_of(process)
    )
}

/// Whether the live heap has a share worth a word in what the resident set grew by.
pub(in crate::view) fn heap_is_in(process: &ProcessVerdict) -> bool {
    let is_heap = |part: &GrowthPart| part.kind == Kind::Heap && part.share >= LEAST_SHARE;
    process.parts.iter().any(is_heap)
}

fn rate_of(process: &ProcessVerdict) -> String {
    process
        .rss_bytes_per_min
        .as_ref()
        .map_or_else(String::new, |rate| format!(" {}", bytes_per_min(rate)))
}

fn rss_by(process: &ProcessVerdict, why: &str) -> String {
    process
        .rss_bytes_per_min
        .as_ref()
        .map_or_else(String::new, |rate| {
            format!(" RSS {} {}{why}.", rss_verb(process), bytes_per_min(rate))
        })
}

/// What the growth is made of: `: 82 % of the growth is idle spans (GOGC), 11 % stacks`.
fn parts(parts: &[GrowthPart]) -> String {
    let named: Vec<String> = parts
        .iter()
        .filter(|part| part.share >= LEAST_SHARE)
        .enumerate()
        .map(|(i, part)| {
            let of = if i == 0 { " of the growth is" } else { "" };
            format!("{}{of} {}", share(part.share), kind_words(part.kind))
        })
        .collect();
    if named.is_empty() {
        String::new()
    } else {
        format!(": {}", list(&named))
    }
}

/// Whether something grows, or may grow, towards a limit whose time is not known: then it is not to be called far.
pub(in crate::view) fn may_grow(findings: &Findings) -> bool {
    if findings.limit.is_some_and(|limit| limit.grows) {
        return true;
    }
    match findings.process.word {
        Word::Growing | Word::ProbablyGrowing | Word::Warming | Word::Collecting => true,
        Word::Steady | Word::Churn | Word::Idle | Word::PartOfLeak => {
            !findings.leaks.is_empty() || findings.process.rising.is_some()
        }
    }
}

/// When the nearest limit is reached; `None` where none is known.
pub fn limit(findings: &Findings) -> Option<String> {
    let limit = findings.limit.as_ref()?;
    let size = round_bytes(limit.bytes);
    let left = if limit.is_close() {
        format!(
            ", of which {} is left",
            sentence_bytes(limit.room_bytes as f64)
        )
    } else {
        String::new()
    };
    let near = limit.in_s.as_ref().filter(|in_s| in_s.value < FAR_S);
    let is_far = limit.in_s.is_some() && near.is_none() && !limit.is_close();
    if is_far {
        return Some(match limit.kind {
            LimitKind::Machine => {
                format!("At this rate no limit is near: the machine has {size}.")
            }
            kind => format!("At this rate no limit is near: {} is {size}.", kind.word()),
        });
    }
    let Some(in_s) = near else {
        if may_grow(findings) || limit.is_close() {
            let whose = match limit.kind {
                LimitKind::Machine => "The machine has",
                kind => &format!("{} is", kind.word()),
            };
            let time = if may_grow(findings) {
                "; time until then not known yet"
            } else {
                ""
            };
            return Some(format!("{whose} {size}{left}{time}."));
        }
        return Some(match limit.kind {
            LimitKind::Machine => format!("No limit is near: the machine has {size}."),
            kind => format!("No limit is near: {} is {size}.", kind.word()),
        });
    };
    let name = match limit.kind {
        LimitKind::Machine => "All that the machine has",
        kind => kind.word(),
    };
    if findings.process.word == Word::Warming {
        return Some(format!(
            "{name} ({size}{left}) is reached in {} at the pace of the last minutes, later if it slows down.",
            time(in_s)
        ));
    }
    let then = match limit.kind {
        LimitKind::MemoryMax => "",
        LimitKind::MemoryHigh => "; from then on the kernel slows it down",
        LimitKind::GoMemLimit => "; from then on GC runs ever more often",
        LimitKind::Machine => "; then the kernel kills a process",
    };
    Some(format!(
        "{name} ({size}{left}) is reached in {} at the present load{then}.",
        time(in_s)
    ))
}

/// What grows, in words.
pub(in crate::view) fn kind_words(kind: Kind) -> &'static str {
    match kind {
        Kind::Heap => "live heap",
        Kind::Goroutines => "goroutines",
        Kind::Stacks => "goroutine stacks",
        Kind::Cgo => "memory of C code",
        Kind::Mmap => "mappings outside Go",
        Kind::SpanWaste => "span waste (fragmentation)",
        Kind::IdleSpans => "idle spans kept (GOGC)",
        Kind::Garbage => "garbage between GCs (GOGC)",
        Kind::Metadata => "runtime metadata",
        Kind::PageCache => "page cache",
    }
}
