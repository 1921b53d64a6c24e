//! Real Go programs of every release and kind of build: are the runtime's variables, the probe points and
//! the names of frames right, also without symbols?

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use heaptop::go::facts::Facts;
use heaptop::go::frame::Frame;
use heaptop::go::memory::{Memory, Unreadable};
use heaptop::go::program::{FactsFrom, Layout, Program};
use heaptop::go::static_image::{Section, Segment, StaticImage};
use heaptop::plan::{Instruction, Kind as Probe, ProbePlan, Wanted, plan};
use heaptop::process::image::Image;
use heaptop::refusal::Refusal;

use crate::support::each_release;
use crate::support::go::{Kind, PIE_STRIPPED, PLAIN, STRIPPED, copy_program, fixture};

const KINDS: [Kind; 7] = [
    PLAIN,
    STRIPPED,
    Kind {
        name: "trimpath",
        cgo: false,
        arguments: &["-trimpath"],
    },
    Kind {
        name: "pie",
        cgo: false,
        arguments: &["-buildmode=pie"],
    },
    PIE_STRIPPED,
    Kind {
        name: "external",
        cgo: true,
        arguments: &["-ldflags=-linkmode=external"],
    },
    Kind {
        name: "external-pie-stripped",
        cgo: true,
        arguments: &["-buildmode=pie", "-ldflags=-linkmode=external -s -w"],
    },
];

/// A running program; ended when dropped.
struct Running {
    child: Child,
    // Held, or the program would end by SIGPIPE.
    _stdout: BufReader<ChildStdout>,
    lines: Vec<String>,
}

impl Running {
    /// Starts the program and reads what it prints until `ready`.
    fn start(path: &Path) -> Self {
        let mut child = Command::new(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let len = stdout.read_line(&mut line).expect("lines of text");
            assert_ne!(len, 0, "the program ended before it was ready");
            if line.trim_end() == "ready" {
                break;
            }
            lines.push(line.trim_end().to_owned());
        }
        Self {
            child,
            _stdout: stdout,
            lines,
        }
    }

    fn memory(&self) -> ProcessMemory {
        let path = format!("/proc/{}/mem", self.child.id());
        ProcessMemory(File::open(path).expect("own child"))
    }

    /// Start of the first mapping of the executable minus its first link-time address.
    fn bias(&self, image: &dyn StaticImage, path: &Path) -> u64 {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", self.child.id()));
        let maps = maps.expect("own child");
        let path = path.canonicalize().expect("the program exists");
        let first = maps
            .lines()
            .find(|line| line.ends_with(path.to_str().expect("text")))
            .expect("a mapping of the program");
        let (start, _) = first.split_once('-').expect("a range");
        let start = u64::from_str_radix(start, 16).expect("an address");
        start - image.first_load_vaddr()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct ProcessMemory(File);

impl Memory for ProcessMemory {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), Unreadable> {
        let len = buf.len();
        self.0
            .read_exact_at(buf, addr)
            .map_err(|_| Unreadable { addr, len })
    }
}

/// The same image as if it were stripped of symbols.
struct WithoutSymbols<'a>(&'a Image);

impl Memory for WithoutSymbols<'_> {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), Unreadable> {
        self.0.read(addr, buf)
    }
}

impl StaticImage for WithoutSymbols<'_> {
    fn segments(&self) -> &[Segment] {
        self.0.segments()
    }

    fn section(&self, name: &str) -> Option<Section> {
        self.0.section(name)
    }

    fn is_pie(&self) -> bool {
        self.0.is_pie()
    }

    fn variable_symbols(&self, names: &[&str]) -> Vec<Option<u64>> {
        vec![None; names.len()]
    }
}

/// The same image as if its section headers were gone too.
struct WithoutSections<'a>(&'a Image);

impl Memory for WithoutSections<'_> {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), Unreadable> {
        self.0.read(addr, buf)
    }
}

impl StaticImage for WithoutSections<'_> {
    fn segments(&self) -> &[Segment] {
        self.0.segments()
    }

    fn section(&self, _: &str) -> Option<Section> {
        None
    }

    fn is_pie(&self) -> bool {
        self.0.is_pie()
    }

    fn variable_symbols(&self, names: &[&str]) -> Vec<Option<u64>> {
        vec![None; names.len()]
    }
}

/// One logical frame, as the runtime printed it.
struct Told {
    group: u32,
    pc: u64,
    line: u32,
    function: String,
    file: String,
}

