//! The chi-square distribution, for intervals of standard deviations.

use crate::gamma::{ln_gamma, regularized_gamma};
use crate::root::{bounds_from_zero, root_between};

/// The chi-square distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChiSquare {
    df: f64,
}

impl ChiSquare {
    /// The distribution with this number of degrees of freedom, which need not be whole. Returns `None` unless it is
    /// between 0.01 and 1e7. Up to 1e5 degrees, results have a relative error of at most 1e-10.
    pub fn new(df: f64) -> Option<Self> {
        (0.01..=1e7).contains(&df).then_some(Self { df })
    }

    /// Returns the probability of a value below `x`. Returns `None` unless `x` is finite.
    ///
    /// R: `pchisq(x, df)`. Python: `scipy.stats.chi2.cdf(x, df)`.
    pub fn cdf(self, x: f64) -> Option<f64> {
        x.is_finite().then(|| regularized_gamma(self.df / 2.0, x / 2.0).lower)
    }

    /// Returns the `p`-quantile: the value below which a value lies with probability `p`. Returns `None` unless
    /// 0 < p < 1, or if the quantile is below the smallest float.
    ///
    /// R: `qchisq(p, df)`. Python: `scipy.stats.chi2.ppf(p, df)`.
    pub fn quantile(self, p: f64) -> Option<f64> {
        if !(p > 0.0 && p < 1.0) {
            return None;
        }
        let half = self.df / 2.0;
        let lower = |x: f64| regularized_gamma(half, x / 2.0).lower;
        let (_, high) = bounds_from_zero(|x| lower(x) >= p)?;
        // The search is for ln x. Its bounds are where even the leading term of the series, which is above the
        // function, is below p.
        let low = ((p.ln() + ln_gamma(half + 1.0)) / half + 2.0_f64.ln()).min(high.ln());
        let scale = -ln_gamma(half) - half * 2.0_f64.ln();
        let slope = |u: f64| (scale + half * u - u.exp() / 2.0).exp();
        let found = root_between(low, high.ln(), |u| (lower(u.exp()) - p, slope(u))).exp();
        (found > 0.0).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_distribution_or_no_probability_gives_none() {
        for df in [0.0, -2.0, f64::NAN, f64::INFINITY] {
            assert_eq!(ChiSquare::new(df), None);
        }
        let distribution = ChiSquare::new(2.0).unwrap();
        assert_eq!(
            (distribution.quantile(0.0), distribution.quantile(1.0), distribution.cdf(f64::NAN)),
            (None, None, None)
        );
        assert_eq!(distribution.cdf(-3.0), Some(0.0));
    }

    #[test]
    fn with_two_degrees_of_freedom_it_is_exponential() {
        let distribution = ChiSquare::new(2.0).unwrap();
        for p in [1e-12_f64, 0.05, 0.5, 0.99] {
            let expected = -2.0 * (-p).ln_1p();
            assert!((distribution.quantile(p).unwrap() - expected).abs() < 1e-12 * expected, "{p}");
        }
    }
}
