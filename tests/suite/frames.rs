//! Frames of the live screen, drawn on a test terminal from models that events made. Read a snapshot before accepting it.

mod judged;

use std::fmt::Write as _;
use std::sync::Arc;

use heaptop::event::{
    Attached, Birth, BucketsRead, Duty, Event, HeapRead, KernelCounters, ProbeEvent,
};
use heaptop::export::json::line;
use heaptop::go::buckets::{BucketCounts, Counts, NewBucket, ProfCycle};
use heaptop::go::frame::Frame;
use heaptop::go::memstats::HeapFigures;
use heaptop::model::Model;
use heaptop::model::rows::{Exit, GroupBy, History, Source, Target};
use heaptop::ui::draw::{Look, draw};
use heaptop::ui::glyphs::Glyphs;
use heaptop::ui::theme::{Depth, Theme};
use heaptop::view::input::{Action, Input, Key, handle};
use heaptop::view::order::Sort;
use heaptop::view::popup::Export;
use heaptop::view::{Options, TextOptions, UiState, text_block, view};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};
use unicode_width::UnicodeWidthStr as _;

const SECOND: u64 = 1_000_000_000;
const ATTACH_NS: u64 = 1_000 * SECOND;
const GC_EVERY_NS: u64 = 32 * SECOND;
/// 2026-11-21T02:58:40Z.
const ATTACH_UNIX_NS: i64 = 1_795_229_920_000_000_000;
const SIZES: [(u16, u16); 4] = [(80, 24), (120, 40), (60, 15), (200, 60)];

/// A site of the story: function, file, line, bytes of an object, live samples at the attach, births and frees a cycle.
type Site = (&'static str, &'static str, u32, u64, u64, (u64, u64));

const TYK: &[Site] = &[
    (
        "github.com/TykTechnologies/tyk/internal/memorycache.(*Cache).Set",
        "/src/tyk/internal/memorycache/cache.go",
        30,
        48,
        1383,
        (2, 0),
    ),
    (
        "github.com/TykTechnologies/tyk/internal/memorycache.(*BucketStorage).Create",
        "/src/tyk/internal/memorycache/storage.go",
        29,
        64,
        1070,
        (1, 0),
    ),
    (
        "github.com/TykTechnologies/tyk/gateway.(*SessionLimiter).ForwardMessage",
        "/src/tyk/gateway/session_manager.go",
        381,
        96,
        1062,
        (1, 0),
    ),
    (
        "github.com/getkin/kin-openapi/openapi3.(*Schema).UnmarshalJSON",
        "/go/kin-openapi/openapi3/schema.go",
        201,
        512,
        45,
        (0, 0),
    ),
    (
        "bufio.NewReaderSize",
        "/go/src/bufio/bufio.go",
        57,
        4096,
        37,
        (1, 1),
    ),
    (
        "compress/flate.NewWriter",
        "/go/src/compress/flate/deflate.go",
        671,
        663_552,
        20,
        (1, 1),
    ),
    (
        "encoding/json.(*decodeState).literalStore",
        "/go/src/encoding/json/decode.go",
        947,
        32,
        18,
        (6, 6),
    ),
    (
        "google.golang.org/protobuf/internal/filedesc.(*File).unmarshalSeed",
        "/go/protobuf/internal/filedesc/desc_init.go",
        99,
        1024,
        14,
        (0, 0),
    ),
    (
        "crypto/x509.parseCertificate",
        "/go/src/crypto/x509/parser.go",
        880,
        1792,
        11,
        (0, 0),
    ),
    (
        "net/textproto.readMIMEHeader",
        "/go/src/net/textproto/reader.go",
        506,
        336,
        9,
        (3, 3),
    ),
    (
        "regexp.(*Regexp).FindAllStringSubmatch",
        "/go/src/regexp/regexp.go",
        1187,
        160,
        1,
        (0, 0),
    ),
];

/// A model and the time in it.
struct Story {
    model: Model,
    sites: Vec<Site>,
    now_ns: u64,
    cycle: u32,
    live_bytes: u64,
    rate_bytes: u64,
    next_object: u64,
    /// Objects that may be freed, by site.
    alive: Vec<Vec<u64>>,
}

impl Story {
    /// A process that heaptop has just begun to watch: nothing is read yet.
    fn attaching(source: Source) -> Self {
        let target = Target {
            pid: Some(4121),
            name: "tyk".to_owned(),
            go: "go1.24.6".to_owned(),
            started_unix_ns: ATTACH_UNIX_NS - 29_400_000_000_000,
            attached_ns: ATTACH_NS,
            attached_unix_ns: ATTACH_UNIX_NS,
            main_module: Some("github.com/TykTechnologies/tyk".to_owned()),
            source,
            ..Target::default()
        };
        Self {
            model: Model::replay([Event::attached(target)]),
            sites: Vec::new(),
            now_ns: ATTACH_NS,
            cycle: 900,
            live_bytes: 1_997_159_792,
            rate_bytes: 524_288,
            next_object: 1 << 32,
            alive: Vec::new(),
        }
    }

