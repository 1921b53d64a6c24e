//! Where probes go: code bytes in, addresses and reasons out. Pure; attaching is another module's work.
//!
//! A probe is priced by its instruction: one that the kernel emulates costs 0.9 µs, one that it
//! must single-step 5 to 9 µs. So no probe sits on a function's first instruction, the stack check: it would be
//! stepped, and would fire a second time when `morestack` enters the function again.
//!
//! `code` knows the shapes of code, `alloc` the runtime's ways to allocate.

mod alloc;
pub mod calls;
mod code;

use std::borrow::Cow;

use tracer_ebpf::wire::{self, programs};

use code::{PROLOGUE_BYTES, call_after, entry_point};

use crate::go::program::{Code, Program};
use crate::go::static_image::StaticImage;
use crate::refusal::Refusal;

/// Most bytes of a function that are decoded: `runtime.mallocgc` has 7 KiB where a profile made the compiler inline
/// what it calls.
const MAX_CODE_BYTES: usize = 64 << 10;

/// What a probe reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A sampled object was born: `RAX` object, `RBX` bucket.
    Born,
    /// A special of an object is freed: `RAX` special, `RBX` object; the program looks at the special's
    /// kind and bucket.
    Freed,
    /// A cycle begins to mark: all sweeping of the cycle before is done.
    GcStart,
    /// Marking has ended: `RBX` live bytes.
    GcMarked,
    /// The profile's flush is done: buckets may be read.
    Flushed,
    /// A P has taken a span: `RAX` span.
    Span,
    /// A large object has its span: `RBX` span on a call, `RAX` on a nil check.
    Large,
    /// An allocation: `RAX` size, `RBX` type.
    Alloc,
    /// A call of a function of the target.
    Call,
    /// A call of a second one.
    OtherCall,
}

/// Which source the probes are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The runtime's own samples.
    Sampler,
    /// Spans that are taken to allocate from, and large objects.
    Spans,
    /// Every allocation, and what `Spans` has.
    Exact,
}

const _: () = assert!(
    Kind::Born as u32 == wire::KIND_BORN
        && Kind::Freed as u32 == wire::KIND_FREED
        && Kind::GcStart as u32 == wire::KIND_GC_START
        && Kind::GcMarked as u32 == wire::KIND_GC_MARKED
        && Kind::Flushed as u32 == wire::KIND_FLUSHED
        && Kind::Span as u32 == wire::KIND_SPAN
        && Kind::Large as u32 == wire::KIND_LARGE
        && Kind::Alloc as u32 == wire::KIND_ALLOC
        && Kind::Call as u32 == wire::KIND_CALL
        && Kind::OtherCall as u32 == wire::KIND_OTHER_CALL
);

/// The instruction under a probe; all of them are emulated by the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Instruction {
    /// `push %rbp` behind the stack check (or first, without one): fires once a call, with all
    /// arguments in registers and the return address at `[rsp]`.
    PushRbp,
    /// The `jbe` of the stack check. Fires again after `morestack`: go on only when the jump is not
    /// taken (`eflags & 0x41 == 0`).
    Jbe,
    /// A direct near call in the middle of a function.
    Call,
    /// The jump of the nil check of what a call has returned, in `RAX`.
    NilCheck,
}

/// One place for a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbePoint {
    /// What it reports.
    pub kind: Kind,
    /// Full name of the function.
    pub function: Cow<'static, str>,
    /// Link-time address of the instruction.
    pub vaddr: u64,
    /// Its offset in the file: where a uprobe is attached.
    pub file_offset: u64,
    /// The instruction there.
    pub instruction: Instruction,
    /// The program must look at the flags first: see [`Instruction::Jbe`].
    pub jbe_filter: bool,
}

impl ProbePoint {
    /// Name of the program that knows where this instruction has its arguments.
    pub fn program(&self) -> &'static str {
        match (self.kind, self.instruction) {
            (Kind::Large, Instruction::NilCheck) => programs::LARGE_RESULT,
            (kind, _) => programs::BY_KIND[kind as usize],
        }
    }
}

/// All probes of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProbePlan {
    /// One for each kind of the sampler's; several of [`Kind::Span`], [`Kind::Large`] and [`Kind::Alloc`] where the
    /// program has several ways to get there.
    pub points: Vec<ProbePoint>,
    /// What the source will miss in this program, one sentence each.
    pub notes: Vec<String>,
    /// Link-time bounds of `runtime.mallocgc` where it is probed beside functions that it calls itself: hits of those
    /// from inside of it are not to count.
    pub mallocgc: Option<Code>,
}

