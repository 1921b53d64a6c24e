//! Calls of a function of the target: each counted, and none twice.

use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use heaptop::cli::SourceChoice;
use heaptop::model::Model;
use heaptop::model::calls::Calls;
use heaptop::plan::calls::candidates;
use heaptop::plan::{Kind as ProbeKind, ProbePoint};
use heaptop::process::go_process::GoProcess;
use heaptop::session::{AttachSettings, Per};

use crate::support::go::{A_RELEASE, Kind, PIE_STRIPPED, PLAIN, fixture};
use crate::support::heaptop::{Refused, heaptop, refused};
use crate::support::lines::Lines;
use crate::support::serial::{can_probe, turn};
use crate::support::watched::Watched;

const SERVE_HTTP: &str = "net/http.serverHandler.ServeHTTP";

/// A program that obeys commands; ended when dropped.
#[derive(Debug)]
struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines,
    /// Its first line.
    ready: String,
}

impl Program {
    fn start(release: &str, kind: Kind) -> Option<Self> {
        Some(Self::run(&fixture("calls", release, kind)?))
    }

    fn run(path: &Path) -> Self {
        let mut child = Command::new(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let lines = Lines::of(child.stdout.take().expect("a pipe"));
        let ready = lines.next().expect("its first line");
        assert!(ready.starts_with("ready "), "{ready}");
        Self {
            stdin: child.stdin.take(),
            child,
            lines,
            ready,
        }
    }

    fn ask(&mut self, command: &str) -> String {
        use std::io::Write as _;
        let stdin = self.stdin.as_mut().expect("not ended yet");
        writeln!(stdin, "{command}").expect("it listens");
        let answer = self.lines.next().expect("an answer");
        answer
            .strip_prefix("ok")
            .unwrap_or_else(|| panic!("{command}: {answer}"))
            .trim_start()
            .to_owned()
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Counts always, however much it takes.
fn without_budget(per: Per) -> AttachSettings {
    AttachSettings {
        per,
        max_cpu_fraction: Some(f64::INFINITY),
        ..AttachSettings::default()
    }
}

fn function(name: &str) -> Per {
    Per::Function(name.into())
}

fn attach(pid: u32, settings: &AttachSettings) -> Watched {
    Watched::attach(pid, settings).unwrap_or_else(|refusal| panic!("{refusal}"))
}

#[track_caller]
fn calls(watched: &mut Watched) -> Calls {
    let before = watched.model().calls().map(|calls| calls.total);
    watched.for_a_while(Duration::from_millis(1200));
    watched.catch_up();
    let now = watched.model().calls().expect("counted");
    assert_eq!(
        before.map(f64::to_bits),
        Some(now.total.to_bits()),
        "{now:?}"
    );
    now
}

/// Follows until as many calls are counted, and a while longer: none may be counted twice.
#[track_caller]
fn assert_counted(watched: &mut Watched, name: &str, expected: u64) {
    let enough = |model: &Model| {
        model
            .calls()
            .is_some_and(|calls| calls.total >= expected as f64)
    };
    watched.until(&format!("{expected} calls of {name}"), enough);
    let now = calls(watched);
    assert_eq!(&*now.function, name);
    assert_eq!(now.total.to_bits(), (expected as f64).to_bits(), "{now:?}");
    assert!(!now.is_windowed && now.is_counting, "{now:?}");
    assert_eq!(now.counted_fraction.to_bits(), 1_f64.to_bits());
}

mod each_call_is_counted_once {
    use super::{PIE_STRIPPED, PLAIN, exactly};

    fn plain(release: &str) {
        exactly(release, PLAIN);
    }

    fn stripped_pie(release: &str) {
        exactly(release, PIE_STRIPPED);
    }

    mod in_plain_programs {
        crate::support::each_release!(super::plain);
    }

    // The oldest, one between, and the newest: what differs by build is where the code lies.
    mod in_stripped_pies {
        #[test]
        fn go_1_19() {
            super::stripped_pie("1.19.8");
        }

        #[test]
        fn go_1_22() {
            super::stripped_pie("1.22.10");
        }

        #[test]
        fn go_1_27() {
            super::stripped_pie("1.27.3");
        }
    }
}

fn exactly(release: &str, kind: Kind) {
    let _turn = turn();
    if !can_probe() {
        return;
    }
    let Some(mut program) = Program::start(release, kind) else {
        return;
    };
    for (name, shown, command, n) in [
        ("main.work", "main.work", "work", 30_000),
        ("huge", "main.huge", "huge", 500),
        ("(*box[...]).put", "main.(*box[...]).put", "generic", 3_000),
    ] {
        let mut watched = attach(program.pid(), &without_budget(function(name)));
        for round in 1..=2 {
            watched.during(|| program.ask(&format!("{command} {n}")));
            if round == 2 {
                assert_counted(&mut watched, shown, round * n);
            }
        }
        watched.detach();
    }
    let mut watched = attach(program.pid(), &without_budget(Per::Request));
    watched.during(|| program.ask("requests 2000"));
    assert_counted(&mut watched, SERVE_HTTP, 2000);
    watched.detach();
}

#[test]
fn each_rpc_is_counted_once() {
    let _turn = turn();
    if !can_probe() {
        return;
    }
    let Some(path) = fixture("wild/grpc", A_RELEASE, PIE_STRIPPED) else {
        return;
    };
    let server = Program::run(&path);
    let address = server.ready.split(' ').nth(2).expect("an address");
    let mut watched = attach(server.pid(), &without_budget(Per::Request));
    let answer = watched.during(|| {
        let load = Command::new(&path).args(["load", address, "500"]).output();
        String::from_utf8(load.expect("it runs").stdout).expect("text")
    });
    let words: Vec<&str> = answer.split_whitespace().collect();
    let ["calls", made, "errors", "0"] = words[..] else {
        panic!("{answer}");
    };
    let made: u64 = made.parse().expect("a number");
    assert!(made > 100, "{answer}");
    assert_counted(
        &mut watched,
        "google.golang.org/grpc.(*Server).handleStream",
        made,
    );
    watched.detach();
}

#[test]
fn requests_are_counted_beside_every_source() {
    let _turn = turn();
    if !can_probe() {
        return;
    }
    let Some(mut program) = Program::start(A_RELEASE, PIE_STRIPPED) else {
        return;
    };
    for (source, arm) in [
        (None, true),
        (Some(SourceChoice::Spans), false),
        (Some(SourceChoice::Exact), false),
    ] {
        let settings = AttachSettings {
            source,
            arm,
            ..without_budget(Per::Request)
        };
        let mut watched = attach(program.pid(), &settings);
        watched.during(|| program.ask("requests 500"));
        assert_counted(&mut watched, SERVE_HTTP, 500);
        watched.detach();
    }
}

#[test]
fn many_calls_are_counted_in_windows_and_estimated() {
    const LONG: u64 = 150;
    let _turn = turn();
    if !can_probe() {
        return;
    }
    let Some(mut program) = Program::start(A_RELEASE, PIE_STRIPPED) else {
        return;
    };
    let is_long = std::env::var_os("HEAPTOP_LONG").is_some_and(|value| value == "1");
    let seconds = if is_long { LONG } else { 8 };
    let settings = AttachSettings {
        per: function("main.work"),
        ..AttachSettings::default()
    };
    let mut watched = attach(program.pid(), &settings);
    // The first window is the one right behind the attach.
    let answers: Vec<String> = watched.during(|| {
        // An answer comes before a test's patience ends.
        let ask = |_| program.ask("steady 20000 8000");
        (0..seconds / 8).map(ask).collect()
    });
    let made: f64 = answers
        .iter()
        .map(|answer| answer.parse::<f64>().expect("a number"))
        .sum();
    let now = watched.model().calls().expect("counted");
    eprintln!("{made} made, {now:?}");
    assert!(now.is_windowed && !now.is_counting, "{now:?}");
    assert!(now.counted_fraction < 0.4, "{now:?}");
    // What is known is up to a second old.
    let untold = 1.0 / seconds as f64;
    let error = now.total / made - 1.0;
    assert!(
        (-0.1 - untold..0.1).contains(&error),
        "{made} made: {now:?}"
    );
    if is_long {
        let mean = now.mean_per_sec.expect("windows");
        let truth = made / seconds as f64;
        assert!((mean.value / truth - 1.0).abs() < 0.1, "{truth}: {mean:?}");
    }
    watched.detach();
}

#[test]
fn a_function_that_cannot_be_counted_is_refused_with_the_reason() {
    let _turn = turn();
    if !can_probe() {
        return;
    }
    let Some(program) = Program::start(A_RELEASE, PIE_STRIPPED) else {
        return;
    };
    let pid = program.pid().to_string();
    let refused = |function: &str| -> Refused {
        refused(&heaptop(&["--json", "--count=1", "--per", function, &pid]))
    };
    let unknown = refused("main.Work");
    assert_eq!(unknown.what, "cannot count calls of main.Work");
    assert_eq!(unknown.why, "the program has no such function");
    assert!(
        unknown.next.contains("did you mean main.work"),
        "{unknown:?}"
    );
    let nothing = refused("nosuchthing");
    assert!(nothing.next.contains("net/http."), "{nothing:?}");
    let several = refused("run");
    assert!(
        several
            .why
            .contains("functions of the program have that name")
    );
    let two = refused("main.(*first).ru");
    assert!(two.next.contains("main.(*first).run"), "{two:?}");
    let inlined = refused("main.inlined");
    assert!(inlined.why.contains("inlined"), "{inlined:?}");
    let frameless = refused("main.frameless");
    assert!(frameless.why.contains("begins with"), "{frameless:?}");
    let output = heaptop(&["--json", "--count=1", "--per", "off", &pid]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_candidate_is_a_function_that_a_stack_check_begins() {
    let Some(program) = Program::start(A_RELEASE, PIE_STRIPPED) else {
        return;
    };
    let go = GoProcess::open(program.pid()).expect("a Go process");
    let functions = [
        "main.work",
        "main.inlined",
        "main.frameless",
        "main.(*box[...]).put",
        "main.missing",
    ];
    let functions = functions.map(Arc::from);
    let kind = ProbeKind::OtherCall;
    let jbe_filter = 1 << (kind as u64);
    let found = candidates(&go.program, &*go.image, &functions, (kind, jbe_filter));
    let n_points: Vec<Option<usize>> = found
        .iter()
        .map(|points| points.as_ref().map(Vec::len))
        .collect();
    assert_eq!(n_points, [Some(1), None, None, Some(3), None]);
    let is_kind = |point: &ProbePoint| point.kind == kind;
    assert!(found.iter().flatten().flatten().all(is_kind));
}
