//! Frames with verdicts, and of the views beside Sites: what a diagnosis comes to is made up, what is shown of it is not.

use std::sync::Arc;

use heaptop::event::{
    AnatomyRead, CgroupEvents, CgroupLimit, CgroupRead, GoroutinesRead, KernelMemory, PageTables,
};
use heaptop::go::accounts::Accounts;
use heaptop::go::census::{Census, ClassCensus, SpanSum};
use heaptop::go::goroutines::{AllGoroutines, Group, Oldest, States};
use heaptop::model::findings::{
    Evidence, Findings, GrowsWith, GrowthPart, Interval, Kind, Leak, LeakSite, Limit, LimitKind,
    Missing, ProcessVerdict, Verdict, Word,
};
use heaptop::model::rows::{GcSettings, Query, SiteRow};
use heaptop::view::countdown::{Answer, Left};
use heaptop::view::frame;
use heaptop::view::reading::Reading;
use heaptop::view::screen::PanelKind;

use super::*;

const MI: f64 = 1024.0 * 1024.0;
const MIB: u64 = 1 << 20;

/// A frame of a story, after some keys, with what `change` makes of its reading.
fn shown(story: &Story, keys: &str, size: (u16, u16), change: &dyn Fn(&mut Reading)) -> Buffer {
    let mut ui = UiState::new(Options::default());
    ui.refresh(&story.model, size);
    press(&mut ui, &story.model, keys);
    let mut reading = Reading::default();
    reading.update(&story.model, Query::default());
    let rows: Vec<_> = reading.sites.iter().map(|site| site.id).collect();
    for row in rows {
        reading.add_stacks(&story.model, row);
    }
    change(&mut reading);
    let state = frame(&ui.with_reading(reading, size));
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).expect("a test terminal");
    terminal
        .draw(|frame| draw(&state, look(), frame.buffer_mut()))
        .expect("draws");
    terminal.backend().buffer().clone()
}

fn all_sizes(name: &str, story: &Story, keys: &str, change: &dyn Fn(&mut Reading)) {
    for size in SIZES {
        let text = text_of(&shown(story, keys, size, change));
        insta::assert_snapshot!(format!("{name}-{}x{}", size.0, size.1), text);
    }
}

fn about(value: f64) -> Interval {
    Interval {
        value,
        low: value * 0.9,
        high: value * 1.1,
    }
}

fn a_frame(function: &str, file: &str, line: u32) -> Arc<Frame> {
    Arc::new(Frame {
        function: function.into(),
        symbol: function.into(),
        file: file.into(),
        line,
        ..Frame::unnamed(1)
    })
}

fn limiter() -> Arc<Frame> {
    a_frame(
        "github.com/TykTechnologies/tyk/gateway.(*SessionLimiter).ForwardMessage",
        "/src/tyk/gateway/session_manager.go",
        268,
    )
}

/// Words for all sites: `first` for those that only grow, churn and idle for what does that.
fn judge(reading: &mut Reading, first: Word) {
    for site in &mut reading.sites {
        let word = match (site.alloc.born_samples, site.alloc.freed_samples) {
            (0, _) if first == Word::Collecting => Word::Collecting,
            (0, _) => Word::Idle,
            (_, 0) => first,
            _ if first == Word::Collecting => Word::Collecting,
            (born, _) if born > 60 => Word::Churn,
            _ => Word::Steady,
        };
        let rate = site.rate.map_or(0.0, |rate| rate.bytes_per_min);
        let evidence = Evidence {
            bytes_per_min: (word == Word::Growing).then(|| about(rate)),
            born: site.alloc.born_samples,
            cycles: 26,
            minutes: 14.0,
            ..Evidence::default()
        };
        site.verdict = Some(Verdict { word, evidence });
        if site.function.contains("/tyk/") {
            site.via = Some(limiter());
        }
    }
}

fn growing(reading: &Reading) -> Vec<&SiteRow> {
    let grows = |site: &&SiteRow| {
        let verdict = site.verdict.as_ref();
        verdict.is_some_and(|verdict| verdict.word == Word::Growing)
    };
    let mut growing: Vec<&SiteRow> = reading.sites.iter().filter(grows).collect();
    // The model gives rows in no order.
    growing.sort_by(|a, b| a.function.cmp(&b.function));
    growing
}

