//! The kernel, and what this user may do with it.

use std::fs::read_to_string;
use std::os::unix::fs::MetadataExt as _;

use super::Check;
use crate::probe::calibrate;
use crate::process::rights::{CAP_SYS_ADMIN, CAP_SYS_PTRACE, PROBES_NEED, Rights, raise_memlock};
use crate::process::run_dir::RunDir;
use crate::process::wait_status::version_of;

/// The first kernel with all that is used: the ring buffer came with 5.8, the tests begin with this one.
const LEAST_KERNEL: (u32, u32) = (5, 10);
/// From here on the memory of BPF maps counts for the cgroup, and RLIMIT_MEMLOCK does not matter.
const KERNEL_WITHOUT_MEMLOCK: (u32, u32) = (5, 11);
/// Bytes that the maps take, rounded up: rings and tables.
const MAP_BYTES: u64 = 16 << 20;
/// `PROC_PID_INIT_INO`: the pid namespace of the machine itself.
const FIRST_PID_NAMESPACE: u64 = 0xefff_fffc;

/// What was found of the machine.
#[derive(Debug)]
pub struct Machine {
    /// All but the probes.
    pub checks: Vec<Check>,
    /// What trying a probe gave; else why, and the next step. How much it matters depends on the target.
    pub probes: Result<String, (String, String)>,
}

/// Looks at the machine; takes about 0.2 s, for a probe on a function of heaptop itself.
pub fn examine() -> Machine {
    let rights = Rights::own();
    let release = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    let version = version_of(release);
    let mut checks = vec![
        kernel(release, version),
        privileges(rights),
        memlock(version),
    ];
    checks.extend(yama(rights));
    checks.extend(unprivileged(rights));
    checks.extend(pid_namespace());
    checks.extend(hidepid(rights));
    checks.push(notes());
    let probes = match calibrate::trial() {
        Ok(cost) => Ok(format!(
            "programs load, maps are made, and a probe on a function of heaptop itself fires: {:.1} us a hit",
            cost.record_ns / 1_000.0
        )),
        Err(why) if rights.may_probe() => Err((
            why,
            "the kernel needs CONFIG_BPF_SYSCALL and CONFIG_UPROBE_EVENTS; a container may forbid bpf() by seccomp: run heaptop on the host".into(),
        )),
        Err(why) => Err((why, format!("sudo heaptop, or give it {PROBES_NEED}"))),
    };
    Machine { checks, probes }
}

fn kernel(release: &str, version: Option<(u32, u32)>) -> Check {
    match version {
        Some(version) if version >= LEAST_KERNEL => Check::ok("kernel", format!("Linux {release}")),
        Some(_) => Check::degraded(
            "kernel",
            format!("Linux {release} is older than those that heaptop is tested with"),
            "Linux 5.10 or later",
        ),
        None => Check::degraded(
            "kernel",
            format!("its release {release:?} is no version"),
            "none: what follows was tried",
        ),
    }
}

fn privileges(rights: Rights) -> Check {
    let known = [
        ("CAP_SYS_ADMIN", CAP_SYS_ADMIN),
        ("CAP_SYS_PTRACE", CAP_SYS_PTRACE),
    ];
    let effective: Vec<&str> = known
        .iter()
        .filter(|(_, capability)| rights.has(*capability))
        .map(|(name, _)| *name)
        .collect();
    let effective = if effective.is_empty() {
        "neither CAP_SYS_ADMIN nor CAP_SYS_PTRACE is effective".to_owned()
    } else {
        format!("effective: {}", effective.join(", "))
    };
    match (rights.may_probe(), rights.has(CAP_SYS_PTRACE)) {
        (true, true) => Check::ok("privileges", effective),
        (true, false) => Check::degraded(
            "privileges",
            format!("{effective}; processes of other users cannot be read"),
            "sudo heaptop, or add CAP_SYS_PTRACE",
        ),
        (false, true) => Check::degraded(
            "privileges",
            format!("{effective}; probes need {PROBES_NEED}"),
            "sudo heaptop",
        ),
        (false, false) => Check::degraded(
            "privileges",
            format!("{effective}; only processes of this user can be read, and none probed"),
            "sudo heaptop",
        ),
    }
}

/// Before Linux 5.11 maps count as locked memory.
fn memlock(version: Option<(u32, u32)>) -> Check {
    if version.is_some_and(|version| version >= KERNEL_WITHOUT_MEMLOCK) {
        return Check::ok(
            "memlock",
            "RLIMIT_MEMLOCK does not matter: this kernel counts the memory of maps by cgroup",
        );
    }
    match raise_memlock() {
        Some(bytes) if bytes < MAP_BYTES => Check::degraded(
            "memlock",
            format!("RLIMIT_MEMLOCK is {bytes} bytes and cannot be raised; maps take some MiB"),
            "ulimit -l unlimited, or run as root",
        ),
        Some(bytes) => Check::ok("memlock", format!("RLIMIT_MEMLOCK is {bytes} bytes")),
        None => Check::ok("memlock", "RLIMIT_MEMLOCK is unlimited"),
    }
}

