//! The diagnosis by stories: births, deaths and cycles in, leaks out.

mod history;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use proptest::prelude::*;

use super::super::Model;
use super::super::findings::{Findings, Kind, Word};
use super::super::rows::{GroupBy, Query, SiteRow, Source, Target};
use crate::event::{AnatomyRead, Birth, BucketsRead, Event, HeapRead, ProbeEvent};
use crate::go::buckets::{BucketCounts, Counts, NewBucket, ProfCycle};
use crate::go::frame::Frame;
use crate::go::memstats::HeapFigures;

const SECOND_NS: u64 = 1_000_000_000;
const START_NS: u64 = 100 * SECOND_NS;
const RATE_BYTES: u64 = 524_288;
const ATTACHED_UNIX_S: i64 = 1_000_000;
/// Seconds between two cycles.
const GC_S: u64 = 5;
const OBJECT_BYTES: u64 = 64;
/// Bytes that a sample stands for: one is taken per 512 KiB, and each of spans has this weight.
const SAMPLE_BYTES: u64 = 512 << 10;

/// A function that is inlined into its caller.
const INLINED: &str = "main.inlined";

/// How the samples of a stack come and go.
#[derive(Clone, Copy)]
struct Behaviour {
    /// Births a minute.
    per_min: f64,
    /// Seconds that each lives; 0: for ever.
    lives_s: u64,
    /// No births after so many seconds.
    until_s: u64,
}

const ALWAYS: u64 = u64::MAX;

fn leaks(per_min: f64) -> Behaviour {
    Behaviour {
        per_min,
        lives_s: 0,
        until_s: ALWAYS,
    }
}

fn churns(per_min: f64) -> Behaviour {
    Behaviour {
        per_min,
        lives_s: 1,
        until_s: ALWAYS,
    }
}

