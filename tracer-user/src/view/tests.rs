//! Laws of the view: whatever the figures, the size and the keys, a frame comes out that fits its screen.

use std::sync::Arc;

use proptest::prelude::*;

use super::input::{Input, Key, handle};
use super::order::{Sort, SortKey};
use super::reading::Reading;
use super::screen::{PanelKind, ViewState};
use super::ui_state::{Options, UiState};
use super::{frame, view};
use crate::event::{
    AnatomyRead, BucketsRead, CgroupLimit, CgroupRead, Duty, Event, HeapRead, KernelCounters,
    KernelMemory, PageTables, ProbeEvent,
};
use crate::go::buckets::{BucketCounts, Counts, NewBucket, ProfCycle};
use crate::go::frame::Frame;
use crate::go::goroutines::States;
use crate::go::memstats::HeapFigures;
use crate::model::Model;
use crate::model::findings::{
    Evidence, Findings, GrowsWith, GrowthPart, Interval, Kind, Leak, LeakSite, Limit, LimitKind,
    Missing, ProcessVerdict, Verdict, Word,
};
use crate::model::goroutines::{CountThen, GoroutineGroup, Goroutines, ParkedStack};
use crate::model::rows::{
    Allocated, Baseline, Cycle, Estimate, EstimatedCycle, Exit, HeapNow, History, Losses, Overhead,
    Rate, RowId, SiteRow, Source, StackRow, Status, Target,
};

/// What must hold for every frame.
fn check(state: &ViewState) -> Result<(), TestCaseError> {
    let (columns, rows) = state.size;
    for panel in &state.panels {
        let area = panel.area;
        prop_assert!(
            area.x + area.width <= columns && area.y + area.height <= rows,
            "{:?} {area:?}",
            panel.kind
        );
        prop_assert!(
            panel.lines.len() <= area.rows(),
            "{:?}: {} lines",
            panel.kind,
            panel.lines.len()
        );
        for line in &panel.lines {
            let text = line.text();
            prop_assert!(
                line.width() <= area.cells(),
                "{:?} in {}: {text:?}",
                panel.kind,
                area.width
            );
            prop_assert!(!text.chars().any(char::is_control), "{text:?}");
        }
        if let Some(cursor) = panel.cursor {
            prop_assert!(cursor < panel.lines.len());
        }
    }
    Ok(())
}

fn figure() -> impl Strategy<Value = f64> {
    prop_oneof![
        (0.0f64..50.0).prop_map(f64::exp2),
        Just(0.0),
        any::<f64>(),
        -1e9f64..1e9
    ]
}

fn estimate() -> impl Strategy<Value = Estimate> {
    (figure(), figure(), figure(), figure()).prop_map(|(bytes, bytes_err, objects, objects_err)| {
        Estimate {
            bytes,
            bytes_err,
            objects,
            objects_err,
        }
    })
}

fn name() -> impl Strategy<Value = Arc<str>> {
    prop_oneof![
        "[a-z]{1,8}(/[a-z]{1,20}){0,4}\\.(\\(\\*[A-Z][a-z]{1,30}\\)\\.)?[A-Z][a-z]{0,40}",
        ".{0,40}",
        "(世|\u{301}|\x1b|🦀){0,30}",
    ]
    .prop_map(Into::into)
}

fn site(id: u32) -> impl Strategy<Value = SiteRow> {
    (
        (name(), name(), any::<u32>(), estimate(), any::<u64>()),
        (
            prop::option::of(estimate()),
            0u64..5,
            prop::option::of(estimate()),
        ),
        (
            figure(),
            figure(),
            figure(),
            0u64..3,
            0u64..3,
            prop::option::of(Just(())),
        ),
        prop::collection::vec(figure(), 0..14),
    )
        .prop_map(
            move |(site, (growth, growth_samples, rate), alloc, trend)| SiteRow {
                id: RowId(id),
                go_type: (site.2 % 2 == 0).then(|| site.1.clone()),
                function: site.0,
                file: site.1,
                line: site.2,
                inuse: site.3,
                samples: site.4,
                kept: (site.4 % 2 == 0).then_some(alloc.2),
                growth,
                growth_samples,
                rate: rate.map(|rate| Rate {
                    bytes_per_min: rate.bytes,
                    bytes_per_min_err: rate.bytes_err,
                    objects_per_min: rate.objects,
                    objects_per_min_err: rate.objects_err,
                }),
                alloc: Allocated {
                    total: alloc.5.map(|()| Estimate {
                        bytes: alloc.0,
                        objects: alloc.1,
                        ..Estimate::default()
                    }),
                    bytes_per_sec: alloc.5.map(|()| alloc.2),
                    is_exact: alloc.3 == 1,
                    freed_samples: alloc.3,
                    born_samples: alloc.4,
                },
                trend,
                trend_err: alloc.2,
                verdict: None,
                via: None,
                leak: None,
            },
        )
}