/// The Yama security module may keep even a user's own processes from being read.
fn yama(rights: Rights) -> Option<Check> {
    let scope = read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok()?;
    let scope = scope.trim();
    let next = "sudo heaptop, or sysctl kernel.yama.ptrace_scope=0";
    Some(match scope {
        "0" => Check::ok(
            "yama",
            "ptrace_scope is 0: processes of the same user can be read",
        ),
        "3" => Check::missing(
            "yama",
            "ptrace_scope is 3: nobody may read the memory of another process",
            "boot without it: once set it stays until the next boot",
        ),
        _ if rights.has(CAP_SYS_PTRACE) => Check::ok(
            "yama",
            format!("ptrace_scope is {scope}, which CAP_SYS_PTRACE overrides"),
        ),
        "1" => Check::degraded(
            "yama",
            "ptrace_scope is 1: only child processes can be read",
            next,
        ),
        _ => Check::degraded(
            "yama",
            format!("ptrace_scope is {scope}: only CAP_SYS_PTRACE may read other processes"),
            next,
        ),
    })
}

/// What the kernel leaves to users without capabilities; none of heaptop's probes, whatever is set.
fn unprivileged(rights: Rights) -> Option<Check> {
    if rights.may_probe() {
        return None;
    }
    let value = |path: &str| {
        let text = read_to_string(path).ok();
        text.map_or_else(|| "unknown".to_owned(), |text| text.trim().to_owned())
    };
    Some(Check::degraded(
        "unprivileged",
        format!(
            "unprivileged_bpf_disabled is {}, perf_event_paranoid is {}: neither gives probes on processes to users without capabilities",
            value("/proc/sys/kernel/unprivileged_bpf_disabled"),
            value("/proc/sys/kernel/perf_event_paranoid"),
        ),
        "sudo heaptop; changing these settings does not help",
    ))
}

fn pid_namespace() -> Option<Check> {
    let inode = std::fs::metadata("/proc/self/ns/pid").ok()?.ino();
    Some(if inode == FIRST_PID_NAMESPACE {
        Check::ok("namespace", "all processes of the machine are seen")
    } else {
        Check::degraded(
            "namespace",
            "heaptop runs in a pid namespace of its own: processes outside of it are not seen",
            "on the host, or in a container with the host's pids (docker run --pid=host, hostPID: true)",
        )
    })
}

/// `/proc` may hide the processes of others.
fn hidepid(rights: Rights) -> Option<Check> {
    if rights.has(CAP_SYS_PTRACE) {
        return None; // Is shown all of them.
    }
    let mounts = read_to_string("/proc/self/mountinfo").ok()?;
    let option = hidepid_of(&mounts)?;
    Some(Check::degraded(
        "hidepid",
        format!("/proc is mounted with {option}: processes of other users are not listed"),
        "sudo heaptop",
    ))
}

/// The option of the mount at `/proc`, where it hides anything.
fn hidepid_of(mountinfo: &str) -> Option<&str> {
    let line = mountinfo
        .lines()
        .rfind(|line| line.split(' ').nth(4) == Some("/proc"))?;
    let options = line.split([' ', ',']);
    options
        .filter(|option| option.starts_with("hidepid="))
        .find(|option| !matches!(*option, "hidepid=0" | "hidepid=off"))
}

/// Where `--arm` notes what is to be put back.
fn notes() -> Check {
    match RunDir::make() {
        Ok(dir) => Check::ok(
            "arm",
            format!(
                "--arm can note in {} what is to be put back",
                dir.path().display()
            ),
        ),
        Err(refusal) => Check::degraded(
            "arm",
            format!("{}: {}", refusal.what, refusal.why),
            refusal.next,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_all_distributions() {
        for (release, version) in [
            ("6.1.0-28-amd64", Some((6, 1))),
            ("5.10.234", Some((5, 10))),
            ("7.2-rc1", Some((7, 2))),
            ("6.18.5+", Some((6, 18))),
            ("", None),
        ] {
            assert_eq!(version_of(release), version, "{release}");
        }
    }

    #[test]
    fn the_mount_of_proc_tells_whether_it_hides() {
        let with = |options: &str| {
            format!(
                "24 29 0:22 / /sys rw - sysfs sysfs rw\n25 29 0:23 / /proc rw,nosuid - proc proc rw{options}\n"
            )
        };
        assert_eq!(hidepid_of(&with("")), None);
        assert_eq!(hidepid_of(&with(",hidepid=0")), None);
        assert_eq!(
            hidepid_of(&with(",gid=4,hidepid=invisible")),
            Some("hidepid=invisible")
        );
    }
}
