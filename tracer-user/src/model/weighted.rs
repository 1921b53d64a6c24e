//! What a bucket knows beside its counts where samples have weights of their own.

use super::estimate::UNITS_PER_OBJECT;

/// The weighted samples of one bucket. The bucket's counts are in units; here are their numbers and how uneven they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Weighted {
    /// Samples born since the attach.
    pub(super) born: u64,
    /// Samples found dead since the attach.
    pub(super) died: u64,
    /// Samples that were alive after the last final GC cycle.
    pub(super) settled: u64,
    /// Births and deaths of samples; one that is drawn again by thinning counts once more.
    pub(super) turns: u64,
    /// Units that thinning added to the bucket's births: nothing was allocated.
    pub(super) thinned_units: u64,
    /// Objects allocated since the attach, where the source counts them.
    pub(super) counted: Option<f64>,
    live: Drawn,
    all: Drawn,
    /// Live samples born after the last mark termination, valid in `epoch` alone.
    since_mark: u64,
    epoch: u64,
}

/// Some samples: how many, and the sums of their weights and of the squares of those, in objects.
#[derive(Clone, Copy, Debug, Default)]
struct Drawn {
    n: u64,
    weights: f64,
    squares: f64,
}

impl Drawn {
    fn add(&mut self, weight: f64) {
        self.n += 1;
        self.weights += weight;
        self.squares += weight * weight;
    }

    fn take(&mut self, weight: f64) {
        self.n = self.n.saturating_sub(1);
        if self.n == 0 {
            // Squares of large weights are rounded: nothing of that may stay.
            *self = Self::default();
            return;
        }
        self.weights = (self.weights - weight).max(0.0);
        self.squares = (self.squares - weight * weight).max(0.0);
    }
}

fn objects(units: u64) -> f64 {
    units as f64 / UNITS_PER_OBJECT
}

impl Weighted {
    /// A sample of `units` is born in mark epoch `epoch`; `since_mark` unless that was before its mark termination.
    pub(super) fn born(&mut self, units: u64, epoch: u64, since_mark: bool) {
        self.born += 1;
        self.turns += 1;
        self.live.add(objects(units));
        self.all.add(objects(units));
        self.since_mark = self.since_mark(epoch) + u64::from(since_mark);
        self.epoch = epoch;
    }

    /// A sample is dead.
    pub(super) fn died(&mut self, units: u64, epoch: u64, since_mark: bool) {
        self.died += 1;
        self.gone(units, epoch, since_mark);
    }

    /// A sample is not followed any more.
    pub(super) fn gone(&mut self, units: u64, epoch: u64, since_mark: bool) {
        self.turns += 1;
        self.live.take(objects(units));
        self.since_mark = self.since_mark(epoch).saturating_sub(u64::from(since_mark));
        self.epoch = epoch;
    }

    /// A sample of `units` stands for twice as much from now on.
    pub(super) fn doubled(&mut self, units: u64) {
        self.turns += 1;
        self.thinned_units += units;
        self.live.take(objects(units));
        self.live.add(2.0 * objects(units));
    }

    /// Live samples born since the mark termination that began `epoch`.
    pub(super) fn since_mark(&self, epoch: u64) -> u64 {
        if self.epoch == epoch {
            self.since_mark
        } else {
            0
        }
    }

    /// Live samples now.
    pub(super) fn live(&self) -> u64 {
        self.live.n
    }

    /// Mean w²/w of the samples that live, or of all if none does: what the variance of a sum of them rests on.
    pub(super) fn spread(&self) -> f64 {
        let drawn = self.drawn();
        if drawn.weights > 0.0 {
            (drawn.squares / drawn.weights).max(1.0)
        } else {
            1.0
        }
    }

    /// Mean units of a sample.
    pub(super) fn units_per_sample(&self) -> f64 {
        let drawn = self.drawn();
        if drawn.n > 0 {
            drawn.weights * UNITS_PER_OBJECT / drawn.n as f64
        } else {
            UNITS_PER_OBJECT
        }
    }

    fn drawn(&self) -> Drawn {
        if self.live.n > 0 { self.live } else { self.all }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_that_of_the_living_and_remembers_the_last_of_them() {
        let mut weighted = Weighted::default();
        assert!((weighted.spread() - 1.0).abs() < 1e-12);
        weighted.born(64, 0, true);
        weighted.born(3 * 64, 0, true);
        assert!((weighted.spread() - 10.0 / 4.0).abs() < 1e-12);
        assert!((weighted.units_per_sample() - 128.0).abs() < 1e-9);
        weighted.died(64, 0, true);
        assert!((weighted.spread() - 3.0).abs() < 1e-12);
        assert_eq!((weighted.live(), weighted.since_mark(0)), (1, 1));
        weighted.died(3 * 64, 1, false);
        assert!((weighted.spread() - 2.5).abs() < 1e-12, "of all births");
        assert_eq!((weighted.live(), weighted.since_mark(1)), (0, 0));
    }
}
