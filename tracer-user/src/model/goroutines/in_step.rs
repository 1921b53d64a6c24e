//! Which heap sites grow in step with goroutines: the objects that a leaked goroutine keeps alive.

use super::super::findings::Interval;

/// How fast something grows.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// Goroutines or objects a minute, with the interval that holds the truth in 90 of 100 cases.
    PerMin(Interval),
    /// It keeps step with the load, at no steady rate by the clock.
    WithLoad,
}

/// How something grows, for [`in_step`].
#[derive(Clone, Debug)]
pub struct Growth<'a> {
    /// How fast.
    pub pace: Pace,
    /// Functions: of a goroutine group the one it starts with and the one that creates it; of a heap site those of its
    /// stacks.
    pub functions: &'a [&'a str],
}

impl Growth<'_> {
    /// Whether a stack of the site holds a function of the goroutines. `main.main` says nothing.
    fn shares_function(&self, site: &Self) -> bool {
        let shares = |name: &&str| *name != "main.main" && self.functions.contains(name);
        site.functions.iter().any(shares)
    }
}

/// Most objects of one site that one goroutine plausibly holds; beyond it equal growth is no sign.
const MAX_PER_GOROUTINE: f64 = 64.0;
/// Fewer objects than this for each goroutine, and most of the goroutines leak without any.
const MIN_PER_GOROUTINE: f64 = 0.5;
/// More than this share of an object between low and high, and any growth is near a whole number.
const MAX_BLUR: f64 = 1.0 / 3.0;

/// Whether a site grows in step with goroutines; both are known to grow.
///
/// Either is enough:
/// * a stack of the site holds the function that the goroutines start with, or the one that creates them, and the objects
///   are not too few or too many for each goroutine, which is not known where one keeps step with the load alone: what
///   leaks is made by the goroutine or on the way to it;
/// * the site grows by a whole number of objects for each goroutine, within the errors of both, and these are so small
///   that this says something: less than a third of one object apart.
///
/// What goroutines hold is also made elsewhere, before they are started, so that equal growth counts without a common
/// function. It may still be chance: two leaks by request grow in step.
pub fn in_step(goroutines: &Growth<'_>, site: &Growth<'_>) -> bool {
    let shares = goroutines.shares_function(site);
    let (Pace::PerMin(of_goroutines), Pace::PerMin(of_site)) = (goroutines.pace, site.pace) else {
        return shares;
    };
    let grows = |per_min: Interval| per_min.low > 0.0 && per_min.high.is_finite();
    if !grows(of_goroutines) || !grows(of_site) {
        return false;
    }
    let ratio = of_site.value / of_goroutines.value;
    if shares && (MIN_PER_GOROUTINE..=MAX_PER_GOROUTINE).contains(&ratio) {
        return true;
    }
    // Relative errors of a quotient add in squares.
    let error = |per_min: Interval| (per_min.high - per_min.low) / 2.0 / per_min.value;
    let blur = ratio * error(of_goroutines).hypot(error(of_site));
    let whole = ratio.round();
    let is_whole = (1.0..=MAX_PER_GOROUTINE).contains(&whole) && (ratio - whole).abs() <= blur;
    is_whole && 2.0 * blur <= MAX_BLUR
}

#[cfg(test)]
mod tests {
    use super::*;

    fn growth<'a>(value: f64, error: f64, functions: &'a [&'a str]) -> Growth<'a> {
        Growth {
            pace: Pace::PerMin(Interval {
                value,
                low: value - error,
                high: value + error,
            }),
            functions,
        }
    }

    fn by_load<'a>(functions: &'a [&'a str]) -> Growth<'a> {
        Growth {
            pace: Pace::WithLoad,
            functions,
        }
    }

    #[test]
    fn a_common_function_links_what_one_goroutine_may_hold() {
        let goroutines = growth(60.0, 1.0, &["otto.(*Otto).Run.func1", "otto.(*Otto).Run"]);
        let site = growth(
            777.0,
            300.0,
            &["otto.newObject", "otto.(*Otto).Run", "main.main"],
        );
        assert!(in_step(&goroutines, &site));
        let too_many = growth(60.0 * 65.0, 300.0, site.functions);
        assert!(!in_step(&goroutines, &too_many));
    }

    #[test]
    fn equal_growth_links_where_it_is_known_well_enough() {
        let goroutines = growth(3600.0, 10.0, &["main.wait"]);
        let other: &[&str] = &["main.make"];
        assert!(in_step(&goroutines, &growth(3590.0, 60.0, other)));
        assert!(in_step(&goroutines, &growth(7210.0, 60.0, other)));
        // Half an object each, one and a half, or nobody knows.
        assert!(!in_step(&goroutines, &growth(1800.0, 60.0, other)));
        assert!(!in_step(&goroutines, &growth(5400.0, 60.0, other)));
        assert!(!in_step(&goroutines, &growth(3600.0, 1500.0, other)));
    }

    #[test]
    fn what_keeps_step_with_the_load_alone_is_linked_by_a_function() {
        let goroutines = growth(60.0, 1.0, &["main.serve"]);
        let by_load_alone = by_load(&["main.serve", "main.main"]);
        assert!(in_step(&goroutines, &by_load_alone));
        assert!(!in_step(&goroutines, &by_load(&["main.other"])));
        assert!(in_step(&by_load_alone, &growth(5.0, 1.0, &["main.serve"])));
        let main = by_load(&["main.main"]);
        assert!(!in_step(&main, &main));
    }

    #[test]
    fn what_may_not_grow_is_in_step_with_nothing() {
        let both: &[&str] = &["main.f"];
        assert!(!in_step(&growth(5.0, 6.0, both), &growth(5.0, 1.0, both)));
        assert!(!in_step(&growth(5.0, 1.0, both), &growth(-5.0, 1.0, both)));
        assert!(!in_step(&growth(0.0, 0.0, both), &growth(5.0, 1.0, both)));
        let unknown = Growth {
            pace: Pace::PerMin(Interval {
                value: f64::NAN,
                low: f64::NAN,
                high: f64::INFINITY,
            }),
            functions: both,
        };
        assert!(!in_step(&unknown, &growth(5.0, 1.0, both)));
    }
}