fn stack() -> impl Strategy<Value = StackRow> {
    let frame = (name(), name(), any::<u32>(), any::<bool>()).prop_map(
        |(function, file, line, inlined)| {
            Arc::new(Frame {
                symbol: function.clone(),
                function,
                file,
                line,
                inlined,
                ..Frame::unnamed(1)
            })
        },
    );
    (
        prop::collection::vec(frame, 0..30),
        any::<u64>(),
        estimate(),
        any::<u64>(),
        prop::option::of(estimate()),
        any::<u32>(),
    )
        .prop_map(
            |(frames, object_bytes, inuse, samples, growth, id)| StackRow {
                id,
                frames,
                object_bytes,
                inuse,
                samples,
                growth,
            },
        )
}

fn sites() -> impl Strategy<Value = Vec<SiteRow>> {
    (0u32..60).prop_flat_map(|n| (0..n).map(site).collect::<Vec<_>>())
}

fn target() -> impl Strategy<Value = Target> {
    (
        any::<u32>(),
        ".{0,60}",
        ".{0,20}",
        any::<i64>(),
        any::<u64>(),
        any::<i64>(),
        (
            prop::sample::select(vec![
                Source::Sampler,
                Source::Buckets,
                Source::Spans,
                Source::Exact,
            ]),
            prop_oneof![
                Just(History::SinceStart),
                Just(History::SinceAttach),
                Just(History::SinceArmed),
            ],
            prop::collection::vec(".{0,90}", 0..3),
        ),
    )
        .prop_map(
            |(pid, name, go, started_unix_ns, attached_ns, attached_unix_ns, attach)| Target {
                pid: Some(pid),
                name,
                go,
                started_unix_ns,
                attached_ns,
                attached_unix_ns,
                main_module: None,
                source: attach.0,
                history: attach.1,
                notes: attach.2,
            },
        )
}

fn estimated_cycle() -> impl Strategy<Value = EstimatedCycle> {
    any::<(u64, u64)>().prop_map(|(before_attach_ns, live_bytes)| EstimatedCycle {
        before_attach_ns,
        live_bytes,
    })
}

fn process() -> impl Strategy<Value = Reading> {
    let cycle = (
        any::<u32>(),
        any::<u64>(),
        any::<u64>(),
        prop::option::of(any::<u64>()),
    )
        .prop_map(|(number, at_ns, live_bytes, goal_bytes)| Cycle {
            number,
            at_ns,
            live_bytes,
            goal_bytes,
            ..Cycle::default()
        });
    let baseline = (any::<u64>(), any::<bool>(), prop::option::of(any::<u64>())).prop_map(
        |(at_ns, is_attach, live_bytes)| Baseline {
            at_ns,
            is_attach,
            live_bytes,
            gc_cycles: None,
        },
    );
    (
        (
            target(),
            any::<u64>(),
            prop::option::of(".{0,30}"),
            any::<bool>(),
        ),
        (
            prop::option::of(any::<u64>()),
            any::<bool>(),
            prop::option::of(any::<(u64, u64, u64)>()),
        ),
        (
            prop::collection::vec(cycle, 0..20),
            any::<u64>(),
            prop::option::of(any::<u64>()),
            prop::collection::vec(estimated_cycle(), 0..20),
        ),
        (
            prop::option::of(any::<u64>()),
            prop::option::of((figure(), prop::option::of(figure()))),
        ),
        (
            any::<u64>(),
            any::<u64>(),
            any::<u64>(),
            any::<bool>(),
            any::<u64>(),
        ),
        (prop::collection::vec(baseline, 0..4), 0usize..5),
    )
        .prop_map(|(who, rate, gc, heap, counts, baselines)| {
            let mut reading = Reading::default();
            reading.target = who.0;
            reading.now_ns = who.1;
            if who.3 {
                reading.status = Status::Exited {
                    at_ns: who.1 / 2,
                    exit: Exit::of_wait_status(Some(9), None),
                    how: who.2,
                };
            }
            (
                reading.rate_bytes,
                reading.sampler_detached,
                reading.rate_changed,
            ) = rate;
            (reading.cycles, reading.cycles_seen, reading.gc_interval_ns) = (gc.0, gc.1, gc.2);
            reading.estimated_cycles = gc.3.into();
            reading.heap = HeapNow {
                live_bytes: heap.0,
                goal_bytes: heap.0,
                gc_cycles: None,
                rss_bytes: heap.0,
            };
            reading.overhead = heap.1.map(|(hits_per_sec, cpu_fraction)| Overhead {
                hits_per_sec: Some(hits_per_sec),
                cpu_fraction,
                hits: None,
            });
            reading.losses = Losses {
                lost: counts.0,
                repaired: counts.1,
                evicted: counts.2,
                ..Losses::default()
            };
            reading.duty = heap.1.map(|(wanted_cpu_fraction, on)| Duty {
                at_ns: who.1,
                on_fraction: on.unwrap_or(0.77),
                wanted_cpu_fraction,
                max_cpu_fraction: 0.01,
            });
            reading.ready = counts.3;
            reading.final_cycles = counts.4;
            (reading.baselines, reading.active_baseline) = baselines;
            reading
        })
}

