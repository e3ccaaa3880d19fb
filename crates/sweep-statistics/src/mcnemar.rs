//! McNemar's test: do two networks differ in how many images they classify correctly?

use serde::{Deserialize, Serialize};

use crate::binomial::half_binomial_cdf;

/// Result of McNemar's exact test on the images of one test set.
///
/// It tells whether these two trained networks differ on images like these. It says nothing about other seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct McNemar {
    /// Number of images.
    pub images: usize,
    /// Number of images that only the first network classifies correctly.
    pub only_first: usize,
    /// Number of images that only the second network classifies correctly.
    pub only_second: usize,
    /// Two-sided exact p. It is 1 if the networks agree on all images.
    pub p: f64,
}

impl McNemar {
    /// Compares two networks by whether each image is classified correctly, in the same order. Returns `None` without
    /// images, or if their numbers differ.
    ///
    /// Source: McNemar, 1947, with the binomial distribution. Python:
    /// `scipy.stats.binomtest(only_first, only_first + only_second).pvalue`.
    pub fn of(first: &[bool], second: &[bool]) -> Option<Self> {
        if first.is_empty() || first.len() != second.len() {
            return None;
        }
        let count = |wanted: (bool, bool)| first.iter().zip(second).filter(|(a, b)| (**a, **b) == wanted).count();
        let (only_first, only_second) = (count((true, false)), count((false, true)));
        let tail = half_binomial_cdf(only_first.min(only_second) as u64, (only_first + only_second) as u64);
        Some(Self { images: first.len(), only_first, only_second, p: (2.0 * tail).min(1.0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_that_both_classify_alike_do_not_count() {
        let first = [true, true, true, true, true, true, false, true, false];
        let second = [false, false, false, false, false, false, false, true, true];
        let test = McNemar::of(&first, &second).unwrap();
        // Python: scipy.stats.binomtest(6, 7).pvalue
        assert_eq!((test.images, test.only_first, test.only_second), (9, 6, 1));
        assert!((test.p - 0.125).abs() < 1e-15, "{test:?}");
        assert_eq!(McNemar::of(&first, &first).map(|test| test.p), Some(1.0));
        assert_eq!((McNemar::of(&[], &[]), McNemar::of(&[true], &[])), (None, None));
    }
}
