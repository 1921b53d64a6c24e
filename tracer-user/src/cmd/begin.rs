//! How every command that watches begins: heaptop's own log, a runtime to wait on, an attach with a word of patience.

use std::fs::OpenOptions;
use std::path::Path;

use super::patience::Patience;
use crate::exit::Exit;
use crate::probe;
use crate::process::rights::raise_memlock;
use crate::refusal::Refusal;
use crate::session::signals::Signals;
use crate::session::{AttachSettings, Session};

/// Runs a command that watches to its end, then takes the last probes out.
pub(super) fn block_on(
    has_probes: bool,
    command: impl Future<Output = anyhow::Result<Exit>>,
) -> anyhow::Result<Exit> {
    if has_probes {
        // Before Linux 5.11 the maps count against it. Where it cannot be raised, loading them tells.
        let _ = raise_memlock();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let exit = runtime.block_on(command);
    probe::detach::finish();
    // A write that nobody reads may still wait on a thread of its own.
    runtime.shutdown_background();
    exit
}

/// Attaches, and says so where it takes longer than usual; not to a user who has asked for the end meanwhile.
pub(super) async fn attach(
    pid: u32,
    target: &str,
    settings: &AttachSettings,
) -> anyhow::Result<Session> {
    let patience = Patience::new(format!(
        "ATTACHING  reading the tables of {target} (pid {pid}), usually under 1 s"
    ));
    let mut signals = Signals::catch()?;
    let quiet = tokio::spawn(async move {
        signals.next().await;
        drop(patience);
    });
    let session: Result<Session, Refusal> = Session::attach(pid, settings).await;
    quiet.abort();
    Ok(session?)
}

/// Sends heaptop's own diagnostics to a file: the screen has no room for them.
pub(super) fn log_to(path: &Path) -> anyhow::Result<()> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|err| {
            Refusal::new(
                format!("cannot write the log {}", path.display()),
                err.to_string(),
                "name a file in a folder that can be written",
            )
        })?;
    env_logger::Builder::new()
        .filter_level(log::LevelFilter::Debug)
        .target(env_logger::Target::Pipe(Box::new(file)))
        .init();
    Ok(())
}
