//! What a training watches on the validation images: which epoch was the best so far, and when to stop.
//!
//! Test images cannot be watched. A result that was chosen by them would not be a result on new images.

use repmlp::ConfigFault;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sweep_protocol::{Better, Measurement, Metric, Split};

use crate::TrainError;
use crate::config::TrainingConfig;
use crate::data::{DataConfig, Dataset, Objective};
use crate::kept::KeepConfig;
use crate::objective::CLASSES_FOR_TOP5;

/// A quantity of the validation images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Watched {
    /// Mean cross-entropy.
    #[serde(rename = "validation loss")]
    Loss,
    /// Share of correct images, or pixels.
    #[serde(rename = "validation accuracy")]
    Accuracy,
    /// Share of images whose class is among the five most likely ones.
    #[serde(rename = "validation top5_accuracy")]
    Top5Accuracy,
    /// Mean intersection over union.
    #[serde(rename = "validation mean_iou")]
    MeanIou,
    /// Share of pairs of faces that are classified right, as the same person or not.
    #[serde(rename = "validation verification_accuracy")]
    VerificationAccuracy,
    /// Share of faces whose person is found.
    #[serde(rename = "validation identification_accuracy")]
    IdentificationAccuracy,
}

/// When a training ends before its last epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StopEarlyConfig {
    /// The quantity that must improve.
    pub watch: Watched,
    /// The training ends after this many epochs without an improvement.
    pub patience: u32,
    /// An improvement must be larger than this.
    #[serde(default)]
    pub min_change: f64,
}

impl Watched {
    fn metric(self) -> Metric {
        match self {
            Self::Loss => Metric::Loss,
            Self::Accuracy => Metric::Accuracy,
            Self::Top5Accuracy => Metric::Top5Accuracy,
            Self::MeanIou => Metric::MeanIou,
            Self::VerificationAccuracy => Metric::VerificationAccuracy,
            Self::IdentificationAccuracy => Metric::IdentificationAccuracy,
        }
    }

    /// Whether it is measured on sets with this objective and this many classes.
    fn fits(self, objective: Objective, classes: usize) -> bool {
        match self {
            Self::Loss | Self::Accuracy => objective != Objective::Verification,
            Self::Top5Accuracy => objective == Objective::Classification && classes >= CLASSES_FOR_TOP5,
            Self::MeanIou => objective == Objective::Segmentation,
            Self::VerificationAccuracy | Self::IdentificationAccuracy => objective == Objective::Verification,
        }
    }

    /// Whether `value` is better than `than` by more than `by`.
    fn is_better(self, value: f64, than: f64, by: f64) -> bool {
        match self.metric().better() {
            Better::Lower => value < than - by,
            Better::Higher | Better::Neither => value > than + by,
        }
    }

    /// Returns epoch and value of each epoch, in order.
    fn values(self, measured: &[Measurement]) -> impl Iterator<Item = (u32, f64)> {
        let own = measured.iter().filter(move |m| m.metric == self.metric() && m.split == Some(Split::Validation));
        own.filter_map(|m| Some((m.epoch?, m.value)))
    }

    /// Returns the last epoch that was better than all epochs before it by more than `by`; `None` before the first
    /// epoch ends. Of equal epochs, it is the first.
    fn improved(self, measured: &[Measurement], by: f64) -> Option<u32> {
        let later = |best: Option<(u32, f64)>, (epoch, value): (u32, f64)| match best {
            Some((_, so_far)) if !self.is_better(value, so_far, by) => best,
            _ => Some((epoch, value)),
        };
        self.values(measured).fold(None, later).map(|(epoch, _)| epoch)
    }

    /// Returns the best epoch so far. Of equal epochs, it is the first.
    pub(crate) fn best(self, measured: &[Measurement]) -> Option<u32> {
        self.improved(measured, 0.0)
    }
}

impl StopEarlyConfig {
    /// Whether the patience is over after these measurements.
    pub(crate) fn is_over(&self, measured: &[Measurement]) -> bool {
        let last = self.watch.values(measured).last().map(|(epoch, _)| epoch);
        let improved = self.watch.improved(measured, self.min_change);
        last.zip(improved).is_some_and(|(last, improved)| last - improved >= self.patience)
    }
}

