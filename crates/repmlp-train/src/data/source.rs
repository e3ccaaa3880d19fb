//! The sets that a configuration can name, and what is known of each without reading it.

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

/// An image set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum SourceConfig {
    /// 5,000 training and 1,000 test images of Fashion-MNIST, carried by the program.
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
    /// Any set in ImageNet's layout.
    ImageFolder(ImageFolderConfig),
    /// A set of people, some of whom are held out.
    Identities(IdentitiesConfig),
    /// Any set of images and masks in CamVid's layout.
    Masks(MasksConfig),
}

/// What a network learns from a set, and so what its output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objective {
    /// To name the class of an image: logits (N, classes).
    Classification,
    /// To tell whether two images show the same person: embeddings (N, E).
    Verification,
    /// To name the class of every pixel: maps of logits (N, classes, H, W).
    Segmentation,
}

/// What is known of a set without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceShape {
    /// Channels of an image.
    pub channels: usize,
    /// Classes that a network is trained to tell apart.
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

    /// Whether the program carries the set, so that no folder is needed.
    pub fn is_carried(&self) -> bool {
        matches!(self, Self::FashionMnist5k {})
    }

    /// What a network learns from the set.
    pub fn objective(&self) -> Objective {
        match self {
            Self::Identities(_) => Objective::Verification,
            Self::Masks(_) => Objective::Segmentation,
            _ => Objective::Classification,
        }
    }

    /// Name of the set, as a report shows it.
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

    pub(crate) fn read(&self, folder: Option<&Path>, reading: Reading) -> Result<RawSet, DataError> {
        let located = |name: &str, get: &str| DataFolder::find(folder, name, get);
        match self {
            Self::FashionMnist5k {} => embedded::read(),
            Self::Idx(config) => idx::read(&located(&config.name, idx::whence(&config.name))?, config),
            Self::Cifar10 {} => records::read(
                &located("cifar-10-batches-bin", records::WHERE_CIFAR)?,
                &RecordsConfig::cifar10(),
                Layout::Known,
            ),
            Self::Cifar100 {} => records::read(
                &located("cifar-100-binary", records::WHERE_CIFAR)?,
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
