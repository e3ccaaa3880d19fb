//! Normalisation of pixels.

use crate::data::pool::{Images, Subset};

/// Normalises pixels: (pixel − mean) / deviation for each channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalization {
    /// Means, in pixel values.
    pub mean: Vec<f32>,
    /// Standard deviations, in pixel values.
    pub deviation: Vec<f32>,
}

/// The usual means of ImageNet's red, green and blue channels, as shares of 255.
const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// The usual standard deviations, as shares of 255.
const IMAGENET_DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

impl Normalization {
    /// Returns the normalisation for a training split. For images in memory, it is computed from the padded images.
    /// Image files get the values of ImageNet, since computing their statistics would decode all files.
    pub(crate) fn of(train: &Subset) -> Self {
        match &train.pool.images {
            Images::Files(files) => Self::imagenet(files.channels),
            Images::Decoded(images) => {
                // Images are summed in the order of the split. The sums are integers, so the order does not matter.
                let maps =
                    train.images.iter().flat_map(|&i| images.image(i).chunks_exact(images.height * images.width));
                Self::of_maps(maps, images.channels)
            }
        }
    }

    /// Returns the values of ImageNet. A single channel gets the mean of the three.
    fn imagenet(channels: usize) -> Self {
        let channel_values = |values: [f32; 3]| match channels {
            1 => vec![255.0 * values.iter().sum::<f32>() / 3.0],
            _ => values.map(|value| 255.0 * value).to_vec(),
        };
        Self { mean: channel_values(IMAGENET_MEAN), deviation: channel_values(IMAGENET_DEVIATION) }
    }

    /// Computes statistics of channel maps. Maps of different channels alternate.
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
        // The integer sums are exact, and f64 has enough digits for the difference of both means.
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
    fn statistics_use_only_the_chosen_images() {
        let decoded = Decoded { channels: 2, height: 1, width: 2, pixels: vec![10, 30, 7, 7, 255, 255, 255, 255] };
        let set = Subset { images: vec![0], ..Subset::all(Pool::decoded(decoded, vec![0, 1])) };
        let Normalization { mean, deviation } = Normalization::of(&set);
        assert_eq!(mean, [20.0, 7.0]);
        // (10² + 30²) / 2 − 20² = 100. A constant channel gets 1, not 0.
        assert_eq!(deviation, [10.0, 1.0]);
    }

    #[test]
    fn imagenet_statistics_have_the_known_values() {
        assert!((Normalization::imagenet(3).mean[0] - 123.675).abs() < 1e-4);
        assert!((Normalization::imagenet(1).deviation[0] - 255.0 * 0.226).abs() < 1e-4);
    }
}
