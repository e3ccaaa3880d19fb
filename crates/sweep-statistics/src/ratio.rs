//! Ratio of the throughputs of two networks that were timed in the same rounds.
//!
//! Times of single rounds have outliers and no known distribution. So the ratio is the median over the rounds, and its
//! interval is that of a median from order statistics, which assumes no distribution. A bootstrap interval stands
//! beside it.

use serde::{Deserialize, Serialize};

use crate::binomial::half_binomial_cdf;
use crate::bootstrap::Resampling;
use crate::interval::{CONFIDENCE, Interval};
use crate::median::median;

/// The smallest number of rounds for a bootstrap of their median.
const FEWEST_ROUNDS: usize = 8;

/// Ratio of two throughputs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// Number of rounds.
    pub rounds: usize,
    /// Median of the ratios of the rounds. It is above 1 if the first network is faster.
    pub median: f64,
    /// The 95% interval of the median, simultaneous for all comparisons of the family (Bonferroni). Absent with too few
    /// rounds.
    pub interval: Option<Interval>,
    /// Number of comparisons made together, including this one.
    pub comparisons: usize,
}

/// Bootstrap interval of a ratio of two throughputs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RatioBootstrap {
    /// Number of rounds.
    pub rounds: usize,
    /// Median of the ratios of the rounds. It is above 1 if the first network is faster.
    pub median: f64,
    /// The 95% percentile interval of the median, simultaneous for all comparisons of the family (Bonferroni). Rounds
    /// are drawn for both networks together. Absent with fewer than eight rounds.
    pub interval: Option<Interval>,
    /// Number of comparisons made together, including this one.
    pub comparisons: usize,
    /// How rounds were drawn.
    pub resampling: Resampling,
}

impl Ratio {
    /// Compares two networks by their seconds per image in each round, as one of several comparisons. Returns `None` if
    /// they were not timed in the same rounds, or if a ratio is not finite and above 0.
    pub fn of(seconds: &[f64], baseline: &[f64], comparisons: usize) -> Option<Self> {
        let mut ratios = ratios(seconds, baseline)?;
        ratios.sort_by(f64::total_cmp);
        let (rounds, median) = (ratios.len(), median(ratios.clone())?);
        let ends = |rank: usize| Interval { low: ratios[rank - 1], high: ratios[rounds - rank] };
        Some(Self { rounds, median, interval: rank_of_end(rounds, level(comparisons)).map(ends), comparisons })
    }

    /// Whether the interval excludes 1. Without an interval nothing is told.
    pub fn is_told(&self) -> bool {
        self.interval.is_some_and(|ends| ends.excludes(1.0))
    }
}

impl RatioBootstrap {
    /// Compares two networks as [`Ratio::of`], with a bootstrap over rounds. Returns `None` as that does.
    ///
    /// The interval is about as long as that from order statistics, but its level is only approximate. Time: resamples
    /// × rounds × logarithm of the rounds.
    pub fn of(seconds: &[f64], baseline: &[f64], comparisons: usize, resampling: Resampling) -> Option<Self> {
        let ratios = ratios(seconds, baseline)?;
        let (rounds, centre) = (ratios.len(), median(ratios.clone())?);
        let of_median = |resample: &[f64]| median(resample.to_vec());
        let interval = (rounds >= FEWEST_ROUNDS)
            .then(|| resampling.percentile_interval(&ratios, level(comparisons), of_median))
            .flatten();
        Some(Self { rounds, median: centre, interval, comparisons, resampling })
    }
}

/// Returns the ratio of each round.
fn ratios(seconds: &[f64], baseline: &[f64]) -> Option<Vec<f64>> {
    let ratios: Vec<f64> = seconds.iter().zip(baseline).map(|(own, base)| base / own).collect();
    let is_valid = ratios.iter().all(|ratio| *ratio > 0.0 && ratio.is_finite());
    (seconds.len() == baseline.len() && is_valid).then_some(ratios)
}

/// Returns the confidence of each interval of a family.
fn level(comparisons: usize) -> f64 {
    1.0 - (1.0 - CONFIDENCE) / comparisons.max(1) as f64
}