    /// The same after a time that only the times of the last GC cycles tell of: a heap that rose from 1.4 to 1.9 GiB.
    fn with_past(sites: &[Site], cycles: u32) -> Self {
        let mut ends = Vec::new();
        let mut at_ns = ATTACH_UNIX_NS.unsigned_abs() - 5 * SECOND;
        for n in 0..80 {
            ends.push(at_ns);
            at_ns -= GC_EVERY_NS - n * GC_EVERY_NS / 320;
        }
        ends.reverse();
        let attached = Attached {
            target: Self::attaching(Source::Sampler).model.target().clone(),
            gc_ends_unix_ns: ends,
            ..Attached::default()
        };
        let model = Model::replay([Event::Attached(Box::new(attached))]);
        let mut story = Self::attached_as(model, sites);
        for _ in 0..cycles {
            story.gc();
        }
        story.tick(20 * SECOND);
        story
    }

    /// The same with its records read and named.
    fn attached(sites: &[Site]) -> Self {
        Self::attached_as(Self::attaching(Source::Sampler).model, sites)
    }

    fn attached_as(model: Model, sites: &[Site]) -> Self {
        let mut story = Self::attaching(Source::Sampler);
        story.model = model;
        story.sites = sites.to_vec();
        story.alive = vec![Vec::new(); sites.len()];
        story.heap();
        let addr = |index: usize| 0x1000 * (index as u64 + 1);
        let bucket = |(index, site): (usize, &Site)| NewBucket {
            addr: addr(index),
            object_bytes: site.3,
            pcs: [1, 2, 3, 4].map(|n| addr(index) + n).into(),
            n_frames: 4,
            go_type: None,
        };
        let counts = |(index, site): (usize, &Site)| {
            let total = Counts {
                allocs: site.4 + 100,
                frees: 100,
            };
            (
                addr(index),
                BucketCounts {
                    total,
                    born_since_mark: 0,
                },
            )
        };
        story.model.apply(Event::Buckets(BucketsRead {
            from_ns: ATTACH_NS,
            to_ns: ATTACH_NS,
            cycle: Some(story.cycle),
            swept: true,
            new: story.sites.iter().enumerate().map(bucket).collect(),
            counts: story.sites.iter().enumerate().map(counts).collect(),
            complete: true,
            truncated_stacks: 0,
            ..BucketsRead::default()
        }));
        let frame = |function: &str, file: &str, line, inlined| {
            Arc::new(Frame {
                function: function.into(),
                symbol: function.into(),
                file: file.into(),
                line,
                entry: 1,
                inlined,
                ..Frame::unnamed(1)
            })
        };
        for (index, site) in story.sites.clone().iter().enumerate() {
            story.model.apply(Event::Named {
                at_ns: 0,
                names: vec![
                    (
                        addr(index) + 1,
                        frame("runtime.mallocgc", "/go/src/runtime/malloc.go", 1055, false),
                    ),
                    (addr(index) + 2, frame(site.0, site.1, site.2, true)),
                    (
                        addr(index) + 3,
                        frame(
                            "net/http.HandlerFunc.ServeHTTP",
                            "/go/src/net/http/server.go",
                            2294,
                            false,
                        ),
                    ),
                    (
                        addr(index) + 4,
                        frame(
                            "net/http.(*conn).serve",
                            "/go/src/net/http/server.go",
                            2102,
                            false,
                        ),
                    ),
                ],
            });
        }
        story.model.apply(Event::HitCost {
            at_ns: 0,
            ns: 14_000.0,
            calls_ns: None,
        });
        story
    }

