//! Slope of a noisy series, as a probability distribution.
//!
//! The model is a straight line plus a random walk plus white noise. The walk stands for memory in use that really moves
//! up and down; its share of the noise is unknown. One generalized least-squares fit is made for each share of a grid, and
//! the fits are weighted by their restricted likelihood (REML) with a flat prior on the share. The slope is then a mixture
//! of Student t distributions.
//!
//! A walk seen through white noise is a local-level model, so its Kalman filter whitens the regression in O(n): the
//! filter's standardized innovations of a column are that column multiplied by the inverse Cholesky factor of the
//! covariance matrix, which is never formed.

use super::student;
use crate::verdict::Estimate;

/// Blocks that a fit averages its points into. More blocks would not narrow the interval of a slope and cost time.
pub(super) const MAX_BLOCKS: usize = 30;
/// Points below which no line is fitted.
pub(super) const MIN_POINTS: usize = 4;
/// Blocks from which on a fit considers walks that are fast beside the white noise. Fewer blocks do not show how fast a walk
/// is: the words of straight leaks would come 30 s later. Without fast walks a heap that walks by more than its white noise
/// was called growing in twice as many simulated watches.
const FAST_WALK_BLOCKS: usize = 15;
/// Points below which no curve is fitted.
const MIN_CURVE_POINTS: usize = 5;
/// Least half width of the 90 % interval, as a share of the slope: loads wander by as much.
const LEAST_ERROR: f64 = 0.05;
/// Standard errors beyond which no quantile is searched.
const QUANTILE_RANGE: f64 = 60.0;
/// Steps in the search of a quantile; a dozen are usual.
const QUANTILE_STEPS: u32 = 60;
/// Error of its probability that is tolerated.
const QUANTILE_ERROR: f64 = 1e-7;
/// Seconds in a minute: rates are per minute.
pub(super) const MINUTE_S: f64 = 60.0;

/// One point of a series, or the mean of several.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Point {
    /// Seconds.
    pub(super) at_s: f64,
    /// Value in the series' own unit.
    pub(super) value: f64,
    /// Number of readings behind it.
    pub(super) weight: f64,
}

impl Point {
    /// Makes this the mean of both.
    fn absorb(&mut self, other: &Self) {
        self.weight += other.weight;
        let part = other.weight / self.weight;
        self.at_s += (other.at_s - self.at_s) * part;
        self.value += (other.value - self.value) * part;
    }
}

/// Noise that a fit assumes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noise {
    /// Grid of κ: variance of the walk in one mean block gap, divided by the variance of the white noise.
    pub(super) walks: &'static [f64],
    /// More of the grid, from [`FAST_WALK_BLOCKS`] blocks on.
    pub(super) fast_walks: &'static [f64],
    /// Standard deviation of white noise that is always granted, in the series' unit.
    pub(super) white: f64,
}

/// Fit of a straight line to a window of a series.
#[derive(Clone, Debug)]
pub(super) struct Trend {
    /// Slope per minute with its 90 % interval.
    pub(super) per_min: Estimate,
    /// Probability that the slope is not above zero.
    pub(super) p_flat: f64,
    /// Probability that the slope at the end of the window is at most half of that at its start.
    pub(super) p_slowing: f64,
    /// Standard deviation of the white noise, in the series' unit.
    pub(super) noise: f64,
    /// Minutes from the first to the last block.
    pub(super) minutes: f64,
    /// Points in the window.
    pub(super) points: usize,
    slope: Mixture,
}

impl Trend {
    /// Fits a line to points in ascending order of time; `None` below [`MIN_POINTS`], or if a figure is not finite.
    pub(super) fn fit(points: &[Point], noise: Noise) -> Option<Self> {
        let blocks = blocks(points);
        if blocks.len() < MIN_POINTS {
            return None;
        }
        let has_curve = blocks.len() >= MIN_CURVE_POINTS;
        let columns = Columns::of(&blocks);
        let (mut slope, mut slowing) = (Mixture::default(), Mixture::default());
        let fast_walks = if blocks.len() >= FAST_WALK_BLOCKS {
            noise.fast_walks
        } else {
            &[]
        };
        for &walk in noise.walks.iter().chain(fast_walks) {
            let factor = columns.whitened(walk).factorize();
            slope.add(factor.slope(noise.white));
            if has_curve {
                slowing.add(factor.slowing(&columns, noise.white));
            }
        }
        slope.normalize(blocks.len() - 2);
        let mean = slope.mean();
        let least = LEAST_ERROR * mean.abs();
        let trend = Self {
            per_min: Estimate {
                value: mean,
                low: slope.quantile(0.05).min(mean - least),
                high: slope.quantile(0.95).max(mean + least),
            },
            p_flat: slope.below(0.0),
            p_slowing: if has_curve {
                slowing.normalize(blocks.len() - 3);
                slowing.below(0.0)
            } else {
                slows_by_steps(&blocks)
            },
            noise: slope.noise(),
            minutes: columns.minutes(),
            points: points.len(),
            slope,
        };
        trend.is_finite().then_some(trend)
    }

