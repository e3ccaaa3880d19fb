//! The files of a first experiment, fitted to a data set. This module makes texts; the command writes them.

use std::fmt::Write;

use anyhow::{Context, Result};
use repmlp_train::data::{DataConfig, Dataset, DetectedSet, Objective, SourceConfig};
use serde_json::Value;

/// What is known of the set that an experiment is written for.
pub(crate) struct KnownSet {
    /// Its source and the size of its images.
    pub(crate) set: DetectedSet,
    /// Number of training images.
    pub(crate) train: usize,
    /// Number of test images.
    pub(crate) test: usize,
}

impl KnownSet {
    /// The counts of a set that was read.
    pub(crate) fn new(set: DetectedSet, read: &Dataset) -> Self {
        Self { set, train: read.train.images.len(), test: read.test.images.len() }
    }

    /// A line that describes the set.
    pub(crate) fn description(&self) -> String {
        let classes = self.set.source.shape().classes;
        let labels = match self.set.source.objective() {
            Objective::Verification => format!("{classes} people, and more in the test set"),
            Objective::Classification | Objective::Segmentation => format!("{classes} classes"),
        };
        let Self { train, test, set, .. } = self;
        format!("{}: {train} training and {test} test images of {labels}; {} pixels", set.source.name(), set.side)
    }
}

/// The files of an experiment, each with its path below the project folder.
pub(crate) fn files(name: &str, known: &KnownSet) -> Result<Vec<(String, String)>> {
    let [base, experiment, report] = match known.set.source.objective() {
        Objective::Classification => [
            include_str!("classes.base.toml"),
            include_str!("classes.experiment.toml"),
            include_str!("classes.report.toml"),
        ],
        Objective::Verification => [
            include_str!("people.base.toml"),
            include_str!("people.experiment.toml"),
            include_str!("people.report.toml"),
        ],
        Objective::Segmentation => {
            [include_str!("masks.base.toml"), include_str!("masks.experiment.toml"), include_str!("masks.report.toml")]
        }
    };
    let values = values(name, known)?;
    let filled = |template: &str| fill(template, &values);
    Ok(vec![
        (format!("experiments/{name}.toml"), filled(experiment)),
        (format!("experiments/base/{name}.toml"), filled(base)),
        (format!("reports/{name}.toml"), filled(report)),
    ])
}

