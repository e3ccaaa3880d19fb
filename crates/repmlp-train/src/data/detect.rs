//! Recognises the layout of a folder of images, for an experiment that is about to be written.
//!
//! Guesses from names, sizes and labels alone. Reading the set under the guessed configuration is the check.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use repmlp_interop::open_file;
use sweep_protocol::{NAME_RULE, check_name};

use crate::data::content::Content;
use crate::data::data_folder::or_gzipped;
use crate::data::decode;
use crate::data::files::undecodable;
use crate::data::identities::IdentitiesConfig;
use crate::data::idx::IdxConfig;
use crate::data::image::Ids;
use crate::data::image_folder::ImageFolderConfig;
use crate::data::masks::MasksConfig;
use crate::data::records::RecordsConfig;
use crate::data::{DataError, DataFolder, SourceConfig};

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
    fn new(source: SourceConfig, side: usize) -> Self {
        Self { source, side, absent_classes: Vec::new() }
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
        "{path} is a set of the kind `{kind}`, whose labels are not people: leave --people out",
        path = path.display()
    )]
    NoPeople {
        /// The folder.
        path: PathBuf,
        /// Kind of the set in a configuration.
        kind: &'static str,
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

/// Largest number of image files whose size is looked at.
const SAMPLE: usize = 64;

/// Largest side of an image in record files that is tried.
const MOST_RECORD_SIDE: usize = 512;

/// Recognises the set in `folder`.
///
/// # Errors
/// When no layout fits, a part is missing, or a file cannot be read.
pub fn detect(folder: &Path, labels: Labels) -> Result<DetectedSet, DetectError> {
    // A link keeps its own name. `.` and `..` have none.
    let named = match folder.file_name() {
        Some(_) => folder.to_owned(),
        None => {
            let fault = |source| DataError::Read { path: folder.to_owned(), source };
            std::fs::canonicalize(folder).map_err(fault)?
        }
    };
    let name = named.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // The same folder that a training will read.
    let set = DataFolder::find(Some(folder), &name, "")?;
    let (files, folders) = (set.files()?, set.folders("")?);
    let path = set.path().to_owned();
    let found = match known_benchmark(&set, &folders) {
        Some(known) => Some(known),
        None => {
            check_name(&name).map_err(|fault| DetectError::Name { path: path.clone(), fault: fault.to_string() })?;
            match labels {
                Labels::Classes => classes(&set, &name, (&files, &folders))?,
                Labels::People => people(&set, &name, (&files, &folders))?,
            }
        }
    };
    let Some(found) = found else {
        let with_images = folders.iter().filter(|folder| set.images(folder).is_ok()).count();
        return Err(match with_images {
            0 => DetectError::Unknown { path },
            folders => DetectError::Undivided { path, folders },
        });
    };
    let kind = match found.source {
        SourceConfig::Identities(_) => return Ok(found),
        SourceConfig::Masks(_) => "masks",
        SourceConfig::Records(_) => "records",
        SourceConfig::Cifar10 {} => "cifar10",
        SourceConfig::Cifar100 {} => "cifar100",
        _ => return Ok(found),
    };
    if labels == Labels::People { Err(DetectError::NoPeople { path, kind }) } else { Ok(found) }
}

/// Recognises a set of classes or masks. Folders count more than files beside them.
fn classes(
    set: &DataFolder,
    name: &str,
    (files, folders): (&[String], &[String]),
) -> Result<Option<DetectedSet>, DetectError> {
    let has = |part: &str| folders.iter().any(|name| name == part);
    if has("train") {
        return if has("trainannot") { masks(set, name).map(Some) } else { image_folder(set, name).map(Some) };
    }
    if files.iter().any(|name| is_idx(name)) {
        return idx(set, name, files).map(Some);
    }
    records(set, name, files)
}

/// A set in ImageNet's layout.
fn image_folder(set: &DataFolder, name: &str) -> Result<DetectedSet, DetectError> {
    let classes = set.folders("train")?.len();
    let holds_classes = |part: &str| set.folders(part).is_ok_and(|folders| !folders.is_empty());
    let test = match (holds_classes("test"), holds_classes("val")) {
        (false, false) => return Err(DetectError::NoTest { path: set.path().to_owned() }),
        // Where both hold classes, `val` is left to the user.
        (true, true) => Some("test".to_owned()),
        _ => None,
    };
    let source = SourceConfig::ImageFolder(ImageFolderConfig { name: name.to_owned(), classes, test });
    Ok(DetectedSet::new(source, median_side(set, "train")?))
}

/// CIFAR in its binary version, in `folder` or one folder below.
fn known_benchmark(set: &DataFolder, folders: &[String]) -> Option<DetectedSet> {
    let here = |folder: &str| folders.iter().any(|name| name == folder) || set.path().ends_with(folder);
    let source = match (here("cifar-10-batches-bin"), here("cifar-100-binary")) {
        (true, _) => SourceConfig::Cifar10 {},
        (false, true) => SourceConfig::Cifar100 {},
        (false, false) => return None,
    };
    Some(DetectedSet::new(source, 32))
}

fn is_idx(name: &str) -> bool {
    name.trim_end_matches(".gz").ends_with("idx3-ubyte")
}

/// A set of classes in MNIST's format.
fn idx(set: &DataFolder, name: &str, files: &[String]) -> Result<DetectedSet, DetectError> {
    let pick = |parts: [&str; 2], kind: &str| {
        let fits = |file: &&String| parts.iter().any(|part| file.contains(part)) && file.contains(kind);
        let mut found = files.iter().filter(fits);
        match (found.next(), found.next()) {
            (Some(only), None) => Ok(only.clone()),
            _ => Err(DetectError::IdxFiles { path: set.path().to_owned() }),
        }
    };
    let (train, test) = (["train", "train"], ["test", "t10k"]);
    let (train_images, train_labels) = (pick(train, "idx3-ubyte")?, pick(train, "idx1-ubyte")?);
    let (test_images, test_labels) = (pick(test, "idx3-ubyte")?, pick(test, "idx1-ubyte")?);
    // Magic number and count come before the labels, one byte each.
    let labels =
        |file: &String| Ok::<_, DataError>(open(set, file)?.take(u64::MAX)?.into_iter().skip(8).collect::<Vec<u8>>());
    let (learned, tested) = (labels(&train_labels)?, labels(&test_labels)?);
    let classes = learned.iter().chain(&tested).max().map_or(0, |&last| usize::from(last) + 1);
    let mut side = 0;
    for file in [&train_images, &test_images] {
        // Magic number, count, height, width: four bytes each.
        let header = open(set, file)?.take(16)?;
        let sizes = header.chunks_exact(4).skip(2).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize);
        side = sizes.fold(side, usize::max);
    }
    // Customary names need not be in the configuration.
    let unless = |file: String, customary: &[&str]| {
        let plain = file.trim_end_matches(".gz");
        if customary.contains(&plain) { None } else { Some(file.clone()) }
    };
    let source = SourceConfig::Idx(IdxConfig {
        name: name.to_owned(),
        classes,
        train_images: unless(train_images, &["train-images-idx3-ubyte"]),
        train_labels: unless(train_labels, &["train-labels-idx1-ubyte"]),
        test_images: unless(test_images, &["t10k-images-idx3-ubyte", "test-images-idx3-ubyte"]),
        test_labels: unless(test_labels, &["t10k-labels-idx1-ubyte", "test-labels-idx1-ubyte"]),
    });
    Ok(DetectedSet { source, side, absent_classes: absent(classes, learned.into_iter()) })
}