/// Returns the rank of the value that is the lower end of the interval of a median, counted from 1: the largest rank k
/// for which the k-th smallest and the k-th largest of `n` values contain the median with at least this probability.
/// `None` if not even the smallest and the largest value do. The number of values below the median is binomial with
/// probability 1/2.
fn rank_of_end(n: usize, level: f64) -> Option<usize> {
    // The probability that fewer than k of n values are below the median grows with k.
    let contains = |k: usize| 1.0 - 2.0 * half_binomial_cdf(k as u64 - 1, n as u64) >= level;
    let (mut rank, mut too_large) = (0, n / 2 + 1);
    while too_large - rank > 1 {
        let middle = rank.midpoint(too_large);
        if contains(middle) {
            rank = middle;
        } else {
            too_large = middle;
        }
    }
    (rank > 0).then_some(rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R: `sapply(c(5, 6, 9, 12, 20, 50), function(n) qbinom(0.025, n, 0.5))`, which is 0 1 2 3 6 18. This is the rank
    /// k of the interval with coverage `1 - 2 * pbinom(k - 1, n, 0.5)` of at least 95%.
    #[test]
    fn the_rank_is_that_of_the_binomial_distribution() {
        let ranks = [5, 6, 9, 12, 20, 50].map(|n| rank_of_end(n, 0.95));
        assert_eq!(ranks, [None, Some(1), Some(2), Some(3), Some(6), Some(18)]);
        // R: `qbinom(0.025 / 4, 9, 0.5)` is 1.
        assert_eq!(rank_of_end(9, 1.0 - 0.05 / 4.0), Some(1));
        assert_eq!(rank_of_end(0, 0.95), None);
        // R: `qbinom(0.025, c(2000, 100000), 0.5)`, where 0.5^n is below the smallest float.
        assert_eq!([2000, 100_000].map(|n| rank_of_end(n, 0.95)), [Some(956), Some(49_690)]);
    }

    #[test]
    fn a_ratio_above_one_means_faster_and_outliers_do_not_decide() {
        let base = [2.0, 2.1, 2.0, 1.9, 2.0, 2.0, 2.1, 2.0, 40.0];
        let own = [1.0, 1.0, 1.0, 1.0, 1.0, 30.0, 1.0, 1.0, 1.0];
        let ratio = Ratio::of(&own, &base, 1).unwrap();
        assert!((ratio.median - 2.0).abs() < 1e-12 && ratio.is_told(), "{ratio:?}");
        let ends = ratio.interval.unwrap();
        assert!((ends.low - 1.9).abs() < 1e-12 && (ends.high - 2.1).abs() < 1e-12, "{ratio:?}");
        let same = Ratio::of(&own, &own, 1).unwrap();
        assert!((same.median - 1.0).abs() < 1e-12 && !same.is_told(), "{same:?}");
        assert_eq!(Ratio::of(&own[1..], &base, 1), None);
        assert_eq!(Ratio::of(&[], &[], 1), None);
        assert_eq!(Ratio::of(&own[..4], &base[..4], 1).unwrap().interval, None);
    }

    #[test]
    fn a_bootstrap_needs_eight_rounds() {
        let base = [2.0, 2.1, 2.0, 1.9, 2.0, 2.0, 2.1, 2.0, 40.0];
        let found = RatioBootstrap::of(&[1.0; 9], &base, 1, Resampling::default()).unwrap();
        let ends = found.interval.unwrap();
        assert!((found.median - 2.0).abs() < 1e-12 && ends.low >= 1.9 && ends.high <= 2.1, "{found:?}");
        let few = RatioBootstrap::of(&[1.0; 7], &base[..7], 1, Resampling::default()).unwrap();
        assert_eq!(few.interval, None);
    }

    #[test]
    fn times_that_are_no_times_give_none() {
        for seconds in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Ratio::of(&[1.0, seconds], &[1.0, 1.0], 1), None);
            assert_eq!(RatioBootstrap::of(&[1.0, seconds], &[1.0, 1.0], 1, Resampling::default()), None);
        }
    }
}
