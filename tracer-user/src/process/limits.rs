//! The machine's memory: `/proc/meminfo`.

use crate::event::MachineRead;

/// `MemTotal` and `MemAvailable`; `None` where the text does not tell both.
pub fn meminfo(text: &str) -> Option<MachineRead> {
    let field = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kib = value.trim().strip_suffix("kB")?;
        kib.trim_end().parse::<u64>().ok()?.checked_mul(1024)
    };
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