fn told(line: &str) -> Option<Told> {
    let mut fields = line.strip_prefix("frame\t")?.split('\t');
    let mut field = || fields.next().expect("five fields");
    Some(Told {
        group: field().parse().expect("a number"),
        pc: u64::from_str_radix(field().trim_start_matches("0x"), 16).expect("an address"),
        line: field().parse().expect("a number"),
        function: field().to_owned(),
        file: field().to_owned(),
    })
}

fn check(release: &str, kind: Kind) -> bool {
    let name = kind.name;
    let Some(path) = fixture("stacks", release, kind) else {
        return false;
    };
    let running = Running::start(&path);
    let live = running.memory();
    let file = File::open(&path).expect("the program exists");
    let image = Image::open(file).expect("an ELF file");
    assert_eq!(image.is_pie(), name.contains("pie"), "{release} {name}");
    let bias = running.bias(&image, &path);

    let begun = Instant::now();
    let program = Program::locate(&image, &live, bias)
        .unwrap_or_else(|err| panic!("{release} {name}: {err}"));
    let took = begun.elapsed();
    assert_eq!(program.version, format!("go{release}"));
    assert_eq!(program.facts_from, FactsFrom::Table);
    assert_eq!(program.build.path, "example.com/stacks");
    assert!(program.vars.sweep_state.is_some(), "{release} {name}");
    for stripped in [
        &WithoutSymbols(&image) as &dyn StaticImage,
        &WithoutSections(&image),
    ] {
        let again = Program::locate(stripped, &live, bias)
            .unwrap_or_else(|err| panic!("{release} {name}, stripped: {err}"));
        assert_eq!(again.vars, program.vars, "{release} {name}");
    }
    let layout = Layout::of_file(&image).unwrap_or_else(|err| panic!("{release} {name}: {err}"));
    assert_eq!(layout.vars.at(bias), program.vars, "{release} {name}");
    let main = program.modules[0].moduledata;
    assert_eq!(
        layout.moduledata.moved(bias),
        main.moved(0),
        "{release} {name}"
    );
    let has_symbols = image.variable_symbols(&["runtime.mheap_"])[0].is_some();
    assert_eq!(has_symbols, !name.contains("stripped"), "{release} {name}");
    let rate = format!("rate\t{:#x}", program.vars.mem_profile_rate);
    assert!(running.lines.contains(&rate), "{release} {name}: {rate}");
    let state = live.u32(program.vars.sweep_state.expect("found above"));
    assert_eq!(state, Ok(0x8000_0000), "{release} {name}: swept");

    check_plan(release, name, &program, &image, &path);
    check_frames(release, name, &program, &image, &running, &live);
    check_types(release, name, &program, &image, &running, &live);
    eprintln!("{release} {name}: located in {took:?}");
    true
}

fn check_plan(release: &str, name: &str, program: &Program, image: &Image, path: &Path) {
    let planned = |wanted: Wanted| {
        plan(program, image, wanted).unwrap_or_else(|err| panic!("{release} {name}: {err}"))
    };
    let sampler = planned(Wanted::Sampler);
    assert_eq!(sampler.points.len(), 5);
    let spans = planned(Wanted::Spans);
    let exact = planned(Wanted::Exact);
    let n_points = |plan: &ProbePlan, kind: Probe| {
        let points = plan.points.iter();
        points.filter(|point| point.kind == kind).count()
    };
    for plan in [&spans, &exact] {
        for kind in [Probe::GcStart, Probe::GcMarked, Probe::Span, Probe::Large] {
            assert_eq!(n_points(plan, kind), 1, "{release} {name}: {kind:?}");
        }
        assert_eq!(plan.notes, [""; 0], "{release} {name}");
        assert_eq!(plan.mallocgc, None, "{release} {name}");
    }
    assert_eq!(n_points(&spans, Probe::Alloc), 0);
    // Up to 1.26 one way leads to every allocation; then there are 14 functions of single size classes, and four others.
    let is_specialised = release.starts_with("1.27.");
    let n_allocs = n_points(&exact, Probe::Alloc);
    assert_eq!(n_allocs, if is_specialised { 18 } else { 1 }, "{release}");
    let file = File::open(path).expect("the program exists");
    let points = [sampler.points, exact.points].concat();
    for point in points {
        let mut bytes = [0; 2];
        file.read_exact_at(&mut bytes, point.file_offset)
            .expect("code");
        let fits = match point.instruction {
            Instruction::PushRbp => bytes[0] == 0x55,
            Instruction::Jbe => bytes[0] == 0x76 || bytes == [0x0f, 0x86],
            Instruction::Call => bytes[0] == 0xe8,
            Instruction::NilCheck => {
                matches!(bytes, [0x74 | 0x75, _] | [0x0f, 0x84 | 0x85])
            }
        };
        assert!(fits, "{release} {name}: {point:?} on {bytes:02x?}");
        // From 1.21 on a prologue saves the frame pointer by `push %rbp`.
        let is_old = minor_of(release) < 21;
        assert_eq!(
            point.jbe_filter,
            is_old && matches!(point.instruction, Instruction::PushRbp | Instruction::Jbe),
            "{release} {name}: {point:?}"
        );
    }
}

