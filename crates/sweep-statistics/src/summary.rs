//! Mean of some values, with its t-interval.
//!
//! Every function is checked against R or `scipy`; each test shows the command.

use serde::{Deserialize, Serialize};

use crate::interval::{CONFIDENCE, Interval};
use crate::student_t::t_quantile;

/// A standard deviation below this fraction of the values' size is rounding: the values count as constant.
pub(crate) const ROUNDING: f64 = 1e-12;

/// Mean of some values, with its uncertainty.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Number of values.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// Their sample standard deviation. Absent for one value.
    pub sd: Option<f64>,
    /// The 95% t-interval of the mean. Absent for one value.
    pub interval: Option<Interval>,
}

impl Summary {
    /// Summarises values. Returns `None` without values, if one is not finite, or if their sum of squares overflows.
    pub fn of(values: &[f64]) -> Option<Self> {
        let size = values.iter().fold(0.0, |size: f64, value| size.max(value.abs()));
        Some(Self::of_size(values, size)?.with_interval(1))
    }

    /// Summarises values that were computed from numbers up to `size`, so their last digits may be rounding. The result
    /// has no interval.
    pub(crate) fn of_size(values: &[f64], size: f64) -> Option<Self> {
        let first = *values.first()?;
        let n = values.len();
        // Computing relative to the first value gives equal values exactly their own mean and no deviation.
        let mean = first + values.iter().map(|value| value - first).sum::<f64>() / n as f64;
        if !mean.is_finite() {
            return None;
        }
        let summary = Self { n, mean, sd: None, interval: None };
        if n == 1 {
            return Some(summary);
        }
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let sd = (squares / (n - 1) as f64).sqrt();
        if !sd.is_finite() {
            return None;
        }
        let sd = if sd <= ROUNDING * size { 0.0 } else { sd };
        Some(Self { sd: Some(sd), ..summary })
    }

    /// Adds the interval that is simultaneous for this number of comparisons.
    pub(crate) fn with_interval(self, comparisons: usize) -> Self {
        let interval = self.sd.map(|sd| {
            let half = critical_t(self.n, comparisons) * sd / (self.n as f64).sqrt();
            Interval { low: self.mean - half, high: self.mean + half }
        });
        Self { interval, ..self }
    }
}

/// Returns half the width of the interval for a mean of `n` values, in standard errors.
pub(crate) fn critical_t(n: usize, comparisons: usize) -> f64 {
    t_quantile(1.0 - (1.0 - CONFIDENCE) / (2.0 * comparisons.max(1) as f64), (n - 1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn a_summary_matches_scipy() {
        // x.mean(), x.std(ddof=1), scipy.stats.t.interval(0.95, 3, loc=x.mean(), scale=scipy.stats.sem(x))
        let summary = Summary::of(&[0.9102, 0.9131, 0.9088, 0.9117]).unwrap();
        let interval = summary.interval.unwrap();
        assert!(close(summary.mean, 0.91095));
        assert!(close(summary.sd.unwrap(), 0.0018592113023178935));
        assert!(close(interval.low, 0.9079915799300983) && close(interval.high, 0.9139084200699016));
    }

    #[test]
    fn one_value_has_no_deviation_and_equal_values_have_exactly_zero() {
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(Summary::of(&[0.1]), Some(Summary { n: 1, mean: 0.1, sd: None, interval: None }));
        let equal = Summary::of(&[0.1; 3]).unwrap();
        assert_eq!((equal.mean, equal.sd), (0.1, Some(0.0)));
    }

    #[test]
    fn values_that_are_not_finite_or_overflow_have_no_summary() {
        for values in [[1.0, f64::NAN], [f64::INFINITY, 1.0], [f64::MAX, -f64::MAX]] {
            assert_eq!(Summary::of(&values), None);
        }
    }
}