fn open(set: &DataFolder, file: &String) -> Result<Content<'static>, DataError> {
    set.open(std::slice::from_ref(file))
}

/// Classes without a label.
fn absent(classes: usize, labels: impl Iterator<Item = u8>) -> Vec<u32> {
    let mut seen = [false; 256];
    labels.for_each(|label| seen[usize::from(label)] = true);
    (0..classes).filter(|&class| !seen[class]).map(|class| class as u32).collect()
}

/// A set in the record format of CIFAR. Its side and label bytes follow from the sizes of the files, its classes from
/// the labels.
fn records(set: &DataFolder, name: &str, files: &[String]) -> Result<Option<DetectedSet>, DetectError> {
    let is_records = |name: &&String| name.trim_end_matches(".gz").ends_with(".bin");
    let (test, train): (Vec<String>, Vec<String>) =
        files.iter().filter(is_records).cloned().partition(|name| name.to_lowercase().contains("test"));
    if test.is_empty() || train.is_empty() {
        return Ok(None);
    }
    let read =
        |files: &[String]| files.iter().map(|file| open(set, file)?.take(u64::MAX)).collect::<Result<Vec<_>, _>>();
    let (learned, tested) = (read(&train)?, read(&test)?);
    let all = || learned.iter().chain(&tested);
    let fits = |&(label_bytes, side): &(usize, usize)| {
        let record = label_bytes + 3 * side * side;
        all().all(|bytes| !bytes.is_empty() && bytes.len().is_multiple_of(record))
    };
    let labels = |parts: &[Vec<u8>], (label_bytes, side): (usize, usize)| {
        let record = label_bytes + 3 * side * side;
        let of = move |bytes: &Vec<u8>| bytes.chunks_exact(record).map(|r| r[label_bytes - 1]).collect::<Vec<u8>>();
        parts.iter().flat_map(of).collect::<Vec<u8>>()
    };
    let last = |fit: (usize, usize)| [labels(&learned, fit), labels(&tested, fit)].concat().into_iter().max();
    // A wrong size reads pixels as labels, and these reach high values. Of equal ones the largest side is the least
    // likely to fit by chance.
    let candidates = (4..=MOST_RECORD_SIDE).rev().flat_map(|side| [(1, side), (2, side)]).filter(fits);
    let Some(fit) = candidates.min_by_key(|&fit| last(fit)) else { return Ok(None) };
    let (label_bytes, side) = fit;
    let classes = last(fit).map_or(0, |last| usize::from(last) + 1);
    let absent_classes = absent(classes, labels(&learned, fit).into_iter());
    let config =
        RecordsConfig { name: name.to_owned(), classes, train, validation: Vec::new(), test, label_bytes, side };
    Ok(Some(DetectedSet { source: SourceConfig::Records(config), side, absent_classes }))
}

