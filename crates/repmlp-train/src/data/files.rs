//! Image files that are decoded at each use. Memory holds their paths, not their pixels.
//!
//! Opening a set reads every file once, for its digest and to find damage. After that, files are read one by one as
//! batches are made; the operating system's page cache avoids repeated disk reads. A file that has changed since the
//! set was opened is refused: a run must use exactly the files of its fingerprint.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use repmlp_interop::{open_file, read_file, read_whole};

use crate::data::decode::{self, Undecodable};
use crate::data::digest_cache::{DigestCache, Facts, Look};
use crate::data::image::{Image, Mask};
use crate::data::{DataError, DataFolder, Ids};

/// Settings for reading a set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading<'a> {
    /// Maximum number of pixels of an image file.
    pub(crate) pixel_limit: usize,
    pub(crate) depth: Depth,
    /// Digests of files that were read before.
    pub(crate) digests: Option<&'a DigestCache>,
}

/// How much of each image file is decoded when a set is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Headers of images, and whole masks.
    Headers,
    /// Whole images and masks.
    Pixels,
}

/// Image files of one set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Files {
    root: PathBuf,
    /// Channels of every decoded image.
    pub(crate) channels: usize,
    pixel_limit: usize,
    images: Vec<Known>,
    masks: Option<Masks>,
}

/// Names of the files of a set, relative to its folder.
pub(crate) struct Names {
    pub(crate) images: Vec<String>,
    pub(crate) masks: Option<MaskFiles>,
}

/// Mask files that belong to images.
pub(crate) struct MaskFiles {
    /// Names, in the order of the images.
    pub(crate) names: Vec<String>,
    pub(crate) classes: MaskClasses,
}

/// Meaning of the numbers in masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MaskClasses {
    /// Number of classes. Class ids are below it.
    pub(crate) count: usize,
    /// Id of ignored pixels.
    pub(crate) ignore: u8,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Masks {
    files: Vec<Known>,
    /// Ids that occur in each mask.
    ids: Vec<Ids>,
    classes: MaskClasses,
}

/// A file at the time when the set was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    name: String,
    stamp: Stamp,
    digest: [u8; 8],
}

