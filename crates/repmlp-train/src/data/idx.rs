//! IDX files (the format of MNIST), gzipped or not.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::content::Content;
use crate::data::data_folder::or_gzipped;
use crate::data::detect::{Listing, absent};
use crate::data::pool::{Decoded, Pool, RawSet};
use crate::data::{DataError, DataFolder, DetectError, DetectedSet, SourceConfig};

const WHERE: &str = "An IDX set has the files train-images-idx3-ubyte and train-labels-idx1-ubyte, and the same with \
     t10k- or test-. Other file names can be set in data.source.train_images and so on";

const WHERE_FASHION: &str = "Fashion-MNIST is in Debian's package dataset-fashion-mnist, or at \
     github.com/zalandoresearch/fashion-mnist";

/// Returns where to get the set with this name.
pub(crate) fn whence(name: &str) -> &'static str {
    if name.starts_with("fashion-mnist") { WHERE_FASHION } else { WHERE }
}

/// Any set in MNIST's IDX format, gzipped or not. Default file names: `train-images-idx3-ubyte` and
/// `train-labels-idx1-ubyte`, and for the test set the same names with `t10k-` or `test-`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdxConfig {
    /// Folder of the set below the data folder, such as `fashion-mnist`.
    pub name: String,
    /// Number of classes. Labels count from 0.
    pub classes: usize,
    /// File with training images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_images: Option<String>,
    /// File with training labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_labels: Option<String>,
    /// File with test images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_images: Option<String>,
    /// File with test labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_labels: Option<String>,
}

/// Customary names of the files.
const TRAIN_IMAGES: [&str; 1] = ["train-images-idx3-ubyte"];
const TRAIN_LABELS: [&str; 1] = ["train-labels-idx1-ubyte"];
const TEST_IMAGES: [&str; 2] = ["t10k-images-idx3-ubyte", "test-images-idx3-ubyte"];
const TEST_LABELS: [&str; 2] = ["t10k-labels-idx1-ubyte", "test-labels-idx1-ubyte"];

/// Endings of the names of both files of a pair.
pub(crate) const IMAGES_ENDING: &str = "images-idx3-ubyte";
pub(crate) const LABELS_ENDING: &str = "labels-idx1-ubyte";

/// Magic numbers: unsigned bytes with three dimensions, and with one dimension.
const IMAGES: u32 = 0x0803;
const LABELS: u32 = 0x0801;

pub(crate) fn read(folder: &DataFolder, config: &IdxConfig) -> Result<RawSet, DataError> {
    let open = |named: &Option<String>, customary: &[&str]| {
        let names: Vec<&str> = named.as_ref().map_or(customary.to_vec(), |name| vec![name.as_str()]);
        folder.open(&names.into_iter().flat_map(or_gzipped).collect::<Vec<String>>())
    };
    let train_images = open(&config.train_images, &TRAIN_IMAGES)?;
    let train_labels = open(&config.train_labels, &TRAIN_LABELS)?;
    let train = pool(train_images, train_labels, config.classes)?;
    let test_images = open(&config.test_images, &TEST_IMAGES)?;
    let test_labels = open(&config.test_labels, &TEST_LABELS)?;
    Ok(RawSet::decoded(train, None, pool(test_images, test_labels, config.classes)?))
}

/// Recognises one pair of files each for training and test, by `train`, and by `test` or `t10k`, in their names.
pub(crate) fn detect(listing: &Listing) -> Result<Option<DetectedSet>, DetectError> {
    if !listing.files.iter().any(|name| is_images(name)) {
        return Ok(None);
    }
    let pick = |parts: &[&str], is_kind: fn(&str) -> bool| {
        let fits = |file: &&String| parts.iter().any(|part| file.contains(part)) && is_kind(file);
        let mut found = listing.files.iter().filter(fits);
        match (found.next(), found.next()) {
            (Some(only), None) => Ok(only.clone()),
            _ => Err(DetectError::IdxFiles { path: listing.path() }),
        }
    };
    let open = |file: &String| listing.set.open(std::slice::from_ref(file));
    let part = |parts: &[&str]| {
        let (images, labels) = (pick(parts, is_images)?, pick(parts, is_labels)?);
        let pair = read_pair(open(&images)?, open(&labels)?)?;
        Ok::<_, DetectError>((images, labels, pair))
    };
    let (train_images, train_labels, train) = part(&["train"])?;
    let (test_images, test_labels, test) = part(&["test", "t10k"])?;
    let classes = train.labels.iter().chain(&test.labels).max().map_or(0, |&last| usize::from(last) + 1);
    // Customary names need not be in the configuration.
    let unless_customary = |file: String, customary: &[&str]| {
        let is_customary = customary.contains(&file.trim_end_matches(".gz"));
        if is_customary { None } else { Some(file) }
    };
    let source = SourceConfig::Idx(IdxConfig {
        name: listing.name.clone(),
        classes,
        train_images: unless_customary(train_images, &TRAIN_IMAGES),
        train_labels: unless_customary(train_labels, &TRAIN_LABELS),
        test_images: unless_customary(test_images, &TEST_IMAGES),
        test_labels: unless_customary(test_labels, &TEST_LABELS),
    });
    let side = train.side().max(test.side());
    Ok(Some(DetectedSet { source, side, absent_classes: absent(classes, &train.labels) }))
}