fn word() -> impl Strategy<Value = Word> {
    prop::sample::select(vec![
        Word::Collecting,
        Word::Steady,
        Word::Warming,
        Word::Growing,
        Word::Growing,
        Word::Churn,
        Word::Idle,
    ])
}

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![
        Kind::Heap,
        Kind::Goroutines,
        Kind::Stacks,
        Kind::Cgo,
        Kind::Mmap,
        Kind::SpanWaste,
        Kind::IdleSpans,
        Kind::Garbage,
        Kind::Metadata,
        Kind::PageCache,
    ])
}

fn interval() -> impl Strategy<Value = Option<Interval>> {
    let interval =
        (figure(), figure(), figure()).prop_map(|(value, low, high)| Interval { value, low, high });
    prop::option::of(interval)
}

fn evidence() -> impl Strategy<Value = Evidence> {
    (interval(), interval(), any::<(u64, u64, u32)>(), figure()).prop_map(
        |(bytes_per_min, objects_per_min, counts, minutes)| Evidence {
            bytes_per_min,
            objects_per_min,
            born: counts.0,
            died: counts.1,
            cycles: counts.2,
            minutes,
            grows_with: (counts.2 % 2 == 0).then_some(GrowsWith::Load),
            steady_below_bytes_per_min: Some(minutes),
            survivors: Some((counts.0, counts.1)),
            oldest_cycles: Some(counts.2),
            ..Evidence::default()
        },
    )
}

fn named(name: Arc<str>) -> Arc<Frame> {
    Arc::new(Frame {
        function: name.clone(),
        file: name,
        ..Frame::unnamed(1)
    })
}

fn leak() -> impl Strategy<Value = Leak> {
    (
        (kind(), name(), name(), prop::option::of(name())),
        prop::collection::vec((evidence(), name()), 0..4),
        evidence(),
        prop::option::of(figure()),
        prop::option::of(figure()),
    )
        .prop_map(
            |(names, sites, evidence, share_bytes, share_objects)| Leak {
                letter: 'A',
                kind: names.0,
                word: Word::Growing,
                under: names.3.is_some().then(|| named(names.1)),
                kept: None,
                held: Vec::new(),
                since_start: None,
                via: names.3.map(named),
                sites: sites
                    .into_iter()
                    .map(|(evidence, name)| LeakSite {
                        row: Some(RowId(0)),
                        frame: named(name),
                        evidence,
                        share: None,
                    })
                    .collect(),
                evidence,
                share_bytes: share_bytes.map(|value| Interval {
                    value,
                    low: value,
                    high: value,
                }),
                share_objects,
                in_step: vec!['A'],
                driver: None,
            },
        )
}

