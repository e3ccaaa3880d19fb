//! Images as bytes: how they lie, how they are padded, how they become numbers, and the digest that tells sets apart.

/// Images as they were read: square, channel by channel, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    pub(crate) side: usize,
    pub(crate) channels: usize,
    pub(crate) pixels: Vec<u8>,
    pub(crate) labels: Vec<u8>,
}

impl Pool {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    pub(crate) fn image(&self, index: u32) -> &[u8] {
        let size = self.channels * self.side * self.side;
        &self.pixels[index as usize * size..][..size]
    }

    /// The same images in the middle of black squares of `side`.
    pub(crate) fn padded_to(self, side: usize) -> Self {
        if self.side == side {
            return self;
        }
        let before = (side - self.side) / 2;
        let mut pixels = vec![0; self.len() * self.channels * side * side];
        for (row, from) in self.pixels.chunks_exact(self.side).enumerate() {
            let (map, y) = (row / self.side, row % self.side);
            let start = (map * side + before + y) * side + before;
            pixels[start..start + self.side].copy_from_slice(from);
        }
        Self { side, pixels, ..self }
    }
}

/// A set as it was read.
pub(crate) struct RawSet {
    pub(crate) train: Pool,
    pub(crate) test: Pool,
}

impl RawSet {
    /// Digest of sizes, images and labels, whatever files they came in: 12 hexadecimal digits, enough to tell apart sets
    /// that were swapped by mistake.
    pub(crate) fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for pool in [&self.train, &self.test] {
            for size in [pool.len(), pool.channels, pool.side] {
                hasher.update(&(size as u64).to_le_bytes());
            }
            hasher.update(&pool.pixels);
            hasher.update(&pool.labels);
        }
        hasher.finalize().to_hex()[..12].to_owned()
    }
}

/// How pixels become numbers: (pixel − mean) / deviation for each channel, of all training images as padded.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalization {
    /// Means, in pixel values.
    pub mean: Vec<f32>,
    /// Standard deviations, in pixel values.
    pub deviation: Vec<f32>,
}

impl Normalization {
    pub(crate) fn of(pool: &Pool, channels: usize) -> Self {
        let map = pool.side * pool.side;
        let mut sums = vec![(0u64, 0u64); channels];
        for (i, values) in pool.pixels.chunks_exact(map).enumerate() {
            let (sum, squares) = &mut sums[i % channels];
            for &value in values {
                *sum += u64::from(value);
                *squares += u64::from(value) * u64::from(value);
            }
        }
        let count = (pool.len() * map) as f64;
        let mean = |&(sum, _): &(u64, u64)| sum as f64 / count;
        // Whole numbers are summed exactly, so the mean of squares cancels nothing that f64 could not hold.
        let deviation = |s: &(u64, u64)| (s.1 as f64 / count - mean(s).powi(2)).max(1.0).sqrt();
        Self {
            mean: sums.iter().map(|s| mean(s) as f32).collect(),
            deviation: sums.iter().map(|s| deviation(s) as f32).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_keeps_the_image_in_the_middle() {
        let pool = Pool { side: 2, channels: 1, pixels: vec![1, 2, 3, 4], labels: vec![0] };
        let padded = pool.padded_to(4);
        assert_eq!(padded.pixels, [0, 0, 0, 0, 0, 1, 2, 0, 0, 3, 4, 0, 0, 0, 0, 0]);
    }
}