/// Whether this is the name of a file of images.
pub(crate) fn is_images(name: &str) -> bool {
    name.trim_end_matches(".gz").ends_with(IMAGES_ENDING)
}

fn is_labels(name: &str) -> bool {
    name.trim_end_matches(".gz").ends_with(LABELS_ENDING)
}

/// Images and labels of a pair of files, as bytes.
pub(crate) struct Pair {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) pixels: Vec<u8>,
    pub(crate) labels: Vec<u8>,
}

impl Pair {
    /// Longer side of an image.
    pub(crate) fn side(&self) -> usize {
        self.height.max(self.width)
    }
}

/// Reads a pair of files. Both must have the same number of items.
pub(crate) fn read_pair(mut images: Content<'_>, mut labels: Content<'_>) -> Result<Pair, DataError> {
    // Labels first: the file is small and gives the number of images.
    let (counts, label_bytes) = decode(&mut labels, LABELS, 1)?;
    let (sizes, pixels) = decode(&mut images, IMAGES, 3)?;
    if pixels.is_empty() {
        return Err(damaged(&images, "at least one image", "none".to_owned()));
    }
    if counts[0] != sizes[0] {
        return Err(damaged(&labels, &format!("{} labels, one for each image", sizes[0]), counts[0].to_string()));
    }
    Ok(Pair { height: sizes[1], width: sizes[2], pixels, labels: label_bytes })
}

/// Reads square images and their classes.
pub(crate) fn pool(images: Content<'_>, labels: Content<'_>, classes: usize) -> Result<Pool, DataError> {
    let (images_path, labels_path) = (images.path.clone(), labels.path.clone());
    let Pair { height, width, pixels, labels } = read_pair(images, labels)?;
    if height != width {
        let (found, expected) =
            (format!("images of {width}x{height}"), "square images (data.source.kind = \"idx\")".to_owned());
        return Err(DataError::Misfit { path: images_path, found, expected });
    }
    if let Some(at) = labels.iter().position(|&label| usize::from(label) >= classes) {
        let found = format!("label {} in place {at}, counted from 0,", labels[at]);
        let expected = format!("labels below {classes} (data.source.classes)");
        return Err(DataError::Misfit { path: labels_path, found, expected });
    }
    let decoded = Decoded { channels: 1, height, width, pixels };
    Ok(Pool::decoded(decoded, labels.into_iter().map(u32::from).collect()))
}

fn damaged(content: &Content<'_>, expected: &str, found: String) -> DataError {
    DataError::Damaged { path: content.path.clone(), expected: expected.to_owned(), found }
}