/// Three sites of one leak, eight hours before the limit.
fn leaks(reading: &mut Reading) {
    judge(reading, Word::Growing);
    let sites: Vec<LeakSite> = growing(reading)
        .into_iter()
        .map(|site| LeakSite {
            row: Some(site.id),
            frame: a_frame(&site.function, &site.file, site.line),
            evidence: site.verdict.clone().unwrap_or_default().evidence,
            share: None,
        })
        .collect();
    let rate = sites.iter().filter_map(|site| site.evidence.bytes_per_min);
    let rate = about(rate.map(|rate| rate.value).sum());
    let leak = Leak {
        letter: 'A',
        kind: Kind::Heap,
        word: Word::Growing,
        under: Some(limiter()),
        kept: None,
        held: Vec::new(),
        since_start: None,
        via: None,
        sites,
        evidence: Evidence {
            bytes_per_min: Some(rate),
            grows_with: Some(GrowsWith::Load),
            survivors: Some((102, 102)),
            ..Evidence::default()
        },
        share_bytes: Some(about(0.97)),
        share_objects: Some(0.4),
        in_step: Vec::new(),
        driver: None,
    };
    reading.findings = Arc::new(Findings {
        process: ProcessVerdict {
            word: Word::Growing,
            kind: Some(Kind::Heap),
            live_bytes_per_min: Some(rate),
            ..ProcessVerdict::default()
        },
        leaks: vec![leak],
        limit: Some(Limit {
            kind: LimitKind::MemoryMax,
            bytes: 8 << 30,
            room_bytes: 4 << 30,
            grows: true,
            in_s: Some(Interval {
                value: 32_280.0,
                low: 31_020.0,
                high: 33_600.0,
            }),
        }),
        ..Findings::default()
    });
    for site in &mut reading.sites {
        let verdict = site.verdict.as_ref();
        if verdict.is_some_and(|verdict| verdict.word == Word::Growing) {
            site.leak = Some('A');
        }
    }
}

fn process(reading: &mut Reading, process: ProcessVerdict) {
    reading.findings = Arc::new(Findings {
        process,
        limit: Some(Limit {
            kind: LimitKind::MemoryMax,
            bytes: 8 << 30,
            room_bytes: 4 << 30,
            grows: false,
            in_s: None,
        }),
        ..Findings::default()
    });
}

#[test]
fn collecting_says_what_it_waits_for() {
    let story = Story::after(TYK, 1);
    all_sizes("collecting", &story, "", &|reading| {
        judge(reading, Word::Collecting);
        let missing = Missing {
            samples: 23,
            cycles: 3,
            answer_in_s: Some(140.0),
        };
        let verdict = ProcessVerdict {
            missing: Some(missing),
            ..ProcessVerdict::default()
        };
        process(reading, verdict);
        reading.answer = Some(Answer {
            left: Left::In(140.0),
            late: None,
        });
    });
}

#[test]
fn a_leak_is_told_with_its_caller_and_the_time_that_is_left() {
    let story = Story::after(TYK, 26);
    all_sizes("leak", &story, "", &leaks);
    all_sizes("leak-detail", &story, "\n", &leaks);
    all_sizes("leak-why", &story, "D", &leaks);
    let wide = text_of(&shown(&story, "", (120, 40), &leaks));
    assert!(wide.contains("VIA"), "{wide}");
    let by_growth = text_of(&shown(&story, "w", (80, 24), &leaks));
    assert!(by_growth.contains("VERDICT[   SINCE]"), "{by_growth}");
    let again = text_of(&shown(&story, "ww", (80, 24), &leaks));
    assert!(again.contains("[   SINCE^"), "{again}");
}

