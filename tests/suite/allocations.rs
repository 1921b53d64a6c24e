//! The probes of `spans` and `exact` on real programs: every allocation is counted once, under its stack, and the
//! objects that are followed lie where it was predicted.

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::process::{Child, Command, Stdio};

use heaptop::event::{ProbeEvent, Record};
use heaptop::go::size_classes::CLASS_BYTES;
use heaptop::plan::{Kind, ProbePlan, Wanted, plan};
use heaptop::probe::{AllocLayout, AllocSettings, LoadSettings, Loader, Probes};
use heaptop::process::go_process::GoProcess;

use crate::support::each_release;
use crate::support::go::{PLAIN, fixture};
use crate::support::lines::Lines;
use crate::support::serial::{can_probe, turn};

/// Room for everything: at a rate of 1 each allocation is a record.
const RING_BYTES: u32 = 16 << 20;

/// Shape, objects, bytes that each counts with before Go 1.22, and since (malloc headers).
const SHAPES: [(&str, u64, u64, u64); 9] = [
    ("tiny", 1000, 4, 4),
    ("pointer8", 1000, 8, 8),
    ("bytes64", 1000, 64, 64),
    ("pointers64", 1000, 64, 64),
    ("pointers600", 1000, 640, 640),
    ("bytes4096", 1000, 4096, 4096),
    ("pointers4096", 1000, 4096, 4864),
    ("large", 100, 49_152, 49_152),
    ("slices", 1000, 1024, 1024),
];

/// Bytes of a malloc header, which a pointer to the object does not count.
const HEADER_BYTES: u64 = 8;

/// A running `tests/programs/addresses` with probes; ended when dropped.
struct Traced {
    child: Child,
    lines: Lines,
    go: GoProcess,
    plan: ProbePlan,
    probes: Probes,
    stacks: HashMap<u64, Vec<String>>,
    truncated: usize,
}

