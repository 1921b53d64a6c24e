//! The machine's memory: `/proc/meminfo`.

use super::proc_text::kib_field;
use crate::event::MachineRead;

/// `MemTotal` and `MemAvailable`; `None` where the text does not tell both.
pub fn meminfo(text: &str) -> Option<MachineRead> {
    let field = |name| kib_field(text, name);
    Some(MachineRead {
        total_bytes: field("MemTotal:")?,
        available_bytes: field("MemAvailable:")?,
    })
}

/// Reads it; `None` where it cannot be read.
pub fn machine() -> Option<MachineRead> {
    meminfo(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn this_machine_has_memory() {
        let machine = machine().expect("meminfo");
        assert!(machine.available_bytes > 0 && machine.available_bytes <= machine.total_bytes);
        assert_eq!(meminfo("MemTotal: 5 kB\n"), None);
    }

    proptest! {
        #[test]
        fn any_text_never_panics(text in "\\PC*") {
            let _ = meminfo(&text);
        }
    }
}
