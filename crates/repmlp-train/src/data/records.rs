//! The record format of CIFAR's binary version: label bytes, then red, green and blue of a square image.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::pool::{Decoded, Pool, RawSet};
use crate::data::{DataError, Folder};

pub(crate) const WHERE_CIFAR: &str = "The binary version is at www.cs.toronto.edu/~kriz/cifar.html";
pub(crate) const WHERE_OWN: &str = "The configuration names this set in data.source";

/// Channels of an image.
const CHANNELS: usize = 3;

/// A set in the record format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordsConfig {
    /// Folder of the set below the data folder.
    pub name: String,
    /// Classes; labels count from 0.
    pub classes: usize,
    /// Files with training images.
    pub train: Vec<String>,
    /// Files with test images.
    pub test: Vec<String>,
    /// Label bytes before an image; the last one counts.
    #[serde(default = "one")]
    pub label_bytes: usize,
    /// Height and width of an image.
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
            test: vec!["test.bin".to_owned()],
            label_bytes: 2,
            side: cifar_side(),
        }
    }
}

pub(crate) fn read(folder: &Folder, config: &RecordsConfig) -> Result<RawSet, DataError> {
    let part = |files: &[String]| {
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for file in files {
            let (path, bytes) = folder.read(std::slice::from_ref(file))?;
            append((&mut pixels, &mut labels), &path, &bytes, config)?;
        }
        let decoded = Decoded { channels: CHANNELS, height: config.side, width: config.side, pixels };
        Ok(Pool::decoded(decoded, labels))
    };
    for (files, key) in [(&config.train, "train"), (&config.test, "test")] {
        if files.is_empty() {
            return Err(DataError::NoFiles { set: config.name.clone(), key });
        }
    }
    Ok(RawSet::decoded(part(&config.train)?, part(&config.test)?))
}

fn append(
    (pixels, labels): (&mut Vec<u8>, &mut Vec<u32>),
    path: &Path,
    bytes: &[u8],
    config: &RecordsConfig,
) -> Result<(), DataError> {
    let damaged = |expected: String, found: String| DataError::Damaged { path: path.to_owned(), expected, found };
    let record = config.label_bytes + CHANNELS * config.side * config.side;
    if bytes.is_empty() || !bytes.len().is_multiple_of(record) {
        return Err(damaged(format!("a whole number of {record}-byte records"), format!("{} bytes", bytes.len())));
    }
    for (i, record) in bytes.chunks_exact(record).enumerate() {
        let (label_bytes, image) = record.split_at(config.label_bytes);
        let label = label_bytes[config.label_bytes - 1];
        if usize::from(label) >= config.classes {
            return Err(damaged(format!("labels below {}", config.classes), format!("{label} in record {i}")));
        }
        labels.push(u32::from(label));
        pixels.extend_from_slice(image);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> RecordsConfig {
        RecordsConfig {
            name: "own".into(),
            classes: 3,
            train: vec!["a.bin".into(), "b.bin".into()],
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
        read(&Folder::find(Some(folder), "own", WHERE_OWN)?, &config())
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
        assert!(fault(vec![0; 14]).contains("a.bin is damaged: a whole number of 13-byte records"));
        assert!(fault(record(3)).contains("labels below 3"));
        assert!(fault(record(1)).contains("no c.bin in"));
    }
}
