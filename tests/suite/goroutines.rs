//! Goroutines of real programs: are they counted, grouped and named as the program itself would say?

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use heaptop::go::goroutines::{self, AllGoroutines, Group};
use heaptop::go::memory::Memory as _;
use heaptop::go::static_image::StaticImage as _;
use heaptop::go::wait_reasons;
use heaptop::model::goroutines::GoroutineGroup;
use heaptop::process::go_process::GoProcess;

use crate::support::go::{A_RELEASE, Kind, PIE_STRIPPED, PLAIN, fixture};
use crate::support::lines::Lines;
use crate::support::serial;
use crate::support::watched::Watched;
use crate::support::{PATIENCE, each_release, wait_for};

/// A running `tests/programs/goroutines`; ended when dropped.
struct Started {
    child: Child,
    lines: Lines,
}

impl Started {
    fn new(path: &Path) -> Self {
        let mut child = Command::new(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let lines = Lines::of(child.stdout.take().expect("a pipe"));
        let ready = lines.next().expect("a line");
        assert!(ready.starts_with("ready "), "{ready}");
        Self { child, lines }
    }

    fn ask(&mut self, command: &str) -> String {
        let stdin = self.child.stdin.as_mut().expect("a pipe");
        writeln!(stdin, "{command}").expect("it reads");
        self.lines.next().expect("an answer")
    }

    /// Goroutines and bytes of stacks as the program knows them.
    fn count(&mut self) -> (u64, u64) {
        let line = self.ask("count");
        let mut fields = line
            .split(' ')
            .skip(1)
            .map(|field| field.parse().expect("a number"));
        (fields.next().expect("two"), fields.next().expect("two"))
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(go: &GoProcess) -> AllGoroutines {
    let found = goroutines::read(&go.memory(), go.program.facts, &go.program.vars, None);
    found.expect("they can be read")
}

fn function(go: &GoProcess, return_pc: u64) -> String {
    let frame = go.program.innermost_at(&*go.image, &go.memory(), return_pc);
    frame.map_or_else(String::new, |frame| frame.function.to_string())
}

/// Functions of the oldest's stack, leaf first, as a traceback has them.
fn stack(go: &GoProcess, group: &Group) -> Vec<String> {
    let oldest = group.oldest.as_ref().expect("a parked one");
    let pcs = go.program.expand(&*go.image, &go.memory(), &oldest.pcs);
    pcs.iter().map(|&pc| function(go, pc)).collect()
}

/// What to park: how many, and under which words.
const PARKED: [(&str, u64, &str, &str); 9] = [
    ("receive", 500, "chan receive", "main.receive"),
    ("send", 50, "chan send", "main.send"),
    ("select", 300, "select", "main.choose"),
    ("sleep", 200, "sleep", "main.sleep"),
    ("lock", 10, "sync.Mutex.Lock", "main.lock"),
    ("wait", 11, "sync.WaitGroup.Wait", "main.wait"),
    ("io", 20, "IO wait", "main.readPipe"),
    ("forever", 5, "select (no cases)", "main.forever"),
    ("deep", 40, "chan receive", "main.deep"),
];

/// Earlier releases have no words of their own for locks.
fn wait_words(release: &str, words: &'static str) -> &'static str {
    let minor: u32 = release
        .split('.')
        .nth(1)
        .and_then(|n| n.parse().ok())
        .expect("1.N.P");
    match words {
        "sync.Mutex.Lock" if minor < 20 => "semacquire",
        "sync.WaitGroup.Wait" if minor < 24 => "semacquire",
        _ => words,
    }
}

fn is_true(release: &str, kind: Kind) {
    let Some(path) = fixture("goroutines", release, kind) else {
        return;
    };
    let name = format!("go{release} {}", kind.name);
    let mut started = Started::new(&path);
    for (what, n, _, _) in PARKED {
        started.ask(&format!("park {what} {n}"));
    }
    let go = GoProcess::open(started.child.id()).expect("a Go process");
    // The last steps from the counter to the parking are not the program's to see.
    let parked: u64 = PARKED.iter().map(|parked| parked.1).sum();
    let found = wait_for("all to be parked", PATIENCE, || {
        let found = read(&go);
        let of_park = found.groups.iter().filter(|group| group.count >= 5);
        let waiting: u64 = of_park.map(|group| group.states.waiting).sum();
        (waiting >= parked).then_some(found)
    });
    assert_eq!(
        (found.unreadable, found.omitted, found.others.count),
        (0, 0, 0),
        "{name}"
    );

    for (what, n, words, start) in PARKED {
        let of_start = |group: &&Group| {
            group.oldest.is_some()
                && stack(&go, group)
                    .iter()
                    .rev()
                    .nth(1)
                    .is_some_and(|f| f == start)
        };
        let group = found.groups.iter().find(of_start);
        let group = group.unwrap_or_else(|| panic!("{name}: no {start} in {found:#?}"));
        assert_eq!(
            (group.count, group.states.waiting),
            (n, n),
            "{name}: {what}"
        );
        assert_eq!(
            group.waits,
            [(wait_words(release, words).into(), n)],
            "{name}: {what}"
        );
        assert_eq!(
            function(&go, group.created_pc),
            "main.park",
            "{name}: {what}"
        );
        let frames = stack(&go, group);
        assert_eq!(
            frames.first().map(String::as_str),
            Some("runtime.gopark"),
            "{name}: {frames:?}"
        );
        assert_eq!(
            frames.last().map(String::as_str),
            Some("runtime.goexit"),
            "{name}: {frames:?}"
        );
        match what {
            // 33 KiB in frames lie on a stack of 64 KiB.
            "deep" => {
                assert_eq!(group.stack_bytes, n * (64 << 10), "{name}");
                let deep = frames.iter().filter(|frame| *frame == "main.deep").count();
                assert_eq!(deep, 33, "{name}: {frames:?}");
            }
            "receive" | "send" | "forever" => {
                assert_eq!(group.stack_bytes, n * 2048, "{name}: {what}");
            }
            _ => assert!(
                (n * 2048..=n * 8192).contains(&group.stack_bytes),
                "{name}: {what} {}",
                group.stack_bytes
            ),
        }
    }
    waits_are_told(&mut started, &go, &name);
    counts_agree(&mut started, &go, &name);
    words_are_the_runtimes(&go, &name);
}

/// A wait is unknown until a GC has seen it, and then counts from the GC before.
fn waits_are_told(started: &mut Started, go: &GoProcess, name: &str) {
    let begun_ns = heaptop::clock::monotonic_ns();
    started.ask("gc");
    let first_ns = heaptop::clock::monotonic_ns();
    started.ask("gc");
    let since = |found: &AllGoroutines| {
        let parked = found.groups.iter().filter(|group| group.count >= 40);
        parked
            .map(|group| group.waiting_since_ns)
            .collect::<Vec<_>>()
    };
    let after = since(&read(go));
    // No cycle came before.
    let is_first =
        |since: &Option<u64>| since.is_some_and(|since| begun_ns < since && since < first_ns);
    assert!(
        after.len() >= 5 && after.iter().all(is_first),
        "{name}: {after:?}, not {begun_ns} to {first_ns}"
    );
}

/// All of them, but for those of the runtime, are what the program counts; and as many when some have left.
fn counts_agree(started: &mut Started, go: &GoProcess, name: &str) {
    for leave in [
        "",
        "leave receive 123",
        "leave select 300",
        "park receive 23",
        "park sleep 1000",
    ] {
        if !leave.is_empty() {
            started.ask(leave);
        }
        // Those that have left may take a moment to end.
        wait_for("equal counts", PATIENCE, || {
            let (count, stacks_inuse) = started.count();
            let found = read(go);
            let is_own = |group: &&Group| {
                let start = function(go, group.start_pc + 1);
                start == "runtime.main" || !start.starts_with("runtime.")
            };
            let own: u64 = found
                .groups
                .iter()
                .filter(is_own)
                .map(|group| group.count)
                .sum();
            assert!(
                found.stack_bytes <= stacks_inuse,
                "{name}: {} of {stacks_inuse}",
                found.stack_bytes
            );
            (own == count).then_some(())
        });
    }
}

/// The program's own table of words, where its symbol tells where that lies.
fn words_are_the_runtimes(go: &GoProcess, name: &str) {
    let symbols = go.image.variable_symbols(&["runtime.waitReasonStrings"]);
    let Some(Some(table)) = symbols.first().copied() else {
        assert!(name.contains("stripped"), "{name}: no symbol");
        return;
    };
    let (memory, at) = (go.memory(), table.wrapping_add(go.program.bias));
    let known = &go.program.facts.goroutine.wait_reasons;
    let n = 1 + known.iter().rposition(|&idx| idx != 0).expect("some");
    for (reason, &idx) in known.iter().enumerate().take(n) {
        let string = at + 16 * reason as u64;
        let (start, len) = (
            memory.u64(string).expect("a string"),
            memory.u64(string + 8).expect("a length"),
        );
        let words = memory
            .bytes(start, usize::try_from(len).expect("short"))
            .unwrap_or_default();
        let words = String::from_utf8(words).expect("words");
        let ours = wait_reasons::KNOWN[usize::from(idx)].1;
        assert_eq!(
            ours,
            words.replace("(synctest)", "(durable)"),
            "{name}: {reason}"
        );
    }
}

fn plain_is_true(release: &str) {
    is_true(release, PLAIN);
}

fn stripped_pie_is_true(release: &str) {
    is_true(release, PIE_STRIPPED);
}

mod plain {
    use super::*;
    each_release!(plain_is_true);
}

mod stripped_pie {
    use super::*;
    each_release!(stripped_pie_is_true);
}

/// Resident set of this very process.
fn own_rss_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("it is Linux");
    let pages: u64 = statm
        .split(' ')
        .nth(1)
        .and_then(|n| n.parse().ok())
        .expect("a number");
    pages * 4096
}

#[test]
fn a_hundred_thousand_are_read_in_a_moment() {
    let Some(path) = fixture("goroutines", A_RELEASE, PIE_STRIPPED) else {
        return;
    };
    let _turn = serial::turn();
    let mut started = Started::new(&path);
    let go = GoProcess::open(started.child.id()).expect("a Go process");
    let mut parked = 0;
    for n in [1000, 100_000] {
        started.ask(&format!("park receive {}", n - parked));
        parked = n;
        let before = own_rss_bytes();
        // The best of three: other tests want the CPUs too.
        let tries = (0..3).map(|_| {
            let begun = Instant::now();
            let found = read(&go);
            (begun.elapsed(), found)
        });
        let (took, found) = tries.min_by_key(|read| read.0).expect("three");
        let grown = own_rss_bytes().saturating_sub(before);
        eprintln!(
            "{} goroutines read in {took:?}, {grown} bytes for it",
            found.total
        );
        assert!(found.total >= n, "{}", found.total);
        assert!(took < Duration::from_secs(1), "{took:?}");
        assert!(grown < 16 << 20, "{grown} bytes");
        assert!(found.tracked.goroutines.len() <= goroutines::MAX_TRACKED);
        let stands_for = found.tracked.goroutines.len() as u64 * (1 << found.tracked.shift);
        let off = stands_for.abs_diff(found.total);
        assert!(off * 50 <= found.total, "{stands_for} of {}", found.total);
    }
}

#[test]
fn readings_are_whole_while_the_program_goes_on() {
    const READS: u32 = 200;
    for release in ["1.19.8", A_RELEASE] {
        let Some(path) = fixture("goroutines", release, PLAIN) else {
            return;
        };
        let mut started = Started::new(&path);
        started.ask("park receive 700");
        started.ask("park deep 20");
        started.ask("churn 20000");
        started.ask("leak select 1000");
        let go = GoProcess::open(started.child.id()).expect("a Go process");
        let mut unreadable = 0;
        for _ in 0..READS {
            let found = read(&go);
            let constant = found.groups.iter().filter(|group| {
                group.waits == [("chan receive".into(), 700)]
                    || group.waits == [("chan receive".into(), 20)]
            });
            assert_eq!(constant.count(), 2, "go{release}: {found:#?}");
            unreadable += found.unreadable;
        }
        eprintln!("go{release}: {unreadable} torn in {READS} reads");
        assert!(unreadable <= u64::from(READS), "go{release}: {unreadable}");
    }
}

/// From the process to what is shown.
#[test]
fn a_watch_tells_of_goroutines() {
    let Some(path) = fixture("goroutines", A_RELEASE, PIE_STRIPPED) else {
        return;
    };
    let _turn = serial::turn();
    if !serial::can_probe() {
        return;
    }
    let mut started = Started::new(&path);
    started.ask("park receive 100");
    started.ask("gc");
    started.ask("gc");
    let mut watched = Watched::by_probes(started.child.id());
    watched.until("goroutines", |model| model.goroutines().is_some());
    let of_receive = |watched: &Watched| -> GoroutineGroup {
        let all = watched.model().goroutines().expect("known");
        let group = all
            .groups
            .iter()
            .find(|group| &*group.start.function == "main.receive");
        group.unwrap_or_else(|| panic!("{all:#?}")).clone()
    };
    let group = of_receive(&watched);
    assert_eq!((group.count, group.growth), (100, Some(0)));
    let created_by = group.created_by.as_ref().expect("a place");
    assert_eq!(&*created_by.function, "main.park");
    assert!(
        created_by.file.ends_with("main.go") && created_by.line > 0,
        "{created_by:?}"
    );
    let oldest = group.oldest.as_ref().expect("a stack");
    let place = oldest
        .frames
        .iter()
        .find(|frame| &*frame.function == "main.receive");
    assert!(place.is_some_and(|frame| frame.line > 0), "{oldest:?}");
    assert!(
        group
            .longest_wait_ns
            .is_some_and(|wait| wait < 60_000_000_000),
        "{group:?}"
    );
    let (count, _) = started.count();
    let all = watched.model().goroutines().expect("known");
    assert_eq!(all.count - all.runtime_count, count);

    let first_ns = all.at_ns;
    started.ask("park receive 50");
    watched.until("another reading", |model| {
        model.goroutines().is_some_and(|all| all.at_ns > first_ns)
    });
    assert_eq!(
        (of_receive(&watched).count, of_receive(&watched).growth),
        (150, Some(50))
    );
    watched.detach();
}
