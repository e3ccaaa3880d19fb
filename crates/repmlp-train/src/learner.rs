//! What learns, and its step: forward in training mode, loss, backward, and a move of the optimiser.
//!
//! It knows neither where batches come from nor how many steps there are; a run and the benchmark take the same one.

use candle_core::{Result, Tensor};
use repmlp::Draws;
use repmlp::models::Model;
use repmlp_kernels::backward;

use crate::batch::Batch;
use crate::objective::{Judge, Judgement};
use crate::optimizer::{Optimizer, StepPlace};

/// A network with what judges and what moves it.
pub(crate) struct Learner {
    pub(crate) model: Model,
    pub(crate) judge: Judge,
    pub(crate) optimizer: Optimizer,
    /// What is drawn in a pass hangs on it.
    pub(crate) seed: u64,
}

impl Learner {
    /// A step on a batch: loss and hits (2), which stay on the device.
    ///
    /// # Errors
    /// When the batch does not fit the network.
    pub(crate) fn step(&self, batch: &Batch, place: StepPlace) -> Result<Tensor> {
        let Judgement { loss, hits } =
            self.judge.train(&self.model, batch, Draws { seed: self.seed, step: place.number })?;
        self.optimizer.step(&backward(&loss)?, place)?;
        Tensor::stack(&[loss.detach(), hits], 0)
    }
}
