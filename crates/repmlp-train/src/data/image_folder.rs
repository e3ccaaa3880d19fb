//! The layout of ImageNet: a folder of images for each class, below `train` and `val` (or `test`).

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::detect::Listing;
use crate::data::files::{Files, Names, Reading};
use crate::data::pool::{Images, Pool, RawSet, Subset, shortened};
use crate::data::{DataError, DataFolder, DetectError, DetectedSet, SourceConfig};

pub(crate) const WHERE: &str = "a set of images has a folder for each class below train/ and below val/ (or test/), as \
     ImageNet has (image-net.org)";

/// Images in the layout of ImageNet: `train/<class>/*.JPEG` and `val/<class>/*.JPEG`. The endings .jpg, .jpeg and .png
/// and folders below a class folder are allowed too. Classes are numbered from 0 in the order of their folder names.
/// EXIF orientation is ignored, as in torchvision: rotate such images beforehand.
///
/// The test set is `val`, or `test` if there is no `val`. If both folders have class folders, set `test` to choose one.
/// A `test` without class folders, as in ImageNet, is ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageFolderConfig {
    /// Folder of the set below the data folder.
    pub name: String,
    /// Number of class folders.
    pub classes: usize,
    /// Folder of the test set, needed if `val` and `test` both have class folders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<String>,
}

/// Channels of every image. Grey images are repeated three times.
pub(crate) const CHANNELS: usize = 3;

/// Recognises class folders below `train`.
pub(crate) fn detect(listing: &Listing) -> Result<Option<DetectedSet>, DetectError> {
    if !listing.has("train") {
        return Ok(None);
    }
    let classes = listing.set.folders("train")?.len();
    let holds_classes = |part: &str| listing.set.folders(part).is_ok_and(|folders| !folders.is_empty());
    let test = match (holds_classes("test"), holds_classes("val")) {
        (false, false) => return Err(DetectError::NoTest { path: listing.path() }),
        // If both hold classes, `val` is left to the user.
        (true, true) => Some("test".to_owned()),
        _ => None,
    };
    let source = SourceConfig::ImageFolder(ImageFolderConfig { name: listing.name.clone(), classes, test });
    Ok(Some(DetectedSet::new(source, listing.median_side("train")?)))
}

pub(crate) fn read(folder: &DataFolder, config: &ImageFolderConfig, reading: Reading<'_>) -> Result<RawSet, DataError> {
    let train = folder.folders("train")?;
    let test_part = test_part(folder, config, &train)?;
    let test = folder.folders(test_part)?;
    if train.len() != config.classes {
        return Err(DataError::Count {
            path: folder.path().join("train"),
            things: "class folders",
            key: "classes",
            expected: config.classes,
            found: train.len(),
        });
    }
    let [of_train, of_test] = [&train, &test].map(|names| names.iter().cloned().collect::<BTreeSet<_>>());
    let names: Vec<String> = of_train.symmetric_difference(&of_test).cloned().collect();
    if !names.is_empty() {
        return Err(DataError::OtherClasses {
            paths: ["train", test_part].map(|part| folder.path().join(part)),
            names,
        });
    }
    let mut hasher = blake3::Hasher::new();
    let mut part = |part: &str, classes: &[String]| {
        folder.refuse_images(part)?;
        let (images, labels) = labelled(folder, part, classes)?;
        let files = Files::open(folder, (Names { images, masks: None }, CHANNELS), reading, &mut hasher)?;
        Ok(Subset::all(Pool { images: Images::Files(files), labels }))
    };
    let (train, test) = (part("train", &train)?, part(test_part, &test)?);
    Ok(RawSet { train, validation: None, test: test.in_turns(), digest: shortened(&hasher) })
}

/// Returns the folder of the test set.
fn test_part<'a>(folder: &DataFolder, config: &'a ImageFolderConfig, classes: &[String]) -> Result<&'a str, DataError> {
    if let Some(part) = &config.test {
        return Ok(part);
    }
    let holds_classes =
        |part: &str| folder.has(part) && classes.iter().any(|class| folder.has(&format!("{part}/{class}")));
    match (folder.has("val"), folder.has("test")) {
        (true, true) if holds_classes("val") && holds_classes("test") => {
            let remedy = "write test = \"val\" or test = \"test\" in data.source, or move one of them away";
            Err(DataError::TwoTests { folder: folder.path().to_owned(), remedy })
        }
        (true, _) => Ok("val"),
        (false, true) => Ok("test"),
        (false, false) => Err(folder.missing(vec!["val/".to_owned(), "test/".to_owned()])),
    }
}

