//! Image sets: where they come from, how they are read, how they are split.
//!
//! A configuration names a set; the folder that holds it is told apart from it, so that paths are no part of a run's
//! identity. What was read is known by its fingerprint.

mod embedded;
mod error;
mod folder;
mod idx;
mod pool;
mod records;

use std::path::Path;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;
use repmlp::ConfigFault;
use repmlp::stream::stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use error::DataError;
pub use pool::{Normalization, Pool};
pub use records::RecordsConfig;

pub(crate) use folder::Folder;
pub(crate) use pool::RawSet;

/// Which images, and how they are cut and augmented.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// The set.
    pub source: SourceConfig,
    /// Side of the square images that the network sees; smaller images are padded with black around them.
    pub image_size: usize,
    /// Share of the training images that is set aside as Validation.
    #[serde(default)]
    pub validation: f64,
    /// What a training image undergoes before each use.
    #[serde(default)]
    pub augment: AugmentConfig,
    /// Use at most so many training images (after Validation is set aside, drawn by the seed).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_limit: Option<usize>,
    /// Use at most so many test images (the first of the file).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_limit: Option<usize>,
    /// Digest that the decoded images must have: the 12 digits that `repmlp-sweep show RUN` prints behind the set's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

/// An image set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum SourceConfig {
    /// 5,000 training and 1,000 test images of Fashion-MNIST, carried by the program.
    #[serde(rename = "fashion-mnist-5k")]
    FashionMnist5k {},
    /// Any set in MNIST's IDX format, gzipped or not: `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, and `t10k-` or
    /// `test-` likewise.
    Idx {
        /// Folder of the set below the data folder, such as `fashion-mnist`.
        name: String,
        /// Classes; labels count from 0.
        classes: usize,
    },
    /// CIFAR-10, binary version, in `cifar-10-batches-bin`.
    Cifar10 {},
    /// CIFAR-100 (fine labels), binary version, in `cifar-100-binary`.
    Cifar100 {},
    /// Any other set in the record format of CIFAR's binary version.
    Records(RecordsConfig),
}

/// What a training image undergoes before each use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AugmentConfig {
    /// Black pixels put around an image before a crop of the old size is taken at a random place; 0 for none.
    #[serde(default)]
    pub crop_padding: usize,
    /// Mirror every second image, by chance, left to right.
    #[serde(default)]
    pub flip: bool,
}

/// What is known of a set without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceShape {
    /// Channels of an image.
    pub channels: usize,
    /// Classes.
    pub classes: usize,
    /// Height and width of an image, where every copy of the set has the same.
    pub side: Option<usize>,
    /// Training images, where every copy of the set has as many.
    pub train_images: Option<usize>,
}

impl SourceConfig {
    /// What is known of the set without reading it.
    pub fn shape(&self) -> SourceShape {
        let grey = |classes, side, train_images| SourceShape { channels: 1, classes, side, train_images };
        let color = |classes, side, train_images| SourceShape { channels: 3, classes, side: Some(side), train_images };
        match self {
            Self::FashionMnist5k {} => grey(10, Some(28), Some(5_000)),
            Self::Idx { classes, .. } => grey(*classes, None, None),
            Self::Cifar10 {} => color(10, 32, Some(50_000)),
            Self::Cifar100 {} => color(100, 32, Some(50_000)),
            Self::Records(config) => color(config.classes, config.side, None),
        }
    }

    /// Name of the set, as a report shows it.
    pub fn name(&self) -> &str {
        match self {
            Self::FashionMnist5k {} => "Fashion-MNIST-5k",
            Self::Idx { name, .. } => name,
            Self::Cifar10 {} => "CIFAR-10",
            Self::Cifar100 {} => "CIFAR-100",
            Self::Records(config) => &config.name,
        }
    }

    fn read(&self, folder: Option<&Path>) -> Result<RawSet, DataError> {
        let located = |name: &str, get: &str| Folder::find(folder, name, get);
        match self {
            Self::FashionMnist5k {} => embedded::read(),
            Self::Idx { name, classes } => idx::read(&located(name, idx::WHERE)?, *classes),
            Self::Cifar10 {} => {
                records::read(&located("cifar-10-batches-bin", records::WHERE_CIFAR)?, &RecordsConfig::cifar10())
            }
            Self::Cifar100 {} => {
                records::read(&located("cifar-100-binary", records::WHERE_CIFAR)?, &RecordsConfig::cifar100())
            }
            Self::Records(config) => records::read(&located(&config.name, records::WHERE_OWN)?, config),
        }
    }
}

impl DataConfig {
    pub(crate) fn faults(&self) -> Vec<ConfigFault> {
        let mut faults = Vec::new();
        let mut check = |ok: bool, key: &str, message: String| {
            if !ok {
                faults.push(ConfigFault::new(format!("data.{key}"), message));
            }
        };
        check((1..=1024).contains(&self.image_size), "image_size", "must be between 1 and 1024".into());
        check(
            (0.0..1.0).contains(&self.validation),
            "validation",
            "must be in [0, 1): a share of the training images".into(),
        );
        check(self.augment.crop_padding <= self.image_size, "augment.crop_padding", "must not exceed the image".into());
        check(self.train_limit != Some(0), "train_limit", "must be at least 1".into());
        check(self.test_limit != Some(0), "test_limit", "must be at least 1".into());
        if let SourceConfig::Records(RecordsConfig { label_bytes, side, .. }) = &self.source {
            check((1..=16).contains(label_bytes), "source.label_bytes", "must be between 1 and 16".into());
            check((1..=1024).contains(side), "source.side", "must be between 1 and 1024".into());
        }
        let SourceShape { classes, side, .. } = self.source.shape();
        if let Some(side) = side {
            let message = format!("images of {side}x{side} do not fit: raise it to at least {side}");
            check(side <= self.image_size, "image_size", message);
        }
        check((2..=256).contains(&classes), "source.classes", format!("must be between 2 and 256, not {classes}"));
        faults
    }

