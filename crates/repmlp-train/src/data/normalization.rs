//! How pixels become numbers.

use crate::data::pool::{Images, Subset};

/// How pixels become numbers: (pixel − mean) / deviation for each channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalization {
    /// Means, in pixel values.
    pub mean: Vec<f32>,
    /// Standard deviations, in pixel values.
    pub deviation: Vec<f32>,
}

/// Means of ImageNet's red, green and blue as everybody uses them, as shares of 255.
const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// Standard deviations likewise.
const IMAGENET_DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

impl Normalization {
    /// Of a training split: its own statistics where its images lie in memory (as padded), ImageNet's where they lie in
    /// files, since those would all have to be decoded first.
    pub(crate) fn of(train: &Subset) -> Self {
        match &train.pool.images {
            Images::Files(files) => Self::imagenet(files.channels),
            Images::Decoded(images) => {
                // A pool that is whole is summed as it lies: the order of a sum of whole numbers does not matter.
                let maps =
                    train.images.iter().flat_map(|&i| images.image(i).chunks_exact(images.height * images.width));
                Self::of_maps(maps, images.channels)
            }
        }
    }

    /// ImageNet's; a single channel gets the means of the three.
    fn imagenet(channels: usize) -> Self {
        let channel_values = |values: [f32; 3]| match channels {
            1 => vec![255.0 * values.iter().sum::<f32>() / 3.0],
            _ => values.map(|value| 255.0 * value).to_vec(),
        };
        Self { mean: channel_values(IMAGENET_MEAN), deviation: channel_values(IMAGENET_DEVIATION) }
    }

    /// Of maps that take turns between the channels.
    fn of_maps<'a>(maps: impl Iterator<Item = &'a [u8]>, channels: usize) -> Self {
        let mut sums = vec![(0u64, 0u64, 0u64); channels];
        for (i, values) in maps.enumerate() {
            let (sum, squares, count) = &mut sums[i % channels];
            *count += values.len() as u64;
            for &value in values {
                *sum += u64::from(value);
                *squares += u64::from(value) * u64::from(value);
            }
        }
        let mean = |&(sum, _, count): &(u64, u64, u64)| sum as f64 / count as f64;
        // Whole numbers are summed exactly, so the mean of squares cancels nothing that f64 could not hold.
        let deviation = |s: &(u64, u64, u64)| (s.1 as f64 / s.2 as f64 - mean(s).powi(2)).max(1.0).sqrt();
        Self {
            mean: sums.iter().map(|s| mean(s) as f32).collect(),
            deviation: sums.iter().map(|s| deviation(s) as f32).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::pool::{Decoded, Pool};

    #[test]
    fn statistics_are_of_the_chosen_images_alone() {
        let decoded = Decoded { channels: 2, height: 1, width: 2, pixels: vec![10, 30, 7, 7, 255, 255, 255, 255] };
        let set = Subset { images: vec![0], ..Subset::all(Pool::decoded(decoded, vec![0, 1])) };
        let Normalization { mean, deviation } = Normalization::of(&set);
        assert_eq!(mean, [20.0, 7.0]);
        // (10² + 30²) / 2 − 20² = 100; a flat channel keeps 1, not 0.
        assert_eq!(deviation, [10.0, 1.0]);
    }

    #[test]
    fn imagenets_numbers_are_the_known_ones() {
        assert!((Normalization::imagenet(3).mean[0] - 123.675).abs() < 1e-4);
        assert!((Normalization::imagenet(1).deviation[0] - 255.0 * 0.226).abs() < 1e-4);
    }
}
