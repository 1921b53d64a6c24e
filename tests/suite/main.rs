//! Tests of the whole: real programs, real files.

mod static_go;
