//! The time that is left until a limit, at the right of rows 2 and 3.

use super::format;
use super::outlook::Outlook;
use super::reading::Reading;
use super::screen::Role;
use super::words;
use crate::model::findings::{Limit, LimitKind, Word};

/// Later than this a limit is not near.
const NEAR_S: f64 = 7.0 * 86_400.0;
/// Sooner than this it is a warning.
const SOON_S: f64 = 3_600.0;
/// Fewest columns for the interval, or the room, beside the limit.
const WIDE: usize = 72;

/// Seconds as a time that says what counts.
pub(super) fn seconds(value: f64) -> String {
    if !value.is_finite() {
        return "never".to_owned();
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a time beyond all bounds reads as the longest"
    )]
    let ns = (value.max(0.0) * 1e9) as u64;
    if value < 600.0 {
        format::duration(ns)
    } else {
        format::coarse_duration(ns)
    }
}

/// Bytes of a limit: those that people set are round.
pub(super) fn limit_bytes(bytes: u64) -> String {
    if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) {
        format::sentence_rate(bytes)
    } else {
        format::sentence_bytes(bytes as f64)
    }
}

/// Which limit: `8 GiB` for `memory.max`, others by name.
fn which(limit: &Limit) -> String {
    let bytes = limit_bytes(limit.bytes);
    match limit.kind {
        LimitKind::MemoryMax => bytes,
        kind => format!("{} {bytes}", kind.word()),
    }
}

/// The time that is left, with its interval below: `limit in ?` where something may grow and the time is not known,
/// `no limit near` where nothing does, or it is far.
pub(super) fn add_limit(outlook: &mut Outlook, reading: &Reading, columns: usize) {
    let findings = &reading.findings;
    let Some(limit) = &findings.limit else {
        "no limit known".clone_into(&mut outlook.right);
        return;
    };
    let what = which(limit);
    let is_wide = columns >= WIDE;
    let warms = findings.process.word == Word::Warming;
    let left = format::sentence_bytes(limit.room_bytes as f64);
    let in_s = match limit.in_s {
        None if words::may_grow(findings) => {
            "limit in ?".clone_into(&mut outlook.right);
            outlook.right_role = warn_if(limit.is_close());
            outlook.right_below = if is_wide {
                format!("{what}, {left} left")
            } else {
                what
            };
            return;
        }
        Some(in_s) if in_s.value <= NEAR_S && (warms || findings.process.word.is_growth()) => in_s,
        // However slowly it is used up, what is left is little.
        _ if limit.is_close() => {
            outlook.right = format!("{left} left");
            outlook.right_role = warn_if(true);
            outlook.right_below = what;
            return;
        }
        _ => {
            "no limit near".clone_into(&mut outlook.right);
            return;
        }
    };
    let between = if in_s.high.is_finite() {
        format!("{}..{}", seconds(in_s.low), seconds(in_s.high))
    } else {
        format!("{} or more", seconds(in_s.low))
    };
    // What warms may slow down.
    let or_later = if warms { "+" } else { "" };
    outlook.right = format!("limit in {}{or_later}", seconds(in_s.value));
    outlook.right_role = warn_if(in_s.value < SOON_S || limit.is_close());
    outlook.right_below = if is_wide {
        format!("{what}, {between}")
    } else {
        what
    };
}

fn warn_if(is_near: bool) -> Role {
    if is_near { Role::Warn } else { Role::Plain }
}
