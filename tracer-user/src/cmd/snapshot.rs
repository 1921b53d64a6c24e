//! `heaptop snapshot`: one pprof heap profile from the target's own records, without probes.

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::path::Path;

use crate::cli::SnapshotArgs;
use crate::clock::unix_ns;
use crate::exit::Exit;
use crate::export::pprof::{self, HeapProfile, Record};
use crate::process::go_process::GoProcess;
use crate::process::target;
use crate::refusal::Refusal;
use crate::symbolize::Symbolizer;

use super::{files, stdout};

/// Runs the command.
pub fn run(args: &SnapshotArgs) -> anyhow::Result<Exit> {
    let pid = target::resolve(&args.target)?;
    let go = GoProcess::open(pid)?;
    go.require_sampling()?;
    let profile = go.profile()?;
    let at_unix_ns = unix_ns();
    let n_records = profile.records.len();
    let record = |(bucket, counts): (crate::go::buckets::NewBucket, _)| Record {
        pcs: bucket.pcs,
        object_bytes: bucket.object_bytes,
        counts,
    };
    let heap = HeapProfile {
        records: profile.records.into_iter().map(record).collect(),
        rate_bytes: profile.rate_bytes,
        at_unix_ns,
        mappings: go.mapped_files(),
        label_unused: go.program.facts.record.sizes_by_bucket(),
    };
    let names = Symbolizer::new(&go).names(&pprof::wanted_names(&heap.records));
    let names: HashMap<_, _> = names.into_iter().collect();
    let bytes = pprof::encode(&heap, &names)?;
    if args.output.as_deref() == Some(Path::new("-")) {
        if std::io::stdout().is_terminal() {
            return Err(Refusal::new(
                "will not write a compressed profile to a terminal",
                "-o - means standard output",
                format!("heaptop snapshot {} -o - > heap.pb.gz", args.target),
            )
            .into());
        }
        stdout::write(&bytes)?;
        return Ok(Exit::Done);
    }
    let path = match &args.output {
        Some(path) => {
            files::replace(path, &bytes)?;
            path.clone()
        }
        None => files::create_new(
            &files::name(
                go.process.name(),
                &pid.to_string(),
                at_unix_ns,
                files::PROFILE,
            ),
            files::PROFILE,
            &bytes,
        )?,
    };
    eprintln!(
        "wrote {} ({n_records} stacks, {} bytes); look at it with: go tool pprof {}",
        path.display(),
        bytes.len(),
        path.display()
    );
    if !profile.steady {
        eprintln!(
            "the process allocated while it was read: records differ by the moment of their reading"
        );
    }
    if profile.omitted > 0 {
        eprintln!(
            "left out: {} stacks beyond the {} that heaptop follows",
            profile.omitted, n_records
        );
    }
    Ok(Exit::Done)
}
