//! The mark bits of real programs: is what they say of each object true, before and after the sweep?

use std::collections::HashSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use heaptop::go::alloc_counters::AllocCounters;
use heaptop::go::liveness::{Checked, Followed, NotChecked, check, follow};
use heaptop::process::go_process::GoProcess;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::go::{Kind, PIE_STRIPPED, PLAIN, fixture};
use crate::support::lines::Lines;
use crate::support::{PATIENCE, each_release, wait_for};

/// A running `tests/programs/marks`; ended when dropped.
struct Marks {
    child: Child,
    lines: Lines,
    kept: Vec<u64>,
    dropped: Vec<u64>,
}

impl Marks {
    fn start(path: &Path, n: usize) -> Self {
        let mut child = Command::new(path)
            .arg(n.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let lines = Lines::of(child.stdout.take().expect("a pipe"));
        let (mut kept, mut dropped) = (Vec::new(), Vec::new());
        loop {
            let line = lines.next().expect("a line");
            let fields: Vec<&str> = line.split(' ').collect();
            let address = |hex: &str| u64::from_str_radix(&hex[2..], 16).expect("an address");
            match fields[..] {
                ["object", "kept", at] => kept.push(address(at)),
                ["object", "dropped", at] => dropped.push(address(at)),
                ["allocated"] => break,
                _ => {}
            }
        }
        Self {
            child,
            lines,
            kept,
            dropped,
        }
    }

    fn send(&mut self, command: &str) {
        let stdin = self.child.stdin.as_mut().expect("a pipe");
        writeln!(stdin, "{command}").expect("it reads");
    }

    fn ask(&mut self, command: &str) -> String {
        self.send(command);
        self.lines.next().expect("an answer")
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed()).expect("a pid")
    }

    /// Lets it collect, and `look` before it sweeps.
    fn while_marked<T>(&mut self, look: impl FnOnce() -> T) -> T {
        self.send("mark");
        let stat = format!("/proc/{}/stat", self.child.id());
        wait_for("the program to stop", PATIENCE, || {
            let stat = std::fs::read_to_string(&stat).expect("it runs");
            stat.rsplit(") ").next()?.starts_with('T').then_some(())
        });
        let seen = look();
        kill_process(self.pid(), Signal::CONT).expect("it is stopped");
        assert_eq!(self.lines.next().as_deref(), Some("marked"));
        seen
    }
}

