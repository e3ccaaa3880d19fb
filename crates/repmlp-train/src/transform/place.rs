//! Moves and mirrors an image, and converts it to normalised numbers.

use rand_chacha::rand_core::RngCore;
use repmlp::stream::stream;

use crate::data::{AugmentConfig, Image, Normalization};

/// How an image is moved and mirrored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shift {
    down: isize,
    right: isize,
    pub(crate) flip: bool,
}

impl Shift {
    /// No change.
    pub(crate) const NONE: Self = Self { down: 0, right: 0, flip: false };

    /// Draws the shift of an image in an epoch. Padding by `crop_padding` and cropping equals a shift by at most that
    /// many pixels.
    pub(crate) fn drawn(config: &AugmentConfig, seed: u64, epoch: u64, image: u32) -> Self {
        let mut rng = stream(seed, "augment", &[epoch, u64::from(image)]);
        let padding = config.crop_padding as isize;
        let places = 2 * config.crop_padding as u64 + 1;
        let mut offset = || (rng.next_u64() % places) as isize - padding;
        let (down, right) = (offset(), offset());
        Self { down, right, flip: config.flip && rng.next_u32() & 1 == 1 }
    }

    /// Appends a square image, moved and mirrored, as normalised numbers. Pixels from outside are black.
    pub(crate) fn append(self, image: &Image, normalization: &Normalization, numbers: &mut Vec<f32>) {
        let side = image.width;
        let inside = |at: usize, offset: isize| at.checked_add_signed(offset).filter(|&at| at < side);
        for (channel, map) in image.planes().enumerate() {
            let (mean, deviation) = (normalization.mean[channel], normalization.deviation[channel]);
            for y in 0..side {
                let row = inside(y, self.down).map(|y| &map[y * side..(y + 1) * side]);
                for x in 0..side {
                    let x = if self.flip { side - 1 - x } else { x };
                    let pixel = row.and_then(|row| inside(x, self.right).map(|x| row[x])).unwrap_or(0);
                    numbers.push((f32::from(pixel) - mean) / deviation);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(shift: Shift) -> Vec<u8> {
        let image = Image { channels: 1, height: 3, width: 3, pixels: (1..=9).collect() };
        let identity = Normalization { mean: vec![0.0], deviation: vec![1.0] };
        let mut numbers = Vec::new();
        shift.append(&image, &identity, &mut numbers);
        numbers.into_iter().map(|n| n as u8).collect()
    }

    #[test]
    fn a_crop_moves_and_a_flip_mirrors() {
        assert_eq!(changed(Shift::NONE), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(changed(Shift { flip: true, ..Shift::NONE }), [3, 2, 1, 6, 5, 4, 9, 8, 7]);
        assert_eq!(changed(Shift { down: 1, right: -1, flip: false }), [0, 4, 5, 0, 7, 8, 0, 0, 0]);
    }

    #[test]
    fn shifts_depend_on_seed_epoch_and_image_and_reach_every_place() {
        let config = AugmentConfig { crop_padding: 2, flip: true, ..AugmentConfig::default() };
        assert_eq!(Shift::drawn(&config, 0, 0, 0), Shift::drawn(&config, 0, 0, 0));
        let all: std::collections::BTreeSet<_> =
            (0..2000u32).map(|i| Shift::drawn(&config, 0, 1, i)).map(|c| (c.down, c.right, c.flip)).collect();
        assert_eq!(all.len(), 5 * 5 * 2);
    }
}
