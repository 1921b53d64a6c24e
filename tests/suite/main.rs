//! Tests of the whole: real programs, real files.

mod frames;
mod static_damaged;
mod static_go;