impl ProbePlan {
    /// Bit `1 << kind` for each kind that sits on a `jbe`.
    ///
    /// All points of a kind share it: behind a `jbe` that was not taken the flags are the same at `push %rbp`. A
    /// function that begins with that one never shares a kind with a `jbe`.
    pub fn jbe_filter(&self) -> u64 {
        jbe_filter(&self.points)
    }
}

fn jbe_filter(points: &[ProbePoint]) -> u64 {
    points
        .iter()
        .filter(|point| point.jbe_filter)
        .fold(0, |bits, point| bits | 1 << (point.kind as u64))
}

/// Probes at the beginning of functions.
const ENTRIES: [(Kind, &str); 4] = [
    (Kind::Born, "runtime.setprofilebucket"),
    (Kind::Freed, "runtime.freeSpecial"),
    (Kind::GcStart, "runtime.(*gcControllerState).startCycle"),
    (Kind::GcMarked, "runtime.(*gcControllerState).resetLive"),
];

const FLUSH: &str = "runtime.mProf_Flush";
const FLUSH_LOCKED: &str = "runtime.mProf_FlushLocked";

/// Plans the probes of a source.
///
/// # Errors
///
/// When a function is missing that the source cannot do without, or its code has none of the known shapes; names the
/// function and the bytes that were found.
pub fn plan(
    program: &Program,
    image: &dyn StaticImage,
    wanted: Wanted,
) -> Result<ProbePlan, Refusal> {
    let mut plan = ProbePlan::default();
    let is_sampler = wanted == Wanted::Sampler;
    for (kind, function) in ENTRIES {
        if is_sampler || matches!(kind, Kind::GcStart | Kind::GcMarked) {
            let code = find(program, function)?;
            plan.points.push(entry(image, kind, function.into(), code)?);
        }
    }
    if is_sampler {
        plan.points.push(flush(program, image)?);
    } else {
        alloc::plan(program, image, wanted, &mut plan)?;
    }
    Ok(plan)
}

/// The probe behind the profile's flush.
fn flush(program: &Program, image: &dyn StaticImage) -> Result<ProbePoint, Refusal> {
    let (flush, flush_locked) = (find(program, FLUSH)?, find(program, FLUSH_LOCKED)?);
    let bytes = read(image, FLUSH, flush, MAX_CODE_BYTES)?;
    let vaddr = call_after(&bytes, flush.start, flush_locked.start).ok_or_else(|| {
        refuse(
            FLUSH,
            &format!(
                "its code at {:#x} ({} bytes, {}…) has no call behind that of {FLUSH_LOCKED}",
                flush.start,
                bytes.len(),
                hex(&bytes[..bytes.len().min(PROLOGUE_BYTES)])
            ),
        )
    })?;
    point(image, Kind::Flushed, FLUSH.into(), vaddr, Instruction::Call)
}

/// A probe at the beginning of a function.
fn entry(
    image: &dyn StaticImage,
    kind: Kind,
    function: Cow<'static, str>,
    code: Code,
) -> Result<ProbePoint, Refusal> {
    let bytes = read(image, &function, code, PROLOGUE_BYTES)?;
    let (offset, instruction) = entry_point(&bytes).ok_or_else(|| {
        refuse(
            &function,
            &format!(
                "its code at {:#x} begins with {}, not with a stack check or `push %rbp`",
                code.start,
                hex(&bytes)
            ),
        )
    })?;
    let vaddr = code.start.wrapping_add(offset as u64);
    point(image, kind, function, vaddr, instruction)
}

fn find(program: &Program, function: &'static str) -> Result<Code, Refusal> {
    program
        .function(function)
        .ok_or_else(|| refuse(function, "the program has no such function"))
}

fn read(
    image: &dyn StaticImage,
    function: &str,
    code: Code,
    most: usize,
) -> Result<Vec<u8>, Refusal> {
    let len = usize::try_from(code.end.saturating_sub(code.start)).unwrap_or(most);
    image
        .bytes(code.start, len.min(most))
        .map_err(|err| refuse(function, &format!("its code: {err}")))
}

fn point(
    image: &dyn StaticImage,
    kind: Kind,
    function: Cow<'static, str>,
    vaddr: u64,
    instruction: Instruction,
) -> Result<ProbePoint, Refusal> {
    let file_offset = image.file_offset(vaddr).ok_or_else(|| {
        refuse(
            &function,
            &format!("its code at {vaddr:#x} is not in the file"),
        )
    })?;
    Ok(ProbePoint {
        kind,
        function,
        vaddr,
        file_offset,
        instruction,
        jbe_filter: instruction == Instruction::Jbe,
    })
}

fn refuse(function: &str, why: &str) -> Refusal {
    Refusal::new(
        format!("cannot place a probe in {function}"),
        why,
        "take a profile without probes (`heaptop snapshot`), and report this with the output of `go version -m` for the program",
    )
}

fn hex(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(" ")
}