/// The minor number of a release `1.N.P`.
fn minor_of(release: &str) -> u16 {
    let minor = release.split('.').nth(1).expect("1.N.P");
    minor.parse().expect("a number")
}

fn check_frames(
    release: &str,
    name: &str,
    program: &Program,
    image: &Image,
    running: &Running,
    live: &ProcessMemory,
) {
    let told: Vec<Told> = running.lines.iter().filter_map(|line| told(line)).collect();
    assert!(told.len() > 80, "{release} {name}: {} frames", told.len());
    let mut inlined = 0;
    let innermost: Vec<Frame> = told
        .iter()
        .map(|told| {
            let frame = program
                .innermost_at(image, live, told.pc)
                .unwrap_or_else(|| panic!("{release} {name}: {} has no frame", told.function));
            let got = (&*frame.function, &*frame.file, frame.line);
            let expected = (&*told.function, &*told.file, told.line);
            assert_eq!(got, expected, "{release} {name}");
            let starts_right = if minor_of(release) < 20 {
                frame.start_line == 0
            } else {
                (1..=frame.line).contains(&frame.start_line)
            };
            assert!(starts_right, "{release} {name}: {frame:?}");
            inlined += usize::from(frame.inlined);
            frame
        })
        .collect();
    assert!(inlined > 15, "{release} {name}: {inlined} inlined frames");
    // A pc stands for its own frame and all those it is inlined into.
    for (at, first) in told.iter().enumerate() {
        let rest = told[at..].iter().zip(&innermost[at..]);
        let same_stack = rest.take_while(|(told, _)| told.group == first.group);
        let mut expected: Vec<&Frame> = Vec::new();
        for (_, frame) in same_stack {
            expected.push(frame);
            if !frame.inlined {
                break;
            }
        }
        // The runtime leaves wrappers out of stacks.
        let expanded = program.frames_at(image, live, first.pc);
        let is_wrapper = |frame: &Frame| frame.func_id == program.facts.func.wrapper_id;
        let autogenerated = |frame: &Frame| &*frame.file == "<autogenerated>";
        assert!(
            expanded
                .iter()
                .all(|frame| is_wrapper(frame) >= autogenerated(frame))
        );
        if expanded.last().is_some_and(is_wrapper) {
            expected.pop();
        }
        let expanded: Vec<&Frame> = expanded.iter().filter(|frame| !is_wrapper(frame)).collect();
        assert_eq!(expanded, expected, "{release} {name}");
    }
    check_expansion(release, name, program, image, live, &told);
}

/// Of the runtime's own stacks, without the pcs that expansion made, expansion makes the same again.
fn check_expansion(
    release: &str,
    name: &str,
    program: &Program,
    image: &Image,
    live: &ProcessMemory,
    told: &[Told],
) {
    let expand = |pcs: &[u64]| program.expand(image, live, pcs);
    for stack in told.chunk_by(|a, b| a.group == b.group) {
        let stack: Vec<u64> = stack.iter().map(|told| told.pc).collect();
        let mut physical = Vec::new();
        let mut at = 0;
        while let Some(&pc) = stack.get(at) {
            physical.push(pc);
            at += expand(&[pc]).len();
        }
        assert_eq!(expand(&physical), stack, "{release} {name}");
    }
    // A function that is all wrapper leaves nothing; code of others stays.
    let wrapper = program.functions(image, &["main.(*dog).speak"])[0].expect("it is called");
    let entry = wrapper.start.wrapping_add(program.bias);
    assert!(expand(&[entry + 1]).is_empty(), "{release} {name}");
    assert_eq!(expand(&[0x1234]), [0x1234]);
}

fn check_types(
    release: &str,
    name: &str,
    program: &Program,
    image: &Image,
    running: &Running,
    live: &ProcessMemory,
) {
    let address = |hex: &str| u64::from_str_radix(&hex[2..], 16).expect("an address");
    let type_at = |addr: &str| program.type_at(image, live, address(addr));
    let mut n = 0;
    for line in &running.lines {
        let fields: Vec<&str> = line.split('\t').collect();
        match fields[..] {
            ["type", addr, size, told] => {
                let found = type_at(addr).unwrap_or_else(|| panic!("{release} {name}: {told}"));
                assert_eq!(&*found.name, told, "{release} {name}");
                assert_eq!(
                    found.size_bytes.to_string(),
                    size,
                    "{release} {name}: {told}"
                );
                n += 1;
            }
            ["made", addr] => assert_eq!(type_at(addr), None, "{release} {name}: by reflection"),
            _ => {}
        }
    }
    assert_eq!(n, 16, "{release} {name}");
}