    /// A process that is followed by mark bits: nothing is known from before the attach. Every second site has a type.
    fn attached_by_marks(source: Source, sites: &[Site], notes: &[&str]) -> Self {
        let mut story = Self::attaching(source);
        let mut target = story.model.target().clone();
        target.history = History::SinceAttach;
        target.notes = notes.iter().copied().map(Into::into).collect();
        story.model = Model::replay([Event::attached(target)]);
        story.rate_bytes = 0;
        story.sites = sites.to_vec();
        story.alive = vec![Vec::new(); sites.len()];
        story.heap();
        story.model.apply(Event::Buckets(BucketsRead {
            from_ns: ATTACH_NS,
            to_ns: ATTACH_NS,
            swept: true,
            complete: true,
            ..BucketsRead::default()
        }));
        let types = [
            "*memorycache.Item",
            "[]uint8",
            "map[string]*openapi3.Schema",
        ];
        let bucket = |(index, site): (usize, &Site)| NewBucket {
            addr: 0x1000 * (index as u64 + 1),
            object_bytes: site.3,
            pcs: [0x1000 * (index as u64 + 1) + 1].into(),
            n_frames: 1,
            go_type: (source.has_types() && index % 4 != 3).then(|| types[index % 3].into()),
        };
        let buckets = story.sites.iter().enumerate().map(bucket).collect();
        story.model.apply(Event::Sites {
            at_ns: 0,
            sites: buckets,
        });
        for (index, site) in story.sites.clone().iter().enumerate() {
            let frame = Frame {
                function: site.0.into(),
                symbol: site.0.into(),
                file: site.1.into(),
                line: site.2,
                entry: 1,
                ..Frame::unnamed(1)
            };
            let pc = 0x1000 * (index as u64 + 1) + 1;
            story.model.apply(Event::Named {
                at_ns: 0,
                names: vec![(pc, Arc::new(frame))],
            });
        }
        story.model.apply(Event::HitCost {
            at_ns: 0,
            ns: 1_400.0,
            calls_ns: None,
        });
        story
    }

    /// One cycle of it: each birth stands for 100 objects, and what the sites free has died of it.
    fn gc_by_marks(&mut self) {
        self.now_ns += GC_EVERY_NS;
        let at_ns = self.now_ns;
        let mut births = Vec::new();
        let mut dead = Vec::new();
        for (index, site) in self.sites.iter().enumerate() {
            for _ in 0..site.5.0 {
                self.next_object += 64;
                self.alive[index].push(self.next_object);
                births.push(Birth {
                    at_ns: at_ns - SECOND,
                    object: self.next_object,
                    bucket: 0x1000 * (index as u64 + 1),
                    weight: 100.0,
                });
            }
            for _ in 0..site.5.1 {
                dead.extend(self.alive[index].pop());
            }
        }
        self.model.apply(Event::Births(births));
        self.model.apply(Event::Probe(ProbeEvent::GcStart {
            at_ns,
            heap_bytes: Some(2 * self.live_bytes),
        }));
        self.cycle += 1;
        self.live_bytes += 1 << 20;
        self.model.apply(Event::Probe(ProbeEvent::GcMarked {
            at_ns,
            live_bytes: self.live_bytes,
            cycle: None,
            heap_bytes: Some(2 * self.live_bytes),
        }));
        self.now_ns += SECOND / 1_000;
        self.kernel(0);
        self.heap();
        let at_ns = self.now_ns;
        self.model.apply(Event::Dead {
            at_ns,
            objects: dead,
        });
        let number = self.cycle;
        self.model.apply(Event::MarksRead { at_ns, number });
    }

    /// Two looks at the figures: the second that finds a cycle swept makes it final.
    fn heap(&mut self) {
        let read = HeapRead {
            at_ns: self.now_ns,
            runtime: Some(HeapFigures {
                gc_cycles: self.cycle,
                live_bytes: self.live_bytes,
                goal_bytes: Some(self.live_bytes * 2),
                rate_bytes: self.rate_bytes,
                prof_cycle: ProfCycle(self.cycle << 1),
                swept: true,
                gc_percent: Some(100),
                ..HeapFigures::default()
            }),
            rss_bytes: Some(4_198_000_000),
        };
        for _ in 0..2 {
            self.model.apply(Event::Heap(read));
        }
    }

    fn tick(&mut self, ns: u64) {
        self.now_ns += ns;
        self.model.apply(Event::Tick { at_ns: self.now_ns });
    }

    /// One cycle: births before its mark, frees in its sweep.
    fn gc(&mut self) {
        self.gc_after(GC_EVERY_NS);
    }

    fn gc_after(&mut self, ns: u64) {
        self.now_ns += ns;
        let at_ns = self.now_ns;
        let births: Vec<u64> = self.sites.iter().map(|site| site.5.0).collect();
        let mut live = 0;
        for (index, n) in births.into_iter().enumerate() {
            for _ in 0..n {
                self.next_object += 64;
                let bucket = 0x1000 * (index as u64 + 1);
                let object = self.next_object;
                self.alive[index].push(object);
                live += 524_288;
                self.model.apply(Event::Probe(ProbeEvent::Born {
                    at_ns: at_ns - SECOND,
                    object,
                    bucket,
                }));
            }
        }
        self.model.apply(Event::Probe(ProbeEvent::GcStart {
            at_ns,
            heap_bytes: Some(2 * self.live_bytes),
        }));
        for index in 0..self.sites.len() {
            live -= (524_288 * self.sites[index].5.1).min(live);
        }
        self.live_bytes += live;
        self.cycle += 1;
        self.model.apply(Event::Probe(ProbeEvent::GcMarked {
            at_ns,
            live_bytes: self.live_bytes,
            cycle: None,
            heap_bytes: Some(2 * self.live_bytes),
        }));
        for index in 0..self.sites.len() {
            for _ in 0..self.sites[index].5.1 {
                let Some(object) = self.alive[index].pop() else {
                    continue;
                };
                let bucket = 0x1000 * (index as u64 + 1);
                self.model.apply(Event::Probe(ProbeEvent::Freed {
                    at_ns,
                    object,
                    bucket,
                }));
            }
        }
        // Figures read after the mark that say that sweeping has drained: the values are final.
        self.now_ns += SECOND / 1_000;
        self.kernel(0);
        self.heap();
    }

