//! Checks that a data set has examples of every class, and pixels that count. Ignored pixels are neither trained on nor
//! evaluated.

use std::collections::BTreeSet;

use crate::data::error::listed;
use crate::data::image::Ids;
use crate::data::pool::Subset;
use crate::data::{DataError, SourceConfig};

/// Refuses a training part with missing or unexpected classes, before limits cut it. Exactly the classes in `absent`
/// must be missing.
pub(crate) fn check_classes(source: &SourceConfig, train: &Subset, absent: &[u32]) -> Result<(), DataError> {
    let occurring: BTreeSet<u32> = match train.ids() {
        Some(ids) => ids.classes().collect(),
        None => train.labels().collect(),
    };
    let set = source.name().to_owned();
    if let Some(class) = absent.iter().find(|class| occurring.contains(class)) {
        return Err(DataError::Present { set, class: *class });
    }
    let all = source.shape().classes as u32;
    let missing: Vec<String> = (0..all)
        .filter(|class| !occurring.contains(class) && !absent.contains(class))
        .map(|class| class.to_string())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let (thing, hint) = match (source, train.ids()) {
        (SourceConfig::Masks(config), Some(ids)) if ids.has_ignored() => {
            let ignore = config.ignore;
            (
                "pixel",
                format!(" Pixels with id {ignore} are ignored (data.source.ignore); class ids are 0, 1, 2 and so on."),
            )
        }
        (_, Some(_)) => ("pixel", String::new()),
        (_, None) => ("image", String::new()),
    };
    let key = if matches!(source, SourceConfig::Identities(_)) { "identities" } else { "classes" };
    Err(DataError::NeverOccurs { set, thing, classes: listed(&missing), count: missing.len(), hint, key })
}

/// Refuses a part in which all pixels are ignored.
pub(crate) fn check_judged(source: &SourceConfig, part: &Subset, name: &'static str) -> Result<(), DataError> {
    match (source, part.ids()) {
        (SourceConfig::Masks(config), Some(ids)) if !part.images.is_empty() && ids.classes().next().is_none() => {
            let (set, images) = (config.name.clone(), part.images.len());
            Err(DataError::NothingJudged { set, part: name, images, ignore: config.ignore })
        }
        _ => Ok(()),
    }
}

impl Subset {
    /// Returns the ids that occur in its masks, if its pool has masks.
    fn ids(&self) -> Option<Ids> {
        let mut all = Ids::default();
        for &image in &self.images {
            all = all.with(self.pool.ids(image)?);
        }
        Some(all)
    }
}

#[cfg(test)]
mod tests {
    use crate::data::DataConfig;
    use crate::data::fixture::{folder_with, plain_png, png_of};

    /// Writes scenes of 2x2 pixels with these masks: two for training, one for testing.
    fn scenes(masks: [[u8; 4]; 3]) -> tempfile::TempDir {
        let places = ["train/a", "train/b", "test/c"];
        let mut files = Vec::new();
        for (place, mask) in places.iter().zip(masks) {
            let (part, name) = place.split_once('/').unwrap();
            files.push((format!("{place}.png"), plain_png((2, 2), 9)));
            files.push((format!("{part}annot/{name}.png"), png_of((2, 2), 1, &mask)));
        }
        folder_with(&files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect::<Vec<_>>())
    }

    fn load(folder: &tempfile::TempDir, more: &str) -> Result<(), String> {
        let text = format!("image_size = 2\nsource = {{ kind = 'masks', name = 'own', classes = 2 }}\n{more}");
        let config: DataConfig = toml::from_str(&text).unwrap();
        config.load(Some(folder.path()), 0).map(|_| ()).map_err(|fault| fault.to_string())
    }

    #[test]
    fn a_part_without_a_pixel_that_counts_is_refused() {
        let void = [255; 4];
        load(&scenes([[0, 1, 0, 255], void, [0; 4]]), "").unwrap();
        let text = load(&scenes([void, void, [0; 4]]), "").unwrap_err();
        assert!(text.starts_with(
            "the set `own` has no labelled pixel in its training part: all mask pixels of its 2 images are 255"
        ));
        let text = load(&scenes([[0, 1, 0, 1], void, void]), "").unwrap_err();
        assert!(text.contains("no labelled pixel in its test part"), "{text}");
        // All pixels of one of the two training masks are ignored. The limit keeps either image, and the validation
        // split puts them into different parts.
        let folder = scenes([[0, 1, 0, 1], void, [0; 4]]);
        let texts: Vec<String> =
            ["train_limit = 1", "validation = 0.5"].iter().filter_map(|more| load(&folder, more).err()).collect();
        assert!(!texts.is_empty() && texts.iter().all(|text| text.contains("no labelled pixel")), "{texts:?}");
    }

    #[test]
    fn a_missing_class_is_refused_unless_listed_as_absent() {
        let objects = scenes([[0, 255, 0, 0], [0; 4], [0; 4]]);
        assert_eq!(
            load(&objects, "").unwrap_err(),
            "the set `own` has no training pixel of class 1. Pixels with id 255 are ignored (data.source.ignore); \
             class ids are 0, 1, 2 and so on. Correct the labels, lower data.source.classes, or list classes that are \
             missing on purpose in data.absent_classes"
        );
        load(&objects, "absent_classes = [1]").unwrap();
        let both = scenes([[0, 1, 0, 0], [0; 4], [0; 4]]);
        load(&both, "train_limit = 1\nvalidation = 0.5").unwrap();
        let text = load(&both, "absent_classes = [1]").unwrap_err();
        assert_eq!(
            text,
            "the set `own` has training images of class 1, but data.absent_classes lists it: remove it there"
        );
    }

    #[test]
    fn sets_in_memory_keep_the_same_rule() {
        let record = |label: u8| [vec![label], vec![7; 12]].concat();
        let folder = folder_with(&[("a.bin", [record(1), record(4)].concat()), ("b.bin", record(0))]);
        let text = "image_size = 2\nsource = { kind = 'records', name = 'own', classes = 8, side = 2, \
             train = ['a.bin'], test = ['b.bin'] }\n";
        let fault = |more: &str| {
            let config: DataConfig = toml::from_str(&format!("{text}{more}")).unwrap();
            config.load(Some(folder.path()), 0).err().map(|fault| fault.to_string())
        };
        let text = fault("").unwrap();
        assert!(
            text.starts_with("the set `own` has no training image of classes 0, 2, 3, 5 and 2 more. Correct"),
            "{text}"
        );
        assert_eq!(fault("absent_classes = [0, 2, 3, 5, 6, 7]\ntrain_limit = 1"), None);
    }
}