    /// Probability that the slope is at most `per_min`.
    pub(super) fn p_below(&self, per_min: f64) -> f64 {
        self.slope.below(per_min)
    }

    fn is_finite(&self) -> bool {
        let Estimate { value, low, high } = self.per_min;
        [value, low, high, self.p_flat, self.p_slowing, self.noise]
            .iter()
            .all(|figure| figure.is_finite())
    }
}

/// Means of the points in at most [`MAX_BLOCKS`] equal stretches of time.
fn blocks(points: &[Point]) -> Vec<Point> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return Vec::new();
    };
    if points.len() <= MAX_BLOCKS {
        return points.to_vec();
    }
    let per_s = MAX_BLOCKS as f64 / (last.at_s - first.at_s);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "points ascend in time, and a cast from f64 saturates"
    )]
    let block = |point: &Point| (((point.at_s - first.at_s) * per_s) as usize).min(MAX_BLOCKS - 1);
    points
        .chunk_by(|before, after| block(before) == block(after))
        .map(mean)
        .collect()
}

/// Weighted mean of some points.
fn mean(points: &[Point]) -> Point {
    let mut mean = Point::default();
    for point in points {
        mean.absorb(point);
    }
    mean
}

/// Stand-in for `p_slowing` where there are too few blocks for a curve: 0 if all steps rise and the last one is faster than
/// half of the first, else 1.
fn slows_by_steps(blocks: &[Point]) -> f64 {
    let rates: Vec<f64> = blocks
        .windows(2)
        .map(|pair| (pair[1].value - pair[0].value) / (pair[1].at_s - pair[0].at_s))
        .collect();
    let rises = rates.iter().all(|&rate| rate > 0.0);
    match (rates.first(), rates.last()) {
        (Some(first), Some(last)) if rises && last > &(0.5 * first) => 0.0,
        _ => 1.0,
    }
}

/// Number of columns of a regression: intercept, time, time squared, and the values.
const N_COLUMNS: usize = 4;

/// Regression of blocks on time.
struct Columns {
    rows: Vec<[f64; N_COLUMNS]>,
    /// Variance of each block's white noise, relative to that of a block of mean weight.
    white: Vec<f64>,
    /// Time from each block to the next, in mean gaps.
    gaps: Vec<f64>,
}

impl Columns {
    fn of(blocks: &[Point]) -> Self {
        let n = blocks.len() as f64;
        let mean_s = blocks.iter().map(|block| block.at_s).sum::<f64>() / n;
        let mean_weight = blocks.iter().map(|block| block.weight).sum::<f64>() / n;
        let row = |block: &Point| {
            let x = (block.at_s - mean_s) / MINUTE_S;
            [1.0, x, x * x, block.value]
        };
        let steps = blocks.windows(2).map(|pair| pair[1].at_s - pair[0].at_s);
        let mean_step = steps.clone().sum::<f64>() / (n - 1.0);
        Self {
            rows: blocks.iter().map(row).collect(),
            white: (blocks.iter())
                .map(|block| mean_weight / block.weight)
                .collect(),
            gaps: steps.map(|step| step / mean_step).collect(),
        }
    }

    /// Time of the first block, in minutes from the mean.
    fn start(&self) -> f64 {
        self.rows.first().map_or(0.0, |row| row[1])
    }

    /// Minutes from the first to the last block.
    fn minutes(&self) -> f64 {
        self.rows.last().map_or(0.0, |row| row[1]) - self.start()
    }

    /// The columns with errors that are independent and of equal variance, if κ is `walk`.
    fn whitened(&self, walk: f64) -> Whitened {
        let mut rows = Vec::with_capacity(self.rows.len());
        let mut ln_det = 0.0;
        // Level of each column so far, and the variance of the walk's level given the blocks so far.
        let mut level = [0.0; N_COLUMNS];
        let mut level_variance = 0.0;
        for (i, (row, white)) in self.rows.iter().zip(&self.white).enumerate() {
            let variance = level_variance + white;
            let gain = level_variance / variance;
            let sd = variance.sqrt();
            let mut innovation = [0.0; N_COLUMNS];
            for column in 0..N_COLUMNS {
                let ahead = row[column] - level[column];
                innovation[column] = ahead / sd;
                level[column] += gain * ahead;
            }
            rows.push(innovation);
            ln_det += variance.ln();
            let gap = self.gaps.get(i).copied().unwrap_or_default();
            level_variance = level_variance * (1.0 - gain) + walk * gap;
        }
        Whitened { rows, ln_det }
    }
}

/// Columns of a regression with independent errors of equal variance.
struct Whitened {
    rows: Vec<[f64; N_COLUMNS]>,
    /// Logarithm of the determinant of the covariance that was removed.
    ln_det: f64,
}

