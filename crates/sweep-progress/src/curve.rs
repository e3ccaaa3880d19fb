//! The learning curve of an attempt, with the values that it took over from earlier attempts.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use sweep_protocol::{Form, Measurement, Metric, Split};

/// Values after one epoch. Each is absent until it is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct CurvePoint {
    /// Number of completed epochs.
    pub epoch: u32,
    /// Loss on the training images, or without a split if a command reports none.
    pub loss: Option<f64>,
    /// Accuracy on the validation images; a fraction.
    pub validation_accuracy: Option<f64>,
    /// Accuracy on the test images, or without a split if a command reports none; a fraction.
    pub test_accuracy: Option<f64>,
}

/// Values of the training form after each epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    points: BTreeMap<u32, CurvePoint>,
}

impl Curve {
    /// The points, in the order of their epochs.
    pub fn points(&self) -> impl Iterator<Item = &CurvePoint> {
        self.points.values()
    }

    /// The losses by epoch.
    pub fn losses(&self) -> Vec<(u32, f64)> {
        self.points().filter_map(|point| Some((point.epoch, point.loss?))).collect()
    }

    /// The accuracies by epoch, and the split that they were measured on: validation if it has values, else test.
    pub fn accuracies(&self) -> (Split, Vec<(u32, f64)>) {
        let on = |of: fn(&CurvePoint) -> Option<f64>| -> Vec<(u32, f64)> {
            self.points().filter_map(|point| Some((point.epoch, of(point)?))).collect()
        };
        let validation = on(|point| point.validation_accuracy);
        if validation.is_empty() {
            (Split::Test, on(|point| point.test_accuracy))
        } else {
            (Split::Validation, validation)
        }
    }

    /// Adds values. A later value of an epoch replaces the earlier one.
    pub(crate) fn add(&mut self, measurements: &[Measurement]) {
        for m in measurements.iter().filter(|m| m.form != Some(Form::Deployed)) {
            let Some(epoch) = m.epoch else { continue };
            let place: fn(&mut CurvePoint) -> &mut Option<f64> = match (m.metric, m.split) {
                (Metric::Loss, Some(Split::Train) | None) => |point| &mut point.loss,
                (metric, Some(Split::Validation)) if is_accuracy(metric) => |point| &mut point.validation_accuracy,
                (metric, Some(Split::Test) | None) if is_accuracy(metric) => |point| &mut point.test_accuracy,
                _ => continue,
            };
            let point = self.points.entry(epoch).or_insert(CurvePoint { epoch, ..CurvePoint::default() });
            *place(point) = Some(m.value);
        }
    }
}

impl Serialize for Curve {
    /// Writes the list of its points.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.points())
    }
}

/// Whether a metric is the accuracy that progress displays show.
pub(crate) fn is_accuracy(metric: Metric) -> bool {
    [Metric::Accuracy, Metric::VerificationAccuracy].contains(&metric)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(metric: Metric, split: Option<Split>, epoch: u32, value: f64) -> Measurement {
        Measurement { metric, split, form: Some(Form::Training), epoch: Some(epoch), value }
    }

    #[test]
    fn a_curve_has_one_point_for_each_epoch_and_the_latest_values() {
        let mut curve = Curve::default();
        curve.add(&[
            measured(Metric::Loss, Some(Split::Train), 2, 0.5),
            measured(Metric::Loss, Some(Split::Train), 1, 1.5),
            measured(Metric::Loss, Some(Split::Validation), 1, 9.0),
        ]);
        curve.add(&[measured(Metric::Accuracy, Some(Split::Test), 2, 0.75)]);
        curve.add(&[measured(Metric::Loss, Some(Split::Train), 2, 0.25)]);
        let deployed =
            Measurement { form: Some(Form::Deployed), ..measured(Metric::Accuracy, Some(Split::Test), 2, 0.1) };
        curve.add(&[deployed]);
        assert_eq!(curve.losses(), [(1, 1.5), (2, 0.25)]);
        assert_eq!(curve.accuracies(), (Split::Test, vec![(2, 0.75)]));
        curve.add(&[measured(Metric::Accuracy, Some(Split::Validation), 1, 0.5)]);
        assert_eq!(curve.accuracies(), (Split::Validation, vec![(1, 0.5)]));
        assert_eq!(curve.points().count(), 2);
    }
}
