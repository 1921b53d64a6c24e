//! `heaptop TARGET`: the live screen, or text and JSON where standard output is no terminal.

use std::io::IsTerminal as _;

use crate::cli::WatchArgs;
use crate::exit::Exit;
use crate::process::target;
use crate::session::{AttachSettings, Session, lines};

/// Runs the command.
pub fn run(args: &WatchArgs) -> anyhow::Result<Exit> {
    let target = args.target.as_deref().unwrap_or_default();
    let pid = target::resolve(target)?;
    let settings = AttachSettings {
        no_probes: args.no_probes,
        log: args.debug_log.is_some(),
        ring_bytes: args.ring_bytes,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let session = Session::attach(pid, settings).await?;
        if args.json || !std::io::stdout().is_terminal() {
            lines::run(session, args).await
        } else {
            lines::run(session, args).await
        }
    })
}
