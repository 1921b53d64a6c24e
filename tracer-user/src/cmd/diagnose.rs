//! `heaptop diagnose`: a watch of some minutes, and what it comes to in words.

use super::begin;
use crate::cli::DiagnoseArgs;
use crate::exit::Exit;
use crate::process::target;
use crate::session::signals::Signals;
use crate::session::{AttachSettings, diagnose};

/// Runs the command.
pub fn run(args: &DiagnoseArgs) -> anyhow::Result<Exit> {
    args.per
        .check(args.wanted_source())
        .unwrap_or_else(|usage| usage.exit());
    if let Some(path) = &args.debug_log {
        begin::log_to(path)?;
    }
    let pid = target::resolve(&args.target)?;
    begin::block_on(!args.no_probes, async {
        // Before anything is written into the target: a signal must not end heaptop by itself from then on.
        let signals = Signals::catch()?;
        let settings = AttachSettings {
            source: args.wanted_source(),
            arm: args.arm,
            max_cpu_fraction: args.max_overhead,
            is_short: false,
            per: args.per.wanted(),
            log: args.debug_log.is_some(),
            ring_bytes: None,
            trace: None,
        };
        let session = begin::attach(pid, &args.target, &settings).await?;
        diagnose::run(session, signals, args).await
    })
}
