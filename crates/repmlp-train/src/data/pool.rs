//! The images of a data set, in memory or in files, and their targets.

use std::sync::Arc;

use crate::data::DataError;
use crate::data::files::Files;
use crate::data::image::{Ids, Image, Target};

/// Images and their targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    pub(crate) images: Images,
    /// Class or identity of each image. Empty for sets with masks.
    pub(crate) labels: Vec<u32>,
}

/// Storage of images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Images {
    /// In memory, all with one size.
    Decoded(Decoded),
    /// In one file per image.
    Files(Files),
}

/// Images in memory, one after the other. Each is stored channel by channel, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decoded {
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) pixels: Vec<u8>,
}

impl Decoded {
    fn size(&self) -> usize {
        self.channels * self.height * self.width
    }

    pub(crate) fn image(&self, index: u32) -> &[u8] {
        &self.pixels[index as usize * self.size()..][..self.size()]
    }

    /// Returns the same images in the middle of black squares of `side`.
    fn padded_to(&self, side: usize) -> Self {
        let (above, before) = ((side - self.height) / 2, (side - self.width) / 2);
        let maps = self.pixels.len() / (self.height * self.width);
        let mut pixels = vec![0; maps * side * side];
        for (row, from) in self.pixels.chunks_exact(self.width).enumerate() {
            let (map, y) = (row / self.height, row % self.height);
            let start = (map * side + above + y) * side + before;
            pixels[start..start + self.width].copy_from_slice(from);
        }
        Self { channels: self.channels, height: side, width: side, pixels }
    }
}

impl Pool {
    /// Makes a pool of images in memory.
    pub(crate) fn decoded(decoded: Decoded, labels: Vec<u32>) -> Self {
        Self { images: Images::Decoded(decoded), labels }
    }

    /// Returns the number of images.
    pub fn len(&self) -> usize {
        match &self.images {
            Images::Decoded(images) => images.pixels.len() / images.size(),
            Images::Files(files) => files.len(),
        }
    }

    /// Returns whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the ids that occur in the mask of an image, if there are masks.
    pub(crate) fn ids(&self, index: u32) -> Option<Ids> {
        if let Images::Files(files) = &self.images { files.ids(index) } else { None }
    }

    /// Returns an image and its target.
    ///
    /// # Errors
    /// When its file has changed since the set was read, or cannot be read or decoded.
    pub(crate) fn item(&self, index: u32) -> Result<(Image, Target), DataError> {
        let class = || Target::Class(self.labels[index as usize]);
        match &self.images {
            Images::Decoded(images) => {
                let Decoded { channels, height, width, .. } = *images;
                Ok((Image { channels, height, width, pixels: images.image(index).to_vec() }, class()))
            }
            Images::Files(files) => {
                let mask = files.mask(index)?;
                Ok((files.image(index)?, mask.map_or_else(class, Target::Mask)))
            }
        }
    }
}

/// Some of the images of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subset {
    /// The pool.
    pub pool: Arc<Pool>,
    /// Indices of the images in the pool.
    pub images: Vec<u32>,
}

impl Subset {
    /// Returns all images of a pool.
    pub(crate) fn all(pool: Pool) -> Self {
        let images = (0..pool.len() as u32).collect();
        Self { pool: Arc::new(pool), images }
    }

    /// Pads images in memory with black to squares of `side`. They must not be larger. Images in files are not changed.
    pub(crate) fn padded_to(self, side: usize) -> Self {
        match &self.pool.images {
            Images::Decoded(images) if (images.height, images.width) != (side, side) => {
                let pool = Pool { images: Images::Decoded(images.padded_to(side)), labels: self.pool.labels.clone() };
                Self { pool: Arc::new(pool), images: self.images }
            }
            _ => self,
        }
    }

    /// Returns the labels of its images, in order.
    pub(crate) fn labels(&self) -> impl Iterator<Item = u32> {
        self.images.iter().map(|&image| self.pool.labels[image as usize])
    }

    /// Reorders the images: the first of each label, then the second of each label, and so on. A limit then keeps
    /// labels balanced.
    pub(crate) fn in_turns(self) -> Self {
        let mut seen = std::collections::BTreeMap::new();
        let mut turns: Vec<(u32, u32, u32)> = Vec::with_capacity(self.images.len());
        for (label, &image) in self.labels().zip(&self.images) {
            let turn = seen.entry(label).or_insert(0);
            turns.push((*turn, label, image));
            *turn += 1;
        }
        turns.sort_unstable();
        Self { images: turns.into_iter().map(|(_, _, image)| image).collect(), ..self }
    }
}

/// A data set as it was read.
pub(crate) struct RawSet {
    pub(crate) train: Subset,
    /// Validation images, if the set has files for them.
    pub(crate) validation: Option<Subset>,
    pub(crate) test: Subset,
    /// Digest that reveals swapped data sets.
    pub(crate) digest: String,
}

impl RawSet {
    /// Makes a set from pools in memory.
    pub(crate) fn decoded(train: Pool, validation: Option<Pool>, test: Pool) -> Self {
        let pools: Vec<&Pool> = [Some(&train), validation.as_ref(), Some(&test)].into_iter().flatten().collect();
        let digest = digest(&pools);
        Self { train: Subset::all(train), validation: validation.map(Subset::all), test: Subset::all(test), digest }
    }
}

/// Returns the digest of sizes, images and labels in memory. It does not depend on the file format.
pub(crate) fn digest(pools: &[&Pool]) -> String {
    let mut hasher = blake3::Hasher::new();
    for pool in pools {
        if let Images::Decoded(images) = &pool.images {
            let Decoded { channels, height, width, pixels } = images;
            let sides: &[usize] = if height == width { &[*height] } else { &[*height, *width] };
            for size in [pool.len(), *channels].iter().chain(sides) {
                hasher.update(&(*size as u64).to_le_bytes());
            }
            hasher.update(pixels);
            // Labels in memory come from files with one byte per label.
            hasher.update(&pool.labels.iter().map(|&label| label as u8).collect::<Vec<_>>());
        }
    }
    shortened(&hasher)
}

/// Returns the digits of a digest that are shown and compared. They suffice to notice swapped data sets.
pub(crate) fn shortened(hasher: &blake3::Hasher) -> String {
    hasher.finalize().to_hex()[..12].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_keeps_the_image_in_the_middle() {
        let square = Decoded { channels: 1, height: 2, width: 2, pixels: vec![1, 2, 3, 4] };
        assert_eq!(square.padded_to(4).pixels, [0, 0, 0, 0, 0, 1, 2, 0, 0, 3, 4, 0, 0, 0, 0, 0]);
        let flat = Decoded { channels: 2, height: 1, width: 2, pixels: vec![1, 2, 3, 4] };
        assert_eq!(flat.padded_to(2).pixels, [1, 2, 0, 0, 3, 4, 0, 0]);
    }

    #[test]
    fn turns_take_one_of_each_label() {
        let decoded = Decoded { channels: 1, height: 1, width: 1, pixels: vec![0; 5] };
        let set = Subset::all(Pool::decoded(decoded, vec![0, 0, 0, 2, 2])).in_turns();
        assert_eq!(set.images, [0, 3, 1, 4, 2]);
        assert_eq!(set.labels().collect::<Vec<_>>(), [0, 2, 0, 2, 0]);
    }
}
