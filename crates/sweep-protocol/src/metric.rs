//! What can be measured: the list of metrics with unit and direction, and single measured values.
//!
//! This module knows no tables and no models. A new metric needs one line in [`METRICS`] and code that measures it.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DeclaredMetric, SeriesKey};

/// Direction in which a metric improves; decides marks and deltas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// A larger value is better.
    Higher,
    /// A smaller value is better.
    Lower,
    /// Neither direction is better: the metric is a setting or a description.
    Neither,
}

/// A measured quantity. Values are stored in base units: an accuracy is a fraction, a time is in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum Metric {
    /// Mean cross-entropy per image, in nats.
    Loss,
    /// Top-1 accuracy, a fraction.
    Accuracy,
    /// Top-5 accuracy, a fraction. Measured if there are more than ten classes.
    Top5Accuracy,
    /// Fraction of image pairs correctly classified as "same person" or "different persons".
    VerificationAccuracy,
    /// Fraction of images for which the right person is found among all people.
    IdentificationAccuracy,
    /// Intersection over union, averaged over the classes; a fraction.
    MeanIou,
    /// Learning rate of the epoch's last step.
    LearningRate,
    /// Number of weights and biases. The training form also counts batch-norm statistics (row A of the paper's
    /// Table 1).
    Params,
    /// Multiply-adds of convolution and FC weights for one image, the paper's convention.
    Flops,
    /// `flops` plus the products between activations (attention).
    FlopsAll,
    /// Images per second, median over repeats.
    Throughput,
    /// Median absolute deviation of the throughput over its repeats, in images per second.
    ThroughputSpread,
    /// Largest absolute difference between the outputs of both forms on test images.
    MaxAbsDiff,
    /// Largest absolute value in the trained form's outputs on test images. Differences between the forms are judged
    /// relative to it.
    LargestLogit,
    /// Fraction of test images (or of their pixels) for which both forms predict the same class. For faces: fraction of
    /// probes that both forms assign to the same person.
    Top1Agreement,
    /// Wall time spent in the training steps of the epoch, in seconds.
    TrainTime,
    /// Part of `train_time` during which steps waited for their batches, in seconds. It is the cost of decoding and
    /// augmentation that does not overlap with training.
    DataWait,
    /// Number of epochs that were trained. Measured if a training may stop early.
    EpochsTrained,
    /// The epoch whose weights were kept and deployed. Measured if the best epoch is kept.
    EpochOfWeights,
    /// A metric that a base file declares.
    #[schemars(skip)]
    Declared(DeclaredMetric),
}

/// All metrics that the program knows: variant, name in files and SQL, name in headings, unit, direction.
const METRICS: &[(Metric, &str, &str, &str, Better)] = &[
    (Metric::Loss, "loss", "loss", "nats", Better::Lower),
    (Metric::Accuracy, "accuracy", "accuracy", "fraction", Better::Higher),
    (Metric::Top5Accuracy, "top5_accuracy", "top-5 accuracy", "fraction", Better::Higher),
    (Metric::VerificationAccuracy, "verification_accuracy", "verification", "fraction", Better::Higher),
    (Metric::IdentificationAccuracy, "identification_accuracy", "identification", "fraction", Better::Higher),
    (Metric::MeanIou, "mean_iou", "mIoU", "fraction", Better::Higher),
    (Metric::LearningRate, "learning_rate", "learning rate", "", Better::Neither),
    (Metric::Params, "params", "params", "parameters", Better::Lower),
    (Metric::Flops, "flops", "FLOPs", "multiply-adds/image", Better::Lower),
    (Metric::FlopsAll, "flops_all", "all FLOPs", "multiply-adds/image", Better::Lower),
    (Metric::Throughput, "throughput", "throughput", "images/s", Better::Higher),
    (Metric::ThroughputSpread, "throughput_spread", "spread of throughput", "images/s", Better::Neither),
    (Metric::MaxAbsDiff, "max_abs_diff", "largest difference", "logits", Better::Lower),
    (Metric::LargestLogit, "largest_logit", "largest logit", "logits", Better::Neither),
    (Metric::Top1Agreement, "top1_agreement", "top-1 agreement", "fraction", Better::Higher),
    (Metric::TrainTime, "train_time", "training time", "s", Better::Lower),
    (Metric::DataWait, "data_wait", "wait for data", "s", Better::Lower),
    (Metric::EpochsTrained, "epochs_trained", "epochs trained", "", Better::Lower),
    (Metric::EpochOfWeights, "epoch_of_weights", "epoch of the weights", "", Better::Neither),
];

