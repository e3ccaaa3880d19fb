//! Weights of the classes in the training loss of a classifier, for sets whose classes differ in size.

use candle_core::{Device, Result, Tensor};
use repmlp::ConfigFault;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::Subset;

/// How much the images of each class count in the training loss. Evaluation counts all images the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ClassWeightsConfig {
    /// All images count the same.
    Equal {},
    /// All classes count the same: the weight of a class is N / (K·n), with n of the N training images, and K classes
    /// that have images.
    Balanced {},
    /// These weights, as in `torch.nn.CrossEntropyLoss(weight=…)`.
    Given {
        /// One weight above 0 for each class.
        weights: Vec<f64>,
    },
}

impl Default for ClassWeightsConfig {
    fn default() -> Self {
        Self::Equal {}
    }
}

impl ClassWeightsConfig {
    pub(crate) fn is_equal(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the faults for a set with this many classes.
    pub(crate) fn faults(&self, classes: usize) -> Vec<ConfigFault> {
        let Self::Given { weights } = self else { return Vec::new() };
        let fault = |message: String| vec![ConfigFault::new("training.class_weights.weights", message)];
        if weights.len() != classes {
            return fault(format!("must have one weight for each of the {classes} classes, not {}", weights.len()));
        }
        let is_usable = |weight: &f64| *weight > 0.0 && (*weight as f32).is_finite() && *weight as f32 > 0.0;
        match weights.iter().find(|weight| !is_usable(weight)) {
            Some(weight) => fault(format!("must be numbers above 0, not {weight}")),
            None => Vec::new(),
        }
    }

    /// Returns the weights (classes); `None` if all images count the same.
    ///
    /// # Errors
    /// When the device has no memory.
    pub(crate) fn of(&self, train: &Subset, classes: usize, device: &Device) -> Result<Option<Tensor>> {
        let weights = match self {
            Self::Equal {} => return Ok(None),
            Self::Balanced {} => balanced(train.labels(), classes),
            Self::Given { weights } => weights.clone(),
        };
        let weights: Vec<f32> = weights.into_iter().map(|weight| weight as f32).collect();
        Tensor::new(weights, device).map(Some)
    }
}

/// Returns N / (K·n) for each class with n > 0 images, and 0 for the others.
fn balanced(labels: impl Iterator<Item = u32>, classes: usize) -> Vec<f64> {
    let mut counts = vec![0_u32; classes];
    labels.for_each(|label| counts[label as usize] += 1);
    let (all, present) = (counts.iter().sum::<u32>(), counts.iter().filter(|&&count| count > 0).count());
    let weight = |count: u32| f64::from(all) / (present as f64 * f64::from(count));
    counts.into_iter().map(|count| if count == 0 { 0.0 } else { weight(count) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balanced_weights_match_scikit_learn() {
        // sklearn.utils.class_weight.compute_class_weight("balanced", classes=[0, 1, 2], y=[0]*7 + [1]*1 + [2]*2)
        let labels = [0, 0, 0, 0, 0, 0, 0, 1, 2, 2];
        let expected = [0.476_190_476_190_476_2, 3.333_333_333_333_333_5, 1.666_666_666_666_666_7];
        let found = balanced(labels.into_iter(), 3);
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15), "{found:?}");
        // A class without images takes no share.
        assert_eq!(balanced([0, 2, 2, 2].into_iter(), 3), [2.0, 0.0, 2.0 / 3.0]);
    }

    #[test]
    fn weights_must_fit_the_classes() {
        let faults = |weights: &[f64]| {
            let weights = weights.to_vec();
            ClassWeightsConfig::Given { weights }.faults(2).into_iter().map(|fault| fault.message).collect::<Vec<_>>()
        };
        assert!(faults(&[1.0, 7.0]).is_empty());
        assert_eq!(faults(&[1.0]), ["must have one weight for each of the 2 classes, not 1"]);
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300, 1e-300] {
            assert_eq!(faults(&[1.0, wrong]).len(), 1, "{wrong}");
        }
    }
}
