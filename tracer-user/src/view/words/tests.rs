//! Words of made-up findings. Read a snapshot before accepting it: somebody will paste it into a ticket.

use std::fmt::Write as _;
use std::sync::Arc;

use super::*;
use crate::go::calls_out::{Caller, CallsOut};
use crate::go::frame::Frame;
use crate::go::goroutines::States;
use crate::model::anatomy::{Anatomy, Moment, Part, Parts};
use crate::model::calls::Calls;
use crate::model::findings::{
    Driver, Evidence, Findings, GrowsWith, GrowthPart, Interval, Kind, Leak, LeakSite, Limit,
    LimitKind, Missing, Observation, PerCall, ProcessVerdict, RssCause, RssComparison, RssOutcome,
    Verdict, Word,
};
use crate::model::goroutines::{GoroutineGroup, Goroutines};
use crate::model::rows::{
    Allocated, Estimate, Exit, History, Losses, Overhead, RowId, SiteRow, Source, Target,
};

const MI: f64 = 1024.0 * 1024.0;
const SECOND: u64 = 1_000_000_000;
/// 2026-11-21T02:58:40Z.
const ATTACH_UNIX_NS: i64 = 1_795_229_920_000_000_000;

fn interval(low: f64, value: f64, high: f64) -> Interval {
    Interval { value, low, high }
}

fn mi(low: f64, value: f64, high: f64) -> Interval {
    interval(low * MI, value * MI, high * MI)
}

fn frame(function: &str, file: &str, line: u32) -> Arc<Frame> {
    Arc::new(Frame {
        function: function.into(),
        symbol: function.into(),
        file: file.into(),
        line,
        entry: 1,
        ..Frame::unnamed(0)
    })
}

fn forward() -> Arc<Frame> {
    frame(
        "github.com/TykTechnologies/tyk/gateway.(*SessionLimiter).ForwardMessage",
        "/src/tyk/gateway/session_manager.go",
        268,
    )
}

fn grown(rate: Interval) -> Evidence {
    Evidence {
        bytes_per_min: Some(rate),
        objects_per_min: Some(interval(15_600.0, 18_400.0, 21_000.0)),
        born: 41,
        died: 0,
        cycles: 26,
        minutes: 14.0,
        grows_with: Some(GrowsWith::Load),
        survivors: Some((41, 41)),
        oldest_cycles: Some(26),
        per_call: Some(PerCall {
            function: "net/http.serverHandler.ServeHTTP".into(),
            objects: interval(0.9, 1.0, 1.1),
            bytes: interval(58.0, 85.0, 111.0),
        }),
        ..Evidence::default()
    }
}

/// The leak of field report 2: three sites under one caller.
fn tyk() -> Findings {
    let site = |row, frame, rate| LeakSite {
        row: Some(RowId(row)),
        frame,
        evidence: Evidence {
            bytes_per_min: Some(rate),
            ..Evidence::default()
        },
        share: None,
    };
    let leak = Leak {
        letter: 'A',
        kind: Kind::Heap,
        word: Word::Growing,
        under: Some(forward()),
        kept: None,
        held: Vec::new(),
        since_start: None,
        via: None,
        sites: vec![
            site(
                1,
                frame(
                    "github.com/TykTechnologies/tyk/internal/memorycache.(*Cache).Set",
                    "/src/tyk/internal/memorycache/cache.go",
                    30,
                ),
                mi(1.0, 1.46, 1.9),
            ),
            site(
                2,
                frame(
                    &forward().function,
                    "/src/tyk/gateway/session_manager.go",
                    381,
                ),
                mi(0.8, 1.11, 1.4),
            ),
            site(
                3,
                frame(
                    "github.com/TykTechnologies/tyk/internal/memorycache.(*BucketStorage).Create",
                    "/src/tyk/internal/memorycache/storage.go",
                    29,
                ),
                mi(0.8, 1.07, 1.4),
            ),
        ],
        evidence: Evidence {
            survivors: Some((102, 102)),
            per_call: Some(PerCall {
                function: "net/http.serverHandler.ServeHTTP".into(),
                objects: interval(2.6, 3.0, 3.4),
                bytes: interval(170.0, 212.0, 254.0),
            }),
            ..grown(mi(3.6, 3.75, 3.9))
        },
        share_bytes: Some(interval(0.93, 0.97, 1.0)),
        share_objects: Some(0.98),
        in_step: Vec::new(),
        driver: None,
    };
    Findings {
        process: ProcessVerdict {
            word: Word::Growing,
            kind: Some(Kind::Heap),
            live_bytes_per_min: Some(mi(3.6, 3.75, 3.9)),
            rss_bytes_per_min: Some(mi(7.2, 7.5, 7.8)),
            rss_factor: Some(2.0),
            ..ProcessVerdict::default()
        },
        leaks: vec![leak],
        limit: Some(Limit {
            kind: LimitKind::MemoryMax,
            bytes: 8 << 30,
            room_bytes: 4 << 30,
            grows: true,
            in_s: Some(interval(31_020.0, 32_280.0, 33_600.0)),
        }),
        ..Findings::default()
    }
}