/// A program of which only its samples are known.
struct World {
    model: Model,
    source: Source,
    second: u64,
    stacks: Vec<(Vec<&'static str>, Behaviour)>,
    pcs: BTreeMap<&'static str, u64>,
    /// Object, bucket, second of death.
    live: Vec<(u64, u64, u64)>,
    counts: HashMap<u64, Counts>,
    next_object: u64,
    cycles: u32,
    random: u64,
}

impl World {
    fn new(source: Source, stacks: Vec<(Vec<&'static str>, Behaviour)>) -> Self {
        Self::after(600, source, stacks, &[])
    }

    /// A program that has run for `uptime_s`, and what its buckets counted by then.
    fn after(
        uptime_s: i64,
        source: Source,
        stacks: Vec<(Vec<&'static str>, Behaviour)>,
        before: &[Counts],
    ) -> Self {
        let mut world = Self {
            model: Model::replay([Event::attached(Target {
                source,
                attached_ns: START_NS,
                attached_unix_ns: ATTACHED_UNIX_S * 1_000_000_000,
                started_unix_ns: (ATTACHED_UNIX_S - uptime_s) * 1_000_000_000,
                main_module: Some("gateway".to_owned()),
                ..Target::default()
            })]),
            source,
            second: 0,
            stacks,
            pcs: BTreeMap::new(),
            live: Vec::new(),
            counts: HashMap::new(),
            next_object: 0x10_0000,
            cycles: 7,
            random: 1,
        };
        world.heap();
        let new: Vec<NewBucket> = (0..world.stacks.len()).map(|i| world.bucket(i)).collect();
        let (buckets, sites) = match source {
            Source::Spans | Source::Exact => (Vec::new(), new),
            _ => (new, Vec::new()),
        };
        let counts: Vec<(u64, BucketCounts)> = buckets
            .iter()
            .zip(
                before
                    .iter()
                    .copied()
                    .chain(std::iter::repeat(Counts::default())),
            )
            .map(|(b, total)| {
                let counts = BucketCounts {
                    total,
                    born_since_mark: 0,
                };
                (b.addr, counts)
            })
            .collect();
        world.counts = counts.iter().map(|(addr, of)| (*addr, of.total)).collect();
        world.apply(Event::Buckets(BucketsRead {
            from_ns: START_NS,
            to_ns: START_NS + 1,
            cycle: Some(7),
            swept: true,
            new: buckets,
            counts,
            complete: true,
            ..BucketsRead::default()
        }));
        world.apply(Event::Sites { at_ns: 0, sites });
        world
    }

    fn bucket(&mut self, i: usize) -> NewBucket {
        let names = self.stacks[i].0.clone();
        let pcs: Vec<u64> = names
            .iter()
            .map(|name| {
                let next = 0x1000 + self.pcs.len() as u64;
                *self.pcs.entry(name).or_insert(next)
            })
            .collect();
        NewBucket {
            addr: 0x100 + i as u64,
            object_bytes: 64,
            n_frames: u32::try_from(pcs.len()).unwrap_or(0),
            pcs: pcs.into(),
            go_type: None,
        }
    }

    fn at_ns(&self) -> u64 {
        START_NS + self.second * SECOND_NS
    }

    /// As the session does: names follow whatever is applied.
    fn apply(&mut self, event: Event) {
        self.model.apply(event);
        loop {
            let wanted = self.model.wanted_names(4);
            if wanted.is_empty() {
                return;
            }
            let name = |pc: u64| {
                let found = self.pcs.iter().find(|(_, known)| **known == pc);
                found.map_or("main.unknown", |(name, _)| *name)
            };
            let frame = |pc: u64| Frame {
                function: name(pc).into(),
                entry: 1,
                inlined: name(pc) == INLINED,
                ..Frame::unnamed(pc)
            };
            let named = wanted.iter().map(|&pc| (pc, Arc::new(frame(pc)))).collect();
            self.model.apply(Event::Named {
                at_ns: 0,
                names: named,
            });
        }
    }

    fn heap(&mut self) {
        let at_ns = self.at_ns();
        self.model.apply(Event::Heap(HeapRead {
            at_ns,
            runtime: Some(HeapFigures {
                gc_cycles: self.cycles,
                live_bytes: self.live_bytes(),
                total_alloc_bytes: self.next_object * SAMPLE_BYTES / OBJECT_BYTES,
                goal_bytes: Some(2 << 20),
                rate_bytes: if self.source == Source::Spans {
                    0
                } else {
                    RATE_BYTES
                },
                prof_cycle: ProfCycle(self.cycles << 1),
                swept: true,
                // A cycle as long before the attach as those after it are apart.
                last_gc_unix_ns: (ATTACHED_UNIX_S as u64 - GC_S) * SECOND_NS,
                ..HeapFigures::default()
            }),
            rss_bytes: Some(8 << 20),
        }));
    }

    /// The heap after GC that the live samples stand for.
    fn live_bytes(&self) -> u64 {
        (20 << 20) + SAMPLE_BYTES * self.live.len() as u64
    }

    fn chance(&mut self) -> f64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.random >> 11) as f64 / (1u64 << 53) as f64
    }

    fn birth(&mut self, i: usize) {
        let (object, bucket) = (self.next_object, 0x100 + i as u64);
        self.next_object += OBJECT_BYTES;
        let lives_s = self.stacks[i].1.lives_s;
        let dies = if lives_s == 0 {
            ALWAYS
        } else {
            self.second + lives_s
        };
        self.live.push((object, bucket, dies));
        self.counts.entry(bucket).or_default().allocs += 1;
        let at_ns = self.at_ns();
        match self.source {
            Source::Sampler => self.model.apply(Event::Probe(ProbeEvent::Born {
                at_ns,
                object,
                bucket,
            })),
            Source::Spans | Source::Exact => self.model.apply(Event::Births(vec![Birth {
                at_ns,
                object,
                bucket,
                weight: 8192.0,
            }])),
            Source::Buckets => {}
        }
    }

