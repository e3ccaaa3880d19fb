//! The record format of CIFAR's binary version: label bytes, then the red, green and blue planes of a square image.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::content::Content;
use crate::data::data_folder::or_gzipped;
use crate::data::pool::{Decoded, Pool, RawSet};
use crate::data::{DataError, DataFolder};

pub(crate) const WHERE_CIFAR: &str = "The binary version is at www.cs.toronto.edu/~kriz/cifar.html";
pub(crate) const WHERE_OWN: &str = "The configuration names this set in data.source";

/// Channels of an image.
const CHANNELS: usize = 3;

/// A data set in the record format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordsConfig {
    /// Folder of the set below the data folder.
    pub name: String,
    /// Number of classes. Labels count from 0.
    pub classes: usize,
    /// Files with training images, gzipped or not.
    pub train: Vec<String>,
    /// Files with validation images. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validation: Vec<String>,
    /// Files with test images.
    pub test: Vec<String>,
    /// Label bytes before each image. The last one is the label.
    #[serde(default = "one")]
    pub label_bytes: usize,
    /// Height and width of the images.
    #[serde(default = "cifar_side")]
    pub side: usize,
}

fn one() -> usize {
    1
}

fn cifar_side() -> usize {
    32
}

impl RecordsConfig {
    pub(crate) fn cifar10() -> Self {
        Self {
            name: "CIFAR-10".to_owned(),
            classes: 10,
            train: (1..=5).map(|i| format!("data_batch_{i}.bin")).collect(),
            validation: Vec::new(),
            test: vec!["test_batch.bin".to_owned()],
            label_bytes: 1,
            side: cifar_side(),
        }
    }

    pub(crate) fn cifar100() -> Self {
        Self {
            name: "CIFAR-100".to_owned(),
            classes: 100,
            train: vec!["train.bin".to_owned()],
            validation: Vec::new(),
            test: vec!["test.bin".to_owned()],
            label_bytes: 2,
            side: cifar_side(),
        }
    }
}

/// Source of the record layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// A public data set with a known layout: a file that differs is damaged.
    Known,
    /// The configuration, which may be wrong.
    Configured,
}

impl Layout {
    fn fault(self, path: PathBuf, expected: String, found: String) -> DataError {
        match self {
            Self::Known => DataError::Damaged { path, expected, found },
            Self::Configured => DataError::Misfit { path, expected, found },
        }
    }
}

pub(crate) fn read(folder: &DataFolder, config: &RecordsConfig, layout: Layout) -> Result<RawSet, DataError> {
    let part = |files: &[String]| {
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for file in files {
            append((&mut pixels, &mut labels), folder.open(&or_gzipped(file))?, (config, layout))?;
        }
        let decoded = Decoded { channels: CHANNELS, height: config.side, width: config.side, pixels };
        Ok(Pool::decoded(decoded, labels))
    };
    for (files, key) in [(&config.train, "train"), (&config.test, "test")] {
        if files.is_empty() {
            return Err(DataError::NoFiles { set: config.name.clone(), key });
        }
    }
    let validation = if config.validation.is_empty() { None } else { Some(part(&config.validation)?) };
    Ok(RawSet::decoded(part(&config.train)?, validation, part(&config.test)?))
}

fn append(
    (pixels, labels): (&mut Vec<u8>, &mut Vec<u32>),
    mut content: Content<'_>,
    (config, layout): (&RecordsConfig, Layout),
) -> Result<(), DataError> {
    let RecordsConfig { classes, label_bytes, side, .. } = config;
    let record = label_bytes + CHANNELS * side * side;
    let path = content.path.clone();
    let whole = |size: u64| {
        let keys = format!("data.source.side = {side}, data.source.label_bytes = {label_bytes}");
        match size > 0 && size.is_multiple_of(record as u64) {
            true => Ok(()),
            false => Err(layout.fault(
                path.clone(),
                format!("a whole number of {record}-byte records ({keys})"),
                format!("{size} bytes"),
            )),
        }
    };
    content.size().map_or(Ok(()), &whole)?;
    let bytes = content.take(u64::MAX)?;
    whole(bytes.len() as u64)?;
    for (i, record) in bytes.chunks_exact(record).enumerate() {
        let (label_bytes, image) = record.split_at(*label_bytes);
        let label = label_bytes[label_bytes.len() - 1];
        if usize::from(label) >= *classes {
            let found = format!("label {label} in record {i}, counted from 0,");
            return Err(layout.fault(path, format!("labels below {classes} (data.source.classes)"), found));
        }
        labels.push(u32::from(label));
        pixels.extend_from_slice(image);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config() -> RecordsConfig {
        RecordsConfig {
            name: "own".into(),
            classes: 3,
            train: vec!["a.bin".into(), "b.bin".into()],
            validation: Vec::new(),
            test: vec!["c.bin".into()],
            label_bytes: 1,
            side: 2,
        }
    }

    fn folder_with(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        folder
    }

    fn read_from(folder: &Path) -> Result<RawSet, DataError> {
        read(&DataFolder::find(Some(folder), "own", WHERE_OWN)?, &config(), Layout::Configured)
    }

    fn record(label: u8) -> Vec<u8> {
        [vec![label], (1..=12).collect()].concat()
    }

    #[test]
    fn files_are_joined_in_order_and_need_not_be_balanced() {
        let folder =
            folder_with(&[("a.bin", [record(2), record(2)].concat()), ("b.bin", record(0)), ("c.bin", record(1))]);
        let set = read_from(folder.path()).unwrap();
        assert_eq!(set.train.pool.labels, [2, 2, 0]);
        assert_eq!(set.test.pool.item(0).unwrap().0.pixels, (1..=12).collect::<Vec<u8>>());
    }

    #[test]
    fn a_wrong_size_a_wrong_label_and_a_missing_file_are_named() {
        let fault = |a: Vec<u8>| {
            let folder = folder_with(&[("a.bin", a), ("b.bin", record(0))]);
            read_from(folder.path()).err().unwrap().to_string()
        };
        assert!(fault(vec![0; 14]).ends_with(
            "a.bin has 14 bytes where the configuration expects a whole number of 13-byte records (data.source.side = \
             2, data.source.label_bytes = 1): correct the configuration, or the file if it is incomplete"
        ));
        assert!(
            fault(record(3))
                .contains("has label 3 in record 0, counted from 0, where the configuration expects labels below 3")
        );
        assert!(fault(record(1)).contains("no c.bin or c.bin.gz in"));
    }

    #[test]
    fn packed_files_and_files_for_validation_are_read() {
        let packed = |bytes: Vec<u8>| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut encoder, &bytes).unwrap();
            encoder.finish().unwrap()
        };
        let folder = folder_with(&[
            ("a.bin.gz", packed([record(2), record(1)].concat())),
            ("b.bin", packed(record(0))),
            ("c.bin", record(1)),
            ("v.bin", [record(0), record(0)].concat()),
        ]);
        let folder = DataFolder::find(Some(folder.path()), "own", WHERE_OWN).unwrap();
        let mut config = config();
        let plain = read(&folder, &config, Layout::Configured).unwrap();
        assert_eq!((plain.train.pool.labels.as_slice(), plain.validation), (&[2, 1, 0][..], None));
        config.validation = vec!["v.bin".into()];
        let set = read(&folder, &config, Layout::Configured).unwrap();
        assert_eq!(set.validation.unwrap().pool.labels, [0, 0]);
        assert_ne!(set.digest, plain.digest);
    }
}
