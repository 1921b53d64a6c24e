//! Which variables a function touches: its RIP-relative operands, in the order of its code.
//!
//! This is how runtime variables are found in stripped programs; [`super::variables`] holds the rules.

use iced_x86::{Decoder, DecoderOptions};

/// The address of the `k`-th operand (from 0) of the form `[rip+disp32]` in `code`, which lies at `addr`.
///
/// `None` when there are fewer. Total on any bytes: what does not decode is stepped over.
pub fn rip_operand(code: &[u8], addr: u64, k: usize) -> Option<u64> {
    let mut decoder = Decoder::with_ip(64, code, addr, DecoderOptions::NONE);
    decoder
        .iter()
        .filter(|instruction| !instruction.is_invalid() && instruction.is_ip_rel_memory_operand())
        .map(|instruction| instruction.ip_rel_memory_address())
        .nth(k)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn operands_are_counted_in_code_order() {
        // cmp rsp,[r14+0x10]; mov rax,[rip+0x10]; lea rcx,[rip-1]; cmp dword [rip+0],0; ret
        let code = [
            0x49, 0x3b, 0x66, 0x10, 0x48, 0x8b, 0x05, 0x10, 0, 0, 0, 0x48, 0x8d, 0x0d, 0xff, 0xff,
            0xff, 0xff, 0x83, 0x3d, 0, 0, 0, 0, 0, 0xc3,
        ];
        let at = |k| rip_operand(&code, 0x1000, k);
        assert_eq!(at(0), Some(0x100b + 0x10));
        assert_eq!(at(1), Some(0x1012 - 1));
        assert_eq!(at(2), Some(0x1019));
        assert_eq!(at(3), None);
    }

    proptest! {
        #[test]
        fn any_code_never_panics(
            code in prop::collection::vec(any::<u8>(), 0..200),
            addr in any::<u64>(),
            k in 0_usize..4,
        ) {
            let _ = rip_operand(&code, addr, k);
        }
    }
}
