//! Loss and accuracy of a network on a split.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use crate::TrainError;
use crate::batch::{Batch, HostBatch, PlainBatches};
use crate::data::{Preparation, Subset};
use crate::loader::Loader;
use crate::loss::{correct, cross_entropy};

/// Images of an evaluation batch: fixed, so that no setting of a run moves a sum.
const BATCH: usize = 256;

/// A split as an evaluation walks it.
#[derive(Clone, Copy)]
pub(crate) struct EvaluationSplit<'a> {
    pub(crate) subset: &'a Subset,
    pub(crate) preparation: &'a Arc<Preparation>,
    pub(crate) device: &'a Device,
    /// Threads that make batches.
    pub(crate) threads: usize,
}

/// Means over a split.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Evaluation {
    pub(crate) loss: f64,
    pub(crate) accuracy: f64,
}

impl EvaluationSplit<'_> {
    /// Loss (without smoothing) and accuracy of a network given as images (N, C, H, W) → logits.
    pub(crate) fn evaluate(
        self,
        network: impl Fn(&Tensor) -> candle_core::Result<Tensor>,
    ) -> Result<Evaluation, TrainError> {
        let (mut loss, mut hits) = (0.0, 0.0);
        self.each_batch(|batch| {
            let logits = network(&batch.images_nchw)?;
            let count = batch.labels.elem_count() as f64;
            loss += f64::from(cross_entropy(&logits, &batch.labels, 0.0)?.to_scalar::<f32>()?) * count;
            hits += f64::from(correct(&logits, &batch.labels)?.to_scalar::<f32>()?);
            Ok(())
        })?;
        let count = self.subset.images.len() as f64;
        Ok(Evaluation { loss: loss / count, accuracy: hits / count })
    }

    /// Calls `f` with each batch.
    pub(crate) fn each_batch(self, mut f: impl FnMut(&Batch) -> candle_core::Result<()>) -> Result<(), TrainError> {
        for batch in self.batches(self.subset.clone(), BATCH)? {
            f(&batch?.onto(self.device)?)?;
        }
        Ok(())
    }

    /// A batch of so many images, repeated where the split has fewer.
    pub(crate) fn sample(self, size: usize) -> Result<Option<Batch>, TrainError> {
        let images = self.subset.images.iter().copied().cycle().take(size).collect();
        let sample = self.batches(Subset { images, ..self.subset.clone() }, size)?.next().transpose()?;
        Ok(sample.map(|batch| batch.onto(self.device)).transpose()?)
    }

    fn batches(self, subset: Subset, size: usize) -> Result<Loader<HostBatch>, TrainError> {
        let batches = PlainBatches { subset, preparation: Arc::clone(self.preparation), size };
        Ok(Loader::new(0..batches.count(), self.threads, move |index| batches.batch(index))?)
    }
}