/// Returns the image files of the folders `names` in `part`, and their labels: the positions of their folders in
/// `names`.
pub(crate) fn labelled(
    folder: &DataFolder,
    part: &str,
    names: &[String],
) -> Result<(Vec<String>, Vec<u32>), DataError> {
    let (mut images, mut labels) = (Vec::new(), Vec::new());
    for (label, name) in names.iter().enumerate() {
        let inner = if part.is_empty() { name.clone() } else { format!("{part}/{name}") };
        let found = folder.images(&inner)?;
        labels.extend(std::iter::repeat_n(label as u32, found.len()));
        images.extend(found);
    }
    Ok((images, labels))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::data::fixture::{WHOLE, folder_with, plain_png, tiny_jpeg, write};
    use crate::data::image::Target;

    fn set() -> tempfile::TempDir {
        folder_with(&[
            ("train/b/1.png", plain_png((4, 5), 50)),
            ("train/b/0.JPEG", tiny_jpeg()),
            ("train/a/images/x.jpeg", tiny_jpeg()),
            ("train/a/notes.txt", b"no image".to_vec()),
            ("train/b/._1.png", b"left behind".to_vec()),
            ("val/a/0.png", plain_png((2, 2), 1)),
            ("val/a/1.png", plain_png((2, 2), 2)),
            ("val/b/0.png", plain_png((2, 2), 3)),
        ])
    }

    fn read_from(folder: &Path, classes: usize) -> Result<RawSet, DataError> {
        read_as(folder, classes, None)
    }

    fn read_as(folder: &Path, classes: usize, test: Option<&str>) -> Result<RawSet, DataError> {
        let config = ImageFolderConfig { name: "own".into(), classes, test: test.map(str::to_owned) };
        read(&DataFolder::find(Some(folder), "own", WHERE)?, &config, WHOLE)
    }

    fn fault(folder: &Path, classes: usize) -> String {
        let text = read_from(folder, classes).err().unwrap().to_string();
        text.replace(&folder.display().to_string(), "DIR")
    }

    #[test]
    fn folders_are_classes_and_grey_gets_three_channels() {
        let folder = set();
        let set = read_from(folder.path(), 2).unwrap();
        assert_eq!(set.train.pool.labels, [0, 1, 1]);
        assert_eq!(set.test.labels().collect::<Vec<_>>(), [0, 1, 0], "in turns");
        let (image, target) = set.train.pool.item(2).unwrap();
        assert_eq!((image.channels, image.height, image.width, image.pixels[0]), (3, 4, 5, 50));
        assert_eq!(target, Target::Class(1));
    }

    #[test]
    fn the_digest_covers_names_and_contents() {
        let folder = set();
        let digest = || read_from(folder.path(), 2).unwrap().digest;
        let before = digest();
        assert_eq!(digest(), before);
        write(folder.path(), "val/b/0.png", &plain_png((2, 2), 4));
        assert_ne!(digest(), before);
        write(folder.path(), "val/b/0.png", &plain_png((2, 2), 3));
        assert_eq!(digest(), before);
        std::fs::rename(folder.path().join("val/b/0.png"), folder.path().join("val/b/2.png")).unwrap();
        assert_ne!(digest(), before);
    }

    #[test]
    fn faults_are_named() {
        let folder = set();
        assert_eq!(
            fault(folder.path(), 3),
            "DIR/train holds 2 class folders, but the configuration says data.source.classes = 3: correct one of them"
        );
        write(folder.path(), "train/b/2.JPEG", &tiny_jpeg()[..200]);
        assert_eq!(
            fault(folder.path(), 2),
            "DIR/train/b/2.JPEG is damaged: expected a JPEG with an end marker, found 200 bytes without one; fetch it \
             again"
        );
        std::fs::remove_file(folder.path().join("train/b/2.JPEG")).unwrap();
        std::fs::rename(folder.path().join("val/b"), folder.path().join("val/c")).unwrap();
        let text = fault(folder.path(), 2);
        assert!(text.contains("DIR/train and DIR/val must hold the same class folders") && text.ends_with("b, c"));
        std::fs::remove_dir_all(folder.path().join("val")).unwrap();
        assert!(fault(folder.path(), 2).contains("a folder for each class below train/"));
    }

    #[test]
    fn the_test_set_is_val_or_test_and_must_be_unambiguous() {
        let folder = set();
        let path = |name: &str| folder.path().join(name);
        let rename = |from: &str, to: &str| std::fs::rename(path(from), path(to)).unwrap();
        let count = |test| read_as(folder.path(), 2, test).unwrap().test.images.len();
        rename("val", "test");
        assert_eq!(count(None), 3);
        // ImageNet's own test/ has no class folders.
        rename("test", "val");
        write(folder.path(), "test/0.png", &plain_png((2, 2), 9));
        assert_eq!(count(None), 3);
        std::fs::remove_file(path("test/0.png")).unwrap();
        for class in ["a", "b"] {
            write(folder.path(), &format!("test/{class}/0.png"), &plain_png((2, 2), 9));
        }
        assert_eq!(
            fault(folder.path(), 2),
            "DIR has both test/ and val/, and it is not clear which of them is the test set: write test = \"val\" or \
             test = \"test\" in data.source, or move one of them away"
        );
        assert_eq!([count(Some("val")), count(Some("test"))], [3, 2]);
    }

    #[test]
    fn a_class_without_images_is_named() {
        let folder = set();
        std::fs::remove_file(folder.path().join("val/b/0.png")).unwrap();
        assert!(fault(folder.path(), 2).starts_with("no val/b/*.{JPEG,jpg,png} in DIR."));
    }
}