impl Metric {
    /// Returns all metrics that the program knows, in the order of their declaration.
    pub fn all() -> impl Iterator<Item = Self> {
        METRICS.iter().map(|row| row.0)
    }

    fn row(&self) -> Option<&'static (Self, &'static str, &'static str, &'static str, Better)> {
        METRICS.iter().find(|row| row.0 == *self)
    }

    /// Returns its name in files and SQL.
    pub fn name(&self) -> &str {
        match self {
            Self::Declared(declared) => &declared.name,
            known => known.row().map_or("", |row| row.1),
        }
    }

    /// Returns its name in headings.
    pub fn title(&self) -> String {
        match self {
            Self::Declared(declared) => declared.name.replace('_', " "),
            known => known.row().map_or("", |row| row.2).to_owned(),
        }
    }

    /// Returns the unit that its values are stored in; empty if it has no unit.
    pub fn unit(&self) -> &str {
        match self {
            Self::Declared(declared) => &declared.unit,
            known => known.row().map_or("", |row| row.3),
        }
    }

    /// Returns the direction in which it improves.
    pub fn better(self) -> Better {
        match self {
            Self::Declared(declared) => declared.better,
            known => known.row().map_or(Better::Neither, |row| row.4),
        }
    }

    /// Whether it is measured on images. Its values then have a split. `None` for a declared metric: its trainer
    /// decides.
    pub fn is_of_images(self) -> Option<bool> {
        Some(match self {
            Self::Declared(_) => return None,
            Self::Loss
            | Self::Accuracy
            | Self::Top5Accuracy
            | Self::VerificationAccuracy
            | Self::IdentificationAccuracy => true,
            Self::MeanIou | Self::MaxAbsDiff | Self::LargestLogit | Self::Top1Agreement => true,
            Self::LearningRate | Self::Params | Self::Flops | Self::FlopsAll | Self::Throughput => false,
            Self::ThroughputSpread | Self::TrainTime | Self::DataWait => false,
            Self::EpochsTrained | Self::EpochOfWeights => false,
        })
    }

    /// Whether it is measured for each form. Its values then have a form. The other metrics compare both forms. `None`
    /// for a declared metric: its trainer decides.
    pub fn is_of_a_form(self) -> Option<bool> {
        match self {
            Self::Declared(_) => None,
            known => Some(!matches!(known, Self::MaxAbsDiff | Self::LargestLogit | Self::Top1Agreement)),
        }
    }

    /// Whether it depends on the machine and its load. Two equal runs may then differ in it.
    pub fn is_timing(self) -> bool {
        matches!(self, Self::Throughput | Self::ThroughputSpread | Self::TrainTime | Self::DataWait)
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Error for a word that is not in the list it is looked up in.
#[derive(Debug, thiserror::Error)]
#[error("`{word}` is not one of {known}")]
pub struct UnknownWord {
    word: String,
    known: String,
}

impl FromStr for Metric {
    type Err = UnknownWord;

    /// Returns the metric with this name. A name that the program does not know is a declared metric without unit and
    /// direction; take these from the plan.
    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let known = look_up(word, METRICS.iter().map(|row| (row.1, row.0)));
        known.or_else(|unknown| DeclaredMetric::named(word).map(Self::Declared).ok_or(unknown))
    }
}