fn findings() -> impl Strategy<Value = Findings> {
    let missing = (any::<u64>(), any::<u32>(), prop::option::of(figure())).prop_map(
        |(samples, cycles, answer_in_s)| Missing {
            samples,
            cycles,
            answer_in_s,
        },
    );
    let process = (
        (word(), prop::option::of(kind())),
        (interval(), interval()),
        prop::collection::vec((kind(), figure()), 0..5),
        prop::option::of(missing),
        prop::option::of(figure()),
    )
        .prop_map(|(word, rates, parts, missing, steady)| ProcessVerdict {
            word: word.0,
            kind: word.1,
            live_bytes_per_min: rates.0,
            rss_bytes_per_min: rates.1,
            parts: parts
                .into_iter()
                .map(|(kind, share)| GrowthPart {
                    kind,
                    bytes: share,
                    share,
                })
                .collect(),
            missing,
            steady_below_bytes_per_min: steady,
            ..ProcessVerdict::default()
        });
    let limit = (any::<u64>(), interval()).prop_map(|(bytes, in_s)| Limit {
        kind: LimitKind::GoMemLimit,
        bytes,
        room_bytes: bytes,
        grows: in_s.is_some(),
        in_s,
    });
    (
        process,
        prop::collection::vec(leak(), 0..4),
        prop::option::of(limit),
    )
        .prop_map(|(process, leaks, limit)| Findings {
            process,
            leaks,
            limit,
            ..Findings::default()
        })
}

fn goroutines() -> impl Strategy<Value = Goroutines> {
    let group = (
        any::<u32>(),
        (prop::option::of(name()), name()),
        any::<(u64, u64, u64)>(),
        prop::option::of(any::<i64>()),
        prop::option::of(word()),
        prop::collection::vec(name(), 0..20),
    )
        .prop_map(|(id, names, counts, growth, word, frames)| GoroutineGroup {
            id,
            created_by: names.0.map(named),
            start: named(names.1),
            is_runtime: counts.0.is_multiple_of(5),
            count: counts.0,
            growth,
            per_min: None,
            states: States {
                waiting: counts.1,
                running: counts.2,
                ..States::default()
            },
            waits: vec![("chan receive".into(), counts.1)],
            longest_wait_ns: growth.map(i64::unsigned_abs),
            stack_bytes: counts.2,
            stack_growth_bytes: growth,
            oldest: word.map(|_| ParkedStack {
                goid: 1,
                waiting_ns: Some(counts.2),
                frames: frames.into_iter().map(named).collect(),
                truncated: true,
            }),
            verdict: word.map(|word| Verdict {
                word,
                ..Verdict::default()
            }),
        });
    (
        any::<(u64, u64, u64, u64)>(),
        prop::collection::vec(group, 0..12),
        prop::collection::vec(any::<(u64, u64)>(), 0..20),
    )
        .prop_map(|(n, groups, history)| Goroutines {
            at_ns: n.0,
            took_ns: n.1,
            next_ns: n.2,
            count: n.3,
            groups,
            history: history
                .into_iter()
                .map(|(at_ns, count)| CountThen {
                    at_ns,
                    count,
                    stack_bytes: count,
                })
                .collect(),
            ..Goroutines::default()
        })
}

fn reading() -> impl Strategy<Value = Reading> {
    (
        process(),
        sites(),
        prop::collection::vec(stack(), 0..6),
        (
            findings(),
            prop::option::of(goroutines()),
            prop::collection::vec((word(), evidence(), prop::option::of(name())), 1..6),
        ),
    )
        .prop_map(|(mut reading, mut sites, stacks, judged)| {
            for site in sites.iter().take(5) {
                reading.stacks.insert(site.id, stacks.clone());
            }
            let (findings, goroutines, verdicts) = judged;
            for (site, (word, evidence, via)) in sites.iter_mut().zip(verdicts.iter().cycle()) {
                site.verdict = Some(Verdict {
                    word: *word,
                    evidence: evidence.clone(),
                });
                site.via = via.clone().map(named);
                site.leak = (*word == Word::Growing).then_some('A');
            }
            reading.findings = Arc::new(findings);
            reading.goroutines = goroutines.map(Arc::new);
            reading.sites = sites;
            reading
        })
}

fn input() -> impl Strategy<Value = Input> {
    let keys: Vec<Key> = "jkgGhldDucwiroasfx/:?bBey<> qv13455DD!redsi\u{301}世"
        .chars()
        .map(Key::Char)
        .collect();
    let others = vec![
        Key::Enter,
        Key::Esc,
        Key::Backspace,
        Key::Delete,
        Key::Tab,
        Key::BackTab,
        Key::Up,
        Key::Down,
        Key::Left,
        Key::Right,
        Key::Home,
        Key::End,
        Key::PageUp,
        Key::PageDown,
        Key::F(1),
        Key::Ctrl('u'),
        Key::Ctrl('d'),
        Key::Ctrl('w'),
        Key::Alt('b'),
        Key::Ctrl('k'),
        Key::Alt('d'),
        Key::Alt('f'),
    ];
    prop_oneof![
        8 => prop::sample::select(keys).prop_map(Input::Key),
        8 => prop::sample::select(others).prop_map(Input::Key),
        1 => ".{0,10}".prop_map(Input::Paste),
        2 => (0u16..220, 0u16..60).prop_map(|(x, y)| Input::Click { x, y }),
        1 => any::<bool>().prop_map(|down| Input::Wheel { down }),
        1 => size().prop_map(|(columns, rows)| Input::Resize(columns, rows)),
    ]
}

