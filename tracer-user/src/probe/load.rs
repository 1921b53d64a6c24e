//! Loading the embedded object: on a thread of its own, since the kernel's type information takes 20 ms
//! to parse while the target's binary can be read at the same time.

use std::sync::mpsc;
use std::thread::JoinHandle;

use aya::{Ebpf, EbpfLoader};
use tracer_ebpf::wire::{globals, maps};

use crate::go::facts::SpecialFacts;
use crate::refusal::Refusal;

/// The programs, as built by `cargo xtask ebpf` and checked in beside their source.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../tracer-ebpf/tracer.bpf.o");

/// What the programs need to know of the target before they are loaded.
#[derive(Clone, Copy, Debug)]
pub struct LoadSettings {
    /// Where a special has its kind and its bucket.
    pub special: SpecialFacts,
    /// Bit `1 << kind` for each probe on a `jbe`.
    pub jbe_filter: u64,
    /// Size of the ring buffer, bytes: a power of two of at least a page; `None` for the default.
    pub ring_bytes: Option<u32>,
    /// Whether the programs write diagnostics of rare events.
    pub log: bool,
}

/// A load that is under way.
#[derive(Debug)]
pub struct Loader {
    settings: mpsc::SyncSender<LoadSettings>,
    thread: JoinHandle<Result<Ebpf, aya::EbpfError>>,
}

impl Loader {
    /// Begins with what does not depend on the target.
    pub fn start() -> Self {
        let (settings, wanted) = mpsc::sync_channel::<LoadSettings>(1);
        let thread = std::thread::spawn(move || {
            let mut loader = EbpfLoader::new();
            let Ok(settings) = wanted.recv() else {
                // Whoever started us was refused; nothing is loaded and nobody looks at this.
                return Err(aya::EbpfError::NoBTF);
            };
            let profile_kind = u64::from(settings.special.profile_kind);
            let log = u64::from(settings.log);
            // Off in the kernel too: a log call that nobody reads would still cost the target.
            let log_level = if settings.log { u8::MAX } else { 0 };
            loader
                .override_global(globals::PROFILE_KIND, &profile_kind, true)
                .override_global(globals::SPECIAL_KIND_OFFSET, &settings.special.kind, true)
                .override_global(
                    globals::SPECIAL_BUCKET_OFFSET,
                    &settings.special.bucket,
                    true,
                )
                .override_global(globals::JBE_FILTER, &settings.jbe_filter, true)
                .override_global(globals::LOG, &log, true)
                .override_global(aya_log::LEVEL, &log_level, true);
            if let Some(bytes) = settings.ring_bytes {
                loader.map_max_entries(maps::EVENTS, bytes);
            }
            loader.load(OBJECT)
        });
        Self { settings, thread }
    }

    /// Loads with these settings.
    ///
    /// # Errors
    /// A [`Refusal`] with the kernel's words and what they usually mean.
    pub fn finish(self, settings: LoadSettings) -> Result<Ebpf, Refusal> {
        // The thread waits for just this; it cannot have gone.
        let _ = self.settings.send(settings);
        let loaded = self.thread.join().map_err(|_| {
            Refusal::new(
                "cannot load the eBPF programs",
                "the loader panicked",
                "without probes: heaptop --no-probes TARGET",
            )
        })?;
        loaded.map_err(|err| refuse_load(&err))
    }
}

/// Loads the programs for no target: to measure them.
pub(super) fn load_unbound() -> Result<Ebpf, aya::EbpfError> {
    EbpfLoader::new()
        .override_global(aya_log::LEVEL, &0u8, true)
        .load(OBJECT)
}

fn refuse_load(err: &aya::EbpfError) -> Refusal {
    let why = chain(err);
    let next = if why.contains("Operation not permitted") {
        "needs CAP_SYS_ADMIN: run with sudo, or without probes: heaptop --no-probes TARGET"
    } else {
        "needs Linux 5.10 or later with CONFIG_BPF_SYSCALL; without probes: heaptop --no-probes TARGET"
    };
    Refusal::new("cannot load the eBPF programs", why, next)
}

/// An error with all its causes in one line.
pub(super) fn chain(err: &dyn std::error::Error) -> String {
    let mut text = err.to_string();
    let mut source = err.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    // The verifier's log follows the reason line by line; the reason is what helps here.
    text.lines().next().unwrap_or_default().to_owned()
}