/// Replaces each `{key}` of a template by its value. Values are not searched for keys.
fn fill(template: &str, values: &[(&'static str, String)]) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        text += &rest[..at];
        rest = &rest[at..];
        let known = values.iter().find(|(key, _)| rest[1..].strip_prefix(key).is_some_and(|end| end.starts_with('}')));
        let (value, length) = known.map_or(("{", 1), |(key, value)| (value.as_str(), key.len() + 2));
        text += value;
        rest = &rest[length..];
    }
    text + rest
}

/// Smallest number of training images that an experiment is written for: two batches of two.
pub(crate) const FEWEST_TRAIN: usize = 4;

/// Number of training images from which on a tenth is set aside for Validation.
const FEWEST_WITH_VALIDATION: usize = 100;

/// Side of the square that the network sees: a multiple of 32, so that partitions of 8x8 divide the maps of all stages.
/// Images in memory are padded and must fit; image files are resized, to at most 64 pixels to keep runs short.
fn image_size(set: &DetectedSet) -> usize {
    match set.source {
        SourceConfig::ImageFolder(_) => set.side.next_multiple_of(32).min(64),
        _ => set.side.next_multiple_of(32),
    }
}

/// Values for the templates that fit the set.
fn values(name: &str, known: &KnownSet) -> Result<Vec<(&'static str, String)>> {
    let objective = known.set.source.objective();
    let image_size = image_size(&known.set);
    let sets_aside = objective == Objective::Classification && known.train >= FEWEST_WITH_VALIDATION;
    let validation = if sets_aside { 0.1 } else { 0.0 };
    let train = known.train - DataConfig { validation, ..known.set.config() }.validation_count(known.train);
    let most_batch = match objective {
        Objective::Classification => 64,
        Objective::Verification => 32,
        Objective::Segmentation => 16,
    };
    // About eight steps an epoch or more; a batch of one has no batch statistics.
    let batch = most_batch.min((train / 8).max(2));
    let smoke_train = train.min(4 * batch);
    let smoke_batch = batch.min(smoke_train / 2).max(2);
    let limit = match known.set.source.shape().train_images {
        Some(_) => String::new(),
        None => format!(
            "train_limit = {train}  # all that are left to train on; `plan` predicts times with it. Raise it after \
             adding images\n"
        ),
    };
    let absent = match known.set.absent_classes.as_slice() {
        [] => String::new(),
        absent => format!("absent_classes = {absent:?}  # labels that no training image has\n"),
    };
    let (validation_column, curve) = match sets_aside {
        true => (
            "\n[[table.column]]\nmetric = \"accuracy\"\nsplit  = \"validation\"\nform   = \"training\"\n",
            r#"{ metric = "accuracy", split = "validation", form = "training" }"#,
        ),
        false => ("", r#"{ metric = "loss", split = "train", form = "training" }"#),
    };
    Ok(vec![
        ("name", name.to_owned()),
        ("origin", format!("Written by `repmlp-sweep init` for {}.", known.description())),
        ("source", inline(&serde_json::to_value(&known.set.source)?).context("a source without a table")?),
        ("image_size", image_size.to_string()),
        ("validation", format!("{validation:?}")),
        ("limit", limit),
        ("absent", absent),
        ("crop_padding", (image_size / 16).to_string()),
        ("flip", (!matches!(known.set.source, SourceConfig::Idx(_))).to_string()),
        ("epochs", if objective == Objective::Classification { "6" } else { "20" }.to_owned()),
        ("batch", batch.to_string()),
        ("measure_batch", (2 * batch).to_string()),
        ("smoke_train", smoke_train.to_string()),
        ("smoke_test", known.test.min(64).to_string()),
        ("smoke_batch", smoke_batch.to_string()),
        ("validation_column", validation_column.to_owned()),
        ("curve", curve.to_owned()),
    ])
}

/// Writes a JSON value as TOML, objects as inline tables. Returns `None` for a value that TOML cannot express.
fn inline(value: &Value) -> Option<String> {
    match value {
        Value::Object(table) => {
            let mut text = String::from("{ ");
            // The keys that every source has come first.
            let rank = |key: &str| match key {
                "kind" => 0,
                "name" => 1,
                _ => 2,
            };
            let mut table: Vec<(&String, &Value)> = table.iter().collect();
            table.sort_by_key(|(key, _)| rank(key));
            for (i, (key, value)) in table.into_iter().enumerate() {
                let comma = if i > 0 { ", " } else { "" };
                write!(text, "{comma}{key} = {}", inline(value)?).expect("writing to a string succeeds");
            }
            Some(text + " }")
        }
        Value::Array(values) => {
            Some(format!("[{}]", values.iter().map(inline).collect::<Option<Vec<String>>>()?.join(", ")))
        }
        Value::Null => None,
        Value::String(text) => Some(toml::Value::String(text.clone()).to_string()),
        simple => Some(simple.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use repmlp_train::data::{IdentitiesConfig, IdxConfig, ImageFolderConfig, MasksConfig, RecordsConfig};

    use super::*;
    use crate::costed_plan::CostedPlan;
    use crate::project::Project;
    use crate::spec::Spec;

    /// Files that are written for sets of every kind and of very different sizes are valid, with both profiles.
    #[test]
    fn what_is_written_can_be_planned() {
        let name = || "own".to_owned();
        let part = |part: &str| vec![part.to_owned()];
        let sources = [
            SourceConfig::ImageFolder(ImageFolderConfig { name: name(), classes: 2, test: None }),
            SourceConfig::Idx(IdxConfig {
                name: name(),
                classes: 26,
                train_images: None,
                train_labels: None,
                test_images: None,
                test_labels: None,
            }),
            SourceConfig::Identities(IdentitiesConfig { name: name(), identities: 40, held_out: 8, channels: 1 }),
            SourceConfig::Records(RecordsConfig {
                name: name(),
                classes: 3,
                train: part("{epochs} \"a\\b\".bin"),
                validation: Vec::new(),
                test: part("test.bin"),
                label_bytes: 1,
                side: 1,
            }),
            SourceConfig::Masks(MasksConfig {
                name: name(),
                classes: 12,
                ignore: 255,
                train: part("train"),
                validation: part("val"),
                test: part("test"),
            }),
        ];
        for source in sources {
            for (train, side) in [(FEWEST_TRAIN, 28), (99, 1), (130, 32), (5_000, 96), (40_000, 500)] {
                let set = DetectedSet { source: source.clone(), side, absent_classes: Vec::new() };
                let known = KnownSet { set, train, test: 9 };
                let folder = tempfile::tempdir().unwrap();
                for (path, text) in files("first try", &known).unwrap() {
                    let path = folder.path().join(path);
                    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                    assert!(!text.contains("{name}") && !text.contains("{source}"), "{text}");
                    let table: toml::Table = text.parse().unwrap();
                    if let (SourceConfig::Records(config), Some(data)) = (&source, table.get("data")) {
                        assert_eq!(data["source"]["train"][0].as_str(), Some(config.train[0].as_str()));
                    }
                    std::fs::write(path, text).unwrap();
                }
                let program = crate::program::Program::new(repmlp::OwnKinds::new());
                let path = folder.path().join("experiments/first try.toml");
                for profile in [None, Some("smoke".to_owned())] {
                    let costed =
                        CostedPlan::load(&Spec::experiment(path.clone(), profile, Default::default()), &program)
                            .unwrap();
                    assert!(costed.plan.runs.len() >= 2);
                    Project::of(&path).check_declaration(&costed.record()).unwrap();
                }
            }
        }
    }
}