impl Drop for Marks {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A check, again for as long as cycles end meanwhile.
fn checked(go: &GoProcess, followed: &[Followed]) -> (Checked, Duration) {
    let program = &go.program;
    wait_for("a check between two cycles", PATIENCE, || {
        let begun = Instant::now();
        match check(&go.memory(), program.facts, &program.vars, followed) {
            Ok(checked) => Some((checked, begun.elapsed())),
            Err(NotChecked::Moved) => None,
            Err(err) => panic!("{err}"),
        }
    })
}

/// Most processes that are started until one is stopped before all of it is swept.
const MAX_TRIES: usize = 8;

fn is_true(release: &str, kind: Kind, n: usize) {
    let Some(path) = fixture("marks", release, kind) else {
        return;
    };
    let name = format!("go{release} {}", kind.name);
    // Where the machine is busy the sweeper may be done before the program stops itself: nothing is left to decide by
    // mark bits then.
    let caught = (0..MAX_TRIES).any(|_| is_true_of(&path, &name, n));
    assert!(
        caught,
        "{name}: all was swept before it stopped, {MAX_TRIES} times"
    );
}

/// One process. Whether its stop came before the sweep.
fn is_true_of(path: &Path, name: &str, n: usize) -> bool {
    let mut marks = Marks::start(path, n);
    let go = GoProcess::open(marks.child.id()).unwrap_or_else(|err| panic!("{name}: {err}"));
    let (facts, vars, memory) = (go.program.facts, &go.program.vars, go.memory());
    let all = marks.kept.iter().chain(&marks.dropped);
    let followed: Vec<Followed> = all
        .map(|&object| {
            let found = follow(&memory, facts, vars, object).expect("a heap");
            found.unwrap_or_else(|| panic!("{name}: {object:#x} is in no span"))
        })
        .collect();
    let dropped: HashSet<u64> = marks.dropped.iter().copied().collect();
    let dead = |checked: &Checked| -> HashSet<u64> { checked.dead.iter().copied().collect() };

    // Only what a mark has seen may be asked for.
    let (before, _) = checked(&go, &[]);
    marks.ask("gc");
    let (held, _) = checked(&go, &followed);
    assert_eq!(
        (held.dead.len(), held.unknown, held.by_marks),
        (0, 0, 0),
        "{name}: held, swept"
    );
    assert_eq!(held.gc_cycles, before.gc_cycles + 1, "{name}");

    // Nothing is swept: the mark bits decide, and no slot was reused. The stop may fall into the sweep of the one span that
    // the only P has in hand: its bits cannot be read, and its objects pass for alive.
    marks.ask("drop");
    let (marked, took) = marks.while_marked(|| checked(&go, &followed));
    let dead_then = dead(&marked);
    let kept_and_dead = dead_then.difference(&dropped).count();
    let dropped_and_alive = dropped.difference(&dead_then).count();
    let being_swept = marked.being_swept;
    assert_eq!(kept_and_dead, 0, "{name}: of {}", followed.len());
    assert!(
        dropped_and_alive <= being_swept,
        "{name}: {dropped_and_alive} dropped objects pass for alive, {being_swept} objects are being swept"
    );
    assert!(
        being_swept <= MAX_SLOTS_OF_SMALL_SPAN,
        "{name}: {being_swept} objects are being swept"
    );
    assert_eq!(marked.unknown, 0, "{name}");
    eprintln!(
        "{name}: {} objects, {} by marks, in {took:?}",
        followed.len(),
        marked.by_marks
    );

    assert!(took < Duration::from_secs(1), "{name}: {took:?}");

    // All is swept; whoever has got a slot of the dropped is younger than the mark, and does not pass for one of them
    // before the next.
    marks.ask("gc");
    let (swept, _) = checked(&go, &followed);
    assert!(
        dead(&swept).is_subset(&dropped),
        "{name}: kept objects are alive"
    );
    assert!(
        swept.dead.len() * 100 >= dropped.len() * 95,
        "{name}: {} dead",
        swept.dead.len()
    );
    assert_eq!((swept.unknown, swept.by_marks), (0, 0), "{name}");

    let ends = marks.ask("ends");
    let ends = ends
        .split(' ')
        .skip(1)
        .map(|end| end.parse().expect("a time"));
    let mut ends: Vec<u64> = ends.collect();
    ends.reverse();
    assert!(!ends.is_empty(), "{name}: no cycles");
    assert_eq!(go.gc_ends().expect("they are read"), ends, "{name}");

    // ReadMemStats has put all of them into the counters; printing allocates little, which only those of 1.18 count at once.
    let stats = marks.ask("stats");
    let mut stats = stats
        .split(' ')
        .skip(1)
        .map(|field| field.parse::<u64>().expect("a number"));
    let counters = AllocCounters::read(&memory, facts, vars).expect("counters");
    let expected = (stats.next().expect("two"), stats.next().expect("two"));
    let printed = counters.objects().wrapping_sub(expected.0);
    if facts.minor == 18 {
        assert!(printed < MAX_PRINTED_OBJECTS, "{name}: {printed} objects");
        let printed_bytes = counters.bytes().wrapping_sub(expected.1);
        assert!(
            printed_bytes < 1024 * MAX_PRINTED_OBJECTS,
            "{name}: {printed_bytes} bytes"
        );
    } else {
        assert_eq!((counters.objects(), counters.bytes()), expected, "{name}");
    }
    let large = counters.large_allocs - counters.large_frees;
    assert!((1..1000).contains(&large), "{name}: {large} large objects");
    marked.by_marks > followed.len() / 4
}

/// Slots of 8 bytes in a span of one page of 8 KiB; spans with larger slots have fewer.
const MAX_SLOTS_OF_SMALL_SPAN: usize = 1024;

/// Objects that printing a line may allocate.
const MAX_PRINTED_OBJECTS: u64 = 8;

/// While four threads allocate and cycles follow each other, checks fall on spans in all states, also on those that are
/// swept while they are read.
fn stays_true(release: &str) {
    const CHECKS: usize = 300;
    let Some(path) = fixture("marks", release, PLAIN) else {
        return;
    };
    let mut marks = Marks::start(&path, 400);
    let go = GoProcess::open(marks.child.id()).expect("a Go process");
    let (facts, vars, memory) = (go.program.facts, &go.program.vars, go.memory());
    let kept = marks.kept.iter().map(|&object| {
        let found = follow(&memory, facts, vars, object).expect("a heap");
        found.expect("it is held")
    });
    let kept: Vec<Followed> = kept.collect();
    marks.ask("gc");
    marks.ask("churn");
    let (mut cycles, mut by_marks, mut unknown) = (HashSet::new(), 0, 0);
    for _ in 0..CHECKS {
        let (checked, _) = checked(&go, &kept);
        assert_eq!(checked.dead.len(), 0, "go{release}: kept objects are alive");
        cycles.insert(checked.gc_cycles);
        by_marks += checked.by_marks;
        unknown += checked.unknown;
    }
    eprintln!(
        "go{release}: {CHECKS} checks of {} objects in {} cycles, {by_marks} by marks, {unknown} unknown",
        kept.len(),
        cycles.len()
    );
    assert!(cycles.len() > 3, "go{release}: {} cycles", cycles.len());
    assert!(
        unknown * 100 < CHECKS * kept.len(),
        "go{release}: {unknown} unknown"
    );
}

#[test]
fn objects_stay_alive_while_the_heap_moves() {
    for release in ["1.19.8", "1.25.5", "1.26.6", "1.27.3"] {
        stays_true(release);
    }
}

fn release_is_true(release: &str) {
    is_true(release, PLAIN, 64);
}

each_release!(release_is_true);

/// Builds whose heap is laid out otherwise than the release has it.
#[test]
fn experiments_are_true() {
    for (release, name) in [
        ("1.22.10", "experiment-noallocheaders"),
        ("1.25.5", "experiment-greenteagc"),
        ("1.26.6", "experiment-nogreenteagc"),
    ] {
        let kind = Kind {
            name,
            cgo: false,
            arguments: &[],
        };
        is_true(release, kind, 64);
    }
}

#[test]
fn a_hundred_thousand_objects_are_checked_in_a_moment() {
    is_true(crate::support::go::A_RELEASE, PIE_STRIPPED, 17_000);
}
