//! IDX files (the format of MNIST), gzipped or not.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::content::Content;
use crate::data::data_folder::or_gzipped;
use crate::data::pool::{Decoded, Pool, RawSet};
use crate::data::{DataError, DataFolder};

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

/// Magic numbers: unsigned bytes with three dimensions, and with one dimension.
const IMAGES: u32 = 0x0803;
const LABELS: u32 = 0x0801;

pub(crate) fn read(folder: &DataFolder, config: &IdxConfig) -> Result<RawSet, DataError> {
    let open = |named: &Option<String>, customary: &[&str]| {
        let names: Vec<&str> = named.as_ref().map_or(customary.to_vec(), |name| vec![name.as_str()]);
        folder.open(&names.into_iter().flat_map(or_gzipped).collect::<Vec<String>>())
    };
    let train_images = open(&config.train_images, &["train-images-idx3-ubyte"])?;
    let train_labels = open(&config.train_labels, &["train-labels-idx1-ubyte"])?;
    let train = pool(train_images, train_labels, config.classes)?;
    let test_images = open(&config.test_images, &["t10k-images-idx3-ubyte", "test-images-idx3-ubyte"])?;
    let test_labels = open(&config.test_labels, &["t10k-labels-idx1-ubyte", "test-labels-idx1-ubyte"])?;
    Ok(RawSet::decoded(train, None, pool(test_images, test_labels, config.classes)?))
}

/// Images and labels of a pair of files, as bytes.
pub(crate) struct Pair {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) pixels: Vec<u8>,
    pub(crate) labels: Vec<u8>,
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
