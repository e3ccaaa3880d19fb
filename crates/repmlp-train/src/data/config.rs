//! Configuration of the data: the data set, its preparation and its augmentation.

use repmlp::ConfigFault;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use sweep_protocol::{NAME_RULE, check_name};

use crate::data::augment::{AugmentConfig, EvaluateConfig};
use crate::data::records::RecordsConfig;
use crate::data::{Objective, SourceConfig, SourceShape};

/// The data set, its preparation and its augmentation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// The data set.
    pub source: SourceConfig,
    /// Side of the square images that the network sees. Sets in memory: smaller images are padded with black. Image
    /// folders: the shorter side is resized to this length, and the middle is cut out. People: images are stretched to
    /// the square. Scenes with masks: the longer side is resized to this length, and the rest is padded.
    /// `augment.random_crop` and `evaluate.tiles` cut squares out of scenes instead.
    pub image_size: usize,
    /// Share of the training images that is set aside for Validation.
    #[serde(default)]
    pub validation: f64,
    /// Augmentation of training images.
    #[serde(default)]
    pub augment: AugmentConfig,
    /// Preparation of images for evaluation.
    #[serde(default, skip_serializing_if = "EvaluateConfig::is_default")]
    pub evaluate: EvaluateConfig,
    /// Maximum number of training images. They are drawn by the seed, after Validation is set aside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_limit: Option<usize>,
    /// Maximum number of test images: the first ones of the set, or in turn from each class folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_limit: Option<usize>,
    /// Maximum number of pixels of an image file. Default: 2^26. A small file can claim to unpack to any size.
    #[serde(default = "customary_pixels", skip_serializing_if = "is_customary")]
    pub pixel_limit: usize,
    /// Classes without training images on purpose. Every other class must have at least one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent_classes: Vec<u32>,
    /// Expected digest of the images: the 12 digits that `repmlp-sweep show RUN` prints after the name of the set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

/// Maximum number of pixels of an image file, unless the configuration sets another one.
pub(crate) const CUSTOMARY_PIXELS: usize = 1 << 26;

fn customary_pixels() -> usize {
    CUSTOMARY_PIXELS
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_customary(pixels: &usize) -> bool {
    *pixels == CUSTOMARY_PIXELS
}

/// Largest allowed `pixel_limit`: a grey image of 1 GiB.
const MOST_PIXELS: usize = 1 << 30;

/// How an image becomes the square that the network sees, without augmentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// In the middle of a black square.
    Padded,
    /// The shorter side is resized to this length, and the middle is cut out.
    ShortSide(usize),
    /// Stretched to the square.
    Stretched,
    /// Whole and padded, together with its mask.
    Scene,
}

/// Maximum number of classes with one label byte, and with one folder per class.
const BYTE_CLASSES: usize = 256;
const FOLDER_CLASSES: usize = 1 << 20;

impl DataConfig {
    pub(crate) fn faults(&self) -> Vec<ConfigFault> {
        let mut faults = Vec::new();
        let mut check = |ok: bool, key: &str, message: String| {
            if !ok {
                faults.push(ConfigFault::new(format!("data.{key}"), message));
            }
        };
        check((1..=1024).contains(&self.image_size), "image_size", "must be between 1 and 1024".into());
        check(
            (0.0..1.0).contains(&self.validation),
            "validation",
            "must be in [0, 1): a share of the training images".into(),
        );
        check(
            self.augment.crop_padding <= self.image_size,
            "augment.crop_padding",
            "must not exceed image_size".into(),
        );
        check(self.train_limit != Some(0), "train_limit", "must be at least 1".into());
        check(self.test_limit != Some(0), "test_limit", "must be at least 1".into());
        let allowed = (1..=MOST_PIXELS).contains(&self.pixel_limit);
        check(allowed, "pixel_limit", format!("must be between 1 and {MOST_PIXELS}"));
        let SourceShape { classes, side, channels, .. } = self.source.shape();
        let absent = self.absent_classes.iter().all(|&class| (class as usize) < classes);
        check(absent, "absent_classes", format!("must be class ids from 0 to {}", classes.saturating_sub(1)));
        if let Some(side) = side.filter(|_| self.fit() == Fit::Padded) {
            let message = format!("images of {side}x{side} do not fit: raise it to at least {side}");
            check(side <= self.image_size, "image_size", message);
        }
        let most = match &self.source {
            SourceConfig::ImageFolder(_) | SourceConfig::Identities(_) => FOLDER_CLASSES,
            // Id 255 marks ignored pixels.
            SourceConfig::Masks(_) => BYTE_CLASSES - 1,
            _ => BYTE_CLASSES,
        };
        let message = format!("must be between 2 and {most}, not {classes}");
        check((2..=most).contains(&classes), "source.classes", message);
        let objective = self.source.objective();
        faults.extend(self.source_faults());
        faults.extend(self.augment.faults(objective, channels));
        faults.extend(self.evaluate.faults(objective, self.image_size));
        faults
    }