    fn collect(&mut self) {
        let at_ns = self.at_ns();
        let second = self.second;
        let (dead, live) = std::mem::take(&mut self.live)
            .into_iter()
            .partition(|(_, _, dies)| *dies <= second);
        self.live = live;
        self.cycles += 1;
        let dead: Vec<(u64, u64, u64)> = dead;
        for (_, bucket, _) in &dead {
            self.counts.entry(*bucket).or_default().frees += 1;
        }
        if self.source == Source::Buckets {
            self.heap();
            self.second += 1;
            let counts = self.counts.iter().map(|(&addr, &total)| {
                (
                    addr,
                    BucketCounts {
                        total,
                        born_since_mark: 0,
                    },
                )
            });
            let counts: Vec<(u64, BucketCounts)> = counts.collect();
            let at_ns = self.at_ns();
            self.apply(Event::Buckets(BucketsRead {
                from_ns: at_ns,
                to_ns: at_ns + 1,
                cycle: Some(self.cycles),
                swept: true,
                counts,
                complete: true,
                ..BucketsRead::default()
            }));
            return;
        }
        self.model.apply(Event::Probe(ProbeEvent::GcStart {
            at_ns,
            heap_bytes: None,
        }));
        self.model.apply(Event::Probe(ProbeEvent::GcMarked {
            at_ns,
            live_bytes: self.live_bytes(),
            cycle: None,
            heap_bytes: None,
        }));
        if self.source == Source::Sampler {
            for (object, bucket, _) in dead {
                self.model.apply(Event::Probe(ProbeEvent::Freed {
                    at_ns: at_ns + 1,
                    object,
                    bucket,
                }));
            }
        } else {
            let objects = dead.iter().map(|(object, ..)| *object).collect();
            self.model.apply(Event::Dead {
                at_ns: at_ns + 1,
                objects,
            });
            self.model.apply(Event::MarksRead {
                at_ns: at_ns + 2,
                number: self.cycles,
            });
        }
    }

    fn run(&mut self, seconds: u64) {
        let until = self.second + seconds;
        while self.second < until {
            self.second += 1;
            for i in 0..self.stacks.len() {
                let behaviour = self.stacks[i].1;
                let mut due = behaviour.per_min / 60.0;
                while self.second <= behaviour.until_s && due > 0.0 {
                    if self.chance() < due {
                        self.birth(i);
                    }
                    due -= 1.0;
                }
            }
            if self.second.is_multiple_of(GC_S) {
                self.collect();
            }
            if self.source != Source::Buckets {
                self.heap();
            }
            let at_ns = self.at_ns();
            self.apply(Event::Tick { at_ns });
        }
    }

    fn findings(&self) -> Arc<Findings> {
        self.model.findings()
    }

