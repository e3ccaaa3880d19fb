//! Classification of pixels: cross-entropy over the pixels that count, an auxiliary head, and mean intersection over
//! union.

use candle_core::{D, DType, Result, Tensor};
use candle_nn::ops::log_softmax;
use sweep_protocol::Metric;

use crate::batch::Batch;
use crate::data::Mask;
use crate::evaluate::Answered;
use crate::objective::Judgement;

/// The label of ignored pixels.
const IGNORED: u32 = Mask::IGNORED as u32;
/// Weight of the loss of the auxiliary head (PSPNet).
const AUXILIARY: f64 = 0.4;

/// Returns loss and hits of a training batch from its maps (N, classes, H, W).
pub(super) fn judge(answer: &Tensor, auxiliary: Option<&Tensor>, batch: &Batch) -> Result<Judgement> {
    let mut loss = cross_entropy(answer, &batch.labels, batch.judged)?;
    if let Some(auxiliary) = auxiliary {
        loss = (loss + (cross_entropy(auxiliary, &batch.labels, batch.judged)? * AUXILIARY)?)?;
    }
    let hits = answer.detach().argmax(1)?.eq(&batch.labels)?.to_dtype(DType::F32)?.sum_all()?;
    Ok(Judgement { loss, hits })
}

/// Returns the mean over the `judged` pixels that count. Maps are (N, classes, H, W), labels are (N, H, W).
fn cross_entropy(maps: &Tensor, labels: &Tensor, judged: usize) -> Result<Tensor> {
    let (n, classes, h, w) = maps.dims4()?;
    let pixels = maps.permute((0, 2, 3, 1))?.reshape((n * h * w, classes))?;
    let labels = labels.flatten_all()?;
    let counts = labels.ne(IGNORED)?;
    let known = counts.where_cond(&labels, &labels.zeros_like()?)?;
    let of_label = log_softmax(&pixels, D::Minus1)?.gather(&known.unsqueeze(1)?, 1)?.squeeze(1)?;
    let sum = (of_label * counts.to_dtype(pixels.dtype())?)?.sum_all()?;
    sum * (-1.0 / judged.max(1) as f64)
}

/// Confusion matrix: pixel counts by correct and predicted class.
pub(super) struct Confusion {
    classes: usize,
    /// Rows are the correct classes, columns are the predicted classes.
    pixels: Vec<u64>,
    loss: f64,
    judged: usize,
}

impl Confusion {
    pub(super) fn new(classes: usize) -> Self {
        Self { classes, pixels: vec![0; classes * classes], loss: 0.0, judged: 0 }
    }

    /// Adds some images with their maps.
    pub(super) fn add(&mut self, Answered { maps, labels, judged }: &Answered) -> Result<()> {
        self.loss += f64::from(cross_entropy(maps, labels, *judged)?.to_scalar::<f32>()?) * *judged as f64;
        self.judged += judged;
        let told = maps.argmax(1)?.flatten_all()?.to_vec1::<u32>()?;
        let labels = labels.flatten_all()?.to_vec1::<u32>()?;
        self.count(&labels, &told);
        Ok(())
    }

    fn count(&mut self, labels: &[u32], told: &[u32]) {
        for (&label, &told) in labels.iter().zip(told).filter(|(label, _)| **label != IGNORED) {
            self.pixels[label as usize * self.classes + told as usize] += 1;
        }
    }

    /// Returns loss, accuracy and mean intersection over union, or nothing if no pixel counts.
    pub(super) fn measurements(&self) -> Vec<(Metric, f64)> {
        if self.judged == 0 {
            return Vec::new();
        }
        let right: u64 = (0..self.classes).map(|class| self.pixels[class * self.classes + class]).sum();
        let judged = self.judged as f64;
        vec![
            (Metric::Loss, self.loss / judged),
            (Metric::Accuracy, right as f64 / judged),
            (Metric::MeanIou, self.mean_iou()),
        ]
    }

    /// Returns the mean over the classes that occur in the masks or in the predictions.
    fn mean_iou(&self) -> f64 {
        let row = |class: usize| (0..self.classes).map(|told| self.pixels[class * self.classes + told]).sum::<u64>();
        let column =
            |class: usize| (0..self.classes).map(|label| self.pixels[label * self.classes + class]).sum::<u64>();
        let iou = |class: usize| {
            let both = self.pixels[class * self.classes + class];
            let either = row(class) + column(class) - both;
            (either > 0).then(|| both as f64 / either as f64)
        };
        let of_classes: Vec<f64> = (0..self.classes).filter_map(iou).collect();
        of_classes.iter().sum::<f64>() / of_classes.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn iou_is_intersection_over_union() {
        let mut confusion = Confusion::new(4);
        confusion.count(&[0, 0, 0, 1, 1, 2, IGNORED], &[0, 0, 1, 1, 1, 0, 2]);
        // Class 0: 2 of 4, class 1: 2 of 3, class 2: 0 of 1. Class 3 does not occur.
        assert!((confusion.mean_iou() - (0.5 + 2.0 / 3.0) / 3.0).abs() < 1e-12);
    }

    #[test]
    fn without_counted_pixels_there_is_no_metric_and_no_nan() -> Result<()> {
        let maps = Tensor::new(&[1f32, 2.0, 9.0, 3.0], &Device::Cpu)?.reshape((1, 2, 1, 2))?;
        let labels = Tensor::new(&[IGNORED, IGNORED], &Device::Cpu)?.reshape((1, 1, 2))?;
        let batch = Batch { images_nchw: maps.clone(), labels, blend: None, judged: 0 };
        let Judgement { loss, hits } = judge(&maps, Some(&maps), &batch)?;
        assert_eq!((loss.to_scalar::<f32>()?.to_bits() << 1, hits.to_scalar::<f32>()?.to_bits()), (0, 0));
        let mut confusion = Confusion::new(2);
        confusion.add(&Answered { maps, labels: batch.labels, judged: 0 })?;
        assert_eq!(confusion.measurements(), []);
        Ok(())
    }

    #[test]
    fn ignored_pixels_change_nothing() -> Result<()> {
        let maps = Tensor::new(&[1f64, 2.0, 9.0, 3.0, 1.0, -7.0], &Device::Cpu)?.reshape((1, 2, 1, 3))?;
        let labels = Tensor::new(&[0u32, 1, IGNORED], &Device::Cpu)?.reshape((1, 1, 3))?;
        // −ln of e^1/(e^1+e^3) and of e^1/(e^2+e^1).
        let expected = ((1.0 + 2f64.exp()).ln() + (1.0 + 1f64.exp()).ln()) / 2.0;
        assert!((cross_entropy(&maps, &labels, 2)?.to_scalar::<f64>()? - expected).abs() < 1e-12);
        Ok(())
    }
}