fn size() -> impl Strategy<Value = (u16, u16)> {
    prop_oneof![
        (1u16..260, 1u16..80),
        (60u16..130, 15u16..45),
        Just((80, 24))
    ]
}

/// Random events on few addresses, so that they meet.
fn event() -> impl Strategy<Value = Event> {
    let at = 0u64..600;
    let ns = |at: u64| at * 1_000_000_000;
    prop_oneof![
        (at.clone(), 0u64..20, 1u64..8).prop_map(move |(at, object, bucket)| Event::Probe(
            ProbeEvent::Born {
                at_ns: ns(at),
                object,
                bucket: bucket * 16
            }
        )),
        (at.clone(), 0u64..20, 1u64..8).prop_map(move |(at, object, bucket)| Event::Probe(
            ProbeEvent::Freed {
                at_ns: ns(at),
                object,
                bucket: bucket * 16
            }
        )),
        at.clone()
            .prop_map(move |at| Event::Probe(ProbeEvent::GcStart {
                at_ns: ns(at),
                heap_bytes: None
            })),
        (at.clone(), any::<u32>()).prop_map(move |(at, live)| Event::Probe(ProbeEvent::GcMarked {
            at_ns: ns(at),
            live_bytes: live.into(),
            cycle: None,
            heap_bytes: None
        })),
        at.clone().prop_map(move |at| Event::Tick { at_ns: ns(at) }),
        at.clone()
            .prop_map(move |at| Event::MarkBaseline { at_ns: ns(at) }),
        (0usize..4).prop_map(|index| Event::UseBaseline { at_ns: 0, index }),
        (at.clone(), any::<u32>()).prop_map(move |(at, lost)| Event::Kernel(KernelCounters {
            at_ns: ns(at),
            undecodable: lost.into(),
            ..KernelCounters::default()
        })),
        (at.clone(), any::<u32>(), 0u64..600_000).prop_map(move |(at, cycles, rate_bytes)| {
            Event::Heap(HeapRead {
                at_ns: ns(at),
                runtime: Some(HeapFigures {
                    gc_cycles: cycles % 50,
                    live_bytes: cycles.into(),
                    goal_bytes: None,
                    rate_bytes,
                    prof_cycle: ProfCycle(0),
                    swept: true,
                    ..HeapFigures::default()
                }),
                rss_bytes: None,
            })
        }),
        prop::collection::vec((1u64..8, 0u64..1000, 0u64..1000), 0..8)
            .prop_map(|buckets| first_read(&buckets)),
        prop::collection::vec((1u64..200, name()), 0..20).prop_map(|names| {
            let frame = |function: Arc<str>| {
                Arc::new(Frame {
                    function,
                    entry: 1,
                    ..Frame::unnamed(1)
                })
            };
            Event::Named {
                at_ns: 0,
                names: names
                    .into_iter()
                    .map(|(pc, name)| (pc, frame(name)))
                    .collect(),
            }
        }),
        (at.clone(), any::<(u32, u32, u32, u32)>(), any::<bool>()).prop_map(
            move |(at, n, limited)| { Event::Anatomy(Box::new(anatomy(ns(at), n, limited))) }
        ),
        Just(Event::Exited {
            at_ns: ns(700),
            exit: Exit::of_wait_status(Some(9), Some(true)),
            how: None
        }),
    ]
}

