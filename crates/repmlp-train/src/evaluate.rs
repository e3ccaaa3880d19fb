//! A split as an evaluation walks it.

use std::sync::Arc;

use candle_core::Device;

use crate::TrainError;
use crate::batch::{Batch, HostBatch, PlainBatches};
use crate::data::{Preparation, Subset};
use crate::loader::Loader;

/// Pixels of an evaluation batch: those of 256 images of 32×32. Images of one size always come in the same batches, so that
/// no setting of a run moves a sum.
const PIXELS: usize = 256 * 32 * 32;
const FEWEST_IMAGES: usize = 8;
const MOST_IMAGES: usize = 256;

/// A split as an evaluation walks it.
#[derive(Clone, Copy)]
pub(crate) struct EvaluationSplit<'a> {
    pub(crate) subset: &'a Subset,
    pub(crate) preparation: &'a Arc<Preparation>,
    pub(crate) device: &'a Device,
    /// Threads that make batches.
    pub(crate) threads: usize,
}

impl EvaluationSplit<'_> {
    /// Calls `f` with each batch.
    pub(crate) fn each_batch(self, mut f: impl FnMut(&Batch) -> candle_core::Result<()>) -> Result<(), TrainError> {
        for batch in self.batches(self.subset.clone(), self.batch_size())? {
            f(&batch?.onto(self.device)?)?;
        }
        Ok(())
    }

    /// Images of a batch.
    pub(crate) fn batch_size(self) -> usize {
        (PIXELS / self.preparation.side.pow(2)).clamp(FEWEST_IMAGES, MOST_IMAGES)
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
