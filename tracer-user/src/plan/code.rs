//! What code bytes say about places for probes: prologues and direct calls.
//!
//! The shapes of Go's prologues are those of `cmd/internal/obj/x86/obj6.go` (`stacksplit`), go1.18 to
//! go1.27. They are decoded at each attach, since build flags and PGO recompile the runtime.

use iced_x86::{Code, Decoder, DecoderOptions, Instruction as Decoded, Mnemonic, OpKind, Register};

use super::Instruction;

/// Bytes that hold any prologue: `mov` (3), `sub` (7), `jb` (6), `cmp` (4), `jbe` (6), `push` (1).
pub(super) const PROLOGUE_BYTES: usize = 27;

/// Offset and instruction of a probe that sees a call of the function once, with the arguments still in
/// their registers.
///
/// Knows the prologues of small frames (`cmp rsp,[r14+16]; jbe`), of large ones (with `lea r12,[rsp-N]`
/// before it), of huge ones (with `mov r12,rsp; sub r12,N; jb` before it), of functions on the system stack (`[r14+24]`), and
/// those without a check.
pub(super) fn entry_point(code: &[u8]) -> Option<(usize, Instruction)> {
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
        [0x49, 0x89, 0xe4, 0x49, 0x81, 0xec, _, _, _, _, rest @ ..] => {
            let jump = match rest {
                [0x72, _, ..] => 2,
                [0x0f, 0x82, _, _, _, _, ..] => 6,
                _ => return None,
            };
            match rest.get(jump..)? {
                [0x4d, 0x3b, 0x66, 0x10 | 0x18, ..] => 10 + jump + 4,
                _ => return None,
            }
        }
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

/// A direct near call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// Address of the instruction.
    pub(super) vaddr: u64,
    /// Address of the function that it calls.
    pub(super) target: u64,
}

/// The direct near calls in code that lies at `start`, by address.
pub(super) fn calls(code: &[u8], start: u64) -> Vec<Call> {
    let mut decoder = Decoder::with_ip(64, code, start, DecoderOptions::NONE);
    decoder
        .iter()
        .filter_map(|instruction| call(&instruction))
        .collect()
}

/// The instruction as a direct near call.
fn call(instruction: &Decoded) -> Option<Call> {
    let is_direct = instruction.is_call_near() && instruction.op0_kind() == OpKind::NearBranch64;
    is_direct.then(|| Call {
        vaddr: instruction.ip(),
        target: instruction.near_branch_target(),
    })
}

/// Address of the first direct near call behind the call of `callee`, in code that lies at `start`.
pub(super) fn call_after(code: &[u8], start: u64, callee: u64) -> Option<u64> {
    let mut calls = calls(code, start).into_iter();
    calls.find(|call| call.target == callee)?;
    calls.next().map(|call| call.vaddr)
}

/// Most instructions from a call to the test of its result, that included: the compiler may store the result first.
const MAX_TO_NIL_CHECK: usize = 4;

/// Addresses of the jumps by which code that lies at `start` checks whether a call of `callee` has returned nil:
/// `call callee; test rax,rax; je`, perhaps with stores in between. `RAX` holds the result there, and what the call has
/// returned is as no one has touched it yet.
pub(super) fn nil_checks(code: &[u8], start: u64, callee: u64) -> Vec<u64> {
    let mut decoder = Decoder::with_ip(64, code, start, DecoderOptions::NONE);
    let all: Vec<Decoded> = decoder.iter().collect();
    let calls = all
        .iter()
        .enumerate()
        .filter(|(_, instruction)| call(instruction).is_some_and(|call| call.target == callee));
    calls
        .filter_map(|(at, _)| {
            let behind = all.get(at + 1..)?;
            let test = behind
                .iter()
                .take(MAX_TO_NIL_CHECK)
                .take_while(|instruction| is_store(instruction) || is_rax_test(instruction))
                .position(is_rax_test)?;
            let jump = behind.get(test + 1)?;
            let is_check = matches!(jump.mnemonic(), Mnemonic::Je | Mnemonic::Jne);
            is_check.then(|| jump.ip())
        })
        .collect()
}

/// `test rax,rax`
fn is_rax_test(instruction: &Decoded) -> bool {
    instruction.code() == Code::Test_rm64_r64
        && instruction.op0_kind() == OpKind::Register
        && instruction.op0_register() == Register::RAX
        && instruction.op1_register() == Register::RAX
}

/// A `mov` of a register to memory, or a `nop`.
fn is_store(instruction: &Decoded) -> bool {
    match instruction.mnemonic() {
        Mnemonic::Nop => true,
        Mnemonic::Mov => {
            instruction.op0_kind() == OpKind::Memory && instruction.op1_kind() == OpKind::Register
        }
        _ => false,
    }
}

#[cfg(test)]
#[path = "code_tests.rs"]
mod tests;
