//! What can be measured: one closed list of metrics with unit and direction, and a value of one.
//!
//! Knows no table and no model. A new metric is one line in [`METRICS`] and the place that measures it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which way a metric is better, for marks and deltas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// A larger value is better.
    Higher,
    /// A smaller value is better.
    Lower,
    /// Neither: a setting or a description.
    Neither,
}

/// A measured quantity. Values are kept in base units: accuracy is a fraction, time is seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Mean cross-entropy per image, in nats.
    Loss,
    /// Top-1 accuracy, a fraction.
    Accuracy,
    /// Top-5 accuracy, a fraction; measured where there are more than ten classes.
    Top5Accuracy,
    /// Share of pairs of pictures that are rightly told to be of one person or of two.
    VerificationAccuracy,
    /// Share of pictures whose person is found among all people.
    IdentificationAccuracy,
    /// Mean intersection over union of the classes, a fraction.
    MeanIou,
    /// Learning rate of the epoch's last step.
    LearningRate,
    /// Weights and biases; for the training form batch-norm statistics too (the paper's row A).
    Params,
    /// Multiply-adds of conv and FC weights for one image: the paper's convention.
    Flops,
    /// `Flops` plus the products between activations (attention).
    FlopsAll,
    /// Images per second, median over repeats.
    Throughput,
    /// Median absolute deviation of the throughput's repeats, images per second.
    ThroughputSpread,
    /// Largest absolute difference between both forms' answers on test images.
    MaxAbsDiff,
    /// Largest absolute number of the trained form's answers on test images: what differences are judged by.
    LargestLogit,
    /// Share of test images (or of their pixels) for which both forms name the same class; of people, of the probes that both
    /// take for the same person.
    Top1Agreement,
    /// Wall time spent in training steps of the epoch, seconds.
    TrainTime,
    /// How much of it steps waited for their batches, seconds: what decoding and augmentation cost beyond what is done beside
    /// the training.
    DataWait,
}

/// Every metric: variant, name in files and SQL, name in headings, unit, direction.
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
];

impl Metric {
    /// All metrics, in the order of their declaration.
    pub fn all() -> impl Iterator<Item = Self> {
        METRICS.iter().map(|row| row.0)
    }

    fn row(self) -> &'static (Self, &'static str, &'static str, &'static str, Better) {
        &METRICS[self as usize]
    }

    /// Its name in files and SQL.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Its name in headings.
    pub fn title(self) -> &'static str {
        self.row().2
    }

    /// The unit its values are kept in; empty when it has none.
    pub fn unit(self) -> &'static str {
        self.row().3
    }

    /// Which way it is better.
    pub fn better(self) -> Better {
        self.row().4
    }

    /// Whether it is measured on images, so that a value has a split.
    pub fn is_of_images(self) -> bool {
        match self {
            Self::Loss
            | Self::Accuracy
            | Self::Top5Accuracy
            | Self::VerificationAccuracy
            | Self::IdentificationAccuracy => true,
            Self::MeanIou | Self::MaxAbsDiff | Self::LargestLogit | Self::Top1Agreement => true,
            Self::LearningRate | Self::Params | Self::Flops | Self::FlopsAll | Self::Throughput => false,
            Self::ThroughputSpread | Self::TrainTime | Self::DataWait => false,
        }
    }

    /// Whether it is measured of each form, so that a value has a form. The others compare both.
    pub fn is_of_a_form(self) -> bool {
        !matches!(self, Self::MaxAbsDiff | Self::LargestLogit | Self::Top1Agreement)
    }

    /// Whether it depends on the machine and its load, so that two equal runs may differ in it.
    pub fn is_timing(self) -> bool {
        matches!(self, Self::Throughput | Self::ThroughputSpread | Self::TrainTime | Self::DataWait)
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that is not on the list it was looked up in.
#[derive(Debug, thiserror::Error)]
#[error("`{word}` is not one of {known}")]
pub struct UnknownWord {
    word: String,
    known: String,
}

impl FromStr for Metric {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        look_up(word, METRICS.iter().map(|row| (row.1, row.0)))
    }
}

fn look_up<T>(word: &str, known: impl Iterator<Item = (&'static str, T)> + Clone) -> Result<T, UnknownWord> {
    known.clone().find(|(name, _)| *name == word).map(|(_, value)| value).ok_or_else(|| UnknownWord {
        word: word.to_owned(),
        known: known.map(|(name, _)| name).collect::<Vec<_>>().join(", "),
    })
}

/// Part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Images that gradients come from.
    Train,
    /// Images cut from the training files, for choices.
    Validation,
    /// Images that only the report sees.
    Test,
}

impl Split {
    /// Its name in files and SQL.
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

/// A model before or after re-parameterisation: a key of a measurement, never of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// With convolution branches and batch norm.
    Training,
    /// Merged.
    Deployed,
}

impl Form {
    /// Its name in files and SQL.
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

/// A metric's value, with what it was measured on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measurement {
    /// What was measured.
    pub metric: Metric,
    /// On which images; absent where images do not matter (params, throughput).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// Of which form of the model; absent where both share the value (`max_abs_diff`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<Form>,
    /// After how many epochs; absent for what training does not change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u32>,
    /// The value in the metric's unit; always finite: others are not written.
    #[serde(serialize_with = "finite")]
    pub value: f64,
}

/// JSON has no word for a number that is not finite; `null` would be lost to every reader.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn finite<S: serde::Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_finite() {
        serializer.serialize_f64(*value)
    } else {
        Err(serde::ser::Error::custom(format!("a measured value is {value}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_the_order_of_the_variants_and_names_are_unique() {
        for (i, row) in METRICS.iter().enumerate() {
            assert_eq!(row.0 as usize, i);
            assert_eq!(row.1.parse::<Metric>().unwrap(), row.0);
            assert_eq!(serde_json::to_string(&row.0).unwrap(), format!("\"{}\"", row.1));
        }
    }

    #[test]
    fn an_unknown_word_is_answered_with_the_known_ones() {
        let fault = "acuracy".parse::<Metric>().unwrap_err().to_string();
        assert!(fault.contains("acuracy") && fault.contains("accuracy"), "{fault}");
    }
}
