//! A plugin that is loaded after heaptop came: are its functions named?

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use heaptop::process::go_process::GoProcess;
use heaptop::symbolize::Symbolizer;

use crate::support::go::{A_RELEASE, Kind, fixture, go};
use crate::support::lines::Lines;

#[test]
fn functions_of_a_plugin_that_comes_later_are_named() {
    const CGO: Kind = Kind {
        name: "cgo",
        cgo: true,
        arguments: &[],
    };
    let Some(path) = fixture("plugged", A_RELEASE, CGO) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = folder.path().join("part.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/programs/plugged/part");
    let built = go(A_RELEASE)
        .expect("it built the program")
        .args(["build", "-buildmode=plugin", "-o"])
        .arg(&plugin)
        .arg(".")
        .current_dir(source)
        .env("CGO_ENABLED", "1")
        .status();
    assert!(built.expect("go runs").success());

    let mut child = Command::new(&path)
        .arg(&plugin)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let lines = Lines::of(child.stdout.take().expect("a pipe"));
    let mut stdin = child.stdin.take().expect("a pipe");
    assert!(lines.next().expect("a line").starts_with("ready"));
    let go = GoProcess::open(child.id()).unwrap_or_else(|err| panic!("{err}"));
    let mut symbolizer = Symbolizer::new(&go);
    assert_eq!(go.program.modules.len(), 1);
    writeln!(stdin, "load").expect("it reads");
    let mut told = Vec::new();
    while let Some(line) = lines.next().filter(|line| line != "loaded") {
        let mut fields = line.split(' ').skip(1).map(str::to_owned);
        let pc = fields.next().expect("a pc");
        let pc = u64::from_str_radix(&pc[2..], 16).expect("an address");
        told.push((pc, fields.next().expect("a name")));
    }
    let pcs: Vec<u64> = told.iter().map(|(pc, _)| *pc).collect();
    let frames = symbolizer.names(&pcs);
    let inlined = frames.iter().find(|(_, frame)| frame.inlined);
    assert!(inlined.is_some_and(|(_, frame)| frame.function.ends_with(".inlined")));
    let found: Vec<(u64, String)> = frames
        .iter()
        .map(|(pc, frame)| (*pc, format!("{}:{}", frame.function, frame.line)))
        .collect();
    assert_eq!(found, told);
    drop(stdin);
    child.wait().expect("it ends");
}