#[test]
fn steady_and_warming_say_how_sure_that_is() {
    let story = Story::after(TYK, 26);
    all_sizes("steady", &story, "", &|reading| {
        judge(reading, Word::Steady);
        let verdict = ProcessVerdict {
            word: Word::Steady,
            steady_below_bytes_per_min: Some(0.9 * MI),
            ..ProcessVerdict::default()
        };
        process(reading, verdict);
    });
    all_sizes("rising", &story, "", &|reading| {
        judge(reading, Word::Steady);
        let verdict = ProcessVerdict {
            word: Word::Steady,
            kind: Some(Kind::Stacks),
            rising: Some(Kind::Stacks),
            steady_below_bytes_per_min: Some(0.9 * MI),
            ..ProcessVerdict::default()
        };
        process(reading, verdict);
    });
    all_sizes("warming", &story, "", &|reading| {
        judge(reading, Word::Warming);
        let verdict = ProcessVerdict {
            word: Word::Warming,
            ..ProcessVerdict::default()
        };
        process(reading, verdict);
    });
}

#[test]
fn steady_does_not_call_a_change_of_many_megabytes_flat() {
    let story = Story::after(TYK, 26);
    for size in SIZES {
        let text = text_of(&shown(&story, "", size, &|reading| {
            judge(reading, Word::Steady);
            let verdict = ProcessVerdict {
                word: Word::Steady,
                ..ProcessVerdict::default()
            };
            process(reading, verdict);
        }));
        assert!(text.contains("live heap +52.0 MiB"), "{text}");
        assert!(!text.contains("live heap flat"), "{text}");
    }
}

#[test]
fn states_a_flat_heap_beside_what_rises() {
    let story = Story::after(TYK, 26);
    for size in SIZES {
        let text = text_of(&shown(&story, "", size, &|reading| {
            judge(reading, Word::Steady);
            let before = reading.baseline().and_then(|baseline| baseline.live_bytes);
            reading.heap.live_bytes = before;
            let verdict = ProcessVerdict {
                word: Word::Steady,
                rising: Some(Kind::Stacks),
                ..ProcessVerdict::default()
            };
            process(reading, verdict);
        }));
        assert!(text.contains("rising: goroutine stacks"), "{text}");
        assert_eq!(
            text.contains("live heap flat; rising"),
            size.0 > 60,
            "{text}"
        );
    }
}

#[test]
fn growth_that_is_not_the_live_heap_says_what_it_is() {
    let story = Story::after(TYK, 26);
    all_sizes("not-heap", &story, "", &|reading| {
        judge(reading, Word::Steady);
        let part = |kind, share| GrowthPart {
            kind,
            bytes: share * 100.0 * MI,
            share,
        };
        let verdict = ProcessVerdict {
            word: Word::Growing,
            kind: Some(Kind::IdleSpans),
            heap: Word::Steady,
            rss_bytes_per_min: Some(about(7.5 * MI)),
            parts: vec![part(Kind::IdleSpans, 0.82), part(Kind::Stacks, 0.11)],
            ..ProcessVerdict::default()
        };
        process(reading, verdict);
    });
}

#[test]
fn the_end_keeps_what_was_known() {
    let mut story = Story::after(TYK, 26);
    story.model.apply(Event::Exited {
        at_ns: story.now_ns,
        exit: Exit::of_wait_status(Some(9), Some(true)),
        how: None,
    });
    story.tick(600 * SECOND);
    all_sizes("exited", &story, "", &leaks);
}

#[test]
fn what_has_begun_to_grow_stands_out_for_three_seconds() {
    let story = Story::after(TYK, 26);
    let read = |judge: &dyn Fn(&mut Reading), after_ns: u64| {
        let mut reading = Reading::default();
        reading.update(&story.model, Query::default());
        reading.now_ns += after_ns;
        judge(&mut reading);
        reading
    };
    let badge = |ui: &UiState| {
        let state = frame(ui);
        let table = state.panel(PanelKind::Table).expect("a table");
        let mut spans = table.lines.iter().flat_map(|line| &line.spans);
        spans.any(|span| span.badge && span.text == "GROWING")
    };
    let size = (80, 24);
    // Found growing at the first look: no news.
    let ui = UiState::new(Options::default()).with_reading(read(&leaks, 0), size);
    assert!(!badge(&ui));
    let steady = read(&|reading| judge(reading, Word::Steady), 0);
    let ui = UiState::new(Options::default()).with_reading(steady, size);
    let ui = ui.with_reading(read(&leaks, SECOND), size);
    assert!(badge(&ui));
    let ui = ui.with_reading(read(&leaks, 3 * SECOND), size);
    assert!(badge(&ui));
    let ui = ui.with_reading(read(&leaks, 5 * SECOND), size);
    assert!(!badge(&ui));
}

