//! The code of a running process against its file: what differs was put there by somebody.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
};

use anyhow::{Context, Result};

/// Addresses in the executable mappings of the program's own file where memory is not what the file has.
///
/// Go's own linker leaves no relocations in code, nor does gcc's for what Go gives it, so a clean process has none.
pub(crate) fn changed_code(pid: u32) -> Result<Vec<u64>> {
    const BLOCK: usize = 1 << 20;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))
        .with_context(|| format!("process {pid} has ended"))?;
    let exe = fs::read_link(format!("/proc/{pid}/exe")).context("a process has a program")?;
    let exe = exe.display().to_string();
    let file = File::open(format!("/proc/{pid}/exe")).context("cannot open its program")?;
    let memory = File::open(format!("/proc/{pid}/mem")).context("cannot open its memory")?;
    let mut changed = Vec::new();
    let (mut live, mut clean) = (vec![0; BLOCK], vec![0; BLOCK]);
    for line in maps.lines().filter(|line| line.ends_with(&exe)) {
        let Some((start, end, offset)) = executable(line) else {
            continue;
        };
        let mut at = start;
        while at < end {
            let len = usize::try_from(end - at).unwrap_or(BLOCK).min(BLOCK);
            memory
                .read_exact_at(&mut live[..len], at)
                .with_context(|| format!("cannot read its code at {at:#x}"))?;
            // The last page of a mapping may reach beyond the file; those bytes are no code.
            let in_file = file.read_at(&mut clean[..len], offset + (at - start))?;
            let differs = live[..in_file]
                .iter()
                .zip(&clean[..in_file])
                .enumerate()
                .filter(|(_, (live, clean))| live != clean);
            changed.extend(differs.map(|(i, _)| at + i as u64));
            at += len as u64;
        }
    }
    Ok(changed)
}

/// Start, end and file offset of a line of `/proc/PID/maps` that is executable.
fn executable(line: &str) -> Option<(u64, u64, u64)> {
    let mut words = line.split_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let permissions = words.next()?;
    let hex = |digits: &str| u64::from_str_radix(digits, 16).ok();
    let offset = hex(words.next()?)?;
    (permissions.as_bytes().get(2) == Some(&b'x')).then_some((hex(start)?, hex(end)?, offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executable_mappings_and_no_others() {
        let line = "00401000-0048f000 r-xp 00001000 08:01 1234                       /target/mixed";
        assert_eq!(executable(line), Some((0x40_1000, 0x48_f000, 0x1000)));
        assert_eq!(executable(&line.replace("r-xp", "rw-p")), None);
    }

    #[test]
    fn our_own_code_is_as_its_file_has_it() {
        assert_eq!(changed_code(std::process::id()).unwrap(), [0u64; 0]);
    }
}
