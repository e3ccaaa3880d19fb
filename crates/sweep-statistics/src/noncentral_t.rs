//! The noncentral t distribution, for the power of t-tests.
//!
//! Source: the definition. T = (Z + δ) / S, where Z is standard normal and S² is chi-square over its degrees of
//! freedom. P(T > t) is an integral over one of the two, by the trapezoidal rule, which converges exponentially for
//! such smooth functions (Trefethen and Weideman, 2014). The usual series (Lenth, 1989; AS 243) loses its digits for
//! large δ, which plans of two or three seeds need.

use crate::gamma::regularized_gamma;
use crate::normal::below;

/// Steps of the rule per standard deviation of the narrowest Gaussian factor. The error is about exp(-2π²·1.8²) =
/// 1e-28.
const STEPS: f64 = 1.8;
/// Largest step over ln S. The factors are analytic for imaginary parts up to π/4, so the error is at most about
/// exp(-2π·(π/4)/0.13) = 1e-16.
const LARGEST_STEP: f64 = 0.13;
/// Weights below exp(-40) = 4e-18 of the largest weight are left out.
const SMALLEST_LOG_WEIGHT: f64 = -40.0;
/// A normal value is further from 0 than this with a probability of 2e-17, which is left out.
const FAR: f64 = 8.5;

/// The noncentral t distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NoncentralT {
    df: f64,
    shift: f64,
}

/// Probabilities of both sides of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sides {
    /// Probability of a smaller value.
    pub below: f64,
    /// Probability of a larger value.
    pub above: f64,
}

impl NoncentralT {
    /// The distribution with this number of degrees of freedom and this noncentrality δ: that of the statistic of a
    /// t-test if the true mean is δ standard errors from 0. Returns `None` unless `df` is between 1 and 1e7 and `shift`
    /// within ±1e12.
    pub fn new(df: f64, shift: f64) -> Option<Self> {
        ((1.0..=1e7).contains(&df) && shift.abs() <= 1e12).then_some(Self { df, shift })
    }

    /// Returns the probabilities of a smaller and of a larger value than `t`, with an absolute error of at most 1e-12.
    /// Returns `None` unless `t` is within ±1e100.
    ///
    /// R: `pt(t, df, shift)`. Python: `scipy.stats.nct.cdf(t, df, shift)`.
    pub fn sides(self, t: f64) -> Option<Sides> {
        // NaN is in no range.
        if !(-1e100..=1e100).contains(&t) {
            return None;
        }
        if self.shift < 0.0 {
            let mirrored = Self { shift: -self.shift, ..self }.sides(-t)?;
            return Some(Sides { below: mirrored.above, above: mirrored.below });
        }
        // The weight of S = s is at most exp(-df·(s − 1)²/2), so it is left out beyond this one.
        let largest_s = 1.0 + (-2.0 * SMALLEST_LOG_WEIGHT / self.df).sqrt();
        if self.shift - (t * largest_s).max(0.0) > FAR {
            return Some(Sides { below: 0.0, above: 1.0 });
        }
        let is_wide = self.shift > FAR + 1.5 && t > (2.0 * self.df).sqrt();
        Some(if is_wide { self.over_normal(t) } else { self.over_spread(t) })
    }

    /// Integrates over u = ln S: the mean of Φ(t·S − δ).
    fn over_spread(self, t: f64) -> Sides {
        // The normal factor changes over 1/(δ + 4) of u, the weights over 1/√(2·df).
        let narrowest = (2.0 * self.df).sqrt().max(self.shift + 4.0);
        let step = LARGEST_STEP.min(1.0 / (STEPS * narrowest));
        let (mut weights, mut sides) = (0.0, Sides { below: 0.0, above: 0.0 });
        let mut add = |u: f64| {
            let log_weight = self.df * (u - 0.5 * (2.0 * u).exp_m1());
            let weight = log_weight.exp();
            let z = t * u.exp() - self.shift;
            weights += weight;
            sides.below += weight * below(z);
            sides.above += weight * below(-z);
            log_weight > SMALLEST_LOG_WEIGHT
        };
        add(0.0);
        for direction in [step, -step] {
            let mut i = 1.0;
            while add(i * direction) {
                i += 1.0;
            }
        }
        Sides { below: sides.below / weights, above: sides.above / weights }
    }

    /// Integrates over Z: the mean of P(S < (Z + δ)/t). This needs few steps if t and δ are large, as then S decides.
    fn over_normal(self, t: f64) -> Sides {
        const STEP: f64 = 0.125;
        let steps = (FAR / STEP) as i32;
        let (mut weights, mut sides) = (0.0, Sides { below: 0.0, above: 0.0 });
        for i in -steps..=steps {
            let z = f64::from(i) * STEP;
            let weight = (-0.5 * z * z).exp();
            let parts = regularized_gamma(self.df / 2.0, self.df / 2.0 * ((z + self.shift) / t).powi(2));
            weights += weight;
            sides.below += weight * parts.upper;
            sides.above += weight * parts.lower;
        }
        Sides { below: sides.below / weights, above: sides.above / weights }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StudentT;

    #[test]
    fn without_a_shift_it_is_students_t() {
        for df in [1.0, 2.0, 9.0, 400.0] {
            for t in [-30.0, -2.0, 0.0, 0.7, 12.7] {
                let sides = NoncentralT::new(df, 0.0).unwrap().sides(t).unwrap();
                let expected = StudentT::new(df).unwrap().cdf(t).unwrap();
                assert!((sides.below - expected).abs() < 1e-12, "{df} {t} {sides:?} {expected}");
                assert!((sides.below + sides.above - 1.0).abs() < 1e-12, "{df} {t}");
            }
        }
    }

    #[test]
    fn what_is_no_distribution_gives_none() {
        for (df, shift) in [(0.5, 1.0), (f64::NAN, 1.0), (2.0, f64::NAN), (2.0, f64::INFINITY), (f64::INFINITY, 0.0)] {
            assert_eq!(NoncentralT::new(df, shift), None);
        }
        assert_eq!(NoncentralT::new(2.0, 1.0).unwrap().sides(f64::NAN), None);
    }
}
