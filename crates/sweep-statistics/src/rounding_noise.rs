//! Share of rounding in the noise of trainings: how much do results vary because numbers are rounded differently, and
//! how much because seeds differ?
//!
//! The same seeds are trained under two arithmetics, for example on two instruction sets. A value is modelled as
//! a mean of its arithmetic, plus an effect of its seed, plus an effect of rounding that is independent for each
//! training. Differences between the arithmetics then contain only rounding.

use serde::{Deserialize, Serialize};

use crate::chi_square::ChiSquare;
use crate::fisher_f::f_quantile;
use crate::interval::{CONFIDENCE, Interval};
use crate::paired_difference::PairedDifference;
use crate::pairs::Pairs;
use crate::summary::Summary;

/// Components of the variance of trainings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoundingNoise {
    /// Number of seeds.
    pub n: usize,
    /// Mean difference between the arithmetics: first minus second. Its interval shows whether one is better.
    pub shift: PairedDifference,
    /// Standard deviation of one training that comes from rounding: that of the differences over √2.
    pub rounding_sd: f64,
    /// The 95% interval of that deviation, from the chi-square distribution.
    pub rounding_interval: Interval,
    /// Standard deviation that comes from seeds: the root of the covariance between the arithmetics. It is 0 if the
    /// covariance is not positive.
    pub seed_sd: f64,
    /// Share of rounding in the variance of one training. It is 1 if seeds contribute nothing that can be seen.
    pub share: f64,
    /// The 95% interval of the share, from the F distribution.
    pub share_interval: Interval,
}

impl RoundingNoise {
    /// Separates the noise of the same seeds under two arithmetics. Returns `None` for fewer than two seeds, and if the
    /// difference is the same for each seed up to rounding, so that rounding has no effect that varies.
    ///
    /// Source: variance components of the two-way layout without interaction; the share is 1 − ICC(C,1), with the
    /// interval of McGraw and Wong, 1996.
    pub fn of(pairs: &Pairs) -> Option<Self> {
        let n = pairs.values().len();
        if n < 2 {
            return None;
        }
        let of = |values: &[f64]| Summary::of_size(values, pairs.size())?.sd;
        let sums: Vec<f64> = pairs.values().iter().zip(pairs.baseline()).map(|(a, b)| a + b).collect();
        // The variances of differences and of sums, halved, are the mean squares of rounding and of seeds.
        let (differences, sums) = (of(&pairs.differences())?, of(&sums)?);
        let rounding_sd = differences / 2.0_f64.sqrt();
        let square = (sums / differences).powi(2);
        let shift = PairedDifference::of_differences(&pairs.differences(), pairs.size())?.among(1);
        if differences <= 0.0 || !square.is_finite() {
            return None;
        }
        let df = (n - 1) as f64;
        let tail = (1.0 - CONFIDENCE) / 2.0;
        let end = |p: f64| Some(rounding_sd * (df / ChiSquare::new(df)?.quantile(p)?).sqrt());
        let rounding_interval = Interval { low: end(1.0 - tail)?, high: end(tail)? };
        // The ratio of the mean squares over 1 + 2·seeds²/rounding² has an F distribution.
        let share_of = |square: f64| (2.0 / (square.max(1.0) + 1.0)).min(1.0);
        let far = f_quantile(1.0 - tail, df, df)?;
        let share_interval = Interval { low: share_of(square * far), high: share_of(square / far) };
        let seed_sd = rounding_sd * ((square - 1.0).max(0.0) / 2.0).sqrt();
        Some(Self { n, shift, rounding_sd, rounding_interval, seed_sd, share: share_of(square), share_interval })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_those_of_the_definition() {
        // Differences 0.02, -0.02, 0.02, -0.02; the covariance of the columns is that of 1, 2, 3, 4 minus 0.01².
        let (values, others) = (vec![1.01, 1.99, 3.01, 3.99], vec![0.99, 2.01, 2.99, 4.01]);
        let noise = RoundingNoise::of(&Pairs::new(values, others).unwrap()).unwrap();
        let rounding = 0.02 * (4.0_f64 / 3.0 / 2.0).sqrt();
        assert!((noise.rounding_sd - rounding).abs() < 1e-12, "{noise:?}");
        let seeds = (5.0_f64 / 3.0 - rounding.powi(2) / 2.0).sqrt();
        assert!((noise.seed_sd - seeds).abs() < 1e-12, "{noise:?} {seeds}");
        let share = rounding.powi(2) / (rounding.powi(2) + seeds.powi(2));
        assert!((noise.share - share).abs() < 1e-12, "{noise:?}");
        assert!(noise.share_interval.low < share && share < noise.share_interval.high, "{noise:?}");
        assert!(!noise.shift.is_told());
    }

    #[test]
    fn seeds_that_do_not_agree_contribute_nothing() {
        let noise = RoundingNoise::of(&Pairs::new(vec![1.0, 2.0, 3.0], vec![3.0, 2.0, 1.5]).unwrap()).unwrap();
        assert_eq!((noise.seed_sd, noise.share), (0.0, 1.0));
    }

    #[test]
    fn without_rounding_that_varies_there_is_nothing_to_separate() {
        assert_eq!(RoundingNoise::of(&Pairs::new(vec![1.0, 2.0], vec![1.0, 2.0]).unwrap()), None);
        assert_eq!(RoundingNoise::of(&Pairs::new(vec![1.0], vec![2.0]).unwrap()), None);
    }
}
