//! The memory cgroup of the target, v2 or v1: usage, what it is made of, limits up to the top.
//!
//! Paths in `/proc/PID/cgroup` are seen from our own cgroup namespace, and so are the roots of the mounts in
//! `/proc/self/mountinfo`: a path outside of what is mounted here cannot be read, and then nothing is known.
//!
//! Source: `Documentation/admin-guide/cgroup-v2.rst` and `cgroup-v1/memory.rst`, Linux 5.10 to 7.2.

use std::path::{Component, Path, PathBuf};

use crate::event::{CgroupEvents, CgroupLimit, CgroupRead};

/// Most levels that are walked up: real trees have less than ten.
const MAX_LEVELS: usize = 64;
/// v1 writes this and nothing larger for "no limit": `PAGE_COUNTER_MAX` in bytes; no machine has so much.
const NO_LIMIT_V1: u64 = 1 << 62;

/// Which interface the memory controller has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The unified hierarchy.
    V2,
    /// A hierarchy of its own, or with other controllers.
    V1,
}

/// Where a process's memory cgroup lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its interface.
    pub version: Version,
    /// Its folder.
    pub dir: PathBuf,
    /// The folder that is mounted: the top of what can be seen.
    pub top: PathBuf,
}

/// Finds it in the text of `/proc/PID/cgroup` and `/proc/self/mountinfo`. The memory controller belongs to one of the two
/// versions: to v1 wherever that has it.
pub fn place(cgroup: &str, mountinfo: &str) -> Option<Place> {
    let v1 = find(cgroup, mountinfo, Version::V1);
    v1.or_else(|| find(cgroup, mountinfo, Version::V2))
}

fn find(cgroup: &str, mountinfo: &str, version: Version) -> Option<Place> {
    let path = cgroup.lines().find_map(|line| {
        let mut words = line.splitn(3, ':');
        let (id, controllers, path) = (words.next()?, words.next()?, words.next()?);
        let is_it = match version {
            Version::V2 => id == "0" && controllers.is_empty(),
            Version::V1 => controllers.split(',').any(|name| name == "memory"),
        };
        is_it.then_some(path)
    })?;
    // The last mount of a place hides those before.
    let (root, top) = mountinfo
        .lines()
        .filter_map(|line| {
            let (mount, kind) = line.split_once(" - ")?;
            let mut kind = kind.split(' ');
            let (name, options) = (kind.next()?, kind.nth(1)?);
            let is_it = match version {
                Version::V2 => name == "cgroup2",
                Version::V1 => name == "cgroup" && options.split(',').any(|o| o == "memory"),
            };
            let mut mount = mount.split(' ').skip(3);
            is_it.then_some((mount.next()?, mount.next()?))
        })
        .next_back()?;
    let below = Path::new(path).strip_prefix(unescaped(root)).ok()?;
    let is_plain = below
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    let top = PathBuf::from(unescaped(top));
    is_plain.then(|| Place {
        version,
        dir: if below.as_os_str().is_empty() {
            top.clone()
        } else {
            top.join(below)
        },
        top,
    })
}

/// mountinfo writes blanks and backslashes as octal numbers.
fn unescaped(text: &str) -> String {
    text.replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\")
}

/// The memory cgroup of a process; `None` where it has none, or nothing can be seen of it.
pub fn read(pid: u32) -> Option<CgroupRead> {
    read_at(&place_of(pid)?)
}

/// Returns the place of a process's memory cgroup.
pub fn place_of(pid: u32) -> Option<Place> {
    let cgroup = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let mountinfo = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    place(&cgroup, &mountinfo)
}

/// Reads how many processes of a cgroup the OOM killer has killed so far, whether for its own limit or another's.
pub fn oom_kills(place: &Place) -> Option<u64> {
    let dir = *levels(place).first()?;
    Some(events(dir, place.version)?.oom_kill)
}

/// Folders from the one that has the memory controller up to the top; empty where none has.
fn levels(place: &Place) -> Vec<&Path> {
    let names = Names::of(place.version);
    let levels = place.dir.ancestors().take(MAX_LEVELS);
    levels
        .take_while(|dir| dir.starts_with(&place.top))
        .skip_while(|dir| number(dir, names.usage).is_none())
        .collect()
}

