//! `cargo xtask vm`: runs heaptop in virtual machines, one per kernel.
//!
//! qemu boots a Debian cloud kernel from an initial RAM file system that holds busybox, a static heaptop, a static Go
//! fixture and `vm/init.sh`; no disk, no module, no network, no KVM. The guest prints facts on its serial console and
//! the host judges them ([`verdict`]), so what is asked of heaptop stands here, in one place, with unit tests.
//!
//! Two rules decide whether this can be relied on:
//!
//! * `-accel tcg,thread=single`, always: with a host thread per virtual CPU, qemu's emulation corrupts a program that
//!   has two probes on neighbouring functions. Two CPUs remain, so per-CPU maps are tested.
//! * qemu's exit status says nothing: a guest that panics exits with 0 too (`panic=-1 -no-reboot`). A run passes only when
//!   the last thing `init.sh` does, the line `VM_TEST_EXIT=0`, is there and every fact that is asked for was seen.
//!   The device `isa-debug-exit` would give a status, but takes `ioperm` and `outb`: a further program in the guest that
//!   tells no more than that line.

mod initramfs;
mod kernels;
mod sources;

use std::{
    env,
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use object::{elf, read::elf::ElfFile64};
use serde_json::Value;

use initramfs::Initramfs;

/// Names the last line of a guest that came to its end.
const END: &str = "VM_TEST_EXIT=";
/// Begins each fact.
const FACT: &str = "VM: ";
/// Facts of whole lines of JSON end so; they are judged and not shown.
const BIG_FACTS: [&str; 2] = ["row", "truth"];
const MUSL: &str = "x86_64-unknown-linux-musl";
/// Facts about targets that were watched to their end, and the `exit` that heaptop reports of each.
const ENDS: [(&str, &str); 2] = [
    (
        "exit_status",
        r#""exit":{"status":7,"signal":null,"oom_kill":false}"#,
    ),
    (
        "exit_oom",
        r#""exit":{"status":null,"signal":9,"oom_kill":true}"#,
    ),
];
/// A site that the fixture was told to keep objects in.
const KEEPER: &str = "main.keepBytes";
/// What a guest may take. A run needs 15 to 40 s, most of it emulation.
const LIMIT: Duration = Duration::from_secs(240);

/// Lines of a failed guest's console that are shown.
const LAST_WORDS: usize = 30;

/// Arguments of `cargo xtask vm`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Kernel series, separated by commas: 5.10, 6.1, 6.12, 6.18, 7.2
    #[arg(long, value_delimiter = ',', default_value = "5.10,6.1,6.12,7.2")]
    kernel: Vec<String>,
    /// Statically linked program to run instead of building heaptop
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Go program to trace; it takes the commands of tests/programs/truth
    #[arg(long, value_name = "DIR", default_value = "tests/programs/truth")]
    fixture: PathBuf,
    /// How many rows heaptop is to print, one a second
    #[arg(long, default_value_t = 6)]
    count: usize,
    /// Fetch the newest kernels instead of those already here
    #[arg(long)]
    refresh: bool,
}

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<()> {
    let dir = crate::target_dir().join("vm");
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let qemu = tool("qemu-system-x86_64", "qemu-system-x86")?;
    let busybox = tool("busybox", "busybox-static")?;

    let program = match &args.program {
        Some(program) => program.clone(),
        None => build_heaptop()?,
    };
    let fixture = build_fixture(&crate::root().join(&args.fixture), &dir.join("fixture"))?;
    let mixed = build_fixture(
        &crate::root().join("tests/programs/mixed"),
        &dir.join("mixed"),
    )?;
    let initrd = dir.join("initrd.gz");
    fs::write(
        &initrd,
        pack(&busybox, &program, &fixture, &mixed, args.count)?,
    )?;

    let kernels = args
        .kernel
        .iter()
        .map(|series| Ok((series.as_str(), kernels::get(series, &dir, args.refresh)?)))
        .collect::<Result<Vec<_>>>()?;

    let mut failed = Vec::new();
    for (series, kernel) in kernels {
        eprintln!("vm: {series}: booting {}", kernel.package);
        let begin = Instant::now();
        let log = boot(&qemu, &kernel.vmlinuz, &initrd)?;
        let log_file = dir.join(format!("{series}.log"));
        fs::write(&log_file, &log)
            .with_context(|| format!("cannot write {}", log_file.display()))?;
        let log = String::from_utf8_lossy(&log);
        let seconds = begin.elapsed().as_secs_f64();
        match verdict(&log, args.count) {
            Ok(seen) => eprintln!("vm: {series}: passed in {seconds:.0} s: {seen}"),
            Err(faults) => {
                eprintln!(
                    "vm: {series}: FAILED in {seconds:.0} s, log in {}",
                    log_file.display()
                );
                for fault in &faults {
                    eprintln!("      {fault}");
                }
                // What is not one of our lines: the kernel's last words.
                let others: Vec<&str> = log
                    .lines()
                    .filter(|line| !line.starts_with(FACT) && !line.starts_with(END))
                    .collect();
                for line in &others[others.len().saturating_sub(LAST_WORDS)..] {
                    eprintln!("    | {}", line.trim_end());
                }
                failed.push(series);
            }
        }
    }
    if !failed.is_empty() {
        bail!("heaptop does not pass on {}", failed.join(", "));
    }
    Ok(())
}

