//! Data sets of people. Some of the people are held out from training.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::data_folder::or_gzipped;
use crate::data::detect::Listing;
use crate::data::error::listed;
use crate::data::files::{Files, Names, Reading};
use crate::data::image_folder::labelled;
use crate::data::pool::{Decoded, Images, Pool, RawSet, Subset, digest, shortened};
use crate::data::{DataError, DataFolder, DetectError, DetectedSet, SourceConfig, idx};

pub(crate) const WHERE: &str = "A set of people is one pair of IDX files with identities as labels \
     (*-images-idx3-ubyte, *-labels-idx1-ubyte, gzipped or not), or a folder of images for each person. The folders \
     may be in train/ and test/ (or val/)";

/// A set of people: one pair of IDX files with identities as labels, or a folder of images for each person. Identities
/// are sorted by label or by folder name. The network is trained to classify all but the last `held_out` people. These
/// are compared with each other at the end.
///
/// If the only folders of the set are `train` and one of `test` and `val`, the folders in them are the people. The
/// people in `test` or `val` are then held out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentitiesConfig {
    /// Folder of the set below the data folder.
    pub name: String,
    /// Number of people in the set.
    pub identities: usize,
    /// Number of people in Test: the last ones.
    pub held_out: usize,
    /// Input channels of the network: 1 turns colours into grey, 3 repeats grey images three times.
    #[serde(default = "color")]
    pub channels: usize,
}

fn color() -> usize {
    3
}

impl IdentitiesConfig {
    /// Returns the number of people in the training set.
    pub(crate) fn classes(&self) -> usize {
        self.identities.saturating_sub(self.held_out)
    }
}

/// Recognises one folder per person, possibly below `train` and `test`, or IDX files with people as labels. The last
/// fifth of the people is held out, unless the folders say who is.
pub(crate) fn detect(listing: &Listing) -> Result<Option<DetectedSet>, DetectError> {
    let config = |identities: usize, held_out, channels| IdentitiesConfig {
        name: listing.name.clone(),
        identities,
        held_out,
        channels,
    };
    let fifth = |people: usize| (people / 5).max(2);
    let parts = ["test", "val"].into_iter().find(|part| listing.has("train") && listing.has(part));
    let (config, side) = if let Some(images) = listing.files.iter().find(|name| idx::is_images(name)) {
        let (pair, people) = idx_pair(&listing.set, images)?;
        (config(people.len(), fifth(people.len()), 1), pair.side())
    } else if listing.folders.is_empty() || listing.has("trainannot") {
        return Ok(None);
    } else if let Some(test) = parts {
        let held_out = listing.set.folders(test)?.len();
        (config(listing.set.folders("train")?.len() + held_out, held_out, color()), listing.median_side("train")?)
    } else {
        let people = listing.folders.len();
        (config(people, fifth(people), color()), listing.median_side(&listing.folders[0])?)
    };
    if config.held_out < 2 || config.classes() < 2 {
        return Err(DetectError::FewPeople { path: listing.path(), people: config.identities });
    }
    Ok(Some(DetectedSet::new(SourceConfig::Identities(config), side)))
}

pub(crate) fn read(folder: &DataFolder, config: &IdentitiesConfig, reading: Reading<'_>) -> Result<RawSet, DataError> {
    let (pool, digest, names) = match folder.files()?.iter().find(|name| idx::is_images(name)) {
        Some(images) => of_idx(folder, images, config.channels)?,
        None => of_folders(folder, config, reading)?,
    };
    if names.len() != config.identities {
        return Err(DataError::Count {
            path: folder.path().to_owned(),
            things: "identities",
            key: "identities",
            expected: config.identities,
            found: names.len(),
        });
    }
    let all = Subset::all(pool).in_turns();
    let part = |trained: bool| {
        let mut images = all.images.clone();
        images.retain(|&image| ((all.pool.labels[image as usize] as usize) < config.classes()) == trained);
        Subset { images, ..all.clone() }
    };
    let (train, test) = (part(true), part(false));
    check_pairs(folder, &test, &names)?;
    Ok(RawSet { train, validation: None, test, digest })
}

/// Checks that every held-out person has at least two images. One image cannot be compared.
fn check_pairs(folder: &DataFolder, test: &Subset, names: &[String]) -> Result<(), DataError> {
    let mut counts = BTreeMap::new();
    for label in test.labels() {
        *counts.entry(label).or_insert(0) += 1;
    }
    match counts.into_iter().find(|&(_, images)| images < 2) {
        None => Ok(()),
        Some((label, images)) => {
            let identity = names[label as usize].clone();
            Err(DataError::Alone { path: folder.path().to_owned(), identity, images })
        }
    }
}

