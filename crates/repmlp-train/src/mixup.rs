//! Mixup (arXiv 1710.09412): blends a batch with a permutation of itself.

use rand_chacha::ChaCha8Rng;
use repmlp::stream::uniform;

use crate::data::shuffle;

/// The second targets of a blended batch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mixed {
    /// Labels of the images that were blended in.
    pub(crate) labels: Vec<u32>,
    /// Share of the first image and its label, at least 0.5.
    pub(crate) share: f64,
}

/// Blends each image with another image of the batch, all with the same share.
pub(crate) fn mix(numbers: &mut [f32], labels: &[u32], alpha: f64, rng: &mut ChaCha8Rng) -> Mixed {
    // The order is random, so either of two images may be called the first. The first image gets the larger share,
    // since accuracy is measured with its label.
    let share = beta(alpha, rng);
    let share = share.max(1.0 - share);
    let mut order: Vec<u32> = (0..labels.len() as u32).collect();
    shuffle(&mut order, rng);
    let image = numbers.len() / labels.len();
    let of = |numbers: &[f32], place: u32| numbers[place as usize * image..][..image].to_vec();
    let others: Vec<f32> = order.iter().flat_map(|&place| of(numbers, place)).collect();
    for (number, other) in numbers.iter_mut().zip(others) {
        *number = share as f32 * *number + (1.0 - share) as f32 * other;
    }
    Mixed { labels: order.iter().map(|&place| labels[place as usize]).collect(), share }
}

/// Draws from Beta(α, α) for α in (0, 1], by Jöhnk's rejection method.
fn beta(alpha: f64, rng: &mut ChaCha8Rng) -> f64 {
    loop {
        // 1 − u is in (0, 1]. Both powers stay above 0 down to α = 0.05, where 2^-24 becomes 2^-480.
        let mut power = || (1.0 - f64::from(uniform(rng))).powf(1.0 / alpha);
        let (x, y) = (power(), power());
        if x + y <= 1.0 {
            return x / (x + y);
        }
    }
}

#[cfg(test)]
mod tests {
    use repmlp::stream::stream;

    use super::*;

    #[test]
    fn images_and_labels_are_blended_alike() {
        let mut rng = stream(3, "test", &[]);
        let mut numbers: Vec<f32> = vec![0.0, 0.0, 10.0, 100.0, 20.0, 200.0, 30.0, 300.0];
        let Mixed { labels, share } = mix(&mut numbers, &[0, 1, 2, 3], 0.4, &mut rng);
        assert!((0.5..=1.0).contains(&share));
        for (place, image) in numbers.chunks_exact(2).enumerate() {
            let expected = 10.0 * (share * place as f64 + (1.0 - share) * f64::from(labels[place]));
            // Three roundings of f32 values below 300: each has an error below 300 · 2^-23.
            assert!((f64::from(image[0]) - expected).abs() < 2e-4, "{image:?} {expected}");
            assert!((f64::from(image[1]) - 10.0 * expected).abs() < 2e-4, "{image:?} {expected}");
        }
        let mut sorted = labels;
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 2, 3]);
    }

    #[test]
    fn shares_have_the_moments_of_beta() {
        for alpha in [0.05, 0.2, 1.0] {
            let mut rng = stream(1, "test", &[]);
            let shares: Vec<f64> = (0..20_000).map(|_| beta(alpha, &mut rng)).collect();
            let mean = shares.iter().sum::<f64>() / 2e4;
            let variance = shares.iter().map(|share| (share - 0.5).powi(2)).sum::<f64>() / 2e4;
            let expected = 1.0 / (4.0 * (2.0 * alpha + 1.0));
            // A share deviates by at most 0.5, so the standard error of the mean of 20,000 is at most 0.0036. For the
            // squares it is smaller.
            assert!((mean - 0.5).abs() < 0.015, "{alpha}: {mean}");
            assert!((variance - expected).abs() < 0.01, "{alpha}: {variance} {expected}");
        }
    }
}
