//! Image sets: where they come from, how they are read, how they are split.
//!
//! A configuration names a set; the folder that holds it is told apart from it, so that paths are no part of a run's
//! identity. What was read is known by its fingerprint.

mod augment;
mod config;
mod content;
mod coverage;
mod data_folder;
mod dataset;
mod decode;
mod embedded;
mod error;
mod files;
#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod hostile;
mod identities;
mod idx;
mod image;
mod image_folder;
mod masks;
mod normalization;
mod pool;
mod records;
mod source;

pub use augment::{AugmentConfig, AutoAugmentConfig, EvaluateConfig, RandomResizedCropConfig, TilesConfig};
pub use config::DataConfig;
pub use dataset::{Dataset, TrainCount};
pub use error::DataError;
pub use identities::IdentitiesConfig;
pub use idx::IdxConfig;
pub use image_folder::ImageFolderConfig;
pub use masks::MasksConfig;
pub use normalization::Normalization;
pub use pool::{Pool, Subset};
pub use records::RecordsConfig;
pub use source::{Objective, SourceConfig, SourceShape};

pub(crate) use config::Fit;
pub(crate) use data_folder::DataFolder;
pub(crate) use dataset::{Preparation, shuffle};
pub(crate) use decode::luma;
pub(crate) use image::{Ids, Image, Mask, Target};
