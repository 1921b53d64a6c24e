//! What a track remembers, and the same spread out for the rules.

use std::collections::VecDeque;

use super::flow::{Flow, Side};
use super::{HISTORY, N_LEVELS};

/// Looks that share one sum of weights: 4 minutes. A window of half of that takes its share by counts.
const LOOKS_PER_SLOT: u32 = 16;
/// A look with more samples one way than fit is kept as several steps, at most this many.
const MAX_STEPS_PER_LOOK: u32 = 4;

/// Weights differ when their squares exceed by this what equal ones would have.
const UNEVEN: f64 = 1.02;

/// What came and went at one look; looks without are not kept.
#[derive(Clone, Copy, Debug)]
struct Step {
    look: u32,
    born: u16,
    arrived: [u16; N_LEVELS],
    departed: [u16; N_LEVELS],
}

/// Weights of samples that went one way.
#[derive(Clone, Copy, Debug, Default)]
struct Weights {
    samples: f32,
    bytes: f32,
    objects: f32,
    bytes_sq: f32,
    objects_sq: f32,
}

/// Weights of what came and went in the looks of one slot.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    number: u32,
    arrived: [Weights; N_LEVELS],
    departed: [Weights; N_LEVELS],
}

/// The last [`HISTORY`] looks of one track.
#[derive(Clone, Debug, Default)]
pub(super) struct Series {
    steps: VecDeque<Step>,
    slots: VecDeque<Slot>,
    /// By level: how many stood there at the oldest look.
    base: [i64; N_LEVELS],
}

/// Cumulative counts at every look that is remembered.
pub(super) struct Spread {
    /// Place of the last look.
    pub(super) newest: usize,
    /// By level: arrivals since the oldest look.
    pub(super) arrived: [[f64; HISTORY + 1]; N_LEVELS],
    /// By level: departures since the oldest look.
    pub(super) departed: [[f64; HISTORY + 1]; N_LEVELS],
    /// Births since the oldest look.
    pub(super) born: [f64; HISTORY + 1],
    /// By level: veterans at the oldest look.
    pub(super) base: [f64; N_LEVELS],
}

impl Spread {
    /// Veterans of a level at a look.
    pub(super) fn n(&self, level: usize, at: usize) -> f64 {
        self.base[level] + (self.arrived[level][at] - self.departed[level][at])
    }

    /// All that came or went at a level up to a look.
    pub(super) fn flow(&self, level: usize, at: usize) -> f64 {
        self.arrived[level][at] + self.departed[level][at]
    }
}

/// Sums of weights over a window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sums {
    pub(super) bytes: f64,
    pub(super) objects: f64,
    pub(super) bytes_sq: f64,
    pub(super) objects_sq: f64,
}

impl Series {
    /// Takes the flow of look `look`; `oldest` is the oldest look to remember.
    pub(super) fn push(&mut self, look: u32, oldest: u32, flow: &Flow) {
        for (base, level) in self.base.iter_mut().zip(&flow.levels) {
            *base = base.saturating_add(level.standing);
        }
        self.add_steps(look, flow);
        self.add_weights(look, flow);
        self.forget(oldest);
    }

    fn add_steps(&mut self, look: u32, flow: &Flow) {
        let mut born = flow.born;
        let mut arrived = flow.levels.map(|level| level.arrived.samples);
        let mut departed = flow.levels.map(|level| level.departed.samples);
        for _ in 0..MAX_STEPS_PER_LOOK {
            let step = Step {
                look,
                born: take(&mut born),
                arrived: arrived.each_mut().map(take),
                departed: departed.each_mut().map(take),
            };
            let counts = step.arrived.iter().chain(&step.departed);
            if step.born == 0 && counts.copied().all(|count| count == 0) {
                break;
            }
            self.steps.push_back(step);
        }
    }

    fn add_weights(&mut self, look: u32, flow: &Flow) {
        let came = |side: &Side| side.samples > 0;
        if !(flow.levels.iter()).any(|level| came(&level.arrived) || came(&level.departed)) {
            return;
        }
        let number = look / LOOKS_PER_SLOT;
        if self.slots.back().is_none_or(|slot| slot.number != number) {
            self.slots.push_back(Slot {
                number,
                ..Slot::default()
            });
        }
        if let Some(slot) = self.slots.back_mut() {
            for (i, level) in flow.levels.iter().enumerate() {
                slot.arrived[i].add(&level.arrived);
                slot.departed[i].add(&level.departed);
            }
        }
    }

    /// Folds what was up to the oldest look into the base.
    fn forget(&mut self, oldest: u32) {
        while let Some(step) = self.steps.front().filter(|step| step.look <= oldest) {
            for (level, base) in self.base.iter_mut().enumerate() {
                let net = i64::from(step.arrived[level]) - i64::from(step.departed[level]);
                *base = base.saturating_add(net);
            }
            self.steps.pop_front();
        }
        let first = oldest / LOOKS_PER_SLOT;
        while self.slots.front().is_some_and(|slot| slot.number < first) {
            self.slots.pop_front();
        }
    }

