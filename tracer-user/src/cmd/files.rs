//! Files that heaptop leaves behind: whole or not at all, and owned by the user behind sudo.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rustix::fs::{Gid, Uid, fchown};

use crate::refusal::Refusal;

/// Names tried when a file exists already: `-2`, `-3` and so on.
const MAX_NAME_TRIES: u32 = 100;

/// Suffix of profile names.
pub const PROFILE: &str = ".pb.gz";

/// `heaptop-NAME-PID-TIME` with this ending, the time in the local zone.
pub fn name(name: &str, pid: &str, at_unix_ns: i64, ending: &str) -> PathBuf {
    let at = Timestamp::from_nanosecond(i128::from(at_unix_ns)).unwrap_or_default();
    let at = at
        .to_zoned(TimeZone::system())
        .strftime("%Y%m%d-%H%M%S")
        .to_string();
    // The name comes from another process: it stays within this folder.
    let name: String = name
        .chars()
        .map(|c| if c == '/' || c.is_control() { '_' } else { c })
        .collect();
    PathBuf::from(format!("heaptop-{name}-{pid}-{at}{ending}"))
}

/// Writes a file that does not exist yet, under this name or the next free one before `ending`; returns the name taken.
pub fn create_new(path: &Path, ending: &str, bytes: &[u8]) -> Result<PathBuf, Refusal> {
    let text = path.to_string_lossy();
    let stem = text.strip_suffix(ending).unwrap_or(&text);
    for n in 1..=MAX_NAME_TRIES {
        let path = if n == 1 {
            path.to_owned()
        } else {
            PathBuf::from(format!("{stem}-{n}{ending}"))
        };
        match write(&path, bytes, Existing::Keep) {
            Ok(()) => return Ok(path),
            Err(err) if err.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(err) => return Err(refuse(&path, &err)),
        }
    }
    Err(refuse(
        path,
        &std::io::Error::from(std::io::ErrorKind::AlreadyExists),
    ))
}

/// Writes a file, replacing an old one only when the new one is whole.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), Refusal> {
    // A device or a pipe cannot be replaced, and is not meant to be.
    if std::fs::metadata(path).is_ok_and(|meta| !meta.is_file() && !meta.is_dir()) {
        return std::fs::write(path, bytes).map_err(|err| refuse(path, &err));
    }
    // What a link leads to is replaced, not the link.
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    write(&real, bytes, Existing::Replace).map_err(|err| refuse(path, &err))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Existing {
    Keep,
    Replace,
}

fn write(path: &Path, bytes: &[u8], existing: Existing) -> std::io::Result<()> {
    let folder = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".heaptop-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    match std::fs::metadata(path) {
        // The new file belongs to whom the old one did, with the same rights.
        Ok(old) if existing == Existing::Replace => {
            file.as_file().set_permissions(old.permissions())?;
            let (uid, gid) = (Uid::from_raw(old.uid()), Gid::from_raw(old.gid()));
            // Only root may give files away; for others it is their own already, or stays theirs.
            let _ = fchown(file.as_file().as_fd(), Some(uid), Some(gid));
        }
        _ => give_to_user(file.as_file()),
    }
    match existing {
        Existing::Keep => file.persist_noclobber(path)?,
        Existing::Replace => file.persist(path)?,
    };
    Ok(())
}

/// Behind sudo the file belongs to the user who typed it.
fn give_to_user(file: &File) {
    let id = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    if let (true, Some(uid), Some(gid)) = (
        rustix::process::geteuid().is_root(),
        id("SUDO_UID"),
        id("SUDO_GID"),
    ) {
        // A file that stays with root is still a file: the profile matters more than its owner.
        let _ = fchown(
            file.as_fd(),
            Some(Uid::from_raw(uid)),
            Some(Gid::from_raw(gid)),
        );
    }
}

fn refuse(path: &Path, err: &std::io::Error) -> Refusal {
    let next = match err.kind() {
        std::io::ErrorKind::StorageFull => {
            "make room, or write to another file system with -o FILE"
        }
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            "go to a folder that you may write to, or name a file in one with -o FILE"
        }
        _ => "name another file with -o FILE",
    };
    Refusal::new(
        format!("cannot write {}", path.display()),
        err.to_string(),
        next,
    )
}