fn cycles_in_full(reading: &mut Reading) {
    reading.gc_settings = Some(GcSettings {
        gogc: Some(100),
        memory_limit_bytes: None,
    });
    let mut before = None;
    for (index, cycle) in reading.cycles.iter_mut().enumerate() {
        cycle.goal_bytes = Some(cycle.live_bytes * 2);
        cycle.start_bytes = before.map(|goal: u64| goal - 60 * MIB);
        cycle.interval_ns = before.map(|_| GC_EVERY_NS);
        cycle.pause_ns = Some(250_000 + index as u64 * 10_000);
        cycle.mark_ns = Some(141_000_000);
        cycle.forced = Some(index % 7 == 5);
        cycle.alloc_bytes_per_sec = before.map(|_| 60.1 * MI);
        before = cycle.goal_bytes;
    }
}

#[test]
fn cycles_stand_in_a_table_below_their_graph() {
    let story = Story::after(TYK, 26);
    let change = |reading: &mut Reading| {
        leaks(reading);
        cycles_in_full(reading);
    };
    all_sizes("gc", &story, "3j", &change);
    // Nothing is known yet.
    let first = Story::attached(TYK);
    all_sizes("gc-first", &first, "3", &|_| {});
}

fn sum_of(bytes: u64) -> SpanSum {
    SpanSum {
        spans: bytes >> 13,
        bytes,
        resident_bytes: bytes,
    }
}

/// The resident set in MiB: live, garbage, waste, idle, stacks, metadata, globals, other anonymous, files.
fn anatomy(at_ns: u64, mib: [u64; 9]) -> Event {
    let [
        live,
        garbage,
        waste,
        idle,
        stacks,
        metadata,
        globals,
        anon,
        file,
    ] = mib.map(|mib| mib * MIB);
    let class = ClassCensus {
        sum: sum_of(live + garbage + waste),
        objects: (live + garbage) >> 12,
        object_bytes: live + garbage,
        object_resident_bytes: live + garbage,
    };
    Event::Anatomy(Box::new(AnatomyRead {
        at_ns,
        took_ns: 3_000_000,
        kernel: KernelMemory {
            rss_bytes: mib.iter().sum::<u64>() * MIB + MIB,
            file_bytes: file,
            ..KernelMemory::default()
        },
        pages: PageTables {
            globals_bytes: globals,
            other_anon_bytes: metadata + anon,
            foreign_bytes: anon,
            has_c: true,
            skipped_bytes: 0,
        },
        census: Census {
            classes: vec![ClassCensus::default(), ClassCensus::default(), class],
            stacks: sum_of(stacks),
            idle_bytes: idle,
            ..Census::default()
        },
        accounts: Accounts {
            live_bytes: live,
            gc_misc_sys_bytes: metadata,
            ..Accounts::default()
        },
        cgroup: Some(CgroupRead {
            usage_bytes: 712 * MIB,
            anon_bytes: Some(384 * MIB),
            file_bytes: Some(301 * MIB),
            kernel_bytes: Some(27 * MIB),
            max: Some(CgroupLimit {
                limit_bytes: 1536 * MIB,
                usage_bytes: 712 * MIB,
            }),
            events: Some(CgroupEvents::default()),
            ..CgroupRead::default()
        }),
        ..AnatomyRead::default()
    }))
}

/// A spike of the memory that is over.
fn spike() -> Story {
    let mut story = Story::attached(TYK);
    for step in 0..26 {
        story.gc();
        let mib = match step {
            18 => [432, 251, 78, 116, 39, 47, 2, 4, 58],
            19 => [300, 151, 70, 116, 30, 40, 2, 4, 58],
            0..18 => [163, 38, 36, 88, 8, 30, 2, 4, 58],
            _ => [166, 41, 38, 92, 9, 31, 2, 4, 58],
        };
        story.model.apply(anatomy(story.now_ns, mib));
    }
    story.tick(20 * SECOND);
    story
}

