//! Image files that are decoded when they are used: paths stay in memory, pixels do not.
//!
//! A set of a hundred gigabytes is read once when it is opened, for its digest and to find what is damaged, and then file
//! by file as batches are made; what the system's page cache holds is not read again.

use std::path::{Path, PathBuf};

use crate::data::decode::{self, Undecodable};
use crate::data::image::{Image, Mask};
use crate::data::{DataError, Folder};

/// Image files of one set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Files {
    root: PathBuf,
    /// Channels that every image gets.
    pub(crate) channels: usize,
    /// Below the root.
    images: Vec<String>,
    masks: Option<MaskFiles>,
}

/// Masks beside images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MaskFiles {
    /// Below the root, in the order of the images.
    pub(crate) names: Vec<String>,
    /// Ids are below it.
    pub(crate) classes: usize,
    /// Or this one, for pixels that do not count.
    pub(crate) ignore: u8,
}

/// What is known of a file without decoding it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Scanned {
    digest: blake3::Hash,
    size: (usize, usize),
}

impl Files {
    pub(crate) fn new(folder: &Folder, channels: usize, images: Vec<String>) -> Self {
        Self { root: folder.path().to_owned(), channels, images, masks: None }
    }

    pub(crate) fn with_masks(self, masks: MaskFiles) -> Self {
        Self { masks: Some(masks), ..self }
    }

    pub(crate) fn len(&self) -> usize {
        self.images.len()
    }

    /// Decodes an image.
    pub(crate) fn image(&self, index: u32) -> Result<Image, DataError> {
        let path = self.root.join(&self.images[index as usize]);
        let bytes = read(&path)?;
        decode::image(&bytes, self.channels).map_err(|fault| damaged(&path, fault))
    }

    /// Decodes an image's mask, where the set has masks.
    pub(crate) fn mask(&self, index: u32) -> Result<Option<Mask>, DataError> {
        let Some(masks) = &self.masks else { return Ok(None) };
        let path = self.root.join(&masks.names[index as usize]);
        let mut mask = decode::mask(&read(&path)?).map_err(|fault| damaged(&path, fault))?;
        for id in &mut mask.ids {
            if *id == masks.ignore {
                *id = Mask::IGNORED;
            } else if usize::from(*id) >= masks.classes {
                let expected = format!("class ids below {}, or {} to ignore", masks.classes, masks.ignore);
                return Err(DataError::Damaged { path, expected, found: id.to_string() });
            }
        }
        Ok(Some(mask))
    }

    /// Reads every file once. Adds names and contents to `hasher`; a damaged header and a mask of another size than its
    /// image are named.
    pub(crate) fn scan(&self, hasher: &mut blake3::Hasher) -> Result<(), DataError> {
        let images = scan(&self.root, &self.images, hasher)?;
        let Some(masks) = &self.masks else { return Ok(()) };
        let of_masks = scan(&self.root, &masks.names, hasher)?;
        for ((image, mask), name) in images.iter().zip(&of_masks).zip(&masks.names) {
            if image.size != mask.size {
                let text = |(height, width): (usize, usize)| format!("{width}x{height} pixels");
                let expected = format!("{}, as its image has,", text(image.size));
                return Err(DataError::Damaged { path: self.root.join(name), expected, found: text(mask.size) });
            }
        }
        Ok(())
    }
}

/// Threads that read files when a set is opened, at most: disks gain nothing from more.
const SCAN_THREADS: usize = 8;

fn scan(root: &Path, names: &[String], hasher: &mut blake3::Hasher) -> Result<Vec<Scanned>, DataError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(SCAN_THREADS);
    let share = names.len().div_ceil(threads).max(1);
    let parts = std::thread::scope(|scope| {
        let workers: Vec<_> = names.chunks(share).map(|names| scope.spawn(move || scan_part(root, names))).collect();
        workers.into_iter().map(|worker| worker.join().map_err(|panic| DataError::loader(&panic))).collect::<Vec<_>>()
    });
    let mut all = Vec::with_capacity(names.len());
    for part in parts {
        all.extend(part??);
    }
    for (name, scanned) in names.iter().zip(&all) {
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update(scanned.digest.as_bytes());
    }
    Ok(all)
}

fn scan_part(root: &Path, names: &[String]) -> Result<Vec<Scanned>, DataError> {
    let scanned = |name: &String| {
        let path = root.join(name);
        let bytes = read(&path)?;
        let size = decode::size(&bytes).map_err(|fault| damaged(&path, fault))?;
        Ok(Scanned { digest: blake3::hash(&bytes), size })
    };
    names.iter().map(scanned).collect()
}

fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    std::fs::read(path).map_err(|source| DataError::Read { path: path.to_owned(), source })
}

fn damaged(path: &Path, fault: Undecodable) -> DataError {
    DataError::Damaged { path: path.to_owned(), expected: fault.expected.to_owned(), found: fault.found }
}
