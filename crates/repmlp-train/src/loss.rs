//! The loss of a classifier: cross-entropy with label smoothing and class weights, also for blended targets.

use candle_core::{D, Result, Tensor};
use repmlp_kernels::cross_entropy;

use crate::batch::{Batch, Blend};

/// How labels become targets, and how much each class counts.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    /// Share of a target that is spread over all classes.
    pub(crate) smoothing: f64,
    /// Weights (classes); `None` if all images count the same.
    pub(crate) weights: Option<&'a Tensor>,
}

impl Target<'_> {
    fn loss(self, logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
        match self.weights {
            None => cross_entropy(logits, labels, self.smoothing),
            Some(weights) => weighted(logits, labels, (weights, self.smoothing)),
        }
    }
}

/// Returns the loss of a training batch. For blended images, it is the mean of both losses, weighted with their shares.
pub(crate) fn training_loss(logits: &Tensor, batch: &Batch, target: Target<'_>) -> Result<Tensor> {
    let first = target.loss(logits, &batch.labels)?;
    match &batch.blend {
        None => Ok(first),
        Some(Blend { labels, share }) => (first * *share)? + (target.loss(logits, labels)? * (1.0 - share))?,
    }
}

/// Returns the cross-entropy with weights (classes), as PyTorch defines it: each image counts with the weight of its
/// label, the smoothed part of each class counts with the weight of this class, and the sum is divided by the weights
/// of the labels.
fn weighted(logits: &Tensor, labels: &Tensor, (weights, smoothing): (&Tensor, f64)) -> Result<Tensor> {
    let centred = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    let log_p = centred.broadcast_sub(&centred.exp()?.sum_keepdim(D::Minus1)?.log()?)?;
    let of_labels = weights.index_select(labels, 0)?;
    let of_label = (log_p.gather(&labels.unsqueeze(1)?, 1)?.squeeze(1)? * &of_labels)?.sum_all()?;
    let of_all = log_p.broadcast_mul(weights)?.sum_all()?;
    let spread = smoothing / logits.dim(D::Minus1)? as f64;
    ((of_label * (1.0 - smoothing))? + (of_all * spread)?)?.neg()?.div(&of_labels.sum_all()?)
}

/// Returns the number of images with the correct prediction, as a scalar tensor that stays on the device.
pub(crate) fn correct(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    logits.argmax(D::Minus1)?.eq(labels)?.to_dtype(candle_core::DType::F32)?.sum_all()
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    /// Smoothing, loss and gradient of the case below.
    const WEIGHTED: [(f64, f64, [f64; 6]); 2] = [
        (
            0.0,
            1.090_970_142_821_081_4,
            [
                0.173_417_923_216_611_8,
                -0.278_601_210_591_178_15,
                0.105_183_287_374_566_36,
                -0.237_184_098_572_914_1,
                0.004_266_042_996_601_852,
                0.232_918_055_576_312_23,
            ],
        ),
        (
            0.1,
            1.140_690_991_154_039_5,
            [
                0.156_413_693_722_447_88,
                -0.252_171_150_061_619_33,
                0.095_757_456_339_171_38,
                -0.219_876_636_834_893_1,
                -0.020_520_654_853_568_056,
                0.240_397_291_688_461_2,
            ],
        ),
    ];

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

    #[test]
    fn class_weights_match_pytorch() -> Result<()> {
        // torch.nn.functional.cross_entropy(logits, labels, weight=[1.0, 3.0, 0.5], label_smoothing=s) in float64
        let logits = candle_core::Var::new(&[[1.0f64, 2.0, 0.5], [0.1, -1.0, 3.0]], &Device::Cpu)?;
        let labels = Tensor::new(&[1u32, 0], &Device::Cpu)?;
        let weights = Tensor::new(&[1.0f64, 3.0, 0.5], &Device::Cpu)?;
        for (smoothing, expected, gradient) in WEIGHTED {
            let target = Target { smoothing, weights: Some(&weights) };
            let loss = target.loss(&logits, &labels)?;
            assert!((loss.to_scalar::<f64>()? - expected).abs() < 1e-12, "{loss}");
            let found = loss.backward()?.get(&logits).map(|g| g.flatten_all()?.to_vec1::<f64>()).transpose()?;
            let found = found.unwrap_or_default();
            assert!(found.iter().zip(gradient).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
        }
        let equal = Tensor::new(&[2.0f64; 3], &Device::Cpu)?;
        let same = Target { smoothing: 0.1, weights: Some(&equal) }.loss(&logits, &labels)?.to_scalar::<f64>()?;
        assert!((same - cross_entropy(&logits, &labels, 0.1)?.to_scalar::<f64>()?).abs() < 1e-12);
        Ok(())
    }
}