    /// Training images of an epoch, where that is known without reading the set.
    pub fn expected_train_images(&self) -> Option<usize> {
        let all = self.source.shape().train_images?;
        let left = all - validation_count(all, self.validation);
        Some(self.train_limit.map_or(left, |limit| left.min(limit)))
    }

    /// Reads, checks, pads and splits the set.
    ///
    /// # Errors
    /// When a file is missing or damaged, or the set is not what the configuration says.
    pub fn load(&self, folder: Option<&Path>, seed: u64) -> Result<Dataset, DataError> {
        let raw = self.source.read(folder)?;
        let digest = raw.digest();
        if let Some(expected) = self.fingerprint.as_ref().filter(|expected| **expected != digest) {
            return Err(DataError::Fingerprint { expected: expected.clone(), found: digest });
        }
        let fingerprint = format!("{} {digest}", self.source.name());
        let shape = self.source.shape();
        for part in [&raw.train, &raw.test] {
            if part.side > self.image_size {
                return Err(DataError::TooLarge { side: part.side, image_size: self.image_size });
            }
        }
        let train = raw.train.padded_to(self.image_size);
        let normalization = Normalization::of(&train, shape.channels);
        let mut order: Vec<u32> = (0..train.len() as u32).collect();
        shuffle(&mut order, &mut stream(seed, "validation", &[]));
        let mut train_images = order.split_off(validation_count(train.len(), self.validation));
        train_images.truncate(self.train_limit.unwrap_or(usize::MAX));
        let test = raw.test.padded_to(self.image_size);
        let test_images = (0..test.len().min(self.test_limit.unwrap_or(usize::MAX)) as u32).collect();
        Ok(Dataset {
            channels: shape.channels,
            side: self.image_size,
            normalization,
            fingerprint,
            train: Subset { images: train_images },
            validation: Subset { images: order },
            test: Subset { images: test_images },
            train_pool: train,
            test_pool: test,
        })
    }
}

fn validation_count(images: usize, share: f64) -> usize {
    (images as f64 * share).round() as usize
}

/// Fisher–Yates. The remainder of a 64-bit number favours no place by more than one part in 2^40 for any real set.
pub(crate) fn shuffle(items: &mut [u32], rng: &mut ChaCha8Rng) {
    for last in (1..items.len()).rev() {
        let other = (rng.next_u64() % (last as u64 + 1)) as usize;
        items.swap(last, other);
    }
}

/// A set ready for use.
pub struct Dataset {
    /// Channels of an image.
    pub channels: usize,
    /// Height and width of an image.
    pub side: usize,
    /// How pixels become numbers.
    pub normalization: Normalization,
    /// Name of the set and digest of its decoded images.
    pub fingerprint: String,
    /// Images that gradients come from, in `train_pool`.
    pub train: Subset,
    /// Images set aside, in `train_pool`.
    pub validation: Subset,
    /// Images that only the report sees, in `test_pool`.
    pub test: Subset,
    /// Images of the training files.
    pub train_pool: Pool,
    /// Images of the test files.
    pub test_pool: Pool,
}

/// Some images of a pool.
pub struct Subset {
    /// Their places in the pool.
    pub images: Vec<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(validation: f64) -> DataConfig {
        DataConfig {
            source: SourceConfig::FashionMnist5k {},
            image_size: 32,
            validation,
            augment: AugmentConfig::default(),
            train_limit: None,
            test_limit: None,
            fingerprint: None,
        }
    }

    #[test]
    fn the_embedded_set_is_the_one_that_published_numbers_come_from() {
        let data = config(0.1).load(None, 0).unwrap();
        assert_eq!((data.train.images.len(), data.validation.images.len(), data.test.images.len()), (4500, 500, 1000));
        let mut all: Vec<u32> = data.train.images.iter().chain(&data.validation.images).copied().collect();
        all.sort_unstable();
        assert_eq!(all, (0..5000).collect::<Vec<_>>());
        for class in 0..10 {
            assert_eq!(data.train_pool.labels.iter().filter(|&&l| l == class).count(), 500);
        }
        assert_eq!(data.fingerprint, FROZEN_FINGERPRINT);
        assert_eq!(config(0.1).expected_train_images(), Some(4500));
    }

    /// Of the files in data/fashion-mnist-5k.
    const FROZEN_FINGERPRINT: &str = "Fashion-MNIST-5k 0fa7e955b14a";

    #[test]
    fn another_seed_cuts_another_validation_split() {
        let images = |seed| config(0.1).load(None, seed).unwrap().validation.images;
        assert_eq!(images(0), images(0));
        assert_ne!(images(0), images(1));
    }

    #[test]
    fn a_wrong_fingerprint_is_refused() {
        let config = DataConfig { fingerprint: Some("00".into()), ..config(0.0) };
        assert!(matches!(config.load(None, 0), Err(DataError::Fingerprint { .. })));
    }
}
