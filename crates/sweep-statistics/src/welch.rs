//! Welch's t-test of two independent samples.

use serde::{Deserialize, Serialize};

use crate::interval::{CONFIDENCE, Interval};
use crate::pairs::size_of;
use crate::student_t::{t_quantile, two_sided_p};
use crate::summary::{ROUNDING, Summary};

/// Result of Welch's t-test, which does not assume equal variances. It does not use that values are paired, so beside a
/// paired test it shows how much the pairing gains.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Welch {
    /// Difference of the means: first minus second.
    pub difference: f64,
    /// The statistic: difference over standard error.
    pub t: f64,
    /// Degrees of freedom (Welch and Satterthwaite).
    pub df: f64,
    /// Two-sided p, for this comparison alone.
    pub p: f64,
    /// The 95% interval of the difference, for this comparison alone. It excludes 0 exactly if p < 0.05.
    pub interval: Interval,
}

impl Welch {
    /// Compares two samples. Returns `None` unless both have two or more finite values, and one of them has values that
    /// differ by more than rounding.
    ///
    /// Source: Welch, 1947. Python: `scipy.stats.ttest_ind(values, others, equal_var=False)`.
    pub fn of(values: &[f64], others: &[f64]) -> Option<Self> {
        let size = size_of(values).max(size_of(others));
        let part = |values: &[f64]| {
            let summary = Summary::of_size(values, size)?;
            Some((summary.mean, summary.sd?.powi(2) / summary.n as f64, (summary.n - 1) as f64))
        };
        let ((mean, square, df), (other_mean, other_square, other_df)) = (part(values)?, part(others)?);
        let (difference, variance) = (mean - other_mean, square + other_square);
        let error = variance.sqrt();
        if error <= ROUNDING * size || !error.is_finite() || !difference.is_finite() {
            return None;
        }
        // Shares of the variance, since squares of variances may leave the range of floats.
        let df = 1.0 / ((square / variance).powi(2) / df + (other_square / variance).powi(2) / other_df);
        let t = difference / error;
        let half = t_quantile(1.0 - (1.0 - CONFIDENCE) / 2.0, df) * error;
        let interval = Interval { low: difference - half, high: difference + half };
        Some(Self { difference, t, df, p: two_sided_p(t, df), interval })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_without_spread_or_with_one_value_have_no_test() {
        assert_eq!(Welch::of(&[1.0], &[1.0, 2.0]), None);
        assert_eq!(Welch::of(&[], &[1.0, 2.0]), None);
        assert_eq!(Welch::of(&[1.0; 3], &[2.0; 3]), None);
        assert_eq!(Welch::of(&[1.0, f64::NAN], &[1.0, 2.0]), None);
        let one_constant = Welch::of(&[1.0; 3], &[2.0, 3.0, 4.0]).unwrap();
        assert!((one_constant.df - 2.0).abs() < 1e-12, "{one_constant:?}");
    }
}
