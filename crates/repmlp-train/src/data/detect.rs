//! Recognises the layout of a folder of images, for an experiment that is about to be written.
//!
//! Each layout recognises itself, next to the code that reads it. Names, sizes and labels are only hints: the
//! caller reads the set under the result, and that is the check.

use std::path::{Path, PathBuf};

use sweep_protocol::{NAME_RULE, check_name};

use crate::data::config::CUSTOMARY_PIXELS;
use crate::data::files::image_size;
use crate::data::{
    AugmentConfig, DataConfig, DataError, DataFolder, EvaluateConfig, SourceConfig, identities, idx, image_folder,
    masks, records,
};

/// A recognised set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetectedSet {
    /// The source as a configuration names it.
    pub source: SourceConfig,
    /// Size of its images in pixels. IDX and record files: the longest side of any image. Image files: the median of
    /// the shorter sides of at most 64 images.
    pub side: usize,
    /// Classes below the largest one that no training image shows. Known for IDX and record files only.
    pub absent_classes: Vec<u32>,
}

impl DetectedSet {
    pub(crate) fn new(source: SourceConfig, side: usize) -> Self {
        Self { source, side, absent_classes: Vec::new() }
    }

    /// Returns the configuration that reads the whole set as it is: without Validation, augmentation and limits.
    pub fn config(&self) -> DataConfig {
        DataConfig {
            source: self.source.clone(),
            image_size: self.side.max(1),
            validation: 0.0,
            augment: AugmentConfig::default(),
            evaluate: EvaluateConfig::default(),
            train_limit: None,
            test_limit: None,
            pixel_limit: CUSTOMARY_PIXELS,
            absent_classes: self.absent_classes.clone(),
            fingerprint: None,
        }
    }
}

/// Task that a folder of people or classes is meant for. Files do not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Labels {
    /// Labels are classes.
    Classes,
    /// Labels are people. Some of them are held out for the test.
    People,
}

/// Reason why a folder was not recognised.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    /// There is no such folder.
    #[error("there is no folder {}: name the folder that contains the images", .path.display())]
    NoFolder {
        /// The path that was given.
        path: PathBuf,
    },
    /// A file cannot be read or is damaged.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The folder has a name that a configuration cannot hold.
    #[error(
        "{path}: the folder's name {fault}, but a set is called after its folder: {NAME_RULE}",
        path = path.display()
    )]
    Name {
        /// The folder.
        path: PathBuf,
        /// Rule that the name breaks.
        fault: String,
    },
    /// There is no test set.
    #[error(
        "{path}: there is `train`, but neither `test` nor `val`: move some images of each class into `test`",
        path = path.display()
    )]
    NoTest {
        /// The folder.
        path: PathBuf,
    },
    /// Class folders are not divided into training and test set.
    #[error(
        "{path} has {folders} folders of images, but no `train`. To classify them, move the folders into `train` and \
         some images of each into the same folders below `test`. To verify people, one folder each, say --people",
        path = path.display()
    )]
    Undivided {
        /// The folder.
        path: PathBuf,
        /// Number of folders in it.
        folders: usize,
    },
    /// People need at least four folders or labels: two to train, two to test.
    #[error(
        "{path} has {people} people; at least 4 are needed, two of them for the test",
        path = path.display()
    )]
    FewPeople {
        /// The folder.
        path: PathBuf,
        /// Number of people found.
        people: usize,
    },
    /// The set has a layout in which labels are not people.
    #[error(
        "{path} has neither folders of people nor IDX files with people as labels: leave --people out",
        path = path.display()
    )]
    NoPeople {
        /// The folder.
        path: PathBuf,
    },
    /// It is not clear which IDX file is which.
    #[error(
        "{path} has IDX files, but not one pair each for training and test: expected train-images-idx3-ubyte, \
         train-labels-idx1-ubyte, and the same with `test` or `t10k` for `train`",
        path = path.display()
    )]
    IdxFiles {
        /// The folder.
        path: PathBuf,
    },
    /// The set is too small for an experiment.
    #[error("it has {train} training images of {classes} classes; an experiment needs at least 4 images of 2 classes")]
    TooSmall {
        /// Number of training images.
        train: usize,
        /// Number of classes.
        classes: usize,
    },
    /// No layout fits.
    #[error(
        "{path} has no layout that this program reads. It looks for train/<class>/*.jpg beside test/ or val/ \
         (image-folder), train/ beside trainannot/ (masks), *-images-idx3-ubyte (idx), *.bin files of CIFAR records \
         with `test` in some names (records), and with --people for one folder a person",
        path = path.display()
    )]
    Unknown {
        /// The folder.
        path: PathBuf,
    },
}