/// Reads a memory cgroup. One that does not have the controller belongs to the next above that has.
pub fn read_at(place: &Place) -> Option<CgroupRead> {
    let names = Names::of(place.version);
    let levels = levels(place);
    let dir = *levels.first()?;
    let stat = text(dir, "memory.stat").unwrap_or_default();
    let field = |name: &str| value(&stat, name);
    let files = [names.inactive_file, names.active_file].map(field);
    let limit = |file: &str| {
        let limits = levels.iter().filter_map(|dir| {
            let limit_bytes = number(dir, file).filter(|&bytes| bytes < NO_LIMIT_V1)?;
            let usage_bytes = number(dir, names.usage)?;
            Some(CgroupLimit {
                limit_bytes,
                usage_bytes,
            })
        });
        limits.min_by_key(|limit| limit.limit_bytes.saturating_sub(limit.usage_bytes))
    };
    Some(CgroupRead {
        usage_bytes: number(dir, names.usage)?,
        anon_bytes: field(names.anon),
        file_bytes: field(names.file),
        reclaimable_bytes: files[0].zip(files[1]).map(|(a, b)| a.saturating_add(b)),
        kernel_bytes: match place.version {
            Version::V2 => field("kernel").or_else(|| kernel_v2(&stat)),
            Version::V1 => number(dir, "memory.kmem.usage_in_bytes"),
        },
        max: limit(names.max),
        high: names.high.and_then(limit),
        events: events(dir, place.version),
    })
}

/// Kernel memory before Linux 5.18, which has no sum of it.
fn kernel_v2(stat: &str) -> Option<u64> {
    let parts = ["kernel_stack", "slab", "sock", "percpu", "pagetables"];
    let slab = value(stat, "slab")?;
    let rest = parts.iter().filter(|name| **name != "slab");
    let rest = rest.filter_map(|name| value(stat, name));
    Some(rest.fold(slab, u64::saturating_add))
}

fn events(dir: &Path, version: Version) -> Option<CgroupEvents> {
    match version {
        Version::V2 => {
            let events = text(dir, "memory.events")?;
            Some(CgroupEvents {
                max: value(&events, "max")?,
                high: value(&events, "high")?,
                oom: value(&events, "oom")?,
                oom_kill: value(&events, "oom_kill")?,
            })
        }
        // v1 does not tell how often nothing could be reclaimed, other than by the kills.
        Version::V1 => {
            let kills = value(&text(dir, "memory.oom_control")?, "oom_kill")?;
            Some(CgroupEvents {
                max: number(dir, "memory.failcnt")?,
                high: 0,
                oom: kills,
                oom_kill: kills,
            })
        }
    }
}

/// What files and fields are called.
struct Names {
    usage: &'static str,
    max: &'static str,
    high: Option<&'static str>,
    anon: &'static str,
    file: &'static str,
    inactive_file: &'static str,
    active_file: &'static str,
}

impl Names {
    fn of(version: Version) -> &'static Self {
        match version {
            Version::V2 => &Self {
                usage: "memory.current",
                max: "memory.max",
                high: Some("memory.high"),
                anon: "anon",
                file: "file",
                inactive_file: "inactive_file",
                active_file: "active_file",
            },
            Version::V1 => &Self {
                usage: "memory.usage_in_bytes",
                max: "memory.limit_in_bytes",
                high: None,
                anon: "total_rss",
                file: "total_cache",
                inactive_file: "total_inactive_file",
                active_file: "total_active_file",
            },
        }
    }
}

fn text(dir: &Path, file: &str) -> Option<String> {
    std::fs::read_to_string(dir.join(file)).ok()
}

/// The number that a file holds; `None` for `max`.
fn number(dir: &Path, file: &str) -> Option<u64> {
    text(dir, file)?.trim().parse().ok()
}

