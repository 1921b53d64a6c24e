//! The numbers of a verdict: of a site, of a leak, and of the process as far as it has the same.

use serde::Serialize;

use crate::model::findings::{self, GrowsWith, Interval};

/// The evidence of a site's verdict.
#[derive(Serialize)]
pub(super) struct Evidence<'a> {
    text: String,
    bytes_per_min: Option<f64>,
    bytes_per_min_low: Option<f64>,
    bytes_per_min_high: Option<f64>,
    objects_per_min: Option<f64>,
    objects_per_min_low: Option<f64>,
    objects_per_min_high: Option<f64>,
    samples_born: u64,
    samples_died: u64,
    cycles: u32,
    minutes: f64,
    survivors: Option<u64>,
    survivors_of: Option<u64>,
    oldest_cycles: Option<u32>,
    growing_per: Option<&'static str>,
    steady_below_bytes_per_min: Option<f64>,
    missing_samples: Option<u64>,
    missing_cycles: Option<u32>,
    seconds_to_answer: Option<f64>,
    unseen_bytes: Option<f64>,
    per_call: Option<PerCall<'a>>,
}

/// Growth for each call.
#[derive(Serialize)]
pub(super) struct PerCall<'a> {
    function: &'a str,
    objects: f64,
    objects_low: f64,
    objects_high: f64,
    bytes: f64,
    bytes_low: f64,
    bytes_high: f64,
}

/// The word for what a growth follows.
pub(super) fn growing_per(with: Option<GrowsWith>) -> Option<&'static str> {
    with.map(|with| match with {
        GrowsWith::Time => "time",
        GrowsWith::Load => "load",
    })
}

/// Value, low and high of an interval, each null where it is not known or has no end.
pub(super) fn ends(interval: Option<&Interval>) -> [Option<f64>; 3] {
    let finite = |pick: fn(&Interval) -> f64| interval.map(pick).filter(|end| end.is_finite());
    [
        finite(|interval| interval.value),
        finite(|interval| interval.low),
        finite(|interval| interval.high),
    ]
}

impl<'a> PerCall<'a> {
    pub(super) fn of(call: &'a findings::PerCall) -> Self {
        Self {
            function: &call.function,
            objects: call.objects.value,
            objects_low: call.objects.low,
            objects_high: call.objects.high,
            bytes: call.bytes.value,
            bytes_low: call.bytes.low,
            bytes_high: call.bytes.high,
        }
    }
}

impl<'a> Evidence<'a> {
    pub(super) fn of(evidence: &'a findings::Evidence, text: String) -> Self {
        let bytes = ends(evidence.bytes_per_min.as_ref());
        let objects = ends(evidence.objects_per_min.as_ref());
        let missing = evidence.missing.as_ref();
        Self {
            text,
            bytes_per_min: bytes[0],
            bytes_per_min_low: bytes[1],
            bytes_per_min_high: bytes[2],
            objects_per_min: objects[0],
            objects_per_min_low: objects[1],
            objects_per_min_high: objects[2],
            samples_born: evidence.born,
            samples_died: evidence.died,
            cycles: evidence.cycles,
            minutes: evidence.minutes,
            survivors: evidence.survivors.map(|(alive, _)| alive),
            survivors_of: evidence.survivors.map(|(_, born)| born),
            oldest_cycles: evidence.oldest_cycles,
            growing_per: growing_per(evidence.grows_with),
            steady_below_bytes_per_min: evidence.steady_below_bytes_per_min,
            missing_samples: missing.map(|missing| missing.samples),
            missing_cycles: missing.map(|missing| missing.cycles),
            seconds_to_answer: missing.and_then(|missing| missing.answer_in_s),
            unseen_bytes: evidence.unseen_bytes,
            per_call: evidence.per_call.as_ref().map(PerCall::of),
        }
    }
}
