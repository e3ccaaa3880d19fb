//! Data sets: where they come from, how they are read, and how they are split.
//!
//! A configuration names a data set. The folder of the set is given separately, so paths are not part of a run's
//! identity. A fingerprint identifies the data that was read.

mod augment;
mod config;
mod content;
mod coverage;
mod data_folder;
mod dataset;
mod decode;
mod detect;
mod digest_cache;
mod embedded;
mod error;
mod files;
#[cfg(test)]
pub(crate) mod fixture;
mod for_others;
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
pub use detect::{DetectError, DetectedSet, Labels, detect};
pub use digest_cache::DigestCache;
pub use error::DataError;
pub use for_others::{Preparing, TestImages};
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
