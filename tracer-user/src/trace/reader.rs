//! Reads a trace into events.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::{Header, VERSION, text};
use crate::event::Event;
use crate::refusal::Refusal;

/// A trace in memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// Events in the order in which they were applied; the first is [`Event::Attached`].
    pub events: Vec<Event>,
    /// Restrictions to mention once: a cut file, facts that its format lacks.
    pub remarks: Vec<String>,
}

/// Reads a trace of either format, compressed or not. A file that ends in mid-line gives what was whole.
///
/// # Errors
/// If the file cannot be opened, is no trace, or is of an unknown version.
pub fn read(path: &Path) -> Result<Trace, Refusal> {
    let refuse = |why: String| {
        Refusal::new(
            format!("cannot replay {}", path.display()),
            why,
            "name a trace that `cargo xtask trace PID -o FILE` wrote",
        )
    };
    let file = File::open(path).map_err(|err| refuse(err.to_string()))?;
    parse(file).map_err(refuse)
}

fn parse(file: impl Read) -> Result<Trace, String> {
    let mut file = BufReader::new(file);
    let start = file.fill_buf().map_err(|err| err.to_string())?;
    let is_compressed = start.starts_with(&[0x1f, 0x8b]);
    let bytes: Box<dyn Read> = if is_compressed {
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    let mut lines = BufReader::new(bytes);
    let mut first = String::new();
    lines.read_line(&mut first).map_err(|err| err.to_string())?;
    match serde_json::from_str::<Header>(&first) {
        Ok(header) if header.heaptop_trace == VERSION => Ok(events(lines)),
        Ok(header) => Err(format!(
            "it has version {} of the format, this heaptop reads {VERSION}",
            header.heaptop_trace
        )),
        Err(_) => text::parse(std::io::Cursor::new(first).chain(lines)),
    }
}

/// The events of all whole lines.
fn events(lines: impl std::io::BufRead) -> Trace {
    let mut trace = Trace::default();
    for (number, line) in (2..).zip(lines.lines()) {
        let event = line
            .map_err(|err| err.to_string())
            .and_then(|line| serde_json::from_str(&line).map_err(|err| err.to_string()));
        match event {
            Ok(event) => trace.events.push(event),
            Err(err) => {
                trace
                    .remarks
                    .push(format!("the trace is cut at line {number}: {err}"));
                break;
            }
        }
    }
    trace
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::event::{Attached, HeapRead, ProbeEvent};

    fn written() -> (Vec<Event>, Vec<u8>) {
        let events = vec![
            Event::Attached(Box::<Attached>::default()),
            Event::Heap(HeapRead::default()),
            Event::Probe(ProbeEvent::GcStart {
                at_ns: 7,
                heap_bytes: None,
            }),
            Event::Tick { at_ns: 9 },
        ];
        let mut out = GzEncoder::new(Vec::new(), Compression::fast());
        writeln!(out, "{{\"heaptop_trace\":{VERSION}}}").unwrap();
        for event in &events {
            writeln!(out, "{}", serde_json::to_string(event).unwrap()).unwrap();
        }
        (events, out.finish().unwrap())
    }

    #[test]
    fn reads_back_what_was_written() {
        let (events, bytes) = written();
        let trace = parse(&bytes[..]).unwrap();
        assert_eq!((trace.events, trace.remarks), (events, vec![]));
    }

    #[test]
    fn gives_whole_events_of_a_file_cut_anywhere() {
        let (events, bytes) = written();
        for len in 0..bytes.len() {
            let Ok(trace) = parse(&bytes[..len]) else {
                continue; // Cut within the first line.
            };
            assert!(events.starts_with(&trace.events), "{len}");
        }
    }

    #[test]
    fn refuses_another_version_and_other_files() {
        let refused = |text: &str| parse(text.as_bytes()).unwrap_err();
        assert!(refused("{\"heaptop_trace\":2}\n").contains("version 2"));
        assert!(refused("hello\n").contains("no trace"));
        assert!(refused("").contains("no trace"));
    }
}
