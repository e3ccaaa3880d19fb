//! One training step: forward in training mode, loss, backward, and optimiser update.
//!
//! This module knows neither the source of batches nor the number of steps. Runs and the benchmark share it.

use candle_core::{Result, Tensor};
use repmlp::Draws;
use repmlp::models::Model;
use repmlp_kernels::backward;

use crate::batch::Batch;
use crate::objective::{Judge, Judgement};
use crate::optimizer::{Optimizer, StepPlace};

/// A network with its loss and its optimiser.
pub(crate) struct Learner {
    pub(crate) model: Model,
    pub(crate) judge: Judge,
    pub(crate) optimizer: Optimizer,
    /// Seed of the random draws in a forward pass, for example dropout.
    pub(crate) seed: u64,
}

impl Learner {
    /// Does one training step on a batch. Returns loss and hits as a tensor (2) that stays on the device.
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