/// Everything the guest has, as one archive.
fn pack(
    busybox: &Path,
    program: &Path,
    fixture: &Path,
    mixed: &Path,
    count: usize,
) -> Result<Vec<u8>> {
    let mut archive = Initramfs::new();
    for folder in ["bin", "dev", "proc", "sys", "tmp"] {
        archive.folder(folder)?;
    }
    for (name, file) in [
        ("bin/busybox", busybox),
        ("heaptop", program),
        ("fixture", fixture),
        ("mixed", mixed),
    ] {
        let content = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        is_static(&content)
            .with_context(|| format!("{} cannot run in the guest", file.display()))?;
        archive.executable(name, &content)?;
    }
    archive.executable(
        "arguments",
        format!("--json --count {count} --interval 1s --top 10\n").as_bytes(),
    )?;
    archive.executable("init", include_bytes!("vm/init.sh"))?;
    Ok(archive.finish()?)
}

/// The guest has no dynamic linker and no library.
fn is_static(program: &[u8]) -> Result<()> {
    let file =
        ElfFile64::<object::Endianness>::parse(program).context("it is not a 64-bit ELF file")?;
    let endian = file.endian();
    if file
        .elf_program_headers()
        .iter()
        .any(|header| header.p_type.get(endian) == elf::PT_INTERP)
    {
        bail!(
            "it is dynamically linked\n  why:  the guest has no libraries\n  next: use a static one: busybox from the \
             package busybox-static, heaptop for {MUSL}, Go with CGO_ENABLED=0"
        );
    }
    Ok(())
}

/// A statically linked heaptop of this source tree.
fn build_heaptop() -> Result<PathBuf> {
    let sysroot = stdout_of(Command::new("rustc").args(["--print", "sysroot"]))?;
    if !Path::new(sysroot.trim())
        .join("lib/rustlib")
        .join(MUSL)
        .exists()
    {
        bail!(
            "cannot build a static heaptop\n  why:  the toolchain has no target {MUSL}\n  next: \
             `rustup target add {MUSL}`"
        );
    }
    eprintln!("vm: building heaptop for {MUSL}");
    let target_dir = crate::target_dir();
    let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "build",
            "--locked",
            "--release",
            "--package=heaptop",
            "--bin=heaptop",
            "--target",
            MUSL,
        ])
        .arg("--target-dir")
        .arg(&target_dir)
        .current_dir(crate::root())
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        bail!("cargo build of heaptop for {MUSL} ended with {status}");
    }
    Ok(target_dir.join(MUSL).join("release/heaptop"))
}

