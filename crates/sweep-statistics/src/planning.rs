//! Planning: what can a number of pairs show, and how many pairs does a difference need?
//!
//! The plans are for paired t-tests of the family's level (Bonferroni). Powers are exact: they come from the noncentral
//! t distribution.

use serde::{Deserialize, Serialize};

use crate::noncentral_t::NoncentralT;
use crate::root::{bounds_from_zero, root_between};
use crate::summary::critical_t;

/// Larger numbers of pairs are not planned.
const MOST_PAIRS: usize = 100_000;

/// What a plan must reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Goal {
    /// Number of comparisons made together. Each is tested at the level 0.05 over this number.
    pub comparisons: usize,
    /// Probability that a difference of the planned size is told.
    pub power: f64,
}

impl Default for Goal {
    /// A single comparison with power 0.8.
    fn default() -> Self {
        Self { comparisons: 1, power: 0.8 }
    }
}

impl Goal {
    /// Whether the power is a probability that only a difference gives: above the level, and below 1.
    fn is_reachable(self) -> bool {
        self.comparisons > 0 && self.power > 0.05 / self.comparisons as f64 && self.power < 1.0
    }
}

/// Returns the probability that a paired t-test among `comparisons` tells a difference, in either direction. `effect`
/// is the true mean difference over the true standard deviation of the differences.
///
/// Returns `None` for fewer than two or too many pairs (100,000), without comparisons, or if `effect` is not finite.
/// Python: `statsmodels.stats.power.TTestPower().power(effect, pairs, 0.05 / comparisons)`.
pub fn power(pairs: usize, effect: f64, comparisons: usize) -> Option<f64> {
    if comparisons == 0 || !(2..=MOST_PAIRS).contains(&pairs) {
        return None;
    }
    told(pairs, effect * (pairs as f64).sqrt(), critical_t(pairs, comparisons))
}

/// Returns the probability that the statistic of a t-test is beyond ±`critical`, if the true mean is `shift` standard
/// errors from 0.
fn told(pairs: usize, shift: f64, critical: f64) -> Option<f64> {
    let distribution = NoncentralT::new((pairs - 1) as f64, shift)?;
    Some(distribution.sides(critical)?.above + distribution.sides(-critical)?.below)
}

/// Returns the smallest observed mean difference that would be told with this number of pairs, if the differences have
/// this standard deviation: half of the simultaneous interval. A true difference of this size is told in about half of
/// all cases. The unit is that of `sd`.
///
/// Returns `None` for fewer than two pairs, without comparisons, or unless `sd` is finite and above 0.
pub fn least_told(pairs: usize, sd: f64, comparisons: usize) -> Option<f64> {
    let is_plan = pairs >= 2 && comparisons > 0 && sd > 0.0 && sd.is_finite();
    is_plan.then(|| critical_t(pairs, comparisons) * sd / (pairs as f64).sqrt()).filter(|least| least.is_finite())
}

/// Returns the smallest true mean difference that is told with the power of the goal. The unit is that of `sd`, the
/// true standard deviation of the differences.
///
/// Returns `None` for fewer than two or too many pairs (100,000), for a goal that no difference or every difference
/// reaches, or unless `sd` is finite and above 0.
pub fn least_difference(pairs: usize, sd: f64, goal: Goal) -> Option<f64> {
    if !(goal.is_reachable() && (2..=MOST_PAIRS).contains(&pairs) && sd > 0.0 && sd.is_finite()) {
        return None;
    }
    let critical = critical_t(pairs, goal.comparisons);
    // A shift that is too large for the distribution reaches every power; the search does not come near to it.
    let reached = |shift: f64| told(pairs, shift, critical).unwrap_or(1.0);
    let (low, high) = bounds_from_zero(|shift| reached(shift) >= goal.power)?;
    // The slope is not known, so the bounds are bisected.
    let shift = root_between(low, high, |shift| (reached(shift) - goal.power, 0.0));
    Some(shift * sd / (pairs as f64).sqrt()).filter(|least| least.is_finite())
}