/// A folder and what is directly in it.
pub(crate) struct Listing {
    pub(crate) set: DataFolder,
    /// Name of the set.
    pub(crate) name: String,
    pub(crate) files: Vec<String>,
    pub(crate) folders: Vec<String>,
}

impl Listing {
    /// Lists the folder that a training with `--data folder` will read.
    fn of(folder: &Path) -> Result<Self, DataError> {
        // A link keeps its own name. `.` and `..` have none.
        let named = match folder.file_name() {
            Some(_) => folder.to_owned(),
            None => folder.canonicalize().map_err(|source| DataError::Read { path: folder.to_owned(), source })?,
        };
        let name = named.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let set = DataFolder::find(Some(folder), &name, "")?;
        let (files, folders) = (set.files()?, set.folders("")?);
        Ok(Self { set, name, files, folders })
    }

    /// Whether there is a folder `part`.
    pub(crate) fn has(&self, part: &str) -> bool {
        self.folders.iter().any(|name| name == part)
    }

    /// The folder, for messages.
    pub(crate) fn path(&self) -> PathBuf {
        self.set.path().to_owned()
    }

    /// Median of the shorter sides of some images of a part, in pixels.
    pub(crate) fn median_side(&self, part: &str) -> Result<usize, DataError> {
        const SAMPLE: usize = 64;
        let names = self.set.images(part)?;
        let some = names.iter().step_by(names.len().div_ceil(SAMPLE));
        let side =
            |name| image_size(&self.set.path().join(name), CUSTOMARY_PIXELS).map(|(height, width)| height.min(width));
        let mut sides = some.map(side).collect::<Result<Vec<usize>, DataError>>()?;
        sides.sort_unstable();
        Ok(sides[sides.len() / 2])
    }
}

/// Recognises the set in `folder`.
///
/// # Errors
/// When no layout fits, a part is missing, or a file cannot be read.
pub fn detect(folder: &Path, labels: Labels) -> Result<DetectedSet, DetectError> {
    if !folder.is_dir() {
        return Err(DetectError::NoFolder { path: folder.to_owned() });
    }
    let listing = Listing::of(folder)?;
    if let Some(known) = records::detect_cifar(&listing) {
        return if labels == Labels::Classes { Ok(known) } else { Err(DetectError::NoPeople { path: listing.path() }) };
    }
    check_name(&listing.name).map_err(|fault| DetectError::Name { path: listing.path(), fault: fault.to_string() })?;
    if labels == Labels::People {
        return identities::detect(&listing)?.ok_or_else(|| DetectError::NoPeople { path: listing.path() });
    }
    // Folders count more than files beside them.
    for layout in [masks::detect, image_folder::detect, idx::detect, records::detect] {
        if let Some(found) = layout(&listing)? {
            return Ok(found);
        }
    }
    let with_images = listing.folders.iter().filter(|folder| listing.set.images(folder).is_ok()).count();
    let path = listing.path();
    Err(match with_images {
        0 => DetectError::Unknown { path },
        folders => DetectError::Undivided { path, folders },
    })
}