/// A watch of 14 minutes that found this.
fn reading(findings: Findings) -> Reading {
    let attached_ns = 1_000 * SECOND;
    let mut reading = Reading::default();
    reading.target = Target {
        pid: Some(4121),
        name: "tyk".to_owned(),
        go: "go1.24.6".to_owned(),
        started_unix_ns: ATTACH_UNIX_NS - 29_400_000_000_000,
        attached_ns,
        attached_unix_ns: ATTACH_UNIX_NS,
        main_module: Some("github.com/TykTechnologies/tyk".to_owned()),
        ..Target::default()
    };
    reading.now_ns = attached_ns + 845 * SECOND;
    reading.rate_bytes = Some(524_288);
    reading.cycles_seen = 26;
    reading.overhead = Some(Overhead {
        hits_per_sec: Some(240.0),
        cpu_fraction: Some(0.0004),
        hits: Some(202_700),
    });
    reading.ready = true;
    reading.final_cycles = 26;
    reading.findings = Arc::new(findings);
    reading
}

fn text(reading: &Reading, width: usize) -> String {
    let mut text = diagnosis(reading, width).join("\n");
    text.push('\n');
    text
}

fn row(word: Word, evidence: Evidence) -> SiteRow {
    SiteRow {
        id: RowId(1),
        function: "github.com/TykTechnologies/tyk/internal/memorycache.(*Cache).Set".into(),
        go_type: None,
        file: "/src/tyk/internal/memorycache/cache.go".into(),
        line: 30,
        inuse: Estimate::default(),
        samples: 1422,
        growth: None,
        growth_samples: 0,
        rate: None,
        alloc: Allocated::default(),
        kept: None,
        trend: Vec::new(),
        trend_err: 0.0,
        verdict: Some(Verdict { word, evidence }),
        via: None,
        leak: None,
    }
}

fn with_process(process: ProcessVerdict) -> Findings {
    // Beside other growth the heap is known to be steady.
    let heap = match process.kind {
        None | Some(Kind::Heap) => process.word,
        Some(_) => Word::Steady,
    };
    Findings {
        process: ProcessVerdict { heap, ..process },
        ..Findings::default()
    }
}

fn missing(samples: u64, cycles: u32, answer_in_s: Option<f64>) -> Missing {
    Missing {
        samples,
        cycles,
        answer_in_s,
    }
}

#[test]
fn a_leak_is_told_with_its_sites_and_its_evidence() {
    insta::assert_snapshot!("leak-80", text(&reading(tyk()), 80));
    insta::assert_snapshot!("leak-100", text(&reading(tyk()), 100));
}

#[test]
fn a_collecting_one_says_what_is_missing() {
    let findings = with_process(ProcessVerdict {
        missing: Some(missing(21, 3, Some(380.0))),
        ..ProcessVerdict::default()
    });
    let mut reading = reading(findings);
    reading.target.source = Source::Spans;
    reading.target.history = History::SinceAttach;
    reading.losses = Losses {
        lost: 12,
        ..Losses::default()
    };
    insta::assert_snapshot!("collecting-80", text(&reading, 80));
}

