//! The function with whose calls a leak grows.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::go::{A_RELEASE, STRIPPED, fixture};
use crate::support::heaptop::{heaptop, lines_of};
use crate::support::lines::Lines;
use crate::support::serial::can_probe;

/// Bytes that a call of `main.reload` keeps in routes.
const RELOAD_BYTES: f64 = 200.0 * 1024.0;

#[test]
fn a_leak_of_reloads_is_not_that_of_the_requests_beside_them() {
    // Takes no turn: it is minutes long, and nothing in it is a matter of a moment.
    if !can_probe() {
        return;
    }
    let Some(path) = fixture("reloads", A_RELEASE, STRIPPED) else {
        return;
    };
    let mut program = Command::new(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let lines = Lines::of(program.stdout.take().expect("a pipe"));
    let ready = lines.next().expect("its first line");
    let pid = ready.strip_prefix("ready ").expect("its pid");
    let output = heaptop(&["diagnose", "--json", pid]);
    drop(program.stdin.take());
    program.wait().expect("it ends with its stdin");
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let process = lines_of(&output.stdout, "heaptop.process/1");
    let process: Value = serde_json::from_str(process[0]).expect("JSON");
    let leak = &process["leaks"][0];
    let driver = &leak["driver"];
    assert_eq!(driver["function"], "main.reload", "{leak}");
    let figure = |name: &str| driver[name].as_f64().expect("a number");
    let each = figure("bytes_per_call") / RELOAD_BYTES;
    assert!((0.7..1.4).contains(&each), "{leak}");
    assert!(figure("low") < figure("bytes_per_call"), "{leak}");
    let text = leak["text"].as_str().expect("a text");
    assert!(text.contains(" for each call of main.reload "), "{leak}");
}