#[test]
fn the_memory_sums_to_the_resident_set_and_keeps_its_peak() {
    let story = spike();
    let steady = |reading: &mut Reading| {
        judge(reading, Word::Steady);
        let verdict = ProcessVerdict {
            word: Word::Steady,
            ..ProcessVerdict::default()
        };
        process(reading, verdict);
    };
    all_sizes("memory", &story, "5", &steady);
    insta::assert_snapshot!(
        "memory-100x30",
        text_of(&shown(&story, "5", (100, 30), &steady))
    );
    let text = text_of(&shown(&story, "5", (80, 24), &steady));
    assert!(text.contains(" 100%"), "{text}");
    let absolute = text_of(&shown(&story, "5d", (80, 24), &steady));
    assert!(absolute.contains("AT BASE"), "{absolute}");
    let unread = text_of(&shown(&Story::attached(TYK), "5", (80, 24), &|_| {}));
    assert!(unread.contains("is not known yet"), "{unread}");
}

/// Goroutines of a story: a group that grows by `grown`, and some that stand still.
fn goroutines(story: &mut Story, at: u64, grown: u64) {
    let names = [
        (
            0xf_0001,
            "main.(*DynamicMiddleware).ProcessRequest.func1",
            138,
        ),
        (0xf_0002, "main.(*DynamicMiddleware).ProcessRequest", 135),
        (0xf_0003, "net/http.(*conn).serve", 1930),
        (0xf_0004, "net/http.(*Server).Serve", 3285),
        (0xf_0005, "net/http.(*persistConn).writeLoop", 2421),
        (0xf_0006, "net/http.(*Transport).dialConn", 1800),
    ];
    let frames = names.map(|(pc, function, line)| {
        let frame = Frame {
            entry: pc,
            ..(*a_frame(function, "/src/tyk/mw_js_plugin.go", line)).clone()
        };
        (pc, Arc::new(frame))
    });
    story.model.apply(Event::Named {
        at_ns: 0,
        names: frames.to_vec(),
    });
    let group = |start_pc, created_pc, count: u64, reason, since| Group {
        created_pc,
        start_pc,
        count,
        stack_bytes: count * 2048,
        states: States {
            waiting: count,
            ..States::default()
        },
        waits: vec![(reason, count)],
        waiting_since_ns: Some(since),
        oldest: Some(Oldest {
            goid: 17,
            waiting_since_ns: Some(since),
            pcs: vec![start_pc],
            truncated: false,
        }),
    };
    let groups = vec![
        group(
            0xf_0001,
            0xf_0002,
            grown,
            "chan receive".into(),
            ATTACH_NS - 900 * SECOND,
        ),
        group(0xf_0003, 0xf_0004, 96, "IO wait".into(), at - 72 * SECOND),
        group(0xf_0005, 0xf_0006, 64, "select".into(), at - 72 * SECOND),
    ];
    let total = groups.iter().map(|group| group.count).sum();
    let all = AllGoroutines {
        total,
        stack_bytes: total * 2048,
        groups,
        ..AllGoroutines::default()
    };
    story.model.apply(Event::Goroutines(GoroutinesRead {
        at_ns: at,
        took_ns: 2_900_000_000,
        next_ns: at + 30 * SECOND,
        found: Ok(all),
    }));
    story.tick(SECOND);
}