impl Whitened {
    /// Orthogonal-triangular factorization by the modified Gram-Schmidt process.
    fn factorize(mut self) -> Factor {
        let mut r = [[0.0; N_COLUMNS]; N_COLUMNS];
        let mut residual = [0.0; N_COLUMNS];
        for j in 0..N_COLUMNS {
            residual[j] = self.dot(N_COLUMNS - 1, N_COLUMNS - 1);
            r[j][j] = self.dot(j, j).sqrt();
            for k in j + 1..N_COLUMNS {
                r[j][k] = self.dot(j, k) / r[j][j];
                let scale = r[j][k] / r[j][j];
                for row in &mut self.rows {
                    row[k] -= scale * row[j];
                }
            }
        }
        Factor {
            r,
            residual,
            ln_det: self.ln_det,
            n: self.rows.len(),
        }
    }

    fn dot(&self, j: usize, k: usize) -> f64 {
        self.rows.iter().map(|row| row[j] * row[k]).sum()
    }
}

/// Triangular factor of a whitened regression. Its last column holds the values' projections.
struct Factor {
    r: [[f64; N_COLUMNS]; N_COLUMNS],
    /// Sum of the values' squares left after the first so many columns.
    residual: [f64; N_COLUMNS],
    ln_det: f64,
    n: usize,
}

impl Factor {
    /// Slope of the straight line.
    fn slope(&self, white: f64) -> Component {
        self.component(2, [0.0, 1.0 / self.r[1][1], 0.0], white)
    }

    /// Slope of a parabola at the centre of the last third, less half of that at the centre of the first third.
    fn slowing(&self, columns: &Columns, white: f64) -> Component {
        let (start, sixth) = (columns.start(), columns.minutes() / 6.0);
        let (early, late) = (start + sixth, start + 5.0 * sixth);
        let [_, r1, r2, _] = &self.r;
        let by_slope = 0.5 / r1[1];
        let by_curve = (2.0 * late - early - r1[2] * by_slope) / r2[2];
        self.component(3, [0.0, by_slope, by_curve], white)
    }

    /// Combination of the projections on the first `columns` columns.
    fn component(&self, columns: usize, combination: [f64; 3], white: f64) -> Component {
        let df = (self.n - columns) as f64;
        let squares = self.residual[columns] + df * white * white;
        let mean = (combination.iter().zip(&self.r))
            .map(|(c, row)| c * row[N_COLUMNS - 1])
            .sum();
        let norm = combination.iter().map(|c| c * c).sum::<f64>().sqrt();
        let noise = (squares / df).sqrt();
        let ln_r: f64 = (0..columns).map(|j| self.r[j][j].ln()).sum();
        Component {
            weight: -0.5 * self.ln_det - ln_r - 0.5 * df * squares.ln(),
            mean,
            error: noise * norm,
            noise,
        }
    }
}

/// Estimate under one share of the walk.
#[derive(Clone, Copy, Debug)]
struct Component {
    /// Logarithm of the likelihood; the probability once normalized.
    weight: f64,
    mean: f64,
    /// Standard error.
    error: f64,
    /// Standard deviation of the white noise.
    noise: f64,
}

/// Mixture of Student t distributions with common degrees of freedom.
#[derive(Clone, Debug, Default)]
struct Mixture {
    components: Vec<Component>,
    df: usize,
}

impl Mixture {
    fn add(&mut self, component: Component) {
        self.components.push(component);
    }

    /// Turns likelihoods into probabilities.
    fn normalize(&mut self, df: usize) {
        self.df = df;
        let weights = self.components.iter().map(|part| part.weight);
        let highest = weights.fold(f64::NEG_INFINITY, f64::max);
        let mut sum = 0.0;
        for part in &mut self.components {
            part.weight = (part.weight - highest).exp();
            sum += part.weight;
        }
        for part in &mut self.components {
            part.weight /= sum;
        }
    }

    fn average(&self, figure: impl Fn(&Component) -> f64) -> f64 {
        (self.components.iter())
            .map(|part| part.weight * figure(part))
            .sum()
    }

    fn mean(&self) -> f64 {
        self.average(|part| part.mean)
    }

    fn noise(&self) -> f64 {
        self.average(|part| part.noise)
    }

    /// Probability of a value of at most `x`.
    fn below(&self, x: f64) -> f64 {
        self.average(|part| student::cdf((x - part.mean) / part.error, self.df))
    }

    /// Value that is not exceeded with this probability, by false position (the Illinois variant).
    fn quantile(&self, probability: f64) -> f64 {
        let end = |sign: f64| {
            let ends = self.components.iter();
            ends.map(move |part| part.mean + sign * QUANTILE_RANGE * part.error)
        };
        let miss = |x: f64| self.below(x) - probability;
        let mut low = end(-1.0).fold(f64::INFINITY, f64::min);
        let mut high = end(1.0).fold(f64::NEG_INFINITY, f64::max);
        let (mut at_low, mut at_high) = (miss(low), miss(high));
        let mut x = low;
        for _ in 0..QUANTILE_STEPS {
            x = (low * at_high - high * at_low) / (at_high - at_low);
            let at_x = miss(x);
            if at_x.abs() < QUANTILE_ERROR {
                break;
            }
            // An end that stays twice loses half of its weight, or it would stay for ever.
            if at_x * at_high < 0.0 {
                (low, at_low) = (high, at_high);
            } else {
                at_low *= 0.5;
            }
            (high, at_high) = (x, at_x);
        }
        x
    }
}
