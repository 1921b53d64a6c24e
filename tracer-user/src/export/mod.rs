//! What leaves heaptop for other programs: profiles and lines. Pure: bytes and strings, no files.

pub mod json;
pub mod pprof;
mod pprof_proto;
