//! Tests of the whole: real programs, real files.

mod static_damaged;
mod static_go;