/// Images with masks. The classes are the ids of the training masks, except 255.
fn masks(set: &DataFolder, name: &str) -> Result<DetectedSet, DetectError> {
    let has_masks = |part: &str| set.has(part) && set.has(&format!("{part}annot"));
    let folders = |part: &str| vec![part.to_owned()];
    let (validation, test) = match (has_masks("test"), has_masks("val")) {
        (false, false) => return Err(DetectError::NoTest { path: set.path().to_owned() }),
        (true, true) => (folders("val"), folders("test")),
        (true, false) => (Vec::new(), folders("test")),
        (false, true) => (Vec::new(), folders("val")),
    };
    let mut ids = Ids::default();
    for mask in set.images("trainannot")? {
        let path = set.path().join(mask);
        let decoded = decode::mask(&read(&path)?, PIXELS).map_err(|fault| undecodable(&path, fault, PIXELS))?;
        ids = ids.with(Ids::of(&decoded.ids));
    }
    let classes = ids.classes().max().map_or(0, |last| last as usize + 1);
    let config = MasksConfig { name: name.to_owned(), classes, ignore: 255, train: folders("train"), validation, test };
    Ok(DetectedSet::new(SourceConfig::Masks(config), median_side(set, "train")?))
}

/// A set of people: one folder each, possibly below `train` and `test`, or IDX files with people as labels.
fn people(
    set: &DataFolder,
    name: &str,
    (files, folders): (&[String], &[String]),
) -> Result<Option<DetectedSet>, DetectError> {
    let has = |part: &str| folders.iter().any(|name| name == part);
    if has("trainannot") {
        return masks(set, name).map(Some);
    }
    if let Some(images) = files.iter().find(|file| is_idx(file)) {
        // The one pair that a training reads.
        let labels = images.trim_end_matches(".gz").replace("images-idx3", "labels-idx1");
        let bytes = set.open(&or_gzipped(&labels))?.take(u64::MAX)?;
        let people = bytes.iter().skip(8).collect::<BTreeSet<_>>().len();
        let header = open(set, images)?.take(16)?;
        let sizes = header.chunks_exact(4).skip(2).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize);
        let source = people_source(set, name, (people, (people / 5).max(2)), 1)?;
        return Ok(Some(DetectedSet::new(source, sizes.max().unwrap_or(0))));
    }
    if folders.is_empty() {
        return records(set, name, files);
    }
    let test = ["test", "val"].into_iter().find(|part| has("train") && has(part));
    let (all, held_out, first) = match test {
        Some(test) => {
            let (trained, held_out) = (set.folders("train")?, set.folders(test)?.len());
            (trained.len() + held_out, held_out, "train".to_owned())
        }
        None => (folders.len(), (folders.len() / 5).max(2), folders[0].clone()),
    };
    let source = people_source(set, name, (all, held_out), 3)?;
    Ok(Some(DetectedSet::new(source, median_side(set, &first)?)))
}