/// A statically linked fixture.
fn build_fixture(source: &Path, out: &Path) -> Result<PathBuf> {
    let status = crate::go::Go::get()?
        .command(None)
        .args(["build", "-o"])
        .arg(out)
        .arg(".")
        .current_dir(source)
        .status()
        .with_context(|| format!("cannot build the Go program in {}", source.display()))?;
    if !status.success() {
        bail!("`go build` in {} ended with {status}", source.display());
    }
    Ok(out.to_owned())
}

/// Runs one guest to its end or the limit; returns what it wrote on its serial console and shows the facts meanwhile.
fn boot(qemu: &Path, vmlinuz: &Path, initrd: &Path) -> Result<Vec<u8>> {
    let mut child = Command::new(qemu)
        .args([
            "-M",
            "q35",
            "-accel",
            "tcg,thread=single",
            "-cpu",
            "max",
            "-smp",
            "2",
            "-m",
            "512",
        ])
        .args([
            "-no-reboot",
            "-nodefaults",
            "-display",
            "none",
            "-monitor",
            "none",
            "-serial",
            "stdio",
        ])
        .args([
            OsStr::new("-kernel"),
            vmlinuz.as_os_str(),
            OsStr::new("-initrd"),
            initrd.as_os_str(),
        ])
        .args(["-append", "console=ttyS0 quiet panic=-1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", qemu.display()))?;
    let serial = child.stdout.take().context("qemu has no standard output")?;
    let (ended, end) = mpsc::channel();
    let reader = thread::spawn(move || {
        let log = tee(serial);
        ended.send(()).ok();
        log
    });
    if end.recv_timeout(LIMIT).is_err() {
        eprintln!("vm: no end after {} s", LIMIT.as_secs());
        child.kill().context("cannot end qemu")?;
    }
    child.wait().context("cannot wait for qemu")?;
    reader
        .join()
        .map_err(|_| anyhow::anyhow!("the thread that reads the serial console panicked"))?
}

/// Keeps every byte; shows the facts that are short enough to be read.
fn tee(serial: impl Read) -> Result<Vec<u8>> {
    let mut serial = BufReader::new(serial);
    let mut log = Vec::new();
    let mut stderr = std::io::stderr();
    loop {
        let begin = log.len();
        if serial.read_until(b'\n', &mut log)? == 0 {
            return Ok(log);
        }
        let line = String::from_utf8_lossy(&log[begin..]);
        if let Some(fact) = line.trim().strip_prefix(FACT)
            && !BIG_FACTS
                .iter()
                .any(|name| fact.split('=').next().unwrap_or_default().ends_with(name))
        {
            writeln!(stderr, "      {fact}").ok();
        }
    }
}

