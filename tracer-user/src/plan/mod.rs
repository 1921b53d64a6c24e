//! Where probes go: code bytes in, addresses and reasons out. Pure; attaching is another module's work.
//!
//! A probe is priced by its instruction: one that the kernel emulates costs 0.9 µs, one that it
//! must single-step 5 to 9 µs. So no probe sits on a function's first instruction, the stack check: it would be
//! stepped, and would fire a second time when `morestack` enters the function again.
//!
//! The shapes of Go's prologues are those of `cmd/internal/obj/x86/obj6.go` (`stacksplit`), go1.19 to
//! go1.27. They are decoded at each attach, since build flags and PGO recompile the runtime.

use tracer_ebpf::wire;

use iced_x86::{Decoder, DecoderOptions, Instruction as Decoded, OpKind};

use crate::go::program::{Code, Program};
use crate::go::static_image::StaticImage;
use crate::refusal::Refusal;

/// Most bytes of a function that are decoded; `runtime.mProf_Flush` has about 300.
const MAX_CODE_BYTES: usize = 4096;

/// Bytes that hold any prologue: `lea` (8), `cmp` (4), `jbe` (6), `push` (1).
const PROLOGUE_BYTES: usize = 19;

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
}

const _: () = assert!(
    Kind::Born as u32 == wire::KIND_BORN
        && Kind::Freed as u32 == wire::KIND_FREED
        && Kind::GcStart as u32 == wire::KIND_GC_START
        && Kind::GcMarked as u32 == wire::KIND_GC_MARKED
        && Kind::Flushed as u32 == wire::KIND_FLUSHED
);

/// The instruction under a probe; all three are emulated by the kernel.
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
}

/// One place for a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbePoint {
    /// What it reports.
    pub kind: Kind,
    /// Full name of the function.
    pub function: &'static str,
    /// Link-time address of the instruction.
    pub vaddr: u64,
    /// Its offset in the file: where a uprobe is attached.
    pub file_offset: u64,
    /// The instruction there.
    pub instruction: Instruction,
    /// The program must look at the flags first: see [`Instruction::Jbe`].
    pub jbe_filter: bool,
}

/// All probes of the sampler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbePlan {
    /// One for each [`Kind`].
    pub points: Vec<ProbePoint>,
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

/// Plans the probes of the sampler.
///
/// # Errors
///
/// When a function is missing or its code has none of the known shapes; names the function and the
/// bytes that were found.
pub fn plan(program: &Program, image: &dyn StaticImage) -> Result<ProbePlan, Refusal> {
    let mut points = Vec::with_capacity(ENTRIES.len() + 1);
    for (kind, function) in ENTRIES {
        let code = find(program, function)?;
        let bytes = read(image, function, code, PROLOGUE_BYTES)?;
        let (offset, instruction) = entry_point(&bytes).ok_or_else(|| {
            refuse(
                function,
                &format!(
                    "its code at {:#x} begins with {}, not with a stack check or `push %rbp`",
                    code.start,
                    hex(&bytes)
                ),
            )
        })?;
        let vaddr = code.start.wrapping_add(offset as u64);
        points.push(point(image, kind, function, vaddr, instruction)?);
    }
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
    points.push(point(
        image,
        Kind::Flushed,
        FLUSH,
        vaddr,
        Instruction::Call,
    )?);
    Ok(ProbePlan { points })
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
    function: &'static str,
    vaddr: u64,
    instruction: Instruction,
) -> Result<ProbePoint, Refusal> {
    let file_offset = image.file_offset(vaddr).ok_or_else(|| {
        refuse(
            function,
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

/// Offset and instruction of a probe that sees a call of the function once, with the arguments still in
/// their registers.
///
/// Knows the prologues of small frames (`cmp rsp,[r14+16]; jbe`), of large ones (with `lea r12,[rsp-N]`
/// before it), of functions on the system stack (`[r14+24]`), and those without a check.
fn entry_point(code: &[u8]) -> Option<(usize, Instruction)> {
    const PUSH_RBP: u8 = 0x55;
    if code.first() == Some(&PUSH_RBP) {
        return Some((0, Instruction::PushRbp));
    }
    let check = match code {
        [0x49, 0x3b, 0x66, 0x10 | 0x18, ..] => 4,
        [0x4c, 0x8d, 0x64, 0x24, _, 0x4d, 0x3b, 0x66, 0x10 | 0x18, ..] => 9,
        [
            0x4c,
            0x8d,
            0xa4,
            0x24,
            _,
            _,
            _,
            _,
            0x4d,
            0x3b,
            0x66,
            0x10 | 0x18,
            ..,
        ] => 12,
        _ => return None,
    };
    let behind = match code.get(check..)? {
        [0x76, _, ..] => check + 2,
        [0x0f, 0x86, _, _, _, _, ..] => check + 6,
        _ => return None,
    };
    // 1.19 goes on with `sub rsp,N`, which would be single-stepped.
    if code.get(behind) == Some(&PUSH_RBP) {
        Some((behind, Instruction::PushRbp))
    } else {
        Some((check, Instruction::Jbe))
    }
}

/// Address of the first direct near call behind the call of `callee`, in code that lies at `start`.
fn call_after(code: &[u8], start: u64, callee: u64) -> Option<u64> {
    let mut decoder = Decoder::with_ip(64, code, start, DecoderOptions::NONE);
    let is_call = |instruction: &Decoded| {
        instruction.is_call_near() && instruction.op0_kind() == OpKind::NearBranch64
    };
    let mut calls = decoder.iter().filter(is_call);
    calls.find(|call| call.near_branch_target() == callee)?;
    calls.next().map(|call| call.ip())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
