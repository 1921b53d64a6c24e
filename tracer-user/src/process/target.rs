//! TARGET on the command line: a pid, a name, a container, or a pid inside a container.

use procfs::process::Process;

use super::image::Image;
use super::live;
use crate::clock::unix_ns;
use crate::go::buildinfo::BuildInfo;
use crate::refusal::Refusal;
use crate::view::format;

/// Fewest hexadecimal digits that may stand for a container.
const MIN_CONTAINER_PREFIX: usize = 6;
/// Digits of a container id as Docker, containerd and Podman write them into cgroup paths.
const CONTAINER_ID_DIGITS: usize = 64;
/// Most candidates that a message lists.
const MAX_LISTED: usize = 8;

/// Finds the one process that `target` means; heaptop itself is never one.
///
/// # Errors
/// A [`Refusal`] where there is none, or more than one: then it lists them.
pub fn resolve(target: &str) -> Result<u32, Refusal> {
    if target.bytes().all(|b| b.is_ascii_digit()) && !target.is_empty() {
        return target
            .parse()
            .map_err(|_| not_found(target, "no pid is that large"));
    }
    if let Some((container, inner)) = target.rsplit_once(':')
        && is_container_prefix(container)
        && let Ok(inner) = inner.parse::<i32>()
    {
        let found: Vec<Process> = others()
            .filter(|p| in_container(p, container) && is_inner(p, inner))
            .collect();
        return only(
            target,
            &format!("are pid {inner} in container {container}"),
            &found,
        );
    }
    let named: Vec<Process> = others()
        .filter(|proc| is_named(proc, target))
        .filter(is_go_program)
        .collect();
    if named.is_empty() && is_container_prefix(target) {
        let found: Vec<Process> = others()
            .filter(|p| in_container(p, target))
            .filter(is_go_program)
            .collect();
        return only(target, &format!("run in container {target}"), &found);
    }
    if named.is_empty() && others().any(|proc| is_named(&proc, target)) {
        return Err(Refusal::new(
            format!("no process to watch for {target:?}"),
            "what runs under this name is no Go program, or one that this user may not look at",
            format!("sudo heaptop {target}"),
        ));
    }
    only(target, &format!("are named {target}"), &named)
}

/// Whether a TARGET that is no pid means this process.
pub(super) fn means(target: &str, proc: &Process) -> bool {
    if let Some((container, inner)) = target.rsplit_once(':')
        && is_container_prefix(container)
        && let Ok(inner) = inner.parse::<i32>()
    {
        return in_container(proc, container) && is_inner(proc, inner);
    }
    let is_meant =
        is_named(proc, target) || (is_container_prefix(target) && in_container(proc, target));
    is_meant && is_go_program(proc)
}

/// Whether the process has this pid in its own pid namespace.
fn is_inner(proc: &Process, inner: i32) -> bool {
    proc.status()
        .is_ok_and(|status| status.nspid.is_some_and(|pids| pids.last() == Some(&inner)))
}

fn others() -> impl Iterator<Item = Process> {
    let own = std::process::id().cast_signed();
    procfs::process::all_processes()
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter(move |proc| proc.pid != own)
}

fn is_named(proc: &Process, name: &str) -> bool {
    live::exe_name(proc).is_some_and(|exe| exe == name)
        || proc.stat().is_ok_and(|stat| stat.comm == name)
}

fn is_go_program(proc: &Process) -> bool {
    std::fs::File::open(format!("/proc/{}/exe", proc.pid))
        .ok()
        .and_then(|file| Image::open(file).ok())
        .is_some_and(|image| BuildInfo::read(&image).is_ok())
}

fn is_container_prefix(text: &str) -> bool {
    text.len() >= MIN_CONTAINER_PREFIX
        && text.len() <= CONTAINER_ID_DIGITS
        && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn in_container(proc: &Process, prefix: &str) -> bool {
    let Ok(cgroups) = proc.cgroups() else {
        return false;
    };
    cgroups
        .into_iter()
        .any(|group| container_id(&group.pathname).is_some_and(|id| id.starts_with(prefix)))
}

/// The container that a process runs in, by its cgroups: 64 hexadecimal digits, or where there is none the id of its
/// pod.
pub(super) fn container_of(proc: &Process) -> Option<String> {
    let belongs = Belongs::of(proc);
    belongs.container.or(belongs.pod)
}

/// Where a process belongs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Belongs {
    container: Option<String>,
    pod: Option<String>,
}