fn people_source(
    set: &DataFolder,
    name: &str,
    (identities, held_out): (usize, usize),
    channels: usize,
) -> Result<SourceConfig, DetectError> {
    if held_out < 2 || identities < held_out + 2 {
        return Err(DetectError::FewPeople { path: set.path().to_owned(), people: identities });
    }
    Ok(SourceConfig::Identities(IdentitiesConfig { name: name.to_owned(), identities, held_out, channels }))
}

/// Largest number of pixels of an image that is looked at.
const PIXELS: usize = 1 << 26;

/// Median of the shorter sides of some images of a part.
fn median_side(set: &DataFolder, part: &str) -> Result<usize, DetectError> {
    let names = set.images(part)?;
    let mut sides = Vec::new();
    for name in names.iter().step_by(names.len().div_ceil(SAMPLE)) {
        let path = set.path().join(name);
        let size = decode::size(&read(&path)?, PIXELS);
        let (height, width) = size.map_err(|fault| undecodable(&path, fault, PIXELS))?;
        sides.push(height.min(width));
    }
    sides.sort_unstable();
    Ok(sides[sides.len() / 2])
}

fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    let fault = |source| DataError::Read { path: path.to_owned(), source };
    let (mut file, _) = open_file(path).map_err(fault)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(fault)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataConfig;
    use crate::data::fixture::{folder_with, plain_png, png_of};

    /// Detects the set below `own`, and reads it under what was detected.
    fn detected(files: &[(&str, Vec<u8>)], labels: Labels) -> Result<DetectedSet, DetectError> {
        let inner: Vec<(String, Vec<u8>)> = files.iter().map(|(name, b)| (format!("own/{name}"), b.clone())).collect();
        let named: Vec<(&str, Vec<u8>)> = inner.iter().map(|(name, b)| (name.as_str(), b.clone())).collect();
        let folder = folder_with(&named);
        let own = folder.path().join("own");
        let found = detect(&own, labels)?;
        let side = found.side.max(8);
        let config =
            serde_json::json!({ "source": found.source, "image_size": side, "absent_classes": found.absent_classes });
        let config: DataConfig = serde_json::from_value(config).unwrap();
        config.check(Some(&own), 0).unwrap();
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