impl Serialize for Metric {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Metric {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = std::borrow::Cow::<str>::deserialize(deserializer)?;
        word.parse().map_err(serde::de::Error::custom)
    }
}

fn look_up<T>(word: &str, known: impl Iterator<Item = (&'static str, T)> + Clone) -> Result<T, UnknownWord> {
    known.clone().find(|(name, _)| *name == word).map(|(_, value)| value).ok_or_else(|| UnknownWord {
        word: word.to_owned(),
        known: known.map(|(name, _)| name).collect::<Vec<_>>().join(", "),
    })
}

/// Part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Training images: gradients are computed from them.
    Train,
    /// Images set aside from the training files. Choices, such as the learning rate, are made on them.
    Validation,
    /// Test images. They are reported, but never used for training or for choices.
    Test,
}

impl Split {
    /// Returns its name in files and SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

impl FromStr for Split {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        look_up(word, [Self::Train, Self::Validation, Self::Test].into_iter().map(|s| (s.name(), s)))
    }
}

/// State of a model: before or after re-parameterisation. It is a key of a measurement and not part of a run's
/// identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Training form, with convolution branches and batch norm.
    Training,
    /// Deployed form, in which re-parameterisation has merged branches and batch norm.
    Deployed,
}

impl Form {
    /// Returns its name in files and SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Training => "training",
            Self::Deployed => "deployed",
        }
    }
}

impl FromStr for Form {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        look_up(word, [Self::Training, Self::Deployed].into_iter().map(|f| (f.name(), f)))
    }
}

/// A measured value and what it was measured on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measurement {
    /// The metric.
    pub metric: Metric,
    /// The images that it was measured on. Absent if images do not matter (params, throughput).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// The form of the model that it was measured for. Absent if the metric compares both forms (`max_abs_diff`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<Form>,
    /// Number of completed epochs at the measurement. Absent for values that training does not change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u32>,
    /// The value in the metric's unit. It must be finite; other values are not written.
    #[serde(serialize_with = "finite")]
    pub value: f64,
}

impl Measurement {
    /// The series that it belongs to.
    pub fn series(&self) -> SeriesKey {
        (self.metric, self.split, self.form)
    }
}

/// Serialises a finite value and refuses any other. JSON cannot hold such numbers, and no reader could restore them
/// from `null`.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn finite<S: serde::Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_finite() {
        serializer.serialize_f64(*value)
    } else {
        Err(serde::ser::Error::custom(format!("a measured value is not finite: {value}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MetricRecord;

    #[test]
    fn the_list_is_in_the_order_of_the_variants_and_names_are_unique() {
        for (i, row) in METRICS.iter().enumerate() {
            assert!(METRICS.get(i + 1).is_none_or(|next| row.0 < next.0));
            assert_eq!(row.1.parse::<Metric>().unwrap(), row.0);
            assert_eq!(serde_json::to_string(&row.0).unwrap(), format!("\"{}\"", row.1));
        }
    }

    #[test]
    fn a_word_that_cannot_be_a_metric_is_answered_with_the_known_ones() {
        let fault = "my-accuracy".parse::<Metric>().unwrap_err().to_string();
        assert!(fault.contains("my-accuracy") && fault.contains("top5_accuracy"), "{fault}");
    }

    #[test]
    fn a_declared_metric_is_known_by_its_name() {
        let record =
            |name: &str, unit: &str| MetricRecord { name: name.into(), unit: unit.into(), better: Better::Lower };
        let declared = record("latency", "ms").metric().unwrap();
        assert_eq!((declared.name(), declared.unit(), declared.better()), ("latency", "ms", Better::Lower));
        assert_eq!("latency".parse::<Metric>().unwrap(), declared);
        assert!(Metric::DataWait < declared);
        assert_eq!(serde_json::to_string(&declared).unwrap(), "\"latency\"");
        for (name, unit) in [("accuracy", ""), ("Latency", ""), ("x", "a unit that is too long"), ("1x", "")] {
            assert!(record(name, unit).metric().is_err(), "{name}");
        }
    }
}