/// Judges a guest by what it printed: a summary, or everything that is wrong with it.
///
/// Asked for: the guest came to its end; heaptop ended with 0 and printed `count` rows of the schema; the GC cycles it
/// saw rise; losses are a number; it found the site that keeps objects; the target lived on, answered and ended as
/// told; the kernel complained of nothing.
fn verdict(log: &str, count: usize) -> Result<String, Vec<String>> {
    let mut faults = Vec::new();
    let ends: Vec<&str> = log
        .lines()
        .filter_map(|line| line.trim().strip_prefix(END))
        .collect();
    if ends != ["0"] {
        faults.push(match ends.as_slice() {
            [] => format!("the guest did not come to its end: no line {END}"),
            statuses => format!("the guest's script ended with {}", statuses.join(", ")),
        });
    }
    let facts = |name: &str| -> Vec<&str> {
        log.lines()
            .filter_map(|line| line.trim().strip_prefix(FACT)?.split_once('='))
            .filter(|(known, _)| *known == name)
            .map(|(_, value)| value)
            .collect()
    };
    let mut expect =
        |name: &str, what: &str, pleases: &dyn Fn(&str) -> bool| match facts(name).as_slice() {
            [value] if pleases(value) => {}
            values => faults.push(format!("{what}: {name} is {values:?}")),
        };
    let is_ok = |value: &str| value == "ok" || value.starts_with("ok ");
    expect("keep", "the fixture did not keep its objects", &is_ok);
    expect("gc", "the fixture did not collect", &is_ok);
    expect("churn", "the fixture did not churn", &is_ok);
    expect("heaptop_status", "heaptop failed", &|value| value == "0");
    expect("stop", "the target did not stop churning", &is_ok);
    expect("work", "the target does not work any more", &is_ok);
    expect("target", "the target is gone", &|value| value == "alive");
    expect(
        "fixture_status",
        "the target did not end as told",
        &|value| value == "7",
    );
    for (name, expected) in ENDS {
        expect(name, "the end is not explained", &|value| value == expected);
    }
    faults.extend(
        facts("kernel_message")
            .iter()
            .map(|line| format!("the kernel says: {line}")),
    );
    faults.extend(
        facts("stderr")
            .iter()
            .map(|line| format!("heaptop says: {line}"))
            .filter(|_| !facts("heaptop_status").contains(&"0")),
    );

    let one = |name: String| match facts(&name).as_slice() {
        [value] => (*value).to_owned(),
        _ => String::new(),
    };
    let mut seen = Vec::new();
    for source in sources::ALL {
        let facts = sources::Facts {
            fill: one(format!("{source}_fill")),
            status: one(format!("{source}_status")),
            row: one(format!("{source}_row")),
            truth: one(format!("{source}_truth")),
            rate: one(format!("{source}_rate")),
            check: one(format!("{source}_check")),
            exit: one(format!("{source}_exit")),
        };
        match sources::verdict(source, &facts) {
            Ok(words) => seen.push(format!("{source}: {words}")),
            Err(found) => faults.extend(found.iter().map(|fault| format!("{source}: {fault}"))),
        }
    }
    let rows: Vec<Value> = facts("row")
        .iter()
        .filter_map(|row| serde_json::from_str(row).ok())
        .collect();
    if rows.len() != count || facts("row").len() != count {
        faults.push(format!(
            "{count} rows were asked for; {} lines came, {} of them JSON",
            facts("row").len(),
            rows.len()
        ));
    }
    let summary = rows_verdict(&rows, &mut faults);
    if faults.is_empty() {
        seen.insert(0, summary);
        Ok(seen.join("; "))
    } else {
        Err(faults)
    }
}

/// What the rows must say, beginning with design's contract for `--json`.
fn rows_verdict(rows: &[Value], faults: &mut Vec<String>) -> String {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return String::new();
    };
    if let Some(row) = rows.iter().find(|row| row["schema"] != "heaptop.sites/1") {
        faults.push(format!("a row's schema is {}", row["schema"]));
    }
    let cycles = |row: &Value| row["heap"]["gc_cycles"].as_u64();
    if cycles(first).is_none() || cycles(last) <= cycles(first) {
        faults.push(format!(
            "GC cycles do not rise: {} in the first row, {} in the last",
            first["heap"]["gc_cycles"], last["heap"]["gc_cycles"]
        ));
    }
    if let Some(row) = rows
        .iter()
        .find(|row| row["losses"]["lost"].as_u64().is_none())
    {
        faults.push(format!(
            "losses.lost is no number: {}",
            row["losses"]["lost"]
        ));
    }
    let sites = last["sites"].as_array().map_or(&[][..], Vec::as_slice);
    let keeper = sites.iter().find(|site| site["function"] == KEEPER);
    match keeper {
        Some(site)
            if site["inuse_bytes"]
                .as_f64()
                .is_some_and(|bytes| bytes > 0.0) => {}
        Some(site) => faults.push(format!(
            "{KEEPER} is listed with {} bytes in use",
            site["inuse_bytes"]
        )),
        None => faults.push(format!(
            "{KEEPER} is not among the {} sites of the last row",
            sites.len()
        )),
    }
    format!(
        "{} rows, {} sites, GC cycles {} to {}, {} lost",
        rows.len(),
        sites.len(),
        first["heap"]["gc_cycles"],
        last["heap"]["gc_cycles"],
        last["losses"]["lost"]
    )
}