    /// Every look from `oldest` to `newest`, both included and at most [`HISTORY`] apart.
    pub(super) fn spread(&self, oldest: u32, newest: u32) -> Spread {
        let len = (newest.saturating_sub(oldest) as usize).min(HISTORY);
        let mut spread = Spread {
            newest: len,
            arrived: [[0.0; HISTORY + 1]; N_LEVELS],
            departed: [[0.0; HISTORY + 1]; N_LEVELS],
            born: [0.0; HISTORY + 1],
            base: self.base.map(|base| base as f64),
        };
        for step in &self.steps {
            let at = (step.look.saturating_sub(oldest) as usize).min(len);
            spread.born[at] += f64::from(step.born);
            for level in 0..N_LEVELS {
                spread.arrived[level][at] += f64::from(step.arrived[level]);
                spread.departed[level][at] += f64::from(step.departed[level]);
            }
        }
        cumulate(&mut spread.born[..=len]);
        for level in 0..N_LEVELS {
            cumulate(&mut spread.arrived[level][..=len]);
            cumulate(&mut spread.departed[level][..=len]);
        }
        spread
    }

    /// Whether the samples of a level stand for different amounts, in bytes or in objects.
    pub(super) fn is_uneven(&self, level: usize) -> bool {
        let (mut all, mut samples) = (Sums::default(), 0.0);
        for slot in &self.slots {
            for weights in [&slot.arrived[level], &slot.departed[level]] {
                all.add(weights, 1.0);
                samples += f64::from(weights.samples);
            }
        }
        let differ = |sum: f64, squares: f64| squares * samples > sum * sum * UNEVEN;
        differ(all.bytes, all.bytes_sq) || differ(all.objects, all.objects_sq)
    }

    /// Weights of the arrivals and of the departures of a level after look `from`. Of the slot in which the window
    /// begins, as many shares as of its samples fall into the window.
    pub(super) fn weights(&self, level: usize, from: u32) -> (Sums, Sums) {
        let cut = from / LOOKS_PER_SLOT;
        let (mut came, mut went) = (Sums::default(), Sums::default());
        let (mut share_came, mut share_went) = (1.0, 1.0);
        if let Some(slot) = self.slots.iter().find(|slot| slot.number == cut) {
            let first = (self.steps).partition_point(|step| step.look / LOOKS_PER_SLOT < cut);
            let (mut n_came, mut n_went) = (0.0, 0.0);
            for step in (self.steps.range(first..)).take_while(|step| step.look <= from) {
                n_came += f64::from(step.arrived[level]);
                n_went += f64::from(step.departed[level]);
            }
            let left = |all: f32, gone: f64| {
                let all = f64::from(all);
                if all > 0.0 {
                    (1.0 - gone / all).clamp(0.0, 1.0)
                } else {
                    0.0
                }
            };
            share_came = left(slot.arrived[level].samples, n_came);
            share_went = left(slot.departed[level].samples, n_went);
        }
        for slot in self.slots.iter().filter(|slot| slot.number >= cut) {
            let of = |share: f64| if slot.number == cut { share } else { 1.0 };
            came.add(&slot.arrived[level], of(share_came));
            went.add(&slot.departed[level], of(share_went));
        }
        (came, went)
    }
}

impl Weights {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "sums of estimates: seven digits are more than they know"
    )]
    fn add(&mut self, side: &Side) {
        self.samples += side.samples as f32;
        self.bytes += side.bytes as f32;
        self.objects += side.objects as f32;
        self.bytes_sq += side.bytes_sq as f32;
        self.objects_sq += side.objects_sq as f32;
    }
}

impl Sums {
    fn add(&mut self, weights: &Weights, share: f64) {
        self.bytes += f64::from(weights.bytes) * share;
        self.objects += f64::from(weights.objects) * share;
        self.bytes_sq += f64::from(weights.bytes_sq) * share;
        self.objects_sq += f64::from(weights.objects_sq) * share;
    }
}

/// Takes as many as fit.
fn take(count: &mut u32) -> u16 {
    let part = u16::try_from(*count).unwrap_or(u16::MAX);
    *count -= u32::from(part);
    part
}

fn cumulate(counts: &mut [f64]) {
    let mut sum = 0.0;
    for count in counts {
        sum += *count;
        *count = sum;
    }
}

/// What a track may keep at most, beside itself, where something happens at every look.
const _: () = assert!(
    256 * size_of::<Step>() + (HISTORY / LOOKS_PER_SLOT as usize + 1) * size_of::<Slot>()
        <= 8 << 10
);
