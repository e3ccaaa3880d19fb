//! The sign-flip test: how often are differences at least as far from zero if each sign is random?
//!
//! The test assumes only that a difference is equally likely in both directions. So it checks the t-test, which assumes
//! more, for few pairs.

use serde::{Deserialize, Serialize};

use crate::split_mix::SplitMix64;

/// Maximum number of pairs for which all sign flips are counted.
const MOST_COUNTED: usize = 20;
/// Number of random sign flips for more pairs.
const DRAWS: u32 = 10_000;
/// Seed of the random sign flips.
const SEED: u64 = 20_210_505;

/// The result of a two-sided sign-flip test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignFlip {
    /// p for a single comparison.
    pub p: f64,
    /// How the sign flips were drawn. Absent if all of them were counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drawn: Option<Drawn>,
}

/// How sign flips were drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drawn {
    /// Number of sign flips.
    pub flips: u32,
    /// Seed of the random generator.
    pub seed: u64,
}

impl SignFlip {
    /// Tests two or more differences. The result is exact for up to twenty differences and sampled for more. Returns
    /// `None` for fewer, and if a difference is not finite.
    pub fn of(differences: &[f64]) -> Option<Self> {
        let n = differences.len();
        if n < 2 || differences.iter().any(|difference| !difference.is_finite()) {
            return None;
        }
        // Sums that differ only by rounding are ties, and ties count.
        let rounding = 1e-12 * differences.iter().map(|d| d.abs()).sum::<f64>();
        let observed = differences.iter().sum::<f64>().abs() - rounding;
        if n <= MOST_COUNTED {
            let all = 1_u32 << n;
            let flipped = |mask: u32| signed_sum(differences, |i| mask >> i & 1 == 1);
            let as_far = (0..all).filter(|&mask| flipped(mask).abs() >= observed).count();
            return Some(Self { p: as_far as f64 / f64::from(all), drawn: None });
        }
        // Eight signs are drawn at a time. The sum for each of their 256 combinations is computed once.
        let sums_of = |eight: &[f64]| (0..256_u32).map(|mask| signed_sum(eight, |i| mask >> i & 1 == 1)).collect();
        let tables: Vec<Vec<f64>> = differences.chunks(8).map(sums_of).collect();
        let mut random = SplitMix64::new(SEED);
        let mut draw = || {
            let of_word = |tables: &[Vec<f64>]| {
                let bytes = random.next().to_le_bytes();
                tables.iter().zip(bytes).map(|(sums, byte)| sums[usize::from(byte)]).sum::<f64>()
            };
            tables.chunks(8).map(of_word).sum::<f64>()
        };
        let as_far = (0..DRAWS).filter(|_| draw().abs() >= observed).count();
        // The observed signs are one of the flips, so p is never 0.
        let p = (as_far + 1) as f64 / f64::from(DRAWS + 1);
        Some(Self { p, drawn: Some(Drawn { flips: DRAWS, seed: SEED }) })
    }
}

/// Returns the smallest number of pairs with which a sign-flip test can reach p < 0.05 for this number of comparisons.
/// The smallest p of the test is `2 / 2^n`.
pub fn fewest_pairs(comparisons: usize) -> usize {
    let smallest = |n: &i32| comparisons.max(1) as f64 * 2.0 * 0.5_f64.powi(*n);
    (2..64).find(|n| smallest(n) < 0.05).map_or(64, i32::unsigned_abs) as usize
}

fn signed_sum(differences: &[f64], is_flipped: impl Fn(usize) -> bool) -> f64 {
    differences.iter().enumerate().map(|(i, d)| if is_flipped(i) { -d } else { *d }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_pairs_cannot_reach_the_level_and_more_comparisons_need_more_pairs() {
        assert_eq!(SignFlip::of(&[1.0]), None);
        assert_eq!(SignFlip::of(&[1.0, f64::NAN]), None);
        for n in 2..8 {
            assert!((SignFlip::of(&vec![0.3; n]).unwrap().p - 2.0 * 0.5_f64.powi(n as i32)).abs() < 1e-15);
        }
        assert!(SignFlip::of(&[0.0; 4]).is_some_and(|test| (test.p - 1.0).abs() < 1e-15));
        assert_eq!([1, 2, 3, 5, 6, 7].map(fewest_pairs), [6, 7, 7, 8, 8, 9]);
    }

    #[test]
    fn beyond_twenty_pairs_flips_are_drawn_from_a_recorded_seed() {
        // scipy.stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=2000000).pvalue
        let times = |values: &[f64], times: usize| values.repeat(times);
        let far = times(&[0.4, -0.1, 0.3, 0.2, 0.5, -0.2, 0.1, 0.6, 0.05, -0.3], 3);
        let near = times(&[0.4, -0.1, 0.3, -0.25, 0.2, -0.15], 4);
        for (differences, expected) in [(far, 0.00805), (near, 0.21553)] {
            let test = SignFlip::of(&differences).unwrap();
            assert!((test.p - expected).abs() < 4.0 * (expected / f64::from(DRAWS)).sqrt(), "{}", test.p);
            assert_eq!(test.drawn, Some(Drawn { flips: DRAWS, seed: SEED }));
        }
        assert!(SignFlip::of(&[1.0; 40]).unwrap().p > 0.0);
    }
}
