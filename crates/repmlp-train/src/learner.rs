//! One training step: forward in training mode, loss, backward, and optimiser update.
//!
//! This module knows neither the source of batches nor the number of steps. Runs and the benchmark share it.

use candle_core::{Result, Tensor};
use repmlp::Draws;
use repmlp::models::Model;
use repmlp_kernels::{Factors, backward, with_factors};

use crate::batch::Batch;
use crate::objective::{Judge, Judgement};
use crate::optimizer::{Optimizer, StepPlace};

/// A network with its loss and its optimiser.
pub(crate) struct Learner {
    pub(crate) model: Model,
    pub(crate) judge: Judge,
    pub(crate) optimizer: Optimizer,
    /// How exact the factors of products are.
    pub(crate) factors: Factors,
    /// Seed of the random draws in a forward pass, for example dropout.
    pub(crate) seed: u64,
}

impl Learner {
    /// Does one training step on a batch. Returns loss and hits as a tensor (2) that stays on the device.
    ///
    /// # Errors
    /// When the batch does not fit the network.
    pub(crate) fn step(&self, batch: &Batch, place: StepPlace) -> Result<Tensor> {
        self.step_by_phase(batch, place, &mut |_| Ok(()))
    }

    /// Like [`Self::step`]. Calls `after` at the end of each phase.
    ///
    /// # Errors
    /// When the batch does not fit the network, or `after` fails.
    pub(crate) fn step_by_phase(&self, batch: &Batch, place: StepPlace, after: &mut After<'_>) -> Result<Tensor> {
        let draws = Draws { seed: self.seed, step: place.number };
        let Judgement { loss, hits } = with_factors(self.factors, || self.judge.train(&self.model, batch, draws))?;
        after(Phase::Forward)?;
        let gradients = backward(&loss)?;
        after(Phase::Backward)?;
        self.optimizer.step(&gradients, place)?;
        after(Phase::Update)?;
        Tensor::stack(&[loss.detach(), hits], 0)
    }
}

/// A part of a training step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The forward pass and the loss.
    Forward,
    /// The gradients.
    Backward,
    /// The update of the parameters.
    Update,
}

impl Phase {
    /// Name of the phase in measurements.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Backward => "backward",
            Self::Update => "update",
        }
    }
}

/// Is told of the end of a phase.
pub(crate) type After<'a> = dyn FnMut(Phase) -> Result<()> + 'a;
