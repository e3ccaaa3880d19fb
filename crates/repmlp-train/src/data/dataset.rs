//! A data set that is read, checked and split, and the conversion of its images into numbers.

use std::path::Path;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;
use repmlp::stream::stream;

use crate::data::config::{DataConfig, Fit};
use crate::data::coverage::{check_classes, check_judged};
use crate::data::digest_cache::DigestCache;
use crate::data::files::{Depth, Reading};
use crate::data::normalization::Normalization;
use crate::data::pool::{Images, Subset};
use crate::data::{AugmentConfig, DataError, TilesConfig};

/// A data set that is ready for use.
pub struct Dataset {
    /// Name of the data set and digest of its images.
    pub fingerprint: String,
    /// Training images.
    pub train: Subset,
    /// Validation images.
    pub validation: Subset,
    /// Test images. They are used only for the reported results.
    pub test: Subset,
    /// Number of training images.
    pub count: TrainCount,
    /// How an image becomes the network's input.
    pub(crate) preparation: Arc<Preparation>,
}

/// Number of training images, and the reasons why others are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrainCount {
    /// Images in the training part of the set.
    all: usize,
    /// Images set aside for Validation by `data.validation`.
    set_aside: usize,
    /// Images that are left, after the limit too.
    left: usize,
}

impl TrainCount {
    /// Returns the number of batches in an epoch. An incomplete batch is left out.
    ///
    /// # Errors
    /// When there is no complete batch. The error names the keys that reduce the number of images.
    pub fn batches(self, batch: usize) -> Result<u64, DataError> {
        let Self { all, set_aside, left } = self;
        if left >= batch {
            return Ok((left / batch) as u64);
        }
        let (mut facts, mut remedies) = (vec![format!("the set has {all}")], vec!["lower training.batch"]);
        if set_aside > 0 {
            facts.push(format!("data.validation sets {set_aside} of them aside"));
            remedies.push("lower data.validation");
        }
        if left < all - set_aside {
            facts.push(format!("data.train_limit keeps {left}"));
            remedies.push("raise data.train_limit");
        }
        let cause = format!("{}; {}", facts.join(", "), remedies.join(" or "));
        Err(DataError::TooFew { images: left, batch, cause })
    }
}

/// How an image becomes the network's input.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Preparation {
    /// Channels of an image.
    pub(crate) channels: usize,
    /// Height and width of the network's input.
    pub(crate) side: usize,
    pub(crate) fit: Fit,
    pub(crate) augment: AugmentConfig,
    /// Tiles for the evaluation of whole scenes, if configured.
    pub(crate) tiles: Option<TilesConfig>,
    pub(crate) normalization: Normalization,
}

impl DataConfig {
    /// Reads, checks and splits the data set.
    ///
    /// # Errors
    /// When a file is missing or damaged, or the set does not match the configuration.
    pub fn load(&self, folder: Option<&Path>, seed: u64) -> Result<Dataset, DataError> {
        self.read(folder, seed, (Depth::Headers, None))
    }

    /// Like [`DataConfig::load`], but does not read files again whose digests are known.
    ///
    /// # Errors
    /// The errors of [`DataConfig::load`].
    pub fn load_known(&self, folder: Option<&Path>, seed: u64, digests: &DigestCache) -> Result<Dataset, DataError> {
        self.read(folder, seed, (Depth::Headers, Some(digests)))
    }

    /// Does the same as [`DataConfig::load`] and decodes every image. Damage is then found before a training starts.
    ///
    /// # Errors
    /// The errors of [`DataConfig::load`].
    pub fn check(&self, folder: Option<&Path>, seed: u64) -> Result<Dataset, DataError> {
        self.read(folder, seed, (Depth::Pixels, None))
    }

    /// Like [`DataConfig::check`], but does not read files again that were decoded before and are unchanged.
    ///
    /// # Errors
    /// The errors of [`DataConfig::load`].
    pub fn check_known(&self, folder: Option<&Path>, seed: u64, digests: &DigestCache) -> Result<Dataset, DataError> {
        self.read(folder, seed, (Depth::Pixels, Some(digests)))
    }