type NamedPool = (Pool, String, Vec<String>);

fn of_folders(folder: &DataFolder, config: &IdentitiesConfig, reading: Reading<'_>) -> Result<NamedPool, DataError> {
    let folders = folder.folders("")?;
    if folders.is_empty() {
        return Err(folder.missing(vec![format!("*-{}", idx::IMAGES_ENDING), "*/".to_owned()]));
    }
    folder.refuse_images("")?;
    let (mut images, mut labels, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for (part, people) in people(folder, config, folders)? {
        let (more, of_part) = labelled(folder, part, &people)?;
        labels.extend(of_part.into_iter().map(|label| label + names.len() as u32));
        images.extend(more);
        names.extend(people);
    }
    let mut hasher = blake3::Hasher::new();
    let files = Files::open(folder, (Names { images, masks: None }, config.channels), reading, &mut hasher)?;
    Ok((Pool { images: Images::Files(files), labels }, shortened(&hasher), names))
}

/// Returns the parts of a set and the people in each: one part without a name, or `train` and the held-out part.
fn people(
    folder: &DataFolder,
    config: &IdentitiesConfig,
    folders: Vec<String>,
) -> Result<Vec<(&'static str, Vec<String>)>, DataError> {
    let has = |part: &str| folders.iter().any(|name| name == part);
    let parts = folders.iter().all(|name| ["train", "test", "val"].contains(&name.as_str()));
    let test = match (has("test"), has("val")) {
        (true, true) if parts && has("train") => {
            let remedy = "move one of them away, or its people into the other";
            return Err(DataError::TwoTests { folder: folder.path().to_owned(), remedy });
        }
        (true, false) if parts && has("train") => "test",
        (false, true) if parts && has("train") => "val",
        _ => return Ok(vec![("", folders)]),
    };
    let paths = || ["train", test].map(|part| folder.path().join(part));
    for part in ["train", test] {
        folder.refuse_images(part)?;
    }
    let (trained, held_out) = (folder.folders("train")?, folder.folders(test)?);
    let both: Vec<String> = held_out.iter().filter(|name| trained.contains(name)).cloned().collect();
    if !both.is_empty() {
        return Err(DataError::NotHeldOut { paths: paths(), names: listed(&both) });
    }
    if held_out.len() != config.held_out {
        let [_, path] = paths();
        let (expected, found) = (config.held_out, held_out.len());
        return Err(DataError::Count { path, things: "identities", key: "held_out", expected, found });
    }
    Ok(vec![("train", trained), (test, held_out)])
}

/// Reads a pair of IDX files. Returns the labels of its people too, in order: they may have gaps or start at 1.
fn idx_pair(folder: &DataFolder, images: &str) -> Result<(idx::Pair, Vec<u8>), DataError> {
    let labels = images.trim_end_matches(".gz").replace(idx::IMAGES_ENDING, idx::LABELS_ENDING);
    let pair = idx::read_pair(folder.open(&[images.to_owned()])?, folder.open(&or_gzipped(&labels))?)?;
    let mut identities = pair.labels.clone();
    identities.sort_unstable();
    identities.dedup();
    Ok((pair, identities))
}

fn of_idx(folder: &DataFolder, images: &str, channels: usize) -> Result<NamedPool, DataError> {
    let (pair, identities) = idx_pair(folder, images)?;
    let place = |label: &u8| identities.partition_point(|identity| identity < label) as u32;
    let grey = Decoded { channels: 1, height: pair.height, width: pair.width, pixels: pair.pixels };
    let pool = Pool::decoded(grey, pair.labels.iter().map(place).collect());
    let digest = digest(&[&pool]);
    let pool = if channels == 1 { pool } else { in_channels(pool, channels) };
    Ok((pool, digest, identities.iter().map(ToString::to_string).collect()))
}

/// Repeats grey images in several equal channels.
fn in_channels(pool: Pool, channels: usize) -> Pool {
    let Images::Decoded(grey) = pool.images else { return pool };
    let maps = grey.pixels.chunks_exact(grey.height * grey.width);
    let pixels = maps.flat_map(|map| map.repeat(channels)).collect();
    Pool::decoded(Decoded { channels, pixels, ..grey }, pool.labels)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::data::fixture::{WHOLE, folder_with, plain_png, write};

    fn config(identities: usize) -> IdentitiesConfig {
        IdentitiesConfig { name: "own".into(), identities, held_out: 2, channels: 1 }
    }

    fn read_from(folder: &Path, config: &IdentitiesConfig) -> Result<RawSet, DataError> {
        read(&DataFolder::find(Some(folder), "own", WHERE)?, config, WHOLE)
    }

    /// Writes two pictures of 1x2 pixels for each of the people 1, 2, 4 and 9, in this order.
    fn idx_files() -> tempfile::TempDir {
        let images = [[0x0803u32, 8, 1, 2].map(u32::to_be_bytes).concat(), (0..16).collect()].concat();
        let labels = [[0x0801u32, 8].map(u32::to_be_bytes).concat(), vec![1, 1, 2, 2, 4, 4, 9, 9]].concat();
        folder_with(&[("orl-images-idx3-ubyte", images), ("orl-labels-idx1-ubyte", labels)])
    }

    #[test]
    fn the_last_people_are_held_out() {
        let folder = idx_files();
        let set = read_from(folder.path(), &config(4)).unwrap();
        assert_eq!((&set.train.images[..], &set.test.images[..]), (&[0, 2, 1, 3][..], &[4, 6, 5, 7][..]));
        assert_eq!(set.test.labels().collect::<Vec<_>>(), [2, 3, 2, 3]);
        let (image, _) = set.train.pool.item(3).unwrap();
        assert_eq!((image.channels, image.height, image.width, image.pixels), (1, 1, 2, vec![6, 7]));
        let color = read_from(folder.path(), &IdentitiesConfig { channels: 3, ..config(4) }).unwrap();
        assert_eq!(color.train.pool.item(3).unwrap().0.pixels, [6, 7, 6, 7, 6, 7]);
        assert_eq!(color.digest, set.digest, "the same files");
    }

    #[test]
    fn folders_are_people_too() {
        let folder = folder_with(&[]);
        for name in ["a/0.png", "b/0.png", "b/1.png", "c/0.png", "c/1.png"] {
            write(folder.path(), name, &plain_png((2, 2), 9));
        }
        let set = read_from(folder.path(), &config(3)).unwrap();
        assert_eq!((set.train.images.len(), set.test.images.len()), (1, 4));
        std::fs::remove_file(folder.path().join("c/1.png")).unwrap();
        let text = read_from(folder.path(), &config(3)).err().unwrap().to_string();
        assert!(text.ends_with("has 1 image of held-out identity c: verification needs at least 2 of each"), "{text}");
    }

    #[test]
    fn people_may_lie_below_train_and_test_or_val() {
        for test in ["test", "val"] {
            let folder = folder_with(&[]);
            // Sorted by name alone, b would be held out and z would not.
            for name in
                ["train/z/0.png", "train/c/0.png", "TEST/a/0.png", "TEST/a/1.png", "TEST/b/0.png", "TEST/b/1.png"]
            {
                write(folder.path(), &name.replace("TEST", test), &plain_png((2, 2), 9));
            }
            let set = read_from(folder.path(), &config(4)).unwrap();
            assert_eq!(set.train.labels().collect::<Vec<_>>(), [0, 1]);
            assert_eq!(set.test.labels().collect::<Vec<_>>(), [2, 3, 2, 3]);
            let fault = |config: &IdentitiesConfig| {
                let text = read_from(folder.path(), config).err().unwrap().to_string();
                text.replace(&folder.path().display().to_string(), "DIR")
            };
            assert_eq!(
                fault(&IdentitiesConfig { held_out: 3, ..config(4) }),
                format!(
                    "DIR/{test} holds 2 identities, but the configuration says data.source.held_out = 3: correct one \
                     of them"
                )
            );
            write(folder.path(), "train/a/0.png", &plain_png((2, 2), 9));
            assert_eq!(
                fault(&config(4)),
                format!(
                    "DIR/train and DIR/{test} have people in common, but people of the test set must be held out: a"
                )
            );
            write(folder.path(), "test/d/0.png", &plain_png((2, 2), 9));
            write(folder.path(), "val/e/0.png", &plain_png((2, 2), 9));
            assert_eq!(
                fault(&config(4)),
                "DIR has both test/ and val/, and it is not clear which of them is the test set: move one of them \
                 away, or its people into the other"
            );
        }
    }

    #[test]
    fn a_wrong_number_of_people_is_named() {
        let folder = idx_files();
        let text = read_from(folder.path(), &config(5)).err().unwrap().to_string();
        assert!(
            text.ends_with(
                "holds 4 identities, but the configuration says data.source.identities = 5: correct one of them"
            ),
            "{text}"
        );
        let empty = folder_with(&[]);
        let text = read_from(empty.path(), &config(5)).err().unwrap().to_string();
        assert!(text.starts_with("no *-images-idx3-ubyte or */ in"), "{text}");
    }
}
