//! MNIST's IDX files, gzipped or not.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::data::pool::{Decoded, Pool, RawSet};
use crate::data::{DataError, Folder};

pub(crate) const WHERE: &str = "Fashion-MNIST is Debian's package dataset-fashion-mnist, or \
     github.com/zalandoresearch/fashion-mnist";

/// Magic numbers: unsigned bytes with three dimensions, and with one.
const IMAGES: u32 = 0x0803;
const LABELS: u32 = 0x0801;

pub(crate) fn read(folder: &Folder, classes: usize) -> Result<RawSet, DataError> {
    let part = |prefixes: &[&str]| {
        let names = |rest: &str| -> Vec<String> {
            prefixes.iter().flat_map(|p| ["", ".gz"].map(|gz| format!("{p}-{rest}{gz}"))).collect()
        };
        let (images_path, images) = folder.read(&names("images-idx3-ubyte"))?;
        let (labels_path, labels) = folder.read(&names("labels-idx1-ubyte"))?;
        pool((&images_path, &images), (&labels_path, &labels), classes)
    };
    Ok(RawSet::decoded(part(&["train"])?, part(&["t10k", "test"])?))
}

/// A named file's bytes.
pub(crate) type NamedBytes<'a> = (&'a Path, &'a [u8]);

/// Images and labels of a pair of files, as bytes.
pub(crate) struct Pair {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) pixels: Vec<u8>,
    pub(crate) labels: Vec<u8>,
}

/// A pair of files, of as many labels as images.
pub(crate) fn read_pair(images: NamedBytes<'_>, labels: NamedBytes<'_>) -> Result<Pair, DataError> {
    let (sizes, pixels) = decode(images, IMAGES, 3)?;
    let (counts, label_bytes) = decode(labels, LABELS, 1)?;
    if pixels.is_empty() {
        return Err(damaged(images.0, "at least one image", "none".to_owned()));
    }
    if counts[0] != sizes[0] {
        return Err(damaged(labels.0, &format!("{} labels, one for each image", sizes[0]), counts[0].to_string()));
    }
    Ok(Pair { height: sizes[1], width: sizes[2], pixels, labels: label_bytes })
}

/// Square images and their classes, of one part.
pub(crate) fn pool(images: NamedBytes<'_>, labels: NamedBytes<'_>, classes: usize) -> Result<Pool, DataError> {
    let Pair { height, width, pixels, labels: label_bytes } = read_pair(images, labels)?;
    if height != width {
        return Err(damaged(images.0, "square images", format!("{height}x{width}")));
    }
    if let Some(at) = label_bytes.iter().position(|&label| usize::from(label) >= classes) {
        return Err(damaged(labels.0, &format!("labels below {classes}"), format!("{} at {at}", label_bytes[at])));
    }
    let decoded = Decoded { channels: 1, height, width, pixels };
    Ok(Pool::decoded(decoded, label_bytes.into_iter().map(u32::from).collect()))
}

fn damaged(path: &Path, expected: &str, found: String) -> DataError {
    DataError::Damaged { path: PathBuf::from(path), expected: expected.to_owned(), found }
}

/// Dimensions and bytes of an IDX file.
fn decode((path, bytes): NamedBytes<'_>, magic: u32, dimensions: usize) -> Result<(Vec<usize>, Vec<u8>), DataError> {
    let bytes = inflate(path, bytes)?;
    let word = |i: usize| bytes.get(4 * i..4 * i + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    let header = 4 * (dimensions + 1);
    match word(0) {
        Some(found) if found == magic => {}
        Some(found) => return Err(damaged(path, &format!("magic number {magic:#06x}"), format!("{found:#06x}"))),
        None => return Err(damaged(path, "an IDX header", format!("{} bytes", bytes.len()))),
    }
    let sizes: Option<Vec<usize>> = (1..=dimensions).map(|i| word(i).map(|size| size as usize)).collect();
    let Some(sizes) = sizes else {
        return Err(damaged(path, &format!("a header of {header} bytes"), format!("{} bytes", bytes.len())));
    };
    let product = sizes.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    let expected = product.and_then(|product| product.checked_add(header));
    match expected {
        Some(expected) if expected == bytes.len() => Ok((sizes, bytes[header..].to_vec())),
        _ => {
            let sizes = sizes.iter().map(ToString::to_string).collect::<Vec<_>>().join("x");
            Err(damaged(path, &format!("{header} bytes of header and {sizes} bytes"), format!("{} bytes", bytes.len())))
        }
    }
}

fn inflate(path: &Path, bytes: &[u8]) -> Result<Vec<u8>, DataError> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes.to_vec());
    }
    let mut inflated = Vec::new();
    flate2::read::GzDecoder::new(bytes)
        .read_to_end(&mut inflated)
        .map_err(|e| damaged(path, "a whole gzip stream", e.to_string()))?;
    Ok(inflated)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(count: u32, side: u32, bytes: usize) -> Vec<u8> {
        let header = [IMAGES, count, side, side].map(u32::to_be_bytes).concat();
        [header, vec![7; bytes]].concat()
    }

    fn labels(values: &[u8]) -> Vec<u8> {
        [[LABELS, values.len() as u32].map(u32::to_be_bytes).concat(), values.to_vec()].concat()
    }

    fn fault(images: &[u8], labels: &[u8]) -> String {
        pool((Path::new("images"), images), (Path::new("labels"), labels), 10).unwrap_err().to_string()
    }

    #[test]
    fn a_whole_pair_is_read() {
        let pool = pool((Path::new("i"), &images(2, 2, 8)), (Path::new("l"), &labels(&[0, 9])), 10).unwrap();
        assert_eq!((pool.len(), pool.item(1).unwrap().0.height, pool.labels[1]), (2, 2, 9));
    }

    #[test]
    fn damage_is_named() {
        assert!(fault(&images(2, 2, 7), &labels(&[0, 9])).contains("2x2x2 bytes"));
        assert!(fault(&images(2, 2, 9), &labels(&[0, 9])).contains("images is damaged"));
        assert!(fault(&images(2, 2, 8), &labels(&[0])).contains("2 labels"));
        assert!(fault(&images(2, 2, 8), &labels(&[0, 10])).contains("labels below 10"));
        assert!(fault(&labels(&[0]), &labels(&[0])).contains("magic number"));
        assert!(fault(&[0, 0], &labels(&[0])).contains("IDX header"));
        assert!(fault(&[0x1f, 0x8b, 8, 0, 0], &labels(&[0])).contains("gzip"));
        assert!(fault(&images(0, 2, 0), &labels(&[])).contains("at least one image"));
        assert!(fault(&images(2, 0, 0), &labels(&[0, 1])).contains("at least one image"));
        assert!(fault(&images(u32::MAX, u32::MAX, 0), &labels(&[0])).contains("damaged"));
    }
}