/// Returns the faults of what a training keeps and watches.
pub(crate) fn faults(training: &TrainingConfig, data: &DataConfig) -> Vec<ConfigFault> {
    let mut faults = Vec::new();
    let mut check = |ok: bool, key: &str, message: String| {
        if !ok {
            faults.push(ConfigFault::new(format!("training.{key}"), message));
        }
    };
    let best = training.keep.as_ref().and_then(|keep| keep.best);
    if let Some(keep) = &training.keep {
        check(keep.best.is_some() || keep.last > 0, "keep", "must have `best`, or `last` above 0".to_owned());
        let most = training.epochs;
        check(keep.last <= most, "keep.last", format!("must not be above the number of epochs, {most}"));
    }
    if let Some(StopEarlyConfig { patience, min_change, .. }) = training.stop_early {
        check(patience > 0, "stop_early.patience", "must be at least 1".to_owned());
        let is_change = min_change >= 0.0 && min_change.is_finite();
        check(is_change, "stop_early.min_change", "must be at least 0".to_owned());
    }
    let watched = [("keep.best", best), ("stop_early.watch", training.stop_early.as_ref().map(|stop| stop.watch))];
    for (key, watched) in watched.into_iter().filter_map(|(key, watched)| Some((key, watched?))) {
        check(
            watched.fits(data.objective(), data.source.shape().classes),
            key,
            "is not measured on a set of this kind".to_owned(),
        );
        let message = "needs validation images: set `data.validation` to a share of the training images, such as 0.1";
        check(data.has_validation(), key, message.to_owned());
    }
    faults
}

/// Refuses a training that watches validation images of a set that has none, for example because the share that is set
/// aside is less than one image.
pub(crate) fn check_data(training: &TrainingConfig, data: &Dataset) -> Result<(), TrainError> {
    let key = match (&training.keep, &training.stop_early) {
        (Some(KeepConfig { best: Some(_), .. }), _) => "training.keep.best",
        (_, Some(_)) => "training.stop_early.watch",
        _ => return Ok(()),
    };
    if data.validation.images.is_empty() {
        let message = "needs validation images, but `data.validation` sets none aside: raise it";
        return Err(TrainError::Config(vec![ConfigFault::new(key, message)]));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(metric: Metric, values: &[f64]) -> Vec<Measurement> {
        let of_split = |split, value: f64, epoch| Measurement { metric, split: Some(split), form: None, epoch, value };
        let epochs = values.iter().zip(1..).flat_map(|(value, epoch)| {
            [of_split(Split::Validation, *value, Some(epoch)), of_split(Split::Test, -*value, Some(epoch))]
        });
        epochs.collect()
    }

    #[test]
    fn the_best_epoch_is_the_first_of_equal_ones() {
        let best = |watched: Watched, values: &[f64]| watched.best(&measured(watched.metric(), values));
        assert_eq!(best(Watched::Accuracy, &[]), None);
        assert_eq!(best(Watched::Accuracy, &[0.5, 0.7, 0.7, 0.6]), Some(2));
        assert_eq!(best(Watched::Loss, &[0.5, 0.7, 0.4, 0.4]), Some(3));
        assert_eq!(Watched::Loss.best(&measured(Metric::Accuracy, &[0.1])), None);
    }

    #[test]
    fn patience_counts_epochs_since_the_last_improvement() {
        let over = |patience: u32, min_change: f64, values: &[f64]| {
            let stop = StopEarlyConfig { watch: Watched::Accuracy, patience, min_change };
            stop.is_over(&measured(Metric::Accuracy, values))
        };
        assert!(!over(1, 0.0, &[]));
        assert!(!over(1, 0.0, &[0.5]));
        assert!(over(1, 0.0, &[0.5, 0.5]));
        assert!(!over(2, 0.0, &[0.5, 0.4, 0.6]));
        assert!(over(2, 0.0, &[0.5, 0.4, 0.6, 0.6, 0.5]));
        // Many small steps are an improvement together.
        assert!(!over(2, 0.05, &[0.5, 0.53, 0.56]));
        assert!(over(2, 0.05, &[0.5, 0.52, 0.54]));
    }
}
