//! Loss and accuracy of a network on a split.

use candle_core::{Device, Result, Tensor};

use crate::batch::plain_batches;
use crate::data::{Normalization, Pool};
use crate::loss::{correct, cross_entropy};

/// Images of an evaluation batch: fixed, so that no setting of a run moves a sum.
const BATCH: usize = 256;

/// A split as an evaluation walks it.
#[derive(Clone, Copy)]
pub(crate) struct EvaluationSplit<'a> {
    pub(crate) images: &'a [u32],
    pub(crate) pool: &'a Pool,
    pub(crate) normalization: &'a Normalization,
    pub(crate) device: &'a Device,
}

/// Means over a split.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Evaluation {
    pub(crate) loss: f64,
    pub(crate) accuracy: f64,
}

impl EvaluationSplit<'_> {
    /// Loss (without smoothing) and accuracy of a network given as images (N, C, H, W) → logits.
    pub(crate) fn evaluate(self, network: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Evaluation> {
        let (mut loss, mut hits) = (0.0, 0.0);
        self.each_batch(|images, labels| {
            let logits = network(images)?;
            let count = labels.elem_count() as f64;
            loss += f64::from(cross_entropy(&logits, labels, 0.0)?.to_scalar::<f32>()?) * count;
            hits += f64::from(correct(&logits, labels)?.to_scalar::<f32>()?);
            Ok(())
        })?;
        let count = self.images.len() as f64;
        Ok(Evaluation { loss: loss / count, accuracy: hits / count })
    }

    /// Calls `f` with images and labels of each batch.
    pub(crate) fn each_batch(self, mut f: impl FnMut(&Tensor, &Tensor) -> Result<()>) -> Result<()> {
        for batch in plain_batches(self.images, self.pool, self.normalization, (BATCH, self.device)) {
            let batch = batch?;
            f(&batch.images_nchw, &batch.labels)?;
        }
        Ok(())
    }
}