/// Metadata of a file. If it is unchanged, the content is too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) size: u64,
    /// Seconds and nanoseconds.
    pub(crate) modified: (i64, i64),
    pub(crate) changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Files {
    /// Reads every file once and adds names and contents to `hasher`. Damaged files and masks that do not fit their
    /// image are errors.
    pub(crate) fn open(
        folder: &DataFolder,
        (names, channels): (Names, usize),
        reading: Reading<'_>,
        hasher: &mut blake3::Hasher,
    ) -> Result<Self, DataError> {
        let Reading { pixel_limit, depth, digests } = reading;
        let size = |path: &Path, bytes: &[u8]| {
            let size = match depth {
                Depth::Headers => decode::size(bytes, pixel_limit),
                Depth::Pixels => decode::image(bytes, channels, pixel_limit).map(|image| (image.height, image.width)),
            };
            size.map(|size| Facts { size, ids: None }).map_err(|fault| undecodable(path, fault, pixel_limit))
        };
        let look = match depth {
            Depth::Headers => Look::Header,
            Depth::Pixels => Look::Pixels { channels },
        };
        let mut files = Self { root: folder.path().to_owned(), channels, pixel_limit, images: Vec::new(), masks: None };
        let (images, seen_images) = files.scan(names.images, hasher, (look, digests), size)?;
        files.images = images;
        if let Some(MaskFiles { names, classes }) = names.masks {
            let decoded = |path: &Path, bytes: &[u8]| {
                let mask = files.decoded_mask(path, bytes, classes)?;
                Ok(Facts { size: (mask.height, mask.width), ids: Some(Ids::of(&mask.ids)) })
            };
            let look = Look::Mask { classes: classes.count, ignore: classes.ignore };
            let (masks, seen) = files.scan(names, hasher, (look, digests), decoded)?;
            let mut pairs = seen_images.iter().zip(&seen).zip(&masks);
            if let Some(((image, mask), file)) = pairs.find(|((image, mask), _)| image.size != mask.size) {
                let path = files.root.join(&file.name);
                return Err(DataError::MaskSize { path, image: image.size, mask: mask.size });
            }
            let ids = seen.into_iter().filter_map(|facts| facts.ids).collect();
            files.masks = Some(Masks { files: masks, ids, classes });
        }
        Ok(files)
    }

    pub(crate) fn len(&self) -> usize {
        self.images.len()
    }

    /// Decodes an image.
    pub(crate) fn image(&self, index: u32) -> Result<Image, DataError> {
        let (path, bytes) = self.unchanged(&self.images[index as usize])?;
        decode::image(&bytes, self.channels, self.pixel_limit)
            .map_err(|fault| undecodable(&path, fault, self.pixel_limit))
    }

    /// Decodes the mask of an image, if the set has masks.
    pub(crate) fn mask(&self, index: u32) -> Result<Option<Mask>, DataError> {
        let Some(masks) = &self.masks else { return Ok(None) };
        let (path, bytes) = self.unchanged(&masks.files[index as usize])?;
        self.decoded_mask(&path, &bytes, masks.classes).map(Some)
    }

    /// Returns the ids that occur in the mask of an image, if the set has masks.
    pub(crate) fn ids(&self, index: u32) -> Option<Ids> {
        self.masks.as_ref().map(|masks| masks.ids[index as usize])
    }

    fn decoded_mask(&self, path: &Path, bytes: &[u8], classes: MaskClasses) -> Result<Mask, DataError> {
        let fault = |fault| undecodable(path, fault, self.pixel_limit);
        let mut mask = decode::mask(bytes, self.pixel_limit).map_err(fault)?;
        for id in &mut mask.ids {
            if *id == classes.ignore {
                *id = Mask::IGNORED;
            } else if usize::from(*id) >= classes.count {
                let MaskClasses { count, ignore } = classes;
                return Err(DataError::MaskId { path: path.to_owned(), id: *id, classes: count, ignore });
            }
        }
        Ok(mask)
    }

    /// Reads a file. It must have the same content as when the set was opened.
    fn unchanged(&self, file: &Known) -> Result<(PathBuf, Vec<u8>), DataError> {
        let path = self.root.join(&file.name);
        let (stamp, bytes) = self.content(&path)?;
        // A file with new metadata but the same content is accepted.
        if stamp != file.stamp && digits(&blake3::hash(&bytes)) != file.digest {
            return Err(DataError::ChangedFile { path });
        }
        Ok((path, bytes))
    }

    fn content(&self, path: &Path) -> Result<(Stamp, Vec<u8>), DataError> {
        let read = || {
            let (file, metadata) = open_file(path)?;
            let bytes = read_whole(file, &metadata, most_bytes(self.pixel_limit))?;
            Ok((Stamp::of(&metadata), bytes))
        };
        read().map_err(|source| DataError::Read { path: path.to_owned(), source })
    }

    /// Returns what a cache knows about a file that is still the same and within the limit of pixels.
    fn known(&self, digests: &DigestCache, name: &str, look: Look) -> Option<(Stamp, blake3::Hash, Facts)> {
        let metadata = std::fs::metadata(self.root.join(name)).ok().filter(Metadata::is_file)?;
        let stamp = Stamp::of(&metadata);
        let (digest, facts) = digests.get(&self.root, name, &stamp, look)?;
        let (h, w) = facts.size;
        h.checked_mul(w).is_some_and(|pixels| pixels <= self.pixel_limit).then_some((stamp, digest, facts))
    }

    /// Looks at each file and returns what was found. Adds names and contents to `hasher`. A file that is unchanged
    /// since it was looked at in this way is not read again.
    fn scan(
        &self,
        names: Vec<String>,
        hasher: &mut blake3::Hasher,
        (way, digests): (Look, Option<&DigestCache>),
        look: impl Fn(&Path, &[u8]) -> Result<Facts, DataError> + Sync,
    ) -> Result<(Vec<Known>, Vec<Facts>), DataError> {
        let look = |name: &String| {
            let path = self.root.join(name);
            if let Some(known) = digests.and_then(|digests| self.known(digests, name, way)) {
                return Ok(known);
            }
            let (stamp, bytes) = self.content(&path)?;
            let (digest, facts) = (blake3::hash(&bytes), look(&path, &bytes)?);
            digests.into_iter().for_each(|digests| digests.add((&self.root, name), (&stamp, way), (digest, facts)));
            Ok((stamp, digest, facts))
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(SCAN_THREADS);
        let share = names.len().div_ceil(threads).max(1);
        let part = |names: &[String]| names.iter().map(look).collect::<Result<Vec<_>, DataError>>();
        let parts = std::thread::scope(|scope| {
            let workers: Vec<_> = names.chunks(share).map(|names| scope.spawn(move || part(names))).collect();
            let join = |worker: std::thread::ScopedJoinHandle<'_, _>| {
                worker.join().map_err(|panic| DataError::loader(&*panic))
            };
            workers.into_iter().map(join).collect::<Vec<_>>()
        });
        let (mut files, mut seen) = (Vec::with_capacity(names.len()), Vec::with_capacity(names.len()));
        let mut scanned = Vec::with_capacity(names.len());
        for part in parts {
            scanned.extend(part??);
        }
        for (name, (stamp, digest, look)) in names.into_iter().zip(scanned) {
            hasher.update(&(name.len() as u64).to_le_bytes());
            hasher.update(name.as_bytes());
            hasher.update(digest.as_bytes());
            files.push(Known { name, stamp, digest: digits(&digest) });
            seen.push(look);
        }
        Ok((files, seen))
    }
}

