//! Ratio of the throughputs of two networks that were timed in the same rounds.
//!
//! Times of single rounds have outliers and no known distribution. So the ratio is the median over the rounds, and its
//! interval is that of a median from order statistics, which assumes no distribution.
//!
//! This module knows only numbers.

use serde::{Deserialize, Serialize};

use crate::interval::{CONFIDENCE, Interval};
use crate::median::median;

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

impl Ratio {
    /// Compares two networks by their seconds per image in each round, as one of several comparisons. Returns `None` if
    /// they were not timed in the same rounds.
    pub fn of(seconds: &[f64], baseline: &[f64], comparisons: usize) -> Option<Self> {
        if seconds.len() != baseline.len() {
            return None;
        }
        let mut ratios: Vec<f64> = seconds.iter().zip(baseline).map(|(own, base)| base / own).collect();
        ratios.sort_by(f64::total_cmp);
        let (rounds, median) = (ratios.len(), median(ratios.clone())?);
        let level = 1.0 - (1.0 - CONFIDENCE) / comparisons.max(1) as f64;
        let ends = |rank: usize| Interval { low: ratios[rank - 1], high: ratios[rounds - rank] };
        Some(Self { rounds, median, interval: rank_of_end(rounds, level).map(ends), comparisons })
    }

    /// Whether the interval excludes 1. Without an interval nothing is told.
    pub fn is_told(&self) -> bool {
        self.interval.is_some_and(|ends| ends.excludes(1.0))
    }
}

/// Returns the rank of the value that is the lower end of the interval of a median, counted from 1: the largest rank k
/// for which the k-th smallest and the k-th largest of `n` values contain the median with at least this probability.
/// `None` if not even the smallest and the largest value do. The number of values below the median is binomial with
/// probability 1/2.
fn rank_of_end(n: usize, level: f64) -> Option<usize> {
    // The probability that fewer than k of n values are below the median, for k = 1, 2, …
    let (mut term, mut below, mut rank) = (0.5_f64.powi(i32::try_from(n).ok()?), 0.0, 0);
    while rank < n / 2 {
        below += term;
        if 1.0 - 2.0 * below < level {
            break;
        }
        rank += 1;
        term *= (n - rank + 1) as f64 / rank as f64;
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
}