impl Belongs {
    /// By its cgroups.
    pub(super) fn of(proc: &Process) -> Self {
        let Ok(cgroups) = proc.cgroups() else {
            return Self::default();
        };
        let paths: Vec<String> = cgroups.into_iter().map(|group| group.pathname).collect();
        let container = paths.iter().find_map(|path| container_id(path));
        Self {
            container: container.map(str::to_owned),
            pod: paths.iter().find_map(|path| pod_id(path)),
        }
    }

    /// Whether both are in the same container or pod (whose containers get new ids), or both in none.
    pub(super) fn shares(&self, other: &Self) -> bool {
        self.container == other.container || (self.pod.is_some() && self.pod == other.pod)
    }
}

/// The id of a pod in a cgroup path of Kubernetes, with `-` between its parts: behind the last `pod` of a part whose
/// name speaks of `kubepods` or lies below one that does.
fn pod_id(cgroup: &str) -> Option<String> {
    let (_, inner) = cgroup.split_once("kubepods")?;
    let id = inner.rsplit_once("pod")?.1;
    let id = id.split(['/', '.']).next()?;
    // systemd's names of slices have `_` where ids have `-`.
    let id = id.replace('_', "-");
    let is_id =
        id.len() >= MIN_CONTAINER_PREFIX && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    is_id.then_some(id)
}

/// The container id in a cgroup path: the last run of just 64 hexadecimal digits.
fn container_id(cgroup: &str) -> Option<&str> {
    cgroup
        .rsplit(|c: char| !c.is_ascii_hexdigit())
        .find(|run| run.len() == CONTAINER_ID_DIGITS)
}

fn not_found(target: &str, why: &str) -> Refusal {
    Refusal::new(
        format!("no process to watch for {target:?}"),
        why,
        "give a pid, the name of a Go program that runs here, or a container id; `heaptop ps` lists them",
    )
}

fn only(target: &str, relation: &str, found: &[Process]) -> Result<u32, Refusal> {
    match found {
        [] => Err(not_found(
            target,
            "no running Go program has this name, and no container this id",
        )),
        [one] => Ok(one.pid.unsigned_abs()),
        [first, ..] => {
            let mut listed: Vec<String> = found.iter().take(MAX_LISTED).map(describe).collect();
            if found.len() > MAX_LISTED {
                listed.push(format!("and {} more", found.len() - MAX_LISTED));
            }
            Err(Refusal::new(
                format!("{} processes {relation}", found.len()),
                listed.join(", "),
                format!("heaptop {}", first.pid),
            ))
        }
    }
}

/// `4121 (up 8h24m, 3.91 GiB)`.
fn describe(proc: &Process) -> String {
    let Ok(stat) = proc.stat() else {
        return proc.pid.to_string();
    };
    let up_ns = unix_ns().saturating_sub(live::started_unix_ns(stat.starttime));
    let up_ns = u64::try_from(up_ns).unwrap_or(0);
    let rss = stat.rss * procfs::page_size();
    format!(
        "{} (up {}, {})",
        proc.pid,
        format::duration(up_ns),
        format::sentence_bytes(rss as f64)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn container_ids_in_the_paths_of_all_runtimes() {
        let id = "4f".repeat(32);
        for path in [
            format!("/docker/{id}"),
            format!("/system.slice/docker-{id}.scope"),
            format!("/kubepods.slice/kubepods-pod1.slice/cri-containerd-{id}.scope"),
            format!("/machine.slice/libpod-{id}.scope/container"),
        ] {
            assert_eq!(container_id(&path), Some(id.as_str()), "{path}");
        }
        assert_eq!(container_id("/user.slice/user-0.slice"), None);
        assert_eq!(container_id(&"a".repeat(65)), None);
    }

    #[test]
    fn pods_in_the_paths_of_both_drivers() {
        let uid = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
        let slice = uid.replace('-', "_");
        for path in [
            format!("/kubepods/burstable/pod{uid}"),
            format!(
                "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{slice}.slice"
            ),
        ] {
            assert_eq!(pod_id(&path).as_deref(), Some(uid), "{path}");
        }
        assert_eq!(pod_id("/system.slice/podman.service"), None);
        assert_eq!(pod_id("/kubepods.slice"), None);
    }

    #[test]
    fn what_cannot_be_found_says_so() {
        let err = resolve("no-such-program-runs-here").unwrap_err();
        assert!(err.what.contains("no-such-program-runs-here") && err.next.contains("pid"));
        assert!(resolve("99999999999999999999").is_err());
    }
}
