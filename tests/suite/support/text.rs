//! The code of a running program: is it as its file has it, or are there traps in it?

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use heaptop::go::memory::Memory as _;
use heaptop::go::static_image::StaticImage as _;
use heaptop::plan::{ProbePoint, Wanted, plan};
use heaptop::process::go_process::GoProcess;

/// The kernel's trap under a uprobe.
const INT3: u8 = 0xcc;

/// What is needed to look at the probed code of a process, also when heaptop is gone.
#[derive(Debug)]
pub(crate) struct Text {
    go: GoProcess,
    file: File,
    bias: u64,
    points: Vec<ProbePoint>,
}

impl Text {
    /// Where the probes of the sampler would be.
    pub(crate) fn of(pid: u32) -> Self {
        Self::probed(pid, Wanted::Sampler)
    }

    /// Where the probes of a source would be.
    pub(crate) fn probed(pid: u32, wanted: Wanted) -> Self {
        let go = GoProcess::open(pid).expect("a Go process");
        let first = go.mappings.iter().map(|mapping| mapping.start).min();
        Self {
            file: File::open(format!("/proc/{pid}/exe")).expect("its file"),
            bias: first
                .expect("a mapping")
                .wrapping_sub(go.image.first_load_vaddr()),
            points: plan(&go.program, &*go.image, wanted)
                .expect("places for probes")
                .points,
            go,
        }
    }

    /// Functions with a trap in them, in the order of the plan. Panics on any other difference.
    pub(crate) fn trapped(&self) -> Vec<&str> {
        const AROUND: usize = 16;
        let mut trapped = Vec::new();
        for point in &self.points {
            let (mut live, mut clean) = ([0; 2 * AROUND], [0; 2 * AROUND]);
            self.file
                .read_exact_at(&mut clean, point.file_offset - AROUND as u64)
                .expect("code in the file");
            self.go
                .memory()
                .read((point.vaddr + self.bias) - AROUND as u64, &mut live)
                .expect("code in memory");
            if live[AROUND] == INT3 {
                trapped.push(&*point.function);
                live[AROUND] = clean[AROUND];
            }
            assert_eq!(live, clean, "the code of {}", point.function);
        }
        trapped
    }
}