/// Maximum number of threads that read files when a set is opened. More threads do not make disks faster.
const SCAN_THREADS: usize = 8;

/// Returns height and width of an image file.
pub(crate) fn image_size(path: &Path, pixel_limit: usize) -> Result<(usize, usize), DataError> {
    look(path, pixel_limit, |bytes| decode::size(bytes, pixel_limit))
}

/// Returns the ids in a mask file.
pub(crate) fn mask_ids(path: &Path, pixel_limit: usize) -> Result<Ids, DataError> {
    look(path, pixel_limit, |bytes| decode::mask(bytes, pixel_limit).map(|mask| Ids::of(&mask.ids)))
}

/// Reads one image file that belongs to no opened set.
fn look<T>(
    path: &Path,
    pixel_limit: usize,
    decode: impl FnOnce(&[u8]) -> Result<T, Undecodable>,
) -> Result<T, DataError> {
    let read = read_file(path, most_bytes(pixel_limit));
    let bytes = read.map_err(|source| DataError::Read { path: path.to_owned(), source })?;
    decode(&bytes).map_err(|fault| undecodable(path, fault, pixel_limit))
}

/// Returns the maximum size of an image file: uncompressed pixels with four 16-bit channels, and room for data that
/// cameras append.
fn most_bytes(pixel_limit: usize) -> u64 {
    const BESIDE: u64 = 64 << 20;
    (pixel_limit as u64).saturating_mul(8).saturating_add(BESIDE)
}

/// Returns enough bytes of a digest to notice a change.
fn digits(digest: &blake3::Hash) -> [u8; 8] {
    let mut digits = [0; 8];
    digits.copy_from_slice(&digest.as_bytes()[..8]);
    digits
}