    fn source_faults(&self) -> Vec<ConfigFault> {
        let mut faults = Vec::new();
        // The name is used as a folder below the data folder.
        if let Err(fault) = check_name(self.source.name()) {
            faults.push(ConfigFault::new("data.source.name", format!("{fault}: {NAME_RULE}")));
        }
        let mut check = |ok: bool, key: &str, message: &str| {
            if !ok {
                faults.push(ConfigFault::new(format!("data.{key}"), message));
            }
        };
        match &self.source {
            SourceConfig::Records(RecordsConfig { label_bytes, side, validation, .. }) => {
                let single = validation.is_empty() || self.validation == 0.0;
                check(single, "validation", "must be 0: data.source.validation names files for Validation");
                check((1..=16).contains(label_bytes), "source.label_bytes", "must be between 1 and 16");
                check((1..=1024).contains(side), "source.side", "must be between 1 and 1024");
            }
            SourceConfig::Identities(config) => {
                check(config.held_out >= 2, "source.held_out", "must be at least 2: people are compared");
                check(matches!(config.channels, 1 | 3), "source.channels", "must be 1 or 3");
            }
            SourceConfig::ImageFolder(config) => {
                // `test` is used as a folder of the set.
                let known = config.test.as_ref().is_none_or(|name| check_name(name).is_ok() && name != "train");
                check(
                    known,
                    "source.test",
                    "must be the name of a folder of the set, but not `train`, which is for training",
                );
            }
            SourceConfig::Masks(config) => {
                let mut seen = BTreeSet::new();
                for (key, parts) in [
                    ("source.train", &config.train),
                    ("source.validation", &config.validation),
                    ("source.test", &config.test),
                ] {
                    let is_name = |part: &String| part.split('/').all(|name| check_name(name).is_ok());
                    check(parts.iter().all(is_name), key, "must be names of folders of the set");
                    let is_apart = parts.iter().all(|part| seen.insert(part));
                    check(is_apart, key, "names a folder that is already named: no image may be in two parts");
                }
                let apart = usize::from(config.ignore) >= config.classes;
                check(apart, "source.ignore", "must not be a class id: it must be at least the number of classes");
                let single = config.validation.is_empty() || self.validation == 0.0;
                check(single, "validation", "must be 0: data.source.validation names folders for Validation");
            }
            _ => {}
        }
        faults
    }

    /// Returns how an image becomes the square that the network sees.
    pub(crate) fn fit(&self) -> Fit {
        let resized = self.evaluate.resize.is_some() || self.augment.random_resized_crop.is_some();
        match &self.source {
            SourceConfig::Identities(_) => Fit::Stretched,
            SourceConfig::Masks(_) => Fit::Scene,
            SourceConfig::ImageFolder(_) => Fit::ShortSide(self.evaluate.resize.unwrap_or(self.image_size)),
            _ if resized => Fit::ShortSide(self.evaluate.resize.unwrap_or(self.image_size)),
            _ => Fit::Padded,
        }
    }

