//! `cargo xtask nightly`: checks that take too long for `cargo xtask ci`, step by step, stopping at the first that fails.

use anyhow::Result;

use crate::ci::{self, Args, Step, finish, xtask, xtask_command};

/// Has the suite run its long test: events against buckets for five minutes instead of seconds.
const LONG: &str = "HEAPTOP_LONG";
/// Of the suite, the test that is run long.
const LONG_TEST: &str = "five_minutes_of_bursts";

const STEPS: &[Step] = &[
    ("five minutes of truth", || {
        let mut command = xtask_command(&["test", LONG_TEST])?;
        finish(command.env(LONG, "1"))
    }),
    ("releases, builds and sources", || xtask(&["matrix"])),
    ("verdicts on simulated processes", || xtask(&["simulate"])),
    ("torture", || xtask(&["torture", "--for", "10m"])),
    ("verdicts on programs of known truth", || {
        xtask(&["corpus", "--full"])
    }),
    ("the same, attached late", || {
        xtask(&["corpus", "--quick", "--after", "20m"])
    }),
    ("verdicts over many attaches", || xtask(&["attaches"])),
    ("kernels", || xtask(&["vm"])),
];

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<()> {
    ci::run_steps("nightly", STEPS, args)
}