    fn kernel(&mut self, lost: u64) {
        let hits = (self.now_ns - ATTACH_NS) / SECOND * 28;
        let mut counters = KernelCounters {
            at_ns: self.now_ns,
            undecodable: lost,
            ..KernelCounters::default()
        };
        counters.hits[0] = hits;
        self.model.apply(Event::Kernel(counters));
    }

    /// After so many cycles and some seconds.
    fn after(sites: &[Site], cycles: u32) -> Self {
        let mut story = Self::attached(sites);
        for _ in 0..cycles {
            story.gc();
        }
        story.tick(20 * SECOND);
        story
    }
}

fn buffer_of(model: &Model, ui: &mut UiState, size: (u16, u16), look: Look) -> Buffer {
    let state = view(model, ui, size);
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).expect("a test terminal");
    terminal
        .draw(|frame| draw(&state, look, frame.buffer_mut()))
        .expect("draws");
    terminal.backend().buffer().clone()
}

fn look() -> Look {
    Look {
        theme: Theme {
            depth: Depth::Ansi16,
            ..Theme::default()
        },
        glyphs: Glyphs::Unicode,
    }
}

/// The characters of a frame; every line between bars, so that blanks at its end are seen.
fn text_of(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in 0..buffer.area.height {
        text.push('|');
        let mut x = 0;
        while x < buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            text.push_str(symbol);
            // The cell behind a wide character is part of it.
            x += u16::try_from(symbol.width()).unwrap_or(1).max(1);
        }
        let _ = writeln!(text, "|");
    }
    text
}

fn press(ui: &mut UiState, model: &Model, keys: &str) -> Vec<Action> {
    keys.chars()
        .map(|c| match c {
            '\n' => Key::Enter,
            '\x1b' => Key::Esc,
            c => Key::Char(c),
        })
        .filter_map(|key| handle(ui, Input::Key(key), model))
        .collect()
}

/// Snapshots of one state on all sizes.
fn snapshots(name: &str, story: &Story, keys: &str) {
    for size in SIZES {
        let mut ui = UiState::new(Options::default());
        ui.refresh(&story.model, size);
        press(&mut ui, &story.model, keys);
        let buffer = buffer_of(&story.model, &mut ui, size, look());
        insta::assert_snapshot!(format!("{name}-{}x{}", size.0, size.1), text_of(&buffer));
    }
}

#[test]
fn attaching() {
    snapshots("attaching", &Story::attaching(Source::Sampler), "");
}

#[test]
fn first_data_before_any_cycle() {
    let mut story = Story::attached(TYK);
    story.tick(9 * SECOND);
    snapshots("first", &story, "");
}

#[test]
fn collecting() {
    snapshots("collecting", &Story::after(TYK, 2), "");
}

#[test]
fn growing() {
    snapshots("growing", &Story::after(TYK, 26), "");
}

#[test]
fn live_heap_before_the_attach_is_dim_and_said_to_be_estimated() {
    let story = Story::with_past(TYK, 5);
    snapshots("past", &story, "");
    let size = (80, 24);
    let mut ui = UiState::new(Options::default());
    let buffer = buffer_of(&story.model, &mut ui, size, look());
    find(&buffer, "left of │: 36m estimated from GC times");
    let bar = (8..80).find(|x| buffer[(*x, 7)].symbol() == "│");
    let bar = bar.expect("a bar");
    for (x, role) in [(bar - 1, Color::Gray), (bar + 1, Color::LightGreen)] {
        let cell = &buffer[(x, 7)];
        assert!(('\u{2801}'..='\u{28ff}').contains(&cell.symbol().chars().next().unwrap()));
        assert_eq!(cell.fg, role, "column {x}");
    }
    // From a baseline on, the graph is of what was measured since.
    let mut since = Story::with_past(TYK, 5);
    since.model.apply(Event::MarkBaseline {
        at_ns: since.now_ns,
    });
    since.gc();
    since.gc();
    let text = text_of(&buffer_of(&since.model, &mut ui, size, look()));
    assert!(!text.contains("estimated"), "{text}");
    // The past gives way to a long watch.
    for (cycles, is_shown) in [(45, true), (112, false)] {
        let story = Story::with_past(&TYK[..2], cycles);
        let mut ui = UiState::new(Options::default());
        let text = text_of(&buffer_of(&story.model, &mut ui, size, look()));
        assert_eq!(text.contains("estimated"), is_shown, "{text}");
    }
}