    /// Returns the training images of an epoch, if known without reading the set. For a set without a fixed size, it is
    /// the limit; the set is then expected to have that many.
    pub fn expected_train_images(&self) -> Option<usize> {
        let Some(all) = self.source.shape().train_images else { return self.train_limit };
        let left = all - self.validation_count(all);
        Some(self.train_limit.map_or(left, |limit| left.min(limit)))
    }

    /// Returns how many of the training images are set aside for Validation.
    pub fn validation_count(&self, images: usize) -> usize {
        (images as f64 * self.validation).round() as usize
    }

    /// Whether the set has validation images, of its own or by the share that is set aside.
    pub fn has_validation(&self) -> bool {
        let own = match &self.source {
            SourceConfig::Records(config) => !config.validation.is_empty(),
            SourceConfig::Masks(config) => !config.validation.is_empty(),
            _ => false,
        };
        let is_some = |images| self.validation_count(images) > 0;
        own || (self.validation > 0.0 && self.source.shape().train_images.is_none_or(is_some))
    }

    /// Returns what a network learns from the set.
    pub fn objective(&self) -> Objective {
        self.source.objective()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> DataConfig {
        toml::from_str(text).unwrap()
    }

    fn faults(text: &str) -> Vec<String> {
        config(text).faults().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn new_keys_are_left_out_at_their_neutral_values() {
        let old = "{\"augment\":{\"crop_padding\":0,\"flip\":false},\"image_size\":32,\
             \"source\":{\"kind\":\"cifar10\"},\"validation\":0.0}";
        let config = config("image_size = 32\nsource.kind = 'cifar10'");
        assert_eq!(serde_json::to_value(&config).unwrap().to_string(), old);
    }

    #[test]
    fn recipes_of_the_paper_have_no_faults() {
        let imagenet = "image_size = 224\nsource = { kind = 'image-folder', name = 'imagenet', classes = 1000 }\n\
             augment = { flip = true, random_resized_crop = {}, auto_augment = { kind = 'imagenet' }, \
             mixup_alpha = 0.2 }\n\
             evaluate.resize = 256";
        let faces = "image_size = 96\naugment.flip = true\n\
             source = { kind = 'identities', name = 'orl-faces', identities = 40, held_out = 10, channels = 1 }";
        let scenes = "image_size = 713\nsource = { kind = 'masks', name = 'camvid', classes = 11, ignore = 11 }\n\
             augment = { flip = true, random_scale = [0.5, 2.0], rotate_degrees = 10.0, random_crop = true }\n\
             evaluate.tiles = {}";
        for recipe in [imagenet, faces, scenes] {
            assert_eq!(faults(recipe), [] as [&str; 0], "{recipe}");
        }
        assert_eq!(config(imagenet).fit(), Fit::ShortSide(256));
        assert_eq!(config(faces).source.shape().classes, 30);
        assert_eq!(config(faces).objective(), Objective::Verification);
    }

    #[test]
    fn incompatible_settings_are_named() {
        let folder = "source = { kind = 'image-folder', name = 'a', classes = 2 }\nimage_size = 64\n";
        let people = "source = { kind = 'identities', name = 'a', identities = 3, held_out = 1 }\nimage_size = 64\n";
        let scenes = "source = { kind = 'masks', name = 'a', classes = 5, ignore = 4 }\nimage_size = 64\n";
        let all = [
            faults(&format!(
                "{folder}augment = {{ random_resized_crop = {{ scale = [0.5, 0.2] }}, crop_padding = 4 }}"
            )),
            faults(&format!("{folder}augment = {{ mixup_alpha = 3.0, rotate_degrees = 5.0 }}\nevaluate.resize = 32")),
            faults(&format!("{people}augment = {{ mixup_alpha = 0.2 }}\nevaluate.resize = 80")),
            faults(&format!(
                "{scenes}augment = {{ random_scale = [2.0, 0.5], auto_augment = {{ kind = 'imagenet' }} }}"
            )),
        ];
        assert_eq!(all.concat().join("\n"), FAULTS.trim());
        let crops = "augment.random_crop = true\nevaluate = { tiles = { stride = 0.05 } }";
        let messages = [
            "data.augment.random_crop: is only for masks: use random_resized_crop instead",
            "data.evaluate.tiles: is only for masks",
            "data.evaluate.tiles.stride: must be in [0.1, 1]: a share of the side of a tile",
        ];
        assert_eq!(faults(&format!("{folder}{crops}")), messages);
        assert_eq!(faults(&format!("{}{crops}", scenes.replace("ignore = 4", "ignore = 5"))), messages[2..]);
    }

    #[test]
    fn a_name_that_leads_out_of_the_data_folder_is_refused() {
        let kinds = [
            "kind = 'idx', classes = 10",
            "kind = 'records', label_bytes = 1, classes = 2, side = 32, train = [], test = []",
            "kind = 'image-folder', classes = 2",
            "kind = 'identities', identities = 5, held_out = 2",
            "kind = 'masks', classes = 5, ignore = 5",
        ];
        for kind in kinds {
            for name in ["../secrets", "/etc", "", "..", "a/b"] {
                let found = faults(&format!("image_size = 64\nsource = {{ {kind}, name = '{name}' }}"));
                assert!(found.iter().any(|fault| fault.starts_with("data.source.name: ")), "{kind} {name}: {found:?}");
            }
            let found = faults(&format!("image_size = 64\nsource = {{ {kind}, name = 'Größen 2.0' }}"));
            assert!(!found.iter().any(|fault| fault.contains("name")), "{kind}: {found:?}");
        }
    }

    #[test]
    fn the_test_folder_must_be_inside_the_set() {
        let source = |test: &str| {
            let keys = format!("kind = 'image-folder', name = 'own', classes = 2{test}");
            format!("image_size = 64\nsource = {{ {keys} }}")
        };
        assert_eq!(faults(&source("")), [] as [&str; 0]);
        assert_eq!(faults(&source(", test = 'val'")), [] as [&str; 0]);
        for test in ["../val", "/val", "", "train"] {
            let found = faults(&source(&format!(", test = '{test}'"))).concat();
            assert!(
                found.starts_with("data.source.test: must be the name of a folder of the set, but not `train`"),
                "{test}"
            );
        }
        let kept = serde_json::to_string(&config(&source(""))).unwrap();
        assert!(!kept.contains("test") && !kept.contains("tiles") && !kept.contains("random_crop"), "{kept}");
    }

    #[test]
    fn no_folder_of_masks_is_in_two_parts() {
        let found = |more: &str| {
            faults(&format!("image_size = 64\nsource = {{ kind = 'masks', name = 'own', classes = 2, {more} }}"))
                .concat()
        };
        for good in
            ["test = ['val']", "test = ['sunny/test', 'test']", "train = ['train', 'extra'], validation = ['val']"]
        {
            assert_eq!(found(good), "", "{good}");
        }
        for (bad, key) in [
            ("test = ['train']", "source.test"),
            ("test = ['val', 'val']", "source.test"),
            ("train = ['train', 'test']", "source.test"),
            ("train = ['a', 'a']", "source.train"),
            ("validation = ['train']", "source.validation"),
        ] {
            assert_eq!(
                found(bad),
                format!("data.{key}: names a folder that is already named: no image may be in two parts"),
                "{bad}"
            );
        }
        for bad in ["", "../own/train", "/test", "a//b"] {
            assert!(
                found(&format!("test = ['{bad}']")).starts_with("data.source.test: must be names of folders"),
                "{bad}"
            );
        }
    }

    const FAULTS: &str = "
data.augment.random_resized_crop: replaces crop_padding: remove one of them
data.augment.random_resized_crop.scale: must be two rising shares in (0, 1]
data.augment.mixup_alpha: must be 0 (off) or in [0.05, 1]
data.augment.rotate_degrees: is only for masks
data.evaluate.resize: must be between image_size (64) and four times image_size
data.source.held_out: must be at least 2: people are compared
data.augment.mixup_alpha: is only for classification
data.evaluate.resize: is only for classification: people and scenes are evaluated whole
data.source.ignore: must not be a class id: it must be at least the number of classes
data.augment.auto_augment: is only for the classification of colour images
data.augment.random_scale: must be two rising numbers in [0.1, 10]
";
}
