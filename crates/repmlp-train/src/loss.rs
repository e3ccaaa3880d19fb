//! The loss of a classifier: cross-entropy with label smoothing, also for blended targets.

use candle_core::{D, Result, Tensor};
use repmlp_kernels::cross_entropy;

use crate::batch::{Batch, Blend};

/// Returns the loss of a training batch. For blended images, it is the mean of both losses, weighted with their shares.
pub(crate) fn training_loss(logits: &Tensor, batch: &Batch, smoothing: f64) -> Result<Tensor> {
    let first = cross_entropy(logits, &batch.labels, smoothing)?;
    match &batch.blend {
        None => Ok(first),
        Some(Blend { labels, share }) => {
            (first * *share)? + (cross_entropy(logits, labels, smoothing)? * (1.0 - share))?
        }
    }
}

/// Returns the number of images with the correct prediction, as a scalar tensor that stays on the device.
pub(crate) fn correct(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    logits.argmax(D::Minus1)?.eq(labels)?.to_dtype(candle_core::DType::F32)?.sum_all()
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn it_matches_pytorch() -> Result<()> {
        // torch.nn.functional.cross_entropy(logits, labels, label_smoothing=s), s = 0 and 0.1
        let logits = Tensor::new(&[[1.0f64, 2.0, 0.5], [0.1, -1.0, 3.0]], &Device::Cpu)?;
        let labels = Tensor::new(&[1u32, 0], &Device::Cpu)?;
        let hand = |s: f64| {
            let rows = [([1.0f64, 2.0, 0.5], 1usize), ([0.1, -1.0, 3.0], 0)];
            let loss = |(row, label): ([f64; 3], usize)| {
                let log_sum = row.iter().map(|v| v.exp()).sum::<f64>().ln();
                let target = |i: usize| s / 3.0 + if i == label { 1.0 - s } else { 0.0 };
                -(0..3).map(|i| target(i) * (row[i] - log_sum)).sum::<f64>()
            };
            rows.map(loss).iter().sum::<f64>() / 2.0
        };
        for s in [0.0, 0.1] {
            assert!((cross_entropy(&logits, &labels, s)?.to_scalar::<f64>()? - hand(s)).abs() < 1e-12);
        }
        assert!((correct(&logits, &labels)?.to_scalar::<f32>()? - 1.0).abs() < 1e-6);
        Ok(())
    }
}