#[test]
fn without_colours_and_in_ascii_the_bar_and_the_words_tell_the_estimate() {
    let story = Story::with_past(TYK, 5);
    let mut ui = UiState::new(Options::default());
    let ascii = Look {
        glyphs: Glyphs::Ascii,
        theme: Theme {
            depth: Depth::Mono,
            ..Theme::default()
        },
    };
    let text = text_of(&buffer_of(&story.model, &mut ui, (80, 24), ascii));
    assert!(text.is_ascii(), "{text}");
    assert!(
        text.contains("left of |: 36m estimated from GC times"),
        "{text}"
    );
    assert!(text.contains("#|#"), "{text}");
}

#[test]
fn long_names_and_wide_numbers() {
    let long: &[Site] = &[
        (
            "example.com/a-very-long-organisation-name/and-a-repository/internal/some/deep/package.(*AReceiverThatWasNamedInFull).AMethodThatSaysEverythingThereIsToSay",
            "/src/a.go",
            1,
            1 << 40,
            999_999,
            (9, 0),
        ),
        (
            "example.com/a-very-long-organisation-name/and-a-repository/internal/other/deep/package.(*AReceiverThatWasNamedInFull).AMethodThatSaysEverythingThereIsToSay",
            "/src/a.go",
            123_456,
            1 << 20,
            99_999,
            (0, 0),
        ),
        (
            "example.com/m/v2/generic.Map[go.shape.struct { A int; B string }].Insert",
            "/src/generic.go",
            12,
            1,
            99_999_999,
            (0, 0),
        ),
        (
            "main.世界.(*Größe).Ändern",
            "/src/größe.go",
            7,
            16,
            12,
            (0, 0),
        ),
    ];
    snapshots("long", &Story::after(long, 5), "");
}

#[test]
fn losses_are_told_and_counted() {
    let mut story = Story::after(TYK, 6);
    story.kernel(412);
    snapshots("losses", &story, "");
}

#[test]
fn paused() {
    for size in SIZES {
        let mut story = Story::after(TYK, 6);
        let mut ui = UiState::new(Options::default());
        ui.refresh(&story.model, size);
        press(&mut ui, &story.model, " ");
        let before = text_of(&buffer_of(&story.model, &mut ui, size, look()));
        for _ in 0..4 {
            story.gc();
        }
        let after = text_of(&buffer_of(&story.model, &mut ui, size, look()));
        insta::assert_snapshot!(format!("paused-{}x{}", size.0, size.1), after);
        assert!(after.contains("4 GCs behind"));
        let rest = |text: &str| text.lines().skip(3).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(rest(&before), rest(&after), "a paused view stands still");
        press(&mut ui, &story.model, " ");
        let resumed = text_of(&buffer_of(&story.model, &mut ui, size, look()));
        assert!(
            resumed.contains("LIVE") && !resumed.contains("behind"),
            "{resumed}"
        );
    }
}

#[test]
fn exited() {
    let mut story = Story::after(TYK, 26);
    story.model.apply(Event::Exited {
        at_ns: story.now_ns,
        exit: Exit::of_wait_status(Some(15), None),
        how: None,
    });
    story.tick(600 * SECOND);
    snapshots("exited", &story, "");
}

#[test]
fn a_filter_that_finds_nothing_says_so() {
    snapshots("filter-nothing", &Story::after(TYK, 6), "/redsi\n");
}

#[test]
fn a_filter_is_typed_and_kept() {
    snapshots("filter-typed", &Story::after(TYK, 6), "/cache !bucket");
}

#[test]
fn detail_with_frames() {
    snapshots("detail", &Story::after(TYK, 26), "\nx");
}

#[test]
fn help_lists_what_works() {
    snapshots("help", &Story::after(TYK, 26), "?");
}

#[test]
fn boxes_to_choose_from() {
    let story = Story::after(TYK, 6);
    for (name, keys) in [
        ("sort", "s"),
        ("group", "f"),
        ("baselines", "B"),
        ("palette", ":base"),
    ] {
        let mut ui = UiState::new(Options::default());
        ui.refresh(&story.model, (80, 24));
        press(&mut ui, &story.model, keys);
        let buffer = buffer_of(&story.model, &mut ui, (80, 24), look());
        insta::assert_snapshot!(format!("box-{name}"), text_of(&buffer));
    }
}