#[test]
fn reports_the_end_of_the_process_first() {
    let mut reading = reading(tyk());
    reading.status = Status::Exited {
        at_ns: reading.now_ns,
        exit: Exit::of_wait_status(Some(9), Some(true)),
        how: None,
    };
    let text = text(&reading, 80);
    let expected = "has exited: killed by SIGKILL (out of memory).";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn no_line_is_longer_than_asked_for() {
    for width in [40, 60, 80, 100, 200] {
        for line in diagnosis(&reading(tyk()), width) {
            assert!(
                super::super::names::width(&line) <= width,
                "{width}: {line}"
            );
        }
    }
}

#[test]
fn every_word_of_a_site_has_its_sentence() {
    let mut all = String::new();
    let mut add = |what: &str, row: &SiteRow, findings: &Findings| {
        let _ = writeln!(all, "{what}:");
        for sentence in site(row, findings) {
            let _ = writeln!(all, "  {sentence}");
        }
    };
    let mut growing = row(Word::Growing, grown(mi(1.0, 1.46, 1.9)));
    growing.leak = Some('A');
    growing.via = Some(frame(
        "github.com/TykTechnologies/tyk/gateway.(*SessionLimiter).limitDRL",
        "/src/tyk/gateway/session_manager.go",
        185,
    ));
    add("growing", &growing, &tyk());
    add(
        "growing by time",
        &row(
            Word::Growing,
            Evidence {
                grows_with: Some(GrowsWith::Time),
                survivors: Some((39, 41)),
                died: 2,
                ..grown(mi(0.01, 0.06, 0.11))
            },
        ),
        &Findings::default(),
    );
    add(
        "growing with bursts",
        &row(
            Word::Growing,
            Evidence {
                bytes_per_min: None,
                objects_per_min: None,
                per_call: None,
                ..grown(mi(0.0, 0.0, 0.0))
            },
        ),
        &Findings::default(),
    );
    add(
        "a call of one's own",
        &row(
            Word::Growing,
            Evidence {
                grows_with: None,
                per_call: Some(PerCall {
                    function: "main.handle".into(),
                    objects: interval(1.8, 2.1, 2.4),
                    bytes: mi(0.9, 1.1, 1.3),
                }),
                ..grown(mi(1.0, 1.46, 1.9))
            },
        ),
        &Findings::default(),
    );
    let window = Evidence {
        born: 120,
        died: 60,
        cycles: 30,
        minutes: 8.0,
        ..Evidence::default()
    };
    add("warming", &row(Word::Warming, window.clone()), &tyk());
    add(
        "steady",
        &row(
            Word::Steady,
            Evidence {
                steady_below_bytes_per_min: Some(0.9 * MI),
                ..window.clone()
            },
        ),
        &tyk(),
    );
    add("churn", &row(Word::Churn, window.clone()), &tyk());
    add("idle", &row(Word::Idle, window.clone()), &tyk());
    for (what, missing) in [
        ("collecting", missing(21, 2, Some(130.0))),
        ("collecting, one of each", missing(1, 1, Some(8.0))),
        ("collecting without a pace", missing(25, 0, None)),
        ("collecting for time alone", missing(0, 0, Some(90.0))),
    ] {
        let evidence = Evidence {
            missing: Some(missing),
            ..window.clone()
        };
        add(what, &row(Word::Collecting, evidence), &tyk());
    }
    let mut unjudged = row(Word::Collecting, Evidence::default());
    unjudged.verdict = None;
    add("not judged", &unjudged, &tyk());
    insta::assert_snapshot!("sites", all);
}

/// What is said of a process with these findings.
fn told(what: &str, findings: &Findings) -> String {
    let limit = limit(findings).unwrap_or_default();
    format!(
        "{what}: {:?}\n  {}\n  {limit}\n",
        outcome(findings),
        process(findings)
    )
}

fn growing(kind: Kind) -> ProcessVerdict {
    ProcessVerdict {
        word: Word::Growing,
        kind: Some(kind),
        rss_bytes_per_min: Some(mi(2.0, 2.4, 2.8)),
        ..ProcessVerdict::default()
    }
}

#[test]
fn every_verdict_on_the_process_has_its_sentence() {
    let mut all = String::new();
    let mut add = |what: &str, findings: &Findings| all += &told(what, findings);
    add("leak", &tyk());
    add(
        "bursts",
        &with_process(ProcessVerdict {
            rss_bytes_per_min: None,
            ..growing(Kind::Heap)
        }),
    );
    for (factor, bytes, kind, in_s) in [
        (
            5.0,
            512 << 20,
            LimitKind::MemoryHigh,
            Some(interval(500.0, 600.0, f64::INFINITY)),
        ),
        (
            1.0,
            3 << 29,
            LimitKind::GoMemLimit,
            Some(interval(4e5, 9e5, f64::INFINITY)),
        ),
        (1.5, 64 << 30, LimitKind::Machine, None),
    ] {
        let mut findings = with_process(ProcessVerdict {
            live_bytes_per_min: Some(mi(1.0, 1.2, 1.4)),
            rss_factor: Some(factor),
            ..growing(Kind::Heap)
        });
        findings.limit = Some(Limit {
            kind,
            bytes,
            room_bytes: bytes / 2,
            grows: in_s.is_some(),
            in_s,
        });
        add(&format!("factor {factor}"), &findings);
    }
    for word in [
        Word::Warming,
        Word::Steady,
        Word::Churn,
        Word::Idle,
        Word::Collecting,
    ] {
        let process = ProcessVerdict {
            word,
            steady_below_bytes_per_min: Some(1.3 * MI),
            missing: Some(missing(4, 1, Some(61.0))),
            ..ProcessVerdict::default()
        };
        add(word.word(), &with_process(process));
    }
    add("nothing yet", &Findings::default());
    insta::assert_snapshot!("process", all);
}

#[test]
fn a_limit_that_is_close_is_never_called_far() {
    let mut all = String::new();
    for (word, room_mib, grows, in_s) in [
        (
            Word::Warming,
            3,
            true,
            Some(interval(35.0, 41.0, f64::INFINITY)),
        ),
        (Word::Warming, 3, true, None),
        (Word::Steady, 12, false, None),
        (Word::Steady, 150, false, None),
        (Word::Collecting, 0, false, None),
    ] {
        let mut findings = with_process(ProcessVerdict {
            word,
            ..ProcessVerdict::default()
        });
        findings.limit = Some(Limit {
            kind: LimitKind::MemoryMax,
            bytes: 300 << 20,
            room_bytes: room_mib << 20,
            grows,
            in_s,
        });
        let limit = limit(&findings).expect("a limit");
        writeln!(all, "{}, {room_mib} MiB: {limit}", word.word()).expect("a string takes it");
    }
    insta::assert_snapshot!("close", all);
}

#[test]
fn growth_beside_the_heap_is_told_by_its_parts() {
    let mut all = String::new();
    let mut add = |what: &str, findings: &Findings| all += &told(what, findings);
    add(
        "grew beside",
        &with_process(ProcessVerdict {
            word: Word::Steady,
            kind: Some(Kind::IdleSpans),
            parts: vec![GrowthPart {
                kind: Kind::IdleSpans,
                bytes: 82.0 * MI,
                share: 0.82,
            }],
            ..ProcessVerdict::default()
        }),
    );
    add(
        "rising beside",
        &with_process(ProcessVerdict {
            word: Word::Steady,
            kind: Some(Kind::Stacks),
            rising: Some(Kind::Stacks),
            parts: vec![
                GrowthPart {
                    kind: Kind::Stacks,
                    bytes: 45.0 * MI,
                    share: 0.60,
                },
                GrowthPart {
                    kind: Kind::Garbage,
                    bytes: 30.0 * MI,
                    share: 0.40,
                },
            ],
            steady_below_bytes_per_min: Some(0.9 * MI),
            ..ProcessVerdict::default()
        }),
    );
    add(
        "not the heap",
        &with_process(ProcessVerdict {
            parts: vec![
                GrowthPart {
                    kind: Kind::IdleSpans,
                    bytes: 82.0 * MI,
                    share: 0.82,
                },
                GrowthPart {
                    kind: Kind::Stacks,
                    bytes: 11.0 * MI,
                    share: 0.11,
                },
                GrowthPart {
                    kind: Kind::Metadata,
                    bytes: MI,
                    share: 0.01,
                },
            ],
            ..growing(Kind::IdleSpans)
        }),
    );
    add("cgo", &with_process(growing(Kind::Cgo)));
    add("mmap", &with_process(growing(Kind::Mmap)));
    add("fragmentation", &with_process(growing(Kind::SpanWaste)));
    add("page cache", &with_process(growing(Kind::PageCache)));
    insta::assert_snapshot!("beside", all);
}

#[test]
fn a_leak_with_a_driver_is_told_by_its_calls_not_by_requests() {
    let mut findings = tyk();
    let a_leak = &mut findings.leaks[0];
    a_leak.driver = Some(Driver {
        function: "tls/tlsmanager.UpdateConfigs".into(),
        bytes: Some(mi(0.2, 0.22, 0.24)),
        goroutines: None,
        calls: 1_043,
    });
    let told = leak(a_leak);
    let wanted = "+0.22 MiB for each call of tls/tlsmanager.UpdateConfigs \
        (90 %: 0.20 to 0.24; 1,043 calls counted).";
    assert!(told.contains(wanted), "{told}");
    assert!(!told.contains("per request"), "{told}");
    let mut of_leak = row(Word::Growing, grown(mi(1.0, 1.46, 1.9)));
    of_leak.leak = Some('A');
    let told = site(&of_leak, &findings).join(" ");
    assert!(
        told.contains(" Leak A as a whole: +0.22 MiB for each"),
        "{told}"
    );
    assert!(!told.contains("per request"), "{told}");
    let a_leak = &mut findings.leaks[0];
    a_leak.kind = Kind::Goroutines;
    if let Some(driver) = &mut a_leak.driver {
        driver.goroutines = Some(interval(0.95, 1.01, 1.07));
    }
    let told = leak(a_leak);
    let wanted = "One goroutine for each call of tls/tlsmanager.UpdateConfigs \
        (90 %: 0.95 to 1.07; 1,043 calls counted).";
    assert!(told.contains(wanted), "{told}");
    let other = LeakSite {
        row: None,
        frame: frame("net/http.(*Transport).dialConn", "transport.go", 1994),
        evidence: Evidence::default(),
        share: None,
    };
    a_leak.sites = vec![other.clone(), other];
    if let Some(driver) = &mut a_leak.driver {
        driver.goroutines = Some(interval(2.9, 3.02, 3.1));
    }
    let told = leak(a_leak);
    let wanted = "At the same rate: those of net/http.(*Transport).dialConn. \
        3 goroutines for each call of tls/tlsmanager.UpdateConfigs";
    assert!(told.contains(wanted), "{told}");
    let line = leak_line(a_leak);
    assert!(
        line.ends_with("and at the same rate by one other function"),
        "{line}"
    );
}

#[test]
fn a_row_of_the_heap_is_part_of_the_heap_leak_of_its_letter() {
    let mut findings = tyk();
    let mut goroutines = findings.leaks[0].clone();
    goroutines.kind = Kind::Goroutines;
    goroutines.under = Some(frame("main.(*Table).apply", "table.go", 78));
    for site in &mut goroutines.sites {
        site.row = None;
    }
    findings.leaks.insert(0, goroutines);
    let mut of_heap = row(Word::Growing, grown(mi(1.0, 1.46, 1.9)));
    let heap = &findings.leaks[1];
    (of_heap.leak, of_heap.id) = (Some('A'), heap.sites[0].row.unwrap());
    let told = site(&of_heap, &findings).join(" ");
    let wanted = format!("of leak A, 3 sites under {}", heap.function());
    assert!(told.contains(&wanted), "{told}");
}

#[test]
fn a_leak_in_one_text_and_of_goroutines() {
    let findings = tyk();
    let mut small = findings.leaks[0].clone();
    small.letter = 'B';
    small.via = Some(frame("main.(*handleWrapper).ServeHTTP", "/src/main.go", 71));
    small.sites.truncate(1);
    (small.share_bytes, small.share_objects) = (Some(interval(0.01, 0.03, 0.05)), Some(0.91));
    let mut goroutines = findings.leaks[0].clone();
    goroutines.letter = 'C';
    goroutines.kind = Kind::Goroutines;
    goroutines.evidence.bytes_per_min = None;
    goroutines.evidence.objects_per_min = Some(interval(3_500.0, 3_600.0, 3_700.0));
    goroutines.evidence.grows_with = None;
    (goroutines.share_bytes, goroutines.share_objects) = (Some(interval(0.6, 0.71, 0.8)), None);
    goroutines.in_step = vec!['A'];
    let all: Vec<String> = [&findings.leaks[0], &small, &goroutines].map(leak).to_vec();
    insta::assert_snapshot!("leaks", all.join("\n"));
    let lines: Vec<String> = [&findings.leaks[0], &small, &goroutines]
        .map(leak_line)
        .to_vec();
    insta::assert_snapshot!("leak-lines", lines.join("\n"));
    let findings = Findings {
        process: ProcessVerdict {
            word: Word::Growing,
            kind: Some(Kind::Goroutines),
            rss_bytes_per_min: Some(mi(9.0, 9.9, 10.8)),
            ..ProcessVerdict::default()
        },
        leaks: vec![goroutines, small],
        ..Findings::default()
    };
    insta::assert_snapshot!("goroutines-80", text(&reading(findings), 80));
}

/// The same with what was looked at beside the heap.
fn with_witnesses(mut reading: Reading) -> Reading {
    let moment = |at_ns, live: u64| Moment {
        at_ns,
        parts: Parts::of([live, live, 61, 40, 12, 20, 3, 21, 15].map(|mib| mib << 20)),
        ..Moment::default()
    };
    reading.anatomy = Some(Arc::new(Anatomy {
        now: moment(reading.now_ns, 1945),
        baseline: Some(moment(reading.target.attached_ns, 1893)),
        ..Anatomy::default()
    }));
    reading.goroutines = Some(Arc::new(Goroutines {
        count: 231,
        growth: Some(2),
        groups: vec![GoroutineGroup {
            id: 1,
            created_by: Some(forward()),
            start: frame("main.wait", "/src/main.go", 12),
            is_runtime: false,
            count: 648_000,
            growth: Some(36_000),
            per_min: None,
            states: States::default(),
            waits: vec![("chan receive".into(), 647_000), ("select".into(), 1_000)],
            longest_wait_ns: Some(10_800 * SECOND),
            stack_bytes: 1_331_439_861,
            stack_growth_bytes: None,
            oldest: None,
            verdict: None,
        }],
        ..Goroutines::default()
    }));
    reading.calls = Some(Calls {
        function: "net/http.serverHandler.ServeHTTP".into(),
        per_sec: Some(300.4),
        mean_per_sec: None,
        total: 253_600.0,
        counted_fraction: 1.0,
        is_windowed: false,
        is_counting: true,
        looks: (0..8_u32)
            .map(|look| (u64::from(look), Some(300.0 + f64::from(look))))
            .collect(),
    });
    reading
}

#[test]
fn what_was_looked_at_beside_the_heap_is_told() {
    insta::assert_snapshot!("witnesses-80", text(&with_witnesses(reading(tyk())), 80));
    let mut findings = tyk();
    findings.leaks[0].kind = Kind::Goroutines;
    findings.process.kind = Some(Kind::Goroutines);
    let lines = text(&with_witnesses(reading(findings)), 80);
    assert!(
        lines.contains("648,000 of them run main.wait, most wait in \"chan receive\", the longest for\n    3h00m;"),
        "{lines}"
    );
    // Nothing is ruled out where nothing grows.
    let lines = text(&with_witnesses(reading(Findings::default())), 80);
    assert!(!lines.contains("Not the cause"), "{lines}");
}

#[test]
fn memory_outside_go_is_a_leak_without_a_place() {
    let mut found = tyk().leaks.remove(0);
    found.kind = Kind::Mmap;
    (found.under, found.via) = (None, None);
    found.sites.clear();
    found.evidence = Evidence {
        bytes_per_min: Some(mi(3.7, 4.47, 5.2)),
        ..Evidence::default()
    };
    assert_eq!(
        leak(&found),
        "Leak A: mappings outside Go, +4.47 MiB/min (90 %: 3.7 to 5.2)."
    );
}

#[test]
fn the_next_watch_is_twice_as_long() {
    let collecting = with_process(ProcessVerdict::default());
    assert_eq!(next_watch_min(&tyk(), 180.0), None);
    assert_eq!(next_watch_min(&collecting, 2.0), Some(10));
    assert_eq!(next_watch_min(&collecting, 600.0), Some(20));
    assert_eq!(next_watch_min(&collecting, 1e9), Some(120));
}

#[test]
fn an_answer_holds_at_the_second_evaluation_that_gives_it() {
    let steady = |bound_mib: f64| {
        with_process(ProcessVerdict {
            word: Word::Steady,
            steady_below_bytes_per_min: Some(bound_mib * MI),
            ..ProcessVerdict::default()
        })
    };
    let probable = with_process(ProcessVerdict {
        word: Word::ProbablyGrowing,
        ..ProcessVerdict::default()
    });
    let mut answer = Answer::default();
    assert!(!answer.holds(1, &tyk()));
    assert!(!answer.holds(1, &tyk()), "the same evaluation");
    assert!(!answer.holds(2, &steady(0.1)), "another answer");
    assert!(!answer.holds(3, &probable));
    assert!(!answer.holds(4, &steady(0.3)), "a wide bound");
    assert!(!answer.holds(5, &tyk()));
    assert!(answer.holds(6, &tyk()));
}

#[test]
fn compares_the_predicted_growth_of_rss_with_the_measured_one() {
    let say = |predicted: Option<Interval>, outcome: RssOutcome, factor: f64| {
        let comparison = RssComparison {
            predicted,
            measured: mi(6.0, 6.8, 7.6),
            outcome,
        };
        process(&with_process(ProcessVerdict {
            live_bytes_per_min: Some(mi(2.2, 2.3, 2.4)),
            rss_bytes_per_min: Some(comparison.per_min()),
            rss_comparison: Some(comparison),
            rss_factor: Some(factor),
            ..growing(Kind::Heap)
        }))
    };
    let agrees = say(Some(mi(5.5, 6.4, 7.3)), RssOutcome::Agrees, 2.0);
    assert!(
        agrees.contains("RSS follows at +6.40 MiB/min (90 %: 5.5 to 7.3), because GOGC=100"),
        "{agrees}"
    );
    assert!(
        agrees.contains("Measured growth of RSS agrees: +6.80 MiB/min (90 %: 6.0 to 7.6)."),
        "{agrees}"
    );
    let differs = say(
        Some(mi(4.4, 4.6, 4.8)),
        RssOutcome::Differs(Some(RssCause::Stacks)),
        2.0,
    );
    assert!(
        differs.contains(
            "RSS grows by +6.80 MiB/min (90 %: 6.0 to 7.6). That rate is measured: more than the +4.60 MiB/min (90 %: 4.4 to \
             4.8) that follows from what grows, because goroutine stacks grow as well."
        ),
        "{differs}"
    );
    assert!(
        !differs.contains("GOGC"),
        "GOGC explains another rate: {differs}"
    );
    let lags = say(Some(mi(37.0, 38.0, 39.0)), RssOutcome::Lags, 2.0);
    assert!(
        lags.contains("RSS follows at +38.0 MiB/min")
            && lags.contains("RSS lags behind, measured +6.80 MiB/min"),
        "{lags}"
    );
    let limited = say(
        Some(mi(2.2, 2.3, 2.4)),
        RssOutcome::Differs(Some(RssCause::Heap)),
        1.0,
    );
    assert!(
        limited.contains("because GOMEMLIMIT is not reached yet"),
        "{limited}"
    );
    let unknown = say(None, RssOutcome::Differs(None), 2.0);
    assert!(unknown.contains("That rate is measured."), "{unknown}");
    let without = process(&with_process(growing(Kind::Heap)));
    assert!(!without.contains("easured"), "{without}");
}

#[test]
fn reports_a_fall_of_rss_beside_the_rate_that_counts() {
    let comparison = RssComparison {
        predicted: Some(mi(4.4, 4.6, 4.8)),
        measured: mi(-2.5, -2.0, -1.5),
        outcome: RssOutcome::Falls(Some(RssCause::Files)),
    };
    let say = |kind| {
        process(&with_process(ProcessVerdict {
            live_bytes_per_min: Some(mi(2.2, 2.3, 2.4)),
            rss_bytes_per_min: Some(comparison.per_min()),
            rss_comparison: Some(comparison),
            rss_factor: Some(2.0),
            ..growing(kind)
        }))
    };
    let heap = say(Kind::Heap);
    assert!(
        heap.contains("RSS follows at +4.60 MiB/min (90 %: 4.4 to 4.8), because GOGC=100"),
        "{heap}"
    );
    let falls = "RSS falls for now, measured -2.00 MiB/min (90 %: -2.5 to -1.5), because fewer pages of files are resident. \
                 The rate that follows from what grows counts, since a fall ends.";
    for kind in [
        Kind::Heap,
        Kind::Goroutines,
        Kind::Mmap,
        Kind::Cgo,
        Kind::Stacks,
    ] {
        let text = say(kind);
        assert!(text.contains(falls), "{text}");
        assert!(text.contains("RSS follows at +4.60 MiB/min"), "{text}");
        assert!(!text.contains("RSS grows"), "{text}");
    }
}

#[test]
fn names_functions_that_can_take_memory_outside_go() {
    let caller = |function: &str, c: &[&str]| Caller {
        function: function.into(),
        c_functions: c.iter().map(|name| (*name).into()).collect(),
    };
    let say = |kind, calls_out: CallsOut| {
        let findings = Findings {
            observations: vec![Observation::OutsideGo { kind, calls_out }],
            ..Findings::default()
        };
        observations(&findings, 0).concat()
    };
    let c = say(
        Kind::Cgo,
        CallsOut {
            c: vec![
                caller("main.parse", &["parse", "malloc"]),
                caller("db.Open", &["open"]),
                caller("db.Close", &["close"]),
                caller("net.lookup", &["getaddrinfo"]),
            ],
            c_omitted: 2,
            maps: vec![caller("main.mapped", &[])],
            maps_omitted: 0,
        },
    );
    assert!(
        c.contains(
            "The program can call C in main.parse (C.parse, C.malloc), db.Open (C.open), db.Close (C.close) and 3 more. It \
             can map memory in main.mapped."
        ),
        "{c}"
    );
    assert!(
        c.contains(
            "--per main.parse counts its calls, to compare with the growth. Stacks that call it: bpftrace -e \
             'uprobe:/proc/PID/exe:\"main.parse\" { @[ustack] = count(); }'."
        ),
        "{c}"
    );
    assert!(
        c.contains("--per main.parse") && c.contains("MALLOC_ARENA_MAX"),
        "{c}"
    );
    let maps = say(
        Kind::Mmap,
        CallsOut {
            maps: vec![caller("go.etcd.io/bbolt.mmap", &[])],
            ..CallsOut::default()
        },
    );
    assert!(
        maps.contains("The program can map memory in go.etcd.io/bbolt.mmap."),
        "{maps}"
    );
    assert!(
        maps.contains("--per go.etcd.io/bbolt.mmap")
            && maps.contains("perf trace")
            && !maps.contains("call C"),
        "{maps}"
    );
    let none = say(Kind::Mmap, CallsOut::default());
    assert!(
        none.contains("No Go function of the program is known to map memory")
            && !none.contains("--per"),
        "{none}"
    );
}

#[test]
fn a_collecting_site_states_neither_chance_nor_a_time_for_samples() {
    let evidence = Evidence {
        born: 4_000,
        died: 3_200,
        cycles: 30,
        minutes: 8.0,
        missing: Some(missing(26, 0, Some(60.0))),
        ..Evidence::default()
    };
    let text = site(&row(Word::Collecting, evidence), &Findings::default()).concat();
    assert!(text.contains("26 more samples"), "{text}");
    assert!(!text.contains("chance"), "{text}");
    assert!(!text.contains("1m") && !text.contains("60s"), "{text}");
}

#[test]
fn warming_states_no_time_of_years() {
    let mut findings = tyk();
    findings.process = ProcessVerdict {
        word: Word::Warming,
        ..ProcessVerdict::default()
    };
    let limit_of = |findings: &Findings| limit(findings).expect("a limit");
    if let Some(limit) = &mut findings.limit {
        limit.in_s = Some(interval(916.0 * 86_400.0, 950.0 * 86_400.0, f64::INFINITY));
    }
    let far = limit_of(&findings);
    assert!(
        far.contains("no limit is near") && !far.contains("916"),
        "{far}"
    );
    if let Some(limit) = &mut findings.limit {
        limit.room_bytes = limit.bytes / 20;
    }
    let close = limit_of(&findings);
    assert!(close.contains("left") && !close.contains("916"), "{close}");
}

#[test]
fn rules_out_no_part_while_the_growth_is_not_certain() {
    for word in [
        Word::ProbablyGrowing,
        Word::Collecting,
        Word::Warming,
        Word::Steady,
    ] {
        let mut findings = tyk();
        findings.process.word = word;
        let lines = text(&with_witnesses(reading(findings)), 80);
        assert!(!lines.contains("Not the cause"), "{word:?}: {lines}");
    }
    let lines = text(&with_witnesses(reading(tyk())), 80);
    assert!(lines.contains("Not the cause"), "{lines}");
    // A part that grew is not ruled out.
    let mut grown = with_witnesses(reading(tyk()));
    let mut anatomy = grown.anatomy.as_deref().expect("read").clone();
    let mut parts = Part::ALL.map(|part| anatomy.now.parts.get(part));
    parts[Part::Anon as usize] += 40 << 20;
    anatomy.now.parts = Parts::of(parts);
    grown.anatomy = Some(Arc::new(anatomy));
    let lines = text(&grown, 80);
    let ruled_out = lines.split("Not the cause:").nth(1).unwrap_or_default();
    assert!(!ruled_out.contains("non-Go memory"), "{lines}");
}
