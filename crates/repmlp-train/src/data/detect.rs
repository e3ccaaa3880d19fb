//! Recognises the layout of a folder of images, for an experiment that is about to be written.
//!
//! Guesses from names, sizes and labels alone. Reading the set under the guessed configuration is the check.

use std::io::Read;
use std::path::{Path, PathBuf};

use repmlp_interop::open_file;
use sweep_protocol::{NAME_RULE, check_name};

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
    /// Median of the shorter sides of its images, in pixels (of image files: of at most 64 of them).
    pub short_side: usize,
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
        "{path} has {people} people; at least 4 are needed: the last fifth (at least 2) is held out for the test",
        path = path.display()
    )]
    FewPeople {
        /// The folder.
        path: PathBuf,
        /// Number of people found.
        people: usize,
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
const MOST_RECORD_SIDE: u64 = 512;

/// Recognises the set in `folder`.
///
/// # Errors
/// When no layout fits, a part is missing, or a file cannot be read.
pub fn detect(folder: &Path, labels: Labels) -> Result<DetectedSet, DetectError> {
    let fault = |source| DataError::Read { path: folder.to_owned(), source };
    let path = std::fs::canonicalize(folder).map_err(fault)?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    check_name(&name).map_err(|fault| DetectError::Name { path: path.clone(), fault: fault.to_string() })?;
    let set = DataFolder::find(Some(folder), "", "")?;
    let (files, folders) = (set.files()?, set.folders("")?);
    if let Some(known) = known_benchmark(&set, &folders) {
        return Ok(known);
    }
    if files.iter().any(|name| is_idx(name)) {
        return idx(&set, name, labels, &files);
    }
    if let Some(found) = records(&set, &name, &files)? {
        return Ok(found);
    }
    let has = |part: &str| folders.iter().any(|name| name == part);
    if has("train") && has("trainannot") {
        return masks(&set, name);
    }
    if labels == Labels::People {
        return people(&set, name, &folders);
    }
    if has("train") {
        if !has("test") && !has("val") {
            return Err(DetectError::NoTest { path: set.path().to_owned() });
        }
        let classes = set.folders("train")?.len();
        // Where both are there and hold classes, `val` is left to the user.
        let test = (has("test") && has("val")).then(|| "test".to_owned());
        let source = SourceConfig::ImageFolder(ImageFolderConfig { name, classes, test });
        return Ok(DetectedSet { source, short_side: median_side(&set, "train")? });
    }
    let with_images = folders.iter().filter(|folder| set.images(folder).is_ok()).count();
    let path = set.path().to_owned();
    Err(if with_images > 0 {
        DetectError::Undivided { path, folders: with_images }
    } else {
        DetectError::Unknown { path }
    })
}

/// CIFAR in its binary version, in `folder` or one folder below.
fn known_benchmark(set: &DataFolder, folders: &[String]) -> Option<DetectedSet> {
    let here = |folder: &str| folders.iter().any(|name| name == folder) || set.path().ends_with(folder);
    let source = match (here("cifar-10-batches-bin"), here("cifar-100-binary")) {
        (true, _) => SourceConfig::Cifar10 {},
        (false, true) => SourceConfig::Cifar100 {},
        (false, false) => return None,
    };
    Some(DetectedSet { source, short_side: 32 })
}

fn is_idx(name: &str) -> bool {
    name.trim_end_matches(".gz").ends_with("idx3-ubyte")
}

/// A set in MNIST's format. Its labels are classes or people.
fn idx(set: &DataFolder, name: String, labels: Labels, files: &[String]) -> Result<DetectedSet, DetectError> {
    let mut seen = Ids::default();
    for file in files.iter().filter(|name| name.contains("idx1-ubyte")) {
        // Magic number and count come before the labels, one byte each.
        let bytes = set.open(std::slice::from_ref(file))?.take(u64::MAX)?;
        seen = seen.with(Ids::of(bytes.get(8..).unwrap_or_default()));
    }
    let source = match labels {
        Labels::Classes => {
            let classes = seen.classes().max().map_or(0, |last| last as usize + 1);
            let [train_images, train_labels, test_images, test_labels] = [None, None, None, None];
            SourceConfig::Idx(IdxConfig { name, classes, train_images, train_labels, test_images, test_labels })
        }
        Labels::People => {
            let people = seen.classes().count() + usize::from(seen.has_ignored());
            people_source(set, name, people, 1)?
        }
    };
    let mut sides = Vec::new();
    for file in files.iter().filter(|name| is_idx(name)) {
        // Magic number, count, height, width: four bytes each.
        let header = set.open(std::slice::from_ref(file))?.take(16)?;
        let sizes = header.chunks_exact(4).skip(2).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize);
        sides.extend(sizes);
    }
    Ok(DetectedSet { source, short_side: sides.into_iter().min().unwrap_or(0) })
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
    let mut contents = Vec::new();
    for file in train.iter().chain(&test) {
        contents.push(set.open(std::slice::from_ref(file))?.take(u64::MAX)?);
    }
    let fits = |label_bytes: u64, side: u64| {
        let record = label_bytes + 3 * side * side;
        contents.iter().all(|bytes| !bytes.is_empty() && (bytes.len() as u64).is_multiple_of(record))
    };
    // 32 is by far the most frequent side. Small sides divide many sizes by chance, so large ones are tried first.
    let sides = std::iter::once(32).chain((4..=MOST_RECORD_SIDE).rev());
    let Some((label_bytes, side)) =
        sides.flat_map(|side| [(1, side), (2, side)]).find(|&(label_bytes, side)| fits(label_bytes, side))
    else {
        return Ok(None);
    };
    let record = (label_bytes + 3 * side * side) as usize;
    let label = label_bytes as usize - 1;
    let labels = contents.iter().flat_map(|bytes| bytes.chunks_exact(record)).map(|record| record[label]);
    let classes = labels.max().map_or(0, |last| usize::from(last) + 1);
    let (label_bytes, side) = (label_bytes as usize, side as usize);
    let config =
        RecordsConfig { name: name.to_owned(), classes, train, validation: Vec::new(), test, label_bytes, side };
    Ok(Some(DetectedSet { source: SourceConfig::Records(config), short_side: side }))
}

