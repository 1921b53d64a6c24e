//! Writes events to a trace as the session applies them.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{Header, VERSION};
use crate::event::Event;
use crate::refusal::Refusal;

/// Interval between flushes, in the events' own time: a kill loses at most this much.
const FLUSH_EVERY_NS: u64 = 2_000_000_000;

/// An open trace. A write error ends it and is reported once, on standard error; the watch goes on.
#[derive(Debug)]
pub struct TraceWriter {
    path: PathBuf,
    /// `None` after a write error.
    out: Option<GzEncoder<BufWriter<File>>>,
    flushed_ns: u64,
}

impl TraceWriter {
    /// Creates the file, which must not exist.
    ///
    /// # Errors
    /// If the file cannot be created or written.
    pub fn create(path: &Path) -> Result<Self, Refusal> {
        let open = || {
            let file = File::create_new(path)?;
            let mut out = GzEncoder::new(BufWriter::new(file), Compression::fast());
            let header = Header {
                heaptop_trace: VERSION,
            };
            line(&mut out, &header)?;
            Ok(out)
        };
        let out = open().map_err(|err: io::Error| {
            Refusal::new(
                format!("cannot write the trace {}", path.display()),
                err.to_string(),
                "name a new file in a folder that can be written",
            )
        })?;
        Ok(Self {
            path: path.to_owned(),
            out: Some(out),
            flushed_ns: 0,
        })
    }

    /// Appends an event.
    pub fn write(&mut self, event: &Event) {
        let Some(out) = &mut self.out else { return };
        let due = event.at_ns() >= self.flushed_ns.saturating_add(FLUSH_EVERY_NS);
        let written = line(out, event).and_then(|()| if due { out.flush() } else { Ok(()) });
        if due {
            self.flushed_ns = event.at_ns();
        }
        if let Err(err) = written {
            self.fail(&err);
        }
    }

    fn fail(&mut self, err: &io::Error) {
        self.out = None;
        let path = self.path.display();
        let _ = writeln!(
            io::stderr(),
            "heaptop: the trace {path} ends here: {err}; make room and start another one"
        );
    }
}

impl Drop for TraceWriter {
    fn drop(&mut self) {
        if let Some(out) = self.out.take()
            && let Err(err) = out.finish().and_then(|mut file| file.flush())
        {
            self.fail(&err);
        }
    }
}

fn line(out: &mut impl io::Write, value: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}
