//! Classification of images: cross-entropy, accuracy, top-5 accuracy.

use candle_core::{D, Result, Tensor};
use repmlp_kernels::cross_entropy;
use sweep_protocol::Metric;

use crate::batch::Batch;
use crate::loss::{Target, correct, training_loss};
use crate::objective::{Evaluation, Judgement, ToldClasses};

/// Top-5 accuracy is reported for at least 11 classes. With fewer, it says little.
const FIVE: usize = 5;
pub(crate) const CLASSES_FOR_TOP5: usize = 2 * FIVE + 1;

/// Returns loss and hits of a training batch from its logits (N, classes).
pub(super) fn judge(logits: &Tensor, batch: &Batch, target: Target<'_>) -> Result<Judgement> {
    let hits = correct(&logits.detach(), &batch.labels)?;
    Ok(Judgement { loss: training_loss(logits, batch, target)?, hits })
}

/// Sums over a split, and the class of each image.
#[derive(Default)]
pub(super) struct Sums {
    loss: f64,
    among_five: f64,
    told: ToldClasses,
}

impl Sums {
    /// Adds one batch with its logits (N, classes).
    pub(super) fn add(&mut self, logits: &Tensor, batch: &Batch) -> Result<()> {
        let (count, classes) = logits.dims2()?;
        self.loss += f64::from(cross_entropy(logits, &batch.labels, 0.0)?.to_scalar::<f32>()?) * count as f64;
        self.told.predicted.extend(logits.argmax(D::Minus1)?.to_vec1::<u32>()?);
        self.told.truth.extend(batch.labels.to_vec1::<u32>()?);
        if classes >= CLASSES_FOR_TOP5 {
            self.among_five += f64::from(among_five(logits, &batch.labels)?.to_scalar::<f32>()?);
        }
        Ok(())
    }

    /// Returns the means over all images, and their classes.
    pub(super) fn evaluation(self, classes: usize) -> Evaluation {
        let images = self.told.truth.len() as f64;
        let hits = self.told.truth.iter().zip(&self.told.predicted).filter(|(truth, told)| truth == told).count();
        let mut values = vec![(Metric::Loss, self.loss / images), (Metric::Accuracy, hits as f64 / images)];
        if classes >= CLASSES_FOR_TOP5 {
            values.push((Metric::Top5Accuracy, self.among_five / images));
        }
        Evaluation { values, told: Some(self.told) }
    }
}

/// Returns the number of images for which the correct logit is among the five largest.
fn among_five(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let of_label = logits.gather(&labels.unsqueeze(1)?, 1)?;
    let larger = logits.broadcast_gt(&of_label)?.to_dtype(candle_core::DType::F32)?.sum(1)?;
    larger.lt(FIVE as f64)?.to_dtype(candle_core::DType::F32)?.sum_all()
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn the_fifth_largest_counts_and_the_sixth_does_not() -> Result<()> {
        let logits: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let logits = Tensor::from_vec([logits.clone(), logits].concat(), (2, 12), &Device::Cpu)?;
        let hits = |labels: [u32; 2]| among_five(&logits, &Tensor::new(&labels, &Device::Cpu)?)?.to_scalar::<f32>();
        assert!((hits([7, 11])? - 2.0).abs() < 1e-6);
        assert!((hits([6, 7])? - 1.0).abs() < 1e-6);
        Ok(())
    }
}