impl Traced {
    fn start(release: &str, wanted: Wanted) -> Option<Self> {
        let path = fixture("addresses", release, PLAIN)?;
        let mut child = Command::new(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let lines = Lines::of(child.stdout.take().expect("a pipe"));
        assert!(lines.next().expect("a line").starts_with("ready"));
        let go = GoProcess::open(child.id()).expect("a Go process");
        let plan = plan(&go.program, &*go.image, wanted).expect("places for probes");
        let settings = LoadSettings {
            special: go.program.facts.special,
            jbe_filter: plan.jbe_filter(),
            sweepgen: go.program.sweepgen(),
            heap_live: go.program.heap_live(),
            end: None,
            ring_bytes: Some(RING_BYTES),
            log: false,
            alloc: Some(AllocSettings {
                layout: AllocLayout::of(go.program.facts),
                exact: wanted == Wanted::Exact,
                rate_bytes: 1,
                class_bytes: &CLASS_BYTES,
                mallocgc: plan.mallocgc.map(|code| (code.start, code.end)),
            }),
        };
        let ebpf = Loader::start().finish(settings).expect("programs");
        let probes =
            Probes::attach(ebpf, &plan, &go.process, f64::INFINITY, false).expect("probes");
        Some(Self {
            child,
            lines,
            go,
            plan,
            probes,
            stacks: HashMap::new(),
            truncated: 0,
        })
    }

    fn ask(&mut self, command: &str) -> String {
        let stdin = self.child.stdin.as_mut().expect("a pipe");
        writeln!(stdin, "{command}").expect("it listens");
        self.lines.next().expect("an answer")
    }

    /// Allocates objects of a shape; their addresses.
    fn allocate(&mut self, shape: &str, n: u64) -> HashSet<u64> {
        let line = self.ask(&format!("{shape} {n}"));
        line.split_whitespace()
            .map(|hex| u64::from_str_radix(hex, 16).expect("an address"))
            .collect()
    }

    /// The events since the last look; stacks are kept.
    fn events(&mut self) -> Vec<ProbeEvent> {
        let mut records = Vec::new();
        while self.probes.drain(&mut records) {}
        let mut events = Vec::new();
        for record in records {
            match record {
                Record::Event(event) => events.push(event),
                Record::Stack { id, pcs, truncated } => {
                    let (program, image) = (&self.go.program, &*self.go.image);
                    let memory = self.go.memory();
                    let frames = pcs
                        .iter()
                        .flat_map(|&pc| program.frames_at(image, &memory, pc));
                    let names: Vec<String> =
                        frames.map(|frame| frame.function.to_string()).collect();
                    let end = names.last().expect("no stack is empty");
                    assert!(
                        truncated || ["runtime.goexit", "runtime.mstart"].contains(&end.as_str()),
                        "{names:?}"
                    );
                    self.truncated += usize::from(truncated);
                    self.stacks.insert(id, names);
                }
            }
        }
        events
    }

    /// Whether a stack is one of a function of the program.
    fn is_of(&self, stack: u64, function: &str) -> bool {
        let names = self.stacks.get(&stack);
        names.is_some_and(|names| names.iter().any(|name| name == function))
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every allocation: counts, addresses, and what a full turn of the governor does.
fn exact(release: &str) {
    let _turn = turn();
    if !can_probe() {
        return;
    }
    let Some(mut traced) = Traced::start(release, Wanted::Exact) else {
        return;
    };
    let has_headers = traced.go.program.facts.has_malloc_headers;
    let (mut right, mut all) = (0, 0);
    for round in 1..=2 {
        for (shape, n, old_bytes, new_bytes) in SHAPES {
            let bytes = if has_headers { new_bytes } else { old_bytes };
            let function = format!("main.{shape}");
            let addresses = traced.allocate(shape, n);
            let has_header = has_headers && ["pointers600", "pointers4096"].contains(&shape);
            let header = if has_header { HEADER_BYTES } else { 0 };
            for event in traced.events() {
                let ProbeEvent::Alloc(alloc) = event else {
                    continue;
                };
                if traced.is_of(alloc.stack, &function) && alloc.object_bytes == bytes {
                    all += 1;
                    right += usize::from(addresses.contains(&(alloc.object + header)));
                }
            }
            let counts = traced.probes.counts();
            assert_eq!(counts.overflow, 0);
            let counted: u64 = counts
                .objects
                .iter()
                .filter(|(key, _)| key.object_bytes == bytes && traced.is_of(key.stack, &function))
                .map(|(_, objects)| objects)
                .sum();
            assert_eq!(counted, round * n, "go{release}: {shape}");
        }
        traced.ask("drop");
    }
    let n_objects: u64 = SHAPES.iter().map(|(_, n, ..)| 2 * n).sum();
    // A thread that is preempted between the probe and the allocator goes on with another span.
    assert!(
        all as u64 * 1000 >= n_objects * 999 && right * 1000 >= all * 999,
        "go{release}: of {n_objects} objects {all} were told, {right} where they lie"
    );
    // Such a one is counted as lost where it waited for a span, and nothing else is.
    let lost = traced.probes.counters().lost;
    let lost_objects = lost[Kind::Alloc as usize];
    assert_eq!(
        lost.iter().sum::<u64>(),
        lost_objects,
        "go{release}: {lost:?}"
    );
    assert!(
        lost_objects * 1000 <= n_objects && all as u64 + lost_objects >= n_objects,
        "go{release}: of {n_objects} objects {all} were told, {lost_objects} lost"
    );
    assert_eq!(traced.truncated, 0);
    traced.ask("deep");
    traced.events();
    assert_eq!(traced.truncated, 1, "go{release}: the stack of `deep`");

    off_and_on(release, &mut traced);
}

/// Probes taken away and placed again.
fn off_and_on(release: &str, traced: &mut Traced) {
    let kinds = [Kind::Alloc, Kind::Span, Kind::Large];
    let n_links = traced.probes.n_links(Kind::Alloc);
    drop(traced.probes.take_links(&kinds));
    let hits = |traced: &Traced| traced.probes.counters().hits[Kind::Alloc as usize];
    let before = hits(traced);
    traced.allocate("bytes64", 1000);
    assert_eq!(hits(traced), before, "go{release}: no probe is there");
    let (probes, plan) = (&mut traced.probes, &traced.plan);
    probes
        .attach_more(plan, &kinds, &traced.go.process)
        .expect("probes");
    assert_eq!(probes.n_links(Kind::Alloc), n_links);
    traced.allocate("bytes64", 1000);
    assert!(hits(traced) >= before + 1000, "go{release}");
}

/// The first object of every span that is taken, and every large object.
fn spans(release: &str) {
    let _turn = turn();
    if !can_probe() {
        return;
    }
    let Some(mut traced) = Traced::start(release, Wanted::Spans) else {
        return;
    };
    let mut n_large = 0;
    for _ in 0..2 {
        for (shape, n, ..) in SHAPES {
            let addresses = traced.allocate(shape, n);
            let has_header = traced.go.program.facts.has_malloc_headers
                && ["pointers600", "pointers4096"].contains(&shape);
            let header = if has_header { HEADER_BYTES } else { 0 };
            let function = format!("main.{shape}");
            let (mut all, mut right, mut free) = (0, 0, 0);
            for event in traced.events() {
                let ProbeEvent::Span(taken) = event else {
                    continue;
                };
                let bits: u32 = taken.alloc_bits.iter().map(|word| word.count_ones()).sum();
                if taken.span_class > 1 && taken.free_index == 0 {
                    assert_eq!(
                        bits,
                        taken.n_slots - taken.free_slots,
                        "go{release}: {taken:x?}"
                    );
                }
                if traced.is_of(taken.stack, &function) {
                    all += 1;
                    right += usize::from(addresses.contains(&(taken.object + header)));
                    free += u64::from(taken.free_slots);
                    n_large += usize::from(taken.span_class <= 1);
                }
            }
            // Another goroutine's object may take the first slot, and one span holds all of the smallest.
            let is_enough = free * 10 >= n * 8 || ["tiny", "pointer8"].contains(&shape);
            assert!(
                right + 1 >= all && is_enough,
                "go{release}: {shape}: {n} objects, {all} spans with {free} slots, {right} right"
            );
        }
        traced.ask("drop");
    }
    assert_eq!(n_large, 200, "go{release}");
    let lost = traced.probes.counters().lost;
    assert_eq!(lost.iter().sum::<u64>(), 0, "go{release}: {lost:?}");
}

mod every_allocation_is_counted_and_followed {
    super::each_release!(super::exact);
}

mod every_span_and_large_object_is_told {
    super::each_release!(super::spans);
}
