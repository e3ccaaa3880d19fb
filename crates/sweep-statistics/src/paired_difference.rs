//! Paired differences, with their uncertainty.
//!
//! Every function is checked against R or `scipy`; each test shows the command.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::pairs::Pairs;
use crate::planning::{Goal, pairs_needed};
use crate::sign_flip::SignFlip;
use crate::student_t::two_sided_p;
use crate::summary::Summary;

/// Difference between two rows, paired by seed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairedDifference {
    /// Number of pairs, mean and standard deviation of their differences, and t-interval of the mean. The interval is
    /// simultaneous for all comparisons of the family (Bonferroni). It is absent for one pair, and if the difference is
    /// the same for each seed.
    pub summary: Summary,
    /// Number of comparisons made together, including this one.
    pub comparisons: usize,
    /// Two-sided p of the paired t-test, for this comparison alone. Absent if there is no interval.
    pub p: Option<f64>,
    /// p adjusted for all comparisons (Bonferroni). It is below 0.05 exactly if the interval excludes 0.
    pub p_adjusted: Option<f64>,
    /// A sign-flip test of this comparison alone. It does not assume a normal distribution. Absent if there is no
    /// interval.
    pub sign_flip: Option<SignFlip>,
}

/// Smallest number of pairs whose equal differences are not put down to chance.
const FEWEST_CONSTANT: usize = 3;

impl PairedDifference {
    /// Compares two rows on the seeds that both have, as a single comparison. Returns `None` if they share no seed, or
    /// if a value on such a seed is not finite.
    pub fn of(values: &BTreeMap<u64, f64>, baseline: &BTreeMap<u64, f64>) -> Option<Self> {
        let difference = Self::without_interval(values, baseline)?;
        let has_interval = difference.p.is_some();
        let summary = if has_interval { difference.summary.with_interval(1) } else { difference.summary };
        Some(Self { summary, ..difference })
    }

    /// Compares as [`Self::of`], but without an interval, which is slow to compute. For many comparisons that need only
    /// p.
    pub fn without_interval(values: &BTreeMap<u64, f64>, baseline: &BTreeMap<u64, f64>) -> Option<Self> {
        let pairs = Pairs::by_seed(values, baseline)?;
        Self::of_differences(&pairs.differences(), pairs.size())
    }

    /// Tests differences of numbers up to `size`, so their last digits may be rounding. The result has no interval.
    pub(crate) fn of_differences(differences: &[f64], size: f64) -> Option<Self> {
        let summary = Summary::of_size(differences, size)?;
        let Some(sd) = summary.sd.filter(|sd| *sd > 0.0) else {
            return Some(Self { summary, comparisons: 1, p: None, p_adjusted: None, sign_flip: None });
        };
        let t = summary.mean / (sd / (summary.n as f64).sqrt());
        let p = Some(two_sided_p(t, (summary.n - 1) as f64));
        Some(Self { summary, comparisons: 1, p, p_adjusted: p, sign_flip: None })
    }

    /// Adds a sign-flip test. It is slow for many pairs, so it is computed only for differences that are shown.
    #[must_use]
    pub fn with_sign_flip(self, values: &BTreeMap<u64, f64>, baseline: &BTreeMap<u64, f64>) -> Self {
        let differences = Pairs::by_seed(values, baseline).map(|pairs| pairs.differences());
        let sign_flip = self.p.and_then(|_| SignFlip::of(&differences?));
        Self { sign_flip, ..self }
    }

    /// Adjusts interval and p for this number of comparisons.
    #[must_use]
    pub fn among(self, comparisons: usize) -> Self {
        if self.p.is_none() {
            return Self { comparisons, ..self };
        }
        let p_adjusted = self.p.map(|p| (comparisons as f64 * p).min(1.0));
        Self { summary: self.summary.with_interval(comparisons), comparisons, p_adjusted, ..self }
    }

    /// Whether the interval excludes 0.
    pub fn is_told(&self) -> bool {
        self.summary.interval.is_some_and(|ends| ends.excludes(0.0))
    }

    /// Whether the difference is the same on three or more pairs. Such a difference has no deviation, so no test
    /// applies, but chance explains it less well than any difference with an interval. Two equal differences may be
    /// chance: accuracies on n images are multiples of 1/n.
    pub fn is_constant(&self) -> bool {
        self.p.is_none() && self.summary.n >= FEWEST_CONSTANT
    }

    /// Returns the smallest mean that would differ significantly from 0, with this number of pairs and this deviation.
    pub fn least_told(&self) -> Option<f64> {
        self.summary.interval.map(|ends| (ends.high - ends.low) / 2.0)
    }

