//! The folder of what must survive a heaptop that was killed: one per user, that no one else may write.
//!
//! Root acts on what it finds there, so a folder of another user, one that others may enter, or a symbolic link is
//! never used. All files are reached through the open folder, never by a path that could mean another one by then.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Dir, FlockOperation, Mode, OFlags};

use crate::refusal::Refusal;

/// Names another folder: for tests, and for machines where none of the usual ones may be written.
pub const RUN_DIR_VARIABLE: &str = "HEAPTOP_RUN_DIR";
/// Limit on the bytes read of a file. The longest lists probes, each in at most 73 bytes: some 150 of `--exact`, 64 of
/// requests, and 64 of two candidates for a driver.
pub(crate) const MAX_FILE_BYTES: u64 = 64 << 10;
/// Ending that a file has until it replaces another.
const NEW_ENDING: &str = ".new";
/// Most files looked at: one for each armed process.
const MAX_FILES: usize = 1024;
/// Tries to get the lock, which is held for microseconds, and the pause between them.
const LOCK_TRIES: usize = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// The folder, open.
#[derive(Debug)]
pub struct RunDir {
    fd: OwnedFd,
    path: PathBuf,
}

/// Nobody else changes the folder while this lives.
#[derive(Debug)]
pub struct Locked(#[allow(dead_code, reason = "its drop ends the lock")] OwnedFd);

impl RunDir {
    /// The first usable folder, made where it is missing.
    ///
    /// # Errors
    /// Where there is none.
    pub fn make() -> Result<Self, Refusal> {
        let mut why = String::new();
        for path in candidates() {
            let made = make_private(&path).and_then(|()| Self::open(&path));
            match made {
                Ok(dir) => return Ok(dir),
                Err(err) => why = format!("{}: {err}", path.display()),
            }
        }
        Err(Refusal::new(
            "cannot note what is to be put back if heaptop is killed",
            why,
            format!("name a folder that only you may enter: {RUN_DIR_VARIABLE}=DIR heaptop ..."),
        ))
    }

    /// All usable folders that exist.
    pub fn existing() -> impl Iterator<Item = Self> {
        candidates()
            .into_iter()
            .filter_map(|path| Self::open(&path).ok())
    }

    /// Opens a folder if it is ours alone.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&fd)?;
        let others = Mode::from_raw_mode(stat.st_mode) & (Mode::RWXG | Mode::RWXO);
        if stat.st_uid != rustix::process::geteuid().as_raw() || !others.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it belongs to another user, or others may enter it",
            ));
        }
        Ok(Self {
            fd,
            path: path.to_owned(),
        })
    }

    /// Where it is, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps other heaptops out; `None` if one holds it for longer than it should.
    pub fn lock(&self) -> Option<Locked> {
        // An open of its own: locks belong to opens, and one dropped must not end another.
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, ".", flags, Mode::empty()).ok()?;
        for _ in 0..LOCK_TRIES {
            if rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive).is_ok() {
                return Some(Locked(fd));
            }
            std::thread::sleep(LOCK_PAUSE);
        }
        None
    }

    /// Names of the files that end so.
    pub fn names(&self, ending: &str) -> Vec<String> {
        let Ok(entries) = Dir::read_from(&self.fd) else {
            return Vec::new();
        };
        entries
            .filter_map(Result::ok)
            .filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned))
            .filter(|name| name.ends_with(ending))
            .take(MAX_FILES)
            .collect()
    }

    /// Reads a file.
    pub fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.fd, name, flags, Mode::empty())?);
        let mut bytes = Vec::new();
        file.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Writes a file that does not exist yet; when it returns, the file outlives a crash of the machine.
    pub fn write_new(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.create(name)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        if let Err(err) = written {
            let _ = self.remove(name);
            return Err(err);
        }
        rustix::fs::fsync(&self.fd)?;
        Ok(())
    }

    /// Replaces a file, or makes it. A process that is killed at any moment leaves the old file or the new one. After a
    /// crash of the machine it may be gone.
    ///
    /// # Errors
    /// If it cannot be written: the old file is unchanged.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let new = format!("{name}{NEW_ENDING}");
        // Left by a heaptop with the same pid that was killed.
        let _ = self.remove_file(&new);
        let mut file = self.create(&new)?;
        let replaced = file
            .write_all(bytes)
            .and_then(|()| Ok(rustix::fs::renameat(&self.fd, &new, &self.fd, name)?));
        if replaced.is_err() {
            let _ = self.remove_file(&new);
        }
        replaced
    }

    fn create(&self, name: &str) -> io::Result<File> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        Ok(File::from(rustix::fs::openat(&self.fd, name, flags, mode)?))
    }

    /// Removes a file, and what an interrupted [`RunDir::replace`] of it has left.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        let _ = self.remove_file(&format!("{name}{NEW_ENDING}"));
        self.remove_file(name)
    }

    fn remove_file(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())?)
    }
}

/// Where the folder may be, best first: what vanishes with a reboot, as what is noted there does.
fn candidates() -> Vec<PathBuf> {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(named) = var(RUN_DIR_VARIABLE) {
        return vec![named.into()];
    }
    let uid = rustix::process::geteuid();
    let usual = if uid.is_root() {
        Some(PathBuf::from("/run/heaptop"))
    } else {
        var("XDG_RUNTIME_DIR").map(|dir| PathBuf::from(dir).join("heaptop"))
    };
    let temporary = std::env::temp_dir().join(format!("heaptop-{}", uid.as_raw()));
    usual.into_iter().chain([temporary]).collect()
}

fn make_private(path: &Path) -> io::Result<()> {
    match rustix::fs::mkdir(path, Mode::RWXU) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(err) => Err(err.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn only_a_folder_of_ones_own_is_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let own = folder.path().join("own");
        make_private(&own).expect("own folder");
        let dir = RunDir::open(&own).expect("private");
        dir.write_new("1.armed", b"{}").expect("new");
        assert!(dir.write_new("1.armed", b"{}").is_err());
        assert_eq!(dir.names(".armed"), ["1.armed"]);
        assert_eq!(dir.read("1.armed").expect("a file"), b"{}");
        dir.replace("1.armed", b"{1}").expect("a file");
        assert_eq!(dir.read("1.armed").expect("a file"), b"{1}");
        assert!(dir.names(NEW_ENDING).is_empty());

        let link = folder.path().join("link");
        symlink(&own, &link).expect("own folder");
        assert!(RunDir::open(&link).is_err());
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&own, open).expect("own folder");
        assert!(RunDir::open(&own).is_err());
        assert!(RunDir::open(&folder.path().join("none")).is_err());
    }

    #[test]
    fn the_lock_is_of_one_at_a_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let own = folder.path().join("own");
        make_private(&own).expect("own folder");
        let dir = RunDir::open(&own).expect("private");
        let held = dir.lock().expect("free");
        let flags = FlockOperation::NonBlockingLockExclusive;
        assert!(rustix::fs::flock(&dir.fd, flags).is_err());
        drop(held);
        assert!(dir.lock().is_some());
    }
}