/// The number behind a name, in a text of `name number` lines.
fn value(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(' ')?;
        (found == name).then(|| value.trim().parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const V2: &str = "29 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1: &str = "31 25 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      32 25 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn the_folder_is_found_in_both_versions() {
        let v2 = place("0::/a.slice/b.service\n", V2).expect("a place");
        assert_eq!(v2.dir, Path::new("/sys/fs/cgroup/a.slice/b.service"));
        assert_eq!(v2.version, Version::V2);
        let v1 = place("4:cpu,memory:/docker/x\n0::/\n", V1).expect("a place");
        assert_eq!(v1.dir, Path::new("/sys/fs/cgroup/memory/docker/x"));
        // A container that mounts its own part of the tree.
        let part = "29 23 0:26 /kubepods/pod1 /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let within = place("0::/kubepods/pod1/c\n", part).expect("a place");
        assert_eq!(within.dir, Path::new("/sys/fs/cgroup/c"));
        let itself = place("0::/kubepods/pod1\n", part).expect("a place");
        assert_eq!(itself.dir, Path::new("/sys/fs/cgroup"));
        // Outside of our namespace or mount.
        assert_eq!(place("0::/../other\n", V2), None);
        assert_eq!(place("0::/elsewhere\n", part), None);
        assert_eq!(place("0::/a\n", ""), None);
    }

    fn write(dir: &Path, files: &[(&str, &str)]) {
        std::fs::create_dir_all(dir).expect("a folder");
        for (name, text) in files {
            std::fs::write(dir.join(name), text).expect("a file");
        }
    }

    #[test]
    fn the_limit_is_the_one_with_least_room_on_the_way_up() {
        let top = tempfile::tempdir().expect("a folder");
        let pod = top.path().join("pod");
        let container = pod.join("container");
        write(top.path(), &[("memory.stat", "anon 5\n")]); // The root has no limits and no usage.
        write(
            &pod,
            &[
                ("memory.current", "950\n"),
                ("memory.max", "1000\n"),
                ("memory.high", "max\n"),
            ],
        );
        write(
            &container,
            &[
                ("memory.current", "300\n"),
                ("memory.max", "800\n"),
                ("memory.high", "700\n"),
                (
                    "memory.stat",
                    "anon 100\nfile 150\nkernel 40\ninactive_file 70\nactive_file 60\n",
                ),
                (
                    "memory.events",
                    "low 0\nhigh 3\nmax 2\noom 1\noom_kill 1\noom_group_kill 0\n",
                ),
            ],
        );
        let mut place = Place {
            version: Version::V2,
            dir: container.clone(),
            top: top.path().into(),
        };
        let read = read_at(&place).expect("a memory cgroup");
        assert_eq!(
            (read.usage_bytes, read.anon_bytes, read.file_bytes),
            (300, Some(100), Some(150))
        );
        assert_eq!(
            (read.kernel_bytes, read.reclaimable_bytes),
            (Some(40), Some(130))
        );
        let max = CgroupLimit {
            limit_bytes: 1000,
            usage_bytes: 950,
        };
        let high = CgroupLimit {
            limit_bytes: 700,
            usage_bytes: 300,
        };
        assert_eq!((read.max, read.high), (Some(max), Some(high)));
        let events = CgroupEvents {
            max: 2,
            high: 3,
            oom: 1,
            oom_kill: 1,
        };
        assert_eq!(read.events, Some(events));

        // Below, the controller is not switched on.
        place.dir = container.join("below");
        assert_eq!(read_at(&place), Some(read));
        // At the top there is none.
        place.dir = top.path().into();
        assert_eq!(read_at(&place), None);
    }

    #[test]
    fn v1_has_its_own_names_and_no_limit_is_a_large_number() {
        let top = tempfile::tempdir().expect("a folder");
        write(
            top.path(),
            &[
                ("memory.usage_in_bytes", "500\n"),
                ("memory.limit_in_bytes", "9223372036854771712\n"),
                ("memory.stat", "cache 1\ntotal_cache 200\ntotal_rss 250\n"),
                ("memory.kmem.usage_in_bytes", "30\n"),
            ],
        );
        let place = Place {
            version: Version::V1,
            dir: top.path().into(),
            top: top.path().into(),
        };
        let read = read_at(&place).expect("a memory cgroup");
        assert_eq!((read.max, read.high, read.events), (None, None, None));
        assert_eq!((read.anon_bytes, read.file_bytes), (Some(250), Some(200)));
        assert_eq!(
            (read.kernel_bytes, read.reclaimable_bytes),
            (Some(30), None)
        );
    }

    proptest! {
        #[test]
        fn any_text_never_panics(
            cgroup in "\\PC*",
            path in "[./a]{0,12}",
            root in "[./a]{0,6}",
            mountinfo in "\\PC*",
        ) {
            let _ = place(&cgroup, &mountinfo);
            let _ = value(&cgroup, &path);
            let mount = format!("29 23 0:26 {root} /m rw - cgroup2 c rw");
            let found = place(&format!("0::{path}\n"), &mount);
            prop_assert!(found.is_none_or(|place| place.dir.starts_with("/m")));
        }
    }
}
