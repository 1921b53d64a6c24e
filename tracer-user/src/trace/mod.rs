//! Traces: the event stream of a watch in a file, and its replay.
//!
//! A trace is gzip over lines of JSON. The first line names the format (`{"heaptop_trace":1}`); every other line is one
//! [`Event`], in the order in which the model applied them. [`TraceWriter`] taps a live session, [`read`] reads the file
//! back, [`text`] reads the older line format, and [`attach_at`] makes of a stream what a later attach would have seen.

mod later;
mod reader;
pub mod text;
mod writer;

pub use later::attach_at;
pub use reader::{Trace, read};
pub use writer::TraceWriter;

#[cfg(doc)]
use crate::event::Event;

/// Version in the first line. A reader refuses others.
const VERSION: u32 = 1;

/// First line of a trace.
#[derive(serde::Serialize, serde::Deserialize)]
struct Header {
    heaptop_trace: u32,
}
