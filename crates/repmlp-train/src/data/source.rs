//! The data sets that a configuration can name, and their properties that are known without reading them.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::files::Reading;
use crate::data::identities::{self, IdentitiesConfig};
use crate::data::idx::{self, IdxConfig};
use crate::data::image_folder::{self, ImageFolderConfig};
use crate::data::masks::{self, MasksConfig};
use crate::data::pool::RawSet;
use crate::data::records::{self, Layout, RecordsConfig};
use crate::data::{DataError, DataFolder, embedded};

/// A data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum SourceConfig {
    /// 5,000 training and 1,000 test images of Fashion-MNIST, included in the program.
    #[serde(rename = "fashion-mnist-5k")]
    FashionMnist5k {},
    /// Any set in MNIST's IDX format.
    Idx(IdxConfig),
    /// CIFAR-10, binary version, in `cifar-10-batches-bin`.
    Cifar10 {},
    /// CIFAR-100 (fine labels), binary version, in `cifar-100-binary`.
    Cifar100 {},
    /// Any other set in the record format of CIFAR's binary version.
    Records(RecordsConfig),
    /// Any set in the layout of ImageNet.
    ImageFolder(ImageFolderConfig),
    /// A set of people. Some of the people are held out.
    Identities(IdentitiesConfig),
    /// Any set of images and masks in the layout of CamVid.
    Masks(MasksConfig),
}

/// What a network learns from a set. It determines the network's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objective {
    /// The class of an image: logits (N, classes).
    Classification,
    /// Whether two images show the same person: embeddings (N, E).
    Verification,
    /// The class of every pixel: maps of logits (N, classes, H, W).
    Segmentation,
}

/// Properties of a set that are known without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceShape {
    /// Channels of the images.
    pub channels: usize,
    /// Number of classes in the training set.
    pub classes: usize,
    /// Height and width of the images, if they are fixed for the set.
    pub side: Option<usize>,
    /// Number of training images, if it is fixed for the set.
    pub train_images: Option<usize>,
}

impl SourceConfig {
    /// Returns the properties that are known without reading the set.
    pub fn shape(&self) -> SourceShape {
        let grey = |classes, side, train_images| SourceShape { channels: 1, classes, side, train_images };
        let unread = |channels, classes| SourceShape { channels, classes, side: None, train_images: None };
        let color = |classes, side, train_images| SourceShape { channels: 3, classes, side: Some(side), train_images };
        match self {
            Self::FashionMnist5k {} => grey(10, Some(28), Some(5_000)),
            Self::Idx(config) => grey(config.classes, None, None),
            Self::Cifar10 {} => color(10, 32, Some(50_000)),
            Self::Cifar100 {} => color(100, 32, Some(50_000)),
            Self::Records(config) => color(config.classes, config.side, None),
            Self::ImageFolder(config) => unread(image_folder::CHANNELS, config.classes),
            Self::Identities(config) => unread(config.channels, config.classes()),
            Self::Masks(config) => unread(masks::CHANNELS, config.classes),
        }
    }

    /// Returns whether the set is included in the program, so that no folder is needed.
    pub fn is_carried(&self) -> bool {
        matches!(self, Self::FashionMnist5k {})
    }

    /// Returns what a network learns from the set.
    pub fn objective(&self) -> Objective {
        match self {
            Self::Identities(_) => Objective::Verification,
            Self::Masks(_) => Objective::Segmentation,
            _ => Objective::Classification,
        }
    }

    /// Returns the name of the set for reports.
    pub fn name(&self) -> &str {
        match self {
            Self::FashionMnist5k {} => "Fashion-MNIST-5k",
            Self::Idx(config) => &config.name,
            Self::Cifar10 {} => "CIFAR-10",
            Self::Cifar100 {} => "CIFAR-100",
            Self::Records(config) => &config.name,
            Self::ImageFolder(config) => &config.name,
            Self::Identities(config) => &config.name,
            Self::Masks(config) => &config.name,
        }
    }

    pub(crate) fn read(&self, folder: Option<&Path>, reading: Reading<'_>) -> Result<RawSet, DataError> {
        let located = |name: &str, get: &str| DataFolder::find(folder, name, get);
        match self {
            Self::FashionMnist5k {} => embedded::read(),
            Self::Idx(config) => idx::read(&located(&config.name, idx::whence(&config.name))?, config),
            Self::Cifar10 {} => records::read(
                &located(records::CIFAR10_FOLDER, records::WHERE_CIFAR)?,
                &RecordsConfig::cifar10(),
                Layout::Known,
            ),
            Self::Cifar100 {} => records::read(
                &located(records::CIFAR100_FOLDER, records::WHERE_CIFAR)?,
                &RecordsConfig::cifar100(),
                Layout::Known,
            ),
            Self::Records(config) => {
                records::read(&located(&config.name, records::WHERE_OWN)?, config, Layout::Configured)
            }
            Self::ImageFolder(config) => {
                image_folder::read(&located(&config.name, image_folder::WHERE)?, config, reading)
            }
            Self::Identities(config) => identities::read(&located(&config.name, identities::WHERE)?, config, reading),
            Self::Masks(config) => masks::read(&located(&config.name, masks::WHERE)?, config, reading),
        }
    }
}
