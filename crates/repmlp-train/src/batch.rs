//! Batches of a data set: order and augmentation of each epoch, and pixels as normalised tensors.

use candle_core::{Device, Result, Tensor};
use rand_chacha::rand_core::RngCore;
use repmlp::stream::stream;

use crate::data::{AugmentConfig, Dataset, Normalization, Pool, shuffle};

/// Images (N, C, H, W) and labels (N).
pub(crate) struct Batch {
    pub(crate) images_nchw: Tensor,
    pub(crate) labels: Tensor,
}

/// The training images of one epoch in its order, the incomplete last batch left out.
pub(crate) struct TrainEpoch {
    augment: AugmentConfig,
    seed: u64,
    epoch: u64,
    order: Vec<u32>,
    batch: usize,
}

impl TrainEpoch {
    /// Epoch `epoch`, counted from 0.
    pub(crate) fn new(data: &Dataset, augment: &AugmentConfig, batch: usize, (seed, epoch): (u64, u64)) -> Self {
        let mut order = data.train.images.clone();
        shuffle(&mut order, &mut stream(seed, "order", &[epoch]));
        Self { augment: augment.clone(), seed, epoch, order, batch }
    }

    /// Batch `index` of the epoch, from the set that the epoch was made for.
    pub(crate) fn batch(&self, data: &Dataset, index: usize, device: &Device) -> Result<Batch> {
        let images = &self.order[index * self.batch..(index + 1) * self.batch];
        let pool = &data.train_pool;
        let mut numbers = Vec::with_capacity(images.len() * pool.image(0).len());
        for &image in images {
            let change = Change::drawn(&self.augment, self.seed, self.epoch, image);
            append_image(&mut numbers, pool, image, &data.normalization, change);
        }
        to_batch(numbers, images, pool, device)
    }
}

/// Images of a pool as they are, in batches of at most `size`.
pub(crate) fn plain_batches<'a>(
    images: &'a [u32],
    pool: &'a Pool,
    normalization: &'a Normalization,
    (size, device): (usize, &'a Device),
) -> impl Iterator<Item = Result<Batch>> + 'a {
    images.chunks(size).map(move |images| {
        let mut numbers = Vec::with_capacity(images.len() * pool.image(0).len());
        for &image in images {
            append_image(&mut numbers, pool, image, normalization, Change::NONE);
        }
        to_batch(numbers, images, pool, device)
    })
}

fn to_batch(numbers: Vec<f32>, images: &[u32], pool: &Pool, device: &Device) -> Result<Batch> {
    let labels: Vec<u32> = images.iter().map(|&i| u32::from(pool.labels[i as usize])).collect();
    Ok(Batch {
        images_nchw: Tensor::from_vec(numbers, (images.len(), pool.channels, pool.side, pool.side), device)?,
        labels: Tensor::from_vec(labels, images.len(), device)?,
    })
}

/// What augmentation does to one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Change {
    down: isize,
    right: isize,
    flip: bool,
}

impl Change {
    const NONE: Self = Self { down: 0, right: 0, flip: false };

    fn drawn(config: &AugmentConfig, seed: u64, epoch: u64, image: u32) -> Self {
        let mut rng = stream(seed, "augment", &[epoch, u64::from(image)]);
        let padding = config.crop_padding as isize;
        let places = 2 * config.crop_padding as u64 + 1;
        let mut offset = || (rng.next_u64() % places) as isize - padding;
        let (down, right) = (offset(), offset());
        Self { down, right, flip: config.flip && rng.next_u32() & 1 == 1 }
    }
}

/// Appends one image, moved and mirrored; what comes from outside is black.
fn append_image(numbers: &mut Vec<f32>, pool: &Pool, image: u32, normalization: &Normalization, change: Change) {
    let side = pool.side;
    let inside = |at: usize, offset: isize| at.checked_add_signed(offset).filter(|&at| at < side);
    for (channel, map) in pool.image(image).chunks_exact(side * side).enumerate() {
        let (mean, deviation) = (normalization.mean[channel], normalization.deviation[channel]);
        for y in 0..side {
            let row = inside(y, change.down).map(|y| &map[y * side..(y + 1) * side]);
            for x in 0..side {
                let x = if change.flip { side - 1 - x } else { x };
                let pixel = row.and_then(|row| inside(x, change.right).map(|x| row[x])).unwrap_or(0);
                numbers.push((f32::from(pixel) - mean) / deviation);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(change: Change) -> Vec<u8> {
        let pool = Pool { side: 3, channels: 1, pixels: (1..=9).collect(), labels: vec![0] };
        let identity = Normalization { mean: vec![0.0], deviation: vec![1.0] };
        let mut numbers = Vec::new();
        append_image(&mut numbers, &pool, 0, &identity, change);
        numbers.into_iter().map(|n| n as u8).collect()
    }

    #[test]
    fn a_crop_moves_and_a_flip_mirrors() {
        assert_eq!(changed(Change::NONE), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(changed(Change { flip: true, ..Change::NONE }), [3, 2, 1, 6, 5, 4, 9, 8, 7]);
        assert_eq!(changed(Change { down: 1, right: -1, flip: false }), [0, 4, 5, 0, 7, 8, 0, 0, 0]);
    }

    #[test]
    fn changes_depend_on_seed_epoch_and_image_and_reach_every_place() {
        let config = AugmentConfig { crop_padding: 2, flip: true };
        assert_eq!(Change::drawn(&config, 0, 0, 0), Change::drawn(&config, 0, 0, 0));
        let all: std::collections::BTreeSet<_> =
            (0..2000u32).map(|i| Change::drawn(&config, 0, 1, i)).map(|c| (c.down, c.right, c.flip)).collect();
        assert_eq!(all.len(), 5 * 5 * 2);
    }
}