fn undecodable(path: &Path, fault: Undecodable, limit: usize) -> DataError {
    let path = path.to_owned();
    match fault {
        Undecodable::Damaged { expected, found } => DataError::Damaged { path, expected: expected.to_owned(), found },
        Undecodable::OtherFormat { name } => DataError::OtherFormat { path, name },
        Undecodable::TooLarge { height, width } => DataError::TooManyPixels { path, height, width, limit },
        Undecodable::NoMask { found } => DataError::NoMask { path, found },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::fixture::{WHOLE, folder_with, plain_png, png_of, write};

    fn open(folder: &Path, reading: Reading) -> Result<Files, DataError> {
        let classes = MaskClasses { count: 2, ignore: 255 };
        let masks = Some(MaskFiles { names: vec!["mask.png".to_owned()], classes });
        let names = Names { images: vec!["a.png".to_owned()], masks };
        Files::open(
            &DataFolder::find(Some(folder), "own", "").unwrap(),
            (names, 1),
            reading,
            &mut blake3::Hasher::new(),
        )
    }

    fn set() -> tempfile::TempDir {
        folder_with(&[("a.png", plain_png((1, 2), 5)), ("mask.png", png_of((1, 2), 1, &[0, 1]))])
    }

    #[test]
    fn a_changed_file_is_refused_and_a_touched_one_is_not() {
        let folder = set();
        let files = open(folder.path(), WHOLE).unwrap();
        assert_eq!(files.image(0).unwrap().pixels, [5, 5]);
        // Another file with the same content and newer metadata.
        write(folder.path(), "copy", &plain_png((1, 2), 5));
        std::fs::rename(folder.path().join("copy"), folder.path().join("a.png")).unwrap();
        assert_ne!(files.content(&folder.path().join("a.png")).unwrap().0, files.images[0].stamp);
        assert_eq!(files.image(0).unwrap().pixels, [5, 5]);

        write(folder.path(), "a.png", &plain_png((1, 2), 6));
        write(folder.path(), "mask.png", &png_of((1, 2), 1, &[1, 1]));
        for (fault, name) in [(files.image(0).map(|_| ()), "a.png"), (files.mask(0).map(|_| ()), "mask.png")] {
            let text = fault.unwrap_err().to_string().replace(&folder.path().display().to_string(), "DIR");
            assert!(text.starts_with(&format!("DIR/{name} has changed since the set was read")), "{text}");
        }
        assert_eq!(open(folder.path(), WHOLE).unwrap().image(0).unwrap().pixels, [6, 6]);
    }

    #[test]
    fn a_change_that_keeps_size_and_time_of_a_file_is_noticed() {
        let folder = set();
        let files = open(folder.path(), WHOLE).unwrap();
        let path = folder.path().join("a.png");
        let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
        std::fs::write(&path, plain_png((1, 2), 6)).unwrap();
        std::fs::File::options().append(true).open(&path).unwrap().set_modified(modified).unwrap();
        let now = Stamp::of(&std::fs::metadata(&path).unwrap());
        assert_eq!((now.size, now.modified), (files.images[0].stamp.size, files.images[0].stamp.modified));
        assert!(matches!(files.image(0), Err(DataError::ChangedFile { .. })));
    }

    #[test]
    fn full_reads_find_damage_after_the_header_and_all_reads_check_the_limit() {
        let folder = set();
        let png = plain_png((1, 2), 5);
        let headers = Reading { depth: Depth::Headers, ..WHOLE };
        let few = Reading { pixel_limit: 1, ..headers };
        assert!(matches!(
            open(folder.path(), few),
            Err(DataError::TooManyPixels { height: 1, width: 2, limit: 1, .. })
        ));
        write(folder.path(), "a.png", &png[..png.len() - 20]);
        open(folder.path(), headers).unwrap();
        assert!(matches!(open(folder.path(), WHOLE), Err(DataError::Damaged { .. })));
    }

    #[test]
    fn files_with_known_digests_are_not_read_again() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "a.png", &plain_png((3, 4), 5));
        let cache = DigestCache::new(folder.path().join("digests"));
        let reading = Reading { digests: Some(&cache), ..WHOLE };
        let digest = |reading: Reading<'_>| {
            let mut hasher = blake3::Hasher::new();
            let names = Names { images: vec!["a.png".to_owned()], masks: None };
            let set = DataFolder::find(Some(folder.path()), "own", "").unwrap();
            Files::open(&set, (names, 1), reading, &mut hasher).map(|_| hasher.finalize())
        };
        let first = digest(reading).unwrap();
        // A digest that the cache holds is used, even if it is wrong: the bytes are not read.
        let set = DataFolder::find(Some(folder.path()), "own", "").unwrap();
        let path = folder.path().join("a.png");
        let stamp = Stamp::of(&std::fs::metadata(&path).unwrap());
        let look = Look::Pixels { channels: 1 };
        let (_, facts) = cache.get(set.path(), "a.png", &stamp, look).unwrap();
        cache.add((set.path(), "a.png"), (&stamp, look), (blake3::hash(b"other"), facts));
        assert_ne!(digest(reading).unwrap(), first);
        // The same size and modification time, but other bytes.
        let time = std::fs::metadata(&path).unwrap().modified().unwrap();
        std::fs::write(&path, vec![0; usize::try_from(stamp.size).unwrap()]).unwrap();
        std::fs::File::options().append(true).open(&path).unwrap().set_modified(time).unwrap();
        assert!(digest(reading).is_err(), "a changed file is read again");
    }
}
