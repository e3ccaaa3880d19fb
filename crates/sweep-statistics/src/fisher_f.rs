//! Fisher's F distribution, for intervals of ratios of variances.

use crate::beta::regularized_beta;
use crate::gamma::{ln_gamma, ln_gamma_step};
use crate::root::{bounds_from_zero, root_between};

/// Returns the `p`-quantile for these degrees of freedom of numerator and denominator. Returns `None` unless
/// 0 < p < 1 and both degrees are finite and above 0.
///
/// R: `qf(p, numerator, denominator)`. Python: `scipy.stats.f.ppf(p, numerator, denominator)`.
pub(crate) fn f_quantile(p: f64, numerator: f64, denominator: f64) -> Option<f64> {
    let is_df = |df: f64| df.is_finite() && df > 0.0;
    if !(p > 0.0 && p < 1.0 && is_df(numerator) && is_df(denominator)) {
        return None;
    }
    // Quantiles below 1 are those of the inverse ratio, which are above 1.
    let cdf = |x: f64| {
        let scaled = numerator * x;
        1.0 - regularized_beta(denominator / (denominator + scaled), denominator / 2.0, numerator / 2.0)
    };
    if cdf(1.0) > p {
        return Some(1.0 / f_quantile(1.0 - p, denominator, numerator)?);
    }
    let (a, b) = (numerator / 2.0, denominator / 2.0);
    let scale = ln_gamma_step(a, b) - ln_gamma(b);
    let density = |x: f64| {
        let share = numerator * x / (numerator * x + denominator);
        (scale + a * share.ln() + b * (-share).ln_1p() - x.ln()).exp()
    };
    let (low, high) = bounds_from_zero(|x| cdf(x) >= p)?;
    Some(root_between(low, high, |x| (cdf(x) - p, density(x))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_match_scipy() {
        // python: [scipy.stats.f.ppf(p, a, b) for p, a, b in ...]
        for (p, numerator, denominator, expected) in [
            (0.975, 4.0, 4.0, 9.604529884722858),
            (0.025, 4.0, 4.0, 0.10411753745392764),
            (0.975, 1.0, 1.0, 647.7890114778442),
            (0.95, 2.0, 9.0, 4.256494729093749),
            (0.975, 30.0, 30.0, 2.0739437504716296),
        ] {
            let quantile = f_quantile(p, numerator, denominator).unwrap();
            assert!((quantile - expected).abs() < 1e-10 * expected, "{p} {numerator} {denominator}: {quantile}");
        }
        assert_eq!(
            (f_quantile(0.0, 2.0, 2.0), f_quantile(0.5, 0.0, 2.0), f_quantile(f64::NAN, 1.0, 1.0)),
            (None, None, None)
        );
    }
}
