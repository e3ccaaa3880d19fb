//! Student's t distribution, for intervals and tests of means.

use crate::beta::regularized_beta;
use crate::gamma::ln_gamma_step;
use crate::root::{bounds_from_zero, root_between};

/// Student's t distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StudentT {
    df: f64,
}

impl StudentT {
    /// The distribution with this number of degrees of freedom, which need not be whole. Returns `None` unless it is
    /// between 0.01 and 1e7. Up to 1e5 degrees, results have a relative error of at most 1e-10.
    pub fn new(df: f64) -> Option<Self> {
        (0.01..=1e7).contains(&df).then_some(Self { df })
    }

    /// Returns the probability of a value below `t`. Small probabilities keep their digits. Returns `None` unless `t`
    /// is finite.
    ///
    /// R: `pt(t, df)`. Python: `scipy.stats.t.cdf(t, df)`.
    pub fn cdf(self, t: f64) -> Option<f64> {
        let tail = 0.5 * self.two_sided_p(t)?;
        Some(if t < 0.0 { tail } else { 1.0 - tail })
    }

    /// Returns the probability of a value at least as far from zero as `t`, in both directions. Returns `None` unless
    /// `t` is finite.
    ///
    /// R: `2 * pt(-abs(t), df)`. It is not computed as a difference from 1, so small probabilities keep their digits.
    pub fn two_sided_p(self, t: f64) -> Option<f64> {
        t.is_finite().then(|| two_sided_p(t, self.df))
    }

    /// Returns the `p`-quantile: the value below which a value lies with probability `p`. Returns `None` unless
    /// 0 < p < 1, or if the quantile is beyond ±1e150.
    ///
    /// A `p` near 0 keeps its digits, a `p` near 1 does not have them: use `-quantile(1 - p)` for far upper quantiles.
    /// R: `qt(p, df)`. Python: `scipy.stats.t.ppf(p, df)`.
    pub fn quantile(self, p: f64) -> Option<f64> {
        (p > 0.0 && p < 1.0).then(|| t_quantile(p, self.df)).filter(|t| t.abs() < 1e150)
    }
}

/// Returns the `p`-quantile for `df` degrees of freedom (0 < p < 1).
pub(crate) fn t_quantile(p: f64, df: f64) -> f64 {
    let log_scale = ln_gamma_step(df / 2.0, 0.5) - 0.5 * (df * std::f64::consts::PI).ln();
    let density = |t: f64| (log_scale - (df + 1.0) / 2.0 * (t * t / df).ln_1p()).exp();
    if p < 0.5 {
        let tail = |t: f64| 0.5 * two_sided_p(t, df);
        let Some((low, high)) = bounds_from_zero(|t| tail(t) <= p) else { return f64::NEG_INFINITY };
        return -root_between(low, high, |t| (p - tail(t), density(t)));
    }
    let cdf = |t: f64| 1.0 - 0.5 * two_sided_p(t, df);
    let Some((low, high)) = bounds_from_zero(|t| cdf(t) >= p) else { return f64::INFINITY };
    root_between(low, high, |t| (cdf(t) - p, density(t)))
}

/// Returns the probability of a value at least as far from zero as `t`, in both directions.
pub(crate) fn two_sided_p(t: f64, df: f64) -> f64 {
    let ratio = t * t / df;
    // Near zero, the digits of t would be lost in the sum of the other form.
    if ratio < 1e-8 {
        return 1.0 - regularized_beta(ratio / (1.0 + ratio), 0.5, df / 2.0);
    }
    regularized_beta(df / (df + t * t), df / 2.0, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_match_scipy() {
        // python: [scipy.stats.t.ppf(p, df) for p, df in ...]
        for (p, df, expected) in [
            (0.975, 1.0, 12.706204736174694),
            (0.975, 2.0, 4.302652729749462),
            (0.975, 4.0, 2.7764451051977934),
            (0.975, 9.0, 2.262157162798205),
            (0.975, 29.0, 2.045229642132703),
            (0.9, 3.0, 1.637744353696209),
            (0.05, 5.0, -2.015048373333024),
            (0.995, 2.5, 7.163728138948783),
            (0.975, 1000.0, 1.9623390808264083),
        ] {
            let quantile = t_quantile(p, df);
            assert!((quantile - expected).abs() < 1e-9 * expected.abs(), "{p} {df}: {quantile}");
        }
    }

    #[test]
    fn small_and_large_probabilities_match_scipy() {
        // python: [2 * scipy.stats.t.sf(t, df) for t, df in ...]
        for (t, df, expected) in [
            (2.576, 4.0, 0.06158702500636261),
            (0.5, 2.0, 0.6666666666666667),
            (50.0, 2.0, 0.00039976015988808057),
            (-1e6, 2.0, 9.999999999985001e-13),
            (12.0, 19.0, 2.5908946372221965e-10),
            (1e5, 9.0, 5.0917940554669804e-42),
            (0.0, 3.0, 1.0),
        ] {
            let p = two_sided_p(t, df);
            assert!((p - expected).abs() < 1e-10 * expected, "{t} {df}: {p}");
        }
    }

    #[test]
    fn what_is_no_distribution_or_no_probability_gives_none() {
        for df in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(StudentT::new(df), None);
        }
        let t = StudentT::new(3.0).unwrap();
        for p in [0.0, 1.0, -0.1, f64::NAN] {
            assert_eq!(t.quantile(p), None);
        }
        assert_eq!((t.cdf(f64::NAN), t.two_sided_p(f64::INFINITY)), (None, None));
        assert_eq!((t.cdf(0.0), t.quantile(0.5).map(|t| t.abs() < 1e-15)), (Some(0.5), Some(true)));
    }
}