/// A program in `PATH`, or a message that says how to get it.
fn tool(name: &str, package: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file()).with_context(|| {
        format!(
            "{name} is not here\n  why:  the virtual machines need it, and PATH has none\n  next: \
             `apt-get install --no-install-recommends {package}`"
        )
    })
}

/// What a command prints; its messages when it fails.
fn stdout_of(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        bail!(
            "{name} ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(gc_cycles: &str, lost: &str, function: &str) -> String {
        format!(
            "VM: row={{\"schema\":\"heaptop.sites/1\",\"heap\":{{\"gc_cycles\":{gc_cycles}}},\"losses\":{{\"lost\":{lost}}},\
             \"sites\":[{{\"function\":\"{function}\",\"inuse_bytes\":4096}}]}}\r\n"
        )
    }

    fn log(rows: &[String]) -> String {
        format!(
            "VM: keep=ok 400\r\nVM: gc=ok\r\nVM: churn=ok\r\nVM: heaptop_status=0\r\n{}VM: stop=ok\r\nVM: work=ok 12\r\n\
             VM: target=alive\r\nVM: fixture_status=7\r\n{}{}VM_TEST_EXIT=0\r\n",
            rows.concat(),
            ENDS.map(|(name, value)| format!("VM: {name}={value}\r\n"))
                .concat(),
            sources::ALL.map(sources::good).concat()
        )
    }

    fn good() -> String {
        log(&[row("4", "0", KEEPER), row("9", "0", KEEPER)])
    }

    #[test]
    fn a_guest_with_every_fact_passes() {
        assert_eq!(
            verdict(&good(), 2).unwrap(),
            "2 rows, 1 sites, GC cycles 4 to 9, 0 lost; spans: 100 % of 4096 bytes; arm: 100 % of 4096 bytes; exact: 64 \
             allocations counted, 100 % of 4096 bytes"
        );
    }

    #[test]
    fn a_guest_that_panicked_fails_although_its_facts_are_fine() {
        let log = good().replace("VM_TEST_EXIT=0", "Kernel panic - not syncing");
        assert_eq!(verdict(&log, 2).unwrap_err().len(), 1);
    }

    #[test]
    fn an_empty_log_fails() {
        assert!(verdict("", 2).is_err());
    }

    #[test]
    fn each_missing_fact_is_a_fault_of_its_own() {
        for fact in [
            "keep",
            "gc",
            "churn",
            "heaptop_status",
            "stop",
            "work",
            "target",
            "fixture_status",
            "exit_status",
            "exit_oom",
        ] {
            let log = good().replace(&format!("VM: {fact}="), "VM: other=");
            let faults = verdict(&log, 2).unwrap_err();
            assert_eq!(faults.len(), 1, "{fact}: {faults:?}");
        }
    }

    #[test]
    fn rows_must_be_complete_and_move() {
        let cases = [
            (vec![row("4", "0", KEEPER)], "rows were asked for"),
            (
                vec![row("4", "0", KEEPER), row("4", "0", KEEPER)],
                "GC cycles do not rise",
            ),
            (
                vec![row("null", "0", KEEPER), row("5", "0", KEEPER)],
                "GC cycles do not rise",
            ),
            (
                vec![row("4", "null", KEEPER), row("9", "0", KEEPER)],
                "losses.lost is no number",
            ),
            (
                vec![row("4", "0", KEEPER), row("9", "0", "main.other")],
                "is not among",
            ),
            (
                vec!["VM: row=not json\n".to_owned(), row("9", "0", KEEPER)],
                "1 of them JSON",
            ),
        ];
        for (rows, fault) in cases {
            let faults = verdict(&log(&rows), 2).unwrap_err();
            assert!(
                faults.iter().any(|line| line.contains(fault)),
                "{fault}: {faults:?}"
            );
        }
    }

    #[test]
    fn a_kernel_that_complains_is_a_fault() {
        let log = good().replace(
            "VM_TEST_EXIT",
            "VM: kernel_message=[ 3.1] BUG: unable to handle\r\nVM_TEST_EXIT",
        );
        assert!(verdict(&log, 2).unwrap_err()[0].contains("BUG"));
    }
}
