//! Where the memory of real programs lies: do the parts sum up to the resident set, and is each as large as the program
//! knows it to be?

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use heaptop::cli::SourceChoice;
use heaptop::event::{AnatomyRead, Event};
use heaptop::go::calls_out::Caller;
use heaptop::model::Model;
use heaptop::model::anatomy::{Anatomy, LimitKind, Part};
use heaptop::model::rows::Target;
use heaptop::process::anatomy::AnatomyReader;
use heaptop::process::go_process::GoProcess;
use heaptop::session::AttachSettings;
use serde_json::Value;

use crate::support::go::{A_RELEASE, Kind, PLAIN, fixture};
use crate::support::lines::Lines;
use crate::support::serial;
use crate::support::truth::Truth;
use crate::support::watched::Watched;
use crate::support::{PATIENCE, each_release, wait_for};

const MIB: u64 = 1 << 20;
/// What each program makes of its kind of memory.
const MADE_MIB: u64 = 128;
/// With cgo, so that there is memory of C.
const CGO: Kind = Kind {
    name: "cgo",
    cgo: true,
    arguments: &[],
};

/// A running `tests/programs/anatomy`; ended when dropped.
struct Program {
    child: Child,
    lines: Lines,
}

impl Program {
    fn start(path: &Path, mode: &str) -> Self {
        let mut child = Command::new(path)
            .args([mode, &MADE_MIB.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let lines = Lines::of(child.stdout.take().expect("a pipe"));
        let line = lines.next().expect("its first line");
        assert!(line.starts_with("ready "), "{line}");
        Self { child, lines }
    }

    fn read(&self) -> (AnatomyRead, Anatomy) {
        let go = GoProcess::open(self.child.id()).expect("a Go process");
        let read = AnatomyReader::new(&go).read().expect("it runs");
        let mut model = Model::replay([Event::attached(Target::default())]);
        model.apply(Event::Anatomy(Box::new(read.clone())));
        let anatomy = model.anatomy().expect("just read").clone();
        (read, anatomy)
    }

    /// What it knows of itself.
    fn stats(&mut self) -> Value {
        let stdin = self.child.stdin.as_mut().expect("a pipe");
        writeln!(stdin, "stats").expect("it listens");
        let line = self.lines.next().expect("an answer");
        serde_json::from_str(&line).expect("JSON")
    }

    /// `Rss` of `smaps_rollup`: counted anew, page by page.
    fn rss_bytes(&self) -> u64 {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let text = std::fs::read_to_string(path).expect("it runs");
        let rss = text.lines().find_map(|line| line.strip_prefix("Rss:"));
        let kib = rss.and_then(|kib| kib.trim().strip_suffix(" kB"));
        1024 * kib.expect("a size").parse::<u64>().expect("a number")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asserts that a figure is within a tenth of the truth, and a MiB.
#[track_caller]
fn near(what: &str, found: u64, truth: u64) {
    let room = truth / 10 + MIB;
    assert!(
        found.abs_diff(truth) <= room,
        "{what}: {found} is not {truth}"
    );
}

/// A read of what stands still, and the resident set beside it: the scavenger may be giving pages back.
fn at_rest(program: &mut Program) -> (AnatomyRead, Anatomy, u64) {
    wait_for("a resident set at rest", PATIENCE, || {
        let before = program.rss_bytes();
        let (read, anatomy) = program.read();
        let after = program.rss_bytes();
        (before.abs_diff(after) <= MIB).then_some((read, anatomy, after))
    })
}

fn functions_that_take_memory_outside_go_are_found(release: &str) {
    let Some(path) = fixture("anatomy", release, CGO) else {
        return;
    };
    let program = Program::start(&path, "small");
    let go = GoProcess::open(program.child.id()).expect("a Go process");
    let found = AnatomyReader::new(&go).calls_out();
    let allocates = |caller: &Caller| {
        &*caller.function == "main.allocateC" && *caller.c_functions == ["allocate".into()]
    };
    assert!(found.c.iter().any(allocates), "go{release}: {found:?}");
    let is_own = |caller: &Caller| caller.function.starts_with("main.");
    assert!(
        !found.maps.is_empty() && found.maps.iter().all(is_own),
        "go{release}: {found:?}"
    );
}

mod calls_out {
    super::each_release!(super::functions_that_take_memory_outside_go_are_found);
}

fn each_part_is_what_the_program_knows(release: &str) {
    let Some(path) = fixture("anatomy", release, CGO) else {
        return;
    };
    let _turn = serial::turn();
    for mode in [
        "small",
        "large",
        "untouched",
        "fragmented",
        "gogc",
        "idle",
        "returned",
        "stacks",
        "goroutines",
        "cgo",
        "mmap",
        "file",
        "shared",
        "globals",
    ] {
        let mut program = Program::start(&path, mode);
        let (read, anatomy, rss_bytes) = at_rest(&mut program);
        let stats = program.stats();
        let what = format!("go{release} {mode}");
        eprintln!("{what}: {:?}, {} ns of CPU", anatomy.now, read.cpu_ns);

        let now = anatomy.now;
        let sum = now.parts.sum();
        let allowed = rss_bytes * 3 / 100;
        assert!(
            sum.abs_diff(rss_bytes) <= allowed,
            "{what}: {sum}, {rss_bytes}"
        );
        assert!(
            now.unexplained_bytes().unsigned_abs() <= allowed,
            "{what}: {now:?}"
        );
        assert_eq!(read.census.unread_spans, 0, "{what}");

        let mem = |field: &str| stats["mem"][field].as_u64().expect("a number");
        let accounts = anatomy.accounts;
        near(&what, accounts.heap_in_use_bytes, mem("HeapInuse"));
        // The heap grows by 4 MiB at once, perhaps between the two looks.
        let released = accounts.heap_released_bytes;
        assert!(
            released.abs_diff(mem("HeapReleased")) <= released / 10 + 8 * MIB,
            "{what}"
        );
        near(&what, accounts.stacks_bytes, mem("StackInuse"));
        near(&what, accounts.mspan_sys_bytes, mem("MSpanSys"));
        near(
            &what,
            accounts.gc_misc_sys_bytes + accounts.work_bytes,
            mem("GCSys"),
        );
        near(&what, read.census.object_bytes(), mem("HeapAlloc"));
        let in_use: u64 = read
            .census
            .classes
            .iter()
            .map(|class| class.sum.bytes)
            .sum();
        near(&what, in_use, mem("HeapInuse"));
        near(&what, read.census.stacks.bytes, mem("StackInuse"));

        let made = stats["made"].as_u64().expect("a number");
        let part = |part| now.parts.get(part);
        let small = |what: &str, bytes: u64| assert!(bytes < 16 * MIB, "{what}: {bytes}");
        match mode {
            "small" | "large" => near(&what, part(Part::Live), made),
            "untouched" => {
                near(&what, now.live_bytes, made);
                assert!(part(Part::Live) + part(Part::Garbage) < 2 * MIB, "{what}");
            }
            "fragmented" => {
                near(&what, part(Part::Waste), made);
                let worst = anatomy.classes.first().expect("a class");
                assert_eq!(worst.slot_bytes, 1024, "{what}");
                near(&what, worst.waste_bytes, made);
            }
            "gogc" => {
                near(&what, part(Part::Garbage), made);
                near(&what, part(Part::Live), made / 2);
            }
            "idle" => near(&what, part(Part::Idle), accounts.heap_free_bytes),
            "returned" => small(&what, now.rss_bytes),
            "stacks" => {
                let filled = made / 4 * 3;
                near(&what, part(Part::Stacks), filled);
                near(&what, now.stack_in_use_bytes, made);
            }
            "goroutines" => near(&what, part(Part::Stacks), made),
            "cgo" | "mmap" => near(&what, part(Part::Anon), made),
            "file" | "shared" => near(&what, part(Part::File), made),
            "globals" => near(&what, part(Part::Globals), made),
            _ => unreachable!("every mode is named"),
        }
        let others = Part::ALL.map(part).iter().sum::<u64>();
        assert_eq!(others, sum, "{what}");
    }
}

each_release! { each_part_is_what_the_program_knows;
    go_1_18 "1.18.10", go_1_19 "1.19.8", go_1_20 "1.20.14", go_1_22 "1.22.10", go_1_25 "1.25.5", go_1_27 "1.27.3",
}

#[test]
fn the_cgroup_of_this_process_is_found_where_there_is_one() {
    let Some(cgroup) = heaptop::process::cgroup::read(std::process::id()) else {
        return; // No memory controller is mounted here.
    };
    assert!(cgroup.usage_bytes > 0);
    assert!(
        cgroup
            .anon_bytes
            .is_none_or(|bytes| bytes <= cgroup.usage_bytes)
    );
}

/// A session whose target collects by itself: what comes, and when.
fn is_read_by(source: Option<SourceChoice>) {
    let _turn = serial::turn();
    if source != Some(SourceChoice::Buckets) && !serial::can_probe() {
        return;
    }
    let Some(mut truth) = Truth::start(A_RELEASE, PLAIN, &[]) else {
        return;
    };
    let settings = AttachSettings {
        source,
        ..AttachSettings::default()
    };
    let mut watched = Watched::attach(truth.pid(), &settings).expect("attached");
    watched.until("the anatomy", |model| model.anatomy().is_some());
    let target = watched.model().target().attached_ns;
    let anatomy = watched.model().anatomy().expect("just seen");
    assert!(anatomy.now.at_ns.saturating_sub(target) < 1_000_000_000);
    assert_eq!((anatomy.reads, anatomy.history.len()), (1, 1));
    assert_eq!(anatomy.baseline, Some(anatomy.now));
    assert!(
        anatomy
            .limits
            .iter()
            .any(|limit| limit.kind == LimitKind::Machine)
    );
    let unexplained = anatomy.now.unexplained_bytes().unsigned_abs();
    assert!(
        unexplained <= anatomy.now.rss_bytes * 3 / 100,
        "{anatomy:?}"
    );

    let forced = |model: &Model| model.cycles().last().and_then(|cycle| cycle.forced);
    for _ in 0..2 {
        let seen = watched.model().cycles_seen();
        truth.ask("gc1");
        watched.until("a cycle", |model| {
            model.cycles_seen() > seen && forced(model) == Some(true)
        });
    }
    let cycle = *watched.model().cycles().last().expect("a cycle");
    assert!(cycle.pause_ns.is_some_and(|ns| ns > 0), "{cycle:?}");
    assert!(cycle.alloc_bytes_per_sec.is_some(), "{cycle:?}");
    let by_probes = source != Some(SourceChoice::Buckets);
    assert_eq!(cycle.mark_ns.is_some(), by_probes, "{cycle:?}");
    let settings = watched.model().gc_settings().expect("known");
    assert_eq!(
        (settings.gogc, settings.memory_limit_bytes),
        (Some(100), None)
    );
    watched.detach();
}

#[test]
fn every_source_brings_it() {
    is_read_by(Some(SourceChoice::Buckets));
    is_read_by(None);
    is_read_by(Some(SourceChoice::Spans));
}
