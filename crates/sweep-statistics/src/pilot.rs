//! Planning from a pilot: a few seeds give a standard deviation, but an uncertain one.

use serde::{Deserialize, Serialize};

use crate::chi_square::ChiSquare;
use crate::planning::{Goal, least_difference, pairs_needed};
use crate::summary::Summary;

/// Confidence of the upper bound that plans usually take (Browne, 1995).
pub const PILOT_CONFIDENCE: f64 = 0.8;

/// The standard deviation of the paired differences of a pilot.
///
/// Three seeds easily give a deviation that is half of the true one, and a plan from it would promise too much. A plan
/// from the upper bound reaches its power with at least the confidence of the bound, for normal differences.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pilot {
    /// Number of pairs.
    pub n: usize,
    /// Standard deviation of their differences.
    pub sd: f64,
    /// Upper confidence bound of the true standard deviation: `sd`·√(df/χ²), where χ² is the (1 − confidence)-quantile
    /// for df = n − 1.
    pub sd_upper: f64,
    /// Confidence of the bound.
    pub confidence: f64,
}

impl Pilot {
    /// Describes the differences of a pilot. Returns `None` for fewer than two, if one is not finite, if all are equal
    /// up to rounding, or if `confidence` is not between 0 and 1.
    ///
    /// Source: Browne, 1995, On the use of a pilot sample for sample size determination.
    pub fn of(differences: &[f64], confidence: f64) -> Option<Self> {
        let summary = Summary::of(differences)?;
        Self::of_deviation(summary.n, summary.sd?, confidence)
    }

    /// Describes a pilot by the number of its pairs and the standard deviation of their differences. Returns `None` for
    /// fewer than two pairs, unless `sd` is finite and above 0, or if `confidence` is not between 0 and 1.
    pub fn of_deviation(n: usize, sd: f64, confidence: f64) -> Option<Self> {
        let df = n.checked_sub(1).filter(|df| *df > 0 && sd > 0.0)? as f64;
        let sd_upper = sd * (df / ChiSquare::new(df)?.quantile(1.0 - confidence)?).sqrt();
        sd_upper.is_finite().then_some(Self { n, sd, sd_upper, confidence })
    }

    /// Returns the number of pairs that a difference needs, if the standard deviation is the upper bound. `None` as for
    /// [`pairs_needed`].
    pub fn pairs_needed(self, difference: f64, goal: Goal) -> Option<usize> {
        pairs_needed(difference, self.sd_upper, goal)
    }

    /// Returns the smallest difference that a number of pairs tells with the power of the goal, if the standard
    /// deviation is the upper bound. `None` as for [`least_difference`].
    pub fn least_difference(self, pairs: usize, goal: Goal) -> Option<f64> {
        least_difference(pairs, self.sd_upper, goal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_that_of_the_chi_square_distribution() {
        // Python: x.std(ddof=1) * (2 / scipy.stats.chi2.ppf(0.2, 2))**0.5
        let pilot = Pilot::of(&[0.01, 0.02, 0.03], PILOT_CONFIDENCE).unwrap();
        assert!((pilot.sd - 0.01).abs() < 1e-14 && (pilot.sd_upper - 0.021169).abs() < 1e-6, "{pilot:?}");
        let goal = Goal::default();
        assert!(pilot.pairs_needed(0.01, goal) > pairs_needed(0.01, pilot.sd, goal));
        assert!(pilot.least_difference(5, goal) > least_difference(5, pilot.sd, goal));
    }

    #[test]
    fn what_is_no_pilot_gives_none() {
        for differences in [&[][..], &[0.1], &[0.1; 3], &[0.1, f64::NAN]] {
            assert_eq!(Pilot::of(differences, 0.8), None);
        }
        for confidence in [0.0, 1.0, f64::NAN] {
            assert_eq!(Pilot::of(&[0.1, 0.2], confidence), None);
        }
        for (n, sd) in [(0, 1.0), (1, 1.0), (3, 0.0), (3, -1.0), (3, f64::NAN), (3, f64::INFINITY)] {
            assert_eq!(Pilot::of_deviation(n, sd, 0.8), None);
        }
    }
}
