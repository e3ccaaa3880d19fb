//! The record format of CIFAR's binary version: label bytes, then the red, green and blue planes of a square image.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::content::Content;
use crate::data::data_folder::or_gzipped;
use crate::data::detect::{Listing, absent};
use crate::data::pool::{Decoded, Pool, RawSet};
use crate::data::{DataError, DataFolder, DetectError, DetectedSet, SourceConfig};

/// Folders of both CIFAR sets, as their archives unpack.
pub(crate) const CIFAR10_FOLDER: &str = "cifar-10-batches-bin";
pub(crate) const CIFAR100_FOLDER: &str = "cifar-100-binary";

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

/// Recognises CIFAR itself, in the folder or one folder below.
pub(crate) fn detect_cifar(listing: &Listing) -> Option<DetectedSet> {
    let here = |folder: &str| listing.has(folder) || listing.set.path().ends_with(folder);
    let source = match (here(CIFAR10_FOLDER), here(CIFAR100_FOLDER)) {
        (true, _) => SourceConfig::Cifar10 {},
        (false, true) => SourceConfig::Cifar100 {},
        (false, false) => return None,
    };
    Some(DetectedSet::new(source, cifar_side()))
}

/// Recognises `.bin` files, some with `test` in their names. The record size follows from the sizes of the files.
pub(crate) fn detect(listing: &Listing) -> Result<Option<DetectedSet>, DetectError> {
    const MOST_SIDE: usize = 512;
    let is_records = |name: &&String| name.trim_end_matches(".gz").ends_with(".bin");
    let (test, train): (Vec<String>, Vec<String>) =
        listing.files.iter().filter(is_records).cloned().partition(|name| name.to_lowercase().contains("test"));
    if test.is_empty() || train.is_empty() {
        return Ok(None);
    }
    let content = |file: &String| listing.set.open(std::slice::from_ref(file))?.take(u64::MAX);
    let learned = train.iter().map(content).collect::<Result<Vec<_>, _>>()?;
    let tested = test.iter().map(content).collect::<Result<Vec<_>, _>>()?;
    let all = || learned.iter().chain(&tested);
    let fits = |record: &Record| all().all(|bytes| !bytes.is_empty() && bytes.len().is_multiple_of(record.bytes()));
    // A wrong size reads pixels as labels, and these reach high values. Of equal ones the largest side is the least
    // likely to fit by chance.
    let records = (4..=MOST_SIDE).rev().flat_map(|side| [1, 2].map(|label_bytes| Record { label_bytes, side }));
    let last = |record: &Record| all().flat_map(|bytes| record.labels(bytes)).max();
    let Some(record) = records.filter(fits).min_by_key(last) else { return Ok(None) };
    let classes = last(&record).map_or(0, |last| usize::from(last) + 1);
    let labels: Vec<u8> = learned.iter().flat_map(|bytes| record.labels(bytes)).collect();
    let (name, Record { label_bytes, side }) = (listing.name.clone(), record);
    let config = RecordsConfig { name, classes, train, validation: Vec::new(), test, label_bytes, side };
    Ok(Some(DetectedSet { source: SourceConfig::Records(config), side, absent_classes: absent(classes, &labels) }))
}

/// Form of a record: label bytes, then the planes of a square colour image.
#[derive(Clone, Copy)]
struct Record {
    label_bytes: usize,
    side: usize,
}

impl Record {
    fn bytes(self) -> usize {
        self.label_bytes + CHANNELS * self.side * self.side
    }

    /// The labels in a file; the last label byte of each record counts.
    fn labels(self, bytes: &[u8]) -> impl Iterator<Item = u8> {
        bytes.chunks_exact(self.bytes()).map(move |record| record[self.label_bytes - 1])
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
    let record = Record { label_bytes: *label_bytes, side: *side }.bytes();
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