#[test]
fn without_probes_what_is_not_known_is_said() {
    let mut story = Story::attaching(Source::Buckets);
    story.heap();
    let mut ui = UiState::new(Options::default());
    let text = text_of(&buffer_of(&story.model, &mut ui, (80, 24), look()));
    assert!(
        text.contains("buckets 512Ki -%cpu lost - fixed -   LIVE"),
        "{text}"
    );
}

#[test]
fn spans_just_attached_say_that_there_is_no_history() {
    let note = "allocLarge was inlined: large objects are not seen";
    let mut story = Story::attached_by_marks(Source::Spans, TYK, &[note]);
    story.tick(3 * SECOND);
    snapshots("spans-first", &story, "");
    // Notes take turns; the help has all of them.
    story.tick(6 * SECOND);
    let mut ui = UiState::new(Options::default());
    let text = text_of(&buffer_of(&story.model, &mut ui, (80, 24), look()));
    assert!(text.contains(note), "{text}");
    story.tick(60 * SECOND);
    let text = text_of(&buffer_of(&story.model, &mut ui, (80, 24), look()));
    assert!(!text.contains(note), "{text}");
    press(&mut ui, &story.model, "?G");
    let text = text_of(&buffer_of(&story.model, &mut ui, (80, 40), look()));
    assert!(text.contains(note) && text.contains("no history"), "{text}");
}

#[test]
fn what_the_budget_does_is_said() {
    let mut story = Story::attached_by_marks(Source::Spans, TYK, &[]);
    for _ in 0..6 {
        story.gc_by_marks();
    }
    story.tick(20 * SECOND);
    story.model.apply(Event::Duty(Duty {
        at_ns: story.now_ns,
        on_fraction: 0.77,
        wanted_cpu_fraction: 0.013,
        max_cpu_fraction: 0.01,
    }));
    snapshots("spans-budget", &story, "");
    let block = text_block(&story.model, &TextOptions::default());
    assert!(
        block.starts_with("03:") && block.contains("budget: on 77 % of the time\n"),
        "{block}"
    );
}

#[test]
fn exact_has_types_and_counts() {
    let mut story = Story::attached_by_marks(Source::Exact, TYK, &[]);
    for _ in 0..6 {
        story.gc_by_marks();
    }
    story.tick(20 * SECOND);
    let before = text_of(&buffer_of(
        &story.model,
        &mut UiState::new(Options::default()),
        (160, 24),
        look(),
    ));
    assert!(before.contains("alloc ?/s"), "not counted yet: {before}");
    story.model.apply(Event::Counted {
        at_ns: story.now_ns,
        objects: (1..=9).map(|i| (0x1000 * i, 1000.0 * i as f64)).collect(),
        exact: true,
    });
    for (name, keys, size) in [
        ("exact-220x40", "", (220, 40)),
        ("exact-80x24", "", (80, 24)),
        ("exact-by-type-80x24", "fG\n", (80, 24)),
        ("exact-groups-80x24", "f", (80, 24)),
    ] {
        let mut ui = UiState::new(Options::default());
        ui.refresh(&story.model, size);
        press(&mut ui, &story.model, keys);
        let buffer = buffer_of(&story.model, &mut ui, size, look());
        insta::assert_snapshot!(name, text_of(&buffer));
    }
    let by_type = TextOptions {
        by: GroupBy::Type,
        is_first: true,
        ..TextOptions::default()
    };
    insta::assert_snapshot!("pipe-by-type", text_block(&story.model, &by_type));
}

#[test]
fn json_of_exact_has_types_counts_and_notes_and_null_for_what_was_not_counted() {
    let mut story = Story::attached_by_marks(Source::Exact, TYK, &["allocLarge was inlined"]);
    for _ in 0..6 {
        story.gc_by_marks();
    }
    let line = |story: &Story, by| -> serde_json::Value {
        serde_json::from_str(&line(&story.model, by, Sort::default(), 50)).expect("JSON")
    };
    let set = |sites: &serde_json::Value| -> Vec<serde_json::Value> {
        sites.as_array().expect("sites").clone()
    };
    let before = line(&story, GroupBy::Function);
    assert_eq!(before["source"], "exact");
    assert_eq!(before["rate_bytes"], 0);
    assert_eq!(before["target"]["notes"][0], "allocLarge was inlined");
    assert!(before["overhead"]["on_fraction"].is_null());
    for key in ["alloc_bytes", "alloc_objects", "alloc_bytes_per_sec"] {
        assert!(before["sites"][0][key].is_null(), "{key}");
    }
    story.model.apply(Event::Counted {
        at_ns: story.now_ns,
        objects: vec![(0x1000, 1234.0)],
        exact: true,
    });
    story.model.apply(Event::Duty(Duty {
        at_ns: story.now_ns,
        on_fraction: 1.0,
        wanted_cpu_fraction: 0.001,
        max_cpu_fraction: 0.01,
    }));
    let after = line(&story, GroupBy::Function);
    assert_eq!(after["overhead"]["max_cpu_fraction"], 0.01);
    let cache = set(&after["sites"])
        .into_iter()
        .find(|site| site["line"] == 30)
        .expect("the site");
    assert_eq!(cache["alloc_objects"], 1234);
    assert_eq!(cache["alloc_bytes"], 1234 * 48);
    assert_eq!(cache["type"], "*memorycache.Item");
    let types = line(&story, GroupBy::Type);
    assert!(
        set(&types["sites"])
            .iter()
            .any(|site| site["function"] == "[]uint8" && site["type"] == "[]uint8"),
        "{types}"
    );
}