/// Classes without a label.
pub(crate) fn absent(classes: usize, labels: &[u8]) -> Vec<u32> {
    let mut seen = [false; 256];
    labels.iter().for_each(|&label| seen[usize::from(label)] = true);
    (0..classes).filter(|&class| !seen[class]).map(|class| class as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageFolderConfig;
    use crate::data::fixture::{folder_with, plain_png, png_of};

    /// Detects the set below `own`, and reads it under what was detected.
    fn detected(files: &[(&str, Vec<u8>)], labels: Labels) -> Result<DetectedSet, DetectError> {
        let inner: Vec<(String, Vec<u8>)> = files.iter().map(|(name, b)| (format!("own/{name}"), b.clone())).collect();
        let named: Vec<(&str, Vec<u8>)> = inner.iter().map(|(name, b)| (name.as_str(), b.clone())).collect();
        let folder = folder_with(&named);
        let own = folder.path().join("own");
        let found = detect(&own, labels)?;
        found.config().check(Some(&own), 0).unwrap();
        Ok(found)
    }

    fn idx_files(labels: &[u8], side: u8) -> Vec<(&'static str, Vec<u8>)> {
        let count = labels.len() as u8;
        let images = [
            vec![0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, side, 0, 0, 0, side],
            vec![7; labels.len() * usize::from(side).pow(2)],
        ];
        let labels = [vec![0, 0, 8, 1, 0, 0, 0, count], labels.to_vec()];
        let (images, labels) = (images.concat(), labels.concat());
        vec![
            ("train-images-idx3-ubyte", images.clone()),
            ("train-labels-idx1-ubyte", labels.clone()),
            ("t10k-images-idx3-ubyte", images),
            ("t10k-labels-idx1-ubyte", labels),
        ]
    }

    fn png(side: usize) -> Vec<u8> {
        plain_png((side, side), 9)
    }

    #[test]
    fn each_layout_is_recognised_and_can_be_read() {
        let image = |name: &'static str| (name, png(20));
        let found = detected(
            &[image("train/cat/1.png"), image("train/dog/2.png"), image("val/cat/3.png"), image("val/dog/4.png")],
            Labels::Classes,
        );
        let config = ImageFolderConfig { name: "own".to_owned(), classes: 2, test: None };
        assert_eq!(found.unwrap(), DetectedSet::new(SourceConfig::ImageFolder(config), 20));

        let found = detected(&idx_files(&[0, 1, 2, 1], 12), Labels::Classes).unwrap();
        assert_eq!((found.source.shape().classes, found.side), (3, 12));
        assert!(matches!(found.source, SourceConfig::Idx(_)));

        let record = |label: u8| [vec![0, label], vec![1; 3 * 20 * 20]].concat();
        let records = [record(0), record(3), record(1), record(2)].concat();
        let found =
            detected(&[("batch_1.bin", records.clone()), ("test_batch.bin", records)], Labels::Classes).unwrap();
        let SourceConfig::Records(config) = found.source else { panic!("records") };
        assert_eq!((config.classes, config.label_bytes, config.side), (4, 2, 20));
        assert_eq!((config.train, config.test), (vec!["batch_1.bin".to_owned()], vec!["test_batch.bin".to_owned()]));

        let mask = |name: &'static str, ids: &[u8; 4]| (name, png_of((2, 2), 1, ids));
        let small = |name: &'static str| (name, png(2));
        let found = detected(
            &[
                small("train/a.png"),
                mask("trainannot/a.png", &[0, 1, 2, 255]),
                small("val/b.png"),
                mask("valannot/b.png", &[0, 1, 2, 2]),
            ],
            Labels::Classes,
        );
        assert_eq!(found.unwrap().source.shape().classes, 3);

        let people = ["a", "b", "c", "d"].map(|name| [format!("{name}/1.png"), format!("{name}/2.png")]).concat();
        let files: Vec<(&str, Vec<u8>)> = people.iter().map(|name| (name.as_str(), png(10))).collect();
        let found = detected(&files, Labels::People).unwrap();
        let SourceConfig::Identities(config) = found.source else { panic!("people") };
        assert_eq!((config.identities, config.held_out, config.channels), (4, 2, 3));
    }

    #[test]
    fn a_folder_that_is_not_recognised_says_what_to_do() {
        let image = |name: &'static str| (name, png(8));
        let refusal = |files: &[(&str, Vec<u8>)], labels| detected(files, labels).unwrap_err().to_string();
        let told = [
            (refusal(&[("notes.txt", Vec::new())], Labels::Classes), "has no layout that this program reads"),
            (refusal(&[image("cat/1.png"), image("dog/1.png")], Labels::Classes), "say --people"),
            (
                refusal(&[image("train/cat/1.png"), image("train/dog/1.png")], Labels::Classes),
                "neither `test` nor `val`",
            ),
            (
                refusal(&[image("a/1.png"), image("b/1.png"), image("c/1.png")], Labels::People),
                "has 3 people; at least 4",
            ),
        ];
        for (text, part) in told {
            assert!(text.contains(part), "{text}");
        }
    }
}