fn anatomy(at_ns: u64, n: (u32, u32, u32, u32), limited: bool) -> AnatomyRead {
    let [rss, globals, anon, usage] = [n.0, n.1, n.2, n.3].map(u64::from);
    let limit = CgroupLimit {
        limit_bytes: usage.saturating_mul(3),
        usage_bytes: usage,
    };
    AnatomyRead {
        at_ns,
        kernel: KernelMemory {
            rss_bytes: rss,
            file_bytes: globals,
            swap_bytes: anon,
            ..KernelMemory::default()
        },
        pages: PageTables {
            globals_bytes: globals,
            other_anon_bytes: anon,
            ..PageTables::default()
        },
        cgroup: limited.then(|| CgroupRead {
            usage_bytes: usage,
            anon_bytes: Some(anon),
            file_bytes: rss.is_multiple_of(2).then_some(globals),
            max: rss.is_multiple_of(3).then_some(limit),
            high: Some(limit),
            ..CgroupRead::default()
        }),
        ..AnatomyRead::default()
    }
}

fn first_read(buckets: &[(u64, u64, u64)]) -> Event {
    let new = |&(bucket, size, _): &(u64, u64, u64)| NewBucket {
        addr: bucket * 16,
        object_bytes: size,
        pcs: [bucket * 16 + 1, bucket * 16 + 2].into(),
        n_frames: 2,
        go_type: None,
    };
    let counts = |&(bucket, allocs, frees): &(u64, u64, u64)| {
        let total = Counts {
            allocs,
            frees: frees.min(allocs),
        };
        (
            bucket * 16,
            BucketCounts {
                total,
                born_since_mark: 0,
            },
        )
    };
    Event::Buckets(BucketsRead {
        cycle: Some(1),
        swept: true,
        new: buckets.iter().map(new).collect(),
        counts: buckets.iter().map(counts).collect(),
        complete: true,
        ..BucketsRead::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn any_reading_makes_a_frame_that_fits(
        reading in reading(),
        sizes in prop::collection::vec(size(), 1..3),
        inputs in prop::collection::vec(input(), 0..30),
    ) {
        let model = Model::default();
        let mut ui = UiState::new(Options::default()).with_reading(reading, sizes[0]);
        for &size in &sizes {
            check(&frame(&ui.clone().with_size(size)))?;
        }
        // Paused, the made up moment stays while keys act on it.
        ui.toggle_pause(&model);
        for input in inputs {
            let was_resized = matches!(input, Input::Resize(..));
            if ui.is_paused() || was_resized {
                handle(&mut ui, input, &model);
            }
            check(&frame(&ui))?;
        }
    }

    #[test]
    fn any_events_and_inputs_make_frames_that_fit(
        steps in prop::collection::vec((prop::collection::vec(event(), 0..12), prop::option::of(input())), 1..12),
        size in size(),
    ) {
        let mut model = Model::replay([Event::attached(Target::default())]);
        let mut ui = UiState::new(Options::default());
        ui.refresh(&model, size);
        for (events, input) in steps {
            for event in events {
                model.apply(event);
            }
            if let Some(input) = input {
                handle(&mut ui, input, &model);
            }
            let size = ui.size();
            check(&view(&model, &mut ui, size))?;
        }
    }

    #[test]
    fn the_order_is_total(sites in sites(), key in 0..SortKey::ALL.len(), reversed: bool, objects: bool) {
        let sort = Sort { key: SortKey::ALL[key].0, reversed };
        for a in &sites {
            for b in &sites {
                prop_assert_eq!(sort.compare(a, b, objects), sort.compare(b, a, objects).reverse());
            }
        }
        let mut sorted: Vec<&SiteRow> = sites.iter().collect();
        // Panics by itself if the order is not total.
        sorted.sort_by(|a, b| sort.compare(a, b, objects));
    }
}

#[test]
fn rows_on_the_screen_are_never_equal() {
    let mut reading = Reading::default();
    reading.ready = true;
    for id in 0..8 {
        reading.sites.push(SiteRow {
            id: RowId(id),
            function: format!(
                "example.com/very/long/module/path{id}/package.(*Receiver).MethodWithALongName"
            )
            .into(),
            go_type: None,
            file: "".into(),
            line: 0,
            inuse: Estimate {
                bytes: 1e6,
                ..Estimate::default()
            },
            samples: 2,
            growth: None,
            growth_samples: 0,
            rate: None,
            alloc: Allocated::default(),
            kept: None,
            trend: Vec::new(),
            trend_err: 0.0,
            verdict: None,
            via: None,
            leak: None,
        });
    }
    let ui = UiState::new(Options::default()).with_reading(reading, (80, 24));
    let state = frame(&ui);
    let table = state.panel(PanelKind::Table).expect("a table");
    let mut texts: Vec<String> = table.lines[1..9]
        .iter()
        .map(|line| line.text().replace('>', " "))
        .collect();
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), 8);
}
