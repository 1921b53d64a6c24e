//! Tests of the whole: real programs, real files.

mod allocations;
mod anatomy;
mod arm;
mod calls;
mod cli;
mod diagnose;
mod diagnosis;
mod doctor;
mod ends;
mod follow;
mod frames;
mod gc_heap;
mod goroutines;
mod json;
mod life;
mod marks;
mod plugged;
mod probes;
mod ps;
mod pty;
mod static_damaged;
mod static_go;
mod support;
mod tidy;
mod truth;
mod verdicts;