    fn read(
        &self,
        folder: Option<&Path>,
        seed: u64,
        (depth, digests): (Depth, Option<&DigestCache>),
    ) -> Result<Dataset, DataError> {
        let raw = self.source.read(folder, Reading { pixel_limit: self.pixel_limit, depth, digests })?;
        if let Some(expected) = self.fingerprint.as_ref().filter(|expected| **expected != raw.digest) {
            return Err(DataError::Fingerprint { expected: expected.clone(), found: raw.digest });
        }
        let fingerprint = format!("{} {}", self.source.name(), raw.digest);
        check_judged(&self.source, &raw.train, "training")?;
        check_classes(&self.source, &raw.train, &self.absent_classes)?;
        let count = raw.train.images.len();
        let (all, mut test) = (self.fitted(raw.train)?, self.fitted(raw.test)?);
        let preparation = Preparation {
            channels: self.source.shape().channels,
            side: self.image_size,
            fit: self.fit(),
            augment: self.augment.clone(),
            tiles: self.evaluate.tiles.clone(),
            normalization: Normalization::of(&all),
        };
        let mut order = all.images;
        shuffle(&mut order, &mut stream(seed, "validation", &[]));
        let mut train = order.split_off(self.validation_count(order.len()));
        train.truncate(self.train_limit.unwrap_or(usize::MAX));
        test.images.truncate(self.test_limit.unwrap_or(usize::MAX));
        let part = |images| Subset { pool: Arc::clone(&all.pool), images };
        let count = TrainCount { all: count, set_aside: order.len(), left: train.len() };
        let validation = raw.validation.map(|part| self.fitted(part)).transpose()?.unwrap_or_else(|| part(order));
        let train = part(train);
        for (part, name) in [(&train, "training"), (&validation, "validation"), (&test, "test")] {
            check_judged(&self.source, part, name)?;
        }
        Ok(Dataset { fingerprint, train, validation, test, count, preparation: Arc::new(preparation) })
    }

    /// Pads the images of a part to `image_size`, or refuses them if they are larger. A part with another [`Fit`] is
    /// not changed.
    fn fitted(&self, part: Subset) -> Result<Subset, DataError> {
        if self.fit() != Fit::Padded {
            return Ok(part);
        }
        if let Images::Decoded(images) = &part.pool.images {
            let side = images.height.max(images.width);
            if side > self.image_size {
                return Err(DataError::TooLarge { side, image_size: self.image_size });
            }
        }
        Ok(part.padded_to(self.image_size))
    }
}

/// Shuffles with the Fisher–Yates algorithm. For real set sizes, the remainder of a 64-bit number favours no position
/// by more than one part in 2^40.
pub(crate) fn shuffle(items: &mut [u32], rng: &mut ChaCha8Rng) {
    for last in (1..items.len()).rev() {
        let other = (rng.next_u64() % (last as u64 + 1)) as usize;
        items.swap(last, other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(validation: f64) -> DataConfig {
        let text = format!("image_size = 32\nvalidation = {validation:?}\nsource.kind = 'fashion-mnist-5k'");
        toml::from_str(&text).unwrap()
    }

    #[test]
    fn the_embedded_set_is_the_one_that_published_numbers_come_from() {
        let data = config(0.1).load(None, 0).unwrap();
        assert_eq!((data.train.images.len(), data.validation.images.len(), data.test.images.len()), (4500, 500, 1000));
        let mut all: Vec<u32> = data.train.images.iter().chain(&data.validation.images).copied().collect();
        all.sort_unstable();
        assert_eq!(all, (0..5000).collect::<Vec<_>>());
        for class in 0..10 {
            assert_eq!(data.train.pool.labels.iter().filter(|&&l| l == class).count(), 500);
        }
        assert_eq!(data.fingerprint, FROZEN_FINGERPRINT);
        assert_eq!(config(0.1).expected_train_images(), Some(4500));
    }

    /// Fingerprint of the files in data/fashion-mnist-5k.
    const FROZEN_FINGERPRINT: &str = "Fashion-MNIST-5k 0fa7e955b14a";

    #[test]
    fn the_reasons_for_too_few_images_are_named() {
        let count = |config: DataConfig| config.load(None, 0).unwrap().count;
        assert_eq!(count(config(0.1)).batches(45).unwrap(), 100);
        let fault = |config: DataConfig| count(config).batches(5001).unwrap_err().to_string();
        assert_eq!(
            fault(config(0.0)),
            "5000 training images do not fill one batch of 5001: the set has 5000; lower training.batch"
        );
        assert_eq!(
            fault(DataConfig { train_limit: Some(7), ..config(0.99) }),
            "7 training images do not fill one batch of 5001: the set has 5000, data.validation sets 4950 of them \
             aside, data.train_limit keeps 7; lower training.batch or lower data.validation or raise data.train_limit"
        );
    }

    #[test]
    fn another_seed_gives_another_validation_split() {
        let images = |seed| config(0.1).load(None, seed).unwrap().validation.images;
        assert_eq!(images(0), images(0));
        assert_ne!(images(0), images(1));
    }

    #[test]
    fn a_wrong_fingerprint_is_refused() {
        let config = DataConfig { fingerprint: Some("00".into()), ..config(0.0) };
        assert!(matches!(config.load(None, 0), Err(DataError::Fingerprint { .. })));
    }

    #[test]
    fn images_in_memory_are_padded_only_when_nothing_resizes_them() {
        let side = |resize| {
            let mut config = config(0.0);
            config.evaluate.resize = resize;
            config.load(None, 0).unwrap().test.pool.item(0).unwrap().0.height
        };
        assert_eq!((side(None), side(Some(32))), (32, 28));
    }
}
