//! Which heap sites grow in step with goroutines: the objects that a leaked goroutine keeps alive.

use super::super::findings::Interval;

/// How something grows, for [`in_step`].
#[derive(Clone, Debug)]
pub struct Growth<'a> {
    /// Goroutines or objects a minute, with the interval that holds the truth in 90 of 100 cases.
    pub per_min: Interval,
    /// Functions: of a goroutine group the one it starts with and the one that creates it; of a heap site those of its
    /// stacks.
    pub functions: &'a [&'a str],
}

/// Most objects of one site that one goroutine plausibly holds; beyond it equal growth is no sign.
const MAX_PER_GOROUTINE: f64 = 64.0;
/// Fewer objects than this for each goroutine, and most of the goroutines leak without any.
const MIN_PER_GOROUTINE: f64 = 0.5;

/// How many objects of a site come with each goroutine of a group that grows, where they grow in step; else `None`.
///
/// Both must surely grow. Then either is enough:
/// * a stack of the site holds the function that the goroutines start with, or the one that creates them (`main.main`
///   says nothing), and the objects are not too few or too many for each goroutine: what leaks is made by the goroutine
///   or on the way to it;
/// * the site grows by a whole number of objects for each goroutine, within the errors of both, and these are so small
///   that this says something: less than a third of one object apart.
///
/// What goroutines hold is also made elsewhere, before they are started, so that equal growth counts without a common
/// function. It may still be chance: two leaks by request grow in step. The words say "in step", not "held by".
pub fn in_step(goroutines: &Growth<'_>, site: &Growth<'_>) -> Option<f64> {
    /// More than this share of an object between low and high, and any growth is near a whole number.
    const MAX_BLUR: f64 = 1.0 / 3.0;
    let grows = |growth: &Growth<'_>| growth.per_min.low > 0.0 && growth.per_min.high.is_finite();
    if !grows(goroutines) || !grows(site) {
        return None;
    }
    let ratio = site.per_min.value / goroutines.per_min.value;
    let shares = |name: &&str| *name != "main.main" && goroutines.functions.contains(name);
    if site.functions.iter().any(shares) && (MIN_PER_GOROUTINE..=MAX_PER_GOROUTINE).contains(&ratio)
    {
        return Some(ratio);
    }
    // Relative errors of a quotient add in squares.
    let error = |growth: &Growth<'_>| {
        (growth.per_min.high - growth.per_min.low) / 2.0 / growth.per_min.value
    };
    let blur = ratio * error(goroutines).hypot(error(site));
    let whole = ratio.round();
    let is_whole = (1.0..=MAX_PER_GOROUTINE).contains(&whole) && (ratio - whole).abs() <= blur;
    (is_whole && 2.0 * blur <= MAX_BLUR).then_some(ratio)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn growth<'a>(value: f64, error: f64, functions: &'a [&'a str]) -> Growth<'a> {
        Growth {
            per_min: Interval {
                value,
                low: value - error,
                high: value + error,
            },
            functions,
        }
    }

    #[test]
    fn a_common_function_links_whatever_the_ratio() {
        let goroutines = growth(60.0, 1.0, &["otto.(*Otto).Run.func1", "otto.(*Otto).Run"]);
        let site = growth(
            777.0,
            300.0,
            &["otto.newObject", "otto.(*Otto).Run", "main.main"],
        );
        let ratio = in_step(&goroutines, &site).expect("in step");
        assert!((ratio - 12.95).abs() < 0.01, "{ratio}");
    }

    #[test]
    fn equal_growth_links_where_it_is_known_well_enough() {
        let goroutines = growth(3600.0, 10.0, &["main.wait"]);
        let other: &[&str] = &["main.make"];
        assert!(in_step(&goroutines, &growth(3590.0, 60.0, other)).is_some());
        assert!(in_step(&goroutines, &growth(7210.0, 60.0, other)).is_some());
        // Half an object each, one and a half, or nobody knows.
        assert!(in_step(&goroutines, &growth(1800.0, 60.0, other)).is_none());
        assert!(in_step(&goroutines, &growth(5400.0, 60.0, other)).is_none());
        assert!(in_step(&goroutines, &growth(3600.0, 1500.0, other)).is_none());
    }

    #[test]
    fn what_may_not_grow_is_in_step_with_nothing() {
        let both: &[&str] = &["main.f"];
        assert!(in_step(&growth(5.0, 6.0, both), &growth(5.0, 1.0, both)).is_none());
        assert!(in_step(&growth(5.0, 1.0, both), &growth(-5.0, 1.0, both)).is_none());
        assert!(in_step(&growth(0.0, 0.0, both), &growth(5.0, 1.0, both)).is_none());
        let unknown = Growth {
            per_min: Interval {
                value: f64::NAN,
                low: f64::NAN,
                high: f64::INFINITY,
            },
            functions: both,
        };
        assert!(in_step(&unknown, &growth(5.0, 1.0, both)).is_none());
    }
}