fn check_release(release: &str) {
    for kind in KINDS {
        if !check(release, kind) {
            return;
        }
    }
}

each_release!(check_release);

/// A copy of a program in which the linker has written another release.
fn as_another_release(path: &Path, release: &str, written: &str) -> PathBuf {
    let (from, to) = (format!("go{release}"), format!("go{written}"));
    assert_eq!(from.len(), to.len());
    let mut bytes = std::fs::read(path).expect("a program");
    let find = |what: &[u8], from: usize| {
        let mut windows = bytes[from..].windows(what.len());
        from + windows
            .position(|window| window == what)
            .expect("it is there")
    };
    // Go's linker aligns it; the same text in the reader of build information is not.
    let mut mark = find(b"\xff Go buildinf:", 0);
    while mark % 16 != 0 {
        mark = find(b"\xff Go buildinf:", mark + 1);
    }
    let version = find(from.as_bytes(), mark);
    assert!(version - mark < 64, "the version follows the mark");
    bytes[version..version + to.len()].copy_from_slice(to.as_bytes());
    let copy = path.with_file_name(format!("as-{written}"));
    // Written to another file first: see `copy_program`.
    let written = copy.with_extension("bytes");
    std::fs::write(&written, bytes).expect("room");
    let mode = std::fs::metadata(path).expect("a program").permissions();
    std::fs::set_permissions(&written, mode).expect("own file");
    copy_program(&written, &copy);
    copy
}

/// What [`Program::locate`] makes of a program, and what it prints.
fn locate(path: &Path) -> (Result<Program, Refusal>, Image, Running) {
    let running = Running::start(path);
    let image = Image::open(File::open(path).expect("own copy")).expect("an ELF file");
    let bias = running.bias(&image, path);
    let located = Program::locate(&image, &running.memory(), bias);
    (located, image, running)
}

/// A release that nobody has measured, of which this program says it is, is read as the table has it.
fn reads_by_dwarf(release: &str) {
    let minor = minor_of(release);
    let newer = format!("1.9{}", &release[3..]);
    for kind in [PLAIN, KINDS[5], KINDS[3]] {
        let name = format!("{release} {}", kind.name);
        let Some(path) = fixture("stacks", release, kind) else {
            return;
        };
        let copy = as_another_release(&path, release, &newer);
        let begun = Instant::now();
        let (located, image, running) = locate(&copy);
        let took = begun.elapsed();
        let program = located.unwrap_or_else(|err| panic!("{name}: {err}"));
        assert_eq!(program.facts_from, FactsFrom::Dwarf);
        assert_eq!(program.version, format!("go{newer}"));
        let facts = Facts {
            minor,
            ..*program.facts
        };
        assert_eq!(Some(&facts), Facts::of_minor(minor), "{name}");
        check_frames(
            release,
            &name,
            &program,
            &image,
            &running,
            &running.memory(),
        );
        eprintln!("{name}: by DWARF in {took:?}");
    }
    let stripped = fixture("stacks", release, STRIPPED).expect("built before");
    let (located, ..) = locate(&as_another_release(&stripped, release, &newer));
    let refusal = located.expect_err("nothing is known of it");
    assert!(refusal.why.contains("no debug information"), "{refusal}");
    assert!(refusal.next.contains("update heaptop"), "{refusal}");
}

each_release! { reads_by_dwarf;
    dwarf_1_18 "1.18.10", dwarf_1_20 "1.20.14", dwarf_1_24 "1.24.11", dwarf_1_25 "1.25.5", dwarf_1_27 "1.27.3",
}

#[test]
fn facts_that_fail_a_check_give_way_to_dwarf() {
    let (release, wrong) = ("1.25.5", "1.24.5");
    let Some(path) = fixture("stacks", release, PLAIN) else {
        return;
    };
    let (located, ..) = locate(&as_another_release(&path, release, wrong));
    let program = located.unwrap_or_else(|err| panic!("{err}"));
    assert_eq!(program.facts_from, FactsFrom::Dwarf);
    let facts = Facts {
        minor: 25,
        ..*program.facts
    };
    assert_eq!(Some(&facts), Facts::of_minor(25));
}