#[test]
fn goroutines_stand_with_what_they_wait_for_and_who_made_them() {
    let mut story = Story::attached(TYK);
    for step in 0..26 {
        story.gc();
        let at = story.now_ns;
        goroutines(&mut story, at, 612_000 + step * 1_400);
    }
    let change = |reading: &mut Reading| {
        judge(reading, Word::Steady);
        let all = Arc::make_mut(reading.goroutines.as_mut().expect("read"));
        for group in &mut all.groups {
            let grows = group.count > 1_000;
            let word = if grows { Word::Growing } else { Word::Steady };
            group.verdict = Some(Verdict {
                word,
                evidence: Evidence::default(),
            });
        }
        let maker = all.groups[0].created_by.clone().expect("a name");
        let rate = Evidence {
            objects_per_min: Some(about(2625.0)),
            ..Evidence::default()
        };
        let leak = Leak {
            letter: 'A',
            kind: Kind::Goroutines,
            word: Word::Growing,
            under: Some(maker.clone()),
            kept: None,
            held: Vec::new(),
            since_start: None,
            via: None,
            sites: vec![LeakSite {
                row: None,
                frame: maker,
                evidence: rate.clone(),
                share: None,
            }],
            evidence: rate,
            share_bytes: Some(about(0.71)),
            share_objects: None,
            in_step: Vec::new(),
            driver: None,
        };
        reading.findings = Arc::new(Findings {
            process: ProcessVerdict {
                word: Word::Growing,
                kind: Some(Kind::Goroutines),
                rss_bytes_per_min: Some(about(9.9 * MI)),
                parts: vec![GrowthPart {
                    kind: Kind::Stacks,
                    bytes: 71.0 * MI,
                    share: 0.71,
                }],
                ..ProcessVerdict::default()
            },
            leaks: vec![leak],
            limit: Some(Limit {
                kind: LimitKind::MemoryMax,
                bytes: 4 << 30,
                room_bytes: 2 << 30,
                grows: true,
                in_s: Some(about(13_320.0)),
            }),
            ..Findings::default()
        });
    };
    all_sizes("goroutines", &story, "4", &change);
    insta::assert_snapshot!(
        "goroutines-100x24",
        text_of(&shown(&story, "4", (100, 24), &change))
    );
    let mut unknown = Story::attached(TYK);
    let at_ns = unknown.now_ns;
    unknown.model.apply(Event::Goroutines(GoroutinesRead {
        at_ns,
        took_ns: 0,
        next_ns: at_ns + 27 * SECOND,
        found: Err("allgs moved while it was read".into()),
    }));
    unknown.tick(SECOND);
    let text = text_of(&shown(&unknown, "4", (80, 24), &|_| {}));
    assert!(
        text.contains("goroutines: not known. allgs moved while it was read"),
        "{text}"
    );
}

#[test]
fn views_change_by_keys_and_clicks_and_y_copies_what_is_open() {
    let story = spike();
    let mut ui = UiState::new(Options::default());
    let size = (80, 24);
    let see = |ui: &mut UiState| text_of(&buffer_of(&story.model, ui, size, look()));
    let buffer = buffer_of(&story.model, &mut ui, size, look());
    let (x, y) = find(&buffer, "5 Memory");
    handle(&mut ui, Input::Click { x, y }, &story.model);
    assert!(see(&mut ui).contains("where the resident memory is"));
    let copied = press(&mut ui, &story.model, "y");
    let Some(Action::Copy(text)) = copied.first() else {
        panic!("copies: {copied:?}")
    };
    assert!(text.contains("idle spans kept"), "{text}");
    handle(&mut ui, Input::Key(Key::Tab), &story.model);
    assert!(see(&mut ui).contains("IN-USE"), "around to the first");
    handle(&mut ui, Input::Key(Key::BackTab), &story.model);
    handle(&mut ui, Input::Key(Key::BackTab), &story.model);
    assert!(see(&mut ui).contains("goroutines are not read yet"));
    press(&mut ui, &story.model, "3D");
    assert!(see(&mut ui).contains("diagnosis"));
    let copied = press(&mut ui, &story.model, "y");
    assert!(matches!(copied.as_slice(), [Action::Copy(_)]), "{copied:?}");
    assert!(see(&mut ui).contains("copied the diagnosis"));
    press(&mut ui, &story.model, "\x1b");
    assert!(
        see(&mut ui).contains("CYCLE"),
        "the view behind it is as it was"
    );
    press(&mut ui, &story.model, "\x1b");
    assert!(see(&mut ui).contains("IN-USE"), "back to the sites");
}