    fn row(&self, function: &str, cumulative: bool) -> SiteRow {
        let query = Query {
            by: GroupBy::Function,
            cumulative,
        };
        let mut rows = self.model.sites(&query).into_iter();
        let row = rows.find(|row| &*row.function == function);
        row.unwrap_or_else(|| panic!("no row {function}"))
    }
}

fn word(row: &SiteRow) -> Word {
    row.verdict.clone().unwrap_or_default().word
}

/// Letter, what it is under, and its sites by name.
fn named(findings: &Findings) -> Vec<(char, &str, Vec<&str>)> {
    findings
        .leaks
        .iter()
        .map(|leak| {
            let mut sites: Vec<&str> = leak.sites.iter().map(|s| &*s.frame.function).collect();
            sites.sort_unstable();
            (leak.letter, leak.function(), sites)
        })
        .collect()
}

/// The server that all requests pass, below the library.
const SERVE: &str = "main.(*gateway).ServeHTTP";
const CONN: &str = "net/http.(*conn).serve";

/// Two leaks of one gateway, beside a cache that is full and what each request throws away.
fn gateway() -> Vec<(Vec<&'static str>, Behaviour)> {
    let (meter, handler) = (
        "go.opentelemetry.io/otel/api.(*meter).Int64Counter",
        "go.opentelemetry.io/otel/otelhttp.NewHandler",
    );
    let histogram = "go.opentelemetry.io/otel/api.(*meter).Float64Histogram";
    let (set, create) = ("gateway/memory.(*Cache).Set", "gateway/limit.Create");
    let forward = "gateway/session.ForwardMessage";
    vec![
        (
            vec![
                "runtime.newobject",
                meter,
                handler,
                "gateway/api.observe",
                SERVE,
                CONN,
            ],
            leaks(24.0),
        ),
        (
            vec![histogram, handler, "gateway/api.observe", SERVE, CONN],
            leaks(18.0),
        ),
        (vec![set, create, forward, SERVE, CONN], leaks(14.0)),
        (vec![create, forward, SERVE, CONN], leaks(13.0)),
        (vec![forward, SERVE, CONN], leaks(12.0)),
        (
            vec!["strings.Clone", "gateway/lru.Add", SERVE, CONN],
            Behaviour {
                per_min: 60.0,
                lives_s: 90,
                until_s: ALWAYS,
            },
        ),
        (
            vec!["bytes.growSlice", "gateway/api.body", SERVE, CONN],
            churns(300.0),
        ),
        (vec!["net/textproto.readMIMEHeader", CONN], churns(150.0)),
    ]
}

#[test]
fn two_leaks_of_one_gateway_are_told_apart_named_and_kept() {
    let mut world = World::new(Source::Sampler, gateway());
    world.run(120);
    assert!(world.findings().leaks.is_empty());
    assert_eq!(
        word(&world.row("gateway/memory.(*Cache).Set", false)),
        Word::Collecting
    );
    world.run(210);
    let findings = world.findings();
    let leaks = named(&findings);
    let meters = (
        "go.opentelemetry.io/otel/otelhttp.NewHandler",
        vec![
            "go.opentelemetry.io/otel/api.(*meter).Float64Histogram",
            "go.opentelemetry.io/otel/api.(*meter).Int64Counter",
        ],
    );
    let buckets = (
        "gateway/session.ForwardMessage",
        vec![
            "gateway/limit.Create",
            "gateway/memory.(*Cache).Set",
            "gateway/session.ForwardMessage",
        ],
    );
    let mut of: Vec<_> = leaks
        .iter()
        .map(|(_, under, sites)| (*under, sites.clone()))
        .collect();
    of.sort();
    assert_eq!(of, [buckets, meters], "{leaks:?}");
    assert_eq!(leaks.iter().map(|l| l.0).collect::<String>().len(), 2);
    assert_eq!(findings.process.word, Word::Growing);
    let slope = findings.process.live_bytes_per_min.unwrap();
    // 81 samples a minute leak, and the LRU fills by 90 once.
    let per_min = (81.0 + 90.0 / 5.5) * RATE_BYTES as f64;
    assert!(slope.low < per_min && per_min < slope.high, "{slope:?}");
    let by_name = |under: &str| {
        findings
            .leaks
            .iter()
            .find(|l| l.function() == under)
            .unwrap()
    };
    let meters = by_name("go.opentelemetry.io/otel/otelhttp.NewHandler");
    assert_eq!(
        meters
            .via
            .as_ref()
            .map(|f| f.function.to_string())
            .as_deref(),
        Some("gateway/api.observe")
    );
    let site = meters.sites[0].evidence.clone();
    let (live, judged) = site.survivors.unwrap();
    assert!(
        live == judged && judged > 25 && site.oldest_cycles > Some(30),
        "{site:?}"
    );
    let row = world.row("gateway/memory.(*Cache).Set", false);
    assert_eq!(
        (word(&row), row.leak),
        (
            Word::Growing,
            Some(by_name("gateway/session.ForwardMessage").letter)
        )
    );
    assert_eq!(row.via.unwrap().function.as_ref(), "gateway/limit.Create");
    assert_eq!(word(&world.row("bytes.growSlice", false)), Word::Churn);
    assert_ne!(word(&world.row("strings.Clone", false)), Word::Growing);
    let below = world.row("gateway/session.ForwardMessage", true);
    assert_eq!(word(&below), Word::Growing);

    let letters: BTreeMap<String, char> = findings
        .leaks
        .iter()
        .map(|l| (l.function().to_owned(), l.letter))
        .collect();
    world.run(360);
    for leak in &world.findings().leaks {
        assert_eq!(letters.get(leak.function()), Some(&leak.letter));
    }
    assert_eq!(world.findings().leaks.len(), 2);
}

#[test]
fn one_leak_spread_over_three_sites_is_found_by_its_sum() {
    let stacks = vec![
        (
            vec!["gateway/a.New", "gateway/set.Put", SERVE, CONN],
            leaks(6.0),
        ),
        (
            vec!["gateway/b.New", "gateway/set.Put", SERVE, CONN],
            leaks(6.0),
        ),
        (
            vec!["gateway/c.New", "gateway/set.Put", SERVE, CONN],
            leaks(6.0),
        ),
        (vec!["bytes.growSlice", SERVE, CONN], churns(300.0)),
    ];
    let mut world = World::new(Source::Sampler, stacks);
    world.run(270);
    let findings = world.findings();
    assert_eq!(
        named(&findings),
        [(
            'A',
            "gateway/set.Put",
            vec!["gateway/a.New", "gateway/b.New", "gateway/c.New"]
        )]
    );
    assert_eq!(world.row("gateway/a.New", false).leak, Some('A'));
}

#[test]
fn the_first_seconds_of_spans_have_no_rate() {
    let stacks = vec![
        (vec!["gateway/handle", SERVE, CONN], churns(6000.0)),
        (vec!["gateway/set.Put", SERVE, CONN], churns(600.0)),
    ];
    let mut world = World::new(Source::Spans, stacks);
    for _ in 0..9 {
        world.run(1);
        let second = world.second;
        for function in ["gateway/handle", "gateway/set.Put"] {
            let mut rows = world.model.sites(&Query {
                by: GroupBy::Function,
                cumulative: false,
            });
            rows.retain(|row| &*row.function == function);
            let known = rows.iter().find(|row| row.rate.is_some());
            assert!(known.is_none(), "{second} s: {known:?}");
        }
        let process = world.findings().process.clone();
        assert_eq!(process.live_bytes_per_min, None, "{second} s");
        assert_eq!(process.rss_bytes_per_min, None, "{second} s");
    }
}

/// A leak below a framework: no frame of the main module is on the stacks, most of what the process allocates comes from one
/// handler, and the site is a helper for what stays and for what does not.
#[test]
fn a_leak_in_a_library_has_its_caller() {
    const COPY: &str = "example.com/lib/keys.Copy";
    const HANDLE: &str = "example.com/lib/middleware.(*Locker).handle";
    const SERVE: &str = "example.com/lib/middleware.Serve";
    const STATIC: &str = "example.com/lib/middleware.answer";
    for shares_its_caller in [true, false] {
        let churn = if shares_its_caller { HANDLE } else { STATIC };
        let stacks = vec![
            (vec![COPY, HANDLE, SERVE], leaks(60.0)),
            (vec![COPY, churn, SERVE], churns(240.0)),
            (
                vec!["example.com/lib/middleware.(*Locker).lock", HANDLE, SERVE],
                leaks(60.0),
            ),
        ];
        let mut world = World::new(Source::Spans, stacks);
        world.run(300);
        let findings = world.findings();
        assert!(!findings.leaks.is_empty());
        for leak in &findings.leaks {
            let via = leak.via.as_ref().map(|frame| frame.function.to_string());
            let is_under_handle = leak.function() == HANDLE;
            assert!(
                via.as_deref() == Some(if is_under_handle { SERVE } else { HANDLE }),
                "{}: {via:?}",
                leak.function()
            );
        }
        let row = world.row(COPY, false);
        assert_eq!(row.via.unwrap().function.as_ref(), HANDLE);
    }
}

#[test]
fn every_source_finds_a_leak_and_lets_a_full_cache_be() {
    for source in [
        Source::Sampler,
        Source::Spans,
        Source::Exact,
        Source::Buckets,
    ] {
        let stacks = vec![
            (
                vec!["gateway/a.New", "gateway/set.Put", SERVE, CONN],
                leaks(30.0),
            ),
            (
                vec!["gateway/lru.Add", SERVE, CONN],
                Behaviour {
                    per_min: 60.0,
                    lives_s: 60,
                    until_s: ALWAYS,
                },
            ),
            (vec!["bytes.growSlice", SERVE, CONN], churns(300.0)),
        ];
        let mut world = World::new(source, stacks);
        world.run(360);
        let findings = world.findings();
        assert_eq!(
            named(&findings),
            [('A', "gateway/a.New", vec!["gateway/a.New"])],
            "{source:?}"
        );
        assert_ne!(word(&world.row("gateway/lru.Add", false)), Word::Growing);
        assert_eq!(
            findings.leaks[0].share_bytes.map(|s| s.value > 0.6),
            Some(true)
        );
        assert_eq!(
            world
                .row("gateway/a.New", false)
                .via
                .unwrap()
                .function
                .as_ref(),
            "gateway/set.Put"
        );
    }
}

#[test]
fn a_row_of_library_code_has_the_caller_as_of_the_last_evaluation() {
    const CLONE: &str = "github.com/h/buf.Clone";
    const COPY: &str = "github.com/h/buf.Copy";
    const KEEP: &str = "github.com/h/store.Keep";
    let world = || {
        let stacks = vec![
            (vec![CLONE, COPY, KEEP, CONN], leaks(30.0)),
            (
                vec![CLONE, COPY, "github.com/h/proxy.Forward", CONN],
                churns(300.0),
            ),
        ];
        World::new(Source::Sampler, stacks)
    };
    let via = |world: &World| {
        let via = world.row(CLONE, false).via;
        via.map(|frame| frame.function.to_string())
    };
    let (mut asked, mut silent) = (world(), world());
    for _ in 0..60 {
        asked.run(4);
        silent.run(4);
        via(&asked);
    }
    assert_eq!(via(&asked).as_deref(), Some(KEEP));
    assert_eq!(via(&asked), via(&silent), "queries change nothing");
}

#[test]
fn a_fill_that_has_stopped_is_no_leak_any_more() {
    let stacks = vec![
        (
            vec!["gateway/lru.Add", SERVE, CONN],
            Behaviour {
                per_min: 60.0,
                lives_s: 0,
                until_s: 240,
            },
        ),
        (vec!["bytes.growSlice", SERVE, CONN], churns(300.0)),
    ];
    let mut world = World::new(Source::Sampler, stacks);
    world.run(210);
    assert_eq!(world.findings().leaks.len(), 1);
    world.run(240);
    assert!(world.findings().leaks.is_empty(), "{:?}", world.findings());
    assert_ne!(world.findings().process.word, Word::Growing);
}

/// A process whose heap only turns over, and whose stacks have `mib` MiB after so many minutes: its word, and what it is
/// said to rise, at each reading.
fn words_beside_stacks(mib: impl Fn(f64) -> f64) -> Vec<(Word, Option<Kind>)> {
    let turns_over = vec![(vec!["gateway/json.Encode", SERVE, CONN], churns(60.0))];
    let mut world = World::new(Source::Sampler, turns_over);
    let mut words = Vec::new();
    for reading in 0..120 {
        world.run(GC_S);
        let mut read = AnatomyRead {
            at_ns: world.at_ns(),
            ..AnatomyRead::default()
        };
        let minutes = f64::from(reading) * GC_S as f64 / 60.0;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a test's bytes"
        )]
        let stacks = (mib(minutes) * 1_048_576.0) as u64;
        read.census.stacks.resident_bytes = stacks;
        read.kernel.rss_bytes = stacks;
        world.apply(Event::Anatomy(Box::new(read)));
        let process = &world.findings().process;
        words.push((process.word, process.rising));
    }
    words
}

