//! The files of a first experiment, fitted to a data set. This module makes texts; the command writes them.

use std::fmt::Write;

use anyhow::{Context, Result};
use repmlp_train::data::{Dataset, DetectedSet, Objective, SourceConfig};
use serde_json::Value;

/// What is known of the set that an experiment is written for.
pub(crate) struct KnownSet {
    /// Its source and the size of its images.
    pub(crate) set: DetectedSet,
    /// Number of training images.
    pub(crate) train: usize,
    /// Number of test images.
    pub(crate) test: usize,
    /// Whether its images lie in files of their own, so that their number is known only after reading the folder.
    pub(crate) is_in_files: bool,
}

impl KnownSet {
    /// The counts of a set that was read.
    pub(crate) fn new(set: DetectedSet, read: &Dataset) -> Self {
        let is_in_files = set.source.shape().train_images.is_none();
        Self { set, train: read.train.images.len(), test: read.test.images.len(), is_in_files }
    }

    /// A line that describes the set.
    pub(crate) fn description(&self) -> String {
        let classes = self.set.source.shape().classes;
        let labels = match self.set.source.objective() {
            Objective::Verification => format!("{classes} people, and more in the test set"),
            Objective::Classification | Objective::Segmentation => format!("{classes} classes"),
        };
        let Self { train, test, set, .. } = self;
        format!(
            "{}: {train} training and {test} test images of {labels}; shorter side {} pixels",
            set.source.name(),
            set.short_side
        )
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
    let filled = |template: &str| {
        let fill = |text: String, (key, value): &(&str, String)| text.replace(&format!("{{{key}}}"), value);
        values.iter().fold(template.to_owned(), fill)
    };
    Ok(vec![
        (format!("experiments/{name}.toml"), filled(experiment)),
        (format!("experiments/base/{name}.toml"), filled(base)),
        (format!("reports/{name}.toml"), filled(report)),
    ])
}

/// Values that fit the set: sizes that the network accepts, and batches that the training images fill.
fn values(name: &str, known: &KnownSet) -> Result<Vec<(&'static str, String)>> {
    let objective = known.set.source.objective();
    let (image_size, crop_padding) = if known.set.short_side <= 32 { (32, 2) } else { (64, 4) };
    let sets_aside = objective == Objective::Classification && known.train >= 500;
    let train = if sets_aside { known.train - (known.train as f64 * 0.1).round() as usize } else { known.train };
    let most_batch = match objective {
        Objective::Classification => 64,
        Objective::Verification => 32,
        Objective::Segmentation => 16,
    };
    // At least eight steps an epoch, so that the schedule has something to do; a batch of one has no batch statistics.
    let batch = most_batch.min((train / 8).max(2)).min(train);
    let smoke_train = train.min(4 * batch);
    let smoke_batch = batch.min(smoke_train / 2).max(1);
    let limit = match known.is_in_files {
        true => {
            format!("train_limit = {train}  # all that are left to train on; `plan` predicts times with this number\n")
        }
        false => String::new(),
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
        ("validation", if sets_aside { "0.1" } else { "0.0" }.to_owned()),
        ("limit", limit),
        ("crop_padding", crop_padding.to_string()),
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

/// A JSON object as an inline table; `None` where a value has no form in TOML.
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
        // Strings, numbers and booleans are spelled alike, as names of folders hold no control characters.
        simple => Some(simple.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use repmlp_train::data::{IdentitiesConfig, IdxConfig, ImageFolderConfig, MasksConfig};

    use super::*;
    use crate::cli::SpecArgs;
    use crate::costed_plan::CostedPlan;
    use crate::project::Project;

    /// Files that are written for sets of every kind and of very different sizes are valid, with both profiles.
    #[test]
    fn what_is_written_can_be_planned() {
        let name = || "own".to_owned();
        let part = |part: &str| vec![part.to_owned()];
        let sources = [
            SourceConfig::FashionMnist5k {},
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
            for (train, short_side) in [(4, 28), (130, 32), (5_000, 28), (40_000, 500)] {
                let set = DetectedSet { source: source.clone(), short_side };
                let known = KnownSet { set, train, test: 9, is_in_files: true };
                let folder = tempfile::tempdir().unwrap();
                for (path, text) in files("first try", &known).unwrap() {
                    let path = folder.path().join(path);
                    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                    assert!(!text.contains("{name}") && !text.contains("{source}"), "{text}");
                    std::fs::write(path, text).unwrap();
                }
                let path = folder.path().join("experiments/first try.toml");
                for profile in [None, Some("smoke".to_owned())] {
                    let costed = CostedPlan::load(&SpecArgs { path: path.clone(), profile }).unwrap();
                    assert!(costed.plan.runs.len() >= 2);
                    Project::of(&path).check_declaration(&costed.record()).unwrap();
                }
            }
        }
    }
}