/// Returns the smallest number of pairs with which this true mean difference is told with the power of the goal, if the
/// differences have this standard deviation. Both have the same unit.
///
/// Returns `None` if 100,000 pairs do not suffice, for a goal that no difference or every difference reaches, if a
/// number is not finite, or unless `sd` is above 0 and the difference is not 0.
pub fn pairs_needed(difference: f64, sd: f64, goal: Goal) -> Option<usize> {
    let effect = (difference / sd).abs();
    if !(goal.is_reachable() && sd > 0.0 && sd.is_finite() && effect > 0.0 && effect.is_finite()) {
        return None;
    }
    // A distribution of a shift that is too large for it reaches every power.
    let suffices = |pairs: usize| power(pairs, effect, goal.comparisons).is_none_or(|power| power >= goal.power);
    let mut enough = 2;
    while !suffices(enough) {
        if enough == MOST_PAIRS {
            return None;
        }
        enough = (2 * enough).min(MOST_PAIRS);
    }
    // Power grows with the number of pairs, so the smallest one is between the last two.
    let mut too_few = enough / 2;
    while enough - too_few > 1 {
        let middle = too_few.midpoint(enough);
        if suffices(middle) {
            enough = middle;
        } else {
            too_few = middle;
        }
    }
    Some(enough.max(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_difference_is_told_with_the_power_of_the_goal() {
        for (pairs, comparisons, goal) in [(2, 1, 0.8), (2, 50, 0.9), (3, 8, 0.5), (10, 3, 0.8), (5000, 1, 0.95)] {
            let least = least_difference(pairs, 0.01, Goal { comparisons, power: goal }).unwrap();
            let reached = power(pairs, least / 0.01, comparisons).unwrap();
            assert!((reached - goal).abs() < 1e-9, "{pairs} {comparisons}: {reached}");
        }
    }

    #[test]
    fn what_is_told_half_of_the_time_is_about_the_half_interval() {
        // The median of the noncentral t is not quite its shift, by about 1/(4·df) of it.
        for pairs in [5, 20, 100] {
            let half = least_told(pairs, 1.0, 3).unwrap();
            let least = least_difference(pairs, 1.0, Goal { comparisons: 3, power: 0.5 }).unwrap();
            assert!((least / half - 1.0).abs() < 0.5 / (pairs - 1) as f64, "{pairs}: {least} {half}");
        }
    }

    #[test]
    fn pairs_needed_are_the_first_that_reach_the_power() {
        for (effect, comparisons) in [(0.1, 1), (0.5, 3), (1.0, 8), (3.0, 8), (1e5, 1)] {
            let goal = Goal { comparisons, power: 0.8 };
            let pairs = pairs_needed(effect, 1.0, goal).unwrap();
            assert!(power(pairs, effect, comparisons).unwrap() >= 0.8);
            assert!(pairs == 2 || power(pairs - 1, effect, comparisons).unwrap() < 0.8, "{effect}");
            assert_eq!(pairs_needed(-effect, 1.0, goal), Some(pairs));
        }
    }

    #[test]
    fn what_is_no_plan_gives_none() {
        let goal = Goal::default();
        for sd in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(
                (pairs_needed(1.0, sd, goal), least_difference(3, sd, goal), least_told(3, sd, 1)),
                (None, None, None)
            );
        }
        for difference in [0.0, f64::NAN, f64::INFINITY, 1e-9] {
            assert_eq!(pairs_needed(difference, 1.0, goal), None);
        }
        for power in [0.0, 0.05, 1.0, f64::NAN] {
            let goal = Goal { power, ..goal };
            assert_eq!((pairs_needed(1.0, 1.0, goal), least_difference(3, 1.0, goal)), (None, None));
        }
        assert_eq!(
            (power(1, 1.0, 1), power(3, f64::NAN, 1), power(3, 1.0, 0), power(0, 1.0, 1)),
            (None, None, None, None)
        );
        assert_eq!((least_difference(1, 1.0, goal), least_told(1, 1.0, 1), least_told(2, 1.0, 0)), (None, None, None));
    }
}
