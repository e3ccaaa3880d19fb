//! The standard normal distribution.

use crate::gamma::regularized_gamma;

/// Returns the probability of a value below `x`. Small probabilities keep their digits. Returns `None` unless `x` is
/// finite.
///
/// R: `pnorm(x)`. Python: `scipy.stats.norm.cdf(x)`.
pub fn normal_cdf(x: f64) -> Option<f64> {
    x.is_finite().then(|| below(x))
}

/// Returns the `p`-quantile: the value below which a value lies with probability `p`. Returns `None` unless 0 < p < 1.
///
/// A `p` near 0 keeps its digits, a `p` near 1 does not have them. R: `qnorm(p)`. Python: `scipy.stats.norm.ppf(p)`.
pub fn normal_quantile(p: f64) -> Option<f64> {
    (p > 0.0 && p < 1.0).then(|| if p < 0.5 { -with_tail(p) } else { with_tail(1.0 - p) })
}

/// Returns the probability of a value below `x`, which is not NaN (Abramowitz and Stegun 26.4.12 and 6.5.17).
pub(crate) fn below(x: f64) -> f64 {
    let parts = regularized_gamma(0.5, 0.5 * x * x);
    if x < 0.0 { 0.5 * parts.upper } else { 0.5 + 0.5 * parts.lower }
}

/// Returns the value with this probability above it, which is at most one half.
fn with_tail(tail: f64) -> f64 {
    // The logarithm of the tail is concave, and the tail is at most half of exp(-x²/2). So Newton's method comes from
    // the right, and never passes the solution.
    let mut x = (-2.0 * (2.0 * tail).ln()).max(0.0).sqrt();
    for _ in 0..50 {
        let above = below(-x);
        let density = (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
        let step = (above / tail).ln() * above / density;
        x += step;
        if step.abs() <= 4.0 * f64::EPSILON * x.abs() {
            break;
        }
    }
    x.max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_outside_give_none() {
        for p in [0.0, 1.0, -1.0, f64::NAN] {
            assert_eq!(normal_quantile(p), None);
        }
        assert_eq!((normal_cdf(f64::NAN), normal_cdf(f64::INFINITY)), (None, None));
        assert_eq!((normal_cdf(0.0), normal_quantile(0.5)), (Some(0.5), Some(0.0)));
    }

    #[test]
    fn the_quantile_is_the_inverse_of_the_distribution() {
        for i in -30..=0 {
            let x = f64::from(i);
            let back = normal_quantile(normal_cdf(x).unwrap()).unwrap();
            assert!((back - x).abs() <= 1e-12 * (1.0 + x.abs()), "{x} {back}");
        }
    }
}