#[test]
fn stacks_that_rise_are_told_beside_a_level_heap() {
    let level = words_beside_stacks(|_| 20.0);
    assert_eq!(level.last(), Some(&(Word::Steady, None)));
    let uneven = words_beside_stacks(|t| 20.0 + 5.0 * t + 4.0 * (t * 1.3).sin());
    let told = Some(Kind::Stacks);
    let is_told = |(word, rising): &(Word, Option<Kind>)| *word != Word::Steady || *rising == told;
    assert!(uneven.iter().all(is_told));
    assert_eq!(uneven.last(), Some(&(Word::Steady, told)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_events_break_it_and_letters_are_unique(events in prop::collection::vec(
        (0u8..8, 0u64..6, 0u64..40, 0u64..40), 0..300))
    {
        let mut world = World::new(Source::Sampler, gateway());
        let mut at_ns = START_NS;
        for (kind, bucket, object, seconds) in events {
            let bucket = 0x100 + bucket;
            at_ns += seconds * SECOND_NS;
            world.apply(match kind {
                0..=3 => Event::Probe(ProbeEvent::Born { at_ns, object, bucket }),
                4 => Event::Probe(ProbeEvent::Freed { at_ns, object, bucket }),
                5 => Event::Probe(ProbeEvent::GcStart { at_ns, heap_bytes: None }),
                6 => Event::Probe(ProbeEvent::GcMarked { at_ns, live_bytes: 1 , cycle: None, heap_bytes: None }),
                _ => Event::SamplerDetached { at_ns },
            });
            let findings = world.findings();
            let entries = findings.leaks.iter().map(|leak| (leak.letter, leak.kind));
            let unique: BTreeSet<(char, Kind)> = entries.collect();
            prop_assert_eq!(unique.len(), findings.leaks.len());
        }
        world.model.sites(&Query::default());
    }
}

#[test]
fn counts_no_function_that_is_inlined_on_a_stack_of_the_leak() {
    let stack = vec![
        "main.store",
        INLINED,
        "main.reload",
        "main.loop",
        "main.main",
    ];
    let mut world = World::new(Source::Sampler, vec![(stack, leaks(60.0))]);
    world.run(600);
    let candidates: Vec<&str> = world.model.candidates().iter().map(|of| &**of).collect();
    assert_eq!(candidates, ["main.store", "main.reload", "main.loop"]);
}
