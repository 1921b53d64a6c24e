//! Who runs the tasks, and what needs root.
//!
//! Everything is built, and the traced programs run, as the user who typed the command; only heaptop and the tests with
//! real probes run as root. So a task that was started through sudo gives up root for what does not need it, and one that
//! was not asks sudo where root is needed.

use std::{
    env,
    ffi::OsStr,
    io::IsTerminal as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use nix::unistd::{Uid, User};

/// Whether this process may do everything.
pub(crate) fn is_root() -> bool {
    Uid::effective().is_root()
}

/// The user behind sudo, where there is one that is not root.
pub(crate) fn behind_sudo() -> Option<User> {
    if !is_root() {
        return None;
    }
    let uid: u32 = env::var("SUDO_UID").ok()?.parse().ok()?;
    User::from_uid(Uid::from_raw(uid))
        .ok()?
        .filter(|user| !user.uid.is_root())
}

/// Has the command run as the user behind sudo; changes nothing where there is none.
pub(crate) fn as_user(command: &mut Command) -> &mut Command {
    let Some(user) = behind_sudo() else {
        return command;
    };
    // sudo's PATH has neither what rustup nor what Go's own archive installs.
    let path = env::var_os("PATH").unwrap_or_default();
    let more = [
        user.dir.join(".cargo/bin"),
        PathBuf::from("/usr/local/go/bin"),
    ];
    if let Ok(path) = env::join_paths(env::split_paths(&path).chain(more)) {
        command.env("PATH", path);
    }
    command
        .env("HOME", &user.dir)
        .env("USER", &user.name)
        .env("LOGNAME", &user.name)
        .uid(user.uid.as_raw())
        .gid(user.gid.as_raw())
}

/// Gives what root left in the build folder back to the user, or their next build fails.
pub(crate) fn give_back(privilege: &Privilege) -> Result<()> {
    let (owner, sudo) = match (behind_sudo(), privilege) {
        (Some(user), _) => (format!("{}:{}", user.uid, user.gid), false),
        (None, Privilege::Sudo(_)) => (
            format!("{}:{}", Uid::current(), nix::unistd::getgid()),
            true,
        ),
        (None, Privilege::Root) => return Ok(()),
    };
    let target = crate::target_dir();
    if !target.exists() {
        return Ok(());
    }
    let mut chown = if sudo {
        privilege.command("chown")
    } else {
        Command::new("chown")
    };
    let status = chown
        .args(["--recursive", "--no-dereference", "--from=root", &owner])
        .arg(&target)
        .status()
        .context("cannot run chown")?;
    if !status.success() {
        bail!(
            "cannot give {} back to its user: chown ended with {status}",
            target.display()
        );
    }
    Ok(())
}

/// How something is run as root.
#[derive(Debug)]
pub(crate) enum Privilege {
    /// As it is: this process is root.
    Root,
    /// Through this sudo, which will not ask for a password for a while.
    Sudo(PathBuf),
}

impl Privilege {
    /// Root, or sudo after it has asked for the password; `why` completes "… needs root to".
    pub(crate) fn get(task: &str, why: &str) -> Result<Self> {
        if is_root() {
            return Ok(Self::Root);
        }
        let Some(sudo) = in_path("sudo") else {
            bail!(
                "{task} needs root to {why}\n  why:  this is user {}, and there is no sudo\n  next: run `cargo xtask {task}` \
                 as root, or install sudo",
                Uid::current()
            );
        };
        let silent = |arg: &str| {
            Command::new(&sudo)
                .args(["-n", arg])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        };
        if silent("true") {
            return Ok(Self::Sudo(sudo));
        }
        if std::io::stdin().is_terminal() {
            crate::progress::say(
                task,
                &format!("root is needed to {why}: sudo asks for your password"),
            );
            let status = Command::new(&sudo)
                .arg("-v")
                .status()
                .context("cannot run sudo")?;
            if status.success() {
                return Ok(Self::Sudo(sudo));
            }
        }
        bail!(
            "{task} needs root to {why}\n  why:  this is user {}, and sudo gives no root without a password\n  next: run it \
             in a terminal, where sudo can ask, or as root",
            Uid::current()
        );
    }

    /// A command that runs as root, in this process group: a terminal's Ctrl-C reaches it as it reaches us.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        match self {
            Self::Root => Command::new(program),
            Self::Sudo(sudo) => {
                let mut command = Command::new(sudo);
                command.arg("--").arg(program);
                command
            }
        }
    }

    /// The same with variables that sudo would drop.
    pub(crate) fn command_with_env(
        &self,
        program: &Path,
        variables: &[(String, String)],
    ) -> Command {
        match self {
            Self::Root => {
                let mut command = Command::new(program);
                command.envs(variables.iter().map(|(name, value)| (name, value)));
                command
            }
            Self::Sudo(sudo) => {
                let mut command = Command::new(sudo);
                command.args(["-E", "--", "env"]);
                command.args(
                    variables
                        .iter()
                        .map(|(name, value)| format!("{name}={value}")),
                );
                command.arg(program);
                command
            }
        }
    }
}

/// A program in `PATH`.
pub(crate) fn in_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}