/// Returns dimensions and bytes of an IDX file.
fn decode(content: &mut Content<'_>, magic: u32, dimensions: usize) -> Result<(Vec<usize>, Vec<u8>), DataError> {
    let size = content.size();
    let header = content.take(4 * (dimensions as u64 + 1))?;
    let words: Vec<u32> = header.as_chunks().0.iter().map(|word| u32::from_be_bytes(*word)).collect();
    match words.first() {
        Some(found) if *found == magic => {}
        Some(found) => return Err(damaged(content, &format!("magic number {magic:#06x}"), format!("{found:#06x}"))),
        None => return Err(damaged(content, "an IDX header", format!("{} bytes", header.len()))),
    }
    if words.len() != dimensions + 1 {
        let expected = format!("a header of {} bytes", 4 * (dimensions + 1));
        return Err(damaged(content, &expected, format!("{} bytes", header.len())));
    }
    let sizes: Vec<usize> = words[1..].iter().map(|&size| size as usize).collect();
    let expected = sizes.iter().try_fold(1u64, |product, &size| product.checked_mul(size as u64));
    let fault = |content: &Content<'_>, found: String| {
        let sizes = sizes.iter().map(ToString::to_string).collect::<Vec<_>>().join("x");
        damaged(content, &format!("{} bytes of header and {sizes} bytes", header.len()), found)
    };
    let Some(expected) = expected.filter(|expected| content.size().is_none_or(|left| left == *expected)) else {
        let found = size.map_or("fewer bytes".to_owned(), |size| format!("{size} bytes"));
        return Err(fault(content, found));
    };
    let bytes = content.take(expected)?;
    if bytes.len() as u64 != expected || !content.take(1)?.is_empty() {
        let found = if bytes.len() as u64 == expected {
            "more bytes".to_owned()
        } else {
            format!("{} bytes after the header", bytes.len())
        };
        return Err(fault(content, found));
    }
    Ok((sizes, bytes))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::data::fixture::folder_with;

    fn images(count: u32, side: u32, bytes: usize) -> Vec<u8> {
        let header = [IMAGES, count, side, side].map(u32::to_be_bytes).concat();
        [header, vec![7; bytes]].concat()
    }

    fn labels(values: &[u8]) -> Vec<u8> {
        [[LABELS, values.len() as u32].map(u32::to_be_bytes).concat(), values.to_vec()].concat()
    }

    fn of_bytes(images: &[u8], labels: &[u8]) -> Result<Pool, DataError> {
        let content = |name, bytes| Content::of_bytes(Path::new(name), bytes).unwrap();
        pool(content("images", images), content("labels", labels), 10)
    }

    fn fault(images: &[u8], labels: &[u8]) -> String {
        of_bytes(images, labels).unwrap_err().to_string()
    }

    #[test]
    fn a_whole_pair_is_read() {
        let pool = of_bytes(&images(2, 2, 8), &labels(&[0, 9])).unwrap();
        assert_eq!((pool.len(), pool.item(1).unwrap().0.height, pool.labels[1]), (2, 2, 9));
    }

    #[test]
    fn damage_is_named() {
        assert!(fault(&images(2, 2, 7), &labels(&[0, 9])).contains("2x2x2 bytes"));
        assert!(fault(&images(2, 2, 9), &labels(&[0, 9])).contains("images is damaged"));
        assert!(fault(&images(2, 2, 8), &labels(&[0])).contains("2 labels"));
        assert!(fault(&images(2, 2, 8), &labels(&[0, 10])).contains("labels has label 10 in place 1"));
        assert!(fault(&labels(&[0]), &labels(&[0])).contains("magic number"));
        assert!(fault(&[0, 0], &labels(&[0])).contains("IDX header"));
        assert!(fault(&[0x1f, 0x8b, 8, 0, 0], &labels(&[0])).contains("gzip"));
        assert!(fault(&images(0, 2, 0), &labels(&[])).contains("at least one image"));
        assert!(fault(&images(2, 0, 0), &labels(&[0, 1])).contains("at least one image"));
        assert!(fault(&images(u32::MAX, u32::MAX, 0), &labels(&[0])).contains("damaged"));
    }

    #[test]
    fn files_can_be_named_and_packed() {
        let mut config = IdxConfig {
            name: "own".into(),
            classes: 10,
            train_images: Some("letters.gz".into()),
            train_labels: None,
            test_images: None,
            test_labels: Some("own-labels".into()),
        };
        let files = [
            ("letters", images(1, 2, 4)),
            ("train-labels-idx1-ubyte", labels(&[3])),
            ("test-images-idx3-ubyte", images(1, 2, 4)),
            ("own-labels", labels(&[4])),
        ];
        let folder = folder_with(&files);
        let folder = DataFolder::find(Some(folder.path()), "own", WHERE).unwrap();
        let set = read(&folder, &config).unwrap();
        assert_eq!((set.train.pool.labels[0], set.test.pool.labels[0]), (3, 4));
        config.test_images = Some("none".into());
        assert!(read(&folder, &config).err().unwrap().to_string().starts_with("no none or none.gz in "));
    }
}