    /// Returns the smallest number of pairs with which this mean would be told with a power of 80%, if mean and
    /// deviation are the true ones. Absent if there is no interval, or if the number would be impractically large.
    pub fn pairs_needed(&self) -> Option<usize> {
        self.summary.interval?;
        pairs_needed(self.summary.mean, self.summary.sd?, Goal { comparisons: self.comparisons, ..Goal::default() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn a_paired_difference_matches_scipy_and_ignores_unpaired_seeds() {
        // d = a - b; scipy.stats.t.interval(0.95, 4, loc=d.mean(), scale=scipy.stats.sem(d))
        // scipy.stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
        let seeds = |values: &[f64]| (0..).zip(values.iter().copied()).collect::<BTreeMap<u64, f64>>();
        let a = seeds(&[0.914, 0.908, 0.917, 0.911, 0.909, 0.5]);
        let b = seeds(&[0.910, 0.909, 0.911, 0.906, 0.907]);
        let difference = PairedDifference::of(&a, &b).unwrap().with_sign_flip(&a, &b);
        let interval = difference.summary.interval.unwrap();
        assert_eq!(difference.summary.n, 5);
        assert!(close(difference.summary.mean, 0.0032));
        assert!(close(interval.low, -0.0002454777651513373) && close(interval.high, 0.006645477765151343));
        // scipy.stats.ttest_rel(a, b).pvalue
        assert!(close(difference.p.unwrap(), 0.061415973525170475));
        assert_eq!(difference.sign_flip.map(|test| test.p), Some(0.125));
        assert_eq!(PairedDifference::of(&a, &BTreeMap::new()), None);
    }

    #[test]
    fn several_comparisons_widen_the_interval_as_in_scipy() {
        // scipy.stats.t.interval(1 - 0.05 / 3, 4, loc=d.mean(), scale=scipy.stats.sem(d)), d as above
        let seeds = |values: &[f64]| (0..).zip(values.iter().copied()).collect::<BTreeMap<u64, f64>>();
        let a = seeds(&[0.914, 0.908, 0.917, 0.911, 0.909]);
        let b = seeds(&[0.910, 0.909, 0.911, 0.906, 0.907]);
        let difference = PairedDifference::of(&a, &b).unwrap().among(3);
        let interval = difference.summary.interval.unwrap();
        assert!(close(interval.low, -0.0017152067632629875) && close(interval.high, 0.008115206763263003));
        assert!(close(difference.p_adjusted.unwrap(), 0.18424792057551143));
        assert!(close(difference.least_told().unwrap(), 0.008115206763263003 - 0.0032));
    }

    #[test]
    fn pairs_needed_match_scipy() {
        // t, d = scipy.stats.t.ppf(1 - 0.025 / comparisons, n - 1), ratio * n**0.5
        // The smallest n with scipy.stats.nct.sf(t, n - 1, d) + scipy.stats.nct.cdf(-t, n - 1, d) >= 0.8
        for (ratio, comparisons, needed) in
            [(1.0, 1, 10), (0.5, 3, 45), (0.3, 8, 146), (2.0, 3, 6), (10.0, 3, 3), (0.05, 1, 3142)]
        {
            // Two values with this mean and a deviation of 1.
            let half = 0.5_f64.sqrt();
            let values = BTreeMap::from([(0, ratio - half), (1, ratio + half)]);
            let difference = PairedDifference::of(&values, &BTreeMap::from([(0, 0.0), (1, 0.0)])).unwrap();
            assert_eq!(difference.among(comparisons).pairs_needed(), Some(needed), "{ratio} {comparisons}");
        }
    }

    proptest! {
        #[test]
        fn p_is_below_the_level_exactly_if_the_interval_excludes_zero(
            pairs in proptest::collection::vec((0.0..1.0f64, 0.0..1.0f64), 2..12),
            shift in -1.0..1.0f64,
            comparisons in 1..12usize,
        ) {
            let seeds = |i: usize| (0_u64..)
                .zip(&pairs)
                .map(move |(seed, pair)| (seed, if i == 0 { pair.0 + shift } else { pair.1 }));
            let difference = PairedDifference::of(&seeds(0).collect(), &seeds(1).collect()).unwrap().among(comparisons);
            let p = difference.p_adjusted.unwrap();
            prop_assert!(p > 0.0 && p <= 1.0);
            prop_assert_eq!(p < 0.05, difference.is_told());
        }

        #[test]
        fn a_difference_that_is_constant_up_to_rounding_has_no_p_and_no_interval(
            values in proptest::collection::vec(0.0..1.0f64, 1..12),
            shift in -1.0..1.0f64,
        ) {
            let base: BTreeMap<u64, f64> = (0..).zip(values.iter().copied()).collect();
            let shifted = base.iter().map(|(seed, value)| (*seed, value + shift)).collect();
            let difference = PairedDifference::of(&shifted, &base).unwrap().among(3);
            prop_assert_eq!((difference.p, difference.p_adjusted, difference.sign_flip), (None, None, None));
            prop_assert_eq!((difference.summary.interval, difference.pairs_needed()), (None, None));
            prop_assert!((difference.summary.mean - shift).abs() < 1e-12);
            prop_assert!(difference.summary.sd.is_none_or(|sd| sd == 0.0));
        }
    }
}
