//! Standardized differences: how large a difference is in standard deviations.
//!
//! The definitions are those of Lakens (2013) and Cumming (2012). The correction for few values is exact (Hedges,
//! 1981).

use serde::{Deserialize, Serialize};

use crate::gamma::ln_gamma_step;
use crate::pairs::Pairs;
use crate::summary::Summary;

/// A difference of means in standard deviations. It has no unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EffectSize {
    /// The difference over the standard deviation.
    pub d: f64,
    /// Hedges' g: `d` corrected for its upward bias with few values. Absent with one degree of freedom, for which no
    /// correction exists.
    pub g: Option<f64>,
}

impl EffectSize {
    /// `d_z`: mean over standard deviation of the differences, with n − 1 degrees of freedom. It says how well the
    /// pairs show the difference, and planning takes it. It depends on how much the pairs have in common.
    ///
    /// Returns `None` for one pair, and if the difference is the same for each pair up to rounding.
    pub fn of_differences(pairs: &Pairs) -> Option<Self> {
        let summary = Summary::of_size(&pairs.differences(), pairs.size())?;
        Self::standardized(summary.mean, summary.sd?, (summary.n - 1) as f64)
    }

    /// `d_av`: mean of the differences over √((s₁² + s₂²)/2), the typical deviation of single values, with n − 1
    /// degrees of freedom. It can be compared between designs with and without pairs.
    ///
    /// Returns `None` for one pair, and if both rows are constant up to rounding.
    pub fn of_pairs(pairs: &Pairs) -> Option<Self> {
        let size = pairs.size();
        let of = |values: &[f64]| Summary::of_size(values, size);
        let (values, baseline) = (of(pairs.values())?, of(pairs.baseline())?);
        let sd = (f64::midpoint(values.sd?.powi(2), baseline.sd?.powi(2))).sqrt();
        Self::standardized(of(&pairs.differences())?.mean, sd, (values.n - 1) as f64)
    }

    /// `d_s`: difference of the means over the pooled standard deviation of two independent samples, with n₁ + n₂ − 2
    /// degrees of freedom.
    ///
    /// Returns `None` unless both samples have two or more finite values, and one of them varies by more than rounding.
    pub fn of_samples(values: &[f64], others: &[f64]) -> Option<Self> {
        let (values, others) = (Summary::of(values)?, Summary::of(others)?);
        let [df, other_df] = [values.n, others.n].map(|n| (n - 1) as f64);
        let pooled = (df * values.sd?.powi(2) + other_df * others.sd?.powi(2)) / (df + other_df);
        Self::standardized(values.mean - others.mean, pooled.sqrt(), df + other_df)
    }

    fn standardized(difference: f64, sd: f64, df: f64) -> Option<Self> {
        let d = difference / sd;
        (sd > 0.0 && d.is_finite()).then(|| Self { d, g: (df > 1.0).then(|| correction(df) * d) })
    }
}

/// Returns Hedges' factor Γ(df/2) / (√(df/2)·Γ((df − 1)/2)) for df > 1.
fn correction(df: f64) -> f64 {
    (ln_gamma_step((df - 1.0) / 2.0, 0.5) - 0.5 * (df / 2.0).ln()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_correction_has_its_known_values() {
        // Python: from scipy.special import gamma; gamma(df/2) / (df/2)**0.5 / gamma((df-1)/2)
        for (df, expected) in [(2.0, 0.5641895835477563), (4.0, 0.7978845608028654), (10.0, 0.922745608053087)] {
            assert!((correction(df) - expected).abs() < 1e-13, "{df} {}", correction(df));
        }
    }

    #[test]
    fn constant_values_have_no_effect_size() {
        let shifted = Pairs::new(vec![1.5, 2.5, 3.5], vec![1.0, 2.0, 3.0]).unwrap();
        assert_eq!(EffectSize::of_differences(&shifted), None);
        assert!(EffectSize::of_pairs(&shifted).is_some_and(|effect| (effect.d - 0.5).abs() < 1e-12));
        let constant = Pairs::new(vec![2.0; 3], vec![1.0; 3]).unwrap();
        assert_eq!(EffectSize::of_pairs(&constant), None);
        assert_eq!(EffectSize::of_samples(&[1.0; 3], &[2.0; 3]), None);
        assert_eq!(EffectSize::of_samples(&[1.0], &[2.0, 3.0]), None);
        let two = Pairs::new(vec![1.0, 3.0], vec![0.0, 1.0]).unwrap();
        assert!(EffectSize::of_differences(&two).is_some_and(|effect| effect.g.is_none()));
    }
}