#[test]
fn an_armed_target_says_from_when_on_it_is_known() {
    let mut target = Story::attaching(Source::Sampler).model.target().clone();
    target.history = History::SinceArmed;
    target.notes =
        vec!["armed at 02:58:40: what was allocated before is not in the figures".into()];
    let mut armed = Story::attached_as(Model::replay([Event::attached(target)]), TYK);
    armed.tick(9 * SECOND);
    snapshots("armed", &armed, "");
    armed.gc();
    armed.rate_bytes = 0;
    armed.tick(60 * SECOND);
    armed.heap();
    let mut ui = UiState::new(Options::default());
    let text = text_of(&buffer_of(&armed.model, &mut ui, (80, 24), look()));
    assert!(
        text.contains("MemProfileRate went from 524288 to 0: nothing is sampled any more"),
        "{text}"
    );
    let block = text_block(&armed.model, &TextOptions::default());
    assert!(block.contains("nothing is sampled any more"), "{block}");
}

#[test]
fn too_small() {
    let story = Story::after(TYK, 6);
    for (size, text) in [
        ((52, 12), "heaptop needs 60x15, this is 52x12"),
        ((20, 3), "heaptop needs 60x15,"),
        ((1, 1), "h"),
    ] {
        let mut ui = UiState::new(Options::default());
        let drawn = text_of(&buffer_of(&story.model, &mut ui, size, look()));
        assert!(drawn.contains(text), "{drawn}");
    }
}

#[test]
fn ascii_glyphs_only() {
    let story = Story::after(TYK, 26);
    let mut ui = UiState::new(Options::default());
    let ascii = Look {
        glyphs: Glyphs::Ascii,
        ..look()
    };
    let text = text_of(&buffer_of(&story.model, &mut ui, (80, 24), ascii));
    assert!(text.is_ascii(), "{text}");
    insta::assert_snapshot!("ascii-80x24", text);
}

#[test]
fn a_view_made_for_another_size_is_clipped() {
    let story = Story::after(TYK, 6);
    let mut ui = UiState::new(Options::default());
    let state = view(&story.model, &mut ui, (120, 40));
    let mut terminal = Terminal::new(TestBackend::new(61, 17)).expect("a test terminal");
    terminal
        .draw(|frame| draw(&state, look(), frame.buffer_mut()))
        .expect("draws");
}

/// Column and row of a text.
fn find(buffer: &Buffer, text: &str) -> (u16, u16) {
    for y in 0..buffer.area.height {
        for x in 0..buffer.area.width {
            let here: String = (x..buffer.area.width)
                .map(|x| buffer[(x, y)].symbol())
                .collect();
            if here.starts_with(text) {
                return (x, y);
            }
        }
    }
    panic!("no {text:?} in\n{}", text_of(buffer));
}

#[test]
fn roles_have_their_colours() {
    let mut story = Story::after(TYK, 26);
    story.kernel(412);
    let mut ui = UiState::new(Options::default());
    let buffer = buffer_of(&story.model, &mut ui, (80, 24), look());
    let badge = &buffer[find(&buffer, "LEAK A")];
    assert_eq!(badge.fg, Color::LightRed);
    assert!(badge.modifier.contains(Modifier::REVERSED));
    let lost = &buffer[find(&buffer, "lost 412")];
    assert_eq!((lost.fg, lost.modifier), (Color::LightRed, Modifier::BOLD));
    assert_eq!(buffer[find(&buffer, "LOSSES")].fg, Color::LightRed);
    assert_eq!(buffer[find(&buffer, "LIVE")].fg, Color::LightGreen);
    assert_eq!(buffer[find(&buffer, "⣿")].fg, Color::LightGreen);
    let cursor = &buffer[find(&buffer, ">")];
    assert_eq!(
        (cursor.fg, cursor.modifier),
        (Color::Reset, Modifier::REVERSED)
    );
    assert_eq!(buffer[find(&buffer, "~0")].fg, Color::Gray);
}

