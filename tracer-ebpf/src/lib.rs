//! The kernel side of heaptop.
//!
//! This library is what both sides compile: the records in the ring buffer, and the names by which userspace reaches
//! programs, maps and globals of the object ([`wire`]). The programs themselves are this package's binary; they need
//! the feature `programs`, a BPF target and `cargo xtask ebpf`, and their object is checked in as `tracer.bpf.o`.
#![no_std]
#![forbid(unsafe_code)]

pub mod wire;