/// Images with masks; the classes are the ids of the masks, except 255.
fn masks(set: &DataFolder, name: String) -> Result<DetectedSet, DetectError> {
    let mut ids = Ids::default();
    for mask in set.images("trainannot")? {
        let path = set.path().join(mask);
        let decoded = decode::mask(&read(&path)?, PIXELS).map_err(|fault| undecodable(&path, fault, PIXELS))?;
        ids = ids.with(Ids::of(&decoded.ids));
    }
    let classes = ids.classes().max().map_or(0, |last| last as usize + 1);
    let folders = |part: &str| vec![part.to_owned()];
    let both = set.has("test") && set.has("val");
    let validation = if both { folders("val") } else { Vec::new() };
    let (train, test) = (folders("train"), folders(if set.has("test") { "test" } else { "val" }));
    let source = SourceConfig::Masks(MasksConfig { name, classes, ignore: 255, train, validation, test });
    Ok(DetectedSet { source, short_side: median_side(set, "train")? })
}

/// One folder a person.
fn people(set: &DataFolder, name: String, folders: &[String]) -> Result<DetectedSet, DetectError> {
    let first = folders.first().ok_or_else(|| DetectError::Unknown { path: set.path().to_owned() })?;
    let short_side = median_side(set, first)?;
    Ok(DetectedSet { source: people_source(set, name, folders.len(), 3)?, short_side })
}

/// The last fifth of the people is held out.
fn people_source(
    set: &DataFolder,
    name: String,
    identities: usize,
    channels: usize,
) -> Result<SourceConfig, DetectError> {
    let held_out = (identities / 5).max(2);
    if identities < held_out + 2 {
        return Err(DetectError::FewPeople { path: set.path().to_owned(), people: identities });
    }
    Ok(SourceConfig::Identities(IdentitiesConfig { name, identities, held_out, channels }))
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
        let side = found.short_side.max(8);
        let config = serde_json::json!({ "source": found.source, "image_size": side });
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
        assert_eq!(found.unwrap(), DetectedSet { source: SourceConfig::ImageFolder(config), short_side: 20 });

        let found = detected(&idx_files(&[0, 1, 2, 1], 12), Labels::Classes).unwrap();
        assert_eq!((found.source.shape().classes, found.short_side), (3, 12));
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
