//! Texts of `/proc` whose lines are a name and a value.

/// The value of a line `Name:  1024 kB`, in bytes; `None` where no line begins with `name` or its value is no such number.
pub(super) fn kib_field(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib = value.trim().strip_suffix("kB")?;
    kib.trim_end().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_name_and_must_be_in_kib() {
        let text = "VmRSS:\t    1024 kB\nThreads:\t7\nHuge: 18446744073709551615 kB\n";
        assert_eq!(kib_field(text, "VmRSS:"), Some(1 << 20));
        for name in ["Threads:", "Huge:", "VmSwap:"] {
            assert_eq!(kib_field(text, name), None, "{name}");
        }
    }
}