#[test]
fn without_colours_the_attributes_remain() {
    let story = Story::after(TYK, 26);
    let mut ui = UiState::new(Options::default());
    let mono = Look {
        theme: Theme {
            depth: Depth::Mono,
            ..Theme::default()
        },
        ..look()
    };
    let buffer = buffer_of(&story.model, &mut ui, (80, 24), mono);
    assert!(
        buffer
            .content()
            .iter()
            .all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset)
    );
    let badge = &buffer[find(&buffer, "LEAK A")];
    assert!(badge.modifier.contains(Modifier::REVERSED | Modifier::BOLD));
}

#[test]
fn the_order_is_held_after_a_move_and_the_heading_says_so() {
    let mut story = Story::attached(TYK);
    story.gc();
    let mut ui = UiState::new(Options::default());
    let size = (80, 24);
    let first = text_of(&buffer_of(&story.model, &mut ui, size, look()));
    assert!(first.contains("[VERDICT]"), "{first}");
    story.tick(10 * SECOND);
    press(&mut ui, &story.model, "jk");
    // Growth becomes significant at another site: its row would move away under the cursor.
    story.sites[4].5 = (40, 0);
    story.gc_after(3 * SECOND);
    let held = text_of(&buffer_of(&story.model, &mut ui, size, look()));
    assert!(held.contains("(VERDICT)"), "{held}");
    story.tick(7 * SECOND);
    let sorted = text_of(&buffer_of(&story.model, &mut ui, size, look()));
    assert!(sorted.contains("[VERDICT]"), "{sorted}");
    assert_ne!(held, sorted);
}

#[test]
fn keys_ask_the_session_for_what_only_it_can_do() {
    let story = Story::after(TYK, 6);
    let mut ui = UiState::new(Options::default());
    ui.refresh(&story.model, (80, 24));
    assert_eq!(
        press(&mut ui, &story.model, "e"),
        [Action::Export(Export::Profile)]
    );
    assert_eq!(press(&mut ui, &story.model, "b"), [Action::MarkBaseline]);
    assert_eq!(
        press(&mut ui, &story.model, "B\n"),
        [Action::UseBaseline(0)]
    );
    assert_eq!(
        press(&mut ui, &story.model, "/q\n"),
        [],
        "letters of a line are no commands"
    );
    assert_eq!(
        press(&mut ui, &story.model, "\x1b\x1b\x1b\x1b"),
        [],
        "Esc never quits"
    );
    assert_eq!(press(&mut ui, &story.model, ":quit\n"), [Action::Quit]);
    assert_eq!(press(&mut ui, &story.model, "q"), [Action::Quit]);
    assert_eq!(
        handle(&mut ui, Input::Paste("q".to_owned()), &story.model),
        None
    );
    let Some(Action::Copy(text)) = press(&mut ui, &story.model, "y").pop() else {
        panic!("copies")
    };
    insta::assert_snapshot!("copied", text);
}

#[test]
fn a_click_selects_and_a_second_one_opens() {
    let story = Story::after(TYK, 6);
    let mut ui = UiState::new(Options::default());
    let size = (80, 24);
    let buffer = buffer_of(&story.model, &mut ui, size, look());
    let (x, y) = find(&buffer, "bufio.NewReaderSize");
    handle(&mut ui, Input::Click { x, y }, &story.model);
    let buffer = buffer_of(&story.model, &mut ui, size, look());
    assert_eq!(buffer[(0, y)].symbol(), ">");
    handle(&mut ui, Input::Click { x, y }, &story.model);
    let text = text_of(&buffer_of(&story.model, &mut ui, size, look()));
    assert!(text.contains("Sites > bufio.NewReaderSize"), "{text}");
    handle(&mut ui, Input::Key(Key::Esc), &story.model);
    let buffer = buffer_of(&story.model, &mut ui, size, look());
    let (x, y) = find(&buffer, "IN-USE");
    handle(&mut ui, Input::Click { x, y }, &story.model);
    find(&buffer_of(&story.model, &mut ui, size, look()), "[IN-USE]");
}

#[test]
fn text_for_pipes() {
    let mut story = Story::after(TYK, 26);
    insta::assert_snapshot!(
        "pipe",
        text_block(
            &story.model,
            &TextOptions {
                top: 5,
                ..TextOptions::default()
            }
        )
    );
    let wide = TextOptions {
        wide: true,
        ..TextOptions::default()
    };
    insta::assert_snapshot!("pipe-wide", text_block(&story.model, &wide));
    story.model.apply(Event::Exited {
        at_ns: story.now_ns,
        exit: Exit::of_wait_status(Some(3 << 8), None),
        how: None,
    });
    let block = text_block(&story.model, &TextOptions::default());
    assert!(
        block
            .lines()
            .next()
            .is_some_and(|line| line.ends_with(" exited: exit status 3")),
        "{block}"
    );
}
