//! Difference of two networks in accuracy, with the uncertainty that comes from the choice of test images.

use serde::{Deserialize, Serialize};

use crate::bootstrap::Resampling;
use crate::interval::{CONFIDENCE, Interval};

/// Difference of two networks in accuracy on the images of one test set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccuracyDifference {
    /// Number of images.
    pub images: usize,
    /// Accuracy of the first network minus that of the second, as a fraction.
    pub difference: f64,
    /// The 95% BCa interval of the difference over test sets of this size. Images are drawn for both networks together.
    /// Absent if the networks differ on no image, or in the same direction on all.
    pub interval: Option<Interval>,
    /// How images were drawn.
    pub resampling: Resampling,
}

impl AccuracyDifference {
    /// Compares two networks by whether each image is classified correctly, in the same order. Returns `None` without
    /// images, or if their numbers differ. Time: resamples × images; 10,000 × 10,000 take about a fifth of a second.
    pub fn of(first: &[bool], second: &[bool], resampling: Resampling) -> Option<Self> {
        Self::over_seeds(&[(first, second)], resampling)
    }

    /// As [`Self::of`], for several seeds: each pair has one network of both kinds, and all were tested on the same
    /// images. The difference is the mean over the seeds. An image is drawn for all seeds together, so the interval has
    /// the luck of the images only, not that of the seeds.
    pub fn over_seeds(pairs: &[(&[bool], &[bool])], resampling: Resampling) -> Option<Self> {
        let images = pairs.first()?.0.len();
        if images == 0 || pairs.iter().any(|(first, second)| [first.len(), second.len()] != [images; 2]) {
            return None;
        }
        let mut sums = vec![0_i32; images];
        for (first, second) in pairs {
            for (sum, (a, b)) in sums.iter_mut().zip(first.iter().zip(*second)) {
                *sum += i32::from(*a) - i32::from(*b);
            }
        }
        let gains: Vec<f64> = sums.into_iter().map(|sum| f64::from(sum) / pairs.len() as f64).collect();
        let difference = gains.iter().sum::<f64>() / gains.len() as f64;
        let interval = resampling.bca_interval_of_mean(&gains, CONFIDENCE);
        Some(Self { images: gains.len(), difference, interval, resampling })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_near_that_of_the_normal_distribution() {
        // 60 images only for the first and 40 only for the second of 1000: the difference is 0.02, its standard error
        // sqrt(0.1 - 0.02²)/sqrt(1000) = 0.00998. The ends of the interval are 1.96 standard errors away, up to the
        // Monte-Carlo error of about 1% and the steps of 1/1000.
        let first: Vec<bool> = (0..1000).map(|image| image < 60).collect();
        let second: Vec<bool> = (0..1000).map(|image| (60..100).contains(&image)).collect();
        let found = AccuracyDifference::of(&first, &second, Resampling::default()).unwrap();
        let ends = found.interval.unwrap();
        assert!((found.difference - 0.02).abs() < 1e-15);
        assert!((ends.low - 0.00044).abs() < 0.0015 && (ends.high - 0.03956).abs() < 0.0015, "{ends:?}");
    }

    #[test]
    fn seeds_share_their_images() {
        let resampling = Resampling { resamples: 2000, seed: 7 };
        let bits = |salt: usize| -> Vec<bool> { (0..400).map(|image| (image * 7 + salt) % 10 < 7).collect() };
        let kinds = [bits(0), bits(3), bits(5)];
        let [a, b, c] = kinds.each_ref().map(Vec::as_slice);
        let alone = AccuracyDifference::of(a, b, resampling).unwrap();
        // The same networks again add nothing: the images stay the same.
        assert_eq!(AccuracyDifference::over_seeds(&[(a, b); 3], resampling), Some(alone));
        // A seed with the opposite gains cancels them.
        let none = AccuracyDifference::over_seeds(&[(a, b), (b, a)], resampling).unwrap();
        assert_eq!((none.difference, none.interval), (0.0, None));
        let both = AccuracyDifference::over_seeds(&[(a, b), (a, c)], resampling).unwrap();
        let mean = [b, c].map(|other| AccuracyDifference::of(a, other, resampling).unwrap().difference);
        assert!((both.difference - (mean[0] + mean[1]) / 2.0).abs() < 1e-15, "{both:?}");
        assert_eq!(AccuracyDifference::over_seeds(&[], resampling), None);
        assert_eq!(AccuracyDifference::over_seeds(&[(a, b), (a, &c[1..])], resampling), None);
    }

    #[test]
    fn equal_networks_have_no_interval() {
        let found = AccuracyDifference::of(&[true, false], &[true, false], Resampling::default()).unwrap();
        assert_eq!((found.difference, found.interval), (0.0, None));
        assert_eq!(AccuracyDifference::of(&[], &[], Resampling::default()), None);
        assert_eq!(AccuracyDifference::of(&[true], &[], Resampling::default()), None);
    }
}
